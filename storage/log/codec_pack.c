/* Packing: one function per codec that fills the caller's room. lz4 and snappy want more room for a block than it will take, so
 * they pack into a scratch block first. */
#include "storage/log/codec.h"
#include "core/bytes.h"
#include <isa-l/igzip_lib.h>
#include <lz4frame.h>
#include <lz4hc.h>
#include <snappy-c.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

/* What is packed, and the room that is left for it. */
struct packing {
    struct heap *heap;
    const uint8_t *at;
    size_t bytes;
    uint8_t *out;
    size_t room;
};

enum {
    LZ4_BLOCK_BYTES = 64 * 1024,    /* what Java clients write */
    LZ4_HEAD_BYTES_MAX = 19,        /* LZ4F_HEADER_SIZE_MAX, which not every release names */
    SNAPPY_BLOCK_BYTES = 32 * 1024, /* snappy-java's */
    GZIP_LEVELS = 4,
};

static enum err put_packed(struct packing *p, const uint8_t *at, size_t bytes)
{
    if (bytes > p->room)
        return ERR_NO_SPACE;
    memcpy(p->out, at, bytes);
    p->out += bytes;
    p->room -= bytes;
    return ERR_NONE;
}

/* --- gzip --- */

static const uint32_t gzip_level_bytes[GZIP_LEVELS] = {ISAL_DEF_LVL0_DEFAULT, ISAL_DEF_LVL1_DEFAULT,
                                                       ISAL_DEF_LVL2_DEFAULT, ISAL_DEF_LVL3_DEFAULT};

/* Of Kafka's nine levels and -1 (6): the header has the table. */
static uint32_t gzip_level(int32_t level)
{
    return level < 0 ? 2 : level <= 1 ? 0 : level <= 3 ? 1 : level <= 6 ? 2 : 3;
}

static enum err pack_gzip(struct packing *p, int32_t level)
{
    uint32_t isal_level = gzip_level(level);
    assert(isal_level < GZIP_LEVELS);
    assert(p->bytes <= UINT32_MAX && p->room <= UINT32_MAX);
    struct isal_zstream *z = heap_alloc(p->heap, sizeof *z + gzip_level_bytes[isal_level]);
    if (!z)
        return ERR_NO_MEMORY;
    isal_deflate_init(z);
    z->level = isal_level;
    z->level_buf = gzip_level_bytes[isal_level] ? (uint8_t *)(z + 1) : NULL;
    z->level_buf_size = gzip_level_bytes[isal_level];
    z->gzip_flag = IGZIP_GZIP;
    z->end_of_stream = 1;
    z->next_in = (uint8_t *)(uintptr_t)p->at;
    z->avail_in = (uint32_t)p->bytes;
    z->next_out = p->out;
    z->avail_out = (uint32_t)p->room;
    int rc = isal_deflate(z);
    bool whole = z->internal_state.state == ZSTATE_END;
    p->out += z->total_out;
    p->room -= z->total_out;
    heap_free(p->heap, z);
    return rc != COMP_OK ? ERR_INVALID : whole ? ERR_NONE : ERR_NO_SPACE;
}

/* --- snappy --- */

static enum err pack_snappy_block(struct packing *p, uint8_t *scratch, size_t scratch_bytes, const uint8_t *at,
                                  size_t bytes)
{
    size_t packed = scratch_bytes - 4;
    if (snappy_compress((const char *)at, bytes, (char *)scratch + 4, &packed) != SNAPPY_OK)
        return ERR_INVALID;
    be32_put(scratch, (uint32_t)packed);
    return put_packed(p, scratch, packed + 4);
}

static enum err pack_snappy(struct packing *p)
{
    static const uint8_t head[16] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1};
    size_t scratch_bytes = 4 + snappy_max_compressed_length(SNAPPY_BLOCK_BYTES);
    uint8_t *scratch = heap_alloc(p->heap, scratch_bytes);
    if (!scratch)
        return ERR_NO_MEMORY;
    enum err err = put_packed(p, head, sizeof head);
    for (size_t at = 0; at < p->bytes && !err; at += SNAPPY_BLOCK_BYTES)
        err = pack_snappy_block(p, scratch, scratch_bytes, p->at + at, u64_min(SNAPPY_BLOCK_BYTES, p->bytes - at));
    heap_free(p->heap, scratch);
    return err;
}

