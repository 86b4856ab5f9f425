/* ElectLeaders. Every partition is led by its one replica, which is the preferred one: ELECTION_NOT_NEEDED, or nothing to tell when all
 * partitions are asked for. */
#include "net/api/answering.h"
#include "net/api/reply.h"

enum { ELECT_PREFERRED = 0, ELECT_UNCLEAN = 1, MESSAGE_BYTES = 400 };

struct elect_run {
    struct answering walk;
    const struct elect_leaders_request *ask;
    struct elect_leaders_response r;
    struct kview fault; /* of the kind of election; null: none */
};

static int32_t begin_elected_topic(struct answering *walk)
{
    struct elect_run *run = container_of(walk, struct elect_run, walk);
    const struct elect_leaders_topic *ask = &run->ask->topic_partitions.v[walk->row];
    struct replica_election_result *out = &run->r.replica_election_results.v[walk->row];
    replica_election_result_init(out);
    out->topic = ask->topic;
    out->partition_result.v = request_alloc(walk->req, (size_t)ask->partitions.n * sizeof *out->partition_result.v + 1);
    out->partition_result.n = ask->partitions.n;
    return out->partition_result.v ? ask->partitions.n : -1;
}

static struct kview say_unknown_partition(struct request *req, const struct topic *t, struct kview name, int32_t index)
{
    return view_of(t ? request_say(req, MESSAGE_BYTES, "No such partition as %s-%d", t->name, index)
                     : request_say(req, MESSAGE_BYTES, "No such topic as %.*s", name.n, (const char *)name.at));
}

static void elect_leader(struct answering *walk)
{
    struct elect_run *run = container_of(walk, struct elect_run, walk);
    const struct elect_leaders_topic *topic = &run->ask->topic_partitions.v[walk->row];
    struct elect_leaders_partition_result *out =
        &run->r.replica_election_results.v[walk->row].partition_result.v[walk->item];
    const struct topic *t = topic_named(walk->req, topic->topic);
    elect_leaders_partition_result_init(out);
    out->partition_id = topic->partitions.v[walk->item];
    out->error_code = (int16_t)(run->fault.n < 0 ? KERR_ELECTION_NOT_NEEDED : KERR_INVALID_REQUEST);
    out->error_message = run->fault;
    if (run->fault.n >= 0)
        return;
    out->error_message = view_of("Leader election not needed for topic partition.");
    if (topic_has_partition(t, out->partition_id))
        return;
    out->error_code = KERR_UNKNOWN_TOPIC_OR_PARTITION;
    out->error_message = say_unknown_partition(walk->req, t, topic->topic, out->partition_id);
}

static void reply_elections(struct answering *walk)
{
    struct elect_run *run = container_of(walk, struct elect_run, walk);
    REQUEST_REPLY_LARGE(walk->req, elect_leaders_response, &run->r);
}

static const struct answering_kind elect_kind = {
    .begin = begin_elected_topic, .answer = elect_leader, .reply = reply_elections};

/* All partitions: those that have the leader that they should have are not named, so their topics are, without any. */
static int32_t name_elected_topic(struct answering *walk)
{
    struct elect_run *run = container_of(walk, struct elect_run, walk);
    int32_t n = run->r.replica_election_results.n;
    struct replica_election_result *out = &run->r.replica_election_results.v[n];
    const struct topic *t = topic_after(walk->req, n > 0 ? out[-1].topic : view_of(NULL));
    if (!t) /* some were deleted meanwhile */
        return 0;
    replica_election_result_init(out);
    out->topic = request_copy(walk->req, view_of(t->name));
    run->r.replica_election_results.n++;
    return out->topic.n < 0 ? -1 : 0;
}

/* Null: it is one of Kafka's. */
static struct kview find_election_fault(struct request *req, int8_t type)
{
    bool known = type == ELECT_PREFERRED || type == ELECT_UNCLEAN;
    return view_of(known ? NULL : request_say(req, MESSAGE_BYTES, "Unknown election type %d", type));
}

static const struct answering_kind elect_all_kind = {.begin = name_elected_topic, .reply = reply_elections};

void elect_leaders_run(struct request *req)
{
    struct elect_leaders_request *m = REQUEST_DECODE(req, elect_leaders_request);
    if (!m)
        return;
    bool all = m->topic_partitions.n < 0;
    int32_t topics = all ? (int32_t)server_catalog(req->server)->count : m->topic_partitions.n;
    struct elect_run *run = request_zalloc(req, sizeof *run);
    struct replica_election_result *results = request_alloc(req, (size_t)topics * sizeof *results + 1);
    if (!run || !results) {
        request_fail(req, no_memory);
        return;
    }
    run->ask = m;
    elect_leaders_response_init(&run->r);
    run->fault = find_election_fault(req, m->election_type);
    if (run->fault.n >= 0 && m->topic_partitions.n != 0)
        run->r.error_code = KERR_INVALID_REQUEST;
    if (all && run->fault.n >= 0)
        topics = 0;
    run->r.replica_election_results.v = results;
    run->r.replica_election_results.n = all ? 0 : topics;
    answering_begin(&run->walk, req, all ? &elect_all_kind : &elect_kind, topics);
}
