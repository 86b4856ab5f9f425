/* CreateTopics. Each topic is one change of the catalog, begun in steps; the reply leaves when all are durable and applied on every
 * shard. timeout_ms is not looked at: a change takes as long as the disk takes.
 *
 * One node: a replication factor above 1 is taken as 1 (Connect and Schema Registry ask for 3), with a line in the log. */
#include "net/api/api.h"
#include "net/api/configs.h"
#include "net/api/reply.h"
#include "core/log.h"
#include "net/countdown.h"
#include "storage/uuid.h"
#include <stdio.h>

enum { WHY_BYTES = 256 };

/* --- CreateTopics --- */

struct create_run {
    struct request *req;
    struct create_topics_request *ask;
    struct create_topics_response r;
    struct steps steps;
    struct countdown changes;
    struct duplicates duplicates; /* which topics are named twice */
    int32_t at;                   /* the next one */
    bool comparing;               /* its settings: */
    struct duplicates superseded;
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
    countdown_done(&part->run->changes);
}

/* The partitions that a manual assignment means; only this node can be assigned, where it is the only one: of several, the topic's
 * id decides, which nobody knows yet. */
static enum kerr count_assigned_partitions(const struct request *req, const struct creatable_topic *t,
                                           const char **out_message, int32_t *out_partitions)
{
    int32_t n = t->assignments.n;
    if (topology_node_count(req->server) > 1) {
        *out_message =
            "Which core leads a partition follows from its topic's id (listeners.per.core=true): name a number "
            "of partitions instead of assignments.";
        return KERR_INVALID_REPLICA_ASSIGNMENT;
    }
    uint8_t *seen = request_zalloc((struct request *)(uintptr_t)req, (size_t)n);
    for (int32_t i = 0; i < n; i++) {
        const struct creatable_replica_assignment *a = &t->assignments.v[i];
        *out_message =
            "Manual assignments name this node's partitions 0 to n-1, each once, with this node as the only replica.";
        if (!seen || a->partition_index < 0 || a->partition_index >= n || seen[a->partition_index])
            return KERR_INVALID_REPLICA_ASSIGNMENT;
        if (a->broker_ids.n != 1 || a->broker_ids.v[0] != topology_own_id(req->server))
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
    *out_message = "Replication factor must be larger than 0, or -1 to use the default value.";
    if (t->replication_factor == 0 || t->replication_factor < -1)
        return KERR_INVALID_REPLICATION_FACTOR;
    *out_message = "Number of partitions was set to an invalid non-positive value.";
    if (t->num_partitions == 0 || t->num_partitions < -1)
        return KERR_INVALID_PARTITIONS;
    *out_message = "More partitions than one topic may have (100000).";
    if (t->num_partitions > TOPIC_PARTITIONS_MAX)
        return KERR_INVALID_PARTITIONS;
    *out_partitions = t->num_partitions == -1 ? server_config(req->server)->num_partitions : t->num_partitions;
    return KERR_NONE;
}

static enum kerr take_topic_override(struct request *req, const struct creatable_topic_config *in,
                                     struct topic_override *out, char *why)
{
    if (in->value.n < 0) {
        snprintf(why, WHY_BYTES, "Null value not supported for topic configs.");
        return KERR_INVALID_CONFIG;
    }
    *out = (struct topic_override){request_text(req, in->name), request_text(req, in->value)};
    if (out->name && out->value)
        return topic_override_check(out->name, out->value, why);
    snprintf(why, WHY_BYTES, "%s", no_memory);
    return KERR_UNKNOWN_SERVER_ERROR;
}

static enum kerr take_topic_overrides(struct create_run *run, const struct creatable_topic *t,
                                      struct topic_override **out_overrides, uint32_t *out_count,
                                      const char **out_message)
{
    struct request *req = run->req;
    struct topic_override *v = request_alloc(req, (size_t)t->configs.n * sizeof *v + 1);
    char *why = request_alloc(req, WHY_BYTES);
    const uint8_t *superseded = run->superseded.of;
    uint32_t count = 0;
    enum kerr error = KERR_NONE;
    *out_message = no_memory;
    if (!v || !why || !superseded)
        return KERR_UNKNOWN_SERVER_ERROR;
    *out_message = why;
    for (int32_t i = 0; i < t->configs.n && !error; i++)
        if (superseded[t->configs.n - 1 - i] != DUPLICATE_LATER || t->configs.v[i].value.n < 0) /* null never */
            error = take_topic_override(req, &t->configs.v[i], &v[count++], why);
    *out_overrides = v;
    *out_count = count;
    return error ? error : topic_overrides_check(v, count, why);
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
    countdown_add(&run->changes);
    catalog_change_start(run->req->server->shard, &part->change);
}

static enum kerr judge_new_name(const struct request *req, struct kview name, const char **out_message)
{
    *out_message = "A topic of this name is kept for the cluster itself.";
    if (is_reserved_topic(name))
        return KERR_INVALID_REQUEST;
    *out_message = topic_name_rule;
    if (!topic_name_legal(name.at, (size_t)name.n))
        return KERR_INVALID_TOPIC_EXCEPTION;
    *out_message = "A topic with this name already exists.";
    if (topic_named(req, name))
        return KERR_TOPIC_ALREADY_EXISTS;
    return KERR_NONE;
}

static void create_topic(struct create_run *run, const struct creatable_topic *t, struct creatable_topic_result *out)
{
    const char *message = NULL;
    int32_t partitions = 0;
    struct topic_override *overrides = NULL;
    uint32_t count = 0;
    enum kerr error = judge_new_name(run->req, t->name, &message);
    if (!error)
        error = take_topic_overrides(run, t, &overrides, &count, &message);
    if (!error)
        error = check_create_counts(run->req, t, &message, &partitions);
    if (error) {
        refuse_create(out, error, message);
    } else if (run->ask->validate_only) {
        uint8_t id[16];
        uuid_random(&run->req->server->shard->rng, id); /* no topic's: Kafka makes one up, too */
        out->topic_id = uuid_of(id);
        describe_created_topic(run, out, partitions, overrides, count);
    } else {
        create_checked_topic(run, t, partitions, overrides, count, out);
    }
}

static const struct kview *list_names_to_create(struct request *req, const struct create_topics_request *m)
{
    struct kview *names = request_alloc(req, (size_t)m->topics.n * sizeof *names + 1);
    for (int32_t i = 0; names && i < m->topics.n; i++)
        names[i] = m->topics.v[i].name;
    return names;
}

static void create_next_topic(struct create_run *run)
{
    const struct creatable_topic *t = &run->ask->topics.v[run->at];
    uint8_t duplicate = run->duplicates.of[run->at++];
    if (duplicate == DUPLICATE_LATER) /* answered once, as in Kafka */
        return;
    struct creatable_topic_result *out = &run->r.topics.v[run->r.topics.n++];
    creatable_topic_result_init(out);
    out->name = t->name;
    if (duplicate)
        refuse_create(out, KERR_INVALID_REQUEST, "The request names this topic more than once.");
    else
        create_topic(run, t, out);
}

/* The last first. NULL: no memory. */
static const struct kview *list_setting_names(struct request *req, const struct creatable_topic *t)
{
    int32_t n = t->configs.n;
    struct kview *names = request_alloc(req, (size_t)n * sizeof *names + 1);
    for (int32_t i = 0; names && i < n; i++)
        names[i] = t->configs.v[n - 1 - i].name;
    return names;
}

/* Of settings that are named twice the last one counts: goes on with finding the others of the next topic. False: all are found. */
static bool compare_next_setting(struct create_run *run)
{
    const struct creatable_topic *t = &run->ask->topics.v[run->at];
    if (!run->comparing) {
        duplicates_begin(&run->superseded, run->req, list_setting_names(run->req, t), t->configs.n);
        run->comparing = true;
    }
    run->comparing = duplicates_next(&run->superseded);
    return run->comparing;
}

static bool create_topics_step(struct steps *s)
{
    enum { CREATE_UNITS = 20 };
    struct create_run *run = container_of(s, struct create_run, steps);
    while (steps_go_on(s) && run->at < run->ask->topics.n) {
        if (compare_next_setting(run)) {
            steps_spend(s, 1);
            continue;
        }
        steps_spend(s, CREATE_UNITS);
        create_next_topic(run);
    }
    bool more = run->at < run->ask->topics.n;
    if (!more)
        countdown_done(&run->changes);
    return more;
}

static void reply_create_topics(struct countdown *c)
{
    struct create_run *run = container_of(c, struct create_run, changes);
    REQUEST_REPLY_LARGE(run->req, create_topics_response, &run->r);
}

static void begin_creations(struct duplicates *d)
{
    struct create_run *run = container_of(d, struct create_run, duplicates);
    if (d->of)
        steps_start(&d->req->server->steps, &run->steps, create_topics_step);
    else
        request_fail(d->req, no_memory);
}

void create_topics_run(struct request *req)
{
    struct create_topics_request *m = REQUEST_DECODE(req, create_topics_request);
    if (!m)
        return;
    struct create_run *run = request_zalloc(req, sizeof *run);
    struct creatable_topic_result *out = request_alloc(req, (size_t)m->topics.n * sizeof *out + 1);
    if (!run || !out) {
        request_fail(req, no_memory);
        return;
    }
    *run = (struct create_run){.req = req, .ask = m};
    create_topics_response_init(&run->r);
    run->r.topics.v = out;
    countdown_begin(&run->changes, reply_create_topics);
    duplicates_find(&run->duplicates, req, list_names_to_create(req, m), m->topics.n, begin_creations);
}
