/* Reading, walking and stamping record batches. What a producer may send is in batch_check.c. */
#include "storage/log/batch.h"
#include "core/crc.h"

enum {
    LENGTH_AT = 8,
    LEADER_EPOCH_AT = 12,
    MAGIC_AT = 16,
    CRC_AT = 17,
    ATTRIBUTES_AT = 21,
    MAX_TIMESTAMP_AT = 35,
    LENGTH_MIN = BATCH_HEADER_BYTES - BATCH_PREFIX_BYTES,
};

bool batch_parse(const uint8_t *at, size_t bytes, struct batch *out_batch)
{
    if (bytes < BATCH_HEADER_BYTES || at[MAGIC_AT] != 2)
        return false;
    uint32_t length = be32_get(at + LENGTH_AT);
    if (length < LENGTH_MIN || length > INT32_MAX - BATCH_PREFIX_BYTES)
        return false;
    *out_batch = (struct batch){
        .base_offset = (int64_t)be64_get(at),
        .bytes = length + BATCH_PREFIX_BYTES,
        .leader_epoch = (int32_t)be32_get(at + LEADER_EPOCH_AT),
        .magic = (int8_t)at[MAGIC_AT],
        .crc = be32_get(at + CRC_AT),
        .attributes = (int16_t)be16_get(at + ATTRIBUTES_AT),
        .last_offset_delta = (int32_t)be32_get(at + 23),
        .base_timestamp = (int64_t)be64_get(at + 27),
        .max_timestamp = (int64_t)be64_get(at + MAX_TIMESTAMP_AT),
        .producer_id = (int64_t)be64_get(at + 43),
        .producer_epoch = (int16_t)be16_get(at + 51),
        .base_sequence = (int32_t)be32_get(at + 53),
        .count = (int32_t)be32_get(at + 57),
    };
    return true;
}

uint32_t batch_crc(const uint8_t *at, uint32_t bytes)
{
    assert(bytes >= BATCH_HEADER_BYTES);
    return crc32c(0, at + BATCH_CRC_FROM, bytes - BATCH_CRC_FROM);
}

/* --- records ---
 * length varint | attributes 1 | timestamp delta varlong | offset delta varint | key bytes varint, key | value bytes varint,
 * value | header count varint, of each: key bytes varint, key, value bytes varint, value. Varints are zigzag. */

