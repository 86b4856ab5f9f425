/* The file system of core/fs_os.c, of which chosen calls fail (faulty_heap.h counts them); nothing is synced, as nobody pulls the plug. A
 * write that fails is torn. Include it first. */
#pragma once
#include "tests/unit/faulty_heap.h"

#define fs_open real_fs_open
#define fs_read real_fs_read
#define fs_write real_fs_write
#define fs_sync real_fs_sync
#define fs_sync_dir real_fs_sync_dir
#define fs_truncate real_fs_truncate
#define fs_size real_fs_size
#define fs_rename real_fs_rename
#define fs_unlink real_fs_unlink
#define fs_list real_fs_list
#define fs_drop_cache real_fs_drop_cache
#include "core/fs_os.c"
#undef fs_open
#undef fs_read
#undef fs_write
#undef fs_sync
#undef fs_sync_dir
#undef fs_truncate
#undef fs_size
#undef fs_rename
#undef fs_unlink
#undef fs_list
#undef fs_drop_cache

enum err fs_open(const char *path, unsigned flags, int *out_fd) must_use;
enum err fs_read(int fd, void *at, size_t bytes, uint64_t off, size_t *out_bytes) must_use;
enum err fs_write(int fd, const void *at, size_t bytes, uint64_t off) must_use;
enum err fs_sync(int fd) must_use;
enum err fs_sync_dir(const char *path) must_use;
enum err fs_truncate(int fd, uint64_t bytes) must_use;
enum err fs_size(int fd, uint64_t *out_bytes) must_use;
enum err fs_rename(const char *from, const char *to) must_use;
enum err fs_unlink(const char *path) must_use;
enum err fs_list(const char *path, bool (*each)(void *arg, const struct fs_entry *entry), void *arg) must_use;

void fs_drop_cache(int fd);
void fs_drop_cache(int fd)
{
    (void)fd; /* it would write dirty pages */
}

static enum err faulty_fs_error = ERR_IO; /* what fails otherwise than by its nature */

enum err fs_open(const char *path, unsigned flags, int *out_fd)
{
    return fails() ? ERR_TOO_MANY_FILES : real_fs_open(path, flags, out_fd);
}
enum err fs_read(int fd, void *at, size_t bytes, uint64_t off, size_t *out_bytes)
{
    return fails() ? ERR_IO : real_fs_read(fd, at, bytes, off, out_bytes);
}
enum err fs_write(int fd, const void *at, size_t bytes, uint64_t off)
{
    if (!fails())
        return real_fs_write(fd, at, bytes, off);
    err_ignore(real_fs_write(fd, at, bytes / 2, off)); /* torn */
    return ERR_NO_SPACE;
}
static void (*before_sync)(int fd); /* NULL: nobody looks */
enum err fs_sync(int fd)
{
    if (before_sync)
        before_sync(fd);
    return fails() ? faulty_fs_error : ERR_NONE;
}
static unsigned synced_dirs; /* how often a folder was */
enum err fs_sync_dir(const char *path)
{
    (void)path;
    synced_dirs++;
    return fails() ? faulty_fs_error : ERR_NONE;
}
enum err fs_truncate(int fd, uint64_t bytes)
{
    return fails() ? faulty_fs_error : real_fs_truncate(fd, bytes);
}
enum err fs_size(int fd, uint64_t *out_bytes)
{
    return fails() ? faulty_fs_error : real_fs_size(fd, out_bytes);
}
static void (*before_rename)(const char *from, const char *to); /* NULL: nobody looks */
enum err fs_rename(const char *from, const char *to)
{
    if (before_rename)
        before_rename(from, to);
    return fails() ? faulty_fs_error : real_fs_rename(from, to);
}
enum err fs_unlink(const char *path)
{
    return fails() ? faulty_fs_error : real_fs_unlink(path);
}
enum err fs_list(const char *path, bool (*each)(void *arg, const struct fs_entry *entry), void *arg)
{
    return fails() ? faulty_fs_error : real_fs_list(path, each, arg);
}
