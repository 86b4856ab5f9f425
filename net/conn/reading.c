/* Connections: what is received, the frames cut from it, and the memory of those that are not whole. */
#include "core/bytes.h"
#include "core/clock.h"
#include "net/conn/conn.h"
#include "net/conn/frame.h"

/* --- the input --- */

static uint32_t input_bytes(const struct conn *c)
{
    return c->in_end - c->in_at;
}

static const uint8_t *input_start(const struct conn *c)
{
    return c->in->at + c->in_at;
}

static struct frame look_at_frame(const struct conn *c)
{
    return frame_look(input_start(c), input_bytes(c), conns_config(c->conns)->socket_request_max_bytes);
}

static void note_frame_begun(struct conn *c)
{
    if (c->frame_since_ns)
        return;
    c->frame_since_ns = conn_shard(c)->now_ns;
    list_push(&c->conns->unfinished, &c->unfinished_link);
}

static void note_no_frame(struct conn *c)
{
    c->frame_since_ns = 0;
    list_remove(&c->unfinished_link);
}

static void drop_growing(struct conn *c)
{
    if (c->growing)
        block_put(c->growing);
    c->growing = NULL;
    c->grown = 0;
}

void conn_drop_input(struct conn *c)
{
    drop_growing(c);
    if (c->in)
        block_put(c->in);
    c->in = NULL;
    c->in_at = c->in_end = 0;
    note_no_frame(c);
}

/* Copies the next part of the input into the block that takes its place: at most COPY_BYTES_PER_TURN. */
static void copy_input_on(struct conn *c)
{
    uint32_t have = input_bytes(c), bytes = (uint32_t)u64_min(have - c->grown, COPY_BYTES_PER_TURN);
    memcpy(c->growing->at + c->grown, input_start(c) + c->grown, bytes);
    c->grown += bytes;
    if (c->grown < have) {
        conn_kick(c);
        return;
    }
    block_put(c->in);
    c->starving = false;
    c->in = c->growing;
    c->in_at = 0;
    c->in_end = have;
    c->growing = NULL;
    c->grown = 0;
}

/* Moves what is not yet parsed into a buf with room for `bytes`. False: there is no memory now. */
static bool move_input(struct conn *c, uint32_t bytes)
{
    assert(!c->growing);
    assert(bytes >= input_bytes(c));
    c->growing = block_get(&c->conns->blocks, bytes, BLOCK_OF_PART);
    if (!c->growing)
        return false;
    copy_input_on(c);
    return true;
}

/* --- memory is short --- */

static uint64_t frame_bytes_per_s(const struct conn *c, uint64_t now_ns)
{
    return input_bytes(c) * 1000ull / u64_max((now_ns - c->frame_since_ns) / NS_PER_MS, 1);
}

/* How little a frame deserves its memory; 0: it is making progress. Those at a standstill come before all that are slow. */
static uint64_t frame_slowness(const struct conn *c, uint64_t now_ns)
{
    if (c->closing || !c->in || block_pooled(c->in) || list_linked(&c->starved_link) || c->growing)
        return 0;
    uint64_t still_ns = now_ns - c->active_ns;
    if (still_ns >= FRAME_STILL_MS * NS_PER_MS)
        return FRAME_RATE_MIN + still_ns;
    uint64_t rate = frame_bytes_per_s(c, now_ns);
    bool judged = now_ns - c->frame_since_ns >= FRAME_JUDGED_MS * NS_PER_MS;
    return judged && rate < FRAME_RATE_MIN ? FRAME_RATE_MIN - rate : 0;
}

/* Closes the connection whose unfinished frame makes the least of its memory. It comes back some turns later. */
static void evict_slowest_frame(struct conns *cs)
{
    struct conn *slowest = NULL;
    uint64_t now = cs->shard->now_ns, most = 0;
    for (struct list *node = cs->unfinished.next; node != &cs->unfinished; node = node->next) {
        struct conn *c = container_of(node, struct conn, unfinished_link);
        uint64_t slowness = frame_slowness(c, now);
        if (slowness > most) {
            most = slowness;
            slowest = c;
        }
    }
    if (!slowest)
        return;
    cs->counters.evicted++;
    conn_fail(slowest, "memory is short, and its request makes no progress");
}

/* Who waits for memory with part of a frame in a receive buffer keeps others from receiving: when half of those are taken, who has
 * waited longest goes. */
static void bound_waiting_parts(struct conns *cs)
{
    struct list *node, *next;
    for (node = cs->starved.next; node != &cs->starved && cs->blocks.pooled_count > POOLED_HELD_MAX; node = next) {
        struct conn *c = container_of(node, struct conn, starved_link);
        next = node->next;
        if (!c->frame_since_ns || !c->in || !block_pooled(c->in))
            continue;
        cs->counters.evicted++;
        conn_fail(c, "memory is short, and there is none for its request");
        return;
    }
}

/* Stops reading until there is memory. */
static void starve_conn(struct conn *c)
{
    struct conns *cs = c->conns;
    evict_slowest_frame(cs);
    if (c->closing) /* it was the slowest itself */
        return;
    conns_starve(cs, &c->starved_link);
    if (!c->starving)
        bound_waiting_parts(cs);
    c->starving = true;
}

/* --- whole frames --- */

/* So many requests hold receive buffers that this one gets a copy of its frame: a slow disk must not keep the shard from
 * receiving. False: no memory. */
static bool start_frame_copied(struct conn *c, uint32_t total)
{
    struct block *b = block_get(&c->conns->blocks, total, BLOCK_OF_WHOLE);
    if (!b)
        return false;
    c->conns->counters.frames_copied++;
    memcpy(b->at, input_start(c), total);
    c->conns->handler->start(c, b, b->at + 4, total - 4);
    block_put(b);
    return true;
}

