/* The cursors of net/wire/wire.h at their edges. */
#include "net/wire/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base.h"

static _Alignas(16) uint8_t arena_bytes[256];

static struct arena small_arena(size_t n)
{
    return arena_of(arena_bytes, n);
}

static struct kreader reader_of(const uint8_t *bytes, size_t n, bool flexible)
{
    struct kreader r = kreader_of((struct kview){bytes, (int32_t)n}, 0, NULL);
    r.flexible = flexible;
    return r;
}

static void numbers_are_big_endian_and_come_back(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x80, 1, 0x12, 0x34, 0xff, 0xff, 0xff, 0xfe, 0x80, 0, 0,  0,  0,  0,  0,  1,
                                    0,    1, 2,    3,    4,    5,    6,    7,    8,    9, 10, 11, 12, 13, 14, 15};
    struct kreader r = reader_of(bytes, sizeof bytes, false);
    uint8_t out[sizeof bytes];
    struct kwriter w = kwriter_of(out, sizeof out);

    int8_t one = kread_int8(&r);
    bool truth = kread_bool(&r);
    int16_t two = kread_int16(&r);
    int32_t four = kread_int32(&r);
    int64_t eight = kread_int64(&r);
    struct kuuid id = kread_uuid(&r);
    assert_int_equal(one, INT8_MIN);
    assert_true(truth);
    assert_int_equal(two, 0x1234);
    assert_int_equal(four, -2);
    assert_true(eight == INT64_MIN + 1);
    assert_int_equal(id.b[15], 15);
    assert_false(r.bad);
    assert_int_equal(kread_left(&r), 0);

    kwrite_int8(&w, one);
    kwrite_bool(&w, truth);
    kwrite_int16(&w, two);
    kwrite_int32(&w, four);
    kwrite_int64(&w, eight);
    kwrite_uuid(&w, id);
    assert_true(kwriter_good(&w));
    assert_int_equal(kwriter_bytes(&w), sizeof bytes);
    assert_memory_equal(out, bytes, sizeof bytes);
}

static void a_bad_read_empties_the_cursor_for_good(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7};
    struct kreader r = reader_of(bytes, sizeof bytes, false);
    assert_true(kread_int64(&r) == 0);
    assert_true(r.bad);
    assert_int_equal(kread_left(&r), 0);
    assert_int_equal(kread_int8(&r), 0);
    struct kuuid id = kread_uuid(&r);
    for (size_t i = 0; i < sizeof id.b; i++)
        assert_int_equal(id.b[i], 0);
    assert_int_equal(kread_string(&r, true).n, 0);
}

static void varints_are_bounded(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[6];
        size_t n;
        bool good;
        uint32_t value;
    } cases[] = {
        {{0x00}, 1, true, 0},
        {{0x7f}, 1, true, 127},
        {{0x80, 0x01}, 2, true, 128},
        {{0xff, 0x7f}, 2, true, 16383},
        {{0xff, 0xff, 0xff, 0xff, 0x0f}, 5, true, UINT32_MAX},
        {{0x80, 0x80, 0x80, 0x80, 0x00}, 5, true, 0}, /* padded, but within five bytes */
        {{0xff, 0xff, 0xff, 0xff, 0x1f}, 5, false, 0},
        {{0x80, 0x80, 0x80, 0x80, 0x80, 0x00}, 6, false, 0},
        {{0x80, 0x80}, 2, false, 0},
        {{0x80}, 1, false, 0},
        {{0}, 0, false, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct kreader r = reader_of(cases[i].bytes, cases[i].n, true);
        assert_int_equal(kread_uvarint(&r), cases[i].value);
        assert_int_equal(!r.bad, cases[i].good);
        assert_int_equal(kread_left(&r), 0);
    }
}

