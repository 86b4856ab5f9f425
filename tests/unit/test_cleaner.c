/* The cleaner on a running shard: what readers see while segments are swapped, and everything that may happen in the midst of a cleaning,
 * after each number of turns. */
#include "storage/clean/cleaner_state.h"
#include "storage/log/deleter.h"
#include "storage/log/folder.h"
#define DIR "build/tests/unit/cleaner"
#include "tests/unit/partition_world.h"

enum { VALUE = 900, RECORDS = 100, TURNS_MAX = 400, READERS = 6, TRIM_TO = 30 };
static const struct topic_override compacted[] = {
    {"cleanup.policy", "compact"}, {"internal.segment.bytes", "20000"}, {"min.cleanable.dirty.ratio", "0"}};
static int64_t active_base;

/* --- the world: every record has the same key, so of all closed segments the last record stays --- */

static void fill(void)
{
    make_topic(compacted, COUNT_OF(compacted));
    for (int i = 0; i < RECORDS; i++) {
        append(1, VALUE);
        if (i % 20 == 19)
            all_are_acked();
    }
    uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S;
    while (w.p->space.closing) {
        assert_true(clock_now_ns() < end);
        turn();
    }
    active_base = w.p->active->base_offset;
    assert_true(w.p->segments.count >= 4);
}

static bool is_clean(void)
{
    return !w.p->cleaning.busy && w.p->cleaning.first_dirty >= active_base;
}

static void await_clean(void)
{
    uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S;
    while (!is_clean()) {
        assert_true(clock_now_ns() < end);
        turn();
    }
}

static void start_again(void)
{
    forget_sent();
    start();
    find_partition("t");
}

/* --- what is there --- */

static bool there[RECORDS];

/* One read; answers the offset behind what it gave. Below `offset` only a batch that reaches it. */
static int64_t take_read(const struct part_read *r)
{
    int64_t next = r->offset;
    static uint8_t bytes[1 << 20];
    uint32_t have = 0;
    for (uint32_t i = 0; i < r->slices.count; i++) {
        memcpy(bytes + have, r->slices.v[i].at, r->slices.v[i].bytes);
        have += r->slices.v[i].bytes;
    }
    struct batch b;
    for (uint32_t at = 0; batch_parse(bytes + at, have - at, &b) && b.bytes <= have - at; at += b.bytes) {
        assert_int_equal(batch_crc(bytes + at, b.bytes), b.crc);
        assert_true(batch_last_offset(&b) >= next);
        assert_true(b.count == 0 || b.count == 1);
        if (b.count)
            there[b.base_offset] = true;
        next = batch_last_offset(&b) + 1;
    }
    assert_true(next > r->offset);
    return next;
}

static void read_all(void)
{
    memset(there, 0, sizeof there);
    struct partition_facts f = partition_facts(w.p);
    assert_int_equal(f.high_watermark, RECORDS);
    for (int64_t at = f.log_start_offset; at < RECORDS;) {
        struct part_read r = {.offset = at, .max_bytes = 5000, .first_whole = true, .done = read_done};
        read_is_over = partition_read(w.p, &r);
        until(&read_is_over);
        assert_int_equal(r.error, KERR_NONE);
        at = take_read(&r);
        slices_deinit(&r.slices);
    }
}

static uint32_t count_there(int64_t end)
{
    uint32_t n = 0;
    for (int64_t i = 0; i < end; i++)
        n += there[i];
    return n;
}

/* Nothing that lives is lost: the last record below the active segment, and all of that. */
static void the_log_is_right(void)
{
    read_all();
    for (int64_t i = active_base - 1; i < RECORDS; i++)
        assert_true(there[i]);
}

static void only_the_latest_is_there(void)
{
    the_log_is_right();
    assert_int_equal(count_there(active_base), 1);
}

/* --- statements --- */

static void a_compacted_log_keeps_the_latest_and_opens_again(void **state)
{
    (void)state;
    fill();
    uint64_t bytes = partition_facts(w.p).bytes;
    int64_t first_ms = segments_at(&w.p->segments, 0)->written_ms,
            last_ms = segments_at(&w.p->segments, w.p->segments.count - 2)->written_ms;
    begin_cleaning();
    await_clean();
    only_the_latest_is_there();
    int64_t written_ms = segments_at(&w.p->segments, 0)->written_ms;
    assert_true(written_ms >= first_ms && written_ms <= last_ms);
    assert_true(partition_facts(w.p).bytes < bytes / 2);
    kill_broker();
    start_again();
    only_the_latest_is_there();
    stop();
    start_again();
    only_the_latest_is_there();
    begin_cleaning(); /* where it stood is known: there is nothing to do */
    for (int i = 0; i < 50; i++)
        turn();
    assert_int_equal(w.p->cleaning.first_dirty, active_base);
    append(1, VALUE);
    all_are_acked();
}

