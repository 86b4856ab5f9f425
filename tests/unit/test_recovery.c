/* Recovery on real files: what ends a log, what is a torn tail and what is corruption, and what is left behind. */
#include "storage/log/log_start.h"
#define RECOVERY_DIR "recovery"
#include "storage/log/folder.h"
#include "tests/unit/log_world.h"

/* --- the end of a log --- */

static void nothing_is_an_empty_log(void **state)
{
    (void)state;
    must_end_behind(0); /* one segment of zeros */
    over();
    fresh();
    struct recovered r;
    run(&r); /* no file at all */
    assert_false(r.corrupt);
    assert_true(list_empty(&r.segments));
    assert_int_equal(r.end_offset, 0);
    recovered_deinit(&r);
}

static void no_folder_is_not_found_unless_something_was_in_it(void **state)
{
    (void)state;
    struct checkpoint_entry c = {.offset = 5, .position = 300};
    struct recovery_input in = {.heap = w.heap, .dir = "build/tests/unit/no-such-folder", .known_end_offset = -1};
    struct recovered r;
    assert_int_equal(recovery_run(&in, &r), ERR_NOT_FOUND);
    in.checkpoint = &c;
    assert_int_equal(recovery_run(&in, &r), ERR_NONE);
    assert_true(r.corrupt);
    recovered_deinit(&r);
}

/* Of a checkpoint whose CRC is good: what it says may still be of something else. */
static void an_empty_log_has_no_transaction_that_begins_behind_it(void **state)
{
    (void)state;
    append(1, 10);
    append_transactional(); /* from 1 on */
    checkpoint();
    close_segment();
    empty_dir(dir);
    for (int64_t offset = 1; offset <= 2; offset++) {
        struct recovered r;
        const struct checkpoint_entry c = {.segment_base_offset = offset,
                                           .offset = offset,
                                           .producers = w.saved_producers,
                                           .producers_bytes = w.checkpoint.producers_bytes};
        const struct recovery_input in = {.heap = w.heap, .dir = dir, .checkpoint = &c, .known_end_offset = -1};
        assert_int_equal(recovery_run(&in, &r), offset == 1 ? ERR_CORRUPT : ERR_NONE);
        if (offset == 1)
            continue;
        assert_int_equal(producers_open_transactions(r.producers), 1);
        assert_int_equal(producers_first_unstable(r.producers), 1);
        recovered_deinit(&r);
    }
}

static void zeros_end_the_log(void **state)
{
    (void)state;
    append_many(20);
    struct recovered r;
    ends_behind(20, &r);
    assert_int_equal(r.cut_bytes, 0);
    const struct segment *s = container_of(r.segments.prev, struct segment, link);
    assert_int_equal(s->bytes, w.at);
    assert_int_equal(s->allocated, SPACE);
    assert_int_equal(s->first_timestamp, 1000);
    recovered_deinit(&r);
}

static void a_torn_tail_is_cut_and_wiped(void **state)
{
    (void)state;
    append_many(20);
    spoil_batch(19);
    struct recovered r;
    ends_behind(19, &r);
    assert_true(r.cut_bytes > 0);
    recovered_deinit(&r);
}

static void ghosts_behind_a_torn_batch_are_wiped(void **state)
{
    (void)state;
    append_many(20);
    spoil_batch(15); /* 16 to 19 have good CRCs and offsets that will be next */
    must_end_behind(15);
}

/* Crash twice with equal-sized batches: what stood behind the torn one must not continue the new one. */
static void equal_sized_ghosts_of_an_old_epoch_do_not_return(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++)
        append(2, 100);
    struct placed ghost = w.batches[5];
    w.at = w.batches[4].at; /* the torn place is written again, with a new epoch, and the ghost was not wiped */
    w.next = w.batches[4].base_offset;
    w.sequence -= 4;
    w.count = 4;
    w.epoch = 2;
    append(2, 100);
    assert_int_equal(w.at, ghost.at);
    struct recovered r;
    run(&r);
    assert_false(r.corrupt);
    assert_int_equal(r.end_offset, ghost.base_offset);
    assert_int_equal(epochs_latest(&r.epochs), 2);
    check_segments(&r, ghost.base_offset);
    recovered_deinit(&r);
}

