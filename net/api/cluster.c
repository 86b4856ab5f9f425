/* DescribeCluster: which nodes there are. */
#include "net/api/api.h"
#include "net/api/reply.h"

enum { ENDPOINT_BROKER = 1, ENDPOINT_CONTROLLER = 2 }; /* KIP-919 */

static void refuse_describe_cluster(struct request *req, bool known, struct describe_cluster_response *r)
{
    r->error_code = known ? KERR_MISMATCHED_ENDPOINT_TYPE : KERR_UNSUPPORTED_ENDPOINT_TYPE;
    r->error_message = view_of("The request was sent to a broker, whose endpoint type is 1.");
    REQUEST_REPLY(req, describe_cluster_response, r);
}

void describe_cluster_run(struct request *req)
{
    struct describe_cluster_request *m = REQUEST_DECODE(req, describe_cluster_request);
    if (!m)
        return;
    struct describe_cluster_response r;
    describe_cluster_response_init(&r);
    if (m->endpoint_type != ENDPOINT_BROKER) {
        refuse_describe_cluster(req, m->endpoint_type == ENDPOINT_CONTROLLER, &r);
        return;
    }
    uint32_t nodes = topology_node_count(req->server);
    r.brokers.v = request_alloc(req, nodes * sizeof *r.brokers.v);
    if (!r.brokers.v) {
        request_fail(req, no_memory);
        return;
    }
    r.brokers.n = (int32_t)nodes;
    for (uint32_t i = 0; i < nodes; i++) {
        struct topology_node node = topology_node_at(request_conn(req), i);
        describe_cluster_broker_init(&r.brokers.v[i]);
        r.brokers.v[i].broker_id = node.id;
        r.brokers.v[i].host = node.host;
        r.brokers.v[i].port = node.port;
    }
    r.controller_id = topology_controller(req->server);
    r.cluster_id = view_of(req->server->root->cluster_id);
    if (m->include_cluster_authorized_operations)
        r.cluster_authorized_operations = CLUSTER_OPERATIONS;
    REQUEST_REPLY(req, describe_cluster_response, &r);
}
