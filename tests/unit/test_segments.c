/* The list of a partition's segments: order, numbers, and who holds an offset. */
#include "storage/log/segments.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

enum { MANY = 1000 };
static struct segment made[MANY];

/* Segment n holds [10 n, 10 n + 8): two offsets are missing behind each. */
static void fill(struct segments *ss, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        made[i] = (struct segment){.base_offset = 10 * (int64_t)i + 5, .next_offset = 10 * (int64_t)i + 13};
        assert_int_equal(segments_reserve(ss, 1), ERR_NONE);
        segments_push(ss, &made[i]);
    }
    segments_check(ss);
}

static void each_offset_has_its_segment(void **state)
{
    (void)state;
    struct heap *h = heap_open();
    struct segments ss;
    for (uint32_t count = 1; count <= MANY; count = count * 3 + 1) {
        segments_init(&ss, h);
        fill(&ss, count);
        assert_int_equal(segments_rank(&ss, INT64_MIN), 0);
        assert_int_equal(segments_rank(&ss, 0), 0);
        for (uint32_t i = 0; i < count; i++) {
            assert_ptr_equal(segments_of_offset(&ss, made[i].base_offset), &made[i]);
            assert_ptr_equal(segments_of_offset(&ss, made[i].next_offset - 1), &made[i]);
            uint32_t behind = i + 1 < count ? i + 1 : i; /* in the gap: the next one, or the last that there is */
            assert_ptr_equal(segments_of_offset(&ss, made[i].next_offset), &made[behind]);
        }
        assert_int_equal(segments_rank(&ss, INT64_MAX), count - 1);
        segments_drop(&ss, count);
        segments_deinit(&ss);
    }
    heap_close(h);
}

static void the_oldest_go_and_numbers_never_come_back(void **state)
{
    (void)state;
    struct heap *h = heap_open();
    struct segments ss;
    segments_init(&ss, h);
    fill(&ss, 10);
    segments_drop(&ss, 4);
    segments_check(&ss);
    assert_ptr_equal(segments_at(&ss, 0), &made[4]);
    assert_ptr_equal(segments_of_offset(&ss, 0), &made[4]);
    uint64_t last = segments_at(&ss, ss.count - 1)->number;
    segments_drop(&ss, 6);
    fill(&ss, 1); /* the same base offset again, and another segment */
    assert_true(segments_at(&ss, 0)->number > last);
    segments_drop(&ss, 1);
    segments_deinit(&ss);
    heap_close(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_offset_has_its_segment),
        cmocka_unit_test(the_oldest_go_and_numbers_never_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