static bool start_frame(struct conn *c, uint32_t total)
{
    bool copy = block_pooled(c->in) && c->conns->blocks.pooled_count > POOLED_HELD_MAX;
    if (!copy)
        c->conns->handler->start(c, c->in, input_start(c) + 4, total - 4);
    else if (!start_frame_copied(c, total))
        return false;
    c->in_at += total;
    note_no_frame(c);
    return true;
}

enum cut { CUT_PART, CUT_BLOCKED, CUT_STARVED, CUT_NOTHING };

/* Starts the requests of whole frames, as far as order and memory allow. */
static enum cut cut_frames(struct conn *c)
{
    while (input_bytes(c) > 0 && !c->closing) {
        struct frame f = look_at_frame(c);
        if (f.kind == FRAME_PART && f.total <= blocks_part_bytes_max(&c->conns->blocks))
            return CUT_PART;
        if (f.kind == FRAME_PART) {
            conn_fail(c,
                      "it sent a frame larger than the memory for such frames: a part of a core's share of --memory");
            return CUT_NOTHING;
        }
        if (f.kind != FRAME_WHOLE) {
            conn_fail(c, frame_complaint(f.kind));
            return CUT_NOTHING;
        }
        bool overlaps = c->conns->handler->overlaps((int16_t)be16_get(input_start(c) + 4));
        if (!order_may_start(&c->in_flight, overlaps))
            return CUT_BLOCKED;
        if (!start_frame(c, f.total))
            return CUT_STARVED;
    }
    return CUT_NOTHING;
}

static bool is_memory_short(const struct conn *c)
{
    const struct blocks *bs = &c->conns->blocks;
    return bs->buf_bytes >= blocks_part_bytes_max(bs) / 2;
}

/* A frame has begun but is not whole: memory for what comes next. */
static bool make_frame_room(struct conn *c)
{
    uint32_t have = input_bytes(c);
    if (!block_pooled(c->in) && c->in_at == 0 && c->in->cap > have && c->in->refs == 1)
        return true;
    return move_input(c,
                      frame_room(look_at_frame(c).total, have, is_memory_short(c) ? FRAME_AHEAD_SHORT : FRAME_AHEAD));
}

/* Either waits for its turn or for memory, or is ready to receive more. */
void conn_parse(struct conn *c)
{
    if (c->closing || c->conns->stopping || !c->in)
        return;
    if (c->growing) {
        copy_input_on(c);
        if (c->growing)
            return;
    }
    enum cut cut = cut_frames(c);
    if (c->closing)
        return;
    if (input_bytes(c) == 0)
        conn_drop_input(c);
    else if (cut == CUT_PART)
        note_frame_begun(c);
    else
        note_no_frame(c);
    c->blocked = cut == CUT_BLOCKED;
    if (cut != CUT_STARVED && cut != CUT_PART)
        c->starving = false;
    if (cut == CUT_STARVED || (cut == CUT_PART && !make_frame_room(c)))
        starve_conn(c);
    else if (cut == CUT_BLOCKED && block_pooled(c->in) && !move_input(c, input_bytes(c)))
        c->conns->counters.starved++; /* it keeps the receive buffer; the deadline of what blocks it bounds that */
}

/* --- receiving --- */

static void note_received(struct conn *c, int32_t res)
{
    stream_received(&c->stream);
    if (res <= 0 || c->closing) {
        conn_close(c);
        conn_kick(c);
        return;
    }
    c->active_ns = conn_shard(c)->now_ns;
    c->conns->counters.received_bytes += (uint64_t)res;
}

static void proceed_reading(struct conn *c)
{
    conn_parse(c);
    conn_receive(c);
    if (!c->closing)
        conn_watch_deadline(c);
}

static void recv_pooled_done(struct io_op *op, int32_t res)
{
    struct conn *c = container_of(op, struct conn, stream.recv);
    if (res > 0 && c->closing)
        io_recv_put(conn_shard(c)->io, op->buf.at);
    note_received(c, res);
    if (res <= 0 || c->closing)
        return;
    assert(!c->in);
    c->in = block_of_pooled(&c->conns->blocks, op->buf.at, (uint32_t)res);
    if (!c->in) {
        conn_fail(c, "there is no memory for what it sent");
        return;
    }
    c->in_at = 0;
    c->in_end = (uint32_t)res;
    proceed_reading(c);
}

static void recv_done(struct io_op *op, int32_t res)
{
    struct conn *c = container_of(op, struct conn, stream.recv);
    note_received(c, res);
    if (res <= 0 || c->closing)
        return;
    assert((uint32_t)res <= c->in->cap - c->in_end);
    c->in_end += (uint32_t)res;
    proceed_reading(c);
}

/* How much to receive straight into the frame's own memory: no more than its rest, which then needs no copy, and no more than the kernel is
 * to copy in one go. */
static uint32_t bytes_to_receive(const struct conn *c)
{
    uint32_t have = input_bytes(c), total = look_at_frame(c).total;
    uint32_t room = (uint32_t)u64_min(c->in->cap - c->in_end, RECEIVE_BYTES_MAX);
    return (uint32_t)u64_min(room, total ? total - have : 4 - have);
}

void conn_receive(struct conn *c)
{
    if (c->stream.receiving || c->closing || c->conns->stopping || list_linked(&c->starved_link) || c->blocked ||
        c->growing)
        return;
    if (c->in)
        stream_receive(&c->stream, c->in->at + c->in_end, bytes_to_receive(c), recv_done);
    else
        stream_receive_pooled(&c->stream, recv_pooled_done);
}

void conn_resume(struct conn *c)
{
    if (!c->closing)
        proceed_reading(c);
}
