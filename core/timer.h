/* Timers of one shard: a binary heap by deadline, made of the timers themselves, so that starting one needs no memory and cannot
 * fail. Starting a started timer moves it. Callbacks run from timers_fire only. */
#pragma once
#include "core/base.h"

struct timer;
typedef void timer_fn(struct timer *t);
struct timer {
    uint64_t deadline_ns;
    timer_fn *fire;
    struct timer *up, *down[2]; /* the heap's */
    bool started;
};
struct timers {
    struct timer *first; /* the next to fire */
    uint32_t count;
};

#define TIMER_NEVER UINT64_MAX

void timers_init(struct timers *ts);
void timer_init(struct timer *t, timer_fn *fire);
void timer_start(struct timers *ts, struct timer *t, uint64_t deadline_ns);
void timer_stop(struct timers *ts, struct timer *t);
static inline bool timer_started(const struct timer *t)
{
    return t->started;
}
/* TIMER_NEVER when none is started. */
uint64_t timers_next(const struct timers *ts);
/* Runs at most `max` callbacks whose deadline is not after `now_ns`. */
void timers_fire(struct timers *ts, uint64_t now_ns, uint32_t max);
/* Asserts that the fields agree. Slow. */
void timers_check(const struct timers *ts);
