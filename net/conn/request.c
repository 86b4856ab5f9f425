/* Requests: their memory, their start, their reply. */
#include "net/conn/request.h"
#include "core/buf.h"
#include "core/bytes.h"
#include "core/log.h"

enum { DECODE_JOB_BYTES = 256 * 1024, DECODE_GROWTH = 4 };

/* --- memory --- */

void requests_init(struct requests *all, struct shard *s, struct server *sv, const struct dispatcher *d,
                   size_t bytes_max, struct shard_defer *quiet)
{
    *all = (struct requests){.shard = s, .server = sv, .dispatcher = d, .bytes_max = bytes_max, .quiet = quiet};
    list_init(&all->free);
}

void requests_deinit(struct requests *all)
{
    struct list *node;
    while ((node = list_pop(&all->free)))
        heap_free(all->shard->heap, container_of(node, struct request, exchange.link));
    all->free_count = 0;
}

static struct request *take_request(struct requests *all)
{
    struct list *node = list_pop(&all->free);
    if (!node)
        return heap_alloc(all->shard->heap, sizeof(struct request));
    all->free_count--;
    return container_of(node, struct request, exchange.link);
}

static void keep_request(struct requests *all, struct request *req)
{
    if (all->free_count >= REQUESTS_FREE_MAX) {
        heap_free(all->shard->heap, req);
        return;
    }
    all->free_count++;
    list_push_front(&all->free, &req->exchange.link);
}

/* Everything but the rooms is cleared. */
static void reset_request(struct request *req, struct requests *all)
{
    memset(req, 0, offsetof(struct request, out_room));
    req->all = all;
    req->server = all->server;
    arena_init_given(&req->arena, all->shard->heap, REQUEST_ARENA_MAX, req->room, sizeof req->room);
}

/* What it may take at most of the heap, now that the others have taken what they have. */
static size_t request_bytes_left(const struct request *req)
{
    size_t own = REQUEST_ARENA_MAX - req->arena.used_bytes, all = req->all->bytes_max - req->all->bytes;
    return own < all ? own : all;
}

static void count_request_bytes(struct request *req, size_t before)
{
    if (req->arena.used_bytes == before)
        return;
    req->all->bytes += req->arena.used_bytes - before;
    bufpool_keep(req->all->shard->bufs, req->arena.used_bytes - before);
    assert(req->all->bytes <= req->all->bytes_max);
}

void *request_alloc(struct request *req, size_t bytes)
{
    size_t before = req->arena.used_bytes;
    req->arena.max_bytes = before + request_bytes_left(req);
    void *p = arena_alloc(&req->arena, bytes);
    count_request_bytes(req, before);
    return p;
}

void *request_zalloc(struct request *req, size_t bytes)
{
    void *p = request_alloc(req, bytes);
    return p ? memset(p, 0, bytes) : NULL;
}

struct kview request_copy(struct request *req, struct kview v)
{
    if (v.n <= 0)
        return (struct kview){.at = (const uint8_t *)"", .n = v.n};
    void *p = request_alloc(req, (size_t)v.n);
    if (!p)
        return (struct kview){.n = -1};
    return (struct kview){.at = memcpy(p, v.at, (size_t)v.n), .n = v.n};
}

void request_release(struct request *req)
{
    if (req->block)
        block_put(req->block);
    req->block = NULL;
}

static void end_request(struct request *req)
{
    struct requests *all = req->all;
    assert(all->bytes >= req->freed_bytes);
    all->bytes -= req->freed_bytes;
    bufpool_unkeep(all->shard->bufs, req->freed_bytes);
    assert(all->count > 0);
    all->count--;
    keep_request(all, req);
    if (all->stopping)
        shard_defer(all->shard, all->quiet);
}

static void free_some_memory(struct shard *s, struct shard_msg *msg)
{
    struct request *req = container_of(msg, struct request, emptied);
    if (arena_reset_some(&req->arena))
        shard_send(s, s->id, msg);
    else
        end_request(req);
}

static int32_t run_empty_job(void *arg)
{
    struct request *req = arg;
    arena_discard(&req->arena);
    return 0;
}

