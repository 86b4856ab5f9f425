/* Reads a topic back from its first offset to its high watermark and compares it with the history.
 *
 * In every partition: offsets dense from zero; CRCs and checksums right; leader epochs never going back, none above the
 * metadata's; writers in the order in which they lived; each writer's sequences 0, 1, 2 ... without a hole, and
 * without a repetition unless it retries without idempotence. Every acked batch lies where its ack said. Every batch
 * that was read while the load ran is still there, unchanged. */
#pragma once
#include <stdbool.h>

struct verify_plan {
    const char *address, *topic, *history;
    bool lost_ok; /* acked or read batches beyond the end may be gone (a power cut with caching on), nothing else */
    bool reads;   /* at least one batch must have been read while the load ran */
};

int verify_run(const struct verify_plan *plan); /* the program's exit code; one line per finding on stdout */
