/* Whether a shard that has nothing to do looks for work for a moment before it sleeps. Falling asleep and being woken takes some 5 us on bare metal and
 * 30 to 50 in a virtual machine; looking takes the processor. Worth it is only what somebody waits for: where the next request comes when the last one is
 * answered, the shard does half as much again in the same time; where requests come by themselves, looking changes nothing but the bill. So it is tried.
 * Pure: times and counts come from outside.
 *
 *     SLEEPS --SPIN_SLEEPS waits, most of them short--> TRIES --SPIN_TRIES looks, and more was done in the same time--> LOOKS --SPIN_LOOKS--> SLEEPS
 *       ^                                                 |                                                              |
 *       '----- RESTS, in which all is slept through <-----'- not much more was done; or half of some looks were in vain -'
 *                                                            or another thread wants the processor
 *
 * An idle shard's waits are long, so it never looks. Each rest is twice as long as the one before, until it has looked SPIN_LOOKS times. */
#pragma once
#include "core/base.h"

enum {
    SPIN_SLEEPS = 64, /* waits: fewer than one in a hundred of all */
    SPIN_SHORT = 48,  /* of them */
    SPIN_TRIES = 256, /* looks: some milliseconds, or some ten where they wait for a disk */
    SPIN_DOUBTS =
        64, /* after so many of them it ends where little has been gained so far: a trial that wins nothing is paid for */
    SPIN_DOUBTS_LONG = 16,  /* the same where they are long, as with a disk in between: SPIN_LONG_NS until then */
    SPIN_LOOKS = 8192,      /* then sleeping is tried again */
    SPIN_GAIN_TENTHS = 14,  /* how much of what was done asleep has to be done awake */
    SPIN_DOUBT_TENTHS = 12, /* and by then */
    SPIN_JUDGED = 32,       /* looks are judged in groups of so many: half of them have to have found something */
    SPIN_PREEMPTED_MAX = 8, /* a tenth of a second: another thread that is busy takes the processor 12 to 18 times */
};
#define SPIN_LONG_NS (3ull * 1000 * 1000)
#define SPIN_REST_MIN_NS (100ull * 1000 * 1000)
#define SPIN_REST_MAX_NS (3200ull * 1000 * 1000)
#define SPIN_ASK_NS (100ull * 1000 * 1000)

enum spin_state { SPIN_ASLEEP, SPIN_TRYING, SPIN_LOOKING };

/* What was done in how much time. Of a long wait only the beginning counts: nobody waited for us then. */
struct spin_rate {
    uint64_t bytes, ns;
};
struct spin {
    uint64_t most_ns; /* so long it looks at most; 0: it never does */
    enum spin_state state;
    uint32_t waits, shorts; /* in this state */
    uint32_t looks, found;  /* of the group that is to be judged */
    uint64_t rest_until_ns, rest_ns;
    uint64_t ended_ns, bytes; /* when the last wait ended, and what was done until then */
    struct spin_rate asleep, awake;
    uint64_t preempted, asked_ns;
};

void spin_init(struct spin *s, uint64_t most_ns);
/* Before a wait: is it looked for work first? */
static inline bool spin_wants(const struct spin *s)
{
    return s->state != SPIN_ASLEEP;
}
/* After every wait, looked before or not (then `found` says nothing). `bytes`: done so far, of whatever kind grows with requests (io_spent). */
void spin_waited(struct spin *s, uint64_t began_ns, uint64_t ended_ns, uint64_t bytes, bool found);
/* Now and then, while it looks: is it time to ask how often another thread took the processor from this one (thread_preempted)? */
bool spin_asks(const struct spin *s, uint64_t now_ns);
void spin_told(struct spin *s, uint64_t preempted, uint64_t now_ns);
/* Asserts that the fields agree. */
void spin_check(const struct spin *s);
