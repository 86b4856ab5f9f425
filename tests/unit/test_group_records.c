/* Records of __consumer_offsets: what is written is read again, in any version that Kafka wrote, and damage is seen. */
#include "core/mem.h"
#include "net/group/records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static uint8_t bytes[1 << 20], more[1 << 20];
static _Alignas(16) uint8_t arena_bytes[1 << 20];

static struct kview view_of(const char *text)
{
    return (struct kview){(const uint8_t *)text, (int32_t)strlen(text)};
}
static void same(struct kview a, struct kview b)
{
    assert_int_equal(a.n, b.n);
    if (a.n > 0)
        assert_memory_equal(a.at, b.at, (size_t)a.n);
}
static struct arena fresh_arena(void)
{
    return arena_of(arena_bytes, sizeof arena_bytes);
}

static const struct committed full = {.topic = {(const uint8_t *)"orders", 6},
                                      .partition = 7,
                                      .offset = 1ll << 40,
                                      .commit_ms = 1700000000000,
                                      .expire_ms = -1,
                                      .leader_epoch = 3,
                                      .metadata = {(const uint8_t *)"noted", 5}};

/* The record at `index` of the batch, which a partition would take. */
static struct record record_of(const uint8_t *at, uint32_t n, int32_t index)
{
    const struct batch_limits limits = {.max_message_bytes = sizeof bytes,
                                        .segment_bytes = sizeof bytes,
                                        .now_ms = 1000,
                                        .timestamp_before_max_ms = INT64_MAX,
                                        .timestamp_after_max_ms = INT64_MAX,
                                        .compacted = true,
                                        .produce_version = 9};
    struct batch b;
    struct batch_fault fault;
    struct batch_record raw;
    struct record r;
    assert_int_equal(batch_check(at, n, &limits, &b, &fault), KERR_NONE);
    assert_int_equal(batch_crc(at, n), b.crc);
    assert_int_equal(b.producer_id, -1);
    struct batch_cursor c = {at + BATCH_HEADER_BYTES, at + n};
    for (int32_t i = 0; i <= index; i++)
        assert_true(batch_next(&c, &raw));
    assert_null(record_read((struct kview){raw.key, raw.key_bytes}, (struct kview){raw.value, raw.value_bytes}, &r));
    return r;
}

static void what_is_written_is_read_again(void **state)
{
    (void)state;
    struct record_batch b;
    struct kview group = view_of("billing");
    struct committed expires = full;
    expires.expire_ms = 1800000000000;
    record_batch_begin(&b, bytes, sizeof bytes);
    assert_true(record_put_offset(&b, group, &full));
    assert_true(record_put_offset(&b, group, &expires));
    assert_true(record_put_offset_gone(&b, group, &full));
    assert_true(record_put_group(&b, group, (struct kview){NULL, -1}));
    assert_true(record_put_group(&b, group, view_of("value")));
    uint32_t n = record_batch_end(&b, 1000, NULL);
    for (int32_t i = 0; i < 5; i++) {
        struct record r = record_of(bytes, n, i);
        same(r.group, group);
        assert_int_equal(r.kind, i < 3 ? RECORD_OFFSET : RECORD_GROUP);
        assert_int_equal(r.tombstone, i == 2 || i == 3);
        if (i < 3) {
            same(r.committed.topic, full.topic);
            assert_int_equal(r.committed.partition, 7);
        }
        if (i < 2) {
            assert_int_equal(r.committed.offset, full.offset);
            assert_int_equal(r.committed.commit_ms, full.commit_ms);
            assert_int_equal(r.committed.expire_ms, i == 0 ? -1 : expires.expire_ms);
            assert_int_equal(r.committed.leader_epoch, i == 0 ? 3 : -1); /* version 1 has no place for it */
            same(r.committed.metadata, full.metadata);
        }
    }
    same(record_of(bytes, n, 4).value, view_of("value"));
}

