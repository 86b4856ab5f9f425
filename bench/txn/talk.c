/* Requests and answers of the transactional load: see talk.h. All of these versions are flexible. */
#include "bench/txn/talk.h"

#include <string.h>

#include "bench/load/wire.h"

enum {
    PRODUCE = 0,
    FIND_COORDINATOR = 10,
    INIT_PRODUCER_ID = 22,
    END_TXN = 26,
    OF_A_TRANSACTION = 1,
    TIMEOUT_MS = 60000
};

static struct put begin_request(uint8_t *out, uint16_t key, uint16_t version, uint32_t correlation)
{
    struct put p = {out, out + TXN_REQUEST_MAX};

    put_begin(&p, key, version, correlation);
    put_u8(&p, 0); /* no tagged fields, here and at the end */
    return p;
}

static size_t end_request(struct put *p, uint8_t *at)
{
    put_u8(p, 0);
    return put_end(p, at, 0);
}

size_t txn_put_find(uint8_t *out, uint32_t correlation, const struct txn_who *who)
{
    struct put p = begin_request(out, FIND_COORDINATOR, 4, correlation);

    put_u8(&p, OF_A_TRANSACTION);
    put_uvarint(&p, 2);
    put_compact(&p, who->id);
    return end_request(&p, out);
}

size_t txn_put_init(uint8_t *out, uint32_t correlation, const struct txn_who *who)
{
    struct put p = begin_request(out, INIT_PRODUCER_ID, 4, correlation);

    put_compact(&p, who->id);
    put_u32(&p, TIMEOUT_MS);
    put_u64(&p, UINT64_MAX);
    put_u16(&p, UINT16_MAX);
    return end_request(&p, out);
}

size_t txn_put_produce(uint8_t *out, uint32_t correlation, const struct txn_who *who, const struct txn_data *data)
{
    struct put p = begin_request(out, PRODUCE, 12, correlation);

    put_compact(&p, who->id);
    put_u16(&p, UINT16_MAX); /* acks=all */
    put_u32(&p, TIMEOUT_MS);
    put_uvarint(&p, 2);
    put_compact(&p, data->topic);
    put_uvarint(&p, data->partitions + 1);
    for (uint32_t i = 0; i < data->partitions; i++) {
        put_u32(&p, i);
        put_uvarint(&p, data->batch_bytes + 1);
        put_bytes(&p, data->batch, data->batch_bytes);
        put_u8(&p, 0);
    }
    put_u8(&p, 0);
    return end_request(&p, out);
}

size_t txn_put_end(uint8_t *out, uint32_t correlation, const struct txn_who *who, bool commit)
{
    struct put p = begin_request(out, END_TXN, 5, correlation);

    put_compact(&p, who->id);
    put_u64(&p, who->producer_id);
    put_u16(&p, who->epoch);
    put_u8(&p, commit);
    return end_request(&p, out);
}

/* --- answers --- */

bool txn_get_found(const uint8_t *at, size_t len, int16_t *out_error)
{
    struct get g = {at, at + len, false};

    get_skip_tags(&g);
    get_u32(&g); /* throttle time */
    bool one = get_uvarint(&g) == 2;
    get_skip_compact(&g);
    get_u32(&g);
    get_skip_compact(&g);
    get_u32(&g);
    *out_error = (int16_t)get_u16(&g);
    return one && !g.bad;
}

bool txn_get_said(const uint8_t *at, size_t len, struct txn_said *out)
{
    struct get g = {at, at + len, false};

    get_skip_tags(&g);
    get_u32(&g); /* throttle time */
    out->error = (int16_t)get_u16(&g);
    out->producer_id = get_u64(&g);
    out->epoch = get_u16(&g);
    return !g.bad;
}

/* The error of a partition. */
static int16_t take_partition(struct get *g)
{
    get_u32(g);
    int16_t error = (int16_t)get_u16(g);
    get_bytes(g, 24); /* base offset, append time, log start */
    uint64_t errors = get_uvarint(g);
    for (uint64_t i = 1; i < errors && !g->bad; i++) {
        get_u32(g);
        get_skip_compact(g);
        get_skip_tags(g);
    }
    get_skip_compact(g);
    get_skip_tags(g);
    return error;
}

bool txn_get_produced(const uint8_t *at, size_t len, int16_t *out_error, uint32_t *out_count)
{
    struct get g = {at, at + len, false};

    get_skip_tags(&g);
    bool one = get_uvarint(&g) == 2;
    get_skip_compact(&g);
    uint64_t count = get_uvarint(&g);
    *out_error = TXN_NONE;
    *out_count = (uint32_t)(count - 1);
    for (uint64_t i = 1; i < count && !g.bad; i++) {
        int16_t error = take_partition(&g);
        *out_error = *out_error ? *out_error : error;
    }
    return one && count > 0 && !g.bad;
}
