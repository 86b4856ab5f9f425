/* DeleteRecords: moves the start of partitions forward. Each partition is asked on its owner, and answered when its new start
 * is on stable media, which Kafka does not promise. A partition that is named twice is trimmed twice and answered twice.
 * timeout_ms is not looked at: it takes as long as the disk takes. */
#include "net/api/api.h"
#include "net/api/reply.h"

enum { NO_WATERMARK = -1 };

struct delete_run {
    struct request *req;
    struct delete_records_response r;
    uint32_t waiting; /* partitions without an answer, plus one while they start */
};
struct delete_part {
    struct part_call call;
    struct delete_run *run;
    struct delete_records_partition_result *out;
    struct log_trim trim;
};

static void trim_part_over(struct delete_run *run)
{
    if (--run->waiting == 0)
        REQUEST_REPLY(run->req, delete_records_response, &run->r);
}

/* --- on the owner --- */

static void partition_trimmed(struct log_trim *t)
{
    struct delete_part *p = container_of(t, struct delete_part, trim);
    p->out->error_code = (int16_t)t->error;
    if (!t->error)
        p->out->low_watermark = t->low_watermark;
    part_call_done(&p->call);
}

static void trim_partition(struct part_call *c, struct partition *partition)
{
    struct delete_part *p = container_of(c, struct delete_part, call);
    if (partition) {
        partition_trim(partition, &p->trim);
        return;
    }
    p->out->error_code = KERR_UNKNOWN_TOPIC_OR_PARTITION;
    part_call_done(c);
}

/* --- at home --- */

static void trim_answered(struct part_call *c)
{
    trim_part_over(container_of(c, struct delete_part, call)->run);
}

static bool topic_drops_records(const struct request *req, const struct topic *t)
{
    struct topic_value policy;
    topic_value_get(topic_key_find("cleanup.policy"), t->overrides, t->override_count, server_config(req->server),
                    &policy);
    return config_list_has(policy.value, "delete");
}

/* Of all its partitions: the broker's own topics, and what compaction alone may thin out. */
static enum kerr judge_topic_trim(const struct request *req, const struct topic *t)
{
    if (t->internal)
        return KERR_INVALID_TOPIC_EXCEPTION;
    return topic_drops_records(req, t) ? KERR_NONE : KERR_POLICY_VIOLATION;
}

/* As in Kafka what is not there is that first, also where the topic is refused. */
static void start_trim(struct delete_run *run, const struct topic *t, enum kerr refused,
                       const struct delete_records_partition *ask, struct delete_records_partition_result *out)
{
    bool there = t && ask->partition_index >= 0 && ask->partition_index < t->partitions;
    delete_records_partition_result_init(out);
    out->partition_index = ask->partition_index;
    out->low_watermark = NO_WATERMARK;
    out->error_code = (int16_t)(there ? refused : KERR_UNKNOWN_TOPIC_OR_PARTITION);
    if (out->error_code)
        return;
    struct delete_part *p = request_zalloc(run->req, sizeof *p);
    if (!p) {
        out->error_code = KERR_KAFKA_STORAGE_ERROR;
        return;
    }
    p->run = run;
    p->out = out;
    p->trim = (struct log_trim){.before = ask->offset, .done = partition_trimmed};
    list_init(&p->trim.link);
    memcpy(p->call.topic_id, t->id, sizeof p->call.topic_id);
    p->call.partition = ask->partition_index;
    p->call.ask = trim_partition;
    p->call.answered = trim_answered;
    run->waiting++;
    part_call_start(run->req->server->shard, &p->call);
}

/* False: no memory. */
static bool trim_topic(struct delete_run *run, const struct delete_records_topic *ask,
                       struct delete_records_topic_result *out)
{
    const struct topic *t = catalog_by_name(server_catalog(run->req->server), ask->name.at, (size_t)ask->name.n);
    enum kerr refused = t ? judge_topic_trim(run->req, t) : KERR_NONE;
    delete_records_topic_result_init(out);
    out->name = ask->name;
    out->partitions.v = request_alloc(run->req, (size_t)ask->partitions.n * sizeof *out->partitions.v + 1);
    if (!out->partitions.v)
        return false;
    out->partitions.n = ask->partitions.n;
    for (int32_t i = 0; i < ask->partitions.n; i++)
        start_trim(run, t, refused, &ask->partitions.v[i], &out->partitions.v[i]);
    return true;
}

void delete_records_run(struct request *req)
{
    struct delete_records_request *m = REQUEST_DECODE(req, delete_records_request);
    if (!m)
        return;
    struct delete_run *run = request_zalloc(req, sizeof *run);
    struct delete_records_topic_result *topics = request_alloc(req, (size_t)m->topics.n * sizeof *topics + 1);
    if (!run || !topics) {
        request_fail(req, "too many topics for one request");
        return;
    }
    *run = (struct delete_run){.req = req, .waiting = 1};
    delete_records_response_init(&run->r);
    run->r.topics.v = topics;
    for (int32_t i = 0; i < m->topics.n; i++)
        if (trim_topic(run, &m->topics.v[i], &topics[run->r.topics.n]))
            run->r.topics.n++;
    trim_part_over(run);
}
