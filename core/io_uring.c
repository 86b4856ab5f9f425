/* The io_uring engine: its loop and its table. One enter per turn submits what the turn produced and waits; where there is
 * nothing to submit, nothing to wait for and no work of the kernel's is pending, not even that. */
#include "core/io_uring.h"
#include "core/clock.h"
#include "core/io_disk.h"
#include "core/threads.h"
#include <errno.h>
#include <stdio.h>

/* Receives wait for buffers although some lie ready: those that got them should take them at once, but nothing else makes
 * sure that there is a next turn. */
#define STARVED_RETRY_NS NS_PER_MS
enum { PLUG_SQES = 3 };

static int32_t execute_job(struct io_op *op)
{
    assert(op->kind == IO_JOB);
    return op->job.run(op->job.arg);
}

/* A pending read of the eventfd is what external wakes and the helper complete. */
static void arm_wake_read(struct uring *u)
{
    assert(!u->wake_armed);
    assert(u->io.wake_fd >= 0);
    struct io_uring_sqe *sqe = uring_sqe(u);
    if (!sqe)
        return;
    io_uring_prep_read(sqe, u->io.wake_fd, &u->wake_count, sizeof u->wake_count, 0);
    uring_tag(sqe, NULL, TAG_WAKE_READ);
    u->in_flight++;
    u->wake_armed = true;
}

static void retry_backlog_ops(struct uring *u)
{
    assert(!list_empty(&u->backlog));
    struct list again, *node;
    list_init(&again);
    list_splice(&again, &u->backlog);
    while ((node = list_pop(&again)))
        uring_start(&u->io, container_of(node, struct io_op, link));
}

/* The kernel has completions that only an enter brings: task work with DEFER_TASKRUN, or an overflown queue. */
static bool kernel_has_task_work(const struct uring *u)
{
    unsigned flags = __atomic_load_n(u->ring.sq.kflags, __ATOMIC_RELAXED);
    return flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

static void enter_ring_and_wait(struct uring *u, uint64_t wait_ns)
{
    assert(wait_ns > 0);
    struct io_uring_cqe *cqe;
    struct __kernel_timespec t = {.tv_sec = (int64_t)(wait_ns / NS_PER_S), .tv_nsec = (int64_t)(wait_ns % NS_PER_S)};
    /* Whatever it answers (a time-out, an interruption, a kernel short of memory), the next turn goes on from here. */
    (void)io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, wait_ns == UINT64_MAX ? NULL : &t, NULL);
}

static void enter_ring(struct uring *u, uint64_t wait_ns)
{
    if (wait_ns > 0)
        enter_ring_and_wait(u, wait_ns);
    else if (io_uring_sq_ready(&u->ring) || kernel_has_task_work(u))
        (void)io_uring_submit_and_get_events(&u->ring);
}

static bool uring_has_work(const struct io *io)
{
    const struct uring *u = uring_of(io);
    assert(u->ring.ring_fd >= 0);
    return io_uring_cq_ready(&u->ring) > 0 || kernel_has_task_work(u) || io_base_has_finished(io) ||
           (u->sync_thread && io_helper_has_done(u->sync_thread));
}

/* Is somebody else on this processor? Then the looking ends, and what is left of the wait is slept through. */
static void ask_about_preemption(struct io *io, uint64_t now_ns)
{
    assert(spin_wants(&io->spin));
    if (spin_asks(&io->spin, now_ns))
        spin_told(&io->spin, thread_preempted(), now_ns);
}

/* True: there is work, and no wait. */
static bool look_before_waiting(struct uring *u, uint64_t began_ns, uint64_t wait_ns)
{
    assert(wait_ns > 0);
    struct io *io = &u->io;
    ask_about_preemption(io, began_ns);
    if (!spin_wants(&io->spin))
        return false;
    if (io_uring_sq_ready(&u->ring))
        (void)io_uring_submit(&u->ring); /* what it does not take goes with the wait, or with the next turn */
    return io_base_look(io, began_ns, wait_ns, uring_has_work);
}

static void watch_submission(struct uring *u)
{
    (void)io_uring_submit(&u->ring); /* what it does not take goes with the wait */
    io_base_waits(&u->io);
}

static uint32_t drain_completions(struct uring *u)
{
    uint32_t ran = 0, seen = 0;
    uint64_t until = u->io.spent + IO_BYTES_PER_TURN;
    unsigned head;
    struct io_uring_cqe *cqe;
    io_uring_for_each_cqe(&u->ring, head, cqe)
    {
        if (seen++ == IO_COMPLETIONS_PER_TURN || u->io.spent >= until)
            break;
        uint64_t user_data = cqe->user_data;
        int32_t res = cqe->res;
        uint32_t flags = cqe->flags;
        u->io.spent += uring_received(user_data, res);
        io_uring_cq_advance(&u->ring, 1);
        ran += uring_complete(u, user_data, res, flags);
    }
    return ran;
}

/* A direct durable write (RWF_DSYNC) whose blocks a quick disk has written before the kernel is through with its submission is finished right
 * there, and so is the flush behind it, for which the shard then waits (iomap_dio_rw; Linux 6.18: one in 250 that is submitted alone). A plug keeps a
 * submission's writes from the disk until all of them are prepared. The kernel makes one where there are more than two SQEs: with two of nothing there are. */
static void fill_up_for_plug(struct uring *u)
{
    assert(u->plug_wanted);
    u->plug_wanted = false;
    if (!(u->ring.features & IORING_FEAT_CQE_SKIP))
        return;
    while (io_uring_sq_ready(&u->ring) < PLUG_SQES) {
        struct io_uring_sqe *sqe = uring_sqe(u);
        if (!sqe)
            return;
        io_uring_prep_nop(sqe);
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
        uring_tag(sqe, NULL, TAG_RUNG);
    }
}

