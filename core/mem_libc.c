/* The heap door on malloc, for the sanitizers, which see every block, and for the simulator. A list of all blocks lets
 * heap_close free what is left. A part's blocks stand in the list of its whole, and know their part: to free one through another
 * heap is a fault that is found here.
 *
 *   | list node | bytes | heap | the caller's block ... */
#include "core/mem.h"
#include "core/list.h"
#include <stdlib.h>
#include <string.h>

struct heap {
    struct list blocks;
    struct heap *whole; /* of a part */
    struct heap_meter *meter;
};
struct block {
    _Alignas(16) struct list link;
    size_t bytes;
    struct heap *heap;
};

struct heap *heap_open(void)
{
    struct heap *h = calloc(1, sizeof *h);
    if (h)
        list_init(&h->blocks);
    return h;
}

struct heap *heap_open_part(struct heap *whole, struct heap_meter *meter)
{
    assert(!whole->meter);
    assert(meter);
    struct heap *h = heap_zalloc(whole, sizeof *h);
    if (!h)
        return NULL;
    list_init(&h->blocks); /* stays empty */
    h->whole = whole;
    h->meter = meter;
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
    struct list *node;
    while ((node = list_pop(&h->blocks)))
        free(container_of(node, struct block, link));
    free(h);
}

void *heap_alloc(struct heap *h, size_t bytes)
{
    assert(h);
    if (bytes > SIZE_MAX / 2 || (h->meter && !heap_meter_take(h->meter, bytes)))
        return NULL;
    struct block *b = malloc(sizeof *b + bytes);
    if (!b && h->meter)
        heap_meter_give(h->meter, bytes);
    if (!b)
        return NULL;
    b->bytes = bytes;
    b->heap = h;
    list_init(&b->link);
    list_push(&(h->whole ? h->whole : h)->blocks, &b->link);
    return b + 1;
}

void *heap_zalloc(struct heap *h, size_t bytes)
{
    assert(h);
    void *at = heap_alloc(h, bytes);
    return at ? memset(at, 0, bytes) : NULL;
}

void *heap_realloc(struct heap *h, void *old, size_t bytes)
{
    assert(h);
    void *at = heap_alloc(h, bytes);
    if (!at || !old)
        return at;
    const struct block *b = (struct block *)old - 1;
    memcpy(at, old, b->bytes < bytes ? b->bytes : bytes);
    heap_free(h, old);
    return at;
}

void heap_free(struct heap *h, void *block)
{
    assert(h);
    if (!block)
        return;
    struct block *b = (struct block *)block - 1;
    assert(b->heap == h);
    if (h->meter)
        heap_meter_give(h->meter, b->bytes);
    list_remove(&b->link);
    free(b);
}
