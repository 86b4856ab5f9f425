/* Record batches as a client makes them, uncompressed. */
#pragma once
#include <stdint.h>

/* Null keys, random values. `id` -1: no idempotence. Returns the bytes of the batch; `at` has room for it. */
uint32_t make_batch_bytes(uint8_t *at, const uint32_t *value_bytes, int32_t count, int64_t id, int32_t sequence);

/* A record with a key, a number in a header, and a time of its own. value_bytes -1: a tombstone. */
struct keyed_value {
    uint32_t number, key;
    int32_t value_bytes;
    int64_t timestamp;
};
static inline uint8_t keyed_value_byte(uint32_t number, uint32_t i)
{
    return (uint8_t)(number * 31 + i);
}
uint32_t make_keyed_batch_bytes(uint8_t *at, const struct keyed_value *v, uint32_t count);
