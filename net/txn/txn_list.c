/* What is told of transactional ids: descriptions, and lists of one shard's. */
#include "core/clock.h"
#include "net/limits.h"
#include "net/txn/txn_inside.h"

static struct kview name_of_txn_state(enum txn_state s)
{
    const char *name = txn_state_name(s);
    return (struct kview){(const uint8_t *)name, (int32_t)strlen(name)};
}

/* --- DescribeTransactions --- */

static void describe_txn_topic(struct coord_call *c, const struct txn_topic *t,
                               struct describe_transactions_topic_data *out)
{
    describe_transactions_topic_data_init(out);
    out->topic = coord_call_text(c, t->name);
    int32_t *partitions = coord_call_alloc(c, (size_t)t->count * sizeof *partitions);
    if (!partitions)
        return;
    memcpy(partitions, t->partitions, (size_t)t->count * sizeof *partitions);
    out->partitions.v = partitions;
    out->partitions.n = t->count;
}

static void describe_txn_entry(struct coord_call *c, const struct txn *t,
                               struct describe_transactions_transaction_state *out)
{
    out->transaction_state = name_of_txn_state(t->now.state);
    out->transaction_timeout_ms = t->now.timeout_ms;
    out->transaction_start_time_ms = t->now.start_ms;
    out->producer_id = t->now.producer_id;
    out->producer_epoch = t->now.producer_epoch;
    struct describe_transactions_topic_data *topics =
        coord_call_alloc(c, ((size_t)t->parts.count + 1) * sizeof *topics);
    for (int32_t i = 0; topics && i < t->parts.count; i++)
        describe_txn_topic(c, &t->parts.topics[i], &topics[i]);
    out->topics.v = topics;
    out->topics.n = topics ? t->parts.count : 0;
}

void txn_describe(struct txn_question *q)
{
    struct coord_call *c = &q->call;
    struct describe_transactions_transaction_state *out = q->described;
    const struct txn_entry *e = c->error ? NULL : txn_log_find(txn_log_of(c->log), c->key);
    enum kerr error = c->error ? c->error : e ? KERR_NONE : KERR_TRANSACTIONAL_ID_NOT_FOUND;
    if (c->key.n == 0)
        error = KERR_INVALID_REQUEST;
    describe_transactions_transaction_state_init(out);
    out->transactional_id = c->key;
    if (e)
        describe_txn_entry(c, &e->txn, out);
    if (c->starved) {
        error = KERR_COORDINATOR_NOT_AVAILABLE;
        out->topics.n = 0;
    }
    out->error_code = (int16_t)error;
    txn_question_answer(q, error, -1, -1);
}

/* --- ListTransactions --- */

static bool is_listed_producer(const struct txn_filter *f, int64_t producer_id)
{
    for (int32_t i = 0; i < f->producer_id_count; i++)
        if (f->producer_ids[i] == producer_id)
            return true;
    return f->producer_id_count == 0;
}

static bool is_txn_listed(struct txn_question *q, const struct txn_entry *e)
{
    enum { PRODUCERS_PER_UNIT = 1000 };
    const struct txn_filter *f = &q->filter;
    steps_spend(&q->steps, (uint32_t)f->producer_id_count / PRODUCERS_PER_UNIT);
    const struct txn_values *now = &e->txn.now;
    if (!(f->states & 1u << now->state) || !is_listed_producer(f, now->producer_id))
        return false;
    if (f->open_ms_min >= 0 && clock_wall_ms() - now->start_ms <= f->open_ms_min)
        return false;
    return !f->passes || f->passes(f->passes_arg, e->coord.id, &q->steps);
}

static struct list_transactions_transaction_state *next_listed_txn(struct txn_question *q)
{
    if (!q->listed_last || q->listed_last->count == TXN_LIST_CHUNK) {
        struct txn_list_chunk *chunk = coord_call_alloc(&q->call, sizeof *chunk);
        if (!chunk)
            return NULL;
        chunk->next = NULL;
        chunk->count = 0;
        *(q->listed_last ? &q->listed_last->next : &q->listed) = chunk;
        q->listed_last = chunk;
    }
    q->listed_count++;
    return &q->listed_last->v[q->listed_last->count++];
}

static void list_txn_entry(struct txn_question *q, const struct txn_entry *e)
{
    struct list_transactions_transaction_state *out = next_listed_txn(q);
    if (!out)
        return;
    list_transactions_transaction_state_init(out);
    out->transactional_id = coord_call_text(&q->call, e->coord.id);
    out->producer_id = e->txn.now.producer_id;
    out->transaction_state = name_of_txn_state(e->txn.now.state);
}

/* False: there is no more, or an error. */
static bool list_next_txn(struct txn_question *q)
{
    struct coord_call *c = &q->call;
    if (!q->cursor.log) {
        struct coord_log *l = coord_shard_next_log(c->coordinator, &q->cursor_at, &q->error);
        if (!l)
            return false;
        coord_cursor_begin(&q->cursor, l);
    }
    const struct coord_entry *e = coord_cursor_next(&q->cursor);
    if (!e)
        coord_cursor_end(&q->cursor);
    else if (is_txn_listed(q, txn_entry_of(e)))
        list_txn_entry(q, txn_entry_of(e));
    return !c->starved;
}

enum { LISTED_ID_UNITS = 1 };

static bool list_txns_step(struct steps *s)
{
    struct txn_question *q = container_of(s, struct txn_question, steps);
    for (; steps_go_on(s); steps_spend(s, LISTED_ID_UNITS)) {
        if (list_next_txn(q))
            continue;
        coord_cursor_end(&q->cursor);
        txn_question_answer(q, q->call.starved ? KERR_COORDINATOR_NOT_AVAILABLE : q->error, -1, -1);
        return false;
    }
    return true;
}

void txn_list(struct txn_question *q)
{
    const struct txn_shard *c = container_of(q->call.coordinator, struct txn_shard, logs);
    q->cursor.log = NULL;
    q->cursor_at = 0;
    q->error = KERR_NONE;
    q->listed = q->listed_last = NULL;
    q->listed_count = 0;
    steps_start(&c->server->steps, &q->steps, list_txns_step);
}
