/* A group log on a failing heap: each of its allocations fails in turn, once or from then on. Everything that was asked is
 * answered, nothing is left over, and with memory again what was acknowledged stands. */
#include "tests/unit/faulty_heap.h"

/* Only the group log's own allocations count: it gets a heap to itself. */
#define DIR "build/tests/unit/group_log_faults"
#include "tests/unit/group_log_world.h"

/* False: there was no memory for it. */
static bool open_poor(void)
{
    struct heap *rich = w.shard->heap;
    w.shard->heap = fault.poor;
    init_log();
    w.shard->heap = rich;
    if (!g.log)
        return false;
    UNTIL(g.readies > 0);
    return g.log->coord.state == COORD_LOG_READY;
}

static bool commit(int group, uint32_t mask, bool remove)
{
    struct asked a;
    if (!entry_or_make(group))
        return false;
    assert_true(ask(&a, group, mask, remove));
    UNTIL(a.over);
    assert_true(a.error == KERR_NONE || a.error == KERR_COORDINATOR_NOT_AVAILABLE || a.error == KERR_NOT_COORDINATOR);
    if (a.error == KERR_NONE)
        return true;
    for (int k = 0; k < KEYS; k++) /* either may stand */
        g.keys[group][k].busy = a.mask & 1u << k;
    return false;
}

static bool record(int group, int32_t generation)
{
    uint32_t before = g.persisted;
    if (!entry_or_make(group))
        return false;
    persist(group, generation);
    UNTIL(g.persisted > before);
    assert_int_equal(g.persisted, before + 1);
    return true;
}

/* What a transaction commits or aborts; one producer a group. */
static bool ended;
static enum kerr ended_error;
static void note_ended(struct coord_marker *m, enum kerr error)
{
    assert_true(m->log == &g.log->coord);
    ended = true;
    ended_error = error;
}
static bool end_in_txn(int group, bool commits)
{
    struct coord_marker m = {.marker = {.producer_id = 100 + group, .commit = commits}, .done = note_ended};
    ended = false;
    coord_log_end_txn(&g.log->coord, &m);
    UNTIL(ended);
    assert_true(ended_error == KERR_NONE || ended_error == KERR_NOT_COORDINATOR);
    return ended_error == KERR_NONE;
}
static bool commit_in_txn(int group, uint32_t mask)
{
    struct asked a;
    struct coord_txn txn = {.of = {100 + group, 0}};
    for (int i = 0; i < 2; i++) {
        a = (struct asked){.group = group};
        for (int32_t k = 0; k < KEYS; k++)
            if (mask & 1u << k)
                a.commits[a.write.commit_count++] = a_commit(k, g.next++);
        a.write = (struct group_write){.entry = entry_or_make(group),
                                       .kind = GROUP_WRITE_COMMITS,
                                       .commits = a.commits,
                                       .commit_count = a.write.commit_count,
                                       .txn = &txn,
                                       .done = asked_done};
        if (!a.write.entry)
            return false;
        group_log_write(g.log, &a.write);
        UNTIL(a.over);
        if (a.error != KERR_INVALID_TXN_STATE || !txn.guard)
            break;
    }
    for (int i = 0; i < a.write.commit_count; i++) {
        struct key *key = &g.keys[group][a.commits[i].partition];
        key->busy = true; /* until it is known, either may stand */
        key->under_way = a.commits[i].offset;
    }
    return a.error == KERR_NONE;
}
static bool in_txn(int group, uint32_t mask, bool commits)
{
    if (!commit_in_txn(group, mask) || !end_in_txn(group, commits))
        return false;
    for (int k = 0; k < KEYS; k++) {
        struct key *key = &g.keys[group][k];
        if (!(mask & 1u << k))
            continue;
        key->busy = false;
        key->acked = commits ? key->under_way : key->acked;
    }
    return true;
}

