/* Producer state against Kafka's rules: five batches, gaps, epochs, wrapping sequences, and what is saved. */
#include "storage/log/producer.h"
#include "core/rng.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { ID = 4711 };
struct world {
    struct heap *heap;
    struct producers *ps;
    int64_t end;
};
static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    w->heap = heap_open();
    w->ps = producers_open(w->heap);
    *state = w;
    return 0;
}
static int teardown(void **state)
{
    struct world *w = *state;
    producers_close(w->ps);
    heap_close(w->heap);
    free(w);
    return 0;
}

static struct batch batch_of(int64_t id, int16_t epoch, int32_t sequence, int32_t count)
{
    return (struct batch){.producer_id = id,
                          .producer_epoch = epoch,
                          .base_sequence = sequence,
                          .count = count,
                          .last_offset_delta = count - 1,
                          .max_timestamp = 1000 + sequence % 100};
}
enum answer { APPEND, DUPLICATE, GAP, FENCED };
static enum answer ask(const struct producers *ps, struct batch b, struct producer_duplicate *d)
{
    enum kerr code = producers_check(ps, &b, &(struct producer_claim){0}, d);
    if (code == KERR_NONE)
        return d->base_offset >= 0 ? DUPLICATE : APPEND;
    assert_true(code == KERR_OUT_OF_ORDER_SEQUENCE_NUMBER || code == KERR_INVALID_PRODUCER_EPOCH);
    return code == KERR_INVALID_PRODUCER_EPOCH ? FENCED : GAP;
}
static void append(struct world *w, struct batch b)
{
    b.base_offset = w->end;
    w->end = batch_last_offset(&b) + 1;
    assert_int_equal(producers_update(w->ps, &b, NULL, 5000, &(struct aborted_txn){0}), ERR_NONE);
}
/* Batches of the given sizes, sequences from `sequence` on. Returns the next sequence. */
static int32_t append_many(struct world *w, int32_t sequence, int32_t count, int32_t size)
{
    for (int32_t i = 0; i < count; i++) {
        struct batch b = batch_of(ID, 0, sequence, size);
        append(w, b);
        int32_t last = batch_last_sequence(&b);
        sequence = last == INT32_MAX ? 0 : last + 1;
    }
    return sequence;
}

struct step {
    int16_t epoch;
    int32_t sequence, count;
    enum answer want;
};
/* The log holds epoch 3, sequences 0-1, 2-3, ... 10-11: six batches of two, at offsets 0, 2, ... 10. */
static const struct step table[] = {
    {3, 12, 1, APPEND},   {3, 12, 9, APPEND},   {3, 13, 1, GAP},      {3, 11, 1, GAP},      {3, 10, 2, DUPLICATE},
    {3, 8, 2, DUPLICATE}, {3, 6, 2, DUPLICATE}, {3, 4, 2, DUPLICATE}, {3, 2, 2, DUPLICATE}, {3, 0, 2, GAP},
    {3, 10, 1, GAP},      {3, 2, 4, GAP},       {3, 0, 12, GAP},      {3, 0, 1, GAP},       {2, 12, 1, FENCED},
    {2, 10, 2, FENCED},   {4, 0, 1, APPEND},    {4, 1, 1, GAP},       {4, 12, 1, GAP},
};
static void the_rules_hold(void **state)
{
    struct world *w = *state;
    for (int32_t s = 0; s < 12; s += 2)
        append(w, batch_of(ID, 3, s, 2));
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct producer_duplicate d;
        struct step t = table[i];
        if (ask(w->ps, batch_of(ID, t.epoch, t.sequence, t.count), &d) != t.want)
            fail_msg("epoch %d sequence %d count %d", t.epoch, t.sequence, t.count);
        if (t.want == DUPLICATE) {
            assert_int_equal(d.base_offset, t.sequence);
            assert_int_equal(d.last_offset, t.sequence + 1);
            assert_int_equal(d.timestamp, 1000 + t.sequence);
        }
    }
}

