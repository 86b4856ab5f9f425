/* A segment's names and small files, and the walk over its batches. */
#include "storage/recovery/scan.h"
#include "core/rng.h"
#include "tests/unit/empty_dir.h"
#include "tests/unit/make_batch.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const char dir[] = "build/tests/unit/segment";
static struct heap *heap;

static int setup(void **state)
{
    (void)state;
    heap = heap_open();
    empty_dir(dir);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    heap_close(heap);
    return 0;
}

static void names_are_kafkas(void **state)
{
    (void)state;
    char path[FS_PATH_MAX];
    assert_true(segment_path(path, "d", 42, ".log"));
    assert_string_equal(path, "d/00000000000000000042.log");
    assert_true(segment_path(path, "d", INT64_MAX, ".timeindex"));
    assert_string_equal(path, "d/09223372036854775807.timeindex");
    char *deep = calloc(1, FS_PATH_MAX + 1);
    memset(deep, 'x', FS_PATH_MAX - 20);
    assert_false(segment_path(path, deep, 42, ".log"));
    free(deep);
}

static void only_whole_names_are_parsed(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t want; /* -1: none */
    } cases[] = {
        {"00000000000000000000.log", 0},   {"00000000000000000042.log", 42},   {"09223372036854775807.log", INT64_MAX},
        {"09223372036854775808.log", -1},  {"99999999999999999999.log", -1},   {"0000000000000000042.log", -1},
        {"000000000000000000042.log", -1}, {"00000000000000000042.index", -1}, {"00000000000000000042.log.deleted", -1},
        {"0000000000000000004x.log", -1},  {"-0000000000000000042.log", -1},   {"", -1},
        {"00000000000000000042", -1},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t offset = -1;
        assert_int_equal(segment_parse_name(cases[i].name, ".log", &offset), cases[i].want >= 0);
        assert_int_equal(offset, cases[i].want);
    }
}

static void small_files_come_back(void **state)
{
    (void)state;
    char path[FS_PATH_MAX];
    snprintf(path, sizeof path, "%s/small", dir);
    uint8_t *at;
    size_t bytes;
    assert_int_equal(segment_read_file(heap, path, 100, &at, &bytes), ERR_NOT_FOUND);
    for (size_t n = 0; n < 9; n += 4) {
        assert_int_equal(segment_write_file(path, "contents", n), ERR_NONE);
        assert_int_equal(segment_read_file(heap, path, 8, &at, &bytes), ERR_NONE);
        assert_int_equal(bytes, n);
        assert_memory_equal(at, "contents", n);
        heap_free(heap, at);
    }
    assert_int_equal(segment_read_file(heap, path, 7, &at, &bytes), ERR_NO_MEMORY);
}

/* A log of `count` batches of random sizes, some larger than the scan's buffer. Returns its bytes. */
static uint64_t write_log(uint64_t seed, int count, uint64_t *positions)
{
    static uint8_t one[MAKE_BATCH_MAX];
    struct rng rng = {seed};
    char path[FS_PATH_MAX];
    int fd;
    uint64_t at = 0;
    int64_t next = 7;
    assert_true(segment_path(path, dir, 7, ".log"));
    assert_int_equal(fs_open(path, FS_WRITE | FS_CREATE | FS_TRUNCATE, &fd), ERR_NONE);
    for (int i = 0; i < count; i++) {
        struct make_batch m = {.base_offset = next,
                               .timestamp = 1000 + i,
                               .producer_id = -1,
                               .leader_epoch = 1,
                               .count = 1 + (int32_t)rng_below(&rng, 8),
                               .value_bytes = (uint32_t)rng_below(&rng, i % 5 ? 500 : 65000)};
        uint32_t bytes = make_batch(one, m);
        assert_int_equal(fs_write(fd, one, bytes, at), ERR_NONE);
        positions[i] = at;
        at += bytes;
        next += m.count;
    }
    fs_close(fd);
    return at;
}
static int open_log(void)
{
    char path[FS_PATH_MAX];
    int fd;
    assert_true(segment_path(path, dir, 7, ".log"));
    assert_int_equal(fs_open(path, FS_READ | FS_WRITE | FS_OWN, &fd), ERR_NONE);
    return fd;
}

enum { COUNT = 60 };
static uint64_t positions[COUNT];

static void a_walk_sees_every_batch_and_stops_at_the_first_bad_one(void **state)
{
    (void)state;
    uint64_t bytes = write_log(1, COUNT, positions);
    int fd = open_log();
    for (int bad = -1; bad < COUNT; bad += 7) {
        uint8_t byte = 0;
        size_t got;
        if (bad >= 0) {
            assert_int_equal(fs_read(fd, &byte, 1, positions[bad] + 70, &got), ERR_NONE);
            byte ^= 0x10;
            assert_int_equal(fs_write(fd, &byte, 1, positions[bad] + 70), ERR_NONE);
        }
        struct scan s;
        struct batch b;
        bool valid;
        int n = 0;
        assert_int_equal(scan_open(&s, heap, fd, 0, bytes), ERR_NONE);
        for (; scan_peek(&s, &b, &valid) == ERR_NONE && valid; n++) {
            assert_int_equal(s.at, positions[n]);
            scan_skip(&s, &b);
        }
        assert_int_equal(n, bad < 0 ? COUNT : bad);
        assert_int_equal(s.at, bad < 0 ? bytes : positions[bad]);
        scan_close(&s);
        byte ^= 0x10;
        if (bad >= 0)
            assert_int_equal(fs_write(fd, &byte, 1, positions[bad] + 70), ERR_NONE);
    }
    fs_close(fd);
}

