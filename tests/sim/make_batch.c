#include "tests/sim/make_batch.h"
#include "tests/sim/world.h"
#include <stdio.h>
#include <string.h>

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

static void fill_header(uint8_t *at, uint32_t bytes, int32_t count, struct batch_sender from, int64_t first_ms,
                        int64_t most_ms)
{
    memset(at, 0, BATCH_HEADER_BYTES);
    be32_put(at + 8, bytes - BATCH_PREFIX_BYTES);
    be32_put(at + 12, UINT32_MAX);
    at[16] = 2;
    be16_put(at + 21, from.transactional ? BATCH_TRANSACTIONAL : 0);
    be32_put(at + 23, (uint32_t)count - 1);
    be64_put(at + 27, (uint64_t)first_ms);
    be64_put(at + 35, (uint64_t)most_ms);
    be64_put(at + 43, (uint64_t)from.id);
    be16_put(at + 51, (uint16_t)from.epoch);
    be32_put(at + 53, (uint32_t)from.sequence);
    be32_put(at + 57, (uint32_t)count);
    be32_put(at + 17, batch_crc(at, bytes));
}

uint32_t make_batch_bytes(uint8_t *at, const uint32_t *value_bytes, int32_t count, int64_t id, int32_t sequence)
{
    uint8_t *end = at + BATCH_HEADER_BYTES;
    for (int32_t i = 0; i < count; i++)
        end = put_record(end, i, value_bytes[i]);
    uint32_t bytes = (uint32_t)(end - at);
    int64_t now_ms = clock_wall_ms();
    const struct batch_sender from = {id, sequence, 0, false};
    fill_header(at, bytes, count, id >= 0 ? from : BATCH_SENDER_NONE, now_ms, now_ms);
    return bytes;
}

/* --- with keys --- */

enum { KEY_BYTES = 4, HEADERS_BYTES = 8 };

static uint8_t value_byte(uint32_t number, uint32_t i)
{
    return (uint8_t)(number * 31 + i);
}

static void put_key(char out[KEY_BYTES + 1], uint32_t key)
{
    snprintf(out, KEY_BYTES + 1, "%04u", key % 10000);
}

static uint8_t *put_keyed_record(uint8_t *at, int32_t delta, int64_t time_delta, const struct keyed_value *v)
{
    char key[KEY_BYTES + 1];
    uint32_t value_bytes = v->value_bytes < 0 ? 0 : (uint32_t)v->value_bytes;
    put_key(key, v->key);
    at = put_varint(at, 1 + varint_bytes(time_delta) + varint_bytes(delta) + varint_bytes(KEY_BYTES) + KEY_BYTES +
                            varint_bytes(v->value_bytes) + value_bytes + HEADERS_BYTES);
    *at++ = 0;
    at = put_varint(at, time_delta);
    at = put_varint(at, delta);
    at = put_varint(at, KEY_BYTES);
    memcpy(at, key, KEY_BYTES);
    at = put_varint(at + KEY_BYTES, v->value_bytes);
    for (uint32_t i = 0; i < value_bytes; i++)
        at[i] = value_byte(v->number, i);
    at = put_varint(at + value_bytes, 1);
    at = put_varint(at, 1);
    *at++ = 'n';
    at = put_varint(at, 4);
    be32_put(at, v->number);
    return at + 4;
}

uint32_t make_keyed_batch_bytes(uint8_t *at, const struct keyed_value *v, uint32_t count, struct batch_sender from)
{
    uint8_t *end = at + BATCH_HEADER_BYTES;
    int64_t most = v[0].timestamp;
    for (uint32_t i = 0; i < count; i++) {
        end = put_keyed_record(end, (int32_t)i, v[i].timestamp - v[0].timestamp, &v[i]);
        most = v[i].timestamp > most ? v[i].timestamp : most;
    }
    uint32_t bytes = (uint32_t)(end - at);
    fill_header(at, bytes, (int32_t)count, from, v[0].timestamp, most);
    return bytes;
}

int64_t keyed_record_number(const struct batch_record *r)
{
    static const uint8_t header[] = {2, 2, 'n', 8}; /* count 1, key length 1, "n", value length 4 */
    bool is_one = r->headers_bytes == HEADERS_BYTES && memcmp(r->headers, header, sizeof header) == 0;
    return is_one ? (int64_t)be32_get(r->headers + sizeof header) : -1;
}

bool keyed_record_is(const struct batch_record *r, const struct keyed_value *v)
{
    char key[KEY_BYTES + 1];
    put_key(key, v->key);
    bool same = r->key_bytes == KEY_BYTES && memcmp(r->key, key, KEY_BYTES) == 0 && r->value_bytes == v->value_bytes;
    for (int32_t i = 0; same && i < r->value_bytes; i++)
        same = r->value[i] == value_byte(v->number, (uint32_t)i);
    return same;
}
