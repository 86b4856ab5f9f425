/* What the last life of the data folder left in shared memory is written to its logs, as the kernel would have written what was submitted
 * (storage/log/redo.h has the format and what is taken). Before anything of a log is read, with nobody else at work; it may be cut short
 * and begun again. Nothing is synced: recovery syncs what it finds. */
#pragma once
#include "storage/log/redo.h"

struct root;

/* `fd`: the file. Records that are in doubt are left out, and named. ERR_IO, ERR_NO_SPACE, ...: the machine failed, and what was
 * acknowledged may be there alone: try again. */
enum err redo_replay(const struct root *r, int fd, const struct redo_header *h) must_use;
