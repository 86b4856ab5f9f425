/* Writes of a coordinator's log: whose turn it is, what goes into each batch, and what is applied when it is durable.
 *
 *   coord_write_start --> held --> begun: batch --> append --> durable: applied --> next batch --> ... --> done
 *                         ^                                    '--> refused --------------------------> done with its error
 *                  a write that is alone is under way, or waits before it
 *
 * Shared writes make their next batch at once; what is alone goes on at the pace, as it may have all of a large entry to do. */
#include "core/clock.h"
#include "net/coord/coord_log_inside.h"

enum { BATCH_BYTES_MIN = 512 /* a topic that takes no more than this holds one record a batch */ };

/* --- whose turn it is --- */

static void step_coord_write(struct coord_log *l, struct coord_write *w)
{
    if (w->alone) {
        list_push(&l->steps, &w->link);
        pace_add(l->pace, &l->job);
    } else {
        (void)coord_write_step(l, w);
    }
}

static void begin_coord_write(struct coord_log *l, struct coord_write *w)
{
    struct coord_entry *e = w->entry;
    assert(!e->alone);
    w->begun = true;
    e->writes++;
    l->writes++;
    e->alone = w->alone;
    step_coord_write(l, w);
}

static bool may_begin_coord_write(const struct coord_entry *e, const struct coord_write *w)
{
    return !e->alone && (e->writes == 0 || !w->alone);
}

static void begin_held_writes(struct coord_entry *e)
{
    struct list *i;
    while ((i = list_first(&e->held))) {
        struct coord_write *w = container_of(i, struct coord_write, link);
        if (!may_begin_coord_write(e, w))
            return;
        list_remove(i);
        begin_coord_write(e->log, w);
    }
}

static void end_write_this_turn(struct coord_log *l, struct coord_write *w, enum kerr error)
{
    assert(!list_linked(&w->link));
    w->error = error;
    list_push(&l->over, &w->link);
    coord_log_later(l);
}

void coord_write_refuse(struct coord_log *l, struct coord_write *w, enum kerr error)
{
    assert(error);
    w->log = l;
    if (!w->begun)
        list_init(&w->link);
    end_write_this_turn(l, w, error);
}

void coord_write_refuse_held(struct coord_entry *e, enum kerr error)
{
    struct list *i;
    while ((i = list_pop(&e->held)))
        end_write_this_turn(e->log, container_of(i, struct coord_write, link), error);
}

void coord_write_start(struct coord_log *l, struct coord_write *w)
{
    struct coord_entry *e = w->entry;
    assert(e->log == l);
    assert(w->ops && w->done && !w->begun);
    assert(!w->txn || !w->alone);
    w->log = l;
    list_init(&w->link);
    if (l->state != COORD_LOG_READY)
        end_write_this_turn(l, w, KERR_NOT_COORDINATOR);
    else if (list_empty(&e->held) && may_begin_coord_write(e, w))
        begin_coord_write(l, w);
    else
        list_push(&e->held, &w->link);
}

/* --- the end --- */

static void end_write_turn(struct coord_log *l, struct coord_write *w, enum kerr error)
{
    struct coord_entry *e = w->entry;
    e->writes--;
    l->writes--;
    if (w->alone)
        e->alone = false;
    if (w->takes_entry && !error && !l->closing) {
        coord_write_refuse_held(e, KERR_COORDINATOR_NOT_AVAILABLE);
        w->entry = NULL;
        coord_entry_free(e);
    } else {
        begin_held_writes(e);
    }
}

static void conclude_coord_write(struct coord_log *l, struct coord_write *w, enum kerr error)
{
    bool sweeps = w->sweep;
    heap_free(l->heap, w->bytes);
    w->bytes = NULL;
    w->capacity = 0;
    if (w->begun)
        end_write_turn(l, w, error);
    bool gone = !w->entry;
    w->done(w, error);
    if (sweeps)
        coord_sweep_wrote(l, gone, error);
    if (l->closing)
        coord_log_later(l);
}

/* Those that are refused meanwhile wait for the next turn. */
void coord_write_run_over(struct coord_log *l)
{
    const struct list *last = l->over.prev;
    bool more = !list_empty(&l->over);
    while (more) {
        struct list *i = list_pop(&l->over);
        struct coord_write *w = container_of(i, struct coord_write, link);
        more = i != last;
        conclude_coord_write(l, w, w->error);
    }
}

/* --- what goes into a batch --- */

/* Memory for the batch: so much, unless it has as much. */
static enum err reserve_batch_bytes(struct coord_log *l, struct coord_write *w, struct record_batch *b, uint32_t bytes)
{
    assert(b->count == 0);
    if (w->capacity < bytes) {
        heap_free(l->heap, w->bytes);
        w->bytes = heap_alloc(l->heap, bytes);
        w->capacity = w->bytes ? bytes : 0;
        if (!w->bytes)
            return ERR_NO_MEMORY;
    }
    record_batch_begin(b, w->bytes, w->capacity);
    return ERR_NONE;
}

