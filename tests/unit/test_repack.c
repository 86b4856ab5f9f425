/* Batches that are unpacked, judged and packed again: every pair of codecs, what is kept of the header, what is refused. */
#include "tests/unit/faulty_heap.h"
#include "storage/log/codec.h"
#include "storage/log/repack.h"
#include "tests/unit/make_batch.h"
#include "tests/unit/one_heap.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <cmocka.h>

enum { NOW = 1700000000, ROOM = 4 << 20 };
static uint8_t plain[MAKE_BATCH_MAX], sent[MAKE_BATCH_MAX];
static _Alignas(16) uint8_t room[ROOM];
static const struct batch_limits usual = {
    .max_message_bytes = 1048588,
    .segment_bytes = 1 << 30,
    .now_ms = NOW,
    .timestamp_before_max_ms = 3600000,
    .timestamp_after_max_ms = 3600000,
    .produce_version = 9,
};
static const struct make_batch good = {
    .timestamp = NOW,
    .producer_id = 77,
    .producer_epoch = 3,
    .sequence = 41,
    .leader_epoch = -1,
    .count = 300,
    .value_bytes = 100,
};

/* Puts a batch into `sent`: m's records, or those of `plain`, in that codec. */
static uint32_t pack_plain(uint32_t bytes, enum batch_codec codec)
{
    size_t packed;
    memcpy(sent, plain, BATCH_HEADER_BYTES);
    assert_int_equal(codec_compress(codec, 3, plain + BATCH_HEADER_BYTES, bytes - BATCH_HEADER_BYTES, heap,
                                    sent + BATCH_HEADER_BYTES, sizeof sent - BATCH_HEADER_BYTES, &packed),
                     ERR_NONE);
    bytes = BATCH_HEADER_BYTES + (uint32_t)packed;
    be32_put(sent + 8, bytes - BATCH_PREFIX_BYTES);
    be16_put(sent + 21, (uint16_t)(be16_get(plain + 21) | codec));
    make_seal(sent, bytes);
    return bytes;
}
static struct repack repack(uint32_t bytes, int8_t codec, const struct batch_limits *limits)
{
    struct repack r = {.at = sent,
                       .limits = *limits,
                       .codec = codec,
                       .level = 3,
                       .unpacked_max = 1 << 20,
                       .unpacked_room = 1 << 20,
                       .room = room};
    assert_true(batch_parse(sent, bytes, &r.batch));
    r.room_bytes = repack_room_bytes(&r);
    assert_true(r.room_bytes <= ROOM);
    repack_run(&r, heap);
    return r;
}
static const uint8_t *result_of(const struct repack *r)
{
    return r->packed ? r->room : r->at;
}
static void records_are_those_of_plain(const struct repack *r, uint32_t plain_bytes)
{
    uint8_t *unpacked;
    struct batch_cursor c;
    assert_int_equal(codec_records(&r->batch, result_of(r), CODEC_OUTPUT_MAX, heap, &unpacked, &c), ERR_NONE);
    assert_int_equal(c.end - c.at, plain_bytes - BATCH_HEADER_BYTES);
    assert_memory_equal(c.at, plain + BATCH_HEADER_BYTES, plain_bytes - BATCH_HEADER_BYTES);
    heap_free(heap, unpacked);
}

static void every_pair_of_codecs_keeps_the_records_and_the_producer(void **state)
{
    (void)state;
    for (enum batch_codec from = CODEC_NONE; from <= CODEC_ZSTD; from++)
        for (int8_t to = -1; to <= CODEC_ZSTD; to++) {
            struct make_batch m = good;
            m.attributes = BATCH_TRANSACTIONAL;
            m.no_key = to % 2;
            uint32_t plain_bytes = make_batch(plain, m), bytes = pack_plain(plain_bytes, from);
            struct repack r = repack(bytes, to, &usual);
            struct batch b;
            assert_int_equal(r.error, KERR_NONE);
            assert_int_equal(r.packed, to >= 0 && (int)to != (int)from);
            assert_true(batch_parse(result_of(&r), r.batch.bytes, &b));
            assert_int_equal(b.attributes, BATCH_TRANSACTIONAL | (to < 0 ? (int)from : (int)to));
            assert_int_equal(batch_crc(result_of(&r), b.bytes), b.crc);
            assert_int_equal(b.producer_id, 77);
            assert_int_equal(b.producer_epoch, 3);
            assert_int_equal(b.base_sequence, 41);
            assert_int_equal(b.count, 300);
            assert_int_equal(b.last_offset_delta, 299);
            assert_int_equal(b.base_timestamp, NOW);
            assert_int_equal(b.max_timestamp, NOW);
            records_are_those_of_plain(&r, plain_bytes);
        }
}

