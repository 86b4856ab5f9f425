/* Arenas: bump allocation out of what they were given, then out of blocks that a heap gives.
 *
 *   blocks -> | header | used ......... at | free ... end |   newest
 *             | header | used                             |   older
 *
 * A piece larger than a quarter of a block gets a block of its own, behind the newest, so that the newest's rest stays
 * in use. */
#include "core/mem.h"
#include "core/limits.h"
#include <string.h>

enum { ALIGN_BYTES = 16, TAKE_ALIGN_BYTES = 8, BLOCK_BYTES = 16 * 1024, FREED_AT_ONCE = 64 };

struct arena_block {
    _Alignas(ALIGN_BYTES) struct arena_block *next;
    size_t bytes; /* behind the header */
};

char *heap_strdup(struct heap *h, const char *s)
{
    assert(h && s);
    size_t bytes = strlen(s) + 1;
    char *copy = heap_alloc(h, bytes);
    return copy ? memcpy(copy, s, bytes) : NULL;
}

void heap_discard(void *block, size_t bytes)
{
    assert(block || bytes == 0);
    uintptr_t from = align_up((uintptr_t)block, PAGE_BYTES), to = align_down((uintptr_t)block + bytes, PAGE_BYTES);
    if (to > from)
        region_discard((void *)from, to - from);
}

/* --- parts of heaps --- */

/* Both ends of what is granted but not used: a budget is asked once for many small blocks. */
enum { GRANT_STEP_BYTES = 32 * 1024 };

static bool grant_meter(struct heap_meter *m, size_t bytes, bool anyway)
{
    assert(bytes > 0);
    if (m->more && !m->more(m, bytes, anyway) && !anyway)
        return false;
    m->granted_bytes += bytes;
    return true;
}

bool heap_meter_take(struct heap_meter *m, size_t bytes)
{
    assert(m->used_bytes <= m->granted_bytes);
    if (!m->forced && (m->used_bytes > m->max_bytes || bytes > m->max_bytes - m->used_bytes))
        return false;
    size_t left = m->granted_bytes - m->used_bytes;
    if (bytes > left && !grant_meter(m, bytes - left + GRANT_STEP_BYTES, false) &&
        !grant_meter(m, bytes - left, m->forced))
        return false;
    m->used_bytes += bytes;
    return true;
}

void heap_meter_give(struct heap_meter *m, size_t bytes)
{
    assert(bytes <= m->used_bytes);
    m->used_bytes -= bytes;
    size_t left = m->granted_bytes - m->used_bytes;
    if (left <= 2 * GRANT_STEP_BYTES)
        return;
    m->granted_bytes -= left - GRANT_STEP_BYTES;
    assert(m->granted_bytes >= m->used_bytes);
    if (m->less)
        m->less(m, left - GRANT_STEP_BYTES);
}

void heap_meter_settle(struct heap_meter *m, size_t asked, size_t bytes)
{
    assert(m->used_bytes >= asked);
    assert(bytes >= asked);
    size_t left = m->granted_bytes - (m->used_bytes - asked);
    if (bytes > left)
        (void)grant_meter(m, bytes - left, true); /* it is there already */
    m->used_bytes += bytes - asked;
}

/* --- arenas --- */

void arena_init(struct arena *a, struct heap *h, size_t max_bytes)
{
    assert(a && h);
    *a = (struct arena){.heap = h, .max_bytes = max_bytes};
}

void arena_init_given(struct arena *a, struct heap *h, size_t max_bytes, void *at, size_t bytes)
{
    assert(at && bytes > 0);
    arena_init(a, h, max_bytes);
    a->at = at;
    a->end = a->at + bytes;
    a->given = true;
}

static void *refuse_piece(struct arena *a, size_t bytes)
{
    assert(bytes > 0);
    a->refused_bytes = bytes;
    return NULL;
}

