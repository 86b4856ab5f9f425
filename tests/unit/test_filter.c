/* What a cleaning leaves of a batch: Kafka's rules, with every codec. */
#include "storage/clean/filter.h"
#include "storage/log/codec.h"
#include "tests/unit/keyed_batch.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static const uint64_t secret[2] = {1, 2};
static struct heap *heap;
static struct dedupe map;
static struct clean_filter filter;
static struct clean_bytes out;
static struct clean_txns txns;
static uint8_t batch[1 << 20];
enum { NOW = 5000000, DAY = 86400000 };

/* The map says: a is latest at 10, b at 12, gone at 13; offsets below 20 are covered. */
static int set_up(void **state)
{
    (void)state;
    heap = heap_open();
    assert_int_equal(dedupe_open(&map, heap, 100, 1 << 20, 0.9, secret), ERR_NONE);
    assert_true(dedupe_put(&map, "a", 1, 10));
    assert_true(dedupe_put(&map, "b", 1, 12));
    assert_true(dedupe_put(&map, "gone", 4, 13));
    dedupe_cover(&map, 20);
    txns = (struct clean_txns){0};
    assert_int_equal(clean_txns_begin(&txns, heap), ERR_NONE);
    filter = (struct clean_filter){.map = &map, .txns = &txns, .now_ms = NOW, .delete_retention_ms = DAY, .heap = heap};
    out = (struct clean_bytes){.heap = heap};
    return 0;
}
static int tear_down(void **state)
{
    (void)state;
    heap_close(heap);
    return 0;
}

static struct filter_result run_filter(struct keyed_batch m, bool last, struct batch *out_batch)
{
    struct batch b;
    struct filter_result r;
    uint32_t bytes = make_keyed_batch(batch, sizeof batch, m, heap);
    assert_true(batch_parse(batch, bytes, &b));
    out.bytes = 0;
    assert_int_equal(filter_batch(&filter, batch, &b, last, &out, &r), ERR_NONE);
    assert_int_equal(r.bytes, out.bytes);
    if (out.bytes) {
        assert_true(batch_parse(out.at, out.bytes, out_batch));
        assert_int_equal(out_batch->bytes, out.bytes);
        assert_int_equal(batch_crc(out.at, out_batch->bytes), out_batch->crc);
        assert_int_equal(out_batch->base_offset, b.base_offset);
        assert_int_equal(out_batch->last_offset_delta, b.last_offset_delta);
        assert_int_equal(out_batch->producer_id, b.producer_id);
        assert_int_equal(out_batch->producer_epoch, b.producer_epoch);
        assert_int_equal(out_batch->base_sequence, b.base_sequence);
    }
    return r;
}

/* The records that were kept are these of the ones that were sent, by index; timestamps, values and headers are theirs. */
static void assert_records(const struct batch *b, const struct keyed_record *sent, const int *kept, int count)
{
    uint8_t *unpacked;
    struct batch_cursor c;
    struct batch_record r;
    assert_int_equal(b->count, count);
    assert_int_equal(codec_records(b, out.at, CODEC_OUTPUT_MAX, heap, &unpacked, &c), ERR_NONE);
    for (int i = 0; i < count; i++) {
        const struct keyed_record *s = &sent[kept[i]];
        assert_true(batch_next(&c, &r));
        assert_int_equal(r.offset_delta, s->delta);
        assert_int_equal(batch_record_timestamp(b, &r), s->timestamp);
        assert_int_equal(r.key_bytes, s->key ? (int)strlen(s->key) : -1);
        assert_int_equal(r.value_bytes, s->value ? (int)strlen(s->value) : -1);
        assert_true(!s->value || memcmp(r.value, s->value, strlen(s->value)) == 0);
        assert_int_equal(r.headers_bytes, s->delta % 2 ? 9 : 10);
    }
    assert_ptr_equal(c.at, c.end);
    heap_free(heap, unpacked);
}

