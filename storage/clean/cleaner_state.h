/* The inside of a shard's cleaner: cleaner.c looks and learns, clean_run.c does one cleaning. Nobody else includes this. */
#pragma once
#include "storage/clean/clean_work.h"
#include "storage/clean/cleaner.h"
#include "storage/log/partition_state.h"

enum { CLEAN_REST_FAILED_MS = 1000 }; /* what was short is asked for again */

/* Dirty enough? */
struct clean_range {
    int64_t first_dirty, first_uncleanable;
    uint64_t clean_bytes, dirty_bytes; /* of segments that are wholly clean, of those that can be cleaned and are not */
    bool overdue;
};

struct learning;
/* One cleaning.
 *
 *   JOB --done--> PACED --its time has come--> JOB        JOB (SEAL) --> DRAINING --no reader is left--> JOB (RENAME)
 *   any but DRAINING, when it is over: JOB (the end)      JOB (RENAME) --no room--> PACED --> JOB */
enum run_state { RUN_JOB, RUN_PACED, RUN_DRAINING };
struct clean_run {
    struct io_op op;
    struct timer timer;
    struct cleaner *cleaner;
    struct partition *partition;
    enum run_state state;
    struct clean_work work;
    struct segment *made;    /* until it is in the list */
    struct segment *taken;   /* it is in the list, its file has another name */
    struct segment **pinned; /* the group's, while their names must mean what they mean */
    uint32_t pinned_count;
    struct list old; /* replaced */
    bool ending, abandon, saved, overdue;
    uint64_t counted_read, counted_written;
    uint64_t dirty_bytes, work_bytes; /* at its beginning: that are dirty, that it will read */
    uint64_t begun_compacted_bytes;   /* the store's compacted_bytes then */
};

/* While producers write to the shard's logs, a step reads little and is followed by a rest of so many times what it took: the disk is
 * theirs. None is due while the cleaning is behind what comes in: while the share of it that is done is less than what was written to compacted
 * logs since it began, by its dirty bytes. So when it is over no more is dirty than before. Nor for what is overdue (max.compaction.lag.ms). */
enum { CLEAN_YIELD = 39, CLEAN_YIELD_MS_MAX = 500 /* one rest */ };

struct cleaner {
    struct log_store *store;
    const struct broker_config *config;
    struct timer timer;
    struct clean_run *run;
    struct learning *learning;
    bool stopping, failed;
    uint32_t look_next; /* how many of store->all are still to be looked at */
    struct partition *best;
    uint32_t best_place;
    double best_rank;
    uint64_t free_at_ns;                   /* the pace: not before */
    uint64_t dirty_bytes, dirty_bytes_now; /* of all logs at the last look, and of this one so far */
    uint64_t left_bytes;                   /* of the cleaning */
    struct {
        struct stat_counter *runs, *refused, *read, *written, *dropped, *dirty, *left;
    } stats;
};

/* May it be cleaned at all, now? */
static inline bool cleaner_may_clean(const struct cleaner *c, const struct partition *p)
{
    assert(p->store == c->store);
    return !c->stopping && p->condition == PARTITION_OPEN && config_of(p)->compacted && !p->cleaning.refused &&
           p->segments.count > 1;
}
/* How late it is for what expires by wall time, or -1 (filter.h). */
int64_t cleaner_expiry_ms(const struct cleaner *c);
/* cleaner.c: the run is over and freed. */
void cleaner_run_over(struct cleaner *c, bool failed);
/* clean_run.c: begins one. False: no memory. */
bool clean_run_start(struct cleaner *c, struct partition *p, const struct clean_range *range);
/* The cleaner's configuration is another. */
void clean_run_configured(struct clean_run *r);
/* Its partition stops, or a read of it ended. */
void clean_run_step(struct log_store *ls, struct partition *p);
