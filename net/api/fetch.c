/* Fetch at home: takes the request apart, decides when there is enough, waits without polling.
 *
 * Answered at once when nothing may be waited for, when there are min_bytes, or when some partition has an error; otherwise by
 * the watermark that moves, or after max_wait_ms (Kafka: ReplicaManager.fetchMessages, DelayedFetch). The replica id that a
 * client gives changes nothing: there are no followers. */
#include "core/clock.h"
#include "net/api/fetch.h"
#include "net/api/reply.h"

enum { BUCKETS_PER_UNIT = PAGE_BYTES / sizeof(struct fetch_part *) };

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

static void all_shards_read(struct countdown *c)
{
    fetch_reply(container_of(c, struct fetch, out));
}

static void read_all_shards(struct fetch *all)
{
    assert(all->state == FETCH_LOOKING || all->state == FETCH_PARKED);
    all->state = FETCH_READING;
    timer_stop(&fetch_home(all)->timers, &all->timer);
    share_fetch_budget(all);
    countdown_begin(&all->out, all_shards_read);
    for (uint16_t i = 0; i < all->group_count; i++) {
        struct fetch_shard *g = all->groups[i];
        if (!g->watching_asked && !g->budget && !g->first_whole)
            continue; /* nothing to take, nothing to end */
        countdown_add(&all->out);
        fetch_shard_read(g);
    }
    countdown_done(&all->out);
}

