/* Torn, or corrupt: what the end of the walk means. Nothing is changed here. */
#include "core/limits.h"
#include "storage/recovery/recovery_state.h"

enum { TAIL_BYTES = 64 }; /* a batch may end in zeros, so this many only make us look closer */

static enum err corrupt_segment_at(struct recovery *r, const struct segment *s, uint64_t position)
{
    assert(position <= s->allocated);
    return recovery_corrupt(r, s->base_offset, position);
}

enum err recovery_was_begun(struct recovery *r, const struct segment *s, bool *out_begun)
{
    assert(out_begun);
    struct recovery_scan rs;
    uint64_t nonzero = UINT64_MAX;
    enum err err = recovery_scan_open(r, s, 0, FS_READ, &rs);
    if (err)
        return err;
    err = scan_nonzero(&rs.scan, 0, &nonzero);
    recovery_scan_close(r, &rs);
    *out_begun = nonzero != UINT64_MAX;
    return err;
}

/* A roll names the next file only when every byte of the old one is durable, with write.caching too. So a later segment, even an
 * empty one, says that the bytes before it were there: they are missing. (That the old one is not trimmed says nothing: it is
 * trimmed behind the roll.) Only what starts within the log and was never begun is a stray: it got its name, but the roll
 * failed, and the old segment went on. */
static enum err judge_later_segments(struct recovery *r)
{
    const struct segment *last = r->files[r->last].segment;
    for (uint32_t i = r->last + 1; i < r->count; i++) {
        const struct segment *s = r->files[i].segment;
        assert(s->base_offset > last->base_offset);
        bool missed = s->base_offset > r->next_offset;
        enum err err = missed ? ERR_NONE : recovery_was_begun(r, s, &missed);
        if (err)
            return err;
        if (missed)
            return corrupt_segment_at(r, last, last->bytes);
    }
    return ERR_NONE;
}

/* With acks that wait for the disk, one wave can be torn; a valid batch further on was acknowledged. */
static enum err judge_bytes_behind(struct recovery *r)
{
    assert(!r->in->caching);
    assert(r->in->wave_bytes_max > 0);
    const struct segment *s = r->files[r->last].segment;
    uint64_t from = s->bytes + r->in->wave_bytes_max + 1, at = UINT64_MAX;
    if (from >= s->allocated)
        return ERR_NONE;
    struct recovery_scan rs;
    enum err err = recovery_scan_open(r, s, from, FS_READ, &rs);
    if (err)
        return err;
    err = scan_search(&rs.scan, from, r->next_offset, &at);
    recovery_scan_close(r, &rs);
    return !err && at != UINT64_MAX ? corrupt_segment_at(r, s, s->bytes) : err;
}

enum err recovery_judge(struct recovery *r)
{
    assert(r->last < r->count);
    assert(!r->out->corrupt);
    const struct recovery_file *f = &r->files[r->last];
    if (r->next_offset < r->floor)
        return corrupt_segment_at(r, f->segment, f->segment->bytes);
    if (r->in->known_end_offset >= 0) /* what lies behind was never promised */
        return ERR_NONE;
    if (r->in->clean && f->rest_dirty)
        return corrupt_segment_at(r, f->segment, f->segment->bytes);
    enum err err = judge_later_segments(r);
    if (err || r->out->corrupt || r->in->caching || !f->rest_dirty)
        return err;
    return judge_bytes_behind(r);
}

/* --- trusted segments --- */

static enum err index_files_exist(struct recovery *r, const struct segment *s, bool *out_there)
{
    assert(out_there);
    static const char *const suffixes[] = {".index", ".timeindex"};
    *out_there = true;
    for (size_t i = 0; i < COUNT_OF(suffixes) && *out_there; i++) {
        char path[FS_PATH_MAX];
        int fd;
        if (!segment_path(path, r->in->dir, s->base_offset, suffixes[i]))
            return ERR_INVALID;
        enum err err = fs_open(path, FS_READ, &fd);
        if (err && err != ERR_NOT_FOUND)
            return err;
        *out_there = !err;
        if (!err)
            fs_close(fd);
    }
    return ERR_NONE;
}

/* Walks the segment's last stretch, from its last index entry, and sets bytes to where the batches end. */
static enum err find_trusted_end(struct recovery *r, struct segment *s)
{
    assert(s->bytes == s->allocated);
    struct recovery_scan rs;
    enum err err = segment_load_index(r->in->dir, s);
    if (err && err != ERR_CORRUPT)
        return err;
    err = recovery_scan_open(r, s, index_position(&s->index, INT64_MAX), FS_READ, &rs);
    if (err)
        return err;
    struct batch b;
    bool valid;
    while (!(err = scan_peek(&rs.scan, &b, &valid)) && valid)
        scan_skip(&rs.scan, &b);
    s->bytes = rs.scan.at;
    assert(s->bytes <= s->allocated);
    uint64_t dirty_at = UINT64_MAX;
    if (!err)
        err = scan_nonzero(&rs.scan, s->bytes, &dirty_at);
    recovery_scan_close(r, &rs);
    return !err && dirty_at != UINT64_MAX ? corrupt_segment_at(r, s, s->bytes) : err;
}

