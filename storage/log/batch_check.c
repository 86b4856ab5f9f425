/* What a producer may send, in the order of Kafka's checks:
 *   ByteBufferLogInputStream   does the frame hold a whole batch, and no other behind it
 *   ProduceRequest             magic, zstd
 *   UnifiedLog                 base offset, size (here the CRC), codec
 *   LogValidator               offsets and count, control, sequence, then each record
 *   UnifiedLog                 segment size, transaction state
 * The caller checks the CRC of good batches while it copies them. A batch that is refused by a check behind the CRC's place
 * gets it checked here: a flipped bit must be answered with CORRUPT_MESSAGE, which a client retries. */
#include "storage/log/batch.h"

enum { LENGTH_MIN_KAFKA = 14, MAGIC_END = 17 };

static enum kerr fail_batch(struct batch_fault *f, enum kerr code, int32_t record, const char *message)
{
    assert(code != KERR_NONE && message);
    assert(record >= -1);
    f->record = record;
    f->message = message;
    return code;
}

static enum kerr check_batch_frame(const uint8_t *at, uint32_t bytes, struct batch *b, struct batch_fault *f)
{
    assert(at || bytes == 0);
    static const char none[] = "there must be exactly one record batch per partition, but there is none";
    if (bytes < BATCH_PREFIX_BYTES)
        return fail_batch(f, KERR_INVALID_RECORD, -1, none);
    int32_t length = (int32_t)be32_get(at + 8);
    if (length < LENGTH_MIN_KAFKA)
        return fail_batch(f, KERR_CORRUPT_MESSAGE, -1, "the batch is shorter than its header");
    if (bytes < MAGIC_END)
        return fail_batch(f, KERR_INVALID_RECORD, -1, none);
    if (at[16] > 2)
        return fail_batch(f, KERR_CORRUPT_MESSAGE, -1, "the magic byte is none that exists");
    if ((uint32_t)length > bytes - BATCH_PREFIX_BYTES)
        return fail_batch(f, KERR_INVALID_RECORD, -1, none);
    if (at[16] != 2)
        return fail_batch(f, KERR_INVALID_RECORD, -1, "only record batches with magic 2 are allowed");
    if (!batch_parse(at, bytes, b))
        return fail_batch(f, KERR_CORRUPT_MESSAGE, -1, "the batch is shorter than its header");
    return KERR_NONE;
}

/* What stands behind the batch. Kafka's reader sees another batch only where a whole one lies; fewer bytes are left out. */
static enum kerr check_behind_batch(const uint8_t *at, uint32_t bytes, struct batch_fault *f)
{
    if (bytes < BATCH_PREFIX_BYTES)
        return KERR_NONE;
    int32_t length = (int32_t)be32_get(at + 8);
    if (length < LENGTH_MIN_KAFKA)
        return fail_batch(f, KERR_CORRUPT_MESSAGE, -1, "what stands behind the batch is shorter than any header");
    if (bytes < MAGIC_END)
        return KERR_NONE;
    if (at[16] > 2)
        return fail_batch(f, KERR_CORRUPT_MESSAGE, -1, "the magic byte behind the batch is none that exists");
    if ((uint32_t)length > bytes - BATCH_PREFIX_BYTES)
        return KERR_NONE;
    return fail_batch(f, KERR_INVALID_RECORD, -1, "there must be exactly one record batch per partition");
}

static enum kerr check_before_crc(const uint8_t *at, uint32_t bytes, const struct batch_limits *limits,
                                  const struct batch *b, struct batch_fault *f)
{
    assert(b->bytes <= bytes);
    if (limits->produce_version < 7 && (b->attributes & BATCH_CODEC_MASK) == CODEC_ZSTD)
        return fail_batch(f, KERR_UNSUPPORTED_COMPRESSION_TYPE, -1, "zstd needs Produce version 7");
    enum kerr behind = check_behind_batch(at + b->bytes, bytes - b->bytes, f);
    if (behind)
        return behind;
    if (b->base_offset != 0)
        return fail_batch(f, KERR_INVALID_RECORD, -1, "the base offset of the record batch must be 0");
    if (b->bytes > limits->max_message_bytes)
        return fail_batch(f, KERR_MESSAGE_TOO_LARGE, -1, "the record batch is larger than max.message.bytes");
    return KERR_NONE;
}

