/* Producer entries stand in one dense array; a table of slots (open addressing, linear probing) finds them by id. Entries go
 * only when they expire, many at once: then the array is packed and the table built anew.
 *
 * Saved form: u32 count, then per producer: id 8, epoch 2, batches 1, written at 8, and per batch: base offset 8,
 * last offset 8, last sequence 4, timestamp 8. Covered by the CRC of the record it lies in. */
#include "storage/log/producer.h"
#include "core/crc.h"
#include <stdlib.h>

enum {
    PRODUCERS_EVICTED = PRODUCERS_MAX / 8,
    REMEMBERED = PRODUCER_BATCHES - PLANTED(duplicate_window_off_by_one),
    SAVED_HEAD_BYTES = 19,
    SAVED_BATCH_BYTES = 28,
    SNAPSHOT_VERSION = 1,
    SNAPSHOT_HEAD_BYTES = 10, /* version 2, crc 4, count 4 */
    SNAPSHOT_CRC_FROM = 6,
    SNAPSHOT_ENTRY_BYTES = 46,
};

struct remembered {
    int64_t base_offset, last_offset, timestamp;
    int32_t last_sequence;
};
struct producer {
    int64_t id;
    int64_t written_ms; /* wall time of its last append: what expiry counts from */
    int16_t epoch;
    uint8_t count; /* of v, oldest first; 0 after a marker or an epoch without data */
    struct remembered v[PRODUCER_BATCHES];
};
struct producers {
    struct heap *heap;
    struct producer *v;
    uint32_t count, cap;
    uint32_t *slots;    /* index + 1, 0: free */
    uint32_t slot_mask; /* slots - 1 */
};

static int32_t first_sequence_of(const struct remembered *r)
{ /* wraps below 0 to INT32_MAX, as Kafka's decrementSequence */
    assert(r->last_offset >= r->base_offset);
    int64_t first = r->last_sequence - (r->last_offset - r->base_offset);
    return (int32_t)(first >= 0 ? first : first + INT32_MAX + 1ll);
}

/* --- the table --- */

static uint32_t slot_of_producer(const struct producers *ps, int64_t id)
{
    assert(ps->slot_mask);
    uint64_t h = (uint64_t)id * 0x9e3779b97f4a7c15ull;
    return (uint32_t)(h >> 32) & ps->slot_mask;
}
static void put_producer_slot(struct producers *ps, uint32_t index)
{
    assert(index < ps->cap);
    assert(ps->count <= ps->slot_mask);
    uint32_t s = slot_of_producer(ps, ps->v[index].id);
    while (ps->slots[s])
        s = (s + 1) & ps->slot_mask;
    ps->slots[s] = index + 1;
}
static struct producer *find_producer(const struct producers *ps, int64_t id)
{
    if (!ps->slots)
        return NULL;
    for (uint32_t s = slot_of_producer(ps, id); ps->slots[s]; s = (s + 1) & ps->slot_mask) {
        struct producer *p = &ps->v[ps->slots[s] - 1];
        if (p->id == id)
            return p;
    }
    return NULL;
}
static void rebuild_producer_table(struct producers *ps)
{
    assert(ps->slots);
    assert(ps->count <= ps->cap);
    memset(ps->slots, 0, (ps->slot_mask + 1ull) * sizeof *ps->slots);
    for (uint32_t i = 0; i < ps->count; i++)
        put_producer_slot(ps, i);
}
/* Twice as many slots as entries, at least. */
static enum err grow_producers(struct producers *ps)
{
    assert(ps->count == ps->cap);
    uint32_t cap = ps->cap ? ps->cap * 2 : 4;
    struct producer *v = heap_realloc(ps->heap, ps->v, cap * sizeof *v);
    if (!v)
        return ERR_NO_MEMORY;
    ps->v = v;
    uint32_t *slots = heap_realloc(ps->heap, ps->slots, cap * 2ull * sizeof *slots);
    if (!slots)
        return ERR_NO_MEMORY;
    ps->slots = slots;
    ps->cap = cap;
    ps->slot_mask = cap * 2 - 1;
    rebuild_producer_table(ps);
    return ERR_NONE;
}
static enum err add_producer(struct producers *ps, int64_t id, struct producer **out)
{
    assert(ps->count <= PRODUCERS_MAX);
    if (ps->count == PRODUCERS_MAX)
        return ERR_NO_MEMORY;
    if (ps->count == ps->cap) {
        enum err err = grow_producers(ps);
        if (err)
            return err;
    }
    struct producer *p = &ps->v[ps->count];
    *p = (struct producer){.id = id, .epoch = -1};
    put_producer_slot(ps, ps->count++);
    *out = p;
    return ERR_NONE;
}

