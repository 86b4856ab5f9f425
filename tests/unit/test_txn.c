/* One transactional id: what every event does in every state, as Kafka 4.3 has it; epochs and producer ids through whole transactions; a
 * partition set against one that is obviously right. */
#include "core/rng.h"
#include "net/txn/txn.h"
#include "tests/unit/one_heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

enum { ID = 1000, OTHER = 999, FRESH = 2000, EPOCH = 5, NOW = 700, TIMEOUT_MS = 60 };

static struct txn txn;
static struct kview name_of(const char *text)
{
    return (struct kview){(const uint8_t *)text, (int32_t)strlen(text)};
}

/* --- every state times every event --- */

enum world { EMPTY, ONGOING, PREPARED_COMMIT, PREPARED_ABORT, COMMITTED, ABORTED, BUSY, WORLDS };
static const char *const world_names[] = {"Empty",          "Ongoing",       "PrepareCommit", "PrepareAbort",
                                          "CompleteCommit", "CompleteAbort", "Ongoing, busy"};

static void make_world(enum world w)
{
    static const enum txn_state states[] = {TXN_EMPTY,         TXN_ONGOING,         TXN_PREPARE_COMMIT,
                                            TXN_PREPARE_ABORT, TXN_COMPLETE_COMMIT, TXN_COMPLETE_ABORT,
                                            TXN_ONGOING};
    txn_init(&txn, heap, ID, TIMEOUT_MS, 1);
    txn.now.state = states[w];
    txn.now.producer_epoch = EPOCH;
    txn.now.previous_id = ID;
    txn.now.start_ms = w == EMPTY ? -1 : 10;
    if (w == ONGOING || w == PREPARED_COMMIT || w == PREPARED_ABORT || w == BUSY)
        assert_int_equal(txn_parts_append(&txn.parts, name_of("there"), 3), ERR_NONE);
    if (w == BUSY) {
        struct txn_partition one = {name_of("new"), 1};
        struct txn_event add = {.kind = TXN_ADD,
                                .now_ms = NOW,
                                .producer_id = ID,
                                .producer_epoch = EPOCH,
                                .fresh_id = -1,
                                .added = &one,
                                .added_count = 1};
        assert_int_equal(txn_event(&txn, &add).action, TXN_WRITE);
    }
    txn_check(&txn);
}

static const struct txn_partition new_part = {{(const uint8_t *)"new", 3}, 0},
                                  old_part = {{(const uint8_t *)"there", 5}, 3};

/* What is answered, or what is written. */
#define CONC KERR_CONCURRENT_TRANSACTIONS
#define FENCED KERR_PRODUCER_FENCED
#define MAPPING KERR_INVALID_PRODUCER_ID_MAPPING
#define STATE KERR_INVALID_TXN_STATE
#define OK KERR_NONE
enum { W = 1000 }; /* W + state */
#define INIT(id, epoch)                                                                                  \
    {                                                                                                    \
        .kind = TXN_INIT, .producer_id = (id), .producer_epoch = (epoch), .version = 2, .timeout_ms = 90 \
    }
#define ADD(id, epoch, part)                                                                                \
    {                                                                                                       \
        .kind = TXN_ADD, .producer_id = (id), .producer_epoch = (epoch), .added = &(part), .added_count = 1 \
    }
#define VERIFY(id, epoch)                                                  \
    {                                                                      \
        .kind = TXN_VERIFY, .producer_id = (id), .producer_epoch = (epoch) \
    }
#define END(v, what, id, epoch)                                                                           \
    {                                                                                                     \
        .kind = TXN_END, .version = (v), .commit = (what), .producer_id = (id), .producer_epoch = (epoch) \
    }
