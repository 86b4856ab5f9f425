/* Reference-counted buffers of one shard, cut from slabs of one region. What a socket receives, what a partition appends,
 * what a disk read returns: all are bufs, so that a reply can point into any of them without copying.
 *
 *   region   |slab 2 MiB|slab 2 MiB|slab ...     a slab holds bufs of one class: 16 KiB, 64 KiB, 256 KiB or 2 MiB
 *
 * Slabs are faulted in and registered with the ring (io_slab_register) on first use, given back by bufpool_trim when they
 * were idle for 60 s. The pool never takes more than `max_bytes`: bufpool_get then answers NULL, which means: stop reading
 * that connection, or evict. Every buf is 4096-aligned. Buffers larger than 2 MiB (one huge batch) come from the heap as
 * "large" bufs, counted against the same budget.
 *
 * Bufs belong to one shard; another shard holds one only as a loan that a message brings back. */
#pragma once
#include "core/list.h"
#include "core/mem.h"

struct io;
struct bufpool;

enum buf_class { BUF_16K, BUF_64K, BUF_256K, BUF_2M, BUF_CLASSES, BUF_LARGE = BUF_CLASSES };

struct buf {
    uint8_t *at;
    uint32_t size; /* bytes */
    uint32_t refs;
    struct bufpool *pool;
    struct list link; /* free for the holder of the only reference; the pool's while the buf is free */
    uint8_t class;
};

/* `io` may be NULL (unit tests): then nothing is registered. */
struct bufpool *bufpool_open(struct heap *heap, struct io *io, size_t max_bytes) must_use;
/* After the engine was closed: what is still in flight may name its memory. Bufs that are out become invalid. */
void bufpool_close(struct bufpool *pool);
/* The smallest class that holds `bytes`; one reference. NULL: budget used up. */
struct buf *bufpool_get(struct bufpool *pool, size_t bytes) must_use;
size_t bufpool_used_bytes(const struct bufpool *pool); /* in bufs that are out */
size_t bufpool_max_bytes(const struct bufpool *pool);
/* Gives back slabs that had no buf out since `idle_since_ns`. */
void bufpool_trim(struct bufpool *pool, uint64_t now_ns);
struct buf *buf_ref(struct buf *b);
void buf_put(struct buf *b);
