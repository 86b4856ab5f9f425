/* The catalog's file at the start of the broker: opening, cutting, rewriting it; and what is known of all topics, which only
 * shard 0 changes later on (catalog_writer.c). */
#include "storage/catalog/catalog_file.h"
#include "core/log.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 1 << 30, REWRITE_BYTES_MIN = 64 * 1024, FOLDERS_MAX = 64 };

/* --- topics --- */

void catalog_plain_name(const char *name, char out[TOPIC_NAME_MAX + 1])
{
    size_t bytes = strlen(name);
    assert(bytes <= TOPIC_NAME_MAX);
    for (size_t i = 0; i <= bytes; i++)
        out[i] = name[i] == '.' ? '_' : name[i];
}

static int compare_override(const void *a, const void *b)
{
    const struct topic_override *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static size_t measure_overrides(const struct topic_override *overrides, uint32_t count)
{
    size_t bytes = count * sizeof *overrides;
    for (uint32_t i = 0; i < count; i++)
        bytes += strlen(overrides[i].name) + strlen(overrides[i].value) + 2;
    return bytes;
}

/* Copies them behind the topic: the array, then the texts. */
static void copy_overrides(struct topic *t, uint8_t *room, const struct topic_override *overrides, uint32_t count)
{
    char *text = (char *)room + count * sizeof *overrides;
    t->overrides = (struct topic_override *)(void *)room;
    t->override_count = count;
    for (uint32_t i = 0; i < count; i++) {
        size_t name_bytes = strlen(overrides[i].name) + 1, value_bytes = strlen(overrides[i].value) + 1;
        memcpy(text, overrides[i].name, name_bytes);
        memcpy(text + name_bytes, overrides[i].value, value_bytes);
        t->overrides[i] = (struct topic_override){text, text + name_bytes};
        text += name_bytes + value_bytes;
    }
    if (count > 1)
        qsort(t->overrides, count, sizeof *t->overrides, compare_override);
}

static struct topic *make_topic_object(struct catalog_file *f, const uint8_t id[16], const char *name,
                                       int32_t partitions, const struct topic_override *overrides, uint32_t count,
                                       const struct broker_config *config)
{
    assert(partitions > 0 && strlen(name) <= TOPIC_NAME_MAX);
    size_t head = align_up(sizeof(struct catalog_topic), 16);
    uint8_t *room = heap_zalloc(f->heap, head + measure_overrides(overrides, count));
    if (!room)
        return NULL;
    struct catalog_topic *ct = (struct catalog_topic *)(void *)room;
    memcpy(ct->topic.name, name, strlen(name));
    memcpy(ct->topic.id, id, 16);
    catalog_plain_name(name, ct->plain);
    ct->topic.partitions = partitions;
    ct->topic.internal = strcmp(name, "__consumer_offsets") == 0 || strcmp(name, "__transaction_state") == 0;
    copy_overrides(&ct->topic, room + head, overrides, count);
    topic_config_resolve(&ct->topic.config, ct->topic.overrides, count, config);
    return &ct->topic;
}

struct topic *catalog_topic_new(struct catalog_file *f, const uint8_t id[16], const char *name, int32_t partitions,
                                const struct topic_override *overrides, uint32_t count)
{
    return make_topic_object(f, id, name, partitions, overrides, count, f->config);
}

struct topic *catalog_topic_version(struct catalog_file *f, const struct topic *t, int32_t partitions,
                                    const struct topic_override *overrides, uint32_t count,
                                    const struct broker_config *config)
{
    return make_topic_object(f, t->id, t->name, partitions, overrides, count, config);
}

void catalog_topic_free(struct catalog_file *f, struct topic *t)
{
    heap_free(f->heap, catalog_topic_of(t));
}

enum err catalog_file_add(struct catalog_file *f, struct topic *t)
{
    struct catalog_topic *ct = catalog_topic_of(t);
    enum err err = map_put(&f->by_plain, ct->plain, strlen(ct->plain), ct);
    if (err != ERR_NONE)
        return err;
    err = catalog_add(&f->all, t);
    if (err != ERR_NONE)
        map_remove(&f->by_plain, ct->plain, strlen(ct->plain));
    return err;
}

void catalog_file_remove(struct catalog_file *f, struct topic *t)
{
    struct catalog_topic *ct = catalog_topic_of(t);
    void *was = map_remove(&f->by_plain, ct->plain, strlen(ct->plain));
    assert(was == ct);
    catalog_remove(&f->all, t);
}

void catalog_file_replace(struct catalog_file *f, struct topic *old, struct topic *t)
{
    struct catalog_topic *ct = catalog_topic_of(t);
    map_replace(&f->by_plain, ct->plain, strlen(ct->plain), ct);
    catalog_replace(&f->all, old, t);
}

void catalog_file_adopt(struct catalog_file *f, struct broker_config *config)
{
    const struct broker_config *old = f->config;
    f->config = config;
    broker_config_version_drop(old);
}

struct topic_override *catalog_file_layer(struct heap *heap, const struct broker_config *config, bool cluster_default,
                                          uint32_t *out_count)
{
    const struct config_entry *list = cluster_default ? config->dynamic_default : config->dynamic;
    uint32_t count = 0;
    for (const struct config_entry *e = list; e; e = e->next)
        count++;
    struct topic_override *v = heap_alloc(heap, (count + 1) * sizeof *v);
    *out_count = count;
    count = 0;
    for (const struct config_entry *e = list; v && e; e = e->next)
        v[count++] = (struct topic_override){e->name, e->value};
    return v;
}

/* --- the deleted --- */

static uint32_t find_deleted_place(const struct catalog_file *f, const uint8_t id[16])
{
    uint32_t low = 0, high = f->deleted_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (memcmp(f->deleted[middle], id, 16) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool was_topic_deleted(const struct catalog_file *f, const uint8_t id[16])
{
    uint32_t at = find_deleted_place(f, id);
    return at < f->deleted_count && memcmp(f->deleted[at], id, 16) == 0;
}

enum err catalog_file_reserve(struct catalog_file *f, uint32_t more)
{
    if (f->deleted_cap - f->deleted_count >= more)
        return ERR_NONE;
    uint32_t cap = f->deleted_cap * 2 + more;
    uint8_t(*deleted)[16] = heap_realloc(f->heap, f->deleted, (size_t)cap * 16);
    if (!deleted)
        return ERR_NO_MEMORY;
    f->deleted = deleted;
    f->deleted_cap = cap;
    return ERR_NONE;
}

void catalog_file_remember(struct catalog_file *f, const uint8_t id[16])
{
    assert(f->deleted_count < f->deleted_cap);
    uint32_t at = find_deleted_place(f, id);
    memmove(f->deleted[at + 1], f->deleted[at], (size_t)(f->deleted_count - at) * 16);
    memcpy(f->deleted[at], id, 16);
    f->deleted_count++;
}

bool catalog_file_knew(const struct catalog_file *f, const uint8_t id[16])
{
    return catalog_by_id(&f->all, id) || was_topic_deleted(f, id);
}

/* --- facts --- */

bool catalog_file_lives(const struct catalog_file *f, const uint8_t id[16])
{
    return catalog_by_id(&f->all, id) != NULL;
}

uint64_t catalog_file_partitions(const struct catalog_file *f)
{
    return f->all.partitions_total;
}

uint32_t catalog_file_topics(const struct catalog_file *f)
{
    return f->all.count;
}

struct topic *catalog_file_topic(const struct catalog_file *f, uint32_t i)
{
    assert(i < f->all.count);
    return f->all.sorted[i];
}

int32_t catalog_file_epoch(const struct catalog_file *f)
{
    return f->epoch;
}

const struct broker_config *catalog_file_config(const struct catalog_file *f)
{
    return f->config;
}

bool catalog_file_empty(const struct catalog_file *f)
{
    return f->empty;
}

/* --- writing at the start --- */

/* Adds one wave behind the others and makes it durable. */
static enum err append_wave_now(struct catalog_file *f, const struct catalog_blob *b)
{
    enum err err = fs_write(f->fd, b->at, b->bytes, f->bytes);
    if (err == ERR_NONE)
        err = fs_sync(f->fd);
    if (err != ERR_NONE) {
        if (fs_truncate(f->fd, f->bytes) != ERR_NONE) /* the start fails anyway; the next one cuts a torn end */
            log_warn("catalog not cut", "path=%s", f->path);
        return err;
    }
    f->bytes += b->bytes;
    f->wave = b->wave;
    return ERR_NONE;
}

enum err catalog_file_bump_epoch(struct catalog_file *f, int32_t *out_epoch)
{
    assert(f->epoch < INT32_MAX);
    struct catalog_blob b = {.heap = f->heap, .wave = f->wave + 1};
    enum err err = f->empty ? catalog_file_sync_names(f) : ERR_NONE;
    if (err == ERR_NONE)
        err = catalog_blob_epoch(&b, f->epoch + 1);
    if (err == ERR_NONE) {
        catalog_blob_end(&b);
        err = append_wave_now(f, &b);
    }
    catalog_blob_deinit(&b);
    if (err != ERR_NONE)
        return err;
    f->empty = false;
    *out_epoch = ++f->epoch;
    return ERR_NONE;
}

/* The folder above, in place; false at the top. "a/b/c" -> "a/b" -> "a" -> "." */
static bool cut_to_parent(char *path)
{
    char *slash = strrchr(path, '/');
    if (strcmp(path, ".") == 0 || strcmp(path, "/") == 0)
        return false;
    if (!slash)
        memcpy(path, ".", 2);
    else
        slash[slash == path] = 0;
    return true;
}

/* Folders above that are not ours to sync were there before us. */
static enum err sync_parents(const char *dir)
{
    char path[FS_PATH_MAX];
    snprintf(path, sizeof path, "%s", dir);
    for (uint32_t i = 0; i < FOLDERS_MAX && cut_to_parent(path); i++) {
        enum err err = fs_sync_dir(path);
        if (err == ERR_IO || err == ERR_NO_SPACE)
            return err;
    }
    return ERR_NONE;
}

/* meta.properties was written with the folder; a test's folder has none. */
static enum err sync_meta_file(const struct catalog_file *f)
{
    char path[FS_PATH_MAX];
    int fd;
    snprintf(path, sizeof path, "%s/meta.properties", f->dir);
    enum err err = fs_open(path, FS_READ, &fd);
    if (err == ERR_NOT_FOUND)
        return ERR_NONE;
    if (err != ERR_NONE)
        return err;
    err = fs_sync(fd);
    fs_close(fd);
    return err;
}

enum err catalog_file_sync_names(const struct catalog_file *f)
{
    enum err err = fs_sync(f->fd);
    if (err == ERR_NONE)
        err = sync_meta_file(f);
    if (err == ERR_NONE)
        err = fs_sync_dir(f->dir);
    return err != ERR_NONE ? err : sync_parents(f->dir);
}

/* --- rewriting --- */

static enum err blob_settings_layer(const struct catalog_file *f, struct catalog_blob *b, bool cluster_default)
{
    uint32_t count;
    struct topic_override *v = catalog_file_layer(f->heap, f->config, cluster_default, &count);
    enum err err = !v ? ERR_NO_MEMORY : count ? catalog_blob_broker(b, cluster_default, v, count) : ERR_NONE;
    heap_free(f->heap, v);
    return err;
}

static enum err blob_whole_catalog(const struct catalog_file *f, struct catalog_blob *b)
{
    enum err err = catalog_blob_epoch(b, f->epoch);
    if (err == ERR_NONE)
        err = catalog_blob_ids(b, f->ids_reserved);
    if (err == ERR_NONE)
        err = blob_settings_layer(f, b, true);
    if (err == ERR_NONE)
        err = blob_settings_layer(f, b, false);
    for (uint32_t i = 0; err == ERR_NONE && i < f->deleted_count; i++)
        err = catalog_blob_deleted(b, f->deleted[i]);
    for (uint32_t i = 0; err == ERR_NONE && i < f->all.count; i++)
        err = catalog_blob_topic(b, f->all.sorted[i]);
    if (err == ERR_NONE)
        catalog_blob_end(b);
    return err;
}

/* Whole or not at all: another name, sync, rename. */
static enum err replace_catalog_file(struct catalog_file *f, const struct catalog_blob *b)
{
    char path[FS_PATH_MAX];
    int fd;
    snprintf(path, sizeof path, "%s/catalog.tmp", f->dir);
    enum err err = fs_open(path, FS_READ | FS_WRITE | FS_CREATE | FS_TRUNCATE, &fd);
    if (err != ERR_NONE)
        return err;
    size_t header = strlen(CATALOG_HEADER);
    err = fs_write(fd, CATALOG_HEADER, header, 0);
    if (err == ERR_NONE)
        err = fs_write(fd, b->at, b->bytes, header);
    if (err == ERR_NONE)
        err = fs_sync(fd);
    if (err == ERR_NONE)
        err = fs_rename(path, f->path);
    if (err == ERR_NONE)
        err = fs_sync_dir(f->dir);
    if (err != ERR_NONE) {
        fs_close(fd);
        return err;
    }
    fs_close(f->fd);
    f->fd = fd;
    f->bytes = header + b->bytes;
    f->wave = b->wave;
    return ERR_NONE;
}

/* Deleted topics and old epochs leave the file when they are more than half of it. */
static enum err rewrite_if_stale(struct catalog_file *f)
{
    if (f->bytes < REWRITE_BYTES_MIN)
        return ERR_NONE;
    struct catalog_blob b = {.heap = f->heap, .wave = 1};
    enum err err = blob_whole_catalog(f, &b);
    if (err == ERR_NONE && b.bytes < f->bytes / 2)
        err = replace_catalog_file(f, &b);
    catalog_blob_deinit(&b);
    return err;
}

/* --- opening --- */

static enum err read_catalog_bytes(struct catalog_file *f, uint64_t bytes, char *why)
{
    size_t got = 0;
    uint8_t *at = bytes > FILE_BYTES_MAX ? NULL : heap_alloc(f->heap, bytes + 1);
    enum err err = at ? fs_read(f->fd, at, bytes, 0, &got) : ERR_NO_MEMORY;
    if (err != ERR_NONE)
        snprintf(why, CONFIG_WHY_BYTES, "%.300s cannot be read: %s.", f->path, err_text(err));
    else
        err = catalog_read(f, at, got, why);
    heap_free(f->heap, at);
    return err;
}

/* Whatever lies behind the whole waves goes, durably, before anything is appended there. */
static enum err cut_torn_wave(struct catalog_file *f, uint64_t bytes)
{
    enum err err = ERR_NONE;
    if (bytes > f->bytes) {
        log_warn("torn catalog", "path=%s cut_bytes=%llu", f->path, (unsigned long long)(bytes - f->bytes));
        err = fs_truncate(f->fd, f->bytes);
        if (err == ERR_NONE && !f->empty)
            err = fs_sync(f->fd);
    }
    size_t header = strlen(CATALOG_HEADER);
    if (err == ERR_NONE && f->bytes == 0) {
        err = fs_write(f->fd, CATALOG_HEADER, header, 0);
        f->bytes = header;
    }
    return err;
}

static enum err load_catalog(struct catalog_file *f, char *why)
{
    uint64_t bytes = 0;
    enum err err = fs_open(f->path, FS_READ | FS_WRITE | FS_CREATE, &f->fd);
    if (err != ERR_NONE) {
        f->fd = -1;
        snprintf(why, CONFIG_WHY_BYTES, "%.300s cannot be opened: %s.", f->path, err_text(err));
        return err;
    }
    err = fs_size(f->fd, &bytes);
    if (err == ERR_NONE) {
        err = read_catalog_bytes(f, bytes, why);
        if (err != ERR_NONE)
            return err;
        err = cut_torn_wave(f, bytes);
    }
    if (err == ERR_NONE)
        err = rewrite_if_stale(f);
    if (err != ERR_NONE)
        snprintf(why, CONFIG_WHY_BYTES, "%.300s cannot be written: %s.", f->path, err_text(err));
    return err;
}

enum err catalog_file_open(const char *data_dir, struct heap *heap, const struct broker_config *config,
                           struct catalog_file **out_file, char *why)
{
    assert(data_dir && heap && why);
    struct catalog_file *f = heap_zalloc(heap, sizeof *f);
    if (!f || strlen(data_dir) >= sizeof f->dir) {
        snprintf(why, CONFIG_WHY_BYTES,
                 f ? "the path of the data folder is too long." : "there is no memory for the catalog.");
        heap_free(heap, f);
        return f ? ERR_INVALID : ERR_NO_MEMORY;
    }
    f->heap = heap;
    f->config = config;
    f->fd = -1;
    snprintf(f->dir, sizeof f->dir, "%s", data_dir);
    snprintf(f->path, sizeof f->path, "%s/catalog", data_dir);
    map_init(&f->by_plain, heap);
    strays_init(&f->strays, heap);
    enum err err = catalog_init(&f->all, heap);
    if (err == ERR_NONE)
        err = load_catalog(f, why);
    if (err != ERR_NONE) {
        catalog_file_close(f);
        return err;
    }
    *out_file = f;
    return ERR_NONE;
}

void catalog_file_close(struct catalog_file *f)
{
    assert(f && !f->writer);
    for (uint32_t i = 0; i < f->all.count; i++)
        catalog_topic_free(f, f->all.sorted[i]);
    catalog_deinit(&f->all);
    map_deinit(&f->by_plain);
    strays_deinit(&f->strays);
    heap_free(f->heap, f->deleted);
    if (f->fd >= 0)
        fs_close(f->fd);
    catalog_file_adopt(f, NULL);
    heap_free(f->heap, f);
}