static enum kerr check_batch_header(const struct batch *b, const struct batch_limits *limits, struct batch_fault *f)
{
    assert(b->magic == 2);
    if ((b->attributes & BATCH_CODEC_MASK) > CODEC_ZSTD)
        return fail_batch(f, KERR_UNSUPPORTED_COMPRESSION_TYPE, -1, "there is no such compression codec");
    if (b->last_offset_delta < 0)
        return fail_batch(f, KERR_INVALID_RECORD, -1, "the offset range of the record batch is invalid");
    if (b->count <= 0)
        return fail_batch(f, KERR_INVALID_RECORD, -1, "the record count of the batch is invalid");
    if (b->last_offset_delta != b->count - 1)
        return fail_batch(f, KERR_INVALID_RECORD, -1, "the offset range and the record count of the batch differ");
    if (b->attributes & BATCH_CONTROL)
        return fail_batch(f, KERR_INVALID_RECORD, -1, "clients are not allowed to write control records");
    if (b->producer_id >= 0 && b->base_sequence < 0 && !limits->no_sequence)
        return fail_batch(f, KERR_INVALID_RECORD, -1, "an idempotent batch has a negative sequence number");
    return KERR_NONE;
}

/* Timestamps come from the wire: sums and differences wrap, as Java's do. */
static int64_t add_wrapping(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}
static bool timestamp_is_outside(int64_t timestamp, const struct batch_limits *limits)
{
    int64_t age = add_wrapping(limits->now_ms, (int64_t)(0 - (uint64_t)timestamp));
    return age > limits->timestamp_before_max_ms || (int64_t)(0 - (uint64_t)age) > limits->timestamp_after_max_ms;
}

static bool timestamp_is_refused(int64_t timestamp, const struct batch_limits *limits)
{
    return !limits->log_append_time && timestamp != -1 && timestamp_is_outside(timestamp, limits);
}

/* Kafka's: a batch that says LogAppendTime gives each record its own largest timestamp, and a CreateTime topic takes that. */
static bool timestamp_type_is_wrong(int16_t attributes, int64_t timestamp, const struct batch_limits *limits)
{
    return attributes & BATCH_LOG_APPEND_TIME && (limits->log_append_time || timestamp == -1);
}

static enum kerr check_record_timestamp(int16_t attributes, int64_t timestamp, int32_t record,
                                        const struct batch_limits *limits, struct batch_fault *f)
{
    assert(record >= -1);
    if (timestamp_type_is_wrong(attributes, timestamp, limits))
        return fail_batch(f, KERR_INVALID_TIMESTAMP, record,
                          "a producer must not set the timestamp type to LogAppendTime");
    if (!limits->append_time_outside && timestamp_is_refused(timestamp, limits))
        return fail_batch(f, KERR_INVALID_TIMESTAMP, record,
                          "the timestamp is outside message.timestamp.before.max.ms or message.timestamp.after.max.ms");
    return KERR_NONE;
}

static int64_t record_timestamp(const struct batch *b, const struct batch_record *r)
{
    return b->attributes & BATCH_LOG_APPEND_TIME ? b->max_timestamp : batch_record_timestamp(b, r);
}

/* What is looked for while walking; the loop only gathers, so that it stays short. */
struct walked {
    int64_t timestamp_min, timestamp_max;
    bool good, null_key;
};
static struct walked walk_batch_records(struct batch_cursor c, const struct batch *b)
{
    assert(c.at <= c.end);
    struct walked w = {.timestamp_min = INT64_MAX, .timestamp_max = -1};
    struct batch_record r;
    for (int32_t i = 0; i < b->count; i++) {
        if (unlikely(!batch_next(&c, &r) || r.offset_delta != i))
            return w;
        int64_t timestamp = record_timestamp(b, &r);
        w.timestamp_min = timestamp < w.timestamp_min ? timestamp : w.timestamp_min;
        w.timestamp_max = timestamp > w.timestamp_max ? timestamp : w.timestamp_max;
        w.null_key |= !r.key;
    }
    w.good = c.at == c.end;
    return w;
}

