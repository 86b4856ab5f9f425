/* A binary heap of pointers; each timer knows its place in it, so that moving and stopping take O(log n). */
#include "core/timer.h"
#include <stdlib.h>

enum { FIRST_CAP = 64 };

void timers_init(struct timers *ts, struct heap *h)
{
    assert(ts && h);
    *ts = (struct timers){.heap = h};
}

void timers_deinit(struct timers *ts)
{
    heap_free(ts->heap, ts->v);
    ts->v = NULL;
    ts->count = ts->cap = 0;
}

void timer_init(struct timer *t, timer_fn *fire)
{
    assert(fire);
    *t = (struct timer){.fire = fire, .at = -1};
}

static void place_timer(struct timers *ts, struct timer *t, uint32_t at)
{
    ts->v[at] = t;
    t->at = (int32_t)at;
}

static void sift_timer_up(struct timers *ts, struct timer *t, uint32_t at)
{
    while (at > 0) {
        uint32_t up = (at - 1) / 2;
        if (ts->v[up]->deadline_ns <= t->deadline_ns)
            break;
        place_timer(ts, ts->v[up], at);
        at = up;
    }
    place_timer(ts, t, at);
}

static void sift_timer_down(struct timers *ts, struct timer *t, uint32_t at)
{
    for (;;) {
        uint32_t down = 2 * at + 1;
        if (down >= ts->count)
            break;
        if (down + 1 < ts->count && ts->v[down + 1]->deadline_ns < ts->v[down]->deadline_ns)
            down++;
        if (ts->v[down]->deadline_ns >= t->deadline_ns)
            break;
        place_timer(ts, ts->v[down], at);
        at = down;
    }
    place_timer(ts, t, at);
}

static void grow_timers(struct timers *ts)
{
    uint32_t cap = ts->cap ? ts->cap * 2 : FIRST_CAP;
    struct timer **v = heap_realloc(ts->heap, ts->v, cap * sizeof *v);
    if (!v)
        abort(); /* a timer that is silently not started would hang whoever waits for it */
    ts->v = v;
    ts->cap = cap;
}

void timer_start(struct timers *ts, struct timer *t, uint64_t deadline_ns)
{
    assert(t->fire);
    timer_stop(ts, t);
    if (ts->count == ts->cap)
        grow_timers(ts);
    t->deadline_ns = deadline_ns;
    sift_timer_up(ts, t, ts->count++);
}

void timer_stop(struct timers *ts, struct timer *t)
{
    if (!timer_started(t))
        return;
    uint32_t at = (uint32_t)t->at;
    assert(at < ts->count);
    assert(ts->v[at] == t);
    t->at = -1;
    struct timer *last = ts->v[--ts->count];
    if (last == t)
        return;
    sift_timer_up(ts, last, at);
    sift_timer_down(ts, last, (uint32_t)last->at);
}

uint64_t timers_next(const struct timers *ts)
{
    return ts->count ? ts->v[0]->deadline_ns : TIMER_NEVER;
}

void timers_fire(struct timers *ts, uint64_t now_ns, uint32_t max)
{
    for (uint32_t i = 0; i < max && timers_next(ts) <= now_ns && ts->count; i++) {
        struct timer *t = ts->v[0];
        timer_stop(ts, t);
        t->fire(t);
    }
}
