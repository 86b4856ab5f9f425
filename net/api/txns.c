/* AddPartitionsToTxn, AddOffsetsToTxn, EndTxn: what a transactional producer asks of its coordinator. Each is one question to the
 * shard of the transactional id; AddPartitionsToTxn from version 4 on, which Kafka's brokers send each other, has one for each
 * transaction that it names. */
#include "net/api/api.h"
#include "net/api/reply.h"
#include "net/countdown.h"
#include "net/group/coordinator.h"
#include "net/txn/txn_ask.h"

enum {
    TXN_FENCED_SINCE = 2, /* older versions know PRODUCER_FENCED as INVALID_PRODUCER_EPOCH */
    END_NEW_SINCE = 5,    /* KIP-890: the end raises the epoch */
    ADD_BATCH_SINCE = 4,
    ADDED_MAX = TOPIC_PARTITIONS_MAX, /* partitions in a request: the record of so many would be too large anyway */
};

static int16_t txn_error_code(const struct request *req, enum kerr error)
{
    bool old = req->version < TXN_FENCED_SINCE && error == KERR_PRODUCER_FENCED;
    return (int16_t)(old ? KERR_INVALID_PRODUCER_EPOCH : error);
}

/* --- EndTxn, AddOffsetsToTxn --- */

struct one_txn_run {
    struct request *req;
    struct txn_question question;
    struct txn_partition part;
};

static struct one_txn_run *open_one_txn_run(struct request *req, struct kview id, int64_t producer_id, int16_t epoch)
{
    struct one_txn_run *run = request_zalloc(req, sizeof *run);
    if (!run) {
        request_fail(req, no_memory);
        return NULL;
    }
    run->req = req;
    run->question.call.key = id;
    run->question.producer_id = producer_id;
    run->question.producer_epoch = epoch;
    return run;
}

static void answer_end_txn(struct txn_question *q)
{
    struct request *req = container_of(q, struct one_txn_run, question)->req;
    struct end_txn_response r;
    end_txn_response_init(&r);
    r.error_code = txn_error_code(req, q->error);
    if (req->version >= END_NEW_SINCE) {
        r.producer_id = q->answer_id;
        r.producer_epoch = q->answer_epoch;
    }
    REQUEST_REPLY(req, end_txn_response, &r);
}

/* Nobody was asked. */
static void refuse_one_txn(struct one_txn_run *run, enum kerr error, void (*answer)(struct txn_question *q))
{
    run->question.error = error;
    run->question.answer_id = run->question.answer_epoch = -1;
    answer(&run->question);
}

void end_txn_run(struct request *req)
{
    const struct end_txn_request *m = REQUEST_DECODE(req, end_txn_request);
    struct one_txn_run *run = m ? open_one_txn_run(req, m->transactional_id, m->producer_id, m->producer_epoch) : NULL;
    if (!run)
        return;
    run->question.kind = TXN_ASK_END;
    run->question.version = req->version >= END_NEW_SINCE ? TXN_VERSION_2 : TXN_VERSION_0;
    run->question.commit = m->committed;
    run->question.answered = answer_end_txn;
    if (m->transactional_id.n == 0)
        refuse_one_txn(run, KERR_INVALID_REQUEST, answer_end_txn);
    else
        txn_ask(req->server->shard, &run->question);
}

static void answer_add_offsets(struct txn_question *q)
{
    struct request *req = container_of(q, struct one_txn_run, question)->req;
    struct add_offsets_to_txn_response r;
    add_offsets_to_txn_response_init(&r);
    r.error_code = txn_error_code(req, q->error);
    REQUEST_REPLY(req, add_offsets_to_txn_response, &r);
}

void add_offsets_to_txn_run(struct request *req)
{
    const struct add_offsets_to_txn_request *m = REQUEST_DECODE(req, add_offsets_to_txn_request);
    struct one_txn_run *run = m ? open_one_txn_run(req, m->transactional_id, m->producer_id, m->producer_epoch) : NULL;
    if (!run)
        return;
    const struct topic *t = coord_topic_find(&group_topic, store_of(req->server->shard));
    int32_t partitions = t ? t->partitions : server_config(req->server)->offsets_topic_partitions;
    run->part = (struct txn_partition){view_of(group_topic.name), coord_partition(m->group_id, partitions)};
    run->question.kind = TXN_ASK_ADD;
    run->question.version = TXN_VERSION_0;
    run->question.parts = &run->part;
    run->question.part_count = 1;
    run->question.answered = answer_add_offsets;
    if (m->transactional_id.n == 0)
        refuse_one_txn(run, KERR_INVALID_REQUEST, answer_add_offsets);
    else
        txn_ask(req->server->shard, &run->question);
}

/* --- AddPartitionsToTxn --- */

