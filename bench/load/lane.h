/* A lane is one connection of the load and what is in flight on it: a pool of ready-made requests that are sent in turn, the
 * times at which they were sent and should have been sent, and the checks on every answer (right correlation id, no
 * error, next offset). */
#ifndef BENCH_LOAD_LANE_H
#define BENCH_LOAD_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/load/hist.h"
#include "bench/load/proto.h"

enum { LANE_IN_BYTES = 64 << 10, LANE_WINDOW_MAX = 1024, SAMPLES = 64 };

struct load {
    const struct proto *proto;
    const char *address;
    const char *topic;
    uint32_t partitions;
    int16_t acks;
    uint32_t lanes;
    uint32_t window;
    uint32_t batch_bytes;
    uint32_t record_bytes;
    /* All lanes together; the first `warmup` of `requests` are not measured. */
    uint64_t requests;
    uint64_t warmup;
    /* Put all requests that are due into one sendmsg, instead of one each as clients do. */
    bool coalesce;
    /* Requests per second of an open loop, 0 for a closed one. */
    double rate;
    /* Of an open loop with one lane: sleep while nothing is due soon, as a client does, instead of spinning. */
    bool sleep;
    /* Where the bare loop writes, to read it back. */
    const char *file;
    int pid;
    /* The peer is going to be killed: a lost connection ends the run well. */
    bool may_be_cut;
};

/* One answered request, kept to be read back. */
struct sample {
    uint32_t partition;
    uint64_t place;
    /* The batch that was sent; owned by the lane's pool. */
    const uint8_t *batch;
    uint32_t bytes;
};

struct totals {
    uint64_t sent;
    uint64_t acked;
    uint64_t bytes;
    uint64_t started_ns;
    uint64_t ended_ns;
    uint64_t cpu_from_ns;
    uint64_t cpu_to_ns;
    uint64_t seen;
    uint64_t rng;
    const char *wrong;
    struct hist from_send;
    struct hist from_intended;
    unsigned samples;
    struct sample sample[SAMPLES];
};

struct lane {
    const struct load *load;
    struct totals *totals;
    int fd;
    uint32_t index;
    uint32_t partition;
    uint64_t to_send;
    uint64_t sent;
    uint64_t acked;
    /* Where the next batch must land; checked only where this lane is alone on its partition. */
    uint64_t next_place;
    /* Open loop: when request 0 of lane 0 is due, and the time between two requests of this lane. */
    uint64_t due_from_ns;
    double due_step_ns;
    /* The pool: `pool` requests (a power of two) of `stride` bytes each. */
    uint32_t pool;
    size_t stride;
    size_t head_bytes;
    uint32_t batch_bytes;
    uint32_t batch_records;
    uint8_t *requests;
    uint64_t sent_ns[LANE_WINDOW_MAX];
    size_t in_len;
    uint8_t in[LANE_IN_BYTES];
};

/* Connects, builds the pool and has the first request stored (retried for 10 s while the topic appears). */
bool lane_open(struct lane *l, const struct load *load, struct totals *totals, uint32_t index);
void lane_close(struct lane *l);
/* Sends what is due and fits in the window. */
bool lane_fill(struct lane *l, uint64_t now_ns);
/* Open loop: when the next request is due; UINT64_MAX if none is, or the window is full. */
uint64_t lane_due_ns(const struct lane *l);
/* Receives (waiting only if `wait`) and takes every whole answer. False when the connection or an answer is broken. */
bool lane_drain(struct lane *l, bool wait);

#endif
