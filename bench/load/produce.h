/* The produce load over its lanes: see lane.h. */
#ifndef BENCH_LOAD_PRODUCE_H
#define BENCH_LOAD_PRODUCE_H

#include <stdbool.h>

#include "bench/load/lane.h"

/* Runs until every request is answered. False, with t->wrong set, when anything went wrong. */
bool produce_run(struct lane *lanes, const struct load *load, struct totals *t);
/* Reads the sampled batches back (Fetch from a broker, the file of the bare loop) and compares them byte for byte. */
bool produce_verify(const struct lane *lanes, const struct load *load, const struct totals *t, unsigned *out_right);

#endif
