/* The engine on epoll, for where io_uring is denied. Sockets are watched edge-triggered, from their first op on, for both
 * directions; the engine remembers per descriptor whether a direction may be ready, so that an op on one that is not costs
 * no system call. Disk ops and jobs go to the helper threads (core/io_disk.c).
 *
 * A socket op:   start -> [tries] -> done            while its direction may be ready
 *                         [tries] -> parked          EAGAIN: held by its epoll_fd, until an edge moves it to `tries` again
 *                         [tries] -> [starved]       RECV_POOLED without a free buffer, until one is put back or the
 *                                                    socket is dead */
#include "core/io_engine.h"
#include "core/io_disk.h"
#include "core/clock.h"
#include "core/limits.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS_MAX = 256, FDS_FIRST = 256, PENDING = INT32_MIN };

struct epoll_fd {
    struct io_op *in, *out; /* what is pending, whichever list it is in */
    bool watched, in_ready, out_ready;
    bool ended; /* the peer has finished or the socket is dead: no further edge will come, so it stays ready */
    bool dead;  /* no byte will come either */
};
struct epoll {
    struct io io;
    int fd;
    bool no_pwait2; /* the kernel (before 5.11) or a sandbox has only epoll_wait */
    struct epoll_fd *fds;
    uint32_t fd_cap;
    struct list tries, starved;
    struct epoll_event events[EVENTS_MAX];
};

static struct epoll *epoll_of(struct io *io)
{
    return container_of(io, struct epoll, io);
}

/* --- descriptors --- */

static bool grow_fds(struct epoll *e, uint32_t fd)
{
    assert(fd >= e->fd_cap);
    uint32_t cap = e->fd_cap ? e->fd_cap : FDS_FIRST;
    while (cap <= fd)
        cap *= 2;
    struct epoll_fd *fds = heap_realloc(e->io.heap, e->fds, cap * sizeof *fds);
    if (!fds)
        return false;
    memset(fds + e->fd_cap, 0, (cap - e->fd_cap) * sizeof *fds);
    e->fds = fds;
    e->fd_cap = cap;
    return true;
}

static int watch_socket(struct epoll *e, const struct io_op *op)
{
    assert((uint32_t)op->file->fd < e->fd_cap);
    assert(!e->fds[op->file->fd].watched);
    int fd = op->file->fd;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.fd = fd};
    if (epoll_ctl(e->fd, EPOLL_CTL_ADD, fd, &event) != 0)
        return -errno;
    if (op->kind == IO_ACCEPT && fcntl(fd, F_SETFL, O_NONBLOCK) != 0) /* accept has no MSG_DONTWAIT */
        return -errno;
    /* A socket that is readable now is reported as an edge. For writing we try first. */
    e->fds[fd] = (struct epoll_fd){.watched = true, .out_ready = true};
    return 0;
}

static void detach_socket(struct io *io, struct io_file *f)
{
    assert(f);
    struct epoll *e = epoll_of(io);
    if (f->fd < 0 || (uint32_t)f->fd >= e->fd_cap || !e->fds[f->fd].watched)
        return;
    assert(!e->fds[f->fd].in && !e->fds[f->fd].out);
    (void)epoll_ctl(e->fd, EPOLL_CTL_DEL, f->fd, NULL);
    e->fds[f->fd] = (struct epoll_fd){0};
}

static void attach_nothing(struct io *io, struct io_file *f)
{
    (void)io, (void)f;
}

static enum err attach_lock_nothing(struct io *io, uint32_t lock, int fd)
{
    (void)io, (void)lock, (void)fd;
    return ERR_NONE;
}

static void register_nothing(struct io *io, uint32_t slab, void *at, size_t bytes)
{
    (void)io, (void)slab, (void)at, (void)bytes;
}

static void unregister_nothing(struct io *io, uint32_t slab)
{
    (void)io, (void)slab;
}

/* --- starting --- */

static void fail_op(struct epoll *e, struct io_op *op, int32_t res)
{
    assert(res < 0);
    assert(!list_linked(&op->link));
    op->res = res;
    list_push(&e->io.finished, &op->link);
}

static void start_socket_op(struct epoll *e, struct io_op *op)
{
    assert(op->file && op->file->fd >= 0);
    uint32_t fd = (uint32_t)op->file->fd;
    if (fd >= e->fd_cap && !grow_fds(e, fd)) {
        fail_op(e, op, -ENOMEM);
        return;
    }
    struct epoll_fd *state = &e->fds[fd];
    int failed = state->watched ? 0 : watch_socket(e, op);
    if (failed) {
        fail_op(e, op, failed);
        return;
    }
    struct io_op **side = op->kind == IO_SEND ? &state->out : &state->in;
    assert(!*side);
    *side = op;
    if (op->kind == IO_SEND ? state->out_ready : state->in_ready)
        list_push(&e->tries, &op->link);
}