static void empty_job_done(struct io_op *op, int32_t res)
{
    struct request *req = container_of(op, struct request, empty);
    (void)res;
    shard_msg_init(&req->emptied, free_some_memory);
    free_some_memory(req->all->shard, &req->emptied);
}

void request_free(struct request *req)
{
    assert(!request_conn(req));
    request_release(req);
    req->freed_bytes = req->arena.used_bytes;
    if (req->freed_bytes >= ARENA_LARGE_BYTES) {
        io_job(req->all->shard->io, &req->empty, IO_URGENT, run_empty_job, req, empty_job_done);
        return;
    }
    arena_reset(&req->arena);
    end_request(req);
}

static struct request *request_of(struct exchange *e)
{
    return container_of(e, struct request, exchange);
}

void request_over(struct exchange *e)
{
    struct request *req = request_of(e);
    assert(e->state == EXCHANGE_SENT);
    assert(!list_linked(&e->link));
    if (req->sent)
        req->sent(req);
    else
        request_free(req);
}

void request_cancel(struct exchange *e)
{
    struct request *req = request_of(e);
    void (*cancel)(struct request *) = req->cancel;
    req->cancel = NULL;
    if (cancel)
        cancel(req);
}

void request_hold(struct request *req)
{
    assert(req->exchange.state == EXCHANGE_RUNNING);
    order_hold(&request_conn(req)->in_flight, true);
}

void request_let_go(struct request *req)
{
    struct conn *c = request_conn(req);
    assert(req->exchange.state == EXCHANGE_RUNNING);
    if (!c->in_flight.held)
        return;
    order_hold(&c->in_flight, false);
    conn_kick(c);
}

/* --- the end --- */

static void mark_ready(struct request *req)
{
    assert(req->exchange.state == EXCHANGE_RUNNING);
    req->exchange.state = EXCHANGE_READY;
    req->cancel = NULL;
    conn_kick(request_conn(req));
}

void request_fail(struct request *req, const char *why)
{
    req->cancel = NULL;
    conn_fail(request_conn(req), why);
    req->exchange.piece_count = 0;
    mark_ready(req);
}

void request_no_reply(struct request *req)
{
    req->exchange.piece_count = 0;
    mark_ready(req);
}

/* --- decoding: what takes longer than a turn may, a job does, in memory that it is given for it; it begins anew with more when that
 * was not enough --- */

struct decode_job {
    struct io_op op;
    struct request *req;
    void *message;
    bool (*read)(void *message, struct kreader *r);
    const char *malformed;
    struct arena arena; /* `bytes` of the request's at `memory` */
    void *memory;
    size_t bytes;
    bool good;
};

static int32_t run_decode_job(void *arg)
{
    struct decode_job *job = arg;
    struct request *req = job->req;
    struct kreader r = kreader_of(req->body, req->version, &job->arena);
    job->good = job->read(job->message, &r);
    if (!job->good)
        heap_discard(job->memory, job->bytes);
    return 0;
}

static void note_cancel(struct request *req)
{
    req->cancelled = true;
}

static void give_decode_memory_back(struct decode_job *job)
{
    struct request *req = job->req;
    if (job->memory) {
        size_t before = req->arena.used_bytes;
        arena_give_back(&req->arena, job->memory);
        req->all->bytes -= before - req->arena.used_bytes;
        bufpool_unkeep(req->all->shard->bufs, before - req->arena.used_bytes);
    }
    job->memory = NULL;
}

/* False: no memory, or more than one request may have. `refused`: the piece that it lacked. */
static bool grant_decode_memory(struct decode_job *job, size_t refused)
{
    size_t before = job->bytes, wanted = u64_max(before * DECODE_GROWTH, (before + refused) / 4 * 5);
    give_decode_memory_back(job);
    job->bytes = u64_min(u64_max(wanted, DECODE_JOB_BYTES), align_down(request_bytes_left(job->req), PAGE_BYTES));
    job->memory = job->bytes > before && job->bytes >= DECODE_NOW_BYTES ? request_alloc(job->req, job->bytes) : NULL;
    if (job->memory)
        job->arena = arena_of(job->memory, job->bytes);
    return job->memory;
}

