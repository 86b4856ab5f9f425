/* JoinGroup, SyncGroup, Heartbeat, LeaveGroup: the conversation of a classic group's members with their coordinator.
 *
 * JoinGroup and SyncGroup wait for the other members, a rebalance time-out at most. They let go of the receive buffer first, and
 * everything behind them on their connection waits, as in Kafka. When the connection closes, the member stays in its group
 * until its session time-out is over.
 *
 * Answers are filled on the group's shard; what they say of the group is copied there (net/coord/coord_call.h). */
#include "net/api/api.h"
#include "net/api/group_asking.h"
#include "net/api/reply.h"
#include "storage/uuid.h"
#include <stdio.h>

enum { UUID_HEX_BYTES = 36, ID_NAME_MAX = INT16_MAX - UUID_HEX_BYTES - 1 }; /* an id must fit into a string */
enum { IPV6_GROUPS = 8 };

static struct kview empty_if_null(struct kview v)
{
    return v.n < 0 ? view_of("") : v;
}

/* The request waits for long: its bytes move out of the receive buffer. False: the request was ended. */
static bool keep_member_request(struct request *req)
{
    struct kview body = request_copy(req, req->body), id = request_copy(req, req->header.client_id);
    if (body.n != req->body.n || id.n != req->header.client_id.n) {
        request_fail(req, no_memory);
        return false;
    }
    req->body = body;
    req->header.client_id = id;
    request_release(req);
    return true;
}

/* The question waits in the group from now on. */
static void forget_waiting_question(struct coord_call *c)
{
    group_waiter_forget(&container_of(c, struct group_question, call)->waiter);
}

static void group_wait(struct group_question *q, struct group_entry *e,
                       void (*answered)(struct group_waiter *w, const struct group *g, const struct group_action *a))
{
    q->call.forget = forget_waiting_question;
    q->waiter = (struct group_waiter){.answered = answered, .entry = e};
}

/* --- JoinGroup --- */

struct join_run {
    struct group_asking asking;
    struct group_question question;
    struct join_group_request *ask;
    struct join_group_response r;
    struct kview client_id, client_host, fresh_id;
    int16_t version;
    struct members_told told; /* the owner's, while a leader is told of the members */
};

static void end_join_group(struct join_run *run, enum kerr error, struct kview member_id)
{
    run->r.error_code = (int16_t)error;
    run->r.member_id = member_id;
    coord_call_done(&run->question.call);
}

static void tell_joined_member(struct group_question *q, const struct group *g, const struct group_member *m)
{
    struct join_run *run = container_of(q, struct join_run, question);
    struct join_group_response_member *out = &run->r.members.v[run->r.members.n++];
    join_group_response_member_init(out);
    out->member_id = coord_call_text(&q->call, group_view(m->id));
    out->group_instance_id = coord_call_text(&q->call, group_view(m->instance_id));
    out->metadata = coord_call_text(&q->call, group_metadata(g, m));
}

/* A generation that is over before its leader knows the members is not worth telling: the leader joins again when it sees the error. */
static bool tell_joined_members_step(struct steps *s)
{
    struct join_run *run = container_of(s, struct join_run, question.steps);
    struct coord_call *c = &run->question.call;
    coord_call_look_again(c);
    const struct group_entry *e = group_asked(c);
    bool same = e && e->group->generation == run->r.generation_id;
    if (same && group_question_tell_members(&run->question, &run->told, e->group, tell_joined_member))
        return true;
    struct kview id = run->r.member_id;
    if (!same || c->starved)
        join_group_response_init(&run->r);
    end_join_group(run, same && !c->starved ? KERR_NONE : KERR_COORDINATOR_NOT_AVAILABLE, id);
    return false;
}

/* In steps: there may be ten thousand, and 64 MiB of what they said. */
static void tell_joined_members(struct join_run *run, const struct group *g)
{
    struct coord_call *c = &run->question.call;
    c->forget = NULL; /* it waits in the group no longer */
    run->r.members.v = coord_call_alloc(c, (size_t)g->member_count * sizeof *run->r.members.v);
    run->told.capacity = run->r.members.v ? g->member_count : 0;
    group_question_steps(&run->question, tell_joined_members_step);
}

