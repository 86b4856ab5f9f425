/* Bytes of a segment that a fetch holds, wherever they lie: pieces of bufs that touch each other, with a reference to each. What becomes of
 * the segment, its blocks or the tail meanwhile is nothing to it. */
#pragma once
#include "core/buf.h"
#include "core/err.h"

struct cold_pin {
    struct buf *buf;
    const uint8_t *at;
    uint64_t from; /* position */
    uint32_t bytes;
};
struct cold_pins {
    struct heap *heap;
    struct cold_pin *v;
    uint32_t count, cap;
    uint32_t near; /* the last one that was looked at */
};

void cold_pins_init(struct cold_pins *p, struct heap *heap);
void cold_pins_deinit(struct cold_pins *p);
void cold_pins_drop(struct cold_pins *p); /* all of them */
/* Those that lie wholly before this position. */
void cold_pins_drop_before(struct cold_pins *p, uint64_t position);
/* Where they end; `at` where there are none. */
static inline uint64_t cold_pins_end(const struct cold_pins *p, uint64_t at)
{
    return p->count ? p->v[p->count - 1].from + p->v[p->count - 1].bytes : at;
}
/* One more, which begins where the others end. False: no memory. */
bool cold_pins_add(struct cold_pins *p, struct buf *buf, const uint8_t *at, uint64_t from, uint32_t bytes) must_use;
/* The one that holds this position; one does. */
const struct cold_pin *cold_pins_find(struct cold_pins *p, uint64_t position);
void cold_pins_peek(struct cold_pins *p, uint64_t position, uint8_t *to, uint32_t bytes);
uint32_t cold_pins_crc(struct cold_pins *p, uint64_t position, uint32_t bytes); /* CRC-32C */
