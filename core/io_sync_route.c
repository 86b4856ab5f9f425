/* Which way a durable write goes: see the header. */
#include "core/io_sync_route.h"

enum {
    WEIGHT = 4 /* of the newest of the mean, one in so many */,
    CLEARLY_WORSE = 2,
    HYSTERESIS_NUM = 5,
    HYSTERESIS_DEN = 4
};

void sync_route_init(struct sync_route *r)
{
    assert(r);
    *r = (struct sync_route){.used = SYNC_RING, .trial_every = SYNC_PROBE_MIN};
}

void sync_route_check(const struct sync_route *r)
{
    assert(r->used < SYNC_WAYS);
    assert(r->trial_every >= SYNC_PROBE_MIN && r->trial_every <= SYNC_PROBE_MAX);
    assert(!r->timed || r->out[r->timed_way] > 0);
    assert(r->out[SYNC_THREAD] <= 1);
}

static enum sync_way other_way(enum sync_way way)
{
    return way == SYNC_RING ? SYNC_THREAD : SYNC_RING;
}

static bool trial_is_due(struct sync_route *r)
{
    assert(r->used < SYNC_WAYS);
    enum sync_way other = other_way(r->used);
    if (r->timed || r->out[other] > 0)
        return false;
    if (r->took_ns[other] == 0)
        return r->took_ns[r->used] != 0;
    return ++r->since_trial >= r->trial_every;
}

static enum sync_way choose_way(struct sync_route *r)
{
    assert(r->out[SYNC_THREAD] <= 1);
    if (r->out[SYNC_RING] >= SYNC_CROWD)
        return SYNC_RING;
    if (trial_is_due(r)) {
        r->since_trial = 0;
        return other_way(r->used);
    }
    if (r->used == SYNC_THREAD && r->out[SYNC_THREAD] > 0)
        return SYNC_RING;
    return r->used;
}

enum sync_way sync_route_begin(struct sync_route *r, const void *write, uint64_t now_ns)
{
    assert(write && write != r->timed);
    enum sync_way way = choose_way(r);
    if (!r->timed && r->out[way] == 0) {
        r->timed = write;
        r->timed_way = way;
        r->timed_from_ns = now_ns;
    }
    r->out[way]++;
    return way;
}

/* A trial that was clearly worse makes the next one rarer: who waits for it is one in thousands. */
static void pace_trials(struct sync_route *r, enum sync_way tried)
{
    assert(tried != r->used);
    if (r->took_ns[tried] > CLEARLY_WORSE * r->took_ns[r->used])
        r->trial_every = r->trial_every * 2 < SYNC_PROBE_MAX ? r->trial_every * 2 : SYNC_PROBE_MAX;
    else
        r->trial_every = SYNC_PROBE_MIN;
}

/* The used way must be clearly slower before it is left. */
static bool change_way(struct sync_route *r)
{
    assert(!r->timed);
    enum sync_way other = other_way(r->used);
    if (r->took_ns[other] == 0 || r->took_ns[other] * HYSTERESIS_NUM >= r->took_ns[r->used] * HYSTERESIS_DEN)
        return false;
    r->used = other;
    r->trial_every = SYNC_PROBE_MIN;
    return true;
}

bool sync_route_end(struct sync_route *r, const void *write, enum sync_way way, uint64_t now_ns)
{
    assert(way < SYNC_WAYS && r->out[way] > 0);
    r->out[way]--;
    if (r->timed != write)
        return false;
    assert(r->timed_way == way);
    r->timed = NULL;
    uint64_t took = now_ns > r->timed_from_ns ? now_ns - r->timed_from_ns : 1, *mean = &r->took_ns[way];
    *mean = *mean ? *mean - *mean / WEIGHT + took / WEIGHT : took;
    if (way != r->used)
        pace_trials(r, way);
    return change_way(r);
}
