/* The inside of a partition, for the files that make it up; nobody else includes this.
 *
 *   partition.c    opening, facts, epochs, watches      writer.c   appends; wave.c, flusher.c
 *   space.c        rolls, waking, space ahead (jobs)    reader.c   fetches from memory and disk
 *   cold_read.c    fetches from the disk; cold_blocks.c
 *   lookup.c       offsets by time                      checkpointer.c  durable ends, lazily
 *   trim.c         the log's start              log_store.c  the end of a turn
 *   transactions.c markers, durable waits               shared_flush.c  one flush for many waves
 *   retention.c    what is too old or too much  full_disk.c  what goes when the disk is full
 *   zeroing.c      zeros in the space ahead
 *
 * Where the log stands, each mark behind or equal to the next one's left:
 *
 *   durable     on stable media: what recovery will find whatever happens
 *   written     what waves have carried to the file
 *   promised    what the acks' promise covers: durable without caching; with it, written or in shared memory (redo.h). The high watermark
 *   end         what appends were given
 */
#pragma once
#include "storage/limits.h"
#include "storage/log/partition.h"
#include "storage/recovery/recovery.h"
#include "storage/log/log_store.h"
#include "storage/log/redo.h"
#include "storage/log/repack.h"
#include "storage/log/retention.h"
#include "storage/log/segments.h"
#include "storage/log/tail.h"

/* A place between two batches of the active segment, with what the checkpoint needs to know of the log before it. */
struct mark {
    int64_t offset;                              /* next one */
    uint64_t position;                           /* in the active segment */
    int64_t max_timestamp, max_timestamp_offset; /* of the active segment */
};

/* What may be asked of it.
 *
 *   UNRECOVERED --> OPEN <--> NO_ROOM        UNRECOVERED, OPEN --> STOPPING        any but STOPPING --> OFFLINE
 *   UNRECOVERED --> NO_ROOM
 *
 * A stop leaves OFFLINE and NO_ROOM as they are: nothing of them is flushed or saved. */
enum partition_condition {
    PARTITION_OPEN,
    PARTITION_UNRECOVERED, /* what lies in its folder is not known yet: NOT_LEADER_OR_FOLLOWER (storage/recovery/recoverer.h) */
    PARTITION_STOPPING, /* clean stop or deletion: nothing new is taken */
    PARTITION_NO_ROOM,  /* the disk was full when its log was (re)opened: that is tried again. KAFKA_STORAGE_ERROR */
    PARTITION_OFFLINE,  /* the disk failed or the files are corrupt: KAFKA_STORAGE_ERROR until a restart */
};

/* One write of a wave: of a buf, of the copy of the last block, of both, of zeros behind. */
enum { WAVE_PIECE_IOVS = 3 };
struct wave_piece {
    struct io_op op;
    struct wave *wave;
    struct iovec iov[WAVE_PIECE_IOVS];
    uint32_t count;
    uint64_t position;
};
/* A wave: everything appended since the last one, one write per buf. One per partition in flight. */
struct wave {
    struct partition *partition;
    struct mark end;    /* what is written when it is done */
    uint64_t whole_end; /* of its last block, or of the zeros behind it */
    uint32_t count, left;
    int32_t failure;   /* negative errno of the first piece that failed, else 0 */
    bool dsync;        /* what it carries is durable when it is done */
    bool may_share;    /* a flush with others (shared_flush.c) ... */
    bool shares;       /* ... and does; else each of its writes is durable by itself ... */
    bool synced_whole; /* ... unless their file is flushed once all are done */
    struct list link;  /* the shared flush's */
    uint64_t started_ns;
    struct io_op sync_op;
    struct io_file wrong_file; /* PLANTED(sync_wrong_file) */
    struct buf *copy;          /* holds last_block; NULL: the wave's own memory does */
    uint8_t *last_block;       /* a page, aligned */
    struct wave_piece v[];
};

/* --- its parts: each says what it is doing, and at most one such thing at a time --- */

