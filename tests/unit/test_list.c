/* The intrusive list. */
#include "core/list.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

struct item {
    struct list link;
    int n;
};

static void fill(struct list *head, struct item *items, int count)
{
    list_init(head);
    for (int i = 0; i < count; i++) {
        items[i].n = i;
        list_init(&items[i].link);
        list_push(head, &items[i].link);
    }
}

static int pop(struct list *head)
{
    struct list *node = list_pop(head);
    return node ? container_of(node, struct item, link)->n : -1;
}

static void what_is_pushed_comes_in_order(void **state)
{
    (void)state;
    struct list head;
    struct item items[3], first = {.n = 9};
    fill(&head, items, 3);
    list_init(&first.link);
    list_push_front(&head, &first.link);
    static const int expected[] = {9, 0, 1, 2, -1};
    for (size_t i = 0; i < COUNT_OF(expected); i++)
        assert_int_equal(pop(&head), expected[i]);
    assert_true(list_empty(&head));
}

static void removing_twice_is_harmless_and_membership_is_known(void **state)
{
    (void)state;
    struct list head;
    struct item items[3];
    fill(&head, items, 3);
    assert_true(list_linked(&items[1].link));
    list_remove(&items[1].link);
    list_remove(&items[1].link);
    assert_false(list_linked(&items[1].link));
    assert_int_equal(pop(&head), 0);
    assert_int_equal(pop(&head), 2);
    assert_null(list_first(&head));
}

static void splice_moves_everything_to_the_end(void **state)
{
    (void)state;
    struct list a, b;
    struct item in_a[2], in_b[2];
    fill(&a, in_a, 2);
    fill(&b, in_b, 2);
    in_b[0].n = 10;
    in_b[1].n = 11;
    list_splice(&a, &b);
    assert_true(list_empty(&b));
    list_splice(&a, &b);
    static const int expected[] = {0, 1, 10, 11, -1};
    for (size_t i = 0; i < COUNT_OF(expected); i++)
        assert_int_equal(pop(&a), expected[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_pushed_comes_in_order),
        cmocka_unit_test(removing_twice_is_harmless_and_membership_is_known),
        cmocka_unit_test(splice_moves_everything_to_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
