/* Cursors over Kafka's wire format: one that reads received bytes in place, one that writes into a
 * bounded buffer. The message codecs (kmsg.h) are generated on top of them.
 *
 * Reading. The first bad read marks the cursor bad and moves it to its end: every later read then
 * yields zero or empty, so a decoder reads everything and asks once, at the end. Texts and records
 * are views into the frame, valid as long as the frame. Arrays come from the caller's arena (core/mem.h): after a
 * decode that failed, its refused_bytes tell that a larger one may be all that was missing.
 * Nothing is sized by a number from the wire before that number was checked against the bytes left
 * (each element costs its least encoded size) and against the room left in the arena.
 *
 * Writing. A buffer that is too small is not an error of its own: the writer counts on, and `over`
 * tells afterwards how many bytes did not fit. A writer without a buffer therefore measures.
 * Records are not copied when the writer has a splice list: only their length is written, and the
 * place in the buffer where their bytes belong is noted, so that the sender builds an iovec list.
 *
 * "Flexible" encodings (KIP-482) use varint lengths, where 0 is null, and end each struct with
 * tagged fields: a count, then per field its tag, its size, its bytes, tags strictly ascending. */
#pragma once
#include "core/mem.h"
#include <string.h>

/* A text or bytes. n == -1 is null; `at` is owned by the owner of the frame it points into. */
struct kview {
    const uint8_t *at;
    int32_t n;
};

/* The same bytes, or both null. */
static inline bool kview_same(struct kview a, struct kview b)
{
    return a.n == b.n && (a.n <= 0 || memcmp(a.at, b.at, (size_t)a.n) == 0);
}
/* Less than 0, 0 or more, as their bytes compare; what the other begins with comes before it, and null before all. */
static inline int kview_compare(struct kview a, struct kview b)
{
    int32_t n = a.n < b.n ? a.n : b.n;
    int by_bytes = n > 0 ? memcmp(a.at, b.at, (size_t)n) : 0;
    return by_bytes ? by_bytes : (a.n > b.n) - (a.n < b.n);
}

/* The bytes of a `records` field. n == -1 is null. Received or in memory: `at` points to them.
 * Elsewhere (a file, slices of an arena): `at` is NULL and `from` means something to the sender,
 * who must have given the writer a splice list. */
struct krecords {
    const uint8_t *at;
    void *from;
    int32_t n;
};

struct kuuid {
    uint8_t b[16];
};

/* ---------------------------------------------------------------- reading */

struct kreader {
    const uint8_t *at, *end;
    struct arena *arena; /* lent; arrays of the decoded message are taken from it */
    uint32_t tags_left;  /* more tagged fields are too many for now: it goes bad, as if the arena had no room */
    int16_t version;
    bool flexible; /* set by the message's decoder from the version */
    bool bad;
};

/* The tagged fields of one struct while they are read; `end` is the end around the current one. */
struct ktags {
    const uint8_t *end;
    int64_t tag; /* the current tag, -1 before the first */
    uint32_t left;
};

void kread_fail(struct kreader *r);
/* Marks the cursor bad and returns 16 zero bytes to read instead. */
const uint8_t *kread_fail_zero(struct kreader *r);
/* The rest of a varint whose first byte, `first`, has its continuation bit set. */
uint32_t kread_uvarint_rest(struct kreader *r, uint8_t first);
/* Room for n elements of `size` bytes; n <= 0 gives NULL. The cursor goes bad without room. */
void *kread_room(struct kreader *r, int32_t n, size_t size);
/* Begins the tagged fields of a struct; one that announces too many makes the cursor bad. */
struct ktags kread_tags_some(struct kreader *r, uint32_t count);
/* Moves to the next tagged field and narrows the cursor to its bytes; false after the last. */
bool kread_tag_next(struct kreader *r, struct ktags *t);
/* Widens the cursor again; a known field that did not use all its bytes makes it bad. */
void kread_tag_done(struct kreader *r, const struct ktags *t);

static inline struct kreader kreader_of(struct kview frame, int16_t version, struct arena *arena)
{
    return (struct kreader){.at = frame.at,
                            .end = frame.n > 0 ? frame.at + frame.n : frame.at,
                            .arena = arena,
                            .tags_left = UINT32_MAX,
                            .version = version};
}

static inline size_t kread_left(const struct kreader *r)
{
    return (size_t)(r->end - r->at);
}

/* The next n <= 16 bytes, or zeros. */
static inline const uint8_t *kread_take(struct kreader *r, size_t n)
{
    if (__builtin_expect(kread_left(r) < n, 0))
        return kread_fail_zero(r);
    const uint8_t *p = r->at;
    r->at += n;
    return p;
}

static inline int8_t kread_int8(struct kreader *r)
{
    return (int8_t)*kread_take(r, 1);
}

