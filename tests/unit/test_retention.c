/* Retention of real partitions: what goes by time and size, when its files go, and what holds it. The clocks are the test's. */
#include "core/log.h"
#include "core/rng.h"
#include "storage/catalog/meta.h"
#include "storage/log/deleter.h"
#include "storage/log/folder.h"
#include "storage/log/full_disk.h"
#define DIR "build/tests/unit/retention"
#include "tests/unit/partition_world.h"
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

enum { VALUE = 60000, A_SEGMENT = 17 }; /* 17 batches of one record make a segment of 1 MiB */
#define DAY_MS (24 * 3600 * 1000ll)
#define LOG DIR "/data/t-0"

/* --- clocks --- */

static uint64_t ahead_ns;
static int64_t wall_ahead_ms;

uint64_t clock_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec + ahead_ns;
}
static uint64_t slept_ns;
uint64_t clock_since_boot_ns(void)
{
    return clock_now_ns() + slept_ns;
}
int64_t clock_wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000 + (int64_t)((ahead_ns + slept_ns) / NS_PER_MS) + wall_ahead_ms;
}
uint64_t clock_thread_cpu_ns(void)
{
    return clock_now_ns();
}
void clock_sleep_ms(uint32_t ms)
{
    usleep(ms * 1000);
}
uint64_t rng_seed_os(void)
{
    return 42;
}
static void pass(int64_t ms)
{
    ahead_ns += (uint64_t)ms * NS_PER_MS;
}

/* --- the world --- */

static int setup_retention(void **state)
{
    ahead_ns = slept_ns = 0;
    wall_ahead_ms = 0;
    if (prepare(state))
        return -1;
    set("log.initial.task.delay.ms", "0");
    set("log.retention.check.interval.ms", "10");
    set("log.segment.bytes", "1048576");
    set("disk.reserve.bytes", "0");
    set("log.message.timestamp.after.max.ms", "9223372036854775807");
    start();
    return 0;
}

static int setup_beside_another(void **state)
{
    shards_looked_at = 2;
    int result = setup_retention(state);
    shards_looked_at = 1;
    return result;
}

static void fill(int batches, int64_t age_ms)
{
    int64_t timestamp = clock_wall_ms() - age_ms;
    for (int i = 0; i < batches; i++) {
        (void)append_made((struct make_batch){.producer_id = -1,
                                              .producer_epoch = -1,
                                              .sequence = -1,
                                              .timestamp = age_ms < 0 ? -1 : timestamp,
                                              .count = 1,
                                              .value_bytes = VALUE});
        if (i % 16 == 15)
            all_are_acked();
    }
    all_are_acked();
}
static void topic(const struct topic_override *overrides, uint32_t count)
{
    make_topic(overrides, count);
}
static void alter(const char *name, const char *value)
{
    struct config_op op = {name, CONFIG_OP_SET, value};
    struct catalog_change c = {.kind = CATALOG_CONFIG, .ops = &op, .op_count = 1, .done = change_done};
    memcpy(c.topic_id, w.p->topic->id, 16);
    change_is_over = false;
    catalog_change_start(w.shard, &c);
    until(&change_is_over);
    assert_int_equal(c.error, KERR_NONE);
}
static void starts_at(int64_t offset)
{
    uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S;
    while (partition_facts(w.p).log_start_offset != offset) {
        if (clock_now_ns() > end)
            fail_msg("the log starts at %lld instead of %lld", (long long)partition_facts(w.p).log_start_offset,
                     (long long)offset);
        turn();
    }
}
/* Some sweeps pass. */
static void stays_at(int64_t offset)
{
    uint64_t end = clock_now_ns() + 150 * NS_PER_MS;
    while (clock_now_ns() < end)
        turn();
    assert_int_equal(partition_facts(w.p).log_start_offset, offset);
}
static uint32_t count_named(const char *suffix)
{
    char command[256], text[16] = "";
    snprintf(command, sizeof command, "ls %s | grep -c '%s$'", LOG, suffix);
    FILE *f = popen(command, "r");
    assert_non_null(fgets(text, sizeof text, f));
    pclose(f);
    return (uint32_t)atoi(text);
}
static void files_named(const char *suffix, uint32_t count)
{
    uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S;
    while (count_named(suffix) != count) {
        if (clock_now_ns() > end)
            fail_msg("%u files *%s instead of %u", count_named(suffix), suffix, count);
        turn();
    }
}
static int64_t base_of(uint32_t i)
{
    return segments_at(&w.p->segments, i)->base_offset;
}

