/* The owner's side of a Fetch: looking, watching, reading and releasing the partitions of one shard. */
#include "net/api/fetch.h"
#include "net/api/reply.h"
#include "storage/recovery/recoverer.h"

static struct shard *fetch_shard_home(const struct fetch_shard *g)
{
    return g->all->req->server->shard;
}

static bool is_fetch_home(const struct fetch_shard *g)
{
    return g->owner == fetch_shard_home(g);
}

/* --- messages --- */

/* Runs `there` on the owner: now if that is home. */
static void send_fetch_to_owner(struct fetch_shard *g, void (*there)(struct shard *, struct shard_msg *))
{
    struct shard *home = fetch_shard_home(g);
    if (g->owner_id == home->id) {
        g->owner = home;
        there(home, &g->msg);
        return;
    }
    shard_msg_init(&g->msg, there);
    shard_send(home, g->owner_id, &g->msg);
}

static struct fetch_shard *fetch_shard_of(struct shard_msg *msg)
{
    return container_of(msg, struct fetch_shard, msg);
}

static void send_fetch_home(struct fetch_shard *g, void (*at_home_then)(struct fetch_shard *),
                            void (*message)(struct shard *, struct shard_msg *))
{
    if (is_fetch_home(g)) {
        at_home_then(g);
        return;
    }
    shard_msg_init(&g->msg, message);
    shard_send(g->owner, fetch_shard_home(g)->id, &g->msg);
}

static void looked_arrived(struct shard *at, struct shard_msg *msg)
{
    (void)at;
    fetch_looked(fetch_shard_of(msg));
}

static void read_arrived(struct shard *at, struct shard_msg *msg)
{
    (void)at;
    fetch_read(fetch_shard_of(msg));
}

static void released_arrived(struct shard *at, struct shard_msg *msg)
{
    (void)at;
    fetch_released(fetch_shard_of(msg));
}

/* --- looking --- */

static struct partition *fetch_part_partition(const struct fetch_part *p)
{
    return store_partition(store_of(p->group->owner), p->topic_id, p->partition);
}

/* KIP-595: does the log that the client has read so far differ from ours? */
static enum kerr check_fetch_divergence(struct fetch_part *p, const struct partition *at,
                                        const struct partition_facts *f)
{
    int32_t epoch;
    int64_t end;
    if (p->last_fetched_epoch < 0)
        return KERR_NONE;
    partition_epoch_end(at, p->last_fetched_epoch, &epoch, &end);
    if (epoch < 0 && p->last_fetched_epoch == f->leader_epoch) { /* no batch of it is there yet */
        epoch = f->leader_epoch;
        end = f->end_offset;
    }
    if (epoch < 0 || end < 0)
        return KERR_OFFSET_OUT_OF_RANGE;
    p->diverging = epoch < p->last_fetched_epoch || end < p->offset;
    p->diverging_epoch = epoch;
    p->diverging_end = end;
    return KERR_NONE;
}

/* A partition that cannot serve says so to a reader of nothing; below the end of what may be read the read itself will say it. */
static enum kerr check_fetch_serving(const struct fetch_part *p, struct partition *at)
{
    struct part_read probe = {.offset = p->offset, .committed = p->group->all->committed};
    if (p->has_data)
        return KERR_NONE;
    bool now = partition_read(at, &probe);
    assert(now);
    slices_deinit(&probe.slices);
    return probe.error;
}

static enum kerr judge_fetch_part(struct fetch_part *p, struct partition *at)
{
    struct partition_facts f;
    enum kerr error = partition_check_asked(at, p->current_leader_epoch, KERR_NOT_LEADER_OR_FOLLOWER, &f);
    p->has_data = p->diverging = false;
    p->recovering = error == KERR_NOT_LEADER_OR_FOLLOWER;
    p->high_watermark = p->last_stable_offset = p->log_start_offset = -1;
    if (p->recovering) /* told as it is if there is no time to wait for it; the watch tells when it is recovered */
        recoverer_ask(at);
    if (error)
        return error;
    p->high_watermark = f.high_watermark;
    p->last_stable_offset = f.last_stable_offset;
    p->log_start_offset = f.log_start_offset;
    error = check_fetch_divergence(p, at, &f);
    if (!error && !p->diverging && (p->offset < f.log_start_offset || p->offset > f.end_offset))
        error = KERR_OFFSET_OUT_OF_RANGE;
    if (error || p->diverging)
        return error;
    p->has_data = p->offset < (p->group->all->committed ? f.last_stable_offset : f.high_watermark);
    return check_fetch_serving(p, at);
}

