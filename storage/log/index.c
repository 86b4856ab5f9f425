/* Entries are kept in their file form; look-ups are binary searches over them. */
#include "storage/log/index.h"
#include "core/bytes.h"
#include <string.h>

void index_init(struct index *ix, struct heap *heap, int64_t base_offset, uint32_t segment_index_bytes)
{
    assert(heap);
    assert(base_offset >= 0);
    assert(segment_index_bytes >= INDEX_TIME_BYTES);
    *ix = (struct index){
        .base_offset = base_offset,
        .entries_max = segment_index_bytes / INDEX_OFFSET_BYTES,
        .max_timestamp = -1,
        .max_timestamp_offset = -1,
        .heap = heap,
    };
}
void index_deinit(struct index *ix)
{
    heap_free(ix->heap, ix->offsets);
    heap_free(ix->heap, ix->times);
    ix->offsets = ix->times = NULL;
    ix->offset_count = ix->time_count = ix->offset_cap = ix->time_cap = 0;
}

void index_clear(struct index *ix)
{
    ix->offset_count = ix->time_count = ix->bytes_since_entry = 0;
    ix->max_timestamp = ix->max_timestamp_offset = -1;
}

/* --- entries --- */

static int64_t entry_offset(const struct index *ix, uint32_t i)
{
    assert(i < ix->offset_count);
    return ix->base_offset + be32_get(ix->offsets + (size_t)i * INDEX_OFFSET_BYTES);
}
static uint32_t entry_file_position(const struct index *ix, uint32_t i)
{
    assert(i < ix->offset_count);
    return be32_get(ix->offsets + (size_t)i * INDEX_OFFSET_BYTES + 4);
}
static int64_t entry_time(const struct index *ix, uint32_t i)
{
    assert(i < ix->time_count);
    return (int64_t)be64_get(ix->times + (size_t)i * INDEX_TIME_BYTES);
}
static int64_t entry_time_offset(const struct index *ix, uint32_t i)
{
    assert(i < ix->time_count);
    return ix->base_offset + be32_get(ix->times + (size_t)i * INDEX_TIME_BYTES + 8);
}
static uint32_t time_entries_max(const struct index *ix)
{
    return (uint32_t)((uint64_t)ix->entries_max * INDEX_OFFSET_BYTES / INDEX_TIME_BYTES);
}

static enum err reserve_entries(struct heap *heap, uint8_t **v, uint32_t *cap, uint32_t count, uint32_t entry_bytes)
{
    assert(entry_bytes == INDEX_OFFSET_BYTES || entry_bytes == INDEX_TIME_BYTES);
    if (count <= *cap)
        return ERR_NONE;
    uint32_t want = *cap ? *cap * 2 : 8;
    want = want < count ? count : want;
    uint8_t *grown = heap_realloc(heap, *v, (size_t)want * entry_bytes);
    if (!grown)
        return ERR_NO_MEMORY;
    *v = grown;
    *cap = want;
    return ERR_NONE;
}

static void put_offset_entry(struct index *ix, int64_t last_offset, uint32_t position)
{
    assert(ix->offset_count < ix->offset_cap);
    assert(last_offset >= ix->base_offset);
    uint8_t *at = ix->offsets + (size_t)ix->offset_count++ * INDEX_OFFSET_BYTES;
    be32_put(at, (uint32_t)(last_offset - ix->base_offset));
    be32_put(at + 4, position);
}
/* Kafka's TimeIndex.maybeAppend: only a timestamp that rose. */
static void put_time_entry(struct index *ix)
{
    assert(ix->time_count < ix->time_cap);
    assert(ix->max_timestamp < 0 || ix->max_timestamp_offset >= ix->base_offset);
    int64_t last = ix->time_count ? entry_time(ix, ix->time_count - 1) : -1;
    if (ix->max_timestamp <= last)
        return;
    uint8_t *at = ix->times + (size_t)ix->time_count++ * INDEX_TIME_BYTES;
    be64_put(at, (uint64_t)ix->max_timestamp);
    be32_put(at + 8, (uint32_t)(ix->max_timestamp_offset - ix->base_offset));
}

enum err index_reserve(struct index *ix)
{
    enum err err = reserve_entries(ix->heap, &ix->offsets, &ix->offset_cap, ix->offset_count + 1, INDEX_OFFSET_BYTES);
    return err ? err : reserve_entries(ix->heap, &ix->times, &ix->time_cap, ix->time_count + 1, INDEX_TIME_BYTES);
}

