/* DescribeGroups, ListGroups, DeleteGroups: what administrators ask about groups. */
#include "net/api/api.h"
#include "net/api/group_asking.h"
#include "net/api/reply.h"
#include <strings.h>

/* Of a group, without an authorizer: READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS and ALTER_CONFIGS, a bit each. */
enum { GROUP_OPERATIONS = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11 };

/* "Group <id> not found.", as Kafka says it. */
static struct kview group_not_found_text(struct request *req, struct kview id)
{
    size_t bytes = (size_t)id.n + sizeof "Group  not found.";
    return view_of(request_say(req, bytes, "Group %.*s not found.", id.n, (const char *)id.at));
}

/* --- DescribeGroups --- */

struct describe_part {
    struct group_question question;
    struct described_group *out;
    bool begun;
    struct members_told told;
};
struct describe_run {
    struct group_asking asking;
    struct describe_groups_response r;
    bool operations; /* were asked for */
    const struct kview *names;
    struct describe_part *parts;
    struct steps steps;
    int32_t at; /* prepared, then completed up to there */
};

static void begin_describing(struct describe_part *part, const struct group *g)
{
    struct coord_call *c = &part->question.call;
    struct described_group *out = part->out;
    part->begun = true;
    out->group_state = view_of(group_state_name(g->state));
    out->protocol_type = coord_call_text(c, group_view(g->protocol_type));
    if (g->state == GROUP_STABLE)
        out->protocol_data = coord_call_text(c, group_view(g->protocol));
    out->members.v = coord_call_alloc(c, (size_t)g->member_count * sizeof *out->members.v + 1);
    part->told.capacity = out->members.v ? g->member_count : 0;
}

static void describe_member(struct group_question *q, const struct group *g, const struct group_member *m)
{
    struct coord_call *c = &q->call;
    struct described_group *group = container_of(q, struct describe_part, question)->out;
    struct described_group_member *to = &group->members.v[group->members.n++];
    described_group_member_init(to);
    to->member_id = coord_call_text(c, group_view(m->id));
    to->group_instance_id = coord_call_text(c, group_view(m->instance_id));
    to->client_id = coord_call_text(c, group_view(m->client_id));
    to->client_host = coord_call_text(c, group_view(m->client_host));
    to->member_assignment = coord_call_text(c, group_view(m->assignment));
    if (g->state == GROUP_STABLE)
        to->member_metadata = coord_call_text(c, group_metadata(g, m));
}

static bool describe_step(struct steps *s)
{
    struct describe_part *part = container_of(s, struct describe_part, question.steps);
    struct coord_call *c = &part->question.call;
    coord_call_look_again(c);
    const struct group_entry *e = group_asked(c);
    if (e && !part->begun)
        begin_describing(part, e->group);
    if (e && group_question_tell_members(&part->question, &part->told, e->group, describe_member))
        return true;
    part->out->error_code = (int16_t)c->error;
    if (!e && !c->error) {
        part->out->group_state = view_of(group_state_name(GROUP_DEAD));
        part->out->members.n = 0;
    }
    if (c->starved)
        part->out->error_code = KERR_COORDINATOR_NOT_AVAILABLE;
    if (part->out->error_code)
        part->out->members.n = 0;
    coord_call_done(c);
    return false;
}

static void ask_describe_group(struct coord_call *c)
{
    group_question_steps(container_of(c, struct group_question, call), describe_step);
}

static void complete_description(struct describe_run *run, struct described_group *out)
{
    struct request *req = run->asking.req;
    bool dead = view_is(out->group_state, group_state_name(GROUP_DEAD));
    if (dead && req->version >= 6 && !out->error_code) {
        out->error_code = KERR_GROUP_ID_NOT_FOUND;
        out->error_message = group_not_found_text(req, out->group_id);
    }
    if (run->operations && !out->error_code)
        out->authorized_operations = GROUP_OPERATIONS;
}