/* --- statements --- */

static void what_is_too_old_goes_up_to_the_first_that_is_not(void **state)
{
    (void)state;
    static const struct topic_override o[] = {{"retention.ms", "-1"}};
    topic(o, 1);
    fill(2 * A_SEGMENT, 8 * DAY_MS);
    fill(A_SEGMENT, DAY_MS);
    fill(A_SEGMENT, 9 * DAY_MS); /* behind a younger one: it stays */
    fill(3, DAY_MS);
    assert_int_equal(w.p->segments.count, 5);
    int64_t second = base_of(1), third = base_of(2);
    stays_at(0);
    alter("retention.ms", "604800000");
    starts_at(third);
    assert_true(third > second);
    assert_int_equal(w.p->segments.count, 3);
    files_named(".log.deleted", 2);
    files_named(".log", 3);
    stays_at(third);
}

static void what_is_too_much_goes_while_the_rest_is_enough(void **state)
{
    (void)state;
    topic(NULL, 0);
    fill(4 * A_SEGMENT + 3, 0);
    assert_int_equal(w.p->segments.count, 5);
    uint64_t total = partition_facts(w.p).bytes, first = segments_at(&w.p->segments, 0)->bytes;
    int64_t second = base_of(1), third = base_of(2);
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)(total - first + 1));
    alter("retention.bytes", text); /* without the first a byte would be missing */
    stays_at(0);
    snprintf(text, sizeof text, "%llu", (unsigned long long)(total - first));
    alter("retention.bytes", text);
    starts_at(second);
    stays_at(second);
    snprintf(text, sizeof text, "%llu", (unsigned long long)(total - 2 * first));
    alter("retention.bytes", text);
    starts_at(third);
    alter("retention.bytes", "0"); /* the active one too */
    starts_at(partition_facts(w.p).end_offset);
    assert_int_equal(w.p->segments.count, 1);
    assert_int_equal(w.p->end.position, 0);
}

static void an_idle_partition_expires_whole_and_goes_on(void **state)
{
    (void)state;
    static const struct topic_override o[] = {{"retention.ms", "3600000"}, {"file.delete.delay.ms", "0"}};
    topic(o, 2);
    fill(5, 0);
    stays_at(0);
    fall_idle();
    pass(3600000 + 1000);
    starts_at(5);
    assert_int_equal(w.p->segments.count, 1);
    files_named(".log", 1);
    files_named(".deleted", 0);
    uint64_t active = w.p->active->number;
    stays_at(5);
    assert_int_equal(w.p->active->number, active); /* an empty one is not rolled again */
    fill(2, 0);
    assert_int_equal(partition_facts(w.p).end_offset, 7);
    stop();
    start();
    find_partition("t");
    assert_int_equal(partition_facts(w.p).log_start_offset, 5);
    assert_int_equal(partition_facts(w.p).end_offset, 7);
}

/* No file becomes longer than this: what a disk without room answers (EFBIG is taken like ENOSPC). */
static bool start_is_moved;
static void start_moved(struct log_trim *t)
{
    assert_int_equal(t->error, KERR_NONE);
    start_is_moved = true;
}

/* DeleteRecords leaves the active segment, also if nothing of it is left; closed, it goes, and retention finds nothing to do again and again. */
static void what_was_active_below_the_start_goes_when_it_is_closed(void **state)
{
    (void)state;
    topic((struct topic_override[]){{"retention.ms", "86400000"}, {"file.delete.delay.ms", "0"}}, 2);
    fill(A_SEGMENT, 0);
    struct log_trim t = {.before = -1, .done = start_moved};
    start_is_moved = false;
    partition_trim(w.p, &t);
    until(&start_is_moved);
    assert_int_equal(w.p->log_start_offset, A_SEGMENT);
    assert_int_equal(w.p->segments.count, 1);
    fill(1, 0);
    TURN_UNTIL(turn, w.p->segments.count == 1 && w.p->retention.state == RETENTION_IDLE);
    assert_int_equal(base_of(0), A_SEGMENT);
    starts_at(A_SEGMENT);
    w.expected_bytes = 0;
}