static void an_unknown_producer_starts_anywhere(void **state)
{
    struct world *w = *state;
    struct producer_duplicate d;
    assert_int_equal(ask(w->ps, batch_of(ID, 0, 12345, 10), &d), APPEND);
    append(w, batch_of(ID, 0, 12345, 10));
    assert_int_equal(ask(w->ps, batch_of(ID, 0, 12355, 1), &d), APPEND);
    assert_int_equal(ask(w->ps, batch_of(ID + 1, 0, 77, 1), &d), APPEND);
}

static void sequences_wrap_within_and_between_batches(void **state)
{
    struct world *w = *state;
    struct producer_duplicate d;
    int32_t next = append_many(w, INT32_MAX - 5, 2, 3); /* ends exactly at INT32_MAX */
    assert_int_equal(next, 0);
    assert_int_equal(ask(w->ps, batch_of(ID, 0, 0, 3), &d), APPEND);
    assert_int_equal(ask(w->ps, batch_of(ID, 0, INT32_MAX - 2, 3), &d), DUPLICATE);
    append_many(w, 0, 1, 3);
    assert_int_equal(ask(w->ps, batch_of(ID, 0, 0, 3), &d), DUPLICATE);
    append(w, batch_of(ID + 1, 0, INT32_MAX - 1, 5)); /* wraps inside: last sequence 2 */
    assert_int_equal(ask(w->ps, batch_of(ID + 1, 0, INT32_MAX - 1, 5), &d), DUPLICATE);
    assert_int_equal(d.last_offset - d.base_offset, 4);
    assert_int_equal(ask(w->ps, batch_of(ID + 1, 0, 3, 1), &d), APPEND);
    assert_int_equal(ask(w->ps, batch_of(ID + 1, 0, 4, 1), &d), GAP);
}

static void a_new_epoch_forgets_the_old_batches(void **state)
{
    struct world *w = *state;
    struct producer_duplicate d;
    append_many(w, 0, 5, 1);
    append(w, batch_of(ID, 1, 0, 1));
    assert_int_equal(ask(w->ps, batch_of(ID, 1, 0, 1), &d), DUPLICATE);
    assert_int_equal(d.base_offset, 5);
    assert_int_equal(ask(w->ps, batch_of(ID, 1, 4, 1), &d), GAP);
    assert_int_equal(ask(w->ps, batch_of(ID, 0, 4, 1), &d), FENCED);
}

/* The end of a transaction; returns what it aborted. */
static struct aborted_txn mark(struct world *w, int64_t id, int16_t epoch, bool commit)
{
    struct aborted_txn aborted;
    const struct batch_marker m = {.coordinator_epoch = 6, .commit = commit};
    struct batch b = batch_of(id, epoch, -1, 1);
    b.attributes = BATCH_CONTROL | BATCH_TRANSACTIONAL;
    b.base_offset = w->end++;
    assert_int_equal(producers_update(w->ps, &b, &m, 5000, &aborted), ERR_NONE);
    producers_agree(w->ps);
    return aborted;
}
static struct batch in_transaction(int64_t id, int32_t sequence)
{
    struct batch b = batch_of(id, 0, sequence, 1);
    b.attributes = BATCH_TRANSACTIONAL;
    return b;
}

static void the_oldest_open_transaction_bounds_what_is_stable(void **state)
{
    struct world *w = *state;
    assert_true(producers_first_unstable(w->ps) == INT64_MAX);
    append(w, in_transaction(1, 0)); /* offset 0 */
    append(w, in_transaction(2, 0));
    append(w, in_transaction(1, 1));
    append(w, in_transaction(3, 0)); /* 3 */
    assert_int_equal(producers_first_unstable(w->ps), 0);
    struct aborted_txn a = mark(w, 2, 0, false); /* 4 */
    assert_memory_equal(&a, (&(struct aborted_txn){2, 1, 4, 0}), sizeof a);
    producers_settle(w->ps, 5);
    assert_int_equal(producers_first_unstable(w->ps), 0);
    assert_int_equal(mark(w, 1, 0, true).producer_id, -1); /* 5 */
    assert_int_equal(producers_first_unstable(w->ps), 0);
    producers_settle(w->ps, 5); /* the marker is not seen */
    assert_int_equal(producers_first_unstable(w->ps), 0);
    producers_settle(w->ps, 6);
    assert_int_equal(producers_first_unstable(w->ps), 3);
    a = mark(w, 3, 0, false);
    assert_memory_equal(&a, (&(struct aborted_txn){3, 3, 6, 7}), sizeof a);
    producers_settle(w->ps, 7);
    assert_true(producers_first_unstable(w->ps) == INT64_MAX);
    assert_int_equal(producers_open_transactions(w->ps), 0);
}

