/* Files and their space: rolls, opening the active file again (a wake), space ahead of the log, trimming at a stop, deleting. All of
 * it in jobs or asynchronous operations.
 *
 * A roll does not keep appends waiting for more than one flush:
 *
 *   ahead    the segment is three quarters full: a job makes the next file, under a name that is no segment's, and syncs it
 *   roll     every byte of the old segment is durable (with write.caching too: the roll asks for a flush). No appends while a job
 *            saves the epochs if there are new ones, gives the file its name and syncs the folder. From then on the new one is active
 *   close    behind: a job saves the old segment's indexes and the producer snapshot, and trims the file, in this order
 *
 * What a crash leaves between any two of these steps: a file made ahead is no segment's, and goes. A segment that has its name says
 * that every byte before it was durable. One that is not trimmed, or has no snapshot behind it, may have index files that
 * end too early: recovery makes them anew. */
#include "core/clock.h"
#include "core/log.h"
#include "storage/log/full_disk.h"
#include "storage/log/space_job.h"
#include <stdio.h>
#include <string.h>

enum {
    CLOSE_RETRY_MS = 500,
    STEP_LASTS_SLOW_S = 4,
    JOB_SPENDS_BYTES = 32 * 1024 /* what follows a job takes as long as receiving so many bytes (io_spend) */
};

/* --- on the shard --- */

static void free_space_job(struct space_job *j)
{
    struct heap *h = shard_of(j->partition)->heap;
    producers_close(j->producers);
    heap_free(h, j->epochs);
    heap_free(h, j);
}

static bool lend_epochs(struct space_job *j)
{
    assert(!j->epochs);
    struct partition *p = j->partition;
    j->epochs_bytes = epochs_text(&p->epochs, NULL, 0);
    j->epochs = heap_alloc(shard_of(p)->heap, j->epochs_bytes + 1);
    if (j->epochs)
        (void)epochs_text(&p->epochs, j->epochs, j->epochs_bytes + 1);
    return j->epochs != NULL;
}

/* A segment that ends here; its index has room for one entry more. */
static void lend_old_segment(struct space_job *j, struct segment *old)
{
    assert(!j->old);
    enum err err = index_finish(&old->index);
    assert(!err);
    j->old = old;
    j->old_fd = old->file.fd;
    j->old_bytes = old->bytes;
}

/* What it needs of memory to save the active segment as it is; false: there is none. */
static bool hold_what_is_saved(struct space_job *j, bool with_producers)
{
    assert(!j->producers);
    struct partition *p = j->partition;
    if (index_reserve(&p->active->index))
        return false;
    if (with_producers)
        j->producers = producers_hold(p->producers);
    return j->producers || !with_producers;
}

static struct space_job *new_space_job(struct partition *p, enum job_kind kind)
{
    assert(strlen(p->dir) < FS_PATH_MAX);
    struct space_job *j = heap_zalloc(shard_of(p)->heap, sizeof *j);
    if (!j)
        return NULL;
    j->partition = p;
    j->kind = kind;
    j->fd = j->old_fd = -1;
    memcpy(j->dir, p->dir, strlen(p->dir) + 1);
    j->data_dir = p->store->root->config->data_dir;
    j->direct = p->store->root->direct;
    j->flush_fd = p->store->root->lock_fd;
    j->next_offset = p->end.offset;
    j->ballast = kind == JOB_STOP || full_disk_comes_first(p) ? &p->store->ballast : NULL;
    memcpy(j->topic_id, p->topic->id, sizeof j->topic_id);
    return j;
}

/* A clean stop is that of many partitions, and nobody waits for anything else any more: both threads work on it, and the file system
 * makes one commit of what two of them flush. */
static enum io_class space_job_class(const struct space_job *j)
{
    bool other_half = j->kind == JOB_STOP && j->partition->place % 2 == 1;
    return j->kind == JOB_DELETE || other_half ? IO_BACKGROUND : IO_URGENT;
}

