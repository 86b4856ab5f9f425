/* See group.h: JoinGroup. */
#include "net/group/group_state.h"

static const struct kview no_id = {NULL, 0};

static void answer_join_again(struct group *g, struct group_member *m, void *waiter, const struct group_emit *emit)
{
    struct group_action a = {.kind = GROUP_ANSWER_JOIN,
                             .waiter = waiter,
                             .member = m,
                             .member_id = group_view(m->id),
                             .leader = group_view(g->leader)};
    emit->act(emit->arg, g, &a);
}

static int32_t group_size_max(const struct group *g)
{
    return g->rules->size_max < GROUP_MEMBERS_MAX ? g->rules->size_max : GROUP_MEMBERS_MAX;
}

/* While members gather, those who have joined count, so that the last ones of a group that is too large are put out. */
static bool group_accepts_member(const struct group *g, const struct group_member *m)
{
    switch (g->state) {
    case GROUP_EMPTY:
    case GROUP_DEAD: return true;
    case GROUP_PREPARING: return (m && m->join_waiter) || g->joined_count < group_size_max(g);
    case GROUP_COMPLETING:
    case GROUP_STABLE: return m || g->member_count < group_size_max(g);
    }
    return false;
}

static bool bounded_protocols(const struct group *g, const struct group_join *e, const struct group_member *m)
{
    uint64_t bytes = 0;
    if (e->protocol_count > GROUP_PROTOCOLS_MAX)
        return false;
    for (int32_t i = 0; i < e->protocol_count; i++)
        bytes += (uint64_t)e->protocols[i].name.n + (uint64_t)e->protocols[i].metadata.n;
    uint64_t others = g->metadata_bytes - (m ? group_protocols_bytes(m->protocols, m->protocol_count) : 0);
    return bytes <= GROUP_MEMBER_BYTES_MAX && others + bytes <= GROUP_METADATA_BYTES_MAX && e->fresh_id.n <= INT16_MAX;
}

static void add_joining_member(struct group *g, const struct group_join *e, struct kview id, struct group_now now,
                               const struct group_emit *emit)
{
    if (g->member_count >= GROUP_MEMBERS_MAX) {
        group_refuse_join(g, e->waiter, KERR_GROUP_MAX_SIZE_REACHED, no_id, emit);
    } else if (group_add(g, e, id, now) != ERR_NONE) {
        group_refuse_join(g, e->waiter, KERR_COORDINATOR_NOT_AVAILABLE, e->member_id, emit);
    } else {
        g->new_since = g->state == GROUP_PREPARING && g->initial;
        group_rebalance(g, now, emit);
    }
}

static void update_joining_member(struct group *g, struct group_member *m, const struct group_join *e,
                                  struct group_now now, const struct group_emit *emit)
{
    if (group_update(g, m, e, emit) != ERR_NONE)
        group_refuse_join(g, e->waiter, KERR_COORDINATOR_NOT_AVAILABLE, e->member_id, emit);
    else
        group_rebalance(g, now, emit);
}

/* --- without a member id --- */

/* KIP-394: a client that never hears of its id must not stay in the group. */
static void give_member_id(struct group *g, const struct group_join *e, struct group_now now,
                           const struct group_emit *emit)
{
    uint64_t expires_ns = now.ns + group_ns(e->session_timeout_ms);
    if (g->pending_count >= GROUP_PENDING_MAX || group_pending_add(g, e->fresh_id, expires_ns) != ERR_NONE)
        group_refuse_join(g, e->waiter, KERR_COORDINATOR_NOT_AVAILABLE, no_id, emit);
    else
        group_refuse_join(g, e->waiter, KERR_MEMBER_ID_REQUIRED, e->fresh_id, emit);
}

/* A static member that came back. While it changes nothing for the others, they are left in peace (KIP-345). */
static void rejoin_static_member(struct group *g, struct group_member *m, const struct group_join *e,
                                 struct group_now now, const struct group_emit *emit)
{
    if (group_replace(g, m, e, now, emit) != ERR_NONE) {
        group_refuse_join(g, e->waiter, KERR_COORDINATOR_NOT_AVAILABLE, no_id, emit);
    } else if (g->state == GROUP_STABLE && kview_same(group_select(g), group_view(g->protocol))) {
        group_persist(g, &m->join_serial, emit);
    } else {
        group_undo_drop(g, m);
        group_rebalance(g, now, emit);
    }
}

