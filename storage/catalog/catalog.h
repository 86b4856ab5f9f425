/* Which topics exist: names, ids, partitions, configs. Durable before it is answered.
 *
 * There are two copies (<data>/catalog, <data>/catalog.copy), each a log of records, appended with RWF_DSYNC by shard 0 alone, first
 * to the one, then to the other, before anything is answered; rewritten at open when mostly stale. After a one-line header
 * ("odradek catalog 2\n"), big-endian:
 *
 *   u32 bytes of the rest | u32 crc32c of the rest | u32 wave | u8 kind, +128: the last of its wave | body
 *   kinds:  1 topic created   id 16 | i32 partitions | u16 bytes, name | u16 count | u16 bytes, key | u16 bytes, value ...
 *           2 topic deleted   id 16: remembered for ever ("catalog has never known")
 *           3 leader epoch    i32
 *           4 producer ids    i64: all below are reserved
 *           5 more partitions id 16 | i32 how many there are now
 *           6 topic config    id 16 | u16 count | u16 bytes, key | u16 bytes, value ...   (the whole set)
 *           7 broker config   u8 1: of this broker, 0: of all | u16 count | key, value ... (the whole set)
 *           8 entity          u8 kind | u16 bytes, name | u16 count | key, value ... (the whole set; none: it is gone; entities.h)
 *
 * What one write carried is a wave, numbered; it counts whole or not at all. A file that is written anew holds all of it as one wave, with
 * the number of the last. Which copy is read, when they differ or one is damaged: catalog_choose.c. One lost or damaged file is survived;
 * where it cannot be proved that everything answered is there, the broker refuses: the catalog is never guessed.
 *
 * Topics are immutable objects made by shard 0. A change travels:
 *
 *   asking shard --msg--> shard 0: check, append, durable --msg--> every shard: applies it to its catalog, opens or closes its
 *   partitions (store.h) --msg--> shard 0, when all have: --msg--> asking shard: done
 *
 * so that a topic is usable on every shard before its creator is answered. A change of a topic waits while another change of
 * the same topic is under way: two creations of one name have one winner, and the loser is told when the topic is usable; a
 * name can be had again when every shard is done with the deleted one.
 *
 * A change of partitions or settings makes a new version of the struct topic; every shard puts it in the old one's place. A deleted
 * topic and an old version are freed when all shards have applied: do not keep a struct topic * across a turn. A change of the
 * broker's settings makes a new struct broker_config, and new versions of the topics whose resolved values differ; it waits until no
 * other change is under way, and the others wait for it.
 *
 * A change after which acks promise more (write.caching off, flush.messages=1), or batches must be smaller, is prepared first: every
 * partition keeps to the new rule at once, and what was taken under the old one is flushed. Only then is it recorded and applied.
 * So what recovery finds was written by the rules of the record, or by stricter ones. (If the record cannot be written then, they
 * stay with the stricter rule until the next change.) */
#pragma once
#include "core/map.h"
#include "core/shard.h"
#include "storage/catalog/entities.h"
#include "storage/config/topic_config.h"

enum { TOPIC_NAME_MAX = 249, TOPIC_PARTITIONS_MAX = 100000 };

struct topic {
    char name[TOPIC_NAME_MAX + 1];
    uint8_t id[16];
    int32_t partitions;
    struct topic_override *overrides; /* sorted by name */
    uint32_t override_count;
    struct topic_config config; /* resolved */
    bool internal;              /* __consumer_offsets, __transaction_state */
};

/* Partition -> shard: moves when the number of cores changes, never while the broker runs. */
uint16_t topic_shard(const uint8_t id[16], int32_t partition, uint16_t shard_count);
/* Legal [a-zA-Z0-9._-]{1,249}, not "." or "..". */
bool topic_name_legal(const uint8_t *name, size_t bytes);

/* --- one shard's view --- */
struct catalog {
    struct map by_name, by_id; /* struct topic * */
    struct topic **sorted;     /* by name, for "all topics" and cursors */
    uint32_t count, cap;
    uint64_t partitions_total;
    struct entities entities;
    struct heap *heap;
};
enum err catalog_init(struct catalog *c, struct heap *heap) must_use;
void catalog_deinit(struct catalog *c);
enum err catalog_add(struct catalog *c, struct topic *t) must_use;
void catalog_remove(struct catalog *c, struct topic *t);
/* Another version of the same topic in its place. */
void catalog_replace(struct catalog *c, struct topic *old, struct topic *t);
struct topic *catalog_by_name(const struct catalog *c, const uint8_t *name, size_t bytes);
struct topic *catalog_by_id(const struct catalog *c, const uint8_t id[16]);
/* Index in `sorted` of the first topic whose name is not before `name`. */
uint32_t catalog_lower_bound(const struct catalog *c, const uint8_t *name, size_t bytes);

/* What must hold between its parts; slow: tests, the simulator and the debug build. */
void catalog_check(const struct catalog *c);

/* --- the file --- */
struct catalog_file;
/* Reads it, and touches nothing. `clean`: the last stop left its mark. why[512] is a sentence. */
enum err catalog_file_open(const char *data_dir, struct heap *heap, const struct broker_config *config, bool clean,
                           struct catalog_file **out_file, char *why) must_use;
