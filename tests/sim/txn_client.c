#include "tests/sim/txn_client.h"
#include "storage/kerr.h"
#include "tests/sim/broker.h"
#include "tests/sim/peer.h"
#include <stdio.h>

enum {
    INIT_VERSION = 4,
    RECORDS_MAX = 3,
    KEYS = 8,
    TRANSACTIONS_MOST = 30, /* each, in the time of trouble */
    PLENTY_MS = 20000,
    LATE_SECONDS = 10, /* so long a request without an answer may still come to the broker */
};

/* --- what errors mean --- */

bool txn_coordinator_passes(int16_t error)
{
    return error == KERR_COORDINATOR_LOAD_IN_PROGRESS || error == KERR_COORDINATOR_NOT_AVAILABLE ||
           error == KERR_NOT_COORDINATOR || error == KERR_CONCURRENT_TRANSACTIONS;
}

bool txn_passes(int16_t error)
{
    return txn_coordinator_passes(error) || error == KERR_KAFKA_STORAGE_ERROR || error == KERR_NOT_LEADER_OR_FOLLOWER ||
           error == KERR_OFFSET_NOT_AVAILABLE || error == KERR_REQUEST_TIMED_OUT || topics_may_lag(error);
}

/* Another producer of its id, a time-out, a broker that went down: something had a say besides this client. */
static bool has_excuse(const struct txn_client *c)
{
    const struct truth_id *id = c->id;
    uint64_t other_ns = id->init_sent_ns[1 - c->which];
    uint64_t age_ns = c->txn ? sim.now_ns - c->txn->began_ns : 0;
    return world_disk_fails() || world_disk_fills() || world_runs_short() || !world_clock_is_good() ||
           truth_fenced(id, c->producer_id, c->epoch) || sim.now_ns < id->unanswered_until_ns ||
           ((c->mixes || !c->bumps) && sim.now_ns < c->lost_until_ns) ||
           (other_ns && sim.now_ns - other_ns < LATE_SECONDS * NS_PER_S) ||
           age_ns >= (uint64_t)c->told_timeout_ms * (uint64_t)NS_PER_MS || broker_ends() != c->ends_at_begin;
}

static void restart_later(struct txn_client *c, uint64_t ms_max)
{
    c->step = c->finishing && c->which ? TXN_OVER : TXN_OUT;
    c->back_ns = sim.now_ns + dice(ms_max) * (uint64_t)NS_PER_MS;
}

static void drop_txn(struct txn_client *c)
{
    c->txn = NULL;
    c->batch_count = 0;
    if (c->place.group)
        chain_forget(c);
}

void txn_give_up(struct txn_client *c)
{
    if (c->txn && !c->txn->commit_sent)
        truth_is(c->txn, VERDICT_ABORTED, "its producer never asked to commit it");
}

void txn_refused(struct txn_client *c, const char *what, int16_t error)
{
    bool fences = error == KERR_INVALID_PRODUCER_EPOCH || error == KERR_PRODUCER_FENCED ||
                  error == KERR_INVALID_PRODUCER_ID_MAPPING;
    bool aborts = error == KERR_INVALID_TXN_STATE || error == KERR_TRANSACTION_ABORTABLE ||
                  error == KERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    world_note("%s: %s: error %d", c->main.name, what, error);
    world_check(fences || aborts, "%s: %s: error %d", c->main.name, what, error);
    world_check(has_excuse(c), "%s: %s is refused without a reason: error %d (producer %lld, epoch %d)", c->main.name,
                what, error, (long long)c->producer_id, c->epoch);
    sim.totals.fenced += fences;
    txn_give_up(c);
    if (fences || !c->txn) {
        drop_txn(c);
        restart_later(c, c->finishing ? 5 : 400);
    } else {
        c->step = TXN_ABORTING;
    }
}

/* --- its producer id --- */

static void found(const struct reply *r)
{
    struct txn_client *c = r->context;
    if (r->body.n < 0)
        return;
    int16_t error = answer_coordinator(r, true);
    world_check(!error || txn_passes(error), "%s: FindCoordinator: error %d", c->main.name, error);
    if (!error)
        c->step = TXN_FOUND;
    txn_later(c, 5 * NS_PER_MS);
}

