/* Named workloads: see workloads.h. */
#include "bench/load/workloads.h"

#include <stdio.h>
#include <string.h>

enum { KIB = 1024, MIB = 1024 * KIB };
#define LINGER_MS(ms) ((ms)*1000000ull)

struct workload {
    const char *name, *what;
    uint32_t partitions, connections, fan_out, record_bytes, batch_bytes, in_flight;
    uint64_t linger_ns;
    double rate;
    uint64_t backlog_bytes;
};

static const struct workload workloads[] = {
    {"simple", "simple-workload: 10 partitions, one producer, so to one of them, 10,000 records/s of 1 KiB", 10, 1, 1,
     KIB, 128 * KIB, 5, LINGER_MS(1), 10000, 0},
    {"1-topic-1-partition-1kb", "50,000 records/s of 1 KiB to one partition, read by one", 1, 1, 1, KIB, 128 * KIB, 5,
     LINGER_MS(1), 50000, 0},
    {"1-topic-16-partitions-1kb", "50,000 records/s of 1 KiB to 16 partitions, read by one", 16, 16, 1, KIB, 128 * KIB,
     5, LINGER_MS(1), 50000, 0},
    {"1-topic-100-partitions-1kb-4p-4c-200k", "200,000 records/s of 1 KiB to 100 partitions, a producer each", 100, 100,
     1, KIB, 128 * KIB, 5, LINGER_MS(1), 200000, 0},
    {"max-rate-1-topic-1-partition-1p-1c-1kb", "as fast as it goes, 1 KiB records in batches of 1 MiB", 1, 1, 1, KIB,
     MIB, 5, 0, 0, 0},
    {"max-rate-1-topic-1-partition-1p-1c-100b", "as fast as it goes, 100 B records in batches of 1 MiB", 1, 1, 1, 100,
     MIB, 5, 0, 0, 0},
    {"max-rate-1-topic-10-partitions-10p-10c-1kb", "as fast as it goes, 10 producers, 10 partitions", 10, 10, 1, KIB,
     128 * KIB, 5, 0, 0, 0},
    {"backlog-1-topic-1-partition-1kb", "2 GB are written, then read from the start", 1, 1, 1, KIB, MIB, 5, 0, 0,
     2000000000},
    {"one-in-flight", "one record of 1 KiB at a time, each waits for its ack", 1, 1, 0, KIB - 96, 256, 1, 0, 0, 0},
    /* No linger: a record goes at once, and those that waited for the window go together. */
    {"end-to-end-1k", "1,000 records/s of 1 KiB, no linger, from due to read", 1, 1, 1, KIB, 16 * KIB, 5, 0, 1000, 0},
    {"end-to-end-10k", "10,000 records/s of 1 KiB, no linger, from due to read", 1, 1, 1, KIB, 16 * KIB, 5, 0, 10000,
     0},
    {"fan-out-10", "5,000 records/s of 1 KiB, ten readers of one partition", 1, 1, 10, KIB, 128 * KIB, 5, LINGER_MS(1),
     5000, 0},
    {"telemetry",
     "1,000 connections that send 20 records/s of 200 B each, up to three in a batch, linger 100 ms, 12 partitions", 12,
     1000, 1, 200, 3 * 224 + 61, 1, LINGER_MS(100), 20000, 0},
};

static void apply(const struct workload *w, struct plan *p)
{
    p->workload = w->name;
    p->partitions = w->partitions;
    p->connections = w->connections;
    p->fan_out = w->fan_out;
    p->record_bytes = w->record_bytes;
    p->batch_bytes = w->batch_bytes;
    p->in_flight = w->in_flight;
    p->linger_ns = w->linger_ns;
    p->rate = w->rate;
    p->backlog_bytes = w->backlog_bytes;
}

bool workload_apply(const char *name, struct plan *plan)
{
    for (unsigned i = 0; i < sizeof workloads / sizeof *workloads; i++) {
        if (strcmp(name, workloads[i].name) == 0) {
            apply(&workloads[i], plan);
            return true;
        }
    }
    return false;
}

void workload_list(void)
{
    for (unsigned i = 0; i < sizeof workloads / sizeof *workloads; i++)
        printf("  %-44s %s\n", workloads[i].name, workloads[i].what);
}
