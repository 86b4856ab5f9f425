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
    (void)map_check(m);
    assert_int_equal(m->count, count);
    assert_true(m->cap <= 16 || m->cap <= 8 * (m->used + m->old_count + 1));
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

static void no_put_moves_a_large_table_at_once(void **state)
{
    (void)state;
    enum { MANY = 300000, MOST = 8, CLEARED = 24 };
    static uint32_t keys[MANY];
    struct heap *h = heap_open();
    struct map m;
    uint32_t moving = 0;
    map_init(&m, h);
    for (uint32_t i = 0; i < MANY; i++) {
        bool before = m.old;
        uint32_t at = m.old_at, old_cap = m.old_cap;
        bool clearing = m.next;
        uint32_t dirty = clearing ? m.next_cap - m.next_at : 0;
        keys[i] = i;
        assert_int_equal(map_put(&m, &keys[i], sizeof keys[i], &keys[i]), ERR_NONE);
        uint32_t moved = before ? (m.old ? m.old_at : old_cap) - at : m.old ? m.old_at : 0;
        assert_in_range(moved, 0, MOST);
        moving += m.old != NULL;
        if (clearing)
            assert_in_range(dirty - (m.next ? m.next_cap - m.next_at : 0), 0, CLEARED);
        if (m.old && !before) /* it was prepared */
            assert_true(clearing);
        assert_ptr_equal(map_get(&m, &keys[i / 2], sizeof keys[i]), &keys[i / 2]);
    }
    assert_true(moving > MANY / 4); /* it was seen */
    (void)map_check(&m);
    for (uint32_t i = 0; i < MANY; i++)
        assert_ptr_equal(map_remove(&m, &keys[i], sizeof keys[i]), &keys[i]);
    assert_int_equal(m.count, 0);
    map_deinit(&m);
    heap_close(h);
}

static void what_is_there_throughout_is_shown_while_a_table_is_moved(void **state)
{
    (void)state;
    enum { LIVE = 6144 }; /* the next put begins a new table: three quarters of 8,192 */
    static uint32_t keys[2 * LIVE];
    static bool shown[LIVE];
    struct heap *h = heap_open();
    struct map m;
    map_init(&m, h);
    for (uint32_t i = 0; i < LIVE + 1; i++) {
        keys[i] = i;
        assert_int_equal(map_put(&m, &keys[i], sizeof keys[i], &keys[i]), ERR_NONE);
    }
    assert_non_null(m.old);
    uint32_t cursor = 0, next = LIVE + 1;
    for (const uint32_t *key; (key = map_next(&m, &cursor));) {
        if (*key < LIVE)
            shown[*key] = true;
        keys[next] = next;
        if (next < LIVE + LIVE / 2) { /* the old table goes on the way */
            assert_int_equal(map_put(&m, &keys[next], sizeof keys[next], &keys[next]), ERR_NONE);
            next++;
        }
    }
    assert_null(m.old);
    for (uint32_t i = 0; i < LIVE; i++)
        assert_true(shown[i]);
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
        seen[n] = hash_stable(zeros, n, 0);
    seen[65] = hash_stable(zeros, 64, 1);
    for (size_t a = 0; a < COUNT_OF(seen); a++) {
        for (size_t b = 0; b < a; b++)
            assert_true(seen[a] != seen[b]);
    }
    /* Partitions are spread by it: the same on every machine, for ever. */
    assert_true(hash_stable("odradek", 7, 0) == 0x1f4714a71f25800cull);
    uint32_t buckets[4] = {0};
    for (uint32_t i = 0; i < 4000; i++)
        buckets[hash_stable(&i, sizeof i, 0) % 4]++;
    for (int i = 0; i < 4; i++)
        assert_in_range(buckets[i], 850, 1150);
}

enum { COLLIDING = 20000, FAR = 64 };
static uint64_t colliding[COLLIDING], plain[COLLIDING];

/* The steps that finding all keys takes. */
static uint64_t steps_of(struct heap *h, const uint64_t *keys, uint64_t seed)
{
    struct map m;
    hash_seed(seed);
    map_init(&m, h);
    for (int i = 0; i < COLLIDING; i++)
        assert_int_equal(map_put(&m, &keys[i], sizeof keys[i], &things[0]), ERR_NONE);
    uint64_t steps = map_check(&m);
    map_deinit(&m);
    return steps;
}

/* Keys that all lie near the first slot of a table of 65,536, for the hash under this seed: each alone in a map of 16 tells
 * nothing, so the place is asked of a map that is as large as theirs will be. */
static void choose_colliding(struct heap *h, uint64_t seed)
{
    struct map m;
    struct rng rng = {.state = 5};
    hash_seed(seed);
    map_init(&m, h);
    for (int i = 0; i < COLLIDING; i++) {
        plain[i] = rng_next(&rng);
        assert_int_equal(map_put(&m, &plain[i], sizeof plain[i], &things[0]), ERR_NONE);
    }
    uint32_t mask = m.cap - 1;
    map_deinit(&m);
    for (uint32_t found = 0; found < COLLIDING;) {
        uint64_t key = rng_next(&rng);
        struct map one;
        struct map_entry slots[16] = {{0}};
        one = (struct map){.v = slots, .cap = 16, .heap = h};
        assert_int_equal(map_put(&one, &key, sizeof key, &things[0]), ERR_NONE);
        for (uint32_t at = 0; at < 16; at++)
            if (slots[at].value && (slots[at].hash & mask) < FAR)
                colliding[found++] = key;
    }
}

static void keys_that_collide_for_one_seed_do_not_for_another(void **state)
{
    (void)state;
    struct heap *h = heap_open();
    choose_colliding(h, 1);
    uint64_t usual = steps_of(h, plain, 1);
    assert_true(steps_of(h, colliding, 1) > 1000 * usual); /* they are well chosen */
    for (uint64_t seed = 2; seed < 10; seed++)
        assert_true(steps_of(h, colliding, seed) < 2 * usual);
    heap_close(h);
    hash_seed(0);
}

/* A block that makes a factor zero must not hide what came before it: with seeds that are known, the worst case. */
static void no_block_hides_another(void **state)
{
    (void)state;
    struct heap *h = heap_open();
    static const uint64_t zero_for[] = {0, 0xa0761d6478bd642full, 0xe7037ed1a0b428dbull, 0x8ebc6af09c88c6e3ull};
    for (size_t z = 0; z < COUNT_OF(zero_for); z++) {
        struct map m;
        static uint64_t keys[COLLIDING][4];
        map_init(&m, h);
        for (uint64_t i = 0; i < COLLIDING; i++) {
            memcpy(keys[i], (uint64_t[]){i, i * i, zero_for[z], zero_for[z]}, sizeof keys[i]);
            assert_int_equal(map_put(&m, keys[i], sizeof keys[i], &things[0]), ERR_NONE);
        }
        assert_true(map_check(&m) < 2 * COLLIDING);
        map_deinit(&m);
    }
    heap_close(h);
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
        cmocka_unit_test(keys_that_collide_for_one_seed_do_not_for_another),
        cmocka_unit_test(no_block_hides_another),
        cmocka_unit_test(a_map_agrees_with_a_table_whatever_is_put_and_removed),
        cmocka_unit_test(no_put_moves_a_large_table_at_once),
        cmocka_unit_test(what_is_there_throughout_is_shown_while_a_table_is_moved),
        cmocka_unit_test(the_current_one_may_be_removed_while_going_through),
        cmocka_unit_test(ids_are_keys_too_and_zero_bytes_matter),
        cmocka_unit_test(hashes_differ_by_length_content_and_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
