#include "tests/sim/requests.h"
#include "storage/kerr.h"
#include <stdio.h>

enum {
    LIST_VERSION = 6,
    CREATE_VERSION = 7,
    FIND_VERSION = 3,
    NEW_TOPICS_MAX = 8,
    RESPONSE_MAX_BYTES = 1024 * 1024,
};

/* --- Produce --- */

void request_produce(struct client *c, const struct one_batch *b, client_done_fn *done, void *context)
{
    struct partition_produce_data part;
    struct topic_produce_data topic;
    struct produce_request m;
    partition_produce_data_init(&part);
    topic_produce_data_init(&topic);
    produce_request_init(&m);
    part.index = b->index;
    part.records = (struct krecords){.at = b->at, .n = (int32_t)b->bytes};
    topic.name = view_of(b->topic);
    if (b->id)
        memcpy(topic.topic_id.b, b->id, 16);
    topic.partition_data.v = &part;
    topic.partition_data.n = 1;
    if (b->transactional_id)
        m.transactional_id = view_of(b->transactional_id);
    m.acks = -1;
    m.timeout_ms = 10000;
    m.topic_data.v = &topic;
    m.topic_data.n = 1;
    client_call(c, produce, &m, b->version, done, context);
}

const struct partition_produce_response *answer_produced(const struct reply *r)
{
    static struct produce_response m;
    client_decode(r, produce_response, &m);
    world_check(m.responses.n == 1 && m.responses.v[0].partition_responses.n == 1,
                "%s: Produce answers for something else", r->client->name);
    return &m.responses.v[0].partition_responses.v[0];
}

/* --- Fetch --- */

void request_fetch(struct client *c, const struct one_fetch *f, client_done_fn *done, void *context)
{
    struct fetch_partition part;
    struct fetch_topic topic;
    struct fetch_request m;
    fetch_partition_init(&part);
    fetch_topic_init(&topic);
    fetch_request_init(&m);
    part.partition = f->index;
    part.fetch_offset = f->offset;
    part.partition_max_bytes = f->most_bytes;
    topic.topic = view_of(f->topic);
    topic.partitions.v = &part;
    topic.partitions.n = 1;
    m.max_bytes = RESPONSE_MAX_BYTES;
    m.max_wait_ms = f->wait_ms;
    m.min_bytes = 1;
    m.isolation_level = f->committed;
    m.topics.v = &topic;
    m.topics.n = 1;
    client_call(c, fetch, &m, f->version, done, context);
}

const struct fetch_partition_data *answer_fetched(const struct reply *r)
{
    static struct fetch_response m;
    client_decode(r, fetch_response, &m);
    world_check(!m.error_code && m.responses.n == 1 && m.responses.v[0].partitions.n == 1,
                "%s: a fetch got error %d and %d topics", r->client->name, m.error_code, m.responses.n);
    return &m.responses.v[0].partitions.v[0];
}

/* --- ListOffsets --- */

void request_offset(struct client *c, const char *topic_name, int32_t index, int64_t timestamp, bool committed,
                    client_done_fn *done, void *context)
{
    struct list_offsets_partition part;
    struct list_offsets_topic topic;
    struct list_offsets_request m;
    list_offsets_partition_init(&part);
    list_offsets_topic_init(&topic);
    list_offsets_request_init(&m);
    part.partition_index = index;
    part.timestamp = timestamp;
    topic.name = view_of(topic_name);
    topic.partitions.v = &part;
    topic.partitions.n = 1;
    m.replica_id = -1;
    m.isolation_level = committed;
    m.topics.v = &topic;
    m.topics.n = 1;
    client_call(c, list_offsets, &m, LIST_VERSION, done, context);
}

const struct list_offsets_partition_response *answer_offset(const struct reply *r)
{
    static struct list_offsets_response m;
    client_decode(r, list_offsets_response, &m);
    world_check(m.topics.n == 1 && m.topics.v[0].partitions.n == 1, "%s: ListOffsets does not answer what was asked",
                r->client->name);
    return &m.topics.v[0].partitions.v[0];
}

/* --- DeleteRecords --- */

