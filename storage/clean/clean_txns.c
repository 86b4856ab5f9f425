/* Aborted transactions are found by bisection: of one producer they follow each other. */
#include "storage/clean/clean_txns.h"
#include "core/array.h"
#include <stdlib.h>
#include <string.h>

static int compare_by_producer(const void *x, const void *y)
{
    const struct aborted_txn *a = x, *b = y;
    int id = (a->producer_id > b->producer_id) - (a->producer_id < b->producer_id);
    return id ? id : (a->first_offset > b->first_offset) - (a->first_offset < b->first_offset);
}

enum err clean_txns_begin(struct clean_txns *t, struct heap *heap)
{
    assert(t->aborted || !t->count);
    assert(!t->seen);
    t->heap = heap;
    t->committed = NULL;
    t->committed_count = t->committed_cap = 0;
    if (!t->sorted && t->count)
        qsort(t->aborted, t->count, sizeof *t->aborted, compare_by_producer);
    t->sorted = true;
    t->seen = heap_zalloc(heap, t->count ? t->count : 1);
    return t->seen ? ERR_NONE : ERR_NO_MEMORY;
}

void clean_txns_end(struct clean_txns *t)
{
    if (!t->heap)
        return;
    assert(t->committed_count <= t->committed_cap);
    heap_free(t->heap, t->seen);
    heap_free(t->heap, t->committed);
    t->seen = NULL;
    t->committed = NULL;
    t->committed_count = t->committed_cap = 0;
}

/* The producer's aborted transaction that the offset lies in, its marker included; NULL: there is none. */
static bool *find_aborted_txn(const struct clean_txns *t, int64_t producer_id, int64_t offset,
                              const struct aborted_txn **out)
{
    assert(t->sorted && t->seen);
    uint32_t low = 0, high = t->count;
    const struct aborted_txn wanted = {.producer_id = producer_id, .first_offset = offset};
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare_by_producer(&t->aborted[middle], &wanted) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return NULL;
    const struct aborted_txn *a = &t->aborted[low - 1];
    *out = a;
    return a->producer_id == producer_id && offset <= a->last_offset ? &t->seen[low - 1] : NULL;
}

static uint32_t rank_of_committed(const struct clean_txns *t, int64_t producer_id)
{
    uint32_t i = 0;
    while (i < t->committed_count && t->committed[i] != producer_id)
        i++;
    assert(i <= t->committed_count);
    return i;
}

static enum err note_committed(struct clean_txns *t, int64_t producer_id)
{
    if (rank_of_committed(t, producer_id) < t->committed_count)
        return ERR_NONE;
    int64_t *v = array_grow(t->heap, t->committed, &t->committed_cap, t->committed_count + 1, sizeof *v);
    if (!v)
        return ERR_NO_MEMORY;
    t->committed = v;
    t->committed[t->committed_count++] = producer_id;
    assert(t->committed_count <= t->committed_cap);
    return ERR_NONE;
}

enum err clean_txns_batch(struct clean_txns *t, const struct batch *b, bool *out_aborted)
{
    assert(!batch_is_control(b));
    const struct aborted_txn *a;
    *out_aborted = false;
    if (!batch_is_transactional(b))
        return ERR_NONE;
    bool *seen = find_aborted_txn(t, b->producer_id, b->base_offset, &a);
    if (!seen)
        return note_committed(t, b->producer_id);
    *seen = *out_aborted = true;
    return ERR_NONE;
}

void clean_txns_marker(struct clean_txns *t, const struct batch *b, const uint8_t *at, bool *out_over,
                       struct aborted_txn *out_kept)
{
    assert(batch_is_control(b));
    struct batch_marker marker;
    const struct aborted_txn *a;
    *out_kept = (struct aborted_txn){.producer_id = -1};
    *out_over = b->count == 0; /* a cleaning emptied it */
    if (!batch_read_marker(b, at, &marker))
        return;
    uint32_t rank = rank_of_committed(t, b->producer_id);
    bool committed = rank < t->committed_count;
    if (committed)
        t->committed[rank] = t->committed[--t->committed_count];
    bool *seen = marker.commit ? NULL : find_aborted_txn(t, b->producer_id, b->base_offset, &a);
    *out_over = marker.commit ? !committed : !seen || !*seen;
    if (seen && *seen)
        *out_kept = *a;
}