static uint32_t run_uring(struct io *io, uint64_t wait_ns)
{
    struct uring *u = uring_of(io);
    assert(u->ring.ring_fd >= 0);
    if (unlikely(!list_empty(&u->backlog)))
        retry_backlog_ops(u);
    if (unlikely(!list_empty(&u->parked) || !list_empty(&u->watched)) && !uring_unpark(u))
        wait_ns = u64_min(wait_ns, STARVED_RETRY_NS);
    if (!u->wake_armed)
        arm_wake_read(u);
    if (u->plug_wanted)
        fill_up_for_plug(u);
    io_base_reap(io);
    uring_reap_synced(u);
    bool due =
        !list_empty(&io->finished) || !list_empty(&u->backlog) || !u->wake_armed || io_uring_cq_ready(&u->ring) > 0;
    if (due)
        wait_ns = 0;
    uint64_t began_ns = wait_ns > 0 && io->spin.most_ns > 0 ? clock_now_ns() : 0;
    bool found = began_ns > 0 && spin_wants(&io->spin) && look_before_waiting(u, began_ns, wait_ns);
    if (found)
        wait_ns = 0;
    if (io->watch && wait_ns > 0)
        watch_submission(u);
    enter_ring(u, wait_ns);
    io_base_tick(io, wait_ns > 0);
    if (began_ns > 0)
        spin_waited(&io->spin, began_ns, *io->now_ns, io->spent, found);
    io_base_reap(io);
    uring_reap_synced(u);
    return io_base_finish(io, IO_COMPLETIONS_PER_TURN) + drain_completions(u);
}

static void wake_by_msg_ring(struct io *from, struct io *to)
{
    assert(from != to);
    struct uring *u = uring_of(from);
    bool ring = u->features & IO_FEATURE_MSG_RING && to->ops == from->ops;
    struct io_uring_sqe *sqe = ring ? uring_sqe(u) : NULL;
    if (!sqe) {
        io_wake_external(to);
        return;
    }
    io_uring_prep_msg_ring(sqe, uring_of(to)->ring.ring_fd, 0, TAG_RUNG, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    uring_tag(sqe, to, TAG_WAKE_FAILED);
}

/* What is still in flight names memory of our callers: it is cancelled and waited for, up to two seconds (a write to a disk
 * cannot be cancelled). No done runs any more. */
static void cancel_in_flight(struct uring *u)
{
    assert(u->ring.ring_fd >= 0);
    enum { ROUNDS = 200 };
    struct __kernel_timespec t = {.tv_nsec = (int64_t)(10 * NS_PER_MS)};
    struct io_uring_cqe *cqe;
    struct io_uring_sqe *sqe = uring_sqe(u);
    if (sqe) {
        io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
        uring_tag(sqe, NULL, TAG_REMOVED);
        u->in_flight++;
    }
    for (int i = 0; i < ROUNDS && u->in_flight > 0; i++) {
        (void)io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, &t, NULL);
        unsigned head, seen = 0;
        io_uring_for_each_cqe(&u->ring, head, cqe)
        {
            enum uring_tag tag = (enum uring_tag)(cqe->user_data & TAG_BITS);
            u->in_flight -= tag != TAG_RUNG && tag != TAG_WAKE_FAILED;
            seen++;
        }
        io_uring_cq_advance(&u->ring, seen);
    }
}

static void close_uring(struct io *io)
{
    assert(io);
    struct uring *u = uring_of(io);
    cancel_in_flight(u);
    if (u->sync_thread)
        io_helper_close(u->sync_thread);
    uring_teardown(u);
    io_base_deinit(io);
    heap_free(io->heap, u);
}

static const struct io_ops uring_ops = {
    .name = "io_uring",
    .close = close_uring,
    .attach = uring_attach,
    .detach = uring_detach,
    .lock_attach = uring_lock_attach,
    .slab_register = uring_slab_register,
    .slab_unregister = uring_slab_unregister,
    .start = uring_start,
    .recv_put = uring_recv_put,
    .run = run_uring,
    .wake = wake_by_msg_ring,
};

static enum err open_sync_thread(struct uring *u, uint32_t features)
{
    assert(!u->sync_thread);
    sync_route_init(&u->sync_route);
    u->sync_told = SYNC_WAYS;
    return features & IO_FEATURE_SYNC_THREAD
               ? io_helper_open("io-durable", u->io.wake_fd, io_disk_execute, &u->sync_thread)
               : ERR_NONE;
}

enum err engine_uring_open(struct io_options options, struct heap *heap, struct io **out_io, char *out_why)
{
    assert(heap && out_io && out_why);
    struct uring *u = heap_zalloc(heap, sizeof *u);
    enum err err = ERR_NO_MEMORY;
    if (!u)
        goto failed;
    list_init(&u->backlog);
    list_init(&u->parked);
    list_init(&u->watched);
    err = io_base_init(&u->io, &uring_ops, heap, &options, execute_job);
    if (err)
        goto free_engine;
    err = uring_setup(u, options.features, out_why);
    if (err)
        goto deinit;
    err = open_sync_thread(u, options.features);
    if (err)
        goto teardown;
    *out_io = &u->io;
    return ERR_NONE;
teardown:
    uring_teardown(u);
deinit:
    io_base_deinit(&u->io);
free_engine:
    heap_free(heap, u);
failed:
    if (!out_why[0])
        snprintf(out_why, IO_WHY_BYTES, "no io_uring engine: %s", err_text(err));
    return err;
}
