/* Connections: reading, the order of requests, sending, ending. */
#include "net/conn/conn.h"
#include "core/clock.h"
#include "core/log.h"
#include "net/conn/frame.h"
#include "net/conn/request.h"
#include <stdio.h>

static struct shard *shard_of_conn(const struct conn *c)
{
    return c->server->shard;
}

/* --- ending --- */

void conn_cancel(struct conn *c)
{
    struct list *node, *next;
    for (node = c->requests.next; node != &c->requests; node = next) {
        struct request *req = container_of(node, struct request, link);
        next = node->next;
        void (*cancel)(struct request *) = req->state == REQUEST_RUNNING ? req->cancel : NULL;
        req->cancel = NULL;
        if (cancel)
            cancel(req);
    }
}

void conn_close(struct conn *c)
{
    if (c->closing)
        return;
    c->closing = true;
    c->server->counters.closed++;
    list_remove(&c->starved_link);
    io_shutdown(&c->file);
    conn_cancel(c);
    conn_kick(c);
}

void conn_fail(struct conn *c, const char *why)
{
    if (c->closing)
        return;
    c->server->counters.failed++;
    if (server_notice(c->server))
        log_warn("closed", "peer=%s software=\"%s\" because %s", c->peer, c->software, why);
    conn_close(c);
}

void conn_kick(struct conn *c)
{
    shard_defer(shard_of_conn(c), &c->turn_end);
}

static void drop_input(struct conn *c)
{
    if (c->in)
        block_put(c->in);
    c->in = NULL;
    c->in_at = c->in_end = 0;
    c->frame_since_ns = 0;
}

static void remove_request(struct conn *c, struct request *req)
{
    list_remove(&req->link);
    order_ended(&c->in_flight, req->frame_bytes);
    request_over(req);
}

/* Nobody takes the replies any more. */
static void drop_ready_requests(struct conn *c)
{
    struct list *node, *next;
    for (node = c->requests.next; node != &c->requests; node = next) {
        struct request *req = container_of(node, struct request, link);
        next = node->next;
        if (req->state == REQUEST_READY)
            remove_request(c, req);
    }
}

static void finish_conn_closing(struct conn *c)
{
    if (c->send_pending)
        return;
    drop_ready_requests(c);
    if (c->recv_pending || c->in_flight.count > 0 || !told_leave(&c->told))
        return;
    drop_input(c);
    timer_stop(&shard_of_conn(c)->timers, &c->timer);
    list_remove(&c->turn_end.link);
    io_close(shard_of_conn(c)->io, &c->file);
    server_forget(c->server, c);
    heap_free(shard_of_conn(c)->heap, c);
}

/* --- deadlines --- */

static uint64_t idle_deadline_of_conn(const struct conn *c, uint64_t since_ns)
{
    int64_t idle_ms = server_config(c->server)->connections_max_idle_ms;
    return idle_ms > 0 ? since_ns + (uint64_t)idle_ms * NS_PER_MS : TIMER_NEVER;
}

static uint64_t deadline_of_conn(const struct conn *c)
{
    uint64_t frame = c->frame_since_ns ? c->frame_since_ns + CONN_FRAME_S * NS_PER_S : TIMER_NEVER;
    bool ours = c->in_flight.count > 0 && !c->send_pending; /* it waits for us, not we for it */
    return u64_min(frame, idle_deadline_of_conn(c, ours ? shard_of_conn(c)->now_ns : c->active_ns));
}

/* The timer is moved only when it would come too late; when it comes too early, it is started again. */
static void watch_conn_deadline(struct conn *c)
{
    uint64_t at = deadline_of_conn(c);
    if (at != TIMER_NEVER && (!timer_started(&c->timer) || c->timer.deadline_ns > at))
        timer_start(&shard_of_conn(c)->timers, &c->timer, at);
}

static void conn_deadline_due(struct timer *t)
{
    struct conn *c = container_of(t, struct conn, timer);
    uint64_t now = shard_of_conn(c)->now_ns;
    if (c->closing)
        return;
    if (deadline_of_conn(c) > now) {
        watch_conn_deadline(c);
    } else if (c->frame_since_ns && c->frame_since_ns + CONN_FRAME_S * NS_PER_S <= now) {
        conn_fail(c, "it did not complete a request in time");
    } else if (c->send_pending) {
        conn_fail(c, "it does not read its replies");
    } else {
        log_debug("closed", "peer=%s idle", c->peer);
        conn_close(c);
    }
}

/* --- reading --- */

static void receive_more(struct conn *c);

static uint32_t input_bytes(const struct conn *c)
{
    return c->in_end - c->in_at;
}

static const uint8_t *input_start(const struct conn *c)
{
    return c->in->at + c->in_at;
}

