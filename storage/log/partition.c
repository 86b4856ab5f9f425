/* A partition's life: opening through recovery, facts, watches, what happens when its disk fails, stopping. */
#include "core/clock.h"
#include "core/log.h"
#include "core/bytes.h"
#include "storage/log/deleter.h"
#include "storage/log/full_disk.h"
#include "storage/log/partition_dir.h"
#include "storage/log/partition_state.h"
#include <stdio.h>
#include <string.h>

/* --- opening --- */

static void drop_all_segments(struct partition *p)
{
    assert((p->segments.count == 0) == !p->active);
    space_close_ahead(p);
    p->space.ahead = AHEAD_NONE; /* what is left of it is no segment, and goes with the next recovery */
    struct list *l;
    for (uint32_t i = 0; i < p->segments.count; i++)
        list_push(&p->trimmer.dropped, &segments_at(&p->segments, i)->link);
    segments_drop(&p->segments, p->segments.count);
    while ((l = list_pop(&p->trimmer.dropped))) {
        struct segment *s = container_of(l, struct segment, link);
        files_close(p->store, s);
        cold_blocks_drop(&p->store->cold, s);
        files_index_drop(p->store, s);
        aborted_deinit(&s->aborted);
        heap_free(shard_of(p)->heap, s);
    }
    p->active = NULL;
}

void partition_drop_log(struct partition *p)
{
    tail_clear(&p->tail);
    drop_all_segments(p);
    if (p->producers)
        producers_close(p->producers);
    p->producers = NULL;
    epochs_deinit(&p->epochs);
    epochs_init(&p->epochs, shard_of(p)->heap);
}

static struct mark mark_of_active(const struct partition *p, int64_t end_offset)
{
    assert(end_offset >= 0);
    assert(!p->active || p->active->next_offset == end_offset);
    struct mark m = {.offset = end_offset, .max_timestamp = -1, .max_timestamp_offset = -1};
    if (p->active) {
        m.position = p->active->bytes;
        m.max_timestamp = p->active->index.max_timestamp;
        m.max_timestamp_offset = p->active->index.max_timestamp_offset;
    }
    return m;
}

static enum err install_recovered(struct partition *p, struct recovered *r, bool clean)
{
    assert(!p->active);
    assert(p->segments.count == 0);
    assert(!p->producers);
    struct list *l;
    uint32_t count = 0;
    for (l = r->segments.next; l != &r->segments; l = l->next)
        count++;
    enum err err = segments_reserve(&p->segments, count);
    if (err)
        return err;
    p->closed_bytes = 0;
    p->aborted_last_offset = -1;
    while ((l = list_pop(&r->segments))) {
        struct segment *s = container_of(l, struct segment, link);
        s->partition = p;
        segments_push(&p->segments, s);
        if (s->aborted.count)
            p->aborted_last_offset = s->aborted.v[s->aborted.count - 1].last_offset;
        if (p->active) {
            s->written_ms = s->written_ms > p->active->written_ms ? s->written_ms : p->active->written_ms;
            p->closed_bytes += p->active->bytes;
            if (p->active->index_loaded)
                files_index_used(p->store, p->active);
        }
        p->active = s;
    }
    if (p->active)
        p->active->jitter_ms = space_draw_jitter(p);
    p->producers = r->producers;
    p->epochs = r->epochs;
    r->producers = NULL;
    epochs_init(&r->epochs, shard_of(p)->heap);
    p->log_start_offset = r->log_start_offset;
    p->flusher.wanted_offset = 0;
    p->cleaning =
        (struct partition_cleaning){.swaps = p->cleaning.swaps}; /* a log that was thrown back is another one */
    p->end = p->promised = p->written = p->durable = mark_of_active(p, r->end_offset);
    p->space.state = SPACE_CLOSED;
    p->space.saved = clean;
    p->space.step = ALLOCATE_STEP_MIN;
    p->space.epochs_saved = -2; /* unknown */
    checkpoint_opened(p);
    return ERR_NONE;
}

