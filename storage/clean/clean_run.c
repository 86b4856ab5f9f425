/* One cleaning: its steps one after the other, paced; the swap; its end, whatever ends it (cleaner.h). */
#include "storage/clean/cleaner_state.h"
#include "core/clock.h"
#include "core/log.h"
#include "storage/log/deleter.h"

static const double pace_max = 1e15; /* bytes a second: none */

/* --- the end of a cleaning --- */

static void free_run(struct clean_run *r)
{
    assert(!r->made && !r->taken && list_empty(&r->old));
    struct heap *h = r->cleaner->store->shard->heap;
    timer_stop(&r->cleaner->store->shard->timers, &r->timer);
    heap_free(h, r->work.dir);
    heap_free(h, r->work.topic);
    heap_free(h, r->work.segments);
    producers_close(r->work.held);
    heap_free(h, r->work.txns.aborted);
    heap_free(h, r->pinned);
    heap_free(h, r);
}

static void unpin_group(struct clean_run *r)
{
    assert(r->pinned || !r->pinned_count);
    for (uint32_t i = 0; i < r->pinned_count; i++) {
        assert(r->pinned[i]->users > 0);
        r->pinned[i]->users--;
    }
    heap_free(r->cleaner->store->shard->heap, r->pinned);
    r->pinned = NULL;
    r->pinned_count = 0;
}

static void count_run(struct cleaner *c, const struct clean_run *r)
{
    assert(r->work.sums.records_kept <= r->work.sums.records_read);
    const struct clean_sums *s = &r->work.sums;
    stat_add(c->stats.runs, 1);
    stat_add(c->stats.dropped, s->records_read - s->records_kept);
    stat_add(c->stats.left, (uint64_t)0 - c->left_bytes);
    c->left_bytes = 0;
}

static void say_cleaned(const struct clean_run *r)
{
    assert(r->saved);
    const struct clean_work *w = &r->work;
    log_info("cleaned",
             "partition=%s-%d dirty_from=%lld clean_to=%lld bytes_mapped=%llu bytes_read=%llu bytes_written=%llu "
             "records_read=%llu records_kept=%llu segments_before=%llu segments_after=%llu",
             w->topic, w->partition, (long long)w->first_dirty, (long long)w->map.end_offset,
             (unsigned long long)w->sums.bytes_mapped, (unsigned long long)w->sums.bytes_read,
             (unsigned long long)w->sums.bytes_written, (unsigned long long)w->sums.records_read,
             (unsigned long long)w->sums.records_kept, (unsigned long long)w->sums.segments_before,
             (unsigned long long)w->sums.segments_after);
}

/* What will not be better the next time is not tried again. */
static void say_failed(struct clean_run *r)
{
    assert(r->work.err);
    struct clean_work *w = &r->work;
    struct partition *p = r->partition;
    const char *effect = "the log stays as it is until a restart";
    p->cleaning.refused = !space_is_shortage(w->err) && w->err != ERR_NOT_FOUND && w->err != ERR_INVALID;
    stat_add(r->cleaner->stats.refused, p->cleaning.refused);
    if (w->err == ERR_CORRUPT)
        log_error("not compacted",
                  "partition=%s-%d segment=%020lld position=%llu why=\"a damaged batch\" effect=\"%s\"", w->topic,
                  w->partition, (long long)w->bad_segment, (unsigned long long)w->bad_position, effect);
    else if (w->err == ERR_INVALID)
        log_warn("not compacted", "partition=%s-%d why=\"log.cleaner.dedupe.buffer.size has no room for one key\"",
                 w->topic, w->partition);
    else
        log_warn("not compacted", "partition=%s-%d why=\"%s\" effect=\"%s\"", w->topic, w->partition, err_text(w->err),
                 p->cleaning.refused ? effect : "it is tried again");
}

static int32_t run_end_job(void *arg)
{
    struct clean_run *r = arg;
    assert(r->ending);
    if (r->abandon)
        clean_work_abandon(&r->work);
    clean_work_end(&r->work);
    return 0;
}

static void end_job_done(struct io_op *op, int32_t res)
{
    (void)res;
    struct clean_run *r = container_of(op, struct clean_run, op);
    struct cleaner *c = r->cleaner;
    struct partition *p = r->partition;
    assert(c->run == r && p->cleaning.busy);
    unpin_group(r);
    if (r->made)
        swap_free_segment(p, r->made);
    r->made = NULL;
    count_run(c, r);
    bool failed = p->cleaning.failed = !r->saved;
    c->run = NULL;
    p->cleaning.busy = false;
    free_run(r);
    trim_step(p);
    partition_stop_step(p);
    cleaner_run_over(c, failed);
}

