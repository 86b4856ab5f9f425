/* What is written of groups: commits, group records, and what goes (deletion, expiry, topics that are gone). Each kind of write
 * gathers its records and applies them when they are durable; the rest is the coordinator's log's. */
#include "net/group/group_log.h"
#include "core/log.h"
#include "net/group/records.h"
#include "net/limits.h"

/* A topic that is gone: its offsets below `position` are forgotten. */
struct group_forget {
    struct coord_sweep sweep;
    struct group_log *log;
    int64_t position;
    struct kview topic; /* in this block */
};

static struct group_write *group_write_of(const struct coord_write *w)
{
    return container_of(w, struct group_write, coord);
}

/* --- commits --- */

static const struct committed *commit_at(const struct group_write *w, uint32_t at)
{
    uint32_t commits = (uint32_t)w->commit_count;
    return at < commits ? &w->commits[at] : &w->removed[at - commits];
}

static uint32_t gather_commits(struct coord_write *cw, struct record_batch *b)
{
    const struct group_write *w = group_write_of(cw);
    uint32_t commits = (uint32_t)w->commit_count, count = commits + (uint32_t)w->removed_count;
    for (; cw->at < count; cw->at++) {
        const struct committed *c = commit_at(w, cw->at);
        if (!coord_write_takes(cw, b, record_offset_bytes(cw->entry->id, c)))
            return 0;
        if (!(cw->at < commits ? record_put_offset : record_put_offset_gone)(b, cw->entry->id, c))
            return 0;
    }
    cw->last = true;
    return 0;
}

static uint64_t likely_commits_bytes(const struct coord_write *cw)
{
    const struct group_write *w = group_write_of(cw);
    uint32_t count = (uint32_t)w->commit_count + (uint32_t)w->removed_count;
    uint64_t bytes = 0;
    for (uint32_t at = cw->at; at < count && bytes < cw->log->batch_bytes; at++)
        bytes += record_offset_bytes(cw->entry->id, commit_at(w, at));
    return bytes;
}

static enum err apply_commit(const struct group_write *w, const struct committed *c)
{
    struct group_entry *e = w->entry;
    group_log_force_memory(group_entry_log(e), true);
    bool pending = w->txn && !PLANTED(pending_offsets_visible);
    enum err err = pending ? group_txns_put(&e->txns, w->txn->of.producer_id, c) : offsets_put(&e->offsets, c);
    group_log_force_memory(group_entry_log(e), false);
    return err;
}

static enum err apply_commits(struct coord_write *cw)
{
    const struct group_write *w = group_write_of(cw);
    for (uint32_t at = cw->batch_at; at < cw->at; at++) {
        struct committed c = *commit_at(w, at);
        c.position = cw->append.base_offset + (at - cw->batch_at);
        if (at >= (uint32_t)w->commit_count)
            group_entry_remove_offset(w->entry, c.topic, c.partition);
        else if (apply_commit(w, &c))
            return ERR_NO_MEMORY;
    }
    return ERR_NONE;
}

/* --- a group's record --- */

static uint32_t gather_group_record(struct coord_write *cw, struct record_batch *b)
{
    struct kview record = group_view(group_write_of(cw)->record);
    cw->last = coord_write_takes(cw, b, record_group_record_bytes(cw->entry->id, record)) &&
               record_put_group(b, cw->entry->id, record);
    return 0;
}

static uint64_t likely_group_record_bytes(const struct coord_write *cw)
{
    return record_group_record_bytes(cw->entry->id, group_view(group_write_of(cw)->record));
}

static enum err apply_group_record(struct coord_write *cw)
{
    struct group_write *w = group_write_of(cw);
    group_entry_set_record(w->entry, w->record);
    w->record = (struct group_text){NULL, -1};
    return ERR_NONE;
}

/* --- what goes --- */

/* Kafka's conditions for groups of the classic protocol. False: these offsets do not expire. */
static bool offset_expires_from(struct group *g, const struct committed *c, int64_t *out_ms)
{
    bool simple = g->protocol_type.n <= 0;
    *out_ms = c->commit_ms;
    if (simple)
        return true;
    if (g->state == GROUP_EMPTY) {
        if (g->state_since_ms >= 0) /* older records do not have it */
            *out_ms = g->state_since_ms;
        return true;
    }
    return group_reads_topics(g) && g->state == GROUP_STABLE && !group_subscribed(g, c->topic);
}

static bool offset_expired(const struct coord_expiry *x, struct group *g, const struct committed *c)
{
    int64_t from_ms;
    if (!offset_expires_from(g, c, &from_ms))
        return false;
    if (c->expire_ms >= 0)
        return x->wall_ms >= c->expire_ms;
    return x->wall_ms - from_ms >= x->after_ms;
}

