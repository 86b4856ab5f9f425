/* Linear probing from the slot that the hash names. A removed entry leaves a tombstone, so that removing while going
 * through the map moves nothing; tombstones go when the table is built anew, which happens when three quarters are used.
 * A new table is sized by what lives, so it grows no further than four times the entries.
 *
 * While a large table gives way to a new one there are two. A key is in one of them: new ones go into the new table, and each put moves so
 * many slots of the old one that it is empty before the new one is full. What was moved leaves a tombstone. */
#include "core/map.h"
#include "core/rng.h"
#include <string.h>

enum {
    FIRST_CAP = 16,
    MOVED_AT_ONCE = 1024, /* slots: some 10 us */
    CLEARED_PER_PUT =
        24, /* slots: what is half full has been cleared twice its size before it is three quarters full */
};
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
    heap_free(m->heap, m->old);
    heap_free(m->heap, m->next);
    map_init(m, m->heap);
}

static bool entry_holds(const struct map_entry *e, uint32_t hash, const void *key, size_t bytes)
{
    return e->value && e->hash == hash && e->key_bytes == bytes && memcmp(e->key, key, bytes) == 0;
}

/* The entry of the key, or the never used one that ends the search. There always is one. */
static struct map_entry *find_in_table(struct map_entry *v, uint32_t cap, uint32_t hash, const void *key, size_t bytes)
{
    assert(cap > 0);
    uint32_t mask = cap - 1, at = hash & mask;
    while (v[at].key && !entry_holds(&v[at], hash, key, bytes))
        at = (at + 1) & mask;
    return &v[at];
}

/* The same in both tables; what is in neither would go into the new one. */
static struct map_entry *find_entry(const struct map *m, uint32_t hash, const void *key, size_t bytes)
{
    struct map_entry *e = find_in_table(m->v, m->cap, hash, key, bytes);
    if (e->value || m->old_count == 0)
        return e;
    struct map_entry *before = find_in_table(m->old, m->old_cap, hash, key, bytes);
    return before->value ? before : e;
}

void *map_get(const struct map *m, const void *key, size_t key_bytes)
{
    assert(key);
    return m->count ? find_entry(m, hash_of_key(key, key_bytes), key, key_bytes)->value : NULL;
}

static void move_entries(struct map *m, uint32_t slots)
{
    assert(m->old);
    for (; slots > 0 && m->old_at < m->old_cap; slots--, m->old_at++) {
        struct map_entry *e = &m->old[m->old_at];
        if (!e->value)
            continue;
        *find_in_table(m->v, m->cap, e->hash, e->key, e->key_bytes) = *e;
        *e = (struct map_entry){.key = m};
        m->used++;
        m->old_count--;
    }
    if (m->old_at < m->old_cap)
        return;
    assert(m->old_count == 0);
    heap_free(m->heap, m->old);
    m->old = NULL;
}

static uint32_t choose_cap(uint64_t count)
{
    uint32_t cap = FIRST_CAP;
    while (cap < (count + 1) * 2 && cap < cap_max)
        cap *= 2;
    return cap;
}

static void clear_next_table(struct map *m, uint32_t slots)
{
    assert(m->next_at <= m->next_cap);
    slots = (uint32_t)u64_min(slots, m->next_cap - m->next_at);
    memset(m->next + m->next_at, 0, slots * sizeof *m->next);
    m->next_at += slots;
}

/* Without memory it is tried again, at the latest when there is no room. */
static void prepare_next_table(struct map *m)
{
    assert(!m->old && !m->next);
    m->next_cap = choose_cap((uint64_t)m->count + m->cap / 4);
    m->next_at = 0;
    m->next = heap_alloc(m->heap, m->next_cap * sizeof *m->next);
}

/* Cleared; NULL: no memory. */
static struct map_entry *take_next_table(struct map *m, uint32_t cap)
{
    struct map_entry *v = m->next;
    if (v && m->next_cap == cap)
        clear_next_table(m, m->next_cap);
    else
        v = heap_zalloc(m->heap, cap * sizeof *v);
    if (v && v != m->next)
        heap_free(m->heap, m->next);
    if (v)
        m->next = NULL;
    return v;
}

static bool begin_new_table(struct map *m)
{
    assert(!m->old && m->count <= m->used);
    uint32_t cap = choose_cap(m->count);
    struct map_entry *v = take_next_table(m, cap);
    if (!v)
        return false;
    m->old = m->v;
    m->old_cap = m->cap;
    m->old_at = 0;
    m->old_count = m->count;
    m->v = v;
    m->cap = cap;
    m->used = 0;
    if (m->old && m->old_cap <= MOVED_AT_ONCE)
        move_entries(m, m->old_cap);
    return true;
}

/* A new table has room for a quarter of its slots in puts until it is full. */
static uint32_t slots_per_put(const struct map *m)
{
    assert(m->cap >= FIRST_CAP);
    return m->old_cap / (m->cap / 4) + 1;
}

static bool make_map_room(struct map *m)
{
    if (m->old)
        move_entries(m, slots_per_put(m));
    else if (m->next)
        clear_next_table(m, CLEARED_PER_PUT);
    else if (m->cap > MOVED_AT_ONCE && m->used > m->cap / 2)
        prepare_next_table(m);
    if ((m->used + m->old_count + 1) * 4ull <= m->cap * 3ull)
        return true;
    if (m->old)
        move_entries(m, m->old_cap);
    return begin_new_table(m);
}

enum err map_put(struct map *m, const void *key, size_t key_bytes, void *value)
{
    assert(key);
    assert(value);
    assert(key_bytes <= UINT32_MAX);
    if (!make_map_room(m))
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
    if (m->old && e >= m->old && e < m->old + m->old_cap)
        m->old_count--;
    return value;
}

void *map_next(const struct map *m, uint32_t *cursor)
{
    assert(cursor);
    if (!m->old && *cursor < m->old_cap)
        *cursor = m->old_cap;
    while (*cursor < m->old_cap + m->cap) {
        uint32_t at = (*cursor)++;
        void *value = at < m->old_cap ? m->old[at].value : m->v[at - m->old_cap].value;
        if (value)
            return value;
    }
    return NULL;
}

/* Of one table; counts what lives in it and what is used. */
static uint64_t check_table(const struct map_entry *v, uint32_t cap, uint32_t *out_count, uint32_t *out_used)
{
    uint32_t count = 0, used = 0;
    uint64_t steps = 0;
    assert((cap & (cap - 1)) == 0);
    for (uint32_t at = 0; at < cap; at++) {
        const struct map_entry *e = &v[at];
        used += e->key != NULL;
        if (!e->value)
            continue;
        count++;
        assert(e->key);
        assert(e->hash == hash_of_key(e->key, e->key_bytes));
        for (uint32_t i = e->hash & (cap - 1); i != at; i = (i + 1) & (cap - 1), steps++)
            assert(v[i].key); /* else it would not be found */
    }
    *out_count = count;
    *out_used = used;
    return steps;
}

uint64_t map_check(const struct map *m)
{
    uint32_t count = 0, used = 0, old_count = 0, old_used = 0;
    uint64_t steps = check_table(m->v, m->cap, &count, &used);
    if (m->old)
        steps += check_table(m->old, m->old_cap, &old_count, &old_used);
    assert(!m->old || !m->next);
    assert(!m->next || m->next_at <= m->next_cap);
    assert(old_count == m->old_count);
    assert(old_used < m->old_cap || !m->old);
    assert(count + old_count == m->count);
    assert(used == m->used);
    assert(used + old_count < m->cap || m->cap == 0);
    return steps;
}
