/* What is due in the transactions of one shard: those that are open for longer than they may, and ids that nobody uses any more. */
#include "core/clock.h"
#include "core/log.h"
#include "net/txn/txn_inside.h"

enum { SWEEP_CHANGE_UNITS = 20 };

/* --- time-outs --- */

void txn_entry_abort(struct txn_shard *c, struct txn_entry *e, int64_t now_ms, const char *why)
{
    struct txn_event timeout = {.kind = TXN_TIMEOUT, .now_ms = now_ms, .version = txn_level(c), .fresh_id = -1};
    struct txn_outcome out = txn_event(&e->txn, &timeout);
    struct list nobody;
    list_init(&nobody);
    if (out.action == TXN_WANT_ID) {
        if (!producer_ids_take(&c->server->producer_ids, &timeout.fresh_id)) {
            producer_ids_refill(&c->server->producer_ids);
            return;
        }
        out = txn_event(&e->txn, &timeout);
    }
    log_info("a transaction is aborted", "why=\"%s\" id=\"%.*s\" producer=%lld open_ms=%lld", why, (int)e->coord.id.n,
             (const char *)e->coord.id.at, (long long)e->txn.now.producer_id,
             (long long)(now_ms - e->txn.now.start_ms));
    txn_entry_go_on(e, out, &nobody);
}

static struct coord_log *next_txn_log(struct txn_shard *c)
{
    while (c->sweep.at < c->logs.part_count) {
        struct coord_log *l = c->logs.parts[c->sweep.at++].log;
        if (l && l->state == COORD_LOG_READY)
            return l;
    }
    return NULL;
}

/* False: that was the last one. */
static bool sweep_next_txn(struct txn_shard *c)
{
    struct txn_sweep *w = &c->sweep;
    if (!w->cursor.log) {
        struct coord_log *l = next_txn_log(c);
        if (!l)
            return false;
        coord_cursor_begin(&w->cursor, l);
    }
    struct coord_entry *ce = coord_cursor_next(&w->cursor);
    if (!ce) {
        coord_cursor_end(&w->cursor);
        return true;
    }
    struct txn_entry *e = txn_entry_of(ce);
    if (e->known && txn_entry_overdue(e)) {
        txn_entry_abort(c, e, w->now_ms, "it has timed out"); /* or at the next sweep */
        steps_spend(&w->steps, SWEEP_CHANGE_UNITS);
    }
    return true;
}

static bool sweep_timeouts_step(struct steps *s)
{
    struct txn_shard *c = container_of(container_of(s, struct txn_sweep, steps), struct txn_shard, sweep);
    bool more = true;
    while (more && steps_go_on(s)) {
        more = !c->logs.stopping && sweep_next_txn(c);
        steps_spend(s, 1);
    }
    if (more)
        return true;
    coord_cursor_end(&c->sweep.cursor);
    c->sweep.running = false;
    return false;
}

static void start_timeouts_timer(struct txn_shard *c)
{
    struct shard *s = c->logs.shard;
    uint64_t every_ms = (uint64_t)store_of(s)->config->txn_timeout_check_ms;
    timer_start(&s->timers, &c->timeouts_timer, s->now_ns + every_ms * NS_PER_MS);
}

static void txn_timeouts_due(struct timer *t)
{
    struct txn_shard *c = container_of(t, struct txn_shard, timeouts_timer);
    start_timeouts_timer(c);
    if (c->sweep.running)
        return;
    c->sweep.running = true;
    c->sweep.at = 0;
    c->sweep.cursor.log = NULL;
    c->sweep.now_ms = clock_wall_ms();
    steps_start(&c->server->steps, &c->sweep.steps, sweep_timeouts_step);
}

/* --- expiry --- */

static void expire_txn_log(struct coord_log *l, int64_t now_ms)
{
    txn_log_expire(txn_log_of(l), now_ms, store_of(l->shard)->config->txn_id_expiration_ms);
}

/* --- both --- */

void txn_sweeps_start(struct txn_shard *c)
{
    timer_init(&c->timeouts_timer, txn_timeouts_due);
    list_init(&c->sweep.steps.link);
    start_timeouts_timer(c);
    coord_shard_expire(&c->logs, store_of(c->logs.shard)->config->txn_expiry_check_ms, expire_txn_log);
}

/* A sweep that stands in the line ends with its next step, which finds that the logs stop. */
void txn_sweeps_stop(struct txn_shard *c)
{
    timer_stop(&c->logs.shard->timers, &c->timeouts_timer);
}