static bool is_topic_gone(const struct group_log *l, struct kview topic)
{
    return !catalog_by_name(&store_of(l->coord.shard)->catalog, topic.at, (size_t)topic.n);
}

/* What is pending does not expire, nor what counts until it is settled. */
static bool expiry_removes_offset(const struct group_write *w, const struct committed *c, bool pending)
{
    const struct group_log *l = group_entry_log(w->entry);
    uint32_t looked;
    if (is_topic_gone(l, c->topic))
        return true;
    return !pending && offset_expired(&l->expiry, w->entry->group, c) &&
           !group_txns_pending(&w->entry->txns, c->topic, c->partition, &looked);
}

static bool removes_offset(const struct group_write *w, const struct committed *c, bool pending)
{
    const struct group_forget *f = NULL;
    switch (w->kind) {
    case GROUP_WRITE_DELETE: return true;
    case GROUP_WRITE_EXPIRE: return expiry_removes_offset(w, c, pending);
    case GROUP_WRITE_FORGET:
        f = container_of(w->coord.sweep, struct group_forget, sweep);
        return c->position < f->position && kview_same(c->topic, f->topic);
    case GROUP_WRITE_COMMITS:
    case GROUP_WRITE_RECORD: break;
    }
    return false;
}

/* Somebody who waits for this group to write to it, or who is about to join, keeps it until the next time. */
static bool removes_group(const struct group_write *w)
{
    struct group_entry *e = w->entry;
    if (w->kind == GROUP_WRITE_DELETE)
        return true;
    if (w->kind != GROUP_WRITE_EXPIRE || e->group->state != GROUP_EMPTY)
        return false;
    if (e->group->pending_count > 0 || !list_empty(&e->coord.held) || list_linked(&e->lost_link))
        return false;
    if (group_txns_open(&e->txns))
        return false;
    return group_delete(e->group, group_entry_log(e)->expiry.wall_ms) == KERR_NONE;
}

static bool put_offset_tombstone(struct group_write *w, struct record_batch *b, const struct committed *c)
{
    struct kview id = w->coord.entry->id;
    return coord_write_takes(&w->coord, b, record_offset_bytes(id, c)) && record_put_offset_gone(b, id, c);
}

/* The group's own tombstone stands last: a kill before it leaves a group with fewer offsets, never offsets without their group. */
static void gather_group_tombstone(struct group_write *w, struct record_batch *b)
{
    static const struct kview none = {NULL, -1};
    struct coord_write *cw = &w->coord;
    uint32_t left = offsets_count(&w->entry->offsets) - w->gone_count;
    if (left == 0 && !cw->takes_entry)
        cw->takes_entry = removes_group(w);
    cw->last = true;
    if (!cw->takes_entry || w->entry->record.n < 0)
        return;
    cw->last = coord_write_takes(cw, b, record_group_record_bytes(cw->entry->id, none)) &&
               record_put_group(b, cw->entry->id, none);
}

/* Of those that are pending. They come first: what a marker makes count meanwhile is found among those that count. False: there are more. */
static bool gather_pending_tombstones(struct group_write *w, struct record_batch *b, uint32_t *looked)
{
    for (; *looked < COORD_SCAN_MAX; ++*looked) {
        struct group_txns_cursor before = w->pending;
        const struct committed *c = group_txns_next(&w->entry->txns, &w->pending);
        if (!c)
            return true;
        if (removes_offset(w, c, true) && !put_offset_tombstone(w, b, c)) {
            w->pending = before;
            return false;
        }
    }
    return false;
}

/* Of those that count; false: there are more. */
static bool gather_counting_tombstones(struct group_write *w, struct record_batch *b, uint32_t *looked)
{
    for (; *looked < COORD_SCAN_MAX; ++*looked) {
        uint32_t before = w->coord.at;
        const struct committed *c = offsets_next(&w->entry->offsets, &w->coord.at);
        if (!c)
            return true;
        if (!removes_offset(w, c, false))
            continue;
        if (!put_offset_tombstone(w, b, c)) {
            w->coord.at = before;
            return false;
        }
        w->gone_count++;
    }
    return false;
}

/* A marker may have made a new table of what counts since the last batch: then it begins anew. */
static uint32_t gather_tombstones(struct coord_write *cw, struct record_batch *b)
{
    struct group_write *w = group_write_of(cw);
    uint32_t looked = 0;
    w->pending = w->batch_pending;
    w->gone_count = 0;
    if (w->moved != w->entry->offsets.moved)
        cw->at = 0;
    w->moved = w->entry->offsets.moved;
    if (gather_pending_tombstones(w, b, &looked) && gather_counting_tombstones(w, b, &looked))
        gather_group_tombstone(w, b);
    if (b->count == 0)
        w->batch_pending = w->pending;
    return looked;
}

