/* All partitions of a transaction, asked for the same thing: that what was appended is durable, or that they take its marker. At most
 * TXN_ROUND_OUT_MAX are out at a time, and as many are started a turn as its steps allow.
 *
 *   txn_round_start --> ... --> over (failed == 0: every one has it)
 *                                 '-- failed > 0 --> txn_round_again: those that have not --> ... --> over
 *   txn_round_abandon: what is out comes back, nothing more is started, then over
 *
 * A partition that is gone has what it needs. So has one that refuses the marker for good, as somebody else ended the transaction there. */
#pragma once
#include "net/steps.h"
#include "net/txn/marker_call.h"
#include "net/txn/txn.h"

struct txn_round;
enum { TXN_ROUND_OUT_MAX = 128 };
struct txn_round_slot {
    union {
        struct marker_call marker;
        struct durable_call durable;
    };
    struct txn_round *round;
    uint32_t index;
    struct txn_partition part; /* for the log */
};
/* On the heap of its shard: made by txn_round_open, freed by txn_round_close. */
struct txn_round {
    struct shard *home;
    struct steps_line *line;
    void (*over)(struct txn_round *r); /* never inside txn_round_start, and not before the last one is back */
    void *owner;                       /* of who asks; not looked at any more when it is abandoned */
    bool marks;                        /* else it makes durable */
    struct marker_call what;           /* marks: the marker */
    enum kerr error;                   /* of the first that failed */
    uint32_t failed, out;
    bool abandoned, stepping;
    const struct txn_parts *parts; /* lent until it is over or abandoned */
    int32_t topic, at;
    uint32_t index, count;
    uint8_t *has; /* a byte for each partition */
    struct txn_round_slot *slots;
    uint8_t free_slots[TXN_ROUND_OUT_MAX];
    uint32_t free_count;
    struct steps steps;
    struct shard_defer ending;
};
/* NULL: no memory. */
struct txn_round *txn_round_open(struct shard *home, struct steps_line *line, const struct txn_parts *parts) must_use;
/* Set: over, marks, what. */
void txn_round_start(struct txn_round *r);
void txn_round_again(struct txn_round *r);
void txn_round_abandon(struct txn_round *r);
void txn_round_close(struct txn_round *r);
