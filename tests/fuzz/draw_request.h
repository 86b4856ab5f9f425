/* A request of each API with fields drawn from the input, made from the schema; and what is learnt from the answers, so that later
 * requests fit: member ids, generations, sessions, producer ids, offsets. A field asks for what was learnt of its own name. */
#pragma once
#include "net/wire/kmsg.h"
#include "tests/fuzz/fuzz.h"

enum { LEARNT_MAX = 128, LEARNT_TEXT_MAX = 64, ELEMENTS_MAX = 3, DRAW_ROOM = 256 * 1024 };

struct learnt {
    const char *name;
    int64_t number;
    uint8_t text[LEARNT_TEXT_MAX];
    int32_t text_bytes; /* -1: a number */
};
struct drawing {
    struct feed *in;
    struct arena arena;
    struct krecords (*records)(struct feed *in);
    struct learnt learnt[LEARNT_MAX]; /* a ring */
    uint32_t learnt_count;
    bool may_vanish; /* something was drawn after which records may go */
};
static struct drawing drawing;

/* --- learning --- */

static inline void learn(const char *name, int64_t number, const uint8_t *text, int32_t bytes)
{
    if (bytes > LEARNT_TEXT_MAX)
        return;
    struct learnt *l = &drawing.learnt[drawing.learnt_count++ % LEARNT_MAX];
    *l = (struct learnt){.name = name, .number = number, .text_bytes = bytes};
    if (bytes > 0)
        memcpy(l->text, text, (size_t)bytes);
}
/* The newest of that name but `skip`; NULL: there is none. */
static inline const struct learnt *recall(const char *name, bool text, uint32_t skip)
{
    uint32_t n = drawing.learnt_count < LEARNT_MAX ? drawing.learnt_count : LEARNT_MAX;
    for (uint32_t i = 1; i <= n; i++) {
        const struct learnt *l = &drawing.learnt[(drawing.learnt_count - i) % LEARNT_MAX];
        if (strcmp(l->name, name) == 0 && (l->text_bytes >= 0) == text && skip-- == 0)
            return l;
    }
    return NULL;
}
static inline bool is_one_of(const char *name, const char *list)
{
    const char *at = strstr(list, name);
    size_t n = strlen(name);
    while (at && ((at > list && at[-1] != ' ') || (at[n] && at[n] != ' ')))
        at = strstr(at + 1, name);
    return at != NULL;
}
#define LEARNS                                                                                                  \
    "member_id generation_id session_id producer_id producer_epoch topic_id base_offset high_watermark offset " \
    "leader_epoch committed_offset"
#define LEARN_NUMBER(t)                                                \
    static inline void learn_##t(const char *name, const KTYPE_##t *v) \
    {                                                                  \
        if (is_one_of(name, LEARNS))                                   \
            learn(name, (int64_t)*v, NULL, -1);                        \
    }
LEARN_NUMBER(bool)
LEARN_NUMBER(int8)
LEARN_NUMBER(int16)
LEARN_NUMBER(int32)
LEARN_NUMBER(int64)
LEARN_NUMBER(uint16)
LEARN_NUMBER(float64)
static inline void learn_uuid(const char *name, const struct kuuid *v)
{
    if (is_one_of(name, LEARNS))
        learn(name, 0, v->b, 16);
}
static inline void learn_string(const char *name, const struct kview *v)
{
    if (is_one_of(name, LEARNS) && v->n >= 0)
        learn(name, 0, v->at, v->n);
}
static inline void learn_string16(const char *name, const struct kview *v)
{
    (void)name, (void)v;
}
static inline void learn_bytes(const char *name, const struct kview *v)
{
    (void)name, (void)v;
}
static inline void learn_records(const char *name, const struct krecords *v)
{
    (void)name, (void)v;
}

