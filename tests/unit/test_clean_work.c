/* A whole cleaning on real files: what it leaves, and what is left when each file operation and each allocation fails in turn, once (the
 * cleaning is given up) or from then on (that is a kill between any two steps, and the next start). */
#include "tests/unit/faulty_fs.h"
#include "storage/clean/clean_work.h"
#include "core/limits.h"
#include "storage/log/segment.h"
#include "storage/recovery/recovery.h"
#include "tests/unit/empty_dir.h"
#include "tests/unit/keyed_batch.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

enum { SEGMENTS = 3, PER_SEGMENT = 15, KEYS = 8, VALUE_BYTES = 90, ACTIVE = SEGMENTS * PER_SEGMENT };
static const char dir[] = "build/tests/unit/clean_work";
static const uint64_t secret[2] = {3, 4};
static const struct clean_limits roomy = {.segment_bytes = 2500,
                                          .index_bytes = 1 << 20,
                                          .index_interval_bytes = 200,
                                          .map_bytes = 1 << 20,
                                          .map_load = 0.9,
                                          .now_ms = 1000000,
                                          .delete_retention_ms = 1000};

static struct {
    struct heap *heap;
    struct clean_segment segments[SEGMENTS + 1];
    char keys[ACTIVE + PER_SEGMENT][16], values[ACTIVE + PER_SEGMENT][VALUE_BYTES + 1]; /* value "": a tombstone */
} w;

/* --- a log: offset n has key n % KEYS, some are tombstones; codecs by turns; the last segment is the active one --- */

static void write_segment(int64_t base, uint32_t seed)
{
    static uint8_t bytes[1 << 20];
    char path[FS_PATH_MAX];
    struct segment s = {.base_offset = base, .first_timestamp = -1};
    uint64_t at = 0;
    index_init(&s.index, w.heap, base, 1 << 20);
    for (int64_t first = base; first < base + PER_SEGMENT; first += 3) {
        struct keyed_record v[3];
        struct batch b;
        for (int32_t i = 0; i < 3; i++) {
            int64_t n = first + i;
            snprintf(w.keys[n], sizeof w.keys[n], "key-%" PRId64, (n * 7 + seed) % KEYS);
            snprintf(w.values[n], sizeof w.values[n], n % 11 == 3 ? "" : "%0*" PRId64, VALUE_BYTES, n);
            v[i] = (struct keyed_record){i, 5000 + n, w.keys[n], *w.values[n] ? w.values[n] : NULL};
        }
        uint32_t size = make_keyed_batch(
            bytes + at, sizeof bytes - at,
            (struct keyed_batch){first, -1, 2, -1, (int16_t)(first / 3 % (CODEC_ZSTD + 1)), -1, v, 3}, w.heap);
        assert_true(batch_parse(bytes + at, size, &b));
        assert_int_equal(index_add(&s.index, 200, first + 2, (uint32_t)at, size, b.max_timestamp, first + 2), ERR_NONE);
        at += size;
    }
    s.bytes = at;
    assert_int_equal(index_finish(&s.index), ERR_NONE);
    assert_int_equal(segment_save_index(dir, &s), ERR_NONE);
    assert_true(segment_path(path, dir, base, ".log"));
    assert_int_equal(segment_write_file(path, bytes, at), ERR_NONE);
    struct producers *none = producers_open(w.heap);
    uint8_t snapshot[64];
    producers_snapshot(none, snapshot);
    assert_true(segment_path(path, dir, base + PER_SEGMENT, ".snapshot"));
    assert_int_equal(segment_write_file(path, snapshot, producers_snapshot_bytes(none)), ERR_NONE);
    producers_close(none);
    index_deinit(&s.index);
    w.segments[base / PER_SEGMENT] = (struct clean_segment){base, base + PER_SEGMENT, (uint64_t)base + 1, at, 0};
}

static int set_up(void **state)
{
    (void)state;
    empty_dir(dir);
    memset(&w, 0, sizeof w);
    w.heap = heap_open();
    for (int64_t i = 0; i <= SEGMENTS; i++)
        write_segment(i * PER_SEGMENT, 5);
    return 0;
}
static int tear_down(void **state)
{
    (void)state;
    heap_close(w.heap);
    return 0;
}