static void only_the_latest_of_each_key_stays_with_every_codec(void **state)
{
    (void)state;
    const struct keyed_record v[] = {{0, 100, "a", "old"},  {1, 90, "b", "old"},  {2, 300, "a", "new"},
                                     {3, 50, NULL, "none"}, {4, 200, "b", "new"}, {9, 40, "unknown", "x"}};
    const int kept[] = {2, 4, 5};
    for (int16_t codec = CODEC_NONE; codec <= CODEC_ZSTD; codec++) {
        struct batch b = {0};
        struct filter_result r = run_filter((struct keyed_batch){8, 77, 9, 5, codec, 3, v, COUNT_OF(v)}, false, &b);
        assert_int_equal(r.fate, FILTER_CHANGED);
        assert_int_equal(r.records_read, 6);
        assert_int_equal(r.records_kept, 3);
        assert_int_equal(b.attributes, codec);
        assert_int_equal(b.max_timestamp, 300);
        assert_int_equal(r.max_timestamp, 300);
        assert_records(&b, v, kept, 3);
    }
}

static void a_batch_in_which_nothing_changes_is_copied(void **state)
{
    (void)state;
    const struct keyed_record v[] = {{0, 100, "a", "new"}, {2, 90, "b", "new"}, {12, 7, "a", "behind the map"}};
    struct batch b;
    for (int16_t codec = CODEC_NONE; codec <= CODEC_ZSTD; codec++) {
        struct filter_result r = run_filter((struct keyed_batch){10, -1, 12, -1, codec, -1, v, 3}, false, &b);
        assert_int_equal(r.fate, FILTER_KEPT);
        assert_memory_equal(out.at, batch, out.bytes);
    }
}

static void what_the_map_does_not_cover_stays(void **state)
{
    (void)state;
    const struct keyed_record v[] = {{0, 1, "a", "x"}, {1, 2, NULL, "no key"}, {2, 3, "a", NULL}};
    struct batch b;
    filter.now_ms = -1; /* else the tombstone would get its horizon */
    assert_int_equal(run_filter((struct keyed_batch){20, -1, 2, -1, 0, -1, v, 3}, false, &b).fate, FILTER_KEPT);
}

static void tombstones_go_in_two_steps(void **state)
{
    (void)state;
    const struct keyed_record v[] = {{0, 1000, "a", "old"}, {5, 2000, "gone", NULL}, {6, 2500, "c", "x"}};
    const int kept[] = {1, 2};
    for (int16_t codec = CODEC_NONE; codec <= CODEC_ZSTD; codec++) {
        struct batch first, b;
        struct filter_result r = run_filter((struct keyed_batch){8, -1, 6, -1, codec, -1, v, 3}, false, &first);
        filter.now_ms = NOW;
        assert_int_equal(r.fate, FILTER_CHANGED);
        assert_int_equal(first.attributes, codec | BATCH_DELETE_HORIZON);
        assert_int_equal(first.base_timestamp, NOW + DAY);
        assert_int_equal(first.max_timestamp, 2500);
        assert_records(&first, v, kept, 2);
        struct clean_bytes once = out;
        out = (struct clean_bytes){.heap = heap};
        filter.now_ms = NOW + DAY - 1; /* the horizon stays what it was */
        assert_int_equal(filter_batch(&filter, once.at, &first, false, &out, &r), ERR_NONE);
        assert_int_equal(r.fate, FILTER_KEPT);
        assert_memory_equal(out.at, once.at, once.bytes);
        filter.now_ms = -1; /* held */
        out.bytes = 0;
        assert_int_equal(filter_batch(&filter, once.at, &first, false, &out, &r), ERR_NONE);
        assert_int_equal(r.fate, FILTER_KEPT);
        filter.now_ms = NOW + DAY;
        out.bytes = 0;
        assert_int_equal(filter_batch(&filter, once.at, &first, false, &out, &r), ERR_NONE);
        assert_int_equal(r.fate, FILTER_CHANGED);
        assert_true(batch_parse(out.at, out.bytes, &b));
        assert_records(&b, v, kept + 1, 1);
        assert_int_equal(b.max_timestamp, 2500);
        filter.now_ms = NOW;
        clean_bytes_deinit(&once);
    }
}

