/* ListOffsets and OffsetForLeaderEpoch: questions to partitions, each answered on its owner. */
#include "net/api/api.h"
#include "net/api/reply.h"

/* ListOffsets' special times. */
enum {
    TIME_LATEST = -1,
    TIME_EARLIEST = -2,
    TIME_MAX = -3,             /* KIP-734, v7: the record with the largest timestamp */
    TIME_EARLIEST_LOCAL = -4,  /* KIP-405, v8 */
    TIME_LATEST_TIERED = -5,   /* KIP-1005, v9 */
    TIME_EARLIEST_PENDING = -6 /* KIP-1023, v11 */
};

/* --- what both have in common --- */

/* A request with its questions under way; the last answer sends the reply. */
struct asking {
    struct request *req;
    void (*reply)(struct asking *run);
    uint32_t waiting; /* questions without an answer, plus one while they are started */
};
/* A question to one partition. `answer` runs on its owner and ends with part_call_done. */
struct question {
    struct part_call call;
    struct asking *run;
    int32_t current_leader_epoch;
    enum kerr not_recovered; /* the answer while the partition's ends are not known */
    int16_t *out_error;
    void (*answer)(struct question *q, struct partition *p, const struct partition_facts *f);
};

static void question_over(struct asking *run)
{
    if (--run->waiting == 0)
        run->reply(run);
}

static void question_answered(struct part_call *c)
{
    question_over(container_of(c, struct question, call)->run);
}

static void ask_question(struct part_call *c, struct partition *p)
{
    struct question *q = container_of(c, struct question, call);
    struct partition_facts f = {0};
    enum kerr error = KERR_UNKNOWN_TOPIC_OR_PARTITION;
    if (p) {
        f = partition_facts(p);
        error = f.offline ? KERR_KAFKA_STORAGE_ERROR : leader_epoch_check(q->current_leader_epoch, f.leader_epoch);
        if (!error && f.recovering)
            error = q->not_recovered;
    }
    *q->out_error = (int16_t)error;
    if (error)
        part_call_done(c);
    else
        q->answer(q, p, &f);
}

/* `bytes` of a struct that begins with its question; NULL: no memory, the client is told to ask again. */
static void *new_question(struct asking *run, size_t bytes, int16_t *out_error)
{
    struct question *q = request_zalloc(run->req, bytes);
    if (!q) {
        *out_error = KERR_KAFKA_STORAGE_ERROR;
        return NULL;
    }
    q->run = run;
    q->out_error = out_error;
    q->not_recovered = KERR_NOT_LEADER_OR_FOLLOWER;
    return q;
}

static void start_question(struct question *q, const struct topic *t, int32_t partition)
{
    memcpy(q->call.topic_id, t->id, sizeof q->call.topic_id);
    q->call.partition = partition;
    q->call.ask = ask_question;
    q->call.answered = question_answered;
    q->run->waiting++;
    part_call_start(q->run->req->server->shard, &q->call);
}

static const struct topic *find_topic_named(const struct request *req, struct kview name)
{
    return catalog_by_name(server_catalog(req->server), name.at, (size_t)name.n);
}

/* --- ListOffsets --- */

struct list_run {
    struct asking asking;
    struct list_offsets_response r;
};
struct list_part {
    struct question question;
    struct list_offsets_partition_response *out;
    int64_t timestamp;
    struct time_lookup lookup;
};

static void reply_list_offsets(struct asking *run)
{
    REQUEST_REPLY(run->req, list_offsets_response, &container_of(run, struct list_run, asking)->r);
}

static void time_looked_up(struct time_lookup *l)
{
    struct list_part *part = container_of(l, struct list_part, lookup);
    part->out->error_code = (int16_t)l->error;
    if (!l->error) {
        part->out->offset = l->found_offset;
        part->out->timestamp = l->found_timestamp;
        part->out->leader_epoch = l->found_epoch;
    }
    part_call_done(&part->question.call);
}

static void look_up_time(struct list_part *part, struct partition *p)
{
    part->lookup =
        (struct time_lookup){.timestamp = part->timestamp, .max = part->timestamp == TIME_MAX, .done = time_looked_up};
    if (partition_lookup(p, &part->lookup))
        time_looked_up(&part->lookup);
}

