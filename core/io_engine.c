/* Chooses the engine, fills in the ops and hands them to it. The sockets' synchronous calls are in core/io_socket.c. */
#include "core/io.h"
#include "core/clock.h"
#include "core/io_engine.h"
#include "core/limits.h"
#include "core/threads.h"
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* --- the engine --- */

static bool options_fit(const struct io_options *o)
{
    return o->recv_bytes > 0 && o->recv_count > 0 && o->recv_count <= 1u << 15 &&
           (o->recv_count & (o->recv_count - 1)) == 0;
}

enum err io_open(struct io_options options, struct heap *heap, struct io **out_io, char *out_why)
{
    assert(heap && out_io && out_why);
    assert(options_fit(&options));
    out_why[0] = 0;
    if (options.engine == IO_ENGINE_EPOLL)
        return engine_epoll_open(options, heap, out_io, out_why);
    enum err err = engine_uring_open(options, heap, out_io, out_why);
    if (!err || options.engine == IO_ENGINE_IO_URING)
        return err;
    char ignored[IO_WHY_BYTES];
    return engine_epoll_open(options, heap, out_io, ignored);
}

void io_close_engine(struct io *io)
{
    assert(io && io->ops);
    io->ops->close(io);
}

const char *io_engine_name(const struct io *io)
{
    assert(io->ops->name);
    return io->ops->name;
}

static const struct {
    const char *name;
    uint32_t bits;
} feature_names[] = {
    {"defer", IO_FEATURE_DEFER},       {"pbuf", IO_FEATURE_PBUF},
    {"fixed", IO_FEATURE_FIXED},       {"files", IO_FEATURE_FILES},
    {"all", IO_FEATURE_ALL},           {"none", 0},
    {"msg_ring", IO_FEATURE_MSG_RING}, {"sync_thread", IO_FEATURE_SYNC_THREAD},
};

static bool add_feature(const char *at, size_t bytes, uint32_t *features)
{
    assert(at && features);
    for (size_t i = 0; i < COUNT_OF(feature_names); i++) {
        if (strlen(feature_names[i].name) == bytes && memcmp(feature_names[i].name, at, bytes) == 0) {
            *features |= feature_names[i].bits;
            return true;
        }
    }
    return false;
}

enum err io_features_parse(const char *text, uint32_t *out_features)
{
    assert(text && out_features);
    uint32_t features = 0;
    for (;;) {
        size_t bytes = strcspn(text, ",");
        if (!add_feature(text, bytes, &features))
            return ERR_INVALID;
        if (!text[bytes])
            break;
        text += bytes + 1;
    }
    *out_features = features;
    return ERR_NONE;
}

/* --- what both engines share --- */

enum err io_base_init(struct io *io, const struct io_ops *ops, struct heap *heap, const struct io_options *options,
                      int32_t (*execute)(struct io_op *op))
{
    assert(ops && heap && options && execute);
    assert(options->spin.most_ns == 0 || (options->now_ns && options->spin.has_work));
    *io = (struct io){
        .ops = ops, .heap = heap, .now_ns = options->now_ns, .watch = options->watch, .looks = options->spin};
    spin_init(&io->spin, options->spin.most_ns);
    list_init(&io->finished);
    io->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (io->wake_fd < 0)
        return err_from_errno(errno);
    enum err err = io_pool_init(&io->pool, heap, options->recv_bytes, options->recv_count);
    if (err)
        goto close_wake;
    err = io_helper_open("io-urgent", io->wake_fd, execute, &io->helpers[IO_URGENT]);
    if (err)
        goto close_pool;
    err = io_helper_open("io-background", io->wake_fd, execute, &io->helpers[IO_BACKGROUND]);
    if (err)
        goto close_urgent;
    return ERR_NONE;
close_urgent:
    io_helper_close(io->helpers[IO_URGENT]);
close_pool:
    io_pool_deinit(&io->pool);
close_wake:
    close(io->wake_fd);
    return err;
}

void io_base_deinit(struct io *io)
{
    assert(io->wake_fd >= 0);
    for (int class = 0; class < IO_CLASSES; class ++)
        io_helper_close(io->helpers[class]);
    io_pool_check(&io->pool);
    io_pool_deinit(&io->pool);
    close(io->wake_fd);
}

void io_base_submit(struct io *io, struct io_op *op)
{
    assert(op->done);
    assert(op->class < IO_CLASSES);
    io_helper_submit(io->helpers[op->class], op);
}

void io_base_reap(struct io *io)
{
    for (int class = 0; class < IO_CLASSES; class ++)
        io_helper_reap(io->helpers[class], &io->finished);
}

