/* The data folder: lock, format, cluster id, clean mark, epochs, and what a deletion left. Time and the log are ours. */
#include "core/clock.h"
#include "core/log.h"
#include "core/rng.h"
#include "storage/catalog/catalog_file.h"
#include "storage/catalog/meta.h"
#include "storage/log/partition_dir.h"
#include "storage/root.h"
#include "storage/uuid.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define PARENT "build/tests/unit/root"
#define DIR PARENT "/deep/data"

/* --- the doors --- */

static uint64_t now_ns;
static uint64_t seed;
static char logged[8192];
static int held_lock = -1;
static uint64_t release_at_ns;

uint64_t clock_now_ns(void)
{
    return now_ns;
}

int64_t clock_wall_ms(void)
{
    return (int64_t)(now_ns / NS_PER_MS);
}

void clock_sleep_ms(uint32_t ms)
{
    now_ns += ms * NS_PER_MS;
    if (held_lock >= 0 && now_ns >= release_at_ns) {
        fs_close(held_lock);
        held_lock = -1;
    }
}

uint64_t rng_seed_os(void)
{
    return ++seed;
}

void log_write_line(const char *line, size_t bytes)
{
    size_t used = strlen(logged);
    if (used + bytes < sizeof logged) {
        memcpy(logged + used, line, bytes);
        logged[used + bytes] = 0;
    }
}

/* --- helpers --- */

static struct heap *heap;
static struct broker_config config;
static char why[CONFIG_WHY_BYTES];

static void set(const char *name, const char *value)
{
    assert_int_equal(broker_config_set(&config, name, value, "argument", why), ERR_NONE);
}

static struct root *must_open(void)
{
    struct root *r = NULL;
    if (root_open(&config, heap, &r, why) != ERR_NONE)
        fail_msg("%s", why);
    return r;
}

static enum err try_open(void)
{
    struct root *r = NULL;
    why[0] = 0;
    enum err err = root_open(&config, heap, &r, why);
    if (err == ERR_NONE)
        root_close(r);
    return err;
}

static void put_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    fclose(f);
}

static bool there(const char *path)
{
    return access(path, F_OK) == 0;
}

static void append_blob(const struct catalog_file *f, const struct catalog_blob *blob)
{
    for (int i = 0; i < CATALOG_COPIES; i++)
        assert_int_equal(fs_write(f->copies[i].fd, blob->at, blob->bytes, f->copies[i].bytes), ERR_NONE);
}

/* Makes a topic durable, without the writer. */
static void make_topic(uint8_t number, const char *name)
{
    struct root *r = must_open();
    struct catalog_file *f = r->catalog;
    struct catalog_blob blob = {.heap = heap, .wave = f->wave + 1};
    uint8_t id[16] = {number};
    struct topic *t = catalog_topic_new(f, id, name, 2, NULL, 0);
    assert_non_null(t);
    assert_int_equal(catalog_blob_topic(&blob, t), ERR_NONE);
    catalog_blob_end(&blob);
    append_blob(f, &blob);
    catalog_blob_deinit(&blob);
    catalog_topic_free(f, t);
    root_close(r);
}

static int setup(void **state)
{
    (void)state;
    if (system("rm -rf " PARENT " && mkdir -p " PARENT) != 0)
        return -1;
    logged[0] = 0;
    held_lock = -1;
    heap = heap_open();
    broker_config_init(&config, heap);
    set("log.dirs", DIR);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (held_lock >= 0)
        fs_close(held_lock);
    broker_config_deinit(&config);
    heap_close(heap);
    return 0;
}

/* --- statements --- */

static void a_new_folder_gets_a_cluster_id_that_stays(void **state)
{
    (void)state;
    struct root *r = must_open();
    char id[23];
    uint8_t bytes[16];
    struct meta m;
    assert_true(r->fresh);
    assert_false(r->clean);
    assert_int_equal(r->leader_epoch, 0);
    memcpy(id, r->cluster_id, sizeof id);
    assert_true(uuid_parse(id, 22, bytes));
    assert_int_equal(bytes[6] >> 4, 4);
    root_close(r);
    assert_int_equal(meta_load(heap, DIR, &m), ERR_NONE);
    assert_string_equal(m.cluster_id, id);
    assert_int_equal(m.node_id, 1);
    assert_int_equal(m.version, 1);
    assert_int_equal(m.format, META_FORMAT);
    r = must_open();
    assert_string_equal(r->cluster_id, id);
    assert_true(r->fresh);
    assert_int_equal(r->leader_epoch, 0); /* nobody has seen one yet */
    root_close(r);
}

