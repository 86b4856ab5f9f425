/* What the simulated engine shows to the rest of the simulator. */
#pragma once
#include "core/io.h"
#include "tests/sim/world.h"

void door_begin(void);
/* The disk answers again: what is under way ends soon. */
void door_heal(void);
/* The machine sleeps for so long: so does what is under way. */
void door_suspend(uint64_t ns);
bool door_in_job(void);
/* When this shard's engine wants its next turn; UINT64_MAX: when something happens. */
uint64_t door_next_ns(const struct io *io);
/* Its done runs at or after that time, with this res. */
void door_finish(struct io *io, struct io_op *op, int32_t res, uint64_t at_ns);
/* A receive buffer; NULL: all are out. */
void *door_recv_get(struct io *io);
void door_recv_put(struct io *io, const void *at);
/* The broker's process ends now: its operations in flight land, or do not, or tear. Before its memory goes. */
void door_broker_died(enum crash_kind kind);
uint64_t door_pending(const struct io *io);
