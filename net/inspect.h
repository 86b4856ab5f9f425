/* `odradek check` and `odradek repair` on the command line (storage/check/check.h): a line for each finding on stdout, then a count. */
#pragma once
#include "core/mem.h"
#include "storage/config/broker_config.h"

/* The exit code: 0 nothing is wrong, or it was repaired; 1 check found faults; 2 it could not be done, and stderr says why. */
int inspect_folder(bool repair, struct heap *heap, const struct broker_config *config);
