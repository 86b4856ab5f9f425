/* See stat.h. An entry is published by the count, after it was written whole. */
#include "core/stat.h"
#include <string.h>

struct stat_entry {
    char name[STAT_NAME_BYTES];
    uint32_t kind, at;
};
enum { ENTRIES_MAX = 128, KIND_COUNTER = 0, KIND_HISTOGRAM = 1, KIND_TABLE = 2 };
struct stats {
    char magic[16];
    uint32_t shard;
    _Atomic uint32_t count;
    struct stat_entry entries[ENTRIES_MAX];
};
static_assert(offsetof(struct stats, entries) == 24, "stat.h draws it");
static_assert(sizeof(struct stat_entry) == 40, "stat.h draws it");
static_assert(sizeof(struct stats) % sizeof(uint64_t) == 0, "words follow");

static const char stats_magic[16] = {'o', 'd', 'r', 'a', 'd', 'e', 'k', ' ', 's', 't', 'a', 't', 's', ' ', '1', '\n'};

struct stats *stats_init(void *block, uint32_t shard)
{
    assert(block);
    assert((uintptr_t)block % _Alignof(struct stats) == 0);
    struct stats *s = block;
    memcpy(s->magic, stats_magic, sizeof s->magic);
    s->shard = shard;
    atomic_store_explicit(&s->count, 0, memory_order_release);
    return s;
}

/* Behind the last one's words. */
static uint32_t next_stat_at(const struct stats *s, uint32_t count)
{
    if (count == 0)
        return sizeof *s;
    const struct stat_entry *last = &s->entries[count - 1];
    static const uint32_t bytes[] = {
        [KIND_COUNTER] = sizeof(struct stat_counter),
        [KIND_HISTOGRAM] = sizeof(struct stat_histogram),
        [KIND_TABLE] = sizeof(struct stat_table),
    };
    assert(last->kind < COUNT_OF(bytes));
    return last->at + bytes[last->kind];
}

static void *register_stat(struct stats *s, const char *name, uint32_t kind, size_t bytes)
{
    uint32_t count = atomic_load_explicit(&s->count, memory_order_relaxed), at = next_stat_at(s, count);
    assert(name[0] && strlen(name) < STAT_NAME_BYTES);
    assert(count < ENTRIES_MAX);
    assert(at + bytes <= STATS_BYTES);
    for (uint32_t i = 0; i < count; i++)
        assert(strcmp(s->entries[i].name, name) != 0);
    struct stat_entry *e = &s->entries[count];
    memset(e, 0, sizeof *e);
    memcpy(e->name, name, strlen(name));
    e->kind = kind;
    e->at = at;
    memset((uint8_t *)s + at, 0, bytes);
    atomic_store_explicit(&s->count, count + 1, memory_order_release);
    return (uint8_t *)s + at;
}

struct stat_counter *stats_counter(struct stats *s, const char *name)
{
    return register_stat(s, name, KIND_COUNTER, sizeof(struct stat_counter));
}

struct stat_histogram *stats_histogram(struct stats *s, const char *name)
{
    return register_stat(s, name, KIND_HISTOGRAM, sizeof(struct stat_histogram));
}

struct stat_table *stats_table(struct stats *s, const char *name)
{
    return register_stat(s, name, KIND_TABLE, sizeof(struct stat_table));
}

uint32_t stat_bucket(uint64_t value)
{
    if (value < 8)
        return (uint32_t)value;
    uint32_t power = 63 - (uint32_t)__builtin_clzll(value); /* 3 to 63 */
    uint32_t bucket = (power - 2) * 8 + (uint32_t)(value >> (power - 3) & 7);
    assert(bucket < STAT_BUCKETS);
    return bucket;
}

uint64_t stat_bucket_start(uint32_t bucket)
{
    assert(bucket < STAT_BUCKETS);
    if (bucket < 8)
        return bucket;
    return (uint64_t)(8 + bucket % 8) << (bucket / 8 - 1);
}

static void add_relaxed(_Atomic uint64_t *word, uint64_t n)
{
    atomic_store_explicit(word, atomic_load_explicit(word, memory_order_relaxed) + n, memory_order_relaxed);
}

void stat_note(struct stat_histogram *h, uint64_t value)
{
    assert(h);
    add_relaxed(&h->buckets[stat_bucket(value)], 1);
    add_relaxed(&h->sum, value);
}

uint64_t stat_count(const struct stat_histogram *h)
{
    assert(h);
    uint64_t count = 0;
    for (uint32_t i = 0; i < STAT_BUCKETS; i++)
        count += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
    return count;
}

uint64_t stat_quantile(const struct stat_histogram *h, uint32_t permille)
{
    assert(permille <= 1000);
    uint64_t count = stat_count(h), before = 0;
    uint64_t wanted = (count * permille + 999) / 1000; /* the how-manyth */
    wanted = u64_max(wanted, 1);
    for (uint32_t i = 0; i < STAT_BUCKETS && count > 0; i++) {
        before += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
        if (before >= wanted)
            return stat_bucket_start(i);
    }
    return 0;
}

/* --- rows: their words are stored one behind the other (release), so that whoever sees a new one sees the odd version too --- */

static void make_odd(_Atomic uint64_t *version)
{
    uint64_t had = atomic_load_explicit(version, memory_order_relaxed);
    assert((uintptr_t)version % sizeof had == 0);
    atomic_store_explicit(version, had | 1, memory_order_relaxed);
}

static void make_even(_Atomic uint64_t *version)
{
    uint64_t had = atomic_load_explicit(version, memory_order_relaxed);
    assert((uintptr_t)version % sizeof had == 0);
    atomic_store_explicit(version, (had | 1) + 1, memory_order_release);
}

void stat_row_begin(struct stat_row *r)
{
    assert(r);
    make_odd(&r->version);
}

void stat_row_put(struct stat_row *r, size_t at, const void *from, size_t bytes)
{
    assert(at >= sizeof *r && at % sizeof(uint64_t) == 0);
    assert(bytes % sizeof(uint64_t) == 0);
    _Atomic uint64_t *words = &r->version + at / sizeof(uint64_t);
    for (size_t i = 0; i < bytes / sizeof(uint64_t); i++) {
        uint64_t word;
        memcpy(&word, (const uint8_t *)from + i * sizeof word, sizeof word);
        atomic_store_explicit(&words[i], word, memory_order_release);
    }
}

void stat_row_end(struct stat_row *r)
{
    assert(r);
    make_even(&r->version);
}

void stat_table_begin(struct stat_table *t)
{
    assert(t);
    make_odd(&t->moves.value);
}

void stat_table_end(struct stat_table *t)
{
    assert(t);
    make_even(&t->moves.value);
}