/* Everything in the folder as text: names, sizes and times of change. */
static void list_folder(char *out, size_t bytes)
{
    FILE *f = popen(
        "cd " DIR " 2>/dev/null && find . -printf '%p %s %T@\\n' | sort && cat $(find . -type f | sort) | cksum", "r");
    assert_non_null(f);
    out[fread(out, 1, bytes - 1, f)] = 0;
    pclose(f);
}

static void must_refuse_untouched(enum err expected, const char *sentence)
{
    char before[8192], after[8192];
    list_folder(before, sizeof before);
    assert_int_equal(try_open(), expected);
    if (!strstr(why, sentence))
        fail_msg("\"%s\" is not in: %s", sentence, why);
    list_folder(after, sizeof after);
    assert_string_equal(before, after);
}

static void make_folder(void)
{
    assert_int_equal(system("rm -rf " DIR " && mkdir -p " DIR), 0);
}

static void kafkas_folder_is_refused_and_untouched(void **state)
{
    (void)state;
    make_folder();
    put_file(DIR "/meta.properties",
             "#Kafka\nversion=1\ncluster.id=4L6g3nShT-eMCtK--X86sw\nnode.id=1\ndirectory.id=x\n");
    must_refuse_untouched(ERR_INVALID, "was formatted by Apache Kafka");
    mkdir(DIR "/orders-0", 0755);
    put_file(DIR "/orders-0/00000000000000000000.log", "records");
    must_refuse_untouched(ERR_INVALID, "was formatted by Apache Kafka");
}

static void a_folder_with_unknown_files_is_refused_and_untouched(void **state)
{
    (void)state;
    static const char *const metas[] = {NULL, "", "version=1\n", "no pair"};
    for (size_t i = 0; i < COUNT_OF(metas); i++) {
        make_folder();
        if (metas[i])
            put_file(DIR "/meta.properties", metas[i]);
        put_file(DIR "/photos.tar", "somebody's");
        must_refuse_untouched(ERR_INVALID, "is not Odradek's: it holds photos.tar");
    }
    make_folder();
    mkdir(DIR "/orders-0", 0755);
    must_refuse_untouched(ERR_INVALID, "is not Odradek's: it holds orders-0");
}

static void an_empty_folder_is_made_ours(void **state)
{
    (void)state;
    make_folder();
    mkdir(DIR "/lost+found", 0755); /* a disk of its own */
    root_close(must_open());
    put_file(DIR "/notes", "with our mark other files do not matter");
    root_close(must_open());
    assert_true(there(DIR "/notes"));
}

static void a_newer_format_is_refused_and_untouched(void **state)
{
    (void)state;
    mkdir(PARENT "/deep", 0755);
    mkdir(DIR, 0755);
    put_file(DIR "/meta.properties", "version=1\ncluster.id=4L6g3nShT-eMCtK--X86sw\nnode.id=1\nodradek.format=5\n");
    assert_int_equal(try_open(), ERR_UNSUPPORTED);
    assert_non_null(strstr(why, "newer release (format 5, this one knows 4)"));
    assert_false(there(DIR "/catalog"));
}

static void damaged_meta_is_made_anew_only_while_the_folder_is_fresh(void **state)
{
    (void)state;
    root_close(must_open());
    put_file(DIR "/meta.properties", "vers");
    root_close(must_open());
    unlink(DIR "/meta.properties");
    put_file(DIR "/recovery-point-0.checkpoint", "odr");
    root_close(must_open());
    make_topic(1, "t");
    put_file(DIR "/meta.properties", "vers");
    assert_int_equal(try_open(), ERR_CORRUPT);
    assert_non_null(strstr(why, "meta.properties is damaged"));
    unlink(DIR "/meta.properties");
    must_refuse_untouched(ERR_CORRUPT, "meta.properties is missing");
    mkdir(DIR "/t-0", 0755); /* not only names of a new folder */
    must_refuse_untouched(ERR_CORRUPT, "meta.properties is missing");
}

static void a_file_in_place_of_the_folder_is_a_sentence(void **state)
{
    (void)state;
    mkdir(PARENT "/deep", 0755);
    put_file(DIR, "a file");
    assert_int_not_equal(try_open(), ERR_NONE);
    assert_non_null(strstr(why, "is a file, not a folder"));
    set("log.dirs", DIR "/below");
    assert_int_not_equal(try_open(), ERR_NONE);
    assert_non_null(strstr(why, "cannot be opened"));
}

