/* A partition: an append-only log of record batches, owned by one shard. What an ack promises is the table of the README:
 * with write.caching off, an append is done when it is on stable media; with it on, when the kernel holds it. The high
 * watermark follows the same promise, so nothing that a consumer saw vanishes.
 *
 *   append --> arena (bufs) --> wave --> disk --> promised end moves --> appends done, watchers told
 *
 *   log_start_offset <= high_watermark (= promised end) <= end_offset (given to appends, not yet promised)
 *
 * Callbacks never run inside the call that was made; they run from the shard's loop. */
#pragma once
#include "core/buf.h"
#include "core/shard.h"
#include "storage/log/batch.h"

struct partition;
struct topic;

/* --- append --- */
struct append {
    const uint8_t *records; /* one batch as sent; lent until `copied`, or else until done */
    uint32_t bytes;
    int16_t produce_version;
    /* out */
    bool copied;
    enum kerr error;
    struct batch_fault fault; /* with INVALID_RECORD and the like; append_forget_faults */
    int64_t base_offset, append_time_ms, log_start_offset;
    void (*done)(struct append *a);
    /* the partition's */
    int64_t end_offset; /* done when the promised end reaches it */
    struct list link;
};
/* Appends keep their order of arrival. */
void partition_append(struct partition *p, struct append *a);
/* A batch that had to be unpacked may leave a list of records at fault, in memory of the partition's shard: whoever answers a refused
 * append gives it back, from the shard where it does. One without a list is fine. */
void append_forget_faults(struct append *a, struct shard *at, struct shard *owner);
/* From its done: the batch's bytes go now, so that a walk over them (batch_faults_init) would find nothing. */
void append_list_faults(struct append *a, struct shard *owner);

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
    struct heap *heap;
};
void slices_init(struct slices *s, struct heap *heap);
/* Puts every buf back and frees the array. On the shard that owns the bufs. */
void slices_deinit(struct slices *s);

struct part_read {
    int64_t offset;
    uint32_t max_bytes;
    bool first_whole; /* the first batch is returned even when it is larger than max_bytes */
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
/* Bytes from `offset` to the high watermark, at most `max`: an estimate good enough for min_bytes. 0 when out of range. */
uint64_t partition_readable(const struct partition *p, int64_t offset, uint64_t max);

/* Told (from the loop) whenever the high watermark moved, the partition failed or is going away. */
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
/* ListOffsets by time: the first record with a timestamp >= `timestamp`, or (max) the record with the largest one. */
struct time_lookup {
    int64_t timestamp;
    bool max;
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