/* Appends: `parked` could not be taken yet, `pending` wait for the promise. Waves carry them to the disk. */
enum writer_state {
    WRITER_IDLE,
    WRITER_WAVE, /* `wave` is being written */
};
struct partition_writer {
    enum writer_state state;
    struct wave *wave;
    struct list pending;     /* appends by end offset */
    struct list parked;      /* appends in order of arrival */
    struct list wave_link;   /* store: a wave may start at the end of this turn */
    struct list parked_link; /* store: parked appends may be looked at again */
    struct redo_place redo;
    bool carry_now; /* a wave is wanted although everything is promised */
    bool
        no_room; /* the last one found none, and what it carries is promised: it is tried again, nothing more is promised */
    struct list carry_link;  /* store: a wave is to begin by and by */
    uint64_t used_at_ns;     /* last append: an idle partition gives its tail back */
    uint64_t short_since_ns; /* parked appends wait for memory since then, 0: they do not */
    uint64_t refused_at_ns;  /* an append was refused last that is sent again; 0: none was */
};

/* "This batch needs its records": its codec is not the topic's, its header is not to be trusted (batch.validation=deep, more records
 * than bytes), or what only records tell counts (keys of compacted topics, timestamps that become the broker's). One at a time, the
 * first of the parked appends:
 *
 *   NONE --> [WAITING] --> RUNNING --> DONE --> NONE (it was taken, or refused)
 *
 * Its append may be refused meanwhile (the disk is full, a stop, a failure): WAITING and DONE it is answered at once; RUNNING, when
 * the job ends, which reads the batch where it lies. */
enum unpack_state {
    UNPACK_NONE,
    UNPACK_WAITING, /* in the store's queue, for its turn */
    UNPACK_RUNNING, /* a job has the batch */
    UNPACK_DONE,    /* its result is there (unpack_result) until the append is over */
};
struct partition_unpack {
    enum unpack_state state;
    struct append *append;
    struct unpack_job *job;
    enum kerr refused; /* RUNNING: its append is not parked any more, and gets this */
    uint8_t codecs;    /* all ones but for NONE: what was begun is ended, also if the settings want it no more */
    struct list link;  /* store: waiting */
};

/* The active file and the space ahead of the log.
 *
 *   CLOSED --wake--> WAKING --> READY <--> ALLOCATING
 *   CLOSED, READY --roll--> ROLLING --> READY (or what it was, if that failed)      CLOSED, READY --> STOPPING
 *
 * Beside that: the next segment's file is made ahead, and segments that were closed are saved (space.c). */
enum space_state {
    SPACE_CLOSED,     /* no file yet, or it is not open, or its last block is not in memory */
    SPACE_READY,      /* appends may go to the active file */
    SPACE_ALLOCATING, /* the same, and more space is being made (no job: an operation) */
    SPACE_WAKING,     /* a job opens the active file and reads its last block: no appends, no waves */
    SPACE_ROLLING,    /* a job gives the next segment its name: no appends, no waves */
    SPACE_STOPPING,   /* a job trims and saves everything, or deletes it */
};
/* What durable waves carried since the last step of space. */
struct space_use {
    uint64_t waves, bytes, busy_ns;
};
/* The step that is being made is filled with zeros (zeroing.c).
 *
 *   NONE --> ALLOCATING --> WRITING --> FLUSHING --> NONE          ALLOCATING, WRITING --failed, or an append waits--> NONE
 *
 * While WRITING the step is not `allocated` yet: no append goes there. */
