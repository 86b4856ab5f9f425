/* Leader epochs: where they begin, what a client that asks for an end is told, and the file's text. */
#include "storage/log/epochs.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct heap *heap;
static struct epochs es;

static int setup(void **state)
{
    (void)state;
    heap = heap_open();
    epochs_init(&es, heap);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    epochs_deinit(&es);
    heap_close(heap);
    return 0;
}
static void add(int32_t epoch, int64_t offset)
{
    assert_int_equal(epochs_add(&es, epoch, offset), ERR_NONE);
}
/* Epoch 2 from 10, 4 from 20, 7 from 40. */
static void fill(void)
{
    add(2, 10);
    add(2, 15);
    add(4, 20);
    add(3, 30); /* known epochs do not start again */
    add(7, 40);
}

static void epochs_and_offsets_rise(void **state)
{
    (void)state;
    assert_int_equal(epochs_latest(&es), -1);
    fill();
    assert_int_equal(es.count, 3);
    assert_int_equal(epochs_latest(&es), 7);
    static const struct {
        int64_t offset;
        int32_t epoch;
    } cases[] = {{0, -1}, {9, -1}, {10, 2}, {19, 2}, {20, 4}, {39, 4}, {40, 7}, {1000, 7}};
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(epochs_of_offset(&es, cases[i].offset), cases[i].epoch);
    add(9, 40); /* epoch 7 had no batch after all */
    assert_int_equal(es.count, 3);
    assert_int_equal(epochs_of_offset(&es, 40), 9);
}

static void ends_are_kafkas(void **state)
{
    (void)state;
    fill();
    static const struct {
        int32_t epoch, current, want_epoch;
        int64_t want_end;
    } cases[] = {
        {-1, 7, -1, -1}, {0, 7, 0, 10},  {2, 7, 2, 20},  {3, 7, 2, 20},  {4, 7, 4, 40},  {6, 7, 4, 40},
        {7, 7, 7, 100},  {8, 7, -1, -1}, {7, 9, 7, 100}, {8, 9, 7, 100}, {9, 9, 9, 100}, {10, 9, -1, -1},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int32_t epoch;
        int64_t end;
        epochs_end_of(&es, cases[i].epoch, cases[i].current, 100, &epoch, &end);
        assert_int_equal(epoch, cases[i].want_epoch);
        assert_int_equal(end, cases[i].want_end);
    }
}

static void an_empty_log_knows_its_current_epoch(void **state)
{
    (void)state;
    int32_t epoch;
    int64_t end;
    epochs_end_of(&es, 5, 5, 0, &epoch, &end);
    assert_int_equal(epoch, 5);
    assert_int_equal(end, 0);
    epochs_end_of(&es, 4, 5, 0, &epoch, &end);
    assert_int_equal(epoch, 4);
    assert_int_equal(end, 0);
}

static void a_cut_forgets_what_began_behind_it(void **state)
{
    (void)state;
    fill();
    epochs_truncate(&es, 41);
    assert_int_equal(epochs_latest(&es), 7);
    epochs_truncate(&es, 40);
    assert_int_equal(epochs_latest(&es), 4);
    epochs_truncate(&es, 0);
    assert_int_equal(epochs_latest(&es), -1);
}

static void the_text_is_kafkas_and_comes_back(void **state)
{
    (void)state;
    fill();
    char text[100];
    size_t n = epochs_text(&es, text, sizeof text);
    assert_string_equal(text, "0\n3\n2 10\n4 20\n7 40\n");
    assert_int_equal(n, strlen(text));
    assert_int_equal(epochs_text(&es, text, 5), n); /* too small: still says how much it needs */
    epochs_text(&es, text, sizeof text);
    struct epochs other;
    epochs_init(&other, heap);
    assert_int_equal(epochs_parse(&other, text, n), ERR_NONE);
    assert_int_equal(other.count, 3);
    assert_int_equal(epochs_of_offset(&other, 20), 4);
    for (size_t cut = 0; cut < n; cut++)
        assert_int_equal(epochs_parse(&other, text, cut), ERR_CORRUPT);
    epochs_deinit(&other);
}

static void other_texts_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "0",
                                        "0\n",
                                        "1\n0\n",
                                        "0\n1\n",
                                        "0\n1\n1\n",
                                        "x\n0\n",
                                        "0\n-1\n",
                                        "0\n1\n1 2",
                                        "0\n1\n1 2 3\n",
                                        "0\n1\n1 2\n3 4\n",
                                        "0\n1\n1  2\n",
                                        "0\n1\n99999999999 2\n",
                                        "0\n1\n1 99999999999999999999\n"};
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        assert_int_equal(epochs_parse(&es, texts[i], strlen(texts[i])), ERR_CORRUPT);
    assert_int_equal(epochs_parse(&es, "0\n0\n", 4), ERR_NONE);
}

static void a_log_whose_start_moved_forgets_what_ended_before(void **state)
{
    (void)state;
    static const struct {
        int64_t start;
        uint32_t count;
        int32_t epoch;
        int64_t first;
    } cases[] = {{0, 3, 1, 0}, {9, 3, 1, 9}, {10, 2, 4, 10}, {11, 2, 4, 11}, {30, 1, 6, 30}, {99, 1, 6, 99}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        es.count = 0;
        epochs_truncate_start(&es, 5); /* none is fine */
        assert_int_equal(es.count, 0);
        assert_int_equal(epochs_add(&es, 1, 0) | epochs_add(&es, 4, 10) | epochs_add(&es, 6, 30), ERR_NONE);
        epochs_truncate_start(&es, cases[i].start);
        assert_int_equal(es.count, cases[i].count);
        assert_int_equal(es.v[0].epoch, cases[i].epoch);
        assert_int_equal(es.v[0].start_offset, cases[i].first);
        assert_int_equal(epochs_latest(&es), 6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(epochs_and_offsets_rise, setup, teardown),
        cmocka_unit_test_setup_teardown(ends_are_kafkas, setup, teardown),
        cmocka_unit_test_setup_teardown(an_empty_log_knows_its_current_epoch, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cut_forgets_what_began_behind_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_log_whose_start_moved_forgets_what_ended_before, setup, teardown),
        cmocka_unit_test_setup_teardown(the_text_is_kafkas_and_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(other_texts_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests_name("epochs", tests, NULL, NULL);
}
