/* Topics, their names, and one shard's view of them (catalog.h). */
#include "storage/catalog/catalog.h"
#include "core/bytes.h"
#include <string.h>

uint16_t topic_shard(const uint8_t id[16], int32_t partition, uint16_t shard_count)
{
    uint8_t key[20];
    assert(shard_count > 0);
    memcpy(key, id, 16);
    be32_put(key + 16, (uint32_t)partition);
    return (uint16_t)(hash_stable(key, sizeof key, 0) % shard_count);
}

static bool is_letter_legal(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
}

bool topic_name_legal(const uint8_t *name, size_t bytes)
{
    if (bytes == 0 || bytes > TOPIC_NAME_MAX)
        return false;
    bool letters = false;
    for (size_t i = 0; i < bytes; i++) {
        if (!is_letter_legal(name[i]))
            return false;
        letters |= name[i] != '.';
    }
    return letters || bytes > 2;
}

enum err catalog_init(struct catalog *c, struct heap *heap)
{
    assert(c && heap);
    *c = (struct catalog){.heap = heap};
    map_init(&c->by_name, heap);
    map_init(&c->by_id, heap);
    entities_init(&c->entities, heap);
    return ERR_NONE;
}

void catalog_deinit(struct catalog *c)
{
    assert(c->count <= c->cap);
    if (!c->heap)
        return;
    map_deinit(&c->by_name);
    map_deinit(&c->by_id);
    entities_deinit(&c->entities);
    heap_free(c->heap, c->sorted);
    *c = (struct catalog){0};
}

/* Is topic `t` before this name? */
static bool name_before(const struct topic *t, const uint8_t *name, size_t bytes)
{
    assert(t && (name || bytes == 0));
    size_t own = strlen(t->name);
    int order = memcmp(t->name, name, own < bytes ? own : bytes);
    return order < 0 || (order == 0 && own < bytes);
}

uint32_t catalog_lower_bound(const struct catalog *c, const uint8_t *name, size_t bytes)
{
    assert(c->count <= c->cap);
    uint32_t low = 0, high = c->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (name_before(c->sorted[middle], name, bytes))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint32_t find_topic_place(const struct catalog *c, const struct topic *t)
{
    assert(t->name[0]);
    return catalog_lower_bound(c, (const uint8_t *)t->name, strlen(t->name));
}

static enum err grow_sorted(struct catalog *c)
{
    assert(c->heap);
    assert(c->count <= c->cap);
    if (c->count < c->cap)
        return ERR_NONE;
    uint32_t cap = c->cap ? c->cap * 2 : 16;
    struct topic **sorted = heap_realloc(c->heap, c->sorted, cap * sizeof *sorted);
    if (!sorted)
        return ERR_NO_MEMORY;
    c->sorted = sorted;
    c->cap = cap;
    return ERR_NONE;
}

static enum err put_name_and_id(struct catalog *c, struct topic *t)
{
    assert(c->by_name.count == c->by_id.count);
    enum err err = map_put(&c->by_name, t->name, strlen(t->name), t);
    if (err != ERR_NONE)
        return err;
    err = map_put(&c->by_id, t->id, sizeof t->id, t);
    if (err != ERR_NONE)
        map_remove(&c->by_name, t->name, strlen(t->name));
    return err;
}

enum err catalog_add(struct catalog *c, struct topic *t)
{
    assert(!catalog_by_name(c, (const uint8_t *)t->name, strlen(t->name)));
    assert(!catalog_by_id(c, t->id));
    enum err err = grow_sorted(c);
    if (err == ERR_NONE)
        err = put_name_and_id(c, t);
    if (err != ERR_NONE)
        return err;
    uint32_t at = find_topic_place(c, t);
    memmove(c->sorted + at + 1, c->sorted + at, (c->count - at) * sizeof *c->sorted);
    c->sorted[at] = t;
    c->count++;
    c->partitions_total += (uint64_t)t->partitions;
    return ERR_NONE;
}

/* A topic that could not be added for lack of memory is not there: nothing to do. */
void catalog_remove(struct catalog *c, struct topic *t)
{
    assert(c->by_name.count == c->count);
    assert(t->partitions > 0);
    uint32_t at = find_topic_place(c, t);
    if (at == c->count || c->sorted[at] != t)
        return;
    map_remove(&c->by_name, t->name, strlen(t->name));
    map_remove(&c->by_id, t->id, sizeof t->id);
    c->count--;
    c->partitions_total -= (uint64_t)t->partitions;
    memmove(c->sorted + at, c->sorted + at + 1, (c->count - at) * sizeof *c->sorted);
}

/* A topic that could not be added for lack of memory is not there: nothing to do. */
void catalog_replace(struct catalog *c, struct topic *old, struct topic *t)
{
    assert(strcmp(old->name, t->name) == 0 && memcmp(old->id, t->id, sizeof t->id) == 0);
    uint32_t at = find_topic_place(c, old);
    if (at == c->count || c->sorted[at] != old)
        return;
    map_replace(&c->by_name, t->name, strlen(t->name), t);
    map_replace(&c->by_id, t->id, sizeof t->id, t);
    c->sorted[at] = t;
    c->partitions_total += (uint64_t)t->partitions - (uint64_t)old->partitions;
}

struct topic *catalog_by_name(const struct catalog *c, const uint8_t *name, size_t bytes)
{
    assert(c->heap);
    return map_get(&c->by_name, name, bytes);
}

struct topic *catalog_by_id(const struct catalog *c, const uint8_t id[16])
{
    assert(c->heap);
    return map_get(&c->by_id, id, 16);
}
