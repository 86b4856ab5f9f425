/* What both kinds of batches (batch.h, records.h) are filled with: random values, the header, its CRC. */
#ifndef BENCH_LOAD_FILL_H
#define BENCH_LOAD_FILL_H

#include <stddef.h>
#include <stdint.h>

#include "bench/load/wire.h"

/* What differs between headers. */
struct fill_head {
    uint16_t attributes;
    uint32_t records;
    int64_t now_ms, producer_id;
    int16_t epoch;
    int32_t sequence;
};

/* Writes the header of a batch of so many bytes, whose records are there, with its CRC. */
void fill_header(uint8_t *batch, size_t bytes, const struct fill_head *head);
void fill_crc(uint8_t *batch, size_t bytes);
/* A value: `first`, then random and zeros by turns, eight bytes each. */
void fill_value(struct put *p, uint64_t first, uint32_t value_bytes, uint64_t *random);
uint64_t fill_random(uint64_t *state);

#endif
