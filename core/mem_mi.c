/* The heap door on mimalloc: one mi_heap per shard, destroyed at once. A part has the mi_heap of its whole. */
#include "core/mem.h"
#include <mimalloc.h>

enum { ALIGN_BYTES = 16 }; /* mimalloc aligns multiples of 16 so; smaller sizes only to 8 */

struct heap {
    mi_heap_t *mi; /* the struct stands in it */
    struct heap_meter *meter;
};

struct heap *heap_open(void)
{
    mi_heap_t *mi = mi_heap_new();
    struct heap *h = mi ? mi_heap_zalloc(mi, sizeof *h) : NULL;
    if (h)
        h->mi = mi;
    else if (mi)
        mi_heap_destroy(mi);
    return h;
}

struct heap *heap_open_part(struct heap *whole, struct heap_meter *meter)
{
    assert(!whole->meter);
    assert(meter);
    struct heap *h = heap_zalloc(whole, sizeof *h);
    if (h)
        *h = (struct heap){whole->mi, meter};
    return h;
}

void heap_close_part(struct heap *whole, struct heap *part)
{
    assert(part->meter);
    heap_free(whole, part);
}

void heap_close(struct heap *h)
{
    assert(h);
    assert(!h->meter);
    mi_heap_destroy(h->mi);
}

/* What a part's block takes is known when it is there. */
static void *count_block(struct heap *h, void *block, size_t asked)
{
    if (h->meter && block)
        heap_meter_settle(h->meter, asked, mi_usable_size(block));
    else if (h->meter)
        heap_meter_give(h->meter, asked);
    return block;
}

static bool may_take(struct heap *h, size_t bytes)
{
    return bytes <= SIZE_MAX / 2 && (!h->meter || heap_meter_take(h->meter, bytes));
}

void *heap_alloc(struct heap *h, size_t bytes)
{
    assert(h);
    bytes = bytes <= SIZE_MAX / 2 ? align_up(bytes ? bytes : 1, ALIGN_BYTES) : SIZE_MAX;
    return may_take(h, bytes) ? count_block(h, mi_heap_malloc(h->mi, bytes), bytes) : NULL;
}

void *heap_zalloc(struct heap *h, size_t bytes)
{
    assert(h);
    bytes = bytes <= SIZE_MAX / 2 ? align_up(bytes ? bytes : 1, ALIGN_BYTES) : SIZE_MAX;
    return may_take(h, bytes) ? count_block(h, mi_heap_zalloc(h->mi, bytes), bytes) : NULL;
}

void *heap_realloc(struct heap *h, void *old, size_t bytes)
{
    assert(h);
    bytes = bytes <= SIZE_MAX / 2 ? align_up(bytes ? bytes : 1, ALIGN_BYTES) : SIZE_MAX;
    if (!may_take(h, bytes))
        return NULL;
    size_t before = h->meter && old ? mi_usable_size(old) : 0;
    void *block = count_block(h, mi_heap_realloc(h->mi, old, bytes), bytes);
    if (h->meter && block)
        heap_meter_give(h->meter, before);
    return block;
}

void heap_free(struct heap *h, void *block)
{
    assert(h);
    if (h->meter && block)
        heap_meter_give(h->meter, mi_usable_size(block));
    mi_free(block);
}
