/* The broker's configuration: the table, one key, all together, a file, and the sentences when something is wrong. */
#include "storage/config/broker_config.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

static struct broker_config config;
static char why[CONFIG_WHY_BYTES];

static void set(const char *name, const char *value)
{
    if (broker_config_set(&config, name, value, "argument", why) != ERR_NONE)
        fail_msg("%s", why);
}

static void finish(void)
{
    if (broker_config_finish(&config, why) != ERR_NONE)
        fail_msg("%s", why);
}

static void the_table_is_sorted_and_every_default_is_possible(void **state)
{
    (void)state;
    char fault[CONFIG_FAULT_BYTES];
    assert_true(broker_key_count() > 400);
    for (uint32_t i = 0; i < broker_key_count(); i++) {
        const struct broker_key *key = broker_key_at(i);
        assert_ptr_equal(broker_key_find(key->name), key);
        assert_true(i == 0 || strcmp(broker_key_at(i - 1)->name, key->name) < 0);
        assert_true(strlen(key->doc) > 10);
        if (key->fallback && !config_value_check(key->type, &key->rule, key->fallback, fault))
            fail_msg("%s=%s %s", key->name, key->fallback, fault);
    }
}

static void keys_of_all_parts_of_kafka_are_known(void **state)
{
    (void)state;
    static const char *const known[] = {
        "zookeeper.connect",
        "broker.id.generation.enable",
        "advertised.host.name",
        "process.roles",
        "controller.quorum.voters",
        "num.network.threads",
        "num.io.threads",
        "replica.lag.time.max.ms",
        "offsets.topic.replication.factor",
        "group.initial.rebalance.delay.ms",
        "transaction.state.log.min.isr",
        "log.retention.hours",
        "ssl.keystore.location",
        "sasl.enabled.mechanisms",
        "metric.reporters",
        "remote.log.storage.system.enable",
        "quota.window.num",
        "socket.send.buffer.bytes",
        "leader.imbalance.per.broker.percentage",
        "inter.broker.protocol.version",
        "num.recovery.threads.per.data.dir",
    };
    for (uint32_t i = 0; i < COUNT_OF(known); i++)
        assert_non_null(broker_key_find(known[i]));
}

/* storage/README.md tells users which keys are obeyed. */
static const char *const with_other_names[] = {"compression.", "max.decompressed.message.bytes", "disk.full.policy",
                                               "write.caching"}; /* "the same" as the topic's */
static bool is_told_as_the_topics(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(with_other_names); i++)
        if (strncmp(name, with_other_names[i], strlen(with_other_names[i])) == 0)
            return true;
    return false;
}
static void the_readme_names_the_keys_that_are_obeyed_and_no_others(void **state)
{
    (void)state;
    static char text[1 << 20];
    bool told[1024] = {false};
    FILE *f = fopen("storage/README.md", "r");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    char *at = strstr(text, "### Keys that are obeyed"), *line_rest = NULL;
    assert_non_null(at);
    int column = 1; /* with the broker's keys: the first of the broker's table, the second of the topics' */
    for (char *line = strtok_r(at, "\n", &line_rest); line; line = strtok_r(NULL, "\n", &line_rest)) {
        column = strncmp(line, "| Topic |", 9) == 0 ? 2 : column;
        char *cell = line[0] == '|' ? line + 1 : NULL;
        for (int i = 1; cell && i < column; i++)
            cell = strchr(cell, '|') + 1;
        char *end = cell ? strchr(cell, '|') : NULL;
        for (char *name = cell; name && (name = memchr(name, '`', (size_t)(end - name)));) {
            char *name_end = strchr(name + 1, '`'), key[128];
            snprintf(key, sizeof key, "%.*s", (int)(name_end - name - 1), name + 1);
            name = name_end + 1;
            const struct broker_key *k = broker_key_find(key);
            if (!k || !k->effective)
                fail_msg("%s is not obeyed", key);
            told[k - broker_key_at(0)] = true;
        }
    }
    assert_true(broker_key_count() <= COUNT_OF(told));
    for (uint32_t i = 0; i < broker_key_count(); i++)
        if (broker_key_at(i)->effective && !told[i] && !is_told_as_the_topics(broker_key_at(i)->name))
            fail_msg("storage/README.md does not tell of %s", broker_key_at(i)->name);
}

