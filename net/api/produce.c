/* Produce: record batches to partitions, in Kafka's order of errors; acks as storage/README.md promises.
 *
 *   decode --> one part per partition --> its owner appends --> all answered --> reply (acks=0: none, an error closes)
 *
 * Ours on purpose:
 * - timeout_ms is not looked at: there are no replicas to wait for, and a durable write that was begun cannot be called back.
 * - A partition named twice in one request is appended to twice, in order, and answered twice. (Kafka's broker keeps the last and
 *   says nothing about the others.)
 *
 * transactional_id is looked at only where there are transactional batches, as in Kafka: without an id the request is refused. */
#include "core/bytes.h"
#include "net/api/produce.h"
#include "net/api/reply.h"

enum {
    PRODUCE_UNIT_BYTES = 512, /* of records: one unit of a step (steps.h), as copying, summing and fresh memory cost */
    LOOKED_AT_PER_UNIT = 8,   /* batches, whose headers are not in the cache */
    PRODUCE_PART_UNITS = 5,   /* of a partition, with its part of the wave */
};

/* --- the reply --- */

static void finish_produce(struct countdown *c)
{
    struct produce *all = container_of(c, struct produce, parts);
    struct request *req = all->req;
    if (all->no_memory)
        request_fail(req, no_memory);
    else if (all->acks != 0)
        REQUEST_REPLY_LARGE(req, produce_response, &all->response);
    else if (all->failed)
        request_fail(req, "its Produce with acks=0 failed, which only a closed connection can tell");
    else
        request_no_reply(req);
}

void produce_refuse(struct produce *all, struct partition_produce_response *out, enum kerr error)
{
    out->error_code = (int16_t)error;
    out->base_offset = -1;
    all->failed = true;
}

/* Which records were wrong, for Produce v8 and later; older versions drop them. The batch is still in the frame: none was copied. */
static void explain_fault(struct produce_part *part)
{
    const struct append *a = &part->append;
    struct batch_faults faults;
    int32_t record, count = 0;
    const char *message;
    if (!a->fault.message)
        return;
    part->out->error_message = view_of(a->fault.message);
    if (part->all->req->version < 8 || a->fault.record < 0)
        return;
    batch_faults_init(&faults, &a->fault, a->records, a->bytes);
    while (batch_faults_next(&faults, &record, &message))
        count++;
    struct batch_index_and_error_message *v = request_alloc(part->all->req, (size_t)count * sizeof *v);
    if (!v)
        return; /* the message says it too */
    part->out->record_errors.v = v;
    batch_faults_init(&faults, &a->fault, a->records, a->bytes);
    while (batch_faults_next(&faults, &record, &message)) {
        batch_index_and_error_message_init(v);
        v->batch_index = record;
        v->batch_index_error_message = view_of(message);
        v++;
    }
    part->out->record_errors.n = count;
}

/* The receive buffer is free when the partitions have their copies, before the disk is. */
static void frame_copied(struct countdown *c)
{
    request_release(container_of(c, struct produce, lent)->req);
}

void produce_let_go_of_frame(struct produce_part *part)
{
    if (!part->lent)
        return;
    part->lent = false;
    countdown_done(&part->all->lent);
}

void produce_end_part(struct produce_part *part)
{
    struct produce *all = part->all;
    struct append *a = &part->append;
    struct server_counters *counters = &all->req->server->counters;
    if (a->error) {
        produce_refuse(all, part->out, a->error);
        explain_fault(part); /* reads the frame */
        append_forget_faults(a, part->call.home, part->call.owner);
    } else {
        counters->produced_batches++;
        counters->produced_bytes += a->bytes;
        part->out->base_offset = a->base_offset;
        part->out->log_append_time_ms = a->append_time_ms;
        part->out->log_start_offset = a->log_start_offset;
    }
    produce_let_go_of_frame(part);
    countdown_done(&all->parts);
}

static void produce_answered(struct part_call *c)
{
    struct produce_part *part = container_of(c, struct produce_part, call);
    if (!part->txn || !produce_txn_answered(part))
        produce_end_part(part);
}

/* --- on the owner --- */

static void part_appended(struct append *a)
{
    struct produce_part *part = container_of(a, struct produce_part, append);
    struct shard *owner = part->call.owner;
    if (part->copy && !(part->txn && produce_txn_keeps_copy(part))) {
        append_list_faults(a, owner);
        heap_free(owner->heap, part->copy);
        recoverer_give_bytes(&store_of(owner)->log, a->bytes);
        part->copy = NULL;
    }
    part_call_done(&part->call);
}

static void copied_arrived(struct shard *at, struct shard_msg *msg)
{
    (void)at;
    produce_let_go_of_frame(container_of(msg, struct produce_part, copied));
}

