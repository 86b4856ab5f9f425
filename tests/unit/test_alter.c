/* Partitions and settings that change while the broker runs, on a real shard and real files. */
#define DIR "build/tests/unit/alter"
#include "tests/unit/partition_world.h"

static const struct topic_override lazy[] = {
    {"write.caching", "true"}, {"flush.messages", "1000000"}, {"flush.ms", "1000000"}};

/* --- changes --- */

static void finish(struct catalog_change *c)
{
    c->done = change_done;
    change_is_over = false;
    catalog_change_start(w.shard, c);
    until(&change_is_over);
}
static struct catalog_change alter(const struct config_op *ops, uint32_t count, bool replace_all)
{
    struct catalog_change c = {.kind = CATALOG_CONFIG, .ops = ops, .op_count = count, .replace_all = replace_all};
    memcpy(c.topic_id, w.p->topic->id, 16);
    finish(&c);
    return c;
}
static void must_set(const char *name, const char *value)
{
    const struct config_op op = {name, CONFIG_OP_SET, value};
    struct catalog_change c = alter(&op, 1, false);
    if (c.error != KERR_NONE)
        fail_msg("%s", c.message);
    assert_ptr_equal(w.p->topic, c.topic);
}
static struct catalog_change alter_broker(const char *name, enum config_op_kind kind, const char *value, bool all)
{
    const struct config_op op = {name, kind, value};
    struct catalog_change c = {.kind = CATALOG_BROKER_CONFIG, .ops = &op, .op_count = 1, .cluster_default = all};
    finish(&c);
    return c;
}
static const char *setting(const char *name)
{
    return topic_override_find(w.p->topic->overrides, w.p->topic->override_count, name);
}
static void restart(bool clean)
{
    if (clean) {
        stop();
    } else {
        kill_broker();
        forget_sent();
    }
    start();
    find_partition("t");
}

/* --- topics --- */

static void more_partitions_are_there_at_once_and_after_a_restart(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    struct catalog_change c = {.kind = CATALOG_PARTITIONS, .partitions = 5};
    memcpy(c.topic_id, w.p->topic->id, 16);
    for (int round = 0; round < 3; round++) {
        static const enum kerr errors[] = {KERR_NONE, KERR_INVALID_PARTITIONS, KERR_INVALID_PARTITIONS};
        c.partitions = 5 - round;
        finish(&c);
        assert_int_equal(c.error, errors[round]);
        assert_int_equal(c.message != NULL, round > 0);
    }
    c.partitions = TOPIC_PARTITIONS_MAX + 1;
    finish(&c);
    assert_int_equal(c.error, KERR_INVALID_PARTITIONS);
    c.partitions = 9;
    c.validate_only = true;
    finish(&c);
    assert_int_equal(c.error, KERR_NONE);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(w.p->topic->partitions, 5);
        assert_int_equal(store_of(w.shard)->catalog.partitions_total, 5);
        for (int32_t i = 0; i < 6; i++)
            assert_int_equal(store_partition(store_of(w.shard), w.p->topic->id, i) != NULL, i < 5);
        w.p = store_partition(store_of(w.shard), w.p->topic->id, 4);
        append(1, 100);
        all_are_acked();
        assert_int_equal(partition_facts(w.p).end_offset, round + 1);
        restart(round == 0);
    }
    uint8_t nobody[16] = {1};
    memcpy(c.topic_id, nobody, 16);
    finish(&c);
    assert_int_equal(c.error, KERR_UNKNOWN_TOPIC_OR_PARTITION);
}

