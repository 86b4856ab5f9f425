/* Chains: what is read (read_committed) at a group's offset is made something of, and that and the new offset are one transaction. */
#include "storage/kerr.h"
#include "tests/sim/broker.h"
#include "tests/sim/txn_client.h"
#include <stdio.h>

enum {
    OFFSET_FETCH_VERSION = 9,
    FETCH_VERSION = 11,
    TAKE_MAX = 6, /* records of one transaction */
    PER_BATCH = 3,
};

void chain_forget(struct txn_client *c)
{
    c->place.known = false;
}

/* --- where to go on --- */

struct asking {
    struct txn_client *client;
    uint64_t floors[TRUTH_PARTS_MAX];
};

static bool group_passes(int16_t error)
{
    return txn_coordinator_passes(error) || error == KERR_UNSTABLE_OFFSET_COMMIT;
}

static bool take_offsets(struct asking *q, const struct offset_fetch_response_group *g)
{
    struct txn_place *p = &q->client->place;
    const char *name = q->client->main.name;
    world_check(!g->error_code || group_passes(g->error_code), "%s: OffsetFetch: error %d", name, g->error_code);
    if (g->error_code)
        return false;
    for (int32_t i = 0; i < TRUTH_PARTS_MAX; i++) {
        const struct offset_fetch_response_partitions *one = &g->topics.v[i].partitions.v[0];
        world_check(!one->error_code || group_passes(one->error_code), "%s: OffsetFetch: error %d", name,
                    one->error_code);
        if (one->error_code)
            return false;
        truth_offset_told(p->group, i, q->floors[i], one->committed_offset, false);
        p->position[i] = one->committed_offset < 0 ? 0 : one->committed_offset;
    }
    return true;
}

static void offsets_told(const struct reply *r)
{
    struct asking *q = r->context;
    struct txn_client *c = q->client;
    if (r->body.n >= 0) {
        c->place.known = take_offsets(q, chain_answer_offsets(r));
        txn_later(c, 5 * NS_PER_MS);
    }
    world_free(q);
}

void chain_ask_offsets(struct client *by, const struct truth_group *g, client_done_fn *done, void *context)
{
    struct offset_fetch_request m;
    struct offset_fetch_request_group group;
    struct offset_fetch_request_topics topics[TRUTH_PARTS_MAX];
    offset_fetch_request_init(&m);
    offset_fetch_request_group_init(&group);
    group.group_id = view_of(g->name);
    group.topics.v = topics;
    group.topics.n = TRUTH_PARTS_MAX;
    for (int32_t i = 0; i < TRUTH_PARTS_MAX; i++) {
        offset_fetch_request_topics_init(&topics[i]);
        topics[i].name = view_of(g->parts[i].log->topic);
        topics[i].partition_indexes.v = &g->parts[i].log->index;
        topics[i].partition_indexes.n = 1;
    }
    m.require_stable = true;
    m.groups.v = &group;
    m.groups.n = 1;
    client_call(by, offset_fetch, &m, OFFSET_FETCH_VERSION, done, context);
}

const struct offset_fetch_response_group *chain_answer_offsets(const struct reply *r)
{
    static struct offset_fetch_response m;
    client_decode(r, offset_fetch_response, &m);
    world_check(m.groups.n == 1, "%s: OffsetFetch answers for %d groups", r->client->name, m.groups.n);
    const struct offset_fetch_response_group *g = &m.groups.v[0];
    world_check(g->error_code || g->topics.n == TRUTH_PARTS_MAX, "%s: OffsetFetch answers for %d topics",
                r->client->name, g->topics.n);
    for (int32_t i = 0; !g->error_code && i < g->topics.n; i++)
        world_check(g->topics.v[i].partitions.n == 1, "%s: OffsetFetch answers for %d partitions", r->client->name,
                    g->topics.v[i].partitions.n);
    return g;
}

