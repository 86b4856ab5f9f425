#include "net/coord/pace.h"

static void run_pace_job(struct shard_defer *d)
{
    struct pace *p = container_of(d, struct pace, defer);
    struct list *l = list_pop(&p->waiting);
    if (!list_empty(&p->waiting))
        shard_defer(p->shard, &p->defer);
    if (!l)
        return; /* it was removed */
    struct pace_job *j = container_of(l, struct pace_job, link);
    j->run(j);
}

void pace_init(struct pace *p, struct shard *s)
{
    assert(s);
    *p = (struct pace){.shard = s};
    list_init(&p->waiting);
    shard_defer_init(&p->defer, run_pace_job);
}

void pace_job_init(struct pace_job *j, void (*run)(struct pace_job *j))
{
    assert(run);
    j->run = run;
    list_init(&j->link);
}

void pace_add(struct pace *p, struct pace_job *j)
{
    if (list_linked(&j->link))
        return;
    list_push(&p->waiting, &j->link);
    shard_defer(p->shard, &p->defer);
}
