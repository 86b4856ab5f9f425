/* FindCoordinator: which node, for groups and for transactional ids. The first question makes __consumer_offsets or __transaction_state, and is
 * answered when that is durable and usable; of several at a time one makes it, and the others wait for that.
 * Share groups: INVALID_REQUEST, as Kafka answers where they are off. */
#include "net/api/api.h"
#include "net/api/reply.h"
#include "net/group/coordinator.h"
#include "net/txn/txn_coordinator.h"

enum { TYPE_GROUP = 0, TYPE_TRANSACTION = 1 };

struct find_run {
    struct request *req;
    const struct find_coordinator_request *ask;
    struct catalog_change change;
    struct topic_override overrides[COORD_TOPIC_OVERRIDES];
    char number[COORD_TOPIC_NUMBER_BYTES];
    enum kerr error; /* of all keys */
    const char *message;
    struct find_coordinator_response r;
    struct steps steps;
};

/* NULL: such keys have no coordinator. */
static const struct coord_topic *coordinated_by(int8_t key_type)
{
    return key_type == TYPE_GROUP ? &group_topic : key_type == TYPE_TRANSACTION ? &txn_topic : NULL;
}

static enum kerr find_coordinator_error(const struct find_run *run)
{
    const struct coord_topic *t = coordinated_by(run->ask->key_type);
    if (!t)
        return KERR_INVALID_REQUEST;
    return coord_topic_find(t, store_of(run->req->server->shard)) ? KERR_NONE : KERR_COORDINATOR_NOT_AVAILABLE;
}

static const char *find_coordinator_message(const struct find_run *run, enum kerr error)
{
    return error && run->change.message ? run->change.message : kerr_name(error);
}

static void fill_coordinator(const struct find_run *run, struct kview key, struct coordinator *out)
{
    coordinator_init(out);
    out->key = key;
    out->error_code = (int16_t)run->error;
    out->node_id = out->port = -1;
    if (run->error) {
        out->error_message = view_of(run->message);
        return;
    }
    struct topology_node node =
        topology_coordinator_of(request_conn(run->req), coordinated_by(run->ask->key_type), key);
    out->node_id = node.id;
    out->host = node.host;
    out->port = node.port;
}

static bool find_coordinators_step(struct steps *s)
{
    struct find_run *run = container_of(s, struct find_run, steps);
    const struct find_coordinator_request *m = run->ask;
    struct find_coordinator_response *r = &run->r;
    for (; r->coordinators.n < m->coordinator_keys.n; r->coordinators.n++, steps_spend(s, 1)) {
        int32_t i = r->coordinators.n;
        if (!steps_go_on(s))
            return true;
        fill_coordinator(run, m->coordinator_keys.v[i], &r->coordinators.v[i]);
    }
    REQUEST_REPLY_LARGE(run->req, find_coordinator_response, r);
    return false;
}

static void reply_find_coordinator(struct find_run *run)
{
    struct request *req = run->req;
    const struct find_coordinator_request *m = run->ask;
    struct find_coordinator_response *r = &run->r;
    struct coordinator one;
    run->error = find_coordinator_error(run);
    run->message = find_coordinator_message(run, run->error);
    find_coordinator_response_init(r);
    fill_coordinator(run, m->key, &one);
    r->error_code = one.error_code;
    r->error_message = view_of(run->message);
    r->node_id = one.node_id;
    r->host = one.host;
    r->port = one.port;
    r->coordinators.n = 0;
    r->coordinators.v = request_alloc(req, (size_t)m->coordinator_keys.n * sizeof *r->coordinators.v + 1);
    if (r->coordinators.v)
        steps_start(&req->server->steps, &run->steps, find_coordinators_step);
    else
        request_fail(req, no_memory);
}

/* Whatever came of it, the reply looks into the catalog. */
static void coord_topic_created(struct catalog_change *c)
{
    reply_find_coordinator(container_of(c, struct find_run, change));
}

void find_coordinator_run(struct request *req)
{
    const struct find_coordinator_request *m = REQUEST_DECODE(req, find_coordinator_request);
    if (!m)
        return;
    struct find_run *run = request_zalloc(req, sizeof *run);
    if (!run) {
        request_fail(req, no_memory);
        return;
    }
    run->req = req;
    run->ask = m;
    if (find_coordinator_error(run) != KERR_COORDINATOR_NOT_AVAILABLE) {
        reply_find_coordinator(run);
        return;
    }
    (m->key_type == TYPE_GROUP ? group_topic_change : txn_topic_change)(server_config(req->server), run->number,
                                                                        run->overrides, &run->change);
    run->change.done = coord_topic_created;
    catalog_change_start(req->server->shard, &run->change);
}
