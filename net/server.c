/* The network side of one shard: start, limits, stop. */
#include "net/server.h"
#include "core/clock.h"
#include "core/log.h"
#include "net/conn/conn.h"
#include "net/conn/request.h"
#include <stdatomic.h>

struct peer {
    uint32_t count;
    char address[IO_NAME_MAX];
};

/* --- start --- */

static void resume_starved(struct timer *t);
static void stop_deadline_due(struct timer *t);
static void check_stopped(struct shard_defer *d);

static uint32_t session_slots_of_shard(const struct shard *s, const struct broker_config *config)
{
    return (uint32_t)u64_max(config->fetch_session_slots / s->count, config->fetch_session_slots ? 1 : 0);
}

enum err server_start(struct shard *s, struct root *root)
{
    struct server *sv = heap_zalloc(s->heap, sizeof *sv);
    if (!sv)
        return ERR_NO_MEMORY;
    sv->shard = s;
    sv->root = root;
    list_init(&sv->acceptors);
    list_init(&sv->conns);
    list_init(&sv->free_requests);
    list_init(&sv->starved);
    list_init(&sv->producer_ids.waiting);
    map_init(&sv->peers, s->heap);
    blocks_init(&sv->blocks, s, bufpool_max_bytes(s->bufs) / 2);
    sv->request_bytes_max = u64_max(bufpool_max_bytes(s->bufs) / 4, REQUESTS_MEMORY_MIN);
    timer_init(&sv->starved_timer, resume_starved);
    timer_init(&sv->stop_timer, stop_deadline_due);
    timer_init(&sv->homecoming_timer, told_judge);
    homecoming_init(&sv->homecoming, s->heap);
    shard_defer_init(&sv->stop_check, check_stopped);
    steps_line_init(&sv->steps, s);
    sessions_init(&sv->sessions, s->heap, server_catalog(sv), session_slots_of_shard(s, server_config(sv)),
                  rng_next(&s->rng));
    s->net = sv;
    return ERR_NONE;
}

static void free_kept_requests(struct server *sv)
{
    struct list *node;
    while ((node = list_pop(&sv->free_requests)))
        heap_free(sv->shard->heap, container_of(node, struct request, link));
}

void server_close(struct server *sv)
{
    struct shard *s = sv->shard;
    timer_stop(&s->timers, &sv->starved_timer);
    timer_stop(&s->timers, &sv->stop_timer);
    timer_stop(&s->timers, &sv->homecoming_timer);
    homecoming_deinit(&sv->homecoming);
    list_remove(&sv->stop_check.link);
    sessions_deinit(&sv->sessions);
    free_kept_requests(sv);
    blocks_deinit(&sv->blocks);
    map_deinit(&sv->peers);
    s->net = NULL;
    heap_free(s->heap, sv);
}

/* --- limits --- */

bool server_notice(struct server *sv)
{
    struct notices *n = &sv->notices;
    uint64_t now = sv->shard->now_ns;
    if (now - n->window_ns >= NS_PER_S)
        *n = (struct notices){.window_ns = now};
    if (n->in_window++ < NOTICE_PER_S)
        return true;
    sv->counters.notices_hidden++;
    return false;
}

/* All shards have a server while any loop runs. */
static _Atomic uint32_t *count_of_all_conns(struct server *sv)
{
    return sv->shard->id == 0 ? &sv->all_conns : &server_of(shard_at(sv->shard->group, 0))->all_conns;
}

static bool refuse_conn(struct server *sv, const struct conn *c, const char *why)
{
    sv->counters.refused++;
    if (server_notice(sv))
        log_warn("refused", "peer=%s because %s", c->peer, why);
    return false;
}

static struct peer *get_peer(struct server *sv, const char *address)
{
    size_t bytes = strlen(address);
    struct peer *p = map_get(&sv->peers, address, bytes);
    if (p)
        return p;
    p = heap_zalloc(sv->shard->heap, sizeof *p);
    if (!p)
        return NULL;
    memcpy(p->address, address, bytes);
    if (map_put(&sv->peers, p->address, bytes, p) == ERR_NONE)
        return p;
    heap_free(sv->shard->heap, p);
    return NULL;
}

