/* Hash map from short byte strings (names, ids) to pointers: open addressing, linear probing, grown by doubling. A large table grows by and by:
 * each put clears a bit of the new one, then moves a few entries of the old one, so that none takes long.
 * Keys are lent by the value: they must stay where they are while the entry lives. */
#pragma once
#include "core/err.h"
#include "core/mem.h"

struct map_entry {
    const void *key; /* NULL: never used; a removed entry keeps a tombstone */
    uint32_t key_bytes, hash;
    void *value; /* NULL with a key: removed */
};
struct map {
    struct map_entry *v;
    uint32_t count, used, cap; /* count: of both tables; used: of v; cap: 0 or a power of two */
    struct heap *heap;
    struct map_entry *old;  /* the table before, while entries of it remain to be moved: those from old_at on */
    struct map_entry *next; /* the table to come, while it is cleared: up to next_at; never beside an old one */
    uint32_t next_cap, next_at;
    uint32_t old_cap, old_at, old_count; /* old_cap stays when it is gone: map_next counts on from there */
};
void map_init(struct map *m, struct heap *heap);
void map_deinit(struct map *m);
void *map_get(const struct map *m, const void *key, size_t key_bytes); /* NULL: not there */
/* The key must not be there. `value` is not NULL. */
enum err map_put(struct map *m, const void *key, size_t key_bytes, void *value) must_use;
/* The key must be there; the entry has this key (the same bytes elsewhere) and value from now on. Moves nothing. */
void map_replace(struct map *m, const void *key, size_t key_bytes, void *value);
void *map_remove(struct map *m, const void *key, size_t key_bytes); /* what was there, or NULL */
/* Goes through all values: start with *cursor = 0; NULL at the end. Removing the current one is allowed. A put in between may make it
 * show a value twice, or miss some when a new table was begun. */
void *map_next(const struct map *m, uint32_t *cursor);
/* Asserts that the fields agree; returns how many steps beyond the first it takes to find every entry once. Slow. */
uint64_t map_check(const struct map *m);

/* Once, before there is a map and before there are threads, from rng_seed_os: what a key's place depends on. Peers choose many of
 * the keys (names, ids), and must not be able to choose keys that collide. */
void hash_seed(uint64_t seed);
/* The same on every machine and in every version, since a partition's shard is found by it. Not for keys that peers choose. */
uint64_t hash_stable(const void *at, size_t bytes, uint64_t seed);
