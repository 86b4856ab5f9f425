/* Reading, mapping, filtering, sealing (clean_work.h). Runs on a helper thread. */
#include "storage/clean/clean_work.h"
#include "core/clock.h"
#include "core/limits.h"
#include "storage/log/deleted.h"
#include "storage/log/folder.h"
#include "storage/log/segment.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void clean_work_begin(struct clean_work *w)
{
    w->read_bytes = CLEAN_READ_MAX;
    assert(w->dir && w->count > 0);
    assert(w->first_dirty < w->first_uncleanable);
    w->step = CLEAN_MAP;
    w->source_fd = w->out_fd = w->made_fd = -1;
    w->bad_segment = -1;
    w->end_offset = -1;
}

/* --- reading --- */

static void close_source(struct clean_work *w)
{
    if (w->source_fd < 0)
        return;
    fs_drop_cache(w->source_fd); /* cached pages would make direct reads slow, and nobody asked for them */
    fs_close(w->source_fd);
    w->source_fd = -1;
}

static enum err open_source(struct clean_work *w)
{
    assert(w->at_segment < w->count);
    char path[FS_PATH_MAX];
    if (w->source_fd >= 0)
        return ERR_NONE;
    w->at = 0;
    return segment_path(path, w->dir, w->segments[w->at_segment].base_offset, ".log")
               ? fs_open(path, FS_READ | (w->limits.direct ? FS_DIRECT : 0), &w->source_fd)
               : ERR_INVALID;
}

/* A piece of the source in memory: whole batches of it are taken one by one. */
struct piece {
    uint8_t *at;
    size_t bytes;
    bool own; /* one large batch, in memory of its own */
};

static enum err corrupt_at(struct clean_work *w, uint64_t position)
{
    assert(w->at_segment < w->count);
    w->bad_segment = w->segments[w->at_segment].base_offset;
    w->bad_position = position;
    return ERR_CORRUPT;
}

/* Some of what is at `position`, at most `want` and what the buffer takes. Whole blocks are read, past the page cache: the kernel reads
 * ahead of who reads through it, megabytes at once, and a producer's flush stands behind them at the disk. */
static enum err read_source(struct clean_work *w, uint64_t position, size_t want, uint8_t **out_at, size_t *out_got)
{
    assert(w->source_fd >= 0);
    assert(position < w->segments[w->at_segment].bytes);
    size_t skip = position % PAGE_BYTES, got;
    size_t span = (size_t)u64_min(align_up(skip + want, PAGE_BYTES), CLEAN_READ_MAX);
    enum err err = fs_read(w->source_fd, w->buf, span, position - skip, &got);
    if (err)
        return err;
    *out_at = w->buf + skip;
    *out_got = got > skip ? (size_t)u64_min(got - skip, want) : 0;
    w->step_bytes += *out_got;
    return ERR_NONE;
}

/* A batch that is larger than the buffer, or than what a step reads. */
static enum err read_large_batch(struct clean_work *w, size_t bytes, uint8_t *to)
{
    assert(w->at + bytes <= w->segments[w->at_segment].bytes);
    size_t done = 0, got = 1;
    uint8_t *at;
    enum err err = ERR_NONE;
    for (; !err && done < bytes && got > 0; done += got) {
        err = read_source(w, w->at + done, bytes - done, &at, &got);
        got = err ? 0 : got;
        if (got)
            memcpy(to + done, at, got);
    }
    return !err && done < bytes ? corrupt_at(w, w->at) : err;
}

/* From w->at on: at least one whole batch. */
static enum err read_piece(struct clean_work *w, struct piece *out)
{
    assert(w->buf);
    assert(w->source_fd >= 0);
    uint64_t left = w->segments[w->at_segment].bytes - w->at;
    struct batch b;
    *out = (struct piece){.own = false};
    enum err err = read_source(w, w->at, (size_t)u64_min(left, w->read_bytes), &out->at, &out->bytes);
    if (err)
        return err;
    if (!batch_parse(out->at, out->bytes, &b) || b.bytes > left)
        return corrupt_at(w, w->at);
    if (b.bytes <= out->bytes)
        return ERR_NONE;
    *out = (struct piece){.at = heap_alloc(w->heap, b.bytes), .bytes = b.bytes, .own = true};
    if (!out->at)
        return ERR_NO_MEMORY;
    err = read_large_batch(w, b.bytes, out->at);
    if (err)
        heap_free(w->heap, out->at);
    return err;
}

