/* Pending offsets against a plain table of what a log says: plain commits, commits of transactions, tombstones, markers. */
#include "tests/unit/faulty_heap.h"

#include "core/rng.h"
#include "net/group/txn_offsets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

enum { GROUPS = 3, PRODUCERS = 5, KEYS = 12, ROUNDS = 60000 };

static uint32_t random_below(uint32_t n)
{
    static struct rng rng = {.state = 1};
    return (uint32_t)rng_below(&rng, n);
}

static const struct kview topic = {(const uint8_t *)"topic", 5};
static struct committed commit_at(int key, int64_t position)
{
    return (struct committed){.topic = topic,
                              .partition = key,
                              .offset = position * 10,
                              .expire_ms = -1,
                              .leader_epoch = -1,
                              .metadata = {(const uint8_t *)"m", 1},
                              .position = position};
}

/* What must stand: positions of records, 0: none. */
static struct model {
    int64_t counts[GROUPS][KEYS], pending[PRODUCERS][GROUPS][KEYS];
    int64_t next;
} model;
static struct world {
    struct heap *heap;
    struct txn_offsets all;
    struct offsets counting[GROUPS];
    struct group_txns groups[GROUPS];
    struct pending_txn *ending[64]; /* in the order of their markers */
    int ending_count;
} world;

static int make_world(void **state)
{
    (void)state;
    memset(&model, 0, sizeof model);
    memset(&world, 0, sizeof world);
    model.next = 1;
    world.heap = heap_open();
    txn_offsets_init(&world.all, world.heap);
    for (int i = 0; i < GROUPS; i++) {
        offsets_init(&world.counting[i], world.heap);
        group_txns_init(&world.groups[i], &world.all, &world.counting[i]);
    }
    return 0;
}
static int end_world(void **state)
{
    (void)state;
    for (int i = 0; i < GROUPS; i++) {
        group_txns_deinit(&world.groups[i]);
        offsets_deinit(&world.counting[i]);
    }
    txn_offsets_deinit(&world.all);
    heap_close(world.heap);
    assert_int_equal(fault.blocks, 0);
    return 0;
}

static int64_t counting(int group, int key)
{
    const struct committed *c = offsets_get(&world.counting[group], topic, key);
    return c ? c->position : 0;
}
static bool pends(int group, int key)
{
    uint32_t looked;
    return group_txns_pending(&world.groups[group], topic, key, &looked);
}
static void put_pending(int producer, int group, int key)
{
    struct committed c = commit_at(key, model.next);
    assert_int_equal(group_txns_put(&world.groups[group], producer, &c), ERR_NONE);
    model.pending[producer][group][key] = model.next++;
}
static void put_plain(int group, int key)
{
    struct committed c = commit_at(key, model.next);
    assert_int_equal(offsets_put(&world.counting[group], &c), ERR_NONE);
    model.counts[group][key] = model.next++;
}
static void put_tombstone(int group, int key)
{
    offsets_remove(&world.counting[group], topic, key);
    group_txns_remove(&world.groups[group], topic, key);
    model.counts[group][key] = 0;
    for (int p = 0; p < PRODUCERS; p++)
        model.pending[p][group][key] = 0;
    model.next++;
}
static struct pending_txn *put_marker(int producer, bool commit)
{
    bool any = false;
    for (int g = 0; g < GROUPS; g++)
        for (int k = 0; k < KEYS; k++) {
            int64_t *at = &model.pending[producer][g][k], *counts = &model.counts[g][k];
            any = any || *at;
            if (commit && *at > *counts)
                *counts = *at;
            *at = 0;
        }
    model.next++;
    struct pending_txn *x = txn_offsets_end(&world.all, producer, commit);
    assert_true(x || !any);
    return x;
}
/* False: nothing is left of it. */
static bool settle_once(struct pending_txn *x)
{
    struct txn_share *share = txn_offsets_ending_share(&world.all, x);
    if (share)
        assert_int_not_equal(txn_share_settle(&world.all, share), SETTLED_NO_MEMORY);
    return share;
}
static void settle_all(struct pending_txn *x)
{
    while (x && settle_once(x))
        ;
}
static void settled_agrees(void)
{
    for (int g = 0; g < GROUPS; g++) {
        group_txns_check(&world.groups[g]);
        for (int k = 0; k < KEYS; k++) {
            bool pending = false;
            for (int p = 0; p < PRODUCERS; p++)
                pending = pending || model.pending[p][g][k];
            assert_int_equal(counting(g, k), model.counts[g][k]);
            assert_int_equal(pends(g, k), pending);
        }
    }
}
/* While some are ending: what does not stand yet is pending. */
static void agrees_while_ending(void)
{
    for (int g = 0; g < GROUPS; g++)
        for (int k = 0; k < KEYS; k++)
            assert_true(pends(g, k) || counting(g, k) == model.counts[g][k]);
}

