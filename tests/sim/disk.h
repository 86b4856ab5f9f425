/* The simulated disk: files in two versions, what the caches hold and what is on stable media.
 *
 *   write --> cache (each 512-byte sector gets a number: dirty) --sync--> stable
 *
 * kill -9: the cache stays. Power cut: of the dirty sectors some are kept, some lost; a size or a name that was not synced
 * is kept or lost; what stable media hold is the file from then on. Names: changes of one folder reach stable media in
 * their order, those of different folders independently. A sync that fails makes some of it stable; the
 * rest stays dirty. (A kernel may also forget that it was dirty, so that a later sync says yes and does nothing. That is not
 * simulated: nobody who comes later could know.) */
#pragma once
#include "core/err.h"
#include "tests/sim/world.h"

enum { DISK_SECTOR = 512 };
struct disk_node;

void disk_begin(void); /* an empty disk */
/* All descriptors are gone; CRASH_POWER also forgets. Operations in flight were landed or dropped before. */
void disk_crash(enum crash_kind kind);

/* --- files by descriptor --- */
struct disk_node *disk_node_of(int fd); /* asserts that it is an open file */
bool disk_is_direct(int fd);
void disk_close(int fd);

/* --- their bytes --- */
uint64_t disk_size(const struct disk_node *n);
uint32_t disk_read(const struct disk_node *n, void *to, uint64_t bytes, uint64_t off); /* up to the end of the file */
/* From where at or behind `off` there may be anything but zeros; UINT64_MAX: nowhere. */
uint64_t disk_data_from(const struct disk_node *n, uint64_t off);
/* To the cache: the disk's own where it is direct. */
void disk_write(struct disk_node *n, const void *from, uint64_t bytes, uint64_t off, bool direct);
/* The same sectors on stable media, with the file's size. */
void disk_sync_range(struct disk_node *n, uint64_t bytes, uint64_t off);
/* What was written before `mark` becomes stable. */
uint64_t disk_mark(void);
void disk_sync(struct disk_node *n, uint64_t mark);
void disk_sync_failed(struct disk_node *n);
/* A flush of the disk: of every file, what direct writes before `mark` changed in pages whose place was durable before (fs_shares_flush). */
void disk_flush(uint64_t mark);
void disk_set_size(struct disk_node *n, uint64_t bytes);
/* A write that was in flight when the power went: each sector old or new on stable media. */
void disk_tear(struct disk_node *n, const void *from, uint64_t bytes, uint64_t off);
/* No room for what would grow this file to `end`. */
bool disk_refuses(const struct disk_node *n, uint64_t end);
