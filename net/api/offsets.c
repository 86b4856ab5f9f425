/* ListOffsets: a question to each partition, answered on its owner. A partition that is named more than once is refused, as in Kafka: so
 * all are counted before the first one is asked. */
#include "net/api/asking_topics.h"
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

struct list_run {
    struct asking_topics walk;
    const struct list_offsets_request *ask;
    struct list_offsets_response r;
    struct map times; /* topic id -> struct times_asked */
};
/* How often each partition of a topic is asked for, at most twice. */
struct times_asked {
    uint8_t topic_id[16];
    int32_t partitions;
    uint8_t of[];
};
struct list_part {
    struct asked_partition asked;
    struct list_offsets_partition_response *out;
    int32_t current_leader_epoch;
    int64_t timestamp;
    bool committed; /* nothing behind the last stable offset */
    struct time_lookup lookup;
};

/* --- on the owner --- */

static void time_looked_up(struct time_lookup *l)
{
    struct list_part *part = container_of(l, struct list_part, lookup);
    part->out->error_code = (int16_t)l->error;
    if (!l->error) {
        part->out->offset = l->found_offset;
        part->out->timestamp = l->found_timestamp;
        part->out->leader_epoch = l->found_epoch;
    }
    part_call_done(&part->asked.call);
}

static void look_up_time(struct list_part *part, struct partition *p)
{
    part->lookup = (struct time_lookup){.timestamp = part->timestamp,
                                        .max = part->timestamp == TIME_MAX,
                                        .committed = part->committed,
                                        .done = time_looked_up};
    if (partition_lookup(p, &part->lookup))
        time_looked_up(&part->lookup);
}

static void answer_log_end(struct list_part *part, int64_t offset, int32_t epoch)
{
    part->out->offset = offset;
    part->out->leader_epoch = epoch;
}

/* With the current epoch, also where younger records lie behind the last stable offset, as in Kafka. */
static void answer_latest(struct list_part *part, const struct partition_facts *f)
{
    answer_log_end(part, part->committed ? f->last_stable_offset : f->high_watermark, f->leader_epoch);
}

static void answer_list_part(struct list_part *part, struct partition *p, const struct partition_facts *f)
{
    if (part->timestamp >= 0 || part->timestamp == TIME_MAX) {
        look_up_time(part, p);
        return;
    }
    if (part->timestamp == TIME_LATEST)
        answer_latest(part, f);
    else if (part->timestamp == TIME_EARLIEST || part->timestamp == TIME_EARLIEST_LOCAL)
        answer_log_end(part, f->log_start_offset, partition_epoch_at(p, f->log_start_offset));
    part_call_done(&part->asked.call);
}

static void ask_list_part(struct part_call *c, struct partition *p)
{
    struct list_part *part = container_of(c, struct list_part, asked.call);
    struct partition_facts f;
    enum kerr not_recovered =
        part->asked.run->req->version >= 5 ? KERR_OFFSET_NOT_AVAILABLE : KERR_NOT_LEADER_OR_FOLLOWER;
    enum kerr error = partition_check_asked(p, part->current_leader_epoch, not_recovered, &f);
    part->out->error_code = (int16_t)error;
    if (error)
        part_call_done(c);
    else
        answer_list_part(part, p, &f);
}

/* --- what is asked --- */

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

static struct list_run *list_run_of(const struct asking_topics *walk)
{
    return container_of(walk, struct list_run, walk);
}

/* NULL: no memory. */
static struct times_asked *times_asked_of(struct list_run *run, const struct topic *t)
{
    struct times_asked *times = map_get(&run->times, t->id, sizeof t->id);
    if (times)
        return times;
    times = request_zalloc(run->walk.asking.req, sizeof *times + (size_t)t->partitions);
    if (!times)
        return NULL;
    memcpy(times->topic_id, t->id, sizeof times->topic_id);
    times->partitions = t->partitions;
    return map_put(&run->times, times->topic_id, sizeof times->topic_id, times) == ERR_NONE ? times : NULL;
}

