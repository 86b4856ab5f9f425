/* Questions to the transaction coordinator: on their way, and what they are of a transactional id. */
#include "core/clock.h"
#include "net/limits.h"
#include "net/txn/txn_inside.h"

/* --- answers --- */

static void txn_question_home(struct coord_call *c)
{
    struct txn_question *q = container_of(c, struct txn_question, call);
    q->answered(q);
}

void txn_question_answer(struct txn_question *q, enum kerr error, int64_t producer_id, int16_t producer_epoch)
{
    assert(!list_linked(&q->link));
    timer_stop(&q->call.coordinator->shard->timers, &q->timer);
    q->error = error;
    q->answer_id = producer_id;
    q->answer_epoch = producer_epoch;
    coord_call_done(&q->call);
}

static void refuse_txn_question(struct txn_question *q, enum kerr error)
{
    txn_question_answer(q, error, -1, -1);
}

void txn_questions_answer(struct list *asking, enum kerr error, int64_t producer_id, int16_t producer_epoch)
{
    struct list due, *l;
    list_init(&due);
    list_splice(&due, asking);
    while ((l = list_pop(&due)))
        txn_question_answer(container_of(l, struct txn_question, link), error, producer_id, producer_epoch);
}

static void go_on_for_question(struct txn_entry *e, struct txn_outcome out, struct txn_question *q)
{
    struct list asking;
    list_init(&asking);
    list_push(&asking, &q->link);
    txn_entry_go_on(e, out, &asking);
}

/* --- adding, which may wait --- */

static struct txn_event txn_add_event(const struct txn_question *q)
{
    return (struct txn_event){.kind = TXN_ADD,
                              .now_ms = clock_wall_ms(),
                              .producer_id = q->producer_id,
                              .producer_epoch = q->producer_epoch,
                              .version = q->version,
                              .added = q->parts,
                              .added_count = q->part_count};
}

static void txn_wait_is_over(struct timer *t)
{
    struct txn_question *q = container_of(t, struct txn_question, timer);
    list_remove(&q->link);
    refuse_txn_question(q, KERR_CONCURRENT_TRANSACTIONS);
}

static void wait_for_txn(struct txn_entry *e, struct txn_question *q)
{
    struct shard *s = e->coord.log->shard;
    list_push(&e->waiting, &q->link);
    if (!timer_started(&q->timer))
        timer_start(&s->timers, &q->timer, clock_now_ns() + q->wait_ms * NS_PER_MS);
}

static void ask_txn_add(struct txn_entry *e, struct txn_question *q)
{
    struct txn_event add = txn_add_event(q);
    struct txn_outcome out = txn_event(&e->txn, &add);
    if (out.action == TXN_ANSWER && out.error == KERR_CONCURRENT_TRANSACTIONS && q->wait_ms > 0)
        wait_for_txn(e, q);
    else
        go_on_for_question(e, out, q);
}

static bool adds_alike(const struct txn_question *a, const struct txn_question *b)
{
    return a->producer_id == b->producer_id && a->producer_epoch == b->producer_epoch && a->version == b->version;
}

/* Those that add for the same producer, from `waiting` to `same`, in their order. Their partitions, in one piece; NULL: no memory. */
static struct txn_partition *gather_alike(struct heap *heap, struct list *waiting, struct list *same,
                                          uint32_t *out_count)
{
    const struct txn_question *first = container_of(list_first(waiting), struct txn_question, link);
    struct list rest, *l;
    uint32_t count = 0, at = 0;
    list_init(&rest);
    while ((l = list_pop(waiting))) {
        struct txn_question *q = container_of(l, struct txn_question, link);
        bool alike = adds_alike(first, q);
        list_push(alike ? same : &rest, l);
        count += alike ? q->part_count : 0;
    }
    list_splice(waiting, &rest);
    struct txn_partition *parts = heap_alloc(heap, ((size_t)count + 1) * sizeof *parts);
    for (l = same->next; parts && l != same; l = l->next) {
        const struct txn_question *q = container_of(l, struct txn_question, link);
        memcpy(parts + at, q->parts, q->part_count * sizeof *parts);
        at += q->part_count;
    }
    *out_count = count;
    return parts;
}

