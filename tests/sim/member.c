/* One member: joining, leading, heartbeats, leaving, crashing, sleeping (members.h draws its steps). */
#include "storage/kerr.h"
#include "tests/sim/assignment.h"
#include "tests/sim/member.h"
#include <stdio.h>
#include <string.h>

enum {
    FIND_VERSION = 4,
    JOIN_VERSION_FIRST = 5,
    JOIN_VERSION_LAST = 9,
    SYNC_VERSION = 5,
    HEARTBEAT_VERSION = 4,
    LEAVE_VERSION = 4
};

static const char *key_of(const struct member *m)
{
    return m->instance[0] ? m->instance : m->id;
}

uint64_t member_session_ns(const struct member *m)
{
    return (uint64_t)m->group->session_ms * (uint64_t)NS_PER_MS;
}

struct asked *member_ask(struct member *m)
{
    struct asked *q = world_alloc(sizeof *q);
    *q = (struct asked){.member = m,
                        .life = m->life,
                        .sent_ns = sim.now_ns,
                        .generation = m->generation,
                        .newest = m->group->oracle.newest};
    return q;
}

bool member_answered(const struct reply *r, struct member **out_member)
{
    struct asked *q = r->context;
    *out_member = q->member;
    return r->body.n >= 0 && q->life == q->member->life;
}

struct kview member_instance(const struct member *m)
{
    return m->instance[0] ? view_of(m->instance) : (struct kview){NULL, -1};
}

/* --- what an error means --- */

static void forget_holdings(struct member *m)
{
    m->held_count = 0;
    m->generation = -1;
}

/* Starts anew, as a process without memory. */
static void restart(struct member *m)
{
    m->life++;
    m->id[0] = 0;
    m->alive_ns = 0;
    forget_holdings(m);
    m->step = STEP_OUT;
    m->committing = m->asking = false;
}

static void expelled(struct member *m)
{
    /* A coordinator that found no memory loads its log again, and knows what stands there. */
    world_check(!m->alive_ns || world_runs_short() || sim.now_ns - m->alive_ns >= member_session_ns(m),
                "%s of %s was expelled %llu ms after a sign of life, its session is %d ms", key_of(m),
                m->group->oracle.name, (unsigned long long)((sim.now_ns - m->alive_ns) / NS_PER_MS),
                m->group->session_ms);
    sim.totals.expulsions++;
    restart(m);
}

static void ask_coordinator(struct member *m);

void member_told(struct member *m, int16_t error, const char *what)
{
    world_note("%s %s: error %d", m->peer.client.name, what, error);
    switch (error) {
    case KERR_REBALANCE_IN_PROGRESS:
    case KERR_ILLEGAL_GENERATION:
        m->step = STEP_OUT; /* it may still commit what it holds until it has joined again */
        return;
    case KERR_UNKNOWN_MEMBER_ID: expelled(m); return;
    case KERR_FENCED_INSTANCE_ID: restart(m); return;
    case KERR_NOT_COORDINATOR:
        if ((m->step == STEP_STABLE || m->step == STEP_FETCHING) && m->peer.client.link.conn)
            ask_coordinator(m); /* as clients do: it is what makes one load its log again */
        /* fallthrough */
    case KERR_COORDINATOR_LOAD_IN_PROGRESS:
    case KERR_COORDINATOR_NOT_AVAILABLE:
        if (m->step != STEP_STABLE && m->step != STEP_FETCHING)
            m->step = STEP_OUT;
        return;
    default: world_fail("%s %s: error %d", m->peer.client.name, what, error);
    }
}

/* --- heartbeats --- */

static void heartbeat_came(const struct reply *r)
{
    struct asked *q = r->context;
    struct member *m;
    struct heartbeat_response answer;
    bool mine = member_answered(r, &m);
    if (q->life == m->life)
        m->asking = false;
    if (mine && m->generation == q->generation && (m->step == STEP_STABLE || m->step == STEP_FETCHING)) {
        client_decode(r, heartbeat_response, &answer);
        if (answer.error_code)
            member_told(m, answer.error_code, "heartbeats");
        else if (m->proved)
            m->alive_ns = q->sent_ns;
    }
    world_free(q);
}