static void operations_are_kafkas(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    static const struct {
        struct config_op op;
        enum kerr error;
        const char *after;
    } cases[] = {
        {{"retention.ms", CONFIG_OP_SET, "5000"}, KERR_NONE, "5000"},
        {{"retention.ms", CONFIG_OP_SET, "many"}, KERR_INVALID_CONFIG, "5000"},
        {{"retention.ms", CONFIG_OP_APPEND, "1"}, KERR_INVALID_CONFIG, "5000"},
        {{"retention.ms", CONFIG_OP_SET, NULL}, KERR_INVALID_REQUEST, "5000"},
        {{"retention.ms", CONFIG_OP_DELETE, NULL}, KERR_NONE, NULL},
        {{"retention.ms", CONFIG_OP_DELETE, NULL}, KERR_NONE, NULL},
        {{"cleanup.policy", CONFIG_OP_APPEND, "compact"}, KERR_NONE, "delete,compact"},
        {{"cleanup.policy", CONFIG_OP_APPEND, "compact"}, KERR_NONE, "delete,compact"},
        {{"cleanup.policy", CONFIG_OP_SUBTRACT, "delete"}, KERR_NONE, "compact"},
        {{"cleanup.policy", CONFIG_OP_APPEND, "sometimes"}, KERR_INVALID_CONFIG, "compact"},
        {{"cleanup.policy", CONFIG_OP_DELETE, NULL}, KERR_NONE, NULL},
        {{"no.such.key", CONFIG_OP_SET, "1"}, KERR_INVALID_CONFIG, NULL},
        {{"no.such.key", CONFIG_OP_DELETE, NULL}, KERR_NONE, NULL},
        {{"max.compaction.lag.ms", CONFIG_OP_SET, "5"}, KERR_NONE, "5"},
        {{"min.compaction.lag.ms", CONFIG_OP_SET, "6"}, KERR_INVALID_CONFIG, NULL},
        {{"segment.bytes", (enum config_op_kind)9, "6"}, KERR_INVALID_REQUEST, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct catalog_change c = alter(&cases[i].op, 1, false);
        const char *after = setting(cases[i].op.name);
        assert_int_equal(c.error, cases[i].error);
        assert_int_equal(c.message != NULL, c.error != KERR_NONE);
        assert_int_equal(after != NULL, cases[i].after != NULL);
        if (after)
            assert_string_equal(after, cases[i].after);
    }
    const struct config_op twice[] = {{"retention.ms", CONFIG_OP_SET, "1"}, {"retention.ms", CONFIG_OP_SET, "2"}};
    assert_int_equal(alter(twice, 2, false).error, KERR_INVALID_REQUEST);
    static struct config_op many[600];
    for (size_t i = 0; i < COUNT_OF(many); i++)
        many[i] = (struct config_op){"retention.ms", CONFIG_OP_DELETE, NULL};
    assert_int_equal(alter(many, COUNT_OF(many), false).error, KERR_INVALID_REQUEST);
    const struct config_op whole[] = {{"retention.ms", CONFIG_OP_SET, "7"}};
    assert_int_equal(alter(whole, 1, true).error, KERR_NONE);
    assert_int_equal(w.p->topic->override_count, 1);
    restart(false);
    assert_int_equal(w.p->topic->override_count, 1);
    assert_string_equal(setting("retention.ms"), "7");
    assert_int_equal(alter(NULL, 0, true).error, KERR_NONE);
    assert_int_equal(w.p->topic->override_count, 0);
}

static void a_smaller_segment_and_batch_count_from_the_next_append_on(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    for (int i = 0; i < 20; i++)
        append(1, 60000);
    all_are_acked();
    assert_int_equal(w.p->segments.count, 1);
    must_set("segment.bytes", "1048576");
    append(1, 60000);
    all_are_acked();
    assert_true(w.p->segments.count > 1);
    must_set("max.message.bytes", "50000");
    struct sent *s = append(1, 60000);
    until(&s->over);
    assert_int_equal(s->append.error, KERR_MESSAGE_TOO_LARGE);
    forget_sent();
    must_set("max.message.bytes", "70000");
    append(1, 60000);
    all_are_acked();
    log_is_as_expected(false);
}

/* Appends run all the time; at the moment of the answer everything is durable, and stays so with each ack. */
static void caching_is_turned_off_with_a_flush_before_the_answer(void **state)
{
    (void)state;
    make_topic(lazy, 3);
    for (int i = 0; i < 10; i++)
        append(1, 1000);
    all_are_acked();
    assert_int_equal(w.p->durable.offset, 0);
    const struct config_op op = {"write.caching", CONFIG_OP_SET, "false"};
    struct catalog_change c = {.kind = CATALOG_CONFIG, .ops = &op, .op_count = 1, .done = change_done};
    memcpy(c.topic_id, w.p->topic->id, 16);
    for (int i = 0; i < 5; i++)
        append(1, 1000);
    change_is_over = false;
    catalog_change_start(w.shard, &c);
    while (!change_is_over) {
        if (w.sent_count < 200)
            append(1, 1000);
        turn();
    }
    assert_int_equal(c.error, KERR_NONE);
    assert_true(w.p->durable.offset >= 15);
    assert_int_equal(w.p->durable.offset, w.p->promised.offset);
    append(3, 1000);
    all_are_acked();
    assert_int_equal(w.p->durable.offset, w.p->promised.offset);
    log_is_as_expected(false);
}

static void every_way_to_promise_more_flushes_what_is_there(void **state)
{
    (void)state;
    make_topic(lazy, 3);
    static const struct config_op ways[] = {{"flush.messages", CONFIG_OP_SET, "1"},
                                            {"write.caching", CONFIG_OP_SET, "false"},
                                            {"write.caching", CONFIG_OP_DELETE, NULL}};
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        append(1, 1000);
        all_are_acked();
        assert_true(w.p->durable.offset < w.p->promised.offset);
        assert_int_equal(alter(&ways[i], 1, false).error, KERR_NONE);
        assert_int_equal(w.p->durable.offset, w.p->promised.offset);
        assert_false(w.p->stricter.durable);
        append(1, 1000);
        all_are_acked();
        assert_int_equal(w.p->durable.offset, w.p->promised.offset);
        must_set("flush.messages", "1000000");
        must_set("write.caching", "true");
    }
    append(1, 1000);
    all_are_acked();
    assert_true(w.p->durable.offset < w.p->promised.offset);
}

