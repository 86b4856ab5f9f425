/* The inside of the transaction coordinator, for the files that make it up; nobody else includes this.
 *
 *   txn_coordinator.c   life, entries, what comes behind an event: records, markers
 *   txn_ask.c           questions                     txn_list.c   of them: descriptions and lists
 *   txn_sweep.c         what is due: time-outs, expiry */
#pragma once
#include "net/server.h"
#include "net/txn/txn_ask.h"
#include "net/txn/txn_coordinator.h"
#include "net/txn/txn_log.h"
#include "net/txn/txn_round.h"

struct txn_shard {
    struct coord_shard logs;
    struct server *server;
    struct heap_meter *memory; /* of all ids */
    struct txn_log_hooks hooks;
    uint32_t out; /* rounds, and questions that wait for a producer id: `stopped` waits for them */
    bool logs_stopped;
    void (*stopped)(struct server *sv);
    struct store_listener news;
    struct timer timeouts_timer;
    struct txn_sweep { /* of time-outs */
        struct steps steps;
        struct coord_cursor cursor;
        int32_t at; /* the next of logs.parts */
        int64_t now_ms;
        bool running;
    } sweep;
};
static inline struct txn_shard *txn_shard_of_log(const struct txn_log *l)
{
    return l->hooks->arg;
}
static inline struct txn_shard *txn_shard_of_entry(const struct txn_entry *e)
{
    return txn_shard_of_log(txn_entry_log(e));
}

/* txn_coordinator.c */
int16_t txn_level(const struct txn_shard *c); /* of transaction.version */
/* What an event came to: an answer for those that ask for it, now or when its record is durable. Not for WANT_ID. `e` stays. */
void txn_entry_go_on(struct txn_entry *e, struct txn_outcome out, struct list *asking);
/* Before anything is asked of it: a doubtful one is aborted. False: that could not begin. */
bool txn_entry_settle_doubt(struct txn_entry *e);
/* One of `out` less. */
void txn_shard_came_back(struct txn_shard *c);

/* txn_ask.c */
void txn_question_answer(struct txn_question *q, enum kerr error, int64_t producer_id, int16_t producer_epoch);
/* All of a list, which is empty then. */
void txn_questions_answer(struct list *asking, enum kerr error, int64_t producer_id, int16_t producer_epoch);
static inline void txn_questions_refuse(struct list *asking, enum kerr error)
{
    txn_questions_answer(asking, error, -1, -1);
}
/* Those that wait are asked again, unless something is pending. */
void txn_entry_wake(struct txn_entry *e);

/* txn_list.c */
void txn_describe(struct txn_question *q);
void txn_list(struct txn_question *q);

/* txn_sweep.c */
void txn_sweeps_start(struct txn_shard *c);
void txn_sweeps_stop(struct txn_shard *c);
/* Aborts it, as the broker does in its producer's place. Without a producer id at hand, where it takes one, nothing happens. */
void txn_entry_abort(struct txn_shard *c, struct txn_entry *e, int64_t now_ms, const char *why);
