/* One transactional producer of the load: a connection, a request at a time.
 *
 *   FINDING -> OPENING -> SENDING <-> ENDING        each answer leads to the next request; "again" waits a moment
 *
 * A transaction is one Produce with a small batch to each of the partitions, and EndTxn. After an end the broker may say
 * CONCURRENT_TRANSACTIONS to the next Produce until the last transaction is complete: `completed` is the time from EndTxn until a
 * Produce is taken again. */
#ifndef BENCH_TXN_ACTOR_H
#define BENCH_TXN_ACTOR_H

#include "bench/load/hist.h"
#include "bench/txn/talk.h"

/* What all producers share. */
struct stage {
    const char *topic;
    uint32_t partitions;
    /* Every n-th transaction is aborted; 0: none. */
    uint32_t abort_every;
    bool measuring;
    /* No new transaction is begun. */
    bool over;
    uint64_t transactions, again;
    struct hist end, completed, whole;
    const char *wrong;
};

enum actor_step { ACTOR_FINDING, ACTOR_OPENING, ACTOR_SENDING, ACTOR_ENDING };

struct actor {
    struct stage *stage;
    int fd;
    enum actor_step step;
    bool asked;
    char id[48];
    struct txn_who who;
    uint32_t correlation, count;
    uint64_t retry_ns, begun_ns, sent_ns, ended_ns;
    size_t in_len;
    uint8_t batch[TXN_BATCH_BYTES];
    uint32_t batch_bytes;
    uint8_t in[TXN_PARTITIONS_MAX * 64 + 1024];
};

/* False: see stage->wrong. `number` tells its id from the others'. */
bool actor_open(struct actor *a, struct stage *stage, const char *address, uint32_t number);
/* Asks for what is next, if nothing is asked for. */
bool actor_go(struct actor *a, uint64_t now_ns);
/* Takes what has come. */
bool actor_read(struct actor *a, uint64_t now_ns);

#endif
