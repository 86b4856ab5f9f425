/* The end of a turn, what is asked for again, and memory that is given back (log_store.h). */
#include "storage/log/log_store.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/log.h"
#include "storage/log/deleter.h"
#include "storage/log/partition_state.h"

enum {
    FREE_BYTES_UNKNOWN = 1 << 30,
    IDLE_LOOKS_PER_TURN = 512, /* some 50 ns each, with a row 200 */
    IDLE_STEP_MS = 1,          /* between the steps of one look */
    WRITTEN_LATELY_NS = 20 * NS_PER_MS,
    EVICT_LOOKS_MAX = 4096,        /* partitions without a tail that one eviction passes */
    PARKED_PER_TURN = 64,          /* partitions with parked appends: each may ask the disk for room */
    WAVES_PER_TURN = 128,          /* begun: 4 to 9 us each */
    ANSWERS_PER_TURN = 128,        /* of appends: a reply each, 1 to 4 us */
    SMALL_WAVE_BYTES = 128 * 1024, /* larger ones may wait for their bytes; they tell only that a flush is quick */
    WAVE_WEIGHT = 16,
};
#define PARKED_BYTES_PER_TURN \
    (IO_BYTES_PER_TURN / 4) /* that their appends copy: into memory that may be fresh, some 1 ms */

/* --- the end of a turn --- */

void log_store_turn(struct log_store *ls)
{
    assert(ls->shard);
    shard_defer(ls->shard, &ls->turn_end);
}

bool log_store_is_written(const struct log_store *ls)
{
    assert(ls->shard);
    return ls->waves_under_way > 0 || (ls->wave_ended_ns && ls->shard->now_ns < ls->wave_ended_ns + WRITTEN_LATELY_NS);
}

void log_store_note_durable(struct log_store *ls, uint64_t bytes, uint64_t took_ns)
{
    assert(bytes > 0);
    uint64_t ns = ls->durable_wave_ns;
    if (!ns || took_ns < ns)
        ls->durable_wave_ns = u64_max(took_ns, 1);
    else if (bytes <= SMALL_WAVE_BYTES)
        ls->durable_wave_ns = ns + (took_ns - ns) / WAVE_WEIGHT;
}

bool log_store_flush_is_slow(const struct log_store *ls)
{
    assert(ls->shard);
    return ls->durable_wave_ns >= FLUSH_SLOW_NS;
}

void log_store_queue(struct log_store *ls, struct list *queue, struct list *link)
{
    assert(queue != link);
    if (!list_linked(link))
        list_push(queue, link);
    log_store_turn(ls);
}

void log_store_finish(struct log_store *ls, struct append *a)
{
    assert(!list_linked(&a->link));
    assert(a->done);
    list_push(&ls->finished, &a->link);
    log_store_turn(ls);
}

static void tell_watchers(struct partition *p)
{
    assert(!list_linked(&p->watch_link));
    struct list now, *l;
    list_init(&now);
    list_splice(&now, &p->watches);
    while ((l = list_pop(&now))) {
        list_push(&p->watches, l);
        struct watch *w = container_of(l, struct watch, link);
        w->moved(w);
    }
}

/* What is too much for this turn goes first in the next one. */
static void keep_rest(struct log_store *ls, struct list *rest, struct list *queue)
{
    assert(rest != queue);
    if (list_empty(rest))
        return;
    list_splice(rest, queue);
    list_splice(queue, rest);
    log_store_turn(ls);
}

static void take_parked_appends(struct log_store *ls)
{
    const struct io *io = ls->shard->io;
    struct list now, *l;
    list_init(&now);
    list_splice(&now, &ls->parked);
    ls->parked_until = io_spent(io) + PARKED_BYTES_PER_TURN;
    for (uint32_t i = 0; i < PARKED_PER_TURN && io_spent(io) < ls->parked_until && (l = list_pop(&now)); i++)
        writer_take_parked(container_of(l, struct partition, writer.parked_link));
    ls->parked_until = UINT64_MAX;
    assert(io_spent(io) < ls->parked_until);
    keep_rest(ls, &now, &ls->parked);
}

