/* Record batches as a client makes them, uncompressed. */
#pragma once
#include "storage/log/batch.h"

/* Who sends a batch, and where in his sequence it stands. */
struct batch_sender {
    int64_t id; /* -1: nobody, without idempotence */
    int32_t sequence;
    int16_t epoch;
    bool transactional;
};
#define BATCH_SENDER_NONE ((struct batch_sender){-1, -1, -1, false})

/* Null keys, random values. `id` -1: no idempotence. Returns the bytes of the batch; `at` has room for it. */
uint32_t make_batch_bytes(uint8_t *at, const uint32_t *value_bytes, int32_t count, int64_t id, int32_t sequence);

/* A record with a key, a number in a header, and a time of its own. value_bytes -1: a tombstone. */
struct keyed_value {
    uint32_t number, key;
    int32_t value_bytes;
    int64_t timestamp;
};
uint32_t make_keyed_batch_bytes(uint8_t *at, const struct keyed_value *v, uint32_t count, struct batch_sender from);
/* The number of such a record; -1: it is none. And does it say what was sent? Its timestamp apart. */
int64_t keyed_record_number(const struct batch_record *r);
bool keyed_record_is(const struct batch_record *r, const struct keyed_value *v);
