/* Appending and compacting (checkpoint_file.h). */
#include "storage/recovery/checkpoint_file.h"
#include "core/array.h"
#include <stdio.h>
#include <string.h>

enum {
    COMPACT_MIN_BYTES = 1 << 14 /* a file that is shorter is not worth it */,
    BLOB_SPARE = 4096,
    BLOB_KEPT_BYTES = 1 << 20
};

bool checkpoint_blob_add(struct checkpoint_blob *b, const uint8_t *at, size_t bytes)
{
    assert(b->bytes <= b->cap);
    assert(b->heap);
    assert(at || !bytes);
    if (!bytes)
        return true;
    uint8_t *grown = bytes_grow(b->heap, b->at, &b->cap, b->bytes + bytes, BLOB_SPARE);
    if (!grown)
        return false;
    b->at = grown;
    checkpoint_blob_put(b, at, bytes);
    return true;
}

bool checkpoint_blob_reserve(struct checkpoint_blob *b, size_t bytes)
{
    assert(b->bytes == 0);
    if (bytes <= b->cap)
        return true;
    heap_free(b->heap, b->at); /* nothing stands there that would be moved */
    b->at = heap_alloc(b->heap, bytes + BLOB_SPARE);
    b->cap = b->at ? bytes + BLOB_SPARE : 0;
    return b->at != NULL;
}

void checkpoint_blob_put(struct checkpoint_blob *b, const uint8_t *at, size_t bytes)
{
    assert(bytes <= b->cap - b->bytes);
    if (bytes)
        memcpy(b->at + b->bytes, at, bytes);
    b->bytes += bytes;
}

void checkpoint_blob_discard(const struct checkpoint_blob *b)
{
    assert(b->bytes <= b->cap);
    if (b->cap > BLOB_KEPT_BYTES)
        heap_discard(b->at, b->cap);
}

void checkpoint_blob_shrink(struct checkpoint_blob *b)
{
    assert(b->bytes <= b->cap);
    if (b->cap <= BLOB_KEPT_BYTES)
        return;
    heap_free(b->heap, b->at);
    *b = (struct checkpoint_blob){.heap = b->heap};
}

void checkpoint_file_init(struct checkpoint_file *f, const char *dir, uint32_t shard)
{
    *f = (struct checkpoint_file){.dir = dir, .fd = -1, .next_fd = -1};
    int n = snprintf(f->path, sizeof f->path, "%s/recovery-point-%u.checkpoint", dir, shard);
    int m = snprintf(f->temporary, sizeof f->temporary, "%s/recovery-point-%u.checkpoint.tmp", dir, shard);
    assert(n > 0 && (size_t)n < sizeof f->path);
    assert(m > 0 && (size_t)m < sizeof f->temporary);
}

void checkpoint_file_close(struct checkpoint_file *f)
{
    if (f->fd >= 0)
        fs_close(f->fd);
    if (f->next_fd >= 0)
        fs_close(f->next_fd);
    f->fd = f->next_fd = -1;
}

bool checkpoint_file_is_stale(const struct checkpoint_file *f)
{
    assert(f->fd < 0 || f->path[0]);
    return f->bytes > COMPACT_MIN_BYTES && f->bytes > 2 * f->live_bytes;
}

static enum err open_checkpoint_file(struct checkpoint_file *f)
{
    assert(f->dir);
    if (f->fd >= 0)
        return ERR_NONE;
    enum err err = fs_open(f->path, FS_READ | FS_WRITE | FS_CREATE | FS_OWN, &f->fd);
    if (err)
        return err;
    err = fs_size(f->fd, &f->bytes);
    f->made = !err && f->bytes == 0;
    if (err) {
        fs_close(f->fd);
        f->fd = -1;
    }
    return err;
}

static enum err write_blob(int fd, const struct checkpoint_blob *b, uint64_t *at)
{
    assert(fd >= 0);
    assert(b->at || !b->bytes);
    enum err err = b->bytes ? fs_write(fd, b->at, b->bytes, *at) : ERR_NONE;
    if (!err && b->lent_bytes)
        err = fs_write(fd, b->lent, b->lent_bytes, *at + b->bytes);
    if (!err)
        *at += b->bytes + b->lent_bytes;
    return err;
}

static enum err open_next_file(struct checkpoint_file *f)
{
    assert(f->compacting);
    assert(f->fd >= 0);
    if (f->begun)
        return ERR_NONE;
    if (f->next_fd >= 0)
        fs_close(f->next_fd);
    f->next_fd = -1;
    f->next_bytes = 0;
    enum err err = fs_open(f->temporary, FS_READ | FS_WRITE | FS_CREATE | FS_TRUNCATE, &f->next_fd);
    f->begun = err == ERR_NONE;
    return err;
}

/* When the name is the new one's, so is the file: whether or not that is durable yet. */
static enum err take_next_file(struct checkpoint_file *f)
{
    assert(f->begun);
    assert(f->next_fd >= 0);
    enum err err = fs_sync(f->next_fd);
    if (!err)
        err = fs_rename(f->temporary, f->path);
    if (err)
        return err;
    fs_close(f->fd);
    f->fd = f->next_fd;
    f->bytes = f->live_bytes = f->next_bytes;
    f->next_fd = -1;
    f->compacting = f->begun = false;
    err = fs_sync_dir(f->dir);
    f->made = err != ERR_NONE;
    return err;
}

static enum err write_next_file(struct checkpoint_file *f, const struct checkpoint_blob *news,
                                const struct checkpoint_blob *piece, bool finish)
{
    enum err err = open_next_file(f);
    if (!err)
        err = write_blob(f->next_fd, piece, &f->next_bytes);
    if (!err)
        err = write_blob(f->next_fd, news, &f->next_bytes);
    return err || !finish ? err : take_next_file(f);
}

static enum err sync_checkpoint_file(struct checkpoint_file *f)
{
    assert(f->fd >= 0);
    enum err err = fs_sync(f->fd);
    if (!err && f->made)
        err = fs_sync_dir(f->dir);
    f->made = f->made && err;
    return err;
}

enum err checkpoint_file_write(struct checkpoint_file *f, const struct checkpoint_blob *news,
                               const struct checkpoint_blob *piece, bool finish, bool sync)
{
    assert(f->compacting || !f->begun);
    assert(f->compacting || !finish);
    assert(f->next_fd >= 0 || !f->begun);
    enum err err = open_checkpoint_file(f);
    if (!err)
        err = write_blob(f->fd, news, &f->bytes);
    if (!err && sync)
        err = sync_checkpoint_file(f);
    if (!err && f->compacting)
        err = write_next_file(f, news, piece, finish);
    if (err)
        f->compacting = f->begun = false; /* another begins when the next entries are written */
    return err;
}
