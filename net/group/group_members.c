/* See group_state.h: who is in a group, and which protocol they agree on. */
#include "net/group/group_state.h"

/* --- protocols --- */

void group_protocols_free(struct group *g, struct group_protocol *v, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        heap_free(g->heap, v[i].name.at);
        heap_free(g->heap, v[i].metadata.at);
    }
    heap_free(g->heap, v);
}

uint64_t group_protocols_bytes(const struct group_protocol *v, int32_t count)
{
    uint64_t bytes = 0;
    for (int32_t i = 0; i < count; i++)
        bytes += (uint64_t)v[i].name.n + (uint64_t)v[i].metadata.n;
    return bytes;
}

/* NULL: no memory. */
static struct group_protocol *copy_member_protocols(struct group *g, const struct group_join *e)
{
    assert(e->protocol_count > 0 && e->protocol_count <= GROUP_PROTOCOLS_MAX);
    struct group_protocol *v = heap_zalloc(g->heap, (size_t)e->protocol_count * sizeof *v);
    if (!v)
        return NULL;
    for (int32_t i = 0; i < e->protocol_count; i++)
        if (!group_copy(g->heap, e->protocols[i].name, &v[i].name) ||
            !group_copy(g->heap, e->protocols[i].metadata, &v[i].metadata)) {
            group_protocols_free(g, v, e->protocol_count);
            return NULL;
        }
    return v;
}

/* --- how many members have each: nobody looks through all of them to find out --- */

static struct group_protocol_use *protocol_use_of(const struct group *g, struct kview name)
{
    return map_get(&g->by_protocol, name.n > 0 ? (const void *)name.at : "", (size_t)name.n);
}

static bool make_protocol_use(struct group *g, struct kview name)
{
    struct group_protocol_use *u = heap_zalloc(g->heap, sizeof *u);
    if (u && group_copy(g->heap, name, &u->name) && !map_put(&g->by_protocol, u->name.at, (size_t)u->name.n, u))
        return true;
    if (u)
        heap_free(g->heap, u->name.at);
    heap_free(g->heap, u);
    return false;
}

/* Nothing of it is counted yet: one that nobody counts in the end goes with the group, or with the last that names it. */
static bool make_protocol_uses(struct group *g, const struct group_protocol *v, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        if (!protocol_use_of(g, group_view(v[i].name)) && !make_protocol_use(g, group_view(v[i].name)))
            return false;
    return true;
}

static bool named_before(const struct group_protocol *v, int32_t i)
{
    for (int32_t k = 0; k < i; k++)
        if (kview_same(group_view(v[k].name), group_view(v[i].name)))
            return true;
    return false;
}

/* A member, or an undo, has this list from now on (+1), or not any more (-1). */
static void count_protocol_uses(struct group *g, const struct group_protocol *v, int32_t count, int32_t members,
                                int32_t refs)
{
    for (int32_t i = 0; i < count; i++) {
        struct group_protocol_use *u = protocol_use_of(g, group_view(v[i].name));
        u->members += named_before(v, i) ? 0 : members;
        u->refs += refs;
        assert(u->members >= 0 && u->refs >= 0);
        if (u->refs > 0 || refs >= 0)
            continue;
        map_remove(&g->by_protocol, u->name.at, (size_t)u->name.n);
        heap_free(g->heap, u->name.at);
        heap_free(g->heap, u);
    }
}

void group_protocol_uses_free(struct group *g)
{
    struct group_protocol_use *u;
    for (uint32_t cursor = 0; (u = map_next(&g->by_protocol, &cursor));) {
        heap_free(g->heap, u->name.at);
        heap_free(g->heap, u);
    }
    map_deinit(&g->by_protocol);
}

/* The group's protocol is set, and protocols are counted, when nothing may fail any more: room for each name is made when it comes. */
static bool reserve_protocol_name(struct group *g, const struct group_protocol *v, int32_t count)
{
    int32_t longest = 0;
    for (int32_t i = 0; i < count; i++)
        if (v[i].name.n > longest)
            longest = v[i].name.n;
    if (!make_protocol_uses(g, v, count))
        return false;
    if (g->protocol.at && longest <= g->protocol_capacity)
        return true;
    uint8_t *at = heap_realloc(g->heap, g->protocol.at, (size_t)longest + 1);
    if (!at)
        return false;
    g->protocol.at = at;
    g->protocol_capacity = longest;
    return true;
}

static struct group_protocol *bring_member_protocols(struct group *g, const struct group_join *e)
{
    struct group_protocol *v = copy_member_protocols(g, e);
    if (v && !reserve_protocol_name(g, v, e->protocol_count)) {
        group_protocols_free(g, v, e->protocol_count);
        return NULL;
    }
    return v;
}

