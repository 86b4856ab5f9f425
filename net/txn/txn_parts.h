/* The partitions of a transaction: a set, by topic, both sorted, as its record groups them (Kafka's TransactionLogValue). Names, not
 * ids, as in Kafka: a partition is looked for when it is marked. */
#pragma once
#include "core/err.h"
#include "core/mem.h"
#include "net/wire/wire.h"

struct txn_partition {
    struct kview topic;
    int32_t partition;
};
struct txn_topic {
    struct kview name; /* the set's */
    int32_t *partitions;
    int32_t count, capacity;
};
struct txn_parts {
    struct heap *heap;
    struct txn_topic *topics;
    int32_t count, capacity;
    uint32_t partitions; /* of all topics */
};
void txn_parts_init(struct txn_parts *s, struct heap *heap);
void txn_parts_deinit(struct txn_parts *s); /* and it is empty, to be used again */
bool txn_parts_has(const struct txn_parts *s, struct kview topic, int32_t partition);
/* One that is there stays. */
enum err txn_parts_add(struct txn_parts *s, struct kview topic, int32_t partition) must_use;
/* Into `to`, which is empty (and is again on an error): what is in `s`, and these, however many there are and in whatever order. */
enum err txn_parts_merge(const struct txn_parts *s, const struct txn_partition *added, uint32_t count,
                         struct txn_parts *to) must_use;
/* In its order: *topic = *at = 0 first. False: the end. */
bool txn_parts_next(const struct txn_parts *s, int32_t *topic, int32_t *at, struct txn_partition *out);
void txn_parts_check(const struct txn_parts *s);
