/* Appends.
 *
 * An append is checked, copied behind the end of the log in memory (with its CRC), stamped, and noted in indexes, producer
 * state and epochs; then it waits in `pending` for the promise. What cannot be taken now (no room secured, a roll, too much
 * gathered) waits in `parked`, in order. */
#include "core/clock.h"
#include "core/log.h"
#include "storage/log/partition_state.h"
#include <string.h>

enum {
    REFUSED_S = 30
}; /* so long what is behind a refused batch is on its way at most, as a rule: clients give up then */

/* --- ends of appends --- */

void writer_append_finish(struct partition *p, struct append *a, enum kerr error)
{
    assert(!list_linked(&a->link));
    assert(a->done);
    a->error = error;
    a->log_start_offset = p->log_start_offset;
    if (error == KERR_NOT_LEADER_OR_FOLLOWER || error == KERR_KAFKA_STORAGE_ERROR)
        p->writer.refused_at_ns = shard_of(p)->now_ns;
    log_store_finish(p->store, a);
}

void writer_fail_all(struct partition *p, enum kerr error)
{
    struct list *l;
    while ((l = list_pop(&p->writer.pending)))
        writer_append_finish(p, container_of(l, struct append, link), error);
    writer_fail_parked(p, error);
}

void writer_fail_parked(struct partition *p, enum kerr error)
{
    assert(error);
    struct list *l;
    while ((l = list_pop(&p->writer.parked))) {
        struct append *a = container_of(l, struct append, link);
        if (!unpack_holds(p, a, error))
            writer_append_finish(p, a, error);
    }
}

void writer_promise(struct partition *p, const struct mark *to)
{
    assert(to->offset >= p->promised.offset);
    p->promised = *to;
    struct list *l;
    while ((l = list_first(&p->writer.pending))) {
        struct append *a = container_of(l, struct append, link);
        if (a->end_offset > to->offset)
            break;
        list_remove(l);
        if (!marker_promised(p, a))
            writer_append_finish(p, a, KERR_NONE);
    }
    producers_settle(p->producers, to->offset);
    partition_moved(p);
}

/* In order of end offset: a duplicate waits for its original. */
static void insert_pending(struct partition *p, struct append *a)
{
    assert(!list_linked(&a->link));
    assert(a->end_offset <= p->end.offset);
    struct list *at = &p->writer.pending;
    while (at->prev != &p->writer.pending && container_of(at->prev, struct append, link)->end_offset > a->end_offset)
        at = at->prev;
    list_insert_before(at, &a->link);
}

/* --- taking an append --- */

/* Is the batch younger than the segment's first one by more than segment.ms? Its own time counts if that is what it gets. */
static bool segment_time_is_over(const struct partition *p, const struct batch *b)
{
    assert(p->active);
    const struct topic_config *c = config_of(p);
    int64_t first = p->active->first_timestamp,
            time = c->log_append_time || b->append_time ? clock_wall_ms() : b->max_timestamp;
    return first >= 0 && time > first && time - first > c->segment_ms - p->active->jitter_ms;
}

/* Those of rings get smaller as the disk gets full. */
static uint32_t segment_bytes_now(const struct partition *p)
{
    const struct topic_config *c = config_of(p);
    assert(p->store->ring_segment_bytes > 0);
    return c->ring && !p->topic->internal ? (uint32_t)u64_min(c->segment_bytes, p->store->ring_segment_bytes)
                                          : c->segment_bytes;
}

static bool segment_is_over(const struct partition *p, const struct batch *b)
{
    assert(b->bytes >= BATCH_HEADER_BYTES);
    const struct segment *s = p->active;
    if (!s)
        return true;
    if (p->end.position == 0)
        return false;
    return p->space.roll_wanted == s->number || p->end.position + b->bytes > segment_bytes_now(p) ||
           index_full(&s->index) || p->end.offset + b->last_offset_delta - s->base_offset > INT32_MAX ||
           segment_time_is_over(p, b);
}

