/* Recovery of a log whose roll was cut short, between any two of its steps. */
#define RECOVERY_DIR "recovery_rolls"
#include "core/limits.h"
#include "storage/log/folder.h"
#include "tests/unit/log_world.h"

enum { ROLL_NAMED, ROLL_INDEXED, ROLL_SNAPSHOT, ROLL_TRIMMED, ROLL_STEPS };

/* As storage/log/space.c does it: the next segment has its name first, what is saved of the old one comes behind. */
static void roll_until(int step)
{
    if (step >= ROLL_INDEXED) {
        assert_int_equal(index_finish(&w.active.index), ERR_NONE);
        assert_int_equal(segment_save_index(dir, &w.active), ERR_NONE);
    }
    if (step >= ROLL_SNAPSHOT)
        write_snapshot(w.next);
    if (step >= ROLL_TRIMMED)
        assert_int_equal(fs_truncate(w.fd, w.at), ERR_NONE);
    close_segment();
    open_segment(w.next);
}

/* A record that ends so many bytes before a page does. */
static void append_to_border(uint32_t before)
{
    static uint8_t one[MAKE_BATCH_MAX];
    for (uint32_t value = 1; value < 3 * PAGE_BYTES; value++) {
        uint32_t bytes = make_batch(one, (struct make_batch){.base_offset = w.next,
                                                             .timestamp = 1000 + w.next,
                                                             .producer_id = ID,
                                                             .leader_epoch = w.epoch,
                                                             .sequence = w.sequence,
                                                             .count = 1,
                                                             .value_bytes = value});
        if ((w.at + bytes + before) % PAGE_BYTES == 0) {
            append(1, value);
            return;
        }
    }
    fail();
}

/* With a checkpoint in the old segment, in the new one, or none; the old one's end fills its last page, or all but a few bytes. */
static void a_roll_may_be_cut_short_between_any_two_steps(void **state)
{
    (void)state;
    for (int step = ROLL_NAMED; step < ROLL_STEPS; step++)
        for (int checkpointed = 0; checkpointed < 3; checkpointed++)
            for (uint32_t left = 0; left < 3; left++) {
                over();
                fresh();
                open_segment(0);
                append_many(30);
                if (checkpointed == 1)
                    checkpoint();
                append_many(10);
                append_to_border((uint32_t[]){0, 1, 21}[left]);
                assert_int_equal(fs_truncate(w.fd, align_up(w.at, PAGE_BYTES)), ERR_NONE);
                int64_t end = w.next;
                uint64_t bytes = w.at;
                roll_until(step);
                if (checkpointed == 2)
                    checkpoint();
                int fd = open_file(0, ".tmp", FS_WRITE | FS_CREATE); /* and a file was made ahead */
                fs_close(fd);
                append_many(3);
                struct recovered r;
                ends_behind(w.count, &r);
                const struct segment *old = container_of(r.segments.next, struct segment, link);
                assert_int_equal(old->bytes, bytes);
                assert_int_equal(old->allocated, bytes);
                assert_int_equal(old->next_offset, end);
                assert_true(exists(0, ".index") && exists(0, ".timeindex") && exists(end, ".snapshot"));
                assert_false(exists(0, ".tmp"));
                struct segment loaded = {.base_offset = 0, .bytes = bytes};
                index_init(&loaded.index, w.heap, 0, 1 << 20);
                assert_int_equal(segment_load_index(dir, &loaded), ERR_NONE);
                assert_int_equal(loaded.max_timestamp, 1000 + w.batches[w.count - 4].base_offset);
                index_deinit(&loaded.index);
                recovered_deinit(&r);
            }
}

/* The checkpoint is lost, and the first segment goes: what its producers wrote is known from the snapshot that recovery made. */
static void a_snapshot_that_a_roll_left_out_is_made(void **state)
{
    (void)state;
    append_many(8);
    roll_until(ROLL_NAMED);
    int64_t second = w.next;
    must_end_behind(8);
    assert_int_equal(folder_remove_segment(dir, 0), ERR_NONE);
    struct recovered r;
    run(&r);
    assert_false(r.corrupt);
    assert_int_equal(r.end_offset, second);
    check_producers(&r, 8);
    recovered_deinit(&r);
}

/* Each segment's batches once, from the snapshot that was made before it: not from the log's start. */
static void a_log_whose_snapshots_are_gone_is_read_once_for_them(void **state)
{
    (void)state;
    enum { ROLLS = 20 };
    int64_t rolled[ROLLS];
    uint64_t bytes = 0;
    for (int i = 0; i < ROLLS; i++) {
        append_many(8);
        if (i > 0)
            end_transaction(i % 2);
        append_transactional(); /* goes on in the next segment */
        bytes += w.at;
        roll();
        rolled[i] = w.next;
    }
    append(1, 100);
    checkpoint();
    for (int i = 0; i < ROLLS; i++)
        unlink_file(rolled[i], ".snapshot");
    struct recovered r;
    ends_behind(w.count, &r);
    assert_int_equal(producers_first_unstable(r.producers), rolled[ROLLS - 1] - 1);
    assert_true(r.scanned_bytes < 2 * bytes + SPACE);
    for (int i = 0; i < ROLLS; i++)
        assert_true(exists(rolled[i], ".snapshot"));
    recovered_deinit(&r);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_roll_may_be_cut_short_between_any_two_steps),
        TEST(a_snapshot_that_a_roll_left_out_is_made),
        TEST(a_log_whose_snapshots_are_gone_is_read_once_for_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
