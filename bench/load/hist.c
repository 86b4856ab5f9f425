/* Latency histogram with logarithmic buckets: see hist.h.
 *
 * Values below 128 have a bucket each. A larger value with its top bit at position b keeps its 7 bits below the top one:
 * bucket = (b - 6) * 128 + those bits. */
#include "bench/load/hist.h"

#include <assert.h>

static unsigned bucket(uint64_t ns)
{
    if (ns < HIST_SUB)
        return (unsigned)ns;
    unsigned top = 63 - (unsigned)__builtin_clzll(ns);
    unsigned at = (top - HIST_SUB_BITS + 1) * HIST_SUB + (unsigned)((ns >> (top - HIST_SUB_BITS)) & (HIST_SUB - 1));

    return at < HIST_POWERS * HIST_SUB ? at : HIST_POWERS * HIST_SUB - 1;
}

static uint64_t bucket_end(unsigned at)
{
    unsigned power = at / HIST_SUB;

    if (power == 0)
        return at;
    return ((uint64_t)(HIST_SUB + at % HIST_SUB + 1) << (power - 1)) - 1;
}

void hist_add(struct hist *h, uint64_t ns)
{
    h->count[bucket(ns)]++;
    h->total++;
    if (ns > h->max_ns)
        h->max_ns = ns;
}

void hist_merge(struct hist *into, const struct hist *from)
{
    for (unsigned i = 0; i < HIST_POWERS * HIST_SUB; i++)
        into->count[i] += from->count[i];
    into->total += from->total;
    if (from->max_ns > into->max_ns)
        into->max_ns = from->max_ns;
}

uint64_t hist_quantile(const struct hist *h, double share)
{
    uint64_t want = (uint64_t)((double)h->total * share + 0.999999);
    uint64_t seen = 0;

    assert(share >= 0 && share <= 1);
    for (unsigned i = 0; i < HIST_POWERS * HIST_SUB && h->total > 0; i++) {
        seen += h->count[i];
        if (seen >= want && h->count[i])
            return bucket_end(i) < h->max_ns ? bucket_end(i) : h->max_ns;
    }
    return h->max_ns;
}
