/* Record batches as a producer may send them, the codecs, records of __consumer_offsets and __transaction_state.
 *
 *   input:  what u8 | flags u8 | the bytes */
#include "core/crc.h"
#include "net/group/records.h"
#include "net/txn/txn_records.h"
#include "storage/log/batch.h"
#include "storage/log/codec.h"
#include "storage/log/repack.h"
#include "tests/fuzz/fuzz.h"
#include <isa-l/igzip_lib.h>
#include <lz4frame.h>
#include <snappy-c.h>
#include <zstd.h>

enum { BATCH_MAX = 8192, PACKED_MAX = 64 * 1024, UNPACKED_MAX = 1 << 20, NOW_MS = 1 << 30 };

static struct batch_limits draw_limits(struct feed *f)
{
    uint32_t bits = feed_byte(f);
    return (struct batch_limits){
        .max_message_bytes = bits & 1 ? 1000 : 1 << 20,
        .segment_bytes = 1 << 20,
        .now_ms = NOW_MS,
        .timestamp_before_max_ms = bits & 2 ? 1000 : INT64_MAX,
        .timestamp_after_max_ms = bits & 4 ? 1000 : INT64_MAX,
        .log_append_time = bits & 8,
        .compacted = bits & 16,
        .produce_version = bits & 32 ? 3 : 9,
    };
}

/* --- what was found good is good --- */

static void check_walk(const struct batch *b, struct batch_cursor records, const struct batch_limits *limits)
{
    struct batch_record r;
    int64_t max = -1;
    for (int32_t i = 0; i < b->count; i++) {
        FUZZ_CHECK(batch_next(&records, &r), "record %d of %d", i, b->count);
        FUZZ_CHECK(r.offset_delta == i, "record %d has delta %d", i, r.offset_delta);
        FUZZ_CHECK(!limits->compacted || r.key_bytes >= 0, "record %d has no key", i);
        FUZZ_CHECK(r.headers + r.headers_bytes <= records.end, "record %d", i);
        int64_t at = batch_record_timestamp(b, &r);
        max = at > max ? at : max;
    }
    FUZZ_CHECK(records.at == records.end, "%zu bytes behind the last record", (size_t)(records.end - records.at));
    if (!(b->attributes & BATCH_LOG_APPEND_TIME))
        FUZZ_CHECK(b->max_timestamp == max, "%lld is not %lld", (long long)b->max_timestamp, (long long)max);
}

static void check_faults(const struct batch_fault *fault, const uint8_t *at, uint32_t bytes)
{
    struct batch_faults w;
    const char *message;
    int32_t record, last = -1;
    uint32_t named = 0;
    bool first_known =
        false; /* a wrong timestamp is the batch's fault, wherever it stands: others may be named before it */
    batch_faults_init(&w, fault, at, bytes);
    while (batch_faults_next(&w, &record, &message)) {
        FUZZ_CHECK(record > last, "record %d after %d", record, last);
        FUZZ_CHECK(message && message[0], "record %d", record);
        first_known |= record == fault->record;
        last = record;
        named++;
    }
    FUZZ_CHECK(named <= BATCH_FAULTS_MAX, "%u", named);
    FUZZ_CHECK(fault->record < 0 || first_known || named == BATCH_FAULTS_MAX, "record %d is not named", fault->record);
}

