/* See topology.h. */
#include "net/api/topology.h"

int32_t topology_own_id(const struct server *sv)
{
    return sv->root->config->node_id; /* no change alters it */
}

uint32_t topology_node_count(const struct server *sv)
{
    (void)sv;
    return 1;
}

struct topology_node topology_node_at(const struct conn *c, uint32_t at)
{
    assert(at < topology_node_count(server_of(c->conns->shard)));
    (void)at;
    struct topology_node node = {.id = topology_own_id(server_of(c->conns->shard))};
    conn_address(c, &node.host, &node.port);
    return node;
}

int32_t topology_controller(const struct server *sv)
{
    return topology_own_id(sv);
}

struct topology_leader topology_leader_of(const struct server *sv, const uint8_t topic_id[16], int32_t partition)
{
    (void)topic_id;
    (void)partition;
    return (struct topology_leader){.node_id = topology_own_id(sv),
                                    .epoch = sv->root->leader_epoch,
                                    .replicas = &sv->root->config->node_id,
                                    .replica_count = 1};
}

struct topology_node topology_coordinator_of(const struct conn *c, struct kview group_id)
{
    (void)group_id;
    return topology_node_at(c, 0);
}