/* What the batch says, as a load would: since it was gathered, markers before it may have replaced what it was gathered from. */
static enum err apply_tombstones(struct coord_write *cw)
{
    struct group_write *w = group_write_of(cw);
    struct batch_cursor records = {cw->append.records + BATCH_HEADER_BYTES, cw->append.records + cw->append.bytes};
    struct batch_record raw;
    struct record r;
    while (batch_next(&records, &raw)) {
        const char *wrong = record_read((struct kview){raw.key, raw.key_bytes}, (struct kview){NULL, -1}, &r);
        assert(!wrong);
        if (r.kind == RECORD_OFFSET)
            group_entry_remove_offset(w->entry, r.committed.topic, r.committed.partition);
        else
            group_entry_set_record(w->entry, (struct group_text){NULL, -1});
    }
    w->batch_pending = w->pending;
    return ERR_NONE;
}

/* --- the end of a write --- */

/* Of the rest the coordinator's log has made an answer already (net/coord/coord_write.c). */
static enum kerr group_write_answer(const struct group_write *w, enum kerr error)
{
    if (!coord_write_too_large(error))
        return error;
    return w->kind == GROUP_WRITE_RECORD ? KERR_UNKNOWN_SERVER_ERROR : KERR_INVALID_COMMIT_OFFSET_SIZE;
}

static void group_write_done(struct coord_write *cw, enum kerr error)
{
    struct group_write *w = group_write_of(cw);
    if (w->kind == GROUP_WRITE_RECORD)
        heap_free(group_log_of(cw->log)->heap, w->record.at);
    if (!cw->entry)
        w->entry = NULL;
    else if (cw->takes_entry && error && w->entry->group->state == GROUP_DEAD)
        w->entry->group->state = GROUP_EMPTY; /* a group whose deletion failed is as it was */
    w->done(w, group_write_answer(w, error));
}

static void init_group_write(struct group_write *w)
{
    static const struct coord_write_ops commits = {gather_commits, likely_commits_bytes, apply_commits},
                                        record = {gather_group_record, likely_group_record_bytes, apply_group_record},
                                        removal = {gather_tombstones, NULL, apply_tombstones};
    bool shared = w->kind == GROUP_WRITE_COMMITS || w->kind == GROUP_WRITE_RECORD;
    w->pending = w->batch_pending = (struct group_txns_cursor){0};
    w->gone_count = 0;
    w->moved = w->entry->offsets.moved;
    w->coord =
        (struct coord_write){.entry = &w->entry->coord, .txn = w->txn, .alone = !shared, .done = group_write_done};
    w->coord.ops = w->kind == GROUP_WRITE_COMMITS ? &commits : shared ? &record : &removal;
}

/* A commit of what the group has not yet committed, or what will be pending, while memory is short. */
static bool commits_too_much(const struct group_log *l, const struct group_write *w)
{
    const struct heap_meter *m = l->rules->memory;
    if (w->kind != GROUP_WRITE_COMMITS || !m || m->used_bytes <= m->max_bytes / 4 * 3)
        return false;
    for (int32_t i = 0; i < w->commit_count; i++)
        if (w->txn || !offsets_get(&w->entry->offsets, w->commits[i].topic, w->commits[i].partition))
            return true;
    return false;
}

/* Nothing is written to a group that is going but what sees to its going. */
void group_log_write(struct group_log *l, struct group_write *w)
{
    assert(w->kind != GROUP_WRITE_EXPIRE && w->kind != GROUP_WRITE_FORGET);
    assert(!w->txn || (w->kind == GROUP_WRITE_COMMITS && w->removed_count == 0));
    assert(w->kind != GROUP_WRITE_DELETE || w->entry->group->state == GROUP_DEAD);
    init_group_write(w);
    bool going = !w->coord.alone && w->entry->group->state == GROUP_DEAD;
    if (l->coord.state == COORD_LOG_READY && (going || commits_too_much(l, w)))
        coord_write_refuse(&l->coord, &w->coord, KERR_COORDINATOR_NOT_AVAILABLE);
    else
        coord_write_start(&l->coord, &w->coord);
}

/* --- group records --- */

static void group_record_written(struct group_write *w, enum kerr error)
{
    struct group_entry *e = w->entry;
    struct group_log *l = group_log_of(w->coord.log);
    uint32_t serial = w->serial;
    heap_free(l->coord.heap, w);
    if (!e || l->coord.closing)
        return;
    group_persisted(e->group, serial, error, group_log_now(&l->coord), &l->hooks->emit);
    l->hooks->changed(e);
}

