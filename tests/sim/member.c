#include "tests/sim/member.h"
#include "storage/kerr.h"
#include "tests/sim/assignment.h"
#include "tests/sim/clerk.h"
#include "tests/sim/group_oracle.h"
#include "tests/sim/peer.h"
#include <stdio.h>
#include <string.h>

enum {
    GROUPS_MAX = 2,
    MEMBERS_MAX = 5,
    FIND_VERSION = 4,
    JOIN_VERSION_FIRST = 5,
    JOIN_VERSION_LAST = 9,
    SYNC_VERSION = 5,
    HEARTBEAT_VERSION = 4,
    LEAVE_VERSION = 4,
    COMMIT_VERSION = 9,
    FETCH_VERSION = 9,
    MORE_AT_THE_END = 20, /* numbers that each partition holds beyond what was consumed in the trouble */
    SESSION_MS_MIN = 150,
    SESSION_MS_MAX = 600,
};

enum step { STEP_OUT, STEP_FINDING, STEP_JOINING, STEP_SYNCING, STEP_FETCHING, STEP_STABLE, STEP_LEAVING };

/* A partition that a member owns. */
struct holding {
    struct group_part *part;
    int64_t position;
};
struct sim_group {
    struct group_oracle oracle;
    struct clerk clerk;
    int32_t session_ms, rebalance_ms;
    int64_t target[GROUP_PARTS_MAX];
    int32_t calm_generation;
};
struct member {
    struct peer peer;   /* with the coordinator */
    struct client side; /* some commit over a second connection */
    struct sim_group *group;
    char instance[24]; /* "": dynamic */
    char id[MEMBER_NAME_BYTES];
    int16_t join_version;
    enum step step;
    int32_t generation; /* of the holdings; -1: none */
    bool has_side, committing, asking;
    bool proved;       /* the coordinator has loaded: before, it answers heartbeats without a look */
    uint64_t back_ns;  /* paused, or away, until then */
    uint64_t alive_ns; /* when the youngest heartbeat was sent that was answered with NONE; 0: none */
    uint32_t life;     /* counts restarts: what an earlier life asked is not answered to this one */
    struct holding held[GROUP_PARTS_MAX];
    int32_t held_count;
};
/* A request under way. */
struct asked {
    struct member *member;
    uint32_t life;
    uint64_t sent_ns;
    int32_t generation, newest;
    int32_t count;
    struct group_part *parts[GROUP_PARTS_MAX];
    int64_t offsets[GROUP_PARTS_MAX];
    char id[MEMBER_NAME_BYTES];                    /* the member's, when it committed */
    struct group_commit *commits[GROUP_PARTS_MAX]; /* OffsetCommit: these; OffsetFetch: what was acknowledged */
};

static struct sim_group groups[GROUPS_MAX];
static struct member members[GROUPS_MAX * MEMBERS_MAX];
static uint32_t group_count, member_count;
static bool finishing, finished, quitting;
static uint64_t stable_by_ns;

static const char *key_of(const struct member *m)
{
    return m->instance[0] ? m->instance : m->id;
}

static uint64_t session_ns(const struct member *m)
{
    return (uint64_t)m->group->session_ms * (uint64_t)NS_PER_MS;
}

static struct asked *ask(struct member *m)
{
    struct asked *q = world_alloc(sizeof *q);
    *q = (struct asked){.member = m,
                        .life = m->life,
                        .sent_ns = sim.now_ns,
                        .generation = m->generation,
                        .newest = m->group->oracle.newest};
    return q;
}

/* Is this an answer for the member as it is now? Its absence is not. */
static bool answered(const struct reply *r, struct member **out_member)
{
    struct asked *q = r->context;
    *out_member = q->member;
    return r->body.n >= 0 && q->life == q->member->life;
}

static struct kview instance_of(const struct member *m)
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
    world_check(!m->alive_ns || sim.now_ns - m->alive_ns >= session_ns(m),
                "%s of %s was expelled %llu ms after a sign of life, its session is %d ms", key_of(m),
                m->group->oracle.name, (unsigned long long)((sim.now_ns - m->alive_ns) / NS_PER_MS),
                m->group->session_ms);
    sim.totals.expulsions++;
    restart(m);
}