static void varints_are_written_in_their_least_bytes(void **state)
{
    (void)state;
    static const struct {
        uint32_t value;
        size_t bytes;
    } cases[] = {{0, 1},        {127, 1},       {128, 2},     {16383, 2},
                 {16384, 3},    {2097151, 3},   {2097152, 4}, {(1u << 28) - 1, 4},
                 {1u << 28, 5}, {UINT32_MAX, 5}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint8_t out[5];
        struct kwriter w = kwriter_of(out, sizeof out);
        kwrite_uvarint(&w, cases[i].value);
        assert_true(kwriter_good(&w));
        assert_int_equal(kwriter_bytes(&w), cases[i].bytes);
        struct kreader r = reader_of(out, cases[i].bytes, true);
        assert_int_equal(kread_uvarint(&r), cases[i].value);
        assert_false(r.bad);
    }
}

enum text_kind { STRING, STRING16, BYTES };

static struct kview read_text(struct kreader *r, enum text_kind kind, bool null_ok)
{
    switch (kind) {
    case STRING: return kread_string(r, null_ok);
    case STRING16: return kread_string16(r, null_ok);
    case BYTES: return kread_bytes(r, null_ok);
    }
    return (struct kview){0};
}

static void lengths_stay_within_the_frame(void **state)
{
    (void)state;
    static const struct {
        enum text_kind kind;
        bool flexible, null_ok;
        uint8_t bytes[8];
        size_t size;
        bool good;
        int32_t n;
    } cases[] = {
        {STRING, false, false, {0, 2, 'a', 'b'}, 4, true, 2},
        {STRING, false, false, {0, 0}, 2, true, 0},
        {STRING, false, true, {0xff, 0xff}, 2, true, -1},
        {STRING, false, false, {0xff, 0xff}, 2, false, 0}, /* null where none may be */
        {STRING, false, true, {0xff, 0xfe, 'a'}, 3, false, 0},
        {STRING, false, true, {0x80, 0x00, 'a'}, 3, false, 0},
        {STRING, false, true, {0, 3, 'a', 'b'}, 4, false, 0},
        {STRING, true, false, {3, 'a', 'b'}, 3, true, 2},
        {STRING, true, false, {1}, 1, true, 0},
        {STRING, true, true, {0}, 1, true, -1},
        {STRING, true, false, {0}, 1, false, 0},
        {STRING, true, false, {4, 'a', 'b'}, 3, false, 0},
        {STRING, true, false, {0xff, 0xff, 0xff, 0xff, 0x0f, 'a'}, 6, false, 0}, /* 4 GiB */
        {STRING16, true, true, {0, 2, 'a', 'b'}, 4, true, 2},
        {STRING16, true, true, {0xff, 0xff}, 2, true, -1},
        {BYTES, false, true, {0, 0, 0, 1, 'a'}, 5, true, 1},
        {BYTES, false, true, {0xff, 0xff, 0xff, 0xff}, 4, true, -1},
        {BYTES, false, true, {0xff, 0xff, 0xff, 0xfe}, 4, false, 0},
        {BYTES, false, true, {0x7f, 0xff, 0xff, 0xff, 'a'}, 5, false, 0},
        {BYTES, true, true, {2, 'a'}, 2, true, 1},
        {BYTES, true, true, {3, 'a'}, 2, false, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct kreader r = reader_of(cases[i].bytes, cases[i].size, cases[i].flexible);
        struct kview v = read_text(&r, cases[i].kind, cases[i].null_ok);
        assert_int_equal(!r.bad, cases[i].good);
        assert_int_equal(v.n, cases[i].n);
        assert_int_equal(kread_left(&r), 0);
        if (v.n > 0) /* in place: the last byte of the view is the last of the frame */
            assert_ptr_equal(v.at + v.n, cases[i].bytes + cases[i].size);
    }
}

static void a_text_longer_than_kafkas_is_refused(void **state)
{
    (void)state;
    static uint8_t bytes[3 + INT16_MAX + 1] = {0x80, 0x80, 0x02}; /* length 32767, plus one */
    struct kreader r = reader_of(bytes, sizeof bytes, true);
    assert_int_equal(kread_string(&r, false).n, INT16_MAX);
    assert_int_equal(kread_left(&r), 1);
    bytes[0] = 0x81;
    r = reader_of(bytes, sizeof bytes, true);
    assert_int_equal(kread_string(&r, false).n, 0);
    assert_true(r.bad);
    r = reader_of(bytes, sizeof bytes, true);
    assert_int_equal(kread_bytes(&r, false).n, INT16_MAX + 1);
}

static void counts_are_held_against_the_bytes_left(void **state)
{
    (void)state;
    static const struct {
        bool flexible, null_ok;
        size_t least;
        uint8_t count[4]; /* before eight more bytes */
        size_t size;
        bool good;
        int32_t n;
    } cases[] = {
        {false, false, 1, {0, 0, 0, 8}, 4, true, 8},
        {false, false, 1, {0, 0, 0, 9}, 4, false, 0},
        {false, false, 4, {0, 0, 0, 2}, 4, true, 2},
        {false, false, 4, {0, 0, 0, 3}, 4, false, 0},
        {false, false, 8, {0x7f, 0xff, 0xff, 0xff}, 4, false, 0},
        {false, true, 8, {0xff, 0xff, 0xff, 0xff}, 4, true, -1},
        {false, false, 8, {0xff, 0xff, 0xff, 0xff}, 4, false, 0},
        {false, true, 8, {0xff, 0xff, 0xff, 0xfe}, 4, false, 0},
        {true, false, 4, {3}, 1, true, 2},
        {true, false, 4, {4}, 1, false, 0},
        {true, true, 4, {0}, 1, true, -1},
        {true, false, 4, {0}, 1, false, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint8_t bytes[12] = {0};
        memcpy(bytes, cases[i].count, cases[i].size);
        struct kreader r = reader_of(bytes, cases[i].size + 8, cases[i].flexible);
        assert_int_equal(kread_count(&r, cases[i].null_ok, cases[i].least), cases[i].n);
        assert_int_equal(!r.bad, cases[i].good);
    }
}

static void the_arena_gives_what_it_has_and_no_more(void **state)
{
    (void)state;
    struct arena a = arena_of(arena_bytes + 1, 39);
    void *first = arena_take(&a, 3, 8);
    assert_non_null(first);
    assert_int_equal((uintptr_t)first % 8, 0);
    assert_false(a.refused_bytes);
    uint8_t *before = a.at;
    assert_null(arena_take(&a, 2, 8));
    assert_true(a.refused_bytes);
    assert_ptr_equal(a.at, before);
    assert_non_null(arena_take(&a, 1, 8));
    assert_null(arena_take(&a, SIZE_MAX / 2, 16)); /* the product does not fit a size_t */
    assert_null(arena_take(&a, 1, 1));
}

static void an_array_beyond_the_arena_is_a_bad_read(void **state)
{
    (void)state;
    static const uint8_t bytes[4];
    struct arena a = small_arena(64);
    struct kreader r = kreader_of((struct kview){bytes, 4}, 0, &a);
    assert_null(kread_room(&r, 0, 8));
    assert_null(kread_room(&r, -1, 8));
    assert_non_null(kread_room(&r, 8, 8));
    assert_false(r.bad);
    assert_null(kread_room(&r, 1, 8));
    assert_true(r.bad);
    assert_true(a.refused_bytes);
}

/* Reads a struct's tags, knowing only tag 1, an int16; returns it, or -1. */
static int read_tags(struct kreader *r)
{
    int value = -1;
    for (struct ktags t = kread_tags(r); kread_tag(r, &t); kread_tag_done(r, &t))
        if (t.tag == 1)
            value = kread_int16(r);
        else
            kread_tag_skip(r);
    return value;
}

static void tags_are_read_skipped_and_refused(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[16];
        size_t size;
        bool good;
        int value;
    } cases[] = {
        {{0}, 1, true, -1},
        {{1, 1, 2, 0x12, 0x34}, 5, true, 0x1234},
        {{3, 0, 1, 'x', 1, 2, 0, 5, 7, 0}, 10, true, 5},
        {{1, 1, 1, 0x12}, 4, false, -2},             /* too short for what it holds */
        {{1, 1, 3, 0x12, 0x34, 0}, 6, false, -2},    /* too long for it */
        {{1, 1, 3, 0x12, 0x34}, 5, false, -2},       /* longer than the frame */
        {{2, 1, 2, 0, 5, 1, 2, 0, 6}, 9, false, -2}, /* the same tag twice */
        {{2, 7, 0, 1, 2, 0, 6}, 7, false, -2},       /* descending */
        {{2, 1, 2, 0, 5}, 5, false, -2},             /* announces one more than there is */
        {{1, 0x80, 0x80, 0x80, 0x80, 0x10, 0}, 7, false, -2},
        {{0}, 0, false, -2},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct kreader r = reader_of(cases[i].bytes, cases[i].size, true);
        int value = read_tags(&r);
        assert_int_equal(!r.bad, cases[i].good);
        assert_int_equal(kread_left(&r), 0);
        if (cases[i].good)
            assert_int_equal(value, cases[i].value);
    }
}

static void unknown_tags_are_passed_over_as_many_as_there_are_bytes_for(void **state)
{
    (void)state;
    enum { TAGS = 120 };
    uint8_t bytes[1 + 2 * TAGS];
    for (uint8_t i = 0; i < TAGS; i++)
        memcpy(bytes + 1 + 2 * i, (uint8_t[]){(uint8_t)(i + 2), 0}, 2);
    for (uint8_t count = TAGS; count <= TAGS + 1; count++) {
        bytes[0] = count;
        struct kreader r = reader_of(bytes, sizeof bytes, true);
        assert_int_equal(read_tags(&r), -1);
        assert_int_equal(r.bad, count > TAGS);
    }
}

static void a_writer_too_small_counts_what_it_lacks(void **state)
{
    (void)state;
    static const uint8_t text[] = "twenty bytes of text";
    uint8_t whole[64], part[64];
    struct kwriter w = kwriter_of(whole, sizeof whole);
    kwrite_int64(&w, 1);
    kwrite_string(&w, (struct kview){text, 20}, false);
    kwrite_int8(&w, 7);
    size_t need = kwriter_bytes(&w);
    assert_int_equal(need, 8 + 2 + 20 + 1);
    for (size_t room = 0; room < need; room++) {
        memset(part, 0xee, sizeof part);
        w = kwriter_of(part, room);
        kwrite_int64(&w, 1);
        kwrite_string(&w, (struct kview){text, 20}, false);
        kwrite_int8(&w, 7);
        assert_false(kwriter_good(&w));
        assert_false(w.bad);
        assert_int_equal(kwriter_bytes(&w), need);
        assert_int_equal(part[room], 0xee);
        assert_memory_equal(part, whole, (size_t)(w.at - w.start));
    }
}

static void nulls_and_lengths_that_do_not_fit_are_refused_when_written(void **state)
{
    (void)state;
    static uint8_t big[INT16_MAX + 1];
    static uint8_t out[sizeof big + 8];
    static const struct {
        int32_t n;
        bool null_ok, good;
    } cases[] = {{-1, true, true}, {-1, false, false},      {-2, true, false},
                 {0, false, true}, {INT16_MAX, true, true}, {INT16_MAX + 1, true, false}};
    for (size_t i = 0; i < COUNT_OF(cases) * 2; i++) {
        struct kwriter w = kwriter_of(out, sizeof out);
        w.flexible = i % 2;
        kwrite_string(&w, (struct kview){big, cases[i / 2].n}, cases[i / 2].null_ok);
        assert_int_equal(kwriter_good(&w), cases[i / 2].good);
    }
}

/* A tag of `n` bytes: its size needs one to three bytes, and nothing after it may move wrongly. */
static void a_tag_knows_its_size_whatever_it_is(void **state)
{
    (void)state;
    static uint8_t body[1 << 15];
    static uint8_t out[(1 << 15) + 16];
    static const size_t sizes[] = {0, 1, 127, 128, 16383, 16384, 1 << 15};
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (uint8_t)(i * 7);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        for (size_t more = 0; more <= 8; more++) {
            struct kwriter w = kwriter_of(out, sizes[i] + more);
            struct ktag t = kwrite_tag(&w, 5);
            kwrite_raw(&w, body, sizes[i]);
            kwrite_tag_done(&w, t);
            size_t least = 2 + sizes[i] + (sizes[i] > 127) + (sizes[i] > 16383);
            assert_int_equal(kwriter_bytes(&w), least);
            assert_int_equal(kwriter_good(&w), sizes[i] + more >= least);
            if (!kwriter_good(&w))
                continue;
            struct kreader r = reader_of(out, kwriter_bytes(&w), true);
            assert_int_equal(kread_uvarint(&r), 5);
            assert_int_equal(kread_uvarint(&r), sizes[i]);
            assert_int_equal(kread_left(&r), sizes[i]);
            assert_memory_equal(r.at, body, sizes[i]);
        }
    }
}

