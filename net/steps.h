/* Long work of a request in steps, so that its shard goes on serving: a step does what STEP_UNITS allow, and the next one comes in a
 * later turn. All long requests of a shard stand in one line, of which one step runs a turn: many of them at once make each of them
 * slower, and no turn longer.
 *
 *     static bool list_step(struct steps *s)           // true: there is more to do
 *     {
 *         struct list_run *run = container_of(s, struct list_run, steps);
 *         while (steps_go_on(s)) {
 *             if (!run->next) {
 *                 list_reply(run);                     // `run` is gone
 *                 return false;
 *             }
 *             list_one(run);                           // one item: keeps nothing of the catalog in `run`
 *             steps_spend(s, 1);                       // what it cost, in units
 *         }
 *         return true;
 *     }
 *     ...
 *     steps_start(&req->server->steps, &run->steps, list_step);
 *
 * The first step runs inside steps_start: small requests are answered in the turn in which they came. Of long ones one first step is a
 * turn's step, and those that begin behind it in the turn get a tenth of it.
 *
 * Units are guesses, and where each touches memory that the kernel has to find first they are wrong: a step's time is looked at now and
 * then too. */
#pragma once
#include "core/shard.h"

enum {
    STEP_UNITS = 500, /* a unit is what about a microsecond does: a partition asked, a few dozen fields filled in */
    STEP_UNITS_SMALL = 50,
    STEP_LOOK_UNITS = 16,     /* so often its time is looked at */
    STEP_NS_MAX = 1000 * 1000 /* then it is over, whatever is left */
};

struct steps_line {
    struct shard *shard;
    struct list waiting; /* of steps, in the order in which they get their turn */
    struct shard_defer defer;
    bool stepped;       /* this turn had its step: the first one of a long request */
    uint64_t steps_run; /* behind the first ones; for tests */
};
struct steps {
    bool (*step)(struct steps *s);
    uint32_t given, left; /* units of this step */
    uint32_t look_at;     /* of those left: then its time is looked at */
    uint64_t until_ns;
    struct list link;
};

void steps_line_init(struct steps_line *line, struct shard *shard);
/* Before its first step, which steps_resume asks for. */
static inline void steps_init(struct steps *s, bool (*step)(struct steps *s))
{
    assert(step);
    s->step = step;
    list_init(&s->link);
}
/* Runs the first step now, the others in turns to come. */
void steps_start(struct steps_line *line, struct steps *s, bool (*step)(struct steps *s));
/* For work whose step answered false without being over, because it waits for something: it stands in line again. Doing so
 * twice is once. */
void steps_resume(struct steps_line *line, struct steps *s);

/* What a first step may do now: smaller work is over with it. */
static inline uint32_t steps_first_units(const struct steps_line *line)
{
    return line->stepped ? STEP_UNITS_SMALL : STEP_UNITS;
}
static inline uint32_t steps_spent(const struct steps *s)
{
    return s->given - s->left;
}
static inline bool steps_go_on(const struct steps *s)
{
    return s->left > 0;
}
void steps_look(struct steps *s); /* steps_spend does */
static inline void steps_spend(struct steps *s, uint32_t units)
{
    s->left -= units < s->left ? units : s->left;
    if (s->left <= s->look_at)
        steps_look(s);
}
