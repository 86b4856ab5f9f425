/* Producers as they are written: our own form and Kafka's.
 *
 * Saved form: u32 count with its highest bit set, then per producer: id 8, epoch 2, batches 1, written at 8, coordinator epoch 4, first
 * offset of the open transaction 8 (-1: none), last timestamp 8, and per batch: base offset 8, last offset 8, last sequence 4,
 * timestamp 8. Covered by the CRC of the record it lies in. Where the highest bit is not set (data folders before format 4) the
 * three fields of transactions are missing. */
#include "storage/log/producer_state.h"
#include "core/crc.h"
#include <stdlib.h>

enum {
    SAVED_HEAD_BYTES = 39,
    SAVED_HEAD_BYTES_BEFORE_4 = 19,
    SAVED_BATCH_BYTES = 28,
    SNAPSHOT_VERSION = 1,
    SNAPSHOT_HEAD_BYTES = 10, /* version 2, crc 4, count 4 */
    SNAPSHOT_CRC_FROM = 6,
    SNAPSHOT_ENTRY_BYTES = 46,
};
static const uint32_t saved_with_transactions = 1u << 31;

/* --- our own form --- */

size_t producers_saved_bytes(const struct producers *ps)
{
    assert(ps->batches <= ps->count * (uint32_t)PRODUCER_BATCHES);
    return 4 + (size_t)ps->count * SAVED_HEAD_BYTES + (size_t)ps->batches * SAVED_BATCH_BYTES;
}

static uint8_t *save_producer(const struct producer *p, uint8_t *out)
{
    assert(p->count <= PRODUCER_BATCHES);
    be64_put(out, (uint64_t)p->id);
    be16_put(out + 8, (uint16_t)p->epoch);
    out[10] = p->count;
    be64_put(out + 11, (uint64_t)p->written_ms);
    be32_put(out + 19, (uint32_t)p->coordinator_epoch);
    be64_put(out + 23, (uint64_t)p->txn_first_offset);
    be64_put(out + 31, (uint64_t)p->last_timestamp);
    out += SAVED_HEAD_BYTES;
    for (uint32_t i = 0; i < p->count; i++, out += SAVED_BATCH_BYTES) {
        be64_put(out, (uint64_t)p->v[i].base_offset);
        be64_put(out + 8, (uint64_t)p->v[i].last_offset);
        be32_put(out + 16, (uint32_t)p->v[i].last_sequence);
        be64_put(out + 20, (uint64_t)p->v[i].timestamp);
    }
    return out;
}
void producers_save(const struct producers *ps, uint8_t *out)
{
    assert(out);
    be32_put(out, ps->count | saved_with_transactions);
    out += 4;
    for (uint32_t i = 0; i < ps->count; i++)
        out = save_producer(producer_at(ps, i), out);
}

/* Returns the bytes taken, 0 for nonsense. */
static size_t load_producer(const uint8_t *at, size_t bytes, bool transactions, struct producer *p)
{
    assert(p->count == 0);
    size_t head = transactions ? SAVED_HEAD_BYTES : SAVED_HEAD_BYTES_BEFORE_4;
    if (bytes < head || at[10] > PRODUCER_BATCHES)
        return 0;
    size_t taken = head + at[10] * (size_t)SAVED_BATCH_BYTES;
    if (bytes < taken)
        return 0;
    p->id = (int64_t)be64_get(at);
    p->epoch = (int16_t)be16_get(at + 8);
    p->last_timestamp = p->written_ms = (int64_t)be64_get(at + 11);
    if (transactions) {
        p->coordinator_epoch = (int32_t)be32_get(at + 19);
        p->txn_first_offset = (int64_t)be64_get(at + 23);
        p->last_timestamp = (int64_t)be64_get(at + 31);
    }
    uint32_t count = at[10];
    at += head;
    for (uint32_t i = 0; i < count; i++, at += SAVED_BATCH_BYTES) {
        if ((int64_t)be64_get(at) > (int64_t)be64_get(at + 8))
            return 0;
        producer_remember(p, &(struct remembered){.base_offset = (int64_t)be64_get(at),
                                                  .last_offset = (int64_t)be64_get(at + 8),
                                                  .last_sequence = (int32_t)be32_get(at + 16),
                                                  .timestamp = (int64_t)be64_get(at + 20)});
    }
    return taken;
}