struct zeroing {
    enum {
        ZEROING_NONE,
        ZEROING_ALLOCATING,
        ZEROING_WRITING,
        ZEROING_FLUSHING,
    } state;
    bool hurried;          /* somebody waits for the space */
    uint64_t from, at, to; /* of the step, whole pages; zeros up to `at` */
    uint32_t piece_bytes;  /* of one write */
    uint64_t began_ns;
    struct list link; /* store: waits for its turn */
};
struct partition_space {
    enum space_state state;
    struct space_use use;
    struct zeroing zeroing; /* while ALLOCATING */
    struct space_job *job;  /* WAKING, ROLLING, STOPPING */
    struct io_op op;        /* ALLOCATING */
    uint64_t allocating_bytes, wanted_position;
    uint32_t step; /* the last space ahead */
    uint64_t step_at_ns;
    uint64_t retry_at_ns;     /* the log does not say before this that it is full again */
    uint64_t roll_said_at_ns; /* likewise, where no append waits for it */
    uint64_t short_since_ns;  /* appends wait for room that is being made; 0: they do not */
    bool saved;               /* trimmed, indexes and snapshot on disk: a stop has nothing to do */
    enum {
        AHEAD_NONE,
        AHEAD_MAKING,
        AHEAD_MADE,
        AHEAD_FAILED,
        AHEAD_LEFT
    } ahead;      /* the next segment's file; LEFT: closed, the stop removes it */
    int ahead_fd; /* MADE */
    uint64_t ahead_allocated;
    uint32_t closing;     /* jobs that save closed segments */
    int32_t epochs_saved; /* the latest epoch that leader-epoch-checkpoint knows for sure; -1: none */
    uint64_t roll_wanted; /* the number of the active segment: somebody wants it closed (writer_roll) */
};

/* Flushes what write.caching left behind. */
enum flusher_state {
    FLUSHER_IDLE,
    FLUSHER_SYNCING, /* everything before `end` will be durable */
};
struct partition_flusher {
    enum flusher_state state;
    struct io_op op;
    struct mark end;
    struct timer timer;
    uint64_t risk_since_ns; /* promised and not durable since then, 0: nothing is */
    int64_t wanted_offset;  /* somebody waits for the durable end to reach this: a flush waits for nothing */
};

/* Moves the log's start (trim.c). */
enum trimmer_state {
    TRIMMER_IDLE,
    TRIMMER_SAVING,   /* a job saves the start: `saving` are answered by it */
    TRIMMER_REMOVING, /* a job removes files below the start */
};
struct partition_trimmer {
    enum trimmer_state state;
    struct trim_job *job;
    struct list waiting, saving; /* struct log_trim */
    struct list dropped;         /* struct segment, below the start: their files go when nobody reads them */
    struct list renamed;         /* the deleter's: segments whose files were renamed, and go later */
    uint32_t unlinks;            /* how many these are */
};

/* Drops what is too old or too much (retention.c). */
enum retention_state {
    RETENTION_IDLE,
    RETENTION_LEARNING, /* a job reads a closed segment's times */
    RETENTION_ROLLING,  /* the active segment is to go too */
    RETENTION_TRIMMING, /* the log start moves: `trim` */
};
struct partition_retention {
    enum retention_state state;
    uint64_t rolling; /* the segment's number */
    struct retention_verdict verdict;
    struct log_trim trim;
    struct list link; /* the sweep's, while not IDLE */
};

/* Its place in the checkpoint (checkpointer.c). */
enum checkpoint_state {
    CHECKPOINT_NONE,
    CHECKPOINT_HELD, /* `mark` and `producers` were captured: they wait until `durable` covers the mark */
};
struct partition_checkpoint {
    enum checkpoint_state state;
    bool wanted; /* the next wave captures */
    struct mark mark;
    struct producers *producers; /* held as they were there */
    int32_t epoch;
    uint8_t *entry; /* the last one written, encoded */
    uint32_t entry_bytes;
    /* entries already in the files beside the active segment */
    uint32_t saved_offsets, saved_times, saved_aborted, saved_offsets_crc, saved_times_crc, saved_aborted_crc;
    struct list link;
};

