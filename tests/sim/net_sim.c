/* Connections, listeners, and how bytes travel. A connection's memory lives until the end of the seed, so an event may
 * always look at it. */
#include "tests/sim/net_sim.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    SOCKET_FD_FIRST = 100000,
    LISTENER_FD_FIRST = 90000,
    LISTENERS_MAX = 32,
    CONNS_MAX = 8192,
    ACCEPTS_MAX = 16,
    WINDOW_BYTES = 128 * 1024, /* what the kernel takes from a sender before the other side reads */
};

/* buf[head .. avail) has arrived, buf[avail .. tail) is under way. */
struct pipe {
    uint8_t *buf;
    size_t head, avail, tail, cap;
    bool moving, ended; /* ended: nothing is added any more */
};
struct net_conn {
    int fd;
    struct net_link *link; /* NULL: the client has gone */
    uint16_t port;
    struct pipe in, out; /* seen from the broker */
    struct io *io;
    struct io_op *recv, *send;
    bool accepted, open, shut, reset; /* open: the broker has it */
};
struct waiting_accept {
    struct io *io;
    struct io_op *op;
};
struct listener_sim {
    int fd; /* 0: free */
    char address[IO_NAME_MAX];
    uint16_t port;
    bool shared;
    struct waiting_accept ops[ACCEPTS_MAX];
    uint32_t op_count;
};

static struct net_conn *conns[CONNS_MAX];
static uint32_t conn_count;
static struct listener_sim listeners[LISTENERS_MAX];

void net_begin(void)
{
    conn_count = 0;
    memset(listeners, 0, sizeof listeners);
}

static uint64_t travel_ns(void)
{
    return 5000 + dice(trouble() ? sim.knobs.net_ns_max : 100000);
}

/* --- pipes --- */

static void pipe_put(struct pipe *p, const void *at, size_t bytes)
{
    if (p->head == p->tail)
        p->head = p->avail = p->tail = 0;
    if (p->tail + bytes > p->cap) {
        p->cap = (p->tail + bytes) * 2;
        p->buf = world_grow(p->buf, p->cap);
    }
    memcpy(p->buf + p->tail, at, bytes);
    p->tail += bytes;
}

static void pipe_drop(struct pipe *p)
{
    world_free(p->buf);
    p->buf = NULL;
    p->head = p->avail = p->tail = p->cap = 0;
}

static void pipe_arrive(struct pipe *p)
{
    size_t on_the_way = p->tail - p->avail;
    p->avail += dice(2) ? on_the_way : dice_between(on_the_way ? 1 : 0, on_the_way);
}

/* --- the broker receives --- */

static void finish_recv(struct net_conn *c, int32_t res)
{
    struct io_op *op = c->recv;
    c->recv = NULL;
    door_finish(c->io, op, res, sim.now_ns + dice(10000));
}

static bool in_over(const struct net_conn *c)
{
    return c->shut || c->reset || (c->in.ended && c->in.head == c->in.tail);
}

static void try_recv(struct net_conn *c)
{
    if (!c->recv)
        return;
    if (in_over(c)) {
        finish_recv(c, c->reset ? -ECONNRESET : 0);
        return;
    }
    size_t bytes = u64_min(c->in.avail - c->in.head, c->recv->len);
    if (bytes == 0)
        return;
    if (dice(4) == 0)
        bytes = dice_between(1, bytes);
    if (c->recv->kind == IO_RECV_POOLED && !(c->recv->buf.at = door_recv_get(c->io)))
        return; /* net_recv_room looks again */
    memcpy(c->recv->buf.at, c->in.buf + c->in.head, bytes);
    c->in.head += bytes;
    finish_recv(c, (int32_t)bytes);
}

void net_recv_room(struct io *io)
{
    for (uint32_t i = 0; i < conn_count; i++)
        if (conns[i]->open && conns[i]->io == io && conns[i]->recv)
            try_recv(conns[i]);
}

/* --- the broker sends --- */

static void finish_send(struct net_conn *c, int32_t res)
{
    struct io_op *op = c->send;
    c->send = NULL;
    door_finish(c->io, op, res, sim.now_ns + dice(10000));
}

static void out_moves(void *arg);

static void push_out(struct net_conn *c)
{
    if (c->out.moving || !c->link || (c->out.avail == c->out.tail && !c->out.ended))
        return;
    c->out.moving = true;
    event_in(travel_ns(), out_moves, c);
}

static size_t copy_out(struct net_conn *c, size_t most)
{
    size_t done = 0;
    for (uint32_t i = 0; i < c->send->len && done < most; i++) {
        size_t bytes = u64_min(c->send->iov[i].iov_len, most - done);
        pipe_put(&c->out, c->send->iov[i].iov_base, bytes);
        done += bytes;
    }
    return done;
}