/* New bufs grow with the waves: an idle partition holds little (one of few records a page), a busy one writes large pieces. */
static uint32_t wanted_buf_bytes(const struct partition *p, uint32_t bytes)
{
    assert(p->written.position <= p->end.position);
    uint64_t gathered = p->end.position - p->written.position + bytes;
    return gathered > 1024 * 1024 ? 2 * 1024 * 1024
           : gathered > 32 * 1024 ? 256 * 1024
           : gathered > 4096      ? 64 * 1024
           : p->tail.count        ? 16 * 1024
                                  : PAGE_BYTES;
}

static bool evict_own_tail(struct partition *p)
{
    assert(p->active);
    return tail_evict(&p->tail, p->active->number, p->written.position);
}

/* Tails are a cache. Left to grow they would take the whole pool: none would be left to receive into, and every new piece of
 * memory costs a page fault and its zeroing, several times what the append costs. So a partition that needs another buf
 * first gives its own oldest ones back, which are then used again. */
static void keep_tails_small(struct partition *p)
{
    const struct bufpool *pool = shard_of(p)->bufs;
    size_t share = u64_min(TAILS_BYTES, bufpool_max_bytes(pool) / TAILS_SHARE);
    while (bufpool_used_bytes(pool, BUF_TAILS) > share && evict_own_tail(p))
        ;
    while (bufpool_used_bytes(pool, BUF_TAILS) > bufpool_max_bytes(pool) / TAILS_SHARE && log_store_evict(p->store))
        ;
}

/* The pool is empty. What was got so far goes back, since the others that wait may need just that; after a while those
 * appends are refused, which frees the requests' own memory. */
static void wait_for_memory(struct partition *p)
{
    assert(p->active);
    uint64_t now = shard_of(p)->now_ns;
    tail_unreserve(&p->tail, p->active->number, p->end.position);
    if (!p->writer.short_since_ns)
        p->writer.short_since_ns = now;
    if (now - p->writer.short_since_ns > MEMORY_WAIT_S * NS_PER_S) {
        p->writer.short_since_ns = 0;
        space_full(p, ERR_NO_MEMORY);
        return;
    }
    log_store_retry_later(p->store, p);
}

static bool reserve_tail_memory(struct partition *p, uint32_t bytes)
{
    assert(space_is_ready(p));
    assert(bytes >= BATCH_HEADER_BYTES);
    uint64_t whole = align_up(p->end.position + bytes, PAGE_BYTES) - p->end.position;
    uint32_t left = 0;
    if (!tail_find(&p->tail, p->active->number, p->end.position, &left) || left < whole)
        keep_tails_small(p);
    uint32_t size = wanted_buf_bytes(p, bytes);
    while (tail_reserve(&p->tail, shard_of(p)->bufs, p->active->number, p->end.position, whole, size)) {
        if (log_store_evict(p->store))
            continue;
        if (size == PAGE_BYTES) {
            wait_for_memory(p);
            return false;
        }
        size = (uint32_t)u64_max(size / 4, PAGE_BYTES); /* a slab of smaller ones may have room */
    }
    p->writer.short_since_ns = 0;
    return true;
}

/* The segment is over for what comes next: rolls once everything in it is durable. */
static void roll_when_durable(struct partition *p)
{
    if (p->space.state == SPACE_ALLOCATING)
        zeroing_hurry(p);
    if (partition_writes(p) || p->written.position != p->end.position) {
        writer_carry(p); /* the end of what is under way comes back here */
        return;
    }
    if (p->space.ahead == AHEAD_MAKING)
        return;
    if (p->durable.offset < p->end.offset && !PLANTED(roll_before_old_durable)) {
        writer_want_durable(p, p->end.offset);
        return;
    }
    space_roll(p);
}

