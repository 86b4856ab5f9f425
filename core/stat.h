/* Numbers of one shard: counters and histograms. Their shard alone writes them, any thread reads them, and nobody waits: each is
 * an atomic word with one writer, so that counting is a load and a store. A reader sees every word as it was at some moment, not
 * all of them at one; what it compares are two readings of the same word.
 *
 * All numbers of a shard lie in one block of STATS_BYTES, with a table that names them, so that another process can read them
 * too where the blocks are a mapped file (--stat-file; on tmpfs, e.g. /dev/shm: elsewhere writing back its pages makes shards
 * wait). Little-endian, shard n's block at n * STATS_BYTES:
 *
 *      0  "odradek stats 1\n"
 *     16  u32 shard, u32 count of entries that are complete
 *     24  entries of 40 bytes: char name[32] (zero-padded), u32 kind (0 counter, 1 histogram, 2 table), u32 at: of its first word,
 *         in bytes
 *     ... words of 8 bytes: a counter has one, a histogram STAT_BUCKETS and then the sum of its values, a table the five of
 *         struct stat_table
 *
 * A table has rows, which come and go with what they tell of. They lie behind the blocks of all shards, shard n's at n * STAT_ROWS_BYTES
 * there: addresses only, until the file was made to have room there (ask for it: a hole that the disk cannot fill ends the process).
 * The first word of a row is odd while the others change, and is another one then: who found the same even one before and behind
 * has read one whole row. Whole rows move when the table shrinks: `moves` is odd meanwhile, and who found the same even one before
 * and behind has seen each row that was there all the time.
 *
 * A histogram's buckets: values below 8 have one each, then each power of two has 8, so a bucket is at most an eighth wide. The
 * longest turn between two readings is the last bucket that grew. */
#pragma once
#include "core/base.h"
#include <stdatomic.h>

enum {
    STATS_BYTES = 64 * 1024, /* room for a dozen histograms; pages that nothing writes cost nothing */
    STAT_NAME_BYTES = 32,    /* with the final zero */
    STAT_BUCKETS = 8 + 61 * 8,
    STAT_ROWS_BYTES = 24 * 1024 * 1024, /* 65,536 rows of 384 bytes */
};

struct stats; /* one block */
struct stat_counter {
    _Atomic uint64_t value;
};
struct stat_histogram {
    _Atomic uint64_t buckets[STAT_BUCKETS];
    _Atomic uint64_t sum;
};
struct stat_table {
    struct stat_counter rows_at, row_bytes; /* of the first row, from the file's start */
    struct stat_counter rows, all;          /* how many rows there are, and how many there would be if all had room */
    struct stat_counter moves;
};
struct stat_row {
    _Atomic uint64_t version; /* words follow */
};
/* Where the rows of a shard may lie: STAT_ROWS_BYTES, of which nothing was allocated. */
struct stat_room {
    uint8_t *at; /* NULL: nobody asked for rows */
    int fd;
    uint64_t file_at;
};

/* Makes a block out of STATS_BYTES of zeros that the caller owns, 8-aligned. */
struct stats *stats_init(void *block, uint32_t shard);
/* Before the shard's loop begins. The names are a program's own and few: no room is a mistake of ours, as is a name twice. The
 * numbers live as long as the block. */
struct stat_counter *stats_counter(struct stats *s, const char *name);
struct stat_histogram *stats_histogram(struct stats *s, const char *name);
struct stat_table *stats_table(struct stats *s, const char *name);

static inline void stat_add(struct stat_counter *c, uint64_t n)
{
    uint64_t had = atomic_load_explicit(&c->value, memory_order_relaxed);
    atomic_store_explicit(&c->value, had + n, memory_order_relaxed);
}
/* Of what goes up and down: how much there is now. */
static inline void stat_set(struct stat_counter *c, uint64_t value)
{
    atomic_store_explicit(&c->value, value, memory_order_relaxed);
}
static inline uint64_t stat_value(const struct stat_counter *c)
{
    return atomic_load_explicit(&c->value, memory_order_relaxed);
}
/* The bucket of a value, and the smallest value of a bucket. */
uint32_t stat_bucket(uint64_t value);
uint64_t stat_bucket_start(uint32_t bucket);
void stat_note(struct stat_histogram *h, uint64_t value);
uint64_t stat_count(const struct stat_histogram *h); /* of values */
/* The start of the bucket that holds the value at `permille` of the order, 0 without values; 1000: the largest. */
uint64_t stat_quantile(const struct stat_histogram *h, uint32_t permille);
/* One change of a row: begun, some of its words, ended. `at` and `bytes` are whole words, behind the first. */
void stat_row_begin(struct stat_row *r);
void stat_row_put(struct stat_row *r, size_t at, const void *from, size_t bytes);
void stat_row_end(struct stat_row *r);
/* Rows are about to move, or have moved. */
void stat_table_begin(struct stat_table *t);
void stat_table_end(struct stat_table *t);