static void start_epoll_op(struct io *io, struct io_op *op)
{
    assert(op->done);
    assert(!list_linked(&op->link));
    if (op->kind == IO_ACCEPT || op->kind == IO_RECV || op->kind == IO_RECV_POOLED || op->kind == IO_SEND)
        start_socket_op(epoll_of(io), op);
    else
        io_base_submit(io, op);
}

/* --- trying --- */

static int32_t socket_result(ssize_t n)
{
    return n < 0 ? -errno : (int32_t)n;
}

static int32_t try_send(const struct io_op *op)
{
    assert(op->kind == IO_SEND);
    assert(op->len > 0);
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)op->iov, .msg_iovlen = op->len};
    return socket_result(sendmsg(op->file->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL));
}

static int32_t try_recv(const struct io_op *op, void *at)
{
    assert(at && op->len > 0);
    return socket_result(recv(op->file->fd, at, op->len, MSG_DONTWAIT));
}

static int32_t try_recv_pooled(struct epoll *e, struct io_op *op, const struct epoll_fd *state)
{
    assert(op->kind == IO_RECV_POOLED);
    assert(op->len == e->io.pool.bytes);
    void *at = io_pool_get(&e->io.pool);
    if (!at) {
        if (state->dead)
            return -ECONNRESET;
        list_push(&e->starved, &op->link);
        return PENDING;
    }
    int32_t res = try_recv(op, at);
    if (res <= 0)
        io_pool_put(&e->io.pool, at);
    else
        op->buf.at = at;
    return res;
}

static int32_t try_in(struct epoll *e, struct io_op *op, const struct epoll_fd *state)
{
    assert(op->kind != IO_SEND);
    if (op->kind == IO_ACCEPT)
        return socket_result(accept4(op->file->fd, NULL, NULL, SOCK_CLOEXEC));
    if (op->kind == IO_RECV)
        return try_recv(op, op->buf.at);
    return try_recv_pooled(e, op, state);
}

/* PENDING: it is parked, starved, or will be tried again. A receive that got less than it asked for has emptied the
 * socket: more bytes will raise an edge. */
static int32_t try_op(struct epoll *e, struct io_op *op)
{
    assert((uint32_t)op->file->fd < e->fd_cap);
    assert(e->fds[op->file->fd].watched);
    struct epoll_fd *state = &e->fds[op->file->fd];
    bool in = op->kind != IO_SEND;
    int32_t res = in ? try_in(e, op, state) : try_send(op);
    if (res == -EINTR)
        list_push(&e->tries, &op->link);
    else if (res == -EAGAIN)
        *(in ? &state->in_ready : &state->out_ready) = false;
    if (res == PENDING || res == -EINTR || res == -EAGAIN)
        return PENDING;
    if (in && op->kind != IO_ACCEPT && res > 0 && (uint32_t)res < op->len)
        state->in_ready = state->ended;
    *(in ? &state->in : &state->out) = NULL;
    return res;
}

/* Tries what was waiting when this began, at most `max` of it. */
static uint32_t try_ready_ops(struct epoll *e, uint32_t max)
{
    struct list now, *node;
    uint32_t ran = 0;
    uint64_t until = e->io.spent + IO_BYTES_PER_TURN / 2;
    list_init(&now);
    list_splice(&now, &e->tries);
    while (ran < max && e->io.spent < until && (node = list_pop(&now))) {
        struct io_op *op = container_of(node, struct io_op, link);
        int32_t res = try_op(e, op);
        if (res == PENDING)
            continue;
        if (res > 0 && (op->kind == IO_RECV || op->kind == IO_RECV_POOLED))
            e->io.spent += (uint32_t)res;
        op->done(op, res);
        ran++;
    }
    list_splice(&now, &e->tries); /* what is left of the old goes before the new */
    list_splice(&e->tries, &now);
    return ran;
}

static void put_recv_buffer(struct io *io, void *at)
{
    assert(at);
    struct epoll *e = epoll_of(io);
    io_pool_put(&io->pool, at);
    struct list *node = list_pop(&e->starved);
    if (node)
        list_push(&e->tries, node);
}

/* --- waiting --- */

static void retry_socket_op(struct epoll *e, struct io_op *op)
{
    assert(!op || op->done);
    if (op && !list_linked(&op->link))
        list_push(&e->tries, &op->link);
}

static void handle_socket_events(struct epoll *e, struct epoll_fd *state, uint32_t events)
{
    assert(state->watched);
    if (events & (EPOLLHUP | EPOLLERR)) {
        state->dead = true;
        if (state->in)
            list_remove(&state->in->link); /* it may be starved; it is pushed again below */
    }
    state->ended |= (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        state->in_ready = true;
        retry_socket_op(e, state->in);
    }
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
        state->out_ready = true;
        retry_socket_op(e, state->out);
    }
}