/* A record without a timestamp is as old as its segment: cleaning makes it no younger, in this run and the next. */
static void a_cleaned_segment_is_as_old_as_what_it_was_made_from(void **state)
{
    (void)state;
    fill();
    uint32_t count = w.p->segments.count;
    for (uint32_t i = 0; i + 1 < count; i++)
        segments_at(&w.p->segments, i)->written_ms = 1000000 + i;
    begin_cleaning();
    await_clean();
    for (int run = 0; run < 2; run++) {
        assert_int_equal(w.p->segments.count, count); /* none has room for another one */
        for (uint32_t i = 0; i + 1 < count; i++)
            assert_int_equal(segments_at(&w.p->segments, i)->written_ms, 1000000 + i);
        kill_broker();
        start_again();
    }
}

/* What is left of an earlier cleaning does not go while this one gives its names to others. */
static void files_of_an_earlier_cleaning_are_taken_over(void **state)
{
    (void)state;
    fill();
    struct partition *p = w.p;
    uint32_t closed = p->segments.count - 1;
    assert_true(deleter_add(p->store->deleter, p, segments_at(&p->segments, 1)->base_offset, 5));
    assert_true(deleter_add(p->store->deleter, p, active_base, 7)); /* of another place: it stays */
    begin_cleaning();
    await_clean();
    assert_int_equal(p->trimmer.unlinks, closed + 1);
    deleter_check(p->store->deleter);
    only_the_latest_is_there();
}

/* More segments than one job learns, and nothing knows their times: min.compaction.lag.ms waits for all of them. */
static void times_of_many_segments_are_learnt(void **state)
{
    (void)state;
    static const struct topic_override small[] = {{"cleanup.policy", "compact"},
                                                  {"internal.segment.bytes", "1000"},
                                                  {"min.cleanable.dirty.ratio", "0"},
                                                  {"min.compaction.lag.ms", "1"}};
    make_topic(small, COUNT_OF(small));
    for (int i = 0; i < RECORDS; i++) {
        append(1, VALUE);
        all_are_acked();
    }
    stop();
    assert_int_equal(segment_write_file(DIR "/data/t-0/" FOLDER_CLEANED, "0", 1), ERR_NONE);
    start_again();
    assert_true(w.p->segments.count > 70);
    active_base = w.p->active->base_offset;
    for (uint32_t i = 0; i + 1 < w.p->segments.count; i++)
        assert_false(segments_at(&w.p->segments, i)->times_known);
    begin_cleaning();
    await_clean();
    only_the_latest_is_there();
}

/* The time index of a segment without timestamps is empty, and tells nothing. */
static void times_of_segments_without_timestamps_are_learnt(void **state)
{
    (void)state;
    static const struct topic_override late[] = {{"cleanup.policy", "compact"},
                                                 {"internal.segment.bytes", "20000"},
                                                 {"min.cleanable.dirty.ratio", "0"},
                                                 {"min.compaction.lag.ms", "1"}};
    make_topic(late, COUNT_OF(late));
    for (int i = 0; i < RECORDS; i++) {
        (void)append_made((struct make_batch){.producer_id = -1,
                                              .producer_epoch = -1,
                                              .sequence = -1,
                                              .timestamp = -1,
                                              .count = 1,
                                              .value_bytes = VALUE});
        all_are_acked();
    }
    stop();
    assert_int_equal(segment_write_file(DIR "/data/t-0/" FOLDER_CLEANED, "0", 1), ERR_NONE);
    start_again();
    active_base = w.p->active->base_offset;
    begin_cleaning();
    await_clean();
    only_the_latest_is_there();
}

