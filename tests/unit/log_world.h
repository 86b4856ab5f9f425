/* A small broker for the recovery tests: it appends, rolls and takes checkpoints as the partition does, on real files. A test
 * spoils them and says where the log must end; whatever is found is checked against the files and recovered a second time. */
#pragma once
#include "storage/recovery/recovery.h"
#include "core/clock.h"
#include "core/crc.h"
#include "core/rng.h"
#include "storage/recovery/scan.h"
#include "tests/unit/empty_dir.h"
#include "tests/unit/make_batch.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SPACE = 64 * 1024, WAVE_MAX = 10000, INTERVAL = 300, NONE = -1, ID = 9 };
static const char dir[] = "build/tests/unit/" RECOVERY_DIR; /* of each test its own: they run side by side */

struct placed {
    int64_t segment, base_offset, end_offset;
    uint64_t at;
    uint32_t bytes;
    bool other;   /* not of the producer ID */
    bool aborted; /* a marker that aborts a transaction */
};
static struct world {
    struct heap *heap;
    int fd;
    int64_t base, next; /* of the active segment; of the log */
    uint64_t at;
    int32_t epoch, sequence, other_sequence;
    struct segment active;
    struct producers *producers;
    struct placed batches[1000];
    int count;
    struct checkpoint_entry checkpoint;
    bool checkpointed, caching, clean;
    bool gaps; /* offsets are missing between segments */
    uint8_t *saved_producers;
    int64_t known_end;
} w;

/* --- the broker --- */

static inline int open_file(int64_t base, const char *suffix, unsigned flags)
{
    char path[FS_PATH_MAX];
    int fd;
    assert_true(segment_path(path, dir, base, suffix));
    enum err err = fs_open(path, flags | (flags & FS_WRITE && !(flags & FS_TRUNCATE) ? FS_OWN : 0), &fd);
    return err ? -1 : fd;
}
static inline void open_segment(int64_t base)
{
    w.fd = open_file(base, ".log", FS_READ | FS_WRITE | FS_CREATE);
    assert_true(w.fd >= 0);
    assert_int_equal(fs_truncate(w.fd, SPACE), ERR_NONE);
    w.base = base;
    w.at = 0;
    w.active = (struct segment){.base_offset = base, .first_timestamp = -1};
    index_init(&w.active.index, w.heap, base, 1 << 20);
    aborted_init(&w.active.aborted, w.heap);
}
static inline void close_segment(void)
{
    if (w.fd < 0)
        return;
    fs_close(w.fd);
    w.fd = -1;
    index_deinit(&w.active.index);
    aborted_deinit(&w.active.aborted);
}
static inline void fresh(void)
{
    empty_dir(dir);
    w = (struct world){.heap = heap_open(), .fd = -1, .epoch = 1, .known_end = -1};
    w.producers = producers_open(w.heap);
}
static inline void over(void)
{
    close_segment();
    heap_close(w.heap);
    w.heap = NULL;
}
static inline int setup(void **state)
{
    (void)state;
    fresh();
    open_segment(0);
    return 0;
}
static inline int teardown(void **state)
{
    (void)state;
    over();
    return 0;
}

