/* Fetch at home: takes the request apart, decides when there is enough, waits without polling.
 *
 * Answered at once when nothing may be waited for, when there are min_bytes, or when some partition has an error; otherwise by
 * the watermark that moves, or after max_wait_ms (Kafka: ReplicaManager.fetchMessages, DelayedFetch). The replica id that a
 * client gives changes nothing: there are no followers. */
#include "core/clock.h"
#include "net/api/fetch.h"
#include "net/api/reply.h"

/* --- deciding --- */

static bool fetch_has_enough(const struct fetch *all)
{
    uint64_t available = 0;
    bool urgent = all->cancelled || all->urgent;
    for (uint16_t i = 0; i < all->group_count; i++) {
        available += all->groups[i]->known.available;
        urgent = urgent || all->groups[i]->known.urgent;
    }
    return urgent || available >= all->min_bytes;
}

static struct shard *fetch_home(const struct fetch *all)
{
    return all->req->server->shard;
}

static struct fetch_shard *find_first_with_data(const struct fetch *all)
{
    struct fetch_shard *first = NULL;
    for (uint16_t i = 0; i < all->group_count; i++) {
        struct fetch_shard *g = all->groups[i];
        if (g->known.first != UINT32_MAX && (!first || g->known.first < first->known.first))
            first = g;
    }
    return first;
}

/* Shares max_bytes: the group with the first partition that has data comes first, and gives at least one batch. */
static void share_fetch_budget(struct fetch *all)
{
    struct fetch_shard *first = all->cancelled ? NULL : find_first_with_data(all);
    uint64_t left = first ? all->max_bytes : 0;
    if (first) {
        first->first_whole = true;
        first->budget = (uint32_t)(all->group_count == 1 ? left : u64_min(left, first->known.available));
        left -= first->budget;
    }
    for (uint16_t i = 0; i < all->group_count; i++) {
        struct fetch_shard *g = all->groups[i];
        if (g == first)
            continue;
        g->budget = (uint32_t)u64_min(left, g->known.available);
        left -= g->budget;
    }
}

static void fetch_step_over(struct fetch *all)
{
    assert(all->waiting > 0);
    if (--all->waiting == 0)
        fetch_reply(all);
}

static void read_all_shards(struct fetch *all)
{
    assert(all->state == FETCH_LOOKING || all->state == FETCH_PARKED);
    all->state = FETCH_READING;
    timer_stop(&fetch_home(all)->timers, &all->timer);
    share_fetch_budget(all);
    all->waiting = 1;
    for (uint16_t i = 0; i < all->group_count; i++) {
        struct fetch_shard *g = all->groups[i];
        if (!g->watching_asked && !g->budget && !g->first_whole)
            continue; /* nothing to take, nothing to end */
        all->waiting++;
        fetch_shard_read(g);
    }
    fetch_step_over(all);
}

void fetch_read(struct fetch_shard *g)
{
    fetch_step_over(g->all);
}

/* --- waiting --- */

static void fetch_wait_over(struct timer *t)
{
    read_all_shards(container_of(t, struct fetch, timer));
}

static void cancel_fetch(struct request *req)
{
    struct fetch *all = req->context;
    all->cancelled = true;
    if (all->state == FETCH_PARKED)
        read_all_shards(all);
}

static void park_fetch(struct fetch *all)
{
    all->state = FETCH_PARKED;
    all->req->server->counters.fetches_parked++;
    for (uint16_t i = 0; i < all->group_count; i++) {
        struct fetch_shard *g = all->groups[i];
        if (!g->watching_asked) { /* home's own and alone: nothing moved since it looked */
            g->watching_asked = true;
            fetch_shard_watch(g);
        }
    }
    timer_start(&fetch_home(all)->timers, &all->timer, all->deadline_ns);
}

static void read_or_park(struct fetch *all)
{
    if (fetch_has_enough(all) || all->deadline_ns <= fetch_home(all)->now_ns || all->req->server->stopping)
        read_all_shards(all);
    else
        park_fetch(all);
}

