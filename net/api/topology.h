/* Who leads what, and at which address that is: all that Metadata, DescribeTopicPartitions, DescribeCluster and FindCoordinator say
 * about nodes comes from here, and so does which node ids an administrator may name.
 *
 * Today there is one node, this process, and it leads and coordinates everything. Cores as brokers (a node id and a port for each
 * shard) is a change of this module and of nothing else. */
#pragma once
#include "net/server.h"

/* A node as the client of one connection is told of it: at the advertised address of the listener that it came in by. `host` is
 * lent for as long as the connection lives. */
struct topology_node {
    int32_t id;
    struct kview host;
    int32_t port;
};
/* A partition's leader and replicas: `replicas` are as long-lived as the broker; all of them are in sync. */
struct topology_leader {
    int32_t node_id, epoch;
    const int32_t *replicas;
    int32_t replica_count;
};

uint32_t topology_node_count(const struct server *sv);
/* `at` is below topology_node_count. */
struct topology_node topology_node_at(const struct conn *c, uint32_t at);
/* The node that a client must ask about cluster matters. */
int32_t topology_controller(const struct server *sv);
struct topology_leader topology_leader_of(const struct server *sv, const uint8_t topic_id[16], int32_t partition);
struct topology_node topology_coordinator_of(const struct conn *c, struct kview group_id);
/* The one node that replicas can be assigned to, and whose configuration can be asked for on this connection. */
int32_t topology_own_id(const struct server *sv);