/* The next whole batch of a piece, checked as far as a header and the CRC go. False: none is left, or it is bad (err). */
static bool next_piece_batch(struct clean_work *w, const struct piece *piece, size_t *used, struct batch *b,
                             enum err *err)
{
    assert(*used <= piece->bytes);
    const struct clean_segment *s = &w->segments[w->at_segment];
    const uint8_t *at = piece->at + *used;
    size_t left = piece->bytes - *used;
    if (*err || left < BATCH_HEADER_BYTES)
        return false;
    bool good = batch_parse(at, left, b);
    if (good && b->bytes > left && b->bytes <= s->bytes - w->at)
        return false; /* the next piece begins with it */
    good = good && b->bytes <= left && batch_crc(at, b->bytes) == b->crc && b->last_offset_delta >= 0;
    good = good && b->base_offset >= s->base_offset && b->base_offset >= w->end_offset &&
           batch_last_offset(b) < s->next_offset;
    if (!good) {
        *err = corrupt_at(w, w->at);
        return false;
    }
    w->end_offset = batch_last_offset(b) + 1;
    *used += b->bytes;
    w->at += b->bytes;
    return true;
}

static bool segment_is_read(struct clean_work *w)
{
    assert(w->at <= w->segments[w->at_segment].bytes);
    if (w->at < w->segments[w->at_segment].bytes)
        return false;
    close_source(w);
    w->at_segment++;
    return true;
}

/* --- mapping --- */

static uint32_t first_dirty_segment(const struct clean_work *w)
{
    assert(w->count > 0);
    uint32_t i = 0;
    while (i < w->count && w->segments[i].next_offset <= w->first_dirty)
        i++;
    return i;
}

static int compare_producer_last(const void *x, const void *y)
{
    int64_t a = ((const struct producer_last *)x)->id, b = ((const struct producer_last *)y)->id;
    return (a > b) - (a < b);
}

/* For looking up. False: no memory. */
static bool list_producers_by_id(struct clean_work *w)
{
    assert(!w->producers);
    uint32_t count = w->held ? producers_count(w->held) : 0;
    if (count == 0)
        return true;
    w->producers = heap_alloc(w->heap, count * sizeof *w->producers);
    if (!w->producers)
        return false;
    w->producer_count = producers_last_offsets(w->held, w->producers);
    qsort(w->producers, w->producer_count, sizeof *w->producers, compare_producer_last);
    return true;
}

static enum err open_map(struct clean_work *w)
{
    assert(!w->heap);
    w->heap = heap_open();
    if (!w->heap || !list_producers_by_id(w))
        return ERR_NO_MEMORY;
    uint8_t *buf = heap_alloc(w->heap, CLEAN_READ_MAX + PAGE_BYTES);
    if (!buf)
        return ERR_NO_MEMORY;
    w->buf = buf + (align_up((uintptr_t)buf, PAGE_BYTES) - (uintptr_t)buf);
    w->out.heap = w->heap;
    w->at_segment = first_dirty_segment(w);
    uint64_t keys = (uint64_t)(w->first_uncleanable - w->first_dirty);
    enum err err = dedupe_open(&w->map, w->heap, keys, w->limits.map_bytes, w->limits.map_load, w->secret);
    if (!err)
        dedupe_cover(&w->map, w->first_dirty);
    return err ? err : clean_txns_begin(&w->txns, w->heap);
}

static enum err map_piece(struct clean_work *w, const struct piece *piece, bool *out_full)
{
    assert(piece->bytes > 0);
    struct batch b;
    enum err err = ERR_NONE;
    size_t used = 0;
    while (!*out_full && next_piece_batch(w, piece, &used, &b, &err)) {
        if (batch_last_offset(&b) < w->first_dirty)
            continue;
        err = filter_map_batch(&w->map, &w->txns, piece->at + used - b.bytes, &b, w->first_dirty, w->heap, out_full);
        if (err == ERR_CORRUPT)
            err = corrupt_at(w, w->at - b.bytes);
    }
    return err;
}

