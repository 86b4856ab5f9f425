/* Where epochs began: the file leader-epoch-checkpoint knows all that began before the active segment, the walk sees those
 * behind the checkpoint. Between the two lie batches that nobody reads; epochs only rise, so a binary search over the index
 * entries finds where they change. */
#include "core/log.h"
#include "storage/recovery/recovery_state.h"
#include <stdio.h>

static enum err read_epochs_file(struct recovery *r)
{
    assert(r->out->epochs.count == 0);
    char path[FS_PATH_MAX];
    uint8_t *at;
    size_t bytes;
    int n = snprintf(path, sizeof path, "%s/leader-epoch-checkpoint", r->in->dir);
    if (n < 0 || n >= FS_PATH_MAX)
        return ERR_INVALID;
    enum err err = segment_read_file(r->in->heap, path, SMALL_FILE_BYTES_MAX, &at, &bytes);
    if (err)
        return err == ERR_NOT_FOUND ? ERR_NONE : err;
    err = epochs_parse(&r->out->epochs, (const char *)at, bytes);
    heap_free(r->in->heap, at);
    if (err != ERR_CORRUPT)
        return err;
    log_warn("bad leader-epoch-checkpoint", "file=%s effect=\"epochs are known from the batches that are read\"", path);
    r->out->epochs.count = 0;
    return ERR_NONE;
}

/* The header at `position`, which is below the checkpoint: ERR_CORRUPT if it is none. */
static enum err read_header_at(const struct recovery_scan *rs, uint64_t position, struct batch *out_batch)
{
    assert(rs->fd >= 0);
    uint8_t header[BATCH_HEADER_BYTES];
    size_t got;
    enum err err = fs_read(rs->fd, header, sizeof header, position, &got);
    if (!err && !batch_parse(header, got, out_batch))
        err = ERR_CORRUPT;
    return err;
}

static uint64_t index_entry_position(const struct index *ix, uint32_t i)
{
    assert(i < ix->offset_count);
    return be32_get(ix->offsets + (size_t)i * INDEX_OFFSET_BYTES + 4);
}

/* The last indexed batch of an epoch <= `epoch`, or the segment's start. */
static enum err search_epoch_start(const struct recovery_scan *rs, const struct index *ix, int32_t epoch,
                                   uint64_t *out_position)
{
    uint32_t low = 0, high = ix->offset_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        struct batch b;
        enum err err = read_header_at(rs, index_entry_position(ix, middle), &b);
        if (err)
            return err;
        if (b.leader_epoch <= epoch)
            low = middle + 1;
        else
            high = middle;
    }
    assert(low <= ix->offset_count);
    *out_position = low ? index_entry_position(ix, low - 1) : 0;
    return ERR_NONE;
}

/* Adds the first epoch after the latest known one; ERR_NOT_FOUND: there is none below the checkpoint. */
static enum err find_next_epoch(struct recovery *r, const struct recovery_scan *rs)
{
    assert(r->first_position > 0);
    assert(r->first < r->count);
    const struct segment *s = r->files[r->first].segment;
    int32_t latest = epochs_latest(&r->out->epochs);
    uint64_t position;
    enum err err = search_epoch_start(rs, &s->index, latest, &position);
    while (!err && position < r->first_position) {
        struct batch b;
        err = read_header_at(rs, position, &b);
        if (!err && b.leader_epoch > latest && b.base_offset >= 0)
            return epochs_add(&r->out->epochs, b.leader_epoch, b.base_offset);
        position += b.bytes;
    }
    return err ? err : ERR_NOT_FOUND;
}

enum err recovery_load_epochs(struct recovery *r)
{
    assert(r->first < r->count);
    enum err err = read_epochs_file(r);
    if (err)
        return err;
    /* What the walk will see again is taken from there: the file may know epochs of batches that are gone. */
    epochs_truncate(&r->out->epochs, r->next_offset);
    if (!r->first_position || epochs_latest(&r->out->epochs) >= r->epoch)
        return ERR_NONE;
    struct recovery_scan rs;
    err = recovery_scan_open(r, r->files[r->first].segment, 0, FS_READ, &rs);
    if (err)
        return err;
    while (!err && epochs_latest(&r->out->epochs) < r->epoch)
        err = find_next_epoch(r, &rs);
    recovery_scan_close(r, &rs);
    /* Bad bytes below the checkpoint are the reader's to find; the epochs that are known will do. */
    return err == ERR_CORRUPT || err == ERR_NOT_FOUND ? ERR_NONE : err;
}