/* Its log is opened by recovery: once after the start, and again when a full disk threw it back (storage/recovery/recoverer.c). */
enum recovery_state {
    RECOVERY_NONE,
    RECOVERY_QUEUED,
    RECOVERY_RUNNING, /* a job reads its folder; nobody else touches it */
};
struct partition_recovery {
    enum recovery_state state;
    uint8_t urgency;     /* enum recovery_urgency, while QUEUED or RUNNING */
    bool done;           /* the log is known, since some time of this run */
    bool acks_durable;   /* until then: as the settings were at the start, when nothing was appended yet */
    uint32_t wave_bytes; /* likewise: the largest wave */
    struct list link;    /* the recoverer's queue */
    struct list waiting; /* struct recovery_wait */
};

/* What the cleaner knows of it (storage/clean/cleaner.h); nothing of a log that is not open. */
struct partition_cleaning {
    bool busy;            /* a cleaning or a job of it is under way: it ends soon when the partition does */
    bool known;           /* first_dirty was loaded */
    bool refused;         /* it has what cannot be cleaned: not before a restart */
    bool failed;          /* the last cleaning: others come first */
    bool swapping;        /* the list has a segment whose file still has another name (swap.c) */
    int64_t first_dirty;  /* below it a cleaning was */
    uint64_t dirty_bytes; /* what could be cleaned, at the last look */
    uint64_t swaps;       /* rises when names of segments mean other files: who works by names looks before and after */
};

/* A change of its settings is being prepared: it keeps to the stricter rule already (catalog.h). */
struct partition_stricter {
    bool durable;
    uint32_t message_bytes;
    struct config_wait *wait; /* told when the durable end reaches `flush_to`, or never will */
    int64_t flush_to;
};

/* A clean stop, or the deletion of its topic. */
struct partition_ending {
    void (*done)(struct partition *p); /* NULL: it goes on */
    bool deleting;                     /* deletion, not a clean stop */
    bool clean;                        /* the clean stop succeeded */
    bool saved;                        /* and had something to save */
};

struct partition {
    struct log_store *store;
    const struct topic *topic;
    int32_t index;
    uint8_t key[20];
    char *dir;
    enum partition_condition condition;
    int64_t known_end_offset; /* NO_ROOM: where its log ends; -1: recovery finds out */
    struct segments segments; /* the last is `active` */
    struct segment *active;   /* NULL: no file yet */
    struct producers *producers;
    struct epochs epochs;
    int64_t log_start_offset;
    uint64_t closed_bytes; /* of all segments but the active one */
    struct mark durable, written, promised, end;
    struct tail tail;
    struct list watches;
    uint32_t place;         /* in store->all; UINT32_MAX: not there yet */
    struct list retry_link; /* store: it looks again for what was short */
    struct list watch_link; /* store: watchers are to be told at the end of this turn */
    uint32_t closes;        /* jobs that close a file, or unlink files that were dropped */
    bool gone;              /* its stop is at its last step, or over: no more jobs of its own */
    struct list ring_link;  /* full_disk.c: it is one of a ring */
    struct list readers;    /* part_reads on disk */
    uint32_t block_reads;   /* reads of cold blocks in flight */
    struct list lookups;    /* time_lookups in a job */
    struct list durable_waits;
    int64_t aborted_last_offset; /* no aborted transaction has its marker behind this; -1: there is none */
    struct partition_writer writer;
    struct partition_unpack unpack;
    struct partition_space space;
    struct partition_flusher flusher;
    struct partition_trimmer trimmer;
    struct partition_retention retention;
    struct partition_recovery recovery;
    struct partition_checkpoint checkpoint;
    struct partition_cleaning cleaning;
    struct partition_stricter stricter;
    struct partition_ending stop;
};

