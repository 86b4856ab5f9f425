/* The configuration of a topic: Kafka's topic keys and ours (write.caching). One table (topic_config.c) gives each key its
 * name, type, Kafka's default, its broker synonym (log.retention.ms ...), bounds and documentation; it serves the check of
 * CreateTopics, the catalog, DescribeConfigs and AlterConfigs alike. Every key of Kafka is accepted, kept and returned; the
 * obeyed ones have a field here. */
#pragma once
#include "core/mem.h"
#include "storage/config/config_value.h"
#include "storage/kerr.h"

struct broker_config;

/* The obeyed values, resolved: the topic's own, else the broker's, else the default. */
struct topic_config {
    uint32_t segment_bytes, segment_index_bytes, index_interval_bytes, max_message_bytes;
    int64_t segment_ms, segment_jitter_ms, flush_messages, flush_ms;
    int64_t timestamp_before_max_ms, timestamp_after_max_ms;
    int64_t retention_ms, retention_bytes; /* negative: all is kept */
    int64_t file_delete_delay_ms;
    int64_t min_compaction_lag_ms, max_compaction_lag_ms, delete_retention_ms;
    double min_cleanable_ratio;
    bool log_append_time, write_caching, compacted;
    bool ring_in_vain;        /* disk.full.policy=delete-oldest, and it is not */
    bool ring;                /* disk.full.policy=delete-oldest, and cleanup.policy is exactly delete */
    bool deletes;             /* cleanup.policy has delete: the two retentions count */
    bool append_time_outside; /* message.timestamp.out.of.range=append-time */
    /* Whose records must be seen before they are taken, bit n: codec n of enum batch_codec (storage/log/batch.h). */
    uint8_t unpack_codecs;
    int8_t codec; /* to store batches with; -1: as they were sent */
    int32_t codec_level;
    uint32_t unpacked_bytes_max;
};

struct topic_key {
    const char *name, *synonym, *fallback, *doc; /* fallback: Kafka's default as text; it and the synonym may be NULL */
    enum config_type type;
    struct config_rule rule;
    bool internal; /* accepted, but DescribeConfigs does not show it */
};
uint32_t topic_key_count(void);
const struct topic_key *topic_key_at(uint32_t i);         /* sorted by name */
const struct topic_key *topic_key_find(const char *name); /* NULL: Kafka does not know it */
/* Ours, or of releases long gone: no Kafka of today takes it. */
bool topic_key_foreign(const struct topic_key *k);

/* One override as the client gave it. Text is zero-terminated. */
struct topic_override {
    const char *name, *value;
};
/* One change of an override or of a broker's dynamic setting; the numbers are IncrementalAlterConfigs'. APPEND and SUBTRACT are
 * for lists, whose default counts when there is no value yet. */
enum config_op_kind { CONFIG_OP_SET = 0, CONFIG_OP_DELETE = 1, CONFIG_OP_APPEND = 2, CONFIG_OP_SUBTRACT = 3 };
struct config_op {
    const char *name;
    enum config_op_kind kind;
    const char *value; /* not looked at with DELETE */
};
/* KERR_NONE or KERR_INVALID_CONFIG with a sentence in why[256]: unknown key (names the nearest), wrong type, out of bounds. */
enum kerr topic_override_check(const char *name, const char *value, char *why) must_use;
/* All of one topic, checked before: no key twice, and what only makes sense together. */
enum kerr topic_overrides_check(const struct topic_override *overrides, uint32_t count, char *why) must_use;
/* NULL: not among them. */
const char *topic_override_find(const struct topic_override *overrides, uint32_t count, const char *name);
/* A copy of them in topic_overrides_bytes of memory, 8-aligned: the array, sorted by name, then the texts. */
size_t topic_overrides_bytes(const struct topic_override *overrides, uint32_t count);
struct topic_override *topic_overrides_copy(void *to, const struct topic_override *overrides, uint32_t count);
/* Resolves the overrides (checked before) over the broker's defaults. */
void topic_config_resolve(struct topic_config *out, const struct topic_override *overrides, uint32_t count,
                          const struct broker_config *broker);

/* Settings that are possible, and do not do together what somebody may expect. Sentence number i into why[256]; false: there are not so
 * many. `overrides` are the topic's own. */
bool topic_config_doubt(const struct topic_config *c, const struct topic_override *overrides, uint32_t count,
                        uint32_t i, char *why) must_use;

/* Does `to` promise more than `from`, or take less: acks that wait for the disk, or smaller batches? */
bool topic_config_acks_durable(const struct topic_config *c);
bool topic_config_tightens(const struct topic_config *from, const struct topic_config *to);

/* Where a value comes from, in DescribeConfigs' numbers. */
enum config_source {
    CONFIG_SOURCE_TOPIC = 1,
    CONFIG_SOURCE_DYNAMIC_BROKER = 2,  /* altered, for this broker */
    CONFIG_SOURCE_DYNAMIC_DEFAULT = 3, /* altered, for all brokers of the cluster */
    CONFIG_SOURCE_BROKER = 4,          /* as the broker was started */
    CONFIG_SOURCE_DEFAULT = 5,
    CONFIG_SOURCE_CLIENT_METRICS = 7,
    CONFIG_SOURCE_GROUP = 8
};
/* What counts for one key, as text. The pointers are lent by the key, the overrides and the broker's configuration; hours
 * and minutes of the broker's keys are converted into `text`, to which `value` may then point. */
struct topic_value {
    const char *value;       /* NULL: no value */
    const char *source_name; /* the topic's key, or the broker's that was set; for a default: the synonym or the key */
    enum config_source source;
    char text[24];
};
/* `overrides` may be NULL: what a topic without its own gets. */
void topic_value_get(const struct topic_key *key, const struct topic_override *overrides, uint32_t count,
                     const struct broker_config *broker, struct topic_value *out);

/* Everything that says something about a key, the strongest first, as DescribeConfigs lists it: the topic's own value, then for
 * each layer (dynamic of this broker, dynamic default, static, default) the broker keys of that meaning. Pointers are lent, values
 * are as they were set: hours stay hours. */
enum { CONFIG_SYNONYMS_MAX = 16 };
struct config_synonym {
    const char *name, *value; /* value NULL never */
    enum config_source source;
};
/* How many there are. `overrides` may be NULL. */
uint32_t topic_synonyms(const struct topic_key *key, const struct topic_override *overrides, uint32_t count,
                        const struct broker_config *broker, struct config_synonym out[CONFIG_SYNONYMS_MAX]);
/* The same of a broker key (broker_config.h). */
uint32_t broker_synonyms(const char *name, const struct broker_config *broker,
                         struct config_synonym out[CONFIG_SYNONYMS_MAX]);