static void start_space_job(struct space_job *j, io_done_fn *done)
{
    struct partition *p = j->partition;
    assert(j->kind != JOB_AHEAD && j->kind != JOB_CLOSE);
    assert(p->space.state == SPACE_CLOSED || p->space.state == SPACE_READY);
    assert(!p->space.job);
    j->state_before = p->space.state;
    p->space.state = j->kind == JOB_ROLL ? SPACE_ROLLING : j->kind == JOB_WAKE ? SPACE_WAKING : SPACE_STOPPING;
    p->space.job = j;
    io_job(shard_of(p)->io, &j->op, space_job_class(j), space_job_run, j, done);
}

/* The job is over: what the active file is now. */
static void space_job_ended(struct partition *p, enum space_state state)
{
    assert(space_in_job(p));
    assert(p->space.job);
    p->space.job = NULL;
    p->space.state = state;
}

/* A job could not be made or failed: a full disk or pool is asked again later, anything else takes the partition offline. */
static void fail_space_job(struct partition *p, enum err err, const char *what)
{
    assert(err);
    if (!space_is_shortage(err)) {
        char why[128];
        snprintf(why, sizeof why, "%s failed: %s", what, err_text(err));
        partition_offline(p, why);
        return;
    }
    if (err == ERR_NO_SPACE && full_disk_helps(p))
        return;
    space_full(p, err);
}

static void say_no_room(const struct partition *p, enum err err)
{
    if (list_empty(&p->writer.parked)) /* retention or compaction asked for it: no append was refused */
        log_warn("segment not closed", "partition=%s-%d why=\"%s\" effect=\"it is tried again\"", p->topic->name,
                 p->index, err_text(err));
    else
        log_error("no room",
                  "partition=%s-%d why=\"%s\" effect=\"produce is refused with KAFKA_STORAGE_ERROR, fetch goes on\"",
                  p->topic->name, p->index, err_text(err));
}

void space_full(struct partition *p, enum err err)
{
    assert(err);
    uint64_t *said = list_empty(&p->writer.parked) ? &p->space.roll_said_at_ns : &p->space.retry_at_ns;
    if (shard_of(p)->now_ns >= *said)
        say_no_room(p, err);
    *said = shard_of(p)->now_ns + 10 * NS_PER_S;
    if (err == ERR_NO_SPACE)
        full_disk_found_full(p->store);
    p->space.short_since_ns = 0;
    writer_fail_parked(p, KERR_KAFKA_STORAGE_ERROR);
}

static void end_space_job(struct partition *p)
{
    assert(!space_in_job(p));
    io_spend(shard_of(p)->io, JOB_SPENDS_BYTES);
    writer_kick(p);
    writer_flush_later(p); /* a flush that fell due during the job did not start */
    writer_retry(p);
    retention_step(p);
    partition_stop_step(p);
}

int64_t space_draw_jitter(struct partition *p)
{
    const struct topic_config *c = config_of(p);
    int64_t most = c->segment_jitter_ms < c->segment_ms ? c->segment_jitter_ms : c->segment_ms;
    return most > 0 ? (int64_t)rng_below(&shard_of(p)->rng, (uint64_t)most) : 0;
}

static struct segment *new_active_segment(struct partition *p, int64_t base_offset)
{
    struct segment *s = heap_alloc(shard_of(p)->heap, sizeof *s);
    if (!s)
        return NULL;
    segment_init(s, p->store->index_heap, base_offset, config_of(p)->segment_index_bytes);
    s->partition = p;
    s->jitter_ms = space_draw_jitter(p);
    s->index_loaded = true;
    return s;
}

/* --- the file made ahead --- */

static void ahead_done(struct io_op *op, int32_t res)
{
    (void)res;
    struct space_job *j = container_of(op, struct space_job, op);
    struct partition *p = j->partition;
    assert(p->space.ahead == AHEAD_MAKING);
    p->space.ahead = j->err ? AHEAD_FAILED : AHEAD_MADE;
    p->space.ahead_fd = j->fd;
    p->space.ahead_allocated = j->allocated;
    free_space_job(j);
    writer_retry(p);
    partition_stop_step(p);
}

