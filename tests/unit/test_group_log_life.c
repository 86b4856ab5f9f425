/* The life of a group log: it is rewritten, closed and loaded, whatever happens meanwhile. */
#define DIR "build/tests/unit/group_log_life"
#include "tests/unit/group_log_world.h"

/* --- rewriting --- */

static struct asked rounds[GROUPS];
static void commit_round(void)
{
    for (int i = 0; i < GROUPS; i++)
        assert_true(ask(&rounds[i], i, ALL, false));
    for (int i = 0; i < GROUPS; i++) {
        UNTIL(rounds[i].over);
        assert_int_equal(rounds[i].error, KERR_NONE);
    }
}

static void a_log_stays_bounded(void **state)
{
    (void)state;
    g.slack = 8192;
    open_ready();
    persist_and_wait(3, 9);
    uint64_t most = 0;
    for (int i = 0; i < 60; i++) {
        commit_round();
        most = u64_max(most, g.log->coord.log_bytes);
        UNTIL(!g.log->coord.sweep); /* what comes meanwhile is as much as the disk is slow */
    }
    struct partition_facts facts = partition_facts(w.p);
    assert_true(facts.log_start_offset > 0);
    assert_true(most < 10 * g.log->coord.live_bytes);
    assert_int_equal(all_stands(), GROUPS * KEYS);
    kill_broker();
    restart();
    open_ready();
    assert_true(partition_facts(w.p).log_start_offset >= facts.log_start_offset);
    assert_true(g.log->coord.log_bytes < 10 * g.log->coord.live_bytes);
    assert_int_equal(all_stands(), GROUPS * KEYS);
}

/* Commits, removals and a group's record come in while it is rewritten, and the broker is killed after `turns` turns. True: it
 * was over by then. */
static bool rewrite_and_kill(int turns)
{
    static struct asked asked[300];
    int count = 0;
    while (g.log->coord.sweep != &g.log->coord.rewrite.sweep)
        commit_round();
    persist(turns % GROUPS, g.generation[turns % GROUPS] + 1);
    for (int i = 0; i < turns && g.log->coord.sweep == &g.log->coord.rewrite.sweep; i++) {
        count += ask(&asked[count], (i + turns) % GROUPS, 1u << i % KEYS, (i + turns) % 5 == 0);
        group_turn();
    }
    bool over = !g.log->coord.sweep;
    kill_broker();
    restart();
    open_ready();
    all_stands();
    take_as_acked();
    return over;
}

static void a_kill_at_any_time_of_a_rewrite_loses_nothing(void **state)
{
    (void)state;
    int completed = 0, killed = 0;
    g.slack = 8192;
    g.batch_bytes = 300; /* several batches of each group */
    open_ready();
    for (int turns = 0; turns < 1000 && completed < 3; turns += 1 + turns / 8) {
        bool over = rewrite_and_kill(turns);
        completed += over;
        killed += !over;
    }
    assert_int_equal(completed, 3);
    assert_true(killed > 3);
    assert_true(partition_facts(w.p).log_start_offset > 0);
}

static void a_rewrite_that_fails_leaves_everything_as_it_was(void **state)
{
    (void)state;
    g.slack = 8192;
    open_ready();
    while (g.log->coord.sweep != &g.log->coord.rewrite.sweep)
        commit_round();
    partition_offline(w.p, "the test says so");
    UNTIL(!g.log->coord.sweep);
    assert_int_equal(partition_facts(w.p).log_start_offset, 0);
    assert_true(g.log->coord.rewrite_at > g.log->coord.log_bytes);
    all_stands();
    kill_broker();
    restart();
    g.slack = 0;
    open_ready();
    all_stands();
}

/* --- closing --- */

