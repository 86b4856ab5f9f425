/* Reading checkpoint files: every file is read whole, every entry that can be decoded is kept, then all are sorted and the
 * newest of each partition stays. Behind a torn entry (a crash while appending) the next good one is looked for, byte by
 * byte: a later run may have appended behind it. */
#include "storage/recovery/checkpoint.h"
#include "core/bytes.h"
#include "core/crc.h"
#include "storage/log/segment.h"
#include <stdio.h>
#include <stdlib.h>

enum {
    HEAD_BYTES = 8,    /* bytes, crc */
    FIXED_BYTES = 121, /* without the producers */
    FILE_BYTES_MAX = 1 << 30,
    FILES_MAX = 1024, /* one per shard of any earlier run */
};

struct checkpoint_set {
    struct heap *heap;
    struct checkpoint_entry *v;
    uint32_t count, cap, files;
    uint8_t *blobs[FILES_MAX]; /* the files: entries point into them */
    uint64_t serial_max;
    /* while loading */
    const char *dir;
    enum err err;
};

/* --- one entry --- */

size_t checkpoint_entry_bytes(const struct checkpoint_entry *e)
{
    return FIXED_BYTES + (size_t)e->producers_bytes;
}

static void put32(uint8_t **at, uint32_t v)
{
    be32_put(*at, v);
    *at += 4;
}
static void put64(uint8_t **at, uint64_t v)
{
    be64_put(*at, v);
    *at += 8;
}
static uint32_t get32(const uint8_t **at)
{
    uint32_t v = be32_get(*at);
    *at += 4;
    return v;
}
static uint64_t get64(const uint8_t **at)
{
    uint64_t v = be64_get(*at);
    *at += 8;
    return v;
}

static uint8_t *put_log(uint8_t *at, const struct checkpoint_entry *e)
{
    put64(&at, (uint64_t)e->log_start_offset);
    put64(&at, (uint64_t)e->segment_base_offset);
    put64(&at, e->position);
    put64(&at, (uint64_t)e->offset);
    put32(&at, (uint32_t)e->leader_epoch);
    put64(&at, (uint64_t)e->max_timestamp);
    put64(&at, (uint64_t)e->max_timestamp_offset);
    put64(&at, (uint64_t)e->first_timestamp);
    return at;
}
static uint8_t *put_index(uint8_t *at, const struct checkpoint_entry *e)
{
    put32(&at, e->index_count);
    put32(&at, e->index_crc);
    put32(&at, e->time_count);
    put32(&at, e->time_crc);
    put32(&at, e->bytes_since_entry);
    *at++ = (uint8_t)(e->clean | e->caching << 1);
    return at;
}

void checkpoint_entry_encode(const struct checkpoint_entry *e, uint8_t *out)
{
    size_t bytes = checkpoint_entry_bytes(e);
    assert(bytes <= UINT32_MAX);
    uint8_t *at = out + HEAD_BYTES;
    put64(&at, e->serial);
    memcpy(at, e->topic_id, 16);
    at += 16;
    put32(&at, (uint32_t)e->partition);
    at = put_index(put_log(at, e), e);
    put32(&at, e->producers_bytes);
    assert(at == out + FIXED_BYTES);
    if (e->producers_bytes)
        memcpy(at, e->producers, e->producers_bytes);
    be32_put(out, (uint32_t)bytes);
    be32_put(out + 4, crc32c(0, out + HEAD_BYTES, bytes - HEAD_BYTES));
}

static const uint8_t *get_log(const uint8_t *at, struct checkpoint_entry *e)
{
    e->log_start_offset = (int64_t)get64(&at);
    e->segment_base_offset = (int64_t)get64(&at);
    e->position = get64(&at);
    e->offset = (int64_t)get64(&at);
    e->leader_epoch = (int32_t)get32(&at);
    e->max_timestamp = (int64_t)get64(&at);
    e->max_timestamp_offset = (int64_t)get64(&at);
    e->first_timestamp = (int64_t)get64(&at);
    return at;
}
static const uint8_t *get_index(const uint8_t *at, struct checkpoint_entry *e)
{
    e->index_count = get32(&at);
    e->index_crc = get32(&at);
    e->time_count = get32(&at);
    e->time_crc = get32(&at);
    e->bytes_since_entry = get32(&at);
    e->clean = *at & 1;
    e->caching = *at++ >> 1 & 1;
    return at;
}
/* What a good CRC does not promise: that the one who wrote it made sense. */
static bool sensible(const struct checkpoint_entry *e)
{
    return e->partition >= 0 && e->log_start_offset >= 0 && e->segment_base_offset >= 0 &&
           e->offset >= e->segment_base_offset && e->position <= INT64_MAX;
}

