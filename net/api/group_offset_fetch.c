/* OffsetFetch: how far groups have read. Home makes the arrays of its reply for the partitions that are named, the owner fills them
 * in; for all of them the owner makes them (net/coord/coord_call.h).
 *
 * Versions before 8 ask for one group, and are answered as if they had the form of those after it, up to fetch_old.
 * Only what is durable is shown, whatever is asked; require_stable asks that nothing is shown which an open transaction may change. */
#include "net/api/api.h"
#include "net/api/group_asking.h"
#include "net/api/reply.h"

enum { PREPARED_PER_UNIT = 16, TXNS_PER_UNIT = 16 /* open transactions of a group, looked at for one partition */ };

/* What the owner finds of a group of which all is asked. */
struct found_offset {
    struct found_offset *next;
    struct offset_fetch_response_partitions p;
};
struct found_topic {
    struct found_topic *next;
    struct kview name; /* in the answer's memory, like these */
    struct found_offset *offsets;
    int32_t count;
};
struct fetched_group {
    struct group_question question;
    const struct offset_fetch_request_group *ask;
    struct offset_fetch_response_group *out;
    bool stable;                    /* UNSTABLE_OFFSET_COMMIT where a transaction has committed an offset and is open */
    int32_t topic_at, partition_at; /* those that are named: the next one */
    /* all: the owner's */
    bool begun, found;      /* found: all are, the arrays are next */
    uint64_t born;          /* whose offsets they are ... */
    uint32_t moved, cursor; /* ... and where the next one is */
    struct map by_name;     /* struct found_topic */
    struct found_topic *topics;
    int32_t topic_count;
};
struct fetch_run {
    struct group_asking asking;
    struct offset_fetch_response r;
    const struct offset_fetch_request_group *asked;
    bool stable;
    const struct offset_fetch_request *old; /* before version 8: its topics become those of the one group ... */
    struct offset_fetch_request_topics *old_topics;
    struct offset_fetch_response old_r; /* ... and this is answered */
    struct fetched_group *groups;
    struct steps steps;
    bool group_begun;
    int32_t group_at, topic_at; /* prepared, then answered up to there */
};

/* It may change soon: a transaction that is open has committed another one. */
static bool offset_is_unstable(const struct fetched_group *g, const struct group_entry *e, struct kview topic,
                               int32_t partition, struct steps *s)
{
    uint32_t looked = 0;
    bool unstable = g->stable && group_txns_pending(&e->txns, topic, partition, &looked);
    steps_spend(s, looked / TXNS_PER_UNIT);
    return unstable;
}

static void fill_no_offset(int32_t partition, enum kerr error, struct offset_fetch_response_partitions *out)
{
    offset_fetch_response_partitions_init(out);
    out->partition_index = partition;
    out->committed_offset = -1;
    out->error_code = (int16_t)error;
}

static void fill_offset(struct coord_call *c, const struct committed *in, struct offset_fetch_response_partitions *out)
{
    fill_no_offset(in->partition, KERR_NONE, out);
    out->committed_offset = in->offset;
    out->committed_leader_epoch = in->leader_epoch;
    out->metadata = coord_call_text(c, in->metadata);
}

/* --- all offsets of a group, on its shard: found first, since there may be more of them until the last one is --- */

static void begin_finding(struct fetched_group *g, const struct group_entry *e)
{
    if (g->begun)
        map_deinit(&g->by_name);
    arena_reset(&g->question.call.memory);
    map_init(&g->by_name, e->coord.log->heap);
    g->begun = true;
    g->born = e->coord.born;
    g->moved = e->offsets.moved;
    g->cursor = 0;
    g->topics = NULL;
    g->topic_count = 0;
}

