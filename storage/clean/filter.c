/* Walks the records of a batch twice at most: to judge them, then to write those that stay (filter.h). */
#include "storage/clean/filter.h"
#include "core/array.h"
#include "storage/log/codec.h"
#include <string.h>

enum {
    LENGTH_AT = 8,
    CRC_AT = 17,
    ATTRIBUTES_AT = 21,
    BASE_TIMESTAMP_AT = 27,
    MAX_TIMESTAMP_AT = 35,
    COUNT_AT = 57,
    VARINT_MAX = 10,
    PACK_ROOM_BYTES = 8 * 1024, /* codec.h: a few KiB more than the result may be needed */
    PACK_TRIES = 4,
};

void clean_bytes_deinit(struct clean_bytes *b)
{
    assert(b->bytes <= b->cap);
    heap_free(b->heap, b->at);
    *b = (struct clean_bytes){.heap = b->heap};
}

static enum err reserve_clean_bytes(struct clean_bytes *b, size_t more)
{
    assert(b->bytes <= b->cap);
    uint8_t *at = bytes_grow(b->heap, b->at, &b->cap, b->bytes + more, 0);
    if (!at && b->bytes + more > 0)
        return ERR_NO_MEMORY;
    b->at = at;
    return ERR_NONE;
}

static enum err add_clean_bytes(struct clean_bytes *b, const void *at, size_t bytes)
{
    assert(at || !bytes);
    enum err err = reserve_clean_bytes(b, bytes);
    if (err || !bytes)
        return err;
    memcpy(b->at + b->bytes, at, bytes);
    b->bytes += bytes;
    return ERR_NONE;
}

/* --- judging --- */

static bool is_last_of_producer(const struct clean_filter *f, const struct batch *b)
{
    assert(b->producer_id >= 0);
    assert(f->producers || !f->producer_count);
    uint32_t low = 0, high = f->producer_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (f->producers[middle].id < b->producer_id)
            low = middle + 1;
        else
            high = middle;
    }
    const struct producer_last *p = &f->producers[low];
    if (low == f->producer_count || p->id != b->producer_id)
        return false;
    return p->last_offset >= 0 ? p->last_offset == batch_last_offset(b)
                               : batch_is_control(b) && p->epoch == b->producer_epoch;
}

/* The horizon of a batch that has one: its base timestamp. */
static bool horizon_is_over(const struct clean_filter *f, const struct batch *b)
{
    return (b->attributes & BATCH_DELETE_HORIZON) && f->now_ms >= 0 && b->base_timestamp <= f->now_ms;
}

static bool record_stays(const struct clean_filter *f, const struct batch *b, const struct batch_record *r)
{
    assert(r->offset_delta >= 0 && r->offset_delta <= b->last_offset_delta);
    int64_t offset = b->base_offset + r->offset_delta;
    if (offset >= f->map->end_offset)
        return true;
    int64_t latest = r->key ? dedupe_find(f->map, r->key, (size_t)r->key_bytes) : INT64_MAX;
    if (PLANTED(key_lost_between_passes) && latest < 0) /* it has a key that the full map had no room for */
        latest = INT64_MAX;
    if (offset < latest)
        return false;
    if (!r->value && PLANTED(tombstone_dropped_early))
        return false;
    return r->value || !horizon_is_over(f, b);
}

struct verdict {
    uint32_t kept;
    bool tombstones; /* among those that stay, or a marker that may go */
    int64_t max_timestamp;
};

/* Offsets within the batch rise, and lie in it. */
static bool next_good_record(struct batch_cursor *c, const struct batch *b, int64_t *last_delta, struct batch_record *r)
{
    assert(c->at <= c->end);
    if (!batch_next(c, r) || r->offset_delta <= *last_delta || r->offset_delta > b->last_offset_delta)
        return false;
    *last_delta = r->offset_delta;
    return true;
}

static enum err judge_filtered_records(const struct clean_filter *f, const struct batch *b, struct batch_cursor c,
                                       struct verdict *out)
{
    struct batch_record r;
    struct verdict v = {.max_timestamp = -1};
    int64_t last_delta = -1;
    for (int32_t i = 0; i < b->count; i++) {
        if (!next_good_record(&c, b, &last_delta, &r))
            return ERR_CORRUPT;
        if (!record_stays(f, b, &r))
            continue;
        int64_t timestamp = b->attributes & BATCH_LOG_APPEND_TIME ? b->max_timestamp : batch_record_timestamp(b, &r);
        v.max_timestamp = !v.kept || timestamp > v.max_timestamp ? timestamp : v.max_timestamp;
        v.tombstones |= !r.value;
        v.kept++;
    }
    if (c.at != c.end)
        return ERR_CORRUPT;
    *out = v;
    return ERR_NONE;
}

