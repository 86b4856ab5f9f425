/* The queues of a shard's recoveries, and the job (recoverer.h).
 *
 *   IDLE --a partition is queued--> RUNNING: a job reads its folder --done: installed, the next--> ... --none--> TIDYING --> IDLE
 *
 * The job works in a heap of its own, which belongs to the thread that runs it: the shard copies what it found, and the next job,
 * or one that does nothing else (TIDYING), closes it. What is large is copied in several turns, before anything else. */
#include "storage/recovery/recoverer.h"
#include "core/clock.h"
#include "core/log.h"
#include "storage/log/deleter.h"
#include "storage/log/full_disk.h"
#include "storage/log/partition_dir.h"
#include "storage/log/partition_state.h"
#include <stdatomic.h>
#include <string.h>

enum { RECOVERY_ROOM_BYTES = 512 * 1024 }; /* of the ballast: indexes and what is synced */
enum recoverer_state { RECOVERER_IDLE, RECOVERER_RUNNING, RECOVERER_TIDYING };

/* The job's, while one is out. */
struct recovery_job {
    struct io_op op;
    struct recovery_input in;
    struct checkpoint_entry entry; /* `in` points to it */
    const uint8_t *encoded;        /* which points into this, the partition's own */
    uint32_t encoded_bytes;
    uint8_t topic_id[16];
    struct ballast *ballast; /* what it gets where it finds no room; NULL: nothing */
    _Atomic bool give_up;
    struct heap *heap; /* of the job that ran last */
    struct recovered recovered;
    enum err err;
    bool copying;
    struct recovered_copy copy; /* the shard's, of what was found */
};
struct recoverer {
    struct log_store *store;
    enum recoverer_state state;
    struct partition *running;              /* NULL: the one that ran is gone */
    struct list queues[RECOVERY_URGENCIES]; /* struct partition */
    struct list no_room;                    /* struct partition: wait until a probe finds room again */
    struct partition *probe;                /* of those that waited for room, the one that is tried now */
    struct timer probe_timer;
    struct list deadlines; /* struct recovery_wait, the first due first */
    struct timer deadline_timer;
    uint32_t waiting_bytes;
    struct shard_defer copying; /* goes on in the next turn */
    struct shard_defer begin;   /* so that none begins before the loop runs */
    bool stop_over;
    void (*stopped)(struct log_store *ls);
    struct recovery_job job;
};

static struct recoverer *recoverer_of(const struct partition *p)
{
    return p->store->recoverer;
}

/* --- in the job --- */

static void close_last_heap(struct recovery_job *j)
{
    if (j->heap)
        heap_close(j->heap);
    j->heap = NULL;
}

/* As it was when the log was written, at its laxest: the setting is recorded before the first wave that needs no flush, and recorded again only
 * when all of those are flushed. */
static void decode_lent_checkpoint(struct recovery_job *j)
{
    assert(!j->in.checkpoint);
    if (!j->encoded || checkpoint_entry_decode(j->encoded, j->encoded_bytes, &j->entry) == 0)
        return;
    j->in.checkpoint = &j->entry;
    j->in.caching = j->in.caching || j->entry.caching;
}

static int32_t run_recovery(void *arg)
{
    struct recovery_job *j = arg;
    assert(j->in.dir);
    decode_lent_checkpoint(j);
    uint8_t owner[16]; /* a folder that a failed deletion of another topic left is none of ours */
    close_last_heap(j);
    j->heap = heap_open();
    if (!j->heap) {
        j->err = ERR_NO_MEMORY;
        return 0;
    }
    j->in.heap = j->heap;
    bool foreign = partition_dir_topic(j->in.dir, owner) && memcmp(owner, j->topic_id, sizeof owner) != 0;
    j->err = foreign ? ERR_NOT_FOUND : recovery_run(&j->in, &j->recovered);
    if (j->err == ERR_NO_SPACE && j->ballast && ballast_give(j->ballast, RECOVERY_ROOM_BYTES))
        j->err = recovery_run(&j->in, &j->recovered);
    return 0;
}

