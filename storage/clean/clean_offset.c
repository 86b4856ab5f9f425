/* The file cleaner-offset-checkpoint (clean_work.h). */
#include "storage/clean/clean_work.h"
#include "storage/log/folder.h"
#include "storage/log/segment.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { OFFSET_FILE_BYTES_MAX = 4096, OFFSET_LINE_BYTES_MAX = 512 };
#define OFFSET_HEAD "0\n1\n"

static bool clean_offset_path(char out[FS_PATH_MAX], const char *dir)
{
    assert(dir[0]);
    int n = snprintf(out, FS_PATH_MAX, "%s/" FOLDER_CLEANED, dir);
    return n > 0 && n < FS_PATH_MAX;
}

enum err clean_offset_save(const char *dir, const char *topic, int32_t partition, int64_t offset)
{
    assert(offset >= 0);
    char path[FS_PATH_MAX], text[OFFSET_LINE_BYTES_MAX];
    int n = snprintf(text, sizeof text, OFFSET_HEAD "%s %" PRId32 " %" PRId64 "\n", topic, partition, offset);
    assert(n > 0 && (size_t)n < sizeof text);
    return clean_offset_path(path, dir) ? segment_write_file(path, text, (size_t)n) : ERR_INVALID;
}

enum err clean_offset_begin(const char *dir, const char *topic, int32_t partition, int64_t offset)
{
    assert(offset >= 0);
    char path[FS_PATH_MAX];
    int fd;
    enum err err = clean_offset_path(path, dir) ? fs_open(path, FS_READ, &fd) : ERR_INVALID;
    if (err == ERR_NOT_FOUND)
        return clean_offset_save(dir, topic, partition, offset);
    if (!err)
        fs_close(fd);
    return err;
}

int64_t clean_offset_load(struct heap *heap, const char *dir)
{
    char path[FS_PATH_MAX];
    uint8_t *at;
    size_t bytes, head = strlen(OFFSET_HEAD);
    if (!clean_offset_path(path, dir) || segment_read_file(heap, path, OFFSET_FILE_BYTES_MAX, &at, &bytes))
        return -1;
    int64_t v = -1;
    size_t from = bytes;
    bool good = bytes > head && memcmp(at, OFFSET_HEAD, head) == 0 && at[bytes - 1] == '\n';
    while (good && from > head && at[from - 1] != ' ')
        from--;
    good = good && from > head && from < bytes - 1;
    for (v = good ? 0 : -1; good && from < bytes - 1; from++)
        good = at[from] >= '0' && at[from] <= '9' && !__builtin_mul_overflow(v, 10, &v) &&
               !__builtin_add_overflow(v, at[from] - '0', &v);
    heap_free(heap, at);
    return good ? v : -1;
}
