#include "tests/sim/oracle.h"
#include "core/bytes.h"
#include "storage/log/codec.h"
#include "tests/sim/broker.h"
#include <inttypes.h>
#include <stdio.h>

#define PROMPT_DISK_NS (5 * NS_PER_MS)
#define FLUSH_LATE_NS (500 * NS_PER_MS)

static struct oracle_part *parts, **parts_end;
static int32_t epoch_max;
static bool judging;

void oracle_begin(void)
{
    parts = NULL;
    parts_end = &parts;
    epoch_max = -1;
    judging = false;
}

struct oracle_part *oracle_part_new(const char *topic, int32_t index, bool caching, uint32_t flush_ms)
{
    struct oracle_part *p = world_alloc(sizeof *p);
    snprintf(p->topic, sizeof p->topic, "%s", topic);
    p->index = index;
    p->durable = !caching;
    p->ever_cached = caching;
    p->flush_ms = flush_ms;
    *parts_end = p;
    parts_end = &p->next;
    return p;
}

struct oracle_part *oracle_parts(void)
{
    return parts;
}

struct oracle_part *oracle_find(const char *topic, int32_t index)
{
    struct oracle_part *p = parts;
    while (p && (p->index != index || strcmp(p->topic, topic) != 0))
        p = p->next;
    return p;
}

#define fail(p, fmt, ...) \
    world_fail("%s-%d%s: " fmt, (p)->topic, (p)->index, (p)->durable ? "" : " (caching)", __VA_ARGS__)

bool oracle_firm(uint32_t promise)
{
    return promise == FOR_GOOD || promise == broker_power_cuts();
}

uint32_t oracle_promise(const struct oracle_part *p, uint32_t power_cuts)
{
    return p->durable && power_cuts >= p->durable_since ? FOR_GOOD : power_cuts;
}

/* --- attempts --- */

static uint64_t hash_bytes(const uint8_t *batch, uint32_t bytes)
{
    uint64_t h = 0xcbf29ce484222325ull, word;
    uint32_t i = BATCH_CRC_FROM;
    for (; i + 8 <= bytes; i += 8) {
        memcpy(&word, batch + i, 8);
        h = (h ^ word) * 0x9e3779b97f4a7c15ull;
        h ^= h >> 31;
    }
    for (; i < bytes; i++)
        h = (h ^ batch[i]) * 0x100000001b3ull;
    return h;
}

/* Of what no broker changes: a batch that got the codec of its topic is what it is without. */
static uint64_t hash_of(const uint8_t *batch, uint32_t bytes)
{
    struct batch b;
    struct batch_cursor records;
    uint8_t *unpacked;
    if (!batch_parse(batch, bytes, &b) || !(b.attributes & BATCH_CODEC_MASK))
        return hash_bytes(batch, bytes);
    enum err err = codec_records(&b, batch, CODEC_OUTPUT_MAX, world_own_heap(), &unpacked, &records);
    world_check(!err, "a batch with attributes %d cannot be unpacked: %s", b.attributes, err_text(err));
    uint32_t plain_bytes = BATCH_HEADER_BYTES + (uint32_t)(records.end - records.at);
    uint8_t *plain = world_alloc(plain_bytes);
    memcpy(plain, batch, BATCH_HEADER_BYTES);
    be16_put(plain + 21, (uint16_t)(b.attributes & ~BATCH_CODEC_MASK));
    memcpy(plain + BATCH_HEADER_BYTES, records.at, plain_bytes - BATCH_HEADER_BYTES);
    uint64_t hash = hash_bytes(plain, plain_bytes);
    world_free(plain);
    world_free(unpacked);
    return hash;
}

static struct attempt *find_attempt(struct oracle_part *p, uint64_t hash)
{
    struct attempt *a = p->buckets[hash % ATTEMPT_BUCKETS];
    while (a && a->hash != hash)
        a = a->next_same_hash;
    return a;
}

