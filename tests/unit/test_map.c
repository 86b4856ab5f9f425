/* The hash map against a plain table. */
#include "core/map.h"
#include "core/rng.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

enum { KEYS = 3000 };
struct thing {
    char name[24];
    bool there;
};
static struct thing things[KEYS];

static void things_init(void)
{
    for (int i = 0; i < KEYS; i++) {
        snprintf(things[i].name, sizeof things[i].name, "topic-%d", i);
        things[i].there = false;
    }
}

static void check(const struct map *m)
{
    uint32_t count = 0, seen = 0, cursor = 0;
    for (int i = 0; i < KEYS; i++) {
        void *expected = things[i].there ? &things[i] : NULL;
        assert_ptr_equal(map_get(m, things[i].name, strlen(things[i].name)), expected);
        count += things[i].there;
    }
    for (struct thing *t; (t = map_next(m, &cursor)); seen++)
        assert_true(t->there);
    assert_int_equal(seen, count);
    assert_int_equal(m->count, count);
    assert_true(m->cap <= 16 || m->cap <= 8 * (m->used + 1));
}

static void a_map_agrees_with_a_table_whatever_is_put_and_removed(void **state)
{
    (void)state;
    struct heap *h = heap_open();
    struct map m;
    struct rng rng = {.state = 7};
    map_init(&m, h);
    things_init();
    check(&m);
    for (int round = 0; round < 60000; round++) {
        /* The population swings, so that the table is built anew in both directions. */
        uint64_t range = round / 10000 % 2 ? 50 : KEYS;
        struct thing *t = &things[rng_below(&rng, range)];
        size_t bytes = strlen(t->name);
        if (t->there)
            assert_ptr_equal(map_remove(&m, t->name, bytes), t);
        else
            assert_int_equal(map_put(&m, t->name, bytes, t), ERR_NONE);
        t->there = !t->there;
        assert_true(t->there || !map_remove(&m, t->name, bytes));
        if (round % 5000 == 0)
            check(&m);
    }
    check(&m);
    map_deinit(&m);
    heap_close(h);
}

static void the_current_one_may_be_removed_while_going_through(void **state)
{
    (void)state;
    struct heap *h = heap_open();
    struct map m;
    uint32_t cursor = 0, seen = 0;
    map_init(&m, h);
    things_init();
    for (int i = 0; i < 1000; i++)
        assert_int_equal(map_put(&m, things[i].name, strlen(things[i].name), &things[i]), ERR_NONE);
    for (struct thing *t; (t = map_next(&m, &cursor)); seen++) {
        assert_false(t->there);
        t->there = true;
        assert_ptr_equal(map_remove(&m, t->name, strlen(t->name)), t);
        memset(t->name, 'x', sizeof t->name); /* the key is no longer the map's */
    }
    assert_int_equal(seen, 1000);
    assert_int_equal(m.count, 0);
    heap_close(h);
}

static void ids_are_keys_too_and_zero_bytes_matter(void **state)
{
    (void)state;
    struct heap *h = heap_open();
    struct map m;
    uint8_t ids[2][16] = {{0}, {0}};
    int a, b, empty;
    ids[1][15] = 1;
    map_init(&m, h);
    assert_int_equal(map_put(&m, ids[0], 16, &a), ERR_NONE);
    assert_int_equal(map_put(&m, ids[1], 16, &b), ERR_NONE);
    assert_null(map_get(&m, ids[0], 15));
    assert_null(map_get(&m, "", 0));
    assert_int_equal(map_put(&m, "", 0, &empty), ERR_NONE);
    assert_ptr_equal(map_get(&m, ids[0], 16), &a);
    assert_ptr_equal(map_get(&m, ids[1], 16), &b);
    assert_ptr_equal(map_get(&m, "", 0), &empty);
    heap_close(h);
}

static void hashes_differ_by_length_content_and_seed(void **state)
{
    (void)state;
    static const uint8_t zeros[64];
    uint64_t seen[66];
    for (size_t n = 0; n <= 64; n++)
        seen[n] = hash_bytes(zeros, n, 0);
    seen[65] = hash_bytes(zeros, 64, 1);
    for (size_t a = 0; a < COUNT_OF(seen); a++) {
        for (size_t b = 0; b < a; b++)
            assert_true(seen[a] != seen[b]);
    }
    /* Partitions are spread by it: the same on every machine, for ever. */
    assert_true(hash_bytes("odradek", 7, 0) == hash_bytes("odradek", 7, 0));
    uint32_t buckets[4] = {0};
    for (uint32_t i = 0; i < 4000; i++)
        buckets[hash_bytes(&i, sizeof i, 0) % 4]++;
    for (int i = 0; i < 4; i++)
        assert_in_range(buckets[i], 850, 1150);
}

static void a_value_may_be_replaced_with_its_key(void **state)
{
    (void)state;
    struct heap *h = heap_open();
    struct map m;
    char first[] = "key", second[] = "key";
    int other, a, b;
    uint32_t cursor = 0;
    map_init(&m, h);
    assert_int_equal(map_put(&m, "other", 5, &other), ERR_NONE);
    assert_int_equal(map_put(&m, first, 3, &a), ERR_NONE);
    uint32_t used = m.used;
    map_replace(&m, second, 3, &b);
    memset(first, 'x', sizeof first); /* no longer the map's */
    assert_ptr_equal(map_get(&m, "key", 3), &b);
    assert_ptr_equal(map_get(&m, "other", 5), &other);
    assert_int_equal(m.count, 2);
    assert_int_equal(m.used, used);
    while (map_next(&m, &cursor) != &b)
        assert_true(cursor < m.cap);
    heap_close(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_may_be_replaced_with_its_key),
        cmocka_unit_test(a_map_agrees_with_a_table_whatever_is_put_and_removed),
        cmocka_unit_test(the_current_one_may_be_removed_while_going_through),
        cmocka_unit_test(ids_are_keys_too_and_zero_bytes_matter),
        cmocka_unit_test(hashes_differ_by_length_content_and_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