static void take_epoch(struct txn_client *c, int64_t producer_id, int16_t epoch)
{
    c->producer_id = producer_id;
    c->epoch = epoch;
    memset(c->sequences, 0, sizeof c->sequences);
    memset(c->begun, 0, sizeof c->begun);
    c->step = TXN_IDLE;
}

static void init_done(const struct reply *r)
{
    struct txn_client *c = r->context;
    struct init_producer_id_response m;
    if (r->body.n < 0) {
        c->id->unanswered_until_ns = sim.now_ns + LATE_SECONDS * NS_PER_S;
        return;
    }
    client_decode(r, init_producer_id_response, &m);
    if (!m.error_code) {
        truth_given(c->id, m.producer_id, m.producer_epoch, NULL);
        take_epoch(c, m.producer_id, m.producer_epoch);
    } else {
        bool passes = txn_passes(m.error_code) || (m.error_code == KERR_PRODUCER_FENCED && has_excuse(c));
        world_check(passes, "%s: InitProducerId: error %d", c->main.name, m.error_code);
    }
    txn_later(c, 10 * NS_PER_MS);
}

static void init(struct txn_client *c)
{
    struct init_producer_id_request m;
    init_producer_id_request_init(&m);
    m.transactional_id = view_of(c->id->name);
    m.transaction_timeout_ms = c->timeout_ms;
    c->id->init_sent_ns[c->which] = sim.now_ns;
    c->told_timeout_ms = c->timeout_ms;
    client_call(&c->main, init_producer_id, &m, INIT_VERSION, init_done, c);
}

/* --- records --- */

static uint32_t log_number(const struct truth_log *l)
{
    return (uint32_t)(l - truth_log_at(0));
}

void txn_add_batch(struct txn_client *c, struct truth_log *l, uint32_t count, const uint32_t *inputs)
{
    static uint8_t room[RECORDS_MAX * 1024];
    struct keyed_value values[RECORDS_MAX];
    struct txn_batch *b = &c->batches[c->batch_count++];
    assert(c->batch_count <= TXN_BATCHES_MAX && count <= RECORDS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct keyed_value v = {
            .key = (uint32_t)dice(KEYS), .value_bytes = (int32_t)dice_between(10, 300), .timestamp = clock_wall_ms()};
        uint32_t number = truth_sends(l, c->txn, v, inputs ? inputs[i] + 1 : 0);
        values[i] = truth_record_at(number)->sent;
        b->first = i ? b->first : number;
    }
    int32_t *sequence = &c->sequences[log_number(l)];
    const struct batch_sender from = {c->producer_id, *sequence, c->epoch, true};
    b->bytes = make_keyed_batch_bytes(room, values, count, from);
    b->at = memcpy(world_alloc(b->bytes), room, b->bytes);
    b->count = count;
    b->log = l;
    b->client = c;
    b->flying = b->acked = false;
    *sequence += (int32_t)count;
}

static void choose_generation(struct txn_client *c)
{
    c->bumps = dice(2);
    c->produce_version = (int16_t)(c->bumps ? 12 : dice_between(3, 11));
    c->end_version = (int16_t)(c->bumps ? 5 : dice_between(0, 4));
}

void txn_begin(struct txn_client *c)
{
    if (c->mixes)
        choose_generation(c);
    c->txn = truth_txn_new(c->id, c->producer_id, c->epoch, c->bumps, c->place.group);
    c->ends_at_begin = broker_ends();
    c->batch_count = c->added = 0;
    c->ends = c->offset_sends = 0;
    c->offsets_added = c->end_doubt = c->end_fenced = false;
    c->aborts = trouble() && dice(5) == 0;
    c->dies = trouble() && dice(12) == 0;
    c->step = TXN_WRITING;
}

static void begin_on_its_own(struct txn_client *c)
{
    txn_begin(c);
    uint32_t count = (uint32_t)dice_between(1, TXN_BATCHES_MAX - 2);
    for (uint32_t i = 0; i < count; i++)
        txn_add_batch(c, truth_log_at((uint32_t)dice(truth_log_count())), (uint32_t)dice_between(1, RECORDS_MAX), NULL);
}

/* --- the first generation adds partitions --- */

struct adding {
    struct txn_client *client;
    uint32_t log;
};

