/* The life of a group log: it is compacted, closed and loaded, whatever happens meanwhile. */
#define DIR "build/tests/unit/group_log_life"
#define OFFSETS_SEGMENT "8192"
#include "tests/unit/group_log_world.h"

/* --- cleaning --- */

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

static bool is_clean(void)
{
    return !w.p->cleaning.busy && (w.p->segments.count < 2 || w.p->cleaning.first_dirty == w.p->active->base_offset);
}

static void a_log_stays_bounded(void **state)
{
    (void)state;
    open_ready();
    begin_cleaning();
    persist_and_wait(3, 9);
    uint64_t all = 0;
    for (int i = 0; i < 60; i++) {
        uint64_t before = partition_facts(w.p).bytes;
        commit_round();
        uint64_t after = partition_facts(w.p).bytes;
        all += after > before ? after - before : 0;
    }
    UNTIL(is_clean());
    uint64_t bytes = partition_facts(w.p).bytes;
    assert_true(bytes < all / 3);
    assert_int_equal(all_stands(), GROUPS * KEYS);
    kill_broker();
    restart();
    open_ready();
    assert_int_equal(partition_facts(w.p).bytes, bytes);
    assert_int_equal(all_stands(), GROUPS * KEYS);
}

/* Commits, removals and a group's record come in while it is cleaned, and the broker is killed after `turns` turns. True: it
 * was over by then. */
static bool clean_and_kill(int turns)
{
    static struct asked asked[1000];
    int count = 0;
    begin_cleaning();
    UNTIL(is_clean());
    quick.cleaner_enable = false;
    int64_t dirty = w.p->cleaning.first_dirty;
    for (uint32_t segments = w.p->segments.count; w.p->segments.count < segments + 3;)
        commit_round();
    persist(turns % GROUPS, g.generation[turns % GROUPS] + 1);
    quick.cleaner_enable = true;
    for (int i = 0; i < turns && w.p->cleaning.first_dirty == dirty; i++) {
        count += ask(&asked[count], (i + turns) % GROUPS, 1u << i % KEYS, (i + turns) % 5 == 0);
        group_turn();
    }
    bool over = w.p->cleaning.first_dirty != dirty;
    kill_broker();
    restart();
    open_ready();
    all_stands();
    take_as_acked();
    return over;
}

static void a_kill_at_any_time_of_a_cleaning_loses_nothing(void **state)
{
    (void)state;
    int killed = 0;
    g.batch_bytes = 300; /* several batches of each group */
    open_ready();
    for (int turns = 0; turns < 60; turns += 1 + turns / 2)
        killed += !clean_and_kill(turns);
    assert_true(killed > 3);
    begin_cleaning();
    UNTIL(is_clean());
    all_stands();
}

/* --- closing --- */

static void everything_is_answered_when_the_log_is_closed(void **state)
{
    (void)state;
    static struct asked asked[200];
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
    uint64_t turns = 0;
    for (open_log(); g.readies == 0; turns++) {
        assert_true(turns < 10 * COUNT);
        turn();
    }
    assert_true(turns >= COUNT * PACE_RECORD / PACE_UNITS);
    assert_int_equal(g.log->coord.state, COORD_LOG_READY);
    uint32_t count = 0;
    for (int i = 0; i < AT_ONCE; i++) {
        const struct group_entry *e = group_log_find(g.log, view_of(ids[i]));
        count += e ? offsets_count(&e->offsets) : 0;
    }
    assert_int_equal(count, COUNT);
    coord_log_check(&g.log->coord);
}

int main(void)
{
    struct CMUnitTest tests[] = {
        CASE(a_log_stays_bounded),
        CASE(a_kill_at_any_time_of_a_cleaning_loses_nothing),
        CASE(everything_is_answered_when_the_log_is_closed),
        CASE(an_offline_partition_is_not_coordinated),
        CASE(a_large_log_is_loaded_in_small_steps),
    };
    return run_in_modes(tests, COUNT_OF(tests), COUNT_OF(modes));
}
