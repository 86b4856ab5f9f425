/* See checkpoint_item.h. */
#include "storage/recovery/checkpoint_item.h"
#include "core/crc.h"
#include <string.h>

enum { SEGMENTS_PER_ITEM = 64 /* closed segments that are noted with one entry */ };

/* --- on the shard --- */

static uint32_t count_offsets_below(const struct index *ix, uint64_t position)
{
    assert(ix->offsets || !ix->offset_count);
    uint32_t low = 0, high = ix->offset_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (be32_get(ix->offsets + (size_t)middle * INDEX_OFFSET_BYTES + 4) < position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint32_t count_times_below(const struct index *ix, int64_t offset)
{
    assert(ix->times || !ix->time_count);
    assert(offset >= ix->base_offset);
    uint32_t low = 0, high = ix->time_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if ((int64_t)be32_get(ix->times + (size_t)middle * INDEX_TIME_BYTES + 8) < offset - ix->base_offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint32_t bytes_since_index_entry(const struct index *ix, uint32_t offsets, const struct mark *m)
{
    assert(offsets <= ix->offset_count);
    uint64_t last = offsets ? be32_get(ix->offsets + (size_t)(offsets - 1) * INDEX_OFFSET_BYTES + 4) : 0;
    assert(m->position >= last);
    return (uint32_t)(m->position - last);
}

static void copy_aborted_delta(struct checkpoint_item *it)
{
    struct partition *p = it->partition;
    const struct aborted_index *a = &p->active->aborted;
    struct checkpoint_delta *d = &it->delta;
    uint8_t *to = d->bytes + d->offsets_bytes + d->times_bytes;
    aborted_encode(a, p->checkpoint.saved_aborted, it->aborted, to);
    if (d->aborted_bytes) /* the job of a stop may be reading it, where there are none */
        p->active->aborted_file = true;
    it->aborted_crc = crc32c(p->checkpoint.saved_aborted_crc, to, d->aborted_bytes);
}

static bool build_index_delta(struct checkpoint_item *it)
{
    struct partition *p = it->partition;
    const struct index *ix = &p->active->index;
    struct checkpoint_delta *d = &it->delta;
    assert(it->offsets >= p->checkpoint.saved_offsets);
    assert(it->times >= p->checkpoint.saved_times);
    assert(it->offsets <= ix->offset_count);
    assert(it->times <= ix->time_count);
    d->segment = it->segment;
    d->offsets_at = (uint64_t)p->checkpoint.saved_offsets * INDEX_OFFSET_BYTES;
    d->times_at = (uint64_t)p->checkpoint.saved_times * INDEX_TIME_BYTES;
    d->offsets_bytes = (it->offsets - p->checkpoint.saved_offsets) * INDEX_OFFSET_BYTES;
    d->times_bytes = (it->times - p->checkpoint.saved_times) * INDEX_TIME_BYTES;
    assert(it->aborted >= p->checkpoint.saved_aborted && it->aborted <= p->active->aborted.count);
    d->aborted_at = (uint64_t)p->checkpoint.saved_aborted * ABORTED_ENTRY_BYTES;
    d->aborted_bytes = (it->aborted - p->checkpoint.saved_aborted) * ABORTED_ENTRY_BYTES;
    d->dir = heap_strdup(p->store->checkpoint_heap, p->dir);
    d->bytes = heap_alloc(p->store->checkpoint_heap, (size_t)d->offsets_bytes + d->times_bytes + d->aborted_bytes + 1);
    if (!d->dir || !d->bytes)
        return false;
    if (d->offsets_bytes)
        memcpy(d->bytes, ix->offsets + d->offsets_at, d->offsets_bytes);
    if (d->times_bytes)
        memcpy(d->bytes + d->offsets_bytes, ix->times + d->times_at, d->times_bytes);
    it->offsets_crc = crc32c(p->checkpoint.saved_offsets_crc, d->bytes, d->offsets_bytes);
    it->times_crc = crc32c(p->checkpoint.saved_times_crc, d->bytes + d->offsets_bytes, d->times_bytes);
    copy_aborted_delta(it);
    return true;
}

/* They alone can be refused: they are as large as clients make them. */
static uint8_t *new_entry_memory(struct log_store *st, size_t bytes)
{
    assert(bytes <= UINT32_MAX);
    struct heap_meter *m = st->checkpoint_meter;
    m->forced = bytes < CHECKPOINT_LARGE_BYTES;
    uint8_t *at = heap_alloc(st->checkpoint_heap, bytes);
    m->forced = true;
    return at;
}

static bool build_checkpoint_entry(struct checkpoint_item *it, bool clean, uint64_t *serial)
{
    assert(it->partition->checkpoint.state == CHECKPOINT_HELD);
    assert(!it->entry);
    struct partition *p = it->partition;
    it->known = (struct checkpoint_entry){
        .serial = ++*serial,
        .partition = p->index,
        .log_start_offset = p->log_start_offset,
        .segment_base_offset = it->segment,
        .offset = it->mark.offset,
        .position = it->mark.position,
        .leader_epoch = p->checkpoint.epoch,
        .max_timestamp = it->mark.max_timestamp,
        .max_timestamp_offset = it->mark.max_timestamp_offset,
        .first_timestamp = p->active->first_timestamp,
        .index_count = it->offsets,
        .index_crc = it->offsets_crc,
        .time_count = it->times,
        .time_crc = it->times_crc,
        .aborted_count = it->aborted,
        .aborted_crc = it->aborted_crc,
        .bytes_since_entry = bytes_since_index_entry(&p->active->index, it->offsets, &it->mark),
        .clean = clean,
        .caching = !durable_acks(p),
        .producers_bytes = (uint32_t)producers_saved_bytes(p->checkpoint.producers),
    };
    memcpy(it->known.topic_id, p->topic->id, 16);
    it->entry_bytes = (uint32_t)checkpoint_entry_bytes(&it->known);
    it->entry = new_entry_memory(p->store, it->entry_bytes);
    return it->entry != NULL;
}

void checkpoint_item_free(struct checkpoint_item *it, struct heap *heap)
{
    assert(heap);
    heap_free(heap, it->delta.dir);
    heap_free(heap, it->delta.bytes);
    heap_free(heap, it->entry);
    heap_free(heap, it->segments);
    producers_close(it->producers);
    it->producers = NULL;
    it->delta.dir = NULL;
    it->delta.bytes = it->entry = it->segments = NULL;
}

void checkpoint_item_segment(const struct partition *p, const struct segment *s, uint64_t *serial, uint8_t *out)
{
    assert(s != p->active);
    assert(s->times_known);
    struct checkpoint_segment known = {
        .serial = ++*serial,
        .partition = p->index,
        .base_offset = s->base_offset,
        .bytes = s->bytes,
        .first_timestamp = s->first_timestamp,
        .max_timestamp = s->max_timestamp,
        .max_timestamp_offset = s->max_timestamp_offset,
    };
    memcpy(known.topic_id, p->topic->id, sizeof known.topic_id);
    checkpoint_segment_encode(&known, out);
}

/* Closed segments that the file does not have yet: mostly the youngest. */
static bool build_segments(struct checkpoint_item *it, uint64_t *serial)
{
    assert(it->partition->segments.count > 0);
    assert(!it->segments);
    const struct partition *p = it->partition;
    uint32_t end = p->segments.count - 1, from = end;
    while (from > 0 && end - from < SEGMENTS_PER_ITEM && !segments_at(&p->segments, from - 1)->times_saved)
        from--;
    if (from == end)
        return true;
    it->segments = heap_alloc(p->store->checkpoint_heap, (size_t)(end - from) * CHECKPOINT_SEGMENT_BYTES);
    if (!it->segments)
        return false;
    for (uint32_t i = from; i < end; i++) {
        const struct segment *s = segments_at(&p->segments, i);
        if (!s->times_known)
            continue;
        checkpoint_item_segment(p, s, serial, it->segments + it->segments_bytes);
        it->segments_bytes += CHECKPOINT_SEGMENT_BYTES;
    }
    return true;
}

static uint32_t cut_delta_kind(uint32_t saved, uint32_t wanted, uint32_t entry_bytes, size_t *left)
{
    assert(wanted >= saved);
    uint32_t n = (uint32_t)u64_min(wanted - saved, *left / entry_bytes);
    *left -= (size_t)n * entry_bytes;
    return saved + n;
}

/* What fits into one turn; true: that is not all. */
static bool cut_index_delta(struct checkpoint_item *it)
{
    const struct partition_checkpoint *c = &it->partition->checkpoint;
    const uint32_t offsets = it->offsets, times = it->times, aborted = it->aborted;
    size_t left = CHECKPOINT_DELTA_BYTES;
    it->offsets = cut_delta_kind(c->saved_offsets, offsets, INDEX_OFFSET_BYTES, &left);
    it->times = cut_delta_kind(c->saved_times, times, INDEX_TIME_BYTES, &left);
    it->aborted = cut_delta_kind(c->saved_aborted, aborted, ABORTED_ENTRY_BYTES, &left);
    return it->offsets < offsets || it->times < times || it->aborted < aborted;
}

bool checkpoint_item_build(struct checkpoint_item *it, struct partition *p, bool clean, uint64_t *serial)
{
    assert(p->checkpoint.state == CHECKPOINT_HELD);
    assert(p->active);
    assert(p->checkpoint.mark.offset <= p->durable.offset || PLANTED(roll_before_old_durable));
    const struct index *ix = &p->active->index;
    *it = (struct checkpoint_item){.partition = p, .mark = p->checkpoint.mark, .segment = p->active->base_offset};
    it->offsets = clean ? ix->offset_count : count_offsets_below(ix, it->mark.position);
    it->times = clean ? ix->time_count : count_times_below(ix, it->mark.offset);
    it->aborted = aborted_count_before(&p->active->aborted, it->mark.offset);
    it->part = !clean && cut_index_delta(it);
    bool built = build_index_delta(it);
    if (built && !it->part)
        built = build_checkpoint_entry(it, clean, serial) && build_segments(it, serial);
    if (!built) {
        checkpoint_item_free(it, p->store->checkpoint_heap);
        return false;
    }
    if (it->part)
        return true;
    it->producers = p->checkpoint.producers;
    p->checkpoint.producers = NULL;
    p->checkpoint.state = CHECKPOINT_NONE;
    return true;
}

/* --- in the job --- */

void checkpoint_item_encode(struct checkpoint_item *it)
{
    assert(!it->part);
    assert(it->producers);
    uint8_t *producers = it->entry + it->entry_bytes - it->known.producers_bytes;
    producers_save(it->producers, producers);
    it->known.producers = producers;
    checkpoint_entry_encode(&it->known, it->entry);
}

static enum err write_index_delta(const struct checkpoint_delta *d, const char *suffix, const uint8_t *bytes,
                                  uint32_t n, uint64_t at)
{
    char path[FS_PATH_MAX];
    int fd;
    if (n == 0)
        return ERR_NONE;
    if (!segment_path(path, d->dir, d->segment, suffix))
        return ERR_INVALID;
    assert(bytes);
    enum err err = fs_open(path, FS_WRITE | FS_CREATE | FS_OWN, &fd);
    if (err)
        return err == ERR_NOT_FOUND ? ERR_NONE : err; /* the topic is being deleted */
    err = fs_write(fd, bytes, n, at);
    fs_close(fd);
    return err;
}

enum err checkpoint_item_put_indexes(const struct checkpoint_item *it)
{
    const struct checkpoint_delta *d = &it->delta;
    assert(d->dir);
    enum err err = write_index_delta(d, ".index", d->bytes, d->offsets_bytes, d->offsets_at);
    if (!err)
        err = write_index_delta(d, ".timeindex", d->bytes + d->offsets_bytes, d->times_bytes, d->times_at);
    if (!err)
        err = write_index_delta(d, ".txnindex", d->bytes + d->offsets_bytes + d->times_bytes, d->aborted_bytes,
                                d->aborted_at);
    return err;
}
