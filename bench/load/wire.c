/* Big-endian and varint cursors: see wire.h. */
#include "bench/load/wire.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

void put_bytes(struct put *p, const void *bytes, size_t len)
{
    assert((size_t)(p->end - p->at) >= len);
    memcpy(p->at, bytes, len);
    p->at += len;
}

void put_u8(struct put *p, uint8_t v)
{
    put_bytes(p, &v, sizeof v);
}

void put_u16(struct put *p, uint16_t v)
{
    v = htobe16(v);
    put_bytes(p, &v, sizeof v);
}

void put_u32(struct put *p, uint32_t v)
{
    v = htobe32(v);
    put_bytes(p, &v, sizeof v);
}

void put_u64(struct put *p, uint64_t v)
{
    v = htobe64(v);
    put_bytes(p, &v, sizeof v);
}

void put_uvarint(struct put *p, uint64_t v)
{
    while (v >= 0x80) {
        put_u8(p, (uint8_t)(v | 0x80));
        v >>= 7;
    }
    put_u8(p, (uint8_t)v);
}

void put_varint(struct put *p, int64_t v)
{
    put_uvarint(p, ((uint64_t)v << 1) ^ (uint64_t)(v >> 63));
}

void put_compact(struct put *p, const char *text)
{
    size_t len = strlen(text);

    put_uvarint(p, len + 1);
    put_bytes(p, text, len);
}

void put_begin(struct put *p, uint16_t key, uint16_t version, uint32_t correlation)
{
    put_u32(p, 0); /* size, set by put_end() */
    put_u16(p, key);
    put_u16(p, version);
    put_u32(p, correlation);
    put_u16(p, 5);
    put_bytes(p, "bench", 5);
}

size_t put_end(const struct put *p, uint8_t *at, size_t more)
{
    size_t bytes = (size_t)(p->at - at);
    struct put size = {at, at + 4};

    put_u32(&size, (uint32_t)(bytes - 4 + more));
    return bytes;
}

unsigned varint_bytes(int64_t v)
{
    unsigned n = 1;

    for (uint64_t zigzag = ((uint64_t)v << 1) ^ (uint64_t)(v >> 63); zigzag >= 0x80; zigzag >>= 7)
        n++;
    return n;
}

const uint8_t *get_bytes(struct get *g, size_t len)
{
    const uint8_t *at = g->at;

    if (g->bad || (size_t)(g->end - g->at) < len) {
        g->bad = true;
        return NULL;
    }
    g->at += len;
    return at;
}

uint8_t get_u8(struct get *g)
{
    const uint8_t *at = get_bytes(g, 1);

    return at ? *at : 0;
}

uint16_t get_u16(struct get *g)
{
    const uint8_t *at = get_bytes(g, 2);
    uint16_t v = 0;

    if (at)
        memcpy(&v, at, sizeof v);
    return be16toh(v);
}

uint32_t get_u32(struct get *g)
{
    const uint8_t *at = get_bytes(g, 4);
    uint32_t v = 0;

    if (at)
        memcpy(&v, at, sizeof v);
    return be32toh(v);
}

uint64_t get_u64(struct get *g)
{
    const uint8_t *at = get_bytes(g, 8);
    uint64_t v = 0;

    if (at)
        memcpy(&v, at, sizeof v);
    return be64toh(v);
}

uint64_t get_uvarint(struct get *g)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t b = get_u8(g);

        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80))
            return v;
    }
    g->bad = true;
    return 0;
}

void get_skip_compact(struct get *g)
{
    uint64_t len = get_uvarint(g);

    if (len > 1)
        get_bytes(g, len - 1);
}

void get_skip_tags(struct get *g)
{
    uint64_t count = get_uvarint(g);

    for (uint64_t i = 0; i < count && !g->bad; i++) {
        get_uvarint(g);
        get_bytes(g, get_uvarint(g));
    }
}
