/* A thread of a shard that may block: the jobs of one class, and with epoll all disk operations beside the urgent ones. It takes
 * ops in the order in which they were submitted. Inside core/io* only; all functions but the helper's own run on the shard's
 * thread. */
#pragma once
#include "core/io.h"

struct io_helper;

/* `execute` runs on the helper thread and returns the op's res. After finished ops `notify_fd` (an eventfd) is written. */
enum err io_helper_open(const char *name, int notify_fd, int32_t (*execute)(struct io_op *op),
                        struct io_helper **out_helper) must_use;
/* Executes what was submitted, then ends the thread. The ops' done is not called any more. */
void io_helper_close(struct io_helper *h);
void io_helper_submit(struct io_helper *h, struct io_op *op);
/* Is there something to reap? */
bool io_helper_has_done(const struct io_helper *h);
/* Moves finished ops, their res set, to the end of `finished`. */
void io_helper_reap(struct io_helper *h, struct list *finished);
