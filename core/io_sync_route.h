/* Which way a small durable write goes, with io_uring: through the ring (RWF_DSYNC), or to a thread that blocks in pwritev2.
 *
 * A durable write through the ring ends in a kernel worker of the processor that takes the disk's interrupts. Where another program keeps that
 * processor busy, each write waits for the scheduler's slices, some 4 ms in place of 0.1 (Linux 6.18); a thread can run on any idle
 * processor, but does one write after the other, and each costs two wakes and half as much CPU again. So the ring is taken unless
 * that makes writes wait; both are measured while they work:
 *
 *          the ring --the thread takes less than a third of its time--> the thread
 *                   <-------------half of it and more------------------
 *
 *   a write that finds none before it on its way is timed; the other way is tried after the first few, then now and then: each 64th
 *   write, and ever more rarely (to each 4096th) while it takes more than twice as long
 *   a disk has hiccups, and a file's first write is slow: a write that takes longer than its way's mean moves that by a quarter of it
 *   at most, one that takes less by half of the difference
 *   where SYNC_CROWD writes are in the ring, the others go there too: a turn of the thread costs several times the CPU, to hurry one of many
 *   the thread never has more than one write: what stands behind one whose disk stands still could not be acknowledged, and may be of
 *   another disk
 *
 * Nothing is written for the sake of measuring, at the start neither: beside a busy program ten writes of a life wait for the scheduler
 * before the way is known, 25 ms together, and a measurement would have to wait for as many (README.md has the figures).
 *
 * Pure: no clock, no kernel. Inside core/io_uring* only. */
#pragma once
#include "core/base.h"

enum sync_way { SYNC_RING, SYNC_THREAD, SYNC_WAYS };
enum {
    SYNC_PROBE_FIRST = 8,
    SYNC_PROBE_MIN = 64,
    SYNC_PROBE_MAX = 4096,
    SYNC_CROWD = 8,
    SYNC_BYTES_MAX = 128 * 1024 /* larger ones go through the ring */
};

struct sync_route {
    uint64_t took_ns[SYNC_WAYS]; /* a moving mean; 0: not known yet */
    uint32_t out[SYNC_WAYS];     /* writes under way */
    enum sync_way used;          /* by the last choice that was no trial */
    uint32_t since_trial, trial_every;
    const void *timed; /* the write that is timed; NULL: none */
    enum sync_way timed_way;
    uint64_t timed_from_ns;
};
void sync_route_init(struct sync_route *r);
/* A write begins, now: the way it takes. `write` names it until it ends. */
enum sync_way sync_route_begin(struct sync_route *r, const void *write, uint64_t now_ns);
void sync_route_end(struct sync_route *r, const void *write, enum sync_way way, uint64_t now_ns);
/* Both ways are measured: `used` is a choice. */
bool sync_route_is_known(const struct sync_route *r);
void sync_route_check(const struct sync_route *r);
