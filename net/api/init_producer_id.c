/* InitProducerId. Without a transactional id: a fresh producer id, epoch 0. With one its coordinator says which, and ends what an
 * earlier producer of that id has open. */
#include "net/api/api.h"
#include "net/api/reply.h"
#include "net/txn/txn_ask.h"

enum { FENCED_SINCE = 4 /* older versions know PRODUCER_FENCED as INVALID_PRODUCER_EPOCH */ };

struct init_run {
    struct request *req;
    struct producer_id_wait wait;
    struct txn_question question;
};

static void answer_init(struct request *req, enum kerr error, int64_t producer_id, int16_t epoch)
{
    struct init_producer_id_response r;
    init_producer_id_response_init(&r);
    bool old = req->version < FENCED_SINCE && error == KERR_PRODUCER_FENCED;
    r.error_code = (int16_t)(old ? KERR_INVALID_PRODUCER_EPOCH : error);
    r.producer_id = producer_id;
    r.producer_epoch = epoch;
    REQUEST_REPLY(req, init_producer_id_response, &r);
}

static void refuse_init(struct request *req, enum kerr error)
{
    answer_init(req, error, -1, -1);
}

static void fresh_id_came(struct producer_id_wait *w, enum kerr error, int64_t producer_id)
{
    struct init_run *run = container_of(w, struct init_run, wait);
    answer_init(run->req, error, producer_id, error ? -1 : 0);
}

static void init_without_txn(struct init_run *run)
{
    struct producer_ids *ids = &run->req->server->producer_ids;
    int64_t id;
    run->wait.done = fresh_id_came;
    if (producer_ids_take(ids, &id))
        answer_init(run->req, KERR_NONE, id, 0);
    else
        producer_ids_wait(ids, &run->wait);
}

static void init_answered(struct txn_question *q)
{
    struct init_run *run = container_of(q, struct init_run, question);
    answer_init(run->req, q->error, q->answer_id, q->answer_epoch);
}

static void init_with_txn(struct init_run *run, const struct init_producer_id_request *m)
{
    struct request *req = run->req;
    run->question = (struct txn_question){.kind = TXN_ASK_INIT,
                                          .call.key = m->transactional_id,
                                          .producer_id = m->producer_id,
                                          .producer_epoch = m->producer_epoch,
                                          .timeout_ms = m->transaction_timeout_ms,
                                          .answered = init_answered};
    bool too_long = m->transaction_timeout_ms > server_config(req->server)->txn_timeout_ms_max;
    if (m->transactional_id.n == 0)
        refuse_init(req, KERR_INVALID_REQUEST);
    else if (m->transaction_timeout_ms <= 0 || too_long)
        refuse_init(req, KERR_INVALID_TRANSACTION_TIMEOUT);
    else
        txn_ask(req->server->shard, &run->question);
}

void init_producer_id_run(struct request *req)
{
    struct init_producer_id_request *m = REQUEST_DECODE(req, init_producer_id_request);
    if (!m)
        return;
    struct init_run *run = request_zalloc(req, sizeof *run);
    bool half_given = (m->producer_id == -1) != (m->producer_epoch == -1);
    if (!run) {
        request_fail(req, no_memory);
        return;
    }
    run->req = req;
    if (half_given)
        refuse_init(req, KERR_INVALID_REQUEST);
    else if (m->transactional_id.n < 0)
        init_without_txn(run);
    else
        init_with_txn(run, m);
}
