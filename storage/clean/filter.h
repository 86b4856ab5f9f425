/* What a cleaning leaves of one record batch, by Kafka's rules (MemoryRecords.filterTo, Cleaner). Offsets and their order never change.
 *
 *   a record stays   behind what the map covers; or as the latest of its key, unless it is a tombstone whose horizon is over
 *   it goes          otherwise; one without a key does (records of before the topic was compacted)
 *
 * A tombstone goes in two steps. The first cleaning that finds it as the latest of its key sets the batch's delete horizon, now plus
 * delete.retention.ms: attribute bit 6, and the base timestamp is the horizon from then on (the records' deltas count from it). The first cleaning
 * behind the horizon drops it.
 *
 * A batch in which nothing changes is copied as it is. Otherwise it keeps base offset, last offset delta, leader epoch, producer, sequence
 * and codec; count, length, max timestamp and CRC are made anew. One without records left goes, unless it is the last one of an active
 * producer, whose sequence must be found again, or the last of all that is cleaned: then its header stays, with count 0.
 *
 * Records of aborted transactions go. Markers: clean_txns.h; one that may go gets its horizon as a tombstone does, and goes behind it. */
#pragma once
#include "core/mem.h"
#include "storage/clean/clean_txns.h"
#include "storage/clean/dedupe.h"
#include "storage/log/batch.h"
#include "storage/log/producer.h"

/* Bytes that grow, in a heap. */
struct clean_bytes {
    struct heap *heap;
    uint8_t *at;
    size_t bytes, cap;
};
void clean_bytes_deinit(struct clean_bytes *b);

struct clean_filter {
    const struct dedupe *map;
    const struct producer_last *producers; /* those that the partition remembers, by id */
    uint32_t producer_count;
    struct clean_txns *txns; /* moves on with each batch */
    int64_t now_ms;          /* -1: nobody knows for sure how late it is: no horizon is over, and none is set */
    int64_t delete_retention_ms;
    struct heap *heap; /* for what is unpacked */
};
enum filter_fate { FILTER_KEPT, FILTER_CHANGED, FILTER_EMPTIED, FILTER_DROPPED };
struct filter_result {
    enum filter_fate fate;
    uint32_t bytes; /* appended to the output: 0 or one batch */
    uint32_t records_read, records_kept;
    int64_t max_timestamp;      /* of the records that are left; -1: there are none */
    struct aborted_txn aborted; /* stays in the index of aborted transactions; producer_id -1: nothing does */
};
/* `at` holds the whole batch, its CRC is good. `last`: it stays, if need be without records. ERR_CORRUPT: its records are not what its
 * header says. ERR_NO_MEMORY. */
enum err filter_batch(const struct clean_filter *f, const uint8_t *at, const struct batch *b, bool last,
                      struct clean_bytes *out, struct filter_result *result) must_use;
/* The same records for the map: puts keys of records at or above `from`, but for those of aborted transactions and markers. *out_full: there was no
 * room for one of them. */
enum err filter_map_batch(struct dedupe *map, struct clean_txns *txns, const uint8_t *at, const struct batch *b,
                          int64_t from, struct heap *heap, bool *out_full) must_use;
