/* One transactional id: a pure state machine. Events in, actions out; no IO, no clock, no randomness. States and rules are those of
 * Kafka 4.3's TransactionMetadata and TransactionCoordinator, both generations on the same broker at the same time: what a client's
 * request says of itself decides (KIP-890: from EndTxn v5 on an end raises the epoch), not what the broker could do.
 *
 *             INIT                        ADD                     END commit                all MARKED
 *   (new) ----------> EMPTY ------------------> ONGOING --------------> PREPARE_COMMIT ------------------> COMPLETE_COMMIT
 *                      ^  \                    ^ |    \ END abort,                                            | |
 *              INIT    |   \ END abort (2)    /  |     '-- TIMEOUT ---> PREPARE_ABORT ---- all MARKED --> COMPLETE_ABORT
 *                      |    '----------------'---+---------------------^     (2: second generation only)      | |
 *                      |                      '--' ADD more           INIT of another producer:               | |
 *                      '----------------------------------------------'epoch raised, aborted first            | |
 *                       '--------------------- INIT ----------------------------------------------------------' |
 *   EMPTY, COMPLETE_* -- EXPIRE --> DEAD (tombstone, then it is gone)       COMPLETE_* -- ADD --> ONGOING ------'
 *
 *   PREPARE_EPOCH_FENCE is in Kafka a step of INIT and TIMEOUT in ONGOING, before PREPARE_ABORT. It is never written, and never stands here.
 *
 * Every change is a record: an event makes `to` (and the outcome says WRITE); when the record is durable txn_apply makes it
 * what stands, and when it failed txn_drop forgets it. Between the two it is `pending`, and a producer that asks for another change gets
 * CONCURRENT_TRANSACTIONS. So nothing is answered that is not durable, and what loading finds is what was answered.
 *
 * A commit is decided by its PREPARE_COMMIT record. The outcome says `flush`: every partition of the transaction must be durable before that record
 * may be written, whatever write.caching says. (An abort needs none: what is lost of it was to be hidden.) */
#pragma once
#include "net/txn/txn_merge.h"
#include "storage/kerr.h"

enum txn_state { /* Kafka's numbers, which stand in records */
                 TXN_EMPTY = 0,
                 TXN_ONGOING = 1,
                 TXN_PREPARE_COMMIT = 2,
                 TXN_PREPARE_ABORT = 3,
                 TXN_COMPLETE_COMMIT = 4,
                 TXN_COMPLETE_ABORT = 5,
                 TXN_DEAD = 6,
                 TXN_PREPARE_EPOCH_FENCE = 7,
};
enum { TXN_STATES = 8 };
const char *txn_state_name(enum txn_state s); /* as Kafka's tools show it */
static inline bool txn_state_prepared(enum txn_state s)
{
    return s == TXN_PREPARE_COMMIT || s == TXN_PREPARE_ABORT;
}

/* Generations (the feature transaction.version): 2 is KIP-890. */
enum { TXN_VERSION_0 = 0, TXN_VERSION_1 = 1, TXN_VERSION_2 = 2 };
enum { TXN_EPOCH_MAX = INT16_MAX - 1 }; /* of a client: the last one is the coordinator's, to fence it */

/* What a record says, but for the partitions. */
struct txn_values {
    enum txn_state state;
    int64_t producer_id;
    int64_t previous_id; /* -1: none */
    int64_t next_id;     /* PREPARE_*: the id that follows, as the epochs of this one are used up; -1: none */
    int16_t producer_epoch;
    int16_t last_epoch; /* -1: none, and after loading: not in the record */
    int32_t timeout_ms;
    int64_t start_ms; /* -1: none */
    int64_t update_ms;
    int16_t client_version; /* generation of who made the last transition */
};
struct txn {
    struct txn_values now;
    struct txn_parts parts;
    bool pending; /* a record that says `to` is on its way, or waits for what goes before it */
    struct txn_values to;
    struct txn_parts to_parts; /* unless `to` has those of now */
    bool to_same_parts;
    bool merging; /* ADD: to_parts is in the making */
    struct txn_merge merge;
};
/* A new id: EMPTY, epoch -1, nothing written. */
void txn_init(struct txn *t, struct heap *heap, int64_t producer_id, int32_t timeout_ms, int64_t now_ms);
void txn_deinit(struct txn *t);

enum txn_event_kind {
    TXN_INIT, /* InitProducerId; producer -1, -1: who asks names none */
    TXN_ADD, /* AddPartitionsToTxn, AddOffsetsToTxn, and what Produce and TxnOffsetCommit of the second generation imply */
    TXN_VERIFY, /* is it that producer's, and not at its end? Then txn_parts_has of `parts` tells about each partition */
    TXN_END,    /* EndTxn */
    TXN_TIMEOUT, /* it is open for longer than it may */
    TXN_MARKED,  /* every partition has its marker, durably */
    TXN_EXPIRE,
};
enum { TXN_EVENTS = 7 };
struct txn_event {
    enum txn_event_kind kind;
    int64_t now_ms;
    int64_t producer_id;
    int16_t producer_epoch;
    int16_t version;    /* ADD, END: what the request says; INIT, TIMEOUT: the broker's own level */
    bool commit;        /* END */
    int32_t timeout_ms; /* INIT */
    int64_t fresh_id;   /* INIT, END, TIMEOUT: an id that nobody had; -1: none at hand */
    const struct txn_partition *added;
    uint32_t added_count;
};
enum txn_action {
    TXN_ANSWER,  /* with `error`: nothing changes */
    TXN_WRITE,   /* the record, then txn_apply, then the answer; `flush` first */
    TXN_WANT_ID, /* the same event again, with a fresh id */
    TXN_MERGE, /* ADD of very many: it is pending; txn_add_more in later turns says what comes of it. `added` stays until then */
};
struct txn_outcome {
    enum txn_action action;
    enum kerr error; /* ANSWER: this; WRITE: when it is durable */
    int64_t producer_id;
    int16_t producer_epoch; /* to be answered; -1 with an error */
    bool flush;
};
struct txn_outcome txn_event(struct txn *t, const struct txn_event *e);
/* Goes on with what is MERGE, by so many partitions (looked at, moved, added). */
struct txn_outcome txn_add_more(struct txn *t, uint32_t items);
/* The record is durable. */
void txn_apply(struct txn *t);
/* It was not written. */
void txn_drop(struct txn *t);
/* The partitions that the pending record names. */
const struct txn_parts *txn_to_parts(const struct txn *t);

/* It may expire when it has not changed since. */
bool txn_may_expire(const struct txn *t);
void txn_check(const struct txn *t);