void fetch_looked(struct fetch_shard *g)
{
    struct fetch *all = g->all;
    g->known = g->told; /* a wake can only come after this */
    assert(all->waiting > 0);
    if (--all->waiting == 0)
        read_or_park(all);
}

void fetch_woken(struct fetch_shard *g)
{
    struct fetch *all = g->all;
    g->known = g->waked;
    if (all->state == FETCH_READING)
        return; /* its owner has ended the watch by now, or will before anything else */
    fetch_shard_rearm(g);
    if (all->state == FETCH_PARKED && fetch_has_enough(all))
        read_all_shards(all);
}

/* --- taking the request apart --- */

static struct fetch_shard *fetch_shard_for(struct fetch *all, uint16_t owner)
{
    for (uint16_t i = 0; i < all->group_count; i++)
        if (all->groups[i]->owner_id == owner)
            return all->groups[i];
    struct fetch_shard *g = request_zalloc(all->req, sizeof *g);
    if (!g)
        return NULL;
    g->all = all;
    g->owner_id = owner;
    all->groups[all->group_count++] = g;
    return g;
}

static enum kerr missing_part_error(const struct fetch *all, const struct topic *t, const struct session_part *in)
{
    if (t || !all->by_id)
        return KERR_UNKNOWN_TOPIC_OR_PARTITION;
    return in ? session_part_missing(&all->req->server->sessions, in) : KERR_UNKNOWN_TOPIC_ID;
}

/* Finds topic and owner; `in`: in the session, or NULL. False: no memory. */
static bool place_fetch_part(struct fetch *all, struct fetch_part *p, struct session_part *in)
{
    const struct catalog *c = server_catalog(all->req->server);
    const struct topic *t =
        all->by_id ? catalog_by_id(c, p->topic_id) : catalog_by_name(c, p->name.at, (size_t)p->name.n);
    if (!t || p->partition < 0 || p->partition >= t->partitions) {
        p->error = missing_part_error(all, t, in);
        all->urgent = true;
        return true;
    }
    if (in)
        session_part_found(&all->req->server->sessions, in, t);
    memcpy(p->topic_id, t->id, sizeof p->topic_id);
    struct fetch_shard *g = fetch_shard_for(all, topic_shard(t->id, p->partition, fetch_home(all)->count));
    if (!g)
        return false;
    p->group = g;
    *(g->last ? &g->last->next : &g->first) = p;
    g->last = p;
    return true;
}

/* The next part of the request; names are copied once per run of equal ones. */
static struct fetch_part *add_fetch_part(struct fetch *all, struct kview name, const uint8_t id[16], int32_t partition)
{
    struct fetch_part *p = &all->parts[all->part_count];
    struct kview last = all->part_count ? p[-1].name : (struct kview){.n = -1};
    memset(p, 0, sizeof *p);
    p->name = kview_same(last, name) ? last : request_copy(all->req, name);
    if (p->name.n < 0)
        return NULL;
    memcpy(p->topic_id, id, sizeof p->topic_id);
    p->partition = partition;
    p->place = all->part_count++;
    return p;
}

static bool take_fetch_partition(struct fetch *all, const struct fetch_topic *t, const struct fetch_partition *in)
{
    struct fetch_part *p = add_fetch_part(all, t->topic, t->topic_id.b, in->partition);
    if (!p)
        return false;
    p->offset = in->fetch_offset;
    p->max_bytes = in->partition_max_bytes;
    p->current_leader_epoch = in->current_leader_epoch;
    p->last_fetched_epoch = in->last_fetched_epoch;
    return place_fetch_part(all, p, NULL);
}

static bool take_fetch_request(struct fetch *all, const struct fetch_request *m)
{
    for (int32_t i = 0; i < m->topics.n; i++)
        for (int32_t k = 0; k < m->topics.v[i].partitions.n; k++)
            if (!take_fetch_partition(all, &m->topics.v[i], &m->topics.v[i].partitions.v[k]))
                return false;
    return true;
}

