/* Heaps, regions, arenas. */
#include "core/mem.h"
#include "core/limits.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static void blocks_are_aligned_keep_their_bytes_and_may_be_left_behind(void **state)
{
    (void)state;
    struct heap *h = heap_open();
    static const size_t sizes[] = {0, 1, 7, 8, 15, 16, 17, 24, 100, 4096, 100000, 3000000};
    uint8_t *at[COUNT_OF(sizes)];
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        at[i] = heap_alloc(h, sizes[i]);
        assert_non_null(at[i]);
        assert_int_equal((uintptr_t)at[i] % 16, 0);
        memset(at[i], (int)i, sizes[i]);
    }
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        for (size_t n = 0; n < sizes[i]; n += 97)
            assert_int_equal(at[i][n], i);
        if (i % 2)
            heap_free(h, at[i]);
    }
    heap_free(h, NULL);
    heap_close(h); /* the address sanitizer sees a leak */
}

static void zalloc_realloc_and_strdup(void **state)
{
    (void)state;
    struct heap *h = heap_open();
    uint8_t *z = heap_zalloc(h, 1000);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(z[i], 0);
    memset(z, 5, 1000);
    z = heap_realloc(h, z, 5000);
    assert_int_equal(z[999], 5);
    z = heap_realloc(h, z, 10);
    assert_int_equal(z[9], 5);
    assert_non_null(heap_realloc(h, NULL, 10));
    assert_string_equal(heap_strdup(h, "odradek"), "odradek");
    assert_null(heap_alloc(h, SIZE_MAX));
    heap_close(h);
}

struct purse {
    struct heap_meter meter; /* at its start */
    size_t left, taken;
};

static bool take_from_purse(struct heap_meter *m, size_t bytes, bool anyway)
{
    struct purse *p = container_of(m, struct purse, meter);
    if (bytes > p->left && !anyway)
        return false;
    p->left -= bytes < p->left ? bytes : p->left;
    p->taken += bytes;
    return true;
}

static void put_into_purse(struct heap_meter *m, size_t bytes)
{
    struct purse *p = container_of(m, struct purse, meter);
    assert_true(bytes <= p->taken);
    p->taken -= bytes;
    p->left += bytes;
}

/* Within its bound and its budget, and beyond both when it is forced; all of it comes back. */
static void a_part_of_a_heap_counts_and_refuses(void **state)
{
    (void)state;
    struct heap *h = heap_open();
    for (int round = 0; round < 2; round++) {
        struct purse p = {
            .meter = {.max_bytes = round ? 1 << 20 : 300000, .more = take_from_purse, .less = put_into_purse},
            .left = round ? 300000 : 1 << 20};
        struct heap *part = heap_open_part(h, &p.meter);
        void *at[100];
        int count = 0;
        while (count < 100 && (at[count] = heap_alloc(part, 10000)))
            count++;
        assert_in_range(count, 20, 30);
        assert_true(p.meter.used_bytes >= (size_t)count * 10000);
        assert_true(p.meter.used_bytes <= 300000);
        assert_true(p.taken == p.meter.granted_bytes);
        assert_null(heap_zalloc(part, 10000));
        assert_null(heap_realloc(part, at[0], 200000));
        assert_non_null(heap_alloc(h, 10000)); /* the rest of the heap has no bound */
        p.meter.forced = true;
        at[0] = heap_realloc(part, at[0], 2 << 20);
        assert_non_null(at[0]);
        p.meter.forced = false;
        for (int i = 0; i < count; i++)
            heap_free(part, at[i]);
        assert_int_equal(p.meter.used_bytes, 0);
        assert_true(p.taken < 100000);
        heap_close_part(h, part);
    }
    heap_close(h);
}

static void regions_are_page_aligned_zero_and_discardable(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, PAGE_BYTES, 3 * SLAB_BYTES, 1ull << 36};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        uint8_t *at = region_open(sizes[i]);
        assert_non_null(at);
        assert_int_equal((uintptr_t)at % (sizes[i] % SLAB_BYTES ? PAGE_BYTES : SLAB_BYTES), 0);
        assert_int_equal(at[sizes[i] - 1], 0);
        at[0] = 1;
        region_discard(at, sizes[i] < PAGE_BYTES ? PAGE_BYTES : sizes[i]);
        assert_int_equal(at[0], 0);
        region_close(at, sizes[i]);
    }
}

