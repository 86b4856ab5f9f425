/* DescribeGroups, ListGroups, DeleteGroups: what administrators ask about groups. */
#include "net/api/api.h"
#include "net/api/group_asking.h"
#include "net/api/reply.h"
#include <stdio.h>
#include <strings.h>

/* Of a group, without an authorizer: READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS and ALTER_CONFIGS, a bit each. */
enum { GROUP_OPERATIONS = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11 };

/* "Group <id> not found.", as Kafka says it. */
static struct kview group_not_found_text(struct request *req, struct kview id)
{
    size_t bytes = (size_t)id.n + sizeof "Group  not found.";
    char *text = request_alloc(req, bytes);
    if (!text)
        return view_of(NULL);
    snprintf(text, bytes, "Group %.*s not found.", id.n, (const char *)id.at);
    return view_of(text);
}

/* --- DescribeGroups --- */

struct describe_part {
    struct group_question question;
    struct described_group *out;
};
struct describe_run {
    struct group_asking asking;
    struct describe_groups_response r;
    bool operations; /* were asked for */
};

static void describe_group_members(struct coord_call *c, const struct group *g, struct described_group *out)
{
    out->members.v = coord_call_alloc(c, (size_t)g->member_count * sizeof *out->members.v + 1);
    if (!out->members.v)
        return;
    for (const struct list *l = g->members.next; l != &g->members && !c->starved; l = l->next) {
        const struct group_member *m = container_of(l, struct group_member, link);
        struct described_group_member *to = &out->members.v[out->members.n++];
        described_group_member_init(to);
        to->member_id = coord_call_text(c, group_view(m->id));
        to->group_instance_id = coord_call_text(c, group_view(m->instance_id));
        to->client_id = coord_call_text(c, group_view(m->client_id));
        to->client_host = coord_call_text(c, group_view(m->client_host));
        to->member_assignment = coord_call_text(c, group_view(m->assignment));
        if (g->state == GROUP_STABLE)
            to->member_metadata = coord_call_text(c, group_metadata(g, m));
    }
}

static void describe_group(struct coord_call *c, const struct group *g, struct described_group *out)
{
    out->group_state = view_of(group_state_name(g->state));
    out->protocol_type = coord_call_text(c, group_view(g->protocol_type));
    if (g->state == GROUP_STABLE)
        out->protocol_data = coord_call_text(c, group_view(g->protocol));
    describe_group_members(c, g, out);
}

static void ask_describe_group(struct coord_call *c)
{
    struct describe_part *part = container_of(c, struct describe_part, question.call);
    const struct group_entry *e = group_asked(c);
    part->out->error_code = (int16_t)c->error;
    if (e)
        describe_group(c, e->group, part->out);
    else if (!c->error)
        part->out->group_state = view_of(group_state_name(GROUP_DEAD));
    if (c->starved) {
        part->out->members.n = 0;
        part->out->error_code = KERR_COORDINATOR_NOT_AVAILABLE;
    }
    coord_call_done(c);
}

static void reply_describe_groups(struct group_asking *asking)
{
    struct describe_run *run = container_of(asking, struct describe_run, asking);
    struct request *req = asking->req;
    for (int32_t i = 0; i < run->r.groups.n; i++) {
        struct described_group *out = &run->r.groups.v[i];
        bool dead = view_is(out->group_state, group_state_name(GROUP_DEAD));
        if (dead && req->version >= 6 && !out->error_code) {
            out->error_code = KERR_GROUP_ID_NOT_FOUND;
            out->error_message = group_not_found_text(req, out->group_id);
        }
        if (run->operations && !out->error_code)
            out->authorized_operations = GROUP_OPERATIONS;
    }
    REQUEST_REPLY(req, describe_groups_response, &run->r);
}

