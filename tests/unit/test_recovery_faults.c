/* Recovery on a failing machine: each file operation and each allocation fails in turn, once or from then on (which is also
 * what a crash in the midst of recovery looks like). It says so, frees what it took, and the next recovery, on a machine
 * that works, finds the log as if nothing had been. */
#include "tests/unit/faulty_fs.h"

#define RECOVERY_DIR "recovery_faults"
#include "tests/unit/log_world.h"
#include "storage/log/log_start.h"

/* Two trusted segments, one of them without its index; one that was not trimmed; a torn tail with ghosts; leftovers. `trimmed`: the first
 * segment lies below the log start. */
static int build(bool trimmed)
{
    append_transactional();
    append_many(3);
    end_transaction(false);
    append_transactional(); /* goes on in the next segments */
    append_many(5);
    roll();
    if (trimmed)
        assert_int_equal(log_start_save(dir, "t", 0, w.base), ERR_NONE);
    append_many(4);
    end_transaction(false);
    append_transactional();
    append_many(4);
    roll();
    append_many(4);
    end_transaction(false);
    append_many(4);
    checkpoint();
    append_transactional();
    append_many(8);
    close_segment();
    open_segment(w.next);
    append_many(4);
    end_transaction(false);
    append_transactional();
    append_many(16);
    spoil_batch(52);
    unlink_file(0, ".index");
    fs_close(open_file(3, ".log.tmp", FS_WRITE | FS_CREATE));
    write_snapshot(w.next + 7);
    return 52;
}

static enum err run_once(struct recovered *r)
{
    const struct recovery_input in = {.heap = w.heap,
                                      .dir = dir,
                                      .checkpoint = &w.checkpoint,
                                      .known_end_offset = -1,
                                      .wave_bytes_max = 1 << 20,
                                      .index_interval_bytes = INTERVAL,
                                      .segment_index_bytes = 1 << 20};
    return recovery_run(&in, r);
}

/* False: that many operations are never reached. */
static bool fail_at(int n, bool forever, bool trimmed)
{
    assert_int_equal(setup(NULL), 0);
    int batches = build(trimmed);
    int blocks = fault.blocks;
    struct recovered r;
    fault_begin(n, forever);
    enum err err = run_once(&r);
    bool reached = fault_end();
    assert_true(reached || err == ERR_NONE);
    if (err == ERR_NONE) {
        assert_false(r.corrupt); /* a failing machine is no reason to call bytes bad */
        assert_int_equal(r.end_offset, w.batches[batches - 1].end_offset);
        recovered_deinit(&r);
    }
    assert_int_equal(fault.blocks, blocks);
    must_end_behind(batches);
    assert_int_equal(exists(0, ".log"), !trimmed);
    assert_int_equal(teardown(NULL), 0);
    return reached;
}

static void each_operation_may_fail(void **state)
{
    (void)state;
    for (int way = 0; way < 4; way++) {
        int n = 1;
        while (fail_at(n, way % 2, way / 2))
            n++;
        assert_true(n > 60); /* it did get to the end */
    }
}

static unsigned synced_starts;
static void count_synced_start(int fd)
{
    char link[64], path[FS_PATH_MAX] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    assert_true(readlink(link, path, sizeof path - 1) > 0);
    synced_starts += strstr(path, "/log-start-offset-checkpoint") != NULL;
}

/* It was written over, and the broker killed before the sync: the next run read it, told it, and a power cut took it back. */
static void a_saved_start_is_durable_before_it_is_told(void **state)
{
    (void)state;
    for (int trimmed = 0; trimmed < 2; trimmed++) {
        assert_int_equal(setup(NULL), 0);
        (void)build(trimmed);
        struct recovered r;
        synced_starts = 0;
        before_sync = count_synced_start;
        assert_int_equal(run_once(&r), ERR_NONE);
        before_sync = NULL;
        assert_int_equal(synced_starts, trimmed);
        recovered_deinit(&r);
        assert_int_equal(teardown(NULL), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_saved_start_is_durable_before_it_is_told),
        cmocka_unit_test(each_operation_may_fail),
    };
    return cmocka_run_group_tests_name("recovery_faults", tests, NULL, NULL);
}