/* As Kafka 3 wrote it: key version 1, value version 3. */
static void the_bytes_are_kafkas(void **state)
{
    (void)state;
    static const uint8_t key[] = {0, 1, 0, 1, 'g', 0, 1, 't', 0, 0, 0, 2},
                         value[] = {0,    3, 0, 0,   0,   0, 0, 0, 0, 9, 0xff, 0xff, 0xff,
                                    0xff, 0, 2, 'm', 'd', 0, 0, 0, 0, 0, 0,    0,    5};
    struct committed c = {.topic = view_of("t"),
                          .partition = 2,
                          .offset = 9,
                          .leader_epoch = -1,
                          .metadata = view_of("md"),
                          .commit_ms = 5,
                          .expire_ms = -1};
    struct record_batch b;
    struct batch_record raw;
    record_batch_begin(&b, bytes, sizeof bytes);
    assert_true(record_put_offset(&b, view_of("g"), &c));
    uint32_t n = record_batch_end(&b, 1000, NULL);
    struct batch_cursor cursor = {bytes + BATCH_HEADER_BYTES, bytes + n};
    assert_true(batch_next(&cursor, &raw));
    same((struct kview){raw.key, raw.key_bytes}, (struct kview){key, sizeof key});
    same((struct kview){raw.value, raw.value_bytes}, (struct kview){value, sizeof value});
}

static void a_batch_takes_no_record_that_does_not_fit(void **state)
{
    (void)state;
    struct kview group = view_of("g");
    for (uint32_t room = BATCH_HEADER_BYTES + 1; room < 400; room++) {
        struct record_batch b;
        int32_t put = 0;
        memset(more, 0xaa, sizeof more);
        record_batch_begin(&b, more, room);
        while (record_put_offset(&b, group, &full))
            put++;
        while (record_put_group(&b, group, view_of("v")))
            put++;
        assert_int_equal(b.count, put);
        assert_int_equal(more[room], 0xaa);
        if (room >= BATCH_HEADER_BYTES + record_offset_bytes(group, &full))
            assert_true(put > 0);
        if (put == 0)
            continue;
        uint32_t n = record_batch_end(&b, 1000, NULL);
        assert_true(n <= room);
        (void)record_of(more, n, put - 1);
    }
}

static void offsets_of_every_version_are_read(void **state)
{
    (void)state;
    static const uint8_t keys[] = {0, 1};
    int compared = 0;
    for (size_t k = 0; k < sizeof keys; k++)
        for (int16_t version = KFIRST_offset_commit_value; version <= KLAST_offset_commit_value; version++) {
            struct offset_commit_key key = {.group = view_of("g"), .topic = view_of("t"), .partition = 3};
            struct offset_commit_value value = {.offset = 17,
                                                .metadata = view_of("m"),
                                                .commit_timestamp = 18,
                                                .expire_timestamp = 19,
                                                .leader_epoch = 20};
            struct kwriter w = kwriter_of(bytes, sizeof bytes), v = kwriter_of(more, sizeof more);
            kwrite_int16(&w, keys[k]);
            kwrite_int16(&v, version);
            assert_true(offset_commit_key_encode(&key, &w, 0) && offset_commit_value_encode(&value, &v, version));
            struct batch_record raw = {.key = bytes,
                                       .key_bytes = (int32_t)kwriter_bytes(&w),
                                       .value = more,
                                       .value_bytes = (int32_t)kwriter_bytes(&v)};
            struct record r;
            assert_null(
                record_read((struct kview){raw.key, raw.key_bytes}, (struct kview){raw.value, raw.value_bytes}, &r));
            assert_int_equal(r.kind, RECORD_OFFSET);
            assert_int_equal(r.committed.offset, 17);
            assert_int_equal(r.committed.commit_ms, 18);
            assert_int_equal(r.committed.expire_ms, version == 1 ? 19 : -1);
            assert_int_equal(r.committed.leader_epoch, version >= 3 ? 20 : -1);
            same(r.committed.metadata, view_of("m"));
            compared++;
        }
    assert_int_equal(compared, 10);
}

static struct group_metadata_value stable(struct member_metadata *members, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        members[i] = (struct member_metadata){.member_id = view_of("member"),
                                              .group_instance_id = {NULL, -1},
                                              .client_id = view_of("client"),
                                              .client_host = view_of("/127.0.0.1"),
                                              .rebalance_timeout = 300000,
                                              .session_timeout = 45000,
                                              .subscription = view_of("subscription"),
                                              .assignment = view_of("assignment")};
    return (struct group_metadata_value){.protocol_type = view_of("consumer"),
                                         .generation = 4,
                                         .protocol = view_of("range"),
                                         .leader = view_of("member"),
                                         .current_state_timestamp = 99,
                                         .members = {members, count}};
}

