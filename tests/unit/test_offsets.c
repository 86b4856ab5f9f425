/* Committed offsets of a group against a plain table. */
#include "net/group/offsets.h"
#include "core/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

enum { TOPICS = 5, PARTITIONS = 40, ROUNDS = 20000 };

static uint32_t random_number(void)
{
    static uint32_t x = 1;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return x;
}

static struct kview view_of(const char *text)
{
    return (struct kview){(const uint8_t *)text, (int32_t)strlen(text)};
}

struct row {
    bool there;
    int64_t offset;
    char metadata[40];
};
static struct row table[TOPICS][PARTITIONS];
static const char *const topics[TOPICS] = {"a", "b", "aa", "a-topic-with-a-longer-name", "z"};

static struct committed of_row(int topic, int partition, const struct row *r)
{
    return (struct committed){.topic = view_of(topics[topic]),
                              .partition = partition,
                              .offset = r->offset,
                              .commit_ms = r->offset + 1,
                              .expire_ms = -1,
                              .leader_epoch = (int32_t)r->offset % 7,
                              .metadata = view_of(r->metadata),
                              .position = r->offset * 2};
}

static void agrees(const struct offsets *o, int topic, int partition)
{
    const struct row *r = &table[topic][partition];
    const struct committed *c = offsets_get(o, view_of(topics[topic]), partition);
    assert_int_equal(c != NULL, r->there);
    if (!c)
        return;
    struct committed want = of_row(topic, partition, r);
    assert_int_equal(c->offset, want.offset);
    assert_int_equal(c->commit_ms, want.commit_ms);
    assert_int_equal(c->leader_epoch, want.leader_epoch);
    assert_int_equal(c->position, want.position);
    assert_int_equal(c->partition, partition);
    assert_int_equal(c->metadata.n, want.metadata.n);
    assert_memory_equal(c->metadata.at, want.metadata.at, (size_t)want.metadata.n);
    assert_int_equal(c->topic.n, want.topic.n);
    assert_memory_equal(c->topic.at, want.topic.at, (size_t)want.topic.n);
}

static void all_agree(const struct offsets *o)
{
    uint32_t count = 0, cursor = 0, seen = 0;
    for (int t = 0; t < TOPICS; t++)
        for (int p = 0; p < PARTITIONS; p++) {
            agrees(o, t, p);
            count += table[t][p].there;
        }
    while (offsets_next(o, &cursor))
        seen++;
    assert_int_equal(offsets_count(o), count);
    assert_int_equal(seen, count);
}

static void offsets_agree_with_a_table(void **state)
{
    (void)state;
    struct heap *h = heap_open();
    struct offsets o;
    offsets_init(&o, h);
    memset(table, 0, sizeof table);
    for (int i = 0; i < ROUNDS; i++) {
        int t = (int)(random_number() % TOPICS), p = (int)(random_number() % PARTITIONS);
        struct row *r = &table[t][p];
        if (random_number() % 3 == 0) {
            offsets_remove(&o, view_of(topics[t]), p);
            r->there = false;
        } else {
            *r = (struct row){.there = true, .offset = i};
            memset(r->metadata, 'm', random_number() % (sizeof r->metadata - 1));
            struct committed c = of_row(t, p, r);
            assert_int_equal(offsets_put(&o, &c), ERR_NONE);
        }
        agrees(&o, t, p);
        if (i % 1000 == 0)
            all_agree(&o);
    }
    all_agree(&o);
    offsets_deinit(&o);
    heap_close(h);
}

static void going_through_survives_removing_and_replacing(void **state)
{
    (void)state;
    struct heap *h = heap_open();
    struct offsets o;
    struct row r = {.there = true, .offset = 5};
    uint32_t cursor = 0, seen = 0;
    const struct committed *c;
    offsets_init(&o, h);
    for (int p = 0; p < 1000; p++) {
        struct committed one = of_row(0, p, &r);
        assert_int_equal(offsets_put(&o, &one), ERR_NONE);
    }
    while ((c = offsets_next(&o, &cursor))) {
        struct committed again = *c;
        again.offset = 6;
        again.metadata = view_of("another, longer than before");
        seen++;
        if (c->partition % 2)
            offsets_remove(&o, c->topic, c->partition);
        else
            assert_int_equal(offsets_put(&o, &again), ERR_NONE);
    }
    assert_int_equal(seen, 1000);
    assert_int_equal(offsets_count(&o), 500);
    for (int p = 0; p < 1000; p++) {
        c = offsets_get(&o, view_of("a"), p);
        assert_int_equal(c != NULL, p % 2 == 0);
        assert_true(!c || c->offset == 6);
    }
    offsets_deinit(&o);
    heap_close(h);
}

static void names_are_bounded(void **state)
{
    (void)state;
    struct heap *h = heap_open();
    struct offsets o;
    uint8_t name[OFFSETS_TOPIC_MAX + 1];
    memset(name, 'n', sizeof name);
    offsets_init(&o, h);
    struct committed c = {.topic = {name, OFFSETS_TOPIC_MAX}, .expire_ms = -1};
    assert_int_equal(offsets_put(&o, &c), ERR_NONE);
    assert_non_null(offsets_get(&o, c.topic, 0));
    c.topic.n++;
    assert_int_equal(offsets_put(&o, &c), ERR_INVALID);
    assert_null(offsets_get(&o, c.topic, 0));
    offsets_remove(&o, c.topic, 0);
    assert_int_equal(offsets_count(&o), 1);
    offsets_deinit(&o);
    heap_close(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offsets_agree_with_a_table),
        cmocka_unit_test(going_through_survives_removing_and_replacing),
        cmocka_unit_test(names_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
