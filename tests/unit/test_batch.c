/* Batches: what a producer may send, and what a walk over records survives. */
#include "core/rng.h"
#include "tests/unit/make_batch.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { NOW = 1700000000 };
static uint8_t sent[MAKE_BATCH_MAX];
static const struct batch_limits usual = {
    .max_message_bytes = 1048588,
    .segment_bytes = 1 << 30,
    .now_ms = NOW,
    .timestamp_before_max_ms = INT64_MAX,
    .timestamp_after_max_ms = 3600000,
    .produce_version = 9,
};
static const struct make_batch good = {
    .timestamp = NOW,
    .producer_id = -1,
    .producer_epoch = -1,
    .sequence = -1,
    .leader_epoch = -1,
    .count = 3,
    .value_bytes = 100,
};

static enum kerr check_at(uint32_t bytes, const struct batch_limits *limits, struct batch_fault *fault)
{
    struct batch b;
    uint8_t *exact = calloc(1, bytes ? bytes : 1); /* exact, so that asan sees a read behind it */
    memcpy(exact, sent, bytes);
    enum kerr code = batch_check(exact, bytes, limits, &b, fault);
    free(exact);
    return code;
}

static void good_batches_are_taken(void **state)
{
    (void)state;
    static const struct make_batch cases[] = {
        {.timestamp = NOW, .producer_id = -1, .count = 1},
        {.timestamp = NOW, .producer_id = 7, .sequence = 0, .count = 1000, .value_bytes = 10},
        {.timestamp = -1, .producer_id = -1, .count = 2, .no_key = true},
        {.timestamp = 0, .producer_id = -1, .count = 4, .value_bytes = 65536},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct batch b;
        struct batch_fault fault;
        uint32_t bytes = make_batch(sent, cases[i]);
        assert_int_equal(batch_check(sent, bytes, &usual, &b, &fault), KERR_NONE);
        assert_int_equal(b.bytes, bytes);
        assert_int_equal(b.count, cases[i].count);
        assert_int_equal(b.crc, batch_crc(sent, bytes));
        assert_int_equal(fault.record, -1);
    }
}

