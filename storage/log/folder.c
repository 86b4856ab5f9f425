/* Lists a partition's folder. */
#include "storage/log/folder.h"
#include "storage/log/segment.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEFTOVERS_MAX = 1 << 20, SEGMENTS_MAX = 1 << 24 }; /* far beyond any folder; a bound for the arithmetic */

static bool name_ends_with(const char *name, const char *suffix)
{
    size_t n = strlen(name), s = strlen(suffix);
    return n > s && memcmp(name + n - s, suffix, s) == 0;
}

static enum err add_folder_offset(struct folder *f, struct folder_offsets *o, int64_t offset)
{
    assert(o->count <= o->cap);
    assert(offset >= 0);
    if (o->count == o->cap) {
        uint32_t cap = o->cap ? o->cap * 2 : 16;
        int64_t *v = cap > SEGMENTS_MAX ? NULL : heap_realloc(f->heap, o->v, cap * sizeof *v);
        if (!v)
            return ERR_NO_MEMORY;
        o->v = v;
        o->cap = cap;
    }
    o->v[o->count++] = offset;
    return ERR_NONE;
}

static enum err add_leftover(struct folder *f, const char *name)
{
    assert(f->leftover_count <= f->leftover_cap);
    if (f->leftover_count == f->leftover_cap) {
        uint32_t cap = f->leftover_cap ? f->leftover_cap * 2 : 4;
        char(*v)[256] = cap > LEFTOVERS_MAX ? NULL : heap_realloc(f->heap, f->leftovers, cap * sizeof *v);
        if (!v)
            return ERR_NO_MEMORY;
        f->leftovers = v;
        f->leftover_cap = cap;
    }
    snprintf(f->leftovers[f->leftover_count++], sizeof *f->leftovers, "%s", name);
    return ERR_NONE;
}

static bool take_folder_entry(void *arg, const struct fs_entry *entry)
{
    struct folder *f = arg;
    assert(f->err == ERR_NONE);
    int64_t offset;
    if (entry->folder)
        return true;
    if (segment_parse_name(entry->name, ".log", &offset))
        f->err = add_folder_offset(f, &f->segments, offset);
    else if (segment_parse_name(entry->name, ".snapshot", &offset))
        f->err = add_folder_offset(f, &f->snapshots, offset);
    else if (name_ends_with(entry->name, ".tmp") || name_ends_with(entry->name, ".deleted") ||
             name_ends_with(entry->name, ".cleaned"))
        f->err = add_leftover(f, entry->name);
    return f->err == ERR_NONE;
}

static int compare_folder_offsets(const void *x, const void *y)
{
    int64_t a = *(const int64_t *)x, b = *(const int64_t *)y;
    return (a > b) - (a < b);
}
static void sort_folder_offsets(struct folder_offsets *o)
{
    assert(o->v || !o->count);
    if (o->count)
        qsort(o->v, o->count, sizeof *o->v, compare_folder_offsets);
}

enum err folder_read(struct folder *f, struct heap *heap, const char *dir)
{
    assert(heap);
    assert(dir);
    *f = (struct folder){.heap = heap, .dir = dir};
    enum err err = fs_list(dir, take_folder_entry, f);
    err = err ? err : f->err;
    if (err) {
        folder_close(f);
        return err;
    }
    sort_folder_offsets(&f->segments);
    sort_folder_offsets(&f->snapshots);
    return ERR_NONE;
}
void folder_close(struct folder *f)
{
    assert(f->segments.count <= f->segments.cap);
    heap_free(f->heap, f->segments.v);
    heap_free(f->heap, f->snapshots.v);
    heap_free(f->heap, f->leftovers);
    *f = (struct folder){.heap = f->heap};
}

enum err folder_remove(const char *dir, const char *name)
{
    assert(dir);
    assert(name[0]);
    char path[FS_PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    if (n < 0 || n >= FS_PATH_MAX)
        return ERR_INVALID;
    enum err err = fs_unlink(path);
    return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

enum err folder_remove_segment(const char *dir, int64_t base_offset)
{
    assert(base_offset >= 0);
    static const char *const suffixes[] = {".snapshot", ".timeindex", ".index", ".txnindex", ".log"};
    for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
        char name[64];
        snprintf(name, sizeof name, "%020" PRId64 "%s", base_offset, suffixes[i]);
        enum err err = folder_remove(dir, name);
        if (err)
            return err;
    }
    return ERR_NONE;
}
