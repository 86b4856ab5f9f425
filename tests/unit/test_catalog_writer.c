/* Catalog changes from several shards, in a small world of our own: messages, the end of a turn, writes and jobs happen one
 * after the other, and any write or job can be made to fail. The file is a real one. */
#include "tests/unit/catalog_world.h"

/* --- changes --- */

struct ask {
    struct catalog_change change;
    int done;    /* in which order, 0: not yet */
    bool usable; /* every shard knew the topic when the answer came */
    char name[TOPIC_NAME_MAX + 10];
};
static int done_count;

static bool known_everywhere(const char *name)
{
    for (int i = 0; i < SHARDS; i++)
        if (!catalog_by_name(&stores[i].catalog, (const uint8_t *)name, strlen(name)))
            return false;
    return true;
}

static void ask_done(struct catalog_change *c)
{
    struct ask *a = container_of(c, struct ask, change);
    assert_int_equal(a->done, 0);
    a->done = ++done_count;
    a->usable = known_everywhere(a->name);
}

static void start_create(struct ask *a, uint16_t shard, const char *name, int32_t partitions)
{
    *a = (struct ask){.change = {.kind = CATALOG_CREATE, .partitions = partitions, .done = ask_done}};
    snprintf(a->name, sizeof a->name, "%s", name);
    a->change.name = a->name;
    catalog_change_start(&shards[shard], &a->change);
    assert_int_equal(a->done, 0);
}

static void start_delete(struct ask *a, uint16_t shard, const uint8_t id[16])
{
    *a = (struct ask){.change = {.kind = CATALOG_DELETE, .done = ask_done}};
    memcpy(a->change.topic_id, id, 16);
    catalog_change_start(&shards[shard], &a->change);
}

static void start_ids(struct ask *a, uint16_t shard)
{
    *a = (struct ask){.change = {.kind = CATALOG_PRODUCER_IDS, .done = ask_done}};
    catalog_change_start(&shards[shard], &a->change);
}

static enum kerr create(const char *name, int32_t partitions)
{
    struct ask a;
    start_create(&a, 1, name, partitions);
    run();
    assert_true(a.done > 0);
    return a.change.error;
}

static enum kerr delete (const uint8_t id[16]) {
    struct ask a; start_delete(&a, 2, id); run(); assert_true(a.done > 0); return a.change.error;
}

static struct topic *topic_named(const char *name)
{
    return catalog_by_name(&stores[2].catalog, (const uint8_t *)name, strlen(name));
}

static void start_partitions(struct ask *a, uint16_t shard, const uint8_t id[16], int32_t partitions)
{
    *a = (struct ask){.change = {.kind = CATALOG_PARTITIONS, .partitions = partitions, .done = ask_done}};
    memcpy(a->change.topic_id, id, 16);
    catalog_change_start(&shards[shard], &a->change);
}

static void start_config(struct ask *a, uint16_t shard, const uint8_t id[16], const struct config_op *op)
{
    *a = (struct ask){.change = {.kind = CATALOG_CONFIG, .ops = op, .op_count = 1, .done = ask_done}};
    memcpy(a->change.topic_id, id, 16);
    catalog_change_start(&shards[shard], &a->change);
}

static void start_broker(struct ask *a, uint16_t shard, const struct config_op *op)
{
    *a = (struct ask){.change = {.kind = CATALOG_BROKER_CONFIG, .ops = op, .op_count = 1, .done = ask_done}};
    catalog_change_start(&shards[shard], &a->change);
}

/* Every shard has the same versions, and they are those of the file. */
static void views_agree(void)
{
    for (int i = 0; i < SHARDS; i++) {
        const struct catalog *view = &stores[i].catalog;
        assert_int_equal(view->count, catalog_file_topics(root.catalog));
        assert_int_equal(view->partitions_total, catalog_file_partitions(root.catalog));
        assert_ptr_equal(stores[i].config, catalog_file_config(root.catalog));
        for (uint32_t t = 0; t < view->count; t++)
            assert_ptr_equal(view->sorted[t], catalog_file_topic(root.catalog, t));
    }
}