/* NULL: no memory. */
static struct found_topic *found_topic_of(struct fetched_group *g, struct kview name)
{
    struct coord_call *c = &g->question.call;
    struct found_topic *t = map_get(&g->by_name, name.at, (size_t)name.n);
    if (t)
        return t;
    t = coord_call_alloc(c, sizeof *t);
    if (!t)
        return NULL;
    *t = (struct found_topic){.next = g->topics, .name = coord_call_text(c, name)};
    if (c->starved || map_put(&g->by_name, t->name.at, (size_t)t->name.n, t)) {
        c->starved = true;
        return NULL;
    }
    g->topics = t;
    g->topic_count++;
    return t;
}

/* False: that was all, or there is no memory. */
static bool find_next_offset(struct fetched_group *g, const struct group_entry *e, struct steps *s)
{
    const struct committed *one = offsets_next(&e->offsets, &g->cursor);
    struct found_topic *t = one ? found_topic_of(g, one->topic) : NULL;
    struct found_offset *found = t ? coord_call_alloc(&g->question.call, sizeof *found) : NULL;
    if (!found)
        return false;
    found->next = t->offsets;
    t->offsets = found;
    t->count++;
    if (offset_is_unstable(g, e, one->topic, one->partition, s))
        fill_no_offset(one->partition, KERR_UNSTABLE_OFFSET_COMMIT, &found->p);
    else
        fill_offset(&g->question.call, one, &found->p);
    return true;
}

/* The arrays of the reply. False: those of the last topic are made. */
static bool make_next_topic(struct fetched_group *g)
{
    struct coord_call *c = &g->question.call;
    struct offset_fetch_response_group *out = g->out;
    struct found_topic *t = g->topics;
    if (!out->topics.v)
        out->topics.v = coord_call_alloc(c, (size_t)g->topic_count * sizeof *out->topics.v + 1);
    if (!t || !out->topics.v)
        return false;
    struct offset_fetch_response_topics *to = &out->topics.v[out->topics.n++];
    offset_fetch_response_topics_init(to);
    to->name = t->name;
    to->partitions.v = coord_call_alloc(c, (size_t)t->count * sizeof *to->partitions.v);
    for (const struct found_offset *f = t->offsets; f && to->partitions.v; f = f->next)
        to->partitions.v[to->partitions.n++] = f->p;
    g->topics = t->next;
    return to->partitions.v;
}

/* True: there is more to do. */
static bool fetch_all_offsets(struct fetched_group *g, const struct group_entry *e, struct steps *s)
{
    if (!g->begun || (!g->found && (g->born != e->coord.born || g->moved != e->offsets.moved)))
        begin_finding(g, e);
    for (; !g->found && steps_go_on(s); steps_spend(s, 1))
        g->found = !find_next_offset(g, e, s);
    while (g->found && !g->question.call.starved && steps_go_on(s)) {
        if (!make_next_topic(g))
            return false;
        steps_spend(s, 1 + (uint32_t)g->out->topics.v[g->out->topics.n - 1].partitions.n / PREPARED_PER_UNIT);
    }
    return !g->question.call.starved;
}

/* --- those that are named; true: there is more to do --- */

static void fetch_named_offset(struct fetched_group *g, const struct group_entry *e, struct kview topic,
                               struct offset_fetch_response_partitions *out, struct steps *s)
{
    if (out->error_code)
        return;
    const struct committed *one = offsets_get(&e->offsets, topic, out->partition_index);
    if (offset_is_unstable(g, e, topic, out->partition_index, s))
        fill_no_offset(out->partition_index, KERR_UNSTABLE_OFFSET_COMMIT, out);
    else if (one)
        fill_offset(&g->question.call, one, out);
}

static bool fetch_named_offsets(struct fetched_group *g, const struct group_entry *e, struct steps *s)
{
    for (; g->topic_at < g->out->topics.n; g->topic_at++, g->partition_at = 0) {
        struct offset_fetch_response_topics *t = &g->out->topics.v[g->topic_at];
        for (; g->partition_at < t->partitions.n; g->partition_at++, steps_spend(s, 1)) {
            if (!steps_go_on(s))
                return true;
            fetch_named_offset(g, e, t->name, &t->partitions.v[g->partition_at], s);
        }
        steps_spend(s, 1);
    }
    return false;
}

