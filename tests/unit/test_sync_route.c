/* Which way durable writes go, with times made up (core/io_sync_route.h). */
#include "core/io_sync_route.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

/* What a write takes each way, alone. */
struct machine {
    struct sync_route route;
    uint64_t now_ns, takes_ns[SYNC_WAYS];
    uint32_t writes[SYNC_WAYS], changes;
};

static void end_write(struct machine *m, const void *op, enum sync_way way)
{
    enum sync_way before = m->route.used;
    sync_route_end(&m->route, op, way, m->now_ns);
    m->changes += m->route.used != before;
}

static void write_one(struct machine *m)
{
    static const char op;
    enum sync_way way = sync_route_begin(&m->route, &op, m->now_ns);
    m->now_ns += m->takes_ns[way];
    end_write(m, &op, way);
    m->writes[way]++;
    sync_route_check(&m->route);
}

static void write_many(struct machine *m, uint32_t n)
{
    m->writes[SYNC_RING] = m->writes[SYNC_THREAD] = m->changes = 0;
    for (uint32_t i = 0; i < n; i++)
        write_one(m);
}

static struct machine machine_of(uint64_t ring_ns, uint64_t thread_ns)
{
    struct machine m = {.takes_ns = {[SYNC_RING] = ring_ns, [SYNC_THREAD] = thread_ns}};
    sync_route_init(&m.route);
    return m;
}

static void the_quicker_way_is_taken(void **state)
{
    (void)state;
    struct machine m = machine_of(4000000, 110000);
    write_many(&m, 10000);
    assert_true(m.writes[SYNC_RING] <= 20); /* trials become rare: not one in a hundred writes waits for one */
    m = machine_of(100000, 300000);
    write_many(&m, 10000);
    assert_true(m.writes[SYNC_THREAD] <= 20);
}

static void a_machine_that_becomes_busy_is_noticed_at_once(void **state)
{
    (void)state;
    struct machine m = machine_of(116000, 112000);
    write_many(&m, 5000);
    m.route.used = SYNC_RING;
    m.takes_ns[SYNC_RING] = 4000000;
    write_many(&m, 1000);
    assert_true(m.writes[SYNC_RING] <= 16);
    assert_int_equal(m.route.used, SYNC_THREAD);
}

static void and_one_that_becomes_quiet_in_time(void **state)
{
    (void)state;
    struct machine m = machine_of(4000000, 500000);
    write_many(&m, 20000);
    assert_int_equal(m.route.used, SYNC_THREAD);
    m.takes_ns[SYNC_RING] = 50000;
    write_many(&m, 16 * SYNC_PROBE_MAX);
    assert_int_equal(m.route.used, SYNC_RING);
}

static void it_is_known_after_its_first_trial(void **state)
{
    (void)state;
    struct machine m = machine_of(100000, 95000);
    write_many(&m, SYNC_PROBE_FIRST - 1);
    assert_false(sync_route_is_known(&m.route));
    write_many(&m, 1);
    assert_int_equal(m.writes[SYNC_THREAD], 1);
    assert_true(sync_route_is_known(&m.route));
    assert_int_equal(m.route.used, SYNC_RING);
}

static void alike_ways_are_not_changed_for_nothing(void **state)
{
    (void)state;
    struct machine m = machine_of(100000, 95000);
    write_many(&m, 10000);
    assert_int_equal(m.changes, 0);
}

static void somewhat_quicker_is_not_worth_the_threads_cpu(void **state)
{
    (void)state;
    struct machine m = machine_of(250000, 100000);
    write_many(&m, 10000);
    assert_int_equal(m.changes, 0);
    assert_true(m.writes[SYNC_THREAD] <= 1 + 10000 / SYNC_PROBE_MIN);
}

static void it_is_kept_longer_than_it_is_taken(void **state)
{
    (void)state;
    struct machine m = machine_of(4000000, 100000);
    write_many(&m, 1000);
    m.takes_ns[SYNC_RING] = 250000;
    write_many(&m, 16 * SYNC_PROBE_MAX);
    assert_int_equal(m.route.used, SYNC_THREAD);
    m.takes_ns[SYNC_RING] = 190000;
    write_many(&m, 16 * SYNC_PROBE_MAX);
    assert_int_equal(m.route.used, SYNC_RING);
}

/* A file's first write is slow, and now and then three in a row meet a disk that does something else. */
static void hiccups_of_the_disk_change_nothing(void **state)
{
    (void)state;
    struct machine m = machine_of(400000, 350000);
    uint32_t changes = 0;
    for (uint32_t i = 0; i < 10000; i++) {
        m.takes_ns[SYNC_RING] = i == 0 || i % 60 >= 57 ? 20000000 : 400000;
        write_many(&m, 1);
        changes += m.changes;
    }
    assert_int_equal(changes, 0);
}

static void nothing_waits_behind_a_write_of_the_thread(void **state)
{
    (void)state;
    struct machine m = machine_of(400000, 100000);
    write_many(&m, 2000);
    assert_int_equal(m.route.used, SYNC_THREAD);
    char ops[64];
    uint32_t out[SYNC_WAYS] = {0};
    for (uint32_t i = 0; i < COUNT_OF(ops); i++)
        out[sync_route_begin(&m.route, &ops[i], m.now_ns)]++;
    assert_int_equal(out[SYNC_THREAD], 1); /* however quick it was: a disk may stand still now */
    assert_int_equal(out[SYNC_RING], COUNT_OF(ops) - 1);
    sync_route_check(&m.route);
}

static void in_a_crowd_nobody_is_hurried(void **state)
{
    (void)state;
    struct machine m = machine_of(400000, 100000);
    write_many(&m, 2000);
    assert_int_equal(m.route.used, SYNC_THREAD);
    char first, ops[2 * SYNC_CROWD];
    assert_int_equal(sync_route_begin(&m.route, &first, m.now_ns), SYNC_THREAD);
    for (uint32_t i = 0; i < SYNC_CROWD; i++)
        assert_int_equal(sync_route_begin(&m.route, &ops[i], m.now_ns), SYNC_RING);
    end_write(&m, &first, SYNC_THREAD);
    for (uint32_t i = SYNC_CROWD; i < COUNT_OF(ops); i++) /* the thread is free, and not asked */
        assert_int_equal(sync_route_begin(&m.route, &ops[i], m.now_ns), SYNC_RING);
    for (uint32_t i = 0; i < COUNT_OF(ops) - SYNC_CROWD + 1; i++)
        end_write(&m, &ops[i], SYNC_RING);
    assert_int_equal(sync_route_begin(&m.route, &first, m.now_ns), SYNC_THREAD); /* the crowd is gone */
    sync_route_check(&m.route);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_quicker_way_is_taken),
        cmocka_unit_test(a_machine_that_becomes_busy_is_noticed_at_once),
        cmocka_unit_test(and_one_that_becomes_quiet_in_time),
        cmocka_unit_test(it_is_known_after_its_first_trial),
        cmocka_unit_test(alike_ways_are_not_changed_for_nothing),
        cmocka_unit_test(somewhat_quicker_is_not_worth_the_threads_cpu),
        cmocka_unit_test(it_is_kept_longer_than_it_is_taken),
        cmocka_unit_test(hiccups_of_the_disk_change_nothing),
        cmocka_unit_test(nothing_waits_behind_a_write_of_the_thread),
        cmocka_unit_test(in_a_crowd_nobody_is_hurried),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
