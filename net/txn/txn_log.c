/* Transactional ids as what a coordinator's log keeps: entries, how they are loaded, written, and how they go. */
#include "net/txn/txn_log.h"
#include "core/clock.h"
#include "net/limits.h"
#include "net/txn/txn_records.h"

/* --- entries --- */

static struct txn_entry *add_txn_entry(struct txn_log *l, struct kview id, int64_t producer_id, int32_t timeout_ms,
                                       int64_t now_ms)
{
    struct txn_entry *e = heap_zalloc(l->heap, sizeof *e + (size_t)id.n);
    if (!e)
        return NULL;
    uint8_t *name = (uint8_t *)(e + 1);
    if (id.n > 0)
        memcpy(name, id.at, (size_t)id.n);
    e->coord.id = (struct kview){name, id.n};
    e->record.n = -1;
    txn_init(&e->txn, l->heap, producer_id, timeout_ms, now_ms);
    list_init(&e->asking);
    list_init(&e->waiting);
    if (!coord_entry_add(&l->coord, &e->coord))
        return e;
    txn_deinit(&e->txn);
    heap_free(l->heap, e);
    return NULL;
}

static void make_txn_known(struct txn_entry *e)
{
    e->known = true;
    txn_entry_log(e)->hooks->made(e);
}

static void make_txn_unknown(struct txn_entry *e)
{
    if (!e->known)
        return;
    e->known = false;
    txn_entry_log(e)->hooks->going(e);
}

/* `start_ms`: when it began, by a wall clock that may have been another one. */
static void bound_open_txn(struct txn_entry *e, int64_t start_ms, int64_t wall_ms)
{
    assert(e->txn.now.state == TXN_ONGOING);
    int64_t most_ms = e->txn.now.timeout_ms > 0 ? e->txn.now.timeout_ms : 0;
    int64_t left_ms = start_ms >= wall_ms             ? most_ms
                      : start_ms <= wall_ms - most_ms ? 0
                                                      : most_ms - (wall_ms - start_ms);
    assert(left_ms >= 0 && left_ms <= most_ms);
    e->due_ns = shard_lived_ns(e->coord.log->shard) + (uint64_t)left_ms * NS_PER_MS;
}

bool txn_entry_overdue(const struct txn_entry *e)
{
    const struct txn *t = &e->txn;
    return !t->pending && t->now.state == TXN_ONGOING && shard_lived_ns(e->coord.log->shard) > e->due_ns;
}

static bool txn_entry_empty(const struct coord_entry *ce)
{
    const struct txn_entry *e = txn_entry_of(ce);
    return !e->recorded && !e->txn.pending;
}

static void unload_txn_entry(struct coord_entry *ce)
{
    make_txn_unknown(txn_entry_of(ce));
}

static void free_txn_entry(struct coord_entry *ce)
{
    struct txn_entry *e = txn_entry_of(ce);
    struct heap *heap = txn_entry_log(e)->heap;
    make_txn_unknown(e);
    assert(list_empty(&e->asking));
    assert(list_empty(&e->waiting));
    assert(e->record.n < 0);
    txn_deinit(&e->txn);
    heap_free(heap, e);
}

struct txn_entry *txn_log_find(const struct txn_log *l, struct kview id)
{
    struct coord_entry *e = coord_log_find(&l->coord, id);
    return e ? txn_entry_of(e) : NULL;
}

struct txn_entry *txn_log_make(struct txn_log *l, struct kview id, int64_t producer_id, int32_t timeout_ms,
                               int64_t now_ms)
{
    if (l->coord.state != COORD_LOG_READY || l->coord.by_id.count >= TXN_IDS_MAX)
        return NULL;
    struct txn_entry *e = add_txn_entry(l, id, producer_id, timeout_ms, now_ms);
    if (e)
        make_txn_known(e);
    return e;
}

void txn_log_drop_if_empty(struct txn_entry *e)
{
    coord_entry_drop_if_empty(&e->coord);
}

/* --- loading --- */

/* What is durable is not refused: it counts in the memory that new ids find. */
static void force_txn_memory(const struct txn_log *l, bool forced)
{
    if (l->hooks->memory)
        l->hooks->memory->forced = forced;
}

static enum coord_replay load_txn_values(struct txn_log *l, const struct txn_record *r)
{
    struct coord_entry *ce = coord_log_get(&l->coord, r->id);
    struct txn_entry *e = ce ? txn_entry_of(ce) : add_txn_entry(l, r->id, r->values.producer_id, 0, 0);
    if (!e)
        return COORD_NO_MEMORY;
    txn_parts_deinit(&e->txn.parts);
    if (txn_record_parts(r, &e->txn.parts))
        return COORD_NO_MEMORY;
    e->txn.now = r->values;
    e->recorded = true;
    return COORD_REPLAYED;
}

