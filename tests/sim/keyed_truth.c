#include "tests/sim/keyed_truth.h"
#include "tests/sim/make_batch.h"
#include <inttypes.h>

#define fail(l, fmt, ...) world_fail("%s-%d: " fmt, (l)->topic, (l)->index, __VA_ARGS__)

void keyed_sends(struct keyed_log *l, const struct keyed_value *v, uint32_t bytes)
{
    if (l->count == l->cap)
        l->v = world_grow(l->v, (l->cap = l->cap ? l->cap * 2 : 256) * sizeof *l->v);
    l->v[l->count] = (struct keyed_record){.offset = -1,
                                           .timestamp = v->timestamp,
                                           .sent_ns = sim.now_ns,
                                           .sent_wall_ms = clock_wall_ms(),
                                           .key = v->key,
                                           .bytes = bytes,
                                           .value_bytes = v->value_bytes};
    l->count++;
}

static uint32_t *place_at(struct keyed_log *l, int64_t offset)
{
    world_check(offset >= 0 && offset < 1 << 24, "%s-%d: a record at offset %" PRId64, l->topic, l->index, offset);
    if (offset >= l->offsets_cap) {
        uint32_t cap = l->offsets_cap ? l->offsets_cap : 256;
        while (cap <= offset)
            cap *= 2;
        l->at_offset = world_grow(l->at_offset, cap * sizeof *l->at_offset);
        memset(l->at_offset + l->offsets_cap, 0, (cap - l->offsets_cap) * sizeof *l->at_offset);
        l->offsets_cap = cap;
    }
    return &l->at_offset[offset];
}

/* The record stands at this offset. */
static void learn_place(struct keyed_log *l, uint32_t number, int64_t offset)
{
    struct keyed_record *r = &l->v[number];
    uint32_t *there = place_at(l, offset);
    if (r->offset >= 0 && r->offset != offset)
        fail(l, "record %u was at offset %" PRId64 ", now it is at %" PRId64, number, r->offset, offset);
    if (*there && *there != number + 1)
        fail(l, "record %u is at offset %" PRId64 ", where record %u was", number, offset, *there - 1);
    *there = number + 1;
    if (r->offset < 0)
        r->known_ns = sim.now_ns;
    r->offset = offset;
}

void keyed_acked(struct keyed_log *l, uint32_t number, int64_t offset)
{
    learn_place(l, number, offset);
}

/* --- what may be gone --- */

static bool is_tombstone(const struct keyed_record *r)
{
    return r->value_bytes < 0;
}

static bool may_expire(const struct keyed_log *l, const struct keyed_record *r)
{
    return is_tombstone(r) && (!world_clock_is_good() || clock_wall_ms() - r->sent_wall_ms >= l->delete_retention_ms);
}

/* A later record of the key is there or was; one that may have been there unseen counts if it may have gone unseen too. */
static bool is_replaced(const struct keyed_log *l, const struct keyed_record *r)
{
    for (uint32_t i = 0; i < l->count; i++) {
        const struct keyed_record *o = &l->v[i];
        if (o->key == r->key &&
            (o->offset > r->offset || (o->offset < 0 && o->sent_ns > r->sent_ns && may_expire(l, o))))
            return true;
    }
    return false;
}

/* --- the log start --- */

/* What compaction took may have been the youngest of its segment: it counts no more. */
static void check_dropped(const struct keyed_log *l, int64_t start)
{
    int64_t bytes = 0, youngest = INT64_MIN, now_ms = clock_wall_ms();
    for (uint32_t i = 0; i < l->count; i++) {
        const struct keyed_record *r = &l->v[i];
        if (r->offset >= 0 && r->offset < start && l->compacts && is_replaced(l, r))
            continue;
        if (r->offset >= 0 && r->offset < start)
            youngest = r->timestamp > youngest ? r->timestamp : youngest;
        else
            bytes += r->bytes; /* those that nobody saw may be there */
    }
    bool old = l->retention_ms >= 0 && youngest <= now_ms - l->retention_ms;
    bool large = l->retention_bytes >= 0 && (bytes >= l->retention_bytes || l->compacts);
    if (world_clock_is_good() && !old && !large)
        fail(l,
             "the log starts at %" PRId64 ": a record below is %" PRId64 " ms old (retention.ms %" PRId64 "), %" PRId64
             " bytes are left (retention.bytes %" PRId64 ")",
             start, now_ms - youngest, l->retention_ms, bytes, l->retention_bytes);
}

void keyed_start_seen(struct keyed_log *l, int64_t at_least, int64_t start)
{
    if (start < at_least)
        fail(l, "the log start was %" PRId64 ", now it is %" PRId64, at_least, start);
    if (start > 0 && !l->drops)
        fail(l, "the log starts at %" PRId64 " although nothing may drop it", start);
    if (start <= l->start)
        return;
    check_dropped(l, start);
    sim.totals.dropped += (uint64_t)(start - l->start);
    l->start = start;
}

/* --- reading --- */

void keyed_reading_begins(struct keyed_log *l, int64_t from)
{
    l->reading++;
    l->reading_since_ns = sim.now_ns;
    l->next = l->from = from;
}

