/* A topic's configuration: the table, the checks, and what counts in the end. */
#include "storage/config/broker_config.h"
#include "storage/config/topic_config.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { WHY_BYTES = 256 };

/* The keys that must be accepted. */
static const char *const wanted[] = {
    "cleanup.policy",
    "retention.ms",
    "retention.bytes",
    "segment.bytes",
    "segment.ms",
    "max.message.bytes",
    "min.compaction.lag.ms",
    "max.compaction.lag.ms",
    "delete.retention.ms",
    "min.cleanable.dirty.ratio",
    "message.timestamp.type",
    "message.timestamp.before.max.ms",
    "message.timestamp.after.max.ms",
    "compression.type",
    "compression.gzip.level",
    "compression.lz4.level",
    "compression.zstd.level",
    "min.insync.replicas",
    "flush.messages",
    "flush.ms",
    "segment.jitter.ms",
    "segment.index.bytes",
    "index.interval.bytes",
    "file.delete.delay.ms",
    "preallocate",
    "unclean.leader.election.enable",
    "remote.storage.enable",
    "local.retention.ms",
    "local.retention.bytes",
    "remote.log.copy.disable",
    "remote.log.delete.on.disable",
    "message.downconversion.enable",
    "leader.replication.throttled.replicas",
    "follower.replication.throttled.replicas",
    "errors.deadletterqueue.group.enable",
    "write.caching",
};

static void every_wanted_key_is_known_and_the_table_is_sorted(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < COUNT_OF(wanted); i++)
        assert_non_null(topic_key_find(wanted[i]));
    for (uint32_t i = 1; i < topic_key_count(); i++)
        assert_true(strcmp(topic_key_at(i - 1)->name, topic_key_at(i)->name) < 0);
    for (uint32_t i = 0; i < topic_key_count(); i++)
        assert_ptr_equal(topic_key_find(topic_key_at(i)->name), topic_key_at(i));
}

static void every_default_passes_its_own_check_and_every_synonym_is_a_broker_key(void **state)
{
    (void)state;
    char why[WHY_BYTES];
    for (uint32_t i = 0; i < topic_key_count(); i++) {
        const struct topic_key *key = topic_key_at(i);
        assert_true(strlen(key->doc) > 20);
        if (key->fallback)
            assert_int_equal(topic_override_check(key->name, key->fallback, why), KERR_NONE);
        if (!key->synonym)
            continue;
        const struct broker_key *broker = broker_key_find(key->synonym);
        assert_non_null(broker);
        assert_int_equal(broker->type, key->type);
    }
}

static const struct {
    const char *name, *value;
    bool good;
} checks[] = {
    {"cleanup.policy", "delete", true},
    {"cleanup.policy", "compact, delete", true},
    {"cleanup.policy", "", true},
    {"cleanup.policy", "delete,", false},
    {"cleanup.policy", "delete,delete", true},
    {"cleanup.policy", "shrink", false},
    {"compression.type", "zstd", true},
    {"compression.type", "ZSTD", false},
    {"compression.type", "none", false},
    {"compression.gzip.level", "-1", true},
    {"compression.gzip.level", "0", false},
    {"compression.gzip.level", "9", true},
    {"compression.gzip.level", "10", false},
    {"compression.zstd.level", "-131072", true},
    {"compression.zstd.level", "23", false},
    {"segment.bytes", "1048576", true},
    {"segment.bytes", "1048575", false},
    {"segment.bytes", "2147483647", true},
    {"segment.bytes", "2147483648", false},
    {"segment.bytes", " 1048576 ", true},
    {"segment.bytes", "1e9", false},
    {"segment.bytes", "", false},
    {"internal.segment.bytes", "1024", true},
    {"segment.ms", "0", false},
    {"segment.ms", "1", true},
    {"retention.ms", "-1", true},
    {"retention.ms", "-2", false},
    {"retention.ms", "9223372036854775807", true},
    {"retention.ms", "9223372036854775808", false},
    {"retention.bytes", "-5", true},
    {"flush.messages", "0", false},
    {"flush.ms", "0", true},
    {"min.cleanable.dirty.ratio", "0.25", true},
    {"min.cleanable.dirty.ratio", "1.1", false},
    {"min.cleanable.dirty.ratio", "half", false},
    {"message.timestamp.type", "LogAppendTime", true},
    {"message.timestamp.type", "logappendtime", false},
    {"preallocate", "TRUE", true},
    {"preallocate", "yes", false},
    {"write.caching", "true", true},
    {"write.caching", "1", false},
    {"remote.storage.enable", "false", true},
    {"remote.storage.enable", "true", false},
    {"leader.replication.throttled.replicas", "*", true},
    {"leader.replication.throttled.replicas", "0:1,1:1", true},
    {"leader.replication.throttled.replicas", "0", false},
    {"max.message.bytes", NULL, false},
    {"retention.hours", "1", false},
};