/* --- statements --- */

static void a_created_topic_is_known_to_every_shard_and_durable_before_the_answer(void **state)
{
    (void)state;
    struct ask a;
    start_create(&a, 2, "orders", 3);
    run();
    assert_int_equal(a.change.error, KERR_NONE);
    assert_true(a.usable);
    assert_ptr_equal(a.change.topic, topic_named("orders"));
    assert_int_equal(a.change.topic->partitions, 3);
    assert_int_equal(a.change.topic->id[6] >> 4, 4);
    for (int i = 0; i < SHARDS; i++)
        assert_int_equal(applied[i], 1);
    close_world();
    open_world();
    assert_non_null(topic_named("orders"));
}

static void the_first_change_makes_the_names_durable_and_later_ones_need_not(void **state)
{
    (void)state;
    assert_int_equal(create("a", 1), KERR_NONE);
    assert_int_equal(job_count, 2); /* the folder is looked at, too */
    assert_int_equal(create("b", 1), KERR_NONE);
    assert_int_equal(job_count, 2);
    place = ERR_NOT_FOUND;
    shards[0].now_ns += 1000000000u;
    int writes = write_count;
    assert_int_equal(create("c", 1), KERR_KAFKA_STORAGE_ERROR);
    assert_int_equal(write_count, writes);
}

static void settings_arrive_resolved(void **state)
{
    (void)state;
    const struct topic_override own[] = {{"segment.ms", "77"}, {"cleanup.policy", "compact"}};
    struct ask a = {.change = {.kind = CATALOG_CREATE,
                               .name = "t",
                               .partitions = 1,
                               .overrides = own,
                               .override_count = 2,
                               .done = ask_done}};
    catalog_change_start(&shards[0], &a.change);
    run();
    assert_int_equal(a.change.error, KERR_NONE);
    assert_int_equal(a.change.topic->config.segment_ms, 77);
    assert_string_equal(a.change.topic->overrides[0].name, "cleanup.policy");
    const struct topic_override bad[] = {{"segment.msx", "77"}};
    a = (struct ask){.change = {.kind = CATALOG_CREATE,
                                .name = "u",
                                .partitions = 1,
                                .overrides = bad,
                                .override_count = 1,
                                .done = ask_done}};
    catalog_change_start(&shards[0], &a.change);
    run();
    assert_int_equal(a.change.error, KERR_INVALID_CONFIG);
    assert_non_null(a.change.message);
}

