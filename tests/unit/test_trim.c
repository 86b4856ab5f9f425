/* The log's start moves: what goes, what stays, who hears of it, and what a restart of any kind finds. */
#define log_start_save real_log_start_save
#include "storage/log/log_start.c"
#undef log_start_save
#include "storage/log/folder.h"
#define DIR "build/tests/unit/trim"
#include "tests/unit/partition_world.h"

enum { VALUE = 60000, BATCHES = 60 }; /* 17 batches of one record make a segment */
static const struct topic_override small[] = {{"segment.bytes", "1048576"}};
static const struct topic_override caching[] = {
    {"segment.bytes", "1048576"}, {"write.caching", "true"}, {"flush.ms", "1000000"}};
#define LOG DIR "/data/t-0"

/* While this file is there the disk is full. */
static const char *in_the_way;
enum err log_start_save(const char *dir, const char *topic, int32_t partition, int64_t offset) must_use;
enum err log_start_save(const char *dir, const char *topic, int32_t partition, int64_t offset)
{
    return in_the_way && access(in_the_way, F_OK) == 0 ? ERR_NO_SPACE
                                                       : real_log_start_save(dir, topic, partition, offset);
}

/* --- the world --- */

static void crash(void)
{
    kill_broker();
    forget_sent();
    start();
    find_partition("t");
}

static void fill(const struct topic_override *overrides, uint32_t count)
{
    make_topic(overrides, count);
    for (int i = 0; i < BATCHES; i++) {
        append(1, VALUE);
        if (i % 20 == 19)
            all_are_acked();
    }
}

static uint32_t trims_over;
static void trim_done(struct log_trim *t)
{
    (void)t;
    trims_over++;
}
static enum kerr trim(int64_t before, int64_t *out_low)
{
    struct log_trim t = {.before = before, .done = trim_done};
    trims_over = 0;
    partition_trim(w.p, &t);
    assert_int_equal(trims_over, 0); /* never inside the call */
    uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S;
    while (!trims_over) {
        assert_true(clock_now_ns() < end);
        turn();
    }
    if (out_low)
        *out_low = t.low_watermark;
    return t.error;
}
static void must_trim(int64_t before)
{
    int64_t low;
    assert_int_equal(trim(before, &low), KERR_NONE);
    assert_int_equal(low, before);
    assert_int_equal(partition_facts(w.p).log_start_offset, before);
    assert_true(w.p->durable.offset >= before);
}

static uint32_t count_segments(void)
{
    return w.p->segments.count;
}
static uint32_t count_files(void)
{
    struct folder f;
    assert_int_equal(folder_read(&f, w.heap, LOG), ERR_NONE);
    uint32_t n = f.segments.count;
    folder_close(&f);
    return n;
}
static void files_are(uint32_t count)
{
    uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S;
    while (count_files() != count) {
        assert_true(clock_now_ns() < end);
        turn();
    }
}

static enum kerr read_at(int64_t offset)
{
    struct part_read r = {.offset = offset, .max_bytes = 1000, .first_whole = true, .done = read_done};
    read_is_over = partition_read(w.p, &r);
    until(&read_is_over);
    if (r.error == KERR_NONE)
        assert_int_equal((int64_t)be64_get(r.slices.v[0].at), offset);
    slices_deinit(&r.slices);
    return r.error;
}

static int64_t look_up(int64_t timestamp, bool max)
{
    struct time_lookup l = look_up_by_time(timestamp, max, false);
    assert_int_equal(l.error, KERR_NONE);
    return l.found_offset;
}

/* --- statements --- */

static void what_lies_below_the_start_is_gone_and_the_rest_stays(void **state)
{
    (void)state;
    fill(small, 1);
    uint32_t segments = count_segments();
    assert_true(segments >= 4);
    assert_int_equal(count_files(), segments);
    uint64_t bytes = partition_facts(w.p).bytes;
    must_trim(5); /* within the first segment: nothing goes */
    assert_int_equal(count_segments(), segments);
    must_trim(20);
    assert_int_equal(count_segments(), segments - 1);
    assert_true(partition_facts(w.p).bytes < bytes);
    files_are(segments - 1);
    assert_int_equal(read_at(19), KERR_OFFSET_OUT_OF_RANGE);
    assert_int_equal(read_at(20), KERR_NONE);
    assert_int_equal(read_at(BATCHES - 1), KERR_NONE);
    assert_int_equal(partition_epoch_at(w.p, 20), w.root->leader_epoch);
    assert_int_equal(w.p->epochs.v[0].start_offset, 20);
}