static void values_are_checked_by_type_and_bounds(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < COUNT_OF(checks); i++) {
        char why[WHY_BYTES] = "";
        enum kerr kerr = topic_override_check(checks[i].name, checks[i].value, why);
        if ((kerr == KERR_NONE) != checks[i].good)
            fail_msg("%s=%s: %d %s", checks[i].name, checks[i].value ? checks[i].value : "null", kerr, why);
        if (kerr != KERR_NONE) {
            assert_int_equal(kerr, KERR_INVALID_CONFIG);
            assert_non_null(strstr(why, checks[i].name));
        }
    }
}

static void an_unknown_key_names_the_nearest(void **state)
{
    (void)state;
    char why[WHY_BYTES];
    assert_int_equal(topic_override_check("retention.mss", "1", why), KERR_INVALID_CONFIG);
    assert_non_null(strstr(why, "did you mean retention.ms"));
    char endless[2000];
    memset(endless, 'x', sizeof endless - 1);
    endless[sizeof endless - 1] = 0;
    assert_int_equal(topic_override_check(endless, "1", why), KERR_INVALID_CONFIG);
    assert_int_equal(topic_override_check("segment.bytes", endless, why), KERR_INVALID_CONFIG);
    assert_true(strlen(why) < WHY_BYTES);
}

static void keys_of_one_topic_agree(void **state)
{
    (void)state;
    char why[WHY_BYTES];
    const struct topic_override twice[] = {{"retention.ms", "1"}, {"segment.ms", "2"}, {"retention.ms", "1"}};
    const struct topic_override lags[] = {{"min.compaction.lag.ms", "10"}, {"max.compaction.lag.ms", "9"}};
    assert_int_equal(topic_overrides_check(twice, 2, why), KERR_NONE);
    assert_int_equal(topic_overrides_check(twice, 3, why), KERR_INVALID_CONFIG);
    assert_int_equal(topic_overrides_check(lags, 1, why), KERR_NONE);
    assert_int_equal(topic_overrides_check(lags, 2, why), KERR_INVALID_CONFIG);
    assert_int_equal(topic_overrides_check(NULL, 0, why), KERR_NONE);
}

static void without_overrides_kafkas_defaults_count(void **state)
{
    (void)state;
    struct topic_config c;
    topic_config_resolve(&c, NULL, 0, NULL);
    assert_int_equal(c.segment_bytes, 1073741824);
    assert_int_equal(c.segment_index_bytes, 10485760);
    assert_int_equal(c.index_interval_bytes, 4096);
    assert_int_equal(c.max_message_bytes, 1048588);
    assert_int_equal(c.segment_ms, 604800000);
    assert_int_equal(c.flush_messages, INT64_MAX);
    assert_int_equal(c.flush_ms, INT64_MAX);
    assert_int_equal(c.timestamp_before_max_ms, INT64_MAX);
    assert_int_equal(c.timestamp_after_max_ms, 3600000);
    assert_false(c.log_append_time || c.write_caching || c.compacted);
}

static struct broker_config broker_with(struct heap *heap, const char *name, const char *value)
{
    struct broker_config broker;
    char why[CONFIG_WHY_BYTES];
    broker_config_init(&broker, heap);
    assert_int_equal(broker_config_set(&broker, name, value, "argument", why), ERR_NONE);
    return broker;
}

static void the_topics_own_value_beats_the_brokers_and_that_the_default(void **state)
{
    struct topic_config c;
    struct broker_config broker = broker_with(*state, "log.segment.bytes", "2000000");
    const struct topic_override own[] = {{"cleanup.policy", "delete, compact"}, {"segment.bytes", "3000000"}};
    topic_config_resolve(&c, NULL, 0, &broker);
    assert_int_equal(c.segment_bytes, 2000000);
    assert_int_equal(broker.topic_defaults.segment_bytes, 2000000);
    topic_config_resolve(&c, own, 2, &broker);
    assert_int_equal(c.segment_bytes, 3000000);
    assert_true(c.compacted);
    broker_config_deinit(&broker);
}

