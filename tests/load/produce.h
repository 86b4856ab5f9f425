/* The load: several connections, each the only writer of its partitions, each with a window of requests in flight.
 *
 * A run draws from its seed which partitions a request covers. It may carry a trigger: so many microseconds after the
 * first ack it kills a process or writes a byte into a cut file, in the middle of its own traffic; with both it kills
 * first and cuts some time after the next broker's first reply. When connections are lost it either ends (what was not
 * acked stays unknown), or, with `retry`, connects again and sends what was in flight again, in order and with the same
 * sequences. After the cut it ends. */
#pragma once
#include "tests/load/reader.h"

struct produce_plan {
    const char *address, *topic, *history, *cut; /* cut: NULL or a file to write one byte into */
    uint32_t writer, conns, window, bytes, records;
    uint64_t seed, ms, after_ms; /* ms: how long to send; after_ms: how long still after a loss */
    uint64_t at_us, cut_us;      /* after the first ack; with both triggers, the cut's after the first one since */
    int kill_pid;                /* 0: none */
    int16_t acks;
    bool idempotent, retry, read;
    uint64_t burst_bytes, rate_bytes; /* a token bucket: how much at once, and how much each second */
};

int produce_run(const struct produce_plan *plan); /* the program's exit code */
