/* What is kept of groups, client metrics, quotas, credentials and features: in the catalog's file, and in every shard's view of it. */
#define DIR "build/tests/unit/entities"
#include "storage/catalog/features.h"
#include "storage/config/settings.h"
#include "tests/unit/catalog_world.h"

struct ask {
    struct catalog_change change;
    struct config_op op;
    int done;
};

static void ask_done(struct catalog_change *c)
{
    container_of(c, struct ask, change)->done++;
}

/* `value` NULL: deletes. */
static void start_set(struct ask *a, uint16_t shard, enum entity_kind kind, const char *name, const char *key,
                      const char *value)
{
    *a = (struct ask){.op = {key, value ? CONFIG_OP_SET : CONFIG_OP_DELETE, value}};
    a->change = (struct catalog_change){
        .kind = CATALOG_ENTITY, .entity_kind = kind, .name = name, .ops = &a->op, .op_count = 1, .done = ask_done};
    catalog_change_start(&shards[shard], &a->change);
    assert_int_equal(a->done, 0);
}

static enum kerr set(enum entity_kind kind, const char *name, const char *key, const char *value)
{
    struct ask a;
    start_set(&a, 1, kind, name, key, value);
    run();
    assert_int_equal(a.done, 1);
    return a.change.error;
}

static const char *value_of(enum entity_kind kind, const char *name, const char *key)
{
    return entity_setting(entities_find(&stores[2].catalog.entities, kind, name), key);
}

static void views_agree(void)
{
    const struct entities *kept = catalog_file_entities(root.catalog);
    entities_check(kept);
    for (int i = 0; i < SHARDS; i++) {
        const struct entities *view = &stores[i].catalog.entities;
        assert_int_equal(view->count, kept->count);
        for (uint32_t k = 0; k < kept->count; k++) {
            assert_ptr_equal(view->sorted[k], kept->sorted[k]);
            assert_false(kept->sorted[k]->changing);
        }
    }
}

static void reopen(void)
{
    close_world();
    open_world();
    views_agree();
}

/* --- statements --- */

static void settings_are_known_to_every_shard_and_survive_a_restart(void **state)
{
    (void)state;
    assert_int_equal(set(ENTITY_SCRAM, "b", "k", "1"), KERR_NONE);
    assert_int_equal(set(ENTITY_GROUP, "b", "z", "2"), KERR_NONE);
    assert_int_equal(set(ENTITY_GROUP, "a", "z", "3"), KERR_NONE);
    assert_int_equal(set(ENTITY_GROUP, "b", "a", ""), KERR_NONE);
    for (int again = 0; again < 2; again++) {
        views_agree();
        assert_int_equal(stores[0].catalog.entities.count, 3);
        assert_string_equal(value_of(ENTITY_SCRAM, "b", "k"), "1");
        assert_string_equal(value_of(ENTITY_GROUP, "b", "z"), "2");
        assert_string_equal(value_of(ENTITY_GROUP, "b", "a"), "");
        assert_string_equal(value_of(ENTITY_GROUP, "a", "z"), "3");
        assert_null(value_of(ENTITY_GROUP, "c", "z"));
        reopen();
    }
}

static void one_without_settings_is_gone(void **state)
{
    (void)state;
    assert_int_equal(set(ENTITY_QUOTA, "user=a", "k", "1"), KERR_NONE);
    assert_int_equal(set(ENTITY_QUOTA, "user=a", "k", NULL), KERR_NONE);
    assert_int_equal(stores[0].catalog.entities.count, 0);
    reopen();
    assert_int_equal(stores[0].catalog.entities.count, 0);
    int before = write_count;
    assert_int_equal(set(ENTITY_QUOTA, "user=a", "k", NULL), KERR_NONE);
    assert_int_equal(write_count, before);
    assert_int_equal(set(ENTITY_QUOTA, "user=a", "k", "2"), KERR_NONE);
    assert_string_equal(value_of(ENTITY_QUOTA, "user=a", "k"), "2");
}