void describe_groups_run(struct request *req)
{
    const struct describe_groups_request *m = REQUEST_DECODE(req, describe_groups_request);
    if (!m)
        return;
    struct describe_run *run = request_zalloc(req, sizeof *run);
    struct describe_part *parts = request_zalloc(req, (size_t)m->groups.n * sizeof *parts + 1);
    struct described_group *out = request_alloc(req, (size_t)m->groups.n * sizeof *out + 1);
    if (!run || !parts || !out) {
        request_fail(req, no_memory);
        return;
    }
    group_asking_init(&run->asking, req, reply_describe_groups);
    describe_groups_response_init(&run->r);
    run->operations = m->include_authorized_operations;
    run->r.groups.v = out;
    run->r.groups.n = m->groups.n;
    for (int32_t i = 0; i < m->groups.n; i++) {
        described_group_init(&out[i]);
        out[i].group_id = parts[i].question.call.key = m->groups.v[i];
        parts[i].out = &out[i];
        parts[i].question.call.ask = ask_describe_group;
        group_asking_queue(&run->asking, &parts[i].question);
    }
    group_asking_end(&run->asking);
}

/* --- ListGroups: every shard lists its own --- */

struct list_part {
    struct group_question question;
    struct listed_group *v; /* the owner's */
    uint32_t count;
    enum kerr error;
};
struct list_run {
    struct group_asking asking;
    const struct list_groups_request *ask;
    struct list_part *parts; /* one per shard */
    uint16_t shards;
};

/* Kafka compares states and types without regard to case, states without the spaces around them. */
static bool filter_names(struct kview v, const char *name)
{
    while (v.n > 0 && v.at[0] == ' ') {
        v.at++;
        v.n--;
    }
    while (v.n > 0 && v.at[v.n - 1] == ' ')
        v.n--;
    return (size_t)v.n == strlen(name) && strncasecmp((const char *)v.at, name, (size_t)v.n) == 0;
}

static bool passes_filters(const struct kview *v, int32_t n, const char *name)
{
    for (int32_t i = 0; i < n; i++)
        if (filter_names(v[i], name))
            return true;
    return n == 0;
}

static bool lists_group(const struct list_groups_request *m, const struct group *g)
{
    return passes_filters(m->states_filter.v, m->states_filter.n, group_state_name(g->state)) &&
           passes_filters(m->types_filter.v, m->types_filter.n, "classic") && g->state != GROUP_DEAD;
}

static void list_group(struct coord_call *c, const struct group *g, struct listed_group *out)
{
    listed_group_init(out);
    out->group_id = coord_call_text(c, group_view(g->id));
    out->protocol_type = coord_call_text(c, group_view(g->protocol_type));
    out->group_state = view_of(group_state_name(g->state));
    out->group_type = view_of("classic");
}

/* How many; with `part` they are put there, too. */
static uint32_t list_shard_groups(struct coord_call *c, const struct list_groups_request *m, struct list_part *part,
                                  enum kerr *out_error)
{
    uint32_t count = 0;
    struct coord_log *l;
    for (int32_t at = 0; !c->starved && (l = coord_shard_next_log(c->coordinator, &at, out_error));) {
        const struct group_entry *e;
        for (uint32_t cursor = 0; (e = group_log_next(group_log_of(l), &cursor));) {
            if (!lists_group(m, e->group))
                continue;
            if (part)
                list_group(c, e->group, &part->v[count]);
            count++;
        }
    }
    return count;
}

static void ask_list_groups(struct coord_call *c)
{
    struct list_part *part = container_of(c, struct list_part, question.call);
    const struct list_groups_request *m = container_of(part->question.run, struct list_run, asking)->ask;
    uint32_t count = list_shard_groups(c, m, NULL, &part->error);
    if (!part->error && count > 0) {
        part->v = coord_call_alloc(c, count * sizeof *part->v);
        part->count = part->v ? list_shard_groups(c, m, part, &part->error) : 0;
    }
    if (c->starved)
        part->error = KERR_COORDINATOR_NOT_AVAILABLE;
    coord_call_done(c);
}

static void reply_list_groups(struct group_asking *asking)
{
    struct list_run *run = container_of(asking, struct list_run, asking);
    struct request *req = asking->req;
    struct list_groups_response r;
    size_t total = 0;
    list_groups_response_init(&r);
    for (uint16_t i = 0; i < run->shards; i++) {
        total += run->parts[i].count;
        r.error_code = r.error_code ? r.error_code : (int16_t)run->parts[i].error;
    }
    r.groups.v = request_alloc(req, total * sizeof *r.groups.v + 1);
    if (!r.groups.v) {
        request_fail(req, no_memory);
        return;
    }
    for (uint16_t i = 0; i < run->shards && !r.error_code; i++) {
        if (run->parts[i].count > 0)
            memcpy(r.groups.v + r.groups.n, run->parts[i].v, run->parts[i].count * sizeof *r.groups.v);
        r.groups.n += (int32_t)run->parts[i].count;
    }
    REQUEST_REPLY(req, list_groups_response, &r);
}

