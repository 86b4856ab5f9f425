/* See steps.h. */
#include "net/steps.h"
#include "core/clock.h"

static uint32_t next_look(const struct steps *s)
{
    return s->left > STEP_LOOK_UNITS ? s->left - STEP_LOOK_UNITS : 0;
}

void steps_look(struct steps *s)
{
    assert(s->left <= s->given);
    if (clock_now_ns() >= s->until_ns) {
        s->given -= s->left;
        s->left = 0;
    }
    s->look_at = next_look(s);
}

static bool run_one_step(struct steps *s, uint32_t units)
{
    assert(s->step);
    assert(!list_linked(&s->link));
    s->given = s->left = units;
    s->look_at = next_look(s);
    s->until_ns = clock_now_ns() + STEP_NS_MAX;
    return s->step(s); /* `s` may be gone, when there is no more */
}

static void run_line(struct shard_defer *d)
{
    struct steps_line *line = container_of(d, struct steps_line, defer);
    struct list *first = line->stepped ? NULL : list_pop(&line->waiting);
    if (first) {
        struct steps *s = container_of(first, struct steps, link);
        line->steps_run++;
        if (run_one_step(s, STEP_UNITS))
            list_push(&line->waiting, &s->link);
    }
    line->stepped = false; /* also where the step began others */
    if (!list_empty(&line->waiting))
        shard_defer(line->shard, &line->defer);
}

void steps_line_init(struct steps_line *line, struct shard *shard)
{
    assert(shard);
    *line = (struct steps_line){.shard = shard};
    list_init(&line->waiting);
    shard_defer_init(&line->defer, run_line);
}

void steps_start(struct steps_line *line, struct steps *s, bool (*step)(struct steps *s))
{
    assert(line->shard);
    steps_init(s, step);
    if (!run_one_step(s, steps_first_units(line)))
        return;
    line->stepped = true;
    steps_resume(line, s);
}

void steps_resume(struct steps_line *line, struct steps *s)
{
    assert(s->step);
    if (!list_linked(&s->link))
        list_push(&line->waiting, &s->link);
    shard_defer(line->shard, &line->defer);
}
