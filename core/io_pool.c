/* The stack of free receive buffers. */
#include "core/io_pool.h"

enum err io_pool_init(struct io_pool *p, struct heap *heap, uint32_t bytes, uint32_t count)
{
    assert(p && heap);
    assert(bytes > 0 && count > 0);
    assert(count <= 1u << 15);
    *p = (struct io_pool){.heap = heap, .bytes = bytes, .count = count, .free_count = count};
    p->free = heap_alloc(heap, count * sizeof *p->free);
    p->region = region_open((size_t)bytes * count);
    if (!p->free || !p->region) {
        io_pool_deinit(p);
        return ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < count; i++)
        p->free[i] = (uint16_t)(count - 1 - i);
    return ERR_NONE;
}

void io_pool_deinit(struct io_pool *p)
{
    if (p->region)
        region_close(p->region, (size_t)p->bytes * p->count);
    if (p->free)
        heap_free(p->heap, p->free);
    p->region = NULL;
    p->free = NULL;
}

void *io_pool_get(struct io_pool *p)
{
    assert(p->free_count <= p->count);
    return p->free_count ? io_pool_at(p, p->free[--p->free_count]) : NULL;
}

void io_pool_put(struct io_pool *p, const void *at)
{
    assert(at);
    assert(p->free_count < p->count);
    p->free[p->free_count++] = io_pool_index(p, at);
}

void io_pool_check(const struct io_pool *p)
{
    assert(p->free_count <= p->count);
    for (uint32_t i = 0; i < p->free_count; i++) {
        assert(p->free[i] < p->count);
        for (uint32_t k = 0; k < i; k++)
            assert(p->free[i] != p->free[k]);
    }
}
