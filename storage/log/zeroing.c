/* Space ahead is written before it is used.
 *
 * The first write into space that was only allocated changes what the file system knows of the file (an unwritten extent becomes a written
 * one), so a durable wave into it ends in a commit of the journal: two flushes more. Where waves are small that costs more than
 * they do themselves. There a step of space is filled with zeros before an append may go there, and one flush settles all of it:
 *
 *   asked for ahead --its turn--> allocated --> zeros, a piece at a time --> appends may go there --> flush --> settled (segment.h)
 *        |                                           |
 *        '--an append waits: only allocated          '--an append waits: the rest stays unwritten, nothing is settled
 *
 * Never for large waves, which would be written twice; not when the disk is short of space; not when what is left would be used up
 * before the zeros are there. A few partitions of a shard do it at a time, the others wait for their turn; a flush is none of a
 * job's, so that the kernel makes one commit of several.
 *
 * Nothing depends on it: zeros that fail to be written leave what was allocated, which reads alike. A flush that fails is as every
 * other: what the kernel forgot then, a later one would not tell. */
#include "core/clock.h"
#include "storage/log/full_disk.h"
#include "storage/log/partition_state.h"

enum {
    ZEROING_MAX = 2,                     /* at a time, per shard: the ring's workers have others to serve */
    ZEROED_WAVE_BYTES = 16 * 1024,       /* waves up to this size, on average since the last step ... */
    ZEROED_SLOW_WAVE_BYTES = 512 * 1024, /* ... or up to this, where ... */
    ZEROED_SLOW_BYTE_NS = 32, /* ... each byte takes so long: what they wait for are flushes, as no disk is so slow */
    ZEROING_TIMES = 4,        /* the room that is left lasts so many times longer than zeros usually take */
    ZEROING_SLOW_TIMES = 2,   /* where flushes are slow: there is no more haste than that */
    ZEROING_PIECE_WAVES = 8,
    ZEROING_RATE_NS = 1000 * 1000 * 1000, /* who used its last step more slowly is taken for no slower than that */
};

static const _Alignas(PAGE_BYTES) uint8_t zero_page[PAGE_BYTES];

void zeroing_init(struct zeroing_turns *z)
{
    assert(!z->running);
    list_init(&z->waiting);
    z->usual_ns = NS_PER_MS;
    for (uint32_t i = 0; i < ZEROING_SLOW_PIECES; i++)
        z->zeros[i] = (struct iovec){(void *)(uintptr_t)zero_page, PAGE_BYTES};
}

/* --- whether --- */

/* Waves are small, or wait for nothing but flushes. What was appended and is not written counts as one. */
static bool waves_are_small(const struct partition *p)
{
    const struct space_use *u = &p->space.use;
    assert(p->written.position <= p->end.position);
    uint64_t gathered = p->end.position - p->written.position, waves = u->waves + (gathered > 0);
    uint64_t bytes = waves ? (u->bytes + gathered) / waves : 0;
    return bytes <= ZEROED_WAVE_BYTES ||
           (bytes <= ZEROED_SLOW_WAVE_BYTES && u->bytes && u->busy_ns / u->bytes >= ZEROED_SLOW_BYTE_NS);
}

/* How long it is until the room that is left is used up, as quickly as the last step was. */
static uint64_t room_lasts_ns(const struct partition *p)
{
    const struct space_use *u = &p->space.use;
    uint64_t allocated = p->active->allocated, end = p->end.position;
    uint64_t room = allocated > end ? u64_min(allocated - end, ALLOCATE_STEP_MAX) : 0;
    uint64_t used = u->bytes + end - p->written.position;
    uint64_t ns = u64_min(shard_of(p)->now_ns - p->space.step_at_ns, ZEROING_RATE_NS);
    assert(room <= UINT64_MAX / ZEROING_RATE_NS);
    return used ? room * ns / used : UINT64_MAX;
}

bool zeroing_may_pay(const struct partition *p)
{
    const struct log_store *ls = p->store;
    assert(p->active);
    return ls->root->direct && ls->root->traits.unwritten_costs && durable_acks(p) && p->condition == PARTITION_OPEN &&
           ls->free_bytes >= WRITES_WAIT_FREE_BYTES && !full_disk_is_pressed(p);
}

bool zeroing_is_wanted(const struct partition *p)
{
    const struct log_store *ls = p->store;
    uint64_t times = log_store_flush_is_slow(ls) ? ZEROING_SLOW_TIMES : ZEROING_TIMES;
    return zeroing_may_pay(p) && waves_are_small(p) && room_lasts_ns(p) / times >= ls->zeroing.usual_ns;
}

void zeroing_note_wave(struct partition *p, uint64_t bytes, uint64_t took_ns)
{
    assert(bytes > 0);
    p->space.use.waves++;
    p->space.use.bytes += bytes;
    p->space.use.busy_ns += took_ns;
}

/* --- whose turn it is --- */

bool zeroing_waits(struct partition *p)
{
    struct zeroing_turns *z = &p->store->zeroing;
    assert(z->running <= ZEROING_MAX);
    if (z->running < ZEROING_MAX)
        return false;
    if (!list_linked(&p->space.zeroing.link))
        list_push(&z->waiting, &p->space.zeroing.link);
    return true;
}

void zeroing_forget(struct partition *p)
{
    assert(p->space.zeroing.state == ZEROING_NONE);
    list_remove(&p->space.zeroing.link);
}

static void give_turns(struct zeroing_turns *z)
{
    struct list *l;
    while (z->running < ZEROING_MAX && (l = list_pop(&z->waiting))) {
        struct partition *p = container_of(l, struct partition, space.zeroing.link);
        assert(p->space.zeroing.state == ZEROING_NONE);
        if (p->condition == PARTITION_OPEN && p->space.state == SPACE_READY && space_is_low(p))
            space_ahead(p, 0);
    }
}

