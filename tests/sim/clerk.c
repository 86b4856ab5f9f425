#include "tests/sim/clerk.h"
#include "storage/kerr.h"
#include "tests/sim/requests.h"

enum { COMMIT_VERSION = 7, FETCH_VERSION = 8, AGAIN_MS = 5 };

struct errand {
    struct clerk *clerk;
    struct group_commit *commits[GROUP_PARTS_MAX]; /* sent, or acknowledged when it was sent */
};

static void ask(struct clerk *c);

static void again(void *arg)
{
    struct clerk *c = arg;
    c->waiting = false;
    if (c->peer.is_ready && !c->peer.client.call_count && !(c->judges ? c->judged : c->founded))
        ask(c);
}

static void later(struct clerk *c)
{
    if (!c->waiting) {
        c->waiting = true;
        event_in(AGAIN_MS * NS_PER_MS, again, c);
    }
}

static bool is_passing(int16_t error)
{
    return error == KERR_COORDINATOR_LOAD_IN_PROGRESS || error == KERR_COORDINATOR_NOT_AVAILABLE ||
           error == KERR_NOT_COORDINATOR;
}

/* --- founding --- */

static void committed(const struct reply *r)
{
    struct errand *e = r->context;
    struct clerk *c = e->clerk;
    struct offset_commit_response m;
    if (r->body.n >= 0) {
        client_decode(r, offset_commit_response, &m);
        world_check(m.topics.n == c->group->part_count, "OffsetCommit answers for %d topics", m.topics.n);
        int16_t error = m.topics.v[0].partitions.v[0].error_code;
        world_check(!error || is_passing(error), "a commit to a group without members: error %d", error);
        c->founded = !error;
        for (int32_t i = 0; c->founded && i < m.topics.n; i++)
            group_oracle_committed(&c->group->parts[i], e->commits[i]);
        later(c);
    }
    world_free(e);
}

void clerk_fill_commit(struct clerk_commit *out, struct group_part *const *parts, const int64_t *offsets, int32_t count,
                       const char *name)
{
    offset_commit_request_init(&out->request);
    out->request.group_id = view_of(name);
    out->request.topics.v = out->topics;
    out->request.topics.n = count;
    for (int32_t i = 0; i < count; i++) {
        offset_commit_request_topic_init(&out->topics[i]);
        offset_commit_request_partition_init(&out->parts[i]);
        out->topics[i].name = view_of(parts[i]->topic);
        out->topics[i].partitions.v = &out->parts[i];
        out->topics[i].partitions.n = 1;
        out->parts[i].partition_index = parts[i]->partition;
        out->parts[i].committed_offset = offsets[i];
    }
}

static void commit(struct clerk *c)
{
    static const int64_t nowhere[GROUP_PARTS_MAX];
    struct clerk_commit say;
    struct group_part *parts[GROUP_PARTS_MAX];
    struct errand *e = world_alloc(sizeof *e);
    e->clerk = c;
    for (int32_t i = 0; i < c->group->part_count; i++) {
        parts[i] = &c->group->parts[i];
        e->commits[i] = group_oracle_commit(c->group, parts[i], 0, 0); /* before the first generation */
    }
    clerk_fill_commit(&say, parts, nowhere, c->group->part_count, c->group->name);
    client_call(&c->peer.client, offset_commit, &say.request, COMMIT_VERSION, committed, e);
}

/* Finding the coordinator makes __consumer_offsets. */
static void found(const struct reply *r)
{
    struct clerk *c = r->context;
    if (r->body.n < 0)
        return;
    int16_t error = answer_coordinator(r, true);
    world_check(!error || is_passing(error), "FindCoordinator: error %d", error);
    if (error)
        later(c);
    else
        commit(c);
}

/* --- judging --- */

void clerk_fill_fetch(struct clerk_fetch *out, struct group_part *const *parts, int32_t count, const char *name)
{
    offset_fetch_request_init(&out->request);
    offset_fetch_request_group_init(&out->group);
    out->group.group_id = view_of(name);
    out->group.topics.v = out->topics;
    out->group.topics.n = count;
    for (int32_t i = 0; i < count; i++) {
        offset_fetch_request_topics_init(&out->topics[i]);
        out->topics[i].name = view_of(parts[i]->topic);
        out->topics[i].partition_indexes.v = &parts[i]->partition;
        out->topics[i].partition_indexes.n = 1;
    }
    out->request.groups.v = &out->group;
    out->request.groups.n = 1;
}

static void fetched(const struct reply *r)
{
    struct errand *e = r->context;
    struct clerk *c = e->clerk;
    struct offset_fetch_response m;
    if (r->body.n >= 0) {
        client_decode(r, offset_fetch_response, &m);
        world_check(m.groups.n == 1, "OffsetFetch answers for %d groups", m.groups.n);
        const struct offset_fetch_response_group *g = &m.groups.v[0];
        world_check(!g->error_code || is_passing(g->error_code), "OffsetFetch: error %d", g->error_code);
        c->judged = !g->error_code;
        for (int32_t i = 0; c->judged && i < c->group->part_count; i++)
            group_oracle_fetched(&c->group->parts[i], e->commits[i], g->topics.v[i].partitions.v[0].committed_offset);
        later(c);
    }
    world_free(e);
}

static void fetch(struct clerk *c)
{
    struct clerk_fetch want;
    struct group_part *parts[GROUP_PARTS_MAX];
    struct errand *e = world_alloc(sizeof *e);
    e->clerk = c;
    for (int32_t i = 0; i < c->group->part_count; i++) {
        parts[i] = &c->group->parts[i];
        e->commits[i] = parts[i]->acked;
    }
    clerk_fill_fetch(&want, parts, c->group->part_count, c->group->name);
    client_call(&c->peer.client, offset_fetch, &want.request, FETCH_VERSION, fetched, e);
}

/* --- both --- */

static void ask(struct clerk *c)
{
    if (c->judges)
        fetch(c);
    else
        request_coordinator(&c->peer.client, c->group->name, COORDINATES_GROUP, found, c);
}

static void ready(struct peer *p)
{
    later(container_of(p, struct clerk, peer));
}

static void lost(struct peer *p)
{
    (void)p;
}

static void start(struct clerk *c, struct group_oracle *g)
{
    c->group = g;
    peer_init(&c->peer, "clerk", ready, lost);
    peer_start(&c->peer);
}

void clerk_found(struct clerk *c, struct group_oracle *g)
{
    c->founded = c->judges = c->judged = c->waiting = false;
    start(c, g);
}

void clerk_judge(struct clerk *c, struct group_oracle *g)
{
    c->judges = true;
    start(c, g);
}

void clerk_quit(struct clerk *c)
{
    peer_quit(&c->peer);
}
