/* The world of one seed: its clock, its dice, its troubles. Everything random that happens in a run comes from sim.rng, so a
 * seed is a run. The hash takes in every event in order: two runs of a seed have the same hash, or something outside the
 * doors had a say.
 *
 * The broker is killed by a longjmp out of whatever it is doing: every door calls world_door(), which counts down to the
 * crash. Its memory is all in heaps and regions, which broker_kill() frees. */
#pragma once
#include "core/clock.h"
#include "core/rng.h"
#include "core/base.h"
#include <setjmp.h>

enum crash_kind { CRASH_KILL, CRASH_POWER };
enum world_phase {
    PHASE_TROUBLE, /* faults, crashes */
    PHASE_HEALED,  /* no faults any more: everything must make progress */
    PHASE_JUDGE,   /* everything is read back */
};

/* Faults in turn (--fail-io and the like): in a course without dice for trouble the places where something may fail are
 * counted, and at one of them it does: once, or from there on until the trouble ends. */
enum fault_kind {
    FAULT_NONE,
    FAULT_IO,     /* EIO */
    FAULT_ROOM,   /* ENOSPC, where something grows */
    FAULT_OPEN,   /* EMFILE */
    FAULT_MEMORY, /* heaps, pools and regions */
};
struct fault {
    enum fault_kind kind;
    uint64_t at, seen; /* at: which place fails, 0: none */
    bool for_good;
};

/* What kind of world this seed is. Rates are chances in a million. */
struct knobs {
    uint16_t shards;
    bool direct, allocates, power_cuts, clock_steps;
    uint32_t files_max;
    uint64_t disk_ns_min, disk_ns_max; /* of one operation */
    uint32_t stall_rate;               /* an operation takes up to stall_ns */
    uint64_t stall_ns;
    uint32_t short_rate; /* short reads and writes */
    uint32_t eio_rate;
    uint32_t full_periods; /* how often the disk is full for a while */
    uint32_t poor_periods; /* and memory and descriptors are scarce: refused then at these rates */
    uint32_t memory_rate, files_rate;
    uint64_t net_ns_max;
    uint32_t cut_rate;            /* per piece that arrives */
    uint32_t crashes;             /* at most so many during the trouble */
    uint32_t crash_at_ack_rate;   /* a crash right after a client saw an ack */
    uint32_t crash_in_start_rate; /* a crash while the broker starts */
    uint32_t crash_at_rename_rate;
    uint32_t end_early_rate; /* a crash or a clean stop while the broker has just started */
    uint64_t slow_start_ns;  /* jobs take longer for so long after a start: much is unrecovered while requests come */
    uint32_t pauses;         /* the process stands still for a while, as under SIGSTOP, or the machine is suspended */
    bool reshards;           /* each start has another number of shards */
    bool per_core;           /* each shard is shown as a node of its own */
    uint64_t trouble_ns;
    uint32_t topics, idempotent, plain, readers, batches;
    uint32_t groups, members;                   /* members of each group */
    bool trims, alters;                         /* what the keeper does */
    bool shared, shared_survives, stale_copies; /* crash.route=shm; shared.h */
    uint64_t keeper_ns;                         /* at most so long between two of its requests */
};

/* Counted over all seeds of a run. */
struct totals {
    uint64_t seeds, acked_batches, acked_duplicates, compared_records, reads, kills, power_cuts, start_crashes,
        clean_stops, conn_cuts, eio, full, short_ios, memory_refusals, file_refusals, resent_batches, offline,
        lost_allowed, assignments, commits, fetched_commits, refused_commits, expulsions, trims, out_of_range,
        alterations, shown_settings, dropped, compacted, committed, aborted, fenced, late_ends, late_commits, chained,
        skipped, replayed, stale, zeroed;
};

