/* Reading what is on the disk: answers of several blocks, what readers share, reading ahead, memory that is short, damage, and segments that
 * go while somebody holds their bytes. */
#define DIR "build/tests/unit/cold_read"
#include "core/buf.h"
#include "tests/unit/partition_world.h"

enum { VALUE = 30000, BATCHES = 80, READERS = 6, HOG_MAX = 4096 };
static const struct topic_override small[] = {{"segment.bytes", "1048576"}};

static void fill(uint32_t override_count)
{
    make_topic(small, override_count);
    for (int i = 0; i < BATCHES; i++) {
        append(1, VALUE);
        if (i % 20 == 19)
            all_are_acked();
    }
    fall_idle();
}

static struct cold_blocks *cold_of_world(void)
{
    return &w.p->store->cold;
}

struct reader {
    struct part_read read;
    bool over;
};
static void reader_done(struct part_read *r)
{
    container_of(r, struct reader, read)->over = true;
}
static void begin_reading(struct reader *r, int64_t offset, uint32_t max_bytes)
{
    *r = (struct reader){.read = {.offset = offset, .max_bytes = max_bytes, .first_whole = true, .done = reader_done}};
    assert_false(partition_read(w.p, &r->read)); /* never inside the call */
    assert_false(r->over);
}
/* Batches have one record and are of one size, so an offset tells where its batch lies in what is expected. */
static size_t size_of_batch(void)
{
    return w.expected_bytes / BATCHES;
}
static void has_the_log_from(const struct reader *r, int64_t offset)
{
    size_t at = (size_t)offset * size_of_batch();
    for (uint32_t i = 0; i < r->read.slices.count; i++) {
        const struct slice *s = &r->read.slices.v[i];
        assert_memory_equal(s->at, w.expected + at, s->bytes);
        at += s->bytes;
    }
}
/* Returns how many batches came. */
static uint32_t read_from(int64_t offset, uint32_t max_bytes)
{
    struct reader r;
    begin_reading(&r, offset, max_bytes);
    until(&r.over);
    assert_int_equal(r.read.error, KERR_NONE);
    has_the_log_from(&r, offset);
    assert_int_equal(r.read.slices.bytes % size_of_batch(), 0);
    uint32_t count = (uint32_t)(r.read.slices.bytes / size_of_batch());
    slices_deinit(&r.read.slices);
    return count;
}

static void an_answer_is_as_large_as_asked(void **state)
{
    (void)state;
    fill(0);
    uint32_t size = (uint32_t)size_of_batch();
    assert_true(size < cold_of_world()->block_bytes && BATCHES * size > 8 * cold_of_world()->block_bytes);
    for (uint32_t batches = 1; batches < 30; batches += 4) {
        assert_int_equal(read_from(3, batches * size), batches);
        assert_int_equal(read_from(3, (batches + 1) * size - 1), batches);
    }
    assert_int_equal(read_from(3, 1), 1); /* the first one whole */
    assert_int_equal(read_from(0, INT32_MAX), COLD_ANSWER_MIN / size);
    assert_int_equal(read_from(BATCHES - 5, INT32_MAX), 5);
}

static void readers_share_what_one_of_them_read(void **state)
{
    (void)state;
    fill(0);
    struct reader r[READERS];
    uint64_t before = stat_value(cold_of_world()->read_bytes);
    for (int i = 0; i < READERS; i++)
        begin_reading(&r[i], i, 1000000);
    for (int i = 0; i < READERS; i++) {
        until(&r[i].over);
        assert_int_equal(r[i].read.error, KERR_NONE);
        assert_true(r[i].read.slices.bytes > 1000000 - size_of_batch());
        has_the_log_from(&r[i], i);
    }
    uint64_t read = stat_value(cold_of_world()->read_bytes) - before;
    assert_true(read >= 1000000 && read < 2000000);
    for (int i = 0; i < READERS; i++)
        slices_deinit(&r[i].read.slices);
    before = stat_value(cold_of_world()->read_bytes);
    (void)read_from(2, 900000);
    assert_int_equal(stat_value(cold_of_world()->read_bytes), before);
}

static void who_reads_on_is_read_ahead_for(void **state)
{
    (void)state;
    fill(0);
    const struct cold_blocks *all = cold_of_world();
    static const int64_t anywhere[] = {70, 12, 55, 31};
    for (size_t i = 0; i < COUNT_OF(anywhere); i++)
        assert_int_equal(read_from(anywhere[i], 1), 1);
    assert_int_equal(stat_value(all->ahead_bytes), 0);
    assert_true(stat_value(all->read_bytes) <= COUNT_OF(anywhere) * 2 * all->block_bytes);
    for (int64_t at = 0; at < 12; at++)
        assert_int_equal(read_from(at, 1), 1);
    assert_true(stat_value(all->ahead_bytes) > all->block_bytes);
}

