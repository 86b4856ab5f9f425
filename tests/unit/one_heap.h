/* One heap for all tests of a program: cmocka_run_group_tests(tests, open_heap, close_heap). */
#pragma once
#include "core/mem.h"

static struct heap *heap;

static inline int open_heap(void **state)
{
    (void)state;
    heap = heap_open();
    return heap ? 0 : -1;
}
static inline int close_heap(void **state)
{
    (void)state;
    heap_close(heap);
    return 0;
}