static void impossible_creations_are_refused(void **state)
{
    (void)state;
    char name[TOPIC_NAME_MAX + 2];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    assert_int_equal(create("a.b", 1), KERR_NONE);
    static const struct {
        const char *name;
        int32_t partitions;
        enum kerr error;
    } cases[] = {
        {"", 1, KERR_INVALID_TOPIC_EXCEPTION},    {"..", 1, KERR_INVALID_TOPIC_EXCEPTION},
        {"a b", 1, KERR_INVALID_TOPIC_EXCEPTION}, {"a_b", 1, KERR_INVALID_TOPIC_EXCEPTION},
        {"a.b", 1, KERR_TOPIC_ALREADY_EXISTS},    {"c", 0, KERR_INVALID_PARTITIONS},
        {"c", -1, KERR_INVALID_PARTITIONS},       {"c", TOPIC_PARTITIONS_MAX + 1, KERR_INVALID_PARTITIONS},
        {"c", TOPIC_PARTITIONS_MAX, KERR_NONE},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(create(cases[i].name, cases[i].partitions), cases[i].error);
    assert_int_equal(create(name, 1), KERR_INVALID_TOPIC_EXCEPTION);
    name[TOPIC_NAME_MAX] = 0;
    assert_int_equal(create(name, 1), KERR_NONE);
}

/* Also when one is being written and when one is being applied: at every step. */
static void of_two_creations_of_a_name_one_wins_and_the_other_hears_when_it_is_usable(void **state)
{
    (void)state;
    for (int steps = 0; steps < 30; steps++) {
        struct ask a, b;
        char name[32];
        snprintf(name, sizeof name, "topic%d", steps);
        start_create(&a, 1, name, 1);
        for (int i = 0; i < steps && (step_messages() || step_rest()); i++)
            continue;
        start_create(&b, 2, name, 2);
        run();
        assert_int_equal(a.change.error, KERR_NONE);
        assert_int_equal(b.change.error, KERR_TOPIC_ALREADY_EXISTS);
        assert_true(a.usable && b.usable);
        assert_ptr_equal(b.change.topic, a.change.topic);
    }
}

/* However many there are, a turn works on some of them only, and all the same they go with one write for each copy. */
static void many_changes_of_one_turn_are_one_write(void **state)
{
    (void)state;
    enum { MANY = 500 };
    static struct ask asks[MANY];
    char name[32];
    assert_int_equal(create("first", 1), KERR_NONE);
    int before = write_count;
    deferred_max = deferred_runs = 0;
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "t%d", i);
        start_create(&asks[i], (uint16_t)(i % SHARDS), name, 1);
    }
    run();
    assert_in_range(write_count - before, 2, 4); /* one for each copy; the world shortens every other write */
    assert_true(deferred_runs >= 2 * MANY / 64);
    assert_in_range(deferred_max, 1, 64 * SHARDS); /* messages that one call sent */
    for (int i = 0; i < MANY; i++)
        assert_int_equal(asks[i].change.error, KERR_NONE);
    close_world();
    open_world();
    assert_int_equal(stores[0].catalog.count, MANY + 1);
}

static void a_deleted_topic_is_gone_everywhere_and_its_id_remembered(void **state)
{
    (void)state;
    uint8_t id[16], nobody[16] = {9};
    assert_int_equal(create("t", 2), KERR_NONE);
    memcpy(id, topic_named("t")->id, 16);
    assert_int_equal(delete (nobody), KERR_UNKNOWN_TOPIC_ID);
    assert_int_equal(delete (id), KERR_NONE);
    assert_int_equal(delete (id), KERR_UNKNOWN_TOPIC_ID);
    for (int i = 0; i < SHARDS; i++)
        assert_int_equal(stores[i].catalog.count, 0);
    assert_int_equal(create("t", 2), KERR_NONE);
    assert_memory_not_equal(id, topic_named("t")->id, 16);
    for (int round = 0; round < 2; round++) {
        assert_true(catalog_file_knew(root.catalog, id));
        assert_false(catalog_file_lives(root.catalog, id));
        close_world();
        open_world();
    }
}

/* A deletion and the next creation of that name, asked at every moment of the creation before. */
static void changes_of_one_topic_follow_each_other(void **state)
{
    (void)state;
    for (int steps = 0; steps < 40; steps++) {
        struct ask gone, twice, again;
        uint8_t id[16];
        assert_int_equal(create("t", 1), KERR_NONE);
        memcpy(id, topic_named("t")->id, 16);
        start_delete(&gone, 1, id);
        for (int i = 0; i < steps && (step_messages() || step_rest()); i++)
            continue;
        start_create(&again, 2, "t", 5);
        start_delete(&twice, 0, id);
        run();
        assert_int_equal(gone.change.error, KERR_NONE);
        bool after = again.change.error == KERR_NONE; /* or it came before the deletion, and found the old one */
        assert_int_equal(twice.change.error, KERR_UNKNOWN_TOPIC_ID);
        assert_true(after || again.change.error == KERR_TOPIC_ALREADY_EXISTS);
        if (after)
            assert_int_equal(delete (topic_named("t")->id), KERR_NONE);
        assert_int_equal(stores[0].catalog.count, 0);
    }
}

