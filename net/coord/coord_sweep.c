/* What goes through all entries of a coordinator's log. One sweep at a time, at the pace; each entry gets a write that is alone in it, up to
 * COORD_SWEEP_WRITES of them at once, so that one wave of the disk carries many.
 *
 *   want --> under way, next = first entry --> a write per entry ... --> all done --> the next sweep
 *
 * A sweep that meets an error ends. */
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

/* --- which one --- */

void coord_sweep_want(struct coord_log *l)
{
    struct list *first = l->state == COORD_LOG_READY && !l->sweep ? list_pop(&l->sweeps) : NULL;
    if (first)
        begin_sweep(l, container_of(first, struct coord_sweep, link));
}

/* Every entry had its write, or one met an error. */
static void coord_sweep_over(struct coord_log *l)
{
    if (l->sweep_error && !l->closing)
        log_warn("coordinator's log not swept", "partition=%s-%d what=\"%s\" why=%s", l->kind->topic, l->index,
                 l->sweep->what, kerr_name(l->sweep_error));
    end_sweep(l);
}

void coord_sweep_step(struct coord_log *l, uint32_t units)
{
    if (!l->sweep)
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

static void coord_expiry_over(struct coord_sweep *s, enum kerr error)
{
    (void)error; /* the next one goes through all again */
    container_of(s, struct coord_expiry, sweep)->asked = false;
}

void coord_log_expire(struct coord_log *l, struct coord_expiry *x,
                      struct coord_write *(*write)(struct coord_sweep *s, struct coord_entry *e), int64_t wall_ms,
                      int64_t after_ms)
{
    if (l->state != COORD_LOG_READY || l->sweep == &x->sweep)
        return;
    x->wall_ms = wall_ms;
    x->after_ms = after_ms;
    if (x->asked)
        return;
    x->asked = true;
    x->sweep = (struct coord_sweep){.what = "expiry", .write = write, .over = coord_expiry_over};
    coord_log_sweep(l, &x->sweep);
}

void coord_sweep_close(struct coord_log *l)
{
    struct list *i;
    assert(l->sweep_running == 0);
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
