/* Groups as what a coordinator's log keeps: entries, how they are loaded, how they go. */
#include "net/group/group_log.h"
#include "core/clock.h"
#include "net/group/records.h"
#include "net/limits.h"

/* --- what an entry holds --- */

void group_entry_set_record(struct group_entry *e, struct group_text record)
{
    heap_free(group_entry_log(e)->heap, e->record.at);
    e->record = record;
}

void group_entry_remove_offset(struct group_entry *e, struct kview topic, int32_t partition)
{
    offsets_remove(&e->offsets, topic, partition);
    group_txns_remove(&e->txns, topic, partition);
}

/* --- entries --- */

static struct group_entry *add_group_entry(struct group_log *l, struct kview id)
{
    struct heap *heap = l->heap;
    struct group_entry *e = heap_zalloc(heap, sizeof *e + (size_t)id.n);
    if (!e)
        return NULL;
    uint8_t *name = (uint8_t *)(e + 1);
    if (id.n > 0)
        memcpy(name, id.at, (size_t)id.n);
    e->coord.id = (struct kview){name, id.n};
    e->record.n = -1;
    offsets_init(&e->offsets, heap);
    group_txns_init(&e->txns, &l->txns, &e->offsets);
    list_init(&e->lost_link);
    e->group = group_open(heap, l->rules, id, clock_wall_ms());
    if (e->group && !coord_entry_add(&l->coord, &e->coord))
        return e;
    if (e->group)
        group_close(e->group);
    heap_free(heap, e);
    return NULL;
}

static bool group_entry_empty(const struct coord_entry *ce)
{
    const struct group_entry *e = group_entry_of(ce);
    return e->group->member_count == 0 && e->group->pending_count == 0 && offsets_count(&e->offsets) == 0 &&
           group_txns_count(&e->txns) == 0 && e->record.n < 0 && !list_linked(&e->lost_link);
}

static void make_group_known(struct group_entry *e)
{
    e->made = true;
    group_entry_log(e)->hooks->made(e);
}

static void make_group_unknown(struct group_entry *e)
{
    if (!e->made)
        return;
    e->made = false;
    group_entry_log(e)->hooks->going(e);
}

static void free_group_entry(struct coord_entry *ce)
{
    struct group_entry *e = group_entry_of(ce);
    struct heap *heap = group_entry_log(e)->heap;
    group_entry_set_record(e, (struct group_text){NULL, -1});
    list_remove(&e->lost_link);
    make_group_unknown(e);
    group_txns_deinit(&e->txns);
    offsets_deinit(&e->offsets);
    group_close(e->group);
    heap_free(heap, e);
}

static void unload_group_entry(struct coord_entry *ce)
{
    struct group_entry *e = group_entry_of(ce);
    list_remove(&e->lost_link);
    if (!e->made)
        return;
    group_unload(e->group, KERR_NOT_COORDINATOR, &group_entry_log(e)->hooks->emit);
    make_group_unknown(e);
}

struct group_entry *group_log_find(const struct group_log *l, struct kview id)
{
    struct coord_entry *e = coord_log_find(&l->coord, id);
    return e ? group_entry_of(e) : NULL;
}

struct group_entry *group_log_make(struct group_log *l, struct kview id)
{
    if (l->coord.state != COORD_LOG_READY || l->coord.by_id.count >= GROUPS_MAX || group_memory_is_scarce(l->rules))
        return NULL;
    struct group_entry *e = add_group_entry(l, id);
    if (e)
        make_group_known(e);
    return e;
}

void group_log_drop_if_empty(struct group_entry *e)
{
    coord_entry_drop_if_empty(&e->coord);
}

struct group_now group_log_now(const struct coord_log *l)
{
    return (struct group_now){shard_lived_ns(l->shard), clock_wall_ms()};
}

/* --- loading --- */

/* NULL: no memory. */
static struct group_entry *entry_to_load(struct group_log *l, struct kview id)
{
    struct coord_entry *e = coord_log_get(&l->coord, id);
    return e ? group_entry_of(e) : add_group_entry(l, id);
}

/* `producer_id`: whose transaction it belongs to; -1: none. A tombstone counts at once, as in Kafka. */
static enum coord_replay replay_offset(struct group_log *l, const struct record *r, int64_t producer_id)
{
    if (r->tombstone) {
        struct coord_entry *e = coord_log_get(&l->coord, r->group);
        if (e)
            group_entry_remove_offset(group_entry_of(e), r->committed.topic, r->committed.partition);
        return COORD_REPLAYED;
    }
    struct group_entry *e = entry_to_load(l, r->group);
    if (!e)
        return COORD_NO_MEMORY;
    enum err err = producer_id < 0 ? offsets_put(&e->offsets, &r->committed)
                                   : group_txns_put(&e->txns, producer_id, &r->committed);
    return err ? COORD_NO_MEMORY : COORD_REPLAYED;
}

static enum coord_replay replay_group(struct group_log *l, const struct record *r)
{
    struct group_text record = {NULL, -1};
    if (r->tombstone) {
        struct coord_entry *e = coord_log_get(&l->coord, r->group);
        if (e)
            group_entry_set_record(group_entry_of(e), record);
        return COORD_REPLAYED;
    }
    struct group_entry *e = entry_to_load(l, r->group);
    if (!e || !group_copy(l->heap, r->value, &record))
        return COORD_NO_MEMORY;
    group_entry_set_record(e, record);
    return COORD_REPLAYED;
}

/* What is durable is not refused: it counts in the memory that new groups find. */
void group_log_force_memory(struct group_log *l, bool forced)
{
    if (l->hooks->memory)
        l->hooks->memory->forced = forced;
}

