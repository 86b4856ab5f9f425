/* Offsets by time. The shard says which segments there are and what it knows of their times; a job finds out the rest (the last
 * entry of a time index, read once per segment and run), picks the first segment that may hold the answer, finds its place by
 * that one's index, then reads batches from the files, up to the promised end, and walks the records of a batch that may hold it.
 *
 * A job works on copies, on file descriptors and memory of its own, so the partition goes on meanwhile. A look-up takes some
 * 200 bytes and 100 for each segment; the job, while it runs, 128 KiB, the index of one segment (5 MiB at worst), and what one
 * batch unpacks to. LOOKUPS_MAX of a shard's are under way, the others wait. */
#include "core/log.h"
#include "storage/log/codec.h"
#include "storage/log/partition_state.h"
#include <string.h>

enum {
    LOOKUP_READ_BYTES = 128 * 1024,
    LOOKUP_SEGMENTS_MAX = 65536,
    LOOKUPS_MAX = 2, /* one runs, one is next: they share the helper's thread */
};
static const uint64_t by_index = UINT64_MAX;

struct place {
    struct index_ask ask;
    uint64_t number;   /* the segment's */
    uint64_t from, to; /* by_index: the job finds it */
    bool active;
    /* of all its records; learnt: by this job */
    bool known, learnt;
    struct segment_times times;
};
struct lookup {
    struct io_op op;
    struct list link; /* the store's: waits for its turn */
    struct partition *partition;
    struct time_lookup *ask;
    bool max;
    uint64_t swaps;       /* of the partition, when the places were noted */
    int64_t written_from; /* the active file is to have all below this offset, or its records would not be seen */
    int64_t timestamp, log_start_offset; /* max: `timestamp` is the largest one, to be found exactly */
    bool
        unsure; /* max: the largest one of the segments may be of a record below the log start; the job finds out first */
    uint32_t count;
    enum err err;
    int64_t found_offset, found_timestamp;
    int32_t found_epoch;
    struct place *places;
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
    assert(b->bytes >= BATCH_HEADER_BYTES);
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
    assert(window);
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
        if (b.count == 0 || b.max_timestamp < l->timestamp || batch_last_offset(&b) < l->log_start_offset)
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
    assert(place->from <= place->to || place->from == by_index);
    assert(!l->err);
    char path[FS_PATH_MAX];
    int fd;
    l->err =
        segment_path(path, place->ask.dir, place->ask.base_offset, ".log") ? fs_open(path, FS_READ, &fd) : ERR_INVALID;
    if (l->err)
        return false;
    bool found = search_batches(l, heap, fd, place, window);
    fs_drop_cache(fd); /* cached pages would make direct writes slow */
    fs_close(fd);
    return found;
}

static void learn_times(struct lookup *l, struct place *place)
{
    assert(!place->known);
    l->err = files_learn_times(&place->ask, &place->times);
    place->known = place->learnt = !l->err;
}

/* Does it hold records below the log start as well as such that count? */
static bool is_cut_by_start(const struct lookup *l, const struct place *place)
{
    return place->ask.base_offset < l->log_start_offset;
}

static int64_t largest_of_places(const struct lookup *l)
{
    assert(l->places || !l->count);
    int64_t largest = -1;
    for (uint32_t i = 0; i < l->count; i++)
        largest = l->places[i].times.max_timestamp > largest ? l->places[i].times.max_timestamp : largest;
    return largest;
}

/* By the batches of the segments that may hold a larger one. */
static void walk_to_largest(struct lookup *l, struct heap *heap, uint8_t *window, bool whole)
{
    assert(l->max);
    l->unsure = true;
    l->timestamp = -1;
    for (uint32_t i = 0; i < l->count && !l->err; i++) {
        struct place place = l->places[i];
        place.from = place.from == by_index ? 0 : place.from;
        if (place.times.max_timestamp <= l->timestamp)
            continue;
        if (whole || is_cut_by_start(l, &place))
            (void)search_segment(l, heap, &place, window); /* finds nothing, raises the timestamp */
        else
            l->timestamp = place.times.max_timestamp;
    }
    l->unsure = false;
}

/* The largest timestamp of the records that are left: that of the segments, unless it may be of a record below the start. */
static void find_largest_timestamp(struct lookup *l, struct heap *heap, uint8_t *window)
{
    assert(l->max);
    l->timestamp = largest_of_places(l);
    if (l->count && is_cut_by_start(l, &l->places[0]) && l->places[0].times.max_timestamp >= l->timestamp)
        walk_to_largest(l, heap, window, false);
}

