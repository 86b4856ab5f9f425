/* AlterPartitionReassignments and ListPartitionReassignments. Every partition is on the one node that leads it (topology.h): to be assigned to
 * that is done as soon as it is asked, nothing else is possible, and nothing is ever under way. */
#include "net/api/answering.h"
#include "net/api/reply.h"

enum { MESSAGE_BYTES = 400 };

struct reassign_run {
    struct answering walk;
    const struct alter_partition_reassignments_request *ask;
    struct alter_partition_reassignments_response r;
};

static void refuse_reassignment(struct reassign_run *run, struct reassignable_partition_response *out, enum kerr error,
                                const char *fmt, ...) printf_like(4, 5);
static void refuse_reassignment(struct reassign_run *run, struct reassignable_partition_response *out, enum kerr error,
                                const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = request_vsay(run->walk.req, MESSAGE_BYTES, fmt, args);
    va_end(args);
    out->error_code = (int16_t)error;
    out->error_message = view_of(text);
}

/* Of those that are none of ours the lowest, and how often the leader is there. False: all are ours. */
static bool find_foreign_broker(const struct server *sv, const struct reassignable_partition *ask, int32_t leader,
                                int32_t *out_id, uint32_t *out_leader)
{
    bool found = false;
    uint32_t at;
    *out_leader = 0;
    for (int32_t i = 0; i < ask->replicas.n; i++) {
        int32_t id = ask->replicas.v[i];
        *out_leader += id == leader;
        if (!topology_find_node(sv, id, &at) && (!found || id < *out_id)) {
            *out_id = id;
            found = true;
        }
    }
    return found;
}

/* Kafka looks at the ids in ascending order: the first fault is named. */
static void judge_replicas(struct reassign_run *run, const struct topic *t, const struct reassignable_partition *ask,
                           struct reassignable_partition_response *out)
{
    const char *begin = "The manual partition assignment includes";
    const struct server *sv = run->walk.req->server;
    int32_t leader = topology_leader_of(sv, t->id, ask->partition_index).node_id, foreign = 0;
    uint32_t leader_count;
    bool other = find_foreign_broker(sv, ask, leader, &foreign, &leader_count);
    if (ask->replicas.n == 0)
        refuse_reassignment(run, out, KERR_INVALID_REPLICA_ASSIGNMENT, "%s an empty replica list.", begin);
    else if (leader_count > 1 && (!other || foreign > leader))
        refuse_reassignment(run, out, KERR_INVALID_REPLICA_ASSIGNMENT, "%s the broker %d more than once.", begin,
                            leader);
    else if (other)
        refuse_reassignment(run, out, KERR_INVALID_REPLICA_ASSIGNMENT,
                            "%s broker %d, but no such broker is registered.", begin, foreign);
    else if (ask->replicas.n != 1 || leader_count != 1)
        refuse_reassignment(run, out, KERR_INVALID_REPLICA_ASSIGNMENT,
                            "The partition stays with broker %d alone: its topic's id decides which core has it.",
                            leader);
}

/* --- the walk --- */

static int32_t begin_reassigned_topic(struct answering *walk)
{
    struct reassign_run *run = container_of(walk, struct reassign_run, walk);
    const struct reassignable_topic *ask = &run->ask->topics.v[walk->row];
    struct reassignable_topic_response *out = &run->r.responses.v[walk->row];
    reassignable_topic_response_init(out);
    out->name = ask->name;
    out->partitions.v = request_alloc(walk->req, (size_t)ask->partitions.n * sizeof *out->partitions.v + 1);
    out->partitions.n = ask->partitions.n;
    return out->partitions.v ? ask->partitions.n : -1;
}

static void reassign_partition(struct answering *walk)
{
    struct reassign_run *run = container_of(walk, struct reassign_run, walk);
    const struct reassignable_topic *topic = &run->ask->topics.v[walk->row];
    const struct reassignable_partition *ask = &topic->partitions.v[walk->item];
    struct reassignable_partition_response *out = &run->r.responses.v[walk->row].partitions.v[walk->item];
    const struct topic *t = topic_named(walk->req, topic->name);
    reassignable_partition_response_init(out);
    out->partition_index = ask->partition_index;
    out->error_message = view_of(NULL);
    if (!t)
        refuse_reassignment(run, out, KERR_UNKNOWN_TOPIC_OR_PARTITION, "Unable to find a topic named %.*s.",
                            (int)topic->name.n, (const char *)topic->name.at);
    else if (!topic_has_partition(t, ask->partition_index))
        refuse_reassignment(run, out, KERR_UNKNOWN_TOPIC_OR_PARTITION, "Unable to find partition %s:%d.", t->name,
                            ask->partition_index);
    else if (ask->replicas.n < 0)
        out->error_code = KERR_NO_REASSIGNMENT_IN_PROGRESS;
    else
        judge_replicas(run, t, ask, out);
}

static void reply_reassignments(struct answering *walk)
{
    struct reassign_run *run = container_of(walk, struct reassign_run, walk);
    REQUEST_REPLY_LARGE(walk->req, alter_partition_reassignments_response, &run->r);
}

static const struct answering_kind reassign_kind = {
    .begin = begin_reassigned_topic, .answer = reassign_partition, .reply = reply_reassignments};

void alter_partition_reassignments_run(struct request *req)
{
    struct alter_partition_reassignments_request *m = REQUEST_DECODE(req, alter_partition_reassignments_request);
    if (!m)
        return;
    struct reassign_run *run = request_zalloc(req, sizeof *run);
    struct reassignable_topic_response *topics = request_alloc(req, (size_t)m->topics.n * sizeof *topics + 1);
    if (!run || !topics) {
        request_fail(req, no_memory);
        return;
    }
    run->ask = m;
    alter_partition_reassignments_response_init(&run->r);
    if (m->topics.n > 0) { /* Kafka answers a request for nothing with its defaults */
        run->r.error_message = view_of(NULL);
        run->r.allow_replication_factor_change = m->allow_replication_factor_change;
    }
    run->r.responses.v = topics;
    run->r.responses.n = m->topics.n;
    answering_begin(&run->walk, req, &reassign_kind, m->topics.n);
}

void list_partition_reassignments_run(struct request *req)
{
    if (!REQUEST_DECODE(req, list_partition_reassignments_request))
        return;
    struct list_partition_reassignments_response r;
    list_partition_reassignments_response_init(&r);
    r.error_message = view_of(NULL);
    REQUEST_REPLY(req, list_partition_reassignments_response, &r);
}
