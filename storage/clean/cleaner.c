/* Which log is cleaned, and when (cleaner.h). */
#include "storage/clean/cleaner_state.h"
#include "core/clock.h"
#include "core/log.h"
#include <string.h>

enum {
    LOOKS_PER_STEP = 64, /* partitions; each has its segments summed up */
    LOOK_PAUSE_MS = 1,
    REST_MS_MIN = 10,        /* log.cleaner.backoff.ms may be 0 */
    LEARN_SEGMENTS_MAX = 64, /* in one job ... */
    LEARN_MS = 50,           /* ... that begins with no other after so long */
};

/* The first dirty offset, and times that no index in memory tells. */
struct learning {
    struct io_op op;
    struct cleaner *cleaner;
    struct partition *partition;
    char *dir;
    int64_t first_dirty;
    uint32_t count, looked;
    struct {
        struct index_ask ask;
        uint64_t number;
        struct segment_times times;
        bool good;
    } v[LEARN_SEGMENTS_MAX];
};

static void rest_cleaner(struct cleaner *c, int64_t ms)
{
    assert(!c->run && !c->learning);
    uint64_t wait_ms = (uint64_t)(ms > REST_MS_MIN ? ms : REST_MS_MIN);
    if (!c->stopping)
        timer_start(&c->store->shard->timers, &c->timer, c->store->shard->now_ns + wait_ms * NS_PER_MS);
}

/* --- how dirty a log is --- */

static int64_t first_dirty_of(const struct partition *p)
{
    assert(p->log_start_offset <= p->end.offset);
    int64_t at = p->cleaning.first_dirty;
    return at < p->log_start_offset || at > p->end.offset ? p->log_start_offset : at;
}

static bool is_too_young(const struct partition *p, const struct segment *s, int64_t now_ms)
{
    assert(s->partition == p);
    int64_t lag = config_of(p)->min_compaction_lag_ms;
    if (s->next_offset > last_stable_offset(p)) /* what becomes of its transactions is not known */
        return true;
    return lag > 0 && (!s->times_known || now_ms < 0 || s->max_timestamp > now_ms - lag);
}

static bool is_overdue(const struct partition *p, const struct segment *s, int64_t now_ms)
{
    assert(s->partition == p);
    int64_t lag = config_of(p)->max_compaction_lag_ms;
    return s->times_known && s->first_timestamp > 0 && lag < now_ms && s->first_timestamp < now_ms - lag;
}

static void measure_range(const struct partition *p, int64_t now_ms, struct clean_range *out)
{
    assert(p->segments.count > 1);
    struct clean_range r = {.first_dirty = first_dirty_of(p), .first_uncleanable = p->active->base_offset};
    for (uint32_t i = 0; i + 1 < p->segments.count; i++) {
        const struct segment *s = segments_at(&p->segments, i);
        if (s->next_offset <= r.first_dirty) {
            r.clean_bytes += s->bytes;
            continue;
        }
        if (is_too_young(p, s, now_ms)) {
            r.first_uncleanable = s->base_offset;
            break;
        }
        r.clean_bytes += s->base_offset < r.first_dirty ? s->bytes : 0;
        r.dirty_bytes += s->bytes;
        r.overdue |= is_overdue(p, s, now_ms);
    }
    *out = r;
}

static double ratio_of(const struct clean_range *r)
{
    return r->dirty_bytes ? (double)r->dirty_bytes / (double)(r->clean_bytes + r->dirty_bytes) : 0;
}

int64_t cleaner_expiry_ms(const struct cleaner *c)
{
    assert(c->store);
    int64_t now_ms;
    return log_store_expiry_ms(c->store, &now_ms) ? now_ms : -1;
}

/* --- learning --- */

static int32_t run_learn_job(void *arg)
{
    struct learning *l = arg;
    assert(l->count <= LEARN_SEGMENTS_MAX);
    struct heap *heap = heap_open();
    l->first_dirty = heap ? clean_offset_load(heap, l->dir) : -1;
    uint64_t until_ns = clock_now_ns() + LEARN_MS * NS_PER_MS; /* an index that is made anew takes longer */
    for (; l->looked < l->count && (l->looked == 0 || clock_now_ns() < until_ns); l->looked++) {
        uint32_t i = l->looked;
        l->v[i].good = !files_learn_times(&l->v[i].ask, &l->v[i].times);
    }
    if (heap)
        heap_close(heap);
    return 0;
}