/* Killed at every moment of the change: what was acknowledged is there, and nothing is called damaged. */
static void a_kill_during_the_change_loses_nothing(void **state)
{
    (void)state;
    make_topic(lazy, 3);
    for (int turns = 0; turns < 12; turns++) {
        bool on = !topic_config_acks_durable(&w.p->topic->config);
        const struct config_op op = {"write.caching", CONFIG_OP_SET, on ? "false" : "true"};
        struct catalog_change c = {.kind = CATALOG_CONFIG, .ops = &op, .op_count = 1, .done = change_done};
        memcpy(c.topic_id, w.p->topic->id, 16);
        append(2, 3000);
        all_are_acked();
        int64_t end = partition_facts(w.p).high_watermark;
        catalog_change_start(w.shard, &c);
        for (int i = 0; i < turns; i++)
            turn();
        restart(false);
        assert_int_equal(w.p->condition, PARTITION_OPEN);
        assert_int_equal(partition_facts(w.p).end_offset, end);
    }
}

static void a_stop_or_a_deletion_during_the_change_goes_on(void **state)
{
    (void)state;
    for (int turns = 0; turns < 6; turns++) {
        make_topic(lazy, 3);
        append(1, 1000);
        all_are_acked();
        const struct config_op op = {"write.caching", CONFIG_OP_SET, "false"};
        struct catalog_change c = {.kind = CATALOG_CONFIG, .ops = &op, .op_count = 1, .done = change_done}, gone;
        memcpy(c.topic_id, w.p->topic->id, 16);
        catalog_change_start(w.shard, &c);
        for (int i = 0; i < turns; i++)
            turn();
        if (turns % 2) {
            restart(true);
            assert_int_equal(partition_facts(w.p).end_offset, 1);
        }
        delete_begin(&gone);
        until(&change_is_over);
        while (store_of(w.shard)->partitions.count > 0)
            turn();
        for (int i = 0; i < 20; i++)
            turn();
        assert_int_equal(store_of(w.shard)->catalog.count, 0);
    }
}

