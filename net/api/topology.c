/* See topology.h. */
#include "net/api/topology.h"
#include "net/conn/conn.h"
#include <stdio.h>
#include <strings.h>

/* --- the start --- */

static bool refuse_ids(const struct topology *t, char *why)
{
    snprintf(
        why, CONFIG_WHY_BYTES,
        "node.id=%d: with listeners.per.core=true each of the %u cores has an id of its own, counted from there, and "
        "%d is the last there is; choose one of at most %d.",
        t->config->node_id, t->shards, INT32_MAX, INT32_MAX - t->shards + 1);
    return false;
}

static bool refuse_ports(const struct topology *t, const char *key, const struct listener *l, char *why)
{
    snprintf(why, CONFIG_WHY_BYTES,
             "%s: %s begins at port %u: with listeners.per.core=true each of the %u cores has a port of its own, "
             "counted from "
             "there, and %d is the last there is; choose one of at most %d.",
             key, l->name, l->port, t->shards, UINT16_MAX, UINT16_MAX - t->shards + 1);
    return false;
}

static bool refuse_overlap(const struct topology *t, const char *key, const struct listener *a,
                           const struct listener *b, char *why)
{
    snprintf(why, CONFIG_WHY_BYTES,
             "%s: %s takes the ports %u to %u and %s takes %u to %u, as with listeners.per.core=true each of the %u "
             "cores has "
             "its own; leave %u between the two.",
             key, a->name, a->port, a->port + t->shards - 1, b->name, b->port, b->port + t->shards - 1, t->shards,
             t->shards);
    return false;
}

static bool is_all_interfaces(const char *host)
{
    return !host[0] || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

/* May both be reached at one address? What the names mean is known when they are opened; here only what is written counts. */
static bool do_hosts_meet(const struct listener *a, const struct listener *b)
{
    return is_all_interfaces(a->host) || is_all_interfaces(b->host) || strcasecmp(a->host, b->host) == 0;
}

static bool do_ranges_meet(const struct listener *a, const struct listener *b, uint16_t shards)
{
    int32_t apart = (int32_t)a->port - b->port;
    bool fixed = a->port && b->port;
    return fixed && apart < shards && apart > -(int32_t)shards;
}

static bool have_shards_ports(const struct topology *t, const char *key, const struct listener *v, uint32_t count,
                              char *why)
{
    for (uint32_t i = 0; i < count; i++) {
        if (v[i].port + t->shards - 1 > UINT16_MAX)
            return refuse_ports(t, key, &v[i], why);
        for (uint32_t j = 0; j < i; j++)
            if (do_hosts_meet(&v[j], &v[i]) && do_ranges_meet(&v[j], &v[i], t->shards))
                return refuse_overlap(t, key, &v[j], &v[i], why);
    }
    return true;
}

bool topology_init(struct topology *t, const struct broker_config *config, uint16_t shards, char *why)
{
    assert(shards > 0 && shards <= SHARDS_MAX);
    *t = (struct topology){.config = config, .per_core = config->listeners_per_core, .shards = shards, .nodes = 1};
    t->ids[0] = config->node_id;
    if (!t->per_core)
        return true;
    if (config->node_id > INT32_MAX - shards + 1)
        return refuse_ids(t, why);
    t->nodes = shards;
    for (uint16_t i = 0; i < shards; i++)
        t->ids[i] = config->node_id + i;
    return have_shards_ports(t, "listeners", config->listeners, config->listener_count, why) &&
           have_shards_ports(t, "advertised.listeners", config->advertised, config->advertised_count, why);
}

uint16_t topology_port(const struct topology *t, const struct listener *l, uint16_t shard)
{
    assert(shard < t->shards);
    return (uint16_t)(l->port && t->per_core ? l->port + shard : l->port);
}

void topology_opened(struct topology *t, uint32_t listener, const uint16_t *ports)
{
    assert(listener < t->config->listener_count);
    memcpy(t->ports[listener], ports, t->shards * sizeof *ports);
}

/* --- addresses --- */

/* NULL: it is not advertised. */
static const struct listener *find_listener(const struct listener *v, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(v[i].name, name) == 0)
            return &v[i];
    return NULL;
}

