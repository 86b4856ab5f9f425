/* Writing checkpoints (checkpoint.h) of one shard's partitions.
 *
 *   tick, twice a second: partitions touched since the last one are `wanted`
 *   the next wave of such a partition captures: the mark at its end, the producers as of that mark     -> held
 *   the durable end reaches the mark                                                                   -> ready
 *   the next tick's job appends the new index entries to the index files, then the entries to the checkpoint file
 *
 * Producers are captured when the wave starts because they must not know a batch that the durable end does not cover: a
 * resent batch would be answered as a duplicate of one that is lost. They are held (producer.h), and written down by the job: there may be 65,536.
 *
 * A job takes ITEMS_PER_JOB partitions at most, and CHECKPOINT_DELTA_BYTES of index entries: of a partition that has more to save it takes a part, and
 * the partition stays ready. While any is ready the next job follows at once. Index files go first: an entry whose index bytes are missing is
 * found by their CRC.
 *
 * A job also looks whether the data folder and the file in shared memory are still in their places; it runs for that alone where waves began
 * and nothing is ready (with a flush.ms of hours nothing becomes durable).
 *
 * Entries go behind what is in the file, be it from an earlier run and torn at its end: who reads it looks for the next good
 * one. When more than half of the file is stale, it is compacted: jobs write the live entries of some partitions at a time to
 * another file, and to both what changes meanwhile; when all partitions have had their turn it is synced and takes the first
 * one's place. A partition that was not recovered yet has the entry that was found at the start.
 *
 *   GROWING --too much is stale--> COMPACTING: a piece with each job --the last piece: sync, rename--> GROWING */
#include "core/clock.h"
#include "core/log.h"
#include "storage/recovery/checkpoint_item.h"
#include "storage/root_redo.h"
#include <string.h>

enum {
    ITEMS_PER_JOB = 256,                /* 1 MB of memory at most, but for producers and indexes */
    LOOKS_PER_TURN = 256,               /* touched partitions, each with a copy of its producers */
    LOOK_STEP_MS = 1,                   /* between such turns */
    COMPACT_PIECE_BYTES = 1 << 18,      /* of live entries in one job */
    CHECKPOINT_ROOM_BYTES = 512 * 1024, /* of the ballast, where the disk is full */
};

/* In the place of an entry that nobody needs any more. */
struct replaced_entry {
    struct replaced_entry *next;
    size_t bytes; /* of the entry */
};

struct checkpointer {
    struct log_store *store;
    struct timer timer;
    struct io_op op;
    struct list touched; /* partitions with a wave since the last tick */
    struct list looking; /* those of the last tick that are still to be looked at */
    struct list ready;
    uint64_t serial, bytes_since_tick;
    bool busy, failure_logged;
    bool waves;                      /* some began since the last job: the next one looks whether all is in its place */
    bool last, synced;               /* the clean stop: its entries are written; that job has ended */
    uint32_t last_next;              /* how many of store->all may still have a clean entry */
    struct replaced_entry *replaced; /* large: the next job gives their pages back, that takes longer than a turn may */
    uint32_t compact_next;           /* while the file is compacted: how many of store->all are still to come */
    /* the job's: not touched while busy */
    struct checkpoint_item *items;
    uint32_t item_count;
    size_t delta_bytes; /* of index entries in them */
    struct checkpoint_file file;
    struct checkpoint_blob news, piece; /* for the file, and for its compaction alone */
    const struct partition *lender;     /* whose entry `piece` borrows */
    uint8_t *orphan;                    /* that entry, when its partition is gone */
    struct replaced_entry *discarded;   /* those whose pages it gives back */
    bool sync, finish;                  /* the file is synced; the compaction's takes its place */
    enum err err;
    void (*stopped)(struct checkpointer *c, enum err err);
    bool folder_lost, redo_lost; /* the job found that */
};

static struct checkpointer *checkpointer_of(const struct partition *p)
{
    return p->store->checkpointer;
}

