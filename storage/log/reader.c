/* Fetches from memory, and what is common to all: what may be read, and what was aborted. What the tail still holds is answered at once with
 * references to its bufs; the rest is read from the disk (cold_read.c). */
#include "core/array.h"
#include "storage/log/partition_state.h"
#include <stdlib.h>

void slices_init(struct slices *s, struct heap *heap)
{
    assert(heap);
    *s = (struct slices){.heap = heap};
}

void slices_deinit(struct slices *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        buf_put(s->v[i].buf);
    heap_free(s->heap, s->v);
    heap_free(s->heap, s->aborted);
    *s = (struct slices){.heap = s->heap};
}

enum err slices_add(struct slices *s, struct buf *buf, const uint8_t *at, uint32_t bytes)
{
    assert(bytes > 0);
    assert(at >= buf->at && at + bytes <= buf->at + buf->size);
    assert(s->count <= s->cap);
    struct slice *v = array_grow(s->heap, s->v, &s->cap, s->count + 1, sizeof *v);
    if (!v)
        return ERR_NO_MEMORY;
    s->v = v;
    s->v[s->count++] = (struct slice){.buf = buf_ref(buf), .at = at, .bytes = bytes};
    s->bytes += bytes;
    return ERR_NONE;
}

/* --- where --- */

static int64_t shown_offset(const struct partition *p, bool committed)
{
    assert(p->promised.offset <= p->end.offset);
    return PLANTED(read_before_promise) && !committed ? p->end.offset : readable_offset(p, committed);
}

static uint64_t shown_end(const struct partition *p, const struct segment *s)
{
    assert(p->promised.position <= p->end.position);
    return PLANTED(read_before_promise) && s == p->active ? p->end.position : readable_end(p, s);
}

/* Where in the segment what is not stable begins. False: that is not in memory; *out_end lies before it then, by less than what lies between two
 * entries of the index. */
static bool find_stable_end(const struct partition *p, const struct segment *s, uint64_t *out_end)
{
    int64_t stable = last_stable_offset(p);
    uint64_t end = readable_end(p, s), at = end;
    assert(s->index_loaded);
    if (stable < s->next_offset && stable < p->promised.offset)
        at = u64_min(index_position(&s->index, stable), end);
    uint8_t head[BATCH_HEADER_BYTES];
    struct batch b;
    while (at < end && !tail_block_is_loading(p, s) && tail_peek(&p->tail, s->number, at, head, sizeof head) &&
           batch_parse(head, sizeof head, &b)) {
        if (b.base_offset >= stable) {
            *out_end = at;
            return true;
        }
        at += b.bytes;
    }
    *out_end = at;
    return at >= end;
}

uint64_t partition_readable(const struct partition *p, int64_t offset, uint64_t max, bool committed)
{
    if (partition_dead(p) || offset < p->log_start_offset || offset >= shown_offset(p, committed))
        return 0;
    const struct segment *s = segments_of_offset(&p->segments, offset);
    if (s != p->active || !s->index_loaded)
        return max;
    uint64_t from = index_position(&s->index, offset), end = shown_end(p, s);
    if (committed && !find_stable_end(p, s, &end))
        end = u64_max(end, from + 1); /* there is something */
    if (end - from >= 2 * max)
        return max;
    uint8_t head[BATCH_HEADER_BYTES];
    struct batch b; /* near the end: exactly, so that min_bytes is not overestimated by old batches */
    while (!tail_block_is_loading(p, s) && from < end && tail_peek(&p->tail, s->number, from, head, sizeof head) &&
           batch_parse(head, sizeof head, &b) && batch_last_offset(&b) < offset)
        from += b.bytes;
    return from < end ? u64_min(end - from, max) : 0;
}

/* --- what was aborted --- */

static int compare_aborted(const void *x, const void *y)
{
    const struct aborted_txn *a = x, *b = y;
    return (a->first_offset > b->first_offset) - (a->first_offset < b->first_offset);
}

bool reader_wants_aborted(const struct partition *p, const struct part_read *r)
{
    assert(p->aborted_last_offset >= -1);
    return r->committed && p->aborted_last_offset >= r->offset;
}

