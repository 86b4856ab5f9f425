/* Connections of the bare loop: receive, cut into frames, answer. See bare.h. */
#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/bare/bare.h"
#include "bench/load/proto.h"
#include "bench/load/wire.h"

/* A ring that is mapped twice in a row: what wraps at its end is contiguous in memory. */
static uint8_t *map_twice(size_t bytes)
{
    int fd = memfd_create("bare-in", MFD_CLOEXEC);
    uint8_t *at = mmap(NULL, 2 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool ok = fd >= 0 && at != MAP_FAILED && ftruncate(fd, (off_t)bytes) == 0;

    for (unsigned i = 0; i < 2 && ok; i++)
        ok = mmap(at + i * bytes, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0) !=
             MAP_FAILED;
    if (!ok) {
        perror("receive ring");
        exit(1);
    }
    close(fd);
    return at;
}

static void receive(struct bare *b, uint32_t at)
{
    struct bare_conn *c = b->conns[at];
    uint64_t room = b->in_bytes - (c->in_got - c->in_read);
    struct io_uring_sqe *sqe;

    if (c->receiving || room == 0)
        return;
    sqe = bare_sqe(b);
    io_uring_prep_recv(sqe, c->fd, c->in + c->in_got % b->in_bytes, room, 0);
    if (!c->more)
        sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
    bare_tag(sqe, OP_RECV, at);
    c->receiving = true;
}

void conn_accepted(struct bare *b, int fd)
{
    uint32_t at = 0;
    int one = 1;

    while (at < CONNS_MAX && b->conns[at])
        at++;
    if (at == CONNS_MAX) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    b->conns[at] = calloc(1, sizeof *b->conns[at]);
    assert(b->conns[at]);
    b->conns[at]->fd = fd;
    b->conn_count = at + 1 > b->conn_count ? at + 1 : b->conn_count;
    b->conns[at]->in = map_twice(b->in_bytes);
    receive(b, at);
}

/* A connection's record stays until its operations have ended and no waiting answer names it. */
static void close_if_idle(struct bare *b, uint32_t at)
{
    struct bare_conn *c = b->conns[at];

    if (c->fd >= 0 || c->sending || c->receiving || b->ack_head != b->ack_tail)
        return;
    munmap(c->in, 2 * (size_t)b->in_bytes);
    free(c);
    b->conns[at] = NULL;
}

static void hang_up(struct bare *b, uint32_t at, const char *why)
{
    if (why)
        fprintf(stderr, "connection %u: %s\n", at, why);
    shutdown(b->conns[at]->fd, SHUT_RDWR);
    close(b->conns[at]->fd);
    b->conns[at]->fd = -1;
    close_if_idle(b, at);
}

static uint32_t frame_bytes(const uint8_t *at)
{
    struct get g = {at, at + 4, false};

    return get_u32(&g);
}

static void keep_ack(struct bare *b, uint32_t conn, const uint8_t *frame, uint64_t place)
{
    struct get g = {frame + 4, frame + 8, false};

    assert(b->ack_tail - b->ack_head < ACKS_MAX);
    b->acks[b->ack_tail++ % ACKS_MAX] =
        (struct bare_ack){.conn = conn, .correlation = get_u32(&g), .place = place, .end = b->appended};
}

/* Takes every whole frame; stops when the arena or the list of answers is full. NULL, or what was wrong. */
static const char *parse(struct bare *b, uint32_t at)
{
    struct bare_conn *c = b->conns[at];

    c->starved = false;
    while (c->in_got - c->in_read >= 8) {
        const uint8_t *frame = c->in + c->in_read % b->in_bytes;
        uint32_t size = frame_bytes(frame);
        uint64_t place = b->appended;

        if (size < 4 + 61 || size > b->frame_max)
            return "bad frame size";
        if (c->in_got - c->in_read < size + 4u)
            break;
        c->starved = !disk_has_room(b, size) || b->ack_tail - b->ack_head == ACKS_MAX;
        if (c->starved)
            break;
        if (!disk_append(b, frame + 8, size - 4))
            return "bad CRC";
        keep_ack(b, at, frame, place);
        c->in_read += size + 4u;
    }
    return NULL;
}

static void send_answers(struct bare *b, uint32_t at)
{
    struct bare_conn *c = b->conns[at];
    struct io_uring_sqe *sqe;

    if (c->sending || c->out_len[c->out_at] == 0 || c->fd < 0)
        return;
    sqe = bare_sqe(b);
    io_uring_prep_send(sqe, c->fd, c->out[c->out_at], c->out_len[c->out_at], MSG_WAITALL | MSG_NOSIGNAL);
    bare_tag(sqe, OP_SEND, at);
    c->sending = true;
    c->out_at ^= 1;
}

static bool put_answer(struct bare *b, const struct bare_ack *ack)
{
    struct bare_conn *c = b->conns[ack->conn];
    struct put p = {c->out[c->out_at] + c->out_len[c->out_at], c->out[c->out_at] + OUT_BYTES};

    if (c->fd < 0)
        return true;
    if (p.end - p.at < BARE_ACK_BYTES)
        return false;
    memset(p.at, 0, BARE_ACK_BYTES);
    put_u32(&p, BARE_ACK_BYTES - 4);
    put_u32(&p, ack->correlation);
    put_u64(&p, ack->place);
    c->out_len[c->out_at] += BARE_ACK_BYTES;
    return true;
}

static void put_answers(struct bare *b)
{
    while (b->ack_head != b->ack_tail && b->acks[b->ack_head % ACKS_MAX].end <= b->written) {
        if (!put_answer(b, &b->acks[b->ack_head % ACKS_MAX]))
            return;
        b->ack_head++;
        b->acked++;
    }
}

static void go_on(struct bare *b, uint32_t at)
{
    struct bare_conn *c = b->conns[at];
    const char *why = NULL;

    if (c->fd < 0) {
        close_if_idle(b, at);
        return;
    }
    send_answers(b, at);
    if (c->starved)
        why = parse(b, at);
    if (why)
        hang_up(b, at, why);
    else
        receive(b, at);
}

void conn_answer(struct bare *b)
{
    put_answers(b);
    for (uint32_t at = 0; at < b->conn_count; at++) {
        if (b->conns[at])
            go_on(b, at);
    }
}

void conn_received(struct bare *b, uint32_t at, int result, unsigned flags)
{
    struct bare_conn *c = b->conns[at];
    const char *why = NULL;

    c->receiving = false;
    c->more = flags & IORING_CQE_F_SOCK_NONEMPTY;
    if (result > 0) {
        c->in_got += (uint64_t)result;
        why = parse(b, at);
    }
    if (b->mode == ACK_NONE)
        b->written = b->appended;
    if (result <= 0 || why)
        hang_up(b, at, why);
    else
        receive(b, at);
}

void conn_sent(struct bare *b, uint32_t at, int result)
{
    struct bare_conn *c = b->conns[at];

    c->sending = false;
    c->out_len[c->out_at ^ 1] = 0;
    if (c->fd < 0)
        close_if_idle(b, at);
    else if (result <= 0)
        hang_up(b, at, strerror(-result));
    else
        conn_answer(b);
}