/* Makes both copies what was read, before anything is appended. New ones are not synced: the first change does that. */
enum err catalog_file_prepare(struct catalog_file *f, char *why) must_use;
/* At a clean stop: notes up to where it was answered (the folder is not synced). */
enum err catalog_file_note_end(const struct catalog_file *f) must_use;
void catalog_file_close(struct catalog_file *f);
uint32_t catalog_file_topics(const struct catalog_file *f);
const struct entities *catalog_file_entities(const struct catalog_file *f);
struct topic *catalog_file_topic(const struct catalog_file *f, uint32_t i);
bool catalog_file_knew(const struct catalog_file *f, const uint8_t id[16]); /* a live or deleted topic */
int32_t catalog_file_epoch(const struct catalog_file *f);
uint32_t catalog_file_waves(const struct catalog_file *f); /* written so far; shard 0's, once the broker runs */
/* The broker's configuration with what was altered dynamically: the version at the start, for every shard. */
const struct broker_config *catalog_file_config(const struct catalog_file *f);
bool catalog_file_lives(const struct catalog_file *f, const uint8_t id[16]);
uint64_t catalog_file_partitions(const struct catalog_file *f);                        /* of all live topics */
bool catalog_file_empty(const struct catalog_file *f);                                 /* nothing was ever recorded */
enum err catalog_file_bump_epoch(struct catalog_file *f, int32_t *out_epoch) must_use; /* synchronous, durable */

/* --- changes, asked on any shard --- */
enum catalog_change_kind {
    CATALOG_CREATE,
    CATALOG_DELETE,
    CATALOG_PRODUCER_IDS,
    CATALOG_PARTITIONS,    /* topic_id, partitions: the new total, more than now */
    CATALOG_CONFIG,        /* topic_id, ops */
    CATALOG_BROKER_CONFIG, /* cluster_default, ops */
    CATALOG_ENTITY         /* entity_kind, name, ops, settle */
};
struct settings;
struct catalog_change {
    enum catalog_change_kind kind;
    /* CREATE, ENTITY: in. Lent until done. */
    const char *name;
    int32_t partitions;
    const struct topic_override *overrides; /* checked by topic_override_check */
    uint32_t override_count;
    bool
        automatic; /* nobody asked for it by name: not when there are folders of this name that the catalog does not know */
    /* DELETE, PARTITIONS, CONFIG: in */
    uint8_t topic_id[16];
    /* CONFIG, BROKER_CONFIG, ENTITY: in. Lent until done. Worked out and checked on shard 0, against what is there by then. */
    const struct config_op *ops;
    uint32_t op_count;
    bool replace_all;     /* AlterConfigs: what is not among the ops goes */
    bool cluster_default; /* BROKER_CONFIG: Kafka's resource "", not this broker's own */
    bool validate_only;   /* PARTITIONS, CONFIG, BROKER_CONFIG, ENTITY: checked, and nothing changes */
    /* ENTITY: in. */
    enum entity_kind entity_kind;
    /* What is known of a setting that is added to (settings.h); NULL: nothing. */
    bool (*key_facts)(const char *name, enum config_type *out_type, const char **out_fallback);
    /* What the settings come to, on shard 0: may refuse, with why[256], and may change them. NULL: whatever they are. Pure. */
    enum kerr (*settle)(struct settings *s, const struct broker_config *config, char *why);
    /* out */
    enum kerr error;
    const char *message; /* static or `why`, or NULL */
    char why[256];
    /* CREATE: the new one, or the one that exists (KERR_TOPIC_ALREADY_EXISTS); PARTITIONS, CONFIG: the new version; the others: in
     * `apply` only */
    struct topic *topic;
    int64_t producer_ids; /* PRODUCER_IDS: first of a block of CATALOG_PRODUCER_BLOCK, reserved durably */
    void (*done)(struct catalog_change *c); /* on the asking shard, never inside catalog_change_start */
    /* the catalog's */
    struct topic *old;                  /* PARTITIONS, CONFIG: the version that goes */
    struct topic **versions;            /* BROKER_CONFIG: new ones, and behind them those that they replace */
    uint32_t version_count, walked;     /* walked: of the step that is made of all of them */
    bool tightens;                      /* BROKER_CONFIG: of any topic */
    struct entity *entity, *old_entity; /* ENTITY: the new version, NULL: it goes; the one that goes, NULL: it is new */
    struct broker_config *broker;       /* BROKER_CONFIG: the new version */
    const struct broker_config *old_broker;
    bool preparing, prepared, unready;
    struct shard_msg msg;
    struct catalog_shard_part *parts; /* one message per shard */
    uint16_t asked_by, waiting;
    struct list link;
};
enum { CATALOG_PRODUCER_BLOCK = 1000 };
void catalog_change_start(struct shard *s, struct catalog_change *c);

/* Shard 0's writer: attaches the file to its ring; called by the store when shard 0 starts and stops. `apply` is how a change
 * reaches the store of each shard (store_apply in store.h), for CREATE and DELETE with `topic` set: it calls
 * catalog_change_applied when its partitions are ready. With `preparing` set it is the first of two calls (see above). */
enum err catalog_writer_start(struct shard *s, struct catalog_file *f,
                              void (*apply)(struct shard *s, struct catalog_change *c)) must_use;
void catalog_writer_stop(struct shard *s);
void catalog_change_applied(struct shard *s, struct catalog_change *c);
/* Memory for what `apply` remembers on this shard until catalog_change_applied: a change that is durable needs no more of it. */
enum { CATALOG_CHANGE_ROOM_BYTES = 64 };
void *catalog_change_room(struct shard *s, struct catalog_change *c);
/* Called before that, while preparing: this shard cannot keep what the change promises. It is refused. */
void catalog_change_unready(struct shard *s, struct catalog_change *c);