static void an_arena_gives_aligned_pieces_up_to_its_bound(void **state)
{
    (void)state;
    struct heap *h = heap_open();
    struct arena a;
    arena_init(&a, h, 100000);
    for (int round = 0; round < 3; round++) {
        uint8_t *pieces[200];
        size_t bytes = 0;
        uint32_t count = 0;
        for (; count < COUNT_OF(pieces); count++) {
            size_t n = count % 17 == 0 ? 9000 : count % 50; /* some get a block of their own */
            pieces[count] = arena_alloc(&a, n);
            if (!pieces[count])
                break;
            assert_int_equal((uintptr_t)pieces[count] % 16, 0);
            memset(pieces[count], (int)count, n);
            bytes += n;
        }
        assert_true(count > 50 && bytes > 80000 && bytes <= 100000);
        for (uint32_t i = 0; i < count; i++) {
            size_t n = i % 17 == 0 ? 9000 : i % 50;
            for (size_t j = 0; j < n; j++)
                assert_int_equal(pieces[i][j], (uint8_t)i);
        }
        arena_reset(&a);
        assert_int_equal(a.used_bytes, 0);
    }
    assert_null(arena_alloc(&a, 100001));
    struct arena empty;
    arena_init(&empty, h, 0);
    assert_null(arena_alloc(&empty, 1));
    arena_reset(&empty);
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_non_null(arena_alloc(&a, 100000));
    assert_null(arena_alloc(&a, 1));
    heap_close(h);
}

static void an_arena_uses_first_what_it_was_given(void **state)
{
    (void)state;
    struct heap *h = heap_open();
    static _Alignas(16) uint8_t room[100];
    struct arena a, alone = arena_of(room + 1, 41);
    assert_ptr_equal(arena_take(&alone, 4, 8), room + 8);
    assert_int_equal(alone.refused_bytes, 0);
    assert_null(arena_alloc(&alone, 3)); /* 16-aligned there are two bytes behind it */
    assert_true(alone.refused_bytes >= 3);
    arena_init_given(&a, h, 10000, room, sizeof room);
    assert_ptr_equal(arena_alloc(&a, 90), room);
    assert_int_equal(a.used_bytes, 0);
    uint8_t *next = arena_alloc(&a, 40); /* no room there: of the heap */
    assert_true(next < room || next >= room + sizeof room);
    assert_int_equal(a.used_bytes, 48);
    assert_null(arena_take(&a, SIZE_MAX / 2, 16)); /* the product does not fit a size_t */
    assert_null(arena_take(&a, 1000, 10));
    assert_int_equal(a.refused_bytes, 10000);
    arena_reset(&a);
    heap_close(h);
}

static void a_large_piece_goes_back_alone_and_many_in_steps(void **state)
{
    (void)state;
    enum { LARGE = 3 * ARENA_LARGE_BYTES, MIDDLING = 20000, PIECES = 2000 };
    struct heap *h = heap_open();
    struct arena a;
    arena_init(&a, h, 64u << 20);
    uint8_t *small = arena_alloc(&a, 100), *large = arena_alloc(&a, LARGE), *kept = arena_alloc(&a, LARGE);
    memset(small, 1, 100);
    memset(large, 2, LARGE);
    memset(kept, 3, LARGE);
    arena_give_back(&a, large);
    assert_int_equal(a.used_bytes, LARGE + 112);
    for (size_t i = 0; i < LARGE; i++)
        assert_int_equal(kept[i], 3);
    uint8_t *middling = arena_alloc(&a, MIDDLING);
    memset(middling, 4, MIDDLING);
    arena_discard(&a); /* the addresses stay; the pages of all blocks go, which the allocator would keep */
    assert_int_equal(kept[LARGE / 2], 0);
    assert_int_equal(middling[MIDDLING / 2], 0);
    for (int i = 0; i < PIECES; i++)
        assert_non_null(arena_alloc(&a, 5000));
    int steps = 1;
    for (; arena_reset_some(&a); steps++)
        assert_true(a.used_bytes > 0);
    assert_true(steps > 20 && steps < 100);
    assert_int_equal(a.used_bytes, 0);
    heap_close(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_aligned_keep_their_bytes_and_may_be_left_behind),
        cmocka_unit_test(zalloc_realloc_and_strdup),
        cmocka_unit_test(a_part_of_a_heap_counts_and_refuses),
        cmocka_unit_test(regions_are_page_aligned_zero_and_discardable),
        cmocka_unit_test(an_arena_gives_aligned_pieces_up_to_its_bound),
        cmocka_unit_test(an_arena_uses_first_what_it_was_given),
        cmocka_unit_test(a_large_piece_goes_back_alone_and_many_in_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
