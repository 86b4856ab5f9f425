/* A client of topics that lose records by rule (keyed_truth.h): it makes them, writes records with keys, some of them tombstones, and
 * reads them again from their start. */
#pragma once
#include "tests/sim/world.h"

void keyed_begin(void);
/* From now on: some more records for each log, and then all of it is read once more. */
void keyed_finish(void);
bool keyed_done(void);
void keyed_quit(void);
void keyed_tell(char *out, size_t bytes);
/* Everything is read once more. */
void keyed_judge_begin(void);
bool keyed_judged(void);