static enum kerr check_one_record(const struct batch *b, const struct batch_record *r, int32_t i,
                                  const struct batch_limits *limits, struct batch_fault *f)
{
    assert(i >= 0);
    if (limits->compacted && !r->key)
        return fail_batch(f, KERR_INVALID_RECORD, i, "a compacted topic cannot accept a message without key");
    return check_record_timestamp(b->attributes, record_timestamp(b, r), i, limits, f);
}

/* The slow way, to name the first record that is at fault, or to see that none is. One with a wrong timestamp gives the batch its error, wherever it
 * stands: Kafka's order. */
static enum kerr find_record_fault(struct batch_cursor c, const struct batch_limits *limits, struct batch *b,
                                   struct batch_fault *f)
{
    assert(b->count > 0);
    struct batch_record r;
    struct batch_fault one;
    enum kerr found = KERR_NONE;
    for (int32_t i = 0; i < b->count && found != KERR_INVALID_TIMESTAMP && batch_next(&c, &r); i++) {
        b->append_time |= limits->append_time_outside && timestamp_is_refused(record_timestamp(b, &r), limits);
        enum kerr code = check_one_record(b, &r, i, limits, &one);
        if (code && (!found || code == KERR_INVALID_TIMESTAMP))
            found = fail_batch(f, code, i, one.message);
    }
    return found;
}

enum kerr batch_check_records(struct batch_cursor records, const struct batch_limits *limits, struct batch *b,
                              struct batch_fault *f)
{
    assert(b->count > 0);
    struct walked w = walk_batch_records(records, b);
    if (!w.good)
        return fail_batch(f, KERR_INVALID_RECORD, -1, "the records of the batch do not fit its header");
    /* Between the ends every timestamp is as good as they are, unless -1 (none) lies there: then each must be looked at. */
    bool suspect = (w.null_key && limits->compacted) || (b->attributes & BATCH_LOG_APPEND_TIME) ||
                   (!limits->log_append_time &&
                    (timestamp_is_outside(w.timestamp_min, limits) || timestamp_is_outside(w.timestamp_max, limits)));
    if (unlikely(suspect)) {
        enum kerr code = find_record_fault(records, limits, b, f);
        if (code)
            return code;
    }
    b->max_timestamp = w.timestamp_max;
    return KERR_NONE;
}

/* Compressed: by header alone. */
static enum kerr check_compressed_batch(const struct batch_limits *limits, const struct batch *b, struct batch_fault *f)
{
    assert(b->attributes & BATCH_CODEC_MASK);
    if (timestamp_type_is_wrong(b->attributes, b->max_timestamp, limits)) /* of each record, unseen */
        return check_record_timestamp(b->attributes, b->max_timestamp, 0, limits, f);
    if (batch_needs_records(b, limits->unpack_codecs))
        return KERR_NONE;
    enum kerr code = b->attributes & BATCH_LOG_APPEND_TIME
                         ? KERR_NONE
                         : check_record_timestamp(b->attributes, b->base_timestamp, -1, limits, f);
    return code ? code : check_record_timestamp(b->attributes, b->max_timestamp, -1, limits, f);
}

/* --- all records at fault --- */

void batch_faults_init(struct batch_faults *w, const struct batch_fault *fault, const uint8_t *at, uint32_t bytes)
{
    *w = (struct batch_faults){.fault = fault};
    if (fault->record < 0 || fault->listed || !batch_parse(at, bytes, &w->batch) || w->batch.bytes > bytes)
        w->batch.count = 0;
    else
        w->records = (struct batch_cursor){at + BATCH_HEADER_BYTES, at + w->batch.bytes};
}

