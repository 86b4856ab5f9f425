/* The broker's own configuration: Kafka's server.properties keys, from a file and from key=value arguments (these win).
 * One table (broker_keys.c) names every key of Kafka: those that mean something here have a field; those that mean nothing on
 * one node are accepted, kept, returned and named once in the log as without effect; an unknown key stops the start with its
 * nearest known name. */
#pragma once
#include "core/err.h"
#include "core/mem.h"
#include "storage/config/listener.h"
#include "storage/config/topic_config.h"

enum disk_io { DISK_AUTO, DISK_DIRECT, DISK_BUFFERED };
enum crash_route { CRASH_AUTO, CRASH_SHM, CRASH_WRITTEN };
enum { CONFIG_WHY_BYTES = 512 };

struct broker_config {
    int32_t node_id;     /* node.id, broker.id; default 1 */
    char data_dir[1024]; /* log.dirs, log.dir: exactly one folder */
    struct listener listeners[LISTENERS_MAX];
    uint32_t listener_count;
    struct listener advertised[LISTENERS_MAX]; /* count 0: what the client connected to */
    uint32_t advertised_count;
    bool listeners_per_core; /* listeners.per.core: how many cores that are, net/api/topology.h knows */
    enum disk_io disk;       /* disk.io */
    enum crash_route crash;  /* crash.route */
    const char *crash_dir;   /* crash.dir, "": not set; of the entry that set it */
    bool auto_create_topics, delete_topic_enable;
    int32_t num_partitions;
    uint32_t socket_request_max_bytes, fetch_max_bytes;
    uint32_t max_connections, max_connections_per_ip;
    int64_t connections_max_idle_ms;
    uint32_t fetch_session_slots; /* max.incremental.fetch.session.cache.slots */
    int64_t producer_id_expiration_ms;
    int64_t disk_reserve_bytes; /* -1: by the size of the disk */
    int64_t log_retention_check_ms,
        log_initial_task_delay_ms; /* log.retention.check.interval.ms; before the first one */
    int32_t offsets_topic_partitions, offsets_topic_segment_bytes; /* of __consumer_offsets, when it is made */
    int64_t offsets_retention_ms, offsets_retention_check_ms;      /* offsets.retention.minutes, in ms */
    int32_t txn_topic_partitions, txn_topic_segment_bytes;         /* of __transaction_state, when it is made */
    int32_t txn_timeout_ms_max, txn_add_wait_ms;
    int64_t txn_timeout_check_ms, txn_expiry_check_ms, txn_id_expiration_ms;
    int32_t offset_metadata_max_bytes;
    bool cleaner_enable;     /* log.cleaner.*: all of them together, each shard has its share */
    int32_t cleaner_threads; /* 0: none; there is one per shard otherwise */
    int64_t cleaner_dedupe_bytes, cleaner_backoff_ms;
    double cleaner_dedupe_load, cleaner_bytes_per_second;
    int64_t group_initial_rebalance_delay_ms;
    int32_t group_min_session_timeout_ms, group_max_session_timeout_ms, group_max_size;
    bool txn_verification;              /* transaction.partition.verification.enable */
    struct topic_config topic_defaults; /* the log.* keys, message.max.bytes, write.caching */
    struct config_entry {               /* what was set, in order: DescribeConfigs shows it */
        char *name, *value, *where;
        struct config_entry *next;
    } * set;
    /* What AlterConfigs set while brokers ran: of this broker, which counts first, and of all brokers of the cluster. What is
     * not broker_key_dynamic is a newer release's: kept, unchecked, and without effect. */
    struct config_entry *dynamic, *dynamic_default;
    bool
        version; /* made by broker_config_version: `set` is lent by the configuration that the broker was started with */
    struct heap *heap;
};

struct broker_key {
    const char *name, *fallback, *doc;
    enum config_type type;
    bool effective; /* false: accepted and without effect on one node (or not yet obeyed) */
    struct config_rule rule;
};
uint32_t broker_key_count(void);
const struct broker_key *broker_key_at(uint32_t i); /* sorted by name */
/* NULL: neither Kafka nor we know it. Keys of one listener (listener.name.<name>.<key>) and of plugins are not in the table:
 * broker_config_set takes them, without effect. */
const struct broker_key *broker_key_find(const char *name);

/* May it be altered while the broker runs? Kafka's DynamicBrokerConfig decides, but for what is fixed here at the start. */
bool broker_key_dynamic(const char *name);

/* Defaults only; complete, no broker_config_finish needed. */
void broker_config_init(struct broker_config *c, struct heap *heap);
void broker_config_deinit(struct broker_config *c);
/* One pair. `where` is "server.properties:12" or "argument". On failure why[512] is a sentence that says what, where, and
 * what to do. */
enum err broker_config_set(struct broker_config *c, const char *name, const char *value, const char *where,
                           char *why) must_use;
enum err broker_config_load(struct broker_config *c, const char *path, char *why) must_use; /* a properties file */
/* After the last pair: checks what only makes sense together (advertised without listener, two data folders ...). Names the keys
 * without effect in the log. */
enum err broker_config_finish(struct broker_config *c, char *why) must_use;
/* The value that counts as text, NULL: not set. */
const char *broker_config_get(const struct broker_config *c, const char *name);
/* As one layer has it (CONFIG_SOURCE_DYNAMIC_BROKER, _DYNAMIC_DEFAULT, _BROKER, _DEFAULT); NULL: that has none that may
 * count. */
const char *broker_config_in(const struct broker_config *c, const char *name, enum config_source layer);
/* Which layer counts. */
enum config_source broker_config_source(const struct broker_config *c, const char *name);

/* --- dynamic settings: a configuration is immutable once the broker runs, a change makes a new version --- */
/* KERR_NONE, or KERR_INVALID_REQUEST with a sentence in why[256] as Kafka refuses it. `layer`: CONFIG_SOURCE_DYNAMIC_BROKER or
 * _DYNAMIC_DEFAULT. */
enum kerr broker_dynamic_check(const char *name, const char *value, enum config_source layer, char *why) must_use;
/* The same of what is altered now: what Kafka refuses, and was once taken here, too. */
enum kerr broker_alteration_check(const char *name, const char *value, enum config_source layer, char *why) must_use;
/* `old` with one dynamic layer wholly replaced; values of keys that are broker_key_dynamic were checked. NULL: no memory. Freed
 * by broker_config_version_free. */
struct broker_config *broker_config_version(const struct broker_config *old, struct heap *heap,
                                            enum config_source layer, const struct topic_override *settings,
                                            uint32_t count) must_use;
void broker_config_version_free(struct broker_config *c);
/* The same for whatever counted until now: NULL and what the caller started with stay as they are. */
void broker_config_version_drop(const struct broker_config *c);
