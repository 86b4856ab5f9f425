/* Workloads with names: those of the OpenMessaging benchmark that make sense on one node, and `telemetry`. A name sets the plan; options
 * behind it change single things. */
#pragma once
#include "bench/load/plan.h"

/* False: there is no such workload. */
bool workload_apply(const char *name, struct plan *plan);
void workload_list(void);