static void producer_ids_are_never_given_twice(void **state)
{
    (void)state;
    static struct ask asks[5];
    int64_t next = 0;
    for (int round = 0; round < 3; round++) {
        for (uint16_t i = 0; i < 5; i++)
            start_ids(&asks[i], i % SHARDS);
        run();
        for (int i = 0; i < 5; i++) {
            assert_int_equal(asks[i].change.error, KERR_NONE);
            assert_int_equal(asks[i].change.producer_ids % CATALOG_PRODUCER_BLOCK, 0);
            assert_true(asks[i].change.producer_ids >= next);
            for (int j = 0; j < i; j++)
                assert_int_not_equal(asks[i].change.producer_ids, asks[j].change.producer_ids);
        }
        next += 5 * CATALOG_PRODUCER_BLOCK;
        close_world();
        open_world();
        assert_int_equal(root.catalog->ids_reserved, next);
    }
}

static const struct config_op lazy = {"write.caching", CONFIG_OP_SET, "true"},
                              strict = {"write.caching", CONFIG_OP_SET, "false"},
                              segments = {"log.segment.bytes", CONFIG_OP_SET, "2000000"},
                              more = {"cleanup.policy", CONFIG_OP_APPEND, "compact"};

/* Several changes of one topic and of the broker at once: each finds what the one before left, whenever it comes. */
static void changes_of_settings_follow_each_other(void **state)
{
    (void)state;
    for (int steps = 0; steps < 60; steps++) {
        static struct ask asks[6];
        uint8_t id[16];
        assert_int_equal(create("t", 1), KERR_NONE);
        assert_int_equal(create("other", 1), KERR_NONE);
        memcpy(id, topic_named("t")->id, 16);
        start_config(&asks[0], 1, id, &lazy);
        for (int i = 0; i < steps && (step_messages() || step_rest()); i++)
            continue;
        start_broker(&asks[1], 2, steps % 2 ? &lazy : &segments);
        start_config(&asks[2], 0, id, &more);
        start_partitions(&asks[3], 1, id, 7);
        start_config(&asks[4], 2, id, &strict);
        start_broker(&asks[5], 0, &strict);
        run();
        for (int i = 0; i < 6; i++)
            assert_int_equal(asks[i].change.error, KERR_NONE);
        views_agree();
        for (int round = 0; round < 2; round++) {
            const struct topic *t = topic_named("t");
            assert_int_equal(t->partitions, 7);
            assert_false(t->config.write_caching || topic_named("other")->config.write_caching);
            assert_true(t->config.compacted);
            close_world();
            open_world();
            views_agree();
        }
        assert_int_equal(delete (id), KERR_NONE);
        assert_int_equal(delete (topic_named("other")->id), KERR_NONE);
    }
}

/* A name's creation and deletion, with a change of its settings and of the broker's between them, at every step. */
static void a_deletion_waits_for_a_change_of_settings_and_the_other_way_round(void **state)
{
    (void)state;
    for (int steps = 0; steps < 60; steps++) {
        struct ask a, b, c;
        uint8_t id[16];
        assert_int_equal(create("t", 1), KERR_NONE);
        memcpy(id, topic_named("t")->id, 16);
        start_config(&c, 0, id, &lazy);
        run();
        start_config(&a, 1, id, &strict);
        for (int i = 0; i < steps && (step_messages() || step_rest()); i++)
            continue;
        start_delete(&b, 2, id);
        start_partitions(&c, 0, id, 9);
        run();
        assert_true(a.change.error == KERR_NONE);
        assert_int_equal(b.change.error, KERR_NONE);
        assert_true(c.change.error == KERR_NONE || c.change.error == KERR_UNKNOWN_TOPIC_OR_PARTITION);
        assert_int_equal(stores[1].catalog.count, 0);
        views_agree();
    }
}