static inline bool read_long_varint(struct batch_cursor *c, uint32_t bytes_max, uint64_t *out)
{
    uint64_t v = 0;
    for (uint32_t i = 0; i < bytes_max && c->at < c->end; i++) {
        uint8_t b = *c->at++;
        v |= (uint64_t)(b & 0x7f) << (7 * i);
        if (!(b & 0x80)) {
            *out = v;
            return true;
        }
    }
    return false;
}
/* One byte is by far the most common. */
static inline bool read_varint(struct batch_cursor *c, uint32_t bytes_max, uint64_t *out)
{
    if (likely(c->at < c->end && *c->at < 0x80)) {
        *out = *c->at++;
        return true;
    }
    return read_long_varint(c, bytes_max, out);
}
static inline bool read_varint32(struct batch_cursor *c, int32_t *out)
{
    uint64_t v = 0;
    bool good = read_varint(c, 5, &v);
    *out = (int32_t)((uint32_t)v >> 1) ^ -(int32_t)(v & 1);
    return good;
}
static inline bool read_varint64(struct batch_cursor *c, int64_t *out)
{
    uint64_t v = 0;
    bool good = read_varint(c, 10, &v);
    *out = (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
    return good;
}
/* Bytes behind their length; every negative length means null, as in Kafka. */
static inline bool read_sized_bytes(struct batch_cursor *c, const uint8_t **out_at, int32_t *out_bytes)
{
    int32_t bytes;
    if (!read_varint32(c, &bytes))
        return false;
    if (bytes < 0) {
        *out_at = NULL;
        *out_bytes = -1;
        return true;
    }
    if (bytes > c->end - c->at)
        return false;
    *out_at = c->at;
    *out_bytes = bytes;
    c->at += bytes;
    return true;
}

static bool skip_record_headers(struct batch_cursor *c, int32_t count)
{
    const uint8_t *at;
    int32_t bytes;
    for (; count > 0; count--) {
        if (!read_sized_bytes(c, &at, &bytes) || !at) /* a header's key is never null */
            return false;
        if (!read_sized_bytes(c, &at, &bytes))
            return false;
    }
    return true;
}

bool batch_next(struct batch_cursor *c, struct batch_record *out_record)
{
    assert(c->at <= c->end);
    int32_t length, header_count;
    if (!read_varint32(c, &length) || length < 1 || length > c->end - c->at)
        return false;
    struct batch_cursor r = {c->at + 1, c->at + length}; /* the attributes byte means nothing yet */
    if (!read_varint64(&r, &out_record->timestamp_delta) || !read_varint32(&r, &out_record->offset_delta))
        return false;
    if (!read_sized_bytes(&r, &out_record->key, &out_record->key_bytes) ||
        !read_sized_bytes(&r, &out_record->value, &out_record->value_bytes))
        return false;
    out_record->headers = r.at;
    if (!read_varint32(&r, &header_count) || header_count < 0 || header_count > r.end - r.at)
        return false;
    if (!skip_record_headers(&r, header_count) || r.at != r.end)
        return false;
    out_record->headers_bytes = (int32_t)(r.end - out_record->headers);
    c->at = r.end;
    return true;
}

/* --- markers --- */

enum { MARKER_RECORD_LENGTH = 16, MARKER_KEY_BYTES = 4, MARKER_VALUE_BYTES = 6 };
static_assert(BATCH_MARKER_BYTES == BATCH_HEADER_BYTES + 1 + MARKER_RECORD_LENGTH, "a record and its length");

static void write_marker_record(uint8_t *at, const struct batch_marker *marker)
{
    memset(at, 0, 1 + MARKER_RECORD_LENGTH); /* attributes, deltas, versions, headers: 0 */
    at[0] = MARKER_RECORD_LENGTH << 1;
    at[4] = MARKER_KEY_BYTES << 1;
    be16_put(at + 7, marker->commit);
    at[9] = MARKER_VALUE_BYTES << 1;
    be32_put(at + 12, (uint32_t)marker->coordinator_epoch);
}

void batch_write_marker(uint8_t out[BATCH_MARKER_BYTES], int64_t producer_id, int16_t producer_epoch, int64_t now_ms,
                        const struct batch_marker *marker)
{
    assert(producer_id >= 0);
    memset(out, 0, BATCH_HEADER_BYTES);
    be32_put(out + LENGTH_AT, BATCH_MARKER_BYTES - BATCH_PREFIX_BYTES);
    be32_put(out + LEADER_EPOCH_AT, UINT32_MAX);
    out[MAGIC_AT] = 2;
    be16_put(out + ATTRIBUTES_AT, BATCH_TRANSACTIONAL | BATCH_CONTROL);
    be64_put(out + 27, (uint64_t)now_ms);
    be64_put(out + MAX_TIMESTAMP_AT, (uint64_t)now_ms);
    be64_put(out + 43, (uint64_t)producer_id);
    be16_put(out + 51, (uint16_t)producer_epoch);
    be32_put(out + 53, UINT32_MAX); /* no sequence */
    be32_put(out + 57, 1);
    write_marker_record(out + BATCH_HEADER_BYTES, marker);
    be32_put(out + CRC_AT, batch_crc(out, BATCH_MARKER_BYTES));
}

bool batch_read_marker(const struct batch *b, const uint8_t *at, struct batch_marker *out)
{
    assert(batch_is_control(b));
    struct batch_cursor records = {at + BATCH_HEADER_BYTES, at + b->bytes};
    struct batch_record r;
    if (b->count <= 0 || b->attributes & BATCH_CODEC_MASK || !batch_next(&records, &r) ||
        r.key_bytes < MARKER_KEY_BYTES || r.value_bytes < MARKER_VALUE_BYTES || be16_get(r.key + 2) > 1)
        return false;
    *out = (struct batch_marker){.coordinator_epoch = (int32_t)be32_get(r.value + 2), .commit = be16_get(r.key + 2)};
    return true;
}