/* Unpacked, judged, and packed with another codec: what goes into the log is a batch of the same records. */
static void check_repack(struct heap *heap, const uint8_t *at, const struct batch *b, const struct batch_limits *limits,
                         uint32_t how)
{
    struct repack r = {.at = at,
                       .batch = *b,
                       .limits = *limits,
                       .codec = (int8_t)(how % 6 - 1),
                       .level = 1,
                       .unpacked_max = UNPACKED_MAX,
                       .unpacked_room = UNPACKED_MAX};
    r.room_bytes = repack_room_bytes(&r);
    r.room = heap_alloc(heap, r.room_bytes + 1);
    repack_run(&r, heap);
    FUZZ_CHECK(r.error == KERR_NONE || r.fault.message, "refused with %d without a word", r.error);
    if (r.error)
        return;
    const uint8_t *out = r.packed ? r.room : at;
    struct batch made;
    struct batch_cursor records;
    uint8_t *unpacked;
    FUZZ_CHECK(batch_parse(out, r.batch.bytes, &made) && made.bytes == r.batch.bytes, "%u", r.batch.bytes);
    FUZZ_CHECK(made.count == b->count && made.last_offset_delta == b->last_offset_delta, "%d", made.count);
    FUZZ_CHECK(!r.packed || made.crc == batch_crc(out, made.bytes), "a bad CRC");
    FUZZ_CHECK(codec_records(&made, out, UNPACKED_MAX, heap, &unpacked, &records) == ERR_NONE, "what we packed");
    made.max_timestamp = r.batch.max_timestamp; /* the caller mends it */
    check_walk(&made, records, limits);
}

static void check_batch(struct feed *f, bool mended)
{
    const struct batch_limits limits = draw_limits(f);
    const uint8_t *given;
    size_t bytes = feed_take(f, BATCH_MAX, &given);
    uint8_t *at = malloc(bytes + 1); /* alone, so that the sanitizer sees its end */
    memcpy(at, given, bytes);
    struct batch b;
    struct batch_fault fault = {.record = -1};
    if (mended && batch_parse(at, bytes, &b) && b.bytes <= bytes)
        be32_put(at + 17, batch_crc(at, b.bytes));
    enum kerr code = batch_check(at, (uint32_t)bytes, &limits, &b, &fault);
    if (code == KERR_NONE) {
        FUZZ_CHECK(b.bytes <= bytes && b.bytes >= BATCH_HEADER_BYTES, "%u of %zu", b.bytes, bytes);
        FUZZ_CHECK(b.count > 0 && b.last_offset_delta == b.count - 1, "%d, %d", b.count, b.last_offset_delta);
        if ((b.attributes & BATCH_CODEC_MASK) == CODEC_NONE) {
            check_walk(&b, (struct batch_cursor){at + BATCH_HEADER_BYTES, at + b.bytes}, &limits);
        } else {
            struct heap *heap = heap_open();
            check_repack(heap, at, &b, &limits, feed_byte(f));
            heap_close(heap);
        }
    } else {
        FUZZ_CHECK(fault.message && fault.message[0], "refused with %d without a word", code);
        check_faults(&fault, at, (uint32_t)bytes);
    }
    free(at);
}

/* --- codecs --- */

static void check_unpacking(enum batch_codec codec, struct feed *f)
{
    const uint8_t *at;
    uint8_t *out = NULL;
    size_t n = feed_take(f, SIZE_MAX, &at), bytes = 0;
    struct heap *heap = heap_open();
    enum err err = codec_decompress(codec, at, n, UNPACKED_MAX, heap, &out, &bytes);
    FUZZ_CHECK(err == ERR_NONE || err == ERR_CORRUPT, "%d", err);
    FUZZ_CHECK(err || bytes <= UNPACKED_MAX, "%zu", bytes);
    uint32_t sum = 0;
    for (size_t i = 0; !err && i < bytes; i++)
        sum += out[i]; /* all of it is there */
    FUZZ_CHECK(err || sum <= bytes * 255, "%u", sum);
    heap_close(heap);
}

static size_t pack_gzip(const uint8_t *at, size_t n, uint8_t *out)
{
    struct isal_zstream *s = calloc(1, sizeof *s);
    isal_deflate_init(s);
    s->gzip_flag = IGZIP_GZIP;
    s->end_of_stream = 1;
    s->flush = NO_FLUSH;
    s->next_in = (uint8_t *)(uintptr_t)at;
    s->avail_in = (uint32_t)n;
    s->next_out = out;
    s->avail_out = PACKED_MAX;
    FUZZ_CHECK(isal_deflate(s) == COMP_OK, "deflate");
    size_t bytes = s->total_out;
    free(s);
    return bytes;
}