static void a_start_that_cannot_be_is_refused_and_one_below_changes_nothing(void **state)
{
    (void)state;
    int64_t low;
    fill(small, 1);
    assert_int_equal(trim(BATCHES + 1, &low), KERR_OFFSET_OUT_OF_RANGE);
    assert_int_equal(low, -1);
    assert_int_equal(trim(-2, NULL), KERR_OFFSET_OUT_OF_RANGE);
    must_trim(30);
    assert_int_equal(trim(10, &low), KERR_NONE);
    assert_int_equal(low, 30);
    assert_int_equal(trim(0, &low), KERR_NONE);
    assert_int_equal(low, 30);
}

static void everything_can_go_and_the_log_goes_on(void **state)
{
    (void)state;
    int64_t low;
    fill(small, 1);
    assert_int_equal(trim(-1, &low), KERR_NONE);
    assert_int_equal(low, BATCHES);
    assert_int_equal(count_segments(), 1);
    assert_int_equal(read_at(BATCHES - 1), KERR_OFFSET_OUT_OF_RANGE);
    struct sent *s = append(1, 100);
    until(&s->over);
    assert_int_equal(s->append.base_offset, BATCHES);
    assert_int_equal(s->append.log_start_offset, BATCHES);
    forget_sent();
    assert_int_equal(read_at(BATCHES), KERR_NONE);
    for (int round = 0; round < 2; round++) {
        crash();
        assert_int_equal(partition_facts(w.p).log_start_offset, BATCHES);
        assert_int_equal(partition_facts(w.p).end_offset, BATCHES + 1);
        stop();
        start();
        find_partition("t");
        assert_int_equal(partition_facts(w.p).log_start_offset, BATCHES);
        assert_int_equal(read_at(BATCHES), KERR_NONE);
    }
}

static void a_partition_without_a_file_has_nothing_to_move(void **state)
{
    (void)state;
    int64_t low;
    make_topic(NULL, 0);
    assert_int_equal(trim(-1, &low), KERR_NONE);
    assert_int_equal(low, 0);
    assert_int_equal(trim(1, NULL), KERR_OFFSET_OUT_OF_RANGE);
    assert_int_equal(access(LOG, F_OK), -1);
}

static void with_caching_the_start_is_durable_with_all_before_it(void **state)
{
    (void)state;
    fill(caching, COUNT_OF(caching));
    assert_true(w.p->durable.offset < BATCHES);
    must_trim(BATCHES - 1);
    crash();
    assert_int_equal(partition_facts(w.p).log_start_offset, BATCHES - 1);
    assert_int_equal(read_at(BATCHES - 1), KERR_NONE);
}

static void every_stop_and_every_crash_finds_the_start(void **state)
{
    (void)state;
    fill(small, 1);
    for (int64_t start_at = 3; start_at < BATCHES; start_at += 8) {
        must_trim(start_at);
        if (start_at % 3)
            crash();
        else
            stop(), start(), find_partition("t");
        assert_int_equal(w.p->condition, PARTITION_OPEN);
        assert_int_equal(partition_facts(w.p).log_start_offset, start_at);
        assert_int_equal(partition_facts(w.p).end_offset, BATCHES);
        assert_int_equal(count_files(), count_segments());
        assert_int_equal(read_at(start_at - 1), KERR_OFFSET_OUT_OF_RANGE);
        assert_int_equal(read_at(start_at), KERR_NONE);
    }
}