static enum err end_mapping(struct clean_work *w, bool full)
{
    assert(full || w->at_segment == w->count);
    close_source(w);
    if (!full)
        dedupe_cover(&w->map, w->first_uncleanable);
    if (PLANTED(key_lost_between_passes))
        dedupe_cover(&w->map, w->first_uncleanable);
    w->step = CLEAN_GROUP;
    w->group_from = w->group_to = 0;
    w->end_offset = -1;
    clean_txns_end(&w->txns);
    return clean_txns_begin(&w->txns, w->heap); /* the second pass, from the log's start */
}

static enum err step_map(struct clean_work *w)
{
    assert(w->step == CLEAN_MAP);
    bool full = false;
    struct piece piece;
    enum err err = w->heap ? ERR_NONE : open_map(w);
    if (!err && w->at_segment < w->count && w->segments[w->at_segment].bytes > 0) {
        err = open_source(w);
        if (!err)
            err = read_piece(w, &piece);
        if (err)
            return err;
        err = map_piece(w, &piece, &full);
        if (piece.own)
            heap_free(w->heap, piece.at);
    }
    w->sums.bytes_mapped += w->step_bytes;
    if (err)
        return err;
    if (!full && w->at_segment < w->count)
        (void)segment_is_read(w);
    return full || w->at_segment == w->count ? end_mapping(w, full) : ERR_NONE;
}

/* --- groups --- */

static uint64_t index_file_bytes(const struct clean_work *w, uint32_t i, const char *suffix)
{
    assert(i < w->count);
    char path[FS_PATH_MAX];
    uint64_t bytes = 0;
    int fd;
    if (!segment_path(path, w->dir, w->segments[i].base_offset, suffix) || fs_open(path, FS_READ, &fd))
        return 0; /* it will be made anew, and is as large as the cleaning makes it */
    if (fs_size(fd, &bytes))
        bytes = 0;
    fs_close(fd);
    return bytes;
}

/* Cleaner.groupSegmentsBySize: as many neighbours as one segment may hold. */
static uint32_t end_of_group(const struct clean_work *w, uint32_t from, uint32_t end)
{
    assert(from < end);
    uint64_t log = w->segments[from].bytes, offsets = index_file_bytes(w, from, ".index"),
             times = index_file_bytes(w, from, ".timeindex");
    uint32_t to = from + 1;
    for (; to < end; to++) {
        int64_t last = (to + 1 < end ? w->segments[to + 1].base_offset : w->first_uncleanable) - 1;
        log += w->segments[to].bytes;
        if (log > w->limits.segment_bytes || last - w->segments[from].base_offset > INT32_MAX)
            break;
        offsets += index_file_bytes(w, to, ".index");
        times += index_file_bytes(w, to, ".timeindex");
        if (offsets > w->limits.index_bytes || times > w->limits.index_bytes)
            break;
    }
    return to;
}

static bool made_path(const struct clean_work *w, const char *suffix, char out[FS_PATH_MAX])
{
    assert(w->group_from < w->count);
    return segment_path(out, w->dir, w->segments[w->group_from].base_offset, suffix);
}

/* One that was left there may have another name by now, in a backup: nothing is written into it. */
static enum err create_file_anew(const char *path, int *out_fd)
{
    assert(path[0]);
    enum err err = fs_unlink(path);
    return err && err != ERR_NOT_FOUND ? err : fs_open(path, FS_READ | FS_WRITE | FS_CREATE | FS_EXCLUSIVE, out_fd);
}

static enum err begin_group(struct clean_work *w)
{
    assert(w->group_from < w->group_to);
    assert(w->out_fd < 0);
    char path[FS_PATH_MAX];
    int64_t base = w->segments[w->group_from].base_offset;
    w->at_segment = w->group_from;
    w->changed = w->group_to - w->group_from > 1;
    w->made = (struct clean_segment){.base_offset = base, .next_offset = base};
    for (uint32_t i = w->group_from; i < w->group_to; i++) /* Kafka's: as old as the youngest of them */
        if (w->segments[i].written_ms > w->made.written_ms)
            w->made.written_ms = w->segments[i].written_ms;
    w->first_timestamp = -1;
    w->unsynced = 0;
    w->renamed = 0;
    index_init(&w->index, w->heap, base, w->limits.index_bytes);
    aborted_init(&w->aborted, w->heap);
    return made_path(w, ".log.cleaned", path) ? create_file_anew(path, &w->out_fd) : ERR_INVALID;
}

