/* Received bytes, counted by those who still read them: a pooled receive buffer of the engine, or a buf of the shard's pool.
 * A connection holds the block it parses; each request that was cut from it holds one reference until its bytes are no longer
 * needed (request_release). The last one gives the memory back. Blocks belong to one shard. */
#pragma once
#include "core/buf.h"
#include "core/shard.h"
#include "net/limits.h"

struct blocks {
    struct shard *shard;
    struct list free; /* struct block without memory, at most BLOCKS_FREE_MAX */
    uint32_t free_count;
    uint32_t pooled_count; /* receive buffers that are out */
    size_t buf_bytes;      /* in bufs that are out */
    size_t buf_bytes_max;
};
struct block {
    uint8_t *at;
    uint32_t cap, refs;
    struct buf *buf; /* NULL: a pooled receive buffer */
    struct blocks *owner;
    struct list link;
};

/* `buf_bytes_max`: how much of the shard's pool received frames may take. A part of it is kept for whole frames, so that those who
 * announce much and send little do not keep small requests from being served. */
void blocks_init(struct blocks *bs, struct shard *s, size_t buf_bytes_max);
/* Frees what is kept for reuse; all blocks are back. */
void blocks_deinit(struct blocks *bs);
/* Takes over what io_recv_pooled delivered. NULL: no memory, the buffer went back. */
struct block *block_of_pooled(struct blocks *bs, uint8_t *at, uint32_t bytes) must_use;
enum block_use {
    BLOCK_OF_PART,  /* of a frame whose rest has not come */
    BLOCK_OF_WHOLE, /* which is a request at once */
};
/* At least `bytes` of the pool; NULL when there is none. */
struct block *block_get(struct blocks *bs, uint32_t bytes, enum block_use use) must_use;
/* What a frame can have at most that is not whole when it begins. */
static inline size_t blocks_part_bytes_max(const struct blocks *bs)
{
    return bs->buf_bytes_max - bs->buf_bytes_max / FRAMES_RESERVE_PART;
}
struct block *block_ref(struct block *b);
void block_put(struct block *b);
static inline bool block_pooled(const struct block *b)
{
    return !b->buf;
}
