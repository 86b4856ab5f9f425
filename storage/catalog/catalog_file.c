/* The catalog's file at the start of the broker: opening, cutting, rewriting it; and what is known of all topics, which only
 * shard 0 changes later on (catalog_writer.c). */
#include "storage/catalog/catalog_file.h"
#include "core/log.h"
#include <stdio.h>
#include <string.h>

enum { FILE_BYTES_MAX = 1 << 30, REWRITE_BYTES_MIN = 64 * 1024, ROOM_BYTES = 64 * 1024, FOLDERS_MAX = 64 };

/* --- topics --- */

void catalog_plain_name(const char *name, char out[TOPIC_NAME_MAX + 1])
{
    size_t bytes = strlen(name);
    assert(bytes <= TOPIC_NAME_MAX);
    for (size_t i = 0; i <= bytes; i++)
        out[i] = name[i] == '.' ? '_' : name[i];
}

static struct topic *make_topic_object(struct catalog_file *f, const uint8_t id[16], const char *name,
                                       int32_t partitions, const struct topic_override *overrides, uint32_t count,
                                       const struct broker_config *config)
{
    assert(partitions > 0 && strlen(name) <= TOPIC_NAME_MAX);
    size_t head = align_up(sizeof(struct catalog_topic), 16);
    uint8_t *block = heap_zalloc(f->heap, head + topic_overrides_bytes(overrides, count));
    if (!block)
        return NULL;
    struct catalog_topic *ct = (struct catalog_topic *)(void *)block;
    memcpy(ct->topic.name, name, strlen(name));
    memcpy(ct->topic.id, id, 16);
    catalog_plain_name(name, ct->plain);
    ct->topic.partitions = partitions;
    ct->topic.internal = strcmp(name, "__consumer_offsets") == 0 || strcmp(name, "__transaction_state") == 0;
    ct->topic.overrides = topic_overrides_copy(block + head, overrides, count);
    ct->topic.override_count = count;
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
    assert(partitions >= t->partitions);
    assert(config);
    return make_topic_object(f, t->id, t->name, partitions, overrides, count, config);
}

void catalog_topic_free(struct catalog_file *f, struct topic *t)
{
    heap_free(f->heap, catalog_topic_of(t));
}

enum err catalog_file_add(struct catalog_file *f, struct topic *t)
{
    assert(f->by_plain.count == f->all.count);
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
    assert(t->partitions >= old->partitions);
    assert(old != t);
    struct catalog_topic *ct = catalog_topic_of(t);
    map_replace(&f->by_plain, ct->plain, strlen(ct->plain), ct);
    catalog_replace(&f->all, old, t);
}