static inline const struct topic_config *config_of(const struct partition *p)
{
    assert(p->topic);
    return &p->topic->config;
}
/* Acks wait for stable media: caching off, or flush.messages=1 which is the same promise. The broker's own topics always do. */
static inline bool durable_acks(const struct partition *p)
{
    return p->topic->internal || p->stricter.durable || topic_config_acks_durable(config_of(p));
}
/* Nothing of an open transaction lies before it, nor of one whose marker is not promised yet. It never goes back. */
static inline int64_t last_stable_offset(const struct partition *p)
{
    int64_t first = p->producers ? producers_first_unstable(p->producers) : INT64_MAX;
    int64_t stable = first < p->promised.offset ? first : p->promised.offset;
    return stable > p->log_start_offset ? stable : p->log_start_offset;
}
/* What a reader may see. */
static inline int64_t readable_offset(const struct partition *p, bool committed)
{
    assert(p->promised.offset <= p->end.offset);
    return committed ? last_stable_offset(p) : p->promised.offset;
}
static inline struct shard *shard_of(const struct partition *p)
{
    assert(p->store);
    return p->store->shard;
}
static inline bool partition_dead(const struct partition *p)
{
    return p->condition != PARTITION_OPEN;
}
/* Promised and not yet durable. */
static inline uint64_t partition_risk_bytes(const struct partition *p)
{
    if (partition_dead(p))
        return 0;
    assert(p->durable.position <= p->promised.position);
    return p->promised.position - p->durable.position;
}
/* Out of service for what the disk is or did: nothing of it is written or flushed. */
static inline bool partition_is_offline(const struct partition *p)
{
    return p->condition == PARTITION_OFFLINE || p->condition == PARTITION_NO_ROOM;
}
/* A job has the active file: no appends, waves or flushes. */
static inline bool space_in_job(const struct partition *p)
{
    return p->space.state == SPACE_WAKING || p->space.state == SPACE_ROLLING || p->space.state == SPACE_STOPPING;
}
/* Is the active file open, and its last block in memory? */
static inline bool space_is_ready(const struct partition *p)
{
    return p->space.state == SPACE_READY || p->space.state == SPACE_ALLOCATING;
}
/* Half of the step ahead is used up. */
static inline bool space_is_low(const struct partition *p)
{
    assert(p->active);
    return p->active->allocated - p->end.position < p->space.step / 2;
}
/* The active segment holds something, and is to be closed although no append asks for the next one. */
static inline bool space_roll_is_wanted(const struct partition *p)
{
    return p->active && p->space.roll_wanted == p->active->number && p->end.position > 0;
}
/* Something is writing to or syncing the active file, or about to change which one that is. */
static inline bool partition_writes(const struct partition *p)
{
    return p->writer.state != WRITER_IDLE || p->flusher.state != FLUSHER_IDLE || p->space.state == SPACE_ALLOCATING ||
           space_in_job(p);
}
/* Nothing of the log is being written, and everything given is durable. */
static inline bool writer_idle(const struct partition *p)
{
    assert(p->durable.position <= p->end.position);
    return !partition_writes(p) && p->durable.position == p->end.position;
}
/* Anything is in flight that comes back to this partition. */
static inline bool partition_busy(const struct partition *p)
{
    return p->recovery.state == RECOVERY_RUNNING || partition_writes(p) || p->space.ahead == AHEAD_MAKING ||
           p->space.closing || p->closes || p->cleaning.busy || p->unpack.state == UNPACK_RUNNING ||
           p->trimmer.state != TRIMMER_IDLE || p->retention.state == RETENTION_LEARNING || !list_empty(&p->readers) ||
           p->block_reads || !list_empty(&p->lookups);
}
/* A job has the batch of the first parked append: until it ends there is nothing to see, and a look walks all of its records. */
static inline bool unpack_blocks(const struct partition *p)
{
    return p->unpack.state == UNPACK_RUNNING && !p->unpack.refused;
}
/* What a request gets from a partition that takes none. */
static inline enum kerr partition_refusal(const struct partition *p)
{
    assert(partition_dead(p));
    return partition_is_offline(p) ? KERR_KAFKA_STORAGE_ERROR
           : p->stop.deleting      ? KERR_UNKNOWN_TOPIC_OR_PARTITION
                                   : KERR_NOT_LEADER_OR_FOLLOWER;
}

/* writer.c, wave.c, flusher.c */
void writer_append_finish(struct partition *p, struct append *a,
                          enum kerr error);                      /* done runs at the end of the turn */