static void records_are_spliced_copied_or_refused(void **state)
{
    (void)state;
    uint8_t out[32];
    struct ksplice list[1];
    struct krecords here = {.at = (const uint8_t *)"abc", .n = 3};
    struct krecords elsewhere = {.from = list, .n = 1000};
    struct krecords none = {.n = -1};

    struct kwriter w = kwriter_of(out, sizeof out);
    kwrite_records(&w, &here, false);
    kwrite_records(&w, &none, true);
    assert_true(kwriter_good(&w));
    assert_memory_equal(out, ((uint8_t[]){0, 0, 0, 3, 'a', 'b', 'c', 0xff, 0xff, 0xff, 0xff}), 11);
    kwrite_records(&w, &elsewhere, true);
    assert_false(kwriter_good(&w)); /* bytes from elsewhere cannot be copied */

    w = kwriter_of(out, sizeof out);
    kwriter_splice(&w, list, 1);
    kwrite_records(&w, &elsewhere, false);
    kwrite_records(&w, &none, true);
    assert_true(kwriter_good(&w));
    assert_int_equal(kwriter_bytes(&w), 8);
    assert_int_equal(w.splice_count, 1);
    assert_int_equal(list[0].at, 4);
    assert_ptr_equal(list[0].records, &elsewhere);
    assert_int_equal(w.spliced_bytes, 1000);
    kwrite_records(&w, &here, false);
    assert_false(kwriter_good(&w)); /* the list is full */
}