/* Where in the segment to look, by its index: of the first one that is looked into; the answer is mostly there. */
static void find_place(struct lookup *l, struct place *place, struct heap *heap, bool first)
{
    assert(place->known);
    struct segment copy;
    if (place->from != by_index)
        return;
    place->from = 0;
    if (!first)
        return;
    l->err = files_load_index(&place->ask, heap, &copy);
    if (l->err)
        return;
    place->from = index_position(&copy.index, index_offset_of_time(&copy.index, l->timestamp));
    index_deinit(&copy.index);
}

static bool search_places(struct lookup *l, struct heap *heap, uint8_t *window)
{
    assert(!l->err);
    bool found = false, first = true;
    for (uint32_t i = 0; i < l->count && !found && !l->err; i++) {
        struct place *place = &l->places[i];
        if (place->times.max_timestamp < l->timestamp)
            continue;
        find_place(l, place, heap, first);
        first = false;
        if (!l->err)
            found = search_segment(l, heap, place, window);
    }
    return found;
}

static void run_lookup(struct lookup *l, struct heap *heap, uint8_t *window)
{
    assert(!l->err);
    for (uint32_t i = 0; i < l->count && !l->err; i++)
        if (!l->places[i].known)
            learn_times(l, &l->places[i]);
    if (!l->err && l->max)
        find_largest_timestamp(l, heap, window);
    if (l->err || (l->max && l->timestamp < 0))
        return;
    bool found = search_places(l, heap, window);
    if (found || !l->max || l->err)
        return;
    /* An index of Kafka's knows the largest timestamp also of a batch that compaction emptied. */
    walk_to_largest(l, heap, window, true);
    if (!l->err && l->timestamp >= 0)
        (void)search_places(l, heap, window);
}

static int32_t run_lookup_job(void *arg)
{
    struct lookup *l = arg;
    struct heap *heap = heap_open();
    uint8_t *window = heap ? heap_alloc(heap, LOOKUP_READ_BYTES) : NULL;
    if (window)
        run_lookup(l, heap, window);
    else
        l->err = ERR_NO_MEMORY;
    if (heap)
        heap_close(heap);
    return 0;
}

/* --- on the shard --- */

static void free_lookup(struct lookup *l)
{
    assert(l->partition);
    struct heap *h = shard_of(l->partition)->heap;
    heap_free(h, l->places);
    heap_free(h, l);
}

static void answer_lookup(struct lookup *l, enum kerr error)
{
    assert(l->ask->done);
    assert(!list_linked(&l->link));
    struct partition *p = l->partition;
    struct time_lookup *ask = l->ask;
    ask->error = error;
    if (!error && l->found_offset >= readable_offset(p, ask->committed)) {
        l->found_offset = l->found_timestamp = -1;
        l->found_epoch = -1;
    }
    ask->found_offset = l->found_offset;
    ask->found_timestamp = l->found_timestamp;
    ask->found_epoch = l->found_epoch;
    ask->state = NULL;
    list_remove(&ask->link);
    free_lookup(l);
    ask->done(ask);
    partition_stop_step(p);
}

/* The log start moved past what the job looked at: files may be gone, or what it found is below the start. Or a cleaned segment took the
 * place of some: names may have meant other files. */
static bool lookup_is_outdated(const struct lookup *l)
{
    if (l->partition->cleaning.swapping || l->partition->cleaning.swaps != l->swaps)
        return true;
    assert(l->partition->log_start_offset >= l->log_start_offset);
    int64_t start = l->partition->log_start_offset;
    return start != l->log_start_offset && (l->err || l->found_offset < start);
}

/* What it learnt of segments that are still there is never asked again. */
static void keep_learnt_times(const struct lookup *l)
{
    assert(l->places || !l->count);
    for (uint32_t i = 0; i < l->count; i++) {
        const struct place *place = &l->places[i];
        if (place->learnt)
            (void)files_keep_times(l->partition, place->ask.base_offset, place->number, &place->times);
    }
}

static void queue_lookup(struct lookup *l)
{
    assert(!list_linked(&l->link));
    struct log_store *ls = l->partition->store;
    heap_free(shard_of(l->partition)->heap, l->places);
    l->places = NULL;
    l->count = 0;
    l->err = ERR_NONE;
    l->written_from = l->partition->promised.offset;
    if (l->partition->written.offset < l->written_from)
        writer_carry(l->partition);
    list_push(&ls->lookup_waiting, &l->link);
    log_store_turn(ls);
}

static void lookup_job_done(struct io_op *op, int32_t res)
{
    (void)res;
    struct lookup *l = container_of(op, struct lookup, op);
    struct partition *p = l->partition;
    assert(p->store->lookups > 0);
    p->store->lookups--;
    log_store_turn(p->store); /* the next ones begin */
    if (partition_dead(p)) {
        answer_lookup(l, partition_refusal(p));
        return;
    }
    if (lookup_is_outdated(l)) {
        queue_lookup(l);
        return;
    }
    keep_learnt_times(l);
    if (l->err)
        log_error("look-up failed", "partition=%s-%d timestamp=%lld why=\"%s\"", p->topic->name, p->index,
                  (long long)l->timestamp, err_text(l->err));
    answer_lookup(l, l->err ? KERR_KAFKA_STORAGE_ERROR : KERR_NONE);
}