static void an_empty_configuration_is_a_development_broker(void **state)
{
    (void)state;
    finish();
    assert_int_equal(config.node_id, 1);
    assert_string_equal(config.data_dir, "odradek-data");
    assert_int_equal(config.listener_count, 1);
    assert_string_equal(config.listeners[0].name, "PLAINTEXT");
    assert_string_equal(config.listeners[0].host, "localhost");
    assert_int_equal(config.listeners[0].port, 9092);
    assert_int_equal(config.advertised_count, 0);
    assert_int_equal(config.disk, DISK_AUTO);
    assert_true(config.auto_create_topics && config.delete_topic_enable);
    assert_int_equal(config.num_partitions, 1);
    assert_int_equal(config.socket_request_max_bytes, 104857600);
    assert_int_equal(config.fetch_max_bytes, 57671680);
    assert_int_equal(config.max_connections, INT32_MAX);
    assert_int_equal(config.connections_max_idle_ms, 600000);
    assert_int_equal(config.fetch_session_slots, 1000);
    assert_int_equal(config.producer_id_expiration_ms, 86400000);
    assert_int_equal(config.topic_defaults.max_message_bytes, 1048588);
    assert_string_equal(broker_key_find("group.initial.rebalance.delay.ms")->fallback, "0");
}

static void what_is_set_counts_and_the_last_word_wins(void **state)
{
    (void)state;
    set("num.partitions", "3");
    set("log.dirs", " /srv/data ");
    set("disk.io", "direct");
    set("write.caching", "true");
    set("auto.create.topics.enable", "False");
    set("num.partitions", "4");
    set("broker.id", "17");
    set("message.max.bytes", "1000");
    set("max.connections.per.ip", "7");
    finish();
    assert_int_equal(config.num_partitions, 4);
    assert_string_equal(config.data_dir, "/srv/data");
    assert_int_equal(config.disk, DISK_DIRECT);
    assert_true(config.topic_defaults.write_caching);
    assert_int_equal(config.topic_defaults.flush_ms, 100);
    assert_int_equal(config.topic_defaults.max_message_bytes, 1000);
    assert_false(config.auto_create_topics);
    assert_int_equal(config.node_id, 17);
    assert_int_equal(config.max_connections_per_ip, 7);
    assert_string_equal(broker_config_get(&config, "num.partitions"), "4");
    assert_string_equal(config.set->name, "num.partitions");
    assert_null(broker_config_get(&config, "fetch.max.bytes"));
}

static void log_dirs_beats_log_dir(void **state)
{
    (void)state;
    set("log.dirs", "/a");
    set("log.dir", "/b");
    finish();
    assert_string_equal(config.data_dir, "/a");
}

static void listeners_have_names_hosts_and_ports(void **state)
{
    (void)state;
    set("controller.listener.names", "CONTROLLER");
    set("listeners", "PLAINTEXT://:9092, inside://[::1]:0,CONTROLLER://:9093");
    set("listener.security.protocol.map", "INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT");
    set("advertised.listeners", "PLAINTEXT://box.example:9092");
    finish();
    assert_int_equal(config.listener_count, 2);
    assert_string_equal(config.listeners[0].host, "");
    assert_string_equal(config.listeners[1].name, "INSIDE");
    assert_string_equal(config.listeners[1].host, "::1");
    assert_int_equal(config.listeners[1].port, 0);
    assert_int_equal(config.advertised_count, 1);
    assert_string_equal(config.advertised[0].host, "box.example");
}

/* A pair that is refused at once, with words of the sentence. */
static const struct {
    const char *name, *value, *words;
} refused[] = {
    {"num.partition", "1", "did you mean num.partitions"},
    {"zookeper.connect", "x", "did you mean zookeeper.connect"},
    {"qqqqqqqqqq", "x", "remove it"},
    {"num.partitions", "abc", "must be a whole number from 1 to 2147483647"},
    {"num.partitions", "0", "must be a whole number from 1"},
    {"auto.create.topics.enable", "on", "must be true or false"},
    {"disk.io", "fast", "must be one of auto|direct|buffered"},
    {"log.dirs", "/a,/b", "exactly one folder"},
    {"log.dirs", "", "exactly one folder"},
    {"listeners", "localhost:9092", "is no address"},
    {"listeners", "PLAINTEXT://localhost", "is no address"},
    {"listeners", "PLAINTEXT://localhost:65536", "is no address"},
    {"listeners", "", "names no listener"},
    {"listeners", "A://:1,A://:2", "two listeners with the name A"},
    {"log.cleanup.policy", "squeeze", "compact|delete"},
    {"log.segment.bytes", "100", "from 1048576"},
};

