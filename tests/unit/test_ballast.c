/* Blocks allocated beforehand: taken, given, taken again. */
#include "core/limits.h"
#include "storage/log/ballast.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <cmocka.h>

#define DIR "build/tests/unit/ballast"

static uint64_t blocks_bytes(void)
{
    struct stat st;
    return stat(DIR "/reserve-3", &st) ? 0 : (uint64_t)st.st_blocks * 512;
}

static void what_is_given_is_free_and_filled_again(void **state)
{
    (void)state;
    struct ballast b;
    assert_int_equal(system("rm -rf " DIR " && mkdir -p " DIR), 0);
    assert_true(ballast_init(&b, DIR, 3));
    assert_false(ballast_is_short(&b));
    assert_false(ballast_give(&b, 1)); /* there is none */
    assert_int_equal(ballast_fill(&b, 16 * PAGE_BYTES), ERR_NONE);
    assert_true(blocks_bytes() >= 16 * PAGE_BYTES);
    assert_false(ballast_is_short(&b));
    assert_true(ballast_give(&b, 5000));
    assert_true(ballast_is_short(&b));
    assert_int_equal(atomic_load(&b.bytes), 14 * PAGE_BYTES);
    assert_true(blocks_bytes() <= 15 * PAGE_BYTES);
    assert_true(ballast_give(&b, UINT64_MAX));
    assert_false(ballast_give(&b, 1));
    assert_int_equal(ballast_fill(&b, 16 * PAGE_BYTES), ERR_NONE);
    assert_false(ballast_is_short(&b));
    assert_true(blocks_bytes() >= 16 * PAGE_BYTES);
    struct ballast next; /* a later run takes what is there */
    assert_true(ballast_init(&next, DIR, 3));
    assert_int_equal(ballast_fill(&next, 16 * PAGE_BYTES), ERR_NONE);
    assert_int_equal(atomic_load(&next.bytes), 16 * PAGE_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_given_is_free_and_filled_again)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
