/* One segment of a partition: <base offset, 20 digits>.log with .index, .timeindex, .snapshot beside it. This header holds
 * the names, the struct and what touches a segment's files synchronously (recovery, roll and stop jobs). The data path of
 * the active segment is storage/writer.h.
 *
 *   0            bytes              allocated
 *   |batches.....|zeros (space ahead)|          the active one: i_size == allocated
 *   |batches.....|                              a closed one: trimmed, i_size == bytes
 */
#pragma once
#include "core/fs.h"
#include "core/io.h"
#include "storage/log/aborted.h"
#include "storage/log/index.h"

struct partition;
struct segment {
    struct list link; /* recovery's, or of those whose files are to go */
    uint64_t number;  /* segments.h */
    int64_t base_offset;
    int64_t next_offset; /* behind its last batch */
    uint64_t bytes;      /* of batches */
    uint64_t allocated;  /* i_size while active, else == bytes */
    struct io_file file; /* fd -1: not open */
    bool shares_flush;   /* of the active one, as it is open now: fs_shares_flush, with the lock's file */
    /* Blocks whose size and place are durable since it was opened: those up to `settled`, and of zeros ahead of it (zeroing.c). Whole pages. */
    uint64_t settled, zeroed_from, zeroed_to;
    struct list index_link;      /* store's loaded indexes of closed segments, least recently used first */
    struct list open_link;       /* store's open files, least recently used first */
    struct partition *partition; /* set by it; recovery leaves NULL */
    uint32_t users;              /* reads in flight: not to be closed */
    int64_t first_timestamp;     /* of its first batch, -1: none; segment.ms counts from here */
    int64_t jitter_ms;           /* by so much it is over before segment.ms is */
    /* By the broker's clock, its last batch; of one that was recovered, its file's last change. Never before the segment in front of it. */
    int64_t written_ms;
    int64_t max_timestamp, max_timestamp_offset;
    bool closing;            /* a job saves its indexes, and the snapshot behind it */
    bool times_known;        /* of a closed one: the three above are right, also without its index */
    bool times_saved;        /* and the checkpoint has them */
    int64_t read_end_offset; /* where the last disk read ended: this offset ... */
    uint64_t read_end;       /* ... starts here; 0: none yet */
    bool index_loaded;       /* closed segments load theirs on first use */
    struct index index;
    struct aborted_index aborted; /* transactions whose marker lies in it */
    bool aborted_file;            /* there may be a .txnindex */
};

/* In no list, of no partition yet, without a file, with an empty index. */
void segment_init(struct segment *s, struct heap *index_heap, int64_t base_offset, uint32_t segment_index_bytes);
/* These blocks are durable, size and place. */
void segment_settle(struct segment *s, uint64_t from, uint64_t to);
/* It was opened anew: maybe it is another file, or was cut. */
void segment_unsettle(struct segment *s);
/* "<dir>/00000000000000000042.log"; `suffix` with its dot. Returns false when it does not fit FS_PATH_MAX. */
bool segment_path(char out[FS_PATH_MAX], const char *dir, int64_t base_offset, const char *suffix) must_use;
/* "00000000000000000042.log" -> 42; false for any other name or suffix. */
bool segment_parse_name(const char *name, const char *suffix, int64_t *out_base_offset) must_use;
/* Writes a small file so that it is whole or absent after a crash: temporary name, sync (an empty one has nothing to sync), rename (the
 * folder is not synced). */
enum err segment_write_file(const char *path, const void *at, size_t bytes) must_use;
/* Not synced if `sync` is false: after a power cut it is what it was, or new, or of any contents. */
enum err segment_put_file(const char *path, const void *at, size_t bytes, bool sync) must_use;
/* Whole file into heap memory; ERR_NOT_FOUND; ERR_NO_MEMORY beyond `max`. */
enum err segment_read_file(struct heap *heap, const char *path, size_t max, uint8_t **out_at,
                           size_t *out_bytes) must_use;
/* Saves .index and .timeindex (whole). */
enum err segment_save_index(const char *dir, const struct segment *s) must_use;
enum err segment_put_index(const char *dir, const struct segment *s, bool sync) must_use;
/* The .txnindex: whole, or none where no transaction was aborted. */
enum err segment_put_aborted(const char *dir, const struct segment *s, bool sync) must_use;
/* Also sets max_timestamp. ERR_CORRUPT: missing or nonsense, rebuild it (scan_rebuild_index). */
enum err segment_load_index(const char *dir, struct segment *s) must_use;
/* A closed segment's times, from its first batch's header and the last entry of its time index. ERR_CORRUPT, ERR_NOT_FOUND: the index
 * does not tell. */
enum err segment_read_times(const char *dir, int64_t base_offset, int64_t *out_first, int64_t *out_max,
                            int64_t *out_max_offset) must_use;
/* Both index files as they are; freed with segment_index_files_free. ERR_NOT_FOUND when one is missing. */
enum { SEGMENT_INDEX_BYTES_MAX = 1 << 30 }; /* Kafka's segment.index.bytes is an int; no sane index is larger */
struct segment_index_files {
    struct heap *heap;
    uint8_t *offsets, *times;
    size_t offset_bytes, time_bytes;
};
enum err segment_read_index(struct heap *heap, const char *dir, int64_t base_offset,
                            struct segment_index_files *out) must_use;
void segment_index_files_free(struct segment_index_files *f);
