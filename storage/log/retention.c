/* The sweep over a shard's partitions, and what is done with one (retention.h). */
#include "storage/log/retention.h"
#include "storage/log/hanging.h"
#include "core/clock.h"
#include "core/log.h"
#include "storage/catalog/meta.h"
#include "storage/log/partition_state.h"
#include <stdio.h>
#include <string.h>

enum {
    SWEEP_LOOKS_PER_TURN = 256,  /* a microsecond each, where nothing is to be done */
    SWEEP_PRODUCERS_A_LOOK = 64, /* so many producers count as another look */
    SWEEP_STEP_MS = 1,           /* between the turns of a sweep */
    SWEEP_WAIT_MS = 20,          /* until partitions that are acted upon are looked at again */
    SWEEP_ACTS_MAX = 16,
    SEEN_S = 600,     /* the wall clock is noted so often */
    GRACE_S = 3600,   /* what a folder from before retention keeps everything for */
    GRACE_LOOK_S = 2, /* and how soon it is looked at again while partitions are still to be recovered */
    TOLD_TOPICS_MAX = 1000,
};

/* A closed segment's times. */
struct retention_job {
    struct io_op op;
    struct partition *partition;
    struct index_ask ask;
    uint64_t number;
    struct segment_times times;
    enum err err;
};

/* What will go of a topic when the hour is over. */
struct will_go {
    uint8_t topic_id[16];
    char name[TOPIC_NAME_MAX + 1];
    uint32_t partitions, segments;
    uint64_t bytes;
};

struct retention {
    struct log_store *store;
    struct timer timer;
    uint32_t next;      /* of store->all, how many are still to come; 0: no sweep is under way */
    struct list acting; /* partitions */
    uint32_t acts;
    bool sweeping, stopped;
    bool timed; /* of this sweep */
    int64_t now_ms;
    uint64_t grace_until_ns; /* 0: over */
    bool told;               /* what will go */
    uint32_t unrecovered;    /* that this sweep met */
    struct map will;         /* struct will_go */
    struct hanging hanging;
    /* numbers */
    struct {
        struct stat_counter *segments, *bytes;
    } dropped[RETENTION_RULES];
    /* shard 0: what is kept in files */
    struct timer seen_timer;
    struct io_op seen_op;
    bool seen_busy, mark_wanted;
    void (*over)(struct log_store *ls); /* of a stop that waits for the job */
    int64_t seen_ms;
};

static struct retention *retention_of(const struct partition *p)
{
    assert(p->store->retention);
    return p->store->retention;
}

static uint64_t ns_of_ms(int64_t ms)
{
    assert(ms >= 0);
    return u64_min((uint64_t)ms, 1000ull * 365 * 24 * 3600 * 1000) * NS_PER_MS; /* a thousand years */
}

bool retention_keeps_all(const struct retention *r)
{
    assert(r);
    return r->grace_until_ns > 0;
}

/* --- one partition --- */

static void begin_retention_act(struct retention *r, struct partition *p)
{
    assert(!list_linked(&p->retention.link));
    list_push(&r->acting, &p->retention.link);
    r->acts++;
}

static void end_retention_act(struct partition *p)
{
    struct retention *r = retention_of(p);
    p->retention.state = RETENTION_IDLE;
    if (!list_linked(&p->retention.link))
        return;
    assert(r->acts > 0);
    list_remove(&p->retention.link);
    r->acts--;
}

static void act_on_partition(struct partition *p);

static int32_t run_retention_job(void *arg)
{
    struct retention_job *j = arg;
    assert(j->ask.dir);
    j->err = files_learn_times(&j->ask, &j->times);
    return 0;
}

static void learn_times_done(struct io_op *op, int32_t res)
{
    (void)res;
    struct retention_job *j = container_of(op, struct retention_job, op);
    struct partition *p = j->partition;
    assert(p->retention.state == RETENTION_LEARNING);
    bool failed = j->err;
    if (!failed)
        (void)files_keep_times(p, j->ask.base_offset, j->number, &j->times);
    if (failed && !partition_dead(p) && j->ask.base_offset >= p->log_start_offset)
        log_warn("retention stopped", "partition=%s-%d segment=%020lld why=\"its times cannot be read: %s\"",
                 p->topic->name, p->index, (long long)j->ask.base_offset, err_text(j->err));
    heap_free(shard_of(p)->heap, j);
    p->retention.state = RETENTION_IDLE;
    if (failed)
        end_retention_act(p);
    else
        act_on_partition(p);
    partition_stop_step(p);
}

