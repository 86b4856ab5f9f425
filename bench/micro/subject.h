/* What the micro benches time, behind plain functions: the broker's headers are C and stay out of the C++ that drives Google
 * Benchmark. Each function does the work once and says whether its result was right. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A Produce v9 request with one batch of batch_bytes, and a Fetch v12 request, without their leading size, made by the load
 * generator's own encoder. They return the length. */
size_t subject_make_produce(uint8_t *out, size_t out_bytes, uint32_t batch_bytes, uint32_t record_bytes);
size_t subject_make_fetch(uint8_t *out, size_t out_bytes);
/* A batch alone; its length. */
uint32_t subject_make_batch(uint8_t *out, uint32_t batch_bytes, uint32_t record_bytes);

/* CRC-32C of a batch against the one in its header, without and with a copy. */
bool subject_crc(const uint8_t *batch, uint32_t bytes);
bool subject_crc_copy(uint8_t *to, const uint8_t *batch, uint32_t bytes);
/* Opens and decodes a frame; true when what it says is what was put in. */
bool subject_decode_produce(const uint8_t *frame, size_t bytes);
bool subject_decode_fetch(const uint8_t *frame, size_t bytes);
/* All checks of a produced batch but its CRC. */
bool subject_check_batch(const uint8_t *batch, uint32_t bytes, uint32_t records);
/* Writes a Produce v9 response into a buffer. */
size_t subject_encode_produce_response(uint8_t *out, size_t out_bytes);

#ifdef __cplusplus
}
#endif
