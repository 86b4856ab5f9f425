/* Simulated producers. An idempotent one keeps at most five batches per partition without an ack, sends them again in their
 * order after an error or a lost connection, and never gives one up; a plain one gives up or sends again, as it likes. */
#pragma once
#include "tests/sim/world.h"

void producers_sim_begin(void);
/* From now on each has only a few batches left to send. */
void producers_sim_finish(void);
bool producers_sim_done(void);
void producers_sim_quit(void);
/* For the message of a seed that is stuck. */
void producers_sim_tell(char *out, size_t bytes);
