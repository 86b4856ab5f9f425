/* Transactions in a group log on a real partition: what is pending counts when a marker says so, whatever happens in between. */
#define DIR "build/tests/unit/group_log_txn"
#define OFFSETS_SEGMENT "8192"
#include "tests/unit/group_log_world.h"

/* --- asking --- */

enum { EPOCH = 3, COORDINATOR = 5, MANY = 3000 };

/* As a handler does: without a guard first, and again with what the partition gave. */
static enum kerr commit_in_txn(int producer, int group, const struct committed *commits, int32_t count)
{
    struct coord_txn txn = {.of = {producer, EPOCH}};
    struct group_write write = {.commits = commits, .commit_count = count, .txn = &txn};
    enum kerr error = KERR_NONE;
    for (int i = 0; i < 2; i++) {
        struct group_entry *e = entry_or_make(group);
        assert_non_null(e);
        write.entry = e;
        error = write_and_wait(&write);
        if (error != KERR_INVALID_TXN_STATE || txn.guard == 0)
            break;
        if (entry_of(group))
            group_log_drop_if_empty(entry_of(group));
    }
    return error;
}
static int64_t pend(int producer, int group, int key)
{
    struct committed c = a_commit(key, g.next++);
    assert_int_equal(commit_in_txn(producer, group, &c, 1), KERR_NONE);
    return c.offset;
}

static struct ended {
    struct coord_marker marker;
    bool over;
    enum kerr error;
} ended;
static void marker_done(struct coord_marker *m, enum kerr error)
{
    struct ended *e = container_of(m, struct ended, marker);
    assert_false(e->over);
    e->over = true;
    e->error = error;
}
static void ask_end(struct ended *e, int producer, bool commit)
{
    *e = (struct ended){.marker = {.marker = {.producer_id = producer,
                                              .producer_epoch = EPOCH,
                                              .coordinator_epoch = COORDINATOR,
                                              .commit = commit},
                                   .done = marker_done}};
    coord_log_end_txn(&g.log->coord, &e->marker);
    assert_false(e->over);
}
static enum kerr end_txn(int producer, bool commit)
{
    ask_end(&ended, producer, commit);
    UNTIL(ended.over);
    return ended.error;
}
static bool pends(int group, int key)
{
    uint32_t looked;
    const struct group_entry *e = entry_of(group);
    return e && group_txns_pending(&e->txns, view_of("t"), key, &looked);
}
static void reopen(bool killed)
{
    if (killed) {
        kill_broker();
        restart();
    } else {
        close_log();
    }
    open_ready();
}

/* --- tests --- */

static void a_transaction_that_nobody_verified_writes_nothing(void **state)
{
    (void)state;
    open_ready();
    struct coord_txn txn = {.of = {7, EPOCH}, .first_generation = true};
    struct committed c = a_commit(0, 1);
    struct group_write write = {.entry = entry_or_make(0), .commits = &c, .commit_count = 1, .txn = &txn};
    int64_t end = partition_facts(w.p).end_offset;
    assert_int_equal(write_and_wait(&write), KERR_INVALID_TXN_STATE);
    assert_int_not_equal(txn.guard, 0);
    assert_int_equal(partition_facts(w.p).end_offset, end);
    assert_false(pends(0, 0));
    group_log_drop_if_empty(entry_of(0));
    assert_null(entry_of(0));
    assert_int_equal(end_txn(7, false), KERR_NONE); /* which voids the guard */
    write = (struct group_write){.entry = entry_or_make(0), .commits = &c, .commit_count = 1, .txn = &txn};
    assert_int_equal(write_and_wait(&write), KERR_INVALID_TXN_STATE);
    assert_int_equal(txn.guard, 0);
}

/* What is written of a producer while its marker is, would be of the one transaction or the other. */
static void nothing_passes_the_marker_of_its_own_producer(void **state)
{
    (void)state;
    open_ready();
    int64_t mine = pend(1, 0, 0);
    struct committed c = a_commit(0, 4711);
    struct coord_txn txn = {.of = {1, EPOCH}}, other = {.of = {2, EPOCH}};
    struct group_write write = {.entry = entry_of(0), .commits = &c, .commit_count = 1, .txn = &txn};
    ask_end(&ended, 1, true);
    assert_int_equal(write_and_wait(&write), KERR_COORDINATOR_LOAD_IN_PROGRESS);
    UNTIL(ended.over);
    assert_int_equal(stands(0, 0), mine);
    assert_false(pends(0, 0));
    ask_end(&ended, 1, true);
    write = (struct group_write){.entry = entry_of(0), .commits = &c, .commit_count = 1, .txn = &other};
    assert_int_equal(write_and_wait(&write), KERR_INVALID_TXN_STATE);
    assert_int_not_equal(other.guard, 0);
    UNTIL(ended.over);
}