struct world {
    uint64_t seed, now_ns, hash, steps;
    int64_t wall_ms;
    uint64_t boots; /* power cuts of this world so far */
    uint64_t asleep_ns,
        awake_at_ns; /* so long the machine was suspended: its monotonic clock stood; the last time until then */
    struct fault fault;
    struct rng rng;
    struct knobs knobs;
    enum world_phase phase;
    bool tracing, full;     /* full: the disk has no room now */
    bool scarce, poor;      /* scarce: more worlds are poor; poor: this one is now */
    bool crashable;         /* a broker runs: sim.on_crash is set */
    uint64_t crash_in;      /* doors until the crash, 0: none set */
    uint64_t slow_until_ns; /* jobs are slow until then */
    enum crash_kind crash_kind;
    jmp_buf on_crash, on_fail;
    char why[512];     /* of the failure */
    char offline[400]; /* the first log line of a partition that went offline without a reason */
    struct totals totals;
};
extern struct world sim;

/* Sets everything but `tracing` and the totals; rolls the knobs. */
void world_begin(uint64_t seed);
/* At each door: here the broker may die. */
void world_door(void);
/* The broker dies now; only while one runs. */
_Noreturn void world_crash(enum crash_kind kind);
/* The seed has failed; does not return. */
_Noreturn void world_fail(const char *fmt, ...) printf_like(1, 2);
#define world_check(ok, ...) ((ok) ? (void)0 : world_fail(__VA_ARGS__))
/* Into the hash, and onto stdout when tracing. */
void world_note(const char *fmt, ...) printf_like(1, 2);
/* Into the hash alone: cheap. */
void world_mix(uint64_t a, uint64_t b);
void world_mix_bytes(const void *at, size_t bytes);

static inline uint64_t dice(uint64_t n) /* [0, n) */
{
    return n ? rng_below(&sim.rng, n) : 0;
}
static inline uint64_t dice_between(uint64_t low, uint64_t high) /* both included */
{
    return low + dice(high - low + 1);
}
static inline bool chance(uint32_t in_a_million)
{
    return in_a_million && dice(1000000) < in_a_million;
}
static inline bool trouble(void)
{
    return sim.phase == PHASE_TROUBLE;
}
/* Is this one of the places of --fail-..., and does it fail? */
bool world_fault(enum fault_kind kind);
/* What may have happened to this world, drawn or in turn: the disk failed; it was full; memory or descriptors were refused. */
static inline bool world_disk_fails(void)
{
    return sim.knobs.eio_rate || sim.fault.kind == FAULT_IO;
}
static inline bool world_disk_fills(void)
{
    return sim.knobs.full_periods || sim.fault.kind == FAULT_ROOM;
}
static inline bool world_runs_short(void)
{
    return sim.knobs.poor_periods || sim.fault.kind == FAULT_OPEN || sim.fault.kind == FAULT_MEMORY;
}
/* Nothing steps the wall clock: ages are what they seem. */
static inline bool world_clock_is_good(void)
{
    return !sim.knobs.clock_steps && !sim.knobs.pauses;
}
/* Does this operation on the disk fail? Is this request for memory refused, this one for a descriptor? */
bool world_breaks(void);
bool world_refuses_memory(void);
bool world_refuses_file(void);

/* --- events: what happens later outside the broker --- */
struct event {
    uint64_t at_ns, order;
    void (*run)(void *arg);
    void *arg;
};
void events_begin(void);
/* The arg must stay; a stale event is its owner's to recognise. */
void event_at(uint64_t at_ns, void (*run)(void *arg), void *arg);
uint64_t events_next(void); /* UINT64_MAX: none */
void events_run_one(void);
static inline void event_in(uint64_t ns, void (*run)(void *arg), void *arg)
{
    event_at(sim.now_ns + ns, run, arg);
}

/* --- memory of the world itself (clients, oracle): freed at the end of a seed --- */
void *world_alloc(size_t bytes); /* zeroed, never NULL */
void *world_grow(void *old, size_t bytes);
void world_free(void *at);
/* Everything of the broker: heaps and regions that are still open. */
struct heap *world_own_heap(void); /* which is never short */
void world_free_broker(void);
void world_free_all(void);
