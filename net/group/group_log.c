/* The life of a group log, and its entries. */
#include "core/clock.h"
#include "core/log.h"
#include "net/group/group_log_inside.h"

/* --- entries --- */

static struct group_entry *open_group_entry(struct group_log *l, struct kview id)
{
    struct group_entry *e = heap_zalloc(heap_of(l), sizeof *e);
    if (!e)
        return NULL;
    e->group = group_open(heap_of(l), l->rules, id, clock_wall_ms());
    if (!e->group) {
        heap_free(heap_of(l), e);
        return NULL;
    }
    e->log = l;
    e->record.n = -1;
    offsets_init(&e->offsets, heap_of(l));
    list_init(&e->held);
    list_init(&e->link);
    list_init(&e->lost_link);
    return e;
}

static void close_group_entry(struct group_entry *e)
{
    struct heap *heap = heap_of(e->log);
    offsets_deinit(&e->offsets);
    heap_free(heap, e->record.at);
    group_close(e->group);
    heap_free(heap, e);
}

struct group_entry *entry_make(struct group_log *l, struct kview id)
{
    struct group_entry *e = open_group_entry(l, id);
    if (!e)
        return NULL;
    if (map_put(&l->by_id, e->group->id.at, (size_t)e->group->id.n, e)) {
        close_group_entry(e);
        return NULL;
    }
    e->born = ++l->born;
    list_push(&l->entries, &e->link);
    return e;
}

static void skip_gone_entry(struct list **cursor, struct list *gone)
{
    if (*cursor == gone)
        *cursor = gone->next;
}

/* A rewrite would give each its own batch at worst. */
static uint64_t group_offset_weight(const struct group_entry *e, const struct committed *c)
{
    return record_offset_bytes(id_of(e), c) + BATCH_HEADER_BYTES;
}

static void uncount_group_offset(struct group_entry *e, const struct committed *c)
{
    assert(e->log->live_bytes >= group_offset_weight(e, c));
    e->log->live_bytes -= group_offset_weight(e, c);
}

void entry_free(struct group_entry *e)
{
    struct group_log *l = e->log;
    assert(e->writes == 0);
    assert(list_empty(&e->held));
    entry_set_record(e, (struct group_text){NULL, -1});
    uint32_t cursor = 0;
    const struct committed *c;
    while ((c = offsets_next(&e->offsets, &cursor)))
        uncount_group_offset(e, c);
    skip_gone_entry(&l->sweep.next, &e->link);
    if (l->load)
        skip_gone_entry(&l->load->entry, &e->link);
    for (struct list *i = l->over.next; i != &l->over; i = i->next) {
        struct group_write *w = container_of(i, struct group_write, link);
        if (w->entry == e)
            w->entry = NULL;
    }
    list_remove(&e->lost_link);
    list_remove(&e->link);
    map_remove(&l->by_id, e->group->id.at, (size_t)e->group->id.n);
    if (e->made)
        l->hooks->going(e);
    close_group_entry(e);
}

bool entry_empty(const struct group_entry *e)
{
    const struct group *g = e->group;
    return g->member_count == 0 && g->pending_count == 0 && offsets_count(&e->offsets) == 0 && e->record.n < 0 &&
           e->writes == 0 && list_empty(&e->held) && !list_linked(&e->lost_link);
}

enum err entry_put(struct group_entry *e, const struct committed *c)
{
    const struct committed *old = offsets_get(&e->offsets, c->topic, c->partition);
    uint64_t before = old ? group_offset_weight(e, old) : 0;
    enum err err = offsets_put(&e->offsets, c);
    if (err)
        return err;
    e->log->live_bytes += group_offset_weight(e, c);
    assert(e->log->live_bytes >= before);
    e->log->live_bytes -= before;
    return ERR_NONE;
}

void entry_remove(struct group_entry *e, struct kview topic, int32_t partition)
{
    const struct committed *c = offsets_get(&e->offsets, topic, partition);
    if (!c)
        return;
    uncount_group_offset(e, c);
    offsets_remove(&e->offsets, topic, partition);
}

static uint64_t group_record_weight(const struct group_entry *e)
{
    return e->record.n < 0 ? 0 : record_group_record_bytes(id_of(e), group_view(e->record)) + BATCH_HEADER_BYTES;
}

void entry_set_record(struct group_entry *e, struct group_text record)
{
    assert(e->log->live_bytes >= group_record_weight(e));
    e->log->live_bytes -= group_record_weight(e);
    heap_free(heap_of(e->log), e->record.at);
    e->record = record;
    e->log->live_bytes += group_record_weight(e);
}

struct group_entry *group_log_find(const struct group_log *l, struct kview id)
{
    assert(id.n >= 0);
    return l->state == GROUP_LOG_READY ? map_get(&l->by_id, id.at, (size_t)id.n) : NULL;
}

struct group_entry *group_log_make(struct group_log *l, struct kview id)
{
    if (l->state != GROUP_LOG_READY || l->by_id.count >= GROUPS_MAX)
        return NULL;
    assert(!group_log_find(l, id));
    struct group_entry *e = entry_make(l, id);
    if (!e)
        return NULL;
    e->made = true;
    l->hooks->made(e);
    return e;
}

void group_log_drop_if_empty(struct group_entry *e)
{
    if (!e->log->closing && entry_empty(e))
        entry_free(e);
}

