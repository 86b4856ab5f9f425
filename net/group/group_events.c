/* See group.h: SyncGroup, Heartbeat, LeaveGroup, commits, DeleteGroups. */
#include "net/group/group_state.h"

/* --- SyncGroup --- */

static bool name_differs(struct kview asked, struct kview is)
{
    return asked.n >= 0 && is.n >= 0 && !kview_same(asked, is);
}

static enum kerr judge_sync_group(const struct group *g, const struct group_sync *e)
{
    if (g->state == GROUP_DEAD)
        return KERR_COORDINATOR_NOT_AVAILABLE;
    if (g->state == GROUP_EMPTY)
        return KERR_UNKNOWN_MEMBER_ID;
    enum kerr error = group_validate(g, e->member_id, e->instance_id);
    if (error != KERR_NONE)
        return error;
    if (e->generation != g->generation)
        return KERR_ILLEGAL_GENERATION;
    if (name_differs(e->protocol_type, group_view(g->protocol_type)) ||
        name_differs(e->protocol, group_view(g->protocol)))
        return KERR_INCONSISTENT_GROUP_PROTOCOL;
    return g->state == GROUP_PREPARING ? KERR_REBALANCE_IN_PROGRESS : KERR_NONE;
}

static void unstage_assignments(struct group *g)
{
    GROUP_EACH(m, g)
    {
        heap_free(g->heap, m->staged.at);
        m->staged = (struct group_text){NULL, -1};
    }
}

/* Of two assignments for one member the later counts; for strangers they are nobody's. */
static enum kerr stage_assignments(struct group *g, const struct group_sync *e)
{
    uint64_t bytes = 0;
    for (int32_t i = 0; i < e->assignment_count; i++) {
        const struct sync_group_request_assignment *a = &e->assignments[i];
        struct group_member *m = group_by_id(g, a->member_id);
        if (!m)
            continue;
        bytes += (uint64_t)a->assignment.n;
        if (bytes > GROUP_ASSIGNMENT_BYTES_MAX)
            return KERR_INVALID_REQUEST;
        heap_free(g->heap, m->staged.at);
        if (!group_copy(g->heap, a->assignment, &m->staged))
            return KERR_COORDINATOR_NOT_AVAILABLE;
    }
    return KERR_NONE;
}

/* Who is missing in it gets an empty assignment. */
static void assign_members(struct group *g)
{
    GROUP_EACH(m, g)
    {
        heap_free(g->heap, m->assignment.at);
        m->assignment = m->staged.n >= 0 ? m->staged : (struct group_text){NULL, 0};
        m->staged = (struct group_text){NULL, -1};
    }
}

bool group_all_synced(const struct group *g)
{
    GROUP_EACH(m, g)
    if (!m->synced)
        return false;
    return true;
}

static void note_member_sync(struct group *g, struct group_member *m)
{
    m->synced = true;
    if (g->sync_due_ns != UINT64_MAX && group_all_synced(g))
        g->sync_due_ns = UINT64_MAX;
}

/* The waiter waits for the leader's assignment to be durable, whichever member brings it. While one is on its way a second one from the
 * leader is not heard: what is answered is what is written. */
static void await_group_sync(struct group *g, struct group_member *m, const struct group_sync *e,
                             const struct group_emit *emit)
{
    bool brings = group_leads(g, m) && g->sync_serial == 0;
    enum kerr error = brings ? stage_assignments(g, e) : KERR_NONE;
    if (error != KERR_NONE) {
        unstage_assignments(g);
        group_refuse_sync(g, e->waiter, error, emit);
        return;
    }
    group_answer_sync(g, m, KERR_REBALANCE_IN_PROGRESS, emit); /* an older request of the same member */
    m->sync_waiter = e->waiter;
    if (!m->is_new)
        m->expires_ns = UINT64_MAX;
    note_member_sync(g, m);
    if (brings) {
        assign_members(g);
        group_persist(g, &g->sync_serial, emit);
    }
}

void group_sync(struct group *g, const struct group_sync *e, struct group_now now, const struct group_emit *emit)
{
    (void)now; /* as in Kafka no sign of life: that is when it is answered */
    assert(e->waiter);
    enum kerr error = judge_sync_group(g, e);
    if (error != KERR_NONE) {
        group_refuse_sync(g, e->waiter, error, emit);
        return;
    }
    struct group_member *m = group_by_id(g, e->member_id);
    if (g->state == GROUP_COMPLETING) {
        await_group_sync(g, m, e, emit);
        return;
    }
    note_member_sync(g, m);
    struct group_action a = {.kind = GROUP_ANSWER_SYNC, .waiter = e->waiter, .member = m};
    emit->act(emit->arg, g, &a);
}

