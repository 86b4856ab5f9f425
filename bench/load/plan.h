/* What a run of odradek-bench is asked to do. Filled by the command line (odradek_bench.c), read by everybody. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    PLAN_CONFIGS_MAX = 32,
    PLAN_THREADS_MAX = 16,
    PLAN_CONNECTIONS_MAX = 20000,
    PLAN_PARTITIONS_MAX = 10000,
    PLAN_IN_FLIGHT_MAX = 64
};

struct plan {
    const char *address; /* host:port of one broker; the others come from its metadata */
    const char *topic;
    const char *workload;                      /* its name, for the report */
    const char *label;                         /* the broker's name in the report */
    const char *configs[PLAN_CONFIGS_MAX + 1]; /* "key=value", NULL at the end */
    uint32_t partitions, connections, threads;
    uint32_t fan_out; /* how many readers each partition has */
    int16_t acks;
    uint8_t codec; /* Kafka's number: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd */
    bool idempotent;
    uint32_t record_bytes; /* of a value */
    uint32_t keys;         /* distinct keys; 0: no keys */
    uint32_t batch_bytes;  /* a batch goes when it is that large, or its first record is linger_ns old */
    uint32_t in_flight;    /* batches of a connection that are not acknowledged yet */
    uint32_t fetch_bytes, fetch_wait_ms;
    uint64_t linger_ns;
    double rate; /* records a second, all connections together: an open loop. 0: as fast as the window allows */
    double warmup_s, duration_s;
    uint64_t backlog_bytes; /* written first; then it is read, beside the load if there is a rate */
    bool ramp;              /* looks for the highest rate that is sustained */
    double ramp_p99_ms;     /* and what it may cost */
    const char *data;       /* the broker's data folder, to see that what is acknowledged is on the disk (durable.h) */
    pid_t pid;              /* the broker's process, on this machine; 0: not known */
    int cpu;                /* the first thread's processor; -1: anywhere */
    bool spin;              /* do not sleep while something is due within 50 us */
};
