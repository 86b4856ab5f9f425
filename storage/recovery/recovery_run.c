/* Decides what of the folder is trusted, walks the rest, and leaves the verdict and the mending to its two neighbours. */
#include "storage/recovery/recovery.h"
#include "core/crc.h"
#include "core/log.h"
#include "storage/log/log_start.h"
#include "storage/recovery/recovery_state.h"
#include <stdatomic.h>

enum err recovery_scan_open(struct recovery *r, const struct segment *s, uint64_t at, unsigned flags,
                            struct recovery_scan *out)
{
    assert(s->base_offset >= 0);
    char path[FS_PATH_MAX];
    if (!segment_path(path, r->in->dir, s->base_offset, ".log"))
        return ERR_INVALID;
    enum err err = fs_open(path, flags, &out->fd);
    if (err)
        return err;
    err = scan_open(&out->scan, r->in->heap, out->fd, at, s->allocated);
    if (err)
        fs_close(out->fd);
    return err;
}
void recovery_scan_close(struct recovery *r, struct recovery_scan *rs)
{
    assert(rs->fd >= 0);
    r->out->scanned_bytes += rs->scan.read_bytes;
    scan_close(&rs->scan);
    fs_close(rs->fd);
}

/* --- the segments --- */

/* How long its file is, and when it was changed last. */
static enum err measure_segment(const struct recovery *r, int64_t base_offset, uint64_t *out_bytes,
                                int64_t *out_written_ms)
{
    assert(base_offset >= 0);
    char path[FS_PATH_MAX];
    int fd;
    if (!segment_path(path, r->in->dir, base_offset, ".log"))
        return ERR_INVALID;
    enum err err = fs_open(path, FS_READ, &fd);
    if (err)
        return err;
    err = fs_size(fd, out_bytes);
    if (!err)
        err = fs_mtime(fd, out_written_ms);
    fs_close(fd);
    return err;
}

static struct segment *add_found_segment(struct recovery *r, int64_t base_offset)
{
    struct segment *s = heap_alloc(r->in->heap, sizeof *s);
    if (!s)
        return NULL;
    segment_init(s, r->in->heap, base_offset, r->in->segment_index_bytes);
    list_push(&r->out->segments, &s->link);
    return s;
}

