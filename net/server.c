/* The network side of one shard: start and stop. */
#include "net/server.h"
#include "core/clock.h"
#include "core/log.h"

/* --- what connections ask of it --- */

static void start_request(struct conn *c, struct block *b, const uint8_t *frame, uint32_t bytes)
{
    request_start(&server_of(c->conns->shard)->requests, c, b, frame, bytes);
}

static struct conns *conns_of_first_shard(const struct conns *cs)
{
    return &server_of(shard_at(cs->shard->group, 0))->conns;
}

/* --- fetch sessions --- */

enum { SESSION_PARTS_PER_UNIT = 4 }; /* freed by a unit of a step (steps.h): each is some 200 ns when it is cold */

static bool free_sessions_step(struct steps *s)
{
    struct server *sv = container_of(s, struct server, session_steps);
    return sessions_free_some(&sv->sessions, s->left * SESSION_PARTS_PER_UNIT);
}

void server_free_sessions(struct server *sv)
{
    if (sessions_have_closed(&sv->sessions))
        steps_resume(&sv->steps, &sv->session_steps);
}

/* --- start --- */

static void stop_deadline_due(struct timer *t);
static void check_stopped(struct shard_defer *d);

static uint32_t session_slots_of_shard(const struct shard *s, const struct broker_config *config)
{
    return (uint32_t)u64_max(config->fetch_session_slots / s->count, config->fetch_session_slots ? 1 : 0);
}

enum err server_start(struct shard *s, struct root *root, const struct topology *topology,
                      const struct dispatcher *dispatcher)
{
    struct server *sv = heap_zalloc(s->heap, sizeof *sv);
    if (!sv)
        return ERR_NO_MEMORY;
    sv->shard = s;
    sv->root = root;
    sv->topology = topology;
    sv->handler = (struct conn_handler){.overlaps = dispatcher->overlaps,
                                        .start = start_request,
                                        .cancel = request_cancel,
                                        .over = request_over,
                                        .first = conns_of_first_shard};
    shard_defer_init(&sv->stop_check, check_stopped);
    sv->session_heap = bufpool_part(s->bufs, bufpool_max_bytes(s->bufs) / SESSIONS_SHARE, true, &sv->session_meter);
    if (!sv->session_heap || conns_init(&sv->conns, s, &sv->handler, &sv->stop_check))
        goto no_memory;
    requests_init(&sv->requests, s, sv, dispatcher, u64_max(bufpool_max_bytes(s->bufs) / 4, REQUESTS_MEMORY_MIN),
                  &sv->stop_check);
    producer_ids_init(&sv->producer_ids, s);
    timer_init(&sv->stop_timer, stop_deadline_due);
    steps_line_init(&sv->steps, s);
    steps_init(&sv->session_steps, free_sessions_step);
    sessions_init(&sv->sessions, sv->session_heap, server_catalog(sv), session_slots_of_shard(s, server_config(sv)),
                  rng_next(&s->rng));
    s->net = sv;
    return ERR_NONE;
no_memory:
    if (sv->session_heap)
        bufpool_part_close(s->bufs, sv->session_heap, sv->session_meter);
    heap_free(s->heap, sv);
    return ERR_NO_MEMORY;
}

enum err server_listen(struct server *sv, int fd, const struct listener *listener)
{
    return conns_listen(&sv->conns, fd, listener);
}

void server_close(struct server *sv)
{
    struct shard *s = sv->shard;
    timer_stop(&s->timers, &sv->stop_timer);
    list_remove(&sv->stop_check.link);
    list_remove(&sv->steps.defer.link); /* sessions that were still being freed */
    sessions_deinit(&sv->sessions);
    bufpool_part_close(s->bufs, sv->session_heap, sv->session_meter);
    requests_deinit(&sv->requests);
    conns_deinit(&sv->conns);
    s->net = NULL;
    heap_free(s->heap, sv);
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
    if (conns_are_gone(&sv->conns) && sv->requests.count == 0)
        finish_stop(sv);
}

/* First the connections are cut, then those requests are left alone that still did not come back. */
static void stop_deadline_due(struct timer *t)
{
    struct server *sv = container_of(t, struct server, stop_timer);
    if (sv->conns.count == 0) {
        log_warn("requests did not finish", "count=%u", sv->requests.count);
        finish_stop(sv);
        return;
    }
    bool again = sv->stop_cut;
    sv->stop_cut = true;
    conns_cut(&sv->conns);
    if (again)
        finish_stop(sv);
    else
        timer_start(&sv->shard->timers, &sv->stop_timer, sv->shard->now_ns + CONN_STOP_S * NS_PER_S);
}

void server_stop(struct server *sv, void (*stopped)(struct server *sv))
{
    assert(!sv->stopping);
    sv->stopping = sv->requests.stopping = true;
    sv->stopped = stopped;
    conns_stop(&sv->conns);
    timer_start(&sv->shard->timers, &sv->stop_timer, sv->shard->now_ns + CONN_STOP_S * NS_PER_S);
    shard_defer(sv->shard, &sv->stop_check);
}