size_t checkpoint_entry_decode(const uint8_t *at, size_t bytes, struct checkpoint_entry *out)
{
    if (bytes < FIXED_BYTES)
        return 0;
    uint32_t claimed = be32_get(at);
    if (claimed < FIXED_BYTES || claimed > bytes)
        return 0;
    if (crc32c(0, at + HEAD_BYTES, claimed - HEAD_BYTES) != be32_get(at + 4))
        return 0;
    struct checkpoint_entry e = {.serial = be64_get(at + HEAD_BYTES)};
    const uint8_t *from = at + HEAD_BYTES + 8;
    memcpy(e.topic_id, from, 16);
    from += 16;
    e.partition = (int32_t)get32(&from);
    from = get_index(get_log(from, &e), &e);
    e.producers_bytes = get32(&from);
    e.producers = from;
    if (e.producers_bytes != claimed - FIXED_BYTES || !sensible(&e))
        return 0;
    *out = e;
    return claimed;
}

/* --- all of them --- */

static enum err keep(struct checkpoint_set *set, const struct checkpoint_entry *e)
{
    if (set->count == set->cap) {
        uint32_t cap = set->cap ? set->cap * 2 : 64;
        struct checkpoint_entry *v = heap_realloc(set->heap, set->v, cap * sizeof *v);
        if (!v)
            return ERR_NO_MEMORY;
        set->v = v;
        set->cap = cap;
    }
    set->v[set->count++] = *e;
    set->serial_max = u64_max(set->serial_max, e->serial);
    return ERR_NONE;
}

static enum err keep_all(struct checkpoint_set *set, const uint8_t *at, size_t bytes)
{
    while (bytes >= FIXED_BYTES) {
        struct checkpoint_entry e;
        size_t taken = checkpoint_entry_decode(at, bytes, &e);
        enum err err = taken ? keep(set, &e) : ERR_NONE;
        if (err)
            return err;
        taken = taken ? taken : 1;
        at += taken;
        bytes -= taken;
    }
    return ERR_NONE;
}

static bool is_checkpoint(const char *name)
{
    uint32_t shard;
    int end = 0;
    return sscanf(name, "recovery-point-%u.checkpoint%n", &shard, &end) == 1 && end && !name[end];
}

static enum err load_file(struct checkpoint_set *set, const char *name)
{
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
    set->blobs[set->files++] = at;
    return keep_all(set, at, bytes);
}

static bool load_entry(void *arg, const struct fs_entry *entry)
{
    struct checkpoint_set *set = arg;
    if (!entry->folder && is_checkpoint(entry->name))
        set->err = load_file(set, entry->name);
    return set->err == ERR_NONE;
}

static int compare_partition(const struct checkpoint_entry *a, const struct checkpoint_entry *b)
{
    int topic = memcmp(a->topic_id, b->topic_id, 16);
    return topic ? topic : (a->partition > b->partition) - (a->partition < b->partition);
}
static int compare(const void *x, const void *y)
{
    const struct checkpoint_entry *a = x, *b = y;
    int partition = compare_partition(a, b);
    return partition ? partition : (a->serial < b->serial) - (a->serial > b->serial);
}

/* Sorted, the newest of a partition comes first. */
static void keep_newest(struct checkpoint_set *set)
{
    uint32_t kept = 0;
    if (set->count)
        qsort(set->v, set->count, sizeof *set->v, compare);
    for (uint32_t i = 0; i < set->count; i++) {
        if (!kept || compare_partition(&set->v[kept - 1], &set->v[i]) != 0)
            set->v[kept++] = set->v[i];
    }
    set->count = kept;
}

enum err checkpoint_set_load(struct heap *heap, const char *data_dir, struct checkpoint_set **out_set)
{
    struct checkpoint_set *set = heap_zalloc(heap, sizeof *set);
    if (!set)
        return ERR_NO_MEMORY;
    set->heap = heap;
    set->dir = data_dir;
    enum err err = fs_list(data_dir, load_entry, set);
    err = err ? err : set->err;
    if (err) {
        checkpoint_set_close(set);
        return err;
    }
    keep_newest(set);
    *out_set = set;
    return ERR_NONE;
}

static int compare_key(const void *key, const void *element)
{
    return compare_partition(key, element);
}
const struct checkpoint_entry *checkpoint_find(const struct checkpoint_set *set, const uint8_t topic_id[16],
                                               int32_t partition)
{
    struct checkpoint_entry key = {.partition = partition};
    memcpy(key.topic_id, topic_id, 16);
    return set->count ? bsearch(&key, set->v, set->count, sizeof *set->v, compare_key) : NULL;
}
uint64_t checkpoint_serial_max(const struct checkpoint_set *set)
{
    return set->serial_max;
}
void checkpoint_set_close(struct checkpoint_set *set)
{
    for (uint32_t i = 0; i < set->files; i++)
        heap_free(set->heap, set->blobs[i]);
    heap_free(set->heap, set->v);
    heap_free(set->heap, set);
}