/* Moves what is not yet parsed into a buf with room for `bytes`. False: there is no memory now. */
static bool move_input(struct conn *c, uint32_t bytes)
{
    uint32_t have = input_bytes(c);
    assert(bytes >= have);
    struct block *b = block_get(&c->server->blocks, bytes);
    if (!b)
        return false;
    memcpy(b->at, input_start(c), have);
    block_put(c->in);
    c->in = b;
    c->in_at = 0;
    c->in_end = have;
    return true;
}

/* Stops reading until there is memory. */
static void starve_conn(struct conn *c)
{
    struct server *sv = c->server;
    sv->counters.starved++;
    if (!list_linked(&c->starved_link))
        list_push(&sv->starved, &c->starved_link);
    if (!timer_started(&sv->starved_timer))
        timer_start(&shard_of_conn(c)->timers, &sv->starved_timer,
                    shard_of_conn(c)->now_ns + STARVED_RETRY_MS * NS_PER_MS);
}

/* So many requests hold receive buffers that this one gets a copy of its frame: a slow disk must not keep the shard from
 * receiving. False: no memory. */
static bool start_frame_copied(struct conn *c, uint32_t total, bool overlaps)
{
    struct block *b = block_get(&c->server->blocks, total);
    if (!b)
        return false;
    c->server->counters.frames_copied++;
    memcpy(b->at, input_start(c), total);
    request_start(c, b, b->at + 4, total - 4, overlaps);
    block_put(b);
    return true;
}

static bool start_frame(struct conn *c, uint32_t total, bool overlaps)
{
    bool copy = block_pooled(c->in) && c->server->blocks.pooled_count > POOLED_HELD_MAX;
    if (!copy)
        request_start(c, c->in, input_start(c) + 4, total - 4, overlaps);
    else if (!start_frame_copied(c, total, overlaps))
        return false;
    c->in_at += total;
    c->frame_since_ns = 0;
    return true;
}

enum cut { CUT_MORE, CUT_BLOCKED, CUT_STARVED, CUT_NOTHING };

/* Starts the requests of whole frames, as far as order and memory allow. */
static enum cut cut_frames(struct conn *c)
{
    while (input_bytes(c) > 0 && !c->closing) {
        struct frame f = frame_look(input_start(c), input_bytes(c), server_config(c->server)->socket_request_max_bytes);
        if (f.kind == FRAME_PART && f.total <= c->server->blocks.buf_bytes_max)
            return CUT_MORE;
        if (f.kind == FRAME_PART) {
            conn_fail(c, "it sent a frame larger than the memory for such frames: half of a core's share of --memory");
            return CUT_NOTHING;
        }
        if (f.kind != FRAME_WHOLE) {
            conn_fail(c, frame_complaint(f.kind));
            return CUT_NOTHING;
        }
        bool overlaps = be16_get(input_start(c) + 4) == KAPI_produce;
        if (!order_may_start(&c->in_flight, overlaps))
            return CUT_BLOCKED;
        if (!start_frame(c, f.total, overlaps))
            return CUT_STARVED;
    }
    return CUT_NOTHING;
}

/* A frame has begun but is not whole: memory for what comes next. */
static bool make_frame_room(struct conn *c)
{
    uint32_t have = input_bytes(c);
    uint32_t total = frame_look(input_start(c), have, server_config(c->server)->socket_request_max_bytes).total;
    if (!block_pooled(c->in) && c->in_at == 0 && c->in->cap > have && c->in->refs == 1)
        return true;
    return move_input(c, frame_room(total, have));
}

/* Goes through what was received; then either waits for its turn or for memory, or receives more. */
static void parse_input(struct conn *c)
{
    if (c->closing || c->server->stopping || !c->in)
        return;
    enum cut cut = cut_frames(c);
    if (c->closing)
        return;
    if (input_bytes(c) == 0)
        drop_input(c);
    else if (!c->frame_since_ns && cut == CUT_MORE)
        c->frame_since_ns = shard_of_conn(c)->now_ns;
    if (cut != CUT_MORE)
        c->frame_since_ns = 0;
    c->blocked = cut == CUT_BLOCKED;
    if (cut == CUT_STARVED || (cut == CUT_MORE && !make_frame_room(c)))
        starve_conn(c);
    else if (cut == CUT_BLOCKED && block_pooled(c->in) && !move_input(c, input_bytes(c)))
        c->server->counters.starved++; /* it keeps the receive buffer; the deadline of what blocks it bounds that */
}

static void note_received(struct conn *c, int32_t res)
{
    c->recv_pending = false;
    if (res <= 0 || c->closing) {
        conn_close(c);
        conn_kick(c);
        return;
    }
    c->active_ns = shard_of_conn(c)->now_ns;
    c->server->counters.received_bytes += (uint64_t)res;
}

