/* What must be true of transactions, from what clients sent and were told alone. Every record has a number (its header says it) and
 * is sent to one partition, in one transaction or in none.
 *
 *   - A verdict falls once for each transaction, by the first proof: an answer to EndTxn, a record that a read_committed reader
 *     is shown, or one that is hidden from it, a marker, an offset that a group is told. Any later proof must say the same. So
 *     nothing aborted is ever read, all of a transaction is there or nothing, and a late EndTxn ends no other transaction.
 *   - What nobody asked to commit is not committed.
 *   - What is committed is there for good, with write.caching too. What is not, and records of no transaction, are as in oracle.h.
 *   - The last stable offset never goes back; read_committed readers get nothing at or above it, and know which transactions
 *     below it were aborted. In the end it is the watermark.
 *   - Behind the records of a transaction stands its marker, of the right kind and epoch; in a compacted log it stays until
 *     delete.retention.ms is over.
 *   - The start of a log, by DeleteRecords or retention, never goes back, and nothing moves it beyond what was asked for. Below it nothing
 *     is read; above it everything stands, of a transaction whose first records are gone too.
 *   - No epoch is given twice. A producer that is known to be fenced adds nothing to any log and ends nothing.
 *   - A group is told the offsets of its last committed transaction, never those of one that is open or aborted. Of each record that
 *     a chain consumes there is one output, never two. Only this may go wrong: where a cached input lost its end in a
 *     power cut, records that took the lost ones' offsets below the committed one are skipped. */
#pragma once
#include "net/wire/kmsg.h"
#include "tests/sim/make_batch.h"
#include "tests/sim/world.h"

enum { TRUTH_IDS_MAX = 4, TRUTH_GROUPS_MAX = 2, TRUTH_PARTS_MAX = 2, TRUTH_LOGS_MAX = 5 };
/* The logs by number: two partitions that chains read, two that they write to, and one that is compacted. */
enum { TRUTH_SOURCE = 0, TRUTH_SINK = 2, TRUTH_TABLE = 4 };

enum truth_verdict { VERDICT_NONE, VERDICT_COMMITTED, VERDICT_ABORTED };

struct truth_place {
    uint32_t what; /* 0: nothing is known there; a record's number and 1 more; or a marker's, with TRUTH_MARKER */
    uint32_t power_cuts;
    bool replaced; /* what was there got lost */
};
struct truth_log {
    char topic[32];
    int32_t index;
    bool caching, compacts;
    int64_t delete_retention_ms;
    struct truth_place *places; /* by offset */
    uint32_t cap;
    int64_t stable; /* the highest that was told, */
    uint32_t stable_power_cuts;
    bool drops;         /* retention may move its start */
    int64_t start;      /* the highest that was told, */
    int64_t start_most; /* and the highest that it may be; INT64_MAX: anything */
};
/* A transactional id, and what its producers were given. */
struct truth_id {
    char name[24];
    int64_t producer_id;
    int16_t newest;                                /* epoch that InitProducerId gave last; -1: none yet */
    uint64_t init_sent_ns[2], unanswered_until_ns; /* by which of its two producers */
    uint8_t *given;                                /* by epoch: who gave it */
};
struct truth_txn {
    struct truth_id *id;
    uint32_t number;
    int64_t producer_id;
    int16_t epoch;
    bool bumps;       /* the second generation */
    bool commit_sent; /* somebody asked for it */
    enum truth_verdict verdict;
    const char *proof;
    struct truth_group *group;
    uint64_t began_ns;
    uint32_t power_cuts; /* before it began */
};
struct truth_record {
    struct keyed_value sent;
    struct truth_log *log;
    struct truth_txn *txn; /* NULL: of none */
    int64_t offset;        /* -1: not known */
    uint32_t input;        /* what it was made of: number and 1 more */
    uint32_t seen_in;      /* the last answer that held it */
    bool fenced;           /* it was sent first when its producer was known to be */
    bool shown_at_end, there_at_end;
    uint32_t outputs[TRUTH_GROUPS_MAX]; /* what each group made of it: number and 1 more */
};
struct truth_offset {
    struct truth_offset *next; /* older */
    uint64_t order;
    int64_t offset;
    struct truth_txn *txn;
};
struct truth_group {
    char name[24];
    uint32_t at;
    int32_t generation; /* the newest that somebody was let into */
    struct {
        struct truth_log *log;
        struct truth_offset *offsets;
        int64_t skip_below; /* offsets of records that are lost may be committed below this */
        int64_t told_at_end;
    } parts[TRUTH_PARTS_MAX];
};