void group_set_protocol(struct group *g, struct kview name)
{
    assert(name.n < 0 || (g->protocol.at && name.n <= g->protocol_capacity));
    group_topics_changed(g);
    if (name.n > 0)
        memcpy(g->protocol.at, name.at, (size_t)name.n);
    g->protocol.n = name.n;
}

bool group_protocols_match(const struct group_member *m, const struct group_join *e)
{
    if (m->protocol_count != e->protocol_count)
        return false;
    for (int32_t i = 0; i < e->protocol_count; i++)
        if (!kview_same(group_view(m->protocols[i].name), e->protocols[i].name) ||
            !kview_same(group_view(m->protocols[i].metadata), e->protocols[i].metadata))
            return false;
    return true;
}

static const struct group_protocol *find_member_protocol(const struct group_member *m, struct kview name)
{
    for (int32_t i = 0; i < m->protocol_count; i++)
        if (kview_same(group_view(m->protocols[i].name), name))
            return &m->protocols[i];
    return NULL;
}

bool group_all_know(const struct group *g, struct kview name)
{
    const struct group_protocol_use *u = protocol_use_of(g, name);
    return g->member_count == 0 || (u && u->members == g->member_count);
}

bool group_supports(const struct group *g, const struct group_join *e)
{
    if (e->protocol_count <= 0)
        return false;
    if (g->state == GROUP_EMPTY)
        return e->protocol_type.n > 0;
    if (!kview_same(group_view(g->protocol_type), e->protocol_type))
        return false;
    for (int32_t i = 0; i < e->protocol_count; i++)
        if (group_all_know(g, e->protocols[i].name))
            return true;
    return false;
}

/* Which of the first member's protocols this one prefers; all know at least one of them. */
static int32_t vote_protocol(const struct group *g, const struct group_member *first, const struct group_member *m)
{
    for (int32_t i = 0; i < m->protocol_count; i++) {
        if (!group_all_know(g, group_view(m->protocols[i].name)))
            continue;
        for (int32_t j = 0; j < first->protocol_count; j++)
            if (kview_same(group_view(first->protocols[j].name), group_view(m->protocols[i].name)))
                return j;
    }
    assert(!"a member is let in only when all know one of its protocols");
    return 0;
}

/* With equal votes the first member's preference decides; Kafka leaves that to the order of a hash map. */
struct kview group_select(const struct group *g)
{
    assert(g->member_count > 0);
    const struct group_member *first = group_member_of(g->members.next);
    int32_t votes[GROUP_PROTOCOLS_MAX] = {0}, best = 0;
    GROUP_EACH(m, g)
    votes[vote_protocol(g, first, m)]++;
    for (int32_t i = 1; i < first->protocol_count; i++)
        if (votes[i] > votes[best])
            best = i;
    return group_view(first->protocols[best].name);
}

struct kview group_metadata(const struct group *g, const struct group_member *m)
{
    const struct group_protocol *p = g->protocol.n >= 0 ? find_member_protocol(m, group_view(g->protocol)) : NULL;
    return p ? group_view(p->metadata) : (struct kview){NULL, 0};
}

/* --- members --- */

struct group_member *group_member_make(struct group *g, struct kview id, struct kview instance_id,
                                       struct kview client_id, struct kview client_host)
{
    assert(id.n > 0);
    struct group_member *m = heap_zalloc(g->heap, sizeof *m);
    if (!m)
        return NULL;
    list_init(&m->link);
    m->staged.n = -1;
    m->expires_ns = UINT64_MAX;
    if (group_copy(g->heap, id, &m->id) && group_copy(g->heap, instance_id, &m->instance_id) &&
        group_copy(g->heap, client_id, &m->client_id) && group_copy(g->heap, client_host, &m->client_host))
        return m;
    group_member_free(g, m);
    return NULL;
}

void group_member_free(struct group *g, struct group_member *m)
{
    assert(!list_linked(&m->link) && !group_waits(m));
    group_undo_drop(g, m);
    heap_free(g->heap, m->id.at);
    heap_free(g->heap, m->instance_id.at);
    heap_free(g->heap, m->client_id.at);
    heap_free(g->heap, m->client_host.at);
    heap_free(g->heap, m->assignment.at);
    heap_free(g->heap, m->staged.at);
    group_protocols_free(g, m->protocols, m->protocol_count);
    heap_free(g->heap, m);
}

void group_lead(struct group *g, const struct group_member *m)
{
    g->leader = m ? m->id : (struct group_text){NULL, -1};
}

