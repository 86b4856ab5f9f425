/* Numbers of a shard: what is counted is read, also by another process that knows only stat.h's drawing. */
#include "core/stat.h"
#include "core/threads.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

static _Alignas(8) uint8_t block[STATS_BYTES];

static void each_value_lies_in_its_bucket(void **state)
{
    (void)state;
    for (uint32_t b = 0; b < STAT_BUCKETS; b++) {
        uint64_t start = stat_bucket_start(b);
        uint64_t end = b + 1 < STAT_BUCKETS ? stat_bucket_start(b + 1) - 1 : UINT64_MAX;
        assert_int_equal(stat_bucket(start), b);
        assert_int_equal(stat_bucket(end), b);
        assert_true(end >= start);
        assert_true(end - start <= start / 8);
    }
    assert_int_equal(stat_bucket(UINT64_MAX), STAT_BUCKETS - 1);
}

static void quantiles_are_right_to_an_eighth(void **state)
{
    (void)state;
    static const uint32_t asked[] = {0, 1, 10, 250, 500, 900, 999, 1000};
    struct stat_histogram *h = stats_histogram(stats_init(block, 0), "h");
    assert_int_equal(stat_quantile(h, 1000), 0);
    for (uint64_t v = 1; v <= 1000; v++)
        stat_note(h, v * 1000);
    assert_int_equal(stat_count(h), 1000);
    for (size_t i = 0; i < COUNT_OF(asked); i++) {
        uint64_t exact = u64_max(asked[i], 1) * 1000, got = stat_quantile(h, asked[i]);
        assert_true(got <= exact);
        assert_true(exact - got <= exact / 8);
    }
    assert_int_equal(atomic_load(&h->sum), 500500 * 1000);
}

static uint32_t load32(size_t at)
{
    uint32_t v;
    memcpy(&v, block + at, sizeof v);
    return v;
}

static uint64_t load64(size_t at)
{
    uint64_t v;
    memcpy(&v, block + at, sizeof v);
    return v;
}

static void a_foreign_reader_finds_the_numbers_by_name(void **state)
{
    (void)state;
    memset(block, 0xff, sizeof block); /* what is not written is not relied upon */
    struct stats *s = stats_init(block, 3);
    struct stat_counter *turns = stats_counter(s, "turns");
    struct stat_histogram *cpu = stats_histogram(s, "turn_cpu_ns");
    struct stat_counter *waits = stats_counter(s, "waits");
    stat_add(turns, 5);
    stat_add(turns, 2);
    stat_add(waits, UINT32_MAX);
    stat_note(cpu, 100);
    stat_note(cpu, 3);
    assert_int_equal(stat_value(turns), 7);
    assert_memory_equal(block, "odradek stats 1\n", 16);
    assert_int_equal(load32(16), 3);
    assert_int_equal(load32(20), 3);
    static const struct {
        const char *name;
        uint32_t kind;
    } wanted[] = {{"turns", 0}, {"turn_cpu_ns", 1}, {"waits", 0}};
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal((char *)block + 24 + i * 40, wanted[i].name);
        assert_int_equal(load32(24 + i * 40 + 32), wanted[i].kind);
    }
    assert_int_equal(load64(load32(24 + 36)), 7);
    assert_int_equal(load64(load32(24 + 80 + 36)), UINT32_MAX);
    size_t at = load32(24 + 40 + 36);
    assert_int_equal(load64(at + 8 * stat_bucket(100)), 1);
    assert_int_equal(load64(at + 8 * 3), 1);
    assert_int_equal(load64(at + 8 * STAT_BUCKETS), 103);
}

static void a_block_has_room_for_a_dozen_histograms(void **state)
{
    (void)state;
    struct stats *s = stats_init(block, 0);
    for (int i = 0; i < 12; i++) {
        char name[STAT_NAME_BYTES] = "_ histogram with a longer name  "; /* as long as may be */
        name[0] = (char)('a' + i);
        name[STAT_NAME_BYTES - 1] = 0;
        stat_note(stats_histogram(s, name), (uint64_t)i);
    }
}

/* --- rows --- */

enum { ROW_WORDS = 48, ROWS = 4, CHANGES = 20000, ENOUGH = 100, WAIT_S = 60 };
static _Alignas(8) struct stat_row rows[ROWS * ROW_WORDS];
static struct stat_table *moving;
static _Atomic bool changing;
static _Atomic uint32_t whole, torn; /* counted by the reader */

