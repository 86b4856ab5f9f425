/* What a shard's partitions are like, a row each, in the file of --stat-file (core/stat.h: the table "partitions"). Nothing of it is there when
 * nobody asked for the file.
 *
 * The shard writes each row about once a second, in the steps of log_store's look at all partitions, so what changes costs nothing where it
 * changes. Row n is the n-th of log_store's partitions; when one goes, the last takes its place, at once. The file gets room for rows in
 * steps, off the shard; the partitions beyond PARTITION_ROWS_MAX, and all while the file cannot grow, have none (`all` of the table
 * counts them).
 *
 *    0  u64 version (struct stat_row)     8  topic id, 16 bytes: zeros until the row is first written
 *   24  i32 partition                    28  u32 flags, enum partition_row_flags
 *   32  bytes, of all segments           40  segments
 *   48  log start offset                 56  high watermark                    64  end offset
 *   72  bytes at risk: promised and not yet durable (write.caching)            80  since so many ms
 *   88  dirty bytes: what the cleaner could clean, at its last look            96  up to this offset it was cleaned, -1: not known
 *  104  zeros                           128  the topic's name, zero-padded to 256 bytes */
#pragma once
#include "core/shard.h"

enum {
    PARTITION_ROW_BYTES = 384,
    PARTITION_ROWS_MAX = STAT_ROWS_BYTES / PARTITION_ROW_BYTES,
    PARTITION_ROWS_STEP_MIN = 64 * 1024, /* the file's room for them doubles from this ... */
    PARTITION_ROWS_STEP_MAX = 1024 * 1024,
    PARTITION_ROWS_RETRY_S = 60, /* where it could not grow that is tried again */
};
enum partition_row_flags {
    PARTITION_ROW_RECOVERING = 1, /* its log is not known yet: no number counts */
    PARTITION_ROW_OFFLINE = 2,
    PARTITION_ROW_COMPACTED = 4,
    PARTITION_ROW_CLEANER_REFUSES = 8, /* it has what cannot be cleaned */
};

struct partition;
struct partition_rows_step;
struct partition_rows {
    struct shard *shard;
    struct stat_table *table;
    uint8_t *at;                      /* NULL: nobody asked */
    uint32_t count, room;             /* partitions, and rows for which the file has room */
    uint64_t room_bytes, retry_at_ns; /* retry: after a step failed, 0: none did */
    struct partition_rows_step *step; /* it grows */
};

void partition_rows_init(struct partition_rows *r, struct shard *s);
/* The last one was added; it has no row before it is shown. */
void partition_rows_added(struct partition_rows *r);
/* One was removed, and `last` has its place now (NULL: it was the last one itself). */
void partition_rows_removed(struct partition_rows *r, uint32_t place, const struct partition *last);
/* Its row is as it is now. */
void partition_rows_show(struct partition_rows *r, const struct partition *p);
/* All were looked at: room for those that had none. */
void partition_rows_looked(struct partition_rows *r);
void partition_rows_check(const struct partition_rows *r);