static void end_run(struct clean_run *r, bool abandon)
{
    assert(!r->ending);
    assert(!r->taken);
    r->ending = true;
    r->abandon = abandon;
    r->state = RUN_JOB;
    timer_stop(&r->cleaner->store->shard->timers, &r->timer);
    io_job(r->cleaner->store->shard->io, &r->op, IO_BACKGROUND, run_end_job, r, end_job_done);
}

/* --- its steps --- */

static int32_t run_step_job(void *arg)
{
    clean_work_step(&((struct clean_run *)arg)->work);
    return 0;
}

static void step_job_done(struct io_op *op, int32_t res);

static bool is_behind(const struct clean_run *r)
{
    assert(r->dirty_bytes > 0 && r->dirty_bytes <= r->work_bytes);
    uint64_t came = r->cleaner->store->compacted_bytes - r->begun_compacted_bytes;
    uint64_t done = r->work.sums.bytes_mapped + r->work.sums.bytes_read;
    return (double)came * (double)r->work_bytes > (double)done * (double)r->dirty_bytes;
}

static void submit_step(struct clean_run *r)
{
    assert(r->cleaner->run == r);
    assert(!r->ending);
    r->work.read_bytes = log_store_is_written(r->cleaner->store) ? CLEAN_READ_SMALL : CLEAN_READ_MAX;
    r->state = RUN_JOB;
    io_job(r->cleaner->store->shard->io, &r->op, IO_BACKGROUND, run_step_job, r, step_job_done);
}

static void pace_timer_due(struct timer *t)
{
    struct clean_run *r = container_of(t, struct clean_run, timer);
    assert(r->state == RUN_PACED);
    submit_step(r);
}

static void wait_paced(struct clean_run *r, uint64_t until_ns)
{
    assert(r->state == RUN_JOB);
    r->state = RUN_PACED;
    timer_start(&r->cleaner->store->shard->timers, &r->timer, until_ns);
}

/* log.cleaner.io.max.bytes.per.second counts what is read and what is written; each shard has its share. */
static uint64_t owed_to_the_limit(const struct clean_run *r)
{
    const struct cleaner *c = r->cleaner;
    double pace = c->config->cleaner_bytes_per_second / c->store->shard->count;
    assert(pace >= 0);
    return pace < pace_max ? (uint64_t)((double)r->work.step_bytes / (pace > 1 ? pace : 1) * (double)NS_PER_S) : 0;
}

static uint64_t owed_to_producers(const struct clean_run *r)
{
    assert(r->cleaner->run == r);
    bool rests = log_store_is_written(r->cleaner->store) && !r->overdue && !is_behind(r);
    return rests ? u64_min(r->work.step_ns * CLEAN_YIELD, CLEAN_YIELD_MS_MAX * NS_PER_MS) : 0;
}

static void submit_paced(struct clean_run *r)
{
    assert(r->state == RUN_JOB);
    struct cleaner *c = r->cleaner;
    uint64_t now = c->store->shard->now_ns;
    c->free_at_ns = u64_max(c->free_at_ns, now) + u64_max(owed_to_the_limit(r), owed_to_producers(r));
    if (c->free_at_ns > now + NS_PER_MS)
        wait_paced(r, c->free_at_ns);
    else
        submit_step(r);
}

static bool is_given_up(const struct clean_run *r)
{
    return !cleaner_may_clean(r->cleaner, r->partition) || !r->cleaner->config->cleaner_enable;
}

/* --- the swap --- */

static bool find_group(const struct clean_run *r, uint32_t *out_rank)
{
    assert(r->work.group_from < r->work.group_to);
    const struct clean_work *w = &r->work;
    uint64_t numbers[2] = {w->segments[w->group_from].number, w->segments[w->group_to - 1].number};
    uint32_t count = w->group_to - w->group_from, rank = 0, last = 0;
    bool found = swap_find(r->partition, &numbers[0], 1, w->segments[w->group_from].base_offset, &rank) &&
                 swap_find(r->partition, &numbers[1], 1, w->segments[w->group_to - 1].base_offset, &last);
    *out_rank = rank;
    return found && last - rank == count - 1; /* what is between them was there before, and goes only with the first */
}