/* Of a control batch, all or nothing. */
static struct verdict judge_marker(const struct clean_filter *f, const uint8_t *at, const struct batch *b,
                                   struct aborted_txn *out_aborted)
{
    bool over = false;
    assert(b->count >= 0);
    clean_txns_marker(f->txns, b, at, &over, out_aborted);
    bool goes = (over && horizon_is_over(f, b)) || PLANTED(marker_dropped_early);
    return (struct verdict){.kept = goes ? 0 : (uint32_t)b->count,
                            .tombstones = over && !goes && b->count > 0,
                            .max_timestamp = goes ? -1 : batch_newest_timestamp(b)};
}

static enum err judge_batch(const struct clean_filter *f, const uint8_t *at, const struct batch *b,
                            struct batch_cursor c, struct verdict *out, struct aborted_txn *out_aborted)
{
    bool aborted;
    *out_aborted = (struct aborted_txn){.producer_id = -1};
    if (b->count < 0)
        return ERR_CORRUPT;
    if (batch_is_control(b)) {
        *out = judge_marker(f, at, b, out_aborted);
        return ERR_NONE;
    }
    enum err err = clean_txns_batch(f->txns, b, &aborted);
    if (!err && aborted)
        *out = (struct verdict){.max_timestamp = -1};
    else if (!err)
        err = judge_filtered_records(f, b, c, out);
    assert(err || out->kept <= (uint32_t)b->count);
    return err;
}

/* --- writing --- */

static size_t put_varlong(uint8_t *to, int64_t value)
{
    assert(to);
    uint64_t v = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
    size_t n = 0;
    for (; v >= 0x80; v >>= 7)
        to[n++] = (uint8_t)(v | 0x80);
    to[n++] = (uint8_t)v;
    assert(n <= VARINT_MAX);
    return n;
}

static const uint8_t *skip_varint(const uint8_t *at)
{
    while (*at & 0x80)
        at++;
    return at + 1;
}

/* A record whose timestamp counts from another base: everything behind its timestamp delta stays. It was walked before. */
static enum err add_rebased_record(struct clean_bytes *out, const uint8_t *from, const uint8_t *end, int64_t delta)
{
    assert(from < end);
    const uint8_t *attributes = skip_varint(from), *rest = skip_varint(attributes + 1);
    uint8_t head[VARINT_MAX], delta_bytes[VARINT_MAX];
    size_t n = put_varlong(delta_bytes, delta), left = (size_t)(end - rest);
    size_t m = put_varlong(head, (int64_t)(1 + n + left));
    enum err err = reserve_clean_bytes(out, m + 1 + n + left);
    if (err)
        return err;
    uint8_t *to = out->at + out->bytes;
    memcpy(to, head, m);
    to[m] = *attributes;
    memcpy(to + m + 1, delta_bytes, n);
    memcpy(to + m + 1 + n, rest, left);
    out->bytes += m + 1 + n + left;
    return ERR_NONE;
}

/* `base` is the batch's own unless a horizon takes its place. */
static enum err add_kept_records(const struct clean_filter *f, const struct batch *b, struct batch_cursor c,
                                 int64_t base, struct clean_bytes *out)
{
    assert(b->count > 0);
    struct batch_record r;
    enum err err = ERR_NONE;
    for (int32_t i = 0; i < b->count && !err; i++) {
        const uint8_t *from = c.at;
        if (!batch_next(&c, &r))
            return ERR_CORRUPT;
        if (!batch_is_control(b) && !record_stays(f, b, &r))
            continue;
        int64_t timestamp = b->attributes & BATCH_LOG_APPEND_TIME ? b->max_timestamp : batch_record_timestamp(b, &r);
        if (base == b->base_timestamp)
            err = add_clean_bytes(out, from, (size_t)(c.at - from));
        else
            err = add_rebased_record(out, from, c.at, (int64_t)((uint64_t)timestamp - (uint64_t)base));
    }
    return err;
}

