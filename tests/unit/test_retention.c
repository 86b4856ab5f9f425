/* Retention of real partitions: what goes by time and size, when its files go, and what holds it. The clocks are the test's. */
#define DIR "build/tests/unit/retention"
#include "tests/unit/retention_world.h"

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
    alter_setting("retention.ms", "604800000");
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
    alter_setting("retention.bytes", text); /* without the first a byte would be missing */
    stays_at(0);
    snprintf(text, sizeof text, "%llu", (unsigned long long)(total - first));
    alter_setting("retention.bytes", text);
    starts_at(second);
    stays_at(second);
    snprintf(text, sizeof text, "%llu", (unsigned long long)(total - 2 * first));
    alter_setting("retention.bytes", text);
    starts_at(third);
    alter_setting("retention.bytes", "0"); /* the active one too */
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

static void a_clock_that_goes_back_makes_nothing_older(void **state)
{
    (void)state;
    static const struct topic_override o[] = {{"retention.ms", "-1"}};
    topic(o, 1);
    fill(A_SEGMENT + 1, 0);
    int64_t first_ms = segments_at(&w.p->segments, 0)->written_ms;
    int64_t aside_ms = clock_wall_ms() - first_ms; /* either way: a machine's clock is put right now and then */
    assert_true(aside_ms > -20000 && aside_ms < 20000);
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

/* However many wait: a topic that was deleted with a hundred thousand of them took one turn for all. */
static void what_a_deleted_partition_leaves_is_let_go_of_in_steps(void **state)
{
    (void)state;
    enum { FILES = 1000, AT_ONCE_MAX = 256 };
    topic(NULL, 0);
    struct deleter *d = w.p->store->deleter;
    for (int i = 0; i < FILES; i++)
        assert_true(deleter_add(d, w.p, 1000000 + i, 1));
    struct catalog_change c;
    delete_begin(&c);
    uint64_t left = FILES;
    while (left > 0) {
        turn();
        assert_true(left - deleter_bytes(d) <= AT_ONCE_MAX);
        left = deleter_bytes(d);
        deleter_check(d);
    }
    until(&change_is_over);
    assert_int_equal(c.error, KERR_NONE);
}

static void what_is_due_sooner_does_not_stand_behind_what_waits_longer(void **state)
{
    (void)state;
    static const struct topic_override o[] = {{"file.delete.delay.ms", "600000"}, {"retention.bytes", "1"}};
    topic(o, 2);
    fill(2 * A_SEGMENT, 0);
    files_named(".log.deleted", 1);
    alter_setting("file.delete.delay.ms", "50");
    fill(A_SEGMENT, 0);
    starts_at(2 * A_SEGMENT);
    stays_at(2 * A_SEGMENT);
    files_named(".log.deleted", 1);
    pass(601000);
    files_named(".deleted", 0);
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
        alter_setting("cleanup.policy", policies[i].text);
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
    alter_setting("retention.ms", "604800000");
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
    alter_setting("retention.bytes", "1000000"); /* size is no matter of clocks */
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
    alter_setting("retention.ms", "3600000000");
    stop();
    assert_int_equal(system("sed -i /odradek.retention/d " DIR "/data/meta.properties"), 0);
    start();
    find_partition("t");
    alter_setting("retention.ms", "604800000");
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
    alter_setting("retention.bytes", "1100000");
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
static void hangs_after(int64_t ms, uint32_t lines)
{
    const int64_t stride_ms = 4 * 60 * 1000; /* what passes at once is time in which the shard stood still */
    for (; ms > stride_ms; ms -= stride_ms, stays_at(0))
        pass(stride_ms);
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
    pass(3600 * 1000); /* nobody could end it: it is not said to hang before it had its time again */
    hangs_after(0, 2);
    hangs_after((15 + 5) * 60 * 1000 - 10 * 1000, 2);
    hangs_after(20 * 1000, 3);
    assert_int_equal(put_txn_marker((struct txn_marker){.producer_id = 7}).error, KERR_NONE);
    hangs_after(120 * 1000, 3);
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
        CASE(a_clock_that_goes_back_makes_nothing_older),
        CASE(files_go_when_their_delay_is_over),
        CASE(what_a_deleted_partition_leaves_is_let_go_of_in_steps),
        CASE(what_is_due_sooner_does_not_stand_behind_what_waits_longer),
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
