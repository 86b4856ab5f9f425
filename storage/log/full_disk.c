/* As the disk fills up (full_disk.h). */
#include "storage/log/full_disk.h"
#include "core/clock.h"
#include "core/log.h"
#include "storage/log/deleter.h"
#include "storage/log/partition_state.h"
#include <string.h>

enum {
    MEASURE_MS = 500,
    MEASURE_NEAR_MS = 20,  /* 1 GB/s fills 20 MB meanwhile ... */
    NEAR_BYTES = 1 << 30,  /* ... and half of this in MEASURE_MS */
    MEASURE_ASKED_MS = 2,  /* somebody found no room */
    NEAR_RESERVES = 4,     /* near: less than so many reserves are free, or a quarter of the disk */
    RESERVE_PART = 20,     /* of the disk, unless disk.reserve.bytes says how much ... */
    RESERVE_MAX = 1 << 30, /* ... and no more than this */
    RING_SEGMENTS = 8,     /* active segments of rings hold so much less than the disk, all together */
    RING_SEGMENT_BYTES_MIN = 256 * 1024,
    BALLAST_BYTES = 4 * 1024 * 1024,
    BALLAST_PART = 64,        /* of a small disk */
    DROPPING_S = 1,           /* a partition that takes longer stands aside for others */
    SAID_S = 60,              /* the log says so often that the disk is full */
    BALLAST_STEP = 64 * 1024, /* more than any of those who get it needs at a time */
    GIVEN_S = 2,              /* who got something of it has so long to take it */
    SLOWED_S = 30,            /* an append to a ring waits so long at most, since files last went */
    FULL_S = 10,              /* somebody found no room so long ago: the disk counts as full */
    RINGS_A_TURN = 1024,      /* partitions that are looked at for the oldest segment, some 100 us */
};
static const int64_t nothing_ms = INT64_MAX;

/* The look for the oldest segment goes over all rings, some in each turn. */
struct ring_walk {
    struct list *at; /* the next one; NULL: it is over */
    struct partition *oldest;
    int64_t ms,
        limit_ms; /* of its oldest segment; of the next one's: up to there it may drop before that one's turn comes */
};

struct full_disk {
    struct log_store *store;
    struct list rings; /* partitions */
    struct ring_walk walk;
    bool walked; /* since the first ring came: what the walk found counts */
    uint32_t ring_count;
    bool internal; /* an internal topic has partitions here */
    bool pressed;  /* less than the reserve is free */
    bool starved;  /* a ring found no room, whatever the measure says; the shard that has the oldest drops it */
    bool busy, stopped;
    void (*over)(struct log_store *ls); /* of a stop that waits for the job */
    uint64_t deficit, given_at_ns, dropping_at_ns, said_at_ns, full_seen_ns;
    struct partition *dropping; /* of this one segments go; NULL: none */
    struct timer timer;
    struct io_op op;
    /* the job's */
    uint64_t total_bytes, free_bytes;
    uint64_t give_bytes;
    bool fills, gave;
    enum err err;
};

static struct full_disk *full_disk_of(const struct partition *p)
{
    assert(p->store->full_disk);
    return p->store->full_disk;
}

static uint64_t reserve_bytes(const struct full_disk *d)
{
    int64_t set = d->store->root->config->disk_reserve_bytes;
    return set >= 0 ? (uint64_t)set : u64_min(d->total_bytes / RESERVE_PART, RESERVE_MAX);
}

/* --- which is the oldest --- */

static int64_t end_of_oldest(const struct partition *p)
{
    assert(p->segments.count > 0);
    return p->segments.count > 1 ? segments_at(&p->segments, 1)->base_offset : p->end.offset;
}

/* Its oldest segment, if it may go: when all of it is stable. An active one is rolled first. */
static struct segment *oldest_of_ring(const struct partition *p)
{
    if (p->condition != PARTITION_OPEN || p->segments.count == 0 || p->retention.state != RETENTION_IDLE)
        return NULL;
    struct segment *s = segments_at(&p->segments, 0);
    return s->bytes == 0 || end_of_oldest(p) > last_stable_offset(p) ? NULL : s;
}

static void begin_ring_walk(struct full_disk *d)
{
    assert(!d->walk.at);
    d->walk = (struct ring_walk){.at = d->rings.next, .ms = nothing_ms, .limit_ms = nothing_ms};
}