static void a_caching_topic_flushes_after_100_ms_unless_told(void **state)
{
    struct topic_config c;
    const struct topic_override own[] = {{"write.caching", "true"}, {"flush.ms", "9223372036854775807"}};
    topic_config_resolve(&c, own, 1, NULL);
    assert_int_equal(c.flush_ms, 100);
    topic_config_resolve(&c, own, 2, NULL);
    assert_int_equal(c.flush_ms, INT64_MAX);
    struct broker_config broker = broker_with(*state, "log.flush.interval.ms", "7000");
    topic_config_resolve(&c, own, 1, &broker);
    assert_int_equal(c.flush_ms, 7000);
    broker_config_deinit(&broker);
    broker = broker_with(*state, "write.caching", "true");
    topic_config_resolve(&c, NULL, 0, &broker);
    assert_true(c.write_caching);
    assert_int_equal(c.flush_ms, 100);
    broker_config_deinit(&broker);
}

static const struct {
    const char *broker_key, *broker_value, *key, *value;
} converted[] = {
    {"log.roll.hours", "2", "segment.ms", "7200000"},
    {"log.retention.hours", "1", "retention.ms", "3600000"},
    {"log.retention.minutes", "3", "retention.ms", "180000"},
    {"log.retention.hours", "-1", "retention.ms", "-1"},
    {"log.roll.jitter.hours", "1", "segment.jitter.ms", "3600000"},
    {"log.flush.scheduler.interval.ms", "55", "flush.ms", "55"},
};

static void hours_and_minutes_of_the_broker_are_converted(void **state)
{
    for (uint32_t i = 0; i < COUNT_OF(converted); i++) {
        struct topic_value v;
        struct broker_config broker = broker_with(*state, converted[i].broker_key, converted[i].broker_value);
        topic_value_get(topic_key_find(converted[i].key), NULL, 0, &broker, &v);
        assert_string_equal(v.value, converted[i].value);
        assert_string_equal(v.source_name, converted[i].broker_key);
        assert_int_equal(v.source, CONFIG_SOURCE_BROKER);
        broker_config_deinit(&broker);
    }
}

static void a_value_says_where_it_comes_from(void **state)
{
    (void)state;
    struct topic_value v;
    const struct topic_override own[] = {{"segment.ms", "5"}};
    topic_value_get(topic_key_find("segment.ms"), own, 1, NULL, &v);
    assert_string_equal(v.value, "5");
    assert_int_equal(v.source, CONFIG_SOURCE_TOPIC);
    assert_string_equal(v.source_name, "segment.ms");
    topic_value_get(topic_key_find("segment.ms"), NULL, 0, NULL, &v);
    assert_string_equal(v.value, "604800000");
    assert_int_equal(v.source, CONFIG_SOURCE_DEFAULT);
    assert_string_equal(v.source_name, "log.roll.ms");
}

static int open_heap(void **state)
{
    *state = heap_open();
    return *state ? 0 : -1;
}

static int close_heap(void **state)
{
    heap_close(*state);
    return 0;
}

static void synonyms_are_listed_layer_by_layer(void **state)
{
    (void)state;
    struct heap *heap = heap_open();
    struct broker_config c;
    char why[CONFIG_WHY_BYTES];
    broker_config_init(&c, heap);
    assert_int_equal(broker_config_set(&c, "log.roll.hours", "2", "test", why), ERR_NONE);
    assert_int_equal(broker_config_set(&c, "log.roll.ms", "50", "test", why), ERR_NONE);
    const struct topic_override own[] = {{"segment.ms", "7"}}, all[] = {{"log.roll.ms", "60"}};
    struct broker_config *v = broker_config_version(&c, heap, CONFIG_SOURCE_DYNAMIC_DEFAULT, all, 1);
    static const struct {
        const char *name, *value;
        enum config_source source;
    } listed[] = {
        {"segment.ms", "7", CONFIG_SOURCE_TOPIC},         {"log.roll.ms", "60", CONFIG_SOURCE_DYNAMIC_DEFAULT},
        {"log.roll.ms", "50", CONFIG_SOURCE_BROKER},      {"log.roll.hours", "2", CONFIG_SOURCE_BROKER},
        {"log.roll.hours", "168", CONFIG_SOURCE_DEFAULT},
    };
    struct config_synonym s[CONFIG_SYNONYMS_MAX];
    assert_int_equal(topic_synonyms(topic_key_find("segment.ms"), own, 1, v, s), COUNT_OF(listed));
    for (size_t i = 0; i < COUNT_OF(listed); i++) {
        assert_string_equal(s[i].name, listed[i].name);
        assert_string_equal(s[i].value, listed[i].value);
        assert_int_equal(s[i].source, listed[i].source);
    }
    struct topic_value value;
    topic_value_get(topic_key_find("segment.ms"), NULL, 0, v, &value);
    assert_string_equal(value.value, "60");
    assert_int_equal(value.source, CONFIG_SOURCE_DYNAMIC_DEFAULT);
    assert_int_equal(topic_synonyms(topic_key_find("retention.ms"), NULL, 0, v, s), 0); /* as Kafka leaves it */
    broker_config_version_free(v);
    broker_config_deinit(&c);
    heap_close(heap);
}

