/* Aborted transactions of segments that a recovery found: from .txnindex where that is trusted, else from the batches. Those of a segment that is
 * walked are noted by the walk, as far as it knows which transactions were open before. */
#include "core/clock.h"
#include "core/crc.h"
#include "storage/recovery/recovery_state.h"

/* --- from the file --- */

static enum err read_aborted_file(const struct recovery *r, const struct segment *s, uint8_t **out_at,
                                  size_t *out_bytes)
{
    char path[FS_PATH_MAX];
    assert(s->base_offset >= 0);
    *out_at = NULL;
    *out_bytes = 0;
    if (!folder_offsets_have(&r->folder.aborted, s->base_offset))
        return ERR_NONE;
    if (!segment_path(path, r->in->dir, s->base_offset, ".txnindex"))
        return ERR_INVALID;
    return segment_read_file(r->in->heap, path, SEGMENT_INDEX_BYTES_MAX, out_at, out_bytes);
}

static bool are_aborted_within(const struct segment *s)
{
    const struct aborted_index *a = &s->aborted;
    return a->count == 0 || (a->v[0].last_offset >= s->base_offset && a->v[a->count - 1].last_offset < s->next_offset);
}

enum err recovery_load_aborted(struct recovery *r, struct segment *s)
{
    uint8_t *at;
    size_t bytes;
    enum err err = read_aborted_file(r, s, &at, &bytes);
    if (err)
        return err;
    assert(s->aborted.count == 0);
    err = aborted_load(&s->aborted, at, bytes);
    if (!err && !are_aborted_within(s)) {
        s->aborted.count = 0;
        err = ERR_CORRUPT;
    }
    heap_free(r->in->heap, at);
    return err;
}

/* The first ones of the file, if those are what the checkpoint says. */
enum err recovery_restore_aborted(struct recovery *r, struct segment *s)
{
    const struct checkpoint_entry *c = r->in->checkpoint;
    size_t wanted = (size_t)c->aborted_count * ABORTED_ENTRY_BYTES, bytes;
    uint8_t *at;
    assert(c->segment_base_offset == s->base_offset);
    if (!wanted)
        return ERR_NONE;
    enum err err = read_aborted_file(r, s, &at, &bytes);
    if (err)
        return err;
    err = bytes >= wanted && crc32c(0, at, wanted) == c->aborted_crc ? aborted_load(&s->aborted, at, wanted)
                                                                     : ERR_CORRUPT;
    if (!err &&
        (s->aborted.v[0].last_offset < s->base_offset || s->aborted.v[s->aborted.count - 1].last_offset >= c->offset)) {
        s->aborted.count = 0;
        err = ERR_CORRUPT;
    }
    heap_free(r->in->heap, at);
    return err;
}

/* --- from the batches --- */

enum err recovery_note_producer(struct producers *ps, struct scan *scan, const struct batch *b,
                                struct aborted_index *aborted)
{
    assert(b->producer_id >= 0);
    struct batch_marker marker;
    struct aborted_txn t;
    bool is_marker = false;
    enum err err = batch_is_control(b) ? scan_marker(scan, b, &marker, &is_marker) : ERR_NONE;
    if (!err && is_marker)
        err = aborted_reserve(aborted, 1);
    if (!err)
        err = producers_update(ps, b, is_marker ? &marker : NULL, clock_wall_ms(), &t);
    if (err)
        return err;
    if (is_marker)
        producers_settle(ps, b->base_offset + 1);
    if (t.producer_id >= 0 && !PLANTED(aborted_not_rebuilt))
        aborted_add(aborted, &t);
    return ERR_NONE;
}

/* A segment as far as it is known to be good: `ps` is what was before, and is what is behind. */
static enum err replay_segment(struct recovery *r, const struct segment *s, struct producers *ps,
                               struct aborted_index *aborted)
{
    struct recovery_scan rs;
    struct batch b;
    bool valid = true;
    aborted->count = 0;
    enum err err = recovery_scan_open(r, s, 0, FS_READ, &rs);
    if (err)
        return err;
    assert(s->bytes <= s->allocated);
    while (!err && rs.scan.at < s->bytes && valid) {
        err = scan_peek(&rs.scan, &b, &valid);
        if (!err && valid && b.producer_id >= 0)
            err = recovery_note_producer(ps, &rs.scan, &b, aborted);
        if (!err && valid)
            scan_skip(&rs.scan, &b);
    }
    fs_drop_cache(rs.fd);
    recovery_scan_close(r, &rs);
    return err;
}

/* The last segment up to `file` before which the producers are known, or the first. */
static uint32_t known_producers_before(const struct recovery *r, uint32_t file)
{
    assert(file < r->count);
    for (; file > r->passed; file--) {
        int64_t base_offset = r->files[file].segment->base_offset;
        if (base_offset == r->resaved || recovery_has_snapshot(r, base_offset))
            break;
    }
    return file;
}

enum err recovery_replay(struct recovery *r, uint32_t file, struct producers *ps)
{
    struct aborted_index others;
    aborted_init(&others, r->in->heap);
    assert(producers_count(ps) == 0);
    uint32_t from = known_producers_before(r, file);
    enum err err = recovery_load_snapshot(r, r->files[from].segment->base_offset, ps);
    for (uint32_t i = from; i <= file && !err; i++)
        err = replay_segment(r, r->files[i].segment, ps, i == file ? &r->files[i].segment->aborted : &others);
    aborted_deinit(&others);
    return err;
}

enum err recovery_rebuild_aborted(struct recovery *r, uint32_t file)
{
    assert(file < r->count);
    struct producers *ps = producers_open(r->in->heap);
    enum err err = ps ? recovery_replay(r, file, ps) : ERR_NO_MEMORY;
    producers_close(ps);
    return err;
}
