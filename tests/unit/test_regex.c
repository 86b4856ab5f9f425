/* Regular expressions: what matches, what does not, what is refused; hostile ones take no longer than others. */
#include "net/regex.h"
#include "tests/unit/one_heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static int matches(const char *expression, const char *text)
{
    struct regex *r;
    const char *why;
    if (regex_open(heap, (const uint8_t *)expression, strlen(expression), &r, &why))
        return -1;
    int yes = regex_matches(r, (const uint8_t *)text, strlen(text));
    regex_close(r);
    return yes;
}

static const struct row {
    const char *expression, *text;
    int expected; /* 1: yes, 0: no, -1: refused */
} rows[] = {
    {"abc", "abc", 1},
    {"abc", "abcd", 0},
    {"abc", "xabc", 0},
    {"", "", 1},
    {"", "a", 0},
    {"a.c", "abc", 1},
    {"a.c", "a\nc", 0},
    {"(?s)a.c", "a\nc", 1},
    {".*", "anything", 1},
    {".*", "", 1},
    {"a*", "aaaa", 1},
    {"a*", "aaab", 0},
    {"a+", "", 0},
    {"a+", "aa", 1},
    {"a?b", "b", 1},
    {"a?b", "ab", 1},
    {"a?b", "aab", 0},
    {"a*?b", "aab", 1},
    {"(ab)*c", "ababc", 1},
    {"(ab)*c", "abac", 0},
    {"(a|b)+", "abba", 1},
    {"(a|b)+", "abca", 0},
    {"foo|bar|baz", "baz", 1},
    {"foo|bar|baz", "bar", 1},
    {"foo|bar|baz", "fo", 0},
    {"a(|b)c", "ac", 1},
    {"a(|b)c", "abc", 1},
    {"x(foo|ba(r|z))+y", "xbarfoobazy", 1},
    {"x(foo|ba(r|z))+y", "xbay", 0},
    {"(a|(b|c)d)*e", "abdcde", 1},
    {"a{3}", "aaa", 1},
    {"a{3}", "aa", 0},
    {"a{3}", "aaaa", 0},
    {"a{2,}", "aaaaa", 1},
    {"a{2,}", "a", 0},
    {"a{2,4}", "a", 0},
    {"a{2,4}", "aa", 1},
    {"a{2,4}", "aaaa", 1},
    {"a{2,4}", "aaaaa", 0},
    {"a{0,2}b", "b", 1},
    {"a{0,2}b", "aab", 1},
    {"a{0,2}b", "aaab", 0},
    {"a{0}b", "b", 1},
    {"a{0}b", "ab", 0},
    {"a{1}", "a", 1},
    {"(ab|c){2}", "cab", 1},
    {"a{,2}", "a{,2}", 1},
    {"a{x", "a{x", 1},
    {"[a-c]+", "abc", 1},
    {"[a-c]+", "abd", 0},
    {"[^a-c]+", "xyz", 1},
    {"[^a-c]+", "xa", 0},
    {"[]a]+", "]a", 1},
    {"[a-]+", "a-", 1},
    {"[\\d_]+", "12_3", 1},
    {"[\\D]+", "ab", 1},
    {"[\\D]+", "a1", 0},
    {"[a\\]]+", "a]", 1},
    {"\\d+", "0129", 1},
    {"\\d+", "12a", 0},
    {"\\w+", "a_Z9", 1},
    {"\\w+", "a-b", 0},
    {"\\s", " ", 1},
    {"\\S+", "ab", 1},
    {"\\W", "-", 1},
    {"a\\.b", "a.b", 1},
    {"a\\.b", "axb", 0},
    {"\\x41\\x{42}", "AB", 1},
    {"\\t", "\t", 1},
    {"\\Qa.b\\E+", "a.bb", 1},
    {"\\Qa.b", "a.b", 1},
    {"^abc$", "abc", 1},
    {"a^b", "ab", 0},
    {"\\Aabc\\z", "abc", 1},
    {"\\bfoo\\b", "foo", 1},
    {"foo\\Bbar", "foobar", 1},
    {"foo\\bbar", "foobar", 0},
    {"foo\\b bar", "foo bar", 1},
    {"(?i)AbC", "aBc", 1},
    {"a(?i:b)c", "aBc", 1},
    {"a(?i:b)c", "aBC", 0},
    {"(?i)[a-c]+", "ABC", 1},
    {"(a(?i)b)c", "aBC", 0},
    {"(?:ab)+", "abab", 1},
    {"(?P<name>ab)+", "abab", 1},
    {"(?<name>ab)+", "ab", 1},
    {"my-.*-\\d{1,3}", "my-app-17", 1},
    {"my-.*-\\d{1,3}", "my-app-1789", 0},
    {"[^a-c]{2}[a-c]{2}", "xyab", 1},
    {"[^a-c]{2}[a-c]{2}", "xayb", 0},
    {"(?s).{2}[a-c]{2}", "\n\nab", 1},
    {"(?s).{2}[a-c]{2}", "\n\naz", 0},
    {"[a-c]{2}(?s).{2}", "ab\nz", 1},
    {"([a-c]|(?i)[a-c]x)+", "aBxb", 1},
    {"([a-c]|(?i)[a-c]x)+", "aBb", 0},
    {"\xc3\xa4+", "\xc3\xa4\xc3\xa4", 1},
    {".", "\xc3\xa4", 1},
    {"[\xc3\xa4-\xc3\xbc]", "\xc3\xb6", 1},
    {".", "\xff", 1},
    {"..", "\xc3", 0},
    {"()*", "", 1},
    {"(a*)*b", "aab", 1},
    {"(", "", -1},
    {")", "", -1},
    {"a)", "", -1},
    {"[a", "", -1},
    {"*a", "", -1},
    {"a**", "", -1},
    {"a|*b", "", -1},
    {"\\", "", -1},
    {"\\1", "", -1},
    {"\\pL", "", -1},
    {"[b-a]", "", -1},
    {"[[:alpha:]]", "", -1},
    {"(?=a)", "", -1},
    {"(?x)a", "", -1},
    {"a{3,2}", "", -1},
    {"a{1001}", "", -1},
    {"(a{100}){100}", "", -1},
    {"\\xg", "", -1},
    {"[a-\\d]", "", -1},
};

