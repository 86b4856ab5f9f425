/* See producer_ids.h. */
#include "net/producer_ids.h"

static bool hand_out_id(struct producer_ids *ids, int64_t *out_id)
{
    if (ids->left == 0)
        return false;
    ids->left--;
    *out_id = ids->next++;
    return true;
}

bool producer_ids_take(struct producer_ids *ids, int64_t *out_id)
{
    return list_empty(&ids->waiting) && hand_out_id(ids, out_id);
}

static void ask_id_block(struct producer_ids *ids);

/* Who asks inside `done` waits behind those that are here. */
static void id_block_reserved(struct catalog_change *c)
{
    struct producer_ids *ids = container_of(c, struct producer_ids, change);
    enum kerr error = c->error;
    int64_t id = -1;
    ids->asking = false;
    if (!error) {
        ids->next = c->producer_ids;
        ids->left = CATALOG_PRODUCER_BLOCK;
    }
    struct list due, *l;
    list_init(&due);
    list_splice(&due, &ids->waiting);
    while ((l = list_first(&due))) {
        if (!error && !hand_out_id(ids, &id))
            break;
        list_remove(l);
        struct producer_id_wait *w = container_of(l, struct producer_id_wait, link);
        w->done(w, error, error ? -1 : id);
    }
    list_splice(&due, &ids->waiting);
    list_splice(&ids->waiting, &due);
    if (!list_empty(&ids->waiting))
        ask_id_block(ids);
}

static void ask_id_block(struct producer_ids *ids)
{
    if (ids->asking)
        return;
    ids->asking = true;
    ids->change = (struct catalog_change){.kind = CATALOG_PRODUCER_IDS, .done = id_block_reserved};
    catalog_change_start(ids->shard, &ids->change);
}

void producer_ids_wait(struct producer_ids *ids, struct producer_id_wait *w)
{
    assert(w->done);
    list_init(&w->link);
    list_push(&ids->waiting, &w->link);
    ask_id_block(ids);
}

void producer_ids_refill(struct producer_ids *ids)
{
    if (ids->left == 0)
        ask_id_block(ids);
}
