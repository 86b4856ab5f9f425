/* See log_ring.h. A line takes as many slots as it needs, one after the other. The thread that logs claims them by moving `tail`, copies the
 * line, and publishes it by its length in `ready` of its first slot. The writer takes lines at `head` as long as they are
 * published, and gives the slots back by moving `head`. Both run freely; a slot is the index modulo SLOTS.
 *
 *   head ...... tail       claimed by lines: some published, the last ones perhaps not yet
 *   written <= head        how far the writer's write(2) have returned
 *
 * `sleeping` is only ever exchanged, as in io_helper.c: either the writer's last look finds the line, or its sleep is ended. */
#include "core/clock.h"
#include "core/log.h"
#include "core/log_ring.h"
#include "core/threads.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    SLOTS = 1024,
    SLOT_BYTES = 512,
    LINE_BYTES_MAX = 8 * SLOT_BYTES, /* log.c's lines are no longer */
    FLUSH_MS = 1000,
};
static_assert((SLOTS & (SLOTS - 1)) == 0, "indices wrap at 2^32");

/* A process has one standard error, so this is one of the few things that do not hang from a shard. */
static struct {
    _Alignas(64) _Atomic uint32_t tail;
    _Alignas(64) _Atomic uint32_t head;
    _Atomic uint32_t written;
    _Atomic uint64_t dropped; /* so far */
    _Alignas(64) _Atomic bool sleeping;
    _Atomic bool stop;
    _Atomic bool ended;
    int wake_fd;
    struct thread *writer;
    uint64_t dropped_said; /* the writer's: so many of them stand in lines */
    _Atomic uint32_t ready[SLOTS];
    char text[SLOTS][SLOT_BYTES];
} ring;

static uint32_t slots_of_line(size_t bytes)
{
    assert(bytes > 0);
    return (uint32_t)((bytes + SLOT_BYTES - 1) / SLOT_BYTES);
}

/* --- putting --- */

static bool claim_slots(uint32_t count, uint32_t *out_first)
{
    assert(count > 0 && count <= SLOTS);
    uint32_t tail = atomic_load_explicit(&ring.tail, memory_order_relaxed);
    do {
        if (tail + count - atomic_load_explicit(&ring.head, memory_order_acquire) > SLOTS)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&ring.tail, &tail, tail + count, memory_order_relaxed,
                                                    memory_order_relaxed));
    *out_first = tail;
    return true;
}

static void wake_log_writer(void)
{
    uint64_t one = 1;
    if (atomic_exchange_explicit(&ring.sleeping, false, memory_order_acq_rel))
        (void)!write(ring.wake_fd, &one, sizeof one); /* an eventfd never makes its writer wait before 2^64 */
}

static void put_line_in_ring(const char *line, size_t bytes)
{
    assert(bytes > 0 && bytes <= LINE_BYTES_MAX);
    uint32_t count = slots_of_line(bytes), first;
    if (!claim_slots(count, &first)) {
        atomic_fetch_add_explicit(&ring.dropped, 1, memory_order_relaxed);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        size_t at = (size_t)i * SLOT_BYTES;
        memcpy(ring.text[(first + i) % SLOTS], line + at, u64_min(bytes - at, SLOT_BYTES));
    }
    atomic_store_explicit(&ring.ready[first % SLOTS], (uint32_t)bytes, memory_order_release);
    wake_log_writer();
}

/* --- writing --- */

/* The next published line, copied out; its slots are free. 0: there is none. */
static size_t take_log_line(char *out)
{
    assert(out);
    uint32_t head = atomic_load_explicit(&ring.head, memory_order_relaxed);
    uint32_t bytes = atomic_load_explicit(&ring.ready[head % SLOTS], memory_order_acquire);
    if (bytes == 0)
        return 0;
    assert(bytes <= LINE_BYTES_MAX);
    uint32_t count = slots_of_line(bytes);
    for (uint32_t i = 0; i < count; i++) {
        size_t at = (size_t)i * SLOT_BYTES;
        memcpy(out + at, ring.text[(head + i) % SLOTS], u64_min(bytes - at, SLOT_BYTES));
    }
    atomic_store_explicit(&ring.ready[head % SLOTS], 0, memory_order_relaxed);
    atomic_store_explicit(&ring.head, head + count, memory_order_release);
    return bytes;
}

