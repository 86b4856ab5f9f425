/* Writes of a group log: whose turn it is, what goes into each batch, and what becomes visible when it is durable.
 *
 *   group_log_write --> held --> begun: batch --> append --> durable: applied --> next batch --> ... --> done
 *                         ^                                    '--> refused --------------------------> done with its error
 *                  a write that is alone is under way, or waits before it
 *
 * Shared writes make their next batch at once; what is alone goes on at the pace, as it may have all of a large group to do. */
#include "core/clock.h"
#include "net/group/group_log_inside.h"

enum {
    SCAN_MAX = 4096,      /* offsets that one step looks at */
    BATCH_BYTES_MIN = 512 /* a topic that takes no more than this holds one record a batch */
};

/* --- whose turn it is --- */

static void step_group_write(struct group_log *l, struct group_write *w)
{
    if (write_alone(w)) {
        list_push(&l->steps, &w->link);
        pace_add(l->hooks->pace, &l->job);
    } else {
        (void)write_step(l, w);
    }
}

static void begin_group_write(struct group_log *l, struct group_write *w)
{
    struct group_entry *e = w->entry;
    assert(!e->alone);
    w->begun = true;
    e->writes++;
    l->writes++;
    e->alone = write_alone(w);
    step_group_write(l, w);
}

static bool may_begin_group_write(const struct group_entry *e, const struct group_write *w)
{
    return !e->alone && (e->writes == 0 || !write_alone(w));
}

static void begin_held_writes(struct group_entry *e)
{
    struct list *i;
    while ((i = list_first(&e->held))) {
        struct group_write *w = container_of(i, struct group_write, link);
        if (!may_begin_group_write(e, w))
            return;
        list_remove(i);
        begin_group_write(e->log, w);
    }
}

void write_over(struct group_log *l, struct group_write *w, enum kerr error)
{
    assert(!list_linked(&w->link));
    w->error = error;
    list_push(&l->over, &w->link);
    log_later(l);
}

void write_refuse_held(struct group_entry *e, enum kerr error)
{
    struct list *i;
    while ((i = list_pop(&e->held)))
        write_over(e->log, container_of(i, struct group_write, link), error);
}

/* Nothing is written to a group that is going but what sees to its going. */
static enum kerr group_write_refusal(const struct group_log *l, const struct group_write *w)
{
    if (l->state != GROUP_LOG_READY)
        return KERR_NOT_COORDINATOR;
    bool theirs = w->kind == GROUP_WRITE_COMMITS || w->kind == GROUP_WRITE_RECORD;
    return theirs && w->entry->group->state == GROUP_DEAD ? KERR_COORDINATOR_NOT_AVAILABLE : KERR_NONE;
}

void write_start(struct group_log *l, struct group_write *w)
{
    struct group_entry *e = w->entry;
    assert(e->log == l);
    w->log = l;
    list_init(&w->link);
    enum kerr error = group_write_refusal(l, w);
    if (error)
        write_over(l, w, error);
    else if (list_empty(&e->held) && may_begin_group_write(e, w))
        begin_group_write(l, w);
    else
        list_push(&e->held, &w->link);
}

/* --- the end --- */

/* A group whose deletion failed is as it was. */
static void revive_group(struct group *g)
{
    if (g->state == GROUP_DEAD)
        g->state = GROUP_EMPTY;
}

static void free_write_batch(struct group_log *l, struct group_write *w)
{
    heap_free(heap_of(l), w->bytes);
    heap_free(heap_of(l), w->gone);
    heap_free(heap_of(l), w->record.at);
    w->bytes = NULL;
    w->gone = NULL;
    w->record = (struct group_text){NULL, -1};
    w->room = 0;
}

static void end_group_write_turn(struct group_log *l, struct group_write *w, enum kerr error)
{
    struct group_entry *e = w->entry;
    e->writes--;
    l->writes--;
    if (write_alone(w))
        e->alone = false;
    if (w->takes_group && !error && !l->closing) {
        write_refuse_held(e, KERR_COORDINATOR_NOT_AVAILABLE);
        w->entry = NULL;
        entry_free(e);
        return;
    }
    if (w->takes_group && error)
        revive_group(e->group);
    begin_held_writes(e);
}

