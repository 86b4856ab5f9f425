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

/* --- ListOffsets --- */

struct list_run {
    struct request *req;
    struct list_offsets_response *r;
    uint32_t waiting;
};
struct list_part {
    struct part_call call;
    struct list_run *run;
    struct list_offsets_partition_response *out;
    int64_t timestamp;
    int32_t current_leader_epoch;
    struct time_lookup lookup;
};

static void list_over(struct list_run *run)
{
    if (--run->waiting == 0)
        REQUEST_REPLY(run->req, list_offsets_response, run->r);
}

static void list_answered(struct part_call *c)
{
    list_over(container_of(c, struct list_part, call)->run);
}

static void list_found(struct time_lookup *l)
{
    struct list_part *part = container_of(l, struct list_part, lookup);
    part->out->error_code = (int16_t)l->error;
    if (!l->error) {
        part->out->offset = l->found_offset;
        part->out->timestamp = l->found_timestamp;
        part->out->leader_epoch = l->found_epoch;
    }
    part_call_done(&part->call);
}

static void list_look_up(struct list_part *part, struct partition *p)
{
    part->lookup =
        (struct time_lookup){.timestamp = part->timestamp, .max = part->timestamp == TIME_MAX, .done = list_found};
    partition_lookup(p, &part->lookup);
}

/* The epoch of what stands at an end of the log: the current one at the end, the first record's at the start. */
static void list_end(struct list_part *part, const struct partition *p, int64_t offset)
{
    part->out->offset = offset;
    part->out->leader_epoch = partition_epoch_at(p, offset);
}

static void list_ask(struct part_call *c, struct partition *p)
{
    struct list_part *part = container_of(c, struct list_part, call);
    if (!p) {
        part->out->error_code = KERR_UNKNOWN_TOPIC_OR_PARTITION;
        part_call_done(c);
        return;
    }
    struct partition_facts f = partition_facts(p);
    enum kerr error =
        f.offline ? KERR_KAFKA_STORAGE_ERROR : leader_epoch_check(part->current_leader_epoch, f.leader_epoch);
    part->out->error_code = (int16_t)error;
    if (!error && (part->timestamp >= 0 || part->timestamp == TIME_MAX)) {
        list_look_up(part, p);
        return;
    }
    if (!error && part->timestamp == TIME_LATEST)
        list_end(part, p, f.high_watermark);
    else if (!error && (part->timestamp == TIME_EARLIEST || part->timestamp == TIME_EARLIEST_LOCAL))
        list_end(part, p, f.log_start_offset);
    part_call_done(c);
}

/* Which special times a version knows; the rest is UNSUPPORTED_VERSION, as in Kafka. */
static bool time_known(int64_t timestamp, int16_t version)
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
static uint8_t *count_asked(struct request *req, const struct topic *t, const struct list_offsets_topic *ask)
{
    uint8_t *times = request_zalloc(req, (size_t)t->partitions);
    for (int32_t i = 0; times && i < ask->partitions.n; i++) {
        int32_t index = ask->partitions.v[i].partition_index;
        if (index >= 0 && index < t->partitions && times[index] < 2)
            times[index]++;
    }
    return times;
}

static enum kerr list_refusal(const struct list_run *run, const struct topic *t, const uint8_t *times,
                              const struct list_offsets_partition *in)
{
    if (!t || in->partition_index < 0 || in->partition_index >= t->partitions)
        return KERR_UNKNOWN_TOPIC_OR_PARTITION;
    if (times[in->partition_index] > 1)
        return KERR_INVALID_REQUEST;
    return time_known(in->timestamp, run->req->version) ? KERR_NONE : KERR_UNSUPPORTED_VERSION;
}

static void list_start(struct list_run *run, const struct topic *t, const struct list_offsets_partition *in,
                       struct list_offsets_partition_response *out)
{
    struct list_part *part = request_zalloc(run->req, sizeof *part);
    if (!part) {
        out->error_code = KERR_KAFKA_STORAGE_ERROR; /* no memory: the client asks again */
        return;
    }
    part->run = run;
    part->out = out;
    part->timestamp = in->timestamp;
    part->current_leader_epoch = in->current_leader_epoch;
    memcpy(part->call.topic_id, t->id, 16);
    part->call.partition = in->partition_index;
    part->call.ask = list_ask;
    part->call.answered = list_answered;
    run->waiting++;
    part_call_start(run->req->server->shard, &part->call);
}

static bool list_topic(struct list_run *run, const struct list_offsets_topic *ask,
                       struct list_offsets_topic_response *out)
{
    list_offsets_topic_response_init(out);
    out->name = ask->name;
    out->partitions.v = request_alloc(run->req, (size_t)ask->partitions.n * sizeof *out->partitions.v + 1);
    const struct topic *t = catalog_by_name(server_catalog(run->req->server), ask->name.at, (size_t)ask->name.n);
    const uint8_t *times = t ? count_asked(run->req, t, ask) : NULL;
    if (!out->partitions.v || (t && !times))
        return false;
    out->partitions.n = ask->partitions.n;
    for (int32_t i = 0; i < ask->partitions.n; i++) {
        const struct list_offsets_partition *in = &ask->partitions.v[i];
        list_offsets_partition_response_init(&out->partitions.v[i]);
        out->partitions.v[i].partition_index = in->partition_index;
        out->partitions.v[i].error_code = (int16_t)list_refusal(run, t, times, in);
        if (!out->partitions.v[i].error_code)
            list_start(run, t, in, &out->partitions.v[i]);
    }
    return true;
}