static void a_batch_with_another_base_offset_ends_the_log(void **state)
{
    (void)state;
    append_many(10);
    w.next += 1;
    append(1, 50);
    must_end_behind(10);
}

static void a_file_that_ends_within_a_batch_is_cut_there(void **state)
{
    (void)state;
    append_many(10);
    for (uint64_t cut = 1; cut < w.batches[9].bytes; cut += 17) {
        assert_int_equal(fs_truncate(w.fd, w.at - cut), ERR_NONE);
        struct recovered r;
        run(&r);
        assert_false(r.corrupt);
        assert_int_equal(r.end_offset, w.batches[8].end_offset);
        recovered_deinit(&r);
        assert_int_equal(fs_truncate(w.fd, w.batches[9].at), ERR_NONE);
        w.at = w.batches[9].at;
        w.next = w.batches[9].base_offset;
        w.sequence -= (int32_t)(w.batches[9].end_offset - w.batches[9].base_offset);
        w.count = 9;
        append(1, 100);
    }
}

static void a_claim_of_gigabytes_is_only_a_bad_batch(void **state)
{
    (void)state;
    append_many(5);
    uint8_t header[61] = {0};
    be64_put(header, (uint64_t)w.next);
    be32_put(header + 8, INT32_MAX - 12);
    header[16] = 2;
    assert_int_equal(fs_write(w.fd, header, sizeof header, w.at), ERR_NONE);
    must_end_behind(5);
}

/* --- the checkpoint --- */

static void only_what_lies_behind_the_checkpoint_is_read(void **state)
{
    (void)state;
    append_many(100);
    checkpoint();
    append_many(10);
    spoil_batch(3); /* below: nobody looks */
    struct recovered r;
    run(&r);
    assert_false(r.corrupt);
    assert_int_equal(r.end_offset, w.next);
    assert_true(r.scanned_bytes < SPACE - w.checkpoint.position + 1);
    check_producers(&r, 110);
    recovered_deinit(&r);
    spoil_batch(3);
    must_end_behind(110);
}

static void a_bad_batch_below_the_durable_end_is_corruption(void **state)
{
    (void)state;
    append_many(100);
    checkpoint();
    unlink_file(0, ".index"); /* so the segment is read */
    spoil_batch(50);
    w.caching = true; /* whatever the acks were */
    must_be_corrupt(0, w.batches[50].at);
}

static void a_file_shorter_than_the_durable_end_is_corruption(void **state)
{
    (void)state;
    append_many(20);
    checkpoint();
    assert_int_equal(fs_truncate(w.fd, w.at - 1), ERR_NONE);
    must_be_corrupt(0, w.at - 1);
}

static void zeros_below_the_durable_end_are_corruption_when_read(void **state)
{
    (void)state;
    append_many(20);
    checkpoint();
    unlink_file(0, ".timeindex");
    zero(0, w.batches[10].at, w.at - w.batches[10].at);
    must_be_corrupt(0, w.batches[10].at);
}

static void a_lost_segment_is_corruption(void **state)
{
    (void)state;
    append_many(20);
    checkpoint();
    unlink_file(0, ".log");
    must_be_corrupt(0, 0);
}

static void a_checkpoint_whose_indexes_do_not_match_makes_the_segment_be_read(void **state)
{
    (void)state;
    append_many(60);
    checkpoint();
    append_many(5);
    assert_true(w.checkpoint.index_count > 3);
    int fd = open_file(0, ".index", FS_WRITE);
    assert_int_equal(fs_write(fd, "x", 1, 10), ERR_NONE);
    fs_close(fd);
    must_end_behind(65);
    fd = open_file(0, ".timeindex", FS_WRITE);
    assert_int_equal(fs_truncate(fd, 3), ERR_NONE);
    fs_close(fd);
    must_end_behind(65);
}