static void conclude_group_write(struct group_log *l, struct group_write *w, enum kerr error)
{
    free_write_batch(l, w);
    if (w->begun)
        end_group_write_turn(l, w, error);
    w->done(w, error);
    if (l->closing)
        log_later(l);
}

/* Those that are refused meanwhile wait for the next turn. */
void write_run_over(struct group_log *l)
{
    const struct list *last = l->over.prev;
    bool more = !list_empty(&l->over);
    while (more) {
        struct list *i = list_pop(&l->over);
        struct group_write *w = container_of(i, struct group_write, link);
        more = i != last;
        conclude_group_write(l, w, w->error);
    }
}

/* --- what goes into a batch --- */

enum item_kind { ITEM_OFFSET, ITEM_OFFSET_GONE, ITEM_RECORD };
struct item {
    enum item_kind kind;
    const struct committed *c;
    struct kview record;
};

static bool put_group_item(struct record_batch *b, const struct group_entry *e, const struct item *i)
{
    switch (i->kind) {
    case ITEM_OFFSET: return record_put_offset(b, id_of(e), i->c);
    case ITEM_OFFSET_GONE: return record_put_offset_gone(b, id_of(e), i->c);
    case ITEM_RECORD: return record_put_group(b, id_of(e), i->record);
    }
    return false;
}

static uint32_t group_item_bytes(const struct group_entry *e, const struct item *i)
{
    return i->kind == ITEM_RECORD ? record_group_record_bytes(id_of(e), i->record)
                                  : record_offset_bytes(id_of(e), i->c);
}

/* Memory for the batch: so much, unless it has as much. */
static enum err reserve_batch_bytes(struct group_log *l, struct group_write *w, struct record_batch *b, uint32_t bytes)
{
    assert(b->count == 0);
    if (w->room < bytes) {
        heap_free(heap_of(l), w->bytes);
        w->bytes = heap_alloc(heap_of(l), bytes);
        w->room = w->bytes ? bytes : 0;
        if (!w->bytes)
            return ERR_NO_MEMORY;
    }
    record_batch_begin(b, w->bytes, w->room);
    return ERR_NONE;
}

/* False: the batch is full, or there is no memory for its first record. A first one that is larger than any batch
 * gets one to itself; the partition says whether it takes that. */
static bool add_group_item(struct group_log *l, struct group_write *w, struct record_batch *b, const struct item *i)
{
    if (b->count == GROUP_BATCH_RECORDS || (b->count > 0 && l->batch_bytes <= BATCH_BYTES_MIN))
        return false;
    if (b->start && put_group_item(b, w->entry, i))
        return true;
    if (b->count > 0 || reserve_batch_bytes(l, w, b, BATCH_HEADER_BYTES + group_item_bytes(w->entry, i)))
        return false;
    bool fits = put_group_item(b, w->entry, i);
    assert(fits);
    return fits;
}

/* The memory that is likely to do. Shared writes are mostly small, and there may be many. */
static uint32_t likely_batch_bytes(const struct group_log *l, const struct group_write *w)
{
    uint64_t bytes = BATCH_HEADER_BYTES;
    if (write_alone(w))
        return l->batch_bytes;
    if (w->kind == GROUP_WRITE_RECORD)
        bytes += record_group_record_bytes(id_of(w->entry), group_view(w->record));
    uint32_t count = (uint32_t)w->commit_count + (uint32_t)w->removed_count;
    for (uint32_t at = w->at; at < count && bytes < l->batch_bytes; at++)
        bytes += record_offset_bytes(id_of(w->entry), at < (uint32_t)w->commit_count
                                                          ? &w->commits[at]
                                                          : &w->removed[at - (uint32_t)w->commit_count]);
    return (uint32_t)u64_min(bytes, u64_max(l->batch_bytes, BATCH_HEADER_BYTES + 1));
}