static bool fill_join_answer(struct coord_call *c, const struct group *g, const struct group_action *a,
                             struct join_group_response *r)
{
    struct kview id = a->member_id, leader = a->leader;
    r->generation_id = g->generation;
    r->protocol_type = coord_call_text(c, group_view(g->protocol_type));
    r->protocol_name = coord_call_text(c, group_view(g->protocol));
    r->leader = coord_call_text(c, empty_if_null(leader));
    r->skip_assignment = a->skip_assignment;
    r->member_id = coord_call_text(c, empty_if_null(id));
    return !c->starved;
}

static void join_group_answered(struct group_waiter *w, const struct group *g, const struct group_action *a)
{
    struct join_run *run = container_of(w, struct join_run, question.waiter);
    struct coord_call *c = &run->question.call;
    if (a->error) {
        struct kview id = coord_call_text(c, empty_if_null(a->member_id));
        end_join_group(run, c->starved ? KERR_COORDINATOR_NOT_AVAILABLE : a->error, id);
    } else if (!fill_join_answer(c, g, a, &run->r)) { /* it joins again when it sees this */
        struct kview id = run->r.member_id;
        join_group_response_init(&run->r);
        end_join_group(run, KERR_COORDINATOR_NOT_AVAILABLE, id);
    } else if (kview_same(a->member_id, a->leader)) {
        tell_joined_members(run, g);
    } else {
        end_join_group(run, KERR_NONE, run->r.member_id);
    }
}

/* Kafka's members without an id are in no group yet: only they make one. */
static struct group_entry *group_to_join(struct join_run *run, enum kerr *out_error, bool *out_made)
{
    const struct coord_call *c = &run->question.call;
    struct group_entry *e = group_asked(c);
    *out_made = !e;
    *out_error = KERR_UNKNOWN_MEMBER_ID;
    if (e || run->ask->member_id.n > 0)
        return e;
    *out_error = KERR_COORDINATOR_NOT_AVAILABLE;
    return group_log_make(group_log_of(c->log), c->key);
}

static void ask_join_group(struct coord_call *c)
{
    struct join_run *run = container_of(c, struct join_run, question.call);
    const struct join_group_request *m = run->ask;
    enum kerr error = c->error;
    bool made = false, full = !error && coordinator_full(group_log_of(c->log)) && m->member_id.n <= 0;
    struct group_entry *e = error || full ? NULL : group_to_join(run, &error, &made);
    if (!e) {
        end_join_group(run, full ? KERR_GROUP_MAX_SIZE_REACHED : error,
                       error == KERR_UNKNOWN_MEMBER_ID ? m->member_id : view_of(""));
        return;
    }
    struct group_join join = {
        .member_id = m->member_id,
        .instance_id = m->group_instance_id,
        .client_id = run->client_id,
        .client_host = run->client_host,
        .protocol_type = m->protocol_type,
        .fresh_id = run->fresh_id,
        .protocols = m->protocols.v,
        .protocol_count = m->protocols.n,
        .session_timeout_ms = m->session_timeout_ms,
        .rebalance_timeout_ms = run->version == 0 ? m->session_timeout_ms : m->rebalance_timeout_ms,
        .id_required = run->version >= 4 && m->group_instance_id.n < 0,
        .can_skip = run->version >= 9,
        .may_create = made,
        .waiter = &run->question.waiter,
    };
    group_wait(&run->question, e, join_group_answered);
    group_join(e->group, &join, group_log_now(e->coord.log), coordinator_emit(group_log_of(c->log)));
    coordinator_after_event(e); /* the call may be gone */
}

/* As in Kafka no protocol is null, and before version 7, which has no null, empty. */
static void reply_join_group(struct group_asking *asking)
{
    struct join_group_response *r = &container_of(asking, struct join_run, asking)->r;
    if (r->error_code)
        r->protocol_name = view_of(asking->req->version < 7 ? "" : NULL);
    REQUEST_REPLY_LARGE(asking->req, join_group_response, r);
}

/* The client's (or the instance's) name, "-", a random UUID: Kafka's form. n == -1: no memory. */
static struct kview make_member_id(struct request *req, struct kview name)
{
    uint8_t uuid[UUID_BYTES];
    static const char form[] = "-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x";
    size_t n = name.n > 0 ? u64_min((uint64_t)name.n, ID_NAME_MAX) : 0;
    char *text = request_alloc(req, n + UUID_HEX_BYTES + 2);
    if (!text)
        return (struct kview){.n = -1};
    if (n > 0)
        memcpy(text, name.at, n);
    uuid_random(&req->server->shard->rng, uuid);
    snprintf(text + n, UUID_HEX_BYTES + 2, form, uuid[0], uuid[1], uuid[2], uuid[3], uuid[4], uuid[5], uuid[6], uuid[7],
             uuid[8], uuid[9], uuid[10], uuid[11], uuid[12], uuid[13], uuid[14], uuid[15]);
    return (struct kview){(const uint8_t *)text, (int32_t)n + UUID_HEX_BYTES + 1};
}

