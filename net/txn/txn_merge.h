/* Partitions that are added to a transaction: put in order, and then, with those that are there, into a new set. A little at a time, as
 * there may be a hundred thousand:
 *
 *   struct txn_merge m;
 *   txn_merge_begin(&m, &set, added, count, &to);             // `set` and `added` stay until the end
 *   do items = ...; while (txn_merge_some(&m, &items) == TXN_WORK_MORE);   // each call looks at so many
 *   txn_merge_end(&m);                                        // at any time; what is in `to` stays
 *
 * What is sorted already is neither copied nor sorted. */
#pragma once
#include "net/txn/txn_parts.h"

enum { TXN_ITEMS_PER_UNIT = 8 }; /* of net/steps.h: some 25 ns each, where names are long 250 */
enum txn_work { TXN_WORK_MORE, TXN_WORK_DONE, TXN_WORK_NO_MEMORY };

/* Merges runs of 1, 2, 4 ... from one half of its memory into the other. */
struct txn_sort {
    struct heap *heap;
    const struct txn_partition *given;
    uint32_t count;
    uint32_t looked;                   /* so many of those given are in order */
    struct txn_partition *from, *into; /* NULL: no disorder was met */
    uint32_t width;
    uint32_t left, middle, right,
        end; /* of the two runs that are being merged: [left, middle) and [right, end) are left */
    uint32_t out;
};
void txn_sort_begin(struct txn_sort *s, struct heap *heap, const struct txn_partition *given, uint32_t count);
/* Takes what it does from *items; at 0 there is more to do. */
enum txn_work txn_sort_some(struct txn_sort *s, uint32_t *items) must_use;
/* When it is DONE: those given, in order, some perhaps more than once. */
static inline const struct txn_partition *txn_sort_sorted(const struct txn_sort *s)
{
    return s->from ? s->from : s->given;
}
void txn_sort_end(struct txn_sort *s);

struct txn_merge {
    struct txn_sort sort;
    bool sorted;
    const struct txn_parts *set;
    struct txn_parts *to;
    uint32_t at;             /* of what is added */
    int32_t topic, in_topic; /* behind `old`, in the set */
    bool more;
    struct txn_partition old;
};
/* `to` is empty. */
void txn_merge_begin(struct txn_merge *m, const struct txn_parts *set, const struct txn_partition *added,
                     uint32_t count, struct txn_parts *to);
enum txn_work txn_merge_some(struct txn_merge *m, uint32_t *items) must_use;
void txn_merge_end(struct txn_merge *m);
/* All at once. On an error `to` is empty again. */
enum err txn_merge_all(const struct txn_parts *set, const struct txn_partition *added, uint32_t count,
                       struct txn_parts *to) must_use;
