/* The inside of the codecs: one growing output, bounded. */
#pragma once
#include "core/bytes.h"
#include "core/err.h"
#include "core/mem.h"

struct output {
    struct heap *heap;
    uint8_t *at;
    size_t bytes, cap, max;
    enum err over; /* what it means to want more than `max` */
};
enum { OUTPUT_STEP = 64 * 1024 };

/* Room for `want` more bytes behind those that there are. */
static inline enum err output_grow(struct output *o, size_t want)
{
    assert(o->bytes <= o->cap);
    assert(o->over);
    if (o->at && o->bytes + want <= o->cap)
        return ERR_NONE;
    if (want > o->max || o->bytes > o->max - want)
        return o->over;
    size_t cap = u64_min(u64_max(u64_max(o->cap * 2, o->bytes + want), 1), o->max); /* of nothing too: never NULL */
    uint8_t *at = heap_realloc(o->heap, o->at, cap);
    if (!at)
        return ERR_NO_MEMORY;
    o->at = at;
    o->cap = cap;
    return ERR_NONE;
}
