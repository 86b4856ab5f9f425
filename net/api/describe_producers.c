/* DescribeProducers: what each partition knows of its producers, so that a transaction that hangs is found. Asked on the partition's owner, whose
 * memory the answer is: home copies it, and sends it back at once. */
#include "net/api/asking_topics.h"
#include "net/api/reply.h"

struct producers_run {
    struct asking_topics walk;
    const struct describe_producers_request *ask;
    struct describe_producers_response r;
    bool legal; /* the topic's name is */
};
/* In the owner's memory. */
struct producers_found {
    struct shard_msg back;
    struct producer_facts *v;
    uint32_t count;
};
struct producers_part {
    struct asked_partition asked;
    struct describe_producers_partition_response *out;
    struct producers_found *found; /* NULL: an error, or there are none */
};

/* --- on the owner --- */

static void free_found_producers(struct heap *heap, struct producers_found *found)
{
    heap_free(heap, found->v);
    heap_free(heap, found);
}

static void found_producers_back(struct shard *at, struct shard_msg *msg)
{
    free_found_producers(at->heap, container_of(msg, struct producers_found, back));
}

/* NULL: no memory. */
static struct producers_found *find_producers(const struct partition *p, struct heap *heap)
{
    struct producers_found *found = heap_alloc(heap, sizeof *found);
    if (!found)
        return NULL;
    if (!partition_producers(p, heap, &found->v, &found->count))
        return found;
    heap_free(heap, found);
    return NULL;
}

static void ask_producers(struct part_call *c, struct partition *p)
{
    struct producers_part *part = container_of(c, struct producers_part, asked.call);
    struct partition_facts f;
    enum kerr error = partition_check_asked(p, -1, KERR_NOT_LEADER_OR_FOLLOWER, &f);
    if (!error) {
        part->found = find_producers(p, c->owner->heap);
        error = part->found ? KERR_NONE : KERR_KAFKA_STORAGE_ERROR;
    }
    part->out->error_code = (int16_t)error;
    part_call_done(c);
}

/* --- at home --- */

static void fill_producer(const struct producer_facts *f, struct describe_producers_producer_state *out)
{
    describe_producers_producer_state_init(out);
    out->producer_id = f->producer_id;
    out->producer_epoch = f->producer_epoch;
    out->last_sequence = f->last_sequence;
    out->last_timestamp = f->last_timestamp;
    out->coordinator_epoch = f->coordinator_epoch;
    out->current_txn_start_offset = f->txn_start_offset;
}

static void producers_came(struct asked_partition *a)
{
    struct producers_part *part = container_of(a, struct producers_part, asked);
    struct producers_found *found = part->found;
    if (!found)
        return;
    struct describe_producers_producer_state *v = request_alloc(a->run->req, (size_t)found->count * sizeof *v + 1);
    for (uint32_t i = 0; v && i < found->count; i++)
        fill_producer(&found->v[i], &v[i]);
    part->out->active_producers.v = v;
    part->out->active_producers.n = v ? (int32_t)found->count : 0;
    part->out->error_code = v ? KERR_NONE : KERR_KAFKA_STORAGE_ERROR;
    shard_msg_init(&found->back, found_producers_back);
    shard_send(a->call.home, a->call.owner->id, &found->back);
}

static struct producers_run *producers_run_of(const struct asking_topics *walk)
{
    return container_of(walk, struct producers_run, walk);
}

static struct asked_topic producers_topic(const struct asking_topics *walk)
{
    const struct describe_producers_topic_request *ask = &producers_run_of(walk)->ask->topics.v[walk->topic];
    return (struct asked_topic){ask->name, ask->partition_indexes.n};
}

static void begin_producers_topic(struct asking_topics *walk, const struct topic *t)
{
    (void)t;
    struct producers_run *run = producers_run_of(walk);
    const struct describe_producers_topic_request *ask = &run->ask->topics.v[walk->topic];
    struct describe_producers_topic_response *out = &run->r.topics.v[walk->topic];
    run->legal = topic_name_legal(ask->name.at, (size_t)ask->name.n);
    describe_producers_topic_response_init(out);
    out->name = ask->name;
    out->partitions.v = asking_array(walk, ask->partition_indexes.n, sizeof *out->partitions.v);
    out->partitions.n = ask->partition_indexes.n;
}

/* Kafka has a sentence only where it is the topic that is at fault. */
static void refuse_producers_part(const struct producers_run *run, const struct topic *t,
                                  struct describe_producers_partition_response *out)
{
    out->error_code = run->legal ? KERR_UNKNOWN_TOPIC_OR_PARTITION : KERR_INVALID_TOPIC_EXCEPTION;
    if (!t)
        out->error_message = view_of(run->legal ? "This server does not host this topic-partition." : topic_name_rule);
}

static void start_producers_part(struct asking_topics *walk, const struct topic *t)
{
    struct producers_run *run = producers_run_of(walk);
    int32_t index = run->ask->topics.v[walk->topic].partition_indexes.v[walk->partition];
    struct describe_producers_partition_response *out = &run->r.topics.v[walk->topic].partitions.v[walk->partition];
    describe_producers_partition_response_init(out);
    out->partition_index = index;
    if (!topic_has_partition(t, index)) {
        refuse_producers_part(run, t, out);
        return;
    }
    const struct server *sv = walk->asking.req->server;
    if (!topology_tells_of(sv, topic_shard(t->id, index, sv->shard->count))) {
        out->error_code = KERR_NOT_LEADER_OR_FOLLOWER;
        return;
    }
    struct producers_part *part = asking_part(walk, sizeof *part, &out->error_code);
    if (!part)
        return;
    part->out = out;
    part->asked.at_home = producers_came;
    asking_ask(&walk->asking, &part->asked, t, index, ask_producers);
}

static void reply_producers(struct asking_topics *walk)
{
    REQUEST_REPLY_LARGE(walk->asking.req, describe_producers_response, &producers_run_of(walk)->r);
}

static const struct asking_kind producers_kind = {
    .topic = producers_topic, .begin = begin_producers_topic, .ask = start_producers_part, .reply = reply_producers};

void describe_producers_run(struct request *req)
{
    struct describe_producers_request *m = REQUEST_DECODE(req, describe_producers_request);
    if (!m)
        return;
    struct producers_run *run = request_zalloc(req, sizeof *run);
    struct describe_producers_topic_response *topics = request_alloc(req, (size_t)m->topics.n * sizeof *topics + 1);
    if (!run || !topics) {
        request_fail(req, no_memory);
        return;
    }
    run->ask = m;
    describe_producers_response_init(&run->r);
    run->r.topics.v = topics;
    run->r.topics.n = m->topics.n;
    asking_topics_begin(&run->walk, req, &producers_kind, m->topics.n);
}