static enum coord_replay replay_known_record(struct group_log *l, const struct record *r, int64_t producer_id)
{
    enum coord_replay done = COORD_UNKNOWN;
    group_log_force_memory(l, true);
    switch (r->kind) {
    case RECORD_UNKNOWN: break;
    case RECORD_OFFSET: done = replay_offset(l, r, producer_id); break;
    case RECORD_GROUP: done = replay_group(l, r); break;
    }
    group_log_force_memory(l, false);
    return done;
}

static enum coord_replay replay_group_record(struct coord_log *cl, struct coord_record *raw)
{
    struct group_log *l = group_log_of(cl);
    struct record r;
    raw->why = record_read(raw->key, raw->value, &r);
    if (raw->why)
        return COORD_MALFORMED;
    r.committed.position = raw->offset;
    return replay_known_record(l, &r, raw->transactional ? raw->producer_id : -1);
}

static enum err restore_group(struct group_entry *e)
{
    struct heap *heap = e->coord.log->heap;
    struct group_metadata_value v;
    size_t bytes = record_group_arena_bytes(group_view(e->record));
    uint8_t *arrays = heap_alloc(heap, bytes);
    struct arena arena = arena_of(arrays, bytes);
    if (!arrays)
        return ERR_NO_MEMORY;
    bool good = record_group_value(group_view(e->record), &arena, &v);
    enum err err = good ? group_from_value(e->group, &v, group_log_now(e->coord.log)) : ERR_CORRUPT;
    heap_free(heap, arrays);
    return err;
}

/* Its record does not count: what is left are its offsets. */
static enum err forget_group_record(struct group_entry *e)
{
    struct group_log *l = group_entry_log(e);
    struct group *fresh = group_open(l->heap, l->rules, e->coord.id, clock_wall_ms());
    if (!fresh)
        return ERR_NO_MEMORY;
    group_close(e->group);
    e->group = fresh;
    group_entry_set_record(e, (struct group_text){NULL, -1});
    return ERR_NONE;
}

static enum coord_replay group_entry_loaded(struct coord_entry *ce, uint32_t *out_units, const char **out_why)
{
    struct group_entry *e = group_entry_of(ce);
    *out_units += e->record.n > 0 ? (uint32_t)e->record.n / 16 : 0;
    group_log_force_memory(group_entry_log(e), true);
    enum err err = e->record.n >= 0 ? restore_group(e) : ERR_NONE;
    bool malformed = err == ERR_CORRUPT;
    if (malformed)
        err = forget_group_record(e);
    group_log_force_memory(group_entry_log(e), false);
    if (err)
        return COORD_NO_MEMORY;
    if (!group_entry_empty(ce))
        make_group_known(e);
    *out_why = "a group that makes no sense";
    return malformed ? COORD_MALFORMED : COORD_REPLAYED;
}

/* --- the log --- */

static void check_group_entry(const struct coord_entry *ce)
{
    const struct group_entry *e = group_entry_of(ce);
    uint32_t cursor = 0, count = 0;
    const struct committed *c;
    assert(kview_same(group_view(e->group->id), ce->id));
    assert(!group_check(e->group));
    while ((c = offsets_next(&e->offsets, &cursor))) {
        assert(offsets_get(&e->offsets, c->topic, c->partition) == c);
        count++;
    }
    assert(count == offsets_count(&e->offsets));
    group_txns_check(&e->txns);
}

static void group_log_is_ready(struct coord_log *l)
{
    group_log_of(l)->hooks->ready(group_log_of(l));
}

static void free_group_log(struct coord_log *cl)
{
    struct group_log *l = group_log_of(cl);
    assert(list_empty(&l->lost));
    list_remove(&l->tell_lost.link);
    txn_offsets_deinit(&l->txns);
    heap_free(cl->heap, l);
}

static const struct coord_kind group_kind = {
    .topic = GROUP_TOPIC,
    .replay = replay_group_record,
    .end_txn = group_log_end_txn,
    .loaded = group_entry_loaded,
    .empty = group_entry_empty,
    .unload = unload_group_entry,
    .free_entry = free_group_entry,
    .ready = group_log_is_ready,
    .free_log = free_group_log,
    .check = check_group_entry,
};

/* group_persisted with an error, at the end of the turn. */
static void tell_lost_records(struct shard_defer *d)
{
    struct group_log *l = container_of(d, struct group_log, tell_lost);
    struct group_now now = group_log_now(&l->coord);
    struct list due, *i;
    list_init(&due);
    list_splice(&due, &l->lost);
    while ((i = list_pop(&due))) {
        struct group_entry *e = container_of(i, struct group_entry, lost_link);
        uint32_t serial = e->lost_from, left = e->lost_to - e->lost_from + 1;
        for (; left > 0; left--, serial++)
            group_persisted(e->group, serial, KERR_COORDINATOR_NOT_AVAILABLE, now, &l->hooks->emit);
        l->hooks->changed(e);
    }
}

struct group_log *group_log_open(struct shard *s, struct partition *p, int32_t index, const struct group_rules *rules,
                                 const struct group_log_hooks *hooks)
{
    assert(hooks->made && hooks->going && hooks->changed && hooks->ready && hooks->emit.act);
    struct group_log *l = heap_zalloc(s->heap, sizeof *l);
    if (!l)
        return NULL;
    l->rules = rules;
    l->hooks = hooks;
    l->heap = hooks->heap ? hooks->heap : s->heap;
    list_init(&l->lost);
    txn_offsets_init(&l->txns, l->heap);
    shard_defer_init(&l->tell_lost, tell_lost_records);
    l->coord = (struct coord_log){
        .shard = s, .heap = s->heap, .partition = p, .index = index, .kind = &group_kind, .pace = hooks->pace};
    if (coord_log_open(&l->coord)) {
        heap_free(s->heap, l);
        return NULL;
    }
    return l;
}
