/* Simulated readers: fetch from offset 0 on, follow, and now and then look again at what they have read. The judge is one
 * that reads everything once more when all is over. */
#pragma once
#include "tests/sim/world.h"

void readers_begin(void);
/* Have all that follow reached the end of everything? */
bool readers_caught_up(void);
void readers_quit(void);
/* For the message of a seed that is stuck. */
void readers_tell(char *out, size_t bytes);

void judge_begin(void);
bool judge_done(void);
void judge_quit(void);