struct add_txn {
    struct txn_question question;
    struct add_txn_run *run;
    bool verifies;
    struct add_partitions_to_txn_result *out;
};
struct add_txn_run {
    struct request *req;
    struct countdown out;
    struct add_partitions_to_txn_response r;
    struct add_txn *txns;
    int32_t count;
};

static void reply_add_partitions(struct countdown *c)
{
    struct add_txn_run *run = container_of(c, struct add_txn_run, out);
    if (run->req->version < ADD_BATCH_SINCE) {
        run->r.results_by_topic_v3_and_below.v = run->txns[0].out->topic_results.v;
        run->r.results_by_topic_v3_and_below.n = run->txns[0].out->topic_results.n;
        run->r.results_by_transaction.n = 0;
    }
    REQUEST_REPLY_LARGE(run->req, add_partitions_to_txn_response, &run->r);
}

/* In the order of the question's partitions. */
static void fill_add_results(struct add_txn *a, enum kerr error, const enum kerr *errors)
{
    const struct request *req = a->run->req;
    uint32_t at = 0;
    for (int32_t i = 0; i < a->out->topic_results.n; i++) {
        struct add_partitions_to_txn_topic_result *t = &a->out->topic_results.v[i];
        for (int32_t k = 0; k < t->results_by_partition.n; k++, at++)
            t->results_by_partition.v[k].partition_error_code = txn_error_code(req, errors ? errors[at] : error);
    }
}

static void add_txn_answered(struct txn_question *q)
{
    struct add_txn *a = container_of(q, struct add_txn, question);
    fill_add_results(a, q->error, a->verifies && !q->error ? q->errors : NULL);
    countdown_done(&a->run->out);
}

/* A topic that is named twice counts once, with all of its partitions; one without partitions does not count. False: no memory. */
static bool gather_named_parts(struct request *req, const struct add_partitions_to_txn_transaction *t,
                               struct txn_parts *out)
{
    struct txn_parts none;
    size_t count = 0;
    uint32_t at = 0;
    for (int32_t i = 0; i < t->topics.n; i++)
        count += t->topics.v[i].partitions.n > 0 ? (size_t)t->topics.v[i].partitions.n : 0;
    struct txn_partition *named = request_alloc(req, count * sizeof *named + 1);
    if (!named)
        return false;
    for (int32_t i = 0; i < t->topics.n; i++)
        for (int32_t k = 0; k < t->topics.v[i].partitions.n; k++)
            named[at++] = (struct txn_partition){t->topics.v[i].name, t->topics.v[i].partitions.v[k]};
    txn_parts_init(&none, out->heap);
    return !txn_parts_merge(&none, named, at, out);
}

/* The question's partitions and the reply's, alike. False: no memory. */
static bool lay_out_added_topic(struct request *req, struct add_txn *a, const struct txn_topic *from,
                                struct txn_partition *parts, struct add_partitions_to_txn_topic_result *out)
{
    add_partitions_to_txn_topic_result_init(out);
    out->name = request_copy(req, from->name);
    struct add_partitions_to_txn_partition_result *v = request_zalloc(req, (size_t)from->count * sizeof *v);
    for (int32_t k = 0; v && k < from->count; k++) {
        add_partitions_to_txn_partition_result_init(&v[k]);
        v[k].partition_index = from->partitions[k];
        parts[a->question.part_count++] = (struct txn_partition){out->name, from->partitions[k]};
    }
    out->results_by_partition.v = v;
    out->results_by_partition.n = from->count;
    return v && out->name.n >= 0;
}

static bool lay_out_added_parts(struct request *req, struct add_txn *a, const struct txn_parts *named)
{
    size_t count = named->partitions;
    struct txn_partition *parts = request_alloc(req, count * sizeof *parts + 1);
    struct add_partitions_to_txn_topic_result *topics = request_alloc(req, (size_t)named->count * sizeof *topics + 1);
    a->question.errors = request_zalloc(req, count * sizeof *a->question.errors + 1);
    bool good = parts && topics && a->question.errors;
    for (int32_t i = 0; good && i < named->count; i++)
        good = lay_out_added_topic(req, a, &named->topics[i], parts, &topics[i]);
    a->question.parts = parts;
    a->out->topic_results.v = topics;
    a->out->topic_results.n = named->count;
    return good;
}

/* As a transaction is all or nothing, one that does not exist spoils all: the others were not even tried. */
static bool refuse_unknown_parts(struct add_txn *a)
{
    bool all_known = true;
    fill_add_results(a, KERR_OPERATION_NOT_ATTEMPTED, NULL);
    for (int32_t i = 0; i < a->out->topic_results.n; i++) {
        struct add_partitions_to_txn_topic_result *out = &a->out->topic_results.v[i];
        const struct topic *t = topic_named(a->run->req, out->name);
        for (int32_t k = 0; k < out->results_by_partition.n; k++) {
            struct add_partitions_to_txn_partition_result *p = &out->results_by_partition.v[k];
            if (topic_has_partition(t, p->partition_index))
                continue;
            p->partition_error_code = KERR_UNKNOWN_TOPIC_OR_PARTITION;
            all_known = false;
        }
    }
    return !all_known;
}