static void count_listed(struct asking_topics *walk, const struct topic *t)
{
    struct list_run *run = list_run_of(walk);
    int32_t index = run->ask->topics.v[walk->topic].partitions.v[walk->partition].partition_index;
    if (!t)
        return;
    struct times_asked *times = times_asked_of(run, t);
    walk->failed |= !times;
    if (times && index >= 0 && index < times->partitions && times->of[index] < 2)
        times->of[index]++;
}

static enum kerr judge_list_part(const struct list_run *run, const struct topic *t,
                                 const struct list_offsets_partition *in)
{
    const struct times_asked *times = t ? map_get(&run->times, t->id, sizeof t->id) : NULL;
    bool there = times && in->partition_index >= 0 && in->partition_index < times->partitions;
    if (there && times->of[in->partition_index] > 1)
        return KERR_INVALID_REQUEST;
    if (!is_time_known(in->timestamp, run->walk.asking.req->version))
        return KERR_UNSUPPORTED_VERSION;
    return there ? KERR_NONE : KERR_UNKNOWN_TOPIC_OR_PARTITION;
}

static void start_list_part(struct asking_topics *walk, const struct topic *t)
{
    struct list_run *run = list_run_of(walk);
    const struct list_offsets_partition *in = &run->ask->topics.v[walk->topic].partitions.v[walk->partition];
    struct list_offsets_partition_response *out = &run->r.topics.v[walk->topic].partitions.v[walk->partition];
    list_offsets_partition_response_init(out);
    out->partition_index = in->partition_index;
    out->error_code = (int16_t)judge_list_part(run, t, in);
    if (out->error_code)
        return;
    struct list_part *part = asking_part(walk, sizeof *part, &out->error_code);
    if (!part)
        return;
    part->out = out;
    part->timestamp = in->timestamp;
    part->committed = run->ask->isolation_level == 1;
    part->current_leader_epoch = in->current_leader_epoch;
    asking_ask(&walk->asking, &part->asked, t, in->partition_index, ask_list_part);
}

static struct asked_topic listed_topic(const struct asking_topics *walk)
{
    const struct list_offsets_topic *ask = &list_run_of(walk)->ask->topics.v[walk->topic];
    return (struct asked_topic){ask->name, ask->partitions.n};
}

static void begin_listed_topic(struct asking_topics *walk, const struct topic *t)
{
    (void)t;
    struct list_run *run = list_run_of(walk);
    const struct list_offsets_topic *ask = &run->ask->topics.v[walk->topic];
    struct list_offsets_topic_response *out = &run->r.topics.v[walk->topic];
    list_offsets_topic_response_init(out);
    out->name = ask->name;
    out->partitions.v = asking_array(walk, ask->partitions.n, sizeof *out->partitions.v);
    out->partitions.n = ask->partitions.n;
}

static void list_over(struct asking_topics *walk)
{
    map_deinit(&list_run_of(walk)->times);
}

static void reply_listed(struct asking_topics *walk)
{
    REQUEST_REPLY_LARGE(walk->asking.req, list_offsets_response, &list_run_of(walk)->r);
}

static const struct asking_kind list_kind = {.topic = listed_topic,
                                             .count = count_listed,
                                             .begin = begin_listed_topic,
                                             .ask = start_list_part,
                                             .reply = reply_listed,
                                             .over = list_over};

void list_offsets_run(struct request *req)
{
    struct list_offsets_request *m = REQUEST_DECODE(req, list_offsets_request);
    if (!m)
        return;
    struct list_run *run = request_zalloc(req, sizeof *run);
    struct list_offsets_topic_response *topics = request_alloc(req, (size_t)m->topics.n * sizeof *topics + 1);
    if (!run || !topics) {
        request_fail(req, no_memory);
        return;
    }
    run->ask = m;
    map_init(&run->times, req->server->shard->heap);
    list_offsets_response_init(&run->r);
    run->r.topics.v = topics;
    run->r.topics.n = m->topics.n;
    asking_topics_begin(&run->walk, req, &list_kind, m->topics.n);
}