/* Writes the zeros that "::" stands for; any other address as it is. */
static int put_address(char *out, size_t out_bytes, const char *name)
{
    const char *gap = strstr(name, "::");
    int groups = 0;
    if (!gap)
        return snprintf(out, out_bytes, "%s", name);
    for (const char *at = name; *at; at++)
        groups += *at != ':' && (at == name || at[-1] == ':');
    int n = snprintf(out, out_bytes, "%.*s", (int)(gap - name), name);
    for (; groups < IPV6_GROUPS; groups++)
        n += snprintf(out + n, out_bytes - (size_t)n, n > 0 ? ":0" : "0");
    return n + snprintf(out + n, out_bytes - (size_t)n, "%s%s", gap[2] ? ":" : "", gap + 2);
}

/* Java's way to print an address without a name. n == -1: no memory. */
static struct kview put_client_host(struct request *req)
{
    char *text = request_alloc(req, IO_NAME_MAX + 1);
    if (!text)
        return (struct kview){.n = -1};
    text[0] = '/';
    int n = 1 + put_address(text + 1, IO_NAME_MAX, request_conn(req)->names.peer);
    return (struct kview){(const uint8_t *)text, n};
}

static enum kerr check_join_group(const struct request *req, const struct join_group_request *m)
{
    const struct broker_config *config = server_config(req->server);
    if (!group_id_given(m->group_id))
        return KERR_INVALID_GROUP_ID;
    if (m->session_timeout_ms < config->group_min_session_timeout_ms ||
        m->session_timeout_ms > config->group_max_session_timeout_ms)
        return KERR_INVALID_SESSION_TIMEOUT;
    return KERR_NONE;
}

/* What the coordinator needs of the connection. False: no memory. */
static bool prepare_join_group(struct join_run *run, struct request *req)
{
    const struct join_group_request *m = run->ask;
    run->version = req->version;
    run->client_id = empty_if_null(req->header.client_id);
    run->client_host = put_client_host(req);
    run->fresh_id = make_member_id(req, m->group_instance_id.n >= 0 ? m->group_instance_id : run->client_id);
    return run->client_host.n >= 0 && run->fresh_id.n >= 0;
}

/* The decoded message, in memory that outlives the receive buffer; NULL: the request was ended. */
#define DECODE_KEPT(req, X) ((req)->decoded || keep_member_request(req) ? REQUEST_DECODE(req, X) : NULL)

void join_group_run(struct request *req)
{
    struct join_group_request *m = DECODE_KEPT(req, join_group_request);
    if (!m)
        return;
    struct join_run *run = request_zalloc(req, sizeof *run);
    if (run)
        run->ask = m;
    if (!run || !prepare_join_group(run, req)) {
        request_fail(req, no_memory);
        return;
    }
    join_group_response_init(&run->r);
    run->r.error_code = (int16_t)check_join_group(req, m);
    group_asking_init(&run->asking, req, reply_join_group);
    run->question.call.key = m->group_id;
    run->question.call.ask = ask_join_group;
    if (run->r.error_code) {
        run->r.member_id = m->member_id;
    } else {
        req->cancel = group_asking_cancel;
        group_asking_ask(&run->asking, &run->question);
    }
    group_asking_end(&run->asking);
}

/* --- SyncGroup --- */

struct sync_run {
    struct group_asking asking;
    struct group_question question;
    struct sync_group_request *ask;
    struct sync_group_response r;
};

static void end_sync_group(struct sync_run *run, enum kerr error)
{
    run->r.error_code = (int16_t)error;
    coord_call_done(&run->question.call);
}

static void sync_group_answered(struct group_waiter *w, const struct group *g, const struct group_action *a)
{
    struct sync_run *run = container_of(w, struct sync_run, question.waiter);
    struct coord_call *c = &run->question.call;
    enum kerr error = a->error;
    if (!error) {
        run->r.protocol_type = coord_call_text(c, group_view(g->protocol_type));
        run->r.protocol_name = coord_call_text(c, group_view(g->protocol));
        run->r.assignment = coord_call_text(c, group_view(a->member->assignment));
    }
    if (c->starved) {
        sync_group_response_init(&run->r);
        error = KERR_COORDINATOR_NOT_AVAILABLE;
    }
    end_sync_group(run, error);
}