/* As one: a record for each of them would have to be durable before the next could begin. */
static void ask_txn_add_together(struct txn_entry *e)
{
    struct heap *heap = e->coord.log->shard->heap;
    struct txn_event add = txn_add_event(container_of(list_first(&e->waiting), struct txn_question, link));
    struct list same;
    list_init(&same);
    struct txn_partition *parts = gather_alike(heap, &e->waiting, &same, &add.added_count);
    if (!parts) {
        txn_questions_refuse(&same, KERR_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    add.added = parts;
    struct txn_outcome out = txn_event(&e->txn, &add);
    if (out.action == TXN_MERGE)
        e->added = parts;
    else
        heap_free(heap, parts); /* the entry has its own by now */
    txn_entry_go_on(e, out, &same);
}

void txn_entry_wake(struct txn_entry *e)
{
    while (!list_empty(&e->waiting) && !e->txn.pending && !txn_state_prepared(e->txn.now.state))
        ask_txn_add_together(e);
}

/* --- the others --- */

static struct txn_shard *txn_shard_asked(const struct txn_question *q)
{
    return container_of(q->call.coordinator, struct txn_shard, logs);
}

enum { VERIFIED_PER_UNIT = 8 }; /* each is bisected, twice */

/* In steps; the transaction may end meanwhile, and is asked again in each of them. */
static bool verify_parts_step(struct steps *s)
{
    struct txn_question *q = container_of(s, struct txn_question, steps);
    coord_call_look_again(&q->call);
    struct txn_entry *e = q->call.error ? NULL : txn_log_find(txn_log_of(q->call.log), q->call.key);
    struct txn_event verify = {.kind = TXN_VERIFY, .producer_id = q->producer_id, .producer_epoch = q->producer_epoch};
    enum kerr error = q->call.error ? q->call.error : KERR_INVALID_PRODUCER_ID_MAPPING;
    if (e)
        error = txn_event(&e->txn, &verify).error;
    for (; !error && q->verified < q->part_count; q->verified++) {
        if (!steps_go_on(s))
            return true;
        const struct txn_partition *part = &q->parts[q->verified];
        bool has = txn_parts_has(&e->txn.parts, part->topic, part->partition);
        q->errors[q->verified] = has ? KERR_NONE : KERR_TRANSACTION_ABORTABLE;
        if (q->verified % VERIFIED_PER_UNIT == 0)
            steps_spend(s, 1);
    }
    refuse_txn_question(q, error);
    return false;
}

static void ask_txn_verify(struct txn_question *q)
{
    q->verified = 0;
    steps_start(&txn_shard_asked(q)->server->steps, &q->steps, verify_parts_step);
}

static struct txn_event txn_event_of_question(const struct txn_shard *c, const struct txn_question *q)
{
    bool init = q->kind == TXN_ASK_INIT;
    return (struct txn_event){.kind = init ? TXN_INIT : TXN_END,
                              .now_ms = clock_wall_ms(),
                              .producer_id = q->producer_id,
                              .producer_epoch = q->producer_epoch,
                              .version = init ? txn_level(c) : q->version,
                              .commit = q->commit,
                              .timeout_ms = q->timeout_ms,
                              .fresh_id = -1};
}

static void ask_txn_change(struct txn_question *q, int64_t fresh_id);

static void txn_id_came(struct producer_id_wait *w, enum kerr error, int64_t producer_id)
{
    struct txn_question *q = container_of(w, struct txn_question, id_wait);
    struct txn_shard *c = txn_shard_asked(q);
    coord_call_look_again(&q->call);
    if (error || q->call.error)
        refuse_txn_question(q, error ? error : q->call.error);
    else
        ask_txn_change(q, producer_id);
    txn_shard_came_back(c);
}

/* -1: it waits for one. */
static int64_t take_txn_id(struct txn_question *q)
{
    struct txn_shard *c = txn_shard_asked(q);
    struct producer_ids *ids = &c->server->producer_ids;
    int64_t id;
    if (producer_ids_take(ids, &id))
        return id;
    c->out++;
    q->id_wait.done = txn_id_came;
    producer_ids_wait(ids, &q->id_wait);
    return -1;
}

/* NULL: answered, or it waits for a producer id. */
static struct txn_entry *make_txn_asked(struct txn_question *q, int64_t fresh_id)
{
    int64_t id = fresh_id >= 0 ? fresh_id : take_txn_id(q);
    if (id < 0)
        return NULL;
    struct txn_entry *e = txn_log_make(txn_log_of(q->call.log), q->call.key, id, q->timeout_ms, clock_wall_ms());
    if (!e)
        refuse_txn_question(q, KERR_COORDINATOR_NOT_AVAILABLE);
    return e;
}

/* INIT and END, with an id at hand or without. */
static void ask_txn_change(struct txn_question *q, int64_t fresh_id)
{
    struct txn_entry *e = txn_log_find(txn_log_of(q->call.log), q->call.key);
    if (!e && q->kind == TXN_ASK_INIT) {
        e = make_txn_asked(q, fresh_id);
        fresh_id = -1;
        if (!e)
            return;
    }
    if (!e || !txn_entry_settle_doubt(e)) {
        refuse_txn_question(q, e ? KERR_CONCURRENT_TRANSACTIONS : KERR_INVALID_PRODUCER_ID_MAPPING);
        return;
    }
    struct txn_event event = txn_event_of_question(txn_shard_asked(q), q);
    event.fresh_id = fresh_id;
    struct txn_outcome out = txn_event(&e->txn, &event);
    if (out.action == TXN_WANT_ID) {
        event.fresh_id = take_txn_id(q);
        if (event.fresh_id < 0)
            return;
        out = txn_event(&e->txn, &event);
    }
    go_on_for_question(e, out, q);
    txn_log_drop_if_empty(e);
}

static void ask_known_txn(struct txn_question *q)
{
    struct txn_entry *e = txn_log_find(txn_log_of(q->call.log), q->call.key);
    if (!e)
        refuse_txn_question(q, KERR_INVALID_PRODUCER_ID_MAPPING);
    else if (!txn_entry_settle_doubt(e))
        refuse_txn_question(q, KERR_CONCURRENT_TRANSACTIONS);
    else if (q->kind == TXN_ASK_ADD)
        ask_txn_add(e, q);
    else
        ask_txn_verify(q);
}

static void ask_txn_question(struct coord_call *c)
{
    struct txn_question *q = container_of(c, struct txn_question, call);
    list_init(&q->link);
    timer_init(&q->timer, txn_wait_is_over);
    if (c->error && q->kind != TXN_ASK_DESCRIBE) {
        refuse_txn_question(q, c->error);
        return;
    }
    switch (q->kind) {
    case TXN_ASK_INIT:
    case TXN_ASK_END: ask_txn_change(q, -1); return;
    case TXN_ASK_ADD:
    case TXN_ASK_VERIFY: ask_known_txn(q); return;
    case TXN_ASK_DESCRIBE: txn_describe(q); return;
    case TXN_ASK_LIST: txn_list(q); return;
    }
    assert(!"a kind of question");
}

/* --- at home --- */

static void prepare_txn_question(struct txn_question *q)
{
    assert(q->answered);
    q->call.topic = &txn_topic;
    q->call.ask = ask_txn_question;
    q->call.answered = txn_question_home;
}

void txn_ask(struct shard *home, struct txn_question *q)
{
    prepare_txn_question(q);
    coord_call_start(home, &q->call);
}

void txn_ask_shard(struct shard *home, uint16_t shard, struct txn_question *q)
{
    assert(q->kind == TXN_ASK_LIST);
    prepare_txn_question(q);
    coord_call_start_at(home, shard, &q->call);
}