static void a_wrong_pair_is_a_sentence(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < COUNT_OF(refused); i++) {
        assert_int_equal(broker_config_set(&config, refused[i].name, refused[i].value, "server.properties:12", why),
                         ERR_INVALID);
        if (!strstr(why, refused[i].words) || !strstr(why, refused[i].name) ||
            strncmp(why, "server.properties:12: ", 22) != 0)
            fail_msg("%s=%s: %s", refused[i].name, refused[i].value, why);
        broker_config_deinit(&config);
        broker_config_init(&config, *state);
    }
}

/* Pairs that only together make no sense. */
static const struct {
    const char *name, *value, *other, *other_value, *words;
} together[] = {
    {"listeners", "SSL://:9093", "num.partitions", "1", "does not speak yet"},
    {"listeners", "OUT://:9093", "listener.security.protocol.map", "OUT:SASL_SSL", "does not speak yet"},
    {"listeners", "OUT://:9093", "num.partitions", "1", "nothing says what OUT speaks"},
    {"listeners", "CONTROLLER://:9093", "controller.listener.names", "CONTROLLER", "add one for clients"},
    {"listeners", "A://h:1,B://H:1", "listener.security.protocol.map", "A:PLAINTEXT,B:PLAINTEXT", "same address"},
    {"advertised.listeners", "OUT://h:1", "num.partitions", "1", "there is no listener OUT"},
    {"advertised.listeners", "PLAINTEXT://0.0.0.0:1", "num.partitions", "1", "nobody can connect"},
    {"advertised.listeners", "PLAINTEXT://h:0", "num.partitions", "1", "nobody can connect"},
    {"node.id", "1", "broker.id", "2", "set only one"},
    {"log.retention.hours", "0", "num.partitions", "1", "at least 1"},
    {"log.retention.hours", "5", "log.retention.ms", "0", "log.retention.ms=0"},
};

static void both_names_of_the_brokers_number_say_it(void **state)
{
    static const struct {
        const char *name, *value, *number;
    } ways[] = {{"num.partitions", "1", "1"}, {"node.id", "5", "5"}, {"broker.id", "6", "6"}, {"broker.id", "-1", "1"}};
    for (uint32_t i = 0; i < COUNT_OF(ways); i++) {
        broker_config_deinit(&config);
        broker_config_init(&config, *state);
        set(ways[i].name, ways[i].value);
        finish();
        assert_string_equal(broker_config_get(&config, "broker.id"), ways[i].number);
        const char *node = broker_config_get(&config, "node.id");
        assert_string_equal(node ? node : broker_key_find("node.id")->fallback, ways[i].number);
    }
}

static void pairs_that_do_not_fit_are_a_sentence(void **state)
{
    for (uint32_t i = 0; i < COUNT_OF(together); i++) {
        broker_config_deinit(&config);
        broker_config_init(&config, *state);
        set(together[i].name, together[i].value);
        set(together[i].other, together[i].other_value);
        assert_int_equal(broker_config_finish(&config, why), ERR_INVALID);
        if (!strstr(why, together[i].words) || strncmp(why, "argument: ", 10) != 0)
            fail_msg("%s=%s: %s", together[i].name, together[i].value, why);
    }
}

static void a_retention_of_nothing_counts_only_if_nothing_else_is_said(void **state)
{
    (void)state;
    set("log.retention.hours", "0");
    set("log.retention.minutes", "-7");
    finish();
    assert_int_equal(config.topic_defaults.retention_ms, -1);
}

static void keys_without_effect_and_composed_ones_are_kept(void **state)
{
    (void)state;
    set("zookeeper.connect", "localhost:2181");
    set("listener.name.internal.ssl.keystore.location", "/k");
    set("ssl.keystore.password", "secret");
    finish();
    assert_string_equal(broker_config_get(&config, "zookeeper.connect"), "localhost:2181");
    assert_string_equal(broker_config_get(&config, "listener.name.internal.ssl.keystore.location"), "/k");
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    fclose(f);
}

