/* The configuration of a topic: Kafka's topic keys and ours (write.caching). One table (topic_config.c) gives each key its
 * name, type, Kafka's default, its broker synonym (log.retention.ms ...), bounds and documentation; it serves the check of
 * CreateTopics, the catalog, DescribeConfigs and AlterConfigs alike. Every key of Kafka is accepted, kept and returned; the
 * obeyed ones have a field here. */
#pragma once
#include "core/mem.h"
#include "storage/kerr.h"

struct broker_config;

/* The obeyed values, resolved: the topic's own, else the broker's, else the default. */
struct topic_config {
    uint32_t segment_bytes, segment_index_bytes, index_interval_bytes, max_message_bytes;
    int64_t segment_ms, flush_messages, flush_ms;
    int64_t timestamp_before_max_ms, timestamp_after_max_ms;
    bool log_append_time, write_caching, compacted;
    int64_t file_delete_delay_ms;
};

enum config_type { CONFIG_BOOLEAN = 1, CONFIG_STRING, CONFIG_INT, CONFIG_SHORT, CONFIG_LONG, CONFIG_DOUBLE, CONFIG_LIST,
                   CONFIG_CLASS, CONFIG_PASSWORD }; /* DescribeConfigs' numbers */
struct topic_key {
    const char *name, *synonym, *fallback, *doc; /* fallback: Kafka's default as text */
    enum config_type type;
};
uint32_t topic_key_count(void);
const struct topic_key *topic_key_at(uint32_t i);       /* sorted by name */
const struct topic_key *topic_key_find(const char *name); /* NULL: Kafka does not know it */

/* One override as the client gave it. Text is zero-terminated. */
struct topic_override {
    const char *name, *value;
};
/* KERR_NONE or KERR_INVALID_CONFIG with a sentence in why[256]: unknown key (names the nearest), wrong type, out of bounds. */
enum kerr topic_override_check(const char *name, const char *value, char *why) must_use;
/* Resolves the overrides (checked before) over the broker's defaults. */
void topic_config_resolve(struct topic_config *out, const struct topic_override *overrides, uint32_t count,
                          const struct broker_config *broker);
