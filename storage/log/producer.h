/* Idempotent producers of one partition: the last five batches of each (producer id, epoch), so that a resent batch is found
 * and a gap is refused. Rules: Kafka's ProducerAppendInfo and ProducerStateEntry.
 *
 * State is updated when offsets are given, not when they are durable; a partition whose wave failed is opened again from its
 * checkpoint, so nothing is undone here. */
#pragma once
#include "core/mem.h"
#include "storage/log/batch.h"

enum {
    PRODUCER_BATCHES = 5,
    PRODUCERS_MAX =
        65536, /* per partition: 12 MiB. Kafka has no bound; here the ones that wrote longest ago are forgotten */
};
struct producers;

struct producer_duplicate {
    int64_t base_offset, last_offset, timestamp;
};

struct producers *producers_open(struct heap *heap) must_use;
void producers_close(struct producers *ps);
uint32_t producers_count(const struct producers *ps);
/* Asserts that entries and table agree; slow. */
void producers_agree(const struct producers *ps);
/* For a batch with producer_id >= 0. KERR_NONE: append it, or, when *out_duplicate->base_offset >= 0, answer as before.
 * KERR_INVALID_PRODUCER_EPOCH, KERR_OUT_OF_ORDER_SEQUENCE_NUMBER. An unknown producer may start anywhere. */
enum kerr producers_check(const struct producers *ps, const struct batch *b,
                          struct producer_duplicate *out_duplicate) must_use;
/* Records an appended batch (its base_offset is the log's). ERR_NO_MEMORY: the heap's. `now_ms` is wall time. */
enum err producers_update(struct producers *ps, const struct batch *b, int64_t now_ms) must_use;
/* The last offset of each that has batches, in no order; `out` has room for producers_count. Returns how many. */
struct producer_last {
    int64_t id, last_offset;
};
uint32_t producers_last_offsets(const struct producers *ps, struct producer_last *out);
/* Drops those whose last batch is older than expiration (producer.id.expiration.ms). Returns how many. */
uint32_t producers_expire(struct producers *ps, int64_t now_ms, int64_t expiration_ms);

/* Our own form, all five batches: for the checkpoint. */
size_t producers_saved_bytes(const struct producers *ps);
void producers_save(const struct producers *ps, uint8_t *out);
enum err producers_load(struct producers *ps, const uint8_t *at, size_t bytes) must_use; /* ERR_CORRUPT */
/* Kafka's .snapshot file (version 1): of each the batches that are remembered. What a recovery begins with where no checkpoint
 * is of a segment that is still there; also for tools, and for partitions that move. */
size_t producers_snapshot_bytes(const struct producers *ps);
void producers_snapshot(const struct producers *ps, uint8_t *out);
enum err producers_snapshot_load(struct producers *ps, const uint8_t *at, size_t bytes) must_use;