/* True: it is over. */
static bool walk_some_rings(struct full_disk *d)
{
    struct ring_walk *w = &d->walk;
    assert(w->at);
    for (uint32_t i = 0; w->at != &d->rings; i++, w->at = w->at->next) {
        if (i == RINGS_A_TURN)
            return false;
        struct partition *p = container_of(w->at, struct partition, ring_link);
        const struct segment *s = oldest_of_ring(p);
        if (!s)
            continue;
        if (s->written_ms < w->ms) {
            w->limit_ms = w->ms;
            w->ms = s->written_ms;
            w->oldest = p;
        } else if (s->written_ms < w->limit_ms) {
            w->limit_ms = s->written_ms;
        }
    }
    w->at = NULL;
    d->walked = true;
    return true;
}

/* Of this shard. Few are looked at now; of many the last walk tells, and before the first one there may be something. */
static bool has_oldest_ring(const struct full_disk *d)
{
    assert(d->ring_count > 0 || list_empty(&d->rings));
    if (d->ring_count > RINGS_A_TURN)
        return !d->walked || d->walk.at || d->walk.oldest;
    bool found = false;
    for (struct list *l = d->rings.next; l != &d->rings && !found; l = l->next)
        found = oldest_of_ring(container_of(l, struct partition, ring_link));
    return found;
}

static int64_t oldest_of_others(const struct full_disk *d)
{
    assert(d->store->shard->id < d->store->shard->count);
    const struct full_disk_board *b = &d->store->root->board;
    int64_t oldest_ms = nothing_ms;
    for (uint32_t i = 0; i < d->store->shard->count; i++) {
        int64_t ms = atomic_load_explicit(&b->oldest_ms[i], memory_order_relaxed);
        if (i != d->store->shard->id && ms != 0 && ms < oldest_ms)
            oldest_ms = ms;
    }
    return oldest_ms;
}

static bool is_any_starved(const struct full_disk *d)
{
    assert(d->store->shard->count <= SHARDS_MAX);
    const struct full_disk_board *b = &d->store->root->board;
    bool starved = false;
    for (uint32_t i = 0; i < d->store->shard->count; i++)
        starved |= atomic_load_explicit(&b->starved[i], memory_order_relaxed);
    return starved;
}

static void note_on_board(struct full_disk *d, int64_t oldest_ms)
{
    struct full_disk_board *b = &d->store->root->board;
    uint16_t id = d->store->shard->id;
    assert(id < SHARDS_MAX);
    atomic_store_explicit(&b->oldest_ms[id], oldest_ms, memory_order_relaxed);
    atomic_store_explicit(&b->starved[id], d->starved, memory_order_relaxed);
    d->starved = false;
}

/* There is somebody to whom it matters how full the disk is. */
static bool is_watched(const struct full_disk *d)
{
    assert(d->ring_count > 0 || list_empty(&d->rings));
    return d->internal || d->ring_count > 0;
}

/* --- dropping --- */

/* Or sooner, if somebody wanted that. */
static void measure_in(struct full_disk *d, uint64_t ns)
{
    uint64_t at_ns = d->store->shard->now_ns + ns;
    bool sooner = timer_started(&d->timer) && d->timer.deadline_ns <= at_ns;
    if (!d->stopped && !d->busy && !d->walk.at && !sooner)
        timer_start(&d->store->shard->timers, &d->timer, at_ns);
}

static bool hurry_waiting_files(struct full_disk *d)
{
    struct deleter *deleter = d->store->deleter;
    assert(d->pressed);
    if (!deleter_waits(deleter))
        return false;
    deleter_hurry(deleter, d->store->shard->now_ns + NS_PER_S);
    return true;
}

/* Whichever shard found it out. */
static void hurry_if_full(struct full_disk *d)
{
    uint64_t full_ns = atomic_load_explicit(&d->store->root->board.full_at_ns, memory_order_relaxed);
    if (full_ns == d->full_seen_ns)
        return;
    assert(full_ns > 0);
    d->full_seen_ns = full_ns;
    deleter_hurry(d->store->deleter, full_ns + FULL_S * NS_PER_S);
}

