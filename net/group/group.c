/* See group.h: life of a group, and what every event needs. */
#include "net/group/group.h"
#include "net/group/group_state.h"

const char *group_state_name(enum group_state state)
{
    switch (state) {
    case GROUP_EMPTY: return "Empty";
    case GROUP_PREPARING: return "PreparingRebalance";
    case GROUP_COMPLETING: return "CompletingRebalance";
    case GROUP_STABLE: return "Stable";
    case GROUP_DEAD: return "Dead";
    }
    assert(!"a group is in one of five states");
    return "";
}

bool group_copy(struct heap *h, struct kview from, struct group_text *out)
{
    *out = (struct group_text){NULL, -1};
    if (from.n < 0)
        return true;
    uint8_t *at = heap_alloc(h, (size_t)from.n + 1);
    if (!at)
        return false;
    if (from.n > 0)
        memcpy(at, from.at, (size_t)from.n);
    *out = (struct group_text){at, from.n};
    return true;
}

/* --- life --- */

struct group *group_open(struct heap *heap, const struct group_rules *rules, struct kview id, int64_t wall_ms)
{
    assert(heap && rules && id.n >= 0);
    struct group *g = heap_zalloc(heap, sizeof *g);
    if (!g)
        return NULL;
    *g = (struct group){.heap = heap,
                        .rules = rules,
                        .state = GROUP_EMPTY,
                        .state_since_ms = wall_ms,
                        .protocol = {NULL, -1},
                        .leader = {NULL, -1},
                        .join_due_ns = UINT64_MAX,
                        .sync_due_ns = UINT64_MAX,
                        .expiry_ns = UINT64_MAX};
    list_init(&g->members);
    list_init(&g->pending);
    map_init(&g->by_id, heap);
    map_init(&g->by_instance, heap);
    map_init(&g->pending_by_id, heap);
    map_init(&g->topics, heap);
    map_init(&g->by_protocol, heap);
    if (!group_copy(heap, id, &g->id)) {
        heap_free(heap, g);
        return NULL;
    }
    return g;
}

void group_close(struct group *g)
{
    struct list *node;
    while ((node = list_first(&g->members)))
        group_remove(g, group_member_of(node));
    while ((node = list_first(&g->pending)))
        group_pending_remove(g, container_of(node, struct group_pending, link));
    group_topics_changed(g);
    group_protocol_uses_free(g);
    map_deinit(&g->by_id);
    map_deinit(&g->by_instance);
    map_deinit(&g->pending_by_id);
    heap_free(g->heap, g->id.at);
    heap_free(g->heap, g->protocol_type.at);
    heap_free(g->heap, g->protocol.at);
    heap_free(g->heap, g);
}

void group_become(struct group *g, enum group_state state, int64_t wall_ms)
{
    static const uint8_t from[] = {
        [GROUP_EMPTY] = 1 << GROUP_PREPARING,
        [GROUP_PREPARING] = 1 << GROUP_STABLE | 1 << GROUP_COMPLETING | 1 << GROUP_EMPTY,
        [GROUP_COMPLETING] = 1 << GROUP_PREPARING,
        [GROUP_STABLE] = 1 << GROUP_COMPLETING,
        [GROUP_DEAD] = 0x1f,
    };
    assert(from[state] & 1 << g->state);
    g->state = state;
    g->state_since_ms = wall_ms;
}

void group_unload(struct group *g, enum kerr error, const struct group_emit *emit)
{
    assert(error != KERR_NONE);
    GROUP_EACH(m, g)
    {
        group_answer_join(g, m, error, emit);
        group_answer_sync(g, m, error, emit);
        group_undo_drop(g, m);
        m->is_new = false;
    }
    g->initial = false;
    g->join_due_ns = g->sync_due_ns = UINT64_MAX;
    g->sync_serial = 0;
    group_become(g, GROUP_DEAD, g->state_since_ms);
}

void group_forget(struct group *g, void *waiter, struct group_now now, const struct group_emit *emit)
{
    assert(waiter);
    GROUP_EACH(m, g)
    {
        if (m->join_waiter == waiter)
            group_answer_join(g, m, KERR_NOT_COORDINATOR, emit);
        else if (m->sync_waiter == waiter)
            group_answer_sync(g, m, KERR_NOT_COORDINATOR, emit);
        else
            continue;
        m->is_new = false;
        group_touch(g, m, now);
        return;
    }
}

/* --- who is there --- */

struct group_member *group_by_id(const struct group *g, struct kview id)
{
    return id.n > 0 ? map_get(&g->by_id, id.at, (size_t)id.n) : NULL;
}