/* While the group is loaded its members join again, which they do after REBALANCE_IN_PROGRESS: not every client knows another
 * answer here. */
static void ask_sync_group(struct coord_call *c)
{
    struct sync_run *run = container_of(c, struct sync_run, question.call);
    const struct sync_group_request *m = run->ask;
    struct group_entry *e = group_asked(c);
    if (!e) {
        enum kerr error = c->error ? c->error : KERR_UNKNOWN_MEMBER_ID;
        end_sync_group(run, error == KERR_COORDINATOR_LOAD_IN_PROGRESS ? KERR_REBALANCE_IN_PROGRESS : error);
        return;
    }
    struct group_sync sync = {
        .member_id = m->member_id,
        .instance_id = m->group_instance_id,
        .protocol_type = m->protocol_type,
        .protocol = m->protocol_name,
        .generation = m->generation_id,
        .assignments = m->assignments.v,
        .assignment_count = m->assignments.n,
        .waiter = &run->question.waiter,
    };
    group_wait(&run->question, e, sync_group_answered);
    group_sync(e->group, &sync, group_log_now(e->coord.log), coordinator_emit(group_log_of(c->log)));
    coordinator_after_event(e); /* the call may be gone */
}

static void reply_sync_group(struct group_asking *asking)
{
    REQUEST_REPLY_LARGE(asking->req, sync_group_response, &container_of(asking, struct sync_run, asking)->r);
}

static enum kerr check_sync_group(const struct request *req, const struct sync_group_request *m)
{
    if (req->version >= 5 && (m->protocol_type.n < 0 || m->protocol_name.n < 0))
        return KERR_INCONSISTENT_GROUP_PROTOCOL;
    return group_id_given(m->group_id) ? KERR_NONE : KERR_INVALID_GROUP_ID;
}

void sync_group_run(struct request *req)
{
    struct sync_group_request *m = DECODE_KEPT(req, sync_group_request);
    if (!m)
        return;
    struct sync_run *run = request_zalloc(req, sizeof *run);
    if (!run) {
        request_fail(req, no_memory);
        return;
    }
    run->ask = m;
    sync_group_response_init(&run->r);
    run->r.error_code = (int16_t)check_sync_group(req, m);
    group_asking_init(&run->asking, req, reply_sync_group);
    run->question.call.key = m->group_id;
    run->question.call.ask = ask_sync_group;
    if (!run->r.error_code) {
        req->cancel = group_asking_cancel;
        group_asking_ask(&run->asking, &run->question);
    }
    group_asking_end(&run->asking);
}

/* --- Heartbeat --- */

struct heartbeat_run {
    struct group_asking asking;
    struct group_question question;
    const struct heartbeat_request *ask;
    struct heartbeat_response r;
};

static void ask_heartbeat(struct coord_call *c)
{
    struct heartbeat_run *run = container_of(c, struct heartbeat_run, question.call);
    const struct heartbeat_request *m = run->ask;
    struct group_entry *e = group_asked(c);
    enum kerr error = c->error ? c->error : KERR_UNKNOWN_MEMBER_ID;
    if (e) {
        error = group_heartbeat(e->group, m->member_id, m->group_instance_id, m->generation_id,
                                group_log_now(e->coord.log));
        coordinator_after_event(e);
    }
    if (error == KERR_COORDINATOR_LOAD_IN_PROGRESS)
        error = KERR_NONE; /* the member stays: its time starts anew when the group is loaded */
    run->r.error_code = (int16_t)error;
    coord_call_done(c);
}

static void reply_heartbeat(struct group_asking *asking)
{
    REQUEST_REPLY(asking->req, heartbeat_response, &container_of(asking, struct heartbeat_run, asking)->r);
}

