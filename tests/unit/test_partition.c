/* The data path on a real shard and real files: appends, rolls, wakes, reads, deletion, stop and reopening. */
#include "tests/unit/partition_world.h"
#include <sys/resource.h>

static const struct topic_override small_segments[] = {{"segment.bytes", "1048576"}};

static void what_was_appended_is_read_from_memory_and_from_disk(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    for (int i = 0; i < 60; i++)
        append(1 + i % 4, (uint32_t)(i * i * 17 % 65000));
    all_are_acked();
    log_is_as_expected(false);
    fall_idle();
    log_is_as_expected(true);
}

static void a_log_of_many_segments_reads_as_one(void **state)
{
    (void)state;
    make_topic(small_segments, 1);
    for (int i = 0; i < 20; i++)
        append(10, 30000);
    all_are_acked();
    assert_true(w.p->segments.count > 1);
    log_is_as_expected(false);
    tail_clear(&w.p->tail);
    w.p->space.state = SPACE_CLOSED;
    log_is_as_expected(true);
}

/* The first finds no file, then no room, then too much gathered; all others stand behind it. */
static void parked_appends_keep_their_order(void **state)
{
    (void)state;
    make_topic(small_segments, 1);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 40; i++)
            append(1 + i % 3, i % 5 ? 100 : 60000);
        assert_false(list_empty(&w.p->writer.parked));
        all_are_acked();
        fall_idle();
        assert_int_equal(w.p->space.state, SPACE_CLOSED);
    }
    log_is_as_expected(true);
}

static struct make_batch idempotent(int32_t sequence)
{
    return (struct make_batch){
        .producer_id = 7, .sequence = sequence, .timestamp = 1000, .count = 2, .value_bytes = 10};
}

static void a_duplicate_waits_for_its_original(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    expect((append(1, 1), until(&w.sent[0].over), &w.sent[0])); /* the segment is there now */
    forget_sent();
    struct sent *first = append_made(idempotent(0)), *again = append_made(idempotent(0)),
                *next = append_made(idempotent(2));
    until(&next->over);
    assert_true(first->over && again->over);
    assert_int_equal(first->append.error | again->append.error | next->append.error, KERR_NONE);
    assert_int_equal(again->append.base_offset, first->append.base_offset);
    assert_true(first->place < again->place);
    assert_int_equal(next->append.base_offset, first->append.base_offset + 2);
    expect(first);
    expect(next);
    log_is_as_expected(false);
}

/* Appends go on in the block that a wave ends in, small ones and such that make the next wave several writes. */
static void memory_that_is_being_written_does_not_change(void **state)
{
    (void)state;
    uint32_t checked = 0;
    make_topic(NULL, 0);
    append(1, 1);
    all_are_acked();
    for (int i = 0; i < 100; i++) {
        append(1, i % 7 ? (uint32_t)(i * 97 % 3000) : 60000);
        turn();
        bool writes = wave_in_flight() != NULL;
        append(1, (uint32_t)(i % 5) * 100);
        check_lent();
        checked += writes;
        turn();
    }
    all_are_acked();
    assert_true(checked > 50);
    log_is_as_expected(false);
    fall_idle();
    log_is_as_expected(true);
}

static void an_idle_partition_gives_its_tail_back(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    append(5, 5000);
    all_are_acked();
    size_t used = bufpool_used_bytes(w.shard->bufs, BUF_TAILS);
    writer_free_idle(w.p);
    assert_int_equal(bufpool_used_bytes(w.shard->bufs, BUF_TAILS), used); /* not idle for long enough */
    fall_idle();
    assert_int_equal(tail_bytes(&w.p->tail), 0);
    assert_true(bufpool_used_bytes(w.shard->bufs, BUF_TAILS) < used);
    append(3, 300);
    all_are_acked();
    log_is_as_expected(true);
}

