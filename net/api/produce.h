/* A Produce under way: one part per partition.
 *
 *   home                                   owner
 *    |--- append_part --------------------->|  partition_append
 *    |<-- produce_answered -----------------|  durable, or refused
 *
 * Of batches of a transaction (produce_txn.c):
 *
 *    |--- append_part --------------------->|  is the transaction open here? then it is appended as any other
 *    |<-- taken ----------------------------|  ... and its place behind the others is certain
 *    |<-- produce_answered: a guard --------|  or else the coordinator is to be asked
 *    |    all parts are taken, or have a guard: the coordinator is asked about those, in one question
 *    |--- append_part, with its guard ----->|
 *    |<-- produce_answered -----------------|
 *
 * What follows on the connection waits until the last of them was taken: so a producer that pipelines keeps its order in every
 * partition, as it does with Kafka, which has one request of a connection at a time. Requests that name no transactional id pay
 * nothing for all this. */
#pragma once
#include "net/api/api.h"
#include "net/countdown.h"

struct produce;
struct produce_txn;
struct produce_txn_part;

struct produce_part {
    struct part_call call;
    struct append append;
    bool lent;     /* the partition may still read the frame; home's */
    uint8_t *copy; /* of the batch, in the owner's memory, where the partition is not recovered yet */
    struct shard_msg copied;
    struct produce *all;
    struct produce_txn_part *txn; /* NULL: the batch is of no transaction */
    struct partition_produce_response *out;
};
struct produce {
    struct request *req;
    int16_t acks;
    struct countdown parts;  /* that are out */
    bool failed;             /* some partition has an error: acks=0 closes the connection */
    bool no_memory;          /* the request could not be taken apart as a whole */
    struct countdown lent;   /* parts that may still read the frame */
    enum kerr refused;       /* all of it */
    struct produce_txn *txn; /* NULL: no batch of a transaction */
    struct produce_response response;
    /* taking the request apart: all of it is looked at, then the parts are started */
    struct steps steps;
    const struct produce_request *ask;
    int32_t at_topic, at_partition;
    bool looked;
};

/* --- produce.c --- */
/* Asks the owner (again): appends, and ends in produce_answered. */
void produce_ask(struct produce_part *part);
/* The part has its answer. */
void produce_end_part(struct produce_part *part);
/* Nobody will read its batch in the frame any more. Twice is once. */
void produce_let_go_of_frame(struct produce_part *part);
void produce_refuse(struct produce *all, struct partition_produce_response *out, enum kerr error);
static inline bool produce_is_transactional(struct krecords records)
{
    enum { MAGIC_AT = 16, ATTRIBUTES_LOW_AT = 22, TRANSACTIONAL = 1 << 4 };
    return records.n > ATTRIBUTES_LOW_AT && records.at[MAGIC_AT] == 2 && records.at[ATTRIBUTES_LOW_AT] & TRANSACTIONAL;
}

/* --- produce_txn.c --- */
/* A request with a transactional id, before it is looked at: makes all->txn. */
void produce_txn_begin(struct produce *all);
/* At one batch of it, whatever it is. Appendable: its partition is there, and it is one batch of today's format. */
void produce_txn_look(struct produce_txn *txn, struct krecords records, bool appendable);
/* Is it of the producer that was looked at, or of no transaction, or of nobody? */
bool produce_txn_is_of(const struct produce_txn *txn, struct krecords records);
/* At all of them: all->txn goes if it has no batches of a transaction. */
void produce_txn_looked(struct produce *all);
/* All its parts were asked. */
void produce_txn_all_asked(struct produce *all);
/* The part is of a transaction; before it is asked first. False: no memory. */
bool produce_txn_add(struct produce_part *part, const struct topic *t) must_use;
/* On the owner: the coordinator's answer is an error, and append.error says so: nothing is appended. */
bool produce_txn_refused(const struct produce_part *part);
/* On the owner: the append was begun. */
void produce_txn_begun(struct produce_part *part);
/* On the owner, from the append's done: must its copy stay, because it may be appended again? */
bool produce_txn_keeps_copy(const struct produce_part *part);
/* At home: the append is over. True: it is asked about, and not answered yet. */
bool produce_txn_answered(struct produce_part *part);
