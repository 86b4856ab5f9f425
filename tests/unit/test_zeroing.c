/* Zeros in the space ahead (storage/log/zeroing.c), on a real shard and in real files. */
#include "storage/log/full_disk.h"
#include "tests/unit/partition_world.h"

enum { PARTITIONS = 6 };
static struct partition *many[PARTITIONS];

static uint64_t zeroed(void)
{
    return stat_value(store_of(w.shard)->log.counters.zeroed_bytes);
}
static uint64_t taken_along(void)
{
    return stat_value(store_of(w.shard)->log.counters.wave_zeroed_bytes);
}
static uint64_t settled(void)
{
    return stat_value(store_of(w.shard)->log.counters.settled_waves);
}
static bool may_zero(void)
{
    return w.root->direct;
}
/* Appends one batch after the other, so that each has a wave of its own. */
static void append_one_by_one(uint32_t count, uint32_t value_bytes)
{
    for (uint32_t i = 0; i < count; i++) {
        store_of(w.shard)->log.zeroing.usual_ns = 0; /* there is time, however slow this disk is */
        store_of(w.shard)->log.durable_wave_ns = 1;
        (void)append(1, value_bytes);
        all_are_acked();
    }
}
static void rest(void)
{
    TURN_UNTIL(turn, w.p->space.state != SPACE_ALLOCATING);
}
static void use_partition(int32_t i)
{
    w.p = many[i];
}

/* --- whether --- */

static void only_small_durable_waves_with_time_are_worth_it(void **state)
{
    (void)state;
    struct log_store *ls = &store_of(w.shard)->log;
    static const struct {
        uint64_t waves, bytes, busy_us, since_us, usual_us;
        bool wanted;
    } cases[] = {
        {0, 0, 0, 1000, 1000, true}, /* nothing is known yet */
        {100, 100 * 1024, 10000, 1000000, 1000, true},
        {1, 16 * 1024, 500, 1000000, 500, true},
        {1, 16 * 1024 + 1, 500, 1000000, 500, false},
        {10, 10 * 65 * 1024, 10000, 1000000, 1000, false},
        {10, 10 * 65 * 1024, 21300, 1000000, 500, true}, /* 32 ns for a byte: flushes */
        {10, 10 * 65 * 1024, 21290, 1000000, 500, false},
        {10, 5 * 1024 * 1024, 168000, 1000000, 50, true},
        {10, 5 * 1024 * 1024, 25000, 1000000, 50,
         false}, /* 2.5 ms each: a load of 200 MB/s, which zeros would double */
        {10, 5 * 1024 * 1024 + 10, 168000, 1000000, 50, false},
        {8, 8 * 1024, 800, 4000, 900, true}, /* the same again lasts 4 ms */
        {8, 8 * 1024, 800, 4000, 1100, false},
    };
    append_one_by_one(1, 100);
    rest();
    uint64_t allocated = w.p->active->allocated;
    w.p->active->allocated = w.p->end.position + 8 * 1024; /* for the rule alone */
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        w.p->space.use = (struct space_use){cases[i].waves, cases[i].bytes, cases[i].busy_us * 1000};
        w.p->space.step_at_ns = w.shard->now_ns - cases[i].since_us * 1000;
        ls->zeroing.usual_ns = cases[i].usual_us * 1000;
        ls->durable_wave_ns = 1;
        if (zeroing_is_wanted(w.p) != (cases[i].wanted && may_zero()))
            fail_msg("case %zu", i);
    }
    w.p->space.use = (struct space_use){0};
    uint64_t free_bytes = ls->free_bytes;
    ls->free_bytes = WRITES_WAIT_FREE_BYTES - 1;
    assert_false(zeroing_is_wanted(w.p));
    ls->free_bytes = free_bytes;
    assert_int_equal(zeroing_is_wanted(w.p), may_zero());
    w.root->traits.unwritten_costs = false;
    assert_false(zeroing_is_wanted(w.p));
    w.p->active->allocated = allocated;
}

static void cached_acks_need_none(void **state)
{
    (void)state;
    make_topic((struct topic_override[]){{"write.caching", "true"}}, 1);
    append_one_by_one(40, 1000);
    assert_int_equal(zeroed(), 0);
    assert_int_equal(settled(), 0);
}

static void large_waves_have_none(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        (void)append(6, 100000);
        all_are_acked();
    }
    rest();
    assert_int_equal(zeroed() + taken_along(), 0);
    log_is_as_expected(false);
}

/* --- what it does --- */

static void small_waves_go_into_settled_blocks(void **state)
{
    (void)state;
    append_one_by_one(5, 1000);
    rest();
    uint64_t before = settled(), durable = stat_value(store_of(w.shard)->log.counters.durable_waves);
    append_one_by_one(100, 1000);
    rest();
    log_is_as_expected(false);
    assert_int_equal(stat_value(store_of(w.shard)->log.counters.durable_waves) - durable, 100);
    if (!may_zero()) {
        assert_int_equal(zeroed(), 0);
        return;
    }
    assert_true(zeroed() > 0);
    assert_true(settled() - before > 80); /* without zeros each fourth wave begins a block */
    assert_true(w.p->active->settled > align_up(w.p->end.position, PAGE_BYTES));
    assert_true(w.p->active->settled <= w.p->active->allocated);
}

