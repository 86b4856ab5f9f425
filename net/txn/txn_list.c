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

enum { DESCRIBED_AT_ONCE_MAX = 2000 /* topics and partitions: some 10 us */ };

/* Names and numbers are copied as they lie there. */
static void describe_txn_topics(struct coord_call *c, const struct txn_parts *parts,
                                struct describe_transactions_transaction_state *out)
{
    struct describe_transactions_topic_data *topics = coord_call_alloc(c, ((size_t)parts->count + 1) * sizeof *topics);
    int32_t *numbers = coord_call_alloc(c, (size_t)parts->partitions * sizeof *numbers + 1);
    uint8_t *names = coord_call_alloc(c, (size_t)parts->names_bytes + 1);
    if (!topics || !numbers || !names || parts->count == 0)
        return;
    memcpy(numbers, parts->numbers, (size_t)parts->partitions * sizeof *numbers);
    memcpy(names, parts->names, parts->names_bytes);
    for (int32_t i = 0; i < parts->count; i++) {
        const struct txn_topic_place *t = &parts->topics[i];
        describe_transactions_topic_data_init(&topics[i]);
        topics[i].topic = (struct kview){names + t->name_at, t->name_bytes};
        topics[i].partitions.v = numbers + t->first;
        topics[i].partitions.n = t->count;
    }
    out->topics.v = topics;
    out->topics.n = parts->count;
}

static void describe_txn_entry(struct coord_call *c, const struct txn *t,
                               struct describe_transactions_transaction_state *out)
{
    out->transaction_state = name_of_txn_state(t->now.state);
    out->transaction_timeout_ms = t->now.timeout_ms;
    out->transaction_start_time_ms = t->now.start_ms;
    out->producer_id = t->now.producer_id;
    out->producer_epoch = t->now.producer_epoch;
    describe_txn_topics(c, &t->parts, out);
}

static const struct txn_entry *find_described_txn(const struct coord_call *c)
{
    return c->error ? NULL : txn_log_find(txn_log_of(c->log), c->key);
}

static void describe_found_txn(struct txn_question *q, const struct txn_entry *e)
{
    struct coord_call *c = &q->call;
    struct describe_transactions_transaction_state *out = q->described;
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

static bool describe_large_txn_step(struct steps *s)
{
    struct txn_question *q = container_of(s, struct txn_question, steps);
    coord_call_look_again(&q->call);
    describe_found_txn(q, find_described_txn(&q->call));
    return false;
}

/* A large one takes up to a millisecond: it stands in line, so that a turn has one of them however many are asked for. */
void txn_describe(struct txn_question *q)
{
    const struct txn_shard *c = container_of(q->call.coordinator, struct txn_shard, logs);
    const struct txn_entry *e = find_described_txn(&q->call);
    if (e && e->txn.parts.partitions + (uint32_t)e->txn.parts.count > DESCRIBED_AT_ONCE_MAX) {
        steps_init(&q->steps, describe_large_txn_step);
        steps_resume(&c->server->steps, &q->steps);
    } else {
        describe_found_txn(q, e);
    }
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
