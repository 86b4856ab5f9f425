/* Compressed batches on the data path: what announces more records than its bytes are likely to hold is counted by a job. */
#include "tests/unit/partition_world.h"
#include "storage/log/codec.h"
#include <zstd.h>

/* A batch of `count` records that says that it has `claimed`. */
static struct sent *append_packed(int32_t count, int32_t claimed, int32_t sequence)
{
    static uint8_t plain[MAKE_BATCH_MAX];
    assert_true(w.sent_count < APPENDS_MAX);
    struct make_batch m = {.producer_id = sequence < 0 ? -1 : 7,
                           .sequence = sequence,
                           .timestamp = 1000,
                           .count = count,
                           .attributes = CODEC_ZSTD};
    uint32_t bytes = make_batch(plain, m);
    uint8_t *packed = malloc(MAKE_BATCH_MAX);
    memcpy(packed, plain, BATCH_HEADER_BYTES);
    size_t n = ZSTD_compress(packed + BATCH_HEADER_BYTES, MAKE_BATCH_MAX - BATCH_HEADER_BYTES,
                             plain + BATCH_HEADER_BYTES, bytes - BATCH_HEADER_BYTES, 1);
    assert_false(ZSTD_isError(n));
    bytes = BATCH_HEADER_BYTES + (uint32_t)n;
    be32_put(packed + 8, bytes - BATCH_PREFIX_BYTES);
    be32_put(packed + 23, (uint32_t)claimed - 1);
    be32_put(packed + 57, (uint32_t)claimed);
    make_seal(packed, bytes);
    struct sent *s = &w.sent[w.sent_count++];
    *s = (struct sent){.bytes = packed, .count = (uint32_t)claimed};
    s->append = (struct append){.records = packed, .bytes = bytes, .produce_version = 9, .done = appended};
    partition_append(w.p, &s->append);
    assert_false(s->over);
    return s;
}

static void a_lie_about_the_count_moves_nothing(void **state)
{
    (void)state;
    static const int32_t lies[] = {INT32_MAX, INT32_MAX - 1, 1 << 20, 20001, 19999};
    make_topic(NULL, 0);
    append(1, 1);
    all_are_acked();
    for (size_t i = 0; i < COUNT_OF(lies); i++) {
        struct sent *lie = append_packed(20000, lies[i], -1);
        until(&lie->over);
        assert_int_equal(lie->append.error, KERR_INVALID_RECORD);
        assert_non_null(lie->append.fault.message);
        assert_int_equal(partition_facts(w.p).end_offset, 1);
        assert_int_equal(w.p->segments.count, 1);
    }
}

static void what_it_says_truly_is_taken_in_order(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    struct sent *before = append(2, 10), *packed = append_packed(20000, 20000, 0),
                *again = append_packed(20000, 20000, 0), *behind = append(1, 10);
    until(&behind->over);
    assert_true(before->over && packed->over && again->over);
    assert_int_equal(before->append.error | packed->append.error | again->append.error | behind->append.error,
                     KERR_NONE);
    assert_true(packed->append.bytes < 20000); /* the job was needed */
    assert_int_equal(packed->append.base_offset, 2);
    assert_int_equal(again->append.base_offset, 2);
    assert_int_equal(behind->append.base_offset, 20002);
}

static void a_flipped_bit_in_it_is_corrupt(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    append(1, 1);
    all_are_acked();
    struct sent *s = append_packed(20000, 20000, -1);
    s->bytes[s->append.bytes - 1] ^= 1; /* while it is counted: the job has a copy */
    until(&s->over);
    assert_int_equal(s->append.error, KERR_CORRUPT_MESSAGE);
}

static void a_stop_waits_for_the_job_and_refuses_the_append(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    append(1, 1);
    all_are_acked();
    struct sent *s = append_packed(20000, 20000, -1);
    assert_non_null(w.p->writer.unpack);
    stop_begin();
    until(&s->over);
    assert_int_equal(s->append.error, KERR_NOT_LEADER_OR_FOLLOWER);
    stop_end();
    start();
    find_partition("t");
    assert_int_equal(partition_facts(w.p).end_offset, 1);
}

static void the_timestamp_type_bit_is_cleared(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    struct sent *s = append_made((struct make_batch){.producer_id = -1,
                                                     .sequence = -1,
                                                     .timestamp = 1000,
                                                     .count = 3,
                                                     .value_bytes = 9,
                                                     .attributes = BATCH_LOG_APPEND_TIME});
    until(&s->over);
    assert_int_equal(s->append.error, KERR_NONE);
    struct part_read r = {.offset = 0, .max_bytes = 1 << 20, .first_whole = true, .done = read_done};
    assert_true(partition_read(w.p, &r));
    struct batch b;
    assert_true(batch_parse(r.slices.v[0].at, r.slices.v[0].bytes, &b));
    assert_int_equal(b.attributes, 0);
    assert_int_equal(batch_crc(r.slices.v[0].at, b.bytes), b.crc);
    slices_deinit(&r.slices);
}

static void bytes_behind_the_batch_are_left_out(void **state)
{
    (void)state;
    make_topic(NULL, 0);
    uint8_t *bytes = malloc(MAKE_BATCH_MAX);
    uint32_t size = make_batch(bytes, (struct make_batch){.producer_id = -1, .timestamp = 1000, .count = 1});
    bytes[size] = bytes[size + 1] = 0xee;
    struct sent *s = &w.sent[w.sent_count++];
    *s = (struct sent){.bytes = bytes, .count = 1};
    s->append = (struct append){.records = bytes, .bytes = size + 2, .produce_version = 9, .done = appended};
    partition_append(w.p, &s->append);
    until(&s->over);
    assert_int_equal(s->append.error, KERR_NONE);
    assert_int_equal(w.p->end.position, size);
}

#define CASE(f)                                                                    \
    {                                                                              \
        .name = #f, .test_func = f, .setup_func = setup, .teardown_func = teardown \
    }
int main(void)
{
    struct CMUnitTest tests[] = {
        CASE(a_lie_about_the_count_moves_nothing), CASE(what_it_says_truly_is_taken_in_order),
        CASE(a_flipped_bit_in_it_is_corrupt),      CASE(a_stop_waits_for_the_job_and_refuses_the_append),
        CASE(the_timestamp_type_bit_is_cleared),   CASE(bytes_behind_the_batch_are_left_out),
    };
    return run_in_modes(tests, COUNT_OF(tests), COUNT_OF(modes));
}