/* One field is spoilt, the CRC is right again afterwards. */
struct field {
    const char *name;
    uint32_t at, bytes;
    uint64_t value;
    enum kerr want;
};
static void put(uint32_t at, uint32_t bytes, uint64_t value)
{
    for (uint32_t i = 0; i < bytes; i++)
        sent[at + i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
}
static void each_illegal_field_has_its_error(void **state)
{
    (void)state;
    static const struct field cases[] = {
        {"length below any header", 8, 4, 13, KERR_CORRUPT_MESSAGE},
        {"negative length", 8, 4, 0xffffffff, KERR_CORRUPT_MESSAGE},
        {"length below this header", 8, 4, 48, KERR_CORRUPT_MESSAGE},
        {"length beyond the bytes", 8, 4, 100000, KERR_INVALID_RECORD},
        {"length before the end: the rest is no header", 8, 4, 60, KERR_CORRUPT_MESSAGE},
        {"magic 0", 16, 1, 0, KERR_INVALID_RECORD},
        {"magic 1", 16, 1, 1, KERR_INVALID_RECORD},
        {"magic 3", 16, 1, 3, KERR_CORRUPT_MESSAGE},
        {"magic -1", 16, 1, 255, KERR_CORRUPT_MESSAGE},
        {"base offset", 0, 8, 1, KERR_INVALID_RECORD},
        {"codec 5", 21, 2, 5, KERR_UNSUPPORTED_COMPRESSION_TYPE},
        {"codec 7", 21, 2, 7, KERR_UNSUPPORTED_COMPRESSION_TYPE},
        {"control batch", 21, 2, BATCH_CONTROL, KERR_INVALID_RECORD},
        {"transactional, of no producer", 21, 2, BATCH_TRANSACTIONAL, KERR_INVALID_TXN_STATE},
        {"last offset delta too small", 23, 4, 1, KERR_INVALID_RECORD},
        {"last offset delta too large", 23, 4, 3, KERR_INVALID_RECORD},
        {"negative last offset delta", 23, 4, 0xffffffff, KERR_INVALID_RECORD},
        {"count 0", 57, 4, 0, KERR_INVALID_RECORD},
        {"negative count", 57, 4, 0x80000000, KERR_INVALID_RECORD},
        {"count too large", 57, 4, 4, KERR_INVALID_RECORD},
        {"sequence -1 with a producer id", 43, 8, 5, KERR_INVALID_RECORD},
        {"timestamp in the future", 27, 8, NOW + 3600001, KERR_INVALID_TIMESTAMP},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct batch_fault fault;
        uint32_t bytes = make_batch(sent, good);
        put(cases[i].at, cases[i].bytes, cases[i].value);
        make_seal(sent, bytes);
        enum kerr got = check_at(bytes, &usual, &fault);
        if (got != cases[i].want)
            fail_msg("%s: %s", cases[i].name, kerr_name(got));
        assert_non_null(fault.message);
    }
}

static void count_and_offsets_agree_with_the_records(void **state)
{
    (void)state;
    for (int32_t count = 2; count <= 4; count++) {
        struct batch_fault fault;
        uint32_t bytes = make_batch(sent, good); /* three records */
        be32_put(sent + 23, (uint32_t)count - 1);
        be32_put(sent + 57, (uint32_t)count);
        make_seal(sent, bytes);
        assert_int_equal(check_at(bytes, &usual, &fault), count == 3 ? KERR_NONE : KERR_INVALID_RECORD);
    }
}

static void limits_hold_at_the_edge(void **state)
{
    (void)state;
    struct batch_fault fault;
    uint32_t bytes = make_batch(sent, good);
    struct batch_limits l = usual;
    l.max_message_bytes = bytes;
    l.segment_bytes = bytes;
    assert_int_equal(check_at(bytes, &l, &fault), KERR_NONE);
    l.max_message_bytes = bytes - 1;
    assert_int_equal(check_at(bytes, &l, &fault), KERR_MESSAGE_TOO_LARGE);
    l = usual;
    l.segment_bytes = bytes - 1;
    assert_int_equal(check_at(bytes, &l, &fault), KERR_RECORD_LIST_TOO_LARGE);
    l = usual;
    l.now_ms = NOW + 10;
    l.timestamp_before_max_ms = 10;
    assert_int_equal(check_at(bytes, &l, &fault), KERR_NONE);
    l.timestamp_before_max_ms = 9;
    assert_int_equal(check_at(bytes, &l, &fault), KERR_INVALID_TIMESTAMP);
    assert_int_equal(fault.record, 0);
    l.log_append_time = true; /* the producer's timestamps mean nothing then */
    assert_int_equal(check_at(bytes, &l, &fault), KERR_NONE);
}

static void a_compacted_topic_names_the_record_without_key(void **state)
{
    (void)state;
    struct batch_fault fault;
    struct make_batch m = good;
    struct batch_limits l = usual;
    l.compacted = true;
    assert_int_equal(check_at(make_batch(sent, m), &l, &fault), KERR_NONE);
    m.no_key = true;
    assert_int_equal(check_at(make_batch(sent, m), &l, &fault), KERR_INVALID_RECORD);
    assert_int_equal(fault.record, 0);
}

/* Kafka's: a batch that says LogAppendTime is taken where the topic has CreateTime, if there is a timestamp at all. */
static void the_timestamp_type_bit_counts_where_the_topic_has_it(void **state)
{
    (void)state;
    struct make_batch m = good;
    struct batch_limits l = usual;
    for (int16_t codec = CODEC_NONE; codec <= CODEC_GZIP; codec++) {
        struct batch_fault fault;
        m.attributes = (int16_t)(codec | BATCH_LOG_APPEND_TIME);
        m.timestamp = NOW;
        l.log_append_time = false;
        assert_int_equal(check_at(make_batch(sent, m), &l, &fault), KERR_NONE);
        m.timestamp = -1;
        assert_int_equal(check_at(make_batch(sent, m), &l, &fault), KERR_INVALID_TIMESTAMP);
        m.timestamp = NOW;
        l.log_append_time = true;
        uint32_t bytes = make_batch(sent, m);
        assert_int_equal(check_at(bytes, &l, &fault), KERR_INVALID_TIMESTAMP);
        struct batch_faults faults;
        int32_t record;
        const char *message;
        batch_faults_init(&faults, &fault, sent, bytes);
        for (int32_t i = 0; i < m.count; i++) {
            assert_true(batch_faults_next(&faults, &record, &message));
            assert_int_equal(record, i);
        }
        assert_false(batch_faults_next(&faults, &record, &message));
    }
}

/* A record with (k) or without a key each. */
static uint32_t made_of(const char *keys, const int64_t *timestamp_deltas)
{
    uint8_t *at = sent + BATCH_HEADER_BYTES;
    int32_t count = (int32_t)strlen(keys);
    for (int32_t i = 0; i < count; i++) {
        uint8_t body[64], *b = body;
        *b++ = 0;
        b = make_varint(b, timestamp_deltas[i]);
        b = make_varint(b, i);
        b = make_varint(b, keys[i] == 'k' ? 0 : -1);
        b = make_varint(b, 0);
        b = make_varint(b, 0);
        at = make_varint(at, b - body);
        memcpy(at, body, (size_t)(b - body));
        at += b - body;
    }
    struct make_batch m = good;
    uint8_t head[MAKE_BATCH_MAX / 1024];
    m.count = 1;
    m.value_bytes = 1;
    (void)make_batch(head, m);
    uint32_t bytes = (uint32_t)(at - sent);
    memcpy(sent, head, BATCH_HEADER_BYTES);
    be32_put(sent + 8, bytes - BATCH_PREFIX_BYTES);
    be32_put(sent + 23, (uint32_t)count - 1);
    be32_put(sent + 57, (uint32_t)count);
    make_seal(sent, bytes);
    return bytes;
}

static void every_record_at_fault_is_named(void **state)
{
    (void)state;
    static int64_t deltas[] = {0, 0, 99999999, 0, 99999999, 0};
    static const struct {
        const char *keys;
        int64_t *deltas;
        enum kerr want;
        int32_t first, count, records[6];
    } rows[] = {
        {"kkkkkk", deltas, KERR_INVALID_TIMESTAMP, 2, 2, {2, 4}},
        {"-kkk--", deltas, KERR_INVALID_TIMESTAMP, 2, 4, {0, 2, 4, 5}}, /* one timestamp gives the batch its error */
        {"k-", deltas, KERR_INVALID_RECORD, 1, 1, {1}},
        {"--", deltas, KERR_INVALID_RECORD, 0, 2, {0, 1}},
        {"kk", deltas, KERR_NONE, -1, 0, {0}},
    };
    struct batch_limits l = usual;
    l.compacted = true;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct batch_fault fault;
        struct batch_faults faults;
        int32_t record;
        const char *message;
        uint32_t bytes = made_of(rows[i].keys, rows[i].deltas);
        assert_int_equal(check_at(bytes, &l, &fault), rows[i].want);
        assert_int_equal(fault.record, rows[i].first);
        batch_faults_init(&faults, &fault, sent, bytes);
        for (int32_t k = 0; k < rows[i].count; k++) {
            assert_true(batch_faults_next(&faults, &record, &message));
            assert_int_equal(record, rows[i].records[k]);
            assert_non_null(message);
        }
        assert_false(batch_faults_next(&faults, &record, &message));
    }
}

