/* Settings of single groups and of subscriptions to client metrics (KIP-848 and later, KIP-714): the keys, described as those of topics are
 * (topic_config.h: a group's value is its own, or that of the broker's key of the same meaning), and what a set of them must hold. Kafka's
 * rules. Kept and described; nothing here obeys them yet. */
#pragma once
#include "storage/config/broker_config.h"

struct entity_keys {
    const struct topic_key *v; /* sorted by name */
    uint32_t count;
};
extern const struct entity_keys group_keys, metrics_keys;
/* NULL: Kafka does not know it. */
const struct topic_key *entity_key_find(const struct entity_keys *keys, const char *name);

/* All settings of one of them. KERR_NONE, or Kafka's error with a sentence in why[256]. */
enum kerr group_settings_check(const struct topic_override *v, uint32_t count, const struct broker_config *broker,
                               char *why) must_use;
enum kerr metrics_settings_check(const struct topic_override *v, uint32_t count, char *why) must_use;
