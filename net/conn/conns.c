/* The connections of one shard: their counts and limits, those that wait for memory, and the stop. */
#include "net/conn/conns.h"
#include "core/clock.h"
#include "net/conn/conn.h"
#include <stdatomic.h>

struct peer {
    uint32_t count;
    char address[IO_NAME_MAX];
};

static void resume_starved(struct timer *t);
static void forget_sends(struct shard_defer *d);

enum err conns_init(struct conns *cs, struct shard *s, const struct conn_handler *handler, struct shard_defer *quiet)
{
    cs->shard = s;
    cs->heap = bufpool_part(s->bufs, bufpool_max_bytes(s->bufs) / CONNS_SHARE, false, &cs->meter);
    if (!cs->heap)
        return ERR_NO_MEMORY;
    cs->handler = handler;
    cs->quiet = quiet;
    list_init(&cs->acceptors);
    list_init(&cs->all);
    list_init(&cs->starved);
    list_init(&cs->unfinished);
    map_init(&cs->peers, cs->heap);
    blocks_init(&cs->blocks, s, bufpool_max_bytes(s->bufs) / 2);
    timer_init(&cs->starved_timer, resume_starved);
    shard_defer_init(&cs->sends_over, forget_sends);
    return ERR_NONE;
}

void conns_deinit(struct conns *cs)
{
    timer_stop(&cs->shard->timers, &cs->starved_timer);
    list_remove(&cs->sends_over.link);
    blocks_deinit(&cs->blocks);
    map_deinit(&cs->peers);
    bufpool_part_close(cs->shard->bufs, cs->heap, cs->meter);
}

/* --- limits --- */

static _Atomic uint32_t *count_of_all_conns(const struct conns *cs)
{
    return &cs->handler->first(cs)->everywhere;
}

static struct peer *get_peer(struct conns *cs, const char *address)
{
    size_t bytes = strlen(address);
    struct peer *p = map_get(&cs->peers, address, bytes);
    if (p)
        return p;
    p = heap_zalloc(cs->heap, sizeof *p);
    if (!p)
        return NULL;
    memcpy(p->address, address, bytes);
    if (map_put(&cs->peers, p->address, bytes, p) == ERR_NONE)
        return p;
    heap_free(cs->heap, p);
    return NULL;
}

static void drop_unused_peer(struct conns *cs, struct peer *p)
{
    if (p->count > 0)
        return;
    (void)map_remove(&cs->peers, p->address, strlen(p->address)); /* it is p */
    heap_free(cs->heap, p);
}

static const char *count_peer_in(struct conns *cs, struct peer *p)
{
    if (p->count >= conns_config(cs)->max_connections_per_ip)
        return "max.connections.per.ip is reached";
    if (atomic_fetch_add(count_of_all_conns(cs), 1) >= conns_config(cs)->max_connections) {
        atomic_fetch_sub(count_of_all_conns(cs), 1);
        return "max.connections is reached";
    }
    p->count++;
    cs->count++;
    return NULL;
}

const char *conns_count_in(struct conns *cs, const char *address)
{
    if (cs->stopping)
        return "the broker is stopping";
    struct peer *p = get_peer(cs, address);
    if (!p)
        return "there is no memory for it";
    const char *why = count_peer_in(cs, p);
    drop_unused_peer(cs, p);
    return why;
}

void conns_count_out(struct conns *cs, const char *address)
{
    struct peer *p = map_get(&cs->peers, address, strlen(address));
    assert(p);
    assert(p->count > 0);
    assert(cs->count > 0);
    p->count--;
    drop_unused_peer(cs, p);
    cs->count--;
    atomic_fetch_sub(count_of_all_conns(cs), 1);
    if (cs->stopping)
        shard_defer(cs->shard, cs->quiet);
}

/* --- sends --- */

static void forget_sends(struct shard_defer *d)
{
    container_of(d, struct conns, sends_over)->sent_bytes = 0;
}

bool conns_may_send(struct conns *cs, size_t bytes)
{
    if (bytes <= SEND_SMALL_BYTES)
        return true;
    assert(bytes <= SENDS_BYTES_PER_TURN);
    if (bytes > SENDS_BYTES_PER_TURN - cs->sent_bytes)
        return false;
    cs->sent_bytes += bytes;
    shard_defer(cs->shard, &cs->sends_over);
    return true;
}

/* --- memory --- */

void conns_starve(struct conns *cs, struct list *link)
{
    cs->counters.starved++;
    if (!list_linked(link))
        list_push(&cs->starved, link);
    if (!timer_started(&cs->starved_timer))
        timer_start(&cs->shard->timers, &cs->starved_timer, cs->shard->now_ns + STARVED_RETRY_MS * NS_PER_MS);
}

static void resume_starved(struct timer *t)
{
    struct conns *cs = container_of(t, struct conns, starved_timer);
    struct list now, *node;
    list_init(&now);
    list_splice(&now, &cs->starved);
    while ((node = list_pop(&now)))
        conn_resume(container_of(node, struct conn, starved_link));
}

/* --- stop --- */

static void tell_each_conn(struct conns *cs, void (*tell)(struct conn *c))
{
    struct list *node, *next;
    for (node = cs->all.next; node != &cs->all; node = next) {
        next = node->next;
        tell(container_of(node, struct conn, link));
    }
}

/* What waits is told to end; a connection without requests is closed at the end of this turn. */
static void wind_down_conn(struct conn *c)
{
    conn_cancel(c);
    conn_kick(c);
}

void conns_stop(struct conns *cs)
{
    assert(!cs->stopping);
    cs->stopping = true;
    acceptors_stop(cs);
    tell_each_conn(cs, wind_down_conn);
    shard_defer(cs->shard, cs->quiet);
}

void conns_cut(struct conns *cs)
{
    tell_each_conn(cs, conn_close);
}