static void keep_learnt(const struct learning *l)
{
    assert(l->partition->cleaning.busy);
    struct partition *p = l->partition;
    bool any = false;
    p->cleaning.first_dirty = l->first_dirty;
    for (uint32_t i = 0; i < l->looked; i++)
        any |= l->v[i].good && files_keep_times(p, l->v[i].ask.base_offset, l->v[i].number, &l->v[i].times);
    bool all = l->looked == l->count && l->count < LEARN_SEGMENTS_MAX;
    p->cleaning.known = all || !any; /* else the next job learns more of them */
}

static void learn_job_done(struct io_op *op, int32_t res)
{
    (void)res;
    struct learning *l = container_of(op, struct learning, op);
    struct cleaner *c = l->cleaner;
    struct partition *p = l->partition;
    assert(c->learning == l && p->cleaning.busy);
    if (!partition_dead(p))
        keep_learnt(l);
    p->cleaning.busy = false;
    c->learning = NULL;
    heap_free(c->store->shard->heap, l->dir);
    heap_free(c->store->shard->heap, l);
    partition_stop_step(p);
    if (!c->stopping)
        timer_start(&c->store->shard->timers, &c->timer, c->store->shard->now_ns + 1);
}

/* False: no memory; later. */
static bool start_learning(struct cleaner *c, struct partition *p)
{
    assert(!c->learning && !p->cleaning.busy);
    struct heap *h = c->store->shard->heap;
    struct learning *l = heap_zalloc(h, sizeof *l);
    if (l)
        l->dir = heap_strdup(h, p->dir);
    if (!l || !l->dir) {
        heap_free(h, l);
        return false;
    }
    l->cleaner = c;
    l->partition = p;
    for (uint32_t i = 0; i + 1 < p->segments.count && l->count < LEARN_SEGMENTS_MAX; i++) {
        const struct segment *s = segments_at(&p->segments, i);
        if (s->times_known)
            continue;
        l->v[l->count].number = s->number;
        l->v[l->count++].ask = files_index_ask(p, s);
    }
    c->learning = l;
    p->cleaning.busy = true;
    io_job(c->store->shard->io, &l->op, IO_BACKGROUND, run_learn_job, l, learn_job_done);
    return true;
}

/* --- after a cleaning --- */

void cleaner_run_over(struct cleaner *c, bool failed)
{
    assert(!c->run);
    int64_t rest_ms = c->config->cleaner_backoff_ms;
    c->failed = failed;
    if (failed)
        rest_cleaner(c, rest_ms > CLEAN_REST_FAILED_MS ? rest_ms : CLEAN_REST_FAILED_MS);
    else if (!c->stopping)
        timer_start(&c->store->shard->timers, &c->timer, c->store->shard->now_ns + 1);
}

/* --- looking --- */

static bool is_dirty_enough(const struct partition *p, const struct clean_range *r)
{
    return r->dirty_bytes > 0 && (r->overdue || ratio_of(r) > config_of(p)->min_cleanable_ratio);
}

/* The dirtiest first; behind all others those of which the last cleaning failed: what was short for one is not for each. */
static double rank_of(const struct partition *p, const struct clean_range *r)
{
    assert(ratio_of(r) <= 1);
    return ratio_of(r) - (p->cleaning.failed ? 1 : 0);
}

/* False: it must be learnt first. */
static bool look_at_log(struct cleaner *c, struct partition *p)
{
    assert(!c->run);
    struct clean_range range;
    p->cleaning.dirty_bytes = 0;
    if (!cleaner_may_clean(c, p) || p->space.closing)
        return true;
    if (!p->cleaning.known)
        return false;
    measure_range(p, cleaner_expiry_ms(c), &range);
    p->cleaning.dirty_bytes = range.dirty_bytes;
    c->dirty_bytes_now += range.dirty_bytes;
    if (is_dirty_enough(p, &range) && (!c->best || rank_of(p, &range) > c->best_rank)) {
        c->best = p;
        c->best_place = p->place;
        c->best_rank = rank_of(p, &range);
    }
    return true;
}

