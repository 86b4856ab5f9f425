/* The configuration of a topic or of the broker as DescribeConfigs and CreateTopics show it: every key, its value, where it
 * comes from. */
#pragma once
#include "net/conn/request.h"

/* What has configs, in Kafka's numbers. */
enum config_resource {
    RESOURCE_TOPIC = 2,
    RESOURCE_BROKER = 4,
    RESOURCE_BROKER_LOGGER = 8,
    RESOURCE_CLIENT_METRICS = 16,
    RESOURCE_GROUP = 32,
};

struct config_shown {
    const char *name, *doc, *value;
    enum config_source source;
    enum config_type type; /* 0: a key that neither Kafka nor we know */
    bool read_only, sensitive;
    const struct config_synonym *synonyms; /* where the value could come from, the one that counts first */
    uint32_t synonym_count;
};
struct config_list {
    struct config_shown *v;
    uint32_t count;
};
/* Every key that DescribeConfigs shows of a topic with these overrides. Texts are those of the overrides, the configuration and
 * the tables, lent; converted ones are the request's. False: no memory. */
bool configs_of_topic(struct request *req, const struct topic_override *overrides, uint32_t count,
                      struct config_list *out) must_use;