enum { COMMIT = true, ABORT = false };
static const struct row {
    const char *name;
    struct txn_event event;
    int32_t expected[WORLDS]; /* empty, ongoing, prepare commit, prepare abort, committed, aborted, busy */
} rows[] = {
    {"init, names none",
     INIT(-1, -1),
     {W + TXN_EMPTY, W + TXN_PREPARE_ABORT, CONC, CONC, W + TXN_EMPTY, W + TXN_EMPTY, CONC}},
    {"init, goes on",
     INIT(ID, EPOCH),
     {W + TXN_EMPTY, W + TXN_PREPARE_ABORT, CONC, CONC, W + TXN_EMPTY, W + TXN_EMPTY, CONC}},
    {"init, an older epoch", INIT(ID, EPOCH - 2), {FENCED, W + TXN_PREPARE_ABORT, CONC, CONC, FENCED, FENCED, CONC}},
    {"init, an id that is none", INIT(-2, 0), {FENCED, FENCED, CONC, CONC, FENCED, FENCED, CONC}},
    {"init, another id", INIT(OTHER, EPOCH), {FENCED, FENCED, CONC, CONC, FENCED, FENCED, CONC}},
    {"add a new one",
     ADD(ID, EPOCH, new_part),
     {W + TXN_ONGOING, W + TXN_ONGOING, CONC, CONC, W + TXN_ONGOING, W + TXN_ONGOING, CONC}},
    {"add what is there",
     ADD(ID, EPOCH, old_part),
     {W + TXN_ONGOING, OK, CONC, CONC, W + TXN_ONGOING, W + TXN_ONGOING, CONC}},
    {"add, another id", ADD(OTHER, EPOCH, new_part), {MAPPING, MAPPING, CONC, CONC, MAPPING, MAPPING, CONC}},
    {"add, another epoch", ADD(ID, EPOCH - 1, new_part), {FENCED, FENCED, CONC, CONC, FENCED, FENCED, CONC}},
    {"verify", VERIFY(ID, EPOCH), {OK, OK, CONC, CONC, OK, OK, OK}},
    {"verify, another id", VERIFY(OTHER, EPOCH), {MAPPING, MAPPING, MAPPING, MAPPING, MAPPING, MAPPING, MAPPING}},
    {"verify, another epoch", VERIFY(ID, EPOCH + 1), {FENCED, FENCED, FENCED, FENCED, FENCED, FENCED, FENCED}},
    {"old commit", END(0, COMMIT, ID, EPOCH), {STATE, W + TXN_PREPARE_COMMIT, CONC, CONC, OK, STATE, CONC}},
    {"old abort", END(0, ABORT, ID, EPOCH), {STATE, W + TXN_PREPARE_ABORT, CONC, CONC, STATE, OK, CONC}},
    {"old commit, another id",
     END(0, COMMIT, OTHER, EPOCH),
     {MAPPING, MAPPING, MAPPING, MAPPING, MAPPING, MAPPING, MAPPING}},
    {"old commit, an older epoch",
     END(1, COMMIT, ID, EPOCH - 1),
     {FENCED, FENCED, FENCED, FENCED, FENCED, FENCED, FENCED}},
    {"old abort, a later epoch",
     END(0, ABORT, ID, EPOCH + 1),
     {FENCED, FENCED, FENCED, FENCED, FENCED, FENCED, FENCED}},
    {"new commit", END(2, COMMIT, ID, EPOCH), {STATE, W + TXN_PREPARE_COMMIT, CONC, CONC, STATE, STATE, CONC}},
    {"new abort",
     END(2, ABORT, ID, EPOCH),
     {W + TXN_PREPARE_ABORT, W + TXN_PREPARE_ABORT, CONC, CONC, W + TXN_PREPARE_ABORT, W + TXN_PREPARE_ABORT, CONC}},
    {"new commit again", END(2, COMMIT, ID, EPOCH - 1), {FENCED, FENCED, CONC, CONC, OK, STATE, CONC}},
    {"new abort again", END(2, ABORT, ID, EPOCH - 1), {FENCED, FENCED, CONC, CONC, STATE, OK, CONC}},
    {"new commit, an older epoch", END(2, COMMIT, ID, EPOCH - 2), {FENCED, FENCED, CONC, CONC, FENCED, FENCED, CONC}},
    {"new abort, another id", END(2, ABORT, OTHER, EPOCH), {MAPPING, MAPPING, CONC, CONC, MAPPING, MAPPING, CONC}},
    {"time-out", {.kind = TXN_TIMEOUT, .version = 2}, {CONC, W + TXN_PREPARE_ABORT, CONC, CONC, CONC, CONC, CONC}},
    {"marked",
     {.kind = TXN_MARKED},
     {STATE, STATE, W + TXN_COMPLETE_COMMIT, W + TXN_COMPLETE_ABORT, STATE, STATE, STATE}},
    {"expire", {.kind = TXN_EXPIRE}, {W + TXN_DEAD, CONC, CONC, CONC, W + TXN_DEAD, W + TXN_DEAD, CONC}},
};