static int32_t run_tidying(void *arg)
{
    assert(arg);
    close_last_heap(arg);
    return 0;
}

/* --- those that wait --- */

static void end_wait(struct recovery_wait *w)
{
    assert(w->recoverer);
    assert(w->over);
    list_remove(&w->link);
    list_remove(&w->deadline_link);
    w->recoverer = NULL;
    w->over(w);
}

void recoverer_tell(struct list *waiting)
{
    struct list *l;
    while ((l = list_first(waiting)))
        end_wait(container_of(l, struct recovery_wait, link));
}

static void start_deadline(struct recoverer *rc)
{
    struct list *l = list_first(&rc->deadlines);
    if (l)
        timer_start(&rc->store->shard->timers, &rc->deadline_timer,
                    container_of(l, struct recovery_wait, deadline_link)->deadline_ns);
}

static void deadline_due(struct timer *t)
{
    struct recoverer *rc = container_of(t, struct recoverer, deadline_timer);
    struct list *l;
    while ((l = list_first(&rc->deadlines))) {
        struct recovery_wait *w = container_of(l, struct recovery_wait, deadline_link);
        if (w->deadline_ns > rc->store->shard->now_ns)
            break;
        end_wait(w);
    }
    start_deadline(rc);
}

void recoverer_cancel(struct recovery_wait *w)
{
    if (!w->recoverer)
        return;
    list_remove(&w->link);
    list_remove(&w->deadline_link);
    w->recoverer = NULL;
}

bool recoverer_take_bytes(struct log_store *ls, uint32_t bytes)
{
    struct recoverer *rc = ls->recoverer;
    assert(rc->waiting_bytes <= RECOVERY_WAIT_BYTES);
    if (bytes > RECOVERY_WAIT_BYTES - rc->waiting_bytes)
        return false;
    rc->waiting_bytes += bytes;
    return true;
}

void recoverer_give_bytes(struct log_store *ls, uint32_t bytes)
{
    assert(ls->recoverer->waiting_bytes >= bytes);
    ls->recoverer->waiting_bytes -= bytes;
}

/* --- the queues --- */

static void queue_recovery(struct recoverer *rc, struct partition *p, enum recovery_urgency urgency)
{
    assert(p->recovery.state == RECOVERY_NONE);
    assert(!p->stop.done);
    assert(urgency < RECOVERY_URGENCIES);
    list_remove(&p->recovery.link); /* it may have waited for room */
    p->recovery.state = RECOVERY_QUEUED;
    p->recovery.urgency = (uint8_t)urgency;
    list_push(&rc->queues[urgency], &p->recovery.link);
    shard_defer(rc->store->shard, &rc->begin);
}

/* A large recovery that nobody waits for stands before one that somebody waits for: it begins again later. */
static void give_way(struct recoverer *rc)
{
    if (rc->state == RECOVERER_RUNNING && rc->running && rc->running->recovery.urgency > RECOVERY_REQUEST)
        atomic_store_explicit(&rc->job.give_up, true, memory_order_relaxed);
}

static void ask_for(struct partition *p, enum recovery_urgency urgency)
{
    assert(p->condition == PARTITION_UNRECOVERED);
    struct recoverer *rc = recoverer_of(p);
    if (p->recovery.state == RECOVERY_NONE && p->condition == PARTITION_UNRECOVERED) {
        queue_recovery(rc, p, urgency);
    } else if (urgency < p->recovery.urgency) {
        p->recovery.urgency = (uint8_t)urgency;
        if (p->recovery.state == RECOVERY_RUNNING)
            return;
        list_remove(&p->recovery.link);
        list_push(&rc->queues[urgency], &p->recovery.link);
    }
    if (urgency == RECOVERY_REQUEST && p->recovery.state == RECOVERY_QUEUED)
        give_way(rc);
}

