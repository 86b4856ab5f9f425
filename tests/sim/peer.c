#include "tests/sim/peer.h"
#include "storage/kerr.h"
#include "tests/sim/broker.h"
#include "tests/sim/requests.h"
#include <stdio.h>

enum { API_VERSIONS_VERSION = 3, METADATA_VERSION = 12, AGAIN_NS = 20 * 1000 * 1000 };

/* --- topics --- */

static struct oracle_topic topics[TOPICS_MAX];
static uint32_t topic_count;

void topics_begin(void)
{
    static const char *const segment_bytes[] = {"16384", "40000", "131072", "1048576"};
    static const char *const intervals[] = {"4096", "1000", "16384"};
    static const char *const codecs[] = {"producer", "lz4",    "producer", "zstd",     "uncompressed",
                                         "producer", "snappy", "gzip",     "producer", "producer"};
    const uint32_t flush_ms = sim.seed % 2 ? 50 : 1000;
    topic_count = sim.knobs.topics;
    for (uint32_t i = 0; i < topic_count; i++) {
        struct oracle_topic *t = &topics[i];
        *t = (struct oracle_topic){.partitions = (int32_t)dice_between(1, PARTITIONS_MAX), .caching = dice(3) == 0};
        snprintf(t->name, sizeof t->name, "topic-%u", i);
        snprintf(t->segment_bytes, sizeof t->segment_bytes, "%s", segment_bytes[dice(COUNT_OF(segment_bytes))]);
        snprintf(t->interval_bytes, sizeof t->interval_bytes, "%s", intervals[(sim.seed + i) % COUNT_OF(intervals)]);
        snprintf(t->flush_ms, sizeof t->flush_ms, "%u", flush_ms);
        t->codec = codecs[(sim.seed / COUNT_OF(intervals) + i) % COUNT_OF(codecs)];
        for (int32_t k = 0; k < t->partitions; k++)
            oracle_part_new(t->name, k, t->caching, flush_ms);
    }
}

bool topics_may_lag(int16_t error)
{
    return world_runs_short() && (error == KERR_UNKNOWN_TOPIC_OR_PARTITION || error == KERR_UNKNOWN_TOPIC_ID);
}

bool topics_recovered(const struct client *c, const struct oracle_part *part)
{
    return !world_disk_fails() && !world_disk_fills() && !world_runs_short() && c->broker_ends == broker_ends() &&
           broker_has_recovered(part->topic, part->index);
}

bool topics_may_wait(const struct client *c, bool recovered, int16_t error)
{
    bool waits = error == KERR_NOT_LEADER_OR_FOLLOWER || error == KERR_OFFSET_NOT_AVAILABLE;
    return waits && (!recovered || c->broker_ends != broker_ends() || broker_state() != BROKER_UP);
}

uint32_t topics_count(void)
{
    return topic_count;
}

struct oracle_topic *topics_at(uint32_t i)
{
    return &topics[i];
}

struct oracle_topic *topics_find(struct kview name, const uint8_t id[16], bool by_id)
{
    for (uint32_t i = 0; i < topic_count; i++) {
        struct oracle_topic *t = &topics[i];
        if (by_id ? memcmp(t->id, id, 16) == 0
                  : name.n == (int32_t)strlen(t->name) && memcmp(t->name, name.at, (size_t)name.n) == 0)
            return t;
    }
    return NULL;
}

static bool has_id(const struct oracle_topic *t)
{
    static const uint8_t none[16];
    return memcmp(t->id, none, 16) != 0;
}

/* --- metadata --- */

static void ask_metadata(struct peer *p);

struct again {
    struct peer *peer;
    uint32_t round;
};
static void metadata_again(void *arg)
{
    struct again *a = arg;
    struct peer *p = a->peer;
    if (p->round == a->round && p->client.link.conn)
        ask_metadata(p);
    world_free(a);
}

/* The shard that has it, as a node. */
static void learn_leader(struct peer *p, const struct oracle_topic *t, const struct metadata_response_partition *m)
{
    bool same = p->client.broker_ends == broker_ends();
    int32_t shard = same ? broker_shard_of(t->name, m->partition_index) : -1, expected = sim.knobs.per_core ? shard : 0;
    world_check(shard < 0 || m->leader_id == 1 + expected, "%s-%d is led by node %d, and shard %d has it", t->name,
                m->partition_index, m->leader_id, shard);
    world_check(m->replica_nodes.n == 1 && m->replica_nodes.v[0] == m->leader_id && m->isr_nodes.n == 1 &&
                    m->isr_nodes.v[0] == m->leader_id,
                "%s-%d has other replicas than its leader", t->name, m->partition_index);
    p->ports[t - topics][m->partition_index] = (uint16_t)(BROKER_PORT + m->leader_id - 1);
}

static void learn_nodes(const struct peer *p, const struct metadata_response *m)
{
    int32_t count = sim.knobs.per_core ? sim.knobs.shards : 1;
    world_check(p->client.broker_ends != broker_ends() || broker_state() != BROKER_UP || m->brokers.n == count,
                "metadata has %d nodes instead of %d", m->brokers.n, count);
    for (int32_t i = 0; i < m->brokers.n; i++)
        world_check(m->brokers.v[i].node_id == 1 + i && m->brokers.v[i].port == BROKER_PORT + i,
                    "node %d is at port %d", m->brokers.v[i].node_id, m->brokers.v[i].port);
}