/* --- capturing --- */

static void release_mark(struct partition *p)
{
    assert((p->checkpoint.state == CHECKPOINT_HELD) == (p->checkpoint.producers != NULL));
    producers_close(p->checkpoint.producers);
    p->checkpoint.producers = NULL;
    p->checkpoint.state = CHECKPOINT_NONE;
}

static void capture_mark(struct partition *p)
{
    assert(p->producers);
    assert(p->active);
    assert(p->end.offset >= p->active->base_offset);
    release_mark(p);
    p->checkpoint.producers = producers_hold(p->producers);
    if (!p->checkpoint.producers)
        return; /* wanted again at the next tick */
    p->checkpoint.mark = p->end;
    p->checkpoint.epoch = epochs_latest(&p->epochs);
    p->checkpoint.state = CHECKPOINT_HELD;
    p->checkpoint.wanted = false;
}

/* The next tick looks at it. */
static void touch_partition(struct checkpointer *c, struct partition *p)
{
    assert(p->store == c->store);
    if (!list_linked(&p->checkpoint.link))
        list_push(&c->touched, &p->checkpoint.link);
}

void checkpoint_capture(struct partition *p)
{
    assert(p->written.position <= p->end.position);
    struct checkpointer *c = checkpointer_of(p);
    touch_partition(c, p);
    c->waves = true;
    if (p->checkpoint.wanted && p->checkpoint.state != CHECKPOINT_HELD)
        capture_mark(p);
    c->bytes_since_tick += p->end.position - p->written.position;
    if (c->bytes_since_tick > CHECKPOINT_BYTES / 2) {
        c->bytes_since_tick = 0;
        timer_start(&shard_of(p)->timers, &c->timer, shard_of(p)->now_ns);
    }
}

void checkpoint_durable(struct partition *p)
{
    assert(p->durable.offset <= p->end.offset);
    struct checkpointer *c = checkpointer_of(p);
    if (p->checkpoint.state != CHECKPOINT_HELD || p->durable.offset < p->checkpoint.mark.offset)
        return;
    list_remove(&p->checkpoint.link);
    list_push(&c->ready, &p->checkpoint.link);
}

void checkpoint_rolled(struct partition *p)
{
    assert(p->active);
    assert(p->durable.offset == p->end.offset || PLANTED(roll_before_old_durable));
    if (p->segments.count > 1) {
        struct segment *closed = segments_at(&p->segments, p->segments.count - 2);
        closed->times_known = closed->index_loaded;
        closed->max_timestamp_offset = closed->index.max_timestamp_offset;
    }
    capture_mark(p);
    checkpoint_durable(p);
}

void checkpoint_nothing_saved(struct partition *p)
{
    struct partition_checkpoint *c = &p->checkpoint;
    assert(c->state == CHECKPOINT_NONE || c->producers);
    c->saved_offsets = c->saved_times = c->saved_aborted = 0;
    c->saved_offsets_crc = c->saved_times_crc = c->saved_aborted_crc = 0;
}

void checkpoint_opened(struct partition *p)
{
    assert(p->durable.offset == p->end.offset);
    assert(p->promised.offset == p->end.offset);
    release_mark(p);
    checkpoint_nothing_saved(p);
    if (p->active && !p->space.saved)
        capture_mark(p); /* recovery synced it all */
    list_remove(&p->checkpoint.link);
    if (p->checkpoint.state == CHECKPOINT_HELD)
        list_push(&checkpointer_of(p)->ready, &p->checkpoint.link);
}

/* --- building the job --- */

static bool add_checkpoint_item(struct checkpointer *c, struct partition *p, bool clean)
{
    assert(c->item_count < ITEMS_PER_JOB);
    assert(!c->busy);
    assert(c->delta_bytes < CHECKPOINT_DELTA_BYTES);
    if (!c->items)
        c->items = heap_alloc(c->store->checkpoint_heap, ITEMS_PER_JOB * sizeof *c->items);
    if (!c->items || !checkpoint_item_build(&c->items[c->item_count], p, clean, &c->serial))
        return false;
    c->delta_bytes += checkpoint_item_delta_bytes(&c->items[c->item_count++]);
    return true;
}

