/* What a cleaning that was cut short left (storage/README.md, and Kafka's as well: the names are the same).
 *
 *   <base>.log.cleaned  --renamed, folder synced-->  <base>.log.swap  --replaced ones to .deleted-->  --renamed-->  <base>.log
 *        goes                                             wins                                            a segment
 *
 * A swap takes the place of every segment that begins in [its base, its end): its last batch ends where the last of those did. The
 * indexes get their names before the log, so as long as the log is a swap all of it is done again. One that was never the log, because not all
 * that belongs to it had its name (Kafka splits a segment so), or one that is damaged, goes if all that it was made from is there; else
 * it is the only copy, and the partition is corrupt. */
#include "core/log.h"
#include "storage/log/deleted.h"
#include "storage/recovery/recovery_state.h"
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

static const char *const beside[] = {".index", ".timeindex", ".txnindex"};

struct swap {
    int64_t base_offset, end_offset; /* of what is good */
    uint64_t good_bytes;
    bool whole;
};

static enum err swap_path(const struct recovery *r, int64_t base_offset, const char *suffix, bool swap,
                          char out[FS_PATH_MAX])
{
    assert(base_offset >= 0);
    int n = snprintf(out, FS_PATH_MAX, "%s/%020" PRId64 "%s%s", r->in->dir, base_offset, suffix, swap ? ".swap" : "");
    return n > 0 && n < FS_PATH_MAX ? ERR_NONE : ERR_INVALID;
}

/* Like every closed segment: offsets rise, with gaps. */
static enum err walk_swap(const struct recovery *r, struct scan *scan, struct swap *s)
{
    assert(scan->at == 0);
    int32_t epoch = -1;
    enum err err = ERR_NONE;
    bool good = true;
    s->end_offset = s->base_offset;
    while (!err && good && scan->at < scan->end) {
        struct batch b;
        if (r->in->give_up && atomic_load_explicit(r->in->give_up, memory_order_relaxed))
            return ERR_CLOSED;
        err = scan_peek(scan, &b, &good);
        good = good && b.base_offset >= s->end_offset && b.leader_epoch >= epoch &&
               batch_last_offset(&b) - s->base_offset <= INT32_MAX;
        if (err || !good)
            break;
        s->end_offset = batch_last_offset(&b) + 1;
        epoch = b.leader_epoch;
        scan_skip(scan, &b);
    }
    s->good_bytes = scan->at;
    s->whole = good && scan->at > 0 && scan->at == scan->end;
    return err;
}

static enum err measure_swap(struct recovery *r, struct swap *s)
{
    assert(!s->whole);
    char path[FS_PATH_MAX];
    struct scan scan;
    enum err err = swap_path(r, s->base_offset, ".log", true, path);
    if (!err)
        err = scan_open_file(&scan, r->in->heap, path);
    if (err)
        return err;
    err = walk_swap(r, &scan, s);
    r->out->scanned_bytes += scan.read_bytes;
    fs_drop_cache(scan.fd);
    scan_close_file(&scan);
    return err;
}

/* None of what it was made from is on its way out: that begins with the last one, and ends with the first. */
static bool are_originals_there(const struct recovery *r, const struct swap *s)
{
    assert(s->base_offset >= 0);
    return folder_offsets_have(&r->folder.segments, s->base_offset) &&
           folder_offsets_between(&r->folder.deleted, s->base_offset + 1, INT64_MAX) < 0;
}

static enum err remove_swap(struct recovery *r, const struct swap *s)
{
    char path[FS_PATH_MAX];
    log_warn("swap removed", "folder=%s segment=%020" PRId64 " effect=\"the segments that it was made from stay\"",
             r->in->dir, s->base_offset);
    enum err err = swap_path(r, s->base_offset, ".log", true, path);
    r->changed = true;
    return err ? err : fs_unlink(path); /* its indexes are leftovers then */
}

static enum err name_swap(struct recovery *r, const struct swap *s)
{
    char from[FS_PATH_MAX], to[FS_PATH_MAX];
    enum err err = ERR_NONE;
    for (size_t i = 0; i <= COUNT_OF(beside) && !err; i++) {
        const char *suffix = i < COUNT_OF(beside) ? beside[i] : ".log"; /* the log last */
        err = swap_path(r, s->base_offset, suffix, true, from);
        if (!err)
            err = swap_path(r, s->base_offset, suffix, false, to);
        if (!err)
            err = fs_rename(from, to);
        err = err == ERR_NOT_FOUND && i < COUNT_OF(beside) ? ERR_NONE : err;
    }
    return err;
}

static enum err finish_swap(struct recovery *r, const struct swap *s)
{
    assert(s->whole);
    assert(s->end_offset > s->base_offset);
    const struct folder_offsets *all = &r->folder.segments;
    enum err err = ERR_NONE;
    for (uint32_t i = all->count; i-- > 0 && all->v[i] >= s->base_offset && !err;)
        if (all->v[i] < s->end_offset)
            err = deleted_rename(r->in->dir, all->v[i], all->v[i] != s->base_offset);
    if (!err) /* before the new one is among them */
        err = fs_sync_dir(r->in->dir);
    if (!err)
        err = name_swap(r, s);
    r->changed = true;
    if (!err)
        log_info("swap finished", "folder=%s segment=%020" PRId64 " end_offset=%" PRId64, r->in->dir, s->base_offset,
                 s->end_offset);
    return err;
}

static enum err settle_swap(struct recovery *r, int64_t base_offset)
{
    assert(!r->out->corrupt);
    struct swap s = {.base_offset = base_offset};
    enum err err = measure_swap(r, &s);
    if (err)
        return err;
    bool unfinished = r->folder.cleaned_min <= base_offset, originals = are_originals_there(r, &s);
    if (originals && (unfinished || !s.whole))
        return remove_swap(r, &s);
    /* Nothing is cleaned but closed segments: one behind it goes on with the log. */
    bool last = folder_offsets_between(&r->folder.segments, s.end_offset, INT64_MAX) < 0;
    return s.whole && !last ? finish_swap(r, &s) : recovery_corrupt(r, base_offset, s.good_bytes);
}

enum err recovery_settle_swaps(struct recovery *r)
{
    assert(!r->files);
    enum err err = ERR_NONE;
    bool any = r->folder.swaps.count > 0;
    for (uint32_t i = 0; i < r->folder.swaps.count && !err && !r->out->corrupt; i++)
        err = settle_swap(r, r->folder.swaps.v[i]);
    if (!any || err || r->out->corrupt)
        return err;
    folder_close(&r->folder);
    return folder_read(&r->folder, r->in->heap, r->in->dir);
}
