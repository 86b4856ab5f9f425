/* Properties files, and what was probably meant. */
#include "core/config.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

struct seen {
    char text[512];
    int max;
};

static bool note(void *arg, const char *key, const char *value, uint32_t line)
{
    struct seen *s = arg;
    size_t used = strlen(s->text);
    snprintf(s->text + used, sizeof s->text - used, "%u[%s][%s]", (unsigned)line, key, value);
    return --s->max > 0;
}

static void files_parse_as_java_reads_them(void **state)
{
    (void)state;
    static const struct {
        const char *text, *seen;
    } cases[] = {
        {"", ""},
        {"\n\r\n  \t\n", ""},
        {"# a=b\n!c=d\n  # e", ""},
        {"a=b", "1[a][b]"},
        {"a = b \n", "1[a][b ]"},
        {"a:b\r\nc d\re\tf", "1[a][b]2[c][d]3[e][f]"},
        {"a", "1[a][]"},
        {"a\nb=\nc =", "1[a][]2[b][]3[c][]"},
        {"a==b\nc:=d\ne = =f", "1[a][=b]2[c][=d]3[e][=f]"},
        {"a=b\\\n   c\nd=e", "1[a][bc]3[d][e]"},
        {"lis\\\n  ten = x,\\\r\n y\nz=1", "1[listen][x,y]4[z][1]"},
        {"a\\=b=c\na\\ b:d", "1[a=b][c]2[a b][d]"},
        {"a=x\\ty\\\\z\\q", "1[a][x\ty\\zq]"},
        {"a=\\u00e9\\u20AC\\u0041", "1[a][\xc3\xa9\xe2\x82\xac\x41]"},
        {"a=b # no comment", "1[a][b # no comment]"},
        {"a=b\\", "1[a][b]"},
        {"=b", "1[][b]"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[256];
        struct seen s = {.max = 100};
        uint32_t line;
        size_t bytes = strlen(cases[i].text);
        memcpy(text, cases[i].text, bytes);
        text[bytes] = 'X';
        assert_int_equal(config_parse(text, bytes, note, &s, &line), ERR_NONE);
        assert_string_equal(s.text, cases[i].seen);
    }
}

static void bad_bytes_are_refused_with_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t bytes;
        uint32_t line;
    } cases[] = {
        {"a=b\nc=\\u12g4", 13, 2}, {"a=\\u12", 6, 1}, {"\n\nk=a\0b", 7, 3}, {"a\0=b", 4, 1}, {"a=\\u0000", 8, 1},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[64];
        struct seen s = {.max = 100};
        uint32_t line = 0;
        memcpy(text, cases[i].text, cases[i].bytes);
        assert_int_equal(config_parse(text, cases[i].bytes, note, &s, &line), ERR_INVALID);
        assert_int_equal(line, cases[i].line);
    }
}

static void the_callback_may_stop(void **state)
{
    (void)state;
    char text[] = "a=1\nb=2\nc=3";
    struct seen s = {.max = 2};
    uint32_t line;
    assert_int_equal(config_parse(text, strlen(text), note, &s, &line), ERR_NONE);
    assert_string_equal(s.text, "1[a][1]2[b][2]");
}

static void the_nearest_name_is_found_and_the_far_are_not(void **state)
{
    (void)state;
    static const char *const names[] = {"log.dirs", "listeners", "log.retention.ms", "log.retention.bytes"};
    static const struct {
        const char *typed, *meant;
    } cases[] = {
        {"log.dirs", "log.dirs"},
        {"log.dir", "log.dirs"},
        {"listener", "listeners"},
        {"lsiteners", "listeners"},
        {"log.retention.m", "log.retention.ms"},
        {"log.retentoin.byte", "log.retention.bytes"},
        {"zookeeper.connect", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *found = config_nearest(cases[i].typed, names, COUNT_OF(names));
        if (cases[i].meant)
            assert_string_equal(found, cases[i].meant);
        else
            assert_null(found);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_parse_as_java_reads_them),
        cmocka_unit_test(bad_bytes_are_refused_with_their_line),
        cmocka_unit_test(the_callback_may_stop),
        cmocka_unit_test(the_nearest_name_is_found_and_the_far_are_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