static void only_a_change_that_promises_more_is_prepared(void **state)
{
    (void)state;
    struct ask a;
    assert_int_equal(create("t", 1), KERR_NONE);
    static const struct {
        struct config_op op;
        int prepared;
    } cases[] = {
        {{"write.caching", CONFIG_OP_SET, "true"}, 0},        {{"retention.ms", CONFIG_OP_SET, "77"}, 0},
        {{"flush.messages", CONFIG_OP_SET, "5"}, 0},          {{"flush.messages", CONFIG_OP_SET, "1"}, 1},
        {{"flush.messages", CONFIG_OP_SET, "2"}, 0},          {{"write.caching", CONFIG_OP_DELETE, NULL}, 1},
        {{"max.message.bytes", CONFIG_OP_SET, "9999999"}, 0}, {{"max.message.bytes", CONFIG_OP_DELETE, NULL}, 1},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int before = prepared[1];
        start_config(&a, 1, topic_named("t")->id, &cases[i].op);
        run();
        assert_int_equal(a.change.error, KERR_NONE);
        assert_int_equal(prepared[1] - before, cases[i].prepared);
    }
}

/* Made, put into their places and freed a few a turn; what comes meanwhile waits, a write that fails takes all of it back. */
static void a_change_of_the_broker_goes_through_many_topics_in_steps(void **state)
{
    (void)state;
    enum { MANY = 400, STEPS = MANY / 64 };
    static struct ask asks[MANY];
    char name[16];
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "t%d", i);
        start_create(&asks[i], 0, name, 1);
    }
    run();
    for (int round = 0; round < 4; round++) {
        struct ask broker, fresh,
            checked = {.change = {.kind = CATALOG_BROKER_CONFIG,
                                  .ops = &strict,
                                  .op_count = 1,
                                  .validate_only = true,
                                  .done = ask_done}};
        snprintf(name, sizeof name, "new%d", round);
        deferred_runs = 0;
        fault_at = round == 2 ? op_count : NO_FAULT;
        start_broker(&broker, 1, round % 2 ? &strict : &lazy);
        catalog_change_start(&shards[2], &checked.change);
        start_create(&fresh, 2, name, 1);
        run();
        fault_at = NO_FAULT;
        assert_int_equal(broker.change.error, round == 2 ? KERR_KAFKA_STORAGE_ERROR : KERR_NONE);
        assert_int_equal(checked.change.error, KERR_NONE);
        assert_int_equal(fresh.change.error, KERR_NONE);
        assert_true(deferred_runs >= 2 * STEPS); /* round 3 finds nothing to change */
        assert_int_equal(topic_named("t7")->config.write_caching, round == 0);
        views_agree();
    }
    close_world();
    open_world();
    assert_false(topic_named("t7")->config.write_caching);
    views_agree();
}

static void what_is_only_validated_changes_nothing(void **state)
{
    (void)state;
    static const struct config_op bad = {"segment.bytes", CONFIG_OP_SET, "-1"};
    assert_int_equal(create("t", 1), KERR_NONE);
    int before = write_count;
    for (int i = 0; i < 4; i++) {
        struct ask a = {.change = {.kind = i < 2    ? CATALOG_CONFIG
                                           : i == 2 ? CATALOG_BROKER_CONFIG
                                                    : CATALOG_PARTITIONS,
                                   .ops = i == 0   ? &lazy
                                          : i == 1 ? &bad
                                                   : &segments,
                                   .op_count = 1,
                                   .partitions = 4,
                                   .validate_only = true,
                                   .done = ask_done}};
        memcpy(a.change.topic_id, topic_named("t")->id, 16);
        catalog_change_start(&shards[1], &a.change);
        run();
        assert_int_equal(a.change.error, i == 1 ? KERR_INVALID_CONFIG : KERR_NONE);
    }
    assert_int_equal(write_count, before);
    assert_int_equal(topic_named("t")->override_count, 0);
    views_agree();
}

