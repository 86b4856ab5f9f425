/* Records of __transaction_state: the bytes are Kafka's (made by Kafka 4.3.1's TransactionLog), in both versions and both directions;
 * what makes no sense is seen. */
#include "net/txn/txn_records.h"
#include "tests/unit/one_heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static uint8_t bytes[4096];
static _Alignas(16) uint8_t arena_bytes[65536];

static struct kview unhex(const char *hex, uint8_t *out)
{
    size_t n = strlen(hex) / 2;
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)strtoul((char[]){hex[2 * i], hex[2 * i + 1], 0}, NULL, 16);
    return (struct kview){out, (int32_t)n};
}

static const char key_hex[] = "0000000574782dc3a4"; /* tx-ä */
static const struct vector {
    int16_t level;
    struct txn_values values;
    bool orders3;
    const char *hex;
} vectors[] = {
#define EMPTY_AT(v)                                                 \
    {                                                               \
        TXN_EMPTY, 1000, -1, -1, 0, -1, 60000, -1, 1700000000000, v \
    }
#define ONGOING_AT(v)                                                              \
    {                                                                              \
        TXN_ONGOING, 1000, 1000, -1, 1, -1, 60000, 1700000000001, 1700000000002, v \
    }
#define PREPARED_AT(v)                                                                          \
    {                                                                                           \
        TXN_PREPARE_COMMIT, 1000, 1000, 2000, 32767, -1, 60000, 1700000000001, 1700000000003, v \
    }
#define COMPLETE_AT(v)                                                                     \
    {                                                                                      \
        TXN_COMPLETE_COMMIT, 2000, 1000, -1, 0, -1, 60000, 1700000000001, 1700000000004, v \
    }
    {0, EMPTY_AT(0), false, "000000000000000003e800000000ea6000ffffffff0000018bcfe56800ffffffffffffffff"},
    {0, ONGOING_AT(0), true,
     "000000000000000003e800010000ea60010000000100066f726465727300000001000000030000018bcfe568020000018bcfe56801"},
    {0, COMPLETE_AT(0), false, "000000000000000007d000000000ea6004000000000000018bcfe568040000018bcfe56801"},
    {1, ONGOING_AT(1), true,
     "000100000000000003e800010000ea600102076f72646572730200000003000000018bcfe568020000018bcfe568010200080000000000000"
     "3e802020001"},
    {2, EMPTY_AT(2), false, "000100000000000003e800000000ea6000000000018bcfe56800ffffffffffffffff0102020002"},
    {2, ONGOING_AT(2), true,
     "000100000000000003e800010000ea600102076f72646572730200000003000000018bcfe568020000018bcfe568010200080000000000000"
     "3e802020002"},
    {2, PREPARED_AT(2), true,
     "000100000000000003e87fff0000ea600202076f72646572730200000003000000018bcfe568030000018bcfe568010300080000000000000"
     "3e8010800000000000007d002020002"},
    {2, COMPLETE_AT(2), false,
     "000100000000000007d000000000ea6004010000018bcfe568040000018bcfe5680102000800000000000003e802020002"},
};

static void parts_of(const struct vector *v, struct txn_parts *out)
{
    txn_parts_init(out, heap);
    if (v->orders3)
        assert_int_equal(txn_parts_append(out, (struct kview){(const uint8_t *)"orders", 6}, 3), ERR_NONE);
}

static void bytes_are_kafkas(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(vectors); i++) {
        struct txn_parts parts;
        parts_of(&vectors[i], &parts);
        struct kview want = unhex(vectors[i].hex, bytes);
        struct kview got = txn_record_encode(&vectors[i].values, &parts, vectors[i].level, heap);
        assert_int_equal(got.n, want.n);
        assert_memory_equal(got.at, want.at, (size_t)want.n);
        heap_free(heap, (void *)(uintptr_t)got.at);
        txn_parts_deinit(&parts);
    }
}

static const char *read_value(struct kview value, struct txn_record *out)
{
    static uint8_t key[16];
    static struct arena arena;
    arena = arena_of(arena_bytes, sizeof arena_bytes);
    return txn_record_read(unhex(key_hex, key), value, &arena, out);
}

static void kafkas_records_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(vectors); i++) {
        struct txn_record r;
        struct txn_values want = vectors[i].values;
        struct txn_parts parts;
        txn_parts_init(&parts, heap);
        assert_null(read_value(unhex(vectors[i].hex, bytes), &r));
        assert_true(r.known && !r.tombstone);
        assert_int_equal(r.id.n, 5);
        if (vectors[i].level == 0) { /* version 0 does not have these */
            want.previous_id = want.next_id = -1;
            want.client_version = 0;
        }
        assert_int_equal(r.values.state, want.state);
        assert_int_equal(r.values.producer_id, want.producer_id);
        assert_int_equal(r.values.previous_id, want.previous_id);
        assert_int_equal(r.values.next_id, want.next_id);
        assert_int_equal(r.values.producer_epoch, want.producer_epoch);
        assert_int_equal(r.values.timeout_ms, want.timeout_ms);
        assert_int_equal(r.values.start_ms, want.start_ms);
        assert_int_equal(r.values.update_ms, want.update_ms);
        assert_int_equal(r.values.client_version, want.client_version);
        assert_int_equal(txn_record_parts(&r, &parts), ERR_NONE);
        assert_int_equal(parts.partitions, vectors[i].orders3);
        txn_parts_deinit(&parts);
    }
}

/* Cut anywhere, it is damaged and nothing else. */
static void damage_is_seen(void **state)
{
    (void)state;
    struct txn_record r;
    for (size_t i = 0; i < COUNT_OF(vectors); i++) {
        struct kview whole = unhex(vectors[i].hex, bytes);
        for (int32_t n = 0; n < whole.n; n++)
            assert_non_null(read_value((struct kview){bytes, n}, &r));
    }
    struct kview v = unhex(vectors[0].hex, bytes);
    bytes[1] = 2;
    assert_non_null(read_value(v, &r)); /* an unknown version */
    (void)unhex(vectors[0].hex, bytes);
    bytes[16] = 7;
    assert_non_null(read_value(v, &r)); /* PrepareEpochFence is never written */
    (void)unhex(vectors[0].hex, bytes);
    bytes[2] = 0x80;
    assert_non_null(read_value(v, &r)); /* no producer */
}

static void keys_of_other_kinds_are_unknown(void **state)
{
    (void)state;
    struct txn_record r;
    struct arena arena = arena_of(arena_bytes, sizeof arena_bytes);
    static const uint8_t other[] = {0, 1, 0, 0}, negative[] = {0x80, 0};
    assert_null(txn_record_read((struct kview){other, 4}, (struct kview){NULL, -1}, &arena, &r));
    assert_false(r.known);
    assert_non_null(txn_record_read((struct kview){negative, 2}, (struct kview){NULL, -1}, &arena, &r));
    assert_non_null(txn_record_read((struct kview){NULL, -1}, (struct kview){NULL, -1}, &arena, &r));
    assert_null(read_value((struct kview){NULL, -1}, &r));
    assert_true(r.tombstone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_kafkas),
        cmocka_unit_test(kafkas_records_are_read),
        cmocka_unit_test(damage_is_seen),
        cmocka_unit_test(keys_of_other_kinds_are_unknown),
    };
    return cmocka_run_group_tests(tests, open_heap, close_heap);
}
