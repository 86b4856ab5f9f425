/* One write of shard 0 to the catalog: the same records to one copy, durably, then to the other.
 *
 *   [the folder is in its place] -> [names, on the first write] -> copy 0 -> copy 1 -> over
 *     ^                                                              '--- failed ---> both cut back, durably -> over
 *     '------------- the disk was full, and the reserve (ballast.h) gave ---<----------'
 *
 * What could not be cut back is, before anything else is written. Behind both copies lie blocks for the next changes; when half of them
 * are used up there are new ones before `over`. */
#pragma once
#include "core/shard.h"
#include "storage/catalog/catalog_file.h"

struct catalog_write {
    struct shard *shard;
    struct catalog_file *file;
    void (*over)(struct catalog_write *w, bool written); /* never within catalog_write_start */
    struct catalog_blob blob;                            /* filled and emptied by the owner */
    size_t written;                                      /* of the copy that is being written */
    int copy;
    bool full, helped;   /* it found no room; the reserve gave some */
    bool dirty;          /* what a failed write left could not be cut yet */
    uint64_t checked_ns; /* when the folder was last found in its place */
    struct io_file io_files[CATALOG_COPIES];
    struct io_op op;
};
void catalog_write_init(struct catalog_write *w, struct shard *s, struct catalog_file *f,
                        void (*over)(struct catalog_write *w, bool written));
/* The blob has records. One at a time. */
void catalog_write_start(struct catalog_write *w);
/* At the end. A write that is still out keeps its memory. */
void catalog_write_detach(struct catalog_write *w);
