/* Producer ids of one shard: handed out of blocks of CATALOG_PRODUCER_BLOCK, each reserved durably before its first use, so none is ever
 * given twice. Who finds none at hand waits for the next block.
 *
 *   producer_ids_take --one at hand--> that
 *          '---- none ----> producer_ids_wait --block reserved--> done, from the loop */
#pragma once
#include "storage/store.h"

struct producer_ids {
    struct shard *shard;
    int64_t next;
    uint32_t left;
    bool asking;         /* `change` is under way */
    struct list waiting; /* struct producer_id_wait */
    struct catalog_change change;
};
struct producer_id_wait {
    void (*done)(struct producer_id_wait *w, enum kerr error, int64_t producer_id);
    struct list link;
};
static inline void producer_ids_init(struct producer_ids *ids, struct shard *shard)
{
    *ids = (struct producer_ids){.shard = shard};
    list_init(&ids->waiting);
}
/* False: none at hand, or others wait for one. */
bool producer_ids_take(struct producer_ids *ids, int64_t *out_id) must_use;
/* In the order of asking. `w` stays until it is done. */
void producer_ids_wait(struct producer_ids *ids, struct producer_id_wait *w);
/* Nobody waits, but soon somebody will want one. */
void producer_ids_refill(struct producer_ids *ids);