static int32_t outcome_of(const struct txn_event *event)
{
    struct txn_event e = *event;
    e.now_ms = NOW;
    e.fresh_id = -1;
    struct txn_values before = txn.now;
    struct txn_outcome out = txn_event(&txn, &e);
    assert_memory_equal(&before, &txn.now, sizeof before); /* nothing stands that is not written */
    txn_check(&txn);
    assert_int_not_equal(out.action, TXN_WANT_ID);
    if (out.action == TXN_ANSWER && out.error)
        assert_int_equal(out.producer_id, -1);
    return out.action == TXN_WRITE ? W + (int32_t)txn.to.state : (int32_t)out.error;
}

static void every_event_in_every_state(void **state)
{
    (void)state;
    bool met[TXN_EVENTS] = {0};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        met[rows[i].event.kind] = true;
        for (enum world w = EMPTY; w < WORLDS; w++) {
            make_world(w);
            int32_t got = outcome_of(&rows[i].event);
            if (got != rows[i].expected[w])
                print_message("%s in %s: %d instead of %d\n", rows[i].name, world_names[w], got, rows[i].expected[w]);
            assert_int_equal(got, rows[i].expected[w]);
            txn_deinit(&txn);
        }
    }
    for (int32_t i = 0; i < TXN_EVENTS; i++)
        assert_true(met[i]);
}

/* --- whole transactions --- */

static struct txn_outcome happen(struct txn_event e)
{
    e.now_ms = NOW;
    e.fresh_id = e.fresh_id ? e.fresh_id : -1;
    struct txn_outcome out = txn_event(&txn, &e);
    txn_check(&txn);
    if (out.action == TXN_WRITE)
        txn_apply(&txn);
    txn_check(&txn);
    return out;
}
static struct txn_outcome init_producer(int64_t id, int16_t epoch)
{
    return happen((struct txn_event){
        .kind = TXN_INIT, .producer_id = id, .producer_epoch = epoch, .version = 2, .timeout_ms = 90});
}
static struct txn_outcome add_part(int16_t version)
{
    return happen((struct txn_event){.kind = TXN_ADD,
                                     .producer_id = txn.now.producer_id,
                                     .producer_epoch = txn.now.producer_epoch,
                                     .version = version,
                                     .added = &new_part,
                                     .added_count = 1});
}
static struct txn_outcome add_none(void)
{
    return happen((struct txn_event){
        .kind = TXN_ADD, .producer_id = txn.now.producer_id, .producer_epoch = txn.now.producer_epoch});
}
static struct txn_outcome end(int16_t version, bool commit, int64_t id, int16_t epoch, int64_t fresh)
{
    return happen((struct txn_event){.kind = TXN_END,
                                     .version = version,
                                     .commit = commit,
                                     .producer_id = id,
                                     .producer_epoch = epoch,
                                     .fresh_id = fresh});
}
static void mark(void)
{
    assert_int_equal(happen((struct txn_event){.kind = TXN_MARKED}).action, TXN_WRITE);
}
static void expect_answer(struct txn_outcome out, enum kerr error, int64_t id, int16_t epoch)
{
    assert_int_equal(out.error, error);
    assert_int_equal(out.producer_id, id);
    assert_int_equal(out.producer_epoch, epoch);
}
static void begin_fresh(void)
{
    txn_init(&txn, heap, ID, TIMEOUT_MS, 1);
    expect_answer(init_producer(-1, -1), KERR_NONE, ID, 0);
}