static void what_is_zeroed_is_at_most_what_is_used_and_a_step(void **state)
{
    (void)state;
    for (int i = 0; i < 60; i++) {
        append_one_by_one(1, 3000);
        rest();
        assert_true(zeroed() <= w.p->active->allocated);
        assert_true(w.p->active->allocated <= w.p->end.position + w.p->space.step * 2 + 16 * 1024);
    }
}

static void after_a_kill_and_after_a_stop_the_log_is_whole(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) {
        append_one_by_one(23, 700 + 400 * (uint32_t)i);
        if (i % 2)
            stop();
        else
            kill_broker();
        start();
        w.root->traits.unwritten_costs = true;
        find_partition("many");
        assert_int_equal(w.p->end.position, w.expected_bytes);
    }
    append_one_by_one(30, 1000);
    rest();
    assert_int_equal(zeroed() > 0, may_zero());
}

/* Each of them needs a step at the same time. */
static void no_time_to_zero_ahead(void)
{
    store_of(w.shard)->log.zeroing.usual_ns = UINT64_MAX;
}

/* Where there is no time beforehand, a small wave into new blocks writes those of the next few too; never more than was allocated. */
static void a_wave_into_new_blocks_takes_zeros_along(void **state)
{
    (void)state;
    uint64_t waves = 0, before = settled();
    for (; waves < 100; waves++) {
        no_time_to_zero_ahead();
        (void)append(1, 5000);
        all_are_acked();
        rest();
        const struct segment *s = w.p->active;
        uint64_t whole_end = align_up(w.p->end.position, PAGE_BYTES);
        assert_true(s->settled >= whole_end);
        assert_true(s->settled <= s->allocated);
    }
    log_is_as_expected(false);
    assert_int_equal(zeroed(), 0);
    assert_int_equal(taken_along() > 0, may_zero());
    if (may_zero())
        assert_true(settled() - before > waves * 3 / 4);
    kill_broker();
    start();
    find_partition("many");
    assert_int_equal(w.p->end.position, w.expected_bytes);
    assert_int_equal(w.p->active->settled, 0);
    log_is_as_expected(true);
}

static void a_wave_of_more_takes_none_along(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) {
        no_time_to_zero_ahead();
        (void)append(1, 33000);
        all_are_acked();
    }
    rest();
    assert_int_equal(taken_along(), 0);
    assert_int_equal(w.p->active->settled, align_up(w.p->end.position, PAGE_BYTES));
}

static void all_have_their_turn(void **state)
{
    (void)state;
    bool had[PARTITIONS] = {false};
    uint32_t left = PARTITIONS;
    for (int round = 0; left > 0 && round < (may_zero() ? 1000 : 20); round++) {
        store_of(w.shard)->log.zeroing.usual_ns = 0; /* there is time */
        for (int32_t i = 0; i < PARTITIONS; i++) {
            use_partition(i);
            (void)append(1, 1000);
        }
        for (uint32_t i = 0; i < w.sent_count; i++) {
            until(&w.sent[i].over);
            assert_int_equal(w.sent[i].append.error, KERR_NONE);
        }
        forget_sent();
        for (uint32_t i = 0; i < PARTITIONS; i++) {
            bool has = many[i]->active->settled > align_up(many[i]->end.position, PAGE_BYTES);
            left -= has && !had[i];
            had[i] |= has;
        }
    }
    for (int32_t i = 0; i < PARTITIONS; i++) {
        use_partition(i);
        rest();
        assert_int_equal(had[i], may_zero());
    }
    assert_true(list_empty(&store_of(w.shard)->log.zeroing.waiting));
    assert_int_equal(store_of(w.shard)->log.zeroing.running, 0);
}

static void an_append_that_needs_the_space_does_not_wait_for_all_of_it(void **state)
{
    (void)state;
    append_one_by_one(3, 1000);
    for (uint32_t i = 0; i < 40; i++) {
        w.p->space.step = ZEROED_STEP_MAX; /* the next one is large */
        (void)append(1, 1000);
        (void)append(9, 100000); /* and needed at once */
        all_are_acked();
        if (w.expected_bytes > (4 << 20))
            break;
    }
    log_is_as_expected(false);
    rest();
    assert_int_equal(w.p->condition, PARTITION_OPEN);
}

static void a_deletion_and_a_stop_may_come_in_between(void **state)
{
    (void)state;
    for (int32_t i = 0; i < PARTITIONS; i++) {
        use_partition(i);
        for (int k = 0; k < 6; k++)
            (void)append(1, 1000);
    }
    struct catalog_change c;
    delete_begin(&c);
    until(&change_is_over);
    for (uint32_t i = 0; i < w.sent_count; i++)
        until(&w.sent[i].over);
    assert_true(list_empty(&store_of(w.shard)->log.zeroing.waiting));
}