static void heartbeat(struct member *m)
{
    struct heartbeat_request request;
    heartbeat_request_init(&request);
    request.group_id = view_of(m->group->oracle.name);
    request.generation_id = m->generation;
    request.member_id = view_of(m->id);
    request.group_instance_id = member_instance(m);
    m->asking = true;
    client_call(&m->peer.client, heartbeat, &request, HEARTBEAT_VERSION, heartbeat_came, member_ask(m));
}

/* --- joining --- */

static void take_assignment(struct member *m, struct kview assignment)
{
    struct assignment_cursor c = assignment_open(assignment);
    const char *topic;
    int32_t partition;
    m->held_count = 0;
    while (assignment_next(&c, &topic, &partition))
        for (int32_t i = 0; i < m->group->oracle.part_count; i++) {
            struct group_part *p = &m->group->oracle.parts[i];
            if (p->partition != partition || strcmp(p->topic, topic) != 0)
                continue;
            group_oracle_owns(p, key_of(m), m->generation);
            m->held[m->held_count++] = (struct holding){.part = p};
        }
    world_check(!c.bad, "%s got an assignment that its leader did not make", m->peer.client.name);
}

static void synced(const struct reply *r)
{
    struct asked *q = r->context;
    struct member *m;
    struct sync_group_response answer;
    if (member_answered(r, &m) && m->step == STEP_SYNCING) {
        client_decode(r, sync_group_response, &answer);
        if (answer.error_code) {
            member_told(m, answer.error_code, "syncs");
        } else {
            world_note("%s is in generation %d", m->peer.client.name, m->generation);
            group_oracle_synced(&m->group->oracle, key_of(m), m->generation, q->newest);
            take_assignment(m, answer.assignment);
            m->proved = true; /* but as in Kafka it was no sign of life */
            m->step = m->held_count ? STEP_FETCHING : STEP_STABLE;
        }
    }
    world_free(q);
}

/* Deals the partitions out, beginning anywhere. */
static void assign(const struct member *m, const struct join_group_response *joined,
                   struct sync_group_request_assignment *out)
{
    const struct group_oracle *g = &m->group->oracle;
    int32_t first = (int32_t)dice((uint64_t)joined->members.n);
    for (int32_t i = 0; i < joined->members.n; i++) {
        struct assignment_writer w = assignment_begin();
        for (int32_t k = 0; k < g->part_count; k++)
            if ((first + k) % joined->members.n == i)
                assignment_add(&w, g->parts[k].topic, g->parts[k].partition);
        sync_group_request_assignment_init(&out[i]);
        out[i].member_id = joined->members.v[i].member_id;
        out[i].assignment = assignment_end(&w);
    }
}

static void check_members(const struct member *m, const struct join_group_response *joined)
{
    bool found = false;
    for (int32_t i = 0; i < joined->members.n; i++) {
        const struct join_group_response_member *x = &joined->members.v[i];
        found =
            found || (x->member_id.n == (int32_t)strlen(m->id) && memcmp(x->member_id.at, m->id, strlen(m->id)) == 0);
        world_check(assignment_is_subscription(x->metadata), "the leader of %s got metadata that no member sent",
                    m->group->oracle.name);
    }
    world_check(found, "the leader of %s is not among its members", m->group->oracle.name);
}

static void sync(struct member *m, const struct join_group_response *joined)
{
    struct sync_group_request_assignment *assignments =
        world_alloc((size_t)joined->members.n * sizeof *assignments + 1);
    struct sync_group_request request;
    sync_group_request_init(&request);
    request.group_id = view_of(m->group->oracle.name);
    request.generation_id = m->generation;
    request.member_id = view_of(m->id);
    request.group_instance_id = member_instance(m);
    request.protocol_type = view_of("consumer");
    request.protocol_name = view_of("range");
    if (joined->members.n > 0 && !joined->skip_assignment) {
        check_members(m, joined);
        assign(m, joined, assignments);
        request.assignments.v = assignments;
        request.assignments.n = joined->members.n;
    }
    m->step = STEP_SYNCING;
    client_call(&m->peer.client, sync_group, &request, SYNC_VERSION, synced, member_ask(m));
    world_free(assignments);
}