static void handle_epoll_event(struct epoll *e, const struct epoll_event *event)
{
    int fd = event->data.fd;
    if (fd == e->io.wake_fd) {
        uint64_t count;
        ssize_t n = read(fd, &count, sizeof count);
        (void)n; /* level-triggered: what is left is reported again */
        return;
    }
    assert((uint32_t)fd < e->fd_cap);
    if (e->fds[fd].watched)
        handle_socket_events(e, &e->fds[fd], event->events);
}

static int wait_epoll_ms(struct epoll *e, uint64_t wait_ns)
{
    uint64_t ms = wait_ns / NS_PER_MS + (wait_ns % NS_PER_MS != 0);
    int timeout = wait_ns == UINT64_MAX ? -1 : ms < INT32_MAX ? (int)ms : INT32_MAX;
    return epoll_wait(e->fd, e->events, EVENTS_MAX, timeout);
}

static int wait_epoll_ns(struct epoll *e, uint64_t wait_ns)
{
    assert(wait_ns > 0);
    struct timespec t = {.tv_sec = (time_t)(wait_ns / NS_PER_S), .tv_nsec = (long)(wait_ns % NS_PER_S)};
    int n = epoll_pwait2(e->fd, e->events, EVENTS_MAX, wait_ns == UINT64_MAX ? NULL : &t, NULL);
    if (n >= 0 || errno == EINTR)
        return n;
    e->no_pwait2 = true;
    return wait_epoll_ms(e, wait_ns);
}

static void wait_epoll_events(struct epoll *e, uint64_t wait_ns)
{
    int n = e->no_pwait2 || wait_ns == 0 ? wait_epoll_ms(e, wait_ns) : wait_epoll_ns(e, wait_ns);
    assert(n >= 0 || errno == EINTR);
    for (int i = 0; i < n; i++)
        handle_epoll_event(e, &e->events[i]);
}

static uint32_t run_epoll(struct io *io, uint64_t wait_ns)
{
    struct epoll *e = epoll_of(io);
    uint32_t ran = try_ready_ops(e, IO_COMPLETIONS_PER_TURN / 2);
    io_base_reap(io);
    bool due = ran > 0 || !list_empty(&e->tries) || !list_empty(&io->finished);
    if (due)
        wait_ns = 0;
    if (wait_ns > 0)
        io_base_waits(io);
    wait_epoll_events(e, wait_ns);
    io_base_tick(io, wait_ns > 0);
    io_base_reap(io);
    ran += io_base_finish(io, IO_COMPLETIONS_PER_TURN / 2);
    return ran + try_ready_ops(e, IO_COMPLETIONS_PER_TURN / 2);
}

static void wake_by_eventfd(struct io *from, struct io *to)
{
    (void)from;
    io_wake_external(to);
}

/* --- the engine --- */

static void close_epoll(struct io *io)
{
    struct epoll *e = epoll_of(io);
    assert(e->fd >= 0);
    close(e->fd);
    io_base_deinit(io);
    heap_free(io->heap, e->fds);
    heap_free(io->heap, e);
}

static const struct io_ops epoll_ops = {
    .name = "epoll",
    .close = close_epoll,
    .attach = attach_nothing,
    .detach = detach_socket,
    .lock_attach = attach_lock_nothing,
    .slab_register = register_nothing,
    .slab_unregister = unregister_nothing,
    .start = start_epoll_op,
    .recv_put = put_recv_buffer,
    .run = run_epoll,
    .wake = wake_by_eventfd,
};

static enum err open_epoll_fd(struct epoll *e)
{
    assert(e->io.wake_fd >= 0);
    list_init(&e->tries);
    list_init(&e->starved);
    e->fd = epoll_create1(EPOLL_CLOEXEC);
    if (e->fd < 0)
        return err_from_errno(errno);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = e->io.wake_fd};
    if (epoll_ctl(e->fd, EPOLL_CTL_ADD, e->io.wake_fd, &event) == 0)
        return ERR_NONE;
    enum err err = err_from_errno(errno);
    close(e->fd);
    return err;
}

enum err engine_epoll_open(struct io_options options, struct heap *heap, struct io **out_io, char *out_why)
{
    enum err err = ERR_NO_MEMORY;
    options.spin = (struct io_spin){0}; /* each look would be a system call */
    struct epoll *e = heap_zalloc(heap, sizeof *e);
    if (!e)
        goto failed;
    err = io_base_init(&e->io, &epoll_ops, heap, &options, io_disk_execute);
    if (err)
        goto free_engine;
    err = open_epoll_fd(e);
    if (err)
        goto deinit;
    *out_io = &e->io;
    return ERR_NONE;
deinit:
    io_base_deinit(&e->io);
free_engine:
    heap_free(heap, e);
failed:
    snprintf(out_why, IO_WHY_BYTES, "no epoll engine: %s", err_text(err));
    return err;
}
