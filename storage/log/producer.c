/* The rules of producers: what may be appended, and what is known of it then. Where they stand: producer_table.c. */
#include "storage/log/producer_state.h"
#include "core/array.h"

#define REMEMBERED ((uint32_t)PRODUCER_BATCHES - PLANTED(duplicate_window_off_by_one))

static int32_t first_sequence_of(const struct remembered *r)
{ /* wraps below 0 to INT32_MAX, as Kafka's decrementSequence */
    assert(r->last_offset >= r->base_offset);
    int64_t first = r->last_sequence - (r->last_offset - r->base_offset);
    return (int32_t)(first >= 0 ? first : first + INT32_MAX + 1ll);
}

static const struct producer *known_producer(const struct producers *ps, int64_t id)
{
    uint32_t index = producer_find(ps, id);
    assert(index == PRODUCER_NONE || producer_at(ps, index)->id == id);
    return index == PRODUCER_NONE ? NULL : producer_at(ps, index);
}

static void check_producer(const struct producer *p)
{
    assert(p->count <= PRODUCER_BATCHES);
    for (uint32_t i = 0; i < p->count; i++) {
        assert(p->v[i].base_offset <= p->v[i].last_offset);
    }
}

static void check_txns(const struct producers *ps)
{
    uint32_t ended = 0;
    for (uint32_t i = 0; i < ps->txn_count; i++) {
        const struct txn *t = &ps->txns[i];
        const struct producer *p = known_producer(ps, t->producer_id);
        assert(i == 0 || ps->txns[i - 1].first_offset < t->first_offset);
        assert(t->marker_offset >= 0 || (p && p->txn_first_offset == t->first_offset));
        assert(t->marker_offset < 0 || t->marker_offset > t->first_offset);
        ended += t->marker_offset >= 0;
    }
    assert(ended == ps->ended);
}

void producers_agree(const struct producers *ps)
{
    uint32_t open = 0;
    producers_table_agree(ps);
    for (uint32_t i = 0; i < ps->count; i++) {
        check_producer(producer_at(ps, i));
        open += producer_at(ps, i)->txn_first_offset >= 0;
    }
    assert(open == ps->txn_count - ps->ended);
    assert(ps->guard_count <= PRODUCER_GUARDS_MAX);
    check_txns(ps);
}

/* --- the rules --- */

static const struct remembered *find_duplicate(const struct producer *p, const struct batch *b)
{
    assert(p->count <= PRODUCER_BATCHES);
    assert(p->id == b->producer_id);
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->v[i].last_sequence == batch_last_sequence(b) && first_sequence_of(&p->v[i]) == b->base_sequence)
            return &p->v[i];
    }
    return NULL;
}
static bool is_in_sequence(int32_t last, int32_t next)
{
    return next == last + 1ll || (next == 0 && last == INT32_MAX);
}

/* --- guards --- */

static struct guard *find_guard(const struct producers *ps, int64_t producer_id)
{
    assert(ps->guard_count <= PRODUCER_GUARDS_MAX);
    for (uint32_t i = 0; i < ps->guard_count; i++)
        if (ps->guards[i].producer_id == producer_id)
            return &ps->guards[i];
    return NULL;
}
static void drop_guard(struct producers *ps, struct guard *g)
{
    assert(g >= ps->guards && g < ps->guards + ps->guard_count);
    uint32_t behind = (uint32_t)(ps->guards + ps->guard_count - g - 1);
    memmove(g, g + 1, behind * sizeof *g);
    ps->guard_count--;
}
/* But for a marker of the epoch that is asked about: of the second generation it ends the transaction before that one (KIP-890). */
static void void_guard(struct producers *ps, const struct batch *b, bool marker)
{
    assert(b->producer_id >= 0);
    struct guard *g = ps->guard_count ? find_guard(ps, b->producer_id) : NULL;
    if (g && !(marker && g->bumps && g->epoch == b->producer_epoch))
        drop_guard(ps, g);
}

