/* The timer heap. */
#include "core/timer.h"
#include "core/rng.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

enum { TIMERS = 1000 };
static struct {
    struct timers ts;
    struct timer t[TIMERS];
    uint64_t deadline[TIMERS]; /* TIMER_NEVER: not started */
    uint64_t last;
    uint32_t fired;
} w;

static void fired(struct timer *t)
{
    size_t i = (size_t)(t - w.t);
    assert_true(w.deadline[i] != TIMER_NEVER);
    assert_true(t->deadline_ns == w.deadline[i]);
    assert_true(t->deadline_ns >= w.last);
    assert_false(timer_started(t));
    w.last = t->deadline_ns;
    w.deadline[i] = TIMER_NEVER;
    w.fired++;
}

static uint64_t earliest(void)
{
    uint64_t least = TIMER_NEVER;
    for (int i = 0; i < TIMERS; i++)
        least = w.deadline[i] < least ? w.deadline[i] : least;
    return least;
}

static void timers_fire_in_order_whatever_is_started_moved_and_stopped(void **state)
{
    (void)state;
    struct rng rng = {.state = 5};
    uint64_t now = 0;
    timers_init(&w.ts);
    assert_true(timers_next(&w.ts) == TIMER_NEVER);
    for (int i = 0; i < TIMERS; i++) {
        timer_init(&w.t[i], fired);
        w.deadline[i] = TIMER_NEVER;
    }
    for (int round = 0; round < 30000; round++) {
        size_t i = rng_below(&rng, TIMERS);
        if (rng_below(&rng, 4) == 0) {
            timer_stop(&w.ts, &w.t[i]);
            w.deadline[i] = TIMER_NEVER;
        } else {
            w.deadline[i] = now + rng_below(&rng, 1000);
            timer_start(&w.ts, &w.t[i], w.deadline[i]);
        }
        assert_int_equal(timer_started(&w.t[i]), w.deadline[i] != TIMER_NEVER);
        if (round % 64 == 0)
            timers_check(&w.ts);
        if (round % 16 == 0) {
            assert_true(timers_next(&w.ts) == earliest());
            now += 20;
            w.last = 0;
            timers_fire(&w.ts, now, UINT32_MAX);
            assert_true(timers_next(&w.ts) > now);
        }
    }
    assert_true(w.fired > 1000);
}

static struct timers again_timers;
static uint32_t again_count;

static void again(struct timer *t)
{
    again_count++;
    timer_start(&again_timers, t, t->deadline_ns);
}

static void a_timer_that_starts_itself_in_the_past_is_bounded(void **state)
{
    (void)state;
    struct timer t;
    timers_init(&again_timers);
    timer_init(&t, again);
    timer_start(&again_timers, &t, 5);
    timers_fire(&again_timers, 4, 10);
    assert_int_equal(again_count, 0);
    timers_fire(&again_timers, 5, 10);
    assert_int_equal(again_count, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_in_order_whatever_is_started_moved_and_stopped),
        cmocka_unit_test(a_timer_that_starts_itself_in_the_past_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