void writer_kick(struct partition *p);                           /* a wave may start at the end of the turn */
void writer_promise(struct partition *p, const struct mark *to); /* what lies before it is as safe as acks say */
void writer_retry(struct partition *p);       /* parked appends are looked at again at the end of the turn */
void writer_start_wave(struct partition *p);  /* from the store's end of turn */
void wave_issue(struct wave *w);              /* its writes go out */
void wave_end(struct wave *w);                /* all is written, and durable if it is to be; or `failure` is set */
void writer_carry(struct partition *p);       /* everything appended is to be written soon */
void writer_take_parked(struct partition *p); /* from the store's end of turn */
/* Closes the active segment as soon as all of it is durable: retention wants to drop it, or compaction to clean it. An empty one stays. It
 * may fail (space_full); who wants it looks again. */
void writer_roll(struct partition *p);
void writer_fail_all(struct partition *p, enum kerr error); /* pending and parked */
void writer_fail_parked(struct partition *p, enum kerr error);
void writer_flush(struct partition *p);       /* starts one if something written is not durable */
void writer_flush_later(struct partition *p); /* after flush.messages or flush.ms */
void writer_flush_due(struct timer *t);
void writer_want_durable(struct partition *p, int64_t offset); /* the durable end is to reach it soon */
void writer_free_idle(struct partition *p);                    /* gives the tail of an idle partition back */
/* shared_flush.c */
/* It only writes blocks again that are durable, size and place, since the file was opened. */
static inline bool wave_is_settled(const struct wave *w)
{
    return w->whole_end <= w->partition->active->settled;
}
bool wave_may_share(const struct wave *w);
void shared_flush_take(struct wave *w);         /* one that may: it is issued at the end of this turn */
void shared_flush_step(struct log_store *ls);   /* from the store's end of turn */
void shared_flush_wave_written(struct wave *w); /* one that shares */
void shared_flush_wave_ends(const struct wave *w);
/* space.c */
/* Nothing is wrong but what is short right now: room, memory, descriptors. */
static inline bool space_is_shortage(enum err err)
{
    return err == ERR_NO_SPACE || err == ERR_NO_MEMORY || err == ERR_TOO_MANY_FILES;
}
void space_make_ahead(struct partition *p);     /* the next segment's file */
void space_close_ahead(struct partition *p);    /* if it was made: its file stays */
void space_roll(struct partition *p);           /* the first segment, or the next; all that was given is durable */
int64_t space_draw_jitter(struct partition *p); /* of a segment that becomes active */
void space_wake(struct partition *p);           /* opens the active file, reads its tail block */
void space_ahead(struct partition *p, uint64_t need_position); /* at least up to there; 0: a step */
void space_full(struct partition *p, enum err err);            /* parked appends are refused, retriably */
void space_stop(struct partition *p);                          /* trims and saves everything; then stopped() */
void space_made(struct partition *p);                          /* what was allocated may be used */
/* zeroing.c */
bool zeroing_is_wanted(const struct partition *p); /* for a step that no append waits for */
bool zeroing_may_pay(
    const struct partition *p);          /* if its waves are small: here unwritten blocks cost, and there is room */
bool zeroing_waits(struct partition *p); /* it is not its turn; that comes back through space_ahead */
void zeroing_begin(struct partition *p, uint64_t bytes); /* such a step is about to be allocated ... */
bool zeroing_start(struct partition *p); /* ... and was: true if zeros are on their way, and the rest with them */
void zeroing_fail(struct partition *p);  /* or is no more than that */
void zeroing_hurry(struct partition *p); /* somebody waits for the space that is being made */
void zeroing_forget(struct partition *p);
void zeroing_note_wave(struct partition *p, uint64_t bytes, uint64_t took_ns); /* a durable one ended */
/* unpack.c */
/* For the first parked append. DONE: unpack_result has what becomes of it. NONE: no memory, *out_error is set. Else it waits, and
 * writer_retry comes when there is something to see. */