static void drop_unused_peer(struct server *sv, struct peer *p)
{
    if (p->count > 0)
        return;
    (void)map_remove(&sv->peers, p->address, strlen(p->address)); /* it is p */
    heap_free(sv->shard->heap, p);
}

/* NULL, or why not. */
static const char *count_conn_in(struct server *sv, struct peer *p)
{
    if (p->count >= server_config(sv)->max_connections_per_ip)
        return "max.connections.per.ip is reached";
    if (atomic_fetch_add(count_of_all_conns(sv), 1) >= server_config(sv)->max_connections) {
        atomic_fetch_sub(count_of_all_conns(sv), 1);
        return "max.connections is reached";
    }
    p->count++;
    return NULL;
}

bool server_admit(struct server *sv, struct conn *c)
{
    if (sv->stopping)
        return refuse_conn(sv, c, "the broker is stopping");
    struct peer *p = get_peer(sv, c->names.peer);
    if (!p)
        return refuse_conn(sv, c, "there is no memory for it");
    const char *why = count_conn_in(sv, p);
    if (why) {
        drop_unused_peer(sv, p);
        return refuse_conn(sv, c, why);
    }
    sv->conn_count++;
    sv->counters.accepted++;
    list_push(&sv->conns, &c->link);
    log_debug("accepted", "peer=%s listener=%s", c->peer, c->listener->name);
    return true;
}

void server_forget(struct server *sv, struct conn *c)
{
    struct peer *p = map_get(&sv->peers, c->names.peer, strlen(c->names.peer));
    assert(p);
    assert(p->count > 0);
    assert(sv->conn_count > 0);
    p->count--;
    drop_unused_peer(sv, p);
    sv->conn_count--;
    atomic_fetch_sub(count_of_all_conns(sv), 1);
    list_remove(&c->link);
    if (sv->stopping)
        shard_defer(sv->shard, &sv->stop_check);
}

static void resume_starved(struct timer *t)
{
    struct server *sv = container_of(t, struct server, starved_timer);
    struct list now, *node;
    list_init(&now);
    list_splice(&now, &sv->starved);
    while ((node = list_pop(&now)))
        conn_resume(container_of(node, struct conn, starved_link));
}

/* --- stop --- */

static void finish_stop(struct server *sv)
{
    if (sv->stop_over)
        return;
    sv->stop_over = true;
    timer_stop(&sv->shard->timers, &sv->stop_timer);
    sv->stopped(sv);
}

static void check_stopped(struct shard_defer *d)
{
    struct server *sv = container_of(d, struct server, stop_check);
    if (sv->conn_count == 0 && sv->request_count == 0 && list_empty(&sv->acceptors))
        finish_stop(sv);
}

static void tell_each_conn(struct server *sv, void (*tell)(struct conn *c))
{
    struct list *node, *next;
    for (node = sv->conns.next; node != &sv->conns; node = next) {
        next = node->next;
        tell(container_of(node, struct conn, link));
    }
}

/* First the connections are cut, then those requests are left alone that still did not come back. */
static void stop_deadline_due(struct timer *t)
{
    struct server *sv = container_of(t, struct server, stop_timer);
    if (sv->conn_count == 0) {
        log_warn("requests did not finish", "count=%u", sv->request_count);
        finish_stop(sv);
        return;
    }
    bool again = sv->stop_cut;
    sv->stop_cut = true;
    tell_each_conn(sv, conn_close);
    if (again)
        finish_stop(sv);
    else
        timer_start(&sv->shard->timers, &sv->stop_timer, sv->shard->now_ns + CONN_STOP_S * NS_PER_S);
}

/* What waits is told to end; a connection without requests is closed at the end of this turn. */
static void wind_down_conn(struct conn *c)
{
    conn_cancel(c);
    conn_kick(c);
}

void server_stop(struct server *sv, void (*stopped)(struct server *sv))
{
    assert(!sv->stopping);
    sv->stopping = true;
    sv->stopped = stopped;
    acceptors_stop(sv);
    tell_each_conn(sv, wind_down_conn);
    timer_start(&sv->shard->timers, &sv->stop_timer, sv->shard->now_ns + CONN_STOP_S * NS_PER_S);
    shard_defer(sv->shard, &sv->stop_check);
}
