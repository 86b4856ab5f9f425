/* The file log-start-offset-checkpoint (log_start.h). */
#include "storage/log/log_start.h"
#include "storage/log/segment.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { FILE_BYTES_MAX = 4096, LINE_BYTES_MAX = 512 };
#define HEAD "0\n1\n"

static bool log_start_path(char out[FS_PATH_MAX], const char *dir)
{
    assert(dir);
    int n = snprintf(out, FS_PATH_MAX, "%s/log-start-offset-checkpoint", dir);
    return n > 0 && n < FS_PATH_MAX;
}

/* False: there is no such file yet, or it is of another length. */
static bool overwrite_log_start(const char *path, const char *text, size_t bytes, enum err *out_err)
{
    assert(bytes <= LINE_BYTES_MAX);
    int fd;
    uint64_t size = 0;
    if (fs_open(path, FS_WRITE | FS_OWN, &fd) != ERR_NONE)
        return false;
    bool same = fs_size(fd, &size) == ERR_NONE && size == bytes;
    if (same)
        *out_err = fs_write(fd, text, bytes, 0);
    if (same && *out_err == ERR_NONE)
        *out_err = fs_sync(fd);
    fs_close(fd);
    return same;
}

enum err log_start_save(const char *dir, const char *topic, int32_t partition, int64_t offset)
{
    assert(offset >= 0);
    char path[FS_PATH_MAX], text[LINE_BYTES_MAX];
    int n = snprintf(text, sizeof text, HEAD "%s %" PRId32 " %020" PRId64 "\n", topic, partition, offset);
    assert(n > 0 && (size_t)n < sizeof text);
    if (!log_start_path(path, dir))
        return ERR_INVALID;
    enum err err;
    if (overwrite_log_start(path, text, (size_t)n, &err))
        return err;
    err = segment_write_file(path, text, (size_t)n);
    return err ? err : fs_sync_dir(dir);
}

enum err log_start_sync(const char *dir)
{
    char path[FS_PATH_MAX];
    int fd;
    if (!log_start_path(path, dir))
        return ERR_INVALID;
    enum err err = fs_open(path, FS_READ, &fd);
    if (err != ERR_NONE)
        return err;
    err = fs_sync(fd);
    fs_close(fd);
    return err;
}

/* The number between the line's last blank and its end. */
static bool parse_log_start(const char *text, size_t bytes, int64_t *out_offset)
{
    int64_t v = 0;
    size_t head = strlen(HEAD), at = bytes;
    if (bytes <= head || memcmp(text, HEAD, head) != 0 || text[bytes - 1] != '\n')
        return false;
    while (at > head && text[at - 1] != ' ')
        at--;
    if (at == head || at == bytes - 1)
        return false;
    for (; at < bytes - 1; at++) {
        if (text[at] < '0' || text[at] > '9' || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, text[at] - '0', &v))
            return false;
    }
    assert(v >= 0);
    *out_offset = v;
    return true;
}

enum err log_start_load(struct heap *heap, const char *dir, int64_t *out_offset)
{
    char path[FS_PATH_MAX];
    uint8_t *at;
    size_t bytes;
    if (!log_start_path(path, dir))
        return ERR_INVALID;
    enum err err = segment_read_file(heap, path, FILE_BYTES_MAX, &at, &bytes);
    if (err)
        return err;
    bool good = parse_log_start((const char *)at, bytes, out_offset);
    heap_free(heap, at);
    return good ? ERR_NONE : ERR_CORRUPT;
}