static void told(struct member *m, int16_t error, const char *what)
{
    world_note("%s %s: error %d", m->peer.client.name, what, error);
    switch (error) {
    case KERR_REBALANCE_IN_PROGRESS:
    case KERR_ILLEGAL_GENERATION:
        m->step = STEP_OUT; /* it may still commit what it holds until it has joined again */
        return;
    case KERR_UNKNOWN_MEMBER_ID: expelled(m); return;
    case KERR_FENCED_INSTANCE_ID: restart(m); return;
    case KERR_COORDINATOR_LOAD_IN_PROGRESS:
    case KERR_COORDINATOR_NOT_AVAILABLE:
    case KERR_NOT_COORDINATOR:
        if (m->step != STEP_STABLE && m->step != STEP_FETCHING)
            m->step = STEP_OUT;
        return;
    default: world_fail("%s %s: error %d", m->peer.client.name, what, error);
    }
}

/* --- offsets --- */

static void offsets_came(const struct reply *r)
{
    struct asked *q = r->context;
    struct member *m;
    struct offset_fetch_response answer;
    bool mine = answered(r, &m);
    if (q->life == m->life)
        m->asking = false;
    if (!mine || m->step != STEP_FETCHING || m->generation != q->generation) {
        world_free(q);
        return;
    }
    client_decode(r, offset_fetch_response, &answer);
    world_check(answer.groups.n == 1, "OffsetFetch answers for %d groups", answer.groups.n);
    const struct offset_fetch_response_group *g = &answer.groups.v[0];
    if (g->error_code)
        told(m, g->error_code, "fetches offsets");
    else {
        world_check(g->topics.n == q->count, "OffsetFetch answers for %d topics", g->topics.n);
        for (int32_t i = 0; i < q->count; i++) {
            const struct offset_fetch_response_partitions *p = &g->topics.v[i].partitions.v[0];
            world_check(!p->error_code && p->partition_index == q->parts[i]->partition, "OffsetFetch: error %d",
                        p->error_code);
            group_oracle_fetched(q->parts[i], q->commits[i], p->committed_offset);
            m->held[i].position = p->committed_offset < 0 ? 0 : p->committed_offset;
        }
        m->step = STEP_STABLE;
    }
    world_free(q);
}

static void fetch_offsets(struct member *m)
{
    struct clerk_fetch want;
    struct asked *q = ask(m);
    for (int32_t i = 0; i < m->held_count; i++) {
        q->parts[i] = m->held[i].part;
        q->commits[i] = m->held[i].part->acked;
    }
    q->count = m->held_count;
    m->asking = true;
    clerk_fill_fetch(&want, q->parts, q->count, m->group->oracle.name);
    client_call(&m->peer.client, offset_fetch, &want.request, FETCH_VERSION, offsets_came, q);
}

static bool is_final(int16_t error)
{
    return error == KERR_ILLEGAL_GENERATION || error == KERR_UNKNOWN_MEMBER_ID || error == KERR_FENCED_INSTANCE_ID ||
           error == KERR_REBALANCE_IN_PROGRESS;
}

/* What the broker made of a commit. Returns the error of the last partition, -1 when the answer was lost. */
static int16_t note_commit(const struct reply *r, const struct asked *q)
{
    struct offset_commit_response answer;
    int16_t error = -1;
    if (r->body.n < 0)
        return error;
    client_decode(r, offset_commit_response, &answer);
    world_check(answer.topics.n == q->count, "OffsetCommit answers for %d topics", answer.topics.n);
    for (int32_t i = 0; i < q->count; i++) {
        error = answer.topics.v[i].partitions.v[0].error_code;
        q->commits[i]->refused = is_final(error);
        sim.totals.refused_commits += is_final(error);
        if (!error)
            group_oracle_committed(q->parts[i], q->commits[i]);
    }
    return error;
}

