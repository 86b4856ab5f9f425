/* Writing checkpoints (checkpoint.h) of one shard's partitions.
 *
 *   tick, twice a second: partitions touched since the last one are `wanted`
 *   the next wave of such a partition captures: the mark at its end, the producers as of that mark     -> held
 *   the durable end reaches the mark                                                                   -> ready
 *   the next tick's job appends the new index entries to the index files, then the entries to the checkpoint file
 *
 * Producers are captured when the wave starts because they must not know a batch that the durable end does not cover: a
 * resent batch would be answered as a duplicate of one that is lost.
 *
 * The file is written whole at the first tick of a run (a torn tail of the last run must not hide what follows), when it
 * grew too large, and at the clean stop. Index files go first: an entry whose index bytes are missing is found by their CRC. */
#include "core/clock.h"
#include "core/crc.h"
#include "core/log.h"
#include "storage/log/partition_state.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* New index entries of one partition. */
struct delta {
    char dir[FS_PATH_MAX];
    int64_t segment;
    uint64_t offsets_at, times_at;
    uint32_t offsets_bytes, times_bytes;
    uint8_t *bytes; /* offsets, then times */
};
struct item {
    struct partition *partition; /* NULL: it was closed meanwhile */
    struct delta delta;
    uint8_t *entry;
    uint32_t entry_bytes;
    struct mark mark;
    int64_t segment;
    uint32_t offsets, times, offsets_crc, times_crc; /* saved when the job succeeds */
};

struct checkpointer {
    struct log_store *store;
    struct timer timer;
    struct io_op op;
    struct list touched; /* partitions with a wave since the last tick */
    struct list ready;
    uint64_t serial, file_bytes, bytes_since_tick;
    bool busy, whole, told, last; /* last: the clean stop's file is being written */
    int fd;
    char path[FS_PATH_MAX], temporary[FS_PATH_MAX];
    /* the job's: not touched while busy */
    struct item *items;
    uint32_t item_count, item_cap;
    uint8_t *blob;
    size_t blob_bytes, blob_cap;
    enum err err;
    void (*stopped)(struct checkpointer *c, enum err err);
    bool folder_lost, told_lost; /* the job's; it was logged */
};

static struct checkpointer *checkpointer_of(const struct partition *p)
{
    return p->store->checkpointer;
}

/* --- capturing --- */

static void release_mark(struct partition *p)
{
    heap_free(shard_of(p)->heap, p->checkpoint.producers);
    p->checkpoint.producers = NULL;
    p->checkpoint.state = CHECKPOINT_NONE;
}

static void capture_mark(struct partition *p)
{
    release_mark(p);
    size_t bytes = producers_saved_bytes(p->producers);
    p->checkpoint.producers = heap_alloc(shard_of(p)->heap, bytes ? bytes : 1);
    if (!p->checkpoint.producers)
        return; /* wanted again at the next tick */
    producers_save(p->producers, p->checkpoint.producers);
    p->checkpoint.producers_bytes = (uint32_t)bytes;
    p->checkpoint.mark = p->end;
    p->checkpoint.epoch = epochs_latest(&p->epochs);
    p->checkpoint.state = CHECKPOINT_HELD;
    p->checkpoint.wanted = false;
}

/* The next tick looks at it. */
static void touch_partition(struct checkpointer *c, struct partition *p)
{
    if (!list_linked(&p->checkpoint.link))
        list_push(&c->touched, &p->checkpoint.link);
}

void checkpoint_capture(struct partition *p)
{
    struct checkpointer *c = checkpointer_of(p);
    touch_partition(c, p);
    if (p->checkpoint.wanted && p->checkpoint.state != CHECKPOINT_HELD)
        capture_mark(p);
    c->bytes_since_tick += p->end.position - p->promised.position;
    if (c->bytes_since_tick > CHECKPOINT_BYTES / 2) {
        c->bytes_since_tick = 0;
        timer_start(&shard_of(p)->timers, &c->timer, shard_of(p)->now_ns);
    }
}

void checkpoint_durable(struct partition *p)
{
    struct checkpointer *c = checkpointer_of(p);
    if (p->checkpoint.state != CHECKPOINT_HELD || p->durable.offset < p->checkpoint.mark.offset)
        return;
    list_remove(&p->checkpoint.link);
    list_push(&c->ready, &p->checkpoint.link);
}

void checkpoint_rolled(struct partition *p)
{
    capture_mark(p);
    checkpoint_durable(p);
}

