/* Opening a partition's folder after a stop of any kind; synchronous (start-up of a shard, or a job).
 *
 * Below the checkpoint's durable end nothing is read but the indexes; a bad batch found there later is corruption. Behind it
 * every batch is read and must have a good CRC, the next base offset, and a leader epoch that does not fall; the first
 * that has not ends the log, unless caching is off and a valid batch starts more than `wave_bytes_max` behind: corruption.
 * What lies behind the end is zeroed and synced, and every file that was read there is synced, before this returns: so all
 * it gives back is durable. Without a checkpoint (or where the indexes do not match it) the newest segment is read from its
 * start, and every segment that has no index.
 *
 *   checkpoint.position        end             allocated
 *   |... durable, not read ...|... scanned ...|torn or ghost: zeroed, synced| */
#pragma once
#include "storage/checkpoint.h"
#include "storage/epochs.h"
#include "storage/producer.h"
#include "storage/segment.h"

struct recovery_input {
    struct heap *heap;
    const char *dir;                      /* the partition's folder */
    const struct checkpoint_entry *checkpoint; /* NULL: none */
    bool clean;                           /* the clean mark names this partition: nothing is scanned */
    bool caching;                         /* write.caching */
    int64_t known_end_offset;             /* a failed wave's reopening: the log ends exactly here; -1: find out */
    uint32_t wave_bytes_max;              /* the largest wave */
    uint32_t index_interval_bytes, segment_index_bytes;
};
struct recovered {
    struct list segments;                 /* struct segment, files closed, the last one is active; empty: no file yet */
    struct producers *producers;
    struct epochs epochs;
    int64_t log_start_offset, end_offset;
    uint64_t scanned_bytes, cut_bytes;
    bool corrupt;                         /* quarantined: files untouched, nothing else of this struct but the two below counts */
    int64_t corrupt_segment;              /* base offset */
    uint64_t corrupt_position;
};
/* ERR_NOT_FOUND: no folder. ERR_IO, ERR_NO_SPACE, ERR_NO_MEMORY: the machine failed. */
enum err recovery_run(const struct recovery_input *in, struct recovered *out) must_use;
void recovered_deinit(struct recovered *r);
