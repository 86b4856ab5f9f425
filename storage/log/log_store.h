/* What the partitions of one shard share: their number and order, the queues of the end of a turn, open files, loaded indexes,
 * the disk's free bytes. It stands below the partitions; storage/store.h, which makes and ends them, stands above.
 *
 * At the end of a turn, in this order: appends that waited are looked at again, waves start, watchers are told, appends,
 * trims and durable waits are answered, disk reads begin. One deferred call runs all of it, but of what may be a lot (the first two,
 * and answers to appends) only so much a turn: the rest goes first in the next one. */
#pragma once
#include "storage/expiry_clock.h"
#include "storage/log/ballast.h"
#include "storage/log/cold_blocks.h"
#include "storage/log/partition.h"
#include "storage/log/partition_rows.h"
#include "storage/log/redo.h"
#include "storage/root.h"

/* A job that closes a file. A few are kept for when there is no memory for one; what those do not suffice for waits. */
enum { CLOSES_RESERVED = 32, CLOSES_WAITING_MAX = 4096 };
struct file_close {
    struct io_op op;
    struct partition *partition;
    int fd;
    bool reserved;
    struct list link;
};
struct close_waiting {
    struct partition *partition;
    int fd;
};

struct checkpointer;
struct deleter;
struct full_disk;
struct recoverer;
struct retention;
struct cleaner;
/* Sums over a shard's partitions, made anew with each look at all of them (IDLE_LOOK_S, ROWS_LOOK_S). */
struct log_numbers {
    uint64_t bytes, segments;
    uint64_t risk_bytes, risk_since_ns; /* promised and not yet durable (write.caching); the oldest of it, 0: none */
};
struct log_counters {
    struct stat_counter *bytes, *segments, *risk_bytes, *risk_ms, *deleted_bytes, *redo_records, *redo_bytes,
        *shared_flushes, *durable_waves, *settled_waves, *zeroed_bytes, *wave_zeroed_bytes;
};
/* Zeros for space ahead: who is at it, and who waits for a turn (zeroing.c). */
enum {
    ZEROING_PIECES = 16,       /* pages: 64 KiB a write, so that waves find their way between them ... */
    ZEROING_SLOW_PIECES = 256, /* ... or up to 1 MiB, where each such write waits for a wave's flush */
};
struct zeroing_turns {
    uint32_t running;
    struct list waiting; /* partitions */
    uint64_t usual_ns;   /* from the wish to the last zero, as a moving mean */
    struct iovec zeros[ZEROING_SLOW_PIECES];
};
void zeroing_init(struct zeroing_turns *z);

/* Waves that may share a flush, and those that do: where they are (shared_flush.c). */
struct shared_flush {
    struct list gathered; /* struct wave, made in this turn's end */
    struct list writing, written, flushing;
    uint32_t gathered_count, writing_count, written_count;
    uint32_t under_way;  /* from being gathered to their ends, those too that share none in the end */
    struct io_file file; /* the lock's: whose flush it is */
    struct io_op op;     /* the flush, while there are waves of it */
};
void shared_flush_init(struct shared_flush *f, int fd);
void shared_flush_check(const struct shared_flush *f);

struct log_store {
    struct shard *shard;
    struct root *root;
    struct checkpointer *checkpointer;
    struct recoverer *recoverer;
    bool stop_syncs_all; /* the store is stopped: what partitions save then is synced when all have */
    struct deleter *deleter;
    struct retention *retention;
    struct full_disk *full_disk;
    struct ballast ballast;
    uint32_t ring_segment_bytes;        /* segments of rings are no larger, as the disk gets full (full_disk.c) */
    const struct broker_config *config; /* the store's: as it is altered */
    struct expiry_clock expiry;
    uint64_t
        opened_ns; /* the later of the wall clock and the last time that a broker of this folder saw, when it was opened */
    int64_t opened_ms;
    /* Opening its log again is wanted (the disk was full): the recoverer's, set when it is opened. */
    void (*reopen)(struct log_store *ls, struct partition *p);
    struct cleaner *cleaner;
    /* A partition that is being cleaned stops, or a read of it ended: the cleaner's. */
    void (*cleaning_step)(struct log_store *ls, struct partition *p);
    /* The data folder was deleted or replaced under the running broker: the store's. */
    void (*folder_lost)(struct log_store *ls);
    /* Every partition. A walk through it in steps goes from the end to the start: the last one takes the place of one that
     * is removed, so none that is still to come is passed over, though one may come twice; what is added meanwhile does not come. */
    struct partition **all;
    uint32_t count, cap;

    struct shard_defer turn_end;
    struct list finished;    /* struct append, error set */
    struct list trimmed;     /* struct log_trim, error set */
    struct list durables;    /* struct durable_wait, error set */
    struct list parked;      /* partitions with parked appends to look at */
    uint64_t parked_until;   /* ... until the shard has spent so much (io_spent); UINT64_MAX: not now */
    struct list wave_wanted; /* partitions for which a wave may start */
    struct shared_flush shared_flush;
    struct zeroing_turns zeroing;
    struct redo_ring redo;
    struct list carried;      /* partitions whose bytes are in shared memory and wait for a wave */
    struct timer carry_timer; /* then it begins */
    struct list watched;      /* partitions whose watchers are to be told */

