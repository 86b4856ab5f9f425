/* Produce in transactions: which batches the transaction's coordinator must be asked about, and what becomes of its answer
 * (Kafka: ReplicaManager.handleProduceAppend, AddPartitionsToTxnManager).
 *
 *   parts asked --all taken, or waiting for the coordinator--> [question --> those that wait are asked again] --> let go
 *
 * Below version 12 the coordinator only says whether the partitions are in the ongoing transaction; from 12 on (KIP-890) it adds
 * them. Ours on purpose: Kafka asks again for a while where the id is at the end of its last transaction; here the question waits there. */
#include "core/bytes.h"
#include "net/api/produce.h"
#include "net/api/reply.h"
#include "net/txn/txn_ask.h"

enum { ADDS_SINCE = 12, KNOWS_ABORTABLE_SINCE = 11, PRODUCER_ID_AT = 43, EPOCH_AT = 51, EPOCH_END = 53 };

struct produce_txn_part {
    struct produce_part *part;
    struct kview topic; /* the request's */
    bool taken;         /* home's: its place in the partition is certain, or the coordinator is to be asked */
    bool refused;
    struct shard_msg took; /* the owner's */
};
struct produce_txn {
    struct produce *all;
    int64_t producer_id;
    int16_t producer_epoch;
    struct kview id;        /* transactional */
    struct countdown taken; /* parts that are not, plus one while they are asked */
    uint32_t count;         /* batches of the transaction */
    struct produce_part **asking;
    struct txn_partition *parts; /* the same, for the question */
    enum kerr *errors;           /* of each */
    uint32_t asking_count, at;
    const struct topic_produce_data *named; /* whose partitions have `name` */
    struct kview name;
    struct txn_question question;
    struct steps steps;
};

/* --- which parts wait --- */

static bool is_question_open(const struct produce_part *part)
{
    const struct append *a = &part->append;
    return a->error == KERR_INVALID_TXN_STATE && a->guard && !part->txn->refused;
}

static void ask_transaction_coordinator(struct produce_txn *txn);

static void all_batches_taken(struct countdown *c)
{
    struct produce_txn *txn = container_of(c, struct produce_txn, taken);
    if (txn->asking_count)
        ask_transaction_coordinator(txn);
    else
        request_let_go(txn->all->req);
}

static void batch_taken(struct produce_part *part)
{
    if (part->txn->taken)
        return;
    part->txn->taken = true;
    countdown_done(&part->all->txn->taken);
}

static void took_arrived(struct shard *at, struct shard_msg *msg)
{
    (void)at;
    struct produce_txn_part *t = container_of(msg, struct produce_txn_part, took);
    batch_taken(t->part);
}

void produce_txn_begun(struct produce_part *part)
{
    struct part_call *c = &part->call;
    if (!part->append.copied || part->append.error)
        return; /* parked, or refused: its end says more */
    if (c->owner == c->home) {
        batch_taken(part);
        return;
    }
    shard_msg_init(&part->txn->took, took_arrived);
    shard_send(c->owner, c->home->id, &part->txn->took);
}

bool produce_txn_refused(const struct produce_part *part)
{
    return part->txn->refused;
}

bool produce_txn_keeps_copy(const struct produce_part *part)
{
    return is_question_open(part);
}

bool produce_txn_answered(struct produce_part *part)
{
    struct produce_txn *txn = part->all->txn;
    bool open = is_question_open(part);
    if (open) {
        assert(txn->asking_count < txn->count);
        txn->asking[txn->asking_count] = part;
        txn->parts[txn->asking_count++] =
            (struct txn_partition){.topic = part->txn->topic, .partition = part->call.partition};
    }
    batch_taken(part);
    return open;
}

/* --- the answer --- */

/* What a producer is told, as Kafka translates what its coordinator says: clients of old versions know little, and NOT_ENOUGH_REPLICAS
 * is what every one of them tries again without asking for metadata. */
