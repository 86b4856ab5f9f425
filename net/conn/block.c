/* Received bytes, counted by those who still read them. */
#include "net/conn/block.h"

void blocks_init(struct blocks *bs, struct shard *s, size_t buf_bytes_max)
{
    *bs = (struct blocks){.shard = s, .buf_bytes_max = buf_bytes_max};
    list_init(&bs->free);
}

void blocks_deinit(struct blocks *bs)
{
    struct list *node;
    while ((node = list_pop(&bs->free)))
        heap_free(bs->shard->heap, container_of(node, struct block, link));
    bs->free_count = 0;
}

static struct block *take_block(struct blocks *bs)
{
    struct list *node = list_pop(&bs->free);
    struct block *b = node ? container_of(node, struct block, link) : heap_alloc(bs->shard->heap, sizeof *b);
    if (node)
        bs->free_count--;
    if (b) {
        *b = (struct block){.refs = 1, .owner = bs};
        list_init(&b->link);
    }
    return b;
}

static void keep_block(struct block *b)
{
    struct blocks *bs = b->owner;
    if (bs->free_count >= BLOCKS_FREE_MAX) {
        heap_free(bs->shard->heap, b);
        return;
    }
    bs->free_count++;
    list_push_front(&bs->free, &b->link);
}

struct block *block_of_pooled(struct blocks *bs, uint8_t *at, uint32_t bytes)
{
    assert(at);
    struct block *b = take_block(bs);
    if (!b) {
        io_recv_put(bs->shard->io, at);
        return NULL;
    }
    b->at = at;
    b->cap = bytes;
    bs->pooled_count++;
    return b;
}

static struct buf *take_buf(struct blocks *bs, uint32_t bytes, enum block_use use)
{
    size_t max = use == BLOCK_OF_WHOLE ? bs->buf_bytes_max : blocks_part_bytes_max(bs);
    struct buf *buf = bs->buf_bytes + bytes <= max ? bufpool_get(bs->shard->bufs, BUF_RECEIVE, bytes) : NULL;
    if (!buf && use == BLOCK_OF_WHOLE && bytes <= FRAME_FIRST_BYTES)
        buf = bufpool_get(bs->shard->bufs, BUF_RESERVE, bytes);
    return buf;
}

struct block *block_get(struct blocks *bs, uint32_t bytes, enum block_use use)
{
    struct buf *buf = take_buf(bs, bytes, use);
    if (!buf)
        return NULL;
    struct block *b = take_block(bs);
    if (!b) {
        buf_put(buf);
        return NULL;
    }
    b->buf = buf;
    b->at = buf->at;
    b->cap = buf->size;
    bs->buf_bytes += buf->size;
    return b;
}

struct block *block_ref(struct block *b)
{
    assert(b->refs > 0);
    b->refs++;
    return b;
}

void block_put(struct block *b)
{
    struct blocks *bs = b->owner;
    assert(b->refs > 0);
    if (--b->refs)
        return;
    if (b->buf) {
        assert(bs->buf_bytes >= b->cap);
        bs->buf_bytes -= b->cap;
        buf_put(b->buf);
    } else {
        assert(bs->pooled_count > 0);
        bs->pooled_count--;
        io_recv_put(bs->shard->io, b->at);
    }
    keep_block(b);
}