/* Should it fail, the roll makes the file itself, and says what is wrong. */
void space_make_ahead(struct partition *p)
{
    assert(p->active);
    assert(p->space.ahead == AHEAD_NONE);
    struct space_job *j = full_disk_is_reserved(p) ? NULL : new_space_job(p, JOB_AHEAD);
    if (!j)
        return;
    j->step = u64_min(u64_max(p->space.step, ALLOCATE_STEP_MIN), align_up(config_of(p)->segment_bytes, PAGE_BYTES));
    p->space.ahead = AHEAD_MAKING;
    io_job(shard_of(p)->io, &j->op, IO_URGENT, space_job_run, j, ahead_done);
}

void space_close_ahead(struct partition *p)
{
    assert(p->space.ahead != AHEAD_MAKING);
    if (p->space.ahead != AHEAD_MADE)
        return;
    files_close_fd(p, p->space.ahead_fd);
    p->space.ahead = AHEAD_LEFT;
}

/* --- rolls --- */

static void close_done(struct io_op *op, int32_t res);

static void close_again(struct timer *t)
{
    struct space_job *j = container_of(t, struct space_job, retry);
    assert(j->partition->space.closing > 0);
    j->err = ERR_NONE;
    j->old_fd = j->old->file.fd;
    j->fd = -1;
    io_job(shard_of(j->partition)->io, &j->op, IO_BACKGROUND, space_job_run, j, close_done);
}

/* What is missing then makes recovery read more, and the producers of this segment hang on the checkpoint alone. So it is tried as
 * long as anything is. */
static void close_done(struct io_op *op, int32_t res)
{
    (void)res;
    struct space_job *j = container_of(op, struct space_job, op);
    struct partition *p = j->partition;
    assert(p->space.closing > 0);
    if (j->err && space_is_shortage(j->err) && p->condition == PARTITION_OPEN) {
        timer_start(&shard_of(p)->timers, &j->retry, shard_of(p)->now_ns + CLOSE_RETRY_MS * NS_PER_MS);
        return;
    }
    p->space.closing--;
    j->old->users--;
    j->old->closing = false;
    if (j->err && !space_is_shortage(j->err)) {
        char why[128];
        snprintf(why, sizeof why, "saving a closed segment failed: %s", err_text(j->err));
        partition_offline(p, why);
    } else if (j->err) {
        log_warn("segment not saved",
                 "partition=%s-%d segment=%020lld why=\"%s\" effect=\"its index is made anew when needed\"",
                 p->topic->name, p->index, (long long)j->old->base_offset, err_text(j->err));
    }
    free_space_job(j);
    trim_step(p); /* it may be below the start by now */
    partition_stop_step(p);
}

/* The old segment is complete and durable: what is saved of it may take its time. */
static void close_old_segment(struct partition *p, struct segment *old, struct space_job *j)
{
    assert(old != p->active);
    assert(j->kind == JOB_CLOSE && j->producers);
    lend_old_segment(j, old);
    j->next_offset = old->next_offset;
    timer_init(&j->retry, close_again);
    old->users++;
    old->closing = true;
    p->space.closing++;
    io_job(shard_of(p)->io, &j->op, IO_BACKGROUND, space_job_run, j, close_done);
}

static void begin_next_segment(struct partition *p, struct segment *s, const struct space_job *j)
{
    struct segment *old = p->active;
    assert(p->durable.offset == p->end.offset || PLANTED(roll_before_old_durable));
    assert(p->promised.offset == p->end.offset);
    assert(s->base_offset == p->end.offset);
    files_adopt(p->store, s, j->fd);
    s->allocated = j->made_ahead ? p->space.ahead_allocated : j->allocated;
    s->shares_flush = j->shares_flush;
    segments_push(&p->segments, s);
    p->active = s;
    p->end.position = 0;
    p->end.max_timestamp = p->end.max_timestamp_offset = -1;
    p->durable = p->written = p->promised = p->end;
    checkpoint_nothing_saved(p);
    p->space.ahead = AHEAD_NONE;
    p->space.short_since_ns = 0;
    p->space.saved = false;
    p->space.epochs_saved = epochs_latest(&p->epochs);
    if (!old)
        return;
    old->allocated = old->bytes;
    old->max_timestamp_offset = old->index.max_timestamp_offset;
    old->times_known = true;
    p->closed_bytes += old->bytes;
    if (j->close)
        close_old_segment(p, old, j->close);
    files_index_used(p->store, old);
}

