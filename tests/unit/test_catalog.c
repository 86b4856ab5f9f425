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
    catalog_check(&c);
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
    assert_int_equal(system("rm -rf " DIR "/*"), 0);
}

static bool clean_before; /* the last stop left its mark */

static enum err try_open(struct catalog_file **out)
{
    why[0] = 0;
    enum err err = catalog_file_open(DIR, heap, &config, clean_before, out, why);
    if (err == ERR_NONE)
        err = catalog_file_prepare(*out, why);
    return err;
}

static struct catalog_file *must_open(void)
{
    struct catalog_file *f = NULL;
    if (try_open(&f) != ERR_NONE)
        fail_msg("%s", why);
    return f;
}

static const char *const paths[] = {DIR "/catalog", DIR "/catalog.copy"};

static size_t read_file(const char *path, uint8_t *at, size_t room)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t bytes = fread(at, 1, room, file);
    fclose(file);
    return bytes;
}

static void write_file(const char *path, const uint8_t *at, size_t bytes)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(at, 1, bytes, file), bytes);
    fclose(file);
}

static void write_copies(const uint8_t *at, size_t first, size_t second)
{
    write_file(paths[0], at, first);
    write_file(paths[1], at, second);
}

static void append_blob(const struct catalog_file *f, const struct catalog_blob *blob)
{
    for (int i = 0; i < CATALOG_COPIES; i++)
        assert_int_equal(fs_write(f->copies[i].fd, blob->at, blob->bytes, f->copies[i].bytes), ERR_NONE);
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

/* Three waves, as a file of today's: two topics; one deleted and ids; an epoch, a third topic, and changes of the first one and of the broker. `ends` are the places behind them. */
static size_t write_three_waves(uint8_t *at, size_t ends[4])
{
    fresh_folder();
    clean_before = false;
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
    catalog_file_check(f);
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
    write_copies(at, bytes, bytes);
    struct catalog_file *f = must_open();
    expect_waves(f, 3);
    const struct topic *a = catalog_file_topic(f, 0);
    assert_string_equal(a->name, "a.one");
    assert_string_equal(a->overrides[0].value, "7000");
    assert_false(a->internal);
    catalog_file_close(f);
    write_copies(at, ends[1], ends[1]);
    f = must_open();
    a = catalog_file_topic(f, 0);
    assert_int_equal(a->override_count, 2);
    assert_string_equal(a->overrides[0].name, "cleanup.policy");
    assert_string_equal(a->overrides[1].value, "5000");
    assert_true(a->config.compacted);
    catalog_file_close(f);
}

/* --- two copies --- */

/* It opens with these waves; both copies are whole from then on, so that either may be lost. */
static void expect_opens(uint32_t waves)
{
    for (int lost = 0; lost <= CATALOG_COPIES; lost++) {
        struct catalog_file *f = must_open();
        expect_waves(f, waves);
        catalog_file_close(f);
        if (lost < CATALOG_COPIES && waves > 0)
            assert_int_equal(unlink(paths[lost]), 0);
    }
}

static void expect_refused(void)
{
    uint8_t before[2][2048], after[2][2048];
    size_t bytes[2] = {0, 0};
    struct catalog_file *f = NULL;
    for (int i = 0; i < 2; i++)
        bytes[i] = access(paths[i], F_OK) == 0 ? read_file(paths[i], before[i], 2048) : 0;
    assert_int_equal(try_open(&f), ERR_CORRUPT);
    assert_non_null(strstr(why, "odradek repair"));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(access(paths[i], F_OK) == 0 ? read_file(paths[i], after[i], 2048) : 0, bytes[i]);
        assert_memory_equal(before[i], after[i], bytes[i]);
    }
}

static void set_past(bool clean, uint32_t wave)
{
    clean_before = clean;
    unlink(DIR "/catalog.end");
    if (wave)
        assert_int_equal(catalog_end_save(DIR, wave), ERR_NONE);
}

/* What would be chosen of two such files: in memory, so that every byte and bit can be tried; files are tried at some of them. */
static int choose_of(const uint8_t *first, size_t first_bytes, const uint8_t *second, size_t second_bytes, bool clean,
                     uint32_t wave)
{
    struct catalog_view v[CATALOG_COPIES];
    const struct catalog_past past = {.clean = clean, .used = true, .wave = wave};
    catalog_view_scan(&v[0], first, first_bytes);
    catalog_view_scan(&v[1], second, second_bytes);
    int chosen = catalog_choose(v, &past);
    return chosen < 0 ? -1 : (int)v[chosen].wave;
}

