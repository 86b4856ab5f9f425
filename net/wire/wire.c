/* The cursors' slow and rare paths; see wire.h for what they promise. */
#include "net/wire/wire.h"

#include <assert.h>

/* ---- reading ---- */

void kread_fail(struct kreader *r)
{
    r->bad = true;
    r->at = r->end;
}

const uint8_t *kread_fail_zero(struct kreader *r)
{
    static const uint8_t zero[16];
    kread_fail(r);
    return zero;
}

uint32_t kread_uvarint_rest(struct kreader *r, uint8_t first)
{
    uint32_t v = first & 0x7f;
    for (int shift = 7; shift < 35; shift += 7) {
        uint8_t b = *kread_take(r, 1);
        if (shift == 28 && b > 0x0f)
            break; /* bits beyond the 32nd, or a sixth byte */
        v |= (uint32_t)(b & 0x7f) << shift;
        if (b < 0x80)
            return r->bad ? 0 : v;
    }
    kread_fail(r);
    return 0;
}

void *kread_room(struct kreader *r, int32_t n, size_t size)
{
    if (n <= 0)
        return NULL;
    void *p = arena_take(r->arena, (size_t)n, size);
    if (!p)
        kread_fail(r);
    return p;
}

struct ktags kread_tags_some(struct kreader *r, uint32_t count)
{
    enum { tag_and_size_bytes = 2 };
    if (count > kread_left(r) / tag_and_size_bytes) {
        kread_fail(r);
        count = 0;
    }
    if (count > r->tags_left) {
        r->arena->refused_bytes = count;
        kread_fail(r);
        count = 0;
    }
    r->tags_left -= count;
    return (struct ktags){.tag = -1, .left = count};
}

bool kread_tag_next(struct kreader *r, struct ktags *t)
{
    uint32_t tag = kread_uvarint(r);
    uint32_t n = kread_uvarint(r);
    if (r->bad || tag <= t->tag || n > kread_left(r)) {
        kread_fail(r);
        return false;
    }
    t->left--;
    t->tag = tag;
    t->end = r->end;
    r->end = r->at + n;
    return true;
}

void kread_tag_done(struct kreader *r, const struct ktags *t)
{
    bool whole = !r->bad && r->at == r->end;
    r->end = t->end;
    if (!whole)
        kread_fail(r);
}

/* ---- writing ---- */

uint8_t *kwrite_over(struct kwriter *w, size_t n)
{
    w->over += n;
    w->end = w->at; /* nothing later may fill the gap */
    return w->sink;
}

void kwrite_raw(struct kwriter *w, const void *from, size_t n)
{
    if ((size_t)(w->end - w->at) < n) {
        kwrite_over(w, n);
    } else if (n > 0) {
        memcpy(w->at, from, n);
        w->at += n;
    }
}

void kwrite_uvarint_long(struct kwriter *w, uint32_t v)
{
    for (; v >= 0x80; v >>= 7)
        kwrite_int8(w, (int8_t)(v | 0x80));
    kwrite_int8(w, (int8_t)v);
}

/* The length as a varint, where 0 is null, or in `bytes` bytes, where -1 is null. */
static void write_length(struct kwriter *w, int32_t n, bool null_ok, bool flexible, int bytes)
{
    if (n < (null_ok ? -1 : 0) || (bytes == 2 && n > INT16_MAX))
        w->bad = true;
    if (flexible)
        kwrite_uvarint(w, (uint32_t)n + 1);
    else if (bytes == 2)
        kwrite_int16(w, (int16_t)n);
    else
        kwrite_int32(w, n);
}

static void write_view(struct kwriter *w, struct kview v)
{
    if (v.n > 0)
        kwrite_raw(w, v.at, (size_t)v.n);
}

void kwrite_string16(struct kwriter *w, struct kview v, bool null_ok)
{
    write_length(w, v.n, null_ok, false, 2);
    write_view(w, v);
}

void kwrite_string(struct kwriter *w, struct kview v, bool null_ok)
{
    write_length(w, v.n, null_ok, w->flexible, 2);
    write_view(w, v);
}

void kwrite_bytes(struct kwriter *w, struct kview v, bool null_ok)
{
    write_length(w, v.n, null_ok, w->flexible, 4);
    write_view(w, v);
}

void kwrite_count(struct kwriter *w, int32_t n, bool null_ok)
{
    write_length(w, n, null_ok, w->flexible, 4);
}

static void write_splice(struct kwriter *w, const struct krecords *records)
{
    if (!w->measure && w->splice_count == w->splice_max) {
        w->bad = true;
        return;
    }
    if (!w->measure)
        w->splices[w->splice_count] = (struct ksplice){kwriter_bytes(w), records};
    w->splice_count++;
    w->spliced_bytes += (uint64_t)records->n;
}

void kwrite_records(struct kwriter *w, const struct krecords *records, bool null_ok)
{
    write_length(w, records->n, null_ok, w->flexible, 4);
    if (records->n <= 0)
        return;
    if (w->splices || w->measure)
        write_splice(w, records);
    else if (records->at)
        kwrite_raw(w, records->at, (size_t)records->n);
    else
        w->bad = true;
}

/* The size precedes the bytes: one byte is left for it, which nearly always does. */
struct ktag kwrite_tag(struct kwriter *w, uint32_t tag)
{
    kwrite_uvarint(w, tag);
    kwrite_int8(w, 0);
    return (struct ktag){kwriter_bytes(w), w->spliced_bytes};
}

static size_t uvarint_bytes(size_t n)
{
    return n >= 1u << 28 ? 5 : n >= 1u << 21 ? 4 : n >= 1u << 14 ? 3 : n >= 1u << 7 ? 2 : 1;
}

void kwrite_tag_done(struct kwriter *w, struct ktag t)
{
    assert(t.spliced_bytes == w->spliced_bytes); /* a splice here would be missing in the size */
    size_t n = kwriter_bytes(w) - t.body_at;
    size_t more = uvarint_bytes(n) - 1;
    if (w->over > 0 || (size_t)(w->end - w->at) < more) {
        kwrite_over(w, more);
        return;
    }
    uint8_t *body = w->start + t.body_at;
    if (more > 0)
        memmove(body + more, body, n);
    struct kwriter size = kwriter_of(body - 1, more + 1);
    kwrite_uvarint(&size, (uint32_t)n);
    w->at += more;
}

void kwrite_int32_at(struct kwriter *w, size_t at, int32_t v)
{
    if ((size_t)(w->at - w->start) < at + sizeof v)
        return; /* measuring, or over: nothing was written there */
    struct kwriter patch = kwriter_of(w->start + at, sizeof v);
    kwrite_int32(&patch, v);
}
