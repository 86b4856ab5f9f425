/* The rows of a shard's partitions, as another process reads them from the file of --stat-file (storage/log/partition_rows.h draws them). */
#include "core/fs.h"
#include "core/log.h"
#include <fcntl.h>
#define DIR "build/tests/unit/partition_rows"
#include "tests/unit/partition_world.h"

enum { VALUE = 900, LITTLE_PARTITIONS = 3, MANY = 400 /* more than the first step of the file has room for */ };
static const struct topic_override small[] = {{"internal.segment.bytes", "20000"}};
static const struct topic_override cached[] = {
    {"flush.ms", "100000000"}, {"internal.segment.bytes", "20000"}, {"write.caching", "true"}};
static const struct topic_override compacted[] = {
    {"cleanup.policy", "compact"}, {"internal.segment.bytes", "20000"}, {"min.cleanable.dirty.ratio", "1"}};

/* --- the file --- */

static int good_fd;

static int setup_rows(void **state)
{
    if (prepare(state))
        return -1;
    set("log.cleaner.backoff.ms", "10");
    void *at;
    assert_int_equal(fs_map(DIR "/stats", STATS_BYTES + STAT_ROWS_BYTES, STATS_BYTES, &stats_fd, &at), ERR_NONE);
    stats_mapped = at;
    good_fd = stats_fd;
    start();
    return 0;
}
static int teardown_rows(void **state)
{
    int result = teardown(state);
    fs_unmap(stats_mapped, STATS_BYTES + STAT_ROWS_BYTES);
    fs_close(good_fd);
    stats_mapped = NULL;
    return result;
}

static uint64_t word_at(size_t at)
{
    uint64_t v;
    memcpy(&v, stats_mapped + at, sizeof v);
    return v;
}
/* The table's words: rows_at, row_bytes, rows, all, moves. */
static uint64_t table(uint32_t word)
{
    for (uint32_t i = 0; i < 128; i++) {
        const uint8_t *entry = stats_mapped + 24 + i * 40;
        uint32_t at;
        memcpy(&at, entry + 36, sizeof at);
        if (strcmp((const char *)entry, "partitions") == 0)
            return word_at(at + word * 8);
    }
    fail_msg("there is no table");
    return 0;
}
static uint64_t rows_shown(void)
{
    return table(2);
}
static size_t row_at(uint32_t row)
{
    assert_int_equal(table(0), STATS_BYTES);
    assert_int_equal(table(1), 384);
    size_t at = STATS_BYTES + row * 384;
    assert_int_equal(word_at(at) % 2, 0);
    return at;
}
static bool is_empty_row(uint32_t row)
{
    return word_at(row_at(row) + 8) == 0 && word_at(row_at(row) + 16) == 0;
}
/* The one row of w.p. */
static size_t row_of(const struct partition *p)
{
    size_t found = 0;
    for (uint32_t i = 0; i < rows_shown(); i++) {
        size_t at = row_at(i);
        if (memcmp(stats_mapped + at + 8, p->topic->id, 16) != 0 || (int32_t)word_at(at + 24) != p->index)
            continue;
        assert_int_equal(found, 0);
        assert_string_equal((const char *)stats_mapped + at + 128, p->topic->name);
        found = at;
    }
    assert_int_not_equal(found, 0);
    return found;
}
static uint64_t shown(uint32_t at)
{
    return word_at(row_of(w.p) + at);
}

/* --- looks, which else come each second --- */

static void look(void)
{
    struct log_store *ls = &store_of(w.shard)->log;
    timer_start(&w.shard->timers, &ls->idle_timer, w.shard->now_ns);
    do
        turn();
    while (ls->idle_next || ls->idle_timer.deadline_ns < w.shard->now_ns + NS_PER_S / 2 || ls->rows.step);
}
/* Until the file has grown and what got room is shown. */
static void look_twice(void)
{
    look();
    look();
}
static void shows_the_facts(void)
{
    look();
    struct partition_facts f = partition_facts(w.p);
    assert_int_equal(shown(32), f.bytes);
    assert_int_equal(shown(40), w.p->segments.count);
    assert_int_equal(shown(48), f.log_start_offset);
    assert_int_equal(shown(56), f.high_watermark);
    assert_int_equal(shown(64), f.end_offset);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(shown(104 + 8 * i), 0);
}
static uint32_t flags(void)
{
    return (uint32_t)(shown(24) >> 32);
}

