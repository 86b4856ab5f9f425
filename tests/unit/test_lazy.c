/* Partitions are recovered when first used: until then nothing is told of them, and what was known of them is kept. */
#define recovery_run real_recovery_run
#include "storage/recovery/recovery_run.c"
#undef recovery_run
#include "core/fs.h"
static enum err rename_if_there_is_room(const char *from, const char *to);
#define fs_rename rename_if_there_is_room
#include "storage/recovery/checkpoint_file.c"
#undef fs_rename
#include "tests/unit/partition_world.h"
#include "storage/recovery/recoverer.h"
#include <errno.h>
#include <sys/stat.h>

/* The disk is full until the reserve is shorter than this. */
static _Atomic int64_t full_until;
static int64_t reserve_size(void)
{
    struct stat st;
    return stat(DIR "/data/reserve-0", &st) ? 0 : st.st_size;
}
enum err recovery_run(const struct recovery_input *in, struct recovered *out) must_use;
static _Atomic bool watching_entries;              /* the partition stays while they are looked at */
static _Atomic uint32_t lent_entries, own_entries; /* that recoveries had: the partition's, or another */
enum err recovery_run(const struct recovery_input *in, struct recovered *out)
{
    const uint8_t *entry = watching_entries ? w.p->checkpoint.entry : NULL;
    if (in->checkpoint && entry && strcmp(in->dir, w.p->dir) == 0) {
        const uint8_t *within = in->checkpoint->producers;
        bool borrowed = within > entry && within <= entry + w.p->checkpoint.entry_bytes;
        *(borrowed ? &lent_entries : &own_entries) += 1;
    }
    return full_until > 0 && reserve_size() >= full_until ? ERR_NO_SPACE : real_recovery_run(in, out);
}

static enum err rename_if_there_is_room(const char *from, const char *to)
{
    return full_until > 0 && reserve_size() >= full_until ? ERR_NO_SPACE : fs_rename(from, to);
}

static bool wait_is_over;
static void wait_over(struct recovery_wait *wait)
{
    (void)wait;
    wait_is_over = true;
}
static void no_stop(struct log_store *ls)
{
    (void)ls;
}

static void start_unrecovered(void)
{
    leave_unrecovered = true;
    start();
    leave_unrecovered = false;
    find_partition("t");
    assert_int_equal(w.p->condition, PARTITION_UNRECOVERED);
}
/* No recovery begins by itself from now on. */
static void hold_recoveries(void)
{
    recoverer_stop(w.p->store->recoverer, no_stop);
    while (w.p->recovery.state == RECOVERY_RUNNING)
        turn();
    assert_int_equal(w.p->condition, PARTITION_UNRECOVERED);
}
static void make_log(const char *caching)
{
    const struct topic_override overrides[] = {{"write.caching", caching}};
    make_topic(overrides, 1);
    for (int i = 0; i < 5; i++)
        append(3, 200);
    all_are_acked();
}
static int64_t end_of_log(void)
{
    return partition_facts(w.p).end_offset;
}

static void nothing_is_told_of_it(void **state)
{
    (void)state;
    make_log("false");
    kill_broker();
    start_unrecovered();
    struct partition_facts f = partition_facts(w.p);
    assert_true(f.recovering);
    assert_false(f.offline);
    struct part_read r = {.offset = 0, .max_bytes = 1000, .first_whole = true};
    assert_true(partition_read(w.p, &r));
    assert_int_equal(r.error, KERR_NOT_LEADER_OR_FOLLOWER);
    slices_deinit(&r.slices);
    assert_int_equal(partition_readable(w.p, 0, 1000, false), 0);
    struct time_lookup l = {.timestamp = 0};
    assert_true(partition_lookup(w.p, &l));
    assert_int_equal(l.error, KERR_NOT_LEADER_OR_FOLLOWER);
    struct sent *s = append(1, 100);
    until(&s->over);
    assert_int_equal(s->append.error, KERR_NOT_LEADER_OR_FOLLOWER);
    forget_sent();
}

