/* The codecs: each part below reads the whole schema once and turns its words into one kind of
 * function. Debuggers, profilers and coverage show the lines of the .def files. */
#include "net/wire/kmsg.h"

#include <assert.h>

/* Constants on the right side of the ||: fields that were always there cost no comparison. */
#define IN(v, since, until) (((since) == 0 || (v) >= (since)) && ((until) == LAST || (v) <= (until)))

/* What each type needs from the generator: its default, the test for it, its least encoded size
 * and, as an element of a LIST, how to read and write it. */
static const uint8_t no_bytes[1];

#define NUMBER_OF(d) (d)
#define VIEW_OF(d) ((struct kview){(d) < 0 ? NULL : no_bytes, (d)})

#define DFLT_bool NUMBER_OF
#define DFLT_int8 NUMBER_OF
#define DFLT_int16 NUMBER_OF
#define DFLT_int32 NUMBER_OF
#define DFLT_int64 NUMBER_OF
#define DFLT_uint16 NUMBER_OF
#define DFLT_float64 NUMBER_OF
#define DFLT_uuid(d) ((struct kuuid){.b = {(d)}})
#define DFLT_string VIEW_OF
#define DFLT_string16 VIEW_OF
#define DFLT_bytes VIEW_OF
#define DFLT_records(d) ((struct krecords){.at = (d) < 0 ? NULL : no_bytes, .n = (d)})

#define NUMBER_IS(a, d) ((a) == (d))
#define SIZE_IS(a, d) ((a).n == (d))

#define IS_bool NUMBER_IS
#define IS_int8 NUMBER_IS
#define IS_int16 NUMBER_IS
#define IS_int32 NUMBER_IS
#define IS_int64 NUMBER_IS
#define IS_uint16 NUMBER_IS
#define IS_float64 NUMBER_IS
#define IS_uuid(a, d) uuid_is_zero(&(a))
#define IS_string SIZE_IS
#define IS_string16 SIZE_IS
#define IS_bytes SIZE_IS
#define IS_records SIZE_IS

#define LEAST_bool(flexible) 1
#define LEAST_int8(flexible) 1
#define LEAST_int16(flexible) 2
#define LEAST_int32(flexible) 4
#define LEAST_int64(flexible) 8
#define LEAST_uint16(flexible) 2
#define LEAST_float64(flexible) 8
#define LEAST_uuid(flexible) 16
#define LEAST_string(flexible) ((flexible) ? 1 : 2)
#define LEAST_string16(flexible) 2
#define LEAST_bytes(flexible) ((flexible) ? 1 : 4)
#define LEAST_records(flexible) ((flexible) ? 1 : 4)
#define LEAST_count(flexible) ((flexible) ? 1 : 4)

#define ELEMENT_READ_int8(r) kread_int8(r)
#define ELEMENT_READ_int32(r) kread_int32(r)
#define ELEMENT_READ_int64(r) kread_int64(r)
#define ELEMENT_READ_string(r) kread_string(r, false)
#define ELEMENT_WRITE_int8(w, v) kwrite_int8(w, v)
#define ELEMENT_WRITE_int32(w, v) kwrite_int32(w, v)
#define ELEMENT_WRITE_int64(w, v) kwrite_int64(w, v)
#define ELEMENT_WRITE_string(w, v) kwrite_string(w, v, false)

static inline bool uuid_is_zero(const struct kuuid *u)
{
    static const struct kuuid zero;
    return memcmp(u, &zero, sizeof zero) == 0;
}

