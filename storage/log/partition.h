/* A partition: an append-only log of record batches, owned by one shard. What an ack promises is the table of the README:
 * with write.caching off, an append is done when it is on stable media; with it on, when the kernel holds it. The high
 * watermark follows the same promise, so nothing that a consumer saw vanishes.
 *
 *   append --> arena (bufs) --> wave --> disk --> promised end moves --> appends done, watchers told
 *
 *   log_start_offset <= last_stable_offset <= high_watermark (= promised end) <= end_offset (given to appends, not yet promised)
 *
 * The last stable offset is the first offset of the oldest transaction that is open here, or whose marker is not yet below the high
 * watermark; without any it is the high watermark.
 *
 * Callbacks never run inside the call that was made; they run from the shard's loop. */
#pragma once
#include "core/buf.h"
#include "core/shard.h"
#include "storage/log/producer.h"

struct partition;
struct topic;

/* --- append --- */
/* A coordinator writes to its own topic, in transactions without sequence numbers. */
enum append_origin { APPEND_CLIENT, APPEND_COORDINATOR };
enum {
    PRODUCE_ADDS_PARTITIONS = 12
}; /* from this version on producers have a new epoch in each transaction (KIP-890) */
/* A transactional batch whose producer has no transaction open here (of its epoch) is not appended before somebody asked the transaction's coordinator
 * whether it is part of one (Kafka's verification guards):
 *
 *   append, guard 0 --> INVALID_TXN_STATE, guard set --> ask --it is--> append again, with that guard --> appended
 *
 * An append in vain changes nothing but that guard. What ends the wait for it, a marker or the first batch of the transaction, voids it: INVALID_TXN_STATE
 * with guard 0 is the final answer. Several appends of a producer that are asked about have the same guard. Where the transaction is
 * open the guard counts for nothing: nobody needs to be asked. (From PRODUCE_ADDS_PARTITIONS on that is one that was begun so, too: producers_asks.) */
struct append {
    const uint8_t *records; /* one batch as sent; lent until `copied`, or else until done */
    uint32_t bytes;
    int16_t produce_version; /* from 12 on, a producer that nothing is known of begins with sequence 0 */
    enum append_origin origin;
    uint64_t guard; /* in: what the append before gave, 0: none. Out, with INVALID_TXN_STATE: not 0: see above */
    /* out */
    bool copied;
    enum kerr error;
    struct batch_fault fault; /* with INVALID_RECORD and the like; append_forget_faults */
    int64_t base_offset, append_time_ms, log_start_offset;
    void (*done)(struct append *a);
    /* the partition's */
    int64_t end_offset; /* done when the promised end reaches it */
    struct txn_marker *marker;
    struct list link;
};
/* Appends keep their order of arrival. */
void partition_append(struct partition *p, struct append *a);
/* A batch that had to be unpacked may leave a list of records at fault, in memory of the partition's shard: the handler that answers a refused
 * append gives it back, from the shard where it does. One without a list is fine. */
void append_forget_faults(struct append *a, struct shard *at, struct shard *owner);
/* From its done: the batch's bytes go now, so that a walk over them (batch_faults_init) would find nothing. */
void append_list_faults(struct append *a, struct shard *owner);

/* --- transactions --- */
/* Done when all that was given to appends before the call is on stable media, whatever write.caching says. An error (the
 * partition's refusal, KAFKA_STORAGE_ERROR): it may not be there. */
struct durable_wait {
    /* out */
    enum kerr error;
    void (*done)(struct durable_wait *w);
    /* the partition's */
    int64_t offset;
    struct list link;
};
void partition_make_durable(struct partition *p, struct durable_wait *w);

/* The end of a producer's transaction in this partition: a control batch of Kafka's form, which is on stable media when this is done, also with
 * write.caching. As with Kafka it is appended also where the producer has nothing open. It stands behind the appends that wait.
 * Not appended: TRANSACTION_COORDINATOR_FENCED (a later coordinator ended one before); INVALID_PRODUCER_EPOCH (transaction_version 2: the marker's
 * epoch is not above the one of the open transaction; of one that ended it may be the same again. Below 2: it is older). KAFKA_STORAGE_ERROR,
 * NOT_LEADER_OR_FOLLOWER: try again. Twice the same does no harm. */
struct txn_marker {
    int64_t producer_id;
    int32_t coordinator_epoch;
    int16_t producer_epoch;
    int16_t transaction_version; /* 0, 1: as below 2 */
    bool commit;
    /* out */
    enum kerr error;
    int64_t offset; /* the marker's */
    void (*done)(struct txn_marker *m);
    /* the partition's */
    struct append append;
    struct durable_wait durable;
    uint8_t bytes[BATCH_MARKER_BYTES];
};
void partition_end_txn(struct partition *p, struct txn_marker *m);