static enum err load_saved_start(struct recovery *r)
{
    enum err err = log_start_load(r->in->heap, r->in->dir, &r->start);
    if (err == ERR_CORRUPT)
        return recovery_corrupt(r, r->folder.segments.count ? r->folder.segments.v[0] : 0, 0);
    return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

static bool is_known_to_hold(const struct recovery *r, int64_t base_offset)
{
    const struct checkpoint_entry *c = r->in->checkpoint;
    bool known = c && c->segment_base_offset == base_offset && c->position > 0;
    for (uint32_t i = 0; i < r->in->segment_count && !known; i++)
        known = r->in->segments[i].base_offset == base_offset && r->in->segments[i].bytes > 0;
    return known;
}

/* Kafka's cleaner leaves a file of no bytes where nothing of a segment is left; it stays there, and the log may start with it. Ours does
 * not: one that is known to have held something, or has entries in its index, was cut. */
static enum err pass_empty_file(struct recovery *r, int64_t base_offset)
{
    char path[FS_PATH_MAX];
    int fd;
    uint64_t index_bytes = 0;
    if (!segment_path(path, r->in->dir, base_offset, ".index"))
        return ERR_INVALID;
    enum err err = fs_open(path, FS_READ, &fd);
    if (!err) {
        err = fs_size(fd, &index_bytes);
        fs_close(fd);
    }
    if (err && err != ERR_NOT_FOUND)
        return err;
    if (index_bytes > 0 || is_known_to_hold(r, base_offset))
        return recovery_corrupt(r, base_offset, 0);
    return ERR_NONE;
}

static enum err note_segment_file(struct recovery *r, int64_t base_offset, bool last)
{
    assert(r->files);
    uint64_t bytes;
    int64_t written_ms;
    enum err err = measure_segment(r, base_offset, &bytes, &written_ms);
    if (err)
        return err;
    if (bytes == 0 && !last)
        return pass_empty_file(r, base_offset);
    struct segment *s = add_found_segment(r, base_offset);
    if (!s)
        return ERR_NO_MEMORY;
    s->allocated = bytes;
    s->written_ms = written_ms;
    s->aborted_file = folder_offsets_have(&r->folder.aborted, base_offset);
    r->files[r->count++].segment = s;
    return ERR_NONE;
}

/* What a deletion of old segments left is not looked at from the youngest snapshot on that the start allows: it says which producers there are,
 * whatever is missing before it. (Files go out of turn where a segment is still read.) A roll may have been cut short before it made
 * one: then only the batches say it. Nothing promises that they are whole: they are passed then. */
static enum err find_segments(struct recovery *r)
{
    assert(!r->files);
    assert(r->below == 0);
    const struct folder_offsets *all = &r->folder.segments;
    for (uint32_t i = 1; i < all->count && all->v[i] <= r->start; i++)
        if (folder_offsets_have(&r->folder.snapshots, all->v[i]))
            r->below = i;
    r->files = heap_zalloc(r->in->heap, (all->count - r->below + 1) * sizeof *r->files);
    if (!r->files)
        return ERR_NO_MEMORY;
    enum err err = ERR_NONE;
    for (uint32_t i = r->below; i < all->count && !err && !r->out->corrupt; i++)
        err = note_segment_file(r, all->v[i], i + 1 == all->count);
    return err;
}

/* --- what is trusted --- */

/* The index entries up to the checkpoint, if the files still hold exactly those. */
static bool index_matches_checkpoint(const struct segment_index_files *f, const struct checkpoint_entry *c)
{
    size_t offset_bytes = (size_t)c->index_count * INDEX_OFFSET_BYTES,
           time_bytes = (size_t)c->time_count * INDEX_TIME_BYTES;
    return offset_bytes <= f->offset_bytes && time_bytes <= f->time_bytes &&
           crc32c(0, f->offsets, offset_bytes) == c->index_crc && crc32c(0, f->times, time_bytes) == c->time_crc;
}
static enum err restore_checkpoint_index(struct recovery *r, struct segment *s)
{
    const struct checkpoint_entry *c = r->in->checkpoint;
    assert(c && c->segment_base_offset == s->base_offset);
    assert(c->position <= s->allocated);
    struct segment_index_files f = {.heap = r->in->heap};
    enum err err =
        c->index_count || c->time_count ? segment_read_index(r->in->heap, r->in->dir, s->base_offset, &f) : ERR_NONE;
    if (err)
        return err;
    err = index_matches_checkpoint(&f, c)
              ? index_load(&s->index, f.offsets, c->index_count * INDEX_OFFSET_BYTES, f.times,
                           c->time_count * INDEX_TIME_BYTES, (uint32_t)u64_min(c->position, UINT32_MAX))
              : ERR_CORRUPT;
    segment_index_files_free(&f);
    s->index.bytes_since_entry = c->bytes_since_entry;
    s->index.max_timestamp = s->max_timestamp = c->max_timestamp;
    s->index.max_timestamp_offset = c->max_timestamp_offset;
    s->first_timestamp = c->first_timestamp;
    return err ? err : recovery_restore_aborted(r, s);
}

static uint32_t find_segment_file(const struct recovery *r, int64_t base_offset)
{
    uint32_t i = 0;
    while (i < r->count && r->files[i].segment->base_offset != base_offset)
        i++;
    return i;
}

/* A closed segment may have been replaced by a cleaned one since. It still says the same of the log if what it says of its place is
 * so: there a batch of that offset begins, or the segment ends and the next one begins with it. */
static enum err checkpoint_holds(struct recovery *r, uint32_t file, bool *out_holds)
{
    const struct checkpoint_entry *c = r->in->checkpoint;
    const struct segment *s = r->files[file].segment;
    assert(c->segment_base_offset == s->base_offset);
    struct recovery_scan rs;
    struct batch b;
    bool valid;
    uint64_t nonzero = 0;
    *out_holds = false;
    if (c->position > s->allocated)
        return ERR_NONE;
    enum err err = recovery_scan_open(r, s, c->position, FS_READ, &rs);
    if (err)
        return err;
    err = scan_peek(&rs.scan, &b, &valid);
    if (!err && valid) {
        *out_holds = b.base_offset == c->offset;
    } else if (!err && r->files[file + 1].segment->base_offset == c->offset) {
        err = scan_nonzero(&rs.scan, c->position, &nonzero);
        *out_holds = !err && nonzero == UINT64_MAX;
    }
    recovery_scan_close(r, &rs);
    return err;
}

/* Zeros there may also be the end of a larger batch: what stands before it must end at its place. Walks from the last index entry. */
static enum err checkpoint_is_reached(struct recovery *r, struct segment *s, bool *out_reached)
{
    const struct checkpoint_entry *c = r->in->checkpoint;
    assert(c && c->segment_base_offset == s->base_offset);
    uint64_t from = c->index_count ? index_position(&s->index, c->offset) : 0;
    int64_t next = c->position ? -1 : c->offset;
    struct recovery_scan rs;
    struct batch b;
    bool valid = true;
    enum err err = recovery_scan_open(r, s, from, FS_READ, &rs);
    if (err)
        return err;
    while (!err && valid && rs.scan.at < c->position) {
        err = scan_peek(&rs.scan, &b, &valid);
        if (err || !valid)
            break;
        next = batch_last_offset(&b) + 1;
        scan_skip(&rs.scan, &b);
    }
    *out_reached = !err && rs.scan.at == c->position && next <= c->offset;
    recovery_scan_close(r, &rs);
    return err;
}

static void walk_whole_segment(struct recovery *r, struct segment *s)
{
    assert(r->first_position == 0);
    index_clear(&s->index);
    s->aborted.count = 0;
    s->first_timestamp = s->max_timestamp = -1;
    r->next_offset = s->base_offset;
    r->walks_again = true;
}

/* A checkpoint that does not fit the folder is not used, but its durable end must still be reached. Of a closed segment of a log that was
 * ever cleaned it may be that of the segment which stood there before, with the same place and the same (or no) index entries: its times
 * would be those of records that are gone. */
static enum err trust_checkpoint(struct recovery *r, uint32_t file)
{
    assert(file < r->count);
    assert(r->in->checkpoint);
    const struct checkpoint_entry *c = r->in->checkpoint;
    struct segment *s = r->files[file].segment;
    bool closed = file + 1 < r->count, holds = !closed || !r->folder.cleaned;
    if (!closed && c->position > s->allocated)
        return recovery_corrupt(r, s->base_offset, s->allocated);
    r->first = file;
    r->producers_from = c->offset;
    enum err err = closed && holds ? checkpoint_holds(r, file, &holds) : ERR_NONE;
    if (!err && holds)
        err = restore_checkpoint_index(r, s);
    if (!err && holds && closed)
        err = checkpoint_is_reached(r, s, &holds);
    if (err && err != ERR_CORRUPT && err != ERR_NOT_FOUND)
        return err;
    if (err || !holds) { /* the walk builds it anew, from the segment's start */
        walk_whole_segment(r, s);
        return ERR_NONE;
    }
    r->first_position = s->bytes = c->position;
    r->next_offset = s->next_offset = c->offset;
    r->epoch = c->leader_epoch;
    return ERR_NONE;
}

enum err recovery_load_snapshot(struct recovery *r, int64_t offset, struct producers *producers)
{
    assert(producers);
    char path[FS_PATH_MAX];
    uint8_t *at;
    size_t bytes;
    if (!segment_path(path, r->in->dir, offset, ".snapshot"))
        return ERR_INVALID;
    enum err err = segment_read_file(r->in->heap, path, SMALL_FILE_BYTES_MAX, &at, &bytes);
    if (err)
        return err == ERR_NOT_FOUND ? ERR_NONE : err;
    err = producers_snapshot_load(producers, at, bytes);
    heap_free(r->in->heap, at);
    if (!err && producers_are_before(producers, offset))
        return ERR_NONE;
    if (err && err != ERR_CORRUPT)
        return err;
    log_warn("bad snapshot", "file=%s effect=\"producers are known from their batches alone\"", path);
    producers_forget(producers);
    return ERR_NONE;
}

/* ERR_CORRUPT: they are damaged, or of something behind it; none is known then. */
static enum err load_checkpoint_producers(struct recovery *r)
{
    const struct checkpoint_entry *c = r->in->checkpoint;
    assert(c);
    enum err err = producers_load(r->out->producers, c->producers, c->producers_bytes);
    if (err || producers_are_before(r->out->producers, c->offset))
        return err;
    producers_forget(r->out->producers);
    return ERR_CORRUPT;
}

/* Where the walk starts and what is known there. Without a checkpoint that is the log's first batch. */
static enum err plan_walk(struct recovery *r)
{
    assert(r->count > 0);
    assert(r->first == 0);
    const struct checkpoint_entry *c = r->in->checkpoint;
    r->floor = c ? c->offset : 0;
    if (r->in->known_end_offset > r->floor)
        r->floor = r->in->known_end_offset;
    if (r->start > r->floor) /* it was durable before the start was */
        r->floor = r->start;
    r->epoch = -1;
    r->producers_from = r->next_offset = r->files[0].segment->base_offset;
    uint32_t file = c ? find_segment_file(r, c->segment_base_offset) : r->count;
    if (file < r->count) {
        enum err err = load_checkpoint_producers(r);
        if (err != ERR_CORRUPT)
            return err ? err : trust_checkpoint(r, file);
    }
    return recovery_load_snapshot(r, r->next_offset, r->out->producers);
}

/* --- the walk --- */

/* The rules that tell the log from ghosts: each batch continues the one before. In a closed segment, which has no ghosts, some may be
 * missing between them. */
static bool batch_follows(const struct recovery *r, const struct segment *s, const struct batch *b)
{
    assert(r->next_offset >= s->base_offset);
    bool continues = r->gaps ? b->base_offset >= r->next_offset : b->base_offset == r->next_offset;
    if (!continues || b->leader_epoch < r->epoch)
        return false;
    if (r->in->known_end_offset >= 0 && batch_last_offset(b) >= r->in->known_end_offset)
        return false;
    return batch_last_offset(b) - s->base_offset <= INT32_MAX;
}

static enum err accept_batch(struct recovery *r, struct segment *s, struct scan *scan, const struct batch *b)
{
    uint64_t position = scan->at;
    assert(b->base_offset >= r->next_offset);
    assert(position == s->bytes);
    assert(s->index_loaded);
    enum err err = index_add(&s->index, r->in->index_interval_bytes, batch_last_offset(b), (uint32_t)position, b->bytes,
                             batch_newest_timestamp(b), batch_last_offset(b));
    if (!err)
        err = epochs_add(&r->out->epochs, b->leader_epoch, b->base_offset);
    if (!err && b->producer_id >= 0 && b->base_offset >= r->producers_from)
        err = recovery_note_producer(r->out->producers, scan, b, &s->aborted);
    if (err)
        return err;
    if (position == 0)
        s->first_timestamp = b->max_timestamp;
    s->max_timestamp = s->index.max_timestamp;
    s->bytes = position + b->bytes;
    s->next_offset = r->next_offset = batch_last_offset(b) + 1;
    r->epoch = b->leader_epoch;
    return ERR_NONE;
}

static enum err walk_batches(struct recovery *r, struct segment *s, struct scan *scan)
{
    assert(scan->at == s->bytes);
    for (;;) {
        struct batch b;
        bool valid;
        if (r->in->give_up && atomic_load_explicit(r->in->give_up, memory_order_relaxed))
            return ERR_CLOSED;
        enum err err = scan_peek(scan, &b, &valid);
        if (err)
            return err;
        if (!valid || !batch_follows(r, s, &b))
            return ERR_NONE;
        err = accept_batch(r, s, scan, &b);
        if (err)
            return err;
        scan_skip(scan, &b);
    }
}

static enum err walk_segment(struct recovery *r, struct recovery_file *f, uint64_t from)
{
    assert(from <= f->segment->allocated);
    assert(!f->walked_bytes);
    struct recovery_scan rs;
    struct segment *s = f->segment;
    s->index_loaded = true;
    enum err err = recovery_scan_open(r, s, from, FS_READ, &rs);
    if (err)
        return err;
    err = walk_batches(r, s, &rs.scan);
    assert(s->bytes >= from);
    assert(s->bytes <= s->allocated);
    f->walked_bytes = s->bytes - from;
    uint64_t dirty_at = UINT64_MAX;
    fs_drop_cache(rs.fd); /* zeros that were read ahead would be taken for data, and read */
    if (!err)
        err = scan_nonzero(&rs.scan, s->bytes, &dirty_at);
    f->rest_dirty = dirty_at != UINT64_MAX;
    if (rs.scan.read_bytes)
        fs_drop_cache(rs.fd);
    recovery_scan_close(r, &rs);
    return err;
}

enum err recovery_save_snapshot(struct recovery *r, int64_t offset, const uint8_t *at, size_t bytes)
{
    assert(at);
    assert(offset >= 0);
    char path[FS_PATH_MAX];
    r->changed = true;
    return segment_path(path, r->in->dir, offset, ".snapshot") ? segment_write_file(path, at, bytes) : ERR_INVALID;
}

/* For the mending: the roll may have been cut short before it was saved, and the segment before it may go one day. */
static enum err take_snapshot(struct recovery *r, struct recovery_file *f)
{
    assert(!f->snapshot);
    assert(r->out->producers);
    f->snapshot_bytes = producers_snapshot_bytes(r->out->producers);
    f->snapshot = heap_alloc(r->in->heap, f->snapshot_bytes);
    if (!f->snapshot)
        return ERR_NO_MEMORY;
    producers_snapshot(r->out->producers, f->snapshot);
    return ERR_NONE;
}

/* Does the log go on in the next segment? Offsets may be missing between two, if nothing is missing at the end of the first: a cleaned
 * one keeps its last batch, so none is without any. */
static bool log_goes_on(const struct recovery *r, uint32_t next)
{
    assert(next > r->first && next < r->count);
    const struct segment *last = r->files[next - 1].segment;
    int64_t base_offset = r->files[next].segment->base_offset;
    bool gap = base_offset > r->next_offset && last->bytes == last->allocated && last->bytes > 0;
    return base_offset == r->next_offset ||
           (gap && (r->in->known_end_offset < 0 || base_offset <= r->in->known_end_offset));
}

static enum err enter_segment(struct recovery *r, uint32_t next)
{
    assert(next > r->first);
    r->next_offset = r->files[next].segment->base_offset;
    return take_snapshot(r, &r->files[next - 1]);
}

/* Goes on into the next segment if the log does, or if what it does not go on from is not needed. */
static enum err walk_log(struct recovery *r)
{
    assert(r->first < r->count);
    enum err err = ERR_NONE;
    for (uint32_t i = r->first; i < r->count && !err; i++) {
        if (i > r->first && !log_goes_on(r, i)) {
            if (!recovery_is_below_start(r, i - 1) || r->files[i].segment->base_offset < r->next_offset)
                break;
            r->passed = i;
        }
        if (i > r->first)
            err = enter_segment(r, i);
        if (err)
            break;
        r->gaps =
            i + 1 < r->count; /* closed, though nothing may have been written behind it yet: it may have been cleaned */
        r->last = i;
        err = walk_segment(r, &r->files[i], i == r->first ? r->first_position : 0);
    }
    return err;
}

/* --- all of it --- */

/* No segment: right for a partition that was never written to, or whose log is empty. */
static enum err recover_empty_folder(struct recovery *r)
{
    assert(r->count == 0);
    const struct checkpoint_entry *c = r->in->checkpoint;
    int64_t offset = c ? c->offset : 0;
    if ((c && (c->position > 0 || c->offset != c->segment_base_offset)) || r->in->known_end_offset > offset ||
        r->start > offset)
        return recovery_corrupt(r, c ? c->segment_base_offset : 0, 0);
    r->out->end_offset = r->out->log_start_offset = offset;
    return c ? load_checkpoint_producers(r) : ERR_NONE;
}

/* What the checkpoint says of the timestamps of segments that were not walked; of those that were, the walk says it. Of a log that was
 * ever cleaned it may be another segment's, of the same place and size: they are learnt again where somebody asks for them. */
static void note_segment_times(struct recovery *r)
{
    assert(r->last < r->count);
    assert(r->in->segments || !r->in->segment_count);
    uint32_t k = 0;
    for (uint32_t i = r->passed; i < r->last; i++) {
        struct segment *s = r->files[i].segment;
        while (k < r->in->segment_count && r->in->segments[k].base_offset < s->base_offset)
            k++;
        const struct checkpoint_segment *known = k < r->in->segment_count ? &r->in->segments[k] : NULL;
        if (s->index_loaded) {
            s->max_timestamp_offset = s->index.max_timestamp_offset;
            s->times_known = i >= r->first;
        } else if (known && known->base_offset == s->base_offset && known->bytes == s->bytes && !r->folder.cleaned) {
            s->first_timestamp = known->first_timestamp;
            s->max_timestamp = known->max_timestamp;
            s->max_timestamp_offset = known->max_timestamp_offset;
            s->times_known = s->times_saved = true;
        }
    }
}

static enum err recover_segments(struct recovery *r)
{
    enum err err = plan_walk(r);
    if (!err && !r->out->corrupt)
        err = recovery_load_epochs(r);
    if (!err && !r->out->corrupt)
        err = walk_log(r);
    if (!err && !r->out->corrupt)
        err = recovery_judge(r);
    if (!err && !r->out->corrupt)
        err = recovery_check_trusted(r);
    if (!err && !r->out->corrupt && r->walks_again)
        err = recovery_rebuild_aborted(r, r->first);
    if (!err && !r->out->corrupt)
        err = recovery_repair(r);
    if (!err && !r->out->corrupt)
        note_segment_times(r);
    return err;
}

static enum err recover_folder(struct recovery *r)
{
    assert(!r->out->corrupt);
    enum err err = folder_read(&r->folder, r->in->heap, r->in->dir);
    if (err == ERR_NOT_FOUND && (r->in->checkpoint || r->in->known_end_offset > 0))
        return recover_empty_folder(r); /* the folder is gone: fine only if nothing was in it */
    if (!err)
        err = load_saved_start(r);
    if (!err && !r->out->corrupt)
        err = recovery_settle_swaps(r);
    int64_t lost = err || r->out->corrupt ? -1 : folder_lost_segment(&r->folder, r->start);
    if (lost >= 0)
        err = recovery_corrupt(r, lost, 0);
    if (err || r->out->corrupt)
        return err;
    err = find_segments(r);
    if (!err && !r->out->corrupt)
        err = r->count ? recover_segments(r) : recover_empty_folder(r);
    return err;
}

enum err recovery_run(const struct recovery_input *in, struct recovered *out)
{
    assert(in->heap);
    assert(in->dir);
    assert(in->known_end_offset >= -1);
    assert(in->segments || !in->segment_count);
    struct recovery r = {.in = in, .out = out, .folder.heap = in->heap, .resaved = -1};
    *out = (struct recovered){.corrupt_segment = -1};
    list_init(&out->segments);
    epochs_init(&out->epochs, in->heap);
    out->producers = producers_open(in->heap);
    enum err err = out->producers ? recover_folder(&r) : ERR_NO_MEMORY;
    for (uint32_t i = 0; i < r.count && r.files; i++)
        heap_free(in->heap, r.files[i].snapshot);
    heap_free(in->heap, r.files);
    folder_close(&r.folder);
    if (err)
        recovered_deinit(out);
    return err;
}

void recovered_deinit(struct recovered *r)
{
    assert(r->epochs.heap);
    struct list *l;
    struct heap *heap = r->epochs.heap;
    while ((l = list_pop(&r->segments))) {
        struct segment *s = container_of(l, struct segment, link);
        index_deinit(&s->index);
        aborted_deinit(&s->aborted);
        heap_free(heap, s);
    }
    producers_close(r->producers);
    r->producers = NULL;
    heap_free(heap, r->gone.v);
    r->gone = (struct folder_offsets){0};
    epochs_deinit(&r->epochs);
}