static void what_matches(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int got = matches(rows[i].expression, rows[i].text);
        if (got != rows[i].expected)
            print_message("%s on %s: %d\n", rows[i].expression, rows[i].text, got);
        assert_int_equal(got, rows[i].expected);
    }
}

/* A backtracking matcher would not come back. */
static void hostile_ones_take_no_longer(void **state)
{
    (void)state;
    char text[2001];
    memset(text, 'a', 2000);
    text[2000] = 0;
    assert_int_equal(matches("(a*)*b", text), 0);
    assert_int_equal(matches("(a|a)*b", text), 0);
    assert_int_equal(matches("(a?){100}a{100}b", text), 0);
    assert_int_equal(matches("((((a*)*)*)*)*", text), 1);
    assert_int_equal(
        matches(
            "(((((((((((((((((((((((((((((((((((((((((((((((((((a)))))))))))))))))))))))))))))))))))))))))))))))))))",
            "a"),
        -1);
}

/* So that a step of a list ends after a few texts that are matched at length. */
static void what_it_takes_is_told(void **state)
{
    (void)state;
    struct regex *small, *large;
    const char *why;
    assert_int_equal(regex_open(heap, (const uint8_t *)"a", 1, &small, &why), ERR_NONE);
    assert_int_equal(regex_open(heap, (const uint8_t *)"(?:a?){490}", 11, &large, &why), ERR_NONE);
    assert_int_equal(regex_units(small, 0), 0);
    assert_in_range(regex_units(small, 1000), 1, 50);
    assert_in_range(regex_units(large, 36), 500, 1000);
    assert_in_range(regex_units(large, 3600), 100 * regex_units(large, 36), 101 * regex_units(large, 36));
    assert_int_equal(regex_units(large, SIZE_MAX / 2000), UINT32_MAX);
    regex_close(small);
    regex_close(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_matches),
        cmocka_unit_test(hostile_ones_take_no_longer),
        cmocka_unit_test(what_it_takes_is_told),
    };
    return cmocka_run_group_tests(tests, open_heap, close_heap);
}
