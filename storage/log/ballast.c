/* Blocks allocated beforehand (ballast.h). */
#include "storage/log/ballast.h"
#include "core/limits.h"
#include <stdio.h>

bool ballast_init(struct ballast *b, const char *data_dir, uint16_t shard, struct ballast_level *level)
{
    assert(data_dir && level);
    b->level = level;
    atomic_store(&level->wanted, 0);
    atomic_store(&level->bytes, 0);
    atomic_init(&b->giving, 0);
    int n = snprintf(b->path, sizeof b->path, "%s/reserve-%u", data_dir, shard);
    return n > 0 && (size_t)n < sizeof b->path;
}

void ballast_remove_strays(const char *data_dir, uint16_t shards)
{
    assert(shards > 0 && shards <= SHARDS_MAX);
    struct ballast b;
    struct ballast_level level;
    for (uint16_t i = shards; i < SHARDS_MAX; i++)
        if (ballast_init(&b, data_dir, i, &level))
            err_ignore(fs_unlink(b.path)); /* mostly there is none */
}

/* What was given meanwhile is not there any more, whatever was allocated: it stays short, and is filled again. */
static void note_filled(struct ballast *b, uint64_t had, uint64_t wanted, uint64_t has)
{
    assert(has <= wanted);
    if (atomic_load(&b->giving) == 0)
        (void)atomic_compare_exchange_strong(&b->level->bytes, &had, has);
    atomic_store(&b->level->wanted, wanted);
}

enum err ballast_fill(struct ballast *b, uint64_t wanted)
{
    assert(wanted > 0 && wanted % PAGE_BYTES == 0);
    int fd;
    if (atomic_load(&b->level->wanted) == wanted && !ballast_is_short(b->level))
        return ERR_NONE;
    uint64_t had = atomic_load(&b->level->bytes), has = 0;
    if (atomic_load(&b->giving) > 0)
        return ERR_BUSY;
    enum err err = fs_open(b->path, FS_WRITE | FS_CREATE | FS_OWN, &fd);
    if (err != ERR_NONE)
        return err;
    err = fs_allocate(fd, 0, wanted);
    if (err == ERR_NONE)
        err = fs_sync(fd);
    if (err == ERR_NO_SPACE && fs_size(fd, &has) != ERR_NONE)
        has = 0;
    fs_close(fd);
    if (err == ERR_NONE)
        note_filled(b, had, wanted, wanted);
    else if (err == ERR_NO_SPACE && (has > 0 || atomic_load(&b->level->wanted) > 0))
        note_filled(b, had, wanted, u64_min(align_down(has, PAGE_BYTES), wanted));
    return err;
}

void ballast_forget(struct ballast *b)
{
    assert(b->level);
    atomic_store(&b->level->wanted, 0);
}

static bool shorten_ballast(const struct ballast *b, uint64_t left)
{
    assert(left % PAGE_BYTES == 0);
    int fd;
    if (fs_open(b->path, FS_WRITE | FS_OWN, &fd) != ERR_NONE)
        return false;
    enum err err = fs_truncate(fd, left);
    fs_close(fd);
    return err == ERR_NONE;
}

bool ballast_give(struct ballast *b, uint64_t bytes)
{
    assert(bytes > 0);
    uint64_t had, left;
    atomic_fetch_add(&b->giving, 1);
    had = atomic_load(&b->level->bytes);
    do
        left = had > bytes ? align_down(had - bytes, PAGE_BYTES) : 0;
    while (had > 0 && !atomic_compare_exchange_weak(&b->level->bytes, &had, left));
    bool given = had > 0 && shorten_ballast(b, left);
    atomic_fetch_sub(&b->giving, 1);
    return given;
}