/* The partition is to be recovered first. (A batch that finds no room to wait in is refused, retriably.) */
static bool hold_batch(struct part_call *c)
{
    struct produce_part *part = container_of(c, struct produce_part, call);
    struct append *a = &part->append;
    struct log_store *log = &store_of(c->owner)->log;
    if (part->copy) /* it has waited before */
        return true;
    if (!recoverer_take_bytes(log, a->bytes))
        return false;
    part->copy = heap_alloc(c->owner->heap, a->bytes);
    if (!part->copy) {
        recoverer_give_bytes(log, a->bytes);
        return false;
    }
    memcpy(part->copy, a->records, a->bytes);
    a->records = part->copy;
    if (c->owner != c->home) {
        shard_msg_init(&part->copied, copied_arrived);
        shard_send(c->owner, c->home->id, &part->copied);
    }
    return true;
}

static void append_part(struct part_call *c, struct partition *p)
{
    struct produce_part *part = container_of(c, struct produce_part, call);
    if (part->txn && produce_txn_refused(part)) {
        part_appended(&part->append);
    } else if (p) {
        partition_append(p, &part->append);
        if (part->txn)
            produce_txn_begun(part);
    } else {
        part->append.error = KERR_UNKNOWN_TOPIC_OR_PARTITION;
        part_appended(&part->append);
    }
}

/* --- taking the request apart --- */

/* Kafka's tools may write to internal topics under this client id only. */
static bool is_admin_client(const struct request *req)
{
    return view_is(req->header.client_id, "__admin_client");
}

static const struct topic *topic_of_produce(const struct produce *all, const struct topic_produce_data *in)
{
    return topic_asked(all->req, all->req->version >= 13, in->name, in->topic_id);
}

/* One whole batch of today's format and no other: what Kafka looks at before acks, where acks are possible the append does. */
static bool is_one_batch(struct krecords records)
{
    enum { LENGTH_AT = 8, LENGTH_END = 12, MAGIC_AT = 16, MAGIC_END = 17 };
    if (records.n < MAGIC_END || records.at[MAGIC_AT] != 2)
        return false;
    uint64_t left = (uint64_t)records.n, bytes = LENGTH_END + (uint64_t)be32_get(records.at + LENGTH_AT);
    if (bytes > left)
        return false;
    left -= bytes;
    return left < MAGIC_END || left < LENGTH_END + (uint64_t)be32_get(records.at + bytes + LENGTH_AT);
}

/* One batch of a transaction without a transactional id spoils the whole request, as in Kafka; of whom the others are counts only where
 * Kafka would append them. */
static void look_at_batch(struct produce *all, const struct topic *t, const struct partition_produce_data *in)
{
    if (all->txn)
        produce_txn_look(all->txn, in->records, topic_has_partition(t, in->index) && is_one_batch(in->records));
    else if (produce_is_transactional(in->records))
        all->refused = KERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
}

/* False: at some of them, as far as this step goes. */
static bool look_at_batches(struct produce *all, struct steps *s)
{
    while (all->at_topic < all->ask->topic_data.n && !all->no_memory) {
        const struct topic_produce_data *in = &all->ask->topic_data.v[all->at_topic];
        if (!steps_go_on(s))
            return false;
        const struct topic *t = topic_of_produce(all, in);
        steps_spend(s, 1);
        for (int32_t i = 0; i < LOOKED_AT_PER_UNIT && all->at_partition < in->partition_data.n; i++)
            look_at_batch(all, t, &in->partition_data.v[all->at_partition++]);
        if (all->at_partition < in->partition_data.n)
            continue;
        all->at_topic++;
        all->at_partition = 0;
    }
    all->looked = true;
    all->at_topic = all->at_partition = 0;
    if (all->txn)
        produce_txn_looked(all);
    return true;
}

static enum kerr check_produce_topic(const struct produce *all, const struct topic *t)
{
    const struct request *req = all->req;
    if (all->refused)
        return all->refused;
    if (!t)
        return req->version >= 13 ? KERR_UNKNOWN_TOPIC_ID : KERR_UNKNOWN_TOPIC_OR_PARTITION;
    if (t->internal && !is_admin_client(req))
        return KERR_INVALID_TOPIC_EXCEPTION;
    return KERR_NONE;
}

static enum kerr check_produce_partition(const struct produce *all, const struct topic *t, enum kerr topic_error,
                                         const struct partition_produce_data *in)
{
    if (topic_error)
        return topic_error;
    if (!topic_has_partition(t, in->index))
        return KERR_UNKNOWN_TOPIC_OR_PARTITION;
    if (in->records.n <= 0)
        return KERR_INVALID_RECORD; /* at least one batch */
    if (all->txn && is_one_batch(in->records) && !produce_txn_is_of(all->txn, in->records))
        return KERR_INVALID_PRODUCER_ID_MAPPING; /* its topic came when it had been looked at */
    if (all->acks >= -1 && all->acks <= 1)
        return KERR_NONE;
    return is_one_batch(in->records) ? KERR_INVALID_REQUIRED_ACKS : KERR_INVALID_RECORD;
}

