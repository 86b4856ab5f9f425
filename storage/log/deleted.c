/* Files of segments that left their log (deleted.h). */
#include "storage/log/deleted.h"
#include "storage/log/folder.h"
#include <inttypes.h>
#include <stdio.h>

static const char *const suffixes[] = {".snapshot", ".timeindex", ".index", ".txnindex", ".log"};

static enum err rename_deleted_file(const char *dir, int64_t base_offset, const char *suffix)
{
    assert(suffix[0] == '.');
    char from[FS_PATH_MAX], to[FS_PATH_MAX];
    int n = snprintf(from, sizeof from, "%s/%020" PRId64 "%s", dir, base_offset, suffix);
    int m = snprintf(to, sizeof to, "%s/%020" PRId64 "%s.deleted", dir, base_offset, suffix);
    if (n < 0 || n >= FS_PATH_MAX || m < 0 || m >= FS_PATH_MAX)
        return ERR_INVALID;
    enum err err = fs_rename(from, to);
    return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

enum err deleted_rename(const char *dir, int64_t base_offset, bool snapshot)
{
    assert(dir);
    assert(base_offset >= 0);
    enum err err = ERR_NONE;
    for (size_t i = snapshot ? 0 : 1; i < COUNT_OF(suffixes) && err == ERR_NONE; i++)
        err = rename_deleted_file(dir, base_offset, suffixes[i]);
    return err;
}

enum err deleted_unlink(const char *dir, int64_t base_offset)
{
    assert(dir);
    assert(base_offset >= 0);
    enum err err = ERR_NONE;
    for (size_t i = 0; i < COUNT_OF(suffixes) && err == ERR_NONE; i++) {
        char name[64];
        snprintf(name, sizeof name, "%020" PRId64 "%s.deleted", base_offset, suffixes[i]);
        err = folder_remove(dir, name);
    }
    return err;
}
