/* The heap of core/mem_libc.c, of which chosen allocations fail and the blocks that are out are counted. Include it first. */
#pragma once
#define heap_alloc real_heap_alloc
#define heap_zalloc real_heap_zalloc
#define heap_realloc real_heap_realloc
#define heap_free real_heap_free
#include "core/mem_libc.c"
#undef heap_alloc
#undef heap_zalloc
#undef heap_realloc
#undef heap_free

static struct {
    struct heap *poor; /* the only heap that fails and is counted; NULL: each does */
    int countdown;     /* the call that makes it 0 fails */
    bool forever;      /* so do all after it */
    bool fired;
    int blocks; /* out */
} fault;

void *heap_alloc(struct heap *h, size_t bytes) must_use;
void *heap_zalloc(struct heap *h, size_t bytes) must_use;
void *heap_realloc(struct heap *h, void *old, size_t bytes) must_use;
void heap_free(struct heap *h, void *block);

/* The nth call from now on fails; 0: none does. */
static inline void fault_begin(int nth, bool forever)
{
    fault.countdown = nth;
    fault.forever = forever;
    fault.fired = false;
}
/* Answers whether something failed. */
static inline bool fault_end(void)
{
    fault.countdown = 0;
    fault.forever = false;
    return fault.fired;
}
static bool fails(void)
{
    bool now = fault.countdown > 0 ? --fault.countdown == 0 : fault.forever && fault.fired;
    fault.fired |= now;
    return now;
}
static bool counts(const struct heap *h)
{
    return !fault.poor || h == fault.poor;
}

void *heap_alloc(struct heap *h, size_t bytes)
{
    void *at = counts(h) && fails() ? NULL : real_heap_alloc(h, bytes);
    fault.blocks += at && counts(h);
    return at;
}
void *heap_zalloc(struct heap *h, size_t bytes)
{
    void *at = heap_alloc(h, bytes);
    return at ? memset(at, 0, bytes) : NULL;
}
void *heap_realloc(struct heap *h, void *old, size_t bytes)
{
    void *at = counts(h) && fails() ? NULL : real_heap_realloc(h, old, bytes);
    fault.blocks += at && !old && counts(h);
    return at;
}
void heap_free(struct heap *h, void *block)
{
    fault.blocks -= block && counts(h);
    real_heap_free(h, block);
}
