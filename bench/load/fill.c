/* Values and headers of batches: see fill.h. */
#include "bench/load/fill.h"

#include <assert.h>
#include <isa-l.h>
#include <string.h>

#include "bench/load/batch.h"

uint64_t fill_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

void fill_value(struct put *p, uint64_t first, uint32_t value_bytes, uint64_t *random)
{
    uint8_t *value = p->at;

    assert((size_t)(p->end - p->at) >= value_bytes && value_bytes >= sizeof first);
    memset(value, 0, value_bytes);
    memcpy(value, &first, sizeof first);
    for (uint32_t i = sizeof first; i + 16 <= value_bytes; i += 16) {
        uint64_t r = fill_random(random);
        memcpy(value + i, &r, sizeof r);
    }
    p->at += value_bytes;
}

void fill_crc(uint8_t *batch, size_t bytes)
{
    uint32_t crc = ~crc32_iscsi(batch + BATCH_CRC_FROM, (int)(bytes - BATCH_CRC_FROM), 0xffffffff);
    struct put at = {batch + BATCH_CRC_AT, batch + BATCH_CRC_FROM};

    put_u32(&at, crc);
}

void fill_header(uint8_t *batch, size_t bytes, const struct fill_head *head)
{
    struct put p = {batch, batch + BATCH_HEADER_BYTES};

    put_u64(&p, 0);
    put_u32(&p, (uint32_t)(bytes - 12));
    put_u32(&p, (uint32_t)-1);
    put_u8(&p, 2);
    put_u32(&p, 0); /* CRC */
    put_u16(&p, head->attributes);
    put_u32(&p, head->records - 1);
    put_u64(&p, (uint64_t)head->now_ms);
    put_u64(&p, (uint64_t)head->now_ms);
    put_u64(&p, (uint64_t)head->producer_id);
    put_u16(&p, (uint16_t)head->epoch);
    put_u32(&p, (uint32_t)head->sequence);
    put_u32(&p, head->records);
    fill_crc(batch, bytes);
}
