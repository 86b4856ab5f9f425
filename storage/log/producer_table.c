/* Where producers stand: pages, slots and ages (producer_state.h). */
#include "storage/log/producer_state.h"
#include "core/array.h"
#include <stdlib.h>

enum { FIRST_PAGE_CAP = 4, SLOTS_MIN = 8, COPIED_PAGES = 32 /* in one go, some 100 us */ };

/* --- slots --- */

static uint32_t hash_of_producer(int64_t id)
{
    return (uint32_t)(((uint64_t)id * 0x9e3779b97f4a7c15ull) >> 32);
}

static void put_producer_slot(struct producer_slot *slots, uint32_t mask, struct producer_slot put)
{
    assert(put.place > 0);
    assert(put.place <= mask);
    uint32_t s = put.hash & mask;
    while (slots[s].place)
        s = (s + 1) & mask;
    slots[s] = put;
}

/* The slot of a producer that is there. */
static uint32_t slot_of_producer(const struct producers *ps, uint32_t index)
{
    uint32_t s = hash_of_producer(producer_at(ps, index)->id) & ps->slot_mask;
    while (ps->slots[s].place != index + 1) {
        assert(ps->slots[s].place);
        s = (s + 1) & ps->slot_mask;
    }
    return s;
}

uint32_t producer_find(const struct producers *ps, int64_t id)
{
    assert(!ps->held);
    if (!ps->slots)
        return PRODUCER_NONE;
    uint32_t hash = hash_of_producer(id);
    for (uint32_t s = hash & ps->slot_mask; ps->slots[s].place; s = (s + 1) & ps->slot_mask) {
        if (ps->slots[s].hash == hash && producer_at(ps, ps->slots[s].place - 1)->id == id)
            return ps->slots[s].place - 1;
    }
    return PRODUCER_NONE;
}

/* Twice as many slots as producers, at least. */
static enum err reserve_producer_slot(struct producers *ps)
{
    assert(ps->count < PRODUCERS_MAX);
    if (ps->slots && ps->slot_mask + 1 >= (ps->count + 1) * 2)
        return ERR_NONE;
    uint32_t before = ps->slots ? ps->slot_mask + 1 : 0, want = before ? before * 2 : SLOTS_MIN;
    struct producer_slot *slots = heap_zalloc(ps->heap, want * sizeof *slots);
    if (!slots)
        return ERR_NO_MEMORY;
    for (uint32_t s = 0; s < before; s++)
        if (ps->slots[s].place)
            put_producer_slot(slots, want - 1, ps->slots[s]);
    heap_free(ps->heap, ps->slots);
    ps->slots = slots;
    ps->slot_mask = want - 1;
    return ERR_NONE;
}

/* What stands behind it and would not be found any more moves up. */
static void free_producer_slot(struct producers *ps, uint32_t hole)
{
    assert(ps->slots[hole].place);
    uint32_t mask = ps->slot_mask;
    for (uint32_t s = (hole + 1) & mask; ps->slots[s].place; s = (s + 1) & mask) {
        if (((s - ps->slots[s].hash) & mask) < ((s - hole) & mask))
            continue;
        ps->slots[hole] = ps->slots[s];
        hole = s;
    }
    ps->slots[hole] = (struct producer_slot){0, 0};
}

/* --- pages --- */

static void drop_page(struct producers *ps, struct producer_page *page)
{
    assert(!page || page->holders > 0);
    if (page && --page->holders == 0)
        heap_free(ps->heap, page);
}

/* A page of one's own with so many places, with what stands in it. */
static struct producer_page *own_page(struct producers *ps, uint32_t number, uint32_t places)
{
    assert(places > 0 && places <= PRODUCER_PAGE);
    struct producer_page *page = ps->pages[number];
    if (page && page->holders == 1 && page->cap >= places)
        return page;
    uint32_t cap = page ? page->cap : number == 0 ? FIRST_PAGE_CAP : PRODUCER_PAGE;
    cap = cap < places ? cap * 2 : cap;
    assert(cap >= places);
    struct producer_page *own = heap_alloc(ps->heap, sizeof *own + cap * sizeof *own->v);
    if (!own)
        return NULL;
    *own = (struct producer_page){.holders = 1, .cap = cap};
    if (page)
        memcpy(own->v, page->v, page->cap * sizeof *own->v);
    drop_page(ps, page);
    return ps->pages[number] = own;
}

