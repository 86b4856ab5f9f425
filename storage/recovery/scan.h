/* Walking the batches of a segment file, from its bytes alone. Memory is one buffer, whatever a batch claims to be: its CRC
 * is taken piece by piece, and a length that leads beyond the end is a bad batch, not a large allocation.
 *
 * Also what recovery does behind the end of a log: looking for a valid batch at any byte, and making it zeros. */
#pragma once
#include "storage/log/batch.h"
#include "storage/log/segment.h"

enum { SCAN_BUF_BYTES = 256 * 1024 };

struct scan {
    int fd; /* the caller's */
    struct heap *heap;
    uint64_t at;  /* position of the next batch */
    uint64_t end; /* the walk ends here: the file's size, or less */
    uint64_t read_bytes;
    uint8_t *buf; /* holds the file's [buf_from, buf_from + buf_bytes) */
    uint64_t buf_from;
    size_t buf_bytes;
};
enum err scan_open(struct scan *s, struct heap *heap, int fd, uint64_t at, uint64_t end) must_use;
void scan_close(struct scan *s);
/* All of a file, which scan_close_file closes. */
enum err scan_open_file(struct scan *s, struct heap *heap, const char *path) must_use;
void scan_close_file(struct scan *s);
/* The batch at s->at: *out_valid when it is whole, its CRC is good and its header makes sense. Does not move. */
enum err scan_peek(struct scan *s, struct batch *out_batch, bool *out_valid) must_use;
/* Of a control batch that was peeked at. *out_is false: it ends no transaction. */
enum err scan_marker(struct scan *s, const struct batch *b, struct batch_marker *out, bool *out_is) must_use;
static inline void scan_skip(struct scan *s, const struct batch *b)
{
    s->at += b->bytes;
}
/* The first byte at or after `from` where a valid batch starts that has a base offset >= min_offset; UINT64_MAX: none. */
enum err scan_search(struct scan *s, uint64_t from, int64_t min_offset, uint64_t *out_at) must_use;
/* The first byte from `from` on that is not zero; UINT64_MAX: none. */
enum err scan_nonzero(struct scan *s, uint64_t from, uint64_t *out_at) must_use;
/* Writes zeros over the pages of [from, end) that hold anything else; adds what it wrote. Not synced. */
enum err scan_wipe(struct scan *s, uint64_t from, uint64_t *out_bytes) must_use;

/* Rebuilds the index of a closed segment from its file, in memory, and saves it. ERR_CORRUPT: a batch in it is bad, at
 * *out_bad_at. Reads it all: not on a shard's data path. */
enum err scan_rebuild_index(const char *dir, struct segment *s, uint32_t interval_bytes, uint64_t *out_bad_at) must_use;
