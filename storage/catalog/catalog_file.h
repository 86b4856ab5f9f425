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
    CATALOG_BROKER_SETTINGS,
    CATALOG_ENTITY_SETTINGS
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

/* Without settings it says that the entity is gone. */
enum err catalog_blob_entity(struct catalog_blob *b, enum entity_kind kind, const char *name,
                             const struct topic_override *settings, uint32_t count) must_use;

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

/* --- the two copies --- */

#define CATALOG_HEADER "odradek catalog 2\n" /* 1: one copy, whose first wave has number 1 */
enum { CATALOG_HEADER_WORDS = 16, CATALOG_HEADER_BYTES = 18, CATALOG_FORMAT = 2, CATALOG_COPIES = 2 };

enum catalog_state {
    CATALOG_NEW,    /* not there, empty, or its header is torn: nothing was ever recorded in it, or it is lost */
    CATALOG_WHOLE,  /* ends with a whole wave, or with the header */
    CATALOG_TORN,   /* behind that lies what may be a torn write */
    CATALOG_DAMAGED /* what is bad was once good: good records follow; or the header is none of ours */
};
/* What a file holds, by its framing (catalog_read.c). */
struct catalog_view {
    enum catalog_state state;
    bool there;
    uint32_t format; /* 0: no header */
    uint32_t wave;   /* of its last whole one, counted from the start */
    uint32_t seen;   /* the highest number of any good record */
    size_t bytes;    /* of header and whole waves */
};
void catalog_view_scan(struct catalog_view *v, const uint8_t *at, size_t bytes);
/* What the last stop left behind. */
struct catalog_past {
    bool clean;    /* there is a clean mark: no write was under way */
    bool used;     /* the folder has partitions, so that a catalog was there */
    uint32_t wave; /* at least so much was answered: catalog.end */
};
/* Which of the two to take (catalog_choose.c); -1: neither can be proved to hold everything that was answered. */
int catalog_choose(const struct catalog_view v[CATALOG_COPIES], const struct catalog_past *past);
/* "damaged at byte 17", for a sentence. */
void catalog_view_text(const struct catalog_view *v, char out[64]);

struct catalog_copy {
    char path[FS_PATH_MAX];
    int fd;                   /* -1: not open */
    uint64_t bytes;           /* behind the last whole wave */
    struct catalog_view view; /* as it was found */
};

struct catalog_writer;
struct catalog_file {
    struct heap *heap;
    const struct broker_config *config; /* the current version; the first one is the caller's */
    char dir[FS_PATH_MAX - 64];
    struct catalog_copy copies[CATALOG_COPIES];
    int chosen;        /* of the copies: the one that was read */
    uint32_t wave;     /* of the last write, 0: none */
    uint64_t room_end; /* up to here both copies have blocks, or were last refused them */
    bool empty;        /* no record: neither the files nor their folder are synced yet */
    struct catalog all;
    struct map by_plain;    /* struct catalog_topic */
    uint8_t (*deleted)[16]; /* sorted */
    uint32_t deleted_count, deleted_cap;
    int32_t epoch;
    int64_t ids_reserved; /* producer ids below are taken */
    struct strays strays;
    struct catalog_writer *writer;
};
/* What must hold between its parts, but while a change of a topic is being made; slow. */
void catalog_file_check(const struct catalog_file *f);
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
/* Both synchronous, durable, before there is a writer: for adopt. A topic that was not taken is the caller's still; numbers only rise. */
enum err catalog_file_add_now(struct catalog_file *f, struct topic *t) must_use;
enum err catalog_file_raise_now(struct catalog_file *f, int32_t epoch, int64_t producer_ids) must_use;
/* Room for `more` deleted ids, so that remembering cannot fail. */
enum err catalog_file_reserve(struct catalog_file *f, uint32_t more) must_use;
void catalog_file_remember(struct catalog_file *f, const uint8_t id[16]);
/* Makes the names durable that lead to this file, and what else the folder was made with. Synchronous: at open, or a job. */
enum err catalog_file_sync_names(struct catalog_file *f) must_use;
/* Blocks behind both copies for the changes to come, as far as there are any; half of them are used up. Synchronous: at open, or a job. */
void catalog_file_make_room(struct catalog_file *f);
bool catalog_file_wants_room(const struct catalog_file *f);