static void a_file_is_read_and_its_faults_name_the_line(void **state)
{
    (void)state;
    const char *path = "build/tests/unit/server.properties";
    write_file(path, "# a comment\nnum.partitions = 5\n\nlog.dirs: /x\\\n  y\nauto.create.topics.enable\tfalse\r\n");
    assert_int_equal(broker_config_load(&config, path, why), ERR_NONE);
    finish();
    assert_int_equal(config.num_partitions, 5);
    assert_string_equal(config.data_dir, "/xy");
    assert_false(config.auto_create_topics);
    write_file(path, "num.partitions=5\n# two\nnum.io.threads=many\n");
    assert_int_equal(broker_config_load(&config, path, why), ERR_INVALID);
    assert_int_equal(strncmp(why, "server.properties:3: num.io.threads=many: ", 42), 0);
    assert_int_equal(broker_config_load(&config, "build/tests/unit/none", why), ERR_NOT_FOUND);
    assert_non_null(strstr(why, "cannot be read"));
    assert_int_equal(broker_config_load(&config, "build/tests/unit", why), ERR_IO);
}

static int setup(void **state)
{
    mkdir("build", 0755);
    mkdir("build/tests", 0755);
    mkdir("build/tests/unit", 0755);
    *state = heap_open();
    if (!*state)
        return -1;
    broker_config_init(&config, *state);
    return 0;
}