static bool reply_describe_step(struct steps *s)
{
    struct describe_run *run = container_of(s, struct describe_run, steps);
    for (; run->at < run->r.groups.n; run->at++, steps_spend(s, 1)) {
        if (!steps_go_on(s))
            return true;
        complete_description(run, &run->r.groups.v[run->at]);
    }
    REQUEST_REPLY_LARGE(run->asking.req, describe_groups_response, &run->r);
    return false;
}

static void reply_describe_groups(struct group_asking *asking)
{
    struct describe_run *run = container_of(asking, struct describe_run, asking);
    run->at = 0;
    steps_start(&asking->req->server->steps, &run->steps, reply_describe_step);
}

static bool prepare_describe_step(struct steps *s)
{
    struct describe_run *run = container_of(s, struct describe_run, steps);
    for (; run->at < run->r.groups.n; run->at++, steps_spend(s, 1)) {
        struct describe_part *part = &run->parts[run->at];
        if (!steps_go_on(s))
            return true;
        *part = (struct describe_part){.out = &run->r.groups.v[run->at]};
        described_group_init(part->out);
        part->out->group_id = part->question.call.key = run->names[run->at];
        part->question.call.ask = ask_describe_group;
        group_asking_queue(&run->asking, &part->question);
    }
    group_asking_end(&run->asking);
    return false;
}

void describe_groups_run(struct request *req)
{
    const struct describe_groups_request *m = REQUEST_DECODE(req, describe_groups_request);
    if (!m)
        return;
    struct describe_run *run = request_zalloc(req, sizeof *run);
    struct describe_part *parts = request_alloc(req, (size_t)m->groups.n * sizeof *parts + 1);
    struct described_group *out = request_alloc(req, (size_t)m->groups.n * sizeof *out + 1);
    if (!run || !parts || !out) {
        request_fail(req, no_memory);
        return;
    }
    group_asking_init(&run->asking, req, reply_describe_groups);
    describe_groups_response_init(&run->r);
    run->operations = m->include_authorized_operations;
    run->names = m->groups.v;
    run->parts = parts;
    run->r.groups.v = out;
    run->r.groups.n = m->groups.n;
    steps_start(&req->server->steps, &run->steps, prepare_describe_step);
}

/* --- ListGroups: every shard that this node tells of lists its own --- */