static void gather_offset_commits(struct group_log *l, struct group_write *w, struct record_batch *b)
{
    uint32_t commits = (uint32_t)w->commit_count, count = commits + (uint32_t)w->removed_count;
    for (; w->at < count; w->at++) {
        struct item i = w->at < commits ? (struct item){.kind = ITEM_OFFSET, .c = &w->commits[w->at]}
                                        : (struct item){.kind = ITEM_OFFSET_GONE, .c = &w->removed[w->at - commits]};
        if (!add_group_item(l, w, b, &i))
            return;
    }
    w->last = true;
}

static void gather_group_record(struct group_log *l, struct group_write *w, struct record_batch *b)
{
    struct item i = {.kind = ITEM_RECORD, .record = group_view(w->record)};
    w->last = w->batch_record = add_group_item(l, w, b, &i);
}

static bool add_offset_tombstone(struct group_log *l, struct group_write *w, struct record_batch *b,
                                 const struct committed *c)
{
    struct item i = {.kind = ITEM_OFFSET_GONE, .c = c};
    if (!w->gone)
        w->gone = heap_alloc(heap_of(l), GROUP_BATCH_RECORDS * sizeof(struct committed *));
    if (!w->gone || !add_group_item(l, w, b, &i))
        return false;
    w->gone[w->gone_count++] = c;
    return true;
}

/* The group's own tombstone stands last: a kill before it leaves a group with fewer offsets, never offsets without their group. */
static void gather_group_tombstone(struct group_log *l, struct group_write *w, struct record_batch *b)
{
    struct item i = {.kind = ITEM_RECORD, .record = {NULL, -1}};
    uint32_t left = offsets_count(&w->entry->offsets) - w->gone_count;
    if (left == 0 && !w->takes_group)
        w->takes_group = sweep_removes_group(w);
    if (!w->takes_group || w->entry->record.n < 0)
        w->last = true;
    else
        w->last = w->batch_record = add_group_item(l, w, b, &i);
}

static uint32_t gather_tombstones(struct group_log *l, struct group_write *w, struct record_batch *b)
{
    uint32_t looked = 0;
    for (; looked < SCAN_MAX; looked++) {
        uint32_t before = w->at;
        const struct committed *c = offsets_next(&w->entry->offsets, &w->at);
        if (!c) {
            gather_group_tombstone(l, w, b);
            break;
        }
        if (sweep_removes(w, c) && !add_offset_tombstone(l, w, b, c)) {
            w->at = before;
            break;
        }
    }
    return looked;
}

static uint32_t gather_live_entries(struct group_log *l, struct group_write *w, struct record_batch *b)
{
    struct item r = {.kind = ITEM_RECORD, .record = group_view(w->entry->record)};
    if (!w->record_done && r.record.n >= 0 && !(w->batch_record = add_group_item(l, w, b, &r)))
        return 0;
    for (;;) {
        uint32_t before = w->at;
        struct item i = {.kind = ITEM_OFFSET, .c = offsets_next(&w->entry->offsets, &w->at)};
        w->last = !i.c;
        if (w->last)
            return 0;
        if (!add_group_item(l, w, b, &i)) {
            w->at = before;
            return 0;
        }
    }
}

static uint32_t gather_group_batch(struct group_log *l, struct group_write *w, struct record_batch *b)
{
    switch (w->kind) {
    case GROUP_WRITE_COMMITS: gather_offset_commits(l, w, b); return 0;
    case GROUP_WRITE_RECORD: gather_group_record(l, w, b); return 0;
    case GROUP_WRITE_DELETE:
    case GROUP_WRITE_EXPIRE:
    case GROUP_WRITE_FORGET: return gather_tombstones(l, w, b);
    case GROUP_WRITE_REWRITE: return gather_live_entries(l, w, b);
    }
    return 0;
}

/* --- what becomes of a batch --- */