/* One that fails each time, and is looked at first, does not keep the others waiting. */
static void a_log_that_cannot_be_cleaned_holds_up_no_other(void **state)
{
    (void)state;
    char path[FS_PATH_MAX];
    fill();
    struct catalog_change c = {.kind = CATALOG_CREATE,
                               .name = "z",
                               .partitions = 1,
                               .overrides = compacted,
                               .override_count = COUNT_OF(compacted),
                               .done = change_done};
    change_is_over = false;
    catalog_change_start(w.shard, &c);
    until(&change_is_over);
    find_partition("z");
    for (int i = 0; i < RECORDS; i++) {
        append(1, VALUE);
        all_are_acked();
    }
    for (uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S; w.p->space.closing; turn())
        assert_true(clock_now_ns() < end);
    assert_true(segment_path(path, w.p->dir, segments_at(&w.p->segments, 1)->base_offset, ".log"));
    assert_int_equal(fs_unlink(path), ERR_NONE);
    find_partition("t");
    begin_cleaning();
    await_clean();
    find_partition("z");
    assert_false(w.p->cleaning.refused);
    assert_true(w.p->cleaning.failed);
    forget_sent(); /* it is no log that a test could compare */
}

static struct reader {
    struct part_read read;
    bool busy;
    uint32_t ended;
} readers[READERS];
static uint32_t reads;

static void reader_done(struct part_read *r)
{
    struct reader *me = container_of(r, struct reader, read);
    assert_true(me->busy);
    me->busy = false;
    reads++;
    assert_int_equal(r->error, KERR_NONE);
    (void)take_read(r);
    slices_deinit(&r->slices);
}

static uint32_t lookups;
static bool looking;
static void reader_looked_up(struct time_lookup *l)
{
    looking = false;
    lookups++;
    assert_int_equal(l->error, KERR_NONE);
    assert_true(l->found_offset >= 0);
    assert_true(l->max || l->found_timestamp >= l->timestamp);
}

static void step_readers(struct rng *rng)
{
    static struct time_lookup l;
    for (uint32_t i = 0; i < READERS; i++) {
        struct reader *me = &readers[i];
        if (me->busy || (i > 0 && rng_below(rng, 3)))
            continue;
        me->read = (struct part_read){
            .offset = (int64_t)rng_below(rng, RECORDS), .max_bytes = 3000, .first_whole = true, .done = reader_done};
        me->busy = true;
        if (partition_read(w.p, &me->read))
            reader_done(&me->read);
    }
    if (!looking) {
        l = (struct time_lookup){.timestamp = 1000, .max = rng_below(rng, 2), .done = reader_looked_up};
        looking = true;
        if (partition_lookup(w.p, &l))
            reader_looked_up(&l);
    }
}

static void readers_and_lookups_go_on_while_segments_are_swapped(void **state)
{
    (void)state;
    struct rng rng = {.state = 7};
    fill();
    fall_idle(); /* or all of it is read from memory */
    begin_cleaning();
    uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S;
    while (!is_clean()) {
        assert_true(clock_now_ns() < end);
        step_readers(&rng);
        turn();
    }
    for (uint32_t i = 0; i < READERS || looking; i++) {
        while (i < READERS && readers[i].busy)
            turn();
        if (looking)
            turn();
    }
    assert_true(reads > 10 && lookups > 1);
    only_the_latest_is_there();
}

/* While names mean other files than the list says, nothing is looked up: it would be in vain, again and again. */
static void lookups_wait_for_a_swap(void **state)
{
    (void)state;
    static struct time_lookup l;
    fill();
    struct segment *first = segments_at(&w.p->segments, 0);
    struct log_store *ls = w.p->store;
    first->users++; /* somebody reads it */
    begin_cleaning();
    for (uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S; !w.p->cleaning.swapping; turn())
        assert_true(clock_now_ns() < end);
    l = (struct time_lookup){.timestamp = 1000, .done = reader_looked_up};
    looking = true;
    assert_false(partition_lookup(w.p, &l));
    for (int i = 0; i < 20; i++) {
        turn();
        assert_int_equal(ls->lookups, 0);
    }
    assert_true(looking && w.p->cleaning.swapping);
    first->users--;
    ls->cleaning_step(ls, w.p);
    for (uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S; looking; turn())
        assert_true(clock_now_ns() < end);
    await_clean();
    assert_ptr_equal(segments_at(&w.p->segments, 0)->index.heap, ls->index_heap); /* it counts */
    only_the_latest_is_there();
}

static void await_pace(const struct cleaner *c, const struct broker_config *config)
{
    cleaner_configure(store_of(w.shard)->log.cleaner, config);
    for (uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S; !c->run || c->run->state != RUN_PACED; turn())
        assert_true(clock_now_ns() < end);
}