static enum err step_group(struct clean_work *w)
{
    assert(w->out_fd < 0);
    assert(w->map.end_offset > w->first_dirty);
    uint32_t end = w->group_to; /* segments that the map covers at least in part */
    while (end < w->count && w->segments[end].base_offset < w->map.end_offset)
        end++;
    w->group_from = w->group_to;
    if (w->index.heap) { /* of the group before */
        index_deinit(&w->index);
        aborted_deinit(&w->aborted);
    }
    if (w->group_from == end) {
        w->step = CLEAN_DONE;
        return ERR_NONE;
    }
    w->group_to = end_of_group(w, w->group_from, end);
    w->step = CLEAN_FILTER;
    return begin_group(w);
}

/* --- filtering --- */

static enum err note_made_batch(struct clean_work *w, const uint8_t *at, uint64_t position, int64_t max_timestamp)
{
    assert(position <= INT32_MAX);
    struct batch b;
    bool good = batch_parse(at, BATCH_HEADER_BYTES, &b);
    assert(good);
    if (position + b.bytes > INT32_MAX)
        return ERR_UNSUPPORTED; /* it does not shrink: no segment is as large */
    if (w->made.bytes == 0)
        w->first_timestamp = b.max_timestamp;
    w->made.bytes = position + b.bytes;
    w->made.next_offset = batch_last_offset(&b) + 1;
    return index_add(&w->index, w->limits.index_interval_bytes, batch_last_offset(&b), (uint32_t)position, b.bytes,
                     max_timestamp, batch_last_offset(&b));
}

static enum err filter_one(struct clean_work *w, const struct clean_filter *f, const uint8_t *at, const struct batch *b)
{
    assert(w->at >= b->bytes);
    struct filter_result r;
    size_t before = w->out.bytes;
    bool last = w->at == w->segments[w->at_segment].bytes && w->at_segment + 1 == w->group_to;
    enum err err = filter_batch(f, at, b, last, &w->out, &r);
    if (err)
        return err == ERR_CORRUPT ? corrupt_at(w, w->at - b->bytes) : err;
    if (r.aborted.producer_id >= 0) {
        err = aborted_reserve(&w->aborted, 1);
        if (err)
            return err;
        aborted_add(&w->aborted, &r.aborted);
    }
    w->changed |= r.fate != FILTER_KEPT;
    w->sums.records_read += r.records_read;
    w->sums.records_kept += r.records_kept;
    return r.bytes ? note_made_batch(w, w->out.at + before, w->made.bytes, r.max_timestamp) : ERR_NONE;
}

static enum err filter_piece(struct clean_work *w, const struct piece *piece)
{
    assert(w->out.bytes == 0);
    assert(piece->bytes > 0);
    struct clean_filter f = {
        .map = &w->map,
        .producers = w->producers,
        .producer_count = w->producer_count,
        .txns = &w->txns,
        .now_ms = w->limits.now_ms,
        .delete_retention_ms = w->limits.delete_retention_ms,
        .heap = w->heap,
    };
    struct batch b;
    size_t used = 0;
    enum err err = ERR_NONE;
    while (!err && next_piece_batch(w, piece, &used, &b, &err))
        err = filter_one(w, &f, piece->at + used - b.bytes, &b);
    return err;
}

/* Flushed as it comes, so that it is paced, and never a whole segment of it stands before a producer's flush. */
static enum err write_out(struct clean_work *w, uint64_t position)
{
    assert(w->out_fd >= 0);
    enum err err = w->out.bytes ? fs_write(w->out_fd, w->out.at, w->out.bytes, position) : ERR_NONE;
    w->step_bytes += w->out.bytes;
    w->sums.bytes_written += w->out.bytes;
    w->unsynced += w->out.bytes;
    w->out.bytes = 0;
    if (err || w->unsynced < (uint64_t)CLEAN_SYNC_EVERY * w->read_bytes)
        return err;
    w->unsynced = 0;
    return fs_sync(w->out_fd);
}