void batch_faults_unpacked(struct batch_faults *w, const struct batch_fault *fault, const struct batch *b,
                           struct batch_cursor records)
{
    assert(fault->record < b->count);
    *w = (struct batch_faults){.fault = fault, .batch = *b, .records = records};
    w->batch.attributes &= ~BATCH_CODEC_MASK;
}

static bool next_listed_fault(struct batch_faults *w, int32_t *out_record, const char **out_message)
{
    assert(w->fault->listed_count <= BATCH_FAULTS_MAX);
    if ((uint32_t)w->next >= w->fault->listed_count)
        return false;
    const struct batch_record_fault *one = &w->fault->listed[w->next++];
    *out_record = one->record;
    *out_message = one->message;
    return true;
}

/* Compressed records are not unpacked for this: either each is at fault, or the first is named. */
static bool next_compressed_fault(struct batch_faults *w, int32_t *out_record)
{
    assert(w->next < w->batch.count);
    const struct batch_fault *f = w->fault;
    bool each = timestamp_type_is_wrong(w->batch.attributes, w->batch.max_timestamp, &f->limits);
    int32_t record = each ? w->next : f->record;
    if (record < w->next)
        return false;
    w->next = record + 1;
    *out_record = record;
    return true;
}

static bool next_walked_fault(struct batch_faults *w, int32_t *out_record, const char **out_message)
{
    assert(w->records.at <= w->records.end);
    struct batch_record r;
    struct batch_fault one;
    while (w->next < w->batch.count && batch_next(&w->records, &r)) {
        int32_t record = w->next++;
        if (check_one_record(&w->batch, &r, record, &w->fault->limits, &one)) {
            *out_record = record;
            *out_message = one.message;
            return true;
        }
    }
    return false;
}

bool batch_faults_next(struct batch_faults *w, int32_t *out_record, const char **out_message)
{
    assert(w->named <= BATCH_FAULTS_MAX);
    if (w->fault->listed)
        return next_listed_fault(w, out_record, out_message);
    if (w->next >= w->batch.count || w->named == BATCH_FAULTS_MAX)
        return false;
    w->named++;
    *out_message = w->fault->message;
    return w->batch.attributes & BATCH_CODEC_MASK ? next_compressed_fault(w, out_record)
                                                  : next_walked_fault(w, out_record, out_message);
}

static enum kerr check_behind_crc(const uint8_t *at, const struct batch_limits *limits, struct batch *b,
                                  struct batch_fault *f)
{
    assert(b->bytes >= BATCH_HEADER_BYTES);
    enum kerr code = check_batch_header(b, limits, f);
    if (code)
        return code;
    code = b->attributes & BATCH_CODEC_MASK
               ? check_compressed_batch(limits, b, f)
               : batch_check_records((struct batch_cursor){at + BATCH_HEADER_BYTES, at + b->bytes}, limits, b, f);
    if (code)
        return code;
    if (b->bytes > limits->segment_bytes && !batch_needs_records(b, limits->unpack_codecs)) /* its size may change */
        return fail_batch(f, KERR_RECORD_LIST_TOO_LARGE, -1, "the record batch is larger than segment.bytes");
    if (batch_is_transactional(b) && b->producer_id < 0)
        return fail_batch(f, KERR_INVALID_TXN_STATE, -1, "a transactional batch needs a producer id");
    return KERR_NONE;
}

enum kerr batch_check(const uint8_t *at, uint32_t bytes, const struct batch_limits *limits, struct batch *out_batch,
                      struct batch_fault *out_fault)
{
    assert(limits->segment_bytes > 0);
    *out_fault = (struct batch_fault){.record = -1, .limits = *limits};
    enum kerr code = check_batch_frame(at, bytes, out_batch, out_fault);
    if (!code)
        code = check_before_crc(at, bytes, limits, out_batch, out_fault);
    if (code)
        return code;
    code = check_behind_crc(at, limits, out_batch, out_fault);
    if (code && batch_crc(at, out_batch->bytes) != out_batch->crc)
        return fail_batch(out_fault, KERR_CORRUPT_MESSAGE, -1, "the CRC of the record batch does not match");
    return code;
}
