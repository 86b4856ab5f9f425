/* The file work of a partition's space (space.c): what its jobs know, and what they do away from the shard. For space.c alone. */
#pragma once
#include "storage/log/partition_state.h"

enum job_kind { JOB_AHEAD, JOB_ROLL, JOB_CLOSE, JOB_WAKE, JOB_STOP, JOB_DELETE };

/* What a job knows. The shard does not touch it, nor the index that it lends, until the job is done. */
struct space_job {
    struct io_op op;
    struct partition *partition;
    enum job_kind kind;
    enum space_state state_before; /* a roll that failed goes back to it */
    char dir[FS_PATH_MAX];
    const char *data_dir;
    struct segment *old; /* CLOSE: the one before; STOP, WAKE: the active one. Lent, fd included */
    int old_fd;
    bool first; /* ROLL: there is no folder yet */
    uint64_t old_bytes;
    int64_t next_offset; /* ROLL: the new segment's base; CLOSE, STOP: the snapshot's name */
    bool direct;
    int flush_fd;                /* of whose flush it may be that it is shared */
    struct producers *producers; /* held: what the snapshot is to have; NULL: there is none */
    size_t epochs_bytes;
    char *epochs;
    uint8_t topic_id[16];
    uint8_t *block; /* WAKE: where the tail block goes; NULL: none */
    uint64_t block_position;
    uint64_t step;
    struct timer retry;      /* CLOSE */
    struct segment *next;    /* ROLL */
    struct space_job *close; /* ROLL: what saves the old segment behind it; NULL: it is saved */
    bool sync_later;         /* STOP: the store syncs the whole file system when all are stopped */
    struct ballast *ballast; /* what it gets where it finds no room; NULL: nothing */
    bool made_ahead;         /* ROLL: `fd` has the file, it only needs its name; STOP: it is there, and goes */
    /* out */
    enum err err;
    int fd;
    uint64_t allocated;
    bool shares_flush; /* ROLL, WAKE: of the file that is active then */
};
int32_t space_job_run(void *job);
