/* Arenas: bump allocation out of blocks that a heap gives.
 *
 *   blocks -> | header | used ......... at | free ... end |   newest
 *             | header | used                             |   older
 *
 * A piece larger than a quarter of a block gets a block of its own, behind the newest, so that the newest's rest stays
 * in use. */
#include "core/mem.h"
#include <string.h>

enum { ALIGN_BYTES = 16, BLOCK_BYTES = 16 * 1024 };

struct arena_block {
    _Alignas(ALIGN_BYTES) struct arena_block *next;
};

char *heap_strdup(struct heap *h, const char *s)
{
    assert(h && s);
    size_t bytes = strlen(s) + 1;
    char *copy = heap_alloc(h, bytes);
    return copy ? memcpy(copy, s, bytes) : NULL;
}

void arena_init(struct arena *a, struct heap *h, size_t max_bytes)
{
    assert(a && h);
    *a = (struct arena){.heap = h, .max_bytes = max_bytes};
}

static struct arena_block *new_arena_block(struct arena *a, size_t bytes)
{
    assert(a->heap);
    return heap_alloc(a->heap, sizeof(struct arena_block) + bytes);
}

static void *alloc_own_block(struct arena *a, size_t bytes)
{
    assert(bytes > BLOCK_BYTES / 4);
    struct arena_block *b = new_arena_block(a, bytes);
    if (!b)
        return NULL;
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
    return true;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
    assert(a->heap);
    assert(a->used_bytes <= a->max_bytes);
    if (bytes > a->max_bytes - a->used_bytes)
        return NULL;
    bytes = align_up(bytes ? bytes : 1, ALIGN_BYTES);
    if (bytes > a->max_bytes - a->used_bytes)
        return NULL;
    assert(a->at <= a->end);
    if (bytes > (size_t)(a->end - a->at)) {
        if (bytes > BLOCK_BYTES / 4)
            return alloc_own_block(a, bytes);
        if (!refill_arena(a))
            return NULL;
    }
    void *piece = a->at;
    a->at += bytes;
    a->used_bytes += bytes;
    return piece;
}

void arena_reset(struct arena *a)
{
    assert(a);
    assert(a->heap || !a->blocks);
    struct arena_block *b = a->blocks;
    while (b) {
        struct arena_block *next = b->next;
        heap_free(a->heap, b);
        b = next;
    }
    a->blocks = NULL;
    a->at = a->end = NULL;
    a->used_bytes = 0;
}
