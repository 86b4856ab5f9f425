/* The dedupe map: the latest offset of each key, until it is full; and its hash, against the vectors of SipHash's authors. */
#include "storage/clean/dedupe.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const uint64_t secret[2] = {0x0706050403020100ull, 0x0f0e0d0c0b0a0908ull};

static void the_hash_is_siphash_with_128_bits(void **state)
{
    (void)state;
    /* vectors_sip128 of the reference implementation: key 00 01 ... 0f, input 00 01 ... of each length */
    static const struct {
        size_t bytes;
        uint8_t hash[16];
    } known[] = {
        {0, {0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93}},
        {1, {0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b, 0x22, 0xfc, 0x45}},
        {2, {0x81, 0x77, 0x22, 0x8d, 0xa4, 0xa4, 0x5d, 0xc7, 0xfc, 0xa3, 0x8b, 0xde, 0xf6, 0x0a, 0xff, 0xe4}},
        {3, {0x9c, 0x70, 0xb6, 0x0c, 0x52, 0x67, 0xa9, 0x4e, 0x5f, 0x33, 0xb6, 0xb0, 0x29, 0x85, 0xed, 0x51}},
        {8, {0x3b, 0x62, 0xa9, 0xba, 0x62, 0x58, 0xf5, 0x61, 0x0f, 0x83, 0xe2, 0x64, 0xf3, 0x14, 0x97, 0xb4}},
    };
    uint8_t input[64];
    for (uint8_t i = 0; i < sizeof input; i++)
        input[i] = i;
    for (size_t k = 0; k < COUNT_OF(known); k++) {
        struct key_hash h = key_hash(secret, input, known[k].bytes);
        uint8_t got[16];
        memcpy(got, &h.low, 8);
        memcpy(got + 8, &h.high, 8);
        assert_memory_equal(got, known[k].hash, 16);
    }
}

static size_t key_of(char out[32], uint32_t i)
{
    return (size_t)snprintf(out, 32, "key-%u", i);
}

static void it_has_the_latest_offset_of_each_key(void **state)
{
    (void)state;
    enum { KEYS = 5000, ROUNDS = 3 };
    struct heap *h = heap_open();
    struct dedupe d;
    char key[32];
    assert_int_equal(dedupe_open(&d, h, KEYS, 64 << 20, 0.9, secret), ERR_NONE);
    for (uint32_t i = 0; i < KEYS * ROUNDS; i++)
        assert_true(dedupe_put(&d, key, key_of(key, i % KEYS), i));
    dedupe_check(&d);
    assert_int_equal(d.count, KEYS);
    assert_int_equal(d.end_offset, KEYS * ROUNDS);
    for (uint32_t i = 0; i < KEYS; i++)
        assert_int_equal(dedupe_find(&d, key, key_of(key, i)), KEYS * (ROUNDS - 1) + i);
    assert_int_equal(dedupe_find(&d, "other", 5), -1);
    assert_int_equal(dedupe_find(&d, "", 0), -1);
    dedupe_close(&d);
    heap_close(h);
}

static void what_is_full_takes_known_keys_only(void **state)
{
    (void)state;
    struct heap *h = heap_open();
    struct dedupe d;
    char key[32];
    uint32_t n = 0;
    assert_int_equal(dedupe_open(&d, h, 1000, 100 * DEDUPE_SLOT_BYTES, 0.9, secret), ERR_NONE);
    while (dedupe_put(&d, key, key_of(key, n), n))
        n++;
    assert_int_equal(n, 90);
    assert_int_equal(d.end_offset, 90); /* what had no room is not covered */
    assert_true(dedupe_put(&d, key, key_of(key, 7), 1000));
    assert_int_equal(d.end_offset, 1001);
    assert_false(dedupe_put(&d, key, key_of(key, 91), 1001));
    assert_int_equal(d.end_offset, 1001);
    dedupe_check(&d);
    dedupe_close(&d);
    heap_close(h);
}

static void a_buffer_without_room_for_one_key_is_refused(void **state)
{
    (void)state;
    struct heap *h = heap_open();
    struct dedupe d;
    assert_int_equal(dedupe_open(&d, h, 10, DEDUPE_SLOT_BYTES, 0.9, secret), ERR_INVALID);
    assert_int_equal(dedupe_open(&d, h, 10, 0, 0.9, secret), ERR_INVALID);
    assert_int_equal(dedupe_open(&d, h, 10, 2 * DEDUPE_SLOT_BYTES, 0.9, secret), ERR_NONE);
    assert_true(dedupe_put(&d, "a", 1, 0));
    assert_false(dedupe_put(&d, "b", 1, 1));
    dedupe_close(&d);
    heap_close(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hash_is_siphash_with_128_bits),
        cmocka_unit_test(it_has_the_latest_offset_of_each_key),
        cmocka_unit_test(what_is_full_takes_known_keys_only),
        cmocka_unit_test(a_buffer_without_room_for_one_key_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
