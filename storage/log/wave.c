/* Waves: what was appended is written, and promised when it is; or promised at once, where shared memory holds it.
 *
 * A wave writes [last written position, rounded down to 4096 .. end, rounded up] in one go. The next one starts when it is
 * done, so batches gather while the disk works, and no timer is needed; but where what was appended is crash-safe already in shared
 * memory (redo.h), a wave begins when somebody wants it, or soon. The last block of a wave is written again by the
 * next one, with the same bytes in front: a torn rewrite loses nothing. It is written from a copy, since appends go on in it:
 * memory that the kernel has does not change. */
#include "core/clock.h"
#include "core/log.h"
#include "storage/log/full_disk.h"
#include "storage/log/partition_state.h"
#include <errno.h>
#include <string.h>

enum {
    SLOW_FLUSH_NS = 10 * 1000 * 1000,
    WAVE_ZEROED_BYTES = 64 * 1024, /* what a wave with zeros behind it is at most */
    WAVE_VECTOR_BYTES = 64 * 1024, /* up to so many go out in one write with the copy of the last block */
};

void writer_kick(struct partition *p)
{
    log_store_queue(p->store, &p->store->wave_wanted, &p->writer.wave_link);
}

void writer_carry(struct partition *p)
{
    assert(p->written.position <= p->end.position);
    p->writer.carry_now = true;
    writer_kick(p);
}

static void warn_slow_flush(struct partition *p, uint64_t took_ns)
{
    if (took_ns < SLOW_FLUSH_NS || p->store->slow_flush_logged || p->topic->internal) /* the hint is none for those */
        return;
    p->store->slow_flush_logged = true;
    log_warn(
        "slow flush",
        "partition=%s-%d took_ms=%llu hint=\"each ack waits for the disk; write.caching=true acks before the flush\"",
        p->topic->name, p->index, (unsigned long long)(took_ns / NS_PER_MS));
}

/* With the memory of its last block's copy: of the pool, which the ring knows, or where that is empty its own. */
static struct wave *new_wave(struct partition *p, const struct mark *end, bool dsync, uint32_t pieces)
{
    struct heap *h = shard_of(p)->heap;
    struct buf *copy = bufpool_get(shard_of(p)->bufs, BUF_TAILS, PAGE_BYTES);
    size_t own = sizeof(struct wave) + pieces * sizeof(struct wave_piece);
    assert(pieces > 0);
    struct wave *w = heap_alloc(h, own + (copy ? 0 : 2 * PAGE_BYTES));
    if (!w) {
        if (copy)
            buf_put(copy);
        return NULL;
    }
    *w = (struct wave){.partition = p, .end = *end, .copy = copy, .dsync = dsync};
    w->last_block = copy ? copy->at : (uint8_t *)align_up((uintptr_t)w + own, PAGE_BYTES);
    w->started_ns = shard_of(p)->now_ns;
    list_init(&w->link);
    return w;
}

static void free_wave(struct wave *w)
{
    if (w->copy)
        buf_put(w->copy);
    heap_free(shard_of(w->partition)->heap, w);
}

/* Nobody may be told of what this wave carries: rolled back or offline. But where some of that is promised (the disk was full in spite of
 * the space ahead, or the kernel had no memory) it is there in shared memory, and is written when there is room, whether or not anybody
 * wants it; a stop does not wait for that. */
static void fail_wave(struct partition *p, int32_t failure)
{
    assert(failure < 0);
    enum err err = err_from_errno(-failure);
    bool promised = p->promised.position > p->written.position;
    if (!promised || !space_is_shortage(err)) {
        partition_fault(p, failure, "write");
    } else if (p->stop.done) {
        partition_broken(p, failure, "write");
    } else {
        p->writer.no_room = p->writer.carry_now = true;
        if (err == ERR_NO_SPACE)
            full_disk_found_full(p->store);
        log_store_retry_later(p->store, p);
    }
    partition_stop_step(p);
}

