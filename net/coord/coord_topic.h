/* An internal topic whose partitions are coordinated (__consumer_offsets): its name, how Kafka makes it, and which of its partitions
 * a key belongs to. The partition's shard coordinates the key. */
#pragma once
#include "net/wire/wire.h"
#include "storage/store.h"

struct coord_shard;
struct coord_topic {
    const char *name;
    struct coord_shard *(*on)(const struct shard *s); /* the shard's part of the coordinator */
};
/* NULL: it is not there yet. */
const struct topic *coord_topic_find(const struct coord_topic *t, const struct store *st);
/* Java's String.hashCode of the key (over its UTF-16 form), made positive as Kafka's coordinators do, modulo: what tools and a
 * folder of Kafka's agree on, so it is no hash of ours. */
int32_t coord_partition(struct kview key, int32_t partitions);

enum { COORD_TOPIC_OVERRIDES = 3, COORD_TOPIC_NUMBER_BYTES = 16 };
/* Makes it as Kafka does. `number` and `overrides` are of the caller, like `c`, until the change is done. */
void coord_topic_change(const struct coord_topic *t, int32_t partitions, int32_t segment_bytes,
                        char number[COORD_TOPIC_NUMBER_BYTES], struct topic_override overrides[COORD_TOPIC_OVERRIDES],
                        struct catalog_change *c);
