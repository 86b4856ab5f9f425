/* The transaction coordinator of one shard: its life, and what comes behind an event of a transactional id. */
#include "core/buf.h"
#include "core/clock.h"
#include "core/log.h"
#include "net/limits.h"
#include "net/txn/txn_inside.h"
#include "storage/catalog/features.h"

static struct coord_shard *txn_coordinator_on(const struct shard *s)
{
    return &server_of(s)->txns->logs;
}

const struct coord_topic txn_topic = {TXN_TOPIC, txn_coordinator_on};

void txn_topic_change(const struct broker_config *config, char number[COORD_TOPIC_NUMBER_BYTES],
                      struct topic_override overrides[COORD_TOPIC_OVERRIDES], struct catalog_change *c)
{
    coord_topic_change(&txn_topic, config->txn_topic_partitions, config->txn_topic_segment_bytes, number, overrides, c);
}

int16_t txn_level(const struct txn_shard *c)
{
    return feature_level(&store_of(c->logs.shard)->catalog, "transaction.version");
}

static int16_t level_for_log(void *arg)
{
    return txn_level(arg);
}

void txn_shard_came_back(struct txn_shard *c)
{
    assert(c->out > 0);
    if (--c->out == 0 && c->logs_stopped)
        c->stopped(c->server);
}

/* --- the partitions of a transaction --- */

static void start_txn_timer(struct txn_entry *e, uint64_t after_ms)
{
    struct shard *s = e->coord.log->shard;
    timer_start(&s->timers, &e->timer, s->now_ns + after_ms * NS_PER_MS);
}

/* NULL: no memory. */
static struct txn_round *open_txn_round(struct txn_entry *e, bool marks)
{
    struct txn_shard *c = txn_shard_of_entry(e);
    assert(!e->round);
    struct txn_round *r = txn_round_open(c->logs.shard, &c->server->steps, &e->txn.parts);
    if (!r)
        return NULL;
    r->owner = e;
    r->marks = marks;
    e->round = r;
    c->out++;
    return r;
}

/* NULL: the entry has gone, and so have those that asked. */
static struct txn_entry *close_txn_round(struct txn_round *r)
{
    struct txn_shard *c = server_of(r->home)->txns;
    struct txn_entry *e = r->abandoned ? NULL : r->owner;
    if (e)
        e->round = NULL;
    txn_round_close(r);
    txn_shard_came_back(c);
    return e;
}

static void write_pending_txn(struct txn_entry *e);

/* A partition whose records may not be there keeps the decision from being made: who asked tries again, or the transaction times out. */
static void txn_parts_are_durable(struct txn_round *r)
{
    enum kerr failed = r->failed > 0 ? r->error : KERR_NONE;
    struct txn_entry *e = close_txn_round(r);
    if (!e)
        return;
    if (failed) {
        log_warn("a transaction cannot be committed now", "id=\"%.*s\" why=\"what it wrote is not durable: %s\"",
                 (int)e->coord.id.n, (const char *)e->coord.id.at, kerr_name(failed));
        txn_drop(&e->txn);
        txn_questions_refuse(&e->asking, KERR_COORDINATOR_NOT_AVAILABLE);
    } else {
        write_pending_txn(e);
    }
    txn_entry_wake(e); /* when it is not pending any more */
}

static struct marker_call marker_of_txn(const struct txn_entry *e, const struct txn_values *v)
{
    return (struct marker_call){.producer_id = v->producer_id,
                                .producer_epoch = v->producer_epoch,
                                .commit = v->state == TXN_PREPARE_COMMIT,
                                .coordinator_epoch = partition_facts(e->coord.log->partition).leader_epoch,
                                .version = v->client_version};
}