static void a_folder_without_rights_is_a_sentence(void **state)
{
    (void)state;
    mkdir(PARENT "/deep", 0555);
    if (access(PARENT "/deep", W_OK) == 0) { /* root may write anywhere */
        set("log.dirs", "/proc/odradek");
        assert_int_not_equal(try_open(), ERR_NONE);
        assert_non_null(strstr(why, "The data folder /proc/odradek cannot be opened"));
        return;
    }
    assert_int_equal(try_open(), ERR_PERMISSION);
    assert_non_null(strstr(why, "give this user the right"));
}

static void hold_lock(uint64_t for_ms)
{
    root_close(must_open());
    assert_int_equal(fs_open(DIR "/.lock", FS_READ | FS_WRITE | FS_LOCK, &held_lock), ERR_NONE);
    assert_int_equal(fs_lock(held_lock), ERR_NONE);
    release_at_ns = now_ns + for_ms * NS_PER_MS;
    unlink(DIR "/catalog");
}

static void a_broker_waits_for_the_one_before_and_says_so(void **state)
{
    (void)state;
    hold_lock(9000);
    uint64_t from = now_ns;
    assert_int_equal(try_open(), ERR_NONE);
    assert_in_range(now_ns - from, 9000 * NS_PER_MS, 9100 * NS_PER_MS);
    assert_non_null(strstr(logged, "waiting: for="));
    assert_null(strstr(strstr(logged, "waiting: for=") + 1, "waiting: for=")); /* once */
}

static void a_broker_gives_up_after_ten_seconds_and_touches_nothing(void **state)
{
    (void)state;
    hold_lock(60000);
    uint64_t from = now_ns;
    assert_int_equal(try_open(), ERR_BUSY);
    assert_in_range(now_ns - from, 10000 * NS_PER_MS, 10100 * NS_PER_MS);
    assert_non_null(strstr(why, "in use by another broker"));
    assert_false(there(DIR "/catalog"));
}

static void only_a_wholly_clean_stop_keeps_the_epoch(void **state)
{
    (void)state;
    const uint8_t id[16] = {1}, other[16] = {2};
    make_topic(1, "t"); /* two partitions */
    struct root *r = must_open();
    assert_false(r->fresh || r->clean);
    assert_int_equal(r->leader_epoch, 1);
    assert_int_equal(root_mark_add(r, id, 1), ERR_NONE);
    assert_int_equal(root_mark_add(r, id, 0), ERR_NONE);
    assert_int_equal(root_mark_write(r), ERR_NONE);
    root_close(r);
    assert_true(there(DIR "/.clean"));
    r = must_open();
    assert_false(there(DIR "/.clean"));
    assert_true(r->clean);
    assert_int_equal(r->leader_epoch, 1);
    assert_true(root_was_clean(r, id, 0) && root_was_clean(r, id, 1));
    assert_false(root_was_clean(r, id, 2) || root_was_clean(r, other, 0));
    assert_int_equal(root_mark_add(r, id, 1), ERR_NONE); /* partition 0 failed to flush */
    assert_int_equal(root_mark_write(r), ERR_NONE);
    root_close(r);
    r = must_open();
    assert_int_equal(r->leader_epoch, 2);
    assert_true(root_was_clean(r, id, 1));
    assert_false(root_was_clean(r, id, 0));
    root_close(r); /* no mark */
    r = must_open();
    assert_int_equal(r->leader_epoch, 3);
    assert_false(r->clean || root_was_clean(r, id, 1));
    root_close(r);
}

static void a_mark_that_is_not_whole_is_none(void **state)
{
    (void)state;
    uint8_t at[256];
    const uint8_t id[16] = {1};
    make_topic(1, "t");
    struct root *r = must_open();
    assert_int_equal(root_mark_add(r, id, 0) | root_mark_add(r, id, 1), ERR_NONE);
    assert_int_equal(root_mark_write(r), ERR_NONE);
    root_close(r);
    FILE *f = fopen(DIR "/.clean", "r");
    size_t bytes = fread(at, 1, sizeof at, f);
    fclose(f);
    for (size_t i = 0; i <= bytes; i++) {
        struct clean_mark m;
        size_t cut = i < bytes ? i : bytes;
        clean_mark_init(&m, heap);
        f = fopen(DIR "/.clean", "w");
        assert_int_equal(fwrite(at, 1, cut, f), cut);
        fclose(f);
        assert_int_equal(clean_mark_load(&m, DIR), cut == bytes ? ERR_NONE : ERR_NOT_FOUND);
        clean_mark_deinit(&m);
        at[i % bytes] ^= 1;
        f = fopen(DIR "/.clean", "w");
        assert_int_equal(fwrite(at, 1, bytes, f), bytes);
        fclose(f);
        assert_int_equal(clean_mark_load(&m, DIR), ERR_NOT_FOUND);
        at[i % bytes] ^= 1;
        clean_mark_deinit(&m);
    }
}