static void files_grow_to(rlim_t bytes)
{
    const struct rlimit limit = {bytes, RLIM_INFINITY};
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}
static void on_a_full_disk_closed_segments_go_although_the_active_one_cannot_be_rolled(void **state)
{
    (void)state;
    static const struct topic_override o[] = {{"retention.ms", "3600000"}, {"file.delete.delay.ms", "0"}};
    topic(o, 2);
    fill(2 * A_SEGMENT + 3, 0);
    fall_idle();
    files_grow_to(4096);
    pass(3600000 + 1000);
    starts_at(base_of(2));
    files_named(".log", 1);
    stays_at(2 * A_SEGMENT);
    files_grow_to(RLIM_INFINITY);
    starts_at(2 * A_SEGMENT + 3);
}

static void turn_for_ms(int64_t ms)
{
    uint64_t end = clock_now_ns() + (uint64_t)ms * NS_PER_MS;
    while (clock_now_ns() < end)
        turn();
}
/* What stands beside a closed segment is saved when there is room: on a full disk those before it must not wait for that. */
static void what_is_not_saved_yet_keeps_only_itself(void **state)
{
    (void)state;
    static const struct topic_override o[] = {{"retention.ms", "3600000"}};
    topic(o, 1);
    fill(3 * A_SEGMENT + 3, 0);
    turn_for_ms(100);
    int64_t second = base_of(1);
    segments_at(&w.p->segments, 1)->closing = true;
    w.p->space.closing++;
    pass(3600000 + 1000);
    starts_at(second);
    stays_at(second);
    segments_at(&w.p->segments, 0)->closing = false;
    w.p->space.closing--;
    starts_at(3 * A_SEGMENT + 3);
}

/* All that it has is in a wave: that ends, and then the segment can go. */
static void a_ring_with_a_wave_in_flight_waits_for_room(void **state)
{
    (void)state;
    static const struct topic_override o[] = {{"disk.full.policy", "delete-oldest"}};
    topic(o, 1);
    fill(1, 0);
    turn_for_ms(100);
    struct sent *s = append(1, 100);
    assert_true(w.p->promised.offset < w.p->end.offset);
    assert_true(full_disk_helps(w.p));
    until(&s->over);
    assert_int_equal(s->append.error, KERR_NONE);
    forget_sent();
}

static struct partition *make_internal_topic(void)
{
    struct catalog_change c = {
        .kind = CATALOG_CREATE, .name = "__consumer_offsets", .partitions = 1, .done = change_done};
    change_is_over = false;
    catalog_change_start(w.shard, &c);
    until(&change_is_over);
    assert_int_equal(c.error, KERR_NONE);
    find_partition("__consumer_offsets");
    return w.p;
}
/* Commits got some of it, and have two seconds to take it: it is not filled before. */
static void while_the_reserve_is_short_a_ring_waits_and_drops_nothing(void **state)
{
    (void)state;
    static const struct topic_override o[] = {{"disk.full.policy", "delete-oldest"}};
    topic(o, 1);
    fill(2 * A_SEGMENT + 2, 0); /* the third has no file made ahead yet behind it */
    struct partition *internal = make_internal_topic();
    find_partition("t");
    struct ballast *b = &w.p->store->ballast;
    while (atomic_load(&b->level->wanted) == 0 || ballast_is_short(b->level))
        turn();
    while (!full_disk_is_reserved(w.p)) { /* it asks again, as who waits does: a measure may be under way */
        assert_true(full_disk_helps(internal));
        turn();
    }
    uint64_t asked_ns = clock_now_ns();
    fill(A_SEGMENT + 2, 0);
    assert_true(clock_now_ns() - asked_ns > NS_PER_S);
    assert_int_equal(partition_facts(w.p).log_start_offset, 0);
}

/* A disk of 64 MB was full before the reserve was filled, half a second after the start; and what was given of it went to who came
 * first, until the next look at the disk: nothing was left to make room with. */
static void a_ring_has_its_reserve_at_once_and_nobody_takes_what_is_given(void **state)
{
    (void)state;
    static const struct topic_override o[] = {{"disk.full.policy", "delete-oldest"}};
    topic(o, 1);
    struct ballast *b = &w.p->store->ballast;
    turn_for_ms(100);
    assert_true(atomic_load(&b->level->wanted) > 0);
    assert_false(ballast_is_short(b->level));
    assert_false(full_disk_is_reserved(w.p));
    assert_true(ballast_give(b, PAGE_BYTES));
    assert_true(full_disk_is_reserved(w.p));
}