static void quarantine_partition(struct partition *p, const struct recovered *r)
{
    assert(r->corrupt);
    p->condition = PARTITION_OFFLINE;
    log_error("corrupt",
              "partition=%s-%d segment=%020lld position=%llu effect=\"quarantined: its files are left untouched, "
              "produce and fetch answer KAFKA_STORAGE_ERROR\"",
              p->topic->name, p->index, (long long)r->corrupt_segment, (unsigned long long)r->corrupt_position);
}

void partition_recovery_input(const struct partition *p, struct recovery_input *in)
{
    assert(!p->active);
    const struct root *root = p->store->root;
    bool first = !p->recovery.done;
    uint32_t segment_count = 0;
    *in = (struct recovery_input){
        .dir = p->dir,
        .segments = first ? checkpoint_segments(root->checkpoints, p->topic->id, p->index, &segment_count) : NULL,
        .clean = first && root_was_clean(root, p->topic->id, p->index),
        .caching = first ? !p->recovery.acks_durable : !durable_acks(p),
        .known_end_offset = first ? -1 : p->known_end_offset,
        .wave_bytes_max = first ? p->recovery.wave_bytes : wave_bytes_max(config_of(p)->max_message_bytes),
        .index_interval_bytes = config_of(p)->index_interval_bytes,
        .segment_index_bytes = config_of(p)->segment_index_bytes,
    };
    in->segment_count = segment_count;
}

static void wait_for_disk_room(struct partition *p);

/* Never appended to, or its folder did not survive: the first roll makes it. */
static enum err begin_empty_log(struct partition *p)
{
    assert(!p->active);
    assert(!p->producers);
    p->producers = producers_open(shard_of(p)->heap);
    p->log_start_offset = 0;
    p->aborted_last_offset = -1;
    p->end = p->promised = p->written = p->durable = mark_of_active(p, 0);
    p->space.state = SPACE_CLOSED;
    p->space.saved = true;
    return p->producers ? ERR_NONE : ERR_NO_MEMORY;
}

static enum err take_recovered(struct partition *p, const struct recovery_input *in, struct recovered *r)
{
    assert(r);
    if (r->corrupt) {
        quarantine_partition(p, r);
        p->producers = producers_open(shard_of(p)->heap);
        return p->producers ? ERR_NONE : ERR_NO_MEMORY;
    }
    if (r->cut_bytes)
        log_warn("torn tail", "partition=%s-%d end_offset=%lld cut_bytes=%llu", p->topic->name, p->index,
                 (long long)r->end_offset, (unsigned long long)r->cut_bytes);
    return install_recovered(p, r, in->clean);
}

/* The machine was short of something: that says nothing about the log. */
static bool recovery_lacked_something(enum err err)
{
    return err == ERR_NO_SPACE || err == ERR_NO_MEMORY || err == ERR_TOO_MANY_FILES;
}

void partition_recovered(struct partition *p, const struct recovery_input *in, struct recovered *r, enum err err)
{
    assert(p->condition == PARTITION_UNRECOVERED || p->condition == PARTITION_NO_ROOM);
    assert(!p->active);
    assert(r || err);
    enum partition_condition before = p->condition;
    if (err == ERR_NOT_FOUND)
        err = begin_empty_log(p);
    else if (!err)
        err = take_recovered(p, in, r);
    if (recovery_lacked_something(err)) {
        wait_for_disk_room(p);
        return;
    }
    if (p->condition == before)
        p->condition = PARTITION_OPEN;
    p->recovery.done = true;
    p->space.retry_at_ns = 0;
    p->stricter.flush_to = 0; /* recovery synced what it found; what was beyond is in no promise */
    if (err)
        partition_offline(p, err_text(err));
    else
        partition_moved(p);
    partition_tell_waiting(p);
}

