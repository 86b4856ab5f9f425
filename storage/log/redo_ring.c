/* The writer's side of the ring (redo.h). Its end is where the oldest record begins that a file may lack: partitions with such records
 * stand in a list by that place, so it is the first one's. */
#include "core/fs.h"
#include "storage/log/redo.h"
#include "storage/log/tail.h"
#include <string.h>

static void write_ring(struct redo_ring *r, uint64_t place, const void *from, uint32_t bytes)
{
    assert(place + bytes - r->needed <= REDO_RING_BYTES);
    uint64_t at = place % REDO_RING_BYTES, first = u64_min(bytes, REDO_RING_BYTES - at);
    memcpy(r->at + at, from, first);
    memcpy(r->at, (const uint8_t *)from + first, bytes - first);
}

void redo_place_init(struct redo_place *p)
{
    assert(p);
    *p = (struct redo_place){.from = REDO_NOWHERE, .wave_from = REDO_NOWHERE};
    list_init(&p->link);
}

void redo_ring_init(struct redo_ring *r, uint8_t *at)
{
    *r = (struct redo_ring){.ends = (struct redo_ends *)(void *)at, .at = at ? at + PAGE_BYTES : NULL};
    list_init(&r->places);
    assert(!at || atomic_load(&r->ends->committed) == 0);
}

void redo_ring_check(const struct redo_ring *r)
{
    assert(r->needed <= r->committed && r->committed - r->needed <= REDO_RING_BYTES);
    uint64_t last = r->needed;
    for (const struct list *l = r->places.next; l != &r->places; l = l->next) {
        const struct redo_place *p = container_of(l, const struct redo_place, link);
        assert(p->from >= last && p->from < r->committed);
        last = p->from;
    }
    assert(!r->ends || atomic_load(&r->ends->committed) == r->committed || PLANTED(redo_end_before_bytes));
}

static void copy_from_tail(struct redo_ring *r, uint64_t place, const struct redo_record *record, const struct tail *t,
                           uint64_t segment_number)
{
    uint32_t left;
    for (uint32_t done = 0; done < record->bytes; done += left) {
        const struct tail_part *part = tail_find(t, segment_number, record->position + done, &left);
        assert(part);
        left = (uint32_t)u64_min(left, record->bytes - done);
        write_ring(r, place + done, part->buf->at + (record->position + done - part->from), left);
    }
}

void redo_ring_put(struct redo_ring *r, struct redo_place *p, struct redo_record *record, const struct tail *t,
                   uint64_t segment_number)
{
    assert(redo_ring_fits(r, record->bytes));
    assert(record->bytes > 0 && record->base_offset < record->end_offset);
    uint64_t place = r->committed;
    record->place = place;
    record->crc = redo_record_crc(record);
    write_ring(r, place, record, sizeof *record);
    r->committed = place + sizeof *record + record->bytes;
    if (!PLANTED(redo_end_before_bytes))
        copy_from_tail(r, place + sizeof *record, record, t, segment_number);
    fs_publish(&r->ends->committed, r->committed);
    p->end = record->position + record->bytes;
    if (p->from != REDO_NOWHERE)
        return;
    p->from = place;
    list_push(&r->places, &p->link);
}

static void move_needed(struct redo_ring *r)
{
    const struct list *first = list_first(&r->places);
    uint64_t needed = first ? container_of(first, const struct redo_place, link)->from : r->committed;
    assert(needed >= r->needed);
    if (needed == r->needed)
        return;
    r->needed = needed;
    fs_publish(&r->ends->needed, needed);
}

void redo_wave_begins(const struct redo_ring *r, struct redo_place *p)
{
    assert(p->from == REDO_NOWHERE || p->from < r->committed);
    p->wave_from = r->committed;
}

void redo_written(struct redo_ring *r, struct redo_place *p, uint64_t position)
{
    if (p->from == REDO_NOWHERE)
        return;
    assert(p->from < r->committed);
    list_remove(&p->link);
    /* All of them, also if the last came behind the wave's beginning: the ring had no room before for what the wave carries. */
    if (position >= p->end) {
        p->from = REDO_NOWHERE;
    } else {
        p->from = (uint64_t)(p->from > p->wave_from ? p->from : p->wave_from);
        struct list *at = &r->places;
        while (at->prev != &r->places && container_of(at->prev, struct redo_place, link)->from > p->from)
            at = at->prev;
        list_insert_before(at, &p->link);
    }
    move_needed(r);
}

void redo_place_forget(struct redo_ring *r, struct redo_place *p, bool needless)
{
    assert(p->from == REDO_NOWHERE || r->ends);
    if (p->from == REDO_NOWHERE)
        return;
    list_remove(&p->link);
    p->from = REDO_NOWHERE;
    if (needless)
        move_needed(r);
}