static void who_waits_finds_it_recovered(void **state)
{
    (void)state;
    make_log("false");
    int64_t end = end_of_log();
    kill_broker();
    start_unrecovered();
    struct recovery_wait wait = {.over = wait_over};
    wait_is_over = false;
    assert_true(recoverer_wait(w.p, &wait, RECOVERY_REQUEST, recoverer_deadline(w.p->store)));
    assert_false(wait_is_over); /* never inside the call */
    until(&wait_is_over);
    assert_int_equal(w.p->condition, PARTITION_OPEN);
    assert_int_equal(end_of_log(), end);
    assert_false(recoverer_wait(w.p, &wait, RECOVERY_REQUEST, recoverer_deadline(w.p->store)));
    log_is_as_expected(true);
    append(2, 100);
    all_are_acked();
}

static void who_waits_too_long_finds_it_as_it_is(void **state)
{
    (void)state;
    make_log("false");
    kill_broker();
    start_unrecovered();
    hold_recoveries();
    struct recovery_wait wait = {.over = wait_over};
    wait_is_over = false;
    uint64_t from = clock_now_ns();
    assert_true(recoverer_wait(w.p, &wait, RECOVERY_REQUEST, recoverer_deadline(w.p->store)));
    until(&wait_is_over);
    assert_true(clock_now_ns() - from < NS_PER_S);
    assert_true(partition_facts(w.p).recovering);
    recoverer_cancel(&wait); /* one that is over is fine */
    kill_broker();
    start();
    find_partition("t");
}

static void append_of_seven(int32_t sequence, enum kerr wanted)
{
    struct sent *s = append_made((struct make_batch){
        .producer_id = 7, .producer_epoch = 0, .sequence = sequence, .timestamp = 1000, .count = 1, .value_bytes = 10});
    until(&s->over);
    assert_int_equal(s->append.error, wanted);
}

/* Of two batches on their way the first was refused because the log was not known in time, the second came when it was, and stood first: the first one
 * was out of order for good. */