/* The group as it is now, encoded. */
static enum err encode_group_record(const struct group_entry *e, struct group_text *out)
{
    struct heap *heap = e->coord.log->heap;
    struct group_metadata_value v;
    size_t bytes = ((size_t)e->group->member_count + 1) * sizeof(struct member_metadata);
    uint8_t *arrays = heap_alloc(heap, bytes);
    if (!arrays)
        return ERR_NO_MEMORY;
    struct arena arena = arena_of(arrays, bytes);
    bool good = group_to_value(e->group, &arena, &v);
    assert(good); /* the arena is as large as it takes */
    uint32_t n = record_group_bytes(&v);
    group_log_force_memory(group_entry_log(e), true); /* what the group has is there already */
    uint8_t *at = heap_alloc(group_entry_log(e)->heap, n);
    group_log_force_memory(group_entry_log(e), false);
    if (at)
        record_group_encode(&v, at, n);
    heap_free(heap, arrays);
    *out = (struct group_text){at, (int32_t)n};
    return at ? ERR_NONE : ERR_NO_MEMORY;
}

static void lose_group_record(struct group_entry *e, uint32_t serial)
{
    struct group_log *l = group_entry_log(e);
    e->lost_to = serial;
    if (!list_linked(&e->lost_link)) {
        e->lost_from = serial;
        list_push(&l->lost, &e->lost_link);
    }
    shard_defer(l->coord.shard, &l->tell_lost);
}

void group_log_persist(struct group_entry *e, uint32_t serial)
{
    struct group_log *l = group_entry_log(e);
    struct group_write *w = heap_alloc(l->coord.heap, sizeof *w);
    if (!w) {
        lose_group_record(e, serial);
        return;
    }
    *w = (struct group_write){.entry = e, .kind = GROUP_WRITE_RECORD, .serial = serial, .done = group_record_written};
    if (encode_group_record(e, &w->record)) {
        heap_free(l->coord.heap, w);
        lose_group_record(e, serial);
        return;
    }
    group_log_write(l, w);
}

/* --- sweeps --- */

static void removal_written(struct group_write *w, enum kerr error)
{
    (void)error; /* the sweep's */
    heap_free(w->coord.log->heap, w);
}

static struct coord_write *removal_of_entry(struct coord_entry *ce, enum group_write_kind kind)
{
    struct group_write *w = heap_zalloc(ce->log->heap, sizeof *w);
    if (!w)
        return NULL;
    w->entry = group_entry_of(ce);
    w->kind = kind;
    w->record.n = -1;
    w->done = removal_written;
    init_group_write(w);
    return &w->coord;
}

static struct coord_write *expire_entry(struct coord_sweep *s, struct coord_entry *e)
{
    assert(s == &group_log_of(e->log)->expiry.sweep);
    return removal_of_entry(e, GROUP_WRITE_EXPIRE);
}

void group_log_expire(struct group_log *l, int64_t wall_ms, int64_t retention_ms)
{
    coord_log_expire(&l->coord, &l->expiry, expire_entry, wall_ms, retention_ms);
}

static struct coord_write *forget_in_entry(struct coord_sweep *s, struct coord_entry *e)
{
    assert(s->write == forget_in_entry);
    return removal_of_entry(e, GROUP_WRITE_FORGET);
}

static void forget_over(struct coord_sweep *s, enum kerr error)
{
    struct group_forget *f = container_of(s, struct group_forget, sweep);
    (void)error; /* expiry will find what is left */
    heap_free(f->log->coord.heap, f);
}

void group_log_forget_topic(struct group_log *l, struct kview topic)
{
    assert(topic.n > 0);
    if (l->coord.state == COORD_LOG_FAILED)
        return;
    struct group_forget *f = heap_zalloc(l->coord.heap, sizeof *f + (size_t)topic.n);
    if (!f) { /* expiry will find them */
        log_warn("offsets of a deleted topic not forgotten yet", "partition=" GROUP_TOPIC "-%d why=\"no memory\"",
                 l->coord.index);
        return;
    }
    f->log = l;
    memcpy(f + 1, topic.at, (size_t)topic.n);
    f->topic = (struct kview){(const uint8_t *)(f + 1), topic.n};
    f->position = partition_facts(l->coord.partition).end_offset;
    f->sweep = (struct coord_sweep){.what = "forgetting a topic", .write = forget_in_entry, .over = forget_over};
    coord_log_sweep(&l->coord, &f->sweep);
}
