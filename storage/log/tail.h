/* The youngest bytes of a partition in memory: a queue of bufs that together hold a range of its segments' files. Appends
 * copy into the last buf, waves write from them, reads are served from them. A buf's first byte stands at a position that is a
 * multiple of 4096, so a wave is an aligned write without moving bytes.
 *
 *     [segment 0: 0.. 256K][256K..512K][segment 900: 0..64K][64K..128K]
 *      oldest, evicted first                                  ^ appends go here
 */
#pragma once
#include "core/buf.h"
#include "core/err.h"

struct tail_part {
    struct buf *buf;
    uint64_t segment; /* its number (segments.h): rises from one to the next */
    uint64_t from;    /* position of buf->at[0] */
};
struct tail {
    struct tail_part *v;
    uint32_t first, count, cap; /* a ring */
    struct heap *heap;
};

void tail_init(struct tail *t, struct heap *heap);
void tail_deinit(struct tail *t);
/* Asserts that its parts are in order and touch each other: for tests, the simulator and debug builds. */
void tail_check(const struct tail *t);
uint64_t tail_bytes(const struct tail *t);
/* Makes room for [position, position + bytes) of a segment; `size` is the wish for new bufs. ERR_NO_MEMORY: evict and retry. */
enum err tail_reserve(struct tail *t, struct bufpool *pool, uint64_t segment, uint64_t position, uint64_t bytes,
                      uint32_t size) must_use;
/* Drops the oldest part if it lies wholly below (segment, position). False: nothing to drop. */
bool tail_evict(struct tail *t, uint64_t segment, uint64_t position);
/* Gives back the parts that were reserved but hold nothing below (segment, position). */
void tail_unreserve(struct tail *t, uint64_t segment, uint64_t position);
void tail_clear(struct tail *t);
/* Where the parts of this segment begin. False: there are none. */
bool tail_begin(const struct tail *t, uint64_t segment, uint64_t *out_from);
/* The part that holds this position, and how many of its bytes follow; NULL: not in memory. */
const struct tail_part *tail_find(const struct tail *t, uint64_t segment, uint64_t position, uint32_t *out_left);
/* Copies in, with the CRC-32C of the bytes from `crc_from` on; the range is reserved. */
uint32_t tail_copy_in(struct tail *t, uint64_t segment, uint64_t position, const uint8_t *from, uint32_t bytes,
                      uint32_t crc_from);
/* Small patches and reads that may cross a border between bufs. */
void tail_poke(struct tail *t, uint64_t segment, uint64_t position, const void *from, uint32_t bytes);
bool tail_peek(const struct tail *t, uint64_t segment, uint64_t position, void *to, uint32_t bytes) must_use;
uint32_t tail_crc(const struct tail *t, uint64_t segment, uint64_t position, uint32_t bytes);
