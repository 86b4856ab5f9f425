/* Disk operations as blocking calls, for a helper thread. Inside core/io* only. */
#pragma once
#include "core/io.h"

/* Runs a disk op or a job to its end, on the helper thread, and returns its res. */
int32_t io_disk_execute(struct io_op *op);
/* What a durable write or a flush came to that the kernel answered with `res`: -EIO where that says it is done, but the file system was shut
 * down meanwhile (fs_is_up). On any thread: it waits for nothing. */
int32_t io_disk_confirm(const struct io_op *op, int32_t res);