static size_t pack(enum batch_codec codec, const uint8_t *at, size_t n, uint8_t *out)
{
    size_t bytes = PACKED_MAX;
    switch (codec) {
    case CODEC_NONE: return 0;
    case CODEC_GZIP: return pack_gzip(at, n, out);
    case CODEC_SNAPPY:
        FUZZ_CHECK(snappy_compress((const char *)at, n, (char *)out, &bytes) == SNAPPY_OK, "snappy");
        return bytes;
    case CODEC_LZ4: return LZ4F_compressFrame(out, PACKED_MAX, at, n, NULL);
    case CODEC_ZSTD: return ZSTD_compress(out, PACKED_MAX, at, n, 1);
    }
    return 0;
}

static void check_our_packing(struct heap *heap, enum batch_codec codec, int32_t level, const uint8_t *at, size_t n)
{
    size_t room = n + n / 8 + 16 * 1024, bytes;
    uint8_t *packed = heap_alloc(heap, room), *out;
    FUZZ_CHECK(codec_compress(codec, level, at, n, heap, packed, room, &bytes) == ERR_NONE, "codec %d", codec);
    FUZZ_CHECK(bytes <= room, "codec %d", codec);
    FUZZ_CHECK(codec_decompress(codec, packed, bytes, UNPACKED_MAX, heap, &out, &bytes) == ERR_NONE, "codec %d", codec);
    FUZZ_CHECK(bytes == n && (n == 0 || memcmp(out, at, n) == 0), "codec %d: %zu of %zu", codec, bytes, n);
    if (n > 100)
        (void)!codec_compress(codec, level, at, n, heap, packed, n / 2, &bytes); /* whatever it says, it stays inside */
}

/* What a library packed is unpacked to the same bytes; cut anywhere, it is never taken for something longer. */
static void check_round(enum batch_codec codec, struct feed *f)
{
    static uint8_t packed[PACKED_MAX];
    const uint8_t *at;
    uint8_t *out;
    size_t bytes, cut = feed_word(f, 2), n = feed_take(f, SIZE_MAX, &at);
    size_t packed_bytes = pack(codec, at, n, packed);
    struct heap *heap = heap_open();
    FUZZ_CHECK(codec_decompress(codec, packed, packed_bytes, UNPACKED_MAX, heap, &out, &bytes) == ERR_NONE, "codec %d",
               codec);
    FUZZ_CHECK(bytes == n && (n == 0 || memcmp(out, at, n) == 0), "codec %d: %zu of %zu", codec, bytes, n);
    cut = packed_bytes ? cut % packed_bytes : 0;
    if (cut && codec_decompress(codec, packed, cut, UNPACKED_MAX, heap, &out, &bytes) == ERR_NONE)
        FUZZ_CHECK(bytes <= n && (bytes == 0 || memcmp(out, at, bytes) == 0), "codec %d cut at %zu", codec, cut);
    check_our_packing(heap, codec, (int32_t)cut % 9 + 1, at, n);
    heap_close(heap);
}

/* --- records of __consumer_offsets --- */

static void check_group_value(struct kview value)
{
    struct heap *heap = heap_open();
    size_t room = record_group_arena_bytes(value);
    uint8_t *memory = heap_alloc(heap, room);
    struct arena arena = arena_of(memory, room);
    struct group_metadata_value v, again;
    if (record_group_value(value, &arena, &v)) {
        uint32_t bytes = record_group_bytes(&v);
        uint8_t *out = heap_alloc(heap, bytes);
        record_group_encode(&v, out, bytes);
        struct kview written = {out, (int32_t)bytes};
        size_t more = record_group_arena_bytes(written);
        uint8_t *second = heap_alloc(heap, more);
        struct arena next = arena_of(second, more);
        FUZZ_CHECK(record_group_value(written, &next, &again), "what we wrote");
        FUZZ_CHECK(again.generation == v.generation && again.members.n == v.members.n, "what we wrote");
    } else {
        FUZZ_CHECK(!arena.refused_bytes, "a value of %d bytes needs more than %zu", value.n, room);
    }
    heap_close(heap);
}

