/* Retention: what of a shard's partitions is too old or too much goes, by Kafka's rules (cleanup.policy with delete: retention.ms,
 * retention.bytes). Whole segments, the oldest first, up to the first that stays, none beyond the high watermark.
 *
 *   every log.retention.check.interval.ms a sweep goes over all partitions, some in each turn; SWEEP_ACTS_MAX at a time are acted upon:
 *
 *   IDLE --a segment's times are not known--> LEARNING --a job read them--> (judged again)
 *        --closed segments go--> TRIMMING: the log start moves durably, then the files go (trim.c) --> (judged again)
 *        --the active segment is to go too, and is the last--> ROLLING  --the next one is there--> (judged again)
 *        --nothing goes--> IDLE
 *
 * Only partitions that are open: one that is not recovered yet is left to that. The same sweep lets producers of the past go
 * (producer.id.expiration.ms). All of it by the expiry clock, which may hold.
 *
 * A folder from before there was retention keeps everything for an hour after a start, and the log names what will go, topic by topic:
 * the mark in meta.properties is set when such an hour is over, and then no start waits any more. Compaction waits for it too. */
#pragma once
#include "storage/log/log_store.h"

struct retention;
struct retention *retention_open(struct log_store *ls) must_use;
void retention_close(struct retention *r);
/* A clean stop: no sweep begins any more. `over`, perhaps inside: no job of its own is under way. */
void retention_stop(struct retention *r, void (*over)(struct log_store *ls));
void retention_check(const struct retention *r);
/* Is this such an hour? */
bool retention_keeps_all(const struct retention *r);
/* Something of the partition ended that its retention may have waited for. */
void retention_step(struct partition *p);
void retention_forget(struct partition *p); /* it is being closed */
/* The disk is full (full_disk.h): its oldest segments go, `bytes` of them if they were written no later than `limit_ms` and all of
 * them is stable, one at the least; an active one is rolled, and the next call drops it. It is IDLE, and its oldest is stable. */
void retention_drop_oldest(struct partition *p, uint64_t bytes, int64_t limit_ms);

/* --- the rules, pure (retention_rules.c) --- */
enum retention_rule { RETENTION_SIZE, RETENTION_TIME, RETENTION_DISK, RETENTION_RULES };
extern const char *const retention_rule_names[RETENTION_RULES];
struct retention_verdict {
    uint32_t count; /* of the oldest segments; all of them: the active one is rolled first */
    struct {
        uint32_t segments;
        uint64_t bytes;
    } by[RETENTION_RULES];
    struct segment *unknown; /* its times must be learnt before more can be said; NULL: none */
};
/* `timed`: now_ms is the time by which things expire; false: that is held. */
void retention_judge(const struct partition *p, bool timed, int64_t now_ms, struct retention_verdict *out);
