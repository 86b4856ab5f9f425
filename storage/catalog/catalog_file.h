/* The catalog's file from within: what catalog_file.c (reading it, at the start) and catalog_writer.c (appending) share. */
#pragma once
#include "core/fs.h"
#include "storage/config/broker_config.h"
#include "storage/catalog/catalog.h"
#include "storage/catalog/strays.h"

enum catalog_kind {
    CATALOG_TOPIC_CREATED = 1,
    CATALOG_TOPIC_DELETED,
    CATALOG_LEADER_EPOCH,
    CATALOG_IDS_RESERVED,
    CATALOG_TOPIC_PARTITIONS,
    CATALOG_TOPIC_CONFIG,
    CATALOG_BROKER_SETTINGS
};
enum { CATALOG_LAST = 128 }; /* with the kind: the wave ends here */

/* What is about to be written: one wave. */
struct catalog_blob {
    struct heap *heap;
    uint8_t *at;
    size_t bytes, cap, last; /* last: where the newest record begins */
    uint32_t wave;
};
/* Marks the newest record as the last; there must be one. */
void catalog_blob_end(struct catalog_blob *b);
void catalog_blob_deinit(struct catalog_blob *b);
enum err catalog_blob_topic(struct catalog_blob *b, const struct topic *t) must_use;
enum err catalog_blob_deleted(struct catalog_blob *b, const uint8_t id[16]) must_use;
enum err catalog_blob_epoch(struct catalog_blob *b, int32_t epoch) must_use;
enum err catalog_blob_ids(struct catalog_blob *b, int64_t below) must_use;
enum err catalog_blob_partitions(struct catalog_blob *b, const uint8_t id[16], int32_t partitions) must_use;
enum err catalog_blob_config(struct catalog_blob *b, const struct topic *t) must_use;
enum err catalog_blob_broker(struct catalog_blob *b, bool cluster_default, const struct topic_override *settings,
                             uint32_t count) must_use;

/* A topic as its file holds it; the struct topic that the shards share is its first field. One block of memory. */
struct catalog_topic {
    struct topic topic;
    char plain[TOPIC_NAME_MAX +
               1]; /* the name with _ for every dot: no two topics may have the same (Kafka's metrics) */
    bool changing; /* a change of it is under way */
};
static inline struct catalog_topic *catalog_topic_of(struct topic *t)
{
    return container_of(t, struct catalog_topic, topic);
}

struct catalog_writer;
struct catalog_file {
    struct heap *heap;
    const struct broker_config *config; /* the current version; the first one is the caller's */
    char dir[FS_PATH_MAX - 64], path[FS_PATH_MAX];
    int fd;
    uint64_t bytes; /* behind the last whole wave; more in the file is torn */
    uint32_t wave;  /* of the last write, 0: none */
    bool empty;     /* no record: neither the file nor its folder is synced yet */
    struct catalog all;
    struct map by_plain;    /* struct catalog_topic */
    uint8_t (*deleted)[16]; /* sorted */
    uint32_t deleted_count, deleted_cap;
    int32_t epoch;
    int64_t ids_reserved; /* producer ids below are taken */
    struct strays strays;
    struct catalog_writer *writer;
};
void catalog_plain_name(const char *name, char out[TOPIC_NAME_MAX + 1]);
/* Overrides are copied and sorted. NULL: no memory. */
struct topic *catalog_topic_new(struct catalog_file *f, const uint8_t id[16], const char *name, int32_t partitions,
                                const struct topic_override *overrides, uint32_t count) must_use;
/* The same topic with other partitions or settings, and what `config` makes of it. NULL: no memory. */
struct topic *catalog_topic_version(struct catalog_file *f, const struct topic *t, int32_t partitions,
                                    const struct topic_override *overrides, uint32_t count,
                                    const struct broker_config *config) must_use;
void catalog_topic_free(struct catalog_file *f, struct topic *t);
void catalog_file_replace(struct catalog_file *f, struct topic *old, struct topic *t);
/* Another version of the broker's configuration counts; the one before is freed if it is none of the caller's. */
void catalog_file_adopt(struct catalog_file *f, struct broker_config *config);
/* One dynamic layer of `config` as a list: the array is the caller's, the texts are lent. NULL: no memory. */
struct topic_override *catalog_file_layer(struct heap *heap, const struct broker_config *config, bool cluster_default,
                                          uint32_t *out_count) must_use;
enum err catalog_file_add(struct catalog_file *f, struct topic *t) must_use;
void catalog_file_remove(struct catalog_file *f, struct topic *t);
/* Room for `more` deleted ids, so that remembering cannot fail. */
enum err catalog_file_reserve(struct catalog_file *f, uint32_t more) must_use;
void catalog_file_remember(struct catalog_file *f, const uint8_t id[16]);
/* Makes the names durable that lead to this file, and what else the folder was made with. Synchronous: at open, or a job. */
enum err catalog_file_sync_names(const struct catalog_file *f) must_use;

/* Changes of partitions and settings (catalog_alter.c): worked out into new versions, with `old` set for those of a topic. On
 * failure `message` is set and nothing is left behind. */
enum kerr catalog_alter_partitions(struct catalog_file *f, struct catalog_change *c) must_use;
enum kerr catalog_alter_config(struct catalog_file *f, struct catalog_change *c) must_use;
enum kerr catalog_alter_broker(struct catalog_file *f, struct catalog_change *c) must_use;
bool catalog_alter_tightens(const struct catalog_change *c); /* it is to be prepared first */
enum err catalog_alter_blob(struct catalog_file *f, const struct catalog_change *c, struct catalog_blob *b) must_use;
void catalog_alter_drop(struct catalog_file *f, struct catalog_change *c); /* the new versions, not taken */
void catalog_alter_take(struct catalog_file *f, struct catalog_change *c); /* it is durable: the new versions count */
void catalog_alter_over(struct catalog_file *f, struct catalog_change *c); /* every shard has them: the old ones go */

/* The reader (catalog_read.c): applies the file's whole waves to `f`, sets bytes, wave, empty. On failure why[512]. */
#define CATALOG_HEADER "odradek catalog 1\n"
enum { CATALOG_HEADER_WORDS = 16 }; /* of it, before the number */
enum err catalog_read(struct catalog_file *f, const uint8_t *at, size_t bytes, char *why) must_use;