static void index_entries_behind_the_checkpoint_are_not_taken(void **state)
{
    (void)state;
    append_many(60);
    checkpoint();
    struct checkpoint_entry old = w.checkpoint;
    append_many(60);
    checkpoint(); /* its index entries reached the files, itself it did not */
    w.checkpoint = old;
    spoil_batch(70);
    w.caching = true;
    must_end_behind(70);
}

static void a_stale_checkpoint_only_means_more_reading(void **state)
{
    (void)state;
    append_many(10);
    checkpoint();
    struct checkpoint_entry old = w.checkpoint;
    append_many(20);
    roll();
    append_many(20);
    roll();
    append_many(7);
    checkpoint();
    w.checkpoint = old;
    must_end_behind(57);
}

static void a_checkpoint_of_a_deleted_segment_is_not_used(void **state)
{
    (void)state;
    append_many(10);
    checkpoint();
    roll();
    append_many(8);
    int64_t start = w.batches[10].base_offset;
    assert_int_equal(folder_remove_segment(dir, 0), ERR_NONE); /* retention */
    struct recovered r;
    run(&r);
    assert_false(r.corrupt);
    assert_int_equal(r.log_start_offset, start);
    assert_int_equal(r.end_offset, w.next);
    check_producers(&r, 18); /* the snapshot at the first segment, and the batches */
    recovered_deinit(&r);
}

/* --- caching off: a valid batch far behind a bad one was acknowledged --- */

static void a_valid_batch_far_behind_a_bad_one_is_corruption(void **state)
{
    (void)state;
    append_many(10);
    checkpoint();
    while (w.at < w.checkpoint.position + WAVE_MAX)
        append(1, 100);
    int within = w.count; /* starts at most one wave behind */
    append(1, 100);
    append(1, 100);
    spoil_batch(10);
    must_be_corrupt(0, w.batches[10].at);
    w.caching = true;
    int64_t end = w.batches[10].base_offset;
    struct recovered r;
    run(&r);
    assert_false(r.corrupt);
    assert_int_equal(r.end_offset, end);
    recovered_deinit(&r);
    (void)within;
}

static void a_valid_batch_one_wave_behind_is_a_torn_wave(void **state)
{
    (void)state;
    append_many(10);
    checkpoint();
    while (w.at + 500 < w.checkpoint.position + WAVE_MAX)
        append(1, 100);
    spoil_batch(10);
    must_end_behind(10);
}

static void a_hole_of_zeros_before_a_far_batch_is_corruption(void **state)
{
    (void)state;
    append_many(10);
    checkpoint();
    while (w.at < w.checkpoint.position + 2 * WAVE_MAX)
        append(1, 100);
    zero(0, w.batches[10].at, 4096);
    must_be_corrupt(0, w.batches[10].at);
}

/* --- rolls --- */

static void the_log_goes_on_in_the_next_segment(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        append_many(15);
        roll();
    }
    append_many(5);
    must_end_behind(65);
    checkpoint();
    must_end_behind(65);
}

static void a_crash_after_the_next_file_was_made_loses_nothing(void **state)
{
    (void)state;
    append_many(15);
    checkpoint();
    append_many(15);
    roll(); /* both files are there, the second is empty */
    must_end_behind(30);
    assert_true(exists(w.base, ".log"));
}

static void an_old_file_that_was_not_trimmed_is_trimmed(void **state)
{
    (void)state;
    append_many(15);
    checkpoint();
    append_many(15);
    int64_t next = w.next;
    close_segment();
    open_segment(next);
    append_many(4);
    must_end_behind(34);
    assert_true(exists(0, ".index")); /* as a roll would have left it */
}