static void an_idle_new_broker_leaves_no_mark(void **state)
{
    (void)state;
    struct root *r = must_open();
    assert_int_equal(root_mark_write(r), ERR_NONE);
    root_close(r);
    assert_false(there(DIR "/.clean"));
}

static void make_partition_folder(const char *name, const uint8_t id[16])
{
    char path[256], text[64] = "version: 0\ntopic_id: ";
    snprintf(path, sizeof path, DIR "/%s", name);
    mkdir(path, 0755);
    uuid_text(id, text + strlen(text));
    strcat(text, "\n");
    snprintf(path, sizeof path, DIR "/%s/partition.metadata", name);
    put_file(path, text);
    snprintf(path, sizeof path, DIR "/%s/00000000000000000000.log", name);
    put_file(path, "x");
}

static void folders_of_deleted_topics_go_and_no_others(void **state)
{
    (void)state;
    make_topic(1, "gone");
    make_topic(2, "lives");
    struct root *r = must_open();
    struct catalog_blob blob = {.heap = heap, .wave = r->catalog->wave + 1};
    const uint8_t gone[16] = {1}, lives[16] = {2}, foreign[16] = {3};
    assert_int_equal(catalog_blob_deleted(&blob, gone), ERR_NONE);
    catalog_blob_end(&blob);
    append_blob(r->catalog, &blob);
    catalog_blob_deinit(&blob);
    root_close(r);
    make_partition_folder("gone-0", gone);
    make_partition_folder("lives-0", lives);
    make_partition_folder("foreign-7", foreign);
    make_partition_folder("notes", gone); /* not a partition's name */
    make_partition_folder("again-0.0-stray", gone);
    make_partition_folder("foreign-8.0-stray", foreign);
    mkdir(DIR "/bare-1", 0755);
    mkdir(DIR "/lives-1", 0755);
    r = must_open();
    assert_null(strays_find(&r->catalog->strays, "gone"));
    assert_null(strays_find(&r->catalog->strays, "lives")); /* without an id, and expected */
    assert_int_equal(strays_find(&r->catalog->strays, "foreign")->count, 1);
    assert_string_equal(strays_find(&r->catalog->strays, "bare")->folders[0], "bare-1");
    root_close(r);
    assert_false(there(DIR "/again-0.0-stray"));
    assert_true(there(DIR "/foreign-8.0-stray"));
    assert_false(there(DIR "/gone-0"));
    assert_true(there(DIR "/lives-0/00000000000000000000.log"));
    assert_true(there(DIR "/foreign-7/00000000000000000000.log"));
    assert_true(there(DIR "/notes/partition.metadata") && there(DIR "/bare-1"));
}

static void strays_are_moved_aside_whole_and_never_over_each_other(void **state)
{
    (void)state;
    const uint8_t foreign[16] = {3};
    for (int round = 0; round < 2; round++) {
        make_topic((uint8_t)(1 + round), round ? "b" : "a");
        make_partition_folder("x-0", foreign);
        make_partition_folder("x-12", foreign);
        struct root *r = must_open();
        struct stray *stray = strays_find(&r->catalog->strays, "x");
        assert_non_null(stray);
        assert_int_equal(stray->count, 2);
        assert_int_equal(strays_move_aside(stray, DIR), ERR_NONE);
        strays_forget(&r->catalog->strays, stray);
        assert_null(strays_find(&r->catalog->strays, "x"));
        root_close(r);
    }
    root_close(must_open());
    assert_true(there(DIR "/set-aside/x-0.0/00000000000000000000.log") &&
                there(DIR "/set-aside/x-12.1/partition.metadata"));
    assert_false(there(DIR "/x-0"));
}

static void a_partitions_folder_never_takes_anothers_place(void **state)
{
    (void)state;
    const uint8_t mine[16] = {1}, other[16] = {2};
    uint8_t id[16];
    make_folder();
    make_partition_folder("p-0", other);
    assert_int_equal(partition_dir_make(DIR "/p-0", mine), ERR_NONE);
    assert_true(partition_dir_topic(DIR "/p-0", id) && id[0] == 1);
    assert_false(there(DIR "/p-0/00000000000000000000.log"));
    assert_true(partition_dir_topic(DIR "/p-0.0-stray", id) && id[0] == 2);
    assert_int_equal(partition_dir_make(DIR "/p-0", mine), ERR_NONE); /* ours already */
    assert_false(there(DIR "/p-0.1-stray"));
    unlink(DIR "/p-0/partition.metadata");
    assert_int_equal(partition_dir_make(DIR "/p-0", mine), ERR_NONE); /* cut short before its id was there */
    put_file(DIR "/p-0/00000000000000000000.log", "x");
    unlink(DIR "/p-0/partition.metadata");
    assert_int_equal(partition_dir_make(DIR "/p-0", mine), ERR_NONE);
    assert_true(there(DIR "/p-0.1-stray/00000000000000000000.log"));
}