struct attempt *oracle_attempt(struct oracle_part *p, const uint8_t *batch, uint32_t bytes)
{
    struct batch b;
    bool good = batch_parse(batch, bytes, &b) && b.bytes == bytes;
    assert(good);
    uint64_t hash = hash_of(batch, bytes);
    struct attempt *a = find_attempt(p, hash);
    if (!a) {
        a = world_alloc(sizeof *a);
        *a = (struct attempt){.hash = hash,
                              .producer_id = b.producer_id,
                              .offset = -1,
                              .sequence = b.base_sequence,
                              .count = b.count,
                              .next_same_hash = p->buckets[hash % ATTEMPT_BUCKETS]};
        p->buckets[hash % ATTEMPT_BUCKETS] = a;
    }
    a->sends++;
    p->sent_records += b.count;
    return a;
}

/* --- entries --- */

/* The first entry at or behind this offset. */
static uint32_t place_of(const struct oracle_part *p, int64_t offset)
{
    uint32_t low = 0, high = p->entry_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (p->entries[middle].offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int64_t end_of(const struct entry *e)
{
    return e->offset + e->attempt->count;
}

/* Something else stands where this entry stood, so the log was cut there or before. */
static void replaced(struct oracle_part *p, uint32_t at, const struct attempt *by, int64_t offset)
{
    const struct entry *e = &p->entries[at];
    if (oracle_firm(e->power_cuts))
        fail(p,
             "the batch at offset %" PRId64 " (producer %" PRId64 " sequence %d, %s) was replaced by one at %" PRId64
             " (producer %" PRId64 " sequence %d)",
             e->offset, e->attempt->producer_id, e->attempt->sequence, e->attempt->acked ? "acked" : "read", offset,
             by->producer_id, by->sequence);
    for (uint32_t i = at; i < p->entry_count; i++) {
        if (oracle_firm(p->entries[i].power_cuts))
            continue;
        sim.totals.lost_allowed++;
        if (p->entries[i].attempt->offset == p->entries[i].offset)
            p->entries[i].attempt->offset = -1;
    }
    uint32_t kept = at;
    for (uint32_t i = at; i < p->entry_count; i++)
        if (oracle_firm(p->entries[i].power_cuts))
            p->entries[kept++] = p->entries[i];
    p->entry_count = kept;
}

static void insert(struct oracle_part *p, uint32_t at, struct entry e)
{
    if (p->entry_count == p->entry_cap) {
        p->entry_cap = p->entry_cap ? p->entry_cap * 2 : 64;
        p->entries = world_grow(p->entries, p->entry_cap * sizeof *p->entries);
    }
    memmove(p->entries + at + 1, p->entries + at, (p->entry_count - at) * sizeof *p->entries);
    p->entries[at] = e;
    p->entry_count++;
}

static void learn_again(struct entry *e, uint32_t promise)
{
    if (e->power_cuts == promise || e->power_cuts == FOR_GOOD)
        return;
    e->learnt_ns = sim.now_ns;
    e->power_cuts = promise;
}

/* The batch is in the log at this offset: agrees with what is known, or fails. */
static void learn(struct oracle_part *p, struct attempt *a, int64_t offset, uint32_t power_cuts)
{
    uint32_t promise = oracle_promise(p, power_cuts);
    if (!oracle_firm(promise)) /* said before the power cut, heard after it: proves nothing */
        return;
    uint32_t at = place_of(p, offset);
    if (at < p->entry_count && p->entries[at].offset == offset && p->entries[at].attempt == a) {
        learn_again(&p->entries[at], promise);
    } else if (offset + a->count > p->log_start) { /* or it was said before the start moved there */
        if (at > 0 && end_of(&p->entries[at - 1]) > offset)
            replaced(p, --at, a, offset);
        while (at < p->entry_count && p->entries[at].offset < offset + a->count)
            replaced(p, at, a, offset);
        insert(p, at, (struct entry){offset, a, sim.now_ns, promise});
    }
    if (a->producer_id >= 0 && a->offset >= 0 && a->offset != offset && oracle_firm(a->power_cuts))
        fail(p, "the batch of producer %" PRId64 " with sequence %d is at offset %" PRId64 " and at %" PRId64,
             a->producer_id, a->sequence, a->offset, offset);
    if (a->offset != offset || a->power_cuts != FOR_GOOD)
        a->power_cuts = promise;
    a->offset = offset;
}

static void set_promise(struct entry *e, uint32_t promise)
{
    if (e->attempt->offset == e->offset && e->attempt->power_cuts == e->power_cuts)
        e->attempt->power_cuts = promise;
    e->power_cuts = promise;
}

void oracle_synced(const char *topic, int32_t index, uint64_t until_ns)
{
    for (struct oracle_part *p = parts; p; p = p->next)
        if (p->index == index && strcmp(p->topic, topic) == 0)
            p->synced_ns = u64_max(p->synced_ns, until_ns);
}

void oracle_power_cut(uint64_t up_since_ns, uint64_t until_ns)
{
    const struct knobs *k = &sim.knobs;
    bool prompt = k->stall_rate == 0 && k->disk_ns_max <= PROMPT_DISK_NS && !k->pauses && !world_runs_short();
    if (world_disk_fails() || world_disk_fills())
        return; /* flushes and recoveries may have failed */
    for (struct oracle_part *p = parts; p; p = p->next)
        for (uint32_t i = 0; i < p->entry_count; i++) {
            struct entry *e = &p->entries[i];
            bool flushed = prompt && e->learnt_ns > up_since_ns &&
                           e->learnt_ns + p->flush_ms * NS_PER_MS + FLUSH_LATE_NS <= until_ns;
            if (e->power_cuts == broker_power_cuts() && (e->learnt_ns <= p->synced_ns || flushed))
                set_promise(e, e->power_cuts + 1);
        }
}

void oracle_acked(struct oracle_part *p, struct attempt *a, int64_t offset, uint32_t power_cuts)
{
    if (offset < 0)
        fail(p, "an ack without an offset for sequence %d", a->sequence);
    sim.totals.acked_batches++;
    sim.totals.acked_duplicates += a->acked;
    p->acked_count++;
    a->acked = true;
    learn(p, a, offset, power_cuts);
    oracle_watermark_seen(p, 0, offset + a->count, power_cuts);
}

/* --- watermarks --- */

int64_t oracle_watermark(struct oracle_part *p)
{
    int64_t least = p->firm_watermark > p->log_start ? p->firm_watermark : p->log_start;
    return oracle_firm(p->watermark_power_cuts) && p->watermark > least ? p->watermark : least;
}

void oracle_watermark_seen(struct oracle_part *p, int64_t at_least, int64_t watermark, uint32_t power_cuts)
{
    uint32_t promise = oracle_promise(p, power_cuts);
    if (!oracle_firm(promise))
        return;
    if (watermark < at_least)
        fail(p, "the high watermark was %" PRId64 ", now it is %" PRId64, at_least, watermark);
    if (promise == FOR_GOOD) {
        p->firm_watermark = watermark > p->firm_watermark ? watermark : p->firm_watermark;
        return;
    }
    if (p->watermark_power_cuts != power_cuts)
        p->watermark = 0;
    p->watermark_power_cuts = power_cuts;
    p->watermark = watermark > p->watermark ? watermark : p->watermark;
}

bool oracle_still_firm(const struct oracle_part *p)
{
    return oracle_promise(p, p->watermark_power_cuts) == FOR_GOOD || oracle_firm(p->watermark_power_cuts);
}

/* --- the log start --- */

static int64_t start_most(const struct oracle_part *p)
{
    return p->start_at_watermark ? p->sent_records : p->log_start_most;
}

void oracle_start_asked(struct oracle_part *p, int64_t offset)
{
    p->start_at_watermark |= offset < 0;
    if (offset > p->log_start_most)
        p->log_start_most = offset;
}

static void drop_below_start(struct oracle_part *p)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < p->entry_count; i++) {
        struct entry *e = &p->entries[i];
        if (e->offset < p->log_start && oracle_firm(e->power_cuts)) /* durable, or the start could not be there */
            set_promise(e, FOR_GOOD);
        if (end_of(e) > p->log_start)
            p->entries[kept++] = *e;
    }
    p->entry_count = kept;
}