static void init_partition_lists(struct partition *p)
{
    list_init(&p->writer.pending);
    list_init(&p->writer.parked);
    list_init(&p->watches);
    list_init(&p->readers);
    list_init(&p->lookups);
    list_init(&p->durable_waits);
    list_init(&p->trimmer.waiting);
    list_init(&p->trimmer.saving);
    list_init(&p->trimmer.dropped);
    list_init(&p->trimmer.renamed);
    list_init(&p->retention.trim.link);
    list_init(&p->retention.link);
    list_init(&p->ring_link);
    list_init(&p->space.zeroing.link);
    list_init(&p->writer.wave_link);
    list_init(&p->writer.carry_link);
    redo_place_init(&p->writer.redo);
    list_init(&p->writer.parked_link);
    list_init(&p->watch_link);
    list_init(&p->retry_link);
    list_init(&p->recovery.link);
    list_init(&p->recovery.waiting);
    list_init(&p->checkpoint.link);
    list_init(&p->unpack.link);
    timer_init(&p->flusher.timer, writer_flush_due);
}

/* Once for a topic: by its first partition, when it is opened or its settings are altered. What was so before is not said again. */
static void say_doubts(const struct partition *p, const struct topic *before)
{
    const struct topic *t = p->topic;
    char why[256], was[256];
    if (p->index != 0 || t->internal)
        return;
    for (uint32_t i = 0; topic_config_doubt(&t->config, t->overrides, t->override_count, i, why); i++)
        if (!before || !topic_config_doubt(&before->config, before->overrides, before->override_count, i, was) ||
            strcmp(why, was) != 0)
            log_warn("settings contradict", "topic=%s why=\"%s\"", t->name, why);
}