/* Each write and job of a change fails in turn: it happened everywhere or nowhere, also after a restart. */
static void changes_of_settings_on_a_failing_disk(void **state)
{
    (void)state;
    uint32_t failed = 0;
    for (int round = 0; round < 40; round++) {
        struct ask asks[4];
        uint8_t id[16];
        fault_length = 1 + round % 2;
        short_write = round % 3 * 20;
        assert_int_equal(create("t", 1), KERR_NONE);
        memcpy(id, topic_named("t")->id, 16);
        op_count = 0;
        fault_at = round / 4;
        start_config(&asks[0], 0, id, &lazy);
        run();
        start_config(&asks[1], 1, id, &strict);
        start_broker(&asks[2], 2, &segments);
        run();
        start_partitions(&asks[3], 1, id, 4);
        run();
        fault_at = NO_FAULT;
        for (int i = 0; i < 4; i++)
            if (asks[i].change.error != KERR_NONE) {
                assert_int_equal(asks[i].change.error, KERR_KAFKA_STORAGE_ERROR);
                failed++;
            }
        for (int again = 0; again < 2; again++) {
            views_agree();
            const struct topic *t = topic_named("t");
            if (again == 0 || fault_length == 1)
                assert_int_equal(t->partitions, asks[3].change.error ? 1 : 4);
            if (!asks[1].change.error)
                assert_false(t->config.write_caching);
            if (!asks[2].change.error)
                assert_int_equal(t->config.segment_bytes, 2000000);
            close_world();
            open_world();
        }
        assert_int_equal(delete (id), KERR_NONE);
        close_world();
        unlink(DIR "/catalog");
        unlink(DIR "/catalog.copy");
        open_world();
    }
    assert_in_range(failed, 20, 159);
}

static uint64_t room_behind(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    uint64_t blocks = (uint64_t)st.st_blocks * 512, bytes = align_up((uint64_t)st.st_size, PAGE_BYTES);
    return blocks > bytes ? blocks - bytes : 0;
}

static void check_room(uint64_t least)
{
    assert_true(room_behind(DIR "/catalog") >= least);
    assert_true(room_behind(DIR "/catalog.copy") >= least);
}

/* Larger than what lies behind the copies: the reserve, or a sentence. Either way the next small change has room. */
static void a_change_on_a_full_disk_gets_the_reserve_or_a_sentence(void **state)
{
    (void)state;
    struct ballast *reserve = &stores[0].log.ballast;
    static struct ballast_level level;
    assert_true(ballast_init(reserve, DIR, 0, &level));
    assert_int_equal(create("first", 1), KERR_NONE);
    for (int round = 0; round < 3; round++) {
        struct ask a;
        if (round)
            assert_int_equal(ballast_fill(reserve, 64 * PAGE_BYTES), ERR_NONE);
        fault_errno = ENOSPC;
        fault_at = op_count;
        fault_length = round == 2 ? 4 : 1; /* the reserve was not enough */
        start_create(&a, 1, "large", 1);
        run();
        assert_int_equal(a.change.error, round == 1 ? KERR_NONE : KERR_KAFKA_STORAGE_ERROR);
        if (round == 1)
            assert_int_equal(delete (topic_named("large")->id), KERR_NONE);
        else
            assert_non_null(strstr(a.change.message, "disk is full"));
        check_room(60 * 1024);
        views_agree();
    }
    unlink(DIR "/reserve-0");
}

static void changes_find_blocks_behind_the_copies_however_many_there_were(void **state)
{
    (void)state;
    char name[240];
    for (int i = 0; i < 400; i++) { /* 100 KiB and more */
        char head[16];
        int n = snprintf(head, sizeof head, "t%d-", i);
        memset(name, 'x', sizeof name - 1);
        memcpy(name, head, (size_t)n);
        name[sizeof name - 1] = 0;
        assert_int_equal(create(name, 1), KERR_NONE);
        check_room(28 * 1024);
    }
}

