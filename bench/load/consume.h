/* The fetch load: one connection, one Fetch in flight, from an offset on until enough bytes have come, starting over at the
 * high watermark. Every answer is walked batch by batch: offsets must follow each other, and the CRC-32C is checked if wished. */
#ifndef BENCH_LOAD_CONSUME_H
#define BENCH_LOAD_CONSUME_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/load/hist.h"

struct consume {
    const char *address;
    const char *topic;
    uint32_t partition;
    uint64_t offset;
    uint32_t fetch_bytes;
    uint64_t bytes;
    bool check_crc;
    int pid;
};

struct consumed {
    uint64_t requests;
    uint64_t bytes;
    uint64_t records;
    uint64_t next_offset;
    uint64_t ns;
    uint64_t cpu_ns;
    const char *wrong;
    struct hist latency;
};

bool consume_run(const struct consume *how, struct consumed *out);

#endif
