/* AddPartitionsToTxn, AddOffsetsToTxn, EndTxn: what a transactional producer asks of its coordinator. Each is one question to the
 * shard of the transactional id; AddPartitionsToTxn from version 4 on, which Kafka's brokers send each other, has one for each
 * transaction that it names. */
#include "net/api/asking.h"
#include "net/api/reply.h"
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

/* In steps, as it may name a hundred thousand: all transactions are prepared, then each is asked for.
 *
 *   for each: gathered, as named --> sorted --> laid out: question and reply alike, each partition once and looked for
 *   for each: asked, unless a partition of it does not exist */
enum {
    ADDED_OUT_MAX = 64,
    ADD_UNITS = 4 /* besides asking.c's: a record that is written, more often than not */
};
struct add_txn {
    struct txn_question question;
    struct add_txn_run *run;
    bool verifies;
    bool unknown; /* a partition of it does not exist */
    struct add_partitions_to_txn_result *out;
};
struct add_txn_run {
    struct asking asking;
    const struct add_partitions_to_txn_request *ask;
    struct add_partitions_to_txn_transaction one; /* the one of version 3 and below */
    struct add_partitions_to_txn_response r;
    struct add_txn *txns;
    int32_t count, at; /* prepared, then asked, up to there */
    bool prepared;     /* all */
    bool failed;       /* no memory */
    /* of the one that is being prepared */
    enum { ADD_BEGINS, ADD_GATHERS, ADD_SORTS, ADD_LAYS_OUT } phase;
    struct txn_partition *named;
    uint32_t named_count, laid_out;
    int32_t topic, partition; /* gathered up to there */
    struct txn_sort sort;
    struct txn_partition *parts;                            /* the question's */
    struct add_partitions_to_txn_partition_result *results; /* of all topics */
};

static void reply_add_partitions(struct asking *asking)
{
    struct add_txn_run *run = container_of(asking, struct add_txn_run, asking);
    txn_sort_end(&run->sort);
    if (run->failed) {
        request_fail(asking->req, no_memory);
        return;
    }
    if (asking->req->version < ADD_BATCH_SINCE) {
        run->r.results_by_topic_v3_and_below.v = run->txns[0].out->topic_results.v;
        run->r.results_by_topic_v3_and_below.n = run->txns[0].out->topic_results.n;
        run->r.results_by_transaction.n = 0;
    }
    REQUEST_REPLY_LARGE(asking->req, add_partitions_to_txn_response, &run->r);
}

/* In the order of the question's partitions. */
static void fill_add_results(struct add_txn *a, enum kerr error, const enum kerr *errors)
{
    const struct request *req = a->run->asking.req;
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
    asking_answered(&a->run->asking);
}

static const struct add_partitions_to_txn_transaction *txn_being_added(const struct add_txn_run *run)
{
    return run->asking.req->version >= ADD_BATCH_SINCE ? &run->ask->transactions.v[run->at] : &run->one;
}

static void *add_txn_array(struct add_txn_run *run, size_t count, size_t bytes_each)
{
    void *v = request_alloc(run->asking.req, count * bytes_each + 1);
    run->failed |= !v;
    return v;
}

static void begin_added_txn(struct add_txn_run *run)
{
    const struct add_partitions_to_txn_transaction *t = txn_being_added(run);
    struct add_txn *a = &run->txns[run->at];
    *a = (struct add_txn){.run = run, .verifies = t->verify_only, .out = &run->r.results_by_transaction.v[run->at]};
    a->question =
        (struct txn_question){.kind = t->verify_only ? TXN_ASK_VERIFY : TXN_ASK_ADD,
                              .call.key = t->transactional_id,
                              .producer_id = t->producer_id,
                              .producer_epoch = t->producer_epoch,
                              .version = run->asking.req->version >= ADD_BATCH_SINCE ? TXN_VERSION_2 : TXN_VERSION_0,
                              .answered = add_txn_answered};
    add_partitions_to_txn_result_init(a->out);
    a->out->transactional_id = t->transactional_id;
    size_t count = 0;
    for (int32_t i = 0; i < t->topics.n; i++)
        count += t->topics.v[i].partitions.n > 0 ? (size_t)t->topics.v[i].partitions.n : 0;
    run->named = add_txn_array(run, count, sizeof *run->named);
    run->parts = add_txn_array(run, count, sizeof *run->parts);
    run->results = add_txn_array(run, count, sizeof *run->results);
    a->question.parts = run->parts;
    a->question.errors = add_txn_array(run, count, sizeof *a->question.errors);
    a->out->topic_results.v = add_txn_array(run, (size_t)t->topics.n, sizeof *a->out->topic_results.v);
    run->topic = run->partition = 0;
    run->named_count = run->laid_out = 0;
    run->phase = ADD_GATHERS;
}