static enum err put_member_in_maps(struct group *g, struct group_member *m)
{
    enum err err = map_put(&g->by_id, m->id.at, (size_t)m->id.n, m);
    if (err != ERR_NONE || m->instance_id.n < 0)
        return err;
    err = map_put(&g->by_instance, m->instance_id.at, (size_t)m->instance_id.n, m);
    if (err != ERR_NONE)
        map_remove(&g->by_id, m->id.at, (size_t)m->id.n);
    return err;
}

enum err group_insert(struct group *g, struct group_member *m)
{
    assert(!group_by_id(g, group_view(m->id)) && !group_by_instance(g, group_view(m->instance_id)));
    if (!reserve_protocol_name(g, m->protocols, m->protocol_count) || put_member_in_maps(g, m) != ERR_NONE) {
        group_member_free(g, m);
        return ERR_NO_MEMORY;
    }
    group_topics_changed(g);
    count_protocol_uses(g, m->protocols, m->protocol_count, 1, 1);
    m->born = ++g->born;
    list_push(&g->members, &m->link);
    g->member_count++;
    g->metadata_bytes += group_protocols_bytes(m->protocols, m->protocol_count);
    if (g->leader.n < 0)
        group_lead(g, m);
    return ERR_NONE;
}

static void await_group_join(struct group *g, struct group_member *m, const struct group_join *e)
{
    assert(!m->join_waiter && e->waiter);
    m->rebalance_ms = e->rebalance_timeout_ms;
    m->session_ms = e->session_timeout_ms;
    m->can_skip = e->can_skip;
    m->join_waiter = e->waiter;
    g->joined_count++;
    if (!m->is_new)
        m->expires_ns = UINT64_MAX;
}

/* The first member says what kind of group it is. */
static bool take_protocol_type(struct group *g, struct kview type, struct group_text *out_former)
{
    *out_former = (struct group_text){NULL, 0};
    if (g->member_count > 0)
        return true;
    struct group_text t;
    if (!group_copy(g->heap, type, &t))
        return false;
    *out_former = g->protocol_type;
    g->protocol_type = t;
    return true;
}

enum err group_add(struct group *g, const struct group_join *e, struct kview id, struct group_now now)
{
    struct group_member *m = group_member_make(g, id, e->instance_id, e->client_id, e->client_host);
    if (!m)
        return ERR_NO_MEMORY;
    struct group_text former;
    bool first = g->member_count == 0;
    m->protocols = bring_member_protocols(g, e);
    m->protocol_count = m->protocols ? e->protocol_count : 0;
    if (!m->protocols || !take_protocol_type(g, e->protocol_type, &former)) {
        group_member_free(g, m);
        return ERR_NO_MEMORY;
    }
    if (group_insert(g, m) != ERR_NONE) {
        if (first) {
            heap_free(g->heap, g->protocol_type.at);
            g->protocol_type = former;
        }
        return ERR_NO_MEMORY;
    }
    heap_free(g->heap, former.at);
    struct group_pending *p = group_pending_by_id(g, id);
    m->is_new = true;
    group_expire_at(g, &m->expires_ns, now.ns + group_ns(GROUP_NEW_MEMBER_MS));
    await_group_join(g, m, e);
    if (p)
        group_pending_remove(g, p);
    return ERR_NONE;
}

/* Those that it had are the caller's: to free, or for the undo. */
static void swap_member_protocols(struct group *g, struct group_member *m, struct group_protocol *v, int32_t count)
{
    group_topics_changed(g);
    g->metadata_bytes -= group_protocols_bytes(m->protocols, m->protocol_count);
    g->metadata_bytes += group_protocols_bytes(v, count);
    count_protocol_uses(g, v, count, 1, 0);
    count_protocol_uses(g, m->protocols, m->protocol_count, -1, 0);
    m->protocols = v;
    m->protocol_count = count;
}

enum err group_update(struct group *g, struct group_member *m, const struct group_join *e,
                      const struct group_emit *emit)
{
    struct group_protocol *v = bring_member_protocols(g, e), *old = m->protocols;
    int32_t old_count = m->protocol_count;
    if (!v)
        return ERR_NO_MEMORY;
    group_undo_drop(g, m);
    /* Kafka forgets the older request of the two; this one is told to try again, with the id that it has. */
    group_answer_join(g, m, KERR_REBALANCE_IN_PROGRESS, emit);
    count_protocol_uses(g, v, e->protocol_count, 0, 1);
    swap_member_protocols(g, m, v, e->protocol_count);
    count_protocol_uses(g, old, old_count, 0, -1);
    group_protocols_free(g, old, old_count);
    await_group_join(g, m, e);
    return ERR_NONE;
}