static void partitions_added(const struct reply *r)
{
    struct adding *a = r->context;
    struct txn_client *c = a->client;
    struct add_partitions_to_txn_response m;
    if (r->body.n >= 0) {
        client_decode(r, add_partitions_to_txn_response, &m);
        world_check(m.results_by_topic_v3_and_below.n == 1 &&
                        m.results_by_topic_v3_and_below.v[0].results_by_partition.n == 1,
                    "%s: AddPartitionsToTxn answers for something else", c->main.name);
        int16_t error = m.results_by_topic_v3_and_below.v[0].results_by_partition.v[0].partition_error_code;
        if (!error)
            c->added |= 1u << a->log;
        else if (!txn_passes(error))
            txn_refused(c, "AddPartitionsToTxn", error);
        txn_later(c, 3 * NS_PER_MS);
    }
    world_free(a);
}

static void add_partition(struct txn_client *c, const struct truth_log *l)
{
    struct add_partitions_to_txn_topic topic;
    struct add_partitions_to_txn_request m;
    struct adding *a = world_alloc(sizeof *a);
    *a = (struct adding){c, log_number(l)};
    add_partitions_to_txn_topic_init(&topic);
    add_partitions_to_txn_request_init(&m);
    topic.name = view_of(l->topic);
    topic.partitions.v = &l->index;
    topic.partitions.n = 1;
    m.v3_and_below_transactional_id = view_of(c->id->name);
    m.v3_and_below_producer_id = c->producer_id;
    m.v3_and_below_producer_epoch = c->epoch;
    m.v3_and_below_topics.v = &topic;
    m.v3_and_below_topics.n = 1;
    int16_t version = (int16_t)dice_between(0, 3);
    client_call(&c->main, add_partitions_to_txn, &m, version, partitions_added, a);
}

/* --- late copies, over the other connection --- */

struct late {
    struct txn_client *client;
    struct truth_txn *txn;
    bool committed; /* an EndTxn, or */
    int64_t producer_id;
    int16_t epoch;
    struct txn_batch batch; /* a batch, when it has bytes */
};

static void late_end_done(const struct reply *r)
{
    struct end_txn_response m;
    if (r->body.n < 0)
        return;
    client_decode(r, end_txn_response, &m);
    world_note("%s: a late EndTxn: error %d", r->client->name, m.error_code);
}

static void late_batch_done(const struct reply *r)
{
    struct late *t = r->context;
    if (r->body.n >= 0) {
        const struct partition_produce_response *p = answer_produced(r);
        world_note("%s: a late batch: error %d", r->client->name, p->error_code);
        for (uint32_t i = 0; !p->error_code && i < t->batch.count; i++)
            truth_acked(t->batch.first + i, p->base_offset + i, r->client->power_cuts);
    }
    world_free(t->batch.at);
    world_free(t);
}

static void send_end(const struct txn_client *c, struct client *by, int64_t producer_id, int16_t epoch, bool commits,
                     client_done_fn *done, void *context)
{
    struct end_txn_request m;
    end_txn_request_init(&m);
    m.transactional_id = view_of(c->id->name);
    m.producer_id = producer_id;
    m.producer_epoch = epoch;
    m.committed = commits;
    client_call(by, end_txn, &m, c->end_version, done, context);
}

static void send_batch(struct txn_client *c, struct client *by, const struct txn_batch *b, client_done_fn *done,
                       void *context)
{
    const struct one_batch one = {.topic = b->log->topic,
                                  .index = b->log->index,
                                  .at = b->at,
                                  .bytes = b->bytes,
                                  .transactional_id = c->id->name,
                                  .version = c->produce_version};
    request_produce(by, &one, done, context);
}

static void late_due(void *arg)
{
    struct late *t = arg;
    struct txn_client *c = t->client;
    bool goes = trouble() && c->side.link.conn;
    if (goes && t->batch.at) {
        /* Of the first generation, behind its transaction's end: a guard remembers its sequence, as Kafka's does. */
        c->lost_until_ns = sim.now_ns + LATE_SECONDS * NS_PER_S;
        send_batch(c, &c->side, &t->batch, late_batch_done, t);
        return;
    }
    if (goes && !t->batch.at) {
        c->end_doubt |= c->txn == t->txn;
        sim.totals.late_ends++;
        send_end(c, &c->side, t->producer_id, t->epoch, t->committed, late_end_done, c);
    }
    if (t->batch.at)
        world_free(t->batch.at);
    world_free(t);
}

