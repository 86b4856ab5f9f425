/* A transactional producer of the simulator, on its own or at the end of a chain: consume, transform, produce.
 *
 *   OUT --FindCoordinator--> FOUND --InitProducerId--> IDLE --+--> [AddPartitionsToTxn] --> Produce ... --+
 *    ^                                                  ^     |                                           |
 *    |                                                  |     '--> a chain: [join], offsets, Fetch        v
 *    '--- fenced, crashed, or its end is in doubt       '----- EndTxn <--- [AddOffsetsToTxn] TxnOffsetCommit
 *
 * Two generations: with EndTxn up to version 4 partitions are added by request and the epoch stays; with version 5 (KIP-890) Produce 12
 * adds them, and each end gives the next epoch. The first generation has a hole that Kafka has too: what is delayed on another connection
 * may hit a later transaction of the same epoch. So such a producer, when an answer to its EndTxn is lost, begins anew with
 * InitProducerId, which fences what is late; it repeats nothing on other connections but batches (their sequence protects them).
 * Some are of both, one transaction after the other: as clients are whose cluster's transaction.version is altered. */
#pragma once
#include "tests/sim/requests.h"
#include "tests/sim/txn_truth.h"

enum { TXN_BATCHES_MAX = 6, TXN_MEMBER_BYTES = 80 };
enum txn_step {
    TXN_OUT,
    TXN_FOUND,
    TXN_IDLE,
    TXN_WRITING,
    TXN_OFFSETS,
    TXN_COMMITTING,
    TXN_ABORTING,
    TXN_OVER, /* it has nothing more to do */
};
struct txn_batch {
    struct txn_client *client;
    struct truth_log *log;
    uint8_t *at;
    uint32_t bytes, first, count;
    bool flying, acked;
};
/* Its place in a group: with a member's generation, or alone. */
struct txn_place {
    struct truth_group *group; /* NULL: it is no chain */
    bool member;
    char member_id[TXN_MEMBER_BYTES];
    int32_t generation, joined,
        session_ms;   /* generation -1: it is not in the group; joined: what it is about to be in */
    uint64_t beat_ns; /* the next heartbeat */
    bool assigned[TRUTH_PARTS_MAX], found, known; /* found: the coordinator; known: positions are */
    int64_t position[TRUTH_PARTS_MAX];
    bool drained[TRUTH_PARTS_MAX]; /* the last fetch found the end, and nothing open before it */
    int32_t part;                  /* of the present transaction */
    int64_t next;                  /* and the offset that it commits */
};
struct txn_client {
    struct client main, side; /* side: for what is repeated, and late */
    struct truth_id *id;
    uint32_t which; /* of the producers of this id */
    bool mixes;     /* it changes the generation from one transaction to the next, in one epoch too */
    bool bumps, waiting, finishing;
    int16_t produce_version, end_version;
    int32_t timeout_ms, told_timeout_ms; /* told: with the last InitProducerId */
    enum txn_step step;
    int64_t producer_id;
    int16_t epoch;
    int32_t sequences[TRUTH_LOGS_MAX];
    bool begun[TRUTH_LOGS_MAX]; /* that partition has acknowledged something of this epoch */
    struct truth_txn *txn;
    uint64_t ends_at_begin, back_ns,
        lost_until_ns; /* lost: what was sent on a connection that broke may come late until then */
    struct txn_batch batches[TXN_BATCHES_MAX];
    uint32_t batch_count, added; /* added: logs, a bit each */
    uint32_t ends, offset_sends; /* how often EndTxn and TxnOffsetCommit were sent */
    bool offsets_added, end_doubt, end_fenced, aborts, dies;
    uint32_t committed, wanted; /* transactions; wanted: in the end */
    struct txn_place place;
};

void txn_client_init(struct txn_client *c, struct truth_id *id, uint32_t which, struct truth_group *group, bool member);
void txn_client_finish(
    struct txn_client *c); /* one more transaction, or all that is left to consume; the second of an id stops */
bool txn_client_done(const struct txn_client *c);
void txn_client_quit(struct txn_client *c);
void txn_client_tell(const struct txn_client *c, char *out, size_t bytes);

/* Within. */
void txn_later(struct txn_client *c, uint64_t ns_max);
/* It may have been told that for a passing reason: later again. */
bool txn_passes(int16_t error);
bool txn_coordinator_passes(int16_t error);
/* A request was refused for good. Without a reason that is a failure. */
void txn_refused(struct txn_client *c, const char *what, int16_t error);
/* Its answer to EndTxn, or to what else may hit a later transaction of the same epoch, is lost: InitProducerId ends this one. */
void txn_begin_anew(struct txn_client *c);
/* The transaction ends without a commit, if nobody has asked for one. */
void txn_give_up(struct txn_client *c);
void txn_begin(struct txn_client *c);
/* Another batch of it, of these records. `inputs`: what they are made of, or NULL. */
void txn_add_batch(struct txn_client *c, struct truth_log *l, uint32_t count, const uint32_t *inputs);

/* txn_chain.c: the chain's next step while it is idle; its offsets. */
void chain_step(struct txn_client *c);
void chain_send_offsets(struct txn_client *c);
void chain_forget(struct txn_client *c); /* its positions, and what it has in hand */
void chain_ask_offsets(struct client *by, const struct truth_group *g, client_done_fn *done, void *context);
/* With an error, or with one partition for each part of the group. Until the next answer is decoded; r->body.n >= 0. */
const struct offset_fetch_response_group *chain_answer_offsets(const struct reply *r);
/* txn_member.c: joins, when it is not in the group (returns false then), and heartbeats (returns false when one was sent). */
bool chain_is_member(struct txn_client *c);
void chain_expelled(struct txn_client *c);
