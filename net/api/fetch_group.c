/* The owner's side of a Fetch: looking, watching, reading and releasing the partitions of one shard. */
#include "net/api/fetch.h"

static struct shard *home_of(const struct fetch_group *g)
{
    return g->all->req->server->shard;
}

static bool at_home(const struct fetch_group *g)
{
    return g->owner == home_of(g);
}

/* --- messages --- */

/* Runs `there` on the owner: now if that is home. */
static void go(struct fetch_group *g, void (*there)(struct shard *, struct shard_msg *))
{
    struct shard *home = home_of(g);
    if (g->owner_id == home->id) {
        g->owner = home;
        there(home, &g->msg);
        return;
    }
    shard_msg_init(&g->msg, there);
    shard_send(home, g->owner_id, &g->msg);
}

static struct fetch_group *group_of(struct shard_msg *msg)
{
    return container_of(msg, struct fetch_group, msg);
}

static void come_back(struct fetch_group *g, void (*at_home_then)(struct fetch_group *),
                      void (*message)(struct shard *, struct shard_msg *))
{
    if (at_home(g)) {
        at_home_then(g);
        return;
    }
    shard_msg_init(&g->msg, message);
    shard_send(g->owner, home_of(g)->id, &g->msg);
}

static void looked_message(struct shard *at, struct shard_msg *msg)
{
    (void)at;
    fetch_looked(group_of(msg));
}

static void read_message(struct shard *at, struct shard_msg *msg)
{
    (void)at;
    fetch_read(group_of(msg));
}

static void released_message(struct shard *at, struct shard_msg *msg)
{
    (void)at;
    fetch_released(group_of(msg));
}

/* --- looking --- */

static struct partition *partition_of(const struct fetch_part *p)
{
    return store_partition(store_of(p->group->owner), p->topic_id, p->partition);
}

/* KIP-320: a client that knows another epoch than ours must look again first. */
static enum kerr check_epoch(const struct fetch_part *p, int32_t epoch)
{
    if (p->current_leader_epoch < 0 || p->current_leader_epoch == epoch)
        return KERR_NONE;
    return p->current_leader_epoch < epoch ? KERR_FENCED_LEADER_EPOCH : KERR_UNKNOWN_LEADER_EPOCH;
}

/* KIP-595: does the log that the client has read so far differ from ours? */
static enum kerr check_divergence(struct fetch_part *p, const struct partition *at)
{
    int32_t epoch;
    int64_t end;
    if (p->last_fetched_epoch < 0)
        return KERR_NONE;
    partition_epoch_end(at, p->last_fetched_epoch, &epoch, &end);
    if (epoch < 0 || end < 0)
        return KERR_OFFSET_OUT_OF_RANGE;
    p->diverging = epoch < p->last_fetched_epoch || end < p->offset;
    p->diverging_epoch = epoch;
    p->diverging_end = end;
    return KERR_NONE;
}

/* A partition that cannot serve says so to a reader of nothing; below the watermark the read itself will say it. */
static enum kerr check_serving(const struct fetch_part *p, struct partition *at)
{
    struct part_read probe = {.offset = p->offset};
    if (p->has_data)
        return KERR_NONE;
    bool now = partition_read(at, &probe);
    assert(now);
    slices_deinit(&probe.slices);
    return probe.error;
}

static enum kerr judge(struct fetch_part *p, struct partition *at)
{
    if (!at)
        return p->group->all->by_id ? KERR_UNKNOWN_TOPIC_ID : KERR_UNKNOWN_TOPIC_OR_PARTITION;
    struct partition_facts f = partition_facts(at);
    p->high_watermark = f.high_watermark;
    p->last_stable_offset = f.last_stable_offset;
    p->log_start_offset = f.log_start_offset;
    p->has_data = false;
    p->diverging = false;
    if (f.offline)
        return KERR_KAFKA_STORAGE_ERROR;
    enum kerr error = check_epoch(p, f.leader_epoch);
    if (!error)
        error = check_divergence(p, at);
    if (!error && (p->offset < f.log_start_offset || p->offset > f.end_offset))
        error = KERR_OFFSET_OUT_OF_RANGE;
    if (error || p->diverging)
        return error;
    p->has_data = p->offset < f.high_watermark;
    return check_serving(p, at);
}

static void look_part(struct fetch_part *p)
{
    struct partition *at = partition_of(p);
    p->error = judge(p, at);
    p->available = 0;
    if (!p->error && p->has_data && p->max_bytes > 0)
        p->available = (uint32_t)partition_readable(at, p->offset, (uint64_t)p->max_bytes);
}

static void add_found(struct fetch_found *f, const struct fetch_part *p)
{
    f->available += p->available;
    f->urgent = f->urgent || p->error || p->diverging;
    if (p->has_data && p->place < f->first)
        f->first = p->place;
}

static void moved(struct watch *w);
static void moved_turn_end(struct shard_defer *d);

void fetch_group_watch(struct fetch_group *g)
{
    g->watching = true;
    for (struct fetch_part *p = g->first; p; p = p->next) {
        struct partition *at = partition_of(p);
        if (at)
            partition_watch(at, &p->watch);
    }
}