static void what_is_only_validated_changes_nothing(void **state)
{
    (void)state;
    for (int there = 0; there < 2; there++) {
        struct ask a = {.op = {"k", CONFIG_OP_SET, "9"}};
        a.change = (struct catalog_change){.kind = CATALOG_ENTITY,
                                           .entity_kind = ENTITY_GROUP,
                                           .name = "g",
                                           .ops = &a.op,
                                           .op_count = 1,
                                           .validate_only = true,
                                           .done = ask_done};
        int before = write_count;
        catalog_change_start(&shards[1], &a.change);
        run();
        assert_int_equal(a.change.error, KERR_NONE);
        assert_int_equal(write_count, before);
        views_agree();
        if (!there)
            assert_int_equal(set(ENTITY_GROUP, "g", "k", "1"), KERR_NONE);
    }
    assert_string_equal(value_of(ENTITY_GROUP, "g", "k"), "1");
}

static void changes_of_one_follow_each_other_and_others_go_along(void **state)
{
    (void)state;
    struct ask asks[6];
    static const char *const names[] = {"a", "a", "b", "a", "c", "b"}, *const values[] = {"1",  "2", "3",
                                                                                          NULL, "5", "6"};
    static const char *const keys[] = {"x", "y", "x", "x", "x", "y"};
    for (uint16_t i = 0; i < 6; i++)
        start_set(&asks[i], i % SHARDS, ENTITY_GROUP, names[i], keys[i], values[i]);
    run();
    for (int i = 0; i < 6; i++) {
        assert_int_equal(asks[i].done, 1);
        assert_int_equal(asks[i].change.error, KERR_NONE);
    }
    assert_int_equal(stores[1].catalog.entities.count, 3);
    assert_string_equal(value_of(ENTITY_GROUP, "a", "y"), "2");
    assert_string_equal(value_of(ENTITY_GROUP, "b", "y"), "6");
    reopen();
}

static void all_together_are_bounded(void **state)
{
    (void)state;
    static char value[SETTING_VALUE_MAX + 1];
    memset(value, 'x', SETTING_VALUE_MAX);
    char name[16];
    enum kerr error = KERR_NONE;
    uint32_t count = 0;
    for (; error == KERR_NONE && count < 1000; count++) {
        snprintf(name, sizeof name, "m%u", count);
        error = set(ENTITY_CLIENT_METRICS, name, "metrics", value);
    }
    assert_int_equal(error, KERR_POLICY_VIOLATION);
    assert_in_range(count, 250, 257);
    assert_true(stores[0].catalog.entities.bytes <= ENTITIES_BYTES_MAX);
    assert_int_equal(set(ENTITY_CLIENT_METRICS, "m0", "metrics", value), KERR_NONE); /* in its own place */
    reopen();
    assert_int_equal(set(ENTITY_CLIENT_METRICS, "m0", "metrics", NULL), KERR_NONE);
    assert_int_equal(set(ENTITY_CLIENT_METRICS, "new", "metrics", value), KERR_NONE);
}

static void a_rewritten_file_has_all_of_them(void **state)
{
    (void)state;
    static char value[2001];
    memset(value, 'y', 2000);
    assert_int_equal(set(ENTITY_FEATURES, "cluster", "epoch", "7"), KERR_NONE);
    for (int i = 0; i < 200; i++) {
        value[0] = (char)('a' + i % 20);
        assert_int_equal(set(ENTITY_GROUP, "g", "k", value), KERR_NONE);
    }
    reopen();
    struct stat was;
    assert_int_equal(stat(DIR "/catalog", &was), 0);
    assert_in_range(was.st_size, 2000, 20000);
    assert_string_equal(value_of(ENTITY_FEATURES, "cluster", "epoch"), "7");
    assert_string_equal(value_of(ENTITY_GROUP, "g", "k"), value);
    reopen();
}