void oracle_start_seen(struct oracle_part *p, int64_t at_least, int64_t start)
{
    if (start < at_least)
        fail(p, "the log start was %" PRId64 ", now it is %" PRId64, at_least, start);
    if (start > start_most(p))
        fail(p, "the log start is %" PRId64 ", but nobody asked for more than %" PRId64, start, start_most(p));
    if (start <= p->log_start)
        return;
    p->log_start = start;
    drop_below_start(p);
}

bool oracle_below_start(const struct oracle_part *p, int64_t offset)
{
    return offset < start_most(p);
}

/* --- settings --- */

void oracle_caches(const char *topic, uint32_t flush_ms)
{
    for (struct oracle_part *p = parts; p; p = p->next) {
        if (strcmp(p->topic, topic) != 0)
            continue;
        p->durable = false;
        p->ever_cached = true;
        p->flush_ms = flush_ms > p->flush_ms ? flush_ms : p->flush_ms;
    }
}

/* Turning caching off flushes what was written before. Whether a partition that the disk failed could is another matter. */
static void becomes_firm(struct oracle_part *p, uint32_t power_cuts)
{
    if (world_disk_fails())
        return;
    for (uint32_t i = 0; i < p->entry_count; i++)
        if (p->entries[i].power_cuts >= power_cuts)
            set_promise(&p->entries[i], FOR_GOOD);
    if (p->watermark_power_cuts >= power_cuts && p->watermark > p->firm_watermark)
        p->firm_watermark = p->watermark;
}