/* `emptied`: of all its records only the header is left. */
static inline void append_one(int32_t records, uint32_t value_bytes, bool emptied)
{
    static uint8_t one[MAKE_BATCH_MAX];
    struct batch b;
    uint32_t bytes = make_batch(one, (struct make_batch){.base_offset = w.next,
                                                         .timestamp = 1000 + w.next,
                                                         .producer_id = ID,
                                                         .leader_epoch = w.epoch,
                                                         .sequence = w.sequence,
                                                         .count = emptied ? 0 : records,
                                                         .emptied = emptied ? records : 0,
                                                         .value_bytes = value_bytes});
    assert_true(batch_parse(one, bytes, &b));
    assert_int_equal(fs_write(w.fd, one, bytes, w.at), ERR_NONE);
    assert_int_equal(index_add(&w.active.index, INTERVAL, batch_last_offset(&b), (uint32_t)w.at, bytes,
                               batch_newest_timestamp(&b), batch_last_offset(&b)),
                     ERR_NONE);
    assert_int_equal(producers_update(w.producers, &b, NULL, clock_wall_ms(), &(struct aborted_txn){0}), ERR_NONE);
    w.batches[w.count++] = (struct placed){w.base, w.next, w.next + records, w.at, bytes, false, false};
    if (w.active.first_timestamp < 0)
        w.active.first_timestamp = b.max_timestamp;
    w.at += bytes;
    w.next += records;
    w.sequence += records;
    w.active.bytes = w.at;
}
static inline void append_other(const uint8_t *one, uint32_t bytes, const struct batch_marker *marker)
{
    struct batch b;
    struct aborted_txn aborted;
    assert_true(batch_parse(one, bytes, &b));
    assert_int_equal(fs_write(w.fd, one, bytes, w.at), ERR_NONE);
    assert_int_equal(index_add(&w.active.index, INTERVAL, batch_last_offset(&b), (uint32_t)w.at, bytes, b.max_timestamp,
                               batch_last_offset(&b)),
                     ERR_NONE);
    assert_int_equal(producers_update(w.producers, &b, marker, clock_wall_ms(), &aborted), ERR_NONE);
    producers_settle(w.producers, INT64_MAX);
    if (aborted.producer_id >= 0 && !aborted_reserve(&w.active.aborted, 1))
        aborted_add(&w.active.aborted, &aborted);
    int64_t end = batch_last_offset(&b) + 1;
    w.batches[w.count++] = (struct placed){w.base, w.next, end, w.at, bytes, true, aborted.producer_id >= 0};
    w.at += bytes;
    w.next = end;
    w.active.bytes = w.at;
}
/* Of another producer; goes on until end_transaction. */
static inline void append_transactional(void)
{
    static uint8_t one[MAKE_BATCH_MAX];
    uint32_t bytes = make_batch(one, (struct make_batch){.base_offset = w.next,
                                                         .timestamp = 1000 + w.next,
                                                         .producer_id = ID + 1,
                                                         .leader_epoch = w.epoch,
                                                         .sequence = w.other_sequence++,
                                                         .count = 1,
                                                         .value_bytes = 50,
                                                         .attributes = BATCH_TRANSACTIONAL});
    append_other(one, bytes, NULL);
}
static inline void end_transaction(bool commit)
{
    uint8_t one[BATCH_MARKER_BYTES];
    const struct batch_marker marker = {.coordinator_epoch = 1, .commit = commit};
    batch_write_marker(one, ID + 1, 0, 1000 + w.next, &marker);
    be64_put(one, (uint64_t)w.next);
    be32_put(one + 12, (uint32_t)w.epoch);
    append_other(one, sizeof one, &marker);
}
static inline void append(int32_t records, uint32_t value_bytes)
{
    append_one(records, value_bytes, false);
}
static inline void append_many(int count)
{
    for (int i = 0; i < count; i++)
        append(1 + i % 3, 100);
}
static inline void write_snapshot(int64_t offset)
{
    char path[FS_PATH_MAX];
    size_t bytes = producers_snapshot_bytes(w.producers);
    uint8_t *at = heap_alloc(w.heap, bytes);
    producers_snapshot(w.producers, at);
    assert_true(segment_path(path, dir, offset, ".snapshot"));
    assert_int_equal(segment_write_file(path, at, bytes), ERR_NONE);
    heap_free(w.heap, at);
}
static inline void trim_and_save(void)
{
    assert_int_equal(fs_truncate(w.fd, w.at), ERR_NONE);
    assert_int_equal(index_finish(&w.active.index), ERR_NONE);
    assert_int_equal(segment_save_index(dir, &w.active), ERR_NONE);
    assert_int_equal(segment_put_aborted(dir, &w.active, true), ERR_NONE);
    write_snapshot(w.next);
}
static inline void roll(void)
{
    trim_and_save();
    close_segment();
    open_segment(w.next);
}
static inline void checkpoint(void)
{
    const struct index *ix = &w.active.index;
    assert_int_equal(segment_save_index(dir, &w.active), ERR_NONE);
    assert_int_equal(segment_put_aborted(dir, &w.active, true), ERR_NONE);
    uint8_t aborted[1000];
    aborted_encode(&w.active.aborted, 0, w.active.aborted.count, aborted);
    size_t bytes = producers_saved_bytes(w.producers);
    w.saved_producers = heap_alloc(w.heap, bytes);
    producers_save(w.producers, w.saved_producers);
    w.checkpoint = (struct checkpoint_entry){.segment_base_offset = w.base,
                                             .position = w.at,
                                             .offset = w.next,
                                             .leader_epoch = w.epoch,
                                             .max_timestamp = ix->max_timestamp,
                                             .max_timestamp_offset = ix->max_timestamp_offset,
                                             .first_timestamp = w.active.first_timestamp,
                                             .index_count = ix->offset_count,
                                             .index_crc = crc32c(0, ix->offsets, ix->offset_count * 8ul),
                                             .time_count = ix->time_count,
                                             .time_crc = crc32c(0, ix->times, ix->time_count * 12ul),
                                             .aborted_count = w.active.aborted.count,
                                             .aborted_crc = crc32c(0, aborted, aborted_file_bytes(&w.active.aborted)),
                                             .bytes_since_entry = ix->bytes_since_entry,
                                             .producers = w.saved_producers,
                                             .producers_bytes = (uint32_t)bytes};
    w.checkpointed = true;
}