static void a_clock_that_is_held_sets_no_horizon(void **state)
{
    (void)state;
    const struct keyed_record v[] = {{0, 2000, "gone", NULL}};
    struct batch b;
    filter.now_ms = -1;
    assert_int_equal(run_filter((struct keyed_batch){13, -1, 0, -1, 0, -1, v, 1}, false, &b).fate, FILTER_KEPT);
    assert_int_equal(b.attributes, 0);
}

static void tombstones_may_be_kept_for_ever(void **state)
{
    (void)state;
    const struct keyed_record v[] = {{0, 2000, "gone", NULL}};
    const int kept[] = {0};
    struct filter_result r;
    struct batch b;
    filter.delete_retention_ms = INT64_MAX;
    assert_int_equal(run_filter((struct keyed_batch){13, -1, 0, -1, 0, -1, v, 1}, false, &b).fate, FILTER_CHANGED);
    assert_int_equal(b.base_timestamp, INT64_MAX);
    assert_records(&b, v, kept, 1);
    struct clean_bytes once = out;
    out = (struct clean_bytes){.heap = heap};
    filter.now_ms = NOW + 100000 * (int64_t)DAY;
    assert_int_equal(filter_batch(&filter, once.at, &b, false, &out, &r), ERR_NONE);
    assert_int_equal(r.fate, FILTER_KEPT);
    clean_bytes_deinit(&once);
}

static void emptied_batches_stay_where_somebody_needs_them(void **state)
{
    (void)state;
    const struct keyed_record v[] = {{0, 700, "a", "old"}, {1, 800, "b", "old"}};
    const struct producer_last producers[] = {{5, 9, 0}, {77, 3, 0}, {80, 11, 0}};
    const struct {
        int64_t producer_id;
        bool last;
        enum filter_fate fate;
    } cases[] = {{-1, false, FILTER_DROPPED},
                 {5, false, FILTER_EMPTIED},
                 {77, false, FILTER_DROPPED},
                 {6, false, FILTER_DROPPED},
                 {-1, true, FILTER_EMPTIED}};
    filter.producers = producers;
    filter.producer_count = 3;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct batch b;
        struct filter_result r =
            run_filter((struct keyed_batch){8, cases[i].producer_id, 1, 4, CODEC_GZIP, 2, v, 2}, cases[i].last, &b);
        assert_int_equal(r.fate, cases[i].fate);
        assert_int_equal(r.max_timestamp, -1);
        if (r.fate == FILTER_DROPPED) {
            assert_int_equal(r.bytes, 0);
            continue;
        }
        assert_int_equal(b.bytes, BATCH_HEADER_BYTES);
        assert_int_equal(b.count, 0);
        assert_int_equal(b.attributes, 0);
        assert_int_equal(b.base_timestamp, -1);
        assert_int_equal(b.max_timestamp, 800);
        struct clean_bytes once = out; /* one that is empty already is the same again, and goes when nobody needs it */
        out = (struct clean_bytes){.heap = heap};
        assert_int_equal(filter_batch(&filter, once.at, &b, cases[i].last, &out, &r), ERR_NONE);
        assert_int_equal(r.fate, FILTER_KEPT);
        assert_memory_equal(out.at, once.at, BATCH_HEADER_BYTES);
        out.bytes = 0;
        filter.producer_count = 0;
        assert_int_equal(filter_batch(&filter, once.at, &b, false, &out, &r), ERR_NONE);
        assert_int_equal(r.fate, FILTER_DROPPED);
        filter.producer_count = 3;
        clean_bytes_deinit(&once);
    }
}

