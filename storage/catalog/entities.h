/* What is kept for what is no topic and not the broker itself, which Kafka calls entities: settings of a group, a subscription to client
 * metrics, quotas of users, clients and addresses, SCRAM credentials of a user, the levels of features. An entity is a kind, a name and
 * settings; without settings it is gone. What names and settings mean is not known here.
 *
 * Entities are immutable objects made by shard 0, and every shard has a view of all of them, as of topics (catalog.h). All of them together
 * may take ENTITIES_BYTES_MAX: they are in memory, and a client that may alter one could make any number. */
#pragma once
#include "core/err.h"
#include "core/mem.h"
#include "storage/config/topic_config.h"

enum { ENTITIES_BYTES_MAX = 8 * 1024 * 1024, ENTITY_NAME_MAX = INT16_MAX };

/* The numbers stand in the catalog's file. */
enum entity_kind {
    ENTITY_GROUP = 1,
    ENTITY_CLIENT_METRICS = 2,
    ENTITY_QUOTA = 3,
    ENTITY_SCRAM = 4,
    ENTITY_FEATURES = 5
};
struct entity {
    enum entity_kind kind;
    const char *name;
    struct topic_override *settings; /* sorted by name; never none */
    uint32_t count;
    size_t bytes;  /* what it is counted for */
    bool changing; /* shard 0's: a change of it is under way */
};
/* Settings are copied and sorted. One block; NULL: no memory. */
struct entity *entity_new(struct heap *heap, enum entity_kind kind, const char *name,
                          const struct topic_override *settings, uint32_t count) must_use;
void entity_free(struct heap *heap, struct entity *e);
/* NULL: it has no such setting, or is NULL. */
const char *entity_setting(const struct entity *e, const char *name);

/* One shard's view, or the file's. */
struct entities {
    struct entity **sorted; /* by kind, then by name */
    uint32_t count, cap;
    size_t bytes; /* of all */
    struct heap *heap;
};
void entities_init(struct entities *all, struct heap *heap);
void entities_deinit(struct entities *all);
/* Index of the first one that is not before this kind and name. */
uint32_t entities_lower_bound(const struct entities *all, enum entity_kind kind, const char *name);
struct entity *entities_find(const struct entities *all, enum entity_kind kind, const char *name);
enum err entities_add(struct entities *all, struct entity *e) must_use;
/* Both do nothing for one that is not there: it could not be added for lack of memory. */
void entities_remove(struct entities *all, const struct entity *e);
void entities_replace(struct entities *all, const struct entity *old, struct entity *e);
/* What must hold between its parts; slow. */
void entities_check(const struct entities *all);
