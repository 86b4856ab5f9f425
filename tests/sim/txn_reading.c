/* What readers of both isolation levels are told (txn_truth.h). */
#include "core/bytes.h"
#include "tests/sim/broker.h"
#include "tests/sim/txn_truth.h"
#include <inttypes.h>

enum { MARKERS_MAX = 1 << 16, MARKER_KEY_BYTES = 4, MARKER_COMMITS = 1, ABORTED_MAX = 64 };

struct truth_marker {
    struct truth_log *log;
    int64_t offset, producer_id;
    int64_t known_wall_ms; /* since when it must have been there */
    uint64_t known_ns;
    int16_t epoch;
    bool commit, proved; /* proved: it is known what it ended */
    uint32_t seen_in;
};
static struct truth_marker *markers;
static uint32_t marker_count, marker_cap, answers;

void truth_reading_begin(struct truth_reading *rd, struct truth_log *l, bool committed, uint32_t power_cuts)
{
    *rd = (struct truth_reading){.log = l, .committed = committed, .began_ns = sim.now_ns, .power_cuts = power_cuts};
}

void truth_markers_begin(void)
{
    markers = NULL;
    marker_count = marker_cap = answers = 0;
}

/* --- what one answer says --- */

struct hearing {
    struct truth_reading *rd;
    const struct fetch_partition_data *m;
    uint32_t power_cuts, aborted_at;
    int64_t aborted[ABORTED_MAX]; /* producers with an aborted transaction at this place */
    uint32_t aborted_count;
    void (*shown)(void *arg, uint32_t number, int64_t offset);
    void *arg;
};

static uint32_t find_aborted(const struct hearing *h, int64_t producer_id)
{
    uint32_t i = 0;
    while (i < h->aborted_count && h->aborted[i] != producer_id)
        i++;
    return i;
}

/* As consumers do: transactions of the list that begin up to here. */
static void begin_aborted(struct hearing *h, int64_t last_offset)
{
    for (; h->m->aborted_transactions.n > (int32_t)h->aborted_at; h->aborted_at++) {
        const struct fetch_aborted_transaction *a = &h->m->aborted_transactions.v[h->aborted_at];
        if (a->first_offset > last_offset)
            break;
        if (find_aborted(h, a->producer_id) == h->aborted_count) {
            assert(h->aborted_count < ABORTED_MAX);
            h->aborted[h->aborted_count++] = a->producer_id;
        }
    }
}

static void end_aborted(struct hearing *h, int64_t producer_id)
{
    uint32_t i = find_aborted(h, producer_id);
    if (i < h->aborted_count)
        h->aborted[i] = h->aborted[--h->aborted_count];
}

/* --- markers --- */

/* The transaction of this producer whose records stand before the marker, with nothing between that is not known and is no other marker of it;
 * NULL: not to be told. */
static struct truth_txn *ended_by(struct truth_log *l, int64_t offset, int64_t producer_id)
{
    for (int64_t o = offset - 1; o >= 0; o--) {
        const struct truth_place *p = truth_place_at(l, o);
        if (!p->what)
            return NULL;
        if (p->what & TRUTH_MARKER) {
            if (markers[p->what & ~TRUTH_MARKER].producer_id == producer_id)
                return NULL;
            continue;
        }
        struct truth_txn *t = truth_record_at(p->what - 1)->txn;
        if (t && t->producer_id == producer_id)
            return t;
    }
    return NULL;
}

static void proves(struct truth_log *l, struct truth_marker *m)
{
    struct truth_txn *t = m->proved ? NULL : ended_by(l, m->offset, m->producer_id);
    if (!t)
        return;
    m->proved = true;
    truth_is(t, m->commit ? VERDICT_COMMITTED : VERDICT_ABORTED, "its marker says so");
    if (m->epoch < t->epoch + t->bumps)
        truth_fail(l, "the marker at %" PRId64 " has epoch %d, transaction %u was of epoch %d", m->offset, m->epoch,
                   t->number, t->epoch);
}

static void learn_marker(struct truth_log *l, const struct truth_marker *m, uint32_t power_cuts)
{
    struct truth_place *p = truth_place_at(l, m->offset);
    if (p->what & TRUTH_MARKER) {
        struct truth_marker *known = &markers[p->what & ~TRUTH_MARKER];
        if (known->producer_id == m->producer_id && known->epoch == m->epoch && known->commit == m->commit) {
            known->seen_in = answers;
            p->power_cuts = power_cuts;
            proves(l, known);
            return;
        }
    }
    if (marker_count == marker_cap)
        markers = world_grow(markers, (marker_cap = marker_cap ? marker_cap * 2 : 64) * sizeof *markers);
    assert(marker_count < MARKERS_MAX);
    markers[marker_count] = *m;
    truth_learn(l, TRUTH_MARKER | marker_count, m->offset, power_cuts);
    proves(l, &markers[marker_count++]);
}

