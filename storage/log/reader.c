/* Fetches. What the tail still holds is answered at once with references to its bufs; the rest is read from the disk into a
 * buf of its own (a cold read), with every batch's CRC checked: a bad one below the promised end is corruption, never data.
 *
 * Where no index in memory tells the position, nor the end of the last read, a job looks it up in the index files, and opens the file.
 *
 * A cold read:  find segment -> read a stretch from the index's position -> walk to the first batch at or above `offset`
 *                 ^                 ^                                          |
 *                 |                 '-- read again, further on or larger ------+  until that batch is whole
 *                 '-- all of the segment lies below `offset`: offsets are missing at its end */
#include "core/log.h"
#include "storage/log/partition_state.h"
#include <stdio.h>
#include <stdlib.h>

enum { NEAR_OFFSETS = 10000 }; /* so far behind the end of a read the walk over headers needs no index */

void slices_init(struct slices *s, struct heap *heap)
{
    assert(heap);
    *s = (struct slices){.heap = heap};
}

void slices_deinit(struct slices *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        buf_put(s->v[i].buf);
    heap_free(s->heap, s->v);
    heap_free(s->heap, s->aborted);
    *s = (struct slices){.heap = s->heap};
}

static enum err slices_add(struct slices *s, struct buf *buf, const uint8_t *at, uint32_t bytes)
{
    assert(bytes > 0);
    assert(at >= buf->at && at + bytes <= buf->at + buf->size);
    assert(s->count <= s->cap);
    if (s->count == s->cap) {
        uint32_t cap = s->cap ? s->cap * 2 : 4;
        struct slice *v = heap_realloc(s->heap, s->v, cap * sizeof *v);
        if (!v)
            return ERR_NO_MEMORY;
        s->v = v;
        s->cap = cap;
    }
    s->v[s->count++] = (struct slice){.buf = buf_ref(buf), .at = at, .bytes = bytes};
    s->bytes += bytes;
    return ERR_NONE;
}

/* --- where --- */

static uint64_t readable_end(const struct partition *p, const struct segment *s)
{
    assert(s->partition == p);
    return s == p->active ? p->promised.position : s->bytes;
}

/* While a wake loads the tail's last block, that block is in the tail but holds what the buf held before. */
static bool tail_block_is_loading(const struct partition *p, const struct segment *s)
{
    return s == p->active && p->space.state == SPACE_WAKING;
}

/* Where in the segment what is not stable begins. False: that is not in memory; *out_end lies before it then, by less than what lies between two
 * entries of the index. */
static bool find_stable_end(const struct partition *p, const struct segment *s, uint64_t *out_end)
{
    int64_t stable = last_stable_offset(p);
    uint64_t end = readable_end(p, s), at = end;
    assert(s->index_loaded);
    if (stable < s->next_offset && stable < p->promised.offset)
        at = u64_min(index_position(&s->index, stable), end);
    uint8_t head[BATCH_HEADER_BYTES];
    struct batch b;
    while (at < end && !tail_block_is_loading(p, s) && tail_peek(&p->tail, s->number, at, head, sizeof head) &&
           batch_parse(head, sizeof head, &b)) {
        if (b.base_offset >= stable) {
            *out_end = at;
            return true;
        }
        at += b.bytes;
    }
    *out_end = at;
    return at >= end;
}

uint64_t partition_readable(const struct partition *p, int64_t offset, uint64_t max, bool committed)
{
    if (partition_dead(p) || offset < p->log_start_offset || offset >= readable_offset(p, committed))
        return 0;
    const struct segment *s = segments_of_offset(&p->segments, offset);
    if (s != p->active || !s->index_loaded)
        return max;
    uint64_t from = index_position(&s->index, offset), end = readable_end(p, s);
    if (committed && !find_stable_end(p, s, &end))
        end = u64_max(end, from + 1); /* there is something */
    if (end - from >= 2 * max)
        return max;
    uint8_t head[BATCH_HEADER_BYTES];
    struct batch b; /* near the end: exactly, so that min_bytes is not overestimated by old batches */
    while (!tail_block_is_loading(p, s) && from < end && tail_peek(&p->tail, s->number, from, head, sizeof head) &&
           batch_parse(head, sizeof head, &b) && batch_last_offset(&b) < offset)
        from += b.bytes;
    return from < end ? u64_min(end - from, max) : 0;
}

/* --- what was aborted --- */

