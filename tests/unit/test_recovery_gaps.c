/* Recovery of a log in which compaction made gaps, and of cleanings that were cut short between any two of their steps. */
#define RECOVERY_DIR "recovery_gaps"
#include "storage/log/deleted.h"
#include "storage/log/folder.h"
#include "storage/log/log_start.h"
#include "tests/unit/log_world.h"

/* --- gaps --- */

/* Compaction took every third batch, emptied every fourth, and between the segments offsets are missing. */
static void append_cleaned(int count)
{
    for (int i = 0; i < count; i++) {
        if (i % 3 == 2)
            w.next += 40;
        append_one(1 + i % 3, 100, i % 4 == 3);
    }
}

static void build_cleaned_segments(void)
{
    w.gaps = true;
    for (int i = 0; i < 3; i++) {
        append_cleaned(12 + i);
        trim_and_save();
        close_segment();
        unlink_file(w.next, ".snapshot");
        w.next += 1000 * i;
        write_snapshot(w.next);
        open_segment(w.next);
    }
    append_many(8);
}

static void offsets_may_be_missing_in_closed_segments(void **state)
{
    (void)state;
    build_cleaned_segments();
    int count = w.count;
    must_end_behind(count);
    checkpoint();
    append_many(6);
    must_end_behind(count + 6);
    for (int i = 0; i < count - 8; i += 12) { /* without their indexes */
        unlink_file(w.batches[i].segment, ".index");
        must_end_behind(count + 6);
    }
    w.checkpointed = false;
    must_end_behind(count + 6);
}

/* A roll, a cleaning, and a kill before the next append: once that was "corrupt" (the simulator's seed 2432). */
static void so_they_may_in_one_behind_which_nothing_was_written_yet(void **state)
{
    (void)state;
    w.gaps = true;
    append_cleaned(12);
    trim_and_save();
    close_segment();
    open_segment(w.next);
    must_end_behind(w.count);
}

/* The checkpoint's place lies in a batch that a cleaning made longer, and zeros follow: once the file was cut there (sim 1 --fail-room). */
static void zeros_in_a_cleaned_batch_are_not_the_end_of_its_segment(void **state)
{
    (void)state;
    static uint8_t one[MAKE_BATCH_MAX];
    append(1, 97);
    checkpoint();
    roll();
    append_many(3);
    uint32_t bytes = make_batch(
        one, (struct make_batch){
                 .timestamp = 1000, .producer_id = ID, .leader_epoch = w.epoch, .count = 1, .value_bytes = 100});
    assert_int_equal(bytes, w.checkpoint.position + 3);
    memset(one + bytes - 3, 0, 3);
    make_seal(one, bytes);
    int fd = open_file(0, ".log", FS_WRITE | FS_CREATE | FS_TRUNCATE);
    assert_int_equal(fs_write(fd, one, bytes, 0), ERR_NONE);
    fs_close(fd);
    w.batches[0].bytes = bytes;
    must_end_behind(w.count);
    uint64_t size;
    fd = open_file(0, ".log", FS_READ);
    assert_int_equal(fs_size(fd, &size), ERR_NONE);
    assert_int_equal(size, bytes);
    fs_close(fd);
}

static void in_the_active_segment_a_gap_ends_the_log(void **state)
{
    (void)state;
    build_cleaned_segments();
    int count = w.count;
    w.next += 1;
    append(1, 50);
    must_end_behind(count);
}

static void behind_a_segment_that_does_not_end_with_its_file_a_gap_is_a_loss(void **state)
{
    (void)state;
    append_many(15);
    uint64_t at = w.at;
    close_segment(); /* not trimmed */
    w.next += 10;
    open_segment(w.next);
    append_many(5);
    must_be_corrupt(0, at);
}

static void damage_in_a_segment_with_gaps_is_corruption(void **state)
{
    (void)state;
    build_cleaned_segments();
    spoil_batch(5);
    must_be_corrupt(0, w.batches[5].at);
}