static bool learn_topic(struct peer *p, const struct metadata_response_topic *m)
{
    struct oracle_topic *t = topics_find(m->name, NULL, false);
    world_check(t, "metadata names a topic that was not asked for");
    if (m->error_code) {
        world_check(!p->topic_known[t - topics] || m->error_code != KERR_UNKNOWN_TOPIC_OR_PARTITION,
                    "%s was created and acknowledged, and is unknown now", t->name);
        return false;
    }
    world_check(!has_id(t) || memcmp(t->id, m->topic_id.b, 16) == 0, "%s has another id than before", t->name);
    world_check(m->partitions.n == t->partitions, "%s has %d partitions instead of %d", t->name, m->partitions.n,
                t->partitions);
    memcpy(t->id, m->topic_id.b, 16);
    t->known |= !world_runs_short(); /* there this may be the first shard that has it */
    for (int32_t i = 0; i < m->partitions.n; i++)
        learn_leader(p, t, &m->partitions.v[i]);
    for (int32_t i = 0; i < m->partitions.n; i++)
        oracle_epoch_seen(p->epoch_at_least, m->partitions.v[i].leader_epoch);
    return true;
}

static void metadata_done(const struct reply *r)
{
    struct peer *p = r->context;
    struct metadata_response m;
    if (r->body.n < 0)
        return;
    client_decode(r, metadata_response, &m);
    learn_nodes(p, &m);
    bool all = m.topics.n == (int32_t)topic_count;
    for (int32_t i = 0; i < m.topics.n; i++)
        all = learn_topic(p, &m.topics.v[i]) && all;
    if (all) {
        p->is_ready = true;
        p->ready(p);
        return;
    }
    struct again *a = world_alloc(sizeof *a);
    *a = (struct again){p, p->round};
    event_in(AGAIN_NS, metadata_again, a);
}

static void ask_metadata(struct peer *p)
{
    struct metadata_request_topic asked[TOPICS_MAX];
    struct metadata_request m;
    metadata_request_init(&m);
    m.allow_auto_topic_creation = false;
    m.topics.v = asked;
    m.topics.n = (int32_t)topic_count;
    for (uint32_t i = 0; i < topic_count; i++) {
        metadata_request_topic_init(&asked[i]);
        asked[i].name = view_of(topics[i].name);
        p->topic_known[i] = topics[i].known;
    }
    p->epoch_at_least = oracle_epoch();
    client_call(&p->client, metadata, &m, METADATA_VERSION, metadata_done, p);
}

/* --- the connection --- */

static void versions_done(const struct reply *r)
{
    struct api_versions_response m;
    if (r->body.n < 0)
        return;
    client_decode(r, api_versions_response, &m);
    world_check(m.error_code == 0 && m.api_keys.n > 5, "ApiVersions: error %d, %d keys", m.error_code, m.api_keys.n);
    ask_metadata(r->context);
}

static void up(struct client *c)
{
    struct peer *p = container_of(c, struct peer, client);
    struct api_versions_request m;
    p->round++;
    api_versions_request_init(&m);
    m.client_software_name = m.client_software_version = view_of("sim");
    client_call(c, api_versions, &m, API_VERSIONS_VERSION, versions_done, p);
}

static void down(struct client *c)
{
    struct peer *p = container_of(c, struct peer, client);
    p->is_ready = false;
    p->round++;
    p->lost(p);
}

void peer_init(struct peer *p, const char *name, void (*ready)(struct peer *), void (*lost)(struct peer *))
{
    client_init(&p->client, name, up, down);
    p->ready = ready;
    p->lost = lost;
}

void peer_start(struct peer *p)
{
    client_connect(&p->client);
}

void peer_quit(struct peer *p)
{
    p->quits = true;
    client_quit(&p->client);
}

/* --- the admin --- */

static struct admin {
    struct client client;
    bool done;
} admin;

static void create(struct client *c);

static void create_again(void *arg)
{
    struct admin *a = arg;
    if (a->client.link.conn && !a->done && !a->client.call_count)
        create(&a->client);
}

static void created(const struct reply *r)
{
    struct create_topics_response m;
    if (r->body.n < 0)
        return;
    client_decode(r, create_topics_response, &m);
    bool all = m.topics.n == (int32_t)topic_count;
    for (int32_t i = 0; i < m.topics.n; i++) {
        struct oracle_topic *t = topics_find(m.topics.v[i].name, NULL, false);
        world_check(t, "CreateTopics answers for a topic that was not asked for");
        int16_t error = m.topics.v[i].error_code;
        world_check(error != KERR_INVALID_CONFIG && error != KERR_INVALID_PARTITIONS, "CreateTopics: error %d", error);
        world_note("create %s: error %d", t->name, error);
        bool exists = error == KERR_TOPIC_ALREADY_EXISTS;
        t->known |= error == 0 || (exists && !world_runs_short());
        all = all && (error == 0 || exists);
    }
    admin.done = all;
    if (all)
        client_quit(&admin.client);
    else
        event_in(AGAIN_NS, create_again, &admin);
}

static void create(struct client *c)
{
    struct new_topic asked[TOPICS_MAX];
    for (uint32_t i = 0; i < topic_count; i++) {
        asked[i] = (struct new_topic){.name = topics[i].name, .partitions = topics[i].partitions};
        new_topic_set(&asked[i], "write.caching", topics[i].caching ? "true" : "false");
        new_topic_set(&asked[i], "internal.segment.bytes", topics[i].segment_bytes);
        new_topic_set(&asked[i], "index.interval.bytes", topics[i].interval_bytes);
        new_topic_set(&asked[i], "flush.ms", topics[i].flush_ms);
        new_topic_set(&asked[i], "compression.type", topics[i].codec);
    }
    request_topics(c, asked, (int32_t)topic_count, created, NULL);
}

static void admin_down(struct client *c)
{
    (void)c;
}

void admin_begin(void)
{
    client_init(&admin.client, "admin", create, admin_down);
    admin.done = false;
    client_connect(&admin.client);
}

bool admin_done(void)
{
    return admin.done;
}
