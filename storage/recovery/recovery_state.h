/* The inside of a recovery, for the files that make it up; nobody else includes this.
 *
 *   recovery_run.c     what is trusted, walking the rest       recovery_judge.c   torn, or corrupt
 *   recovery_epochs.c  where epochs began                      recovery_swap.c    what a cleaning left, before all of it
 *   recovery_aborted.c  aborted transactions
 *   recovery_repair.c  cutting, wiping, syncing: the first change to any file happens there
 *
 *   files:   passed ... | trusted ... trusted | first ......... last | later ...
 *                                               ^ first_position   ^ the log ends in it, at segment->bytes
 *   floor: what must be found, whatever it takes: the checkpoint's durable end, or the end that is known, or the saved start */
#pragma once
#include "storage/log/folder.h"
#include "storage/recovery/recovery.h"
#include "storage/recovery/scan.h"

enum { SMALL_FILE_BYTES_MAX = 64 * 1024 * 1024 }; /* leader-epoch-checkpoint, .snapshot: beyond any real one */

struct recovery_file {
    struct segment *segment; /* in out->segments; its allocated is the file's size, its bytes what was found good */
    uint64_t walked_bytes;
    bool rest_dirty;   /* something that is not zero lies behind `bytes` */
    uint8_t *snapshot; /* of the producers before the next one, when the walk went on into that; NULL: not taken */
    size_t snapshot_bytes;
};
struct recovery {
    const struct recovery_input *in;
    struct recovered *out;
    struct folder folder;
    struct recovery_file *files;
    uint32_t count, first, last;
    uint64_t first_position;
    uint32_t below; /* segments in the folder that lie wholly below `start`: not among the files */
    uint32_t
        passed; /* of the files: they lie wholly below `start`, and one of them is damaged: the log does without them */
    int64_t start; /* the log start that was saved, 0: none */
    int64_t floor, producers_from;
    int64_t next_offset; /* behind the last good batch */
    bool gaps;           /* the segment that is walked is a closed one: offsets may be missing */
    int32_t epoch;       /* of the last good batch */
    uint32_t unlinked;   /* segments whose files go, so far */
    int64_t resaved;     /* where recovery_check_trusted made its last snapshot; -1: it made none */
    bool changed;        /* something in the folder is new: it is synced */
    bool walks_again;    /* `first` is walked from its start although its producers are known from further on */
};

/* A segment's file and a scan over its [at, size). */
struct recovery_scan {
    int fd;
    struct scan scan;
};
enum err recovery_scan_open(struct recovery *r, const struct segment *s, uint64_t at, unsigned flags,
                            struct recovery_scan *out) must_use;
void recovery_scan_close(struct recovery *r, struct recovery_scan *rs);
static inline enum err recovery_corrupt(struct recovery *r, int64_t segment, uint64_t position)
{
    assert(!r->out->corrupt);
    assert(segment >= 0);
    r->out->corrupt = true;
    r->out->corrupt_segment = segment;
    r->out->corrupt_position = position;
    return ERR_NONE;
}
/* Nothing of the file, which is one of `files`, is needed: all of it lies below the saved start. */
static inline bool recovery_is_below_start(const struct recovery *r, uint32_t file)
{
    assert(file < r->count);
    return file + 1 < r->count && r->files[file + 1].segment->base_offset <= r->start;
}
/* Something was written to it. A file that got its name in a roll that failed is all zeros. */
enum err recovery_was_begun(struct recovery *r, const struct segment *s, bool *out_begun) must_use;
/* Swaps of cleaned segments are finished or removed; `folder` is what is there then. */
enum err recovery_settle_swaps(struct recovery *r) must_use;
/* Adds what the snapshot of that offset knows; nothing if there is none, or it is damaged. */
enum err recovery_load_snapshot(struct recovery *r, int64_t offset, struct producers *producers) must_use;
bool recovery_has_snapshot(const struct recovery *r, int64_t offset); /* in the folder, as it was found */
enum err recovery_save_snapshot(struct recovery *r, int64_t offset, const uint8_t *at, size_t bytes) must_use;
/* recovery_aborted.c. Of a segment that is trusted, by its file. ERR_CORRUPT: it is damaged, and nothing is known. */
enum err recovery_load_aborted(struct recovery *r, struct segment *s) must_use;
enum err recovery_restore_aborted(struct recovery *r,
                                  struct segment *s) must_use; /* up to the checkpoint; ERR_CORRUPT */
/* A batch of a producer that the scan stands at: what it does to producers, and the transaction that it aborts. */
enum err recovery_note_producer(struct producers *ps, struct scan *scan, const struct batch *b,
                                struct aborted_index *aborted) must_use;
/* Its batches once more, from the last snapshot before: `ps` is what is known behind it, its aborted transactions are noted. */
enum err recovery_replay(struct recovery *r, uint32_t file, struct producers *ps) must_use;
enum err recovery_rebuild_aborted(struct recovery *r, uint32_t file) must_use;
/* From leader-epoch-checkpoint and the batches below the walk. */
enum err recovery_load_epochs(struct recovery *r) must_use;
/* Sets out->corrupt if what was found cannot be a torn tail. */
enum err recovery_judge(struct recovery *r) must_use;
/* Trusted segments: their size says how long they are; their index is there. */
enum err recovery_check_trusted(struct recovery *r) must_use;
/* Makes the files what was found, durably. */
enum err recovery_repair(struct recovery *r) must_use;