static bool is_guard_bumping(const struct producers *ps, const struct batch *b)
{
    assert(batch_is_transactional(b));
    const struct guard *g = ps->guard_count ? find_guard(ps, b->producer_id) : NULL;
    return g && g->bumps && g->epoch == b->producer_epoch;
}

/* The sequence must not be above the lowest one that was seen while the answer was waited for. */
static void lower_guard(struct guard *g, const struct batch *b, bool bumps)
{
    assert(g->producer_id == b->producer_id);
    if (b->producer_epoch == g->epoch && b->base_sequence < g->lowest_sequence)
        g->lowest_sequence = b->base_sequence;
    if (b->producer_epoch > g->epoch) {
        g->epoch = b->producer_epoch;
        g->bumps = bumps;
        g->lowest_sequence = b->base_sequence;
    }
}

uint64_t producers_guard(struct producers *ps, const struct batch *b, bool bumps, int64_t now_ms)
{
    assert(producers_asks(ps, b, bumps));
    struct guard *g = find_guard(ps, b->producer_id);
    if (g && g->epoch == b->producer_epoch && g->bumps != bumps) { /* of the transaction before */
        drop_guard(ps, g);
        g = NULL;
    }
    if (g) {
        lower_guard(g, b, bumps);
        return g->number;
    }
    if (ps->guard_count == PRODUCER_GUARDS_MAX)
        drop_guard(ps, &ps->guards[0]);
    struct guard *v = array_grow(ps->heap, ps->guards, &ps->guard_cap, ps->guard_count + 1, sizeof *v);
    if (!v)
        return 0;
    ps->guards = v;
    /* Those of a log that was opened anew are not those of before. */
    ps->guard_last = u64_max(ps->guard_last + 1, (uint64_t)now_ms << 16);
    ps->guards[ps->guard_count++] =
        (struct guard){b->producer_id, now_ms, ps->guard_last, b->base_sequence, b->producer_epoch, bumps};
    return ps->guard_last;
}

/* --- what may be appended --- */

bool producers_asks(const struct producers *ps, const struct batch *b, bool bumps)
{
    assert(b->producer_id >= 0 || !batch_is_transactional(b));
    assert(!batch_is_control(b));
    if (!batch_is_transactional(b))
        return false;
    const struct producer *p = known_producer(ps, b->producer_id);
    if (!p || p->epoch < b->producer_epoch)
        return true;
    return p->epoch == b->producer_epoch && (p->txn_first_offset < 0 || (bumps && !p->bumps));
}

static enum kerr check_sequence(const struct producer *p, const struct guard *g, const struct batch *b)
{
    assert(!p || p->epoch <= b->producer_epoch);
    int32_t first = b->base_sequence;
    if (g && g->bumps && first != 0 && (!p || !p->count))
        return KERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    if (g && first > g->lowest_sequence)
        return KERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    if (!p)
        return KERR_NONE;
    if (b->producer_epoch > p->epoch)
        return first == 0 ? KERR_NONE : KERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    int32_t last = p->count ? p->v[p->count - 1].last_sequence : -1;
    return is_in_sequence(last, first) ? KERR_NONE : KERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
}