/* A topic that is named twice counts once, with all of its partitions; one without partitions does not count. */
static void gather_named_parts(struct add_txn_run *run, uint32_t *items)
{
    const struct add_partitions_to_txn_transaction *t = txn_being_added(run);
    for (; *items > 0 && run->topic < t->topics.n; --*items) {
        const struct add_partitions_to_txn_topic *from = &t->topics.v[run->topic];
        if (run->partition < from->partitions.n)
            run->named[run->named_count++] = (struct txn_partition){from->name, from->partitions.v[run->partition++]};
        if (run->partition < from->partitions.n)
            continue;
        run->topic++;
        run->partition = 0;
    }
    if (run->topic < t->topics.n)
        return;
    txn_sort_begin(&run->sort, run->asking.req->server->shard->heap, run->named, run->named_count);
    run->phase = ADD_SORTS;
}

static void sort_named_parts(struct add_txn_run *run, uint32_t *items)
{
    enum txn_work done = txn_sort_some(&run->sort, items);
    run->failed |= done == TXN_WORK_NO_MEMORY;
    if (done == TXN_WORK_DONE)
        run->phase = ADD_LAYS_OUT;
}

static void lay_out_added_topic(struct add_txn_run *run, struct kview name)
{
    struct add_txn *a = &run->txns[run->at];
    struct add_partitions_to_txn_topic_result *out = &a->out->topic_results.v[a->out->topic_results.n++];
    add_partitions_to_txn_topic_result_init(out);
    out->name = name;
    out->results_by_partition.v = &run->results[a->question.part_count];
}

/* As a transaction is all or nothing, one that does not exist spoils all: the others were not even tried. */
static void lay_out_added_part(struct add_txn_run *run, const struct topic *t, const struct txn_partition *part)
{
    struct add_txn *a = &run->txns[run->at];
    struct add_partitions_to_txn_topic_result *out = &a->out->topic_results.v[a->out->topic_results.n - 1];
    struct add_partitions_to_txn_partition_result *p = &out->results_by_partition.v[out->results_by_partition.n++];
    bool known = topic_has_partition(t, part->partition);
    add_partitions_to_txn_partition_result_init(p);
    p->partition_index = part->partition;
    p->partition_error_code = known ? KERR_OPERATION_NOT_ATTEMPTED : KERR_UNKNOWN_TOPIC_OR_PARTITION;
    a->unknown = a->unknown || !known;
    run->parts[a->question.part_count++] = (struct txn_partition){out->name, part->partition};
}

/* The catalog is looked into once a topic, and once a call. */
static void lay_out_added_parts(struct add_txn_run *run, uint32_t *items)
{
    const struct txn_partition *v = txn_sort_sorted(&run->sort), *last = NULL;
    const struct topic *t = NULL;
    for (; *items > 0 && run->laid_out < run->named_count; --*items) {
        const struct txn_partition *part = &v[run->laid_out];
        bool first = run->laid_out == 0 || !kview_same(part[-1].topic, part->topic);
        bool again = !first && part[-1].partition == part->partition;
        run->laid_out++;
        if (again)
            continue;
        if (first)
            lay_out_added_topic(run, part->topic);
        if (first || !last)
            t = topic_named(run->asking.req, part->topic);
        lay_out_added_part(run, t, part);
        last = part;
    }
    if (run->laid_out < run->named_count)
        return;
    txn_sort_end(&run->sort);
    run->at++;
    run->phase = ADD_BEGINS;
}

static void prepare_added_txns(struct add_txn_run *run)
{
    uint32_t items = TXN_ITEMS_PER_UNIT;
    switch (run->phase) {
    case ADD_BEGINS: begin_added_txn(run); return;
    case ADD_GATHERS: gather_named_parts(run, &items); return;
    case ADD_SORTS: sort_named_parts(run, &items); return;
    case ADD_LAYS_OUT: lay_out_added_parts(run, &items); return;
    }
}

static void ask_added_txn(struct add_txn_run *run)
{
    struct add_txn *a = &run->txns[run->at++];
    if (a->unknown)
        return;
    if (a->question.call.key.n == 0) {
        fill_add_results(a, KERR_INVALID_REQUEST, NULL);
        return;
    }
    steps_spend(&run->asking.steps, ADD_UNITS);
    asking_add(&run->asking);
    txn_ask(run->asking.req->server->shard, &a->question);
}

static bool next_of_added(struct asking *asking)
{
    struct add_txn_run *run = container_of(asking, struct add_txn_run, asking);
    if (!run->prepared && run->at == run->count) {
        run->prepared = true;
        run->at = 0;
    }
    if (run->failed || run->at == run->count)
        return false;
    if (run->prepared)
        ask_added_txn(run);
    else
        prepare_added_txns(run);
    return true;
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
    if (!run) {
        request_fail(req, no_memory);
        return;
    }
    run->asking.req = req;
    run->ask = m;
    run->one = one_added_txn(m);
    run->count = req->version >= ADD_BATCH_SINCE ? m->transactions.n : 1;
    run->txns = add_txn_array(run, (size_t)run->count, sizeof *run->txns);
    add_partitions_to_txn_response_init(&run->r);
    run->r.results_by_transaction.v = add_txn_array(run, (size_t)run->count, sizeof *run->r.results_by_transaction.v);
    run->r.results_by_transaction.n = run->count;
    txn_sort_begin(&run->sort, req->server->shard->heap, NULL, 0);
    asking_begin(&run->asking, req, ADDED_OUT_MAX, next_of_added, reply_add_partitions);
}
