/* What lies in a partition's folder: its segments and snapshots by offset, and what an interrupted job left there. */
#pragma once
#include "core/fs.h"
#include "core/mem.h"

/* The cleaner's (clean_work.h): there before the first segment is replaced. */
#define FOLDER_CLEANED "cleaner-offset-checkpoint"
struct folder_offsets {
    int64_t *v; /* rising */
    uint32_t count, cap;
};
struct folder {
    struct heap *heap;
    const char *dir;                                             /* the caller's */
    struct folder_offsets segments, snapshots, indexes, aborted; /* the last: with a .txnindex */
    struct folder_offsets swaps;   /* <base>.log.swap: cleaned segments that are to take others' place */
    struct folder_offsets deleted; /* <base>.<anything of a segment>.deleted: left their log, and go by and by */
    int64_t cleaned_min;           /* the first base offset of *.cleaned; INT64_MAX: none */
    bool cleaned;           /* FOLDER_CLEANED is there: any closed segment may have been replaced by another one */
    char (*leftovers)[256]; /* names: *.tmp, *.cleaned and *.swap, but for logs */
    uint32_t leftover_count, leftover_cap;
    enum err err; /* while reading */
};
/* ERR_NOT_FOUND: no such folder. */
enum err folder_read(struct folder *f, struct heap *heap, const char *dir) must_use;
void folder_close(struct folder *f);
enum err folder_offsets_add(struct heap *heap, struct folder_offsets *o,
                            int64_t offset) must_use; /* behind all others */
bool folder_offsets_have(const struct folder_offsets *o, int64_t offset);
/* The first of [from, to); -1: none. */
int64_t folder_offsets_between(const struct folder_offsets *o, int64_t from, int64_t to);
/* The first segment from `from` on whose log is lost: its index is alone, and whatever takes a segment out of a log takes the log last
 * (Kafka first, and then that has the name of a deleted one). -1: none. */
int64_t folder_lost_segment(const struct folder *f, int64_t from);
bool folder_name_ends(const char *name, const char *suffix);        /* with something in front of it */
enum err folder_remove(const char *dir, const char *name) must_use; /* not being there is fine */
/* The log and all that belongs to it; the log goes last, so that an interrupted removal is done again. */
enum err folder_remove_segment(const char *dir, int64_t base_offset) must_use;