/* A pace that would take days counts until it is altered. */
static void another_pace_counts_at_once(void **state)
{
    (void)state;
    struct cleaner *c = store_of(w.shard)->log.cleaner;
    struct broker_config other = *store_of(w.shard)->config, slow = other;
    fill();
    slow.cleaner_backoff_ms = other.cleaner_backoff_ms = 1;
    slow.cleaner_bytes_per_second = 1;
    await_pace(c, &slow);
    slow.cleaner_enable = false;
    cleaner_configure(c, &slow);
    for (uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S; w.p->cleaning.busy; turn())
        assert_true(clock_now_ns() < end);
    slow.cleaner_enable = true;
    await_pace(c, &slow);
    cleaner_configure(c, &other);
    await_clean();
    only_the_latest_is_there();
    cleaner_configure(c, store_of(w.shard)->config);
}

/* How long it owed at most while it cleaned a log from scratch, with or without somebody who writes to others; so many bytes came to compacted
 * logs since it began. */
enum others { NOBODY_WRITES, ONE_WROTE_LATELY, ONE_WAVE_IS_UNDER_WAY };
static uint64_t longest_owed_ns(enum others others, uint64_t came)
{
    struct cleaner *c = store_of(w.shard)->log.cleaner;
    uint64_t owed = 0;
    fill();
    begin_cleaning();
    c->store->waves_under_way += others == ONE_WAVE_IS_UNDER_WAY;
    for (uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S; !is_clean(); turn()) {
        assert_true(clock_now_ns() < end);
        c->store->wave_ended_ns =
            others == ONE_WROTE_LATELY ? w.shard->now_ns + WAIT_S * NS_PER_S : 0; /* however long the turn */
        if (c->run)
            c->store->compacted_bytes = c->run->begun_compacted_bytes + came;
        if (c->run && c->run->work.step == CLEAN_FILTER)
            assert_int_equal(c->run->work.read_bytes, others == NOBODY_WRITES ? CLEAN_READ_MAX : CLEAN_READ_SMALL);
        if (c->run && c->free_at_ns > w.shard->now_ns && c->free_at_ns - w.shard->now_ns > owed)
            owed = c->free_at_ns - w.shard->now_ns;
    }
    c->store->waves_under_way -= others == ONE_WAVE_IS_UNDER_WAY;
    only_the_latest_is_there();
    return owed;
}

static void it_rests_while_producers_write(void **state)
{
    (void)state;
    assert_in_range(longest_owed_ns(ONE_WROTE_LATELY, 0), 1, CLEAN_YIELD_MS_MAX * NS_PER_MS);
}

/* On a busy disk a wave takes longer than a step. */
static void and_while_a_wave_outlasts_its_steps(void **state)
{
    (void)state;
    assert_in_range(longest_owed_ns(ONE_WAVE_IS_UNDER_WAY, 0), 1, CLEAN_YIELD_MS_MAX * NS_PER_MS);
}

static void and_does_not_while_nobody_does(void **state)
{
    (void)state;
    assert_int_equal(longest_owed_ns(NOBODY_WRITES, 0), 0);
}

static void and_does_not_while_more_comes_in_than_it_cleans(void **state)
{
    (void)state;
    assert_int_equal(longest_owed_ns(ONE_WROTE_LATELY, 1ull << 40), 0);
}

/* Of some 92,000 dirty bytes, all of which are read twice. */
static void and_rests_again_when_it_has_caught_up(void **state)
{
    (void)state;
    assert_in_range(longest_owed_ns(ONE_WROTE_LATELY, 10000), 1, CLEAN_YIELD_MS_MAX * NS_PER_MS);
}

static void what_comes_to_compacted_logs_is_counted(void **state)
{
    (void)state;
    fill();
    assert_in_range(store_of(w.shard)->log.compacted_bytes, RECORDS * VALUE, 2 * RECORDS * VALUE);
}

static void and_what_comes_to_others_is_no_work_for_it(void **state)
{
    (void)state;
    make_topic(compacted + 1, 1);
    append(1, VALUE);
    all_are_acked();
    assert_int_equal(store_of(w.shard)->log.compacted_bytes, 0);
}

/* --- what happens in the midst of it: after so many turns; false: it was over before --- */

static bool turn_into_cleaning(uint32_t turns)
{
    begin_cleaning();
    bool over = false, begun = false;
    uint32_t steps = 0;
    for (uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S; steps < turns && !over; steps += begun) {
        assert_true(clock_now_ns() < end);
        turn();
        begun |= w.p->cleaning.busy;
        over = is_clean();
    }
    return !over;
}

