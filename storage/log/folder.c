/* Lists a partition's folder. */
#include "storage/log/folder.h"
#include "core/array.h"
#include "storage/log/segment.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEFTOVERS_MAX = 1 << 20, SEGMENTS_MAX = 1 << 24 }; /* far beyond any folder; a bound for the arithmetic */

bool folder_name_ends(const char *name, const char *suffix)
{
    assert(suffix[0]);
    size_t n = strlen(name), s = strlen(suffix);
    return n > s && memcmp(name + n - s, suffix, s) == 0;
}

enum err folder_offsets_add(struct heap *heap, struct folder_offsets *o, int64_t offset)
{
    assert(o->count <= o->cap);
    assert(offset >= 0);
    int64_t *v = o->count < SEGMENTS_MAX ? array_grow(heap, o->v, &o->cap, o->count + 1, sizeof *v) : NULL;
    if (!v)
        return ERR_NO_MEMORY;
    o->v = v;
    o->v[o->count++] = offset;
    return ERR_NONE;
}

static enum err add_leftover(struct folder *f, const char *name)
{
    assert(f->leftover_count <= f->leftover_cap);
    char(*v)[256] = f->leftover_count < LEFTOVERS_MAX
                        ? array_grow(f->heap, f->leftovers, &f->leftover_cap, f->leftover_count + 1, sizeof *v)
                        : NULL;
    if (!v)
        return ERR_NO_MEMORY;
    f->leftovers = v;
    snprintf(f->leftovers[f->leftover_count++], sizeof *f->leftovers, "%s", name);
    return ERR_NONE;
}

/* A file of a segment, with that suffix behind its own. */
static bool is_segment_file(const char *name, const char *suffix, int64_t *out_base_offset)
{
    assert(suffix[0] == '.');
    static const char *const kinds[] = {".log", ".index", ".timeindex", ".snapshot", ".txnindex"};
    char both[32];
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        snprintf(both, sizeof both, "%s%s", kinds[i], suffix);
        if (segment_parse_name(name, both, out_base_offset))
            return true;
    }
    return false;
}

static bool take_folder_entry(void *arg, const struct fs_entry *entry)
{
    struct folder *f = arg;
    assert(f->err == ERR_NONE);
    int64_t offset;
    if (entry->folder)
        return true;
    if (segment_parse_name(entry->name, ".log", &offset))
        f->err = folder_offsets_add(f->heap, &f->segments, offset);
    else if (segment_parse_name(entry->name, ".snapshot", &offset))
        f->err = folder_offsets_add(f->heap, &f->snapshots, offset);
    else if (segment_parse_name(entry->name, ".index", &offset))
        f->err = folder_offsets_add(f->heap, &f->indexes, offset);
    else if (segment_parse_name(entry->name, ".txnindex", &offset))
        f->err = folder_offsets_add(f->heap, &f->aborted, offset);
    else if (segment_parse_name(entry->name, ".log.swap", &offset))
        f->err = folder_offsets_add(f->heap, &f->swaps, offset);
    else if (is_segment_file(entry->name, ".deleted", &offset))
        f->err = folder_offsets_add(f->heap, &f->deleted, offset);
    else if (folder_name_ends(entry->name, ".tmp") || is_segment_file(entry->name, ".cleaned", &offset) ||
             is_segment_file(entry->name, ".swap", &offset))
        f->err = add_leftover(f, entry->name);
    if (is_segment_file(entry->name, ".cleaned", &offset) && offset < f->cleaned_min)
        f->cleaned_min = offset;
    f->cleaned |= strcmp(entry->name, FOLDER_CLEANED) == 0;
    return f->err == ERR_NONE;
}

static int compare_folder_offsets(const void *x, const void *y)
{
    int64_t a = *(const int64_t *)x, b = *(const int64_t *)y;
    return (a > b) - (a < b);
}
/* Each once. */
static void sort_folder_offsets(struct folder_offsets *o)
{
    assert(o->v || !o->count);
    uint32_t kept = 0;
    if (o->count)
        qsort(o->v, o->count, sizeof *o->v, compare_folder_offsets);
    for (uint32_t i = 0; i < o->count; i++)
        if (kept == 0 || o->v[kept - 1] != o->v[i])
            o->v[kept++] = o->v[i];
    o->count = kept;
}

int64_t folder_offsets_between(const struct folder_offsets *o, int64_t from, int64_t to)
{
    assert(o->v || !o->count);
    uint32_t low = 0, high = o->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (o->v[middle] < from)
            low = middle + 1;
        else
            high = middle;
    }
    return low < o->count && o->v[low] < to ? o->v[low] : -1;
}
bool folder_offsets_have(const struct folder_offsets *o, int64_t offset)
{
    assert(offset >= 0);
    return folder_offsets_between(o, offset, offset + 1) == offset;
}

int64_t folder_lost_segment(const struct folder *f, int64_t from)
{
    assert(from >= 0);
    for (uint32_t i = 0; i < f->indexes.count; i++) {
        int64_t base_offset = f->indexes.v[i];
        if (base_offset >= from && !folder_offsets_have(&f->segments, base_offset) &&
            !folder_offsets_have(&f->deleted, base_offset))
            return base_offset;
    }
    return -1;
}

enum err folder_read(struct folder *f, struct heap *heap, const char *dir)
{
    assert(heap);
    assert(dir);
    *f = (struct folder){.heap = heap, .dir = dir, .cleaned_min = INT64_MAX};
    enum err err = fs_list(dir, take_folder_entry, f);
    err = err ? err : f->err;
    if (err) {
        folder_close(f);
        return err;
    }
    sort_folder_offsets(&f->segments);
    sort_folder_offsets(&f->snapshots);
    sort_folder_offsets(&f->indexes);
    sort_folder_offsets(&f->aborted);
    sort_folder_offsets(&f->swaps);
    sort_folder_offsets(&f->deleted);
    return ERR_NONE;
}
void folder_close(struct folder *f)
{
    assert(f->segments.count <= f->segments.cap);
    heap_free(f->heap, f->segments.v);
    heap_free(f->heap, f->snapshots.v);
    heap_free(f->heap, f->indexes.v);
    heap_free(f->heap, f->aborted.v);
    heap_free(f->heap, f->swaps.v);
    heap_free(f->heap, f->deleted.v);
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