static void a_clean_stop_trims_and_is_found_again(void **state)
{
    (void)state;
    make_topic(small_segments, 1);
    for (int i = 0; i < 8; i++)
        append_made(idempotent(2 * i));
    for (int i = 0; i < 6; i++)
        append(10, 30000);
    all_are_acked();
    int32_t epoch = w.root->leader_epoch;
    int64_t end = partition_facts(w.p).end_offset;
    uint64_t bytes = partition_facts(w.p).bytes;
    stop();
    start();
    find_partition("t");
    assert_true(w.root->clean);
    assert_int_equal(w.root->leader_epoch, epoch);
    const struct checkpoint_entry *e = checkpoint_find(w.root->checkpoints, w.p->topic->id, 0);
    assert_non_null(e);
    assert_int_equal(e->offset, end);
    assert_true(e->clean);
    assert_int_equal(w.p->active->allocated, w.p->active->bytes);
    assert_int_equal(partition_facts(w.p).bytes, bytes);
    log_is_as_expected(true);
    struct sent *again = append_made(idempotent(14));
    until(&again->over);
    assert_int_equal(again->append.base_offset, 14); /* the producers are known */
    forget_sent();
    struct sent *more = append(1, 100);
    all_are_acked();
    (void)more;
    assert_int_equal(partition_facts(w.p).end_offset, end + 1);
}

/* --- times --- */

static const struct topic_override append_time[] = {{"message.timestamp.type", "LogAppendTime"}};

static void a_clock_ahead_makes_no_segments_with_append_time(void **state)
{
    (void)state;
    make_topic(append_time, 1);
    int64_t ahead = clock_wall_ms() + 3650ll * 86400 * 1000;
    for (int i = 0; i < 5; i++)
        append_made(
            (struct make_batch){.producer_id = -1, .sequence = -1, .timestamp = ahead, .count = 1, .value_bytes = 9});
    for (uint32_t i = 0; i < w.sent_count; i++) {
        until(&w.sent[i].over);
        assert_int_equal(w.sent[i].append.error, KERR_NONE);
        assert_true(w.sent[i].append.append_time_ms < ahead);
    }
    assert_int_equal(w.p->segments.count, 1);
}

static const struct topic_override lazy[] = {
    {"write.caching", "true"}, {"flush.messages", "10"}, {"flush.ms", "1000000"}};

static void flush_messages_counts_records(void **state)
{
    (void)state;
    make_topic(lazy, 3);
    append(9, 10);
    all_are_acked();
    for (int i = 0; i < 20; i++)
        turn();
    assert_int_equal(w.p->durable.offset, 0);
    append(1, 10);
    all_are_acked();
    uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S;
    while (w.p->durable.offset < 10) {
        assert_true(clock_now_ns() < end);
        turn();
    }
}

/* What the disk failed to flush may be gone after a power cut: no rule may say that it is there (sim 1 --fail-io --at 259). */
static void what_was_not_flushed_before_a_fault_stays_unpromised(void **state)
{
    (void)state;
    struct config_wait wait = {.left = 1};
    make_topic(lazy, 3);
    append(5, 10);
    all_are_acked();
    assert_int_equal(w.p->durable.offset, 0);
    struct topic_config next = w.p->topic->config;
    next.write_caching = false;
    partition_offline(w.p, "the test says so");
    assert_false(partition_keep_stricter(w.p, &next, &wait));
    assert_true(wait.failed);
}

/* --- memory --- */

static void a_partition_of_one_record_keeps_a_page(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    append(1, 10);
    all_are_acked();
    assert_int_equal(bufpool_used_bytes(w.shard->bufs, BUF_TAILS), PAGE_BYTES);
    for (int i = 0; i < 10; i++) {
        append(1, 1000);
        all_are_acked();
    }
    assert_int_equal(bufpool_used_bytes(w.shard->bufs, BUF_TAILS), PAGE_BYTES + 16384);
    log_is_as_expected(false);
}