/* --- topics --- */

static void make_named(const char *name, int32_t partitions)
{
    struct catalog_change c = {.kind = CATALOG_CREATE, .name = name, .partitions = partitions, .done = change_done};
    change_is_over = false;
    catalog_change_start(w.shard, &c);
    until(&change_is_over);
    assert_int_equal(c.error, KERR_NONE);
    find_partition(name);
}
static void delete_named(const char *name)
{
    struct catalog_change c;
    find_partition(name);
    delete_begin(&c);
    until(&change_is_over);
    assert_int_equal(c.error, KERR_NONE);
}
static void fill(int batches)
{
    for (int i = 0; i < batches; i++) {
        append(1, VALUE);
        if (i % 20 == 19)
            all_are_acked();
    }
    all_are_acked();
}
static bool trim_is_over;
static void trim_over(struct log_trim *t)
{
    (void)t;
    trim_is_over = true;
}
static void trim(int64_t before)
{
    struct log_trim t = {.before = before, .done = trim_over};
    trim_is_over = false;
    partition_trim(w.p, &t);
    until(&trim_is_over);
    assert_int_equal(t.error, KERR_NONE);
}

/* --- the tests --- */

static void a_row_follows_its_partition(void **state)
{
    (void)state;
    make_topic(small, COUNT_OF(small));
    assert_int_equal(table(3), 1);
    look_twice();
    assert_int_equal(rows_shown(), 1);
    shows_the_facts();
    assert_int_equal(flags(), 0);
    fill(3);
    shows_the_facts();
    assert_true(shown(32) > 3 * VALUE && shown(64) == 3);
    fill(100);
    shows_the_facts();
    assert_true(shown(40) >= 4);
    trim(50);
    shows_the_facts();
    assert_int_equal(shown(48), 50);
    assert_int_equal(shown(72), 0); /* nothing is at risk without caching */
    assert_int_equal(shown(96), (uint64_t)-1);
}

static void what_is_at_risk_is_shown_with_its_age(void **state)
{
    (void)state;
    make_topic(cached, COUNT_OF(cached));
    look_twice();
    fill(3);
    usleep(30000);
    shows_the_facts();
    assert_int_equal(shown(72), w.p->end.position);
    uint64_t age_ms = shown(80);
    assert_true(age_ms >= 20 && age_ms < WAIT_S * 1000);
    usleep(30000);
    shows_the_facts();
    assert_true(shown(80) >= age_ms + 20);
    writer_want_durable(w.p, w.p->end.offset);
    TURN_UNTIL(turn, w.p->durable.offset == w.p->end.offset);
    shows_the_facts();
    assert_int_equal(shown(72), 0);
    assert_int_equal(shown(80), 0);
}

static void what_the_cleaner_has_before_it_is_shown(void **state)
{
    (void)state;
    make_topic(compacted, COUNT_OF(compacted));
    look_twice();
    fill(100);
    TURN_UNTIL(turn, w.p->cleaning.known && !w.p->space.closing && w.p->cleaning.dirty_bytes == w.p->closed_bytes);
    shows_the_facts();
    assert_int_equal(flags(), PARTITION_ROW_COMPACTED);
    assert_true(shown(88) > 60000);
    assert_int_equal(shown(88), w.p->closed_bytes);
    assert_int_equal(shown(96), (uint64_t)w.p->cleaning.first_dirty);
}

static void a_log_that_is_not_recovered_or_offline_is_shown_as_that(void **state)
{
    (void)state;
    make_topic(small, COUNT_OF(small));
    fill(3);
    kill_broker();
    forget_sent();
    start();
    find_partition("t");
    look_twice();
    shows_the_facts();
    assert_int_equal(shown(64), 3);
    w.p->condition = PARTITION_UNRECOVERED; /* between two turns, as before its recovery */
    partition_rows_show(&store_of(w.shard)->log.rows, w.p);
    assert_int_equal(flags(), PARTITION_ROW_RECOVERING);
    w.p->condition = PARTITION_OPEN;
    partition_offline(w.p, "the test says so");
    look();
    assert_int_equal(flags(), PARTITION_ROW_OFFLINE);
}