static int compare_aborted(const void *x, const void *y)
{
    const struct aborted_txn *a = x, *b = y;
    return (a->first_offset > b->first_offset) - (a->first_offset < b->first_offset);
}

static bool wants_aborted(const struct partition *p, const struct part_read *r)
{
    assert(p->aborted_last_offset >= -1);
    return r->committed && p->aborted_last_offset >= r->offset;
}

/* Of what was read, up to `to`: from the segments of their markers. */
static enum err list_aborted(const struct partition *p, struct part_read *r, int64_t to)
{
    assert(to > r->offset);
    struct aborted_index list;
    aborted_init(&list, r->slices.heap);
    enum err err = ERR_NONE;
    bool complete = false;
    for (uint32_t i = segments_rank(&p->segments, r->offset); i < p->segments.count && !err && !complete; i++) {
        const struct segment *s = segments_at(&p->segments, i);
        complete = s->base_offset > p->aborted_last_offset;
        if (s->aborted.count && !complete)
            err = aborted_collect(&s->aborted, r->offset, to, &list, &complete);
    }
    if (err) {
        aborted_deinit(&list);
        return err;
    }
    if (list.count)
        qsort(list.v, list.count, sizeof *list.v, compare_aborted);
    r->slices.aborted = list.v;
    r->slices.aborted_count = list.count;
    return ERR_NONE;
}

/* --- from memory --- */

static enum err add_tail_slices(const struct partition *p, const struct segment *s, struct part_read *r, uint64_t from,
                                uint64_t to)
{
    assert(from < to);
    assert(to <= readable_end(p, s));
    while (from < to) {
        uint32_t left;
        const struct tail_part *part = tail_find(&p->tail, s->number, from, &left);
        assert(part);
        uint32_t n = (uint32_t)u64_min(left, to - from);
        enum err err = slices_add(&r->slices, part->buf, part->buf->at + (from - part->from), n);
        if (err)
            return err;
        from += n;
    }
    return ERR_NONE;
}

/* How far a read goes: max_bytes, but the first batch whole if that was asked. 0: nothing fits. */
static uint64_t end_of_read(const struct part_read *r, uint64_t from, uint32_t first_bytes, uint64_t end)
{
    assert(from <= end);
    if (first_bytes > r->max_bytes)
        return r->first_whole ? from + first_bytes : 0;
    return u64_min(end, from + r->max_bytes);
}

/* The offset behind the batches in [at, to), the last one of which may be cut short. All of them are in memory. */
static int64_t offset_behind_tail(const struct partition *p, const struct segment *s, uint64_t at, uint64_t to)
{
    assert(at < to);
    uint8_t head[BATCH_HEADER_BYTES];
    struct batch b;
    int64_t next = s->base_offset;
    for (; at < to && tail_peek(&p->tail, s->number, at, head, sizeof head) && batch_parse(head, sizeof head, &b);
         at += b.bytes)
        next = batch_last_offset(&b) + 1;
    return next;
}

static enum err take_from_tail(const struct partition *p, const struct segment *s, struct part_read *r, uint64_t from,
                               uint64_t to)
{
    enum err err = add_tail_slices(p, s, r, from, to);
    if (!err && wants_aborted(p, r))
        err = list_aborted(p, r, offset_behind_tail(p, s, from, to));
    assert(err || r->slices.count > 0);
    return err;
}

/* False: some of it is not in memory. */
static bool read_from_tail(struct partition *p, struct segment *s, struct part_read *r)
{
    if (!s->index_loaded || tail_block_is_loading(p, s))
        return false;
    uint64_t at = index_position(&s->index, r->offset), end = readable_end(p, s);
    if (r->committed && !find_stable_end(p, s, &end))
        return false;
    uint8_t head[BATCH_HEADER_BYTES];
    struct batch b;
    for (;; at += b.bytes) {
        if (at >= end || !tail_peek(&p->tail, s->number, at, head, sizeof head))
            return false;
        if (!batch_parse(head, sizeof head, &b))
            return false; /* cannot be; the disk read finds out and tells */
        if (batch_last_offset(&b) >= r->offset)
            break;
    }
    uint64_t to = end_of_read(r, at, b.bytes, end);
    if (to && take_from_tail(p, s, r, at, to)) {
        slices_deinit(&r->slices);
        r->error = KERR_KAFKA_STORAGE_ERROR;
    }
    return true;
}

/* --- from disk --- */