/* The epoch of what stands at an end of the log: the current one at the end, the first record's at the start. */
static void answer_log_end(struct list_part *part, const struct partition *p, int64_t offset)
{
    part->out->offset = offset;
    part->out->leader_epoch = partition_epoch_at(p, offset);
}

static void answer_list_part(struct question *q, struct partition *p, const struct partition_facts *f)
{
    struct list_part *part = container_of(q, struct list_part, question);
    if (part->timestamp >= 0 || part->timestamp == TIME_MAX) {
        look_up_time(part, p);
        return;
    }
    if (part->timestamp == TIME_LATEST)
        answer_log_end(part, p, f->high_watermark);
    else if (part->timestamp == TIME_EARLIEST || part->timestamp == TIME_EARLIEST_LOCAL)
        answer_log_end(part, p, f->log_start_offset);
    part_call_done(&q->call);
}

/* Which special times a version knows; the rest is UNSUPPORTED_VERSION, as in Kafka. */
static bool is_time_known(int64_t timestamp, int16_t version)
{
    switch (timestamp) {
    case TIME_LATEST:
    case TIME_EARLIEST: return true;
    case TIME_MAX: return version >= 7;
    case TIME_EARLIEST_LOCAL: return version >= 8;
    case TIME_LATEST_TIERED: return version >= 9;
    case TIME_EARLIEST_PENDING: return version >= 11;
    default: return timestamp >= 0;
    }
}

/* How often each partition is asked for, at most twice; NULL: no memory. */
static uint8_t *count_asked_partitions(struct request *req, const struct topic *t, const struct list_offsets_topic *ask)
{
    uint8_t *times = request_zalloc(req, (size_t)t->partitions);
    for (int32_t i = 0; times && i < ask->partitions.n; i++) {
        int32_t index = ask->partitions.v[i].partition_index;
        if (index >= 0 && index < t->partitions && times[index] < 2)
            times[index]++;
    }
    return times;
}

static enum kerr judge_list_part(int16_t version, const struct topic *t, const uint8_t *times,
                                 const struct list_offsets_partition *in)
{
    bool there = t && in->partition_index >= 0 && in->partition_index < t->partitions;
    if (there && times[in->partition_index] > 1)
        return KERR_INVALID_REQUEST;
    if (!is_time_known(in->timestamp, version))
        return KERR_UNSUPPORTED_VERSION;
    return there ? KERR_NONE : KERR_UNKNOWN_TOPIC_OR_PARTITION;
}

static void start_list_part(struct list_run *run, const struct topic *t, const struct list_offsets_partition *in,
                            struct list_offsets_partition_response *out)
{
    struct list_part *part = new_question(&run->asking, sizeof *part, &out->error_code);
    if (!part)
        return;
    part->out = out;
    part->timestamp = in->timestamp;
    part->question.current_leader_epoch = in->current_leader_epoch;
    if (run->asking.req->version >= 5)
        part->question.not_recovered = KERR_OFFSET_NOT_AVAILABLE;
    part->question.answer = answer_list_part;
    start_question(&part->question, t, in->partition_index);
}

static bool start_list_topic(struct list_run *run, const struct list_offsets_topic *ask,
                             struct list_offsets_topic_response *out)
{
    struct request *req = run->asking.req;
    const struct topic *t = find_topic_named(req, ask->name);
    const uint8_t *times = t ? count_asked_partitions(req, t, ask) : NULL;
    list_offsets_topic_response_init(out);
    out->name = ask->name;
    out->partitions.v = request_alloc(req, (size_t)ask->partitions.n * sizeof *out->partitions.v + 1);
    if (!out->partitions.v || (t && !times))
        return false;
    out->partitions.n = ask->partitions.n;
    for (int32_t i = 0; i < ask->partitions.n; i++) {
        const struct list_offsets_partition *in = &ask->partitions.v[i];
        list_offsets_partition_response_init(&out->partitions.v[i]);
        out->partitions.v[i].partition_index = in->partition_index;
        out->partitions.v[i].error_code = (int16_t)judge_list_part(req->version, t, times, in);
        if (!out->partitions.v[i].error_code)
            start_list_part(run, t, in, &out->partitions.v[i]);
    }
    return true;
}

