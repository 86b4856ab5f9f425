/* The receive buffers of one engine, all of one size, in one region that is faulted in as load needs it. Inside core/io*
 * only. The last one put is the next one got, so that its bytes are still in the cache. */
#pragma once
#include "core/err.h"
#include "core/mem.h"

struct io_pool {
    struct heap *heap;
    uint8_t *region;
    uint32_t bytes, count; /* of each, and how many */
    uint32_t free_count;
    uint16_t *free;
};

enum err io_pool_init(struct io_pool *p, struct heap *heap, uint32_t bytes, uint32_t count) must_use;
void io_pool_deinit(struct io_pool *p);
void *io_pool_get(struct io_pool *p); /* NULL: all are out */
void io_pool_put(struct io_pool *p, const void *at);
/* Asserts that the fields agree. Slow. */
void io_pool_check(const struct io_pool *p);
static inline void *io_pool_at(const struct io_pool *p, uint32_t index)
{
    assert(index < p->count);
    return p->region + (size_t)index * p->bytes;
}
/* `at` may point anywhere into the buffer. */
static inline uint16_t io_pool_index(const struct io_pool *p, const void *at)
{
    size_t index = (size_t)((const uint8_t *)at - p->region) / p->bytes;
    assert((const uint8_t *)at >= p->region && index < p->count);
    return (uint16_t)index;
}
