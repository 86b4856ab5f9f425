/* See txn_parts.h. */
#include "net/txn/txn_parts.h"
#include "core/array.h"
#include <stdlib.h>

/* The first topic that is not before this one. */
static int32_t bisect_part_topic(const struct txn_parts *s, struct kview topic)
{
    int32_t low = 0, high = s->count;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (kview_compare(s->topics[middle].name, topic) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int32_t bisect_part_index(const struct txn_topic *t, int32_t partition)
{
    int32_t low = 0, high = t->count;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (t->partitions[middle] < partition)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_part_topic(const struct txn_parts *s, int32_t i, struct kview topic)
{
    return i < s->count && kview_same(s->topics[i].name, topic);
}

void txn_parts_init(struct txn_parts *s, struct heap *heap)
{
    *s = (struct txn_parts){.heap = heap};
}

static void free_part_topic(struct txn_parts *s, struct txn_topic *t)
{
    heap_free(s->heap, (void *)(uintptr_t)t->name.at);
    heap_free(s->heap, t->partitions);
}

void txn_parts_deinit(struct txn_parts *s)
{
    for (int32_t i = 0; i < s->count; i++)
        free_part_topic(s, &s->topics[i]);
    heap_free(s->heap, s->topics);
    txn_parts_init(s, s->heap);
}

bool txn_parts_has(const struct txn_parts *s, struct kview topic, int32_t partition)
{
    int32_t i = bisect_part_topic(s, topic);
    if (!is_part_topic(s, i, topic))
        return false;
    const struct txn_topic *t = &s->topics[i];
    int32_t at = bisect_part_index(t, partition);
    return at < t->count && t->partitions[at] == partition;
}

static enum err insert_part_topic(struct txn_parts *s, int32_t i, struct kview topic)
{
    uint32_t capacity = (uint32_t)s->capacity;
    struct txn_topic *topics = array_grow(s->heap, s->topics, &capacity, (uint32_t)s->count + 1, sizeof *topics);
    if (!topics)
        return ERR_NO_MEMORY;
    s->topics = topics;
    s->capacity = (int32_t)capacity;
    uint8_t *name = heap_alloc(s->heap, (size_t)topic.n + 1);
    if (!name)
        return ERR_NO_MEMORY;
    if (topic.n > 0)
        memcpy(name, topic.at, (size_t)topic.n);
    memmove(&topics[i + 1], &topics[i], (size_t)(s->count - i) * sizeof *topics);
    topics[i] = (struct txn_topic){.name = {name, topic.n}};
    s->count++;
    return ERR_NONE;
}

static enum err insert_part_index(struct txn_parts *s, struct txn_topic *t, int32_t partition)
{
    int32_t at = bisect_part_index(t, partition);
    if (at < t->count && t->partitions[at] == partition)
        return ERR_NONE;
    uint32_t capacity = (uint32_t)t->capacity;
    int32_t *v = array_grow(s->heap, t->partitions, &capacity, (uint32_t)t->count + 1, sizeof *v);
    if (!v)
        return ERR_NO_MEMORY;
    t->partitions = v;
    t->capacity = (int32_t)capacity;
    memmove(&v[at + 1], &v[at], (size_t)(t->count - at) * sizeof *v);
    v[at] = partition;
    t->count++;
    s->partitions++;
    return ERR_NONE;
}

/* A topic without partitions is no topic. */
static void drop_part_topic(struct txn_parts *s, int32_t i)
{
    free_part_topic(s, &s->topics[i]);
    memmove(&s->topics[i], &s->topics[i + 1], (size_t)(s->count - i - 1) * sizeof *s->topics);
    s->count--;
}

enum err txn_parts_add(struct txn_parts *s, struct kview topic, int32_t partition)
{
    assert(topic.n >= 0);
    int32_t i = bisect_part_topic(s, topic);
    if (!is_part_topic(s, i, topic) && insert_part_topic(s, i, topic))
        return ERR_NO_MEMORY;
    enum err err = insert_part_index(s, &s->topics[i], partition);
    if (s->topics[i].count == 0)
        drop_part_topic(s, i);
    return err;
}

static int compare_txn_partitions(const struct txn_partition *a, const struct txn_partition *b)
{
    int by_topic = kview_compare(a->topic, b->topic);
    return by_topic ? by_topic : (a->partition > b->partition) - (a->partition < b->partition);
}

static int compare_for_sorting(const void *a, const void *b)
{
    return compare_txn_partitions(a, b);
}

/* One after the other in their order: each goes to the end, so that nothing is moved. */
static enum err merge_sorted_parts(const struct txn_parts *s, const struct txn_partition *sorted, uint32_t count,
                                   struct txn_parts *to)
{
    struct txn_partition part;
    int32_t topic = 0, at = 0;
    uint32_t i = 0;
    bool more = txn_parts_next(s, &topic, &at, &part);
    while (more || i < count) {
        bool old = more && (i == count || compare_txn_partitions(&part, &sorted[i]) <= 0);
        const struct txn_partition *next = old ? &part : &sorted[i++];
        if (txn_parts_add(to, next->topic, next->partition))
            return ERR_NO_MEMORY;
        if (old)
            more = txn_parts_next(s, &topic, &at, &part);
    }
    return ERR_NONE;
}

enum err txn_parts_merge(const struct txn_parts *s, const struct txn_partition *added, uint32_t count,
                         struct txn_parts *to)
{
    assert(to->count == 0);
    struct txn_partition *sorted = heap_alloc(to->heap, (size_t)count * sizeof *sorted + 1);
    if (!sorted)
        return ERR_NO_MEMORY;
    if (count > 0)
        memcpy(sorted, added, (size_t)count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_for_sorting);
    enum err err = merge_sorted_parts(s, sorted, count, to);
    heap_free(to->heap, sorted);
    if (err)
        txn_parts_deinit(to);
    return err;
}

bool txn_parts_next(const struct txn_parts *s, int32_t *topic, int32_t *at, struct txn_partition *out)
{
    if (*topic < s->count && *at == s->topics[*topic].count) {
        ++*topic;
        *at = 0;
    }
    if (*topic == s->count)
        return false;
    *out = (struct txn_partition){s->topics[*topic].name, s->topics[*topic].partitions[*at]};
    ++*at;
    return true;
}

void txn_parts_check(const struct txn_parts *s)
{
    uint32_t partitions = 0;
    for (int32_t i = 0; i < s->count; i++) {
        const struct txn_topic *t = &s->topics[i];
        assert(t->count > 0);
        assert(i == 0 || kview_compare(s->topics[i - 1].name, t->name) < 0);
        for (int32_t k = 1; k < t->count; k++)
            assert(t->partitions[k - 1] < t->partitions[k]);
        partitions += (uint32_t)t->count;
    }
    assert(partitions == s->partitions);
}
