/* Big-endian and varint cursors of the load generator.
 *
 * The generator shares no code with the broker, so that a mistake in the broker's own codec cannot hide on both sides.
 * A put cursor asserts its room (our own mistake); a get cursor goes bad and reads zeros (the peer's mistake). */
#ifndef BENCH_LOAD_WIRE_H
#define BENCH_LOAD_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct put {
    uint8_t *at;
    uint8_t *end;
};

struct get {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
};

void put_u8(struct put *p, uint8_t v);
void put_u16(struct put *p, uint16_t v);
void put_u32(struct put *p, uint32_t v);
void put_u64(struct put *p, uint64_t v);
void put_uvarint(struct put *p, uint64_t v);
void put_varint(struct put *p, int64_t v);
void put_bytes(struct put *p, const void *bytes, size_t len);
/* A string of the flexible versions: length + 1 as uvarint, then the bytes. */
void put_compact(struct put *p, const char *text);
/* The size that put_end() sets, and header v1 of a request; a flexible version's ends with a byte 0 (no tags). */
void put_begin(struct put *p, uint16_t key, uint16_t version, uint32_t correlation);
/* Sets the size in front of what was written behind `at`, with `more` bytes that follow; returns what was written. */
size_t put_end(const struct put *p, uint8_t *at, size_t more);
/* What put_varint() takes. */
unsigned varint_bytes(int64_t v);

uint8_t get_u8(struct get *g);
uint16_t get_u16(struct get *g);
uint32_t get_u32(struct get *g);
uint64_t get_u64(struct get *g);
uint64_t get_uvarint(struct get *g);
/* Skips len bytes and returns where they started, or NULL when the frame is shorter. */
const uint8_t *get_bytes(struct get *g, size_t len);
/* Skips a compact string or compact bytes; null counts as empty. */
void get_skip_compact(struct get *g);
/* Skips a section of tagged fields. */
void get_skip_tags(struct get *g);

#endif
