/* isa-l computes CRC-32C without the inversions at the start and the end that the usual convention (and Kafka) has: they
 * are added here, and undone between pieces, so that calls can be chained. */
#include "core/crc.h"
#include <isa-l.h>
#include <string.h>

enum { SLICE_BYTES = 64 * 1024 };               /* source and copy of one slice stay in L2 */
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

uint32_t crc32c_copy(uint32_t crc, void *to, const void *from, size_t bytes)
{
    assert((to && from) || bytes == 0);
    uint8_t *out = to;
    const uint8_t *in = from;
    assert(out + bytes <= in || in + bytes <= out);
    while (bytes > 0) {
        size_t n = bytes < SLICE_BYTES ? bytes : SLICE_BYTES;
        memcpy(out, in, n);
        crc = ~crc_raw(~crc, out, n);
        out += n;
        in += n;
        bytes -= n;
    }
    return crc;
}
