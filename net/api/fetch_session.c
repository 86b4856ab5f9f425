/* Fetch sessions. */
#include "net/api/fetch_session.h"
#include "core/clock.h"

enum { KEY_ID_AT = 4, KEY_NAME_AT = 20, KEY_MAX = KEY_NAME_AT + TOPIC_NAME_MAX };

void sessions_init(struct sessions *ss, struct heap *heap, const struct catalog *catalog, uint32_t slots, uint64_t seed)
{
    *ss = (struct sessions){.slots = slots, .heap = heap, .catalog = catalog, .rng = {seed}};
    list_init(&ss->closed);
    map_init(&ss->ids, heap);
}

void sessions_deinit(struct sessions *ss)
{
    while (ss->count > 0)
        sessions_close(ss, ss->v[ss->count - 1]);
    while (sessions_free_some(ss, UINT32_MAX))
        ;
    heap_free(ss->heap, ss->v);
    map_deinit(&ss->ids);
}

struct session *sessions_find(const struct sessions *ss, int32_t id)
{
    return map_get(&ss->ids, &id, sizeof id);
}

static void check_session(const struct sessions *ss, const struct session *s)
{
    uint32_t parts = 0;
    for (const struct list *l = s->order.next; l != &s->order; l = l->next, parts++) {
        const struct session_part *p = container_of(l, struct session_part, link);
        assert(p->key_bytes == KEY_NAME_AT + p->name_bytes);
        assert(map_get(&s->parts, p->key, p->key_bytes) == p);
    }
    assert(parts == s->count);
    assert(s->parts.count == s->count);
    assert(ss->v[s->at] == s);
    assert(sessions_find(ss, s->id) == s);
    assert(s->epoch > 0);
}

void sessions_check(const struct sessions *ss)
{
    uint32_t parts = 0;
    assert(ss->count <= ss->slots);
    assert(ss->ids.count == ss->count);
    for (uint32_t i = 0; i < ss->count; i++) {
        assert(ss->v[i]->at == i);
        check_session(ss, ss->v[i]);
        parts += ss->v[i]->count;
    }
    assert(parts == ss->parts_total);
    assert(parts <= SESSION_PARTS_MAX);
}

/* --- partitions of a session --- */

static uint32_t make_session_key(uint8_t *key, int32_t partition, const uint8_t id[16], struct kview name)
{
    assert(name.n >= 0);
    assert(name.n <= TOPIC_NAME_MAX);
    be32_put(key, (uint32_t)partition);
    memcpy(key + KEY_ID_AT, id, 16);
    if (name.n > 0)
        memcpy(key + KEY_NAME_AT, name.at, (size_t)name.n);
    return KEY_NAME_AT + (uint32_t)name.n;
}

struct session_part *session_find(const struct session *s, int32_t partition, const uint8_t id[16], struct kview name)
{
    uint8_t key[KEY_MAX];
    if (name.n > TOPIC_NAME_MAX)
        return NULL;
    return map_get(&s->parts, key, make_session_key(key, partition, id, name));
}

static void free_session_part(struct sessions *ss, struct session_part *p)
{
    list_remove(&p->link);
    heap_free(ss->heap, p->topic_name);
    heap_free(ss->heap, p);
}

static void drop_session_part(struct sessions *ss, struct session *s, struct session_part *p)
{
    (void)map_remove(&s->parts, p->key, p->key_bytes); /* it is p */
    free_session_part(ss, p);
    assert(s->count > 0);
    s->count--;
    ss->parts_total--;
}

void session_part_found(struct sessions *ss, struct session_part *p, const struct topic *t)
{
    if (p->topic_name || p->name_bytes > 0)
        return;
    size_t bytes = strlen(t->name) + 1;
    p->topic_name = heap_alloc(ss->heap, bytes); /* without it a deleted topic is one that never was */
    if (p->topic_name)
        memcpy(p->topic_name, t->name, bytes);
}

enum kerr session_part_missing(const struct sessions *ss, const struct session_part *p)
{
    if (!p->topic_name)
        return KERR_UNKNOWN_TOPIC_ID;
    bool anew = catalog_by_name(ss->catalog, (const uint8_t *)p->topic_name, strlen(p->topic_name));
    return anew ? KERR_INCONSISTENT_TOPIC_ID : KERR_UNKNOWN_TOPIC_OR_PARTITION;
}