static void drop_unchanged_group(struct clean_work *w)
{
    assert(w->group_to > w->group_from);
    clean_work_abandon(w);
    w->step = CLEAN_GROUP;
}

static enum err step_filter(struct clean_work *w)
{
    assert(w->at_segment < w->group_to);
    struct piece piece;
    uint64_t position = w->made.bytes;
    enum err err = ERR_NONE;
    if (w->segments[w->at_segment].bytes > 0) {
        err = open_source(w);
        if (!err)
            err = read_piece(w, &piece);
        if (err)
            return err;
        err = filter_piece(w, &piece);
        if (piece.own)
            heap_free(w->heap, piece.at);
    }
    w->sums.bytes_read += w->step_bytes;
    if (!err)
        err = write_out(w, position);
    if (err || !segment_is_read(w) || w->at_segment < w->group_to)
        return err;
    w->step = CLEAN_SEAL;
    if (!w->changed || w->made.bytes == 0)
        drop_unchanged_group(w);
    else
        err = index_finish(&w->index);
    return err;
}

/* --- sealing --- */

static enum err write_sealed_file(const struct clean_work *w, const char *suffix, const void *at, size_t bytes)
{
    assert(at || !bytes);
    char path[FS_PATH_MAX];
    int fd;
    if (!made_path(w, suffix, path))
        return ERR_INVALID;
    enum err err = create_file_anew(path, &fd);
    if (err)
        return err;
    if (bytes)
        err = fs_write(fd, at, bytes, 0);
    if (!err)
        err = fs_sync(fd);
    fs_close(fd);
    return err;
}

static enum err rename_made(const struct clean_work *w, const char *from, const char *to)
{
    char a[FS_PATH_MAX], b[FS_PATH_MAX];
    return made_path(w, from, a) && made_path(w, to, b) ? fs_rename(a, b) : ERR_INVALID;
}

static enum err write_sealed_aborted(const struct clean_work *w)
{
    size_t bytes = aborted_file_bytes(&w->aborted);
    uint8_t *at = heap_alloc(w->heap, bytes);
    if (!at)
        return ERR_NO_MEMORY;
    assert(bytes > 0);
    aborted_encode(&w->aborted, 0, w->aborted.count, at);
    enum err err = write_sealed_file(w, ".txnindex.cleaned", at, bytes);
    heap_free(w->heap, at);
    return err;
}

static enum err sync_cleaned(struct clean_work *w)
{
    assert(w->out_fd >= 0);
    assert(w->index.offset_count <= w->made.bytes);
    const struct index *ix = &w->index;
    if (w->made.written_ms > 0)
        err_ignore(fs_set_mtime(w->out_fd, w->made.written_ms)); /* the next run takes it for younger */
    enum err err = PLANTED(swap_before_sync) ? ERR_NONE : fs_sync(w->out_fd);
    fs_drop_cache(w->out_fd);
    fs_close(w->out_fd);
    w->out_fd = -1;
    if (!err)
        err = write_sealed_file(w, ".index.cleaned", ix->offsets, (size_t)ix->offset_count * INDEX_OFFSET_BYTES);
    if (!err)
        err = write_sealed_file(w, ".timeindex.cleaned", ix->times, (size_t)ix->time_count * INDEX_TIME_BYTES);
    if (!err && w->aborted.count)
        err = write_sealed_aborted(w);
    return err ? err : fs_sync_dir(w->dir);
}

static enum err name_sealed_swap(const struct clean_work *w)
{
    assert(w->out_fd < 0);
    enum err err = rename_made(w, ".index.cleaned", ".index.swap");
    if (!err)
        err = rename_made(w, ".timeindex.cleaned", ".timeindex.swap");
    if (!err && w->aborted.count)
        err = rename_made(w, ".txnindex.cleaned", ".txnindex.swap");
    if (!err)
        err = rename_made(w, ".log.cleaned", ".log.swap");
    return err ? err : fs_sync_dir(w->dir);
}