static void plan_late(struct late *t)
{
    event_in(dice(dice(2) ? 20 * NS_PER_MS : 500 * NS_PER_MS), late_due, t);
}

static void repeat_end_late(struct txn_client *c, bool commits)
{
    if (!c->bumps || !trouble() || dice(4))
        return;
    struct late *t = world_alloc(sizeof *t);
    *t = (struct late){
        .client = c, .txn = c->txn, .committed = commits, .producer_id = c->producer_id, .epoch = c->epoch};
    plan_late(t);
}

static void repeat_batch_late(struct txn_client *c, const struct txn_batch *b)
{
    if (!trouble() || dice(8))
        return;
    struct late *t = world_alloc(sizeof *t);
    *t = (struct late){.client = c, .txn = c->txn, .batch = *b};
    t->batch.at = memcpy(world_alloc(b->bytes), b->at, b->bytes);
    plan_late(t);
}

/* --- producing --- */

static bool behind_another(const struct txn_client *c, const struct txn_batch *b)
{
    for (const struct txn_batch *o = c->batches; o < b; o++)
        if (o->log == b->log && !o->acked)
            return true;
    return false;
}

static void batch_done(const struct reply *r)
{
    struct txn_batch *b = r->context;
    struct txn_client *c = b->client;
    b->flying = false;
    if (r->body.n < 0)
        return;
    const struct partition_produce_response *p = answer_produced(r);
    if (!p->error_code) {
        for (uint32_t i = 0; i < b->count; i++)
            truth_acked(b->first + i, p->base_offset + i, r->client->power_cuts);
        b->acked = true;
        world_note("%s: records %u and on of transaction %d are at %lld of %s-%d", c->main.name, b->first,
                   c->txn ? (int)c->txn->number : -1, (long long)p->base_offset, b->log->topic, b->log->index);
        c->begun[log_number(b->log)] = true;
    } else if (c->txn) { /* or it was told by another batch that all is over */
        world_note("%s: a batch of transaction %u for %s-%d: error %d", c->main.name, c->txn->number, b->log->topic,
                   b->log->index, p->error_code);
        bool gap = p->error_code == KERR_OUT_OF_ORDER_SEQUENCE_NUMBER && behind_another(c, b);
        bool asks_again = p->error_code == KERR_NOT_ENOUGH_REPLICAS; /* the coordinator could not be asked */
        if (!txn_passes(p->error_code) && !gap && !asks_again && c->step == TXN_WRITING)
            txn_refused(c, "Produce", p->error_code);
    }
    txn_later(c, 2 * NS_PER_MS);
}

/* The first batch of an epoch flies alone: a partition takes any first sequence of a producer that it does not know. */
static bool may_fly(const struct txn_client *c, const struct txn_batch *b)
{
    return !b->acked && !b->flying && (c->begun[log_number(b->log)] || !behind_another(c, b));
}

static void produce(struct txn_client *c)
{
    uint32_t open = 0;
    for (struct txn_batch *b = c->batches; b < c->batches + c->batch_count; b++) {
        open += !b->acked;
        if (!b->acked && !c->bumps && !(c->added & 1u << log_number(b->log))) {
            if (!c->main.call_count)
                add_partition(c, b->log);
            return;
        }
    }
    if (open == 0) {
        c->step = c->aborts ? TXN_ABORTING : c->place.group ? TXN_OFFSETS : TXN_COMMITTING;
        txn_later(c, !trouble() || dice(6) ? 2 * (uint64_t)NS_PER_MS : (uint64_t)c->timeout_ms * (uint64_t)NS_PER_MS);
        return;
    }
    for (struct txn_batch *b = c->batches; b < c->batches + c->batch_count && c->main.link.conn; b++)
        if (may_fly(c, b)) {
            b->flying = true;
            world_note("%s sends %u records from %u on to %s-%d", c->main.name, b->count, b->first, b->log->topic,
                       b->log->index);
            repeat_batch_late(c, b);
            send_batch(c, &c->main, b, batch_done, b);
        }
}

/* --- the end of a transaction --- */

static bool all_acked(const struct txn_client *c)
{
    bool all = true;
    for (uint32_t i = 0; i < c->batch_count; i++)
        all = all && c->batches[i].acked;
    return all;
}

