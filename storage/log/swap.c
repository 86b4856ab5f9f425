/* A cleaned segment takes the place of those it was made from, in the list of the partition that runs (partition_state.h). Between the
 * turn that changes the list and the job that renames the files it is read through a file that is open already and an index in memory:
 * nobody may look for it by its name, which is still that of an old one. Those who read an old one finish from it. */
#include "storage/log/partition_state.h"

bool swap_find(const struct partition *p, const uint64_t *numbers, uint32_t count, int64_t base_offset,
               uint32_t *out_rank)
{
    assert(count > 0);
    if (p->segments.count <= count)
        return false;
    uint32_t rank = segments_rank(&p->segments, base_offset);
    if (rank + count >= p->segments.count)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (segments_at(&p->segments, rank + i)->number != numbers[i])
            return false;
    *out_rank = rank;
    return true;
}

struct segment *swap_new_segment(struct partition *p, const struct index *like)
{
    assert(p->segments.count > 1);
    struct segment *s = heap_alloc(shard_of(p)->heap, sizeof *s);
    if (!s)
        return NULL;
    segment_init(s, p->store->index_heap, like->base_offset, config_of(p)->segment_index_bytes);
    s->partition = p;
    s->max_timestamp_offset = -1;
    if (!index_make_room(&s->index, like, false))
        return s;
    swap_free_segment(p, s);
    return NULL;
}

void swap_free_segment(struct partition *p, struct segment *s)
{
    assert(s->users == 0 && s->file.fd < 0);
    cold_blocks_drop(&p->store->cold, s);
    files_index_drop(p->store, s);
    aborted_deinit(&s->aborted);
    heap_free(shard_of(p)->heap, s);
}

void swap_take(struct partition *p, uint32_t rank, uint32_t count, struct segment *made, int fd, struct list *out_old)
{
    assert(rank + count < p->segments.count);
    assert(!p->cleaning.swapping);
    assert(made->index_loaded && made->times_known);
    assert(made->users > 0 && fd >= 0);
    for (uint32_t i = 0; i < count; i++) {
        struct segment *s = segments_at(&p->segments, rank + i);
        assert(s != p->active);
        p->closed_bytes -= s->bytes;
        made->written_ms = s->written_ms; /* as Kafka: of the last one. Retention asks where records have no time */
        list_push(out_old, &s->link);
    }
    made->allocated = made->bytes;
    segments_replace(&p->segments, rank, count, made);
    p->closed_bytes += made->bytes;
    files_adopt(p->store, made, fd);
    files_index_used(p->store, made);
    p->cleaning.swaps++;
    p->cleaning.swapping = true;
}

bool swap_is_drained(const struct list *old)
{
    assert(!list_empty(old));
    for (const struct list *l = old->next; l != old; l = l->next)
        if (container_of(l, const struct segment, link)->users > 0)
            return false;
    return true;
}

void swap_release(struct partition *p, struct list *old)
{
    assert(p->cleaning.swapping);
    assert(swap_is_drained(old));
    struct list *l;
    while ((l = list_pop(old))) {
        struct segment *s = container_of(l, struct segment, link);
        files_close(p->store, s);
        swap_free_segment(p, s);
    }
    p->cleaning.swaps++;
    p->cleaning.swapping = false;
    log_store_turn(p->store); /* look-ups that waited for it */
}
