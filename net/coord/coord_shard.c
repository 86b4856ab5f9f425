#include "net/coord/coord_shard.h"
#include "core/clock.h"
#include "core/log.h"
#include "net/limits.h"

/* --- one log --- */

static bool coord_part_offline(const struct coord_shard *c, int32_t i)
{
    const struct partition *p = store_partition(store_of(c->shard), c->topic_id, i);
    if (!p)
        return true;
    struct partition_facts facts = partition_facts(p);
    return facts.offline || facts.recovering;
}

static void open_coord_part(struct coord_shard *c, int32_t i)
{
    struct partition *p = store_partition(store_of(c->shard), c->topic_id, i);
    if (p)
        c->parts[i].log = c->open(c, p, i);
    if (p && !c->parts[i].log)
        log_error("no memory", "topic=%s partition=%d effect=\"it is not coordinated\"", c->topic->name, i);
}

static void coord_part_closed(void *arg)
{
    struct coord_part *p = arg;
    struct coord_shard *c = p->shard;
    p->log = NULL;
    p->closing = p->was_ready = false;
    if (c->stopping && --c->closing == 0)
        c->stopped(c);
}

static void close_coord_part(struct coord_part *p)
{
    p->closing = true;
    coord_log_close(p->log, coord_part_closed, p);
}

/* It failed because its partition was offline, which is back (a full disk has room again), or for want of memory a while ago. */
static bool may_reopen_coord_part(const struct coord_shard *c, int32_t i)
{
    const struct coord_part *p = &c->parts[i];
    if (p->closing || p->log->state != COORD_LOG_FAILED || coord_part_offline(c, i))
        return false;
    return p->was_offline || (p->log->may_pass && c->shard->now_ns - p->failed_ns >= COORD_REOPEN_MS * NS_PER_MS);
}

/* --- expiry --- */

static void expire_coord_log(struct coord_shard *c, struct coord_log *l)
{
    int64_t now_ms;
    if (c->expire && log_store_expiry_ms(&store_of(c->shard)->log, &now_ms)) /* else the clock jumped: not now */
        c->expire(l, now_ms);
}

static void start_coord_expiry(struct coord_shard *c)
{
    timer_start(&c->shard->timers, &c->expiry_timer, c->shard->now_ns + c->expire_every_ms * NS_PER_MS);
}

static void coord_expiry_due(struct timer *t)
{
    struct coord_shard *c = container_of(t, struct coord_shard, expiry_timer);
    for (int32_t i = 0; i < c->part_count; i++)
        if (c->parts[i].log)
            expire_coord_log(c, c->parts[i].log);
    start_coord_expiry(c);
}

void coord_shard_expire(struct coord_shard *c, int64_t every_ms, void (*expire)(struct coord_log *l, int64_t now_ms))
{
    assert(!c->expire && every_ms > 0);
    c->expire = expire;
    c->expire_every_ms = (uint64_t)every_ms;
    start_coord_expiry(c);
}

void coord_shard_ready(struct coord_shard *c, struct coord_log *l)
{
    struct coord_part *p = &c->parts[l->index];
    if (p->closing)
        return;
    bool is_ready = l->state == COORD_LOG_READY;
    p->was_offline = coord_part_offline(c, l->index);
    p->failed_ns = c->shard->now_ns;
    if (is_ready)
        p->was_ready = true;
    else if (p->was_ready) /* it has lost its memory, and reads it again */
        close_coord_part(p);
    if (is_ready)
        expire_coord_log(c, l);
}

/* --- questions --- */

static enum kerr coord_part_error(const struct coord_shard *c, int32_t i)
{
    const struct coord_log *l = c->parts[i].log;
    if (!l || c->stopping)
        return KERR_NOT_COORDINATOR;
    switch (l->state) {
    case COORD_LOG_LOADING: return KERR_COORDINATOR_LOAD_IN_PROGRESS;
    case COORD_LOG_READY: return KERR_NONE;
    case COORD_LOG_FAILED: return KERR_NOT_COORDINATOR;
    }
    assert(!"a state");
    return KERR_NOT_COORDINATOR;
}