static void ask_offsets(struct txn_client *c)
{
    struct asking *q = world_alloc(sizeof *q);
    *q = (struct asking){.client = c};
    for (int32_t i = 0; i < TRUTH_PARTS_MAX; i++)
        q->floors[i] = truth_offset_floor(c->place.group, i);
    chain_ask_offsets(&c->main, c->place.group, offsets_told, q);
}

/* --- consuming --- */

struct catch
{
    struct txn_client *client;
    struct truth_reading reading;
    int64_t stable;
    uint32_t taken[TAKE_MAX], count;
    int64_t next;
};

static void take(void *arg, uint32_t number, int64_t offset)
{
    struct catch *k = arg;
    if (k->count == TAKE_MAX)
        return;
    k->taken[k->count++] = number;
    k->next = offset + 1;
}

/* Some records of the sink for each of the source, in batches. */
static void transform(struct txn_client *c, const struct catch *k)
{
    txn_begin(c);
    c->place.next = k->next;
    for (uint32_t i = 0; i < k->count;) {
        uint32_t count = (uint32_t)dice_between(1, PER_BATCH);
        if (count > k->count - i)
            count = k->count - i;
        txn_add_batch(c, truth_log_at(TRUTH_SINK + (uint32_t)dice(TRUTH_PARTS_MAX)), count, &k->taken[i]);
        i += count;
    }
}

/* The position is behind the end: the log lost it. As auto.offset.reset=latest. */
static void end_told(const struct reply *r)
{
    struct catch *k = r->context;
    struct txn_client *c = k->client;
    if (r->body.n >= 0) {
        const struct list_offsets_partition_response *p = answer_offset(r);
        world_check(!p->error_code || txn_passes(p->error_code), "%s: ListOffsets: error %d", c->main.name,
                    p->error_code);
        if (!p->error_code) {
            truth_stable_seen(k->reading.log, k->stable, p->offset, r->client->power_cuts);
            if (p->offset < c->place.position[c->place.part])
                c->place.position[c->place.part] = p->offset;
        }
        txn_later(c, 5 * NS_PER_MS);
    }
    world_free(k);
}

static void out_of_range(struct txn_client *c, struct catch *k)
{
    struct truth_log *l = k->reading.log;
    if (k->reading.next < l->start_most) { /* another one committed meanwhile, and what it had consumed was deleted */
        chain_forget(c);
        txn_later(c, 5 * NS_PER_MS);
        world_free(k);
        return;
    }
    if (!l->caching)
        truth_fail(l, "%s committed offset %lld, which is out of range", c->place.group->name,
                   (long long)k->reading.next);
    k->stable = truth_stable(l);
    request_offset(&c->main, l->topic, l->index, LIST_LATEST, true, end_told, k);
}

static void consumed(const struct reply *r)
{
    struct catch *k = r->context;
    struct txn_client *c = k->client;
    struct txn_place *p = &c->place;
    if (r->body.n < 0) {
        world_free(k);
        return;
    }
    const struct fetch_partition_data *m = answer_fetched(r);
    if (m->error_code == KERR_OFFSET_OUT_OF_RANGE) {
        out_of_range(c, k);
        return;
    }
    world_check(!m->error_code || txn_passes(m->error_code), "%s: a fetch got error %d", c->main.name, m->error_code);
    if (!m->error_code && truth_read(&k->reading, m, k->stable, r->client->power_cuts, take, k)) {
        p->drained[p->part] = !k->count && k->reading.next == m->high_watermark;
        if (k->count)
            transform(c, k);
        else if (k->reading.next > p->position[p->part])
            p->position[p->part] = k->reading.next;
    }
    txn_later(c, k->count || !p->drained[p->part] ? 3 * NS_PER_MS : 20 * NS_PER_MS);
    world_free(k);
}

