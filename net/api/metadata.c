/* Metadata: which nodes, which topics, who leads.
 *
 * It creates missing topics where both sides allow it, and answers when they are durable and usable: the reply that Kafka gives
 * only to a later attempt. Both go in steps: a request may name as many topics as its frame has room for, and all topics may
 * have a million partitions. What is created or deleted between two steps may be in the answer or not. */
#include "net/api/api.h"
#include "net/api/reply.h"
#include "net/countdown.h"
#include "net/group/coordinator.h"

enum { PARTITIONS_PER_UNIT = 12 }; /* each about 80 ns, with the first touch of its memory */

struct metadata_run {
    struct request *req;
    struct metadata_request *ask;
    struct steps steps;
    bool all;         /* every topic, in the order of names */
    bool by_id;       /* some topic is asked for by its id: those without one are passed over, as in Kafka */
    bool failed;      /* no memory */
    int32_t asked_at; /* of the topics that the request names, the next to be created, then to be answered */
    struct countdown creating;
    struct metadata_response r;
    struct metadata_response_broker *nodes;
    int32_t topics_room; /* of r.topics.v */
    struct kview last;   /* of all topics the one before; null: none */
    struct metadata_response_topic *filling;
    int32_t filling_partitions; /* so many it has */
};
/* One topic to be created on the way. */
struct auto_create {
    struct catalog_change change;
    struct metadata_run *run;
    struct topic_override overrides[COORD_TOPIC_OVERRIDES]; /* of __consumer_offsets */
    char number[COORD_TOPIC_NUMBER_BYTES];
};

/* --- the reply --- */

static void fill_partition(const struct metadata_run *run, struct metadata_response_partition *p, int32_t index)
{
    struct topology_leader l = topology_leader_of(run->req->server, run->filling->topic_id.b, index);
    metadata_response_partition_init(p);
    p->partition_index = index;
    p->leader_id = l.node_id;
    p->leader_epoch = l.epoch;
    p->replica_nodes.v = p->isr_nodes.v = l.replicas;
    p->replica_nodes.n = p->isr_nodes.n = l.replica_count;
}

/* Goes on with the topic that is being filled. */
static void fill_partitions(struct metadata_run *run)
{
    struct metadata_response_topic *out = run->filling;
    for (int32_t i = 0; i < PARTITIONS_PER_UNIT && out->partitions.n < run->filling_partitions; i++) {
        int32_t index = out->partitions.n++;
        fill_partition(run, &out->partitions.v[index], index);
    }
    if (out->partitions.n == run->filling_partitions)
        run->filling = NULL;
}

static struct metadata_response_topic *add_reply_topic(struct metadata_run *run)
{
    struct metadata_response_topic *out = &run->r.topics.v[run->r.topics.n++];
    metadata_response_topic_init(out);
    if (run->ask->include_topic_authorized_operations)
        out->topic_authorized_operations = TOPIC_OPERATIONS;
    return out;
}

static void reply_found_topic(struct metadata_run *run, const struct topic *t)
{
    struct metadata_response_topic *out = add_reply_topic(run);
    out->name = request_copy(run->req, view_of(t->name));
    out->topic_id = uuid_of(t->id);
    out->is_internal = t->internal;
    out->partitions.v = request_alloc(run->req, (size_t)t->partitions * sizeof *out->partitions.v);
    out->partitions.n = 0;
    run->failed = run->failed || out->name.n < 0 || !out->partitions.v;
    run->last = out->name;
    run->filling = out;
    run->filling_partitions = t->partitions;
}

static void reply_missing_topic(struct metadata_run *run, const struct metadata_request_topic *ask)
{
    struct metadata_response_topic *out = add_reply_topic(run);
    if (!uuid_zero(ask->topic_id)) {
        metadata_response_topic_init(out);
        out->name.n = -1;
        out->topic_id = ask->topic_id;
        out->error_code = KERR_UNKNOWN_TOPIC_ID;
        return;
    }
    out->name = ask->name;
    if (!topic_name_legal(ask->name.at, (size_t)ask->name.n))
        out->error_code = KERR_INVALID_TOPIC_EXCEPTION;
    else
        out->error_code = KERR_UNKNOWN_TOPIC_OR_PARTITION;
}

static const struct topic *find_asked_topic(const struct request *req, const struct metadata_request_topic *ask)
{
    const struct catalog *c = server_catalog(req->server);
    if (!uuid_zero(ask->topic_id))
        return catalog_by_id(c, ask->topic_id.b);
    return ask->name.n < 0 ? NULL : catalog_by_name(c, ask->name.at, (size_t)ask->name.n);
}

/* False: all of them are answered. */
static bool reply_next_topic(struct metadata_run *run)
{
    if (run->r.topics.n == run->topics_room)
        return false;
    const struct metadata_request_topic *ask = run->all ? NULL : &run->ask->topics.v[run->asked_at++];
    const struct topic *t = run->all ? topic_after(run->req, run->last) : find_asked_topic(run->req, ask);
    if (ask && run->by_id && uuid_zero(ask->topic_id))
        run->topics_room--;
    else if (t)
        reply_found_topic(run, t);
    else if (ask)
        reply_missing_topic(run, ask);
    return t || ask;
}