bool coord_write_takes(struct coord_write *w, struct record_batch *b, uint32_t bytes)
{
    struct coord_log *l = w->log;
    if (b->count == COORD_BATCH_RECORDS || (b->count > 0 && l->batch_bytes <= BATCH_BYTES_MIN))
        return false;
    if (b->end - b->at >= (ptrdiff_t)bytes)
        return true;
    return b->count == 0 && !reserve_batch_bytes(l, w, b, BATCH_HEADER_BYTES + bytes);
}

/* Shared writes are mostly small, and there may be many: they take no more than it is likely to be. */
static uint32_t first_batch_bytes(const struct coord_log *l, const struct coord_write *w)
{
    uint64_t most = u64_max(l->batch_bytes, BATCH_HEADER_BYTES + 1);
    return (uint32_t)(w->ops->likely_bytes ? u64_min(BATCH_HEADER_BYTES + 1 + w->ops->likely_bytes(w), most) : most);
}

/* --- what becomes of a batch --- */

/* As Kafka's coordinators answer for what the log says. */
static enum kerr coord_answer_for(enum kerr error)
{
    switch ((int)error) {
    case KERR_UNKNOWN_TOPIC_OR_PARTITION:
    case KERR_NOT_ENOUGH_REPLICAS:
    case KERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND:
    case KERR_REQUEST_TIMED_OUT: return KERR_COORDINATOR_NOT_AVAILABLE;
    case KERR_NOT_LEADER_OR_FOLLOWER:
    case KERR_KAFKA_STORAGE_ERROR: return KERR_NOT_COORDINATOR;
    default: return error;
    }
}

/* The topic's max.message.bytes is less than what was gathered: less is gathered from now on. */
static bool halve_batch_bytes(struct coord_log *l, struct coord_write *w)
{
    if (!coord_write_too_large(w->append.error) || w->batch_count <= 1)
        return false;
    uint32_t half = w->append.bytes / 2;
    l->batch_bytes = half > BATCH_BYTES_MIN ? half : BATCH_BYTES_MIN;
    w->at = w->batch_at;
    w->last = false;
    heap_free(l->heap, w->bytes);
    w->bytes = NULL;
    w->capacity = 0;
    return true;
}

static void coord_batch_durable(struct coord_log *l, struct coord_write *w)
{
    if (w->ops->apply && w->ops->apply(w)) {
        l->may_pass = true;
        coord_log_fail(l, "no memory for what was written");
        conclude_coord_write(l, w, KERR_NOT_COORDINATOR);
    } else if (w->last) {
        conclude_coord_write(l, w, KERR_NONE);
    } else {
        step_coord_write(l, w);
    }
}

static void coord_batch_appended(struct append *a)
{
    struct coord_write *w = container_of(a, struct coord_write, append);
    struct coord_log *l = w->log;
    if (w->txn)
        w->txn->guard = a->error == KERR_INVALID_TXN_STATE ? a->guard : 0;
    if (a->error == KERR_NONE)
        coord_batch_durable(l, w);
    else if (halve_batch_bytes(l, w))
        step_coord_write(l, w);
    else
        conclude_coord_write(l, w, coord_answer_for(a->error));
    coord_sweep_want(l);
}

uint32_t coord_write_step(struct coord_log *l, struct coord_write *w)
{
    struct record_batch b = {0};
    w->batch_at = w->at;
    w->batch_count = 0;
    if (l->state != COORD_LOG_READY) {
        end_write_this_turn(l, w, KERR_NOT_COORDINATOR);
        return 0;
    }
    if (w->txn && coord_marker_writing(l, w->txn->of.producer_id)) {
        end_write_this_turn(l, w, KERR_COORDINATOR_LOAD_IN_PROGRESS);
        return 0;
    }
    if (reserve_batch_bytes(l, w, &b, first_batch_bytes(l, w))) {
        end_write_this_turn(l, w, KERR_COORDINATOR_NOT_AVAILABLE);
        return 0;
    }
    uint32_t looked = w->ops->gather(w, &b);
    if (b.count > 0) {
        w->batch_count = (uint32_t)b.count;
        w->append = (struct append){.records = w->bytes,
                                    .bytes = record_batch_end(&b, clock_wall_ms(), w->txn ? &w->txn->of : NULL),
                                    .produce_version =
                                        w->txn && w->txn->first_generation ? PRODUCE_ADDS_PARTITIONS - 1 : INT16_MAX,
                                    .origin = APPEND_COORDINATOR,
                                    .guard = w->txn ? w->txn->guard : 0,
                                    .done = coord_batch_appended};
        partition_append(l->partition, &w->append);
    } else if (w->last) {
        end_write_this_turn(l, w, KERR_NONE);
    } else if (looked == COORD_SCAN_MAX) {
        step_coord_write(l, w);
    } else {
        end_write_this_turn(l, w, KERR_COORDINATOR_NOT_AVAILABLE); /* no memory for a first record */
    }
    return 1 + looked + w->batch_count * PACE_RECORD;
}
