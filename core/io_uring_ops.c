/* Turns ops into submissions and completions into results.
 *
 * A pooled receive with a buffer ring:   RECV with buffer select -> done
 *                                        ENOBUFS -> parked -> RECV again once there is a buffer
 *                                        parked for a turn without any -> watched, with a poll for the socket's death
 *                                        -> RECV again or -ECONNRESET
 * and without (op->buf.at NULL: waiting): POLL_ADD -> a buffer from the pool, RECV -> done; no buffer: parked as above. */
#include "core/io_uring.h"
#include "core/clock.h"
#include "core/io_disk.h"
#include "core/log.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>

#define SYNC_QUIET_NS (60 * NS_PER_S)

struct io_uring_sqe *uring_sqe(struct uring *u)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
    if (likely(sqe))
        return sqe;
    (void)io_uring_submit(&u->ring); /* on failure there still is none */
    return io_uring_get_sqe(&u->ring);
}

/* --- preparing --- */

static void prep_send(struct uring *u, struct io_uring_sqe *sqe, const struct io_op *op)
{
    assert(op->len > 0);
    assert(op->iov);
    static const int flags = MSG_NOSIGNAL | MSG_WAITALL; /* the kernel goes on after a short send by itself */
    if (op->len == 1) {
        io_uring_prep_send(sqe, op->file->fd, op->iov->iov_base, op->iov->iov_len, flags);
        return;
    }
    struct msghdr *message = &u->messages[sqe - u->ring.sq.sqes];
    *message = (struct msghdr){.msg_iov = (struct iovec *)(uintptr_t)op->iov, .msg_iovlen = op->len};
    io_uring_prep_sendmsg(sqe, op->file->fd, message, (unsigned)flags);
}

static void prep_read(struct uring *u, struct io_uring_sqe *sqe, const struct io_op *op)
{
    assert(op->buf.at);
    int slab = uring_slab_of(u, op->buf.at, op->len);
    if (slab >= 0)
        io_uring_prep_read_fixed(sqe, op->file->fd, op->buf.at, op->len, op->off, slab);
    else
        io_uring_prep_read(sqe, op->file->fd, op->buf.at, op->len, op->off);
}

static void prep_write(struct uring *u, struct io_uring_sqe *sqe, const struct io_op *op)
{
    assert(op->file->fd >= 0);
    int fd = op->file->fd;
    if (op->vector && op->len > 1) {
        io_uring_prep_writev(sqe, fd, op->iov, op->len, op->off);
    } else {
        const void *at = op->vector ? op->iov->iov_base : op->buf.at;
        uint32_t bytes = op->vector ? (uint32_t)u64_min(op->iov->iov_len, INT32_MAX) : op->len;
        int slab = uring_slab_of(u, at, bytes);
        if (slab >= 0)
            io_uring_prep_write_fixed(sqe, fd, at, bytes, op->off, slab);
        else
            io_uring_prep_write(sqe, fd, at, bytes, op->off);
    }
    sqe->rw_flags = op->dsync && !PLANTED(ring_write_not_durable) ? RWF_DSYNC : 0;
}

/* By hand: liburing changed the types of io_uring_prep_fallocate between 2.3 and 2.9. */
static void prep_allocate(struct io_uring_sqe *sqe, const struct io_op *op)
{
    assert(op->bytes > 0);
    const void *bytes = (const void *)(uintptr_t)op->bytes;
    io_uring_prep_rw(IORING_OP_FALLOCATE, sqe, op->file->fd, bytes, 0, op->off);
}

static enum uring_tag prep_recv_pooled(struct uring *u, struct io_uring_sqe *sqe, const struct io_op *op)
{
    assert(op->len == u->io.pool.bytes);
    int fd = op->file->fd;
    if (u->buffers) {
        io_uring_prep_recv(sqe, fd, NULL, op->len, 0);
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->buf_group = 0;
        /* An attempt on an empty socket costs about as much as the poll that follows it. */
        sqe->ioprio = op->file->more ? 0 : (uint16_t)IORING_RECVSEND_POLL_FIRST;
        return TAG_OP;
    }
    if (op->buf.at) {
        io_uring_prep_recv(sqe, fd, op->buf.at, op->len, MSG_DONTWAIT);
        return TAG_OP;
    }
    io_uring_prep_poll_add(sqe, fd, POLLIN | POLLRDHUP);
    return TAG_READABLE;
}

