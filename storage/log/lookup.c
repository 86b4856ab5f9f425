/* Offsets by time. The indexes tell (on the shard) in which segment and from which position to look; a job then reads batches
 * from the files, up to the promised end, and walks the records of the batch that may hold the answer.
 *
 * The job works on copies and on file descriptors of its own, so the partition goes on meanwhile. */
#include "core/log.h"
#include "storage/log/codec.h"
#include "storage/log/partition_state.h"
#include <string.h>

enum { LOOKUP_READ_BYTES = 128 * 1024, LOOKUP_SEGMENTS_MAX = 4096 };

struct place {
    int64_t segment;
    uint64_t from, to;
    int64_t max_timestamp; /* of all its records, which are all at or above the log start; -1: to be found out */
};
struct lookup {
    struct io_op op;
    struct partition *partition;
    struct time_lookup *ask;
    char dir[FS_PATH_MAX];
    int64_t timestamp, log_start_offset; /* max: `timestamp` is the largest one, to be found exactly */
    bool
        unsure; /* max: the largest one of the segments may be of a record below the log start; the job finds out first */
    uint32_t count;
    enum err err;
    int64_t found_offset, found_timestamp;
    int32_t found_epoch;
    struct place places[];
};

/* --- in the job --- */

/* The first record of this batch that is young enough; false: none. (`unsure`: the youngest, whatever `timestamp` is; goes on.) */
static bool find_record_by_time(struct lookup *l, const struct batch *b, struct batch_cursor c)
{
    struct batch_record r;
    for (int32_t i = 0; i < b->count && batch_next(&c, &r); i++) {
        bool append_time = b->attributes & BATCH_LOG_APPEND_TIME;
        int64_t timestamp = append_time ? b->max_timestamp : batch_record_timestamp(b, &r);
        int64_t offset = b->base_offset + r.offset_delta;
        if (timestamp < l->timestamp || offset < l->log_start_offset)
            continue;
        if (l->unsure) {
            l->timestamp = timestamp;
            continue;
        }
        l->found_offset = offset;
        l->found_timestamp = timestamp;
        l->found_epoch = b->leader_epoch;
        return true;
    }
    return false;
}

static bool search_batch(struct lookup *l, struct heap *heap, const struct batch *b, const uint8_t *batch)
{
    uint8_t *unpacked;
    struct batch_cursor records;
    enum err err = codec_records(b, batch, CODEC_OUTPUT_MAX, heap, &unpacked, &records);
    if (err) {
        l->err = err;
        return false;
    }
    bool found = find_record_by_time(l, b, records);
    heap_free(heap, unpacked);
    return found;
}

static enum err read_whole_batch(int fd, struct heap *heap, uint64_t at, const struct batch *b, uint8_t **out)
{
    uint8_t *bytes = heap_alloc(heap, b->bytes);
    if (!bytes)
        return ERR_NO_MEMORY;
    size_t got = 0;
    enum err err = fs_read(fd, bytes, b->bytes, at, &got);
    if (!err && (got < b->bytes || batch_crc(bytes, b->bytes) != b->crc))
        err = ERR_CORRUPT;
    if (err)
        heap_free(heap, bytes);
    else
        *out = bytes;
    return err;
}

/* Goes through batch headers; only a batch that may hold the answer is read whole. */
static bool search_batches(struct lookup *l, struct heap *heap, int fd, const struct place *place, uint8_t *window)
{
    uint64_t window_at = 0;
    size_t have = 0;
    struct batch b;
    for (uint64_t at = place->from; at + BATCH_HEADER_BYTES <= place->to && !l->err; at += b.bytes) {
        if (at < window_at || at + BATCH_HEADER_BYTES > window_at + have) {
            window_at = at;
            l->err = fs_read(fd, window, LOOKUP_READ_BYTES, at, &have);
            if (l->err)
                return false;
        }
        if (!batch_parse(window + (at - window_at), have - (at - window_at), &b)) {
            l->err = ERR_CORRUPT;
            return false;
        }
        if (b.max_timestamp < l->timestamp || batch_last_offset(&b) < l->log_start_offset)
            continue;
        if (l->unsure && b.base_offset >= l->log_start_offset) {
            l->timestamp = b.max_timestamp;
            continue;
        }
        uint8_t *batch;
        l->err = read_whole_batch(fd, heap, at, &b, &batch);
        if (l->err)
            return false;
        bool found = search_batch(l, heap, &b, batch);
        heap_free(heap, batch);
        if (found)
            return true;
    }
    return false;
}

