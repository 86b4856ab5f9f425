/* Record batches that describe themselves: every value names its writer, partition and sequence number, so a verifier
 * that finds a record knows where it belongs, and a changed or foreign one is seen without keeping the data.
 *
 * A value is  magic u32 | writer u32 | partition u32 | sequence u64 | filler | crc32c u32 of everything before.
 * All batches of one size are equally long, whatever their numbers: only then does a ghost (a batch of an earlier life
 * left beyond a torn one) line up with what is written later. */
#pragma once
#include "tests/load/wire.h"

enum { BATCH_HEAD = 61, BATCH_RECORDS_MAX = 64 };

struct batch_want {
    int64_t pid; /* -1: not idempotent */
    int16_t pid_epoch;
    uint32_t writer, partition, count;
    uint64_t seq;   /* of the first record; also the producer's base sequence */
    uint32_t bytes; /* of the whole batch, header included; rounded down to equal records */
};

struct batch_view {
    int64_t base;
    uint32_t bytes, count, crc, writer, partition;
    int32_t epoch;
    uint64_t seq;
};

enum batch_state { BATCH_OK, BATCH_PARTIAL, BATCH_BAD };

uint32_t batch_crc(const void *at, size_t n); /* CRC-32C */
void batch_put(struct wbuf *b, const struct batch_want *want);
/* Reads the batch at `at`; checks every length, the batch CRC and every value. On BATCH_BAD `*out_why` says what. */
enum batch_state batch_read(const uint8_t *at, size_t left, struct batch_view *out, const char **out_why);
