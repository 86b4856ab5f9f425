/* What a deletion left behind: the catalog forgot a topic before its folders were gone (root.h). A folder is known by the
 * topic id in its partition.metadata, which a deletion removes last. */
#include "core/log.h"
#include "storage/root.h"
#include "storage/uuid.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { METADATA_BYTES_MAX = 4096 };

struct sweep {
    const struct root *root;
    enum err err;
};

/* "<topic>-<n>": what a partition's folder is called. */
static bool partition_name(const char *name)
{
    const char *dash = strrchr(name, '-');
    return dash && dash[1] && strspn(dash + 1, "0123456789") == strlen(dash + 1) &&
           topic_name_legal((const uint8_t *)name, (size_t)(dash - name));
}

static bool metadata_parse(const char *text, uint8_t out_id[16])
{
    const char *at = strstr(text, "topic_id:");
    if (!at)
        return false;
    at += strlen("topic_id:");
    at += strspn(at, " ");
    return uuid_parse(at, strcspn(at, " \r\n"), out_id);
}

static bool metadata_read(const char *dir, uint8_t out_id[16])
{
    char path[FS_PATH_MAX], text[METADATA_BYTES_MAX + 1];
    size_t bytes = 0;
    int fd;
    int n = snprintf(path, sizeof path, "%s/partition.metadata", dir);
    if (n < 0 || (size_t)n >= sizeof path || fs_open(path, FS_READ, &fd) != ERR_NONE)
        return false;
    enum err err = fs_read(fd, text, METADATA_BYTES_MAX, 0, &bytes);
    fs_close(fd);
    text[bytes] = 0;
    return err == ERR_NONE && metadata_parse(text, out_id);
}

/* --- removing one folder --- */

struct removal {
    const char *dir;
    enum err err;
};

static bool remove_file(void *arg, const struct fs_entry *entry)
{
    struct removal *r = arg;
    char path[FS_PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", r->dir, entry->name);
    if (entry->folder || n < 0 || (size_t)n >= sizeof path || strcmp(entry->name, "partition.metadata") == 0)
        return true;
    enum err err = fs_unlink(path);
    if (err != ERR_NONE)
        r->err = err;
    return true;
}

static enum err remove_folder(const char *dir)
{
    struct removal r = {.dir = dir};
    char path[FS_PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/partition.metadata", dir);
    assert(n > 0 && (size_t)n < sizeof path); /* it was read */
    enum err err = fs_list(dir, remove_file, &r);
    if (err == ERR_NONE)
        err = r.err;
    if (err == ERR_NONE)
        err = fs_sync_dir(dir);
    if (err == ERR_NONE)
        err = fs_unlink(path);
    return err != ERR_NONE ? err : fs_rmdir(dir);
}

/* --- all of them --- */

static bool sweep_one(void *arg, const struct fs_entry *entry)
{
    struct sweep *s = arg;
    const struct catalog_file *catalog = s->root->catalog;
    char dir[FS_PATH_MAX];
    uint8_t id[16];
    int n = snprintf(dir, sizeof dir, "%s/%s", s->root->config->data_dir, entry->name);
    if (!entry->folder || n < 0 || (size_t)n >= sizeof dir || !partition_name(entry->name) || !metadata_read(dir, id))
        return true;
    if (!catalog_file_knew(catalog, id) || catalog_file_lives(catalog, id))
        return true;
    enum err err = remove_folder(dir);
    log_info("deleted topic removed", "folder=%s result=\"%s\"", dir, err_text(err));
    if (err != ERR_NONE)
        s->err = err;
    return true;
}

enum err root_sweep(const struct root *r)
{
    struct sweep s = {.root = r};
    enum err err = fs_list(r->config->data_dir, sweep_one, &s);
    return err != ERR_NONE ? err : s.err;
}