static bool room_for_items(const struct checkpointer *c)
{
    assert(!c->busy);
    return c->item_count < ITEMS_PER_JOB && c->delta_bytes < CHECKPOINT_DELTA_BYTES;
}

/* --- compacting --- */

/* Its own that was written, or the one that was found. A large one is not copied: the job reads it where it is, and the piece ends with it. */
static bool add_live_entry(struct checkpointer *c, const struct partition *p)
{
    assert(!p->checkpoint.entry || p->checkpoint.entry_bytes > 0);
    assert(!c->lender);
    if (p->checkpoint.entry && p->checkpoint.entry_bytes >= CHECKPOINT_LARGE_BYTES) {
        c->lender = p;
        c->piece.lent = p->checkpoint.entry;
        c->piece.lent_bytes = p->checkpoint.entry_bytes;
        return true;
    }
    return !p->checkpoint.entry || checkpoint_blob_add(&c->piece, p->checkpoint.entry, p->checkpoint.entry_bytes);
}

static bool add_found_segments(struct checkpointer *c, const struct partition *p)
{
    uint8_t encoded[CHECKPOINT_SEGMENT_BYTES];
    uint32_t count;
    const struct checkpoint_segment *v =
        checkpoint_segments(c->store->root->checkpoints, p->topic->id, p->index, &count);
    for (uint32_t i = 0; i < count; i++) {
        checkpoint_segment_encode(&v[i], encoded);
        if (!checkpoint_blob_add(&c->piece, encoded, sizeof encoded))
            return false;
    }
    return true;
}

static bool add_live_segments(struct checkpointer *c, const struct partition *p)
{
    assert(p->store == c->store);
    uint8_t encoded[CHECKPOINT_SEGMENT_BYTES];
    if (!p->recovery.done || partition_is_offline(p))
        return add_found_segments(c, p);
    for (uint32_t i = 0; i + 1 < p->segments.count; i++) {
        const struct segment *s = segments_at(&p->segments, i);
        if (!s->times_known || !s->times_saved)
            continue;
        checkpoint_item_segment(p, s, &c->serial, encoded);
        if (!checkpoint_blob_add(&c->piece, encoded, sizeof encoded))
            return false;
    }
    return true;
}

/* From the end of `all` to its start, as log_store.h has it. */
static bool build_piece(struct checkpointer *c)
{
    assert(c->file.compacting);
    c->compact_next = (uint32_t)u64_min(c->compact_next, c->store->count);
    while (c->compact_next > 0 && c->piece.bytes < COMPACT_PIECE_BYTES && !c->lender) {
        const struct partition *p = c->store->all[--c->compact_next];
        if (!add_live_entry(c, p) || !add_live_segments(c, p))
            return false;
    }
    assert(c->compact_next <= c->store->count);
    c->finish = c->compact_next == 0;
    return true;
}

/* Room for what a job is to write, which puts the new entries there, and a piece of what a compaction still has to. */
static bool build_blobs(struct checkpointer *c)
{
    assert(!c->busy);
    assert(!c->orphan);
    size_t bytes = 0;
    c->news.bytes = c->piece.bytes = c->piece.lent_bytes = 0;
    c->piece.lent = NULL;
    c->lender = NULL;
    c->finish = false;
    for (uint32_t i = 0; i < c->item_count; i++)
        bytes += (size_t)c->items[i].entry_bytes + c->items[i].segments_bytes;
    if (!c->file.compacting && checkpoint_file_is_stale(&c->file) && !c->stopped) {
        c->file.compacting = true;
        c->compact_next = c->store->count;
    }
    return checkpoint_blob_reserve(&c->news, bytes) && (!c->file.compacting || build_piece(c));
}

/* --- entries that are replaced --- */

