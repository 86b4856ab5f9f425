/* OffsetFetch: how far groups have read. Home makes the arrays of its reply for the partitions that are named, the owner fills them
 * in; for all of them the owner makes them (net/coord/coord_call.h).
 *
 * Versions before 8 ask for one group, and are answered as if they had the form of those after it, up to fetch_old.
 * require_stable asks for nothing that is not so anyway: only what is durable is shown, and there are no transactions yet. */
#include "net/api/api.h"
#include "net/api/group_asking.h"
#include "net/api/reply.h"
#include <stdlib.h>

struct fetch_group {
    struct group_question question;
    const struct offset_fetch_request_group *ask;
    struct offset_fetch_response_group *out;
};
struct fetch_run {
    struct group_asking asking;
    struct offset_fetch_response r;
    struct fetch_group *groups;
};

static void fill_offset(struct coord_call *c, const struct committed *in, struct offset_fetch_response_partitions *out)
{
    offset_fetch_response_partitions_init(out);
    out->partition_index = in->partition;
    out->committed_offset = in->offset;
    out->committed_leader_epoch = in->leader_epoch;
    out->metadata = coord_call_text(c, in->metadata);
}

static int compare_fetch_topics(const void *a, const void *b)
{
    const struct committed *x = *(const struct committed *const *)a, *y = *(const struct committed *const *)b;
    size_t least = (size_t)(x->topic.n < y->topic.n ? x->topic.n : y->topic.n);
    int order = memcmp(x->topic.at, y->topic.at, least);
    if (order == 0)
        order = (x->topic.n > y->topic.n) - (x->topic.n < y->topic.n);
    return order ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

/* `sorted` is cut into topics. */
static void group_offsets_by_topic(struct coord_call *c, const struct committed **sorted, int32_t n,
                                   struct offset_fetch_response_group *out)
{
    for (int32_t i = 0, end; i < n; i = end) {
        struct offset_fetch_response_topics *t = &out->topics.v[out->topics.n++];
        for (end = i + 1; end < n && kview_same(sorted[i]->topic, sorted[end]->topic);)
            end++;
        offset_fetch_response_topics_init(t);
        t->name = coord_call_text(c, sorted[i]->topic);
        t->partitions.v = coord_call_alloc(c, (size_t)(end - i) * sizeof *t->partitions.v);
        if (!t->partitions.v)
            return;
        t->partitions.n = end - i;
        for (int32_t k = i; k < end; k++)
            fill_offset(c, sorted[k], &t->partitions.v[k - i]);
    }
}

static void fetch_all_offsets(struct coord_call *c, const struct offsets *o, struct offset_fetch_response_group *out)
{
    size_t n = offsets_count(o);
    const struct committed **sorted = coord_call_alloc(c, n * sizeof *sorted), *one;
    out->topics.v = coord_call_alloc(c, n * sizeof *out->topics.v);
    if (c->starved)
        return;
    uint32_t cursor = 0;
    size_t found = 0;
    while (found < n && (one = offsets_next(o, &cursor)))
        sorted[found++] = one;
    qsort(sorted, found, sizeof *sorted, compare_fetch_topics);
    group_offsets_by_topic(c, sorted, (int32_t)found, out);
}

static void fetch_named_offsets(struct coord_call *c, const struct offsets *o, struct offset_fetch_response_group *out)
{
    for (int32_t i = 0; i < out->topics.n; i++) {
        struct offset_fetch_response_topics *t = &out->topics.v[i];
        for (int32_t k = 0; k < t->partitions.n; k++) {
            struct offset_fetch_response_partitions *p = &t->partitions.v[k];
            const struct committed *one = p->error_code ? NULL : offsets_get(o, t->name, p->partition_index);
            if (one)
                fill_offset(c, one, p);
        }
    }
}

/* Groups that are not there have committed nothing. */
static void ask_offset_fetch(struct coord_call *c)
{
    struct fetch_group *g = container_of(c, struct fetch_group, question.call);
    const struct group_entry *e = group_asked(c);
    bool lives = e && e->group->state != GROUP_DEAD;
    if (lives && g->ask->topics.n < 0)
        fetch_all_offsets(c, &e->offsets, g->out);
    else if (lives)
        fetch_named_offsets(c, &e->offsets, g->out);
    /* consumers before 3.9 know no COORDINATOR_NOT_AVAILABLE here */
    g->out->error_code = (int16_t)(c->starved ? KERR_NOT_COORDINATOR : c->error);
    coord_call_done(c);
}

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
static bool reply_old_offset_fetch(struct request *req, const struct offset_fetch_response_group *g,
                                   struct offset_fetch_response *r)
{
    bool top_level = req->version >= 2;
    r->error_code = top_level ? g->error_code : 0;
    r->topics.n = 0;
    if (top_level && g->error_code)
        return true;
    r->topics.v = request_alloc(req, (size_t)g->topics.n * sizeof *r->topics.v + 1);
    for (int32_t i = 0; r->topics.v && i < g->topics.n; i++) {
        const struct offset_fetch_response_topics *from = &g->topics.v[i];
        struct offset_fetch_response_topic *to = &r->topics.v[r->topics.n++];
        offset_fetch_response_topic_init(to);
        to->name = from->name;
        to->partitions.v = request_alloc(req, (size_t)from->partitions.n * sizeof *to->partitions.v + 1);
        if (!to->partitions.v)
            return false;
        to->partitions.n = from->partitions.n;
        for (int32_t k = 0; k < from->partitions.n; k++)
            fill_old_offset(&to->partitions.v[k], &from->partitions.v[k], g->error_code);
    }
    return r->topics.v;
}

/* All offsets by id: topics that are gone have none. */
static void name_offset_topic_ids(const struct request *req, struct offset_fetch_response_group *g)
{
    int32_t kept = 0;
    for (int32_t i = 0; i < g->topics.n; i++) {
        struct offset_fetch_response_topics *t = &g->topics.v[i];
        const struct topic *found = topic_asked(req, false, t->name, t->topic_id);
        if (!found)
            continue;
        t->topic_id = uuid_of(found->id);
        g->topics.v[kept++] = *t;
    }
    g->topics.n = kept;
}

static void reply_offset_fetch(struct group_asking *asking)
{
    struct fetch_run *run = container_of(asking, struct fetch_run, asking);
    struct request *req = asking->req;
    if (req->version < 8) {
        struct offset_fetch_response r = run->r;
        r.groups.n = 0;
        if (reply_old_offset_fetch(req, run->groups[0].out, &r))
            REQUEST_REPLY(req, offset_fetch_response, &r);
        else
            request_fail(req, no_memory);
        return;
    }
    for (int32_t i = 0; i < run->r.groups.n; i++) {
        struct offset_fetch_response_group *out = run->groups[i].out;
        if (out->error_code)
            out->topics.n = 0;
        else if (req->version >= 10 && run->groups[i].ask->topics.n < 0)
            name_offset_topic_ids(req, out);
    }
    REQUEST_REPLY(req, offset_fetch_response, &run->r);
}

static bool prepare_offset_topic(struct request *req, const struct offset_fetch_request_topics *in,
                                 struct offset_fetch_response_topics *out)
{
    bool by_id = req->version >= 10;
    const struct topic *t = by_id ? topic_asked(req, by_id, in->name, in->topic_id) : NULL;
    int32_t n = in->partition_indexes.n;
    offset_fetch_response_topics_init(out);
    out->name = by_id && t ? request_copy(req, view_of(t->name)) : in->name;
    out->topic_id = in->topic_id;
    out->partitions.v = request_alloc(req, (size_t)n * sizeof *out->partitions.v + 1);
    if (!out->partitions.v || out->name.n < 0)
        return false;
    out->partitions.n = n;
    for (int32_t i = 0; i < n; i++) {
        struct offset_fetch_response_partitions *p = &out->partitions.v[i];
        offset_fetch_response_partitions_init(p);
        p->partition_index = in->partition_indexes.v[i];
        p->committed_offset = -1;
        p->error_code = by_id && !t ? KERR_UNKNOWN_TOPIC_ID : KERR_NONE;
    }
    return true;
}

/* False: no memory. */
static bool prepare_offset_group(struct request *req, const struct offset_fetch_request_group *in,
                                 struct offset_fetch_response_group *out)
{
    offset_fetch_response_group_init(out);
    out->group_id = in->group_id;
    if (in->topics.n <= 0)
        return true;
    out->topics.v = request_alloc(req, (size_t)in->topics.n * sizeof *out->topics.v);
    if (!out->topics.v)
        return false;
    for (int32_t i = 0; i < in->topics.n; i++)
        if (!prepare_offset_topic(req, &in->topics.v[i], &out->topics.v[out->topics.n++]))
            return false;
    return true;
}

/* The one group of a request before version 8. NULL: no memory. */
static const struct offset_fetch_request_group *only_offset_group(struct request *req,
                                                                  const struct offset_fetch_request *m)
{
    struct offset_fetch_request_group *g = request_alloc(req, sizeof *g);
    struct offset_fetch_request_topics *t = request_alloc(req, (size_t)(m->topics.n + 1) * sizeof *t);
    if (!g || !t)
        return NULL;
    offset_fetch_request_group_init(g);
    g->group_id = m->group_id;
    g->topics.v = t;
    g->topics.n = m->topics.n;
    for (int32_t i = 0; i < m->topics.n; i++) {
        offset_fetch_request_topics_init(&t[i]);
        t[i].name = m->topics.v[i].name;
        t[i].partition_indexes.v = m->topics.v[i].partition_indexes.v;
        t[i].partition_indexes.n = m->topics.v[i].partition_indexes.n;
    }
    return g;
}

/* False: no memory. */
static bool prepare_offset_fetch(struct fetch_run *run, const struct offset_fetch_request *m)
{
    struct request *req = run->asking.req;
    const struct offset_fetch_request_group *in = req->version < 8 ? only_offset_group(req, m) : m->groups.v;
    int32_t n = req->version < 8 ? 1 : m->groups.n;
    offset_fetch_response_init(&run->r);
    run->groups = request_zalloc(req, (size_t)n * sizeof *run->groups + 1);
    run->r.groups.v = request_alloc(req, (size_t)n * sizeof *run->r.groups.v + 1);
    if (!run->groups || !run->r.groups.v || (n > 0 && !in))
        return false;
    run->r.groups.n = n;
    for (int32_t i = 0; i < n; i++) {
        struct fetch_group *g = &run->groups[i];
        g->ask = &in[i];
        g->out = &run->r.groups.v[i];
        g->question.call.key = in[i].group_id;
        g->question.call.ask = ask_offset_fetch;
        if (!prepare_offset_group(req, g->ask, g->out))
            return false;
    }
    return true;
}

void offset_fetch_run(struct request *req)
{
    const struct offset_fetch_request *m = REQUEST_DECODE(req, offset_fetch_request);
    if (!m)
        return;
    struct fetch_run *run = request_zalloc(req, sizeof *run);
    if (run)
        group_asking_init(&run->asking, req, reply_offset_fetch);
    if (!run || !prepare_offset_fetch(run, m)) {
        request_fail(req, no_memory);
        return;
    }
    for (int32_t i = 0; i < run->r.groups.n; i++)
        group_asking_queue(&run->asking, &run->groups[i].question);
    group_asking_end(&run->asking);
}