static void end_look(struct cleaner *c)
{
    assert(c->look_next == 0);
    struct clean_range range;
    struct partition *p = c->best;
    bool there = p && c->best_place < c->store->count && c->store->all[c->best_place] == p;
    stat_add(c->stats.dirty, c->dirty_bytes_now - c->dirty_bytes); /* it wraps, and is right */
    c->dirty_bytes = c->dirty_bytes_now;
    c->dirty_bytes_now = 0;
    c->best = NULL;
    if (there && cleaner_may_clean(c, p) && p->cleaning.known && !p->space.closing) {
        measure_range(p, cleaner_expiry_ms(c), &range);
        if (is_dirty_enough(p, &range) && clean_run_start(c, p, &range))
            return;
    }
    rest_cleaner(c, c->config->cleaner_backoff_ms);
}

static void look_at_logs(struct timer *t)
{
    struct cleaner *c = container_of(t, struct cleaner, timer);
    assert(!c->run && !c->learning);
    bool wanted = c->config->cleaner_enable && c->config->cleaner_threads > 0;
    if (!wanted || retention_keeps_all(c->store->retention)) {
        rest_cleaner(c, c->config->cleaner_backoff_ms);
        return;
    }
    if (c->look_next == 0)
        c->look_next = c->store->count;
    c->look_next = (uint32_t)u64_min(c->look_next, c->store->count);
    for (uint32_t i = 0; i < LOOKS_PER_STEP && c->look_next > 0; i++) {
        struct partition *p = c->store->all[c->look_next - 1];
        if (!look_at_log(c, p) && start_learning(c, p))
            return; /* and here again */
        c->look_next--;
    }
    if (c->look_next > 0)
        timer_start(&c->store->shard->timers, t, c->store->shard->now_ns + LOOK_PAUSE_MS * NS_PER_MS);
    else
        end_look(c);
}

/* --- life --- */

static void open_cleaner_stats(struct cleaner *c)
{
    struct stats *s = c->store->shard->stats;
    c->stats.runs = stats_counter(s, "cleaner_runs");
    c->stats.refused = stats_counter(s, "cleaner_refused");
    c->stats.read = stats_counter(s, "cleaner_bytes_read");
    c->stats.written = stats_counter(s, "cleaner_bytes_written");
    c->stats.dropped = stats_counter(s, "cleaner_records_dropped");
    c->stats.dirty = stats_counter(s, "cleaner_dirty_bytes"); /* the lag: of all logs, at the last look */
    c->stats.left = stats_counter(s, "cleaner_left_bytes");   /* that the cleaning under way has still to read */
}

struct cleaner *cleaner_open(struct log_store *ls, const struct broker_config *config)
{
    assert(!ls->cleaner);
    struct cleaner *c = heap_zalloc(ls->shard->heap, sizeof *c);
    if (!c)
        return NULL;
    c->store = ls;
    c->config = config;
    ls->cleaning_step = clean_run_step;
    open_cleaner_stats(c);
    timer_init(&c->timer, look_at_logs);
    rest_cleaner(c, config->cleaner_backoff_ms);
    return c;
}

/* A shorter rest counts at once, and so does another pace. */
void cleaner_configure(struct cleaner *c, const struct broker_config *config)
{
    assert(config);
    c->config = config;
    c->free_at_ns = 0;
    if (c->run)
        clean_run_configured(c->run);
    else if (!c->learning)
        rest_cleaner(c, config->cleaner_backoff_ms);
}

void cleaner_stop(struct cleaner *c)
{
    assert(!c->stopping);
    c->stopping = true;
    timer_stop(&c->store->shard->timers, &c->timer);
}

void cleaner_close(struct cleaner *c)
{
    struct heap *h = c->store->shard->heap;
    timer_stop(&c->store->shard->timers, &c->timer);
    if (c->run) /* the loop ended under it: its files are known for what they are at the next start */
        timer_stop(&c->store->shard->timers, &c->run->timer);
    heap_free(h, c);
}

void cleaner_check(const struct cleaner *c)
{
    const struct clean_run *r = c->run;
    assert(!r || !c->learning);
    if (!r)
        return;
    assert(r->partition->cleaning.busy);
    assert((r->taken != NULL) == r->partition->cleaning.swapping);
    assert(!r->made || !r->taken);
    assert(r->state != RUN_DRAINING || r->taken);
}