static void a_stricter_rule_for_many_partitions_takes_several_turns(void **state)
{
    (void)state;
    enum { MANY = 2000 };
    for (int stops = 0; stops < 2; stops++) {
        make_topic(lazy, 3);
        append(1, 1000);
        all_are_acked();
        struct catalog_change more = {.kind = CATALOG_PARTITIONS, .partitions = MANY}, gone;
        memcpy(more.topic_id, w.p->topic->id, 16);
        finish(&more);
        assert_int_equal(more.error, KERR_NONE);
        const struct config_op op = {"write.caching", CONFIG_OP_SET, "false"};
        struct catalog_change c = {.kind = CATALOG_CONFIG, .ops = &op, .op_count = 1, .done = change_done};
        memcpy(c.topic_id, w.p->topic->id, 16);
        change_is_over = false;
        catalog_change_start(w.shard, &c);
        for (int i = 0; i < 100 && list_empty(&store_of(w.shard)->preparations); i++)
            turn();
        assert_false(list_empty(&store_of(w.shard)->preparations)); /* not all in one */
        if (stops) {
            restart(true);
            assert_int_equal(partition_facts(w.p).end_offset, 1);
        } else {
            until(&change_is_over);
            assert_int_equal(c.error, KERR_NONE);
            assert_int_equal(w.p->durable.offset, w.p->promised.offset);
        }
        assert_true(list_empty(&store_of(w.shard)->preparations));
        delete_begin(&gone);
        until(&change_is_over);
        while (store_of(w.shard)->partitions.count > 0)
            turn();
    }
}

/* --- the broker --- */

static void the_brokers_settings_reach_topics_without_their_own(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    struct store *st = store_of(w.shard);
    assert_int_equal(alter_broker("log.segment.bytes", CONFIG_OP_SET, "2000000", true).error, KERR_NONE);
    assert_int_equal(w.p->topic->config.segment_bytes, 2000000);
    assert_string_equal(broker_config_get(st->config, "log.segment.bytes"), "2000000");
    assert_int_equal(alter_broker("log.segment.bytes", CONFIG_OP_SET, "3000000", false).error, KERR_NONE);
    assert_int_equal(w.p->topic->config.segment_bytes, 3000000);
    assert_string_equal(broker_config_get(st->config, "log.segment.bytes"), "3000000");
    assert_int_equal(alter_broker("max.connections", CONFIG_OP_SET, "17", false).error, KERR_NONE);
    assert_int_equal(st->config->max_connections, 17);
    assert_int_equal(w.root->config->max_connections, INT32_MAX); /* what the broker was started with stays */
    assert_int_equal(broker_config_source(st->config, "log.segment.bytes"), CONFIG_SOURCE_DYNAMIC_BROKER);
    for (int round = 0; round < 2; round++) {
        restart(round == 0);
        st = store_of(w.shard);
        assert_int_equal(w.p->topic->config.segment_bytes, 3000000);
        assert_int_equal(st->config->max_connections, 17);
        assert_string_equal(broker_config_in(st->config, "log.segment.bytes", CONFIG_SOURCE_DYNAMIC_DEFAULT),
                            "2000000");
    }
    must_set("segment.bytes", "4000000");
    assert_int_equal(alter_broker("log.segment.bytes", CONFIG_OP_DELETE, NULL, false).error, KERR_NONE);
    assert_int_equal(w.p->topic->config.segment_bytes, 4000000);
    assert_int_equal(alter(NULL, 0, true).error, KERR_NONE);
    assert_int_equal(w.p->topic->config.segment_bytes, 2000000);
}