static void without_memory_appends_wait_and_are_refused_in_the_end(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    append(1, 10);
    all_are_acked();
    static struct buf *held[MEMORY_BYTES / PAGE_BYTES];
    uint32_t count = 0;
    while ((held[count] = bufpool_get(w.shard->bufs, BUF_TAILS, 16384)))
        count++;
    append(2, 20000); /* it goes into pages of the slab that has the first one's */
    all_are_acked();
    while ((held[count] = bufpool_get(w.shard->bufs, BUF_TAILS, PAGE_BYTES)))
        count++;
    struct sent *a = append(10, 60000);
    for (int i = 0; i < 10; i++)
        turn();
    assert_false(a->over);
    assert_true(w.p->writer.short_since_ns);
    w.p->writer.short_since_ns = w.shard->now_ns - (MEMORY_WAIT_S + 1) * NS_PER_S;
    until(&a->over);
    assert_int_equal(a->append.error, KERR_KAFKA_STORAGE_ERROR);
    forget_sent();
    a = append(10, 60000);
    turn();
    assert_false(a->over);
    while (count)
        buf_put(held[--count]);
    all_are_acked();
    fall_idle(); /* to make room, the log's first bytes left the memory */
    log_is_as_expected(true);
}

/* Slabs are of one size of buf each: what is left of the idle tails' slab is enough for a batch that would rather have a large buf. */
static void an_append_takes_small_pieces_where_no_large_one_is_left(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    append(1, 10);
    all_are_acked();
    static struct buf *held[MEMORY_BYTES / 16384];
    uint32_t count = 0;
    while ((held[count] = bufpool_get(w.shard->bufs, BUF_TAILS, 16384)))
        count++;
    for (int i = 0; i < 8; i++)
        buf_put(held[--count]);
    append(1, 60000);
    all_are_acked();
    log_is_as_expected(false);
    while (count)
        buf_put(held[--count]);
}

/* --- rolls --- */

/* Killed at each turn of a life with rolls: what was acknowledged is there, and goes on. */
static void a_kill_at_any_turn_of_a_roll_loses_nothing(void **state)
{
    (void)state;
    uint32_t rolled = 0;
    make_topic(small_segments, 1);
    for (int turns = 0; turns < 60; turns++) {
        uint32_t segments = w.p->segments.count;
        for (int i = 0; i < 14; i++)
            append(2, 30000);
        for (int i = 0; i < turns; i++)
            turn();
        kill_broker();
        int64_t promised = 0;
        for (uint32_t i = 0; i < w.sent_count && w.sent[i].over && !w.sent[i].append.error; i++)
            promised = w.sent[i].append.base_offset + 2;
        start();
        find_partition("t");
        assert_int_equal(w.p->condition, PARTITION_OPEN);
        assert_true(partition_facts(w.p).end_offset >= promised);
        rolled += w.p->segments.count > segments;
        assert_true(access(DIR "/data/t-0/next-segment.tmp", F_OK) != 0);
        forget_sent();
    }
    assert_true(rolled > 10);
}

/* --- descriptors --- */