static void take_id(struct member *m, struct kview id)
{
    world_check(id.n > 0 && id.n < MEMBER_NAME_BYTES * 2, "%s got a member id of %d bytes", m->peer.client.name, id.n);
    snprintf(m->id, sizeof m->id, "%.*s", id.n, (const char *)id.at);
    world_check((int32_t)strlen(m->id) == id.n, "%s got a long member id", m->peer.client.name);
}

static void join(struct member *m);

static void joined(const struct reply *r)
{
    struct member *m;
    struct join_group_response answer;
    bool mine = member_answered(r, &m) && m->step == STEP_JOINING;
    struct asked *q = r->context;
    world_free(q);
    if (!mine)
        return;
    client_decode(r, join_group_response, &answer);
    if (answer.error_code == KERR_MEMBER_ID_REQUIRED) {
        world_check(!m->id[0] && !m->instance[0], "%s has an id and is asked to have one", m->peer.client.name);
        take_id(m, answer.member_id);
        join(m);
    } else if (answer.error_code) {
        member_told(m, answer.error_code, "joins");
    } else {
        take_id(m, answer.member_id);
        world_note("%s joined generation %d of %s with %d members", m->peer.client.name, answer.generation_id,
                   m->group->oracle.name, answer.members.n);
        forget_holdings(m);
        m->generation = answer.generation_id;
        sync(m, &answer);
    }
}

static void join(struct member *m)
{
    struct join_group_request_protocol protocol;
    struct join_group_request request;
    join_group_request_init(&request);
    join_group_request_protocol_init(&protocol);
    request.group_id = view_of(m->group->oracle.name);
    request.session_timeout_ms = m->group->session_ms;
    request.rebalance_timeout_ms = m->group->rebalance_ms;
    request.member_id = view_of(m->id);
    request.group_instance_id = member_instance(m);
    request.protocol_type = view_of("consumer");
    request.protocols.v = &protocol;
    request.protocols.n = 1;
    protocol.name = view_of("range");
    protocol.metadata = assignment_subscription();
    m->step = STEP_JOINING;
    client_call(&m->peer.client, join_group, &request, m->join_version, joined, member_ask(m));
}

static void found(const struct reply *r)
{
    struct member *m;
    struct find_coordinator_response answer;
    bool mine = member_answered(r, &m) && m->step == STEP_FINDING;
    struct asked *q = r->context;
    world_free(q);
    if (!mine)
        return;
    client_decode(r, find_coordinator_response, &answer);
    world_check(answer.coordinators.n == 1, "FindCoordinator answers for %d groups", answer.coordinators.n);
    const struct coordinator *c = &answer.coordinators.v[0];
    if (c->error_code) {
        member_told(m, c->error_code, "looks for its coordinator");
        return;
    }
    world_check(c->port == BROKER_PORT + c->node_id - 1 && c->host.n == 9, "the coordinator is somewhere else");
    if (!client_go_to(&m->peer.client, c->port))
        join(m);
}

static void ask_coordinator(struct member *m)
{
    struct find_coordinator_request request;
    struct kview name = view_of(m->group->oracle.name);
    find_coordinator_request_init(&request);
    request.coordinator_keys.v = &name;
    request.coordinator_keys.n = 1;
    client_call(&m->peer.client, find_coordinator, &request, FIND_VERSION, found, member_ask(m));
}

static void find(struct member *m)
{
    m->step = STEP_FINDING;
    ask_coordinator(m);
}

/* --- leaving, crashing, sleeping --- */

static void left(const struct reply *r)
{
    struct member *m;
    if (member_answered(r, &m))
        restart(m);
    world_free(r->context);
}

static void leave(struct member *m)
{
    struct leave_group_request request;
    struct member_identity who;
    leave_group_request_init(&request);
    member_identity_init(&who);
    who.member_id = view_of(m->id);
    who.group_instance_id = member_instance(m);
    request.group_id = view_of(m->group->oracle.name);
    request.members.v = &who;
    request.members.n = 1;
    m->step = STEP_LEAVING;
    m->alive_ns = 0;
    client_call(&m->peer.client, leave_group, &request, LEAVE_VERSION, left, member_ask(m));
}

