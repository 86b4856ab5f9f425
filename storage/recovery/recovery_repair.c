/* Makes the files what the walk found: later segments go, what lies behind the end becomes zeros, closed segments are
 * trimmed; then everything that was read or changed is synced. A crash in the midst of it leaves a log that the next
 * recovery judges the same, since nothing before the end is touched. */
#include "storage/log/log_start.h"
#include "storage/log/deleted.h"
#include "storage/recovery/recovery_state.h"

enum { UNLINKS_MAX = 8 }; /* segments whose files a recovery unlinks itself */

static void forget_file(struct recovery *r, uint32_t file)
{
    struct segment *s = r->files[file].segment;
    assert(s);
    list_remove(&s->link);
    index_deinit(&s->index);
    aborted_deinit(&s->aborted);
    heap_free(r->in->heap, s);
    r->files[file].segment = NULL;
    r->changed = true;
}

/* They are all zeros (recovery_judge), or lie behind an end that is known: nothing of them was ever promised. */
static enum err remove_later_segments(struct recovery *r)
{
    assert(r->last < r->count);
    enum err err = ERR_NONE;
    for (uint32_t i = r->count; i-- > r->last + 1 && !err;) {
        err = folder_remove_segment(r->in->dir, r->files[i].segment->base_offset);
        if (!err)
            forget_file(r, i);
    }
    return err;
}

static enum err remove_passed_segments(struct recovery *r)
{
    assert(r->passed <= r->last);
    enum err err = ERR_NONE;
    for (uint32_t i = 0; i < r->passed && !err; i++) {
        err = deleted_rename(r->in->dir, r->files[i].segment->base_offset, true);
        if (!err)
            forget_file(r, i);
    }
    return err;
}

/* The bug that the simulator must find: a torn tail is cut at the last index entry, durable or not. */
static enum err plant_early_cut(struct recovery *r)
{
    struct segment *s = r->files[r->last].segment;
    struct recovery_scan rs;
    struct batch b;
    bool valid;
    if (!r->files[r->last].rest_dirty || !s->bytes)
        return ERR_NONE;
    enum err err = recovery_scan_open(r, s, index_position(&s->index, INT64_MAX), FS_READ, &rs);
    if (err)
        return err;
    err = scan_peek(&rs.scan, &b, &valid);
    if (!err && valid) {
        s->bytes = rs.scan.at;
        s->next_offset = r->next_offset = b.base_offset;
        index_truncate(&s->index, b.base_offset, (uint32_t)s->bytes);
        aborted_truncate(&s->aborted, b.base_offset);
    }
    recovery_scan_close(r, &rs);
    return err;
}

/* Sync before the caches are dropped: what was read there may be nowhere else. */
static enum err finish_segment_file(struct recovery *r, struct recovery_scan *rs, struct recovery_file *f, bool closed)
{
    assert(f->segment->bytes <= f->segment->allocated);
    assert(rs->fd >= 0);
    struct segment *s = f->segment;
    enum err err = ERR_NONE;
    if (closed && s->bytes < s->allocated)
        err = fs_truncate(rs->fd, s->bytes);
    else if (f->rest_dirty)
        err = scan_wipe(&rs->scan, s->bytes, &r->out->cut_bytes);
    if (!err && !PLANTED(recovered_unsynced))
        err = fs_sync(rs->fd);
    if (!err)
        fs_drop_cache(rs->fd);
    if (closed)
        s->allocated = s->bytes;
    return err;
}

static bool segment_needs_repair(const struct recovery *r, const struct recovery_file *f, bool closed)
{
    return f->walked_bytes || f->rest_dirty || r->in->known_end_offset >= 0 ||
           (closed && f->segment->bytes < f->segment->allocated);
}

static enum err repair_segment(struct recovery *r, struct recovery_file *f, bool closed)
{
    assert(f->segment);
    struct segment *s = f->segment;
    if (!segment_needs_repair(r, f, closed))
        return ERR_NONE;
    r->changed = true;
    struct recovery_scan rs;
    bool writes = closed ? s->bytes < s->allocated : f->rest_dirty; /* else it is only synced */
    enum err err = recovery_scan_open(r, s, s->bytes, writes ? FS_READ | FS_WRITE | FS_OWN : FS_READ, &rs);
    if (err)
        return err;
    err = finish_segment_file(r, &rs, f, closed);
    recovery_scan_close(r, &rs);
    if (err || !closed || !s->index_loaded)
        return err;
    err = index_finish(&s->index);
    if (!err)
        err = segment_save_index(r->in->dir, s);
    return err ? err : segment_put_aborted(r->in->dir, s, true);
}

/* A file of a gigabyte takes tens of milliseconds to unlink, and requests wait for this: the first few go here, the rest later. */
static bool is_left_for_later(struct recovery *r, int64_t base_offset, enum err *out_err)
{
    assert(base_offset >= 0);
    if (r->unlinked++ < UNLINKS_MAX)
        return false;
    *out_err = folder_offsets_add(r->in->heap, &r->out->gone, base_offset);
    return true;
}