static void rows_go_with_their_topic_and_are_used_again(void **state)
{
    (void)state;
    make_named("first", LITTLE_PARTITIONS);
    make_named("second", LITTLE_PARTITIONS);
    look_twice();
    assert_int_equal(rows_shown(), 2 * LITTLE_PARTITIONS);
    uint64_t moves = table(4);
    delete_named("first");
    assert_int_equal(rows_shown(), LITTLE_PARTITIONS); /* at once */
    assert_true(table(4) > moves && table(4) % 2 == 0);
    for (uint32_t i = 0; i < LITTLE_PARTITIONS; i++)
        assert_string_equal((const char *)stats_mapped + row_at(i) + 128, "second");
    for (uint32_t i = LITTLE_PARTITIONS; i < 2 * LITTLE_PARTITIONS; i++)
        assert_true(is_empty_row(i));
    make_named("a-third-one-with-quite-another-name", 1);
    assert_int_equal(rows_shown(), LITTLE_PARTITIONS + 1);
    assert_true(is_empty_row(LITTLE_PARTITIONS)); /* not before it is looked at: never what was there */
    shows_the_facts();
    delete_named("a-third-one-with-quite-another-name");
    delete_named("second");
    assert_int_equal(rows_shown(), 0);
    assert_int_equal(table(3), 0);
}

static void the_file_grows_with_the_number_of_partitions(void **state)
{
    (void)state;
    make_named("many", MANY);
    assert_int_equal(table(3), MANY);
    look_twice();
    assert_int_equal(rows_shown(), MANY);
    for (int32_t i = 0; i < MANY; i++) {
        w.p = store_partition(store_of(w.shard), w.p->topic->id, i);
        (void)row_of(w.p);
    }
    look();
    kill_broker(); /* it may be growing, too */
    forget_sent();
    start();
    make_named("more", MANY);
    turn();
    kill_broker();
    forget_sent();
    start();
}

static uint32_t lines;
static void hear_of_room(const char *line, size_t bytes)
{
    lines += memmem(line, bytes, "no room for rows", 16) != NULL;
}
static void a_file_that_cannot_grow_leaves_partitions_without_a_row(void **state)
{
    (void)state;
    struct partition_rows *r = &store_of(w.shard)->log.rows;
    int read_only = open(DIR "/stats", O_RDONLY | O_CLOEXEC);
    assert_true(read_only >= 0);
    lines = 0;
    log_sink(hear_of_room);
    w.shard->stat_room.fd = read_only;
    make_named("t", MANY);
    look_twice();
    assert_int_equal(lines, 1);
    assert_true(rows_shown() == 0 && table(3) == MANY);
    r->retry_at_ns = w.shard->now_ns; /* it is asked again, and said once */
    look_twice();
    assert_int_equal(lines, 1);
    w.shard->stat_room.fd = good_fd;
    look_twice();
    assert_int_equal(rows_shown(), 0); /* not so soon */
    r->retry_at_ns = w.shard->now_ns;
    look_twice();
    assert_int_equal(rows_shown(), MANY);
    (void)row_of(w.p);
    log_sink(NULL);
    close(read_only);
}

#define CASE(f)                                                                              \
    {                                                                                        \
        .name = #f, .test_func = f, .setup_func = setup_rows, .teardown_func = teardown_rows \
    }
int main(void)
{
    struct CMUnitTest tests[] = {
        CASE(a_row_follows_its_partition),
        CASE(what_is_at_risk_is_shown_with_its_age),
        CASE(what_the_cleaner_has_before_it_is_shown),
        CASE(a_log_that_is_not_recovered_or_offline_is_shown_as_that),
        CASE(rows_go_with_their_topic_and_are_used_again),
        CASE(the_file_grows_with_the_number_of_partitions),
        CASE(a_file_that_cannot_grow_leaves_partitions_without_a_row),
    };
    return run_in_modes(tests, COUNT_OF(tests), 2);
}
