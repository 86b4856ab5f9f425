/* Metadata, DescribeTopicPartitions, DescribeCluster: which broker, which topics, who leads (always this one).
 *
 * Metadata creates missing topics where both sides allow it, and answers when they are durable and usable: the reply that
 * Kafka gives only to the second attempt. */
#include "net/api/api.h"
#include "net/api/reply.h"
#include "net/group/coordinator.h"
#include <stdlib.h>

enum { DESCRIBE_PARTITIONS_MAX = 2000 }; /* Kafka's max.request.partition.size.limit */

/* --- Metadata --- */

struct metadata_run {
    struct request *req;
    struct metadata_request *ask;
    uint32_t waiting;
    bool failed;
};
/* One topic to be created on the way. */
struct auto_create {
    struct catalog_change change;
    struct metadata_run *run;
    struct topic_override overrides[OFFSETS_OVERRIDES]; /* of __consumer_offsets */
    char room[OFFSETS_ROOM];
};

static bool reply_topic_partitions(struct request *req, struct metadata_response_topic *out, const struct topic *t)
{
    out->partitions.v = request_alloc(req, (size_t)t->partitions * sizeof *out->partitions.v);
    if (!out->partitions.v)
        return false;
    out->partitions.n = t->partitions;
    for (int32_t i = 0; i < t->partitions; i++) {
        struct metadata_response_partition *p = &out->partitions.v[i];
        metadata_response_partition_init(p);
        p->partition_index = i;
        p->leader_id = node_id(req);
        p->leader_epoch = req->server->root->leader_epoch;
        p->replica_nodes.v = p->isr_nodes.v = replica_list(req);
        p->replica_nodes.n = p->isr_nodes.n = 1;
    }
    return true;
}

static bool reply_found_topic(struct request *req, struct metadata_response_topic *out, const struct topic *t)
{
    metadata_response_topic_init(out);
    out->name = request_copy(req, view_of(t->name));
    out->topic_id = uuid_of(t->id);
    out->is_internal = t->internal;
    return out->name.n >= 0 && reply_topic_partitions(req, out, t);
}

static void reply_missing_topic(struct metadata_response_topic *out, const struct metadata_request_topic *ask)
{
    metadata_response_topic_init(out);
    out->name = ask->name;
    out->topic_id = ask->topic_id;
    if (ask->name.n < 0)
        out->error_code = KERR_UNKNOWN_TOPIC_ID;
    else if (!topic_name_legal(ask->name.at, (size_t)ask->name.n))
        out->error_code = KERR_INVALID_TOPIC_EXCEPTION;
    else
        out->error_code = KERR_UNKNOWN_TOPIC_OR_PARTITION;
}

static const struct topic *find_asked_topic(struct request *req, const struct metadata_request_topic *ask)
{
    struct catalog *c = server_catalog(req->server);
    if (!uuid_zero(ask->topic_id))
        return catalog_by_id(c, ask->topic_id.b);
    return ask->name.n < 0 ? NULL : catalog_by_name(c, ask->name.at, (size_t)ask->name.n);
}

static bool asks_all_topics(const struct request *req, const struct metadata_request *m)
{
    return m->topics.n < 0 || (req->version == 0 && m->topics.n == 0);
}

static bool reply_topics(struct request *req, const struct metadata_request *m, struct metadata_response *r)
{
    struct catalog *c = server_catalog(req->server);
    bool all = asks_all_topics(req, m);
    r->topics.n = all ? (int32_t)c->count : m->topics.n;
    r->topics.v = request_alloc(req, (size_t)r->topics.n * sizeof *r->topics.v + 1);
    if (!r->topics.v)
        return false;
    for (int32_t i = 0; i < r->topics.n; i++) {
        const struct topic *t = all ? c->sorted[i] : find_asked_topic(req, &m->topics.v[i]);
        if (!t)
            reply_missing_topic(&r->topics.v[i], &m->topics.v[i]);
        else if (!reply_found_topic(req, &r->topics.v[i], t))
            return false;
    }
    return true;
}

static void note_metadata_asked(struct request *req, const struct metadata_request *m)
{
    enum told_way way = asks_all_topics(req, m) ? TOLD_OF_ALL : m->topics.n > 0 ? TOLD_TO_GO : TOLD_OPENING;
    conn_asks_way(req->conn, way, req->header.client_id);
}

static void reply_metadata(struct request *req, const struct metadata_request *m)
{
    struct metadata_response r;
    struct metadata_response_broker self;
    metadata_response_init(&r);
    metadata_response_broker_init(&self);
    self.node_id = r.controller_id = node_id(req);
    conn_address(req->conn, &self.host, &self.port);
    r.brokers.v = &self;
    r.brokers.n = 1;
    r.cluster_id = view_of(req->server->root->cluster_id);
    if (!reply_topics(req, m, &r)) {
        request_fail(req, "metadata of too many topics for one reply");
        return;
    }
    REQUEST_REPLY(req, metadata_response, &r);
}

static void metadata_part_over(struct metadata_run *run)
{
    if (--run->waiting)
        return;
    if (run->failed)
        request_fail(run->req, "too large for one request");
    else
        reply_metadata(run->req, run->ask);
}