/* To the end, however long it takes; a reader that is gone, or a full disk, loses the line. */
static void write_whole_line(const char *line, size_t bytes)
{
    assert(bytes > 0);
    struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};
    while (bytes > 0) {
        ssize_t n = write(STDERR_FILENO, line, bytes);
        if (n < 0 && errno == EAGAIN) /* somebody made our standard error non-blocking */
            (void)poll(&room, 1, -1);
        else if (n < 0 && errno != EINTR)
            return;
        if (n > 0) {
            line += n;
            bytes -= (size_t)n;
        }
    }
}

static void write_all_lines(void)
{
    char line[LINE_BYTES_MAX];
    size_t bytes;
    while ((bytes = take_log_line(line)) > 0) {
        write_whole_line(line, bytes);
        atomic_store_explicit(&ring.written, atomic_load_explicit(&ring.head, memory_order_relaxed),
                              memory_order_release);
    }
}

/* Behind the lines that were there when the others found no room. */
static void tell_dropped(void)
{
    uint64_t dropped = atomic_load_explicit(&ring.dropped, memory_order_relaxed);
    if (dropped == ring.dropped_said)
        return;
    log_warn("log lines dropped", "count=%llu total=%llu because nobody read them in time",
             (unsigned long long)(dropped - ring.dropped_said), (unsigned long long)dropped);
    ring.dropped_said = dropped;
}

static void sleep_until_a_line_comes(void)
{
    uint64_t count;
    atomic_exchange_explicit(&ring.sleeping, true, memory_order_acq_rel);
    uint32_t head = atomic_load_explicit(&ring.head, memory_order_relaxed);
    bool empty = atomic_load_explicit(&ring.ready[head % SLOTS], memory_order_acquire) == 0;
    if (empty && !atomic_load_explicit(&ring.stop, memory_order_acquire))
        (void)!read(ring.wake_fd, &count, sizeof count); /* interrupted: looked again */
    atomic_exchange_explicit(&ring.sleeping, false, memory_order_acq_rel);
}

static void run_log_writer(void *arg)
{
    (void)arg;
    for (;;) {
        bool stop = atomic_load_explicit(&ring.stop, memory_order_acquire);
        write_all_lines();
        tell_dropped();
        write_all_lines();
        if (stop)
            break;
        sleep_until_a_line_comes();
    }
    atomic_store_explicit(&ring.ended, true, memory_order_release);
}

/* --- beginning and ending --- */

void log_ring_flush(void)
{
    uint32_t tail = atomic_load_explicit(&ring.tail, memory_order_acquire);
    for (int ms = 0; ms < FLUSH_MS; ms++) {
        if ((int32_t)(atomic_load_explicit(&ring.written, memory_order_acquire) - tail) >= 0)
            return;
        clock_sleep_ms(1);
    }
}

/* A failed assertion: the writer is another thread, unless it is its own. abort() goes on when this returns. */
static void flush_before_abort(int number)
{
    (void)number;
    log_ring_flush();
}

enum err log_ring_start(void)
{
    assert(!ring.writer);
    ring.wake_fd = eventfd(0, EFD_CLOEXEC);
    if (ring.wake_fd < 0)
        return err_from_errno(errno);
    atomic_store(&ring.stop, false);
    atomic_store(&ring.ended, false);
    enum err err = thread_start("log", -1, run_log_writer, NULL, &ring.writer);
    if (err) {
        close(ring.wake_fd);
        return err;
    }
    signal(SIGABRT, flush_before_abort);
    log_sink(put_line_in_ring);
    return ERR_NONE;
}

void log_ring_stop(void)
{
    if (!ring.writer)
        return;
    log_sink(NULL);
    atomic_store_explicit(&ring.stop, true, memory_order_release);
    wake_log_writer();
    log_ring_flush();
    for (int ms = 0; ms < FLUSH_MS && !atomic_load_explicit(&ring.ended, memory_order_acquire); ms++)
        clock_sleep_ms(1);
    if (!atomic_load_explicit(&ring.ended, memory_order_acquire))
        return; /* it sits in write(2): the end of the process ends it */
    thread_join(ring.writer);
    ring.writer = NULL;
    close(ring.wake_fd);
    signal(SIGABRT, SIG_DFL);
}
