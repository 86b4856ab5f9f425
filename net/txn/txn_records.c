/* See txn_records.h. */
#include "net/txn/txn_records.h"
#include "core/bytes.h"

enum { KEY_TXN = 0 };

/* --- reading --- */

static const char *check_txn_topics(const struct transaction_log_value *v)
{
    for (int32_t i = 0; i < v->transaction_partitions.n; i++)
        if (v->transaction_partitions.v[i].topic.n <= 0)
            return "a transaction with a topic that has no name";
    return NULL;
}

static const char *take_txn_value(const struct transaction_log_value *v, struct txn_record *out)
{
    if (v->transaction_status < TXN_EMPTY || v->transaction_status > TXN_COMPLETE_ABORT)
        return "a transaction in a state that is none";
    if (v->producer_id < 0 || v->producer_epoch < 0)
        return "a transaction without a producer";
    out->values = (struct txn_values){.state = (enum txn_state)v->transaction_status,
                                      .producer_id = v->producer_id,
                                      .previous_id = v->previous_producer_id,
                                      .next_id = v->next_producer_id,
                                      .producer_epoch = v->producer_epoch,
                                      .last_epoch = -1,
                                      .timeout_ms = v->transaction_timeout_ms,
                                      .start_ms = v->transaction_start_timestamp_ms,
                                      .update_ms = v->transaction_last_update_timestamp_ms,
                                      .client_version = v->client_transaction_version};
    out->topics = v->transaction_partitions.v;
    out->topic_count = v->transaction_partitions.n > 0 ? v->transaction_partitions.n : 0;
    return check_txn_topics(v);
}

static const char *read_txn_value(struct kview value, struct arena *arena, struct txn_record *out)
{
    struct transaction_log_value v;
    if (value.n < RECORD_VERSION_BYTES)
        return "a transaction without a version";
    int16_t version = (int16_t)be16_get(value.at);
    if (version < KFIRST_transaction_log_value || version > KLAST_transaction_log_value)
        return "a transaction of an unknown version";
    if (!transaction_log_value_decode(&v, record_behind_version(value), version, arena))
        return "a transaction that cannot be decoded";
    return take_txn_value(&v, out);
}

const char *txn_record_read(struct kview key, struct kview value, struct arena *arena, struct txn_record *out)
{
    struct transaction_log_key k;
    *out = (struct txn_record){.tombstone = value.n < 0};
    if (key.n < RECORD_VERSION_BYTES)
        return "a key without a version";
    if ((int16_t)be16_get(key.at) != KEY_TXN)
        return (int16_t)be16_get(key.at) < 0 ? "a key of a negative version" : NULL;
    if (!transaction_log_key_decode(&k, record_behind_version(key), 0, arena))
        return "a transaction's key that cannot be decoded";
    out->known = true;
    out->id = k.transactional_id;
    return out->tombstone ? NULL : read_txn_value(value, arena, out);
}

/* Ours are in order. Kafka's are not: then all are sorted. */
enum err txn_record_parts(const struct txn_record *r, struct txn_parts *out)
{
    size_t count = 0, at = 0;
    struct txn_parts none;
    assert(out->count == 0);
    txn_parts_init(&none, out->heap);
    for (int32_t i = 0; i < r->topic_count; i++)
        count += r->topics[i].partition_ids.n > 0 ? (size_t)r->topics[i].partition_ids.n : 0;
    struct txn_partition *named = heap_alloc(out->heap, count * sizeof *named + 1);
    if (!named)
        return ERR_NO_MEMORY;
    for (int32_t i = 0; i < r->topic_count; i++)
        for (int32_t k = 0; k < r->topics[i].partition_ids.n; k++)
            named[at++] = (struct txn_partition){r->topics[i].topic, r->topics[i].partition_ids.v[k]};
    enum err err = txn_merge_all(&none, named, (uint32_t)count, out);
    heap_free(out->heap, named);
    return err;
}

/* --- writing --- */

static void fill_txn_value(const struct txn_values *v, struct transaction_log_value *out)
{
    transaction_log_value_init(out);
    out->producer_id = v->producer_id;
    out->producer_epoch = v->producer_epoch;
    out->transaction_timeout_ms = v->timeout_ms;
    out->transaction_status = (int8_t)v->state;
    out->transaction_last_update_timestamp_ms = v->update_ms;
    out->transaction_start_timestamp_ms = v->start_ms;
    out->previous_producer_id = v->previous_id;
    out->next_producer_id = v->next_id;
    out->client_transaction_version = v->client_version;
}

/* EMPTY has none, which is null; what is complete has none, which is a list of none. */
static void fill_txn_topics(const struct txn_parts *parts, struct partitions_schema *v)
{
    for (int32_t i = 0; i < parts->count; i++) {
        partitions_schema_init(&v[i]);
        struct txn_topic t = txn_parts_topic(parts, i);
        v[i].topic = t.name;
        v[i].partition_ids.v = (int32_t *)(uintptr_t)t.partitions; /* which are only read */
        v[i].partition_ids.n = t.count;
    }
}

static struct kview encode_txn_value(const struct transaction_log_value *v, int16_t version, struct heap *heap)
{
    uint64_t bytes = transaction_log_value_size(v, version).bytes + RECORD_VERSION_BYTES;
    uint8_t *at = bytes < INT32_MAX ? heap_alloc(heap, bytes) : NULL;
    if (!at)
        return (struct kview){NULL, -1};
    struct kwriter w = kwriter_of(at, bytes);
    kwrite_int16(&w, version);
    bool good = transaction_log_value_encode(v, &w, version);
    assert(good);
    return (struct kview){at, (int32_t)bytes};
}

struct kview txn_record_encode(const struct txn_values *v, const struct txn_parts *parts, int16_t level,
                               struct heap *heap)
{
    struct transaction_log_value value;
    struct partitions_schema *topics = heap_alloc(heap, ((size_t)parts->count + 1) * sizeof *topics);
    struct kview none = {NULL, -1};
    if (!topics)
        return none;
    fill_txn_value(v, &value);
    fill_txn_topics(parts, topics);
    value.transaction_partitions.v = topics;
    value.transaction_partitions.n = v->state == TXN_EMPTY ? -1 : parts->count;
    struct kview encoded = encode_txn_value(&value, level >= TXN_VERSION_1 ? 1 : 0, heap);
    heap_free(heap, topics);
    return encoded;
}

static uint32_t txn_key_bytes(struct kview id)
{
    return RECORD_VERSION_BYTES + 2 + (uint32_t)id.n;
}

uint32_t txn_record_bytes(struct kview id, struct kview value)
{
    return record_bytes(txn_key_bytes(id), value.n);
}

bool txn_record_put(struct record_batch *b, struct kview id, struct kview value)
{
    struct transaction_log_key k = {.transactional_id = id};
    struct kwriter w = record_batch_open(b, txn_key_bytes(id), value.n);
    kwrite_int16(&w, KEY_TXN);
    (void)transaction_log_key_encode(&k, &w, 0); /* the writer remembers */
    record_batch_value(&w, value.n);
    if (value.n > 0)
        kwrite_raw(&w, value.at, (size_t)value.n);
    return record_batch_close(b, &w);
}
