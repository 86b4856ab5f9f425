/* Record batches with stamps: see records.h. */
#include "bench/load/records.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "bench/load/cpu.h"
#include "bench/load/fill.h"
#include "bench/load/wire.h"
#include "storage/log/codec.h"

enum { AT_LENGTH = 8, AT_ATTRIBUTES = 21, AT_LAST_DELTA = 23, AT_COUNT = 57, RECORD_OVERHEAD = 24 };

static void put_one(struct records *r, struct put *p, uint32_t i, uint32_t value_bytes)
{
    uint32_t key_bytes = r->keys ? RECORDS_KEY_BYTES : 0;
    size_t body = 1 + 1 + varint_bytes(i) + 1 + key_bytes + varint_bytes(value_bytes) + value_bytes + 1;
    put_varint(p, (int64_t)body);
    put_u8(p, 0);
    put_varint(p, 0);
    put_varint(p, i);
    put_varint(p, r->keys ? (int64_t)key_bytes : -1);
    r->key_at[i] = (uint32_t)(p->at - r->batch);
    if (key_bytes)
        put_bytes(p, "key000000000", RECORDS_KEY_BYTES);
    put_varint(p, value_bytes);
    r->stamp_at[i] = (uint32_t)(p->at - r->batch);
    fill_value(p, 0, value_bytes, &r->random); /* the stamp comes later */
    put_varint(p, 0);
    r->end_of[i] = (uint32_t)(p->at - r->batch);
}

static uint32_t fits(const struct plan *plan)
{
    uint32_t each = plan->record_bytes + RECORD_OVERHEAD / 2 + (plan->keys ? RECORDS_KEY_BYTES : 0);
    uint32_t room = plan->batch_bytes > BATCH_HEADER_BYTES ? plan->batch_bytes - BATCH_HEADER_BYTES : 0;
    return room / each > 0 ? room / each : 1;
}

bool records_open(struct records *r, const struct plan *plan)
{
    *r = (struct records){.max = fits(plan), .codec = plan->codec, .keys = plan->keys, .random = 88172645463325252u};
    size_t room = BATCH_HEADER_BYTES + (size_t)r->max * (plan->record_bytes + RECORD_OVERHEAD + RECORDS_KEY_BYTES);
    r->batch = malloc(room);
    r->end_of = calloc(r->max, sizeof *r->end_of);
    r->stamp_at = calloc(r->max, sizeof *r->stamp_at);
    r->key_at = calloc(r->max, sizeof *r->key_at);
    r->packed_room = room + room / 8 + 65536;
    r->packed = r->codec ? malloc(r->packed_room) : NULL;
    r->heap = heap_open();
    if (!r->batch || !r->end_of || !r->stamp_at || !r->key_at || (r->codec && !r->packed) || !r->heap)
        return false;
    struct put p = {r->batch + BATCH_HEADER_BYTES, r->batch + room};
    for (uint32_t i = 0; i < r->max; i++)
        put_one(r, &p, i, plan->record_bytes);
    return true;
}

void records_close(struct records *r)
{
    free(r->batch);
    free(r->end_of);
    free(r->stamp_at);
    free(r->key_at);
    free(r->packed);
    if (r->heap)
        heap_close(r->heap);
}

static void write_key(struct records *r, uint32_t i)
{
    uint64_t key = fill_random(&r->random) % r->keys;
    for (int digit = RECORDS_KEY_BYTES - 1; digit >= 3; digit--, key /= 10)
        r->batch[r->key_at[i] + (uint32_t)digit] = (uint8_t)('0' + key % 10);
}