static bool metadata_step(struct steps *s)
{
    struct metadata_run *run = container_of(s, struct metadata_run, steps);
    while (steps_go_on(s) && !run->failed) {
        if (run->filling) {
            fill_partitions(run);
        } else if (!reply_next_topic(run)) {
            REQUEST_REPLY_LARGE(run->req, metadata_response, &run->r);
            return false;
        }
        steps_spend(s, 1);
    }
    if (run->failed)
        request_fail(run->req, "metadata of too many topics for one reply");
    return !run->failed;
}

static void begin_metadata_reply(struct metadata_run *run)
{
    struct request *req = run->req;
    struct metadata_response *r = &run->r;
    uint32_t nodes = topology_node_count(req->server);
    metadata_response_init(r);
    run->asked_at = 0;
    run->topics_room = run->all ? (int32_t)server_catalog(req->server)->count : run->ask->topics.n;
    r->topics.v = request_alloc(req, (size_t)run->topics_room * sizeof *r->topics.v + 1);
    run->nodes = request_alloc(req, nodes * sizeof *run->nodes);
    run->failed = run->failed || !r->topics.v || !run->nodes;
    for (uint32_t i = 0; i < nodes && !run->failed; i++) {
        struct topology_node node = topology_node_at(request_conn(req), i);
        metadata_response_broker_init(&run->nodes[i]);
        run->nodes[i].node_id = node.id;
        run->nodes[i].host = node.host;
        run->nodes[i].port = node.port;
    }
    r->brokers.v = run->nodes;
    r->brokers.n = (int32_t)nodes;
    r->controller_id = topology_controller(req->server);
    r->cluster_id = view_of(req->server->root->cluster_id);
    if (run->ask->include_cluster_authorized_operations)
        r->cluster_authorized_operations = CLUSTER_OPERATIONS;
    steps_start(&req->server->steps, &run->steps, metadata_step);
}

/* --- topics that are created on the way --- */

static void created_all(struct countdown *c)
{ /* whatever came of it, the reply looks into the catalog */
    begin_metadata_reply(container_of(c, struct metadata_run, creating));
}

static void auto_created(struct catalog_change *c)
{
    countdown_done(&container_of(c, struct auto_create, change)->run->creating);
}

static bool is_auto_creatable(const struct request *req, const struct metadata_request_topic *ask)
{
    return uuid_zero(ask->topic_id) && ask->name.n >= 0 && topic_name_legal(ask->name.at, (size_t)ask->name.n) &&
           !is_reserved_topic(ask->name) && !find_asked_topic(req, ask);
}

static void create_missing_topic(struct metadata_run *run, const struct metadata_request_topic *ask)
{
    struct auto_create *a = request_zalloc(run->req, sizeof *a);
    char *name = request_text(run->req, ask->name);
    if (!a || !name) {
        run->failed = true;
        return;
    }
    a->run = run;
    const struct broker_config *config = server_config(run->req->server);
    if (group_topic_name(ask->name))
        group_topic_change(config, a->number, a->overrides, &a->change);
    else
        a->change = (struct catalog_change){
            .kind = CATALOG_CREATE, .name = name, .partitions = config->num_partitions, .automatic = true};
    a->change.done = auto_created;
    countdown_add(&run->creating);
    catalog_change_start(run->req->server->shard, &a->change);
}

static bool create_step(struct steps *s)
{
    enum { CREATE_UNITS = 20 };
    struct metadata_run *run = container_of(s, struct metadata_run, steps);
    while (steps_go_on(s) && !run->failed && run->asked_at < run->ask->topics.n) {
        const struct metadata_request_topic *ask = &run->ask->topics.v[run->asked_at++];
        bool creatable = is_auto_creatable(run->req, ask);
        if (creatable)
            create_missing_topic(run, ask);
        steps_spend(s, creatable ? CREATE_UNITS : 1);
    }
    bool more = !run->failed && run->asked_at < run->ask->topics.n;
    if (!more)
        countdown_done(&run->creating);
    return more;
}

/* --- the beginning --- */

static bool asks_all_topics(const struct request *req, const struct metadata_request *m)
{
    return m->topics.n < 0 || (req->version == 0 && m->topics.n == 0);
}

static bool asks_by_id(const struct metadata_request *m)
{
    for (int32_t i = 0; i < m->topics.n; i++)
        if (!uuid_zero(m->topics.v[i].topic_id))
            return true;
    return false;
}

/* Versions 10 and 11 had topic ids in the format before brokers could answer to them. Where any topic has an id, those without one
 * do not count, whatever they are called. */
static bool is_metadata_invalid(const struct request *req, const struct metadata_request *m)
{
    bool by_id = asks_by_id(m);
    for (int32_t i = 0; i < m->topics.n; i++) {
        const struct metadata_request_topic *t = &m->topics.v[i];
        if (req->version < 12 && (t->name.n < 0 || !uuid_zero(t->topic_id)))
            return true;
        if (t->name.n < 0 && !by_id)
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
    if (is_metadata_invalid(req, m)) {
        refuse_metadata(req, m);
        return;
    }
    struct metadata_run *run = request_zalloc(req, sizeof *run);
    if (!run) {
        request_fail(req, no_memory);
        return;
    }
    *run = (struct metadata_run){
        .req = req, .ask = m, .all = asks_all_topics(req, m), .by_id = asks_by_id(m), .last = {.n = -1}};
    countdown_begin(&run->creating, created_all);
    if (run->all || !m->allow_auto_topic_creation || !server_config(req->server)->auto_create_topics)
        countdown_done(&run->creating);
    else
        steps_start(&req->server->steps, &run->steps, create_step);
}