static void look(struct fetch_group *g)
{
    g->found = (struct fetch_found){.first = UINT32_MAX};
    for (struct fetch_part *p = g->first; p; p = p->next) {
        watch_init(&p->watch, moved);
        look_part(p);
        add_found(&g->found, p);
    }
    g->told = g->found;
}

static void look_there(struct shard *at, struct shard_msg *msg)
{
    struct fetch_group *g = group_of(msg);
    g->owner = at;
    shard_defer_init(&g->moved, moved_turn_end);
    look(g);
    if (g->watching)
        fetch_group_watch(g);
    come_back(g, fetch_looked, looked_message);
}

void fetch_group_look(struct fetch_group *g, bool watch)
{
    g->watching = watch;
    go(g, look_there);
}

/* --- waking --- */

static void wake_message(struct shard *at, struct shard_msg *msg)
{
    (void)at;
    fetch_woken(container_of(msg, struct fetch_group, wake));
}

static void wake_home(struct fetch_group *g)
{
    if (g->wake_out) {
        g->wake_again = true;
        return;
    }
    g->waked = g->found;
    if (at_home(g)) {
        fetch_woken(g);
        return;
    }
    g->wake_out = true;
    shard_msg_init(&g->wake, wake_message);
    shard_send(g->owner, home_of(g)->id, &g->wake);
}

static void moved_turn_end(struct shard_defer *d)
{
    struct fetch_group *g = container_of(d, struct fetch_group, moved);
    if (g->watching)
        wake_home(g);
}

/* The watermark moved: counted at once, told at the end of the turn. */
static void moved(struct watch *w)
{
    struct fetch_part *p = container_of(w, struct fetch_part, watch);
    struct fetch_group *g = p->group;
    assert(g->found.available >= p->available);
    g->found.available -= p->available;
    look_part(p);
    add_found(&g->found, p);
    shard_defer(g->owner, &g->moved);
}

static void rearm_there(struct shard *at, struct shard_msg *msg)
{
    (void)at;
    struct fetch_group *g = container_of(msg, struct fetch_group, wake);
    g->wake_out = false;
    if (g->wake_again && g->watching) {
        g->wake_again = false;
        wake_home(g);
    }
}

void fetch_group_rearm(struct fetch_group *g)
{
    struct shard *home = home_of(g);
    if (g->owner_id == home->id)
        return; /* it was a call, not a message */
    shard_msg_init(&g->wake, rearm_there);
    shard_send(home, g->owner_id, &g->wake);
}

/* --- reading --- */

static void unwatch(struct fetch_group *g)
{
    if (!g->watching)
        return;
    g->watching = false;
    list_remove(&g->moved.link);
    for (struct fetch_part *p = g->first; p; p = p->next)
        partition_unwatch(&p->watch);
}

static void part_done(struct fetch_group *g)
{
    assert(g->reading > 0);
    if (--g->reading == 0)
        come_back(g, fetch_read, read_message);
}

static void take_result(struct fetch_part *p)
{
    p->error = p->read.error;
    p->high_watermark = p->read.high_watermark;
    p->last_stable_offset = p->read.last_stable_offset;
    p->log_start_offset = p->read.log_start_offset;
}

static void read_done(struct part_read *r)
{
    struct fetch_part *p = container_of(r, struct fetch_part, read);
    take_result(p);
    part_done(p->group);
}

static void read_part(struct fetch_part *p, struct partition *at, uint32_t max_bytes, bool first_whole)
{
    struct fetch_group *g = p->group;
    p->read =
        (struct part_read){.offset = p->offset, .max_bytes = max_bytes, .first_whole = first_whole, .done = read_done};
    g->reading++;
    if (partition_read(at, &p->read)) {
        take_result(p);
        part_done(g);
    }
}

/* In the order of the request: each takes what is left of the budget, and the first one with data gives at least a batch. */
static void read_parts(struct fetch_group *g)
{
    uint32_t left = g->budget;
    bool whole = g->first_whole;
    for (struct fetch_part *p = g->first; p; p = p->next) {
        uint32_t limit = p->max_bytes < 0 ? 0 : (uint32_t)u64_min(left, (uint64_t)p->max_bytes);
        struct partition *at = partition_of(p);
        if (!at || p->error || !p->has_data || (limit == 0 && !whole))
            continue;
        read_part(p, at, limit, whole);
        left -= (uint32_t)u64_min(limit, p->available);
        whole = false;
    }
}

static void read_there(struct shard *at, struct shard_msg *msg)
{
    (void)at;
    struct fetch_group *g = group_of(msg);
    unwatch(g);
    g->reading = 1; /* for the loop itself */
    read_parts(g);
    part_done(g);
}

void fetch_group_read(struct fetch_group *g)
{
    go(g, read_there);
}

/* --- releasing --- */

static void release_there(struct shard *at, struct shard_msg *msg)
{
    (void)at;
    struct fetch_group *g = group_of(msg);
    for (struct fetch_part *p = g->first; p; p = p->next)
        if (p->read.slices.heap)
            slices_deinit(&p->read.slices);
    come_back(g, fetch_released, released_message);
}

void fetch_group_release(struct fetch_group *g)
{
    go(g, release_there);
}