static void the_base_timestamp_becomes_the_first_records(void **state)
{
    (void)state;
    for (enum batch_codec from = CODEC_NONE; from <= CODEC_ZSTD; from++) {
        uint32_t plain_bytes = make_batch(plain, good);
        uint8_t *first = plain + BATCH_HEADER_BYTES; /* length 2 bytes, attributes 1, timestamp delta 1 */
        first[3] = 7 * 2;
        uint32_t bytes = pack_plain(plain_bytes, from);
        struct repack r = repack(bytes, from == CODEC_GZIP ? CODEC_NONE : CODEC_GZIP, &usual);
        assert_int_equal(r.error, KERR_NONE);
        assert_int_equal(r.batch.base_timestamp, NOW + 7);
        uint8_t *unpacked;
        struct batch_cursor c, was = {plain + BATCH_HEADER_BYTES, plain + plain_bytes};
        struct batch_record record, old;
        assert_int_equal(codec_records(&r.batch, room, CODEC_OUTPUT_MAX, heap, &unpacked, &c), ERR_NONE);
        for (int i = 0; i < 300; i++) {
            assert_true(batch_next(&c, &record) && batch_next(&was, &old));
            assert_int_equal(batch_record_timestamp(&r.batch, &record), i ? NOW : NOW + 7);
            assert_int_equal(record.offset_delta, i);
            assert_int_equal(record.key_bytes, old.key_bytes);
            assert_int_equal(record.value_bytes, old.value_bytes);
            assert_memory_equal(record.value, old.value, (size_t)old.value_bytes);
            assert_int_equal(record.headers_bytes, old.headers_bytes);
            assert_memory_equal(record.headers, old.headers, (size_t)old.headers_bytes);
        }
        assert_ptr_equal(c.at, c.end);
        heap_free(heap, unpacked);
    }
}

static void a_header_that_lies_about_the_time_is_mended(void **state)
{
    (void)state;
    uint32_t plain_bytes = make_batch(plain, good);
    be64_put(plain + 35, NOW + 5);
    for (int8_t to = CODEC_NONE; to <= CODEC_ZSTD; to++) {
        struct repack r = repack(pack_plain(plain_bytes, CODEC_LZ4), to, &usual);
        assert_int_equal(r.error, KERR_NONE);
        assert_int_equal(r.batch.max_timestamp, NOW);
    }
}

static void the_size_is_judged_again_at_its_edge(void **state)
{
    (void)state;
    uint32_t plain_bytes = make_batch(plain, good), bytes = pack_plain(plain_bytes, CODEC_ZSTD);
    for (int8_t to = CODEC_NONE; to < CODEC_ZSTD; to++) {
        struct batch_limits limits = usual;
        limits.max_message_bytes = limits.segment_bytes = repack(bytes, to, &usual).batch.bytes;
        assert_int_equal(repack(bytes, to, &limits).error, KERR_NONE);
        limits.segment_bytes--;
        assert_int_equal(repack(bytes, to, &limits).error, KERR_RECORD_LIST_TOO_LARGE);
        limits.max_message_bytes--;
        struct repack r = repack(bytes, to, &limits);
        assert_int_equal(r.error, KERR_MESSAGE_TOO_LARGE);
        assert_non_null(r.fault.message);
        assert_int_equal(r.fault.record, -1);
    }
}

static void a_bomb_is_refused(void **state)
{
    (void)state;
    static uint8_t zeros[2 << 20];
    for (enum batch_codec from = CODEC_GZIP; from <= CODEC_ZSTD; from++) {
        size_t packed;
        make_batch(plain, good);
        memcpy(sent, plain, BATCH_HEADER_BYTES);
        assert_int_equal(codec_compress(from, 3, zeros, sizeof zeros, heap, sent + BATCH_HEADER_BYTES,
                                        sizeof sent - BATCH_HEADER_BYTES, &packed),
                         ERR_NONE);
        uint32_t bytes = BATCH_HEADER_BYTES + (uint32_t)packed;
        be32_put(sent + 8, bytes - BATCH_PREFIX_BYTES);
        be16_put(sent + 21, (uint16_t)from);
        make_seal(sent, bytes);
        struct repack r = repack(bytes, CODEC_NONE, &usual);
        assert_int_equal(r.error, KERR_INVALID_RECORD);
        assert_non_null(r.fault.message);
    }
}