struct producer *producer_own(struct producers *ps, uint32_t index)
{
    assert(index < ps->count);
    assert(!ps->held);
    struct producer_page *page = own_page(ps, index / PRODUCER_PAGE, index % PRODUCER_PAGE + 1);
    return page ? &page->v[index % PRODUCER_PAGE] : NULL;
}

/* Room for one more in the pages and among the ages. */
static struct producer *reserve_producer(struct producers *ps)
{
    uint32_t number = ps->count / PRODUCER_PAGE;
    struct producer_page **pages = array_grow(ps->heap, ps->pages, &ps->page_cap, number + 1, sizeof *pages);
    if (!pages)
        return NULL;
    ps->pages = pages;
    struct producer_age *ages = array_grow(ps->heap, ps->ages, &ps->age_cap, ps->count + 1, sizeof *ages);
    if (!ages)
        return NULL;
    ps->ages = ages;
    if (number == ps->page_count)
        ps->pages[ps->page_count++] = NULL;
    assert(number < ps->page_count);
    struct producer_page *page = own_page(ps, number, ps->count % PRODUCER_PAGE + 1);
    if (!page && !ps->pages[number])
        ps->page_count--;
    return page ? &page->v[ps->count % PRODUCER_PAGE] : NULL;
}

enum err producer_add(struct producers *ps, int64_t id, uint32_t *out_index)
{
    assert(producer_find(ps, id) == PRODUCER_NONE);
    assert(ps->count <= PRODUCERS_MAX);
    if (ps->count == PRODUCERS_MAX || reserve_producer_slot(ps))
        return ERR_NO_MEMORY;
    struct producer *p = reserve_producer(ps);
    if (!p)
        return ERR_NO_MEMORY;
    *p =
        (struct producer){.id = id, .epoch = -1, .coordinator_epoch = -1, .txn_first_offset = -1, .last_timestamp = -1};
    ps->ages[ps->count] = (struct producer_age){0, 0};
    *out_index = ps->count++;
    put_producer_slot(ps->slots, ps->slot_mask, (struct producer_slot){ps->count, hash_of_producer(id)});
    producers_recount(ps, -1, 0);
    return ERR_NONE;
}

/* --- ages --- */

/* Of the neighbour, or of the end of the list. */
static uint32_t *place_behind(struct producers *ps, uint32_t place)
{
    assert(place <= ps->count);
    return place ? &ps->ages[place - 1].younger : &ps->oldest;
}
static uint32_t *place_before(struct producers *ps, uint32_t place)
{
    assert(place <= ps->count);
    return place ? &ps->ages[place - 1].older : &ps->youngest;
}

void producer_age_link(struct producers *ps, uint32_t index)
{
    assert(index < ps->count);
    assert(producer_at(ps, index)->txn_first_offset < 0);
    ps->ages[index] = (struct producer_age){.older = ps->youngest};
    *place_behind(ps, ps->youngest) = index + 1;
    ps->youngest = index + 1;
}

void producer_age_unlink(struct producers *ps, uint32_t index)
{
    struct producer_age *a = &ps->ages[index];
    assert(a->older || ps->oldest == index + 1);
    assert(a->younger || ps->youngest == index + 1);
    *place_behind(ps, a->older) = a->younger;
    *place_before(ps, a->younger) = a->older;
    *a = (struct producer_age){0, 0};
}

struct aged {
    int64_t written_ms, last_offset;
    uint32_t index;
};
static int compare_aged(const void *x, const void *y)
{
    const struct aged *a = x, *b = y;
    if (a->written_ms != b->written_ms)
        return a->written_ms < b->written_ms ? -1 : 1;
    return (a->last_offset > b->last_offset) - (a->last_offset < b->last_offset);
}

