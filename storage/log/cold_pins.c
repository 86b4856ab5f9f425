/* Pieces of bufs that touch each other. */
#include "storage/log/cold_pins.h"
#include "core/array.h"
#include "core/crc.h"
#include <string.h>

void cold_pins_init(struct cold_pins *p, struct heap *heap)
{
    assert(heap);
    *p = (struct cold_pins){.heap = heap};
}

void cold_pins_drop(struct cold_pins *p)
{
    assert(p->count <= p->cap);
    for (uint32_t i = 0; i < p->count; i++)
        buf_put(p->v[i].buf);
    p->count = p->near = 0;
}

void cold_pins_deinit(struct cold_pins *p)
{
    assert(p->heap);
    cold_pins_drop(p);
    heap_free(p->heap, p->v);
    p->v = NULL;
    p->cap = 0;
}

void cold_pins_drop_before(struct cold_pins *p, uint64_t position)
{
    uint32_t gone = 0;
    while (gone < p->count && p->v[gone].from + p->v[gone].bytes <= position)
        buf_put(p->v[gone++].buf);
    if (!gone)
        return;
    assert(gone <= p->count);
    p->count -= gone;
    memmove(p->v, p->v + gone, p->count * sizeof *p->v);
    p->near = 0;
}

bool cold_pins_add(struct cold_pins *p, struct buf *buf, const uint8_t *at, uint64_t from, uint32_t bytes)
{
    assert(bytes > 0);
    assert(cold_pins_end(p, from) == from);
    struct cold_pin *v = array_grow(p->heap, p->v, &p->cap, p->count + 1, sizeof *v);
    if (!v)
        return false;
    p->v = v;
    p->v[p->count++] = (struct cold_pin){.buf = buf_ref(buf), .at = at, .from = from, .bytes = bytes};
    return true;
}

const struct cold_pin *cold_pins_find(struct cold_pins *p, uint64_t position)
{
    assert(p->near < p->count);
    while (p->v[p->near].from > position)
        p->near--;
    while (p->v[p->near].from + p->v[p->near].bytes <= position)
        p->near++;
    assert(p->near < p->count);
    return &p->v[p->near];
}

static const uint8_t *pinned_bytes_at(struct cold_pins *p, uint64_t position, uint32_t *out_left)
{
    const struct cold_pin *pin = cold_pins_find(p, position);
    assert(position >= pin->from);
    *out_left = (uint32_t)(pin->from + pin->bytes - position);
    return pin->at + (position - pin->from);
}

void cold_pins_peek(struct cold_pins *p, uint64_t position, uint8_t *to, uint32_t bytes)
{
    assert(position + bytes <= cold_pins_end(p, 0));
    for (uint32_t done = 0, left; done < bytes; done += left) {
        const uint8_t *at = pinned_bytes_at(p, position + done, &left);
        left = (uint32_t)u64_min(left, bytes - done);
        memcpy(to + done, at, left);
    }
}

uint32_t cold_pins_crc(struct cold_pins *p, uint64_t position, uint32_t bytes)
{
    assert(position + bytes <= cold_pins_end(p, 0));
    uint32_t crc = 0;
    for (uint32_t done = 0, left; done < bytes; done += left) {
        const uint8_t *at = pinned_bytes_at(p, position + done, &left);
        left = (uint32_t)u64_min(left, bytes - done);
        crc = crc32c(crc, at, left);
    }
    return crc;
}
