/* CreateTopics and DeleteTopics. Each topic is one change of the catalog; the reply leaves when all are durable and applied on
 * every shard. timeout_ms is not looked at: a change takes as long as the disk takes.
 *
 * One node: a replication factor above 1 is taken as 1 (Connect and Schema Registry ask for 3), with a line in the log. */
#include "net/api/api.h"
#include "net/api/configs.h"
#include "net/api/reply.h"
#include "core/log.h"

/* --- CreateTopics --- */

struct create_run {
    struct request *req;
    struct create_topics_request *ask;
    struct create_topics_response *r;
    uint32_t waiting;
};
struct create_part {
    struct catalog_change change;
    struct create_run *run;
    struct creatable_topic_result *out;
};

static void refuse_create(struct creatable_topic_result *out, enum kerr error, const char *message)
{
    out->error_code = (int16_t)error;
    out->error_message = view_of(message);
}

static bool describe_created_configs(struct create_run *run, struct creatable_topic_result *out,
                                     const struct topic_override *overrides, uint32_t count)
{
    struct config_list list;
    if (!configs_of_topic(run->req, overrides, count, &list))
        return false;
    out->configs.v = request_alloc(run->req, list.count * sizeof *out->configs.v);
    if (!out->configs.v)
        return false;
    out->configs.n = (int32_t)list.count;
    for (uint32_t i = 0; i < list.count; i++) {
        creatable_topic_configs_init(&out->configs.v[i]);
        out->configs.v[i].name = view_of(list.v[i].name);
        out->configs.v[i].value = request_copy(run->req, view_of(list.v[i].value)); /* outlives the topic */
        out->configs.v[i].config_source = (int8_t)list.v[i].source;
    }
    return true;
}

static void create_part_over(struct create_run *run)
{
    if (--run->waiting == 0)
        REQUEST_REPLY(run->req, create_topics_response, run->r);
}

static void describe_created_topic(struct create_run *run, struct creatable_topic_result *out, int32_t partitions,
                                   const struct topic_override *overrides, uint32_t count)
{
    out->num_partitions = partitions;
    out->replication_factor = 1;
    out->error_message = view_of(NULL);
    if (run->req->version >= 5 && !describe_created_configs(run, out, overrides, count))
        out->configs.n = 0; /* created all the same: the client can describe it */
}

static void topic_created(struct catalog_change *c)
{
    struct create_part *part = container_of(c, struct create_part, change);
    if (c->error) {
        refuse_create(part->out, c->error, c->message ? c->message : kerr_name(c->error));
    } else {
        part->out->topic_id = uuid_of(c->topic->id);
        describe_created_topic(part->run, part->out, c->topic->partitions, c->topic->overrides,
                               c->topic->override_count);
    }
    create_part_over(part->run);
}

/* The partitions that a manual assignment means; only [this node] can be assigned. */
static enum kerr count_assigned_partitions(const struct request *req, const struct creatable_topic *t,
                                           const char **out_message, int32_t *out_partitions)
{
    int32_t n = t->assignments.n;
    uint8_t *seen = request_zalloc((struct request *)(uintptr_t)req, (size_t)n);
    for (int32_t i = 0; i < n; i++) {
        const struct creatable_replica_assignment *a = &t->assignments.v[i];
        *out_message =
            "Manual assignments name this node's partitions 0 to n-1, each once, with this node as the only replica.";
        if (!seen || a->partition_index < 0 || a->partition_index >= n || seen[a->partition_index])
            return KERR_INVALID_REPLICA_ASSIGNMENT;
        if (a->broker_ids.n != 1 || a->broker_ids.v[0] != node_id(req))
            return KERR_INVALID_REPLICA_ASSIGNMENT;
        seen[a->partition_index] = 1;
    }
    *out_partitions = n;
    return KERR_NONE;
}

static enum kerr check_create_counts(const struct request *req, const struct creatable_topic *t,
                                     const char **out_message, int32_t *out_partitions)
{
    if (t->assignments.n > 0) {
        *out_message = "Both numPartitions or replicationFactor and replicasAssignments were set. Both cannot be used "
                       "at the same time.";
        if (t->num_partitions != -1 || t->replication_factor != -1)
            return KERR_INVALID_REQUEST;
        return count_assigned_partitions(req, t, out_message, out_partitions);
    }
    *out_message = "Number of partitions was set to an invalid non-positive value.";
    if (t->num_partitions == 0 || t->num_partitions < -1)
        return KERR_INVALID_PARTITIONS;
    *out_message = "More partitions than one topic may have (100000).";
    if (t->num_partitions > TOPIC_PARTITIONS_MAX)
        return KERR_INVALID_PARTITIONS;
    *out_message = "Replication factor must be larger than 0, or -1 to use the default value.";
    if (t->replication_factor == 0 || t->replication_factor < -1)
        return KERR_INVALID_REPLICATION_FACTOR;
    *out_partitions = t->num_partitions == -1 ? server_config(req->server)->num_partitions : t->num_partitions;
    return KERR_NONE;
}

