/* The ends of transactions in a coordinator's log.
 *
 *   coord_log_end_txn --> the partition writes the marker --> durable: end_txn, the first time at once --AGAIN--> markers_ending: at the pace
 *           |                      | it does not                           | over                                     | over
 *           |                      v                                       v                                          v
 *           '-- not READY --> markers_over: `done` at the end of the turn
 *
 * What stands behind a marker in the log may be durable and applied before it is; of the same producer nothing is written meanwhile, and of
 * others and of tombstones the place in the log decides, not the order of coming. A marker that is
 * durable is answered so, even if the log closes before all of it is applied: the next load applies it. */
#include "net/coord/coord_log_inside.h"

enum { FIRST_UNITS = 64 /* many markers may come back with one wave of the disk */ };

bool coord_marker_writing(const struct coord_log *l, int64_t producer_id)
{
    for (const struct list *i = l->markers_writing.next; i != &l->markers_writing; i = i->next)
        if (container_of(i, struct coord_marker, link)->marker.producer_id == producer_id)
            return true;
    return false;
}

static void end_marker_this_turn(struct coord_log *l, struct coord_marker *m, enum kerr error)
{
    assert(!list_linked(&m->link));
    m->error = error;
    list_push(&l->markers_over, &m->link);
    coord_log_later(l);
}

/* In the order of the markers: true when it is over. */
static bool apply_marker(struct coord_log *l, struct coord_marker *m, uint32_t *units)
{
    uint32_t took = 0;
    enum coord_replay what =
        l->state == COORD_LOG_READY && l->kind->end_txn ? l->kind->end_txn(l, &m->end, *units, &took) : COORD_REPLAYED;
    *units -= took < *units ? took : *units;
    if (what == COORD_AGAIN)
        return false;
    if (what == COORD_NO_MEMORY) {
        l->may_pass = true;
        coord_log_fail(l, "no memory for what a transaction committed");
    }
    end_marker_this_turn(l, m, KERR_NONE);
    return true;
}

static void coord_marker_written(struct txn_marker *t)
{
    struct coord_marker *m = container_of(t, struct coord_marker, marker);
    struct coord_log *l = m->log;
    uint32_t units = FIRST_UNITS;
    assert(list_linked(&m->link));
    list_remove(&m->link);
    if (t->error) {
        end_marker_this_turn(l, m, t->error);
    } else if (!apply_marker(l, m, &units)) {
        list_push(&l->markers_ending, &m->link);
        pace_add(l->pace, &l->job);
    }
}

void coord_log_end_txn(struct coord_log *l, struct coord_marker *m)
{
    assert(m->done);
    m->log = l;
    m->end = (struct coord_end){.producer_id = m->marker.producer_id, .commit = m->marker.commit};
    list_init(&m->link);
    if (l->state != COORD_LOG_READY) {
        end_marker_this_turn(l, m, KERR_NOT_COORDINATOR);
        return;
    }
    list_push(&l->markers_writing, &m->link);
    m->marker.done = coord_marker_written;
    partition_end_txn(l->partition, &m->marker);
}

uint32_t coord_marker_step(struct coord_log *l, uint32_t units)
{
    struct list *i;
    while (units > 0 && (i = list_first(&l->markers_ending))) {
        list_remove(i);
        if (!apply_marker(l, container_of(i, struct coord_marker, link), &units)) {
            list_push_front(&l->markers_ending, i);
            break;
        }
    }
    if (!list_empty(&l->markers_ending))
        pace_add(l->pace, &l->job);
    return units;
}

/* Those that are over meanwhile wait for the next turn. */
void coord_marker_run_over(struct coord_log *l)
{
    struct list due, *i;
    list_init(&due);
    list_splice(&due, &l->markers_over);
    while ((i = list_pop(&due))) {
        struct coord_marker *m = container_of(i, struct coord_marker, link);
        m->done(m, m->error);
    }
}

void coord_marker_close(struct coord_log *l)
{
    struct list *i;
    while ((i = list_pop(&l->markers_ending)))
        end_marker_this_turn(l, container_of(i, struct coord_marker, link), KERR_NONE);
}
