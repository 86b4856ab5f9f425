/* See txn_round.h. */
#include "net/txn/txn_round.h"
#include "core/log.h"

struct txn_round *txn_round_open(struct shard *home, struct steps_line *line, const struct txn_parts *parts)
{
    struct heap *heap = home->heap;
    struct txn_round *r = heap_alloc(heap, sizeof *r);
    if (!r)
        return NULL;
    *r = (struct txn_round){.home = home, .line = line, .parts = parts, .count = parts->partitions};
    uint32_t slots = r->count < TXN_ROUND_OUT_MAX ? r->count : TXN_ROUND_OUT_MAX;
    list_init(&r->steps.link);
    r->has = heap_zalloc(heap, (size_t)r->count + 1);
    r->slots = heap_alloc(heap, ((size_t)slots + 1) * sizeof *r->slots);
    for (uint32_t i = 0; i < slots; i++)
        r->free_slots[r->free_count++] = (uint8_t)i;
    if (r->has && r->slots)
        return r;
    heap_free(heap, r->has);
    heap_free(heap, r->slots);
    heap_free(heap, r);
    return NULL;
}

void txn_round_close(struct txn_round *r)
{
    assert(r->out == 0);
    assert(!list_linked(&r->steps.link));
    list_remove(&r->ending.link);
    heap_free(r->home->heap, r->has);
    heap_free(r->home->heap, r->slots);
    heap_free(r->home->heap, r);
}

/* --- answers --- */

static bool is_round_done(const struct txn_round *r)
{
    return r->out == 0 && !r->stepping && !list_linked(&r->steps.link) && (r->abandoned || r->index == r->count);
}

static void end_txn_round(struct shard_defer *d)
{
    struct txn_round *r = container_of(d, struct txn_round, ending);
    r->over(r);
}

static void look_after_round(struct txn_round *r)
{
    if (is_round_done(r))
        shard_defer(r->home, &r->ending);
    else if (!r->abandoned && !r->stepping && r->index < r->count)
        steps_resume(r->line, &r->steps);
}

/* Somebody else ended the transaction in this partition, or the producer has gone on: a marker of this end can never come there. */
static bool is_marker_void(const struct txn_round_slot *slot, enum kerr error)
{
    if (error != KERR_INVALID_PRODUCER_EPOCH && error != KERR_TRANSACTION_COORDINATOR_FENCED)
        return false;
    log_warn("a partition refuses the end of a transaction", "topic=%.*s partition=%d producer=%lld epoch=%d why=%s",
             (int)slot->part.topic.n, (const char *)slot->part.topic.at, slot->part.partition,
             (long long)slot->marker.producer_id, slot->marker.producer_epoch, kerr_name(error));
    return true;
}

static void round_slot_back(struct txn_round_slot *slot, enum kerr error, bool is_void)
{
    struct txn_round *r = slot->round;
    if (error == KERR_NONE || error == KERR_UNKNOWN_TOPIC_OR_PARTITION || is_void) {
        r->has[slot->index] = 1;
    } else {
        r->error = r->failed == 0 ? error : r->error;
        r->failed++;
    }
    r->free_slots[r->free_count++] = (uint8_t)(slot - r->slots);
    r->out--;
    look_after_round(r);
}

static void round_marker_done(struct marker_call *m)
{
    struct txn_round_slot *slot = container_of(m, struct txn_round_slot, marker);
    round_slot_back(slot, m->error, !slot->round->abandoned && is_marker_void(slot, m->error));
}

static void round_durable_done(struct durable_call *d)
{
    round_slot_back(container_of(d, struct txn_round_slot, durable), d->error, false);
}

/* --- questions --- */

static void start_round_slot(struct txn_round *r, const struct txn_partition *part, uint32_t index)
{
    assert(r->free_count > 0);
    struct txn_round_slot *slot = &r->slots[r->free_slots[--r->free_count]];
    slot->round = r;
    slot->index = index;
    slot->part = *part;
    r->out++;
    if (r->marks) {
        slot->marker = r->what;
        slot->marker.done = round_marker_done;
        marker_call_start(r->home, &slot->marker, part->topic, part->partition);
    } else {
        slot->durable.done = round_durable_done;
        durable_call_start(r->home, &slot->durable, part->topic, part->partition);
    }
}

enum { ROUND_UNITS = 2 };

static bool txn_round_step(struct steps *s)
{
    struct txn_round *r = container_of(s, struct txn_round, steps);
    r->stepping = true;
    while (!r->abandoned && r->index < r->count && r->free_count > 0 && steps_go_on(s)) {
        struct txn_partition part;
        uint32_t index = r->index++;
        bool more = txn_parts_next(r->parts, &r->topic, &r->at, &part);
        assert(more);
        if (!r->has[index])
            start_round_slot(r, &part, index);
        steps_spend(s, ROUND_UNITS);
    }
    r->stepping = false;
    bool more = !r->abandoned && r->index < r->count && r->free_count > 0;
    if (is_round_done(r))
        shard_defer(r->home, &r->ending);
    return more;
}

static void begin_txn_round(struct txn_round *r)
{
    r->index = r->failed = 0;
    r->topic = r->at = 0;
    r->error = KERR_NONE;
    steps_start(r->line, &r->steps, txn_round_step);
}

void txn_round_start(struct txn_round *r)
{
    assert(r->over);
    shard_defer_init(&r->ending, end_txn_round);
    begin_txn_round(r);
}

void txn_round_again(struct txn_round *r)
{
    assert(r->failed > 0);
    assert(r->out == 0);
    begin_txn_round(r);
}

void txn_round_abandon(struct txn_round *r)
{
    r->abandoned = true;
    if (is_round_done(r))
        shard_defer(r->home, &r->ending);
}
