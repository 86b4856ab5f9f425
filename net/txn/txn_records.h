/* Records of __transaction_state: from a record of the log to what it says, and back into batches. Pure.
 *
 *   key  | version 0 | transactional id
 *   value| version 0: producer, epoch, timeout, state, partitions (null in EMPTY), times; 1: the same, and as tags previous and next
 *          producer id and the client's generation. null: a tombstone
 *
 * Both versions are read; which one is written follows the level of transaction.version, as in Kafka: 0 at level 0. */
#pragma once
#include "net/coord/coord_batch.h"
#include "net/txn/txn.h"
#include "net/wire/kmsg.h"

enum { TXN_RECORD_ARENA = 16 }; /* the arrays of a value take less than so many times its bytes, and TXN_RECORD_ROOM */
enum { TXN_RECORD_ROOM = 1024 };
struct txn_record {
    bool known; /* else its key is of a version unknown here */
    bool tombstone;
    struct kview id;
    struct txn_values values;
    const struct partitions_schema *topics; /* in the arena */
    int32_t topic_count;
};
/* NULL, or what is wrong with it. */
const char *txn_record_read(struct kview key, struct kview value, struct arena *arena, struct txn_record *out);
/* The partitions that it names, into an empty set. */
enum err txn_record_parts(const struct txn_record *r, struct txn_parts *out) must_use;

/* The value that says so; in `heap`. n == -1: no memory. */
struct kview txn_record_encode(const struct txn_values *v, const struct txn_parts *parts, int16_t level,
                               struct heap *heap) must_use;
/* Not less than it takes in a batch. */
uint32_t txn_record_bytes(struct kview id, struct kview value);
/* `value` null: a tombstone. Puts it whole; false: there is no room, and the batch is as it was. */
bool txn_record_put(struct record_batch *b, struct kview id, struct kview value) must_use;
