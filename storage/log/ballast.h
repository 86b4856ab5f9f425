/* Blocks of the disk that are allocated beforehand, one file per shard (<data>/reserve-<shard>): what must go on while the disk is full
 * gets them: log starts, checkpoints, and the space of internal topics. A sum over free bytes would be no promise: another process that writes
 * there takes what was counted on.
 *
 *   EMPTY --ballast_fill--> FULL --ballast_give: the file is made shorter, somebody allocates what became free--> SHORT --ballast_fill--> FULL
 *
 * What a run that was killed left of it counts, also if there is no room for the rest. While a shard's is short, topics of users get no
 * space (full_disk.h): its level lies where all shards see it, and says so before what is given is free, else they take it.
 * Synchronous: in jobs, of either class. */
#pragma once
#include "core/fs.h"
#include <stdatomic.h>

struct ballast_level {
    _Atomic uint64_t wanted, bytes; /* wanted 0: there is none, nobody needs it, or the file system cannot allocate */
};
struct ballast {
    char path[FS_PATH_MAX];
    struct ballast_level *level;
    _Atomic uint32_t giving; /* whose file is not as short yet as the level says */
};
/* `level` outlives it. False: the path is too long. */
bool ballast_init(struct ballast *b, const char *data_dir, uint16_t shard, struct ballast_level *level) must_use;
/* Those of shards that are no more: there were more cores once. At the start. */
void ballast_remove_strays(const char *data_dir, uint16_t shards);
/* Up to `wanted`, if there is room. ERR_NO_SPACE: it stays short. */
enum err ballast_fill(struct ballast *b, uint64_t wanted) must_use;
/* False: there is nothing left to give. */
bool ballast_give(struct ballast *b, uint64_t bytes) must_use;
/* Nobody needs it any more: it is not short, however little is left. */
void ballast_forget(struct ballast *b);
static inline bool ballast_is_short(const struct ballast_level *l)
{
    return atomic_load_explicit(&l->bytes, memory_order_relaxed) <
           atomic_load_explicit(&l->wanted, memory_order_relaxed);
}