/* Is everything in place to take this batch? If not, starts what is missing; the end of that looks at `parked` again. */
static bool prepare_append(struct partition *p, const struct batch *b)
{
    if (space_in_job(p))
        return false;
    if (segment_is_over(p, b)) {
        roll_when_durable(p);
        return false;
    }
    if (!space_is_ready(p)) {
        space_wake(p);
        return false;
    }
    uint64_t whole_end = align_up(p->end.position + b->bytes, PAGE_BYTES);
    if (whole_end > p->active->allocated) {
        space_ahead(p, whole_end);
        return false;
    }
    if (p->end.position - p->written.position > WAVE_GATHER_BYTES)
        return false; /* a wave is in flight or about to be: its end takes it */
    return reserve_tail_memory(p, b->bytes);
}

/* Writes a field of the header that the CRC covers; restamp_crc follows. */
static void stamp_max_timestamp(struct partition *p, int64_t max_timestamp)
{
    uint8_t field[8];
    be64_put(field, (uint64_t)max_timestamp);
    tail_poke(&p->tail, p->active->number, p->end.position + 35, field, 8);
}

static void restamp_crc(struct partition *p, const struct batch *b)
{
    uint64_t segment = p->active->number;
    uint8_t field[4];
    be32_put(field, tail_crc(&p->tail, segment, p->end.position + BATCH_CRC_FROM, b->bytes - BATCH_CRC_FROM));
    tail_poke(&p->tail, segment, p->end.position + 17, field, 4);
}

/* `from`: where the batch was copied from. */
static void stamp_batch(struct partition *p, struct append *a, const struct batch *b, const uint8_t *from)
{
    assert(p->active);
    uint64_t segment = p->active->number;
    uint64_t at = p->end.position;
    uint8_t field[8];
    be64_put(field, (uint64_t)p->end.offset);
    tail_poke(&p->tail, segment, at, field, 8);
    be32_put(field, (uint32_t)p->store->root->leader_epoch);
    tail_poke(&p->tail, segment, at + 12, field, 4);
    if (config_of(p)->log_append_time | b->append_time) {
        a->append_time_ms = clock_wall_ms();
        be16_put(field, (uint16_t)(b->attributes | BATCH_LOG_APPEND_TIME));
        tail_poke(&p->tail, segment, at + 21, field, 2);
        stamp_max_timestamp(p, a->append_time_ms);
        restamp_crc(p, b);
    } else if (b->attributes & BATCH_LOG_APPEND_TIME || batch_header_max_timestamp(from) != b->max_timestamp) {
        be16_put(field, (uint16_t)(b->attributes & ~BATCH_LOG_APPEND_TIME));
        tail_poke(&p->tail, segment, at + 21, field, 2);
        stamp_max_timestamp(p, b->max_timestamp); /* the header lied about its records; Kafka mends it too */
        restamp_crc(p, b);
    }
}

static enum err record_producer(struct partition *p, const struct append *a, const struct batch *b)
{
    assert(b->producer_id >= 0);
    struct aborted_txn aborted;
    const struct txn_marker *m = a->marker;
    const struct batch_marker marker = {.coordinator_epoch = m ? m->coordinator_epoch : -1, .commit = m && m->commit};
    enum err err = m ? aborted_reserve(&p->active->aborted, 1) : ERR_NONE;
    if (!err)
        err = producers_update(p->producers, b, m ? &marker : NULL, clock_wall_ms(), &aborted);
    if (err || aborted.producer_id < 0)
        return err;
    aborted_add(&p->active->aborted, &aborted);
    p->aborted_last_offset = aborted.last_offset;
    return ERR_NONE;
}

