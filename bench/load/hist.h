/* Latency histogram with logarithmic buckets, as HdrHistogram has them: every power of two is split into 128 equal steps,
 * so a value is known to better than 0.8 %, from one nanosecond to hours, in fixed memory. */
#ifndef BENCH_LOAD_HIST_H
#define BENCH_LOAD_HIST_H

#include <stdint.h>

enum { HIST_SUB_BITS = 7, HIST_SUB = 1 << HIST_SUB_BITS, HIST_POWERS = 44 };

struct hist {
    uint64_t total;
    uint64_t max_ns;
    uint64_t count[HIST_POWERS * HIST_SUB];
};

void hist_add(struct hist *h, uint64_t ns);
void hist_merge(struct hist *into, const struct hist *from);
/* The smallest bucket edge that at least `share` (0 to 1) of the values do not exceed; 0 when there are none. */
uint64_t hist_quantile(const struct hist *h, double share);

#endif
