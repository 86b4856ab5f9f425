/* The inside of an adoption, for the files that make it up; nobody else includes this. */
#pragma once
#include "storage/adopt/adopt.h"
#include "storage/catalog/catalog_file.h"
#include "storage/catalog/meta.h"
#include "storage/config/settings.h"

struct adopt_partition {
    int32_t number;
    uint32_t folder;   /* of adopt->from */
    int64_t log_start; /* as Kafka noted it; 0: it did not */
};
struct adopt_topic {
    char name[TOPIC_NAME_MAX + 1];
    uint8_t id[16];
    bool has_id, described; /* described: Kafka's metadata has it */
    int32_t partitions;     /* as described */
    struct settings settings;
    struct adopt_partition *v; /* found as folders, by number */
    uint32_t count, cap;
};
/* What lies in Kafka's folders. */
struct adopt_source {
    struct heap *heap;
    struct map topics, by_id; /* struct adopt_topic: by name all of them, by id those described */
    char cluster_id[META_CLUSTER_BYTES];
    bool described; /* there is a metadata log */
    bool clean[ADOPT_FOLDERS_MAX];
    int32_t epoch_max; /* anywhere; -1: none */
    int64_t producer_max;
    uint32_t broker_settings;
};
struct adopt_topic *adopt_source_topic(struct adopt_source *s, const char *name,
                                       size_t bytes) must_use; /* made if need be */
/* Lists the folders and reads what stands beside the logs. */
enum err adopt_source_open(struct adopt_source *s, struct adopt *a, char *why) must_use;
void adopt_source_close(struct adopt_source *s);
/* Topics, ids and settings from __cluster_metadata-0, if one of the folders has it. */
enum err adopt_metadata_read(struct adopt_source *s, struct adopt *a, char *why) must_use;

/* One partition's log, read to its end. */
struct adopt_log {
    char dir[FS_PATH_MAX];
    int64_t end_offset;
    uint64_t last_bytes; /* of the last segment that are good */
    uint64_t batches, torn_bytes;
    int32_t epoch_max;
    int64_t producer_max;
    char refused[256]; /* "": it can be taken; else why not */
};
struct folder;
/* `clean`: Kafka was stopped well, so that nothing is torn. */
enum err adopt_log_check(struct adopt *a, const struct folder *f, bool clean, struct adopt_log *l) must_use;

/* Makes adopting/<topic>-<n> of what was checked, durably but for its name. */
enum err adopt_place(struct adopt *a, const struct adopt_topic *t, const struct adopt_partition *p,
                     const struct folder *f, const struct adopt_log *l) must_use;
/* Gives it its name, and removes what a run that was interrupted left in adopting/. */
enum err adopt_name(struct adopt *a, const struct adopt_topic *t, const struct adopt_partition *p) must_use;
enum err adopt_sweep(struct adopt *a) must_use;

bool adopt_path(char out[FS_PATH_MAX], const char *dir, const char *name) must_use; /* false: too long */
void adopt_note(struct adopt *a, const char *what, const char *fmt, ...) printf_like(3, 4);