void request_cut(struct client *c, const struct one_cut *o, client_done_fn *done, void *context)
{
    struct delete_records_partition part;
    struct delete_records_topic topic;
    struct delete_records_request m;
    delete_records_partition_init(&part);
    delete_records_topic_init(&topic);
    delete_records_request_init(&m);
    part.partition_index = o->index;
    part.offset = o->before;
    topic.name = view_of(o->topic);
    topic.partitions.v = &part;
    topic.partitions.n = 1;
    m.topics.v = &topic;
    m.topics.n = 1;
    m.timeout_ms = 10000;
    client_call(c, delete_records, &m, o->version, done, context);
}

const struct delete_records_partition_result *answer_cut(const struct reply *r)
{
    static struct delete_records_response m;
    client_decode(r, delete_records_response, &m);
    world_check(m.topics.n == 1 && m.topics.v[0].partitions.n == 1, "%s: DeleteRecords does not answer what was asked",
                r->client->name);
    return &m.topics.v[0].partitions.v[0];
}

/* --- CreateTopics --- */

void new_topic_set(struct new_topic *t, const char *key, const char *value)
{
    assert(t->config_count < NEW_TOPIC_CONFIGS);
    t->keys[t->config_count] = key;
    snprintf(t->values[t->config_count++], sizeof t->values[0], "%s", value);
}

void new_topic_set_number(struct new_topic *t, const char *key, int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)value);
    new_topic_set(t, key, text);
}

void request_topics(struct client *c, const struct new_topic *topics, int32_t count, client_done_fn *done,
                    void *context)
{
    struct creatable_topic asked[NEW_TOPICS_MAX];
    struct creatable_topic_config configs[NEW_TOPICS_MAX][NEW_TOPIC_CONFIGS];
    struct create_topics_request m;
    assert(count <= NEW_TOPICS_MAX);
    create_topics_request_init(&m);
    m.topics.v = asked;
    m.topics.n = count;
    for (int32_t i = 0; i < count; i++) {
        creatable_topic_init(&asked[i]);
        asked[i].name = view_of(topics[i].name);
        asked[i].num_partitions = topics[i].partitions;
        asked[i].replication_factor = 1;
        asked[i].configs.v = configs[i];
        asked[i].configs.n = topics[i].config_count;
        for (int32_t k = 0; k < topics[i].config_count; k++) {
            creatable_topic_config_init(&configs[i][k]);
            configs[i][k].name = view_of(topics[i].keys[k]);
            configs[i][k].value = view_of(topics[i].values[k]);
        }
    }
    client_call(c, create_topics, &m, CREATE_VERSION, done, context);
}

bool answer_topics(const struct reply *r, int32_t count)
{
    struct create_topics_response m;
    client_decode(r, create_topics_response, &m);
    world_check(m.topics.n == count, "%s: CreateTopics answers for %d topics", r->client->name, m.topics.n);
    bool all = true;
    for (int32_t i = 0; i < m.topics.n; i++) {
        int16_t error = m.topics.v[i].error_code;
        world_check(error != KERR_INVALID_CONFIG && error != KERR_POLICY_VIOLATION && error != KERR_INVALID_PARTITIONS,
                    "%s: CreateTopics got error %d", r->client->name, error);
        all = all && (!error || error == KERR_TOPIC_ALREADY_EXISTS);
    }
    return all;
}

/* --- FindCoordinator --- */

void request_coordinator(struct client *c, const char *name, int8_t type, client_done_fn *done, void *context)
{
    struct find_coordinator_request m;
    find_coordinator_request_init(&m);
    m.key = view_of(name);
    m.key_type = type;
    client_call(c, find_coordinator, &m, FIND_VERSION, done, context);
}

int16_t answer_coordinator(const struct reply *r, bool goes)
{
    struct find_coordinator_response m;
    client_decode(r, find_coordinator_response, &m);
    if (m.error_code)
        return m.error_code;
    world_check(m.port == BROKER_PORT + m.node_id - 1, "coordinator %d is at port %d", m.node_id, m.port);
    return goes && client_go_to(r->client, m.port) ? KERR_COORDINATOR_NOT_AVAILABLE : KERR_NONE;
}