/* Kafka's cleaner leaves it where nothing of a segment is left, also of the first: the log starts there. */
static void a_file_of_no_bytes_is_a_gap_unless_it_held_something(void **state)
{
    (void)state;
    build_cleaned_segments();
    int64_t middle = w.batches[12].segment;
    struct recovered r;
    for (int i = 0; i < 2; i++) {
        int64_t base = i ? 0 : middle;
        static const char *const suffixes[] = {".index", ".timeindex", ".log"};
        for (size_t k = 0; k < COUNT_OF(suffixes); k++)
            fs_close(open_file(base, suffixes[k], FS_WRITE | FS_TRUNCATE));
        run(&r);
        assert_false(r.corrupt);
        assert_int_equal(r.log_start_offset, 0);
        assert_int_equal(r.end_offset, w.next);
        const struct segment *s = container_of(r.segments.next, struct segment, link);
        assert_int_equal(s->base_offset, i ? w.batches[25].segment : 0);
        recovered_deinit(&r);
    }
    fs_close(open_file(w.batches[25].segment, ".log", FS_WRITE | FS_TRUNCATE)); /* its index knows of what it had */
    must_be_corrupt(w.batches[25].segment, 0);
}

static void a_lost_segment_is_found_by_its_index(void **state)
{
    (void)state;
    build_cleaned_segments();
    int64_t lost = w.batches[15].segment;
    unlink_file(lost, ".log");
    must_be_corrupt(lost, 0);
    checkpoint();
    must_be_corrupt(lost, 0);
    assert_int_equal(log_start_save(dir, "t", 0, w.base), ERR_NONE); /* nobody needs it */
    struct recovered r;
    run(&r);
    assert_false(r.corrupt);
    recovered_deinit(&r);
}

/* --- below the log start --- */

/* The snapshot behind it is missing, so it is read, and it is damaged. */
static void what_is_damaged_below_the_log_start_is_passed(void **state)
{
    (void)state;
    for (int way = 0; way < 4; way++) {
        over();
        fresh();
        open_segment(0);
        append_many(5);
        if (way == 3)
            checkpoint();
        append_many(15);
        roll();
        int64_t second = w.base;
        append_many(20);
        if (way == 2)
            checkpoint();
        if (way == 1) {
            roll();
            append_many(3);
            checkpoint();
        }
        unlink_file(second, ".snapshot");
        if (way == 1)
            zero(0, w.batches[15].at, w.batches[19].at + w.batches[19].bytes - w.batches[15].at);
        else
            spoil_batch(10);
        assert_int_equal(log_start_save(dir, "t", 0, second + 1), ERR_NONE);
        struct recovered r;
        run(&r);
        assert_false(r.corrupt);
        assert_int_equal(r.log_start_offset, second + 1);
        assert_int_equal(r.end_offset, w.next);
        assert_false(exists(0, ".log"));
        const struct segment *s = container_of(r.segments.next, struct segment, link);
        assert_int_equal(s->base_offset, second);
        recovered_deinit(&r);
    }
}

/* The first one was being read, so the second one's files went before its own, and then the power: what the producers of the second wrote is
 * known from a younger snapshot. Once they were taken to be where the first one left them (the simulator's seed 15569). */
static void producers_are_known_where_segments_below_the_log_start_went_out_of_turn(void **state)
{
    (void)state;
    append_many(5);
    roll();
    int64_t second = w.base;
    append_many(5);
    roll();
    int64_t third = w.base;
    append_transactional();
    end_transaction(true);
    roll();
    assert_int_equal(log_start_save(dir, "t", 0, w.base), ERR_NONE);
    assert_int_equal(deleted_rename(dir, second, true), ERR_NONE);
    unlink_file(third, ".snapshot");
    struct recovered r;
    run(&r);
    assert_false(r.corrupt);
    assert_int_equal(r.log_start_offset, w.base);
    assert_int_equal(r.end_offset, w.next);
    check_producers(&r, w.count);
    assert_false(exists(0, ".log") || exists(third, ".log"));
    recovered_deinit(&r);
}

/* --- swaps --- */

enum { BATCHES = 12, ACTIVE = 6 };
enum step {
    CLEANED_PART,
    CLEANED,
    INDEX_RENAMED,
    COMMITTED,
    LAST_DELETED,
    ALL_DELETED,
    INDEX_NAMED,
    LOG_NAMED,
    DELETED_GONE,
    STEPS
};

static int64_t bases[4], ends[4]; /* of the three that are cleaned, and the active one */
static struct placed cleaned[3 * BATCHES];
static int cleaned_count;