static void commit_came(const struct reply *r)
{
    struct asked *q = r->context;
    struct member *m = q->member;
    int16_t error = note_commit(r, q);
    if (q->life == m->life) {
        m->committing = false;
        bool in = m->generation == q->generation && (m->step == STEP_STABLE || m->step == STEP_FETCHING);
        if (in && error > 0)
            told(m, error, "commits");
        else if (in && error == 0 &&
                 !m->has_side) /* no sign of life for sure: a group that gathers takes commits, too */
            m->proved = true;
    }
    world_free(q);
}

static void send_commit(const struct member *m, struct client *c, struct asked *q, client_done_fn *done)
{
    struct offset_commit_request request;
    struct offset_commit_request_topic topics[GROUP_PARTS_MAX];
    struct offset_commit_request_partition parts[GROUP_PARTS_MAX];
    offset_commit_request_init(&request);
    request.group_id = view_of(m->group->oracle.name);
    request.generation_id_or_member_epoch = q->generation;
    request.member_id = view_of(q->id);
    request.group_instance_id = instance_of(m);
    request.topics.v = topics;
    request.topics.n = q->count;
    for (int32_t i = 0; i < q->count; i++) {
        struct group_part *p = q->parts[i];
        offset_commit_request_topic_init(&topics[i]);
        offset_commit_request_partition_init(&parts[i]);
        topics[i].name = view_of(p->topic);
        topics[i].partitions.v = &parts[i];
        topics[i].partitions.n = 1;
        parts[i].partition_index = p->partition;
        parts[i].committed_offset = q->offsets[i];
        q->commits[i] = group_oracle_commit(&m->group->oracle, p, q->offsets[i], q->generation);
    }
    client_call(c, offset_commit, &request, COMMIT_VERSION, done, q);
}

static struct asked *note_places(struct member *m)
{
    struct asked *q = ask(m);
    snprintf(q->id, sizeof q->id, "%s", m->id);
    q->count = m->held_count;
    for (int32_t i = 0; i < m->held_count; i++) {
        q->parts[i] = m->held[i].part;
        q->offsets[i] = m->held[i].position;
    }
    return q;
}

static void commit(struct member *m)
{
    struct client *c = m->has_side ? &m->side : &m->peer.client;
    if (m->committing || !m->held_count || !c->link.conn)
        return;
    m->committing = true;
    send_commit(m, c, note_places(m), commit_came);
}

/* --- commits that come late: of a thread that goes its own way, in a generation that may be over --- */

static void late_came(const struct reply *r)
{
    (void)note_commit(r, r->context);
    world_free(r->context);
}

static void late_due(void *arg)
{
    struct asked *q = arg;
    struct member *m = q->member;
    if (trouble() && m->side.link.conn)
        send_commit(m, &m->side, q, late_came);
    else
        world_free(q);
}

static void commit_late(struct member *m)
{
    if (m->held_count)
        event_in(dice(2 * session_ns(m)), late_due, note_places(m));
}

/* --- heartbeats --- */

