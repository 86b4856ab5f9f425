/* Moving what a recovery found from the job's heap to the shard's: a heap belongs to one thread. */
#include "storage/recovery/recovery.h"
#include <string.h>

static enum err copy_entries(struct heap *heap, const uint8_t *from, uint32_t count, uint32_t entry_bytes,
                             uint8_t **out_at, uint32_t *out_cap)
{
    if (count == 0)
        return ERR_NONE;
    assert(from);
    uint8_t *at = heap_alloc(heap, (size_t)count * entry_bytes);
    if (!at)
        return ERR_NO_MEMORY;
    memcpy(at, from, (size_t)count * entry_bytes);
    *out_at = at;
    *out_cap = count;
    return ERR_NONE;
}

static enum err copy_index(struct heap *heap, const struct index *from, struct index *to)
{
    assert(from->heap != heap);
    *to = *from;
    to->heap = heap;
    to->offsets = to->times = NULL;
    to->offset_cap = to->time_cap = 0;
    enum err err =
        copy_entries(heap, from->offsets, from->offset_count, INDEX_OFFSET_BYTES, &to->offsets, &to->offset_cap);
    if (!err)
        err = copy_entries(heap, from->times, from->time_count, INDEX_TIME_BYTES, &to->times, &to->time_cap);
    return err;
}

static enum err copy_segment(struct heap *heap, struct heap *index_heap, const struct segment *from,
                             struct recovered *out)
{
    struct segment *s = heap_alloc(heap, sizeof *s);
    if (!s)
        return ERR_NO_MEMORY;
    assert(from->file.fd < 0 && !from->partition && !from->users);
    *s = *from;
    list_init(&s->link);
    list_init(&s->open_link);
    list_init(&s->index_link);
    list_push(&out->segments, &s->link);
    aborted_init(&s->aborted, index_heap);
    enum err err = aborted_copy(&from->aborted, &s->aborted);
    return err ? err : copy_index(index_heap, &from->index, &s->index);
}

enum err recovered_copy(struct heap *heap, struct heap *index_heap, const struct recovered *from,
                        struct producers *producers, struct recovered *out)
{
    assert(heap != from->epochs.heap);
    assert(producers_count(producers) == producers_count(from->producers));
    *out = *from;
    list_init(&out->segments);
    out->gone = (struct folder_offsets){0}; /* that stays the other's */
    epochs_init(&out->epochs, heap);
    out->producers = producers;
    enum err err = ERR_NONE;
    for (uint32_t i = 0; !err && i < from->epochs.count; i++)
        err = epochs_add(&out->epochs, from->epochs.v[i].epoch, from->epochs.v[i].start_offset);
    for (const struct list *l = from->segments.next; !err && l != &from->segments; l = l->next)
        err = copy_segment(heap, index_heap, container_of(l, struct segment, link), out);
    if (err)
        recovered_deinit(out);
    return err;
}