static void consume(struct txn_client *c)
{
    struct txn_place *p = &c->place;
    do
        p->part = (int32_t)dice(TRUTH_PARTS_MAX);
    while (!p->assigned[p->part]);
    struct truth_log *l = p->group->parts[p->part].log;
    struct catch *k = world_alloc(sizeof *k);
    *k = (struct catch){.client = c, .stable = truth_stable(l)};
    truth_reading_begin(&k->reading, l, true, c->main.power_cuts);
    k->reading.next = p->position[p->part];
    const struct one_fetch f = {.topic = l->topic,
                                .index = l->index,
                                .offset = k->reading.next,
                                .most_bytes = dice(3) ? 4000 : 600,
                                .wait_ms = (int32_t)dice(30),
                                .committed = true,
                                .version = FETCH_VERSION};
    request_fetch(&c->main, &f, consumed, k);
}

static void group_found(const struct reply *r)
{
    struct txn_client *c = r->context;
    if (r->body.n < 0)
        return;
    int16_t error = answer_coordinator(r, false);
    world_check(!error || txn_passes(error), "%s: FindCoordinator: error %d", c->main.name, error);
    c->place.found = !error;
    txn_later(c, 5 * NS_PER_MS);
}

void chain_step(struct txn_client *c)
{
    if (!c->place.found)
        request_coordinator(&c->main, c->place.group->name, COORDINATES_GROUP, group_found, c);
    else if (!chain_is_member(c))
        ;
    else if (!c->place.known)
        ask_offsets(c);
    else
        consume(c);
}

/* --- committing the offset --- */

static void told(struct txn_client *c, const char *what, int16_t error)
{
    bool out = error == KERR_ILLEGAL_GENERATION || error == KERR_UNKNOWN_MEMBER_ID ||
               error == KERR_REBALANCE_IN_PROGRESS || error == KERR_FENCED_INSTANCE_ID;
    if (out && c->place.member) {
        world_note("%s: %s: error %d", c->main.name, what, error);
        sim.totals.refused_commits++;
        chain_expelled(c);
        c->step = TXN_ABORTING;
    } else if (!txn_passes(error)) {
        txn_refused(c, what, error);
    }
}

static void offsets_added(const struct reply *r)
{
    struct txn_client *c = r->context;
    struct add_offsets_to_txn_response m;
    if (r->body.n < 0)
        return;
    client_decode(r, add_offsets_to_txn_response, &m);
    if (m.error_code)
        told(c, "AddOffsetsToTxn", m.error_code);
    else
        c->offsets_added = true;
    txn_later(c, 3 * NS_PER_MS);
}

static void add_offsets(struct txn_client *c)
{
    struct add_offsets_to_txn_request m;
    add_offsets_to_txn_request_init(&m);
    m.transactional_id = view_of(c->id->name);
    m.producer_id = c->producer_id;
    m.producer_epoch = c->epoch;
    m.group_id = view_of(c->place.group->name);
    int16_t version = (int16_t)dice_between(0, 3);
    client_call(&c->main, add_offsets_to_txn, &m, version, offsets_added, c);
}

/* What is sent, now and perhaps once more, late. */
struct commit {
    struct txn_client *client;
    struct truth_log *log;
    int64_t producer_id, next;
    int32_t generation, newest; /* newest: the group's when it was sent */
    int16_t epoch, version;
    bool fenced; /* it was, when this was sent first */
    char member_id[TXN_MEMBER_BYTES];
};

/* The error; a fenced producer, or a member of an older generation, must have got one. */
static int16_t judge_commit(const struct commit *k, const struct reply *r)
{
    struct txn_offset_commit_response m;
    const char *name = r->client->name;
    client_decode(r, txn_offset_commit_response, &m);
    world_check(m.topics.n == 1 && m.topics.v[0].partitions.n == 1, "%s: TxnOffsetCommit answers for %d topics", name,
                m.topics.n);
    int16_t error = m.topics.v[0].partitions.v[0].error_code;
    world_check(error || k->generation < 0 || k->generation >= k->newest,
                "%s committed offsets of generation %d; it was %d already", name, k->generation, k->newest);
    world_check(error || !k->fenced, "%s is fenced, and has committed offsets", name);
    return error;
}