static void check_group_record(struct feed *f)
{
    static uint8_t memory[PACKED_MAX];
    const uint8_t *key_at, *value_at;
    int32_t key_bytes = (int32_t)feed_byte(f) - 1;
    size_t key_n = feed_take(f, key_bytes > 0 ? (size_t)key_bytes : 0, &key_at);
    bool null_value = feed_byte(f) & 1;
    size_t value_n = feed_take(f, SIZE_MAX, &value_at);
    struct kview key = {key_at, key_bytes < 0 ? -1 : (int32_t)key_n};
    struct kview value = {value_at, null_value ? -1 : (int32_t)value_n};
    struct record r, again;
    if (record_read(key, value, &r) || r.kind == RECORD_UNKNOWN)
        return;
    if (r.kind == RECORD_GROUP && !r.tombstone)
        check_group_value(r.value);
    if (r.kind != RECORD_OFFSET || r.committed.metadata.n < 0)
        return;
    struct record_batch b;
    record_batch_begin(&b, memory, sizeof memory);
    bool put =
        r.tombstone ? record_put_offset_gone(&b, r.group, &r.committed) : record_put_offset(&b, r.group, &r.committed);
    FUZZ_CHECK(put, "%d bytes of group", r.group.n);
    uint32_t bytes = record_batch_end(&b, NOW_MS, NULL);
    struct batch_cursor c = {memory + BATCH_HEADER_BYTES, memory + bytes};
    struct batch_record written;
    FUZZ_CHECK(batch_next(&c, &written), "what we wrote");
    key = (struct kview){written.key, written.key_bytes};
    value = (struct kview){written.value, written.value_bytes};
    FUZZ_CHECK(!record_read(key, value, &again), "what we wrote");
    FUZZ_CHECK(again.kind == RECORD_OFFSET && again.tombstone == r.tombstone, "what we wrote");
    FUZZ_CHECK(kview_same(again.group, r.group) && kview_same(again.committed.topic, r.committed.topic), "its key");
    FUZZ_CHECK(r.tombstone || again.committed.offset == r.committed.offset, "its offset");
}

/* --- records of __transaction_state --- */

/* One partition after the other of both sets. */
static bool same_parts(const struct txn_parts *a, const struct txn_parts *b)
{
    struct txn_partition of_a, of_b;
    int32_t topic_a = 0, at_a = 0, topic_b = 0, at_b = 0;
    if (a->partitions != b->partitions)
        return false;
    while (txn_parts_next(a, &topic_a, &at_a, &of_a))
        if (!txn_parts_next(b, &topic_b, &at_b, &of_b) || txn_partition_compare(&of_a, &of_b) != 0)
            return false;
    return true;
}

static const char *read_txn_in(struct heap *heap, struct arena *arena, struct kview key, struct kview value,
                               struct txn_record *out)
{
    arena_init(arena, heap, TXN_RECORD_ROOM + (value.n > 0 ? (size_t)value.n * TXN_RECORD_ARENA : 0));
    const char *why = txn_record_read(key, value, arena, out);
    FUZZ_CHECK(!why || why[0], "refused without a word");
    FUZZ_CHECK(!arena->refused_bytes, "a value of %d bytes needs more than its arena", value.n);
    return why;
}

