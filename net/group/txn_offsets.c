#include "net/group/txn_offsets.h"
#include "core/bytes.h"

static struct txn_share *txn_share_of_group(struct list *node)
{
    return container_of(node, struct txn_share, of_group);
}

/* --- life --- */

void txn_offsets_init(struct txn_offsets *t, struct heap *heap)
{
    assert(heap);
    t->heap = heap;
    map_init(&t->by_producer, heap);
    list_init(&t->ending);
}

void txn_offsets_deinit(struct txn_offsets *t)
{
    struct list *i;
    assert(t->by_producer.count == 0);
    while ((i = list_pop(&t->ending)))
        heap_free(t->heap, container_of(i, struct pending_txn, link));
    map_deinit(&t->by_producer);
}

void group_txns_init(struct group_txns *g, struct txn_offsets *all, struct offsets *counting)
{
    *g = (struct group_txns){.all = all, .counting = counting};
    list_init(&g->shares);
}

/* A transaction goes with its last share, unless it is ending: then the settling finds nothing more. */
static void drop_txn_if_empty(struct txn_offsets *t, struct pending_txn *x)
{
    if (x->ending || !list_empty(&x->shares))
        return;
    void *was = map_remove(&t->by_producer, x->key, sizeof x->key);
    assert(was == x);
    heap_free(t->heap, x);
}

static void free_txn_share(struct txn_offsets *t, struct txn_share *share)
{
    share->group->gone++;
    assert(share->group->count >= offsets_count(&share->offsets));
    share->group->count -= offsets_count(&share->offsets);
    list_remove(&share->of_txn);
    list_remove(&share->of_group);
    offsets_deinit(&share->offsets);
    drop_txn_if_empty(t, share->txn);
    heap_free(t->heap, share);
}

void group_txns_deinit(struct group_txns *g)
{
    struct list *i;
    while ((i = list_first(&g->shares)))
        free_txn_share(g->all, txn_share_of_group(i));
}

/* --- what is pending --- */

static struct pending_txn *find_pending_txn(const struct txn_offsets *t, int64_t producer_id)
{
    uint8_t key[8];
    be64_put(key, (uint64_t)producer_id);
    return map_get(&t->by_producer, key, sizeof key);
}

/* NULL: no memory. */
static struct pending_txn *pending_txn_of_producer(struct txn_offsets *t, int64_t producer_id)
{
    struct pending_txn *x = find_pending_txn(t, producer_id);
    if (x || !(x = heap_zalloc(t->heap, sizeof *x)))
        return x;
    be64_put(x->key, (uint64_t)producer_id);
    list_init(&x->shares);
    list_init(&x->link);
    if (!map_put(&t->by_producer, x->key, sizeof x->key, x))
        return x;
    heap_free(t->heap, x);
    return NULL;
}

/* The newer ones are looked at first: the ones that were there before are ending, or of other producers. */
static struct txn_share *find_txn_share(const struct group_txns *g, const struct pending_txn *x)
{
    for (const struct list *i = x->shares.prev; i != &x->shares; i = i->prev) {
        struct txn_share *share = container_of(i, struct txn_share, of_txn);
        if (share->group == g)
            return share;
    }
    return NULL;
}

static struct txn_share *add_txn_share(struct group_txns *g, struct pending_txn *x)
{
    struct txn_share *share = heap_zalloc(g->all->heap, sizeof *share);
    if (!share)
        return NULL;
    share->txn = x;
    share->group = g;
    share->born = ++g->born;
    offsets_init(&share->offsets, g->all->heap);
    list_init(&share->of_txn);
    list_init(&share->of_group);
    list_push(&x->shares, &share->of_txn);
    list_push(&g->shares, &share->of_group);
    return share;
}

enum err group_txns_put(struct group_txns *g, int64_t producer_id, const struct committed *c)
{
    assert(producer_id >= 0);
    struct pending_txn *x = pending_txn_of_producer(g->all, producer_id);
    struct txn_share *had = x ? find_txn_share(g, x) : NULL, *share = had || !x ? had : add_txn_share(g, x);
    uint32_t before = share ? offsets_count(&share->offsets) : 0;
    enum err err = share ? offsets_put(&share->offsets, c) : ERR_NO_MEMORY;
    if (!err)
        g->count += offsets_count(&share->offsets) - before;
    if (err && share && !had)
        free_txn_share(g->all, share);
    else if (err && x)
        drop_txn_if_empty(g->all, x);
    return err;
}