/* The start was saved, and then the power went: before any file was gone, or with the oldest one back. */
static void segments_that_a_crash_left_below_the_start_go(void **state)
{
    (void)state;
    fill(small, 1);
    uint32_t segments = count_segments();
    stop();
    assert_int_equal(log_start_save(LOG, "t", 0, 40), ERR_NONE);
    start();
    find_partition("t");
    assert_int_equal(partition_facts(w.p).log_start_offset, 40);
    assert_true(count_segments() < segments);
    assert_int_equal(count_files(), count_segments());
    assert_int_equal(read_at(40), KERR_NONE);
    crash();
    assert_int_equal(partition_facts(w.p).log_start_offset, 40);
    assert_int_equal(read_at(BATCHES - 1), KERR_NONE);
}

/* It was durable up to there before the start was saved: who lost it lost what was acknowledged. */
static void a_start_beyond_the_log_or_a_damaged_file_is_set_aside(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "0\n1\nt 0 -4\n", "0\n1\nt 0 4", "1\n1\nt 0 4\n", "0\n1\n4\n", "0\n1\nt 0 99999999999999999999\n"};
    fill(small, 1);
    for (size_t i = 0; i <= COUNT_OF(bad); i++) {
        crash();
        assert_int_equal(w.p->condition, PARTITION_OPEN);
        if (i < COUNT_OF(bad))
            assert_int_equal(segment_write_file(LOG "/log-start-offset-checkpoint", bad[i], strlen(bad[i])), ERR_NONE);
        else
            assert_int_equal(log_start_save(LOG, "t", 0, BATCHES + 1), ERR_NONE);
        crash();
        assert_int_equal(w.p->condition, PARTITION_OFFLINE);
        assert_int_equal(trim(1, NULL), KERR_KAFKA_STORAGE_ERROR);
        assert_int_equal(unlink(LOG "/log-start-offset-checkpoint"), 0);
    }
}

static void several_at_a_time_become_one(void **state)
{
    (void)state;
    fill(small, 1);
    static struct log_trim t[8];
    static const int64_t before[] = {10, 30, 20, 61, -1, 59, 0, 45};
    trims_over = 0;
    for (int i = 0; i < 8; i++) {
        t[i] = (struct log_trim){.before = before[i], .done = trim_done};
        partition_trim(w.p, &t[i]);
    }
    uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S;
    while (trims_over < 8) {
        assert_true(clock_now_ns() < end);
        turn();
    }
    for (int i = 0; i < 8; i++) {
        assert_int_equal(t[i].error, before[i] == 61 ? KERR_OFFSET_OUT_OF_RANGE : KERR_NONE);
        if (before[i] != 61)
            assert_true(t[i].low_watermark >= before[i]);
    }
    assert_int_equal(partition_facts(w.p).log_start_offset, BATCHES);
}

/* One read is on the disk, one waits for its turn (the end of this one), one comes when the start has moved. */
static void reads_below_the_new_start_end_well_or_out_of_range(void **state)
{
    (void)state;
    fill(small, 1);
    for (int turns = 0; turns < 6; turns++) {
        tail_clear(&w.p->tail);
        w.p->space.state = SPACE_CLOSED;
        int64_t at = partition_facts(w.p).log_start_offset;
        struct part_read r = {.offset = at, .max_bytes = 1 << 20, .first_whole = true, .done = read_done};
        struct log_trim t = {.before = at + 9, .done = trim_done};
        trims_over = 0;
        read_is_over = partition_read(w.p, &r);
        assert_false(read_is_over);
        for (int i = 0; i < turns / 2; i++)
            turn();
        partition_trim(w.p, &t);
        until(&read_is_over);
        while (!trims_over)
            turn();
        assert_int_equal(t.error, KERR_NONE);
        assert_true(r.error == KERR_NONE || r.error == KERR_OFFSET_OUT_OF_RANGE);
        if (r.error == KERR_NONE)
            assert_int_equal((int64_t)be64_get(r.slices.v[0].at), at);
        slices_deinit(&r.slices);
        assert_int_equal(w.p->condition, PARTITION_OPEN);
        assert_int_equal(read_at(at + 9), KERR_NONE);
    }
    files_are(count_segments());
}