static void zstd_needs_produce_7(void **state)
{
    (void)state;
    struct make_batch m = good;
    m.attributes = CODEC_ZSTD;
    uint32_t bytes = make_batch(sent, m);
    for (int16_t version = 3; version <= 9; version++) {
        struct batch_fault fault;
        struct batch_limits l = usual;
        l.produce_version = version;
        assert_int_equal(check_at(bytes, &l, &fault), version < 7 ? KERR_UNSUPPORTED_COMPRESSION_TYPE : KERR_NONE);
    }
}

static void exactly_one_batch_is_taken(void **state)
{
    (void)state;
    struct batch_fault fault;
    assert_int_equal(check_at(0, &usual, &fault), KERR_INVALID_RECORD);
    uint32_t one = make_batch(sent, good), two = one + make_batch(sent + one, good);
    assert_int_equal(check_at(two, &usual, &fault), KERR_INVALID_RECORD);
    for (uint32_t bytes = one; bytes < two; bytes++) /* the start of a second one is left out, as Kafka does */
        assert_int_equal(check_at(bytes, &usual, &fault), KERR_NONE);
    be32_put(sent + one + 8, 13);
    assert_int_equal(check_at(one + 11, &usual, &fault), KERR_NONE);
    assert_int_equal(check_at(one + 12, &usual, &fault), KERR_CORRUPT_MESSAGE);
    (void)make_batch(sent + one, good);
    sent[one + 16] = 3;
    assert_int_equal(check_at(one + 16, &usual, &fault), KERR_NONE);
    assert_int_equal(check_at(one + 17, &usual, &fault), KERR_CORRUPT_MESSAGE);
    for (uint32_t bytes = 1; bytes < one; bytes++)
        assert_int_equal(check_at(bytes, &usual, &fault), KERR_INVALID_RECORD);
}