static int teardown(void **state)
{
    broker_config_deinit(&config);
    heap_close(*state);
    return 0;
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

/* --- while the broker runs --- */

static const char *const dynamic[] = {
    "background.threads",
    "config.providers",
    "follower.fetch.last.tiered.offset.enable",
    "follower.replication.throttled.rate",
    "group.coordinator.cached.buffer.max.bytes",
    "leader.replication.throttled.rate",
    "log.cleaner.backoff.ms",
    "log.cleaner.dedupe.buffer.size",
    "log.cleaner.io.buffer.load.factor",
    "log.cleaner.io.buffer.size",
    "log.cleaner.io.max.bytes.per.second",
    "log.cleaner.threads",
    "max.connection.creation.rate",
    "max.connections",
    "max.connections.per.ip",
    "max.connections.per.ip.overrides",
    "metric.reporters",
    "num.io.threads",
    "num.network.threads",
    "num.recovery.threads.per.data.dir",
    "num.replica.fetchers",
    "principal.builder.class",
    "producer.id.expiration.ms",
    "remote.fetch.max.wait.ms",
    "remote.list.offsets.request.timeout.ms",
    "remote.log.index.file.cache.total.size.bytes",
    "remote.log.manager.copier.thread.pool.size",
    "remote.log.manager.copy.max.bytes.per.second",
    "remote.log.manager.expiration.thread.pool.size",
    "remote.log.manager.fetch.max.bytes.per.second",
    "remote.log.reader.threads",
    "replica.alter.log.dirs.io.max.bytes.per.second",
    "sasl.enabled.mechanisms",
    "sasl.jaas.config",
    "sasl.kerberos.kinit.cmd",
    "sasl.kerberos.min.time.before.relogin",
    "sasl.kerberos.principal.to.local.rules",
    "sasl.kerberos.service.name",
    "sasl.kerberos.ticket.renew.jitter",
    "sasl.kerberos.ticket.renew.window.factor",
    "sasl.login.refresh.buffer.seconds",
    "sasl.login.refresh.min.period.seconds",
    "sasl.login.refresh.window.factor",
    "sasl.login.refresh.window.jitter",
    "sasl.mechanism.inter.broker.protocol",
    "share.coordinator.cached.buffer.max.bytes",
    "ssl.cipher.suites",
    "ssl.client.auth",
    "ssl.enabled.protocols",
    "ssl.endpoint.identification.algorithm",
    "ssl.engine.factory.class",
    "ssl.keymanager.algorithm",
    "ssl.protocol",
    "ssl.provider",
    "ssl.secure.random.implementation",
    "ssl.trustmanager.algorithm",
    "transaction.partition.verification.enable",
    "log.retention.ms",
    "log.segment.bytes",
    "message.max.bytes",
    "min.insync.replicas",
    "write.caching",
};

static void what_kafka_lets_one_alter_can_be_altered(void **state)
{
    (void)state;
    static const char *const fixed[] = {"log.dirs", "node.id", "listeners", "log.retention.hours",
                                        "offsets.topic.num.partitions"};
    for (uint32_t i = 0; i < COUNT_OF(dynamic); i++) {
        assert_true(broker_key_dynamic(dynamic[i]));
        assert_non_null(broker_key_find(dynamic[i]));
    }
    for (uint32_t i = 0; i < COUNT_OF(fixed); i++)
        assert_false(broker_key_dynamic(fixed[i]));
}

static void a_version_has_its_layers_and_the_one_before_stays_as_it_was(void **state)
{
    (void)state;
    const struct topic_override all[] = {{"max.connections", "20"}, {"log.segment.bytes", "2000000"}};
    const struct topic_override own[] = {{"max.connections", "30"}};
    set("max.connections", "10");
    set("broker.id", "7");
    finish();
    struct heap *heap = config.heap;
    struct broker_config *a = broker_config_version(&config, heap, CONFIG_SOURCE_DYNAMIC_DEFAULT, all, 2);
    struct broker_config *b = broker_config_version(a, heap, CONFIG_SOURCE_DYNAMIC_BROKER, own, 1);
    struct broker_config *c = broker_config_version(b, heap, CONFIG_SOURCE_DYNAMIC_DEFAULT, NULL, 0);
    struct broker_config *d = broker_config_version(c, heap, CONFIG_SOURCE_DYNAMIC_BROKER, NULL, 0);
    assert_int_equal(config.max_connections, 10);
    assert_int_equal(a->max_connections, 20);
    assert_int_equal(a->topic_defaults.segment_bytes, 2000000);
    assert_int_equal(b->max_connections, 30);
    assert_int_equal(b->topic_defaults.segment_bytes, 2000000);
    assert_int_equal(c->max_connections, 30);
    assert_int_equal(c->topic_defaults.segment_bytes, 1 << 30);
    assert_int_equal(d->max_connections, 10);
    assert_int_equal(d->node_id, 7);
    assert_int_equal(broker_config_source(b, "max.connections"), CONFIG_SOURCE_DYNAMIC_BROKER);
    assert_int_equal(broker_config_source(a, "max.connections"), CONFIG_SOURCE_DYNAMIC_DEFAULT);
    assert_int_equal(broker_config_source(d, "max.connections"), CONFIG_SOURCE_BROKER);
    assert_int_equal(broker_config_source(d, "num.partitions"), CONFIG_SOURCE_DEFAULT);
    assert_string_equal(broker_config_get(b, "max.connections"), "30");
    struct config_synonym s[CONFIG_SYNONYMS_MAX];
    assert_int_equal(broker_synonyms("max.connections", b, s), 4);
    for (int i = 0; i < 4; i++) {
        static const char *const values[] = {"30", "20", "10", "2147483647"};
        assert_string_equal(s[i].value, values[i]);
        assert_int_equal(s[i].source, CONFIG_SOURCE_DYNAMIC_BROKER + i);
    }
    assert_int_equal(topic_synonyms(topic_key_find("segment.bytes"), all + 1, 0, b, s), 2);
    assert_string_equal(s[0].name, "log.segment.bytes");
    assert_int_equal(s[0].source, CONFIG_SOURCE_DYNAMIC_DEFAULT);
    struct broker_config *versions[] = {d, c, b, a};
    for (int i = 0; i < 4; i++)
        broker_config_version_free(versions[i]);
}

/* As a newer release may have left it in the catalog, whose reader does not check what it cannot judge. */
static void what_cannot_be_altered_does_not_count_in_a_dynamic_layer_and_is_kept(void **state)
{
    static const char *const values[] = {"7", "nonsense"};
    static const enum config_source layers[] = {CONFIG_SOURCE_DYNAMIC_BROKER, CONFIG_SOURCE_DYNAMIC_DEFAULT};
    finish();
    for (uint32_t i = 0; i < COUNT_OF(values) * COUNT_OF(layers); i++) {
        const enum config_source layer = layers[i / 2], other = layers[1 - i / 2];
        const struct topic_override v[] = {
            {"num.partitions", values[i % 2]}, {"max.connections", "20"}, {"a.later.key", "on"}};
        struct broker_config *a = broker_config_version(&config, *state, layer, v, COUNT_OF(v));
        struct broker_config *b = broker_config_version(a, *state, other, NULL, 0);
        struct config_synonym s[CONFIG_SYNONYMS_MAX];
        assert_int_equal(b->num_partitions, 1);
        assert_null(broker_config_get(b, "num.partitions"));
        assert_null(broker_config_in(b, "num.partitions", layer));
        assert_int_equal(broker_config_source(b, "num.partitions"), CONFIG_SOURCE_DEFAULT);
        assert_int_equal(broker_synonyms("num.partitions", b, s), 1);
        assert_int_equal(s[0].source, CONFIG_SOURCE_DEFAULT);
        assert_string_equal(s[0].value, "1");
        assert_null(broker_config_get(b, "a.later.key"));
        assert_int_equal(broker_synonyms("a.later.key", b, s), 0);
        assert_int_equal(b->max_connections, 20);
        assert_int_equal(broker_config_source(b, "max.connections"), layer);
        const struct config_entry *kept = layer == CONFIG_SOURCE_DYNAMIC_BROKER ? b->dynamic : b->dynamic_default;
        for (uint32_t k = 0; k < COUNT_OF(v); k++, kept = kept->next) {
            assert_string_equal(kept->name, v[k].name);
            assert_string_equal(kept->value, v[k].value);
        }
        broker_config_version_free(b);
        broker_config_version_free(a);
    }
}

/* What the start was given counts then, not the default. */
static void what_was_set_at_the_start_outlasts_a_dynamic_layer_that_may_not_alter_it(void **state)
{
    const struct topic_override v[] = {{"num.partitions", "7"}, {"log.retention.hours", "3"}};
    struct topic_value value;
    set("num.partitions", "4");
    set("log.retention.hours", "2");
    finish();
    struct broker_config *a = broker_config_version(&config, *state, CONFIG_SOURCE_DYNAMIC_BROKER, v, COUNT_OF(v));
    assert_int_equal(a->num_partitions, 4);
    assert_string_equal(broker_config_get(a, "num.partitions"), "4");
    assert_int_equal(broker_config_source(a, "num.partitions"), CONFIG_SOURCE_BROKER);
    topic_value_get(topic_key_find("retention.ms"), NULL, 0, a, &value);
    assert_string_equal(value.value, "7200000");
    assert_int_equal(value.source, CONFIG_SOURCE_BROKER);
    broker_config_version_free(a);
}

static void keys_of_groups_have_fields(void **state)
{
    (void)state;
    finish();
    assert_int_equal(config.offsets_topic_partitions, 50);
    assert_int_equal(config.offsets_topic_segment_bytes, 104857600);
    assert_int_equal(config.offsets_retention_ms, 604800000);
    assert_int_equal(config.offsets_retention_check_ms, 600000);
    assert_int_equal(config.offset_metadata_max_bytes, 4096);
    assert_int_equal(config.group_initial_rebalance_delay_ms, 0);
    assert_int_equal(config.group_min_session_timeout_ms, 6000);
    assert_int_equal(config.group_max_session_timeout_ms, 1800000);
    assert_int_equal(config.group_max_size, INT32_MAX);
    set("offsets.retention.minutes", "2");
    set("group.initial.rebalance.delay.ms", "3000");
    assert_int_equal(config.offsets_retention_ms, 120000);
    assert_int_equal(config.group_initial_rebalance_delay_ms, 3000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_table_is_sorted_and_every_default_is_possible),
        CASE(keys_of_all_parts_of_kafka_are_known),
        CASE(the_readme_names_the_keys_that_are_obeyed_and_no_others),
        CASE(an_empty_configuration_is_a_development_broker),
        CASE(what_is_set_counts_and_the_last_word_wins),
        CASE(log_dirs_beats_log_dir),
        CASE(listeners_have_names_hosts_and_ports),
        CASE(a_wrong_pair_is_a_sentence),
        CASE(both_names_of_the_brokers_number_say_it),
        CASE(pairs_that_do_not_fit_are_a_sentence),
        CASE(a_retention_of_nothing_counts_only_if_nothing_else_is_said),
        CASE(keys_without_effect_and_composed_ones_are_kept),
        CASE(a_file_is_read_and_its_faults_name_the_line),
        CASE(what_kafka_lets_one_alter_can_be_altered),
        CASE(a_version_has_its_layers_and_the_one_before_stays_as_it_was),
        CASE(what_cannot_be_altered_does_not_count_in_a_dynamic_layer_and_is_kept),
        CASE(what_was_set_at_the_start_outlasts_a_dynamic_layer_that_may_not_alter_it),
        CASE(keys_of_groups_have_fields),
    };
    return cmocka_run_group_tests_name("broker_config", tests, NULL, NULL);
}