static void start_wanted_waves(struct log_store *ls)
{
    struct list now, *l;
    list_init(&now);
    list_splice(&now, &ls->wave_wanted);
    for (uint32_t i = 0; i < WAVES_PER_TURN && (l = list_pop(&now)); i++) {
        struct partition *p = container_of(l, struct partition, writer.wave_link);
        writer_start_wave(p);
        if (DEBUG_CHECKS)
            partition_check(p);
    }
    keep_rest(ls, &now, &ls->wave_wanted);
    shared_flush_step(ls);
}

static void answer_appends(struct log_store *ls)
{
    struct list now, *l;
    list_init(&now);
    list_splice(&now, &ls->finished);
    for (uint32_t i = 0; i < ANSWERS_PER_TURN && (l = list_pop(&now)); i++) {
        struct append *a = container_of(l, struct append, link);
        assert(a->done);
        a->done(a);
    }
    keep_rest(ls, &now, &ls->finished);
}

static void run_turn_end(struct shard_defer *d)
{
    struct log_store *ls = container_of(d, struct log_store, turn_end);
    struct list now, *l;
    list_init(&now);
    take_parked_appends(ls);
    start_wanted_waves(ls);
    list_splice(&now, &ls->watched);
    while ((l = list_pop(&now)))
        tell_watchers(container_of(l, struct partition, watch_link));
    answer_appends(ls);
    list_splice(&now, &ls->trimmed);
    while ((l = list_pop(&now))) {
        struct log_trim *t = container_of(l, struct log_trim, link);
        t->done(t);
    }
    list_splice(&now, &ls->durables);
    while ((l = list_pop(&now))) {
        struct durable_wait *w = container_of(l, struct durable_wait, link);
        w->done(w);
    }
    reader_begin_waiting(ls);
    lookup_begin_waiting(ls);
}

/* --- what is short is asked for again --- */

static void retry_waiting(struct timer *t)
{
    struct log_store *ls = container_of(t, struct log_store, retry_timer);
    struct list now, *l;
    list_init(&now);
    list_splice(&now, &ls->retry);
    while ((l = list_pop(&now))) {
        struct partition *p = container_of(l, struct partition, retry_link);
        writer_retry(p);
        if (p->end.position != p->written.position)
            writer_kick(p);
    }
}

void log_store_retry_later(struct log_store *ls, struct partition *p)
{
    assert(p->store == ls);
    if (!list_linked(&p->retry_link))
        list_push(&ls->retry, &p->retry_link);
    if (!timer_started(&ls->retry_timer))
        timer_start(&ls->shard->timers, &ls->retry_timer, ls->shard->now_ns + RETRY_MS * NS_PER_MS);
}

void log_store_retry_now(struct log_store *ls)
{
    if (!list_empty(&ls->retry))
        timer_start(&ls->shard->timers, &ls->retry_timer, ls->shard->now_ns);
}

/* --- what is in shared memory alone is carried to the files --- */

static void carry_due(struct timer *t)
{
    struct log_store *ls = container_of(t, struct log_store, carry_timer);
    struct list *l;
    while ((l = list_pop(&ls->carried)))
        writer_carry(container_of(l, struct partition, writer.carry_link));
}

void log_store_carry_later(struct log_store *ls, struct partition *p)
{
    assert(p->writer.redo.from != REDO_NOWHERE);
    if (!list_linked(&p->writer.carry_link))
        list_push(&ls->carried, &p->writer.carry_link);
    if (redo_ring_is_half_full(&ls->redo))
        timer_start(&ls->shard->timers, &ls->carry_timer, ls->shard->now_ns);
    else if (!timer_started(&ls->carry_timer))
        timer_start(&ls->shard->timers, &ls->carry_timer, ls->shard->now_ns + CARRY_MS * NS_PER_MS);
}

