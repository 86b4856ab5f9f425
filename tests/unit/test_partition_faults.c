/* The data path on a shard whose allocations fail, each in turn: what is asked is answered, nothing goes offline
 * for want of memory, and with memory again all works. */
#include "tests/unit/faulty_heap.h"
#include "tests/unit/partition_world.h"

static const struct topic_override small_segments[] = {{"segment.bytes", "1048576"}};
static bool trim_is_over, lookup_is_over;
static void trimmed(struct log_trim *t)
{
    assert_true(t->error == KERR_NONE || t->error == KERR_KAFKA_STORAGE_ERROR);
    trim_is_over = true;
}
static void faulty_lookup_over(struct time_lookup *l)
{
    assert_true(l->error == KERR_NONE || l->error == KERR_KAFKA_STORAGE_ERROR);
    lookup_is_over = true;
}

/* Into the next segment, which the first append after it may roll to. */
static void use_partition(void)
{
    for (int i = 0; i < 6; i++)
        append(2, 60000);
    for (uint32_t i = 0; i < w.sent_count; i++) {
        until(&w.sent[i].over);
        assert_true(w.sent[i].append.error == KERR_NONE || w.sent[i].append.error == KERR_KAFKA_STORAGE_ERROR);
    }
    forget_sent();
    struct part_read r = {
        .offset = w.p->log_start_offset, .max_bytes = 1 << 20, .first_whole = true, .done = read_done};
    read_is_over = partition_read(w.p, &r);
    until(&read_is_over);
    assert_true(r.error == KERR_NONE || r.error == KERR_KAFKA_STORAGE_ERROR);
    slices_deinit(&r.slices);
    struct time_lookup l = {.timestamp = 1, .done = faulty_lookup_over};
    lookup_is_over = partition_lookup(w.p, &l);
    until(&lookup_is_over);
    struct log_trim t = {.before = w.p->log_start_offset + 1, .done = trimmed};
    trim_is_over = false;
    if (w.p->log_start_offset < w.p->promised.offset) {
        partition_trim(w.p, &t);
        until(&trim_is_over);
    }
}

/* Whatever failed: behind each closed segment there is what its producers were. */
static void closed_segments_are_saved(void)
{
    char path[FS_PATH_MAX];
    TURN_UNTIL(turn, w.p->space.closing == 0);
    for (uint32_t i = 1; i < w.p->segments.count; i++) {
        assert_true(segment_path(path, w.p->dir, segments_at(&w.p->segments, i)->base_offset, ".snapshot"));
        assert_int_equal(access(path, F_OK), 0);
    }
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    fault.poor = w.shard->heap;
    for (int n = 1; n < 80; n++) {
        fall_idle();
        fault_begin(n, false);
        use_partition();
        (void)fault_end();
        assert_int_equal(w.p->condition, PARTITION_OPEN);
        struct sent *a = append(1, 100);
        until(&a->over);
        assert_int_equal(a->append.error, KERR_NONE);
        forget_sent();
        closed_segments_are_saved();
    }
    fault.poor = NULL;
}

static void it_holds_for_a_first_append_too(void **state)
{
    (void)state;
    fault.poor = w.shard->heap;
    assert_null(w.p->active);
    bool taken = false;
    for (int n = 1; n < 40 && !taken; n++) {
        fault_begin(n, false);
        struct sent *a = append(1, 100);
        until(&a->over);
        taken = !a->append.error;
        (void)fault_end();
        forget_sent();
        assert_int_equal(w.p->condition, PARTITION_OPEN);
    }
    assert_true(taken);
    fault.poor = NULL;
}

static int poor_setup(void **state)
{
    int result = setup(state);
    if (!result)
        make_topic(small_segments, 1);
    return result;
}

#define CASE(f)                                                                         \
    {                                                                                   \
        .name = #f, .test_func = f, .setup_func = poor_setup, .teardown_func = teardown \
    }
int main(void)
{
    struct CMUnitTest tests[] = {
        CASE(each_allocation_may_fail),
        CASE(it_holds_for_a_first_append_too),
    };
    return run_in_modes(tests, COUNT_OF(tests), 2);
}