static void proceed_reading(struct conn *c)
{
    parse_input(c);
    receive_more(c);
    if (!c->closing)
        watch_conn_deadline(c);
}

static void recv_pooled_done(struct io_op *op, int32_t res)
{
    struct conn *c = container_of(op, struct conn, recv);
    if (res > 0 && c->closing)
        io_recv_put(shard_of_conn(c)->io, op->buf.at);
    note_received(c, res);
    if (res <= 0 || c->closing)
        return;
    assert(!c->in);
    c->in = block_of_pooled(&c->server->blocks, op->buf.at, (uint32_t)res);
    if (!c->in) {
        conn_fail(c, "there is no memory for what it sent");
        return;
    }
    c->in_at = 0;
    c->in_end = (uint32_t)res;
    proceed_reading(c);
}

static void recv_done(struct io_op *op, int32_t res)
{
    struct conn *c = container_of(op, struct conn, recv);
    note_received(c, res);
    if (res <= 0 || c->closing)
        return;
    assert((uint32_t)res <= c->in->cap - c->in_end);
    c->in_end += (uint32_t)res;
    proceed_reading(c);
}

/* How much to receive straight into the frame's own memory: no more than its rest, which then needs no copy. */
static uint32_t bytes_to_receive(const struct conn *c)
{
    uint32_t have = input_bytes(c);
    uint32_t total = frame_look(input_start(c), have, server_config(c->server)->socket_request_max_bytes).total;
    return (uint32_t)u64_min(c->in->cap - c->in_end, total ? total - have : 4 - have);
}

static void receive_more(struct conn *c)
{
    if (c->recv_pending || c->closing || c->server->stopping || list_linked(&c->starved_link) || c->blocked)
        return;
    c->recv_pending = true;
    if (c->in)
        io_recv(shard_of_conn(c)->io, &c->recv, &c->file, c->in->at + c->in_end, bytes_to_receive(c), recv_done);
    else
        io_recv_pooled(shard_of_conn(c)->io, &c->recv, &c->file, recv_pooled_done);
}

void conn_resume(struct conn *c)
{
    if (!c->closing)
        proceed_reading(c);
}

/* --- sending --- */

/* Requests at the front that have nothing (more) to send. */
static void remove_sent_requests(struct conn *c)
{
    struct list *node;
    while ((node = list_first(&c->requests))) {
        struct request *req = container_of(node, struct request, link);
        if (req->state != REQUEST_READY || req->piece_at < req->piece_count)
            return;
        if (req->piece_count > 0)
            c->server->counters.replies++;
        remove_request(c, req);
    }
}

/* Adds the unsent pieces of one reply; false when the list is full. */
static bool gather_reply(struct conn *c, const struct request *req, uint32_t *count)
{
    for (uint32_t i = req->piece_at; i < req->piece_count; i++) {
        if (*count == CONN_IOV)
            return false;
        struct iovec *v = &c->iov[(*count)++];
        *v = req->pieces[i];
        if (i == req->piece_at) {
            v->iov_base = (uint8_t *)v->iov_base + req->piece_sent;
            v->iov_len -= req->piece_sent;
        }
    }
    return true;
}

static uint32_t gather_ready_replies(struct conn *c)
{
    uint32_t count = 0;
    for (struct list *node = c->requests.next; node != &c->requests; node = node->next) {
        const struct request *req = container_of(node, struct request, link);
        if (req->state != REQUEST_READY || !gather_reply(c, req, &count))
            break;
    }
    return count;
}

/* Returns how many of `bytes` belonged to later replies. */
static size_t advance_reply(struct request *req, size_t bytes)
{
    while (bytes > 0 && req->piece_at < req->piece_count) {
        size_t left = req->pieces[req->piece_at].iov_len - req->piece_sent;
        size_t n = bytes < left ? bytes : left;
        req->piece_sent += n;
        bytes -= n;
        if (n == left) {
            req->piece_at++;
            req->piece_sent = 0;
        }
    }
    return bytes;
}

static void account_sent_bytes(struct conn *c, size_t bytes)
{
    c->server->counters.sent_bytes += bytes;
    for (struct list *node = c->requests.next; bytes > 0; node = node->next) {
        assert(node != &c->requests);
        bytes = advance_reply(container_of(node, struct request, link), bytes);
    }
}

static void send_done(struct io_op *op, int32_t res)
{
    struct conn *c = container_of(op, struct conn, send);
    c->send_pending = false;
    if (res > 0) {
        c->active_ns = shard_of_conn(c)->now_ns;
        account_sent_bytes(c, (size_t)res);
    } else {
        conn_close(c);
    }
    conn_kick(c);
}