/* What is known of its producers, held as they are now: for DescribeProducers. The caller closes it on this shard. NULL: there are none; so it is of
 * a partition that does not serve (its facts are offline or recovering). */
enum err partition_hold_producers(const struct partition *p, struct producers **out) must_use;

/* --- read --- */
/* Consecutive bytes in bufs; the reader holds one reference to each buf. */
struct slice {
    struct buf *buf;
    const uint8_t *at;
    uint32_t bytes;
};
struct slices {
    struct slice *v;
    uint32_t count, cap;
    uint64_t bytes;
    /* Of a read of committed records: the aborted transactions with something in these bytes, by first offset (maybe some more).
     * None where there are no bytes. */
    struct aborted_txn *aborted;
    uint32_t aborted_count;
    struct heap *heap;
};
void slices_init(struct slices *s, struct heap *heap);
/* Puts every buf back and frees the arrays. On the shard that owns the bufs. */
void slices_deinit(struct slices *s);

struct part_read {
    int64_t offset;
    uint32_t max_bytes;
    bool first_whole; /* the first batch is returned even when it is larger than max_bytes */
    bool committed;   /* nothing at or behind the last stable offset, and the aborted transactions are named */
    /* out */
    enum kerr error;
    int64_t high_watermark, last_stable_offset, log_start_offset;
    struct slices slices; /* batches: the first one contains `offset`, the last one may be cut short, as in Kafka */
    void (*done)(struct part_read *r);
    /* the partition's */
    struct list link;
    void *state;
};
/* True: complete now (from memory, empty, or an error). False: `done` will run (a disk read). */
bool partition_read(struct partition *p, struct part_read *r);
/* Bytes from `offset` to the high watermark (committed: to the last stable offset), at most `max`: an estimate good enough for
 * min_bytes. 0 when out of range. */
uint64_t partition_readable(const struct partition *p, int64_t offset, uint64_t max, bool committed);

/* Told (from the loop) whenever the high watermark or the last stable offset moved, the partition failed or is going away. */
struct watch {
    void (*moved)(struct watch *w);
    struct list link;
};
void watch_init(struct watch *w, void (*moved)(struct watch *w));
void partition_watch(struct partition *p, struct watch *w);
void partition_unwatch(struct watch *w);

/* --- the log's start --- */
/* Moves the log start up, durably, before it is done (DeleteRecords). Fetching below it is OFFSET_OUT_OF_RANGE from then on, and
 * segments that lie wholly below it go. OFFSET_OUT_OF_RANGE: beyond the high watermark, or below -1. At or below the present
 * start nothing changes, and that is no error. Several at a time become one. */
struct log_trim {
    int64_t before;  /* the first offset that stays; -1: the high watermark */
    bool background; /* nobody waits for it */
    /* out */
    enum kerr error;
    int64_t low_watermark; /* the log start, when it was done */
    void (*done)(struct log_trim *t);
    /* the partition's */
    int64_t target;
    struct list link;
};
void partition_trim(struct partition *p, struct log_trim *t);

/* --- facts --- */
struct partition_facts {
    int64_t log_start_offset, high_watermark, last_stable_offset, end_offset;
    int32_t leader_epoch;
    uint64_t bytes;  /* of all segments */
    bool offline;    /* KAFKA_STORAGE_ERROR */
    bool recovering; /* its log is not recovered yet: nothing else of this struct but leader_epoch counts */
};
struct partition_facts partition_facts(const struct partition *p);
/* OffsetForLeaderEpoch. */
void partition_epoch_end(const struct partition *p, int32_t epoch, int32_t *out_epoch, int64_t *out_end_offset);
/* The leader epoch of the record at `offset`; at the end of the log the current one. */
int32_t partition_epoch_at(const struct partition *p, int64_t offset);
/* ListOffsets by time: the first record with a timestamp >= `timestamp`, or (max) the record with the largest one. If that is not
 * below the high watermark (committed: the last stable offset) there is none, as with Kafka. */
struct time_lookup {
    int64_t timestamp;
    bool max, committed;
    /* out */
    enum kerr error;
    int64_t found_offset, found_timestamp; /* -1: none */
    int32_t found_epoch;
    void (*done)(struct time_lookup *l);
    struct list link;
    void *state;
};
/* True: refused now, with `error` set. False: `done` will run. */
bool partition_lookup(struct partition *p, struct time_lookup *l);
