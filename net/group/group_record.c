/* See group.h: a group as its record in __consumer_offsets, and what its members subscribe to. */
#include "net/group/group_state.h"

/* --- out --- */

static bool has_assignments(const struct group *g)
{
    return g->state == GROUP_STABLE || (g->state == GROUP_COMPLETING && g->sync_serial != 0);
}

static struct member_metadata member_record_value(const struct group *g, const struct group_member *m)
{
    struct member_metadata v;
    member_metadata_init(&v);
    v.member_id = group_view(m->id);
    v.group_instance_id = group_view(m->instance_id);
    v.client_id = group_view(m->client_id);
    v.client_host = group_view(m->client_host);
    v.rebalance_timeout = m->rebalance_ms;
    v.session_timeout = m->session_ms;
    v.subscription = group_metadata(g, m);
    v.assignment = group_view(m->assignment);
    return v;
}

bool group_to_value(const struct group *g, struct arena *arena, struct group_metadata_value *out)
{
    struct group_metadata_value v;
    group_metadata_value_init(&v);
    v.protocol_type = group_view(g->protocol_type);
    v.generation = g->generation;
    v.current_state_timestamp = g->state_since_ms;
    v.protocol = v.leader = (struct kview){NULL, -1};
    if (has_assignments(g)) {
        v.protocol = group_view(g->protocol);
        v.leader = group_view(g->leader);
        v.members.v = arena_take(arena, (size_t)g->member_count, sizeof *v.members.v);
        if (!v.members.v)
            return false;
        GROUP_EACH(m, g)
        v.members.v[v.members.n++] = member_record_value(g, m);
    }
    *out = v;
    return true;
}

/* --- in --- */

static enum err restore_group_member(struct group *g, const struct group_metadata_value *v,
                                     const struct member_metadata *mv)
{
    if (mv->member_id.n <= 0 || group_by_id(g, mv->member_id) || group_by_instance(g, mv->group_instance_id))
        return ERR_CORRUPT;
    struct group_member *m = group_member_make(g, mv->member_id, mv->group_instance_id, mv->client_id, mv->client_host);
    if (!m)
        return ERR_NO_MEMORY;
    m->session_ms = mv->session_timeout;
    m->rebalance_ms = mv->rebalance_timeout < 0 ? mv->session_timeout : mv->rebalance_timeout;
    m->synced = true;
    m->protocols = heap_zalloc(g->heap, sizeof *m->protocols);
    m->protocol_count = m->protocols ? 1 : 0;
    if (!m->protocols || !group_copy(g->heap, v->protocol, &m->protocols->name) ||
        !group_copy(g->heap, mv->subscription, &m->protocols->metadata) ||
        !group_copy(g->heap, mv->assignment, &m->assignment)) {
        group_member_free(g, m);
        return ERR_NO_MEMORY;
    }
    return group_insert(g, m);
}

static enum err restore_group_members(struct group *g, const struct group_metadata_value *v, struct group_now now)
{
    if (v->members.n > GROUP_MEMBERS_MAX || v->protocol.n < 0 || v->protocol_type.n <= 0)
        return ERR_CORRUPT;
    for (int32_t i = 0; i < v->members.n; i++) {
        enum err err = restore_group_member(g, v, &v->members.v[i]);
        if (err != ERR_NONE)
            return err;
    }
    GROUP_EACH(m, g)
    group_touch(g, m, now);
    /* Kafka trusts the record; a leader who is not a member would leave the group without one. */
    const struct group_member *leader = group_by_id(g, v->leader);
    if (leader)
        group_lead(g, leader);
    group_set_protocol(g, v->protocol);
    g->state = GROUP_STABLE;
    return ERR_NONE;
}

enum err group_from_value(struct group *g, const struct group_metadata_value *v, struct group_now now)
{
    assert(g->state == GROUP_EMPTY && g->member_count == 0);
    if (v->generation < 0)
        return ERR_CORRUPT;
    struct group_text type;
    if (!group_copy(g->heap, v->protocol_type, &type))
        return ERR_NO_MEMORY;
    heap_free(g->heap, g->protocol_type.at);
    g->protocol_type = type;
    g->generation = v->generation;
    g->state_since_ms = v->current_state_timestamp >= 0 ? v->current_state_timestamp : now.wall_ms;
    enum err err = v->members.n > 0 ? restore_group_members(g, v, now) : ERR_NONE;
    /* The configuration may be stricter than when it was written: the last ones to join again are put out. */
    if (err == ERR_NONE && g->member_count > g->rules->size_max)
        group_prepare(g, now, NULL);
    return err;
}

/* --- subscriptions --- */

bool group_reads_topics(const struct group *g)
{
    return kview_same(group_view(g->protocol_type), (struct kview){(const uint8_t *)"consumer", 8});
}

void group_topics_changed(struct group *g)
{
    if (g->topics_state == GROUP_TOPICS_UNKNOWN)
        return;
    map_deinit(&g->topics);
    g->topics_state = GROUP_TOPICS_UNKNOWN;
}

/* ConsumerProtocolSubscription, of which every version begins with the fields of version 0. What does not look like it may be
 * anything. False: that, or no memory. */
static bool note_subscription(struct group *g, struct kview metadata)
{
    struct kreader r = kreader_of(metadata, 0, NULL);
    if (kread_int16(&r) < 0)
        return false;
    for (int32_t left = kread_count(&r, false, 2); left > 0 && !r.bad; left--) {
        struct kview topic = kread_string(&r, false);
        if (r.bad || topic.n < 0)
            return false;
        const void *name = topic.n > 0 ? (const void *)topic.at : "";
        if (!map_get(&g->topics, name, (size_t)topic.n) && map_put(&g->topics, name, (size_t)topic.n, g))
            return false;
    }
    return !r.bad;
}

/* Most members bring what the one before them did. */
static void find_subscribed_topics(struct group *g)
{
    struct kview before = {NULL, -1};
    bool good = g->member_count == 0 || g->protocol.n >= 0;
    GROUP_EACH(m, g)
    {
        struct kview metadata = group_metadata(g, m);
        good = good && (kview_same(metadata, before) || note_subscription(g, metadata));
        before = metadata;
    }
    g->topics_state = good ? GROUP_TOPICS_KNOWN : GROUP_TOPICS_ANY;
}

bool group_subscribed(struct group *g, struct kview topic)
{
    if (!group_reads_topics(g))
        return false;
    if (g->topics_state == GROUP_TOPICS_UNKNOWN)
        find_subscribed_topics(g);
    return g->topics_state == GROUP_TOPICS_ANY ||
           map_get(&g->topics, topic.n > 0 ? (const void *)topic.at : "", (size_t)(topic.n > 0 ? topic.n : 0));
}