static const struct {
    struct topic_override v[2];
    const char *sentence; /* its first words; NULL: none */
} doubtful[] = {
    {{{"segment.bytes", "1048576"}, {"retention.bytes", "1048576"}}, NULL},
    {{{"segment.bytes", "1048576"}, {"retention.bytes", "1048575"}}, "retention.bytes is less than segment.bytes"},
    {{{"cleanup.policy", "compact"}, {"retention.ms", "1000"}}, "retention.ms and retention.bytes have no effect"},
    {{{"cleanup.policy", "compact,delete"}, {"retention.ms", "1000"}}, NULL},
    {{{"segment.bytes", "1048576"}, {"max.message.bytes", "1048577"}}, "max.message.bytes is more than segment.bytes"},
    {{{"disk.full.policy", "delete-oldest"}, {"cleanup.policy", "delete"}}, NULL},
    {{{"disk.full.policy", "delete-oldest"}, {"cleanup.policy", "compact"}},
     "disk.full.policy=delete-oldest has no effect"},
};
static void settings_that_do_not_go_together_are_told(void **state)
{
    (void)state;
    char why[WHY_BYTES] = "";
    struct topic_config c;
    for (size_t i = 0; i < COUNT_OF(doubtful); i++) {
        topic_config_resolve(&c, doubtful[i].v, 2, NULL);
        bool told = topic_config_doubt(&c, doubtful[i].v, 2, 0, why);
        assert_int_equal(told, doubtful[i].sentence != NULL);
        if (told)
            assert_memory_equal(why, doubtful[i].sentence, strlen(doubtful[i].sentence));
        assert_false(topic_config_doubt(&c, doubtful[i].v, 2, told, why));
    }
}

static void a_ring_has_no_policy_but_delete(void **state)
{
    (void)state;
    static const char *const policies[] = {"delete", "delete,delete", "compact", "compact,delete", ""};
    char why[WHY_BYTES] = "";
    struct topic_config c;
    for (size_t i = 0; i < COUNT_OF(policies); i++) {
        const struct topic_override v[] = {{"cleanup.policy", policies[i]}, {"disk.full.policy", "delete-oldest"}};
        enum kerr error = topic_overrides_check(v, 2, why);
        assert_int_equal(error, i < 2 ? KERR_NONE : KERR_INVALID_CONFIG);
        assert_true(i < 2 || strstr(why, "cleanup.policy must be exactly delete"));
        topic_config_resolve(&c, v, 2, NULL);
        assert_int_equal(c.ring, i < 2);
        assert_int_equal(c.ring_in_vain, i >= 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_that_do_not_go_together_are_told),
        cmocka_unit_test(a_ring_has_no_policy_but_delete),
        cmocka_unit_test(every_wanted_key_is_known_and_the_table_is_sorted),
        cmocka_unit_test(every_default_passes_its_own_check_and_every_synonym_is_a_broker_key),
        cmocka_unit_test(values_are_checked_by_type_and_bounds),
        cmocka_unit_test(an_unknown_key_names_the_nearest),
        cmocka_unit_test(keys_of_one_topic_agree),
        cmocka_unit_test(synonyms_are_listed_layer_by_layer),
        cmocka_unit_test(without_overrides_kafkas_defaults_count),
        cmocka_unit_test(the_topics_own_value_beats_the_brokers_and_that_the_default),
        cmocka_unit_test(a_caching_topic_flushes_after_100_ms_unless_told),
        cmocka_unit_test(hours_and_minutes_of_the_broker_are_converted),
        cmocka_unit_test(a_value_says_where_it_comes_from),
    };
    return cmocka_run_group_tests_name("topic_config", tests, open_heap, close_heap);
}
