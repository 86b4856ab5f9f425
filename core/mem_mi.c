/* The heap door on mimalloc: one mi_heap per shard, destroyed at once. */
#include "core/mem.h"
#include <mimalloc.h>

enum { ALIGN_BYTES = 16 }; /* mimalloc aligns multiples of 16 so; smaller sizes only to 8 */

struct heap *heap_open(void)
{
    return (struct heap *)mi_heap_new();
}

void heap_close(struct heap *h)
{
    assert(h);
    mi_heap_destroy((mi_heap_t *)h);
}

void *heap_alloc(struct heap *h, size_t bytes)
{
    assert(h);
    if (bytes > SIZE_MAX / 2)
        return NULL;
    return mi_heap_malloc((mi_heap_t *)h, align_up(bytes ? bytes : 1, ALIGN_BYTES));
}

void *heap_zalloc(struct heap *h, size_t bytes)
{
    assert(h);
    if (bytes > SIZE_MAX / 2)
        return NULL;
    return mi_heap_zalloc((mi_heap_t *)h, align_up(bytes ? bytes : 1, ALIGN_BYTES));
}

void *heap_realloc(struct heap *h, void *old, size_t bytes)
{
    assert(h);
    if (bytes > SIZE_MAX / 2)
        return NULL;
    return mi_heap_realloc((mi_heap_t *)h, old, align_up(bytes ? bytes : 1, ALIGN_BYTES));
}

void heap_free(struct heap *h, void *block)
{
    assert(h);
    mi_free(block);
}

/* mimalloc keeps whole segments of freed pages otherwise, up to the peak of what was ever used at once. */
void heap_trim(struct heap *h)
{
    assert(h);
    mi_heap_collect((mi_heap_t *)h, true);
}
