/* Names and small files of segments. */
#include "storage/log/segment.h"
#include "core/limits.h"
#include "storage/log/batch.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { NAME_DIGITS = 20 };

void segment_init(struct segment *s, struct heap *index_heap, int64_t base_offset, uint32_t segment_index_bytes)
{
    assert(base_offset >= 0);
    *s = (struct segment){.base_offset = base_offset,
                          .next_offset = base_offset,
                          .first_timestamp = -1,
                          .max_timestamp = -1,
                          .file = {.fd = -1, .slot = -1}};
    list_init(&s->link);
    list_init(&s->open_link);
    list_init(&s->index_link);
    index_init(&s->index, index_heap, base_offset, segment_index_bytes);
    aborted_init(&s->aborted, index_heap);
}

void segment_settle(struct segment *s, uint64_t from, uint64_t to)
{
    assert(from <= to);
    assert(from % PAGE_BYTES == 0 && to % PAGE_BYTES == 0);
    if (from <= s->settled) {
        s->settled = u64_max(s->settled, to);
    } else {
        s->zeroed_from = from == s->zeroed_to ? s->zeroed_from : from;
        s->zeroed_to = to;
    }
    if (s->zeroed_from <= s->settled)
        s->settled = u64_max(s->settled, s->zeroed_to);
}

void segment_unsettle(struct segment *s)
{
    assert(s->settled % PAGE_BYTES == 0);
    s->settled = s->zeroed_from = s->zeroed_to = 0;
}

bool segment_path(char out[FS_PATH_MAX], const char *dir, int64_t base_offset, const char *suffix)
{
    assert(base_offset >= 0);
    int n = snprintf(out, FS_PATH_MAX, "%s/%020" PRId64 "%s", dir, base_offset, suffix);
    return n > 0 && n < FS_PATH_MAX;
}

bool segment_parse_name(const char *name, const char *suffix, int64_t *out_base_offset)
{
    assert(name);
    assert(suffix);
    int64_t v = 0;
    for (uint32_t i = 0; i < NAME_DIGITS; i++) {
        if (name[i] < '0' || name[i] > '9')
            return false;
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, name[i] - '0', &v))
            return false;
    }
    if (strcmp(name + NAME_DIGITS, suffix) != 0)
        return false;
    *out_base_offset = v;
    return true;
}

static enum err write_new_file(const char *path, const void *at, size_t bytes, bool sync)
{
    int fd;
    enum err err = fs_open(path, FS_WRITE | FS_CREATE | FS_TRUNCATE, &fd);
    if (err)
        return err;
    if (bytes > 0) /* the name of an empty file is all there is to it: that is the folder's */
        err = fs_write(fd, at, bytes, 0);
    if (!err && bytes > 0 && sync)
        err = fs_sync(fd);
    fs_close(fd);
    return err;
}

enum err segment_put_file(const char *path, const void *at, size_t bytes, bool sync)
{
    assert(path);
    assert(at || !bytes);
    char temporary[FS_PATH_MAX];
    int n = snprintf(temporary, sizeof temporary, "%s.tmp", path);
    if (n < 0 || n >= FS_PATH_MAX)
        return ERR_INVALID;
    enum err err = write_new_file(temporary, at, bytes, sync);
    return err ? err : fs_rename(temporary, path);
}
enum err segment_write_file(const char *path, const void *at, size_t bytes)
{
    return segment_put_file(path, at, bytes, true);
}

static enum err read_whole_file(struct heap *heap, int fd, size_t max, uint8_t **out_at, size_t *out_bytes)
{
    assert(fd >= 0);
    uint64_t size;
    enum err err = fs_size(fd, &size);
    if (err)
        return err;
    if (size > max)
        return ERR_NO_MEMORY;
    uint8_t *at = heap_alloc(heap, size ? (size_t)size : 1);
    if (!at)
        return ERR_NO_MEMORY;
    err = fs_read(fd, at, (size_t)size, 0, out_bytes);
    if (err)
        heap_free(heap, at);
    else
        *out_at = at;
    return err;
}

enum err segment_read_file(struct heap *heap, const char *path, size_t max, uint8_t **out_at, size_t *out_bytes)
{
    int fd;
    enum err err = fs_open(path, FS_READ, &fd);
    if (err)
        return err;
    err = read_whole_file(heap, fd, max, out_at, out_bytes);
    fs_close(fd);
    return err;
}

enum err segment_put_index(const char *dir, const struct segment *s, bool sync)
{
    assert(s->index.base_offset == s->base_offset);
    char path[FS_PATH_MAX];
    const struct index *ix = &s->index;
    if (!segment_path(path, dir, s->base_offset, ".index"))
        return ERR_INVALID;
    enum err err = segment_put_file(path, ix->offsets, (size_t)ix->offset_count * INDEX_OFFSET_BYTES, sync);
    if (err)
        return err;
    if (!segment_path(path, dir, s->base_offset, ".timeindex"))
        return ERR_INVALID;
    return segment_put_file(path, ix->times, (size_t)ix->time_count * INDEX_TIME_BYTES, sync);
}
enum err segment_save_index(const char *dir, const struct segment *s)
{
    return segment_put_index(dir, s, true);
}