/* The first generation's next request would be of the same epoch as what may still come late. */
void txn_begin_anew(struct txn_client *c)
{
    txn_give_up(c);
    drop_txn(c);
    restart_later(c, 5);
}

static void ended(struct txn_client *c, const struct end_txn_response *m)
{
    bool commits = c->step == TXN_COMMITTING, anew = !c->bumps && !all_acked(c);
    struct truth_txn *t = c->txn;
    truth_is(t, commits ? VERDICT_COMMITTED : VERDICT_ABORTED, "EndTxn was answered");
    if (commits && c->place.group)
        c->place.position[c->place.part] = c->place.next;
    c->committed += commits;
    world_check(!c->end_fenced, "%s is fenced, and has ended transaction %u", c->main.name, t->number);
    c->txn = NULL;
    c->batch_count = 0;
    if (!commits && c->place.group)
        chain_forget(c);
    c->step = TXN_IDLE;
    if (anew) /* a batch that may still come has the sequence of the next one */
        restart_later(c, 5);
    if (!c->bumps)
        return;
    truth_given(t->id, m->producer_id, m->producer_epoch, t);
    take_epoch(c, m->producer_id, m->producer_epoch);
}

static void end_done(const struct reply *r)
{
    struct txn_client *c = r->context;
    struct end_txn_response m;
    bool commits = c->step == TXN_COMMITTING;
    if (r->body.n < 0) {
        c->end_doubt = true;
        if (!c->bumps)
            txn_begin_anew(c);
        return;
    }
    client_decode(r, end_txn_response, &m);
    world_note("%s: EndTxn of transaction %u (%s): error %d", c->main.name, c->txn->number,
               commits ? "commit" : "abort", m.error_code);
    if (!m.error_code) {
        ended(c, &m);
    } else if (!txn_passes(m.error_code)) {
        bool nothing_there = !commits && m.error_code == KERR_INVALID_TXN_STATE; /* no partition was added */
        world_check(has_excuse(c) || nothing_there || c->end_doubt, "%s: EndTxn is refused without a reason: error %d",
                    c->main.name, m.error_code);
        if (!c->end_doubt)
            truth_is(c->txn, VERDICT_ABORTED, "EndTxn was refused");
        sim.totals.fenced += !nothing_there;
        txn_begin_anew(c);
    } else if (m.error_code == KERR_KAFKA_STORAGE_ERROR || m.error_code == KERR_REQUEST_TIMED_OUT) {
        c->end_doubt = true;
        if (!c->bumps)
            txn_begin_anew(c);
    }
    txn_later(c, 10 * NS_PER_MS);
}

static void end(struct txn_client *c)
{
    bool commits = c->step == TXN_COMMITTING;
    if (!commits)
        txn_give_up(c);
    if (!commits && !c->bumps && !c->added) { /* nothing began for the coordinator, or nobody knows */
        txn_begin_anew(c);
        txn_later(c, NS_PER_MS);
        return;
    }
    c->txn->commit_sent |= commits;
    if (!c->ends++)
        c->end_fenced = truth_fenced(c->id, c->producer_id, c->epoch);
    repeat_end_late(c, commits);
    send_end(c, &c->main, c->producer_id, c->epoch, commits, end_done, c);
}

/* --- its course --- */

static bool wants_more(const struct txn_client *c)
{
    return c->finishing ? !c->which && c->committed < c->wanted : c->committed < TRANSACTIONS_MOST;
}

static void idle(struct txn_client *c)
{
    if (c->place.group && (!c->finishing || !c->which))
        chain_step(c);
    else if (!c->place.group && wants_more(c))
        begin_on_its_own(c);
    else if (c->finishing)
        c->step = TXN_OVER;
    if (c->step == TXN_WRITING)
        txn_later(c, 2 * NS_PER_MS);
}

/* As a process that was killed: what it had in hand is nobody's. */
static void die(struct txn_client *c)
{
    world_note("%s is killed", c->main.name);
    txn_give_up(c);
    drop_txn(c);
    chain_expelled(c);
    c->dies = false;
    restart_later(c, 300);
    client_reset(&c->main, "its process is killed");
}