enum kerr producers_check(const struct producers *ps, const struct batch *b, const struct producer_claim *claim,
                          struct producer_duplicate *out_duplicate)
{
    assert(b->producer_id >= 0);
    assert(ps->count <= PRODUCERS_MAX);
    *out_duplicate = (struct producer_duplicate){-1, -1, -1};
    const struct producer *p = known_producer(ps, b->producer_id);
    bool asks = producers_asks(ps, b, claim->bumps);
    const struct guard *g = asks && ps->guard_count ? find_guard(ps, b->producer_id) : NULL;
    const struct remembered *d =
        p && p->epoch == b->producer_epoch && !claim->no_sequence ? find_duplicate(p, b) : NULL;
    if (d) {
        *out_duplicate = (struct producer_duplicate){d->base_offset, d->last_offset, d->timestamp};
        return KERR_NONE;
    }
    if (asks && (!g || g->number != claim->guard))
        return KERR_INVALID_TXN_STATE;
    if (p && b->producer_epoch < p->epoch)
        return KERR_INVALID_PRODUCER_EPOCH;
    /* Where its transaction is open, what was appended of it says which sequence is next, not what else was asked about. */
    bool begins = producers_asks(ps, b, false);
    enum kerr error = claim->no_sequence ? KERR_NONE : check_sequence(p, begins ? g : NULL, b);
    if (!error && p && p->txn_first_offset >= 0 && !batch_is_transactional(b))
        return KERR_INVALID_TXN_STATE;
    return error;
}

enum kerr producers_check_marker(const struct producers *ps, const struct batch *b, const struct batch_marker *marker,
                                 int16_t transaction_version)
{
    assert(batch_is_control(b));
    const struct producer *p = known_producer(ps, b->producer_id);
    if (!p)
        return KERR_NONE;
    /* From version 2 on the marker's epoch is one more than that of the transaction: the same one again ended it before. */
    bool again = b->producer_epoch == p->epoch && (transaction_version < 2 || p->txn_first_offset < 0);
    if (b->producer_epoch <= p->epoch && !again)
        return KERR_INVALID_PRODUCER_EPOCH;
    return p->coordinator_epoch > marker->coordinator_epoch ? KERR_TRANSACTION_COORDINATOR_FENCED : KERR_NONE;
}

/* --- what was appended --- */

void producer_remember(struct producer *p, const struct remembered *r)
{
    assert(p->count <= REMEMBERED);
    if (p->count == REMEMBERED) {
        memmove(p->v, p->v + 1, (REMEMBERED - 1) * sizeof *p->v);
        p->count--;
    }
    p->v[p->count++] = *r;
}

int64_t producer_last_offset(const struct producer *p)
{
    assert(p->count <= PRODUCER_BATCHES);
    return p->count ? p->v[p->count - 1].last_offset : -1;
}

/* To be written to. It is not among the ages then. */
static struct producer *find_or_add_producer(struct producers *ps, int64_t id, uint32_t *out_index)
{
    *out_index = producer_find(ps, id);
    if (*out_index != PRODUCER_NONE) {
        struct producer *p = producer_own(ps, *out_index);
        if (p && p->txn_first_offset < 0)
            producer_age_unlink(ps, *out_index);
        return p;
    }
    if (ps->count == PRODUCERS_MAX && (!ps->oldest || producer_remove(ps, ps->oldest - 1)))
        return NULL;
    return producer_add(ps, id, out_index) ? NULL : producer_own(ps, *out_index);
}

enum err producers_reserve_txn(struct producers *ps)
{
    assert(ps->txn_count <= ps->txn_cap);
    struct txn *v = array_grow(ps->heap, ps->txns, &ps->txn_cap, ps->txn_count + 1, sizeof *v);
    if (!v)
        return ERR_NO_MEMORY;
    ps->txns = v;
    return ERR_NONE;
}

/* Its first batch. There is room in txns. */
static void begin_txn(struct producers *ps, struct producer *p, int64_t first_offset)
{
    assert(p->txn_first_offset < 0);
    assert(ps->txn_count < ps->txn_cap);
    assert(!ps->txn_count || ps->txns[ps->txn_count - 1].first_offset < first_offset);
    p->txn_first_offset = first_offset;
    p->bumps = false;
    ps->txns[ps->txn_count++] = (struct txn){first_offset, p->id, -1};
}

static uint32_t rank_of_txn(const struct producers *ps, int64_t first_offset)
{
    uint32_t low = 0, high = ps->txn_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (ps->txns[middle].first_offset < first_offset)
            low = middle + 1;
        else
            high = middle;
    }
    assert(low < ps->txn_count && ps->txns[low].first_offset == first_offset);
    return low;
}