static void learn_segment_times(struct partition *p, const struct segment *s)
{
    assert(s != p->active);
    struct retention_job *j = heap_alloc(shard_of(p)->heap, sizeof *j);
    if (!j) {
        end_retention_act(p);
        return;
    }
    *j = (struct retention_job){.partition = p, .ask = files_index_ask(p, s), .number = s->number};
    p->retention.state = RETENTION_LEARNING;
    io_job(shard_of(p)->io, &j->op, IO_BACKGROUND, run_retention_job, j, learn_times_done);
}

static void count_dropped(struct partition *p)
{
    assert(p->retention.verdict.count > 0);
    struct retention *r = retention_of(p);
    for (uint32_t i = 0; i < RETENTION_RULES; i++) {
        uint32_t segments = p->retention.verdict.by[i].segments;
        uint64_t bytes = p->retention.verdict.by[i].bytes;
        if (segments == 0)
            continue;
        log_info("segments dropped", "partition=%s-%d rule=%s segments=%u bytes=%llu log_start=%lld", p->topic->name,
                 p->index, retention_rule_names[i], segments, (unsigned long long)bytes,
                 (long long)p->log_start_offset);
        stat_add(r->dropped[i].segments, segments);
        stat_add(r->dropped[i].bytes, bytes);
    }
}

static void retention_trimmed(struct log_trim *t)
{
    struct partition *p = container_of(t, struct partition, retention.trim);
    assert(p->retention.state == RETENTION_TRIMMING);
    bool went = t->error == KERR_NONE, by_rules = p->retention.verdict.by[RETENTION_DISK].segments == 0;
    if (went)
        count_dropped(p);
    p->retention.state = RETENTION_IDLE;
    if (went && by_rules)
        act_on_partition(p); /* the active one may be left */
    else
        end_retention_act(p);
}

static void roll_for_retention(struct partition *p)
{
    assert(p->active);
    p->retention.state = RETENTION_ROLLING;
    p->retention.rolling = p->active->number;
    writer_roll(p);
}

static void trim_to_verdict(struct partition *p, const struct retention_verdict *v)
{
    assert(v->count > 0 && v->count < p->segments.count);
    p->retention.state = RETENTION_TRIMMING;
    p->retention.verdict = *v;
    p->retention.trim = (struct log_trim){
        .before = segments_at(&p->segments, v->count)->base_offset, .background = true, .done = retention_trimmed};
    partition_trim(p, &p->retention.trim);
}

/* Nothing goes yet: it is noted for the log. */
static void note_what_will_go(struct retention *r, const struct partition *p, const struct retention_verdict *v)
{
    assert(v->count <= p->segments.count);
    if (v->count == 0 || r->told)
        return;
    struct will_go *w = map_get(&r->will, p->topic->id, sizeof p->topic->id);
    if (!w) {
        w = heap_zalloc(r->store->shard->heap, sizeof *w);
        if (!w)
            return;
        memcpy(w->topic_id, p->topic->id, sizeof w->topic_id);
        snprintf(w->name, sizeof w->name, "%s", p->topic->name);
        if (map_put(&r->will, w->topic_id, sizeof w->topic_id, w)) {
            heap_free(r->store->shard->heap, w);
            return;
        }
    }
    w->partitions++;
    w->segments += v->count;
    for (uint32_t i = 0; i < RETENTION_RULES; i++)
        w->bytes += v->by[i].bytes;
}

static void leave_last_segment(struct retention_verdict *v, const struct segment *s)
{
    assert(v->count > 0);
    enum retention_rule rule = v->by[RETENTION_TIME].segments > 0 ? RETENTION_TIME : RETENTION_SIZE;
    assert(v->by[rule].segments > 0 && v->by[rule].bytes >= s->bytes);
    v->count--;
    v->by[rule].segments--;
    v->by[rule].bytes -= s->bytes;
}

/* On a full disk only what closed segments leave makes room to roll the active one, and to save what was closed last: they go before
 * that, and wait for neither. */