static struct session_part *add_session_part(struct sessions *ss, struct session *s, int32_t partition,
                                             const uint8_t id[16], struct kview name)
{
    if (ss->parts_total >= SESSION_PARTS_MAX || name.n > TOPIC_NAME_MAX)
        return NULL;
    struct session_part *p = heap_zalloc(ss->heap, sizeof *p + KEY_NAME_AT + (size_t)name.n);
    if (!p)
        return NULL;
    list_init(&p->link);
    p->name_bytes = (uint16_t)name.n;
    p->key_bytes = (uint16_t)make_session_key(p->key, partition, id, name);
    p->told_high_watermark = p->told_log_start = -1;
    if (map_put(&s->parts, p->key, p->key_bytes, p) != ERR_NONE) {
        heap_free(ss->heap, p);
        return NULL;
    }
    list_push(&s->order, &p->link);
    s->count++;
    ss->parts_total++;
    const struct topic *t = s->by_id ? catalog_by_id(ss->catalog, id) : NULL;
    if (t)
        session_part_found(ss, p, t);
    return p;
}

bool session_put(struct sessions *ss, struct session *s, const struct fetch_topic *t, const struct fetch_partition *in)
{
    assert(s->busy);
    struct session_part *p = session_find(s, in->partition, t->topic_id.b, t->topic);
    if (!p)
        p = add_session_part(ss, s, in->partition, t->topic_id.b, t->topic);
    if (!p)
        return false;
    p->fetch_offset = in->fetch_offset;
    p->log_start_offset = in->log_start_offset;
    p->current_leader_epoch = in->current_leader_epoch;
    p->last_fetched_epoch = in->last_fetched_epoch;
    p->max_bytes = in->partition_max_bytes;
    return true;
}

void session_forget(struct sessions *ss, struct session *s, const struct fetch_forgotten_topic *t, int32_t partition)
{
    assert(s->busy);
    struct session_part *p = session_find(s, partition, t->topic_id.b, t->topic);
    if (p)
        drop_session_part(ss, s, p);
}

bool session_part_answer(struct session *s, struct session_part *p, enum kerr error, bool diverging,
                         int64_t high_watermark, int64_t log_start, int32_t record_bytes)
{
    bool news = error || diverging || record_bytes > 0 || high_watermark != p->told_high_watermark ||
                log_start != p->told_log_start;
    p->told_high_watermark = error ? -1 : high_watermark; /* an error that ends is news */
    p->told_log_start = log_start;
    if (record_bytes > 0) { /* next time the others come first */
        list_remove(&p->link);
        list_push(&s->order, &p->link);
    }
    return news;
}

/* --- sessions --- */

void sessions_close(struct sessions *ss, struct session *s)
{
    map_deinit(&s->parts);
    (void)map_remove(&ss->ids, &s->id, sizeof s->id); /* it is s */
    assert(ss->v[s->at] == s);
    ss->v[s->at] = ss->v[--ss->count];
    ss->v[s->at]->at = s->at;
    assert(ss->parts_total >= s->count);
    ss->parts_total -= s->count;
    list_push(&ss->closed, &s->closed_link);
}

bool sessions_free_some(struct sessions *ss, uint32_t parts)
{
    struct list *first, *node;
    while (parts > 0 && (first = list_first(&ss->closed))) {
        struct session *s = container_of(first, struct session, closed_link);
        for (; parts > 0 && (node = list_first(&s->order)); parts--)
            free_session_part(ss, container_of(node, struct session_part, link));
        if (!list_empty(&s->order))
            break;
        list_remove(first);
        heap_free(ss->heap, s);
    }
    return sessions_have_closed(ss);
}

/* The session that must make room for a new one of `parts` partitions; NULL: none has to. */
static struct session *find_evicted_session(const struct sessions *ss, uint32_t parts, uint64_t now_ns)
{
    struct session *idle = NULL, *small = NULL;
    for (uint32_t i = 0; i < ss->count; i++) {
        struct session *s = ss->v[i];
        if (s->busy)
            continue;
        if (!idle || s->used_ns < idle->used_ns)
            idle = s;
        if (!small || s->count < small->count)
            small = s;
    }
    if (idle && now_ns - idle->used_ns > SESSION_EVICT_S * NS_PER_S)
        return idle;
    if (small && small->count < parts && now_ns - small->created_ns > SESSION_EVICT_S * NS_PER_S)
        return small;
    return NULL;
}

