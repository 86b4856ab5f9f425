/* Simulated members of consumer groups: the classic protocol with its real bytes. They join, lead, assign, sync, heartbeat, fetch
 * and commit offsets, on one connection or two; they leave, crash, and stop in the middle of everything for longer than a session. Some
 * are static. group_oracle.h says what must be true of it.
 *
 *            +---------------- connection lost, coordinator gone ---------------+
 *            v                                                                  |
 *   OUT -> FINDING -> JOINING -> SYNCING -> FETCHING (offsets) -> STABLE -------+
 *                        ^                                          |
 *                        +----------- a rebalance, an expulsion ----+ */
#pragma once
#include "tests/sim/world.h"

void members_begin(void); /* in some worlds there are none */
/* The trouble is over: from now on no member misbehaves, and every group must become stable within its time-outs, consume
 * everything, commit it, and stay in that generation. */
void members_finish(void);
bool members_done(void);
void members_quit(void);
void members_tell(char *out, size_t bytes);

/* Asks for everything that was committed once more. */
void members_judge_begin(void);
bool members_judged(void);
void members_judge_quit(void);
