/* The four codecs of record batches, decompression only, bounded: for whoever must see the records of a compressed batch
 * (offsets by time today). gzip by isa-l, lz4 frames, zstd and snappy by their libraries; snappy in snappy-java's framing
 * (magic 82 "SNAPPY" 00, version 4, compatible 4, then chunks of u32 length and raw snappy) or raw. */
#pragma once
#include "core/err.h"
#include "core/mem.h"
#include "storage/log/batch.h"

enum { CODEC_OUTPUT_MAX = 256 * 1024 * 1024 };

/* The decompressed records in heap memory, the caller's to free. ERR_CORRUPT: no such stream, or longer than `output_max`
 * (CODEC_OUTPUT_MAX at most). ERR_NO_MEMORY. */
enum err codec_decompress(enum batch_codec codec, const uint8_t *at, size_t bytes, size_t output_max, struct heap *heap,
                          uint8_t **out_at, size_t *out_bytes) must_use;
/* The records of a batch, whole at `at`: where they stand, or unpacked into *out_unpacked, the caller's to free (else NULL). */
enum err codec_records(const struct batch *b, const uint8_t *at, size_t output_max, struct heap *heap,
                       uint8_t **out_unpacked, struct batch_cursor *out_records) must_use;