static uint64_t write_in_transaction(uint64_t guard);

/* As it looks to a ring whose disk is full: another shard finds no room, and has nothing to drop. */
static void another_starves(bool starves)
{
    w.shard->count = starves ? 2 : 1;
    atomic_store(&w.root->board.oldest_ms[1], INT64_MAX);
    atomic_store(&w.root->board.starved[1], starves);
}
static void ring_with_a_transaction_in_its_third_segment(void)
{
    static const struct topic_override o[] = {{"disk.full.policy", "delete-oldest"}};
    topic(o, 1);
    fill(2 * A_SEGMENT + 5, 0);
    (void)write_in_transaction(write_in_transaction(0));
    forget_sent();
    fill(2 * A_SEGMENT, 0);
    turn_for_ms(100);
    assert_int_equal(w.p->segments.count, 5);
}
static void a_ring_keeps_what_an_open_transaction_began(void **state)
{
    (void)state;
    ring_with_a_transaction_in_its_third_segment();
    int64_t begun_in = base_of(2), active = base_of(4);
    another_starves(true);
    starts_at(begun_in);
    turn_for_ms(200);
    stays_at(begun_in);
    assert_int_equal(put_txn_marker((struct txn_marker){.producer_id = 7}).error, KERR_NONE);
    starts_at(active);
    another_starves(false);
}
/* However much is wanted at a time. */
static void no_more_is_dropped_than_what_is_stable(void **state)
{
    (void)state;
    ring_with_a_transaction_in_its_third_segment();
    int64_t begun_in = base_of(2);
    retention_drop_oldest(w.p, UINT64_MAX, INT64_MAX);
    starts_at(begun_in);
    stays_at(begun_in);
}

/* What ends it would stand behind the append that waits; and it gets room that others leave for commits. */
static void behind_an_open_transaction_nobody_waits_but_its_end(void **state)
{
    (void)state;
    static const struct topic_override o[] = {{"disk.full.policy", "delete-oldest"}};
    topic(o, 1);
    (void)write_in_transaction(write_in_transaction(0));
    forget_sent();
    turn_for_ms(100);
    w.shard->count = 2;
    atomic_store(&w.root->board.oldest_ms[1], INT64_MAX);
    atomic_store(&w.root->board.ballast[1].wanted, PAGE_BYTES);
    assert_true(full_disk_is_reserved(w.p));
    uint64_t began_ns = clock_now_ns(), allocated = w.p->active->allocated;
    static const uint32_t sizes[] = {4000, 400, 1}; /* up to the last byte of its space */
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        enum kerr error = KERR_NONE;
        while (!error) {
            struct sent *s = append(1, sizes[i]);
            until(&s->over);
            error = s->append.error;
            forget_sent();
        }
        assert_int_equal(error, KERR_KAFKA_STORAGE_ERROR);
    }
    assert_true(clock_now_ns() - began_ns < 10 * NS_PER_S);
    assert_int_equal(w.p->active->allocated, allocated);
    assert_int_equal(put_txn_marker((struct txn_marker){.producer_id = 7}).error, KERR_NONE);
    assert_true(w.p->active->allocated > allocated);
    w.shard->count = 1;
}

/* What a shard without rings noted when it had one kept the others from dropping anything. */
static void a_ring_that_is_none_any_more_stands_in_nobodys_way(void **state)
{
    (void)state;
    static const struct topic_override o[] = {{"disk.full.policy", "delete-oldest"}};
    topic(o, 1);
    fill(A_SEGMENT + 3, 0);
    struct full_disk_board *b = &w.root->board;
    turn_for_ms(600);
    assert_true(atomic_load(&b->oldest_ms[0]) < INT64_MAX);
    assert_true(ballast_give(&w.p->store->ballast, PAGE_BYTES));
    assert_true(ballast_is_short(&b->ballast[0]));
    alter("disk.full.policy", "refuse");
    turn_for_ms(600);
    assert_true(atomic_load(&b->oldest_ms[0]) == INT64_MAX);
    assert_false(ballast_is_short(&b->ballast[0]));
}