static void what_is_pending_counts_when_it_is_committed(void **state)
{
    (void)state;
    open_ready();
    for (int round = 0; round < 3; round++) { /* in one life, after a close, after a kill */
        int64_t mine = pend(1, round, 0), other = pend(2, round, 1), none = pend(3, round, 2);
        assert_true(mine != other && other != none);
        for (int k = 0; k < 3; k++) {
            assert_true(pends(round, k));
            assert_int_equal(stands(round, k), NONE);
        }
        if (round > 0)
            reopen(round == 2);
        for (int k = 0; k < 3; k++)
            assert_true(pends(round, k));
        assert_int_equal(end_txn(1, true), KERR_NONE);
        assert_int_equal(end_txn(2, false), KERR_NONE);
        for (int again = 0; again < 3; again++) {
            assert_int_equal(stands(round, 0), mine);
            assert_int_equal(stands(round, 1), NONE);
            assert_int_equal(stands(round, 2), NONE);
            assert_false(pends(round, 0) || pends(round, 1));
            assert_true(pends(round, 2));
            reopen(again == 1);
        }
        assert_int_equal(end_txn(3, false), KERR_NONE);
        assert_false(pends(round, 2));
    }
}

static void a_group_of_which_nothing_is_left_goes(void **state)
{
    (void)state;
    open_ready();
    (void)pend(1, 0, 0);
    assert_non_null(entry_of(0));
    group_log_drop_if_empty(entry_of(0));
    assert_non_null(entry_of(0));
    assert_int_equal(end_txn(1, false), KERR_NONE);
    assert_null(entry_of(0));
    reopen(false);
    assert_null(entry_of(0));
}

static void a_plain_commit_and_a_pending_one_count_by_their_place(void **state)
{
    (void)state;
    open_ready();
    int64_t earlier = pend(1, 0, 0);
    ask_and_wait(0, 1, false);
    ask_and_wait(0, 2, false);
    int64_t later = pend(1, 0, 1);
    int64_t plain = stands(0, 0);
    assert_true(plain > earlier);
    assert_int_equal(end_txn(1, true), KERR_NONE);
    for (int round = 0; round < 4; round++) {
        assert_int_equal(stands(0, 0), plain);
        assert_int_equal(stands(0, 1), later);
        reopen(round == 1);
    }
}

static void a_deletion_takes_what_is_pending(void **state)
{
    (void)state;
    open_ready();
    (void)pend(1, 0, 0);
    (void)pend(1, 1, 0);
    ask_and_wait(0, 6, false);
    assert_int_equal(group_delete(entry_of(0)->group, clock_wall_ms()), KERR_NONE);
    struct group_write write = {.entry = entry_of(0), .kind = GROUP_WRITE_DELETE};
    assert_int_equal(write_and_wait(&write), KERR_NONE);
    assert_null(entry_of(0));
    struct committed c = a_commit(0, 0);
    write = (struct group_write){.entry = entry_of(1), .removed = &c, .removed_count = 1};
    assert_int_equal(write_and_wait(&write), KERR_NONE);
    assert_false(pends(1, 0));
    reopen(true);
    assert_null(entry_of(0));
    assert_false(pends(1, 0));
    assert_int_equal(end_txn(1, true), KERR_NONE);
    for (int round = 0; round < 2; round++) {
        assert_null(entry_of(0));
        assert_null(entry_of(1));
        reopen(false);
    }
}

static void what_is_pending_does_not_expire(void **state)
{
    (void)state;
    int64_t year = clock_wall_ms() + 365ll * 24 * 3600 * 1000;
    open_ready();
    ask_and_wait(0, 3, false);
    int64_t pending = pend(1, 0, 0);
    group_log_expire(g.log, year, 1000);
    UNTIL(!g.log->coord.sweep);
    assert_int_not_equal(stands(0, 0), NONE);
    assert_int_equal(stands(0, 1), NONE);
    assert_true(pends(0, 0));
    assert_int_equal(end_txn(1, true), KERR_NONE);
    assert_int_equal(stands(0, 0), pending);
    group_log_expire(g.log, year, 1000);
    UNTIL(!g.log->coord.sweep);
    assert_null(entry_of(0));
}