static void the_old_generation_keeps_its_epoch(void **state)
{
    (void)state;
    begin_fresh();
    for (int i = 0; i < 3; i++) {
        expect_answer(add_part(0), KERR_NONE, ID, 0);
        struct txn_outcome out = end(0, true, ID, 0, 0);
        expect_answer(out, KERR_NONE, ID, 0);
        assert_true(out.flush);
        mark();
        assert_int_equal(txn.now.state, TXN_COMPLETE_COMMIT);
        assert_int_equal(txn.parts.count, 0);
        expect_answer(end(0, true, ID, 0, 0), KERR_NONE, -1, -1);
    }
    txn_deinit(&txn);
}

/* AddPartitionsToTxn may name no partition: Kafka takes it, and the transaction is open. */
static void a_transaction_may_be_open_without_partitions(void **state)
{
    (void)state;
    begin_fresh();
    expect_answer(add_none(), KERR_NONE, ID, 0);
    assert_int_equal(txn.now.state, TXN_ONGOING);
    assert_int_equal(txn.parts.count, 0);
    expect_answer(end(0, true, ID, 0, 0), KERR_NONE, ID, 0);
    mark();
    assert_int_equal(txn.now.state, TXN_COMPLETE_COMMIT);
    txn_deinit(&txn);
}

static void the_new_generation_raises_it_with_each_end(void **state)
{
    (void)state;
    begin_fresh();
    for (int16_t epoch = 0; epoch < 3; epoch++) {
        expect_answer(add_part(2), KERR_NONE, ID, epoch);
        expect_answer(end(2, epoch % 2, ID, epoch, 0), KERR_NONE, ID, (int16_t)(epoch + 1));
        assert_int_equal(txn.now.producer_epoch, epoch + 1);
        mark();
        expect_answer(end(2, epoch % 2, ID, epoch, 0), KERR_NONE, ID, (int16_t)(epoch + 1)); /* the same again */
    }
    txn_deinit(&txn);
}

/* Each client's own requests decide, not those before it. */
static void generations_mix(void **state)
{
    (void)state;
    begin_fresh();
    expect_answer(add_part(2), KERR_NONE, ID, 0);
    expect_answer(end(2, true, ID, 0, 0), KERR_NONE, ID, 1);
    mark();
    expect_answer(init_producer(-1, -1), KERR_NONE, ID, 2);
    expect_answer(add_part(0), KERR_NONE, ID, 2);
    expect_answer(end(0, true, ID, 2, 0), KERR_NONE, ID, 2);
    assert_int_equal(txn.now.client_version, 0);
    mark();
    expect_answer(end(2, true, ID, 1, 0), KERR_NONE, ID, 2); /* Kafka takes it for a retry, too */
    txn_deinit(&txn);
}

/* A late end of the transaction before must not end this one. */
static void a_late_end_of_the_new_generation_ends_nothing(void **state)
{
    (void)state;
    begin_fresh();
    (void)add_part(2);
    (void)end(2, true, ID, 0, 0);
    mark();
    (void)add_part(2);
    expect_answer(end(2, true, ID, 0, 0), KERR_PRODUCER_FENCED, -1, -1);
    expect_answer(end(2, false, ID, 0, 0), KERR_PRODUCER_FENCED, -1, -1);
    assert_int_equal(txn.now.state, TXN_ONGOING);
    txn_deinit(&txn);
}