struct cold {
    struct io_op op;
    struct partition *partition;
    struct segment *segment; /* NULL: not begun */
    struct part_read *read;
    int64_t offset; /* what is looked for: the read's, or behind batches without records */
    struct buf *buf;
    uint64_t at;           /* position where walking goes on */
    int64_t passed_offset; /* behind the last batch that was passed */
    uint64_t from;         /* position of buf->at[0] */
    uint32_t want;
    uint32_t have, asked; /* bytes of the buf that were read; that are to be read */
    uint64_t swaps;       /* of the partition, when it began */
    struct list link;     /* store->cold_waiting */
    /* the job that comes first, where one is needed */
    struct index_ask ask;
    bool open, find;
    unsigned flags;
    int fd;
    enum err err;
};

static void start_cold_read(struct cold *c);

static void finish_cold_read(struct cold *c, enum kerr error)
{
    assert(c->read->state == c);
    assert(c->partition->store->cold_reads > 0);
    assert(!c->segment || c->segment->users > 0);
    struct partition *p = c->partition;
    struct log_store *st = p->store;
    struct part_read *r = c->read;
    if (c->buf)
        buf_put(c->buf);
    if (c->segment)
        c->segment->users--;
    r->error = error;
    r->high_watermark = p->promised.offset; /* it may have moved, and records up to it be here */
    r->last_stable_offset = last_stable_offset(p);
    r->log_start_offset = p->log_start_offset;
    r->state = NULL;
    list_remove(&r->link);
    heap_free(st->shard->heap, c);
    st->cold_reads--;
    r->done(r);
    if (!list_empty(&p->trimmer.dropped))
        trim_step(p);
    if (p->cleaning.swapping)
        st->cleaning_step(st, p);
    partition_stop_step(p);
    if (!list_empty(&st->cold_waiting))
        log_store_turn(st);
}

static void fail_cold_corrupt(struct cold *c)
{
    char why[160];
    snprintf(why, sizeof why, "a bad batch in segment %020lld at position %llu below the promised end",
             (long long)c->segment->base_offset, (unsigned long long)c->at);
    partition_offline(c->partition, why);
    finish_cold_read(c, KERR_KAFKA_STORAGE_ERROR);
}

/* No CRC covers the base offset: a batch must lie behind the one before, and below the promised end. */
static bool is_cold_batch_placed(const struct cold *c, const struct batch *b, int64_t behind)
{
    assert(behind >= 0);
    return b->base_offset >= behind && b->base_offset >= c->segment->base_offset && b->last_offset_delta >= 0 &&
           b->base_offset < c->partition->promised.offset - b->last_offset_delta;
}

/* Whole batches with good CRCs that may be read, in order, from c->at on; returns where they end. */
static uint64_t check_cold_batches(const struct cold *c, uint64_t to)
{
    assert(c->at >= c->from);
    assert(to >= c->at);
    uint64_t at = c->at;
    int64_t next = c->passed_offset, stable = readable_offset(c->partition, c->read->committed);
    struct batch b;
    while (at < to) {
        const uint8_t *bytes = c->buf->at + (at - c->from);
        if (!batch_parse(bytes, to - at, &b) || b.bytes > to - at || !is_cold_batch_placed(c, &b, next))
            break;
        if (b.base_offset >= stable || batch_crc(bytes, b.bytes) != b.crc)
            break;
        next = batch_last_offset(&b) + 1;
        at += b.bytes;
    }
    return at;
}

/* Who reads on finds the position without an index. */
static void note_cold_end(struct cold *c, uint64_t end)
{
    struct batch b;
    uint64_t at = c->at;
    int64_t next = 0;
    for (; at < end && batch_parse(c->buf->at + (at - c->from), end - at, &b); at += b.bytes)
        next = batch_last_offset(&b) + 1;
    assert(at == end);
    c->segment->read_end = end;
    c->segment->read_end_offset = next;
}

static void wait_for_cold_turn(struct cold *c)
{
    struct log_store *st = c->partition->store;
    assert(c->segment && !c->buf);
    c->segment->users--;
    c->segment = NULL;
    st->cold_reads--;
    list_push(&st->cold_waiting, &c->link);
    log_store_turn(st);
    if (!list_empty(&c->partition->trimmer.dropped))
        trim_step(c->partition);
    if (c->partition->cleaning.swapping)
        st->cleaning_step(st, c->partition);
}

/* What was read has aborted transactions that are known no more: those of a cleaned segment are noted without what is gone, and those of one
 * below the log start with it. */
