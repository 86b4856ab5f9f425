/* Reading a log from which compaction took batches, records and a whole segment: fetches, look-ups by time (timestamps go up and down),
 * moving the start into a gap; with the checkpoint, and after a crash that lost it. */
#include "storage/log/folder.h"
#define DIR "build/tests/unit/gaps"
#include "core/rng.h"
#include "tests/unit/partition_world.h"

enum { BATCHES = 110, VALUE = 30000, LIVE_MAX = 512 };
#define LOG DIR "/data/t-0"
static const struct topic_override small[] = {{"segment.bytes", "1048576"}};

/* --- what is left --- */

static struct live {
    int64_t first, last, timestamp;
    int32_t count; /* 0: emptied */
} live[LIVE_MAX];
static int live_count;
static struct rng rng;

enum fate { KEPT, EMPTIED, GONE };

static size_t empty_batch(uint8_t *at)
{
    be32_put(at + 8, BATCH_HEADER_BYTES - BATCH_PREFIX_BYTES);
    be64_put(at + 27, UINT64_MAX);
    be32_put(at + 57, 0);
    make_seal(at, BATCH_HEADER_BYTES);
    return BATCH_HEADER_BYTES;
}

/* The segment's file again, with what is left. The first keeps half, the second only empty batches, the third nothing of its end, the fourth is
 * gone; the active one is whole. */
static void clean_segment(int64_t base, uint32_t number, bool active)
{
    static uint8_t to[2 << 20];
    char path[FS_PATH_MAX];
    uint8_t *from;
    size_t bytes, kept = 0;
    struct batch b;
    assert_true(segment_path(path, LOG, base, ".log"));
    assert_int_equal(segment_read_file(w.heap, path, sizeof to, &from, &bytes), ERR_NONE);
    for (size_t at = 0; at < bytes; at += b.bytes) {
        assert_true(batch_parse(from + at, bytes - at, &b));
        uint64_t one_of_three = rng_below(&rng, 3);
        enum fate fate = active              ? KEPT
                         : number == 1       ? (one_of_three ? GONE : EMPTIED)
                         : one_of_three == 0 ? KEPT
                         : one_of_three == 1 ? EMPTIED
                                             : GONE;
        if (number == 3 || (number == 2 && at > bytes / 2))
            fate = GONE;
        if (at == 0 && number < 3)
            fate = number == 1 ? EMPTIED : KEPT;
        if (fate == GONE)
            continue;
        memcpy(to + kept, from + at, b.bytes);
        live[live_count++] =
            (struct live){b.base_offset, batch_last_offset(&b), b.max_timestamp, fate == KEPT ? b.count : 0};
        kept += fate == KEPT ? b.bytes : empty_batch(to + kept);
    }
    heap_free(w.heap, from);
    if (active)
        return;
    assert_int_equal(number == 3 ? folder_remove_segment(LOG, base) : segment_write_file(path, to, kept), ERR_NONE);
    if (number == 3)
        return;
    assert_true(segment_path(path, LOG, base, ".index"));
    assert_int_equal(fs_unlink(path), ERR_NONE);
    assert_true(segment_path(path, LOG, base, ".timeindex"));
    assert_int_equal(fs_unlink(path), ERR_NONE);
}

static void clean_log(void)
{
    struct folder f;
    live_count = 0;
    assert_int_equal(folder_read(&f, w.heap, LOG), ERR_NONE);
    assert_true(f.segments.count >= 6);
    for (uint32_t i = 0; i < f.segments.count; i++)
        clean_segment(f.segments.v[i], i, i + 1 == f.segments.count);
    folder_close(&f);
}

/* The snapshot behind the segment that is gone is that of the next one: it stays. */
static void make_log(void)
{
    rng = (struct rng){11};
    make_topic(small, 1);
    for (int i = 0; i < BATCHES; i++) {
        append_made((struct make_batch){.producer_id = -1,
                                        .producer_epoch = -1,
                                        .sequence = -1,
                                        .timestamp = 1000 + (int64_t)rng_below(&rng, 1000),
                                        .count = 1 + i % 3,
                                        .value_bytes = VALUE});
        if (i % 20 == 19)
            all_are_acked();
    }
    all_are_acked();
    stop();
    clean_log();
    start();
    find_partition("t");
}

/* --- asking --- */

static const struct live *first_at(int64_t offset)
{
    for (int i = 0; i < live_count; i++)
        if (live[i].last >= offset)
            return &live[i];
    return NULL;
}

/* The first batch at or above the offset, whole, and with room for more those behind it. */
static int64_t read_at(int64_t offset, uint32_t max_bytes)
{
    struct part_read r = {.offset = offset, .max_bytes = max_bytes, .first_whole = true, .done = read_done};
    read_is_over = partition_read(w.p, &r);
    until(&read_is_over);
    assert_int_equal(r.error, KERR_NONE);
    const struct live *want = first_at(offset);
    while (want && want->count == 0 && want + 1 < live + live_count)
        want++; /* an answer does not begin with a batch without records, if another is behind it */
    int64_t next = offset;
    if (!want)
        assert_int_equal(r.slices.count, 0);
    uint8_t *all = malloc(r.slices.bytes + 1), *end = all; /* a batch may begin in one slice and end in the next */
    for (uint32_t i = 0; i < r.slices.count; end += r.slices.v[i++].bytes)
        memcpy(end, r.slices.v[i].at, r.slices.v[i].bytes);
    struct batch b;
    for (const uint8_t *at = all; at < end && batch_parse(at, (size_t)(end - at), &b) && b.bytes <= end - at;
         at += b.bytes) {
        assert_int_equal(b.base_offset, want->first);
        assert_int_equal(batch_last_offset(&b), want->last);
        assert_int_equal(b.count, want->count);
        next = want->last + 1;
        want++;
    }
    free(all);
    assert_true(!first_at(offset) || next > offset);
    slices_deinit(&r.slices);
    return next;
}

