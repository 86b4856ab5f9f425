/* Memory. Three kinds:
 *   heap    one per shard: mimalloc (core/mem_mi.c) or libc with a list of blocks (core/mem_libc.c: sanitizers, simulator).
 *           Destroying a heap frees whatever is left in it, which is how the simulator kills a broker.
 *           A part of a heap counts what its blocks take, in a budget that may refuse: what peers can make grow stands in one.
 *   region  address space from the kernel, faulted in on use: what a bufpool cuts its slabs from (core/buf.h).
 *   arena   a bump allocator for one request: what it was given first, then blocks of a heap; reset when the reply is sent. One
 *           without a heap has what it was given and nothing more, so it may be filled on any thread.
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
/* Nothing of the block is needed any more: its pages go back to the kernel, so that heap_free has less to do. On any thread. */
void heap_discard(void *block, size_t bytes);
char *heap_strdup(struct heap *h, const char *s) must_use;

/* What the blocks of a part take, and who has a say in it. The owner's memory, as long as the part is used. */
struct heap_meter {
    size_t max_bytes;
    size_t used_bytes;    /* with what the allocator rounds up */
    size_t granted_bytes; /* asked of the budget, in steps: at least what is used */
    bool forced;          /* refuses nothing for now, and counts it: what was promised already is loaded */
    /* So many bytes more are wanted; false: no. `anyway`: they are taken whatever it says. NULL: only max_bytes counts. */
    bool (*more)(struct heap_meter *m, size_t bytes, bool anyway);
    void (*less)(struct heap_meter *m, size_t bytes);
};
/* A part of a heap: its blocks are freed through it; with the heap all that is left goes. NULL: no memory. */
struct heap *heap_open_part(struct heap *whole, struct heap_meter *meter) must_use;
/* What is left of it goes with the heap. */
void heap_close_part(struct heap *whole, struct heap *part);
/* For those that implement heaps: may a block of so many bytes be? It counts from then on. */
bool heap_meter_take(struct heap_meter *m, size_t bytes) must_use;
void heap_meter_give(struct heap_meter *m, size_t bytes);
/* The block has turned out to be larger. */
void heap_meter_settle(struct heap_meter *m, size_t asked, size_t bytes);

/* Page-aligned address space without memory behind it; NULL when refused. */
void *region_open(size_t bytes) must_use;
/* All address space that the process may have (RLIMIT_AS); SIZE_MAX: no limit. */
size_t region_bytes_max(void);
/* Gives the pages back, keeps the addresses. */
void region_discard(void *at, size_t bytes);
void region_close(void *at, size_t bytes);

struct arena_block;
struct arena {
    struct heap *heap;            /* NULL: no more than it was given */
    uint8_t *at, *end;            /* what is left of what it was given, or of the newest block */
    bool given;                   /* at: still of the former, which counts as nothing used */
    struct arena_block *blocks;   /* newest first */
    size_t used_bytes, max_bytes; /* of the heap; it answers NULL beyond max_bytes */
    size_t
        refused_bytes; /* the last piece that it did not have; 0: it has had all. More of it may be all that is missing */
};
enum { ARENA_LARGE_BYTES = 1024 * 1024 }; /* of one piece: freeing its pages takes 50 us and more */

/* With a bound of 0 it has nothing to give: what is left for an answer may be that. */
void arena_init(struct arena *a, struct heap *h, size_t max_bytes);
/* The same, but `bytes` at `at` are used first. They stay the caller's, as long as the arena is used. */
void arena_init_given(struct arena *a, struct heap *h, size_t max_bytes, void *at, size_t bytes);
static inline struct arena arena_of(void *at, size_t bytes)
{
    return (struct arena){.at = at, .end = (uint8_t *)at + bytes, .given = true};
}
void *arena_alloc(struct arena *a, size_t bytes) must_use; /* 16-byte aligned, not zeroed */
/* `count` objects of `size` bytes, aligned to 8, not zeroed. */
void *arena_take(struct arena *a, size_t count, size_t size) must_use;
/* A large piece (more than 16 KiB: it has a block of its own) goes before the others do. */
void arena_give_back(struct arena *a, void *piece);
/* The pages of its blocks go back to the kernel, their addresses stay: the allocator would keep them, up to the most that ever was in
 * use at once. arena_reset has less to do then. On any thread, while nobody uses it. */
void arena_discard(struct arena *a);
/* Frees all blocks. */
void arena_reset(struct arena *a);
/* Some of them, some 300 us long; true: there are more. For arenas of more than ARENA_LARGE_BYTES. */
bool arena_reset_some(struct arena *a) must_use;