static bool is_cold_read_outdated(struct cold *c)
{
    const struct partition *p = c->partition;
    assert(c->buf);
    if (!wants_aborted(p, c->read) || (c->swaps == p->cleaning.swaps && c->read->offset >= p->log_start_offset))
        return false;
    if (c->read->offset < p->log_start_offset) {
        finish_cold_read(c, KERR_OFFSET_OUT_OF_RANGE);
        return true;
    }
    buf_put(c->buf);
    c->buf = NULL;
    c->offset = c->read->offset;
    wait_for_cold_turn(c);
    return true;
}

/* The batch with the offset starts at c->at and is whole in the buf, which holds [from, have). */
static void answer_cold_read(struct cold *c, const struct batch *first, uint64_t have)
{
    assert(c->buf);
    assert(have >= c->at + first->bytes);
    if (is_cold_read_outdated(c))
        return;
    uint64_t to = end_of_read(c->read, c->at, first->bytes, have);
    if (to == 0 || first->base_offset >= readable_offset(c->partition, c->read->committed)) {
        finish_cold_read(c, KERR_NONE);
        return;
    }
    uint64_t good = check_cold_batches(c, to);
    if (good == c->at) {
        fail_cold_corrupt(c);
        return;
    }
    note_cold_end(c, good);
    enum err err = slices_add(&c->read->slices, c->buf, c->buf->at + (c->at - c->from), (uint32_t)(good - c->at));
    if (!err && wants_aborted(c->partition, c->read))
        err = list_aborted(c->partition, c->read, c->segment->read_end_offset);
    if (err)
        slices_deinit(&c->read->slices);
    finish_cold_read(c, err ? KERR_KAFKA_STORAGE_ERROR : KERR_NONE);
}

static void read_cold_again(struct cold *c, uint64_t want)
{
    assert(c->buf);
    assert(want > 0);
    if (c->read->offset <
        c->partition->log_start_offset) { /* the segment goes: its file is not held for more than a read */
        finish_cold_read(c, KERR_OFFSET_OUT_OF_RANGE);
        return;
    }
    buf_put(c->buf);
    c->buf = NULL;
    c->want = (uint32_t)want;
    start_cold_read(c);
}

/* The offset is missing at the segment's end, `end_offset`: begins again with another one, at the end of the turn. */
static void leave_cold_segment(struct cold *c, int64_t end_offset)
{
    assert(end_offset > c->segment->base_offset && end_offset <= c->offset);
    if (end_offset > c->segment->next_offset) { /* its batches are another segment's: a misplaced file */
        fail_cold_corrupt(c);
        return;
    }
    c->segment->next_offset = end_offset; /* so it is not found again; recovery does not read where it trusts */
    if (c->buf)
        buf_put(c->buf);
    c->buf = NULL;
    wait_for_cold_turn(c);
}

/* What a cleaning left without records, and something stands behind it. A fetch does not begin with it: librdkafka takes an answer without
 * a record for one that was too small for the next one, and asks for the same again. */
static bool is_cold_batch_empty(const struct cold *c, const struct batch *b)
{
    assert(batch_last_offset(b) >= c->offset);
    return b->count == 0 && batch_last_offset(b) + 1 < readable_offset(c->partition, c->read->committed);
}

static void walk_cold_batches(struct cold *c, uint64_t have)
{
    assert(c->at >= c->from);
    assert(c->segment->users > 0);
    uint64_t end = readable_end(c->partition, c->segment);
    have = u64_min(have, end);
    for (;;) {
        if (c->at >= end && c->segment != c->partition->active && c->passed_offset > 0) {
            leave_cold_segment(c, c->passed_offset);
            return;
        }
        if (c->at >= end) {
            fail_cold_corrupt(c);
            return;
        }
        if (have < c->at + BATCH_HEADER_BYTES) {
            if (end < c->at + BATCH_HEADER_BYTES || c->from == align_down(c->at, PAGE_BYTES))
                fail_cold_corrupt(c);
            else
                read_cold_again(c, COLD_READ_BYTES);
            return;
        }
        struct batch b;
        if (!batch_parse(c->buf->at + (c->at - c->from), have - c->at, &b) || b.bytes > end - c->at ||
            !is_cold_batch_placed(c, &b, c->passed_offset)) {
            fail_cold_corrupt(c);
            return;
        }
        if (batch_last_offset(&b) >= c->offset && is_cold_batch_empty(c, &b))
            c->offset = batch_last_offset(&b) + 1;
        if (batch_last_offset(&b) >= c->offset) {
            if (b.bytes <= have - c->at)
                answer_cold_read(c, &b, have);
            else if (end_of_read(c->read, c->at, b.bytes, end) == 0)
                finish_cold_read(c, KERR_NONE);
            else
                read_cold_again(c, (uint64_t)b.bytes + PAGE_BYTES);
            return;
        }
        c->passed_offset = batch_last_offset(&b) + 1;
        c->at += b.bytes;
    }
}