/* As Kafka's coordinator answers for what the log says. */
static enum kerr group_write_answer(const struct group_write *w, enum kerr error)
{
    switch ((int)error) {
    case KERR_UNKNOWN_TOPIC_OR_PARTITION:
    case KERR_NOT_ENOUGH_REPLICAS:
    case KERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND:
    case KERR_REQUEST_TIMED_OUT: return KERR_COORDINATOR_NOT_AVAILABLE;
    case KERR_NOT_LEADER_OR_FOLLOWER:
    case KERR_KAFKA_STORAGE_ERROR: return KERR_NOT_COORDINATOR;
    case KERR_MESSAGE_TOO_LARGE:
    case KERR_RECORD_LIST_TOO_LARGE:
    case KERR_INVALID_FETCH_SIZE:
        return w->kind == GROUP_WRITE_RECORD ? KERR_UNKNOWN_SERVER_ERROR : KERR_INVALID_COMMIT_OFFSET_SIZE;
    default: return error;
    }
}

static enum err apply_offset_commits(struct group_write *w)
{
    uint32_t commits = (uint32_t)w->commit_count;
    for (uint32_t at = w->batch_at; at < w->at; at++) {
        struct committed c = at < commits ? w->commits[at] : w->removed[at - commits];
        c.position = w->append.base_offset + (at - w->batch_at);
        if (at >= commits) {
            entry_remove(w->entry, c.topic, c.partition);
            continue;
        }
        enum err err = entry_put(w->entry, &c);
        if (err)
            return err;
    }
    return ERR_NONE;
}

static enum err apply_group_write(struct group_write *w)
{
    switch (w->kind) {
    case GROUP_WRITE_COMMITS: return apply_offset_commits(w);
    case GROUP_WRITE_RECORD:
        entry_set_record(w->entry, w->record);
        w->record = (struct group_text){NULL, -1};
        return ERR_NONE;
    case GROUP_WRITE_DELETE:
    case GROUP_WRITE_EXPIRE:
    case GROUP_WRITE_FORGET:
        for (uint32_t i = 0; i < w->gone_count; i++)
            entry_remove(w->entry, w->gone[i]->topic, w->gone[i]->partition);
        if (w->batch_record)
            entry_set_record(w->entry, (struct group_text){NULL, -1});
        return ERR_NONE;
    case GROUP_WRITE_REWRITE: return ERR_NONE;
    }
    return ERR_NONE;
}

/* The topic's max.message.bytes is less than what was gathered: less is gathered from now on. */
static bool halve_batch_bytes(struct group_log *l, struct group_write *w)
{
    bool too_large = w->append.error == KERR_MESSAGE_TOO_LARGE || w->append.error == KERR_RECORD_LIST_TOO_LARGE;
    if (!too_large || w->batch_count <= 1)
        return false;
    uint32_t half = w->append.bytes / 2;
    l->batch_bytes = half > BATCH_BYTES_MIN ? half : BATCH_BYTES_MIN;
    w->at = w->batch_at;
    w->last = false;
    heap_free(heap_of(l), w->bytes);
    w->bytes = NULL;
    w->room = 0;
    return true;
}

static void group_batch_durable(struct group_log *l, struct group_write *w)
{
    l->log_bytes += w->append.bytes;
    w->record_done |= w->batch_record;
    if (apply_group_write(w)) {
        log_fail(l, "no memory for what was committed");
        conclude_group_write(l, w, KERR_NOT_COORDINATOR);
    } else if (w->last) {
        conclude_group_write(l, w, KERR_NONE);
    } else {
        step_group_write(l, w);
    }
}

static void group_batch_appended(struct append *a)
{
    struct group_write *w = container_of(a, struct group_write, append);
    struct group_log *l = w->entry->log;
    if (a->error == KERR_NONE)
        group_batch_durable(l, w);
    else if (halve_batch_bytes(l, w))
        step_group_write(l, w);
    else
        conclude_group_write(l, w, group_write_answer(w, a->error));
    sweep_want(l);
}

