/* One growing output buffer, one function per codec that fills it. */
#include "storage/log/codec.h"
#include "core/bytes.h"
#include <isa-l/igzip_lib.h>
#include <lz4frame.h>
#include <snappy-c.h>
#include <string.h>
#include <zstd.h>

struct output {
    struct heap *heap;
    uint8_t *at;
    size_t bytes, cap, max;
};

enum { STEP = 64 * 1024 };

static enum err grow_output(struct output *o, size_t want)
{
    assert(o->bytes <= o->cap);
    if (o->bytes + want <= o->cap)
        return ERR_NONE;
    if (want > o->max || o->bytes > o->max - want)
        return ERR_CORRUPT;
    size_t cap = u64_min(u64_max(o->cap * 2, o->bytes + want), o->max);
    uint8_t *at = heap_realloc(o->heap, o->at, cap);
    if (!at)
        return ERR_NO_MEMORY;
    o->at = at;
    o->cap = cap;
    return ERR_NONE;
}

static enum err unpack_gzip(struct output *o, const uint8_t *at, size_t bytes)
{
    assert(o->bytes <= o->max);
    struct inflate_state *s = heap_alloc(o->heap, sizeof *s);
    if (!s)
        return ERR_NO_MEMORY;
    isal_inflate_init(s);
    s->crc_flag = ISAL_GZIP;
    s->next_in = (uint8_t *)(uintptr_t)at;
    s->avail_in = (uint32_t)bytes;
    enum err err = ERR_NONE;
    while (!err && s->block_state != ISAL_BLOCK_FINISH) {
        err = grow_output(o, STEP);
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
    heap_free(o->heap, s);
    return err;
}

static enum err unpack_raw_snappy(struct output *o, const uint8_t *at, size_t bytes)
{
    size_t length;
    if (snappy_uncompressed_length((const char *)at, bytes, &length) != SNAPPY_OK)
        return ERR_CORRUPT;
    enum err err = grow_output(o, length);
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
        err = grow_output(o, STEP);
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
    for (size_t hint = 1; !err && hint;) {
        err = grow_output(o, STEP);
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
    assert(output_max >= STEP);
    assert(output_max <= CODEC_OUTPUT_MAX);
    struct output o = {.heap = heap, .max = output_max};
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

enum kerr batch_check_unpacked(const uint8_t *at, const struct batch_limits *limits, struct heap *heap,
                               struct batch *batch, struct batch_fault *out_fault)
{
    assert(limits);
    uint8_t *unpacked;
    struct batch_cursor records;
    *out_fault = (struct batch_fault){.record = -1, .limits = *limits};
    enum err err = codec_records(batch, at, BATCH_UNPACKED_MAX, heap, &unpacked, &records);
    if (err == ERR_NO_MEMORY)
        return KERR_KAFKA_STORAGE_ERROR;
    if (err) {
        out_fault->message = "the compressed records cannot be unpacked, or are too large to be counted";
        return KERR_INVALID_RECORD;
    }
    enum kerr code = batch_check_records(records, limits, batch, out_fault);
    heap_free(heap, unpacked);
    return code;
}