static void leave_unsaved_segments(const struct partition *p, struct retention_verdict *v)
{
    assert(p->segments.count > 0);
    uint32_t most = 0;
    while (most + 1 < p->segments.count && !segments_at(&p->segments, most)->closing)
        most++;
    while (v->count > most)
        leave_last_segment(v, segments_at(&p->segments, v->count - 1));
}

static void act_on_partition(struct partition *p)
{
    assert(p->retention.state == RETENTION_IDLE);
    struct retention *r = retention_of(p);
    struct retention_verdict v = {0};
    if (p->condition == PARTITION_OPEN && !r->stopped)
        retention_judge(p, r->timed, r->now_ms, &v);
    if (v.unknown) {
        learn_segment_times(p, v.unknown);
    } else if (v.count == 0 || retention_keeps_all(r)) {
        note_what_will_go(r, p, &v);
        end_retention_act(p);
    } else if (v.count == p->segments.count && v.count == 1) {
        roll_for_retention(p);
    } else {
        leave_unsaved_segments(p, &v);
        if (v.count > 0)
            trim_to_verdict(p, &v);
        else
            end_retention_act(p); /* the next sweep finds it saved */
    }
}

void retention_drop_oldest(struct partition *p, uint64_t bytes, int64_t limit_ms)
{
    assert(p->retention.state == RETENTION_IDLE);
    assert(p->segments.count > 0);
    struct retention_verdict v = {0};
    int64_t stable = last_stable_offset(p);
    while (v.count + 1 < p->segments.count && segments_at(&p->segments, v.count + 1)->base_offset <= stable &&
           (v.count == 0 || v.by[RETENTION_DISK].bytes < bytes)) {
        const struct segment *s = segments_at(&p->segments, v.count);
        if (v.count > 0 && s->written_ms > limit_ms)
            break;
        v.count++;
        v.by[RETENTION_DISK].segments++;
        v.by[RETENTION_DISK].bytes += s->bytes;
    }
    assert(v.count > 0 || p->segments.count == 1); /* else the oldest is not stable: full_disk.c asks that first */
    begin_retention_act(retention_of(p), p);
    if (v.count == 0)
        roll_for_retention(p);
    else
        trim_to_verdict(p, &v);
}

void retention_step(struct partition *p)
{
    if (p->retention.state != RETENTION_ROLLING)
        return;
    if (partition_dead(p)) {
        end_retention_act(p);
    } else if (!p->active || p->active->number != p->retention.rolling) {
        p->retention.state = RETENTION_IDLE;
        act_on_partition(p);
    } else if (!space_roll_is_wanted(p) && !space_in_job(p)) { /* it failed: the next sweep tries again */
        end_retention_act(p);
    }
}

void retention_forget(struct partition *p)
{
    assert(p->gone);
    list_remove(&p->retention.trim.link);
    end_retention_act(p);
}

/* --- the sweep --- */

static void sweep_after(struct retention *r, uint64_t ns)
{
    assert(r->store->retention == r);
    if (!r->stopped)
        timer_start(&r->store->shard->timers, &r->timer, r->store->shard->now_ns + ns);
}

static void begin_sweep(struct retention *r)
{
    assert(!r->sweeping);
    r->sweeping = true;
    r->next = r->store->count;
    r->unrecovered = 0;
    r->timed = log_store_expiry_ms(r->store, &r->now_ms);
    if (retention_keeps_all(r) && r->store->shard->now_ns >= r->grace_until_ns) {
        r->grace_until_ns = 0;
        r->mark_wanted = true;
        if (r->store->shard->id == 0)
            timer_start(&r->store->shard->timers, &r->seen_timer, r->store->shard->now_ns + 1);
    }
}

static void free_will_go(struct retention *r)
{
    uint32_t cursor = 0;
    struct will_go *w;
    while ((w = map_next(&r->will, &cursor))) {
        (void)map_remove(&r->will, w->topic_id, sizeof w->topic_id);
        heap_free(r->store->shard->heap, w);
    }
}