static void log_append_time_is_the_time_of_all_its_records(void **state)
{
    (void)state;
    const struct keyed_record v[] = {{0, 1000, "a", "old"}, {5, 1000, "gone", NULL}, {6, 1000, "c", "x"}};
    struct batch b;
    struct filter_result r = run_filter((struct keyed_batch){8, -1, 6, -1, BATCH_LOG_APPEND_TIME, -1, v, 3}, false, &b);
    assert_int_equal(b.attributes, BATCH_LOG_APPEND_TIME | BATCH_DELETE_HORIZON);
    assert_int_equal(b.max_timestamp, 1000);
    assert_int_equal(r.records_kept, 2);
    const int kept[] = {1, 2};
    assert_records(&b, v, kept, 2);
}

/* A marker at `offset`, filtered; false: it went. */
static bool keep_marker(int64_t offset, int64_t producer_id, bool commit, struct filter_result *r,
                        struct batch *out_batch)
{
    uint8_t marker[BATCH_MARKER_BYTES];
    struct batch b;
    batch_write_marker(marker, producer_id, 0, 900, &(struct batch_marker){.coordinator_epoch = 3, .commit = commit});
    be64_put(marker, (uint64_t)offset);
    assert_true(batch_parse(marker, sizeof marker, &b));
    out.bytes = 0;
    assert_int_equal(filter_batch(&filter, marker, &b, false, &out, r), ERR_NONE);
    if (out.bytes)
        assert_true(batch_parse(out.at, out.bytes, out_batch) && batch_crc(out.at, out_batch->bytes) == out_batch->crc);
    return out.bytes > 0;
}

static void a_pass_begins(void)
{
    clean_txns_end(filter.txns);
    assert_int_equal(clean_txns_begin(filter.txns, heap), ERR_NONE);
}

static void what_was_aborted_goes(void **state)
{
    (void)state;
    struct aborted_txn v[] = {{2, 40, 50, 51}, {1, 8, 11, 12}, {1, 30, 33, 34}};
    filter.txns->aborted = v;
    filter.txns->count = COUNT_OF(v);
    filter.txns->sorted = false;
    a_pass_begins();
    const struct keyed_record a[] = {{0, 1000, "a", "new"}}, c[] = {{0, 1000, "c", "new"}};
    static const struct {
        int64_t offset, producer_id;
        int16_t attributes;
        bool stays;
    } cases[] = {{10, 1, BATCH_TRANSACTIONAL, false},
                 {10, 2, BATCH_TRANSACTIONAL, true},
                 {12, 1, BATCH_TRANSACTIONAL, true},
                 {30, 1, BATCH_TRANSACTIONAL, false},
                 {32, 1, 0, true},
                 {45, 2, BATCH_TRANSACTIONAL, false}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct batch b;
        struct filter_result r = run_filter(
            (struct keyed_batch){cases[i].offset, cases[i].producer_id, 0, 0, cases[i].attributes, 1, i ? c : a, 1},
            false, &b);
        assert_int_equal(r.fate, cases[i].stays ? FILTER_KEPT : FILTER_DROPPED);
        assert_int_equal(r.aborted.producer_id, -1);
    }
    /* Nor does the map take any of it. */
    struct batch b;
    bool full;
    struct dedupe fresh;
    assert_int_equal(dedupe_open(&fresh, heap, 100, 1 << 20, 0.9, secret), ERR_NONE);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint32_t bytes = make_keyed_batch(
            batch, sizeof batch,
            (struct keyed_batch){cases[i].offset, cases[i].producer_id, 0, 0, cases[i].attributes, 1, c, 1}, heap);
        assert_true(batch_parse(batch, bytes, &b));
        assert_int_equal(filter_map_batch(&fresh, filter.txns, batch, &b, 0, heap, &full), ERR_NONE);
        assert_int_equal(fresh.end_offset, cases[i].offset + 1);
        assert_int_equal(dedupe_find(&fresh, "c", 1), i == 0 ? -1 : i == 1 ? 10 : i < 4 ? 12 : 32);
    }
    dedupe_close(&fresh);
}

