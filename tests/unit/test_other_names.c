/* A file that has another name (a backup by hard links, a segment of the folder that was adopted) keeps its bytes, whatever the broker does with the
 * name that it knows: what is there at a start, and what lies under the names of files that are in the making. */
#include "storage/log/ballast.h"
#define DIR "build/tests/unit/other_names"
#include "tests/unit/partition_world.h"
#include <sys/stat.h>

enum { VALUE = 60000, A_SEGMENT = 17 };

static void sh(const char *command)
{
    if (system(command) != 0)
        fail_msg("%s", command);
}
static void fill(int batches)
{
    for (int i = 0; i < batches; i++) {
        append(1, VALUE);
        if (i % 16 == 15)
            all_are_acked();
    }
    all_are_acked();
}
static bool trim_is_over;
static void trimmed(struct log_trim *t)
{
    assert_int_equal(t->error, KERR_NONE);
    trim_is_over = true;
}
static void trim_to(int64_t before)
{
    struct log_trim t = {.before = before, .done = trimmed};
    trim_is_over = false;
    partition_trim(w.p, &t);
    until(&trim_is_over);
}

/* Rolls, a log start, a change of the catalog, blocks of the reserve. */
static void do_everything(void)
{
    struct ballast *b = &w.p->store->ballast;
    TURN_UNTIL(turn, atomic_load(&b->level->bytes) > 0);
    fill(2 * A_SEGMENT);
    TURN_UNTIL(turn, w.p->space.closing == 0);
    alter_setting("retention.ms", "1000000000");
    trim_to(partition_facts(w.p).log_start_offset + A_SEGMENT + 1);
    assert_true(ballast_give(b, PAGE_BYTES));
}

static int setup_ring(void **state)
{
    static const struct topic_override o[] = {{"disk.full.policy", "delete-oldest"}};
    if (prepare(state))
        return -1;
    set("log.segment.bytes", "1048576");
    start();
    make_topic(o, COUNT_OF(o));
    fill(A_SEGMENT + 3);
    trim_to(2);
    return 0;
}

static void a_backup_by_hard_links_keeps_its_bytes(void **state)
{
    (void)state;
    do_everything();
    stop();
    sh("cp -al " DIR "/data " DIR "/backup && cp -a " DIR "/data " DIR "/was");
    for (int i = 0; i < 2; i++) {
        start();
        find_partition("t");
        do_everything();
        if (i == 0)
            kill_broker();
        forget_sent();
    }
    stop();
    sh("diff -r " DIR "/backup " DIR "/was");
}

/* Where it is put together, and what it is known as then (NULL: the same). */
static const char *const making[] = {
    "catalog.tmp",
    "catalog.end.tmp",
    "recovery-point-0.checkpoint.tmp",
    ".clean",
    "t-0/next-segment.tmp",
    "t-0/leader-epoch-checkpoint.tmp",
    "t-0/log-start-offset-checkpoint.tmp",
    "t-0/00000000000000000017.index.tmp",
    "t-0/00000000000000000017.timeindex.tmp",
    "t-0/00000000000000000034.snapshot.tmp",
    "t-0/00000000000000000034.index.tmp",
    "t-0/00000000000000000034.timeindex.tmp",
    "t-0/00000000000000000051.snapshot.tmp",
};

static bool has_another_name(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && st.st_nlink > 1;
}

static void what_is_in_the_making_keeps_what_was_there(void **state)
{
    (void)state;
    char command[512];
    TURN_UNTIL(turn, w.p->space.ahead != AHEAD_MAKING);
    sh("mkdir " DIR "/links && ln " DIR "/data/reserve-0 " DIR "/links/reserve && cp " DIR "/links/reserve " DIR
       "/was");
    for (size_t i = 0; i < COUNT_OF(making); i++) {
        snprintf(command, sizeof command, "cd " DIR " && echo before > data/%s && ln data/%s links/%zu", making[i],
                 making[i], i);
        sh(command);
    }
    do_everything();
    fill(A_SEGMENT);
    assert_false(has_another_name(DIR "/data/t-0/next-segment.tmp")); /* it was made */
    assert_false(has_another_name(DIR "/data/reserve-0"));
    stop();
    sh("cd " DIR " && cmp was links/reserve && cd links && for i in [0-9]*; do echo before | cmp - $i || exit 1; done");
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup_ring, teardown)
    struct CMUnitTest tests[] = {
        CASE(a_backup_by_hard_links_keeps_its_bytes),
        CASE(what_is_in_the_making_keeps_what_was_there),
    };
    return run_in_modes(tests, COUNT_OF(tests), 2);
}
