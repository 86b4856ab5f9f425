/* A member's offsets: asked for after each assignment, committed as it goes on, and now and then late. */
#include "storage/kerr.h"
#include "tests/sim/member.h"
#include <stdio.h>

enum { COMMIT_VERSION = 9, FETCH_VERSION = 9 };

static void offsets_came(const struct reply *r)
{
    struct asked *q = r->context;
    struct member *m;
    struct offset_fetch_response answer;
    bool mine = member_answered(r, &m);
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
        member_told(m, g->error_code, "fetches offsets");
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

void member_fetch_offsets(struct member *m)
{
    struct clerk_fetch want;
    struct asked *q = member_ask(m);
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
            member_told(m, error, "commits");
        else if (in && error == 0 &&
                 !m->has_side) /* no sign of life for sure: a group that gathers takes commits, too */
            m->proved = true;
    }
    world_free(q);
}

static void send_commit(const struct member *m, struct client *c, struct asked *q, client_done_fn *done)
{
    struct clerk_commit say;
    clerk_fill_commit(&say, q->parts, q->offsets, q->count, m->group->oracle.name);
    say.request.generation_id_or_member_epoch = q->generation;
    say.request.member_id = view_of(q->id);
    say.request.group_instance_id = member_instance(m);
    for (int32_t i = 0; i < q->count; i++)
        q->commits[i] = group_oracle_commit(&m->group->oracle, q->parts[i], q->offsets[i], q->generation);
    client_call(c, offset_commit, &say.request, COMMIT_VERSION, done, q);
}

static struct asked *note_places(struct member *m)
{
    struct asked *q = member_ask(m);
    snprintf(q->id, sizeof q->id, "%s", m->id);
    q->count = m->held_count;
    for (int32_t i = 0; i < m->held_count; i++) {
        q->parts[i] = m->held[i].part;
        q->offsets[i] = m->held[i].position;
    }
    return q;
}

void member_commit(struct member *m)
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

void member_commit_late(struct member *m)
{
    if (m->held_count)
        event_in(dice(2 * member_session_ns(m)), late_due, note_places(m));
}
