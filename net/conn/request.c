/* Requests: their memory, their start, their reply. */
#include "net/conn/request.h"
#include "core/log.h"
#include "net/api/api.h"

enum { DECODE_FIRST_BYTES = 16 * 1024, DECODE_GROWTH = 4, ALIGN_BYTES = 16 };

/* --- memory --- */

static struct request *take_request(struct server *sv)
{
    struct list *node = list_pop(&sv->free_requests);
    if (node) {
        sv->free_request_count--;
        return container_of(node, struct request, link);
    }
    return heap_alloc(sv->shard->heap, sizeof(struct request));
}

static void keep_request(struct server *sv, struct request *req)
{
    if (sv->free_request_count >= REQUESTS_FREE_MAX) {
        heap_free(sv->shard->heap, req);
        return;
    }
    sv->free_request_count++;
    list_push_front(&sv->free_requests, &req->link);
}

/* Everything but the rooms is cleared. */
static void reset_request(struct request *req, struct server *sv, struct conn *c)
{
    memset(req, 0, offsetof(struct request, out_room));
    req->server = sv;
    req->conn = c;
    list_init(&req->link);
    arena_init(&req->arena, sv->shard->heap, REQUEST_ARENA_MAX);
    req->decode = (struct karena){.at = req->room, .end = req->room + sizeof req->room};
    req->in_room = true;
}

static void *take_from_arena(struct request *req, size_t bytes)
{
    struct server *sv = req->server;
    if (sv->request_bytes + bytes > sv->request_bytes_max)
        return NULL;
    size_t before = req->arena.used_bytes;
    void *p = arena_alloc(&req->arena, bytes);
    sv->request_bytes += req->arena.used_bytes - before;
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

bool request_decode_room(struct request *req)
{
    if (req->decode_tries++ == 0)
        return true;
    if (!req->decode.full)
        return false;
    size_t bytes = DECODE_FIRST_BYTES;
    for (uint32_t i = 2; i < req->decode_tries; i++)
        bytes *= DECODE_GROWTH;
    void *p = bytes > REQUEST_ARENA_MAX ? NULL : take_from_arena(req, bytes);
    if (!p)
        return false;
    req->in_room = false;
    req->decode = (struct karena){.at = p, .end = (uint8_t *)p + bytes};
    return true;
}

void request_release(struct request *req)
{
    if (req->block)
        block_put(req->block);
    req->block = NULL;
}

void request_free(struct request *req)
{
    struct server *sv = req->server;
    assert(!req->conn);
    assert(sv->request_count > 0);
    request_release(req);
    assert(sv->request_bytes >= req->arena.used_bytes);
    sv->request_bytes -= req->arena.used_bytes;
    arena_reset(&req->arena);
    sv->request_count--;
    keep_request(sv, req);
    if (sv->stopping)
        shard_defer(sv->shard, &sv->stop_check);
}

void request_over(struct request *req)
{
    assert(req->state == REQUEST_READY);
    assert(!list_linked(&req->link));
    req->state = REQUEST_SENT;
    req->conn = NULL;
    if (req->sent)
        req->sent(req);
    else
        request_free(req);
}

/* --- the end --- */

static void mark_ready(struct request *req)
{
    assert(req->state == REQUEST_RUNNING);
    req->state = REQUEST_READY;
    req->cancel = NULL;
    conn_kick(req->conn);
}

void request_fail(struct request *req, const char *why)
{
    req->cancel = NULL;
    conn_fail(req->conn, why);
    req->piece_count = 0;
    mark_ready(req);
}

void request_no_reply(struct request *req)
{
    req->piece_count = 0;
    mark_ready(req);
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
    assert(req->state == REQUEST_RUNNING);
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
        req->pieces[req->piece_count++] = (struct iovec){.iov_base = (void *)(uintptr_t)at, .iov_len = bytes};
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
    req->pieces = &req->piece_one;
    uint32_t count = count_reply_pieces(req);
    if (count > 1)
        req->pieces = request_alloc(req, count * sizeof *req->pieces);
    if (req->pieces)
        fill_reply_pieces(req);
    return req->pieces;
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

/* --- the start --- */

/* A line that names what Kafka would only close for: users otherwise see nothing but EOF. */
static void refuse_request(struct request *req, const char *what)
{
    struct conn *c = req->conn;
    if (server_notice(req->server))
        log_warn("closed", "peer=%s software=\"%s\" key=%d api=%s version=%d: %s", c->peer, c->software,
                 req->header.request_api_key, req->api ? req->api->name : "unknown", req->header.request_api_version,
                 what);
    req->server->counters.failed++;
    conn_close(c);
    request_no_reply(req);
}

/* KIP-511: a client that knows newer versions of ApiVersions is told in version 0 which ones we have. */
static void answer_unknown_version(struct request *req)
{
    struct api_version own = {
        .api_key = req->api->key, .min_version = req->api->advertised, .max_version = req->api->last};
    struct api_versions_response r;
    api_versions_response_init(&r);
    r.error_code = KERR_UNSUPPORTED_VERSION;
    r.api_keys.v = &own;
    r.api_keys.n = 1;
    req->version = 0;
    REQUEST_REPLY(req, api_versions_response, &r);
}

/* What a client asks before it knows where to go; those handlers who tell it say themselves what it asked for. */
static void note_request_way(const struct request *req)
{
    switch (req->api->key) {
    case KAPI_api_versions:
    case KAPI_metadata:
    case KAPI_describe_cluster:
    case KAPI_find_coordinator: return;
    case KAPI_init_producer_id: conn_asks_way(req->conn, TOLD_A_PRODUCER, req->header.client_id); return;
    default: conn_came(req->conn);
    }
}

static void run_request(struct request *req)
{
    api_run_fn *handler = api_handler(req->api->key);
    req->version = req->header.request_api_version;
    note_request_way(req);
    if (handler)
        handler(req);
    else
        refuse_request(req, "this API is not served");
}

static void dispatch_request(struct request *req, struct kview frame)
{
    switch (kmsg_open(frame, &req->decode, &req->header, &req->api, &req->body)) {
    case KOPEN_OK: run_request(req); return;
    case KOPEN_BAD: request_fail(req, "it sent a malformed request header"); return;
    case KOPEN_KEY: refuse_request(req, "this API is unknown"); return;
    case KOPEN_VERSION:
        if (req->api->key == KAPI_api_versions)
            answer_unknown_version(req);
        else
            refuse_request(req, "this version is not supported");
        return;
    }
    assert(!"a way to open a request");
}

void request_start(struct conn *c, struct block *b, const uint8_t *frame, uint32_t frame_bytes, bool overlaps)
{
    struct server *sv = c->server;
    struct request *req = take_request(sv);
    if (!req) {
        conn_fail(c, "no memory for its request");
        return;
    }
    reset_request(req, sv, c);
    req->block = block_ref(b);
    req->frame_bytes = frame_bytes;
    req->arrived_ns = sv->shard->now_ns;
    sv->request_count++;
    sv->counters.requests++;
    list_push(&c->requests, &req->link);
    order_started(&c->in_flight, overlaps, frame_bytes);
    dispatch_request(req, (struct kview){frame, (int32_t)frame_bytes});
}