static char *partition_dir_path(struct log_store *st, const struct topic *topic, int32_t index)
{
    assert(index >= 0);
    char path[FS_PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s-%d", st->root->config->data_dir, topic->name, index);
    return n > 0 && (size_t)n < sizeof path ? heap_strdup(st->shard->heap, path) : NULL;
}

struct partition *partition_open(struct log_store *ls, const struct topic *topic, int32_t index, bool fresh)
{
    assert(index < topic->partitions);
    struct heap *h = ls->shard->heap;
    struct partition *p = heap_zalloc(h, sizeof *p);
    if (!p)
        return NULL;
    p->store = ls;
    partition_set_topic(p, topic);
    p->index = index;
    p->place = UINT32_MAX;
    memcpy(p->key, topic->id, 16);
    be32_put(p->key + 16, (uint32_t)index);
    init_partition_lists(p);
    tail_init(&p->tail, h);
    segments_init(&p->segments, h);
    epochs_init(&p->epochs, h);
    p->condition = fresh ? PARTITION_OPEN : PARTITION_UNRECOVERED;
    p->recovery.done = fresh;
    p->recovery.acks_durable = durable_acks(p);
    p->recovery.wave_bytes = wave_bytes_max(config_of(p)->max_message_bytes);
    p->dir = partition_dir_path(ls, topic, index);
    full_disk_note(p);
    say_doubts(p, NULL);
    if (p->dir && (!fresh || !begin_empty_log(p)))
        return p;
    partition_close(p);
    return NULL;
}

void partition_close(struct partition *p)
{
    struct heap *h = shard_of(p)->heap;
    p->gone = true;
    zeroing_forget(p);
    timer_stop(&shard_of(p)->timers, &p->flusher.timer);
    redo_place_forget(&p->store->redo, &p->writer.redo, p->stop.deleting);
    list_remove(&p->writer.carry_link);
    list_remove(&p->writer.wave_link);
    list_remove(&p->writer.parked_link);
    list_remove(&p->watch_link);
    list_remove(&p->retry_link);
    assert(p->recovery.state != RECOVERY_RUNNING);
    assert(list_empty(&p->recovery.waiting));
    assert(list_empty(&p->durable_waits));
    list_remove(&p->recovery.link);
    log_store_remove(p->store, p);
    checkpoint_forget(p);
    deleter_forget(p->store->deleter, p);
    retention_forget(p);
    full_disk_forget(p);
    cold_cursors_forget(&p->store->cold, p);
    partition_drop_log(p);
    tail_deinit(&p->tail);
    segments_deinit(&p->segments);
    heap_free(h, p->dir);
    heap_free(h, p);
}

/* --- when the disk fails --- */

void partition_offline(struct partition *p, const char *why)
{
    assert(why);
    if (partition_is_offline(p))
        return;
    p->condition = PARTITION_OFFLINE;
    log_error("offline",
              "partition=%s-%d why=\"%s\" effect=\"produce and fetch answer KAFKA_STORAGE_ERROR until a restart\"",
              p->topic->name, p->index, why);
    writer_fail_all(p, KERR_KAFKA_STORAGE_ERROR);
    trim_fail_waiting(p);
    partition_tell_waiting(p);
    partition_moved(p);
    log_store_turn(p->store); /* look-ups that waited for a wave */
}

/* Nothing is wrong but a full disk, or memory that is short: out of service until opening it (again) succeeds, which the recoverer tries. */
static void wait_for_disk_room(struct partition *p)
{
    assert(p->store->reopen);
    if (p->condition != PARTITION_NO_ROOM)
        log_error("no room",
                  "partition=%s-%d effect=\"produce and fetch answer KAFKA_STORAGE_ERROR until there is room\"",
                  p->topic->name, p->index);
    p->condition = PARTITION_NO_ROOM;
    trim_fail_waiting(p);
    partition_tell_waiting(p);
    partition_moved(p);
    p->store->reopen(p->store, p);
}

void partition_broken(struct partition *p, int32_t res, const char *what)
{
    assert(res < 0);
    char why[160];
    snprintf(why, sizeof why, "%s failed: %s", what, err_text(err_from_errno(-res)));
    partition_offline(p, why);
}

/* A full disk found out only by a write (a file system without fallocate), or a kernel without memory for it, rolls back to what was
 * promised and goes on, by a recovery of what was written; anything else ends the partition: what a failed write or flush left on the disk
 * is unknown. */
void partition_fault(struct partition *p, int32_t res, const char *what)
{
    assert(res < 0);
    enum err err = err_from_errno(-res);
    if (partition_is_offline(p))
        return;
    if (!space_is_shortage(err)) {
        partition_broken(p, res, what);
        return;
    }
    assert(p->promised.position <= p->written.position); /* or recovery would miss it */
    log_error("rolled back", "partition=%s-%d end_offset=%lld why=\"%s failed: %s\"", p->topic->name, p->index,
              (long long)p->promised.offset, what, err_text(err));
    writer_fail_all(p, KERR_KAFKA_STORAGE_ERROR);
    if (err == ERR_NO_SPACE)
        full_disk_found_full(p->store);
    p->known_end_offset = p->promised.offset;
    wait_for_disk_room(p);
}

/* --- watching --- */

void watch_init(struct watch *w, void (*moved)(struct watch *w))
{
    assert(moved);
    w->moved = moved;
    list_init(&w->link);
}

void partition_watch(struct partition *p, struct watch *w)
{
    assert(w->moved);
    list_push(&p->watches, &w->link);
}

void partition_unwatch(struct watch *w)
{
    list_remove(&w->link);
}

void partition_durable(struct partition *p)
{
    assert(p->durable.offset <= p->promised.offset);
    checkpoint_durable(p);
    partition_tell_waiting(p);
}

/* --- changes of its settings --- */

/* A clean stop flushes what it took. */
static bool flushes_nothing_more(const struct partition *p)
{
    return partition_is_offline(p) || p->stop.deleting;
}

/* What it promised may be gone after a power cut, and nothing flushes it: a rule by which it would have to be there must not be. */
static bool lacks_durability(const struct partition *p)
{
    assert(p->durable.offset <= p->promised.offset);
    return p->condition == PARTITION_NO_ROOM ||
           (p->condition == PARTITION_OFFLINE && p->durable.offset < p->promised.offset);
}

void partition_tell_waiting(struct partition *p)
{
    struct config_wait *wait = p->stricter.wait;
    if (wait && (flushes_nothing_more(p) || p->durable.offset >= p->stricter.flush_to)) {
        p->stricter.wait = NULL;
        if (lacks_durability(p))
            config_wait_fail(wait);
        config_wait_over(wait);
    }
    durable_wait_step(p);
    trim_step(p);
}

bool partition_keep_stricter(struct partition *p, const struct topic_config *next, struct config_wait *wait)
{
    assert(!p->stricter.wait);
    assert(wait);
    p->stricter.durable |= topic_config_acks_durable(next);
    p->stricter.message_bytes = (uint32_t)u64_min(p->stricter.message_bytes, next->max_message_bytes);
    if (lacks_durability(p))
        config_wait_fail(wait);
    if (flushes_nothing_more(p) || p->durable.offset >= p->end.offset || PLANTED(caching_off_unflushed))
        return false;
    p->stricter.wait = wait;
    p->stricter.flush_to = p->end.offset;
    writer_want_durable(p, p->end.offset); /* or the wave, flush or roll that is under way: its end comes back here */
    return true;
}

void partition_set_topic(struct partition *p, const struct topic *version)
{
    assert(version);
    assert(!p->topic || memcmp(p->topic->id, version->id, sizeof version->id) == 0);
    const struct topic *before = p->topic;
    p->topic = version;
    p->stricter.durable = false;
    p->stricter.message_bytes = UINT32_MAX;
    if (!p->dir) /* it is being opened */
        return;
    full_disk_note(p);
    say_doubts(p, before);
}

void partition_moved(struct partition *p)
{
    if (!list_empty(&p->watches))
        log_store_queue(p->store, &p->store->watched, &p->watch_link);
}

/* --- facts --- */

struct partition_facts partition_facts(const struct partition *p)
{
    assert(p->promised.offset <= p->end.offset);
    return (struct partition_facts){
        .log_start_offset = p->log_start_offset,
        .high_watermark = p->promised.offset,
        .last_stable_offset = last_stable_offset(p),
        .end_offset = p->end.offset,
        .leader_epoch = p->store->root->leader_epoch,
        .bytes = p->closed_bytes + p->end.position,
        .offline = partition_is_offline(p),
        .recovering = p->condition == PARTITION_UNRECOVERED && !PLANTED(serve_unrecovered),
    };
}

void partition_epoch_end(const struct partition *p, int32_t epoch, int32_t *out_epoch, int64_t *out_end_offset)
{
    epochs_end_of(&p->epochs, epoch, p->store->root->leader_epoch, p->promised.offset, out_epoch, out_end_offset);
}

int32_t partition_epoch_at(const struct partition *p, int64_t offset)
{
    return offset < p->promised.offset ? epochs_of_offset(&p->epochs, offset) : p->store->root->leader_epoch;
}

/* --- stopping --- */

void partition_stop(struct partition *p, bool deleting, void (*stopped)(struct partition *p))
{
    assert(!p->stop.done);
    assert(stopped);
    p->stop.done = stopped;
    p->stop.deleting = deleting;
    bool offline = partition_is_offline(p);
    if (!offline)
        p->condition = PARTITION_STOPPING;
    writer_fail_parked(p, partition_refusal(p));
    trim_fail_waiting(p);
    partition_tell_waiting(p);
    partition_moved(p);
    log_store_turn(p->store); /* look-ups that waited for a wave */
    if (p->cleaning.busy)
        p->store->cleaning_step(p->store, p);
    partition_stop_step(p);
}

/* Waits until nothing is in flight, flushes, then trims and saves (or deletes). */
void partition_stop_step(struct partition *p)
{
    if (!p->stop.done || p->gone || partition_busy(p))
        return;
    bool offline = partition_is_offline(p);
    if (!offline && !p->stop.deleting && p->end.position != p->written.position) {
        writer_carry(p);
        return;
    }
    if (!offline && !p->stop.deleting && p->durable.position != p->written.position) {
        writer_flush(p);
        return;
    }
    list_remove(&p->writer.wave_link);
    writer_fail_all(p, partition_refusal(p));
    assert(list_empty(&p->writer.pending));
    assert(list_empty(&p->writer.parked));
    void (*stopped)(struct partition *) = p->stop.done;
    if (p->stop.deleting || (!offline && p->active && !p->space.saved)) {
        if (p->stop.deleting)
            drop_all_segments(p);
        space_close_ahead(p);
        if (!p->closes) /* else its end comes back here */
            space_stop(p);
        return;
    }
    p->gone = true;
    assert(!p->space.job);
    p->stop.clean = !offline && (p->recovery.done || PLANTED(clean_mark_unrecovered));
    stopped(p);
}
