/* One thread of odradek-bench: its connections, what is due when, and what it measured.
 *
 *   due (a heap of sources by the time of their next batch) --> send        epoll --> answers, batches --> histograms
 *
 * The thread measures itself: how late a batch went that nothing but the thread held up, and how long a turn took, during which an answer
 * may have waited unread. What it spoiled is not printed (outcome.h). */
#pragma once
#include "bench/load/hist.h"
#include "bench/load/plan.h"
#include "bench/load/records.h"

#include <pthread.h>
#include <stdatomic.h>

struct source;
struct sink;

enum phase { PHASE_WARMUP, PHASE_MEASURE, PHASE_DRAIN, PHASE_END };

/* What counts, of the records that were due while the phase was MEASURE. */
struct tally {
    uint64_t sent_records, acked_records, acked_bytes, requests;
    uint64_t read_records, read_bytes;
    struct hist from_due, from_send, end_to_end;
    struct hist late, turns; /* the thread's own: see above */
};
/* One second: what came in it, whatever was due when. */
struct second {
    uint64_t acked_records, read_records, read_bytes;
    struct hist from_due, end_to_end;
};

struct driver {
    const struct plan *plan;
    double rate; /* of this run: a ramp goes through several */
    _Atomic enum phase *phase;
    _Atomic uint64_t *measure_from_ns; /* when the phase became MEASURE, */
    _Atomic uint64_t *measure_to_ns;   /* and when it ended: what was due later does not count */
    pthread_t thread;
    int epoll, cpu;
    struct records records;
    struct source *sources;
    uint32_t source_count;
    struct sink *sinks;
    uint32_t sink_count;
    struct source **heap;
    uint32_t heap_count;
    uint8_t *scratch;
    uint64_t now_ns;
    struct tally tally;
    /* Two seconds: one is filled, the other read by the thread that asked for the change. */
    struct second seconds[2];
    _Atomic uint64_t second_wanted, second_filled; /* the numbers; filled is the thread's */
    /* All records, from the first one on, in any phase: what must be there in the end. */
    _Atomic uint64_t all_acked, all_read;
    _Atomic uint64_t in_flight;
    _Atomic bool failed;
    char why[256];
    uint64_t cpu_ns; /* what the thread used while it was measured */
};

enum { DRIVER_SCRATCH_BYTES = 1 << 20 };

/* --- for sources and sinks --- */
struct second *driver_second(struct driver *d);
bool driver_counts(const struct driver *d, uint64_t due_ns);
void driver_fail(struct driver *d, const char *what, int error);
/* The source is due at that time; once it is among the due ones it is not put there again. */
void driver_due(struct driver *d, struct source *s, uint64_t at_ns);
/* Tells epoll whether the socket must be awaited for writing too. */
void driver_await_room(struct driver *d, int fd, void *who, bool writing);

/* --- life --- */
/* What a registered connection is: the first member of source and sink. */
enum party { PARTY_SOURCE, PARTY_SINK };
bool driver_start(struct driver *d);