static enum err step_seal(struct clean_work *w)
{
    assert(w->made.next_offset > w->made.base_offset);
    assert(w->lent);
    char path[FS_PATH_MAX];
    enum err err = clean_offset_begin(w->dir, w->topic, w->partition, w->first_dirty);
    if (!err)
        err = sync_cleaned(w);
    if (!err)
        err = name_sealed_swap(w);
    if (!err)
        err = made_path(w, ".log.swap", path) ? fs_open(path, FS_READ | (w->limits.direct ? FS_DIRECT : 0), &w->made_fd)
                                              : ERR_INVALID;
    if (err)
        return err;
    index_copy(w->lent, &w->index);
    w->sums.segments_before += w->group_to - w->group_from;
    w->sums.segments_after++;
    w->step = CLEAN_SWAP;
    return ERR_NONE;
}

/* Last to first, so that a start that finds the swap file half way finds a prefix of the old ones. Done again after a failure it
 * goes on where it was: the new segment's name is one of the old ones'. */
static enum err step_rename(struct clean_work *w)
{
    assert(w->made_fd < 0);
    assert(w->renamed <= w->group_to - w->group_from + 4);
    enum err err = ERR_NONE;
    uint32_t count = w->group_to - w->group_from;
    for (; w->renamed < count && !err; w->renamed += !err) {
        uint32_t i = w->group_to - 1 - w->renamed;
        err = deleted_rename(w->dir, w->segments[i].base_offset, i != w->group_from);
    }
    if (!err &&
        w->renamed == count) /* not every file system keeps the order: beside an old one it would be no log any more */
        err = fs_sync_dir(w->dir);
    static const char *const names[][2] = {{".txnindex.swap", ".txnindex"},
                                           {".index.swap", ".index"},
                                           {".timeindex.swap", ".timeindex"},
                                           {".log.swap", ".log"}};
    if (w->renamed == count && !w->aborted.count) /* it has none */
        w->renamed++;
    for (; w->renamed < count + COUNT_OF(names) && !err; w->renamed += !err)
        err = rename_made(w, names[w->renamed - count][0], names[w->renamed - count][1]);
    if (!err)
        err = fs_sync_dir(w->dir);
    if (!err)
        w->step = CLEAN_GROUP;
    return err;
}

static enum err run_clean_step(struct clean_work *w)
{
    assert(w->step != CLEAN_SWAP); /* the cleaner's */
    switch (w->step) {
    case CLEAN_MAP: return step_map(w);
    case CLEAN_GROUP: return step_group(w);
    case CLEAN_FILTER: return step_filter(w);
    case CLEAN_SEAL: return step_seal(w);
    case CLEAN_RENAME: return step_rename(w);
    case CLEAN_DONE: return clean_offset_save(w->dir, w->topic, w->partition, w->map.end_offset);
    case CLEAN_SWAP: break;
    }
    return ERR_INVALID;
}

void clean_work_step(struct clean_work *w)
{
    uint64_t began_ns = clock_now_ns();
    w->step_bytes = 0;
    w->err = run_clean_step(w);
    w->step_ns = clock_now_ns() - began_ns;
}

void clean_work_abandon(struct clean_work *w)
{
    assert(w->group_from <= w->group_to);
    static const char *const suffixes[] = {".log.swap",    ".index.swap",    ".timeindex.swap",    ".txnindex.swap",
                                           ".log.cleaned", ".index.cleaned", ".timeindex.cleaned", ".txnindex.cleaned"};
    char path[FS_PATH_MAX];
    if (w->out_fd >= 0)
        fs_close(w->out_fd);
    if (w->made_fd >= 0)
        fs_close(w->made_fd);
    w->out_fd = w->made_fd = -1;
    if (w->group_to == w->group_from) /* no group was begun */
        return;
    for (size_t i = 0; i < COUNT_OF(suffixes); i++)
        if (made_path(w, suffixes[i], path))
            err_ignore(fs_unlink(path)); /* a start knows it for what it is */
    err_ignore(fs_sync_dir(w->dir));
}

void clean_work_end(struct clean_work *w)
{
    assert(w->heap || !w->buf);
    close_source(w);
    if (w->out_fd >= 0)
        fs_close(w->out_fd);
    if (w->made_fd >= 0)
        fs_close(w->made_fd);
    w->out_fd = w->made_fd = -1;
    dedupe_close(&w->map);
    clean_txns_end(&w->txns);
    if (w->heap)
        heap_close(w->heap);
    w->heap = NULL;
}