/* --- cleaning, as the cleaner steps it --- */

static struct clean_work begin_work(struct clean_limits limits, int64_t first_dirty)
{
    struct clean_work work = {.dir = (char *)(uintptr_t)dir,
                              .topic = (char *)(uintptr_t) "t",
                              .segments = w.segments,
                              .count = SEGMENTS,
                              .limits = limits,
                              .first_dirty = first_dirty,
                              .first_uncleanable = ACTIVE,
                              .secret = {secret[0], secret[1]}};
    clean_work_begin(&work);
    return work;
}

/* True: it was committed, and nothing that is not must be taken back. */
static bool step_to_end(struct clean_work *work, uint32_t *out_swaps)
{
    struct index lent;
    bool committed = false, saved = false;
    *out_swaps = 0;
    while (!work->err && !saved) {
        if (work->step == CLEAN_SEAL) {
            index_init(&lent, w.heap, work->index.base_offset, 1 << 20);
            if (index_make_room(&lent, &work->index, false)) {
                work->err = ERR_NO_MEMORY;
                return false;
            }
            work->lent = &lent;
        }
        if (work->step == CLEAN_SWAP) {
            assert_int_equal(lent.offset_count, work->index.offset_count);
            index_deinit(&lent);
            fs_close(work->made_fd);
            work->made_fd = -1;
            work->step = CLEAN_RENAME;
            committed = true;
            ++*out_swaps;
        }
        saved = work->step == CLEAN_DONE;
        clean_work_step(work);
        committed &= work->err != ERR_NONE;
    }
    return committed;
}

/* --- what is there afterwards --- */

struct found {
    bool there[ACTIVE + PER_SEGMENT];
    uint32_t segments;
};

static void read_segment(const struct segment *s, struct found *out)
{
    char path[FS_PATH_MAX];
    uint8_t *at;
    size_t bytes, from = 0;
    struct batch b;
    int64_t next = s->base_offset;
    assert_true(segment_path(path, dir, s->base_offset, ".log"));
    assert_int_equal(segment_read_file(w.heap, path, 1 << 24, &at, &bytes), ERR_NONE);
    for (; from < s->bytes; from += b.bytes) {
        uint8_t *unpacked;
        struct batch_cursor c = {NULL, NULL};
        struct batch_record r;
        assert_true(batch_parse(at + from, bytes - from, &b));
        assert_int_equal(batch_crc(at + from, b.bytes), b.crc);
        assert_true(b.base_offset >= next);
        next = batch_last_offset(&b) + 1;
        assert_int_equal(codec_records(&b, at + from, CODEC_OUTPUT_MAX, w.heap, &unpacked, &c), ERR_NONE);
        for (int32_t i = 0; i < b.count; i++) {
            assert_true(batch_next(&c, &r));
            int64_t n = b.base_offset + r.offset_delta;
            assert_false(out->there[n]);
            out->there[n] = true;
            assert_int_equal(batch_record_timestamp(&b, &r), 5000 + n);
            assert_memory_equal(r.key, w.keys[n], strlen(w.keys[n]));
            assert_int_equal(r.value_bytes, *w.values[n] ? (int)strlen(w.values[n]) : -1);
        }
        heap_free(w.heap, unpacked);
    }
    assert_int_equal(next, s->next_offset);
    heap_free(w.heap, at);
}

/* The next start, on a machine that works. */
static struct found open_again(void)
{
    const struct recovery_input in = {.heap = w.heap,
                                      .dir = dir,
                                      .known_end_offset = -1,
                                      .wave_bytes_max = 1 << 20,
                                      .index_interval_bytes = 200,
                                      .segment_index_bytes = 1 << 20};
    struct recovered r;
    struct found found = {0};
    assert_int_equal(recovery_run(&in, &r), ERR_NONE);
    if (r.corrupt)
        print_message("corrupt at %lld %llu\n", (long long)r.corrupt_segment, (unsigned long long)r.corrupt_position);
    assert_false(r.corrupt);
    assert_int_equal(r.end_offset, ACTIVE + PER_SEGMENT);
    for (struct list *l = r.segments.next; l != &r.segments; l = l->next) {
        found.segments++;
        read_segment(container_of(l, struct segment, link), &found);
    }
    recovered_deinit(&r);
    return found;
}