/* Each write and job of a change fails in turn: it happened everywhere or nowhere, also after a restart. */
static void changes_on_a_failing_disk(void **state)
{
    (void)state;
    uint32_t failed = 0;
    for (int round = 0; round < 12; round++) {
        struct ask asks[3];
        assert_int_equal(set(ENTITY_QUOTA, "old", "k", "1"), KERR_NONE);
        assert_int_equal(set(ENTITY_QUOTA, "gone", "k", "1"), KERR_NONE);
        op_count = 0;
        fault_at = round / 2;
        short_write = round % 2 * 24;
        start_set(&asks[0], 0, ENTITY_QUOTA, "old", "k", "2");
        start_set(&asks[1], 1, ENTITY_QUOTA, "gone", "k", NULL);
        start_set(&asks[2], 2, ENTITY_QUOTA, "new", "k", "3");
        run();
        fault_at = NO_FAULT;
        bool good = asks[0].change.error == KERR_NONE;
        for (int i = 0; i < 3; i++)
            assert_int_equal(asks[i].change.error, good ? KERR_NONE : KERR_KAFKA_STORAGE_ERROR);
        failed += !good;
        for (int again = 0; again < 2; again++) {
            views_agree();
            assert_string_equal(value_of(ENTITY_QUOTA, "old", "k"), good ? "2" : "1");
            assert_int_equal(value_of(ENTITY_QUOTA, "gone", "k") == NULL, good);
            assert_int_equal(value_of(ENTITY_QUOTA, "new", "k") != NULL, good);
            reopen();
        }
        assert_int_equal(set(ENTITY_QUOTA, "new", "k", NULL), KERR_NONE);
    }
    assert_in_range(failed, 2, 11);
}

static enum kerr refuse_x(struct settings *s, const struct broker_config *broker, char *why)
{
    assert_ptr_equal(broker, catalog_file_config(root.catalog));
    snprintf(why, 256, "no x");
    return topic_override_find(s->v, s->count, "x") ? KERR_INVALID_CONFIG : settings_put(s, "added", "1") ? -1 : 0;
}

static void what_settings_come_to_may_be_refused_or_completed(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct ask a = {.op = {i ? "y" : "x", CONFIG_OP_SET, "9"}};
        a.change = (struct catalog_change){.kind = CATALOG_ENTITY,
                                           .entity_kind = ENTITY_GROUP,
                                           .name = "g",
                                           .ops = &a.op,
                                           .op_count = 1,
                                           .settle = refuse_x,
                                           .done = ask_done};
        catalog_change_start(&shards[1], &a.change);
        run();
        assert_int_equal(a.change.error, i ? KERR_NONE : KERR_INVALID_CONFIG);
        if (!i)
            assert_string_equal(a.change.message, "no x");
    }
    assert_string_equal(value_of(ENTITY_GROUP, "g", "added"), "1");
    assert_string_equal(value_of(ENTITY_GROUP, "g", "y"), "9");
}

static void features_begin_with_this_release_and_their_epoch_rises(void **state)
{
    (void)state;
    const struct catalog *view = &stores[1].catalog;
    for (uint32_t i = 0; i < feature_count(); i++) {
        const struct feature *f = feature_at(i);
        assert_ptr_equal(feature_find(f->name), f);
        assert_int_equal(feature_level(view, f->name), f->initial);
    }
    assert_null(feature_find("nonsense"));
    assert_int_equal(feature_level(view, "nonsense"), 0);
    assert_int_equal(features_epoch(view), 0);
    static const struct {
        const char *level;
        int wanted;
    } cases[] = {{"8", 8}, {"7", 7}, {"30", 30}, {"6", 7}, {"31", 30}};
    for (int64_t i = 0; i < (int64_t)COUNT_OF(cases); i++) {
        struct ask a = {.op = {"metadata.version", CONFIG_OP_SET, cases[i].level}};
        features_change(&a.change, &a.op, 1);
        a.change.done = ask_done;
        catalog_change_start(&shards[2], &a.change);
        run();
        assert_int_equal(a.change.error, KERR_NONE);
        reopen();
        assert_int_equal(feature_level(view, "metadata.version"), cases[i].wanted);
        assert_int_equal(features_epoch(view), i + 1);
    }
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(settings_are_known_to_every_shard_and_survive_a_restart),
        CASE(one_without_settings_is_gone),
        CASE(what_is_only_validated_changes_nothing),
        CASE(changes_of_one_follow_each_other_and_others_go_along),
        CASE(all_together_are_bounded),
        CASE(a_rewritten_file_has_all_of_them),
        CASE(changes_on_a_failing_disk),
        CASE(what_settings_come_to_may_be_refused_or_completed),
        CASE(features_begin_with_this_release_and_their_epoch_rises),
    };
    return cmocka_run_group_tests_name("entities", tests, NULL, NULL);
}