static void close_open(struct truth_reading *rd, int64_t producer_id)
{
    for (uint32_t i = 0; i < rd->open_count; i++)
        if (rd->open[i].producer_id == producer_id)
            rd->open[i--] = rd->open[--rd->open_count];
}

/* Its time may have begun with a cleaning before it was first read: its batch says when that is over. */
static uint64_t ns_of_its_time(const struct truth_log *l, const struct batch *b)
{
    int64_t left_ms = b->base_timestamp - clock_wall_ms();
    bool begun = (b->attributes & BATCH_DELETE_HORIZON) && left_ms < l->delete_retention_ms;
    return begun ? u64_min((uint64_t)(l->delete_retention_ms - left_ms) * NS_PER_MS, sim.now_ns) : 0;
}

static void hear_marker(struct hearing *h, const struct batch *b, const uint8_t *at)
{
    struct truth_log *l = h->rd->log;
    struct batch_cursor c = {at + BATCH_HEADER_BYTES, at + b->bytes};
    struct batch_record r;
    if (b->count != 1 || !batch_next(&c, &r) || r.key_bytes != MARKER_KEY_BYTES ||
        be16_get(r.key + 2) > MARKER_COMMITS || !(b->attributes & BATCH_TRANSACTIONAL))
        truth_fail(l, "the control batch at %" PRId64 " is no marker", b->base_offset);
    uint64_t ago_ns = ns_of_its_time(l, b);
    const struct truth_marker m = {.log = l,
                                   .offset = b->base_offset,
                                   .producer_id = b->producer_id,
                                   .epoch = b->producer_epoch,
                                   .commit = be16_get(r.key + 2) == MARKER_COMMITS,
                                   .known_wall_ms = clock_wall_ms() - (int64_t)(ago_ns / NS_PER_MS),
                                   .known_ns = sim.now_ns - ago_ns,
                                   .seen_in = answers};
    if (!m.commit)
        end_aborted(h, m.producer_id);
    learn_marker(l, &m, h->power_cuts);
    close_open(h->rd, m.producer_id);
}

/* --- records --- */

static bool readings_are_quick(const struct truth_reading *rd)
{
    const struct truth_log *l = rd->log;
    return !l->compacts ||
           (world_clock_is_good() && (int64_t)((sim.now_ns - rd->began_ns) / NS_PER_MS) < l->delete_retention_ms);
}

/* Each transaction has its marker before the next one of its producer. */
static void note_open(struct truth_reading *rd, const struct truth_txn *t, int64_t offset)
{
    for (uint32_t i = 0; i < rd->open_count; i++) {
        if (rd->open[i].producer_id != t->producer_id)
            continue;
        if (rd->open[i].txn != t && readings_are_quick(rd))
            truth_fail(rd->log,
                       "transaction %u of %s has records at %" PRId64 ", and its next one %u at %" PRId64
                       ", without a marker between them",
                       rd->open[i].txn->number, t->id->name, rd->open[i].offset, t->number, offset);
        rd->open[i].txn = t;
        return;
    }
    assert(rd->open_count < COUNT_OF(rd->open));
    rd->open[rd->open_count].producer_id = t->producer_id;
    rd->open[rd->open_count].txn = t;
    rd->open[rd->open_count++].offset = offset;
}

static void check_sender(const struct truth_log *l, const struct batch *b, const struct truth_record *r, int64_t offset)
{
    const struct truth_txn *t = r->txn;
    bool transactional = b->attributes & BATCH_TRANSACTIONAL;
    if (transactional != (t != NULL) || (t && (b->producer_id != t->producer_id || b->producer_epoch != t->epoch)))
        truth_fail(l, "record %u at %" PRId64 " comes from producer %" PRId64 " epoch %d, which did not send it",
                   r->sent.number, offset, b->producer_id, b->producer_epoch);
    if (r->fenced)
        truth_fail(l, "record %u at %" PRId64 " was sent by a producer that was fenced (epoch %d)", r->sent.number,
                   offset, b->producer_epoch);
}