void produce_ask(struct produce_part *part)
{
    if (part_call_start(part->all->req->server->shard, &part->call) && (part->append.copied || part->copy))
        produce_let_go_of_frame(part);
}

static void start_produce_part(struct produce *all, const struct topic *t, const struct partition_produce_data *in,
                               struct partition_produce_response *out)
{
    struct produce_part *part = request_zalloc(all->req, sizeof *part);
    if (!part) {
        all->no_memory = true;
        return;
    }
    part->all = all;
    part->out = out;
    memcpy(part->call.topic_id, t->id, sizeof t->id);
    part->call.partition = in->index;
    part->call.ask = append_part;
    part->call.answered = produce_answered;
    part->call.hold = hold_batch;
    part->append.records = in->records.at;
    part->append.bytes = (uint32_t)in->records.n;
    part->append.produce_version = all->req->version;
    part->append.done = part_appended;
    list_init(&part->append.link);
    if (all->txn && produce_is_transactional(in->records) && !produce_txn_add(part, t)) {
        all->no_memory = true;
        return;
    }
    countdown_add(&all->parts);
    countdown_add(&all->lent);
    part->lent = true;
    produce_ask(part);
}

static void start_produce_partition(struct produce *all, const struct topic *t, enum kerr topic_error,
                                    const struct partition_produce_data *in, struct partition_produce_response *out)
{
    partition_produce_response_init(out);
    out->index = in->index;
    enum kerr error = check_produce_partition(all, t, topic_error, in);
    if (error)
        produce_refuse(all, out, error);
    else
        start_produce_part(all, t, in, out);
}

static void begin_produce_topic(struct produce *all, const struct topic_produce_data *in,
                                struct topic_produce_response *out)
{
    struct request *req = all->req;
    topic_produce_response_init(out);
    out->name = request_copy(req, in->name);
    out->topic_id = in->topic_id;
    out->partition_responses.v = request_alloc(req, (size_t)in->partition_data.n * sizeof *out->partition_responses.v);
    out->partition_responses.n = in->partition_data.n;
    all->no_memory = !out->partition_responses.v || out->name.n != in->name.n;
}

/* As many of the next topic's partitions as this step may. */
static void start_produce_topic(struct produce *all, struct steps *s)
{
    const struct topic_produce_data *in = &all->ask->topic_data.v[all->at_topic];
    struct topic_produce_response *out = &all->response.responses.v[all->at_topic];
    const struct topic *t = topic_of_produce(all, in);
    enum kerr topic_error = check_produce_topic(all, t);
    if (all->at_partition == 0)
        begin_produce_topic(all, in, out);
    steps_spend(s, 1);
    for (; all->at_partition < in->partition_data.n && !all->no_memory && steps_go_on(s); all->at_partition++) {
        const struct partition_produce_data *part = &in->partition_data.v[all->at_partition];
        start_produce_partition(all, t, topic_error, part, &out->partition_responses.v[all->at_partition]);
        steps_spend(s, PRODUCE_PART_UNITS + (uint32_t)(part->records.n > 0 ? part->records.n : 0) / PRODUCE_UNIT_BYTES);
    }
    if (all->at_partition < in->partition_data.n)
        return;
    all->at_topic++;
    all->at_partition = 0;
}

/* What comes behind it on its connection waits until all its parts are on their way. */
static bool produce_step(struct steps *s)
{
    struct produce *all = container_of(s, struct produce, steps);
    if (!all->looked && !look_at_batches(all, s)) {
        request_hold(all->req);
        return true;
    }
    while (all->at_topic < all->ask->topic_data.n && !all->no_memory) {
        if (!steps_go_on(s)) {
            request_hold(all->req);
            return true;
        }
        start_produce_topic(all, s);
    }
    if (all->txn)
        produce_txn_all_asked(all);
    else
        request_let_go(all->req);
    countdown_done(&all->lent);
    countdown_done(&all->parts);
    return false;
}

void produce_run(struct request *req)
{
    const struct produce_request *m = REQUEST_DECODE(req, produce_request);
    if (!m)
        return;
    struct produce *all = request_alloc(req, sizeof *all);
    if (!all) {
        request_fail(req, no_memory);
        return;
    }
    *all = (struct produce){.req = req, .acks = m->acks, .ask = m};
    countdown_begin(&all->parts, finish_produce);
    countdown_begin(&all->lent, frame_copied);
    struct produce_response *r = &all->response;
    produce_response_init(r);
    r->responses.v = request_alloc(req, (size_t)m->topic_data.n * sizeof *r->responses.v);
    r->responses.n = m->topic_data.n;
    all->no_memory |= !r->responses.v;
    if (m->transactional_id.n >= 0 && !all->no_memory)
        produce_txn_begin(all);
    steps_start(&req->server->steps, &all->steps, produce_step);
}
