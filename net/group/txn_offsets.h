/* Offsets that transactions have committed and that do not count yet, of one partition of __consumer_offsets: pending until the
 * transaction's marker is in the log. Kafka's OffsetMetadataManager is the specification. Pure.
 *
 *   txn_offsets (of the partition) --by producer id--> pending_txn --shares-> txn_share <--shares- group_txns (of a group)
 *                 '-- ending --> pending_txn ...                                 '--> offsets
 *
 * A share is what one transaction committed for one group. A marker takes the transaction from the producer (the next of it may begin) and makes it
 * ending: its shares are settled one offset after the other, and stay pending until then.
 *
 *   commit: the offset counts, unless what counts already has a later record in the log (a plain commit meanwhile, or another
 *           transaction's): then it is dropped. So the same stands there however the log was compacted
 *   abort:  it is dropped
 *
 * A tombstone (deletion, expiry) removes what is pending too; the transaction goes on for its group, with nothing. */
#pragma once
#include "core/list.h"
#include "net/group/offsets.h"

struct txn_offsets {
    struct map by_producer; /* struct pending_txn */
    struct list ending;     /* struct pending_txn */
    struct heap *heap;
};
struct pending_txn {
    uint8_t key[8]; /* producer id, of the map */
    struct list shares;
    struct list link; /* ending */
    bool ending, commit;
};
struct txn_share {
    struct list of_txn, of_group;
    struct pending_txn *txn;
    struct group_txns *group;
    uint64_t born; /* in the order of their making, of a group */
    struct offsets offsets;
    uint32_t settled; /* ending: cursor behind those that are */
};
/* Embedded in what a group has. */
struct group_txns {
    struct txn_offsets *all;
    struct offsets *counting; /* what the group has committed: where a commit goes */
    struct list shares;       /* by `born` */
    uint64_t born;
    uint32_t gone;  /* counts the shares that went */
    uint32_t count; /* of offsets in all shares */
};
void txn_offsets_init(struct txn_offsets *t, struct heap *heap);
/* No group has shares any more. */
void txn_offsets_deinit(struct txn_offsets *t);
void group_txns_init(struct group_txns *g, struct txn_offsets *all, struct offsets *counting);
/* Whatever is pending in the group goes. */
void group_txns_deinit(struct group_txns *g);

/* Copies `c`; an earlier one of this transaction and partition goes. Without memory everything stays as it was. ERR_INVALID: as offsets_put. */
enum err group_txns_put(struct group_txns *g, int64_t producer_id, const struct committed *c) must_use;
/* A tombstone: of all transactions. */
void group_txns_remove(struct group_txns *g, struct kview topic, int32_t partition);
/* UNSTABLE_OFFSET_COMMIT: some transaction has an offset pending. *out_looked: at how many transactions it looked. */
bool group_txns_pending(const struct group_txns *g, struct kview topic, int32_t partition, uint32_t *out_looked);
/* So many offsets are pending, one of two transactions twice. */
static inline uint32_t group_txns_count(const struct group_txns *g)
{
    return g->count;
}
/* Some transaction is open for the group, perhaps with nothing. */
static inline bool group_txns_open(const struct group_txns *g)
{
    return !list_empty(&g->shares);
}
/* All that is pending in the group, one transaction after the other, starting with zeros; NULL at the end. Shares and offsets may come and go
 * meanwhile; what was put in between may be missed. */
struct group_txns_cursor {
    uint64_t born;           /* of the share where the next one is */
    struct txn_share *share; /* that one, as long as `gone` is the group's */
    uint32_t gone, at;
};
const struct committed *group_txns_next(const struct group_txns *g, struct group_txns_cursor *c);

/* --- the end of a transaction --- */
/* NULL: this producer has nothing pending. Else it is to be settled. */
struct pending_txn *txn_offsets_end(struct txn_offsets *t, int64_t producer_id, bool commit);
/* NULL: all shares are settled (or gone), and the transaction is freed. */
struct txn_share *txn_offsets_ending_share(struct txn_offsets *t, struct pending_txn *x);
/* The next offset of it. */
enum settled { SETTLED_ONE, SETTLED_ALL /* the share is freed */, SETTLED_NO_MEMORY /* nothing changed */ };
enum settled txn_share_settle(struct txn_offsets *t, struct txn_share *share) must_use;

/* Asserts that its shares agree. Slow. */
void group_txns_check(const struct group_txns *g);
