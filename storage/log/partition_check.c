/* What must hold between the fields of a partition, whatever it is doing: for the unit tests, the simulator and debug builds. */
#include "storage/log/partition_state.h"

/* A cold read may have found that a closed segment's batches end earlier (cold_read.c): the marker is gone, its transaction is still aborted. */
static void check_aborted_of(const struct partition *p, uint32_t i)
{
    const struct segment *s = segments_at(&p->segments, i);
    const struct aborted_index *a = &s->aborted;
    int64_t end = s == p->active ? s->next_offset : segments_at(&p->segments, i + 1)->base_offset;
    aborted_check(a);
    if (!a->count)
        return;
    assert(a->v[0].last_offset >= s->base_offset);
    assert(a->v[a->count - 1].last_offset < end);
    assert(a->v[a->count - 1].last_offset <= p->aborted_last_offset);
}

static void check_durable_waits(const struct partition *p)
{
    for (const struct list *l = p->durable_waits.next; l != &p->durable_waits; l = l->next) {
        const struct durable_wait *w = container_of(l, const struct durable_wait, link);
        assert(w->offset > p->durable.offset && w->offset <= p->end.offset);
        assert(p->flusher.wanted_offset >= w->offset);
    }
}

static void check_segments(const struct partition *p)
{
    uint64_t closed_bytes = 0;
    segments_check(&p->segments);
    for (uint32_t i = 0; i < p->segments.count; i++) {
        const struct segment *s = segments_at(&p->segments, i);
        assert(s->partition == p);
        assert(s == p->active || s->allocated == s->bytes);
        assert(s == p->active || !list_linked(&s->index_link) || s->index_loaded);
        check_aborted_of(p, i);
        closed_bytes += s == p->active ? 0 : s->bytes;
    }
    assert((p->segments.count == 0) == !p->active);
    assert(!p->active || p->active == segments_at(&p->segments, p->segments.count - 1));
    assert(closed_bytes == p->closed_bytes);
    assert(!p->active || (p->active->bytes == p->end.position && p->active->next_offset == p->end.offset));
    assert(!p->active || p->active->index_loaded);
    if (p->active)
        index_check(&p->active->index, (uint32_t)u64_min(p->end.position, UINT32_MAX));
}

static void check_appends(const struct partition *p)
{
    int64_t end = p->promised.offset;
    for (const struct list *l = p->writer.pending.next; l != &p->writer.pending; l = l->next) {
        const struct append *a = container_of(l, struct append, link);
        assert(a->end_offset >= end || PLANTED(ack_before_write));
        assert(a->end_offset <= p->end.offset);
        end = a->end_offset;
    }
    assert((p->writer.state == WRITER_WAVE) == (p->writer.wave != NULL));
    assert(!p->writer.wave || p->writer.wave->end.position <= p->end.position);
}

static void check_marks(const struct partition *p)
{
    assert(p->log_start_offset >= 0);
    assert(p->log_start_offset <= p->durable.offset || PLANTED(trim_before_durable));
    assert(p->durable.offset <= p->promised.offset);
    assert(p->promised.offset <= p->end.offset);
    assert(p->durable.position <= p->written.position && p->written.position <= p->promised.position);
    assert(p->promised.position <= p->end.position);
    assert(p->written.offset >= p->durable.offset && p->written.offset <= p->promised.offset);
    const struct redo_place *redo = &p->writer.redo;
    assert(p->written.position == p->promised.position || redo->from != REDO_NOWHERE || PLANTED(ack_before_write) ||
           PLANTED(redo_needed_before_write));
    assert(redo->from == REDO_NOWHERE || (redo->end <= p->promised.position && redo->end > p->written.position));
}

static void check_zeroing(const struct partition *p)
{
    const struct zeroing *z = &p->space.zeroing;
    assert(z->state == ZEROING_NONE || p->space.state == SPACE_ALLOCATING);
    assert(z->state == ZEROING_NONE || (z->from <= z->at && z->at <= z->to && !list_linked(&z->link)));
    assert(z->state != ZEROING_WRITING || align_up(p->end.position, PAGE_BYTES) <= z->from ||
           PLANTED(zeros_behind_appends));
    assert(!p->active || p->active->settled <= p->active->allocated);
}

void partition_check(const struct partition *p)
{
    if (p->condition == PARTITION_OFFLINE || p->condition == PARTITION_NO_ROOM)
        return; /* whatever it was in the midst of: nothing of it is used */
    if (p->stop.deleting && !p->active)
        return; /* its segments are gone, its marks are not */
    check_marks(p);
    check_segments(p);
    check_appends(p);
    check_durable_waits(p);
    unpack_check(p);
    assert(space_in_job(p) == (p->space.job != NULL));
    assert(!space_is_ready(p) || (p->active && p->active->file.fd >= 0));
    assert(p->writer.state == WRITER_IDLE || space_is_ready(p));
    assert(p->flusher.state == FLUSHER_IDLE || space_is_ready(p));
    check_zeroing(p);
    assert((p->trimmer.state == TRIMMER_IDLE) == !p->trimmer.job);
    assert(p->trimmer.state == TRIMMER_SAVING || list_empty(&p->trimmer.saving));
    assert((p->checkpoint.state == CHECKPOINT_HELD) == (p->checkpoint.producers != NULL));
    assert((p->stop.done != NULL) || p->condition != PARTITION_STOPPING);
    tail_check(&p->tail);
    if (p->producers)
        producers_agree(p->producers);
}
