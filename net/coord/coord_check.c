/* What must hold between the parts of a coordinator's log, between two turns. */
#include "net/coord/coord_log_inside.h"

/* Something is held only behind what is alone or goes before something that is. */
static void check_held_writes(const struct coord_log *l, const struct coord_entry *e)
{
    const struct list *first = e->held.next;
    if (list_empty(&e->held))
        return;
    assert(l->state == COORD_LOG_READY || e->writes > 0);
    assert(e->alone || (e->writes > 0 && container_of(first, struct coord_write, link)->alone));
    for (const struct list *i = first; i != &e->held; i = i->next) {
        const struct coord_write *w = container_of(i, struct coord_write, link);
        assert(w->entry == e);
        assert(w->log == l);
        assert(!w->begun);
    }
}

static void check_coord_sweep(const struct coord_log *l)
{
    assert(l->sweep_running <= COORD_SWEEP_WRITES);
    assert(l->sweep || l->sweep_running == 0);
    assert(l->sweep || !l->sweep_at.log);
}

void coord_log_check(const struct coord_log *l)
{
    uint64_t born = 0;
    uint32_t count = 0, writes = 0;
    for (const struct list *i = l->entries.next; i != &l->entries; i = i->next) {
        const struct coord_entry *e = container_of(i, struct coord_entry, link);
        assert(e->log == l);
        assert(e->born > born);
        assert(coord_log_get(l, e->id) == e);
        assert(!e->alone || e->writes == 1);
        born = e->born;
        check_held_writes(l, e);
        l->kind->check(e);
        writes += e->writes;
        count++;
    }
    assert(born <= l->born);
    assert(count == l->by_id.count);
    assert(writes == l->writes);
    assert(list_empty(&l->markers_ending) || l->state != COORD_LOG_LOADING);
    assert(!l->load || l->state == COORD_LOG_LOADING || l->closing);
    assert(l->load || l->state != COORD_LOG_LOADING);
    check_coord_sweep(l);
}