/* --- spoiling --- */

static inline void spoil(int64_t segment, uint64_t at)
{
    uint8_t byte;
    size_t got;
    int fd = open_file(segment, ".log", FS_READ | FS_WRITE);
    assert_int_equal(fs_read(fd, &byte, 1, at, &got), ERR_NONE);
    byte ^= 0x20;
    assert_int_equal(fs_write(fd, &byte, 1, at), ERR_NONE);
    fs_close(fd);
}
static inline void spoil_batch(int n)
{
    spoil(w.batches[n].segment, w.batches[n].at + w.batches[n].bytes / 2);
}
static inline void zero(int64_t segment, uint64_t at, uint64_t bytes)
{
    static const uint8_t zeros[SPACE];
    int fd = open_file(segment, ".log", FS_WRITE);
    assert_int_equal(fs_write(fd, zeros, bytes, at), ERR_NONE);
    fs_close(fd);
}
static inline void unlink_file(int64_t base, const char *suffix)
{
    char path[FS_PATH_MAX];
    assert_true(segment_path(path, dir, base, suffix));
    assert_int_equal(fs_unlink(path), ERR_NONE);
}
static inline bool exists(int64_t base, const char *suffix)
{
    int fd = open_file(base, suffix, FS_READ);
    if (fd >= 0)
        fs_close(fd);
    return fd >= 0;
}
/* The CRC over all files of the folder: did anything change? */
static inline bool crc_one(void *arg, const struct fs_entry *entry)
{
    char path[FS_PATH_MAX];
    uint8_t *at;
    size_t bytes;
    snprintf(path, sizeof path, "%s/%s", dir, entry->name);
    assert_int_equal(segment_read_file(w.heap, path, 1 << 24, &at, &bytes), ERR_NONE);
    *(uint32_t *)arg += crc32c(crc32c(0, entry->name, strlen(entry->name)), at, bytes);
    heap_free(w.heap, at);
    return true;
}
static inline uint32_t crc_folder(void)
{
    uint32_t crc = 0;
    assert_int_equal(fs_list(dir, crc_one, &crc), ERR_NONE);
    return crc;
}

/* --- checking --- */

static inline void run(struct recovered *out)
{
    const struct recovery_input in = {.heap = w.heap,
                                      .dir = dir,
                                      .checkpoint = w.checkpointed ? &w.checkpoint : NULL,
                                      .clean = w.clean,
                                      .caching = w.caching,
                                      .known_end_offset = w.known_end,
                                      .wave_bytes_max = WAVE_MAX,
                                      .index_interval_bytes = INTERVAL,
                                      .segment_index_bytes = 1 << 20};
    assert_int_equal(recovery_run(&in, out), ERR_NONE);
}