static uint64_t word_of(const _Atomic uint64_t *at)
{
    return atomic_load_explicit(at, memory_order_acquire);
}
/* As stat.h says that it is to be done. */
static bool read_row(uint32_t row, uint64_t out[ROW_WORDS])
{
    const _Atomic uint64_t *at = &rows[row * ROW_WORDS].version;
    uint64_t version = word_of(at);
    for (uint32_t i = 1; i < ROW_WORDS; i++)
        out[i] = word_of(at + i);
    return version % 2 == 0 && word_of(at) == version;
}
static bool is_whole(const uint64_t row[ROW_WORDS])
{
    for (uint32_t i = 2; i < ROW_WORDS; i++)
        if (row[i] != row[1])
            return false;
    return true;
}
/* The writer moves a one through the rows, all others are even: there is one, unless rows moved. */
static void read_rows(void *arg)
{
    (void)arg;
    while (atomic_load(&changing)) {
        uint64_t row[ROW_WORDS], moves = word_of(&moving->moves.value);
        uint32_t ones = 0, read = 0;
        for (uint32_t i = 0; i < ROWS; i++) {
            if (!read_row(i, row))
                continue;
            read++;
            torn += !is_whole(row);
            ones += row[1] % 2;
        }
        if (moves % 2 == 0 && word_of(&moving->moves.value) == moves && read == ROWS) {
            torn += ones != 1;
            whole++;
        }
    }
}
/* The reader finds a moment. */
static void pause_some(uint64_t times)
{
    for (uint64_t i = 0; i < times; i++)
        (void)word_of(&moving->moves.value);
}
static void write_row(uint32_t row, uint64_t value)
{
    uint64_t words[ROW_WORDS - 1];
    enum { HALF = ROW_WORDS / 2 };
    for (uint32_t i = 0; i < ROW_WORDS - 1; i++)
        words[i] = value;
    stat_row_begin(&rows[row * ROW_WORDS]);
    stat_row_put(&rows[row * ROW_WORDS], 8, words, HALF * 8);
    pause_some(value % 512);
    stat_row_put(&rows[row * ROW_WORDS], 8 + HALF * 8, words, sizeof words - HALF * 8);
    stat_row_end(&rows[row * ROW_WORDS]);
}

static void no_torn_row_is_taken_for_a_whole_one(void **state)
{
    (void)state;
    moving = stats_table(stats_init(block, 0), "rows");
    assert_int_equal(load32(24 + 32), 2);
    struct thread *reader;
    write_row(0, 1);
    atomic_store(&changing, true);
    assert_int_equal(thread_start("reader", -1, read_rows, NULL, &reader), ERR_NONE);
    time_t until = time(NULL) + WAIT_S; /* for a processor for the reader */
    for (uint64_t i = 0; i < CHANGES || (atomic_load(&whole) < ENOUGH && time(NULL) < until); i++) {
        stat_table_begin(moving);
        write_row(i % ROWS, 2 * i);
        write_row((i + 1) % ROWS, 2 * i + 1);
        stat_table_end(moving);
        pause_some(i % 256);
    }
    atomic_store(&changing, false);
    thread_join(reader);
    assert_int_equal(atomic_load(&torn), 0);
    assert_true(atomic_load(&whole) >= ENOUGH);
}

static void a_row_whose_writer_died_is_written_again(void **state)
{
    (void)state;
    uint64_t row[ROW_WORDS];
    moving = stats_table(stats_init(block, 0), "rows");
    write_row(1, 7);
    stat_row_begin(&rows[ROW_WORDS]);
    assert_false(read_row(1, row));
    write_row(1, 8);
    assert_true(read_row(1, row));
    assert_true(is_whole(row) && row[1] == 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_value_lies_in_its_bucket),
        cmocka_unit_test(quantiles_are_right_to_an_eighth),
        cmocka_unit_test(a_foreign_reader_finds_the_numbers_by_name),
        cmocka_unit_test(a_block_has_room_for_a_dozen_histograms),
        cmocka_unit_test(no_torn_row_is_taken_for_a_whole_one),
        cmocka_unit_test(a_row_whose_writer_died_is_written_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