static void is_shown(struct truth_record *r)
{
    if (r->txn)
        truth_is(r->txn, VERDICT_COMMITTED, "a read_committed reader is shown a record of it");
    if (r->input && r->txn->group) {
        uint32_t *output = &truth_record_at(r->input - 1)->outputs[r->txn->group->at];
        if (*output && *output != r->sent.number + 1)
            truth_fail(r->log, "records %u and %u are both what %s made of record %u", *output - 1, r->sent.number,
                       r->txn->group->name, r->input - 1);
        *output = r->sent.number + 1;
    }
    sim.totals.compared_records++;
}

static void hear_record(struct hearing *h, const struct batch *b, const struct batch_record *br, bool hidden)
{
    struct truth_reading *rd = h->rd;
    int64_t offset = b->base_offset + br->offset_delta, number = keyed_record_number(br);
    if (number < 0 || !truth_is_record((uint64_t)number))
        truth_fail(rd->log, "the record at %" PRId64 " was never sent", offset);
    struct truth_record *r = truth_record_at((uint32_t)number);
    if (r->log != rd->log || !keyed_record_is(br, &r->sent))
        truth_fail(rd->log, "record %" PRId64 " at %" PRId64 " is not what was sent", number, offset);
    check_sender(rd->log, b, r, offset);
    truth_learn(rd->log, (uint32_t)number + 1, offset, h->power_cuts);
    r->seen_in = answers;
    r->there_at_end |= rd->last;
    if (r->txn)
        note_open(rd, r->txn, offset);
    if (!rd->committed)
        return;
    if (hidden) {
        truth_is(r->txn, VERDICT_ABORTED, "a read_committed reader is told so");
        return;
    }
    is_shown(r);
    r->shown_at_end |= rd->last;
    if (h->shown && offset >= rd->next)
        h->shown(h->arg, (uint32_t)number, offset);
}

static void hear_data(struct hearing *h, const struct batch *b, const uint8_t *at)
{
    bool hidden =
        (b->attributes & BATCH_TRANSACTIONAL) && h->rd->committed && find_aborted(h, b->producer_id) < h->aborted_count;
    struct batch_cursor c = {at + BATCH_HEADER_BYTES, at + b->bytes};
    struct batch_record r;
    for (int32_t i = 0; i < b->count; i++) {
        if (!batch_next(&c, &r))
            truth_fail(h->rd->log, "the batch at %" PRId64 " holds less than its %d records", b->base_offset, b->count);
        hear_record(h, b, &r, hidden);
    }
}

/* --- what is missing --- */

static void check_missing_marker(const struct truth_log *l, const struct truth_marker *m)
{
    if (!l->compacts)
        truth_fail(l, "the marker at %" PRId64 " is gone", m->offset);
    if (world_clock_is_good() && clock_wall_ms() - m->known_wall_ms < l->delete_retention_ms &&
        (int64_t)((sim.now_ns - m->known_ns) / NS_PER_MS) < l->delete_retention_ms)
        truth_fail(l, "the marker at %" PRId64 " (producer %" PRId64 ") is gone before delete.retention.ms is over",
                   m->offset, m->producer_id);
}

static void check_missing_record(struct truth_log *l, const struct truth_record *r, int64_t offset)
{
    if (l->compacts && truth_replaced_key(r))
        return;
    if (!l->compacts || !r->txn)
        truth_fail(l, "record %u at %" PRId64 " is gone", r->sent.number, offset);
    truth_is(r->txn, VERDICT_ABORTED, "compaction took a record of it that nothing replaces");
}

static void check_missing(struct truth_log *l, int64_t from, int64_t to)
{
    for (int64_t o = from; o < to; o++) {
        const struct truth_place *p = truth_place_at(l, o);
        if (!p->what || !truth_firm(l, p))
            continue;
        if (p->what & TRUTH_MARKER) {
            const struct truth_marker *m = &markers[p->what & ~TRUTH_MARKER];
            if (m->seen_in != answers)
                check_missing_marker(l, m);
            continue;
        }
        const struct truth_record *r = truth_record_at(p->what - 1);
        if (r->seen_in != answers)
            check_missing_record(l, r, o);
    }
}

/* --- a whole answer --- */

