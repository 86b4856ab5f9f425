/* The generated codecs of net/wire/kmsg.h. The schema itself is compared with Kafka's by tests/schema. */
#include "net/wire/kmsg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base.h"

static _Alignas(16) uint8_t filled[1 << 20], arena_bytes[1 << 20];
static uint8_t first[1 << 16], second[1 << 16];

static struct arena fresh_arena(void)
{
    return arena_of(arena_bytes, sizeof arena_bytes);
}

static struct kview view_of(const char *text)
{
    return (struct kview){(const uint8_t *)text, (int32_t)strlen(text)};
}

#define FRAME(...) ((struct kview){(const uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__})})

/* Bytes that are lengths, counts and ends of varints somewhere. */
static const uint8_t damage[] = {0, 1, 2, 3, 5, 0x40, 0x7f, 0x80, 0x81, 0xfe, 0xff};

static uint32_t random_number(void)
{
    static uint32_t x = 1;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return x;
}

/* 1. Every message with every field set to something that is not its default, arrays of two. */
#define VALUE_bool(d) (!(d))
#define VALUE_int8(d) ((d) + 3)
#define VALUE_int16(d) ((d) + 300)
#define VALUE_int32(d) ((int32_t)((d) ^ 70000))
#define VALUE_uint16(d) ((uint16_t)((d) + 40000))
#define VALUE_float64(d) ((d) + 2.5)
#define VALUE_int64(d) ((d) ^ (1ll << 40))
#define VALUE_uuid(d) ((struct kuuid){{(d), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}})
#define VALUE_string(d) view_of("text")
#define VALUE_string16(d) view_of("text")
#define VALUE_bytes(d) view_of("bytes")
#define VALUE_records(d) ((struct krecords){.at = (const uint8_t *)"records", .n = 7})

#define FILL_ARRAY(e, name)                         \
    m->name.n = 2;                                  \
    m->name.v = arena_take(a, 2, sizeof(struct e)); \
    assert_non_null(m->name.v);                     \
    fill_##e(&m->name.v[0], a);                     \
    fill_##e(&m->name.v[1], a);