static void caching_of_the_whole_broker_is_turned_off_with_a_flush(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(alter_broker("log.flush.interval.ms", CONFIG_OP_SET, "1000000", true).error, KERR_NONE);
        assert_int_equal(alter_broker("write.caching", CONFIG_OP_SET, "true", true).error, KERR_NONE);
        append(1, 1000);
        all_are_acked();
        assert_true(w.p->durable.offset < w.p->promised.offset);
        assert_int_equal(alter_broker("write.caching", CONFIG_OP_DELETE, NULL, true).error, KERR_NONE);
        assert_int_equal(w.p->durable.offset, w.p->promised.offset);
        append(1, 1000);
        all_are_acked();
        assert_int_equal(w.p->durable.offset, w.p->promised.offset);
    }
}

static void what_cannot_change_while_it_runs_is_an_invalid_request(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value;
        bool all;
        enum kerr error;
    } cases[] = {
        {"log.dirs", "/tmp", false, KERR_INVALID_REQUEST},
        {"node.id", "2", false, KERR_INVALID_REQUEST},
        {"listeners", "PLAINTEXT://:1", false, KERR_INVALID_REQUEST},
        {"log.retention.hours", "2", false, KERR_INVALID_REQUEST},
        {"no.such.key", "2", false, KERR_INVALID_REQUEST},
        {"max.connections", "many", false, KERR_INVALID_REQUEST},
        {"ssl.keystore.location", "/k", false, KERR_INVALID_REQUEST},
        {"ssl.protocol", "TLSv1.3", true, KERR_INVALID_REQUEST},
        {"ssl.protocol", "TLSv1.3", false, KERR_NONE},
        {"listener.name.a.ssl.keystore.location", "/k", true, KERR_INVALID_REQUEST},
        {"listener.name.a.ssl.keystore.location", "/k", false, KERR_NONE},
        {"log.retention.ms", "2", true, KERR_NONE},
        {"log.retention.ms", "0", true, KERR_INVALID_REQUEST},
        {"log.cleaner.threads", "2", true, KERR_NONE},
        {"min.insync.replicas", "1", true, KERR_NONE},
        {"producer.id.expiration.ms", "2000", true, KERR_NONE},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct catalog_change c = alter_broker(cases[i].name, CONFIG_OP_SET, cases[i].value, cases[i].all);
        if (c.error != cases[i].error)
            fail_msg("%s: %d", cases[i].name, c.error);
        assert_int_equal(c.message != NULL, c.error != KERR_NONE);
    }
}

static void the_brokers_own_topics_are_durable_whatever_is_set(void **state)
{
    (void)state;
    assert_int_equal(alter_broker("write.caching", CONFIG_OP_SET, "true", true).error, KERR_NONE);
    struct catalog_change c = {.kind = CATALOG_CREATE, .name = "__consumer_offsets", .partitions = 1};
    finish(&c);
    assert_int_equal(c.error, KERR_NONE);
    find_partition("__consumer_offsets");
    assert_true(w.p->topic->config.write_caching);
    append(1, 1000);
    all_are_acked();
    assert_int_equal(w.p->durable.offset, 1);
}

#define CASE(f)                                                                    \
    {                                                                              \
        .name = #f, .test_func = f, .setup_func = setup, .teardown_func = teardown \
    }
int main(void)
{
    struct CMUnitTest tests[] = {
        CASE(more_partitions_are_there_at_once_and_after_a_restart),
        CASE(operations_are_kafkas),
        CASE(a_smaller_segment_and_batch_count_from_the_next_append_on),
        CASE(caching_is_turned_off_with_a_flush_before_the_answer),
        CASE(every_way_to_promise_more_flushes_what_is_there),
        CASE(a_kill_during_the_change_loses_nothing),
        CASE(a_stop_or_a_deletion_during_the_change_goes_on),
        CASE(a_stricter_rule_for_many_partitions_takes_several_turns),
        CASE(the_brokers_settings_reach_topics_without_their_own),
        CASE(caching_of_the_whole_broker_is_turned_off_with_a_flush),
        CASE(what_cannot_change_while_it_runs_is_an_invalid_request),
        CASE(the_brokers_own_topics_are_durable_whatever_is_set),
    };
    return run_in_modes(tests, COUNT_OF(tests), 2);
}