static bool is_still_dropping(struct full_disk *d)
{
    assert(d->pressed);
    const struct partition *p = d->dropping;
    bool over = !p ||
                (p->retention.state == RETENTION_IDLE && p->trimmer.state == TRIMMER_IDLE &&
                 list_empty(&p->trimmer.dropped) && p->trimmer.unlinks == 0) ||
                d->store->shard->now_ns - d->dropping_at_ns > DROPPING_S * NS_PER_S;
    if (over)
        d->dropping = NULL;
    return !over;
}

static void drop_oldest_segments(struct full_disk *d)
{
    assert(d->deficit > 0);
    int64_t limit_ms = d->walk.limit_ms, others_ms = oldest_of_others(d);
    if (is_still_dropping(d) || hurry_waiting_files(d))
        return;
    struct partition *p = d->walk.oldest;
    const struct segment *oldest = p ? oldest_of_ring(p) : NULL; /* since it was looked at it may have gone */
    limit_ms = limit_ms < others_ms ? limit_ms : others_ms;
    if (!oldest || oldest->written_ms > limit_ms)
        return;
    uint64_t now_ns = d->store->shard->now_ns;
    if (!d->said_at_ns || now_ns - d->said_at_ns > SAID_S * NS_PER_S) {
        log_warn(
            "disk full",
            "free=%llu reserve=%llu effect=\"the oldest segments of topics with disk.full.policy=delete-oldest go\"",
            (unsigned long long)d->free_bytes, (unsigned long long)reserve_bytes(d));
        d->said_at_ns = now_ns;
    }
    d->dropping = p;
    d->dropping_at_ns = now_ns;
    retention_drop_oldest(p, d->deficit, limit_ms);
}

/* --- measuring --- */

static int32_t run_measure_job(void *arg)
{
    struct full_disk *d = arg;
    struct log_store *ls = d->store;
    d->gave = d->give_bytes > 0 && ballast_give(&ls->ballast, d->give_bytes);
    d->err = fs_space(ls->root->config->data_dir, &d->total_bytes, &d->free_bytes);
    if (d->err != ERR_NONE || !d->fills)
        return 0;
    uint64_t wanted = u64_min(BALLAST_BYTES, align_up(d->total_bytes / BALLAST_PART, PAGE_BYTES));
    if (wanted > 0)
        err_ignore(ballast_fill(&ls->ballast, wanted)); /* it stays short, and shows it */
    return 0;
}

/* All active segments of rings together. */
static void size_ring_segments(struct full_disk *d, bool near)
{
    assert(d->ring_count > 0 || list_empty(&d->rings));
    uint64_t each = d->ring_count ? d->total_bytes / RING_SEGMENTS / d->ring_count / d->store->shard->count : 0;
    each = near ? u64_max(each, RING_SEGMENT_BYTES_MIN) : UINT32_MAX;
    d->store->ring_segment_bytes = (uint32_t)u64_min(each, UINT32_MAX);
}

/* It is known how much is free, and which segment is the oldest. */
static void act_on_measure(struct full_disk *d)
{
    assert(!d->walk.at && !d->busy);
    uint64_t reserve = reserve_bytes(d);
    bool near = d->free_bytes < u64_max(reserve * NEAR_RESERVES, d->total_bytes / 4);
    note_on_board(d, d->walk.ms);
    d->pressed = d->ring_count > 0 && (d->free_bytes < reserve || is_any_starved(d));
    d->deficit = u64_max(reserve > d->free_bytes ? reserve - d->free_bytes : 0, 1);
    size_ring_segments(d, near);
    if (d->pressed)
        drop_oldest_segments(d);
    bool often = near || d->pressed || d->free_bytes < NEAR_BYTES;
    measure_in(d, (often ? MEASURE_NEAR_MS : MEASURE_MS) * NS_PER_MS);
}

static void go_on_with_walk(struct full_disk *d)
{
    assert(!d->busy);
    if (walk_some_rings(d))
        act_on_measure(d);
    else
        timer_start(&d->store->shard->timers, &d->timer, d->store->shard->now_ns + 1); /* in the next turn */
}