static void used_up_epochs_take_the_next_id(void **state)
{
    (void)state;
    begin_fresh();
    txn.now.producer_epoch = TXN_EPOCH_MAX;
    (void)add_part(2);
    assert_int_equal(end(2, true, ID, TXN_EPOCH_MAX, 0).action, TXN_WANT_ID);
    assert_false(txn.pending);
    expect_answer(end(2, true, ID, TXN_EPOCH_MAX, FRESH), KERR_NONE, FRESH, 0);
    assert_int_equal(txn.now.producer_id, ID); /* its marker is of the old one, with the epoch that no client has */
    assert_int_equal(txn.now.producer_epoch, INT16_MAX);
    mark();
    assert_int_equal(txn.now.producer_id, FRESH);
    assert_int_equal(txn.now.producer_epoch, 0);
    assert_int_equal(txn.now.next_id, -1);
    expect_answer(end(2, true, ID, TXN_EPOCH_MAX, 0), KERR_NONE, FRESH, 0); /* the same again */
    expect_answer(end(2, false, ID, TXN_EPOCH_MAX, 0), KERR_INVALID_TXN_STATE, -1, -1);
    txn_deinit(&txn);
}

static void a_used_up_epoch_rotates_at_init(void **state)
{
    (void)state;
    begin_fresh();
    txn.now.producer_epoch = TXN_EPOCH_MAX;
    expect_answer(
        happen((struct txn_event){
            .kind = TXN_INIT, .producer_id = ID, .producer_epoch = TXN_EPOCH_MAX, .fresh_id = FRESH, .timeout_ms = 9}),
        KERR_NONE, FRESH, 0);
    expect_answer(init_producer(ID, TXN_EPOCH_MAX), KERR_NONE, FRESH, 0); /* the same again */
    expect_answer(init_producer(-1, -1), KERR_NONE, FRESH, 1);
    expect_answer(init_producer(ID, TXN_EPOCH_MAX), KERR_PRODUCER_FENCED, -1, -1);
    txn_deinit(&txn);
}

static void init_again_is_the_same_init(void **state)
{
    (void)state;
    begin_fresh();
    expect_answer(init_producer(ID, 0), KERR_NONE, ID, 1);
    expect_answer(init_producer(ID, 0), KERR_NONE, ID, 1);
    expect_answer(init_producer(-1, -1), KERR_NONE, ID, 2); /* somebody else */
    expect_answer(init_producer(ID, 1), KERR_PRODUCER_FENCED, -1, -1);
    txn_deinit(&txn);
}

/* In both generations once: it is in the record, the marker and the next INIT. */
static void a_fence_raises_the_epoch(void **state)
{
    (void)state;
    for (int16_t level = 0; level <= 2; level++) {
        begin_fresh();
        (void)add_part(level);
        struct txn_outcome out = happen((struct txn_event){
            .kind = TXN_INIT, .producer_id = -1, .producer_epoch = -1, .version = level, .timeout_ms = 9});
        expect_answer(out, KERR_CONCURRENT_TRANSACTIONS, -1, -1);
        assert_int_equal(txn.now.state, TXN_PREPARE_ABORT);
        assert_int_equal(txn.now.producer_epoch, 1);
        expect_answer(init_producer(-1, -1), KERR_CONCURRENT_TRANSACTIONS, -1, -1);
        mark();
        expect_answer(end(level, true, ID, 0, 0), level < 2 ? KERR_PRODUCER_FENCED : KERR_INVALID_TXN_STATE, -1, -1);
        expect_answer(init_producer(-1, -1), KERR_NONE, ID, 2);
        txn_deinit(&txn);
    }
}

static void a_fence_of_the_last_epoch_uses_the_one_above(void **state)
{
    (void)state;
    begin_fresh();
    txn.now.producer_epoch = TXN_EPOCH_MAX;
    (void)add_part(0);
    (void)happen((struct txn_event){.kind = TXN_TIMEOUT, .version = 0});
    assert_int_equal(txn.now.producer_epoch, INT16_MAX);
    mark();
    assert_int_equal(txn.now.producer_epoch, INT16_MAX);
    assert_int_equal(
        txn_event(&txn, &(struct txn_event){.kind = TXN_INIT, .producer_id = -1, .producer_epoch = -1, .fresh_id = -1})
            .action,
        TXN_WANT_ID);
    txn_deinit(&txn);
}