static enum uring_tag prep_op(struct uring *u, struct io_uring_sqe *sqe, const struct io_op *op)
{
    assert(op->file);
    int fd = op->file->fd;
    switch ((enum io_kind)op->kind) {
    case IO_ACCEPT: io_uring_prep_accept(sqe, fd, NULL, NULL, SOCK_CLOEXEC); return TAG_OP;
    case IO_RECV: io_uring_prep_recv(sqe, fd, op->buf.at, op->len, 0); return TAG_OP;
    case IO_RECV_POOLED: return prep_recv_pooled(u, sqe, op);
    case IO_SEND: prep_send(u, sqe, op); return TAG_OP;
    case IO_READ: prep_read(u, sqe, op); return TAG_OP;
    case IO_WRITE: prep_write(u, sqe, op); return TAG_OP;
    case IO_SYNC: io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC); return TAG_OP;
    case IO_ALLOCATE: prep_allocate(sqe, op); return TAG_OP;
    case IO_JOB: break;
    }
    assert(!"a job goes to the helper");
    return TAG_OP;
}

static void use_file_slot(struct io_uring_sqe *sqe, const struct io_file *f)
{
    assert(f->fd >= 0);
    if (f->slot < 0)
        return;
    sqe->fd = f->slot;
    sqe->flags |= IOSQE_FIXED_FILE;
}

static void issue_op(struct uring *u, struct io_op *op, unsigned sqe_flags)
{
    assert(op->done);
    assert(!list_linked(&op->link));
    struct io_uring_sqe *sqe = uring_sqe(u);
    if (unlikely(!sqe)) {
        list_push(&u->backlog, &op->link);
        return;
    }
    enum uring_tag tag = prep_op(u, sqe, op);
    use_file_slot(sqe, op->file);
    sqe->flags |= (uint8_t)(sqe_flags | (op->kind == IO_WRITE && op->file->writes_wait ? IOSQE_ASYNC : 0));
    uring_tag(sqe, op, tag);
    u->plug_wanted |= op->kind == IO_WRITE && op->dsync;
    u->in_flight++;
}

/* --- durable writes: io_sync_route.h --- */

static uint64_t bytes_of_write(const struct io_op *op)
{
    assert(op->kind == IO_WRITE);
    uint64_t bytes = op->vector ? 0 : op->len;
    for (uint32_t i = 0; op->vector && i < op->len; i++)
        bytes += op->iov[i].iov_len;
    return bytes;
}

static bool is_routed(const struct uring *u, const struct io_op *op)
{
    return u->sync_thread && op->kind == IO_WRITE && op->dsync;
}

static void start_durable_write(struct uring *u, struct io_op *op)
{
    assert(is_routed(u, op));
    bool small = bytes_of_write(op) <= SYNC_BYTES_MAX;
    op->way = small ? (uint8_t)sync_route_begin(&u->sync_route, op, clock_now_ns()) : SYNC_WAYS;
    if (op->way == SYNC_THREAD)
        io_helper_submit(u->sync_thread, op);
    else
        issue_op(u, op, 0);
}

/* When it is known, and when it changed: a line a minute at most, and the last one is true but for the minute behind it. */
static void tell_sync_way(struct uring *u, uint64_t now_ns)
{
    const struct sync_route *r = &u->sync_route;
    if (likely(r->used == u->sync_told) || !sync_route_is_known(r) || now_ns < u->sync_quiet_ns)
        return;
    u->sync_told = r->used;
    u->sync_quiet_ns = now_ns + SYNC_QUIET_NS;
    log_info("small durable writes", "way=%s ring_us=%" PRIu64 " thread_us=%" PRIu64,
             r->used == SYNC_THREAD ? "thread" : "ring", r->took_ns[SYNC_RING] / 1000, r->took_ns[SYNC_THREAD] / 1000);
}

static void end_durable_write(struct uring *u, struct io_op *op)
{
    assert(is_routed(u, op));
    if (op->way >= SYNC_WAYS)
        return;
    uint64_t now_ns = clock_now_ns();
    sync_route_end(&u->sync_route, op, (enum sync_way)op->way, now_ns);
    tell_sync_way(u, now_ns);
}

void uring_reap_synced(struct uring *u)
{
    if (!u->sync_thread)
        return;
    struct list synced, *node;
    list_init(&synced);
    io_helper_reap(u->sync_thread, &synced);
    while ((node = list_pop(&synced))) {
        end_durable_write(u, container_of(node, struct io_op, link));
        list_push(&u->io.finished, node);
    }
}

void uring_start(struct io *io, struct io_op *op)
{
    assert(op->done);
    struct uring *u = uring_of(io);
    if (op->kind == IO_JOB)
        io_base_submit(io, op);
    else if (is_routed(u, op))
        start_durable_write(u, op);
    else
        issue_op(u, op, 0);
}

