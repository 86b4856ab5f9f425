/* A request with its questions to coordinators under way (net/coord/coord_call.h). The last answer sends the reply; when that
 * was sent, the owners get the memory of their answers back, and then the request is freed.
 *
 * A request may name a group ten thousand times. Its questions are therefore queued: `asked_max` of them are under way at once, asked in
 * steps; each gets what those before it left of the memory that all answers may hold. */
#pragma once
#include "net/coord/coord_call.h"
#include "net/countdown.h"
#include "net/group/coordinator.h"
#include "net/server.h"
#include "net/steps.h"

struct group_asking {
    struct request *req;
    void (*reply)(struct group_asking *run);  /* with REQUEST_REPLY or request_fail; `run` is gone after that */
    struct group_question *questions;         /* all of them, newest first */
    struct group_question *queue, *queue_end; /* not yet asked, in order */
    uint32_t asked, asked_max;                /* of the queue: under way; how many may be */
    size_t queued_bytes;                      /* what the answers to those of the queue hold */
    struct steps steps;                       /* of asking the queue, then of giving back */
    struct group_question *give_back;         /* the next one */
    bool stepping;
    struct countdown out; /* without an answer, plus one while they are started; then: memory on its way */
};
/* Embedded in what it is about, in the request's memory. `call.key`, the group's id, and `call.ask` are the handler's. */
struct group_question {
    struct coord_call call;
    struct group_waiter waiter; /* of JoinGroup and SyncGroup */
    struct steps steps;         /* the owner's, of an answer that takes several turns */
    struct group_asking *run;
    struct group_question *next, *queue_next;
    bool queued;
};

void group_asking_init(struct group_asking *run, struct request *req, void (*reply)(struct group_asking *run));
void group_asking_ask(struct group_asking *run, struct group_question *q);
/* The same, when those that were queued before it leave room. */
void group_asking_queue(struct group_asking *run, struct group_question *q);
/* All groups of one shard. */
void group_asking_ask_shard(struct group_asking *run, struct group_question *q, uint16_t shard);
/* No more questions. `run` may be gone after this. */
void group_asking_end(struct group_asking *run);
/* The only question waits in a group for long: tells it to give up. For request->cancel. */
void group_asking_cancel(struct request *req);

enum { ANSWER_UNIT_BYTES = 1024 }; /* of what is copied into an answer: another unit of a step */
/* On the owner, for `ask` or later: the answer is made in steps, the first of them now. In each of them group_asked tells what is there. */
void group_question_steps(struct group_question *q, bool (*step)(struct steps *s));
/* How far an answer is that tells of a group's members. What it may be told in a later step: members that came or went since the first. */
struct members_told {
    int32_t count, capacity; /* that fit */
    uint64_t born;           /* of the last one */
};
typedef void tell_member_fn(struct group_question *q, const struct group *g, const struct group_member *m);
/* In a step: `tell` is called for each further member, as far as memory goes. True: the step is over, and there are more. */
bool group_question_tell_members(struct group_question *q, struct members_told *told, const struct group *g,
                                 tell_member_fn *tell);
/* The group; NULL: with call.error, or it is not known. */
static inline struct group_entry *group_asked(const struct coord_call *c)
{
    return c->error ? NULL : group_log_find(group_log_of(c->log), c->key);
}
/* An id that Kafka's coordinator takes: not empty. */
static inline bool group_id_given(struct kview id)
{
    return id.n > 0;
}
