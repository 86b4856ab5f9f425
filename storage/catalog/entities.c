/* See entities.h. */
#include "storage/catalog/entities.h"
#include "core/array.h"
#include <string.h>

/* --- one --- */

struct entity *entity_new(struct heap *heap, enum entity_kind kind, const char *name,
                          const struct topic_override *settings, uint32_t count)
{
    assert(settings && count > 0);
    assert(kind >= ENTITY_GROUP && kind <= ENTITY_FEATURES);
    size_t head = align_up(sizeof(struct entity), 16), texts = topic_overrides_bytes(settings, count);
    size_t name_bytes = strlen(name) + 1, bytes = head + texts + name_bytes;
    uint8_t *block = heap_zalloc(heap, bytes);
    if (!block)
        return NULL;
    struct entity *e = (struct entity *)(void *)block;
    *e = (struct entity){.kind = kind, .count = count, .bytes = bytes};
    e->settings = topic_overrides_copy(block + head, settings, count);
    e->name = memcpy(block + head + texts, name, name_bytes);
    return e;
}

void entity_free(struct heap *heap, struct entity *e)
{
    assert(!e || e->count > 0);
    heap_free(heap, e);
}

const char *entity_setting(const struct entity *e, const char *name)
{
    assert(name);
    return e ? topic_override_find(e->settings, e->count, name) : NULL;
}

/* --- all --- */

void entities_init(struct entities *all, struct heap *heap)
{
    assert(all && heap);
    *all = (struct entities){.heap = heap};
}

void entities_deinit(struct entities *all)
{
    assert(all->count <= all->cap);
    if (all->heap)
        heap_free(all->heap, all->sorted);
    *all = (struct entities){0};
}

static int compare_entity(const struct entity *e, enum entity_kind kind, const char *name)
{
    assert(e && name);
    return e->kind != kind ? (e->kind < kind ? -1 : 1) : strcmp(e->name, name);
}

uint32_t entities_lower_bound(const struct entities *all, enum entity_kind kind, const char *name)
{
    assert(all->count <= all->cap);
    uint32_t low = 0, high = all->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare_entity(all->sorted[middle], kind, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct entity *entities_find(const struct entities *all, enum entity_kind kind, const char *name)
{
    uint32_t at = entities_lower_bound(all, kind, name);
    assert(at <= all->count);
    return at < all->count && compare_entity(all->sorted[at], kind, name) == 0 ? all->sorted[at] : NULL;
}

enum err entities_add(struct entities *all, struct entity *e)
{
    assert(!entities_find(all, e->kind, e->name));
    struct entity **sorted = array_grow(all->heap, all->sorted, &all->cap, all->count + 1, sizeof *sorted);
    if (!sorted)
        return ERR_NO_MEMORY;
    all->sorted = sorted;
    uint32_t at = entities_lower_bound(all, e->kind, e->name);
    memmove(sorted + at + 1, sorted + at, (all->count - at) * sizeof *sorted);
    sorted[at] = e;
    all->count++;
    all->bytes += e->bytes;
    return ERR_NONE;
}

void entities_remove(struct entities *all, const struct entity *e)
{
    uint32_t at = entities_lower_bound(all, e->kind, e->name);
    if (at == all->count || all->sorted[at] != e)
        return;
    assert(all->bytes >= e->bytes);
    all->count--;
    all->bytes -= e->bytes;
    memmove(all->sorted + at, all->sorted + at + 1, (all->count - at) * sizeof *all->sorted);
}

void entities_replace(struct entities *all, const struct entity *old, struct entity *e)
{
    assert(old->kind == e->kind && strcmp(old->name, e->name) == 0);
    uint32_t at = entities_lower_bound(all, old->kind, old->name);
    if (at == all->count || all->sorted[at] != old)
        return;
    all->sorted[at] = e;
    all->bytes = all->bytes - old->bytes + e->bytes;
}

void entities_check(const struct entities *all)
{
    size_t bytes = 0;
    assert(all->count <= all->cap);
    for (uint32_t i = 0; i < all->count; i++) {
        const struct entity *e = all->sorted[i];
        assert(e->count > 0);
        assert(i == 0 || compare_entity(all->sorted[i - 1], e->kind, e->name) < 0);
        for (uint32_t k = 1; k < e->count; k++)
            assert(strcmp(e->settings[k - 1].name, e->settings[k].name) < 0);
        bytes += e->bytes;
    }
    assert(bytes == all->bytes);
}
