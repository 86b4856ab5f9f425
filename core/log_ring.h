/* Log lines leave through a ring: the thread that logs puts the line there and goes on, one thread writes them to standard error, in the
 * order in which they were put. So a pipe that nobody reads, or a terminal that is stopped, never stops a shard.
 *
 *   shards, helpers --> [ 1024 slots of 512 bytes ] --> writer --> write(2), a call per line
 *
 * The ring is bounded. Where it is full, lines are dropped and counted, and once there is room one line says how many. What was put
 * is written before a clean end (log_ring_stop) and before a failed assertion ends the process, unless that takes too long: a
 * reader that has stopped must not keep us either. */
#pragma once
#include "core/err.h"

/* Starts the writer; until then, and after the stop, log lines are written where they come from. */
enum err log_ring_start(void) must_use;
void log_ring_stop(void);
/* Waits until what was put is written, at most a second. */
void log_ring_flush(void);
