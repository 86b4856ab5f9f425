/* The dedupe map of one cleaning: for each key of the dirty section its latest offset. Keys are kept as their 128-bit hash, keyed
 * anew for each cleaning. 24 bytes a slot; pages are the kernel's until a key goes there.
 *
 * It may be too small. Then it covers the offsets up to where it was full: what lies behind is dirty still, is kept by this
 * cleaning whatever its key, and is the next one's work. So no key is lost between two passes. */
#pragma once
#include "core/err.h"
#include "core/mem.h"
#include "storage/clean/key_hash.h"

struct dedupe_slot;
struct dedupe {
    struct heap *heap;
    struct dedupe_slot *v;
    uint64_t slots, count, count_max;
    uint64_t secret[2];
    int64_t end_offset; /* covers what lies below */
};
enum { DEDUPE_SLOT_BYTES = 24 };

/* Room for `keys_max` keys, or for as many as `bytes_max` holds at that load. ERR_NO_MEMORY; ERR_INVALID: not for a single key. */
enum err dedupe_open(struct dedupe *d, struct heap *heap, uint64_t keys_max, uint64_t bytes_max, double load,
                     const uint64_t secret[2]) must_use;
void dedupe_close(struct dedupe *d); /* one that is not open is fine */
/* Offsets rise. False: there is no room, nothing is changed. */
bool dedupe_put(struct dedupe *d, const void *key, size_t bytes, int64_t offset) must_use;
/* Everything below was put. */
void dedupe_cover(struct dedupe *d, int64_t end_offset);
int64_t dedupe_find(const struct dedupe *d, const void *key, size_t bytes); /* -1: it has no such key */
/* Asserts that its fields agree. Slow. */
void dedupe_check(const struct dedupe *d);
