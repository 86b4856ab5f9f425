/* After the paper of Aumasson and Bernstein, and their note on 128 bits; the vectors of the paper's authors are in its unit test. */
#include "storage/clean/key_hash.h"
#include <string.h>

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate_left(uint64_t x, uint32_t n)
{
    return x << n | x >> (64 - n);
}

static inline void run_sip_rounds(struct sip *s, uint32_t rounds)
{
    assert(rounds > 0);
    for (; rounds > 0; rounds--) {
        s->v0 += s->v1;
        s->v1 = rotate_left(s->v1, 13) ^ s->v0;
        s->v0 = rotate_left(s->v0, 32);
        s->v2 += s->v3;
        s->v3 = rotate_left(s->v3, 16) ^ s->v2;
        s->v0 += s->v3;
        s->v3 = rotate_left(s->v3, 21) ^ s->v0;
        s->v2 += s->v1;
        s->v1 = rotate_left(s->v1, 17) ^ s->v2;
        s->v2 = rotate_left(s->v2, 32);
    }
}

static inline void take_sip_word(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    run_sip_rounds(s, 2);
    s->v0 ^= word;
}

static uint64_t load_little_word(const uint8_t *at, size_t bytes)
{
    assert(bytes <= 8);
    uint64_t v = 0;
    for (size_t i = 0; i < bytes; i++)
        v |= (uint64_t)at[i] << (8 * i);
    return v;
}

struct key_hash key_hash(const uint64_t secret[2], const void *at, size_t bytes)
{
    assert(at || !bytes);
    struct sip s = {
        .v0 = secret[0] ^ 0x736f6d6570736575ull,
        .v1 = secret[1] ^ 0x646f72616e646f6dull ^ 0xee,
        .v2 = secret[0] ^ 0x6c7967656e657261ull,
        .v3 = secret[1] ^ 0x7465646279746573ull,
    };
    const uint8_t *p = at;
    size_t left = bytes;
    for (; left >= 8; left -= 8, p += 8)
        take_sip_word(&s, load_little_word(p, 8));
    take_sip_word(&s, load_little_word(p, left) | (uint64_t)bytes << 56);
    struct key_hash h;
    s.v2 ^= 0xee;
    run_sip_rounds(&s, 4);
    h.low = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
    s.v1 ^= 0xdd;
    run_sip_rounds(&s, 4);
    h.high = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
    return h;
}