/* What saves the old segment behind the roll. All its memory is there before anything is done: a segment that nothing saves would never get
 * its snapshot. */
static bool make_close_job(struct space_job *j)
{
    assert(j->kind == JOB_ROLL && !j->close);
    struct partition *p = j->partition;
    if (!p->active || (p->space.saved && producers_count(p->producers) > 0)) /* a stop leaves an empty one out */
        return true;
    j->close = new_space_job(p, JOB_CLOSE);
    return j->close && hold_what_is_saved(j->close, true);
}

/* It was not to be: what was made for it goes. */
static void drop_roll_job(struct space_job *j)
{
    assert(j->kind == JOB_ROLL);
    if (j->close)
        free_space_job(j->close);
    heap_free(shard_of(j->partition)->heap, j->next);
    free_space_job(j);
}

static void roll_done(struct io_op *op, int32_t res)
{
    (void)res;
    struct space_job *j = container_of(op, struct space_job, op);
    struct partition *p = j->partition;
    space_job_ended(p, j->err ? j->state_before : SPACE_READY);
    p->space.roll_wanted = 0;
    if (j->err) {
        p->space.ahead = AHEAD_NONE; /* the job has closed and removed it */
        fail_space_job(p, j->err, "a new segment");
        drop_roll_job(j);
    } else {
        begin_next_segment(p, j->next, j);
        checkpoint_rolled(p);
        partition_tell_waiting(p); /* the whole segment is durable */
        free_space_job(j);
    }
    end_space_job(p);
}

void space_roll(struct partition *p)
{
    assert(!partition_writes(p));
    assert(p->written.offset == p->end.offset);
    struct space_job *j = new_space_job(p, JOB_ROLL);
    bool epochs = p->active && p->space.epochs_saved != epochs_latest(&p->epochs);
    assert(p->space.ahead != AHEAD_MAKING);
    if (j)
        j->next = new_active_segment(p, p->end.offset);
    if (!j || !j->next || segments_reserve(&p->segments, 1) || (epochs && !lend_epochs(j)) || !make_close_job(j)) {
        if (j)
            drop_roll_job(j);
        p->space.roll_wanted = 0;
        space_full(p, ERR_NO_MEMORY);
        return;
    }
    j->first = !p->active;
    j->made_ahead = p->space.ahead == AHEAD_MADE;
    if (j->made_ahead)
        j->fd = p->space.ahead_fd;
    else
        p->space.step = ALLOCATE_STEP_MIN;
    j->step = ALLOCATE_STEP_MIN;
    start_space_job(j, roll_done);
}

static void wake_done(struct io_op *op, int32_t res)
{
    (void)res;
    struct space_job *j = container_of(op, struct space_job, op);
    struct partition *p = j->partition;
    assert(p->active == j->old);
    space_job_ended(p, j->err ? SPACE_CLOSED : SPACE_READY);
    if (j->err) {
        if (j->fd >= 0)
            files_close_fd(p, j->fd);
        tail_clear(&p->tail);
        fail_space_job(p, j->err, "opening the active segment");
    } else {
        if (j->fd >= 0 && p->active->file.fd < 0)
            files_adopt(p->store, p->active, j->fd);
        else if (j->fd >= 0)
            files_close_fd(p, j->fd); /* a read opened it meanwhile */
        p->active->shares_flush = j->shares_flush;
        segment_unsettle(p->active); /* it may have been trimmed: its size may be younger than its blocks */
    }
    free_space_job(j);
    end_space_job(p);
}

