/* The disk side of the epoll engine. Inside core/io* only. */
#pragma once
#include "core/io.h"

/* Runs a disk op or a job to its end, on the helper thread, and returns its res. */
int32_t io_epoll_execute(struct io_op *op);
