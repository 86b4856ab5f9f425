/* The lines that people read. The test is the door: it keeps what would be written. */
#include "core/log.h"
#include "core/clock.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static char last[8192];
static uint32_t lines;
static int64_t wall_ms = 1795244400123;

void log_write_line(const char *line, size_t bytes)
{
    assert_true(bytes < sizeof last);
    assert_int_equal(line[bytes - 1], '\n');
    memcpy(last, line, bytes - 1);
    last[bytes - 1] = 0;
    lines++;
}

int64_t clock_wall_ms(void)
{
    return wall_ms;
}

static void text_lines(void **state)
{
    (void)state;
    log_init((struct log_options){.level = LOG_INFO});
    log_info("started", "address=%s cores=%d", "localhost:9092", 2);
    assert_string_equal(last, "2026-11-21T07:00:00.123Z INFO  started: address=localhost:9092 cores=2");
    log_error("the disk failed", "%s", "");
    assert_string_equal(last, "2026-11-21T07:00:00.123Z ERROR the disk failed");
    uint32_t before = lines;
    log_debug("detail", "a=%d", 1);
    assert_int_equal(lines, before);
}

static void json_lines(void **state)
{
    (void)state;
    log_init((struct log_options){.level = LOG_DEBUG, .json = true});
    log_info("started", "address=%s engine=io_uring", "localhost:9092");
    assert_string_equal(last, "{\"time\":\"2026-11-21T07:00:00.123Z\",\"level\":\"INFO\",\"event\":\"started\","
                              "\"address\":\"localhost:9092\",\"engine\":\"io_uring\"}");
    log_debug("x", "why=\"%s\" and more words n=%d", "two words", 3);
    assert_string_equal(last, "{\"time\":\"2026-11-21T07:00:00.123Z\",\"level\":\"DEBUG\",\"event\":\"x\","
                              "\"why\":\"two words\",\"n\":\"3\",\"text\":\"and more words\"}");
    log_warn("q", "path=a\\b\"c");
    assert_string_equal(last, "{\"time\":\"2026-11-21T07:00:00.123Z\",\"level\":\"WARN\",\"event\":\"q\","
                              "\"path\":\"a\\\\b\\\"c\"}");
}

static void peers_cannot_forge_lines(void **state)
{
    (void)state;
    log_init((struct log_options){.level = LOG_INFO});
    log_info("client", "id=%s", "a\n2026 ERROR forged\x1b[31m");
    assert_null(strchr(last, '\n'));
    assert_null(strchr(last, '\x1b'));
}

static void long_facts_are_cut(void **state)
{
    (void)state;
    static char facts[5000];
    memset(facts, '"', sizeof facts - 1); /* each becomes two characters in JSON */
    for (int json = 0; json < 2; json++) {
        log_init((struct log_options){.level = LOG_INFO, .json = json});
        log_info("long", "%s", facts);
        assert_true(strlen(last) > 2000 && strlen(last) < 4096);
    }
}

static void dates_are_civil(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *date;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {951782400000, "2000-02-29T00:00:00.000Z"},
        {4107542399999, "2100-02-28T23:59:59.999Z"},
        {4107542400000, "2100-03-01T00:00:00.000Z"},
        {1735689599999, "2024-12-31T23:59:59.999Z"},
    };
    log_init((struct log_options){.level = LOG_INFO});
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        wall_ms = cases[i].ms;
        log_info("x", "%s", "");
        assert_memory_equal(last, cases[i].date, strlen(cases[i].date));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_lines),
        cmocka_unit_test(json_lines),
        cmocka_unit_test(peers_cannot_forge_lines),
        cmocka_unit_test(long_facts_are_cut),
        cmocka_unit_test(dates_are_civil),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