/* Written at that level and read again: the same, but for what older versions lack. */
static void check_txn_again(struct heap *heap, const struct txn_record *r, const struct txn_parts *parts, int16_t level)
{
    static uint8_t memory[PACKED_MAX];
    struct kview value = txn_record_encode(&r->values, parts, level, heap);
    struct record_batch b;
    record_batch_begin(&b, memory, sizeof memory);
    FUZZ_CHECK(value.n >= 0, "no memory");
    FUZZ_CHECK(txn_record_bytes(r->id, value) < sizeof memory - BATCH_HEADER_BYTES, "%d bytes", value.n);
    FUZZ_CHECK(txn_record_put(&b, r->id, value), "%d bytes of id", r->id.n);
    uint32_t bytes = record_batch_end(&b, NOW_MS, NULL);
    FUZZ_CHECK(bytes <= BATCH_HEADER_BYTES + txn_record_bytes(r->id, value), "%u", bytes);
    struct batch_cursor c = {memory + BATCH_HEADER_BYTES, memory + bytes};
    struct batch_record written;
    struct txn_record again;
    struct txn_parts parts_again;
    struct arena arena;
    FUZZ_CHECK(batch_next(&c, &written), "what we wrote");
    FUZZ_CHECK(!read_txn_in(heap, &arena, (struct kview){written.key, written.key_bytes},
                            (struct kview){written.value, written.value_bytes}, &again),
               "what we wrote");
    txn_parts_init(&parts_again, heap);
    FUZZ_CHECK(again.known && kview_same(again.id, r->id), "its key");
    FUZZ_CHECK(again.values.state == r->values.state && again.values.producer_id == r->values.producer_id &&
                   again.values.producer_epoch == r->values.producer_epoch &&
                   again.values.start_ms == r->values.start_ms,
               "its value");
    FUZZ_CHECK(txn_record_parts(&again, &parts_again) == ERR_NONE, "no memory");
    FUZZ_CHECK(r->values.state == TXN_EMPTY || same_parts(parts, &parts_again), "its partitions");
    txn_parts_deinit(&parts_again);
}

static void check_txn_record(struct feed *f)
{
    const uint8_t *id_at, *value_at;
    uint8_t head[2 + 2 + 255], bits = feed_byte(f), id_bytes = feed_byte(f);
    size_t id_n = feed_take(f, id_bytes, &id_at);
    be16_put(head, bits & 1 ? feed_byte(f) : 0); /* the key's version */
    be16_put(head + 2, (uint16_t)id_n);
    memcpy(head + 4, id_at, id_n);
    size_t value_n = feed_take(f, SIZE_MAX, &value_at);
    struct kview key = {head, (int32_t)(bits & 2 ? 4 + id_n / 2 : 4 + id_n)};
    struct kview value = {value_at, bits & 4 ? -1 : (int32_t)value_n};
    struct heap *heap = heap_open();
    struct txn_record r;
    struct arena arena;
    if (!read_txn_in(heap, &arena, key, value, &r) && r.known && !r.tombstone) {
        struct txn_parts parts;
        txn_parts_init(&parts, heap);
        FUZZ_CHECK(txn_record_parts(&r, &parts) == ERR_NONE, "no memory");
        txn_parts_check(&parts);
        check_txn_again(heap, &r, &parts, bits >> 3 & 1 ? 0 : 2);
        txn_parts_deinit(&parts);
    }
    heap_close(heap);
}

/* --- varints and records --- */

static void check_records(struct feed *f)
{
    const uint8_t *at;
    size_t n = feed_take(f, SIZE_MAX, &at);
    struct batch_cursor c = {at, at + n};
    struct batch_record r;
    while (c.at < c.end) {
        const uint8_t *before = c.at;
        if (!batch_next(&c, &r))
            break;
        FUZZ_CHECK(c.at > before && c.at <= c.end, "the cursor went from %p to %p", (const void *)before,
                   (const void *)c.at);
        FUZZ_CHECK(r.key_bytes < 0 || (r.key >= before && r.key + r.key_bytes <= c.at), "a key outside");
        FUZZ_CHECK(r.value_bytes < 0 || (r.value >= before && r.value + r.value_bytes <= c.at), "a value outside");
    }
}

void fuzz_batches(const uint8_t *at, size_t bytes)
{
    enum { TXN_RECORDS = 240 }; /* of first bytes: they came later, and older inputs mean what they meant */
    struct feed f = {at, at + bytes};
    uint8_t first = feed_byte(&f);
    uint32_t what = first % 12;
    if (first >= TXN_RECORDS)
        check_txn_record(&f);
    else if (what < 4)
        check_unpacking((enum batch_codec)(what + 1), &f);
    else if (what < 8)
        check_round((enum batch_codec)(what - 3), &f);
    else if (what == 8)
        check_group_record(&f);
    else if (what == 9)
        check_records(&f);
    else
        check_batch(&f, what == 11);
}
