/* <data>/.clean, the clean mark: which partitions were stopped well, so that their ends need no looking at. Written last at a
 * clean stop, gone while a broker runs; a mark that is not whole counts as none.
 *
 *   "odradek clean 1\n" | u8 all | u32 count | count x (topic id 16 | i32 partition), sorted | u32 crc32c of all before
 *
 * `all`: no partition of the catalog was left out. Big-endian. */
#pragma once
#include "core/fs.h"
#include "core/mem.h"

struct clean_entry {
    uint8_t topic_id[16];
    int32_t partition;
};
struct clean_mark {
    struct heap *heap;
    struct clean_entry *v;
    uint32_t count, cap;
    bool all;
};
void clean_mark_init(struct clean_mark *m, struct heap *heap);
void clean_mark_deinit(struct clean_mark *m);
enum err clean_mark_add(struct clean_mark *m, const uint8_t topic_id[16], int32_t partition) must_use;
/* Of a mark that was loaded. */
bool clean_mark_has(const struct clean_mark *m, const uint8_t topic_id[16], int32_t partition);
/* ERR_NOT_FOUND: none, or not whole. */
enum err clean_mark_load(struct clean_mark *m, const char *data_dir) must_use;
enum err clean_mark_save(struct clean_mark *m, const char *data_dir) must_use; /* durable */
/* Durable; also of a mark that is not whole. Without one nothing is synced. */
enum err clean_mark_remove(const char *data_dir) must_use;