static void four_bytes_can_be_written_afterwards(void **state)
{
    (void)state;
    uint8_t out[8];
    struct kwriter w = kwriter_of(out, sizeof out);
    kwrite_int32(&w, 0);
    kwrite_int32(&w, 2);
    kwrite_int32_at(&w, 0, 0x01020304);
    assert_memory_equal(out, ((uint8_t[]){1, 2, 3, 4, 0, 0, 0, 2}), 8);
    w = kwriter_measure();
    kwrite_int32(&w, 0);
    kwrite_int32_at(&w, 0, 1);
    assert_int_equal(kwriter_bytes(&w), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_big_endian_and_come_back),
        cmocka_unit_test(a_bad_read_empties_the_cursor_for_good),
        cmocka_unit_test(varints_are_bounded),
        cmocka_unit_test(varints_are_written_in_their_least_bytes),
        cmocka_unit_test(lengths_stay_within_the_frame),
        cmocka_unit_test(a_text_longer_than_kafkas_is_refused),
        cmocka_unit_test(counts_are_held_against_the_bytes_left),
        cmocka_unit_test(the_arena_gives_what_it_has_and_no_more),
        cmocka_unit_test(an_array_beyond_the_arena_is_a_bad_read),
        cmocka_unit_test(tags_are_read_skipped_and_refused),
        cmocka_unit_test(unknown_tags_are_passed_over_as_many_as_there_are_bytes_for),
        cmocka_unit_test(a_writer_too_small_counts_what_it_lacks),
        cmocka_unit_test(nulls_and_lengths_that_do_not_fit_are_refused_when_written),
        cmocka_unit_test(a_tag_knows_its_size_whatever_it_is),
        cmocka_unit_test(records_are_spliced_copied_or_refused),
        cmocka_unit_test(four_bytes_can_be_written_afterwards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