/* Oldest first: what is left of them after a crash is below the start again. */
static enum err remove_segments_below(struct recovery *r)
{
    assert(r->below <= r->folder.segments.count);
    enum err err = ERR_NONE;
    for (uint32_t i = 0; i < r->below && !err; i++) {
        int64_t base_offset = r->folder.segments.v[i];
        bool later = is_left_for_later(r, base_offset, &err);
        if (later && !err)
            err = deleted_rename(r->in->dir, base_offset, true);
        if (!later || err == ERR_NO_SPACE)
            err = folder_remove_segment(r->in->dir, base_offset);
    }
    return err;
}

static int64_t recovered_log_start(const struct recovery *r)
{
    assert(r->files[r->passed].segment);
    assert(r->below < r->folder.segments.count);
    const struct checkpoint_entry *c = r->in->checkpoint;
    int64_t start = r->folder.segments.v[r->below];
    if (c && c->log_start_offset > start)
        start = c->log_start_offset;
    return r->start > start ? r->start : start;
}

/* Snapshots of offsets that are gone, and what interrupted jobs left. */
static enum err remove_leftovers(struct recovery *r)
{
    assert(r->folder.leftovers || !r->folder.leftover_count);
    enum err err = ERR_NONE;
    for (uint32_t i = 0; i < r->folder.leftover_count && !err; i++)
        err = folder_remove(r->in->dir, r->folder.leftovers[i]);
    for (uint32_t i = 0; i < r->folder.deleted.count && !err; i++) {
        /* Kafka renames the log first: an index left alone would tell the next start of a segment that is lost. */
        if (!folder_offsets_have(&r->folder.segments, r->folder.deleted.v[i]))
            err = deleted_rename(r->in->dir, r->folder.deleted.v[i], false);
        if (!err && !is_left_for_later(r, r->folder.deleted.v[i], &err))
            err = deleted_unlink(r->in->dir, r->folder.deleted.v[i]);
    }
    r->changed |= r->folder.leftover_count > 0;
    for (uint32_t i = r->folder.snapshots.count; i-- > 0 && r->folder.snapshots.v[i] > r->next_offset && !err;) {
        char path[FS_PATH_MAX];
        err = segment_path(path, r->in->dir, r->folder.snapshots.v[i], ".snapshot") ? fs_unlink(path) : ERR_INVALID;
        err = err == ERR_NOT_FOUND ? ERR_NONE : err;
    }
    return err;
}

/* A segment that no checkpoint has reached may be there in name only for now: its roll was cut short before the folder was
 * synced. */
static bool segment_name_unsure(const struct recovery *r)
{
    assert(r->files[r->last].segment);
    const struct checkpoint_entry *c = r->in->checkpoint;
    return !r->in->clean && (!c || r->files[r->last].segment->base_offset > c->segment_base_offset);
}

/* The same of a start that no checkpoint has: nobody may be told of it before it is there for good, name and number. */
static bool saved_start_unsure(const struct recovery *r)
{
    const struct checkpoint_entry *c = r->in->checkpoint;
    return !r->in->clean && r->start > (c ? c->log_start_offset : 0);
}

enum err recovery_repair(struct recovery *r)
{
    assert(!r->out->corrupt);
    assert(r->first <= r->last);
    assert(r->files[r->last].segment->next_offset == r->next_offset);
    enum err err = remove_later_segments(r);
    if (!err && PLANTED(cut_below_durable_end))
        err = plant_early_cut(r);
    for (uint32_t i = r->passed; i <= r->last && !err; i++)
        err = repair_segment(r, &r->files[i], i < r->last);
    for (uint32_t i = r->passed ? r->passed - 1 : 0; i < r->last && !err; i++) {
        const struct recovery_file *f = &r->files[i];
        int64_t next = r->files[i + 1].segment->base_offset;
        if (f->snapshot && !recovery_has_snapshot(r, next))
            err = recovery_save_snapshot(r, next, f->snapshot, f->snapshot_bytes);
    }
    if (!err)
        err = remove_passed_segments(r);
    if (!err)
        err = remove_leftovers(r);
    if (!err && saved_start_unsure(r))
        err = log_start_sync(r->in->dir);
    if (!err && (r->changed || segment_name_unsure(r) || saved_start_unsure(r)))
        err = fs_sync_dir(r->in->dir);
    if (err)
        return err;
    r->out->log_start_offset = recovered_log_start(r);
    r->out->end_offset = r->next_offset;
    epochs_truncate(&r->out->epochs, r->next_offset);
    epochs_truncate_start(&r->out->epochs, r->out->log_start_offset);
    return remove_segments_below(r);
}