static uint32_t count_asked_parts(const struct fetch_request *m)
{
    uint64_t count = 0;
    for (int32_t i = 0; i < m->topics.n; i++)
        count += (uint64_t)(m->topics.v[i].partitions.n > 0 ? m->topics.v[i].partitions.n : 0);
    return count > UINT32_MAX ? UINT32_MAX : (uint32_t)count;
}

static bool make_session_slot(struct sessions *ss, uint32_t parts, uint64_t now_ns)
{
    if (parts > SESSION_PARTS_MAX - ss->parts_total)
        return false;
    if (!ss->v && ss->slots > 0)
        ss->v = heap_zalloc(ss->heap, ss->slots * sizeof(struct session *));
    if (!ss->v)
        return false;
    if (ss->count < ss->slots)
        return true;
    struct session *victim = find_evicted_session(ss, parts, now_ns);
    if (victim)
        sessions_close(ss, victim);
    return victim;
}

static int32_t new_session_id(struct sessions *ss)
{
    for (;;) { /* 2^31 ids, at most a few thousand taken */
        int32_t id = (int32_t)(rng_next(&ss->rng) & INT32_MAX);
        if (id && !sessions_find(ss, id))
            return id;
    }
}

static struct session *new_session(struct sessions *ss, bool by_id, uint64_t now_ns)
{
    struct session *s = heap_zalloc(ss->heap, sizeof *s);
    if (!s)
        return NULL;
    *s =
        (struct session){.id = new_session_id(ss), .epoch = 1, .by_id = by_id, .created_ns = now_ns, .used_ns = now_ns};
    if (map_put(&ss->ids, &s->id, sizeof s->id, s) != ERR_NONE) {
        heap_free(ss->heap, s);
        return NULL;
    }
    map_init(&s->parts, ss->heap);
    list_init(&s->order);
    list_init(&s->closed_link);
    s->at = ss->count;
    ss->v[ss->count++] = s;
    return s;
}

/* NULL: no room. */
static struct session *make_session(struct sessions *ss, const struct fetch_request *m, int16_t version,
                                    uint64_t now_ns)
{
    if (!make_session_slot(ss, count_asked_parts(m), now_ns))
        return NULL;
    return new_session(ss, version >= 13, now_ns);
}

static enum kerr follow_session(const struct session *s, const struct fetch_request *m, int16_t version)
{
    if (s->busy || s->epoch != m->session_epoch)
        return KERR_INVALID_FETCH_SESSION_EPOCH;
    return s->by_id == (version >= 13) ? KERR_NONE : KERR_FETCH_SESSION_TOPIC_ID_ERROR;
}

struct session *session_settle(struct sessions *ss, struct session *s, bool next, uint64_t now_ns)
{
    assert(s->busy);
    s->busy = false;
    if (next && s->count == 0) {
        sessions_close(ss, s);
        return NULL;
    }
    if (next)
        s->epoch = s->epoch == INT32_MAX ? 1 : s->epoch + 1;
    s->used_ns = now_ns;
    if (DEBUG_CHECKS)
        check_session(ss, s);
    return s;
}

enum kerr sessions_open_request(struct sessions *ss, const struct fetch_request *m, int16_t version, uint64_t now_ns,
                                enum session_kind *out_kind, struct session **out_session)
{
    struct session *s = m->session_id ? sessions_find(ss, m->session_id) : NULL;
    if (m->session_epoch == 0 || m->session_epoch == -1) {
        if (s && !s->busy)
            sessions_close(ss, s);
        bool new = m->session_epoch == 0;
        *out_session = new ? make_session(ss, m, version, now_ns) : NULL;
        *out_kind = *out_session ? SESSION_NEW : SESSION_NONE;
    } else {
        enum kerr error = s ? follow_session(s, m, version) : KERR_FETCH_SESSION_ID_NOT_FOUND;
        if (error)
            return error;
        *out_session = s;
        *out_kind = SESSION_NEXT;
    }
    if (*out_session)
        (*out_session)->busy = true;
    return KERR_NONE;
}
