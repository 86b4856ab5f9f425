/* One thread of the load: see driver.h. */
#include "bench/load/driver.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "bench/load/cpu.h"
#include "bench/load/sink.h"
#include "bench/load/source.h"

enum { EVENTS = 512, SPIN_NS = 50000, IDLE_NS = 20000000 };

struct second *driver_second(struct driver *d)
{
    return &d->seconds[d->second_filled & 1];
}

bool driver_counts(const struct driver *d, uint64_t due_ns)
{
    uint64_t from = *d->measure_from_ns, to = *d->measure_to_ns;
    return from != 0 && due_ns >= from && due_ns < to;
}

void driver_fail(struct driver *d, const char *what, int error)
{
    if (d->failed)
        return;
    if (error)
        snprintf(d->why, sizeof d->why, "%s with error code %d", what, error);
    else
        snprintf(d->why, sizeof d->why, "%s", what);
    d->failed = true;
}

/* --- the heap of what is due --- */

static void sift_up(struct driver *d, uint32_t at)
{
    struct source *s = d->heap[at];
    for (uint32_t up; at > 0 && d->heap[up = (at - 1) / 2]->heap_ns > s->heap_ns; at = up)
        d->heap[at] = d->heap[up];
    d->heap[at] = s;
}

static void sift_down(struct driver *d, uint32_t at)
{
    struct source *s = d->heap[at];
    for (uint32_t down; (down = 2 * at + 1) < d->heap_count; at = down) {
        if (down + 1 < d->heap_count && d->heap[down + 1]->heap_ns < d->heap[down]->heap_ns)
            down++;
        if (d->heap[down]->heap_ns >= s->heap_ns)
            break;
        d->heap[at] = d->heap[down];
    }
    d->heap[at] = s;
}

void driver_due(struct driver *d, struct source *s, uint64_t at_ns)
{
    if (s->in_heap)
        return;
    s->in_heap = true;
    s->heap_ns = at_ns;
    d->heap[d->heap_count++] = s;
    sift_up(d, d->heap_count - 1);
}

static struct source *pop_due(struct driver *d)
{
    if (d->heap_count == 0 || d->heap[0]->heap_ns > d->now_ns)
        return NULL;
    struct source *s = d->heap[0];
    s->in_heap = false;
    if (--d->heap_count > 0) {
        d->heap[0] = d->heap[d->heap_count];
        sift_down(d, 0);
    }
    return s;
}

/* --- the loop --- */

void driver_await_room(struct driver *d, int fd, void *who, bool writing)
{
    struct epoll_event e = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = who};
    epoll_ctl(d->epoll, EPOLL_CTL_MOD, fd, &e);
}

static bool watch(struct driver *d, int fd, void *who)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = who};
    return epoll_ctl(d->epoll, EPOLL_CTL_ADD, fd, &e) == 0;
}

/* No batch of theirs waits: it is not slowed by what follows. At most one batch of each source per turn. */
static void send_due(struct driver *d)
{
    for (uint32_t n = d->heap_count; n > 0; n--) {
        struct source *s = pop_due(d);
        if (!s)
            return;
        source_go(s);
        d->now_ns = cpu_now_ns();
    }
}

static void change_second(struct driver *d)
{
    uint64_t wanted = d->second_wanted;
    if (d->second_filled != wanted) {
        memset(&d->seconds[wanted & 1], 0, sizeof d->seconds[0]);
        d->second_filled = wanted;
    }
}

static struct timespec until_due(const struct driver *d, bool *out_spin)
{
    uint64_t left = IDLE_NS;
    if (d->heap_count > 0)
        left = d->heap[0]->heap_ns > d->now_ns ? d->heap[0]->heap_ns - d->now_ns : 0;
    if (left > IDLE_NS)
        left = IDLE_NS;
    *out_spin = left == 0 || (d->plan->spin && left < SPIN_NS);
    return (struct timespec){.tv_sec = 0, .tv_nsec = *out_spin ? 0 : (long)left};
}

static void handle(const struct epoll_event *e)
{
    enum party *who = e->data.ptr;
    if (*who == PARTY_SOURCE)
        source_ready(e->data.ptr, e->events);
    else
        sink_ready(e->data.ptr, e->events);
}

/* What came while a turn lasted was seen that late at most. */
static void measure_turn(struct driver *d, uint64_t began_ns, int events)
{
    if (*d->phase == PHASE_MEASURE && events > 0)
        hist_add(&d->tally.turns, cpu_now_ns() - began_ns);
}

static uint64_t thread_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void note_cpu(struct driver *d, enum phase *seen, uint64_t *began)
{
    enum phase now = *d->phase;
    if (now != *seen && now == PHASE_MEASURE)
        *began = thread_cpu_ns();
    if (now != *seen && *seen == PHASE_MEASURE)
        d->cpu_ns = thread_cpu_ns() - *began;
    *seen = now;
}

static void *drive(void *arg)
{
    struct driver *d = arg;
    struct epoll_event events[EVENTS];
    enum phase seen = PHASE_WARMUP;
    uint64_t cpu_from = 0;
    if (d->cpu >= 0)
        cpu_pin(d->cpu);
    cpu_wake_on_time();
    while (*d->phase != PHASE_END && !d->failed) {
        note_cpu(d, &seen, &cpu_from);
        change_second(d);
        d->now_ns = cpu_now_ns();
        send_due(d);
        bool spin;
        struct timespec left = until_due(d, &spin);
        int n = epoll_pwait2(d->epoll, events, EVENTS, &left, NULL);
        uint64_t began = d->now_ns = cpu_now_ns();
        for (int i = 0; i < n && !d->failed; i++)
            handle(&events[i]);
        measure_turn(d, began, n);
    }
    note_cpu(d, &seen, &cpu_from);
    return NULL;
}

bool driver_start(struct driver *d)
{
    for (uint32_t i = 0; i < d->source_count; i++) {
        if (!watch(d, d->sources[i].flow.fd, &d->sources[i]))
            return false;
    }
    for (uint32_t i = 0; i < d->sink_count; i++) {
        if (!watch(d, d->sinks[i].flow.fd, &d->sinks[i]) || !sink_ask(&d->sinks[i]))
            return false;
    }
    return pthread_create(&d->thread, NULL, drive, d) == 0;
}
