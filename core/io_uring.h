/* The io_uring engine's own struct, shared by its three files: io_uring.c (the loop), io_uring_ops.c (submissions and
 * completions), io_uring_setup.c (flags, probing, registered things). Inside core/io_uring* only. */
#pragma once
#include "core/io_engine.h"
#include "core/io_sync_route.h"
#include "core/limits.h"
#include <liburing.h>
#include <sys/socket.h>

/* What a completion is about: the low bits of user_data; the rest is a pointer (to the op unless said). */
enum uring_tag {
    TAG_OP,
    TAG_WATCHED,     /* a starved receive: its socket died, or its poll was removed because there is a buffer again */
    TAG_READABLE,    /* a pooled receive without buffer ring: there is something to read */
    TAG_WAKE_FAILED, /* our MSG_RING to another ring (pointer: its struct io) */
    TAG_WAKE_READ,   /* our eventfd was written */
    TAG_REMOVED,     /* the removal of a poll; its own completion says the rest */
    TAG_RUNG,        /* another ring's MSG_RING */
};
enum { TAG_BITS = 7 };
enum {
    LAID_BUFFERS_MIN = 4, /* half a megabyte: most second-level caches hold it */
    LAID_ENOUGH = 65536,  /* receives: one more turn in so many finds too few */
};

struct uring {
    struct io io;
    struct io_uring ring;
    uint32_t features; /* of enum io_feature, what is in use */

    /* Submissions. A msghdr must live until it is submitted: there is one per SQE. */
    struct msghdr *messages;
    struct list backlog; /* ops that found no SQE: the kernel refused to take some for now */
    uint32_t in_flight;  /* SQEs whose CQE will come and has not */
    bool wake_armed;
    uint64_t wake_count; /* where the read of the eventfd goes */

    /* Durable writes. */
    bool plug_wanted;              /* some are among the SQEs that go out next: io_uring.c says what for */
    struct io_helper *sync_thread; /* NULL: all go through the ring */
    struct sync_route sync_route;
    enum sync_way sync_told; /* the way that the log named last; SYNC_WAYS: none yet */
    uint64_t sync_quiet_ns;  /* no line about it before */

    /* Pooled receives. With a buffer ring, `credits` are the buffers that lie in it, as far as completions have been seen: it gives
     * them out in the order in which they came, so only as many lie there as a turn needs, the others stay in the pool, whose last
     * one is still in the cache. `laid_most` grows when a receive finds none, and shrinks after LAID_ENOUGH that did. */
    struct io_uring_buf_ring *buffers;
    uint32_t credits, laid_most, laid_enough;
    struct list parked;  /* ops that wait for a buffer */
    struct list watched; /* the same, with a poll for their socket's death; they come after those in `parked` */

    /* Registered files: the first IO_LOCKS are the locks'. `slot_fresh` have been used at some time; `slot_free` of them are stacked. */
    uint32_t slot_count, slot_fresh, slot_free;
    int32_t *slots;

    /* Registered memory: slab n is at slab_base + n * SLAB_BYTES, slab_bytes[n] long (0: not registered). */
    uint8_t *slab_base;
    uint32_t *slab_bytes;
    bool slab_refused; /* said once */
};

static inline struct uring *uring_of(const struct io *io)
{
    return (struct uring *)(uintptr_t)io; /* it is the first member */
}
static_assert(offsetof(struct uring, io) == 0, "uring_of");

/* NULL when the kernel takes none for now. */
struct io_uring_sqe *uring_sqe(struct uring *u);
static inline void uring_tag(struct io_uring_sqe *sqe, const void *at, enum uring_tag tag)
{
    assert(((uintptr_t)at & TAG_BITS) == 0);
    sqe->user_data = (uintptr_t)at | tag;
}
void uring_start(struct io *io, struct io_op *op);
/* What its thread has written goes to the finished ones. */
void uring_reap_synced(struct uring *u);
/* One completion; returns how many done callbacks it ran. */
uint32_t uring_complete(struct uring *u, uint64_t user_data, int32_t res, uint32_t flags);
/* How many bytes of a socket a completion brings. */
uint64_t uring_received(uint64_t user_data, int32_t res);
void uring_recv_put(struct io *io, void *at);
/* From the pool into the buffer ring, as many as are to lie there. */
void uring_lay_buffers(struct uring *u);
/* Gives parked receives another try as far as there are buffers. False: some are left that buffers lie ready for. */
bool uring_unpark(struct uring *u);

enum err uring_setup(struct uring *u, uint32_t features, char *out_why) must_use;
void uring_teardown(struct uring *u);
void uring_attach(struct io *io, struct io_file *f);
void uring_detach(struct io *io, struct io_file *f);
enum err uring_lock_attach(struct io *io, uint32_t lock, int fd) must_use;
void uring_slab_register(struct io *io, uint32_t slab, void *at, size_t bytes);
void uring_slab_unregister(struct io *io, uint32_t slab);
/* The registered slab that holds all of the memory, or -1. */
int uring_slab_of(const struct uring *u, const void *at, uint32_t bytes);
