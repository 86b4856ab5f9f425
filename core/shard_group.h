/* The body of a shard_group, for core/shard*.c only. It lies in a region of its own: shards and rings are aligned to cache
 * lines, which a heap does not promise. */
#pragma once
#include "core/limits.h"
#include "core/shard.h"

struct thread_gate;

struct shard_group {
    struct shard_options options;
    struct shard shards[SHARDS_MAX];
    struct ring *rings;        /* [from][to] */
    char why[SHARDS_MAX][256]; /* each written by its shard, while it opens */
    uint16_t why_of;           /* whose sentence counts: 0, or the first that failed */
    enum err err[SHARDS_MAX];  /* of each shard_open; read after the gate */
    struct thread_gate *gate;
};
