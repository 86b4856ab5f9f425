/* Which way a durable write goes: see the header. */
#include "core/io_sync_route.h"

enum {
    WEIGHT_UP = 4,   /* a mean goes up by a quarter of the difference, and of itself at most ... */
    WEIGHT_DOWN = 2, /* ... and down by half */
    CLEARLY_WORSE = 2,
    THREAD_TAKEN = 3, /* the ring takes so many times longer: the thread is worth its CPU ... */
    THREAD_KEPT = 2,  /* ... and still is */
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
    return ++r->since_trial >= (r->took_ns[other] ? r->trial_every : SYNC_PROBE_FIRST);
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

bool sync_route_is_known(const struct sync_route *r)
{
    return r->took_ns[SYNC_RING] > 0 && r->took_ns[SYNC_THREAD] > 0;
}

static void change_way(struct sync_route *r)
{
    assert(!r->timed);
    if (!sync_route_is_known(r))
        return;
    uint64_t times = r->used == SYNC_RING ? THREAD_TAKEN : THREAD_KEPT;
    enum sync_way worth = r->took_ns[SYNC_RING] > times * r->took_ns[SYNC_THREAD] ? SYNC_THREAD : SYNC_RING;
    if (worth == r->used)
        return;
    r->used = worth;
    r->trial_every = SYNC_PROBE_MIN;
}

static uint64_t moved_mean(uint64_t mean, uint64_t took_ns)
{
    assert(took_ns > 0);
    if (mean == 0)
        return took_ns;
    if (took_ns < mean)
        return mean - (mean - took_ns) / WEIGHT_DOWN;
    return mean + u64_min(took_ns - mean, mean) / WEIGHT_UP;
}

void sync_route_end(struct sync_route *r, const void *write, enum sync_way way, uint64_t now_ns)
{
    assert(way < SYNC_WAYS && r->out[way] > 0);
    r->out[way]--;
    if (r->timed != write)
        return;
    assert(r->timed_way == way);
    r->timed = NULL;
    uint64_t took_ns = now_ns > r->timed_from_ns ? now_ns - r->timed_from_ns : 1;
    r->took_ns[way] = moved_mean(r->took_ns[way], took_ns);
    if (way != r->used)
        pace_trials(r, way);
    change_way(r);
}
