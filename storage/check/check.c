/* A data folder at rest, looked at whole (check.h). */
#include "storage/check/check.h"
#include "core/clock.h"
#include "storage/catalog/meta.h"
#include "storage/log/folder.h"
#include "storage/log/partition_dir.h"
#include "storage/root_owner.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LOCK_TRIES = 200, LOCK_STEP_MS = 5 };

/* --- saying --- */

static void say_finding(struct check *c, const char *kind, const char *file, const char *fmt, va_list args)
{
    assert(kind && file);
    char text[CONFIG_WHY_BYTES];
    vsnprintf(text, sizeof text, fmt, args);
    c->say(c->arg, kind, file, text);
}

void check_fault(struct check *c, const char *file, const char *fmt, ...)
{
    assert(c->say);
    va_list args;
    c->faults++;
    va_start(args, fmt);
    say_finding(c, "fault", file, fmt, args);
    va_end(args);
}

void check_note(struct check *c, const char *file, const char *fmt, ...)
{
    va_list args;
    c->notes++;
    va_start(args, fmt);
    say_finding(c, "note", file, fmt, args);
    va_end(args);
}

void check_repaired(struct check *c, const char *file, const char *fmt, ...)
{
    va_list args;
    c->repairs++;
    va_start(args, fmt);
    say_finding(c, "repaired", file, fmt, args);
    va_end(args);
}

/* --- opening --- */

/* A broker that just ended holds it a moment longer. */
static enum err lock_soon(int fd)
{
    assert(fd >= 0);
    enum err err = fs_lock(fd);
    for (int i = 0; err == ERR_BUSY && i < LOCK_TRIES; i++) {
        clock_sleep_ms(LOCK_STEP_MS);
        err = fs_lock(fd);
    }
    return err;
}

static enum err lock_at_rest(struct check *c, char *why)
{
    assert(c->folder_fd < 0);
    char path[FS_PATH_MAX];
    enum err err = fs_open_folder(c->data_dir, &c->folder_fd);
    if (err != ERR_NONE) {
        c->folder_fd = -1;
        snprintf(why, CONFIG_WHY_BYTES, "The data folder %.300s cannot be read: %s.", c->data_dir, err_text(err));
        return err;
    }
    err = lock_soon(c->folder_fd);
    snprintf(path, sizeof path, "%s/.lock", c->data_dir);
    if (err != ERR_BUSY && fs_open(path, FS_READ, &c->lock_fd) == ERR_NONE)
        err = lock_soon(c->lock_fd);
    if (err != ERR_BUSY)
        return ERR_NONE;
    snprintf(why, CONFIG_WHY_BYTES, "A broker runs on the data folder %.300s: stop it, or give a copy.", c->data_dir);
    return ERR_BUSY;
}

static enum err check_ownership(struct check *c, char *why)
{
    assert(c->folder_fd >= 0);
    struct meta meta;
    enum err err = root_owner_check(c->heap, c->data_dir, why);
    if (err == ERR_INVALID)
        return err;
    err = meta_load(c->heap, c->data_dir, &meta);
    if (err == ERR_NONE && meta.format <= META_FORMAT && meta.version <= 1)
        return ERR_NONE;
    if (err == ERR_NONE) {
        snprintf(why, CONFIG_WHY_BYTES,
                 "The data folder %.300s was written by a newer release (format %lld): use that one.", c->data_dir,
                 (long long)meta.format);
        return ERR_UNSUPPORTED;
    }
    if (err == ERR_NOT_FOUND || err == ERR_CORRUPT)
        check_fault(c, "meta.properties", err == ERR_NOT_FOUND ? "missing" : "damaged");
    return ERR_NONE;
}

static enum err open_catalog_at_rest(struct check *c, bool clean)
{
    assert(!c->catalog);
    char why[CONFIG_WHY_BYTES], text[64];
    enum err err = catalog_file_open(c->data_dir, c->heap, c->config, clean, &c->catalog, why);
    if (err != ERR_NONE) {
        c->catalog = NULL;
        check_fault(c, "catalog", "%s", why);
        return err == ERR_NO_MEMORY ? err : ERR_NONE;
    }
    for (int i = 0; i < CATALOG_COPIES && !c->catalog->empty; i++) {
        const struct catalog_view *v = &c->catalog->copies[i].view;
        catalog_view_text(v, text);
        c->files += v->there;
        if (v->format == CATALOG_FORMAT && v->state == CATALOG_WHOLE && v->wave == c->catalog->wave)
            continue;
        bool normal = !clean && (v->state == CATALOG_TORN || v->state == CATALOG_WHOLE);
        bool old = c->catalog->copies[0].view.format == 1;
        if (normal || old)
            check_note(c, i ? "catalog.copy" : "catalog", "%s: the next start writes it anew", text);
        else
            check_fault(c, i ? "catalog.copy" : "catalog", "%s; the other copy has everything", text);
    }
    return ERR_NONE;
}

