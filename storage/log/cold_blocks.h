/* What was read from the disk for fetches, shared by all readers of a shard: blocks of segments' files, each of
 * one size (COLD_BLOCK_BYTES; fewer at a file's end) at a multiple of it, in a buf of their own.
 *
 *   none --cold_blocks_read--> READING --> READY --evicted, or its segment goes--> none
 *                                 ^          '-- more of it is wanted than was there when it was read --.
 *                                 '---------------------------------------------------------------------'
 *
 * A block belongs to the cache; a reader that uses its bytes holds a reference to the buf, so it keeps them whatever becomes of the block or
 * its segment. Blocks without such a reader are evicted, the least recently used first: beyond the bound (COLD_READER_BYTES and three
 * answers for each reader at work, COLD_KEPT_BYTES, more for many readers, never beyond what the bufpool keeps for cold reads), and
 * whenever the pool has no memory for a new one. Nothing else is
 * evicted for them: a reader of old bytes leaves the young ones in memory.
 *
 * Where a read ended is remembered too (cursors): who goes on there is a sequential reader, finds the position without an index, and is read
 * ahead for. */
#pragma once
#include "core/buf.h"
#include "core/stat.h"
#include "storage/limits.h"
#include "storage/log/segment.h"

struct shard;
struct partition;
struct cold_blocks;

struct cold_block {
    struct cold_blocks *all;
    struct segment *segment;
    uint64_t from; /* position of its first byte */
    struct buf *buf;
    uint32_t have;     /* bytes that are there */
    uint32_t asked;    /* READING: there will be so many, unless the file ends ... */
    uint32_t had;      /* ... and so many there were before this part of it was asked for */
    uint64_t chain_to; /* READING: when it ends, the block COLD_AHEAD_MAX further on is read, and so on up to here */
    uint32_t good_from, good_to; /* between these bytes lie batches whose CRCs were found good, all of them whole */
    bool reading;
    struct io_op op;
    struct list waiting;     /* struct cold_wait */
    struct list link;        /* of all, least recently used first */
    struct cold_block *next; /* in its bucket */
};

/* Somebody waits for a block. `ready` (all of them before the first `go_on`) may take a reference to the buf and nothing else; `go_on` may do
 * what it likes. failure: a negative errno, or 0. */
struct cold_wait {
    void (*ready)(struct cold_wait *w, struct cold_block *b, int32_t failure);
    void (*go_on)(struct cold_wait *w);
    struct list link;
};

/* Where a read ended. */
struct cold_cursor {
    const struct partition *partition; /* NULL: free */
    uint64_t segment;                  /* its number */
    int64_t offset;
    uint64_t position;
    uint64_t used_ns;
    uint32_t ahead; /* blocks that were read ahead */
};

struct cold_blocks {
    struct shard *shard;
    bool direct; /* files are open for direct reads */
    uint32_t block_bytes;
    struct cold_block *buckets[COLD_BUCKETS];
    struct list used; /* all blocks, least recently used first */
    uint32_t count, reading;
    size_t bytes, bytes_max; /* of their bufs; never more than this by choice */
    struct cold_cursor cursors[COLD_CURSORS];
    struct stat_counter *read_bytes, *hit_bytes, *ahead_bytes;
};

void cold_blocks_init(struct cold_blocks *all, struct shard *s, bool direct);
void cold_blocks_deinit(struct cold_blocks *all); /* no read is under way */
/* Asserts that its fields agree. Slow. */
void cold_blocks_check(const struct cold_blocks *all);
/* The block with this position; NULL: there is none. */
struct cold_block *cold_blocks_find(const struct cold_blocks *all, const struct segment *s, uint64_t position);
/* Reads the block with this position, as far as `end` (not beyond what the disk has). It is not being read, and has less. The segment's file is
 * open, and has a user until the read is over. ERR_NO_MEMORY: neither memory nor anything to evict. */
enum err cold_blocks_read(struct cold_blocks *all, struct segment *s, uint64_t position, uint64_t end,
                          struct cold_block **out) must_use;
void cold_block_wait(struct cold_block *b, struct cold_wait *w); /* it is being read */
void cold_block_used(struct cold_block *b);                      /* it is the youngest now */
/* The segment goes: so do its blocks. None is being read. */
void cold_blocks_drop(struct cold_blocks *all, const struct segment *s);
/* How many blocks may be read ahead for each of those who read one after the other just now; sets the bound. So many reads are under way,
 * among them this one, whose cursor was taken and whose answer may have so many bytes. */
uint32_t cold_blocks_ahead_max(struct cold_blocks *all, uint32_t reads, uint64_t answer_bytes);

/* The cursor of who goes on at this offset, which is taken away; false: nobody ended there. */
bool cold_cursor_take(struct cold_blocks *all, const struct partition *p, int32_t index, int64_t offset,
                      struct cold_cursor *out) must_use;
void cold_cursor_put(struct cold_blocks *all, int32_t index, const struct cold_cursor *c);
void cold_cursors_forget(struct cold_blocks *all, const struct partition *p); /* it is being closed */
