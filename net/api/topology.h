/* Who leads what, and at which address: all that a client is told about nodes comes from here, and so does which node ids an
 * administrator may name, and which node tells of what.
 *
 *   one port (the default)            one node, this process; it leads and coordinates everything, and tells of everything
 *   listeners.per.core=true           shard k is node node.id + k, at port + k of each listener. It leads the partitions that it owns,
 *                                     coordinates the groups and transactional ids whose partition it owns, and where a tool asks
 *                                     every node and adds up (ListGroups, ListTransactions, DescribeLogDirs) it tells of those alone
 *
 * In both, a client that asks a node that does not lead a partition is served all the same: a client with old metadata (another --cores since,
 * another mode) is never wrong, only not on the shortest way. So no answer says NOT_LEADER_OR_FOLLOWER, or names another leader, for
 * that; but DescribeProducers does, which is a question to one node about what it has.
 *
 *   topology_init --> topology_opened (each listener) --> shards start: nothing changes any more, and every shard reads it */
#pragma once
#include "net/coord/coord_topic.h"
#include "net/server.h"

struct topology {
    const struct broker_config *config; /* that the broker was started with */
    bool per_core;
    uint16_t shards, nodes; /* nodes: 1, or as many */
    int32_t ids[SHARDS_MAX];
    uint16_t ports[LISTENERS_MAX][SHARDS_MAX]; /* where each shard listens, for each of the configuration's listeners */
};
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

/* --- the start --- */
/* False: there are not as many ids or ports as shards, or listeners would meet: why[CONFIG_WHY_BYTES] is a sentence. */
bool topology_init(struct topology *t, const struct broker_config *config, uint16_t shards, char *why) must_use;
/* The port for a shard to listen at; 0: any. */
uint16_t topology_port(const struct topology *t, const struct listener *l, uint16_t shard);
/* The ports that it became, one for each shard. `listener` counts the configuration's. */
void topology_opened(struct topology *t, uint32_t listener, const uint16_t *ports);

/* --- nodes --- */
uint32_t topology_node_count(const struct server *sv);
/* `at` is below topology_node_count. */
struct topology_node topology_node_at(const struct conn *c, uint32_t at);
/* False: no node has this id. */
bool topology_find_node(const struct server *sv, int64_t id, uint32_t *out_at);
/* The node that this shard is, or belongs to. */
int32_t topology_own_id(const struct server *sv);
/* The node that a client must ask about cluster matters: the first, whose shard keeps the catalog. */
int32_t topology_controller(const struct server *sv);
/* What this setting is at this node, if that is not what the configuration says: ids and addresses. False: it is that. */
bool topology_setting(const struct server *sv, uint32_t at, const char *name, char *out, size_t bytes);

/* --- who has what --- */
struct topology_leader topology_leader_of(const struct server *sv, const uint8_t topic_id[16], int32_t partition);
/* Where the topic of this kind of coordinators is there already. */
struct topology_node topology_coordinator_of(const struct conn *c, const struct coord_topic *kind, struct kview key);
/* Where every node is asked for all that it has: the shards whose own this node tells. */
struct topology_shards {
    uint16_t first, count;
};
struct topology_shards topology_told(const struct server *sv);
bool topology_tells_of(const struct server *sv, uint16_t owner);
