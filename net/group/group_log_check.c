/* What must hold between the parts of a group log, between two turns. */
#include "net/group/group_log_inside.h"

static void check_held_write(const struct group_log *l, const struct group_entry *e, const struct group_write *w)
{
    assert(w->entry == e);
    assert(w->log == l);
    assert(!w->begun);
}

/* Something is held only behind what is alone or goes before something that is. */
static void check_held_writes(const struct group_log *l, const struct group_entry *e)
{
    const struct list *first = e->held.next;
    if (list_empty(&e->held))
        return;
    assert(l->state == GROUP_LOG_READY || e->writes > 0);
    assert(e->alone || (e->writes > 0 && write_alone(container_of(first, struct group_write, link))));
    for (const struct list *i = first; i != &e->held; i = i->next)
        check_held_write(l, e, container_of(i, struct group_write, link));
}

static uint64_t check_group_entry(const struct group_log *l, const struct group_entry *e)
{
    struct kview id = id_of(e);
    uint64_t weight = e->record.n < 0 ? 0 : record_group_record_bytes(id, group_view(e->record)) + BATCH_HEADER_BYTES;
    uint32_t cursor = 0, count = 0;
    const struct committed *c;
    assert(e->log == l);
    assert(map_get(&l->by_id, id.at, (size_t)id.n) == e);
    assert(!e->alone || e->writes == 1);
    assert(!group_check(e->group));
    assert(e->born > 0 && e->born <= l->born);
    while ((c = offsets_next(&e->offsets, &cursor))) {
        assert(offsets_get(&e->offsets, c->topic, c->partition) == c);
        weight += record_offset_bytes(id, c) + BATCH_HEADER_BYTES;
        count++;
    }
    assert(count == offsets_count(&e->offsets));
    check_held_writes(l, e);
    return weight;
}

void group_log_check(const struct group_log *l)
{
    uint64_t weight = 0, born = 0;
    uint32_t count = 0, writes = 0;
    for (const struct list *i = l->entries.next; i != &l->entries; i = i->next) {
        const struct group_entry *e = container_of(i, struct group_entry, link);
        assert(e->born > born);
        born = e->born;
        weight += check_group_entry(l, e);
        writes += e->writes;
        count++;
    }
    assert(count == l->by_id.count);
    assert(writes == l->writes);
    assert(weight == l->live_bytes);
    assert(!l->load || l->state == GROUP_LOG_LOADING || l->closing);
    assert(l->load || l->state != GROUP_LOG_LOADING);
    assert(l->sweep.running <= GROUP_LOG_ALONE);
    assert(l->sweep.kind != SWEEP_NONE || (l->sweep.running == 0 && !l->sweep.trimming));
    assert((l->sweep.kind == SWEEP_FORGET) == (l->sweep.forget != NULL));
}
