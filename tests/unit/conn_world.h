/* Connections in a world of their own, for test_conn and test_request: one peer, whose bytes are received in random slices and to whom
 * replies are sent in random pieces; requests that are answered in random order; jobs that run when the test says so. */
#pragma once
#include "core/bytes.h"
#include "net/server.h"
#include "core/log.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { HEADER_BYTES = 10, STREAM_MAX = 8 * 1024 * 1024, PENDING_MAX = 4096, POOLED_BYTES = 4096, CONN_FD = 3 };

/* --- the world --- */

struct world {
    struct shard shard;
    struct root root;
    struct store store;
    struct broker_config config;
    struct listener listener;
    struct rng rng;
    /* what the peer sends, and what it got */
    uint8_t *in, *out;
    size_t in_bytes, in_at, out_bytes;
    bool gone, in_one_piece;
    /* operations of the one connection */
    struct io_op *recv, *send, *accept;
    bool recv_pooled;
    int pooled_out, closes;
    uint8_t pooled[IO_RECV_COUNT][POOLED_BYTES];
    bool pooled_taken[IO_RECV_COUNT];
    /* requests that run */
    struct request *running[CONN_REQUESTS_MAX + 1];
    uint32_t running_count, started, most, cancelled;
    bool overlapped_wrongly, any_body;
    /* the job that waits, and the request whose body one has decoded */
    struct io_op *job;
    int32_t (*job_run)(void *arg);
    void *job_arg;
    struct request *decoded;
};
static struct world w;

static void later(struct io_op *op, struct io_file *f, io_done_fn *done)
{
    op->file = f;
    op->done = done;
}

void io_recv(struct io *io, struct io_op *op, struct io_file *f, void *at, uint32_t bytes, io_done_fn *done)
{
    (void)io;
    assert_null(w.recv);
    assert_in_range(bytes, 1, RECEIVE_BYTES_MAX);
    later(op, f, done);
    op->buf.at = at;
    op->len = bytes;
    w.recv = op;
    w.recv_pooled = false;
}

void io_recv_pooled(struct io *io, struct io_op *op, struct io_file *f, io_done_fn *done)
{
    (void)io;
    assert_null(w.recv);
    later(op, f, done);
    w.recv = op;
    w.recv_pooled = true;
}

void io_recv_put(struct io *io, void *at)
{
    (void)io;
    size_t i = (size_t)((uint8_t *)at - w.pooled[0]) / POOLED_BYTES;
    assert_true(w.pooled_taken[i]);
    memset(w.pooled[i], 0xdd, POOLED_BYTES); /* a reader that is left will see */
    w.pooled_taken[i] = false;
    w.pooled_out--;
}

void io_send(struct io *io, struct io_op *op, struct io_file *f, const struct iovec *iov, uint32_t count,
             io_done_fn *done)
{
    (void)io;
    assert_null(w.send);
    assert_true(count > 0 && count <= CONN_IOV);
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += iov[i].iov_len;
    assert_in_range(bytes, 1, SEND_BYTES_MAX);
    later(op, f, done);
    op->iov = iov;
    op->len = count;
    w.send = op;
}

void io_spend(struct io *io, size_t bytes)
{
    (void)io, (void)bytes;
}

void io_shutdown(struct io_file *f)
{
    (void)f;
    w.gone = true;
}

void io_close(struct io *io, struct io_file *f)
{
    (void)io;
    assert_true(f->fd != CONN_FD || !w.recv);
    assert_true(f->fd != CONN_FD || !w.send);
    w.closes++;
}

void io_file_init(struct io_file *f, int fd)
{
    *f = (struct io_file){.fd = fd, .slot = -1};
}

void io_file_attach(struct io *io, struct io_file *f)
{
    (void)io;
    (void)f;
}

void io_job(struct io *io, struct io_op *op, enum io_class class, int32_t (*run)(void *arg), void *arg,
            io_done_fn *done)
{
    (void)io;
    assert_null(w.job);
    assert_int_equal(class, IO_URGENT);
    op->done = done;
    w.job = op;
    w.job_run = run;
    w.job_arg = arg;
}

void io_accept(struct io *io, struct io_op *op, struct io_file *listener, io_done_fn *done)
{
    (void)io;
    later(op, listener, done);
    w.accept = op;
}

enum err io_socket_names(int fd, struct io_names *out)
{
    (void)fd;
    *out = (struct io_names){.local = "127.0.0.1", .peer = "127.0.0.1", .local_port = 9092, .peer_port = 5};
    return ERR_NONE;
}

void io_slab_register(struct io *io, uint32_t slab, void *at, size_t bytes)
{
    (void)io, (void)slab, (void)at, (void)bytes;
}