static void the_shard_with_the_oldest_segment_drops_it_where_another_starves(void **state)
{
    (void)state;
    static const struct topic_override o[] = {{"disk.full.policy", "delete-oldest"}};
    topic(o, 1);
    fill(A_SEGMENT + 3, 0);
    turn_for_ms(600);
    assert_int_equal(partition_facts(w.p).log_start_offset, 0);
    w.shard->count = 2; /* as it looks to this one */
    atomic_store(&w.root->board.oldest_ms[1], INT64_MAX);
    atomic_store(&w.root->board.starved[1], true);
    starts_at(A_SEGMENT);
    atomic_store(&w.root->board.starved[1], false);
    w.shard->count = 1;
}

/* It would be refused at once, half a minute later: it "waited" all the time. */
static void a_roll_that_finds_no_room_is_no_append_that_waits(void **state)
{
    (void)state;
    static const struct topic_override o[] = {{"disk.full.policy", "delete-oldest"}};
    topic(o, 1);
    fill(3, 0);
    files_grow_to(4096);
    writer_roll(w.p);
    turn_for_ms(100);
    assert_int_equal(w.p->segments.count, 1);
    assert_int_equal(w.p->space.short_since_ns, 0);
    files_grow_to(RLIM_INFINITY);
    fill(1, 0);
}

static void time_passes(int64_t ms)
{
    pass(ms);
    w.shard->now_ns = clock_now_ns();
}

/* Where freeing is slower than writing, producers are slowed for as long as something is freed. */
static void a_ring_that_waits_is_not_refused_while_files_go(void **state)
{
    (void)state;
    static const struct topic_override o[] = {{"disk.full.policy", "delete-oldest"}};
    topic(o, 1);
    fill(3, 0);
    w.p->space.short_since_ns = w.shard->now_ns;
    for (int i = 0; i < 4; i++) {
        time_passes(29000);
        assert_true(full_disk_helps(w.p));
        full_disk_freed(w.p->store);
    }
    time_passes(31000);
    assert_false(full_disk_helps(w.p));
    w.p->space.short_since_ns = 0;
    fill(1, 0);
}

/* Of a topic that is no ring: nobody waits a minute for what is dropped already. */
static void on_a_full_disk_dropped_files_do_not_wait(void **state)
{
    (void)state;
    static const struct topic_override o[] = {{"retention.bytes", "1"}};
    topic(o, 1);
    fill(2 * A_SEGMENT, 0);
    files_named(".log.deleted", 1);
    turn_for_ms(700);
    files_named(".log.deleted", 1);
    files_grow_to(4096);
    enum kerr error = KERR_NONE;
    for (int i = 0; i < 3 * A_SEGMENT && !error; i++) {
        struct sent *s = append(1, VALUE);
        until(&s->over);
        error = s->append.error;
        forget_sent();
    }
    assert_int_equal(error, KERR_KAFKA_STORAGE_ERROR);
    files_named(".deleted", 0);
    files_grow_to(RLIM_INFINITY);
}

static void a_clock_that_goes_back_makes_nothing_older(void **state)
{
    (void)state;
    static const struct topic_override o[] = {{"retention.ms", "-1"}};
    topic(o, 1);
    fill(A_SEGMENT + 1, 0);
    int64_t first_ms = segments_at(&w.p->segments, 0)->written_ms;
    assert_true(first_ms >= clock_wall_ms() - 20000 && first_ms <= clock_wall_ms());
    wall_ahead_ms = -DAY_MS;
    fill(A_SEGMENT, 0);
    assert_int_equal(w.p->segments.count, 3);
    assert_true(segments_at(&w.p->segments, 1)->written_ms >= first_ms);
    stop();
    assert_int_equal(system("touch -d 2001-01-01 " LOG "/00000000000000000017.log"), 0);
    start();
    find_partition("t");
    assert_true(segments_at(&w.p->segments, 1)->written_ms >= segments_at(&w.p->segments, 0)->written_ms);
}

static void files_go_when_their_delay_is_over(void **state)
{
    (void)state;
    static const struct topic_override o[] = {{"retention.bytes", "1"}};
    topic(o, 1);
    fill(2 * A_SEGMENT, 0);
    files_named(".log.deleted", 1);
    assert_true(deleter_bytes(w.p->store->deleter) > 0);
    stays_at(base_of(0));
    files_named(".log.deleted", 1);
    files_named("[0-9].index.deleted", 1);
    pass(61000);
    files_named(".deleted", 0);
    assert_int_equal(deleter_bytes(w.p->store->deleter), 0);
}

