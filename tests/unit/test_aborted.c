/* Lists of aborted transactions: what a read must know, and Kafka's bytes. */
#include "storage/log/aborted.h"
#include "core/bytes.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct aborted_txn some[] = {
    {7, 10, 20, 5}, {8, 12, 25, 5}, {9, 22, 30, 5}, {7, 31, 40, 41}, {8, 50, 60, 61}};

static void fill(struct aborted_index *a, struct heap *heap)
{
    aborted_init(a, heap);
    for (size_t i = 0; i < COUNT_OF(some); i++) {
        assert_int_equal(aborted_reserve(a, 1), ERR_NONE);
        aborted_add(a, &some[i]);
    }
    aborted_check(a);
}

static void a_read_is_told_what_lies_in_it(void **state)
{
    (void)state;
    static const struct {
        int64_t from, to;
        const char *found; /* places in some */
        bool complete;
    } cases[] = {
        {0, 100, "01234", false}, {0, 10, "", true},   {0, 11, "0", true}, {0, 41, "0123", true}, {21, 22, "1", true},
        {20, 31, "012", true},    {26, 30, "2", true}, {41, 50, "", true}, {61, 100, "", false},
    };
    struct heap *heap = heap_open();
    struct aborted_index a;
    fill(&a, heap);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct aborted_index list;
        bool complete;
        aborted_init(&list, heap);
        assert_int_equal(aborted_collect(&a, cases[i].from, cases[i].to, &list, &complete), ERR_NONE);
        assert_int_equal(list.count, strlen(cases[i].found));
        for (uint32_t k = 0; k < list.count; k++)
            assert_memory_equal(&list.v[k], &some[cases[i].found[k] - '0'], sizeof some[0]);
        assert_int_equal(complete, cases[i].complete);
        aborted_deinit(&list);
    }
    aborted_deinit(&a);
    heap_close(heap);
}

static void the_file_is_kafkas(void **state)
{
    (void)state;
    static const uint8_t first[ABORTED_ENTRY_BYTES] = {[9] = 7, [17] = 10, [25] = 20, [33] = 5};
    struct heap *heap = heap_open();
    struct aborted_index a, b;
    uint8_t bytes[COUNT_OF(some) * ABORTED_ENTRY_BYTES];
    fill(&a, heap);
    aborted_init(&b, heap);
    assert_int_equal(aborted_file_bytes(&a), sizeof bytes);
    aborted_encode(&a, 0, a.count, bytes);
    assert_memory_equal(bytes, first, sizeof first);
    assert_int_equal(aborted_load(&b, bytes, sizeof bytes), ERR_NONE);
    assert_int_equal(b.count, COUNT_OF(some));
    assert_memory_equal(b.v, some, sizeof some);
    assert_int_equal(aborted_load(&b, bytes, sizeof bytes - 1), ERR_CORRUPT);
    assert_int_equal(b.count, 0);
    assert_int_equal(aborted_load(&b, bytes, 0), ERR_NONE);
    bytes[1] = 1; /* a version that nobody knows */
    assert_int_equal(aborted_load(&b, bytes, sizeof bytes), ERR_CORRUPT);
    bytes[1] = 0;
    memcpy(bytes, bytes + ABORTED_ENTRY_BYTES, ABORTED_ENTRY_BYTES); /* twice the same */
    assert_int_equal(aborted_load(&b, bytes, sizeof bytes), ERR_CORRUPT);
    assert_int_equal(b.count, 0);
    aborted_truncate(&a, 30);
    assert_int_equal(a.count, 2);
    aborted_deinit(&a);
    aborted_deinit(&b);
    heap_close(heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_is_told_what_lies_in_it),
        cmocka_unit_test(the_file_is_kafkas),
    };
    return cmocka_run_group_tests_name("aborted", tests, NULL, NULL);
}
