/* What expires by wall time waits while the wall clock cannot be believed. */
#include "core/clock.h"
#include "storage/expiry_clock.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define DIR "build/tests/unit/expiry_clock"
#define HOUR_MS 3600000ll
#define DAY_MS (24 * HOUR_MS)
static const int64_t began_ms = 1790000000000;

/* One look after the other at one clock: when, by how much the wall clock is ahead then, and is there an answer? */
static const struct look {
    const char *what;
    struct {
        int64_t at_ms, ahead_ms;
        bool answers;
    } v[6];
} looks[] = {
    {"a clock that runs well", {{0, 0, true}, {HOUR_MS, 100, true}, {30 * DAY_MS, -100, true}}},
    {"half an hour is no jump, an hour is one",
     {{1, HOUR_MS / 2, true}, {2, HOUR_MS / 2, true}, {3, HOUR_MS / 2 + 1, false}, {4, 0, true}, {5, HOUR_MS, false}}},
    {"a jump holds for a day, then the time is believed",
     {{1, DAY_MS, false}, {DAY_MS, DAY_MS, false}, {DAY_MS + 2, DAY_MS, true}, {2 * DAY_MS, DAY_MS, true}}},
    {"a jump that is taken back", {{1, DAY_MS, false}, {5, 0, true}, {6, 0, true}, {7, DAY_MS, false}}},
    {"a second jump begins another day",
     {{1, DAY_MS, false},
      {HOUR_MS, 2 * DAY_MS, false},
      {DAY_MS + 2, 2 * DAY_MS, false},
      {2 * DAY_MS, 2 * DAY_MS, true}}},
    {"a clock that goes back is believed, and forward from there is a jump",
     {{1, -2 * HOUR_MS, true}, {2, -2 * HOUR_MS, true}, {3, 0, false}, {4, -2 * HOUR_MS, true}}},
};

static void expiry_waits_while_the_wall_clock_is_ahead(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(looks); i++) {
        struct expiry_clock c;
        expiry_clock_init(&c, 5, began_ms, true);
        for (size_t k = 0; k < COUNT_OF(looks[i].v) && looks[i].v[k].at_ms + (int64_t)!k > 0; k++) {
            int64_t at = looks[i].v[k].at_ms, wall = began_ms + at + looks[i].v[k].ahead_ms, got = -1;
            bool answers = expiry_clock_ask(&c, 5 + (uint64_t)at * NS_PER_MS, wall, &got);
            if (answers != looks[i].v[k].answers)
                fail_msg("%s: look %zu", looks[i].what, k);
            assert_int_equal(got, answers ? wall : -1);
        }
    }
}

static void the_last_time_seen_outlives_the_process(void **state)
{
    (void)state;
    assert_int_equal(system("rm -rf " DIR " && mkdir -p " DIR), 0);
    assert_int_equal(expiry_clock_load(DIR), -1);
    assert_int_equal(expiry_clock_save(DIR, began_ms), ERR_NONE);
    assert_int_equal(expiry_clock_load(DIR), began_ms);
    assert_int_equal(expiry_clock_save(DIR, began_ms + 1), ERR_NONE);
    assert_int_equal(expiry_clock_load(DIR), began_ms + 1);
    assert_int_equal(system("printf x | dd of=" DIR "/last-seen bs=1 seek=3 conv=notrunc status=none"), 0);
    assert_int_equal(expiry_clock_load(DIR), -1); /* damaged: as if there were none */
    assert_int_equal(system("rm -rf " DIR), 0);
    assert_int_not_equal(expiry_clock_save(DIR, 1), ERR_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expiry_waits_while_the_wall_clock_is_ahead),
        cmocka_unit_test(the_last_time_seen_outlives_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
