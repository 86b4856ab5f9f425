/* The body of a shard_group, for core/shard*.c only. It lies in a region of its own: shards and rings are aligned to cache
 * lines, which a heap does not promise. */
#pragma once
#include "core/limits.h"
#include "core/shard.h"

struct thread_gate;

/* What is measured of a shard's turns. A turn lasts from one end to the next, in the thread's own CPU time, so that what else
 * runs on the machine does not count; its wait is in it, and costs only the going to sleep. */
struct shard_watch {
    struct io_watch io;
    struct stat_counter *turns;
    struct stat_histogram *turn_cpu_ns;
    uint64_t ended_at; /* CPU time at the last turn's end; 0: the loop has not begun */
};

/* Has another shard sent it something that it has not taken? */
bool shard_has_messages(const void *shard);

struct shard_group {
    struct shard_options options;
    void *stats; /* options.stats, or its own */
    struct shard shards[SHARDS_MAX];
    struct ring *rings;        /* [from][to] */
    char why[SHARDS_MAX][256]; /* each written by its shard, while it opens */
    uint16_t why_of;           /* whose sentence counts: 0, or the first that failed */
    enum err err[SHARDS_MAX];  /* of each shard_open; read after the gate */
    struct thread_gate *gate;
    struct shard_watch watches[SHARDS_MAX];
};
