/* The file of a shard's checkpoints (checkpoint.h) as jobs write it: appended to, and compacted in pieces into another that takes its
 * place when it is complete. Used by one job at a time; the shard looks at it between jobs. */
#pragma once
#include "core/fs.h"
#include "core/mem.h"

/* Bytes that a job writes. */
struct checkpoint_blob {
    struct heap *heap;
    uint8_t *at;
    size_t bytes, cap;
    const uint8_t *lent; /* somebody's, written behind them; NULL: nothing */
    size_t lent_bytes;
};
bool checkpoint_blob_add(struct checkpoint_blob *b, const uint8_t *at, size_t bytes) must_use; /* false: no memory */
/* Room for so many bytes in an empty one, and putting them there, which takes no memory and may be done by a job. */
bool checkpoint_blob_reserve(struct checkpoint_blob *b, size_t bytes) must_use;
void checkpoint_blob_put(struct checkpoint_blob *b, const uint8_t *at, size_t bytes);
/* What was large goes: its pages, by the job that is done with it, then its memory. */
void checkpoint_blob_discard(const struct checkpoint_blob *b);
void checkpoint_blob_shrink(struct checkpoint_blob *b);

struct checkpoint_file {
    const char *dir; /* the data folder */
    char path[FS_PATH_MAX], temporary[FS_PATH_MAX];
    int fd;              /* -1: not opened yet */
    uint64_t bytes;      /* what stands behind is overwritten */
    uint64_t live_bytes; /* of the file when it was last compacted, or of what was found in it */
    bool made;           /* its name is not durable yet */
    /* the one in the making */
    bool compacting, begun; /* begun: its file is open */
    int next_fd;            /* also of one that was given up, until a job closes it */
    uint64_t next_bytes;
};
void checkpoint_file_init(struct checkpoint_file *f, const char *dir, uint32_t shard);
void checkpoint_file_close(struct checkpoint_file *f);
/* Should a compaction begin? */
bool checkpoint_file_is_stale(const struct checkpoint_file *f);
/* In a job: `news` to the file, and while it is compacted `piece` and `news` to the next, which with `finish` takes its place. After an
 * error the compaction is given up. `sync`: the file and its name are durable. */
enum err checkpoint_file_write(struct checkpoint_file *f, const struct checkpoint_blob *news,
                               const struct checkpoint_blob *piece, bool finish, bool sync) must_use;