static void a_trusted_file_that_was_not_trimmed_is_trimmed(void **state)
{
    (void)state;
    append_many(15);
    roll();
    append_many(4);
    checkpoint();
    int fd = open_file(0, ".log", FS_WRITE);
    assert_int_equal(fs_truncate(fd, SPACE), ERR_NONE);
    fs_close(fd);
    must_end_behind(19);
}

static void a_hole_between_segments_is_corruption(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        append_many(15);
        roll();
    }
    append_many(5);
    int64_t lost = w.batches[15].segment;
    unlink_file(lost, ".log");
    must_be_corrupt(lost, 0);
    w.caching = true;
    must_be_corrupt(lost, 0);
}

static void a_bad_batch_in_an_old_segment_is_corruption(void **state)
{
    (void)state;
    append_many(15);
    roll();
    append_many(5);
    spoil_batch(7);
    must_be_corrupt(0, w.batches[7].at);
}

static void a_torn_file_with_a_successor_is_corruption(void **state)
{
    (void)state;
    append_many(15);
    roll();
    spoil_batch(12);
    for (int caching = 0; caching < 2; caching++) {
        w.caching = caching;
        must_be_corrupt(0, w.batches[12].at);
    }
    append_many(5);
    must_be_corrupt(0, w.batches[12].at);
}

/* A file with a name within the log, in which something was written, is no failed roll's. */
static void a_later_file_that_is_not_all_zeros_is_corruption(void **state)
{
    (void)state;
    append_many(15);
    int fd = open_file(w.batches[7].base_offset, ".log", FS_WRITE | FS_CREATE);
    assert_int_equal(fs_write(fd, "x", 1, 5000), ERR_NONE);
    fs_close(fd);
    must_be_corrupt(0, w.at);
}

static void the_stray_file_of_a_failed_roll_is_removed(void **state)
{
    (void)state;
    append_many(15);
    int64_t stray = w.next;
    fs_close(open_file(stray, ".log", FS_WRITE | FS_CREATE));
    append_many(5);
    must_end_behind(20);
    assert_false(exists(stray, ".log"));
}

static void a_trusted_segment_without_index_gets_one(void **state)
{
    (void)state;
    append_many(40);
    roll();
    append_many(5);
    checkpoint();
    unlink_file(0, ".index");
    must_end_behind(45);
    assert_true(exists(0, ".index"));
    unlink_file(0, ".timeindex");
    spoil_batch(30);
    must_be_corrupt(0, w.batches[30].at);
}