static int64_t latest_below(const char *key, int64_t end)
{
    int64_t n = end - 1;
    while (n >= 0 && strcmp(w.keys[n], key) != 0)
        n--;
    return n;
}

/* Every record that is the latest of its key below `end`, or is not below it, is there. */
static void nothing_live_is_lost(const struct found *f, int64_t end)
{
    for (int64_t n = 0; n < ACTIVE + PER_SEGMENT; n++)
        assert_true(f->there[n] || (n < end && latest_below(w.keys[n], end) != n));
}

static void only_the_latest_are_there(const struct found *f, int64_t end)
{
    nothing_live_is_lost(f, end);
    for (int64_t n = 0; n < end; n++)
        assert_int_equal(f->there[n], latest_below(w.keys[n], end) == n);
}

/* --- */

static void a_cleaning_leaves_the_latest_of_each_key_in_fewer_segments(void **state)
{
    (void)state;
    uint32_t swaps;
    struct clean_work work = begin_work(roomy, 0);
    assert_false(step_to_end(&work, &swaps));
    assert_int_equal(work.err, ERR_NONE);
    assert_int_equal(work.sums.records_read, ACTIVE);
    assert_int_equal(work.sums.records_kept, KEYS);
    assert_true(swaps > 1 && swaps < SEGMENTS);
    clean_work_end(&work);
    assert_int_equal(clean_offset_load(w.heap, dir), ACTIVE);
    struct found f = open_again();
    only_the_latest_are_there(&f, ACTIVE);
    assert_int_equal(f.segments, swaps + 1);
}

/* A batch may begin anywhere in a block, and be larger than what a step reads. */
static void pieces_of_any_size_read_directly_or_not_leave_the_same(void **state)
{
    static const uint32_t sizes[] = {BATCH_HEADER_BYTES, 100, 500, PAGE_BYTES};
    struct fs_traits traits;
    assert_int_equal(fs_probe(dir, &traits), ERR_NONE);
    for (uint32_t i = 0; i < 2 * COUNT_OF(sizes); i++) {
        uint32_t swaps;
        struct clean_limits limits = roomy;
        limits.direct = i % 2 && traits.direct;
        struct clean_work work = begin_work(limits, 0);
        work.read_bytes = sizes[i / 2];
        assert_false(step_to_end(&work, &swaps));
        assert_int_equal(work.err, ERR_NONE);
        assert_int_equal(work.sums.records_read, ACTIVE);
        assert_int_equal(work.sums.records_kept, KEYS);
        clean_work_end(&work);
        struct found f = open_again();
        only_the_latest_are_there(&f, ACTIVE);
        assert_int_equal(tear_down(state), 0);
        assert_int_equal(set_up(state), 0);
    }
}

static unsigned synced_at_deleted;
static void look_at_rename(const char *from, const char *to)
{
    const char *deleted = strstr(to, ".deleted"), *swap = strstr(from, ".swap");
    if (deleted)
        synced_at_deleted = synced_dirs;
    if (swap && !deleted)
        assert_true(synced_dirs > synced_at_deleted);
}

/* Where a file system does not keep the order of renames, a power cut would leave the new segment beside one that it was made from. */
static void the_old_ones_are_durably_away_before_the_new_one_has_its_name(void **state)
{
    (void)state;
    uint32_t swaps;
    struct clean_work work = begin_work(roomy, 0);
    before_rename = look_at_rename;
    assert_false(step_to_end(&work, &swaps));
    before_rename = NULL;
    assert_int_equal(work.err, ERR_NONE);
    assert_true(swaps > 1);
    clean_work_end(&work);
}

static void a_map_that_is_too_small_takes_several_passes_and_loses_nothing(void **state)
{
    (void)state;
    struct clean_limits tiny = roomy;
    tiny.map_bytes = 5 * DEDUPE_SLOT_BYTES;
    uint32_t swaps;
    struct clean_work work = begin_work(tiny, 0);
    assert_false(step_to_end(&work, &swaps));
    assert_int_equal(work.err, ERR_NONE);
    int64_t end = work.map.end_offset;
    assert_true(end > 0 && end < ACTIVE);
    clean_work_end(&work);
    struct found f = open_again();
    nothing_live_is_lost(&f, end);
}

