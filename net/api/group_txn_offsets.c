/* TxnOffsetCommit: how far a group will have read when a transaction is committed. Home knows the topics, the group's shard writes; where
 * the transaction is not open in the group's partition of __consumer_offsets yet, its coordinator is asked first, as Kafka does:
 *
 *   home --> group's shard: open there already -------------------------------------> written, durable --> reply
 *                 '-- not (or nothing is to be written, or the group refuses) --> home --> the transaction's coordinator
 *                                 reply <-- it refuses ----------------------------------------'    |
 *            reply <-- written, durable <-- group's shard <-- home, with the partition's guard <-- it is part of it
 *
 * Up to version 4 the partition must be part of the transaction (AddOffsetsToTxn), from version 5 on the question adds it (KIP-890). */
#include "net/api/api.h"
#include "net/api/commits.h"
#include "net/api/group_asking.h"
#include "net/api/reply.h"
#include "net/txn/txn_ask.h"

enum {
    PREPARED_AT_ONCE = 64,
    PREPARED_UNITS = 6, /* with a look into the catalog */
    ADDS_FROM = 5,
    ABORTABLE_FROM = 4, /* knows TRANSACTION_ABORTABLE */
    LOADING_FROM = 2,   /* knows COORDINATOR_LOAD_IN_PROGRESS */
    NO_GROUP_FROM = 6,  /* knows GROUP_ID_NOT_FOUND, and topic ids */
    CONCURRENT_MS = 100 /* the producer's transaction before may take so long to complete */
};

struct txn_commit_run {
    struct request *req;
    const struct txn_offset_commit_request *ask;
    struct txn_offset_commit_response r;
    struct commits commits;
    struct coord_call call; /* to the group's shard */
    struct coord_txn txn;
    struct group_write write;
    struct txn_question question; /* to the transaction's coordinator */
    struct txn_partition part;
    enum kerr part_error;
    enum kerr error;
    bool asked;   /* the transaction's coordinator */
    bool written; /* the group's shard asked the partition */
    struct steps steps;
    int32_t topic_at; /* prepared up to there */
};

/* --- on the group's shard --- */

static void end_txn_offset_commit(struct txn_commit_run *run, enum kerr error)
{
    run->error = error;
    coord_call_done(&run->call);
}

static void txn_offsets_written(struct group_write *w, enum kerr error)
{
    if (w->entry)
        coordinator_after_event(w->entry);
    end_txn_offset_commit(container_of(w, struct txn_commit_run, write), error);
}

static void write_txn_offsets(struct txn_commit_run *run, struct group_entry *e)
{
    run->written = true;
    run->write = (struct group_write){.entry = e,
                                      .kind = GROUP_WRITE_COMMITS,
                                      .commits = run->commits.v,
                                      .commit_count = run->commits.count,
                                      .txn = &run->txn,
                                      .done = txn_offsets_written};
    group_log_write(group_log_of(run->call.log), &run->write);
}

static void ask_txn_offset_commit(struct coord_call *c)
{
    struct txn_commit_run *run = container_of(c, struct txn_commit_run, call);
    const struct txn_offset_commit_request *m = run->ask;
    enum kerr error = c->error;
    run->written = false;
    bool knows_no_group = run->req->version >= NO_GROUP_FROM;
    struct group_entry *e = error ? NULL : commits_group(c, m->generation_id_or_member_epoch, knows_no_group, &error);
    if (e)
        error = group_txn_commit_check(e->group, m->member_id, m->group_instance_id, m->generation_id_or_member_epoch);
    bool of_producer =
        m->producer_id >= 0 && m->producer_epoch >= 0; /* or else the transaction's coordinator refuses */
    bool writes = !error && run->commits.count > 0 && of_producer;
    if (!error && !of_producer && run->asked)
        error = KERR_INVALID_PRODUCER_ID_MAPPING;
    if (writes)
        write_txn_offsets(run, e);
    if (e)
        coordinator_after_event(e);
    if (!writes)
        end_txn_offset_commit(run, error);
}

/* --- at home --- */

static void reply_txn_offset_commit(struct txn_commit_run *run)
{
    bool crashes = run->error == KERR_COORDINATOR_LOAD_IN_PROGRESS && run->req->version < LOADING_FROM;
    commits_answer(&run->commits, crashes ? KERR_COORDINATOR_NOT_AVAILABLE : run->error);
    REQUEST_REPLY_LARGE(run->req, txn_offset_commit_response, &run->r);
}

/* What the transaction's coordinator says, as this version knows it. */
static enum kerr txn_answer_for_commit(const struct txn_commit_run *run)
{
    enum kerr error = run->question.error ? run->question.error : run->part_error;
    if (error == KERR_PRODUCER_FENCED)
        return KERR_INVALID_PRODUCER_EPOCH;
    if (error == KERR_TRANSACTION_ABORTABLE && run->req->version < ABORTABLE_FROM)
        return KERR_INVALID_TXN_STATE;
    return error;
}

static void txn_of_commit_answered(struct txn_question *q)
{
    struct txn_commit_run *run = container_of(q, struct txn_commit_run, question);
    run->error = txn_answer_for_commit(run);
    if (run->error)
        reply_txn_offset_commit(run);
    else
        coord_call_start(run->req->server->shard, &run->call);
}