/* --- pooled receives --- */

static uint32_t count_recv_buffers(const struct uring *u)
{
    return u->credits + u->io.pool.free_count;
}

static void give_ring_buffer(struct uring *u, uint16_t index)
{
    assert(u->credits < u->io.pool.count);
    io_uring_buf_ring_add(u->buffers, io_pool_at(&u->io.pool, index), u->io.pool.bytes, index,
                          io_uring_buf_ring_mask(u->io.pool.count), 0);
    io_uring_buf_ring_advance(u->buffers, 1);
    u->credits++;
}

void uring_lay_buffers(struct uring *u)
{
    assert(u->buffers && u->laid_most <= u->io.pool.count);
    while (u->credits < u->laid_most && u->io.pool.free_count > 0)
        give_ring_buffer(u, io_pool_index(&u->io.pool, io_pool_get(&u->io.pool)));
}

/* So many lay in the ring, and a receive found none. */
static void lay_more_buffers(struct uring *u)
{
    u->laid_most = (uint32_t)u64_min(2 * u->laid_most, u->io.pool.count);
    u->laid_enough = 0;
    uring_lay_buffers(u);
}

static void lay_fewer_buffers(struct uring *u)
{
    if (u->laid_most > LAID_BUFFERS_MIN)
        u->laid_most /= 2;
    u->laid_enough = 0;
}

void uring_recv_put(struct io *io, void *at)
{
    assert(at);
    struct uring *u = uring_of(io);
    io_pool_put(&io->pool, at);
    if (u->buffers)
        uring_lay_buffers(u);
}

static void park_recv(struct uring *u, struct io_op *op)
{
    assert(op->kind == IO_RECV_POOLED);
    assert(!list_linked(&op->link));
    op->buf.at = NULL;
    list_push(&u->parked, &op->link);
}

/* io_shutdown must end a starved receive too: a poll for nothing still reports that the socket is dead. */
static bool watch_parked_recv(struct uring *u, struct io_op *op)
{
    assert(list_linked(&op->link));
    struct io_uring_sqe *sqe = uring_sqe(u);
    if (!sqe)
        return false;
    io_uring_prep_poll_add(sqe, op->file->fd, 0);
    use_file_slot(sqe, op->file);
    uring_tag(sqe, op, TAG_WATCHED);
    u->in_flight++;
    list_remove(&op->link);
    list_push(&u->watched, &op->link);
    return true;
}

/* The end of the poll, not this function, sends the receive out again: until then the op belongs to the poll. */
static bool unwatch_parked_recv(struct uring *u, struct io_op *op)
{
    assert(list_linked(&op->link));
    struct io_uring_sqe *sqe = uring_sqe(u);
    if (!sqe)
        return false;
    io_uring_prep_poll_remove(sqe, (uintptr_t)op | TAG_WATCHED);
    uring_tag(sqe, NULL, TAG_REMOVED);
    u->in_flight++;
    list_remove(&op->link);
    return true;
}

static struct io_op *first_op(const struct list *ops)
{
    struct list *node = list_first(ops);
    return node ? container_of(node, struct io_op, link) : NULL;
}

/* A burst takes all buffers for one turn, and then those behind it get theirs. Only when all buffers are still out a turn
 * later are the starved watched, which costs them two more submissions. */
bool uring_unpark(struct uring *u)
{
    uint32_t buffers = count_recv_buffers(u);
    struct io_op *op;
    if (buffers == 0) {
        while ((op = first_op(&u->parked)) && watch_parked_recv(u, op))
            ;
        return true;
    }
    for (; buffers > 0 && (op = first_op(&u->watched)) && unwatch_parked_recv(u, op); buffers--)
        ;
    for (; buffers > 0 && (op = first_op(&u->parked)); buffers--) {
        list_remove(&op->link);
        issue_op(u, op, 0);
    }
    return list_empty(&u->watched) && list_empty(&u->parked);
}

static uint32_t complete_watched(struct uring *u, struct io_op *op, int32_t res)
{
    assert(op->kind == IO_RECV_POOLED);
    if (!list_linked(&op->link)) { /* unwatch took it */
        issue_op(u, op, 0);
        return 0;
    }
    list_remove(&op->link);
    if (res == -ECANCELED) { /* a removal that the kernel took late, meant for an earlier poll */
        park_recv(u, op);
        return 0;
    }
    op->done(op, -ECONNRESET);
    return 1;
}

