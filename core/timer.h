/* Timers of one shard: a binary heap by deadline. Starting a started timer moves it. Callbacks run from timers_fire only. */
#pragma once
#include "core/mem.h"

struct timer;
typedef void timer_fn(struct timer *t);
struct timer {
    uint64_t deadline_ns;
    timer_fn *fire;
    int32_t at; /* position in the heap, -1: not started */
};
struct timers {
    struct timer **v;
    uint32_t count, cap;
    struct heap *heap;
};

#define TIMER_NEVER UINT64_MAX

void timers_init(struct timers *ts, struct heap *h);
void timers_deinit(struct timers *ts);
void timer_init(struct timer *t, timer_fn *fire);
/* Aborts the process only if memory for the heap's array is out. */
void timer_start(struct timers *ts, struct timer *t, uint64_t deadline_ns);
void timer_stop(struct timers *ts, struct timer *t);
static inline bool timer_started(const struct timer *t)
{
    return t->at >= 0;
}
/* TIMER_NEVER when none is started. */
uint64_t timers_next(const struct timers *ts);
/* Runs at most `max` callbacks whose deadline is not after `now_ns`. */
void timers_fire(struct timers *ts, uint64_t now_ns, uint32_t max);
