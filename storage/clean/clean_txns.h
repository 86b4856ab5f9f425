/* What a pass over a log knows of its transactions, by Kafka's rules (CleanedTransactionMetadata): whether a batch is of an aborted one, and
 * whether anything is left of the one that a marker ends. A pass goes through the whole log from its start, below the last stable offset, so that
 * every transaction in it is decided.
 *
 * A marker may go when no batch of its transaction was seen before it, in two steps as a tombstone: first it gets its delete horizon, a later pass
 * drops it. So those of an aborted transaction that this pass removes stay with it until the next. */
#pragma once
#include "storage/log/aborted.h"
#include "storage/log/batch.h"

struct clean_txns {
    /* the cleaner's: every transaction that was aborted, of the whole log; the first look sorts it by producer */
    struct aborted_txn *aborted;
    uint32_t count;
    /* its own */
    bool sorted;
    bool *seen;         /* of aborted: a batch of it was seen by this pass */
    int64_t *committed; /* producers of which a batch was seen that no marker came behind yet */
    uint32_t committed_count, committed_cap;
    struct heap *heap;
};
/* Before a pass. */
enum err clean_txns_begin(struct clean_txns *t, struct heap *heap) must_use;
void clean_txns_end(struct clean_txns *t); /* what is its own is given back */
/* A data batch, in the order of the log. ERR_NO_MEMORY. */
enum err clean_txns_batch(struct clean_txns *t, const struct batch *b, bool *out_aborted) must_use;
/* A control batch. *out_over: nothing is left of its transaction. `out_kept` is its entry in the index of aborted ones, if it is to stay
 * there; producer_id -1: none. */
void clean_txns_marker(struct clean_txns *t, const struct batch *b, const uint8_t *at, bool *out_over,
                       struct aborted_txn *out_kept);