#define STRUCT(s)                                        \
    static inline void learn_from_##s(const struct s *m) \
    {                                                    \
        (void)m;
#define FIELD(t, name, since, until, fit, dflt) learn_##t(#name, &m->name);
#define TEXT(t, name, since, until, null_since, fit, dflt) learn_##t(#name, &m->name);
#define ARRAY(e, name, since, until, null_since, fit, dflt)     \
    for (int32_t i = 0; i < m->name.n && i < ELEMENTS_MAX; i++) \
        learn_from_##e(&m->name.v[i]);
#define NULLABLE(e, name, since, until, null_since, fit) \
    if (m->name)                                         \
        learn_from_##e(m->name);
#define TAG_NEST(tag, e, name, since, until, fit) learn_from_##e(&m->name);
#define END(s) }
#include "net/wire/schema/all.def"

/* --- drawing --- */

/* AddPartitionsToTxn has names of its own for old versions of its fields. */
static inline const char *plain_field(const char *name)
{
    static const char old[] = "v3_and_below_";
    return strncmp(name, old, sizeof old - 1) == 0 ? name + sizeof old - 1 : name;
}

static inline int64_t draw_number(const char *name, uint32_t bytes)
{
    static const int64_t usual[] = {0,    1,       -1,        2,         3,         10,        1000,
                                    6000, 1 << 20, INT16_MAX, INT32_MAX, INT64_MAX, INT64_MIN, INT32_MIN};
    struct feed *in = drawing.in;
    uint32_t how = feed_below(in, 8);
    const struct learnt *l;
    name = plain_field(is_one_of(name, "producer_id_filters") ? "producer_id" : name);
    if (how >= 5 && (l = recall(name, false, how - 5)) != NULL)
        return l->number;
    if (is_one_of(name, "num_partitions count") && how != 1) /* a large one takes a while, and is legal */
        return (int64_t)feed_below(in, 5) - 1;
    if (is_one_of(name, "replication_factor resource_type"))
        return feed_chance(in, 4) ? feed_byte(in) : 1 + feed_below(in, 2);
    if (is_one_of(name, "partition partitions partition_index partition_indexes index timeout_ms max_wait_ms acks"))
        return how < 5 ? (int64_t)feed_below(in, 3) - (how == 1) : usual[feed_below(in, COUNT_OF(usual))];
    if (is_one_of(name, "session_timeout_ms rebalance_timeout_ms"))
        return how < 5 ? 6000 : usual[feed_below(in, COUNT_OF(usual))];
    if (how < 5)
        return usual[feed_below(in, how < 3 ? 6 : COUNT_OF(usual))];
    return (int64_t)feed_word(in, bytes);
}
#define DRAW_NUMBER(t)                                                                            \
    static inline void draw_##t(const char *within, const char *name, KTYPE_##t *v, bool null_ok) \
    {                                                                                             \
        (void)within, (void)null_ok;                                                              \
        *v = (KTYPE_##t)draw_number(name, sizeof *v);                                             \
    }
DRAW_NUMBER(int8)
DRAW_NUMBER(int16)
DRAW_NUMBER(int32)
DRAW_NUMBER(int64)
DRAW_NUMBER(uint16)
DRAW_NUMBER(float64)
static inline void draw_bool(const char *within, const char *name, bool *v, bool null_ok)
{
    (void)within, (void)name, (void)null_ok;
    *v = feed_byte(drawing.in) & 1;
}
static inline void draw_uuid(const char *within, const char *name, struct kuuid *v, bool null_ok)
{
    (void)within, (void)null_ok;
    const struct learnt *l = recall(name, true, feed_below(drawing.in, 3));
    *v = (struct kuuid){{0}};
    if (l && l->text_bytes == 16)
        memcpy(v->b, l->text, 16);
    if (feed_chance(drawing.in, 8))
        v->b[15] ^= feed_byte(drawing.in);
}

static inline struct kview text_in(const char *text)
{
    return text ? (struct kview){(const uint8_t *)text, (int32_t)strlen(text)} : (struct kview){NULL, -1};
}
#define DRAW_OF(list) text_in((list)[feed_below(drawing.in, COUNT_OF(list))])
static inline struct kview draw_word(const char *within, const char *name)
{
    static const char *const topics[] = {"a", "b", "c", "a.b", "a_b", "__consumer_offsets", "", "..", "\xff"};
    static const char *const groups[] = {"g", "h", "i", "", "\xc3\xa4"};
    static const char *const keys[] = {"retention.ms",
                                       "cleanup.policy",
                                       "segment.bytes",
                                       "write.caching",
                                       "flush.messages",
                                       "compression.type",
                                       "max.message.bytes",
                                       "message.timestamp.type",
                                       "internal.segment.bytes",
                                       "min.insync.replicas",
                                       "log.retention.ms",
                                       "nonsense",
                                       ""};
    static const char *const values[] = {
        "1",    "0",        "-1",      "true",          "false",    "compact", "delete",
        "gzip", "producer", "1048576", "LogAppendTime", "86400000", "",        "9223372036854775807"};
    static const char *const words[] = {"consumer", "range", "roundrobin", "Stable", "classic", "", "connect"};
    if (strstr(within, "config") && is_one_of(name, "name")) {
        drawing.may_vanish = true;
        return DRAW_OF(keys);
    }
    if (is_one_of(name, "value"))
        return DRAW_OF(values);
    if (is_one_of(name, "configuration_keys"))
        return DRAW_OF(keys);
    if (is_one_of(name, "group_id groups groups_names coordinator_keys key"))
        return DRAW_OF(groups);
    if (is_one_of(name, "protocol_type protocol_name states_filter types_filter rack_id") || strstr(within, "protocol"))
        return DRAW_OF(words);
    if (is_one_of(name, "resource_name") && feed_chance(drawing.in, 3))
        return text_in("1");
    return DRAW_OF(topics);
}
static inline struct kview draw_raw(void)
{
    const uint8_t *at;
    size_t n = feed_take(drawing.in, feed_byte(drawing.in), &at);
    return (struct kview){at, (int32_t)n};
}
static inline struct kview draw_view(const char *within, const char *name, bool null_ok)
{
    struct feed *in = drawing.in;
    uint32_t how = feed_below(in, 16);
    name = plain_field(name);
    if (null_ok && how == 15)
        return (struct kview){NULL, -1};
    if (how == 14)
        return draw_raw();
    if (is_one_of(name, "group_instance_id"))
        return null_ok && how < 8 ? (struct kview){NULL, -1} : text_in("i");
    if (is_one_of(name, "transactional_id transactional_ids"))
        return null_ok && how < 6 ? (struct kview){NULL, -1} : text_in(how < 12 ? "t" : "u");
    if (is_one_of(name, "member_id")) {
        const struct learnt *l = how < 4 ? NULL : recall(name, true, how % 3);
        return l ? (struct kview){l->text, l->text_bytes} : text_in("");
    }
    return draw_word(within, name);
}
static inline void draw_string(const char *within, const char *name, struct kview *v, bool null_ok)
{
    *v = draw_view(within, name, null_ok);
}
static inline void draw_string16(const char *within, const char *name, struct kview *v, bool null_ok)
{
    *v = draw_view(within, name, null_ok);
}
static inline void draw_bytes(const char *within, const char *name, struct kview *v, bool null_ok)
{
    (void)within, (void)name;
    *v = null_ok && feed_chance(drawing.in, 8) ? (struct kview){NULL, -1} : draw_raw();
}
static inline void draw_records(const char *within, const char *name, struct krecords *v, bool null_ok)
{
    (void)within, (void)name;
    *v = null_ok && feed_chance(drawing.in, 16) ? (struct krecords){.n = -1} : drawing.records(drawing.in);
}
static inline int32_t draw_count(bool null_ok)
{
    uint32_t n = feed_below(drawing.in, 8);
    return n == 7 && null_ok ? -1 : n < 4 ? 1 : n < 5 ? 0 : (int32_t)(n - 3);
}

#define DRAW_ARRAY(e, name, null_ok)                                                  \
    m->name.n = draw_count(null_ok);                                                  \
    if (m->name.n > 0) {                                                              \
        m->name.v = arena_take(&drawing.arena, (size_t)m->name.n, sizeof *m->name.v); \
        if (!m->name.v)                                                               \
            m->name.n = 0;                                                            \
        for (int32_t i = 0; i < m->name.n; i++)                                       \
            draw_##e(&m->name.v[i], version);                                         \
    }
#define DRAW_LIST_int8(within, name, v) draw_int8(within, name, v, false)
#define DRAW_LIST_int32(within, name, v) draw_int32(within, name, v, false)
#define DRAW_LIST_int64(within, name, v) draw_int64(within, name, v, false)
#define DRAW_LIST_string(within, name, v) draw_string(within, name, v, false)

#define STRUCT(s)                                                \
    static inline void draw_##s(struct s *m, int version)        \
    {                                                            \
        static const char within[] __attribute__((unused)) = #s; \
        (void)version;                                           \
        s##_init(m);
#define HAS(since, until) (version >= (since) && ((until) == 0x7fff || version <= (until)))
#define FIELD(t, name, since, until, fit, dflt) \
    if (HAS(since, until))                      \
        draw_##t(within, #name, &m->name, false);
#define TEXT(t, name, since, until, null_since, fit, dflt) \
    if (HAS(since, until))                                 \
        draw_##t(within, #name, &m->name, version >= (null_since));
#define LIST(t, name, since, until, null_since, fit, dflt)                      \
    if (HAS(since, until)) {                                                    \
        m->name.n = draw_count(version >= (null_since));                        \
        KTYPE_##t *list = NULL;                                                 \
        if (m->name.n > 0)                                                      \
            list = arena_take(&drawing.arena, (size_t)m->name.n, sizeof *list); \
        if (!list && m->name.n > 0)                                             \
            m->name.n = 0;                                                      \
        for (int32_t i = 0; i < m->name.n; i++)                                 \
            DRAW_LIST_##t(within, #name, &list[i]);                             \
        m->name.v = list;                                                       \
    }
#define ARRAY(e, name, since, until, null_since, fit, dflt) \
    if (HAS(since, until)) {                                \
        DRAW_ARRAY(e, name, version >= (null_since))        \
    }
#define NULLABLE(e, name, since, until, null_since, fit)                               \
    if (HAS(since, until) && (version < (null_since) || feed_chance(drawing.in, 2))) { \
        m->name = arena_take(&drawing.arena, 1, sizeof *m->name);                      \
        if (m->name)                                                                   \
            draw_##e(m->name, version);                                                \
    }
#define TAG_FIELD(tag, t, name, since, until, fit, dflt) \
    if (HAS(since, until) && feed_chance(drawing.in, 8)) \
        draw_##t(within, #name, &m->name, false);
#define TAG_TEXT(tag, t, name, since, until, null_since, fit, dflt) \
    if (HAS(since, until) && feed_chance(drawing.in, 8))            \
        draw_##t(within, #name, &m->name, version >= (null_since));
#define TAG_ARRAY(tag, e, name, since, until, null_since, fit, dflt) \
    if (HAS(since, until) && feed_chance(drawing.in, 4)) {           \
        DRAW_ARRAY(e, name, version >= (null_since))                 \
    }
#define TAG_NEST(tag, e, name, since, until, fit)        \
    if (HAS(since, until) && feed_chance(drawing.in, 8)) \
        draw_##e(&m->name, version);
#define END(s) }
#include "net/wire/schema/all.def"
