/* DeleteRecords: moves the start of partitions forward. Each partition is asked on its owner, and answered when its new start
 * is on stable media, which Kafka does not promise. A partition that is named twice is trimmed twice and answered twice.
 * timeout_ms is not looked at: it takes as long as the disk takes. */
#include "net/api/asking.h"
#include "net/api/reply.h"

enum { NO_WATERMARK = -1 };

struct trim_run {
    struct asking asking;
    const struct delete_records_request *ask;
    struct delete_records_response r;
    struct asking_place at;
    enum kerr refused; /* all partitions of the topic */
    bool failed;       /* no memory */
};
struct trim_part {
    struct asked_partition asked;
    struct delete_records_partition_result *out;
    struct log_trim trim;
};

/* --- on the owner --- */

static void partition_trimmed(struct log_trim *t)
{
    struct trim_part *p = container_of(t, struct trim_part, trim);
    p->out->error_code = (int16_t)t->error;
    if (!t->error)
        p->out->low_watermark = t->low_watermark;
    part_call_done(&p->asked.call);
}

static void trim_partition(struct part_call *c, struct partition *partition)
{
    struct trim_part *p = container_of(c, struct trim_part, asked.call);
    if (partition) {
        partition_trim(partition, &p->trim);
        return;
    }
    p->out->error_code = KERR_UNKNOWN_TOPIC_OR_PARTITION;
    part_call_done(c);
}

/* --- at home --- */

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
static void start_trim(struct trim_run *run, const struct topic *t, const struct delete_records_partition *ask,
                       struct delete_records_partition_result *out)
{
    bool there = t && ask->partition_index >= 0 && ask->partition_index < t->partitions;
    delete_records_partition_result_init(out);
    out->partition_index = ask->partition_index;
    out->low_watermark = NO_WATERMARK;
    out->error_code = (int16_t)(there ? run->refused : KERR_UNKNOWN_TOPIC_OR_PARTITION);
    if (out->error_code)
        return;
    struct trim_part *p = request_zalloc(run->asking.req, sizeof *p);
    if (!p) {
        out->error_code = KERR_KAFKA_STORAGE_ERROR;
        return;
    }
    p->out = out;
    p->trim = (struct log_trim){.before = ask->offset, .done = partition_trimmed};
    list_init(&p->trim.link);
    asking_ask(&run->asking, &p->asked, t, ask->partition_index, trim_partition);
}

static struct delete_records_topic_result *
trim_topic_result(struct trim_run *run, const struct delete_records_topic *ask, const struct topic *t)
{
    struct delete_records_topic_result *out = &run->r.topics.v[run->at.topic];
    if (run->at.partition > 0)
        return out;
    run->refused = t ? judge_topic_trim(run->asking.req, t) : KERR_NONE;
    delete_records_topic_result_init(out);
    out->name = ask->name;
    out->partitions.v = request_alloc(run->asking.req, (size_t)ask->partitions.n * sizeof *out->partitions.v + 1);
    run->failed = !out->partitions.v;
    out->partitions.n = ask->partitions.n;
    run->r.topics.n = run->at.topic + 1;
    return out;
}

/* One partition, or the end of a topic. */
static bool trim_next(struct asking *asking)
{
    struct trim_run *run = container_of(asking, struct trim_run, asking);
    if (run->at.topic == run->ask->topics.n)
        return false;
    const struct delete_records_topic *ask = &run->ask->topics.v[run->at.topic];
    const struct catalog *c = server_catalog(asking->req->server);
    const struct topic *t = catalog_by_name(c, ask->name.at, (size_t)ask->name.n);
    struct delete_records_topic_result *out = trim_topic_result(run, ask, t);
    if (run->failed)
        return false;
    int32_t i = run->at.partition;
    if (i == ask->partitions.n) {
        run->at = (struct asking_place){.topic = run->at.topic + 1};
        return true;
    }
    start_trim(run, t, &ask->partitions.v[i], &out->partitions.v[i]);
    run->at.partition++;
    return true;
}

static void trim_over(struct asking *asking)
{
    struct trim_run *run = container_of(asking, struct trim_run, asking);
    if (run->failed)
        request_fail(asking->req, no_memory);
    else
        REQUEST_REPLY_LARGE(asking->req, delete_records_response, &run->r);
}

void delete_records_run(struct request *req)
{
    struct delete_records_request *m = REQUEST_DECODE(req, delete_records_request);
    if (!m)
        return;
    struct trim_run *run = request_zalloc(req, sizeof *run);
    struct delete_records_topic_result *topics = request_alloc(req, (size_t)m->topics.n * sizeof *topics + 1);
    if (!run || !topics) {
        request_fail(req, no_memory);
        return;
    }
    run->ask = m;
    delete_records_response_init(&run->r);
    run->r.topics.v = topics;
    asking_begin(&run->asking, req, trim_next, trim_over);
}