static void add_lookup_place(struct lookup *l, const struct segment *s)
{
    assert(s->partition == l->partition);
    assert(l->places);
    const struct partition *p = l->partition;
    bool active = s == p->active;
    uint64_t from = by_index;
    if (s->index_loaded && !l->max)
        from = index_position(&s->index, index_offset_of_time(&s->index, l->timestamp));
    else if (active)
        from = index_position(&s->index, l->log_start_offset);
    l->places[l->count++] = (struct place){
        .ask = files_index_ask(p, s),
        .number = s->number,
        .from = from,
        .to = active ? p->written.position : s->bytes,
        .active = active,
        .known = active || s->times_known,
        .times = {s->first_timestamp, active ? p->written.max_timestamp : s->max_timestamp,
                  active ? p->written.max_timestamp_offset : s->max_timestamp_offset},
    };
}

/* A segment that is known to hold nothing young enough is left out. */
static bool may_hold_answer(const struct lookup *l, const struct segment *s)
{
    return l->max || s == l->partition->active || !s->times_known || s->max_timestamp >= l->timestamp;
}

static void begin_lookup(struct lookup *l)
{
    assert(!l->places);
    assert(!list_linked(&l->link));
    assert(l->partition->store->lookups < LOOKUPS_MAX);
    struct partition *p = l->partition;
    if (partition_dead(p)) {
        answer_lookup(l, partition_refusal(p));
        return;
    }
    uint32_t most = (uint32_t)u64_min(p->segments.count, LOOKUP_SEGMENTS_MAX);
    l->places = heap_alloc(shard_of(p)->heap, (most ? most : 1) * sizeof l->places[0]);
    if (!l->places) {
        answer_lookup(l, KERR_KAFKA_STORAGE_ERROR);
        return;
    }
    l->max = l->ask->max;
    l->timestamp = l->ask->timestamp;
    l->log_start_offset = p->log_start_offset;
    l->swaps = p->cleaning.swaps;
    l->found_offset = l->found_timestamp = -1;
    l->found_epoch = -1;
    for (uint32_t i = 0; i < p->segments.count && l->count < most; i++)
        if (may_hold_answer(l, segments_at(&p->segments, i)))
            add_lookup_place(l, segments_at(&p->segments, i));
    p->store->lookups++;
    io_job(shard_of(p)->io, &l->op, IO_BACKGROUND, run_lookup_job, l,
           lookup_job_done); /* also without places: it answers later */
}

/* The first that is not in vain: names of closed segments mean what the list says, and the active file has what was promised when it was
 * asked. The end of a swap or of a wave comes back here. */
static struct lookup *next_lookup(const struct log_store *ls)
{
    assert(ls->lookups <= LOOKUPS_MAX);
    for (struct list *i = ls->lookup_waiting.next; i != &ls->lookup_waiting; i = i->next) {
        struct lookup *l = container_of(i, struct lookup, link);
        if ((!l->partition->cleaning.swapping && l->partition->written.offset >= l->written_from) ||
            partition_dead(l->partition))
            return l;
    }
    return NULL;
}

static void begin_next_lookups(struct log_store *ls)
{
    assert(ls->lookups <= LOOKUPS_MAX);
    struct lookup *l;
    for (uint32_t n = 0; n < LOOKUPS_MAX && ls->lookups < LOOKUPS_MAX && (l = next_lookup(ls)); n++) {
        list_remove(&l->link);
        begin_lookup(l);
    }
    if (ls->lookups < LOOKUPS_MAX && next_lookup(ls))
        log_store_turn(ls);
}

void lookup_begin_waiting(struct log_store *ls)
{
    begin_next_lookups(ls);
}

/* A partition that is going away must not get another look-up: nothing would wait for it. */
bool partition_lookup(struct partition *p, struct time_lookup *ask)
{
    struct lookup *l = NULL;
    if (partition_dead(p)) {
        ask->error = partition_refusal(p);
        return true;
    }
    if (!(l = heap_zalloc(shard_of(p)->heap, sizeof *l))) {
        ask->error = KERR_KAFKA_STORAGE_ERROR;
        return true;
    }
    assert(ask->done);
    l->partition = p;
    l->ask = ask;
    list_init(&l->link);
    list_init(&ask->link);
    list_push(&p->lookups, &ask->link);
    queue_lookup(l);
    return false;
}