static void fail_cold_read(struct cold *c, int32_t res)
{
    log_error("read failed", "partition=%s-%d segment=%020lld position=%llu why=\"%s\"", c->partition->topic->name,
              c->partition->index, (long long)c->segment->base_offset, (unsigned long long)c->from,
              res ? err_text(err_from_errno(-res)) : "the file is shorter than its log");
    finish_cold_read(c, KERR_KAFKA_STORAGE_ERROR);
}

static void cold_read_done(struct io_op *op, int32_t res);

/* What is still missing: after a short read the rest, with direct files from the last whole page on. */
static void continue_cold_read(struct cold *c)
{
    struct log_store *st = c->partition->store;
    if (st->root->direct)
        c->have = (uint32_t)align_down(c->have, PAGE_BYTES);
    io_read(st->shard->io, &c->op, &c->segment->file, c->buf->at + c->have, c->asked - c->have, c->from + c->have,
            cold_read_done);
}

static void cold_read_done(struct io_op *op, int32_t res)
{
    struct cold *c = container_of(op, struct cold, op);
    if (res <= 0) {
        fail_cold_read(c, res);
        return;
    }
    c->have += (uint32_t)res;
    assert(c->have <= c->asked);
    if (partition_dead(c->partition))
        finish_cold_read(c, partition_refusal(c->partition));
    else if (c->have < c->asked && c->from + c->have < readable_end(c->partition, c->segment))
        continue_cold_read(c);
    else
        walk_cold_batches(c, c->from + c->have);
}

static void start_cold_read(struct cold *c)
{
    assert(!c->buf);
    assert(c->segment->file.fd >= 0);
    assert(c->want > 0);
    struct log_store *st = c->partition->store;
    c->from = align_down(c->at, PAGE_BYTES);
    uint64_t end = align_up(readable_end(c->partition, c->segment), PAGE_BYTES);
    c->have = 0;
    c->asked = (uint32_t)u64_min(align_up(c->want, PAGE_BYTES), end - c->from);
    while (!(c->buf = bufpool_get(st->shard->bufs, BUF_COLD, c->asked)) && log_store_evict(st))
        ;
    if (c->buf)
        continue_cold_read(c);
    else
        finish_cold_read(c, KERR_KAFKA_STORAGE_ERROR);
}

static int32_t run_cold_job(void *arg)
{
    struct cold *c = arg;
    char path[FS_PATH_MAX];
    if (c->fd < 0 && c->open)
        c->err =
            segment_path(path, c->ask.dir, c->ask.base_offset, ".log") ? fs_open(path, c->flags, &c->fd) : ERR_INVALID;
    if (c->err || !c->find)
        return 0;
    struct heap *heap = heap_open();
    struct segment copy;
    c->err = heap ? files_load_index(&c->ask, heap, &copy) : ERR_NO_MEMORY;
    if (!c->err)
        c->at = index_position(&copy.index, c->offset);
    if (heap)
        heap_close(heap);
    return 0;
}

static void begin_cold_at(struct cold *c)
{
    struct segment *s = c->segment;
    files_used(c->partition->store, s);
    c->want = COLD_READ_BYTES;
    if (c->at < readable_end(c->partition, s))
        start_cold_read(c);
    else if (s == c->partition->active) /* nothing was written to it yet, and offsets are missing before it */
        finish_cold_read(c, KERR_NONE);
    else
        leave_cold_segment(c, s->read_end_offset); /* the last read ended there */
}

