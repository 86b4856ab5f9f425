/* What a deletion left behind: the catalog forgot a topic before its folders were gone (root.h). A folder is known by the
 * topic id in its partition.metadata, which a deletion removes last. */
#include "core/log.h"
#include "storage/log/partition_dir.h"
#include "storage/root.h"
#include <stdio.h>
#include <string.h>

struct sweep {
    const struct root *root;
    enum err err;
};

/* "<topic>-<n>": what a partition's folder is called. */
static bool is_partition_name(const char *name)
{
    const char *dash = strrchr(name, '-');
    return dash && dash[1] && strspn(dash + 1, "0123456789") == strlen(dash + 1) &&
           topic_name_legal((const uint8_t *)name, (size_t)(dash - name));
}

static bool sweep_entry(void *arg, const struct fs_entry *entry)
{
    struct sweep *s = arg;
    const struct catalog_file *catalog = s->root->catalog;
    char dir[FS_PATH_MAX];
    uint8_t id[16];
    int n = snprintf(dir, sizeof dir, "%s/%s", s->root->config->data_dir, entry->name);
    if (!entry->folder || n < 0 || (size_t)n >= sizeof dir || !is_partition_name(entry->name) ||
        !partition_dir_topic(dir, id))
        return true;
    if (!catalog_file_knew(catalog, id) || catalog_file_lives(catalog, id))
        return true;
    enum err err = partition_dir_delete(dir);
    log_info("deleted topic removed", "folder=%s result=\"%s\"", dir, err_text(err));
    if (err != ERR_NONE)
        s->err = err;
    return true;
}

enum err root_sweep(const struct root *r)
{
    struct sweep s = {.root = r};
    enum err err = fs_list(r->config->data_dir, sweep_entry, &s);
    return err != ERR_NONE ? err : s.err;
}