/* What was answered well has happened; what was answered badly has not, unless the disk failed for the cut, too. */
static void check_answers(const enum kerr good[3], const char *name, const char *old_name, bool exactly)
{
    if (exactly || good[0] == KERR_NONE)
        assert_int_equal(known_everywhere(name), good[0] == KERR_NONE);
    if (exactly || good[1] == KERR_NONE)
        assert_int_equal(known_everywhere(old_name), good[1] != KERR_NONE);
    if (exactly || good[2] == KERR_NONE)
        assert_int_equal(known_everywhere("later"), good[2] == KERR_NONE);
}

static void scenario(int round)
{
    struct ask a, b, c, ids;
    uint8_t old_id[16];
    char old_name[32], name[32];
    snprintf(old_name, sizeof old_name, "old%d", round);
    snprintf(name, sizeof name, "new%d", round);
    assert_int_equal(create(old_name, 1), KERR_NONE);
    memcpy(old_id, topic_named(old_name)->id, 16);
    op_count = 0;
    fault_at = round;
    start_create(&a, 0, name, 1);
    start_delete(&b, 1, old_id);
    start_ids(&ids, 2);
    run();
    start_create(&c, 2, "later", 1);
    run();
    fault_at = NO_FAULT;
    enum kerr good[] = {a.change.error, b.change.error, c.change.error};
    for (int i = 0; i < 3; i++)
        assert_true(good[i] == KERR_NONE || good[i] == KERR_KAFKA_STORAGE_ERROR);
    check_answers(good, name, old_name, true);
    close_world();
    open_world();
    check_answers(good, name, old_name, fault_length == 1);
    if (topic_named("later"))
        assert_int_equal(delete (topic_named("later")->id), KERR_NONE);
}

static void every_write_and_job_may_fail(void **state)
{
    (void)state;
    for (int length = 1; length <= 4; length++) {
        for (int bytes = 0; bytes <= 64; bytes += 32) {
            fault_length = length;
            short_write = bytes;
            for (int round = 0; round < 8; round++)
                scenario(round);
            close_world();
            unlink(DIR "/catalog");
            unlink(DIR "/catalog.copy");
            open_world();
        }
    }
}

/* A failed write in a new folder, where the first op is the syncing of the names. */
static void a_first_change_that_fails_leaves_nothing(void **state)
{
    (void)state;
    for (int at = 0; at < 2; at++) {
        struct ask a;
        fault_at = at;
        start_create(&a, 1, "t", 1);
        run();
        fault_at = NO_FAULT;
        assert_int_equal(a.change.error, KERR_KAFKA_STORAGE_ERROR);
        assert_int_equal(stores[1].catalog.count, 0);
        close_world();
        open_world();
        assert_true(catalog_file_empty(root.catalog));
    }
    assert_int_equal(create("t", 1), KERR_NONE);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_created_topic_is_known_to_every_shard_and_durable_before_the_answer),
        CASE(the_first_change_makes_the_names_durable_and_later_ones_need_not),
        CASE(settings_arrive_resolved),
        CASE(impossible_creations_are_refused),
        CASE(of_two_creations_of_a_name_one_wins_and_the_other_hears_when_it_is_usable),
        CASE(many_changes_of_one_turn_are_one_write),
        CASE(a_deleted_topic_is_gone_everywhere_and_its_id_remembered),
        CASE(changes_of_one_topic_follow_each_other),
        CASE(producer_ids_are_never_given_twice),
        CASE(changes_of_settings_follow_each_other),
        CASE(a_deletion_waits_for_a_change_of_settings_and_the_other_way_round),
        CASE(only_a_change_that_promises_more_is_prepared),
        CASE(a_change_of_the_broker_goes_through_many_topics_in_steps),
        CASE(what_is_only_validated_changes_nothing),
        CASE(changes_of_settings_on_a_failing_disk),
        CASE(a_change_on_a_full_disk_gets_the_reserve_or_a_sentence),
        CASE(changes_find_blocks_behind_the_copies_however_many_there_were),
        CASE(every_write_and_job_may_fail),
        CASE(a_first_change_that_fails_leaves_nothing),
    };
    return cmocka_run_group_tests_name("catalog_writer", tests, NULL, NULL);
}
