/* The fuzzers' corpora and all that they ever found (tests/fuzz/README.md), once each, in the builds that have no libFuzzer. A line
 * of those files is an input in hex; what follows a # is a word about it. */
#include "tests/fuzz/fuzz.h"
#include <ctype.h>
#include <signal.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { LINE_MAX_BYTES = 64 * 1024 };

/* The input under way: a run that dies says which it was. */
static char place[160];
static void say_place(int signal_number)
{
    (void)signal_number;
    fprintf(stderr, "the input is %s\n", place);
}

static int digit(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In memory of its own, so that a sanitizer sees its end. */
static void run_line(const struct fuzzer *f, const char *line)
{
    static uint8_t bytes[LINE_MAX_BYTES / 2];
    size_t n = 0;
    while (digit(line[0]) >= 0 && digit(line[1]) >= 0) {
        bytes[n++] = (uint8_t)(digit(line[0]) * 16 + digit(line[1]));
        line += 2;
    }
    assert_true(line[0] == '\n' || line[0] == ' ' || line[0] == '#' || line[0] == 0);
    assert_true(n <= f->input_max);
    uint8_t *alone = malloc(n + (n == 0));
    memcpy(alone, bytes, n);
    f->run(alone, n);
    free(alone);
}

static uint32_t run_file(const struct fuzzer *f, const char *folder)
{
    static char line[LINE_MAX_BYTES];
    char path[128];
    uint32_t count = 0, number = 0;
    snprintf(path, sizeof path, "tests/fuzz/%s/%s.txt", folder, f->name);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) {
        number++;
        if (line[0] == '#')
            continue;
        snprintf(place, sizeof place, "%s:%u", path, number);
        run_line(f, line);
        count++;
    }
    if (file)
        fclose(file);
    return count;
}

static void run_inputs(const char *name)
{
    const struct fuzzer *f = fuzzer_find(name);
    assert_non_null(f);
    assert_true(run_file(f, "corpus") > 0);
    (void)run_file(f, "findings");
}

#define CASE(name)                                        \
    static void the_inputs_of_##name##_hold(void **state) \
    {                                                     \
        (void)state;                                      \
        run_inputs(#name);                                \
    }
CASE(wire)
CASE(batches)
CASE(state)
CASE(folder)
CASE(config)
CASE(sequence)

int main(void)
{
    signal(SIGABRT, say_place);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_inputs_of_wire_hold),   cmocka_unit_test(the_inputs_of_batches_hold),
        cmocka_unit_test(the_inputs_of_state_hold),  cmocka_unit_test(the_inputs_of_folder_hold),
        cmocka_unit_test(the_inputs_of_config_hold), cmocka_unit_test(the_inputs_of_sequence_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