static void decode_job_done(struct io_op *op, int32_t res);

static void start_decode_job(struct decode_job *job, size_t refused)
{
    struct request *req = job->req;
    if (!refused || !grant_decode_memory(job, refused)) {
        request_fail(req, refused ? "there is no memory for what it sent" : job->malformed);
        return;
    }
    req->cancel = note_cancel;
    request_hold(req);
    io_job(req->all->shard->io, &job->op, IO_URGENT, run_decode_job, job, decode_job_done);
}

static void decode_job_done(struct io_op *op, int32_t res)
{
    struct decode_job *job = container_of(op, struct decode_job, op);
    struct request *req = job->req;
    (void)res; /* whether it was good is in the job */
    req->cancel = NULL;
    request_let_go(req);
    if (req->cancelled) {
        request_no_reply(req);
    } else if (job->good) {
        req->decoded = job->message;
        req->all->dispatcher->decoded(req);
    } else {
        start_decode_job(job, job->arena.refused_bytes);
    }
}

struct kreader request_decode_begin(struct request *req)
{
    req->decode_from = req->arena.used_bytes;
    req->arena.refused_bytes = 0;
    req->arena.max_bytes = req->decode_from + u64_min(DECODE_NOW_BYTES, request_bytes_left(req));
    struct kreader r = kreader_of(req->body, req->version, &req->arena);
    r.tags_left = DECODE_NOW_TAGS;
    return r;
}

bool request_decode_end(struct request *req, bool good, void *message, bool (*read)(void *message, struct kreader *r),
                        const char *malformed)
{
    size_t refused = req->arena.refused_bytes;
    count_request_bytes(req, req->decode_from);
    if (good)
        return true;
    struct decode_job *job = message && refused ? request_zalloc(req, sizeof *job) : NULL;
    if (!job) {
        request_fail(req, malformed);
        return false;
    }
    job->req = req;
    job->message = message;
    job->read = read;
    job->malformed = malformed;
    start_decode_job(job, refused);
    return false;
}

/* --- the reply --- */

static void begin_reply(struct request *req, uint8_t *at, size_t bytes)
{
    req->out = kwriter_of(at, bytes);
    if (req->splices)
        kwriter_splice(&req->out, req->splices, req->splice_max);
    kwrite_int32(&req->out, 0);
    kwrite_int32(&req->out, req->header.correlation_id);
    if (kapi_response_header(req->api, req->version) > 0)
        kwrite_uvarint(&req->out, 0);
}

void request_reply_begin(struct request *req)
{
    assert(req->exchange.state == EXCHANGE_RUNNING);
    begin_reply(req, req->out_room, sizeof req->out_room);
}

bool request_reply_grow(struct request *req)
{
    if (req->out.over == 0)
        return false;
    size_t bytes = kwriter_bytes(&req->out);
    uint8_t *at = request_alloc(req, bytes);
    if (at)
        begin_reply(req, at, bytes);
    return at;
}

static const struct slices *spliced_slices(const struct request *req, uint32_t i)
{
    return req->splices[i].records->from;
}

static uint32_t count_reply_pieces(const struct request *req)
{
    uint32_t count = 1;
    for (uint32_t i = 0; i < req->out.splice_count; i++)
        count += 1 + spliced_slices(req, i)->count;
    return count;
}

static void add_reply_piece(struct request *req, const void *at, size_t bytes)
{
    if (bytes > 0)
        req->exchange.pieces[req->exchange.piece_count++] =
            (struct iovec){.iov_base = (void *)(uintptr_t)at, .iov_len = bytes};
}

/* The frame's own bytes, interleaved with the records that stay where they are. */
static void fill_reply_pieces(struct request *req)
{
    size_t from = 0;
    for (uint32_t i = 0; i < req->out.splice_count; i++) {
        const struct slices *s = spliced_slices(req, i);
        add_reply_piece(req, req->out.start + from, req->splices[i].at - from);
        from = req->splices[i].at;
        for (uint32_t k = 0; k < s->count; k++)
            add_reply_piece(req, s->v[k].at, s->v[k].bytes);
    }
    add_reply_piece(req, req->out.start + from, kwriter_bytes(&req->out) - from);
}