void io_base_waits(struct io *io)
{
    struct io_watch *w = io->watch;
    if (w && w->seen)
        stat_add(w->waits, thread_waits() - w->seen);
}

void io_base_tick(struct io *io, bool waited)
{
    if (io->watch && waited)
        io->watch->seen = thread_waits();
    if (io->now_ns)
        *io->now_ns = clock_now_ns();
}

bool io_base_has_finished(const struct io *io)
{
    bool finished = !list_empty(&io->finished);
    for (int class = 0; class < IO_CLASSES; class ++)
        finished = finished || io_helper_has_done(io->helpers[class]);
    return finished;
}

static void relax_processor(void)
{
#if defined __x86_64__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("yield");
#endif
}

bool io_base_look(struct io *io, uint64_t began_ns, uint64_t wait_ns, bool (*ready)(const struct io *io))
{
    assert(spin_wants(&io->spin));
    assert(ready);
    uint64_t most_ns = u64_min(wait_ns, io->spin.most_ns);
    bool found;
    stat_add(io->looks.looks, 1);
    while (!(found = ready(io) || io->looks.has_work(io->looks.arg)) && clock_now_ns() - began_ns < most_ns)
        relax_processor();
    found = found || most_ns == wait_ns;
    stat_add(io->looks.found, found);
    return found;
}

uint32_t io_base_finish(struct io *io, uint32_t max)
{
    assert(max > 0);
    uint32_t ran = 0;
    struct list *node;
    uint64_t until = io->spent + IO_BYTES_PER_TURN;
    while (ran < max && io->spent < until && (node = list_pop(&io->finished))) {
        struct io_op *op = container_of(node, struct io_op, link);
        op->done(op, op->res);
        ran++;
    }
    return ran;
}

uint64_t io_spin_ns(const struct io *io)
{
    assert(io->ops);
    return io->spin.most_ns;
}

/* --- files and memory --- */

void io_file_init(struct io_file *f, int fd)
{
    assert(fd >= 0 || fd == -1);
    *f = (struct io_file){.fd = fd, .slot = -1};
}

void io_file_attach(struct io *io, struct io_file *f)
{
    assert(f->fd >= 0);
    if (f->slot < 0)
        io->ops->attach(io, f);
}

void io_file_detach(struct io *io, struct io_file *f)
{
    assert(io && f);
    io->ops->detach(io, f);
    assert(f->slot < 0);
}

void io_close(struct io *io, struct io_file *f)
{
    assert(f->fd >= 0);
    io_file_detach(io, f);
    int failed = close(f->fd); /* of a socket that was shut down: nothing to wait for */
    assert(!failed || errno != EBADF);
    f->fd = -1;
}

enum err io_lock_attach(struct io *io, uint32_t lock, int fd)
{
    assert(fd >= 0);
    assert(lock < IO_LOCKS);
    return io->ops->lock_attach(io, lock, fd);
}

void io_slab_register(struct io *io, uint32_t slab, void *at, size_t bytes)
{
    assert(at && bytes > 0);
    assert(slab < IO_SLABS_MAX);
    io->ops->slab_register(io, slab, at, bytes);
    io->spent += bytes / 2; /* it faults in what was not there */
}

void io_slab_unregister(struct io *io, uint32_t slab)
{
    assert(slab < IO_SLABS_MAX);
    io->ops->slab_unregister(io, slab);
}

/* --- operations --- */

void io_start(struct io *io, struct io_op *op)
{
    assert(op->done);
    if (op->kind == IO_RECV_POOLED)
        op->len = io->pool.bytes;
    if (op->vector && op->len > IO_IOV_MAX)
        op->len = IO_IOV_MAX; /* short, as is allowed everywhere */
    io->ops->start(io, op);
}

void io_recv_put(struct io *io, void *at)
{
    assert(at);
    io->ops->recv_put(io, at);
}

/* --- the loop --- */

uint32_t io_run(struct io *io, uint64_t wait_ns)
{
    return io->ops->run(io, wait_ns);
}

void io_spend(struct io *io, size_t bytes)
{
    assert(io);
    assert(bytes <= UINT32_MAX);
    io->spent += bytes;
}

uint64_t io_spent(const struct io *io)
{
    assert(io);
    return io->spent;
}

void io_wake(struct io *from, struct io *to)
{
    assert(from != to);
    from->ops->wake(from, to);
}

void io_wake_external(struct io *to)
{
    assert(to->wake_fd >= 0);
    int before = errno; /* a signal handler must not change it */
    uint64_t one = 1;
    ssize_t n = write(to->wake_fd, &one, sizeof one);
    (void)n; /* fails only when 2^64 - 2 wakes are already waiting */
    errno = before;
}
