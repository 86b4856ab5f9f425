/* Storage of one shard: its view of the catalog and the partitions that it owns. Hangs from shard->store. */
#pragma once
#include "storage/catalog/catalog.h"
#include "storage/log/log_store.h"
#include "storage/root.h"

struct store;
/* Told when a change was applied to a shard's catalog. A topic that was made is usable, of one that is gone only the name is left. NULL: does
 * not want to know. */
struct store_listener {
    void (*topic_made)(struct store *st, const struct topic *t);
    void (*topic_gone)(struct store *st, const struct topic *t);
    struct list link; /* store->listeners */
};

struct store {
    struct shard *shard;
    struct root *root;
    struct catalog catalog;
    /* This shard's version of the broker's configuration, immutable: a dynamic change puts another in its place, and the old one is
     * gone at the end of that turn. root->config is what the broker was started with, for what never changes. */
    const struct broker_config *config;
    struct list listeners;     /* the owners of their places */
    struct map partitions;     /* key: topic id 16 + partition index 4, big-endian */
    struct list changes;       /* catalog changes being applied here */
    struct list preparations;  /* catalog changes being prepared here that have not looked at all partitions */
    struct timer change_timer; /* the next step of those, or of a stop */
    struct log_store log;      /* what the partitions share */
    uint32_t stop_next;        /* how many of log.all are still to be stopped */
    uint32_t stops_flying;     /* those that are being stopped */
    bool all_stops_begun;
    uint32_t stopping;       /* partitions and deletions whose stop is not over */
    bool folder_lost;        /* and it was logged */
    uint32_t offline_before; /* partitions that were offline when the stop began */
    int sync_fd; /* the data folder, opened before anything was written: for fs_sync_all; -1: files are synced one by one */
    struct io_op sync_op;
    enum err sync_err;
    void (*stopped)(struct store *st);
};

/* Knows every partition that this shard owns; before the loop runs. Nothing of a log is read: each is recovered when it is first
 * used, or by and by (storage/recovery/recoverer.h). */
enum err store_open(struct shard *s, struct root *root) must_use;
/* From now on, until it is taken out of its list. */
void store_listen(struct store *st, struct store_listener *l);
/* A clean stop: flushes, trims, saves. Starts it; `done` runs when all is on disk. Produce and fetch answer
 * NOT_LEADER_OR_FOLLOWER from now on. */
void store_stop(struct store *st, void (*done)(struct store *st));
/* After a stop, from any thread: the partitions whose stop succeeded, for the clean mark. */
void store_each_clean(const struct store *st, void (*each)(void *arg, const uint8_t topic_id[16], int32_t partition),
                      void *arg);
/* After the loop ended. */
void store_close(struct store *st);
/* Asserts that what belongs together agrees, in each partition: between two turns, for tests and the simulator. */
void store_check(const struct store *st);
/* NULL: not owned by this shard, or no such partition. */
struct partition *store_partition(const struct store *st, const uint8_t topic_id[16], int32_t partition);
/* catalog.h's `apply`. */
void store_apply(struct shard *s, struct catalog_change *c);
static inline struct store *store_of(const struct shard *s)
{
    return s->store;
}