void list_groups_run(struct request *req)
{
    const struct list_groups_request *m = REQUEST_DECODE(req, list_groups_request);
    if (!m)
        return;
    uint16_t shards = req->server->shard->count;
    struct list_run *run = request_zalloc(req, sizeof *run);
    struct list_part *parts = request_zalloc(req, shards * sizeof *parts);
    if (!run || !parts) {
        request_fail(req, no_memory);
        return;
    }
    group_asking_init(&run->asking, req, reply_list_groups);
    run->ask = m;
    run->parts = parts;
    run->shards = shards;
    for (uint16_t i = 0; i < shards; i++) {
        parts[i].question.call.ask = ask_list_groups;
        group_asking_ask_shard(&run->asking, &parts[i].question, i);
    }
    group_asking_end(&run->asking);
}

/* --- DeleteGroups --- */

struct delete_part {
    struct group_question question;
    struct group_write write;
    struct deletable_group_result *out;
};
struct delete_run {
    struct group_asking asking;
    struct delete_groups_response r;
};

static void end_delete_group(struct delete_part *part, enum kerr error)
{
    part->out->error_code = (int16_t)error;
    coord_call_done(&part->question.call);
}

static void group_deleted(struct group_write *w, enum kerr error)
{
    end_delete_group(container_of(w, struct delete_part, write), error);
}

static void ask_delete_group(struct coord_call *c)
{
    struct delete_part *part = container_of(c, struct delete_part, question.call);
    struct group_entry *e = group_asked(c);
    enum kerr error = c->error ? c->error : KERR_GROUP_ID_NOT_FOUND;
    if (e)
        error = group_delete(e->group, group_log_now().wall_ms);
    if (error) {
        end_delete_group(part, error);
        return;
    }
    part->write = (struct group_write){.entry = e, .kind = GROUP_WRITE_DELETE, .done = group_deleted};
    group_log_write(group_log_of(c->log), &part->write);
    coordinator_settle(e);
}

static void reply_delete_groups(struct group_asking *asking)
{
    struct delete_run *run = container_of(asking, struct delete_run, asking);
    struct request *req = asking->req;
    for (int32_t i = 0; i < run->r.results.n; i++) {
        struct deletable_group_result *out = &run->r.results.v[i];
        if (req->version >= 3 && out->error_code == KERR_GROUP_ID_NOT_FOUND)
            out->error_message = group_not_found_text(req, out->group_id);
        else if (req->version >= 3 && out->error_code == KERR_NON_EMPTY_GROUP)
            out->error_message = view_of("The group is not empty.");
    }
    REQUEST_REPLY(req, delete_groups_response, &run->r);
}

void delete_groups_run(struct request *req)
{
    const struct delete_groups_request *m = REQUEST_DECODE(req, delete_groups_request);
    if (!m)
        return;
    struct delete_run *run = request_zalloc(req, sizeof *run);
    struct delete_part *parts = request_zalloc(req, (size_t)m->groups_names.n * sizeof *parts + 1);
    struct deletable_group_result *out = request_alloc(req, (size_t)m->groups_names.n * sizeof *out + 1);
    const uint8_t *duplicates = find_duplicates(req, m->groups_names.v, m->groups_names.n);
    if (!run || !parts || !out || !duplicates) {
        request_fail(req, no_memory);
        return;
    }
    group_asking_init(&run->asking, req, reply_delete_groups);
    delete_groups_response_init(&run->r);
    run->r.results.v = out;
    for (int32_t i = 0; i < m->groups_names.n; i++) {
        if (duplicates[i] == DUPLICATE_LATER) /* answered once, as in Kafka */
            continue;
        parts[i].out = &out[run->r.results.n++];
        deletable_group_result_init(parts[i].out);
        parts[i].out->group_id = parts[i].question.call.key = m->groups_names.v[i];
        parts[i].question.call.ask = ask_delete_group;
        group_asking_ask(&run->asking, &parts[i].question);
    }
    group_asking_end(&run->asking);
}
