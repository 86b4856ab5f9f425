/* A simulated administrator: deletes records while others write and read them, alters the settings of their topics, and adds
 * partitions to a topic of its own. In some worlds it does the one, in some the other, in some nothing.
 *
 * What was acknowledged must be there after every crash: the log start (oracle.h), the settings as DescribeConfigs shows them,
 * the number of partitions. What was not may be there or not. */
#pragma once
#include "tests/sim/world.h"

void keeper_begin(void);
/* The trouble is over: a few more requests, and it must learn what became of those without an answer. */
void keeper_finish(void);
bool keeper_done(void);
void keeper_quit(void);
void keeper_tell(char *out, size_t bytes);

/* Asks once more for all that it knows. */
void keeper_judge_begin(void);
bool keeper_judged(void);
void keeper_judge_quit(void);
