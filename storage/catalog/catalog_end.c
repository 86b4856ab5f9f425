/* The number of a wave that was answered (catalog_file.h). */
#include "core/bytes.h"
#include "core/crc.h"
#include "storage/catalog/catalog_file.h"
#include <stdio.h>
#include <string.h>

#define END_HEADER "odradek catalog end 1\n"
enum { END_HEADER_BYTES = 22, END_BYTES = END_HEADER_BYTES + 8 };
static_assert(sizeof END_HEADER - 1 == END_HEADER_BYTES, "the header is as long as its text");

static enum err make_end_path(char out[FS_PATH_MAX], const char *data_dir, const char *name)
{
    assert(data_dir && name);
    int n = snprintf(out, FS_PATH_MAX, "%s/%s", data_dir, name);
    return n > 0 && n < FS_PATH_MAX ? ERR_NONE : ERR_INVALID;
}

enum err catalog_end_load(const char *data_dir, uint32_t *out_wave)
{
    assert(out_wave);
    char path[FS_PATH_MAX];
    uint8_t at[END_BYTES + 1];
    size_t got = 0;
    int fd;
    *out_wave = 0;
    enum err err = make_end_path(path, data_dir, "catalog.end");
    if (err == ERR_NONE)
        err = fs_open(path, FS_READ, &fd);
    if (err != ERR_NONE)
        return err == ERR_NOT_FOUND ? ERR_NONE : err;
    err = fs_read(fd, at, sizeof at, 0, &got);
    fs_close(fd);
    if (err == ERR_NONE && got == END_BYTES && memcmp(at, END_HEADER, END_HEADER_BYTES) == 0 &&
        be32_get(at + END_BYTES - 4) == crc32c(0, at, END_BYTES - 4))
        *out_wave = be32_get(at + END_HEADER_BYTES);
    return err;
}

enum err catalog_end_save(const char *data_dir, uint32_t wave)
{
    char path[FS_PATH_MAX], temporary[FS_PATH_MAX];
    uint8_t at[END_BYTES];
    int fd;
    assert(wave > 0);
    memcpy(at, END_HEADER, END_HEADER_BYTES);
    be32_put(at + END_HEADER_BYTES, wave);
    be32_put(at + END_BYTES - 4, crc32c(0, at, END_BYTES - 4));
    enum err err = make_end_path(path, data_dir, "catalog.end");
    if (err == ERR_NONE)
        err = make_end_path(temporary, data_dir, "catalog.end.tmp");
    if (err == ERR_NONE)
        err = fs_open(temporary, FS_WRITE | FS_CREATE | FS_TRUNCATE, &fd);
    if (err != ERR_NONE)
        return err;
    err = fs_write(fd, at, sizeof at, 0);
    if (err == ERR_NONE)
        err = fs_sync(fd);
    fs_close(fd);
    return err == ERR_NONE ? fs_rename(temporary, path) : err;
}