static void auto_created(struct catalog_change *c)
{ /* whatever came of it, the reply looks into the catalog */
    metadata_part_over(container_of(c, struct auto_create, change)->run);
}

static void create_missing_topic(struct metadata_run *run, const struct metadata_request_topic *ask)
{
    if (find_asked_topic(run->req, ask) || !uuid_zero(ask->topic_id) || ask->name.n < 0 ||
        !topic_name_legal(ask->name.at, (size_t)ask->name.n))
        return;
    struct auto_create *a = request_zalloc(run->req, sizeof *a);
    char *name = request_text(run->req, ask->name);
    if (!a || !name) {
        run->failed = true;
        return;
    }
    a->run = run;
    const struct broker_config *config = server_config(run->req->server);
    if (coordinator_topic_name(ask->name))
        coordinator_topic_change(config, a->room, a->overrides, &a->change);
    else
        a->change = (struct catalog_change){
            .kind = CATALOG_CREATE, .name = name, .partitions = config->num_partitions, .automatic = true};
    a->change.done = auto_created;
    run->waiting++;
    catalog_change_start(run->req->server->shard, &a->change);
}

/* Versions 10 and 11 had topic ids in the format before brokers could answer to them. */
static bool is_metadata_invalid(const struct request *req, const struct metadata_request *m)
{
    for (int32_t i = 0; i < m->topics.n; i++) {
        const struct metadata_request_topic *t = &m->topics.v[i];
        if (req->version < 12 && (t->name.n < 0 || !uuid_zero(t->topic_id)))
            return true;
        if (t->name.n < 0 && uuid_zero(t->topic_id))
            return true;
    }
    return false;
}

static void refuse_metadata(struct request *req, const struct metadata_request *m)
{
    struct metadata_response r;
    metadata_response_init(&r);
    r.error_code = KERR_INVALID_REQUEST;
    r.topics.v = request_alloc(req, (size_t)m->topics.n * sizeof *r.topics.v);
    r.topics.n = r.topics.v ? m->topics.n : 0;
    for (int32_t i = 0; i < r.topics.n; i++) {
        metadata_response_topic_init(&r.topics.v[i]);
        r.topics.v[i].name = m->topics.v[i].name.n < 0 ? view_of("") : m->topics.v[i].name;
        r.topics.v[i].topic_id = m->topics.v[i].topic_id;
        r.topics.v[i].error_code = KERR_INVALID_REQUEST;
    }
    REQUEST_REPLY(req, metadata_response, &r);
}

void metadata_run(struct request *req)
{
    struct metadata_request *m = REQUEST_DECODE(req, metadata_request);
    if (!m)
        return;
    note_metadata_asked(req, m);
    if (is_metadata_invalid(req, m)) {
        refuse_metadata(req, m);
        return;
    }
    if (asks_all_topics(req, m) || !m->allow_auto_topic_creation || !server_config(req->server)->auto_create_topics) {
        reply_metadata(req, m);
        return;
    }
    struct metadata_run *run = request_zalloc(req, sizeof *run);
    if (!run) {
        request_fail(req, "out of memory");
        return;
    }
    *run = (struct metadata_run){.req = req, .ask = m, .waiting = 1};
    for (int32_t i = 0; i < m->topics.n && !run->failed; i++)
        create_missing_topic(run, &m->topics.v[i]);
    metadata_part_over(run);
}

/* --- DescribeTopicPartitions (KIP-966): in the order of names, page by page --- */

struct page {
    struct request *req;
    struct describe_topic_partitions_response *r;
    struct describe_topic_partitions_cursor next;
    int32_t left; /* partitions that still fit */
    bool full, failed;
};

static void fill_page_partition(const struct page *g, struct describe_topic_partitions_response_partition *p,
                                int32_t index)
{
    describe_topic_partitions_response_partition_init(p);
    p->partition_index = index;
    p->leader_id = node_id(g->req);
    p->leader_epoch = g->req->server->root->leader_epoch;
    p->replica_nodes.v = p->isr_nodes.v = replica_list(g->req);
    p->replica_nodes.n = p->isr_nodes.n = 1;
    p->eligible_leader_replicas.n = p->last_known_elr.n = 0;
}

static void end_page(struct page *g, struct kview name, int32_t partition)
{
    describe_topic_partitions_cursor_init(&g->next);
    g->next.topic_name = name;
    g->next.partition_index = partition;
    g->r->next_cursor = &g->next;
    g->full = true;
}

static void page_topic(struct page *g, const struct topic *t, int32_t from)
{
    struct kview name = view_of(t->name);
    if (g->left == 0) {
        end_page(g, name, from);
        return;
    }
    struct describe_topic_partitions_response_topic *out = &g->r->topics.v[g->r->topics.n++];
    describe_topic_partitions_response_topic_init(out);
    out->name = name;
    out->topic_id = uuid_of(t->id);
    out->is_internal = t->internal;
    int32_t n = from < t->partitions ? t->partitions - from : 0;
    n = n < g->left ? n : g->left;
    out->partitions.v = request_alloc(g->req, (size_t)n * sizeof *out->partitions.v + 1);
    out->partitions.n = n;
    if (!out->partitions.v) {
        g->failed = true;
        return;
    }
    for (int32_t i = 0; i < n; i++)
        fill_page_partition(g, &out->partitions.v[i], from + i);
    g->left -= n;
    if (from + n < t->partitions)
        end_page(g, name, from + n);
}