/* 1. Every field at its default. */
#define STRUCT(s)                            \
    static inline void init_##s(struct s *m) \
    {
#define FIELD(t, name, since, until, fit, dflt) m->name = DFLT_##t(dflt);
#define TEXT(t, name, since, until, null_since, fit, dflt) m->name = DFLT_##t(dflt);
#define LIST(t, name, since, until, null_since, fit, dflt) \
    m->name.v = NULL;                                      \
    m->name.n = (dflt);
#define ARRAY(e, name, since, until, null_since, fit, dflt) \
    m->name.v = NULL;                                       \
    m->name.n = (dflt);
#define NULLABLE(e, name, since, until, null_since, fit) m->name = NULL;
#define TAG_FIELD(tag, t, name, since, until, fit, dflt) m->name = DFLT_##t(dflt);
#define TAG_TEXT(tag, t, name, since, until, null_since, fit, dflt) m->name = DFLT_##t(dflt);
#define TAG_ARRAY(tag, e, name, since, until, null_since, fit, dflt) \
    m->name.v = NULL;                                                \
    m->name.n = (dflt);
#define TAG_NEST(tag, e, name, since, until, fit) init_##e(&m->name);
#define END(s)                 \
    }                          \
    void s##_init(struct s *m) \
    {                          \
        init_##s(m);           \
    }
#include "net/wire/schema/all.def"

/* 2. The least number of bytes that a struct can take, which bounds the count of an array of it. */
#define STRUCT(s)                                        \
    static inline size_t least_##s(int v, bool flexible) \
    {                                                    \
        size_t n = 0;                                    \
        (void)v;
#define FIELD(t, name, since, until, fit, dflt) \
    if (IN(v, since, until))                    \
        n += LEAST_##t(flexible);
#define TEXT(t, name, since, until, null_since, fit, dflt) \
    if (IN(v, since, until))                               \
        n += LEAST_##t(flexible);
#define LIST(t, name, since, until, null_since, fit, dflt) \
    if (IN(v, since, until))                               \
        n += LEAST_count(flexible);
#define ARRAY(e, name, since, until, null_since, fit, dflt) \
    if (IN(v, since, until))                                \
        n += LEAST_count(flexible);
#define NULLABLE(e, name, since, until, null_since, fit) \
    if (IN(v, since, until))                             \
        n += 1;
#define TAGS      \
    if (flexible) \
        n += 1;
#define END(s) \
    return n;  \
    }
#include "net/wire/schema/all.def"

/* 3. Decode. Each array is read by a function of its element, so that no function grows without
 * bound; their nesting is the schema's, so the depth of calls is fixed. */
