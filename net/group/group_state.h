/* What the files of the group's state machine share: group.c (life), group_members.c (who is in it), group_rebalance.c
 * (JoinGroup, and from one generation to the next), group_events.c (the other requests), group_record.c, group_check.c.
 *
 * Whatever may fail for want of memory is done before the group is touched. A function that takes `emit` may answer waiters, and
 * may free members: no pointer to a member is kept across it. */
#pragma once
#include "core/clock.h"
#include "net/group/group.h"
#include "net/limits.h"

/* A static member that came back has a new id at once; should its record not get durable, it is again who it was. */
struct group_undo {
    struct group_text id;
    struct group_protocol *protocols;
    int32_t protocol_count, rebalance_ms, session_ms;
    bool led; /* it was the leader: clients without skip_assignment are told the former id */
};

static inline struct group_member *group_member_of(struct list *node)
{
    return container_of(node, struct group_member, link);
}
#define GROUP_EACH(m, g)                                                                           \
    for (struct group_member *m = group_member_of((g)->members.next); &(m)->link != &(g)->members; \
         m = group_member_of((m)->link.next))

static inline uint64_t group_ns(int64_t ms)
{
    return ms > 0 ? (uint64_t)ms * NS_PER_MS : 0;
}
static inline bool group_waits(const struct group_member *m)
{
    return m->join_waiter || m->sync_waiter;
}

/* --- group.c --- */
/* NULL: no such member, or no such text. */
struct group_member *group_by_id(const struct group *g, struct kview id);
struct group_member *group_by_instance(const struct group *g, struct kview instance_id);
struct group_pending *group_pending_by_id(const struct group *g, struct kview id);
/* Kafka's validateMember. */
enum kerr group_validate(const struct group *g, struct kview member_id, struct kview instance_id);
bool group_leads(const struct group *g, const struct group_member *m);
/* A sign of life: a whole session time-out from now on, unless it waits for an answer. */
void group_touch(struct group *g, struct group_member *m, struct group_now now);
void group_expire_at(struct group *g, uint64_t *out_expires_ns, uint64_t at_ns);
void group_become(struct group *g, enum group_state state, int64_t wall_ms);
/* Takes the waiter from the member and answers it; nothing when there is none. */
void group_answer_join(struct group *g, struct group_member *m, enum kerr error, const struct group_emit *emit);
void group_answer_sync(struct group *g, struct group_member *m, enum kerr error, const struct group_emit *emit);
/* A waiter that belongs to no member. */
void group_refuse_join(struct group *g, void *waiter, enum kerr error, struct kview member_id,
                       const struct group_emit *emit);
void group_refuse_sync(struct group *g, void *waiter, enum kerr error, const struct group_emit *emit);
/* *out_serial is set before the record is taken from the group. */
void group_persist(struct group *g, uint32_t *out_serial, const struct group_emit *emit);

/* --- group_members.c --- */
void group_protocols_free(struct group *g, struct group_protocol *v, int32_t count);
void group_protocol_uses_free(struct group *g);
uint64_t group_protocols_bytes(const struct group_protocol *v, int32_t count);
/* Both have the request's protocols in the same order with the same metadata? */
bool group_protocols_match(const struct group_member *m, const struct group_join *e);
/* Does the group, as it is, go on with somebody of this type and these protocols? */
bool group_supports(const struct group *g, const struct group_join *e);
/* Does every member have this protocol? */
bool group_all_know(const struct group *g, struct kview name);
/* The protocol that all support and most prefer. There are members. */
struct kview group_select(const struct group *g);
/* The name fits: room was made when its member brought it. */
void group_set_protocol(struct group *g, struct kview name);
/* A member that waits for its first JoinGroup; ERR_NO_MEMORY leaves the group as it was. A pending id is pending no more. */
enum err group_add(struct group *g, const struct group_join *e, struct kview id, struct group_now now) must_use;
/* Puts a member with all its texts into the group; frees it when there is no memory. */
enum err group_insert(struct group *g, struct group_member *m) must_use;
struct group_member *group_member_make(struct group *g, struct kview id, struct kview instance_id,
                                       struct kview client_id, struct kview client_host) must_use;
/* The member's protocols and time-outs from its JoinGroup, and its waiter. An older waiter is answered. */
enum err group_update(struct group *g, struct group_member *m, const struct group_join *e,
                      const struct group_emit *emit) must_use;
/* A static member under its new id: a waiter under the old one is fenced. Its undo is set. */
enum err group_replace(struct group *g, struct group_member *m, const struct group_join *e, struct group_now now,
                       const struct group_emit *emit) must_use;
void group_undo_apply(struct group *g, struct group_member *m);
void group_undo_drop(struct group *g, struct group_member *m);
/* Its waiters have been answered. Another one leads when it did. */
void group_remove(struct group *g, struct group_member *m);
void group_member_free(struct group *g, struct group_member *m);
void group_lead(struct group *g, const struct group_member *m); /* NULL: nobody */
enum err group_pending_add(struct group *g, struct kview id, uint64_t expires_ns) must_use;
void group_pending_remove(struct group *g, struct group_pending *p);

/* --- group_record.c --- */
/* Somebody's metadata goes, or counts no more, or somebody else's counts. */
void group_topics_changed(struct group *g);

/* --- group_rebalance.c --- */
/* After a change of the members: begins a rebalance, or ends the one that was waiting for this. */
void group_rebalance(struct group *g, struct group_now now, const struct group_emit *emit);
/* PREPARING, not the first rebalance, and all have joined: ends it. */
void group_maybe_complete(struct group *g, struct group_now now, const struct group_emit *emit);
/* STABLE, COMPLETING or EMPTY. */
void group_prepare(struct group *g, struct group_now now, const struct group_emit *emit);
/* Answers the waiters of a member with UNKNOWN_MEMBER_ID, then removes it. */
void group_expel(struct group *g, struct group_member *m, const struct group_emit *emit);

/* --- group_events.c --- */
/* Has every member of this generation asked for its assignment? */
bool group_all_synced(const struct group *g);