void list_offsets_run(struct request *req)
{
    struct list_offsets_request *m = REQUEST_DECODE(req, list_offsets_request);
    if (!m)
        return;
    struct list_run *run = request_zalloc(req, sizeof *run);
    struct list_offsets_response *r = request_zalloc(req, sizeof *r);
    struct list_offsets_topic_response *topics = request_alloc(req, (size_t)m->topics.n * sizeof *topics + 1);
    if (!run || !r || !topics) {
        request_fail(req, "out of memory");
        return;
    }
    list_offsets_response_init(r);
    r->topics.v = topics;
    *run = (struct list_run){.req = req, .r = r, .waiting = 1};
    for (int32_t i = 0; i < m->topics.n; i++)
        if (list_topic(run, &m->topics.v[i], &topics[r->topics.n]))
            r->topics.n++;
    list_over(run);
}

/* --- OffsetForLeaderEpoch --- */

struct epoch_run {
    struct request *req;
    struct offset_for_leader_epoch_response *r;
    uint32_t waiting;
};
struct epoch_part {
    struct part_call call;
    struct epoch_run *run;
    struct offset_for_leader_epoch_end_offset *out;
    int32_t current_leader_epoch, leader_epoch;
};

static void epoch_over(struct epoch_run *run)
{
    if (--run->waiting == 0)
        REQUEST_REPLY(run->req, offset_for_leader_epoch_response, run->r);
}

static void epoch_answered(struct part_call *c)
{
    epoch_over(container_of(c, struct epoch_part, call)->run);
}

static void epoch_ask(struct part_call *c, struct partition *p)
{
    struct epoch_part *part = container_of(c, struct epoch_part, call);
    if (!p) {
        part->out->error_code = KERR_UNKNOWN_TOPIC_OR_PARTITION;
        part_call_done(c);
        return;
    }
    struct partition_facts f = partition_facts(p);
    enum kerr error =
        f.offline ? KERR_KAFKA_STORAGE_ERROR : leader_epoch_check(part->current_leader_epoch, f.leader_epoch);
    part->out->error_code = (int16_t)error;
    if (!error)
        partition_epoch_end(p, part->leader_epoch, &part->out->leader_epoch, &part->out->end_offset);
    part_call_done(c);
}

static void epoch_start(struct epoch_run *run, const struct topic *t, const struct offset_for_leader_partition *in,
                        struct offset_for_leader_epoch_end_offset *out)
{
    offset_for_leader_epoch_end_offset_init(out);
    out->partition = in->partition;
    if (!t || in->partition < 0 || in->partition >= t->partitions) {
        out->error_code = KERR_UNKNOWN_TOPIC_OR_PARTITION;
        return;
    }
    struct epoch_part *part = request_zalloc(run->req, sizeof *part);
    if (!part) {
        out->error_code = KERR_KAFKA_STORAGE_ERROR; /* no memory: the client asks again */
        return;
    }
    part->run = run;
    part->out = out;
    part->current_leader_epoch = in->current_leader_epoch;
    part->leader_epoch = in->leader_epoch;
    memcpy(part->call.topic_id, t->id, 16);
    part->call.partition = in->partition;
    part->call.ask = epoch_ask;
    part->call.answered = epoch_answered;
    run->waiting++;
    part_call_start(run->req->server->shard, &part->call);
}

static bool epoch_topic(struct epoch_run *run, const struct offset_for_leader_topic *ask,
                        struct offset_for_leader_topic_result *out)
{
    const struct topic *t = catalog_by_name(server_catalog(run->req->server), ask->topic.at, (size_t)ask->topic.n);
    offset_for_leader_topic_result_init(out);
    out->topic = ask->topic;
    out->partitions.v = request_alloc(run->req, (size_t)ask->partitions.n * sizeof *out->partitions.v + 1);
    if (!out->partitions.v)
        return false;
    out->partitions.n = ask->partitions.n;
    for (int32_t i = 0; i < ask->partitions.n; i++)
        epoch_start(run, t, &ask->partitions.v[i], &out->partitions.v[i]);
    return true;
}

void offset_for_leader_epoch_run(struct request *req)
{
    struct offset_for_leader_epoch_request *m = REQUEST_DECODE(req, offset_for_leader_epoch_request);
    if (!m)
        return;
    struct epoch_run *run = request_zalloc(req, sizeof *run);
    struct offset_for_leader_epoch_response *r = request_zalloc(req, sizeof *r);
    struct offset_for_leader_topic_result *topics = request_alloc(req, (size_t)m->topics.n * sizeof *topics + 1);
    if (!run || !r || !topics) {
        request_fail(req, "out of memory");
        return;
    }
    offset_for_leader_epoch_response_init(r);
    r->topics.v = topics;
    *run = (struct epoch_run){.req = req, .r = r, .waiting = 1};
    for (int32_t i = 0; i < m->topics.n; i++)
        if (epoch_topic(run, &m->topics.v[i], &topics[r->topics.n]))
            r->topics.n++;
    epoch_over(run);
}