static void send_commit(struct client *by, struct commit *k, client_done_fn *done)
{
    struct txn_offset_commit_request_partition part;
    struct txn_offset_commit_request_topic topic;
    struct txn_offset_commit_request m;
    const struct txn_client *c = k->client;
    txn_offset_commit_request_partition_init(&part);
    txn_offset_commit_request_topic_init(&topic);
    txn_offset_commit_request_init(&m);
    m.transactional_id = view_of(c->id->name);
    m.group_id = view_of(c->place.group->name);
    m.producer_id = k->producer_id;
    m.producer_epoch = k->epoch;
    if (k->generation >= 0) {
        m.generation_id_or_member_epoch = k->generation;
        m.member_id = view_of(k->member_id);
    }
    topic.name = view_of(k->log->topic);
    topic.partitions.v = &part;
    topic.partitions.n = 1;
    part.partition_index = k->log->index;
    part.committed_offset = k->next;
    m.topics.v = &topic;
    m.topics.n = 1;
    client_call(by, txn_offset_commit, &m, k->version, done, k);
}

static void late_commit_done(const struct reply *r)
{
    struct commit *k = r->context;
    if (r->body.n >= 0)
        world_note("%s: a late TxnOffsetCommit: error %d", r->client->name, judge_commit(k, r));
    world_free(k);
}

static void late_commit_due(void *arg)
{
    struct commit *k = arg;
    const struct txn_client *c = k->client;
    if (!trouble() || !c->side.link.conn) {
        world_free(k);
        return;
    }
    k->newest = c->place.group->generation;
    k->fenced = truth_fenced(c->id, k->producer_id, k->epoch);
    sim.totals.late_commits++;
    send_commit(&k->client->side, k, late_commit_done);
}

/* In the first generation it could belong to the next transaction, in Kafka too. */
static void repeat_commit_late(const struct txn_client *c, const struct commit *sent)
{
    if (!c->bumps || !trouble() || dice(3))
        return;
    struct commit *k = world_alloc(sizeof *k);
    *k = *sent;
    event_in(dice(dice(2) ? 20 * NS_PER_MS : 500 * NS_PER_MS), late_commit_due, k);
}

static void offsets_committed(const struct reply *r)
{
    struct commit *k = r->context;
    struct txn_client *c = k->client;
    if (r->body.n >= 0) {
        int16_t error = judge_commit(k, r);
        if (error) {
            told(c, "TxnOffsetCommit", error);
        } else {
            sim.totals.commits++;
            c->step = TXN_COMMITTING;
        }
        txn_later(c, !trouble() || dice(8) ? 3 * (uint64_t)NS_PER_MS : (uint64_t)c->timeout_ms * (uint64_t)NS_PER_MS);
    } else if (!c->bumps && c->txn) {
        txn_begin_anew(c);
    }
    world_free(k);
}

static void commit_offsets(struct txn_client *c)
{
    const struct txn_place *p = &c->place;
    struct commit *k = world_alloc(sizeof *k);
    *k = (struct commit){.client = c,
                         .log = p->group->parts[p->part].log,
                         .producer_id = c->producer_id,
                         .epoch = c->epoch,
                         .next = p->next,
                         .generation = p->member ? p->generation : -1,
                         .newest = p->group->generation,
                         .version = (int16_t)(c->bumps ? 5 : dice_between(p->member ? 3 : 0, 4)),
                         .fenced = !c->offset_sends && truth_fenced(c->id, c->producer_id, c->epoch)};
    memcpy(k->member_id, p->member_id, sizeof k->member_id);
    if (!c->offset_sends++)
        truth_offset_sent(p->group, p->part, p->next, c->txn);
    repeat_commit_late(c, k);
    send_commit(&c->main, k, offsets_committed);
}

void chain_send_offsets(struct txn_client *c)
{
    if (!c->bumps && !c->offsets_added)
        add_offsets(c);
    else
        commit_offsets(c);
}