static void what_does_not_match_its_header_is_refused(void **state)
{
    (void)state;
    for (enum batch_codec from = CODEC_GZIP; from <= CODEC_ZSTD; from++)
        for (int8_t to = -1; to <= CODEC_ZSTD; to++) {
            uint32_t plain_bytes = make_batch(plain, good), bytes = pack_plain(plain_bytes, from);
            sent[bytes - 1] ^= 1;
            assert_int_equal(repack(bytes, to, &usual).error, KERR_CORRUPT_MESSAGE);
            make_seal(sent, bytes); /* the codec, or the records, find it out, or nobody can */
            enum kerr error = repack(bytes, to, &usual).error;
            assert_true(error == KERR_INVALID_RECORD || error == KERR_NONE);
            for (int32_t lie = -1; lie <= 1; lie += 2) {
                be32_put(plain + 23, (uint32_t)(299 + lie));
                be32_put(plain + 57, (uint32_t)(300 + lie));
                assert_int_equal(repack(pack_plain(plain_bytes, from), to, &usual).error, KERR_INVALID_RECORD);
            }
        }
}

static void every_record_without_a_key_is_named(void **state)
{
    (void)state;
    struct make_batch m = good;
    struct batch_limits limits = usual;
    limits.compacted = true;
    m.no_key = true;
    for (enum batch_codec from = CODEC_GZIP; from <= CODEC_ZSTD; from++)
        for (int8_t to = -1; to <= CODEC_ZSTD; to++) {
            uint32_t plain_bytes = make_batch(plain, m);
            struct repack r = repack(pack_plain(plain_bytes, from), to, &limits);
            assert_int_equal(r.error, KERR_INVALID_RECORD);
            assert_int_equal(r.fault.record, 0);
            assert_int_equal(r.fault.listed_count, 300);
            struct batch_faults walk;
            int32_t record;
            const char *message;
            batch_faults_init(&walk, &r.fault, sent, r.batch.bytes);
            for (int32_t i = 0; i < 300; i++) {
                assert_true(batch_faults_next(&walk, &record, &message));
                assert_int_equal(record, i);
                assert_string_equal(message, r.fault.message);
            }
            assert_false(batch_faults_next(&walk, &record, &message));
        }
}

/* Record 299's time is far out. */
static void times_out_of_bounds_are_refused_or_become_the_brokers(void **state)
{
    (void)state;
    for (enum batch_codec from = CODEC_NONE; from <= CODEC_ZSTD; from++) {
        struct make_batch m = good;
        m.timestamp = NOW - 3600001;
        uint32_t plain_bytes = make_batch(plain, m), bytes = pack_plain(plain_bytes, from);
        struct batch_limits limits = usual;
        struct batch b;
        struct batch_fault found;
        limits.unpack_codecs = 0x1e;
        enum kerr refused = batch_check(sent, bytes, &limits, &b, &found);
        if (from != CODEC_NONE) {
            assert_int_equal(refused, KERR_NONE); /* by its header: the records are to be seen */
            struct repack r = repack(bytes, -1, &limits);
            assert_int_equal(r.error, KERR_INVALID_TIMESTAMP);
            assert_int_equal(r.fault.listed_count, 300);
        } else {
            assert_int_equal(refused, KERR_INVALID_TIMESTAMP);
        }
        limits.append_time_outside = true;
        assert_int_equal(batch_check(sent, bytes, &limits, &b, &found), KERR_NONE);
        assert_int_equal(b.append_time, from == CODEC_NONE);
        if (from != CODEC_NONE)
            assert_true(repack(bytes, -1, &limits).batch.append_time);
        m.timestamp = NOW - 3600000; /* the edge */
        plain_bytes = make_batch(plain, m);
        bytes = pack_plain(plain_bytes, from);
        assert_int_equal(batch_check(sent, bytes, &limits, &b, &found), KERR_NONE);
        assert_false(b.append_time);
        if (from != CODEC_NONE)
            assert_false(repack(bytes, CODEC_NONE, &limits).batch.append_time);
    }
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    for (enum batch_codec from = CODEC_NONE; from <= CODEC_ZSTD; from++)
        for (int8_t to = -1; to <= CODEC_ZSTD; to++) {
            uint32_t plain_bytes = make_batch(plain, good);
            plain[BATCH_HEADER_BYTES + 3] = 7 * 2; /* a first record that is not the base: written anew */
            uint32_t bytes = pack_plain(plain_bytes, from);
            bool failed = true;
            for (int n = 1; failed; n++) {
                int blocks = fault.blocks;
                fault_begin(n, false);
                struct repack r = repack(bytes, to, &usual);
                failed = fault_end();
                assert_int_equal(r.error, failed ? KERR_KAFKA_STORAGE_ERROR : KERR_NONE);
                assert_int_equal(fault.blocks, blocks);
                assert_true(n < 20);
            }
        }
}