static void pending_offsets_agree_with_a_table(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        int p = (int)random_below(PRODUCERS), g = (int)random_below(GROUPS), k = (int)random_below(KEYS);
        uint32_t what = random_below(16);
        if (what < 8)
            put_pending(p, g, k);
        else if (what < 11)
            put_plain(g, k);
        else if (what < 12)
            put_tombstone(g, k);
        else if (what < 14 && world.ending_count < 64 && (world.ending[world.ending_count] = put_marker(p, what == 12)))
            world.ending_count++;
        else if (world.ending_count > 0 && !settle_once(world.ending[0]))
            memmove(world.ending, world.ending + 1, (size_t)--world.ending_count * sizeof *world.ending);
        agrees_while_ending();
        if (random_below(100) == 0) {
            for (int e = 0; e < world.ending_count; e++)
                settle_all(world.ending[e]);
            world.ending_count = 0;
            settled_agrees();
        }
    }
    for (int e = 0; e < world.ending_count; e++)
        settle_all(world.ending[e]);
    settled_agrees();
}

/* Kafka's OffsetMetadataManager.replay and replayEndTransactionMarker. */
static void the_later_record_counts(void **state)
{
    static const struct {
        const char *what,
            *log; /* p: plain commit, 0 and 1: commits of producers, t: tombstone, C, A: producer 0's marker, c, a: 1's */
        int64_t counts; /* the record that does, by its place; 0: none */
        bool pending;
    } cases[] = {
        {"nothing", "", 0, false},
        {"a plain commit counts at once", "p", 1, false},
        {"what a transaction commits is pending", "0", 0, true},
        {"... counts when it is committed", "0C", 1, false},
        {"... and never when it is aborted", "0A", 0, false},
        {"the last commit of a transaction counts", "00C", 2, false},
        {"a pending one hides nothing", "p0", 1, true},
        {"an aborted one neither", "p0A", 1, false},
        {"a plain commit behind it stays", "0pC", 2, false},
        {"a plain commit before it goes", "p0C", 2, false},
        {"a plain commit is not undone", "0pA", 2, false},
        {"of two transactions the later record counts", "01Cc", 2, false},
        {"... in whatever order they end", "01cC", 2, false},
        {"... unless it is aborted", "01Ca", 1, false},
        {"one that ended leaves the other pending", "01C", 1, true},
        {"a tombstone takes what counts and what is pending", "p0t", 0, false},
        {"... for good", "0tC", 0, false},
        {"what is committed behind a tombstone counts", "0t0C", 3, false},
        {"a tombstone behind the marker", "0Ct", 0, false},
        {"a marker for nothing", "C", 0, false},
        {"the producer's next transaction", "0C0", 1, true},
        {"... is another one", "0A0C", 3, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        make_world(state);
        for (const char *at = cases[i].log; *at; at++)
            switch (*at) {
            case 'p': put_plain(0, 0); break;
            case 't': put_tombstone(0, 0); break;
            case '0':
            case '1': put_pending(*at - '0', 0, 0); break;
            default: settle_all(put_marker(*at == 'c' || *at == 'a', *at == 'C' || *at == 'c')); break;
            }
        if (counting(0, 0) != cases[i].counts || pends(0, 0) != cases[i].pending)
            fail_msg("%s (%s): record %lld counts, pending %d", cases[i].what, cases[i].log, (long long)counting(0, 0),
                     pends(0, 0));
        settled_agrees();
        end_world(state);
    }
}

static void an_open_transaction_stays_with_its_group_when_its_offsets_went(void **state)
{
    (void)state;
    put_pending(0, 0, 0);
    put_tombstone(0, 0);
    assert_true(group_txns_open(&world.groups[0]));
    settle_all(put_marker(0, true));
    assert_false(group_txns_open(&world.groups[0]));
}

/* A group that goes while a transaction of it is ending. */
static void a_group_may_go_at_any_time(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < KEYS; k++) {
            put_pending(0, 0, k);
            put_pending(0, 1, k);
        }
        struct pending_txn *x = i < 2 ? put_marker(0, i == 0) : NULL;
        for (int k = 0; x && k < KEYS / 2; k++)
            assert_true(settle_once(x));
        group_txns_deinit(&world.groups[0]);
        assert_int_equal(world.all.by_producer.count, !x);
        settle_all(x ? x : put_marker(0, true));
        assert_false(group_txns_open(&world.groups[1]));
        assert_true(list_empty(&world.all.ending));
    }
}