static void a_marker_stays_until_its_transaction_is_gone_and_the_horizon_is_over(void **state)
{
    (void)state;
    struct aborted_txn v[] = {{1, 8, 11, 12}};
    filter.txns->aborted = v;
    filter.txns->count = COUNT_OF(v);
    filter.txns->sorted = false;
    const struct keyed_record records[] = {{0, 1000, "z", "new"}};
    for (int commit = 0; commit < 2; commit++) {
        int64_t producer_id = commit ? 5 : 1;
        struct batch b, kept;
        struct filter_result r;
        filter.now_ms = NOW;
        a_pass_begins();
        (void)run_filter((struct keyed_batch){8, producer_id, 0, 0, BATCH_TRANSACTIONAL, 1, records, 1}, false, &b);
        assert_true(keep_marker(11, producer_id, commit, &r, &kept));
        assert_int_equal(r.fate, FILTER_KEPT);
        assert_int_equal(r.aborted.producer_id, commit ? -1 : 1);
        assert_true(keep_marker(14, 9, commit, &r, &kept)); /* of somebody else, of which nothing is left */
        assert_int_equal(r.fate, FILTER_CHANGED);
        a_pass_begins();
        assert_true(keep_marker(11, producer_id, commit, &r, &kept));
        assert_int_equal(r.fate, FILTER_CHANGED);
        assert_int_equal(r.aborted.producer_id, -1);
        assert_true(kept.attributes & BATCH_DELETE_HORIZON);
        assert_int_equal(kept.base_timestamp, NOW + DAY);
        assert_int_equal(kept.max_timestamp, 900);
        struct batch_marker marker;
        assert_true(batch_read_marker(&kept, out.at, &marker));
        assert_int_equal(marker.commit, commit);
        assert_int_equal(marker.coordinator_epoch, 3);
        uint8_t once[200];
        memcpy(once, out.at, out.bytes);
        for (int over = 0; over < 2; over++) {
            a_pass_begins();
            out.bytes = 0;
            filter.now_ms = NOW + DAY - 1 + over;
            assert_int_equal(filter_batch(&filter, once, &kept, false, &out, &r), ERR_NONE);
            assert_int_equal(r.fate, over ? FILTER_DROPPED : FILTER_KEPT);
        }
        a_pass_begins(); /* something of it is there again: whatever the horizon says */
        (void)run_filter((struct keyed_batch){9, producer_id, 0, 0, BATCH_TRANSACTIONAL, 1, records, 1}, false, &b);
        out.bytes = 0;
        assert_int_equal(filter_batch(&filter, once, &kept, false, &out, &r), ERR_NONE);
        assert_int_equal(r.fate, FILTER_KEPT);
    }
}

static void the_last_marker_of_a_producer_without_batches_stays(void **state)
{
    (void)state;
    const struct producer_last producers[] = {{5, -1, 0}, {6, -1, 1}, {7, 10, 0}};
    filter.producers = producers;
    filter.producer_count = 3;
    a_pass_begins();
    filter.now_ms = INT64_MAX - 1;
    for (int64_t id = 5; id <= 8; id++) {
        struct batch kept;
        struct filter_result r;
        uint8_t once[200];
        assert_true(keep_marker(11, id, true, &r, &kept)); /* it gets its horizon */
        memcpy(once, out.at, out.bytes);
        be64_put(once + 27, 1);
        be32_put(once + 17, batch_crc(once, kept.bytes));
        assert_true(batch_parse(once, kept.bytes, &kept));
        out.bytes = 0;
        assert_int_equal(filter_batch(&filter, once, &kept, false, &out, &r), ERR_NONE);
        assert_int_equal(r.fate, id == 5 ? FILTER_EMPTIED : FILTER_DROPPED);
    }
}