/* NULL: none is open. */
static const struct txn *oldest_open_txn(const struct producers *ps)
{
    assert(ps->ended <= ps->txn_count);
    for (uint32_t i = 0; ps->ended < ps->txn_count && i < ps->txn_count; i++)
        if (ps->txns[i].marker_offset < 0)
            return &ps->txns[i];
    return NULL;
}

static void end_txn(struct producers *ps, struct producer *p, const struct batch *b, bool commit,
                    struct aborted_txn *out_aborted)
{
    assert(p->txn_first_offset >= 0);
    assert(b->base_offset > p->txn_first_offset);
    int64_t first_offset = p->txn_first_offset;
    ps->txns[rank_of_txn(ps, first_offset)].marker_offset = b->base_offset;
    ps->ended++;
    p->txn_first_offset = -1;
    if (commit)
        return;
    const struct txn *open = oldest_open_txn(ps); /* without those that have a marker: what Kafka notes in .txnindex */
    *out_aborted =
        (struct aborted_txn){p->id, first_offset, b->base_offset, open ? open->first_offset : b->base_offset + 1};
}

static void enter_epoch(struct producer *p, const struct batch *b)
{
    assert(p->id == b->producer_id);
    if (p->epoch != b->producer_epoch)
        p->count = 0;
    p->epoch = b->producer_epoch;
}

static void note_producer_batch(struct producers *ps, struct producer *p, const struct batch *b)
{
    assert(p->id == b->producer_id);
    bool transactional = batch_is_transactional(b), bumps = transactional && is_guard_bumping(ps, b);
    if (transactional)
        void_guard(ps, b, false);
    producer_remember(
        p, &(struct remembered){b->base_offset, batch_last_offset(b), b->max_timestamp, batch_last_sequence(b)});
    if (transactional && p->txn_first_offset < 0)
        begin_txn(ps, p, b->base_offset);
    p->bumps |= bumps;
}
static void note_producer_marker(struct producers *ps, struct producer *p, const struct batch *b,
                                 const struct batch_marker *marker, struct aborted_txn *out_aborted)
{
    assert(batch_is_control(b));
    if (batch_is_transactional(b))
        void_guard(ps, b, true);
    p->coordinator_epoch = marker->coordinator_epoch;
    if (p->txn_first_offset >= 0)
        end_txn(ps, p, b, marker->commit, out_aborted);
}

enum err producers_update(struct producers *ps, const struct batch *b, const struct batch_marker *marker,
                          int64_t now_ms, struct aborted_txn *out_aborted)
{
    assert(b->base_offset >= 0 && b->last_offset_delta >= 0);
    assert(b->producer_id >= 0);
    assert(batch_is_control(b) || !marker);
    *out_aborted = (struct aborted_txn){.producer_id = -1};
    if (batch_is_control(b) && !marker) /* its transaction was cleaned from the log */
        return ERR_NONE;
    uint32_t index;
    if (batch_is_transactional(b) && !marker && producers_reserve_txn(ps))
        return ERR_NO_MEMORY;
    struct producer *p = find_or_add_producer(ps, b->producer_id, &index);
    if (!p)
        return ERR_NO_MEMORY;
    int batches = p->count;
    enter_epoch(p, b);
    p->written_ms = now_ms;
    p->last_timestamp = b->max_timestamp;
    if (marker)
        note_producer_marker(ps, p, b, marker, out_aborted);
    else
        note_producer_batch(ps, p, b);
    producers_recount(ps, batches, p->count);
    if (p->txn_first_offset < 0)
        producer_age_link(ps, index);
    return ERR_NONE;
}

int64_t producers_first_unstable(const struct producers *ps)
{
    assert(ps->ended <= ps->txn_count);
    if (PLANTED(stable_end_of_youngest) && ps->txn_count)
        return ps->txns[ps->txn_count - 1].first_offset;
    return ps->txn_count ? ps->txns[0].first_offset : INT64_MAX;
}

