/* Record batches that are made while the load runs: a template with as many records as a batch may have, of which the first n are sent.
 * Each record's value begins with a stamp, the nanosecond (CLOCK_MONOTONIC) at which it was due: what a reader measures from.
 *
 *   header (61 bytes) | record 0 | record 1 | ...          each record: length, 0, 0, delta, key, value = stamp | half random, half zeros, 0 headers
 *
 * With a codec the records are packed anew for each batch, by the broker's own codecs. */
#pragma once
#include "bench/load/plan.h"

#include <stddef.h>

enum { RECORDS_KEY_BYTES = 12, RECORDS_STAMP_BYTES = 8 };

struct records {
    uint32_t max; /* records of a full batch */
    uint8_t codec;
    uint32_t keys;
    uint64_t random;
    uint8_t *batch;   /* header and records, as they go when there is no codec */
    uint32_t *end_of; /* end_of[i]: where record i ends */
    uint32_t *stamp_at, *key_at;
    uint8_t *packed; /* with a codec: header and packed records */
    size_t packed_room;
    struct heap *heap;
};
/* False: no memory. */
bool records_open(struct records *r, const struct plan *plan);
void records_close(struct records *r);

/* Whose it is and when its records were due. */
struct records_of {
    uint32_t count;
    double due_ns, step_ns; /* record i was due at due_ns + i * step_ns */
    int64_t producer_id;    /* -1: none */
    int16_t epoch;
    int32_t sequence;
};
/* The next batch's bytes, valid until the next call. NULL: the codec failed. */
const uint8_t *records_make(struct records *r, const struct records_of *of, size_t *out_bytes);

/* A batch that was read. */
struct records_read {
    uint64_t base, next; /* offsets: its first, and the one behind its last */
    uint32_t count;
    bool wrong;
};
/* Calls seen(arg, stamp) for each record of the batch at `at` (`bytes` there, which is whole) with an offset of at least `from`. */
struct records_read records_walk(struct records *r, const uint8_t *at, size_t bytes, uint64_t from,
                                 void (*seen)(void *arg, uint64_t stamp_ns, size_t value_bytes), void *arg);
/* Bytes of the batch that begins at `at`, or 0 while it is not whole. */
size_t records_batch_bytes(const uint8_t *at, size_t bytes);
