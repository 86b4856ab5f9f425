/* One partition of __transaction_state on the shard that owns it: the transactional ids that hash there, in Kafka's record formats
 * (txn_records.h), on a coordinator's log (net/coord/coord_log.h), which loads and writes them.
 *
 * A transactional id has one record under way at most (txn.h: pending). */
#pragma once
#include "core/timer.h"
#include "net/coord/coord_log.h"
#include "net/steps.h"
#include "net/txn/txn.h"

#define TXN_TOPIC "__transaction_state"

struct txn_round;
struct txn_entry {
    struct coord_entry coord; /* its id lies behind this */
    struct txn txn;
    bool recorded;   /* the log has a record of it */
    bool known;      /* the hook `made` was called, `going` not */
    uint64_t due_ns; /* ONGOING: it has been open for too long then, in lived time (core/shard.h) */
    /* It was loaded open, and what it wrote to a cached topic may have gone with the power: it is aborted first. */
    bool doubtful;
    struct coord_write write;
    struct kview record; /* of the pending one; null: none */
    /* the coordinator's (txn_inside.h) */
    struct list asking; /* struct txn_question: answered when the pending record is durable */
    struct txn_outcome outcome;
    struct list waiting;         /* struct txn_question: for the end of what is pending */
    struct steps adding;         /* while very many are added */
    struct txn_partition *added; /* those, of several questions; NULL: they are in the one that asks */
    struct txn_round *round;     /* the partitions that are being asked, or marked; NULL: none */
    struct timer timer;          /* marks, or completes, again */
    bool marked;                 /* every partition has its marker */
    uint32_t tries;              /* to mark them, that have failed */
};

struct txn_log;
struct txn_log_hooks {
    struct pace *pace; /* one for all logs of a shard */
    /* For ids and their partitions: a part of the shard's heap, which may refuse, and its meter. NULL: that heap itself. */
    struct heap *heap;
    struct heap_meter *memory;
    int16_t (*level)(void *arg);        /* of transaction.version */
    void (*made)(struct txn_entry *e);  /* it was made, or loaded: as it stands it may be anything but EMPTY, too */
    void (*going)(struct txn_entry *e); /* it expired, or the log closes: nobody waits for it any more */
    void (*written)(struct txn_entry *e, enum kerr error); /* the pending record: what it says stands, or was dropped */
    void (*ready)(struct txn_log *l);                      /* coord_kind's */
    void *arg;
};
struct txn_log {
    struct coord_log coord;
    const struct txn_log_hooks *hooks;
    struct heap *heap;
    struct coord_expiry expiry;
};
static inline struct txn_log *txn_log_of(const struct coord_log *l)
{
    return container_of(l, struct txn_log, coord);
}
static inline struct txn_entry *txn_entry_of(const struct coord_entry *e)
{
    return container_of(e, struct txn_entry, coord);
}
static inline struct txn_log *txn_entry_log(const struct txn_entry *e)
{
    return txn_log_of(e->coord.log);
}
/* NULL: no memory. `hooks` are lent for its life. Ends with coord_log_close. */
struct txn_log *txn_log_open(struct shard *s, struct partition *p, int32_t index,
                             const struct txn_log_hooks *hooks) must_use;
/* NULL: not known, or not READY. */
struct txn_entry *txn_log_find(const struct txn_log *l, struct kview id);
/* A new id: calls `made`. NULL: no memory, TXN_IDS_MAX, or not READY. */
struct txn_entry *txn_log_make(struct txn_log *l, struct kview id, int64_t producer_id, int32_t timeout_ms,
                               int64_t now_ms) must_use;
/* Frees one that has no record and nothing under way: one whose first record was not written. */
void txn_log_drop_if_empty(struct txn_entry *e);
/* It has been open for too long. That is not asked of the wall clock, which jumps; only what was open before this start is as old as that says. */
bool txn_entry_overdue(const struct txn_entry *e);
/* The pending record: `written` comes later. NO_MEMORY: not begun, and what was pending is dropped. */
enum err txn_log_write(struct txn_entry *e) must_use;
/* Ids that nobody used for so long get their tombstones, in the background. */
void txn_log_expire(struct txn_log *l, int64_t wall_ms, int64_t expiration_ms);