enum err reader_list_aborted(const struct partition *p, struct part_read *r, int64_t to)
{
    assert(to > r->offset);
    struct aborted_index list;
    aborted_init(&list, r->slices.heap);
    enum err err = ERR_NONE;
    bool complete = false;
    for (uint32_t i = segments_rank(&p->segments, r->offset); i < p->segments.count && !err && !complete; i++) {
        const struct segment *s = segments_at(&p->segments, i);
        complete = s->base_offset > p->aborted_last_offset;
        if (s->aborted.count && !complete)
            err = aborted_collect(&s->aborted, r->offset, to, &list, &complete);
    }
    if (err) {
        aborted_deinit(&list);
        return err;
    }
    if (list.count)
        qsort(list.v, list.count, sizeof *list.v, compare_aborted);
    r->slices.aborted = list.v;
    r->slices.aborted_count = list.count;
    return ERR_NONE;
}

/* --- from memory --- */

static enum err add_tail_slices(const struct partition *p, const struct segment *s, struct part_read *r, uint64_t from,
                                uint64_t to)
{
    assert(from < to);
    assert(to <= shown_end(p, s));
    while (from < to) {
        uint32_t left;
        const struct tail_part *part = tail_find(&p->tail, s->number, from, &left);
        assert(part);
        uint32_t n = (uint32_t)u64_min(left, to - from);
        enum err err = slices_add(&r->slices, part->buf, part->buf->at + (from - part->from), n);
        if (err)
            return err;
        from += n;
    }
    return ERR_NONE;
}

/* How far a read goes: max_bytes, but the first batch whole if that was asked. 0: nothing fits. */
static uint64_t end_of_read(const struct part_read *r, uint64_t from, uint32_t first_bytes, uint64_t end)
{
    assert(from <= end);
    if (first_bytes > r->max_bytes)
        return r->first_whole ? from + first_bytes : 0;
    return u64_min(end, from + r->max_bytes);
}

/* The offset behind the batches in [at, to), the last one of which may be cut short. All of them are in memory. */
static int64_t offset_behind_tail(const struct partition *p, const struct segment *s, uint64_t at, uint64_t to)
{
    assert(at < to);
    uint8_t head[BATCH_HEADER_BYTES];
    struct batch b;
    int64_t next = s->base_offset;
    for (; at < to && tail_peek(&p->tail, s->number, at, head, sizeof head) && batch_parse(head, sizeof head, &b);
         at += b.bytes)
        next = batch_last_offset(&b) + 1;
    return next;
}

static enum err take_from_tail(const struct partition *p, const struct segment *s, struct part_read *r, uint64_t from,
                               uint64_t to)
{
    enum err err = add_tail_slices(p, s, r, from, to);
    if (!err && reader_wants_aborted(p, r))
        err = reader_list_aborted(p, r, offset_behind_tail(p, s, from, to));
    assert(err || r->slices.count > 0);
    return err;
}

/* False: some of it is not in memory. */
static bool read_from_tail(struct partition *p, struct segment *s, struct part_read *r)
{
    if (!s->index_loaded || tail_block_is_loading(p, s))
        return false;
    uint64_t at = index_position(&s->index, r->offset), end = shown_end(p, s);
    if (r->committed && !find_stable_end(p, s, &end))
        return false;
    uint8_t head[BATCH_HEADER_BYTES];
    struct batch b;
    for (;; at += b.bytes) {
        if (at >= end || !tail_peek(&p->tail, s->number, at, head, sizeof head))
            return false;
        if (!batch_parse(head, sizeof head, &b))
            return false; /* cannot be; the disk read finds out and tells */
        if (batch_last_offset(&b) >= r->offset)
            break;
    }
    uint64_t to = end_of_read(r, at, b.bytes, end);
    if (to && take_from_tail(p, s, r, at, to)) {
        slices_deinit(&r->slices);
        r->error = KERR_KAFKA_STORAGE_ERROR;
    }
    return true;
}

bool partition_read(struct partition *p, struct part_read *r)
{
    assert(p->promised.offset <= p->end.offset);
    list_init(&r->link);
    slices_init(&r->slices, shard_of(p)->heap);
    r->high_watermark = p->promised.offset;
    r->last_stable_offset = last_stable_offset(p);
    r->log_start_offset = p->log_start_offset;
    r->error = KERR_NONE;
    r->state = NULL;
    if (partition_dead(p)) {
        r->error = partition_refusal(p);
        return true;
    }
    if (r->offset < p->log_start_offset || r->offset > p->end.offset) {
        r->error = KERR_OFFSET_OUT_OF_RANGE;
        return true;
    }
    if (r->offset >= shown_offset(p, r->committed))
        return true;
    struct segment *s = segments_of_offset(&p->segments, r->offset);
    if (read_from_tail(p, s, r))
        return true;
    if (reader_begin_cold(p, r))
        return false;
    r->error = KERR_KAFKA_STORAGE_ERROR;
    return true;
}
