/* Blocks allocated beforehand: taken, given, taken again. */
#define fs_allocate real_fs_allocate
#include "core/fs_os.c"
#undef fs_allocate
#include "storage/log/ballast.h"
#include <setjmp.h>
#include <stdarg.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <cmocka.h>

#define DIR "build/tests/unit/ballast"

/* A job of the other class takes some while it is filled. */
static struct ballast *thief;
enum err fs_allocate(int fd, uint64_t off, uint64_t bytes) must_use;
enum err fs_allocate(int fd, uint64_t off, uint64_t bytes)
{
    enum err err = real_fs_allocate(fd, off, bytes);
    if (thief)
        assert_true(ballast_give(thief, PAGE_BYTES));
    return err;
}

static struct ballast_level level, next_level;

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
    assert_true(ballast_init(&b, DIR, 3, &level));
    assert_false(ballast_is_short(&level));
    assert_false(ballast_give(&b, 1)); /* there is none */
    assert_int_equal(ballast_fill(&b, 16 * PAGE_BYTES), ERR_NONE);
    assert_true(blocks_bytes() >= 16 * PAGE_BYTES);
    assert_false(ballast_is_short(&level));
    assert_true(ballast_give(&b, 5000));
    assert_true(ballast_is_short(&level));
    assert_int_equal(atomic_load(&level.bytes), 14 * PAGE_BYTES);
    assert_true(blocks_bytes() <= 15 * PAGE_BYTES);
    assert_true(ballast_give(&b, UINT64_MAX));
    assert_false(ballast_give(&b, 1));
    assert_int_equal(ballast_fill(&b, 16 * PAGE_BYTES), ERR_NONE);
    assert_false(ballast_is_short(&level));
    assert_true(blocks_bytes() >= 16 * PAGE_BYTES);
    struct ballast next; /* a later run takes what is there */
    assert_true(ballast_init(&next, DIR, 3, &next_level));
    assert_int_equal(ballast_fill(&next, 16 * PAGE_BYTES), ERR_NONE);
    assert_int_equal(atomic_load(&next_level.bytes), 16 * PAGE_BYTES);
}

static uint64_t size_of_file(void)
{
    struct stat st;
    return stat(DIR "/reserve-3", &st) ? 0 : (uint64_t)st.st_size;
}
static void what_goes_while_it_is_filled_is_not_counted(void **state)
{
    (void)state;
    struct ballast b;
    assert_int_equal(system("rm -rf " DIR " && mkdir -p " DIR), 0);
    assert_true(ballast_init(&b, DIR, 3, &level));
    assert_int_equal(ballast_fill(&b, 16 * PAGE_BYTES), ERR_NONE);
    assert_true(ballast_give(&b, PAGE_BYTES));
    thief = &b;
    assert_int_equal(ballast_fill(&b, 16 * PAGE_BYTES), ERR_NONE);
    thief = NULL;
    assert_int_equal(atomic_load(&level.bytes), size_of_file());
    assert_true(ballast_is_short(&level));
    assert_int_equal(ballast_fill(&b, 16 * PAGE_BYTES), ERR_NONE);
    assert_false(ballast_is_short(&level));
}

/* kill -9 while the disk is full: the next run has no room to fill it. */
static void what_an_earlier_run_left_is_there_to_be_given_on_a_full_disk(void **state)
{
    (void)state;
    struct ballast b, next;
    assert_int_equal(system("rm -rf " DIR " && mkdir -p " DIR), 0);
    assert_true(ballast_init(&b, DIR, 3, &level));
    assert_int_equal(ballast_fill(&b, 16 * PAGE_BYTES), ERR_NONE);
    assert_true(ballast_give(&b, 4 * PAGE_BYTES));
    (void)signal(SIGXFSZ, SIG_IGN);
    const struct rlimit full = {12 * PAGE_BYTES, RLIM_INFINITY}, free_again = {RLIM_INFINITY, RLIM_INFINITY};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
    assert_true(ballast_init(&next, DIR, 3, &next_level));
    enum err err = ballast_fill(&next, 16 * PAGE_BYTES);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &free_again), 0);
    assert_int_equal(err, ERR_NO_SPACE);
    assert_int_equal(atomic_load(&next_level.bytes), 12 * PAGE_BYTES);
    assert_true(ballast_is_short(&next_level));
    assert_true(ballast_give(&next, PAGE_BYTES));
    assert_int_equal(size_of_file(), 11 * PAGE_BYTES);
}

static void those_of_shards_that_are_no_more_go(void **state)
{
    (void)state;
    struct ballast b;
    assert_int_equal(system("rm -rf " DIR " && mkdir -p " DIR), 0);
    for (uint16_t i = 0; i < 4; i++) {
        assert_true(ballast_init(&b, DIR, i, &level));
        assert_int_equal(ballast_fill(&b, PAGE_BYTES), ERR_NONE);
    }
    ballast_remove_strays(DIR, 2);
    assert_int_equal(access(DIR "/reserve-0", F_OK) | access(DIR "/reserve-1", F_OK), 0);
    assert_int_not_equal(access(DIR "/reserve-2", F_OK), 0);
    assert_int_not_equal(access(DIR "/reserve-3", F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_given_is_free_and_filled_again),
        cmocka_unit_test(what_goes_while_it_is_filled_is_not_counted),
        cmocka_unit_test(what_an_earlier_run_left_is_there_to_be_given_on_a_full_disk),
        cmocka_unit_test(those_of_shards_that_are_no_more_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
