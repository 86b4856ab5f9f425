#include "tests/sim/make_batch.h"
#include "storage/log/batch.h"
#include "tests/sim/world.h"

static uint8_t *put_varint(uint8_t *at, int64_t v)
{
    uint64_t u = ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
    for (; u >= 0x80; u >>= 7)
        *at++ = (uint8_t)(u | 0x80);
    *at++ = (uint8_t)u;
    return at;
}

static uint32_t varint_bytes(int64_t v)
{
    uint8_t room[10];
    return (uint32_t)(put_varint(room, v) - room);
}

static uint8_t *put_record(uint8_t *at, int32_t delta, uint32_t value_bytes)
{
    uint32_t body =
        1 + varint_bytes(0) + varint_bytes(delta) + varint_bytes(-1) + varint_bytes(value_bytes) + value_bytes + 1;
    at = put_varint(at, body);
    *at++ = 0;
    at = put_varint(at, 0);
    at = put_varint(at, delta);
    at = put_varint(at, -1);
    at = put_varint(at, value_bytes);
    for (uint32_t i = 0; i < value_bytes; i += 8) {
        uint64_t word = rng_next(&sim.rng);
        memcpy(at + i, &word, u64_min(8, value_bytes - i));
    }
    at += value_bytes;
    *at++ = 0;
    return at;
}

static void fill_header(uint8_t *at, uint32_t bytes, int32_t count, int64_t id, int32_t sequence)
{
    uint64_t now_ms = (uint64_t)clock_wall_ms();
    memset(at, 0, BATCH_HEADER_BYTES);
    be32_put(at + 8, bytes - BATCH_PREFIX_BYTES);
    be32_put(at + 12, UINT32_MAX);
    at[16] = 2;
    be32_put(at + 23, (uint32_t)count - 1);
    be64_put(at + 27, now_ms);
    be64_put(at + 35, now_ms);
    be64_put(at + 43, (uint64_t)id);
    be16_put(at + 51, id >= 0 ? 0 : UINT16_MAX);
    be32_put(at + 53, id >= 0 ? (uint32_t)sequence : UINT32_MAX);
    be32_put(at + 57, (uint32_t)count);
    be32_put(at + 17, batch_crc(at, bytes));
}

uint32_t make_batch_bytes(uint8_t *at, const uint32_t *value_bytes, int32_t count, int64_t id, int32_t sequence)
{
    uint8_t *end = at + BATCH_HEADER_BYTES;
    for (int32_t i = 0; i < count; i++)
        end = put_record(end, i, value_bytes[i]);
    uint32_t bytes = (uint32_t)(end - at);
    fill_header(at, bytes, count, id, sequence);
    return bytes;
}