static void tell_what_will_go(struct retention *r)
{
    assert(retention_keeps_all(r));
    uint32_t cursor = 0, told = 0;
    struct will_go *w;
    r->told = true;
    while ((w = map_next(&r->will, &cursor)) && told++ < TOLD_TOPICS_MAX)
        log_warn(
            "retention will drop",
            "topic=%s partitions=%u segments=%u bytes=%llu shard=%u when=\"an hour after the start\" why=\"earlier "
            "releases kept everything\" hint=\"alter retention.ms and retention.bytes of what is to stay\"",
            w->name, w->partitions, w->segments, (unsigned long long)w->bytes, r->store->shard->id);
}

static void end_sweep(struct retention *r)
{
    assert(r->sweeping && r->next == 0);
    r->sweeping = false;
    if (retention_keeps_all(r) && !r->told && r->unrecovered == 0)
        tell_what_will_go(r);
    free_will_go(r);
    struct shard *s = r->store->shard;
    hanging_tell(&r->hanging, s->now_ns, r->now_ms, clock_since_boot_ns() - shard_lived_ns(s));
    uint64_t wait_ns = ns_of_ms(r->store->root->config->log_retention_check_ms);
    if (retention_keeps_all(r) && !r->told)
        wait_ns = u64_min(wait_ns, GRACE_LOOK_S * NS_PER_S);
    sweep_after(r, wait_ns);
}

/* True: there may be more, and the partition has another turn. */
static bool expire_producers(struct retention *r, struct partition *p)
{
    assert(p->producers);
    int64_t expiration_ms = r->store->config->producer_id_expiration_ms;
    bool more = producers_expire(p->producers, r->now_ms, expiration_ms) == PRODUCERS_EXPIRED_MAX;
    r->next += more;
    return more;
}

/* Returns how many looks it was. */
static uint32_t look_at_partition(struct retention *r, struct partition *p)
{
    assert(p->store == r->store);
    assert(r->sweeping);
    r->unrecovered += p->condition == PARTITION_UNRECOVERED;
    if (p->condition != PARTITION_OPEN || p->retention.state != RETENTION_IDLE)
        return 1;
    if (r->timed && expire_producers(r, p))
        return SWEEP_LOOKS_PER_TURN;
    if (r->timed)
        hanging_look(&r->hanging, p, r->now_ms);
    begin_retention_act(r, p);
    act_on_partition(p);
    return 1 + (uint32_t)u64_min(producers_count(p->producers), PRODUCERS_EXPIRED_MAX) / SWEEP_PRODUCERS_A_LOOK;
}

/* Those that are acted upon: what they wait for may have failed without a word. */
static void step_acting(struct retention *r)
{
    for (struct list *l = r->acting.next; l != &r->acting;) {
        struct partition *p = container_of(l, struct partition, retention.link);
        l = l->next;
        retention_step(p);
    }
}

static void continue_sweep(struct timer *t)
{
    struct retention *r = container_of(t, struct retention, timer);
    if (!r->sweeping)
        begin_sweep(r);
    step_acting(r);
    r->next = (uint32_t)u64_min(r->next, r->store->count);
    for (uint32_t looks = 0; looks < SWEEP_LOOKS_PER_TURN && r->next > 0 && r->acts < SWEEP_ACTS_MAX;)
        looks += look_at_partition(r, r->store->all[--r->next]);
    if (r->next == 0 && r->acts == 0)
        end_sweep(r);
    else
        sweep_after(r, (r->next > 0 && r->acts < SWEEP_ACTS_MAX ? SWEEP_STEP_MS : SWEEP_WAIT_MS) * NS_PER_MS);
}

/* --- what is kept in files, by shard 0 --- */

static enum err save_retention_mark(const struct retention *r)
{
    struct meta m;
    struct heap *heap = heap_open();
    if (!heap)
        return ERR_NO_MEMORY;
    const char *dir = r->store->root->config->data_dir;
    enum err err = meta_load(heap, dir, &m);
    m.retention = META_RETENTION;
    if (err == ERR_NONE)
        err = meta_save(dir, &m, true);
    heap_close(heap);
    return err;
}

static int32_t run_seen_job(void *arg)
{
    struct retention *r = arg;
    enum err err = expiry_clock_save(r->store->root->config->data_dir, r->seen_ms);
    if (err != ERR_NONE)
        log_warn("clock not noted", "data=%s why=\"%s\"", r->store->root->config->data_dir, err_text(err));
    if (r->mark_wanted && save_retention_mark(r) == ERR_NONE)
        r->mark_wanted = false;
    return 0;
}