static enum coord_replay load_txn_tombstone(struct txn_log *l, const struct txn_record *r)
{
    struct coord_entry *ce = coord_log_get(&l->coord, r->id);
    if (ce) {
        struct txn_entry *e = txn_entry_of(ce);
        txn_parts_deinit(&e->txn.parts);
        e->txn.now.state = TXN_EMPTY;
        e->recorded = false;
    }
    return COORD_REPLAYED;
}

static enum coord_replay replay_known_txn(struct txn_log *l, const struct txn_record *r)
{
    force_txn_memory(l, true);
    enum coord_replay done = r->tombstone ? load_txn_tombstone(l, r) : load_txn_values(l, r);
    force_txn_memory(l, false);
    return done;
}

static size_t txn_record_arena_max(struct kview value)
{
    return TXN_RECORD_ROOM + (value.n > 0 ? (size_t)value.n * TXN_RECORD_ARENA : 0);
}

static enum coord_replay replay_txn_record(struct coord_log *cl, struct coord_record *raw)
{
    struct txn_log *l = txn_log_of(cl);
    struct txn_record r;
    struct arena arena;
    if (raw->transactional)
        return COORD_TRANSACTIONAL;
    arena_init(&arena, cl->heap, txn_record_arena_max(raw->value));
    raw->why = txn_record_read(raw->key, raw->value, &arena, &r);
    enum coord_replay done = raw->why && arena.refused_bytes ? COORD_NO_MEMORY
                             : raw->why                      ? COORD_MALFORMED
                             : r.known                       ? replay_known_txn(l, &r)
                                                             : COORD_UNKNOWN;
    arena_reset(&arena);
    return done;
}

static enum coord_replay txn_entry_loaded(struct coord_entry *ce, uint32_t *out_units, const char **out_why)
{
    struct txn_entry *e = txn_entry_of(ce);
    *out_why = NULL;
    *out_units += 1 + e->txn.parts.partitions / 16;
    if (e->recorded && e->txn.now.state == TXN_ONGOING)
        bound_open_txn(e, e->txn.now.start_ms, clock_wall_ms());
    if (e->recorded)
        make_txn_known(e);
    return COORD_REPLAYED;
}

/* --- writing --- */

static uint32_t gather_txn_record(struct coord_write *w, struct record_batch *b)
{
    const struct txn_entry *e = container_of(w, struct txn_entry, write);
    w->last =
        coord_write_takes(w, b, txn_record_bytes(e->coord.id, e->record)) && txn_record_put(b, e->coord.id, e->record);
    return 0;
}

static uint64_t likely_txn_record_bytes(const struct coord_write *w)
{
    const struct txn_entry *e = container_of(w, struct txn_entry, write);
    return txn_record_bytes(e->coord.id, e->record);
}

static enum err apply_txn_record(struct coord_write *w)
{
    struct txn_entry *e = container_of(w, struct txn_entry, write);
    bool was_open = e->txn.now.state == TXN_ONGOING;
    txn_apply(&e->txn);
    e->recorded = true;
    if (!was_open && e->txn.now.state == TXN_ONGOING)
        bound_open_txn(e, 0, 0);
    return ERR_NONE;
}

static void free_txn_value(struct txn_entry *e)
{
    heap_free(e->coord.log->heap, (void *)(uintptr_t)e->record.at);
    e->record = (struct kview){NULL, -1};
}

/* Kafka's answer for what is too large; of the rest the coordinator's log has made an answer already. */
static enum kerr txn_write_answer(enum kerr error)
{
    return coord_write_too_large(error) ? KERR_UNKNOWN_SERVER_ERROR : error;
}

static void txn_record_written(struct coord_write *w, enum kerr error)
{
    struct txn_entry *e = container_of(w, struct txn_entry, write);
    assert(w->entry == &e->coord); /* nothing takes an entry that is pending */
    free_txn_value(e);
    if (error)
        txn_drop(&e->txn);
    txn_entry_log(e)->hooks->written(e, txn_write_answer(error));
}

enum err txn_log_write(struct txn_entry *e)
{
    static const struct coord_write_ops ops = {gather_txn_record, likely_txn_record_bytes, apply_txn_record};
    const struct txn_log *l = txn_entry_log(e);
    assert(e->txn.pending);
    assert(e->record.n < 0);
    e->record = txn_record_encode(&e->txn.to, txn_to_parts(&e->txn), l->hooks->level(l->hooks->arg), l->coord.heap);
    if (e->record.n < 0) {
        txn_drop(&e->txn);
        return ERR_NO_MEMORY;
    }
    e->write = (struct coord_write){.entry = &e->coord, .ops = &ops, .done = txn_record_written};
    coord_write_start(e->coord.log, &e->write);
    return ERR_NONE;
}