void oracle_is_durable(const char *topic, uint32_t power_cuts)
{
    for (struct oracle_part *p = parts; p; p = p->next) {
        if (p->durable || strcmp(p->topic, topic) != 0)
            continue;
        becomes_firm(p, power_cuts);
        p->durable = true;
        p->durable_since = power_cuts;
    }
}

/* --- epochs --- */

int32_t oracle_epoch(void)
{
    return epoch_max;
}

void oracle_epoch_seen(int32_t at_least, int32_t epoch)
{
    world_check(epoch >= at_least, "the leader epoch was %d, now it is %d", at_least, epoch);
    epoch_max = epoch > epoch_max ? epoch : epoch_max;
}

/* --- reading --- */

static struct attempt *check_batch(struct oracle_part *p, const uint8_t *at, uint32_t left, struct batch *b)
{
    if (!batch_parse(at, left, b) || b->bytes > left)
        fail(p, "a fetch returned %u bytes that are no whole batch", left);
    if (batch_crc(at, b->bytes) != b->crc)
        fail(p, "the batch at offset %" PRId64 " came with a bad CRC", b->base_offset);
    if (b->leader_epoch < 0 || b->leader_epoch > 1000000)
        fail(p, "the batch at offset %" PRId64 " has leader epoch %d", b->base_offset, b->leader_epoch);
    struct attempt *a = find_attempt(p, hash_of(at, b->bytes));
    for (struct oracle_part *o = parts; !a && o; o = o->next)
        if (find_attempt(o, hash_of(at, b->bytes)))
            fail(p, "the batch at offset %" PRId64 " was sent to %s-%d (crc %08x)", b->base_offset, o->topic, o->index,
                 b->crc);
    if (!a)
        fail(p, "the batch at offset %" PRId64 " was never sent (producer %" PRId64 " sequence %d)", b->base_offset,
             b->producer_id, b->base_sequence);
    return a;
}