static void replace_entry(struct checkpointer *c, uint8_t *entry, size_t bytes)
{
    assert(!entry || bytes > 0);
    if (!entry || bytes < CHECKPOINT_LARGE_BYTES) {
        heap_free(c->store->checkpoint_heap, entry);
        return;
    }
    struct replaced_entry *r = (struct replaced_entry *)(void *)entry;
    *r = (struct replaced_entry){.next = c->replaced, .bytes = bytes};
    c->replaced = r;
}

static void free_replaced_entries(struct checkpointer *c, struct replaced_entry *r)
{
    assert(!c->busy);
    for (struct replaced_entry *next; r; r = next) {
        assert(r->bytes >= CHECKPOINT_LARGE_BYTES);
        next = r->next;
        heap_free(c->store->checkpoint_heap, r);
    }
}

/* --- the job --- */

static void discard_replaced_entries(struct checkpointer *c)
{
    assert(c->busy);
    for (struct replaced_entry *r = c->discarded; r; r = r->next) {
        assert(r->bytes >= CHECKPOINT_LARGE_BYTES);
        heap_discard(r + 1, r->bytes - sizeof *r);
    }
}

static enum err write_checkpoint(struct checkpointer *c)
{
    assert(c->item_count <= ITEMS_PER_JOB);
    enum err err = ERR_NONE;
    for (uint32_t i = 0; i < c->item_count && !err; i++)
        err = checkpoint_item_put_indexes(&c->items[i]);
    bool finish = c->finish && c->file.compacting; /* an attempt before this one may have given it up */
    return err ? err : checkpoint_file_write(&c->file, &c->news, &c->piece, finish, c->sync);
}

static void encode_items(struct checkpointer *c)
{
    assert(c->news.bytes == 0);
    for (uint32_t i = 0; i < c->item_count; i++) {
        const struct checkpoint_item *it = &c->items[i];
        if (it->part)
            continue;
        checkpoint_item_encode(&c->items[i]);
        checkpoint_blob_put(&c->news, it->entry, it->entry_bytes);
        checkpoint_blob_put(&c->news, it->segments, it->segments_bytes);
    }
}

static int32_t run_checkpoint_job(void *arg)
{
    struct checkpointer *c = arg;
    assert(c->busy);
    discard_replaced_entries(c);
    encode_items(c);
    c->err = root_place_check(c->store->root);
    c->folder_lost = c->err != ERR_NONE;
    c->redo_lost = root_redo_check(c->store->root) != ERR_NONE;
    if (!c->err && (c->item_count || c->file.compacting || c->sync))
        c->err = write_checkpoint(c);
    if (c->err == ERR_NO_SPACE && ballast_give(&c->store->ballast, CHECKPOINT_ROOM_BYTES))
        c->err = write_checkpoint(c); /* what is there twice then is no harm */
    checkpoint_blob_discard(&c->news);
    uint64_t free_bytes;
    if (!fs_free_bytes(c->store->root->config->data_dir, &free_bytes))
        c->store->free_bytes_seen = free_bytes; /* taken over when the job is done */
    return 0;
}

/* --- the shard's side --- */

static void stop_checkpointer_step(struct checkpointer *c);

static void note_segment_saved(struct partition *p, const uint8_t *encoded)
{
    struct checkpoint_segment known;
    bool good = checkpoint_segment_decode(encoded, CHECKPOINT_SEGMENT_BYTES, &known);
    assert(good);
    for (uint32_t i = p->segments.count; i-- > 0 && segments_at(&p->segments, i)->base_offset >= known.base_offset;)
        if (segments_at(&p->segments, i)->base_offset == known.base_offset)
            segments_at(&p->segments, i)->times_saved = segments_at(&p->segments, i)->times_known;
}