static void start_add_txn(struct add_txn *a)
{
    if (refuse_unknown_parts(a))
        return;
    if (a->question.call.key.n == 0) {
        fill_add_results(a, KERR_INVALID_REQUEST, NULL);
        return;
    }
    countdown_add(&a->run->out);
    txn_ask(a->run->req->server->shard, &a->question);
}

static bool prepare_add_txn(struct add_txn_run *run, int32_t i, const struct add_partitions_to_txn_transaction *t)
{
    struct request *req = run->req;
    struct add_txn *a = &run->txns[i];
    *a = (struct add_txn){.run = run, .verifies = t->verify_only, .out = &run->r.results_by_transaction.v[i]};
    a->question = (struct txn_question){.kind = t->verify_only ? TXN_ASK_VERIFY : TXN_ASK_ADD,
                                        .call.key = t->transactional_id,
                                        .producer_id = t->producer_id,
                                        .producer_epoch = t->producer_epoch,
                                        .version = req->version >= ADD_BATCH_SINCE ? TXN_VERSION_2 : TXN_VERSION_0,
                                        .answered = add_txn_answered};
    add_partitions_to_txn_result_init(a->out);
    a->out->transactional_id = t->transactional_id;
    struct txn_parts named;
    txn_parts_init(&named, req->server->shard->heap);
    bool good = gather_named_parts(req, t, &named) && lay_out_added_parts(req, a, &named);
    txn_parts_deinit(&named);
    return good;
}

static struct add_partitions_to_txn_transaction one_added_txn(const struct add_partitions_to_txn_request *m)
{
    struct add_partitions_to_txn_transaction one;
    add_partitions_to_txn_transaction_init(&one);
    one.transactional_id = m->v3_and_below_transactional_id;
    one.producer_id = m->v3_and_below_producer_id;
    one.producer_epoch = m->v3_and_below_producer_epoch;
    one.topics.v = m->v3_and_below_topics.v;
    one.topics.n = m->v3_and_below_topics.n;
    return one;
}

static bool prepare_add_txns(struct add_txn_run *run, const struct add_partitions_to_txn_request *m)
{
    struct request *req = run->req;
    bool batch = req->version >= ADD_BATCH_SINCE;
    struct add_partitions_to_txn_transaction one = one_added_txn(m);
    run->count = batch ? m->transactions.n : 1;
    run->txns = request_alloc(req, (size_t)run->count * sizeof *run->txns + 1);
    add_partitions_to_txn_response_init(&run->r);
    run->r.results_by_transaction.v =
        request_alloc(req, (size_t)run->count * sizeof *run->r.results_by_transaction.v + 1);
    run->r.results_by_transaction.n = run->count;
    bool good = run->txns && run->r.results_by_transaction.v;
    for (int32_t i = 0; good && i < run->count; i++)
        good = prepare_add_txn(run, i, batch ? &m->transactions.v[i] : &one);
    return good;
}

static size_t count_named_parts(const struct add_partitions_to_txn_topic *v, int32_t n)
{
    size_t count = 0;
    for (int32_t i = 0; i < n; i++)
        count += 1 + (v[i].partitions.n > 0 ? (size_t)v[i].partitions.n : 0);
    return count;
}

static bool names_too_many_parts(const struct add_partitions_to_txn_request *m)
{
    size_t count = count_named_parts(m->v3_and_below_topics.v, m->v3_and_below_topics.n);
    for (int32_t i = 0; i < m->transactions.n && count <= ADDED_MAX; i++)
        count += 1 + count_named_parts(m->transactions.v[i].topics.v, m->transactions.v[i].topics.n);
    return count > ADDED_MAX;
}

void add_partitions_to_txn_run(struct request *req)
{
    const struct add_partitions_to_txn_request *m = REQUEST_DECODE(req, add_partitions_to_txn_request);
    if (!m)
        return;
    if (names_too_many_parts(m)) {
        request_fail(req, "it names more partitions than a transaction may have");
        return;
    }
    struct add_txn_run *run = request_zalloc(req, sizeof *run);
    if (run)
        run->req = req;
    if (!run || !prepare_add_txns(run, m)) {
        request_fail(req, no_memory);
        return;
    }
    countdown_begin(&run->out, reply_add_partitions);
    for (int32_t i = 0; i < run->count; i++)
        start_add_txn(&run->txns[i]);
    countdown_done(&run->out);
}
