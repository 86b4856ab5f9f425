#include "net/group/offsets.h"
#include "core/bytes.h"

/* A committed and its texts in one block:   struct committed | topic | partition, big-endian | metadata
 *                                                             '---- key of the map ----'               */
enum { PARTITION_BYTES = 4, KEY_MAX = OFFSETS_TOPIC_MAX + PARTITION_BYTES };

static size_t make_offset_key(uint8_t key[KEY_MAX], struct kview topic, int32_t partition)
{
    assert(topic.n >= 0 && topic.n <= OFFSETS_TOPIC_MAX);
    memcpy(key, topic.at, (size_t)topic.n);
    be32_put(key + topic.n, (uint32_t)partition);
    return (size_t)topic.n + PARTITION_BYTES;
}

static struct committed *find_offset(const struct offsets *o, struct kview topic, int32_t partition)
{
    uint8_t key[KEY_MAX];
    if (topic.n < 0 || topic.n > OFFSETS_TOPIC_MAX)
        return NULL;
    size_t bytes = make_offset_key(key, topic, partition);
    return map_get(&o->by_partition, key, bytes);
}

static struct committed *copy_offset(struct heap *heap, const struct committed *c)
{
    size_t key = (size_t)c->topic.n + PARTITION_BYTES;
    struct committed *mine = heap_alloc(heap, sizeof *mine + key + (size_t)c->metadata.n);
    if (!mine)
        return NULL;
    uint8_t *at = (uint8_t *)(mine + 1);
    *mine = *c;
    make_offset_key(at, c->topic, c->partition);
    if (c->metadata.n > 0)
        memcpy(at + key, c->metadata.at, (size_t)c->metadata.n);
    mine->topic.at = at;
    mine->metadata.at = at + key;
    return mine;
}

void offsets_init(struct offsets *o, struct heap *heap)
{
    assert(heap);
    o->heap = heap;
    map_init(&o->by_partition, heap);
}

void offsets_deinit(struct offsets *o)
{
    uint32_t cursor = 0;
    struct committed *c;
    while ((c = map_next(&o->by_partition, &cursor)))
        heap_free(o->heap, c);
    map_deinit(&o->by_partition);
}

const struct committed *offsets_get(const struct offsets *o, struct kview topic, int32_t partition)
{
    return find_offset(o, topic, partition);
}

/* The entry's key must point into the block that it has from now on. */
static enum err place_offset(struct offsets *o, struct committed *c)
{
    struct committed *old = find_offset(o, c->topic, c->partition);
    size_t key = (size_t)c->topic.n + PARTITION_BYTES;
    if (old) {
        map_replace(&o->by_partition, c->topic.at, key, c);
        heap_free(o->heap, old);
        return ERR_NONE;
    }
    const struct map_entry *before = o->by_partition.v;
    enum err err = map_put(&o->by_partition, c->topic.at, key, c);
    if (o->by_partition.v != before)
        o->moved++;
    return err;
}

enum err offsets_put(struct offsets *o, const struct committed *c)
{
    assert(c->metadata.n >= 0);
    if (c->topic.n < 0 || c->topic.n > OFFSETS_TOPIC_MAX)
        return ERR_INVALID;
    struct committed *mine = copy_offset(o->heap, c);
    if (!mine)
        return ERR_NO_MEMORY;
    enum err err = place_offset(o, mine);
    if (err)
        heap_free(o->heap, mine);
    return err;
}

enum err offsets_move(struct offsets *to, struct offsets *from, const struct committed *c)
{
    struct committed *mine = find_offset(from, c->topic, c->partition);
    const struct committed *there = find_offset(to, c->topic, c->partition);
    assert(mine == c);
    assert(to->heap == from->heap);
    if (there && there->position > mine->position) {
        offsets_remove(from, mine->topic, mine->partition);
        return ERR_NONE;
    }
    if (place_offset(to, mine))
        return ERR_NO_MEMORY;
    map_remove(&from->by_partition, mine->topic.at, (size_t)mine->topic.n + PARTITION_BYTES);
    return ERR_NONE;
}

void offsets_remove(struct offsets *o, struct kview topic, int32_t partition)
{
    struct committed *c = find_offset(o, topic, partition);
    if (!c)
        return;
    map_remove(&o->by_partition, c->topic.at, (size_t)c->topic.n + PARTITION_BYTES);
    heap_free(o->heap, c);
}

const struct committed *offsets_next(const struct offsets *o, uint32_t *cursor)
{
    return map_next(&o->by_partition, cursor);
}
