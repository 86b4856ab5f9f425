#include "net/coord/coord_batch.h"

static uint32_t zigzag32(int32_t v)
{
    return ((uint32_t)v << 1) ^ (uint32_t)(v >> 31);
}

static uint32_t record_varint_bytes(int32_t v)
{
    uint32_t n = 1;
    for (uint32_t z = zigzag32(v); z >= 0x80; z >>= 7)
        n++;
    return n;
}

static void put_record_varint(struct kwriter *w, int32_t v)
{
    kwrite_uvarint(w, zigzag32(v));
}

struct kwriter record_batch_open(struct record_batch *b, uint32_t key_bytes, int32_t value_bytes)
{
    assert(value_bytes >= -1);
    uint32_t body = 2 + record_varint_bytes(b->count) + record_varint_bytes((int32_t)key_bytes) + key_bytes +
                    record_varint_bytes(value_bytes) + (value_bytes > 0 ? (uint32_t)value_bytes : 0) + 1;
    struct kwriter w = kwriter_of(b->at, (size_t)(b->end - b->at));
    put_record_varint(&w, (int32_t)body);
    kwrite_int8(&w, 0);       /* attributes */
    put_record_varint(&w, 0); /* timestamp delta */
    put_record_varint(&w, b->count);
    put_record_varint(&w, (int32_t)key_bytes);
    return w;
}

void record_batch_value(struct kwriter *w, int32_t value_bytes)
{
    put_record_varint(w, value_bytes);
}

bool record_batch_close(struct record_batch *b, struct kwriter *w)
{
    put_record_varint(w, 0); /* headers */
    assert(!w->bad);
    if (!kwriter_good(w))
        return false;
    b->at = w->at;
    b->count++;
    return true;
}

void record_batch_begin(struct record_batch *b, uint8_t *at, uint32_t bytes)
{
    assert(bytes > BATCH_HEADER_BYTES);
    *b = (struct record_batch){.start = at, .at = at + BATCH_HEADER_BYTES, .end = at + bytes};
}

static void put_batch_producer(uint8_t *at, const struct record_txn *txn)
{
    memset(at + 43, 0xff, 8 + 2 + 4); /* none, and no sequence */
    if (!txn)
        return;
    assert(txn->producer_id >= 0);
    assert(txn->producer_epoch >= 0);
    be16_put(at + 21, BATCH_TRANSACTIONAL);
    be64_put(at + 43, (uint64_t)txn->producer_id);
    be16_put(at + 51, (uint16_t)txn->producer_epoch);
}

uint32_t record_batch_end(struct record_batch *b, int64_t now_ms, const struct record_txn *txn)
{
    assert(b->count > 0);
    uint32_t bytes = (uint32_t)(b->at - b->start);
    uint8_t *at = b->start;
    memset(at, 0, BATCH_HEADER_BYTES);
    be32_put(at + 8, bytes - BATCH_PREFIX_BYTES);
    at[16] = 2;
    be32_put(at + 23, (uint32_t)b->count - 1);
    be64_put(at + 27, (uint64_t)now_ms);
    be64_put(at + 35, (uint64_t)now_ms);
    put_batch_producer(at, txn);
    be32_put(at + 57, (uint32_t)b->count);
    be32_put(at + 17, batch_crc(at, bytes));
    return bytes;
}