static void look_at_part(struct fetch_part *p)
{
    struct partition *at = fetch_part_partition(p);
    p->error = judge_fetch_part(p, at);
    p->available = 0;
    if (p->error || !p->has_data)
        return;
    if (p->max_bytes > 0)
        p->available = (uint32_t)partition_readable(at, p->offset, (uint64_t)p->max_bytes, p->group->all->committed);
    if (p->available == 0)
        p->available = 1; /* the first partition with data gives a batch, whatever its limit */
}

static void add_found_part(struct fetch_found *f, const struct fetch_part *p)
{
    f->available += p->available;
    f->urgent = f->urgent || (p->error && !p->recovering) || p->diverging;
    if (p->has_data && p->place < f->first)
        f->first = p->place;
}

static void watermark_moved(struct watch *w);
static void watermarks_moved(struct shard_defer *d);

void fetch_shard_watch(struct fetch_shard *g)
{
    g->watching = true;
    for (struct fetch_part *p = g->first; p; p = p->next) {
        struct partition *at = fetch_part_partition(p);
        if (at)
            partition_watch(at, &p->watch);
    }
}

/* A part that is watched is watched before it is looked at: nothing moves unseen, however many turns the look takes. */
static bool look_step(struct steps *s)
{
    struct fetch_shard *g = container_of(s, struct fetch_shard, steps);
    for (; steps_go_on(s); steps_spend(s, 1)) {
        struct fetch_part *p = g->next;
        if (!p) {
            g->looking = false;
            g->looked = g->found;
            send_fetch_home(g, fetch_looked, looked_arrived);
            return false;
        }
        struct partition *at = fetch_part_partition(p);
        watch_init(&p->watch, watermark_moved);
        if (g->watching && at)
            partition_watch(at, &p->watch);
        look_at_part(p);
        add_found_part(&g->found, p);
        g->next = p->next;
    }
    return true;
}

static void look_on_owner(struct shard *at, struct shard_msg *msg)
{
    struct fetch_shard *g = fetch_shard_of(msg);
    g->owner = at;
    shard_defer_init(&g->moved, watermarks_moved);
    g->found = (struct fetch_found){.first = UINT32_MAX};
    g->looking = true;
    g->next = g->first;
    steps_start(&server_of(at)->steps, &g->steps, look_step);
}

void fetch_shard_look(struct fetch_shard *g, bool watch)
{
    g->watching = watch;
    send_fetch_to_owner(g, look_on_owner);
}

/* --- waking --- */

static void wake_arrived(struct shard *at, struct shard_msg *msg)
{
    (void)at;
    fetch_woken(container_of(msg, struct fetch_shard, wake));
}

static void send_wake_home(struct fetch_shard *g)
{
    if (g->wake_out) {
        g->wake_again = true;
        return;
    }
    g->waked = g->found;
    if (is_fetch_home(g)) {
        fetch_woken(g);
        return;
    }
    g->wake_out = true;
    shard_msg_init(&g->wake, wake_arrived);
    shard_send(g->owner, fetch_shard_home(g)->id, &g->wake);
}

static void watermarks_moved(struct shard_defer *d)
{
    struct fetch_shard *g = container_of(d, struct fetch_shard, moved);
    if (g->watching && !g->looking) /* or else it is told with the rest */
        send_wake_home(g);
}

/* The watermark or the last stable offset moved: counted at once, told at the end of the turn. */
static void watermark_moved(struct watch *w)
{
    struct fetch_part *p = container_of(w, struct fetch_part, watch);
    struct fetch_shard *g = p->group;
    assert(g->found.available >= p->available);
    g->found.available -= p->available;
    look_at_part(p);
    add_found_part(&g->found, p);
    shard_defer(g->owner, &g->moved);
}

