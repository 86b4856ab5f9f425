/* Reading checkpoint files: every file is read whole, every entry that can be decoded is kept, then all are sorted and the
 * newest of each partition stays. Behind a torn entry (a crash while appending) the next good one is looked for, byte by
 * byte: a later run may have appended behind it. */
#include "storage/recovery/checkpoint.h"
#include "core/array.h"
#include "core/bytes.h"
#include "core/crc.h"
#include "storage/log/segment.h"
#include <stdio.h>
#include <stdlib.h>

enum {
    HEAD_BYTES = 8, /* bytes, crc */
    FLAGS_AT = 116,
    HAS_ABORTED = 4,
    FIXED_BYTES_BEFORE_4 = 121,
    FIXED_BYTES = 129, /* without the producers */
    FILE_BYTES_MAX = 1 << 30,
    FILES_MAX = 1024, /* one per shard of any earlier run */
};

struct checkpoint_set {
    struct heap *heap;
    struct checkpoint_entry *v;
    uint32_t count, cap, files;
    struct checkpoint_segment *segments;
    uint32_t segment_count, segment_cap;
    uint8_t *blobs[FILES_MAX]; /* the files: entries point into them */
    uint64_t serial_max;
    /* while loading */
    const char *dir;
    enum err err;
};

/* --- one entry --- */

size_t checkpoint_entry_bytes(const struct checkpoint_entry *e)
{
    assert(e->producers_bytes <= FILE_BYTES_MAX);
    return FIXED_BYTES + (size_t)e->producers_bytes;
}

static void put_u32(uint8_t **at, uint32_t v)
{
    be32_put(*at, v);
    *at += 4;
}
static void put_u64(uint8_t **at, uint64_t v)
{
    be64_put(*at, v);
    *at += 8;
}
static uint32_t take_u32(const uint8_t **at)
{
    uint32_t v = be32_get(*at);
    *at += 4;
    return v;
}
static uint64_t take_u64(const uint8_t **at)
{
    uint64_t v = be64_get(*at);
    *at += 8;
    return v;
}

static uint8_t *encode_log_part(uint8_t *at, const struct checkpoint_entry *e)
{
    assert(e->log_start_offset >= 0);
    assert(e->position <= INT64_MAX);
    put_u64(&at, (uint64_t)e->log_start_offset);
    put_u64(&at, (uint64_t)e->segment_base_offset);
    put_u64(&at, e->position);
    put_u64(&at, (uint64_t)e->offset);
    put_u32(&at, (uint32_t)e->leader_epoch);
    put_u64(&at, (uint64_t)e->max_timestamp);
    put_u64(&at, (uint64_t)e->max_timestamp_offset);
    put_u64(&at, (uint64_t)e->first_timestamp);
    return at;
}
static uint8_t *encode_index_part(uint8_t *at, const struct checkpoint_entry *e)
{
    put_u32(&at, e->index_count);
    put_u32(&at, e->index_crc);
    put_u32(&at, e->time_count);
    put_u32(&at, e->time_crc);
    put_u32(&at, e->bytes_since_entry);
    *at++ = (uint8_t)(e->clean | e->caching << 1 | HAS_ABORTED);
    put_u32(&at, e->aborted_count);
    put_u32(&at, e->aborted_crc);
    return at;
}

void checkpoint_entry_encode(const struct checkpoint_entry *e, uint8_t *out)
{
    assert(e->partition >= 0);
    assert(e->offset >= e->segment_base_offset);
    size_t bytes = checkpoint_entry_bytes(e);
    assert(bytes <= UINT32_MAX);
    uint8_t *at = out + HEAD_BYTES;
    put_u64(&at, e->serial);
    memcpy(at, e->topic_id, 16);
    at += 16;
    put_u32(&at, (uint32_t)e->partition);
    at = encode_index_part(encode_log_part(at, e), e);
    put_u32(&at, e->producers_bytes);
    assert(at == out + FIXED_BYTES);
    if (e->producers_bytes && e->producers != at)
        memcpy(at, e->producers, e->producers_bytes);
    be32_put(out, (uint32_t)bytes);
    be32_put(out + 4, crc32c(0, out + HEAD_BYTES, bytes - HEAD_BYTES));
}

