/* Randomness. rng_seed_os is the door (core/clock_os.c opens it, the simulator seeds it); the generator itself is
 * deterministic: splitmix64. Used for ids and jitter, never for secrets. */
#pragma once
#include <assert.h>
#include <stdint.h>

struct rng {
    uint64_t state;
};

/* A seed that no two starts share (the simulator: the next number of its world). */
uint64_t rng_seed_os(void);

static inline uint64_t rng_next(struct rng *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}
/* Uniform in [0, n); n > 0. */
static inline uint64_t rng_below(struct rng *r, uint64_t n)
{
    assert(n > 0);
    return rng_next(r) % n;
}