static bool make_reply_pieces(struct request *req)
{
    struct exchange *e = &req->exchange;
    e->pieces = &req->piece_one;
    uint32_t count = count_reply_pieces(req);
    if (count > 1)
        e->pieces = request_alloc(req, count * sizeof *e->pieces);
    if (e->pieces)
        fill_reply_pieces(req);
    return e->pieces;
}

void request_reply_end(struct request *req, bool fits)
{
    assert(!req->out.bad); /* our own message breaks its own rules */
    uint64_t bytes = kwriter_bytes(&req->out) + req->out.spliced_bytes - 4;
    if (!fits || bytes > INT32_MAX || !make_reply_pieces(req)) {
        request_fail(req, "no memory for the reply to it");
        return;
    }
    kwrite_int32_at(&req->out, 0, (int32_t)bytes);
    mark_ready(req);
}

/* --- large replies: one job measures, another encodes --- */

struct encode_job {
    struct io_op op;
    struct request *req;
    bool (*encode)(const void *message, struct kwriter *w, int16_t version);
    bool fits;
    _Alignas(16) uint8_t message[];
};

static int32_t run_encode_job(void *arg)
{
    struct encode_job *job = arg;
    job->fits = job->encode(job->message, &job->req->out, job->req->version);
    return 0;
}

static void encode_job_done(struct io_op *op, int32_t res)
{
    struct encode_job *job = container_of(op, struct encode_job, op);
    (void)res;
    request_reply_end(job->req, job->fits);
}

static void measure_job_done(struct io_op *op, int32_t res)
{
    struct encode_job *job = container_of(op, struct encode_job, op);
    struct request *req = job->req;
    (void)res;
    if (request_reply_grow(req))
        io_job(req->all->shard->io, &job->op, IO_URGENT, run_encode_job, job, encode_job_done);
    else
        request_reply_end(req, false);
}

void request_reply_later(struct request *req, const void *message, size_t bytes,
                         bool (*encode)(const void *message, struct kwriter *w, int16_t version))
{
    assert(req->exchange.state == EXCHANGE_RUNNING);
    struct encode_job *job = request_alloc(req, sizeof *job + bytes);
    req->cancel = NULL; /* there is nothing to wait for any more */
    if (!job) {
        request_reply_end(req, false);
        return;
    }
    *job = (struct encode_job){.req = req, .encode = encode};
    memcpy(job->message, message, bytes);
    request_reply_begin(req);
    io_job(req->all->shard->io, &job->op, IO_URGENT, run_encode_job, job, measure_job_done);
}

/* --- the start --- */

/* A line that names what Kafka would only close for: users otherwise see nothing but EOF. */
void request_refuse(struct request *req, const char *why)
{
    struct conn *c = request_conn(req);
    if (conns_notice(c->conns))
        log_warn("closed", "peer=%s software=\"%s\" key=%d api=%s version=%d: %s", c->peer, c->software,
                 req->header.request_api_key, req->api ? req->api->name : "unknown", req->header.request_api_version,
                 why);
    c->conns->counters.failed++;
    conn_close(c);
    request_no_reply(req);
}

void request_start(struct requests *all, struct conn *c, struct block *b, const uint8_t *frame, uint32_t bytes)
{
    assert(bytes >= FRAME_HEADER_MIN);
    struct request *req = take_request(all);
    if (!req) {
        conn_fail(c, "no memory for its request");
        return;
    }
    reset_request(req, all);
    req->block = block_ref(b);
    req->arrived_ns = all->shard->now_ns;
    all->count++;
    all->started++;
    conn_started(c, &req->exchange, all->dispatcher->overlaps((int16_t)be16_get(frame)), bytes);
    all->dispatcher->dispatch(req, (struct kview){frame, (int32_t)bytes});
}