static void send_ready_replies(struct conn *c)
{
    if (c->send_pending)
        return;
    remove_sent_requests(c);
    uint32_t count = gather_ready_replies(c);
    if (count == 0)
        return;
    c->send_pending = true;
    c->active_ns = shard_of_conn(c)->now_ns;
    io_send(shard_of_conn(c)->io, &c->send, &c->file, c->iov, count, send_done);
}

static void finish_conn_turn(struct shard_defer *d)
{
    struct conn *c = container_of(d, struct conn, turn_end);
    if (!c->closing) {
        send_ready_replies(c);
        c->blocked = false;
        if (c->in && !c->recv_pending && !list_linked(&c->starved_link))
            parse_input(c);
        receive_more(c);
        watch_conn_deadline(c);
        if (c->server->stopping && c->in_flight.count == 0)
            conn_close(c);
    }
    if (c->closing)
        finish_conn_closing(c);
}

/* --- beginning --- */

static void name_peer(struct conn *c)
{
    if (io_socket_names(c->file.fd, &c->names) != ERR_NONE)
        memset(&c->names, 0, sizeof c->names); /* it is gone already, and the first receive will say so */
    bool six = strchr(c->names.peer, ':');
    snprintf(c->peer, sizeof c->peer, "%s%s%s:%u", six ? "[" : "", c->names.peer, six ? "]" : "", c->names.peer_port);
}

static void told_back(struct told *t)
{
    conn_kick(container_of(t, struct conn, told));
}

void conn_open(struct server *sv, int fd, const struct listener *listener)
{
    struct io_file file;
    io_file_init(&file, fd);
    struct conn *c = heap_zalloc(sv->shard->heap, sizeof *c);
    if (!c) {
        sv->counters.refused++;
        io_close(sv->shard->io, &file);
        return;
    }
    c->server = sv;
    c->listener = listener;
    c->file = file;
    list_init(&c->link);
    list_init(&c->starved_link);
    list_init(&c->requests);
    told_init(&c->told, sv->shard, c->names.peer, told_back);
    shard_defer_init(&c->turn_end, finish_conn_turn);
    timer_init(&c->timer, conn_deadline_due);
    c->active_ns = sv->shard->now_ns;
    name_peer(c);
    if (!server_admit(sv, c)) {
        io_close(sv->shard->io, &c->file);
        heap_free(sv->shard->heap, c);
        return;
    }
    io_file_attach(sv->shard->io, &c->file);
    receive_more(c);
    watch_conn_deadline(c);
}

static const struct listener *advertised_listener(const struct conn *c)
{
    const struct broker_config *config = server_config(c->server);
    for (uint32_t i = 0; i < config->advertised_count; i++)
        if (strcmp(config->advertised[i].name, c->listener->name) == 0)
            return &config->advertised[i];
    return NULL;
}

void conn_address(const struct conn *c, struct kview *out_host, int32_t *out_port)
{
    const struct listener *l = advertised_listener(c);
    const char *host = l ? l->host : c->names.local;
    *out_host = (struct kview){(const uint8_t *)host, (int32_t)strlen(host)};
    *out_port = l ? l->port : c->names.local_port;
}

/* --- who comes to the address --- */

/* Goes into log lines: only what is surely harmless there. */
static void put_plain_text(char *out, size_t room, struct kview text)
{
    size_t n = text.n < 0 ? 0 : u64_min((uint64_t)text.n, room - 1);
    for (size_t i = 0; i < n; i++)
        out[i] =
            text.at[i] > ' ' && text.at[i] < 127 && text.at[i] != '"' && text.at[i] != '\\' ? (char)text.at[i] : '?';
    out[n] = 0;
}

static bool client_software_is(const struct conn *c, const char *begin)
{
    return strncmp(c->software, begin, strlen(begin)) == 0;
}

static struct homecoming_name name_client(const struct conn *c, struct kview client_id)
{
    bool java = client_software_is(c, "apache-kafka-java "), python = client_software_is(c, "kafka-python ");
    struct homecoming_name name = {.opens_anew = java || python, .leaves_first = python};
    struct kview host;
    int32_t port;
    conn_address(c, &host, &port);
    bool six = memchr(host.at, ':', (size_t)host.n);
    snprintf(name.told, sizeof name.told, "%s%.*s%s:%d", six ? "[" : "", host.n, (const char *)host.at, six ? "]" : "",
             port);
    snprintf(name.software, sizeof name.software, "%s", c->software);
    put_plain_text(name.client_id, sizeof name.client_id, client_id);
    return name;
}

void conn_asks_way(struct conn *c, enum told_way way, struct kview client_id)
{
    struct homecoming_name name = name_client(c, client_id);
    bool opening = way == TOLD_OPENING && !name.opens_anew; /* others who ask for no topic only look around */
    told_note(&c->told, opening ? TOLD_OF_ALL : way, &name);
}

void conn_came(struct conn *c)
{
    told_came(&c->told);
}
