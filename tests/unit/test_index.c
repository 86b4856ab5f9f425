/* Sparse indexes: entries where Kafka puts them, look-ups that never lead past what is sought, files that are checked. */
#include "storage/log/index.h"
#include "core/bytes.h"
#include "core/rng.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { BASE = 1000, INTERVAL = 100, BATCHES = 500 };
static struct heap *heap;
static struct index ix;
static struct {
    int64_t last_offset, timestamp;
    uint32_t position, bytes;
} log_[BATCHES];

static int setup(void **state)
{
    (void)state;
    heap = heap_open();
    index_init(&ix, heap, BASE, 10 * 1024 * 1024);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    index_deinit(&ix);
    heap_close(heap);
    return 0;
}
/* Batches of random sizes and timestamps that mostly rise. */
static uint32_t fill(uint64_t seed)
{
    struct rng rng = {seed};
    uint32_t position = 0;
    int64_t next = BASE;
    for (int i = 0; i < BATCHES; i++) {
        next += 1 + (int64_t)rng_below(&rng, 5);
        log_[i].last_offset = next - 1;
        log_[i].timestamp = 10000 + i * 10 - (int64_t)rng_below(&rng, 50);
        log_[i].position = position;
        log_[i].bytes = 61 + (uint32_t)rng_below(&rng, 80);
        assert_int_equal(index_add(&ix, INTERVAL, next - 1, position, log_[i].bytes, log_[i].timestamp, next - 1),
                         ERR_NONE);
        position += log_[i].bytes;
    }
    index_check(&ix, position);
    return position;
}

/* Kafka's LogSegment.recover, written again here, is what each entry is compared with. */
static void entries_stand_where_kafka_puts_them(void **state)
{
    (void)state;
    fill(1);
    uint32_t offsets = 0, times = 0, last_entry = 0;
    int64_t max = -1, max_offset = -1, last_time = -1;
    for (int i = 0; i < BATCHES; i++) {
        if (log_[i].timestamp > max) {
            max = log_[i].timestamp;
            max_offset = log_[i].last_offset;
        }
        if (log_[i].position - last_entry <= INTERVAL)
            continue;
        last_entry = log_[i].position;
        assert_int_equal(be32_get(ix.offsets + offsets * 8), log_[i].last_offset - BASE);
        assert_int_equal(be32_get(ix.offsets + offsets++ * 8 + 4), log_[i].position);
        if (max <= last_time)
            continue;
        last_time = max;
        assert_int_equal(be64_get(ix.times + times * 12), max);
        assert_int_equal(be32_get(ix.times + times++ * 12 + 8), max_offset - BASE);
    }
    assert_int_equal(ix.offset_count, offsets);
    assert_int_equal(ix.time_count, times);
    assert_true(offsets > 100 && times > 50);
    assert_int_equal(ix.max_timestamp, max);
    assert_int_equal(ix.max_timestamp_offset, max_offset);
}

static void the_first_batch_has_no_entry(void **state)
{
    (void)state;
    assert_int_equal(index_add(&ix, INTERVAL, BASE, 0, 1000000, 5, BASE), ERR_NONE);
    assert_int_equal(ix.offset_count, 0);
    assert_int_equal(index_add(&ix, INTERVAL, BASE + 1, 1000000, 10, 5, BASE + 1), ERR_NONE);
    assert_int_equal(ix.offset_count, 1);
    assert_int_equal(ix.time_count, 1); /* of the first batch: the second's timestamp did not rise */
    assert_int_equal(be32_get(ix.times + 8), 0);
}

static void look_ups_never_lead_past_what_is_sought(void **state)
{
    (void)state;
    fill(2);
    assert_int_equal(index_position(&ix, 0), 0);
    assert_int_equal(index_position(&ix, INT64_MAX), be32_get(ix.offsets + (ix.offset_count - 1) * 8 + 4));
    int64_t first = BASE;
    for (int i = 0; i < BATCHES; i++) {
        for (int64_t offset = first; offset <= log_[i].last_offset; offset++) {
            uint32_t at = index_position(&ix, offset);
            assert_true(at <= log_[i].position);
            assert_true(log_[i].position - at < 2 * INTERVAL + 141);
        }
        first = log_[i].last_offset + 1;
    }
    for (int64_t t = 9900; t < 15100; t += 7) { /* no batch below the answer's has a record that old or older */
        int64_t from = index_offset_of_time(&ix, t);
        for (int i = 0; i < BATCHES && log_[i].last_offset < from; i++)
            assert_true(log_[i].timestamp < t);
    }
}