/* The file of a segment that is being read goes when the read is over. */
static void a_segment_that_is_read_keeps_its_file(void **state)
{
    (void)state;
    fill(small, 1);
    uint32_t segments = count_segments();
    struct segment *first = segments_at(&w.p->segments, 0);
    first->users++;
    must_trim(50);
    assert_ptr_equal(w.p->trimmer.dropped.next, &first->link);
    files_are(count_segments() + 1);
    assert_true(count_segments() < segments);
    first->users--;
    trim_step(w.p);
    files_are(count_segments());
    assert_true(list_empty(&w.p->trimmer.dropped));
}

static struct sent *append_at_time(int64_t timestamp)
{
    return append_made((struct make_batch){.producer_id = -1,
                                           .producer_epoch = -1,
                                           .sequence = -1,
                                           .timestamp = timestamp,
                                           .count = 1,
                                           .value_bytes = VALUE});
}

static void times_below_the_start_are_not_found(void **state)
{
    (void)state;
    make_topic(small, 1);
    for (int i = 0; i < 40; i++)
        append_at_time(i == 3 ? 9000 : i == 30 ? 5000 : 1000 + i); /* the youngest two stand far in front */
    all_are_acked();
    assert_int_equal(look_up(1000, false), 0);
    assert_int_equal(look_up(0, true), 3);
    must_trim(3);
    assert_int_equal(look_up(1000, false), 3);
    assert_int_equal(look_up(0, true), 3);
    must_trim(4);
    assert_int_equal(look_up(1000, false), 4);
    assert_int_equal(look_up(6000, false), -1);
    assert_int_equal(look_up(0, true), 30);
    must_trim(31);
    assert_int_equal(look_up(0, true), 39);
    assert_int_equal(look_up(1035, false), 35);
    must_trim(40);
    assert_int_equal(look_up(0, true), -1);
}

/* A look-up is under way while its files go. */
static void a_look_up_whose_files_go_looks_again(void **state)
{
    (void)state;
    fill(small, 1);
    struct time_lookup l = {.timestamp = 0, .done = looked_up};
    struct log_trim t = {.before = 50, .done = trim_done};
    lookups_over = trims_over = 0;
    partition_trim(w.p, &t);
    assert_false(partition_lookup(w.p, &l));
    uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S;
    while (!lookups_over || !trims_over) {
        assert_true(clock_now_ns() < end);
        turn();
    }
    assert_int_equal(l.error, KERR_NONE);
    assert_true(l.found_offset == 50 || l.found_offset == 0); /* 0: it was answered before the start moved */
    assert_int_equal(look_up(0, false), 50);
}

static void a_trim_that_meets_a_stop_or_a_deletion_is_answered(void **state)
{
    (void)state;
    fill(small, 1);
    for (int turns = 0; turns < 4; turns++) {
        struct log_trim t = {.before = 10 + 10 * turns, .done = trim_done};
        trims_over = 0;
        partition_trim(w.p, &t);
        for (int i = 0; i < turns; i++)
            turn();
        stop_begin();
        until(&store_is_stopped);
        assert_int_equal(trims_over, 1);
        assert_true(t.error == KERR_NONE || t.error == KERR_NOT_LEADER_OR_FOLLOWER);
        stop_end();
        start();
        find_partition("t");
        assert_true(w.root->clean);
        assert_true(t.error != KERR_NONE || partition_facts(w.p).log_start_offset == t.before);
        assert_int_equal(read_at(BATCHES - 1), KERR_NONE);
    }
    struct catalog_change c;
    struct log_trim t = {.before = BATCHES, .done = trim_done}, late = t;
    trims_over = 0;
    partition_trim(w.p, &t);
    uint8_t id[16];
    memcpy(id, w.p->topic->id, 16);
    delete_begin(&c);
    struct partition *p;
    while ((p = store_partition(store_of(w.shard), id, 0)) && p->condition == PARTITION_OPEN)
        turn();
    uint32_t expected = 1;
    if (p) { /* still waiting for what is in flight */
        partition_trim(p, &late);
        expected++;
    }
    until(&change_is_over);
    assert_int_equal(trims_over, expected);
    if (expected == 2)
        assert_int_equal(late.error, KERR_UNKNOWN_TOPIC_OR_PARTITION);
    assert_true(t.error == KERR_NONE || t.error == KERR_UNKNOWN_TOPIC_OR_PARTITION);
    assert_int_equal(access(LOG, F_OK), -1);
}

