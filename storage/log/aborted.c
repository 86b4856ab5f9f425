/* Lists of aborted transactions, and Kafka's file of them. */
#include "storage/log/aborted.h"
#include "core/array.h"
#include "core/bytes.h"

void aborted_init(struct aborted_index *a, struct heap *heap)
{
    assert(heap);
    *a = (struct aborted_index){.heap = heap};
}

void aborted_deinit(struct aborted_index *a)
{
    assert(a->heap);
    heap_free(a->heap, a->v);
    *a = (struct aborted_index){.heap = a->heap};
}

void aborted_check(const struct aborted_index *a)
{
    assert(a->count <= a->cap);
    for (uint32_t i = 0; i < a->count; i++) {
        assert(a->v[i].first_offset < a->v[i].last_offset);
        assert(i == 0 || a->v[i - 1].last_offset < a->v[i].last_offset);
    }
}

enum err aborted_reserve(struct aborted_index *a, uint32_t more)
{
    assert(a->count <= a->cap);
    if (a->count + more <= a->cap)
        return ERR_NONE;
    struct aborted_txn *v = array_grow(a->heap, a->v, &a->cap, a->count + more, sizeof *v);
    if (!v)
        return ERR_NO_MEMORY;
    a->v = v;
    return ERR_NONE;
}

void aborted_add(struct aborted_index *a, const struct aborted_txn *t)
{
    assert(a->count < a->cap);
    assert(a->count == 0 || a->v[a->count - 1].last_offset < t->last_offset);
    a->v[a->count++] = *t;
}

uint32_t aborted_copy_some(const struct aborted_index *from, struct aborted_index *to, uint32_t count_max)
{
    assert(to->count <= from->count);
    uint32_t n = from->count - to->count < count_max ? from->count - to->count : count_max;
    for (uint32_t i = 0; i < n; i++)
        aborted_add(to, &from->v[to->count]);
    return n;
}

enum err aborted_copy(const struct aborted_index *from, struct aborted_index *to)
{
    assert(to->count == 0);
    enum err err = aborted_reserve(to, from->count);
    if (!err)
        (void)aborted_copy_some(from, to, from->count);
    return err;
}

uint32_t aborted_count_before(const struct aborted_index *a, int64_t offset)
{
    uint32_t low = 0, high = a->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (a->v[middle].last_offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    assert(low <= a->count);
    return low;
}

void aborted_truncate(struct aborted_index *a, int64_t offset)
{
    a->count = aborted_count_before(a, offset);
    assert(a->count <= a->cap);
}

/* --- the file --- */

static void encode_aborted_txn(const struct aborted_txn *t, uint8_t *out)
{
    assert(t->first_offset < t->last_offset);
    be16_put(out, 0);
    be64_put(out + 2, (uint64_t)t->producer_id);
    be64_put(out + 10, (uint64_t)t->first_offset);
    be64_put(out + 18, (uint64_t)t->last_offset);
    be64_put(out + 26, (uint64_t)t->last_stable_offset);
}

void aborted_encode(const struct aborted_index *a, uint32_t from, uint32_t to, uint8_t *out)
{
    assert(from <= to && to <= a->count);
    for (uint32_t i = from; i < to; i++)
        encode_aborted_txn(&a->v[i], out + (size_t)(i - from) * ABORTED_ENTRY_BYTES);
}

static bool decode_aborted_txn(const uint8_t *at, struct aborted_txn *out)
{
    *out = (struct aborted_txn){
        .producer_id = (int64_t)be64_get(at + 2),
        .first_offset = (int64_t)be64_get(at + 10),
        .last_offset = (int64_t)be64_get(at + 18),
        .last_stable_offset = (int64_t)be64_get(at + 26),
    };
    return be16_get(at) == 0 && out->first_offset >= 0 && out->first_offset < out->last_offset;
}

enum err aborted_load(struct aborted_index *a, const uint8_t *at, size_t bytes)
{
    assert(at || !bytes);
    a->count = 0;
    if (bytes % ABORTED_ENTRY_BYTES || bytes / ABORTED_ENTRY_BYTES > UINT32_MAX / 2)
        return ERR_CORRUPT;
    enum err err = aborted_reserve(a, (uint32_t)(bytes / ABORTED_ENTRY_BYTES));
    for (; bytes > 0 && !err; bytes -= ABORTED_ENTRY_BYTES, at += ABORTED_ENTRY_BYTES) {
        struct aborted_txn t;
        if (!decode_aborted_txn(at, &t) || (a->count > 0 && t.last_offset <= a->v[a->count - 1].last_offset))
            err = ERR_CORRUPT;
        else
            aborted_add(a, &t);
    }
    if (err)
        a->count = 0;
    return err;
}

/* --- reading --- */

enum err aborted_collect(const struct aborted_index *a, int64_t from, int64_t to, struct aborted_index *list,
                         bool *out_complete)
{
    assert(from <= to);
    *out_complete = false;
    for (uint32_t i = aborted_count_before(a, from); i < a->count && !*out_complete; i++) {
        if (a->v[i].first_offset < to) {
            if (aborted_reserve(list, 1))
                return ERR_NO_MEMORY;
            aborted_add(list, &a->v[i]);
        }
        *out_complete = a->v[i].last_stable_offset >= to;
    }
    return ERR_NONE;
}
