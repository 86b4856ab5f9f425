/* Blocks allocated beforehand (ballast.h). */
#include "storage/log/ballast.h"
#include "core/limits.h"
#include <stdio.h>

bool ballast_init(struct ballast *b, const char *data_dir, uint16_t shard)
{
    assert(data_dir);
    atomic_init(&b->wanted, 0);
    atomic_init(&b->bytes, 0);
    int n = snprintf(b->path, sizeof b->path, "%s/reserve-%u", data_dir, shard);
    return n > 0 && (size_t)n < sizeof b->path;
}

enum err ballast_fill(struct ballast *b, uint64_t wanted)
{
    assert(wanted > 0 && wanted % PAGE_BYTES == 0);
    int fd;
    if (atomic_load(&b->wanted) == wanted && !ballast_is_short(b))
        return ERR_NONE;
    enum err err = fs_open(b->path, FS_WRITE | FS_CREATE | FS_OWN, &fd);
    if (err != ERR_NONE)
        return err;
    err = fs_allocate(fd, 0, wanted);
    if (err == ERR_NONE)
        err = fs_sync(fd);
    fs_close(fd);
    if (err == ERR_NONE)
        atomic_store(&b->bytes, wanted);
    if (err == ERR_NONE || (err == ERR_NO_SPACE && atomic_load(&b->wanted) > 0))
        atomic_store(&b->wanted, wanted);
    return err;
}

bool ballast_give(struct ballast *b, uint64_t bytes)
{
    assert(bytes > 0);
    int fd;
    uint64_t had = atomic_load(&b->bytes), left;
    do {
        if (had == 0)
            return false;
        left = had > bytes ? align_down(had - bytes, PAGE_BYTES) : 0;
    } while (!atomic_compare_exchange_weak(&b->bytes, &had, left));
    if (fs_open(b->path, FS_WRITE, &fd) != ERR_NONE)
        return false;
    enum err err = fs_truncate(fd, left);
    fs_close(fd);
    return err == ERR_NONE;
}