/* Takes an entry that was read, unless its id stands there already. */
static enum err add_read_producer(struct producers *ps, const struct producer *read)
{
    uint32_t index;
    if (producer_find(ps, read->id) != PRODUCER_NONE || ps->count == PRODUCERS_MAX)
        return ERR_CORRUPT;
    enum err err = producer_add(ps, read->id, &index);
    if (err)
        return err;
    struct producer *p = producer_own(ps, index);
    if (!p)
        return ERR_NO_MEMORY;
    *p = *read;
    p->txn_first_offset = p->txn_first_offset < 0 ? -1 : p->txn_first_offset;
    producers_recount(ps, 0, p->count);
    return ERR_NONE;
}

static int compare_txns(const void *x, const void *y)
{
    const struct txn *a = x, *b = y;
    return (a->first_offset > b->first_offset) - (a->first_offset < b->first_offset);
}
/* Open transactions and ages. ERR_CORRUPT: two transactions began at one offset. */
static enum err list_what_was_read(struct producers *ps)
{
    assert(ps->txn_count == 0);
    for (uint32_t i = 0; i < ps->count; i++) {
        const struct producer *p = producer_at(ps, i);
        if (p->txn_first_offset < 0)
            continue;
        if (producers_reserve_txn(ps))
            return ERR_NO_MEMORY;
        ps->txns[ps->txn_count++] = (struct txn){p->txn_first_offset, p->id, -1};
    }
    if (ps->txn_count)
        qsort(ps->txns, ps->txn_count, sizeof *ps->txns, compare_txns);
    for (uint32_t i = 1; i < ps->txn_count; i++)
        if (ps->txns[i - 1].first_offset == ps->txns[i].first_offset)
            return ERR_CORRUPT;
    return producers_sort_ages(ps);
}

static enum err load_saved_producers(struct producers *ps, const uint8_t *at, size_t bytes)
{
    assert(at || bytes == 0);
    const uint8_t *end = at + bytes;
    if (bytes < 4)
        return ERR_CORRUPT;
    uint32_t count = be32_get(at);
    bool transactions = count & saved_with_transactions;
    at += 4;
    for (count &= ~saved_with_transactions; count > 0; count--) {
        struct producer p = {.coordinator_epoch = -1, .txn_first_offset = -1};
        size_t taken = load_producer(at, (size_t)(end - at), transactions, &p);
        enum err err = taken ? add_read_producer(ps, &p) : ERR_CORRUPT;
        if (err)
            return err;
        at += taken;
    }
    return at == end ? list_what_was_read(ps) : ERR_CORRUPT;
}

enum err producers_load(struct producers *ps, const uint8_t *at, size_t bytes)
{
    producers_forget(ps);
    assert(ps->count == 0);
    enum err err = load_saved_producers(ps, at, bytes);
    if (err)
        producers_forget(ps);
    return err;
}

bool producers_are_before(const struct producers *ps, int64_t offset)
{
    assert(ps->txn_count <= ps->txn_cap);
    return ps->txn_count == 0 || ps->txns[ps->txn_count - 1].first_offset < offset;
}

/* --- Kafka's .snapshot: version 2, crc 4, count 4, then per entry: id 8, epoch 2, last sequence 4, last offset 8,
 * offset delta 4, timestamp 8, coordinator epoch 4, first offset of the open transaction 8 (-1: none). Each batch of a
 * producer is an entry, the oldest first: Kafka takes the last entry of an id. --- */

static uint32_t snapshot_entries(const struct producers *ps)
{
    assert(ps->without <= ps->count);
    return ps->batches + ps->without;
}
size_t producers_snapshot_bytes(const struct producers *ps)
{
    return SNAPSHOT_HEAD_BYTES + (size_t)snapshot_entries(ps) * SNAPSHOT_ENTRY_BYTES;
}

