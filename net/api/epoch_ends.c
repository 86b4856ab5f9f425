/* OffsetForLeaderEpoch: where an epoch of the leader ends, a question to each partition. */
#include "net/api/asking_topics.h"
#include "net/api/reply.h"

struct epoch_run {
    struct asking_topics walk;
    const struct offset_for_leader_epoch_request *ask;
    struct offset_for_leader_epoch_response r;
};
struct epoch_part {
    struct asked_partition asked;
    struct offset_for_leader_epoch_end_offset *out;
    int32_t leader_epoch, current_leader_epoch;
};

static struct epoch_run *epoch_run_of(const struct asking_topics *walk)
{
    return container_of(walk, struct epoch_run, walk);
}

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

static struct asked_topic epoch_topic(const struct asking_topics *walk)
{
    const struct offset_for_leader_topic *ask = &epoch_run_of(walk)->ask->topics.v[walk->topic];
    return (struct asked_topic){ask->topic, ask->partitions.n};
}

static void begin_epoch_topic(struct asking_topics *walk, const struct topic *t)
{
    (void)t;
    struct epoch_run *run = epoch_run_of(walk);
    const struct offset_for_leader_topic *ask = &run->ask->topics.v[walk->topic];
    struct offset_for_leader_topic_result *out = &run->r.topics.v[walk->topic];
    offset_for_leader_topic_result_init(out);
    out->topic = ask->topic;
    out->partitions.v = asking_array(walk, ask->partitions.n, sizeof *out->partitions.v);
    out->partitions.n = ask->partitions.n;
}

static void start_epoch_part(struct asking_topics *walk, const struct topic *t)
{
    struct epoch_run *run = epoch_run_of(walk);
    const struct offset_for_leader_partition *in = &run->ask->topics.v[walk->topic].partitions.v[walk->partition];
    struct offset_for_leader_epoch_end_offset *out = &run->r.topics.v[walk->topic].partitions.v[walk->partition];
    offset_for_leader_epoch_end_offset_init(out);
    out->partition = in->partition;
    if (!topic_has_partition(t, in->partition)) {
        out->error_code = KERR_UNKNOWN_TOPIC_OR_PARTITION;
        return;
    }
    struct epoch_part *part = asking_part(walk, sizeof *part, &out->error_code);
    if (!part)
        return;
    part->out = out;
    part->leader_epoch = in->leader_epoch;
    part->current_leader_epoch = in->current_leader_epoch;
    asking_ask(&walk->asking, &part->asked, t, in->partition, ask_epoch_part);
}

static void reply_epoch_ends(struct asking_topics *walk)
{
    REQUEST_REPLY_LARGE(walk->asking.req, offset_for_leader_epoch_response, &epoch_run_of(walk)->r);
}

static const struct asking_kind epoch_kind = {
    .topic = epoch_topic, .begin = begin_epoch_topic, .ask = start_epoch_part, .reply = reply_epoch_ends};

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
    run->r.topics.n = m->topics.n;
    asking_topics_begin(&run->walk, req, &epoch_kind, m->topics.n);
}
