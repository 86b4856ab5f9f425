/* A chain's place in its group: the classic protocol, as short as it can be. member.c looks at the protocol itself. */
#include "storage/kerr.h"
#include "tests/sim/assignment.h"
#include "tests/sim/txn_client.h"
#include <stdio.h>

enum { JOIN_VERSION = 3, SYNC_VERSION = 2, HEARTBEAT_VERSION = 2 };

void chain_expelled(struct txn_client *c)
{
    c->place.generation = -1;
    chain_forget(c);
}

static void told_by_group(struct txn_client *c, const char *what, int16_t error)
{
    world_note("%s: %s: error %d", c->main.name, what, error);
    bool out = error == KERR_ILLEGAL_GENERATION || error == KERR_REBALANCE_IN_PROGRESS;
    world_check(out || error == KERR_UNKNOWN_MEMBER_ID || txn_coordinator_passes(error), "%s: %s: error %d",
                c->main.name, what, error);
    if (error == KERR_UNKNOWN_MEMBER_ID)
        c->place.member_id[0] = 0;
    if (out || error == KERR_UNKNOWN_MEMBER_ID)
        chain_expelled(c);
}

/* --- joining --- */

static void synced(const struct reply *r)
{
    struct txn_client *c = r->context;
    struct txn_place *p = &c->place;
    struct sync_group_response m;
    if (r->body.n < 0)
        return;
    client_decode(r, sync_group_response, &m);
    if (m.error_code) {
        told_by_group(c, "SyncGroup", m.error_code);
    } else {
        struct assignment_cursor at = assignment_open(m.assignment);
        const char *topic;
        int32_t partition;
        memset(p->assigned, 0, sizeof p->assigned);
        memset(p->drained, 0, sizeof p->drained);
        while (assignment_next(&at, &topic, &partition))
            p->assigned[partition] = true;
        world_check(!at.bad, "%s got an assignment that its leader did not make", c->main.name);
        p->generation = p->joined;
        truth_generation(p->group, p->generation);
        p->known = false;
        p->beat_ns = sim.now_ns;
        world_note("%s is in generation %d", c->main.name, p->generation);
    }
    txn_later(c, 3 * NS_PER_MS);
}

static void sync(struct txn_client *c, const struct join_group_response *joined)
{
    struct txn_place *p = &c->place;
    struct sync_group_request_assignment *assignments =
        world_alloc((size_t)joined->members.n * sizeof *assignments + 1);
    struct sync_group_request m;
    int32_t first = (int32_t)dice((uint64_t)joined->members.n);
    sync_group_request_init(&m);
    m.group_id = view_of(p->group->name);
    m.generation_id = p->joined;
    m.member_id = view_of(p->member_id);
    for (int32_t i = 0; i < joined->members.n; i++) {
        struct assignment_writer w = assignment_begin();
        for (int32_t k = 0; k < TRUTH_PARTS_MAX; k++)
            if ((first + k) % joined->members.n == i)
                assignment_add(&w, p->group->parts[k].log->topic, k);
        sync_group_request_assignment_init(&assignments[i]);
        assignments[i].member_id = joined->members.v[i].member_id;
        assignments[i].assignment = assignment_end(&w);
    }
    m.assignments.v = assignments;
    m.assignments.n = joined->members.n;
    client_call(&c->main, sync_group, &m, SYNC_VERSION, synced, c);
    world_free(assignments);
}

static void joined(const struct reply *r)
{
    struct txn_client *c = r->context;
    struct join_group_response m;
    if (r->body.n < 0)
        return;
    client_decode(r, join_group_response, &m);
    if (m.error_code) {
        told_by_group(c, "JoinGroup", m.error_code);
        txn_later(c, 10 * NS_PER_MS);
        return;
    }
    snprintf(c->place.member_id, sizeof c->place.member_id, "%.*s", m.member_id.n, (const char *)m.member_id.at);
    c->place.joined = m.generation_id;
    sync(c, &m);
}

static void join(struct txn_client *c)
{
    struct join_group_request_protocol protocol;
    struct join_group_request m;
    join_group_request_init(&m);
    join_group_request_protocol_init(&protocol);
    m.group_id = view_of(c->place.group->name);
    m.session_timeout_ms = m.rebalance_timeout_ms = c->place.session_ms;
    m.member_id = view_of(c->place.member_id);
    m.protocol_type = view_of("consumer");
    protocol.name = view_of("range");
    protocol.metadata = assignment_subscription();
    m.protocols.v = &protocol;
    m.protocols.n = 1;
    client_call(&c->main, join_group, &m, JOIN_VERSION, joined, c);
}

/* --- staying --- */

static void beaten(const struct reply *r)
{
    struct txn_client *c = r->context;
    struct heartbeat_response m;
    if (r->body.n < 0)
        return;
    client_decode(r, heartbeat_response, &m);
    if (m.error_code)
        told_by_group(c, "Heartbeat", m.error_code);
    txn_later(c, 3 * NS_PER_MS);
}

static void beat(struct txn_client *c)
{
    struct heartbeat_request m;
    heartbeat_request_init(&m);
    m.group_id = view_of(c->place.group->name);
    m.generation_id = c->place.generation;
    m.member_id = view_of(c->place.member_id);
    c->place.beat_ns = sim.now_ns + (uint64_t)c->place.session_ms * (uint64_t)NS_PER_MS / 4;
    client_call(&c->main, heartbeat, &m, HEARTBEAT_VERSION, beaten, c);
}

static bool has_part(const struct txn_place *p)
{
    for (uint32_t i = 0; i < TRUTH_PARTS_MAX; i++)
        if (p->assigned[i])
            return true;
    return false;
}

bool chain_is_member(struct txn_client *c)
{
    struct txn_place *p = &c->place;
    if (!p->member)
        return true;
    if (p->generation < 0)
        join(c);
    else if (sim.now_ns >= p->beat_ns)
        beat(c);
    else if (has_part(p))
        return true;
    else
        txn_later(c, 10 * NS_PER_MS);
    return false;
}
