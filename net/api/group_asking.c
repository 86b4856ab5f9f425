/* A request with its questions to coordinators. */
#include "net/api/group_asking.h"

/* --- the owners' memory --- */

static void answer_memory_back(struct group_asking *run)
{
    assert(run->waiting > 0);
    if (--run->waiting == 0)
        request_free(run->req);
}

static void answer_memory_came_back(struct coord_call *c)
{
    answer_memory_back(container_of(c, struct group_question, call)->run);
}

static void give_answers_back(struct request *req)
{
    struct group_asking *run = req->context;
    run->waiting = 1;
    for (struct group_question *q = run->questions; q; q = q->next) {
        if (!coord_call_holds(&q->call))
            continue;
        run->waiting++;
        coord_call_give_back(&q->call, answer_memory_came_back);
    }
    answer_memory_back(run);
}

/* --- answers --- */

static void group_question_over(struct group_asking *run)
{
    assert(run->waiting > 0);
    if (--run->waiting > 0)
        return;
    run->req->sent = give_answers_back;
    run->reply(run);
}

static void group_question_answered(struct coord_call *c)
{
    struct group_question *q = container_of(c, struct group_question, call);
    struct group_asking *run = q->run;
    struct shard *home = run->req->server->shard;
    if (q->queued)
        run->queued_bytes += coord_call_bytes(c);
    if (q->queued && run->queue)
        shard_send(home, home->id, &run->turn);
    group_question_over(run);
}

/* --- questions --- */

static void ask_queued_question(struct group_asking *run)
{
    struct group_question *q = run->queue;
    assert(q);
    run->queue = q->queue_next;
    q->call.spent_bytes = run->queued_bytes;
    coord_call_start(run->req->server->shard, &q->call);
}

static void take_question_turn(struct shard *home, struct shard_msg *msg)
{
    struct group_asking *run = container_of(msg, struct group_asking, turn);
    assert(run->req->server->shard == home);
    ask_queued_question(run);
}

void group_asking_init(struct group_asking *run, struct request *req, void (*reply)(struct group_asking *run))
{
    *run = (struct group_asking){.req = req, .reply = reply, .waiting = 1};
    shard_msg_init(&run->turn, take_question_turn);
    req->context = run;
}

static void add_question(struct group_asking *run, struct group_question *q)
{
    q->call.topic = &group_topic;
    q->call.answered = group_question_answered;
    q->run = run;
    q->next = run->questions;
    run->questions = q;
    run->waiting++;
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
        ask_queued_question(run);
    group_question_over(run);
}

void group_asking_cancel(struct request *req)
{
    struct group_asking *run = req->context;
    assert(run->questions);
    assert(!run->questions->next);
    coord_call_cancel(&run->questions->call);
}