void catalog_file_adopt(struct catalog_file *f, struct broker_config *config)
{
    assert(!config || config != f->config);
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
    assert(f->deleted_count <= f->deleted_cap);
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
    assert(f->deleted_count <= f->deleted_cap);
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

const struct entities *catalog_file_entities(const struct catalog_file *f)
{
    assert(f->all.entities.heap);
    return &f->all.entities;
}

struct topic *catalog_file_topic(const struct catalog_file *f, uint32_t i)
{
    assert(i < f->all.count);
    return f->all.sorted[i];
}

int32_t catalog_file_epoch(const struct catalog_file *f)
{
    assert(f->epoch >= 0);
    return f->epoch;
}

uint32_t catalog_file_waves(const struct catalog_file *f)
{
    assert(f->empty == (f->wave == 0));
    return f->wave;
}

const struct broker_config *catalog_file_config(const struct catalog_file *f)
{
    assert(f->config);
    return f->config;
}

enum err catalog_file_note_end(const struct catalog_file *f)
{
    assert(!f->empty);
    return catalog_end_save(f->dir, f->wave);
}

bool catalog_file_empty(const struct catalog_file *f)
{
    assert(f->empty == (f->wave == 0));
    return f->empty;
}

/* --- writing at the start --- */

/* Adds one wave behind the others of both copies, and makes it durable. */
static enum err append_wave_now(struct catalog_file *f, const struct catalog_blob *b)
{
    assert(b->wave == f->wave + 1);
    assert(b->bytes > 0);
    enum err err = ERR_NONE;
    for (int i = 0; err == ERR_NONE && i < CATALOG_COPIES; i++) {
        err = fs_write(f->copies[i].fd, b->at, b->bytes, f->copies[i].bytes);
        if (err == ERR_NONE)
            err = fs_sync(f->copies[i].fd);
    }
    if (err != ERR_NONE) {
        if (catalog_file_cut(f) != ERR_NONE) /* the start fails anyway; the next one cuts a torn end */
            log_warn("catalog not cut", "data=%s", f->dir);
        return err;
    }
    for (int i = 0; i < CATALOG_COPIES; i++)
        f->copies[i].bytes += b->bytes;
    f->wave = b->wave;
    return ERR_NONE;
}

enum err catalog_file_cut(struct catalog_file *f)
{
    enum err err = ERR_NONE;
    for (int i = 0; err == ERR_NONE && i < CATALOG_COPIES; i++) {
        assert(f->copies[i].bytes >= CATALOG_HEADER_BYTES);
        err = fs_truncate(f->copies[i].fd, f->copies[i].bytes);
        if (err == ERR_NONE)
            err = fs_sync(f->copies[i].fd);
    }
    catalog_file_make_room(f); /* the cut gave it back */
    return err;
}

/* What the wave says is in `b`; nothing but the file has changed yet. */
static enum err append_now(struct catalog_file *f, struct catalog_blob *b)
{
    enum err err = f->empty ? catalog_file_sync_names(f) : ERR_NONE;
    catalog_blob_end(b);
    if (err == ERR_NONE)
        err = append_wave_now(f, b);
    if (err == ERR_NONE)
        f->empty = false;
    return err;
}

enum err catalog_file_bump_epoch(struct catalog_file *f, int32_t *out_epoch)
{
    assert(f->epoch < INT32_MAX);
    struct catalog_blob b = {.heap = f->heap, .wave = f->wave + 1};
    enum err err = catalog_blob_epoch(&b, f->epoch + 1);
    if (err == ERR_NONE)
        err = append_now(f, &b);
    catalog_blob_deinit(&b);
    if (err == ERR_NONE)
        *out_epoch = ++f->epoch;
    return err;
}

enum err catalog_file_add_now(struct catalog_file *f, struct topic *t)
{
    assert(!f->writer);
    struct catalog_blob b = {.heap = f->heap, .wave = f->wave + 1};
    enum err err = catalog_file_add(f, t);
    if (err != ERR_NONE)
        return err;
    err = catalog_blob_topic(&b, t);
    if (err == ERR_NONE)
        err = append_now(f, &b);
    catalog_blob_deinit(&b);
    if (err != ERR_NONE)
        catalog_file_remove(f, t);
    return err;
}

enum err catalog_file_raise_now(struct catalog_file *f, int32_t epoch, int64_t producer_ids)
{
    assert(!f->writer);
    assert(epoch >= 0 && producer_ids >= 0);
    struct catalog_blob b = {.heap = f->heap, .wave = f->wave + 1};
    if (epoch <= f->epoch && producer_ids <= f->ids_reserved)
        return ERR_NONE;
    epoch = epoch > f->epoch ? epoch : f->epoch;
    producer_ids = producer_ids > f->ids_reserved ? producer_ids : f->ids_reserved;
    enum err err = catalog_blob_epoch(&b, epoch);
    if (err == ERR_NONE)
        err = catalog_blob_ids(&b, producer_ids);
    if (err == ERR_NONE)
        err = append_now(f, &b);
    catalog_blob_deinit(&b);
    if (err == ERR_NONE) {
        f->epoch = epoch;
        f->ids_reserved = producer_ids;
    }
    return err;
}

/* The folder above, in place; false at the top. "a/b/c" -> "a/b" -> "a" -> "." */
static bool cut_to_parent(char *path)
{
    assert(path[0]);
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

/* Blocks behind both copies, for the changes to come, that a full disk does not take: the next start raises the epoch, whatever is free.
 * Where they cannot be had, the write finds out. */
void catalog_file_make_room(struct catalog_file *f)
{
    assert(f->copies[0].fd >= 0 && f->copies[1].fd >= 0);
    f->room_end = f->copies[0].bytes + ROOM_BYTES;
    for (int i = 0; i < CATALOG_COPIES; i++)
        err_ignore(fs_allocate_behind(f->copies[i].fd, f->copies[i].bytes, ROOM_BYTES));
}

bool catalog_file_wants_room(const struct catalog_file *f)
{
    assert(f->room_end <= f->copies[0].bytes + ROOM_BYTES);
    return f->copies[0].bytes + ROOM_BYTES / 2 > f->room_end;
}

enum err catalog_file_sync_names(struct catalog_file *f)
{
    assert(f->copies[0].fd >= 0 && f->copies[1].fd >= 0);
    enum err err = ERR_NONE;
    catalog_file_make_room(f);
    for (int i = 0; err == ERR_NONE && i < CATALOG_COPIES; i++)
        err = fs_sync(f->copies[i].fd);
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

static enum err blob_all_entities(const struct catalog_file *f, struct catalog_blob *b)
{
    assert(b->wave == f->wave);
    enum err err = ERR_NONE;
    for (uint32_t i = 0; err == ERR_NONE && i < f->all.entities.count; i++) {
        const struct entity *e = f->all.entities.sorted[i];
        err = catalog_blob_entity(b, e->kind, e->name, e->settings, e->count);
    }
    return err;
}

static enum err blob_whole_catalog(const struct catalog_file *f, struct catalog_blob *b)
{
    assert(!f->empty);
    assert(b->bytes == 0);
    enum err err = catalog_blob_epoch(b, f->epoch);
    if (err == ERR_NONE)
        err = catalog_blob_ids(b, f->ids_reserved);
    if (err == ERR_NONE)
        err = blob_settings_layer(f, b, true);
    if (err == ERR_NONE)
        err = blob_settings_layer(f, b, false);
    if (err == ERR_NONE)
        err = blob_all_entities(f, b);
    for (uint32_t i = 0; err == ERR_NONE && i < f->deleted_count; i++)
        err = catalog_blob_deleted(b, f->deleted[i]);
    for (uint32_t i = 0; err == ERR_NONE && i < f->all.count; i++)
        err = catalog_blob_topic(b, f->all.sorted[i]);
    if (err == ERR_NONE)
        catalog_blob_end(b);
    return err;
}

static enum err write_copy(int fd, const struct catalog_blob *b, bool sync)
{
    assert(b->bytes == 0 || b->wave > 0);
    enum err err = fs_write(fd, CATALOG_HEADER, CATALOG_HEADER_BYTES, 0);
    if (err == ERR_NONE && b->bytes > 0)
        err = fs_write(fd, b->at, b->bytes, CATALOG_HEADER_BYTES);
    return err == ERR_NONE && sync ? fs_sync(fd) : err;
}

/* What is bad in a file is kept beside it. */
static enum err keep_damaged_copy(const struct catalog_copy *c)
{
    char kept[FS_PATH_MAX];
    if (!c->view.there || c->view.state == CATALOG_WHOLE || c->view.state == CATALOG_NEW)
        return ERR_NONE;
    int n = snprintf(kept, sizeof kept, "%s.damaged", c->path);
    return n > 0 && n < FS_PATH_MAX ? fs_rename(c->path, kept) : ERR_INVALID;
}

/* Whole or not at all: another name, sync, rename. While nothing was ever recorded, nothing is synced. */
static enum err replace_copy(struct catalog_file *f, struct catalog_copy *c, const struct catalog_blob *b)
{
    assert(c == &f->copies[0] || c == &f->copies[1]);
    char path[FS_PATH_MAX];
    int fd;
    bool sync = b->bytes > 0;
    snprintf(path, sizeof path, "%s/catalog.tmp", f->dir);
    enum err err =
        fs_open(path, FS_READ | FS_WRITE | FS_CREATE | FS_TRUNCATE | FS_PRIVATE, &fd); /* it keeps credentials */
    if (err != ERR_NONE)
        return err;
    err = write_copy(fd, b, sync);
    if (err == ERR_NONE)
        err = keep_damaged_copy(c);
    if (err == ERR_NONE)
        err = fs_rename(path, c->path);
    if (err == ERR_NONE && sync)
        err = fs_sync_dir(f->dir);
    if (err != ERR_NONE) {
        fs_close(fd);
        err_ignore(fs_unlink(path)); /* it may have taken the last blocks */
        return err;
    }
    if (c->fd >= 0)
        fs_close(c->fd);
    c->fd = fd;
    c->bytes = CATALOG_HEADER_BYTES + b->bytes;
    c->view = (struct catalog_view){CATALOG_WHOLE, true, CATALOG_FORMAT, b->wave, b->wave, c->bytes};
    return ERR_NONE;
}

static enum err make_catalog_file(const char *data_dir, struct heap *heap, const struct broker_config *config,
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
    f->empty = true;
    f->copies[0].fd = f->copies[1].fd = -1;
    snprintf(f->dir, sizeof f->dir, "%s", data_dir);
    snprintf(f->copies[0].path, sizeof f->copies[0].path, "%s/catalog", data_dir);
    snprintf(f->copies[1].path, sizeof f->copies[1].path, "%s/catalog.copy", data_dir);
    map_init(&f->by_plain, heap);
    strays_init(&f->strays, heap);
    enum err err = catalog_init(&f->all, heap);
    if (err != ERR_NONE) {
        snprintf(why, CONFIG_WHY_BYTES, "there is no memory for the catalog.");
        catalog_file_close(f);
        return err;
    }
    *out_file = f;
    return ERR_NONE;
}

/* --- opening: read, choose, apply; and only then (catalog_file_prepare) write --- */

static enum err read_copy(struct catalog_file *f, struct catalog_copy *c, uint8_t **out_at)
{
    assert(c->fd < 0);
    uint64_t bytes = 0;
    size_t got = 0;
    enum err err = fs_open(c->path, FS_READ, &c->fd);
    if (err != ERR_NONE) {
        c->fd = -1;
        catalog_view_scan(&c->view, NULL, 0);
        return err == ERR_NOT_FOUND ? ERR_NONE : err;
    }
    err = fs_size(c->fd, &bytes);
    uint8_t *at = err != ERR_NONE || bytes > FILE_BYTES_MAX ? NULL : heap_alloc(f->heap, bytes + 1);
    if (err == ERR_NONE)
        err = at ? fs_read(c->fd, at, bytes, 0, &got) : ERR_NO_MEMORY;
    if (err == ERR_NONE)
        catalog_view_scan(&c->view, at, got);
    c->view.there = true;
    c->bytes = c->view.bytes;
    *out_at = at;
    return err;
}

static bool look_for_partition(void *arg, const struct fs_entry *entry)
{
    size_t bytes;
    *(bool *)arg = entry->folder && strays_partition_of(entry->name, &bytes) >= 0;
    return !*(bool *)arg;
}

static enum err refuse_copies(const struct catalog_file *f, char *why)
{
    assert(f->chosen < 0);
    char first[64], second[64];
    catalog_view_text(&f->copies[0].view, first);
    catalog_view_text(&f->copies[1].view, second);
    snprintf(why, CONFIG_WHY_BYTES,
             "The catalog in %.120s is damaged: catalog is %s, catalog.copy is %s. Neither is known to hold everything "
             "that was "
             "answered: put one that is whole back from a backup, or let `odradek repair` do what can be done.",
             f->dir, first, second);
    return ERR_CORRUPT;
}

static enum err load_catalog(struct catalog_file *f, bool clean, char *why)
{
    assert(f->empty && f->wave == 0);
    uint8_t *at[CATALOG_COPIES] = {NULL, NULL};
    struct catalog_past past = {.clean = clean};
    enum err err = catalog_end_load(f->dir, &past.wave);
    for (int i = 0; err == ERR_NONE && i < CATALOG_COPIES; i++)
        err = read_copy(f, &f->copies[i], &at[i]);
    if (err == ERR_NONE)
        err = fs_list(f->dir, look_for_partition, &past.used);
    if (err != ERR_NONE) {
        snprintf(why, CONFIG_WHY_BYTES, "The catalog in %.300s cannot be read: %s.", f->dir, err_text(err));
    } else {
        const struct catalog_view views[CATALOG_COPIES] = {f->copies[0].view, f->copies[1].view};
        f->chosen = catalog_choose(views, &past);
        if (f->chosen < 0)
            err = refuse_copies(f, why);
        else if (views[f->chosen].format > 0)
            err = catalog_apply(f, at[f->chosen], &views[f->chosen], f->copies[f->chosen].path, why);
    }
    for (int i = 0; i < CATALOG_COPIES; i++)
        heap_free(f->heap, at[i]);
    return err;
}

enum err catalog_file_salvage(const char *data_dir, struct heap *heap, const struct broker_config *config,
                              struct catalog_file **out_file, uint32_t *out_records, char *why)
{
    assert(out_file && out_records);
    uint8_t *at[CATALOG_COPIES] = {NULL, NULL};
    struct catalog_bytes copies[CATALOG_COPIES] = {{NULL, 0}, {NULL, 0}};
    struct catalog_file *f = NULL;
    enum err err = make_catalog_file(data_dir, heap, config, &f, why);
    for (int i = 0; err == ERR_NONE && i < CATALOG_COPIES; i++) {
        uint64_t size = 0;
        err = read_copy(f, &f->copies[i], &at[i]);
        if (err == ERR_NONE && f->copies[i].fd >= 0)
            err = fs_size(f->copies[i].fd, &size);
        copies[i] = (struct catalog_bytes){at[i], at[i] ? (size_t)size : 0};
    }
    if (err == ERR_NONE)
        err = catalog_salvage(f, copies, out_records);
    for (int i = 0; i < CATALOG_COPIES; i++)
        heap_free(heap, at[i]);
    if (err == ERR_NONE) {
        f->empty = false;
        *out_file = f;
    } else if (f) {
        snprintf(why, CONFIG_WHY_BYTES, "The catalog in %.300s cannot be read: %s.", data_dir, err_text(err));
        catalog_file_close(f);
    }
    return err;
}

bool catalog_plain_taken(const struct catalog_file *f, const char *name)
{
    char plain[TOPIC_NAME_MAX + 1];
    catalog_plain_name(name, plain);
    return map_get(&f->by_plain, plain, strlen(plain)) != NULL;
}

/* As it is, it can go on: it ends where the catalog does. */
static bool is_copy_current(const struct catalog_file *f, const struct catalog_copy *c)
{
    return c->view.format == CATALOG_FORMAT && c->view.wave == f->wave &&
           (c->view.state == CATALOG_WHOLE || c->view.state == CATALOG_TORN);
}

static enum err cut_torn_copy(const struct catalog_copy *c)
{
    assert(c->view.state == CATALOG_TORN);
    assert(c->fd >= 0);
    log_warn("torn catalog", "path=%s cut_at=%llu", c->path, (unsigned long long)c->bytes);
    enum err err = fs_truncate(c->fd, c->bytes);
    return err == ERR_NONE ? fs_sync(c->fd) : err;
}

/* Deleted topics and old epochs leave a file when they are more than half of it. */
static bool is_copy_stale(const struct catalog_copy *c, const struct catalog_blob *b)
{
    assert(c->view.there);
    return c->bytes >= REWRITE_BYTES_MIN && b->bytes < c->bytes / 2;
}

/* It was opened to be read; before anything is written, a file with other names gives way to one without. */
static enum err own_copy(struct catalog_copy *c)
{
    assert(c->fd >= 0);
    int fd;
    enum err err = fs_open(c->path, FS_READ | FS_WRITE | FS_OWN, &fd);
    if (err != ERR_NONE)
        return err;
    fs_close(c->fd);
    c->fd = fd;
    return c->view.state == CATALOG_TORN ? cut_torn_copy(c) : ERR_NONE;
}

static enum err prepare_copy(struct catalog_file *f, struct catalog_copy *c, const struct catalog_blob *b)
{
    assert(f->empty == (b->bytes == 0));
    if (is_copy_current(
            f,
            c)) { /* a stale one goes on as it is where there is no room for another: a full disk keeps no broker from starting */
        bool stale = is_copy_stale(c, b);
        enum err err = stale ? replace_copy(f, c, b) : ERR_NONE;
        return stale && err != ERR_NO_SPACE ? err : own_copy(c);
    }
    if (!f->empty && (c->view.there || f->copies[0].view.format == CATALOG_FORMAT)) {
        char was[64];
        catalog_view_text(&c->view, was);
        log_warn("catalog copy written anew", "path=%s was=\"%s\"", c->path, was);
    }
    return replace_copy(f, c, b);
}

enum err catalog_file_prepare(struct catalog_file *f, char *why)
{
    assert(!f->writer);
    assert(f->chosen >= 0);
    struct catalog_blob b = {.heap = f->heap, .wave = f->wave};
    enum err err = f->empty ? ERR_NONE : blob_whole_catalog(f, &b);
    /* The one that counts is touched last, so that there is always one that does. */
    for (int i = 0; err == ERR_NONE && i < CATALOG_COPIES; i++)
        err = prepare_copy(f, &f->copies[i == 0 ? 1 - f->chosen : f->chosen], &b);
    catalog_blob_deinit(&b);
    if (err != ERR_NONE)
        snprintf(why, CONFIG_WHY_BYTES, "The catalog in %.300s cannot be written: %s.", f->dir, err_text(err));
    else if (!f->empty)
        catalog_file_make_room(f);
    return err;
}

enum err catalog_file_open(const char *data_dir, struct heap *heap, const struct broker_config *config, bool clean,
                           struct catalog_file **out_file, char *why)
{
    struct catalog_file *f = NULL;
    enum err err = make_catalog_file(data_dir, heap, config, &f, why);
    if (err != ERR_NONE)
        return err;
    err = load_catalog(f, clean, why);
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
    for (uint32_t i = 0; i < f->all.entities.count; i++)
        entity_free(f->heap, f->all.entities.sorted[i]);
    catalog_deinit(&f->all);
    map_deinit(&f->by_plain);
    strays_deinit(&f->strays);
    heap_free(f->heap, f->deleted);
    for (int i = 0; i < CATALOG_COPIES; i++)
        if (f->copies[i].fd >= 0)
            fs_close(f->copies[i].fd);
    catalog_file_adopt(f, NULL);
    heap_free(f->heap, f);
}