static void misbehave(struct member *m)
{
    switch (dice(4)) {
    case 0:
        if (m->peer.is_ready && m->step == STEP_STABLE && !m->peer.client.call_count)
            leave(m);
        break;
    case 1:
        world_note("%s crashes", m->peer.client.name);
        restart(m);
        m->back_ns = sim.now_ns + dice(2 * member_session_ns(m));
        if (m->peer.client.link.conn)
            client_reset(&m->peer.client, "crash");
        break;
    default: world_note("%s sleeps", m->peer.client.name); m->back_ns = sim.now_ns + dice(3 * member_session_ns(m));
    }
}

/* --- the rhythm --- */

static void consume(struct member *m)
{
    for (int32_t i = 0; i < m->held_count; i++) {
        struct holding *h = &m->held[i];
        int64_t end = m->group->target[h->part - m->group->oracle.parts];
        int64_t next = h->position + (int64_t)dice(8);
        if (next > end)
            next = end;
        if (next > h->position)
            h->position = next;
        if (h->position > h->part->consumed_end)
            h->part->consumed_end = h->position;
    }
}

static void go_on(struct member *m)
{
    bool busy = m->asking || m->peer.client.call_count;
    if (m->step == STEP_STABLE)
        consume(m);
    if (m->step == STEP_STABLE && (m->has_side || !busy) && dice(3) == 0)
        member_commit(m);
    if (m->step == STEP_STABLE && m->has_side && trouble() && dice(8) == 0)
        member_commit_late(m);
    if (m->asking || m->peer.client.call_count)
        return;
    switch (m->step) {
    case STEP_OUT:
        if (m->generation >= 0 && m->held_count && m->alive_ns && dice(3) == 0)
            member_commit(
                m); /* what an eager consumer does before it joins again; on its second connection it may come later */
        find(m);
        forget_holdings(m);
        break;
    case STEP_FETCHING: member_fetch_offsets(m); break;
    case STEP_STABLE: heartbeat(m); break;
    case STEP_FINDING:
    case STEP_JOINING:
    case STEP_SYNCING:
    case STEP_LEAVING: m->step = STEP_OUT; /* its question was lost */
    }
}

static void tick(void *arg)
{
    struct member *m = arg;
    if (m->quitting)
        return;
    event_in(NS_PER_MS + dice(member_session_ns(m) / 6), tick, m);
    if (sim.now_ns < m->back_ns || !m->group->clerk.founded)
        return;
    if (trouble() && dice(40) == 0)
        misbehave(m);
    else if (m->peer.is_ready)
        go_on(m);
}

static void ready(struct peer *p)
{
    (void)p; /* the next tick goes on */
}

static void lost(struct peer *p)
{
    struct member *m = container_of(p, struct member, peer);
    m->asking = m->proved = false;
    if (m->step == STEP_LEAVING)
        restart(m);
    else if (m->step != STEP_STABLE && m->step != STEP_FETCHING) /* those go on where they were */
        m->step = STEP_OUT;
    if (!m->has_side)
        m->committing = false;
}

static void side_up(struct client *c)
{
    (void)c;
}

static void side_down(struct client *c)
{
    struct member *m = container_of(c, struct member, side);
    m->committing = false;
}

void member_init(struct member *m, struct sim_group *g, uint32_t group, uint32_t i)
{
    char name[32];
    *m = (struct member){.group = g, .generation = -1};
    snprintf(name, sizeof name, "member-%u-%u", group, i);
    if (dice(3) == 0)
        snprintf(m->instance, sizeof m->instance, "static-%u", i);
    m->has_side = dice(3) == 0;
    m->join_version = (int16_t)dice_between(JOIN_VERSION_FIRST, JOIN_VERSION_LAST);
    peer_init(&m->peer, name, ready, lost);
    peer_start(&m->peer);
    client_init(&m->side, name, side_up, side_down);
    if (m->has_side)
        client_connect(&m->side);
    event_in(dice(200 * NS_PER_MS), tick, m);
}
