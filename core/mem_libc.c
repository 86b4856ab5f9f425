/* The heap door on malloc, for the sanitizers, which see every block, and for the simulator. A list of all blocks lets
 * heap_close free what is left.
 *
 *   | list node | bytes | the caller's block ... */
#include "core/mem.h"
#include "core/list.h"
#include <stdlib.h>
#include <string.h>

struct heap {
    struct list blocks;
};
struct block {
    _Alignas(16) struct list link;
    size_t bytes;
};

struct heap *heap_open(void)
{
    struct heap *h = malloc(sizeof *h);
    if (h)
        list_init(&h->blocks);
    return h;
}

void heap_close(struct heap *h)
{
    assert(h);
    struct list *node;
    while ((node = list_pop(&h->blocks)))
        free(container_of(node, struct block, link));
    free(h);
}

void *heap_alloc(struct heap *h, size_t bytes)
{
    assert(h);
    if (bytes > SIZE_MAX / 2)
        return NULL;
    struct block *b = malloc(sizeof *b + bytes);
    if (!b)
        return NULL;
    b->bytes = bytes;
    list_init(&b->link);
    list_push(&h->blocks, &b->link);
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
    list_remove(&b->link);
    free(b);
}

/* libc's heap is every shard's, and no more than tests run on it. */
void heap_trim(struct heap *h)
{
    assert(h);
}