void io_slab_unregister(struct io *io, uint32_t slab)
{
    (void)io, (void)slab;
}

struct shard *shard_at(struct shard_group *g, uint16_t id)
{
    (void)g;
    assert_int_equal(id, 0);
    return &w.shard;
}

void shard_defer_init(struct shard_defer *d, void (*run)(struct shard_defer *d))
{
    d->run = run;
    list_init(&d->link);
}

void shard_defer(struct shard *s, struct shard_defer *d)
{
    if (!list_linked(&d->link))
        list_push(&s->deferred, &d->link);
}

void shard_defer_last(struct shard *s, struct shard_defer *d)
{
    shard_defer(s, d);
}

void shard_send(struct shard *from, uint16_t to, struct shard_msg *msg)
{
    (void)from, (void)msg;
    fail_msg("a message to shard %u, but there is only this one", to);
}

void log_event(enum log_level level, const char *event, const char *fmt, ...)
{
    (void)level, (void)event, (void)fmt;
}

/* --- handlers --- */

static uint8_t pattern(int32_t correlation, int32_t i)
{
    return (uint8_t)(correlation * 31 + i * 7);
}

static void check_body(const struct request *req)
{
    for (int32_t i = 0; i < req->body.n && !w.any_body; i++)
        assert_int_equal(req->body.at[i], pattern(req->header.correlation_id, i));
}

static void cancel(struct request *req)
{
    (void)req;
    w.cancelled++;
}

static void begin(struct request *req)
{
    bool overlaps = req->api->key == KAPI_produce;
    for (uint32_t i = 0; i < w.running_count; i++)
        if (!overlaps || w.running[i]->api->key != KAPI_produce)
            w.overlapped_wrongly = true;
    assert_int_equal(req->header.correlation_id, w.started++);
    assert_true(w.running_count < COUNT_OF(w.running));
    check_body(req);
    req->cancel = cancel;
    w.running[w.running_count++] = req;
    if (w.running_count > w.most)
        w.most = w.running_count;
}

struct topic *catalog_by_id(const struct catalog *c, const uint8_t id[16])
{
    (void)c;
    (void)id;
    return NULL;
}

struct topic *catalog_by_name(const struct catalog *c, const uint8_t *name, size_t bytes)
{
    (void)c;
    (void)name;
    (void)bytes;
    return NULL;
}

static bool overlaps(int16_t key)
{
    return key == KAPI_produce;
}

static void dispatch(struct request *req, struct kview frame)
{
    enum kopen opened = kmsg_open(frame, &req->arena, &req->header, &req->api, &req->body);
    req->version = req->header.request_api_version;
    if (opened == KOPEN_OK && (req->api->key == KAPI_produce || req->api->key == KAPI_metadata))
        begin(req);
    else
        request_refuse(req, "of what it is");
}
static void decoded(struct request *req)
{
    assert_null(w.decoded);
    w.decoded = req;
}
static const struct dispatcher dispatcher = {.overlaps = overlaps, .dispatch = dispatch, .decoded = decoded};

static void finish_one(void)
{
    uint32_t i = (uint32_t)rng_below(&w.rng, w.running_count);
    struct request *req = w.running[i];
    w.running[i] = w.running[--w.running_count];
    check_body(req); /* its bytes are still there */
    if (req->api->key == KAPI_produce) {
        struct produce_response r;
        produce_response_init(&r);
        REQUEST_REPLY(req, produce_response, &r);
    } else {
        struct metadata_response r;
        metadata_response_init(&r);
        REQUEST_REPLY(req, metadata_response, &r);
    }
}

/* --- turns --- */

static void receive_some(void)
{
    struct io_op *op = w.recv;
    size_t left = w.in_bytes - w.in_at;
    if (!op || (left == 0 && !w.gone))
        return;
    int32_t res = 0;
    if (!w.gone) {
        size_t room = w.recv_pooled ? POOLED_BYTES : op->len;
        size_t n = left < room ? left : room;
        if (!w.in_one_piece)
            n = 1 + rng_below(&w.rng, n);
        uint32_t slot = 0;
        while (w.recv_pooled && slot < IO_RECV_COUNT && w.pooled_taken[slot])
            slot++;
        if (slot == IO_RECV_COUNT)
            return; /* the pool is empty: the operation waits */
        if (w.recv_pooled) {
            w.pooled_taken[slot] = true;
            w.pooled_out++;
            op->buf.at = w.pooled[slot];
        }
        memcpy(op->buf.at, w.in + w.in_at, n);
        w.in_at += n;
        res = (int32_t)n;
    }
    w.recv = NULL;
    op->done(op, res);
}