/* --- how --- */

/* Where flushes are slow each piece waits for a wave's: so it is as large as several waves, or the waves would catch up. */
static uint32_t zeroing_piece_bytes(const struct partition *p)
{
    const struct space_use *u = &p->space.use;
    uint64_t least = ZEROING_PIECES * PAGE_BYTES, most = ZEROING_SLOW_PIECES * PAGE_BYTES;
    assert(least <= most);
    if (!log_store_flush_is_slow(p->store) || !u->waves)
        return (uint32_t)least;
    uint64_t bytes = align_up(u->bytes / u->waves * ZEROING_PIECE_WAVES, PAGE_BYTES);
    return (uint32_t)u64_max(u64_min(bytes, most), least);
}

void zeroing_begin(struct partition *p, uint64_t bytes)
{
    struct zeroing *z = &p->space.zeroing;
    assert(p->space.state == SPACE_ALLOCATING && z->state == ZEROING_NONE);
    assert(bytes > 0 && bytes % PAGE_BYTES == 0);
    assert(p->store->zeroing.running < ZEROING_MAX);
    p->store->zeroing.running++;
    z->state = ZEROING_ALLOCATING;
    z->hurried = false;
    z->from = z->at = p->active->allocated;
    z->to = z->from + bytes;
    z->piece_bytes = zeroing_piece_bytes(p);
    z->began_ns = shard_of(p)->now_ns;
}

static void end_zeroing(struct partition *p)
{
    assert(p->store->zeroing.running > 0);
    p->space.zeroing.state = ZEROING_NONE;
    p->space.state = SPACE_READY;
    p->store->zeroing.running--;
    give_turns(&p->store->zeroing);
}

void zeroing_fail(struct partition *p)
{
    assert(p->space.zeroing.state == ZEROING_NONE || p->space.zeroing.state == ZEROING_ALLOCATING);
    if (p->space.zeroing.state == ZEROING_ALLOCATING)
        end_zeroing(p);
}

static void step_is_over(struct partition *p)
{
    end_zeroing(p);
    writer_retry(p);
    partition_stop_step(p);
}

static void zeros_flushed(struct io_op *op, int32_t res)
{
    struct partition *p = container_of(op, struct partition, space.op);
    assert(p->space.zeroing.state == ZEROING_FLUSHING);
    if (res < 0)
        partition_broken(p, res, "flush"); /* also for lack of room, as after every flush (flusher.c) */
    else
        segment_settle(p->active, p->space.zeroing.from, p->space.zeroing.to);
    step_is_over(p);
}

static void flush_zeros(struct partition *p)
{
    struct zeroing *z = &p->space.zeroing;
    assert(z->at == z->to);
    z->state = ZEROING_FLUSHING;
    io_sync(shard_of(p)->io, &p->space.op, &p->active->file, zeros_flushed);
    writer_retry(p);
}

/* Appends may have the step, be it `whole` or not. */
static void end_writing(struct partition *p, bool whole)
{
    struct zeroing *z = &p->space.zeroing;
    uint64_t took_ns = shard_of(p)->now_ns - z->began_ns;
    assert(z->at <= z->to);
    p->store->zeroing.usual_ns = (p->store->zeroing.usual_ns * 3 + took_ns) / 4;
    if (!PLANTED(zeros_behind_appends))
        space_made(p);
    if (whole && PLANTED(settled_before_flush))
        segment_settle(p->active, z->from, z->to);
    if (whole && !PLANTED(settled_before_flush))
        flush_zeros(p);
    else
        step_is_over(p);
}

static void write_zeros(struct partition *p);

static void zeros_written(struct io_op *op, int32_t res)
{
    struct partition *p = container_of(op, struct partition, space.op);
    struct zeroing *z = &p->space.zeroing;
    assert(z->state == ZEROING_WRITING);
    uint64_t done = res > 0 ? align_down((uint64_t)res, PAGE_BYTES) : 0;
    z->at += done;
    stat_add(p->store->counters.zeroed_bytes, done);
    bool goes_on = done > 0 && !z->hurried && p->condition == PARTITION_OPEN;
    if (goes_on && z->at < z->to)
        write_zeros(p);
    else
        end_writing(p, goes_on);
}

static void write_zeros(struct partition *p)
{
    struct zeroing *z = &p->space.zeroing;
    uint64_t pieces = u64_min(z->to - z->at, z->piece_bytes) / PAGE_BYTES;
    assert(p->space.state == SPACE_ALLOCATING);
    assert(align_up(p->end.position, PAGE_BYTES) <= z->from || PLANTED(zeros_behind_appends));
    assert(pieces > 0 && pieces <= ZEROING_SLOW_PIECES);
    io_writev(shard_of(p)->io, &p->space.op, &p->active->file, p->store->zeroing.zeros, (uint32_t)pieces, z->at, false,
              zeros_written);
}

bool zeroing_start(struct partition *p)
{
    struct zeroing *z = &p->space.zeroing;
    assert(p->space.state == SPACE_ALLOCATING);
    if (z->state == ZEROING_NONE)
        return false;
    assert(z->state == ZEROING_ALLOCATING);
    if (z->hurried || p->condition != PARTITION_OPEN)
        return false;
    z->state = ZEROING_WRITING;
    if (PLANTED(zeros_behind_appends)) {
        space_made(p);
        writer_retry(p);
    }
    write_zeros(p);
    return true;
}

void zeroing_hurry(struct partition *p)
{
    assert(p->space.state == SPACE_ALLOCATING);
    p->space.zeroing.hurried = true;
}