enum err producers_sort_ages(struct producers *ps)
{
    assert(ps->oldest == 0 && ps->youngest == 0);
    struct aged *v = heap_alloc(ps->heap, (ps->count ? ps->count : 1) * sizeof *v);
    uint32_t idle = 0;
    if (!v)
        return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < ps->count; i++) {
        const struct producer *p = producer_at(ps, i);
        if (p->txn_first_offset < 0)
            v[idle++] = (struct aged){p->written_ms, producer_last_offset(p), i};
    }
    qsort(v, idle, sizeof *v, compare_aged);
    for (uint32_t i = 0; i < idle; i++)
        producer_age_link(ps, v[i].index);
    heap_free(ps->heap, v);
    return ERR_NONE;
}

/* --- one goes --- */

/* The last one stands at `to` from now on. */
static void move_last_producer(struct producers *ps, uint32_t to)
{
    uint32_t from = ps->count - 1;
    assert(to < from);
    ps->slots[slot_of_producer(ps, from)].place = to + 1;
    struct producer_age a = ps->ages[to] = ps->ages[from];
    if (producer_at(ps, from)->txn_first_offset < 0) {
        *place_behind(ps, a.older) = to + 1;
        *place_before(ps, a.younger) = to + 1;
    }
}

enum err producer_remove(struct producers *ps, uint32_t index)
{
    assert(ps->count > 0);
    struct producer *p = producer_own(ps, index);
    if (!p)
        return ERR_NO_MEMORY;
    assert(p->txn_first_offset < 0);
    producer_age_unlink(ps, index);
    free_producer_slot(ps, slot_of_producer(ps, index));
    producers_recount(ps, p->count, -1);
    if (index < ps->count - 1) {
        move_last_producer(ps, index);
        *p = *producer_at(ps, ps->count - 1);
    }
    if (--ps->count % PRODUCER_PAGE == 0)
        drop_page(ps, ps->pages[--ps->page_count]);
    return ERR_NONE;
}

void producers_recount(struct producers *ps, int before, int after)
{
    assert(before >= -1 && before <= PRODUCER_BATCHES);
    assert(after >= -1 && after <= PRODUCER_BATCHES);
    ps->batches += (uint32_t)((after > 0 ? after : 0) - (before > 0 ? before : 0));
    ps->without += (uint32_t)((after == 0) - (before == 0));
    assert(ps->without <= ps->count + 1);
}

/* --- all of them --- */

struct producers *producers_open(struct heap *heap)
{
    assert(heap);
    struct producers *ps = heap_zalloc(heap, sizeof *ps);
    if (ps)
        ps->heap = heap;
    return ps;
}

static void drop_all_pages(struct producers *ps)
{
    assert(ps->page_count <= ps->page_cap);
    while (ps->page_count > 0)
        drop_page(ps, ps->pages[--ps->page_count]);
}

void producers_close(struct producers *ps)
{
    if (!ps)
        return;
    drop_all_pages(ps);
    heap_free(ps->heap, ps->pages);
    heap_free(ps->heap, ps->slots);
    heap_free(ps->heap, ps->ages);
    heap_free(ps->heap, ps->txns);
    heap_free(ps->heap, ps->guards);
    heap_free(ps->heap, ps);
}

void producers_forget(struct producers *ps)
{
    assert(!ps->held);
    drop_all_pages(ps);
    ps->count = ps->txn_count = ps->ended = ps->guard_count = ps->batches = ps->without = 0;
    ps->oldest = ps->youngest = 0;
    if (ps->slots)
        memset(ps->slots, 0, (ps->slot_mask + 1ull) * sizeof *ps->slots);
}

