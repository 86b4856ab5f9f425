/* `odradek check`, `odradek repair` (storage/check/check.h) and `odradek adopt` (storage/adopt/adopt.h) on the command line: a line for each finding on stdout, then a count. */
#pragma once
#include "core/mem.h"
#include "net/options.h"

/* The exit code: 0 nothing is wrong, or it was repaired; 1 check found faults; 2 it could not be done, and stderr says why. */
int inspect_folder(bool repair, struct heap *heap, const struct broker_config *config);
/* 0: all was taken; 1: something was refused; 2: it could not be done, or was cut short. */
int inspect_adopt(const struct options *options, struct heap *heap, struct broker_config *config);
