/* What comes behind an event of a transactional id, with a log and a round that do as the test says: when its one timer runs. */
#define txn_log_write write_when_told
#define txn_round_open open_the_round
#define txn_round_start start_the_round
#define txn_round_again again_the_round
#define txn_round_close close_the_round
#define partition_facts facts_of_none
#include "net/txn/txn_coordinator.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct world {
    struct heap *heap;
    struct shard shard;
    struct store store;
    struct server server;
    struct txn_shard txns;
    struct txn_log log;
    struct txn_entry entry;
    struct txn_round round;
    uint32_t writes_refused; /* so many of those to come */
    uint32_t rounds, again;
} w;

/* --- what it stands on --- */

struct partition_facts facts_of_none(const struct partition *p)
{
    assert_null(p);
    return (struct partition_facts){0};
}

enum err write_when_told(struct txn_entry *e)
{
    if (w.writes_refused == 0)
        return ERR_NONE;
    w.writes_refused--;
    txn_drop(&e->txn);
    return ERR_NO_MEMORY;
}

struct txn_round *open_the_round(struct shard *home, struct steps_line *line, const struct txn_parts *parts)
{
    w.round = (struct txn_round){.home = home, .line = line, .parts = parts};
    return &w.round;
}

void start_the_round(struct txn_round *r)
{
    assert_ptr_equal(r, &w.round);
    w.rounds++;
}

void again_the_round(struct txn_round *r)
{
    assert_ptr_equal(r, &w.round);
    assert_true(r->failed > 0);
    r->failed = 0;
    w.again++;
}

void close_the_round(struct txn_round *r)
{
    assert_ptr_equal(r, &w.round);
}

/* A transaction that is open, as a load found it. */
static int make_world(void **state)
{
    struct kview topic = {(const uint8_t *)"topic", 5};
    (void)state;
    memset(&w, 0, sizeof w);
    w.heap = heap_open();
    timers_init(&w.shard.timers);
    w.shard.heap = w.heap;
    w.store.catalog.heap = w.heap;
    w.shard.store = &w.store;
    w.shard.net = &w.server;
    w.server.shard = &w.shard;
    w.server.txns = &w.txns;
    w.txns.server = &w.server;
    w.txns.logs.shard = &w.shard;
    w.txns.hooks.arg = &w.txns;
    w.log.hooks = &w.txns.hooks;
    w.log.coord.shard = &w.shard;
    w.entry.coord.log = &w.log.coord;
    w.entry.known = true;
    w.entry.record.n = -1;
    list_init(&w.entry.asking);
    list_init(&w.entry.waiting);
    timer_init(&w.entry.timer, txn_timer_due);
    steps_init(&w.entry.adding, add_parts_step);
    list_init(&w.shard.deferred);
    steps_line_init(&w.server.steps, &w.shard);
    txn_init(&w.entry.txn, w.heap, 1, 1000, 0);
    w.entry.txn.now.state = TXN_ONGOING;
    w.entry.txn.now.producer_epoch = 0;
    assert_int_equal(txn_parts_append(&w.entry.txn.parts, topic, 0), ERR_NONE);
    return 0;
}

static int drop_world(void **state)
{
    (void)state;
    txn_deinit(&w.entry.txn);
    heap_close(w.heap);
    return 0;
}

static void pass(uint64_t ms)
{
    w.shard.now_ns += ms * NS_PER_MS;
    timers_fire(&w.shard.timers, w.shard.now_ns, 10);
}

static void end_write(void)
{
    txn_apply(&w.entry.txn);
    txn_entry_written(&w.entry, KERR_NONE);
}

/* --- the tests --- */

static void markers_that_failed_are_put_again_a_little_later(void **state)
{
    (void)state;
    txn_entry_abort(&w.txns, &w.entry, 0, "a test");
    end_write();
    assert_int_equal(w.rounds, 1);
    w.round.failed = 1;
    w.round.over(&w.round);
    pass(TXN_RETRY_MS - 1);
    assert_int_equal(w.again, 0);
    pass(1);
    assert_int_equal(w.again, 1);
}

static void a_try_to_abort_that_failed_does_not_disturb_the_markers_of_one_that_did_not(void **state)
{
    (void)state;
    w.entry.doubtful = true;
    w.writes_refused = 1;
    txn_timer_due(&w.entry.timer);
    assert_true(timer_started(&w.entry.timer));
    assert_true(txn_entry_settle_doubt(&w.entry)); /* somebody asks something of it */
    end_write();
    assert_int_equal(w.rounds, 1);
    pass(2 * TXN_RETRY_MS); /* the disk takes its time for the markers */
    assert_int_equal(w.again, 0);
}

