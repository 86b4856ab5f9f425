/* Log lines that can be provoked have a bound, and what is left out is counted. */
#include "net/conn/notice.h"
#include "core/clock.h"
#include "core/log.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static uint32_t told_hidden;

void log_event(enum log_level level, const char *event, const char *fmt, ...)
{
    (void)level, (void)fmt;
    told_hidden += strcmp(event, "log lines left out") == 0;
}

static uint32_t provoke(struct notices *n, uint32_t times, uint64_t now_ns)
{
    uint32_t logged = 0;
    for (uint32_t i = 0; i < times; i++)
        logged += notice_may_log(n, now_ns);
    return logged;
}

static void a_burst_is_free_and_then_a_line_a_second(void **state)
{
    (void)state;
    struct notices n = {0};
    uint64_t now = 100 * NS_PER_S;
    told_hidden = 0;
    assert_int_equal(provoke(&n, NOTICES_BURST + 50, now), NOTICES_BURST);
    assert_int_equal(n.hidden, 50);
    assert_int_equal(provoke(&n, 5, now + NS_PER_S - 1), 0);
    assert_int_equal(provoke(&n, 5, now + NS_PER_S), NOTICES_PER_S);
    assert_int_equal(told_hidden, 1);
    assert_int_equal(n.hidden, 4);
    assert_int_equal(provoke(&n, 1000, now + 11 * NS_PER_S), 10 * NOTICES_PER_S);
    assert_int_equal(told_hidden, 1); /* once a minute */
    assert_int_equal(provoke(&n, 1000, now + 3600 * NS_PER_S), NOTICES_BURST);
    assert_int_equal(told_hidden, 2);
}

static void one_kind_comes_once_a_minute_with_its_count(void **state)
{
    (void)state;
    struct notice n = {0};
    uint64_t times = 0;
    assert_true(notice_once_a_minute(&n, 5, &times));
    assert_int_equal(times, 1);
    for (uint64_t s = 1; s < 60; s++)
        assert_false(notice_once_a_minute(&n, 5 + s * NS_PER_S, &times));
    assert_true(notice_once_a_minute(&n, 5 + 60 * NS_PER_S, &times));
    assert_int_equal(times, 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_is_free_and_then_a_line_a_second),
        cmocka_unit_test(one_kind_comes_once_a_minute_with_its_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