static void measured(struct io_op *op, int32_t res)
{
    (void)res;
    struct full_disk *d = container_of(op, struct full_disk, op);
    struct log_store *ls = d->store;
    assert(d->busy);
    d->busy = false;
    d->give_bytes = 0;
    if (d->over)
        d->over(ls);
    if (d->stopped || d->err != ERR_NONE) {
        measure_in(d, MEASURE_MS * NS_PER_MS);
        return;
    }
    if (d->free_bytes > ls->free_bytes || d->gave)
        log_store_retry_now(ls);
    ls->free_bytes = d->free_bytes;
    d->starved |= d->fills && ballast_is_short(ls->ballast.level);
    begin_ring_walk(d);
    go_on_with_walk(d);
}

static void measure_disk(struct timer *t)
{
    struct full_disk *d = container_of(t, struct full_disk, timer);
    if (d->stopped || d->busy)
        return;
    if (d->walk.at) {
        go_on_with_walk(d);
        return;
    }
    hurry_if_full(d);
    if (!is_watched(d)) { /* no more: no other shard waits for what is not there */
        d->pressed = d->starved = false;
        ballast_forget(&d->store->ballast);
        note_on_board(d, nothing_ms);
        measure_in(d, MEASURE_MS * NS_PER_MS);
        return;
    }
    d->busy = true;
    uint64_t now_ns = d->store->shard->now_ns;
    if (d->give_bytes > 0)
        d->given_at_ns = now_ns;
    d->fills =
        d->give_bytes == 0 && now_ns - d->given_at_ns > GIVEN_S * NS_PER_S; /* else it would take back what it gave */
    io_job(d->store->shard->io, &d->op, IO_URGENT, run_measure_job, d, measured);
}

void full_disk_freed(struct log_store *ls)
{
    struct full_disk *d = ls->full_disk;
    atomic_store_explicit(&ls->root->board.freed_at_ns, ls->shard->now_ns, memory_order_relaxed);
    if (d->pressed)
        measure_in(d, 0);
}

void full_disk_found_full(struct log_store *ls)
{
    atomic_store_explicit(&ls->root->board.full_at_ns, ls->shard->now_ns, memory_order_relaxed);
    hurry_if_full(ls->full_disk);
}

/* --- who finds no room --- */

static bool is_ring(const struct partition *p)
{
    assert(p->topic);
    return config_of(p)->ring && !p->topic->internal;
}

/* A transaction that is open begins in its oldest segment: nothing of it goes before that ends. */
static bool is_held_by_transaction(const struct partition *p)
{
    assert(p->segments.count > 0);
    return p->producers && producers_open_transactions(p->producers) > 0 &&
           producers_first_unstable(p->producers) < end_of_oldest(p);
}

/* Also what is not promised yet, or about to go: it can be dropped soon. When a transaction ends, nobody knows; and its marker would stand
 * behind the append that waits. */
static bool has_something_to_drop(const struct full_disk *d, const struct partition *p)
{
    assert(p->end.position == 0 || p->active);
    bool own = (p->end.position > 0 || p->segments.count > 1) && !is_held_by_transaction(p);
    return own || d->dropping || has_oldest_ring(d) || oldest_of_others(d) != nothing_ms;
}

/* What it waits to append ends a transaction, and so lets go of segments that it may hold. */
static bool ends_transaction(const struct partition *p)
{
    const struct list *l = list_first(&p->writer.parked);
    return l && container_of(l, const struct append, link)->marker && is_ring(p);
}

/* It waited long enough, and nothing has gone for as long. */
static bool is_slowed_too_long(const struct partition *p)
{
    assert(is_ring(p) || p->topic->internal);
    uint64_t since_ns = p->space.short_since_ns, now_ns = p->store->shard->now_ns,
             freed_ns = atomic_load_explicit(&p->store->root->board.freed_at_ns, memory_order_relaxed);
    uint64_t last_ns = u64_max(since_ns, freed_ns); /* another shard's clock may be ahead */
    return since_ns && now_ns > last_ns && now_ns - last_ns > SLOWED_S * NS_PER_S;
}