    uint32_t waves_under_way; /* these two: see log_store_is_written */
    uint64_t wave_ended_ns;   /* 0: none did */
    uint64_t durable_wave_ns; /* what a durable wave takes at least, of late; 0: there was none */
    uint64_t compacted_bytes; /* that waves carried to compacted logs: what comes in for the cleaner */
    struct cold_blocks cold;  /* what was read from the disk for fetches */
    uint32_t cold_reads;      /* fetches that are at it */
    struct list cold_waiting; /* those beyond COLD_READS_MAX */
    struct list cold_ready;   /* of those at it: that may go on */
    struct list cold_starved; /* that look again for memory, by cold_timer */
    struct cold *cold_hungry; /* the one of them that keeps what it holds */
    struct timer cold_timer;
    uint64_t cold_checked, cold_until; /* bytes that were checked so far; in this turn up to there */
    struct {
        uint32_t jobs;
        size_t room_bytes;                                     /* for results, of those that run or wait to be taken */
        struct list waiting;                                   /* partitions, first come first */
        struct stat_counter *batches, *repacked, *append_time; /* unpacked; of those packed anew; made LogAppendTime */
        struct stat_counter *repacked_bytes;                   /* of records, unpacked */
    } unpack;                                                  /* batches whose records must be seen (unpack.c) */
    uint32_t lookups;
    struct list lookup_waiting; /* look-ups by time beyond their bound */
    struct list open_files;     /* struct segment, least recently used first (files.c) */
    uint32_t open_count, open_max;
    struct file_close close_reserve[CLOSES_RESERVED];
    struct list closes_free;              /* of the reserve */
    struct close_waiting *closes_waiting; /* CLOSES_WAITING_MAX */
    uint32_t closes_waiting_count;
    /* Parts of the shard's heap: segments' indexes and what checkpoints hold count in --memory. Neither is refused: of the first
     * loaded ones go instead, of the second only captured producers wait. */
    struct heap *index_heap, *checkpoint_heap;
    struct heap_meter *index_meter, *checkpoint_meter;
    struct list indexes; /* struct segment, closed and with a loaded index, least recently used first */
    uint32_t index_count;
    uint64_t free_bytes;      /* of the disk, as the checkpointer's job last saw it */
    uint64_t free_bytes_seen; /* the job's */
    bool slow_flush_logged;
    bool stop_failed; /* something of a clean stop failed, and was logged: the next start recovers it */

    uint32_t evict_next;     /* place in `all` */
    struct timer idle_timer; /* partitions without work give their memory back */
    struct log_numbers seen; /* by that look so far */
    struct partition_rows rows;
    struct log_counters counters;
    uint32_t idle_next;       /* how many of `all` are still to be looked at; 0: the next look is far */
    struct timer retry_timer; /* what was short is asked for again */
    struct list retry;        /* partitions that asked for that */
};

enum err log_store_init(struct log_store *ls, struct shard *s, struct root *root) must_use;
/* The time by which things expire (expiry_clock.h); false: held, nothing may. */
bool log_store_expiry_ms(struct log_store *ls, int64_t *out_ms) must_use;
/* When something is written, for the order of what was: the wall clock, but it never goes back, neither while the broker runs nor (as far
 * as it was noted) over a restart. Else what is written while it stands behind would be the oldest. */
int64_t log_store_written_ms(const struct log_store *ls);
/* After the last partition is gone. */
void log_store_deinit(struct log_store *ls);
/* Asserts that its fields agree; slow. */
void log_store_check(const struct log_store *ls);
/* The partition is one of `all` from now on. */
enum err log_store_add(struct log_store *ls, struct partition *p) must_use;
void log_store_remove(struct log_store *ls, struct partition *p); /* one that was not added is fine */

void log_store_turn(struct log_store *ls); /* the end of this turn has work */
/* Do producers write, or did they a moment ago? For who works in the background: the disk is theirs. */
bool log_store_is_written(const struct log_store *ls);
/* A durable wave of so many bytes ended, after so long. */
void log_store_note_durable(struct log_store *ls, uint64_t bytes, uint64_t took_ns);
/* Does a flush of this disk take so long that only their number counts? Then waves have one each, together if they can (shared_flush.c, wave.c),
 * and zeros go further ahead in larger pieces (zeroing.c). Judged by the quickest waves: a busy machine makes others slow, seldom all. */
bool log_store_flush_is_slow(const struct log_store *ls);
/* Puts a partition's link into one of the queues for the end of this turn. */
void log_store_queue(struct log_store *ls, struct list *queue, struct list *link);
void log_store_finish(struct log_store *ls, struct append *a);
/* Something was short (memory, room): the partition looks again in a while. */
void log_store_retry_later(struct log_store *ls, struct partition *p);
/* There is more than there was: who waits looks in the next turn. */
void log_store_retry_now(struct log_store *ls);
/* Something of it is in shared memory alone: a wave is to begin by and by. */
void log_store_carry_later(struct log_store *ls, struct partition *p);
/* Memory for bufs is short: drops cached tails of any partition. False: nothing to drop. */
bool log_store_evict(struct log_store *ls);

/* A change of settings that waits for what partitions of this shard took under the old ones to be durable. */
struct config_wait {
    uint32_t left; /* partitions that it waits for, plus one while they are told */
    bool failed;   /* one of them cannot: the change must not be */
    void (*over)(struct config_wait *w);
};
void config_wait_over(struct config_wait *w);
/* One of them waits for room, or the disk failed it: what it promised is not durable, the change must not be. */
void config_wait_fail(struct config_wait *w);
