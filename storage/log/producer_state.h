/* The inside of producers, for producer.c and for producer_saved.c, which writes and reads them; nobody else includes this. */
#pragma once
#include "storage/log/producer.h"

struct remembered {
    int64_t base_offset, last_offset, timestamp;
    int32_t last_sequence;
};
struct producer {
    int64_t id;
    int64_t written_ms; /* wall time of its last append: what expiry counts from */
    int64_t last_timestamp;
    int64_t txn_first_offset; /* -1: none is open */
    int32_t coordinator_epoch;
    int16_t epoch;
    bool bumps;    /* its open transaction is known to be of the second generation; not saved */
    uint8_t count; /* of v, oldest first; 0 after a marker or an epoch without data */
    struct remembered v[PRODUCER_BATCHES];
};
/* One that is open, or whose marker is not settled. */
struct txn {
    int64_t first_offset, producer_id;
    int64_t marker_offset; /* -1: open */
};
/* A question to a coordinator. */
struct guard {
    int64_t producer_id, made_ms;
    uint64_t number;
    int32_t lowest_sequence;
    int16_t epoch;
    bool bumps;
};
struct producers {
    struct heap *heap;
    struct txn *txns; /* by first offset, which rises */
    uint32_t txn_count, txn_cap;
    uint32_t ended;       /* of txns: those with a marker */
    struct guard *guards; /* in the order in which they were made */
    uint32_t guard_count, guard_cap;
    uint64_t guard_last; /* the number of the youngest */
    struct producer *v;
    uint32_t count, cap;
    uint32_t *slots;    /* index + 1, 0: free */
    uint32_t slot_mask; /* slots - 1 */
};

struct producer *producer_find(const struct producers *ps, int64_t id);                  /* NULL: not known */
enum err producer_add(struct producers *ps, int64_t id, struct producer **out) must_use; /* one that is not known */
void producer_remember(struct producer *p, const struct remembered *r);                  /* its youngest batch */
void producers_rebuild_table(struct producers *ps);
enum err producers_reserve_txn(struct producers *ps) must_use; /* room for one more */