enum err check_open(struct check *c, char *why)
{
    assert(c->heap && c->data_dir && c->say);
    c->folder_fd = c->lock_fd = -1;
    c->epoch_max = -1;
    c->producer_max = -1;
    clean_mark_init(&c->clean, c->heap);
    enum err err = lock_at_rest(c, why);
    if (err == ERR_NONE)
        err = check_ownership(c, why);
    if (err != ERR_NONE)
        return err;
    enum err marked = clean_mark_load(&c->clean, c->data_dir);
    err = marked == ERR_NOT_FOUND ? ERR_NONE : marked;
    if (err == ERR_NONE)
        err = checkpoint_set_load(c->heap, c->data_dir, &c->checkpoints);
    if (err == ERR_NONE)
        err = open_catalog_at_rest(c, marked == ERR_NONE);
    if (err != ERR_NONE)
        snprintf(why, CONFIG_WHY_BYTES, "The data folder %.300s cannot be read: %s.", c->data_dir, err_text(err));
    return err;
}

void check_close(struct check *c)
{
    if (c->catalog)
        catalog_file_close(c->catalog);
    if (c->checkpoints)
        checkpoint_set_close(c->checkpoints);
    clean_mark_deinit(&c->clean);
    if (c->lock_fd >= 0)
        fs_close(c->lock_fd);
    if (c->folder_fd >= 0)
        fs_close(c->folder_fd);
}

/* --- folders --- */

/* Folders below a folder, breadth first: a list instead of recursion. */
struct tree {
    char (*paths)[FS_PATH_MAX];
    struct heap *heap;
    uint32_t count, cap, at;
    uint64_t bytes;
    enum err err;
};

static void add_tree_folder(struct tree *t, const char *path)
{
    assert(t->count <= t->cap);
    if (t->count == t->cap) {
        uint32_t cap = t->cap ? t->cap * 2 : 8;
        char(*v)[FS_PATH_MAX] = heap_realloc(t->heap, t->paths, cap * sizeof *v);
        if (!v) {
            t->err = ERR_NO_MEMORY;
            return;
        }
        t->paths = v;
        t->cap = cap;
    }
    snprintf(t->paths[t->count++], FS_PATH_MAX, "%s", path);
}

static bool measure_tree_entry(void *arg, const struct fs_entry *entry)
{
    struct tree *t = arg;
    assert(t->at < t->count);
    char path[FS_PATH_MAX];
    uint64_t bytes = 0;
    int fd, n = snprintf(path, sizeof path, "%s/%s", t->paths[t->at], entry->name);
    if (n < 0 || n >= FS_PATH_MAX)
        return true;
    if (entry->folder) {
        add_tree_folder(t, path);
    } else if (fs_open(path, FS_READ, &fd) == ERR_NONE) {
        if (fs_size(fd, &bytes) == ERR_NONE)
            t->bytes += bytes;
        fs_close(fd);
    }
    return t->err == ERR_NONE;
}

static enum err measure_folder(struct check *c, const char *name, uint64_t *out_bytes, uint32_t *out_folders)
{
    char path[FS_PATH_MAX];
    struct tree t = {.heap = c->heap};
    snprintf(path, sizeof path, "%s/%s", c->data_dir, name);
    add_tree_folder(&t, path);
    for (; t.err == ERR_NONE && t.at < t.count; t.at++) {
        enum err err = fs_list(t.paths[t.at], measure_tree_entry, &t);
        if (t.err == ERR_NONE)
            t.err = err;
    }
    *out_bytes = t.bytes;
    *out_folders = t.count ? t.count - 1 : 0;
    heap_free(c->heap, t.paths);
    return t.err;
}

static void note_folder_size(struct check *c, const char *name, const char *what)
{
    assert(what);
    uint64_t bytes = 0;
    uint32_t folders = 0;
    if (measure_folder(c, name, &bytes, &folders) != ERR_NONE)
        check_note(c, name, "%s; its size cannot be told", what);
    else
        check_note(c, name, "%s: %llu bytes", what, (unsigned long long)bytes);
}

/* --- the data folder --- */

struct check_listing {
    struct check *check;
    enum err err;
};