#define STRUCT(s)                                      \
    static void fill_##s(struct s *m, struct arena *a) \
    {                                                  \
        s##_init(m);                                   \
        (void)a;
#define FIELD(t, name, since, until, fit, dflt) m->name = (KTYPE_##t)VALUE_##t(dflt);
#define TEXT(t, name, since, until, null_since, fit, dflt) m->name = VALUE_##t(dflt);
#define LIST(t, name, since, until, null_since, fit, dflt) \
    {                                                      \
        KTYPE_##t *list = arena_take(a, 2, sizeof *list);  \
        assert_non_null(list);                             \
        list[0] = list[1] = VALUE_##t(0);                  \
        m->name.v = list;                                  \
        m->name.n = 2;                                     \
    }
#define ARRAY(e, name, since, until, null_since, fit, dflt) FILL_ARRAY(e, name)
#define NULLABLE(e, name, since, until, null_since, fit) \
    m->name = arena_take(a, 1, sizeof *m->name);         \
    assert_non_null(m->name);                            \
    fill_##e(m->name, a);
#define TAG_FIELD(tag, t, name, since, until, fit, dflt) m->name = (KTYPE_##t)VALUE_##t(dflt);
#define TAG_TEXT(tag, t, name, since, until, null_since, fit, dflt) m->name = VALUE_##t(dflt);
#define TAG_ARRAY(tag, e, name, since, until, null_since, fit, dflt) FILL_ARRAY(e, name)
#define TAG_NEST(tag, e, name, since, until, fit) fill_##e(&m->name, a);
#define END(s) }
#include "net/wire/schema/all.def"

/* The same and freshly initialised ones go through encode, decode and encode in every version: the bytes are equal, the
 * measured size is right, no proper prefix decodes, nor does a frame with a byte too much, and damage hurts nobody. */
#define MESSAGE(s, api)                                                                                             \
    static size_t round_##s(const struct s *given, int16_t version)                                                 \
    {                                                                                                               \
        struct s m;                                                                                                 \
        struct arena a = fresh_arena();                                                                             \
        struct kwriter w = kwriter_of(first, sizeof first);                                                         \
        assert_true(s##_encode(given, &w, version));                                                                \
        size_t n = kwriter_bytes(&w);                                                                               \
        struct ksize size = s##_size(given, version);                                                               \
        assert_int_equal(size.bytes + size.spliced_bytes, n);                                                       \
        assert_true(s##_decode(&m, (struct kview){first, (int32_t)n}, version, &a));                                \
        w = kwriter_of(second, n);                                                                                  \
        assert_true(s##_encode(&m, &w, version));                                                                   \
        assert_null(w.lost);                                                                                        \
        assert_int_equal(kwriter_bytes(&w), n);                                                                     \
        assert_memory_equal(first, second, n);                                                                      \
        for (size_t k = 0; k <= n + 1; k++) {                                                                       \
            uint8_t *alone = malloc(k + 1); /* so that a sanitizer sees a byte read beyond it */                    \
            assert_non_null(alone);                                                                                 \
            memcpy(alone + 1, first, k);                                                                            \
            a = fresh_arena();                                                                                      \
            assert_int_equal(s##_decode(&m, (struct kview){alone + 1, (int32_t)k}, version, &a), k == n);           \
            free(alone);                                                                                            \
        }                                                                                                           \
        return n;                                                                                                   \
    }                                                                                                               \
    /* `first` holds n bytes that decode. What a damaged copy decodes to, if it does, encodes and decodes again. */ \
    static void damage_##s(size_t n, int16_t version)                                                               \
    {                                                                                                               \
        uint8_t *alone = malloc(n + 1);                                                                             \
        assert_non_null(alone);                                                                                     \
        for (int round = 0; round < 300; round++) {                                                                 \
            struct s m;                                                                                             \
            struct arena a = fresh_arena();                                                                         \
            memcpy(alone + 1, first, n);                                                                            \
            for (int i = 0; n > 0 && i <= round % 3; i++)                                                           \
                alone[1 + random_number() % n] = damage[random_number() % COUNT_OF(damage)];                        \
            if (!s##_decode(&m, (struct kview){alone + 1, (int32_t)n}, version, &a))                                \
                continue;                                                                                           \
            struct kwriter w = kwriter_of(second, sizeof second);                                                   \
            assert_true(s##_encode(&m, &w, version));                                                               \
            a = fresh_arena();                                                                                      \
            assert_true(s##_decode(&m, (struct kview){second, (int32_t)kwriter_bytes(&w)}, version, &a));           \
        }                                                                                                           \
        free(alone);                                                                                                \
    }                                                                                                               \
    static void s##_comes_back_in_every_version(void **state)                                                       \
    {                                                                                                               \
        (void)state;                                                                                                \
        for (int16_t version = KFIRST_##api; version <= KLAST_##api; version++) {                                   \
            struct arena a = arena_of(filled, sizeof filled);                                                       \
            struct s m;                                                                                             \
            s##_init(&m);                                                                                           \
            damage_##s(round_##s(&m, version), version);                                                            \
            fill_##s(&m, &a);                                                                                       \
            damage_##s(round_##s(&m, version), version);                                                            \
        }                                                                                                           \
    }
#include "net/wire/schema/all.def"

/* 2. Bytes written by hand, from Kafka's documentation of the formats. */
static void a_produce_request_is_read_in_place(void **state)
{
    (void)state;
    struct kview frame = FRAME(0,                            /* transactional id: null */
                               0xff, 0xff, 0, 0, 0x75, 0x30, /* acks -1, 30 s */
                               2, 3, 'a', 'b',               /* one topic "ab" */
                               2, 0, 0, 0, 7,                /* one partition, 7 */
                               4, 'x', 'y', 'z', 0, 0, 0);   /* records, three times no tags */
    struct arena a = fresh_arena();
    struct produce_request m;
    assert_true(produce_request_decode(&m, frame, 9, &a));
    assert_int_equal(m.transactional_id.n, -1);
    assert_int_equal(m.acks, -1);
    assert_int_equal(m.timeout_ms, 30000);
    assert_int_equal(m.topic_data.n, 1);
    assert_int_equal(m.topic_data.v[0].name.n, 2);
    assert_int_equal(m.topic_data.v[0].partition_data.v[0].index, 7);
    assert_ptr_equal(m.topic_data.v[0].partition_data.v[0].records.at, frame.at + frame.n - 6);
    assert_int_equal(m.topic_data.v[0].partition_data.v[0].records.n, 3);
}

static void metadata_tells_null_topics_from_none(void **state)
{
    (void)state;
    struct arena a = fresh_arena();
    struct metadata_request m;
    assert_true(metadata_request_decode(&m, FRAME(0xff, 0xff, 0xff, 0xff), 1, &a));
    assert_int_equal(m.topics.n, -1);
    assert_true(m.allow_auto_topic_creation); /* the default, for versions without it */
    assert_true(metadata_request_decode(&m, FRAME(0, 0, 0, 0), 1, &a));
    assert_int_equal(m.topics.n, 0);
    assert_false(metadata_request_decode(&m, FRAME(0xff, 0xff, 0xff, 0xff), 0, &a)); /* not nullable there */
    assert_true(metadata_request_decode(&m, FRAME(0, 0, 0, 0), 12, &a));
    assert_int_equal(m.topics.n, -1);
    assert_false(m.allow_auto_topic_creation);
}

static void a_fetch_response_splices_its_records(void **state)
{
    (void)state;
    struct fetch_partition_data p[2];
    fetch_partition_data_init(&p[0]);
    fetch_partition_data_init(&p[1]);
    p[0].records = (struct krecords){.from = &p[0], .n = 100000};
    p[1].records = (struct krecords){.from = &p[1], .n = 50};
    struct fetchable_topic_response t;
    fetchable_topic_response_init(&t);
    t.partitions.v = p;
    t.partitions.n = 2;
    struct fetch_response m;
    fetch_response_init(&m);
    m.responses.v = &t;
    m.responses.n = 1;

    struct ksplice list[2];
    struct ksize size = fetch_response_size(&m, 12);
    assert_int_equal(size.splices, 2);
    assert_int_equal(size.spliced_bytes, 100050);
    struct kwriter w = kwriter_of(first, size.bytes);
    kwriter_splice(&w, list, COUNT_OF(list));
    assert_true(fetch_response_encode(&m, &w, 12));
    assert_int_equal(kwriter_bytes(&w), size.bytes);
    assert_int_equal(w.splice_count, 2);
    assert_ptr_equal(list[0].records, &p[0].records);
    assert_ptr_equal(list[1].records, &p[1].records);
    /* before each splice stands its length plus one, a varint; after it the partition's tags */
    assert_memory_equal(first + list[0].at - 3, ((uint8_t[]){0xa1, 0x8d, 0x06, 0}), 4);
    assert_memory_equal(first + list[1].at - 1, ((uint8_t[]){51, 0}), 2);
}

static void a_message_names_what_an_old_version_cannot_carry(void **state)
{
    (void)state;
    struct fetch_response m;
    fetch_response_init(&m);
    m.error_code = 3; /* ignorable: dropped in silence */
    struct kwriter w = kwriter_of(first, sizeof first);
    assert_true(fetch_response_encode(&m, &w, 4));
    assert_null(w.lost);
    m.session_id = 9; /* not ignorable */
    w = kwriter_of(first, sizeof first);
    assert_true(fetch_response_encode(&m, &w, 4));
    assert_string_equal(w.lost, "session_id");
    w = kwriter_of(first, sizeof first);
    assert_true(fetch_response_encode(&m, &w, 7));
    assert_null(w.lost);
}

static void defaults_are_kafkas(void **state)
{
    (void)state;
    struct fetch_request f;
    fetch_request_init(&f);
    assert_int_equal(f.replica_id, -1);
    assert_int_equal(f.max_bytes, INT32_MAX);
    assert_int_equal(f.cluster_id.n, -1);
    assert_int_equal(f.replica_state.replica_id, -1);
    struct fetch_partition p;
    fetch_partition_init(&p);
    assert_true(p.high_watermark == INT64_MAX);
    struct metadata_response m;
    metadata_response_init(&m);
    assert_int_equal(m.cluster_authorized_operations, INT32_MIN);
    struct create_topics_request c;
    create_topics_request_init(&c);
    assert_int_equal(c.timeout_ms, 60000);
}

/* 3. Hostile bytes. */
static void counts_beyond_the_frame_are_refused(void **state)
{
    (void)state;
    struct arena a = fresh_arena();
    struct fetch_request m;
    struct kview frame = FRAME(0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, /* header fields */
                               0x7f, 0xff, 0xff, 0xff, 0, 0);                                 /* 2^31-1 topics */
    uint8_t *before = a.at;
    assert_false(fetch_request_decode(&m, frame, 4, &a));
    assert_ptr_equal(a.at, before); /* and nothing was taken for them */
    assert_false(a.refused_bytes);
}

static void a_message_larger_than_its_arena_is_refused(void **state)
{
    (void)state;
    struct metadata_request m;
    static uint8_t frame[4 + 2 * 1000] = {0, 0, 0x03, 0xe8}; /* 1000 topics with empty names */
    struct kview all = {frame, sizeof frame};
    struct arena a = fresh_arena();
    assert_true(metadata_request_decode(&m, all, 0, &a));
    size_t used = (size_t)(a.at - arena_bytes);
    assert_int_equal(used, 1000 * sizeof(struct metadata_request_topic));
    a = arena_of(arena_bytes, used - 1);
    assert_false(metadata_request_decode(&m, all, 0, &a));
    assert_true(a.refused_bytes);
    a = arena_of(arena_bytes, used);
    assert_true(metadata_request_decode(&m, all, 0, &a));
}

/* CVE-2026-111115: a header that announces millions of tags. Only the first page of this frame can be touched at all, so
 * the work done on it is bounded whatever the machine's speed. */
static void twenty_million_tags_are_refused_unread(void **state)
{
    (void)state;
    enum { FRAME_BYTES = 48 << 20, TAGS = 20 << 20 };
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *frame = mmap(NULL, FRAME_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(frame != MAP_FAILED);
    assert_int_equal(mprotect(frame, page, PROT_READ | PROT_WRITE), 0);
    struct kwriter w = kwriter_of(frame, page);
    struct request_header header;
    request_header_init(&header);
    header.request_api_key = KAPI_api_versions;
    header.request_api_version = 3;
    assert_true(request_header_encode(&header, &w, 2));
    w.at--; /* instead of no tags */
    kwrite_uvarint(&w, TAGS);
    memset(w.at, 0, (size_t)(w.end - w.at)); /* tag 0 of no bytes, again and again */

    struct arena a = fresh_arena();
    const struct kapi *api;
    struct kview body;
    assert_int_equal(kmsg_open((struct kview){frame, FRAME_BYTES}, &a, &header, &api, &body), KOPEN_BAD);
    assert_ptr_equal(a.at, arena_bytes);
    assert_int_equal(munmap(frame, FRAME_BYTES), 0);
}

static void unknown_tags_are_skipped_in_every_struct(void **state)
{
    (void)state;
    struct arena a = fresh_arena();
    struct api_versions_request m;
    assert_true(api_versions_request_decode(&m, FRAME(2, 'n', 2, 'v', 2, 9, 2, 0xaa, 0xbb, 11, 0), 3, &a));
    assert_int_equal(m.client_software_name.n, 1);
    /* a tag that a later version knows is unknown to this one */
    struct fetch_request f;
    fetch_request_init(&f);
    f.replica_state.replica_id = 5;
    struct kwriter w = kwriter_of(first, sizeof first);
    assert_true(fetch_request_encode(&f, &w, 15));
    struct kview frame = {first, (int32_t)kwriter_bytes(&w)};
    assert_true(fetch_request_decode(&f, frame, 15, &a));
    assert_int_equal(f.replica_state.replica_id, 5);
    /* versions 12 to 14 have the replica id in front */
    memmove(first + 4, first, (size_t)frame.n);
    frame.n += 4;
    assert_true(fetch_request_decode(&f, frame, 14, &a));
    assert_int_equal(f.replica_state.replica_id, -1);
}

/* 4. Headers and the table of APIs. */
static void a_frame_is_opened_or_says_why_not(void **state)
{
    (void)state;
    const struct {
        struct kview frame;
        enum kopen answer;
        int32_t body_bytes;
    } cases[] = {
        {FRAME(0, 18, 0, 0, 0, 0, 0, 7, 0, 1, 'c'), KOPEN_OK, 0},
        {FRAME(0, 18, 0, 3, 0, 0, 0, 7, 0, 1, 'c', 0, 2, 'n', 2, 'v', 0), KOPEN_OK, 5},
        {FRAME(0, 3, 0, 1, 0, 0, 0, 7, 0xff, 0xff, 0, 0, 0, 0), KOPEN_OK, 4},
        {FRAME(0, 18, 0, 99, 0, 0, 0, 7, 0, 1, 'c', 0), KOPEN_VERSION, 0},
        {FRAME(0, 18, 0xff, 0xff, 0, 0, 0, 7, 0, 1, 'c'), KOPEN_VERSION, 0},
        {FRAME(0, 0, 0, 2, 0, 0, 0, 7, 0, 1, 'c', 0), KOPEN_VERSION, 0}, /* Produce 2 is only advertised */
        {FRAME(0, 4, 0, 0, 0, 0, 0, 7, 0, 1, 'c'), KOPEN_KEY, 0},
        {FRAME(0xff, 0xff, 0, 0, 0, 0, 0, 7, 0, 1, 'c'), KOPEN_KEY, 0},
        {FRAME(0, 18, 0, 3, 0, 0, 0, 7, 0, 1, 'c'), KOPEN_BAD, 0}, /* tags are missing */
        {FRAME(0, 18, 0, 0, 0, 0, 0, 7, 0, 2, 'c'), KOPEN_BAD, 0}, /* the client id is cut */
        {FRAME(0, 18, 0, 0, 0, 0, 0), KOPEN_BAD, 0},
        {FRAME(0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 0x11), KOPEN_BAD, 0}, /* a TLS hello */
        {{(const uint8_t *)"", 0}, KOPEN_BAD, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct arena a = fresh_arena();
        struct request_header header;
        const struct kapi *api = NULL;
        struct kview body = {NULL, -7};
        assert_int_equal(kmsg_open(cases[i].frame, &a, &header, &api, &body), cases[i].answer);
        if (cases[i].answer == KOPEN_OK)
            assert_int_equal(body.n, cases[i].body_bytes);
        if (cases[i].answer != KOPEN_BAD)
            assert_int_equal(header.correlation_id, 7);
        assert_int_equal(api != NULL, cases[i].answer == KOPEN_OK || cases[i].answer == KOPEN_VERSION);
    }
}

static void the_table_is_sorted_and_its_ranges_make_sense(void **state)
{
    (void)state;
    assert_true(kapi_count() > 0);
    for (int32_t i = 0; i < kapi_count(); i++) {
        const struct kapi *api = kapi_at(i);
        assert_true(i == 0 || kapi_at(i - 1)->key < api->key);
        assert_ptr_equal(kapi_find(api->key), api);
        assert_true(0 <= api->advertised && api->advertised <= api->first && api->first <= api->last);
        for (int16_t v = api->first; v <= api->last; v++)
            assert_int_equal(kapi_request_header(api, v), v >= api->flexible ? 2 : 1);
    }
    assert_null(kapi_find(4));
    assert_null(kapi_find(-1));
    assert_string_equal(kapi_find(KAPI_fetch)->name, "Fetch");
    assert_int_equal(kapi_find(KAPI_produce)->advertised, 0);
    assert_int_equal(kapi_find(KAPI_produce)->first, 3);
}

static void responses_have_the_header_that_clients_expect(void **state)
{
    (void)state;
    assert_int_equal(kapi_response_header(kapi_find(KAPI_fetch), 11), 0);
    assert_int_equal(kapi_response_header(kapi_find(KAPI_fetch), 12), 1);
    for (int16_t v = 0; v <= KLAST_api_versions; v++) /* KIP-511 */
        assert_int_equal(kapi_response_header(kapi_find(KAPI_api_versions), v), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define MESSAGE(s, api) cmocka_unit_test(s##_comes_back_in_every_version),
#include "net/wire/schema/all.def"
        cmocka_unit_test(a_produce_request_is_read_in_place),
        cmocka_unit_test(metadata_tells_null_topics_from_none),
        cmocka_unit_test(a_fetch_response_splices_its_records),
        cmocka_unit_test(a_message_names_what_an_old_version_cannot_carry),
        cmocka_unit_test(defaults_are_kafkas),
        cmocka_unit_test(counts_beyond_the_frame_are_refused),
        cmocka_unit_test(a_message_larger_than_its_arena_is_refused),
        cmocka_unit_test(twenty_million_tags_are_refused_unread),
        cmocka_unit_test(unknown_tags_are_skipped_in_every_struct),
        cmocka_unit_test(a_frame_is_opened_or_says_why_not),
        cmocka_unit_test(the_table_is_sorted_and_its_ranges_make_sense),
        cmocka_unit_test(responses_have_the_header_that_clients_expect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