void space_wake(struct partition *p)
{
    assert(p->active);
    assert(p->space.state == SPACE_CLOSED);
    struct space_job *j = new_space_job(p, JOB_WAKE);
    uint32_t left;
    uint64_t block = align_down(p->end.position, PAGE_BYTES);
    enum err err = j ? ERR_NONE : ERR_NO_MEMORY;
    if (!err && block != p->end.position) {
        tail_clear(&p->tail);
        err = tail_reserve(&p->tail, shard_of(p)->bufs, p->active->number, block, PAGE_BYTES, PAGE_BYTES);
    }
    if (err) {
        if (j)
            free_space_job(j);
        if (log_store_evict(p->store))
            log_store_retry_later(p->store, p);
        else
            space_full(p, ERR_NO_MEMORY);
        return;
    }
    j->old = p->active;
    j->old_fd = p->active->file.fd;
    j->old_bytes = p->end.position;
    if (block != p->end.position) {
        j->block = tail_find(&p->tail, p->active->number, block, &left)->buf->at;
        j->block_position = block;
    }
    start_space_job(j, wake_done);
}

/* --- space ahead --- */

static void allocate_ahead(struct partition *p, uint64_t bytes);

void space_made(struct partition *p)
{
    assert(p->active->allocated != UINT64_MAX);
    p->active->allocated += p->space.allocating_bytes;
    p->space.retry_at_ns = p->space.short_since_ns = 0;
}

static void allocate_done(struct io_op *op, int32_t res)
{
    assert(container_of(op, struct partition, space.op)->space.state == SPACE_ALLOCATING);
    struct partition *p = container_of(op, struct partition, space.op);
    if (res >= 0 && zeroing_start(p))
        return;
    p->space.state = SPACE_READY;
    zeroing_fail(p);
    enum err err = res < 0 ? err_from_errno(-res) : ERR_NONE;
    if (!err) {
        space_made(p);
    } else if (err == ERR_UNSUPPORTED) {
        p->active->allocated = UINT64_MAX;
    } else if (err == ERR_NO_SPACE && p->space.wanted_position && !full_disk_is_reserved(p) &&
               p->space.allocating_bytes > p->space.wanted_position - p->active->allocated) {
        p->space.step = ALLOCATE_STEP_MIN; /* not a whole step, but what the waiting batch needs? */
        allocate_ahead(p, p->space.wanted_position - p->active->allocated);
        return;
    } else if (space_is_shortage(err)) {
        p->space.step = ALLOCATE_STEP_MIN;
        if (p->space.wanted_position && !(err == ERR_NO_SPACE && full_disk_helps(p)))
            space_full(p, err);
    } else {
        partition_fault(p, res, "making room");
    }
    writer_retry(p);
    partition_stop_step(p);
}

static void allocate_ahead(struct partition *p, uint64_t bytes)
{
    assert(p->space.state == SPACE_READY);
    assert(bytes % PAGE_BYTES == 0);
    assert(bytes > 0);
    p->space.state = SPACE_ALLOCATING;
    p->space.allocating_bytes = bytes;
    io_allocate(shard_of(p)->io, &p->space.op, &p->active->file, p->active->allocated, bytes, allocate_done);
}

/* Doubles while steps are used up within a second, or four where a step of zeros disturbs waves for long; never more than 5 % of what is free. */
static uint64_t next_space_step(struct partition *p, bool zeroed)
{
    bool slow = zeroed && log_store_flush_is_slow(p->store);
    uint64_t most = slow ? ZEROED_SLOW_STEP_MAX : zeroed ? ZEROED_STEP_MAX : ALLOCATE_STEP_MAX;
    assert(most >= ALLOCATE_STEP_MIN && most <= ALLOCATE_STEP_MAX);
    uint64_t now = shard_of(p)->now_ns;
    bool fast = now - p->space.step_at_ns < (slow ? STEP_LASTS_SLOW_S : 1) * NS_PER_S;
    p->space.step_at_ns = now;
    uint64_t step = fast ? (uint64_t)p->space.step * 2 : p->space.step / 2;
    step = u64_min(step, p->store->free_bytes / 20);
    step = u64_max(u64_min(step, most), ALLOCATE_STEP_MIN);
    p->space.step = (uint32_t)align_down(step, PAGE_BYTES);
    assert(p->space.step >= ALLOCATE_STEP_MIN);
    assert(p->space.step <= ALLOCATE_STEP_MAX);
    return p->space.step;
}

