/* The sparse indexes of one segment, in memory and in Kafka's file formats (big-endian):
 *   .index      8 bytes an entry: offset - base_offset 4, position 4: the batch at `position` has that last offset
 *   .timeindex 12 bytes an entry: timestamp 8, offset - base_offset 4: no record up to that offset is younger
 * As Kafka's LogSegment.append: a batch gets an offset entry when more than index.interval.bytes were appended since the last
 * one, itself not counted; with it goes a time entry, if the segment's largest timestamp rose since the last one. That entry's
 * offset is the last one of the batch that holds the timestamp. Entries are kept as they stand in the files, so saving is one write.
 * The active segment's index is saved up to the durable end with each checkpoint (appended), completely at roll and stop. */
#pragma once
#include "core/err.h"
#include "core/mem.h"

struct index {
    int64_t base_offset;
    uint8_t *offsets, *times; /* file bytes */
    uint32_t offset_count, time_count, offset_cap, time_cap, entries_max;
    uint32_t bytes_since_entry;
    int64_t max_timestamp; /* so far, of the whole segment; -1: no batch */
    int64_t max_timestamp_offset;
    struct heap *heap;
};
enum { INDEX_OFFSET_BYTES = 8, INDEX_TIME_BYTES = 12 };

void index_init(struct index *ix, struct heap *heap, int64_t base_offset, uint32_t segment_index_bytes);
void index_deinit(struct index *ix);
/* Asserts that its entries rise and lie within the log's length: for tests, the simulator and debug builds. */
void index_check(const struct index *ix, uint32_t log_bytes);
/* Back to no entry, ready for a first batch. */
void index_clear(struct index *ix);
/* Notes a batch that was appended at `position`, in order. `offset_of_max` is its last offset (Kafka's tools check that). A
 * full index takes no more entries: the caller rolls the segment when index_full, and a look-up only reads further if not. */
enum err index_add(struct index *ix, uint32_t interval_bytes, int64_t last_offset, uint32_t position, uint32_t bytes,
                   int64_t max_timestamp, int64_t offset_of_max) must_use;
/* Room for what one more batch may add: index_add does not fail then. */
enum err index_reserve(struct index *ix) must_use;
bool index_full(const struct index *ix);
/* The time index's last entry, written at roll and stop; a full index has room kept for it. */
enum err index_finish(struct index *ix) must_use;
/* Room for what `like` holds, and for half as much again where the segment grows: the first append would else copy all of it. Then, maybe on another thread, a copy of it, which needs no memory: whole, or in pieces. A piece goes on where the entries
 * of `ix` end, with so many bytes at most; returned is how many it took, and the last one brings the rest of what is known. */
enum err index_make_room(struct index *ix, const struct index *like, bool grows) must_use;
void index_copy(struct index *ix, const struct index *from);
uint32_t index_copy_some(struct index *ix, const struct index *from, uint32_t bytes_max);
bool index_copied(const struct index *ix, const struct index *from); /* as many entries */
/* Position at or before the batch that contains `offset`: start reading headers there. */
uint32_t index_position(const struct index *ix, int64_t offset);
/* Offset from which to look for the first record with timestamp >= `timestamp`. */
int64_t index_offset_of_time(const struct index *ix, int64_t timestamp);
/* Drops entries at or beyond an offset / position (a cut log); the largest timestamp is then the last entry's at most. */
void index_truncate(struct index *ix, int64_t end_offset, uint32_t end_position);
/* Checks and takes (copies) file contents: whole entries, rising, within the log's length; else ERR_CORRUPT. */
enum err index_load(struct index *ix, const uint8_t *offsets, uint32_t offset_bytes, const uint8_t *times,
                    uint32_t time_bytes, uint32_t log_bytes) must_use;