static void note_item_saved(struct checkpointer *c, struct checkpoint_item *it)
{
    assert((it->entry == NULL) == it->part);
    assert(it->segments_bytes % CHECKPOINT_SEGMENT_BYTES == 0);
    struct partition *p = it->partition;
    if (!it->part) {
        replace_entry(c, p->checkpoint.entry, p->checkpoint.entry_bytes);
        p->checkpoint.entry = it->entry;
        p->checkpoint.entry_bytes = it->entry_bytes;
    }
    it->entry = NULL;
    for (uint32_t i = 0; i < it->segments_bytes; i += CHECKPOINT_SEGMENT_BYTES)
        note_segment_saved(p, it->segments + i);
    if (p->active && p->active->base_offset == it->segment) {
        assert(it->offsets >= p->checkpoint.saved_offsets);
        assert(it->times >= p->checkpoint.saved_times);
        p->checkpoint.saved_offsets = it->offsets;
        p->checkpoint.saved_times = it->times;
        p->checkpoint.saved_offsets_crc = it->offsets_crc;
        p->checkpoint.saved_times_crc = it->times_crc;
        p->checkpoint.saved_aborted = it->aborted;
        p->checkpoint.saved_aborted_crc = it->aborted_crc;
    }
}

static void free_checkpoint_items(struct checkpointer *c)
{
    assert(c->item_count <= ITEMS_PER_JOB);
    for (uint32_t i = 0; i < c->item_count; i++)
        checkpoint_item_free(&c->items[i], c->store->checkpoint_heap);
    c->item_count = 0;
    c->delta_bytes = 0;
    replace_entry(c, c->orphan, c->piece.lent_bytes);
    c->orphan = NULL;
    c->lender = NULL;
    checkpoint_blob_shrink(&c->news);
}

static void checkpoint_job_failed(struct checkpointer *c)
{
    assert(c->err);
    if (!c->failure_logged)
        log_warn("checkpoint failed", "why=\"%s\" effect=\"the next start reads more\"", err_text(c->err));
    c->failure_logged = true;
    for (uint32_t i = 0; i < c->item_count; i++)
        if (c->items[i].partition)
            touch_partition(c, c->items[i].partition);
}

static void start_checkpoint_job(struct checkpointer *c);

static bool has_more(const struct checkpointer *c)
{
    return !list_empty(&c->ready) || c->file.compacting || c->replaced;
}

/* Shared memory is lost: what is there alone is carried to the files now, and nothing more is put there. */
static void leave_redo(struct log_store *ls)
{
    assert(ls->redo.ends);
    if (ls->redo.left)
        return;
    ls->redo.left = true;
    timer_start(&ls->shard->timers, &ls->carry_timer, ls->shard->now_ns);
    if (!atomic_exchange(&ls->root->redo.lost, true))
        log_error(
            "shared memory lost",
            "file=%s why=\"it was deleted or replaced while the broker runs\" effect=\"acks of write.caching wait "
            "for writes until a restart, as with crash.route=written\"",
            ls->root->redo.path);
}

static void checkpoint_job_done(struct io_op *op, int32_t res)
{
    (void)res;
    struct checkpointer *c = container_of(op, struct checkpointer, op);
    assert(c->busy);
    c->busy = false;
    free_replaced_entries(c, c->discarded);
    c->discarded = NULL;
    c->store->free_bytes = c->store->free_bytes_seen;
    if (c->folder_lost)
        c->store->folder_lost(c->store);
    if (c->redo_lost && c->store->redo.ends)
        leave_redo(c->store);
    if (c->err) {
        checkpoint_job_failed(c);
    } else {
        c->failure_logged = false;
        for (uint32_t i = 0; i < c->item_count; i++)
            if (c->items[i].partition)
                note_item_saved(c, &c->items[i]);
    }
    free_checkpoint_items(c);
    if (c->stopped)
        stop_checkpointer_step(c);
    else if (!c->err && has_more(c))
        start_checkpoint_job(c);
}