static void check_record(struct keyed_log *l, const struct batch *b, const struct batch_record *r)
{
    int64_t offset = b->base_offset + r->offset_delta, number = keyed_record_number(r);
    if (number < 0 || number >= l->count)
        fail(l, "the record at %" PRId64 " was never sent", offset);
    struct keyed_record *known = &l->v[number];
    const struct keyed_value sent = {(uint32_t)number, known->key, known->value_bytes, known->timestamp};
    if (!keyed_record_is(r, &sent))
        fail(l, "record %" PRId64 " at %" PRId64 " is not what was sent: key %u, %d bytes", number, offset, known->key,
             known->value_bytes);
    if (batch_record_timestamp(b, r) != known->timestamp)
        fail(l, "record %" PRId64 " at %" PRId64 " has the time %" PRId64 " instead of %" PRId64, number, offset,
             batch_record_timestamp(b, r), known->timestamp);
    if (offset < l->next && offset >= l->from)
        fail(l, "record %" PRId64 " at %" PRId64 " comes where %" PRId64 " is next", number, offset, l->next);
    if (!l->compacts && offset > l->next)
        fail(l, "record %" PRId64 " at %" PRId64 " comes where %" PRId64 " is next, and nothing is compacted", number,
             offset, l->next);
    if (known->gone)
        fail(l, "record %" PRId64 " of key %u at %" PRId64 " is there again", number, known->key, offset);
    learn_place(l, (uint32_t)number, offset);
    known->seen_in = l->reading;
    l->next = offset + 1;
    sim.totals.compared_records++;
}

int64_t keyed_read(struct keyed_log *l, int64_t offset, const uint8_t *at, uint32_t bytes)
{
    int64_t next = offset;
    for (uint32_t done = 0; done < bytes;) {
        struct batch b;
        bool whole = batch_parse(at + done, bytes - done, &b) && b.bytes <= bytes - done;
        if (!whole && done)
            break;
        if (!whole)
            fail(l, "a fetch returned %u bytes that are no whole batch", bytes);
        if (batch_crc(at + done, b.bytes) != b.crc)
            fail(l, "the batch at %" PRId64 " came with a bad CRC", b.base_offset);
        if (batch_last_offset(&b) < next)
            fail(l, "the batch at %" PRId64 " ends before %" PRId64, b.base_offset, next);
        struct batch_cursor c = {at + done + BATCH_HEADER_BYTES, at + done + b.bytes};
        struct batch_record r;
        for (int32_t i = 0; i < b.count; i++) {
            if (!batch_next(&c, &r))
                fail(l, "the batch at %" PRId64 " holds less than its %d records", b.base_offset, b.count);
            if (b.base_offset + r.offset_delta >= offset)
                check_record(l, &b, &r);
        }
        next = batch_last_offset(&b) + 1;
        if (!l->compacts && next != l->next)
            fail(l, "the batch at %" PRId64 " ends at %" PRId64 " without records, and nothing is compacted",
                 b.base_offset, next);
        done += b.bytes;
    }
    return next;
}

/* --- what is missing --- */

static void check_missing(struct keyed_log *l, uint32_t number)
{
    struct keyed_record *r = &l->v[number];
    if (!l->compacts)
        fail(l, "record %u at %" PRId64 " is gone; the log starts at %" PRId64, number, r->offset, l->start);
    if (!is_replaced(l, r) && !may_expire(l, r))
        fail(l, "record %u at %" PRId64 ", the last one of key %u (%s), is gone", number, r->offset, r->key,
             is_tombstone(r) ? "a tombstone" : "a value");
    sim.totals.compacted += !r->gone;
    r->gone = true;
}

/* Where a tombstone is gone, an older record of its key is not there: the reading was quicker than two cleanings. */
static void check_dead(const struct keyed_log *l, const struct keyed_record *tombstone)
{
    if (!world_clock_is_good() || (int64_t)((sim.now_ns - l->reading_since_ns) / NS_PER_MS) >= l->delete_retention_ms)
        return;
    for (uint32_t i = 0; i < l->count; i++)
        if (l->v[i].key == tombstone->key && l->v[i].seen_in == l->reading && l->v[i].offset < tombstone->offset)
            fail(l, "record %u of key %u at %" PRId64 " is there, its tombstone at %" PRId64 " is not", i,
                 tombstone->key, l->v[i].offset, tombstone->offset);
}

void keyed_reading_ends(struct keyed_log *l, int64_t watermark)
{
    for (uint32_t i = 0; i < l->count; i++) {
        const struct keyed_record *r = &l->v[i];
        if (r->offset < 0 || r->offset < l->start || r->offset < l->from || r->seen_in == l->reading ||
            r->known_ns >= l->reading_since_ns)
            continue;
        if (r->offset >= watermark)
            fail(l, "record %u was at %" PRId64 ", the log ends at %" PRId64, i, r->offset, watermark);
        check_missing(l, i);
        if (is_tombstone(r) && !is_replaced(l, r))
            check_dead(l, r);
    }
    sim.totals.reads++;
}