/* A copy of the header; the rest of the batch comes behind it. Returns where it stands. */
static enum err begin_filtered_batch(struct clean_bytes *out, const uint8_t *at, size_t *out_from)
{
    assert(at);
    *out_from = out->bytes;
    return add_clean_bytes(out, at, BATCH_HEADER_BYTES);
}

static void seal_filtered_batch(struct clean_bytes *out, size_t from, int16_t attributes, int64_t base_timestamp,
                                int64_t max_timestamp, uint32_t count)
{
    assert(count <= INT32_MAX);
    assert(out->bytes >= from + BATCH_HEADER_BYTES);
    uint8_t *at = out->at + from;
    uint32_t bytes = (uint32_t)(out->bytes - from);
    be32_put(at + LENGTH_AT, bytes - BATCH_PREFIX_BYTES);
    be16_put(at + ATTRIBUTES_AT, (uint16_t)attributes);
    be64_put(at + BASE_TIMESTAMP_AT, (uint64_t)base_timestamp);
    be64_put(at + MAX_TIMESTAMP_AT, (uint64_t)max_timestamp);
    be32_put(at + COUNT_AT, count);
    be32_put(at + CRC_AT, batch_crc(at, bytes));
}

/* Kafka's defaults, as in its cleaner: what the topic says counts for what producers send. */
static int32_t level_of_codec(enum batch_codec codec)
{
    switch (codec) {
    case CODEC_GZIP: return -1;
    case CODEC_LZ4: return 9;
    case CODEC_ZSTD: return 3;
    case CODEC_NONE:
    case CODEC_SNAPPY: break;
    }
    return 0;
}

/* Most packed bytes take less room than what they hold; the rest a little more. */
static enum err add_compressed(enum batch_codec codec, const struct clean_bytes *records, struct clean_bytes *out)
{
    assert(codec != CODEC_NONE);
    size_t got = 0, room = records->bytes + PACK_ROOM_BYTES;
    enum err err = ERR_NO_SPACE;
    for (uint32_t tries = 0; tries < PACK_TRIES && err == ERR_NO_SPACE; tries++, room *= 2) {
        err = reserve_clean_bytes(out, room);
        if (!err)
            err = codec_compress(codec, level_of_codec(codec), records->at, records->bytes, records->heap,
                                 out->at + out->bytes, room, &got);
    }
    if (!err)
        out->bytes += got;
    return err == ERR_NO_SPACE ? ERR_CORRUPT : err;
}

/* The records that stay, packed by the batch's own codec. */
static enum err add_packed_records(const struct clean_filter *f, const struct batch *b, struct batch_cursor c,
                                   int64_t base, struct clean_bytes *out)
{
    assert(c.at && c.at <= c.end);
    enum batch_codec codec = b->attributes & BATCH_CODEC_MASK;
    if (codec == CODEC_NONE)
        return add_kept_records(f, b, c, base, out);
    struct clean_bytes records = {.heap = f->heap};
    enum err err = add_kept_records(f, b, c, base, &records);
    if (!err)
        err = add_compressed(codec, &records, out);
    clean_bytes_deinit(&records);
    return err;
}

/* delete.retention.ms may be as long as a number can say: such tombstones stay for ever. */
static int64_t horizon_from_now(const struct clean_filter *f)
{
    assert(f->now_ms >= 0 && f->delete_retention_ms >= 0);
    int64_t horizon;
    return __builtin_add_overflow(f->now_ms, f->delete_retention_ms, &horizon) ? INT64_MAX : horizon;
}

static enum err write_changed_batch(const struct clean_filter *f, const uint8_t *at, const struct batch *b,
                                    struct batch_cursor c, const struct verdict *v, bool set_horizon,
                                    struct clean_bytes *out)
{
    assert(v->kept > 0);
    assert(!set_horizon || f->now_ms >= 0);
    size_t from;
    int64_t base = set_horizon ? horizon_from_now(f) : b->base_timestamp;
    enum err err = begin_filtered_batch(out, at, &from);
    if (!err)
        err = add_packed_records(f, b, c, base, out);
    if (!err && out->bytes - from > INT32_MAX)
        err = ERR_CORRUPT;
    int32_t attributes = b->attributes | (set_horizon ? BATCH_DELETE_HORIZON : 0);
    if (!err)
        seal_filtered_batch(out, from, (int16_t)attributes, base, v->max_timestamp, v->kept);
    else
        out->bytes = from;
    return err;
}

