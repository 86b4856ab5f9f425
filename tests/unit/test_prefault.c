/* The thread that touches memory ahead: what is in memory is asked of the kernel. */
#include "core/limits.h"
#include "core/mem.h"
#include "core/prefault.h"
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

enum { PIECES = 3, PIECE_BYTES = SLAB_BYTES, PIECE_PAGES = PIECE_BYTES / PAGE_BYTES };

static uint8_t *region;
static void *pieces[PIECES];

static int open_region(void **state)
{
    (void)state;
    region = region_open((PIECES + 1) * (size_t)PIECE_BYTES);
    for (size_t i = 0; i < PIECES; i++)
        pieces[i] = region + i * PIECE_BYTES;
    return region ? 0 : -1;
}

static int close_region(void **state)
{
    (void)state;
    region_close(region, (PIECES + 1) * (size_t)PIECE_BYTES);
    return 0;
}

static uint32_t resident_pages(void *at)
{
    unsigned char there[PIECE_PAGES];
    uint32_t count = 0;
    assert_int_equal(mincore(at, PIECE_BYTES, there), 0);
    for (size_t i = 0; i < PIECE_PAGES; i++)
        count += there[i] & 1;
    return count;
}

static void nothing_is_touched_before_the_start(void **state)
{
    (void)state;
    struct prefault *p = prefault_open();
    assert_non_null(p);
    prefault_close(p);
    for (int i = 0; i < PIECES; i++)
        assert_int_equal(resident_pages(pieces[i]), 0);
}

static void every_page_is_there_when_a_piece_is_ready_and_none_beside_it(void **state)
{
    (void)state;
    struct prefault *p = prefault_open();
    assert_non_null(p);
    prefault_start(p, pieces, PIECES, PIECE_BYTES);
    for (uint32_t i = 0; i < PIECES; i++) {
        while (!prefault_ready(p, i))
            sched_yield();
        assert_int_equal(resident_pages(pieces[i]), PIECE_PAGES);
        memset(pieces[i], 7, PIECE_BYTES); /* it is the owner's again */
    }
    for (uint32_t i = 0; i < PIECES; i++)
        assert_false(prefault_revoke(p, i));
    assert_int_equal(resident_pages(region + PIECES * (size_t)PIECE_BYTES), 0);
    prefault_close(p);
    for (size_t i = 0; i < PIECES * (size_t)PIECE_BYTES; i++)
        assert_int_equal(region[i], 7);
}

/* Whatever it has come to: what was revoked has no page, all else every page or, where it was stopped, perhaps some. */
static void what_is_revoked_stays_untouched(void **state)
{
    (void)state;
    bool revoked[PIECES];
    struct prefault *p = prefault_open();
    assert_non_null(p);
    prefault_start(p, pieces, PIECES, PIECE_BYTES);
    for (uint32_t i = PIECES; i-- > 0;)
        revoked[i] = prefault_revoke(p, i);
    for (uint32_t i = 0; i < PIECES; i++) {
        while (!revoked[i] && !prefault_ready(p, i))
            sched_yield();
        assert_false(revoked[i] && prefault_ready(p, i));
        assert_int_equal(resident_pages(pieces[i]), revoked[i] ? 0 : PIECE_PAGES);
    }
    prefault_close(p);
    for (uint32_t i = 0; i < PIECES; i++)
        assert_int_equal(resident_pages(pieces[i]), revoked[i] ? 0 : PIECE_PAGES);
}

static void a_close_does_not_wait_for_all_of_it(void **state)
{
    (void)state;
    struct prefault *p = prefault_open();
    assert_non_null(p);
    prefault_start(p, pieces, PIECES, PIECE_BYTES);
    prefault_close(p); /* returns, and nobody touches the region that goes next */
}

static void without_pieces_the_thread_just_ends(void **state)
{
    (void)state;
    struct prefault *p = prefault_open();
    assert_non_null(p);
    prefault_start(p, pieces, 0, PIECE_BYTES);
    prefault_close(p);
    assert_int_equal(resident_pages(pieces[0]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_touched_before_the_start, open_region, close_region),
        cmocka_unit_test_setup_teardown(every_page_is_there_when_a_piece_is_ready_and_none_beside_it, open_region,
                                        close_region),
        cmocka_unit_test_setup_teardown(what_is_revoked_stays_untouched, open_region, close_region),
        cmocka_unit_test_setup_teardown(a_close_does_not_wait_for_all_of_it, open_region, close_region),
        cmocka_unit_test_setup_teardown(without_pieces_the_thread_just_ends, open_region, close_region),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