/* Groups that are not there have committed nothing. */
static bool offset_fetch_step(struct steps *s)
{
    struct fetched_group *g = container_of(s, struct fetched_group, question.steps);
    struct coord_call *c = &g->question.call;
    coord_call_look_again(c);
    const struct group_entry *e = group_asked(c);
    bool lives = e && e->group->state != GROUP_DEAD, all = g->ask->topics.n < 0;
    if (lives && (all ? fetch_all_offsets(g, e, s) : fetch_named_offsets(g, e, s)))
        return true;
    if (g->begun)
        map_deinit(&g->by_name);
    if (!lives && all) /* it went meanwhile */
        g->out->topics.n = 0;
    /* consumers before 3.9 know no COORDINATOR_NOT_AVAILABLE here */
    g->out->error_code = (int16_t)(c->starved ? KERR_NOT_COORDINATOR : c->error);
    coord_call_done(c);
    return false;
}

static void ask_offset_fetch(struct coord_call *c)
{
    group_question_steps(container_of(c, struct group_question, call), offset_fetch_step);
}

/* --- at home --- */

/* Version 1 has no place for the group's error but the partitions. */
static void fill_old_offset(struct offset_fetch_response_partition *to,
                            const struct offset_fetch_response_partitions *from, int16_t group_error)
{
    offset_fetch_response_partition_init(to);
    to->partition_index = from->partition_index;
    to->committed_offset = from->committed_offset;
    to->committed_leader_epoch = from->committed_leader_epoch;
    to->metadata = from->metadata;
    to->error_code = group_error ? group_error : from->error_code;
}

/* False: no memory. */
static bool add_old_topic(struct request *req, const struct offset_fetch_response_topics *from, int16_t error,
                          struct offset_fetch_response_topic *to)
{
    offset_fetch_response_topic_init(to);
    to->name = from->name;
    to->partitions.v = request_alloc(req, (size_t)from->partitions.n * sizeof *to->partitions.v + 1);
    if (!to->partitions.v)
        return false;
    to->partitions.n = from->partitions.n;
    for (int32_t k = 0; k < from->partitions.n; k++)
        fill_old_offset(&to->partitions.v[k], &from->partitions.v[k], error);
    return true;
}

static bool reply_old_offsets_step(struct steps *s)
{
    struct fetch_run *run = container_of(s, struct fetch_run, steps);
    const struct offset_fetch_response_group *g = run->groups[0].out;
    struct offset_fetch_response *r = &run->old_r;
    for (; !r->error_code && r->topics.n < g->topics.n; r->topics.n++) {
        const struct offset_fetch_response_topics *from = &g->topics.v[r->topics.n];
        if (!steps_go_on(s))
            return true;
        steps_spend(s, 1 + (uint32_t)from->partitions.n / PREPARED_PER_UNIT);
        if (!add_old_topic(run->asking.req, from, g->error_code, &r->topics.v[r->topics.n])) {
            request_fail(run->asking.req, no_memory);
            return false;
        }
    }
    REQUEST_REPLY_LARGE(run->asking.req, offset_fetch_response, r);
    return false;
}

/* Before version 8: one group, and before version 2 no error but those of partitions. */
static void reply_old_offset_fetch(struct fetch_run *run)
{
    struct request *req = run->asking.req;
    const struct offset_fetch_response_group *g = run->groups[0].out;
    struct offset_fetch_response *r = &run->old_r;
    offset_fetch_response_init(r);
    r->error_code = req->version >= 2 ? g->error_code : 0;
    r->topics.n = 0;
    r->topics.v = request_alloc(req, (size_t)g->topics.n * sizeof *r->topics.v + 1);
    if (r->topics.v)
        steps_start(&req->server->steps, &run->steps, reply_old_offsets_step);
    else
        request_fail(req, no_memory);
}