void heartbeat_run(struct request *req)
{
    const struct heartbeat_request *m = REQUEST_DECODE(req, heartbeat_request);
    if (!m)
        return;
    struct heartbeat_run *run = request_zalloc(req, sizeof *run);
    if (!run) {
        request_fail(req, no_memory);
        return;
    }
    run->ask = m;
    heartbeat_response_init(&run->r);
    group_asking_init(&run->asking, req, reply_heartbeat);
    run->question.call.key = m->group_id;
    run->question.call.ask = ask_heartbeat;
    if (group_id_given(m->group_id))
        group_asking_ask(&run->asking, &run->question);
    else
        run->r.error_code = KERR_INVALID_GROUP_ID;
    group_asking_end(&run->asking);
}

/* --- LeaveGroup --- */

struct leave_run {
    struct group_asking asking;
    struct group_question question;
    const struct leave_group_request *ask;
    struct member_identity one;            /* who leaves before version 3 */
    const struct member_identity *members; /* who leaves */
    int32_t count;
    struct steps steps;
    int32_t at;                    /* the owner's: the next one that leaves */
    struct leave_group_response r; /* of all versions the newest: reply_leave_group makes the others */
};

static void leave_one(struct leave_run *run, struct group_entry *e)
{
    const struct member_identity *m = &run->members[run->at];
    enum kerr error = KERR_UNKNOWN_MEMBER_ID;
    if (e)
        error = group_leave(e->group, m->member_id, m->group_instance_id, group_log_now(e->coord.log),
                            coordinator_emit(group_entry_log(e)));
    run->r.members.v[run->at++].error_code = (int16_t)error;
}

static bool leave_group_step(struct steps *s)
{
    struct leave_run *run = container_of(s, struct leave_run, question.steps);
    struct coord_call *c = &run->question.call;
    coord_call_look_again(c);
    struct group_entry *e = group_asked(c);
    for (; steps_go_on(s) && run->at < run->count && !c->error; steps_spend(s, 1))
        leave_one(run, e);
    if (e)
        coordinator_after_event(e);
    if (run->at < run->count && !c->error)
        return true;
    run->r.error_code = (int16_t)c->error;
    coord_call_done(c);
    return false;
}

static void ask_leave_group(struct coord_call *c)
{
    group_question_steps(container_of(c, struct group_question, call), leave_group_step);
}

static void reply_leave_group(struct group_asking *asking)
{
    struct leave_run *run = container_of(asking, struct leave_run, asking);
    struct request *req = asking->req;
    if (req->version < 3 && !run->r.error_code)
        run->r.error_code = run->r.members.v[0].error_code;
    if (req->version < 3 || run->r.error_code)
        run->r.members.n = 0;
    REQUEST_REPLY_LARGE(req, leave_group_response, &run->r);
}

/* What is answered about each of them; then the group is asked. */
static bool prepare_leave_group_step(struct steps *s)
{
    struct leave_run *run = container_of(s, struct leave_run, steps);
    for (; run->r.members.n < run->count; steps_spend(s, 1)) {
        const struct member_identity *m = &run->members[run->r.members.n];
        if (!steps_go_on(s))
            return true;
        struct member_response *out = &run->r.members.v[run->r.members.n++];
        member_response_init(out);
        out->member_id = m->member_id;
        out->group_instance_id = m->group_instance_id;
    }
    group_asking_ask(&run->asking, &run->question);
    group_asking_end(&run->asking);
    return false;
}

/* False: no memory. */
static bool begin_leave_group(struct leave_run *run, struct request *req)
{
    const struct leave_group_request *m = run->ask;
    member_identity_init(&run->one);
    run->one.member_id = m->member_id;
    run->members = req->version < 3 ? &run->one : m->members.v;
    run->count = req->version < 3 ? 1 : m->members.n;
    leave_group_response_init(&run->r);
    run->r.members.v = request_alloc(req, (size_t)run->count * sizeof *run->r.members.v + 1);
    run->question.call.key = m->group_id;
    run->question.call.ask = ask_leave_group;
    return run->r.members.v;
}

void leave_group_run(struct request *req)
{
    const struct leave_group_request *m = REQUEST_DECODE(req, leave_group_request);
    if (!m)
        return;
    struct leave_run *run = request_zalloc(req, sizeof *run);
    if (run)
        run->ask = m;
    if (!run || !begin_leave_group(run, req)) {
        request_fail(req, no_memory);
        return;
    }
    group_asking_init(&run->asking, req, reply_leave_group);
    if (group_id_given(m->group_id)) {
        steps_start(&req->server->steps, &run->steps, prepare_leave_group_step);
        return;
    }
    run->r.error_code = KERR_INVALID_GROUP_ID;
    group_asking_end(&run->asking);
}