static uint32_t take_all_memory(struct buf **taken)
{
    uint32_t count = 0;
    while (count < HOG_MAX && (taken[count] = bufpool_get(w.shard->bufs, BUF_COLD, cold_of_world()->block_bytes)))
        count++;
    assert_true(count < HOG_MAX);
    return count;
}

/* Who finds no memory waits for it, and is refused when there is none for long. */
static void readers_wait_for_memory(void **state)
{
    (void)state;
    static struct buf *taken[HOG_MAX];
    struct reader r[READERS];
    fill(0);
    for (int given = 1; given >= 0; given--) {
        uint32_t count = take_all_memory(taken);
        for (int i = 0; i < READERS; i++)
            begin_reading(&r[i], 10 * i, 500000);
        for (int i = 0; i < 10; i++)
            turn();
        for (int i = 0; i < READERS; i++)
            assert_false(r[i].over);
        for (uint32_t i = 0; given && i < count; i++)
            buf_put(taken[i]);
        for (int i = 0; i < READERS; i++) {
            until(&r[i].over);
            assert_int_equal(r[i].read.error, given ? KERR_NONE : KERR_KAFKA_STORAGE_ERROR);
            assert_int_equal(r[i].read.slices.count > 0, given);
            has_the_log_from(&r[i], 10 * i);
            slices_deinit(&r[i].read.slices);
        }
        for (uint32_t i = 0; !given && i < count; i++)
            buf_put(taken[i]);
        cold_blocks_drop(cold_of_world(), w.p->active); /* else the second round finds all in memory */
    }
    assert_int_equal(w.p->condition, PARTITION_OPEN);
    assert_true(read_from(0, 500000) > 1);
}

/* Else who keeps a small one, in the only slab that there is for cold reads, would keep out all who need a larger one (simulator 5362). */
static void in_a_small_pool_all_blocks_have_bufs_of_one_size(void **state)
{
    (void)state;
    struct reader r;
    make_topic(small, 0);
    append(1, 100);
    all_are_acked();
    fall_idle();
    begin_reading(&r, 0, INT32_MAX);
    until(&r.over);
    assert_int_equal(r.read.error, KERR_NONE);
    slices_deinit(&r.read.slices);
    assert_int_equal(cold_of_world()->count, 1);
    assert_true(cold_of_world()->block_bytes < COLD_BLOCK_BYTES);
    assert_int_equal(cold_of_world()->bytes, cold_of_world()->block_bytes);
}

/* However little there is and however much is held: each answer has a batch at least, and the young end stays. */
static void readers_beside_little_memory_all_go_on(void **state)
{
    (void)state;
    static struct buf *taken[HOG_MAX];
    struct reader r[READERS];
    fill(0);
    uint32_t count = take_all_memory(taken), left = 6; /* so many blocks */
    for (; left > 0; left--)
        buf_put(taken[--count]);
    int64_t at[READERS] = {0};
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < READERS; i++)
            begin_reading(&r[i], at[i], 300000);
        for (int left_over = READERS;
             left_over > 0;) { /* each gives back what it holds as soon as it has it: others wait for that */
            turn();
            for (int i = 0; i < READERS; i++) {
                if (!r[i].over)
                    continue;
                r[i].over = false;
                left_over--;
                assert_int_equal(r[i].read.error, KERR_NONE);
                has_the_log_from(&r[i], at[i]);
                at[i] = (at[i] + (int64_t)(r[i].read.slices.bytes / size_of_batch()) + i) % (BATCHES - 1);
                assert_true(r[i].read.slices.bytes >= size_of_batch());
                slices_deinit(&r[i].read.slices);
            }
        }
    }
    while (count > 0)
        buf_put(taken[--count]);
}

