/* Aborted transactions, so that a reader of committed records knows what to leave out: of each segment those whose marker lies in it, in the
 * order of their markers. They stay in memory as long as the segment is in the list (32 bytes each), and lie beside it in Kafka's
 * .txnindex file; a segment without any has none.
 *
 * The file: entries of 34 bytes, big-endian: u16 version (0) | i64 producer id | i64 first offset | i64 last offset (of the marker) |
 * i64 last stable offset (as it was behind the marker). */
#pragma once
#include "core/mem.h"
#include "core/err.h"

enum { ABORTED_ENTRY_BYTES = 34 };

struct aborted_txn {
    int64_t producer_id;
    int64_t first_offset; /* of its first batch in this partition */
    int64_t last_offset;  /* its marker's */
    int64_t last_stable_offset;
};
/* Of one segment; or what was collected of several. */
struct aborted_index {
    struct aborted_txn *v; /* by last_offset, which rises */
    uint32_t count, cap;
    struct heap *heap;
};

void aborted_init(struct aborted_index *a, struct heap *heap);
void aborted_deinit(struct aborted_index *a);
/* Asserts the order; slow. */
void aborted_check(const struct aborted_index *a);
/* Room for `more`: aborted_add never fails then. */
enum err aborted_reserve(struct aborted_index *a, uint32_t more) must_use;
void aborted_add(struct aborted_index *a, const struct aborted_txn *t);
/* Into an empty one, which has its own heap. */
enum err aborted_copy(const struct aborted_index *from, struct aborted_index *to) must_use;
/* So many more of them, at most, into one with room for all, which has the first of them. Returns how many. */
uint32_t aborted_copy_some(const struct aborted_index *from, struct aborted_index *to, uint32_t count_max);
/* Those whose marker lies at or behind `offset` go. */
void aborted_truncate(struct aborted_index *a, int64_t offset);
static inline size_t aborted_file_bytes(const struct aborted_index *a)
{
    return (size_t)a->count * ABORTED_ENTRY_BYTES;
}
uint32_t aborted_count_before(const struct aborted_index *a, int64_t offset); /* those whose marker lies before it */
/* As in the file: entries [from, to). */
void aborted_encode(const struct aborted_index *a, uint32_t from, uint32_t to, uint8_t *out);
/* Replaces what is there. ERR_CORRUPT: no such file, or not in order; nothing is there then. */
enum err aborted_load(struct aborted_index *a, const uint8_t *at, size_t bytes) must_use;

/* What a read of [from, to) must know, of several segments in order: adds those that have records or their marker there.
 * *out_complete: nothing in later segments counts. */
enum err aborted_collect(const struct aborted_index *a, int64_t from, int64_t to, struct aborted_index *list,
                         bool *out_complete) must_use;