static void going_through_survives_what_ends_meanwhile(void **state)
{
    (void)state;
    for (int rounds = 0; rounds < 200; rounds++) {
        struct group_txns_cursor c = {0};
        const struct committed *found;
        bool seen[PRODUCERS * KEYS + 1] = {false};
        int64_t from = model.next;
        for (int p = 0; p < PRODUCERS; p++)
            for (int k = 0; k < KEYS; k++)
                put_pending(p, 0, k);
        int gone = (int)random_below(PRODUCERS), when = (int)random_below(PRODUCERS * KEYS), shown = 0;
        while ((found = group_txns_next(&world.groups[0], &c))) {
            assert_false(seen[found->position - from]);
            seen[found->position - from] = true;
            if (shown++ == when)
                settle_all(put_marker(gone, false));
        }
        for (int p = 0; p < PRODUCERS; p++)
            for (int k = 0; k < KEYS; k++)
                assert_true(seen[p * KEYS + k] || p == gone);
        for (int p = 0; p < PRODUCERS; p++)
            settle_all(put_marker(p, false));
    }
}

static void without_memory_everything_stays_as_it_was(void **state)
{
    (void)state;
    for (int k = 0; k < 40; k++)
        for (int nth = 1;; nth++) {
            struct committed c = commit_at(k, model.next);
            fault_begin(nth, false);
            enum err err = group_txns_put(&world.groups[0], k % 3, &c);
            bool failed = fault_end();
            if (!failed) {
                assert_int_equal(err, ERR_NONE);
                break;
            }
            if (!err)
                break; /* it can do without a larger table */
            assert_int_equal(err, ERR_NO_MEMORY);
            assert_false(pends(0, k));
        }
    struct pending_txn *x = txn_offsets_end(&world.all, 0, true);
    struct txn_share *share;
    uint32_t settled = 0;
    while ((share = txn_offsets_ending_share(&world.all, x))) {
        fault_begin(1, true);
        enum settled what = txn_share_settle(&world.all, share);
        (void)fault_end();
        if (what == SETTLED_NO_MEMORY)
            what = txn_share_settle(&world.all, share);
        assert_int_not_equal(what, SETTLED_NO_MEMORY);
        settled += what == SETTLED_ONE;
    }
    assert_int_equal(settled, 14);
    assert_int_equal(offsets_count(&world.counting[0]), 14);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pending_offsets_agree_with_a_table, make_world, end_world),
        cmocka_unit_test(the_later_record_counts),
        cmocka_unit_test_setup_teardown(an_open_transaction_stays_with_its_group_when_its_offsets_went, make_world,
                                        end_world),
        cmocka_unit_test_setup_teardown(a_group_may_go_at_any_time, make_world, end_world),
        cmocka_unit_test_setup_teardown(going_through_survives_what_ends_meanwhile, make_world, end_world),
        cmocka_unit_test_setup_teardown(without_memory_everything_stays_as_it_was, make_world, end_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