/* --- when it fails --- */

static void zeros_that_cannot_be_written_leave_what_was_allocated(void **state)
{
    (void)state;
    struct zeroing_turns *z = &store_of(w.shard)->log.zeroing;
    for (uint32_t i = 0; i < ZEROING_PIECES; i++)
        z->zeros[i].iov_base = (void *)16; /* the kernel cannot read it: EFAULT */
    append_one_by_one(60, 1000);
    rest();
    assert_int_equal(zeroed(), 0);
    assert_int_equal(w.p->condition, PARTITION_OPEN);
    assert_true(w.p->active->settled >= align_up(w.p->end.position, PAGE_BYTES));
    assert_true(w.p->active->settled <= w.p->active->allocated);
    assert_int_equal(z->running, 0);
    log_is_as_expected(false);
}

static void a_flush_of_zeros_that_fails_is_as_any_other(void **state)
{
    const struct mode *mode = *state;
    struct zeroing *z = &w.p->space.zeroing;
    if (!may_zero() || mode->io.engine != IO_ENGINE_IO_URING) /* the other one looks at the file when it works */
        return;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    append_one_by_one(1, 100);
    rest();
    w.p->space.step = ZEROED_STEP_MAX;
    store_of(w.shard)->log.durable_wave_ns = 1;
    space_ahead(w.p, 0);
    TURN_UNTIL(turn, z->state == ZEROING_WRITING && z->at + ZEROING_PIECES * PAGE_BYTES < z->to);
    z->to = z->at + ZEROING_PIECES * PAGE_BYTES; /* the last piece is under way */
    struct io_file was = w.p->active->file;
    io_file_init(&w.p->active->file, ends[0]); /* what cannot be flushed */
    TURN_UNTIL(turn, z->state == ZEROING_NONE);
    assert_int_equal(w.p->condition, PARTITION_OFFLINE);
    assert_true(w.p->active->settled <= z->from);
    w.p->active->file = was;
    assert_int_equal(store_of(w.shard)->log.zeroing.running, 0);
    close(ends[0]);
    close(ends[1]);
}

static void blocks_ahead_settle_when_the_log_reaches_them(void **state)
{
    (void)state;
    struct segment s = {0};
    enum { B = PAGE_BYTES };
    static const struct {
        uint64_t from, to, settled;
    } steps[] = {
        {0, B, B},
        {4 * B, 6 * B, B},
        {6 * B, 9 * B, B},
        {0, 2 * B, 2 * B},
        {0, 4 * B, 9 * B},
        /* it reached the zeros */ {0, 5 * B, 9 * B},
        {9 * B, 12 * B, 12 * B},
        {20 * B, 21 * B, 12 * B},
        {30 * B, 31 * B, 12 * B},
        {0, 20 * B, 20 * B} /* those were forgotten */,
        {0, 30 * B, 31 * B},
    };
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        segment_settle(&s, steps[i].from, steps[i].to);
        assert_int_equal(s.settled, steps[i].settled);
    }
    segment_unsettle(&s);
    assert_int_equal(s.settled + s.zeroed_from + s.zeroed_to, 0);
    segment_settle(&s, 8 * B, 9 * B);
    assert_int_equal(s.settled, 0);
}

static int zeroing_setup(void **state)
{
    if (setup(state))
        return -1;
    const struct topic *t = make_many(PARTITIONS);
    for (int32_t i = 0; i < PARTITIONS; i++)
        many[i] = nth_partition(t, i);
    use_partition(0);
    w.root->traits.unwritten_costs = true;
    return 0;
}

#define CASE(f)                                                                            \
    {                                                                                      \
        .name = #f, .test_func = f, .setup_func = zeroing_setup, .teardown_func = teardown \
    }
int main(void)
{
    struct CMUnitTest tests[] = {
        CASE(only_small_durable_waves_with_time_are_worth_it),
        CASE(cached_acks_need_none),
        CASE(large_waves_have_none),
        CASE(small_waves_go_into_settled_blocks),
        CASE(what_is_zeroed_is_at_most_what_is_used_and_a_step),
        CASE(after_a_kill_and_after_a_stop_the_log_is_whole),
        CASE(a_wave_into_new_blocks_takes_zeros_along),
        CASE(a_wave_of_more_takes_none_along),
        CASE(all_have_their_turn),
        CASE(an_append_that_needs_the_space_does_not_wait_for_all_of_it),
        CASE(a_deletion_and_a_stop_may_come_in_between),
        CASE(zeros_that_cannot_be_written_leave_what_was_allocated),
        CASE(a_flush_of_zeros_that_fails_is_as_any_other),
        CASE(blocks_ahead_settle_when_the_log_reaches_them),
    };
    return run_in_modes(tests, COUNT_OF(tests), 2);
}