void recoverer_ask(struct partition *p)
{
    if (p->condition == PARTITION_UNRECOVERED)
        ask_for(p, RECOVERY_REQUEST);
}

/* Mostly behind all others: they wait equally long. */
static void add_deadline(struct recoverer *rc, struct recovery_wait *w)
{
    assert(w->recoverer == rc);
    assert(w->deadline_ns != RECOVERY_NO_DEADLINE);
    struct list *at = &rc->deadlines;
    while (at->prev != &rc->deadlines &&
           container_of(at->prev, struct recovery_wait, deadline_link)->deadline_ns > w->deadline_ns)
        at = at->prev;
    list_insert_before(at, &w->deadline_link);
    start_deadline(rc);
}

uint64_t recoverer_deadline(const struct log_store *ls)
{
    return ls->shard->now_ns + RECOVERY_WAIT_MS * NS_PER_MS;
}

bool recoverer_wait(struct partition *p, struct recovery_wait *w, enum recovery_urgency urgency, uint64_t deadline_ns)
{
    assert(urgency < RECOVERY_URGENCIES);
    struct recoverer *rc = recoverer_of(p);
    assert(w->over);
    w->recoverer = NULL;
    if (p->condition != PARTITION_UNRECOVERED || PLANTED(serve_unrecovered))
        return false;
    ask_for(p, urgency);
    w->recoverer = rc;
    list_init(&w->link);
    list_init(&w->deadline_link);
    list_push(&p->recovery.waiting, &w->link);
    w->deadline_ns = deadline_ns;
    if (deadline_ns != RECOVERY_NO_DEADLINE)
        add_deadline(rc, w);
    return true;
}

void recoverer_add(struct recoverer *rc, struct partition *p)
{
    assert(p->store == rc->store);
    assert(p->recovery.state == RECOVERY_NONE);
    if (p->condition == PARTITION_UNRECOVERED)
        queue_recovery(rc, p, RECOVERY_BACKGROUND);
}

/* --- where there was no room --- */

static void start_probe(struct recoverer *rc, uint64_t wait_ms)
{
    if (!list_empty(&rc->no_room) && !rc->probe && !timer_started(&rc->probe_timer) && !rc->stopped)
        timer_start(&rc->store->shard->timers, &rc->probe_timer, rc->store->shard->now_ns + wait_ms * NS_PER_MS);
}

/* The first that nothing of is in flight. */
static void probe_due(struct timer *t)
{
    struct recoverer *rc = container_of(t, struct recoverer, probe_timer);
    assert(!rc->probe);
    for (struct list *l = rc->no_room.next; l != &rc->no_room && !rc->probe; l = l->next) {
        struct partition *p = container_of(l, struct partition, recovery.link);
        if (!partition_busy(p))
            rc->probe = p;
    }
    if (rc->probe)
        queue_recovery(rc, rc->probe, RECOVERY_BACKGROUND);
    else
        start_probe(rc, RETRY_MS);
}

/* The log_store's reopen: asked at once if it is the first, and then at a pace. */
static void wait_for_room(struct log_store *ls, struct partition *p)
{
    struct recoverer *rc = ls->recoverer;
    if (p->stop.done)
        return;
    assert(p->condition == PARTITION_NO_ROOM);
    bool again = rc->probe == p || !list_empty(&rc->no_room);
    if (rc->probe == p)
        rc->probe = NULL;
    assert(p->recovery.state == RECOVERY_NONE);
    list_remove(&p->recovery.link);
    list_push(&rc->no_room, &p->recovery.link);
    start_probe(rc, again || !p->recovery.done ? REOPEN_MS : 0);
}