static void rearm_on_owner(struct shard *at, struct shard_msg *msg)
{
    (void)at;
    struct fetch_shard *g = container_of(msg, struct fetch_shard, wake);
    g->wake_out = false;
    if (g->wake_again && g->watching) {
        g->wake_again = false;
        send_wake_home(g);
    }
}

void fetch_shard_rearm(struct fetch_shard *g)
{
    struct shard *home = fetch_shard_home(g);
    if (g->owner_id == home->id)
        return; /* it was a call, not a message */
    shard_msg_init(&g->wake, rearm_on_owner);
    shard_send(home, g->owner_id, &g->wake);
}

/* --- reading --- */

static void fetch_part_read(struct fetch_shard *g)
{
    assert(g->reading > 0);
    if (--g->reading == 0)
        send_fetch_home(g, fetch_read, read_arrived);
}

static void take_read_result(struct fetch_part *p)
{
    p->error = p->read.error;
    p->group->holds_bufs |= p->read.slices.count > 0;
    p->high_watermark = p->read.high_watermark;
    p->last_stable_offset = p->read.last_stable_offset;
    p->log_start_offset = p->read.log_start_offset;
}

static void fetch_read_done(struct part_read *r)
{
    struct fetch_part *p = container_of(r, struct fetch_part, read);
    take_read_result(p);
    fetch_part_read(p->group);
}

static void read_fetch_part(struct fetch_part *p, struct partition *at, uint32_t max_bytes, bool first_whole)
{
    struct fetch_shard *g = p->group;
    p->read = (struct part_read){.offset = p->offset,
                                 .max_bytes = max_bytes,
                                 .first_whole = first_whole,
                                 .committed = g->all->committed,
                                 .done = fetch_read_done};
    g->reading++;
    if (partition_read(at, &p->read)) {
        take_read_result(p);
        fetch_part_read(g);
    }
}

/* In the order of the request: each takes what is left of the budget, and the first one with data gives at least a batch. */
static void read_part_in_turn(struct fetch_part *p)
{
    struct fetch_shard *g = p->group;
    uint32_t limit = p->max_bytes < 0 ? 0 : (uint32_t)u64_min(g->budget, (uint64_t)p->max_bytes);
    struct partition *at = fetch_part_partition(p);
    partition_unwatch(&p->watch);
    if (!at || p->error || !p->has_data || (limit == 0 && !g->first_whole))
        return;
    bool whole = g->first_whole;
    g->first_whole = false;
    g->budget -= (uint32_t)u64_min(limit, p->available);
    read_fetch_part(p, at, limit, whole);
}

static bool read_step(struct steps *s)
{
    struct fetch_shard *g = container_of(s, struct fetch_shard, steps);
    for (; steps_go_on(s); steps_spend(s, 1)) {
        struct fetch_part *p = g->next;
        if (!p) {
            list_remove(&g->moved.link); /* parts that were still watched may have moved meanwhile */
            fetch_part_read(g);
            return false;
        }
        g->next = p->next;
        read_part_in_turn(p);
    }
    return true;
}

static void read_on_owner(struct shard *at, struct shard_msg *msg)
{
    struct fetch_shard *g = fetch_shard_of(msg);
    g->watching = false;
    g->reading = 1; /* for the steps themselves */
    g->next = g->first;
    steps_start(&server_of(at)->steps, &g->steps, read_step);
}

void fetch_shard_read(struct fetch_shard *g)
{
    send_fetch_to_owner(g, read_on_owner);
}

/* --- releasing --- */

static bool release_step(struct steps *s)
{
    struct fetch_shard *g = container_of(s, struct fetch_shard, steps);
    for (; steps_go_on(s); steps_spend(s, 1)) {
        struct fetch_part *p = g->next;
        if (!p) {
            send_fetch_home(g, fetch_released, released_arrived);
            return false;
        }
        if (p->read.slices.heap)
            slices_deinit(&p->read.slices);
        g->next = p->next;
    }
    return true;
}

static void release_on_owner(struct shard *at, struct shard_msg *msg)
{
    struct fetch_shard *g = fetch_shard_of(msg);
    g->next = g->first;
    steps_start(&server_of(at)->steps, &g->steps, release_step);
}

void fetch_shard_release(struct fetch_shard *g)
{
    send_fetch_to_owner(g, release_on_owner);
}
