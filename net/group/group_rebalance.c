/* See group_state.h: JoinGroup, and from one generation to the next.
 *
 *   group_join --> judged --> with an id, or without --> group_members.c: added, updated, replaced --> group_rebalance
 *     group_rebalance --> PREPARING (group_prepare) --> all have joined, or time is up (complete_rebalance) --> answers */
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
    } else if (group_memory_is_scarce(g->rules) || group_add(g, e, id, now) != ERR_NONE) {
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

/* --- how long --- */

static bool all_members_joined(const struct group *g)
{
    return g->joined_count == g->member_count && g->pending_count == 0;
}

/* Kafka waits for the slowest that members allow for. */
static uint64_t group_rebalance_ns(const struct group *g)
{
    int32_t ms = 0;
    GROUP_EACH(m, g)
    if (m->rebalance_ms > ms)
        ms = m->rebalance_ms;
    return group_ns(ms);
}

/* --- PREPARING --- */

/* A member that waits for an assignment of this generation gets none. */
static void fail_waiting_syncs(struct group *g, enum kerr error, struct group_now now, const struct group_emit *emit)
{
    assert(g->state == GROUP_COMPLETING && error != KERR_NONE);
    g->sync_serial = 0;
    GROUP_EACH(m, g)
    {
        if (!m->sync_waiter)
            continue;
        group_answer_sync(g, m, error, emit);
        group_touch(g, m, now);
    }
}

/* A static member whose record is under way joins as everybody else. */
static void drop_member_undos(struct group *g)
{
    GROUP_EACH(m, g)
    {
        group_undo_drop(g, m);
        m->synced = false;
    }
}

static void wait_for_more_members(struct group *g, struct group_now now)
{
    assert(g->rules->initial_delay_ms >= 0);
    uint64_t delay = group_ns(g->rules->initial_delay_ms);
    g->join_due_ns = now.ns + delay;
    g->join_limit_ns = now.ns + u64_max(group_rebalance_ns(g), delay);
    g->new_since = false;
}

static void complete_rebalance(struct group *g, struct group_now now, const struct group_emit *emit);

void group_prepare(struct group *g, struct group_now now, const struct group_emit *emit)
{
    if (g->state == GROUP_COMPLETING)
        fail_waiting_syncs(g, KERR_REBALANCE_IN_PROGRESS, now, emit);
    drop_member_undos(g);
    g->sync_due_ns = UINT64_MAX;
    g->initial = g->state == GROUP_EMPTY;
    group_become(g, GROUP_PREPARING, now.wall_ms);
    if (g->initial)
        wait_for_more_members(g, now);
    else if (all_members_joined(g))
        complete_rebalance(g, now, emit);
    else
        g->join_due_ns = now.ns + group_rebalance_ns(g);
}

void group_maybe_complete(struct group *g, struct group_now now, const struct group_emit *emit)
{
    if (g->state == GROUP_PREPARING && !g->initial && all_members_joined(g))
        complete_rebalance(g, now, emit);
}

void group_rebalance(struct group *g, struct group_now now, const struct group_emit *emit)
{
    assert(g->state != GROUP_DEAD);
    if (g->state == GROUP_PREPARING)
        group_maybe_complete(g, now, emit);
    else
        group_prepare(g, now, emit);
}

/* --- COMPLETING --- */

/* Dynamic members that did not join again are out. Static ones stay: they have until the end of the sync. */
static void remove_absent_members(struct group *g)
{
    for (struct list *at = g->members.next, *next; at != &g->members; at = next) {
        struct group_member *m = group_member_of(at);
        next = at->next;
        if (!m->join_waiter && m->instance_id.n < 0)
            group_remove(g, m);
    }
}

/* The leader must be somebody who joined. False: nobody did. */
static bool elect_protocol(struct group *g)
{
    struct group_member *leader = group_by_id(g, group_view(g->leader));
    if (leader && leader->join_waiter)
        return true;
    GROUP_EACH(m, g)
    if (m->join_waiter) {
        group_lead(g, m);
        return true;
    }
    return false;
}

static void begin_next_generation(struct group *g)
{
    /* Kafka overflows into the numbers that mean "none". */
    g->generation = g->generation == INT32_MAX ? 1 : g->generation + 1;
    g->join_due_ns = UINT64_MAX;
    g->initial = g->new_since = false;
}

static void answer_waiting_joins(struct group *g, struct group_now now, const struct group_emit *emit)
{
    GROUP_EACH(m, g)
    {
        group_answer_join(g, m, KERR_NONE, emit);
        m->is_new = m->synced = false;
        group_touch(g, m, now);
    }
}

/* All have joined, or time is up. */
static void complete_rebalance(struct group *g, struct group_now now, const struct group_emit *emit)
{
    assert(g->state == GROUP_PREPARING);
    remove_absent_members(g);
    if (!elect_protocol(g) && g->member_count > 0) {
        g->join_due_ns = now.ns + u64_max(group_rebalance_ns(g), group_ns(GROUP_POSTPONE_MS_MIN));
        g->initial = false;
        return;
    }
    begin_next_generation(g);
    if (g->member_count == 0) {
        group_set_protocol(g, (struct kview){NULL, -1});
        group_become(g, GROUP_EMPTY, now.wall_ms);
        uint32_t unheard;
        group_persist(g, &unheard, emit);
        return;
    }
    group_set_protocol(g, group_select(g));
    group_become(g, GROUP_COMPLETING, now.wall_ms);
    g->sync_due_ns = now.ns + group_rebalance_ns(g);
    answer_waiting_joins(g, now, emit);
}

/* --- STABLE --- */

static void settle_generation(struct group *g, struct group_now now, const struct group_emit *emit)
{
    g->sync_serial = 0;
    group_become(g, GROUP_STABLE, now.wall_ms);
    GROUP_EACH(m, g)
    {
        if (!m->sync_waiter)
            continue;
        group_answer_sync(g, m, KERR_NONE, emit);
        group_touch(g, m, now);
    }
}

static void static_member_replaced(struct group *g, struct group_member *m, enum kerr error, struct group_now now,
                                   const struct group_emit *emit)
{
    group_answer_join(g, m, error, emit);
    if (error == KERR_NONE)
        group_undo_drop(g, m);
    else
        group_undo_apply(g, m);
    group_touch(g, m, now);
}

/* A serial that nobody waits for is of a generation that is over, or of an empty group: it changes nothing. */
void group_persisted(struct group *g, uint32_t serial, enum kerr error, struct group_now now,
                     const struct group_emit *emit)
{
    assert(serial != 0);
    if (g->state == GROUP_COMPLETING && g->sync_serial == serial) {
        if (error == KERR_NONE) {
            settle_generation(g, now, emit);
        } else {
            fail_waiting_syncs(g, error, now, emit);
            group_prepare(g, now, emit);
        }
    } else if (g->state == GROUP_STABLE) {
        GROUP_EACH(m, g)
        if (m->join_serial == serial) {
            static_member_replaced(g, m, error, now, emit);
            return;
        }
    }
}

/* --- time --- */

void group_expel(struct group *g, struct group_member *m, const struct group_emit *emit)
{
    group_answer_join(g, m, KERR_UNKNOWN_MEMBER_ID, emit);
    group_answer_sync(g, m, KERR_UNKNOWN_MEMBER_ID, emit);
    group_remove(g, m);
}

/* How many there were. Also finds when the next one will be. */
static int32_t expel_overdue_members(struct group *g, uint64_t now_ns, const struct group_emit *emit)
{
    int32_t before = g->member_count;
    g->expiry_ns = UINT64_MAX;
    for (struct list *at = g->members.next, *next; at != &g->members; at = next) {
        struct group_member *m = group_member_of(at);
        next = at->next;
        if (m->expires_ns <= now_ns)
            group_expel(g, m, emit);
        else
            g->expiry_ns = u64_min(g->expiry_ns, m->expires_ns);
    }
    return before - g->member_count;
}

static void drop_expired_pending(struct group *g, uint64_t now_ns)
{
    for (struct list *at = g->pending.next, *next; at != &g->pending; at = next) {
        struct group_pending *p = container_of(at, struct group_pending, link);
        next = at->next;
        if (p->expires_ns <= now_ns)
            group_pending_remove(g, p);
        else
            g->expiry_ns = u64_min(g->expiry_ns, p->expires_ns);
    }
}

static void rebalance_after_expiry(struct group *g, struct group_now now, const struct group_emit *emit)
{
    if (g->state == GROUP_STABLE || g->state == GROUP_COMPLETING)
        group_prepare(g, now, emit);
    else if (g->state == GROUP_PREPARING && all_members_joined(g))
        complete_rebalance(g, now, emit);
}

static void expire_members(struct group *g, struct group_now now, const struct group_emit *emit)
{
    int32_t pending = g->pending_count, expelled = expel_overdue_members(g, now.ns, emit);
    drop_expired_pending(g, now.ns);
    if (expelled > 0)
        rebalance_after_expiry(g, now, emit);
    else if (g->pending_count < pending && g->state == GROUP_PREPARING && all_members_joined(g))
        complete_rebalance(g, now, emit);
}

static void end_join_phase(struct group *g, struct group_now now, const struct group_emit *emit)
{
    uint64_t delay = group_ns(g->rules->initial_delay_ms);
    if (g->initial && g->new_since && delay > 0) {
        g->new_since = false;
        g->join_due_ns = u64_min(now.ns + delay, g->join_limit_ns);
    } else {
        complete_rebalance(g, now, emit);
    }
}

static void end_sync_phase(struct group *g, struct group_now now, const struct group_emit *emit)
{
    for (struct list *at = g->members.next, *next; at != &g->members; at = next) {
        struct group_member *m = group_member_of(at);
        next = at->next;
        if (!m->synced)
            group_expel(g, m, emit);
    }
    group_prepare(g, now, emit);
}

void group_tick(struct group *g, struct group_now now, const struct group_emit *emit)
{
    if (g->state == GROUP_DEAD)
        return;
    if (now.ns >= g->expiry_ns)
        expire_members(g, now, emit);
    if (now.ns >= g->join_due_ns)
        end_join_phase(g, now, emit);
    if (now.ns >= g->sync_due_ns)
        end_sync_phase(g, now, emit);
}