bool full_disk_helps(struct partition *p)
{
    struct full_disk *d = full_disk_of(p);
    uint64_t now_ns = p->store->shard->now_ns;
    bool given = (p->topic->internal || ends_transaction(p)) && atomic_load(&p->store->ballast.level->bytes) > 0;
    if (!given && !(is_ring(p) && has_something_to_drop(d, p)))
        return false;
    if (!p->space.short_since_ns && !list_empty(&p->writer.parked))
        p->space.short_since_ns = now_ns;
    if (is_slowed_too_long(p))
        return false; /* space_full follows */
    if (given && !d->busy)
        d->give_bytes = BALLAST_STEP;
    if (!given &&
        !full_disk_is_reserved(p)) /* else it waits for the reserve: whether that finds room, a measure tells */
        d->starved = true;
    measure_in(d, MEASURE_ASKED_MS * NS_PER_MS);
    log_store_retry_later(p->store, p);
    return true;
}

bool full_disk_comes_first(const struct partition *p)
{
    return p->topic->internal || is_ring(p) || p->retention.state == RETENTION_ROLLING;
}

bool full_disk_is_reserved(const struct partition *p)
{
    const struct full_disk_board *b = &p->store->root->board;
    bool is_short = false;
    for (uint32_t i = 0; i < p->store->shard->count; i++)
        is_short |= ballast_is_short(&b->ballast[i]);
    return is_short && !p->topic->internal && !ends_transaction(p);
}

bool full_disk_is_pressed(const struct partition *p)
{
    return full_disk_of(p)->pressed && is_ring(p);
}

bool full_disk_unlinks_at_once(const struct partition *p)
{
    const struct full_disk *d = full_disk_of(p);
    uint64_t full_ns = d->full_seen_ns, now_ns = p->store->shard->now_ns;
    return full_disk_is_pressed(p) || (full_ns && now_ns < full_ns + FULL_S * NS_PER_S);
}

/* --- life --- */

static void leave_rings(struct full_disk *d, struct partition *p)
{
    assert(d->ring_count > 0);
    struct ring_walk *w = &d->walk;
    if (w->at == &p->ring_link)
        w->at = p->ring_link.next;
    if (w->oldest == p) { /* the next walk finds another one */
        w->oldest = NULL;
        w->ms = nothing_ms;
    }
    list_remove(&p->ring_link);
    d->ring_count--;
}

void full_disk_note(struct partition *p)
{
    struct full_disk *d = full_disk_of(p);
    bool watched = is_watched(d);
    d->internal |= p->topic->internal;
    if (is_ring(p) && !list_linked(&p->ring_link)) {
        list_push(&d->rings, &p->ring_link);
        d->ring_count++;
    } else if (!is_ring(p) && list_linked(&p->ring_link)) {
        leave_rings(d, p);
    }
    if (!watched && is_watched(d)) /* the ballast is there before the disk can be full */
        measure_in(d, 0);
}

void full_disk_forget(struct partition *p)
{
    struct full_disk *d = full_disk_of(p);
    if (d->dropping == p)
        d->dropping = NULL;
    if (list_linked(&p->ring_link))
        leave_rings(d, p);
}

struct full_disk *full_disk_open(struct log_store *ls)
{
    assert(!ls->full_disk);
    struct full_disk *d = heap_zalloc(ls->shard->heap, sizeof *d);
    if (!d)
        return NULL;
    d->store = ls;
    list_init(&d->rings);
    timer_init(&d->timer, measure_disk);
    if (ls->shard->id == 0)
        ballast_remove_strays(ls->root->config->data_dir, ls->shard->count);
    ls->ring_segment_bytes = UINT32_MAX;
    struct ballast_level *level = &ls->root->board.ballast[ls->shard->id];
    if (!ballast_init(&ls->ballast, ls->root->config->data_dir, ls->shard->id, level))
        log_warn("no reserve", "why=\"the path of the data folder is too long\"");
    timer_start(&ls->shard->timers, &d->timer, clock_now_ns() + MEASURE_MS * NS_PER_MS);
    return d;
}

void full_disk_stop(struct full_disk *d, void (*over)(struct log_store *ls))
{
    assert(!d->stopped && over);
    d->stopped = true;
    timer_stop(&d->store->shard->timers, &d->timer);
    if (d->busy)
        d->over = over;
    else
        over(d->store);
}

void full_disk_close(struct full_disk *d)
{
    assert(list_empty(&d->rings));
    timer_stop(&d->store->shard->timers, &d->timer);
    d->store->full_disk = NULL;
    heap_free(d->store->shard->heap, d);
}
