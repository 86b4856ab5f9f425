/* See spin.h. */
#include "core/spin.h"

void spin_init(struct spin *s, uint64_t most_ns)
{
    assert(s);
    *s = (struct spin){.most_ns = most_ns, .rest_ns = SPIN_REST_MIN_NS};
}

void spin_check(const struct spin *s)
{
    assert(s->most_ns > 0 || s->state == SPIN_ASLEEP);
    assert(s->found <= s->looks && s->looks < SPIN_JUDGED);
    assert(s->shorts <= s->waits && s->waits < SPIN_LOOKS);
    assert(s->rest_ns >= SPIN_REST_MIN_NS && s->rest_ns <= SPIN_REST_MAX_NS);
}

static void enter_spin_state(struct spin *s, enum spin_state state)
{
    assert(s->most_ns > 0);
    s->state = state;
    s->waits = s->shorts = s->looks = s->found = 0;
    *(state == SPIN_ASLEEP ? &s->asleep : &s->awake) = (struct spin_rate){0};
}

static void rest_from_spinning(struct spin *s, uint64_t now_ns)
{
    assert(s->state != SPIN_ASLEEP);
    s->rest_until_ns = now_ns + s->rest_ns;
    s->rest_ns = u64_min(2 * s->rest_ns, SPIN_REST_MAX_NS);
    enter_spin_state(s, SPIN_ASLEEP);
}

static void note_spin_rate(struct spin *s, uint64_t began_ns, uint64_t ended_ns, uint64_t bytes)
{
    assert(began_ns <= ended_ns);
    struct spin_rate *r = s->state == SPIN_ASLEEP ? &s->asleep : &s->awake;
    if (s->waits++ > 0) {
        r->ns += began_ns - u64_min(began_ns, s->ended_ns) + u64_min(ended_ns - began_ns, 2 * s->most_ns);
        r->bytes += bytes - s->bytes;
    }
    s->ended_ns = ended_ns;
    s->bytes = bytes;
}

static bool spinning_gains(const struct spin *s, double tenths)
{
    assert(s->state == SPIN_TRYING);
    assert(tenths > 10);
    double asleep = (double)s->asleep.bytes * (double)s->awake.ns,
           awake = (double)s->awake.bytes * (double)s->asleep.ns;
    return asleep > 0 && awake * 10 >= asleep * tenths;
}

static bool looks_in_vain(struct spin *s, bool found)
{
    assert(s->looks < SPIN_JUDGED);
    s->found += found;
    if (++s->looks < SPIN_JUDGED)
        return false;
    bool vain = 2 * s->found < s->looks;
    s->looks = s->found = 0;
    return vain;
}

static void go_on_trying(struct spin *s, uint64_t now_ns)
{
    assert(s->state == SPIN_TRYING);
    bool asked = s->waits == SPIN_DOUBTS || (s->waits == SPIN_DOUBTS_LONG && s->awake.ns >= SPIN_LONG_NS);
    bool doubtful = asked && !spinning_gains(s, SPIN_DOUBT_TENTHS), over = s->waits == SPIN_TRIES;
    if (doubtful || (over && !spinning_gains(s, SPIN_GAIN_TENTHS)))
        rest_from_spinning(s, now_ns);
    else if (over)
        enter_spin_state(s, SPIN_LOOKING);
}

static void go_on_looking(struct spin *s)
{
    assert(s->state == SPIN_LOOKING);
    if (s->waits < SPIN_LOOKS)
        return;
    s->rest_ns = SPIN_REST_MIN_NS;
    enter_spin_state(s, SPIN_ASLEEP);
}

void spin_waited(struct spin *s, uint64_t began_ns, uint64_t ended_ns, uint64_t bytes, bool found)
{
    assert(s->most_ns > 0);
    if (ended_ns < s->rest_until_ns)
        return;
    note_spin_rate(s, began_ns, ended_ns, bytes);
    if (s->state != SPIN_ASLEEP) {
        if (looks_in_vain(s, found))
            rest_from_spinning(s, ended_ns);
        else if (s->state == SPIN_TRYING)
            go_on_trying(s, ended_ns);
        else
            go_on_looking(s);
        return;
    }
    s->shorts += ended_ns - began_ns < 2 * s->most_ns; /* the waking is in it */
    if (s->waits < SPIN_SLEEPS)
        return;
    bool often = s->shorts >= SPIN_SHORT;
    if (often)
        s->asked_ns = 0;
    enter_spin_state(s, often ? SPIN_TRYING : SPIN_ASLEEP);
}

bool spin_asks(const struct spin *s, uint64_t now_ns)
{
    assert(s->most_ns > 0);
    return s->asked_ns == 0 || now_ns - s->asked_ns >= SPIN_ASK_NS;
}

void spin_told(struct spin *s, uint64_t preempted, uint64_t now_ns)
{
    assert(s->state != SPIN_ASLEEP);
    uint64_t since_ns = now_ns - s->asked_ns, times = preempted - s->preempted;
    bool crowded = s->asked_ns > 0 && times * SPIN_ASK_NS > SPIN_PREEMPTED_MAX * since_ns;
    s->preempted = preempted;
    s->asked_ns = now_ns;
    if (crowded)
        rest_from_spinning(s, now_ns);
}
