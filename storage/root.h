/* The data folder as a whole, opened before any shard runs and closed after the last one ended:
 *
 *   <data>/.lock                 flock(2), held while the process and its submitted writes live (README: the lock)
 *   <data>/meta.properties       Kafka's file: version, cluster.id, node.id, and odradek.format=4 (a newer one is refused)
 *   <data>/catalog, catalog.copy, catalog.end   storage/catalog/catalog.h
 *   <data>/recovery-point-<n>.checkpoint
 *   <data>/.clean                the clean mark: the partitions whose last flush succeeded; gone while the broker runs
 *   <data>/<topic>-<partition>/  segments
 *
 * A folder that is not ours is refused before anything in it is touched (root_owner.h).
 * Opening: lock (waits up to 10 s, says so, touches nothing before), format, catalog, clean mark. A start after which not
 * every partition is known to be clean bumps the leader epoch durably here, and the mark's removal is durable, before this
 * returns. Folders of deleted topics that are still there go. While no topic was ever made, nothing is synced: the first change
 * of the catalog does that. What the last life left in shared memory is written to the logs before the epoch rises. */
#pragma once
#include "core/fs.h"
#include "core/limits.h"
#include "storage/config/broker_config.h"
#include "storage/catalog/catalog.h"
#include "storage/log/ballast.h"
#include "storage/recovery/checkpoint.h"
#include "storage/recovery/clean_mark.h"

/* What the shards tell each other about a full disk (storage/log/full_disk.h): of each word one shard is the writer. */
struct full_disk_board {
    _Atomic int64_t oldest_ms[SHARDS_MAX];    /* when its oldest segment that may go was written; 0: not noted yet */
    struct ballast_level ballast[SHARDS_MAX]; /* its own jobs write it, too */
    _Atomic bool starved[SHARDS_MAX];         /* a ring of it found no room */
    _Atomic uint64_t freed_at_ns;             /* files of dropped segments went, on any shard; 0: none did */
    _Atomic uint64_t full_at_ns;              /* an append, a roll or a recovery found no room; 0: none did */
};

/* The file of storage/log/redo.h. */
struct root_redo {
    int fd;      /* -1: none, acks wait for writes */
    uint8_t *at; /* all of it */
    size_t bytes;
    char path[FS_PATH_MAX];
    char why[200];        /* why there is none, "": it was not wanted */
    _Atomic bool refused; /* a shard has no ring of it */
    _Atomic bool lost;    /* it was said that it is not in its place any more */
};

struct root {
    struct full_disk_board board;
    struct root_redo redo;
    struct broker_config *config;
    struct heap *heap;
    int folder_fd, lock_fd; /* both locked */
    char cluster_id[23];    /* 22 characters of base64 */
    int32_t leader_epoch;   /* of every partition, while this broker runs */
    bool fresh, clean;      /* no data yet; the last stop left a mark */
    bool retention_marked;  /* meta.properties has its mark: nothing waits for an hour */
    int64_t last_seen_ms;   /* wall time that a broker of this folder saw last (expiry_clock.h); -1: unknown */
    bool direct;            /* disk.io resolved for this folder */
    struct fs_traits traits;
    struct catalog_file *catalog; /* loaded; written by shard 0 */
    struct checkpoint_set *checkpoints;
    struct clean_mark found, next; /* the last stop's; this one's */
};
enum err root_open(struct broker_config *config, struct heap *heap, struct root **out_root,
                   char *why) must_use; /* why[512] */
/* Removes the folders of deleted topics (root_sweep.c); root_open does it. */
enum err root_sweep(const struct root *r) must_use;
/* Is the folder still in its place, with a copy of the catalog that we opened? ERR_NOT_FOUND: it was deleted or replaced; what is written
 * into it is lost, and nothing more may be promised. Synchronous, on any thread: a job. */
enum err root_place_check(const struct root *r) must_use;
/* "The data folder ... cannot be <what>: ...", into why[CONFIG_WHY_BYTES]; returns err. */
enum err root_say_fault(char *why, enum err err, const char *dir, const char *what) must_use;
/* Was this partition named by the clean mark that was found? */
bool root_was_clean(const struct root *r, const uint8_t topic_id[16], int32_t partition);
/* At a clean stop, from the main thread after all shards ended: first every clean partition, then the mark. */
enum err root_mark_add(struct root *r, const uint8_t topic_id[16], int32_t partition) must_use;
enum err root_mark_write(struct root *r) must_use;
void root_close(struct root *r);
/* Of one shard, before its loop runs: memory is allocated. NULL: there is none, or it was refused. */
uint8_t *root_redo_ring(struct root *r, uint32_t shard);
