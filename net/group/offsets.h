/* The committed offsets of one group: what OffsetFetch answers. Only what is durable stands here. Pure. */
#pragma once
#include "core/map.h"
#include "net/wire/kmsg.h"

/* Kafka's longest topic name. A longer one was never committed. */
enum { OFFSETS_TOPIC_MAX = 249 };

struct committed {
    struct kview topic; /* in this block of memory, like metadata and the key of the map: topic, partition big-endian */
    int32_t partition;
    int64_t offset, commit_ms,
        expire_ms;         /* expire_ms: -1, or as an old client's commit (v2 to v4: retention_time_ms) gave it */
    int32_t leader_epoch;  /* -1: none */
    struct kview metadata; /* never null */
    int64_t position;      /* the log's: the offset of its record in __consumer_offsets */
};
struct offsets {
    struct map by_partition; /* struct committed */
    uint32_t moved;          /* counts how often a cursor into it became worthless */
    struct heap *heap;
};
void offsets_init(struct offsets *o, struct heap *heap);
void offsets_deinit(struct offsets *o);
static inline uint32_t offsets_count(const struct offsets *o)
{
    return o->by_partition.count;
}
/* NULL: nothing was committed. */
const struct committed *offsets_get(const struct offsets *o, struct kview topic, int32_t partition);
/* Copies `c`; an earlier one of that partition goes. Without memory everything stays as it was. ERR_INVALID: the topic's name
 * is longer than any topic's. */
enum err offsets_put(struct offsets *o, const struct committed *c) must_use;
void offsets_remove(struct offsets *o, struct kview topic, int32_t partition);
/* `c`, which is in `from`, goes to `to`, unless that has one of the partition whose record is a later one: then `c` goes. Without memory
 * everything stays as it was. */
enum err offsets_move(struct offsets *to, struct offsets *from, const struct committed *c) must_use;
/* All of them: *cursor = 0 first; NULL at the end. Removing is allowed meanwhile, and so is putting, as long
 * as `moved` stays the same. */
const struct committed *offsets_next(const struct offsets *o, uint32_t *cursor);
