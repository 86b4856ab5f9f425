/* What handlers ask of a transactional id's coordinator, on whichever shard that is (net/coord/coord_call.h).
 *
 *   struct txn_question q = {.kind = TXN_ASK_ADD, .call.key = transactional_id, .producer_id = ..., .answered = my_answer};
 *   txn_ask(home, &q);                        // `answered` runs at home, once, perhaps inside
 *
 * The question, what it points to, and the key are of home and stay until it is answered. Nothing is to be given back, unless
 * coord_call_holds says so (DESCRIBE and LIST only): with coord_call_give_back, when the reply was sent.
 *
 * Errors are those of Kafka's newest versions: handlers put PRODUCER_FENCED as their older ones have it. */
#pragma once
#include "core/timer.h"
#include "net/coord/coord_call.h"
#include "net/producer_ids.h"
#include "net/steps.h"
#include "net/txn/txn.h"
#include "net/wire/kmsg.h"

enum txn_ask_kind {
    TXN_ASK_INIT,
    TXN_ASK_ADD,    /* all of `parts`, or none, in one record; error is that of all */
    TXN_ASK_VERIFY, /* error; without one errors[i] of each: NONE or TRANSACTION_ABORTABLE */
    TXN_ASK_END,
    TXN_ASK_DESCRIBE, /* `described`; its texts and topics in call.memory */
    TXN_ASK_LIST,     /* of one shard (txn_ask_shard): `listed`, in call.memory */
};
/* What LIST found, in the owner's memory. */
enum { TXN_LIST_CHUNK = 128 };
struct txn_list_chunk {
    struct txn_list_chunk *next;
    int32_t count;
    struct list_transactions_transaction_state v[TXN_LIST_CHUNK];
};
struct txn_filter {  /* of LIST */
    uint32_t states; /* that are asked for, a bit each */
    const int64_t *producer_ids;
    int32_t producer_id_count; /* 0: any */
    int64_t open_ms_min;       /* open for longer than this; -1: any */
    /* NULL: any; on the owner, in its step, which spends what it took. */
    bool (*passes)(const void *arg, struct kview id, struct steps *s);
    const void *passes_arg;
};
struct txn_question {
    struct coord_call call; /* in: key */
    enum txn_ask_kind kind;
    int64_t producer_id; /* INIT: -1: names none */
    int16_t producer_epoch;
    int16_t version;                   /* ADD, END: generation that the request is of (txn.h) */
    bool commit;                       /* END */
    int32_t timeout_ms;                /* INIT */
    const struct txn_partition *parts; /* ADD, VERIFY */
    uint32_t part_count;
    /* ADD: while the id is at the end of another transaction, or adds something else, it waits for that so long; then it is
     * CONCURRENT_TRANSACTIONS. 0: at once. For what Produce and TxnOffsetCommit imply, for which Kafka's broker asks again and again. */
    uint32_t wait_ms;
    struct txn_filter filter; /* LIST */
    void (*answered)(struct txn_question *q);
    /* out */
    enum kerr error;
    enum kerr *errors; /* VERIFY: the caller's, one per part */
    int64_t answer_id; /* INIT, END: producer id and epoch for the reply; -1 with an error */
    int16_t answer_epoch;
    struct describe_transactions_transaction_state *described; /* DESCRIBE: the caller's */
    struct txn_list_chunk *listed;
    uint32_t listed_count;
    /* the owner's, while it is there */
    struct list link;   /* of the entry: asking, or waiting */
    struct timer timer; /* of waiting */
    struct producer_id_wait id_wait;
    struct steps steps;
    uint32_t verified; /* up to there */
    struct coord_cursor cursor;
    int32_t cursor_at;
    struct txn_list_chunk *listed_last;
};
void txn_ask(struct shard *home, struct txn_question *q);
void txn_ask_shard(struct shard *home, uint16_t shard, struct txn_question *q);