static void groups_of_every_version_are_read(void **state)
{
    (void)state;
    struct member_metadata members[3];
    struct group_metadata_value value = stable(members, 3), got;
    for (int16_t version = KFIRST_group_metadata_value; version <= KLAST_group_metadata_value; version++) {
        struct kwriter w = kwriter_of(bytes, sizeof bytes);
        struct arena arena = fresh_arena();
        kwrite_int16(&w, version);
        assert_true(group_metadata_value_encode(&value, &w, version));
        struct kview encoded = {bytes, (int32_t)kwriter_bytes(&w)};
        arena.end = arena.at + record_group_arena_bytes(encoded);
        assert_true(record_group_value(encoded, &arena, &got));
        assert_int_equal(got.members.n, 3);
        assert_int_equal(got.generation, 4);
        assert_int_equal(got.current_state_timestamp, version >= 2 ? 99 : -1);
        same(got.members.v[2].assignment, view_of("assignment"));
        for (int32_t n = 0; n < encoded.n; n++) {
            struct arena again = fresh_arena();
            assert_false(record_group_value((struct kview){bytes, n}, &again, &got));
        }
    }
    uint8_t newer[] = {0, KLAST_group_metadata_value + 1, 0, 0};
    struct arena arena = fresh_arena();
    assert_false(record_group_value((struct kview){newer, sizeof newer}, &arena, &got));
}

static void a_group_is_written_in_version_3(void **state)
{
    (void)state;
    struct member_metadata members[2];
    struct group_metadata_value value = stable(members, 2), got;
    uint32_t n = record_group_bytes(&value);
    struct arena arena = fresh_arena();
    record_group_encode(&value, bytes, n);
    assert_int_equal(be16_get(bytes), 3);
    assert_true(record_group_value((struct kview){bytes, (int32_t)n}, &arena, &got));
    assert_int_equal(got.members.n, 2);
    same(got.leader, view_of("member"));
}

static const char *read_raw(const void *key, int32_t key_bytes, const void *value, int32_t value_bytes,
                            struct record *r)
{
    return record_read((struct kview){key, key_bytes}, (struct kview){value, value_bytes}, r);
}

static void what_is_unknown_is_told_from_what_is_damaged(void **state)
{
    (void)state;
    struct record r;
    static const uint8_t newer[] = {0, 3, 1, 2, 3}, negative[] = {0xff, 0xff, 0},
                         offset[] = {0, 1, 0, 1, 'g', 0, 1, 't', 0, 0, 0, 2}, value_newer[] = {0, 5, 0},
                         group[] = {0, 2, 0, 2, 'g'};
    assert_null(read_raw(newer, sizeof newer, "", 0, &r));
    assert_int_equal(r.kind, RECORD_UNKNOWN);
    assert_null(read_raw(NULL, -1, "", 0, &r));
    assert_int_equal(r.kind, RECORD_UNKNOWN);
    assert_non_null(read_raw(negative, sizeof negative, "", 0, &r));
    assert_non_null(read_raw(newer, 1, "", 0, &r));
    assert_non_null(read_raw(group, sizeof group, "", 0, &r));
    assert_non_null(read_raw(offset, sizeof offset, value_newer, sizeof value_newer, &r));
    assert_non_null(read_raw(offset, sizeof offset, value_newer, 1, &r));
    assert_null(read_raw(offset, sizeof offset, NULL, -1, &r));
    assert_true(r.tombstone);
    for (int32_t n = 0; n < (int32_t)sizeof offset; n++)
        assert_non_null(read_raw(offset, n, NULL, -1, &r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(the_bytes_are_kafkas),
        cmocka_unit_test(a_batch_takes_no_record_that_does_not_fit),
        cmocka_unit_test(offsets_of_every_version_are_read),
        cmocka_unit_test(groups_of_every_version_are_read),
        cmocka_unit_test(a_group_is_written_in_version_3),
        cmocka_unit_test(what_is_unknown_is_told_from_what_is_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