void wave_end(struct wave *w)
{
    assert(w->partition->writer.wave == w);
    assert(w->left == 0);
    struct partition *p = w->partition;
    struct mark end = w->end;
    int32_t failure = PLANTED(write_failure_ignored) ? 0 : w->failure;
    bool dsync = w->dsync;
    uint64_t whole_end = w->whole_end;
    uint64_t took_ns = shard_of(p)->now_ns - w->started_ns;
    if (w->may_share)
        shared_flush_wave_ends(w);
    free_wave(w);
    assert(p->store->waves_under_way > 0);
    p->store->waves_under_way--;
    p->store->wave_ended_ns = shard_of(p)->now_ns;
    p->writer.wave = NULL;
    p->writer.state = WRITER_IDLE;
    if (failure) {
        fail_wave(p, failure);
        return;
    }
    p->writer.no_room = false;
    if (dsync || PLANTED(ack_before_flush)) {
        /* Its own flush says nothing about bytes that an earlier wave left in the cache: there were none. */
        assert(p->durable.offset == p->promised.offset || PLANTED(ack_before_flush) || PLANTED(ack_before_write) ||
               PLANTED(durable_over_unflushed));
        p->durable = end;
        segment_settle(p->active, 0, whole_end);
        zeroing_note_wave(p, end.position - p->written.position, took_ns);
        log_store_note_durable(p->store, end.position - p->written.position, took_ns);
        warn_slow_flush(p, took_ns);
    }
    p->written = end;
    redo_written(&p->store->redo, &p->writer.redo, end.position);
    if (end.offset > p->promised.offset)
        writer_promise(p, &end);
    if (dsync)
        p->flusher.risk_since_ns = 0;
    else if (!p->flusher.risk_since_ns)
        p->flusher.risk_since_ns = shard_of(p)->now_ns;
    writer_flush_later(p);
    partition_durable(p);
    if (p->end.position != p->written.position)
        writer_kick(p);
    writer_retry(p);
    if (!list_empty(&p->lookups))
        log_store_turn(p->store); /* some may wait for what was written */
    partition_stop_step(p);
}

static void wave_synced(struct io_op *op, int32_t res)
{
    struct wave *w = container_of(op, struct wave, sync_op);
    assert(w->left == 0);
    if (res < 0 && !w->failure && !PLANTED(flush_failure_ignored) && !PLANTED(sync_wrong_file))
        w->failure = -EIO; /* whatever the reason: what the disk had in its cache is unknown */
    wave_end(w);
}

static void wave_written(struct wave *w)
{
    assert(w->left == 0);
    assert(w->count > 0);
    struct partition *p = w->partition;
    if (PLANTED(sync_wrong_file) && w->dsync) {
        /* the lock file is an other file: its flush carries nothing of this segment's metadata */
        io_file_init(&w->wrong_file, p->store->root->lock_fd);
        io_sync(shard_of(p)->io, &w->sync_op, &w->wrong_file, wave_synced);
        return;
    }
    if (w->shares)
        shared_flush_wave_written(w);
    else if (w->synced_whole && !w->failure && !PLANTED(whole_ack_before_flush))
        io_sync(shard_of(p)->io, &w->sync_op, &p->active->file, wave_synced);
    else
        wave_end(w);
}

static void start_wave_piece(struct wave_piece *piece);

/* `done` whole pages of it are written. */
static void advance_wave_piece(struct wave_piece *piece, uint32_t done)
{
    piece->position += done;
    uint32_t left = 0;
    for (uint32_t i = 0; i < piece->count; i++) {
        struct iovec v = piece->iov[i];
        uint32_t n = (uint32_t)u64_min(done, v.iov_len);
        done -= n;
        if (n < v.iov_len)
            piece->iov[left++] = (struct iovec){(uint8_t *)v.iov_base + n, v.iov_len - n};
    }
    piece->count = left;
    assert(done == 0);
    assert(piece->count > 0);
}

static uint32_t wave_piece_bytes(const struct wave_piece *piece)
{
    assert(piece->count > 0 && piece->count <= WAVE_PIECE_IOVS);
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < piece->count; i++)
        bytes += (uint32_t)piece->iov[i].iov_len;
    return bytes;
}

static void wave_piece_done(struct io_op *op, int32_t res)
{
    struct wave_piece *piece = container_of(op, struct wave_piece, op);
    struct wave *w = piece->wave;
    assert(w->left > 0);
    if (res > 0 &&
        (uint32_t)res < wave_piece_bytes(piece)) { /* short: the rest, from a page on so that it stays aligned */
        advance_wave_piece(piece, (uint32_t)align_down((uint64_t)res, PAGE_BYTES));
        start_wave_piece(piece);
        return;
    }
    if (res <= 0 && !w->failure)
        w->failure = res ? res : -EIO; /* a write that writes nothing */
    if (--w->left == 0)
        wave_written(w);
}

static void start_wave_piece(struct wave_piece *piece)
{
    assert(piece->wave->partition->writer.wave == piece->wave);
    struct partition *p = piece->wave->partition;
    struct io *io = shard_of(p)->io;
    const struct wave *w = piece->wave;
    bool dsync = w->dsync && !w->shares && !w->synced_whole && !PLANTED(ack_before_flush) && !PLANTED(sync_wrong_file);
    p->active->file.writes_wait = p->store->free_bytes < WRITES_WAIT_FREE_BYTES;
    if (piece->count == 1)
        io_write(io, &piece->op, &p->active->file, piece->iov[0].iov_base, (uint32_t)piece->iov[0].iov_len,
                 piece->position, dsync, wave_piece_done);
    else
        io_writev(io, &piece->op, &p->active->file, piece->iov, piece->count, piece->position, dsync, wave_piece_done);
}