enum err index_add(struct index *ix, uint32_t interval_bytes, int64_t last_offset, uint32_t position, uint32_t bytes,
                   int64_t max_timestamp, int64_t offset_of_max)
{
    assert(last_offset >= ix->base_offset && last_offset - ix->base_offset <= INT32_MAX);
    bool entry = ix->bytes_since_entry > interval_bytes && !index_full(ix);
    if (entry) {
        enum err err =
            reserve_entries(ix->heap, &ix->offsets, &ix->offset_cap, ix->offset_count + 1, INDEX_OFFSET_BYTES);
        if (!err)
            err = reserve_entries(ix->heap, &ix->times, &ix->time_cap, ix->time_count + 1, INDEX_TIME_BYTES);
        if (err)
            return err;
    }
    if (max_timestamp > ix->max_timestamp) {
        ix->max_timestamp = max_timestamp;
        ix->max_timestamp_offset = offset_of_max;
    }
    if (entry) {
        put_offset_entry(ix, last_offset, position);
        put_time_entry(ix);
        ix->bytes_since_entry = 0;
    }
    ix->bytes_since_entry = (uint32_t)u64_min((uint64_t)ix->bytes_since_entry + bytes, UINT32_MAX);
    return ERR_NONE;
}

bool index_full(const struct index *ix)
{
    return ix->offset_count >= ix->entries_max || ix->time_count + 1 >= time_entries_max(ix);
}

enum err index_finish(struct index *ix)
{
    enum err err = reserve_entries(ix->heap, &ix->times, &ix->time_cap, ix->time_count + 1, INDEX_TIME_BYTES);
    if (!err)
        put_time_entry(ix);
    return err;
}

enum err index_make_room(struct index *ix, const struct index *like, bool grows)
{
    assert(ix->base_offset == like->base_offset);
    uint32_t offsets = like->offset_count + (grows ? like->offset_count / 2 : 0);
    uint32_t times = like->time_count + (grows ? like->time_count / 2 : 0);
    enum err err = reserve_entries(ix->heap, &ix->offsets, &ix->offset_cap, offsets, INDEX_OFFSET_BYTES);
    return err ? err : reserve_entries(ix->heap, &ix->times, &ix->time_cap, times, INDEX_TIME_BYTES);
}

/* How many bytes of entries came behind those that there are. */
static uint32_t copy_index_entries(uint8_t *to, uint32_t *count, const uint8_t *from, uint32_t from_count,
                                   uint32_t entry_bytes, uint32_t bytes_max)
{
    assert(*count <= from_count);
    uint32_t n = (uint32_t)u64_min(from_count - *count, bytes_max / entry_bytes);
    size_t at = (size_t)*count * entry_bytes;
    if (n)
        memcpy(to + at, from + at, (size_t)n * entry_bytes);
    *count += n;
    return n * entry_bytes;
}

bool index_copied(const struct index *ix, const struct index *from)
{
    assert(ix->base_offset == from->base_offset);
    return ix->offset_count == from->offset_count && ix->time_count == from->time_count;
}

uint32_t index_copy_some(struct index *ix, const struct index *from, uint32_t bytes_max)
{
    assert(ix->offset_cap >= from->offset_count);
    assert(ix->time_cap >= from->time_count);
    uint32_t taken = copy_index_entries(ix->offsets, &ix->offset_count, from->offsets, from->offset_count,
                                        INDEX_OFFSET_BYTES, bytes_max);
    taken += copy_index_entries(ix->times, &ix->time_count, from->times, from->time_count, INDEX_TIME_BYTES,
                                bytes_max - taken);
    if (index_copied(ix, from)) {
        ix->bytes_since_entry = from->bytes_since_entry;
        ix->max_timestamp = from->max_timestamp;
        ix->max_timestamp_offset = from->max_timestamp_offset;
    }
    return taken;
}

void index_copy(struct index *ix, const struct index *from)
{
    index_clear(ix);
    (void)index_copy_some(ix, from, UINT32_MAX);
    assert(index_copied(ix, from));
}

/* --- look-ups --- */