static void rename_file(int64_t base, const char *from, const char *to)
{
    char a[FS_PATH_MAX], b[FS_PATH_MAX];
    assert_true(segment_path(a, dir, base, from));
    assert_true(segment_path(b, dir, base, to));
    assert_int_equal(fs_rename(a, b), ERR_NONE);
}

/* Of the three segments' batches every second stays, and the last one empty. */
static void write_cleaned(const char *suffix)
{
    static uint8_t one[MAKE_BATCH_MAX];
    char name[64];
    struct segment s = {.base_offset = bases[0]};
    cleaned_count = 0;
    index_init(&s.index, w.heap, bases[0], 1 << 20);
    snprintf(name, sizeof name, ".log%s", suffix);
    int fd = open_file(bases[0], name, FS_WRITE | FS_CREATE | FS_TRUNCATE);
    for (int i = 0; i < 3 * BATCHES; i++) {
        const struct placed *from = &w.batches[i];
        bool last = i == 3 * BATCHES - 1;
        if (i % 2 == 0 && !last)
            continue;
        int from_fd = open_file(from->segment, ".log", FS_READ);
        size_t got;
        struct batch b;
        assert_int_equal(fs_read(from_fd, one, from->bytes, from->at, &got), ERR_NONE);
        fs_close(from_fd);
        assert_true(batch_parse(one, got, &b));
        uint32_t bytes = b.bytes;
        if (last)
            bytes = make_batch(one, (struct make_batch){.base_offset = b.base_offset,
                                                        .timestamp = b.max_timestamp,
                                                        .producer_id = ID,
                                                        .leader_epoch = b.leader_epoch,
                                                        .sequence = b.base_sequence,
                                                        .emptied = b.count});
        assert_true(batch_parse(one, bytes, &b));
        assert_int_equal(fs_write(fd, one, bytes, s.bytes), ERR_NONE);
        assert_int_equal(index_add(&s.index, INTERVAL, batch_last_offset(&b), (uint32_t)s.bytes, bytes,
                                   batch_newest_timestamp(&b), batch_last_offset(&b)),
                         ERR_NONE);
        cleaned[cleaned_count++] =
            (struct placed){bases[0], b.base_offset, batch_last_offset(&b) + 1, s.bytes, bytes, false, false};
        s.bytes += bytes;
    }
    fs_close(fd);
    static const char *const indexes[] = {".index", ".timeindex"};
    assert_int_equal(index_finish(&s.index), ERR_NONE);
    for (int i = 0; i < 2; i++) {
        char path[FS_PATH_MAX];
        snprintf(name, sizeof name, "%s%s", indexes[i], suffix);
        assert_true(segment_path(path, dir, bases[0], name));
        assert_int_equal(segment_write_file(path, i ? s.index.times : s.index.offsets,
                                            i ? s.index.time_count * 12ul : s.index.offset_count * 8ul),
                         ERR_NONE);
    }
    index_deinit(&s.index);
}

static void build_originals(void)
{
    over();
    fresh();
    open_segment(0);
    for (int i = 0; i < 3; i++) {
        bases[i] = w.base;
        append_many(BATCHES);
        ends[i] = w.next;
        roll();
    }
    bases[3] = w.base;
    append_many(ACTIVE);
}

static void clean_until(enum step step)
{
    write_cleaned(".cleaned");
    if (step == CLEANED_PART) {
        int fd = open_file(bases[0], ".log.cleaned", FS_WRITE);
        assert_int_equal(fs_truncate(fd, 500), ERR_NONE);
        fs_close(fd);
    }
    if (step >= INDEX_RENAMED) {
        rename_file(bases[0], ".index.cleaned", ".index.swap");
        rename_file(bases[0], ".timeindex.cleaned", ".timeindex.swap");
    }
    if (step >= COMMITTED)
        rename_file(bases[0], ".log.cleaned", ".log.swap");
    for (int i = 3; i-- > 0;)
        if (step >= ALL_DELETED || (step >= LAST_DELETED && i == 2))
            assert_int_equal(deleted_rename(dir, bases[i], i > 0), ERR_NONE);
    if (step >= INDEX_NAMED) {
        rename_file(bases[0], ".index.swap", ".index");
        rename_file(bases[0], ".timeindex.swap", ".timeindex");
    }
    if (step >= LOG_NAMED)
        rename_file(bases[0], ".log.swap", ".log");
    for (int i = 0; step >= DELETED_GONE && i < 3; i++)
        assert_int_equal(deleted_unlink(dir, bases[i]), ERR_NONE);
}

