/* The four codecs of record batches, bounded: for a caller that must see the records of a compressed batch, or packs some itself. gzip by
 * isa-l, lz4 frames, zstd and snappy by their libraries; snappy in snappy-java's framing (magic 82 "SNAPPY" 00, version 4,
 * compatible 4, then chunks of u32 length and raw snappy), and unpacked also raw. Slow: in a job.
 *
 * What is packed has the shape that Java clients write: lz4 in independent blocks of 64 KiB without checksums, snappy in chunks of
 * 32 KiB, one gzip member, one zstd frame. Levels are Kafka's:
 *
 *   compression.gzip.level   -1 (that is 6), 1 ... 9    isa-l has four: 1 -> 0, 2-3 -> 1, 4-6 and -1 -> 2, 7-9 -> 3. Each is several
 *                                                       times as quick as zlib's, and packs a little less
 *   compression.lz4.level    1 ... 17, default 9        9 is the fast compressor, as in Kafka; others the thorough one, whose levels are
 *                                                       3 to 12: lower and higher ones mean these
 *   compression.zstd.level   -131072 ... 22, default 3  the library's own */
#pragma once
#include "core/err.h"
#include "core/mem.h"
#include "storage/log/batch.h"

enum { CODEC_OUTPUT_MAX = 256 * 1024 * 1024 };

/* The decompressed records in heap memory, the caller's to free. ERR_CORRUPT: no such stream, or longer than `output_max`
 * (CODEC_OUTPUT_MAX at most). ERR_NO_MEMORY. */
enum err codec_decompress(enum batch_codec codec, const uint8_t *at, size_t bytes, size_t output_max, struct heap *heap,
                          uint8_t **out_at, size_t *out_bytes) must_use;
/* Packs into `out`. ERR_NO_SPACE: it has no room for that; a few KiB more than the result may be needed. ERR_NO_MEMORY. `heap` is for
 * what it needs meanwhile; `level` as above (snappy has none, and does not look at it). */
enum err codec_compress(enum batch_codec codec, int32_t level, const uint8_t *at, size_t bytes, struct heap *heap,
                        uint8_t *out, size_t room, size_t *out_bytes) must_use;
/* The records of a batch, whole at `at`: where they stand, or unpacked into *out_unpacked, the caller's to free (else NULL). */
enum err codec_records(const struct batch *b, const uint8_t *at, size_t output_max, struct heap *heap,
                       uint8_t **out_unpacked, struct batch_cursor *out_records) must_use;