static void act(struct txn_client *c)
{
    switch (c->step) {
    case TXN_OUT: request_coordinator(&c->main, c->id->name, COORDINATES_TRANSACTION, found, c); break;
    case TXN_FOUND: init(c); break;
    case TXN_IDLE: idle(c); break;
    case TXN_WRITING: produce(c); break;
    case TXN_OFFSETS: chain_send_offsets(c); break;
    case TXN_COMMITTING:
    case TXN_ABORTING:
        if (!c->main.call_count)
            end(c);
        break;
    case TXN_OVER: break;
    }
}

static void go_on(void *arg)
{
    struct txn_client *c = arg;
    c->waiting = false;
    if (c->step == TXN_OVER || !c->main.wants)
        return;
    if (sim.now_ns < c->back_ns) {
        txn_later(c, c->back_ns - sim.now_ns);
        return;
    }
    if (!c->main.link.conn || (c->main.call_count && c->step != TXN_WRITING))
        return;
    if (c->dies && trouble() && c->txn && dice(4) == 0)
        die(c);
    else if (trouble() && dice(60) == 0)
        c->back_ns = sim.now_ns + dice(2 * (uint64_t)c->timeout_ms) * (uint64_t)NS_PER_MS;
    else
        act(c);
    if (!c->main.call_count)
        txn_later(c, 20 * NS_PER_MS);
}

void txn_later(struct txn_client *c, uint64_t ns_max)
{
    if (c->waiting)
        return;
    c->waiting = true;
    event_in(1000 + dice(ns_max), go_on, c);
}

static void up(struct client *by)
{
    txn_later(container_of(by, struct txn_client, main), 5 * NS_PER_MS);
}

/* Each call was told. An AddPartitionsToTxn that comes late begins a transaction, whose time runs. */
static void down(struct client *by)
{
    struct txn_client *c = container_of(by, struct txn_client, main);
    c->lost_until_ns = sim.now_ns + LATE_SECONDS * NS_PER_S;
}

static void side_changes(struct client *by)
{
    (void)by;
}

void txn_client_init(struct txn_client *c, struct truth_id *id, uint32_t which, struct truth_group *group, bool member)
{
    char name[32];
    memset(c, 0, sizeof *c);
    c->id = id;
    c->which = which;
    c->mixes = dice(3) == 0;
    choose_generation(c);
    c->timeout_ms = (int32_t)dice_between(200, dice(2) ? 800 : 4000);
    c->producer_id = -1;
    c->place.group = group;
    c->place.member = member;
    c->place.generation = -1;
    c->place.session_ms = (int32_t)dice_between(150, 600);
    for (uint32_t i = 0; i < TRUTH_PARTS_MAX; i++)
        c->place.assigned[i] = !member;
    snprintf(name, sizeof name, "%s-%u", id->name, which);
    client_init(&c->main, name, up, down);
    snprintf(name, sizeof name, "%s-%u-side", id->name, which);
    client_init(&c->side, name, side_changes, side_changes);
    c->back_ns = sim.now_ns + dice(which ? 800 : 100) * (uint64_t)NS_PER_MS;
    client_connect(&c->main);
    client_connect(&c->side);
}

void txn_client_finish(struct txn_client *c)
{
    c->finishing = true;
    c->wanted = c->committed + 2;
    c->back_ns = 0;
    c->aborts = c->dies = false;
    c->timeout_ms = PLENTY_MS; /* from the next InitProducerId on */
    if (c->which && (c->step == TXN_OUT || c->step == TXN_FOUND))
        c->step = TXN_OVER;
    txn_later(c, NS_PER_MS);
}

static bool all_drained(const struct txn_client *c)
{
    bool all = c->step == TXN_IDLE && (!c->place.member || c->place.generation == c->place.group->generation);
    for (uint32_t i = 0; i < TRUTH_PARTS_MAX; i++)
        all = all && (!c->place.assigned[i] || c->place.drained[i]);
    return all;
}

bool txn_client_done(const struct txn_client *c)
{
    if (!c->finishing)
        return false;
    if (c->place.group && !c->which)
        return all_drained(c);
    return c->step == TXN_OVER || c->which;
}

void txn_client_quit(struct txn_client *c)
{
    client_quit(&c->main);
    client_quit(&c->side);
}

void txn_client_tell(const struct txn_client *c, char *out, size_t bytes)
{
    size_t used = strlen(out);
    if (!txn_client_done(c))
        snprintf(out + used, bytes - used, " %s is at step %d with %u transactions;", c->main.name, c->step,
                 c->committed);
}