static struct arena_block *new_arena_block(struct arena *a, size_t bytes)
{
    assert(a->heap);
    struct arena_block *b = heap_alloc(a->heap, sizeof *b + bytes);
    if (b)
        b->bytes = bytes;
    return b;
}

static void *alloc_own_block(struct arena *a, size_t bytes)
{
    assert(bytes > BLOCK_BYTES / 4);
    struct arena_block *b = new_arena_block(a, bytes);
    if (!b)
        return refuse_piece(a, bytes);
    struct arena_block **at = a->blocks ? &a->blocks->next : &a->blocks;
    b->next = *at;
    *at = b;
    a->used_bytes += bytes;
    return b + 1;
}

static bool refill_arena(struct arena *a)
{
    assert(a->used_bytes <= a->max_bytes);
    struct arena_block *b = new_arena_block(a, BLOCK_BYTES - sizeof *b);
    if (!b)
        return false;
    b->next = a->blocks;
    a->blocks = b;
    a->at = (uint8_t *)(b + 1);
    a->end = (uint8_t *)b + BLOCK_BYTES;
    a->given = false;
    return true;
}

static void *take_piece(struct arena *a, size_t bytes, size_t align)
{
    assert(a->at <= a->end);
    assert(bytes > 0);
    size_t pad = -(uintptr_t)a->at & (align - 1), left = (size_t)(a->end - a->at);
    if (a->given && pad <= left && bytes <= left - pad) {
        uint8_t *piece = a->at + pad;
        a->at = piece + bytes;
        return piece;
    }
    assert(a->used_bytes <= a->max_bytes);
    bytes = align_up(bytes, ALIGN_BYTES); /* so `at` is aligned for all, in blocks */
    if (!a->heap || bytes > a->max_bytes - a->used_bytes)
        return refuse_piece(a, bytes);
    if (a->given || bytes > (size_t)(a->end - a->at)) {
        if (bytes > BLOCK_BYTES / 4)
            return alloc_own_block(a, bytes);
        if (!refill_arena(a))
            return refuse_piece(a, bytes);
    }
    void *piece = a->at;
    a->at += bytes;
    a->used_bytes += bytes;
    return piece;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
    assert(a);
    return bytes > SIZE_MAX / 2 ? refuse_piece(a, bytes) : take_piece(a, bytes ? bytes : 1, ALIGN_BYTES);
}

void *arena_take(struct arena *a, size_t count, size_t size)
{
    assert(size > 0);
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 2)
        return refuse_piece(a, SIZE_MAX / 2);
    return take_piece(a, bytes ? bytes : 1, TAKE_ALIGN_BYTES);
}

void arena_give_back(struct arena *a, void *piece)
{
    struct arena_block *b = (struct arena_block *)piece - 1, **at = &a->blocks;
    assert(b->bytes > BLOCK_BYTES); /* smaller ones may be of another block, or of what was given */
    while (*at != b)
        at = &(*at)->next;
    *at = b->next;
    assert(a->used_bytes >= b->bytes);
    a->used_bytes -= b->bytes;
    heap_free(a->heap, b);
}

void arena_discard(struct arena *a)
{
    assert(a);
    assert(a->heap || !a->blocks);
    for (struct arena_block *b = a->blocks; b; b = b->next)
        heap_discard(b + 1, b->bytes);
}

bool arena_reset_some(struct arena *a)
{
    assert(a);
    assert(a->heap || !a->blocks);
    a->at = a->end = NULL;
    a->given = false;
    for (uint32_t i = 0; i < FREED_AT_ONCE && a->blocks; i++) {
        struct arena_block *b = a->blocks;
        a->blocks = b->next;
        heap_free(a->heap, b);
    }
    if (!a->blocks)
        a->used_bytes = a->refused_bytes = 0;
    return a->blocks;
}

void arena_reset(struct arena *a)
{
    assert(a);
    while (arena_reset_some(a))
        ;
}