static void join_new_member(struct group *g, const struct group_join *e, struct group_now now,
                            const struct group_emit *emit)
{
    struct group_member *m = group_by_instance(g, e->instance_id);
    if (m)
        rejoin_static_member(g, m, e, now, emit);
    else if (e->instance_id.n < 0 && e->id_required)
        give_member_id(g, e, now, emit);
    else
        add_joining_member(g, e, e->fresh_id, now, emit);
}

/* --- with one --- */

static void join_known_member_again(struct group *g, struct group_member *m, const struct group_join *e,
                                    struct group_now now, const struct group_emit *emit)
{
    /* The same metadata while nothing changes: the answer got lost, or a follower asks. A leader that asks in a stable group
     * wants a rebalance: topics may have changed. */
    bool same = group_protocols_match(m, e);
    if (g->state == GROUP_COMPLETING && same)
        answer_join_again(g, m, e->waiter, emit);
    else if (g->state == GROUP_STABLE && same && !group_leads(g, m))
        answer_join_again(g, m, e->waiter, emit);
    else
        update_joining_member(g, m, e, now, emit);
}

static void join_known_member(struct group *g, const struct group_join *e, struct group_now now,
                              const struct group_emit *emit)
{
    bool pending = group_pending_by_id(g, e->member_id);
    if (pending && e->instance_id.n < 0) {
        add_joining_member(g, e, e->member_id, now, emit);
        return;
    }
    enum kerr error = pending ? KERR_UNKNOWN_SERVER_ERROR : group_validate(g, e->member_id, e->instance_id);
    if (error != KERR_NONE)
        group_refuse_join(g, e->waiter, error, e->member_id, emit);
    else
        join_known_member_again(g, group_by_id(g, e->member_id), e, now, emit);
}

/* --- both --- */

/* An id that is refused for want of a place loses the one that it had. */
static void refuse_member_place(struct group *g, const struct group_join *e, struct group_member *m,
                                struct group_now now, const struct group_emit *emit)
{
    struct group_pending *p = group_pending_by_id(g, e->member_id);
    if (m)
        group_expel(g, m, emit);
    if (p)
        group_pending_remove(g, p);
    group_refuse_join(g, e->waiter, KERR_GROUP_MAX_SIZE_REACHED, no_id, emit);
    group_maybe_complete(g, now, emit);
}

static enum kerr judge_join_group(const struct group *g, const struct group_join *e, const struct group_member *m)
{
    if (e->session_timeout_ms < g->rules->session_ms_min || e->session_timeout_ms > g->rules->session_ms_max)
        return KERR_INVALID_SESSION_TIMEOUT;
    if (e->may_create && e->member_id.n > 0)
        return KERR_UNKNOWN_MEMBER_ID;
    if (!group_accepts_member(g, m))
        return KERR_GROUP_MAX_SIZE_REACHED;
    if (g->state == GROUP_DEAD)
        return KERR_COORDINATOR_NOT_AVAILABLE;
    if (!bounded_protocols(g, e, m ? m : group_by_instance(g, e->instance_id)))
        return KERR_INVALID_REQUEST;
    return group_supports(g, e) ? KERR_NONE : KERR_INCONSISTENT_GROUP_PROTOCOL;
}

void group_join(struct group *g, const struct group_join *e, struct group_now now, const struct group_emit *emit)
{
    assert(e->waiter && e->fresh_id.n > 0);
    struct group_member *m = group_by_id(g, e->member_id);
    enum kerr error = judge_join_group(g, e, m);
    if (error == KERR_GROUP_MAX_SIZE_REACHED)
        refuse_member_place(g, e, m, now, emit);
    else if (error != KERR_NONE)
        group_refuse_join(g, e->waiter, error, e->member_id, emit);
    else if (e->member_id.n > 0)
        join_known_member(g, e, now, emit);
    else
        join_new_member(g, e, now, emit);
}