enum unpack_state unpack_records(struct partition *p, struct append *a, const struct batch *b,
                                 const struct batch_limits *limits, enum kerr *out_error) must_use;
const struct repack *unpack_result(const struct partition *p);
enum kerr unpack_refused(struct partition *p,
                         struct append *a); /* the result is an error: the append gets it, and its faults */
void unpack_over(struct partition *p,
                 const struct append *a); /* this append needs its result no more; one without is fine */
/* An append off the parked list gets an error. True: a job has its batch, whose end answers it. */
bool unpack_holds(struct partition *p, struct append *a, enum kerr error) must_use;
void unpack_check(const struct partition *p);
/* transactions.c */
void durable_wait_step(struct partition *p); /* the durable end or the condition changed */
/* An append that the promise covers is a marker: it is answered when it is durable. */
bool marker_promised(struct partition *p, struct append *a) must_use;
/* trim.c */
void trim_step(struct partition *p);         /* goes on when the durable end moved, a read or a job ended */
void trim_fail_waiting(struct partition *p); /* those whose job is not under way */
/* partition.c */
/* Asserts that its fields agree; walks its lists: for tests, the simulator and debug builds. */
void partition_check(const struct partition *p);
/* `fresh`: its topic was made in this run, so nothing of it can be in any folder. Otherwise it is UNRECOVERED. NULL: no memory. */
struct partition *partition_open(struct log_store *ls, const struct topic *topic, int32_t index, bool fresh) must_use;
/* What a recovery of its log is to be given, apart from the heap and what its checkpoint.entry says. */
void partition_recovery_input(const struct partition *p, struct recovery_input *in);
/* What a recovery found (in memory of this shard; what is taken is taken out of it), or why it failed. */
void partition_recovered(struct partition *p, const struct recovery_input *in, struct recovered *r, enum err err);
/* Forgets what it holds of its log, before that is recovered again. */
void partition_drop_log(struct partition *p);
void partition_close(struct partition *p);
void partition_stop(struct partition *p, bool deleting, void (*stopped)(struct partition *p));
void partition_stop_step(struct partition *p); /* goes on with a stop when something ended */
/* From now on it keeps to what `next` asks as well as to its own settings. True: what it took so far is not all durable, and
 * `wait` is told by config_wait_over. */
bool partition_keep_stricter(struct partition *p, const struct topic_config *next, struct config_wait *wait) must_use;
void partition_set_topic(struct partition *p,
                         const struct topic *version); /* the stricter rule is over, or is its own */
void partition_durable(struct partition *p);           /* the durable end moved */
void partition_tell_waiting(struct partition *p);      /* it, a job or the partition's condition changed */
void partition_moved(struct partition *p);             /* tells the watchers at the end of the turn */
void partition_offline(struct partition *p, const char *why);
void partition_fault(struct partition *p, int32_t res, const char *what);  /* a wave failed: roll back or go offline */
void partition_broken(struct partition *p, int32_t res, const char *what); /* offline, whatever the reason */
/* checkpointer.c */
void checkpoint_capture(struct partition *p); /* at a wave's start, when it carries everything to `end` */
void checkpoint_durable(struct partition *p); /* the durable end moved */
void checkpoint_leave(struct partition *p);   /* its log is to be opened: until then checkpoint.entry stays as it is */
void checkpoint_opened(struct partition *p);  /* recovery's result is installed */
void checkpoint_nothing_saved(struct partition *p); /* beside the active segment */
void checkpoint_rolled(struct partition *p);        /* a new segment, everything before it durable */
struct checkpointer *checkpointer_open(struct log_store *st) must_use;
void checkpointer_close(struct checkpointer *c);
/* The last, clean entries, synced; `stopped` may run at once. */
void checkpointer_stop(struct checkpointer *c, void (*stopped)(struct checkpointer *c, enum err err));
struct log_store *checkpointer_store(const struct checkpointer *c);
/* A partition that was opened: what the last run wrote of it still holds. */
enum err checkpointer_add(struct checkpointer *c, struct partition *p) must_use;
void checkpoint_forget(struct partition *p); /* it is being closed */
/* swap.c */
/* Are these (by number) neighbours in the list, none of them the active one? */
bool swap_find(const struct partition *p, const uint64_t *numbers, uint32_t count, int64_t base_offset,
               uint32_t *out_rank) must_use;
