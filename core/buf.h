/* Reference-counted buffers of one shard, cut from slabs of one region. What a socket receives, what a partition appends,
 * what a disk read returns: all are bufs, so that a reply can point into any of them without copying.
 *
 *   region   |slab 2 MiB|slab 2 MiB|slab ...     a slab holds bufs of one purpose and one class: 4 KiB (tails alone), 16 KiB,
 *                                                64 KiB, 256 KiB or 2 MiB; or it is a part of a run of slabs, which is one
 *                                                large buf
 *
 * The budget is one for all, but each purpose has a share of it that the others cannot take: a quarter is receiving's, a
 * quarter the tails', an eighth that of cold reads (one slab each at least, where there are four), the rest the purpose that comes first. So none
 * starves another. One slab is a
 * reserve of 16 KiB bufs, for small requests that find nothing left of receiving's: the caller asks for it by name, and gives
 * back soon.
 *
 * The budget is also that of what is kept on the heap: parts of it (bufpool_part) for what peers can make grow, and what says how
 * much it holds (bufpool_keep). That has a sixteenth for itself, and may have what is no purpose's share; where a pool has less than 16
 * MiB, a quarter beside it.
 *
 * Slabs are faulted in and registered with the ring (io_slab_register) on first use: the first few by a thread when the first client comes (core/prefault.h), further ones by
 * jobs that keep a few ready while load grows, so that a turn seldom touches fresh memory (2 MiB take 0.2 ms, in a young virtual machine 5 to 14). What was idle for 60 s is given back to
 * the kernel by bufpool_trim, a little at a time: no call maps, unmaps or gives back more than one slab, unless a large buf needs
 * the room. bufpool_get answers NULL when the budget is used up, which means: stop reading that connection, or evict. Every
 * buf is 4096-aligned. A large buf (more than 2 MiB: one huge batch) takes whole slabs, unregistered.
 *
 * Bufs belong to one shard; another shard holds one only as a loan that a message brings back. */
#pragma once
#include "core/list.h"
#include "core/mem.h"

struct io;
struct bufpool;

enum buf_purpose {
    BUF_RECEIVE, /* frames of requests */
    BUF_TAILS,   /* what partitions append, and keep of it */
    BUF_COLD,    /* reads of the disk for fetches */
    BUF_RESERVE, /* small requests, when BUF_RECEIVE has none; at most 16 KiB */
    BUF_PURPOSES,
};
enum buf_class { BUF_4K, BUF_16K, BUF_64K, BUF_256K, BUF_2M, BUF_CLASSES, BUF_LARGE = BUF_CLASSES };

struct buf {
    uint8_t *at;
    uint32_t size; /* bytes */
    uint32_t refs;
    struct bufpool *pool;
    struct list link; /* free for the holder of the only reference; the pool's while the buf is free */
    uint8_t class, purpose;
};

/* `io` may be NULL (unit tests): then nothing is registered. */
struct bufpool *bufpool_open(struct heap *heap, struct io *io, size_t max_bytes) must_use;
/* After the engine was closed: what is still in flight may name its memory. Bufs that are out become invalid. */
void bufpool_close(struct bufpool *pool);
/* The smallest class that holds `bytes`, 16 KiB at least; for tails 4 KiB: there may be one for each of
 * 10,000 partitions. A larger one where no slab can be had for those, and one of a larger class has room. One reference. NULL: budget
 * used up. */
struct buf *bufpool_get(struct bufpool *pool, enum buf_purpose purpose, size_t bytes) must_use;
size_t bufpool_used_bytes(const struct bufpool *pool, enum buf_purpose purpose); /* in bufs that are out */
size_t bufpool_max_bytes(const struct bufpool *pool);                            /* of all purposes */
/* Memory on the heap that counts in the budget too, whatever is left of it: what is short then is what comes next. */
void bufpool_keep(struct bufpool *pool, size_t bytes);
void bufpool_unkeep(struct bufpool *pool, size_t bytes);
size_t bufpool_kept_bytes(const struct bufpool *pool);
/* A part of the pool's heap: what it holds is kept. It refuses (NULL) beyond `max_bytes`, and where `yields` also what the budget has no
 * room for. NULL: no memory. */
struct heap *bufpool_part(struct bufpool *pool, size_t max_bytes, bool yields, struct heap_meter **out_meter) must_use;
void bufpool_part_close(struct bufpool *pool, struct heap *part, struct heap_meter *meter);
/* Somebody comes who will soon want bufs: the first slabs are made ready, once in a life, by a thread. Nothing changes but where they are faulted in. */
void bufpool_expect(struct bufpool *pool);
/* One step of giving back what was idle for 60 s. True: the next step may follow soon. */
bool bufpool_trim(struct bufpool *pool, uint64_t now_ns);
/* A job of its is under way: the shard's loop goes on until that is over. */
bool bufpool_busy(const struct bufpool *pool);
/* Asserts that the fields agree. Slow. */
void bufpool_check(const struct bufpool *pool);
struct buf *buf_ref(struct buf *b);
void buf_put(struct buf *b);