static void open_transactions_are_saved(void **state)
{
    struct world *w = *state;
    append(w, in_transaction(1, 0));
    append(w, in_transaction(2, 0));
    append(w, batch_of(3, 0, 0, 1));
    mark(w, 1, 0, true);
    append(w, in_transaction(4, 0));
    append(w, in_transaction(1, 1)); /* offset 5 */
    for (int snapshot = 0; snapshot < 2; snapshot++) {
        size_t bytes = snapshot ? producers_snapshot_bytes(w->ps) : producers_saved_bytes(w->ps);
        uint8_t *at = malloc(bytes);
        struct producers *other = producers_open(w->heap);
        if (snapshot)
            producers_snapshot(w->ps, at);
        else
            producers_save(w->ps, at);
        assert_int_equal(snapshot ? producers_snapshot_load(other, at, bytes) : producers_load(other, at, bytes),
                         ERR_NONE);
        producers_agree(other);
        assert_int_equal(producers_open_transactions(other), 3);
        assert_int_equal(producers_first_unstable(other), 1);
        assert_true(producers_are_before(other, 6));
        assert_false(producers_are_before(other, 5));
        struct producer_facts facts[4];
        producers_facts(other, 0, 3, facts);
        assert_int_equal(facts[0].txn_start_offset, 5);
        assert_int_equal(facts[0].coordinator_epoch, 6);
        assert_int_equal(facts[2].txn_start_offset, -1);
        producers_close(other);
        free(at);
    }
}

static void who_has_a_transaction_open_is_not_forgotten(void **state)
{
    struct world *w = *state;
    append(w, in_transaction(1, 0));
    append(w, batch_of(2, 0, 0, 1));
    assert_int_equal(producers_expire(w->ps, INT64_MAX / 2, 600), 1);
    assert_int_equal(producers_open_transactions(w->ps), 1);
    for (int64_t id = 10; id <= PRODUCERS_MAX + 10; id++)
        append(w, batch_of(id, 0, 0, 1));
    producers_agree(w->ps);
    assert_int_equal(producers_first_unstable(w->ps), 0);
    struct producer_duplicate d;
    assert_int_equal(ask(w->ps, in_transaction(1, 0), &d), DUPLICATE);
}

static void all_may_have_a_transaction_open(void **state)
{
    struct world *w = *state;
    struct aborted_txn aborted;
    for (int64_t id = 0; id < PRODUCERS_MAX; id++)
        append(w, in_transaction(id, 0));
    struct batch b = in_transaction(PRODUCERS_MAX, 0);
    b.base_offset = w->end;
    assert_int_equal(producers_update(w->ps, &b, NULL, 5000, &aborted), ERR_NO_MEMORY);
    producers_agree(w->ps);
    mark(w, 0, 0, true);
    assert_int_equal(producers_update(w->ps, &b, NULL, 5000, &aborted), ERR_NONE);
}

