/* Connections: replies leave in request order, gathered into one send. */
#include "net/conn/conn.h"

static void remove_exchange(struct conn *c, struct exchange *e)
{
    assert(e->state == EXCHANGE_READY);
    list_remove(&e->link);
    order_ended(&c->in_flight, e->frame_bytes);
    e->state = EXCHANGE_SENT;
    e->conn = NULL;
    c->conns->handler->over(e);
}

/* Nobody takes the replies any more. */
void conn_drop_replies(struct conn *c)
{
    struct list *node, *next;
    for (node = c->exchanges.next; node != &c->exchanges; node = next) {
        struct exchange *e = container_of(node, struct exchange, link);
        next = node->next;
        if (e->state == EXCHANGE_READY)
            remove_exchange(c, e);
    }
}

/* Those at the front that have nothing (more) to send. */
static void remove_sent_exchanges(struct conn *c)
{
    struct list *node;
    while ((node = list_first(&c->exchanges))) {
        struct exchange *e = container_of(node, struct exchange, link);
        if (e->state != EXCHANGE_READY || e->piece_at < e->piece_count)
            return;
        if (e->piece_count > 0)
            c->conns->counters.replies++;
        remove_exchange(c, e);
    }
}

/* Adds the unsent pieces of one reply; false when the list is full. */
static bool gather_reply(struct conn *c, const struct exchange *e, uint32_t *count)
{
    for (uint32_t i = e->piece_at; i < e->piece_count; i++) {
        if (*count == CONN_IOV)
            return false;
        struct iovec *v = &c->iov[(*count)++];
        *v = e->pieces[i];
        if (i == e->piece_at) {
            v->iov_base = (uint8_t *)v->iov_base + e->piece_sent;
            v->iov_len -= e->piece_sent;
        }
    }
    return true;
}

static uint32_t gather_ready_replies(struct conn *c)
{
    uint32_t count = 0;
    for (struct list *node = c->exchanges.next; node != &c->exchanges; node = node->next) {
        const struct exchange *e = container_of(node, struct exchange, link);
        if (e->state != EXCHANGE_READY || !gather_reply(c, e, &count))
            break;
    }
    return count;
}

/* Returns how many of `bytes` belonged to later replies. */
static size_t advance_reply(struct exchange *e, size_t bytes)
{
    while (bytes > 0 && e->piece_at < e->piece_count) {
        size_t left = e->pieces[e->piece_at].iov_len - e->piece_sent;
        size_t n = bytes < left ? bytes : left;
        e->piece_sent += n;
        bytes -= n;
        if (n == left) {
            e->piece_at++;
            e->piece_sent = 0;
        }
    }
    return bytes;
}

static void account_sent_bytes(struct conn *c, size_t bytes)
{
    c->conns->counters.sent_bytes += bytes;
    for (struct list *node = c->exchanges.next; bytes > 0; node = node->next) {
        assert(node != &c->exchanges);
        bytes = advance_reply(container_of(node, struct exchange, link), bytes);
    }
}

static void send_done(struct io_op *op, int32_t res)
{
    struct conn *c = container_of(op, struct conn, stream.send);
    stream_sent(&c->stream);
    if (res > 0) {
        c->active_ns = conn_shard(c)->now_ns;
        account_sent_bytes(c, (size_t)res);
    } else {
        conn_close(c);
    }
    conn_kick(c);
}

/* How many of them one send takes, the last one perhaps in part: a shard's turn is not to be one large reply's. */
static uint32_t bound_send(struct iovec *v, uint32_t count)
{
    size_t left = SEND_BYTES_MAX;
    for (uint32_t i = 0; i < count; i++) {
        if (v[i].iov_len >= left) {
            v[i].iov_len = left;
            return i + 1;
        }
        left -= v[i].iov_len;
    }
    return count;
}

static size_t sum_pieces(const struct iovec *v, uint32_t count)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += v[i].iov_len;
    return bytes;
}

void conn_send(struct conn *c)
{
    if (c->stream.sending)
        return;
    remove_sent_exchanges(c);
    uint32_t count = bound_send(c->iov, gather_ready_replies(c));
    if (count == 0)
        return;
    if (!conns_may_send(c->conns, sum_pieces(c->iov, count))) {
        conn_kick(c);
        return;
    }
    c->active_ns = conn_shard(c)->now_ns;
    stream_send(&c->stream, c->iov, count, send_done);
}
