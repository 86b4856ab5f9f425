/* `odradek check` and `odradek repair`: a data folder at rest (stopped, or a copy) is read whole, file by file.
 *
 * Check touches nothing. What it finds is a fault (something is lost, or would be refused or set aside) or a note (worth knowing: a torn tail
 * that the next start cuts, folders that the catalog does not know, an index that will be built again).
 *
 * Repair does what can be done, and keeps what it takes away in <data>/repaired-<n>/. A catalog that cannot be proved is put together from the
 * good records of both copies, then from the partitions' folders (partition.metadata): what cannot be known, settings, topics without data,
 * deletions, is said; the leader epoch and the producer ids begin above everything found in any log. A log is cut at its first damaged batch; where a
 * whole segment is missing it goes on behind the gap. */
#pragma once
#include "core/limits.h"
#include "storage/catalog/catalog_file.h"
#include "storage/recovery/checkpoint.h"
#include "storage/recovery/clean_mark.h"

struct check {
    /* in */
    struct heap *heap;
    const char *data_dir;
    const struct broker_config *config; /* of defaults: topics are resolved by it */
    void (*say)(void *arg, const char *kind, const char *file, const char *text); /* kind: fault, note, repaired */
    void *arg;
    /* out */
    uint64_t partitions, files, bytes, faults, notes, repairs;
    /* while it runs */
    int folder_fd, lock_fd;
    struct clean_mark clean;
    struct checkpoint_set *checkpoints;
    struct catalog_file *catalog; /* NULL: neither copy can be taken */
    char side[32];                /* the name of repair's folder; "": not made yet */
    int32_t epoch_max;            /* found in any log; -1: none */
    int64_t producer_max;
};
/* Says all it finds. ERR_BUSY: a broker runs there; ERR_INVALID: not ours; others: it cannot be read. why[CONFIG_WHY_BYTES]. */
enum err check_run(struct check *c, char *why) must_use;
enum err repair_run(struct check *c, char *why) must_use;

/* --- from within --- */
void check_fault(struct check *c, const char *file, const char *fmt, ...) printf_like(3, 4);
void check_note(struct check *c, const char *file, const char *fmt, ...) printf_like(3, 4);
void check_repaired(struct check *c, const char *file, const char *fmt, ...) printf_like(3, 4);
/* Locks (without making a file) and reads marks and catalog; check_close undoes it. */
enum err check_open(struct check *c, char *why) must_use;
void check_close(struct check *c);
/* One partition's log, walked from its first byte (check_partition.c). */
enum check_log_state { CHECK_LOG_WHOLE, CHECK_LOG_TORN, CHECK_LOG_DAMAGED };
struct check_log {
    enum check_log_state state;
    int64_t end_offset;  /* of what is good */
    int64_t bad_segment; /* where it ends */
    uint64_t bad_position;
    int64_t start_offset;   /* that was saved, 0: none */
    uint32_t lost_segments; /* folder_lost_segment */
};
struct check_partition {
    const char *folder; /* its name in the data folder */
    int32_t partition;
    const struct topic *topic; /* NULL: the catalog does not know it */
};
enum err check_partition(struct check *c, const struct check_partition *p, struct check_log *out) must_use;
/* Moves a file of the data folder, or of a folder in it (NULL: none), to the side. */
enum err repair_move(struct check *c, const char *folder, const char *file) must_use;
enum err repair_cut_log(struct check *c, const char *folder, const struct check_log *log) must_use;