struct group_member *group_by_instance(const struct group *g, struct kview instance_id)
{
    if (instance_id.n < 0)
        return NULL;
    return map_get(&g->by_instance, instance_id.n ? (const void *)instance_id.at : "", (size_t)instance_id.n);
}

struct group_pending *group_pending_by_id(const struct group *g, struct kview id)
{
    return id.n > 0 ? map_get(&g->pending_by_id, id.at, (size_t)id.n) : NULL;
}

enum kerr group_validate(const struct group *g, struct kview member_id, struct kview instance_id)
{
    if (instance_id.n >= 0) {
        const struct group_member *m = group_by_instance(g, instance_id);
        if (m && !kview_same(group_view(m->id), member_id))
            return KERR_FENCED_INSTANCE_ID;
        return m ? KERR_NONE : KERR_UNKNOWN_MEMBER_ID;
    }
    return group_by_id(g, member_id) ? KERR_NONE : KERR_UNKNOWN_MEMBER_ID;
}

bool group_leads(const struct group *g, const struct group_member *m)
{
    return g->leader.at == m->id.at;
}

/* --- time --- */

void group_expire_at(struct group *g, uint64_t *out_expires_ns, uint64_t at_ns)
{
    *out_expires_ns = at_ns;
    g->expiry_ns = u64_min(g->expiry_ns, at_ns);
}

void group_touch(struct group *g, struct group_member *m, struct group_now now)
{
    if (!group_waits(m))
        group_expire_at(g, &m->expires_ns, now.ns + group_ns(m->session_ms));
}

uint64_t group_deadline(const struct group *g)
{
    if (g->state == GROUP_DEAD)
        return UINT64_MAX;
    return u64_min(g->expiry_ns, u64_min(g->join_due_ns, g->sync_due_ns));
}

/* --- answers --- */

static void emit_group_action(struct group *g, const struct group_action *a, const struct group_emit *emit)
{
    assert(emit && emit->act);
    assert(a->waiter || a->kind == GROUP_PERSIST);
    emit->act(emit->arg, g, a);
}

/* Who is expelled, or never learned its id, is told none when it is refused. */
static struct kview shown_member_id(const struct group_member *m, enum kerr error)
{
    bool none = error == KERR_UNKNOWN_MEMBER_ID || (error != KERR_NONE && m->undo);
    return none ? (struct kview){NULL, 0} : group_view(m->id);
}

static struct kview shown_group_leader(const struct group *g, const struct group_member *m)
{
    return m->undo && m->undo->led && !m->can_skip ? group_view(m->undo->id) : group_view(g->leader);
}

void group_answer_join(struct group *g, struct group_member *m, enum kerr error, const struct group_emit *emit)
{
    if (!m->join_waiter)
        return;
    bool good = error == KERR_NONE;
    struct group_action a = {.kind = GROUP_ANSWER_JOIN,
                             .waiter = m->join_waiter,
                             .error = error,
                             .member = good ? m : NULL,
                             .member_id = shown_member_id(m, error),
                             .leader = good ? shown_group_leader(g, m) : (struct kview){NULL, 0},
                             .skip_assignment = good && m->undo && m->can_skip && group_leads(g, m)};
    m->join_waiter = NULL;
    g->joined_count--;
    emit_group_action(g, &a, emit);
}

void group_answer_sync(struct group *g, struct group_member *m, enum kerr error, const struct group_emit *emit)
{
    if (!m->sync_waiter)
        return;
    struct group_action a = {
        .kind = GROUP_ANSWER_SYNC, .waiter = m->sync_waiter, .error = error, .member = error == KERR_NONE ? m : NULL};
    m->sync_waiter = NULL;
    emit_group_action(g, &a, emit);
}

void group_refuse_join(struct group *g, void *waiter, enum kerr error, struct kview member_id,
                       const struct group_emit *emit)
{
    assert(error != KERR_NONE);
    emit_group_action(
        g, &(struct group_action){.kind = GROUP_ANSWER_JOIN, .waiter = waiter, .error = error, .member_id = member_id},
        emit);
}

void group_refuse_sync(struct group *g, void *waiter, enum kerr error, const struct group_emit *emit)
{
    assert(error != KERR_NONE);
    emit_group_action(g, &(struct group_action){.kind = GROUP_ANSWER_SYNC, .waiter = waiter, .error = error}, emit);
}

void group_persist(struct group *g, uint32_t *out_serial, const struct group_emit *emit)
{
    if (++g->persist_serial == 0) /* 0 means none */
        g->persist_serial = 1;
    *out_serial = g->persist_serial;
    emit_group_action(g, &(struct group_action){.kind = GROUP_PERSIST, .serial = g->persist_serial}, emit);
}
