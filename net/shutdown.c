/* A clean stop of the whole broker. */
#include "net/shutdown.h"
#include "core/log.h"
#include "net/group/coordinator.h"
#include "net/txn/txn_coordinator.h"

static void begin_shutdown_step(struct shutdown *sd, enum shutdown_step step);

/* --- on shard 0 --- */

static enum shutdown_step next_shutdown_step(enum shutdown_step step)
{
    switch (step) {
    case SHUTDOWN_NOT: return SHUTDOWN_SERVERS;
    case SHUTDOWN_SERVERS: return SHUTDOWN_TXNS;
    case SHUTDOWN_TXNS: return SHUTDOWN_GROUPS;
    case SHUTDOWN_GROUPS: return SHUTDOWN_STORES;
    case SHUTDOWN_STORES: return SHUTDOWN_LOOPS;
    case SHUTDOWN_LOOPS: return SHUTDOWN_LOOPS;
    }
    assert(!"a step");
    return SHUTDOWN_LOOPS;
}

static void shutdown_part_over(struct shard *at, struct shard_msg *msg)
{
    struct shutdown *sd = container_of(msg, struct shutdown_part, msg)->all;
    assert(at == sd->first);
    countdown_done(&sd->out);
}

static void shutdown_step_over(struct countdown *c)
{
    struct shutdown *sd = container_of(c, struct shutdown, out);
    begin_shutdown_step(sd, next_shutdown_step(sd->step));
}

/* --- on each shard --- */

static void report_shutdown_part(struct shutdown_part *p)
{
    shard_msg_init(&p->msg, shutdown_part_over);
    shard_send(p->shard, 0, &p->msg);
}

static void shutdown_server_stopped(struct server *sv)
{
    report_shutdown_part(sv->shutdown);
}

static void shutdown_store_stopped(struct store *st)
{
    report_shutdown_part(server_of(st->shard)->shutdown);
}

static void run_shutdown_step(struct shard *at, struct shard_msg *msg)
{
    struct shutdown_part *p = container_of(msg, struct shutdown_part, msg);
    struct server *sv = server_of(at);
    p->shard = at;
    sv->shutdown = p;
    switch (p->all->step) {
    case SHUTDOWN_SERVERS: server_stop(sv, shutdown_server_stopped); return;
    case SHUTDOWN_TXNS: txn_shard_stop(sv, shutdown_server_stopped); return;
    case SHUTDOWN_GROUPS: coordinator_stop(sv, shutdown_server_stopped); return;
    case SHUTDOWN_STORES: store_stop(store_of(at), shutdown_store_stopped); return;
    case SHUTDOWN_LOOPS: at->stop = true; return;
    case SHUTDOWN_NOT: break;
    }
    assert(!"a step");
}

static void begin_shutdown_step(struct shutdown *sd, enum shutdown_step step)
{
    sd->step = step;
    countdown_begin(&sd->out, shutdown_step_over);
    for (uint16_t i = 0; i < sd->first->count; i++) {
        countdown_add(&sd->out);
        shard_msg_init(&sd->parts[i].msg, run_shutdown_step);
        shard_send(sd->first, i, &sd->parts[i].msg);
    }
    countdown_done(&sd->out);
}

void shutdown_start(struct shutdown *sd, struct shard *first)
{
    assert(first->id == 0);
    if (sd->step != SHUTDOWN_NOT)
        return;
    log_info("stopping", "shards=%u", first->count);
    sd->first = first;
    for (uint16_t i = 0; i < first->count; i++)
        sd->parts[i].all = sd;
    begin_shutdown_step(sd, SHUTDOWN_SERVERS);
}
