/* InitProducerId without a transactional id: a fresh producer id, epoch 0. Each shard hands them out from a block that was
 * reserved durably before its first use; requests wait while the next block is on its way. Transactions are not there yet: a
 * transactional id is answered with INVALID_REQUEST. */
#include "net/api/api.h"
#include "net/api/reply.h"

struct waiting {
    struct request *req;
    struct list link;
};

static void answer_producer_id(struct request *req, enum kerr error, int64_t producer_id)
{
    struct init_producer_id_response r;
    init_producer_id_response_init(&r);
    r.error_code = (int16_t)error;
    r.producer_id = producer_id;
    r.producer_epoch = error ? -1 : 0;
    REQUEST_REPLY(req, init_producer_id_response, &r);
}

static bool hand_out_id(struct producer_ids *ids, struct request *req)
{
    if (ids->left == 0)
        return false;
    ids->left--;
    answer_producer_id(req, KERR_NONE, ids->next++);
    return true;
}

static void ask_id_block(struct server *sv);

static void id_block_reserved(struct catalog_change *c)
{
    struct producer_ids *ids = container_of(c, struct producer_ids, change);
    struct server *sv = container_of(ids, struct server, producer_ids);
    ids->asking = false;
    if (!c->error) {
        ids->next = c->producer_ids;
        ids->left = CATALOG_PRODUCER_BLOCK;
    }
    struct list *l;
    while ((l = list_first(&ids->waiting))) {
        struct waiting *w = container_of(l, struct waiting, link);
        if (!c->error && ids->left == 0) {
            ask_id_block(sv);
            return;
        }
        list_remove(l);
        if (c->error)
            answer_producer_id(w->req, c->error, -1);
        else
            (void)hand_out_id(ids, w->req);
    }
}

static void ask_id_block(struct server *sv)
{
    struct producer_ids *ids = &sv->producer_ids;
    if (ids->asking)
        return;
    ids->asking = true;
    ids->change = (struct catalog_change){.kind = CATALOG_PRODUCER_IDS, .done = id_block_reserved};
    catalog_change_start(sv->shard, &ids->change);
}

void init_producer_id_run(struct request *req)
{
    struct init_producer_id_request *m = REQUEST_DECODE(req, init_producer_id_request);
    if (!m)
        return;
    struct producer_ids *ids = &req->server->producer_ids;
    bool half_given = (m->producer_id == -1) != (m->producer_epoch == -1);
    if (m->transactional_id.n >= 0 || half_given) {
        answer_producer_id(req, KERR_INVALID_REQUEST, -1);
        return;
    }
    if (list_empty(&ids->waiting) && hand_out_id(ids, req))
        return;
    struct waiting *w = request_alloc(req, sizeof *w);
    if (!w) {
        request_fail(req, "out of memory");
        return;
    }
    w->req = req;
    list_init(&w->link);
    list_push(&ids->waiting, &w->link);
    ask_id_block(req->server);
}