/* --- memory that idle partitions hold --- */

static void count_partition(struct log_numbers *n, const struct partition *p)
{
    uint64_t since_ns = p->flusher.risk_since_ns, risk_bytes = partition_risk_bytes(p);
    assert(n->risk_bytes > 0 || n->risk_since_ns == 0);
    n->segments += p->segments.count;
    n->bytes += p->closed_bytes + p->end.position;
    n->risk_bytes += risk_bytes;
    if (risk_bytes)
        n->risk_since_ns = n->risk_since_ns ? u64_min(n->risk_since_ns, since_ns) : since_ns;
}

static void show_numbers(struct log_store *ls)
{
    const struct log_numbers *n = &ls->seen;
    uint64_t age_ns = n->risk_since_ns ? ls->shard->now_ns - n->risk_since_ns : 0;
    assert(n->risk_bytes > 0 || age_ns == 0);
    stat_set(ls->counters.bytes, n->bytes);
    stat_set(ls->counters.segments, n->segments);
    stat_set(ls->counters.risk_bytes, n->risk_bytes);
    stat_set(ls->counters.risk_ms, age_ns / NS_PER_MS);
    stat_set(ls->counters.deleted_bytes, ls->deleter ? deleter_bytes(ls->deleter) : 0);
    ls->seen = (struct log_numbers){0};
}

static uint64_t look_period_s(const struct log_store *ls)
{
    assert(ls->shard);
    return ls->rows.at ? ROWS_LOOK_S : IDLE_LOOK_S;
}

/* In steps: 10,000 partitions are not looked at in one turn. */
static void look_at_idle(struct timer *t)
{
    struct log_store *ls = container_of(t, struct log_store, idle_timer);
    ls->idle_next = ls->idle_next ? (uint32_t)u64_min(ls->idle_next, ls->count) : ls->count;
    for (uint32_t i = 0; i < IDLE_LOOKS_PER_TURN && ls->idle_next > 0; i++) {
        count_partition(&ls->seen, ls->all[--ls->idle_next]);
        partition_rows_show(&ls->rows, ls->all[ls->idle_next]);
        writer_free_idle(ls->all[ls->idle_next]);
    }
    if (ls->idle_next == 0) {
        show_numbers(ls);
        partition_rows_looked(&ls->rows);
    }
    uint64_t wait_ns = ls->idle_next ? IDLE_STEP_MS * NS_PER_MS : look_period_s(ls) * NS_PER_S;
    timer_start(&ls->shard->timers, t, ls->shard->now_ns + wait_ns);
}

/* Round-robin over the partitions, so that no one's cache pays alone. */
bool log_store_evict(struct log_store *ls)
{
    assert(ls->count <= ls->cap);
    uint32_t looks = (uint32_t)u64_min(ls->count, EVICT_LOOKS_MAX);
    for (uint32_t tried = 0; tried < looks; tried++) {
        ls->evict_next = ls->evict_next > 0 && ls->evict_next <= ls->count ? ls->evict_next - 1 : ls->count - 1;
        struct partition *p = ls->all[ls->evict_next];
        uint64_t segment = p->active ? p->active->number : 0;
        if (p->tail.count > 0 && tail_evict(&p->tail, segment, p->written.position))
            return true;
    }
    return false;
}

/* --- all partitions --- */

enum err log_store_add(struct log_store *ls, struct partition *p)
{
    assert(p->store == ls);
    assert(p->place == UINT32_MAX);
    if (ls->count == ls->cap) {
        uint32_t cap = ls->cap ? ls->cap * 2 : 16;
        struct partition **all = heap_realloc(ls->shard->heap, ls->all, cap * sizeof *all);
        if (!all)
            return ERR_NO_MEMORY;
        ls->all = all;
        ls->cap = cap;
    }
    p->place = ls->count;
    ls->all[ls->count++] = p;
    partition_rows_added(&ls->rows);
    return ERR_NONE;
}