uint32_t write_step(struct group_log *l, struct group_write *w)
{
    struct record_batch b = {0};
    w->batch_at = w->at;
    w->batch_count = w->gone_count = 0;
    w->batch_record = false;
    if (l->state != GROUP_LOG_READY) {
        write_over(l, w, KERR_NOT_COORDINATOR);
        return 0;
    }
    uint32_t bytes = likely_batch_bytes(l, w);
    if (reserve_batch_bytes(l, w, &b, bytes)) {
        write_over(l, w, KERR_COORDINATOR_NOT_AVAILABLE);
        return 0;
    }
    uint32_t looked = gather_group_batch(l, w, &b);
    if (b.count > 0) {
        w->batch_count = (uint32_t)b.count;
        w->append = (struct append){.records = w->bytes,
                                    .bytes = record_batch_end(&b, clock_wall_ms()),
                                    .produce_version = INT16_MAX,
                                    .done = group_batch_appended};
        partition_append(l->partition, &w->append);
    } else if (w->last) {
        write_over(l, w, KERR_NONE);
    } else if (looked == SCAN_MAX) {
        step_group_write(l, w);
    } else {
        write_over(l, w, KERR_COORDINATOR_NOT_AVAILABLE); /* no memory for a first record */
    }
    return 1 + looked + w->batch_count * PACE_RECORD;
}

/* --- asked from outside --- */

void group_log_write(struct group_log *l, struct group_write *w)
{
    assert(w->kind == GROUP_WRITE_COMMITS || w->kind == GROUP_WRITE_DELETE);
    assert(w->kind != GROUP_WRITE_DELETE || w->entry->group->state == GROUP_DEAD);
    w->bytes = NULL;
    w->gone = NULL;
    w->record = (struct group_text){NULL, -1};
    w->room = w->at = 0;
    w->begun = w->last = w->record_done = w->takes_group = false;
    write_start(l, w);
}

static void group_record_written(struct group_write *w, enum kerr error)
{
    struct group_entry *e = w->entry;
    struct group_log *l = w->log;
    uint32_t serial = w->serial;
    heap_free(heap_of(l), w);
    if (!e || l->closing)
        return;
    struct group_now now = group_log_now();
    group_persisted(e->group, serial, error, now, &l->hooks->emit);
    l->hooks->changed(e);
}

/* The group as it is now, encoded. */
static enum err encode_group_record(const struct group_entry *e, struct group_text *out)
{
    struct heap *heap = heap_of(e->log);
    struct group_metadata_value v;
    size_t bytes = ((size_t)e->group->member_count + 1) * sizeof(struct member_metadata);
    uint8_t *arrays = heap_alloc(heap, bytes);
    if (!arrays)
        return ERR_NO_MEMORY;
    struct karena arena = {arrays, arrays + bytes, false};
    bool good = group_to_value(e->group, &arena, &v);
    assert(good); /* the arena is as large as it takes */
    uint32_t n = record_group_bytes(&v);
    uint8_t *at = heap_alloc(heap, n);
    if (at)
        record_group_encode(&v, at, n);
    heap_free(heap, arrays);
    *out = (struct group_text){at, (int32_t)n};
    return at ? ERR_NONE : ERR_NO_MEMORY;
}

static void lose_group_record(struct group_entry *e, uint32_t serial)
{
    e->lost_to = serial;
    if (!list_linked(&e->lost_link)) {
        e->lost_from = serial;
        list_push(&e->log->lost, &e->lost_link);
    }
    log_later(e->log);
}

void group_log_persist(struct group_entry *e, uint32_t serial)
{
    struct group_log *l = e->log;
    struct group_write *w = heap_alloc(heap_of(l), sizeof *w);
    if (!w) {
        lose_group_record(e, serial);
        return;
    }
    *w = (struct group_write){.entry = e, .kind = GROUP_WRITE_RECORD, .serial = serial, .done = group_record_written};
    if (encode_group_record(e, &w->record)) {
        heap_free(heap_of(l), w);
        lose_group_record(e, serial);
        return;
    }
    write_start(l, w);
}
