/* See asking.h. */
#include "net/api/asking.h"

static void all_answered(struct countdown *c)
{
    struct asking *run = container_of(c, struct asking, out);
    run->over(run);
}

static bool asking_step(struct steps *s)
{
    struct asking *run = container_of(s, struct asking, steps);
    for (; steps_go_on(s); steps_spend(s, 1)) {
        run->held = run->out.left > run->out_max; /* the steps themselves count as one */
        if (run->held)
            return false;
        if (!run->next(run)) {
            countdown_done(&run->out);
            return false;
        }
    }
    return true;
}

void asking_begin(struct asking *run, struct request *req, uint32_t out_max, bool (*next)(struct asking *),
                  void (*over)(struct asking *))
{
    assert(next);
    assert(over);
    assert(out_max > 1);
    run->req = req;
    run->next = next;
    run->over = over;
    run->out_max = out_max;
    run->held = false;
    run->out_most = 0;
    countdown_begin(&run->out, all_answered);
    steps_start(&req->server->steps, &run->steps, asking_step);
}

void asking_answered(struct asking *run)
{
    if (run->held && run->out.left <= run->out_max / 2) {
        run->held = false;
        steps_resume(&run->req->server->steps, &run->steps);
    }
    countdown_done(&run->out);
}

static void partition_answered(struct part_call *c)
{
    struct asked_partition *a = container_of(c, struct asked_partition, call);
    if (!a->at_home || a->at_home(a))
        asking_answered(a->run);
}

void asking_add(struct asking *run)
{
    countdown_add(&run->out);
    if (run->out.left - 1 > run->out_most)
        run->out_most = run->out.left - 1;
}

void asking_ask(struct asking *run, struct asked_partition *a, const struct topic *t, int32_t partition,
                void (*ask)(struct part_call *c, struct partition *p))
{
    a->run = run;
    memcpy(a->call.topic_id, t->id, sizeof a->call.topic_id);
    a->call.partition = partition;
    a->call.ask = ask;
    a->call.answered = partition_answered;
    asking_add(run);
    part_call_start(run->req->server->shard, &a->call);
}
