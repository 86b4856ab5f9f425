/* One batch, step by step (repack.h). Records that are as Kafka would write them anew are packed as they lie; the others, those of a
 * batch whose base timestamp is not its first record's, are written anew before. */
#include "storage/log/repack.h"
#include "storage/log/codec.h"
#include "storage/log/codec_output.h"
#include <string.h>

enum {
    ROOM_SLACK_BYTES = 4096, /* packers want more than the result takes */
    ROOM_SHARE = 16,         /* what does not pack grows by less */
    SLOW_LEVEL = 10,         /* of lz4 and zstd: from here on they pack less than some 20 MB/s */
    VARINT_BYTES_MAX = 10,
    RECORD_GROWTH_MAX = 32, /* a longer delta, a longer length, and the room before the body is moved up */
};

bool repack_is_slow(const struct repack *r)
{
    return repack_packs(r) && (r->codec == CODEC_ZSTD || r->codec == CODEC_LZ4) && r->level >= SLOW_LEVEL;
}

/* As much as may be taken; of uncompressed records, as much as they can become. */
size_t repack_room_bytes(const struct repack *r)
{
    assert(r->batch.count > 0);
    const struct batch *b = &r->batch;
    size_t faults = u64_min((uint64_t)b->count, BATCH_FAULTS_MAX) * sizeof(struct batch_record_fault);
    size_t whole = (size_t)u64_min(r->limits.max_message_bytes, r->unpacked_max) + ROOM_SLACK_BYTES;
    if ((b->attributes & BATCH_CODEC_MASK) == CODEC_NONE)
        whole = u64_min(whole, (size_t)b->bytes + b->bytes / ROOM_SHARE + ROOM_SLACK_BYTES);
    return align_up(repack_packs(r) ? u64_max(whole, faults) : faults, 8);
}

static void fail_repack(struct repack *r, enum kerr error, const char *message)
{
    assert(error != KERR_NONE);
    r->error = error;
    r->fault = (struct batch_fault){.record = -1, .message = message, .limits = r->limits};
}

/* --- what is at fault --- */

/* The list takes the place of the new batch: there will be none. */
static void list_repack_faults(struct repack *r, struct batch_cursor records)
{
    assert(r->fault.record >= 0 && !r->fault.listed);
    struct batch_record_fault *list = (struct batch_record_fault *)(void *)r->room;
    size_t cap = u64_min(r->room_bytes / sizeof *list, BATCH_FAULTS_MAX);
    struct batch_faults walk;
    uint32_t count = 0;
    batch_faults_unpacked(&walk, &r->fault, &r->batch, records);
    while (count < cap && batch_faults_next(&walk, &list[count].record, &list[count].message))
        count++;
    r->fault.listed = list;
    r->fault.listed_count = count;
}

/* --- records anew --- */

static uint8_t *put_varint(uint8_t *at, int64_t v)
{
    uint64_t z = ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
    for (; z >= 0x80; z >>= 7)
        *at++ = (uint8_t)(z | 0x80);
    *at++ = (uint8_t)z;
    return at;
}

static uint8_t *put_sized(uint8_t *at, const uint8_t *from, int32_t bytes)
{
    at = put_varint(at, from ? bytes : -1);
    if (from && bytes > 0)
        memcpy(at, from, (size_t)bytes);
    return from ? at + bytes : at;
}

/* Its time in what is made: a batch that says LogAppendTime gives each of its records its own. */
static int64_t time_of_record(const struct batch *b, const struct batch_record *r)
{
    return b->attributes & BATCH_LOG_APPEND_TIME ? b->max_timestamp : batch_record_timestamp(b, r);
}

/* The body is written behind the longest length there is, then moved up to its own. */
static uint8_t *put_record(uint8_t *at, const struct batch_record *r, int64_t timestamp_delta)
{
    uint8_t length[VARINT_BYTES_MAX], *from = at + VARINT_BYTES_MAX, *body = from;
    *body++ = 0;
    body = put_varint(body, timestamp_delta);
    body = put_varint(body, r->offset_delta);
    body = put_sized(body, r->key, r->key_bytes);
    body = put_sized(body, r->value, r->value_bytes);
    memcpy(body, r->headers, (size_t)r->headers_bytes);
    size_t bytes = (size_t)(body + r->headers_bytes - from),
           head = (size_t)(put_varint(length, (int64_t)bytes) - length);
    memcpy(at, length, head);
    memmove(at + head, from, bytes);
    return at + head + bytes;
}

/* Writes them with `base` as their base timestamp, into memory of `heap`, the caller's to free. */
static enum err rebase_records(const struct repack *r, int64_t base, struct heap *heap, struct batch_cursor *records,
                               uint8_t **out)
{
    const struct batch *b = &r->batch;
    struct output o = {.heap = heap, .max = r->unpacked_room, .over = ERR_NO_SPACE};
    enum err err = ERR_NONE;
    for (int32_t i = 0; i < b->count && !err; i++) {
        const uint8_t *from = records->at;
        struct batch_record one;
        bool there = batch_next(records, &one);
        assert(there);
        err = output_grow(&o, (size_t)(records->at - from) + RECORD_GROWTH_MAX);
        if (!err)
            o.bytes = (size_t)(put_record(o.at + o.bytes, &one,
                                          (int64_t)((uint64_t)time_of_record(b, &one) - (uint64_t)base)) -
                               o.at);
    }
    *records = (struct batch_cursor){o.at, o.at + o.bytes};
    *out = o.at;
    return err;
}