/* A client retries CORRUPT_MESSAGE and drops a batch with INVALID_RECORD: a flipped bit behind the CRC never is the latter. */
static void a_flipped_bit_behind_the_crc_is_corrupt_or_left_to_the_copy(void **state)
{
    (void)state;
    uint32_t bytes = make_batch(sent, good);
    for (uint32_t bit = BATCH_CRC_FROM * 8; bit < bytes * 8; bit++) {
        struct batch_fault fault;
        sent[bit / 8] ^= (uint8_t)(1 << bit % 8);
        enum kerr code = check_at(bytes, &usual, &fault);
        assert_true(code == KERR_CORRUPT_MESSAGE ||
                    (code == KERR_NONE && batch_crc(sent, bytes) != be32_get(sent + 17)));
        sent[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void any_bytes_are_survived(void **state)
{
    (void)state;
    struct rng rng = {20261121};
    for (int round = 0; round < 20000; round++) {
        uint32_t bytes = make_batch(sent, good);
        for (uint64_t n = 1 + rng_below(&rng, 8); n > 0; n--)
            sent[16 + rng_below(&rng, bytes - 16)] = (uint8_t)rng_next(&rng);
        sent[16] = 2;
        make_seal(sent, bytes);
        struct batch_fault fault;
        uint32_t cut = round % 3 ? bytes : (uint32_t)rng_below(&rng, bytes);
        enum kerr code = check_at(cut, &usual, &fault);
        assert_true(code == KERR_NONE || fault.message != NULL);
    }
}

static void a_lying_max_timestamp_is_found(void **state)
{
    (void)state;
    struct batch b;
    struct batch_fault fault;
    uint32_t bytes = make_batch(sent, good);
    be64_put(sent + 35, NOW + 77);
    make_seal(sent, bytes);
    assert_int_equal(batch_check(sent, bytes, &usual, &b, &fault), KERR_NONE);
    assert_int_equal(b.max_timestamp, NOW);
    assert_int_equal(batch_header_max_timestamp(sent), NOW + 77);
}

/* As Java's do. A batch may say anything, and ListOffsets adds it up. */
static void sums_of_timestamps_wrap(void **state)
{
    (void)state;
    static const struct {
        int64_t base, delta, sum;
    } rows[] = {{5, -7, -2},
                {INT64_MAX, 0, INT64_MAX},
                {INT64_MAX, 1, INT64_MIN},
                {INT64_MAX, INT64_MAX, -2},
                {INT64_MIN, -1, INT64_MAX},
                {INT64_MIN, INT64_MIN, 0}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct batch b = {.base_timestamp = rows[i].base};
        struct batch_record r = {.timestamp_delta = rows[i].delta};
        assert_int_equal(batch_record_timestamp(&b, &r), rows[i].sum);
    }
    for (int far = 0; far < 2;
         far++) { /* neither is near now: it is refused, and nothing was added up wrongly on the way */
        struct batch b;
        struct batch_fault fault;
        struct batch_limits near = usual;
        near.timestamp_before_max_ms = near.timestamp_after_max_ms = 1000;
        uint32_t bytes = make_batch(sent, good);
        be64_put(sent + 27, (uint64_t)(far ? INT64_MAX : INT64_MIN));
        make_seal(sent, bytes);
        assert_int_equal(batch_check(sent, bytes, &near, &b, &fault), KERR_INVALID_TIMESTAMP);
    }
}

static void records_are_read_as_written(void **state)
{
    (void)state;
    struct make_batch m = good;
    uint32_t bytes = make_batch(sent, m);
    struct batch_cursor c = {sent + BATCH_HEADER_BYTES, sent + bytes};
    struct batch_record r;
    for (int32_t i = 0; i < m.count; i++) {
        assert_true(batch_next(&c, &r));
        assert_int_equal(r.offset_delta, i);
        assert_int_equal(r.key_bytes, 1);
        assert_int_equal(r.value_bytes, m.value_bytes);
        assert_int_equal(r.headers_bytes, 4);
        assert_int_equal(r.value[0], 'v');
    }
    assert_false(batch_next(&c, &r));
}

static void sequences_wrap(void **state)
{
    (void)state;
    struct batch b = {.base_sequence = INT32_MAX - 1, .last_offset_delta = 1};
    assert_int_equal(batch_last_sequence(&b), INT32_MAX);
    b.last_offset_delta = 2;
    assert_int_equal(batch_last_sequence(&b), 0);
    b.last_offset_delta = 5;
    assert_int_equal(batch_last_sequence(&b), 3);
}

static void error_names_are_kafkas(void **state)
{
    (void)state;
    assert_string_equal(kerr_name(KERR_NONE), "NONE");
    assert_string_equal(kerr_name(KERR_INVALID_RECORD), "INVALID_RECORD");
    assert_string_equal(kerr_name((enum kerr)9999), "UNKNOWN");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_batches_are_taken),
        cmocka_unit_test(each_illegal_field_has_its_error),
        cmocka_unit_test(count_and_offsets_agree_with_the_records),
        cmocka_unit_test(limits_hold_at_the_edge),
        cmocka_unit_test(a_compacted_topic_names_the_record_without_key),
        cmocka_unit_test(the_timestamp_type_bit_counts_where_the_topic_has_it),
        cmocka_unit_test(every_record_at_fault_is_named),
        cmocka_unit_test(zstd_needs_produce_7),
        cmocka_unit_test(exactly_one_batch_is_taken),
        cmocka_unit_test(a_flipped_bit_behind_the_crc_is_corrupt_or_left_to_the_copy),
        cmocka_unit_test(any_bytes_are_survived),
        cmocka_unit_test(a_lying_max_timestamp_is_found),
        cmocka_unit_test(sums_of_timestamps_wrap),
        cmocka_unit_test(records_are_read_as_written),
        cmocka_unit_test(sequences_wrap),
        cmocka_unit_test(error_names_are_kafkas),
    };
    return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
