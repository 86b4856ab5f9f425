/* DeleteRecords: moves the start of partitions forward. Each partition is asked on its owner, and answered when its new start
 * is on stable media, which Kafka does not promise. A partition that is named twice is trimmed twice and answered twice.
 * timeout_ms is not looked at: it takes as long as the disk takes. */
#include "net/api/asking_topics.h"
#include "net/api/reply.h"

enum { NO_WATERMARK = -1 };

struct trim_run {
    struct asking_topics walk;
    const struct delete_records_request *ask;
    struct delete_records_response r;
    enum kerr refused; /* all partitions of the topic */
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

static struct trim_run *trim_run_of(const struct asking_topics *walk)
{
    return container_of(walk, struct trim_run, walk);
}

static struct asked_topic trimmed_topic(const struct asking_topics *walk)
{
    const struct delete_records_topic *ask = &trim_run_of(walk)->ask->topics.v[walk->topic];
    return (struct asked_topic){ask->name, ask->partitions.n};
}

static void begin_trimmed_topic(struct asking_topics *walk, const struct topic *t)
{
    struct trim_run *run = trim_run_of(walk);
    const struct delete_records_topic *ask = &run->ask->topics.v[walk->topic];
    struct delete_records_topic_result *out = &run->r.topics.v[walk->topic];
    run->refused = t ? judge_topic_trim(walk->asking.req, t) : KERR_NONE;
    delete_records_topic_result_init(out);
    out->name = ask->name;
    out->partitions.v = asking_array(walk, ask->partitions.n, sizeof *out->partitions.v);
    out->partitions.n = ask->partitions.n;
}

/* As in Kafka what is not there is that first, also where the topic is refused. */
static void start_trim(struct asking_topics *walk, const struct topic *t)
{
    struct trim_run *run = trim_run_of(walk);
    const struct delete_records_partition *ask = &run->ask->topics.v[walk->topic].partitions.v[walk->partition];
    struct delete_records_partition_result *out = &run->r.topics.v[walk->topic].partitions.v[walk->partition];
    bool there = topic_has_partition(t, ask->partition_index);
    delete_records_partition_result_init(out);
    out->partition_index = ask->partition_index;
    out->low_watermark = NO_WATERMARK;
    out->error_code = (int16_t)(there ? run->refused : KERR_UNKNOWN_TOPIC_OR_PARTITION);
    if (out->error_code)
        return;
    struct trim_part *p = asking_part(walk, sizeof *p, &out->error_code);
    if (!p)
        return;
    p->out = out;
    p->trim = (struct log_trim){.before = ask->offset, .done = partition_trimmed};
    list_init(&p->trim.link);
    asking_ask(&walk->asking, &p->asked, t, ask->partition_index, trim_partition);
}

static void reply_trimmed(struct asking_topics *walk)
{
    REQUEST_REPLY_LARGE(walk->asking.req, delete_records_response, &trim_run_of(walk)->r);
}

static const struct asking_kind trim_kind = {
    .topic = trimmed_topic, .begin = begin_trimmed_topic, .ask = start_trim, .reply = reply_trimmed};

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
    run->r.topics.n = m->topics.n;
    asking_topics_begin(&run->walk, req, &trim_kind, m->topics.n);
}