/* Of many a recovery unlinks a few, the deleter the rest, at once. */
static void what_the_last_run_left_goes_at_a_start(void **state)
{
    (void)state;
    topic(NULL, 0);
    fill(3, 0);
    stop();
    assert_int_equal(system("cd " LOG " && for i in $(seq 1000 1040); do : >0000000000000000$i.log.deleted; done"), 0);
    assert_int_equal(count_named(".deleted"), 41);
    start();
    find_partition("t");
    files_named(".deleted", 0);
    assert_int_equal(partition_facts(w.p).end_offset, 3);
}

static const struct policy {
    const char *text;
    bool drops;
} policies[] = {{"delete", true}, {"compact,delete", true}, {"compact", false}, {"", false}};

static void the_policy_decides(void **state)
{
    (void)state;
    static const struct topic_override o[] = {{"cleanup.policy", "compact"}};
    topic(o, 1);
    fill(2 * A_SEGMENT, 30 * DAY_MS);
    for (size_t i = COUNT_OF(policies); i-- > 0;) {
        alter("cleanup.policy", policies[i].text);
        if (!policies[i].drops)
            stays_at(0);
        else
            starts_at(2 * A_SEGMENT);
    }
}

static void records_without_a_time_expire_by_when_they_were_written(void **state)
{
    (void)state;
    topic(NULL, 0);
    fill(2 * A_SEGMENT, -1);
    stays_at(0);
    pass(8 * DAY_MS);
    starts_at(2 * A_SEGMENT);
}

static void after_a_restart_times_are_learnt(void **state)
{
    (void)state;
    static const struct topic_override o[] = {{"retention.ms", "-1"}};
    topic(o, 1);
    fill(2 * A_SEGMENT, 8 * DAY_MS);
    fill(3, 0);
    int64_t third = base_of(2);
    stop();
    assert_int_equal(system("rm " LOG "/00000000000000000000.timeindex"), 0);
    start();
    find_partition("t");
    struct segment *s = segments_at(&w.p->segments, 0); /* as if no checkpoint knew */
    s->times_known = false;
    s->max_timestamp = -1;
    alter("retention.ms", "604800000");
    starts_at(third);
}

static void while_the_clock_is_not_believed_nothing_expires_by_time(void **state)
{
    (void)state;
    topic(NULL, 0);
    fill(2 * A_SEGMENT, DAY_MS);
    stays_at(0);
    wall_ahead_ms = 30 * DAY_MS;
    stays_at(0);
    alter("retention.bytes", "1000000"); /* size is no matter of clocks */
    starts_at(A_SEGMENT);
    pass(DAY_MS + 1000);
    starts_at(2 * A_SEGMENT);
}

/* Every night a laptop is away for longer than an hour: nothing would ever expire there. */
static void a_machine_that_slept_is_no_clock_that_jumped(void **state)
{
    (void)state;
    topic(NULL, 0);
    fill(2 * A_SEGMENT, 6 * DAY_MS);
    stays_at(0);
    slept_ns = 2 * 24 * 3600 * NS_PER_S;
    starts_at(2 * A_SEGMENT);
}

static void a_folder_from_before_keeps_all_for_an_hour(void **state)
{
    (void)state;
    static const struct topic_override o[] = {{"retention.ms", "-1"}};
    topic(o, 1);
    fill(2 * A_SEGMENT, 8 * DAY_MS);
    alter("retention.ms", "3600000000");
    stop();
    assert_int_equal(system("sed -i /odradek.retention/d " DIR "/data/meta.properties"), 0);
    start();
    find_partition("t");
    alter("retention.ms", "604800000");
    stays_at(0);
    pass(3600000 - 60000);
    stays_at(0);
    stop();
    start(); /* that hour was not over: another one */
    find_partition("t");
    pass(3600000 - 60000);
    stays_at(0);
    pass(61000);
    starts_at(2 * A_SEGMENT);
    struct meta m = {0};
    uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S;
    while (m.retention != META_RETENTION) { /* the next start does not wait */
        assert_true(clock_now_ns() < end);
        turn();
        assert_int_equal(meta_load(w.heap, DIR "/data", &m), ERR_NONE);
    }
    assert_true(m.format == META_FORMAT && m.cluster_id[0]);
    fill(2 * A_SEGMENT, 8 * DAY_MS);
    starts_at(4 * A_SEGMENT);
    stop();
    start();
    find_partition("t");
    assert_true(w.root->retention_marked);
}