/* Offsets are given here: from now on the batch is in the log. `b` has its base offset. ERR_NO_MEMORY: nothing has changed. */
static enum err record_batch(struct partition *p, const struct append *a, const struct batch *b)
{
    struct segment *s = p->active;
    assert(b->base_offset == p->end.offset);
    assert(p->end.position + b->bytes <= s->allocated);
    enum err err = index_reserve(&s->index);
    if (!err)
        err = epochs_reserve(&p->epochs);
    if (!err && b->producer_id >= 0)
        err = record_producer(p, a, b);
    if (err)
        return err;
    err = epochs_add(&p->epochs, b->leader_epoch, b->base_offset);
    assert(!err);
    err = index_add(&s->index, config_of(p)->index_interval_bytes, batch_last_offset(b), (uint32_t)p->end.position,
                    b->bytes, b->max_timestamp, batch_last_offset(b));
    assert(!err);
    if (s->first_timestamp < 0)
        s->first_timestamp = b->max_timestamp;
    p->end.offset = batch_last_offset(b) + 1;
    p->end.position += b->bytes;
    p->end.max_timestamp = s->max_timestamp = s->index.max_timestamp;
    p->end.max_timestamp_offset = s->index.max_timestamp_offset;
    p->writer.used_at_ns = shard_of(p)->now_ns;
    s->bytes = p->end.position;
    s->next_offset = p->end.offset;
    s->written_ms = log_store_written_ms(p->store);
    p->space.saved = false;
    return ERR_NONE;
}

/* Already in the log: answered as before, once the original is covered by the promise. */
static void answer_duplicate(struct partition *p, struct append *a, const struct batch *b,
                             const struct producer_duplicate *d)
{
    const struct topic_config *c = config_of(p);
    assert(d->base_offset >= 0);
    assert(d->last_offset < p->end.offset);
    a->base_offset = d->base_offset;
    /* Where batches may become LogAppendTime one by one: the original's time is its own, or else the broker's. */
    a->append_time_ms =
        c->log_append_time || (c->append_time_outside && d->timestamp != b->max_timestamp) ? d->timestamp : -1;
    a->end_offset = d->last_offset + 1;
    if (PLANTED(duplicate_before_durable) || a->end_offset <= p->promised.offset)
        writer_append_finish(p, a, KERR_NONE);
    else
        insert_pending(p, a);
}

static bool append_bumps(const struct append *a)
{
    return a->produce_version >= PRODUCE_ADDS_PARTITIONS;
}

/* Its transaction's coordinator is to be asked first. */
static inline bool append_asks(const struct partition *p, const struct append *a, const struct batch *b)
{
    return unlikely(batch_is_transactional(b)) && !a->guard && b->producer_id >= 0 &&
           producers_asks(p->producers, b, append_bumps(a));
}

static struct producer_claim claim_of(const struct append *a)
{
    assert(!a->marker);
    return (struct producer_claim){
        .no_sequence = a->origin == APPEND_COORDINATOR, .bumps = append_bumps(a), .guard = a->guard};
}

/* A batch that was sent again needs no room: it is answered from the log, also while the disk is full or a roll is under way.
 * (If it were refused and one behind it answered, its producer would go on and leave it behind for good.) */
static bool take_duplicate(struct partition *p, struct append *a, const struct batch *b)
{
    struct producer_duplicate d;
    const struct producer_claim claim = claim_of(a);
    if (b->producer_id < 0 || batch_is_control(b) || append_asks(p, a, b) ||
        producers_check(p->producers, b, &claim, &d) || d.base_offset < 0 || batch_crc(a->records, b->bytes) != b->crc)
        return false;
    list_remove(&a->link);
    unpack_over(p, a);
    answer_duplicate(p, a, b, &d);
    return true;
}

/* An unknown producer may start anywhere. But where its first batch was just refused, to be sent again, one behind it that was on its way already must
 * not be the first: it would stand before it in the log, and the first one never get in. Its producer sends it again, in order. */
static bool may_overtake_refused(const struct partition *p, const struct batch *b)
{
    uint64_t refused_ns = p->writer.refused_at_ns;
    return unlikely(refused_ns) && shard_of(p)->now_ns - refused_ns < REFUSED_S * NS_PER_S && b->base_sequence > 0 &&
           !producers_know(p->producers, b->producer_id);
}

static enum kerr check_producer_of(const struct partition *p, const struct append *a, const struct batch *b)
{
    struct producer_duplicate d = {.base_offset = -1};
    if (b->producer_id < 0 || a->marker)
        return KERR_NONE;
    const struct producer_claim claim = claim_of(a);
    enum kerr error = producers_check(p->producers, b, &claim, &d);
    assert(error || d.base_offset < 0); /* take_duplicate took it */
    if (!error && !claim.no_sequence && may_overtake_refused(p, b))
        return KERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    return error;
}

