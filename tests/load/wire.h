/* Big-endian bytes for the load program: a growing buffer to write frames into and a cursor to read replies from.
 * It shares no code with net/wire on purpose: a mistake made in both places at once would hide itself.
 *
 * A cursor that runs past its end goes bad, returns zeros and stays bad; ask `bad` once, after reading everything. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wbuf {
    uint8_t *at; /* owned; grown with realloc, freed by wbuf_free */
    size_t len, cap;
};

struct rcur {
    const uint8_t *at, *end; /* lent by the holder of the frame */
    bool bad;
};

void wbuf_free(struct wbuf *b);
void wbuf_room(struct wbuf *b, size_t more);
void wbuf_drop(struct wbuf *b, size_t front); /* forgets the first `front` bytes */
void wbuf_put(struct wbuf *b, const void *from, size_t n);
void wbuf_int(struct wbuf *b, uint64_t v, int bytes); /* 1, 2, 4 or 8 bytes, big-endian */
void wbuf_set(struct wbuf *b, size_t at, uint64_t v, int bytes);
void wbuf_uvarint(struct wbuf *b, uint64_t v);
void wbuf_varint(struct wbuf *b, int64_t v);      /* zigzag */
void wbuf_str(struct wbuf *b, const char *s);     /* int16 length; NULL is -1 */
void wbuf_compact(struct wbuf *b, const char *s); /* uvarint length + 1; NULL is 0 */
void wbuf_printf(struct wbuf *b, const char *form, ...) __attribute__((format(printf, 2, 3)));

uint64_t rcur_uint(struct rcur *c, int bytes);
int64_t rcur_int(struct rcur *c, int bytes); /* sign-extended */
uint64_t rcur_uvarint(struct rcur *c);
int64_t rcur_varint(struct rcur *c);
void rcur_skip(struct rcur *c, uint64_t n);
void rcur_str(struct rcur *c);     /* skips a nullable string with an int16 length */
void rcur_compact(struct rcur *c); /* skips a nullable compact string or byte field */
void rcur_tags(struct rcur *c);