/* --- lz4 --- */

/* Kafka's default level 9 is the fast compressor, every other one the thorough one, from 3 to 12 here. */
static int lz4_level(int32_t level)
{
    return level == 9                 ? 0
           : level < LZ4HC_CLEVEL_MIN ? LZ4HC_CLEVEL_MIN
                                      : (int)u64_min((uint64_t)level, LZ4HC_CLEVEL_MAX);
}

static enum err put_lz4(struct packing *p, const uint8_t *scratch, size_t packed)
{
    return LZ4F_isError(packed) ? ERR_NO_MEMORY : put_packed(p, scratch, packed); /* all that can fail there */
}

static enum err pack_lz4_blocks(struct packing *p, LZ4F_cctx *c, const LZ4F_preferences_t *how, uint8_t *scratch,
                                size_t cap)
{
    enum err err = put_lz4(p, scratch, LZ4F_compressBegin(c, scratch, cap, how));
    for (size_t at = 0; at < p->bytes && !err; at += LZ4_BLOCK_BYTES) {
        size_t bytes = u64_min(LZ4_BLOCK_BYTES, p->bytes - at);
        err = put_lz4(p, scratch, LZ4F_compressUpdate(c, scratch, cap, p->at + at, bytes, NULL));
    }
    return err ? err : put_lz4(p, scratch, LZ4F_compressEnd(c, scratch, cap, NULL));
}

static enum err pack_lz4(struct packing *p, int32_t level)
{
    const LZ4F_preferences_t how = {
        .frameInfo = {.blockSizeID = LZ4F_max64KB, .blockMode = LZ4F_blockIndependent},
        .compressionLevel = lz4_level(level),
        .autoFlush = 1,
    };
    size_t cap = u64_max(LZ4F_compressBound(LZ4_BLOCK_BYTES, &how), LZ4_HEAD_BYTES_MAX);
    uint8_t *scratch = heap_alloc(p->heap, cap);
    LZ4F_cctx *c = NULL;
    enum err err = ERR_NO_MEMORY;
    if (scratch && !LZ4F_isError(LZ4F_createCompressionContext(&c, LZ4F_VERSION)))
        err = pack_lz4_blocks(p, c, &how, scratch, cap);
    LZ4F_freeCompressionContext(c);
    heap_free(p->heap, scratch);
    return err;
}

/* --- zstd --- */

static enum err pack_zstd(struct packing *p, int32_t level)
{
    ZSTD_CCtx *c = ZSTD_createCCtx();
    if (!c)
        return ERR_NO_MEMORY;
    int clamped = level > ZSTD_maxCLevel() ? ZSTD_maxCLevel() : level < ZSTD_minCLevel() ? ZSTD_minCLevel() : level;
    size_t packed = ZSTD_compressCCtx(c, p->out, p->room, p->at, p->bytes, clamped);
    ZSTD_freeCCtx(c);
    if (ZSTD_isError(packed))
        return ZSTD_getErrorCode(packed) == ZSTD_error_dstSize_tooSmall ? ERR_NO_SPACE : ERR_NO_MEMORY;
    assert(packed <= p->room);
    p->out += packed;
    p->room -= packed;
    return ERR_NONE;
}

static enum err pack_with(struct packing *p, enum batch_codec codec, int32_t level)
{
    switch (codec) {
    case CODEC_NONE: return put_packed(p, p->at, p->bytes);
    case CODEC_GZIP: return pack_gzip(p, level);
    case CODEC_SNAPPY: return pack_snappy(p);
    case CODEC_LZ4: return pack_lz4(p, level);
    case CODEC_ZSTD: return pack_zstd(p, level);
    }
    return ERR_INVALID;
}

enum err codec_compress(enum batch_codec codec, int32_t level, const uint8_t *at, size_t bytes, struct heap *heap,
                        uint8_t *out, size_t room, size_t *out_bytes)
{
    assert(bytes <= CODEC_OUTPUT_MAX);
    assert(out || !room);
    struct packing p = {heap, at, bytes, out, room};
    enum err err = pack_with(&p, codec, level);
    if (err)
        return err;
    assert(p.room <= room);
    *out_bytes = room - p.room;
    return ERR_NONE;
}
