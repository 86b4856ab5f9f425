/* Checkpoints: for each partition how far its log is known to be durable, so that recovery reads only what lies behind.
 * Written lazily by each shard to its own file, at most 1 s and 64 MiB of log behind; never needed for correctness of an
 * ack: a lost checkpoint only makes recovery read more. A torn or stale one is found by its CRC.
 *
 * <data>/recovery-point-<shard>.checkpoint: records, appended, in proportion to what changed; the newest record of a partition counts
 * (highest `serial`, over all files whatever the number of shards was). When more than half of a file is stale its live records
 * are written to another, in steps, which takes its place (checkpointer.c). Big-endian:
 *
 *   an entry, one for each partition:
 *   u32 bytes | u32 crc32c of the rest | u64 serial | topic id 16 | i32 partition | i64 log_start_offset | i64 segment base |
 *   u64 position | i64 offset | i32 leader epoch | i64 max_timestamp, i64 offset_of_max, i64 first_timestamp (of the segment) |
 *   u32 index entries, u32 crc of them | u32 time entries, u32 crc | u32 bytes_since_entry | u8 flags: 1 clean, 2 caching, 4 transactions |
 *   with flag 4: u32 aborted transactions (of the segment, in its .txnindex), u32 crc of them |
 *   u32 producer bytes | producers (producer.h)
 *
 *   what look-ups by time and retention need of a closed segment, once for each:
 *   u32 bytes (76) | u32 crc32c of the rest | u64 serial | topic id 16 | i32 partition | i64 segment base | u64 bytes of its log |
 *   i64 first_timestamp | i64 max_timestamp, i64 offset_of_max
 *
 * A release before the second kind steps over it: it is shorter than any entry. Then the timestamps are learnt from the indexes. */
#pragma once
#include "core/mem.h"
#include "core/fs.h"

struct checkpoint_entry {
    uint64_t serial;
    uint8_t topic_id[16];
    int32_t partition;
    int64_t log_start_offset, segment_base_offset, offset; /* offset: next one behind the durable end */
    uint64_t position;                                     /* of the durable end in that segment */
    int32_t leader_epoch;
    int64_t max_timestamp, max_timestamp_offset, first_timestamp;
    uint32_t index_count, index_crc, time_count, time_crc, bytes_since_entry;
    uint32_t aborted_count, aborted_crc; /* 0 in what was written before format 4 */
    bool clean;                          /* written by a clean stop: nothing lies behind it */
    bool caching;                        /* acks behind it may not have waited for stable media */
    const uint8_t *producers;            /* points into the set's or the caller's memory */
    uint32_t producers_bytes;
};

/* A closed segment. */
struct checkpoint_segment {
    uint64_t serial;
    uint8_t topic_id[16];
    int32_t partition;
    int64_t base_offset;
    uint64_t bytes;
    int64_t first_timestamp, max_timestamp, max_timestamp_offset;
};
enum { CHECKPOINT_SEGMENT_BYTES = 76 };

/* All entries found in the data folder: newest per partition. */
struct checkpoint_set;
enum err checkpoint_set_load(struct heap *heap, const char *data_dir, struct checkpoint_set **out_set) must_use;
const struct checkpoint_entry *checkpoint_find(const struct checkpoint_set *set, const uint8_t topic_id[16],
                                               int32_t partition);
/* Those of its closed segments that are known, by base offset; NULL: none. */
const struct checkpoint_segment *checkpoint_segments(const struct checkpoint_set *set, const uint8_t topic_id[16],
                                                     int32_t partition, uint32_t *out_count);
uint64_t checkpoint_serial_max(const struct checkpoint_set *set);
void checkpoint_set_close(struct checkpoint_set *set);

size_t checkpoint_entry_bytes(const struct checkpoint_entry *e);
/* Producers are an entry's end, and may stand there already. */
void checkpoint_entry_encode(const struct checkpoint_entry *e, uint8_t *out);
/* Bytes taken; 0: torn or no entry. */
size_t checkpoint_entry_decode(const uint8_t *at, size_t bytes, struct checkpoint_entry *out);
void checkpoint_segment_encode(const struct checkpoint_segment *s, uint8_t out[CHECKPOINT_SEGMENT_BYTES]);
bool checkpoint_segment_decode(const uint8_t *at, size_t bytes, struct checkpoint_segment *out);
