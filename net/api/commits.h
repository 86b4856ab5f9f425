/* What OffsetCommit and TxnOffsetCommit do at home with the partitions that they name: which of them exist, and so what the group's shard
 * is asked to commit. */
#pragma once
#include "net/api/api.h"
#include "net/coord/coord_call.h"
#include "net/group/offsets.h"

struct commits {
    struct request *req;
    bool by_id; /* topics are named by their ids */
    int64_t now_ms;
    int64_t expire_ms;   /* -1: when the group's rules say so */
    struct committed *v; /* to commit; views into the request */
    int32_t count;
    int16_t *
        *asked; /* of each partition that exists, the error in the reply: the group's goes there, if there is one */
    int32_t asked_count;
};
/* The request names so many partitions. False: no memory. */
bool commits_begin(struct commits *c, struct request *req, size_t partitions, bool by_id) must_use;

/* A topic as the catalog has it in this turn. */
struct commits_topic {
    const struct topic *found; /* NULL: it is not there */
    struct kview name;
};
/* False: no memory. */
bool commits_topic(struct commits *c, struct kview name, struct kuuid id, struct commits_topic *out) must_use;
/* A partition of it, `what` as the request has it (commit_ms -1: now; metadata may be null). It is to be committed, or *out_error says why
 * not. */
void commits_add(struct commits *c, const struct commits_topic *t, struct committed what, int16_t *out_error);
/* On the group's shard: whom the commits are of. A client that commits without a generation makes a simple group, which has offsets and no members.
 * NULL: *out_error says why; `knows_no_group`: the client knows GROUP_ID_NOT_FOUND. */
struct group_entry *commits_group(const struct coord_call *call, int32_t generation, bool knows_no_group,
                                  enum kerr *out_error);
/* The group's answer: to all that exist. */
void commits_answer(const struct commits *c, enum kerr error);