#define READ_ARRAY(r, e, name, null_ok)                                              \
    do {                                                                             \
        m->name.n = kread_count(r, null_ok, least_##e((r)->version, (r)->flexible)); \
        m->name.v = kread_room(r, m->name.n, sizeof(struct e));                      \
        m->name.n = m->name.n > 0 && !m->name.v ? 0 : m->name.n;                     \
        for (int32_t i = 0; i < m->name.n && !(r)->bad; i++)                         \
            read_##e(r, &m->name.v[i]);                                              \
    } while (0)
#define READ_TAG(since, until)  \
    if (!IN(v, since, until)) { \
        kread_tag_skip(r);      \
        break;                  \
    }

#define STRUCT(s)                                                         \
    static void read_##s(struct kreader *r, struct s *m)                  \
    {                                                                     \
        const int v = r->version;                                         \
        static_assert(_Alignof(struct s) <= 8, "arena_take aligns to 8"); \
        (void)v;                                                          \
        init_##s(m);
#define FIELD(t, name, since, until, fit, dflt) \
    if (IN(v, since, until))                    \
        m->name = kread_##t(r);
#define TEXT(t, name, since, until, null_since, fit, dflt) \
    if (IN(v, since, until))                               \
        m->name = kread_##t(r, v >= (null_since));
#define LIST(t, name, since, until, null_since, fit, dflt)                     \
    if (IN(v, since, until)) {                                                 \
        int32_t n = kread_count(r, v >= (null_since), LEAST_##t(r->flexible)); \
        KTYPE_##t *list = kread_room(r, n, sizeof *list);                      \
        m->name.v = list;                                                      \
        m->name.n = n > 0 && !list ? 0 : n;                                    \
        for (int32_t i = 0; i < m->name.n; i++)                                \
            list[i] = ELEMENT_READ_##t(r);                                     \
    }
#define ARRAY(e, name, since, until, null_since, fit, dflt) \
    if (IN(v, since, until))                                \
        READ_ARRAY(r, e, name, v >= (null_since));
#define NULLABLE(e, name, since, until, null_since, fit)                 \
    if (IN(v, since, until) && (v < (null_since) || kread_present(r))) { \
        m->name = kread_room(r, 1, sizeof *m->name);                     \
        if (m->name)                                                     \
            read_##e(r, m->name);                                        \
    }
#define TAGS                                                                          \
    if (r->flexible)                                                                  \
        for (struct ktags t = kread_tags(r); kread_tag(r, &t); kread_tag_done(r, &t)) \
            switch (t.tag) {
#define TAG_FIELD(tag, t, name, since, until, fit, dflt) \
    case tag:                                            \
        READ_TAG(since, until)                           \
        m->name = kread_##t(r);                          \
        break;
#define TAG_TEXT(tag, t, name, since, until, null_since, fit, dflt) \
    case tag:                                                       \
        READ_TAG(since, until)                                      \
        m->name = kread_##t(r, v >= (null_since));                  \
        break;
#define TAG_ARRAY(tag, e, name, since, until, null_since, fit, dflt) \
    case tag:                                                        \
        READ_TAG(since, until)                                       \
        READ_ARRAY(r, e, name, v >= (null_since));                   \
        break;
#define TAG_NEST(tag, e, name, since, until, fit) \
    case tag:                                     \
        READ_TAG(since, until)                    \
        read_##e(r, &m->name);                    \
        break;
#define END(s)                  \
    default: kread_tag_skip(r); \
        }                       \
        }
#include "net/wire/schema/all.def"

/* 4. Whether a struct is all default: then it is not worth a tag. */
#define STRUCT(s)                                        \
    static inline bool is_default_##s(const struct s *m) \
    {                                                    \
        bool is = true;
#define FIELD(t, name, since, until, fit, dflt) is = is && IS_##t(m->name, dflt);
#define TEXT(t, name, since, until, null_since, fit, dflt) is = is && IS_##t(m->name, dflt);
#define LIST(t, name, since, until, null_since, fit, dflt) is = is && m->name.n == (dflt);
#define ARRAY(e, name, since, until, null_since, fit, dflt) is = is && m->name.n == (dflt);
#define NULLABLE(e, name, since, until, null_since, fit) is = is && m->name == NULL;
#define TAG_FIELD(tag, t, name, since, until, fit, dflt) is = is && IS_##t(m->name, dflt);
#define TAG_TEXT(tag, t, name, since, until, null_since, fit, dflt) is = is && IS_##t(m->name, dflt);
#define TAG_ARRAY(tag, e, name, since, until, null_since, fit, dflt) is = is && m->name.n == (dflt);
#define TAG_NEST(tag, e, name, since, until, fit) is = is && is_default_##e(&m->name);
#define END(s) \
    return is; \
    }
#include "net/wire/schema/all.def"

/* 5. How many tags a struct writes. */
#define COUNT_TAG(since, until, is_default)   \
    if (IN(v, since, until) && !(is_default)) \
        n++;
#define STRUCT(s)                                             \
    static inline uint32_t tags_##s(const struct s *m, int v) \
    {                                                         \
        uint32_t n = 0;                                       \
        (void)m;                                              \
        (void)v;
#define TAG_FIELD(tag, t, name, since, until, fit, dflt) COUNT_TAG(since, until, IS_##t(m->name, dflt))
#define TAG_TEXT(tag, t, name, since, until, null_since, fit, dflt) COUNT_TAG(since, until, IS_##t(m->name, dflt))
#define TAG_ARRAY(tag, e, name, since, until, null_since, fit, dflt) COUNT_TAG(since, until, m->name.n == (dflt))
#define TAG_NEST(tag, e, name, since, until, fit) COUNT_TAG(since, until, is_default_##e(&m->name))
#define END(s) \
    return n;  \
    }
#include "net/wire/schema/all.def"

/* 6. Encode. A field that the version lacks is dropped; if it is not ignorable and not at its
 * default, `lost` names it (Kafka's own encoder throws there). */
#define LOSE(fit, name, is_default) else if ((fit) == MUST_FIT && !w->lost && !(is_default)) w->lost = #name;
#define WRITE_ARRAY(e, name, null_ok)                                  \
    do {                                                               \
        kwrite_count(w, m->name.n, null_ok);                           \
        for (int32_t i = 0; i < m->name.n && !kwriter_gave_up(w); i++) \
            write_##e(w, &m->name.v[i]);                               \
    } while (0)
#define WRITE_TAG(tag, since, until, is_default, write) \
    if (IN(v, since, until)) {                          \
        if (w->flexible && !(is_default)) {             \
            struct ktag t = kwrite_tag(w, tag);         \
            write;                                      \
            kwrite_tag_done(w, t);                      \
        }                                               \
    }
#define WRITE_bool(w, v, null_ok) kwrite_bool(w, v)
#define WRITE_string(w, v, null_ok) kwrite_string(w, v, null_ok)
#define WRITE_string16(w, v, null_ok) kwrite_string16(w, v, null_ok)
#define WRITE_bytes(w, v, null_ok) kwrite_bytes(w, v, null_ok)
#define WRITE_records(w, v, null_ok) kwrite_records(w, &(v), null_ok)

#define STRUCT(s)                                               \
    static void write_##s(struct kwriter *w, const struct s *m) \
    {                                                           \
        const int v = w->version;                               \
        const uint32_t tags = w->flexible ? tags_##s(m, v) : 0; \
        (void)v;
#define FIELD(t, name, since, until, fit, dflt) \
    if (IN(v, since, until))                    \
        kwrite_##t(w, m->name);                 \
    LOSE(fit, name, IS_##t(m->name, dflt))
#define TEXT(t, name, since, until, null_since, fit, dflt) \
    if (IN(v, since, until))                               \
        WRITE_##t(w, m->name, v >= (null_since));          \
    LOSE(fit, name, IS_##t(m->name, dflt))
#define LIST(t, name, since, until, null_since, fit, dflt) \
    if (IN(v, since, until)) {                             \
        kwrite_count(w, m->name.n, v >= (null_since));     \
        for (int32_t i = 0; i < m->name.n; i++)            \
            ELEMENT_WRITE_##t(w, m->name.v[i]);            \
    }                                                      \
    LOSE(fit, name, m->name.n == (dflt))
#define ARRAY(e, name, since, until, null_since, fit, dflt) \
    if (IN(v, since, until))                                \
        WRITE_ARRAY(e, name, v >= (null_since));            \
    LOSE(fit, name, m->name.n == (dflt))
#define NULLABLE(e, name, since, until, null_since, fit) \
    if (IN(v, since, until)) {                           \
        if (v >= (null_since))                           \
            kwrite_int8(w, m->name ? 1 : -1);            \
        if (m->name)                                     \
            write_##e(w, m->name);                       \
        else if (v < (null_since))                       \
            w->bad = true;                               \
    }                                                    \
    LOSE(fit, name, m->name == NULL)
#define TAGS         \
    if (w->flexible) \
        kwrite_uvarint(w, tags);
#define TAG_FIELD(tag, t, name, since, until, fit, dflt)                        \
    WRITE_TAG(tag, since, until, IS_##t(m->name, dflt), kwrite_##t(w, m->name)) \
    LOSE(fit, name, IS_##t(m->name, dflt))
#define TAG_TEXT(tag, t, name, since, until, null_since, fit, dflt)                               \
    WRITE_TAG(tag, since, until, IS_##t(m->name, dflt), WRITE_##t(w, m->name, v >= (null_since))) \
    LOSE(fit, name, IS_##t(m->name, dflt))
#define TAG_ARRAY(tag, e, name, since, until, null_since, fit, dflt)                           \
    WRITE_TAG(tag, since, until, m->name.n == (dflt), WRITE_ARRAY(e, name, v >= (null_since))) \
    LOSE(fit, name, m->name.n == (dflt))
#define TAG_NEST(tag, e, name, since, until, fit)                                  \
    WRITE_TAG(tag, since, until, is_default_##e(&m->name), write_##e(w, &m->name)) \
    LOSE(fit, name, is_default_##e(&m->name))
#define END(s) }
#include "net/wire/schema/all.def"

/* 7. The doors. */
#define MESSAGE(s, api)                                                                                      \
    bool s##_read(struct s *m, struct kreader *r)                                                            \
    {                                                                                                        \
        assert(r->version >= KFIRST_##api);                                                                  \
        assert(r->version <= KLAST_##api);                                                                   \
        r->flexible = r->version >= KFLEX_##api;                                                             \
        read_##s(r, m);                                                                                      \
        return !r->bad;                                                                                      \
    }                                                                                                        \
    bool s##_decode(struct s *m, struct kview frame, int16_t version, struct arena *arena)                   \
    {                                                                                                        \
        struct kreader r = kreader_of(frame, version, arena);                                                \
        return s##_read(m, &r) && kread_left(&r) == 0;                                                       \
    }                                                                                                        \
    bool s##_encode(const struct s *m, struct kwriter *w, int16_t version)                                   \
    {                                                                                                        \
        assert(version >= KFIRST_##api);                                                                     \
        assert(version <= KLAST_##api);                                                                      \
        w->version = version;                                                                                \
        w->flexible = version >= KFLEX_##api;                                                                \
        write_##s(w, m);                                                                                     \
        return kwriter_good(w);                                                                              \
    }                                                                                                        \
    bool s##_read_any(void *m, struct kreader *r)                                                            \
    {                                                                                                        \
        return s##_read(m, r);                                                                               \
    }                                                                                                        \
    bool s##_encode_any(const void *m, struct kwriter *w, int16_t version)                                   \
    {                                                                                                        \
        return s##_encode(m, w, version);                                                                    \
    }                                                                                                        \
    struct ksize s##_size(const struct s *m, int16_t version)                                                \
    {                                                                                                        \
        struct kwriter w = kwriter_measure();                                                                \
        (void)s##_encode(m, &w, version); /* nothing fits: `over` is the answer */                           \
        return (struct ksize){.bytes = w.over, .spliced_bytes = w.spliced_bytes, .splices = w.splice_count}; \
    }
#include "net/wire/schema/all.def"

/* 8. The table of APIs. */
static const struct kapi apis[] = {
#define API(api, label, id, lowest, since, until, flexible_since) \
    {.name = #label,                                              \
     .key = (id),                                                 \
     .advertised = (lowest),                                      \
     .first = (since),                                            \
     .last = (until),                                             \
     .flexible = (flexible_since)},
#include "net/wire/schema/all.def"
};

enum kapi_index {
#define API(api, label, id, lowest, since, until, flexible_since) INDEX_##api,
#include "net/wire/schema/all.def"
    INDEX_COUNT
};

int32_t kapi_count(void)
{
    return INDEX_COUNT;
}

const struct kapi *kapi_at(int32_t i)
{
    assert(i >= 0);
    assert(i < INDEX_COUNT);
    return &apis[i];
}

const struct kapi *kapi_find(int16_t key)
{
#define API(api, label, id, lowest, since, until, flexible_since) \
    if (key == (id))                                              \
        return &apis[INDEX_##api];
#include "net/wire/schema/all.def"
    return NULL;
}

int16_t kapi_request_header(const struct kapi *api, int16_t version)
{
    return version >= api->flexible ? 2 : 1;
}

int16_t kapi_response_header(const struct kapi *api, int16_t version)
{
    return version >= api->flexible && api->key != KAPI_api_versions ? 1 : 0;
}

/* Key, version, correlation id and client id stand at the same place in both request headers, so
 * they are known, and can be logged, for keys and versions that we do not have. */
enum kopen kmsg_open(struct kview frame, struct arena *arena, struct request_header *out_header,
                     const struct kapi **out_api, struct kview *out_body)
{
    struct kreader r = kreader_of(frame, 1, arena);
    if (!request_header_read(out_header, &r))
        return KOPEN_BAD;
    const struct kapi *api = kapi_find(out_header->request_api_key);
    if (!api)
        return KOPEN_KEY;
    int16_t version = out_header->request_api_version;
    if (version < api->first || version > api->last) {
        *out_api = api;
        return KOPEN_VERSION;
    }
    r = kreader_of(frame, kapi_request_header(api, version), arena);
    if (!request_header_read(out_header, &r))
        return KOPEN_BAD;
    *out_api = api;
    *out_body = (struct kview){r.at, (int32_t)kread_left(&r)};
    return KOPEN_OK;
}