static void send_some(void)
{
    struct io_op *op = w.send;
    if (!op)
        return;
    int32_t res = -EPIPE;
    if (!w.gone) {
        size_t all = 0;
        for (uint32_t i = 0; i < op->len; i++)
            all += op->iov[i].iov_len;
        size_t n = 1 + rng_below(&w.rng, all), left = n;
        for (uint32_t i = 0; left > 0; i++) {
            size_t k = op->iov[i].iov_len < left ? op->iov[i].iov_len : left;
            memcpy(w.out + w.out_bytes, op->iov[i].iov_base, k);
            w.out_bytes += k;
            left -= k;
        }
        res = (int32_t)n;
    }
    w.send = NULL;
    op->done(op, res);
}

static void turn_end(void)
{
    struct list now, *node;
    list_init(&now);
    list_splice(&now, &w.shard.deferred);
    while ((node = list_pop(&now))) {
        struct shard_defer *d = container_of(node, struct shard_defer, link);
        d->run(d);
    }
    w.shard.now_ns += 1000000;
    timers_fire(&w.shard.timers, w.shard.now_ns, 100);
}

static void turn(uint32_t finish_percent)
{
    if (rng_below(&w.rng, 100) < 70)
        receive_some();
    if (rng_below(&w.rng, 100) < 50)
        send_some();
    while (w.running_count > 0 && rng_below(&w.rng, 100) < finish_percent)
        finish_one();
    turn_end();
}

/* --- the peer --- */

static void put_request(int16_t key, int32_t correlation, uint32_t body_bytes)
{
    uint8_t *at = w.in + w.in_bytes;
    assert_true(w.in_bytes + 4 + HEADER_BYTES + body_bytes <= STREAM_MAX);
    be32_put(at, HEADER_BYTES + body_bytes);
    be16_put(at + 4, (uint16_t)key);
    be16_put(at + 6, 3);
    be32_put(at + 8, (uint32_t)correlation);
    be16_put(at + 12, 0xffff); /* no client id */
    for (uint32_t i = 0; i < body_bytes; i++)
        at[14 + i] = pattern(correlation, (int32_t)i);
    w.in_bytes += 4 + HEADER_BYTES + body_bytes;
}

/* The correlation ids that came back, in order from 0; returns how many. */
static int32_t check_replies(void)
{
    size_t at = 0;
    int32_t count = 0;
    while (at < w.out_bytes) {
        assert_true(w.out_bytes - at >= 8);
        assert_int_equal(be32_get(w.out + at + 4), count++);
        at += 4 + be32_get(w.out + at);
    }
    assert_int_equal(at, w.out_bytes);
    return count;
}

static int setup(void **state)
{
    (void)state;
    memset(&w, 0, sizeof w);
    w.shard = (struct shard){.count = 1, .heap = heap_open(), .now_ns = 1};
    list_init(&w.shard.deferred);
    timers_init(&w.shard.timers);
    w.shard.bufs = bufpool_open(w.shard.heap, NULL, 64 << 20);
    w.root.config = &w.config;
    w.store.config = &w.config;
    w.shard.store = &w.store;
    w.config.socket_request_max_bytes = 1 << 20;
    w.config.max_connections = w.config.max_connections_per_ip = 10;
    w.config.connections_max_idle_ms = 600000;
    w.in = heap_alloc(w.shard.heap, STREAM_MAX);
    w.out = heap_alloc(w.shard.heap, STREAM_MAX);
    assert_int_equal(server_start(&w.shard, &w.root, NULL, &dispatcher), ERR_NONE);
    conn_open(&server_of(&w.shard)->conns, CONN_FD, &w.listener);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    server_close(server_of(&w.shard));
    bufpool_close(w.shard.bufs);
    heap_close(w.shard.heap);
    return 0;
}

static void everything_is_back(void)
{
    const struct server *sv = server_of(&w.shard);
    for (int i = 0; i < 100 && sv->conns.count > 0; i++)
        turn(100);
    assert_int_equal(sv->conns.count, 0);
    assert_int_equal(sv->requests.count, 0);
    assert_int_equal(sv->conns.blocks.pooled_count, 0);
    assert_int_equal(sv->conns.blocks.buf_bytes, 0);
    assert_int_equal(sv->requests.bytes, 0);
    assert_int_equal(w.pooled_out, 0);
    assert_int_equal(w.closes, 1);
    assert_int_equal(bufpool_used_bytes(w.shard.bufs, BUF_RECEIVE), 0);
    assert_int_equal(bufpool_kept_bytes(w.shard.bufs),
                     sv->conns.meter->granted_bytes + sv->session_meter->granted_bytes);
}
