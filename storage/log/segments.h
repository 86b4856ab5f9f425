/* The segments of a partition, ordered by base offset: an array, so that the one that holds an offset is found by bisection
 * however many there are. Offsets may be missing between two of them, and at the end of one (compaction). A segment is told from
 * others by its number, which no other of this run of the partition had: its base offset can be another's later. */
#pragma once
#include "storage/log/segment.h"

struct segments {
    struct segment **v; /* the partition's */
    uint32_t count, cap;
    uint64_t next_number;
    struct heap *heap;
};

void segments_init(struct segments *ss, struct heap *heap);
void segments_deinit(struct segments *ss); /* it is empty */
/* Asserts their order and numbers: for tests, the simulator and debug builds. */
void segments_check(const struct segments *ss);
/* Room for so many more; segments_push never fails then. */
enum err segments_reserve(struct segments *ss, uint32_t more) must_use;
/* Behind all others; gives it its number. */
void segments_push(struct segments *ss, struct segment *s);
/* Takes the oldest `count` out of the list. */
void segments_drop(struct segments *ss, uint32_t count);
/* `made` takes the place of `count` neighbours from rank `from` on, with a number of its own: a young one, so numbers rise with the
 * log's offsets only among segments that no cleaning made. */
void segments_replace(struct segments *ss, uint32_t from, uint32_t count, struct segment *made);
/* Where the segment stands that holds `offset` or, where that is in a gap, the next offset there is. Below all: 0. */
uint32_t segments_rank(const struct segments *ss, int64_t offset);
static inline struct segment *segments_at(const struct segments *ss, uint32_t i)
{
    assert(i < ss->count);
    return ss->v[i];
}
static inline struct segment *segments_of_offset(const struct segments *ss, int64_t offset)
{
    return segments_at(ss, segments_rank(ss, offset));
}