static void heartbeat_came(const struct reply *r)
{
    struct asked *q = r->context;
    struct member *m;
    struct heartbeat_response answer;
    bool mine = answered(r, &m);
    if (q->life == m->life)
        m->asking = false;
    if (mine && m->generation == q->generation && (m->step == STEP_STABLE || m->step == STEP_FETCHING)) {
        client_decode(r, heartbeat_response, &answer);
        if (answer.error_code)
            told(m, answer.error_code, "heartbeats");
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
    request.group_instance_id = instance_of(m);
    m->asking = true;
    client_call(&m->peer.client, heartbeat, &request, HEARTBEAT_VERSION, heartbeat_came, ask(m));
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
    if (answered(r, &m) && m->step == STEP_SYNCING) {
        client_decode(r, sync_group_response, &answer);
        if (answer.error_code) {
            told(m, answer.error_code, "syncs");
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
    request.group_instance_id = instance_of(m);
    request.protocol_type = view_of("consumer");
    request.protocol_name = view_of("range");
    if (joined->members.n > 0 && !joined->skip_assignment) {
        check_members(m, joined);
        assign(m, joined, assignments);
        request.assignments.v = assignments;
        request.assignments.n = joined->members.n;
    }
    m->step = STEP_SYNCING;
    client_call(&m->peer.client, sync_group, &request, SYNC_VERSION, synced, ask(m));
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
    bool mine = answered(r, &m) && m->step == STEP_JOINING;
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
        told(m, answer.error_code, "joins");
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
    request.group_instance_id = instance_of(m);
    request.protocol_type = view_of("consumer");
    request.protocols.v = &protocol;
    request.protocols.n = 1;
    protocol.name = view_of("range");
    protocol.metadata = assignment_subscription();
    m->step = STEP_JOINING;
    client_call(&m->peer.client, join_group, &request, m->join_version, joined, ask(m));
}

static void found(const struct reply *r)
{
    struct member *m;
    struct find_coordinator_response answer;
    bool mine = answered(r, &m) && m->step == STEP_FINDING;
    struct asked *q = r->context;
    world_free(q);
    if (!mine)
        return;
    client_decode(r, find_coordinator_response, &answer);
    world_check(answer.coordinators.n == 1, "FindCoordinator answers for %d groups", answer.coordinators.n);
    const struct coordinator *c = &answer.coordinators.v[0];
    if (c->error_code) {
        told(m, c->error_code, "looks for its coordinator");
        return;
    }
    world_check(c->port == 9092 && c->host.n == 9, "the coordinator is somewhere else");
    join(m);
}

static void find(struct member *m)
{
    struct find_coordinator_request request;
    struct kview name = view_of(m->group->oracle.name);
    find_coordinator_request_init(&request);
    request.coordinator_keys.v = &name;
    request.coordinator_keys.n = 1;
    m->step = STEP_FINDING;
    client_call(&m->peer.client, find_coordinator, &request, FIND_VERSION, found, ask(m));
}

/* --- leaving, crashing, sleeping --- */

static void left(const struct reply *r)
{
    struct member *m;
    if (answered(r, &m))
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
    who.group_instance_id = instance_of(m);
    request.group_id = view_of(m->group->oracle.name);
    request.members.v = &who;
    request.members.n = 1;
    m->step = STEP_LEAVING;
    m->alive_ns = 0;
    client_call(&m->peer.client, leave_group, &request, LEAVE_VERSION, left, ask(m));
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
        m->back_ns = sim.now_ns + dice(2 * session_ns(m));
        if (m->peer.client.link.conn)
            client_reset(&m->peer.client, "crash");
        break;
    default: world_note("%s sleeps", m->peer.client.name); m->back_ns = sim.now_ns + dice(3 * session_ns(m));
    }
}

/* --- the rhythm --- */

static void consume(struct member *m)
{
    for (int32_t i = 0; i < m->held_count; i++) {
        struct holding *h = &m->held[i];
        int64_t end = finishing ? m->group->target[h->part - m->group->oracle.parts] : INT64_MAX;
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
        commit(m);
    if (m->step == STEP_STABLE && m->has_side && trouble() && dice(8) == 0)
        commit_late(m);
    if (m->asking || m->peer.client.call_count)
        return;
    switch (m->step) {
    case STEP_OUT:
        if (m->generation >= 0 && m->held_count && m->alive_ns && dice(3) == 0)
            commit(
                m); /* what an eager consumer does before it joins again; on its second connection it may come later */
        find(m);
        forget_holdings(m);
        break;
    case STEP_FETCHING: fetch_offsets(m); break;
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
    if (quitting)
        return;
    event_in(NS_PER_MS + dice(session_ns(m) / 6), tick, m);
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

/* --- the life of all --- */

static void init_member(struct member *m, struct sim_group *g, uint32_t group, uint32_t i)
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

void members_begin(void)
{
    group_count = sim.knobs.groups;
    member_count = 0;
    finishing = finished = quitting = false;
    assert(group_count <= GROUPS_MAX && sim.knobs.members <= MEMBERS_MAX);
    for (uint32_t i = 0; i < group_count; i++) {
        struct sim_group *g = &groups[i];
        char name[32];
        memset(g, 0, sizeof *g);
        snprintf(name, sizeof name, "group-%u", i);
        group_oracle_begin(&g->oracle, name);
        clerk_found(&g->clerk, &g->oracle);
        g->session_ms = (int32_t)dice_between(SESSION_MS_MIN, SESSION_MS_MAX);
        g->rebalance_ms = g->session_ms + (int32_t)dice((uint64_t)g->session_ms);
        for (uint32_t k = 0; k < sim.knobs.members; k++)
            init_member(&members[member_count++], g, i, k);
    }
}

void members_finish(void)
{
    uint64_t longest_ms = 0;
    finishing = true;
    for (uint32_t i = 0; i < group_count; i++) {
        struct sim_group *g = &groups[i];
        longest_ms = u64_max(longest_ms, (uint64_t)(g->session_ms + g->rebalance_ms));
        for (int32_t k = 0; k < g->oracle.part_count; k++)
            g->target[k] = g->oracle.parts[k].consumed_end + MORE_AT_THE_END;
    }
    for (uint32_t i = 0; i < member_count; i++)
        members[i].back_ns = 0;
    stable_by_ns = sim.now_ns + 2 * longest_ms * NS_PER_MS + 3 * NS_PER_S;
}

/* Who of the group is not where it should be? NULL: nobody. */
static const char *unstable(const struct sim_group *g)
{
    int32_t held = 0;
    for (uint32_t i = 0; i < member_count; i++) {
        const struct member *m = &members[i];
        if (m->group != g)
            continue;
        if (m->step != STEP_STABLE || m->generation != g->oracle.newest)
            return m->peer.client.name;
        held += m->held_count;
    }
    return held == g->oracle.part_count ? NULL : "somebody";
}

static bool all_committed(const struct sim_group *g)
{
    bool all = true;
    for (int32_t i = 0; i < g->oracle.part_count; i++) {
        const struct group_commit *acked = g->oracle.parts[i].acked;
        all = all && acked && acked->offset == g->target[i];
    }
    return all;
}

bool members_done(void)
{
    if (group_count == 0 || finished)
        return true;
    if (!finishing || sim.now_ns < stable_by_ns)
        return false;
    bool done = sim.now_ns > stable_by_ns + NS_PER_S;
    for (uint32_t i = 0; i < group_count; i++) {
        struct sim_group *g = &groups[i];
        if (!g->calm_generation) {
            const char *who = unstable(g);
            world_check(!who, "%s is not stable although its time-outs are over: %s", g->oracle.name, who);
            g->calm_generation = g->oracle.newest;
        }
        world_check(g->calm_generation == g->oracle.newest,
                    "%s went from generation %d to %d although nothing happened", g->oracle.name, g->calm_generation,
                    g->oracle.newest);
        done = done && all_committed(g);
    }
    finished = done;
    return done;
}

void members_tell(char *out, size_t bytes)
{
    for (uint32_t i = 0; i < group_count && !finished; i++)
        if (!all_committed(&groups[i]))
            snprintf(out, bytes, " %s has not committed everything", groups[i].oracle.name);
}

void members_quit(void)
{
    quitting = true;
    for (uint32_t i = 0; i < member_count; i++) {
        peer_quit(&members[i].peer);
        client_quit(&members[i].side);
    }
    for (uint32_t i = 0; i < group_count; i++)
        clerk_quit(&groups[i].clerk);
}

void members_judge_begin(void)
{
    for (uint32_t i = 0; i < group_count; i++)
        clerk_judge(&groups[i].clerk, &groups[i].oracle);
}

bool members_judged(void)
{
    bool all = true;
    for (uint32_t i = 0; i < group_count; i++)
        all = all && groups[i].clerk.judged;
    return all;
}

void members_judge_quit(void)
{
    for (uint32_t i = 0; i < group_count; i++)
        clerk_quit(&groups[i].clerk);
}
