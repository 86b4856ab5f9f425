/* A ring of parts in order of (segment, position); parts of one segment touch each other. */
#include "storage/log/tail.h"
#include "core/crc.h"
#include "core/limits.h"
#include <string.h>

static struct tail_part *tail_part_at(const struct tail *t, uint32_t i)
{
    assert(i < t->count);
    return &t->v[(t->first + i) & (t->cap - 1)];
}

void tail_init(struct tail *t, struct heap *heap)
{
    *t = (struct tail){.heap = heap};
}

void tail_clear(struct tail *t)
{
    for (uint32_t i = 0; i < t->count; i++)
        buf_put(tail_part_at(t, i)->buf);
    t->count = 0;
}

void tail_deinit(struct tail *t)
{
    tail_clear(t);
    heap_free(t->heap, t->v);
    t->v = NULL;
    t->cap = 0;
}

void tail_check(const struct tail *t)
{
    assert(t->count <= t->cap && (t->cap & (t->cap - 1)) == 0);
    for (uint32_t i = 0; i < t->count; i++) {
        const struct tail_part *p = tail_part_at(t, i), *before = i ? tail_part_at(t, i - 1) : NULL;
        assert(p->buf && p->from % PAGE_BYTES == 0);
        assert(!before || before->segment <= p->segment);
        assert(!before || before->segment != p->segment || before->from + before->buf->size == p->from);
    }
}

uint64_t tail_bytes(const struct tail *t)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < t->count; i++)
        sum += tail_part_at(t, i)->buf->size;
    return sum;
}

static enum err grow_tail(struct tail *t)
{
    assert(t->count <= t->cap);
    if (t->count < t->cap)
        return ERR_NONE;
    uint32_t cap = t->cap ? t->cap * 2 : 4;
    struct tail_part *v = heap_alloc(t->heap, cap * sizeof *v);
    if (!v)
        return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < t->count; i++)
        v[i] = *tail_part_at(t, i);
    heap_free(t->heap, t->v);
    t->v = v;
    t->cap = cap;
    t->first = 0;
    return ERR_NONE;
}

static enum err push_tail_part(struct tail *t, struct bufpool *pool, uint64_t segment, uint64_t from, uint32_t size)
{
    assert(from % PAGE_BYTES == 0);
    enum err err = grow_tail(t);
    if (err)
        return err;
    struct buf *b = bufpool_get(pool, BUF_TAILS, size);
    if (!b)
        return ERR_NO_MEMORY;
    t->count++;
    *tail_part_at(t, t->count - 1) = (struct tail_part){.buf = b, .segment = segment, .from = from};
    return ERR_NONE;
}

enum err tail_reserve(struct tail *t, struct bufpool *pool, uint64_t segment, uint64_t position, uint64_t bytes,
                      uint32_t size)
{
    assert(size >= PAGE_BYTES);
    for (;;) {
        struct tail_part *last = t->count ? tail_part_at(t, t->count - 1) : NULL;
        bool same = last && last->segment == segment;
        uint64_t end = same ? last->from + last->buf->size : align_down(position, PAGE_BYTES);
        assert(!same || end >= align_down(position, PAGE_BYTES)); /* no hole */
        if (same && end >= position + bytes)
            return ERR_NONE;
        assert(end <= position + bytes);
        enum err err = push_tail_part(t, pool, segment, end, size);
        if (err)
            return err;
    }
}

bool tail_evict(struct tail *t, uint64_t segment, uint64_t position)
{
    if (t->count == 0)
        return false;
    struct tail_part *oldest = tail_part_at(t, 0);
    bool below = oldest->segment < segment ||
                 (oldest->segment == segment && oldest->from + oldest->buf->size <= align_down(position, PAGE_BYTES));
    if (!below)
        return false;
    buf_put(oldest->buf);
    t->first = (t->first + 1) & (t->cap - 1);
    t->count--;
    return true;
}

void tail_unreserve(struct tail *t, uint64_t segment, uint64_t position)
{
    assert(segment > 0 || position == 0 || t->cap);
    while (t->count && tail_part_at(t, t->count - 1)->segment == segment &&
           tail_part_at(t, t->count - 1)->from >= position) {
        buf_put(tail_part_at(t, t->count - 1)->buf);
        t->count--;
    }
}

const struct tail_part *tail_find(const struct tail *t, uint64_t segment, uint64_t position, uint32_t *out_left)
{
    uint32_t low = 0, high = t->count; /* the last part that starts at or before (segment, position) */
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        const struct tail_part *p = tail_part_at(t, middle);
        bool before = p->segment < segment || (p->segment == segment && p->from <= position);
        if (before)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return NULL;
    const struct tail_part *p = tail_part_at(t, low - 1);
    if (p->segment != segment || position >= p->from + p->buf->size)
        return NULL;
    *out_left = (uint32_t)(p->from + p->buf->size - position);
    return p;
}

bool tail_begin(const struct tail *t, uint64_t segment, uint64_t *out_from)
{
    uint32_t low = 0, high = t->count;
    assert(t->count <= t->cap);
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (tail_part_at(t, middle)->segment < segment)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == t->count || tail_part_at(t, low)->segment != segment)
        return false;
    *out_from = tail_part_at(t, low)->from;
    return true;
}

static uint8_t *reserved_bytes(const struct tail *t, uint64_t segment, uint64_t position, uint32_t *out_left)
{
    const struct tail_part *p = tail_find(t, segment, position, out_left);
    assert(p);
    return p->buf->at + (position - p->from);
}

uint32_t tail_copy_in(struct tail *t, uint64_t segment, uint64_t position, const uint8_t *from, uint32_t bytes,
                      uint32_t crc_from)
{
    assert(from);
    assert(crc_from <= bytes);
    uint32_t crc = 0, done = 0;
    while (done < bytes) {
        uint32_t left;
        uint8_t *to = reserved_bytes(t, segment, position + done, &left);
        uint32_t n = (uint32_t)u64_min(left, bytes - done);
        if (done < crc_from)
            n = (uint32_t)u64_min(n, crc_from - done);
        if (done < crc_from)
            memcpy(to, from + done, n);
        else
            crc = crc32c_copy(crc, to, from + done, n);
        done += n;
    }
    return crc;
}

void tail_poke(struct tail *t, uint64_t segment, uint64_t position, const void *from, uint32_t bytes)
{
    (void)tail_copy_in(t, segment, position, from, bytes, bytes);
}

bool tail_peek(const struct tail *t, uint64_t segment, uint64_t position, void *to, uint32_t bytes)
{
    assert(to);
    for (uint32_t done = 0; done < bytes;) {
        uint32_t left;
        const struct tail_part *p = tail_find(t, segment, position + done, &left);
        if (!p)
            return false;
        uint32_t n = (uint32_t)u64_min(left, bytes - done);
        memcpy((uint8_t *)to + done, p->buf->at + (position + done - p->from), n);
        done += n;
    }
    return true;
}

uint32_t tail_crc(const struct tail *t, uint64_t segment, uint64_t position, uint32_t bytes)
{
    uint32_t crc = 0;
    for (uint32_t done = 0; done < bytes;) {
        uint32_t left;
        const uint8_t *p = reserved_bytes(t, segment, position + done, &left);
        uint32_t n = (uint32_t)u64_min(left, bytes - done);
        crc = crc32c(crc, p, n);
        done += n;
    }
    return crc;
}
