/* What goes through all entries of a coordinator's log, its own rewrite too. One sweep at a time, at the pace; each entry gets a write
 * that is alone in it, up to COORD_SWEEP_WRITES of them at once, so that one wave of the disk carries many.
 *
 *   want --> under way, next = first entry --> a write per entry ... --> all done --> rewriting: trim --> the next sweep
 *
 * A rewrite needs no other order than this: what an entry's write finds is durable and stands, and whatever comes after it lands
 * behind it. When all are done, everything that lives has a record at or behind `from`. A sweep that meets an error ends; nothing is
 * lost by that, as the log start stays. */
#include "core/log.h"
#include "net/coord/coord_log_inside.h"

/* --- one sweep --- */

static void begin_sweep(struct coord_log *l, struct coord_sweep *s)
{
    assert(!l->sweep && l->sweep_running == 0);
    l->sweep = s;
    coord_cursor_begin(&l->sweep_at, l);
    l->sweep_born_max = l->born;
    l->sweep_error = KERR_NONE;
    pace_add(l->pace, &l->job);
}

static void end_sweep(struct coord_log *l)
{
    struct coord_sweep *s = l->sweep;
    l->sweep = NULL;
    coord_cursor_end(&l->sweep_at);
    s->over(s, l->sweep_error);
    coord_sweep_want(l);
}

void coord_sweep_wrote(struct coord_log *l, bool gone, enum kerr error)
{
    assert(l->sweep_running > 0);
    l->sweep_running--;
    if (error && !gone && !l->sweep_error) /* an entry that went has nothing left to do */
        l->sweep_error = error;
    pace_add(l->pace, &l->job);
}

static void sweep_coord_entry(struct coord_log *l, struct coord_entry *e)
{
    struct coord_write *w = l->sweep->write(l->sweep, e);
    if (!w) {
        l->sweep_error = KERR_COORDINATOR_NOT_AVAILABLE;
        return;
    }
    assert(w->alone && w->entry == e);
    w->sweep = l->sweep;
    l->sweep_running++;
    coord_write_start(l, w);
}

/* --- rewriting --- */

static void rewrite_wrote(struct coord_write *w, enum kerr error)
{
    (void)error; /* the sweep's */
    heap_free(w->log->heap, w);
}

static struct coord_write *rewrite_coord_entry(struct coord_sweep *s, struct coord_entry *e)
{
    struct coord_log *l = e->log;
    assert(s == &l->rewrite.sweep);
    struct coord_write *w = heap_zalloc(l->heap, sizeof *w);
    if (!w)
        return NULL;
    w->entry = e;
    w->ops = &l->rewrite.ops;
    w->alone = true;
    w->done = rewrite_wrote;
    return w;
}

/* Not again before as much has come as may be in the log anyway. */
static void coord_rewrite_over(struct coord_sweep *s, enum kerr error)
{
    struct coord_log *l = container_of(s, struct coord_log, rewrite.sweep);
    if (error)
        l->rewrite_at = l->log_bytes + l->slack_bytes;
}

static bool coord_rewrite_due(const struct coord_log *l)
{
    return l->log_bytes > l->slack_bytes && l->log_bytes > COORD_SLACK_TIMES * l->live_bytes &&
           l->log_bytes >= l->rewrite_at;
}

static void begin_coord_rewrite(struct coord_log *l)
{
    struct coord_rewrite *r = &l->rewrite;
    r->sweep = (struct coord_sweep){.what = "rewriting", .write = rewrite_coord_entry, .over = coord_rewrite_over};
    r->ops = (struct coord_write_ops){.gather = l->kind->gather_live};
    r->from = partition_facts(l->partition).end_offset;
    r->bytes_before = l->log_bytes;
    begin_sweep(l, &r->sweep);
}

static void coord_log_trimmed(struct log_trim *t)
{
    struct coord_log *l = container_of(t, struct coord_log, rewrite.trim);
    l->rewrite.trimming = false;
    if (t->error) {
        log_warn("coordinator's log not trimmed", "partition=%s-%d why=%s", l->kind->topic, l->index,
                 kerr_name(t->error));
        l->sweep_error = t->error;
    } else {
        l->log_bytes -= l->rewrite.bytes_before;
        l->rewrite_at = 0;
    }
    if (l->closing)
        coord_log_later(l);
    end_sweep(l);
}

/* --- which one --- */

void coord_sweep_want(struct coord_log *l)
{
    if (l->state != COORD_LOG_READY || l->sweep)
        return;
    struct list *first;
    if (coord_rewrite_due(l))
        begin_coord_rewrite(l);
    else if ((first = list_pop(&l->sweeps)))
        begin_sweep(l, container_of(first, struct coord_sweep, link));
}

/* Every entry had its write, or one met an error. */
static void coord_sweep_over(struct coord_log *l)
{
    struct coord_rewrite *r = &l->rewrite;
    if (l->sweep_error && !l->closing)
        log_warn("coordinator's log not swept", "partition=%s-%d what=\"%s\" why=%s", l->kind->topic, l->index,
                 l->sweep->what, kerr_name(l->sweep_error));
    if (l->sweep_error || l->sweep != &r->sweep) {
        end_sweep(l);
        return;
    }
    r->trimming = true;
    r->trim = (struct log_trim){.before = r->from, .done = coord_log_trimmed};
    list_init(&r->trim.link);
    partition_trim(l->partition, &r->trim);
}

void coord_sweep_step(struct coord_log *l, uint32_t units)
{
    if (!l->sweep || l->rewrite.trimming)
        return;
    if (l->state != COORD_LOG_READY && !l->sweep_error)
        l->sweep_error = KERR_NOT_COORDINATOR;
    for (uint32_t begun = 0; begun < units / PACE_RECORD && l->sweep_running < COORD_SWEEP_WRITES &&
                             !coord_cursor_over(&l->sweep_at) && !l->sweep_error;
         begun++) {
        struct coord_entry *e = coord_cursor_next(&l->sweep_at);
        if (e->born <= l->sweep_born_max)
            sweep_coord_entry(l, e);
        else
            coord_cursor_end(&l->sweep_at);
    }
    if (l->sweep_running == 0 && (l->sweep_error || coord_cursor_over(&l->sweep_at)))
        coord_sweep_over(l);
    else if (l->sweep_running == 0)
        pace_add(l->pace, &l->job);
}

void coord_log_sweep(struct coord_log *l, struct coord_sweep *s)
{
    assert(s->what && s->write && s->over);
    list_init(&s->link);
    list_push(&l->sweeps, &s->link);
    coord_sweep_want(l);
}

void coord_sweep_close(struct coord_log *l)
{
    struct list *i;
    assert(l->sweep_running == 0 && !l->rewrite.trimming);
    struct coord_sweep *s = l->sweep;
    l->sweep = NULL;
    coord_cursor_end(&l->sweep_at);
    if (s)
        s->over(s, KERR_NOT_COORDINATOR);
    while ((i = list_pop(&l->sweeps))) {
        s = container_of(i, struct coord_sweep, link);
        s->over(s, KERR_NOT_COORDINATOR);
    }
}
