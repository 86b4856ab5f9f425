/* Linear probing from the slot that the hash names. A removed entry leaves a tombstone, so that removing while going
 * through the map moves nothing; tombstones go when the table is built anew, which happens when three quarters are used.
 * A new table is sized by what lives, so it grows no further than four times the entries. */
#include "core/map.h"
#include "core/rng.h"
#include <string.h>

enum { FIRST_CAP = 16 };
static const uint32_t cap_max = 1u << 30;

/* --- hashes --- */

static uint64_t load_hash_word(const uint8_t *at, size_t bytes)
{
    uint64_t v = 0;
    memcpy(&v, at, bytes < 8 ? bytes : 8);
    return v;
}

/* Folded 128-bit products, as wyhash has them: each 16 bytes cost one multiplication. */
static uint64_t mix_stable(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t hash_stable(const void *at, size_t bytes, uint64_t seed)
{
    static const uint64_t p0 = 0xa0761d6478bd642full, p1 = 0xe7037ed1a0b428dbull, p2 = 0x8ebc6af09c88c6e3ull;
    assert(at || bytes == 0);
    if (bytes == 0)
        return mix_stable(mix_stable(seed ^ p0, p1) ^ p2, p1);
    const uint8_t *p = at;
    uint64_t h = mix_stable(seed ^ p0, p1);
    size_t left = bytes;
    for (; left > 16; left -= 16, p += 16)
        h = mix_stable(load_hash_word(p, 8) ^ p1, load_hash_word(p + 8, 8) ^ h);
    uint64_t a = load_hash_word(p, left), b = left > 8 ? load_hash_word(p + 8, left - 8) : 0;
    h = mix_stable(a ^ p2, b ^ h);
    return mix_stable(h ^ bytes, p1);
}

/* What no peer knows. */
static uint64_t secrets[4] = {0xa0761d6478bd642full, 0xe7037ed1a0b428dbull, 0x8ebc6af09c88c6e3ull,
                              0x589965cc75374cc3ull};

void hash_seed(uint64_t seed)
{
    struct rng rng = {.state = seed};
    for (size_t i = 0; i < COUNT_OF(secrets); i++)
        secrets[i] = rng_next(&rng) | 1;
}

/* The same with both operands secret, and kept: a factor of zero lets the other one through instead of swallowing it. */
static uint64_t mix_secret(uint64_t a, uint64_t b)
{
    return mix_stable(a, b) ^ a ^ b;
}

static uint32_t hash_of_key(const void *key, size_t bytes)
{
    assert(key);
    const uint8_t *p = key;
    uint64_t h = secrets[0] ^ bytes;
    size_t left = bytes;
    for (; left > 16; left -= 16, p += 16)
        h = mix_secret(load_hash_word(p, 8) ^ secrets[1] ^ h, load_hash_word(p + 8, 8) ^ secrets[2]);
    uint64_t a = load_hash_word(p, left), b = left > 8 ? load_hash_word(p + 8, left - 8) : 0;
    h = mix_secret(a ^ secrets[1] ^ h, b ^ secrets[2]);
    return (uint32_t)mix_secret(h, secrets[3]);
}

/* --- the map --- */

void map_init(struct map *m, struct heap *heap)
{
    assert(m && heap);
    *m = (struct map){.heap = heap};
}

void map_deinit(struct map *m)
{
    assert(m && m->heap);
    heap_free(m->heap, m->v);
    m->v = NULL;
    m->count = m->used = m->cap = 0;
}

static bool entry_holds(const struct map_entry *e, uint32_t hash, const void *key, size_t bytes)
{
    return e->value && e->hash == hash && e->key_bytes == bytes && memcmp(e->key, key, bytes) == 0;
}

/* The entry of the key, or the never used one that ends the search. There always is one. */
static struct map_entry *find_entry(const struct map *m, uint32_t hash, const void *key, size_t bytes)
{
    assert(m->cap > 0);
    uint32_t mask = m->cap - 1, at = hash & mask;
    while (m->v[at].key && !entry_holds(&m->v[at], hash, key, bytes))
        at = (at + 1) & mask;
    return &m->v[at];
}

void *map_get(const struct map *m, const void *key, size_t key_bytes)
{
    assert(key);
    return m->count ? find_entry(m, hash_of_key(key, key_bytes), key, key_bytes)->value : NULL;
}

static bool rebuild_table(struct map *m)
{
    assert(m->count <= m->used);
    struct map old = *m;
    uint32_t cap = FIRST_CAP;
    while (cap < (old.count + 1) * 2ull && cap < cap_max)
        cap *= 2;
    struct map_entry *v = heap_zalloc(m->heap, cap * sizeof *v);
    if (!v)
        return false;
    m->v = v;
    m->cap = cap;
    m->used = old.count;
    for (uint32_t i = 0; i < old.cap; i++) {
        const struct map_entry *e = &old.v[i];
        if (e->value)
            *find_entry(m, e->hash, e->key, e->key_bytes) = *e;
    }
    heap_free(m->heap, old.v);
    return true;
}

enum err map_put(struct map *m, const void *key, size_t key_bytes, void *value)
{
    assert(key);
    assert(value);
    assert(key_bytes <= UINT32_MAX);
    if ((m->used + 1) * 4ull > m->cap * 3ull && !rebuild_table(m))
        return ERR_NO_MEMORY;
    uint32_t hash = hash_of_key(key, key_bytes);
    struct map_entry *e = find_entry(m, hash, key, key_bytes);
    assert(!e->key);
    *e = (struct map_entry){.key = key, .key_bytes = (uint32_t)key_bytes, .hash = hash, .value = value};
    m->count++;
    m->used++;
    assert(m->used < m->cap);
    return ERR_NONE;
}

void map_replace(struct map *m, const void *key, size_t key_bytes, void *value)
{
    assert(key);
    assert(value);
    assert(m->count > 0);
    struct map_entry *e = find_entry(m, hash_of_key(key, key_bytes), key, key_bytes);
    assert(e->value);
    e->key = key;
    e->value = value;
}

void *map_remove(struct map *m, const void *key, size_t key_bytes)
{
    assert(key);
    if (m->count == 0)
        return NULL;
    struct map_entry *e = find_entry(m, hash_of_key(key, key_bytes), key, key_bytes);
    void *value = e->value;
    if (!value)
        return NULL;
    /* The key's memory may go now: a tombstone only has to differ from a never used entry, and is never compared. */
    *e = (struct map_entry){.key = m};
    m->count--;
    return value;
}

void *map_next(const struct map *m, uint32_t *cursor)
{
    assert(cursor);
    while (*cursor < m->cap) {
        void *value = m->v[(*cursor)++].value;
        if (value)
            return value;
    }
    return NULL;
}

uint64_t map_check(const struct map *m)
{
    uint32_t count = 0, used = 0;
    uint64_t steps = 0;
    assert(m->cap == 0 || (m->cap & (m->cap - 1)) == 0);
    for (uint32_t at = 0; at < m->cap; at++) {
        const struct map_entry *e = &m->v[at];
        used += e->key != NULL;
        if (!e->value)
            continue;
        count++;
        assert(e->key);
        assert(e->hash == hash_of_key(e->key, e->key_bytes));
        for (uint32_t i = e->hash & (m->cap - 1); i != at; i = (i + 1) & (m->cap - 1), steps++)
            assert(m->v[i].key); /* else it would not be found */
    }
    assert(count == m->count);
    assert(used == m->used);
    assert(used < m->cap || m->cap == 0);
    return steps;
}
