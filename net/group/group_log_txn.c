/* The ends of transactions that committed offsets: what was pending counts, or goes. */
#include "net/group/group_log.h"
#include "net/limits.h"

/* The next offset of it; a group of which nothing is left goes. */
static enum settled settle_group_offset(struct group_log *l, struct txn_share *share)
{
    struct group_entry *e = container_of(share->group, struct group_entry, txns);
    group_log_force_memory(l, true);
    enum settled settled = txn_share_settle(&l->txns, share);
    group_log_force_memory(l, false);
    if (settled == SETTLED_ALL)
        group_log_drop_if_empty(e);
    return settled;
}

enum coord_replay group_log_end_txn(struct coord_log *cl, struct coord_end *end, uint32_t units, uint32_t *took)
{
    struct group_log *l = group_log_of(cl);
    struct txn_share *share;
    uint32_t spent = 0;
    if (!end->state && !(end->state = txn_offsets_end(&l->txns, end->producer_id, end->commit)))
        return COORD_REPLAYED;
    while ((share = txn_offsets_ending_share(&l->txns, end->state))) {
        if (spent >= units) {
            *took += spent;
            return COORD_AGAIN;
        }
        if (settle_group_offset(l, share) == SETTLED_NO_MEMORY)
            return COORD_NO_MEMORY;
        spent += PACE_RECORD;
    }
    *took += spent;
    return COORD_REPLAYED;
}
