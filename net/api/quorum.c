/* DescribeQuorum and UnregisterBroker. The catalog is this node's alone: it leads, it is the only voter, and what Kafka counts as records of
 * its metadata are here the waves of the catalog (storage/catalog/catalog.h), whose number only shard 0 knows.
 *
 *   home --msg--> shard 0: how many waves there are --msg--> home: the reply */
#include "core/clock.h"
#include "net/api/answering.h"
#include "net/api/reply.h"

static const char metadata_topic[] = "__cluster_metadata";

struct quorum_run {
    struct request *req;
    struct shard_msg msg;
    uint16_t home;
    int64_t waves; /* shard 0's */
    struct describe_quorum_response r;
    struct described_quorum_topic topic;
    struct described_quorum_partition partition;
    struct quorum_replica_state voter;
    struct quorum_node node;
    struct quorum_listener listener;
};

/* --- what cannot be described --- */

struct refuse_quorum_run {
    struct answering walk;
    const struct describe_quorum_request *ask;
    struct describe_quorum_response r;
};

static int32_t begin_refused_topic(struct answering *walk)
{
    struct refuse_quorum_run *run = container_of(walk, struct refuse_quorum_run, walk);
    const struct describe_quorum_topic *ask = &run->ask->topics.v[walk->row];
    struct described_quorum_topic *out = &run->r.topics.v[walk->row];
    described_quorum_topic_init(out);
    out->topic_name = ask->topic_name;
    out->partitions.v = request_alloc(walk->req, (size_t)ask->partitions.n * sizeof *out->partitions.v + 1);
    out->partitions.n = ask->partitions.n;
    return out->partitions.v ? ask->partitions.n : -1;
}

static void refuse_quorum_partition(struct answering *walk)
{
    struct refuse_quorum_run *run = container_of(walk, struct refuse_quorum_run, walk);
    struct described_quorum_partition *out = &run->r.topics.v[walk->row].partitions.v[walk->item];
    described_quorum_partition_init(out);
    out->partition_index = run->ask->topics.v[walk->row].partitions.v[walk->item].partition_index;
    out->error_code = KERR_UNKNOWN_TOPIC_OR_PARTITION;
    out->error_message = view_of("This server does not host this topic-partition.");
}

static void reply_refused_quorum(struct answering *walk)
{
    struct refuse_quorum_run *run = container_of(walk, struct refuse_quorum_run, walk);
    REQUEST_REPLY_LARGE(walk->req, describe_quorum_response, &run->r);
}

static const struct answering_kind refuse_quorum_kind = {
    .begin = begin_refused_topic, .answer = refuse_quorum_partition, .reply = reply_refused_quorum};

/* Every partition that is asked for, in as many topics. */
static void refuse_quorum(struct request *req, const struct describe_quorum_request *m)
{
    struct refuse_quorum_run *run = request_zalloc(req, sizeof *run);
    struct described_quorum_topic *topics = request_alloc(req, (size_t)m->topics.n * sizeof *topics + 1);
    if (!run || !topics) {
        request_fail(req, no_memory);
        return;
    }
    run->ask = m;
    describe_quorum_response_init(&run->r);
    run->r.topics.v = topics;
    run->r.topics.n = m->topics.n;
    answering_begin(&run->walk, req, &refuse_quorum_kind, m->topics.n);
}

static bool is_quorum_asked(const struct describe_quorum_request *m)
{
    return m->topics.n == 1 && view_is(m->topics.v[0].topic_name, metadata_topic) && m->topics.v[0].partitions.n == 1 &&
           m->topics.v[0].partitions.v[0].partition_index == 0;
}

/* --- the reply --- */

static void fill_quorum_node(struct quorum_run *run)
{
    struct conn *c = request_conn(run->req);
    struct topology_node own = topology_node_at(c, 0);
    quorum_node_init(&run->node);
    quorum_listener_init(&run->listener);
    run->listener.name = view_of(c->listener->name);
    run->listener.host = own.host;
    run->listener.port = (uint16_t)own.port;
    run->node.node_id = own.id;
    run->node.listeners.v = &run->listener;
    run->node.listeners.n = 1;
}

static void fill_quorum(struct quorum_run *run)
{
    struct described_quorum_partition *p = &run->partition;
    quorum_replica_state_init(&run->voter);
    run->voter.replica_id = topology_controller(run->req->server);
    run->voter.log_end_offset = run->waves;
    run->voter.last_fetch_timestamp = run->voter.last_caught_up_timestamp = clock_wall_ms();
    described_quorum_partition_init(p);
    p->leader_id = run->voter.replica_id;
    p->leader_epoch = run->req->server->root->leader_epoch;
    p->high_watermark = run->waves;
    p->current_voters.v = &run->voter;
    p->current_voters.n = 1;
}

static void reply_quorum(struct quorum_run *run)
{
    fill_quorum(run);
    fill_quorum_node(run);
    described_quorum_topic_init(&run->topic);
    run->topic.topic_name = view_of(metadata_topic);
    run->topic.partitions.v = &run->partition;
    run->topic.partitions.n = 1;
    describe_quorum_response_init(&run->r);
    run->r.topics.v = &run->topic;
    run->r.topics.n = 1;
    run->r.nodes.v = &run->node;
    run->r.nodes.n = 1;
    REQUEST_REPLY(run->req, describe_quorum_response, &run->r);
}

/* --- to shard 0 and back --- */

static void waves_known(struct shard *at, struct shard_msg *msg)
{
    struct quorum_run *run = container_of(msg, struct quorum_run, msg);
    assert(at->id == run->home);
    reply_quorum(run);
}

static void waves_asked(struct shard *at, struct shard_msg *msg)
{
    struct quorum_run *run = container_of(msg, struct quorum_run, msg);
    run->waves = catalog_file_waves(store_of(at)->root->catalog);
    shard_msg_init(&run->msg, waves_known);
    shard_send(at, run->home, &run->msg);
}

void describe_quorum_run(struct request *req)
{
    struct describe_quorum_request *m = REQUEST_DECODE(req, describe_quorum_request);
    if (!m)
        return;
    if (!is_quorum_asked(m)) {
        refuse_quorum(req, m);
        return;
    }
    struct quorum_run *run = request_zalloc(req, sizeof *run);
    if (!run) {
        request_fail(req, no_memory);
        return;
    }
    run->req = req;
    run->home = req->server->shard->id;
    shard_msg_init(&run->msg, waves_asked);
    shard_send(req->server->shard, 0, &run->msg);
}

/* --- UnregisterBroker --- */

/* One of ours runs as long as we do: what Kafka does then (its partitions have no leader any more) helps nobody. */
void unregister_broker_run(struct request *req)
{
    struct unregister_broker_request *m = REQUEST_DECODE(req, unregister_broker_request);
    if (!m)
        return;
    struct unregister_broker_response r;
    unregister_broker_response_init(&r);
    uint32_t at;
    if (topology_find_node(req->server, m->broker_id, &at)) {
        r.error_code = KERR_INVALID_REQUEST;
        r.error_message = view_of("This broker runs: stop it instead.");
    } else {
        r.error_code = KERR_BROKER_ID_NOT_REGISTERED;
        r.error_message = view_of("The given broker ID was not registered.");
    }
    REQUEST_REPLY(req, unregister_broker_response, &r);
}