static bool take_fetch_session(struct fetch *all, const struct session *s)
{
    for (struct list *node = s->order.next; node != &s->order; node = node->next) {
        struct session_part *in = container_of(node, struct session_part, link);
        struct fetch_part *p =
            add_fetch_part(all, session_part_name(in), session_part_id(in), session_part_partition(in));
        if (!p)
            return false;
        p->offset = in->fetch_offset;
        p->max_bytes = in->max_bytes;
        p->current_leader_epoch = in->current_leader_epoch;
        p->last_fetched_epoch = in->last_fetched_epoch;
        if (!place_fetch_part(all, p, in))
            return false;
    }
    return true;
}

static uint32_t count_fetch_partitions(const struct fetch_request *m)
{
    uint32_t count = 0; /* each took bytes of the frame, so it cannot overflow */
    for (int32_t i = 0; i < m->topics.n; i++)
        count += (uint32_t)m->topics.v[i].partitions.n;
    return count;
}

static bool take_fetch_parts(struct fetch *all, const struct fetch_request *m, const struct session *s)
{
    uint32_t count = s ? s->count : count_fetch_partitions(m);
    all->parts = request_alloc(all->req, count * sizeof *all->parts);
    return all->parts && (s ? take_fetch_session(all, s) : take_fetch_request(all, m));
}

/* --- the beginning --- */

static void refuse_fetch(struct request *req, enum kerr error)
{
    struct fetch_response r;
    fetch_response_init(&r);
    r.error_code = (int16_t)error;
    REQUEST_REPLY(req, fetch_response, &r);
}

static void look_at_all(struct fetch *all, bool may_wait)
{
    bool alone = all->group_count == 1 && all->groups[0]->owner_id == fetch_home(all)->id;
    all->state = FETCH_LOOKING;
    all->waiting = 1u + all->group_count;
    for (uint16_t i = 0; i < all->group_count; i++) {
        all->groups[i]->watching_asked = may_wait && !alone;
        fetch_shard_look(all->groups[i], all->groups[i]->watching_asked);
    }
    if (--all->waiting == 0)
        read_or_park(all);
}

static void begin_fetch(struct fetch *all, const struct fetch_request *m)
{
    struct request *req = all->req;
    const struct shard *home = fetch_home(all);
    int64_t wait_ms = m->max_wait_ms;
    bool may_wait = wait_ms > 0 && m->min_bytes > 0 && all->part_count > 0;
    all->max_bytes =
        (uint32_t)u64_min((uint64_t)(m->max_bytes > 0 ? m->max_bytes : 0), server_config(req->server)->fetch_max_bytes);
    all->min_bytes = u64_min((uint64_t)(m->min_bytes > 0 ? m->min_bytes : 0), all->max_bytes);
    all->committed = m->isolation_level == 1;
    all->deadline_ns = may_wait ? home->now_ns + (uint64_t)wait_ms * NS_PER_MS : 0;
    req->context = all;
    req->cancel = cancel_fetch;
    request_release(req);
    look_at_all(all, may_wait);
}

void fetch_run(struct request *req)
{
    const struct fetch_request *m = REQUEST_DECODE(req, fetch_request);
    if (!m)
        return;
    struct sessions *ss = &req->server->sessions;
    uint64_t now = req->server->shard->now_ns;
    struct session *s = NULL;
    struct fetch *all = request_zalloc(req, sizeof *all);
    enum session_kind kind = SESSION_NONE;
    enum kerr error = all ? sessions_open_request(ss, m, req->version, now, &kind, &s) : KERR_NONE;
    if (error) {
        refuse_fetch(req, error);
        return;
    }
    if (all) {
        all->req = req;
        all->kind = kind;
        all->by_id = req->version >= 13;
        timer_init(&all->timer, fetch_wait_over);
    }
    if (!all || !take_fetch_parts(all, m, s)) {
        request_fail(req, no_memory);
        return;
    }
    if (kind == SESSION_NEW)
        s = sessions_create(ss, m, req->version, now);
    all->session_id = s ? s->id : 0;
    all->session_epoch = s ? s->epoch : 0;
    begin_fetch(all, m);
}
