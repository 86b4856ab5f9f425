/* Two rings, one there and one back, and two eventfds to sleep on.
 *
 *   shard  queue -> [to_do] -> helper    wake_fd, written only while `sleeping` was set
 *          finished <- [done] <-         notify_fd, written once until the shard reaps (`notified`)
 *
 * At most RING_SLOTS ops are between the rings, so the way back always has room; what is beyond waits in `queue`.
 * `sleeping` and `notified` are only ever exchanged: of two exchanges the later one sees what was done before the earlier,
 * so either the helper's last look finds the new op, or the shard finds it asleep. */
#include "core/io_helper.h"
#include "core/mem.h"
#include "core/ring.h"
#include "core/threads.h"
#include <errno.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct io_helper {
    struct ring to_do, done;
    _Alignas(64) _Atomic bool sleeping;
    _Atomic bool notified;
    _Atomic bool stop;
    int32_t (*execute)(struct io_op *op);
    int wake_fd, notify_fd;
    struct thread *thread;
    /* The shard's. */
    _Alignas(64) struct list queue;
    uint32_t in_flight; /* in the rings or being executed */
};

static void signal_eventfd(int fd)
{
    assert(fd >= 0);
    uint64_t one = 1;
    ssize_t n = write(fd, &one, sizeof one);
    (void)n; /* the counter is full only when the reader has been told 2^64 - 2 times already */
}

static void sleep_on_eventfd(struct io_helper *h)
{
    uint64_t count;
    ssize_t n = read(h->wake_fd, &count, sizeof count);
    assert(n == (ssize_t)sizeof count || errno == EINTR);
}

/* The next op; sleeps until there is one. NULL: stop, and nothing left. */
static struct io_op *next_job(struct io_helper *h)
{
    for (;;) {
        struct io_op *op = ring_pop(&h->to_do);
        if (op)
            return op;
        if (atomic_load_explicit(&h->stop, memory_order_acquire))
            return ring_pop(&h->to_do);
        atomic_exchange_explicit(&h->sleeping, true, memory_order_acq_rel);
        if (ring_empty(&h->to_do) && !atomic_load_explicit(&h->stop, memory_order_acquire))
            sleep_on_eventfd(h);
        atomic_exchange_explicit(&h->sleeping, false, memory_order_acq_rel);
    }
}

static void run_helper(void *arg)
{
    struct io_helper *h = arg;
    struct io_op *op;
    thread_prepare_heap();
    while ((op = next_job(h))) {
        assert(op->done);
        op->res = h->execute(op);
        bool pushed = ring_push(&h->done, op);
        assert(pushed);
        if (!atomic_exchange_explicit(&h->notified, true, memory_order_acq_rel))
            signal_eventfd(h->notify_fd);
    }
}

enum err io_helper_open(const char *name, int notify_fd, int32_t (*execute)(struct io_op *op),
                        struct io_helper **out_helper)
{
    assert(notify_fd >= 0);
    assert(name && out_helper);
    assert(execute);
    struct io_helper *h = region_open(sizeof *h); /* a heap does not align to cache lines */
    if (!h)
        return ERR_NO_MEMORY;
    ring_init(&h->to_do);
    ring_init(&h->done);
    atomic_init(&h->sleeping, false);
    atomic_init(&h->notified, false);
    atomic_init(&h->stop, false);
    list_init(&h->queue);
    h->execute = execute;
    h->notify_fd = notify_fd;
    h->in_flight = 0;
    h->wake_fd = eventfd(0, EFD_CLOEXEC);
    enum err err = h->wake_fd < 0 ? err_from_errno(errno) : thread_start(name, -1, run_helper, h, &h->thread);
    if (!err) {
        *out_helper = h;
        return ERR_NONE;
    }
    if (h->wake_fd >= 0)
        close(h->wake_fd);
    region_close(h, sizeof *h);
    return err;
}

static bool push_job(struct io_helper *h, struct io_op *op)
{
    assert(!list_linked(&op->link));
    if (h->in_flight == RING_SLOTS)
        return false;
    bool pushed = ring_push(&h->to_do, op);
    assert(pushed);
    h->in_flight++;
    if (atomic_exchange_explicit(&h->sleeping, false, memory_order_acq_rel))
        signal_eventfd(h->wake_fd);
    return true;
}

/* The queue goes first: order of submission. */
static void push_queued_jobs(struct io_helper *h)
{
    assert(h->in_flight <= RING_SLOTS);
    struct list *node;
    while ((node = list_first(&h->queue)) && h->in_flight < RING_SLOTS) {
        list_remove(node);
        bool pushed = push_job(h, container_of(node, struct io_op, link));
        assert(pushed);
    }
}

void io_helper_submit(struct io_helper *h, struct io_op *op)
{
    assert(op->done);
    if (!list_empty(&h->queue) || !push_job(h, op))
        list_push(&h->queue, &op->link);
}

void io_helper_reap(struct io_helper *h, struct list *finished)
{
    assert(h->in_flight <= RING_SLOTS);
    if (h->in_flight == 0)
        return;
    /* First the flag, then the ring: what is pushed after the last look is notified anew. */
    atomic_exchange_explicit(&h->notified, false, memory_order_acq_rel);
    struct io_op *op;
    while ((op = ring_pop(&h->done))) {
        h->in_flight--;
        list_push(finished, &op->link);
    }
    push_queued_jobs(h);
}

bool io_helper_has_done(const struct io_helper *h)
{
    assert(h->in_flight <= RING_SLOTS);
    return h->in_flight > 0 && !ring_empty(&h->done);
}

void io_helper_close(struct io_helper *h)
{
    assert(h->thread);
    struct list finished;
    list_init(&finished);
    while (!list_empty(&h->queue)) /* ends as the helper works off the ring */
        io_helper_reap(h, &finished);
    atomic_store_explicit(&h->stop, true, memory_order_release);
    signal_eventfd(h->wake_fd);
    thread_join(h->thread);
    close(h->wake_fd);
    region_close(h, sizeof *h);
}
