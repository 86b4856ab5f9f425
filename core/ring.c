/* The indices run freely and wrap at 2^32; the slot is the index modulo RING_SLOTS. The producer publishes a slot with a
 * release store of tail, the consumer frees it with one of head. */
#include "core/ring.h"
#include <stdatomic.h>

static_assert((RING_SLOTS & (RING_SLOTS - 1)) == 0, "the slot is found by masking");

void ring_init(struct ring *r)
{
    assert((uintptr_t)r % _Alignof(struct ring) == 0);
    atomic_init(&r->head, 0);
    atomic_init(&r->tail, 0);
}

bool ring_push(struct ring *r, void *item)
{
    assert(item);
    uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    uint32_t head = atomic_load_explicit(&r->head, memory_order_acquire);
    assert(tail - head <= RING_SLOTS);
    if (tail - head == RING_SLOTS)
        return false;
    r->slots[tail % RING_SLOTS] = item;
    atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
    return true;
}

void *ring_pop(struct ring *r)
{
    uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    if (head == atomic_load_explicit(&r->tail, memory_order_acquire))
        return NULL;
    void *item = r->slots[head % RING_SLOTS];
    assert(item);
    atomic_store_explicit(&r->head, head + 1, memory_order_release);
    return item;
}

bool ring_empty(const struct ring *r)
{
    return atomic_load_explicit(&r->head, memory_order_acquire) == atomic_load_explicit(&r->tail, memory_order_acquire);
}

void ring_check(const struct ring *r)
{
    uint32_t head = atomic_load_explicit(&r->head, memory_order_acquire);
    uint32_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);
    assert(tail - head <= RING_SLOTS);
    for (uint32_t i = head; i != tail; i++)
        assert(r->slots[i % RING_SLOTS]);
}
