/* CRC-32C against its definition, bit by bit. */
#include "core/crc.h"
#include "core/mem.h"
#include "core/rng.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static uint32_t slow(const uint8_t *at, size_t bytes)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < bytes; i++) {
        crc ^= at[i];
        for (int b = 0; b < 8; b++)
            crc = crc >> 1 ^ (0x82f63b78u & -(crc & 1));
    }
    return ~crc;
}

static void the_check_value_of_the_catalogue(void **state)
{
    (void)state;
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283u);
    assert_int_equal(crc32c(0, NULL, 0), 0);
}

static void every_length_agrees_with_the_definition_also_in_pieces(void **state)
{
    (void)state;
    uint8_t at[700];
    struct rng rng = {.state = 3};
    for (size_t i = 0; i < sizeof at; i++)
        at[i] = (uint8_t)rng_next(&rng);
    for (size_t n = 0; n < sizeof at; n++) {
        uint32_t expected = slow(at, n);
        size_t cut = n ? rng_below(&rng, n) : 0;
        assert_int_equal(crc32c(0, at, n), expected);
        assert_int_equal(crc32c(crc32c(0, at, cut), at + cut, n - cut), expected);
    }
}

static void copying_gives_the_same_and_copies(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 16383, 16384, 16385, 65535, 65536, 65537, 131072, 300001};
    static uint8_t from[300001 + 64], room[300002 + 64];
    struct rng rng = {.state = 4};
    for (size_t i = 0; i < sizeof from; i++)
        from[i] = (uint8_t)rng_next(&rng);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        size_t n = sizes[i];
        uint8_t *to = room + i * 7 % 64, *at = from + i * 13 % 64; /* whatever their places in a cache line */
        memset(room, 0xaa, sizeof room);
        assert_int_equal(crc32c_copy(7, to, at, n), crc32c(7, at, n));
        assert_memory_equal(to, at, n);
        assert_int_equal(to[n], 0xaa);
        assert_true(to == room || to[-1] == 0xaa);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_check_value_of_the_catalogue),
        cmocka_unit_test(every_length_agrees_with_the_definition_also_in_pieces),
        cmocka_unit_test(copying_gives_the_same_and_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