static void flush_pending_txn(struct txn_entry *e)
{
    struct txn_round *r = open_txn_round(e, false);
    if (!r) {
        txn_drop(&e->txn);
        txn_questions_refuse(&e->asking, KERR_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    r->over = txn_parts_are_durable;
    if (PLANTED(marker_before_decision)) {
        r->marks = true;
        r->what = marker_of_txn(e, &e->txn.to);
    }
    txn_round_start(r);
}

/* --- records --- */

/* Its topic would not take it: so it is not even put together. */
static bool is_record_too_large(const struct txn_entry *e)
{
    const struct topic *t = coord_topic_find(&txn_topic, store_of(e->coord.log->shard));
    const struct txn_parts *parts = txn_to_parts(&e->txn);
    uint64_t bytes = (uint64_t)parts->names_bytes + (uint64_t)parts->partitions * sizeof(int32_t);
    return t && e->txn.to.state == TXN_ONGOING && bytes > t->config.max_message_bytes;
}

static void write_pending_txn(struct txn_entry *e)
{
    if (is_record_too_large(e)) {
        txn_drop(&e->txn);
        txn_questions_refuse(&e->asking, KERR_UNKNOWN_SERVER_ERROR); /* as Kafka's, too */
        return;
    }
    if (!txn_log_write(e))
        return;
    txn_questions_refuse(&e->asking, KERR_COORDINATOR_NOT_AVAILABLE);
    if (txn_state_prepared(e->txn.now.state))
        start_txn_timer(e, TXN_RETRY_MS); /* it is to be completed all the same */
}

/* Those that wait come behind it: where nothing is written they are asked now. */
static bool add_parts_step(struct steps *s)
{
    struct txn_entry *e = container_of(s, struct txn_entry, adding);
    while (steps_go_on(s)) {
        struct txn_outcome out = txn_add_more(&e->txn, TXN_ITEMS_PER_UNIT);
        steps_spend(s, 1);
        if (out.action == TXN_MERGE)
            continue;
        struct list asking;
        list_init(&asking);
        list_splice(&asking, &e->asking);
        heap_free(e->coord.log->shard->heap, e->added);
        e->added = NULL;
        txn_entry_go_on(e, out, &asking);
        txn_entry_wake(e);
        return false;
    }
    return true;
}

static void stop_adding_parts(struct txn_entry *e)
{
    list_remove(&e->adding.link);
    txn_drop(&e->txn);
    heap_free(e->coord.log->shard->heap, e->added);
    e->added = NULL;
}

void txn_entry_go_on(struct txn_entry *e, struct txn_outcome out, struct list *asking)
{
    switch (out.action) {
    case TXN_ANSWER: txn_questions_answer(asking, out.error, out.producer_id, out.producer_epoch); return;
    case TXN_WRITE:
        assert(list_empty(&e->asking));
        list_splice(&e->asking, asking);
        e->outcome = out;
        if (out.flush)
            flush_pending_txn(e);
        else
            write_pending_txn(e);
        return;
    case TXN_MERGE:
        assert(list_empty(&e->asking));
        list_splice(&e->asking, asking);
        steps_resume(&txn_shard_of_entry(e)->server->steps, &e->adding);
        return;
    case TXN_WANT_ID: break;
    }
    assert(!"an outcome that can be gone on with");
}

/* --- markers --- */

static void complete_txn_entry(struct txn_entry *e)
{
    struct list nobody;
    list_init(&nobody);
    struct txn_event marked = {.kind = TXN_MARKED, .now_ms = clock_wall_ms()};
    struct txn_outcome out = txn_event(&e->txn, &marked);
    assert(out.action == TXN_WRITE);
    e->marked = true;
    txn_entry_go_on(e, out, &nobody);
}

/* The first time, and then ever more rarely. */
static void say_marked_again(struct txn_entry *e, const struct txn_round *r)
{
    if ((e->tries & (e->tries + 1)) == 0)
        log_info("markers of a transaction are put again", "id=\"%.*s\" partitions=%u why=%s", (int)e->coord.id.n,
                 (const char *)e->coord.id.at, r->failed, kerr_name(r->error));
    e->tries++;
}

static void txn_parts_are_marked(struct txn_round *r)
{
    if (!r->abandoned && r->failed > 0) {
        say_marked_again(r->owner, r);
        start_txn_timer(r->owner, TXN_RETRY_MS);
        return;
    }
    struct txn_entry *e = close_txn_round(r);
    if (e)
        complete_txn_entry(e);
}

/* The timer may run for a doubt that was settled meanwhile; from now on it is that of the markers. */
static void mark_txn_parts(struct txn_entry *e)
{
    const struct txn_values *now = &e->txn.now;
    timer_stop(&e->coord.log->shard->timers, &e->timer);
    e->marked = false;
    e->tries = 0;
    struct txn_round *r = open_txn_round(e, true);
    if (!r) {
        start_txn_timer(e, TXN_RETRY_MS);
        return;
    }
    r->over = txn_parts_are_marked;
    r->what = marker_of_txn(e, now);
    txn_round_start(r);
}

/* --- what a lost cache may have taken --- */

/* It wrote to a topic with write.caching before a start that was not clean. kill -9 lost nothing, but who knows whether the power went. */
static bool is_txn_doubtful(const struct txn_entry *e)
{
    const struct store *st = store_of(e->coord.log->shard);
    if (e->txn.now.state != TXN_ONGOING)
        return false;
    for (int32_t i = 0; i < e->txn.parts.count; i++) {
        struct txn_topic part = txn_parts_topic(&e->txn.parts, i);
        const struct topic *t = catalog_by_name(&st->catalog, part.name.at, (size_t)part.name.n);
        for (int32_t k = 0; t && t->config.write_caching && k < part.count; k++)
            if (!root_was_clean(st->root, t->id, part.partitions[k]))
                return true;
    }
    return false;
}

bool txn_entry_settle_doubt(struct txn_entry *e)
{
    if (e->doubtful && !e->txn.pending)
        txn_entry_abort(txn_shard_of_entry(e), e, clock_wall_ms(),
                        "what it wrote may be lost: write.caching, and the start was not clean");
    return !e->doubtful || e->txn.pending;
}

/* Markers that are to be put, or put again; or all are, and that could not be written. */
static void txn_timer_due(struct timer *t)
{
    struct txn_entry *e = container_of(t, struct txn_entry, timer);
    if (!txn_entry_settle_doubt(e))
        start_txn_timer(e, TXN_RETRY_MS);
    if (!txn_state_prepared(e->txn.now.state) || e->txn.pending)
        return;
    if (e->round)
        txn_round_again(e->round);
    else if (e->marked)
        complete_txn_entry(e);
    else
        mark_txn_parts(e);
}

/* --- what logs tell --- */

static void txn_entry_made(struct txn_entry *e)
{
    timer_init(&e->timer, txn_timer_due);
    steps_init(&e->adding, add_parts_step);
    e->doubtful = is_txn_doubtful(e);
    if (e->doubtful || txn_state_prepared(e->txn.now.state)) /* a crash, or a stop, left it there */
        start_txn_timer(e, 0);
}

static void txn_entry_going(struct txn_entry *e)
{
    timer_stop(&e->coord.log->shard->timers, &e->timer);
    if (e->round) {
        txn_round_abandon(e->round);
        if (e->txn.pending && e->record.n < 0)
            txn_drop(&e->txn);
    }
    e->round = NULL;
    if (e->txn.merging)
        stop_adding_parts(e);
    txn_questions_refuse(&e->asking, KERR_NOT_COORDINATOR);
    txn_questions_refuse(&e->waiting, KERR_NOT_COORDINATOR);
}

static void txn_entry_written(struct txn_entry *e, enum kerr error)
{
    struct txn_outcome out = e->outcome;
    if (!e->known)
        return;
    e->doubtful = e->doubtful && error;
    if (error)
        txn_questions_refuse(&e->asking, error);
    else
        txn_questions_answer(&e->asking, out.error, out.producer_id, out.producer_epoch);
    if (e->doubtful)
        start_txn_timer(e, TXN_RETRY_MS);
    if (!txn_state_prepared(e->txn.now.state))
        txn_entry_wake(e);
    else if (error)
        start_txn_timer(e, TXN_RETRY_MS);
    else
        mark_txn_parts(e);
    if (error)
        txn_log_drop_if_empty(e);
}

static void txn_log_ready(struct txn_log *l)
{
    coord_shard_ready(&txn_shard_of_log(l)->logs, &l->coord);
}

static struct coord_log *open_txn_log(struct coord_shard *logs, struct partition *p, int32_t index)
{
    struct txn_shard *c = container_of(logs, struct txn_shard, logs);
    struct txn_log *l = txn_log_open(logs->shard, p, index, &c->hooks);
    return l ? &l->coord : NULL;
}

/* --- life --- */

static void txn_topic_made(struct store *st, const struct topic *t)
{
    coord_shard_topic_made(&server_of(st->shard)->txns->logs, t);
}

enum err txn_shard_start(struct server *sv)
{
    struct txn_shard *c = heap_zalloc(sv->shard->heap, sizeof *c);
    if (!c)
        return ERR_NO_MEMORY;
    c->server = sv;
    struct bufpool *bufs = sv->shard->bufs;
    struct heap *heap = bufpool_part(bufs, bufpool_max_bytes(bufs) / TXNS_SHARE, true, &c->memory);
    if (!heap) {
        heap_free(sv->shard->heap, c);
        return ERR_NO_MEMORY;
    }
    c->hooks = (struct txn_log_hooks){.pace = &c->logs.pace,
                                      .heap = heap,
                                      .memory = c->memory,
                                      .level = level_for_log,
                                      .made = txn_entry_made,
                                      .going = txn_entry_going,
                                      .written = txn_entry_written,
                                      .ready = txn_log_ready,
                                      .arg = c};
    sv->txns = c;
    c->news = (struct store_listener){.topic_made = txn_topic_made};
    store_listen(store_of(sv->shard), &c->news);
    enum err err = coord_shard_start(&c->logs, sv->shard, &txn_topic, open_txn_log);
    txn_sweeps_start(c);
    return err;
}

static void txn_logs_stopped(struct coord_shard *logs)
{
    struct txn_shard *c = container_of(logs, struct txn_shard, logs);
    c->logs_stopped = true;
    txn_shard_came_back(c);
}

void txn_shard_stop(struct server *sv, void (*stopped)(struct server *sv))
{
    struct txn_shard *c = sv->txns;
    c->stopped = stopped;
    c->out++;
    txn_sweeps_stop(c);
    coord_shard_stop(&c->logs, txn_logs_stopped);
}

void txn_shard_close(struct server *sv)
{
    struct txn_shard *c = sv->txns;
    if (!c)
        return;
    txn_sweeps_stop(c);
    list_remove(&c->news.link);
    coord_shard_close(&c->logs);
    bufpool_part_close(sv->shard->bufs, c->hooks.heap, c->memory);
    heap_free(sv->shard->heap, c);
    sv->txns = NULL;
}