/* Neither all interfaces nor a numeric address. */
static bool is_host_name(const char *host)
{
    bool letter = false;
    for (const char *at = host; *at; at++)
        letter |= (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z');
    return letter && !strchr(host, ':');
}

/* A listener's name stands for the addresses that it was bound to, so a client that is connected came over one of them. */
static const char *find_reached_host(const struct conn *c)
{
    return is_host_name(c->listener->host) ? c->listener->host : c->names.local;
}

/* On one port the one that the client came to: whatever forwards it there, it is the right one. */
static uint16_t find_reached_port(const struct topology *t, const struct conn *c, uint32_t at)
{
    const struct broker_config *config = t->config;
    const struct listener *l = find_listener(config->listeners, config->listener_count, c->listener->name);
    return t->per_core && l ? t->ports[l - config->listeners][at] : c->names.local_port;
}

/* --- nodes --- */

uint32_t topology_node_count(const struct server *sv)
{
    return sv->topology->nodes;
}

struct topology_node topology_node_at(const struct conn *c, uint32_t at)
{
    const struct topology *t = server_of(c->conns->shard)->topology;
    assert(at < t->nodes);
    const struct listener *l = find_listener(t->config->advertised, t->config->advertised_count, c->listener->name);
    const char *host = l ? l->host : find_reached_host(c);
    return (struct topology_node){.id = t->ids[at],
                                  .host = {(const uint8_t *)host, (int32_t)strlen(host)},
                                  .port = l ? topology_port(t, l, (uint16_t)at) : find_reached_port(t, c, at)};
}

bool topology_find_node(const struct server *sv, int64_t id, uint32_t *out_at)
{
    int64_t at = id - sv->topology->ids[0];
    if (at < 0 || at >= sv->topology->nodes)
        return false;
    *out_at = (uint32_t)at;
    return true;
}

static uint16_t node_of_shard(const struct topology *t, uint16_t shard)
{
    return t->per_core ? shard : 0;
}

int32_t topology_own_id(const struct server *sv)
{
    return sv->topology->ids[node_of_shard(sv->topology, sv->shard->id)];
}

int32_t topology_controller(const struct server *sv)
{
    return sv->topology->ids[0];
}

/* --- settings of a node --- */

static void write_listeners(const struct topology *t, uint32_t at, bool advertised, char *out, size_t bytes)
{
    const struct broker_config *c = t->config;
    const struct listener *v = advertised ? c->advertised : c->listeners;
    uint32_t count = advertised ? c->advertised_count : c->listener_count;
    size_t used = 0;
    out[0] = 0;
    for (uint32_t i = 0; i < count && used < bytes; i++) {
        bool six = strchr(v[i].host, ':');
        uint16_t port = advertised ? topology_port(t, &v[i], (uint16_t)at) : t->ports[i][at];
        int n = snprintf(out + used, bytes - used, "%s%s://%s%s%s:%u", i ? "," : "", v[i].name, six ? "[" : "",
                         v[i].host, six ? "]" : "", port);
        used += n > 0 ? (size_t)n : 0;
    }
}

bool topology_setting(const struct server *sv, uint32_t at, const char *name, char *out, size_t bytes)
{
    const struct topology *t = sv->topology;
    bool advertised = strcmp(name, "advertised.listeners") == 0;
    if (t->nodes == 1 || (advertised && t->config->advertised_count == 0))
        return false;
    if (strcmp(name, "node.id") == 0 || strcmp(name, "broker.id") == 0)
        snprintf(out, bytes, "%d", t->ids[at]);
    else if (advertised || strcmp(name, "listeners") == 0)
        write_listeners(t, at, advertised, out, bytes);
    else
        return false;
    return true;
}

/* --- who has what --- */

struct topology_leader topology_leader_of(const struct server *sv, const uint8_t topic_id[16], int32_t partition)
{
    const struct topology *t = sv->topology;
    const int32_t *id = &t->ids[t->per_core ? topic_shard(topic_id, partition, t->shards) : 0];
    return (struct topology_leader){
        .node_id = *id, .epoch = sv->root->leader_epoch, .replicas = id, .replica_count = 1};
}

struct topology_node topology_coordinator_of(const struct conn *c, const struct coord_topic *kind, struct kview key)
{
    struct server *sv = server_of(c->conns->shard);
    const struct topology *t = sv->topology;
    const struct topic *topic = coord_topic_find(kind, store_of(sv->shard));
    bool owned = t->per_core && topic;
    return topology_node_at(c, owned ? topic_shard(topic->id, coord_partition(key, topic->partitions), t->shards) : 0);
}

struct topology_shards topology_told(const struct server *sv)
{
    if (sv->topology->per_core)
        return (struct topology_shards){.first = sv->shard->id, .count = 1};
    return (struct topology_shards){.count = sv->topology->shards};
}

bool topology_tells_of(const struct server *sv, uint16_t owner)
{
    struct topology_shards told = topology_told(sv);
    return owner >= told.first && owner < told.first + told.count;
}