static void a_search_finds_the_next_batch_from_any_byte(void **state)
{
    (void)state;
    uint64_t bytes = write_log(2, COUNT, positions);
    int fd = open_log();
    struct scan s;
    struct rng rng = {77};
    assert_int_equal(scan_open(&s, heap, fd, 0, bytes), ERR_NONE);
    for (int round = 0; round < 50; round++) {
        uint64_t from = rng_below(&rng, bytes), want = UINT64_MAX, got;
        for (int i = COUNT; i-- > 0 && positions[i] >= from;)
            want = positions[i];
        assert_int_equal(scan_search(&s, from, 7, &got), ERR_NONE);
        assert_true(got == want);
    }
    uint64_t got;
    assert_int_equal(scan_search(&s, 0, 100000, &got), ERR_NONE); /* all offsets are too low */
    assert_true(got == UINT64_MAX);
    scan_close(&s);
    fs_close(fd);
}

static void wiping_leaves_zeros_and_touches_nothing_before(void **state)
{
    (void)state;
    uint64_t bytes = write_log(3, COUNT, positions), from = positions[20] + 5, at, wiped = 0;
    int fd = open_log();
    assert_int_equal(fs_truncate(fd, bytes + 1000000), ERR_NONE); /* zeros behind */
    struct scan s;
    assert_int_equal(scan_open(&s, heap, fd, 0, bytes + 1000000), ERR_NONE);
    assert_int_equal(scan_nonzero(&s, from, &at), ERR_NONE);
    assert_true(at >= from && at < from + 61);
    assert_int_equal(scan_nonzero(&s, bytes, &at), ERR_NONE);
    assert_true(at == UINT64_MAX);
    assert_int_equal(scan_wipe(&s, from, &wiped), ERR_NONE);
    assert_true(wiped > 0 && wiped <= bytes - from + 4096);
    assert_int_equal(scan_nonzero(&s, from, &at), ERR_NONE);
    assert_true(at == UINT64_MAX);
    struct batch b;
    bool valid;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(scan_peek(&s, &b, &valid), ERR_NONE);
        assert_true(valid);
        scan_skip(&s, &b);
    }
    assert_int_equal(scan_peek(&s, &b, &valid), ERR_NONE);
    assert_false(valid);
    scan_close(&s);
    fs_close(fd);
}

static struct segment segment_of(uint64_t bytes)
{
    struct segment s = {.base_offset = 7, .bytes = bytes, .allocated = bytes};
    index_init(&s.index, heap, 7, 1 << 20);
    return s;
}

static void a_lost_index_is_rebuilt_as_it_was(void **state)
{
    (void)state;
    uint64_t bytes = write_log(4, COUNT, positions), bad_at;
    struct segment s = segment_of(bytes), t = segment_of(bytes);
    assert_int_equal(segment_load_index(dir, &s), ERR_CORRUPT); /* there is none */
    assert_int_equal(scan_rebuild_index(dir, &s, 4096, &bad_at), ERR_NONE);
    assert_true(s.index_loaded && s.index.offset_count > 5);
    assert_int_equal(s.max_timestamp, 1000 + COUNT - 1);
    assert_int_equal(segment_load_index(dir, &t), ERR_NONE);
    assert_int_equal(t.index.offset_count, s.index.offset_count);
    assert_memory_equal(t.index.offsets, s.index.offsets, s.index.offset_count * 8);
    assert_int_equal(t.index.time_count, s.index.time_count);
    assert_memory_equal(t.index.times, s.index.times, s.index.time_count * 12);
    assert_int_equal(t.max_timestamp, s.max_timestamp);
    index_deinit(&s.index);
    index_deinit(&t.index);
}

static void a_bad_batch_in_a_closed_segment_is_named(void **state)
{
    (void)state;
    uint64_t bytes = write_log(5, COUNT, positions), bad_at = 0;
    int fd = open_log();
    assert_int_equal(fs_write(fd, "x", 1, positions[33] + 30), ERR_NONE);
    fs_close(fd);
    struct segment s = segment_of(bytes);
    assert_int_equal(scan_rebuild_index(dir, &s, 4096, &bad_at), ERR_CORRUPT);
    assert_int_equal(bad_at, positions[33]);
    assert_false(s.index_loaded);
    index_deinit(&s.index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_are_kafkas, setup, teardown),
        cmocka_unit_test_setup_teardown(only_whole_names_are_parsed, setup, teardown),
        cmocka_unit_test_setup_teardown(small_files_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_walk_sees_every_batch_and_stops_at_the_first_bad_one, setup, teardown),
        cmocka_unit_test_setup_teardown(a_search_finds_the_next_batch_from_any_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(wiping_leaves_zeros_and_touches_nothing_before, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lost_index_is_rebuilt_as_it_was, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bad_batch_in_a_closed_segment_is_named, setup, teardown),
    };
    return cmocka_run_group_tests_name("segment", tests, NULL, NULL);
}
