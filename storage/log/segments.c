/* An array that is appended to at its end and dropped from at its start. */
#include "storage/log/segments.h"
#include <string.h>

void segments_init(struct segments *ss, struct heap *heap)
{
    assert(heap);
    *ss = (struct segments){.heap = heap, .next_number = 1};
}

void segments_deinit(struct segments *ss)
{
    assert(ss->heap);
    assert(ss->count == 0);
    heap_free(ss->heap, ss->v);
    ss->v = NULL;
    ss->cap = 0;
}

void segments_check(const struct segments *ss)
{
    assert(ss->count <= ss->cap);
    for (uint32_t i = 0; i < ss->count; i++) {
        const struct segment *s = ss->v[i], *before = i ? ss->v[i - 1] : NULL;
        assert(s->number > 0 && s->number < ss->next_number);
        assert(s->next_offset >= s->base_offset);
        assert(!before || before->next_offset <= s->base_offset);
        assert(!before || before->base_offset < s->base_offset);
        assert(!before || before->number != s->number);
    }
}

enum err segments_reserve(struct segments *ss, uint32_t more)
{
    assert(more <= UINT32_MAX - ss->count);
    uint32_t want = ss->count + more;
    if (want <= ss->cap)
        return ERR_NONE;
    uint32_t cap = ss->cap > UINT32_MAX / 2 ? UINT32_MAX : ss->cap * 2;
    cap = cap < want ? want : cap;
    struct segment **v = heap_realloc(ss->heap, ss->v, (size_t)cap * sizeof(struct segment *));
    if (!v)
        return ERR_NO_MEMORY;
    ss->v = v;
    ss->cap = cap;
    return ERR_NONE;
}

void segments_push(struct segments *ss, struct segment *s)
{
    assert(ss->count < ss->cap);
    assert(!ss->count || ss->v[ss->count - 1]->base_offset < s->base_offset);
    s->number = ss->next_number++;
    ss->v[ss->count++] = s;
}

void segments_drop(struct segments *ss, uint32_t count)
{
    assert(count <= ss->count);
    ss->count -= count;
    if (ss->count > 0) /* an empty list has no memory */
        memmove(ss->v, ss->v + count, ss->count * sizeof *ss->v);
}

void segments_replace(struct segments *ss, uint32_t from, uint32_t count, struct segment *made)
{
    assert(count > 0 && from + count < ss->count); /* the active one stays the last */
    assert(made->base_offset == ss->v[from]->base_offset);
    assert(made->next_offset <= ss->v[from + count]->base_offset);
    made->number = ss->next_number++;
    ss->v[from] = made;
    memmove(ss->v + from + 1, ss->v + from + count, (ss->count - from - count) * sizeof(struct segment *));
    ss->count -= count - 1;
}

uint32_t segments_rank(const struct segments *ss, int64_t offset)
{
    assert(ss->count > 0);
    uint32_t low = 0, high = ss->count; /* the first that begins behind `offset` */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (ss->v[middle]->base_offset <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    bool in_gap = low && low < ss->count && ss->v[low - 1]->next_offset <= offset;
    return in_gap ? low : low ? low - 1 : 0;
}
