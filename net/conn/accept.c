/* Accepting connections: a few accepts in flight per listening socket. When descriptors are out, it waits and tries again. */
#include "core/clock.h"
#include "core/log.h"
#include "net/conn/conn.h"
#include <errno.h>

static void accept_done(struct io_op *op, int32_t res);

static void start_accept(struct acceptor *a, struct io_op *op)
{
    a->pending++;
    io_accept(a->conns->shard->io, op, &a->file, accept_done);
}

static void start_idle_accepts(struct acceptor *a)
{
    for (uint32_t i = 0; i < ACCEPTS_AHEAD; i++) {
        if (!a->idle[i])
            continue;
        a->idle[i] = false;
        start_accept(a, &a->ops[i]);
    }
}

static void accept_retry_due(struct timer *t)
{
    start_idle_accepts(container_of(t, struct acceptor, retry));
}

static void free_acceptor(struct acceptor *a)
{
    struct conns *cs = a->conns;
    timer_stop(&cs->shard->timers, &a->retry);
    io_close(cs->shard->io, &a->file);
    list_remove(&a->link);
    heap_free(cs->shard->heap, a);
    shard_defer(cs->shard, cs->quiet);
}

static struct acceptor *acceptor_of(struct io_op *op)
{
    return container_of(op->file, struct acceptor, file);
}

static void accept_failed(struct acceptor *a, struct io_op *op, int32_t res)
{
    struct shard *s = a->conns->shard;
    a->idle[op - a->ops] = true;
    if (res == -ECONNABORTED || res == -EINTR || res == -EAGAIN) {
        start_idle_accepts(a);
        return;
    }
    uint64_t times;
    if (notice_once_a_minute(&a->conns->cannot_accept, s->now_ns, &times))
        log_warn("cannot accept", "because %s times=%llu; trying again", err_text(err_from_errno(-res)),
                 (unsigned long long)times);
    if (!timer_started(&a->retry))
        timer_start(&s->timers, &a->retry, s->now_ns + ACCEPT_RETRY_MS * NS_PER_MS);
}

static void accept_done(struct io_op *op, int32_t res)
{
    struct acceptor *a = acceptor_of(op);
    assert(a->pending > 0);
    a->pending--;
    if (res >= 0)
        conn_open(a->conns, res, a->listener); /* which refuses while stopping */
    if (a->closing) {
        if (a->pending == 0)
            free_acceptor(a);
    } else if (res >= 0) {
        start_accept(a, op);
    } else {
        accept_failed(a, op, res);
    }
}

enum err conns_listen(struct conns *cs, int fd, const struct listener *listener)
{
    struct acceptor *a = heap_zalloc(cs->shard->heap, sizeof *a);
    if (!a)
        return ERR_NO_MEMORY;
    a->conns = cs;
    a->listener = listener;
    list_init(&a->link);
    timer_init(&a->retry, accept_retry_due);
    io_file_init(&a->file, fd);
    io_file_attach(cs->shard->io, &a->file);
    list_push(&cs->acceptors, &a->link);
    for (uint32_t i = 0; i < ACCEPTS_AHEAD; i++)
        a->idle[i] = true;
    start_idle_accepts(a);
    return ERR_NONE;
}

void acceptors_stop(struct conns *cs)
{
    struct list *node, *next;
    for (node = cs->acceptors.next; node != &cs->acceptors; node = next) {
        struct acceptor *a = container_of(node, struct acceptor, link);
        next = node->next;
        a->closing = true;
        io_shutdown(&a->file);
        if (a->pending == 0)
            free_acceptor(a);
    }
}