static inline bool kread_bool(struct kreader *r)
{
    return *kread_take(r, 1) != 0;
}

static inline int16_t kread_int16(struct kreader *r)
{
    uint16_t v;
    memcpy(&v, kread_take(r, sizeof v), sizeof v);
    return (int16_t)__builtin_bswap16(v);
}

static inline int32_t kread_int32(struct kreader *r)
{
    uint32_t v;
    memcpy(&v, kread_take(r, sizeof v), sizeof v);
    return (int32_t)__builtin_bswap32(v);
}

static inline int64_t kread_int64(struct kreader *r)
{
    uint64_t v;
    memcpy(&v, kread_take(r, sizeof v), sizeof v);
    return (int64_t)__builtin_bswap64(v);
}

static inline uint16_t kread_uint16(struct kreader *r)
{
    return (uint16_t)kread_int16(r);
}

static inline double kread_float64(struct kreader *r)
{
    int64_t bits = kread_int64(r);
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static inline struct kuuid kread_uuid(struct kreader *r)
{
    struct kuuid u;
    memcpy(&u, kread_take(r, sizeof u), sizeof u);
    return u;
}

/* At most five bytes and 32 bits; more is bad. Padding with zero bits is allowed, as in Kafka. */
static inline uint32_t kread_uvarint(struct kreader *r)
{
    uint8_t b = *kread_take(r, 1);
    return __builtin_expect(b < 0x80, 1) ? b : kread_uvarint_rest(r, b);
}

/* n bytes in place. n == -1 is null where null_ok; anything else negative is bad. */
static inline struct kview kread_view(struct kreader *r, int64_t n, bool null_ok)
{
    if (n < 0 && !(n == -1 && null_ok))
        kread_fail(r);
    else if (n > (int64_t)kread_left(r))
        kread_fail(r);
    if (r->bad)
        return (struct kview){r->at, 0};
    if (n < 0)
        return (struct kview){NULL, -1};
    struct kview v = {r->at, (int32_t)n};
    r->at += n;
    return v;
}

/* A text whose length is always an int16, also in flexible versions (the client id). */
static inline struct kview kread_string16(struct kreader *r, bool null_ok)
{
    return kread_view(r, kread_int16(r), null_ok);
}

/* Like Kafka, refuses texts beyond INT16_MAX also where the encoding could carry them. */
static inline struct kview kread_string(struct kreader *r, bool null_ok)
{
    int64_t n = r->flexible ? (int64_t)kread_uvarint(r) - 1 : kread_int16(r);
    return kread_view(r, n <= INT16_MAX ? n : INT64_MAX, null_ok);
}

static inline struct kview kread_bytes(struct kreader *r, bool null_ok)
{
    int64_t n = r->flexible ? (int64_t)kread_uvarint(r) - 1 : kread_int32(r);
    return kread_view(r, n, null_ok);
}

static inline struct krecords kread_records(struct kreader *r, bool null_ok)
{
    struct kview v = kread_bytes(r, null_ok);
    return (struct krecords){.at = v.n < 0 ? NULL : v.at, .n = v.n};
}

/* The count of an array whose elements take at least `least` bytes each; -1 is null. */
static inline int32_t kread_count(struct kreader *r, bool null_ok, size_t least)
{
    int64_t n = r->flexible ? (int64_t)kread_uvarint(r) - 1 : kread_int32(r);
    assert(least > 0);
    bool good = n >= 0 ? (uint64_t)n * least <= kread_left(r) : n == -1 && null_ok;
    if (__builtin_expect(!good, 0))
        kread_fail(r);
    return r->bad ? 0 : (int32_t)n;
}

/* One byte says whether a nullable struct follows: negative is null. */
static inline bool kread_present(struct kreader *r)
{
    return kread_int8(r) >= 0 && !r->bad;
}

static inline struct ktags kread_tags(struct kreader *r)
{
    uint32_t count = kread_uvarint(r);
    if (__builtin_expect(count == 0, 1))
        return (struct ktags){.tag = -1};
    return kread_tags_some(r, count);
}

static inline bool kread_tag(struct kreader *r, struct ktags *t)
{
    return t->left > 0 && kread_tag_next(r, t);
}

/* Skips a tagged field that this version does not know. */
static inline void kread_tag_skip(struct kreader *r)
{
    r->at = r->end;
}

/* ---------------------------------------------------------------- writing */

/* The bytes of `records` belong before position `at` of the buffer. */
struct ksplice {
    size_t at;
    const struct krecords *records; /* lent by the message that was encoded */
};

struct kwriter {
    uint8_t *start, *at, *end;
    size_t over;     /* bytes that did not fit */
    size_t over_max; /* with more than these the elements of arrays are no longer counted: `over` is too small then */
    struct ksplice *splices; /* lent by the caller; NULL: records are copied into the buffer */
    uint32_t splice_count, splice_max;
    uint64_t spliced_bytes; /* of all records noted as splices */
    const char *lost;       /* a field set, not ignorable, that the version cannot carry; or NULL */
    uint32_t tags_left;     /* more tagged fields are too many for now: it goes bad, as if the arena had no room */
    int16_t version;
    bool flexible;
    bool measure; /* no buffer: count bytes and splices only */
    bool bad;     /* a null where none is allowed, a text too long, a splice too many */
    uint8_t sink[16];
};

/* An open tagged field: its size is known, and written, only when it is done. */
struct ktag {
    size_t body_at;
    uint64_t spliced_bytes;
};

/* Writes n bytes; n may be 0. */
void kwrite_raw(struct kwriter *w, const void *from, size_t n);
/* Where n bytes did not fit: counts them and returns the sink, 16 bytes to write into instead. */
uint8_t *kwrite_over(struct kwriter *w, size_t n);
/* A varint of more than one byte. */
void kwrite_uvarint_long(struct kwriter *w, uint32_t v);
void kwrite_string16(struct kwriter *w, struct kview v, bool null_ok);
void kwrite_string(struct kwriter *w, struct kview v, bool null_ok);
void kwrite_bytes(struct kwriter *w, struct kview v, bool null_ok);
void kwrite_records(struct kwriter *w, const struct krecords *records, bool null_ok);
/* The count of an array, -1 for null. */
void kwrite_count(struct kwriter *w, int32_t n, bool null_ok);
struct ktag kwrite_tag(struct kwriter *w, uint32_t tag);
void kwrite_tag_done(struct kwriter *w, struct ktag t);
/* Overwrites four bytes written before, such as a frame's size. */
void kwrite_int32_at(struct kwriter *w, size_t at, int32_t v);

static inline struct kwriter kwriter_of(uint8_t *buf, size_t n)
{
    return (struct kwriter){.start = buf, .at = buf, .end = buf + n, .over_max = SIZE_MAX};
}

static inline struct kwriter kwriter_measure(void)
{
    return (struct kwriter){.measure = true, .over_max = SIZE_MAX};
}

/* Gives the writer a list for at most `max` splices, which the caller owns. */
static inline void kwriter_splice(struct kwriter *w, struct ksplice *list, uint32_t max)
{
    w->splices = list;
    w->splice_max = max;
}

static inline bool kwriter_good(const struct kwriter *w)
{
    return !w->bad && w->over == 0;
}

static inline bool kwriter_gave_up(const struct kwriter *w)
{
    return w->over > w->over_max;
}

/* Bytes written so far, those that did not fit included, spliced records excluded. */
static inline size_t kwriter_bytes(const struct kwriter *w)
{
    return (size_t)(w->at - w->start) + w->over;
}

/* Room for n <= 16 bytes. */
static inline uint8_t *kwrite_room(struct kwriter *w, size_t n)
{
    if (__builtin_expect((size_t)(w->end - w->at) < n, 0))
        return kwrite_over(w, n);
    uint8_t *p = w->at;
    w->at += n;
    return p;
}

static inline void kwrite_int8(struct kwriter *w, int8_t v)
{
    *kwrite_room(w, 1) = (uint8_t)v;
}

static inline void kwrite_bool(struct kwriter *w, bool v)
{
    *kwrite_room(w, 1) = v;
}

static inline void kwrite_uvarint(struct kwriter *w, uint32_t v)
{
    if (v < 0x80)
        kwrite_int8(w, (int8_t)v);
    else
        kwrite_uvarint_long(w, v);
}

static inline void kwrite_int16(struct kwriter *w, int16_t v)
{
    uint16_t b = __builtin_bswap16((uint16_t)v);
    memcpy(kwrite_room(w, sizeof b), &b, sizeof b);
}

static inline void kwrite_int32(struct kwriter *w, int32_t v)
{
    uint32_t b = __builtin_bswap32((uint32_t)v);
    memcpy(kwrite_room(w, sizeof b), &b, sizeof b);
}

static inline void kwrite_int64(struct kwriter *w, int64_t v)
{
    uint64_t b = __builtin_bswap64((uint64_t)v);
    memcpy(kwrite_room(w, sizeof b), &b, sizeof b);
}

static inline void kwrite_uint16(struct kwriter *w, uint16_t v)
{
    kwrite_int16(w, (int16_t)v);
}

static inline void kwrite_float64(struct kwriter *w, double v)
{
    int64_t bits;
    memcpy(&bits, &v, sizeof bits);
    kwrite_int64(w, bits);
}

static inline void kwrite_uuid(struct kwriter *w, struct kuuid v)
{
    memcpy(kwrite_room(w, sizeof v), &v, sizeof v);
}