struct group_entry *group_log_next(const struct group_log *l, uint32_t *cursor)
{
    return l->state == GROUP_LOG_READY ? map_next(&l->by_id, cursor) : NULL;
}

struct group_now group_log_now(void)
{
    return (struct group_now){clock_now_ns(), clock_wall_ms()};
}

/* --- the end of a turn --- */

void log_later(struct group_log *l)
{
    shard_defer(l->shard, &l->defer);
}

void log_fail(struct group_log *l, const char *why)
{
    log_error("group log failed", "partition=__consumer_offsets-%d why=\"%s\"", l->index, why);
    l->state = GROUP_LOG_FAILED;
    l->told = true;
    log_later(l);
}

static void tell_lost_record(struct group_log *l, struct group_entry *e)
{
    struct group_now now = group_log_now();
    uint32_t serial = e->lost_from, left = e->lost_to - e->lost_from + 1;
    for (; left > 0; left--, serial++)
        group_persisted(e->group, serial, KERR_COORDINATOR_NOT_AVAILABLE, now, &l->hooks->emit);
    l->hooks->changed(e);
}

static void tell_lost_records(struct group_log *l)
{
    struct list now, *i;
    list_init(&now);
    list_splice(&now, &l->lost);
    while ((i = list_pop(&now))) {
        struct group_entry *e = container_of(i, struct group_entry, lost_link);
        tell_lost_record(l, e);
    }
}

/* --- closing --- */

static void unload_groups(struct group_log *l)
{
    l->unloaded = true;
    for (struct list *i = l->entries.next; i != &l->entries; i = i->next) {
        struct group_entry *e = container_of(i, struct group_entry, link);
        write_refuse_held(e, KERR_NOT_COORDINATOR);
        list_remove(&e->lost_link);
        if (!e->made)
            continue;
        group_unload(e->group, KERR_NOT_COORDINATOR, &l->hooks->emit);
        e->made = false;
        l->hooks->going(e);
    }
    struct list *i;
    while ((i = list_pop(&l->steps)))
        write_over(l, container_of(i, struct group_write, link), KERR_NOT_COORDINATOR);
}

static void free_group_log(struct group_log *l)
{
    void (*closed)(void *) = l->closed;
    void *arg = l->closed_arg;
    struct heap *heap = heap_of(l);
    sweep_close(l);
    struct list *i;
    while ((i = list_first(&l->entries)))
        entry_free(container_of(i, struct group_entry, link));
    assert(l->live_bytes == 0);
    map_deinit(&l->by_id);
    pace_remove(&l->job);
    list_remove(&l->defer.link);
    heap_free(heap, l);
    if (closed)
        closed(arg);
}

static void close_group_log_step(struct group_log *l)
{
    if (!l->unloaded)
        unload_groups(l);
    bool quiet = l->writes == 0 && list_empty(&l->over) && !l->sweep.trimming && load_close(l);
    if (quiet)
        free_group_log(l);
}

void group_log_close(struct group_log *l, void (*closed)(void *arg), void *arg)
{
    assert(!l->closing);
    l->closing = true;
    l->state = GROUP_LOG_FAILED;
    l->closed = closed;
    l->closed_arg = arg;
    log_later(l);
}

/* --- opening --- */

static void end_group_log_turn(struct shard_defer *d)
{
    struct group_log *l = container_of(d, struct group_log, defer);
    write_run_over(l);
    tell_lost_records(l);
    if (l->told && !l->closing) {
        l->told = false;
        l->hooks->ready(l);
    }
    if (l->closing)
        close_group_log_step(l);
}

static void step_group_log(struct pace_job *j)
{
    struct group_log *l = container_of(j, struct group_log, job);
    uint32_t units = PACE_UNITS;
    if (l->load) {
        load_step(l);
        return;
    }
    struct list *i;
    while (units > 0 && (i = list_pop(&l->steps))) {
        uint32_t took = write_step(l, container_of(i, struct group_write, link));
        units -= took < units ? took : units;
    }
    sweep_step(l, units);
    if (!list_empty(&l->steps))
        pace_add(l->hooks->pace, j);
}

static void init_group_log(struct group_log *l)
{
    l->batch_bytes = GROUP_BATCH_BYTES;
    map_init(&l->by_id, heap_of(l));
    list_init(&l->entries);
    list_init(&l->over);
    list_init(&l->lost);
    list_init(&l->steps);
    list_init(&l->forgets);
    l->sweep.next = &l->entries;
    shard_defer_init(&l->defer, end_group_log_turn);
    pace_job_init(&l->job, step_group_log);
}

struct group_log *group_log_open(struct shard *s, struct partition *p, int32_t index, const struct group_rules *rules,
                                 const struct group_log_hooks *hooks)
{
    assert(hooks->pace && hooks->made && hooks->going && hooks->changed && hooks->ready && hooks->emit.act);
    struct group_log *l = heap_zalloc(s->heap, sizeof *l);
    if (!l)
        return NULL;
    *l =
        (struct group_log){.shard = s, .heap = s->heap, .partition = p, .index = index, .rules = rules, .hooks = hooks};
    init_group_log(l);
    if (load_begin(l)) {
        heap_free(s->heap, l);
        return NULL;
    }
    return l;
}

enum group_log_state group_log_state(const struct group_log *l)
{
    return l->state;
}

const struct group_log_hooks *group_log_hooks(const struct group_log *l)
{
    return l->hooks;
}

int32_t group_log_index(const struct group_log *l)
{
    return l->index;
}