static bool trims_over;
static void trim_done(struct log_trim *t)
{
    assert_int_equal(t->error, KERR_NONE);
    trims_over = true;
}

static void move_the_start(void)
{
    static struct log_trim t;
    t = (struct log_trim){.before = TRIM_TO, .done = trim_done};
    trims_over = false;
    partition_trim(w.p, &t);
    until(&trims_over);
    await_clean(); /* by this cleaning or the next */
    assert_int_equal(partition_facts(w.p).log_start_offset, TRIM_TO);
    only_the_latest_is_there();
    kill_broker();
    start_again();
    assert_int_equal(partition_facts(w.p).log_start_offset, TRIM_TO);
    only_the_latest_is_there();
}

static void kill_it(void)
{
    kill_broker();
    start_again();
    the_log_is_right();
    begin_cleaning();
    await_clean();
    only_the_latest_is_there();
}

static void stop_it(void)
{
    stop();
    start_again();
    the_log_is_right();
}

static void delete_it(void)
{
    struct catalog_change c;
    delete_begin(&c);
    until(&change_is_over);
    assert_int_equal(c.error, KERR_NONE);
    w.p = NULL;
    assert_int_equal(access(DIR "/data/t-0", F_OK), -1);
}

static void take_it_offline(void)
{
    partition_offline(w.p, "a test");
    uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S;
    while (w.p->cleaning.busy) {
        assert_true(clock_now_ns() < end);
        turn();
    }
    kill_broker();
    start_again();
    the_log_is_right();
}

static void change_the_policy(void)
{
    quick.cleaner_enable = false;
    uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S;
    while (w.p->cleaning.busy) {
        assert_true(clock_now_ns() < end);
        turn();
    }
    the_log_is_right();
}

static void at_each_turn(void **state, void (*what)(void))
{
    bool in_the_midst = true;
    uint32_t step = w.mode == &modes[0] ? 2 : 7; /* the other mode is the same to the cleaner */
    for (uint32_t n = 1; in_the_midst; n += step) {
        assert_true(n < TURNS_MAX);
        if (n > 1)
            assert_int_equal(setup(state), 0);
        fill();
        in_the_midst = turn_into_cleaning(n);
        what();
        if (in_the_midst)
            assert_int_equal(teardown(state), 0);
        assert_true(in_the_midst || n > 5);
    }
}

static void the_log_start_may_move(void **state)
{
    at_each_turn(state, move_the_start);
}
static void the_broker_may_be_killed(void **state)
{
    at_each_turn(state, kill_it);
}
static void the_broker_may_stop(void **state)
{
    at_each_turn(state, stop_it);
}
static void the_topic_may_be_deleted(void **state)
{
    at_each_turn(state, delete_it);
}
static void the_partition_may_go_offline(void **state)
{
    at_each_turn(state, take_it_offline);
}
static void the_cleaner_may_be_turned_off(void **state)
{
    at_each_turn(state, change_the_policy);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    struct CMUnitTest tests[] = {
        CASE(a_compacted_log_keeps_the_latest_and_opens_again),
        CASE(a_cleaned_segment_is_as_old_as_what_it_was_made_from),
        CASE(files_of_an_earlier_cleaning_are_taken_over),
        CASE(times_of_many_segments_are_learnt),
        CASE(times_of_segments_without_timestamps_are_learnt),
        CASE(a_log_that_cannot_be_cleaned_holds_up_no_other),
        CASE(readers_and_lookups_go_on_while_segments_are_swapped),
        CASE(lookups_wait_for_a_swap),
        CASE(another_pace_counts_at_once),
        CASE(it_rests_while_producers_write),
        CASE(and_while_a_wave_outlasts_its_steps),
        CASE(and_does_not_while_nobody_does),
        CASE(and_does_not_while_more_comes_in_than_it_cleans),
        CASE(and_rests_again_when_it_has_caught_up),
        CASE(what_comes_to_compacted_logs_is_counted),
        CASE(and_what_comes_to_others_is_no_work_for_it),
        CASE(the_log_start_may_move),
        CASE(the_broker_may_be_killed),
        CASE(the_broker_may_stop),
        CASE(the_topic_may_be_deleted),
        CASE(the_partition_may_go_offline),
        CASE(the_cleaner_may_be_turned_off),
    };
    return run_in_modes(tests, COUNT_OF(tests), 2);
}
