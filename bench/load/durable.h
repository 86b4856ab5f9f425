/* What an ack of this broker means, found out by looking: some batches go one after the other, and right after each ack the log's file is
 * asked for dirty pages (cachestat(2), Linux 6.5) and its device for the flushes it has done (/sys/dev/block/M:m/stat).
 *
 *   on the disk          no dirty page, and the device was flushed between send and ack (or has no volatile cache)
 *   in the page cache    a dirty page is there
 *   written, not flushed neither */
#pragma once
#include "bench/load/plan.h"

#include <stddef.h>

/* Says it in `out`. False: it could not be found out, and `out` says why. */
bool durable_look(const struct plan *plan, const char *leader, char *out, size_t out_bytes);
