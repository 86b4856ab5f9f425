/* Requests that several clients of the simulator send, and their answers: about one partition, which is all that the answer may
 * be about, the making of topics, and finding coordinators. */
#pragma once
#include "tests/sim/client.h"

/* --- Produce --- */
struct one_batch {
    const char *topic;
    const uint8_t *id; /* from version 13 on; NULL before */
    int32_t index;
    const uint8_t *at;
    uint32_t bytes;
    const char *transactional_id; /* NULL: none */
    int16_t version;
};
void request_produce(struct client *c, const struct one_batch *b, client_done_fn *done, void *context);
/* Until the next answer is decoded; r->body.n >= 0. So with the others. */
const struct partition_produce_response *answer_produced(const struct reply *r);

/* --- Fetch, by name, without a session --- */
struct one_fetch {
    const char *topic;
    int32_t index;
    int64_t offset;
    int32_t most_bytes, wait_ms;
    bool committed; /* read_committed */
    int16_t version;
};
void request_fetch(struct client *c, const struct one_fetch *f, client_done_fn *done, void *context);
const struct fetch_partition_data *answer_fetched(const struct reply *r);

/* --- ListOffsets --- */
enum { LIST_LATEST = -1, LIST_EARLIEST = -2 };
void request_offset(struct client *c, const char *topic, int32_t index, int64_t timestamp, bool committed,
                    client_done_fn *done, void *context);
const struct list_offsets_partition_response *answer_offset(const struct reply *r);

/* --- DeleteRecords --- */
enum { DELETE_VERSION_MAX = 2, AT_WATERMARK = -1 };
struct one_cut {
    const char *topic;
    int32_t index;
    int64_t before; /* or AT_WATERMARK */
    int16_t version;
};
void request_cut(struct client *c, const struct one_cut *o, client_done_fn *done, void *context);
const struct delete_records_partition_result *answer_cut(const struct reply *r);

/* --- CreateTopics --- */
enum { NEW_TOPIC_CONFIGS = 10 };
struct new_topic {
    const char *name;
    int32_t partitions, config_count;
    const char *keys[NEW_TOPIC_CONFIGS];
    char values[NEW_TOPIC_CONFIGS][24];
};
void new_topic_set(struct new_topic *t, const char *key, const char *value);
void new_topic_set_number(struct new_topic *t, const char *key, int64_t value);
void request_topics(struct client *c, const struct new_topic *topics, int32_t count, client_done_fn *done,
                    void *context);
/* Are they all there now? Settings must be good. */
bool answer_topics(const struct reply *r, int32_t count);

/* --- FindCoordinator, of one name --- */
enum { COORDINATES_GROUP, COORDINATES_TRANSACTION };
void request_coordinator(struct client *c, const char *name, int8_t type, client_done_fn *done, void *context);
/* The error; 0: it is found. `goes`: and a client that follows coordinators is there; COORDINATOR_NOT_AVAILABLE while it is on its way. */
int16_t answer_coordinator(const struct reply *r, bool goes);
