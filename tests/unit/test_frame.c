/* Frames: what is whole, what is not, what is none, and how memory follows the bytes that came. */
#include "net/conn/frame.h"
#include "core/bytes.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

enum { MAX = 100 };

struct look_case {
    const char *bytes;
    size_t count;
    enum frame_kind kind;
    uint32_t total;
};
static const struct look_case look_cases[] = {
    {"", 0, FRAME_PART, 0},
    {"\0\0\0", 3, FRAME_PART, 0},
    {"\0\0\0\x08", 4, FRAME_PART, 12},
    {"\0\0\0\x08"
     "1234567",
     11, FRAME_PART, 12},
    {"\0\0\0\x08"
     "12345678",
     12, FRAME_WHOLE, 12},
    {"\0\0\0\x08"
     "12345678more",
     16, FRAME_WHOLE, 12},
    {"\0\0\0\x07"
     "1234567",
     11, FRAME_TINY, 0},
    {"\0\0\0\0", 4, FRAME_TINY, 0},
    {"\0\0\0\x64", 4, FRAME_PART, 104},
    {"\0\0\0\x65", 4, FRAME_HUGE, 0},
    {"\x7f\xff\xff\xff", 4, FRAME_HUGE, 0},
    {"\x80\0\0\0", 4, FRAME_NEGATIVE, 0},
    {"\xff\xff\xff\xff", 4, FRAME_NEGATIVE, 0},
    {"\x16\x03\x01\x02", 4, FRAME_TLS, 0},
    {"GET / HTTP/1.1", 14, FRAME_HTTP, 0},
    {"POST /x", 7, FRAME_HTTP, 0},
};

static void what_came_is_told_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(look_cases); i++) {
        const struct look_case *c = &look_cases[i];
        struct frame f = frame_look((const uint8_t *)c->bytes, c->count, MAX);
        assert_int_equal(f.kind, c->kind);
        assert_int_equal(f.total, c->total);
    }
}

static void only_what_is_no_frame_has_a_complaint(void **state)
{
    (void)state;
    for (enum frame_kind kind = FRAME_WHOLE; kind <= FRAME_HTTP; kind++)
        assert_int_equal(frame_complaint(kind) != NULL, kind != FRAME_WHOLE && kind != FRAME_PART);
}

static void a_large_limit_makes_tls_a_frame_size_like_any_other(void **state)
{
    (void)state;
    struct frame f = frame_look((const uint8_t *)"\x16\x03\x01\x02", 4, UINT32_C(0x7fffffff));
    assert_int_equal(f.kind, FRAME_PART);
    assert_int_equal(f.total, 0x16030102 + 4);
}

/* A peer that sends a byte at a time, or in steps, never holds much more than it sent. */
static void check_rooms(uint32_t ahead)
{
    const uint32_t total = 100u * 1024 * 1024;
    uint32_t have = 4;
    for (int steps = 0; have < total; steps++) {
        uint32_t room = frame_room(total, have, ahead);
        assert_true(room > have && room <= total);
        assert_true(room <= FRAME_FIRST_BYTES || room <= (uint64_t)have * ahead);
        assert_true(steps < 32);
        have = room;
    }
}

static void memory_follows_the_bytes(void **state)
{
    (void)state;
    check_rooms(FRAME_AHEAD);
    check_rooms(FRAME_AHEAD_SHORT);
    assert_int_equal(frame_room(50, 4, FRAME_AHEAD), 50);
    assert_int_equal(frame_room(0, 3, FRAME_AHEAD), FRAME_FIRST_BYTES);
}

/* A Produce of 64 KiB is a little larger, and the next size of a buf is four times as large. */
static void part_of_64_kib_takes_no_256(void **state)
{
    (void)state;
    const uint32_t total = 64 * 1024 + 100;
    for (uint32_t have = 1; have < 48 * 1024; have += 997)
        assert_true(frame_room(total, have, FRAME_AHEAD) <= 64 * 1024);
    assert_int_equal(frame_room(total, 48 * 1024, FRAME_AHEAD), total);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_came_is_told_apart),
        cmocka_unit_test(only_what_is_no_frame_has_a_complaint),
        cmocka_unit_test(a_large_limit_makes_tls_a_frame_size_like_any_other),
        cmocka_unit_test(memory_follows_the_bytes),
        cmocka_unit_test(part_of_64_kib_takes_no_256),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