static inline void check_index(const struct segment *s)
{
    struct segment t = {.base_offset = s->base_offset, .bytes = s->bytes};
    struct scan scan;
    struct batch b;
    bool valid;
    int fd = open_file(s->base_offset, ".log", FS_READ);
    index_init(&t.index, w.heap, s->base_offset, 1 << 20);
    assert_int_equal(scan_open(&scan, w.heap, fd, 0, s->bytes), ERR_NONE);
    while (scan.at < s->bytes) {
        assert_int_equal(scan_peek(&scan, &b, &valid), ERR_NONE);
        assert_true(valid);
        assert_int_equal(index_add(&t.index, INTERVAL, batch_last_offset(&b), (uint32_t)scan.at, b.bytes,
                                   batch_newest_timestamp(&b), batch_last_offset(&b)),
                         ERR_NONE);
        scan_skip(&scan, &b);
    }
    assert_int_equal(s->index.offset_count, t.index.offset_count);
    assert_int_equal(s->index.bytes_since_entry, t.index.bytes_since_entry);
    assert_int_equal(s->index.max_timestamp, t.index.max_timestamp);
    assert_int_equal(s->index.max_timestamp_offset, t.index.max_timestamp_offset);
    if (t.index.offset_count)
        assert_memory_equal(s->index.offsets, t.index.offsets, t.index.offset_count * 8);
    scan_close(&scan);
    index_deinit(&t.index);
    fs_close(fd);
}
static inline void check_zeros_behind(const struct segment *s)
{
    struct scan scan;
    uint64_t at, size = 0;
    int fd = open_file(s->base_offset, ".log", FS_READ);
    assert_int_equal(fs_size(fd, &size), ERR_NONE);
    assert_int_equal(size, s->allocated);
    assert_int_equal(scan_open(&scan, w.heap, fd, 0, size), ERR_NONE);
    assert_int_equal(scan_nonzero(&scan, s->bytes, &at), ERR_NONE);
    assert_true(at == UINT64_MAX);
    scan_close(&scan);
    fs_close(fd);
}
/* Each batch that is in the log, among the last five, is a duplicate; the next one is expected. */
static inline void check_producers(const struct recovered *r, int batches)
{
    int32_t sequence = 0;
    int behind = 0; /* of that producer */
    for (int i = 0; i < batches; i++)
        behind += !w.batches[i].other;
    for (int i = 0; i < batches; i++) {
        if (w.batches[i].other)
            continue;
        int32_t count = (int32_t)(w.batches[i].end_offset - w.batches[i].base_offset);
        struct batch b = {.producer_id = ID, .base_sequence = sequence, .count = count, .last_offset_delta = count - 1};
        struct producer_duplicate d;
        enum kerr code = producers_check(r->producers, &b, &(struct producer_claim){0}, &d);
        if (behind-- <= 5) {
            assert_int_equal(code, KERR_NONE);
            assert_int_equal(d.base_offset, w.batches[i].base_offset);
        } else {
            assert_int_equal(code, KERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
        }
        sequence += count;
    }
    struct batch next = {.producer_id = ID, .base_sequence = sequence, .count = 1};
    struct producer_duplicate d;
    assert_int_equal(producers_check(r->producers, &next, &(struct producer_claim){0}, &d), KERR_NONE);
    assert_int_equal(d.base_offset, -1);
}
/* What was aborted is known, whatever was read of it. */
static inline void check_aborted(const struct segment *s, int64_t end)
{
    uint32_t n = 0;
    for (int i = 0; i < w.count; i++) {
        const struct placed *p = &w.batches[i];
        if (!p->aborted || p->segment != s->base_offset || p->end_offset > end)
            continue;
        assert_true(n < s->aborted.count);
        assert_int_equal(s->aborted.v[n].producer_id, ID + 1);
        assert_int_equal(s->aborted.v[n++].last_offset, p->base_offset);
    }
    assert_int_equal(s->aborted.count, n);
}
static inline void check_segments(const struct recovered *r, int64_t end)
{
    int64_t next = r->log_start_offset;
    const struct segment *s = NULL;
    for (const struct list *l = r->segments.next; l != &r->segments; l = l->next) {
        s = container_of(l, struct segment, link);
        assert_true(w.gaps ? s->base_offset >= next : s->base_offset == next);
        next = s->next_offset;
        if (l->next != &r->segments)
            assert_int_equal(s->bytes, s->allocated);
        check_aborted(s, end);
        check_zeros_behind(s);
    }
    assert_int_equal(next, end);
    if (s)
        check_index(s);
}

/* The log ends behind so many batches; a second recovery finds the same and cuts nothing. */
static inline void ends_behind(int batches, struct recovered *r)
{
    int64_t end = batches ? w.batches[batches - 1].end_offset : 0;
    run(r);
    if (r->corrupt)
        fail_msg("corrupt: segment %" PRId64 " position %" PRIu64, r->corrupt_segment, r->corrupt_position);
    assert_int_equal(r->end_offset, end);
    check_segments(r, end);
    check_producers(r, batches);
    uint32_t before = crc_folder();
    struct recovered again;
    run(&again);
    assert_false(again.corrupt);
    assert_int_equal(again.end_offset, end);
    assert_int_equal(again.cut_bytes, 0);
    check_segments(&again, end);
    assert_int_equal(crc_folder(), before);
    recovered_deinit(&again);
}
static inline void must_end_behind(int batches)
{
    struct recovered r;
    ends_behind(batches, &r);
    recovered_deinit(&r);
}
static inline void must_be_corrupt(int64_t segment, uint64_t position)
{
    uint32_t before = crc_folder();
    struct recovered r;
    run(&r);
    assert_true(r.corrupt);
    assert_int_equal(r.corrupt_segment, segment);
    assert_int_equal(r.corrupt_position, position);
    recovered_deinit(&r);
    assert_int_equal(crc_folder(), before);
}
