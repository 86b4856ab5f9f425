/* Growing buffers and read cursors; see wire.h. */
#include "tests/load/wire.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void wbuf_free(struct wbuf *b)
{
    free(b->at);
    *b = (struct wbuf){0};
}

void wbuf_room(struct wbuf *b, size_t more)
{
    if (b->len + more <= b->cap)
        return;
    while (b->cap < b->len + more)
        b->cap = b->cap ? 2 * b->cap : 4096;
    b->at = realloc(b->at, b->cap);
    assert(b->at);
}

void wbuf_drop(struct wbuf *b, size_t front)
{
    assert(front <= b->len);
    if (front && front < b->len)
        memmove(b->at, b->at + front, b->len - front);
    b->len -= front;
}

void wbuf_put(struct wbuf *b, const void *from, size_t n)
{
    if (!n)
        return;
    wbuf_room(b, n);
    memcpy(b->at + b->len, from, n);
    b->len += n;
}

void wbuf_int(struct wbuf *b, uint64_t v, int bytes)
{
    wbuf_room(b, 8);
    b->len += (size_t)bytes;
    wbuf_set(b, b->len - (size_t)bytes, v, bytes);
}

void wbuf_set(struct wbuf *b, size_t at, uint64_t v, int bytes)
{
    assert(at + (size_t)bytes <= b->len);
    for (int i = bytes - 1; i >= 0; i--, v >>= 8)
        b->at[at + (size_t)i] = (uint8_t)v;
}

void wbuf_uvarint(struct wbuf *b, uint64_t v)
{
    for (; v >= 128; v >>= 7)
        wbuf_int(b, v | 128, 1);
    wbuf_int(b, v, 1);
}

void wbuf_varint(struct wbuf *b, int64_t v)
{
    wbuf_uvarint(b, ((uint64_t)v << 1) ^ (uint64_t)(v >> 63));
}

void wbuf_str(struct wbuf *b, const char *s)
{
    wbuf_int(b, s ? strlen(s) : UINT64_MAX, 2);
    if (s)
        wbuf_put(b, s, strlen(s));
}

void wbuf_compact(struct wbuf *b, const char *s)
{
    wbuf_uvarint(b, s ? strlen(s) + 1 : 0);
    if (s)
        wbuf_put(b, s, strlen(s));
}

void wbuf_printf(struct wbuf *b, const char *form, ...)
{
    char line[512];
    va_list args;
    va_start(args, form);
    int n = vsnprintf(line, sizeof line, form, args);
    va_end(args);
    assert(n > 0 && (size_t)n < sizeof line);
    wbuf_put(b, line, (size_t)n);
}

uint64_t rcur_uint(struct rcur *c, int bytes)
{
    uint64_t v = 0;
    if (c->end - c->at < bytes)
        c->bad = true;
    for (int i = 0; i < bytes && !c->bad; i++)
        v = v << 8 | *c->at++;
    return v;
}

int64_t rcur_int(struct rcur *c, int bytes)
{
    int up = 64 - 8 * bytes;
    return (int64_t)(rcur_uint(c, bytes) << up) >> up;
}

uint64_t rcur_uvarint(struct rcur *c)
{
    uint64_t v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        uint64_t byte = rcur_uint(c, 1);
        v |= (byte & 127) << shift;
        if (byte < 128)
            return v;
    }
    c->bad = true;
    return 0;
}

int64_t rcur_varint(struct rcur *c)
{
    uint64_t v = rcur_uvarint(c);
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

void rcur_skip(struct rcur *c, uint64_t n)
{
    if (c->bad || (uint64_t)(c->end - c->at) < n)
        c->bad = true;
    else
        c->at += n;
}

void rcur_str(struct rcur *c)
{
    int64_t n = rcur_int(c, 2);
    rcur_skip(c, n > 0 ? (uint64_t)n : 0);
}

void rcur_compact(struct rcur *c)
{
    uint64_t n = rcur_uvarint(c);
    rcur_skip(c, n ? n - 1 : 0);
}

void rcur_tags(struct rcur *c)
{
    for (uint64_t n = rcur_uvarint(c); n && !c->bad; n--) {
        (void)rcur_uvarint(c); /* the tag's number: none is known here */
        rcur_skip(c, rcur_uvarint(c));
    }
}
