/* Connections in a world of its own: received in random slices, requests answered in random order, sent in random pieces.
 * Every request arrives whole, none overtakes, replies leave in the order of the requests, all memory comes back. */
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
    struct io_op *recv, *send;
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
    assert_true(bytes > 0);
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
    memset(w.pooled[i], 0xdd, POOLED_BYTES); /* whoever still reads it will see */
    w.pooled_taken[i] = false;
    w.pooled_out--;
}

void io_send(struct io *io, struct io_op *op, struct io_file *f, const struct iovec *iov, uint32_t count,
             io_done_fn *done)
{
    (void)io;
    assert_null(w.send);
    assert_true(count > 0 && count <= CONN_IOV);
    later(op, f, done);
    op->iov = iov;
    op->len = count;
    w.send = op;
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

static uint32_t run_jobs(void)
{
    uint32_t count = 0;
    for (; w.job; count++) {
        struct io_op *op = w.job;
        int32_t res = w.job_run(w.job_arg);
        w.job = NULL;
        op->done(op, res);
    }
    return count;
}

void io_accept(struct io *io, struct io_op *op, struct io_file *listener, io_done_fn *done)
{
    (void)io;
    later(op, listener, done);
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

static uint32_t random_size(void)
{
    static const uint32_t most[] = {4, 40, 1000, 6000, 70000, 300000};
    uint32_t class = (uint32_t)rng_below(&w.rng, 100);
    return (uint32_t)rng_below(&w.rng, most[class < 40   ? 0
                                            : class < 70 ? 1
                                            : class < 85 ? 2
                                            : class < 95 ? 3
                                            : class < 99 ? 4
                                                         : 5]);
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
    assert_int_equal(server_start(&w.shard, &w.root, &dispatcher), ERR_NONE);
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

/* --- the tests --- */

static void run_stream(uint64_t seed, int32_t requests, uint32_t produce_percent, uint32_t finish_percent)
{
    w.rng.state = seed;
    for (int32_t i = 0; i < requests; i++)
        put_request(rng_below(&w.rng, 100) < produce_percent ? KAPI_produce : KAPI_metadata, i, random_size());
    for (int i = 0;
         i < 400000 && (w.in_at < w.in_bytes || w.running_count || w.send || server_of(&w.shard)->requests.count); i++)
        turn(finish_percent);
    assert_int_equal(w.in_at, w.in_bytes);
    assert_int_equal(w.started, requests);
    assert_false(w.overlapped_wrongly);
    assert_int_equal(check_replies(), requests);
}

static void requests_arrive_whole_and_replies_leave_in_order(void **state)
{
    for (uint32_t seed = 1; seed <= 12; seed++) {
        setup(state);
        run_stream(seed, 400, seed % 4 * 33, seed % 3 * 30 + 10);
        w.gone = true;
        everything_is_back();
        teardown(state);
    }
    setup(state);
}

static void produce_overlaps_up_to_its_bound(void **state)
{
    (void)state;
    for (int32_t i = 0; i < 3 * CONN_REQUESTS_MAX; i++)
        put_request(KAPI_produce, i, 10);
    for (int i = 0; i < 1000; i++)
        turn(0);
    assert_int_equal(w.most, CONN_REQUESTS_MAX);
    assert_int_equal(w.running_count, CONN_REQUESTS_MAX);
    w.gone = true;
    everything_is_back();
}

static void what_runs_is_told_that_nobody_waits(void **state)
{
    (void)state;
    for (int32_t i = 0; i < 3; i++)
        put_request(KAPI_produce, i, 10);
    for (int i = 0; i < 1000; i++)
        turn(0);
    assert_int_equal(w.running_count, 3);
    w.gone = true;
    for (int i = 0; i < 100; i++)
        turn(0);
    assert_int_equal(w.cancelled, 3);
    everything_is_back();
}

static void a_reader_that_never_reads_is_not_read_from(void **state)
{
    (void)state;
    for (int32_t i = 0; i < 1000; i++)
        put_request(KAPI_metadata, i, 5000);
    for (int i = 0; i < 5000; i++) { /* everything but sending */
        receive_some();
        while (w.running_count > 0)
            finish_one();
        turn_end();
    }
    assert_int_equal(w.started, 1); /* its reply waits to be sent */
    assert_true(w.in_at < 3 * POOLED_BYTES + 5000);
    w.gone = true;
    everything_is_back();
}

static void a_peer_that_announces_much_and_sends_little_holds_little(void **state)
{
    (void)state;
    w.config.socket_request_max_bytes = 100 << 20;
    be32_put(w.in, 16 << 20);
    w.in_bytes = 1000;
    for (int i = 0; i < 2000; i++)
        turn(0);
    assert_int_equal(w.in_at, 1000);
    assert_true(bufpool_used_bytes(w.shard.bufs, BUF_RECEIVE) <= FRAME_FIRST_BYTES);
    w.shard.now_ns += (CONN_FRAME_S + 1) * 1000000000ull; /* and not for ever */
    everything_is_back();
    assert_int_equal(server_of(&w.shard)->conns.counters.failed, 1);
}

static bool is_growing(void)
{
    struct list *first = list_first(&server_of(&w.shard)->conns.all);
    return first && container_of(first, struct conn, link)->growing;
}

/* A frame of megabytes is copied in steps as it grows, and arrives whole. */
static void a_growing_frame_is_copied_in_steps(void **state)
{
    (void)state;
    uint32_t growing_turns = 0;
    w.config.socket_request_max_bytes = 100 << 20;
    w.in_one_piece = true;
    put_request(KAPI_produce, 0, 7 << 20);
    for (int i = 0; i < 3000 && w.started == 0; i++) {
        turn(0);
        growing_turns += is_growing();
    }
    assert_int_equal(w.started, 1);
    assert_true(growing_turns >= 3);
    w.gone = true;
    for (int i = 0; i < 100; i++)
        turn(100);
    everything_is_back();
}

static void a_peer_that_leaves_while_its_frame_is_copied_leaves_nothing(void **state)
{
    (void)state;
    w.config.socket_request_max_bytes = 100 << 20;
    w.in_one_piece = true;
    put_request(KAPI_produce, 0, 7 << 20);
    for (int i = 0; i < 3000 && !is_growing(); i++)
        turn(0);
    assert_true(is_growing());
    conn_close(container_of(list_first(&server_of(&w.shard)->conns.all), struct conn, link));
    everything_is_back();
}

static void a_frame_larger_than_the_memory_is_refused_at_once(void **state)
{
    (void)state;
    w.config.socket_request_max_bytes = 100 << 20;
    be32_put(w.in, 100 << 20); /* half of the pool's 64 MiB is for frames */
    w.in_bytes = 1000;
    for (int i = 0; i < 100; i++)
        turn(0);
    assert_int_equal(server_of(&w.shard)->conns.counters.failed, 1);
    everything_is_back();
}

static struct buf *reserve[4096];

static uint32_t take_reserve(void)
{
    uint32_t count = 0;
    while (count < COUNT_OF(reserve) && (reserve[count] = bufpool_get(w.shard.bufs, BUF_RESERVE, 1)))
        count++;
    return count;
}

/* A request that is whole in a pooled receive buffer while too many of those are held, and the copy that it needs is refused. */
static void a_request_that_found_no_memory_starts_later(void **state)
{
    static const int16_t keys[] = {KAPI_metadata, KAPI_produce};
    struct server *sv = server_of(&w.shard);
    (void)state;
    size_t granted = sv->conns.blocks.buf_bytes_max;
    w.in_one_piece = true;
    for (int32_t i = 0; i < 2; i++) {
        uint32_t taken = take_reserve();
        sv->conns.blocks.pooled_count += IO_RECV_COUNT;
        sv->conns.blocks.buf_bytes_max = 4 + HEADER_BYTES + 9;
        put_request(keys[i], i, 10);
        for (int k = 0; k < 200; k++)
            turn(0);
        assert_int_equal(w.started, i);
        assert_true(sv->conns.counters.starved > 0);
        sv->conns.blocks.pooled_count -= IO_RECV_COUNT;
        sv->conns.blocks.buf_bytes_max = granted;
        while (taken > 0)
            buf_put(reserve[--taken]);
        for (int k = 0; k < 200; k++)
            turn(50);
    }
    assert_int_equal(check_replies(), 2);
    w.gone = true;
    everything_is_back();
}

static void an_idle_peer_is_closed_but_not_while_we_work(void **state)
{
    (void)state;
    put_request(KAPI_metadata, 0, 10);
    for (int i = 0; i < 100; i++)
        turn(0);
    assert_int_equal(w.running_count, 1);
    w.shard.now_ns += 1200 * 1000000000ull;
    for (int i = 0; i < 10; i++)
        turn(0);
    assert_int_equal(server_of(&w.shard)->conns.count, 1);
    for (int i = 0; i < 100; i++)
        turn(100);
    assert_int_equal(check_replies(), 1);
    w.shard.now_ns += 1300 * 1000000000ull;
    everything_is_back();
    assert_int_equal(server_of(&w.shard)->conns.counters.failed, 0);
}

static void connections_beyond_a_limit_are_refused(void **state)
{
    (void)state;
    struct server *sv = server_of(&w.shard);
    w.config.max_connections = 1; /* setup has opened one */
    conn_open(&sv->conns, 4, &w.listener);
    w.config.max_connections = 10;
    w.config.max_connections_per_ip = 1;
    conn_open(&sv->conns, 5, &w.listener);
    w.config.max_connections_per_ip = 10;
    sv->conns.meter->max_bytes = sv->conns.meter->used_bytes; /* of --memory */
    conn_open(&sv->conns, 6, &w.listener);
    assert_int_equal(sv->conns.counters.refused, 3);
    assert_int_equal(sv->conns.count, 1);
    w.closes = 0;
    w.gone = true;
    everything_is_back();
    assert_int_equal(sv->conns.peers.count, 0);
    assert_int_equal(sv->conns.everywhere, 0);
}

static void nonsense_closes(void **state)
{
    static const char *const sent[] = {"\xff\xff\xff\xff",
                                       "\x7f\xff\xff\xff",
                                       "GET / HTTP/1.0\r\n\r\n",
                                       "\0\0\0\1x",
                                       "\0\0\0\x0a\x01\x01\0\0\0\0\0\0\xff\xff",
                                       "\0\0\0\x0a\0\3\0\x63\0\0\0\0\xff\xff"};
    static const size_t bytes[] = {4, 4, 18, 5, 14, 14};
    for (size_t i = 0; i < COUNT_OF(sent); i++) {
        memcpy(w.in, sent[i], bytes[i]);
        w.in_bytes = bytes[i];
        for (int k = 0; k < 200; k++)
            turn(0);
        assert_int_equal(server_of(&w.shard)->conns.counters.failed, 1);
        everything_is_back();
        teardown(state);
        setup(state);
    }
}

/* --- large bodies and replies --- */

enum { MANY_TOPICS = 8000 };

static struct request *receive_large_request(void)
{
    for (int i = 0; i < 10000 && w.running_count == 0; i++)
        turn(0);
    assert_int_equal(w.running_count, 1);
    w.running_count = 0;
    return w.running[0];
}

/* A Metadata request of many topics has come. */
static struct request *receive_many_topics(void)
{
    static struct metadata_request_topic topics[MANY_TOPICS];
    struct metadata_request m;
    metadata_request_init(&m);
    for (int i = 0; i < MANY_TOPICS; i++) {
        metadata_request_topic_init(&topics[i]);
        topics[i].name = (struct kview){(const uint8_t *)"topic", 1 + i % 5};
    }
    m.topics.v = topics;
    m.topics.n = MANY_TOPICS;
    uint32_t bytes = (uint32_t)metadata_request_size(&m, 3).bytes;
    w.any_body = true;
    put_request(KAPI_metadata, 0, bytes);
    struct kwriter out = kwriter_of(w.in + w.in_bytes - bytes, bytes);
    assert_true(metadata_request_encode(&m, &out, 3));
    return receive_large_request();
}

static struct metadata_request *decode_topics(struct request *req)
{
    return REQUEST_DECODE(req, metadata_request);
}

static void reply_topics(struct request *req, const struct metadata_request *m)
{
    struct metadata_response r;
    metadata_response_init(&r);
    r.topics.v = request_alloc(req, MANY_TOPICS * sizeof *r.topics.v);
    assert_non_null(r.topics.v);
    r.topics.n = m->topics.n;
    for (int32_t i = 0; i < r.topics.n; i++) {
        metadata_response_topic_init(&r.topics.v[i]);
        r.topics.v[i].name = m->topics.v[i].name;
        r.topics.v[i].error_code = (int16_t)i;
    }
    REQUEST_REPLY_LARGE(req, metadata_response, &r);
    memset(&r, 0xdd, sizeof r); /* it is the handler's again */
}

static void check_many_topics(void)
{
    struct metadata_response r;
    static uint8_t memory[1 << 20];
    struct arena arena = arena_of(memory, sizeof memory);
    assert_true(metadata_response_decode(&r, (struct kview){w.out + 8, (int32_t)w.out_bytes - 8}, 3, &arena));
    assert_int_equal(r.topics.n, MANY_TOPICS);
    for (int32_t i = 0; i < MANY_TOPICS; i++)
        assert_true(r.topics.v[i].error_code == i && r.topics.v[i].name.n == 1 + i % 5);
}

static void a_job_decodes_large_bodies_and_encodes_large_replies(void **state)
{
    (void)state;
    struct request *req = receive_many_topics();
    assert_null(decode_topics(req));
    assert_non_null(w.job); /* nothing of it in this turn */
    assert_true(run_jobs() > 0);
    assert_ptr_equal(w.decoded, req);
    reply_topics(req, decode_topics(req));
    assert_int_equal(req->exchange.state, EXCHANGE_RUNNING);
    assert_int_equal(run_jobs(), 2); /* one measures, one encodes */
    assert_int_equal(req->exchange.state, EXCHANGE_READY);
    for (int i = 0; i < 10000 && server_of(&w.shard)->requests.count > 0; i++)
        turn(0);
    assert_int_equal(check_replies(), 1);
    check_many_topics();
    w.gone = true;
    everything_is_back();
}

/* A Produce has come whose partitions do not all fit into the memory that their decoding is given first. */
static struct request *receive_many_partitions(void)
{
    static struct partition_produce_data partitions[2000];
    static struct topic_produce_data topics[20];
    struct produce_request m;
    produce_request_init(&m);
    for (size_t i = 0; i < COUNT_OF(partitions); i++) {
        partition_produce_data_init(&partitions[i]);
        partitions[i].records.n = -1;
    }
    for (size_t i = 0; i < COUNT_OF(topics); i++) {
        topic_produce_data_init(&topics[i]);
        topics[i].partition_data.v = partitions;
        topics[i].partition_data.n = COUNT_OF(partitions);
    }
    m.topic_data.v = topics;
    m.topic_data.n = COUNT_OF(topics);
    uint32_t bytes = (uint32_t)produce_request_size(&m, 3).bytes;
    w.any_body = true;
    put_request(KAPI_produce, 0, bytes);
    struct kwriter out = kwriter_of(w.in + w.in_bytes - bytes, bytes);
    assert_true(produce_request_encode(&m, &out, 3));
    return receive_large_request();
}

static struct produce_request *decode_partitions(struct request *req)
{
    return REQUEST_DECODE(req, produce_request);
}

static void what_a_decoding_had_at_first_counts_no_more(void **state)
{
    (void)state;
    struct request *req = receive_many_partitions();
    size_t before = bufpool_kept_bytes(w.shard.bufs);
    assert_null(decode_partitions(req));
    assert_true(run_jobs() > 1); /* it began anew with more */
    assert_ptr_equal(w.decoded, req);
    assert_int_equal(decode_partitions(req)->topic_data.n, 20);
    assert_int_equal(bufpool_kept_bytes(w.shard.bufs) - before, req->arena.used_bytes);
    request_no_reply(req);
    for (int i = 0; i < 10 && server_of(&w.shard)->requests.count > 0; i++) {
        turn(0);
        run_jobs(); /* one empties it */
    }
    w.gone = true;
    everything_is_back();
}

static void a_connection_may_end_while_a_job_decodes(void **state)
{
    (void)state;
    struct request *req = receive_many_topics();
    assert_null(decode_topics(req));
    conn_close(request_conn(req));
    turn(0);
    assert_true(run_jobs() > 0);
    assert_null(w.decoded); /* nobody is there to be answered */
    everything_is_back();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(requests_arrive_whole_and_replies_leave_in_order, NULL, teardown),
        cmocka_unit_test_setup_teardown(produce_overlaps_up_to_its_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(what_runs_is_told_that_nobody_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reader_that_never_reads_is_not_read_from, setup, teardown),
        cmocka_unit_test_setup_teardown(a_peer_that_announces_much_and_sends_little_holds_little, setup, teardown),
        cmocka_unit_test_setup_teardown(a_growing_frame_is_copied_in_steps, setup, teardown),
        cmocka_unit_test_setup_teardown(a_peer_that_leaves_while_its_frame_is_copied_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_frame_larger_than_the_memory_is_refused_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_request_that_found_no_memory_starts_later, setup, teardown),
        cmocka_unit_test_setup_teardown(an_idle_peer_is_closed_but_not_while_we_work, setup, teardown),
        cmocka_unit_test_setup_teardown(connections_beyond_a_limit_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(nonsense_closes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_job_decodes_large_bodies_and_encodes_large_replies, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_decoding_had_at_first_counts_no_more, setup, teardown),
        cmocka_unit_test_setup_teardown(a_connection_may_end_while_a_job_decodes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
