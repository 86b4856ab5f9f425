/* The file work of one cleaning of one log, in steps that are jobs of the background class: each does a bounded piece and says what
 * comes next. It knows a folder and its closed segments, and nothing of shards; the cleaner (cleaner.h) submits the steps, paces them and
 * changes the partition's list between them.
 *
 *   MAP ----the dirty section is mapped, or the map is full--> GROUP          each step reads CLEAN_READ_MAX at most, or one batch
 *   GROUP --neighbours that fit into one segment, .cleaned files opened--> FILTER   (no segment left: DONE)
 *   FILTER -the group is through--> SEAL                                      (nothing changed in a group of one: GROUP)
 *   SEAL ---everything synced, renamed to .swap, folder synced: committed--> SWAP
 *   SWAP    the cleaner puts the new segment into the partition's list, and waits for those who read the old ones
 *   RENAME -old ones are .deleted, .swap gets its name, folder synced--> GROUP
 *   DONE    the first dirty offset is saved
 *
 * Files of a group whose segments are [base ... end):
 *
 *   <base>.log.cleaned, .index.cleaned, .timeindex.cleaned, .txnindex.cleaned     gone at a start
 *   <base>.log.swap, ...                                       whole: it takes the place of every .log in [base, end) at a start
 *
 * clean_work_abandon removes what is not committed; after SEAL and before SWAP also what is, so that the old segments stand. */
#pragma once
#include "core/fs.h"
#include "storage/clean/filter.h"
#include "storage/log/index.h"

enum {
    CLEAN_READ_MAX = 1024 * 1024,
    CLEAN_READ_SMALL = 128 * 1024, /* what a disk reads while a producer's wave hardly notices */
    CLEAN_SYNC_EVERY = 4           /* so many times what a step reads is written, and then flushed */
};
enum clean_step { CLEAN_MAP, CLEAN_GROUP, CLEAN_FILTER, CLEAN_SEAL, CLEAN_SWAP, CLEAN_RENAME, CLEAN_DONE };

struct clean_segment {
    int64_t base_offset, next_offset;
    uint64_t number, bytes;
    int64_t written_ms; /* 0: not known */
};
struct clean_limits {
    uint32_t segment_bytes, index_bytes, index_interval_bytes;
    uint64_t map_bytes;
    double map_load;
    int64_t now_ms, delete_retention_ms; /* filter.h */
    bool direct;                         /* how the new segment's file is opened */
};
/* What one cleaning did. */
struct clean_sums {
    uint64_t bytes_mapped, bytes_read, bytes_written, records_read, records_kept, segments_before, segments_after;
};
struct clean_work {
    /* the cleaner's: set before the first step */
    char *dir, *topic;
    int32_t partition;
    struct clean_segment *segments; /* closed, below the first uncleanable offset, rising */
    uint32_t count;
    struct producers *held; /* those that the partition remembers; NULL: none */
    struct clean_txns txns; /* what was aborted below the first uncleanable offset */
    struct clean_limits limits;
    int64_t first_dirty, first_uncleanable;
    uint64_t secret[2];
    /* what it found; between steps the cleaner's to read */
    enum clean_step step;
    enum err err;
    int64_t bad_segment; /* with ERR_CORRUPT, or -1 */
    uint64_t bad_position;
    uint32_t read_bytes;           /* at most, by the next step: CLEAN_READ_MAX, or less */
    uint64_t step_bytes, step_ns;  /* read and written by the last step, and how long it took: for the pace */
    uint32_t group_from, group_to; /* of segments */
    struct clean_segment made;     /* the group's new one */
    int64_t first_timestamp;       /* of it, as of a segment */
    struct index index;            /* of it; in memory of the work's heap */
    struct aborted_index aborted;  /* of it, likewise */
    struct index *lent;            /* SEAL: the index is copied there, so that the shard has it in its own memory */
    int made_fd;                   /* SWAP: open, the taker's; -1: none */
    struct clean_sums sums;
    /* its own */
    struct heap *heap;               /* the helper thread's; opened by the first step, closed by clean_work_end */
    struct producer_last *producers; /* by id */
    uint32_t producer_count;
    struct dedupe map;
    uint32_t at_segment;
    uint64_t at;
    int64_t end_offset; /* of the batch before */
    int source_fd, out_fd;
    uint8_t *buf;
    struct clean_bytes out;
    uint64_t unsynced; /* bytes of the new segment */
    bool changed;
    uint32_t renamed; /* RENAME: how many of the group's files are .deleted */
};

/* Memory is the caller's, zeroed, and its part filled in. */
void clean_work_begin(struct clean_work *w);
/* In a job. Runs the step w->step; sets err, or the next one. */
void clean_work_step(struct clean_work *w);
/* In a job. The group's files that are not in the partition's list go. */
void clean_work_abandon(struct clean_work *w);
/* In a job, the last one, whatever happened: files are closed, memory is given back. */
void clean_work_end(struct clean_work *w);

/* --- the first dirty offset: the file cleaner-offset-checkpoint in the partition's folder, Kafka's format, as log_start.h's. Losing it
 * means cleaning again, so it is not synced beyond what its rename needs --- */
enum err clean_offset_save(const char *dir, const char *topic, int32_t partition, int64_t offset) must_use;
/* Saves it if none is: before anything is replaced, as recovery knows by it that times in a checkpoint may be another segment's. */
enum err clean_offset_begin(const char *dir, const char *topic, int32_t partition, int64_t offset) must_use;
/* -1: none is known. */
int64_t clean_offset_load(struct heap *heap, const char *dir);