/* Kafka's writeEmptyHeader: no codec, no horizon, the max timestamp stays. */
static enum err write_empty_batch(const uint8_t *at, const struct batch *b, struct clean_bytes *out)
{
    assert(b->bytes >= BATCH_HEADER_BYTES);
    size_t from;
    enum err err = begin_filtered_batch(out, at, &from);
    if (!err)
        seal_filtered_batch(out, from,
                            (int16_t)(b->attributes & (BATCH_LOG_APPEND_TIME | BATCH_TRANSACTIONAL | BATCH_CONTROL)),
                            -1, b->max_timestamp, 0);
    return err;
}

static enum err write_verdict(const struct clean_filter *f, const uint8_t *at, const struct batch *b,
                              struct batch_cursor c, bool last, const struct verdict *v, struct clean_bytes *out,
                              enum filter_fate *out_fate)
{
    assert(b->count >= 0);
    assert(v->kept <= (uint32_t)b->count);
    bool set_horizon = v->tombstones && !(b->attributes & BATCH_DELETE_HORIZON) && f->now_ms >= 0;
    if (v->kept > 0 && v->kept == (uint32_t)b->count && !set_horizon) {
        *out_fate = FILTER_KEPT;
        return add_clean_bytes(out, at, b->bytes);
    }
    if (v->kept > 0) {
        *out_fate = FILTER_CHANGED;
        return write_changed_batch(f, at, b, c, v, set_horizon, out);
    }
    if (!last && !(b->producer_id >= 0 && is_last_of_producer(f, b))) {
        *out_fate = FILTER_DROPPED;
        return ERR_NONE;
    }
    *out_fate = b->count ? FILTER_EMPTIED : FILTER_KEPT;
    return write_empty_batch(at, b, out);
}

enum err filter_batch(const struct clean_filter *f, const uint8_t *at, const struct batch *b, bool last,
                      struct clean_bytes *out, struct filter_result *result)
{
    assert(f->map && f->heap && f->txns);
    *result = (struct filter_result){.fate = FILTER_KEPT};
    uint8_t *unpacked = NULL;
    struct batch_cursor c = {NULL, NULL};
    struct verdict v;
    size_t before = out->bytes;
    enum err err = b->count ? codec_records(b, at, CODEC_OUTPUT_MAX, f->heap, &unpacked, &c) : ERR_NONE;
    if (!err)
        err = judge_batch(f, at, b, c, &v, &result->aborted);
    if (!err)
        err = write_verdict(f, at, b, c, last, &v, out, &result->fate);
    heap_free(f->heap, unpacked);
    if (err)
        return err;
    result->bytes = (uint32_t)(out->bytes - before);
    result->records_read = (uint32_t)b->count;
    result->records_kept = v.kept;
    result->max_timestamp = v.max_timestamp;
    return ERR_NONE;
}

/* --- the map --- */

static enum err map_records(struct dedupe *map, const struct batch *b, struct batch_cursor c, int64_t from,
                            bool *out_full)
{
    assert(map->end_offset >= 0);
    struct batch_record r;
    int64_t last_delta = -1;
    for (int32_t i = 0; i < b->count; i++) {
        if (!next_good_record(&c, b, &last_delta, &r))
            return ERR_CORRUPT;
        int64_t offset = b->base_offset + r.offset_delta;
        if (!r.key || offset < from)
            continue;
        if (!dedupe_put(map, r.key, (size_t)r.key_bytes, offset)) {
            *out_full = true;
            return ERR_NONE;
        }
    }
    dedupe_cover(map, batch_last_offset(b) + 1);
    return c.at == c.end ? ERR_NONE : ERR_CORRUPT;
}

enum err filter_map_batch(struct dedupe *map, struct clean_txns *txns, const uint8_t *at, const struct batch *b,
                          int64_t from, struct heap *heap, bool *out_full)
{
    uint8_t *unpacked = NULL;
    struct batch_cursor c = {NULL, NULL};
    bool none = batch_is_control(b);
    *out_full = false;
    enum err err = none ? ERR_NONE : clean_txns_batch(txns, b, &none);
    if (err || none) {
        if (!err)
            dedupe_cover(map, batch_last_offset(b) + 1);
        return err;
    }
    err = b->count ? codec_records(b, at, CODEC_OUTPUT_MAX, heap, &unpacked, &c) : ERR_NONE;
    if (!err)
        err = map_records(map, b, c, from, out_full);
    heap_free(heap, unpacked);
    return err;
}