void fetch_read(struct fetch_shard *g)
{
    countdown_done(&g->all->out);
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

static void read_or_park(struct countdown *c)
{
    struct fetch *all = container_of(c, struct fetch, out);
    if (fetch_has_enough(all) || all->deadline_ns <= fetch_home(all)->now_ns || all->req->server->stopping)
        read_all_shards(all);
    else
        park_fetch(all);
}

void fetch_looked(struct fetch_shard *g)
{
    g->known = g->looked; /* a wake can only come after this */
    countdown_done(&g->all->out);
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

/* Finds the topic; `in`: in the session, or NULL. False: there is no such partition. */
static bool resolve_fetch_part(struct fetch *all, struct fetch_part *p, struct session_part *in)
{
    const struct catalog *c = server_catalog(all->req->server);
    const struct topic *t =
        all->by_id ? catalog_by_id(c, p->topic_id) : catalog_by_name(c, p->name.at, (size_t)p->name.n);
    if (!t || p->partition < 0 || p->partition >= t->partitions) {
        p->error = missing_part_error(all, t, in);
        all->urgent = true;
        return false;
    }
    if (in)
        session_part_found(&all->req->server->sessions, in, t);
    memcpy(p->topic_id, t->id, sizeof p->topic_id);
    return true;
}

/* To those of its owner. False: no memory. */
static bool place_fetch_part(struct fetch *all, struct fetch_part *p)
{
    struct fetch_shard *g = fetch_shard_for(all, topic_shard(p->topic_id, p->partition, fetch_home(all)->count));
    if (!g)
        return false;
    p->group = g;
    *(g->last ? &g->last->next : &g->first) = p;
    g->last = p;
    return true;
}

/* The next part of the request; names are copied once per run of equal ones. NULL: no memory. */
static struct fetch_part *add_fetch_part(struct fetch *all, struct kview name, const uint8_t id[16], int32_t partition)
{
    assert(all->part_count < all->part_room);
    struct fetch_part *p = &all->parts[all->part_count];
    struct kview last = all->part_count ? p[-1].name : (struct kview){.n = -1};
    memset(p, 0, sizeof *p);
    p->name = kview_same(last, name) ? last : request_copy(all->req, name);
    if (p->name.n < 0)
        return NULL;
    memcpy(p->topic_id, id, sizeof p->topic_id);
    p->partition = partition;
    all->topic_runs += all->part_count == 0 || !fetch_same_topic(all, p - 1, p);
    p->place = all->part_count++;
    return p;
}

/* Seeded for each request: peers choose the partitions, and must not be able to choose some that collide. */
static uint64_t fetch_part_hash(const struct fetch *all, const struct fetch_part *p)
{
    struct rng mix = {all->seed ^ be64_get(p->topic_id)};
    mix = (struct rng){rng_next(&mix) ^ be64_get(p->topic_id + 8) ^ (uint64_t)p->partition << 32};
    return rng_next(&mix);
}

/* The part with the same topic and partition, among those that were taken before it: of a partition that is named twice the last
 * one counts, as in Kafka. NULL: there is none, and this one is found from now on. */
static struct fetch_part *find_same_part(struct fetch *all, struct fetch_part *p)
{
    struct fetch_part **bucket = &all->buckets[fetch_part_hash(all, p) & (all->bucket_count - 1)];
    for (struct fetch_part *q = *bucket; q; q = q->bucket_next)
        if (q->partition == p->partition && memcmp(q->topic_id, p->topic_id, sizeof q->topic_id) == 0)
            return q;
    p->bucket_next = *bucket;
    *bucket = p;
    return NULL;
}

static bool take_asked_part(struct fetch *all, const struct fetch_topic *t, const struct fetch_partition *in)
{
    struct fetch_part *p = add_fetch_part(all, t->topic, t->topic_id.b, in->partition);
    if (!p)
        return false;
    bool there = resolve_fetch_part(all, p, NULL);
    struct fetch_part *same = there ? find_same_part(all, p) : NULL;
    if (same) {
        all->part_count--;
        p = same;
    } else if (there && !place_fetch_part(all, p)) {
        return false;
    }
    p->offset = in->fetch_offset;
    p->max_bytes = in->partition_max_bytes;
    p->current_leader_epoch = in->current_leader_epoch;
    p->last_fetched_epoch = in->last_fetched_epoch;
    return true;
}

static bool take_session_part(struct fetch *all, struct session_part *in)
{
    struct fetch_part *p = add_fetch_part(all, session_part_name(in), session_part_id(in), session_part_partition(in));
    if (!p)
        return false;
    p->offset = in->fetch_offset;
    p->max_bytes = in->max_bytes;
    p->current_leader_epoch = in->current_leader_epoch;
    p->last_fetched_epoch = in->last_fetched_epoch;
    return !resolve_fetch_part(all, p, in) || place_fetch_part(all, p);
}

static uint32_t count_fetch_partitions(const struct fetch_request *m)
{
    uint32_t count = 0; /* each took bytes of the frame, so it cannot overflow */
    for (int32_t i = 0; i < m->topics.n; i++)
        count += (uint32_t)m->topics.v[i].partitions.n;
    return count;
}

/* The next partition of the request; NULL: there are no more. */
static const struct fetch_partition *next_asked_partition(struct fetch *all, const struct fetch_topic **out_topic)
{
    const struct fetch_request *m = all->ask;
    for (; all->at_topic < m->topics.n; all->at_topic++, all->at_partition = 0) {
        *out_topic = &m->topics.v[all->at_topic];
        if (all->at_partition < (*out_topic)->partitions.n)
            return &(*out_topic)->partitions.v[all->at_partition++];
    }
    return NULL;
}

/* The next one that the session forgets. False: there are no more. */
static bool forget_next_partition(struct fetch *all)
{
    const struct fetch_request *m = all->ask;
    for (; all->at_topic < m->forgotten_topics_data.n; all->at_topic++, all->at_partition = 0) {
        const struct fetch_forgotten_topic *t = &m->forgotten_topics_data.v[all->at_topic];
        if (all->at_partition == t->partitions.n)
            continue;
        session_forget(&all->req->server->sessions, all->session, t, t->partitions.v[all->at_partition++]);
        return true;
    }
    return false;
}

/* The session has no room for all: the client begins anew, and a new one is served without. */
static enum kerr give_up_session(struct fetch *all)
{
    sessions_close(&all->req->server->sessions, all->session);
    server_free_sessions(all->req->server);
    all->session = NULL;
    enum kerr error = all->kind == SESSION_NEXT ? KERR_FETCH_SESSION_ID_NOT_FOUND : KERR_NONE;
    all->kind = SESSION_NONE;
    return error;
}

/* False: no memory. */
static bool begin_taking(struct fetch *all)
{
    uint32_t room = all->session ? all->session->count : count_fetch_partitions(all->ask);
    all->taking = all->session ? FETCH_TAKING : FETCH_CLEARING;
    all->at_topic = all->at_partition = 0;
    all->session_at = all->session ? all->session->order.next : NULL;
    all->part_room = room;
    all->parts = request_alloc(all->req, room * sizeof *all->parts);
    for (all->bucket_count = 1; all->bucket_count < room;)
        all->bucket_count *= 2;
    if (!all->session) {
        all->seed = rng_next(&fetch_home(all)->rng);
        all->buckets = request_alloc(all->req, all->bucket_count * sizeof *all->buckets);
    }
    return all->parts && (all->session || all->buckets);
}

/* The next page of them: a unit of a step, with what it takes to fault it in. */
static void clear_some_buckets(struct fetch *all)
{
    uint32_t n = all->bucket_count - all->buckets_cleared;
    if (n > BUCKETS_PER_UNIT)
        n = BUCKETS_PER_UNIT;
    memset(all->buckets + all->buckets_cleared, 0, n * sizeof *all->buckets);
    all->buckets_cleared += n;
    if (all->buckets_cleared == all->bucket_count)
        all->taking = FETCH_TAKING;
}

/* One partition of the session or of the request. False: no memory, or (over) there are no more. */
static bool take_next_part(struct fetch *all, bool *out_over)
{
    if (all->session) {
        struct list *node = all->session_at;
        *out_over = node == &all->session->order;
        if (*out_over)
            return false;
        all->session_at = node->next;
        return take_session_part(all, container_of(node, struct session_part, link));
    }
    const struct fetch_topic *t;
    const struct fetch_partition *in = next_asked_partition(all, &t);
    *out_over = !in;
    return in && take_asked_part(all, t, in);
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
    /* home's own alone, looked at in one step: parts need no watch before it is known that they are waited for */
    bool alone = all->group_count == 1 && all->groups[0]->owner_id == fetch_home(all)->id &&
                 all->part_count < steps_first_units(&all->req->server->steps);
    all->state = FETCH_LOOKING;
    countdown_begin(&all->out, read_or_park);
    for (uint16_t i = 0; i < all->group_count; i++) {
        all->groups[i]->watching_asked = may_wait && !alone;
        countdown_add(&all->out);
        fetch_shard_look(all->groups[i], all->groups[i]->watching_asked);
    }
    countdown_done(&all->out);
}

static void begin_fetch(struct fetch *all)
{
    struct request *req = all->req;
    const struct fetch_request *m = all->ask;
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

static void end_taking(struct fetch *all)
{
    bool next = all->kind == SESSION_NEXT;
    if (all->session)
        all->session = session_settle(&all->req->server->sessions, all->session, next, fetch_home(all)->now_ns);
    server_free_sessions(all->req->server);
    if (!all->session)
        all->kind = SESSION_NONE;
    all->session_id = all->session ? all->session->id : 0;
    all->session_epoch = all->session ? all->session->epoch : 0;
    all->session = NULL; /* others may end it from now on */
    begin_fetch(all);
}

static void fail_fetch(struct fetch *all)
{
    if (all->session)
        sessions_close(&all->req->server->sessions, all->session);
    server_free_sessions(all->req->server);
    request_fail(all->req, no_memory);
}

/* The session's changes, one partition. False: it is over, with an error or because all are taken in. */
static bool change_session(struct fetch *all, enum kerr *out_error)
{
    const struct fetch_topic *t;
    *out_error = KERR_NONE;
    if (all->taking == FETCH_FORGETTING)
        return forget_next_partition(all);
    const struct fetch_partition *in = next_asked_partition(all, &t);
    if (!in) {
        all->taking = FETCH_FORGETTING;
        all->at_topic = all->at_partition = 0;
        return all->kind == SESSION_NEXT;
    }
    if (session_put(&all->req->server->sessions, all->session, t, in))
        return true;
    *out_error = give_up_session(all);
    return false;
}

static bool take_step(struct steps *s)
{
    struct fetch *all = container_of(s, struct fetch, steps);
    for (; steps_go_on(s); steps_spend(s, 1)) {
        enum kerr error = KERR_NONE;
        bool over = false;
        if (all->taking == FETCH_CLEARING) {
            clear_some_buckets(all);
            continue;
        }
        if (all->taking == FETCH_TAKING) {
            if (take_next_part(all, &over))
                continue;
            if (over)
                end_taking(all);
            else
                fail_fetch(all);
            return false;
        }
        if (change_session(all, &error))
            continue;
        if (error) {
            refuse_fetch(all->req, error);
            return false;
        }
        if (!begin_taking(all)) {
            fail_fetch(all);
            return false;
        }
    }
    return true;
}

void fetch_run(struct request *req)
{
    const struct fetch_request *m = REQUEST_DECODE(req, fetch_request);
    if (!m)
        return;
    struct fetch *all = request_zalloc(req, sizeof *all);
    if (!all) {
        request_fail(req, no_memory);
        return;
    }
    all->req = req;
    all->ask = m;
    all->by_id = req->version >= 13;
    timer_init(&all->timer, fetch_wait_over);
    enum kerr error = sessions_open_request(&req->server->sessions, m, req->version, fetch_home(all)->now_ns,
                                            &all->kind, &all->session);
    server_free_sessions(req->server);
    if (error)
        refuse_fetch(req, error);
    else if (!all->session && !begin_taking(all))
        fail_fetch(all);
    else
        steps_start(&req->server->steps, &all->steps, take_step);
}
