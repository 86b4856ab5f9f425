/* FindCoordinator. There is no coordinator yet, and that is the answer: COORDINATOR_NOT_AVAILABLE, for every key. The API must
 * be there all the same, because librdkafka up to 2.11 sends lz4 batches uncompressed to a broker without FindCoordinator
 * version 0 (its feature table takes that for "0.8.2, knows lz4"), with no more than a line in its log. */
#include "net/api/api.h"
#include "net/api/reply.h"

static const char none_yet[] = "This broker does not coordinate groups or transactions.";

static void fill(struct coordinator *out, struct kview key)
{
    coordinator_init(out);
    out->key = key;
    out->node_id = -1;
    out->port = -1;
    out->error_code = KERR_COORDINATOR_NOT_AVAILABLE;
    out->error_message = view_of(none_yet);
}

void find_coordinator_run(struct request *req)
{
    const struct find_coordinator_request *m = REQUEST_DECODE(req, find_coordinator_request);
    if (!m)
        return;
    struct find_coordinator_response r;
    find_coordinator_response_init(&r);
    r.error_code = KERR_COORDINATOR_NOT_AVAILABLE;
    r.error_message = view_of(none_yet);
    r.node_id = r.port = -1;
    r.coordinators.n = m->coordinator_keys.n;
    r.coordinators.v = request_alloc(req, (size_t)r.coordinators.n * sizeof *r.coordinators.v);
    if (!r.coordinators.v) {
        request_fail(req, "there is no memory for its request");
        return;
    }
    for (int32_t i = 0; i < r.coordinators.n; i++)
        fill(&r.coordinators.v[i], m->coordinator_keys.v[i]);
    REQUEST_REPLY(req, find_coordinator_response, &r);
}