static void a_deletion_takes_only_its_own_folder(void **state)
{
    (void)state;
    const uint8_t mine[16] = {1}, other[16] = {2};
    make_folder();
    make_partition_folder("p-0", other);
    assert_int_equal(partition_dir_delete(DIR "/p-0", mine), ERR_NONE);
    assert_true(there(DIR "/p-0/00000000000000000000.log"));
    unlink(DIR "/p-0/partition.metadata"); /* whose it is, is not known */
    assert_int_equal(partition_dir_delete(DIR "/p-0", mine), ERR_NONE);
    assert_true(there(DIR "/p-0/00000000000000000000.log"));
    assert_int_equal(partition_dir_name(DIR "/p-0", mine), ERR_NONE);
    assert_int_equal(partition_dir_delete(DIR "/p-0", mine), ERR_NONE);
    assert_false(there(DIR "/p-0"));
    assert_int_equal(partition_dir_delete(DIR "/p-0", mine), ERR_NONE);
    make_partition_folder("p-0", mine);
    unlink(DIR "/p-0/00000000000000000000.log");
    unlink(DIR "/p-0/partition.metadata"); /* a deletion that was cut short at its end */
    assert_int_equal(partition_dir_delete(DIR "/p-0", mine), ERR_NONE);
    assert_false(there(DIR "/p-0"));
}

static void the_route_is_what_was_asked_for(void **state)
{
    (void)state;
    struct root *r = must_open();
    assert_int_equal(r->direct, r->traits.direct);
    root_close(r);
    set("disk.io", "buffered");
    r = must_open();
    assert_false(r->direct);
    root_close(r);
    set("disk.io", "direct");
    enum err err = try_open();
    assert_true(err == ERR_NONE || strstr(why, "disk.io=direct does not work"));
}

static void ids_survive_their_text(void **state)
{
    (void)state;
    struct rng rng = {.state = 7};
    uint8_t id[16], back[16];
    char text[UUID_TEXT_BYTES];
    for (int i = 0; i < 2000; i++) {
        uuid_random(&rng, id);
        uuid_text(id, text);
        assert_int_equal(strlen(text), 22);
        assert_int_not_equal(text[0], '-');
        assert_true(uuid_parse(text, 22, back));
        assert_memory_equal(id, back, 16);
    }
    assert_false(uuid_parse("AAAAAAAAAAAAAAAAAAAAA", 21, back));
    assert_false(uuid_parse("AAAAAAAAAAAAAAAAAAAAA+", 22, back));
    assert_false(uuid_parse("AAAAAAAAAAAAAAAAAAAAAB", 22, back)); /* bits beyond the last byte */
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_new_folder_gets_a_cluster_id_that_stays),
        CASE(kafkas_folder_is_refused_and_untouched),
        CASE(a_folder_with_unknown_files_is_refused_and_untouched),
        CASE(an_empty_folder_is_made_ours),
        CASE(a_newer_format_is_refused_and_untouched),
        CASE(damaged_meta_is_made_anew_only_while_the_folder_is_fresh),
        CASE(a_file_in_place_of_the_folder_is_a_sentence),
        CASE(a_folder_without_rights_is_a_sentence),
        CASE(a_broker_waits_for_the_one_before_and_says_so),
        CASE(a_broker_gives_up_after_ten_seconds_and_touches_nothing),
        CASE(only_a_wholly_clean_stop_keeps_the_epoch),
        CASE(a_mark_that_is_not_whole_is_none),
        CASE(an_idle_new_broker_leaves_no_mark),
        CASE(folders_of_deleted_topics_go_and_no_others),
        CASE(strays_are_moved_aside_whole_and_never_over_each_other),
        CASE(a_partitions_folder_never_takes_anothers_place),
        CASE(a_deletion_takes_only_its_own_folder),
        CASE(the_route_is_what_was_asked_for),
        CASE(ids_survive_their_text),
    };
    return cmocka_run_group_tests_name("root", tests, NULL, NULL);
}
