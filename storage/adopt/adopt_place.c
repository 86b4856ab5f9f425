/* Puts a partition into our data folder: its closed segments get a second name, the rest is copied. */
#include "storage/adopt/adopt_state.h"
#include "storage/log/folder.h"
#include "storage/log/log_start.h"
#include "storage/log/partition_dir.h"
#include "storage/log/segment.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { COPY_BYTES = 1 << 20 };

static bool staging_path(char out[FS_PATH_MAX], const struct adopt *a, const struct adopt_topic *t, int32_t number)
{
    assert(t->name[0]);
    assert(number >= 0);
    int n = snprintf(out, FS_PATH_MAX, "%s/" STRAYS_ADOPTING "/%s-%d", a->config->data_dir, t->name, number);
    return n > 0 && n < FS_PATH_MAX;
}

/* --- files --- */

static enum err copy_bytes(struct adopt *a, int from, int to, uint64_t bytes)
{
    assert(from >= 0 && to >= 0);
    enum err err = ERR_NONE;
    size_t got = 1;
    uint8_t *piece = heap_alloc(a->heap, COPY_BYTES);
    for (uint64_t done = 0; piece && err == ERR_NONE && got > 0 && done < bytes; done += got) {
        err = fs_read(from, piece, u64_min(COPY_BYTES, bytes - done), done, &got);
        if (err == ERR_NONE && got > 0)
            err = fs_write(to, piece, got, done);
    }
    a->copied_bytes += bytes;
    heap_free(a->heap, piece);
    return !piece ? ERR_NO_MEMORY : err == ERR_NONE ? fs_sync(to) : err;
}

/* The first `bytes` of it, durably. A file that is not there is no error if it `may_lack`. */
static enum err copy_file(struct adopt *a, const char *from, const char *to, uint64_t bytes, bool may_lack)
{
    assert(from[0] && to[0]);
    int in, out;
    uint64_t size = 0;
    enum err err = fs_open(from, FS_READ, &in);
    if (err != ERR_NONE)
        return err == ERR_NOT_FOUND && may_lack ? ERR_NONE : err;
    err = fs_size(in, &size);
    if (err == ERR_NONE)
        err = fs_open(to, FS_WRITE | FS_CREATE | FS_EXCLUSIVE, &out);
    if (err == ERR_NONE) {
        err = copy_bytes(a, in, out, u64_min(size, bytes));
        fs_close(out);
    }
    fs_close(in);
    return err;
}

static enum err link_or_copy(struct adopt *a, const char *from, const char *to)
{
    assert(from[0] && to[0]);
    uint64_t size = 0;
    int fd;
    enum err err = fs_link(from, to);
    if (err == ERR_UNSUPPORTED)
        return copy_file(a, from, to, UINT64_MAX, false);
    if (err == ERR_NONE)
        err = fs_open(to, FS_READ, &fd);
    if (err != ERR_NONE)
        return err;
    err = fs_size(fd, &size);
    if (err == ERR_NONE)
        err = fs_sync(fd); /* Kafka leaves that to the kernel */
    fs_close(fd);
    a->linked_bytes += size;
    return err;
}

static enum err place_segments(struct adopt *a, const struct folder *f, const struct adopt_log *l, const char *to)
{
    assert(f->segments.count > 0);
    enum err err = ERR_NONE;
    for (uint32_t i = 0; err == ERR_NONE && i < f->segments.count; i++) {
        char source[FS_PATH_MAX], target[FS_PATH_MAX];
        if (!segment_path(source, l->dir, f->segments.v[i], ".log") ||
            !segment_path(target, to, f->segments.v[i], ".log"))
            return ERR_INVALID;
        bool last = i + 1 == f->segments.count;
        err = last ? copy_file(a, source, target, l->last_bytes, false) : link_or_copy(a, source, target);
    }
    return err;
}

/* What our recovery begins with: the producers before the first batch, and the epochs; indexes it builds itself. */
static enum err place_small_files(struct adopt *a, const struct folder *f, const struct adopt_log *l, const char *to)
{
    assert(!l->refused[0]);
    char source[FS_PATH_MAX], target[FS_PATH_MAX];
    if (!adopt_path(source, l->dir, "leader-epoch-checkpoint") || !adopt_path(target, to, "leader-epoch-checkpoint"))
        return ERR_INVALID;
    enum err err = copy_file(a, source, target, UINT64_MAX, true);
    if (err != ERR_NONE || f->segments.count == 0)
        return err;
    if (!segment_path(source, l->dir, f->segments.v[0], ".snapshot") ||
        !segment_path(target, to, f->segments.v[0], ".snapshot"))
        return ERR_INVALID;
    return copy_file(a, source, target, UINT64_MAX, true);
}

enum err adopt_place(struct adopt *a, const struct adopt_topic *t, const struct adopt_partition *p,
                     const struct folder *f, const struct adopt_log *l)
{
    assert(t->has_id);
    assert(!l->refused[0]);
    char to[FS_PATH_MAX], parent[FS_PATH_MAX];
    if (!staging_path(to, a, t, p->number) || !adopt_path(parent, a->config->data_dir, STRAYS_ADOPTING))
        return ERR_INVALID;
    enum err err = fs_mkdir(parent);
    if (err == ERR_NONE || err == ERR_EXISTS)
        err = fs_mkdir(to);
    if (err == ERR_NONE)
        err = partition_dir_name(to, t->id);
    if (err == ERR_NONE)
        err = place_segments(a, f, l, to);
    if (err == ERR_NONE)
        err = place_small_files(a, f, l, to);
    if (err == ERR_NONE && f->segments.count > 0 && p->log_start > f->segments.v[0])
        err = log_start_save(to, t->name, p->number, p->log_start);
    return err == ERR_NONE ? fs_sync_dir(to) : err;
}

enum err adopt_name(struct adopt *a, const struct adopt_topic *t, const struct adopt_partition *p)
{
    assert(t->has_id);
    char from[FS_PATH_MAX], to[FS_PATH_MAX];
    int n = snprintf(to, sizeof to, "%s/%s-%d", a->config->data_dir, t->name, p->number);
    if (n < 0 || n >= FS_PATH_MAX || !staging_path(from, a, t, p->number))
        return ERR_INVALID;
    return fs_rename(from, to);
}

/* --- what an interrupted run left --- */

struct staging_sweep {
    const char *dir;
    enum err err;
};

static bool sweep_staged(void *arg, const struct fs_entry *entry)
{
    struct staging_sweep *w = arg;
    assert(w->err == ERR_NONE);
    char path[FS_PATH_MAX];
    if (entry->folder)
        w->err = adopt_path(path, w->dir, entry->name) ? partition_dir_delete(path, NULL) : ERR_INVALID;
    return w->err == ERR_NONE;
}

enum err adopt_sweep(struct adopt *a)
{
    assert(a->config->data_dir);
    char dir[FS_PATH_MAX];
    if (!adopt_path(dir, a->config->data_dir, STRAYS_ADOPTING))
        return ERR_INVALID;
    struct staging_sweep w = {.dir = dir};
    enum err err = fs_list(dir, sweep_staged, &w);
    err = err == ERR_NONE ? w.err : err;
    if (err == ERR_NONE)
        err = fs_rmdir(dir);
    return err == ERR_NOT_FOUND ? ERR_NONE : err;
}