static void finishing_adds_the_largest_timestamp_once(void **state)
{
    (void)state;
    fill(3);
    assert_int_equal(index_add(&ix, INTERVAL, 9000, 900000, 1, 99999, 9000), ERR_NONE);
    uint32_t before = ix.time_count - (be64_get(ix.times + (ix.time_count - 1) * 12) == 99999);
    assert_int_equal(index_finish(&ix), ERR_NONE);
    assert_int_equal(index_finish(&ix), ERR_NONE);
    assert_int_equal(ix.time_count, before + 1);
    assert_int_equal(be64_get(ix.times + before * 12), 99999);
}

static void a_cut_keeps_what_lies_before_it(void **state)
{
    (void)state;
    for (int cut = 0; cut < BATCHES; cut += 13) {
        index_clear(&ix);
        fill(4);
        int64_t end = cut ? log_[cut - 1].last_offset + 1 : BASE;
        uint32_t whole = ix.offset_count;
        index_truncate(&ix, end, log_[cut].position);
        index_check(&ix, log_[cut].position);
        assert_true(ix.offset_count <= whole);
        if (ix.offset_count)
            assert_true(be32_get(ix.offsets + (ix.offset_count - 1) * 8) + BASE < end);
        if (ix.time_count)
            assert_true(be32_get(ix.times + (ix.time_count - 1) * 12 + 8) + BASE < end);
        assert_true(ix.max_timestamp_offset < end);
    }
}

static void files_come_back_and_nonsense_does_not(void **state)
{
    (void)state;
    uint32_t log_bytes = fill(5);
    struct index other;
    index_init(&other, heap, BASE, 1 << 20);
    uint32_t ob = ix.offset_count * 8, tb = ix.time_count * 12;
    assert_int_equal(index_load(&other, ix.offsets, ob, ix.times, tb, log_bytes), ERR_NONE);
    assert_memory_equal(other.offsets, ix.offsets, ob);
    assert_memory_equal(other.times, ix.times, tb);
    assert_int_equal(other.max_timestamp, be64_get(ix.times + tb - 12));
    assert_int_equal(index_load(&other, ix.offsets, ob - 1, ix.times, tb, log_bytes), ERR_CORRUPT);
    assert_int_equal(index_load(&other, ix.offsets, ob, ix.times, tb - 4, log_bytes), ERR_CORRUPT);
    assert_int_equal(index_load(&other, ix.offsets, ob, ix.times, tb, be32_get(ix.offsets + ob - 4)), ERR_CORRUPT);
    assert_int_equal(index_load(&other, NULL, 0, NULL, 0, 0), ERR_NONE);
    uint8_t kept[12];
    memcpy(kept, ix.offsets + 16, 8); /* Kafka leaves zeros behind the last entry when it is killed */
    memset(ix.offsets + 16, 0, 8);
    assert_int_equal(index_load(&other, ix.offsets, ob, ix.times, tb, log_bytes), ERR_CORRUPT);
    memcpy(ix.offsets + 16, kept, 8);
    memset(ix.times + 24, 0, 12);
    assert_int_equal(index_load(&other, ix.offsets, ob, ix.times, tb, log_bytes), ERR_CORRUPT);
    assert_int_equal(other.offset_count, 0);
    index_deinit(&other);
}

static void a_full_index_says_so_and_keeps_room_for_the_last_time(void **state)
{
    (void)state;
    index_deinit(&ix);
    index_init(&ix, heap, BASE, 50); /* 6 offset entries, 4 time entries */
    for (int i = 0; i < 20; i++)
        assert_int_equal(index_add(&ix, 0, BASE + i, (uint32_t)i * 100, 100, i, BASE + i), ERR_NONE);
    assert_true(index_full(&ix));
    assert_true(ix.offset_count <= 6);
    assert_int_equal(ix.time_count, 3);
    assert_int_equal(index_finish(&ix), ERR_NONE);
    assert_int_equal(ix.time_count, 4);
    assert_int_equal(be64_get(ix.times + 36), 19);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(entries_stand_where_kafka_puts_them, setup, teardown),
        cmocka_unit_test_setup_teardown(the_first_batch_has_no_entry, setup, teardown),
        cmocka_unit_test_setup_teardown(look_ups_never_lead_past_what_is_sought, setup, teardown),
        cmocka_unit_test_setup_teardown(finishing_adds_the_largest_timestamp_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cut_keeps_what_lies_before_it, setup, teardown),
        cmocka_unit_test_setup_teardown(files_come_back_and_nonsense_does_not, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_index_says_so_and_keeps_room_for_the_last_time, setup, teardown),
    };
    return cmocka_run_group_tests_name("index", tests, NULL, NULL);
}
