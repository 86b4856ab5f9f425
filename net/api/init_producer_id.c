/* InitProducerId without a transactional id: a fresh producer id, epoch 0. Transactions are not there yet: a transactional id is answered
 * with INVALID_REQUEST. */
#include "net/api/api.h"
#include "net/api/reply.h"

struct init_run {
    struct request *req;
    struct producer_id_wait wait;
};

static void answer_init(struct request *req, enum kerr error, int64_t producer_id)
{
    struct init_producer_id_response r;
    init_producer_id_response_init(&r);
    r.error_code = (int16_t)error;
    r.producer_id = producer_id;
    r.producer_epoch = error ? -1 : 0;
    REQUEST_REPLY(req, init_producer_id_response, &r);
}

static void fresh_id_came(struct producer_id_wait *w, enum kerr error, int64_t producer_id)
{
    answer_init(container_of(w, struct init_run, wait)->req, error, producer_id);
}

static void wait_for_fresh_id(struct request *req)
{
    struct init_run *run = request_alloc(req, sizeof *run);
    if (!run) {
        request_fail(req, no_memory);
        return;
    }
    *run = (struct init_run){.req = req, .wait.done = fresh_id_came};
    producer_ids_wait(&req->server->producer_ids, &run->wait);
}

void init_producer_id_run(struct request *req)
{
    struct init_producer_id_request *m = REQUEST_DECODE(req, init_producer_id_request);
    if (!m)
        return;
    bool half_given = (m->producer_id == -1) != (m->producer_epoch == -1);
    int64_t id;
    if (m->transactional_id.n >= 0 || half_given)
        answer_init(req, KERR_INVALID_REQUEST, -1);
    else if (producer_ids_take(&req->server->producer_ids, &id))
        answer_init(req, KERR_NONE, id);
    else
        wait_for_fresh_id(req);
}