struct producers *producers_open(struct heap *heap)
{
    assert(heap);
    struct producers *ps = heap_zalloc(heap, sizeof *ps);
    if (ps)
        ps->heap = heap;
    return ps;
}
void producers_close(struct producers *ps)
{
    if (!ps)
        return;
    heap_free(ps->heap, ps->v);
    heap_free(ps->heap, ps->slots);
    heap_free(ps->heap, ps);
}
uint32_t producers_count(const struct producers *ps)
{
    assert(ps->count <= PRODUCERS_MAX);
    return ps->count;
}

static void check_producer(const struct producer *p)
{
    assert(p->count <= PRODUCER_BATCHES);
    for (uint32_t i = 0; i < p->count; i++) {
        assert(p->v[i].base_offset <= p->v[i].last_offset);
    }
}

void producers_agree(const struct producers *ps)
{
    assert(ps->count <= ps->cap && ps->count <= PRODUCERS_MAX);
    assert(ps->cap == 0 || (ps->v && ps->slots));
    assert(ps->cap == 0 || ps->slot_mask == ps->cap * 2 - 1);
    for (uint32_t i = 0; i < ps->count; i++) {
        check_producer(&ps->v[i]);
        assert(find_producer(ps, ps->v[i].id) == &ps->v[i]);
    }
}

/* --- the rules --- */

static const struct remembered *find_duplicate(const struct producer *p, const struct batch *b)
{
    assert(p->count <= PRODUCER_BATCHES);
    assert(p->id == b->producer_id);
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->v[i].last_sequence == batch_last_sequence(b) && first_sequence_of(&p->v[i]) == b->base_sequence)
            return &p->v[i];
    }
    return NULL;
}
static bool is_in_sequence(int32_t last, int32_t next)
{
    return next == last + 1ll || (next == 0 && last == INT32_MAX);
}

enum kerr producers_check(const struct producers *ps, const struct batch *b, struct producer_duplicate *out_duplicate)
{
    assert(b->producer_id >= 0);
    assert(ps->count <= PRODUCERS_MAX);
    assert(b->producer_id >= 0);
    *out_duplicate = (struct producer_duplicate){-1, -1, -1};
    const struct producer *p = find_producer(ps, b->producer_id);
    if (!p)
        return KERR_NONE;
    if (b->producer_epoch < p->epoch)
        return KERR_INVALID_PRODUCER_EPOCH;
    if (b->producer_epoch > p->epoch)
        return b->base_sequence == 0 ? KERR_NONE : KERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    const struct remembered *d = find_duplicate(p, b);
    if (d) {
        *out_duplicate = (struct producer_duplicate){d->base_offset, d->last_offset, d->timestamp};
        return KERR_NONE;
    }
    int32_t last = p->count ? p->v[p->count - 1].last_sequence : -1;
    return is_in_sequence(last, b->base_sequence) ? KERR_NONE : KERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
}

static void remember_batch(struct producer *p, const struct remembered *r)
{
    assert(p->count <= REMEMBERED);
    if (p->count == REMEMBERED) {
        memmove(p->v, p->v + 1, (REMEMBERED - 1) * sizeof *p->v);
        p->count--;
    }
    p->v[p->count++] = *r;
}

static int64_t last_offset_of_producer(const struct producer *p)
{
    assert(p->count <= PRODUCER_BATCHES);
    return p->count ? p->v[p->count - 1].last_offset : -1;
}
static int compare_producer_offsets(const void *x, const void *y)
{
    int64_t a = *(const int64_t *)x, b = *(const int64_t *)y;
    return (a > b) - (a < b);
}
/* Forgets an eighth: those whose last batch is the oldest. */
static enum err evict_oldest_producer(struct producers *ps)
{
    assert(ps->count == PRODUCERS_MAX);
    int64_t *offsets = heap_alloc(ps->heap, ps->count * sizeof *offsets);
    if (!offsets)
        return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < ps->count; i++)
        offsets[i] = last_offset_of_producer(&ps->v[i]);
    qsort(offsets, ps->count, sizeof *offsets, compare_producer_offsets);
    int64_t threshold = offsets[PRODUCERS_EVICTED];
    heap_free(ps->heap, offsets);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < ps->count; i++) {
        if (last_offset_of_producer(&ps->v[i]) > threshold)
            ps->v[kept++] = ps->v[i];
    }
    ps->count = kept;
    rebuild_producer_table(ps);
    return ERR_NONE;
}

