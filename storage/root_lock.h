/* The data folder's lock: flock(2) on the folder itself and on <data>/.lock, so that deleting the file lets no second broker in, and a
 * release that knows only the file is kept out too. And whether the folder is still the one that was locked. */
#pragma once
#include "core/err.h"

struct root;

/* Waits up to 10 s for a broker that leaves, says so, and touches nothing before. why[CONFIG_WHY_BYTES]. */
enum err root_lock_folder(struct root *r, char *why) must_use; /* it must exist */
enum err root_lock_file(struct root *r, char *why) must_use;   /* made if need be */