const uint8_t *records_make(struct records *r, const struct records_of *of, size_t *out_bytes)
{
    assert(of->count > 0 && of->count <= r->max);
    for (uint32_t i = 0; i < of->count; i++) {
        uint64_t due = (uint64_t)(of->due_ns + i * of->step_ns);
        memcpy(r->batch + r->stamp_at[i], &due, sizeof due);
        if (r->keys)
            write_key(r, i);
    }
    struct fill_head head = {.attributes = r->codec,
                             .records = of->count,
                             .now_ms = cpu_wall_ms(),
                             .producer_id = of->producer_id,
                             .epoch = of->epoch,
                             .sequence = of->sequence};
    size_t plain = r->end_of[of->count - 1];
    if (!r->codec) {
        fill_header(r->batch, plain, &head);
        *out_bytes = plain;
        return r->batch;
    }
    size_t packed = 0;
    if (codec_compress((enum batch_codec)r->codec,
                       r->codec == CODEC_LZ4    ? 9
                       : r->codec == CODEC_ZSTD ? 3
                                                : -1,
                       r->batch + BATCH_HEADER_BYTES, plain - BATCH_HEADER_BYTES, r->heap,
                       r->packed + BATCH_HEADER_BYTES, r->packed_room - BATCH_HEADER_BYTES, &packed))
        return NULL;
    *out_bytes = BATCH_HEADER_BYTES + packed;
    fill_header(r->packed, *out_bytes, &head);
    return r->packed;
}

static uint32_t read_u32(const uint8_t *at)
{
    struct get g = {at, at + 4, false};
    return get_u32(&g);
}

size_t records_batch_bytes(const uint8_t *at, size_t bytes)
{
    if (bytes < BATCH_HEADER_BYTES)
        return 0;
    size_t whole = 12 + (size_t)read_u32(at + AT_LENGTH);
    return whole <= bytes ? whole : 0;
}

static int64_t get_varint(struct get *g)
{
    uint64_t v = get_uvarint(g);
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* One record; its value's first bytes are the stamp. */
static void walk_one(struct get *g, uint64_t base, uint64_t from,
                     void (*seen)(void *arg, uint64_t stamp_ns, size_t value_bytes), void *arg)
{
    int64_t body = get_varint(g);
    const uint8_t *at = get_bytes(g, body > 0 ? (size_t)body : 0);
    if (!at || body < 1) {
        g->bad = true;
        return;
    }
    struct get r = {at, at + body, false};
    get_u8(&r);
    get_varint(&r);
    uint64_t offset = base + (uint64_t)get_varint(&r);
    int64_t key = get_varint(&r);
    if (key > 0)
        get_bytes(&r, (size_t)key);
    int64_t value = get_varint(&r);
    const uint8_t *stamp = value >= RECORDS_STAMP_BYTES ? get_bytes(&r, RECORDS_STAMP_BYTES) : NULL;
    if (!stamp) {
        g->bad = true;
        return;
    }
    uint64_t due;
    memcpy(&due, stamp, sizeof due);
    if (offset >= from)
        seen(arg, due, (size_t)value);
}

struct records_read records_walk(struct records *r, const uint8_t *at, size_t bytes, uint64_t from,
                                 void (*seen)(void *arg, uint64_t stamp_ns, size_t value_bytes), void *arg)
{
    struct get h = {at, at + bytes, false};
    struct records_read out = {.base = get_u64(&h)};
    out.next = out.base + read_u32(at + AT_LAST_DELTA) + 1;
    out.count = read_u32(at + AT_COUNT);
    uint8_t codec = at[AT_ATTRIBUTES + 1] & 7, *unpacked = NULL;
    size_t plain = bytes - BATCH_HEADER_BYTES;
    struct get g = {at + BATCH_HEADER_BYTES, at + bytes, false};
    if (codec) {
        if (codec_decompress((enum batch_codec)codec, g.at, plain, CODEC_OUTPUT_MAX, r->heap, &unpacked, &plain)) {
            out.wrong = true;
            return out;
        }
        g = (struct get){unpacked, unpacked + plain, false};
    }
    for (uint32_t i = 0; i < out.count && !g.bad; i++)
        walk_one(&g, out.base, from, seen, arg);
    out.wrong = g.bad || g.at != g.end;
    heap_free(r->heap, unpacked);
    return out;
}