static void seen_done(struct io_op *op, int32_t res)
{
    (void)res;
    struct retention *r = container_of(op, struct retention, seen_op);
    assert(r->seen_busy);
    r->seen_busy = false;
    if (r->over)
        r->over(r->store);
    if (!r->stopped)
        timer_start(&r->store->shard->timers, &r->seen_timer, r->store->shard->now_ns + SEEN_S * NS_PER_S);
}

static void note_time_seen(struct timer *t)
{
    struct retention *r = container_of(t, struct retention, seen_timer);
    assert(r->store->shard->id == 0);
    if (r->seen_busy || r->stopped)
        return;
    if (catalog_file_empty(r->store->root->catalog) && !r->mark_wanted) { /* nothing is kept in this folder */
        timer_start(&r->store->shard->timers, t, r->store->shard->now_ns + SEEN_S * NS_PER_S);
        return;
    }
    r->seen_busy = true;
    r->seen_ms = clock_wall_ms();
    io_job(r->store->shard->io, &r->seen_op, IO_BACKGROUND, run_seen_job, r, seen_done);
}

/* --- life --- */

static void name_retention_numbers(struct retention *r)
{
    struct stats *s = r->store->shard->stats;
    assert(s);
    r->dropped[RETENTION_SIZE].segments = stats_counter(s, "dropped_by_size_segments");
    r->dropped[RETENTION_SIZE].bytes = stats_counter(s, "dropped_by_size_bytes");
    r->dropped[RETENTION_TIME].segments = stats_counter(s, "dropped_by_time_segments");
    r->dropped[RETENTION_TIME].bytes = stats_counter(s, "dropped_by_time_bytes");
    r->dropped[RETENTION_DISK].segments = stats_counter(s, "dropped_by_disk_segments");
    r->dropped[RETENTION_DISK].bytes = stats_counter(s, "dropped_by_disk_bytes");
}

struct retention *retention_open(struct log_store *ls)
{
    assert(!ls->retention);
    struct shard *s = ls->shard;
    struct retention *r = heap_zalloc(s->heap, sizeof *r);
    if (!r)
        return NULL;
    r->store = ls;
    list_init(&r->acting);
    map_init(&r->will, s->heap);
    timer_init(&r->timer, continue_sweep);
    timer_init(&r->seen_timer, note_time_seen);
    name_retention_numbers(r);
    uint64_t now_ns = clock_now_ns(), delay_ns = ns_of_ms(ls->root->config->log_initial_task_delay_ms);
    r->grace_until_ns = ls->root->retention_marked ? 0 : now_ns + GRACE_S * NS_PER_S;
    timer_start(&s->timers, &r->timer, now_ns + delay_ns);
    if (s->id == 0)
        timer_start(&s->timers, &r->seen_timer, now_ns + delay_ns);
    return r;
}

void retention_stop(struct retention *r, void (*over)(struct log_store *ls))
{
    assert(!r->stopped && over);
    r->stopped = true;
    if (r->seen_busy)
        r->over = over;
    else
        over(r->store);
    timer_stop(&r->store->shard->timers, &r->timer);
    timer_stop(&r->store->shard->timers, &r->seen_timer);
}

void retention_close(struct retention *r)
{
    assert(list_empty(&r->acting));
    struct shard *s = r->store->shard;
    timer_stop(&s->timers, &r->timer);
    timer_stop(&s->timers, &r->seen_timer);
    free_will_go(r);
    map_deinit(&r->will);
    r->store->retention = NULL;
    heap_free(s->heap, r);
}

void retention_check(const struct retention *r)
{
    uint32_t acts = 0;
    for (const struct list *l = r->acting.next; l != &r->acting; l = l->next, acts++)
        assert(container_of(l, struct partition, retention.link)->retention.state != RETENTION_IDLE);
    assert(acts == r->acts);
    assert(r->acts <= r->store->count); /* the sweep's SWEEP_ACTS_MAX, and those that a full disk began */
    assert(r->sweeping || r->next == 0);
    assert(r->stopped || timer_started(&r->timer));
}
