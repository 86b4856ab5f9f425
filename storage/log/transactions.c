/* Transactions of a partition: markers, waiting for what was appended to be on stable media, what is known of producers. What is open stands
 * in producer.c; the last stable offset is partition_state.h's. */
#include "core/clock.h"
#include "storage/log/partition_state.h"

/* --- durable --- */

static void finish_durable_wait(struct partition *p, struct durable_wait *w, enum kerr error)
{
    assert(!list_linked(&w->link));
    assert(w->done);
    w->error = error;
    list_push(&p->store->durables, &w->link);
    log_store_turn(p->store);
}

void durable_wait_step(struct partition *p)
{
    assert(p->durable.offset <= p->promised.offset);
    for (struct list *l = p->durable_waits.next; l != &p->durable_waits;) {
        struct durable_wait *w = container_of(l, struct durable_wait, link);
        l = l->next;
        bool refused = partition_dead(p);
        if (!refused && w->offset > p->durable.offset)
            continue;
        list_remove(&w->link);
        finish_durable_wait(p, w, refused ? partition_refusal(p) : KERR_NONE);
    }
}

static void begin_durable_wait(struct partition *p, struct durable_wait *w, int64_t offset)
{
    assert(offset <= p->end.offset);
    w->offset = offset;
    list_init(&w->link);
    list_push(&p->durable_waits, &w->link);
    if (!partition_dead(p) && offset > p->durable.offset)
        writer_want_durable(p, offset);
    durable_wait_step(p);
}

void partition_make_durable(struct partition *p, struct durable_wait *w)
{
    assert(w->done);
    begin_durable_wait(p, w, PLANTED(decision_before_data) ? 0 : p->end.offset);
}

/* --- markers --- */

static void marker_refused(struct append *a)
{
    struct txn_marker *m = container_of(a, struct txn_marker, append);
    assert(a->error);
    m->error = a->error;
    m->done(m);
}

static void marker_durable(struct durable_wait *w)
{
    struct txn_marker *m = container_of(w, struct txn_marker, durable);
    assert(m->append.end_offset > 0);
    m->error = w->error;
    m->offset = m->append.base_offset;
    m->done(m);
}

void partition_end_txn(struct partition *p, struct txn_marker *m)
{
    assert(m->done);
    assert(m->producer_id >= 0);
    const struct batch_marker marker = {.coordinator_epoch = m->coordinator_epoch, .commit = m->commit};
    batch_write_marker(m->bytes, m->producer_id, m->producer_epoch, clock_wall_ms(), &marker);
    m->offset = -1;
    m->durable = (struct durable_wait){.done = marker_durable};
    m->append = (struct append){.records = m->bytes,
                                .bytes = sizeof m->bytes,
                                .origin = APPEND_COORDINATOR,
                                .marker = m,
                                .done = marker_refused};
    partition_append(p, &m->append);
}

bool marker_promised(struct partition *p, struct append *a)
{
    assert(!list_linked(&a->link));
    if (!a->marker)
        return false;
    begin_durable_wait(p, &a->marker->durable, PLANTED(marker_before_durable) ? 0 : a->end_offset);
    return true;
}

/* --- facts --- */

enum err partition_hold_producers(const struct partition *p, struct producers **out)
{
    uint32_t count = p->producers ? producers_count(p->producers) : 0;
    assert(count <= PRODUCERS_MAX);
    struct producers *held = count ? producers_hold(p->producers) : NULL;
    if (count && !held)
        return ERR_NO_MEMORY;
    *out = held;
    return ERR_NONE;
}
