/* Fetches of what is not in memory: batches are walked and checked where blocks of the disk (cold_blocks.h) and the tail have them, until the
 * answer is as large as asked, or ends with the segment, or with what may be read. Every batch's CRC is checked: a bad one below
 * the promised end is corruption, never data. Where no index in memory tells the position, nor a cursor, a job looks it up in the
 * index files, and opens the file.
 *
 *   waiting --> [job] --> step: the bytes of the next batch are held (pins), it is checked, passed or taken; and again
 *      ^                    |   a block is missing: it is read, with those behind it --> waits --> step
 *      |                    |   much was done: others come first (ready) --> step
 *      |                    |   no memory: takes what there is as the answer, or looks again (starved) --> step
 *      '--------------------'   all of the segment lies below `offset`, or what was read is outdated
 *
 * What a reader holds of blocks is its own (bufs): when the segment is dropped, cleaned or trimmed meanwhile, it is answered from
 * what it has. */
#include "core/clock.h"
#include "core/log.h"
#include "storage/log/cold_pins.h"
#include "storage/log/partition_state.h"
#include <errno.h>
#include <stdio.h>

enum { NEAR_OFFSETS = 10000 }; /* so far behind the end of a read the walk over headers needs no index */

struct cold {
    struct io_op op;
    struct partition *partition;
    struct segment *segment; /* NULL: not begun */
    struct part_read *read;
    int64_t offset;        /* what is looked for: the read's, or behind batches without records */
    uint64_t at;           /* position where walking goes on */
    uint64_t begin;        /* where the answer begins, UINT64_MAX: no batch for it yet */
    int64_t passed_offset; /* behind the last batch that was passed or taken */
    uint64_t good_to;      /* batches before it are known to be good */
    struct cold_pins pins;
    uint32_t ahead;      /* blocks to be read ahead */
    int32_t failure;     /* of a block that was waited for: negative errno */
    uint64_t starved_ns; /* it finds no memory since then, 0: it does */
    uint64_t swaps;      /* of the partition, when it began */
    struct cold_wait wait;
    struct list link; /* store->cold_waiting, cold_ready or cold_starved */
    /* the job that comes first, where one is needed */
    struct index_ask ask;
    bool open, find;
    unsigned flags;
    int fd;
    enum err err;
};

static void step_cold(struct cold *c);

/* --- who is in a segment --- */

void reader_enters_segment(struct segment *s)
{
    assert(s->partition);
    s->users++;
    s->partition->block_reads++;
}

static void segment_has_one_less(struct partition *p)
{
    assert(p->store);
    if (!list_empty(&p->trimmer.dropped))
        trim_step(p);
    if (p->cleaning.swapping)
        p->store->cleaning_step(p->store, p);
}

void reader_left_segment(struct segment *s)
{
    struct partition *p = s->partition;
    assert(s->users > 0 && p->block_reads > 0);
    s->users--;
    p->block_reads--;
    segment_has_one_less(p);
    partition_stop_step(p);
}

/* --- the end --- */