/* There is room again: the others follow, each as soon as nothing of it is in flight. */
static void probe_over(struct recoverer *rc)
{
    assert(rc->probe);
    rc->probe = NULL;
    struct list now, *l;
    list_init(&now);
    list_splice(&now, &rc->no_room);
    while ((l = list_pop(&now))) {
        struct partition *p = container_of(l, struct partition, recovery.link);
        if (partition_busy(p))
            list_push(&rc->no_room, l);
        else
            queue_recovery(rc, p, RECOVERY_BACKGROUND);
    }
    start_probe(rc, RETRY_MS);
}

/* --- running --- */

static void recovery_done(struct io_op *op, int32_t res);
static void tidying_done(struct io_op *op, int32_t res);

/* It may have gone offline meanwhile, with the whole data folder. */
static bool is_recoverable(const struct partition *p)
{
    return p->condition == PARTITION_UNRECOVERED || p->condition == PARTITION_NO_ROOM;
}

static void tell_waiting(struct partition *p)
{
    struct list waiting;
    list_init(&waiting);
    list_splice(&waiting, &p->recovery.waiting);
    recoverer_tell(&waiting);
}

static struct partition *next_in_queue(struct list *queue)
{
    struct list *l;
    while ((l = list_pop(queue))) {
        struct partition *p = container_of(l, struct partition, recovery.link);
        assert(p->recovery.state == RECOVERY_QUEUED);
        p->recovery.state = RECOVERY_NONE;
        if (is_recoverable(p))
            return p;
        tell_waiting(p);
    }
    return NULL;
}

static struct partition *next_to_recover(struct recoverer *rc)
{
    assert(rc->state == RECOVERER_IDLE);
    struct partition *p = NULL;
    for (uint32_t i = 0; i < RECOVERY_URGENCIES && !p; i++)
        p = next_in_queue(&rc->queues[i]);
    return p;
}

/* The job reads its entry where it is: nothing takes its place before the job has ended. */
static void lend_checkpoint(struct recovery_job *j, struct partition *p)
{
    assert(!j->encoded);
    assert(!p->checkpoint.entry || p->checkpoint.entry_bytes > 0);
    checkpoint_leave(p);
    j->encoded = p->checkpoint.entry;
    j->encoded_bytes = p->checkpoint.entry_bytes;
}

static void begin_recovery(struct recoverer *rc, struct partition *p)
{
    assert(!rc->running);
    struct recovery_job *j = &rc->job;
    assert(!p->stop.done);
    assert(is_recoverable(p));
    partition_drop_log(p);
    lend_checkpoint(j, p);
    p->recovery.state = RECOVERY_RUNNING;
    rc->running = p;
    rc->state = RECOVERER_RUNNING;
    partition_recovery_input(p, &j->in);
    atomic_store_explicit(&j->give_up, false, memory_order_relaxed);
    j->in.give_up = &j->give_up;
    memcpy(j->topic_id, p->topic->id, sizeof j->topic_id);
    j->ballast = full_disk_comes_first(p) ? &rc->store->ballast : NULL; /* a ring that is not open makes no room */
    io_job(rc->store->shard->io, &j->op, IO_BACKGROUND, run_recovery, j, recovery_done);
}

static void begin_next_recovery(struct recoverer *rc)
{
    struct partition *p;
    while (rc->state == RECOVERER_IDLE && !rc->stopped && (p = next_to_recover(rc)))
        begin_recovery(rc, p);
    if (rc->state == RECOVERER_IDLE && rc->job.heap) {
        rc->state = RECOVERER_TIDYING;
        io_job(rc->store->shard->io, &rc->job.op, IO_BACKGROUND, run_tidying, &rc->job, tidying_done);
    } else if (rc->state == RECOVERER_IDLE && rc->stopped && !rc->stop_over) {
        rc->stop_over = true;
        rc->stopped(rc->store);
    }
}

static void begin_deferred(struct shard_defer *d)
{
    begin_next_recovery(container_of(d, struct recoverer, begin));
}