void checkpoint_opened(struct partition *p)
{
    release_mark(p);
    p->checkpoint.saved_offsets = p->checkpoint.saved_times = p->checkpoint.saved_offsets_crc =
        p->checkpoint.saved_times_crc = 0;
    if (p->active && !p->space.saved)
        capture_mark(p); /* recovery synced it all */
    list_remove(&p->checkpoint.link);
    if (p->checkpoint.state == CHECKPOINT_HELD)
        list_push(&checkpointer_of(p)->ready, &p->checkpoint.link);
}

/* --- building the job --- */

static uint32_t count_offsets_below(const struct index *ix, uint64_t position)
{
    uint32_t low = 0, high = ix->offset_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (be32_get(ix->offsets + (size_t)middle * INDEX_OFFSET_BYTES + 4) < position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint32_t count_times_below(const struct index *ix, int64_t offset)
{
    uint32_t low = 0, high = ix->time_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if ((int64_t)be32_get(ix->times + (size_t)middle * INDEX_TIME_BYTES + 8) < offset - ix->base_offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint32_t bytes_since_index_entry(const struct index *ix, uint32_t offsets, const struct mark *m)
{
    uint64_t last = offsets ? be32_get(ix->offsets + (size_t)(offsets - 1) * INDEX_OFFSET_BYTES + 4) : 0;
    return (uint32_t)(m->position - last);
}

static bool build_index_delta(struct item *it)
{
    struct partition *p = it->partition;
    const struct index *ix = &p->active->index;
    struct delta *d = &it->delta;
    memcpy(d->dir, p->dir, strlen(p->dir) + 1);
    d->segment = it->segment;
    d->offsets_at = (uint64_t)p->checkpoint.saved_offsets * INDEX_OFFSET_BYTES;
    d->times_at = (uint64_t)p->checkpoint.saved_times * INDEX_TIME_BYTES;
    d->offsets_bytes = (it->offsets - p->checkpoint.saved_offsets) * INDEX_OFFSET_BYTES;
    d->times_bytes = (it->times - p->checkpoint.saved_times) * INDEX_TIME_BYTES;
    d->bytes = heap_alloc(shard_of(p)->heap, (size_t)d->offsets_bytes + d->times_bytes + 1);
    if (!d->bytes)
        return false;
    if (d->offsets_bytes)
        memcpy(d->bytes, ix->offsets + d->offsets_at, d->offsets_bytes);
    if (d->times_bytes)
        memcpy(d->bytes + d->offsets_bytes, ix->times + d->times_at, d->times_bytes);
    it->offsets_crc = crc32c(p->checkpoint.saved_offsets_crc, d->bytes, d->offsets_bytes);
    it->times_crc = crc32c(p->checkpoint.saved_times_crc, d->bytes + d->offsets_bytes, d->times_bytes);
    return true;
}

static bool build_checkpoint_entry(struct checkpointer *c, struct item *it, bool clean)
{
    struct partition *p = it->partition;
    struct checkpoint_entry e = {
        .serial = ++c->serial,
        .partition = p->index,
        .log_start_offset = p->log_start_offset,
        .segment_base_offset = it->segment,
        .offset = it->mark.offset,
        .position = it->mark.position,
        .leader_epoch = p->checkpoint.epoch,
        .max_timestamp = it->mark.max_timestamp,
        .max_timestamp_offset = it->mark.max_timestamp_offset,
        .first_timestamp = p->active->first_timestamp,
        .index_count = it->offsets,
        .index_crc = it->offsets_crc,
        .time_count = it->times,
        .time_crc = it->times_crc,
        .bytes_since_entry = bytes_since_index_entry(&p->active->index, it->offsets, &it->mark),
        .clean = clean,
        .caching = !durable_acks(p),
        .producers = p->checkpoint.producers,
        .producers_bytes = p->checkpoint.producers_bytes,
    };
    memcpy(e.topic_id, p->topic->id, 16);
    it->entry_bytes = (uint32_t)checkpoint_entry_bytes(&e);
    it->entry = heap_alloc(shard_of(p)->heap, it->entry_bytes);
    if (it->entry)
        checkpoint_entry_encode(&e, it->entry);
    return it->entry != NULL;
}

static void free_item_memory(struct checkpointer *c, struct item *it)
{
    heap_free(c->store->shard->heap, it->delta.bytes);
    heap_free(c->store->shard->heap, it->entry);
    it->delta.bytes = it->entry = NULL;
}

static struct item *new_checkpoint_item(struct checkpointer *c, struct partition *p)
{
    if (c->item_count == c->item_cap) {
        uint32_t cap = c->item_cap ? c->item_cap * 2 : 16;
        struct item *v = heap_realloc(c->store->shard->heap, c->items, cap * sizeof *v);
        if (!v)
            return NULL;
        c->items = v;
        c->item_cap = cap;
    }
    struct item *it = &c->items[c->item_count++];
    *it = (struct item){.partition = p, .mark = p->checkpoint.mark, .segment = p->active->base_offset};
    return it;
}

/* Takes a partition whose held mark is durable. */
static bool add_checkpoint_item(struct checkpointer *c, struct partition *p, bool clean)
{
    struct item *it = new_checkpoint_item(c, p);
    if (!it)
        return false;
    const struct index *ix = &p->active->index;
    it->offsets = clean ? ix->offset_count : count_offsets_below(ix, it->mark.position);
    it->times = clean ? ix->time_count : count_times_below(ix, it->mark.offset);
    if (!build_index_delta(it) || !build_checkpoint_entry(c, it, clean)) {
        free_item_memory(c, it);
        c->item_count--;
        return false;
    }
    return true;
}

static bool add_to_blob(struct checkpointer *c, const uint8_t *at, size_t bytes)
{
    if (c->blob_bytes + bytes > c->blob_cap) {
        size_t cap = u64_max(c->blob_cap * 2, c->blob_bytes + bytes + 4096);
        uint8_t *blob = heap_realloc(c->store->shard->heap, c->blob, cap);
        if (!blob)
            return false;
        c->blob = blob;
        c->blob_cap = cap;
    }
    memcpy(c->blob + c->blob_bytes, at, bytes);
    c->blob_bytes += bytes;
    return true;
}

/* The file's new content: every partition's latest entry, or only the new ones. */
static bool build_checkpoint_blob(struct checkpointer *c)
{
    c->blob_bytes = 0;
    bool fits = true;
    for (uint32_t i = 0; i < c->item_count; i++)
        fits = fits && add_to_blob(c, c->items[i].entry, c->items[i].entry_bytes);
    for (uint32_t i = 0; c->whole && fits && i < c->store->count; i++) {
        const struct partition *p = c->store->all[i];
        if (p->checkpoint.entry)
            fits = add_to_blob(c, p->checkpoint.entry, p->checkpoint.entry_bytes);
    }
    return fits;
}

/* --- the job --- */

static enum err write_index_delta(const struct delta *d, const char *suffix, const uint8_t *bytes, uint32_t n,
                                  uint64_t at)
{
    char path[FS_PATH_MAX];
    int fd;
    if (n == 0)
        return ERR_NONE;
    if (!segment_path(path, d->dir, d->segment, suffix))
        return ERR_INVALID;
    enum err err = fs_open(path, FS_WRITE | FS_CREATE, &fd);
    if (err)
        return err == ERR_NOT_FOUND ? ERR_NONE : err; /* the topic is being deleted */
    err = fs_write(fd, bytes, n, at);
    fs_close(fd);
    return err;
}

static enum err rewrite_checkpoint_file(struct checkpointer *c)
{
    int fd;
    enum err err = fs_open(c->temporary, FS_READ | FS_WRITE | FS_CREATE | FS_TRUNCATE, &fd);
    if (err)
        return err;
    err = fs_write(fd, c->blob, c->blob_bytes, 0);
    if (!err)
        err = fs_sync(fd);
    if (!err)
        err = fs_rename(c->temporary, c->path);
    if (!err)
        err = fs_sync_dir(c->store->root->config->data_dir);
    if (err) {
        fs_close(fd);
        return err;
    }
    if (c->fd >= 0)
        fs_close(c->fd);
    c->fd = fd;
    return ERR_NONE;
}

static int32_t run_checkpoint_job(void *arg)
{
    struct checkpointer *c = arg;
    c->err = root_place_check(c->store->root);
    c->folder_lost = c->err != ERR_NONE;
    for (uint32_t i = 0; i < c->item_count && !c->err; i++) {
        const struct delta *d = &c->items[i].delta;
        c->err = write_index_delta(d, ".index", d->bytes, d->offsets_bytes, d->offsets_at);
        if (!c->err)
            c->err = write_index_delta(d, ".timeindex", d->bytes + d->offsets_bytes, d->times_bytes, d->times_at);
    }
    if (!c->err)
        c->err = c->whole ? rewrite_checkpoint_file(c) : fs_write(c->fd, c->blob, c->blob_bytes, c->file_bytes);
    uint64_t free_bytes;
    if (!fs_free_bytes(c->store->root->config->data_dir, &free_bytes))
        c->store->free_bytes_seen = free_bytes; /* taken over when the job is done */
    return 0;
}

/* --- the shard's side --- */

static void stop_checkpointer_step(struct checkpointer *c);

static void note_item_saved(struct checkpointer *c, struct item *it)
{
    struct partition *p = it->partition;
    heap_free(c->store->shard->heap, p->checkpoint.entry);
    p->checkpoint.entry = it->entry;
    p->checkpoint.entry_bytes = it->entry_bytes;
    it->entry = NULL;
    if (p->active && p->active->base_offset == it->segment) {
        p->checkpoint.saved_offsets = it->offsets;
        p->checkpoint.saved_times = it->times;
        p->checkpoint.saved_offsets_crc = it->offsets_crc;
        p->checkpoint.saved_times_crc = it->times_crc;
    }
}

static void free_checkpoint_items(struct checkpointer *c)
{
    for (uint32_t i = 0; i < c->item_count; i++)
        free_item_memory(c, &c->items[i]);
    c->item_count = 0;
}

static void checkpoint_job_failed(struct checkpointer *c)
{
    if (!c->told)
        log_warn("checkpoint failed", "why=\"%s\" effect=\"the next start reads more\"", err_text(c->err));
    c->told = true;
    c->whole = true;
    for (uint32_t i = 0; i < c->item_count; i++)
        if (c->items[i].partition)
            touch_partition(c, c->items[i].partition);
}

/* The folder was deleted or replaced: what this shard writes goes nowhere, and nothing more is acknowledged. */
static void stop_all_partitions(struct checkpointer *c)
{
    struct log_store *st = c->store;
    if (!c->told_lost)
        log_error("data folder lost",
                  "data=%s why=\"it was deleted or replaced while the broker runs\" effect=\"nothing more is taken "
                  "until a restart\"",
                  st->root->config->data_dir);
    c->told_lost = true;
    for (uint32_t i = 0; i < st->count; i++)
        partition_fault(st->all[i], -ENOENT, "the data folder");
}

static void checkpoint_job_done(struct io_op *op, int32_t res)
{
    (void)res;
    struct checkpointer *c = container_of(op, struct checkpointer, op);
    c->busy = false;
    c->store->free_bytes = c->store->free_bytes_seen;
    if (c->folder_lost)
        stop_all_partitions(c);
    if (c->err) {
        checkpoint_job_failed(c);
    } else {
        c->file_bytes = c->whole ? c->blob_bytes : c->file_bytes + c->blob_bytes;
        c->whole = c->file_bytes > CHECKPOINT_FILE_BYTES;
        c->told = false;
        for (uint32_t i = 0; i < c->item_count; i++)
            if (c->items[i].partition)
                note_item_saved(c, &c->items[i]);
    }
    free_checkpoint_items(c);
    if (c->stopped)
        stop_checkpointer_step(c);
}

static void want_touched(struct checkpointer *c)
{
    struct list *l;
    struct list now;
    list_init(&now);
    list_splice(&now, &c->touched);
    while ((l = list_pop(&now))) {
        struct partition *p = container_of(l, struct partition, checkpoint.link);
        p->checkpoint.wanted = true;
        if (p->checkpoint.state == CHECKPOINT_HELD) {
            list_push(&c->touched, l); /* waits for its mark to become durable */
        } else if (p->condition == PARTITION_OPEN && writer_idle(p) && p->active) {
            capture_mark(p);
            list_push(p->checkpoint.state == CHECKPOINT_HELD ? &c->ready : &c->touched, l);
        } else {
            list_push(&c->touched, l); /* its next wave captures, or the next tick finds it idle */
        }
    }
}

static void take_ready_partitions(struct checkpointer *c)
{
    struct list *l;
    while ((l = list_pop(&c->ready))) {
        struct partition *p = container_of(l, struct partition, checkpoint.link);
        if (partition_is_offline(p) || !p->active || p->checkpoint.state != CHECKPOINT_HELD)
            continue;
        if (!add_checkpoint_item(c, p, false))
            touch_partition(c, p);
        release_mark(p);
    }
}

static void start_checkpoint_job(struct checkpointer *c)
{
    if (!build_checkpoint_blob(c)) {
        c->err = ERR_NO_MEMORY;
        checkpoint_job_failed(c);
        free_checkpoint_items(c);
        return;
    }
    c->busy = true;
    c->store->free_bytes_seen = c->store->free_bytes;
    io_job(c->store->shard->io, &c->op, IO_BACKGROUND, run_checkpoint_job, c, checkpoint_job_done);
}

static void checkpoint_tick(struct timer *t)
{
    struct checkpointer *c = container_of(t, struct checkpointer, timer);
    struct shard *s = c->store->shard;
    timer_start(&s->timers, t, s->now_ns + CHECKPOINT_MS * NS_PER_MS);
    c->bytes_since_tick = 0;
    if (c->busy || c->stopped)
        return;
    want_touched(c);
    take_ready_partitions(c);
    if (c->item_count)
        start_checkpoint_job(c);
}

/* --- opening and stopping --- */

struct checkpointer *checkpointer_open(struct log_store *st)
{
    struct shard *s = st->shard;
    struct checkpointer *c = heap_zalloc(s->heap, sizeof *c);
    if (!c)
        return NULL;
    c->store = st;
    c->fd = -1;
    c->whole = true;
    c->serial = checkpoint_serial_max(st->root->checkpoints);
    list_init(&c->touched);
    list_init(&c->ready);
    int n = snprintf(c->path, sizeof c->path, "%s/recovery-point-%u.checkpoint", st->root->config->data_dir, s->id);
    int m = snprintf(c->temporary, sizeof c->temporary, "%s/recovery-point-%u.checkpoint.tmp",
                     st->root->config->data_dir, s->id);
    assert(n > 0 && m > 0 && (size_t)m < sizeof c->temporary);
    timer_init(&c->timer, checkpoint_tick);
    timer_start(&s->timers, &c->timer, s->now_ns + CHECKPOINT_MS * NS_PER_MS);
    return c;
}

void checkpointer_add(struct checkpointer *c, struct partition *p)
{
    const struct checkpoint_entry *e = checkpoint_find(c->store->root->checkpoints, p->topic->id, p->index);
    if (e) { /* what the last run wrote still holds */
        p->checkpoint.entry_bytes = (uint32_t)checkpoint_entry_bytes(e);
        p->checkpoint.entry = heap_alloc(c->store->shard->heap, p->checkpoint.entry_bytes);
        if (p->checkpoint.entry)
            checkpoint_entry_encode(e, p->checkpoint.entry);
    }
}

void checkpoint_forget(struct partition *p)
{
    struct checkpointer *c = checkpointer_of(p);
    list_remove(&p->checkpoint.link);
    release_mark(p);
    heap_free(shard_of(p)->heap, p->checkpoint.entry);
    p->checkpoint.entry = NULL;
    for (uint32_t i = 0; c && i < c->item_count; i++)
        if (c->items[i].partition == p)
            c->items[i].partition = NULL;
}

/* The clean entries: of every partition that was appended to and stopped well; its index files hold all entries. */
static void build_clean_items(struct checkpointer *c)
{
    for (uint32_t i = 0; i < c->store->count; i++) {
        struct partition *p = c->store->all[i];
        if (!p->stop.clean || !p->active || !p->stop.saved)
            continue;
        p->checkpoint.saved_offsets = p->checkpoint.saved_times = p->checkpoint.saved_offsets_crc =
            p->checkpoint.saved_times_crc = 0;
        capture_mark(p);
        if (p->checkpoint.state != CHECKPOINT_HELD || !add_checkpoint_item(c, p, true))
            p->stop.clean = false;
        release_mark(p);
    }
}

static void stop_checkpointer_step(struct checkpointer *c)
{
    if (c->busy)
        return;
    if (!c->last) {
        c->last = true;
        if (c->store->root->fresh &&
            c->store->count == 0) { /* beside a meta.properties that is not yet stable: nothing */
            c->stopped(c, ERR_NONE);
            return;
        }
        c->whole = true;
        c->err = ERR_NONE;
        build_clean_items(c);
        if (!build_checkpoint_blob(c)) {
            c->stopped(c, ERR_NO_MEMORY);
            return;
        }
        if (c->blob_bytes == 0 && c->fd < 0) { /* nothing to say; in a new folder nothing at all is written */
            c->stopped(c, ERR_NONE);
            return;
        }
        c->busy = true;
        io_job(c->store->shard->io, &c->op, IO_BACKGROUND, run_checkpoint_job, c, checkpoint_job_done);
        return;
    }
    c->stopped(c, c->err);
}

void checkpointer_stop(struct checkpointer *c, void (*stopped)(struct checkpointer *c, enum err err))
{
    timer_stop(&c->store->shard->timers, &c->timer);
    c->stopped = stopped;
    stop_checkpointer_step(c);
}

struct log_store *checkpointer_store(const struct checkpointer *c)
{
    return c->store;
}

void checkpointer_close(struct checkpointer *c)
{
    struct heap *h = c->store->shard->heap;
    timer_stop(&c->store->shard->timers, &c->timer);
    if (c->fd >= 0)
        fs_close(c->fd);
    free_checkpoint_items(c);
    heap_free(h, c->items);
    heap_free(h, c->blob);
    c->store->checkpointer = NULL;
    heap_free(h, c);
}