enum { SOME_CUTS = 41, SOME_BITS = 307 };

/* Cut anywhere, a bit turned anywhere, empty, missing: the other copy has everything, whatever is known of the last stop. */
static void one_copy_may_be_lost_or_damaged(void **state)
{
    (void)state;
    static const struct {
        bool clean;
        uint32_t wave;
    } pasts[] = {{false, 0}, {false, 2}, {false, 3}, {true, 3}, {true, 0}};
    uint8_t at[2048], turned[2048];
    size_t ends[4], bytes = write_three_waves(at, ends);
    for (int bad = 0; bad < CATALOG_COPIES; bad++)
        for (size_t p = 0; p < COUNT_OF(pasts); p++) {
            set_past(pasts[p].clean, pasts[p].wave);
            for (size_t cut = 0; cut < bytes; cut++) {
                assert_int_equal(choose_of(at, bad ? bytes : cut, at, bad ? cut : bytes, pasts[p].clean, pasts[p].wave),
                                 3);
                if (cut % SOME_CUTS)
                    continue;
                write_copies(at, bytes, bytes);
                write_file(paths[bad], at, cut);
                expect_opens(3);
            }
            memcpy(turned, at, bytes);
            for (size_t bit = 0; bit < bytes * 8; bit++) {
                turned[bit / 8] ^= (uint8_t)(1 << bit % 8);
                assert_int_equal(
                    choose_of(bad ? at : turned, bytes, bad ? turned : at, bytes, pasts[p].clean, pasts[p].wave), 3);
                turned[bit / 8] ^= (uint8_t)(1 << bit % 8);
                if (bit % SOME_BITS)
                    continue;
                write_copies(at, bytes, bytes);
                at[bit / 8] ^= (uint8_t)(1 << bit % 8);
                write_file(paths[bad], at, bytes);
                at[bit / 8] ^= (uint8_t)(1 << bit % 8);
                expect_opens(3);
            }
            write_copies(at, bytes, bytes);
            unlink(paths[bad]);
            expect_opens(3);
        }
}