/* From now on the names of the group's files mean what they mean, whatever becomes of the segments. */
static bool pin_group(struct clean_run *r, uint32_t rank)
{
    assert(rank < r->partition->segments.count);
    assert(!r->pinned);
    struct partition *p = r->partition;
    uint32_t count = r->work.group_to - r->work.group_from;
    r->pinned = heap_alloc(shard_of(p)->heap, count * sizeof *r->pinned);
    if (!r->pinned)
        return false;
    for (; r->pinned_count < count; r->pinned_count++) {
        r->pinned[r->pinned_count] = segments_at(&p->segments, rank + r->pinned_count);
        r->pinned[r->pinned_count]->users++;
    }
    return true;
}

/* What was aborted in it, in memory of the shard. */
static bool lend_aborted(struct clean_run *r)
{
    assert(!r->made->aborted_file);
    r->made->aborted_file = r->work.aborted.count > 0;
    return !aborted_copy(&r->work.aborted, &r->made->aborted);
}

static void begin_seal(struct clean_run *r)
{
    assert(!r->made);
    uint32_t rank;
    if (!find_group(r, &rank)) { /* the log start moved over it */
        end_run(r, true);
        return;
    }
    r->made = swap_new_segment(r->partition, &r->work.index);
    if (!r->made || !lend_aborted(r) || !pin_group(r, rank)) {
        r->work.err = ERR_NO_MEMORY;
        say_failed(r);
        end_run(r, true);
        return;
    }
    r->work.lent = &r->made->index;
    submit_step(r);
}

static void fill_made_segment(struct clean_run *r)
{
    assert(r->made && r->made->users == 0);
    struct segment *s = r->made;
    const struct clean_work *w = &r->work;
    assert(w->made.next_offset > w->made.base_offset);
    s->next_offset = w->made.next_offset;
    s->bytes = w->made.bytes;
    s->first_timestamp = w->first_timestamp;
    s->written_ms = w->made.written_ms;
    s->max_timestamp = s->index.max_timestamp;
    s->max_timestamp_offset = s->index.max_timestamp_offset;
    s->times_known = s->index_loaded = true;
    s->users = 1; /* until its file has its name */
}

/* Of a cleaning a moment ago: one of those files that goes between two renames is missing to a start, which tells by them how far it got. */
static void take_back_unlinks(struct clean_run *r)
{
    const struct clean_work *w = &r->work;
    assert(w->group_from < w->group_to);
    for (uint32_t i = w->group_from; i < w->group_to; i++)
        deleter_take_back(r->partition->store->deleter, r->partition, w->segments[i].base_offset);
}

static void rename_when_drained(struct clean_run *r)
{
    assert(r->state == RUN_DRAINING);
    if (!swap_is_drained(&r->old))
        return;
    take_back_unlinks(r);
    r->work.step = CLEAN_RENAME;
    submit_step(r);
}

/* It is committed: a start would finish it. */
static void take_made_segment(struct clean_run *r)
{
    assert(r->made && !r->taken);
    assert(r->work.made_fd >= 0);
    struct partition *p = r->partition;
    uint32_t rank, count = r->work.group_to - r->work.group_from;
    if (is_given_up(r) || !find_group(r, &rank)) {
        end_run(r, true);
        return;
    }
    fill_made_segment(r);
    unpin_group(r);
    swap_take(p, rank, count, r->made, r->work.made_fd, &r->old);
    r->work.made_fd = -1;
    r->taken = r->made;
    r->made = NULL;
    r->state = RUN_DRAINING;
    rename_when_drained(r);
}

/* Their files are .deleted; without memory to remember them they go at the next start. */
static void leave_to_deleter(const struct clean_run *r)
{
    const struct clean_work *w = &r->work;
    struct partition *p = r->partition;
    assert(w->group_from < w->group_to);
    bool remembered = true;
    for (uint32_t i = w->group_from; i < w->group_to; i++)
        remembered &= deleter_add(p->store->deleter, p, w->segments[i].base_offset, w->segments[i].bytes);
    if (!remembered)
        log_warn("files not removed", "partition=%s-%d effect=\"they go at the next start\"", w->topic, w->partition);
}