static const struct verification_answer {
    enum kerr said, told;
    int16_t below; /* versions that are told so */
    const char *message;
} verification_answers[] = {
#define UNABLE "Unable to verify the partition has been added to the transaction. Underlying error: "
    {KERR_INVALID_TXN_STATE, KERR_INVALID_TXN_STATE, INT16_MAX, "Partition was not added to the transaction"},
    {KERR_NETWORK_EXCEPTION, KERR_NOT_ENOUGH_REPLICAS, INT16_MAX, UNABLE "NETWORK_EXCEPTION"},
    {KERR_COORDINATOR_LOAD_IN_PROGRESS, KERR_NOT_ENOUGH_REPLICAS, INT16_MAX, UNABLE "COORDINATOR_LOAD_IN_PROGRESS"},
    {KERR_COORDINATOR_NOT_AVAILABLE, KERR_NOT_ENOUGH_REPLICAS, INT16_MAX, UNABLE "COORDINATOR_NOT_AVAILABLE"},
    {KERR_NOT_COORDINATOR, KERR_NOT_ENOUGH_REPLICAS, INT16_MAX, UNABLE "NOT_COORDINATOR"},
    {KERR_CONCURRENT_TRANSACTIONS, KERR_NOT_ENOUGH_REPLICAS, ADDS_SINCE, UNABLE "CONCURRENT_TRANSACTIONS"},
    {KERR_TRANSACTION_ABORTABLE, KERR_INVALID_TXN_STATE, KNOWS_ABORTABLE_SINCE,
     "Partition was not added to the transaction"},
    {KERR_PRODUCER_FENCED, KERR_INVALID_PRODUCER_EPOCH, INT16_MAX, NULL},
#undef UNABLE
};

static struct verification_answer translate_verification(enum kerr said, int16_t version)
{
    for (size_t i = 0; i < COUNT_OF(verification_answers); i++)
        if (verification_answers[i].said == said && version < verification_answers[i].below)
            return verification_answers[i];
    return (struct verification_answer){.said = said, .told = said};
}

/* What the owner still has of it (a copy) goes there. */
static void refuse_unverified_part(struct produce_part *part, enum kerr said)
{
    struct verification_answer a = translate_verification(said, part->all->req->version);
    part->txn->refused = true;
    part->append.error = a.told;
    part->append.fault = (struct batch_fault){.record = -1, .message = a.message};
    if (part->copy)
        produce_ask(part);
    else
        produce_end_part(part);
}

static void go_on_with_part(struct produce_txn *txn, uint32_t at)
{
    struct produce_part *part = txn->asking[at];
    enum kerr error = txn->question.error ? txn->question.error : txn->errors[at];
    if (error) {
        refuse_unverified_part(part, error);
        return;
    }
    countdown_add(&txn->taken);
    part->txn->taken = false;
    produce_ask(part);
}

/* The parts that go on may be asked about again (their partition was opened anew meanwhile): those take the places of the ones before. */
static bool go_on_step(struct steps *s)
{
    struct produce_txn *txn = container_of(s, struct produce_txn, steps);
    struct produce *all = txn->all;
    for (; steps_go_on(s); steps_spend(s, 1)) {
        if (txn->at == txn->question.part_count) {
            countdown_done(&txn->taken);
            countdown_done(&all->parts); /* `all` may be gone */
            return false;
        }
        go_on_with_part(txn, txn->at++);
    }
    return true;
}

static void go_on_after_question(struct produce_txn *txn)
{
    countdown_add(&txn->all->parts);
    countdown_begin(&txn->taken, all_batches_taken);
    txn->at = txn->asking_count = 0;
    steps_start(&txn->all->req->server->steps, &txn->steps, go_on_step);
}

static void transaction_coordinator_answered(struct txn_question *q)
{
    go_on_after_question(container_of(q, struct produce_txn, question));
}

/* --- the question --- */

/* An answer may take a durable write, and longer: a receive buffer is not held for that. Larger frames have memory of their own. */
static void copy_out_of_frame(struct produce_part *part)
{
    struct append *a = &part->append;
    const struct request *req = part->all->req;
    if (!part->lent || !req->block || !block_pooled(req->block))
        return;
    uint8_t *copy = request_alloc(part->all->req, a->bytes);
    if (!copy)
        return; /* then it is held */
    a->records = memcpy(copy, a->records, a->bytes);
    produce_let_go_of_frame(part);
}

