/* Record batches as a client makes them: uncompressed, null keys, random values. */
#pragma once
#include <stdint.h>

/* `id` -1: no idempotence. Returns the bytes of the batch; `at` has room for it. */
uint32_t make_batch_bytes(uint8_t *at, const uint32_t *value_bytes, int32_t count, int64_t id, int32_t sequence);