/* All offsets by id: topics that are gone have none. */
static void name_offset_topic_ids(const struct request *req, struct offset_fetch_response_group *g)
{
    int32_t kept = 0;
    for (int32_t i = 0; i < g->topics.n; i++) {
        struct offset_fetch_response_topics *t = &g->topics.v[i];
        const struct topic *found = topic_named(req, t->name);
        if (!found)
            continue;
        t->topic_id = uuid_of(found->id);
        g->topics.v[kept++] = *t;
    }
    g->topics.n = kept;
}

static bool reply_offsets_step(struct steps *s)
{
    struct fetch_run *run = container_of(s, struct fetch_run, steps);
    struct request *req = run->asking.req;
    for (; run->group_at < run->r.groups.n; run->group_at++) {
        struct offset_fetch_response_group *out = run->groups[run->group_at].out;
        if (!steps_go_on(s))
            return true;
        steps_spend(s, 1);
        if (out->error_code)
            out->topics.n = 0;
        else if (req->version >= 10 && run->groups[run->group_at].ask->topics.n < 0)
            name_offset_topic_ids(req, out);
    }
    REQUEST_REPLY_LARGE(req, offset_fetch_response, &run->r);
    return false;
}

static void reply_offset_fetch(struct group_asking *asking)
{
    struct fetch_run *run = container_of(asking, struct fetch_run, asking);
    run->group_at = 0;
    if (run->old)
        reply_old_offset_fetch(run);
    else
        steps_start(&asking->req->server->steps, &run->steps, reply_offsets_step);
}

/* NULL: no memory. */
static struct offset_fetch_response_topics *begin_offset_topic(struct request *req,
                                                               const struct offset_fetch_request_topics *in,
                                                               struct offset_fetch_response_topics *out)
{
    bool by_id = req->version >= 10;
    const struct topic *t = by_id ? topic_asked(req, true, in->name, in->topic_id) : NULL;
    offset_fetch_response_topics_init(out);
    out->name = by_id && t ? request_copy(req, view_of(t->name)) : in->name;
    out->topic_id = in->topic_id;
    out->partitions.v = request_alloc(req, (size_t)in->partition_indexes.n * sizeof *out->partitions.v + 1);
    return out->partitions.v && out->name.n >= 0 ? out : NULL;
}

static void prepare_offset_partitions(const struct offset_fetch_request_topics *in,
                                      struct offset_fetch_response_topics *out, bool unknown)
{
    for (int32_t left = PREPARED_PER_UNIT; left > 0 && out->partitions.n < in->partition_indexes.n; left--) {
        struct offset_fetch_response_partitions *p = &out->partitions.v[out->partitions.n];
        fill_no_offset(in->partition_indexes.v[out->partitions.n++], unknown ? KERR_UNKNOWN_TOPIC_ID : KERR_NONE, p);
    }
}

static bool begin_offset_group(struct request *req, struct fetched_group *g, bool stable,
                               const struct offset_fetch_request_group *in, struct offset_fetch_response_group *out)
{
    *g = (struct fetched_group){.ask = in, .out = out, .stable = stable};
    g->question.call.key = in->group_id;
    g->question.call.ask = ask_offset_fetch;
    offset_fetch_response_group_init(g->out);
    g->out->group_id = in->group_id;
    if (in->topics.n > 0)
        g->out->topics.v = request_alloc(req, (size_t)in->topics.n * sizeof *g->out->topics.v);
    return in->topics.n <= 0 || g->out->topics.v;
}

static void take_old_topic(const struct fetch_run *run, int32_t i)
{
    const struct offset_fetch_request_topic *from = &run->old->topics.v[i];
    struct offset_fetch_request_topics *to = &run->old_topics[i];
    offset_fetch_request_topics_init(to);
    to->name = from->name;
    to->partition_indexes.v = from->partition_indexes.v;
    to->partition_indexes.n = from->partition_indexes.n;
}