static const uint8_t *decode_log_part(const uint8_t *at, struct checkpoint_entry *e)
{
    e->log_start_offset = (int64_t)take_u64(&at);
    e->segment_base_offset = (int64_t)take_u64(&at);
    e->position = take_u64(&at);
    e->offset = (int64_t)take_u64(&at);
    e->leader_epoch = (int32_t)take_u32(&at);
    e->max_timestamp = (int64_t)take_u64(&at);
    e->max_timestamp_offset = (int64_t)take_u64(&at);
    e->first_timestamp = (int64_t)take_u64(&at);
    return at;
}
static const uint8_t *decode_index_part(const uint8_t *at, struct checkpoint_entry *e)
{
    e->index_count = take_u32(&at);
    e->index_crc = take_u32(&at);
    e->time_count = take_u32(&at);
    e->time_crc = take_u32(&at);
    e->bytes_since_entry = take_u32(&at);
    uint8_t flags = *at++;
    e->clean = flags & 1;
    e->caching = flags >> 1 & 1;
    if (flags & HAS_ABORTED) {
        e->aborted_count = take_u32(&at);
        e->aborted_crc = take_u32(&at);
    }
    return at;
}
/* What a good CRC does not promise: that the one who wrote it made sense. */
static bool entry_makes_sense(const struct checkpoint_entry *e)
{
    return e->partition >= 0 && e->log_start_offset >= 0 && e->segment_base_offset >= 0 &&
           e->offset >= e->segment_base_offset && e->position <= INT64_MAX;
}

size_t checkpoint_entry_decode(const uint8_t *at, size_t bytes, struct checkpoint_entry *out)
{
    if (bytes < FIXED_BYTES_BEFORE_4)
        return 0;
    uint32_t claimed = be32_get(at);
    if (claimed < FIXED_BYTES_BEFORE_4 || claimed > bytes)
        return 0;
    uint32_t fixed = at[FLAGS_AT] & HAS_ABORTED ? FIXED_BYTES : FIXED_BYTES_BEFORE_4;
    if (claimed < fixed)
        return 0;
    if (crc32c(0, at + HEAD_BYTES, claimed - HEAD_BYTES) != be32_get(at + 4))
        return 0;
    struct checkpoint_entry e = {.serial = be64_get(at + HEAD_BYTES)};
    const uint8_t *from = at + HEAD_BYTES + 8;
    memcpy(e.topic_id, from, 16);
    from += 16;
    e.partition = (int32_t)take_u32(&from);
    from = decode_index_part(decode_log_part(from, &e), &e);
    e.producers_bytes = take_u32(&from);
    e.producers = from;
    assert(from == at + fixed);
    if (e.producers_bytes != claimed - fixed || !entry_makes_sense(&e))
        return 0;
    *out = e;
    return claimed;
}

/* --- one closed segment --- */

void checkpoint_segment_encode(const struct checkpoint_segment *s, uint8_t out[CHECKPOINT_SEGMENT_BYTES])
{
    assert(s->base_offset >= 0);
    assert(s->partition >= 0);
    uint8_t *at = out + HEAD_BYTES;
    put_u64(&at, s->serial);
    memcpy(at, s->topic_id, 16);
    at += 16;
    put_u32(&at, (uint32_t)s->partition);
    put_u64(&at, (uint64_t)s->base_offset);
    put_u64(&at, s->bytes);
    put_u64(&at, (uint64_t)s->first_timestamp);
    put_u64(&at, (uint64_t)s->max_timestamp);
    put_u64(&at, (uint64_t)s->max_timestamp_offset);
    assert(at == out + CHECKPOINT_SEGMENT_BYTES);
    be32_put(out, CHECKPOINT_SEGMENT_BYTES);
    be32_put(out + 4, crc32c(0, out + HEAD_BYTES, CHECKPOINT_SEGMENT_BYTES - HEAD_BYTES));
}

