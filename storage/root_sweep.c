/* What stands in the data folder beside the catalog (root.h): what a deletion left behind goes, since the catalog forgot a topic
 * before its folders were gone; what the catalog has never known is noted and left alone. A folder is known by the topic id in its
 * partition.metadata, which a deletion removes last. */
#include "core/log.h"
#include "storage/catalog/catalog_file.h"
#include "storage/log/folder.h"
#include "storage/log/partition_dir.h"
#include "storage/root.h"
#include <stdio.h>
#include <string.h>

struct sweep {
    const struct root *root;
    uint32_t strays;
    enum err err;
};

/* A folder without an id is a partition's when the catalog has that partition. */
static bool is_partition_expected(const struct catalog_file *f, const char *name, size_t topic_bytes, int32_t partition)
{
    assert(partition >= 0);
    const struct topic *t = catalog_by_name(&f->all, (const uint8_t *)name, topic_bytes);
    return t && partition < t->partitions;
}

static enum err sweep_deleted(const char *dir, const uint8_t topic_id[16])
{
    assert(dir);
    enum err err = partition_dir_delete(dir, topic_id);
    log_info("deleted topic removed", "folder=%s result=\"%s\"", dir, err_text(err));
    return err;
}

static bool sweep_entry(void *arg, const struct fs_entry *entry)
{
    struct sweep *s = arg;
    assert(s->root->catalog);
    struct catalog_file *catalog = s->root->catalog;
    char dir[FS_PATH_MAX];
    uint8_t id[16];
    size_t topic_bytes = 0;
    int n = snprintf(dir, sizeof dir, "%s/%s", s->root->config->data_dir, entry->name);
    int32_t partition = strays_partition_of(entry->name, &topic_bytes);
    if (!entry->folder || n < 0 || (size_t)n >= sizeof dir ||
        (partition < 0 && !folder_name_ends(entry->name, PARTITION_DIR_STRAY)))
        return true;
    bool named = partition_dir_topic(dir, id), known = named && catalog_file_knew(catalog, id);
    enum err err = ERR_NONE;
    if (known && !catalog_file_lives(catalog, id)) {
        err = sweep_deleted(dir, id);
    } else if (partition >= 0 && !known &&
               (named || !is_partition_expected(catalog, entry->name, topic_bytes, partition))) {
        s->strays++;
        err = strays_add(&catalog->strays, entry->name);
    }
    if (err != ERR_NONE)
        s->err = err;
    return true;
}

enum err root_sweep(const struct root *r)
{
    assert(r->catalog);
    struct sweep s = {.root = r};
    enum err err = fs_list(r->config->data_dir, sweep_entry, &s);
    if (s.strays > 0)
        log_warn("unknown folders", "data=%s count=%u effect=\"the catalog does not know them: they are left alone\"",
                 r->config->data_dir, s.strays);
    return err != ERR_NONE ? err : s.err;
}
