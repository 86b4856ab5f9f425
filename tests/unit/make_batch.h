/* Real record batches for the storage tests: uncompressed, records of one size, as a producer or the broker writes them. */
#pragma once
#include "storage/log/batch.h"

struct make_batch {
    int64_t base_offset, timestamp; /* every record has this timestamp */
    int64_t producer_id;
    int32_t leader_epoch, sequence, count;
    int32_t emptied;      /* compaction took all of so many records: count is 0 */
    uint32_t value_bytes; /* of each record, at most 65536 */
    int16_t producer_epoch, attributes;
    bool no_key;
};
enum { MAKE_BATCH_MAX = 1 << 20 };

static inline uint8_t *make_varint(uint8_t *at, int64_t v)
{
    uint64_t z = ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
    for (; z >= 0x80; z >>= 7)
        *at++ = (uint8_t)(z | 0x80);
    *at++ = (uint8_t)z;
    return at;
}
static inline uint8_t *make_record(uint8_t *at, const struct make_batch *m, int32_t delta)
{
    static uint8_t body[128 * 1024];
    uint8_t *b = body;
    *b++ = 0;
    b = make_varint(b, 0);
    b = make_varint(b, delta);
    b = make_varint(b, m->no_key ? -1 : 1);
    if (!m->no_key)
        *b++ = 'k';
    b = make_varint(b, m->value_bytes);
    memset(b, 'v', m->value_bytes);
    b += m->value_bytes;
    b = make_varint(b, 1); /* one header */
    b = make_varint(b, 1);
    *b++ = 'h';
    b = make_varint(b, -1);
    at = make_varint(at, b - body);
    memcpy(at, body, (size_t)(b - body));
    return at + (b - body);
}
static inline void make_seal(uint8_t *out, uint32_t bytes)
{
    be32_put(out + 17, batch_crc(out, bytes));
}
/* Returns its size; `out` has room for MAKE_BATCH_MAX. */
static inline uint32_t make_batch(uint8_t *out, struct make_batch m)
{
    uint8_t *at = out + BATCH_HEADER_BYTES;
    for (int32_t i = 0; i < m.count; i++)
        at = make_record(at, &m, i);
    uint32_t bytes = (uint32_t)(at - out);
    be64_put(out, (uint64_t)m.base_offset);
    be32_put(out + 8, bytes - BATCH_PREFIX_BYTES);
    be32_put(out + 12, (uint32_t)m.leader_epoch);
    out[16] = 2;
    be16_put(out + 21, (uint16_t)m.attributes);
    be32_put(out + 23, (uint32_t)(m.emptied ? m.emptied : m.count) - 1);
    be64_put(out + 27, m.emptied ? UINT64_MAX : (uint64_t)m.timestamp);
    be64_put(out + 35, (uint64_t)m.timestamp);
    be64_put(out + 43, (uint64_t)m.producer_id);
    be16_put(out + 51, (uint16_t)m.producer_epoch);
    be32_put(out + 53, (uint32_t)m.sequence);
    be32_put(out + 57, (uint32_t)m.count);
    make_seal(out, bytes);
    return bytes;
}
