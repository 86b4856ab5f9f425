/* Memory. Three kinds:
 *   heap    one per shard: mimalloc (core/mem_mi.c) or libc with a list of blocks (core/mem_libc.c: sanitizers, simulator).
 *           Destroying a heap frees whatever is left in it, which is how the simulator kills a broker.
 *   region  address space from the kernel, faulted in on use: what a bufpool cuts its slabs from (core/buf.h).
 *   arena   a bump allocator for one request, refilled from a heap in blocks, reset when the reply is sent.
 * A heap belongs to one thread. */
#pragma once
#include "core/base.h"

struct heap;
struct heap *heap_open(void);
void heap_close(struct heap *h);
/* NULL when memory is out. 16-byte aligned. Zeroed: heap_zalloc. */
void *heap_alloc(struct heap *h, size_t bytes) must_use;
void *heap_zalloc(struct heap *h, size_t bytes) must_use;
void *heap_realloc(struct heap *h, void *old, size_t bytes) must_use;
void heap_free(struct heap *h, void *block); /* NULL is fine */
void heap_trim(struct heap *h);              /* what is free may go back to the kernel; now and then, from its thread */
char *heap_strdup(struct heap *h, const char *s) must_use;

/* Page-aligned address space without memory behind it; NULL when refused. */
void *region_open(size_t bytes) must_use;
/* Gives the pages back, keeps the addresses. */
void region_discard(void *at, size_t bytes);
void region_close(void *at, size_t bytes);

struct arena_block;
struct arena {
    struct heap *heap;
    uint8_t *at, *end;            /* what is left of the newest block */
    struct arena_block *blocks;   /* newest first */
    size_t used_bytes, max_bytes; /* arena_alloc answers NULL beyond max_bytes */
};
/* With a bound of 0 it has nothing to give: what is left for an answer may be that. */
void arena_init(struct arena *a, struct heap *h, size_t max_bytes);
void *arena_alloc(struct arena *a, size_t bytes) must_use; /* 16-byte aligned, not zeroed */
/* Frees all blocks. */
void arena_reset(struct arena *a);
