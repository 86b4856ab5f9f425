/* Open addressing, linear probing; nothing is ever taken out. */
#include "storage/clean/dedupe.h"

struct dedupe_slot {
    struct key_hash hash;
    int64_t end; /* offset + 1; 0: free */
};
static_assert(sizeof(struct dedupe_slot) == DEDUPE_SLOT_BYTES, "the README and dedupe.h say so");

static const uint64_t slots_min = 64;

enum err dedupe_open(struct dedupe *d, struct heap *heap, uint64_t keys_max, uint64_t bytes_max, double load,
                     const uint64_t secret[2])
{
    assert(load > 0 && load < 1);
    *d = (struct dedupe){.heap = heap, .secret = {secret[0], secret[1]}};
    uint64_t most = bytes_max / DEDUPE_SLOT_BYTES, want = most;
    if ((double)keys_max / load < (double)most)
        want = (uint64_t)((double)keys_max / load) + 1;
    want = u64_min(u64_max(want, slots_min), most);
    d->count_max = (uint64_t)((double)want * load);
    if (d->count_max < 1)
        return ERR_INVALID;
    d->slots = want;
    assert(d->count_max < d->slots);
    d->v = heap_zalloc(heap, (size_t)want * DEDUPE_SLOT_BYTES);
    return d->v ? ERR_NONE : ERR_NO_MEMORY;
}

void dedupe_close(struct dedupe *d)
{
    assert(!d->v || d->heap);
    if (d->v)
        heap_free(d->heap, d->v);
    *d = (struct dedupe){.v = NULL};
}

/* Its slot, or the free one that ends the search. */
static struct dedupe_slot *find_dedupe_slot(const struct dedupe *d, struct key_hash h)
{
    assert(d->count < d->slots);
    __extension__ unsigned __int128 place = (unsigned __int128)h.high * d->slots;
    uint64_t at = (uint64_t)(place >> 64);
    while (d->v[at].end && (d->v[at].hash.low != h.low || d->v[at].hash.high != h.high))
        at = at + 1 < d->slots ? at + 1 : 0;
    return &d->v[at];
}

bool dedupe_put(struct dedupe *d, const void *key, size_t bytes, int64_t offset)
{
    assert(offset >= 0);
    struct key_hash h = key_hash(d->secret, key, bytes);
    struct dedupe_slot *s = find_dedupe_slot(d, h);
    if (!s->end && d->count == d->count_max)
        return false;
    d->count += !s->end;
    assert(s->end <= offset);
    s->hash = h;
    s->end = offset + 1;
    dedupe_cover(d, offset + 1);
    return true;
}

void dedupe_cover(struct dedupe *d, int64_t end_offset)
{
    assert(d->v);
    if (end_offset > d->end_offset)
        d->end_offset = end_offset;
}

int64_t dedupe_find(const struct dedupe *d, const void *key, size_t bytes)
{
    assert(d->v);
    return find_dedupe_slot(d, key_hash(d->secret, key, bytes))->end - 1;
}

void dedupe_check(const struct dedupe *d)
{
    uint64_t count = 0;
    for (uint64_t i = 0; i < d->slots; i++) {
        const struct dedupe_slot *s = &d->v[i];
        count += s->end > 0;
        assert(s->end <= d->end_offset);
        assert(!s->end || find_dedupe_slot(d, s->hash) == s);
    }
    assert(count == d->count && d->count <= d->count_max);
}