bool checkpoint_segment_decode(const uint8_t *at, size_t bytes, struct checkpoint_segment *out)
{
    if (bytes < CHECKPOINT_SEGMENT_BYTES || be32_get(at) != CHECKPOINT_SEGMENT_BYTES)
        return false;
    if (crc32c(0, at + HEAD_BYTES, CHECKPOINT_SEGMENT_BYTES - HEAD_BYTES) != be32_get(at + 4))
        return false;
    struct checkpoint_segment s = {.serial = be64_get(at + HEAD_BYTES)};
    const uint8_t *from = at + HEAD_BYTES + 8;
    memcpy(s.topic_id, from, 16);
    from += 16;
    s.partition = (int32_t)take_u32(&from);
    s.base_offset = (int64_t)take_u64(&from);
    s.bytes = take_u64(&from);
    s.first_timestamp = (int64_t)take_u64(&from);
    s.max_timestamp = (int64_t)take_u64(&from);
    s.max_timestamp_offset = (int64_t)take_u64(&from);
    assert(from == at + CHECKPOINT_SEGMENT_BYTES);
    if (s.partition < 0 || s.base_offset < 0)
        return false;
    *out = s;
    return true;
}

/* --- all of them --- */

static enum err keep_segment(struct checkpoint_set *set, const struct checkpoint_segment *s)
{
    assert(set->segment_count <= set->segment_cap);
    struct checkpoint_segment *v =
        array_grow(set->heap, set->segments, &set->segment_cap, set->segment_count + 1, sizeof *v);
    if (!v)
        return ERR_NO_MEMORY;
    set->segments = v;
    set->segments[set->segment_count++] = *s;
    set->serial_max = u64_max(set->serial_max, s->serial);
    return ERR_NONE;
}

static enum err keep_entry(struct checkpoint_set *set, const struct checkpoint_entry *e)
{
    assert(set->count <= set->cap);
    struct checkpoint_entry *v = array_grow(set->heap, set->v, &set->cap, set->count + 1, sizeof *v);
    if (!v)
        return ERR_NO_MEMORY;
    set->v = v;
    set->v[set->count++] = *e;
    set->serial_max = u64_max(set->serial_max, e->serial);
    return ERR_NONE;
}

static enum err keep_entries_of_file(struct checkpoint_set *set, const uint8_t *at, size_t bytes)
{
    while (bytes >= CHECKPOINT_SEGMENT_BYTES) {
        struct checkpoint_entry e;
        struct checkpoint_segment s;
        enum err err = ERR_NONE;
        size_t taken = checkpoint_entry_decode(at, bytes, &e);
        if (taken) {
            err = keep_entry(set, &e);
        } else if (checkpoint_segment_decode(at, bytes, &s)) {
            taken = CHECKPOINT_SEGMENT_BYTES;
            err = keep_segment(set, &s);
        }
        if (err)
            return err;
        taken = taken ? taken : 1;
        assert(taken <= bytes);
        at += taken;
        bytes -= taken;
    }
    return ERR_NONE;
}

static bool is_checkpoint_name(const char *name)
{
    uint32_t shard;
    int end = 0;
    return sscanf(name, "recovery-point-%u.checkpoint%n", &shard, &end) == 1 && end && !name[end];
}

