/* OffsetForLeaderEpoch: where an epoch of the leader ends, a question to each partition. */
#include "net/api/asking.h"
#include "net/api/reply.h"

struct epoch_run {
    struct asking asking;
    const struct offset_for_leader_epoch_request *ask;
    struct offset_for_leader_epoch_response r;
    struct asking_place at;
    bool failed; /* no memory */
};
struct epoch_part {
    struct asked_partition asked;
    struct offset_for_leader_epoch_end_offset *out;
    int32_t leader_epoch, current_leader_epoch;
};

static void ask_epoch_part(struct part_call *c, struct partition *p)
{
    struct epoch_part *part = container_of(c, struct epoch_part, asked.call);
    struct partition_facts f;
    enum kerr error = partition_check_asked(p, part->current_leader_epoch, KERR_NOT_LEADER_OR_FOLLOWER, &f);
    part->out->error_code = (int16_t)error;
    if (!error)
        partition_epoch_end(p, part->leader_epoch, &part->out->leader_epoch, &part->out->end_offset);
    part_call_done(c);
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
    struct epoch_part *part = request_zalloc(run->asking.req, sizeof *part);
    if (!part) {
        out->error_code = KERR_KAFKA_STORAGE_ERROR; /* the client is told to ask again */
        return;
    }
    part->out = out;
    part->leader_epoch = in->leader_epoch;
    part->current_leader_epoch = in->current_leader_epoch;
    asking_ask(&run->asking, &part->asked, t, in->partition, ask_epoch_part);
}

static struct offset_for_leader_topic_result *epoch_topic_result(struct epoch_run *run,
                                                                 const struct offset_for_leader_topic *ask)
{
    struct offset_for_leader_topic_result *out = &run->r.topics.v[run->at.topic];
    if (run->at.partition > 0)
        return out;
    offset_for_leader_topic_result_init(out);
    out->topic = ask->topic;
    out->partitions.v = request_alloc(run->asking.req, (size_t)ask->partitions.n * sizeof *out->partitions.v + 1);
    run->failed = !out->partitions.v;
    out->partitions.n = ask->partitions.n;
    run->r.topics.n = run->at.topic + 1;
    return out;
}

/* One partition, or the end of a topic. */
static bool epoch_next(struct asking *asking)
{
    struct epoch_run *run = container_of(asking, struct epoch_run, asking);
    if (run->at.topic == run->ask->topics.n)
        return false;
    const struct offset_for_leader_topic *ask = &run->ask->topics.v[run->at.topic];
    struct offset_for_leader_topic_result *out = epoch_topic_result(run, ask);
    if (run->failed)
        return false;
    int32_t i = run->at.partition;
    if (i == ask->partitions.n) {
        run->at = (struct asking_place){.topic = run->at.topic + 1};
        return true;
    }
    const struct catalog *c = server_catalog(asking->req->server);
    const struct topic *t = catalog_by_name(c, ask->topic.at, (size_t)ask->topic.n);
    start_epoch_part(run, t, &ask->partitions.v[i], &out->partitions.v[i]);
    run->at.partition++;
    return true;
}

static void epoch_over(struct asking *asking)
{
    struct epoch_run *run = container_of(asking, struct epoch_run, asking);
    if (run->failed)
        request_fail(asking->req, no_memory);
    else
        REQUEST_REPLY_LARGE(asking->req, offset_for_leader_epoch_response, &run->r);
}

void offset_for_leader_epoch_run(struct request *req)
{
    struct offset_for_leader_epoch_request *m = REQUEST_DECODE(req, offset_for_leader_epoch_request);
    if (!m)
        return;
    struct epoch_run *run = request_zalloc(req, sizeof *run);
    struct offset_for_leader_topic_result *topics = request_alloc(req, (size_t)m->topics.n * sizeof *topics + 1);
    if (!run || !topics) {
        request_fail(req, no_memory);
        return;
    }
    run->ask = m;
    offset_for_leader_epoch_response_init(&run->r);
    run->r.topics.v = topics;
    asking_begin(&run->asking, req, epoch_next, epoch_over);
}