static void tidying_done(struct io_op *op, int32_t res)
{
    (void)res;
    struct recoverer *rc = container_of(op, struct recoverer, job.op);
    assert(rc->state == RECOVERER_TIDYING);
    assert(!rc->job.heap);
    rc->state = RECOVERER_IDLE;
    begin_next_recovery(rc);
}

/* Files of segments that left the log: one after the other, while the partition serves. */
static void unlink_gone(struct recoverer *rc, struct partition *p)
{
    const struct folder_offsets *gone = &rc->job.recovered.gone;
    assert(rc->state == RECOVERER_RUNNING);
    bool remembered = true;
    for (uint32_t i = 0; i < gone->count && remembered; i++)
        remembered = deleter_add_left(rc->store->deleter, p, gone->v[i]);
    if (!remembered)
        log_warn("files not removed", "partition=%s-%d effect=\"they go at the next start\"", p->topic->name, p->index);
}

static void drop_copy(struct recovery_job *j)
{
    if (j->copying)
        recovered_deinit(&j->copy.to); /* but for what was taken out of it */
    assert(list_empty(&j->copy.to.segments) || !j->copying);
    j->copying = false;
}

static void take_result(struct recoverer *rc, struct partition *p)
{
    assert(p->recovery.state == RECOVERY_NONE);
    struct recovery_job *j = &rc->job;
    assert(j->err || j->copying);
    partition_recovered(p, &j->in, j->err ? NULL : &j->copy.to, j->err);
    if (!j->err && p->condition == PARTITION_OPEN)
        unlink_gone(rc, p);
    if (rc->probe == p && p->condition != PARTITION_NO_ROOM)
        probe_over(rc);
}

static bool wants_result(const struct partition *p)
{
    return !p->stop.done && is_recoverable(p);
}

static void end_recovery(struct recoverer *rc)
{
    struct partition *p = rc->running;
    assert(rc->state == RECOVERER_RUNNING);
    assert(p && p->recovery.state == RECOVERY_RUNNING);
    rc->running = NULL;
    p->recovery.state = RECOVERY_NONE;
    if (!wants_result(p)) {
        /* nobody wants to know */
    } else if (rc->job.err == ERR_CLOSED) { /* it gave way */
        queue_recovery(rc, p, p->recovery.urgency);
    } else {
        take_result(rc, p);
    }
    drop_copy(&rc->job);
    rc->job.encoded = NULL;
    struct list waiting;
    list_init(&waiting);
    if (p->condition != PARTITION_UNRECOVERED)
        list_splice(&waiting, &p->recovery.waiting);
    partition_stop_step(p); /* p may be gone after this */
    recoverer_tell(&waiting);
    rc->state = RECOVERER_IDLE;
    begin_next_recovery(rc);
}

static enum err copy_some_found(struct recoverer *rc, bool *out_whole)
{
    struct recovery_job *j = &rc->job;
    enum err err = j->copying ? ERR_NONE : recovered_copy_begin(&j->copy, &j->recovered, rc->store->shard->heap);
    j->copying = true;
    return err ? err : recovered_copy_some(&j->copy, &j->recovered, rc->store->index_heap, out_whole);
}

/* Some of what was found; the result is taken when the shard has all of it. */
static void copy_found(struct recoverer *rc)
{
    struct recovery_job *j = &rc->job;
    assert(rc->state == RECOVERER_RUNNING);
    if (!j->err && wants_result(rc->running)) {
        bool whole = false;
        j->err = copy_some_found(rc, &whole);
        if (!j->err && !whole) {
            shard_defer(rc->store->shard, &rc->copying);
            return;
        }
    }
    end_recovery(rc);
}

static void copy_more(struct shard_defer *d)
{
    copy_found(container_of(d, struct recoverer, copying));
}

static void recovery_done(struct io_op *op, int32_t res)
{
    (void)res;
    struct recoverer *rc = container_of(op, struct recoverer, job.op);
    assert(!rc->job.copying);
    copy_found(rc);
}