static void what_interrupted_jobs_left_is_removed(void **state)
{
    (void)state;
    append_many(10);
    write_snapshot(w.next);
    write_snapshot(w.next + 1); /* of an offset that is gone */
    static const char *const names[] = {".log.tmp", ".index.deleted", ".log.cleaned"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        fs_close(open_file(5, names[i], FS_WRITE | FS_CREATE));
    must_end_behind(10);
    for (size_t i = 0; i < COUNT_OF(names); i++)
        assert_false(exists(5, names[i]));
    assert_true(exists(w.next, ".snapshot"));
    assert_false(exists(w.next + 1, ".snapshot"));
}

/* --- clean stops, failed waves --- */

static void after_a_clean_stop_nothing_is_read(void **state)
{
    (void)state;
    append_many(30);
    roll();
    append_many(30);
    checkpoint();
    trim_and_save();
    w.clean = true;
    uint32_t before = crc_folder();
    struct recovered r;
    ends_behind(60, &r);
    assert_true(r.scanned_bytes <= 64); /* the end of the closed segment */
    recovered_deinit(&r);
    assert_int_equal(crc_folder(), before);
}

static void bytes_behind_a_clean_end_are_corruption(void **state)
{
    (void)state;
    append_many(30);
    checkpoint();
    w.clean = true;
    append(1, 10);
    spoil_batch(30);
    must_be_corrupt(0, w.checkpoint.position);
}

static void a_known_end_cuts_good_batches(void **state)
{
    (void)state;
    append_many(10);
    checkpoint();
    append_many(20);
    w.known_end = w.batches[24].end_offset;
    must_end_behind(25);
    w.known_end = w.batches[29].end_offset; /* cannot be reached any more */
    must_be_corrupt(0, w.batches[24].at + w.batches[24].bytes);
}

/* --- epochs and producers --- */

static void epochs_are_found_wherever_they_began(void **state)
{
    (void)state;
    static const char text[] = "0\n3\n1 0\n2 15\n9 999\n";
    char path[FS_PATH_MAX];
    snprintf(path, sizeof path, "%s/leader-epoch-checkpoint", dir);
    append_many(8); /* epoch 1, offsets 0 to 14 */
    assert_int_equal(w.next, 15);
    w.epoch = 2;
    append_many(6);
    roll();
    append_many(3);
    int64_t starts[3];
    for (int i = 0; i < 2; i++) { /* two epochs between the file and the checkpoint, one behind it */
        starts[i] = w.next;
        w.epoch = 4 + i;
        append_many(20);
    }
    checkpoint();
    starts[2] = w.next;
    w.epoch = 7;
    append_many(3);
    assert_int_equal(segment_write_file(path, text, sizeof text - 1), ERR_NONE);
    struct recovered r;
    ends_behind(8 + 6 + 3 + 40 + 3, &r);
    assert_int_equal(r.epochs.count, 5);
    assert_int_equal(r.epochs.v[1].start_offset, 15);
    static const int32_t want[] = {4, 5, 7};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(r.epochs.v[2 + i].epoch, want[i]);
        assert_int_equal(r.epochs.v[2 + i].start_offset, starts[i]);
    }
    recovered_deinit(&r);
    assert_int_equal(segment_write_file(path, "nonsense", 8), ERR_NONE);
    w.checkpointed = false;
    ends_behind(60, &r); /* everything is read then */
    assert_int_equal(r.epochs.count, 5);
    recovered_deinit(&r);
}

static void the_duplicate_window_survives_with_and_without_a_checkpoint(void **state)
{
    (void)state;
    for (int i = 0; i < 30; i++) {
        append_many(2);
        if (i % 4 == 3)
            roll(); /* the window spans segments */
        if (i % 7 == 6)
            checkpoint();
        must_end_behind(w.count);
        w.checkpointed = !w.checkpointed && w.saved_producers;
        must_end_behind(w.count);
        w.checkpointed = w.saved_producers != NULL;
    }
}

static void a_bad_snapshot_is_only_a_loss_of_memory(void **state)
{
    (void)state;
    append_many(10);
    roll();
    append_many(6);
    assert_int_equal(folder_remove_segment(dir, 0), ERR_NONE);
    int64_t start = w.base;
    int fd = open_file(start, ".snapshot", FS_WRITE);
    assert_int_equal(fs_write(fd, "x", 1, 9), ERR_NONE);
    fs_close(fd);
    struct recovered r;
    run(&r);
    assert_false(r.corrupt);
    assert_int_equal(r.end_offset, w.next);
    assert_int_equal(producers_count(r.producers), 1);
    recovered_deinit(&r);
}

/* --- anything --- */

static void restore_file(int64_t base, const uint8_t *at, size_t bytes)
{
    int fd = open_file(base, ".log", FS_WRITE | FS_CREATE | FS_TRUNCATE);
    assert_int_equal(bytes ? fs_write(fd, at, bytes, 0) : ERR_NONE, ERR_NONE);
    fs_close(fd);
}
/* Whatever is found: not beyond what was written, and only whole batches, unless it is called corrupt. */
static void check_survivor(void)
{
    struct recovered r;
    run(&r);
    if (!r.corrupt) {
        bool border = r.end_offset == 0;
        for (int i = 0; i < w.count; i++)
            border |= w.batches[i].end_offset == r.end_offset;
        assert_true(border);
        check_segments(&r, r.end_offset);
    }
    recovered_deinit(&r);
}

