/* DescribeProducers: what each partition knows of its producers, so that a transaction that hangs is found. A partition may know 65,536. Its owner
 * holds them as they are; home copies some in each step, and sends what is held back.
 *
 *   owner: hold --> home: came --a step a turn, of all that came--> whole --> owner: closed */
#include "net/api/asking_topics.h"
#include "net/api/reply.h"

enum {
    HOLD_UNITS = 50,     /* of a step: some 50 us of the owner where there are very many */
    PRODUCERS_A_UNIT = 8 /* are copied in less than a microsecond */
};

struct producers_run {
    struct asking_topics walk;
    const struct describe_producers_request *ask;
    struct describe_producers_response r;
    bool legal;           /* the topic's name is */
    struct list came;     /* struct producers_part, not whole yet */
    struct steps copying; /* of those */
};
/* In the owner's memory. */
struct held_producers {
    struct shard_msg back;
    struct producers *v;
};
struct producers_part {
    struct asked_partition asked;
    struct describe_producers_partition_response *out;
    struct held_producers *held; /* NULL: an error, or there are none */
    struct list link;
};

/* --- on the owner --- */

static void close_held_producers(struct heap *heap, struct held_producers *held)
{
    producers_close(held->v);
    heap_free(heap, held);
}

static void held_producers_back(struct shard *at, struct shard_msg *msg)
{
    close_held_producers(at->heap, container_of(msg, struct held_producers, back));
}

/* False: no memory. */
static bool hold_for_home(const struct partition *p, struct heap *heap, struct held_producers **out)
{
    struct producers *v;
    if (partition_hold_producers(p, &v))
        return false;
    *out = v ? heap_alloc(heap, sizeof **out) : NULL;
    if (*out)
        (*out)->v = v;
    else
        producers_close(v);
    return *out || !v;
}

static void ask_producers(struct part_call *c, struct partition *p)
{
    struct producers_part *part = container_of(c, struct producers_part, asked.call);
    struct partition_facts f;
    enum kerr error = partition_check_asked(p, -1, KERR_NOT_LEADER_OR_FOLLOWER, &f);
    if (!error && !hold_for_home(p, c->owner->heap, &part->held))
        error = KERR_KAFKA_STORAGE_ERROR;
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

/* As far as the step goes. True: it is whole. */
static bool copy_some_producers(struct producers_part *part, struct steps *s)
{
    struct producer_facts facts[PRODUCERS_A_UNIT];
    const struct producers *from = part->held->v;
    uint32_t count = producers_count(from), at = (uint32_t)part->out->active_producers.n;
    for (; at < count && steps_go_on(s); steps_spend(s, 1)) {
        uint32_t n = (uint32_t)u64_min(count - at, PRODUCERS_A_UNIT);
        producers_facts(from, at, n, facts);
        for (uint32_t i = 0; i < n; i++)
            fill_producer(&facts[i], &part->out->active_producers.v[at + i]);
        at += n;
    }
    part->out->active_producers.n = (int32_t)at;
    return at == count;
}

static void give_producers_back(const struct producers_part *part)
{
    shard_msg_init(&part->held->back, held_producers_back);
    shard_send(part->asked.call.home, part->asked.call.owner->id, &part->held->back);
}

static bool copy_producers_step(struct steps *s)
{
    struct producers_run *run = container_of(s, struct producers_run, copying);
    struct list *first = list_first(&run->came);
    while (first) {
        struct producers_part *part = container_of(first, struct producers_part, link);
        if (!copy_some_producers(part, s))
            return true;
        list_remove(first);
        first = list_first(&run->came);
        give_producers_back(part);
        asking_answered(&run->walk.asking); /* with the last one `run` is gone */
    }
    return false;
}

static bool producers_came(struct asked_partition *a)
{
    struct producers_part *part = container_of(a, struct producers_part, asked);
    if (!part->held)
        return true;
    struct producers_run *run = container_of(a->run, struct producers_run, walk.asking);
    size_t bytes = (size_t)producers_count(part->held->v) * sizeof *part->out->active_producers.v;
    part->out->active_producers.v = request_alloc(a->run->req, bytes);
    if (!part->out->active_producers.v) {
        part->out->error_code = KERR_KAFKA_STORAGE_ERROR;
        give_producers_back(part);
        return true;
    }
    list_init(&part->link);
    list_push(&run->came, &part->link);
    steps_resume(&a->run->req->server->steps, &run->copying);
    return false;
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
    steps_spend(&walk->asking.steps, HOLD_UNITS);
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
    list_init(&run->came);
    steps_init(&run->copying, copy_producers_step);
    describe_producers_response_init(&run->r);
    run->r.topics.v = topics;
    run->r.topics.n = m->topics.n;
    asking_topics_begin(&run->walk, req, &producers_kind, m->topics.n);
}