static bool not_of_the_log(void *arg, const struct fs_entry *entry)
{
    if (strstr(entry->name, ".swap") || strstr(entry->name, ".cleaned"))
        *(bool *)arg = true;
    return true;
}

/* One segment stands for the three, then the active one. */
static void check_cleaned_log(void)
{
    struct recovered r;
    for (int again = 0; again < 2; again++) {
        run(&r);
        if (r.corrupt)
            fail_msg("corrupt: segment %" PRId64 " position %" PRIu64, r.corrupt_segment, r.corrupt_position);
        assert_int_equal(r.end_offset, w.next);
        check_segments(&r, w.next);
        check_producers(&r, 3 * BATCHES + ACTIVE);
        const struct segment *s = container_of(r.segments.next, struct segment, link);
        assert_int_equal(s->base_offset, bases[0]);
        assert_int_equal(s->next_offset, ends[2]);
        assert_int_equal(s->bytes, cleaned[cleaned_count - 1].at + cleaned[cleaned_count - 1].bytes);
        assert_int_equal(container_of(s->link.next, struct segment, link)->base_offset, bases[3]);
        struct segment loaded = {.base_offset = bases[0], .bytes = s->bytes};
        index_init(&loaded.index, w.heap, bases[0], 1 << 20);
        assert_int_equal(segment_load_index(dir, &loaded), ERR_NONE);
        assert_int_equal(loaded.max_timestamp, 1000 + w.batches[3 * BATCHES - 3].base_offset);
        index_deinit(&loaded.index);
        recovered_deinit(&r);
        bool left = false;
        assert_int_equal(fs_list(dir, not_of_the_log, &left), ERR_NONE);
        assert_false(left);
        assert_true(exists(bases[0], ".index") && exists(bases[3], ".snapshot"));
    }
}

/* Where the newest checkpoint that reached the disk is: none, in one of the three (its start, middle and end), in the active one. */
static void take_checkpoint(int where)
{
    static uint8_t kept[1 << 16];
    if (where == 0)
        return;
    if (where == 10) {
        checkpoint();
        return;
    }
    int segment = (where - 1) / 3, batches = segment * BATCHES + (int[]){0, BATCHES / 2, BATCHES}[(where - 1) % 3];
    struct producers *ps = producers_open(w.heap);
    int32_t sequence = 0;
    for (int i = 0; i < batches; i++) {
        int32_t count = (int32_t)(w.batches[i].end_offset - w.batches[i].base_offset);
        struct batch b = {.producer_id = ID,
                          .base_offset = w.batches[i].base_offset,
                          .base_sequence = sequence,
                          .count = count,
                          .last_offset_delta = count - 1};
        assert_int_equal(producers_update(ps, &b, NULL, 1, &(struct aborted_txn){0}), ERR_NONE);
        sequence += count;
    }
    producers_save(ps, kept);
    bool whole = batches == (segment + 1) * BATCHES;
    w.checkpoint = (struct checkpoint_entry){
        .segment_base_offset = bases[segment],
        .position = whole ? w.batches[batches - 1].at + w.batches[batches - 1].bytes : w.batches[batches].at,
        .offset = whole ? ends[segment] : w.batches[batches].base_offset,
        .leader_epoch = 1,
        .max_timestamp = -1,
        .max_timestamp_offset = -1,
        .first_timestamp = -1,
        .producers = kept,
        .producers_bytes = (uint32_t)producers_saved_bytes(ps)};
    producers_close(ps);
    w.checkpointed = true;
}