static void try_send(struct net_conn *c)
{
    if (!c->send)
        return;
    if (c->shut || c->reset || !c->link) {
        finish_send(c, -EPIPE);
        return;
    }
    size_t unread = c->out.tail - c->out.head;
    if (unread >= WINDOW_BYTES)
        return;
    size_t most = WINDOW_BYTES - unread;
    if (dice(4) == 0)
        most = dice_between(1, most);
    finish_send(c, (int32_t)copy_out(c, most));
    push_out(c);
}

/* --- bytes on their way --- */

static void in_moves(void *arg);

static void push_in(struct net_conn *c)
{
    if (c->in.moving || !c->open || (c->in.avail == c->in.tail && !c->in.ended))
        return;
    c->in.moving = true;
    event_in(travel_ns(), in_moves, c);
}

static void tell_closed(struct net_conn *c)
{
    struct net_link *l = c->link;
    c->link = NULL;
    pipe_drop(&c->out);
    if (!l)
        return;
    l->conn = NULL;
    l->closed(l);
}

/* Both sides lose it, and what was under way. */
static void cut(struct net_conn *c)
{
    sim.totals.conn_cuts++;
    world_note("cut: connection %d", c->fd);
    c->reset = true;
    if (c->open) {
        try_recv(c);
        try_send(c);
    }
    tell_closed(c);
}

static bool breaks(void)
{
    return trouble() && chance(sim.knobs.cut_rate);
}

static void in_moves(void *arg)
{
    struct net_conn *c = arg;
    c->in.moving = false;
    if (!c->open || c->reset)
        return;
    pipe_arrive(&c->in);
    if (c->link && breaks()) {
        cut(c);
        return;
    }
    try_recv(c);
    if (c->in.avail < c->in.tail)
        push_in(c);
}

static void out_moves(void *arg)
{
    struct net_conn *c = arg;
    struct pipe *p = &c->out;
    p->moving = false;
    if (!c->link || c->reset)
        return;
    pipe_arrive(p);
    if (breaks()) {
        cut(c);
        return;
    }
    size_t from = p->head, bytes = p->avail - p->head;
    p->head = p->avail;
    if (bytes) {
        world_mix_bytes(p->buf + from, bytes);
        uint8_t *copy = memcpy(world_alloc(bytes), p->buf + from, bytes); /* the client may send or close meanwhile */
        c->link->arrived(c->link, copy, bytes);
        world_free(copy);
    }
    if (c->link && p->ended && p->head == p->tail)
        tell_closed(c);
    else
        push_out(c);
    if (c->open)
        try_send(c);
}

/* --- listening --- */

enum err io_listen(const char *address, uint16_t port, bool shared, const char *congestion, int *out_fd,
                   uint16_t *out_port)
{
    (void)congestion;
    struct listener_sim *free_one = NULL;
    world_door();
    for (int i = LISTENERS_MAX - 1; i >= 0; i--) {
        struct listener_sim *l = &listeners[i];
        if (!l->fd)
            free_one = l;
        else if (l->port == port && strcmp(l->address, address) == 0 && !(l->shared && shared))
            return ERR_BUSY;
    }
    assert(free_one);
    *free_one =
        (struct listener_sim){.fd = LISTENER_FD_FIRST + (int)(free_one - listeners), .port = port, .shared = shared};
    snprintf(free_one->address, sizeof free_one->address, "%s", address);
    *out_fd = free_one->fd;
    *out_port = port;
    return ERR_NONE;
}

static struct listener_sim *listener_at(int fd)
{
    return fd >= LISTENER_FD_FIRST && fd < LISTENER_FD_FIRST + LISTENERS_MAX ? &listeners[fd - LISTENER_FD_FIRST]
                                                                             : NULL;
}

static struct net_conn *conn_at(int fd)
{
    assert(fd >= SOCKET_FD_FIRST && (uint32_t)(fd - SOCKET_FD_FIRST) < conn_count);
    return conns[fd - SOCKET_FD_FIRST];
}

static struct listener_sim *choose_listener(uint16_t port)
{
    struct listener_sim *chosen = NULL;
    uint32_t seen = 0;
    for (uint32_t i = 0; i < LISTENERS_MAX; i++)
        if (listeners[i].fd && listeners[i].port == port && dice(++seen) == 0)
            chosen = &listeners[i];
    return chosen;
}