static bool is_known_name(const char *name)
{
    static const char *const names[] = {".lock",        ".clean",      "meta.properties", "catalog",
                                        "catalog.copy", "catalog.end", "last-seen",       "lost+found"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return (strncmp(name, "recovery-point-", 15) == 0 && strstr(name, ".checkpoint")) ||
           strncmp(name, "reserve-", 8) == 0;
}

/* One that is no partition's. */
static void note_folder(struct check *c, const char *name)
{
    if (strcmp(name, STRAYS_ASIDE) == 0)
        note_folder_size(c, name, "folders that were set aside when topics of their names were created");
    else if (strcmp(name, STRAYS_ADOPTING) == 0)
        note_folder_size(c, name, "of an adoption that was interrupted: run it again, or remove it");
    else if (folder_name_ends(name, PARTITION_DIR_STRAY))
        note_folder_size(c, name, "stood in a partition's way");
    else if (!is_known_name(name))
        check_note(c, name, "nothing of ours");
}

static enum err check_partition_folder(struct check *c, const char *name, int32_t partition, size_t topic_bytes)
{
    assert(partition >= 0);
    assert(topic_bytes > 0);
    char path[FS_PATH_MAX];
    uint8_t id[16];
    struct check_log log;
    struct check_partition p = {.folder = name, .partition = partition};
    snprintf(path, sizeof path, "%s/%s", c->data_dir, name);
    bool named = partition_dir_topic(path, id);
    if (c->catalog) {
        p.topic = catalog_by_name(&c->catalog->all, (const uint8_t *)name, topic_bytes);
        bool ours = p.topic && partition < p.topic->partitions && (!named || memcmp(id, p.topic->id, 16) == 0);
        if (!ours && named && catalog_file_knew(c->catalog, id) && !catalog_file_lives(c->catalog, id)) {
            check_note(c, name, "left by a deleted topic: the next start removes it");
            return ERR_NONE;
        }
        if (!ours) {
            bool repaired = !named && strncmp(name, "repaired-", 9) == 0; /* it looks like a partition's */
            note_folder_size(
                c, name, repaired ? "what a repair took away" : "the catalog does not know it, and it is left alone");
            return ERR_NONE;
        }
    }
    return check_partition(c, &p, &log);
}

static bool check_entry(void *arg, const struct fs_entry *entry)
{
    struct check_listing *l = arg;
    assert(l->err == ERR_NONE);
    struct check *c = l->check;
    size_t topic_bytes = 0;
    int32_t partition = entry->folder ? strays_partition_of(entry->name, &topic_bytes) : -1;
    if (partition >= 0)
        l->err = check_partition_folder(c, entry->name, partition, topic_bytes);
    else if (entry->folder)
        note_folder(c, entry->name);
    else if (folder_name_ends(entry->name, ".damaged"))
        check_note(c, entry->name, "a damaged copy, in whose place a good one was written");
    else if (folder_name_ends(entry->name, ".tmp"))
        check_note(c, entry->name, "left by a write that was cut short");
    else if (!is_known_name(entry->name))
        check_note(c, entry->name, "nothing of ours");
    return l->err == ERR_NONE;
}

/* Of a partition that has records, by its checkpoint, the folder must be there. */
static enum err look_for_missing_folders(struct check *c)
{
    assert(c->checkpoints);
    for (uint32_t i = 0; c->catalog && i < c->catalog->all.count; i++) {
        const struct topic *t = c->catalog->all.sorted[i];
        for (int32_t n = 0; n < t->partitions; n++) {
            const struct checkpoint_entry *e = checkpoint_find(c->checkpoints, t->id, n);
            char name[TOPIC_NAME_MAX + 16], path[FS_PATH_MAX];
            int fd;
            snprintf(name, sizeof name, "%s-%d", t->name, n);
            snprintf(path, sizeof path, "%s/%s", c->data_dir, name);
            if (!e || e->offset == 0)
                continue;
            enum err err = fs_open_folder(path, &fd);
            if (err == ERR_NONE)
                fs_close(fd);
            else if (err == ERR_NOT_FOUND)
                check_fault(c, name, "missing; it held offsets up to %lld", (long long)e->offset);
            else
                return err;
        }
    }
    return ERR_NONE;
}

enum err check_run(struct check *c, char *why)
{
    assert(why);
    enum err err = check_open(c, why);
    if (err == ERR_NONE) {
        struct check_listing l = {.check = c};
        err = fs_list(c->data_dir, check_entry, &l);
        if (err == ERR_NONE)
            err = l.err;
        if (err == ERR_NONE)
            err = look_for_missing_folders(c);
        if (err != ERR_NONE)
            snprintf(why, CONFIG_WHY_BYTES, "The data folder %.300s cannot be read: %s.", c->data_dir, err_text(err));
    }
    check_close(c);
    return err;
}
