/* The configuration of a topic or of the broker as DescribeConfigs and CreateTopics show it: every key, its value, where it
 * comes from. */
#pragma once
#include "net/request.h"

struct config_shown {
    const char *name, *doc, *fallback;
    const char *synonym;       /* the broker's key behind a topic's */
    struct topic_value own;    /* what counts */
    struct topic_value broker; /* what would count without the topic's override */
    enum config_type type;
    bool read_only;
};
struct config_list {
    struct config_shown *v;
    uint32_t count;
};
/* Texts are those of the overrides, the configuration and the tables, lent; converted ones are the list's. False: no memory. */
bool configs_of_topic(struct request *req, const struct topic_override *overrides, uint32_t count,
                      struct config_list *out) must_use;
bool configs_of_broker(struct request *req, struct config_list *out) must_use;
