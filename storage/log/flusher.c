/* Flushes what write.caching left behind: when flush.messages or flush.ms say so, or at once where somebody waits for it; and what an idle
 * partition gives back. */
#include "core/clock.h"
#include "storage/log/partition_state.h"

enum { FLUSH_MS_MAX = INT32_MAX }; /* 24 days: as good as never */

void writer_flush_later(struct partition *p)
{
    struct shard *s = shard_of(p);
    if (p->durable.position == p->promised.position)
        return;
    if (p->promised.offset - p->durable.offset >= config_of(p)->flush_messages)
        writer_want_durable(p, p->promised.offset);
    else if (p->durable.offset < p->flusher.wanted_offset)
        writer_flush(p);
    else if (!timer_started(&p->flusher.timer))
        timer_start(&s->timers, &p->flusher.timer,
                    s->now_ns + u64_min((uint64_t)config_of(p)->flush_ms, FLUSH_MS_MAX) * NS_PER_MS);
}

static void flush_done(struct io_op *op, int32_t res)
{
    assert(container_of(op, struct partition, flusher.op)->flusher.state == FLUSHER_SYNCING);
    struct partition *p = container_of(op, struct partition, flusher.op);
    p->flusher.state = FLUSHER_IDLE;
    if (res < 0 &&
        !PLANTED(
            flush_failure_ignored)) { /* also for lack of room: what the kernel dropped, the next flush would not miss */
        partition_broken(p, res, "flush");
    } else {
        p->durable = PLANTED(flush_covers_later) ? p->written : p->flusher.end;
        p->flusher.risk_since_ns = p->durable.position < p->promised.position ? shard_of(p)->now_ns : 0;
        partition_durable(p);
        writer_flush_later(p);
        if (p->end.position != p->written.position)
            writer_kick(p);
        writer_retry(p);
    }
    partition_stop_step(p);
}

void writer_flush(struct partition *p)
{
    if (p->flusher.state != FLUSHER_IDLE || !space_is_ready(p) || partition_is_offline(p) ||
        p->durable.position == p->promised.position)
        return;
    if (p->durable.position == p->written.position && p->flusher.wanted_offset < p->promised.offset)
        p->flusher.wanted_offset = p->promised.offset;
    if (p->written.position < p->promised.position && p->written.offset < p->flusher.wanted_offset) {
        writer_carry(p); /* what is wanted is in shared memory: the end of its wave comes back here */
        return;
    }
    timer_stop(&shard_of(p)->timers, &p->flusher.timer);
    p->flusher.state = FLUSHER_SYNCING;
    p->flusher.end = p->written;
    assert(p->durable.offset <= p->flusher.end.offset);
    io_sync(shard_of(p)->io, &p->flusher.op, &p->active->file, flush_done);
}

void writer_want_durable(struct partition *p, int64_t offset)
{
    assert(offset <= p->end.offset);
    if (offset > p->flusher.wanted_offset)
        p->flusher.wanted_offset = offset;
    writer_flush(p);
}

void writer_flush_due(struct timer *t)
{
    writer_flush(container_of(t, struct partition, flusher.timer));
}

void writer_free_idle(struct partition *p)
{
    if (!writer_idle(p) || !list_empty(&p->writer.pending) || !list_empty(&p->writer.parked) || p->tail.count == 0 ||
        shard_of(p)->now_ns - p->writer.used_at_ns < IDLE_TAIL_S * NS_PER_S)
        return;
    assert(p->promised.offset == p->end.offset);
    tail_clear(&p->tail);
    p->space.state = SPACE_CLOSED; /* the next append wakes it: its last block is read again */
}
