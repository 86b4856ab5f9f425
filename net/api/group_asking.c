/* A request with its questions to coordinators. */
#include "net/api/group_asking.h"

enum { ASK_UNITS = 2 };

/* --- the owners' memory --- */

static void all_answers_back(struct countdown *out)
{
    request_free(container_of(out, struct group_asking, out)->req);
}

static void answer_memory_came_back(struct coord_call *c)
{
    countdown_done(&container_of(c, struct group_question, call)->run->out);
}

static bool give_back_step(struct steps *s)
{
    struct group_asking *run = container_of(s, struct group_asking, steps);
    for (; run->give_back; run->give_back = run->give_back->next) {
        struct coord_call *c = &run->give_back->call;
        if (!steps_go_on(s))
            return true;
        steps_spend(s, 1);
        if (!coord_call_holds(c))
            continue;
        countdown_add(&run->out);
        coord_call_give_back(c, answer_memory_came_back);
    }
    countdown_done(&run->out);
    return false;
}

static void give_answers_back(struct request *req)
{
    struct group_asking *run = req->context;
    countdown_begin(&run->out, all_answers_back);
    run->give_back = run->questions;
    steps_start(&req->server->steps, &run->steps, give_back_step);
}

/* --- answers --- */

static void all_questions_answered(struct countdown *out)
{
    struct group_asking *run = container_of(out, struct group_asking, out);
    run->req->sent = give_answers_back;
    run->reply(run);
}

static void group_question_answered(struct coord_call *c)
{
    struct group_question *q = container_of(c, struct group_question, call);
    struct group_asking *run = q->run;
    if (q->queued) {
        run->asked--;
        run->queued_bytes += coord_call_bytes(c);
        if (run->queue && !run->stepping)
            steps_resume(&run->req->server->steps, &run->steps);
    }
    countdown_done(&run->out);
}

/* --- questions --- */

static void ask_queued_question(struct group_asking *run, struct steps *s)
{
    struct group_question *q = run->queue;
    struct shard *home = run->req->server->shard;
    run->queue = q->queue_next;
    run->asked++;
    q->call.spent_bytes = run->queued_bytes;
    coord_call_start(home, &q->call);
    steps_spend(s, ASK_UNITS);
    if (q->call.owner_id == home->id && q->steps.step)
        steps_spend(s, steps_spent(&q->steps)); /* its first step ran inside */
}

/* The starter's own count is given up when nothing is left in the queue: until then `run` stays. */
static bool ask_queue_step(struct steps *s)
{
    struct group_asking *run = container_of(s, struct group_asking, steps);
    run->stepping = true;
    while (run->queue && run->asked < run->asked_max && steps_go_on(s))
        ask_queued_question(run, s);
    run->stepping = false;
    if (run->queue)
        return run->asked < run->asked_max;
    countdown_done(&run->out);
    return false;
}

void group_asking_init(struct group_asking *run, struct request *req, void (*reply)(struct group_asking *run))
{
    *run = (struct group_asking){.req = req, .reply = reply, .asked_max = 1};
    countdown_begin(&run->out, all_questions_answered);
    req->context = run;
}

static void add_question(struct group_asking *run, struct group_question *q)
{
    q->call.topic = &group_topic;
    q->call.answered = group_question_answered;
    q->run = run;
    q->next = run->questions;
    run->questions = q;
    countdown_add(&run->out);
}

void group_asking_ask(struct group_asking *run, struct group_question *q)
{
    add_question(run, q);
    coord_call_start(run->req->server->shard, &q->call);
}

void group_asking_queue(struct group_asking *run, struct group_question *q)
{
    add_question(run, q);
    q->queued = true;
    q->queue_next = NULL;
    if (run->queue)
        run->queue_end->queue_next = q;
    else
        run->queue = q;
    run->queue_end = q;
}

void group_asking_ask_shard(struct group_asking *run, struct group_question *q, uint16_t shard)
{
    add_question(run, q);
    coord_call_start_at(run->req->server->shard, shard, &q->call);
}

void group_asking_end(struct group_asking *run)
{
    if (run->queue)
        steps_start(&run->req->server->steps, &run->steps, ask_queue_step);
    else
        countdown_done(&run->out);
}

void group_asking_cancel(struct request *req)
{
    struct group_asking *run = req->context;
    assert(run->questions);
    assert(!run->questions->next);
    coord_call_cancel(&run->questions->call);
}

/* --- on the owner --- */

void group_question_steps(struct group_question *q, bool (*step)(struct steps *s))
{
    steps_start(&server_of(q->call.coordinator->shard)->steps, &q->steps, step);
}

bool group_question_tell_members(struct group_question *q, struct members_told *told, const struct group *g,
                                 tell_member_fn *tell)
{
    const struct coord_call *c = &q->call;
    const struct list *l = g->members.next;
    while (l != &g->members && container_of(l, struct group_member, link)->born <= told->born)
        l = l->next;
    for (; l != &g->members && told->count < told->capacity && !c->starved; l = l->next) {
        const struct group_member *m = container_of(l, struct group_member, link);
        size_t before = c->memory.used_bytes;
        if (!steps_go_on(&q->steps))
            return true;
        tell(q, g, m);
        told->count++;
        told->born = m->born;
        steps_spend(&q->steps, 1 + (uint32_t)((c->memory.used_bytes - before) / ANSWER_UNIT_BYTES));
    }
    return false;
}