static uint32_t complete_readable(struct uring *u, struct io_op *op, int32_t res)
{
    assert(!u->buffers);
    assert(op->kind == IO_RECV_POOLED);
    if (res < 0) {
        op->done(op, res);
        return 1;
    }
    op->buf.at = io_pool_get(&u->io.pool);
    if (op->buf.at)
        issue_op(u, op, 0);
    else
        park_recv(u, op);
    return 0;
}

static void take_ring_buffer(struct uring *u, struct io_op *op, int32_t res, uint32_t flags)
{
    assert(u->buffers);
    assert(res <= 0 || flags & IORING_CQE_F_BUFFER);
    if (!(flags & IORING_CQE_F_BUFFER))
        return;
    assert(u->credits > 0);
    uint16_t index = (uint16_t)(flags >> IORING_CQE_BUFFER_SHIFT);
    u->credits--;
    if (++u->laid_enough == LAID_ENOUGH)
        lay_fewer_buffers(u);
    uring_lay_buffers(u);
    if (res > 0)
        op->buf.at = io_pool_at(&u->io.pool, index);
    else
        give_ring_buffer(u, index);
}

/* --- completing --- */

/* EAGAIN: from a socket, that somebody made it non-blocking, which io_uring takes literally; from a disk, that the kernel
 * could not go on without waiting (a direct write beside cached pages): a worker can. */
static void retry_uring_op(struct uring *u, struct io_op *op, int32_t res)
{
    assert(res == -EAGAIN || res == -EINTR);
    bool socket = op->kind <= IO_SEND;
    if (res == -EAGAIN && socket) {
        int flags = fcntl(op->file->fd, F_GETFL);
        (void)fcntl(op->file->fd, F_SETFL, flags & ~O_NONBLOCK);
        uring_detach(&u->io, op->file); /* a slot remembers the mode of its registration */
    }
    issue_op(u, op, socket ? 0 : IOSQE_ASYNC);
}

/* False: the op goes on. */
static bool finish_recv_pooled(struct uring *u, struct io_op *op, int32_t res, uint32_t flags)
{
    assert(op->kind == IO_RECV_POOLED);
    op->file->more = flags & IORING_CQE_F_SOCK_NONEMPTY;
    if (u->buffers)
        take_ring_buffer(u, op, res, flags);
    else if (res <= 0)
        io_pool_put(&u->io.pool, op->buf.at);
    if (likely(res != -ENOBUFS && res != -EAGAIN && res != -EINTR))
        return true;
    if (res == -ENOBUFS && u->buffers)
        lay_more_buffers(u);
    if (res == -EAGAIN && u->buffers)
        retry_uring_op(u, op, res);
    else
        park_recv(u, op);
    return false;
}

static bool finish_op(struct uring *u, struct io_op *op, int32_t res, uint32_t flags)
{
    assert(op->kind != IO_JOB);
    if (op->kind == IO_RECV_POOLED)
        return finish_recv_pooled(u, op, res, flags);
    if (likely(res != -EAGAIN && res != -EINTR))
        return true;
    retry_uring_op(u, op, res);
    return false;
}

static uint32_t complete_op(struct uring *u, struct io_op *op, int32_t res, uint32_t flags)
{
    assert(op->done);
    if (!finish_op(u, op, res, flags))
        return 0;
    if (is_routed(u, op))
        end_durable_write(u, op);
    op->done(op, io_disk_confirm(op, res));
    return 1;
}

uint64_t uring_received(uint64_t user_data, int32_t res)
{
    if (res <= 0 || (user_data & TAG_BITS) != TAG_OP)
        return 0;
    const struct io_op *op = (void *)(uintptr_t)(user_data & ~(uint64_t)TAG_BITS);
    return op->kind == IO_RECV || op->kind == IO_RECV_POOLED ? (uint64_t)res : 0;
}

uint32_t uring_complete(struct uring *u, uint64_t user_data, int32_t res, uint32_t flags)
{
    void *at = (void *)(uintptr_t)(user_data & ~(uint64_t)TAG_BITS);
    enum uring_tag tag = (enum uring_tag)(user_data & TAG_BITS);
    if (tag == TAG_RUNG)
        return 0;
    if (tag == TAG_WAKE_FAILED) { /* had it succeeded, there were no completion here */
        io_wake_external(at);
        return 0;
    }
    assert(u->in_flight > 0);
    u->in_flight--;
    switch (tag) {
    case TAG_OP: return complete_op(u, at, res, flags);
    case TAG_WATCHED: return complete_watched(u, at, res);
    case TAG_READABLE: return complete_readable(u, at, res);
    case TAG_WAKE_READ: u->wake_armed = false; return 0;
    case TAG_WAKE_FAILED:
    case TAG_REMOVED:
    case TAG_RUNG: break;
    }
    return 0;
}