static bool search_segment(struct lookup *l, struct heap *heap, const struct place *place, uint8_t *window)
{
    char path[FS_PATH_MAX];
    int fd;
    l->err = segment_path(path, l->dir, place->segment, ".log") ? fs_open(path, FS_READ, &fd) : ERR_INVALID;
    if (l->err)
        return false;
    bool found = search_batches(l, heap, fd, place, window);
    fs_drop_cache(fd); /* cached pages would make direct writes slow */
    fs_close(fd);
    return found;
}

/* The largest timestamp of the records that are left. */
static void find_largest_timestamp(struct lookup *l, struct heap *heap, uint8_t *window)
{
    l->timestamp = -1;
    for (uint32_t i = 0; i < l->count && !l->err; i++) {
        const struct place *place = &l->places[i];
        if (place->max_timestamp < 0)
            (void)search_segment(l, heap, place, window); /* finds nothing, raises the timestamp */
        else if (place->max_timestamp > l->timestamp)
            l->timestamp = place->max_timestamp;
    }
    l->unsure = false;
}

static int32_t run_lookup_job(void *arg)
{
    struct lookup *l = arg;
    struct heap *heap = heap_open();
    uint8_t *window = heap ? heap_alloc(heap, LOOKUP_READ_BYTES) : NULL;
    if (!window)
        l->err = ERR_NO_MEMORY;
    if (!l->err && l->unsure)
        find_largest_timestamp(l, heap, window);
    bool found = false;
    for (uint32_t i = 0; i < l->count && !found && !l->err; i++)
        found = search_segment(l, heap, &l->places[i], window);
    if (heap)
        heap_close(heap);
    return 0;
}

/* --- on the shard --- */

static void answer_lookup(struct partition *p, struct lookup *l, enum kerr error)
{
    struct time_lookup *ask = l->ask;
    ask->error = error;
    ask->state = NULL;
    list_remove(&ask->link);
    heap_free(shard_of(p)->heap, l);
    ask->done(ask);
    partition_stop_step(p);
}

static void begin_lookup(struct partition *p, struct time_lookup *ask);

/* The log start moved past what the job looked at: files may be gone, or what it found is below the start. */
static bool lookup_is_outdated(const struct lookup *l)
{
    int64_t start = l->partition->log_start_offset;
    return start != l->log_start_offset && (l->err || l->found_offset < start);
}

static void repeat_lookup(struct lookup *l)
{
    struct time_lookup *ask = l->ask;
    struct partition *p = l->partition;
    list_remove(&ask->link);
    heap_free(shard_of(p)->heap, l);
    begin_lookup(p, ask);
}

static void lookup_job_done(struct io_op *op, int32_t res)
{
    (void)res;
    struct lookup *l = container_of(op, struct lookup, op);
    struct partition *p = l->partition;
    if (partition_dead(p)) {
        answer_lookup(p, l, partition_refusal(p));
        return;
    }
    if (lookup_is_outdated(l)) {
        repeat_lookup(l);
        return;
    }
    l->ask->found_offset = l->found_offset;
    l->ask->found_timestamp = l->found_timestamp;
    l->ask->found_epoch = l->found_epoch;
    if (l->err)
        log_error("look-up failed", "partition=%s-%d timestamp=%lld why=\"%s\"", p->topic->name, p->index,
                  (long long)l->timestamp, err_text(l->err));
    answer_lookup(p, l, l->err ? KERR_KAFKA_STORAGE_ERROR : KERR_NONE);
}

