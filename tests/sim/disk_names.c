/* Names: a list for what the system shows, a list for stable media, and the changes between them in order. */
#include "tests/sim/disk_names.h"
#include "core/fs.h"
#include <stdio.h>
#include <string.h>

enum change_kind { CHANGE_LINK, CHANGE_UNLINK, CHANGE_RENAME };
struct change {
    struct change *next;
    enum change_kind kind;
    struct disk_node *node;
    char *folder, *path, *to;
};

static struct disk_name *shown, *stable;
static struct change *changes, **changes_end = &changes;

void names_begin(void)
{
    shown = stable = NULL;
    changes = NULL;
    changes_end = &changes;
}

static uint64_t hash_of(const char *path)
{
    uint64_t h = 0xcbf29ce484222325ull;
    for (; *path; path++)
        h = (h ^ (uint8_t)*path) * 0x100000001b3ull;
    return h;
}

static struct disk_name **place(struct disk_name **list, const char *path)
{
    uint64_t h = hash_of(path);
    while (*list && ((*list)->hash != h || strcmp((*list)->path, path) != 0))
        list = &(*list)->next;
    return list;
}

static void put(struct disk_name **list, const char *path, struct disk_node *node)
{
    struct disk_name **at = place(list, path);
    if (*at) {
        (*at)->node = node;
        return;
    }
    struct disk_name *n = world_alloc(sizeof *n + strlen(path) + 1);
    n->hash = hash_of(path);
    n->node = node;
    strcpy(n->path, path);
    *at = n;
}

static void take(struct disk_name **list, const char *path)
{
    struct disk_name **at = place(list, path);
    if (*at)
        *at = (*at)->next;
}

static char *copy(const char *text)
{
    return strcpy(world_alloc(strlen(text) + 1), text);
}

static void change_in(const char *folder, enum change_kind kind, const char *path, const char *to,
                      struct disk_node *node)
{
    struct change *c = world_alloc(sizeof *c);
    *c = (struct change){
        .kind = kind, .node = node, .folder = copy(folder), .path = copy(path), .to = to ? copy(to) : NULL};
    *changes_end = c;
    changes_end = &c->next;
}

static void change(enum change_kind kind, const char *path, const char *to, struct disk_node *node)
{
    char parent[FS_PATH_MAX];
    names_parent(path, parent);
    change_in(parent, kind, path, to, node);
}

static void apply(struct disk_name **list, const struct change *c)
{
    if (c->kind == CHANGE_LINK) {
        put(list, c->path, c->node);
        return;
    }
    take(list, c->path);
    if (c->kind == CHANGE_RENAME)
        put(list, c->to, c->node);
}

/* --- what the system shows --- */

void names_parent(const char *path, char *out)
{
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    memcpy(out, path, n);
    out[n] = 0;
}

struct disk_name *names_find(const char *path)
{
    return *place(&shown, path);
}

bool names_folder_exists(const char *path)
{
    if (!path[0])
        return true;
    const struct disk_name *n = names_find(path);
    return n && !n->node;
}

void names_link(const char *path, struct disk_node *node)
{
    put(&shown, path, node);
    change(CHANGE_LINK, path, NULL, node);
}

void names_unlink(const char *path)
{
    take(&shown, path);
    change(CHANGE_UNLINK, path, NULL, NULL);
}

/* What is in a folder goes with it, and is stable when its name is. */
static void rename_below(const char *from, const char *to)
{
    char parent[FS_PATH_MAX], path[FS_PATH_MAX];
    size_t n = strlen(from);
    names_parent(from, parent);
    for (struct disk_name *d = shown, *next; d; d = next) {
        next = d->next;
        if (strncmp(d->path, from, n) != 0 || d->path[n] != '/')
            continue;
        snprintf(path, sizeof path, "%s%s", to, d->path + n);
        change_in(parent, CHANGE_RENAME, d->path, path, d->node);
        struct disk_node *node = d->node;
        take(&shown, d->path);
        put(&shown, path, node);
    }
}

void names_rename(const char *from, const char *to)
{
    struct disk_node *node = names_find(from)->node;
    take(&shown, from);
    put(&shown, to, node);
    change(CHANGE_RENAME, from, to, node);
    if (!node)
        rename_below(from, to);
}

struct disk_name *names_in(const char *folder, struct disk_name *after)
{
    size_t n = strlen(folder);
    for (struct disk_name *d = after ? after->next : shown; d; d = d->next)
        if (strncmp(d->path, folder, n) == 0 && d->path[n] == '/' && !strchr(d->path + n + 1, '/'))
            return d;
    return NULL;
}

/* --- what is stable --- */

static void settle(const char *folder, uint64_t count)
{
    struct change **at = &changes;
    while (*at) {
        struct change *c = *at;
        if (count == 0 || strcmp(c->folder, folder) != 0) {
            at = &c->next;
            continue;
        }
        apply(&stable, c);
        count--;
        *at = c->next;
    }
    changes_end = at;
}

void names_sync(const char *folder)
{
    settle(folder, UINT64_MAX);
}

void names_sync_all(void)
{
    while (changes)
        names_sync(changes->folder);
    for (struct disk_name *n = shown; n; n = n->next)
        if (n->node)
            disk_sync(n->node, disk_mark());
}

static uint64_t count_changes(const char *folder)
{
    uint64_t count = 0;
    for (const struct change *c = changes; c; c = c->next)
        count += strcmp(c->folder, folder) == 0;
    return count;
}

static void drop_changes(const char *folder)
{
    struct change **at = &changes;
    while (*at) {
        if (strcmp((*at)->folder, folder) == 0)
            *at = (*at)->next;
        else
            at = &(*at)->next;
    }
    changes_end = at;
}

static bool reachable(const char *path)
{
    char parent[FS_PATH_MAX];
    names_parent(path, parent);
    return names_folder_exists(parent);
}

/* Of each folder's changes the first few are kept; then only what can be reached is there. A folder stands in the list
 * before what is in it. */
void names_forget(void)
{
    while (changes) {
        const char *folder = changes->folder;
        settle(folder, dice(count_changes(folder) + 1));
        drop_changes(folder);
    }
    shown = NULL;
    for (bool more = true; more;) {
        more = false;
        for (const struct disk_name *n = stable; n; n = n->next) {
            if (names_find(n->path) || !reachable(n->path))
                continue;
            put(&shown, n->path, n->node);
            more = true;
        }
    }
    stable = NULL;
    for (const struct disk_name *n = shown; n; n = n->next)
        put(&stable, n->path, n->node);
}