static enum kerr take_topic_overrides(struct request *req, const struct creatable_topic *t,
                                      struct topic_override **out_overrides, const char **out_message)
{
    struct topic_override *v = request_alloc(req, (size_t)t->configs.n * sizeof *v + 1);
    char *why = request_alloc(req, 256);
    *out_message = "out of memory";
    for (int32_t i = 0; v && why && i < t->configs.n; i++) {
        *out_message = "Null value not supported for topic configs.";
        if (t->configs.v[i].value.n < 0)
            return KERR_INVALID_CONFIG;
        v[i] =
            (struct topic_override){request_text(req, t->configs.v[i].name), request_text(req, t->configs.v[i].value)};
        *out_message = "out of memory";
        if (!v[i].name || !v[i].value)
            return KERR_INVALID_CONFIG;
        enum kerr error = topic_override_check(v[i].name, v[i].value, why);
        *out_message = why;
        if (error)
            return error;
    }
    if (!v || !why)
        return KERR_INVALID_CONFIG;
    *out_overrides = v;
    *out_message = why;
    return topic_overrides_check(v, (uint32_t)t->configs.n, why);
}

static void create_checked_topic(struct create_run *run, const struct creatable_topic *t, int32_t partitions,
                                 struct topic_override *overrides, uint32_t count, struct creatable_topic_result *out)
{
    struct create_part *part = request_zalloc(run->req, sizeof *part);
    char *name = request_text(run->req, t->name);
    if (!part || !name) {
        refuse_create(out, KERR_UNKNOWN_SERVER_ERROR, "out of memory");
        return;
    }
    if (t->replication_factor > 1)
        log_info("replication factor taken as 1", "topic=%s asked=%d why=\"one node\"", name, t->replication_factor);
    part->run = run;
    part->out = out;
    part->change = (struct catalog_change){.kind = CATALOG_CREATE,
                                           .name = name,
                                           .partitions = partitions,
                                           .overrides = overrides,
                                           .override_count = count,
                                           .done = topic_created};
    run->waiting++;
    catalog_change_start(run->req->server->shard, &part->change);
}

static void create_topic(struct create_run *run, const struct creatable_topic *t, struct creatable_topic_result *out)
{
    const char *message = NULL;
    int32_t partitions = 0;
    struct topic_override *overrides = NULL;
    struct catalog *c = server_catalog(run->req->server);
    enum kerr error = check_create_counts(run->req, t, &message, &partitions);
    if (!error)
        error = take_topic_overrides(run->req, t, &overrides, &message);
    if (!error && !topic_name_legal(t->name.at, (size_t)t->name.n)) {
        error = KERR_INVALID_TOPIC_EXCEPTION;
        message = topic_name_rule;
    }
    if (!error && catalog_by_name(c, t->name.at, (size_t)t->name.n)) {
        error = KERR_TOPIC_ALREADY_EXISTS;
        message = "A topic with this name already exists.";
    }
    if (error) {
        refuse_create(out, error, message);
        return;
    }
    uint32_t count = (uint32_t)t->configs.n;
    if (run->ask->validate_only)
        describe_created_topic(run, out, partitions, overrides, count);
    else
        create_checked_topic(run, t, partitions, overrides, count, out);
}

static const uint8_t *find_duplicate_creations(struct request *req, const struct create_topics_request *m)
{
    struct kview *names = request_alloc(req, (size_t)m->topics.n * sizeof *names + 1);
    for (int32_t i = 0; names && i < m->topics.n; i++)
        names[i] = m->topics.v[i].name;
    return names ? find_duplicates(req, names, m->topics.n) : NULL;
}