/* --- stopping --- */

void recoverer_drop(struct partition *p, struct list *out_waiting)
{
    assert(!p->stop.done);
    struct recoverer *rc = recoverer_of(p);
    list_init(out_waiting);
    list_splice(out_waiting, &p->recovery.waiting);
    list_remove(&p->recovery.link);
    if (p->recovery.state == RECOVERY_QUEUED)
        p->recovery.state = RECOVERY_NONE;
    if (rc->running == p)
        atomic_store_explicit(&rc->job.give_up, true, memory_order_relaxed);
    if (rc->probe == p) {
        rc->probe = NULL;
        start_probe(rc, REOPEN_MS);
    }
}

void recoverer_forget_waits(struct partition *p)
{
    struct list *l;
    assert(p->recovery.state != RECOVERY_RUNNING);
    while ((l = list_pop(&p->recovery.waiting))) {
        struct recovery_wait *w = container_of(l, struct recovery_wait, link);
        assert(w->recoverer == recoverer_of(p));
        list_remove(&w->deadline_link);
        w->recoverer = NULL;
    }
}

void recoverer_stop(struct recoverer *rc, void (*stopped)(struct log_store *ls))
{
    assert(!rc->stopped);
    assert(stopped);
    rc->stopped = stopped;
    timer_stop(&rc->store->shard->timers, &rc->probe_timer);
    begin_next_recovery(rc);
}

/* --- opening --- */

struct recoverer *recoverer_open(struct log_store *ls)
{
    assert(!ls->recoverer);
    struct recoverer *rc = heap_zalloc(ls->shard->heap, sizeof *rc);
    if (!rc)
        return NULL;
    rc->store = ls;
    for (uint32_t i = 0; i < RECOVERY_URGENCIES; i++)
        list_init(&rc->queues[i]);
    list_init(&rc->no_room);
    list_init(&rc->deadlines);
    shard_defer_init(&rc->begin, begin_deferred);
    shard_defer_init(&rc->copying, copy_more);
    timer_init(&rc->probe_timer, probe_due);
    timer_init(&rc->deadline_timer, deadline_due);
    ls->reopen = wait_for_room;
    return rc;
}

void recoverer_close(struct recoverer *rc)
{
    assert(rc->store->recoverer == rc);
    struct shard *s = rc->store->shard;
    timer_stop(&s->timers, &rc->probe_timer);
    timer_stop(&s->timers, &rc->deadline_timer);
    list_remove(&rc->begin.link);
    list_remove(&rc->copying.link);
    drop_copy(&rc->job);
    rc->store->recoverer = NULL;
    heap_free(s->heap, rc);
}

static void check_queue(const struct list *queue, enum recovery_state state)
{
    for (const struct list *l = queue->next; l != queue; l = l->next) {
        const struct partition *p = container_of(l, struct partition, recovery.link);
        assert(p->recovery.state == state);
        assert(!p->stop.done);
        assert(p->condition != PARTITION_OPEN);
        assert(p->condition != PARTITION_STOPPING);
    }
}

void recoverer_check(const struct recoverer *rc)
{
    for (uint32_t i = 0; i < RECOVERY_URGENCIES; i++)
        check_queue(&rc->queues[i], RECOVERY_QUEUED);
    check_queue(&rc->no_room, RECOVERY_NONE);
    assert((rc->state == RECOVERER_RUNNING) == (rc->running != NULL));
    assert(!rc->running || rc->running->recovery.state == RECOVERY_RUNNING);
    assert(list_empty(&rc->deadlines) || timer_started(&rc->deadline_timer));
    assert(list_empty(&rc->no_room) || rc->probe || rc->stopped || timer_started(&rc->probe_timer));
    assert(rc->waiting_bytes <= RECOVERY_WAIT_BYTES);
}
