/* SipHash-2-4 with 128 bits: a key that nobody outside knows decides where a record's key goes in the dedupe map, and the map keeps
 * the hash in place of the key. Peers choose record keys; two with one hash would lose the older one's record. */
#pragma once
#include "core/base.h"

struct key_hash {
    uint64_t low, high;
};
struct key_hash key_hash(const uint64_t secret[2], const void *at, size_t bytes);