/* Several writes with a flush each wait for one another; where a flush takes long one follows all of them instead. */
void wave_issue(struct wave *w)
{
    assert(w->count > 0 && w->left == w->count);
    assert(!w->shares || list_linked(&w->link));
    w->synced_whole = w->dsync && !w->shares && w->count > 1 && log_store_flush_is_slow(w->partition->store) &&
                      !PLANTED(ack_before_flush) && !PLANTED(durable_over_unflushed);
    for (uint32_t i = 0; i < w->count; i++)
        start_wave_piece(&w->v[i]);
}

/* One write per buf of [from, to), and one for the copy of the last block if it does not go along with the one before. */
static uint32_t count_wave_pieces(const struct partition *p, uint64_t from, uint64_t to)
{
    assert(from <= to);
    uint32_t count = 1, left;
    for (uint64_t at = from; at < to; at += left, count++) {
        const struct tail_part *part = tail_find(&p->tail, p->active->number, at, &left);
        assert(part);
    }
    return count;
}

static void add_wave_piece(struct wave *w, const uint8_t *at, uint32_t bytes, uint64_t position)
{
    struct wave_piece *piece = &w->v[w->count++];
    assert(bytes % PAGE_BYTES == 0 && position % PAGE_BYTES == 0);
    *piece = (struct wave_piece){.wave = w, .count = 1, .position = position};
    piece->iov[0] = (struct iovec){(void *)(uintptr_t)at, bytes};
}

static void cut_wave_pieces(struct wave *w, uint64_t from, uint64_t to)
{
    assert(from % PAGE_BYTES == 0);
    struct partition *p = w->partition;
    uint32_t left;
    for (uint64_t at = from; at < to; at += left) {
        const struct tail_part *part = tail_find(&p->tail, p->active->number, at, &left);
        assert(part);
        left = (uint32_t)u64_min(left, to - at);
        add_wave_piece(w, part->buf->at + (at - part->from), left, at);
    }
}

/* The block that the log's end lies in is written from a copy: appends go on in it while the kernel writes, and a device that
 * checks what it is given (T10-PI, a RAID) would see it change. Small writes take it along; large ones come from registered
 * memory and are better left alone. */
static void add_last_block(struct wave *w, uint64_t position)
{
    assert(position % PAGE_BYTES == 0);
    assert(w->end.position > position);
    assert(w->end.position - position < PAGE_BYTES);
    struct partition *p = w->partition;
    uint32_t bytes = (uint32_t)(w->end.position - position);
    bool there = tail_peek(&p->tail, p->active->number, position, w->last_block, bytes);
    assert(there);
    memset(w->last_block + bytes, 0, PAGE_BYTES - bytes);
    struct wave_piece *before = w->count ? &w->v[w->count - 1] : NULL;
    if (before && before->iov[0].iov_len <= WAVE_VECTOR_BYTES)
        before->iov[before->count++] = (struct iovec){w->last_block, PAGE_BYTES};
    else
        add_wave_piece(w, w->last_block, PAGE_BYTES, position);
}

/* A small durable wave into space that was only allocated takes zeros along, up to where the next few will go: one change of the file's metadata
 * for all of them, in the same write. (zeroing.c does so beforehand, while there is time; where many partitions are busy there is none.) */
static void add_zeros(struct wave *w)
{
    static const _Alignas(PAGE_BYTES) uint8_t zeros[WAVE_ZEROED_BYTES];
    struct partition *p = w->partition;
    struct wave_piece *last = &w->v[w->count - 1];
    uint64_t bytes = w->whole_end - w->v[0].position;
    assert(last->count < WAVE_PIECE_IOVS);
    assert(w->whole_end == last->position + wave_piece_bytes(last));
    if (!w->dsync || wave_is_settled(w) || bytes > WAVE_ZEROED_BYTES / 2 || !zeroing_may_pay(p))
        return;
    uint64_t to = u64_min(w->whole_end + WAVE_ZEROED_BYTES - bytes, align_down(p->active->allocated, PAGE_BYTES));
    if (to <= w->whole_end)
        return;
    last->iov[last->count++] = (struct iovec){(void *)(uintptr_t)zeros, to - w->whole_end};
    stat_add(p->store->counters.wave_zeroed_bytes, to - w->whole_end);
    w->whole_end = to;
}

/* --- shared memory --- */

