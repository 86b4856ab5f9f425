/* What lies in a partition's folder: its segments and snapshots by offset, and what an interrupted job left there. */
#pragma once
#include "core/fs.h"
#include "core/mem.h"

struct folder_offsets {
    int64_t *v; /* rising */
    uint32_t count, cap;
};
struct folder {
    struct heap *heap;
    const char *dir; /* the caller's */
    struct folder_offsets segments, snapshots;
    char (*leftovers)[256]; /* names: *.tmp, which only we make */
    uint32_t leftover_count, leftover_cap;
    enum err err; /* while reading */
};
/* ERR_NOT_FOUND: no such folder. */
enum err folder_read(struct folder *f, struct heap *heap, const char *dir) must_use;
void folder_close(struct folder *f);
enum err folder_remove(const char *dir, const char *name) must_use; /* not being there is fine */
/* The log and all that belongs to it; the log goes last, so that an interrupted removal is done again. */
enum err folder_remove_segment(const char *dir, int64_t base_offset) must_use;