void group_txns_remove(struct group_txns *g, struct kview topic, int32_t partition)
{
    for (struct list *i = g->shares.next; i != &g->shares; i = i->next) {
        struct offsets *o = &txn_share_of_group(i)->offsets;
        uint32_t before = offsets_count(o);
        offsets_remove(o, topic, partition);
        g->count -= before - offsets_count(o);
    }
}

bool group_txns_pending(const struct group_txns *g, struct kview topic, int32_t partition, uint32_t *out_looked)
{
    bool found = false;
    uint32_t looked = 0;
    for (struct list *i = g->shares.next; i != &g->shares && !found; i = i->next, looked++)
        found = offsets_get(&txn_share_of_group(i)->offsets, topic, partition);
    *out_looked = looked;
    return found;
}

/* The share where the cursor is, or the next one if that has gone; NULL: there is none. */
static struct txn_share *share_at_cursor(const struct group_txns *g, struct group_txns_cursor *c)
{
    struct list *i = c->share && c->gone == g->gone ? &c->share->of_group : g->shares.next;
    while (i != &g->shares && txn_share_of_group(i)->born < c->born)
        i = i->next;
    c->gone = g->gone;
    c->share = i == &g->shares ? NULL : txn_share_of_group(i);
    if (c->share && c->share->born > c->born) {
        c->born = c->share->born;
        c->at = 0;
    }
    return c->share;
}

const struct committed *group_txns_next(const struct group_txns *g, struct group_txns_cursor *c)
{
    struct txn_share *share;
    while ((share = share_at_cursor(g, c))) {
        const struct committed *found = offsets_next(&share->offsets, &c->at);
        if (found)
            return found;
        c->born++;
        c->at = 0;
    }
    return NULL;
}

/* --- the end of a transaction --- */

struct pending_txn *txn_offsets_end(struct txn_offsets *t, int64_t producer_id, bool commit)
{
    struct pending_txn *x = find_pending_txn(t, producer_id);
    if (!x)
        return NULL;
    assert(!x->ending);
    map_remove(&t->by_producer, x->key, sizeof x->key);
    x->ending = true;
    x->commit = commit;
    list_push(&t->ending, &x->link);
    return x;
}

struct txn_share *txn_offsets_ending_share(struct txn_offsets *t, struct pending_txn *x)
{
    struct list *i = list_first(&x->shares);
    assert(x->ending);
    if (i)
        return container_of(i, struct txn_share, of_txn);
    list_remove(&x->link);
    heap_free(t->heap, x);
    return NULL;
}

enum settled txn_share_settle(struct txn_offsets *t, struct txn_share *share)
{
    uint32_t before = share->settled;
    assert(share->txn->ending);
    const struct committed *c = offsets_next(&share->offsets, &share->settled);
    if (!c) {
        free_txn_share(t, share);
        return SETTLED_ALL;
    }
    if (!share->txn->commit) {
        offsets_remove(&share->offsets, c->topic, c->partition);
    } else if (offsets_move(share->group->counting, &share->offsets, c)) {
        share->settled = before;
        return SETTLED_NO_MEMORY;
    }
    share->group->count--;
    return SETTLED_ONE;
}

void group_txns_check(const struct group_txns *g)
{
    uint64_t born = 0;
    uint32_t count = 0;
    for (struct list *i = g->shares.next; i != &g->shares; i = i->next) {
        const struct txn_share *share = txn_share_of_group(i);
        uint32_t cursor = 0;
        const struct committed *c;
        assert(share->group == g);
        assert(share->born > born);
        assert(share->born <= g->born);
        assert(share->txn->ending == list_linked(&share->txn->link));
        assert(share->txn->ending ||
               map_get(&g->all->by_producer, share->txn->key, sizeof share->txn->key) == share->txn);
        while ((c = offsets_next(&share->offsets, &cursor)))
            assert(offsets_get(&share->offsets, c->topic, c->partition) == c);
        born = share->born;
        count += offsets_count(&share->offsets);
    }
    assert(count == g->count);
}