enum err segment_put_aborted(const char *dir, const struct segment *s, bool sync)
{
    assert(s->base_offset >= 0);
    char path[FS_PATH_MAX];
    size_t bytes = aborted_file_bytes(&s->aborted);
    if (!bytes && !s->aborted_file)
        return ERR_NONE;
    if (!segment_path(path, dir, s->base_offset, ".txnindex"))
        return ERR_INVALID;
    enum err err = ERR_NONE;
    if (bytes) {
        struct heap *heap = heap_open(); /* a job's: the segment's is the shard's */
        uint8_t *at = heap ? heap_alloc(heap, bytes) : NULL;
        if (at)
            aborted_encode(&s->aborted, 0, s->aborted.count, at);
        err = at ? segment_put_file(path, at, bytes, sync) : ERR_NO_MEMORY;
        if (heap) {
            heap_free(heap, at);
            heap_close(heap);
        }
    } else {
        err = fs_unlink(path);
        err = err == ERR_NOT_FOUND ? ERR_NONE : err;
    }
    /* It is there before whatever says that the segment is saved: a missing one cannot be told from none. */
    return !err && sync ? fs_sync_dir(dir) : err;
}

enum err segment_read_index(struct heap *heap, const char *dir, int64_t base_offset, struct segment_index_files *out)
{
    char path[FS_PATH_MAX];
    struct segment_index_files f = {.heap = heap};
    if (!segment_path(path, dir, base_offset, ".index"))
        return ERR_INVALID;
    enum err err = segment_read_file(heap, path, SEGMENT_INDEX_BYTES_MAX, &f.offsets, &f.offset_bytes);
    if (err)
        return err;
    err = segment_path(path, dir, base_offset, ".timeindex")
              ? segment_read_file(heap, path, SEGMENT_INDEX_BYTES_MAX, &f.times, &f.time_bytes)
              : ERR_INVALID;
    if (err)
        heap_free(heap, f.offsets);
    else
        *out = f;
    return err;
}
void segment_index_files_free(struct segment_index_files *f)
{
    heap_free(f->heap, f->offsets);
    heap_free(f->heap, f->times);
    f->offsets = f->times = NULL;
}

enum err segment_load_index(const char *dir, struct segment *s)
{
    assert(s->index.heap);
    assert(s->index.base_offset == s->base_offset);
    struct segment_index_files f;
    enum err err = segment_read_index(s->index.heap, dir, s->base_offset, &f);
    if (err)
        return err == ERR_NOT_FOUND ? ERR_CORRUPT : err;
    err = index_load(&s->index, f.offsets, (uint32_t)f.offset_bytes, f.times, (uint32_t)f.time_bytes,
                     (uint32_t)u64_min(s->bytes, UINT32_MAX));
    segment_index_files_free(&f);
    if (!err) {
        s->index_loaded = true;
        s->max_timestamp = s->index.max_timestamp;
    }
    return err;
}

static enum err read_end_of_file(const char *path, void *to, size_t bytes, bool *out_whole)
{
    int fd;
    uint64_t size = 0;
    size_t got = 0;
    enum err err = fs_open(path, FS_READ, &fd);
    if (err)
        return err;
    err = fs_size(fd, &size);
    *out_whole = size >= bytes && size % bytes == 0;
    if (!err && *out_whole)
        err = fs_read(fd, to, bytes, size - bytes, &got);
    fs_close(fd);
    return !err && *out_whole && got < bytes ? ERR_CORRUPT : err;
}

static enum err read_first_timestamp(const char *path, int64_t *out_first)
{
    int fd;
    uint8_t head[BATCH_HEADER_BYTES];
    size_t got = 0;
    struct batch b;
    enum err err = fs_open(path, FS_READ, &fd);
    if (err)
        return err;
    err = fs_read(fd, head, sizeof head, 0, &got);
    fs_close(fd);
    if (!err && !batch_parse(head, got, &b))
        err = ERR_CORRUPT;
    if (!err)
        *out_first = b.max_timestamp;
    return err;
}

enum err segment_read_times(const char *dir, int64_t base_offset, int64_t *out_first, int64_t *out_max,
                            int64_t *out_max_offset)
{
    char path[FS_PATH_MAX];
    uint8_t last[INDEX_TIME_BYTES];
    bool whole = false;
    if (!segment_path(path, dir, base_offset, ".timeindex"))
        return ERR_INVALID;
    enum err err = read_end_of_file(path, last, sizeof last, &whole);
    if (err || !whole)
        return err ? err : ERR_CORRUPT; /* an empty one is no proof that there are no timestamps */
    int64_t timestamp = (int64_t)be64_get(last), offset = base_offset + be32_get(last + 8);
    if (timestamp < 0 || offset - base_offset > INT32_MAX)
        return ERR_CORRUPT;
    if (!segment_path(path, dir, base_offset, ".log"))
        return ERR_INVALID;
    err = read_first_timestamp(path, out_first);
    if (err)
        return err;
    *out_max = timestamp;
    *out_max_offset = offset;
    return ERR_NONE;
}
