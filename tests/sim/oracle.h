/* What must be true, from what clients saw alone. Per partition it keeps the batches that were sent (attempts), and where
 * in the log each was seen or acknowledged (entries).
 *
 * An entry is firm when its promise holds whatever happened since: for good when it was learnt while acks were durable; with
 * caching since the last power cut only, unless caching was turned off after that. A firm entry may never be gone, moved or
 * changed. One that is not firm may be gone, and others may stand in its place, but then nothing that is not firm may stand
 * behind it.
 *
 * Below the log start nothing may be read and nothing is missed. A start that anybody was told stays: it is durable before it
 * counts. */
#pragma once
#include "tests/sim/world.h"

struct attempt {
    struct attempt *next_same_hash;
    uint64_t hash;               /* of the bytes that no broker changes: all from the attributes on */
    int64_t producer_id, offset; /* offset: where it was seen or acknowledged last, -1: nowhere */
    int32_t sequence, count;
    uint32_t sends, found; /* found: in the present reading from the start */
    uint32_t power_cuts;   /* when `offset` was learnt, as in an entry */
    bool acked;
};
struct entry {
    int64_t offset;
    struct attempt *attempt;
    uint64_t learnt_ns;
    uint32_t power_cuts; /* learnt over a connection that was made after so many, or FOR_GOOD */
};
#define FOR_GOOD UINT32_MAX
enum { ATTEMPT_BUCKETS = 256 };
struct oracle_part {
    struct oracle_part *next;
    char topic[32];
    uint8_t id[16];
    int32_t index;
    bool durable;            /* acks that come now wait for the disk */
    bool ever_cached;        /* that was not always so */
    uint32_t durable_since;  /* power cuts, by then */
    uint64_t synced_ns;      /* what was learnt until then is stable: a recovery or a clean stop synced it */
    uint32_t flush_ms;       /* the longest that it ever had */
    int64_t log_start;       /* somebody was told */
    int64_t log_start_most;  /* the highest that it was ever asked to have */
    bool start_at_watermark; /* or wherever the watermark was */
    int64_t sent_records;
    struct entry *entries; /* by offset */
    uint32_t entry_count, entry_cap;
    struct attempt *buckets[ATTEMPT_BUCKETS];
    int64_t watermark; /* the highest since the last power cut */
    uint32_t watermark_power_cuts;
    int64_t firm_watermark; /* the highest that is there for good */
    uint32_t acked_count;
};
struct oracle_topic {
    char name[32];
    uint8_t id[16];
    int32_t partitions;
    bool caching, known; /* as it was created; known: that was acknowledged */
    char segment_bytes[16], interval_bytes[16], flush_ms[16];
    const char *codec; /* compression.type */
};

void oracle_begin(void);
/* This partition was recovered by a broker that was up then, or stopped cleanly: all that was learnt by then is stable. */
void oracle_synced(const char *topic, int32_t index, uint64_t until_ns);
/* The power goes, and the broker's count of that goes up next. What it must have made stable by then stays firm with caching
 * too: what was synced, and of what was learnt while it was up for the last time what is older than flush.ms and a bit at
 * `until_ns`, when it ended. */
void oracle_power_cut(uint64_t up_since_ns, uint64_t until_ns);
struct oracle_part *oracle_part_new(const char *topic, int32_t index, bool caching, uint32_t flush_ms);
struct oracle_part *oracle_parts(void);
struct oracle_part *oracle_find(const char *topic, int32_t index);

/* A batch is about to be sent, for the first time or again. */
struct attempt *oracle_attempt(struct oracle_part *p, const uint8_t *batch, uint32_t bytes);
/* Acknowledged over a connection that was made after `power_cuts`. */
void oracle_acked(struct oracle_part *p, struct attempt *a, int64_t offset, uint32_t power_cuts);
/* Records of a fetch at `offset`; checks them, returns the next offset. */
int64_t oracle_read(struct oracle_part *p, int64_t offset, const uint8_t *records, uint32_t bytes, uint32_t power_cuts);
/* What a connection that was made after `power_cuts` says now: FOR_GOOD, or until the next power cut. And does that still hold? */
uint32_t oracle_promise(const struct oracle_part *p, uint32_t power_cuts);
bool oracle_firm(uint32_t promise);
/* What must a reply to a request that is sent now say at least? And what it did say. */
int64_t oracle_watermark(struct oracle_part *p);
bool oracle_still_firm(const struct oracle_part *p); /* the highest watermark is of the time since the last power cut */
void oracle_watermark_seen(struct oracle_part *p, int64_t at_least, int64_t watermark, uint32_t power_cuts);
/* The log start, the same way; it is never beyond what was asked for. */
void oracle_start_asked(struct oracle_part *p, int64_t offset); /* -1: the watermark */
void oracle_start_seen(struct oracle_part *p, int64_t at_least, int64_t start);
bool oracle_below_start(const struct oracle_part *p, int64_t offset); /* may be */

/* Settings of a topic. Acks may come before the disk from now on; they are durable, as a connection says that was made after
 * `power_cuts`, and so is all that was acknowledged before; records may be that old before they are flushed. */
void oracle_caches(const char *topic, uint32_t flush_ms);
void oracle_is_durable(const char *topic, uint32_t power_cuts);

/* The broker's leader epoch, the same way. */
int32_t oracle_epoch(void);
void oracle_epoch_seen(int32_t at_least, int32_t epoch);

/* The last reading of a partition from offset 0: begin, oracle_read until the watermark, end. */
void oracle_judge_begin(struct oracle_part *p);
void oracle_judge_end(struct oracle_part *p, int64_t end_offset);