void list_offsets_run(struct request *req)
{
    struct list_offsets_request *m = REQUEST_DECODE(req, list_offsets_request);
    if (!m)
        return;
    struct list_run *run = request_zalloc(req, sizeof *run);
    struct list_offsets_topic_response *topics = request_alloc(req, (size_t)m->topics.n * sizeof *topics + 1);
    if (!run || !topics) {
        request_fail(req, "out of memory");
        return;
    }
    run->asking = (struct asking){.req = req, .reply = reply_list_offsets, .waiting = 1};
    list_offsets_response_init(&run->r);
    run->r.topics.v = topics;
    for (int32_t i = 0; i < m->topics.n; i++)
        if (start_list_topic(run, &m->topics.v[i], &topics[run->r.topics.n]))
            run->r.topics.n++;
    question_over(&run->asking);
}

/* --- OffsetForLeaderEpoch --- */

struct epoch_run {
    struct asking asking;
    struct offset_for_leader_epoch_response r;
};
struct epoch_part {
    struct question question;
    struct offset_for_leader_epoch_end_offset *out;
    int32_t leader_epoch;
};

static void reply_epoch_ends(struct asking *run)
{
    REQUEST_REPLY(run->req, offset_for_leader_epoch_response, &container_of(run, struct epoch_run, asking)->r);
}

static void answer_epoch_end(struct question *q, struct partition *p, const struct partition_facts *f)
{
    struct epoch_part *part = container_of(q, struct epoch_part, question);
    (void)f;
    partition_epoch_end(p, part->leader_epoch, &part->out->leader_epoch, &part->out->end_offset);
    part_call_done(&q->call);
}

static void start_epoch_part(struct epoch_run *run, const struct topic *t, const struct offset_for_leader_partition *in,
                             struct offset_for_leader_epoch_end_offset *out)
{
    offset_for_leader_epoch_end_offset_init(out);
    out->partition = in->partition;
    if (!t || in->partition < 0 || in->partition >= t->partitions) {
        out->error_code = KERR_UNKNOWN_TOPIC_OR_PARTITION;
        return;
    }
    struct epoch_part *part = new_question(&run->asking, sizeof *part, &out->error_code);
    if (!part)
        return;
    part->out = out;
    part->leader_epoch = in->leader_epoch;
    part->question.current_leader_epoch = in->current_leader_epoch;
    part->question.answer = answer_epoch_end;
    start_question(&part->question, t, in->partition);
}

static bool start_epoch_topic(struct epoch_run *run, const struct offset_for_leader_topic *ask,
                              struct offset_for_leader_topic_result *out)
{
    struct request *req = run->asking.req;
    const struct topic *t = find_topic_named(req, ask->topic);
    offset_for_leader_topic_result_init(out);
    out->topic = ask->topic;
    out->partitions.v = request_alloc(req, (size_t)ask->partitions.n * sizeof *out->partitions.v + 1);
    if (!out->partitions.v)
        return false;
    out->partitions.n = ask->partitions.n;
    for (int32_t i = 0; i < ask->partitions.n; i++)
        start_epoch_part(run, t, &ask->partitions.v[i], &out->partitions.v[i]);
    return true;
}

void offset_for_leader_epoch_run(struct request *req)
{
    struct offset_for_leader_epoch_request *m = REQUEST_DECODE(req, offset_for_leader_epoch_request);
    if (!m)
        return;
    struct epoch_run *run = request_zalloc(req, sizeof *run);
    struct offset_for_leader_topic_result *topics = request_alloc(req, (size_t)m->topics.n * sizeof *topics + 1);
    if (!run || !topics) {
        request_fail(req, "out of memory");
        return;
    }
    run->asking = (struct asking){.req = req, .reply = reply_epoch_ends, .waiting = 1};
    offset_for_leader_epoch_response_init(&run->r);
    run->r.topics.v = topics;
    for (int32_t i = 0; i < m->topics.n; i++)
        if (start_epoch_topic(run, &m->topics.v[i], &topics[run->r.topics.n]))
            run->r.topics.n++;
    question_over(&run->asking);
}