/* `from`: the batch, as sent or packed anew. */
static void append_batch(struct partition *p, struct append *a, struct batch *b, const uint8_t *from)
{
    assert(space_is_ready(p));
    assert(from != a->records || b->bytes <= a->bytes);
    assert(align_up(p->end.position + b->bytes, PAGE_BYTES) <= p->active->allocated);
    uint32_t crc = tail_copy_in(&p->tail, p->active->number, p->end.position, from, b->bytes, BATCH_CRC_FROM);
    io_spend(p->store->shard->io, b->bytes);
    a->copied = true;
    enum kerr error = crc == b->crc ? KERR_NONE : KERR_CORRUPT_MESSAGE;
    if (!error)
        error = check_producer_of(p, a, b);
    if (error) {
        a->guard = 0;
        writer_append_finish(p, a, error);
        return;
    }
    stamp_batch(p, a, b, from);
    a->base_offset = b->base_offset = p->end.offset;
    b->leader_epoch = p->store->root->leader_epoch;
    if (a->append_time_ms >= 0)
        b->max_timestamp = a->append_time_ms;
    if (unlikely(b->append_time))
        stat_add(p->store->unpack.append_time, 1);
    if (record_batch(p, a, b)) { /* retriable: the copy behind the log's end means nothing */
        writer_append_finish(p, a, KERR_KAFKA_STORAGE_ERROR);
        return;
    }
    a->end_offset = p->end.offset;
    insert_pending(p, a);
    writer_kick(p);
    if (space_is_low(p))
        space_ahead(p, 0);
    if (p->space.ahead == AHEAD_NONE && p->end.position > config_of(p)->segment_bytes / 4 * 3)
        space_make_ahead(p);
}

static bool refuse_append(struct partition *p, struct append *a, enum kerr error)
{
    assert(error);
    list_remove(&a->link);
    if (!unpack_holds(p, a, error))
        writer_append_finish(p, a, error);
    return true;
}

/* A batch whose records must be seen. Settings that were altered since its unpacking began count for the next one, but for its size:
 * recovery relies on that bound. */
static bool take_unpacked_append(struct partition *p, struct append *a, const struct batch *sent,
                                 const struct batch_limits *limits)
{
    assert(list_first(&p->writer.parked) == &a->link);
    enum kerr error;
    enum unpack_state state = unpack_records(p, a, sent, limits, &error);
    if (error)
        return refuse_append(p, a, error);
    if (state != UNPACK_DONE)
        return false;
    const struct repack *r = unpack_result(p);
    if (r->error)
        return refuse_append(p, a, unpack_refused(p, a));
    struct batch b = r->batch;
    if (b.bytes > limits->max_message_bytes)
        return refuse_append(p, a, KERR_MESSAGE_TOO_LARGE);
    if (!prepare_append(p, &b))
        return false;
    list_remove(&a->link);
    append_batch(p, a, &b, r->packed ? r->room : a->records);
    unpack_over(p, a);
    return true;
}

static bool refuse_unasked(struct partition *p, struct append *a, const struct batch *b)
{
    assert(!a->guard);
    a->guard = producers_guard(p->producers, b, append_bumps(a), clock_wall_ms());
    return refuse_append(p, a, a->guard ? KERR_INVALID_TXN_STATE : KERR_KAFKA_STORAGE_ERROR);
}

static bool take_marker(struct partition *p, struct append *a)
{
    const struct txn_marker *m = a->marker;
    const struct batch_marker marker = {.coordinator_epoch = m->coordinator_epoch, .commit = m->commit};
    struct batch b;
    bool parsed = batch_parse(a->records, a->bytes, &b);
    assert(parsed);
    enum kerr error = producers_check_marker(p->producers, &b, &marker, m->transaction_version);
    if (error)
        return refuse_append(p, a, error);
    if (!prepare_append(p, &b))
        return false;
    list_remove(&a->link);
    append_batch(p, a, &b, a->records);
    return true;
}