/* One that may take their place, with room for such an index. NULL: no memory. */
struct segment *swap_new_segment(struct partition *p, const struct index *like) must_use;
void swap_free_segment(struct partition *p, struct segment *s);
/* In one turn: `made` is in the list, the old ones are in `out_old` and have no new readers. `made` has a user until its file has its name. */
void swap_take(struct partition *p, uint32_t rank, uint32_t count, struct segment *made, int fd, struct list *out_old);
bool swap_is_drained(const struct list *old); /* the last reader comes back through log_store's cleaning_step */
void swap_release(struct partition *p, struct list *old); /* their files have other names */
/* reader.c */
enum err slices_add(struct slices *s, struct buf *buf, const uint8_t *at, uint32_t bytes) must_use;
static inline uint64_t readable_end(const struct partition *p, const struct segment *s)
{
    assert(s->partition == p);
    return s == p->active ? p->promised.position : s->bytes;
}
/* While a wake loads the tail's last block, that block is in the tail but holds what the buf held before. */
static inline bool tail_block_is_loading(const struct partition *p, const struct segment *s)
{
    return s == p->active && p->space.state == SPACE_WAKING;
}
bool reader_wants_aborted(const struct partition *p, const struct part_read *r);
/* Of what was read, up to `to`: from the segments of their markers. */
enum err reader_list_aborted(const struct partition *p, struct part_read *r, int64_t to) must_use;
/* cold_read.c */
bool reader_begin_cold(struct partition *p, struct part_read *r) must_use; /* false: no memory */
void reader_begin_waiting(struct log_store *st); /* from the store's end of turn: reads that may start or go on */
void reader_run_ready(struct log_store *st);     /* those that may go on */
void reader_retry_starved(struct timer *t);
void reader_enters_segment(struct segment *s); /* a block of it is being read ... */
void reader_left_segment(struct segment *s);   /* ... and was: it may be gone then */
/* lookup.c */
void lookup_begin_waiting(struct log_store *ls); /* from the store's end of turn: look-ups by time that may start */
/* files.c */
void files_used(struct log_store *st, struct segment *s); /* it is open: counts as the youngest */
/* Takes an fd that a job opened. */
void files_adopt(struct log_store *st, struct segment *s, int fd);
/* What a job needs to know of a closed segment to find its way in it. `dir` is the partition's: it is there as long as that. */
struct index_ask {
    const char *dir;
    int64_t base_offset;
    uint64_t bytes;
    uint32_t interval_bytes, index_bytes;
};
struct index_ask files_index_ask(const struct partition *p, const struct segment *s);
/* In a job: its index in memory of the job's heap (index_deinit gives it back), built anew where the files are damaged. */
enum err files_load_index(const struct index_ask *a, struct heap *heap, struct segment *out_copy) must_use;
/* In a job: the times of a closed segment, by the last entry of its time index; where that does not tell (a segment without timestamps has
 * none), by its whole index. */
struct segment_times {
    int64_t first_timestamp, max_timestamp, max_timestamp_offset; /* the first is -1 where only the index tells */
};
enum err files_learn_times(const struct index_ask *a, struct segment_times *out) must_use;
/* Back on the shard: they count if the segment is still that one, and closed. False: it is not. */
bool files_keep_times(struct partition *p, int64_t base_offset, uint64_t number, const struct segment_times *t);
/* A closed segment's index is in memory and was used: the least recently used one beyond INDEXES_MAX goes. */
void files_index_used(struct log_store *st, struct segment *s);
void files_index_drop(struct log_store *st, struct segment *s);
void files_close(struct log_store *st, struct segment *s);
void files_close_fd(struct partition *p, int fd); /* by a job; when the loop is over, at once */
