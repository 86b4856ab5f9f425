/* One run of the load: topic, connections spread over threads, warm-up, measurement, drain; and the search for the highest rate that is
 * sustained, which is several runs.
 *
 *   WARMUP --warmup_s--> MEASURE --duration_s--> DRAIN: nothing more is sent, until all is acknowledged and read --> END
 *
 * With a backlog: it is written first, then read from the start (MEASURE lasts until it is read), beside the load where there is a rate. */
#pragma once
#include "bench/load/outcome.h"

enum { RUN_TEXT = 320 };
/* False: *why (RUN_TEXT) says what went wrong, and the outcome is worth nothing. */
bool run_once(const struct plan *plan, double rate, struct outcome *out, char *why);
/* Doubles the rate until it is not sustained (98 % of it acknowledged while measured, and the p99 from when a record was due within
 * plan->ramp_p99_ms), then halves the interval four times. The outcome is that of the highest sustained rate. */
bool run_ramp(const struct plan *plan, struct outcome *out, char *why);
