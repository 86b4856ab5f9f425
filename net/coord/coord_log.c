/* The life of a coordinator's log, and its entries. */
#include "core/log.h"
#include "net/coord/coord_log_inside.h"

/* --- entries --- */

struct coord_entry *coord_log_get(const struct coord_log *l, struct kview id)
{
    assert(id.n >= 0);
    return map_get(&l->by_id, id.at, (size_t)id.n);
}

struct coord_entry *coord_log_find(const struct coord_log *l, struct kview id)
{
    return l->state == COORD_LOG_READY ? coord_log_get(l, id) : NULL;
}

enum err coord_entry_add(struct coord_log *l, struct coord_entry *e)
{
    assert(e->id.n >= 0);
    assert(!coord_log_get(l, e->id));
    if (map_put(&l->by_id, e->id.at, (size_t)e->id.n, e))
        return ERR_NO_MEMORY;
    e->log = l;
    e->born = ++l->born;
    list_init(&e->held);
    list_init(&e->link);
    list_push(&l->entries, &e->link);
    return ERR_NONE;
}

void coord_entry_free(struct coord_entry *e)
{
    struct coord_log *l = e->log;
    assert(e->writes == 0);
    assert(list_empty(&e->held));
    for (struct list *i = l->cursors.next; i != &l->cursors; i = i->next) {
        struct coord_cursor *c = container_of(i, struct coord_cursor, link);
        if (c->next == &e->link)
            c->next = e->link.next;
    }
    for (struct list *i = l->over.next; i != &l->over; i = i->next) {
        struct coord_write *w = container_of(i, struct coord_write, link);
        if (w->entry == e)
            w->entry = NULL;
    }
    list_remove(&e->link);
    map_remove(&l->by_id, e->id.at, (size_t)e->id.n);
    l->kind->free_entry(e);
}

void coord_entry_drop_if_empty(struct coord_entry *e)
{
    if (!e->log->closing && e->writes == 0 && list_empty(&e->held) && e->log->kind->empty(e))
        coord_entry_free(e);
}

/* --- going through them --- */

void coord_cursor_begin(struct coord_cursor *c, struct coord_log *l)
{
    *c = (struct coord_cursor){.log = l, .next = l->entries.next};
    list_init(&c->link);
    list_push(&l->cursors, &c->link);
}

bool coord_cursor_over(const struct coord_cursor *c)
{
    return !c->log || c->next == &c->log->entries;
}

struct coord_entry *coord_cursor_next(struct coord_cursor *c)
{
    if (coord_cursor_over(c))
        return NULL;
    struct coord_entry *e = container_of(c->next, struct coord_entry, link);
    c->next = e->link.next;
    return e;
}

void coord_cursor_end(struct coord_cursor *c)
{
    if (c->log)
        list_remove(&c->link);
    c->log = NULL;
}

/* --- the end of a turn --- */

void coord_log_later(struct coord_log *l)
{
    shard_defer(l->shard, &l->defer);
}

void coord_log_fail(struct coord_log *l, const char *why)
{
    log_error("coordinator's log failed", "partition=%s-%d why=\"%s\"", l->kind->topic, l->index, why);
    l->state = COORD_LOG_FAILED;
    l->ready_due = true;
    coord_log_later(l);
}

/* --- closing --- */

static void unload_coord_entries(struct coord_log *l)
{
    l->unloaded = true;
    for (struct list *i = l->entries.next; i != &l->entries; i = i->next) {
        struct coord_entry *e = container_of(i, struct coord_entry, link);
        coord_write_refuse_held(e, KERR_NOT_COORDINATOR);
        l->kind->unload(e);
    }
    coord_marker_close(l);
    struct list *i;
    while ((i = list_pop(&l->steps)))
        coord_write_refuse(l, container_of(i, struct coord_write, link), KERR_NOT_COORDINATOR);
}

static void free_coord_log(struct coord_log *l)
{
    void (*closed)(void *) = l->closed;
    void *arg = l->closed_arg;
    coord_sweep_close(l);
    struct list *i;
    while ((i = list_first(&l->cursors)))
        coord_cursor_end(container_of(i, struct coord_cursor, link));
    while ((i = list_first(&l->entries)))
        coord_entry_free(container_of(i, struct coord_entry, link));
    map_deinit(&l->by_id);
    pace_remove(&l->job);
    list_remove(&l->defer.link);
    l->kind->free_log(l);
    if (closed)
        closed(arg);
}

static void close_coord_log_step(struct coord_log *l)
{
    if (!l->unloaded)
        unload_coord_entries(l);
    bool quiet =
        l->writes == 0 && list_empty(&l->over) && list_empty(&l->markers_writing) && list_empty(&l->markers_over);
    if (quiet && coord_load_close(l))
        free_coord_log(l);
}

void coord_log_close(struct coord_log *l, void (*closed)(void *arg), void *arg)
{
    assert(!l->closing);
    l->closing = true;
    l->state = COORD_LOG_FAILED;
    l->closed = closed;
    l->closed_arg = arg;
    coord_log_later(l);
}

/* --- opening --- */

static void end_coord_log_turn(struct shard_defer *d)
{
    struct coord_log *l = container_of(d, struct coord_log, defer);
    coord_write_run_over(l);
    coord_marker_run_over(l);
    if (l->ready_due && !l->closing) {
        l->ready_due = false;
        l->kind->ready(l);
    }
    if (l->closing)
        close_coord_log_step(l);
}

static void step_coord_log(struct pace_job *j)
{
    struct coord_log *l = container_of(j, struct coord_log, job);
    if (l->load) {
        coord_load_step(l);
        return;
    }
    uint32_t units = coord_marker_step(l, PACE_UNITS);
    struct list *i;
    while (units > 0 && (i = list_pop(&l->steps))) {
        uint32_t took = coord_write_step(l, container_of(i, struct coord_write, link));
        units -= took < units ? took : units;
    }
    coord_sweep_step(l, units);
    if (!list_empty(&l->steps))
        pace_add(l->pace, j);
}

enum err coord_log_open(struct coord_log *l)
{
    assert(l->shard && l->heap && l->partition && l->kind && l->pace);
    l->batch_bytes = COORD_BATCH_BYTES;
    map_init(&l->by_id, l->heap);
    list_init(&l->entries);
    list_init(&l->cursors);
    list_init(&l->over);
    list_init(&l->steps);
    list_init(&l->markers_writing);
    list_init(&l->markers_ending);
    list_init(&l->markers_over);
    list_init(&l->sweeps);
    shard_defer_init(&l->defer, end_coord_log_turn);
    pace_job_init(&l->job, step_coord_log);
    return coord_load_begin(l);
}