static void everything_is_answered_when_the_log_is_closed(void **state)
{
    (void)state;
    static struct asked asked[200];
    g.slack = 8192;
    for (int turns = 0; turns < 40; turns++) {
        int count = 0;
        open_log();
        for (int i = 0; i < turns && !g.readies; i++)
            group_turn();
        if (g.log->coord.state == COORD_LOG_READY) {
            group_log_expire(g.log, clock_wall_ms(), 24 * 3600 * 1000);
            group_log_forget_topic(g.log, view_of("other"));
            for (int i = 0; i < turns; i++) {
                count += ask(&asked[count], i % GROUPS, ALL, false);
                if (i % 4 == 0) {
                    struct group_entry *e = entry_or_make(i % GROUPS);
                    group_log_persist(e, 1);
                    group_turn();
                }
            }
        }
        close_log();
        for (int i = 0; i < count; i++) {
            assert_true(asked[i].over);
            assert_true(asked[i].error == KERR_NONE || asked[i].error == KERR_NOT_COORDINATOR);
        }
    }
    open_ready();
    all_stands();
}

static void an_offline_partition_is_not_coordinated(void **state)
{
    (void)state;
    struct asked a;
    open_ready();
    ask_and_wait(0, ALL, false);
    partition_offline(w.p, "the test says so");
    assert_true(ask(&a, 0, 1, false));
    UNTIL(a.over);
    assert_int_equal(a.error, KERR_NOT_COORDINATOR);
    all_stands();
    close_log();
    open_log();
    UNTIL(g.readies > 0);
    assert_int_equal(g.log->coord.state, COORD_LOG_FAILED);
    assert_null(entry_of(0));
    assert_null(group_log_make(g.log, group_id(0)));
}

/* --- a large one --- */

static void a_large_log_is_loaded_in_small_steps(void **state)
{
    (void)state;
    enum { COUNT = 100000, EACH = 500, AT_ONCE = COUNT / EACH };
    static struct group_write writes[AT_ONCE];
    static struct committed commits[COUNT];
    static char ids[AT_ONCE][16];
    open_ready();
    uint32_t before = wrote;
    for (int i = 0; i < COUNT; i++)
        commits[i] = a_commit(i, i);
    for (int i = 0; i < AT_ONCE; i++) {
        snprintf(ids[i], sizeof ids[i], "g%d", i);
        writes[i] = (struct group_write){.entry = group_log_make(g.log, view_of(ids[i])),
                                         .commits = commits + (ptrdiff_t)i * EACH,
                                         .commit_count = EACH,
                                         .done = note_wrote};
        group_log_write(g.log, &writes[i]);
    }
    for (uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S; wrote < before + AT_ONCE;) {
        assert_true(clock_now_ns() < end);
        turn();
    }
    kill_broker();
    restart();
    uint64_t started = clock_now_ns(), longest = 0, units = 0;
    open_log();
    while (g.readies == 0) {
        uint64_t from = clock_now_ns();
        (void)shard_turn(w.shard, coord_log_reads(&g.log->coord) ? TURN_NS : 0);
        if (!coord_log_reads(&g.log->coord))
            longest = u64_max(longest, clock_now_ns() - from);
        units++;
        assert_true(units < 10 * COUNT);
    }
    if (getenv("TEST_GROUP_LOG_SAY"))
        fprintf(stderr, "%s: %d offsets in %llu us, %llu turns, the longest %llu us\n", w.mode->name, COUNT,
                (unsigned long long)(clock_now_ns() - started) / 1000, (unsigned long long)units,
                (unsigned long long)longest / 1000);
    assert_true(units >= COUNT * PACE_RECORD / PACE_UNITS);
    assert_int_equal(g.log->coord.state, COORD_LOG_READY);
    uint32_t cursor = 0, count = 0;
    struct group_entry *e;
    while ((e = group_log_next(g.log, &cursor)))
        count += offsets_count(&e->offsets);
    assert_int_equal(count, COUNT);
    coord_log_check(&g.log->coord);
}

int main(void)
{
    struct CMUnitTest tests[] = {
        CASE(a_log_stays_bounded),
        CASE(a_kill_at_any_time_of_a_rewrite_loses_nothing),
        CASE(a_rewrite_that_fails_leaves_everything_as_it_was),
        CASE(everything_is_answered_when_the_log_is_closed),
        CASE(an_offline_partition_is_not_coordinated),
        CASE(a_large_log_is_loaded_in_small_steps),
    };
    return run_in_modes(tests, COUNT_OF(tests), COUNT_OF(modes));
}
