/* Opening a partition's folder after a stop of any kind; synchronous: a job (recoverer.c).
 *
 * First a cleaning that was cut short is finished or undone (recovery_swap.c). A file of no bytes that is not the last is no segment.
 *
 * Below the checkpoint's durable end nothing is read but the indexes; a bad batch found there later is corruption. Behind it
 * every batch is read and must have a good CRC, the next base offset, and a leader epoch that does not fall; the first that
 * has not ends the log. In a closed segment (one behind it was written to), and from one to the next, offsets may be missing. That is a torn tail, and what lies behind becomes zeros. It is corruption, and no file is touched, if
 *   - the end lies below the checkpoint's, or below the end that is known, or behind a clean stop;
 *   - caching is off and a valid batch starts more than `wave_bytes_max` behind;
 *   - there is a later segment, and the old one does not end with its file: a roll names the next file only when every byte of the old
 *     one is durable;
 *   - an index has no log.
 * Every file that was read there is synced before this returns: so all it gives back is durable.
 *
 * Without a checkpoint the whole log is read. Where the checkpoint's index entries do not match the files, its segment is
 * read from the start. A trusted segment without index files is read to rebuild them, and so is one whose roll was cut short before
 * it was closed (it is not trimmed, or there is no snapshot behind it: its index files may end too early); damaged ones show
 * themselves as ERR_CORRUPT of segment_load_index, and scan_rebuild_index mends them. A snapshot that is missing is made.
 *
 *   checkpoint.position        end             allocated
 *   |... durable, not read ...|... scanned ...|torn or ghost: zeroed, synced|
 *
 * Producers: from the checkpoint, then the batches behind it; without one from the first segment's .snapshot, then all
 * batches. Epochs: from leader-epoch-checkpoint, the headers between it and the checkpoint, and the batches behind. */
#pragma once
#include "storage/recovery/checkpoint.h"
#include "storage/log/epochs.h"
#include "storage/log/folder.h"
#include "storage/log/producer.h"
#include "storage/log/segment.h"

struct recovery_input {
    struct heap *heap;
    const char *dir;                           /* the partition's folder */
    const struct checkpoint_entry *checkpoint; /* NULL: none */
    const struct checkpoint_segment *segments; /* of closed ones, by base offset */
    uint32_t segment_count;
    bool clean;               /* the clean mark names this partition: nothing lies behind the checkpoint */
    bool caching;             /* acks did not wait for stable media when the log was written */
    int64_t known_end_offset; /* a failed wave's reopening: the log ends exactly here; -1: find out */
    uint32_t wave_bytes_max;  /* the largest wave */
    uint32_t index_interval_bytes, segment_index_bytes;
    const _Atomic bool *give_up; /* NULL, or set: the walk ends with ERR_CLOSED, before any file was changed */
};
struct recovered {
    struct list segments; /* struct segment, files closed, the last one is active; empty: no file yet */
    struct producers *producers;
    struct epochs epochs;
    int64_t log_start_offset, end_offset;
    struct folder_offsets
        gone; /* segments that left the log, but for their files: too many to be unlinked while somebody waits */
    uint64_t scanned_bytes, cut_bytes;
    bool corrupt;            /* quarantined: files untouched, nothing else of this struct but the two below counts */
    int64_t corrupt_segment; /* base offset */
    uint64_t corrupt_position;
};
/* Segments that the walk did not touch have no index loaded, and timestamps of -1 unless the checkpoint knows them. ERR_NOT_FOUND: no
 * folder, and nothing says that there was one. ERR_IO, ERR_NO_SPACE, ERR_NO_MEMORY: the machine failed. */
enum err recovery_run(const struct recovery_input *in, struct recovered *out) must_use;
/* The same in memory of other heaps: begun, and then some of it in each turn until it is whole; *out_whole is set where there is no error. `to` is
 * freed by recovered_deinit, whatever came of it. */
struct recovered_copy {
    struct recovered to;
    const struct list *next; /* of the segments of `from`: which is copied */
    struct segment *segment; /* the copy of that one, of which something is missing; NULL: not begun */
};
enum {
    RECOVERED_COPY_BYTES = 1 << 18
}; /* of segments and their index entries, a turn: 50 us, and some for pages that are touched first */
enum err recovered_copy_begin(struct recovered_copy *c, const struct recovered *from, struct heap *heap) must_use;
enum err recovered_copy_some(struct recovered_copy *c, const struct recovered *from, struct heap *index_heap,
                             bool *out_whole) must_use;
/* Frees what was not taken out: segments by popping them, producers by setting NULL, epochs by epochs_init. */
void recovered_deinit(struct recovered *r);
