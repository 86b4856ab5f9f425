/* The latency histogram against sorted values: every quantile within 0.8 %, at least the true value, at most the largest. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/load/hist.h"

enum { COUNT = 200000 };

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void check(const uint64_t *sorted, const struct hist *h, double share)
{
    uint64_t want = sorted[(uint64_t)((double)COUNT * share + 0.999999) - 1];
    uint64_t got = hist_quantile(h, share);

    if (got < want || (double)got > (double)want * 1.008 + 1 || got > sorted[COUNT - 1]) {
        fprintf(stderr, "quantile %g is %llu, not %llu\n", share, (unsigned long long)got, (unsigned long long)want);
        exit(1);
    }
}

int main(void)
{
    static const double shares[] = {0.00001, 0.01, 0.5, 0.9, 0.99, 0.999, 0.9999, 1};
    static uint64_t values[COUNT];
    static struct hist h;
    uint64_t state = 88172645463325252u;

    /* From nanoseconds to an hour, evenly over the powers of two. */
    for (unsigned i = 0; i < COUNT; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        values[i] = state >> (22 + state % 42);
        hist_add(&h, values[i]);
    }
    qsort(values, COUNT, sizeof values[0], compare);
    for (unsigned i = 0; i < sizeof shares / sizeof shares[0]; i++)
        check(values, &h, shares[i]);
    assert(h.total == COUNT && h.max_ns == values[COUNT - 1]);
    return 0;
}