static void a_guard_remembers_the_lowest_sequence(void **state)
{
    struct world *w = *state;
    struct producer_duplicate d;
    struct batch later = in_transaction(1, 5), first = in_transaction(1, 3);
    assert_true(producers_asks(w->ps, &later, false));
    const struct producer_claim claim = {.guard = producers_guard(w->ps, &later, false, 1000)};
    assert_true(claim.guard == producers_guard(w->ps, &first, false, 1000));
    assert_int_equal(producers_check(w->ps, &later, &claim, &d), KERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_int_equal(producers_check(w->ps, &first, &claim, &d), KERR_NONE);
    struct batch other = in_transaction(2, 3);
    const struct producer_claim bumps = {.bumps = true, .guard = producers_guard(w->ps, &other, true, 1000)};
    assert_true(bumps.guard > claim.guard);
    assert_int_equal(producers_check(w->ps, &other, &bumps, &d), KERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_int_equal(producers_check(w->ps, &other, &claim, &d), KERR_INVALID_TXN_STATE);
    const struct producer_claim coordinator = {.no_sequence = true, .bumps = true, .guard = bumps.guard};
    assert_int_equal(producers_check(w->ps, &other, &coordinator, &d), KERR_NONE);
    append(w, first);
    assert_int_equal(producers_check(w->ps, &later, &claim, &d), KERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    struct batch next = in_transaction(1, 4);
    assert_false(producers_asks(w->ps, &next, false));
    assert_int_equal(producers_check(w->ps, &next, &(struct producer_claim){0}, &d), KERR_NONE);
    for (int64_t id = 0; id < PRODUCER_GUARDS_MAX; id++) {
        struct batch many = in_transaction(1000 + id, 0);
        assert_true(producers_guard(w->ps, &many, false, 1000) > bumps.guard);
    }
    assert_int_equal(producers_check(w->ps, &other, &bumps, &d), KERR_INVALID_TXN_STATE); /* it was the oldest */
    producers_agree(w->ps);
}

/* Else a producer that was fenced makes its successor's transaction fail, by trying again. */
static void a_late_batch_of_an_older_epoch_does_not_ask(void **state)
{
    struct world *w = *state;
    const struct producer_claim none = {0};
    struct producer_duplicate d;
    struct batch first = in_transaction(1, 0), next = in_transaction(1, 1), late = in_transaction(1, 0);
    first.producer_epoch = next.producer_epoch = 14;
    late.producer_epoch = 13;
    assert_true(producers_asks(w->ps, &late, true));
    append(w, first);
    assert_false(producers_asks(w->ps, &late, true));
    assert_int_equal(producers_check(w->ps, &late, &none, &d), KERR_INVALID_PRODUCER_EPOCH);
    append(w, next);
    late.producer_epoch = 15;
    assert_true(producers_asks(w->ps, &late, true));
    assert_int_equal(producers_check(w->ps, &late, &none, &d), KERR_INVALID_TXN_STATE);
}

/* A producer of the first generation has ended its transaction, whose marker is still on its way, and begins the next one with a batch that
 * asks nobody beforehand: it must not get into the transaction before. */
static void a_batch_of_the_second_generation_does_not_join_one_of_the_first(void **state)
{
    struct world *w = *state;
    struct producer_duplicate d;
    struct batch first = in_transaction(1, 0), second = in_transaction(1, 1), third = in_transaction(1, 2);
    producers_guard(w->ps, &first, false, 1000);
    append(w, first);
    assert_false(producers_asks(w->ps, &second, false));
    assert_true(producers_asks(w->ps, &second, true));
    struct producer_claim claim = {.bumps = true};
    assert_int_equal(producers_check(w->ps, &second, &claim, &d), KERR_INVALID_TXN_STATE);
    claim.guard = producers_guard(w->ps, &second, true, 1000);
    mark(w, 1, 0, false); /* the guard outlives it */
    assert_int_equal(producers_check(w->ps, &second, &claim, &d), KERR_NONE);
    append(w, second);
    assert_false(producers_asks(w->ps, &third, true)); /* that one was begun so */
    assert_int_equal(mark(w, 1, 0, true).producer_id, -1);
}

/* Nobody knows any more which generation began it. What was sent again and is there leaves its guard, which says nothing of what follows. */
static void a_transaction_that_was_loaded_is_asked_about_once(void **state)
{
    struct world *w = *state;
    struct producer_duplicate d;
    struct batch first = in_transaction(1, 0), second = in_transaction(1, 1), third = in_transaction(1, 2);
    append(w, first);
    assert_true(producers_asks(w->ps, &first, true));
    struct producer_claim claim = {.bumps = true, .guard = producers_guard(w->ps, &first, true, 1000)};
    assert_int_equal(producers_check(w->ps, &first, &claim, &d), KERR_NONE);
    assert_int_equal(d.base_offset, 0);
    assert_true(producers_asks(w->ps, &second, true));
    claim.guard = producers_guard(w->ps, &second, true, 1000);
    assert_int_equal(producers_check(w->ps, &second, &claim, &d), KERR_NONE);
    append(w, second);
    assert_false(producers_asks(w->ps, &third, true));
    assert_int_equal(producers_check(w->ps, &third, &(struct producer_claim){.bumps = true}, &d), KERR_NONE);
}

static void a_marker_moves_the_epoch_only(void **state)
{
    struct world *w = *state;
    struct producer_duplicate d;
    append_many(w, 0, 2, 1);
    struct batch marker = batch_of(ID, 1, -1, 1);
    marker.attributes = BATCH_CONTROL | BATCH_TRANSACTIONAL;
    append(w, marker); /* emptied by a cleaning: it says nothing */
    assert_int_equal(ask(w->ps, batch_of(ID, 0, 2, 1), &d), APPEND);
    mark(w, ID, 1, true);
    assert_int_equal(ask(w->ps, batch_of(ID, 0, 2, 1), &d), FENCED);
    assert_int_equal(ask(w->ps, batch_of(ID, 1, 0, 1), &d), APPEND);
    assert_int_equal(ask(w->ps, batch_of(ID, 1, 2, 1), &d), GAP);
}

static uint8_t *saved(struct world *w, size_t *out_bytes)
{
    *out_bytes = producers_saved_bytes(w->ps);
    uint8_t *at = calloc(1, *out_bytes);
    producers_save(w->ps, at);
    return at;
}

static void saving_and_loading_keeps_all_five(void **state)
{
    struct world *w = *state;
    for (int32_t s = 0; s < 12; s += 2)
        append(w, batch_of(ID, 3, s, 2));
    for (int64_t id = 1; id < 200; id++)
        append(w, batch_of(id, 1, (int32_t)id, 4));
    size_t bytes;
    uint8_t *at = saved(w, &bytes);
    struct producers *other = producers_open(w->heap);
    assert_int_equal(producers_load(other, at, bytes), ERR_NONE);
    assert_int_equal(producers_count(other), 200);
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct producer_duplicate d;
        assert_int_equal(ask(other, batch_of(ID, table[i].epoch, table[i].sequence, table[i].count), &d),
                         table[i].want);
    }
    for (size_t n = 0; n < bytes; n++) {
        uint8_t *exact = malloc(n + 1);
        memcpy(exact, at, n);
        assert_int_equal(producers_load(other, exact, n), ERR_CORRUPT);
        free(exact);
    }
    at[3]++; /* one producer more than there is */
    assert_int_equal(producers_load(other, at, bytes), ERR_CORRUPT);
    producers_close(other);
    free(at);
}

static void a_snapshot_keeps_the_batches(void **state)
{
    struct world *w = *state;
    append(w, batch_of(ID + 1, 0, 0, 1));
    for (int32_t s = 0; s < 12; s += 2)
        append(w, batch_of(ID, 3, s, 2));
    append(w, batch_of(ID + 2, 0, 0, 1));
    size_t bytes = producers_snapshot_bytes(w->ps);
    uint8_t at[512];
    assert_true(bytes <= sizeof at);
    producers_snapshot(w->ps, at);
    struct producers *other = producers_open(w->heap);
    assert_int_equal(producers_snapshot_load(other, at, bytes), ERR_NONE);
    struct producer_duplicate d;
    assert_int_equal(producers_count(other), 3);
    assert_int_equal(ask(other, batch_of(ID + 1, 0, 0, 1), &d), DUPLICATE);
    assert_int_equal(ask(other, batch_of(ID + 2, 0, 0, 1), &d), DUPLICATE);
    for (int32_t s = 2; s < 12; s += 2) {
        assert_int_equal(ask(other, batch_of(ID, 3, s, 2), &d), DUPLICATE);
        assert_int_equal(d.base_offset, s + 1);
    }
    assert_int_equal(ask(other, batch_of(ID, 3, 0, 2), &d), GAP);
    assert_int_equal(ask(other, batch_of(ID, 3, 12, 2), &d), APPEND);
    for (size_t i = 0; i < bytes; i++) { /* the version, the CRC, or what it covers */
        at[i] ^= 1;
        assert_int_equal(producers_snapshot_load(other, at, bytes), ERR_CORRUPT);
        at[i] ^= 1;
        assert_int_equal(producers_snapshot_load(other, at, i), ERR_CORRUPT);
    }
    producers_close(other);
}

/* The layout of ProducerSnapshot.json, version 1, written out by hand. */
static void a_snapshot_has_kafkas_bytes(void **state)
{
    struct world *w = *state;
    w->end = 100;
    append(w, batch_of(0x0102030405060708, 0x1122, 50, 3));
    static const uint8_t want[] = {
        0,   0,   0,   1,                                                      /* one entry */
        1,   2,   3,   4,   5,   6,   7,    8,    0x11, 0x22, 0,   0,   0, 52, /* id, epoch, last sequence */
        0,   0,   0,   0,   0,   0,   0,    102,  0,    0,    0,   2,          /* last offset, offset delta */
        0,   0,   0,   0,   0,   0,   0x04, 0x1a,                              /* timestamp 1050 */
        255, 255, 255, 255, 255, 255, 255,  255,  255,  255,  255, 255, /* no coordinator epoch, no transaction */
    };
    uint8_t at[56];
    assert_int_equal(producers_snapshot_bytes(w->ps), sizeof at);
    producers_snapshot(w->ps, at);
    assert_int_equal(be16_get(at), 1);
    assert_memory_equal(at + 6, want, sizeof want);
}

static void producers_expire_by_their_last_write(void **state)
{
    struct world *w = *state;
    for (int64_t id = 0; id < 1000; id++) {
        struct batch b = batch_of(id, 0, 0, 1);
        assert_int_equal(producers_update(w->ps, &b, NULL, id, &(struct aborted_txn){0}), ERR_NONE);
    }
    assert_int_equal(producers_expire(w->ps, 1099, 600), 500);
    assert_int_equal(producers_count(w->ps), 500);
    struct producer_duplicate d;
    for (int64_t id = 0; id < 1000; id++)
        assert_int_equal(ask(w->ps, batch_of(id, 0, 0, 1), &d), id < 500 ? APPEND : DUPLICATE);
}

static void the_bound_forgets_those_that_wrote_longest_ago(void **state)
{
    struct world *w = *state;
    for (int64_t id = 0; id <= PRODUCERS_MAX; id++)
        append(w, batch_of(id, 0, 0, 1));
    assert_true(producers_count(w->ps) <= PRODUCERS_MAX);
    assert_true(producers_count(w->ps) >= PRODUCERS_MAX / 2);
    struct producer_duplicate d;
    assert_int_equal(ask(w->ps, batch_of(0, 0, 5, 1), &d), APPEND); /* forgotten */
    assert_int_equal(ask(w->ps, batch_of(PRODUCERS_MAX, 0, 0, 1), &d), DUPLICATE);
    assert_int_equal(ask(w->ps, batch_of(PRODUCERS_MAX / 2, 0, 0, 1), &d), DUPLICATE);
}

/* What a checkpoint writes while appends go on. */
static void what_is_held_does_not_change(void **state)
{
    struct world *w = *state;
    for (int64_t id = 0; id < 300; id++)
        append(w, batch_of(id, 0, 0, 1));
    size_t bytes = producers_saved_bytes(w->ps);
    uint8_t *before = malloc(bytes), *after = malloc(bytes);
    producers_save(w->ps, before);
    struct producers *held = producers_hold(w->ps);
    for (int64_t id = 0; id < 600; id++)
        append(w, batch_of(id, 0, id < 300 ? 1 : 0, 1));
    mark(w, 7, 1, true);
    assert_int_equal(producers_expire(w->ps, INT64_MAX / 2, 600), 600);
    producers_agree(w->ps);
    producers_table_agree(held);
    assert_int_equal(producers_saved_bytes(held), bytes);
    producers_save(held, after);
    assert_memory_equal(before, after, bytes);
    producers_forget(w->ps);
    append(w, batch_of(9, 0, 0, 1));
    producers_save(held, after);
    assert_memory_equal(before, after, bytes);
    producers_close(held);
    producers_agree(w->ps);
    free(before);
    free(after);
}

/* A day after many wrote at once. */
static void not_all_that_are_expired_go_in_one_go(void **state)
{
    struct world *w = *state;
    for (int64_t id = 0; id < 2 * PRODUCERS_EXPIRED_MAX + 1; id++)
        append(w, batch_of(id, 0, 0, 1));
    assert_int_equal(producers_expire(w->ps, 1000000, 600), PRODUCERS_EXPIRED_MAX);
    assert_int_equal(producers_expire(w->ps, 1000000, 600), PRODUCERS_EXPIRED_MAX);
    assert_int_equal(producers_expire(w->ps, 1000000, 600), 1);
    assert_int_equal(producers_count(w->ps), 0);
    producers_agree(w->ps);
}

/* One whose clock was ahead does not keep the others. */
static void who_wrote_in_a_future_keeps_nobody(void **state)
{
    struct world *w = *state;
    for (int64_t id = 0; id < 10; id++) {
        struct batch b = batch_of(id, 0, 0, 1);
        int64_t now_ms = id == 0 ? 1000000 : id;
        assert_int_equal(producers_update(w->ps, &b, NULL, now_ms, &(struct aborted_txn){0}), ERR_NONE);
    }
    assert_int_equal(producers_expire(w->ps, 2000, 600), 9);
    assert_int_equal(producers_count(w->ps), 1);
}

static void what_is_loaded_is_forgotten_in_the_order_of_its_writes(void **state)
{
    struct world *w = *state;
    struct producer_duplicate d;
    for (int64_t id = 0; id < PRODUCERS_MAX; id++) {
        struct batch b = batch_of(id, 0, 0, 1);
        b.base_offset = w->end++;
        int64_t now_ms = id == 5 ? 1 : 1000 + id;
        assert_int_equal(producers_update(w->ps, &b, NULL, now_ms, &(struct aborted_txn){0}), ERR_NONE);
    }
    size_t bytes = producers_saved_bytes(w->ps);
    uint8_t *at = malloc(bytes);
    producers_save(w->ps, at);
    struct producers *copy = producers_copy(w->ps, w->heap);
    uint32_t turns = 0;
    for (bool whole = false; !whole; turns++)
        assert_int_equal(producers_copy_some(w->ps, copy, &whole), ERR_NONE);
    assert_int_equal(turns, 32);
    producers_agree(copy);
    producers_close(copy);
    assert_int_equal(producers_load(w->ps, at, bytes), ERR_NONE);
    free(at);
    append(w, batch_of(PRODUCERS_MAX, 0, 0, 1));
    assert_int_equal(producers_count(w->ps), PRODUCERS_MAX);
    assert_int_equal(ask(w->ps, batch_of(5, 0, 7, 1), &d), APPEND); /* not known any more */
    assert_int_equal(ask(w->ps, batch_of(0, 0, 7, 1), &d), GAP);
    producers_agree(w->ps);
}

/* Whatever comes, in seeded order: all parts agree, held copies stay, and a copy is the same. */
static void random_courses_agree(void **state)
{
    struct world *w = *state;
    struct rng rng = {77};
    struct producers *held[4] = {NULL};
    size_t held_bytes[4] = {0};
    uint8_t *held_as[4] = {NULL};
    for (int step = 0; step < 6000; step++) {
        int64_t id = (int64_t)rng_below(&rng, 400);
        uint32_t what = (uint32_t)rng_below(&rng, 40), at = (uint32_t)rng_below(&rng, COUNT_OF(held));
        if (what == 0) {
            (void)producers_expire(w->ps, 5000 + step, 900);
        } else if (what == 1 && held[at]) {
            uint8_t *now = malloc(held_bytes[at]);
            producers_table_agree(held[at]);
            assert_int_equal(producers_saved_bytes(held[at]), held_bytes[at]);
            producers_save(held[at], now);
            assert_memory_equal(now, held_as[at], held_bytes[at]);
            producers_close(held[at]);
            free(now);
            free(held_as[at]);
            held[at] = NULL;
            held_as[at] = NULL;
        } else if (what == 1) {
            held[at] = producers_hold(w->ps);
            held_bytes[at] = producers_saved_bytes(w->ps);
            held_as[at] = malloc(held_bytes[at]);
            producers_save(w->ps, held_as[at]);
        } else if (what == 2) {
            struct producers *copy = producers_copy(w->ps, w->heap);
            bool whole;
            assert_int_equal(producers_copy_some(w->ps, copy, &whole), ERR_NONE);
            assert_true(whole);
            producers_agree(copy);
            assert_int_equal(producers_saved_bytes(copy), producers_saved_bytes(w->ps));
            producers_close(copy);
        } else if (what < 8) {
            (void)mark(w, id, 0, what & 1);
        } else {
            struct batch b = what < 16 ? in_transaction(id, step) : batch_of(id, 0, step, 1);
            b.base_offset = w->end++;
            assert_int_equal(producers_update(w->ps, &b, NULL, 5000 + step, &(struct aborted_txn){0}), ERR_NONE);
        }
        producers_settle(w->ps, w->end);
        if (step % 50 == 0)
            producers_agree(w->ps);
    }
    for (uint32_t i = 0; i < COUNT_OF(held); i++) {
        producers_close(held[i]);
        free(held_as[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_rules_hold, setup, teardown),
        cmocka_unit_test_setup_teardown(an_unknown_producer_starts_anywhere, setup, teardown),
        cmocka_unit_test_setup_teardown(sequences_wrap_within_and_between_batches, setup, teardown),
        cmocka_unit_test_setup_teardown(a_new_epoch_forgets_the_old_batches, setup, teardown),
        cmocka_unit_test_setup_teardown(a_marker_moves_the_epoch_only, setup, teardown),
        cmocka_unit_test_setup_teardown(the_oldest_open_transaction_bounds_what_is_stable, setup, teardown),
        cmocka_unit_test_setup_teardown(open_transactions_are_saved, setup, teardown),
        cmocka_unit_test_setup_teardown(who_has_a_transaction_open_is_not_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(all_may_have_a_transaction_open, setup, teardown),
        cmocka_unit_test_setup_teardown(a_guard_remembers_the_lowest_sequence, setup, teardown),
        cmocka_unit_test_setup_teardown(a_late_batch_of_an_older_epoch_does_not_ask, setup, teardown),
        cmocka_unit_test_setup_teardown(a_batch_of_the_second_generation_does_not_join_one_of_the_first, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_transaction_that_was_loaded_is_asked_about_once, setup, teardown),
        cmocka_unit_test_setup_teardown(saving_and_loading_keeps_all_five, setup, teardown),
        cmocka_unit_test_setup_teardown(a_snapshot_keeps_the_batches, setup, teardown),
        cmocka_unit_test_setup_teardown(a_snapshot_has_kafkas_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(producers_expire_by_their_last_write, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_held_does_not_change, setup, teardown),
        cmocka_unit_test_setup_teardown(not_all_that_are_expired_go_in_one_go, setup, teardown),
        cmocka_unit_test_setup_teardown(who_wrote_in_a_future_keeps_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_loaded_is_forgotten_in_the_order_of_its_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(random_courses_agree, setup, teardown),
        cmocka_unit_test_setup_teardown(the_bound_forgets_those_that_wrote_longest_ago, setup, teardown),
    };
    return cmocka_run_group_tests_name("producer", tests, NULL, NULL);
}