enum prepared { PREPARED_SOME, PREPARED_ALL, PREPARED_NO_MEMORY };

/* A group, a topic, or some partitions of one. */
static enum prepared prepare_some_offsets(struct fetch_run *run)
{
    struct request *req = run->asking.req;
    struct fetched_group *g = &run->groups[run->group_at];
    if (run->group_at == run->r.groups.n)
        return PREPARED_ALL;
    if (!run->group_begun) {
        run->group_begun = true;
        bool good =
            begin_offset_group(req, g, run->stable, &run->asked[run->group_at], &run->r.groups.v[run->group_at]);
        return good ? PREPARED_SOME : PREPARED_NO_MEMORY;
    }
    if (run->topic_at >= g->ask->topics.n) {
        group_asking_queue(&run->asking, &g->question);
        run->group_at++;
        run->group_begun = false;
        run->topic_at = 0;
        return PREPARED_SOME;
    }
    const struct offset_fetch_request_topics *in = &g->ask->topics.v[run->topic_at];
    struct offset_fetch_response_topics *out = &g->out->topics.v[run->topic_at];
    if (g->out->topics.n == run->topic_at) {
        g->out->topics.n++;
        if (run->old)
            take_old_topic(run, run->topic_at);
        return begin_offset_topic(req, in, out) ? PREPARED_SOME : PREPARED_NO_MEMORY;
    }
    prepare_offset_partitions(in, out, req->version >= 10 && out->name.n == 0);
    run->topic_at += out->partitions.n == in->partition_indexes.n;
    return PREPARED_SOME;
}

static bool prepare_offset_fetch_step(struct steps *s)
{
    struct fetch_run *run = container_of(s, struct fetch_run, steps);
    for (; steps_go_on(s); steps_spend(s, 1))
        switch (prepare_some_offsets(run)) {
        case PREPARED_SOME: break;
        case PREPARED_ALL: group_asking_end(&run->asking); return false;
        case PREPARED_NO_MEMORY: request_fail(run->asking.req, no_memory); return false;
        }
    return true;
}

/* The one group of a request before version 8; its topics are taken over one by one. NULL: no memory. */
static const struct offset_fetch_request_group *only_offset_group(struct fetch_run *run)
{
    struct request *req = run->asking.req;
    struct offset_fetch_request_group *g = request_alloc(req, sizeof *g);
    run->old_topics = request_alloc(req, (size_t)(run->old->topics.n + 1) * sizeof *run->old_topics);
    if (!g || !run->old_topics)
        return NULL;
    offset_fetch_request_group_init(g);
    g->group_id = run->old->group_id;
    g->topics.v = run->old_topics;
    g->topics.n = run->old->topics.n;
    return g;
}

/* False: no memory. */
static bool begin_offset_fetch(struct fetch_run *run, const struct offset_fetch_request *m)
{
    struct request *req = run->asking.req;
    int32_t n = req->version < 8 ? 1 : m->groups.n;
    offset_fetch_response_init(&run->r);
    run->stable = m->require_stable;
    run->old = req->version < 8 ? m : NULL;
    run->asked = run->old ? only_offset_group(run) : m->groups.v;
    run->groups = request_alloc(req, (size_t)n * sizeof *run->groups + 1);
    run->r.groups.v = request_alloc(req, (size_t)n * sizeof *run->r.groups.v + 1);
    run->r.groups.n = n;
    return run->groups && run->r.groups.v && (n == 0 || run->asked);
}

void offset_fetch_run(struct request *req)
{
    const struct offset_fetch_request *m = REQUEST_DECODE(req, offset_fetch_request);
    if (!m)
        return;
    struct fetch_run *run = request_zalloc(req, sizeof *run);
    if (run)
        group_asking_init(&run->asking, req, reply_offset_fetch);
    if (!run || !begin_offset_fetch(run, m))
        request_fail(req, no_memory);
    else
        steps_start(&req->server->steps, &run->steps, prepare_offset_fetch_step);
}