static void what_is_refused_in_time_is_not_overtaken_afterwards(void **state)
{
    (void)state;
    make_log("false");
    kill_broker();
    start_unrecovered();
    append_of_seven(0, KERR_NOT_LEADER_OR_FOLLOWER);
    struct recovery_wait wait = {.over = wait_over};
    wait_is_over = false;
    assert_true(recoverer_wait(w.p, &wait, RECOVERY_REQUEST, recoverer_deadline(w.p->store)));
    until(&wait_is_over);
    append_of_seven(1, KERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    append_of_seven(0, KERR_NONE);
    append_of_seven(1, KERR_NONE);
    forget_sent();
}

static void those_that_somebody_waits_for_come_first(void **state)
{
    (void)state;
    struct catalog_change c = {.kind = CATALOG_CREATE, .name = "t", .partitions = 20, .done = change_done};
    change_is_over = false;
    catalog_change_start(w.shard, &c);
    until(&change_is_over);
    kill_broker();
    start_unrecovered();
    const struct log_store *ls = w.p->store;
    struct partition *last = ls->all[ls->count - 1];
    struct recovery_wait wait = {.over = wait_over};
    wait_is_over = false;
    assert_true(recoverer_wait(last, &wait, RECOVERY_REQUEST, recoverer_deadline(ls)));
    until(&wait_is_over);
    uint32_t left = 0;
    for (uint32_t i = 0; i < ls->count; i++)
        left += ls->all[i]->condition == PARTITION_UNRECOVERED;
    assert_true(left >= ls->count - 3); /* but for one that was under way, and one that a turn may add */
    recover_all();
}

/* Two crashes and a clean stop before it is recovered: nothing that was known of it is lost, and it is in no clean mark. */
static void what_was_known_of_it_is_carried_over(void **state)
{
    (void)state;
    make_log("true");
    while (!w.p->checkpoint.entry)
        turn();
    uint32_t bytes = w.p->checkpoint.entry_bytes;
    uint8_t entry[4096];
    assert_true(bytes <= sizeof entry);
    memcpy(entry, w.p->checkpoint.entry, bytes);
    int64_t end = end_of_log();
    kill_broker();
    start_unrecovered();
    stop(); /* cleanly, before anything of it was recovered */
    for (int i = 0; i < 2; i++) {
        start_unrecovered();
        assert_false(root_was_clean(w.root, w.p->topic->id, 0));
        hold_recoveries();
        for (int k = 0; k < 150; k++) /* some ticks of the checkpointer */
            turn();
        const struct checkpoint_entry *e = checkpoint_find(w.root->checkpoints, w.p->topic->id, 0);
        assert_non_null(e);
        assert_int_equal(checkpoint_entry_bytes(e), bytes);
        uint8_t again[4096];
        checkpoint_entry_encode(e, again);
        assert_memory_equal(again, entry, bytes);
        kill_broker();
    }
    start();
    find_partition("t");
    assert_int_equal(end_of_log(), end);
    log_is_as_expected(true);
}

static int64_t checkpointed_offset(const struct partition *p)
{
    struct checkpoint_entry e;
    bool there = p->checkpoint.entry && checkpoint_entry_decode(p->checkpoint.entry, p->checkpoint.entry_bytes, &e);
    return there ? e.offset : 0;
}
static int64_t least_reserve; /* that was seen since it was set */
static void until_all_are_checkpointed(int64_t offset)
{
    const struct log_store *ls = w.p->store;
    uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S;
    for (uint32_t i = 0; i < ls->count; i++)
        while (checkpointed_offset(ls->all[i]) < offset) {
            assert_true(clock_now_ns() < end);
            turn();
            least_reserve = reserve_size() < least_reserve ? reserve_size() : least_reserve;
        }
}

/* A write that found no room: its log is opened again, while a checkpoint of it may be on its way. What is kept of it is not copied for
 * that, and stands as long as it is read. */
static void a_log_that_is_opened_again_lends_what_is_kept_of_it(void **state)
{
    (void)state;
    enum { TIMES = 6 };
    make_log("true");
    while (!w.p->checkpoint.entry)
        turn();
    lent_entries = own_entries = 0;
    watching_entries = true;
    for (int i = 0; i < TIMES; i++) {
        append(2, 100);
        all_are_acked();
        for (uint64_t until_ns = clock_now_ns() + (uint64_t)i * 80 * NS_PER_MS; clock_now_ns() < until_ns;)
            turn();
        TURN_UNTIL(turn, w.p->written.offset == w.p->end.offset); /* not in shared memory alone */
        partition_fault(w.p, -ENOSPC, "a test's write");
        TURN_UNTIL(turn, w.p->condition == PARTITION_OPEN);
        assert_int_equal(own_entries, 0);
        assert_int_equal(lent_entries, i + 1);
    }
    watching_entries = false;
    int64_t end = end_of_log();
    until_all_are_checkpointed(end);
    kill_broker();
    start();
    find_partition("t");
    assert_int_equal(end_of_log(), end);
    log_is_as_expected(true);
}

static void change_caching(const char *value)
{
    static struct config_op op;
    static struct catalog_change c;
    op = (struct config_op){.kind = CONFIG_OP_SET, .name = "write.caching", .value = value};
    c = (struct catalog_change){.kind = CATALOG_CONFIG, .ops = &op, .op_count = 1, .done = change_done};
    memcpy(c.topic_id, w.p->topic->id, 16);
    change_is_over = false;
    catalog_change_start(w.shard, &c);
}

static void a_change_that_promises_more_recovers_it_first(void **state)
{
    (void)state;
    make_log("true");
    int64_t end = end_of_log();
    kill_broker();
    start_unrecovered();
    change_caching("false");
    until(&change_is_over);
    assert_int_equal(w.p->condition, PARTITION_OPEN);
    assert_int_equal(w.p->durable.offset, end);
    assert_true(durable_acks(w.p));
}

static void a_change_that_promises_less_does_not(void **state)
{
    (void)state;
    make_log("false");
    kill_broker();
    start_unrecovered();
    hold_recoveries();
    change_caching("true");
    until(&change_is_over);
    assert_int_equal(w.p->condition, PARTITION_UNRECOVERED);
    assert_true(w.p->recovery.acks_durable); /* as its log was written */
    kill_broker();
    start();
    find_partition("t");
}

static void its_deletion_needs_no_recovery(void **state)
{
    (void)state;
    make_log("false");
    kill_broker();
    start_unrecovered();
    hold_recoveries();
    struct recovery_wait wait = {.over = wait_over};
    wait_is_over = false;
    assert_true(recoverer_wait(w.p, &wait, RECOVERY_REQUEST, RECOVERY_NO_DEADLINE));
    struct catalog_change c;
    delete_begin(&c);
    until(&change_is_over);
    assert_true(wait_is_over);
    assert_int_equal(store_of(w.shard)->log.count, 0);
    assert_int_not_equal(access(DIR "/data/t-0", F_OK), 0);
    kill_broker();
    start();
}

/* --- the checkpoint of many partitions --- */

enum { MANY = 120, ROUNDS = 10 };

static uint64_t checkpoint_file_bytes(void)
{
    int fd;
    uint64_t bytes;
    assert_int_equal(fs_open(DIR "/data/recovery-point-0.checkpoint", FS_READ, &fd), ERR_NONE);
    assert_int_equal(fs_size(fd, &bytes), ERR_NONE);
    fs_close(fd);
    return bytes;
}
static void append_to_all(void)
{
    const struct log_store *ls = w.p->store;
    for (uint32_t i = 0; i < ls->count; i++) {
        w.p = ls->all[i];
        append(1, 100);
    }
    for (uint32_t i = 0; i < w.sent_count; i++) {
        until(&w.sent[i].over);
        assert_int_equal(w.sent[i].append.error, KERR_NONE);
    }
    forget_sent();
}

static void make_topic_of_many(const struct topic_override *overrides, uint32_t count)
{
    struct catalog_change c = {.kind = CATALOG_CREATE,
                               .name = "t",
                               .partitions = MANY,
                               .overrides = overrides,
                               .override_count = count,
                               .done = change_done};
    change_is_over = false;
    catalog_change_start(w.shard, &c);
    until(&change_is_over);
    find_partition("t");
}

/* Where the file system can flush all at once, and says so if it could not: then no partition is clean, and none has lost anything. */
static void the_stop_of_many_flushes_once(void **state)
{
    (void)state;
    make_topic_of_many(NULL, 0);
    struct store *st = store_of(w.shard);
    if (st->sync_fd < 0) {
        printf("not run: the file system is none that flushes all\n");
        return;
    }
    for (int failing = 0; failing < 2; failing++) {
        append_to_all();
        st = store_of(w.shard);
        int fd = st->sync_fd;
        st->sync_fd = failing ? 1 << 20 : fd; /* no such descriptor */
        stop_begin();
        assert_true(st->log.stop_syncs_all);
        until(&store_is_stopped);
        assert_int_equal(st->log.stop_failed, failing);
        st->sync_fd = fd;
        stop_end();
        leave_unrecovered = true;
        start();
        leave_unrecovered = false;
        find_partition("t");
        for (int32_t i = 0; i < MANY; i++)
            assert_int_equal(root_was_clean(w.root, w.p->topic->id, i), !failing);
        recover_all();
        const struct log_store *ls = w.p->store;
        for (uint32_t i = 0; i < ls->count; i++)
            assert_int_equal(partition_facts(ls->all[i]).end_offset, failing + 1);
    }
}

static void the_last_checkpoints_are_found(void)
{
    kill_broker();
    start_unrecovered();
    hold_recoveries();
    for (int32_t i = 0; i < MANY; i++)
        assert_int_equal(checkpoint_find(w.root->checkpoints, w.p->topic->id, i)->offset, ROUNDS);
    kill_broker();
    start();
    find_partition("t");
}

static void a_checkpoint_that_is_mostly_stale_is_compacted(void **state)
{
    (void)state;
    make_topic_of_many(NULL, 0);
    uint64_t most = 0;
    for (int round = 1; round <= ROUNDS; round++) {
        append_to_all();
        until_all_are_checkpointed(round);
        most = u64_max(most, checkpoint_file_bytes());
    }
    for (int i = 0; i < 20; i++)
        turn();
    uint64_t live = MANY * w.p->checkpoint.entry_bytes;
    assert_true(most < 6 * live); /* where ROUNDS times as much was written */
    the_last_checkpoints_are_found();
}

static void until_the_reserve_is_full(void)
{
    uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S;
    while (ballast_is_short(w.p->store->ballast.level) || reserve_size() == 0) {
        assert_true(clock_now_ns() < end);
        turn();
    }
}

/* The reserve makes room for the entries; the compaction, which found none at its end, is given up. */
static void a_compaction_that_finds_no_room_is_given_up(void **state)
{
    (void)state;
    const struct topic_override overrides[] = {{"disk.full.policy", "delete-oldest"}};
    make_topic_of_many(overrides, 1);
    until_the_reserve_is_full();
    int64_t full = reserve_size();
    full_until = least_reserve = full;
    for (int round = 1; round <= ROUNDS; round++) {
        append_to_all();
        until_all_are_checkpointed(round);
    }
    assert_true(least_reserve < full); /* it was asked, and may be filled again */
    full_until = 0;
    the_last_checkpoints_are_found();
}

/* What look-ups need of closed segments is known after a restart without their indexes. */
static void timestamps_of_closed_segments_are_kept(void **state)
{
    (void)state;
    const struct topic_override overrides[] = {{"segment.bytes", "1048576"}};
    make_topic(overrides, 1);
    for (int i = 0; i < 40; i++) {
        append_made((struct make_batch){.producer_id = -1,
                                        .producer_epoch = -1,
                                        .sequence = -1,
                                        .timestamp = 5000 + i,
                                        .count = 2,
                                        .value_bytes = 50000});
        all_are_acked();
    }
    assert_true(w.p->segments.count > 2);
    until_all_are_checkpointed(end_of_log());
    uint32_t count = w.p->segments.count;
    int64_t youngest = segments_at(&w.p->segments, 0)->max_timestamp;
    int64_t its_offset = segments_at(&w.p->segments, 0)->index.max_timestamp_offset;
    for (int clean = 0; clean < 2; clean++) {
        if (clean)
            stop();
        else
            kill_broker();
        start();
        find_partition("t");
        assert_int_equal(w.p->segments.count, count);
        for (uint32_t i = 0; i + 1 < count; i++) {
            const struct segment *s = segments_at(&w.p->segments, i);
            assert_true(s->times_known);
            assert_false(s->index_loaded && i + 2 < count);
        }
        assert_int_equal(segments_at(&w.p->segments, 0)->max_timestamp, youngest);
        assert_int_equal(segments_at(&w.p->segments, 0)->max_timestamp_offset, its_offset);
    }
}

/* --- many partitions at once --- */

enum { CROWD = 3000, STEP_MAX = 256 };

static struct catalog_change change_of_many;
static void make_many_begin(void)
{
    change_of_many =
        (struct catalog_change){.kind = CATALOG_CREATE, .name = "t", .partitions = CROWD, .done = change_done};
    change_is_over = false;
    catalog_change_start(w.shard, &change_of_many);
}
static struct topic *topic_t(void)
{
    return catalog_by_name(&store_of(w.shard)->catalog, (const uint8_t *)"t", 1);
}

static void a_large_topic_is_made_and_deleted_in_steps(void **state)
{
    (void)state;
    const struct log_store *ls = &store_of(w.shard)->log;
    make_many_begin();
    while (!change_is_over) {
        uint32_t before = ls->count;
        turn();
        assert_true(ls->count - before <= 2 * STEP_MAX); /* what came, and the timer */
        assert_true(!topic_t() || ls->count == CROWD);   /* nobody sees a part of it */
    }
    assert_int_equal(change_of_many.error, KERR_NONE);
    find_partition("t");
    delete_begin(&change_of_many);
    while (!change_is_over) {
        uint32_t flying = 0;
        turn();
        for (uint32_t i = 0; i < ls->count; i++)
            flying += ls->all[i]->stop.done != NULL;
        assert_true(flying <= STEP_MAX);
    }
    assert_int_equal(ls->count, 0);
}

/* Its partitions get the new version some a turn, and so does everything when a stop comes in the midst of it: the next start has it. */
static void a_change_of_the_broker_reaches_a_large_topic_in_steps(void **state)
{
    (void)state;
    const struct config_op op = {"log.segment.bytes", CONFIG_OP_SET, "2000000"};
    const struct log_store *ls = &store_of(w.shard)->log;
    make_many_begin();
    until(&change_is_over);
    struct topic *old = topic_t();
    struct catalog_change c = {.kind = CATALOG_BROKER_CONFIG, .ops = &op, .op_count = 1, .done = change_done};
    change_is_over = false;
    catalog_change_start(w.shard, &c);
    for (uint32_t left = ls->count, before = left; !change_is_over; before = left) {
        turn();
        if (change_is_over) /* the old version is gone */
            break;
        left = 0;
        for (uint32_t i = 0; i < ls->count; i++)
            left += ls->all[i]->topic == old;
        assert_true(before - left <= 2 * STEP_MAX);
    }
    assert_int_equal(c.error, KERR_NONE);
    for (uint32_t i = 0; i < ls->count; i++)
        assert_int_equal(ls->all[i]->topic->config.segment_bytes, 2000000);
    const struct config_op back = {"log.segment.bytes", CONFIG_OP_SET, "3000000"};
    c = (struct catalog_change){.kind = CATALOG_BROKER_CONFIG, .ops = &back, .op_count = 1, .done = change_done};
    change_is_over = false;
    catalog_change_start(w.shard, &c);
    old = topic_t();
    TURN_UNTIL(turn, ls->all[0]->topic != old || ls->all[ls->count - 1]->topic != old);
    assert_false(change_is_over);
    stop();
    start();
    find_partition("t");
    assert_int_equal(w.p->topic->config.segment_bytes, 3000000);
}

static void a_stop_in_the_midst_of_a_large_change_loses_nothing(void **state)
{
    (void)state;
    make_many_begin();
    while (store_of(w.shard)->log.count == 0)
        turn();
    assert_false(change_is_over);
    stop();
    start();
    find_partition("t");
    assert_int_equal(store_of(w.shard)->log.count, CROWD);
    append(1, 100);
    all_are_acked();
    delete_begin(&change_of_many);
    while (store_of(w.shard)->log.count == CROWD)
        turn();
    assert_false(change_is_over);
    stop();
    start();
    assert_null(topic_t());
    assert_int_equal(store_of(w.shard)->log.count, 0);
    assert_int_not_equal(access(DIR "/data/t-0", F_OK), 0);
}

/* Its segments are what can make room, once it is open. */
static void a_ring_is_recovered_on_a_full_disk(void **state)
{
    (void)state;
    const struct topic_override overrides[] = {{"disk.full.policy", "delete-oldest"}};
    make_topic(overrides, 1);
    append(3, 200);
    all_are_acked();
    until_the_reserve_is_full();
    kill_broker();
    full_until = reserve_size();
    uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S;
    start_unrecovered();
    while (w.p->condition != PARTITION_OPEN) {
        assert_true(clock_now_ns() < end);
        turn();
    }
    full_until = 0;
    assert_int_equal(end_of_log(), 3);
}

int main(void)
{
    struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_told_of_it, setup, teardown),
        cmocka_unit_test_setup_teardown(who_waits_finds_it_recovered, setup, teardown),
        cmocka_unit_test_setup_teardown(a_ring_is_recovered_on_a_full_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(who_waits_too_long_finds_it_as_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_refused_in_time_is_not_overtaken_afterwards, setup, teardown),
        cmocka_unit_test_setup_teardown(those_that_somebody_waits_for_come_first, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_known_of_it_is_carried_over, setup, teardown),
        cmocka_unit_test_setup_teardown(a_log_that_is_opened_again_lends_what_is_kept_of_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_change_that_promises_more_recovers_it_first, setup, teardown),
        cmocka_unit_test_setup_teardown(a_change_that_promises_less_does_not, setup, teardown),
        cmocka_unit_test_setup_teardown(the_stop_of_many_flushes_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_checkpoint_that_is_mostly_stale_is_compacted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_compaction_that_finds_no_room_is_given_up, setup, teardown),
        cmocka_unit_test_setup_teardown(timestamps_of_closed_segments_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(a_large_topic_is_made_and_deleted_in_steps, setup, teardown),
        cmocka_unit_test_setup_teardown(a_change_of_the_broker_reaches_a_large_topic_in_steps, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stop_in_the_midst_of_a_large_change_loses_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(its_deletion_needs_no_recovery, setup, teardown),
    };
    return run_in_modes(tests, COUNT_OF(tests), 2);
}