static void must_look_up(int64_t timestamp, bool max, int64_t want, int64_t want_timestamp)
{
    struct time_lookup l = look_up_by_time(timestamp, max, false);
    assert_int_equal(l.error, KERR_NONE);
    assert_int_equal(l.found_offset, want);
    assert_int_equal(l.found_timestamp, want_timestamp);
}

static void look_up_all(int64_t start)
{
    int64_t largest = -1, largest_offset = -1;
    for (int i = 0; i < live_count; i++) {
        if (live[i].count > 0 && live[i].last >= start && live[i].timestamp > largest) {
            largest = live[i].timestamp;
            largest_offset = live[i].first < start ? start : live[i].first;
        }
    }
    must_look_up(0, true, largest_offset, largest);
    for (int64_t timestamp = 0; timestamp < 2100; timestamp += timestamp < 990 ? 330 : 7) {
        int64_t want = -1, want_timestamp = -1;
        for (int i = 0; i < live_count && want < 0; i++) {
            if (live[i].count > 0 && live[i].last >= start && live[i].timestamp >= timestamp) {
                want = live[i].first < start ? start : live[i].first;
                want_timestamp = live[i].timestamp;
            }
        }
        must_look_up(timestamp, false, want, want_timestamp);
    }
}

static void read_all(int64_t start)
{
    int64_t end = partition_facts(w.p).end_offset;
    for (int64_t offset = start; offset < end; offset++)
        (void)read_at(offset, offset % 2 ? 1 : 100000);
    for (uint32_t max_bytes = 1; max_bytes < 2000000; max_bytes *= 100) /* a consumer's way through it */
        for (int64_t offset = start; offset < end;)
            offset = read_at(offset, max_bytes);
    look_up_all(start);
}

/* --- statements --- */

static void a_log_with_gaps_is_read(void **state)
{
    (void)state;
    make_log();
    read_all(0);
    read_all(0); /* with indexes in memory, and ends of reads known */
}

static void lose_checkpoints(void)
{
    kill_broker();
    forget_sent();
    assert_int_equal(system("rm -f " DIR "/data/recovery-point-*"), 0);
    start();
    find_partition("t");
}

static void a_log_with_gaps_is_recovered_without_a_checkpoint(void **state)
{
    (void)state;
    make_log();
    int64_t end = partition_facts(w.p).end_offset;
    lose_checkpoints();
    assert_int_equal(partition_facts(w.p).end_offset, end);
    read_all(0);
    struct sent *s = append(2, 100);
    all_are_acked();
    (void)s;
    live[live_count++] = (struct live){end, end + 1, 1000, 2};
    read_all(0);
}

/* Kafka's index of a segment names the timestamp of a batch that was emptied: it is not the largest. */
static void the_largest_timestamp_is_that_of_a_record(void **state)
{
    (void)state;
    make_log();
    int most = 0;
    for (int i = 0; i < live_count; i++)
        if (live[i].count == 0 && live[i].timestamp > live[most].timestamp)
            most = i;
    struct segment *s = segments_of_offset(&w.p->segments, live[most].first);
    s->times_known = true;
    s->max_timestamp = 5000;
    s->max_timestamp_offset = live[most].last;
    look_up_all(0);
}

static uint32_t trims_over;
static void trim_done(struct log_trim *t)
{
    (void)t;
    trims_over++;
}
static void must_trim(int64_t before)
{
    struct log_trim t = {.before = before, .done = trim_done};
    trims_over = 0;
    partition_trim(w.p, &t);
    uint64_t end = clock_now_ns() + WAIT_S * NS_PER_S;
    while (!trims_over) {
        assert_true(clock_now_ns() < end);
        turn();
    }
    assert_int_equal(t.error, KERR_NONE);
    assert_int_equal(t.low_watermark, before);
}

static void the_start_moves_into_a_gap(void **state)
{
    (void)state;
    make_log();
    int64_t before = 0;
    uint32_t moves = 0;
    for (int i = 0; i + 1 < live_count; i++) {
        int64_t gap = live[i + 1].first - live[i].last - 1;
        if (gap < 1 || live[i].last + 1 <= before)
            continue;
        before = live[i].last + 1 + gap / 2;
        must_trim(before);
        int64_t next = read_at(before, 1);
        int first = i + 1;
        while (live[first].count == 0 && first + 1 < live_count)
            first++;
        assert_int_equal(next, live[first].last + 1);
        if (moves++ % 4 == 0)
            look_up_all(before);
    }
    assert_true(moves > 8);
    lose_checkpoints();
    assert_int_equal(partition_facts(w.p).log_start_offset, before);
    read_all(before);
}

int main(void)
{
    struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_log_with_gaps_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(a_log_with_gaps_is_recovered_without_a_checkpoint, setup, teardown),
        cmocka_unit_test_setup_teardown(the_largest_timestamp_is_that_of_a_record, setup, teardown),
        cmocka_unit_test_setup_teardown(the_start_moves_into_a_gap, setup, teardown),
    };
    return run_in_modes(tests, COUNT_OF(tests), 2);
}
