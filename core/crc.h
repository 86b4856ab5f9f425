/* CRC-32C (Castagnoli), the checksum of record batches: isa-l's crc32_iscsi behind the usual convention. */
#pragma once
#include "core/base.h"

/* crc32c(0, p, n) is the CRC of p[0..n); crc32c(crc32c(0, a), b) is that of a followed by b. */
uint32_t crc32c(uint32_t crc, const void *at, size_t bytes);
/* The same of `from`, while copying it in slices that stay in the L2 cache; a large copy goes past the caches. `to` and `from` do not overlap. */
uint32_t crc32c_copy(uint32_t crc, void *to, const void *from, size_t bytes);
