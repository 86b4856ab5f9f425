/* See txn_parts.h. */
#include "net/txn/txn_parts.h"
#include "core/array.h"

void txn_parts_init(struct txn_parts *s, struct heap *heap)
{
    *s = (struct txn_parts){.heap = heap};
}

void txn_parts_deinit(struct txn_parts *s)
{
    heap_free(s->heap, s->topics);
    heap_free(s->heap, s->numbers);
    heap_free(s->heap, s->names);
    txn_parts_init(s, s->heap);
}

struct txn_topic txn_parts_topic(const struct txn_parts *s, int32_t i)
{
    assert(i >= 0 && i < s->count);
    const struct txn_topic_place *t = &s->topics[i];
    return (struct txn_topic){{s->names + t->name_at, t->name_bytes}, s->numbers + t->first, t->count};
}

/* The first topic that is not before this one. */
static int32_t bisect_part_topic(const struct txn_parts *s, struct kview topic)
{
    int32_t low = 0, high = s->count;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (kview_compare(txn_parts_topic(s, middle).name, topic) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool txn_parts_has(const struct txn_parts *s, struct kview topic, int32_t partition)
{
    int32_t i = bisect_part_topic(s, topic);
    if (i == s->count || !kview_same(txn_parts_topic(s, i).name, topic))
        return false;
    struct txn_topic t = txn_parts_topic(s, i);
    int32_t low = 0, high = t.count;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (t.partitions[middle] < partition)
            low = middle + 1;
        else
            high = middle;
    }
    return low < t.count && t.partitions[low] == partition;
}

/* --- appending --- */

static enum err append_part_number(struct txn_parts *s, int32_t partition)
{
    int32_t *v = array_grow(s->heap, s->numbers, &s->numbers_capacity, s->partitions + 1, sizeof *v);
    if (!v)
        return ERR_NO_MEMORY;
    s->numbers = v;
    v[s->partitions] = partition;
    return ERR_NONE;
}

/* Its topic has no partitions yet. */
static enum err append_part_topic(struct txn_parts *s, struct kview name)
{
    struct txn_topic_place *topics =
        array_grow(s->heap, s->topics, &s->topics_capacity, (uint32_t)s->count + 1, sizeof *topics);
    if (!topics)
        return ERR_NO_MEMORY;
    s->topics = topics;
    uint8_t *names = array_grow(s->heap, s->names, &s->names_capacity, s->names_bytes + (uint32_t)name.n + 1, 1);
    if (!names)
        return ERR_NO_MEMORY;
    s->names = names;
    if (name.n > 0)
        memcpy(names + s->names_bytes, name.at, (size_t)name.n);
    topics[s->count++] =
        (struct txn_topic_place){.name_at = s->names_bytes, .first = s->partitions, .name_bytes = name.n};
    s->names_bytes += (uint32_t)name.n;
    return ERR_NONE;
}

enum err txn_parts_append(struct txn_parts *s, struct kview topic, int32_t partition)
{
    assert(topic.n >= 0);
    struct txn_topic last = {.count = 0};
    if (s->count > 0)
        last = txn_parts_topic(s, s->count - 1);
    int by_topic = s->count > 0 ? kview_compare(last.name, topic) : -1;
    assert(by_topic <= 0);
    assert(by_topic < 0 || last.partitions[last.count - 1] <= partition);
    if (by_topic == 0 && last.partitions[last.count - 1] == partition)
        return ERR_NONE;
    if (append_part_number(s, partition) || (by_topic < 0 && append_part_topic(s, topic)))
        return ERR_NO_MEMORY;
    s->topics[s->count - 1].count++;
    s->partitions++;
    return ERR_NONE;
}

/* --- all of them --- */

bool txn_parts_next(const struct txn_parts *s, int32_t *topic, int32_t *at, struct txn_partition *out)
{
    if (*topic < s->count && *at == s->topics[*topic].count) {
        ++*topic;
        *at = 0;
    }
    if (*topic == s->count)
        return false;
    struct txn_topic t = txn_parts_topic(s, *topic);
    *out = (struct txn_partition){t.name, t.partitions[*at]};
    ++*at;
    return true;
}

void txn_parts_check(const struct txn_parts *s)
{
    uint32_t partitions = 0, names_bytes = 0;
    for (int32_t i = 0; i < s->count; i++) {
        struct txn_topic t = txn_parts_topic(s, i);
        assert(t.count > 0);
        assert(s->topics[i].first == partitions);
        assert(s->topics[i].name_at == names_bytes);
        assert(i == 0 || kview_compare(txn_parts_topic(s, i - 1).name, t.name) < 0);
        for (int32_t k = 1; k < t.count; k++)
            assert(t.partitions[k - 1] < t.partitions[k]);
        partitions += (uint32_t)t.count;
        names_bytes += (uint32_t)t.name.n;
    }
    assert(partitions == s->partitions);
    assert(names_bytes == s->names_bytes);
}
