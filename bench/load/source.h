/* A producer: one connection, one partition, records due one after the other, up to `in_flight` batches unacknowledged.
 *
 * Open loop: record k is due at start + k * step, whatever became of those before. A batch goes when it is full or its first record has
 * waited for linger, as soon as the window has room. Closed loop: full batches, as fast as the window allows. */
#pragma once
#include "bench/load/driver.h"
#include "bench/load/flow.h"

struct sent_batch {
    double first_due_ns;
    uint64_t sent_ns;
    uint32_t records, bytes;
};
struct source {
    enum party party; /* first: see driver.h */
    struct driver *driver;
    struct flow flow;
    uint32_t partition;
    bool waits_for_room; /* of the socket */
    uint64_t due_count;  /* records that went into batches */
    double start_ns, step_ns;
    uint64_t left; /* records still to be sent; UINT64_MAX: no end */
    int64_t producer_id;
    int16_t epoch;
    int32_t sequence;
    struct sent_batch sent[PLAN_IN_FLIGHT_MAX];
    uint32_t sent_from, sent_count, next_correlation;
    bool was_full; /* the window: what goes late now is the broker's doing */
    bool in_heap;
    uint64_t heap_ns;
    uint8_t head[512];
};
bool source_open(struct source *s, struct driver *d, const char *address, uint32_t partition);
void source_close(struct source *s);
/* Begins: its first record is due then. `records`: how many, or UINT64_MAX. */
void source_begin(struct source *s, uint64_t start_ns, double step_ns, uint64_t records);
/* From the heap, at its time. */
void source_go(struct source *s);
void source_ready(struct source *s, uint32_t events);