/* Everything appended and not promised is small, its partition waits for no stable media, and a wave that is under way is none that does. */
static bool may_commit(const struct partition *p)
{
    const struct redo_ring *r = &p->store->redo;
    uint64_t bytes = p->end.position - p->promised.position;
    assert(p->promised.position <= p->end.position);
    return bytes > 0 && redo_ring_fits(r, bytes) && !durable_acks(p) && !p->writer.no_room &&
           (!p->writer.wave || !p->writer.wave->dsync) && p->end.position - p->written.position <= CARRY_BYTES;
}

/* From here on it is crash-safe: acks go out. */
static void commit_appended(struct partition *p)
{
    struct log_store *ls = p->store;
    struct redo_record record = {
        .bytes = (uint32_t)(p->end.position - p->promised.position),
        .partition = p->index,
        .leader_epoch = ls->root->leader_epoch,
        .segment = p->active->base_offset,
        .base_offset = p->promised.offset,
        .end_offset = p->end.offset,
        .position = p->promised.position,
    };
    memcpy(record.topic_id, p->topic->id, sizeof record.topic_id);
    redo_ring_put(&ls->redo, &p->writer.redo, &record, &p->tail, p->active->number);
    stat_add(ls->counters.redo_records, 1);
    stat_add(ls->counters.redo_bytes, record.bytes);
    writer_promise(p, &p->end);
    if (!p->flusher.risk_since_ns)
        p->flusher.risk_since_ns = shard_of(p)->now_ns;
    log_store_carry_later(ls, p);
    writer_flush_later(p);
}

/* Does somebody wait for the file to have it? */
static bool wave_is_due(const struct partition *p)
{
    assert(p->written.position <= p->end.position);
    return p->end.position > p->promised.position || p->writer.carry_now || durable_acks(p) ||
           p->flusher.wanted_offset > p->written.offset || p->end.position - p->written.position > CARRY_BYTES;
}

/* What the next wave carries; false: something else comes first. Its own flush says nothing about what was written before: where caching was
 * turned off, what is promised already is written and flushed first. */
static bool plan_wave(struct partition *p, struct mark *out_end, bool *out_dsync)
{
    *out_end = p->end;
    *out_dsync = durable_acks(p) && !(PLANTED(internal_unflushed) && p->topic->internal);
    if (!*out_dsync || p->durable.position == p->promised.position || PLANTED(durable_over_unflushed))
        return true;
    if (p->written.position == p->promised.position) {
        writer_flush(p);
        return false;
    }
    *out_end = p->promised;
    *out_dsync = false;
    return true;
}

static void note_settled_wave(const struct wave *w)
{
    assert(w->end.position > 0);
    const struct log_counters *c = &w->partition->store->counters;
    if (!w->dsync)
        return;
    stat_add(c->durable_waves, 1);
    if (wave_is_settled(w))
        stat_add(c->settled_waves, 1);
}

static void start_wave(struct partition *p, const struct mark *end, bool dsync)
{
    assert(p->written.position < end->position);
    uint64_t from = align_down(p->written.position, PAGE_BYTES), last = align_down(end->position, PAGE_BYTES);
    uint32_t pieces = count_wave_pieces(p, from, last);
    struct wave *w = new_wave(p, end, dsync, pieces);
    if (!w) {
        log_store_retry_later(p->store, p);
        return;
    }
    p->writer.wave = w;
    p->writer.state = WRITER_WAVE;
    p->store->waves_under_way++;
    if (config_of(p)->compacted)
        p->store->compacted_bytes += end->position - p->written.position;
    p->writer.carry_now = false;
    list_remove(&p->writer.carry_link);
    redo_wave_begins(&p->store->redo, &p->writer.redo);
    if (PLANTED(redo_needed_before_write))
        redo_written(&p->store->redo, &p->writer.redo, end->position);
    cut_wave_pieces(w, from, last);
    if (last < end->position)
        add_last_block(w, last);
    assert(w->count > 0 && w->count <= pieces);
    w->whole_end = align_up(end->position, PAGE_BYTES);
    add_zeros(w);
    w->left = w->count;
    if (end->offset == p->end.offset)
        checkpoint_capture(p);
    note_settled_wave(w);
    if (wave_may_share(w))
        shared_flush_take(w);
    else
        wave_issue(w);
    if (PLANTED(ack_before_write))
        writer_promise(p, &w->end);
}

void writer_start_wave(struct partition *p)
{
    if (!space_is_ready(p) || partition_is_offline(p))
        return;
    if (may_commit(p))
        commit_appended(p);
    struct mark end;
    bool dsync;
    if (p->writer.state == WRITER_IDLE && p->end.position > p->written.position && wave_is_due(p) &&
        plan_wave(p, &end, &dsync))
        start_wave(p, &end, dsync);
}