static void make_step(struct partition *p, uint64_t bytes, bool zeroed)
{
    assert(p->space.zeroing.state == ZEROING_NONE);
    allocate_ahead(p, bytes);
    if (zeroed)
        zeroing_begin(p, bytes);
    p->space.use = (struct space_use){0};
}

void space_ahead(struct partition *p, uint64_t need_position)
{
    assert(p->active);
    assert(space_is_ready(p));
    struct segment *s = p->active;
    if (s->allocated != UINT64_MAX && s->allocated % PAGE_BYTES) /* trimmed at a clean stop */
        s->allocated = align_down(s->allocated, PAGE_BYTES);
    if (p->space.state == SPACE_ALLOCATING) {
        p->space.wanted_position = u64_max(p->space.wanted_position, need_position);
        if (need_position)
            zeroing_hurry(p);
        return;
    }
    bool zeroed = (!need_position || PLANTED(zeros_behind_appends)) && zeroing_is_wanted(p);
    if (zeroed && zeroing_waits(p))
        return;
    list_remove(&p->space.zeroing.link);
    uint64_t cap = align_up(config_of(p)->segment_bytes, PAGE_BYTES);
    uint64_t step = next_space_step(p, zeroed);
    uint64_t to = u64_max(need_position, u64_min(s->allocated + step, cap));
    if (to <= s->allocated)
        return;
    p->space.wanted_position = need_position;
    if (!full_disk_is_reserved(p))
        make_step(p, to - s->allocated, zeroed);
    else if (need_position && !full_disk_helps(p))
        space_full(p, ERR_NO_SPACE);
}

/* --- stop and delete --- */

static void stop_done(struct io_op *op, int32_t res)
{
    (void)res;
    struct space_job *j = container_of(op, struct space_job, op);
    struct partition *p = j->partition;
    assert(p->gone);
    space_job_ended(p, SPACE_CLOSED);
    if (j->err)
        log_error("stop failed", "partition=%s-%d why=\"%s\" effect=\"it is recovered at the next start\"",
                  p->topic->name, p->index, err_text(j->err));
    p->store->stop_failed |= j->kind == JOB_STOP && j->err;
    p->stop.clean = p->space.saved = p->stop.saved = j->kind == JOB_STOP && !j->err;
    free_space_job(j);
    p->stop.done(p);
}

/* An epoch that begins in the active segment is found there. (The file is synced even if the rest is later: a power cut must not take what it
 * had.) */
static bool stop_saves_epochs(const struct partition *p)
{
    assert(p->active);
    const struct epochs *es = &p->epochs;
    return p->space.epochs_saved != epochs_latest(es) &&
           (es->count > 1 || (es->count == 1 && es->v[0].start_offset < p->active->base_offset));
}

void space_stop(struct partition *p)
{
    assert(!p->gone && !p->closes);
    assert(p->space.ahead != AHEAD_MAKING && p->space.ahead != AHEAD_MADE);
    assert(p->stop.done);
    p->gone = true;
    struct space_job *j = new_space_job(p, p->stop.deleting ? JOB_DELETE : JOB_STOP);
    if (j)
        j->made_ahead = p->space.ahead == AHEAD_LEFT;
    p->space.ahead = AHEAD_NONE;
    if (j)
        j->sync_later = !p->stop.deleting && p->store->stop_syncs_all;
    if (j && (p->stop.deleting || (hold_what_is_saved(j, producers_count(p->producers) > 0) &&
                                   (!stop_saves_epochs(p) || lend_epochs(j))))) {
        if (!p->stop.deleting)
            lend_old_segment(j, p->active);
        start_space_job(j, stop_done);
        return;
    }
    if (j)
        free_space_job(j);
    p->store->stop_failed |= !p->stop.deleting;
    p->stop.done(p); /* no memory: not clean, recovered at the next start */
}
