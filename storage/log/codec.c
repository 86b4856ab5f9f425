/* One growing output buffer, one function per codec that fills it. */
#include "storage/log/codec.h"
#include "storage/log/codec_output.h"
#include <isa-l/igzip_lib.h>
#include <lz4frame.h>
#include <snappy-c.h>
#include <string.h>
#include <zstd.h>

/* One member of a gzip stream. */
static enum err inflate_member(struct output *o, struct inflate_state *s)
{
    enum err err = ERR_NONE;
    while (!err && s->block_state != ISAL_BLOCK_FINISH) {
        err = output_grow(o, OUTPUT_STEP);
        if (err)
            break;
        s->next_out = o->at + o->bytes;
        s->avail_out = (uint32_t)(o->cap - o->bytes);
        uint32_t room = s->avail_out, in = s->avail_in;
        int rc = isal_inflate(s);
        o->bytes += room - s->avail_out;
        bool stuck = s->avail_in == in && s->avail_out == room;
        if (rc != ISAL_DECOMP_OK || (stuck && s->block_state != ISAL_BLOCK_FINISH))
            err = ERR_CORRUPT;
    }
    return err;
}

/* As Java's stream: members follow each other, and what is none behind the last one does not count. */
static enum err unpack_gzip(struct output *o, const uint8_t *at, size_t bytes)
{
    assert(o->bytes <= o->max);
    struct inflate_state *s = heap_alloc(o->heap, sizeof *s);
    if (!s)
        return ERR_NO_MEMORY;
    isal_inflate_init(s);
    s->next_in = (uint8_t *)(uintptr_t)at;
    s->avail_in = (uint32_t)bytes;
    enum err err;
    do {
        isal_inflate_reset(s);
        s->crc_flag = ISAL_GZIP;
        err = inflate_member(o, s);
    } while (!err && s->avail_in > 2 && s->next_in[0] == 0x1f && s->next_in[1] == 0x8b);
    heap_free(o->heap, s);
    return err;
}

static enum err unpack_raw_snappy(struct output *o, const uint8_t *at, size_t bytes)
{
    size_t length;
    if (snappy_uncompressed_length((const char *)at, bytes, &length) != SNAPPY_OK)
        return ERR_CORRUPT;
    enum err err = output_grow(o, length);
    if (err)
        return err;
    if (snappy_uncompress((const char *)at, bytes, (char *)o->at + o->bytes, &length) != SNAPPY_OK)
        return ERR_CORRUPT;
    assert(length <= o->cap - o->bytes);
    o->bytes += length;
    return ERR_NONE;
}

static enum err unpack_snappy(struct output *o, const uint8_t *at, size_t bytes)
{
    static const uint8_t magic[8] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};
    if (bytes < 16 || memcmp(at, magic, sizeof magic))
        return unpack_raw_snappy(o, at, bytes);
    for (size_t i = 16; i < bytes;) {
        if (bytes - i < 4 || be32_get(at + i) > bytes - i - 4)
            return ERR_CORRUPT;
        uint32_t n = be32_get(at + i);
        enum err err = unpack_raw_snappy(o, at + i + 4, n);
        if (err)
            return err;
        i += 4 + (size_t)n;
    }
    return ERR_NONE;
}

static enum err unpack_lz4(struct output *o, const uint8_t *at, size_t bytes)
{
    assert(o->bytes <= o->max);
    LZ4F_dctx *d;
    if (LZ4F_isError(LZ4F_createDecompressionContext(&d, LZ4F_VERSION)))
        return ERR_NO_MEMORY;
    enum err err = ERR_NONE;
    for (size_t hint = 1; !err && hint;) {
        err = output_grow(o, OUTPUT_STEP);
        if (err)
            break;
        size_t out = o->cap - o->bytes, in = bytes;
        hint = LZ4F_decompress(d, o->at + o->bytes, &out, at, &in, NULL);
        if (LZ4F_isError(hint) || (in == 0 && out == 0))
            err = ERR_CORRUPT;
        o->bytes += err ? 0 : out;
        at += in;
        bytes -= in;
    }
    LZ4F_freeDecompressionContext(d);
    return err;
}

static enum err unpack_zstd(struct output *o, const uint8_t *at, size_t bytes)
{
    assert(o->bytes <= o->max);
    ZSTD_DCtx *d = ZSTD_createDCtx();
    if (!d)
        return ERR_NO_MEMORY;
    ZSTD_inBuffer in = {at, bytes, 0};
    enum err err = ERR_NONE;
    for (size_t hint = 1;
         !err && (hint || in.pos < in.size);) { /* frames follow each other, as Java's stream takes them */
        err = output_grow(o, OUTPUT_STEP);
        if (err)
            break;
        ZSTD_outBuffer out = {o->at + o->bytes, o->cap - o->bytes, 0};
        size_t before = in.pos;
        hint = ZSTD_decompressStream(d, &out, &in);
        if (ZSTD_isError(hint) || (in.pos == before && out.pos == 0))
            err = ERR_CORRUPT;
        o->bytes += err ? 0 : out.pos;
    }
    ZSTD_freeDCtx(d);
    return err;
}

static enum err run_codec(struct output *o, enum batch_codec codec, const uint8_t *at, size_t bytes)
{
    switch (codec) {
    case CODEC_NONE: break;
    case CODEC_GZIP: return unpack_gzip(o, at, bytes);
    case CODEC_SNAPPY: return unpack_snappy(o, at, bytes);
    case CODEC_LZ4: return unpack_lz4(o, at, bytes);
    case CODEC_ZSTD: return unpack_zstd(o, at, bytes);
    }
    return ERR_CORRUPT;
}

enum err codec_decompress(enum batch_codec codec, const uint8_t *at, size_t bytes, size_t output_max, struct heap *heap,
                          uint8_t **out_at, size_t *out_bytes)
{
    assert(output_max >= OUTPUT_STEP);
    assert(output_max <= CODEC_OUTPUT_MAX);
    struct output o = {.heap = heap, .max = output_max, .over = ERR_CORRUPT};
    enum err err = run_codec(&o, codec, at, bytes);
    if (err) {
        heap_free(heap, o.at);
        return err;
    }
    assert(o.bytes <= output_max);
    *out_at = o.at;
    *out_bytes = o.bytes;
    return ERR_NONE;
}

enum err codec_records(const struct batch *b, const uint8_t *at, size_t output_max, struct heap *heap,
                       uint8_t **out_unpacked, struct batch_cursor *out_records)
{
    enum batch_codec codec = b->attributes & BATCH_CODEC_MASK;
    const uint8_t *records = at + BATCH_HEADER_BYTES;
    size_t bytes = b->bytes - BATCH_HEADER_BYTES;
    uint8_t *unpacked = NULL;
    assert(b->bytes >= BATCH_HEADER_BYTES);
    if (codec != CODEC_NONE) {
        enum err err = codec_decompress(codec, records, bytes, output_max, heap, &unpacked, &bytes);
        if (err)
            return err;
        records = unpacked;
    }
    *out_unpacked = unpacked;
    *out_records = (struct batch_cursor){records, records + bytes};
    return ERR_NONE;
}