/* Every closed segment's largest timestamp is known after this. */
static enum err learn_segment_timestamps(struct partition *p, int64_t *out_largest)
{
    int64_t largest = p->promised.max_timestamp;
    for (uint32_t i = 0; i < p->segments.count; i++) {
        struct segment *s = segments_at(&p->segments, i);
        enum err err = s == p->active || s->max_timestamp >= 0 ? ERR_NONE : files_need_index(p, s);
        if (err)
            return err;
        if (s != p->active && s->max_timestamp > largest)
            largest = s->max_timestamp;
    }
    *out_largest = largest;
    return ERR_NONE;
}

/* The answer is mostly in the first place: only that one's index is loaded, the others are read from their start if need be. */
static void add_lookup_place(struct lookup *l, struct segment *s)
{
    struct partition *p = l->partition;
    uint64_t to = s == p->active ? p->promised.position : s->bytes, from = 0;
    if (l->count == 0 && !l->err)
        l->err = files_need_index(p, s);
    if (l->unsure && s->base_offset < l->log_start_offset && s->index_loaded)
        from = index_position(&s->index, l->log_start_offset);
    else if (s->index_loaded && !l->unsure)
        from = index_position(&s->index, index_offset_of_time(&s->index, l->timestamp));
    int64_t max_timestamp = s->base_offset < l->log_start_offset ? -1
                            : s == p->active                     ? p->promised.max_timestamp
                                                                 : s->max_timestamp;
    if (from < to)
        l->places[l->count++] = (struct place){s->base_offset, from, to, max_timestamp};
}

/* Is the largest timestamp of the segment that holds the log start as large as any other? It may be of a record before it. */
static bool largest_may_be_below_start(const struct partition *p, int64_t largest)
{
    const struct segment *s = p->segments.count ? segments_at(&p->segments, 0) : NULL;
    return s && s->base_offset < p->log_start_offset &&
           (s == p->active ? p->promised.max_timestamp : s->max_timestamp) >= largest;
}

static void begin_lookup(struct partition *p, struct time_lookup *ask)
{
    uint32_t most = (uint32_t)u64_min(p->segments.count, LOOKUP_SEGMENTS_MAX);
    struct lookup *l = heap_zalloc(shard_of(p)->heap, sizeof *l + most * sizeof l->places[0]);
    assert(l); /* a few hundred bytes: without them the shard cannot go on */
    list_init(&ask->link);
    list_push(&p->lookups, &ask->link);
    l->partition = p;
    l->ask = ask;
    int64_t largest = -1;
    l->err = learn_segment_timestamps(p, &largest);
    l->timestamp = ask->max ? largest : ask->timestamp;
    l->unsure = ask->max && largest_may_be_below_start(p, largest);
    l->log_start_offset = p->log_start_offset;
    l->found_offset = l->found_timestamp = -1;
    l->found_epoch = -1;
    memcpy(l->dir, p->dir, strlen(p->dir) + 1);
    bool any = !l->err && !(ask->max && largest < 0);
    for (uint32_t i = 0; any && i < p->segments.count && l->count < most; i++) {
        struct segment *s = segments_at(&p->segments, i);
        if (s == p->active || l->unsure || s->max_timestamp >= l->timestamp)
            add_lookup_place(l, s);
    }
    io_job(shard_of(p)->io, &l->op, IO_BACKGROUND, run_lookup_job, l,
           lookup_job_done); /* also without places: it answers later */
}

/* A partition that is going away must not get another look-up: nothing would wait for it. */
bool partition_lookup(struct partition *p, struct time_lookup *ask)
{
    if (partition_dead(p)) {
        ask->error = partition_refusal(p);
        return true;
    }
    begin_lookup(p, ask);
    return false;
}
