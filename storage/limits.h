/* Every bound of storage, with its reason. */
#pragma once
#include "core/limits.h"

enum {
    TAILS_BYTES = 64 * 1024 * 1024,      /* of young bytes in memory per shard; who lags further reads the disk */
    TAILS_SHARE = 2,                     /* tails take half of the pool at most: the rest receives and reads cold */
    WAVE_GATHER_BYTES = 4 * 1024 * 1024, /* appends wait beyond this much that no wave carries yet */
    ALLOCATE_STEP_MIN =
        8 * 1024, /* space ahead starts small: with its folder and id, a partition of one record costs 16 KiB ... */
    ALLOCATE_STEP_MAX = 64 * 1024 * 1024, /* ... and doubles to this */
    /* Or to this, where it is zeroed: what of that is never used was written, and after a kill is read, in vain. */
    ZEROED_STEP_MAX = 4 * 1024 * 1024,
    /* A disk whose flush takes so long: what waits for it waits for flushes, and little else (log_store_flush_is_slow). */
    FLUSH_SLOW_NS = 2 * 1000 * 1000,
    ZEROED_SLOW_STEP_MAX = 32 * 1024 * 1024, /* there: each step of zeros ends in two flushes of the journal */
    /* With less free ext4 now and then waits for its journal before it takes a write into space that was allocated: no shard begins these. */
    WRITES_WAIT_FREE_BYTES = 256 * 1024 * 1024,
    COLD_BLOCK_BYTES = 256 * 1024,       /* one disk read for fetches, and what is kept of it in one piece ... */
    COLD_BLOCK_MIDDLE = 64 * 1024,       /* ... with less than 64 MiB of memory for bufs ... */
    COLD_BLOCK_SMALL = 16 * 1024,        /* ... and with less than 16 MiB */
    COLD_READS_MAX = 32,                 /* fetches at work per shard: a backlog drain does not starve producers */
    COLD_KEPT_BYTES = 64 * 1024 * 1024,  /* of blocks per shard at the most, unless many readers need more ... */
    COLD_READER_BYTES = 8 * 1024 * 1024, /* ... and of each reader this and three answers (one is sent, one made, one */
                                         /* read ahead): fresh memory costs more than a read, used memory is warm */
    COLD_SHARE = 8,                /* and never more than this part of the pool, which is what it keeps for them */
    COLD_ANSWER_SHARE = 128,       /* one answer holds no more than this part of the pool ... */
    COLD_ANSWER_MIN = 1024 * 1024, /* ... or this, if that is more; what is larger is answered in several */
    COLD_BUCKETS = 1024,
    COLD_CURSORS = 256, /* readers whose place is remembered: 12 KiB */
    COLD_CURSOR_WAYS = 4,
    COLD_AHEAD_MAX = 16, /* blocks in flight for one reader: 4 MiB, what a quick disk needs */
    COLD_CHAIN_MAX =
        64, /* blocks read ahead of one reader whose answers are large: while it takes one, the next is read */
    COLD_READER_S = 2,                 /* who has not read for so long counts no more when memory is shared out */
    COLD_STEP_BYTES = 1024 * 1024,     /* checked in one step of a fetch: some 60 us */
    COLD_BATCH_COST = 1024,            /* so many bytes are checked in the time that a batch costs beside */
    COLD_TURN_BYTES = 4 * 1024 * 1024, /* checked in one turn for all of them */
    COLD_RETRY_MS = 5,                 /* fetches that found no memory look again */
    COLD_WAIT_MS = 1000,               /* and are refused after this */
    CHECKPOINT_MS = 500,               /* twice a second, so that recovery is at most 1 s behind */
    SEGMENT_BYTES_MIN = 1024 * 1024,   /* Kafka's least segment.bytes */
    CHECKPOINT_BYTES = 64 * 1024 * 1024,
    IDLE_TAIL_S = 60,                         /* an idle partition keeps no bytes in memory */
    IDLE_LOOK_S = 10,                         /* how often idle ones are looked for */
    ROWS_LOOK_S = 1,                          /* where they are shown (log/partition_rows.h) */
    MEMORY_WAIT_S = 10,                       /* appends for which there is no memory are refused after this */
    INDEXES_MAX = 64,                         /* of closed segments in memory, per shard: 5 MB each at worst */
    KEPT_SHARE = 8,                           /* and an eighth of --memory at most, but for one */
    CHECKPOINT_MEMORY_MIN = 16 * 1024 * 1024, /* one partition's producers are 12 MiB at most */
    RETRY_MS = 100,                           /* a full disk is asked again this often */
    RECOVERY_WAIT_MS = 900,                   /* a request waits so long for a recovery: it ends within a second */
    RECOVERY_WAIT_BYTES = 16 * 1024 * 1024,   /* of batches that wait so, per shard; more are refused at once */
    REOPEN_MS = 1000,                         /* a full disk is probed so often, with one partition of the shard */
    UNPACK_JOBS_MAX = 2, /* per shard: one runs, one is ready; the helper's other work stands behind no more */
    UNPACK_ROOM_BYTES = 32 * 1024 * 1024, /* for results of those jobs, per shard; one that is larger goes alone */
    UNPACKED_BYTES_MAX =
        64 * 1024 * 1024, /* of a batch's records, where they must be seen: a bomb costs no more memory, nor
                                             * more than some 0.1 s; 64 times the default of max.message.bytes */
    SYNC_ALL_FROM =
        64, /* partitions: the stop of so many syncs the whole file system once, not each file; others' bytes too */
    /* What write.caching takes goes through shared memory (log/redo.h) in pieces up to this size: a second copy costs some 0.1 s of CPU a GB, a
     * write of its own 20 to 40 us and its wait. Of more the copy costs more than the write. */
    REDO_BYTES_MAX = 64 * 1024,
    REDO_RING_BYTES = 1024 * 1024, /* per shard: some milliseconds of those */
    CARRY_MS = 5,                  /* so long no wave begins for bytes that are crash-safe already ... */
    CARRY_BYTES = 256 * 1024,      /* ... unless there are so many */
    OPEN_FILES_SHARE = 2,          /* half of the descriptors are for segments, half for sockets */
};
static_assert(ALLOCATE_STEP_MIN % PAGE_BYTES == 0, "space ahead is whole pages");

/* The largest wave of a partition: what was gathered, plus the batch that went over the line. Recovery takes a valid batch
 * further than this behind a bad place as proof of corruption. */
static inline uint32_t wave_bytes_max(uint32_t max_message_bytes)
{
    return (uint32_t)WAVE_GATHER_BYTES + max_message_bytes + PAGE_BYTES;
}
