/* Full disks: rings drop the oldest, the reserve is there, who waits and who is refused. The clocks are the test's. */
#define DIR "build/tests/unit/full_disk"
#include "tests/unit/retention_world.h"

/* No file becomes longer than this: what a disk without room answers (EFBIG is taken like ENOSPC). */
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

static void ring_topic(void)
{
    static const struct topic_override o[] = {{"disk.full.policy", "delete-oldest"}};
    topic(o, 1);
}

/* All that it has is in a wave: that ends, and then the segment can go. */
static void a_ring_with_a_wave_in_flight_waits_for_room(void **state)
{
    (void)state;
    ring_topic();
    fill(1, 0);
    turn_for_ms(100);
    struct sent *s = append(1, 100);
    assert_true(w.p->promised.offset < w.p->end.offset);
    assert_true(full_disk_helps(w.p));
    until(&s->over);
    assert_int_equal(s->append.error, KERR_NONE);
    forget_sent();
}

/* Each look was an allocation that failed, and the next one followed at once: 300,000 a second, beside which what makes room had no processor. */
static void who_waits_for_room_looks_when_there_is_more_or_a_while_is_over(void **state)
{
    (void)state;
    ring_topic();
    fill(1, 0);
    turn_for_ms(100);
    struct append waits = {0}; /* as if it had found no room */
    list_init(&waits.link);
    list_push(&w.p->writer.parked, &waits.link);
    assert_true(full_disk_helps(w.p));
    assert_true(w.p->space.short_since_ns > 0);
    writer_retry(w.p);
    assert_false(list_linked(&w.p->writer.parked_link));
    log_store_retry_now(w.p->store);
    assert_true(w.p->store->retry_timer.deadline_ns <= w.shard->now_ns);
    list_remove(&waits.link);
    w.p->space.short_since_ns = 0;
    fill(1, 1);
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
    ring_topic();
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
    ring_topic();
    struct ballast *b = &w.p->store->ballast;
    turn_for_ms(100);
    assert_true(atomic_load(&b->level->wanted) > 0);
    assert_false(ballast_is_short(b->level));
    assert_false(full_disk_is_reserved(w.p));
    assert_true(ballast_give(b, PAGE_BYTES));
    assert_true(full_disk_is_reserved(w.p));
}

/* As it looks to a ring whose disk is full: another shard finds no room, and has nothing to drop. */
static void another_starves(bool starves)
{
    w.shard->count = starves ? 2 : 1;
    atomic_store(&w.root->board.oldest_ms[1], INT64_MAX);
    atomic_store(&w.root->board.starved[1], starves);
}
static void ring_with_a_transaction_in_its_third_segment(void)
{
    ring_topic();
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
    ring_topic();
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
    ring_topic();
    fill(A_SEGMENT + 3, 0);
    struct full_disk_board *b = &w.root->board;
    turn_for_ms(600);
    assert_true(atomic_load(&b->oldest_ms[0]) < INT64_MAX);
    assert_true(ballast_give(&w.p->store->ballast, PAGE_BYTES));
    assert_true(ballast_is_short(&b->ballast[0]));
    alter_setting("disk.full.policy", "refuse");
    turn_for_ms(600);
    assert_true(atomic_load(&b->oldest_ms[0]) == INT64_MAX);
    assert_false(ballast_is_short(&b->ballast[0]));
}

static void the_shard_with_the_oldest_segment_drops_it_where_another_starves(void **state)
{
    (void)state;
    ring_topic();
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

/* A look at all of them takes several turns: what it finds counts when it is over. */
static void of_many_rings_the_oldest_segment_is_found_and_goes(void **state)
{
    (void)state;
    enum { RINGS = 3000 };
    static const struct topic_override o[] = {{"disk.full.policy", "delete-oldest"}};
    struct catalog_change c = {.kind = CATALOG_CREATE,
                               .name = "many",
                               .partitions = RINGS,
                               .overrides = o,
                               .override_count = 1,
                               .done = change_done};
    change_and_wait(&c);
    find_partition("many");
    w.p = nth_partition(w.p->topic, RINGS - 1);
    fill(A_SEGMENT + 3, 0);
    while (atomic_load(&w.root->board.oldest_ms[0]) != segments_at(&w.p->segments, 0)->written_ms)
        turn();
    another_starves(true);
    starts_at(A_SEGMENT);
    another_starves(false);
}

/* It would be refused at once, half a minute later: it "waited" all the time. */
static void a_roll_that_finds_no_room_is_no_append_that_waits(void **state)
{
    (void)state;
    ring_topic();
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
    ring_topic();
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

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup_retention, teardown)
    struct CMUnitTest tests[] = {
        CASE(on_a_full_disk_closed_segments_go_although_the_active_one_cannot_be_rolled),
        CASE(a_ring_that_waits_is_not_refused_while_files_go),
        CASE(on_a_full_disk_dropped_files_do_not_wait),
        CASE(what_is_not_saved_yet_keeps_only_itself),
        CASE(a_ring_with_a_wave_in_flight_waits_for_room),
        CASE(who_waits_for_room_looks_when_there_is_more_or_a_while_is_over),
        CASE(while_the_reserve_is_short_a_ring_waits_and_drops_nothing),
        CASE(a_ring_has_its_reserve_at_once_and_nobody_takes_what_is_given),
        CASE(a_ring_that_is_none_any_more_stands_in_nobodys_way),
        cmocka_unit_test_setup_teardown(of_many_rings_the_oldest_segment_is_found_and_goes, setup_beside_another,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_shard_with_the_oldest_segment_drops_it_where_another_starves,
                                        setup_beside_another, teardown),
        cmocka_unit_test_setup_teardown(a_ring_keeps_what_an_open_transaction_began, setup_beside_another, teardown),
        CASE(no_more_is_dropped_than_what_is_stable),
        cmocka_unit_test_setup_teardown(behind_an_open_transaction_nobody_waits_but_its_end, setup_beside_another,
                                        teardown),
        CASE(a_roll_that_finds_no_room_is_no_append_that_waits),
    };
    return run_in_modes(tests, COUNT_OF(tests), 2);
}