static void page_missing_topic(struct page *g, struct kview name)
{
    struct describe_topic_partitions_response_topic *out = &g->r->topics.v[g->r->topics.n++];
    describe_topic_partitions_response_topic_init(out);
    out->name = name;
    out->error_code =
        topic_name_legal(name.at, (size_t)name.n) ? KERR_UNKNOWN_TOPIC_OR_PARTITION : KERR_INVALID_TOPIC_EXCEPTION;
}

static int compare_views(struct kview a, struct kview b)
{
    int32_t n = a.n < b.n ? a.n : b.n;
    int order = memcmp(a.at, b.at, (size_t)n);
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

static int compare_asked_topics(const void *a, const void *b)
{
    return compare_views(((const struct describe_topic_partitions_topic *)a)->name,
                         ((const struct describe_topic_partitions_topic *)b)->name);
}

static void page_asked_topics(struct page *g, const struct describe_topic_partitions_request *m)
{
    struct catalog *c = server_catalog(g->req->server);
    qsort(m->topics.v, (size_t)m->topics.n, sizeof *m->topics.v, compare_asked_topics);
    for (int32_t i = 0; i < m->topics.n && !g->full && !g->failed; i++) {
        struct kview name = m->topics.v[i].name;
        int order = m->cursor ? compare_views(name, m->cursor->topic_name) : 1;
        if (order < 0 || (i && compare_views(name, m->topics.v[i - 1].name) == 0))
            continue;
        const struct topic *t = catalog_by_name(c, name.at, (size_t)name.n);
        if (t)
            page_topic(g, t, order == 0 ? m->cursor->partition_index : 0);
        else
            page_missing_topic(g, name);
    }
}

static void page_all_topics(struct page *g, const struct describe_topic_partitions_request *m)
{
    struct catalog *c = server_catalog(g->req->server);
    uint32_t i = m->cursor ? catalog_lower_bound(c, m->cursor->topic_name.at, (size_t)m->cursor->topic_name.n) : 0;
    for (; i < c->count && !g->full && !g->failed; i++) {
        bool here = m->cursor && view_is(m->cursor->topic_name, c->sorted[i]->name);
        page_topic(g, c->sorted[i], here ? m->cursor->partition_index : 0);
    }
}

void describe_topic_partitions_run(struct request *req)
{
    struct describe_topic_partitions_request *m = REQUEST_DECODE(req, describe_topic_partitions_request);
    if (!m)
        return;
    if (m->cursor && m->cursor->partition_index < 0) {
        request_fail(req, "a cursor with a negative partition");
        return;
    }
    struct describe_topic_partitions_response r;
    describe_topic_partitions_response_init(&r);
    struct page g = {.req = req, .r = &r};
    g.left = m->response_partition_limit;
    if (g.left <= 0 || g.left > DESCRIBE_PARTITIONS_MAX)
        g.left = DESCRIBE_PARTITIONS_MAX;
    size_t most = m->topics.n ? (size_t)m->topics.n : server_catalog(req->server)->count;
    r.topics.v = request_alloc(req, most * sizeof *r.topics.v + 1);
    g.failed = !r.topics.v;
    if (!g.failed && m->topics.n)
        page_asked_topics(&g, m);
    else if (!g.failed)
        page_all_topics(&g, m);
    if (g.failed)
        request_fail(req, "too many topics for one reply");
    else
        REQUEST_REPLY(req, describe_topic_partitions_response, &r);
}

/* --- DescribeCluster --- */

void describe_cluster_run(struct request *req)
{
    struct describe_cluster_request *m = REQUEST_DECODE(req, describe_cluster_request);
    if (!m)
        return;
    conn_asks_way(req->conn, TOLD_OF_ALL, req->header.client_id);
    struct describe_cluster_response r;
    struct describe_cluster_broker self;
    describe_cluster_response_init(&r);
    describe_cluster_broker_init(&self);
    r.endpoint_type = m->endpoint_type;
    if (m->endpoint_type != 1) { /* KIP-919: 2 asks a controller, and this is a broker's listener */
        r.error_code = m->endpoint_type == 2 ? KERR_MISMATCHED_ENDPOINT_TYPE : KERR_UNSUPPORTED_ENDPOINT_TYPE;
        r.error_message = view_of("The request was sent to a broker, whose endpoint type is 1.");
        REQUEST_REPLY(req, describe_cluster_response, &r);
        return;
    }
    self.broker_id = r.controller_id = node_id(req);
    conn_address(req->conn, &self.host, &self.port);
    r.cluster_id = view_of(req->server->root->cluster_id);
    r.brokers.v = &self;
    r.brokers.n = 1;
    REQUEST_REPLY(req, describe_cluster_response, &r);
}