static uint64_t number(const char *name);
static void nor_is_anything_compacted_away(void **state)
{
    (void)state;
    static const struct topic_override o[] = {{"cleanup.policy", "compact"}, {"min.cleanable.dirty.ratio", "0"}};
    topic(o, 2);
    fill(2 * A_SEGMENT + 3, 0);
    stop();
    assert_int_equal(system("sed -i /odradek.retention/d " DIR "/data/meta.properties"), 0);
    start();
    find_partition("t");
    uint64_t bytes = partition_facts(w.p).bytes;
    begin_cleaning();
    turn_for_ms(150);
    pass(3600000 - 60000);
    turn_for_ms(150);
    assert_int_equal(number("cleaner_runs"), 0);
    assert_int_equal(partition_facts(w.p).bytes, bytes);
    pass(61000);
    TURN_UNTIL(turn, w.p->cleaning.first_dirty >= w.p->active->base_offset);
    assert_true(partition_facts(w.p).bytes < bytes / 2);
}

static void an_aborted_start_of_the_log_is_found_again(void **state)
{
    (void)state;
    static const struct topic_override o[] = {{"retention.bytes", "2000000"}};
    topic(o, 1);
    for (int i = 0; i < 5; i++) {
        fill(A_SEGMENT, 0);
        int64_t begins = partition_facts(w.p).log_start_offset, ends = partition_facts(w.p).end_offset;
        kill_broker();
        forget_sent();
        start();
        find_partition("t");
        assert_true(partition_facts(w.p).log_start_offset >= begins);
        assert_int_equal(partition_facts(w.p).end_offset, ends);
        assert_int_equal(w.p->log_start_offset, base_of(0));
    }
    assert_true(partition_facts(w.p).log_start_offset > 0);
}

static void segments_roll_sooner_by_their_jitter(void **state)
{
    (void)state;
    static const struct topic_override o[] = {{"segment.jitter.ms", "3000000"}, {"segment.ms", "3600000"}};
    topic(o, 2);
    fill(1, 3600000);
    uint64_t first = w.p->active->number;
    int64_t over_in_ms = 3600000 - w.p->active->jitter_ms;
    assert_true(w.p->active->jitter_ms >= 0 && w.p->active->jitter_ms < 3000000);
    fill(1, 3600000 - over_in_ms + 60000);
    assert_int_equal(w.p->active->number, first);
    fill(1, 3600000 - over_in_ms - 60000);
    assert_int_not_equal(w.p->active->number, first);
}

static uint64_t number(const char *name)
{
    uint8_t *block = (uint8_t *)w.shard->stats;
    for (uint32_t i = 0; i < 256; i++) { /* core/stat.h has the format */
        uint32_t at;
        const uint8_t *entry = block + 24 + i * 40;
        memcpy(&at, entry + 36, sizeof at);
        if (strncmp((const char *)entry, name, 32) == 0)
            return stat_value((const struct stat_counter *)(const void *)(block + at));
    }
    fail_msg("no number is called %s", name);
    return 0;
}

static void numbers_follow(void **state)
{
    (void)state;
    static const struct topic_override o[] = {{"flush.ms", "100000000"}, {"write.caching", "true"}};
    topic(o, 2);
    fill(2 * A_SEGMENT + 3, 0);
    pass(11000);
    stays_at(0);
    assert_int_equal(number("log_bytes"), partition_facts(w.p).bytes);
    assert_int_equal(number("log_segments"), 3);
    assert_int_equal(number("at_risk_bytes"), w.p->end.position);
    assert_true(number("at_risk_ms") >= 10000 && number("at_risk_ms") < 60000);
    alter("retention.bytes", "1100000");
    starts_at(A_SEGMENT);
    files_named(".log.deleted", 1);
    pass(11000);
    stays_at(A_SEGMENT);
    assert_int_equal(number("log_segments"), 2);
    assert_int_equal(number("dropped_by_size_segments"), 1);
    assert_true(number("dropped_by_size_bytes") > 1000000);
    assert_int_equal(number("deleted_waiting_bytes"), number("dropped_by_size_bytes"));
    assert_int_equal(number("dropped_by_time_segments"), 0);
}

