/* The messages of a transactional producer of the new generation (KIP-890), as far as the load needs them: FindCoordinator v4,
 * InitProducerId v4, Produce v12, EndTxn v5. Written by hand on purpose: see bench/load/wire.h. */
#ifndef BENCH_TXN_TALK_H
#define BENCH_TXN_TALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TXN_NONE = 0,
    TXN_UNKNOWN_TOPIC = 3,
    TXN_NOT_LEADER = 6,
    TXN_LOADING = 14,
    TXN_NOT_AVAILABLE = 15,
    TXN_NOT_COORDINATOR = 16,
    TXN_CONCURRENT = 51,
    TXN_BATCH_BYTES = 256,
    TXN_PARTITIONS_MAX = 100,
    TXN_REQUEST_MAX = 4096 + TXN_PARTITIONS_MAX * (TXN_BATCH_BYTES + 16),
};

struct txn_who {
    const char *id;
    uint64_t producer_id;
    uint16_t epoch;
};

/* What an answer of InitProducerId or EndTxn says. */
struct txn_said {
    int16_t error;
    uint64_t producer_id;
    uint16_t epoch;
};

struct txn_data {
    const char *topic;
    uint32_t partitions;
    /* The same for each of them. */
    const uint8_t *batch;
    uint32_t batch_bytes;
};

/* Each writes a whole request into TXN_REQUEST_MAX bytes and returns its length. */
size_t txn_put_find(uint8_t *out, uint32_t correlation, const struct txn_who *who);
size_t txn_put_init(uint8_t *out, uint32_t correlation, const struct txn_who *who);
size_t txn_put_produce(uint8_t *out, uint32_t correlation, const struct txn_who *who, const struct txn_data *data);
size_t txn_put_end(uint8_t *out, uint32_t correlation, const struct txn_who *who, bool commit);

/* Each reads an answer behind its correlation id. False: it makes no sense. */
bool txn_get_found(const uint8_t *at, size_t len, int16_t *out_error);
/* The first error of a partition, or none; *out_count: of how many partitions. */
bool txn_get_produced(const uint8_t *at, size_t len, int16_t *out_error, uint32_t *out_count);
/* InitProducerId's and EndTxn's are alike. */
bool txn_get_said(const uint8_t *at, size_t len, struct txn_said *out);

#endif
