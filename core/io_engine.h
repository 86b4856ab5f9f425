/* What an engine is to core/io_engine.c: a struct io at the head of its own, with a table of what it does. Inside core/io*
 * only. core/io_engine.c fills in the op; `start` must not run its done. */
#pragma once
#include "core/io.h"
#include "core/io_helper.h"
#include "core/io_pool.h"
#include "core/spin.h"

enum { IO_WHY_BYTES = 256, IO_IOV_MAX = 1024 /* the kernel's bound on pieces */ };

struct io_ops {
    const char *name;
    void (*close)(struct io *io);
    void (*attach)(struct io *io, struct io_file *f);
    void (*detach)(struct io *io, struct io_file *f); /* also before every close */
    enum err (*lock_attach)(struct io *io, uint32_t lock, int fd);
    void (*slab_register)(struct io *io, uint32_t slab, void *at, size_t bytes);
    void (*slab_unregister)(struct io *io, uint32_t slab);
    void (*start)(struct io *io, struct io_op *op);
    void (*recv_put)(struct io *io, void *at);
    uint32_t (*run)(struct io *io, uint64_t wait_ns);
    void (*wake)(struct io *from, struct io *to);
};

struct io {
    const struct io_ops *ops;
    struct heap *heap;
    struct io_helper *helpers[IO_CLASSES];
    struct io_pool pool;
    uint64_t spent;       /* io_spend */
    struct list finished; /* ops with their res set, whose done is due */
    int wake_fd;          /* eventfd, blocking: written to wake the loop */
    uint64_t *now_ns;     /* io_options */
    struct io_watch *watch;
    struct io_spin looks;
    struct spin spin;
};

/* The parts that both engines share. On failure nothing is left open. */
enum err io_base_init(struct io *io, const struct io_ops *ops, struct heap *heap, const struct io_options *options,
                      int32_t (*execute)(struct io_op *op)) must_use;
void io_base_deinit(struct io *io);
/* A job, or with epoll a disk operation, goes to its class's helper. */
void io_base_submit(struct io *io, struct io_op *op);
/* Have the helpers finished something? */
bool io_base_has_finished(const struct io *io);
/* Moves what the helpers have finished to `finished`. */
void io_base_reap(struct io *io);
/* Before waiting for longer than no time at all, and after any. */
void io_base_waits(struct io *io);
void io_base_tick(struct io *io, bool waited);
/* Looks, until `ready` or whoever runs the engine has work, the next timer is due or it has been long enough: false. What is to be submitted was. */
bool io_base_look(struct io *io, uint64_t began_ns, uint64_t wait_ns, bool (*ready)(const struct io *io));
/* Runs the done of at most `max` finished ops. */
uint32_t io_base_finish(struct io *io, uint32_t max);

/* On failure out_why is a sentence. */
enum err engine_uring_open(struct io_options options, struct heap *heap, struct io **out_io, char *out_why) must_use;
enum err engine_epoll_open(struct io_options options, struct heap *heap, struct io **out_io, char *out_why) must_use;