void group_remove(struct group *g, struct group_member *m)
{
    assert(!group_waits(m) && g->member_count > 0);
    group_topics_changed(g);
    map_remove(&g->by_id, m->id.at, (size_t)m->id.n);
    if (m->instance_id.n >= 0)
        map_remove(&g->by_instance, m->instance_id.at, (size_t)m->instance_id.n);
    list_remove(&m->link);
    g->member_count--;
    g->metadata_bytes -= group_protocols_bytes(m->protocols, m->protocol_count);
    count_protocol_uses(g, m->protocols, m->protocol_count, -1, -1);
    if (group_leads(g, m))
        group_lead(g, list_empty(&g->members) ? NULL : group_member_of(g->members.next));
    group_member_free(g, m);
}

/* --- static members that come back --- */

/* `m` has its new id and protocols from now on; the undo keeps the old ones. */
static void take_new_member_id(struct group *g, struct group_member *m, struct group_text id, struct group_protocol *v,
                               int32_t count)
{
    struct group_undo *u = m->undo;
    bool led = group_leads(g, m);
    *u = (struct group_undo){m->id, m->protocols, m->protocol_count, m->rebalance_ms, m->session_ms, led};
    map_remove(&g->by_id, m->id.at, (size_t)m->id.n);
    m->id = id;
    count_protocol_uses(g, v, count, 0, 1);
    swap_member_protocols(g, m, v, count);
    if (led)
        group_lead(g, m);
}

enum err group_replace(struct group *g, struct group_member *m, const struct group_join *e, struct group_now now,
                       const struct group_emit *emit)
{
    struct group_text id = {NULL, -1};
    struct group_protocol *v = bring_member_protocols(g, e);
    struct group_undo *undo = heap_alloc(g->heap, sizeof *undo);
    if (!v || !undo || !group_copy(g->heap, e->fresh_id, &id) ||
        map_put(&g->by_id, id.at, (size_t)id.n, m) != ERR_NONE) {
        heap_free(g->heap, id.at);
        heap_free(g->heap, undo);
        group_protocols_free(g, v, v ? e->protocol_count : 0);
        return ERR_NO_MEMORY;
    }
    group_answer_join(g, m, KERR_FENCED_INSTANCE_ID, emit);
    group_answer_sync(g, m, KERR_FENCED_INSTANCE_ID, emit);
    group_undo_drop(g, m);
    m->undo = undo;
    take_new_member_id(g, m, id, v, e->protocol_count);
    m->is_new = false;
    await_group_join(g, m, e);
    assert(m->expires_ns > now.ns);
    return ERR_NONE;
}

void group_undo_drop(struct group *g, struct group_member *m)
{
    struct group_undo *u = m->undo;
    m->undo = NULL;
    m->join_serial = 0;
    if (!u)
        return;
    heap_free(g->heap, u->id.at);
    count_protocol_uses(g, u->protocols, u->protocol_count, 0, -1);
    group_protocols_free(g, u->protocols, u->protocol_count);
    heap_free(g->heap, u);
}

void group_undo_apply(struct group *g, struct group_member *m)
{
    struct group_undo *u = m->undo, was = {m->id, m->protocols, m->protocol_count, 0, 0, group_leads(g, m)};
    assert(u);
    /* No memory: it keeps its new id, which nobody knows; the next JoinGroup by its instance id replaces it. */
    if (map_put(&g->by_id, u->id.at, (size_t)u->id.n, m) == ERR_NONE) {
        map_remove(&g->by_id, m->id.at, (size_t)m->id.n);
        m->id = u->id;
        m->rebalance_ms = u->rebalance_ms;
        m->session_ms = u->session_ms;
        swap_member_protocols(g, m, u->protocols, u->protocol_count);
        if (was.led)
            group_lead(g, m);
        *u = was;
    }
    group_undo_drop(g, m);
}

/* --- ids that were given out --- */

enum err group_pending_add(struct group *g, struct kview id, uint64_t expires_ns)
{
    assert(id.n > 0 && !group_by_id(g, id) && !group_pending_by_id(g, id));
    struct group_pending *p = heap_zalloc(g->heap, sizeof *p);
    if (!p)
        return ERR_NO_MEMORY;
    list_init(&p->link);
    if (!group_copy(g->heap, id, &p->id) || map_put(&g->pending_by_id, p->id.at, (size_t)p->id.n, p) != ERR_NONE) {
        heap_free(g->heap, p->id.at);
        heap_free(g->heap, p);
        return ERR_NO_MEMORY;
    }
    list_push(&g->pending, &p->link);
    g->pending_count++;
    group_expire_at(g, &p->expires_ns, expires_ns);
    return ERR_NONE;
}

void group_pending_remove(struct group *g, struct group_pending *p)
{
    map_remove(&g->pending_by_id, p->id.at, (size_t)p->id.n);
    list_remove(&p->link);
    g->pending_count--;
    heap_free(g->heap, p->id.at);
    heap_free(g->heap, p);
}
