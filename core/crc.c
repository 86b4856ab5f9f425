/* isa-l computes CRC-32C without the inversions at the start and the end that the usual convention (and Kafka) has: they
 * are added here, and undone between pieces, so that calls can be chained. */
#include "core/crc.h"
#include <isa-l.h>
#include <string.h>
#if defined __SSE2__
#include <emmintrin.h>
#endif

enum {
    SLICE_BYTES = 64 * 1024,       /* the source of one slice stays in L2 between its sum and its copy */
    PAST_CACHES_BYTES = 16 * 1024, /* from so many on what is copied goes past the caches */
    LINE_BYTES = 64,
};
static const size_t piece_bytes_max = 1u << 30; /* isa-l counts in an int */

static uint32_t crc_raw(uint32_t crc, const uint8_t *at, size_t bytes)
{
    assert(at || bytes == 0);
    while (bytes > piece_bytes_max) {
        crc = crc32_iscsi((unsigned char *)at, (int)piece_bytes_max, crc);
        at += piece_bytes_max;
        bytes -= piece_bytes_max;
    }
    return crc32_iscsi((unsigned char *)at, (int)bytes, crc);
}

uint32_t crc32c(uint32_t crc, const void *at, size_t bytes)
{
    assert(at || bytes == 0);
    return bytes == 0 ? crc : ~crc_raw(~crc, at, bytes);
}

/* Whole cache lines past the caches: a copy that is not read again soon need not push out what is, and its lines are not read from
 * memory only to be overwritten. */
static void copy_past_caches(uint8_t *to, const uint8_t *from, size_t bytes)
{
    assert(bytes >= PAST_CACHES_BYTES);
#if defined __SSE2__
    size_t head = -(uintptr_t)to % LINE_BYTES, lines = (bytes - head) / LINE_BYTES;
    memcpy(to, from, head);
    to += head;
    from += head;
    for (size_t i = 0; i < lines; i++, to += LINE_BYTES, from += LINE_BYTES) {
        __m128i a = _mm_loadu_si128((const __m128i *)from), b = _mm_loadu_si128((const __m128i *)from + 1);
        __m128i c = _mm_loadu_si128((const __m128i *)from + 2), d = _mm_loadu_si128((const __m128i *)from + 3);
        _mm_stream_si128((__m128i *)to, a);
        _mm_stream_si128((__m128i *)to + 1, b);
        _mm_stream_si128((__m128i *)to + 2, c);
        _mm_stream_si128((__m128i *)to + 3, d);
    }
    _mm_sfence();
    bytes -= head + lines * LINE_BYTES;
#endif
    memcpy(to, from, bytes);
}

uint32_t crc32c_copy(uint32_t crc, void *to, const void *from, size_t bytes)
{
    assert((to && from) || bytes == 0);
    uint8_t *out = to;
    const uint8_t *in = from;
    assert(out + bytes <= in || in + bytes <= out);
    while (bytes > 0) {
        size_t n = bytes < SLICE_BYTES ? bytes : SLICE_BYTES;
        crc = ~crc_raw(~crc, in, n);
        if (n >= PAST_CACHES_BYTES)
            copy_past_caches(out, in, n);
        else
            memcpy(out, in, n);
        out += n;
        in += n;
        bytes -= n;
    }
    return crc;
}