static void a_cleaning_may_be_cut_short_between_any_two_steps(void **state)
{
    (void)state;
    for (int step = CLEANED_PART; step < STEPS; step++)
        for (int where = 0; where <= 10; where++) {
            build_originals();
            take_checkpoint(where);
            clean_until((enum step)step);
            if (step >= COMMITTED) {
                check_cleaned_log();
                continue;
            }
            struct recovered r;
            run(&r);
            assert_false(r.corrupt);
            assert_int_equal(r.end_offset, w.next);
            check_segments(&r, w.next);
            check_producers(&r, w.count);
            recovered_deinit(&r);
            bool left = false;
            assert_int_equal(fs_list(dir, not_of_the_log, &left), ERR_NONE);
            assert_false(left);
            for (int i = 0; i < 4; i++)
                assert_true(exists(bases[i], ".log"));
        }
}

/* What a checkpoint knows of the times of a segment that was replaced is not believed of the new one, though that is as large, and nothing
 * is left of the old one. */
static void times_of_a_replaced_segment_are_forgotten(void **state)
{
    (void)state;
    for (int was_cleaned = 0; was_cleaned < 2; was_cleaned++) {
        build_originals();
        checkpoint();
        clean_until(DELETED_GONE);
        if (was_cleaned)
            assert_int_equal(segment_write_file("build/tests/unit/" RECOVERY_DIR "/" FOLDER_CLEANED, "0", 1), ERR_NONE);
        const struct placed *end = &cleaned[cleaned_count - 1];
        struct checkpoint_segment known = {
            .base_offset = bases[0], .bytes = end->at + end->bytes, .max_timestamp = 7, .first_timestamp = 7};
        const struct recovery_input in = {.heap = w.heap,
                                          .dir = dir,
                                          .checkpoint = &w.checkpoint,
                                          .segments = &known,
                                          .segment_count = 1,
                                          .known_end_offset = -1,
                                          .wave_bytes_max = WAVE_MAX,
                                          .index_interval_bytes = INTERVAL,
                                          .segment_index_bytes = 1 << 20};
        struct recovered r;
        assert_int_equal(recovery_run(&in, &r), ERR_NONE);
        assert_false(r.corrupt);
        assert_int_equal(container_of(r.segments.next, struct segment, link)->times_known, !was_cleaned);
        recovered_deinit(&r);
    }
}

/* The same of the checkpoint's own segment, where it was closed and cleaned since, and stands for as many bytes with no index entry more. */
static void times_in_a_checkpoint_are_not_believed_of_a_segment_that_may_be_another(void **state)
{
    (void)state;
    for (int was_cleaned = 0; was_cleaned < 2; was_cleaned++) {
        over();
        fresh();
        open_segment(0);
        append_many(2);
        int64_t newest = w.active.index.max_timestamp;
        checkpoint();
        w.checkpoint.max_timestamp = newest + 1000; /* of a record that is gone */
        roll();
        append_many(2);
        if (was_cleaned)
            assert_int_equal(segment_write_file("build/tests/unit/" RECOVERY_DIR "/" FOLDER_CLEANED, "0", 1), ERR_NONE);
        struct recovered r;
        run(&r);
        assert_false(r.corrupt);
        assert_int_equal(r.end_offset, w.next);
        assert_int_equal(container_of(r.segments.next, struct segment, link)->max_timestamp,
                         was_cleaned ? newest : newest + 1000);
        check_producers(&r, w.count);
        recovered_deinit(&r);
    }
}

/* Requests wait for a recovery: it unlinks some of what is left of dropped segments, and names the rest. */
static void of_many_dropped_segments_the_files_of_some_go_later(void **state)
{
    (void)state;
    enum { MANY = 40 };
    append_many(3);
    for (int i = 0; i < MANY; i++)
        fs_close(open_file(1000 + i, ".log.deleted", FS_WRITE | FS_CREATE));
    struct recovered r;
    run(&r);
    assert_false(r.corrupt);
    assert_int_equal(r.end_offset, w.next);
    uint32_t left = 0;
    for (int i = 0; i < MANY; i++)
        left += exists(1000 + i, ".log.deleted");
    assert_in_range(left, 1, MANY - 1);
    assert_int_equal(r.gone.count, left);
    for (uint32_t i = 0; i < left; i++)
        assert_true(exists(r.gone.v[i], ".log.deleted"));
    recovered_deinit(&r);
}