static void records_that_are_not_what_the_header_says_are_damage(void **state)
{
    (void)state;
    const struct keyed_record good[] = {{0, 1, "a", "x"}, {1, 2, "b", "x"}},
                              falling[] = {{1, 1, "a", "x"}, {0, 2, "b", "x"}},
                              beyond[] = {{0, 1, "a", "x"}, {9, 2, "b", "x"}};
    const struct {
        const struct keyed_record *v;
        int32_t count;
    } cases[] = {{good, 3}, {good, 1}, {falling, 2}, {beyond, 2}, {good, -1}, {good, INT32_MAX}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (int16_t codec = CODEC_NONE; codec <= CODEC_ZSTD; codec++) {
            struct batch b;
            struct filter_result r;
            bool full;
            uint32_t bytes = make_keyed_batch(batch, sizeof batch,
                                              (struct keyed_batch){8, -1, 1, -1, codec, -1, cases[i].v, 2}, heap);
            be32_put(batch + 57, (uint32_t)cases[i].count);
            assert_true(batch_parse(batch, bytes, &b));
            out.bytes = 0;
            assert_int_equal(filter_batch(&filter, batch, &b, true, &out, &r), ERR_CORRUPT);
            assert_int_equal(out.bytes, 0);
            struct dedupe fresh;
            assert_int_equal(dedupe_open(&fresh, heap, 100, 1 << 20, 0.9, secret), ERR_NONE);
            assert_int_equal(filter_map_batch(&fresh, &txns, batch, &b, 0, heap, &full), ERR_CORRUPT);
            dedupe_close(&fresh);
        }
    }
}

static void the_map_takes_keys_from_the_first_dirty_offset_on(void **state)
{
    (void)state;
    const struct keyed_record v[] = {{0, 1, "p", "x"}, {1, 2, NULL, "x"}, {2, 3, "q", NULL}, {4, 5, "p", "y"}};
    struct batch b;
    bool full;
    uint32_t bytes =
        make_keyed_batch(batch, sizeof batch, (struct keyed_batch){30, -1, 6, -1, CODEC_LZ4, -1, v, 4}, heap);
    assert_true(batch_parse(batch, bytes, &b));
    assert_int_equal(filter_map_batch(&map, &txns, batch, &b, 32, heap, &full), ERR_NONE);
    assert_false(full);
    assert_int_equal(dedupe_find(&map, "p", 1), 34);
    assert_int_equal(dedupe_find(&map, "q", 1), 32);
    assert_int_equal(map.end_offset, 37);
    struct dedupe tiny;
    assert_int_equal(dedupe_open(&tiny, heap, 2, 2 * DEDUPE_SLOT_BYTES, 0.9, secret), ERR_NONE);
    assert_int_equal(filter_map_batch(&tiny, &txns, batch, &b, 0, heap, &full), ERR_NONE);
    assert_true(full); /* p had room, q not: what lies behind p is dirty still */
    assert_int_equal(tiny.end_offset, 31);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(only_the_latest_of_each_key_stays_with_every_codec),
        TEST(a_batch_in_which_nothing_changes_is_copied),
        TEST(what_the_map_does_not_cover_stays),
        TEST(tombstones_go_in_two_steps),
        TEST(a_clock_that_is_held_sets_no_horizon),
        TEST(tombstones_may_be_kept_for_ever),
        TEST(emptied_batches_stay_where_somebody_needs_them),
        TEST(log_append_time_is_the_time_of_all_its_records),
        TEST(what_was_aborted_goes),
        TEST(a_marker_stays_until_its_transaction_is_gone_and_the_horizon_is_over),
        TEST(the_last_marker_of_a_producer_without_batches_stays),
        TEST(records_that_are_not_what_the_header_says_are_damage),
        TEST(the_map_takes_keys_from_the_first_dirty_offset_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