static void a_topic_that_is_gone_is_forgotten_also_where_it_is_pending(void **state)
{
    (void)state;
    open_ready();
    struct committed both[2] = {a_commit(0, 1), a_commit(1, 2)};
    both[1].topic = view_of("other");
    assert_int_equal(commit_in_txn(1, 0, both, 2), KERR_NONE);
    group_log_forget_topic(g.log, view_of("t"));
    UNTIL(!g.log->coord.sweep && list_empty(&g.log->coord.sweeps));
    assert_false(pends(0, 0));
    assert_int_equal(end_txn(1, true), KERR_NONE);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(stands(0, 0), NONE);
        assert_non_null(offsets_get(&entry_of(0)->offsets, view_of("other"), 1));
        reopen(round == 0);
    }
}

static struct committed many[MANY];
static void commit_many(int producer, int group)
{
    for (int i = 0; i < MANY; i++)
        many[i] = a_commit(i, i);
    assert_int_equal(commit_in_txn(producer, group, many, MANY), KERR_NONE);
}

static void a_large_transaction_is_settled_in_steps(void **state)
{
    (void)state;
    open_ready();
    commit_many(1, 0);
    ask_end(&ended, 1, true);
    uint32_t least = MANY, turns = 0;
    for (; !ended.over; turns++) {
        uint32_t before = offsets_count(&entry_of(0)->offsets);
        turn();
        uint32_t moved = offsets_count(&entry_of(0)->offsets) - before;
        assert_true(moved <= PACE_UNITS / PACE_RECORD + 64);
        least = moved > 0 && moved < least ? moved : least;
    }
    assert_true(turns > MANY / (PACE_UNITS / PACE_RECORD));
    assert_int_equal(ended.error, KERR_NONE);
    assert_int_equal(offsets_count(&entry_of(0)->offsets), MANY);
    reopen(true);
    assert_int_equal(offsets_count(&entry_of(0)->offsets), MANY);
    assert_false(group_txns_open(&entry_of(0)->txns));
}

/* What is committed, removed or written by the next transaction while a large one is settled. */
static void the_log_goes_on_while_a_transaction_is_settled(void **state)
{
    (void)state;
    open_ready();
    commit_many(1, 0);
    ask_end(&ended, 1, true);
    UNTIL(entry_of(0) && offsets_count(&entry_of(0)->offsets) > 0);
    struct committed plain = a_commit(MANY - 1, 4711), next = a_commit(MANY - 2, 4712), gone = a_commit(MANY - 3, 0);
    struct group_write write = {.entry = entry_of(0), .commits = &plain, .commit_count = 1};
    assert_int_equal(write_and_wait(&write), KERR_NONE);
    assert_int_equal(commit_in_txn(1, 0, &next, 1), KERR_NONE);
    write = (struct group_write){.entry = entry_of(0), .removed = &gone, .removed_count = 1};
    assert_int_equal(write_and_wait(&write), KERR_NONE);
    UNTIL(ended.over);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(offsets_count(&entry_of(0)->offsets), MANY - 1);
        assert_int_equal(stands(0, MANY - 1), 4711);
        assert_int_equal(stands(0, MANY - 2), MANY - 2);
        assert_int_equal(stands(0, MANY - 3), NONE);
        assert_true(pends(0, MANY - 2));
        reopen(round == 0);
    }
    assert_int_equal(end_txn(1, true), KERR_NONE);
    assert_int_equal(stands(0, MANY - 2), 4712);
}

/* Batches of a deletion and markers, in every order that the disk allows: what the log says is what stands, and the group goes. */
static void a_deletion_and_markers_meet(void **state)
{
    (void)state;
    g.batch_bytes = 600; /* a deletion is many batches */
    open_ready();
    for (int wait = 0; wait < 24; wait += 3) {
        struct ended ends[3];
        for (int k = 0; k < KEYS; k++)
            for (int p = 0; p < 3; p++)
                (void)pend(p, 0, k * 3 + p);
        ask_and_wait(0, ALL, false);
        assert_int_equal(group_delete(entry_of(0)->group, clock_wall_ms()), KERR_NONE);
        struct group_write write = {.entry = entry_of(0), .kind = GROUP_WRITE_DELETE, .done = note_wrote};
        uint32_t before = wrote;
        if (wait % 2)
            ask_end(&ends[0], 0, true);
        group_log_write(g.log, &write);
        for (int i = 0; i < wait / 2; i++)
            group_turn();
        if (wait % 2 == 0)
            ask_end(&ends[0], 0, true);
        ask_end(&ends[1], 1, true);
        ask_end(&ends[2], 2, false);
        UNTIL(wrote > before && ends[0].over && ends[1].over && ends[2].over);
        assert_int_equal(wrote_error, KERR_NONE);
        assert_null(entry_of(0));
        reopen(wait % 3 == 0);
        assert_null(entry_of(0));
        for (int k = 0; k < KEYS; k++)
            g.keys[0][k].acked = NONE;
    }
}