/* --- expiry --- */

struct txn_removal {
    struct coord_write write;
    bool dying; /* the machine says so: it is DEAD once the tombstone is durable */
};

static bool txn_entry_expired(struct txn_entry *e)
{
    const struct coord_expiry *x = &txn_entry_log(e)->expiry;
    if (!e->recorded || e->txn.now.update_ms > x->wall_ms - x->after_ms)
        return false;
    struct txn_event expire = {.kind = TXN_EXPIRE, .now_ms = x->wall_ms};
    return txn_event(&e->txn, &expire).action == TXN_WRITE;
}

static uint32_t gather_txn_tombstone(struct coord_write *w, struct record_batch *b)
{
    static const struct kview none = {NULL, -1};
    struct txn_removal *r = container_of(w, struct txn_removal, write);
    struct txn_entry *e = txn_entry_of(w->entry);
    r->dying = r->dying || txn_entry_expired(e);
    w->takes_entry = r->dying;
    w->last = !r->dying ||
              (coord_write_takes(w, b, txn_record_bytes(e->coord.id, none)) && txn_record_put(b, e->coord.id, none));
    return 0;
}

static uint64_t likely_txn_tombstone_bytes(const struct coord_write *w)
{
    return txn_record_bytes(w->entry->id, (struct kview){NULL, -1});
}

/* Where it was not written the id stays, and may be used: those that waited for it are asked again. */
static void txn_removed(struct coord_write *w, enum kerr error)
{
    struct txn_removal *r = container_of(w, struct txn_removal, write);
    struct txn_entry *e = w->entry && r->dying ? txn_entry_of(w->entry) : NULL;
    heap_free(w->log->heap, r);
    if (!e)
        return;
    assert(error); /* else it is gone */
    txn_drop(&e->txn);
    txn_entry_log(e)->hooks->written(e, txn_write_answer(error));
}

static struct coord_write *expire_txn_entry(struct coord_sweep *s, struct coord_entry *e)
{
    static const struct coord_write_ops ops = {gather_txn_tombstone, likely_txn_tombstone_bytes, NULL};
    assert(s == &txn_log_of(e->log)->expiry.sweep);
    struct txn_removal *r = heap_zalloc(e->log->heap, sizeof *r);
    if (!r)
        return NULL;
    r->write = (struct coord_write){.entry = e, .ops = &ops, .alone = true, .done = txn_removed};
    return &r->write;
}

void txn_log_expire(struct txn_log *l, int64_t wall_ms, int64_t expiration_ms)
{
    coord_log_expire(&l->coord, &l->expiry, expire_txn_entry, wall_ms, expiration_ms);
}

/* --- the log --- */

static void check_txn_entry(const struct coord_entry *ce)
{
    const struct txn_entry *e = txn_entry_of(ce);
    txn_check(&e->txn);
    assert(e->record.n < 0 || e->txn.pending);
    assert(list_empty(&e->asking) || e->txn.pending);
}

static void txn_log_is_ready(struct coord_log *l)
{
    txn_log_of(l)->hooks->ready(txn_log_of(l));
}

static void free_txn_log(struct coord_log *cl)
{
    heap_free(cl->heap, txn_log_of(cl));
}

static const struct coord_kind txn_kind = {
    .topic = TXN_TOPIC,
    .replay = replay_txn_record,
    .loaded = txn_entry_loaded,
    .empty = txn_entry_empty,
    .unload = unload_txn_entry,
    .free_entry = free_txn_entry,
    .ready = txn_log_is_ready,
    .free_log = free_txn_log,
    .check = check_txn_entry,
};

struct txn_log *txn_log_open(struct shard *s, struct partition *p, int32_t index, const struct txn_log_hooks *hooks)
{
    assert(hooks->level && hooks->made && hooks->going && hooks->written && hooks->ready);
    struct txn_log *l = heap_zalloc(s->heap, sizeof *l);
    if (!l)
        return NULL;
    l->hooks = hooks;
    l->heap = hooks->heap ? hooks->heap : s->heap;
    l->coord = (struct coord_log){
        .shard = s, .heap = s->heap, .partition = p, .index = index, .kind = &txn_kind, .pace = hooks->pace};
    if (coord_log_open(&l->coord)) {
        heap_free(s->heap, l);
        return NULL;
    }
    return l;
}