void log_store_remove(struct log_store *ls, struct partition *p)
{
    if (p->place == UINT32_MAX)
        return;
    assert(p->place < ls->count);
    assert(ls->all[p->place] == p);
    struct partition *last = ls->all[--ls->count];
    ls->all[p->place] = last;
    last->place = p->place;
    partition_rows_removed(&ls->rows, p->place, last == p ? NULL : last);
    p->place = UINT32_MAX;
}

int64_t log_store_written_ms(const struct log_store *ls)
{
    assert(ls->shard->now_ns >= ls->opened_ns);
    int64_t wall_ms = clock_wall_ms(),
            least_ms = ls->opened_ms + (int64_t)((ls->shard->now_ns - ls->opened_ns) / NS_PER_MS);
    return wall_ms > least_ms ? wall_ms : least_ms;
}

bool log_store_expiry_ms(struct log_store *ls, int64_t *out_ms)
{
    return expiry_clock_ask(&ls->expiry, clock_since_boot_ns(), clock_wall_ms(), out_ms);
}

static enum err open_log_heaps(struct log_store *ls)
{
    struct bufpool *bufs = ls->shard->bufs;
    size_t share = bufpool_max_bytes(bufs) / KEPT_SHARE;
    ls->index_heap = bufpool_part(bufs, share, false, &ls->index_meter);
    ls->checkpoint_heap = bufpool_part(bufs, u64_max(share, CHECKPOINT_MEMORY_MIN), false, &ls->checkpoint_meter);
    if (!ls->index_heap || !ls->checkpoint_heap)
        return ERR_NO_MEMORY;
    ls->index_meter->forced = ls->checkpoint_meter->forced = true;
    return ERR_NONE;
}

enum err log_store_init(struct log_store *ls, struct shard *s, struct root *root)
{
    *ls = (struct log_store){.shard = s, .root = root};
    expiry_clock_init(&ls->expiry, clock_since_boot_ns(), clock_wall_ms(), s->id == 0);
    ls->opened_ns = s->now_ns;
    ls->opened_ms = root->last_seen_ms > clock_wall_ms() ? root->last_seen_ms : clock_wall_ms();
    list_init(&ls->finished);
    list_init(&ls->trimmed);
    list_init(&ls->durables);
    list_init(&ls->parked);
    list_init(&ls->wave_wanted);
    shared_flush_init(&ls->shared_flush, root->lock_fd);
    list_init(&ls->carried);
    redo_ring_init(&ls->redo, root_redo_ring(root, s->id));
    list_init(&ls->watched);
    cold_blocks_init(&ls->cold, s, root->direct);
    list_init(&ls->cold_waiting);
    list_init(&ls->cold_ready);
    list_init(&ls->cold_starved);
    timer_init(&ls->cold_timer, reader_retry_starved);
    zeroing_init(&ls->zeroing);
    list_init(&ls->lookup_waiting);
    list_init(&ls->open_files);
    list_init(&ls->closes_free);
    for (uint32_t i = 0; i < CLOSES_RESERVED; i++) {
        ls->close_reserve[i].reserved = true;
        list_init(&ls->close_reserve[i].link);
        list_push(&ls->closes_free, &ls->close_reserve[i].link);
    }
    list_init(&ls->indexes);
    list_init(&ls->retry);
    list_init(&ls->unpack.waiting);
    ls->unpack.batches = stats_counter(s->stats, "batches_unpacked");
    ls->unpack.repacked = stats_counter(s->stats, "batches_recompressed");
    ls->unpack.repacked_bytes = stats_counter(s->stats, "recompressed_bytes");
    ls->unpack.append_time = stats_counter(s->stats, "batches_append_time");
    shard_defer_init(&ls->turn_end, run_turn_end);
    ls->counters = (struct log_counters){.bytes = stats_counter(s->stats, "log_bytes"),
                                         .segments = stats_counter(s->stats, "log_segments"),
                                         .risk_bytes = stats_counter(s->stats, "at_risk_bytes"),
                                         .risk_ms = stats_counter(s->stats, "at_risk_ms"),
                                         .deleted_bytes = stats_counter(s->stats, "deleted_waiting_bytes"),
                                         .redo_records = stats_counter(s->stats, "redo_records"),
                                         .redo_bytes = stats_counter(s->stats, "redo_bytes"),
                                         .shared_flushes = stats_counter(s->stats, "shared_flushes"),
                                         .durable_waves = stats_counter(s->stats, "durable_waves"),
                                         .settled_waves = stats_counter(s->stats, "settled_waves"),
                                         .zeroed_bytes = stats_counter(s->stats, "zeroed_bytes"),
                                         .wave_zeroed_bytes = stats_counter(s->stats, "wave_zeroed_bytes")};
    timer_init(&ls->carry_timer, carry_due);
    timer_init(&ls->retry_timer, retry_waiting);
    timer_init(&ls->idle_timer, look_at_idle);
    partition_rows_init(&ls->rows, s);
    timer_start(&s->timers, &ls->idle_timer, s->now_ns + look_period_s(ls) * NS_PER_S);
    ls->parked_until = UINT64_MAX;
    ls->open_max = fs_files_max() / OPEN_FILES_SHARE / s->count;
    if (fs_free_bytes(root->config->data_dir, &ls->free_bytes))
        ls->free_bytes = FREE_BYTES_UNKNOWN;
    ls->closes_waiting = heap_alloc(s->heap, CLOSES_WAITING_MAX * sizeof *ls->closes_waiting);
    return ls->closes_waiting ? open_log_heaps(ls) : ERR_NO_MEMORY;
}