static enum err find_or_add_producer(struct producers *ps, int64_t id, struct producer **out)
{
    *out = find_producer(ps, id);
    if (*out)
        return ERR_NONE;
    if (ps->count == PRODUCERS_MAX) {
        enum err err = evict_oldest_producer(ps);
        if (err)
            return err;
    }
    return add_producer(ps, id, out);
}

enum err producers_update(struct producers *ps, const struct batch *b, int64_t now_ms)
{
    assert(b->base_offset >= 0);
    assert(b->producer_id >= 0);
    assert(b->base_offset >= 0);
    assert(b->last_offset_delta >= 0);
    assert(b->producer_id >= 0);
    struct producer *p;
    enum err err = find_or_add_producer(ps, b->producer_id, &p);
    if (err)
        return err;
    if (p->epoch != b->producer_epoch)
        p->count = 0;
    p->epoch = b->producer_epoch;
    p->written_ms = now_ms;
    if (!(b->attributes & BATCH_CONTROL)) /* a marker has no sequence */
        remember_batch(
            p, &(struct remembered){b->base_offset, batch_last_offset(b), b->max_timestamp, batch_last_sequence(b)});
    return ERR_NONE;
}

uint32_t producers_last_offsets(const struct producers *ps, struct producer_last *out)
{
    assert(out || !ps->count);
    uint32_t n = 0;
    for (uint32_t i = 0; i < ps->count; i++) {
        const struct producer *p = &ps->v[i];
        if (p->count > 0)
            out[n++] = (struct producer_last){p->id, p->v[p->count - 1].last_offset};
    }
    return n;
}

/* Times come from files, and before that from clients: any 64 bits. */
static bool is_producer_expired(int64_t written_ms, int64_t now_ms, int64_t expiration_ms)
{
    assert(expiration_ms > 0);
    int64_t age_ms;
    if (__builtin_sub_overflow(now_ms, written_ms, &age_ms))
        return written_ms < 0; /* older than any age, or younger */
    return age_ms >= expiration_ms;
}

uint32_t producers_expire(struct producers *ps, int64_t now_ms, int64_t expiration_ms)
{
    assert(ps->count <= ps->cap);
    assert(expiration_ms > 0);
    uint32_t kept = 0, before = ps->count;
    for (uint32_t i = 0; i < before; i++) {
        if (!is_producer_expired(ps->v[i].written_ms, now_ms, expiration_ms))
            ps->v[kept++] = ps->v[i];
    }
    ps->count = kept;
    if (kept < before)
        rebuild_producer_table(ps);
    return before - kept;
}

/* --- our own form --- */

size_t producers_saved_bytes(const struct producers *ps)
{
    assert(ps->count <= ps->cap);
    size_t bytes = 4 + (size_t)ps->count * SAVED_HEAD_BYTES;
    for (uint32_t i = 0; i < ps->count; i++)
        bytes += ps->v[i].count * (size_t)SAVED_BATCH_BYTES;
    return bytes;
}

static uint8_t *save_producer(const struct producer *p, uint8_t *out)
{
    assert(p->count <= PRODUCER_BATCHES);
    be64_put(out, (uint64_t)p->id);
    be16_put(out + 8, (uint16_t)p->epoch);
    out[10] = p->count;
    be64_put(out + 11, (uint64_t)p->written_ms);
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
    be32_put(out, ps->count);
    out += 4;
    for (uint32_t i = 0; i < ps->count; i++)
        out = save_producer(&ps->v[i], out);
}

