/* Accepting connections: a few accepts in flight per listening socket. When descriptors are out, it waits and tries again. */
#include "core/clock.h"
#include "core/log.h"
#include "net/conn/conn.h"
#include <errno.h>

static void accept_done(struct io_op *op, int32_t res);

static void start_accept(struct acceptor *a, struct io_op *op)
{
    a->pending++;
    io_accept(a->server->shard->io, op, &a->file, accept_done);
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
    struct server *sv = a->server;
    timer_stop(&sv->shard->timers, &a->retry);
    io_close(sv->shard->io, &a->file);
    list_remove(&a->link);
    heap_free(sv->shard->heap, a);
    shard_defer(sv->shard, &sv->stop_check);
}

static struct acceptor *acceptor_of(struct io_op *op)
{
    return container_of(op->file, struct acceptor, file);
}

static void accept_failed(struct acceptor *a, struct io_op *op, int32_t res)
{
    struct shard *s = a->server->shard;
    a->idle[op - a->ops] = true;
    if (res == -ECONNABORTED || res == -EINTR || res == -EAGAIN) {
        start_idle_accepts(a);
        return;
    }
    if (server_notice(a->server))
        log_warn("cannot accept", "because %s; trying again", err_text(err_from_errno(-res)));
    if (!timer_started(&a->retry))
        timer_start(&s->timers, &a->retry, s->now_ns + ACCEPT_RETRY_MS * NS_PER_MS);
}

static void accept_done(struct io_op *op, int32_t res)
{
    struct acceptor *a = acceptor_of(op);
    assert(a->pending > 0);
    a->pending--;
    if (res >= 0)
        conn_open(a->server, res, a->listener); /* which refuses while stopping */
    if (a->closing) {
        if (a->pending == 0)
            free_acceptor(a);
    } else if (res >= 0) {
        start_accept(a, op);
    } else {
        accept_failed(a, op, res);
    }
}

enum err server_listen(struct server *sv, int fd, const struct listener *listener)
{
    struct acceptor *a = heap_zalloc(sv->shard->heap, sizeof *a);
    if (!a)
        return ERR_NO_MEMORY;
    a->server = sv;
    a->listener = listener;
    list_init(&a->link);
    timer_init(&a->retry, accept_retry_due);
    io_file_init(&a->file, fd);
    io_file_attach(sv->shard->io, &a->file);
    list_push(&sv->acceptors, &a->link);
    for (uint32_t i = 0; i < ACCEPTS_AHEAD; i++)
        a->idle[i] = true;
    start_idle_accepts(a);
    return ERR_NONE;
}

void acceptors_stop(struct server *sv)
{
    struct list *node, *next;
    for (node = sv->acceptors.next; node != &sv->acceptors; node = next) {
        struct acceptor *a = container_of(node, struct acceptor, link);
        next = node->next;
        a->closing = true;
        io_shutdown(&a->file);
        if (a->pending == 0)
            free_acceptor(a);
    }
}
