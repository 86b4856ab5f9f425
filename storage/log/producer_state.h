/* The inside of producers, for producer.c (the rules), producer_table.c (where they stand) and producer_saved.c (how they are written);
 * nobody else includes this.
 *
 *   pages   of 64 producers, in no order; the first one grows: 4, 8 ... 64. A page that a held copy shares is not written to: it is copied
 *           first (producer_own), so that holding all of them costs a count for each page
 *   slots   index and hash by id; open addressing, linear probing
 *   ages    a list of those without an open transaction, by their last append: which one is forgotten when all places are taken */
#pragma once
#include "storage/log/producer.h"

enum { PRODUCER_PAGE = 64 };

struct remembered {
    int64_t base_offset, last_offset, timestamp;
    int32_t last_sequence;
};
struct producer {
    int64_t id;
    int64_t written_ms; /* wall time of its last append: what expiry counts from */
    int64_t last_timestamp;
    int64_t txn_first_offset; /* -1: none is open */
    int32_t coordinator_epoch;
    int16_t epoch;
    bool bumps;    /* its open transaction is known to be of the second generation; not saved */
    uint8_t count; /* of v, oldest first; 0 after a marker or an epoch without data */
    struct remembered v[PRODUCER_BATCHES];
};
struct producer_page {
    uint32_t holders; /* of producers and held copies; counted on their thread alone */
    uint32_t cap;
    struct producer v[];
};
struct producer_slot {
    uint32_t place; /* index + 1, 0: free */
    uint32_t hash;
};
struct producer_age {
    uint32_t older, younger; /* index + 1; 0: none */
};
/* One that is open, or whose marker is not settled. */
struct txn {
    int64_t first_offset, producer_id;
    int64_t marker_offset; /* -1: open */
};
/* A question to a coordinator. */
struct guard {
    int64_t producer_id, made_ms;
    uint64_t number;
    int32_t lowest_sequence;
    int16_t epoch;
    bool bumps;
};
struct producers {
    struct heap *heap;
    struct txn *txns; /* by first offset, which rises */
    uint32_t txn_count, txn_cap;
    uint32_t ended;       /* of txns: those with a marker */
    struct guard *guards; /* in the order in which they were made */
    uint32_t guard_count, guard_cap;
    uint64_t guard_last; /* the number of the youngest */
    struct producer_page **pages;
    uint32_t page_count, page_cap;
    uint32_t count;
    uint32_t batches, without; /* remembered, of all; how many producers have none */
    struct producer_slot *slots;
    uint32_t slot_mask; /* slots - 1 */
    struct producer_age *ages;
    uint32_t age_cap, oldest, youngest; /* index + 1 */
    bool held;                          /* a held copy: it has pages, and nothing else */
};

static inline const struct producer *producer_at(const struct producers *ps, uint32_t index)
{
    assert(index < ps->count);
    return &ps->pages[index / PRODUCER_PAGE]->v[index % PRODUCER_PAGE];
}
#define PRODUCER_NONE UINT32_MAX
uint32_t producer_find(const struct producers *ps, int64_t id); /* its index, or PRODUCER_NONE */
/* To write to it. NULL: its page is shared, and there is no memory for another. */
struct producer *producer_own(struct producers *ps, uint32_t index) must_use;
/* One that is not known; it is not among the ages. */
enum err producer_add(struct producers *ps, int64_t id, uint32_t *out_index) must_use;
/* The last one takes its place. */
enum err producer_remove(struct producers *ps, uint32_t index) must_use;
void producer_age_link(struct producers *ps, uint32_t index); /* as the youngest */
void producer_age_unlink(struct producers *ps, uint32_t index);
enum err producers_sort_ages(struct producers *ps) must_use; /* of what was read */
/* How many batches of one are remembered has changed; `before` -1: it is new, `after` -1: it goes. */
void producers_recount(struct producers *ps, int before, int after);
void producer_remember(struct producer *p, const struct remembered *r); /* its youngest batch */
int64_t producer_last_offset(const struct producer *p);                 /* -1: none is remembered */
enum err producers_reserve_txn(struct producers *ps) must_use;          /* room for one more */