void truth_begin(void);
void truth_log_new(const char *topic, int32_t index, bool caching, bool compacts, int64_t delete_retention_ms);
uint32_t truth_log_count(void);
struct truth_log *truth_log_at(uint32_t i);
struct truth_group *truth_group_new(const char *name);
struct truth_record *truth_record_at(uint32_t number);
bool truth_is_record(uint64_t number);
/* The power goes (before it is counted). */
void truth_power_cut(void);

/* --- producers --- */
void truth_id_begin(struct truth_id *id, const char *name);
/* InitProducerId gave this to somebody. `by_end`: the transaction whose end gave it. */
void truth_given(struct truth_id *id, int64_t producer_id, int16_t epoch, const struct truth_txn *by_end);
bool truth_fenced(const struct truth_id *id, int64_t producer_id, int16_t epoch);

struct truth_txn *truth_txn_new(struct truth_id *id, int64_t producer_id, int16_t epoch, bool bumps,
                                struct truth_group *group);
/* A proof. */
void truth_is(struct truth_txn *t, enum truth_verdict verdict, const char *proof);
/* A record is about to be sent for the first time; its number. `input`: see above. */
uint32_t truth_sends(struct truth_log *l, struct truth_txn *t, struct keyed_value v, uint32_t input);
void truth_acked(uint32_t number, int64_t offset, uint32_t power_cuts);

/* --- readers --- */
/* A reading of a log from its start on. */
struct truth_reading {
    struct truth_log *log;
    bool committed, last; /* last: the judge's */
    int64_t next;
    uint64_t began_ns;
    uint32_t open_count, power_cuts;
    struct {
        int64_t producer_id;
        const struct truth_txn *txn;
        int64_t offset;
    } open[TRUTH_IDS_MAX * 2];
};
void truth_reading_begin(struct truth_reading *rd, struct truth_log *l, bool committed, uint32_t power_cuts);
/* What the answer to a fetch at rd->next says. `stable`: what truth_stable was when it was asked. `shown` (or NULL) is told each record that
 * the reader is shown. False: the answer is of a time before a power cut, which proves nothing. */
bool truth_read(struct truth_reading *rd, const struct fetch_partition_data *m, int64_t stable, uint32_t power_cuts,
                void (*shown)(void *arg, uint32_t number, int64_t offset), void *arg);
/* The reading came to the end that this answer tells. */
void truth_reading_end(const struct truth_reading *rd, const struct fetch_partition_data *m);
int64_t truth_stable(const struct truth_log *l);
void truth_stable_seen(struct truth_log *l, int64_t at_least, int64_t stable, uint32_t power_cuts);
/* Somebody asked for it; `at_least` is what was known when it was asked. */
void truth_start_asked(struct truth_log *l, int64_t start);
void truth_start_seen(struct truth_log *l, int64_t at_least, int64_t start);

/* --- groups --- */
/* Somebody was let into it. */
void truth_generation(struct truth_group *g, int32_t generation);
void truth_offset_sent(struct truth_group *g, int32_t part, int64_t offset, struct truth_txn *t);
int64_t truth_committed_offset(const struct truth_group *g, int32_t part); /* at least; 0: nothing is known */
uint64_t truth_offset_floor(const struct truth_group *g, int32_t part);
void truth_offset_told(struct truth_group *g, int32_t part, uint64_t floor, int64_t offset, bool at_end);

/* --- the end: every log was read to its end once more, and every group asked --- */
void truth_judge(void);

/* Within the truth. */
#define TRUTH_MARKER 0x80000000u
#define truth_fail(l, fmt, ...) \
    world_fail("%s-%d%s: " fmt, (l)->topic, (l)->index, (l)->caching ? " (caching)" : "", __VA_ARGS__)
struct truth_place *truth_place_at(struct truth_log *l, int64_t offset);
bool truth_firm(const struct truth_log *l, const struct truth_place *p);
void truth_learn(struct truth_log *l, uint32_t what, int64_t offset, uint32_t power_cuts);
bool truth_replaced_key(const struct truth_record *r);
void truth_markers_begin(void);
