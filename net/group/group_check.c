/* See group.h: what holds between two events. */
#include "net/group/group_state.h"

static const char *check_member_waiters(const struct group *g, const struct group_member *m)
{
    bool may_join = g->state == GROUP_PREPARING || (g->state == GROUP_STABLE && m->join_serial != 0);
    if (m->join_waiter && !may_join)
        return "a member waits for a rebalance that nobody will end";
    if (m->sync_waiter && g->state != GROUP_COMPLETING)
        return "a member waits for an assignment that nobody will bring";
    if (m->sync_waiter && !m->synced)
        return "a member waits for an assignment and has not asked for it";
    if (m->join_serial != 0 && (g->state != GROUP_STABLE || !m->undo))
        return "a record of a static member is awaited that changes nothing";
    if (m->undo && m->join_serial == 0)
        return "a former id is kept in vain";
    return NULL;
}

static const char *check_member_protocols(const struct group *g)
{
    uint32_t cursor = 0;
    const struct group_protocol_use *u;
    while ((u = map_next(&g->by_protocol, &cursor))) {
        int32_t members = 0;
        GROUP_EACH(m, g)
        {
            bool has = false;
            for (int32_t i = 0; i < m->protocol_count; i++)
                has |= kview_same(group_view(m->protocols[i].name), group_view(u->name));
            members += has;
        }
        if (members != u->members || u->refs < u->members)
            return "a protocol is counted wrongly";
    }
    return NULL;
}

static const char *check_member_expiry(const struct group *g, const struct group_member *m)
{
    if ((m->expires_ns == UINT64_MAX) != (group_waits(m) && !m->is_new))
        return "a member that waits may expire, or one that does not never will";
    if (m->is_new && !m->join_waiter)
        return "a member is new without a first JoinGroup";
    if (m->expires_ns < g->expiry_ns)
        return "a member expires before the group looks";
    return NULL;
}

static const char *check_group_member(const struct group *g, const struct group_member *m)
{
    if (group_by_id(g, group_view(m->id)) != m)
        return "a member is not found by its id";
    if (m->instance_id.n >= 0 && group_by_instance(g, group_view(m->instance_id)) != m)
        return "a static member is not found by its instance id";
    if (group_pending_by_id(g, group_view(m->id)))
        return "a member's id is pending";
    if (m->protocol_count < 1 || m->protocol_count > GROUP_PROTOCOLS_MAX)
        return "a member has no protocols, or too many";
    if (m->staged.at || m->assignment.n < 0)
        return "an assignment is half done";
    return NULL;
}

static const char *check_group_members(const struct group *g)
{
    const char *wrong = NULL;
    int32_t count = 0, joined = 0, instances = 0;
    uint64_t bytes = 0;
    bool led = false;
    GROUP_EACH(m, g)
    {
        if ((wrong = check_group_member(g, m)) || (wrong = check_member_waiters(g, m)))
            return wrong;
        if (g->state != GROUP_DEAD && (wrong = check_member_expiry(g, m)))
            return wrong;
        count++;
        joined += m->join_waiter != NULL;
        instances += m->instance_id.n >= 0;
        bytes += group_protocols_bytes(m->protocols, m->protocol_count);
        led |= group_leads(g, m);
    }
    if (count != g->member_count || (uint32_t)count != g->by_id.count || (uint32_t)instances != g->by_instance.count)
        return "the maps of members disagree with the list";
    if (joined != g->joined_count || bytes != g->metadata_bytes)
        return "a count of the members is wrong";
    return led == (count > 0) && (count > 0) == (g->leader.n >= 0) ? NULL : "the leader is no member";
}

static const char *check_group_pending(const struct group *g)
{
    int32_t count = 0;
    for (struct list *at = g->pending.next; at != &g->pending; at = at->next) {
        struct group_pending *p = container_of(at, struct group_pending, link);
        if (group_pending_by_id(g, group_view(p->id)) != p)
            return "a pending id is not found";
        if (g->state != GROUP_DEAD && p->expires_ns < g->expiry_ns)
            return "a pending id expires before the group looks";
        count++;
    }
    return count == g->pending_count && (uint32_t)count == g->pending_by_id.count ? NULL
                                                                                  : "the map of pending ids disagrees";
}

static const char *check_group_generation(const struct group *g)
{
    if (g->member_count == 0 || g->generation < 0)
        return "a generation has no members or no number";
    if (g->protocol.n < 0 || !group_all_know(g, group_view(g->protocol)))
        return "a generation has a protocol that not all members know";
    if ((g->sync_due_ns == UINT64_MAX) != group_all_synced(g))
        return "the end of the sync is not when it must be";
    return NULL;
}

static const char *check_group_state(const struct group *g)
{
    bool preparing = g->state == GROUP_PREPARING, settled = g->state == GROUP_COMPLETING || g->state == GROUP_STABLE;
    if ((g->join_due_ns != UINT64_MAX) != preparing)
        return "the end of the rebalance is not when it must be";
    if (!settled && g->sync_due_ns != UINT64_MAX)
        return "a sync ends that nobody began";
    if (g->sync_serial != 0 && g->state != GROUP_COMPLETING)
        return "an assignment is awaited from the log in vain";
    if (g->initial && !preparing)
        return "a first rebalance outlives itself";
    if (g->state == GROUP_EMPTY && (g->member_count > 0 || g->protocol.n >= 0))
        return "an empty group has members or a protocol";
    return settled ? check_group_generation(g) : NULL;
}

const char *group_check(const struct group *g)
{
    const char *wrong = check_group_members(g);
    if (!wrong)
        wrong = check_member_protocols(g);
    if (!wrong)
        wrong = check_group_pending(g);
    return wrong ? wrong : check_group_state(g);
}
