/* Record batches (magic 2) for the load: as many plain records as fit in the wanted size, random values, half of each
 * zeros, the batch's own number in the first eight bytes of the first value so that what is read back can be told apart. */
#ifndef BENCH_LOAD_BATCH_H
#define BENCH_LOAD_BATCH_H

#include <stddef.h>
#include <stdint.h>

enum {
    BATCH_HEADER_BYTES = 61,
    BATCH_CRC_AT = 17,
    BATCH_CRC_FROM = 21,
    /* Base offset, length and leader epoch: the broker may write the first and the last of them. */
    BATCH_STABLE_FROM = 16,
    BATCH_BYTES_MIN = 160,
    BATCH_BYTES_MAX = 1 << 20,
};

struct batch {
    uint32_t bytes;
    uint32_t records;
};

/* Fills `out` (want_bytes long) with one batch of at most want_bytes, usually exactly that; record_bytes is the size of a
 * record in it. The same number gives the same bytes, but for the time stamp. */
struct batch batch_make(uint64_t number, int64_t now_ms, uint32_t want_bytes, uint32_t record_bytes, uint8_t *out);

/* Makes it the first batch of a transaction in its partition. */
void batch_in_transaction(uint8_t *batch, uint32_t bytes, uint64_t producer_id, uint16_t producer_epoch);

#endif
