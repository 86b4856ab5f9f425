/* A client that makes a topic, writes to it, deletes it, and makes it again under the same name. What it must find: a topic is
 * there once its creation was acknowledged and gone once its deletion was, across every crash; each has an id of its own; a new
 * one is empty. */
#pragma once
#include "tests/sim/world.h"

void turnover_begin(void); /* in some worlds it does nothing */
/* From now on one more round must succeed. */
void turnover_finish(void);
bool turnover_done(void);
void turnover_quit(void);