static void what_was_not_written_changes_nothing(void **state)
{
    (void)state;
    begin_fresh();
    struct txn_event add = {.kind = TXN_ADD, .producer_id = ID, .fresh_id = -1, .added = &new_part, .added_count = 1};
    assert_int_equal(txn_event(&txn, &add).action, TXN_WRITE);
    txn_drop(&txn);
    assert_int_equal(txn.now.state, TXN_EMPTY);
    assert_int_equal(txn.parts.count, 0);
    expect_answer(add_part(2), KERR_NONE, ID, 0);
    txn_deinit(&txn);
}

/* --- partitions --- */

static void a_set_has_what_was_put(void **state)
{
    (void)state;
    enum { TOPICS = 5, PARTITIONS = 40 };
    static const char *const names[TOPICS] = {"b", "a", "ab", "z-long-name", "B"};
    bool there[TOPICS][PARTITIONS] = {0};
    struct txn_parts set, copy;
    struct rng rng = {.state = 7};

    txn_parts_init(&set, heap);
    txn_parts_init(&copy, heap);
    for (int i = 0; i < 300; i++) {
        uint32_t t = (uint32_t)rng_below(&rng, TOPICS), p = (uint32_t)rng_below(&rng, PARTITIONS);
        struct txn_partition one = {name_of(names[t]), (int32_t)p};
        assert_int_equal(txn_merge_all(&set, &one, 1, &copy), ERR_NONE);
        txn_parts_deinit(&set);
        set = copy;
        txn_parts_init(&copy, heap);
        there[t][p] = true;
        txn_parts_check(&set);
    }
    struct txn_partition more[PARTITIONS];
    for (uint32_t p = 0; p < PARTITIONS; p++) { /* in any order, some of them twice, some there already */
        uint32_t t = p % TOPICS, which = (PARTITIONS - p) / 2;
        more[p] = (struct txn_partition){name_of(names[t]), (int32_t)which};
        there[t][which] = true;
    }
    assert_int_equal(txn_merge_all(&set, more, PARTITIONS, &copy), ERR_NONE);
    txn_parts_check(&copy);
    uint32_t count = 0, seen = 0;
    for (uint32_t t = 0; t < TOPICS; t++)
        for (uint32_t p = 0; p < PARTITIONS; p++) {
            assert_int_equal(txn_parts_has(&copy, name_of(names[t]), (int32_t)p), there[t][p]);
            count += there[t][p];
        }
    struct txn_partition part;
    for (int32_t topic = 0, at = 0; txn_parts_next(&copy, &topic, &at, &part);)
        seen++;
    assert_int_equal(seen, count);
    assert_int_equal(copy.partitions, count);
    txn_parts_deinit(&set);
    txn_parts_deinit(&copy);
}

enum { MANY = 5000, MANY_TOPICS = 7 };

/* All partitions that a transaction of many has, shuffled or in order. */
static struct txn_partition *many_parts(bool in_order)
{
    static const char *const names[MANY_TOPICS] = {"a", "ab", "b", "c", "d", "e", "f"};
    struct txn_partition *v = heap_alloc(heap, MANY * sizeof *v);
    struct rng rng = {.state = 11};
    assert_non_null(v);
    for (uint32_t i = 0; i < MANY; i++)
        v[i] = (struct txn_partition){name_of(names[i * MANY_TOPICS / MANY]), (int32_t)i};
    for (uint32_t i = MANY; !in_order && i > 1; i--) {
        uint32_t k = (uint32_t)rng_below(&rng, i);
        struct txn_partition last = v[i - 1];
        v[i - 1] = v[k];
        v[k] = last;
    }
    return v;
}

