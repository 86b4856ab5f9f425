/* Torn, or corrupt: what the end of the walk means. Nothing is changed here. */
#include "storage/recovery/recovery_state.h"

enum { TAIL_BYTES = 64 }; /* a batch may end in zeros, so this many only make us look closer */

static enum err corrupt_segment_at(struct recovery *r, const struct segment *s, uint64_t position)
{
    return recovery_corrupt(r, s->base_offset, position);
}

/* Does the segment begin as one that was really begun? */
static enum err segment_was_begun(struct recovery *r, const struct segment *s, bool *out_begun)
{
    struct recovery_scan rs;
    struct batch b;
    bool valid;
    enum err err = recovery_scan_open(r, s, 0, FS_READ, &rs);
    if (err)
        return err;
    err = scan_peek(&rs.scan, &b, &valid);
    recovery_scan_close(r, &rs);
    if (!err)
        *out_begun = valid && b.base_offset == s->base_offset;
    return err;
}

/* A roll makes the next file only when the old one is trimmed and durable. So a later segment, even an empty one, says that
 * the bytes before it were there: they are missing. Only what starts within the log and was never begun is a stray: its roll
 * failed, and the old segment went on. */
static enum err judge_later_segments(struct recovery *r)
{
    const struct segment *last = r->files[r->last].segment;
    for (uint32_t i = r->last + 1; i < r->count; i++) {
        const struct segment *s = r->files[i].segment;
        bool missed = s->base_offset > r->next_offset;
        enum err err = missed ? ERR_NONE : segment_was_begun(r, s, &missed);
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
    uint64_t dirty_at = UINT64_MAX;
    if (!err)
        err = scan_nonzero(&rs.scan, s->bytes, &dirty_at);
    recovery_scan_close(r, &rs);
    return !err && dirty_at != UINT64_MAX ? corrupt_segment_at(r, s, s->bytes) : err;
}

static enum err segment_ends_in_zeros(struct recovery *r, const struct segment *s, bool *out_zeros)
{
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

static enum err check_trusted_segment(struct recovery *r, struct segment *s, int64_t next_base_offset)
{
    bool zeros, there;
    s->bytes = s->allocated;
    s->next_offset = next_base_offset;
    enum err err = segment_ends_in_zeros(r, s, &zeros);
    if (!err && zeros)
        err = find_trusted_end(r, s);
    if (err || r->out->corrupt)
        return err;
    if (s->bytes == 0)
        return corrupt_segment_at(r, s, 0);
    err = index_files_exist(r, s, &there);
    if (err || there)
        return err;
    uint64_t bad_at = 0;
    err = scan_rebuild_index(r->in->dir, s, r->in->index_interval_bytes, &bad_at);
    return err == ERR_CORRUPT ? corrupt_segment_at(r, s, bad_at) : err;
}

enum err recovery_check_trusted(struct recovery *r)
{
    enum err err = ERR_NONE;
    for (uint32_t i = 0; i < r->first && !err && !r->out->corrupt; i++)
        err = check_trusted_segment(r, r->files[i].segment, r->files[i + 1].segment->base_offset);
    return err;
}
