/* The partitions of a transaction: a set, by topic, both sorted, as its record groups them (Kafka's TransactionLogValue). Names, not
 * ids, as in Kafka: a partition is looked for when it is marked.
 *
 * It lies in three pieces however large it is, so that freeing one takes no longer than freeing another. What changes one makes
 * another, in order: txn_merge.h. */
#pragma once
#include "core/err.h"
#include "core/mem.h"
#include "net/wire/wire.h"

struct txn_partition {
    struct kview topic;
    int32_t partition;
};
/* First by name, then by number. */
static inline int txn_partition_compare(const struct txn_partition *a, const struct txn_partition *b)
{
    bool same_bytes = a->topic.at == b->topic.at && a->topic.n == b->topic.n;
    int by_topic = same_bytes ? 0 : kview_compare(a->topic, b->topic);
    return by_topic ? by_topic : (a->partition > b->partition) - (a->partition < b->partition);
}
struct txn_topic {
    struct kview name; /* the set's */
    const int32_t *partitions;
    int32_t count;
};
struct txn_parts {
    struct heap *heap;
    struct txn_topic_place {
        uint32_t name_at, first; /* in `names`, in `numbers` */
        int32_t name_bytes, count;
    } * topics;
    int32_t *numbers;
    uint8_t *names;
    int32_t count;       /* of topics */
    uint32_t partitions; /* of all topics */
    uint32_t names_bytes;
    uint32_t topics_capacity, numbers_capacity, names_capacity;
};
void txn_parts_init(struct txn_parts *s, struct heap *heap);
void txn_parts_deinit(struct txn_parts *s); /* and it is empty, to be used again */
struct txn_topic txn_parts_topic(const struct txn_parts *s, int32_t i);
bool txn_parts_has(const struct txn_parts *s, struct kview topic, int32_t partition);
/* One that comes behind all that are there; the last one again changes nothing. */
enum err txn_parts_append(struct txn_parts *s, struct kview topic, int32_t partition) must_use;
/* In its order: *topic = *at = 0 first. False: the end. */
bool txn_parts_next(const struct txn_parts *s, int32_t *topic, int32_t *at, struct txn_partition *out);
void txn_parts_check(const struct txn_parts *s);