/* --- the new batch --- */

static void put_repacked_header(struct repack *r, int64_t base_timestamp, uint32_t bytes)
{
    assert(bytes >= BATCH_HEADER_BYTES);
    uint16_t attributes = (uint16_t)((r->batch.attributes & BATCH_TRANSACTIONAL) | r->codec);
    memcpy(r->room, r->at, BATCH_HEADER_BYTES);
    be32_put(r->room + 8, bytes - BATCH_PREFIX_BYTES);
    be16_put(r->room + 21, attributes);
    be64_put(r->room + 27, (uint64_t)base_timestamp);
    be64_put(r->room + 35, (uint64_t)r->batch.max_timestamp);
    be32_put(r->room + 17, batch_crc(r->room, bytes));
    bool append_time = r->batch.append_time, whole = batch_parse(r->room, bytes, &r->batch);
    assert(whole);
    r->batch.append_time = append_time;
    r->packed = true;
}

static void judge_size(struct repack *r, size_t bytes)
{
    if (bytes > r->limits.max_message_bytes)
        fail_repack(r, KERR_MESSAGE_TOO_LARGE,
                    "the record batch is larger than max.message.bytes in the codec of the topic");
    else if (bytes > r->limits.segment_bytes)
        fail_repack(r, KERR_RECORD_LIST_TOO_LARGE, "the record batch is larger than segment.bytes");
}

static void pack_records(struct repack *r, struct batch_cursor records, struct heap *heap)
{
    assert(r->batch.count > 0 && !r->packed);
    struct batch_cursor first = records;
    struct batch_record one;
    bool there = batch_next(&first, &one);
    assert(there);
    int64_t base = time_of_record(&r->batch, &one);
    uint8_t *anew = NULL;
    enum err err = ERR_NONE;
    if (base != r->batch.base_timestamp || r->batch.attributes & BATCH_LOG_APPEND_TIME)
        err = rebase_records(r, base, heap, &records, &anew);
    if (err == ERR_NO_SPACE && r->unpacked_room < r->unpacked_max) {
        r->wants_more = true;
        heap_free(heap, anew);
        return;
    }
    size_t packed = 0;
    if (!err)
        err = codec_compress((enum batch_codec)r->codec, r->level, records.at, (size_t)(records.end - records.at), heap,
                             r->room + BATCH_HEADER_BYTES, r->room_bytes - BATCH_HEADER_BYTES, &packed);
    heap_free(heap, anew);
    if (err == ERR_NO_SPACE)
        packed = r->limits.max_message_bytes;
    else if (err)
        fail_repack(r, KERR_KAFKA_STORAGE_ERROR, NULL);
    if (!r->error)
        judge_size(r, BATCH_HEADER_BYTES + packed);
    if (!r->error)
        put_repacked_header(r, base, (uint32_t)(BATCH_HEADER_BYTES + packed));
}

/* --- all of it --- */

/* Uncompressed records were judged when the batch came. */
static void judge_records(struct repack *r, struct batch_cursor records)
{
    if ((r->batch.attributes & BATCH_CODEC_MASK) == CODEC_NONE)
        return;
    r->fault = (struct batch_fault){.record = -1, .limits = r->limits};
    r->error = batch_check_records(records, &r->limits, &r->batch, &r->fault);
    if (r->error && r->fault.record >= 0)
        list_repack_faults(r, records);
}

void repack_run(struct repack *r, struct heap *heap)
{
    assert(r->room_bytes >= repack_room_bytes(r));
    assert(r->unpacked_room > 0 && r->unpacked_room <= r->unpacked_max);
    r->wants_more = false;
    uint8_t *unpacked = NULL;
    struct batch_cursor records;
    if (batch_crc(r->at, r->batch.bytes) != r->batch.crc) {
        fail_repack(r, KERR_CORRUPT_MESSAGE, "the CRC of the record batch does not match");
        return;
    }
    enum err err = codec_records(&r->batch, r->at, u64_max(r->unpacked_room, OUTPUT_STEP), heap, &unpacked, &records);
    r->unpacked_bytes = err ? 0 : (size_t)(records.end - records.at);
    if (!err && unpacked && r->unpacked_bytes > r->unpacked_max)
        err = ERR_CORRUPT;
    if (err) {
        heap_free(heap, unpacked);
        bool short_of_memory = err == ERR_NO_MEMORY;
        r->wants_more = !short_of_memory && r->unpacked_room < r->unpacked_max;
        if (r->wants_more)
            return;
        fail_repack(r, short_of_memory ? KERR_KAFKA_STORAGE_ERROR : KERR_INVALID_RECORD,
                    short_of_memory ? NULL
                                    : "the compressed records cannot be unpacked, or are larger than is allowed");
        return;
    }
    judge_records(r, records);
    if (!r->error && repack_packs(r))
        pack_records(r, records, heap);
    else if (!r->error)
        judge_size(r, r->batch.bytes);
    heap_free(heap, unpacked);
}