static void change_byte(uint64_t position)
{
    FILE *f = fopen(DIR "/data/t-0/00000000000000000000.log", "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, (long)position, SEEK_SET), 0);
    int byte = fgetc(f);
    assert_int_equal(fseek(f, (long)position, SEEK_SET), 0);
    assert_true(fputc(byte ^ 1, f) != EOF);
    assert_int_equal(fclose(f), 0);
}

/* A reader gets what is good before it; who reads on finds the damage. */
static void a_bad_batch_ends_the_answer_before_it(void **state)
{
    (void)state;
    fill(0);
    change_byte(20 * size_of_batch() + size_of_batch() / 2);
    assert_int_equal(read_from(5, 800000), 15);
    assert_int_equal(w.p->condition, PARTITION_OPEN);
    struct reader r;
    begin_reading(&r, 20, 800000);
    until(&r.over);
    assert_int_equal(r.read.error, KERR_KAFKA_STORAGE_ERROR);
    assert_int_equal(r.read.slices.count, 0);
    assert_int_equal(w.p->condition, PARTITION_OFFLINE);
    slices_deinit(&r.read.slices);
}

static bool trim_is_over;
static void trim_over(struct log_trim *t)
{
    (void)t;
    trim_is_over = true;
}

/* What it was answered stays whole, and holds no file; the blocks go with their segments. */
static void a_reader_keeps_its_bytes_when_the_segment_goes(void **state)
{
    (void)state;
    fill(1);
    assert_true(w.p->segments.count > 2);
    struct reader r;
    begin_reading(&r, 0, 600000);
    until(&r.over);
    uint32_t blocks = cold_of_world()->count;
    struct log_trim t = {.before = 60, .done = trim_over};
    trim_is_over = false;
    partition_trim(w.p, &t);
    until(&trim_is_over);
    assert_int_equal(t.error, KERR_NONE);
    TURN_UNTIL(turn, w.p->trimmer.state == TRIMMER_IDLE && list_empty(&w.p->trimmer.dropped));
    assert_true(blocks > 0 && cold_of_world()->count == 0);
    assert_true(r.read.slices.bytes > 600000 - size_of_batch());
    has_the_log_from(&r, 0);
    slices_deinit(&r.read.slices);
}

/* The end of what is on the disk moves on between two reads of the same block. */
static void a_block_grows_with_its_log(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    for (int i = 0; i < BATCHES; i++) {
        append(1, VALUE / 10);
        all_are_acked();
        if (i % 7 == 6) {
            fall_idle();
            w.p->space.state = SPACE_CLOSED;
            log_is_as_expected(true);
        }
    }
}

static void put_cursor(int64_t offset, uint64_t position, uint32_t ahead)
{
    struct cold_cursor c = {.partition = w.p, .segment = 1, .offset = offset, .position = position, .ahead = ahead};
    cold_cursor_put(cold_of_world(), w.p->index, &c);
}

/* Who read there by chance is not taken for the one who reads on: that one would be read ahead for no more, and stay a reader for two seconds. */
static void of_two_that_ended_at_one_place_the_reader_who_goes_on_is_found(void **state)
{
    (void)state;
    make_topic(small, 0);
    static const uint32_t order[][2] = {{0, 16}, {16, 0}};
    for (size_t i = 0; i < COUNT_OF(order); i++) {
        struct cold_cursor got;
        put_cursor(50, 500, order[i][0]);
        put_cursor(50, 500, order[i][1]);
        assert_true(cold_cursor_take(cold_of_world(), w.p, w.p->index, 50, &got));
        assert_int_equal(got.ahead, 16);
        assert_true(cold_cursor_take(cold_of_world(), w.p, w.p->index, 50, &got));
        assert_int_equal(got.ahead, 0);
        assert_false(cold_cursor_take(cold_of_world(), w.p, w.p->index, 50, &got));
    }
}

/* What is kept beyond that would be fresh memory, and lie in no cache when it is used again. */
static void no_more_is_kept_than_the_readers_at_work_need(void **state)
{
    (void)state;
    enum { ANSWER = 1024 * 1024, EACH = COLD_READER_BYTES + 3 * ANSWER };
    stop();
    memory_given = (size_t)1 << 30;
    start();
    memory_given = MEMORY_BYTES;
    make_topic(small, 0);
    struct cold_blocks *all = cold_of_world();
    uint32_t ahead = cold_blocks_ahead_max(all, 1, ANSWER);
    assert_int_equal(all->bytes_max, EACH);
    assert_true(ahead >= COLD_AHEAD_MAX);
    put_cursor(10, 100, 0); /* reads here and there */
    put_cursor(20, 200, 1); /* began, and never came back */
    (void)cold_blocks_ahead_max(all, 1, ANSWER);
    assert_int_equal(all->bytes_max, EACH);
    put_cursor(30, 300, 2);
    (void)cold_blocks_ahead_max(all, 1, ANSWER);
    assert_int_equal(all->bytes_max, 2 * EACH);
    (void)cold_blocks_ahead_max(all, 3, ANSWER); /* two others are waiting for the disk */
    assert_int_equal(all->bytes_max, 4 * EACH);
    (void)cold_blocks_ahead_max(all, COLD_READS_MAX, ANSWER);
    assert_int_equal(all->bytes_max, COLD_KEPT_BYTES);
    (void)cold_blocks_ahead_max(all, 1, 46 * ANSWER);
    assert_int_equal(all->bytes_max, COLD_KEPT_BYTES);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    struct CMUnitTest tests[] = {
        CASE(an_answer_is_as_large_as_asked),
        CASE(readers_share_what_one_of_them_read),
        CASE(who_reads_on_is_read_ahead_for),
        CASE(readers_wait_for_memory),
        CASE(in_a_small_pool_all_blocks_have_bufs_of_one_size),
        CASE(readers_beside_little_memory_all_go_on),
        CASE(a_bad_batch_ends_the_answer_before_it),
        CASE(a_reader_keeps_its_bytes_when_the_segment_goes),
        CASE(a_block_grows_with_its_log),
        CASE(of_two_that_ended_at_one_place_the_reader_who_goes_on_is_found),
        CASE(no_more_is_kept_than_the_readers_at_work_need),
    };
    return run_in_modes(tests, COUNT_OF(tests), 2);
}