/* Changes of partitions and settings (catalog_alter.c): worked out into new versions, with `old` set for those of a topic. On
 * failure `message` is set and nothing is left behind. */
enum kerr catalog_alter_partitions(struct catalog_file *f, struct catalog_change *c) must_use;
enum kerr catalog_alter_config(struct catalog_file *f, struct catalog_change *c) must_use;
enum kerr catalog_alter_broker(struct catalog_file *f, struct catalog_change *c) must_use;
/* Of the broker's settings, in steps, while no other change is under way: new versions of topics are made before anything else is done with
 * the change, take their places before catalog_alter_take, and old ones (or new ones that were not taken) are freed before catalog_alter_over
 * (catalog_alter_drop). Each does `most` of them at most. True: there are more. */
bool catalog_alter_make(struct catalog_file *f, struct catalog_change *c, uint32_t most, enum err *out_err) must_use;
bool catalog_alter_take_some(struct catalog_file *f, struct catalog_change *c, uint32_t most) must_use;
bool catalog_alter_free_some(struct catalog_file *f, struct catalog_change *c, bool old, uint32_t most) must_use;
/* With `old_entity` set if there is one; neither is there: nothing is to be done. */
enum kerr catalog_alter_entity(struct catalog_file *f, struct catalog_change *c) must_use;
bool catalog_alter_tightens(const struct catalog_change *c); /* it is to be prepared first */
enum err catalog_alter_blob(struct catalog_file *f, const struct catalog_change *c, struct catalog_blob *b) must_use;
void catalog_alter_drop(struct catalog_file *f, struct catalog_change *c); /* the new versions, not taken */
void catalog_alter_take(struct catalog_file *f, struct catalog_change *c); /* it is durable: the new versions count */
void catalog_alter_over(struct catalog_file *f, struct catalog_change *c); /* every shard has them: the old ones go */

/* Applies the waves of a file, whole by `v` (catalog_read.c). On failure why[512]. */
enum err catalog_apply(struct catalog_file *f, const uint8_t *at, const struct catalog_view *v, const char *path,
                       char *why) must_use;
/* <data>/catalog.end: the number of the last wave at a clean stop, so of one that was answered, at the least.
 *
 *   "odradek catalog end 1\n" | u32 wave | u32 crc32c of all before
 *
 * It stays while the broker runs: it is a lower bound. Whole or not at all; 0: it is not there, or not whole (catalog_end.c). */
enum err catalog_end_load(const char *data_dir, uint32_t *out_wave) must_use;
/* The folder is not synced. */
enum err catalog_end_save(const char *data_dir, uint32_t wave) must_use;
/* Whatever lies behind the whole waves of both copies goes, durably. Synchronous: a job. */
enum err catalog_file_cut(struct catalog_file *f) must_use;
/* For repair alone: puts together what the good records of both copies say, in the order of their waves, wherever they stand; one that
 * contradicts what is there is left out, but for a name that is taken: then the older topic must have been deleted. `out_records` counts. */
enum err catalog_file_salvage(const char *data_dir, struct heap *heap, const struct broker_config *config,
                              struct catalog_file **out_file, uint32_t *out_records, char *why) must_use;
struct catalog_bytes {
    const uint8_t *at;
    size_t bytes;
};
enum err catalog_salvage(struct catalog_file *f, const struct catalog_bytes copies[CATALOG_COPIES],
                         uint32_t *out_records) must_use;
/* A topic has this name, or one that differs only in . and _. */
bool catalog_plain_taken(const struct catalog_file *f, const char *name);