/* Some of those that were touched: an idle one is captured here, of another the next wave captures. */
static void look_at_touched(struct checkpointer *c)
{
    struct list *l;
    for (uint32_t i = 0; i < LOOKS_PER_TURN && (l = list_pop(&c->looking)); i++) {
        struct partition *p = container_of(l, struct partition, checkpoint.link);
        assert(p->store == c->store);
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
    assert(c->item_count == 0);
    struct list *l;
    bool part = false;
    while (!part && room_for_items(c) && (l = list_pop(&c->ready))) {
        struct partition *p = container_of(l, struct partition, checkpoint.link);
        if (partition_is_offline(p) || !p->active || p->checkpoint.state != CHECKPOINT_HELD)
            continue;
        bool behind =
            p->end.offset > p->checkpoint.mark.offset; /* waves that found it among these could not touch it */
        bool built = add_checkpoint_item(c, p, false);
        part = built && c->items[c->item_count - 1].part;
        if (part) { /* the next job goes on with it */
            list_push(&c->ready, l);
            continue;
        }
        if (!built || behind)
            touch_partition(c, p);
        release_mark(p);
    }
}

static void submit_checkpoint_job(struct checkpointer *c)
{
    assert(!c->busy);
    assert(c->item_count || c->file.compacting || c->sync || c->waves || c->replaced);
    c->busy = true;
    c->discarded = c->replaced;
    c->replaced = NULL;
    c->waves = false;
    c->store->free_bytes_seen = c->store->free_bytes;
    io_job(c->store->shard->io, &c->op, IO_BACKGROUND, run_checkpoint_job, c, checkpoint_job_done);
}

static void start_checkpoint_job(struct checkpointer *c)
{
    assert(!c->stopped);
    assert(!c->busy);
    take_ready_partitions(c);
    if (!c->item_count && !c->file.compacting && !c->waves && !c->replaced)
        return;
    if (build_blobs(c)) {
        submit_checkpoint_job(c);
        return;
    }
    c->err = ERR_NO_MEMORY;
    checkpoint_job_failed(c);
    c->file.compacting = c->file.begun = false;
    free_checkpoint_items(c);
}

static void checkpoint_tick(struct timer *t)
{
    struct checkpointer *c = container_of(t, struct checkpointer, timer);
    struct shard *s = c->store->shard;
    assert(s->store);
    c->bytes_since_tick = 0;
    if (list_empty(&c->looking) && !c->stopped)
        list_splice(&c->looking, &c->touched);
    look_at_touched(c);
    uint64_t wait_ms = list_empty(&c->looking) ? CHECKPOINT_MS : LOOK_STEP_MS;
    timer_start(&s->timers, t, s->now_ns + wait_ms * NS_PER_MS);
    if (!c->busy && !c->stopped)
        start_checkpoint_job(c);
}

/* --- opening and stopping --- */

struct checkpointer *checkpointer_open(struct log_store *st)
{
    assert(st->root);
    assert(!st->checkpointer);
    struct shard *s = st->shard;
    struct checkpointer *c = heap_zalloc(s->heap, sizeof *c);
    if (!c)
        return NULL;
    c->store = st;
    checkpoint_file_init(&c->file, st->root->config->data_dir, s->id);
    c->news.heap = c->piece.heap = st->checkpoint_heap;
    c->serial = checkpoint_serial_max(st->root->checkpoints);
    list_init(&c->touched);
    list_init(&c->looking);
    list_init(&c->ready);
    timer_init(&c->timer, checkpoint_tick);
    timer_start(&s->timers, &c->timer, s->now_ns + CHECKPOINT_MS * NS_PER_MS);
    return c;
}

enum err checkpointer_add(struct checkpointer *c, struct partition *p)
{
    assert(p->store == c->store);
    const struct checkpoint_entry *e = checkpoint_find(c->store->root->checkpoints, p->topic->id, p->index);
    assert(!p->checkpoint.entry);
    if (!e)
        return ERR_NONE;
    p->checkpoint.entry_bytes = (uint32_t)checkpoint_entry_bytes(e);
    p->checkpoint.entry = heap_alloc(c->store->checkpoint_heap, p->checkpoint.entry_bytes);
    if (!p->checkpoint.entry)
        return ERR_NO_MEMORY;
    checkpoint_entry_encode(e, p->checkpoint.entry);
    c->file.live_bytes += p->checkpoint.entry_bytes;
    return ERR_NONE;
}

/* What a job is writing of it comes to its end, and is not noted. */
static void forget_items(struct checkpointer *c, const struct partition *p)
{
    assert(c->item_count <= ITEMS_PER_JOB);
    for (uint32_t i = 0; i < c->item_count; i++)
        if (c->items[i].partition == p)
            c->items[i].partition = NULL;
}

/* Items of before are of the log as it was, which may be cut now. */
void checkpoint_leave(struct partition *p)
{
    assert(!p->active); /* no other item is made of it */
    if (checkpointer_of(p))
        forget_items(checkpointer_of(p), p);
}

void checkpoint_forget(struct partition *p)
{
    struct checkpointer *c = checkpointer_of(p);
    list_remove(&p->checkpoint.link);
    release_mark(p);
    if (c && c->lender == p) {
        assert(c->busy && !c->orphan);
        c->orphan = p->checkpoint.entry;
        c->lender = NULL;
    } else if (c) {
        replace_entry(c, p->checkpoint.entry, p->checkpoint.entry_bytes);
    } else {
        heap_free(p->store->checkpoint_heap, p->checkpoint.entry);
    }
    p->checkpoint.entry = NULL;
    if (c)
        forget_items(c, p);
}

/* The clean entries: of every partition that was appended to and stopped well; its index files hold all entries. */
static void build_clean_items(struct checkpointer *c)
{
    assert(c->stopped);
    assert(!c->last_next || c->last);
    c->last_next = (uint32_t)u64_min(c->last_next, c->store->count);
    while (c->last_next > 0 && room_for_items(c)) {
        struct partition *p = c->store->all[--c->last_next];
        if (!p->stop.clean || !p->active || !p->stop.saved)
            continue;
        checkpoint_nothing_saved(p);
        capture_mark(p);
        if (p->checkpoint.state != CHECKPOINT_HELD || !add_checkpoint_item(c, p, true))
            p->stop.clean = false;
        release_mark(p);
    }
}

/* The clean entries, some at a time, then a sync. Where nothing was ever written, nothing is. */
static void stop_checkpointer_step(struct checkpointer *c)
{
    assert(c->stopped);
    if (c->busy)
        return;
    if (!c->last) {
        c->last = true;
        c->last_next = c->store->count;
        c->err = ERR_NONE;
        c->file.compacting = c->file.begun = false;
    }
    if (!c->err)
        build_clean_items(c);
    c->sync = c->last_next == 0;
    bool nothing = c->item_count == 0 && c->file.fd < 0;
    if (c->err || c->synced || nothing) {
        c->stopped(c, c->err);
        return;
    }
    assert(!c->file.compacting);
    c->synced = c->sync;
    if (build_blobs(c)) {
        submit_checkpoint_job(c);
        return;
    }
    free_checkpoint_items(c);
    c->stopped(c, ERR_NO_MEMORY);
}

void checkpointer_stop(struct checkpointer *c, void (*stopped)(struct checkpointer *c, enum err err))
{
    assert(!c->stopped);
    assert(stopped);
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
    assert(c->store->checkpointer == c);
    struct heap *h = c->store->shard->heap;
    timer_stop(&c->store->shard->timers, &c->timer);
    checkpoint_file_close(&c->file);
    free_checkpoint_items(c);
    free_replaced_entries(c, c->discarded);
    free_replaced_entries(c, c->replaced);
    heap_free(c->store->checkpoint_heap, c->items);
    heap_free(c->store->checkpoint_heap, c->news.at);
    heap_free(c->store->checkpoint_heap, c->piece.at);
    c->store->checkpointer = NULL;
    heap_free(h, c);
}