static void a_log_in_which_nothing_changes_is_left_as_it_is(void **state)
{
    (void)state;
    struct clean_limits held = roomy;
    held.segment_bytes = 1;
    held.now_ms = -1;
    uint32_t swaps;
    struct clean_work work = begin_work(held, ACTIVE - 1); /* one dirty record: its key's older ones go */
    assert_false(step_to_end(&work, &swaps));
    clean_work_end(&work);
    struct found f = open_again();
    uint32_t before = 0;
    for (int64_t n = 0; n < ACTIVE; n++)
        before += f.there[n];
    assert_true(before < ACTIVE && before >= ACTIVE - ACTIVE / KEYS - 1);
    work = begin_work(held, ACTIVE - 1);
    assert_false(step_to_end(&work, &swaps));
    assert_int_equal(swaps, 0); /* nothing is written anew */
    clean_work_end(&work);
}

static void damage_is_named_and_stays(void **state)
{
    (void)state;
    char path[FS_PATH_MAX];
    int fd;
    assert_true(segment_path(path, dir, 2 * PER_SEGMENT, ".log"));
    assert_int_equal(fs_open(path, FS_READ | FS_WRITE | FS_OWN, &fd), ERR_NONE);
    assert_int_equal(fs_write(fd, "?", 1, w.segments[2].bytes / 2), ERR_NONE);
    fs_close(fd);
    for (int64_t dirty = 0; dirty < ACTIVE; dirty += PER_SEGMENT + 10) { /* found by the map; found by the filter */
        uint32_t swaps;
        struct clean_work work = begin_work(roomy, dirty);
        assert_false(step_to_end(&work, &swaps));
        assert_int_equal(work.err, ERR_CORRUPT);
        assert_int_equal(work.bad_segment, 2 * PER_SEGMENT);
        assert_true(work.bad_position > 0);
        clean_work_abandon(&work);
        clean_work_end(&work);
        uint64_t size;
        assert_int_equal(fs_open(path, FS_READ, &fd), ERR_NONE);
        assert_int_equal(fs_size(fd, &size), ERR_NONE);
        fs_close(fd);
        assert_int_equal(size, w.segments[2].bytes);
    }
}

/* False: that many operations are never reached. */
static bool fail_cleaning_at(int n, bool forever)
{
    assert_int_equal(set_up(NULL), 0);
    fault.poor = NULL;
    uint32_t swaps;
    fault_begin(n, forever);
    struct clean_work work = begin_work(roomy, 0);
    bool committed = step_to_end(&work, &swaps);
    bool given_up = work.err && !committed && !forever;
    if (given_up)
        clean_work_abandon(&work);
    clean_work_end(&work); /* descriptors and memory */
    bool reached = fault_end();
    assert_true(reached || !work.err);
    struct found f = open_again();
    nothing_live_is_lost(&f, ACTIVE);
    if (swaps > 0) /* times that a checkpoint has may be of what was replaced: the next start knows that */
        assert_true(clean_offset_load(w.heap, dir) >= 0);
    if (!work.err)
        only_the_latest_are_there(&f, ACTIVE);
    assert_int_equal(tear_down(NULL), 0);
    return reached;
}

static void a_failure_of_any_step_gives_up_cleanly(void **state)
{
    (void)state;
    int n = 1;
    while (fail_cleaning_at(n, false))
        n++;
    assert_true(n > 100);
}

static void a_kill_between_any_two_steps_leaves_a_right_log(void **state)
{
    (void)state;
    int n = 1;
    while (fail_cleaning_at(n, true))
        n++;
    assert_true(n > 100);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_cleaning_leaves_the_latest_of_each_key_in_fewer_segments),
        TEST(pieces_of_any_size_read_directly_or_not_leave_the_same),
        TEST(the_old_ones_are_durably_away_before_the_new_one_has_its_name),
        TEST(a_map_that_is_too_small_takes_several_passes_and_loses_nothing),
        TEST(a_log_in_which_nothing_changes_is_left_as_it_is),
        TEST(damage_is_named_and_stays),
        cmocka_unit_test(a_failure_of_any_step_gives_up_cleanly),
        cmocka_unit_test(a_kill_between_any_two_steps_leaves_a_right_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