/* Behind a good CRC, as a client that means harm sends them. */
static void flipped_bits_never_crash(void **state)
{
    (void)state;
    unsigned seed = 42;
    struct batch_limits limits = usual;
    limits.compacted = true;
    for (int round = 0; round < 200; round++)
        for (enum batch_codec from = CODEC_GZIP; from <= CODEC_ZSTD; from++) {
            uint32_t plain_bytes = make_batch(plain, good), bytes = pack_plain(plain_bytes, from);
            for (int flips = round % 7; flips >= 0; flips--) {
                seed = seed * 1103515245u + 12345u;
                sent[BATCH_HEADER_BYTES + (seed >> 8) % (bytes - BATCH_HEADER_BYTES)] ^=
                    (uint8_t)(1 << (seed >> 28) % 8);
            }
            make_seal(sent, bytes);
            struct repack r = repack(bytes, (int8_t)(round % 6 - 1), &limits);
            assert_true(!r.error || r.error == KERR_INVALID_RECORD || r.error == KERR_INVALID_TIMESTAMP);
        }
}

static void what_may_take_seconds_is_known(void **state)
{
    (void)state;
    static const struct {
        int8_t codec;
        int32_t level;
        int16_t sent;
        bool slow;
    } cases[] = {
        {CODEC_ZSTD, 3, CODEC_NONE, false},   {CODEC_ZSTD, 22, CODEC_NONE, true}, {CODEC_ZSTD, 22, CODEC_ZSTD, false},
        {CODEC_LZ4, 9, CODEC_GZIP, false},    {CODEC_LZ4, 12, CODEC_GZIP, true},  {CODEC_GZIP, 9, CODEC_NONE, false},
        {CODEC_SNAPPY, 0, CODEC_NONE, false}, {-1, 0, CODEC_ZSTD, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct repack r = {
            .codec = cases[i].codec, .level = cases[i].level, .batch = {.count = 1, .attributes = cases[i].sent}};
        assert_int_equal(repack_is_slow(&r), cases[i].slow);
    }
}

static void what_unpacks_to_more_than_its_room_is_run_again(void **state)
{
    (void)state;
    struct make_batch m = good;
    m.value_bytes = 1000;
    for (int8_t to = -1; to <= CODEC_GZIP; to++) {
        uint32_t plain_bytes = make_batch(plain, m), bytes = pack_plain(plain_bytes, CODEC_ZSTD);
        struct repack r = {.at = sent, .limits = usual, .codec = to, .level = 3, .unpacked_max = 1 << 20, .room = room};
        assert_true(batch_parse(sent, bytes, &r.batch));
        r.room_bytes = repack_room_bytes(&r);
        for (r.unpacked_room = 1 << 16; r.unpacked_room < plain_bytes; r.unpacked_room *= 2) {
            repack_run(&r, heap);
            assert_true(r.wants_more && !r.error && !r.packed);
        }
        repack_run(&r, heap);
        assert_false(r.wants_more);
        assert_int_equal(r.error, KERR_NONE);
        if (to >= 0)
            records_are_those_of_plain(&r, plain_bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_of_codecs_keeps_the_records_and_the_producer),
        cmocka_unit_test(the_base_timestamp_becomes_the_first_records),
        cmocka_unit_test(a_header_that_lies_about_the_time_is_mended),
        cmocka_unit_test(the_size_is_judged_again_at_its_edge),
        cmocka_unit_test(a_bomb_is_refused),
        cmocka_unit_test(what_unpacks_to_more_than_its_room_is_run_again),
        cmocka_unit_test(what_does_not_match_its_header_is_refused),
        cmocka_unit_test(every_record_without_a_key_is_named),
        cmocka_unit_test(each_allocation_may_fail),
        cmocka_unit_test(flipped_bits_never_crash),
        cmocka_unit_test(what_may_take_seconds_is_known),
        cmocka_unit_test(times_out_of_bounds_are_refused_or_become_the_brokers),
    };
    return cmocka_run_group_tests(tests, open_heap, close_heap);
}
