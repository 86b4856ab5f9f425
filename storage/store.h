/* Storage of one shard: its view of the catalog and the partitions that it owns. Hangs from shard->store. */
#pragma once
#include "storage/catalog.h"
#include "storage/partition.h"
#include "storage/root.h"

struct store {
    struct shard *shard;
    struct root *root;
    struct catalog catalog;
    struct map partitions; /* key: topic id 16 + partition index 4, big-endian */
    struct list open_files; /* storage/files.h */
    uint32_t open_count;
    struct checkpointer *checkpointer;
    struct catalog_writer *writer; /* shard 0 */
    struct list changes;           /* being applied here */
};

/* Opens (recovers) every partition this shard owns; synchronous, before the loop runs. */
enum err store_open(struct shard *s, struct root *root) must_use;
/* A clean stop: flushes, trims, saves. Starts it; `done` runs when all is on disk. Produce and fetch answer
 * NOT_LEADER_OR_FOLLOWER from now on. */
void store_stop(struct store *st, void (*done)(struct store *st));
/* After the loop ended. */
void store_close(struct store *st);
/* NULL: not owned by this shard, or no such partition. */
struct partition *store_partition(const struct store *st, const uint8_t topic_id[16], int32_t partition);
/* catalog.h's `apply`. */
void store_apply(struct shard *s, struct catalog_change *c);
static inline struct store *store_of(const struct shard *s)
{
    return s->store;
}