int64_t oracle_read(struct oracle_part *p, int64_t offset, const uint8_t *records, uint32_t bytes, uint32_t power_cuts)
{
    int32_t epoch = -1;
    int64_t next = -1;
    for (uint32_t at = 0; at < bytes;) {
        struct batch b;
        if (at > 0 && (!batch_parse(records + at, bytes - at, &b) || b.bytes > bytes - at))
            break; /* the last one may be cut off, as in Kafka */
        struct attempt *a = check_batch(p, records + at, bytes - at, &b);
        bool follows = next < 0 ? b.base_offset <= offset && offset <= batch_last_offset(&b) : b.base_offset == next;
        if (!follows)
            fail(p, "a fetch at offset %" PRId64 " returned a batch at %" PRId64 " where %" PRId64 " was next", offset,
                 b.base_offset, next < 0 ? offset : next);
        if (b.leader_epoch < epoch)
            fail(p, "the batch at offset %" PRId64 " has leader epoch %d behind one with %d", b.base_offset,
                 b.leader_epoch, epoch);
        epoch = b.leader_epoch;
        learn(p, a, b.base_offset, power_cuts);
        a->found += judging;
        sim.totals.compared_records += (uint64_t)b.count;
        next = batch_last_offset(&b) + 1;
        at += b.bytes;
    }
    sim.totals.reads++;
    return next < 0 ? offset : next;
}

/* --- the end --- */

void oracle_judge_begin(struct oracle_part *p)
{
    judging = true;
    for (uint32_t i = 0; i < ATTEMPT_BUCKETS; i++)
        for (struct attempt *a = p->buckets[i]; a; a = a->next_same_hash)
            a->found = 0;
}

static void check_found(const struct oracle_part *p, const struct attempt *a)
{
    if (a->found > (a->producer_id >= 0 ? 1 : a->sends))
        fail(p, "the batch of producer %" PRId64 " with sequence %d was sent %u times and is there %u times",
             a->producer_id, a->sequence, a->sends, a->found);
}

/* The sequences of each producer id stand in the log in their order, none left out. */
static void check_sequences(const struct oracle_part *p)
{
    enum { IDS_MAX = 256 };
    static struct {
        int64_t id;
        int32_t next;
    } ids[IDS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < p->entry_count; i++) {
        const struct attempt *a = p->entries[i].attempt;
        if (a->producer_id < 0)
            continue;
        uint32_t k = 0;
        while (k < count && ids[k].id != a->producer_id)
            k++;
        assert(k < IDS_MAX);
        if (k == count) {
            ids[k].id = a->producer_id;
            ids[count++].next = 0;
        }
        if (a->sequence != ids[k].next && !((p->ever_cached || p->log_start > 0) && ids[k].next == 0))
            fail(p, "producer %" PRId64 ": sequence %d at offset %" PRId64 " where %d was next", a->producer_id,
                 a->sequence, p->entries[i].offset, ids[k].next);
        ids[k].next = a->sequence + a->count;
    }
}

void oracle_judge_end(struct oracle_part *p, int64_t end_offset)
{
    for (uint32_t i = 0; i < p->entry_count; i++) {
        const struct entry *e = &p->entries[i];
        if (end_of(e) <= end_offset && e->attempt->found)
            continue;
        if (oracle_firm(e->power_cuts))
            fail(p,
                 "the %s batch at offset %" PRId64 " (producer %" PRId64
                 " sequence %d) is gone; the log ends at %" PRId64,
                 e->attempt->acked ? "acked" : "read", e->offset, e->attempt->producer_id, e->attempt->sequence,
                 end_offset);
        sim.totals.lost_allowed++;
        p->entry_count = i; /* and all behind it are not firm, or the reading would have failed */
    }
    for (uint32_t i = 0; i < ATTEMPT_BUCKETS; i++)
        for (const struct attempt *a = p->buckets[i]; a; a = a->next_same_hash)
            check_found(p, a);
    check_sequences(p);
}