/* How many of the first `count` entries have a key <= `key`; keys rise. */
static uint32_t rank_index_entry(const struct index *ix, uint32_t count, int64_t key,
                                 int64_t (*key_at)(const struct index *, uint32_t))
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (key_at(ix, middle) <= key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint32_t index_position(const struct index *ix, int64_t offset)
{
    uint32_t n = rank_index_entry(ix, ix->offset_count, offset, entry_offset);
    return n ? entry_file_position(ix, n - 1) : 0;
}
int64_t index_offset_of_time(const struct index *ix, int64_t timestamp)
{
    uint32_t n = rank_index_entry(ix, ix->time_count, timestamp, entry_time);
    return n ? entry_time_offset(ix, n - 1) : ix->base_offset;
}

void index_truncate(struct index *ix, int64_t end_offset, uint32_t end_position)
{
    assert(end_offset >= ix->base_offset);
    ix->offset_count = rank_index_entry(ix, ix->offset_count, end_offset - 1, entry_offset);
    while (ix->offset_count && entry_file_position(ix, ix->offset_count - 1) >= end_position)
        ix->offset_count--;
    while (ix->time_count && entry_time_offset(ix, ix->time_count - 1) >= end_offset)
        ix->time_count--;
    if (ix->max_timestamp_offset >= end_offset) {
        ix->max_timestamp = ix->time_count ? entry_time(ix, ix->time_count - 1) : -1;
        ix->max_timestamp_offset = ix->time_count ? entry_time_offset(ix, ix->time_count - 1) : -1;
    }
    ix->bytes_since_entry = 0;
}

/* --- from files --- */

static bool offsets_are_sane(const struct index *ix, uint32_t log_bytes)
{
    for (uint32_t i = 0; i < ix->offset_count; i++) {
        if (entry_offset(ix, i) - ix->base_offset > INT32_MAX || entry_file_position(ix, i) >= log_bytes)
            return false;
        if (i && (entry_offset(ix, i) <= entry_offset(ix, i - 1) ||
                  entry_file_position(ix, i) <= entry_file_position(ix, i - 1)))
            return false;
    }
    return true;
}
static bool times_are_sane(const struct index *ix)
{
    for (uint32_t i = 0; i < ix->time_count; i++) {
        if (entry_time(ix, i) < 0 || entry_time_offset(ix, i) - ix->base_offset > INT32_MAX)
            return false;
        if (i &&
            (entry_time(ix, i) <= entry_time(ix, i - 1) || entry_time_offset(ix, i) < entry_time_offset(ix, i - 1)))
            return false;
    }
    return true;
}

void index_check(const struct index *ix, uint32_t log_bytes)
{
    assert(ix->offset_count <= ix->offset_cap);
    assert(ix->time_count <= ix->time_cap);
    assert(offsets_are_sane(ix, log_bytes));
    assert(times_are_sane(ix));
    assert(!ix->time_count || entry_time(ix, ix->time_count - 1) <= ix->max_timestamp);
}

enum err index_load(struct index *ix, const uint8_t *offsets, uint32_t offset_bytes, const uint8_t *times,
                    uint32_t time_bytes, uint32_t log_bytes)
{
    assert(offsets || !offset_bytes);
    assert(times || !time_bytes);
    index_clear(ix);
    if (offset_bytes % INDEX_OFFSET_BYTES || time_bytes % INDEX_TIME_BYTES)
        return ERR_CORRUPT;
    uint32_t offset_count = offset_bytes / INDEX_OFFSET_BYTES, time_count = time_bytes / INDEX_TIME_BYTES;
    enum err err = reserve_entries(ix->heap, &ix->offsets, &ix->offset_cap, offset_count, INDEX_OFFSET_BYTES);
    if (!err)
        err = reserve_entries(ix->heap, &ix->times, &ix->time_cap, time_count, INDEX_TIME_BYTES);
    if (err)
        return err;
    if (offset_bytes)
        memcpy(ix->offsets, offsets, offset_bytes);
    if (time_bytes)
        memcpy(ix->times, times, time_bytes);
    ix->offset_count = offset_count;
    ix->time_count = time_count;
    if (!offsets_are_sane(ix, log_bytes) || !times_are_sane(ix)) {
        ix->offset_count = ix->time_count = 0;
        return ERR_CORRUPT;
    }
    if (time_count) {
        ix->max_timestamp = entry_time(ix, time_count - 1);
        ix->max_timestamp_offset = entry_time_offset(ix, time_count - 1);
    }
    return ERR_NONE;
}