static void cold_job_done(struct io_op *op, int32_t res)
{
    (void)res;
    struct cold *c = container_of(op, struct cold, op);
    struct partition *p = c->partition;
    if (c->fd >= 0 && c->segment->file.fd < 0 && !c->err && !partition_dead(p))
        files_adopt(p->store, c->segment, c->fd);
    else if (c->fd >= 0) /* another read opened it meanwhile */
        files_close_fd(p, c->fd);
    if (partition_dead(p)) {
        finish_cold_read(c, partition_refusal(p));
    } else if (c->err) {
        log_error("read failed", "partition=%s-%d segment=%020lld why=\"%s\"", p->topic->name, p->index,
                  (long long)c->segment->base_offset, err_text(c->err));
        finish_cold_read(c, KERR_KAFKA_STORAGE_ERROR);
    } else {
        begin_cold_at(c);
    }
}

/* The position is known on the shard: from an index in memory, or because a read ended just before. */
static bool find_cold_position(const struct segment *s, int64_t offset, uint64_t *out_at)
{
    if (offset <= s->base_offset)
        *out_at = 0;
    else if (s->index_loaded)
        *out_at = index_position(&s->index, offset);
    else if (s->read_end_offset > 0 && s->read_end_offset <= offset && offset - s->read_end_offset < NEAR_OFFSETS)
        *out_at = s->read_end;
    else
        return false;
    return true;
}

static void begin_cold_read(struct cold *c)
{
    assert(!c->segment);
    struct partition *p = c->partition;
    p->store->cold_reads++;
    if (partition_dead(p) ||
        c->read->offset < p->log_start_offset) { /* it is over, or the start moved while it waited */
        finish_cold_read(c, partition_dead(p) ? partition_refusal(p) : KERR_OFFSET_OUT_OF_RANGE);
        return;
    }
    struct segment *s = c->segment = segments_of_offset(&p->segments, c->offset);
    c->swaps = p->cleaning.swaps;
    s->users++;
    c->passed_offset = 0;
    c->find = !find_cold_position(s, c->offset, &c->at);
    c->open = s->file.fd < 0;
    c->fd = -1;
    if (!c->find && !c->open) {
        begin_cold_at(c);
        return;
    }
    c->ask = files_index_ask(p, s);
    c->flags = FS_READ | (s == p->active ? FS_WRITE | FS_OWN : 0) | (p->store->root->direct ? FS_DIRECT : 0);
    io_job(shard_of(p)->io, &c->op, IO_URGENT, run_cold_job, c, cold_job_done);
}

/* One that fails at once makes room for the next, here and not below it: however many wait, the stack does not grow. */
static void begin_next_cold_reads(struct log_store *st)
{
    struct list *l;
    for (uint32_t n = 0; n < COLD_READS_MAX && st->cold_reads < COLD_READS_MAX; n++) {
        l = list_pop(&st->cold_waiting);
        if (!l)
            return;
        begin_cold_read(container_of(l, struct cold, link));
    }
    if (st->cold_reads < COLD_READS_MAX && !list_empty(&st->cold_waiting))
        log_store_turn(st);
}

static void queue_cold_read(struct partition *p, struct part_read *r)
{
    assert(r->done);
    assert(!list_linked(&r->link));
    struct cold *c = r->state;
    *c = (struct cold){.partition = p, .read = r, .offset = r->offset};
    list_init(&c->link);
    list_push(&p->readers, &r->link);
    list_push(&p->store->cold_waiting, &c->link);
    log_store_turn(p->store); /* begins at the end of the turn: `done` never runs inside the call */
}

void reader_begin_waiting(struct log_store *st)
{
    begin_next_cold_reads(st);
}

bool partition_read(struct partition *p, struct part_read *r)
{
    assert(p->promised.offset <= p->end.offset);
    list_init(&r->link);
    slices_init(&r->slices, shard_of(p)->heap);
    r->high_watermark = p->promised.offset;
    r->last_stable_offset = last_stable_offset(p);
    r->log_start_offset = p->log_start_offset;
    r->error = KERR_NONE;
    r->state = NULL;
    if (partition_dead(p)) {
        r->error = partition_refusal(p);
        return true;
    }
    if (r->offset < p->log_start_offset || r->offset > p->end.offset) {
        r->error = KERR_OFFSET_OUT_OF_RANGE;
        return true;
    }
    if (r->offset >= readable_offset(p, r->committed))
        return true;
    struct segment *s = segments_of_offset(&p->segments, r->offset);
    if (read_from_tail(p, s, r))
        return true;
    r->state = heap_alloc(shard_of(p)->heap, sizeof(struct cold));
    if (!r->state) {
        r->error = KERR_KAFKA_STORAGE_ERROR;
        return true;
    }
    queue_cold_read(p, r);
    return false;
}