static void ask_transaction_coordinator(struct produce_txn *txn)
{
    struct request *req = txn->all->req;
    const struct broker_config *config = server_config(req->server);
    bool add = req->version >= ADDS_SINCE;
    for (uint32_t i = 0; i < txn->asking_count; i++) {
        txn->errors[i] = KERR_NONE;
        if (add)
            copy_out_of_frame(txn->asking[i]);
    }
    txn->question = (struct txn_question){
        .kind = add ? TXN_ASK_ADD : TXN_ASK_VERIFY,
        .call.key = txn->id,
        .producer_id = txn->producer_id,
        .producer_epoch = txn->producer_epoch,
        .version = add ? TXN_VERSION_2 : TXN_VERSION_1,
        .parts = txn->parts,
        .part_count = txn->asking_count,
        .wait_ms = add ? (uint32_t)config->txn_add_wait_ms : 0,
        .errors = txn->errors,
        .answered = transaction_coordinator_answered,
    };
    if (add || config->txn_verification)
        txn_ask(req->server->shard, &txn->question);
    else
        go_on_after_question(txn);
}

/* --- the beginning --- */

static int64_t producer_of(struct krecords records)
{
    return records.n >= EPOCH_END ? (int64_t)be64_get(records.at + PRODUCER_ID_AT) : -1;
}

static int16_t epoch_of(struct krecords records)
{
    return (int16_t)be16_get(records.at + EPOCH_AT);
}

/* Of whom the transactional batches are: all of the same producer and epoch, or the whole request is refused, as in Kafka, which does
 * not ask this of what it cannot append. */
void produce_txn_look(struct produce_txn *txn, struct krecords records, bool appendable)
{
    if (!produce_is_transactional(records))
        return;
    txn->count++;
    if (!appendable || producer_of(records) < 0)
        return; /* the partition refuses it */
    if (txn->producer_id >= 0 && !produce_txn_is_of(txn, records))
        txn->all->refused = KERR_INVALID_PRODUCER_ID_MAPPING;
    txn->producer_id = producer_of(records);
    txn->producer_epoch = epoch_of(records);
}

bool produce_txn_is_of(const struct produce_txn *txn, struct krecords records)
{
    int64_t id = produce_is_transactional(records) ? producer_of(records) : -1;
    return id < 0 || (id == txn->producer_id && epoch_of(records) == txn->producer_epoch);
}

/* False: no memory. */
static bool take_question_memory(struct produce_txn *txn)
{
    struct request *req = txn->all->req;
    txn->id = request_copy(req, txn->all->ask->transactional_id);
    txn->asking = request_alloc(req, txn->count * sizeof(struct produce_part *));
    txn->parts = request_alloc(req, txn->count * sizeof *txn->parts);
    txn->errors = request_alloc(req, txn->count * sizeof *txn->errors);
    return txn->id.n >= 0 && txn->asking && txn->parts && txn->errors;
}

void produce_txn_begin(struct produce *all)
{
    all->txn = request_zalloc(all->req, sizeof *all->txn);
    all->no_memory |= !all->txn;
    if (all->txn)
        *all->txn = (struct produce_txn){.all = all, .producer_id = -1};
}

void produce_txn_looked(struct produce *all)
{
    struct produce_txn *txn = all->txn;
    if (txn->count == 0 || all->refused) {
        all->txn = NULL;
        return;
    }
    countdown_begin(&txn->taken, all_batches_taken);
    all->no_memory |= !take_question_memory(txn);
}

bool produce_txn_add(struct produce_part *part, const struct topic *t)
{
    struct produce *all = part->all;
    struct produce_txn *txn = all->txn;
    const struct topic_produce_data *in = &all->ask->topic_data.v[all->at_topic];
    if (txn->named != in)
        txn->name = request_copy(all->req, view_of(t->name));
    txn->named = in;
    part->txn = request_zalloc(all->req, sizeof *part->txn);
    if (!part->txn || txn->name.n < 0)
        return false;
    part->txn->topic = txn->name;
    part->txn->part = part;
    countdown_add(&txn->taken);
    return true;
}

void produce_txn_all_asked(struct produce *all)
{
    request_hold(all->req);
    countdown_done(&all->txn->taken);
}
