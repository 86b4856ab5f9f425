/* The ring between two threads. */
#include "core/ring.h"
#include "core/threads.h"
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static struct ring ring;

static void a_ring_holds_its_slots_and_no_more(void **state)
{
    (void)state;
    static int items[RING_SLOTS];
    ring_init(&ring);
    for (int round = 0; round < 3; round++) {
        assert_true(ring_empty(&ring));
        assert_null(ring_pop(&ring));
        for (int i = 0; i < RING_SLOTS; i++)
            assert_true(ring_push(&ring, &items[i]));
        ring_check(&ring);
        assert_false(ring_push(&ring, &items[0]));
        assert_false(ring_empty(&ring));
        for (int i = 0; i < RING_SLOTS; i++)
            assert_ptr_equal(ring_pop(&ring), &items[i]);
    }
}

static void the_indices_wrap(void **state)
{
    (void)state;
    int item;
    ring_init(&ring);
    ring.head = ring.tail = UINT32_MAX - 1;
    for (int i = 0; i < 5; i++) {
        assert_true(ring_push(&ring, &item));
        assert_true(ring_push(&ring, &ring));
        assert_ptr_equal(ring_pop(&ring), &item);
        assert_ptr_equal(ring_pop(&ring), &ring);
        assert_true(ring_empty(&ring));
    }
}

enum { ITEMS = 300000 };
static uint32_t numbers[ITEMS];

static void produce(void *arg)
{
    (void)arg;
    for (uint32_t i = 0; i < ITEMS; i++) {
        numbers[i] = i;
        while (!ring_push(&ring, &numbers[i]))
            sched_yield();
    }
}

static void what_one_thread_pushes_another_pops_in_order(void **state)
{
    (void)state;
    struct thread *t;
    ring_init(&ring);
    assert_int_equal(thread_start("producer", -1, produce, NULL, &t), ERR_NONE);
    for (uint32_t i = 0; i < ITEMS;) {
        uint32_t *n = ring_pop(&ring);
        if (n)
            assert_int_equal(*n, i++);
        else
            sched_yield();
    }
    assert_true(ring_empty(&ring));
    thread_join(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ring_holds_its_slots_and_no_more),
        cmocka_unit_test(the_indices_wrap),
        cmocka_unit_test(what_one_thread_pushes_another_pops_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