/* False: it must wait, or what it waits for failed and it was refused with all that are parked. */
static bool take_append(struct partition *p, struct append *a)
{
    assert(list_first(&p->writer.parked) == &a->link);
    if (unlikely(a->marker))
        return take_marker(p, a);
    const struct topic_config *c = config_of(p);
    const struct batch_limits limits = {
        .max_message_bytes = (uint32_t)u64_min(c->max_message_bytes, p->stricter.message_bytes),
        .segment_bytes = c->segment_bytes,
        .now_ms = clock_wall_ms(),
        .timestamp_before_max_ms = c->timestamp_before_max_ms,
        .timestamp_after_max_ms = c->timestamp_after_max_ms,
        .log_append_time = c->log_append_time,
        .compacted = c->compacted,
        .no_sequence = a->origin == APPEND_COORDINATOR,
        .append_time_outside = c->append_time_outside,
        .produce_version = a->produce_version,
        .unpack_codecs = c->unpack_codecs | p->unpack.codecs,
    };
    struct batch b;
    enum kerr error = batch_check(a->records, a->bytes, &limits, &b, &a->fault);
    if (error) {
        a->guard = 0;
        return refuse_append(p, a, error);
    }
    if (append_asks(p, a, &b))
        return refuse_unasked(p, a, &b);
    if (take_duplicate(p, a, &b))
        return true;
    if (unlikely(batch_needs_records(&b, limits.unpack_codecs)))
        return take_unpacked_append(p, a, &b, &limits);
    if (!prepare_append(p, &b))
        return false;
    list_remove(&a->link);
    append_batch(p, a, &b, a->records);
    return true;
}

/* Before those that wait: its original stands before them. */
static bool take_duplicate_at_once(struct partition *p, struct append *a)
{
    struct batch b;
    return !a->marker && batch_parse(a->records, a->bytes, &b) && b.bytes <= a->bytes && take_duplicate(p, a, &b);
}

void partition_append(struct partition *p, struct append *a)
{
    assert(a->records || !a->bytes);
    assert(a->done);
    list_init(&a->link);
    a->copied = false;
    a->error = KERR_NONE;
    a->fault = (struct batch_fault){.record = -1};
    a->base_offset = a->append_time_ms = a->log_start_offset = -1;
    bool first = list_empty(&p->writer.parked);
    if (partition_dead(p)) {
        writer_append_finish(p, a, partition_refusal(p));
    } else if (first || !take_duplicate_at_once(p, a)) {
        list_push(&p->writer.parked, &a->link);
        if (first)
            writer_take_parked(p);
    }
}

void writer_take_parked(struct partition *p)
{
    struct list *l;
    while (!partition_dead(p) && !unpack_blocks(p) && (l = list_first(&p->writer.parked))) {
        if (io_spent(shard_of(p)->io) >= p->store->parked_until) {
            writer_retry(p); /* in the next turn */
            return;
        }
        if (!take_append(p, container_of(l, struct append, link)))
            return;
    }
    if (!partition_dead(p) && space_roll_is_wanted(p) && !space_in_job(p))
        roll_when_durable(p);
}

/* Who waits for room is not looked at before the retry timer: each look is an allocation that fails, and one at once behind the other takes the processors
 * from what makes room. */
void writer_retry(struct partition *p)
{
    if (p->space.short_since_ns && list_linked(&p->retry_link))
        return;
    if ((!list_empty(&p->writer.parked) && !unpack_blocks(p)) || space_roll_is_wanted(p))
        log_store_queue(p->store, &p->store->parked, &p->writer.parked_link);
}

void writer_roll(struct partition *p)
{
    if (partition_dead(p) || !p->active || p->end.position == 0)
        return;
    p->space.roll_wanted = p->active->number;
    writer_retry(p);
}
