/* Kafka's data folders: whose they are, and what lies in them. */
#include "storage/adopt/adopt_state.h"
#include "storage/log/segment.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SMALL_FILE_MAX = 16 << 20, PARTITIONS_MAX = 1 << 20 };

bool adopt_path(char out[FS_PATH_MAX], const char *dir, const char *name)
{
    assert(dir && name);
    int n = snprintf(out, FS_PATH_MAX, "%s/%s", dir, name);
    return n > 0 && n < FS_PATH_MAX;
}

/* --- topics --- */

struct adopt_topic *adopt_source_topic(struct adopt_source *s, const char *name, size_t bytes)
{
    assert(bytes <= TOPIC_NAME_MAX);
    struct adopt_topic *t = map_get(&s->topics, name, bytes);
    if (t)
        return t;
    t = heap_zalloc(s->heap, sizeof *t);
    if (!t)
        return NULL;
    memcpy(t->name, name, bytes);
    settings_init(&t->settings, s->heap);
    if (map_put(&s->topics, t->name, bytes, t) == ERR_NONE)
        return t;
    heap_free(s->heap, t);
    return NULL;
}

static enum err add_adopt_partition(struct adopt_source *s, struct adopt_topic *t, int32_t number, uint32_t folder)
{
    assert(number >= 0);
    if (t->count == t->cap) {
        uint32_t cap = t->cap ? t->cap * 2 : 4;
        struct adopt_partition *v = cap > PARTITIONS_MAX ? NULL : heap_realloc(s->heap, t->v, cap * sizeof *v);
        if (!v)
            return ERR_NO_MEMORY;
        t->v = v;
        t->cap = cap;
    }
    t->v[t->count++] = (struct adopt_partition){.number = number, .folder = folder};
    return ERR_NONE;
}

static int compare_adopt_partition(const void *x, const void *y)
{
    const struct adopt_partition *a = x, *b = y;
    return (a->number > b->number) - (a->number < b->number);
}

/* --- one folder --- */

struct source_listing {
    struct adopt_source *source;
    struct adopt *adopt;
    uint32_t folder;
    enum err err;
};

/* Kafka renames what it deletes or moves: <topic>-<n>.<32 hex digits>-delete, -future, -stray. */
static bool visit_source_folder(void *arg, const struct fs_entry *entry)
{
    struct source_listing *l = arg;
    size_t bytes = 0;
    assert(l->err == ERR_NONE);
    if (!entry->folder)
        return true;
    int32_t number = strays_partition_of(entry->name, &bytes);
    if (number < 0) {
        const char *dash = strrchr(entry->name, '-');
        if (dash && (strcmp(dash, "-future") == 0 || strcmp(dash, "-stray") == 0))
            adopt_note(l->adopt, entry->name, "is no partition that Kafka serves: left alone");
        return true;
    }
    if (bytes == strlen("__cluster_metadata") && memcmp(entry->name, "__cluster_metadata", bytes) == 0)
        return true;
    struct adopt_topic *t = adopt_source_topic(l->source, entry->name, bytes);
    l->err = t ? add_adopt_partition(l->source, t, number, l->folder) : ERR_NO_MEMORY;
    return l->err == ERR_NONE;
}

static enum err refuse_source(const char *dir, const char *what, char *why)
{
    assert(dir[0] && what[0]);
    snprintf(why, CONFIG_WHY_BYTES, "%.300s %s", dir, what);
    return ERR_INVALID;
}

static enum err check_not_running(const char *dir, char *why)
{
    assert(dir[0]);
    char path[FS_PATH_MAX];
    bool locked = false;
    int fd;
    if (!adopt_path(path, dir, ".lock"))
        return refuse_source(dir, "is too long a path", why);
    enum err err = fs_open(path, FS_READ, &fd);
    if (err == ERR_NOT_FOUND)
        return ERR_NONE; /* a copy */
    if (err == ERR_NONE) {
        err = fs_is_locked(fd, &locked);
        fs_close(fd);
    }
    if (err == ERR_NONE && !locked)
        return ERR_NONE;
    snprintf(why, CONFIG_WHY_BYTES, "%.300s %s", dir,
             locked ? "is in use by a Kafka that runs: stop it first"
                    : "has a .lock that cannot be looked at: is this user allowed to read it?");
    return locked ? ERR_BUSY : err;
}