static void a_failed_save_takes_the_partition_offline_and_says_so(void **state)
{
    (void)state;
    fill(small, 1);
    assert_int_equal(system("mkdir " LOG "/log-start-offset-checkpoint"), 0); /* a rename over it fails */
    assert_int_equal(trim(20, NULL), KERR_KAFKA_STORAGE_ERROR);
    assert_int_equal(w.p->condition, PARTITION_OFFLINE);
    assert_int_equal(trim(20, NULL), KERR_KAFKA_STORAGE_ERROR);
    assert_int_equal(system("rmdir " LOG "/log-start-offset-checkpoint"), 0);
    crash();
    assert_int_equal(partition_facts(w.p).log_start_offset, 0);
    must_trim(20);
}

/* --- all of it at random --- */

static struct life {
    struct rng rng;
    struct log_trim trims[4];
    uint32_t trims_out;
    struct catalog_change change;
    struct config_op op;
    bool changing;
    int64_t start, least; /* acknowledged; a trim that was not answered may have moved it further */
    int64_t end, most;    /* acknowledged; appended */
} life;

static void life_trimmed(struct log_trim *t)
{
    life.trims_out--;
    assert_true(t->error == KERR_NONE || t->error == KERR_NOT_LEADER_OR_FOLLOWER);
    if (t->error)
        return;
    assert_true(t->low_watermark >= t->before && t->low_watermark >= life.start);
    life.start = t->low_watermark;
    assert_true(w.p->durable.offset >= life.start);
}
static void life_trim(void)
{
    if (life.trims_out > 0)
        return;
    struct log_trim *t = &life.trims[0];
    int64_t hw = partition_facts(w.p).high_watermark;
    *t = (struct log_trim){.before = (int64_t)(rng_next(&life.rng) % (uint64_t)(hw + 1)), .done = life_trimmed};
    if (rng_next(&life.rng) % 8)
        t->before = (life.start * 3 + t->before) / 4; /* mostly small steps */
    life.least = t->before > life.least ? t->before : life.least;
    life.trims_out++;
    partition_trim(w.p, t);
}
static void life_changed(struct catalog_change *c)
{
    assert_int_equal(c->error, KERR_NONE);
    life.changing = false;
    bool strict = topic_config_acks_durable(&w.p->topic->config);
    assert_true(!strict || w.p->writer.wave || w.p->durable.offset == w.p->promised.offset);
}
static void life_change(void)
{
    if (life.changing)
        return;
    life.op = (struct config_op){"write.caching", CONFIG_OP_SET, rng_next(&life.rng) % 2 ? "true" : "false"};
    life.change = (struct catalog_change){.kind = CATALOG_CONFIG, .ops = &life.op, .op_count = 1, .done = life_changed};
    memcpy(life.change.topic_id, w.p->topic->id, 16);
    life.changing = true;
    catalog_change_start(w.shard, &life.change);
}
static void life_count(void)
{
    for (uint32_t i = 0; i < w.sent_count; i++) {
        const struct append *a = &w.sent[i].append;
        if (w.sent[i].over && a->error == KERR_NONE && a->base_offset + w.sent[i].count > life.end)
            life.end = a->base_offset + w.sent[i].count;
    }
}
static void life_restart(bool clean)
{
    if (clean) {
        stop_begin();
        until(&store_is_stopped);
        life_count();
        stop_end();
        forget_sent();
        start();
        find_partition("t");
    } else {
        life_count();
        crash();
    }
    struct partition_facts f = partition_facts(w.p);
    assert_int_equal(w.p->condition, PARTITION_OPEN);
    assert_true(f.log_start_offset >= life.start && f.log_start_offset <= life.least);
    assert_true(f.end_offset >= life.end);
    assert_int_equal(count_files(), count_segments());
    life.start = life.least = f.log_start_offset;
    life.end = f.end_offset;
    life.trims_out = 0;
    life.changing = false;
}
static void life_check(void)
{
    int64_t at = partition_facts(w.p).log_start_offset, end = partition_facts(w.p).high_watermark;
    if (at > 0)
        assert_int_equal(read_at(at - 1), KERR_OFFSET_OUT_OF_RANGE);
    if (at < end && read_at(at) != KERR_NONE) /* the start moved meanwhile */
        assert_true(partition_facts(w.p).log_start_offset > at);
}