void producers_settle(struct producers *ps, int64_t high_watermark)
{
    assert(high_watermark >= 0);
    uint32_t kept = 0;
    if (!ps->ended)
        return;
    for (uint32_t i = 0; i < ps->txn_count; i++) {
        if (ps->txns[i].marker_offset < 0 || ps->txns[i].marker_offset >= high_watermark)
            ps->txns[kept++] = ps->txns[i];
    }
    assert(ps->ended >= ps->txn_count - kept);
    ps->ended -= ps->txn_count - kept;
    ps->txn_count = kept;
}

uint32_t producers_open_transactions(const struct producers *ps)
{
    assert(ps->ended <= ps->txn_count);
    return ps->txn_count - ps->ended;
}

static int32_t last_sequence_of(const struct producer *p)
{
    assert(p->count <= PRODUCER_BATCHES);
    return p->count ? p->v[p->count - 1].last_sequence : -1;
}

static struct producer_facts facts_of_producer(const struct producer *p)
{
    assert(p->count <= PRODUCER_BATCHES);
    return (struct producer_facts){.producer_id = p->id,
                                   .last_timestamp = p->last_timestamp,
                                   .txn_start_offset = p->txn_first_offset,
                                   .written_ms = p->written_ms,
                                   .last_sequence = last_sequence_of(p),
                                   .coordinator_epoch = p->coordinator_epoch,
                                   .producer_epoch = p->epoch};
}

void producers_facts(const struct producers *ps, uint32_t from, uint32_t count, struct producer_facts *out)
{
    assert(from <= ps->count && count <= ps->count - from);
    for (uint32_t i = 0; i < count; i++)
        out[i] = facts_of_producer(producer_at(ps, from + i));
}

bool producers_know(const struct producers *ps, int64_t producer_id)
{
    return known_producer(ps, producer_id) != NULL;
}

bool producers_oldest_open(const struct producers *ps, struct producer_facts *out)
{
    const struct txn *open = oldest_open_txn(ps);
    if (!open)
        return false;
    const struct producer *p = known_producer(ps, open->producer_id);
    assert(p);
    assert(p->txn_first_offset == open->first_offset);
    *out = facts_of_producer(p);
    return true;
}

uint32_t producers_last_offsets(const struct producers *ps, struct producer_last *out)
{
    assert(out || !ps->count);
    uint32_t n = 0;
    for (uint32_t i = 0; i < ps->count; i++) {
        const struct producer *p = producer_at(ps, i);
        out[n++] = (struct producer_last){p->id, producer_last_offset(p), p->epoch};
    }
    return n;
}

/* Times come from files, and before that from clients: any 64 bits. */
static bool is_producer_expired(int64_t written_ms, int64_t now_ms, int64_t expiration_ms)
{
    assert(expiration_ms > 0);
    int64_t age_ms;
    if (__builtin_sub_overflow(now_ms, written_ms, &age_ms))
        return written_ms < 0; /* older than any age, or younger */
    return age_ms >= expiration_ms;
}

uint32_t producers_expire(struct producers *ps, int64_t now_ms, int64_t expiration_ms)
{
    assert(expiration_ms > 0);
    uint32_t gone = 0, place = ps->oldest;
    for (uint32_t looks = 0; place && looks < PRODUCERS_EXPIRED_MAX; looks++) {
        uint32_t index = place - 1, last = ps->count - 1;
        place = ps->ages[index].younger;
        if (!is_producer_expired(producer_at(ps, index)->written_ms, now_ms, expiration_ms))
            continue; /* the clock was set back behind it */
        if (producer_remove(ps, index))
            break;
        gone++;
        place = place == last + 1 ? index + 1 : place; /* that one stands there now */
    }
    while (ps->guard_count && is_producer_expired(ps->guards[0].made_ms, now_ms, expiration_ms))
        drop_guard(ps, &ps->guards[0]);
    return gone;
}