static void a_damaged_swap_goes_if_all_that_it_was_made_from_is_there(void **state)
{
    (void)state;
    build_originals();
    clean_until(COMMITTED);
    int fd = open_file(bases[0], ".log.swap", FS_WRITE);
    assert_int_equal(fs_write(fd, "x", 1, cleaned[3].at + 70), ERR_NONE);
    fs_close(fd);
    int64_t at = (int64_t)cleaned[3].at;
    assert_int_equal(deleted_rename(dir, bases[2], true), ERR_NONE);
    must_be_corrupt(bases[0], (uint64_t)at); /* one is on its way out already */
    for (int i = 0; i < 2; i++) {
        static const char *const suffixes[] = {".log", ".index", ".timeindex", ".snapshot"};
        for (size_t k = 0; k < COUNT_OF(suffixes) && i == 0; k++) {
            char name[64];
            snprintf(name, sizeof name, "%s.deleted", suffixes[k]);
            rename_file(bases[2], name, suffixes[k]);
        }
        must_end_behind(w.count);
        assert_false(exists(bases[0], ".log.swap") || exists(bases[0], ".index.swap"));
    }
}

static void a_swap_that_is_the_only_copy_must_be_whole(void **state)
{
    (void)state;
    build_originals();
    clean_until(INDEX_NAMED);
    int fd = open_file(bases[0], ".log.swap", FS_WRITE);
    assert_int_equal(fs_truncate(fd, cleaned[cleaned_count - 1].at), ERR_NONE);
    assert_int_equal(fs_write(fd, "x", 1, cleaned[2].at + 20), ERR_NONE);
    fs_close(fd);
    must_be_corrupt(bases[0], cleaned[2].at);
}

/* Only closed segments are cleaned: the log goes on behind it, or something is lost. */
static void a_swap_with_nothing_behind_it_is_corruption(void **state)
{
    (void)state;
    build_originals();
    clean_until(ALL_DELETED);
    unlink_file(bases[3], ".log");
    struct recovered r;
    run(&r);
    assert_true(r.corrupt);
    assert_true(exists(bases[0], ".log.swap"));
    recovered_deinit(&r);
}

/* Kafka renames the log first: while an index still has to follow, nothing was replaced. */
static void a_swap_of_kafkas_whose_index_is_not_one_yet_goes(void **state)
{
    (void)state;
    build_originals();
    write_cleaned(".cleaned");
    rename_file(bases[0], ".log.cleaned", ".log.swap");
    must_end_behind(w.count);
    assert_false(exists(bases[0], ".log.swap") || exists(bases[0], ".index.cleaned"));
}

/* Kafka again: the log has its name, its indexes do not yet. */
static void indexes_whose_log_has_its_name_are_made_anew(void **state)
{
    (void)state;
    build_originals();
    checkpoint();
    clean_until(ALL_DELETED);
    rename_file(bases[0], ".log.swap", ".log");
    check_cleaned_log();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(offsets_may_be_missing_in_closed_segments),
        TEST(so_they_may_in_one_behind_which_nothing_was_written_yet),
        TEST(zeros_in_a_cleaned_batch_are_not_the_end_of_its_segment),
        TEST(in_the_active_segment_a_gap_ends_the_log),
        TEST(behind_a_segment_that_does_not_end_with_its_file_a_gap_is_a_loss),
        TEST(damage_in_a_segment_with_gaps_is_corruption),
        TEST(a_file_of_no_bytes_is_a_gap_unless_it_held_something),
        TEST(a_lost_segment_is_found_by_its_index),
        TEST(what_is_damaged_below_the_log_start_is_passed),
        TEST(producers_are_known_where_segments_below_the_log_start_went_out_of_turn),
        TEST(a_cleaning_may_be_cut_short_between_any_two_steps),
        TEST(times_of_a_replaced_segment_are_forgotten),
        TEST(times_in_a_checkpoint_are_not_believed_of_a_segment_that_may_be_another),
        TEST(of_many_dropped_segments_the_files_of_some_go_later),
        TEST(a_damaged_swap_goes_if_all_that_it_was_made_from_is_there),
        TEST(a_swap_that_is_the_only_copy_must_be_whole),
        TEST(a_swap_with_nothing_behind_it_is_corruption),
        TEST(a_swap_of_kafkas_whose_index_is_not_one_yet_goes),
        TEST(indexes_whose_log_has_its_name_are_made_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