/* --- transactions that hang --- */

static uint32_t hanging_lines;
static bool line_says(const char *line, size_t bytes, const char *text)
{
    return memmem(line, bytes, text, strlen(text)) != NULL;
}
static void hear_of_hanging(const char *line, size_t bytes)
{
    if (!line_says(line, bytes, "transaction hangs"))
        return;
    hanging_lines++;
    assert_true(line_says(line, bytes, "partition=t-0 start_offset=0 producer_id=7"));
}
static uint64_t write_in_transaction(uint64_t guard)
{
    const struct make_batch m = {.producer_id = 7,
                                 .timestamp = clock_wall_ms(),
                                 .count = 1,
                                 .value_bytes = 10,
                                 .attributes = BATCH_TRANSACTIONAL};
    struct sent *s = append_guarded(m, guard, 11);
    until(&s->over);
    assert_int_equal(s->append.error, guard ? KERR_NONE : KERR_INVALID_TXN_STATE);
    return s->append.guard;
}
static void hangs_after(int64_t ms, uint32_t lines)
{
    pass(ms);
    stays_at(0);
    assert_int_equal(hanging_lines, lines);
}

static void transactions_that_hang_are_named_once_a_minute(void **state)
{
    (void)state;
    topic(NULL, 0);
    hanging_lines = 0;
    log_sink(hear_of_hanging);
    (void)write_in_transaction(write_in_transaction(0));
    forget_sent();
    hangs_after((15 + 5) * 60 * 1000 - 10 * 1000, 0);
    hangs_after(20 * 1000, 1);
    hangs_after(10 * 1000, 1);
    hangs_after(60 * 1000, 2);
    assert_int_equal(put_txn_marker((struct txn_marker){.producer_id = 7}).error, KERR_NONE);
    hangs_after(120 * 1000, 2);
    log_sink(NULL);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup_retention, teardown)
    struct CMUnitTest tests[] = {
        CASE(what_is_too_old_goes_up_to_the_first_that_is_not),
        CASE(what_is_too_much_goes_while_the_rest_is_enough),
        CASE(an_idle_partition_expires_whole_and_goes_on),
        CASE(what_was_active_below_the_start_goes_when_it_is_closed),
        CASE(on_a_full_disk_closed_segments_go_although_the_active_one_cannot_be_rolled),
        CASE(a_ring_that_waits_is_not_refused_while_files_go),
        CASE(on_a_full_disk_dropped_files_do_not_wait),
        CASE(what_is_not_saved_yet_keeps_only_itself),
        CASE(a_ring_with_a_wave_in_flight_waits_for_room),
        CASE(while_the_reserve_is_short_a_ring_waits_and_drops_nothing),
        CASE(a_ring_has_its_reserve_at_once_and_nobody_takes_what_is_given),
        CASE(a_ring_that_is_none_any_more_stands_in_nobodys_way),
        cmocka_unit_test_setup_teardown(the_shard_with_the_oldest_segment_drops_it_where_another_starves,
                                        setup_beside_another, teardown),
        cmocka_unit_test_setup_teardown(a_ring_keeps_what_an_open_transaction_began, setup_beside_another, teardown),
        CASE(no_more_is_dropped_than_what_is_stable),
        cmocka_unit_test_setup_teardown(behind_an_open_transaction_nobody_waits_but_its_end, setup_beside_another,
                                        teardown),
        CASE(a_roll_that_finds_no_room_is_no_append_that_waits),
        CASE(a_clock_that_goes_back_makes_nothing_older),
        CASE(files_go_when_their_delay_is_over),
        CASE(what_the_last_run_left_goes_at_a_start),
        CASE(the_policy_decides),
        CASE(records_without_a_time_expire_by_when_they_were_written),
        CASE(after_a_restart_times_are_learnt),
        CASE(while_the_clock_is_not_believed_nothing_expires_by_time),
        CASE(a_machine_that_slept_is_no_clock_that_jumped),
        CASE(a_folder_from_before_keeps_all_for_an_hour),
        CASE(nor_is_anything_compacted_away),
        CASE(an_aborted_start_of_the_log_is_found_again),
        CASE(segments_roll_sooner_by_their_jitter),
        CASE(numbers_follow),
        CASE(transactions_that_hang_are_named_once_a_minute),
    };
    return run_in_modes(tests, COUNT_OF(tests), 2);
}
