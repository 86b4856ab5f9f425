/* Arrays and bytes that grow. An array: `v` has room for *cap elements, which are moved with the bytes that they have. */
#pragma once
#include "core/mem.h"

/* Room for `want` elements, at least twice of what there was (4 at first): returns where they are, and sets *cap. NULL: no memory, or
 * more than 4 GiB of elements; then `v` and *cap are as before. */
static inline void *array_grow(struct heap *heap, void *v, uint32_t *cap, uint32_t want, size_t element_bytes)
{
    assert(want > 0);
    assert(element_bytes > 0);
    assert(v || *cap == 0);
    if (want <= *cap)
        return v;
    uint32_t grown = *cap > UINT32_MAX / 2 ? UINT32_MAX : *cap * 2;
    grown = grown < 4 ? 4 : grown;
    grown = grown < want ? want : grown;
    void *moved = (uint64_t)grown * element_bytes > UINT32_MAX ? NULL : heap_realloc(heap, v, grown * element_bytes);
    if (moved)
        *cap = grown;
    return moved;
}

/* Room for `want` bytes, at least twice of what there was, and `spare` more: returns where they are, and sets *cap. NULL: no memory; then
 * `at` and *cap are as before. */
static inline uint8_t *bytes_grow(struct heap *heap, uint8_t *at, size_t *cap, size_t want, size_t spare)
{
    assert(at || *cap == 0);
    if (want <= *cap)
        return at;
    size_t grown = *cap * 2 > want + spare ? *cap * 2 : want + spare;
    uint8_t *moved = heap_realloc(heap, at, grown);
    if (moved)
        *cap = grown;
    return moved;
}