struct producers *producers_hold(const struct producers *ps)
{
    assert(!ps->held);
    struct producers *copy = producers_open(ps->heap);
    if (!copy)
        return NULL;
    copy->pages = heap_alloc(ps->heap, (ps->page_count ? ps->page_count : 1) * sizeof(struct producer_page *));
    if (!copy->pages) {
        heap_free(ps->heap, copy);
        return NULL;
    }
    copy->held = true;
    copy->count = ps->count;
    copy->batches = ps->batches;
    copy->without = ps->without;
    for (; copy->page_count < ps->page_count; copy->page_count++) {
        copy->pages[copy->page_count] = ps->pages[copy->page_count];
        copy->pages[copy->page_count]->holders++;
    }
    copy->page_cap = copy->page_count;
    return copy;
}

static void *copy_block(struct heap *heap, const void *from, size_t bytes)
{
    assert(from || !bytes);
    void *to = heap_alloc(heap, bytes ? bytes : 1);
    if (to && bytes)
        memcpy(to, from, bytes);
    return to;
}

enum err producers_copy_some(const struct producers *ps, struct producers *copy, bool *out_whole)
{
    assert(copy->page_cap == ps->page_count);
    assert(copy->page_count <= ps->page_count);
    for (uint32_t n = 0; n < COPIED_PAGES && copy->page_count < ps->page_count; n++, copy->page_count++) {
        const struct producer_page *page = ps->pages[copy->page_count];
        struct producer_page *own = copy_block(copy->heap, page, sizeof *page + page->cap * sizeof *page->v);
        if (!own)
            return ERR_NO_MEMORY;
        own->holders = 1;
        copy->pages[copy->page_count] = own;
    }
    *out_whole = copy->page_count == ps->page_count;
    return ERR_NONE;
}

struct producers *producers_copy(const struct producers *ps, struct heap *heap)
{
    assert(!ps->held);
    struct producers *to = heap_alloc(heap, sizeof *to);
    if (!to)
        return NULL;
    *to = *ps;
    to->heap = heap;
    to->guards = NULL;
    to->guard_count = to->guard_cap = 0;
    to->page_count = 0;
    to->page_cap = ps->page_count;
    to->pages = heap_alloc(heap, (ps->page_count ? ps->page_count : 1) * sizeof(struct producer_page *));
    to->txn_cap = ps->txn_count;
    to->age_cap = ps->count;
    to->txns = copy_block(heap, ps->txns, ps->txn_count * sizeof *ps->txns);
    to->slots = ps->slots ? copy_block(heap, ps->slots, (ps->slot_mask + 1ull) * sizeof *ps->slots) : NULL;
    to->ages = copy_block(heap, ps->ages, ps->count * sizeof *ps->ages);
    if (to->pages && to->txns && to->ages && (to->slots || !ps->slots))
        return to;
    producers_close(to);
    return NULL;
}

uint32_t producers_count(const struct producers *ps)
{
    assert(ps->count <= PRODUCERS_MAX);
    return ps->count;
}

static void check_ages(const struct producers *ps)
{
    uint32_t linked = 0, before = 0;
    for (uint32_t place = ps->oldest; place; before = place, place = ps->ages[place - 1].younger) {
        assert(ps->ages[place - 1].older == before);
        assert(producer_at(ps, place - 1)->txn_first_offset < 0);
        assert(++linked <= ps->count);
    }
    assert(ps->youngest == before);
    uint32_t idle = 0;
    for (uint32_t i = 0; i < ps->count; i++)
        idle += producer_at(ps, i)->txn_first_offset < 0;
    assert(linked == idle);
}

void producers_table_agree(const struct producers *ps)
{
    uint32_t batches = 0, without = 0;
    assert(ps->count <= PRODUCERS_MAX);
    assert(ps->page_count == (ps->count + PRODUCER_PAGE - 1) / PRODUCER_PAGE);
    assert(ps->held || !ps->count || ps->slot_mask + 1 >= 2 * ps->count);
    for (uint32_t i = 0; i < ps->count; i++) {
        const struct producer *p = producer_at(ps, i);
        assert(ps->held || producer_find(ps, p->id) == i);
        batches += p->count;
        without += p->count == 0;
    }
    assert(batches == ps->batches);
    assert(without == ps->without);
    if (!ps->held)
        check_ages(ps);
}