enum { LIST_CHUNK = 128 };
struct list_chunk { /* the owner's */
    struct list_chunk *next;
    int32_t count;
    struct listed_group v[LIST_CHUNK];
};
struct list_part {
    struct group_question question;
    uint32_t states; /* that are asked for, a bit each */
    int32_t at;      /* the owner's: the next of its partitions */
    struct coord_cursor cursor;
    struct list_chunk *first, *last;
    uint32_t count;
    enum kerr error;
};
struct list_run {
    struct group_asking asking;
    struct list_part *parts; /* one per shard */
    uint16_t shards, copied; /* copied: of these shards */
    const struct list_chunk *chunk;
    struct list_groups_response r;
    struct steps steps;
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

/* The states that are asked for, a bit each: the filters are read once, not for every group. */
static uint32_t listed_states(const struct list_groups_request *m)
{
    uint32_t states = 0;
    if (!passes_filters(m->types_filter.v, m->types_filter.n, "classic"))
        return 0;
    for (enum group_state s = GROUP_EMPTY; s < GROUP_DEAD; s++)
        if (passes_filters(m->states_filter.v, m->states_filter.n, group_state_name(s)))
            states |= 1u << s;
    return states;
}

static struct listed_group *next_listed_group(struct list_part *part)
{
    if (!part->last || part->last->count == LIST_CHUNK) {
        struct list_chunk *chunk = coord_call_alloc(&part->question.call, sizeof *chunk);
        if (!chunk)
            return NULL;
        chunk->next = NULL;
        chunk->count = 0;
        *(part->last ? &part->last->next : &part->first) = chunk;
        part->last = chunk;
    }
    part->count++;
    return &part->last->v[part->last->count++];
}

static void list_group(struct list_part *part, const struct group *g)
{
    struct listed_group *out = next_listed_group(part);
    if (!out)
        return;
    listed_group_init(out);
    out->group_id = coord_call_text(&part->question.call, group_view(g->id));
    out->protocol_type = coord_call_text(&part->question.call, group_view(g->protocol_type));
    out->group_state = view_of(group_state_name(g->state));
    out->group_type = view_of("classic");
}

/* False: there is no more, or an error. */
static bool list_next_group(struct list_part *part)
{
    struct coord_call *c = &part->question.call;
    if (!part->cursor.log) {
        struct coord_log *l = coord_shard_next_log(c->coordinator, &part->at, &part->error);
        if (!l)
            return false;
        coord_cursor_begin(&part->cursor, l);
    }
    const struct coord_entry *e = coord_cursor_next(&part->cursor);
    if (!e)
        coord_cursor_end(&part->cursor);
    else if (part->states & 1u << group_entry_of(e)->group->state)
        list_group(part, group_entry_of(e)->group);
    return !c->starved;
}

static bool list_step(struct steps *s)
{
    struct list_part *part = container_of(s, struct list_part, question.steps);
    for (; steps_go_on(s); steps_spend(s, 1)) {
        if (list_next_group(part))
            continue;
        coord_cursor_end(&part->cursor);
        if (part->question.call.starved)
            part->error = KERR_COORDINATOR_NOT_AVAILABLE;
        coord_call_done(&part->question.call);
        return false;
    }
    return true;
}

static void ask_list_groups(struct coord_call *c)
{
    struct list_part *part = container_of(c, struct list_part, question.call);
    part->cursor.log = NULL;
    group_question_steps(&part->question, list_step);
}

static bool copy_listed_step(struct steps *s)
{
    struct list_run *run = container_of(s, struct list_run, steps);
    struct list_groups_response *r = &run->r;
    while (run->chunk || run->copied < run->shards) {
        if (!steps_go_on(s))
            return true;
        if (!run->chunk) {
            run->chunk = run->parts[run->copied++].first;
            continue;
        }
        memcpy(r->groups.v + r->groups.n, run->chunk->v, (size_t)run->chunk->count * sizeof *r->groups.v);
        r->groups.n += run->chunk->count;
        run->chunk = run->chunk->next;
        steps_spend(s, LIST_CHUNK * sizeof *r->groups.v / ANSWER_UNIT_BYTES);
    }
    REQUEST_REPLY_LARGE(run->asking.req, list_groups_response, r);
    return false;
}

static void reply_list_groups(struct group_asking *asking)
{
    struct list_run *run = container_of(asking, struct list_run, asking);
    struct request *req = asking->req;
    size_t total = 0;
    list_groups_response_init(&run->r);
    for (uint16_t i = 0; i < run->shards; i++) {
        total += run->parts[i].count;
        run->r.error_code = run->r.error_code ? run->r.error_code : (int16_t)run->parts[i].error;
    }
    if (run->r.error_code)
        run->copied = run->shards;
    run->r.groups.v = request_alloc(req, total * sizeof *run->r.groups.v + 1);
    if (!run->r.groups.v) {
        request_fail(req, no_memory);
        return;
    }
    steps_start(&req->server->steps, &run->steps, copy_listed_step);
}

void list_groups_run(struct request *req)
{
    const struct list_groups_request *m = REQUEST_DECODE(req, list_groups_request);
    if (!m)
        return;
    struct topology_shards shards = topology_told(req->server);
    uint32_t states = listed_states(m);
    struct list_run *run = request_zalloc(req, sizeof *run);
    struct list_part *parts = request_zalloc(req, shards.count * sizeof *parts);
    if (!run || !parts) {
        request_fail(req, no_memory);
        return;
    }
    group_asking_init(&run->asking, req, reply_list_groups);
    run->parts = parts;
    run->shards = shards.count;
    for (uint16_t i = 0; i < shards.count; i++) {
        parts[i].states = states;
        parts[i].question.call.ask = ask_list_groups;
        group_asking_ask_shard(&run->asking, &parts[i].question, (uint16_t)(shards.first + i));
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
    const struct kview *names;
    int32_t count, at; /* prepared, then completed up to there */
    struct delete_part *parts;
    struct duplicates duplicates;
    struct steps steps;
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
        error = group_delete(e->group, group_log_now(e->coord.log).wall_ms);
    if (error) {
        end_delete_group(part, error);
        return;
    }
    part->write = (struct group_write){.entry = e, .kind = GROUP_WRITE_DELETE, .done = group_deleted};
    group_log_write(group_log_of(c->log), &part->write);
    coordinator_after_event(e);
}

static bool reply_delete_step(struct steps *s)
{
    struct delete_run *run = container_of(s, struct delete_run, steps);
    struct request *req = run->asking.req;
    for (; run->at < run->r.results.n; run->at++, steps_spend(s, 1)) {
        struct deletable_group_result *out = &run->r.results.v[run->at];
        if (!steps_go_on(s))
            return true;
        if (req->version >= 3 && out->error_code == KERR_GROUP_ID_NOT_FOUND)
            out->error_message = group_not_found_text(req, out->group_id);
        else if (req->version >= 3 && out->error_code == KERR_NON_EMPTY_GROUP)
            out->error_message = view_of("The group is not empty.");
    }
    REQUEST_REPLY_LARGE(req, delete_groups_response, &run->r);
    return false;
}

static void reply_delete_groups(struct group_asking *asking)
{
    struct delete_run *run = container_of(asking, struct delete_run, asking);
    run->at = 0;
    steps_start(&asking->req->server->steps, &run->steps, reply_delete_step);
}

/* What is named twice is answered once, as in Kafka. */
static bool prepare_delete_step(struct steps *s)
{
    struct delete_run *run = container_of(s, struct delete_run, steps);
    for (; run->at < run->count; run->at++, steps_spend(s, 1)) {
        struct delete_part *part = &run->parts[run->at];
        if (!steps_go_on(s))
            return true;
        if (run->duplicates.of[run->at] == DUPLICATE_LATER)
            continue;
        *part = (struct delete_part){.out = &run->r.results.v[run->r.results.n++]};
        deletable_group_result_init(part->out);
        part->out->group_id = part->question.call.key = run->names[run->at];
        part->question.call.ask = ask_delete_group;
        group_asking_queue(&run->asking, &part->question);
    }
    group_asking_end(&run->asking);
    return false;
}

static void prepare_deletes(struct duplicates *d)
{
    struct delete_run *run = container_of(d, struct delete_run, duplicates);
    if (d->of)
        steps_start(&d->req->server->steps, &run->steps, prepare_delete_step);
    else
        request_fail(d->req, no_memory);
}

void delete_groups_run(struct request *req)
{
    const struct delete_groups_request *m = REQUEST_DECODE(req, delete_groups_request);
    if (!m)
        return;
    struct delete_run *run = request_zalloc(req, sizeof *run);
    struct delete_part *parts = request_alloc(req, (size_t)m->groups_names.n * sizeof *parts + 1);
    struct deletable_group_result *out = request_alloc(req, (size_t)m->groups_names.n * sizeof *out + 1);
    if (!run || !parts || !out) {
        request_fail(req, no_memory);
        return;
    }
    group_asking_init(&run->asking, req, reply_delete_groups);
    run->asking.asked_max = COORD_SWEEP_WRITES;
    delete_groups_response_init(&run->r);
    run->r.results.v = out;
    run->names = m->groups_names.v;
    run->count = m->groups_names.n;
    run->parts = parts;
    duplicates_find(&run->duplicates, req, run->names, run->count, prepare_deletes);
}
