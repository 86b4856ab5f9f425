/* The tail: bytes copied in come back across buf borders, positions stay aligned, eviction never takes what is promised. */
#include "storage/log/tail.h"
#include "core/crc.h"
#include "core/io.h"
#include "core/limits.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* The pool is opened without a ring, so nothing may be registered. */
void io_slab_register(struct io *io, uint32_t slab, void *at, size_t bytes)
{
    (void)slab, (void)at, (void)bytes;
    assert_null(io);
}
void io_job(struct io *io, struct io_op *op, enum io_class class, int32_t (*run)(void *arg), void *arg,
            io_done_fn *done)
{
    (void)op, (void)class, (void)run, (void)arg, (void)done;
    assert_null(io);
}
void io_slab_unregister(struct io *io, uint32_t slab)
{
    (void)slab;
    assert_null(io);
}

struct world {
    struct heap *heap;
    struct bufpool *pool;
    struct tail tail;
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    w->heap = heap_open();
    w->pool = bufpool_open(w->heap, NULL, 8u << 20);
    tail_init(&w->tail, w->heap);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    tail_deinit(&w->tail);
    assert_int_equal(bufpool_used_bytes(w->pool, BUF_TAILS), 0);
    bufpool_close(w->pool);
    heap_close(w->heap);
    free(w);
    return 0;
}

static void fill(uint8_t *at, size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; i++)
        at[i] = (uint8_t)(seed * 31 + i * 7 + i / 251);
}

static void what_is_copied_in_is_peeked_across_borders(void **state)
{
    struct world *w = *state;
    static uint8_t in[100000], out[100000];
    fill(in, sizeof in, 1);
    uint64_t at = 12345; /* mid-block, as after a restart */
    assert_int_equal(tail_reserve(&w->tail, w->pool, 7, at, sizeof in, 16 * 1024), ERR_NONE);
    uint32_t crc = tail_copy_in(&w->tail, 7, at, in, sizeof in, 21);
    assert_int_equal(crc, crc32c(0, in + 21, sizeof in - 21));
    assert_true(tail_peek(&w->tail, 7, at, out, sizeof out));
    assert_memory_equal(in, out, sizeof in);
    assert_int_equal(tail_crc(&w->tail, 7, at + 21, sizeof in - 21), crc);
    assert_true(w->tail.count > 4);
}

static void every_part_starts_on_a_page(void **state)
{
    struct world *w = *state;
    uint64_t at = 5000;
    for (int i = 0; i < 50; i++, at += 3333)
        assert_int_equal(tail_reserve(&w->tail, w->pool, 0, at, 3333, 16 * 1024), ERR_NONE);
    for (uint64_t p = 5000; p < at;) {
        uint32_t left;
        const struct tail_part *part = tail_find(&w->tail, 0, p, &left);
        assert_non_null(part);
        assert_int_equal(part->from % PAGE_BYTES, 0);
        assert_int_equal((uintptr_t)part->buf->at % PAGE_BYTES, 0);
        p += left;
    }
}

static void eviction_stops_at_the_position_given(void **state)
{
    struct world *w = *state;
    assert_int_equal(tail_reserve(&w->tail, w->pool, 0, 0, 64 * 1024, 16 * 1024), ERR_NONE);
    assert_false(tail_evict(&w->tail, 0, 16 * 1024 - 1));
    assert_true(tail_evict(&w->tail, 0, 16 * 1024));
    assert_false(tail_evict(&w->tail, 0, 16 * 1024));
    uint32_t left;
    assert_null(tail_find(&w->tail, 0, 100, &left));
    assert_non_null(tail_find(&w->tail, 0, 16 * 1024, &left));
    assert_true(tail_evict(&w->tail, 900, 0)); /* an older segment goes whatever the position */
}

static void segments_do_not_mix(void **state)
{
    struct world *w = *state;
    uint32_t left;
    assert_int_equal(tail_reserve(&w->tail, w->pool, 0, 0, 20000, 16 * 1024), ERR_NONE);
    assert_int_equal(tail_reserve(&w->tail, w->pool, 40, 0, 100, 16 * 1024), ERR_NONE);
    tail_poke(&w->tail, 0, 50, "old", 3);
    tail_poke(&w->tail, 40, 50, "new", 3);
    char out[3];
    assert_true(tail_peek(&w->tail, 0, 50, out, 3));
    assert_memory_equal(out, "old", 3);
    assert_true(tail_peek(&w->tail, 40, 50, out, 3));
    assert_memory_equal(out, "new", 3);
    assert_null(tail_find(&w->tail, 39, 50, &left));
    assert_null(tail_find(&w->tail, 40, 16 * 1024, &left));
}

static void a_used_up_pool_is_said_and_eviction_helps(void **state)
{
    struct world *w = *state;
    uint64_t at = 0;
    enum err err;
    while (!(err = tail_reserve(&w->tail, w->pool, 0, at, 256 * 1024, 256 * 1024)))
        at += 256 * 1024;
    assert_int_equal(err, ERR_NO_MEMORY);
    assert_true(tail_bytes(&w->tail) <= bufpool_max_bytes(w->pool));
    assert_true(tail_evict(&w->tail, 0, at));
    assert_int_equal(tail_reserve(&w->tail, w->pool, 0, at, 256 * 1024, 256 * 1024), ERR_NONE);
}

/* Every slab has bufs of another size, one of which is free: seed 63 of the simulator waited for a slab of its own. */
static void a_small_one_takes_what_larger_ones_leave(void **state)
{
    struct world *w = *state;
    struct tail small;
    uint64_t at = 0;
    while (!tail_reserve(&w->tail, w->pool, 0, at, 256 * 1024, 256 * 1024))
        at += 256 * 1024;
    tail_init(&small, w->heap);
    assert_int_equal(tail_reserve(&small, w->pool, 0, 0, PAGE_BYTES, PAGE_BYTES), ERR_NO_MEMORY);
    assert_true(tail_evict(&w->tail, 0, at));
    assert_int_equal(tail_reserve(&small, w->pool, 0, 0, PAGE_BYTES, PAGE_BYTES), ERR_NONE);
    tail_deinit(&small);
}

static void what_was_reserved_in_vain_goes_back(void **state)
{
    struct world *w = *state;
    uint8_t in[100], out[100];
    fill(in, sizeof in, 1);
    assert_int_equal(tail_reserve(&w->tail, w->pool, 0, 0, sizeof in, 16 * 1024), ERR_NONE);
    (void)tail_copy_in(&w->tail, 0, 0, in, sizeof in, 0);
    assert_int_equal(tail_reserve(&w->tail, w->pool, 0, 100, 16 << 20, 256 * 1024), ERR_NO_MEMORY);
    assert_true(bufpool_used_bytes(w->pool, BUF_TAILS) > 1 << 20);
    tail_unreserve(&w->tail, 0, 100);
    assert_int_equal(bufpool_used_bytes(w->pool, BUF_TAILS), 16 * 1024);
    assert_true(tail_peek(&w->tail, 0, 0, out, sizeof out));
    assert_memory_equal(in, out, sizeof in);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_is_copied_in_is_peeked_across_borders), CASE(every_part_starts_on_a_page),
        CASE(eviction_stops_at_the_position_given),       CASE(segments_do_not_mix),
        CASE(a_small_one_takes_what_larger_ones_leave),   CASE(a_used_up_pool_is_said_and_eviction_helps),
        CASE(what_was_reserved_in_vain_goes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