static void ask_txn_of_commit(struct txn_commit_run *run)
{
    const struct txn_offset_commit_request *m = run->ask;
    bool adds = run->req->version >= ADDS_FROM;
    run->asked = true;
    if (m->transactional_id.n == 0) {
        run->error = KERR_INVALID_REQUEST;
        reply_txn_offset_commit(run);
        return;
    }
    run->part = (struct txn_partition){view_of(GROUP_TOPIC), run->call.partition};
    run->question = (struct txn_question){.call.key = m->transactional_id,
                                          .kind = adds ? TXN_ASK_ADD : TXN_ASK_VERIFY,
                                          .producer_id = m->producer_id,
                                          .producer_epoch = m->producer_epoch,
                                          .version = adds ? TXN_VERSION_2 : TXN_VERSION_0,
                                          .parts = &run->part,
                                          .part_count = 1,
                                          .errors = &run->part_error,
                                          .wait_ms = adds ? CONCURRENT_MS : 0,
                                          .answered = txn_of_commit_answered};
    txn_ask(run->req->server->shard, &run->question);
}

static void txn_offset_commit_answered(struct coord_call *c)
{
    struct txn_commit_run *run = container_of(c, struct txn_commit_run, call);
    bool unknown = run->written ? run->error == KERR_INVALID_TXN_STATE && run->txn.guard : !c->error;
    if (unknown && !run->asked)
        ask_txn_of_commit(run);
    else
        reply_txn_offset_commit(run);
}

/* --- preparing --- */

/* False: no memory. */
static bool begin_txn_commit_topic(struct txn_commit_run *run, const struct txn_offset_commit_request_topic *in,
                                   struct txn_offset_commit_response_topic *out)
{
    txn_offset_commit_response_topic_init(out);
    out->name = in->name;
    out->topic_id = in->topic_id;
    out->partitions.v = request_alloc(run->req, (size_t)in->partitions.n * sizeof *out->partitions.v + 1);
    return out->partitions.v;
}

/* False: no memory. */
static bool prepare_txn_commit_partitions(struct txn_commit_run *run, const struct txn_offset_commit_request_topic *in,
                                          struct txn_offset_commit_response_topic *out)
{
    struct commits_topic t;
    if (!commits_topic(&run->commits, in->name, in->topic_id, &t))
        return false;
    for (int32_t left = PREPARED_AT_ONCE; left > 0 && out->partitions.n < in->partitions.n; left--) {
        struct txn_offset_commit_response_partition *p = &out->partitions.v[out->partitions.n];
        const struct txn_offset_commit_request_partition *from = &in->partitions.v[out->partitions.n++];
        txn_offset_commit_response_partition_init(p);
        p->partition_index = from->partition_index;
        struct committed what = {.partition = from->partition_index,
                                 .offset = from->committed_offset,
                                 .commit_ms = -1,
                                 .leader_epoch = from->committed_leader_epoch,
                                 .metadata = from->committed_metadata};
        commits_add(&run->commits, &t, what, &p->error_code);
    }
    return true;
}

/* False: no memory. */
static bool prepare_some_txn_commits(struct txn_commit_run *run)
{
    const struct txn_offset_commit_request_topic *in = &run->ask->topics.v[run->topic_at];
    struct txn_offset_commit_response_topic *out = &run->r.topics.v[run->topic_at];
    if (run->r.topics.n == run->topic_at) {
        run->r.topics.n++;
        if (!begin_txn_commit_topic(run, in, out))
            return false;
    }
    bool good = prepare_txn_commit_partitions(run, in, out);
    run->topic_at += out->partitions.n == in->partitions.n;
    return good;
}

static void start_txn_offset_commit(struct txn_commit_run *run)
{
    run->error = group_id_given(run->ask->group_id) ? KERR_NONE : KERR_INVALID_GROUP_ID;
    if (run->error || run->commits.asked_count == 0)
        reply_txn_offset_commit(run);
    else
        coord_call_start(run->req->server->shard, &run->call);
}

static bool prepare_txn_offset_commit_step(struct steps *s)
{
    struct txn_commit_run *run = container_of(s, struct txn_commit_run, steps);
    for (; run->topic_at < run->ask->topics.n; steps_spend(s, PREPARED_UNITS)) {
        if (!steps_go_on(s))
            return true;
        if (!prepare_some_txn_commits(run)) {
            request_fail(run->req, no_memory);
            return false;
        }
    }
    start_txn_offset_commit(run);
    return false;
}

/* False: no memory. */
static bool begin_txn_offset_commit(struct txn_commit_run *run)
{
    struct request *req = run->req;
    const struct txn_offset_commit_request *m = run->ask;
    size_t n = 0;
    for (int32_t i = 0; i < m->topics.n; i++)
        n += (size_t)m->topics.v[i].partitions.n;
    txn_offset_commit_response_init(&run->r);
    run->r.topics.v = request_alloc(req, (size_t)m->topics.n * sizeof *run->r.topics.v + 1);
    run->txn.of = (struct record_txn){m->producer_id, m->producer_epoch};
    run->txn.first_generation = req->version < ADDS_FROM;
    run->call.topic = &group_topic;
    run->call.key = m->group_id;
    run->call.ask = ask_txn_offset_commit;
    run->call.answered = txn_offset_commit_answered;
    return run->r.topics.v && commits_begin(&run->commits, req, n, req->version >= NO_GROUP_FROM);
}

void txn_offset_commit_run(struct request *req)
{
    const struct txn_offset_commit_request *m = REQUEST_DECODE(req, txn_offset_commit_request);
    if (!m)
        return;
    struct txn_commit_run *run = request_zalloc(req, sizeof *run);
    if (run) {
        run->req = req;
        run->ask = m;
    }
    if (!run || !begin_txn_offset_commit(run))
        request_fail(req, no_memory);
    else
        steps_start(&req->server->steps, &run->steps, prepare_txn_offset_commit_step);
}