static uint8_t *snapshot_entry(const struct producer *p, const struct remembered *r, int64_t timestamp, uint8_t *out)
{
    assert(r->last_offset >= r->base_offset);
    be64_put(out, (uint64_t)p->id);
    be16_put(out + 8, (uint16_t)p->epoch);
    be32_put(out + 10, (uint32_t)r->last_sequence);
    be64_put(out + 14, (uint64_t)r->last_offset);
    be32_put(out + 22, (uint32_t)(r->last_offset - r->base_offset));
    be64_put(out + 26, (uint64_t)timestamp);
    be32_put(out + 34, (uint32_t)p->coordinator_epoch);
    be64_put(out + 38, (uint64_t)p->txn_first_offset);
    return out + SNAPSHOT_ENTRY_BYTES;
}
static uint8_t *snapshot_one(const struct producer *p, uint8_t *out)
{
    static const struct remembered none = {.base_offset = -1, .last_offset = -1, .timestamp = -1, .last_sequence = -1};
    if (!p->count)
        return snapshot_entry(p, &none, p->written_ms, out);
    for (uint32_t i = 0; i < p->count; i++)
        out = snapshot_entry(p, &p->v[i], p->v[i].timestamp, out);
    return out;
}
void producers_snapshot(const struct producers *ps, uint8_t *out)
{
    assert(out);
    uint8_t *at = out + SNAPSHOT_HEAD_BYTES;
    be16_put(out, SNAPSHOT_VERSION);
    be32_put(out + SNAPSHOT_CRC_FROM, snapshot_entries(ps));
    for (uint32_t i = 0; i < ps->count; i++)
        at = snapshot_one(producer_at(ps, i), at);
    be32_put(out + 2, crc32c(0, out + SNAPSHOT_CRC_FROM, (size_t)(at - out) - SNAPSHOT_CRC_FROM));
}

static bool snapshot_valid(const uint8_t *at, size_t bytes)
{
    if (bytes < SNAPSHOT_HEAD_BYTES || be16_get(at) != SNAPSHOT_VERSION)
        return false;
    if (bytes != SNAPSHOT_HEAD_BYTES + be32_get(at + SNAPSHOT_CRC_FROM) * (uint64_t)SNAPSHOT_ENTRY_BYTES)
        return false;
    return be32_get(at + 2) == crc32c(0, at + SNAPSHOT_CRC_FROM, bytes - SNAPSHOT_CRC_FROM);
}
static void snapshot_read_one(const uint8_t *at, struct producer *p)
{
    *p = (struct producer){.id = (int64_t)be64_get(at),
                           .epoch = (int16_t)be16_get(at + 8),
                           .coordinator_epoch = (int32_t)be32_get(at + 34),
                           .txn_first_offset = (int64_t)be64_get(at + 38)};
    p->last_timestamp = p->written_ms = (int64_t)be64_get(at + 26);
    int64_t last_offset = (int64_t)be64_get(at + 14);
    int32_t delta = (int32_t)be32_get(at + 22);
    if (last_offset >= 0 && delta >= 0 && delta <= last_offset)
        producer_remember(
            p, &(struct remembered){last_offset - delta, last_offset, p->written_ms, (int32_t)be32_get(at + 10)});
}

/* One more batch of the producer whose entry came last? */
static bool snapshot_joins(struct producers *ps, const struct producer *read)
{
    const struct producer *last = ps->count ? producer_at(ps, ps->count - 1) : NULL;
    if (!last || last->id != read->id || last->epoch != read->epoch || !read->count)
        return false;
    struct producer *p = producer_own(ps, ps->count - 1);
    assert(p); /* nothing that is read is shared */
    int before = p->count;
    producer_remember(p, &read->v[0]);
    producers_recount(ps, before, p->count);
    p->written_ms = p->last_timestamp = read->written_ms;
    return true;
}

static enum err load_snapshot(struct producers *ps, const uint8_t *at, size_t bytes)
{
    assert(at || bytes == 0);
    if (!snapshot_valid(at, bytes))
        return ERR_CORRUPT;
    uint32_t count = be32_get(at + SNAPSHOT_CRC_FROM);
    for (uint32_t i = 0; i < count; i++) {
        struct producer p;
        snapshot_read_one(at + SNAPSHOT_HEAD_BYTES + (size_t)i * SNAPSHOT_ENTRY_BYTES, &p);
        enum err err = snapshot_joins(ps, &p) ? ERR_NONE : add_read_producer(ps, &p);
        if (err)
            return err;
    }
    return list_what_was_read(ps);
}

enum err producers_snapshot_load(struct producers *ps, const uint8_t *at, size_t bytes)
{
    producers_forget(ps);
    assert(ps->count == 0);
    enum err err = load_snapshot(ps, at, bytes);
    if (err)
        producers_forget(ps);
    return err;
}
