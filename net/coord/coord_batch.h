/* A record batch in the making, in the caller's memory: keys and values are bytes, written in place. Each record is put whole, or
 * not at all where there is no room:
 *
 *   record_batch_open --> the key --> record_batch_value --> the value --> record_batch_close */
#pragma once
#include "net/wire/wire.h"
#include "storage/log/batch.h"

struct record_batch {
    uint8_t *start, *at, *end;
    int32_t count;
};
void record_batch_begin(struct record_batch *b, uint8_t *at, uint32_t bytes);
/* The transaction that records belong to. */
struct record_txn {
    int64_t producer_id;
    int16_t producer_epoch;
};
/* Its size; there is at least one record in it. `txn`: they count when its marker says so; NULL: of none. As Kafka's coordinators
 * write them, such a batch has a producer and no sequence. */
uint32_t record_batch_end(struct record_batch *b, int64_t now_ms, const struct record_txn *txn) must_use;

/* Keys and values of coordinators' records begin with the version of what follows. */
enum { RECORD_VERSION_BYTES = 2 };
static inline struct kview record_behind_version(struct kview v)
{
    return (struct kview){v.at + RECORD_VERSION_BYTES, v.n - RECORD_VERSION_BYTES};
}

/* Not less than a record takes whose key and value have so many bytes (-1: null, a tombstone). */
static inline uint32_t record_bytes(uint32_t key_bytes, int32_t value_bytes)
{
    enum { FRAME = 5 * 5 + 2 }; /* five varints, attributes, a count of headers */
    return FRAME + key_bytes + (value_bytes > 0 ? (uint32_t)value_bytes : 0);
}
/* The key of `key_bytes` comes next; the writer remembers when there is no room for the rest. */
struct kwriter record_batch_open(struct record_batch *b, uint32_t key_bytes, int32_t value_bytes) must_use;
/* The value comes next. */
void record_batch_value(struct kwriter *w, int32_t value_bytes);
/* False: it did not fit, and the batch is as it was. */
bool record_batch_close(struct record_batch *b, struct kwriter *w) must_use;
