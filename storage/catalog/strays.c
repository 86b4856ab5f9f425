/* Folders that the catalog does not know (strays.h). */
#include "storage/catalog/strays.h"
#include "core/log.h"
#include "storage/catalog/catalog.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ASIDE_TRIES = 10000, STRAY_FOLDERS_MAX = 1 << 20 };

void strays_init(struct strays *s, struct heap *heap)
{
    assert(s && heap);
    s->heap = heap;
    map_init(&s->by_topic, heap);
}

void strays_deinit(struct strays *s)
{
    assert(s->heap);
    uint32_t cursor = 0;
    struct stray *stray;
    while ((stray = map_next(&s->by_topic, &cursor)))
        strays_forget(s, stray);
    map_deinit(&s->by_topic);
}

int32_t strays_partition_of(const char *folder, size_t *out_topic_bytes)
{
    assert(folder && out_topic_bytes);
    const char *dash = strrchr(folder, '-');
    if (!dash || !dash[1] || strspn(dash + 1, "0123456789") != strlen(dash + 1) || strlen(dash + 1) > 9)
        return -1;
    if (!topic_name_legal((const uint8_t *)folder, (size_t)(dash - folder)))
        return -1;
    *out_topic_bytes = (size_t)(dash - folder);
    return (int32_t)strtol(dash + 1, NULL, 10);
}

static struct stray *make_stray(struct strays *s, const char *topic, size_t bytes)
{
    assert(bytes > 0 && bytes <= TOPIC_NAME_MAX);
    struct stray *stray = heap_zalloc(s->heap, sizeof *stray + bytes + 1);
    if (!stray)
        return NULL;
    memcpy(stray->topic, topic, bytes);
    if (map_put(&s->by_topic, stray->topic, bytes, stray) == ERR_NONE)
        return stray;
    heap_free(s->heap, stray);
    return NULL;
}

enum err strays_add(struct strays *s, const char *folder)
{
    size_t bytes = 0;
    int32_t partition = strays_partition_of(folder, &bytes);
    assert(partition >= 0);
    struct stray *stray = map_get(&s->by_topic, folder, bytes);
    if (!stray)
        stray = make_stray(s, folder, bytes);
    if (!stray)
        return ERR_NO_MEMORY;
    if (stray->count == stray->cap) {
        uint32_t cap = stray->cap ? stray->cap * 2 : 4;
        char(*v)[256] = cap > STRAY_FOLDERS_MAX ? NULL : heap_realloc(s->heap, stray->folders, cap * sizeof *v);
        if (!v)
            return ERR_NO_MEMORY;
        stray->folders = v;
        stray->cap = cap;
    }
    snprintf(stray->folders[stray->count++], sizeof *stray->folders, "%s", folder);
    assert(stray->count <= stray->cap);
    return ERR_NONE;
}

struct stray *strays_find(const struct strays *s, const char *topic)
{
    assert(topic);
    return map_get(&s->by_topic, topic, strlen(topic));
}

void strays_forget(struct strays *s, struct stray *stray)
{
    void *was = map_remove(&s->by_topic, stray->topic, strlen(stray->topic));
    assert(was == stray);
    heap_free(s->heap, stray->folders);
    heap_free(s->heap, stray);
}

/* --- moving --- */

static bool stop_listing(void *arg, const struct fs_entry *entry)
{
    (void)entry;
    *(bool *)arg = true;
    return false;
}

/* A name there that is free. */
static enum err find_place_aside(const char *data_dir, const char *folder, char out[FS_PATH_MAX])
{
    for (int i = 0; i < ASIDE_TRIES; i++) {
        bool any;
        int n = snprintf(out, FS_PATH_MAX, "%s/" STRAYS_ASIDE "/%s.%d", data_dir, folder, i);
        if (n < 0 || n >= FS_PATH_MAX)
            return ERR_INVALID;
        enum err err = fs_list(out, stop_listing, &any);
        if (err != ERR_NONE)
            return err == ERR_NOT_FOUND ? ERR_NONE : err;
    }
    return ERR_EXISTS;
}

static enum err move_folder_aside(const char *data_dir, const char *folder)
{
    char from[FS_PATH_MAX], to[FS_PATH_MAX];
    int n = snprintf(from, sizeof from, "%s/%s", data_dir, folder);
    enum err err = n > 0 && n < FS_PATH_MAX ? find_place_aside(data_dir, folder, to) : ERR_INVALID;
    if (err == ERR_NONE)
        err = fs_rename(from, to);
    if (err == ERR_NOT_FOUND) /* somebody took it away */
        return ERR_NONE;
    if (err == ERR_NONE)
        log_warn("folder set aside",
                 "from=%s to=%s why=\"a topic of this name was created, and the catalog does not know the folder\"",
                 from, to);
    else
        log_error("folder not set aside", "folder=%s why=\"%s\"", from, err_text(err));
    return err;
}

enum err strays_move_aside(const struct stray *stray, const char *data_dir)
{
    assert(stray->count > 0);
    char aside[FS_PATH_MAX];
    int n = snprintf(aside, sizeof aside, "%s/" STRAYS_ASIDE, data_dir);
    if (n < 0 || n >= FS_PATH_MAX)
        return ERR_INVALID;
    enum err err = fs_mkdir(aside);
    err = err == ERR_EXISTS ? ERR_NONE : err;
    for (uint32_t i = 0; err == ERR_NONE && i < stray->count; i++)
        err = move_folder_aside(data_dir, stray->folders[i]);
    if (err == ERR_NONE)
        err = fs_sync_dir(aside);
    return err == ERR_NONE ? fs_sync_dir(data_dir) : err;
}