static void finish_cold_read(struct cold *c, enum kerr error)
{
    assert(c->read->state == c);
    assert(c->partition->store->cold_reads > 0);
    assert(!c->segment || c->segment->users > 0);
    struct partition *p = c->partition;
    struct log_store *st = p->store;
    struct part_read *r = c->read;
    cold_pins_deinit(&c->pins);
    if (c->segment)
        c->segment->users--;
    r->error = error;
    r->high_watermark = p->promised.offset; /* it may have moved, and records up to it be here */
    r->last_stable_offset = last_stable_offset(p);
    r->log_start_offset = p->log_start_offset;
    r->state = NULL;
    list_remove(&r->link);
    list_remove(&c->link);
    if (st->cold_hungry == c)
        st->cold_hungry = NULL;
    heap_free(st->shard->heap, c);
    st->cold_reads--;
    r->done(r);
    segment_has_one_less(p);
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

static void fail_cold_read(struct cold *c, int32_t res)
{
    log_error("read failed", "partition=%s-%d segment=%020lld position=%llu why=\"%s\"", c->partition->topic->name,
              c->partition->index, (long long)c->segment->base_offset, (unsigned long long)c->at,
              res != -ENODATA ? err_text(err_from_errno(-res)) : "the file is shorter than its log");
    finish_cold_read(c, KERR_KAFKA_STORAGE_ERROR);
}

static void wait_for_cold_turn(struct cold *c)
{
    struct log_store *st = c->partition->store;
    assert(c->segment && !list_linked(&c->link));
    cold_pins_drop(&c->pins);
    c->segment->users--;
    c->segment = NULL;
    st->cold_reads--;
    list_push(&st->cold_waiting, &c->link);
    log_store_turn(st);
    segment_has_one_less(c->partition);
}

static bool has_cold_answer(const struct cold *c)
{
    assert(c->begin == UINT64_MAX || c->begin <= c->at);
    return c->begin != UINT64_MAX && c->at > c->begin;
}

/* The log start has moved over what was read: of a transaction that is open there nothing holds back the stable end any more. Or it has aborted
 * transactions that are known no more: those of a cleaned segment are noted without what is gone. */
static bool is_cold_read_outdated(const struct cold *c)
{
    const struct partition *p = c->partition;
    assert(c->segment);
    return c->read->offset < p->log_start_offset || (c->swaps != p->cleaning.swaps && reader_wants_aborted(p, c->read));
}

/* Who reads on finds the position without an index, and is read ahead for. */
static void note_cold_end(struct cold *c)
{
    struct partition *p = c->partition;
    assert(has_cold_answer(c));
    c->segment->read_end = c->at;
    c->segment->read_end_offset = c->passed_offset;
    struct cold_cursor cursor = {.partition = p,
                                 .segment = c->segment->number,
                                 .offset = c->passed_offset,
                                 .position = c->at,
                                 .ahead = c->ahead};
    cold_cursor_put(&p->store->cold, p->index, &cursor);
}

static enum err slice_cold_pins(struct cold *c)
{
    assert(has_cold_answer(c));
    enum err err = ERR_NONE;
    for (uint32_t i = 0; i < c->pins.count && !err; i++) {
        const struct cold_pin *pin = &c->pins.v[i];
        uint64_t from = u64_max(pin->from, c->begin), to = u64_min(pin->from + pin->bytes, c->at);
        if (from < to)
            err = slices_add(&c->read->slices, pin->buf, pin->at + (from - pin->from), (uint32_t)(to - from));
    }
    return err;
}

/* The answer is what was taken so far. */
static void answer_cold_read(struct cold *c)
{
    assert(has_cold_answer(c));
    if (is_cold_read_outdated(c)) {
        c->offset = c->read->offset;
        if (c->read->offset < c->partition->log_start_offset)
            finish_cold_read(c, KERR_OFFSET_OUT_OF_RANGE);
        else
            wait_for_cold_turn(c);
        return;
    }
    enum err err = slice_cold_pins(c);
    if (!err && reader_wants_aborted(c->partition, c->read))
        err = reader_list_aborted(c->partition, c->read, c->passed_offset);
    if (err)
        slices_deinit(&c->read->slices);
    else
        note_cold_end(c);
    finish_cold_read(c, err ? KERR_KAFKA_STORAGE_ERROR : KERR_NONE);
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
    wait_for_cold_turn(c);
}

/* --- holding bytes --- */

static uint64_t held_cold_end(const struct cold *c)
{
    assert(c->segment);
    return cold_pins_end(&c->pins, c->at);
}

/* Blocks whose batch was checked before, by this reader or another. */
static bool is_cold_batch_known(struct cold *c, const struct batch *b, struct cold_block **out_block)
{
    struct cold_block *block = cold_blocks_find(&c->partition->store->cold, c->segment, c->at);
    uint64_t from = c->at - (block ? block->from : c->at), to = from + b->bytes;
    assert(b->bytes > 0);
    *out_block = block && cold_pins_find(&c->pins, c->at)->buf == block->buf && to <= block->have ? block : NULL;
    if (!*out_block || from < block->good_from || to > block->good_to)
        return false;
    c->good_to = block->from + block->good_to;
    return true;
}

static bool is_cold_batch_good(struct cold *c, const struct batch *b)
{
    struct cold_block *block = NULL;
    assert(c->at + b->bytes <= held_cold_end(c));
    if (c->at + b->bytes <= c->good_to || is_cold_batch_known(c, b, &block))
        return true;
    if (cold_pins_crc(&c->pins, c->at + BATCH_CRC_FROM, b->bytes - BATCH_CRC_FROM) != b->crc)
        return false;
    uint32_t from = block ? (uint32_t)(c->at - block->from) : 0;
    if (block && block->good_to != from)
        block->good_from = from;
    if (block)
        block->good_to = from + b->bytes;
    c->partition->store->cold_checked += b->bytes;
    return true;
}

/* --- blocks --- */

/* From here on the tail has all of the active segment, and it alone may have what is not written yet. */
static uint64_t disk_end_of(const struct partition *p, const struct segment *s)
{
    uint64_t end = readable_end(p, s), from;
    assert(s->partition == p);
    bool tail = s == p->active && !tail_block_is_loading(p, s) && tail_begin(&p->tail, s->number, &from);
    return tail ? u64_min(end, from) : end;
}

static uint64_t cold_answer_max(const struct cold *c)
{
    uint64_t share = u64_max(bufpool_max_bytes(shard_of(c->partition)->bufs) / COLD_ANSWER_SHARE, COLD_ANSWER_MIN);
    assert(share > 0);
    return u64_min(c->read->max_bytes, share);
}

/* Reads of blocks behind this position that the answer will want, or the one after it. Not all at once: those that end bring the others. */
static void read_cold_ahead(struct cold *c, uint64_t position)
{
    struct cold_blocks *all = &c->partition->store->cold;
    uint64_t end = disk_end_of(c->partition, c->segment), block_bytes = all->block_bytes;
    uint64_t wanted = (c->begin == UINT64_MAX ? c->at : c->begin) + cold_answer_max(c);
    uint64_t to = u64_min(end, align_up(u64_max(wanted, position + c->ahead * block_bytes), block_bytes));
    uint64_t first = align_down(position, block_bytes) + block_bytes;
    assert(block_bytes > 0);
    for (uint64_t at = first; at < u64_min(to, first + COLD_AHEAD_MAX * block_bytes); at += block_bytes) {
        struct cold_block *b = cold_blocks_find(all, c->segment, at);
        bool there = b && (b->reading || b->from + b->have >= u64_min(end, at + block_bytes));
        if (!there && (all->reading >= COLD_READS_MAX || cold_blocks_read(all, c->segment, at, end, &b)))
            return;
        stat_add(all->ahead_bytes, there ? 0 : b->asked);
        if (b->reading)
            b->chain_to = u64_max(b->chain_to, to);
    }
}

enum cold_need { COLD_HELD, COLD_READING, COLD_SHORT };

static enum cold_need pin_cold_block(struct cold *c, uint64_t position)
{
    struct cold_blocks *all = &c->partition->store->cold;
    struct cold_block *b = cold_blocks_find(all, c->segment, position);
    assert(position < disk_end_of(c->partition, c->segment));
    bool there = b && b->from + b->have > position;
    if (there) {
        uint32_t skip = (uint32_t)(position - b->from);
        cold_block_used(b);
        stat_add(all->hit_bytes, b->have - skip);
        if (!cold_pins_add(&c->pins, b->buf, b->buf->at + skip, position, b->have - skip))
            return COLD_SHORT;
        read_cold_ahead(c, position);
        return COLD_HELD;
    }
    if ((!b || !b->reading) && cold_blocks_read(all, c->segment, position, disk_end_of(c->partition, c->segment), &b))
        return COLD_SHORT;
    cold_block_wait(b, &c->wait);
    read_cold_ahead(c, position);
    return COLD_READING;
}

static enum cold_need pin_cold_tail(struct cold *c, uint64_t position, uint64_t end)
{
    struct partition *p = c->partition;
    uint32_t left;
    const struct tail_part *part = tail_find(&p->tail, c->segment->number, position, &left);
    assert(part && position < end);
    left = (uint32_t)u64_min(left, end - position);
    return cold_pins_add(&c->pins, part->buf, part->buf->at + (position - part->from), position, left) ? COLD_HELD
                                                                                                       : COLD_SHORT;
}

/* Holds the bytes from c->at up to `to`, which may be read. */
static enum cold_need hold_cold_bytes(struct cold *c, uint64_t to)
{
    uint64_t end = readable_end(c->partition, c->segment), at;
    assert(to <= end);
    enum cold_need need = COLD_HELD;
    while (need == COLD_HELD && (at = held_cold_end(c)) < to)
        need = at < disk_end_of(c->partition, c->segment) ? pin_cold_block(c, at) : pin_cold_tail(c, at, end);
    return need;
}

static void cold_block_ready(struct cold_wait *w, struct cold_block *b, int32_t failure)
{
    struct cold *c = container_of(w, struct cold, wait);
    uint64_t position = held_cold_end(c);
    c->failure = failure;
    assert(position >= b->from);
    if (!failure && b->from + b->have > position) {
        uint32_t skip = (uint32_t)(position - b->from);
        bool held = cold_pins_add(&c->pins, b->buf, b->buf->at + skip, position, b->have - skip);
        (void)held; /* no memory for it: the step asks for the same block, and finds that out again */
    }
}

/* Others that are ready stand before one that comes when much was done in this turn. */
static void cold_block_came(struct cold_wait *w)
{
    struct cold *c = container_of(w, struct cold, wait);
    struct log_store *st = c->partition->store;
    assert(!list_linked(&c->link));
    list_push(&st->cold_ready, &c->link);
    reader_run_ready(st);
}

/* --- short of memory --- */

/* Of those that have nothing to answer yet one may keep what it holds: else each could hold what the others miss. */
static void starve_cold_read(struct cold *c)
{
    struct log_store *st = c->partition->store;
    uint64_t now_ns = st->shard->now_ns;
    assert(!list_linked(&c->link));
    if (has_cold_answer(c)) {
        answer_cold_read(c);
        return;
    }
    if (!c->starved_ns)
        c->starved_ns = now_ns;
    if (now_ns - c->starved_ns >= COLD_WAIT_MS * NS_PER_MS) {
        finish_cold_read(c, KERR_KAFKA_STORAGE_ERROR);
        return;
    }
    if (!st->cold_hungry)
        st->cold_hungry = c;
    if (st->cold_hungry != c)
        cold_pins_drop(&c->pins);
    list_push(&st->cold_starved, &c->link);
    if (!timer_started(&st->cold_timer))
        timer_start(&st->shard->timers, &st->cold_timer, now_ns + COLD_RETRY_MS * NS_PER_MS);
}

void reader_retry_starved(struct timer *t)
{
    struct log_store *st = container_of(t, struct log_store, cold_timer);
    assert(!timer_started(t));
    list_splice(&st->cold_ready, &st->cold_starved);
    log_store_turn(st);
}

/* --- a step --- */

/* No CRC covers the base offset: a batch must lie behind the one before, and below the promised end. */
static bool is_cold_batch_placed(const struct cold *c, const struct batch *b)
{
    assert(c->passed_offset >= 0);
    return b->base_offset >= c->passed_offset && b->base_offset >= c->segment->base_offset &&
           b->last_offset_delta >= 0 && b->base_offset < c->partition->promised.offset - b->last_offset_delta;
}

/* What a cleaning left without records, and something stands behind it. A fetch does not begin with it: librdkafka takes an answer without
 * a record for one that was too small for the next one, and asks for the same again. */
static bool is_cold_batch_empty(const struct cold *c, const struct batch *b)
{
    assert(batch_last_offset(b) >= c->offset);
    return b->count == 0 && batch_last_offset(b) + 1 < readable_offset(c->partition, c->read->committed);
}

enum cold_step { COLD_GO_ON, COLD_OVER, COLD_ENDS }; /* OVER: it waits, or is answered; ENDS: this is the answer */

/* May the batch at `at` be the next of the answer? */
static enum cold_step judge_cold_batch(struct cold *c, const struct batch *b)
{
    assert(batch_last_offset(b) >= c->offset);
    if (b->base_offset >= readable_offset(c->partition, c->read->committed))
        return COLD_ENDS;
    uint64_t bytes = (c->begin == UINT64_MAX ? 0 : c->at - c->begin) + b->bytes;
    if (c->begin == UINT64_MAX && c->read->first_whole)
        return COLD_GO_ON;
    return bytes <= (c->begin == UINT64_MAX ? c->read->max_bytes : cold_answer_max(c)) ? COLD_GO_ON : COLD_ENDS;
}

static enum cold_step wait_for_cold_bytes(struct cold *c, enum cold_need need)
{
    assert(need != COLD_HELD);
    if (need == COLD_SHORT)
        starve_cold_read(c);
    else
        c->starved_ns = 0;
    return COLD_OVER;
}

/* A bad batch behind good ones ends the answer: who reads on finds it. */
static enum cold_step end_at_bad_batch(struct cold *c)
{
    if (has_cold_answer(c))
        return COLD_ENDS;
    assert(c->segment);
    fail_cold_corrupt(c);
    return COLD_OVER;
}

static enum cold_step end_at_segment_end(struct cold *c)
{
    assert(c->at >= readable_end(c->partition, c->segment));
    if (has_cold_answer(c))
        return COLD_ENDS;
    if (c->segment == c->partition->active || c->passed_offset == 0)
        fail_cold_corrupt(c);
    else
        leave_cold_segment(c, c->passed_offset);
    return COLD_OVER;
}

static enum cold_step take_cold_batch(struct cold *c, const struct batch *b)
{
    enum cold_step judged = judge_cold_batch(c, b);
    if (judged != COLD_GO_ON)
        return judged;
    enum cold_need need = hold_cold_bytes(c, c->at + b->bytes);
    if (need != COLD_HELD)
        return wait_for_cold_bytes(c, need);
    if (!is_cold_batch_good(c, b))
        return end_at_bad_batch(c);
    assert(c->begin == UINT64_MAX || c->begin < c->at);
    if (c->begin == UINT64_MAX)
        c->begin = c->at;
    return COLD_GO_ON;
}

static enum cold_step walk_cold_batch(struct cold *c)
{
    uint64_t end = readable_end(c->partition, c->segment);
    uint8_t head[BATCH_HEADER_BYTES];
    struct batch b;
    assert(c->segment->users > 0);
    if (c->at >= end)
        return end_at_segment_end(c);
    if (end - c->at < BATCH_HEADER_BYTES)
        return end_at_bad_batch(c);
    enum cold_need need = hold_cold_bytes(c, c->at + BATCH_HEADER_BYTES);
    if (need != COLD_HELD)
        return wait_for_cold_bytes(c, need);
    c->starved_ns = 0;
    c->partition->store->cold_checked += COLD_BATCH_COST;
    cold_pins_peek(&c->pins, c->at, head, sizeof head);
    if (!batch_parse(head, sizeof head, &b) || b.bytes > end - c->at || !is_cold_batch_placed(c, &b))
        return end_at_bad_batch(c);
    if (c->begin == UINT64_MAX && batch_last_offset(&b) >= c->offset && is_cold_batch_empty(c, &b))
        c->offset = batch_last_offset(&b) + 1;
    if (batch_last_offset(&b) >= c->offset) {
        enum cold_step step = take_cold_batch(c, &b);
        if (step != COLD_GO_ON)
            return step;
    }
    c->passed_offset = batch_last_offset(&b) + 1;
    c->at += b.bytes;
    if (c->begin == UINT64_MAX)
        cold_pins_drop_before(&c->pins, c->at);
    return COLD_GO_ON;
}

/* The segment is about to go: the file is not held for more than a read. */
static bool is_cold_segment_leaving(const struct cold *c)
{
    assert(c->segment);
    return c->read->offset < c->partition->log_start_offset || c->swaps != c->partition->cleaning.swaps;
}

static void end_cold_read(struct cold *c)
{
    if (has_cold_answer(c))
        answer_cold_read(c);
    else
        finish_cold_read(c, KERR_NONE);
}

/* True: it ends here. */
static bool interrupt_cold_read(struct cold *c)
{
    struct partition *p = c->partition;
    assert(c->segment);
    if (partition_dead(p))
        finish_cold_read(c, partition_refusal(p));
    else if (!c->failure && !is_cold_segment_leaving(c))
        return false;
    else if (has_cold_answer(c))
        answer_cold_read(c);
    else if (c->failure)
        fail_cold_read(c, c->failure);
    else if (c->read->offset < p->log_start_offset)
        finish_cold_read(c, KERR_OFFSET_OUT_OF_RANGE);
    else
        return false; /* cleaned: it may be read to the end of one answer */
    return true;
}

static void step_cold(struct cold *c)
{
    struct log_store *st = c->partition->store;
    uint64_t until = st->cold_checked + COLD_STEP_BYTES;
    assert(!list_linked(&c->link));
    if (interrupt_cold_read(c))
        return;
    enum cold_step step;
    do
        step = walk_cold_batch(c);
    while (step == COLD_GO_ON && st->cold_checked < until);
    if (step == COLD_ENDS)
        end_cold_read(c);
    if (step != COLD_GO_ON)
        return;
    list_push(&st->cold_ready, &c->link);
    log_store_turn(st);
}

/* --- the beginning --- */

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
    c->begin = UINT64_MAX;
    c->good_to = 0;
    if (c->at < readable_end(c->partition, s))
        step_cold(c);
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

/* Who reads one answer after the other is read ahead for, more and more; a read out of nowhere is not, but for the beginning of a log. */
static bool take_cold_cursor(struct cold *c, struct cold_cursor *out)
{
    struct partition *p = c->partition;
    struct cold_blocks *all = &p->store->cold;
    bool goes_on = cold_cursor_take(all, p, p->index, c->offset, out);
    assert(c->segment);
    uint32_t ahead_max = cold_blocks_ahead_max(all, p->store->cold_reads, cold_answer_max(c));
    uint32_t ahead = goes_on ? (uint32_t)u64_max(2 * out->ahead, 2) : c->offset <= p->log_start_offset ? 1 : 0;
    uint64_t most = u64_max(COLD_AHEAD_MAX, 2 * cold_answer_max(c) / all->block_bytes);
    c->ahead = ahead ? (uint32_t)u64_min(u64_min(ahead, most), ahead_max) : 0;
    return goes_on && out->segment == c->segment->number;
}

/* The position is known on the shard: from a cursor or an index in memory, or because a read ended just before. */
static bool find_cold_position(struct cold *c)
{
    const struct segment *s = c->segment;
    struct cold_cursor cursor;
    assert(c->offset >= 0);
    if (take_cold_cursor(c, &cursor))
        c->at = cursor.position;
    else if (c->offset <= s->base_offset)
        c->at = 0;
    else if (s->index_loaded)
        c->at = index_position(&s->index, c->offset);
    else if (s->read_end_offset > 0 && s->read_end_offset <= c->offset && c->offset - s->read_end_offset < NEAR_OFFSETS)
        c->at = s->read_end;
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
    c->find = !find_cold_position(c);
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
    assert(st->cold_reads <= COLD_READS_MAX);
    for (uint32_t n = 0; n < COLD_READS_MAX && st->cold_reads < COLD_READS_MAX; n++) {
        l = list_pop(&st->cold_waiting);
        if (!l)
            return;
        begin_cold_read(container_of(l, struct cold, link));
    }
    if (st->cold_reads < COLD_READS_MAX && !list_empty(&st->cold_waiting))
        log_store_turn(st);
}

/* As far as this turn goes: the rest comes with the next one, which begins where this one's end does. */
void reader_run_ready(struct log_store *st)
{
    struct list *l;
    assert(st->cold_until <= st->cold_checked + COLD_TURN_BYTES);
    for (uint32_t n = 0; n < 2 * COLD_READS_MAX && st->cold_checked < st->cold_until; n++) {
        l = list_pop(&st->cold_ready);
        if (!l)
            return;
        step_cold(container_of(l, struct cold, link));
    }
    if (!list_empty(&st->cold_ready))
        log_store_turn(st);
}

void reader_begin_waiting(struct log_store *st)
{
    st->cold_until = st->cold_checked + COLD_TURN_BYTES;
    reader_run_ready(st);
    begin_next_cold_reads(st);
}

/* Begins at the end of the turn: `done` never runs inside the call. False: no memory. */
bool reader_begin_cold(struct partition *p, struct part_read *r)
{
    assert(r->done);
    assert(!list_linked(&r->link));
    struct cold *c = heap_alloc(shard_of(p)->heap, sizeof *c);
    if (!c)
        return false;
    *c = (struct cold){.partition = p, .read = r, .offset = r->offset, .begin = UINT64_MAX};
    c->wait = (struct cold_wait){.ready = cold_block_ready, .go_on = cold_block_came};
    cold_pins_init(&c->pins, shard_of(p)->heap);
    list_init(&c->wait.link);
    list_init(&c->link);
    r->state = c;
    list_push(&p->readers, &r->link);
    list_push(&p->store->cold_waiting, &c->link);
    log_store_turn(p->store);
    return true;
}