void log_store_deinit(struct log_store *ls)
{
    assert(ls->count == 0);
    assert(list_empty(&ls->unpack.waiting));
    assert(list_empty(&ls->zeroing.waiting) && !ls->zeroing.running);
    timer_stop(&ls->shard->timers, &ls->retry_timer);
    timer_stop(&ls->shard->timers, &ls->carry_timer);
    timer_stop(&ls->shard->timers, &ls->idle_timer);
    timer_stop(&ls->shard->timers, &ls->cold_timer);
    cold_blocks_deinit(&ls->cold);
    list_remove(&ls->turn_end.link);
    assert(ls->closes_waiting_count == 0);
    heap_free(ls->shard->heap, ls->closes_waiting);
    heap_free(ls->shard->heap, ls->all);
    ls->all = NULL;
    if (ls->index_heap)
        bufpool_part_close(ls->shard->bufs, ls->index_heap, ls->index_meter);
    if (ls->checkpoint_heap)
        bufpool_part_close(ls->shard->bufs, ls->checkpoint_heap, ls->checkpoint_meter);
}

void log_store_check(const struct log_store *ls)
{
    assert(ls->count <= ls->cap);
    assert(list_empty(&ls->retry) || timer_started(&ls->retry_timer));
    cold_blocks_check(&ls->cold);
    assert(list_empty(&ls->carried) || timer_started(&ls->carry_timer));
    shared_flush_check(&ls->shared_flush);
    redo_ring_check(&ls->redo);
    partition_rows_check(&ls->rows);
    assert(!ls->rows.at || ls->rows.count == ls->count);
    for (uint32_t i = 0; i < ls->count; i++) {
        assert(ls->all[i]->place == i);
        assert(ls->all[i]->store == ls);
        partition_check(ls->all[i]);
    }
}

/* --- changes of settings that wait --- */

void config_wait_fail(struct config_wait *w)
{
    assert(w->left > 0);
    w->failed = true;
}

void config_wait_over(struct config_wait *w)
{
    assert(w->left > 0);
    if (--w->left == 0)
        w->over(w);
}
