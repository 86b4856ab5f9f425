/* Moving what a recovery found from the job's heap to the shard's: a heap belongs to one thread. A log may know 65,536 producers, its active segment
 * may have megabytes of index entries, and there may be very many segments: each turn copies some. */
#include "storage/recovery/recovery.h"
#include <string.h>

enum {
    SEGMENT_COST_BYTES = 1024,                 /* what allocating one is worth of them */
    COPIED_LEAST = sizeof(struct aborted_txn), /* of which any entry finds room */
};

/* Room for all of it, and none of it yet. */
static enum err begin_segment_copy(struct recovered_copy *c, const struct segment *from, bool active, struct heap *heap,
                                   struct heap *index_heap)
{
    assert(!c->segment);
    assert(from->file.fd < 0 && !from->partition && !from->users);
    struct segment *s = heap_alloc(heap, sizeof *s);
    if (!s)
        return ERR_NO_MEMORY;
    *s = *from;
    list_init(&s->link);
    list_init(&s->open_link);
    list_init(&s->index_link);
    list_push(&c->to.segments, &s->link);
    c->segment = s;
    s->index.heap = index_heap;
    s->index.offsets = s->index.times = NULL;
    s->index.offset_count = s->index.time_count = s->index.offset_cap = s->index.time_cap = 0;
    aborted_init(&s->aborted, index_heap);
    enum err err = aborted_reserve(&s->aborted, from->aborted.count);
    return err ? err : index_make_room(&s->index, &from->index, active);
}

/* Of the one that is next. */
static enum err copy_some_of_segment(struct recovered_copy *c, const struct recovered *all, struct heap *index_heap,
                                     uint32_t *left)
{
    assert(*left >= COPIED_LEAST);
    const struct segment *from = container_of(c->next, struct segment, link);
    if (!c->segment) {
        enum err err = begin_segment_copy(c, from, c->next->next == &all->segments, c->to.epochs.heap, index_heap);
        if (err)
            return err;
        *left -= *left < SEGMENT_COST_BYTES ? *left : SEGMENT_COST_BYTES;
    }
    struct segment *to = c->segment;
    *left -= aborted_copy_some(&from->aborted, &to->aborted, *left / sizeof(struct aborted_txn)) *
             (uint32_t)sizeof(struct aborted_txn);
    *left -= index_copy_some(&to->index, &from->index, *left);
    if (to->aborted.count == from->aborted.count && index_copied(&to->index, &from->index)) {
        c->next = c->next->next;
        c->segment = NULL;
    }
    return ERR_NONE;
}

enum err recovered_copy_begin(struct recovered_copy *c, const struct recovered *from, struct heap *heap)
{
    assert(heap != from->epochs.heap);
    *c = (struct recovered_copy){.to = *from, .next = from->segments.next};
    list_init(&c->to.segments);
    c->to.gone = (struct folder_offsets){0}; /* that stays the other's */
    epochs_init(&c->to.epochs, heap);
    c->to.producers = producers_copy(from->producers, heap);
    enum err err = c->to.producers ? ERR_NONE : ERR_NO_MEMORY;
    for (uint32_t i = 0; !err && i < from->epochs.count; i++)
        err = epochs_add(&c->to.epochs, from->epochs.v[i].epoch, from->epochs.v[i].start_offset);
    return err;
}

enum err recovered_copy_some(struct recovered_copy *c, const struct recovered *from, struct heap *index_heap,
                             bool *out_whole)
{
    assert(c->to.producers);
    bool whole;
    enum err err = producers_copy_some(from->producers, c->to.producers, &whole);
    uint32_t left = whole && !err ? RECOVERED_COPY_BYTES : 0;
    while (!err && left >= COPIED_LEAST && c->next != &from->segments)
        err = copy_some_of_segment(c, from, index_heap, &left);
    if (!err)
        *out_whole = whole && c->next == &from->segments;
    return err;
}