static void check_aborted_list(struct truth_log *l, const struct fetch_partition_data *m, bool committed)
{
    if (!committed && m->aborted_transactions.n > 0)
        truth_fail(l, "a read_uncommitted reader is told of %d aborted transactions", m->aborted_transactions.n);
    for (int32_t i = 0; i < m->aborted_transactions.n; i++) {
        const struct fetch_aborted_transaction *a = &m->aborted_transactions.v[i];
        if (i && a->first_offset < a[-1].first_offset)
            truth_fail(l, "aborted transactions are told out of order: %" PRId64 " before %" PRId64, a[-1].first_offset,
                       a->first_offset);
        const struct truth_place *p = truth_place_at(l, a->first_offset);
        struct truth_txn *t =
            p->what && !(p->what & TRUTH_MARKER) && truth_firm(l, p) ? truth_record_at(p->what - 1)->txn : NULL;
        if (t && t->producer_id == a->producer_id)
            truth_is(t, VERDICT_ABORTED, "it is in a list of aborted ones");
    }
}

static int64_t hear_batch(struct hearing *h, int64_t next, bool first, const uint8_t *at, const struct batch *b)
{
    struct truth_reading *rd = h->rd;
    bool follows = first || rd->log->compacts ? batch_last_offset(b) >= next : b->base_offset == next;
    if (!follows || (!rd->log->compacts && b->base_offset > next))
        truth_fail(rd->log, "a fetch returned a batch at %" PRId64 " where %" PRId64 " was next", b->base_offset, next);
    if (batch_crc(at, b->bytes) != b->crc)
        truth_fail(rd->log, "the batch at %" PRId64 " came with a bad CRC", b->base_offset);
    if (rd->committed && batch_last_offset(b) >= h->m->last_stable_offset)
        truth_fail(rd->log, "a read_committed reader got offset %" PRId64 ", the last stable offset is %" PRId64,
                   batch_last_offset(b), h->m->last_stable_offset);
    begin_aborted(h, batch_last_offset(b));
    if (b->count == 0)
        ;
    else if (b->attributes & BATCH_CONTROL)
        hear_marker(h, b, at);
    else
        hear_data(h, b, at);
    return batch_last_offset(b) + 1;
}

bool truth_read(struct truth_reading *rd, const struct fetch_partition_data *m, int64_t stable, uint32_t power_cuts,
                void (*shown)(void *arg, uint32_t number, int64_t offset), void *arg)
{
    struct truth_log *l = rd->log;
    struct hearing h = {.rd = rd, .m = m, .power_cuts = power_cuts, .shown = shown, .arg = arg};
    if (l->caching && (power_cuts != broker_power_cuts() || rd->power_cuts != power_cuts))
        return false;
    if (m->last_stable_offset > m->high_watermark || m->last_stable_offset < 0)
        truth_fail(l, "the last stable offset is %" PRId64 ", the watermark is %" PRId64, m->last_stable_offset,
                   m->high_watermark);
    truth_stable_seen(l, stable, m->last_stable_offset, power_cuts);
    check_aborted_list(l, m, rd->committed);
    int64_t next = rd->next;
    uint32_t bytes = m->records.n > 0 ? (uint32_t)m->records.n : 0;
    answers++;
    for (uint32_t done = 0; done < bytes;) {
        struct batch b;
        bool whole = batch_parse(m->records.at + done, bytes - done, &b) && b.bytes <= bytes - done;
        if (!whole && done)
            break;
        if (!whole)
            truth_fail(l, "a fetch returned %u bytes that are no whole batch", bytes);
        next = hear_batch(&h, next, done == 0, m->records.at + done, &b);
        done += b.bytes;
    }
    check_missing(l, rd->next, next);
    rd->next = next;
    sim.totals.reads++;
    return true;
}

/* Version 4 does not tell where the log starts. */
static bool may_be_below_start(const struct truth_log *l, const struct fetch_partition_data *m, int64_t offset)
{
    return m->log_start_offset >= 0 ? offset < m->log_start_offset : l->drops || offset < l->start_most;
}

void truth_reading_end(const struct truth_reading *rd, const struct fetch_partition_data *m)
{
    if (rd->committed || !readings_are_quick(rd))
        return;
    for (uint32_t i = 0; i < rd->open_count; i++)
        if (rd->open[i].offset < m->last_stable_offset && !may_be_below_start(rd->log, m, rd->open[i].offset))
            truth_fail(rd->log,
                       "transaction %u of %s has a record at %" PRId64
                       " and no marker; the last stable offset is %" PRId64 " of %" PRId64,
                       rd->open[i].txn->number, rd->open[i].txn->id->name, rd->open[i].offset, m->last_stable_offset,
                       m->high_watermark);
}