static enum err check_source_owner(struct adopt_source *s, struct adopt *a, const char *dir, char *why)
{
    assert(a->heap);
    struct meta m;
    enum err err = meta_load(a->heap, dir, &m);
    if (err == ERR_NOT_FOUND || err == ERR_CORRUPT)
        return refuse_source(dir, "has no meta.properties of a Kafka: give one of its log.dirs", why);
    if (err != ERR_NONE)
        return refuse_source(dir, err_text(err), why);
    if (m.format >= 0)
        return refuse_source(dir, "is a data folder of Odradek's own: name it in log.dirs instead", why);
    if (s->cluster_id[0] && strcmp(s->cluster_id, m.cluster_id) != 0)
        return refuse_source(dir, "is of another cluster than the folder before: adopt one after the other", why);
    memcpy(s->cluster_id, m.cluster_id, sizeof s->cluster_id);
    return check_not_running(dir, why);
}

/* "topic partition offset" lines behind two lines of head; what makes no sense is left out: the log says where it starts. */
static void take_log_starts(struct adopt_source *s, uint32_t folder, char *text)
{
    assert(folder < ADOPT_FOLDERS_MAX);
    char *line, *rest = text;
    for (int n = 0; (line = strsep(&rest, "\n")); n++) {
        char name[TOPIC_NAME_MAX + 1];
        int number;
        long long offset;
        if (n < 2 || sscanf(line, "%249s %d %lld", name, &number, &offset) != 3)
            continue;
        struct adopt_topic *t = map_get(&s->topics, name, strlen(name));
        for (uint32_t i = 0; t && i < t->count; i++)
            if (t->v[i].number == number && t->v[i].folder == folder && offset > 0)
                t->v[i].log_start = offset;
    }
}

static enum err read_log_starts(struct adopt_source *s, uint32_t folder, const char *dir)
{
    assert(folder < ADOPT_FOLDERS_MAX);
    char path[FS_PATH_MAX];
    uint8_t *at;
    size_t bytes;
    if (!adopt_path(path, dir, "log-start-offset-checkpoint"))
        return ERR_INVALID;
    enum err err = segment_read_file(s->heap, path, SMALL_FILE_MAX, &at, &bytes);
    if (err != ERR_NONE)
        return err == ERR_NOT_FOUND ? ERR_NONE : err;
    char *text = heap_alloc(s->heap, bytes + 1);
    if (text) {
        memcpy(text, at, bytes);
        text[bytes] = 0;
        take_log_starts(s, folder, text);
    }
    heap_free(s->heap, at);
    heap_free(s->heap, text);
    return text ? ERR_NONE : ERR_NO_MEMORY;
}

static bool note_clean_mark(void *arg, const struct fs_entry *entry)
{
    assert(entry->name[0]);
    bool *clean = arg;
    *clean |= strcmp(entry->name, ".kafka_cleanshutdown") == 0;
    return true;
}

static enum err open_source_folder(struct adopt_source *s, struct adopt *a, uint32_t folder, char *why)
{
    assert(folder < a->from_count);
    const char *dir = a->from[folder];
    struct source_listing l = {.source = s, .adopt = a, .folder = folder};
    enum err err = check_source_owner(s, a, dir, why);
    if (err != ERR_NONE)
        return err;
    err = fs_list(dir, visit_source_folder, &l);
    err = err == ERR_NONE ? l.err : err;
    if (err == ERR_NONE)
        err = fs_list(dir, note_clean_mark, &s->clean[folder]);
    if (err == ERR_NONE)
        err = read_log_starts(s, folder, dir);
    if (err != ERR_NONE)
        snprintf(why, CONFIG_WHY_BYTES, "%.300s cannot be read: %s.", dir, err_text(err));
    else if (!s->clean[folder])
        adopt_note(a, dir, "was not stopped well: what is torn at the end of a log is left out");
    return err;
}

enum err adopt_source_open(struct adopt_source *s, struct adopt *a, char *why)
{
    assert(a->from_count > 0 && a->from_count <= ADOPT_FOLDERS_MAX);
    uint32_t at = 0;
    *s = (struct adopt_source){.heap = a->heap, .epoch_max = -1, .producer_max = -1};
    map_init(&s->topics, a->heap);
    map_init(&s->by_id, a->heap);
    enum err err = ERR_NONE;
    for (uint32_t i = 0; err == ERR_NONE && i < a->from_count; i++)
        err = open_source_folder(s, a, i, why);
    for (struct adopt_topic *t; err == ERR_NONE && (t = map_next(&s->topics, &at));)
        if (t->count > 0)
            qsort(t->v, t->count, sizeof *t->v, compare_adopt_partition);
    return err == ERR_NONE ? adopt_metadata_read(s, a, why) : err;
}

void adopt_source_close(struct adopt_source *s)
{
    uint32_t at = 0;
    for (struct adopt_topic *t; (t = map_next(&s->topics, &at));) {
        settings_deinit(&t->settings);
        heap_free(s->heap, t->v);
        heap_free(s->heap, t);
    }
    map_deinit(&s->topics);
    map_deinit(&s->by_id);
}