static void a_log_that_closes_answers_its_markers(void **state)
{
    (void)state;
    open_ready();
    int64_t mine = pend(1, 0, 0);
    commit_many(2, 1);
    ask_end(&ended, 1, true);
    struct ended large, late;
    ask_end(&large, 2, true);
    UNTIL(entry_of(1) && offsets_count(&entry_of(1)->offsets) > 0);
    coord_log_close(&g.log->coord, hook_closed, NULL);
    ask_end(&late, 1, false);
    UNTIL(g.closes == 1);
    UNTIL(!list_linked(&g.pace.defer.link));
    assert_true(ended.over && large.over && late.over);
    assert_int_equal(ended.error, KERR_NONE);
    assert_int_equal(large.error, KERR_NONE);
    assert_int_equal(late.error, KERR_NOT_COORDINATOR);
    open_ready();
    assert_int_equal(stands(0, 0), mine);
    assert_int_equal(offsets_count(&entry_of(1)->offsets), MANY);
}

static bool is_clean(void)
{
    return !w.p->cleaning.busy && (w.p->segments.count < 2 || w.p->cleaning.first_dirty == w.p->active->base_offset);
}

static int64_t pending[3][GROUPS][KEYS], want[GROUPS][KEYS];
static void end_and_note(int producer, bool commit)
{
    assert_int_equal(end_txn(producer, commit), KERR_NONE);
    for (int i = 0; i < GROUPS; i++)
        for (int k = 0; k < KEYS; k++) {
            if (commit && pending[producer][i][k] > want[i][k])
                want[i][k] = pending[producer][i][k];
            pending[producer][i][k] = NONE;
        }
}
static void write_something(int at)
{
    int p = at % 3, group = (at * 7 + at / 50) % GROUPS, k = (at * 5) % KEYS;
    if (at % 23 == 22) {
        end_and_note(p, at % 2);
    } else if (at % 5 == 4) {
        ask_and_wait(group, 1u << k, false);
        want[group][k] = g.keys[group][k].acked;
    } else {
        pending[p][group][k] = pend(p, group, k);
    }
}
static void all_is_as_wanted(int at)
{
    for (int i = 0; i < GROUPS; i++)
        for (int k = 0; k < KEYS; k++) {
            bool open = pending[0][i][k] != NONE || pending[1][i][k] != NONE || pending[2][i][k] != NONE;
            if (stands(i, k) != want[i][k] || pends(i, k) != open)
                fail_msg("write %d, group %d key %d: %lld, not %lld; pending %d", at, i, k, (long long)stands(i, k),
                         (long long)want[i][k], pends(i, k));
        }
}

/* Many transactions beside plain commits, while the log is compacted, below those that are open: what was answered stands, before and after
 * every load. */
static void random_transactions_stand_after_every_compaction_and_load(void **state)
{
    (void)state;
    memset(pending, 0xff, sizeof pending);
    memset(want, 0xff, sizeof want);
    open_ready();
    begin_cleaning();
    for (int i = 0; i < 320; i++) {
        write_something(i);
        if (i % 80 == 40) {
            for (int p = 0; p < 3; p++)
                end_and_note(p, p != i / 80 % 3);
            UNTIL(is_clean());
        }
        if (i % 40 != 39)
            continue;
        reopen(i % 160 == 79);
        begin_cleaning();
        all_is_as_wanted(i);
    }
    assert_true(w.p->segments.count > 1);
    assert_true(partition_facts(w.p).log_start_offset == 0);
}

int main(void)
{
    struct CMUnitTest tests[] = {
        CASE(a_transaction_that_nobody_verified_writes_nothing),
        CASE(nothing_passes_the_marker_of_its_own_producer),
        CASE(what_is_pending_counts_when_it_is_committed),
        CASE(a_group_of_which_nothing_is_left_goes),
        CASE(a_plain_commit_and_a_pending_one_count_by_their_place),
        CASE(a_deletion_takes_what_is_pending),
        CASE(what_is_pending_does_not_expire),
        CASE(a_topic_that_is_gone_is_forgotten_also_where_it_is_pending),
        CASE(a_large_transaction_is_settled_in_steps),
        CASE(the_log_goes_on_while_a_transaction_is_settled),
        CASE(a_deletion_and_markers_meet),
        CASE(a_log_that_closes_answers_its_markers),
        CASE(random_transactions_stand_after_every_compaction_and_load),
    };
    return run_in_modes(tests, COUNT_OF(tests), COUNT_OF(modes));
}
