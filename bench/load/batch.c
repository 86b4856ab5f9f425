/* Record batches for the load: see batch.h. */
#include "bench/load/batch.h"

#include <assert.h>

#include "bench/load/fill.h"
#include "bench/load/wire.h"

enum { PRODUCER_AT = 43, TRANSACTIONAL = 16 };

/* A record is: length, attributes, timestamp delta 0, offset delta, key -1, value length, value, no headers. */
static uint32_t body_bytes(uint32_t delta, uint32_t value_bytes)
{
    return 1 + 1 + varint_bytes(delta) + 1 + varint_bytes(value_bytes) + value_bytes + 1;
}

static uint32_t record_size(uint32_t delta, uint32_t value_bytes)
{
    uint32_t body = body_bytes(delta, value_bytes);

    return varint_bytes(body) + body;
}

static void put_record(struct put *p, uint64_t number, uint32_t delta, uint32_t value_bytes, uint64_t *state)
{
    put_varint(p, body_bytes(delta, value_bytes));
    put_u8(p, 0);
    put_varint(p, 0);
    put_varint(p, delta);
    put_varint(p, -1);
    put_varint(p, value_bytes);
    fill_value(p, number, value_bytes, state);
    put_varint(p, 0);
}

/* The value size for the next record: the usual one, or all that is left when another record would not fit behind it. */
static uint32_t next_value(uint32_t delta, uint32_t room, uint32_t record_bytes)
{
    uint32_t value = record_bytes > 32 ? record_bytes - 10 : 22;

    if (room >= 2 * record_size(delta, value) + 16)
        return value;
    for (value = room; value > 8 && record_size(delta, value) > room;)
        value--;
    return value;
}

struct batch batch_make(uint64_t number, int64_t now_ms, uint32_t want_bytes, uint32_t record_bytes, uint8_t *out)
{
    struct put body = {out + BATCH_HEADER_BYTES, out + want_bytes};
    uint64_t state = number * 0x9e3779b97f4a7c15u + 1;
    uint32_t records = 0;

    assert(want_bytes >= BATCH_BYTES_MIN && want_bytes <= BATCH_BYTES_MAX);
    while (body.end - body.at >= 24) {
        put_record(&body, number, records, next_value(records, (uint32_t)(body.end - body.at), record_bytes), &state);
        records++;
    }
    uint32_t bytes = (uint32_t)(body.at - out);
    struct fill_head head = {.records = records, .now_ms = now_ms, .producer_id = -1, .epoch = -1, .sequence = -1};

    fill_header(out, bytes, &head);
    return (struct batch){.bytes = bytes, .records = records};
}

void batch_in_transaction(uint8_t *batch, uint32_t bytes, uint64_t producer_id, uint16_t producer_epoch)
{
    struct put attributes = {batch + BATCH_CRC_FROM, batch + BATCH_CRC_FROM + 2};
    struct put producer = {batch + PRODUCER_AT, batch + PRODUCER_AT + 14};

    put_u16(&attributes, TRANSACTIONAL);
    put_u64(&producer, producer_id);
    put_u16(&producer, producer_epoch);
    put_u32(&producer, 0); /* sequence */
    fill_crc(batch, bytes);
}