/* The handshake is over: an accept gets it; the listener's queue is where its connection looks again. */
static void arrives(void *arg)
{
    struct net_conn *c = arg;
    if (c->reset || c->accepted)
        return;
    struct listener_sim *l = choose_listener(c->port);
    if (!l) {
        tell_closed(c);
        return;
    }
    if (l->op_count == 0) {
        event_in(travel_ns(), arrives, c);
        return;
    }
    struct waiting_accept w = l->ops[0];
    memmove(l->ops, l->ops + 1, --l->op_count * sizeof l->ops[0]);
    if (world_refuses_file()) {
        door_finish(w.io, w.op, -EMFILE, sim.now_ns + dice(10000));
        event_in(travel_ns(), arrives, c);
        return;
    }
    c->accepted = c->open = true;
    c->io = w.io;
    door_finish(w.io, w.op, c->fd, sim.now_ns + dice(10000));
    push_in(c);
}

bool net_connect(struct net_link *l, uint16_t port)
{
    assert(!l->conn);
    if (!choose_listener(port))
        return false;
    world_check(conn_count < CONNS_MAX, "too many connections for one seed");
    struct net_conn *c = world_alloc(sizeof *c);
    c->fd = SOCKET_FD_FIRST + (int)conn_count;
    c->link = l;
    c->port = port;
    l->conn = c;
    conns[conn_count++] = c;
    event_in(travel_ns(), arrives, c);
    return true;
}

void net_send(struct net_link *l, const void *at, size_t bytes)
{
    struct net_conn *c = l->conn;
    assert(c);
    if (c->reset || c->shut)
        return;
    pipe_put(&c->in, at, bytes);
    push_in(c);
}

void net_close(struct net_link *l)
{
    struct net_conn *c = l->conn;
    l->conn = NULL;
    c->link = NULL;
    c->in.ended = true;
    pipe_drop(&c->out);
    push_in(c);
}

/* --- the broker's calls --- */

bool net_is_socket(int fd)
{
    return fd >= LISTENER_FD_FIRST;
}

static void start_accept(struct io *io, struct io_op *op)
{
    struct listener_sim *l = listener_at(op->file->fd);
    assert(l && l->fd && l->op_count < ACCEPTS_MAX);
    l->ops[l->op_count++] = (struct waiting_accept){io, op};
}

void net_start(struct io *io, struct io_op *op)
{
    world_door();
    if (op->kind == IO_ACCEPT) {
        start_accept(io, op);
        return;
    }
    struct net_conn *c = conn_at(op->file->fd);
    assert(c->open && c->io == io);
    if (op->kind == IO_SEND) {
        assert(!c->send);
        c->send = op;
        try_send(c);
    } else {
        assert(!c->recv);
        c->recv = op;
        try_recv(c);
    }
}

static void close_listener(struct listener_sim *l)
{
    for (uint32_t i = 0; i < l->op_count; i++)
        door_finish(l->ops[i].io, l->ops[i].op, -ECANCELED, sim.now_ns + dice(10000));
    l->op_count = 0;
}

void io_shutdown(struct io_file *f)
{
    assert(f->fd >= 0);
    struct listener_sim *l = listener_at(f->fd);
    if (l) {
        close_listener(l);
        return;
    }
    struct net_conn *c = conn_at(f->fd);
    c->shut = c->out.ended = true;
    try_recv(c);
    try_send(c);
    push_out(c);
}

void net_broker_close(int fd)
{
    struct listener_sim *l = listener_at(fd);
    if (l) {
        assert(l->op_count == 0);
        l->fd = 0;
        return;
    }
    struct net_conn *c = conn_at(fd);
    world_check(!c->recv && !c->send, "a socket was closed with an operation pending");
    c->open = false;
    c->shut = c->out.ended = true;
    pipe_drop(&c->in);
    push_out(c);
}

enum err io_socket_names(int fd, struct io_names *out_names)
{
    struct net_conn *c = conn_at(fd);
    if (c->reset || !c->link)
        return ERR_CLOSED;
    *out_names = (struct io_names){.local = "127.0.0.1", .peer = "127.0.0.1", .local_port = c->port};
    out_names->peer_port = (uint16_t)(fd % 60000);
    return ERR_NONE;
}

bool io_is_address(const char *text)
{
    return strcmp(text, "127.0.0.1") == 0;
}

uint32_t io_resolve(const char *host, char (*out_addresses)[IO_NAME_MAX], uint32_t max)
{
    (void)host;
    if (max)
        snprintf(out_addresses[0], IO_NAME_MAX, "127.0.0.1");
    return max ? 1 : 0;
}

static void process_gone(struct net_conn *c)
{
    c->recv = c->send = NULL;
    c->open = false;
    c->shut = true;
    pipe_drop(&c->in);
    if (!c->link)
        return;
    c->out.tail -= dice(c->out.tail - c->out.avail + 1); /* the rest is lost */
    c->out.ended = true;
    push_out(c);
}

void net_broker_died(void)
{
    memset(listeners, 0, sizeof listeners);
    for (uint32_t i = 0; i < conn_count; i++)
        if (!conns[i]->shut || conns[i]->open)
            process_gone(conns[i]);
}