/* Also when there was no memory for them as the topic was made. */
static enum err open_coord_parts(struct coord_shard *c, const struct topic *t)
{
    if (c->parts)
        return ERR_NONE;
    c->parts = heap_zalloc(c->shard->heap, (size_t)t->partitions * sizeof *c->parts);
    if (!c->parts)
        return ERR_NO_MEMORY;
    c->part_count = t->partitions;
    memcpy(c->topic_id, t->id, sizeof c->topic_id);
    for (int32_t i = 0; i < c->part_count; i++) {
        c->parts[i].shard = c;
        open_coord_part(c, i);
    }
    return ERR_NONE;
}

struct coord_log *coord_shard_log(struct coord_shard *c, int32_t partition, enum kerr *out_error)
{
    const struct topic *t = c->parts || c->stopping ? NULL : coord_topic_find(c->topic, store_of(c->shard));
    *out_error = KERR_NOT_COORDINATOR;
    if (t && open_coord_parts(c, t))
        return NULL;
    if (c->stopping || partition < 0 || partition >= c->part_count)
        return NULL;
    struct coord_part *p = &c->parts[partition];
    if (!p->log)
        open_coord_part(c, partition);
    else if (may_reopen_coord_part(c, partition))
        close_coord_part(p); /* the next question opens it */
    *out_error = coord_part_error(c, partition);
    return *out_error ? NULL : p->log;
}

struct coord_log *coord_shard_next_log(struct coord_shard *c, int32_t *cursor, enum kerr *out_error)
{
    *out_error = KERR_NONE;
    while (*cursor < c->part_count) {
        int32_t i = (*cursor)++;
        *out_error = coord_part_error(c, i);
        if (!*out_error)
            return c->parts[i].log;
        if (*out_error == KERR_COORDINATOR_LOAD_IN_PROGRESS)
            return NULL;
        *out_error = KERR_NONE; /* those of other shards, and what has failed: Kafka leaves it out, too */
    }
    return NULL;
}

/* --- life --- */

void coord_shard_topic_made(struct coord_shard *c, const struct topic *t)
{
    if (c->stopping || strcmp(t->name, c->topic->name) != 0)
        return;
    if (open_coord_parts(c, t))
        log_error("no memory", "topic=%s effect=\"nothing of it is coordinated yet\"", c->topic->name);
}

enum err coord_shard_start(struct coord_shard *c, struct shard *s, const struct coord_topic *topic,
                           struct coord_log *(*open)(struct coord_shard *c, struct partition *p, int32_t index))
{
    *c = (struct coord_shard){.shard = s, .topic = topic, .open = open};
    timer_init(&c->expiry_timer, coord_expiry_due);
    pace_init(&c->pace, s);
    const struct topic *t = coord_topic_find(topic, store_of(s));
    return t ? open_coord_parts(c, t) : ERR_NONE;
}

void coord_shard_stop(struct coord_shard *c, void (*stopped)(struct coord_shard *c))
{
    assert(!c->stopping);
    c->stopping = true;
    timer_stop(&c->shard->timers, &c->expiry_timer);
    c->stopped = stopped;
    c->closing = 1;
    for (int32_t i = 0; i < c->part_count; i++) {
        struct coord_part *p = &c->parts[i];
        if (!p->log)
            continue;
        c->closing++;
        if (!p->closing)
            close_coord_part(p);
    }
    if (--c->closing == 0)
        stopped(c);
}

void coord_shard_close(struct coord_shard *c)
{
    timer_stop(&c->shard->timers, &c->expiry_timer);
    heap_free(c->shard->heap, c->parts);
    c->parts = NULL;
    c->part_count = 0;
}