/* The names are right; or nobody will need them in this run. */
static void release_old_segments(struct clean_run *r)
{
    assert(r->taken && r->taken->users > 0);
    if (r->work.step == CLEAN_GROUP) /* else the files have their names still, and a start finds them */
        leave_to_deleter(r);
    r->taken->users--;
    r->taken = NULL;
    swap_release(r->partition, &r->old);
}

static void rename_failed(struct clean_run *r)
{
    assert(r->taken);
    struct partition *p = r->partition;
    if (space_is_shortage(r->work.err) && p->condition == PARTITION_OPEN) {
        r->work.err = ERR_NONE;
        wait_paced(r, shard_of(p)->now_ns + (uint64_t)CLEAN_REST_FAILED_MS * NS_PER_MS);
        return;
    }
    if (!p->stop.deleting)
        partition_offline(p, "renaming cleaned segments failed");
    release_old_segments(r);
    end_run(r, false);
}

static void finish_run(struct clean_run *r)
{
    assert(r->work.step == CLEAN_DONE);
    struct partition *p = r->partition;
    if (!r->saved) { /* DONE is the last step, and this is before it */
        r->saved = true;
        submit_step(r);
        return;
    }
    if (r->work.err) /* the next run cleans more than it must */
        log_warn("first dirty offset not saved", "partition=%s-%d why=\"%s\"", r->work.topic, r->work.partition,
                 err_text(r->work.err));
    p->cleaning.first_dirty = r->work.map.end_offset;
    say_cleaned(r);
    end_run(r, false);
}

static void count_step(struct clean_run *r, enum clean_step step)
{
    struct cleaner *c = r->cleaner;
    uint64_t bytes = r->work.sums.bytes_mapped + r->work.sums.bytes_read;
    uint64_t all = 0;
    for (uint32_t i = 0; i < r->work.count; i++)
        all += r->work.segments[i].bytes;
    uint64_t left = step == CLEAN_DONE || bytes > 2 * all ? 0 : 2 * all - bytes;
    stat_add(c->stats.left, left - c->left_bytes); /* it wraps, and is right */
    c->left_bytes = left;
    stat_add(c->stats.read, r->work.sums.bytes_mapped + r->work.sums.bytes_read - r->counted_read);
    stat_add(c->stats.written, r->work.sums.bytes_written - r->counted_written);
    r->counted_read = bytes;
    r->counted_written = r->work.sums.bytes_written;
}

static void step_job_done(struct io_op *op, int32_t res)
{
    (void)res;
    struct clean_run *r = container_of(op, struct clean_run, op);
    struct clean_work *w = &r->work;
    assert(r->cleaner->run == r);
    count_step(r, w->step);
    if (r->taken && w->err) {
        rename_failed(r);
        return;
    }
    if (r->taken)
        release_old_segments(r);
    if (w->step != CLEAN_DONE && w->err) {
        say_failed(r);
        end_run(r, true);
        return;
    }
    if (w->step != CLEAN_SWAP && !r->saved && is_given_up(r)) {
        end_run(r, true);
        return;
    }
    switch (w->step) {
    case CLEAN_GROUP:
        r->work.limits.now_ms =
            cleaner_expiry_ms(r->cleaner); /* horizons are counted from here: rests may have made it late */
        submit_paced(r);
        break;
    case CLEAN_MAP:
    case CLEAN_FILTER: submit_paced(r); break;
    case CLEAN_SEAL: begin_seal(r); break;
    case CLEAN_SWAP: take_made_segment(r); break;
    case CLEAN_RENAME: assert(!"it is over by now"); break;
    case CLEAN_DONE: finish_run(r); break;
    }
}

void clean_run_configured(struct clean_run *r)
{
    assert(r->cleaner->run == r);
    if (r->state != RUN_PACED || r->taken)
        return;
    timer_stop(&r->cleaner->store->shard->timers, &r->timer);
    r->state = RUN_JOB;
    if (is_given_up(r))
        end_run(r, true);
    else
        submit_paced(r);
}

/* Its partition stops, or a read of it ended. */
void clean_run_step(struct log_store *ls, struct partition *p)
{
    assert(p->store == ls);
    struct clean_run *r = ls->cleaner ? ls->cleaner->run : NULL;
    if (!r || r->partition != p)
        return;
    if (r->state == RUN_DRAINING && p->stop.deleting && swap_is_drained(&r->old)) {
        release_old_segments(r); /* its folder goes */
        end_run(r, false);
    } else if (r->state == RUN_DRAINING) {
        rename_when_drained(r);
    } else if (r->state == RUN_PACED && partition_dead(p)) {
        timer_stop(&ls->shard->timers, &r->timer);
        r->state = RUN_JOB;
        if (r->taken)
            submit_step(r);
        else
            end_run(r, true);
    }
}