/* So many descriptors beyond those that are open; UINT32_MAX: all that there were. */
static void allow_descriptors(uint32_t more)
{
    static struct rlimit usual;
    struct rlimit now;
    if (!usual.rlim_cur)
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
    now = usual;
    if (more != UINT32_MAX) {
        int next = dup(0);
        close(next);
        now.rlim_cur = (rlim_t)next + more;
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
}

/* Whatever the step that finds none: the first append is refused, nothing is offline, and it works again afterwards. */
static void without_descriptors_a_first_append_is_refused_and_works_later(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    bool over = false;
    for (uint32_t more = 0; more < 8; more++) {
        allow_descriptors(more);
        struct sent *a = append(1, 100);
        uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S;
        while (!a->over && clock_now_ns() < end)
            turn();
        allow_descriptors(UINT32_MAX);
        assert_true(a->over);
        assert_int_equal(w.p->condition, PARTITION_OPEN);
        if (a->append.error) {
            assert_int_equal(a->append.error, KERR_KAFKA_STORAGE_ERROR);
            forget_sent();
        } else {
            expect(a);
            over = true;
            forget_sent();
        }
    }
    assert_true(over);
    append(2, 100);
    all_are_acked();
    fall_idle();
    log_is_as_expected(true);
}

/* --- deletion --- */

static uint32_t moves;
static void has_moved(struct watch *watch)
{
    (void)watch;
    moves++;
}

static bool still_there(const uint8_t id[16])
{
    return store_partition(store_of(w.shard), id, 0) != NULL;
}
static bool still_open(const uint8_t id[16])
{
    const struct partition *p = store_partition(store_of(w.shard), id, 0);
    return p && p->condition == PARTITION_OPEN;
}

static void a_deletion_waits_for_what_is_in_flight(void **state)
{
    (void)state;
    struct catalog_change c;
    uint8_t id[16];
    make_topic(NULL, 0);
    append(10, 60000);
    all_are_acked();
    fall_idle();
    memcpy(id, w.p->topic->id, 16);
    struct part_read r = {.offset = 0, .max_bytes = 1 << 20, .first_whole = true, .done = read_done};
    struct time_lookup l = {.timestamp = 500, .done = looked_up}, late = l;
    struct watch watch;
    watch_init(&watch, has_moved);
    partition_watch(w.p, &watch);
    moves = lookups_over = 0;
    read_is_over = partition_read(w.p, &r);
    assert_false(read_is_over);
    assert_false(partition_lookup(w.p, &l));
    delete_begin(&c);
    while (still_open(id)) { /* appends in every stage */
        if (w.sent_count < APPENDS_MAX)
            append(1, 1000);
        turn();
    }
    if (still_there(id)) {
        assert_true(partition_lookup(w.p, &late)); /* refused at once: nothing would wait for it */
        assert_int_equal(late.error, KERR_UNKNOWN_TOPIC_OR_PARTITION);
    }
    until(&change_is_over);
    assert_false(still_there(id));
    for (uint32_t i = 0; i < w.sent_count; i++) {
        until(&w.sent[i].over);
        assert_true(w.sent[i].append.error == KERR_NONE || w.sent[i].append.error == KERR_UNKNOWN_TOPIC_OR_PARTITION);
    }
    until(&read_is_over);
    slices_deinit(&r.slices);
    assert_int_equal(lookups_over, 1);
    assert_true(moves > 0);
    assert_int_equal(access(DIR "/data/t-0", F_OK), -1);
}

static void a_stop_waits_for_deletions(void **state)
{
    (void)state;
    struct catalog_change c;
    uint8_t id[16];
    make_topic(NULL, 0);
    memcpy(id, w.p->topic->id, 16);
    append(1, 100);
    all_are_acked();
    delete_begin(&c);
    while (still_open(id))
        turn();
    stop_begin();
    until(&store_is_stopped);
    assert_int_equal(store_of(w.shard)->partitions.count, 0);
    stop_end();
}

static void a_deletion_during_a_stop_is_left_to_the_next_start(void **state)
{
    (void)state;
    struct catalog_change c;
    make_topic(NULL, 0);
    append(1, 100);
    all_are_acked();
    delete_begin(&c);
    stop_begin();
    stop_end();
    start();
    assert_int_equal(store_of(w.shard)->partitions.count, access(DIR "/data/t-0", F_OK) ? 0 : 1);
}

#define CASE(f)                                                                    \
    {                                                                              \
        .name = #f, .test_func = f, .setup_func = setup, .teardown_func = teardown \
    }
int main(void)
{
    struct CMUnitTest tests[] = {
        CASE(what_was_appended_is_read_from_memory_and_from_disk),
        CASE(a_log_of_many_segments_reads_as_one),
        CASE(parked_appends_keep_their_order),
        CASE(a_duplicate_waits_for_its_original),
        CASE(memory_that_is_being_written_does_not_change),
        CASE(an_idle_partition_gives_its_tail_back),
        CASE(a_clean_stop_trims_and_is_found_again),
        CASE(a_clock_ahead_makes_no_segments_with_append_time),
        CASE(flush_messages_counts_records),
        CASE(what_was_not_flushed_before_a_fault_stays_unpromised),
        CASE(a_partition_of_one_record_keeps_a_page),
        CASE(without_memory_appends_wait_and_are_refused_in_the_end),
        CASE(an_append_takes_small_pieces_where_no_large_one_is_left),
        CASE(a_kill_at_any_turn_of_a_roll_loses_nothing),
        CASE(without_descriptors_a_first_append_is_refused_and_works_later),
        CASE(a_deletion_waits_for_what_is_in_flight),
        CASE(a_stop_waits_for_deletions),
        CASE(a_deletion_during_a_stop_is_left_to_the_next_start),
    };
    return run_in_modes(tests, COUNT_OF(tests), COUNT_OF(modes));
}