void create_topics_run(struct request *req)
{
    struct create_topics_request *m = REQUEST_DECODE(req, create_topics_request);
    if (!m)
        return;
    struct create_run *run = request_zalloc(req, sizeof *run);
    struct create_topics_response *r = request_zalloc(req, sizeof *r);
    struct creatable_topic_result *out = request_alloc(req, (size_t)m->topics.n * sizeof *out + 1);
    const uint8_t *duplicates = find_duplicate_creations(req, m);
    if (!run || !r || !out || !duplicates) {
        request_fail(req, "out of memory");
        return;
    }
    create_topics_response_init(r);
    r->topics.v = out;
    *run = (struct create_run){.req = req, .ask = m, .r = r, .waiting = 1};
    r->topics.n = m->topics.n;
    for (int32_t i = 0; i < m->topics.n; i++) {
        creatable_topic_result_init(&out[i]);
        out[i].name = m->topics.v[i].name;
        if (duplicates[i])
            refuse_create(&out[i], KERR_INVALID_REQUEST, "The request names this topic more than once.");
        else
            create_topic(run, &m->topics.v[i], &out[i]);
    }
    create_part_over(run);
}

/* --- DeleteTopics --- */

struct delete_run {
    struct request *req;
    struct delete_topics_response *r;
    uint32_t waiting;
};
struct delete_part {
    struct catalog_change change;
    struct delete_run *run;
    struct deletable_topic_result *out;
};

static void delete_topics_over(struct delete_run *run)
{
    if (--run->waiting == 0)
        REQUEST_REPLY(run->req, delete_topics_response, run->r);
}

static void topic_deleted(struct catalog_change *c)
{
    struct delete_part *part = container_of(c, struct delete_part, change);
    part->out->error_code = (int16_t)c->error;
    part->out->error_message = view_of(c->message);
    delete_topics_over(part->run);
}

static enum kerr judge_topic_delete(const struct request *req, struct kview name, struct kuuid id,
                                    const struct topic *t)
{
    bool by_id = !uuid_zero(id);
    if (!server_config(req->server)->delete_topic_enable)
        return req->version < 3 ? KERR_INVALID_REQUEST : KERR_TOPIC_DELETION_DISABLED;
    if (by_id == (name.n >= 0))
        return KERR_INVALID_REQUEST; /* both, or neither */
    if (!t)
        return by_id ? KERR_UNKNOWN_TOPIC_ID : KERR_UNKNOWN_TOPIC_OR_PARTITION;
    if (t->internal) /* Kafka deletes it, and every group with it */
        return KERR_INVALID_TOPIC_EXCEPTION;
    return KERR_NONE;
}

static void start_topic_delete(struct delete_run *run, struct kview name, struct kuuid id,
                               struct deletable_topic_result *out)
{
    struct catalog *c = server_catalog(run->req->server);
    const struct topic *t = name.n >= 0 ? catalog_by_name(c, name.at, (size_t)name.n) : catalog_by_id(c, id.b);
    deletable_topic_result_init(out);
    out->name = name;
    out->topic_id = id;
    out->error_code = (int16_t)judge_topic_delete(run->req, name, id, t);
    if (out->error_code)
        return;
    struct delete_part *part = request_zalloc(run->req, sizeof *part);
    if (!part) {
        out->error_code = KERR_UNKNOWN_SERVER_ERROR;
        return;
    }
    out->name = name.n >= 0 ? name : request_copy(run->req, view_of(t->name));
    out->topic_id = uuid_of(t->id);
    part->run = run;
    part->out = out;
    part->change = (struct catalog_change){.kind = CATALOG_DELETE, .done = topic_deleted};
    memcpy(part->change.topic_id, t->id, sizeof part->change.topic_id);
    run->waiting++;
    catalog_change_start(run->req->server->shard, &part->change);
}

void delete_topics_run(struct request *req)
{
    struct delete_topics_request *m = REQUEST_DECODE(req, delete_topics_request);
    if (!m)
        return;
    int32_t n = req->version < 6 ? m->topic_names.n : m->topics.n;
    struct delete_run *run = request_zalloc(req, sizeof *run);
    struct delete_topics_response *r = request_zalloc(req, sizeof *r);
    struct deletable_topic_result *out = request_alloc(req, (size_t)n * sizeof *out + 1);
    if (!run || !r || !out) {
        request_fail(req, "out of memory");
        return;
    }
    delete_topics_response_init(r);
    r->responses.v = out;
    r->responses.n = n;
    *run = (struct delete_run){.req = req, .r = r, .waiting = 1};
    static const struct kuuid no_id;
    for (int32_t i = 0; i < n; i++) {
        bool old = req->version < 6;
        start_topic_delete(run, old ? m->topic_names.v[i] : m->topics.v[i].name, old ? no_id : m->topics.v[i].topic_id,
                           &out[i]);
    }
    delete_topics_over(run);
}