static struct txn_outcome add_many(const struct txn_partition *v)
{
    struct txn_event add = {.kind = TXN_ADD,
                            .now_ms = NOW,
                            .producer_id = ID,
                            .producer_epoch = EPOCH,
                            .fresh_id = -1,
                            .added = v,
                            .added_count = MANY};
    return txn_event(&txn, &add);
}

/* Each call looks at, moves or adds no more than it may: what is in order in two passes, what is not in some fifteen. */
static void many_partitions_are_added_a_little_at_a_time(void **state)
{
    enum { ITEMS = 100, AT_ONCE = 1000 };
    (void)state;
    for (int in_order = 0; in_order < 2; in_order++) {
        struct txn_partition *v = many_parts(in_order);
        struct txn_event end = {.kind = TXN_END, .producer_id = ID, .producer_epoch = EPOCH, .fresh_id = -1};
        uint32_t calls = 0, passes = in_order ? 2 : 15;
        make_world(ONGOING);
        struct txn_outcome out = add_many(v);
        assert_int_equal(out.action, TXN_MERGE);
        for (; out.action == TXN_MERGE; calls++) {
            txn_check(&txn);
            assert_int_equal(txn_event(&txn, &end).error, KERR_CONCURRENT_TRANSACTIONS);
            assert_int_equal(add_many(v).error, KERR_CONCURRENT_TRANSACTIONS);
            out = txn_add_more(&txn, ITEMS);
        }
        assert_in_range(calls, ((passes - 1) * MANY - AT_ONCE) / ITEMS, passes * MANY / ITEMS + 1);
        assert_int_equal(out.action, TXN_WRITE);
        txn_check(&txn);
        txn_apply(&txn);
        assert_int_equal(txn.parts.partitions, MANY + 1);
        for (uint32_t i = 0; i < MANY; i++)
            assert_true(txn_parts_has(&txn.parts, v[i].topic, v[i].partition));
        out = add_many(v); /* once more: there is nothing to write */
        while (out.action == TXN_MERGE)
            out = txn_add_more(&txn, ITEMS);
        assert_int_equal(out.action, TXN_ANSWER);
        assert_int_equal(out.error, KERR_NONE);
        assert_false(txn.pending);
        txn_deinit(&txn);
        heap_free(heap, v);
    }
}

static void an_add_of_many_may_be_dropped_anywhere(void **state)
{
    (void)state;
    struct txn_partition *v = many_parts(false);
    for (uint32_t calls = 0; calls < 80; calls += 7) {
        make_world(ONGOING);
        struct txn_outcome out = add_many(v);
        for (uint32_t i = 0; i < calls && out.action == TXN_MERGE; i++)
            out = txn_add_more(&txn, 1000);
        txn_drop(&txn);
        txn_check(&txn);
        assert_int_equal(txn.parts.partitions, 1);
        txn_deinit(&txn);
    }
    heap_free(heap, v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_event_in_every_state),
        cmocka_unit_test(the_old_generation_keeps_its_epoch),
        cmocka_unit_test(a_transaction_may_be_open_without_partitions),
        cmocka_unit_test(the_new_generation_raises_it_with_each_end),
        cmocka_unit_test(generations_mix),
        cmocka_unit_test(a_late_end_of_the_new_generation_ends_nothing),
        cmocka_unit_test(used_up_epochs_take_the_next_id),
        cmocka_unit_test(a_used_up_epoch_rotates_at_init),
        cmocka_unit_test(init_again_is_the_same_init),
        cmocka_unit_test(a_fence_raises_the_epoch),
        cmocka_unit_test(a_fence_of_the_last_epoch_uses_the_one_above),
        cmocka_unit_test(what_was_not_written_changes_nothing),
        cmocka_unit_test(a_set_has_what_was_put),
        cmocka_unit_test(many_partitions_are_added_a_little_at_a_time),
        cmocka_unit_test(an_add_of_many_may_be_dropped_anywhere),
    };
    return cmocka_run_group_tests(tests, open_heap, close_heap);
}