static void every_prefix_is_survived(void **state)
{
    (void)state;
    append_many(6);
    uint8_t *whole = calloc(1, w.at);
    size_t got;
    assert_int_equal(fs_read(w.fd, whole, w.at, 0, &got), ERR_NONE);
    for (size_t n = 0; n <= w.at; n++) {
        restore_file(0, whole, n);
        int want = 0;
        while (want < w.count && w.batches[want].at + w.batches[want].bytes <= n)
            want++;
        struct recovered r;
        run(&r);
        assert_false(r.corrupt);
        assert_int_equal(r.end_offset, want ? w.batches[want - 1].end_offset : 0);
        recovered_deinit(&r);
    }
    free(whole);
}

/* Flips, zeroed sectors and copied sectors, in logs of two segments, with and without a checkpoint. */
static void damage(struct rng *rng, uint8_t *at, size_t bytes)
{
    size_t sector = (size_t)rng_below(rng, bytes) & ~(size_t)511, n = bytes - sector < 512 ? bytes - sector : 512;
    switch (rng_below(rng, 3)) {
    case 0: at[rng_below(rng, bytes)] ^= (uint8_t)(1 << rng_below(rng, 8)); break;
    case 1: memset(at + sector, 0, n); break;
    default: memmove(at + sector, at + (rng_below(rng, bytes - n + 1)), n); break;
    }
}
static void seeded_damage_is_survived(void **state)
{
    (void)state;
    append_many(20);
    checkpoint();
    append_many(10);
    int64_t first = w.base;
    uint64_t bytes[2] = {w.at, 0};
    roll();
    append_many(20);
    int64_t second = w.base;
    bytes[1] = w.at;
    uint8_t *kept[2], *spoilt = calloc(1, SPACE);
    for (int i = 0; i < 2; i++) {
        size_t got;
        int fd = open_file(i ? second : first, ".log", FS_READ);
        kept[i] = calloc(1, bytes[i]);
        assert_int_equal(fs_read(fd, kept[i], bytes[i], 0, &got), ERR_NONE);
        fs_close(fd);
    }
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        struct rng rng = {seed};
        uint64_t below = seed % 2 ? w.checkpoint.position : 0; /* nobody reads there */
        for (int i = 0; i < 2; i++) {
            memcpy(spoilt, kept[i], bytes[i]);
            for (uint64_t n = rng_below(&rng, 4); n > 0; n--)
                damage(&rng, spoilt + (i ? 0 : below), bytes[i] - (i ? 0 : below));
            restore_file(i ? second : first, spoilt, bytes[i]);
        }
        w.checkpointed = seed % 2;
        w.caching = seed % 3 == 0;
        check_survivor();
    }
    for (int i = 0; i < 2; i++)
        free(kept[i]);
    free(spoilt);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
/* --- the log start --- */

static void trimmed_to(int64_t start, int batches)
{
    struct recovered r;
    run(&r);
    assert_false(r.corrupt);
    assert_int_equal(r.log_start_offset, start);
    assert_int_equal(r.end_offset, w.batches[batches - 1].end_offset);
    check_producers(&r, batches);
    if (r.epochs.count)
        assert_true(r.epochs.v[0].start_offset >= start);
    recovered_deinit(&r);
}

/* The newest checkpoint is of a segment that is gone: the walk begins at the first one that is left, with its snapshot. */
static void a_checkpoint_below_the_log_start_is_not_needed(void **state)
{
    (void)state;
    append_many(8);
    checkpoint();
    append_many(8);
    roll();
    append_many(8);
    roll();
    int64_t third = w.base;
    append_many(8);
    for (int inside = 0; inside < 2; inside++) {
        int64_t start = inside ? w.batches[28].base_offset : third;
        assert_int_equal(log_start_save(dir, "t", 0, start), ERR_NONE);
        trimmed_to(start, 32);
        assert_false(exists(0, ".log") || exists(0, ".index") || exists(w.batches[16].segment, ".log"));
        assert_true(exists(third, ".snapshot"));
        trimmed_to(start, 32);
    }
}