/* Both have lost something that was answered: no guess. */
static void damage_to_both_copies_is_refused(void **state)
{
    (void)state;
    uint8_t at[2048];
    size_t ends[4], bytes = write_three_waves(at, ends);
    for (int clean = 0; clean < 2; clean++) {
        set_past(clean, 3);
        for (size_t first = 0; first < bytes; first++)
            for (size_t second = 0; second < bytes; second += 3) {
                assert_int_equal(choose_of(at, first, at, second, clean, 3), -1);
                if (first % SOME_CUTS || second % SOME_CUTS)
                    continue;
                write_copies(at, first, second);
                expect_refused();
                unlink(paths[0]);
                expect_refused();
                unlink(paths[1]);
                expect_refused();
            }
        for (size_t bit = ends[2] * 8; bit < bytes * 8; bit++) { /* the same one in each */
            at[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_int_equal(choose_of(at, bytes, at, bytes, clean, 3), -1);
            if (bit % 29 == 0)
                write_copies(at, bytes, bytes);
            at[bit / 8] ^= (uint8_t)(1 << bit % 8);
            if (bit % 29 == 0)
                expect_refused();
        }
    }
    set_past(false, 0); /* nothing is known of what was answered; what is torn in both never came from one crash */
    for (size_t cut = CATALOG_HEADER_BYTES + 1; cut < bytes; cut++) {
        if (cut == ends[1] || cut == ends[2])
            continue;
        write_copies(at, cut, cut);
        expect_refused();
        unlink(paths[1]);
        expect_refused();
    }
}

/* A crash anywhere in the writing of wave `next`: first the one copy, then the other. */
static void a_crash_leaves_what_was_answered_or_one_wave_more(void **state)
{
    (void)state;
    uint8_t at[2048];
    size_t ends[4];
    write_three_waves(at, ends);
    for (uint32_t next = 1; next <= 3; next++) {
        set_past(false, next - 1);
        for (size_t torn = ends[next - 1]; torn < ends[next]; torn++) {
            if (next > 1) /* before the first one, whether the folder was used decides */
                assert_int_equal(choose_of(at, torn, at, ends[next - 1], false, next - 1), next - 1);
            assert_int_equal(choose_of(at, ends[next], at, torn, false, next - 1), next);
            if (torn % SOME_CUTS)
                continue;
            write_copies(at, torn, ends[next - 1]);
            expect_opens(next - 1);
            write_copies(at, ends[next], torn);
            expect_opens(next);
        }
        for (size_t i = ends[next - 1]; i < ends[next]; i += SOME_CUTS) { /* sectors come in any order */
            write_copies(at, ends[next], ends[next - 1]);
            at[i] ^= 0x55;
            write_file(paths[0], at, ends[next]);
            expect_opens(next - 1);
            write_file(paths[1], at, ends[next]);
            at[i] ^= 0x55;
            write_file(paths[0], at, ends[next]);
            expect_opens(next);
        }
    }
}

/* The second copy shows that the first one lost waves, or the other way round. */
static void a_copy_that_lost_its_end_is_not_taken(void **state)
{
    (void)state;
    uint8_t at[2048];
    size_t ends[4], bytes = write_three_waves(at, ends);
    set_past(false, 0);
    write_copies(at, ends[1], bytes - 1); /* the second is torn in wave 3, which it gets only after the first has it */
    expect_refused();
    write_copies(at, bytes - 1, ends[1]); /* the first began wave 3 only after the second had wave 2 */
    expect_refused();
    write_copies(at, ends[1], bytes);
    expect_opens(3);
    write_copies(at, bytes, ends[1]);
    expect_opens(3);
}

static void an_empty_catalog_is_new_only_where_nothing_else_is(void **state)
{
    (void)state;
    uint8_t at[2048];
    for (int partition = 0; partition < 2; partition++)
        for (int shape = 0; shape < 4; shape++) {
            fresh_folder();
            set_past(false, 0);
            if (partition)
                mkdir(DIR "/t-0", 0755);
            if (shape == 1)
                write_copies(at, 0, 0);
            if (shape >= 2)
                write_file(paths[shape - 2], (const uint8_t *)CATALOG_HEADER, CATALOG_HEADER_BYTES);
            if (partition)
                expect_refused();
            else
                expect_opens(0);
            set_past(true, 0);
            if (!partition)
                expect_refused();
            set_past(false, 1);
            expect_refused();
        }
    fresh_folder();
    set_past(false, 0);
    write_copies((const uint8_t *)CATALOG_HEADER, CATALOG_HEADER_BYTES, CATALOG_HEADER_BYTES);
    mkdir(DIR "/t-0", 0755); /* somebody put it there before the first topic */
    expect_opens(0);
}

/* --- the folder of a release with one copy --- */

static void an_old_file_is_taken_with_the_old_rules_and_upgraded(void **state)
{
    (void)state;
    uint8_t at[2048], now[64];
    size_t ends[4], bytes = write_three_waves(at, ends);
    at[CATALOG_HEADER_BYTES - 2] = '1';
    for (int clean = 0; clean < 2; clean++)
        for (size_t cut = CATALOG_HEADER_BYTES; cut <= bytes; cut += cut + 7 < bytes ? 7 : 1) {
            uint32_t waves = 0;
            while (waves < 3 && ends[waves + 1] <= cut)
                waves++;
            fresh_folder();
            set_past(clean, 0);
            write_file(paths[0], at, cut);
            if (clean && (cut != ends[waves] || waves == 0)) { /* a tail is torn by a crash alone */
                expect_refused();
                continue;
            }
            expect_opens(waves);
            for (int i = 0; i < CATALOG_COPIES; i++) {
                assert_true(read_file(paths[i], now, sizeof now) >= CATALOG_HEADER_BYTES);
                assert_memory_equal(now, CATALOG_HEADER, CATALOG_HEADER_BYTES);
            }
        }
    set_past(false, 0);
    for (size_t i = 0; i < ends[2]; i += 3) { /* an earlier wave, or the header */
        struct catalog_file *f = NULL;
        fresh_folder();
        at[i] ^= 0x55;
        write_file(paths[0], at, bytes);
        at[i] ^= 0x55;
        assert_int_equal(try_open(&f), ERR_CORRUPT);
    }
}

static void a_strange_file_is_refused(void **state)
{
    (void)state;
    struct catalog_file *f;
    fresh_folder();
    set_past(false, 0);
    write_file(paths[0], (const uint8_t *)"odradek catalog 3\n", 18);
    assert_int_equal(try_open(&f), ERR_CORRUPT);
    assert_non_null(strstr(why, "catalog is no catalog of this release"));
    write_file(paths[0], (const uint8_t *)"hello", 5);
    assert_int_equal(try_open(&f), ERR_CORRUPT);
    write_file(paths[0], (const uint8_t *)"odradek\0\0\0", 10); /* a power cut in a new folder */
    f = must_open();
    assert_true(catalog_file_empty(f));
    catalog_file_close(f);
}

static void the_noted_end_is_whole_or_nothing(void **state)
{
    (void)state;
    uint8_t at[64];
    uint32_t wave = 0;
    fresh_folder();
    assert_int_equal(catalog_end_load(DIR, &wave), ERR_NONE);
    assert_int_equal(wave, 0);
    assert_int_equal(catalog_end_save(DIR, 77), ERR_NONE);
    size_t bytes = read_file(DIR "/catalog.end", at, sizeof at);
    for (size_t i = 0; i <= bytes; i++) {
        write_file(DIR "/catalog.end", at, i);
        assert_int_equal(catalog_end_load(DIR, &wave), ERR_NONE);
        assert_int_equal(wave, i == bytes ? 77 : 0);
        at[i % bytes] ^= 4;
        write_file(DIR "/catalog.end", at, bytes);
        at[i % bytes] ^= 4;
        assert_int_equal(catalog_end_load(DIR, &wave), ERR_NONE);
        assert_int_equal(wave, 0);
    }
}

static void the_epoch_grows_durably(void **state)
{
    (void)state;
    int32_t epoch = -1;
    fresh_folder();
    set_past(false, 0);
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

static void both_copies_have_blocks(uint64_t bytes)
{
    struct stat st;
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        assert_int_equal(stat(paths[i], &st), 0);
        assert_true((uint64_t)st.st_blocks * 512 >= bytes);
        assert_true((uint64_t)st.st_size < 4096);
    }
}
/* The next start must raise the epoch, and a change must not find a full disk: from the first change on, and again after each start. */
static void both_copies_lie_in_blocks_that_are_allocated_beforehand(void **state)
{
    (void)state;
    int32_t epoch = -1;
    fresh_folder();
    set_past(false, 0);
    struct catalog_file *f = must_open();
    assert_int_equal(catalog_file_bump_epoch(f, &epoch), ERR_NONE);
    both_copies_have_blocks(64 * 1024);
    assert_int_equal(catalog_file_cut(f), ERR_NONE);
    both_copies_have_blocks(64 * 1024);
    for (int i = 0; i < CATALOG_COPIES; i++) /* gives them back */
        assert_int_equal(fs_truncate(f->copies[i].fd, f->copies[i].bytes), ERR_NONE);
    catalog_file_close(f);
    f = must_open();
    both_copies_have_blocks(64 * 1024);
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
    append_blob(f, &blob);
    catalog_blob_deinit(&blob);
    catalog_topic_free(f, t);
    catalog_file_close(f);
    for (int round = 0; round < 2; round++) {
        f = must_open();
        assert_true(f->copies[0].bytes < 1024 && f->copies[1].bytes < 1024);
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
        append_blob(f, &blob);
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
        cmocka_unit_test(one_copy_may_be_lost_or_damaged),
        cmocka_unit_test(damage_to_both_copies_is_refused),
        cmocka_unit_test(a_crash_leaves_what_was_answered_or_one_wave_more),
        cmocka_unit_test(a_copy_that_lost_its_end_is_not_taken),
        cmocka_unit_test(an_empty_catalog_is_new_only_where_nothing_else_is),
        cmocka_unit_test(an_old_file_is_taken_with_the_old_rules_and_upgraded),
        cmocka_unit_test(the_noted_end_is_whole_or_nothing),
        cmocka_unit_test(a_strange_file_is_refused),
        cmocka_unit_test(the_epoch_grows_durably),
        cmocka_unit_test(both_copies_lie_in_blocks_that_are_allocated_beforehand),
        cmocka_unit_test(a_stale_file_is_rewritten_and_says_the_same),
        cmocka_unit_test(a_contradiction_is_refused),
    };
    return cmocka_run_group_tests_name("catalog", tests, setup, teardown);
}