/* Returns the bytes taken, 0 for nonsense. */
static size_t load_producer(const uint8_t *at, size_t bytes, struct producer *p)
{
    assert(p->count == 0);
    if (bytes < SAVED_HEAD_BYTES || at[10] > PRODUCER_BATCHES)
        return 0;
    size_t taken = SAVED_HEAD_BYTES + at[10] * (size_t)SAVED_BATCH_BYTES;
    if (bytes < taken)
        return 0;
    p->id = (int64_t)be64_get(at);
    p->epoch = (int16_t)be16_get(at + 8);
    p->written_ms = (int64_t)be64_get(at + 11);
    uint32_t count = at[10];
    at += SAVED_HEAD_BYTES;
    for (uint32_t i = 0; i < count; i++, at += SAVED_BATCH_BYTES) {
        if ((int64_t)be64_get(at) > (int64_t)be64_get(at + 8))
            return 0;
        remember_batch(p, &(struct remembered){.base_offset = (int64_t)be64_get(at),
                                               .last_offset = (int64_t)be64_get(at + 8),
                                               .last_sequence = (int32_t)be32_get(at + 16),
                                               .timestamp = (int64_t)be64_get(at + 20)});
    }
    return taken;
}

/* Takes an entry that was read, unless its id stands there already. */
static enum err add_read_producer(struct producers *ps, const struct producer *read)
{
    struct producer *p;
    if (find_producer(ps, read->id) || ps->count == PRODUCERS_MAX)
        return ERR_CORRUPT;
    enum err err = add_producer(ps, read->id, &p);
    if (!err)
        *p = *read;
    return err;
}

static void forget_all_producers(struct producers *ps)
{
    assert(ps->slots || ps->count == 0);
    ps->count = 0;
    if (ps->slots)
        rebuild_producer_table(ps);
}

enum err producers_load(struct producers *ps, const uint8_t *at, size_t bytes)
{
    assert(at || bytes == 0);
    forget_all_producers(ps);
    const uint8_t *end = at + bytes;
    if (bytes < 4)
        return ERR_CORRUPT;
    uint32_t count = be32_get(at);
    at += 4;
    for (; count > 0; count--) {
        struct producer p = {.count = 0};
        size_t taken = load_producer(at, (size_t)(end - at), &p);
        enum err err = taken ? add_read_producer(ps, &p) : ERR_CORRUPT;
        if (err)
            return err;
        at += taken;
    }
    return at == end ? ERR_NONE : ERR_CORRUPT;
}

/* --- Kafka's .snapshot: version 2, crc 4, count 4, then per entry: id 8, epoch 2, last sequence 4, last offset 8,
 * offset delta 4, timestamp 8, coordinator epoch 4, first offset of the open transaction 8 (-1: none). Each batch of a
 * producer is an entry, the oldest first: Kafka takes the last entry of an id. --- */

static uint32_t snapshot_entries(const struct producers *ps)
{
    assert(ps->count <= ps->cap);
    uint32_t n = 0;
    for (uint32_t i = 0; i < ps->count; i++)
        n += ps->v[i].count ? ps->v[i].count : 1;
    return n;
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
    be32_put(out + 34, UINT32_MAX);
    be64_put(out + 38, UINT64_MAX);
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
        at = snapshot_one(&ps->v[i], at);
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
    *p = (struct producer){.id = (int64_t)be64_get(at), .epoch = (int16_t)be16_get(at + 8)};
    p->written_ms = (int64_t)be64_get(at + 26);
    int64_t last_offset = (int64_t)be64_get(at + 14);
    int32_t delta = (int32_t)be32_get(at + 22);
    if (last_offset >= 0 && delta >= 0 && delta <= last_offset)
        remember_batch(
            p, &(struct remembered){last_offset - delta, last_offset, p->written_ms, (int32_t)be32_get(at + 10)});
}

/* One more batch of the producer whose entry came last? */
static bool snapshot_joins(struct producers *ps, const struct producer *read)
{
    struct producer *last = ps->count ? &ps->v[ps->count - 1] : NULL;
    if (!last || last->id != read->id || last->epoch != read->epoch || !read->count)
        return false;
    remember_batch(last, &read->v[0]);
    last->written_ms = read->written_ms;
    return true;
}

enum err producers_snapshot_load(struct producers *ps, const uint8_t *at, size_t bytes)
{
    assert(at || bytes == 0);
    forget_all_producers(ps);
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
    return ERR_NONE;
}
