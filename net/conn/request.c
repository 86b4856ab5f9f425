/* Requests: their memory, their start, their reply. */
#include "net/conn/request.h"
#include "core/bytes.h"
#include "core/log.h"

enum { DECODE_FIRST_BYTES = 16 * 1024, DECODE_GROWTH = 4, ALIGN_BYTES = 16 };

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
    arena_init(&req->arena, all->shard->heap, REQUEST_ARENA_MAX);
    req->decode = (struct karena){.at = req->room, .end = req->room + sizeof req->room};
    req->in_room = true;
}

static void *take_from_arena(struct request *req, size_t bytes)
{
    struct requests *all = req->all;
    if (all->bytes + bytes > all->bytes_max)
        return NULL;
    size_t before = req->arena.used_bytes;
    void *p = arena_alloc(&req->arena, bytes);
    all->bytes += req->arena.used_bytes - before;
    return p;
}

void *request_alloc(struct request *req, size_t bytes)
{
    uint8_t *at = req->decode.at;
    size_t pad = -(uintptr_t)at & (ALIGN_BYTES - 1);
    size_t left = (size_t)(req->decode.end - at);
    if (!req->in_room || left < pad || bytes > left - pad)
        return take_from_arena(req, bytes);
    req->decode.at = at + pad + bytes;
    return at + pad;
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

/* Of the next try. */
static size_t choose_decode_bytes(const struct request *req)
{
    assert(req->decode_tries > 0);
    size_t bytes = DECODE_FIRST_BYTES;
    for (uint32_t i = 1; i < req->decode_tries; i++)
        bytes *= DECODE_GROWTH;
    return bytes;
}

/* False: no memory, or more than one request may have. */
static bool grant_decode_room(struct request *req)
{
    size_t bytes = choose_decode_bytes(req);
    void *p = bytes > REQUEST_ARENA_MAX ? NULL : take_from_arena(req, bytes);
    if (!p)
        return false;
    req->decode_tries++;
    req->in_room = false;
    req->decode = (struct karena){.at = p, .end = (uint8_t *)p + bytes};
    return true;
}

bool request_decode_room(struct request *req)
{
    if (req->decode_tries == 0) {
        req->decode_tries++;
        return true;
    }
    return req->decode.full && choose_decode_bytes(req) <= DECODE_NOW_BYTES && grant_decode_room(req);
}

void request_release(struct request *req)
{
    if (req->block)
        block_put(req->block);
    req->block = NULL;
}

void request_free(struct request *req)
{
    struct requests *all = req->all;
    assert(!request_conn(req));
    assert(all->count > 0);
    request_release(req);
    assert(all->bytes >= req->arena.used_bytes);
    all->bytes -= req->arena.used_bytes;
    all->shard->freed_bytes += req->arena.used_bytes;
    arena_reset(&req->arena);
    all->count--;
    keep_request(all, req);
    if (all->stopping)
        shard_defer(all->shard, all->quiet);
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

/* --- large bodies: the job decodes, with more room each time that it was not enough --- */

struct decode_job {
    struct io_op op;
    struct request *req;
    void *message;
    bool (*read)(void *message, struct kreader *r);
    const char *malformed;
    bool good;
};

static int32_t run_decode_job(void *arg)
{
    struct decode_job *job = arg;
    struct request *req = job->req;
    struct kreader r = kreader_of(req->body, req->version, &req->decode);
    job->good = job->read(job->message, &r);
    return 0;
}

static void note_cancel(struct request *req)
{
    req->cancelled = true;
}

static void start_decode_job(struct decode_job *job);

static void decode_job_done(struct io_op *op, int32_t res)
{
    struct decode_job *job = container_of(op, struct decode_job, op);
    struct request *req = job->req;
    (void)res; /* whether it was good is in the job */
    req->cancel = NULL;
    if (req->cancelled) {
        request_no_reply(req);
    } else if (job->good) {
        req->decoded = job->message;
        req->all->dispatcher->decoded(req);
    } else {
        start_decode_job(job);
    }
}

static void start_decode_job(struct decode_job *job)
{
    struct request *req = job->req;
    if (!req->decode.full || !grant_decode_room(req)) {
        request_fail(req, job->malformed);
        return;
    }
    req->cancel = note_cancel;
    io_job(req->all->shard->io, &job->op, IO_URGENT, run_decode_job, job, decode_job_done);
}

void request_decode_later(struct request *req, void *message, bool (*read)(void *message, struct kreader *r),
                          const char *malformed)
{
    struct decode_job *job = message && req->decode.full ? request_zalloc(req, sizeof *job) : NULL;
    if (!job) {
        request_fail(req, malformed);
        return;
    }
    job->req = req;
    job->message = message;
    job->read = read;
    job->malformed = malformed;
    start_decode_job(job);
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