static void a_random_life_keeps_what_was_promised(void **state)
{
    (void)state;
    static const struct topic_override tiny[] = {{"internal.segment.bytes", "20000"}, {"flush.ms", "1000000"}};
    life = (struct life){.rng = {.state = 42}};
    make_topic(tiny, COUNT_OF(tiny));
    uint32_t restarts = 0;
    for (int step = 0; step < 4000; step++) {
        uint64_t dice = rng_next(&life.rng) % 100;
        if (dice < 60 && w.sent_count < APPENDS_MAX)
            append(1, (uint32_t)(rng_next(&life.rng) % 3000));
        else if (dice < 80)
            turn();
        else if (dice < 90)
            life_trim();
        else if (dice < 94)
            life_change();
        else if (dice < 97)
            life_check();
        if (dice < 97 && w.sent_count < APPENDS_MAX)
            continue;
        life_restart(step % 2);
        restarts++;
    }
    assert_true(restarts > 20 && life.start > 100);
}

#define CASE(f)                                                                    \
    {                                                                              \
        .name = #f, .test_func = f, .setup_func = setup, .teardown_func = teardown \
    }
static void on_a_full_disk_the_indexes_of_what_goes_make_room_for_the_start(void **state)
{
    (void)state;
    fill(small, 1);
    all_are_acked();
    in_the_way = LOG "/00000000000000000000.index";
    assert_int_equal(access(in_the_way, F_OK), 0);
    assert_int_equal(trim(5, NULL), KERR_KAFKA_STORAGE_ERROR); /* no segment goes by that: nothing is given up */
    assert_int_equal(access(in_the_way, F_OK), 0);
    must_trim(40);
    in_the_way =
        LOG "/00000000000000000034.log"; /* stays: it is of no use to give anything up, and that does no harm */
    assert_int_equal(trim(55, NULL), KERR_KAFKA_STORAGE_ERROR);
    in_the_way = NULL;
    crash();
    assert_int_equal(partition_facts(w.p).log_start_offset, 40);
    assert_int_equal(partition_facts(w.p).end_offset, BATCHES);
    must_trim(55);
}

int main(void)
{
    struct CMUnitTest tests[] = {
        CASE(what_lies_below_the_start_is_gone_and_the_rest_stays),
        CASE(a_start_that_cannot_be_is_refused_and_one_below_changes_nothing),
        CASE(everything_can_go_and_the_log_goes_on),
        CASE(on_a_full_disk_the_indexes_of_what_goes_make_room_for_the_start),
        CASE(a_partition_without_a_file_has_nothing_to_move),
        CASE(with_caching_the_start_is_durable_with_all_before_it),
        CASE(every_stop_and_every_crash_finds_the_start),
        CASE(segments_that_a_crash_left_below_the_start_go),
        CASE(a_start_beyond_the_log_or_a_damaged_file_is_set_aside),
        CASE(several_at_a_time_become_one),
        CASE(reads_below_the_new_start_end_well_or_out_of_range),
        CASE(a_segment_that_is_read_keeps_its_file),
        CASE(times_below_the_start_are_not_found),
        CASE(a_look_up_whose_files_go_looks_again),
        CASE(a_trim_that_meets_a_stop_or_a_deletion_is_answered),
        CASE(a_random_life_keeps_what_was_promised),
        CASE(a_failed_save_takes_the_partition_offline_and_says_so),
    };
    return run_in_modes(tests, COUNT_OF(tests), 2);
}
