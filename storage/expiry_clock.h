/* How late it is for what expires by wall time: segments, tombstones, committed offsets, producer ids, transactional ids. Wall clocks jump (a set date, a
 * dead battery, a virtual machine that was moved), and what was dropped because of that is gone. So the wall clock is compared with the
 * monotonic one: where it runs more than half an hour ahead, nothing expires for a day, and the log says so. The monotonic one here is that which goes on
 * while the machine sleeps (clock_since_boot_ns): a laptop's nights are no jumps.
 *
 *   TRUSTED --more than half an hour ahead--> HELD --a day, or back within that--> TRUSTED
 *
 * A day later the new time is believed. A clock that goes back by more than that is believed at once: nothing expires early by that.
 * Over a restart there is no monotonic clock: the last wall time seen is kept in <data>/last-seen, and a gap is logged at the start.
 *
 * One per shard, each judges alone; the shard that `says` so logs it. Pure: the caller brings both clocks. */
#pragma once
#include "core/err.h"

struct expiry_clock {
    uint64_t trusted_ns; /* a moment at which both clocks were right */
    int64_t trusted_ms;
    bool held, says;
    uint64_t held_until_ns;
    int64_t held_ahead_ms; /* by so much it was ahead when the day began */
};
void expiry_clock_init(struct expiry_clock *c, uint64_t now_ns, int64_t wall_ms, bool says);
/* False: held, nothing may expire. */
bool expiry_clock_ask(struct expiry_clock *c, uint64_t now_ns, int64_t wall_ms, int64_t *out_ms) must_use;

/* --- over restarts; synchronous: at the start, or a job --- */
/* -1: none is known. */
int64_t expiry_clock_load(const char *data_dir);
/* Rewrites the file where it lies, so that it needs no room once it is there. */
enum err expiry_clock_save(const char *data_dir, int64_t wall_ms) must_use;
/* Logs a gap between the last time seen (-1: unknown) and now. */
void expiry_clock_say_gap(int64_t last_ms, int64_t wall_ms);