static void who_waits_for_a_commit_that_finds_no_memory_for_its_record_is_asked_again(void **state)
{
    struct kview other = {(const uint8_t *)"other", 5};
    struct txn_partition part = {other, 0};
    struct txn_question adds = {.kind = TXN_ASK_ADD, .producer_id = 1, .parts = &part, .part_count = 1};
    struct txn_event commit = {.kind = TXN_END, .producer_id = 1, .commit = true, .fresh_id = -1};
    struct list nobody;
    (void)state;
    list_init(&nobody);
    list_init(&adds.link);
    txn_entry_go_on(&w.entry, txn_event(&w.entry.txn, &commit), &nobody);
    assert_int_equal(w.rounds, 1);
    list_push(&w.entry.waiting, &adds.link);
    w.writes_refused = 1;
    w.round.over(&w.round);
    assert_int_equal(w.writes_refused, 0);
    assert_true(list_empty(&w.entry.waiting));
    assert_ptr_equal(list_first(&w.entry.asking), &adds.link);
    assert_int_equal(w.entry.txn.to.state, TXN_ONGOING);
    list_remove(&adds.link);
    txn_drop(&w.entry.txn);
}

/* --- very many partitions --- */

enum { MANY = 20000 };
static struct txn_partition many[MANY];

static struct txn_outcome add_many(void)
{
    for (int32_t i = 0; i < MANY; i++)
        many[i] = (struct txn_partition){{(const uint8_t *)"topic", 5}, MANY - i};
    struct txn_event add = {.kind = TXN_ADD, .producer_id = 1, .fresh_id = -1, .added = many, .added_count = MANY};
    return txn_event(&w.entry.txn, &add);
}

static bool run_turn(void)
{
    struct list *l = list_pop(&w.shard.deferred);
    if (l)
        container_of(l, struct shard_defer, link)->run(container_of(l, struct shard_defer, link));
    return l;
}

static struct txn_question asks, waits;
static void begin_to_add_many(struct list *asking)
{
    asks = waits = (struct txn_question){.kind = TXN_ASK_ADD, .producer_id = 1, .parts = many, .part_count = 1};
    list_init(asking);
    list_init(&asks.link);
    list_init(&waits.link);
    list_push(asking, &asks.link);
    txn_entry_go_on(&w.entry, add_many(), asking);
    list_push(&w.entry.waiting, &waits.link);
    assert_true(w.entry.txn.merging);
}

static void very_many_partitions_are_added_in_many_turns_and_those_who_came_meanwhile_come_behind(void **state)
{
    struct list asking;
    uint32_t turns = 0;
    (void)state;
    begin_to_add_many(&asking);
    for (; w.entry.txn.merging; turns++)
        assert_true(run_turn());
    assert_in_range(turns, MANY * 15 / (STEP_UNITS * TXN_ITEMS_PER_UNIT), 1000);
    assert_true(w.entry.txn.pending); /* its record is on its way */
    assert_int_equal(w.entry.txn.to_parts.partitions, MANY + 1);
    assert_ptr_equal(list_first(&w.entry.asking), &asks.link);
    assert_ptr_equal(list_first(&w.entry.waiting), &waits.link);
    list_remove(&asks.link);
    list_remove(&waits.link);
}

static void an_entry_that_goes_while_very_many_are_added_stops_that(void **state)
{
    struct list asking;
    (void)state;
    begin_to_add_many(&asking);
    w.entry.added = heap_alloc(w.heap, 100); /* of several questions */
    assert_true(run_turn());
    list_remove(&asks.link);
    list_remove(&waits.link);
    txn_entry_going(&w.entry);
    assert_false(w.entry.txn.pending);
    assert_null(w.entry.added);
    while (run_turn())
        ;
    assert_int_equal(w.entry.txn.parts.partitions, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(markers_that_failed_are_put_again_a_little_later, make_world, drop_world),
        cmocka_unit_test_setup_teardown(a_try_to_abort_that_failed_does_not_disturb_the_markers_of_one_that_did_not,
                                        make_world, drop_world),
        cmocka_unit_test_setup_teardown(who_waits_for_a_commit_that_finds_no_memory_for_its_record_is_asked_again,
                                        make_world, drop_world),
        cmocka_unit_test_setup_teardown(
            very_many_partitions_are_added_in_many_turns_and_those_who_came_meanwhile_come_behind, make_world,
            drop_world),
        cmocka_unit_test_setup_teardown(an_entry_that_goes_while_very_many_are_added_stops_that, make_world,
                                        drop_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
