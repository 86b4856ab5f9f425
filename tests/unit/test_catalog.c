/* The catalog: names, one shard's view, and the file, cut and damaged at every byte. */
#include "core/bytes.h"
#include "storage/catalog/catalog_file.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define DIR "build/tests/unit/catalog"
static struct heap *heap;
static char why[CONFIG_WHY_BYTES];

/* --- names and shards --- */

static void legal_names_are_kafkas(void **state)
{
    (void)state;
    char name[251];
    static const struct {
        const char *name;
        bool legal;
    } cases[] = {
        {"a", true},    {"A-9_.z", true},    {"...", true},  {"-", true},
        {"", false},    {".", false},        {"..", false},  {"a b", false},
        {"a/b", false}, {"\xc3\xa9", false}, {"a\n", false}, {"__consumer_offsets", true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(topic_name_legal((const uint8_t *)cases[i].name, strlen(cases[i].name)), cases[i].legal);
    memset(name, 'x', sizeof name);
    assert_true(topic_name_legal((const uint8_t *)name, 249));
    assert_false(topic_name_legal((const uint8_t *)name, 250));
    assert_false(topic_name_legal((const uint8_t *)"a\0b", 3));
}

static void partitions_spread_over_the_shards_and_stay(void **state)
{
    (void)state;
    uint32_t hits[4] = {0};
    uint8_t id[16] = {1, 2, 3};
    for (int32_t i = 0; i < 4000; i++) {
        assert_int_equal(topic_shard(id, i, 1), 0);
        assert_int_equal(topic_shard(id, i, 4), topic_shard(id, i, 4));
        hits[topic_shard(id, i, 4)]++;
    }
    for (int i = 0; i < 4; i++)
        assert_in_range(hits[i], 800, 1200);
}

/* --- a view --- */

static void a_view_finds_by_name_and_id_and_is_sorted(void **state)
{
    (void)state;
    enum { TOPICS = 300 };
    static struct topic topics[TOPICS];
    struct catalog c;
    assert_int_equal(catalog_init(&c, heap), ERR_NONE);
    for (uint32_t i = 0; i < TOPICS; i++) {
        snprintf(topics[i].name, sizeof topics[i].name, "t%u", i * 7 % TOPICS);
        be32_put(topics[i].id, i + 1);
        topics[i].partitions = 2;
        assert_int_equal(catalog_add(&c, &topics[i]), ERR_NONE);
    }
    assert_int_equal(c.count, TOPICS);
    assert_int_equal(c.partitions_total, 2 * TOPICS);
    for (uint32_t i = 1; i < TOPICS; i++)
        assert_true(strcmp(c.sorted[i - 1]->name, c.sorted[i]->name) < 0);
    assert_ptr_equal(catalog_by_name(&c, (const uint8_t *)"t7", 2), &topics[1]);
    assert_ptr_equal(catalog_by_id(&c, topics[5].id), &topics[5]);
    assert_string_equal(c.sorted[catalog_lower_bound(&c, (const uint8_t *)"t1000", 5)]->name, "t101");
    assert_int_equal(catalog_lower_bound(&c, (const uint8_t *)"u", 1), TOPICS);
    assert_int_equal(catalog_lower_bound(&c, (const uint8_t *)"", 0), 0);
    for (uint32_t i = 0; i < TOPICS; i += 2)
        catalog_remove(&c, &topics[i]);
    catalog_remove(&c, &topics[0]); /* not there any more: nothing happens */
    assert_int_equal(c.count, TOPICS / 2);
    assert_int_equal(c.partitions_total, TOPICS);
    assert_null(catalog_by_name(&c, (const uint8_t *)topics[0].name, strlen(topics[0].name)));
    assert_ptr_equal(catalog_by_id(&c, topics[1].id), &topics[1]);
    catalog_deinit(&c);
}

/* --- the file --- */

static struct broker_config config;

static void fresh_folder(void)
{
    mkdir("build", 0755);
    mkdir("build/tests", 0755);
    mkdir("build/tests/unit", 0755);
    mkdir(DIR, 0755);
    unlink(DIR "/catalog");
    unlink(DIR "/catalog.tmp");
}

static enum err try_open(struct catalog_file **out)
{
    why[0] = 0;
    return catalog_file_open(DIR, heap, &config, out, why);
}

static struct catalog_file *must_open(void)
{
    struct catalog_file *f = NULL;
    if (try_open(&f) != ERR_NONE)
        fail_msg("%s", why);
    return f;
}

static size_t read_file(uint8_t *at, size_t room)
{
    FILE *file = fopen(DIR "/catalog", "r");
    assert_non_null(file);
    size_t bytes = fread(at, 1, room, file);
    fclose(file);
    return bytes;
}

static void write_file(const uint8_t *at, size_t bytes)
{
    FILE *file = fopen(DIR "/catalog", "w");
    assert_non_null(file);
    assert_int_equal(fwrite(at, 1, bytes, file), bytes);
    fclose(file);
}

static struct topic *make(struct catalog_file *f, uint8_t number, const char *name, uint32_t overrides)
{
    static const struct topic_override some[] = {{"segment.ms", "5000"}, {"cleanup.policy", "compact"}};
    uint8_t id[16] = {number, 1};
    struct topic *t = catalog_topic_new(f, id, name, number, some, overrides);
    assert_non_null(t);
    return t;
}

/* The first topic as wave 3 changes it: nine partitions, one setting. */
static void blob_changes(struct catalog_file *f, struct catalog_blob *blob, const struct topic *a)
{
    static const struct topic_override own[] = {{"segment.ms", "7000"}}, all[] = {{"log.segment.bytes", "2000000"}},
                                       mine[] = {{"max.connections", "5"}, {"log.segment.bytes", "3000000"}};
    struct topic *v = catalog_topic_version(f, a, 9, own, 1, &config);
    assert_non_null(v);
    assert_int_equal(catalog_blob_partitions(blob, a->id, 9) | catalog_blob_config(blob, v), ERR_NONE);
    assert_int_equal(catalog_blob_broker(blob, true, all, 1) | catalog_blob_broker(blob, false, mine, 2), ERR_NONE);
    catalog_topic_free(f, v);
}

static void expect_changes(const struct catalog_file *f, bool changed)
{
    const struct topic *a = catalog_file_topic(f, 0);
    const struct broker_config *c = catalog_file_config(f);
    assert_int_equal(a->partitions, changed ? 9 : 1);
    assert_int_equal(a->override_count, changed ? 1 : 2);
    assert_int_equal(a->config.segment_ms, changed ? 7000 : 5000);
    assert_int_equal(a->config.segment_bytes, changed ? 3000000 : 1 << 30);
    assert_int_equal(c->max_connections, changed ? 5 : INT32_MAX);
    assert_int_equal(broker_config_in(c, "log.segment.bytes", CONFIG_SOURCE_DYNAMIC_DEFAULT) != NULL, changed);
}

/* Three waves: two topics; one deleted and ids; an epoch, a third topic, and changes of the first one and of the broker. `ends` are the places behind them. */
static size_t write_three_waves(uint8_t *at, size_t ends[4])
{
    fresh_folder();
    struct catalog_file *f = must_open();
    struct topic *a = make(f, 1, "a.one", 2), *b = make(f, 2, "b", 0), *c = make(f, 3, "c", 1);
    struct catalog_blob blob = {.heap = heap, .wave = 1};
    size_t bytes = strlen(CATALOG_HEADER);
    memcpy(at, CATALOG_HEADER, bytes);
    ends[0] = bytes;
    for (uint32_t wave = 1; wave <= 3; wave++) {
        blob.wave = wave;
        blob.bytes = 0;
        if (wave == 1)
            assert_int_equal(catalog_blob_topic(&blob, a) | catalog_blob_topic(&blob, b), ERR_NONE);
        else if (wave == 2)
            assert_int_equal(catalog_blob_deleted(&blob, b->id) | catalog_blob_ids(&blob, 2000), ERR_NONE);
        else
            assert_int_equal(catalog_blob_epoch(&blob, 4) | catalog_blob_topic(&blob, c), ERR_NONE);
        if (wave == 3)
            blob_changes(f, &blob, a);
        catalog_blob_end(&blob);
        memcpy(at + bytes, blob.at, blob.bytes);
        bytes += blob.bytes;
        ends[wave] = bytes;
    }
    catalog_blob_deinit(&blob);
    catalog_topic_free(f, a);
    catalog_topic_free(f, b);
    catalog_topic_free(f, c);
    catalog_file_close(f);
    return bytes;
}

static void expect_waves(const struct catalog_file *f, uint32_t waves)
{
    static const uint32_t topics[] = {0, 2, 1, 2};
    const uint8_t b[16] = {2, 1}, c[16] = {3, 1};
    assert_int_equal(f->wave, waves);
    assert_int_equal(catalog_file_topics(f), topics[waves]);
    assert_int_equal(catalog_file_epoch(f), waves == 3 ? 4 : 0);
    assert_int_equal(f->ids_reserved, waves >= 2 ? 2000 : 0);
    assert_int_equal(catalog_file_knew(f, b), waves >= 1);
    assert_int_equal(catalog_file_knew(f, c), waves == 3);
    assert_int_equal(catalog_file_empty(f), waves == 0);
    if (waves > 0)
        expect_changes(f, waves == 3);
}

static void what_was_written_is_read_back(void **state)
{
    (void)state;
    uint8_t at[2048];
    size_t ends[4], bytes = write_three_waves(at, ends);
    write_file(at, bytes);
    struct catalog_file *f = must_open();
    expect_waves(f, 3);
    const struct topic *a = catalog_file_topic(f, 0);
    assert_string_equal(a->name, "a.one");
    assert_string_equal(a->overrides[0].value, "7000");
    assert_false(a->internal);
    catalog_file_close(f);
    write_file(at, ends[1]);
    f = must_open();
    a = catalog_file_topic(f, 0);
    assert_int_equal(a->override_count, 2);
    assert_string_equal(a->overrides[0].name, "cleanup.policy");
    assert_string_equal(a->overrides[1].value, "5000");
    assert_true(a->config.compacted);
    catalog_file_close(f);
}

/* Cut anywhere, all whole waves and nothing else are there; and what was cut stays away. */
static void a_file_cut_at_any_byte_has_its_whole_waves(void **state)
{
    (void)state;
    uint8_t at[2048];
    size_t ends[4], bytes = write_three_waves(at, ends);
    for (size_t cut = 0; cut <= bytes; cut++) {
        uint32_t waves = 0;
        while (waves < 3 && ends[waves + 1] <= cut)
            waves++;
        write_file(at, cut);
        struct catalog_file *f = must_open();
        expect_waves(f, waves);
        assert_int_equal(f->bytes, ends[waves]);
        catalog_file_close(f);
        assert_int_equal(read_file(at + 1024, 1024), ends[waves]);
    }
}

/* A torn write may leave any of its sectors; here: everything but one byte of the last wave. */
static void a_last_wave_with_a_bad_byte_is_cut_and_an_earlier_one_is_refused(void **state)
{
    (void)state;
    uint8_t at[2048];
    size_t ends[4], bytes = write_three_waves(at, ends);
    for (size_t i = 0; i < bytes; i++) {
        struct catalog_file *f = NULL;
        at[i] ^= 0x55;
        write_file(at, bytes);
        enum err err = try_open(&f);
        at[i] ^= 0x55;
        if (i < ends[2]) {
            assert_int_equal(err, ERR_CORRUPT);
            assert_non_null(strstr(why, DIR "/catalog"));
            continue;
        }
        if (err != ERR_NONE)
            fail_msg("byte %zu: %s", i, why);
        expect_waves(f, 2);
        catalog_file_close(f);
    }
}

static void a_strange_file_is_refused(void **state)
{
    (void)state;
    struct catalog_file *f;
    fresh_folder();
    write_file((const uint8_t *)"odradek catalog 2\n", 18);
    assert_int_equal(try_open(&f), ERR_CORRUPT);
    assert_non_null(strstr(why, "no catalog of this release"));
    write_file((const uint8_t *)"hello", 5);
    assert_int_equal(try_open(&f), ERR_CORRUPT);
    write_file((const uint8_t *)"odradek\0\0\0", 10); /* a power cut in a new folder */
    f = must_open();
    assert_true(catalog_file_empty(f));
    catalog_file_close(f);
}

static void the_epoch_grows_durably(void **state)
{
    (void)state;
    int32_t epoch = -1;
    fresh_folder();
    struct catalog_file *f = must_open();
    assert_int_equal(catalog_file_epoch(f), 0);
    for (int32_t i = 1; i <= 3; i++) {
        assert_int_equal(catalog_file_bump_epoch(f, &epoch), ERR_NONE);
        assert_int_equal(epoch, i);
    }
    catalog_file_close(f);
    f = must_open();
    assert_int_equal(catalog_file_epoch(f), 3);
    assert_false(catalog_file_empty(f));
    catalog_file_close(f);
}

/* 9000 epochs are some 150 KB of which one record counts. One setting is a newer release's: kept, and without effect. */
static void a_stale_file_is_rewritten_and_says_the_same(void **state)
{
    (void)state;
    fresh_folder();
    struct catalog_file *f = must_open();
    struct catalog_blob blob = {.heap = heap, .wave = 1};
    struct topic *t = make(f, 9, "kept", 2);
    const uint8_t gone[16] = {7};
    const struct topic_override fewer[] = {{"max.connections", "6"}, {"num.partitions", "nonsense"}};
    const struct topic_override all[] = {{"log.segment.bytes", "2000000"}};
    assert_int_equal(catalog_blob_topic(&blob, t) | catalog_blob_deleted(&blob, gone), ERR_NONE);
    assert_int_equal(catalog_blob_partitions(&blob, t->id, 12) | catalog_blob_broker(&blob, true, all, 1), ERR_NONE);
    assert_int_equal(catalog_blob_broker(&blob, false, all, 1) | catalog_blob_broker(&blob, false, fewer, 2), ERR_NONE);
    for (int32_t i = 1; i <= 9000; i++)
        assert_int_equal(catalog_blob_epoch(&blob, i), ERR_NONE);
    catalog_blob_end(&blob);
    assert_int_equal(fs_write(f->fd, blob.at, blob.bytes, f->bytes), ERR_NONE);
    catalog_blob_deinit(&blob);
    catalog_topic_free(f, t);
    catalog_file_close(f);
    for (int round = 0; round < 2; round++) {
        f = must_open();
        assert_true(f->bytes < 1024);
        assert_int_equal(catalog_file_epoch(f), 9000);
        assert_int_equal(catalog_file_topics(f), 1);
        assert_int_equal(catalog_file_topic(f, 0)->config.segment_ms, 5000);
        assert_true(catalog_file_knew(f, gone));
        assert_int_equal(catalog_file_topic(f, 0)->partitions, 12);
        assert_int_equal(catalog_file_topic(f, 0)->config.segment_bytes, 2000000);
        assert_int_equal(catalog_file_config(f)->max_connections, 6);
        assert_int_equal(catalog_file_config(f)->num_partitions, 1);
        assert_string_equal(catalog_file_config(f)->dynamic->next->name, "num.partitions");
        assert_string_equal(catalog_file_config(f)->dynamic->next->value, "nonsense");
        catalog_file_close(f);
    }
}

/* Records with a good CRC that contradict each other. */
static void a_contradiction_is_refused(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        static const struct topic_override odd[] = {{"max.connections", "many"}};
        const uint8_t nobody[16] = {99};
        fresh_folder();
        struct catalog_file *f = must_open();
        struct catalog_blob blob = {.heap = heap, .wave = 1};
        struct topic *a = make(f, 1, "a.b", 0), *b = make(f, 2, "a_b", 0), *again = make(f, 1, "c", 0);
        enum err err = catalog_blob_topic(&blob, a);
        err |= i == 0 ? catalog_blob_topic(&blob, a) : ERR_NONE;
        err |= i == 1 ? catalog_blob_topic(&blob, b) : ERR_NONE;
        err |= i == 2 ? catalog_blob_topic(&blob, again) : ERR_NONE;
        err |= i == 3 ? catalog_blob_epoch(&blob, 5) | catalog_blob_epoch(&blob, 4) : ERR_NONE;
        err |= i == 5 ? catalog_blob_partitions(&blob, a->id, a->partitions) : ERR_NONE;
        err |= i == 6 ? catalog_blob_partitions(&blob, nobody, 5) : ERR_NONE;
        err |= i == 7 ? catalog_blob_config(&blob, b) : ERR_NONE;
        err |= i == 8 ? catalog_blob_broker(&blob, false, odd, 1) : ERR_NONE;
        err |= i == 9 ? catalog_blob_partitions(&blob, a->id, TOPIC_PARTITIONS_MAX + 1) : ERR_NONE;
        err |= i == 4 ? catalog_blob_deleted(&blob, a->id) | catalog_blob_topic(&blob, again) : ERR_NONE;
        assert_int_equal(err, ERR_NONE);
        catalog_blob_end(&blob);
        assert_int_equal(fs_write(f->fd, blob.at, blob.bytes, f->bytes), ERR_NONE);
        catalog_blob_deinit(&blob);
        catalog_topic_free(f, a);
        catalog_topic_free(f, b);
        catalog_topic_free(f, again);
        catalog_file_close(f);
        assert_int_equal(try_open(&f), ERR_CORRUPT);
        assert_non_null(strstr(why, "cannot be applied"));
    }
}

static int setup(void **state)
{
    (void)state;
    heap = heap_open();
    if (!heap)
        return -1;
    broker_config_init(&config, heap);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    broker_config_deinit(&config);
    heap_close(heap);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(legal_names_are_kafkas),
        cmocka_unit_test(partitions_spread_over_the_shards_and_stay),
        cmocka_unit_test(a_view_finds_by_name_and_id_and_is_sorted),
        cmocka_unit_test(what_was_written_is_read_back),
        cmocka_unit_test(a_file_cut_at_any_byte_has_its_whole_waves),
        cmocka_unit_test(a_last_wave_with_a_bad_byte_is_cut_and_an_earlier_one_is_refused),
        cmocka_unit_test(a_strange_file_is_refused),
        cmocka_unit_test(the_epoch_grows_durably),
        cmocka_unit_test(a_stale_file_is_rewritten_and_says_the_same),
        cmocka_unit_test(a_contradiction_is_refused),
    };
    return cmocka_run_group_tests_name("catalog", tests, setup, teardown);
}