static enum err load_checkpoint_file(struct checkpoint_set *set, const char *name)
{
    assert(set->dir);
    assert(set->files <= FILES_MAX);
    char path[FS_PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", set->dir, name);
    if (n < 0 || n >= FS_PATH_MAX)
        return ERR_INVALID;
    if (set->files == FILES_MAX)
        return ERR_NO_MEMORY;
    uint8_t *at;
    size_t bytes;
    enum err err = segment_read_file(set->heap, path, FILE_BYTES_MAX, &at, &bytes);
    if (err)
        return err;
    assert(bytes <= FILE_BYTES_MAX);
    set->blobs[set->files++] = at;
    return keep_entries_of_file(set, at, bytes);
}

static bool load_if_checkpoint(void *arg, const struct fs_entry *entry)
{
    struct checkpoint_set *set = arg;
    assert(set->err == ERR_NONE);
    if (!entry->folder && is_checkpoint_name(entry->name))
        set->err = load_checkpoint_file(set, entry->name);
    return set->err == ERR_NONE;
}

static int compare_partition(const struct checkpoint_entry *a, const struct checkpoint_entry *b)
{
    int topic = memcmp(a->topic_id, b->topic_id, 16);
    return topic ? topic : (a->partition > b->partition) - (a->partition < b->partition);
}
static int compare_by_partition_and_age(const void *x, const void *y)
{
    const struct checkpoint_entry *a = x, *b = y;
    int partition = compare_partition(a, b);
    return partition ? partition : (a->serial < b->serial) - (a->serial > b->serial);
}

/* Sorted, the newest of a partition comes first. */
static void keep_newest_entries(struct checkpoint_set *set)
{
    uint32_t kept = 0;
    if (set->count)
        qsort(set->v, set->count, sizeof *set->v, compare_by_partition_and_age);
    for (uint32_t i = 0; i < set->count; i++) {
        if (!kept || compare_partition(&set->v[kept - 1], &set->v[i]) != 0)
            set->v[kept++] = set->v[i];
    }
    assert(kept <= set->count);
    set->count = kept;
}

static int compare_segment_owner(const struct checkpoint_segment *a, const struct checkpoint_segment *b)
{
    int topic = memcmp(a->topic_id, b->topic_id, 16);
    return topic ? topic : (a->partition > b->partition) - (a->partition < b->partition);
}
static int compare_segments(const void *x, const void *y)
{
    const struct checkpoint_segment *a = x, *b = y;
    int by = compare_segment_owner(a, b);
    if (!by)
        by = (a->base_offset > b->base_offset) - (a->base_offset < b->base_offset);
    return by ? by : (a->serial < b->serial) - (a->serial > b->serial);
}

static void keep_newest_segments(struct checkpoint_set *set)
{
    uint32_t kept = 0;
    struct checkpoint_segment *v = set->segments;
    if (set->segment_count)
        qsort(v, set->segment_count, sizeof *v, compare_segments);
    for (uint32_t i = 0; i < set->segment_count; i++)
        if (!kept || compare_segment_owner(&v[kept - 1], &v[i]) || v[kept - 1].base_offset != v[i].base_offset)
            v[kept++] = v[i];
    assert(kept <= set->segment_count);
    set->segment_count = kept;
}

const struct checkpoint_segment *checkpoint_segments(const struct checkpoint_set *set, const uint8_t topic_id[16],
                                                     int32_t partition, uint32_t *out_count)
{
    assert(partition >= 0);
    assert(set->segments || !set->segment_count);
    struct checkpoint_segment key = {.partition = partition};
    memcpy(key.topic_id, topic_id, 16);
    uint32_t low = 0, high = set->segment_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare_segment_owner(&set->segments[middle], &key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    uint32_t end = low;
    while (end < set->segment_count && compare_segment_owner(&set->segments[end], &key) == 0)
        end++;
    *out_count = end - low;
    return end > low ? &set->segments[low] : NULL;
}

enum err checkpoint_set_load(struct heap *heap, const char *data_dir, struct checkpoint_set **out_set)
{
    assert(heap);
    assert(data_dir);
    struct checkpoint_set *set = heap_zalloc(heap, sizeof *set);
    if (!set)
        return ERR_NO_MEMORY;
    set->heap = heap;
    set->dir = data_dir;
    enum err err = fs_list(data_dir, load_if_checkpoint, set);
    err = err ? err : set->err;
    if (err) {
        checkpoint_set_close(set);
        return err;
    }
    keep_newest_entries(set);
    keep_newest_segments(set);
    *out_set = set;
    return ERR_NONE;
}

static int compare_partition_key(const void *key, const void *element)
{
    return compare_partition(key, element);
}
const struct checkpoint_entry *checkpoint_find(const struct checkpoint_set *set, const uint8_t topic_id[16],
                                               int32_t partition)
{
    assert(partition >= 0);
    struct checkpoint_entry key = {.partition = partition};
    memcpy(key.topic_id, topic_id, 16);
    return set->count ? bsearch(&key, set->v, set->count, sizeof *set->v, compare_partition_key) : NULL;
}
uint64_t checkpoint_serial_max(const struct checkpoint_set *set)
{
    return set->serial_max;
}
void checkpoint_set_close(struct checkpoint_set *set)
{
    assert(set->files <= FILES_MAX);
    assert(set->count <= set->cap);
    for (uint32_t i = 0; i < set->files; i++)
        heap_free(set->heap, set->blobs[i]);
    heap_free(set->heap, set->v);
    heap_free(set->heap, set->segments);
    heap_free(set->heap, set);
}