static enum err segment_ends_in_zeros(struct recovery *r, const struct segment *s, bool *out_zeros)
{
    assert(out_zeros);
    struct recovery_scan rs;
    uint64_t at = UINT64_MAX, from = s->allocated > TAIL_BYTES ? s->allocated - TAIL_BYTES : 0;
    enum err err = recovery_scan_open(r, s, from, FS_READ, &rs);
    if (err)
        return err;
    err = scan_nonzero(&rs.scan, from, &at);
    recovery_scan_close(r, &rs);
    *out_zeros = at == UINT64_MAX;
    return err;
}

bool recovery_has_snapshot(const struct recovery *r, int64_t offset)
{
    return folder_offsets_have(&r->folder.snapshots, offset);
}

/* The producers behind the segment: those before it, and its batches. */
static enum err make_snapshot(struct recovery *r, const struct segment *s, struct producers *ps)
{
    assert(s->next_offset > s->base_offset); /* where the next one begins */
    uint8_t *at = heap_alloc(r->in->heap, producers_snapshot_bytes(ps));
    if (!at)
        return ERR_NO_MEMORY;
    producers_snapshot(ps, at);
    enum err err = recovery_save_snapshot(r, s->next_offset, at, producers_snapshot_bytes(ps));
    heap_free(r->in->heap, at);
    if (!err)
        r->resaved = s->next_offset;
    return err;
}

/* Its .txnindex is not there, or cannot be trusted; nor can the snapshot behind it be, if there is none. */
static enum err save_transactions_again(struct recovery *r, uint32_t file)
{
    struct segment *s = r->files[file].segment;
    struct producers *ps = producers_open(r->in->heap);
    enum err err = ps ? recovery_replay(r, file, ps) : ERR_NO_MEMORY;
    if (!err)
        err = segment_put_aborted(r->in->dir, s, true);
    if (!err && !recovery_has_snapshot(r, s->next_offset))
        err = make_snapshot(r, s, ps);
    assert(s->bytes <= s->allocated);
    producers_close(ps);
    return err;
}

/* The roll behind it was cut short: its index files may end too early, the snapshot behind it may be missing. (It says that the index
 * is whole.) */
static enum err close_segment_again(struct recovery *r, uint32_t file)
{
    struct segment *s = r->files[file].segment;
    assert(s->bytes > 0);
    uint64_t bad_at = 0;
    enum err err = scan_rebuild_index(r->in->dir, s, r->in->index_interval_bytes, &bad_at);
    if (err == ERR_CORRUPT)
        return corrupt_segment_at(r, s, bad_at);
    return err ? err : save_transactions_again(r, file);
}

static enum err check_trusted_segment(struct recovery *r, uint32_t file)
{
    struct segment *s = r->files[file].segment;
    int64_t next_base_offset = r->files[file + 1].segment->base_offset;
    assert(next_base_offset > s->base_offset);
    bool zeros, there;
    s->bytes = s->allocated;
    s->next_offset = next_base_offset;
    enum err err = segment_ends_in_zeros(r, s, &zeros);
    /* A file that was not trimmed is whole pages, however few zeros it ends in. */
    if (!err && (zeros || s->allocated % PAGE_BYTES == 0))
        err = find_trusted_end(r, s);
    if (err || r->out->corrupt)
        return err;
    if (s->bytes == 0)
        return corrupt_segment_at(r, s, 0);
    err = index_files_exist(r, s, &there);
    bool closed = s->bytes == s->allocated && there && recovery_has_snapshot(r, next_base_offset);
    if (err || !closed)
        return err ? err : close_segment_again(r, file);
    err = recovery_load_aborted(r, s);
    return err == ERR_CORRUPT ? save_transactions_again(r, file) : err;
}

enum err recovery_check_trusted(struct recovery *r)
{
    assert(r->first < r->count);
    enum err err = ERR_NONE;
    for (uint32_t i = r->passed; i < r->first && !err && !r->out->corrupt; i++) {
        err = check_trusted_segment(r, i);
        if (!r->out->corrupt || !recovery_is_below_start(r, i))
            continue;
        r->out->corrupt = false; /* it is not needed */
        r->out->corrupt_segment = -1;
        r->passed = i + 1;
    }
    return err;
}
