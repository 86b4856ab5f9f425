/* Record batches with keys, values and codecs of one's choice, for the tests of compaction. */
#pragma once
#include "storage/log/batch.h"
#include "storage/log/codec.h"
#include <string.h>

/* `key` and `value` NULL: null. */
struct keyed_record {
    int32_t delta;
    int64_t timestamp;
    const char *key, *value;
};
struct keyed_batch {
    int64_t base_offset, producer_id;
    int32_t last_delta, sequence;
    int16_t attributes, producer_epoch; /* the codec among them */
    const struct keyed_record *v;
    int32_t count;
};

static inline uint8_t *keyed_varint(uint8_t *at, int64_t v)
{
    uint64_t z = ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
    for (; z >= 0x80; z >>= 7)
        *at++ = (uint8_t)(z | 0x80);
    *at++ = (uint8_t)z;
    return at;
}
static inline uint8_t *keyed_bytes(uint8_t *at, const char *text)
{
    at = keyed_varint(at, text ? (int64_t)strlen(text) : -1);
    if (text)
        memcpy(at, text, strlen(text));
    return at + (text ? strlen(text) : 0);
}
static inline uint8_t *keyed_put_record(uint8_t *at, const struct keyed_record *r, int64_t base)
{
    static uint8_t body[256 * 1024];
    uint8_t *b = body;
    *b++ = 0;
    b = keyed_varint(b, r->timestamp - base);
    b = keyed_varint(b, r->delta);
    b = keyed_bytes(b, r->key);
    b = keyed_bytes(b, r->value);
    b = keyed_varint(b, 1);
    b = keyed_bytes(b, "header");
    b = keyed_bytes(b, r->delta % 2 ? NULL : "h");
    at = keyed_varint(at, b - body);
    memcpy(at, body, (size_t)(b - body));
    return at + (b - body);
}
/* Returns its size. */
static inline uint32_t make_keyed_batch(uint8_t *out, size_t room, struct keyed_batch m, struct heap *heap)
{
    static uint8_t records[4 << 20];
    uint8_t *end = records;
    int64_t base = m.count ? m.v[0].timestamp : -1, max = base;
    for (int32_t i = 0; i < m.count; i++) {
        end = keyed_put_record(end, &m.v[i], base);
        max = m.v[i].timestamp > max ? m.v[i].timestamp : max;
    }
    size_t bytes = (size_t)(end - records);
    enum batch_codec codec = m.attributes & BATCH_CODEC_MASK;
    if (codec == CODEC_NONE)
        memcpy(out + BATCH_HEADER_BYTES, records, bytes);
    else if (codec_compress(codec, codec == CODEC_LZ4 ? 9 : 3, records, bytes, heap, out + BATCH_HEADER_BYTES,
                            room - BATCH_HEADER_BYTES, &bytes))
        assert(!"it does not pack");
    bytes += BATCH_HEADER_BYTES;
    memset(out, 0, BATCH_HEADER_BYTES);
    be64_put(out, (uint64_t)m.base_offset);
    be32_put(out + 8, (uint32_t)bytes - BATCH_PREFIX_BYTES);
    out[16] = 2;
    be16_put(out + 21, (uint16_t)m.attributes);
    be32_put(out + 23, (uint32_t)m.last_delta);
    be64_put(out + 27, (uint64_t)base);
    be64_put(out + 35, (uint64_t)max);
    be64_put(out + 43, (uint64_t)m.producer_id);
    be16_put(out + 51, (uint16_t)m.producer_epoch);
    be32_put(out + 53, (uint32_t)m.sequence);
    be32_put(out + 57, (uint32_t)m.count);
    be32_put(out + 17, batch_crc(out, (uint32_t)bytes));
    return (uint32_t)bytes;
}