/* --- its beginning --- */

static uint32_t count_range_segments(const struct partition *p, const struct clean_range *range)
{
    assert(p->segments.count > 1);
    uint32_t n = 0;
    while (n + 1 < p->segments.count && segments_at(&p->segments, n)->base_offset < range->first_uncleanable)
        n++;
    return n;
}

/* All that has anything below `end`, wherever its marker is. */
static bool fill_aborted(const struct partition *p, struct clean_work *w, int64_t end)
{
    struct aborted_index list;
    aborted_init(&list, shard_of(p)->heap);
    assert(end <= last_stable_offset(p));
    bool complete = p->aborted_last_offset < 0;
    for (uint32_t i = 0; i < p->segments.count && !complete; i++) {
        if (!aborted_collect(&segments_at(&p->segments, i)->aborted, 0, end, &list, &complete))
            continue;
        aborted_deinit(&list);
        return false;
    }
    w->txns.aborted = list.v;
    w->txns.count = list.count;
    return true;
}

static bool fill_work(struct clean_run *r, const struct clean_range *range)
{
    assert(range->first_dirty < range->first_uncleanable);
    struct partition *p = r->partition;
    struct heap *h = shard_of(p)->heap;
    struct clean_work *w = &r->work;
    w->count = count_range_segments(p, range);
    w->dir = heap_strdup(h, p->dir);
    w->topic = heap_strdup(h, p->topic->name);
    w->segments = heap_alloc(h, w->count * sizeof *w->segments);
    w->held = producers_hold(p->producers);
    if (!w->dir || !w->topic || !w->segments || !w->held)
        return false;
    for (uint32_t i = 0; i < w->count; i++) {
        const struct segment *s = segments_at(&p->segments, i);
        w->segments[i] = (struct clean_segment){s->base_offset, s->next_offset, s->number, s->bytes, s->written_ms};
    }
    if (!fill_aborted(p, w, range->first_uncleanable))
        return false;
    w->partition = p->index;
    w->first_dirty = range->first_dirty;
    w->first_uncleanable = range->first_uncleanable;
    return true;
}

static void fill_limits(struct clean_run *r)
{
    assert(r->cleaner->store->shard->count > 0);
    const struct cleaner *c = r->cleaner;
    const struct topic_config *t = config_of(r->partition);
    r->work.limits = (struct clean_limits){
        .segment_bytes = t->segment_bytes,
        .index_bytes = t->segment_index_bytes,
        .index_interval_bytes = t->index_interval_bytes,
        .map_bytes = (uint64_t)c->config->cleaner_dedupe_bytes / c->store->shard->count,
        .map_load = c->config->cleaner_dedupe_load,
        .now_ms = cleaner_expiry_ms(c),
        .delete_retention_ms = t->delete_retention_ms,
        .direct = c->store->root->direct,
    };
    r->work.secret[0] = rng_seed_os();
    r->work.secret[1] = rng_seed_os();
}

/* What is dirty is read twice. */
static void fill_pace(struct clean_run *r, const struct clean_range *range)
{
    assert(range->dirty_bytes > 0);
    r->dirty_bytes = r->work_bytes = range->dirty_bytes;
    for (uint32_t i = 0; i < r->work.count; i++)
        r->work_bytes += r->work.segments[i].bytes;
    r->begun_compacted_bytes = r->cleaner->store->compacted_bytes;
    r->overdue = range->overdue;
}

bool clean_run_start(struct cleaner *c, struct partition *p, const struct clean_range *range)
{
    assert(!c->run && !p->cleaning.busy);
    assert(range->dirty_bytes > 0);
    struct clean_run *r = heap_zalloc(c->store->shard->heap, sizeof *r);
    if (!r)
        return false;
    r->cleaner = c;
    r->partition = p;
    list_init(&r->old);
    timer_init(&r->timer, pace_timer_due);
    if (!fill_work(r, range)) {
        free_run(r);
        return false;
    }
    fill_limits(r);
    fill_pace(r, range);
    c->run = r;
    p->cleaning.busy = true;
    clean_work_begin(&r->work);
    submit_step(r);
    return true;
}