/* The oldest segment came back after a power cut, the next one did not. */
static void a_gap_below_the_log_start_is_no_gap(void **state)
{
    (void)state;
    append_many(8);
    roll();
    append_many(8);
    roll();
    append_many(8);
    checkpoint();
    assert_int_equal(log_start_save(dir, "t", 0, w.base), ERR_NONE);
    unlink_file(w.batches[8].segment, ".log");
    trimmed_to(w.base, 24);
    assert_false(exists(0, ".log"));
}

static void a_log_that_ends_before_its_start_is_corrupt(void **state)
{
    (void)state;
    append_many(8);
    w.caching = true;
    assert_int_equal(log_start_save(dir, "t", 0, w.next + 1), ERR_NONE);
    must_be_corrupt(0, w.at);
    assert_int_equal(log_start_save(dir, "t", 0, w.next), ERR_NONE);
    trimmed_to(w.next, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_an_empty_log),
        TEST(an_empty_log_has_no_transaction_that_begins_behind_it),
        TEST(no_folder_is_not_found_unless_something_was_in_it),
        TEST(a_checkpoint_below_the_log_start_is_not_needed),
        TEST(a_gap_below_the_log_start_is_no_gap),
        TEST(a_log_that_ends_before_its_start_is_corrupt),
        TEST(zeros_end_the_log),
        TEST(a_torn_tail_is_cut_and_wiped),
        TEST(ghosts_behind_a_torn_batch_are_wiped),
        TEST(equal_sized_ghosts_of_an_old_epoch_do_not_return),
        TEST(a_batch_with_another_base_offset_ends_the_log),
        TEST(a_file_that_ends_within_a_batch_is_cut_there),
        TEST(a_claim_of_gigabytes_is_only_a_bad_batch),
        TEST(only_what_lies_behind_the_checkpoint_is_read),
        TEST(a_bad_batch_below_the_durable_end_is_corruption),
        TEST(a_file_shorter_than_the_durable_end_is_corruption),
        TEST(zeros_below_the_durable_end_are_corruption_when_read),
        TEST(a_lost_segment_is_corruption),
        TEST(a_checkpoint_whose_indexes_do_not_match_makes_the_segment_be_read),
        TEST(index_entries_behind_the_checkpoint_are_not_taken),
        TEST(a_stale_checkpoint_only_means_more_reading),
        TEST(a_checkpoint_of_a_deleted_segment_is_not_used),
        TEST(a_valid_batch_far_behind_a_bad_one_is_corruption),
        TEST(a_valid_batch_one_wave_behind_is_a_torn_wave),
        TEST(a_hole_of_zeros_before_a_far_batch_is_corruption),
        TEST(the_log_goes_on_in_the_next_segment),
        TEST(a_crash_after_the_next_file_was_made_loses_nothing),
        TEST(an_old_file_that_was_not_trimmed_is_trimmed),
        TEST(a_trusted_file_that_was_not_trimmed_is_trimmed),
        TEST(a_hole_between_segments_is_corruption),
        TEST(a_bad_batch_in_an_old_segment_is_corruption),
        TEST(a_torn_file_with_a_successor_is_corruption),
        TEST(a_later_file_that_is_not_all_zeros_is_corruption),
        TEST(the_stray_file_of_a_failed_roll_is_removed),
        TEST(a_trusted_segment_without_index_gets_one),
        TEST(what_interrupted_jobs_left_is_removed),
        TEST(after_a_clean_stop_nothing_is_read),
        TEST(bytes_behind_a_clean_end_are_corruption),
        TEST(a_known_end_cuts_good_batches),
        TEST(epochs_are_found_wherever_they_began),
        TEST(the_duplicate_window_survives_with_and_without_a_checkpoint),
        TEST(a_bad_snapshot_is_only_a_loss_of_memory),
        TEST(every_prefix_is_survived),
        TEST(seeded_damage_is_survived),
    };
    return cmocka_run_group_tests_name("recovery", tests, NULL, NULL);
}
