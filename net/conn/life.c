/* Connections: how they begin, their deadlines, the end of a turn, and how they end. */
#include "core/clock.h"
#include "core/log.h"
#include "net/conn/conn.h"

/* --- ending --- */

void conn_cancel(struct conn *c)
{
    struct list *node, *next;
    for (node = c->exchanges.next; node != &c->exchanges; node = next) {
        struct exchange *e = container_of(node, struct exchange, link);
        next = node->next;
        if (e->state == EXCHANGE_RUNNING)
            c->conns->handler->cancel(e);
    }
}

void conn_close(struct conn *c)
{
    if (c->closing)
        return;
    c->closing = true;
    c->conns->counters.closed++;
    list_remove(&c->starved_link);
    stream_shutdown(&c->stream);
    conn_cancel(c);
    conn_kick(c);
}

void conn_fail(struct conn *c, const char *why)
{
    if (c->closing)
        return;
    c->conns->counters.failed++;
    if (conns_notice(c->conns))
        log_warn("closed", "peer=%s software=\"%s\" because %s", c->peer, c->software, why);
    conn_close(c);
}

void conn_kick(struct conn *c)
{
    shard_defer_last(conn_shard(c), &c->turn_end);
}

static void finish_conn_closing(struct conn *c)
{
    if (c->stream.sending)
        return;
    conn_drop_replies(c);
    if (c->stream.receiving || c->in_flight.count > 0)
        return;
    conn_drop_input(c);
    timer_stop(&conn_shard(c)->timers, &c->timer);
    list_remove(&c->turn_end.link);
    list_remove(&c->starved_link);
    list_remove(&c->link);
    io_spend(conn_shard(c)->io, CLOSE_SPENDS_BYTES);
    stream_close(&c->stream);
    conns_count_out(c->conns, c->names.peer);
    heap_free(c->conns->heap, c);
}

/* --- deadlines --- */

static uint64_t idle_deadline_of_conn(const struct conn *c, uint64_t since_ns)
{
    int64_t idle_ms = conns_config(c->conns)->connections_max_idle_ms;
    return idle_ms > 0 ? since_ns + (uint64_t)idle_ms * NS_PER_MS : TIMER_NEVER;
}

static uint64_t deadline_of_conn(const struct conn *c)
{
    uint64_t frame = c->frame_since_ns ? c->frame_since_ns + CONN_FRAME_S * NS_PER_S : TIMER_NEVER;
    bool ours = c->in_flight.count > 0 && !c->stream.sending; /* it waits for us, not we for it */
    return u64_min(frame, idle_deadline_of_conn(c, ours ? conn_shard(c)->now_ns : c->active_ns));
}

/* The timer is moved only when it would come too late; when it comes too early, it is started again. */
void conn_watch_deadline(struct conn *c)
{
    uint64_t at = deadline_of_conn(c);
    if (at != TIMER_NEVER && (!timer_started(&c->timer) || c->timer.deadline_ns > at))
        timer_start(&conn_shard(c)->timers, &c->timer, at);
}

/* The shard stood still since (core/shard.h): what it sent meanwhile may lie unread, so all its time begins again. */
static bool conn_has_time_again(struct conn *c, uint64_t now_ns)
{
    if (c->stood_ns == conn_shard(c)->stood_ns)
        return false;
    c->stood_ns = conn_shard(c)->stood_ns;
    c->active_ns = now_ns;
    if (c->frame_since_ns)
        c->frame_since_ns = now_ns;
    return true;
}

static void conn_deadline_due(struct timer *t)
{
    struct conn *c = container_of(t, struct conn, timer);
    uint64_t now = conn_shard(c)->now_ns;
    if (c->closing)
        return;
    if (deadline_of_conn(c) > now || conn_has_time_again(c, now)) {
        conn_watch_deadline(c);
    } else if (c->frame_since_ns && c->frame_since_ns + CONN_FRAME_S * NS_PER_S <= now) {
        conn_fail(c, "it did not complete a request in time");
    } else if (c->stream.sending) {
        conn_fail(c, "it does not read its replies");
    } else {
        log_debug("closed", "peer=%s idle", c->peer);
        conn_close(c);
    }
}

/* --- turns --- */

static void finish_conn_turn(struct shard_defer *d)
{
    struct conn *c = container_of(d, struct conn, turn_end);
    if (!c->closing) {
        conn_send(c);
        c->blocked = false;
        if (c->in && !c->stream.receiving && !list_linked(&c->starved_link))
            conn_parse(c);
        conn_receive(c);
        conn_watch_deadline(c);
        if (c->conns->stopping && c->in_flight.count == 0)
            conn_close(c);
    }
    if (c->closing)
        finish_conn_closing(c);
}

void conn_started(struct conn *c, struct exchange *e, bool overlaps, uint32_t frame_bytes)
{
    assert(!c->closing);
    *e = (struct exchange){.conn = c, .frame_bytes = frame_bytes};
    list_init(&e->link);
    list_push(&c->exchanges, &e->link);
    order_started(&c->in_flight, overlaps, frame_bytes);
}

/* --- beginning --- */

static void refuse_conn(struct conns *cs, const struct conn *c, const char *why)
{
    cs->counters.refused++;
    if (conns_notice(cs))
        log_warn("refused", "peer=%s because %s", c->peer, why);
}

/* False: there is no memory. */
static struct conn *make_conn(struct conns *cs, int fd, const struct listener *listener)
{
    struct conn *c = heap_zalloc(cs->heap, sizeof *c);
    if (!c)
        return NULL;
    c->conns = cs;
    c->listener = listener;
    c->active_ns = cs->shard->now_ns;
    c->stood_ns = cs->shard->stood_ns;
    stream_open(&c->stream, cs->shard->io, fd);
    list_init(&c->link);
    list_init(&c->starved_link);
    list_init(&c->unfinished_link);
    list_init(&c->exchanges);
    shard_defer_init(&c->turn_end, finish_conn_turn);
    timer_init(&c->timer, conn_deadline_due);
    conn_name_peer(c);
    return c;
}

void conn_open(struct conns *cs, int fd, const struct listener *listener)
{
    io_spend(cs->shard->io, ACCEPT_SPENDS_BYTES);
    bufpool_expect(cs->shard->bufs);
    struct conn *c = make_conn(cs, fd, listener);
    if (!c) {
        struct io_file file;
        io_file_init(&file, fd);
        cs->counters.refused++;
        io_close(cs->shard->io, &file);
        return;
    }
    const char *why = conns_count_in(cs, c->names.peer);
    if (why) {
        refuse_conn(cs, c, why);
        stream_close(&c->stream);
        heap_free(cs->heap, c);
        return;
    }
    cs->counters.accepted++;
    list_push(&cs->all, &c->link);
    log_debug("accepted", "peer=%s listener=%s", c->peer, c->listener->name);
    conn_receive(c);
    conn_watch_deadline(c);
}
