/* Disk operations as blocking calls, for a helper thread. Inside core/io* only. */
#pragma once
#include "core/io.h"

/* Runs a disk op or a job to its end, on the helper thread, and returns its res. */
int32_t io_disk_execute(struct io_op *op);
