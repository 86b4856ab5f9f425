/* What both sides of the ring know of its format (redo.h). */
#include "storage/log/redo.h"
#include "core/crc.h"
#include <stddef.h>
#include <string.h>

uint32_t redo_header_crc(const struct redo_header *h)
{
    assert(h);
    return crc32c(0, (const uint8_t *)h, offsetof(struct redo_header, crc));
}

uint32_t redo_record_crc(const struct redo_record *r)
{
    assert(r);
    return crc32c(0, (const uint8_t *)r + sizeof r->crc, sizeof *r - sizeof r->crc);
}

void redo_ring_read(const uint8_t *ring, uint64_t place, void *to, uint32_t bytes)
{
    assert(bytes <= REDO_RING_BYTES);
    uint64_t at = place % REDO_RING_BYTES, first = u64_min(bytes, REDO_RING_BYTES - at);
    memcpy(to, ring + at, first);
    memcpy((uint8_t *)to + first, ring, bytes - first);
}
