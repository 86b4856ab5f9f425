/* meta.properties (meta.h). */
#include "storage/catalog/meta.h"
#include "core/config.h"
#include "storage/config/config_value.h"
#include <stdio.h>
#include <string.h>

enum { META_BYTES_MAX = 64 * 1024 };

static void make_meta_path(char out[FS_PATH_MAX], const char *data_dir, const char *name)
{
    int n = snprintf(out, FS_PATH_MAX, "%s/%s", data_dir, name);
    assert(n > 0 && n < FS_PATH_MAX);
}

struct reading {
    struct meta *meta;
    bool bad;
};

/* Keys that we do not know are Kafka's business. */
static bool take_meta_pair(void *arg, const char *key, const char *value, uint32_t line)
{
    (void)line;
    struct reading *r = arg;
    struct meta *m = r->meta;
    if (strcmp(key, "cluster.id") == 0 && strlen(value) < sizeof m->cluster_id)
        memcpy(m->cluster_id, value, strlen(value) + 1);
    else if (strcmp(key, "cluster.id") == 0)
        r->bad = true;
    else if (strcmp(key, "node.id") == 0 || strcmp(key, "broker.id") == 0)
        r->bad |= !config_to_i64(value, &m->node_id);
    else if (strcmp(key, "version") == 0)
        r->bad |= !config_to_i64(value, &m->version);
    else if (strcmp(key, "odradek.format") == 0)
        r->bad |= !config_to_i64(value, &m->format);
    else if (strcmp(key, "odradek.retention") == 0)
        r->bad |= !config_to_i64(value, &m->retention);
    return true;
}

static enum err parse_meta(char *text, size_t bytes, struct meta *out)
{
    assert(text && out);
    struct meta m = {.node_id = -1, .version = -1, .format = -1, .retention = -1};
    struct reading r = {.meta = &m};
    uint32_t line;
    enum err err = config_parse(text, bytes, take_meta_pair, &r, &line);
    if (err != ERR_NONE || r.bad || m.version < 0 || !m.cluster_id[0])
        return ERR_CORRUPT;
    *out = m;
    return ERR_NONE;
}

enum err meta_load(struct heap *heap, const char *data_dir, struct meta *out)
{
    assert(heap && data_dir && out);
    char path[FS_PATH_MAX];
    int fd;
    size_t bytes = 0;
    make_meta_path(path, data_dir, "meta.properties");
    enum err err = fs_open(path, FS_READ, &fd);
    if (err != ERR_NONE)
        return err;
    char *text = heap_alloc(heap, META_BYTES_MAX + 1);
    err = text ? fs_read(fd, text, META_BYTES_MAX, 0, &bytes) : ERR_NO_MEMORY;
    fs_close(fd);
    if (err == ERR_NONE)
        err = parse_meta(text, bytes, out);
    heap_free(heap, text);
    return err;
}

static enum err write_meta_file(const char *path, const char *text, size_t bytes, bool sync)
{
    assert(bytes > 0);
    int fd;
    enum err err = fs_open(path, FS_WRITE | FS_CREATE | FS_TRUNCATE, &fd);
    if (err != ERR_NONE)
        return err;
    err = fs_write(fd, text, bytes, 0);
    if (err == ERR_NONE && sync)
        err = fs_sync(fd);
    fs_close(fd);
    return err;
}

enum err meta_save(const char *data_dir, const struct meta *m, bool sync)
{
    char path[FS_PATH_MAX], temporary[FS_PATH_MAX], text[256];
    make_meta_path(path, data_dir, "meta.properties");
    make_meta_path(temporary, data_dir, "meta.properties.tmp");
    int n = snprintf(text, sizeof text, "version=%lld\ncluster.id=%s\nnode.id=%lld\nodradek.format=%lld\n",
                     (long long)m->version, m->cluster_id, (long long)m->node_id, (long long)m->format);
    assert(n > 0 && (size_t)n < sizeof text);
    if (m->retention > 0)
        n += snprintf(text + n, sizeof text - (size_t)n, "odradek.retention=%lld\n", (long long)m->retention);
    assert((size_t)n < sizeof text);
    enum err err = write_meta_file(temporary, text, (size_t)n, sync);
    if (err == ERR_NONE)
        err = fs_rename(temporary, path);
    return err == ERR_NONE && sync ? fs_sync_dir(data_dir) : err;
}
