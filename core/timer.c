/* A binary heap without an array: a complete tree of the timers, numbered from the top as an array would number them.
 *
 *            1            The way to number n is n's binary digits behind the first one: 0 down[0], 1 down[1].
 *         2     3         6 = 110: from the top down[1], then down[0].
 *        4 5   6 7
 *
 * Each step costs a few pointers, and there are as many steps as n has digits. */
#include "core/timer.h"

void timers_init(struct timers *ts)
{
    assert(ts);
    *ts = (struct timers){0};
}

void timer_init(struct timer *t, timer_fn *fire)
{
    assert(fire);
    *t = (struct timer){.fire = fire};
}

static struct timer *timer_numbered(const struct timers *ts, uint32_t number)
{
    assert(number > 0 && number <= ts->count);
    struct timer *t = ts->first;
    for (int bit = 30 - __builtin_clz(number); bit >= 0; bit--)
        t = t->down[number >> bit & 1];
    assert(t);
    return t;
}

/* Whatever points to `from` points to `to`, whose own pointers are those of `from`. */
static void put_in_place_of(struct timers *ts, struct timer *from, struct timer *to)
{
    to->up = from->up;
    to->down[0] = from->down[0];
    to->down[1] = from->down[1];
    if (to->up)
        to->up->down[to->up->down[1] == from] = to;
    else
        ts->first = to;
    for (int side = 0; side < 2; side++)
        if (to->down[side])
            to->down[side]->up = to;
}

/* Changes places with the one above. */
static void swap_timer_up(struct timers *ts, struct timer *t)
{
    struct timer *above = t->up, *below[2] = {t->down[0], t->down[1]};
    assert(above->down[0] == t || above->down[1] == t);
    int side = above->down[1] == t;
    above->down[side] = NULL;
    put_in_place_of(ts, above, t);
    t->down[side] = above;
    above->up = t;
    for (int i = 0; i < 2; i++) {
        above->down[i] = below[i];
        if (below[i])
            below[i]->up = above;
    }
}

static void sift_timer_up(struct timers *ts, struct timer *t)
{
    while (t->up && t->up->deadline_ns > t->deadline_ns)
        swap_timer_up(ts, t);
}

static void sift_timer_down(struct timers *ts, struct timer *t)
{
    for (;;) {
        struct timer *least = t->down[0];
        if (least && t->down[1] && t->down[1]->deadline_ns < least->deadline_ns)
            least = t->down[1];
        if (!least || least->deadline_ns >= t->deadline_ns)
            return;
        swap_timer_up(ts, least);
    }
}

void timer_start(struct timers *ts, struct timer *t, uint64_t deadline_ns)
{
    assert(t->fire);
    timer_stop(ts, t);
    assert(ts->count < INT32_MAX);
    uint32_t number = ++ts->count;
    t->deadline_ns = deadline_ns;
    t->started = true;
    t->up = number > 1 ? timer_numbered(ts, number / 2) : NULL;
    t->down[0] = t->down[1] = NULL;
    if (t->up)
        t->up->down[number & 1] = t;
    else
        ts->first = t;
    sift_timer_up(ts, t);
}

void timer_stop(struct timers *ts, struct timer *t)
{
    if (!timer_started(t))
        return;
    assert(ts->count > 0);
    struct timer *last = timer_numbered(ts, ts->count);
    assert(!last->down[0] && !last->down[1]);
    if (last->up)
        last->up->down[ts->count & 1] = NULL;
    else
        ts->first = NULL;
    ts->count--;
    if (last != t) {
        put_in_place_of(ts, t, last);
        sift_timer_up(ts, last);
        sift_timer_down(ts, last);
    }
    t->started = false;
    t->up = t->down[0] = t->down[1] = NULL;
}

uint64_t timers_next(const struct timers *ts)
{
    assert((ts->count == 0) == !ts->first);
    return ts->first ? ts->first->deadline_ns : TIMER_NEVER;
}

void timers_fire(struct timers *ts, uint64_t now_ns, uint32_t max)
{
    for (uint32_t i = 0; i < max && ts->first && ts->first->deadline_ns <= now_ns; i++) {
        struct timer *t = ts->first;
        assert(timer_started(t));
        timer_stop(ts, t);
        t->fire(t);
    }
}

void timers_check(const struct timers *ts)
{
    for (uint32_t number = 1; number <= ts->count; number++) {
        const struct timer *t = timer_numbered(ts, number);
        assert(t->started);
        assert(!t->up == (number == 1));
        assert(!t->up || t->up->deadline_ns <= t->deadline_ns);
        assert(!t->up || t->up->down[number & 1] == t);
        assert(!t->down[0] == (2 * (uint64_t)number > ts->count));
        assert(!t->down[1] == (2 * (uint64_t)number + 1 > ts->count));
    }
}
