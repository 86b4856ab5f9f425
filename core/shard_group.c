/* Builds and tears down shards and their group. */
#include "core/shard_group.h"
#include "core/buf.h"
#include "core/clock.h"
#include <stdatomic.h>

#define TRIM_PERIOD_NS (10 * NS_PER_S)
#define TRIM_STEP_NS (10 * NS_PER_MS) /* between two slabs: some 100 us each */

/* --- opening --- */

static void trim_shard_memory(struct timer *t)
{
    struct shard *s = container_of(t, struct shard, trim);
    assert(s->bufs && s->heap);
    if (DEBUG_CHECKS)
        shard_check(s);
    bool more = bufpool_trim(s->bufs, s->now_ns);
    timer_start(&s->timers, t, s->now_ns + (more ? TRIM_STEP_NS : TRIM_PERIOD_NS));
}

static enum err open_shard_heap(struct shard *s)
{
    assert(s->count > 0);
    s->heap = heap_open();
    s->outbox = s->heap ? heap_alloc(s->heap, s->count * sizeof *s->outbox) : NULL;
    if (!s->outbox)
        return ERR_NO_MEMORY;
    for (uint16_t i = 0; i < s->count; i++)
        list_init(&s->outbox[i]);
    timers_init(&s->timers);
    return ERR_NONE;
}

static void open_shard_stats(struct shard *s)
{
    assert(s->group->stats);
    struct shard_group *g = s->group;
    s->stats = stats_init((uint8_t *)g->stats + (size_t)s->id * STATS_BYTES, s->id);
    if (g->options.stat_rows) {
        uint64_t rows_at = (uint64_t)s->id * STAT_ROWS_BYTES;
        s->stat_room.at = (uint8_t *)g->options.stat_rows + rows_at;
        s->stat_room.fd = g->options.stat_fd;
        s->stat_room.file_at = s->count * (uint64_t)STATS_BYTES + rows_at;
    }
    if (!g->options.watch)
        return;
    s->watch = &g->watches[s->id];
    *s->watch = (struct shard_watch){.io.waits = stats_counter(s->stats, "waits_outside"),
                                     .turns = stats_counter(s->stats, "turns"),
                                     .turn_cpu_ns = stats_histogram(s->stats, "turn_cpu_ns")};
}

static enum err open_shard_io(struct shard *s)
{
    assert(!s->io);
    struct io_options options = s->group->options.io;
    options.now_ns = &s->now_ns;
    if (options.spin.most_ns > 0) {
        options.spin.has_work = shard_has_messages;
        options.spin.arg = s;
        options.spin.looks = stats_counter(s->stats, "looks_for_work");
        options.spin.found = stats_counter(s->stats, "looks_that_found");
    }
    options.watch = s->watch ? &s->watch->io : NULL;
    return io_open(options, s->heap, &s->io, s->group->why[s->id]);
}

static enum err open_shard_bufs(struct shard *s)
{
    assert(s->io && s->heap);
    s->bufs = bufpool_open(s->heap, s->io, u64_max(s->group->options.memory_bytes, SLAB_BYTES));
    if (!s->bufs)
        return ERR_NO_MEMORY;
    timer_init(&s->trim, trim_shard_memory);
    timer_start(&s->timers, &s->trim, s->now_ns + TRIM_PERIOD_NS);
    return ERR_NONE;
}

static void close_shard_lower(struct shard *s)
{
    if (s->io)
        io_close_engine(s->io);
    if (s->bufs)
        bufpool_close(s->bufs);
    if (s->heap)
        heap_close(s->heap); /* the outbox is in it */
    s->io = NULL;
    s->bufs = NULL;
    s->heap = NULL;
}

enum err shard_open(struct shard_group *g, uint16_t id)
{
    assert(id < g->options.count);
    struct shard *s = shard_at(g, id);
    *s = (struct shard){.id = id, .count = g->options.count, .group = g};
    atomic_init(&s->sleeping, false);
    list_init(&s->deferred);
    list_init(&s->deferred_last);
    s->now_ns = s->turned_ns = clock_now_ns();
    s->rng.state = rng_seed_os();
    open_shard_stats(s);
    enum err err = open_shard_heap(s);
    if (!err)
        err = open_shard_io(s);
    if (!err)
        err = open_shard_bufs(s);
    if (!err && g->options.start)
        err = g->options.start(s, g->options.arg);
    if (err)
        close_shard_lower(s);
    return err;
}

void shard_close(struct shard *s)
{
    assert(s->io);
    if (s->group->options.stop)
        s->group->options.stop(s, s->group->options.arg);
    close_shard_lower(s);
}

/* --- the group --- */

enum err shard_group_open(struct shard_options options, struct shard_group **out_group)
{
    assert(out_group);
    assert(options.count > 0 && options.count <= SHARDS_MAX);
    size_t rings = (size_t)options.count * options.count;
    struct shard_group *g = region_open(sizeof *g);
    struct ring *r = region_open(rings * sizeof *r);
    void *stats = options.stats ? options.stats : region_open(options.count * (size_t)STATS_BYTES);
    if (!g || !r || !stats) {
        if (g)
            region_close(g, sizeof *g);
        if (r)
            region_close(r, rings * sizeof *r);
        if (stats && !options.stats)
            region_close(stats, options.count * (size_t)STATS_BYTES);
        return ERR_NO_MEMORY;
    }
    g->options = options;
    g->stats = stats;
    g->rings = r;
    for (uint16_t id = 0; id < options.count; id++) {
        g->why[id][0] = 0;
        g->shards[id] = (struct shard){.id = id, .count = options.count, .group = g};
    }
    for (size_t i = 0; i < rings; i++)
        ring_init(&r[i]);
    *out_group = g;
    return ERR_NONE;
}

void shard_group_close(struct shard_group *g)
{
    assert(g && g->rings);
    size_t rings = (size_t)g->options.count * g->options.count;
    region_close(g->rings, rings * sizeof *g->rings);
    if (!g->options.stats)
        region_close(g->stats, g->options.count * (size_t)STATS_BYTES);
    region_close(g, sizeof *g);
}

struct shard *shard_at(struct shard_group *g, uint16_t id)
{
    assert(id < g->options.count);
    return &g->shards[id];
}

const char *shard_group_why(const struct shard_group *g)
{
    assert(g->why_of < g->options.count);
    return g->why[g->why_of];
}