static uint32_t deleted;
static void note_deleted(struct group_write *write, enum kerr error)
{
    assert_int_equal(write->entry == NULL, error == KERR_NONE);
    deleted++;
    if (error)
        return;
    for (int k = 0; k < KEYS; k++)
        g.keys[5][k].acked = NONE;
}
static bool remove_group(void)
{
    struct group_entry *e = entry_of(5);
    struct group_write write = {.entry = e, .kind = GROUP_WRITE_DELETE, .done = note_deleted};
    assert_int_equal(group_delete(e->group, clock_wall_ms()), KERR_NONE);
    deleted = 0;
    group_log_write(g.log, &write);
    UNTIL(deleted > 0);
    if (write.entry)
        for (int k = 0; k < KEYS; k++) {
            g.keys[5][k].busy = true;
            g.keys[5][k].under_way = NONE;
        }
    return !write.entry;
}

static void sweeps(void)
{
    group_log_forget_topic(g.log, view_of("other"));
    group_log_expire(g.log, clock_wall_ms(), 1000000);
    for (int i = 0; i < 50 && !g.log->coord.sweep && g.log->coord.state == COORD_LOG_READY; i++)
        group_turn();
    UNTIL(!g.log->coord.sweep);
}

/* Until something fails that is told. */
static void use(void)
{
    if (!open_poor())
        return;
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < GROUPS; i += 1 + round)
            if (!commit(i, 0x7u << round, round == 1 && i == 2))
                return;
    if (!in_txn(2, 0x38, true) || !in_txn(6, 0x3, false) || !in_txn(0, 0x1c0, true))
        return;
    if (!record(1, 2) || !record(4, 2) || !commit(5, ALL, false))
        return;
    if (commit(3, 0x5, true) && remove_group())
        sweeps();
}

static void end_log(void)
{
    if (g.log)
        close_log();
    assert_int_equal(fault.blocks, 0);
}

/* A short log to begin with, so that loading it is tried too. */
static bool trim_is_over;
static void trim_done(struct log_trim *t)
{
    assert_int_equal(t->error, KERR_NONE);
    trim_is_over = true;
}
static void start_anew(void)
{
    struct log_trim trim = {.before = -1, .done = trim_done};
    list_init(&trim.link);
    trim_is_over = false;
    partition_trim(w.p, &trim);
    UNTIL(trim_is_over);
    memset(g.keys, 0, sizeof g.keys);
    for (int i = 0; i < GROUPS; i++)
        for (int k = 0; k < KEYS; k++)
            g.keys[i][k].acked = NONE;
    assert_true(open_poor());
    assert_true(commit(0, ALL, false) && commit(4, 0x3, false) && commit(4, 0x1, true) && record(4, 1) && record(6, 1));
    assert_true(end_in_txn(0, false) && end_in_txn(2, false) && end_in_txn(6, false)); /* what failed before */
    assert_true(in_txn(0, 0x3, true) && in_txn(2, 0x7, true) && in_txn(6, 0x3, false));
    end_log();
}

/* False: that many allocations are never reached. */
static bool fail_at(int n, bool forever)
{
    fault.blocks = 0;
    start_anew();
    fault_begin(n, forever);
    use();
    bool reached = fault.fired;
    end_log();
    (void)fault_end();
    for (int i = 0; i < GROUPS; i++)
        g.acked_generation[i] = 0; /* records are asked for, and may be refused */
    assert_true(open_poor());
    all_stands();
    end_log();
    return reached;
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    for (int forever = 0; forever < 2; forever++) {
        int n = 1;
        while (fail_at(n, forever))
            n++;
        assert_true(n > 100);
    }
}

static int poor_setup(void **state)
{
    fault.poor = heap_open();
    return fault.poor ? group_setup(state) : -1;
}
static int poor_teardown(void **state)
{
    int result = group_teardown(state);
    heap_close(fault.poor);
    return result;
}

int main(void)
{
    struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate_setup_teardown(each_allocation_may_fail, poor_setup, poor_teardown,
                                                 (void *)(uintptr_t)&modes[2]),
        cmocka_unit_test_prestate_setup_teardown(each_allocation_may_fail, poor_setup, poor_teardown,
                                                 (void *)(uintptr_t)&modes[1]),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
