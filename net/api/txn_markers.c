/* WriteTxnMarkers: the end of transactions, put into partitions. Transaction coordinators need no request for that here (net/txn/marker_call.h):
 * it is an administrator who sends one, to end what hangs (kafka-transactions.sh abort). Answered when every marker is on stable media. */
#include "net/api/asking.h"
#include "net/api/reply.h"
#include "net/txn/marker_call.h"

struct markers_run {
    struct asking asking;
    const struct write_txn_markers_request *ask;
    struct write_txn_markers_response r;
    bool looked;                      /* at all of them; then they are put */
    int32_t marker, topic, partition; /* where it stands */
    bool failed;                      /* no memory */
    enum kerr refused;                /* all of it */
};
struct marker_part {
    struct marker_call call;
    struct markers_run *run;
    struct writable_txn_marker_partition_result *out;
};

/* A coordinator of groups that is not ready is, for who waits for a marker, a partition that is not. */
static enum kerr marker_error(enum kerr error)
{
    bool not_ready = error == KERR_COORDINATOR_NOT_AVAILABLE || error == KERR_COORDINATOR_LOAD_IN_PROGRESS ||
                     error == KERR_NOT_COORDINATOR;
    return not_ready ? KERR_NOT_LEADER_OR_FOLLOWER : error;
}

static void admin_marker_answered(struct marker_call *c)
{
    struct marker_part *part = container_of(c, struct marker_part, call);
    part->out->error_code = (int16_t)marker_error(c->error);
    asking_answered(&part->run->asking);
}

static void start_marker(struct markers_run *run, const struct writable_txn_marker *m, struct kview topic,
                         struct writable_txn_marker_partition_result *out)
{
    struct marker_part *part = request_zalloc(run->asking.req, sizeof *part);
    if (!part) {
        out->error_code = KERR_KAFKA_STORAGE_ERROR;
        return;
    }
    part->run = run;
    part->out = out;
    part->call.producer_id = m->producer_id;
    part->call.producer_epoch = m->producer_epoch;
    part->call.commit = m->transaction_result;
    part->call.coordinator_epoch = m->coordinator_epoch;
    part->call.version = m->transaction_version;
    part->call.done = admin_marker_answered;
    asking_add(&run->asking);
    marker_call_start(run->asking.req->server->shard, &part->call, topic, out->partition_index);
}

static void *markers_array(struct markers_run *run, int32_t count, size_t bytes_each)
{
    void *v = request_alloc(run->asking.req, (size_t)count * bytes_each + 1);
    run->failed |= !v;
    return v;
}

/* Kafka says nothing of a marker that names no partition. */
static bool marker_names_partitions(const struct writable_txn_marker *m)
{
    for (int32_t i = 0; i < m->topics.n; i++)
        if (m->topics.v[i].partition_indexes.n > 0)
            return true;
    return false;
}

static void begin_marker(struct markers_run *run, const struct writable_txn_marker *m)
{
    struct writable_txn_marker_result *out = &run->r.markers.v[run->r.markers.n++];
    writable_txn_marker_result_init(out);
    out->producer_id = m->producer_id;
    out->topics.v = markers_array(run, m->topics.n, sizeof *out->topics.v);
}

static void begin_marker_topic(struct markers_run *run, const struct writable_txn_marker_topic *t)
{
    struct writable_txn_marker_result *result = &run->r.markers.v[run->r.markers.n - 1];
    struct writable_txn_marker_topic_result *out = &result->topics.v[result->topics.n++];
    writable_txn_marker_topic_result_init(out);
    out->name = t->name;
    out->partitions.v = markers_array(run, t->partition_indexes.n, sizeof *out->partitions.v);
}

static void next_marker_partition(struct markers_run *run, const struct writable_txn_marker *m,
                                  const struct writable_txn_marker_topic *t)
{
    struct writable_txn_marker_result *result = &run->r.markers.v[run->r.markers.n - 1];
    struct writable_txn_marker_topic_result *topic = &result->topics.v[result->topics.n - 1];
    struct writable_txn_marker_partition_result *out = &topic->partitions.v[topic->partitions.n++];
    writable_txn_marker_partition_result_init(out);
    out->partition_index = t->partition_indexes.v[run->partition++];
    out->error_code = (int16_t)run->refused;
    if (!run->refused)
        start_marker(run, m, t->name, out);
}

/* A producer that cannot be is an exception in Kafka, which spoils the whole request: all are looked at before the first is put. */
static void look_at_marker(struct markers_run *run, const struct writable_txn_marker *m)
{
    if ((m->producer_id < 0 || m->producer_epoch < 0) && marker_names_partitions(m))
        run->refused = KERR_UNKNOWN_SERVER_ERROR;
}

static bool next_marker_pass(struct markers_run *run)
{
    bool more = !run->looked;
    run->looked = true;
    run->marker = 0;
    return more;
}

/* One partition, or the beginning or the end of a topic or of a marker. */
static bool next_marker(struct asking *asking)
{
    struct markers_run *run = container_of(asking, struct markers_run, asking);
    if (run->failed)
        return false;
    if (run->marker == run->ask->markers.n)
        return next_marker_pass(run);
    if (!run->looked) {
        look_at_marker(run, &run->ask->markers.v[run->marker++]);
        return true;
    }
    const struct writable_txn_marker *m = &run->ask->markers.v[run->marker];
    if (run->topic == m->topics.n || (run->topic == 0 && run->partition == 0 && !marker_names_partitions(m))) {
        run->marker++;
        run->topic = run->partition = 0;
        return true;
    }
    const struct writable_txn_marker_topic *t = &m->topics.v[run->topic];
    if (run->partition == 0 && run->topic == 0)
        begin_marker(run, m);
    if (run->partition == 0 && !run->failed)
        begin_marker_topic(run, t);
    if (run->failed)
        return false;
    if (run->partition < t->partition_indexes.n)
        next_marker_partition(run, m, t);
    if (run->partition == t->partition_indexes.n) {
        run->topic++;
        run->partition = 0;
    }
    return true;
}

static void all_markers_answered(struct asking *asking)
{
    struct markers_run *run = container_of(asking, struct markers_run, asking);
    if (run->failed)
        request_fail(asking->req, no_memory);
    else
        REQUEST_REPLY_LARGE(asking->req, write_txn_markers_response, &run->r);
}

void write_txn_markers_run(struct request *req)
{
    struct write_txn_markers_request *m = REQUEST_DECODE(req, write_txn_markers_request);
    if (!m)
        return;
    struct markers_run *run = request_zalloc(req, sizeof *run);
    if (!run) {
        request_fail(req, no_memory);
        return;
    }
    run->ask = m;
    write_txn_markers_response_init(&run->r);
    run->r.markers.v = request_alloc(req, (size_t)m->markers.n * sizeof *run->r.markers.v + 1);
    run->failed = !run->r.markers.v;
    asking_begin(&run->asking, req, ASKING_OUT_MAX, next_marker, all_markers_answered);
}