/* --- Heartbeat --- */

enum kerr group_heartbeat(struct group *g, struct kview member_id, struct kview instance_id, int32_t generation,
                          struct group_now now)
{
    if (g->state == GROUP_DEAD)
        return KERR_COORDINATOR_NOT_AVAILABLE;
    enum kerr error = group_validate(g, member_id, instance_id);
    if (error != KERR_NONE)
        return error;
    if (generation != g->generation)
        return KERR_ILLEGAL_GENERATION;
    struct group_member *m = group_by_id(g, member_id);
    group_touch(g, PLANTED(foreign_heartbeat) ? group_member_of(g->members.next) : m, now);
    return g->state == GROUP_PREPARING ? KERR_REBALANCE_IN_PROGRESS : KERR_NONE;
}

/* --- LeaveGroup --- */

static enum kerr remove_leaving_member(struct group *g, struct kview member_id, struct kview instance_id,
                                       const struct group_emit *emit)
{
    struct group_pending *p = group_pending_by_id(g, member_id);
    if (p) {
        group_pending_remove(g, p);
        return KERR_NONE;
    }
    struct group_member *m = member_id.n > 0 ? group_by_id(g, member_id) : group_by_instance(g, instance_id);
    enum kerr error = member_id.n > 0 ? group_validate(g, member_id, instance_id) : KERR_NONE;
    if (error == KERR_NONE && !m)
        error = KERR_UNKNOWN_MEMBER_ID;
    if (error == KERR_NONE)
        group_expel(g, m, emit);
    return error;
}

enum kerr group_leave(struct group *g, struct kview member_id, struct kview instance_id, struct group_now now,
                      const struct group_emit *emit)
{
    if (g->state == GROUP_DEAD)
        return KERR_COORDINATOR_NOT_AVAILABLE;
    enum kerr error = remove_leaving_member(g, member_id, instance_id, emit);
    if (error == KERR_NONE && g->state != GROUP_EMPTY)
        group_rebalance(g, now, emit);
    return error;
}

/* --- commits --- */

/* `anonymous`: the answer to who names nothing, while there are members. */
static enum kerr judge_offset_commit(const struct group *g, struct kview member_id, struct kview instance_id,
                                     int32_t generation, enum kerr anonymous)
{
    if (g->state == GROUP_DEAD)
        return KERR_COORDINATOR_NOT_AVAILABLE;
    if (generation < 0 && g->state == GROUP_EMPTY)
        return KERR_NONE;
    if (generation < 0 && member_id.n <= 0 && instance_id.n < 0)
        return anonymous;
    enum kerr error = group_validate(g, member_id, instance_id);
    if (error != KERR_NONE)
        return error;
    return generation != g->generation && !PLANTED(generation_unchecked) ? KERR_ILLEGAL_GENERATION : KERR_NONE;
}

enum kerr group_commit_check(struct group *g, struct kview member_id, struct kview instance_id, int32_t generation,
                             struct group_now now)
{
    enum kerr error = judge_offset_commit(g, member_id, instance_id, generation, KERR_UNKNOWN_MEMBER_ID);
    if (error == KERR_NONE && g->state == GROUP_COMPLETING)
        error = KERR_REBALANCE_IN_PROGRESS;
    struct group_member *m = group_by_id(g, member_id);
    if (error == KERR_NONE && m)
        group_touch(g, m, now);
    return error;
}

enum kerr group_txn_commit_check(const struct group *g, struct kview member_id, struct kview instance_id,
                                 int32_t generation)
{
    return judge_offset_commit(g, member_id, instance_id, generation, KERR_NONE);
}

/* --- DeleteGroups --- */

enum kerr group_delete(struct group *g, int64_t wall_ms)
{
    if (g->state == GROUP_DEAD)
        return KERR_GROUP_ID_NOT_FOUND;
    if (g->state != GROUP_EMPTY)
        return KERR_NON_EMPTY_GROUP;
    assert(g->member_count == 0);
    group_become(g, GROUP_DEAD, wall_ms);
    return KERR_NONE;
}
