/* Record batch v2, Kafka's unit of everything: produced, stored, fetched. Layout (big-endian; the CRC covers from 21 on):
 *
 *    0 base_offset 8 | 8 length 4 | 12 leader_epoch 4 | 16 magic 1 | 17 crc 4 | 21 attributes 2 | 23 last_offset_delta 4
 *   27 base_timestamp 8 | 35 max_timestamp 8 | 43 producer_id 8 | 51 producer_epoch 2 | 53 base_sequence 4 | 57 count 4 | 61 records
 *
 * `length` counts what follows it: the whole batch is length + 12 bytes. Attributes: bits 0-2 codec, 3 timestamp type
 * (1: LogAppendTime), 4 transactional, 5 control, 6 delete horizon. */
#pragma once
#include "core/bytes.h"
#include "core/err.h"
#include "storage/kerr.h"

enum {
    BATCH_HEADER_BYTES = 61,
    BATCH_PREFIX_BYTES = 12, /* base_offset and length */
    BATCH_CRC_FROM = 21,
    BATCH_CODEC_MASK = 7,
    BATCH_LOG_APPEND_TIME = 1 << 3,
    BATCH_TRANSACTIONAL = 1 << 4,
    BATCH_CONTROL = 1 << 5,
    BATCH_DELETE_HORIZON = 1 << 6,
};
enum batch_codec { CODEC_NONE, CODEC_GZIP, CODEC_SNAPPY, CODEC_LZ4, CODEC_ZSTD };

struct batch {
    int64_t base_offset, base_timestamp, max_timestamp, producer_id;
    uint32_t bytes; /* of the whole batch */
    int32_t leader_epoch, last_offset_delta, base_sequence, count;
    uint32_t crc;
    int16_t attributes, producer_epoch;
    int8_t magic;
    bool append_time; /* by batch_check: it becomes LogAppendTime, since a record's own time is out of bounds */
};
static inline bool batch_is_transactional(const struct batch *b)
{
    return b->attributes & BATCH_TRANSACTIONAL;
}
static inline bool batch_is_control(const struct batch *b)
{
    return b->attributes & BATCH_CONTROL;
}

/* Reads the header. False: fewer than 61 bytes, magic not 2, or a length that cannot be (below 49 or above 2^31-13).
 * `bytes` may exceed what was given: the caller compares. */
bool batch_parse(const uint8_t *at, size_t bytes, struct batch *out_batch) must_use;
/* The CRC-32C of attributes to end; `at` holds the whole batch. */
uint32_t batch_crc(const uint8_t *at, uint32_t bytes);
static inline int64_t batch_last_offset(const struct batch *b)
{
    return b->base_offset + b->last_offset_delta;
}
/* Of its records: a batch that compaction emptied has kept its max_timestamp. */
static inline int64_t batch_newest_timestamp(const struct batch *b)
{
    return b->count > 0 ? b->max_timestamp : -1;
}
static inline int32_t batch_last_sequence(const struct batch *b)
{ /* wraps at INT32_MAX, as Kafka's; -1: it has none (coordinators write such, and markers) */
    return b->base_sequence < 0 ? -1
           : b->base_sequence > INT32_MAX - b->last_offset_delta
               ? b->last_offset_delta - (INT32_MAX - b->base_sequence) - 1
               : b->base_sequence + b->last_offset_delta;
}

/* What a producer sent for one partition, checked in Kafka's order (ProduceRequest.validateRecords,
 * UnifiedLog.analyzeAndValidateRecords, LogValidator), all but the sequence, and the CRC of a batch that is good otherwise: the
 * caller checks that while copying (one that is refused behind the CRC's place in Kafka's order had it checked here).
 * Stricter than Kafka: offset deltas count 0, 1, 2 ... , codecs 5 to 7 are UNSUPPORTED_COMPRESSION_TYPE. As with Kafka, bytes behind the batch that are no whole batch are
 * left out (`bytes` of the batch are taken), and a CreateTime topic takes a batch that says LogAppendTime (the caller clears
 * the bit, and mends the CRC). */
struct batch_limits {
    uint32_t max_message_bytes, segment_bytes;
    int64_t now_ms, timestamp_before_max_ms, timestamp_after_max_ms;
    bool log_append_time, compacted;
    bool no_sequence; /* a coordinator's: a batch of a producer may be without sequence */
    bool
        append_time_outside; /* message.timestamp.out.of.range=append-time: a batch with such a record is taken, and marked */
    int16_t produce_version; /* zstd needs 7 */
    uint8_t unpack_codecs;   /* batch_needs_records: what only the records can tell is left to those that unpack them */
};
struct batch_record_fault {
    const char *message; /* static */
    int32_t record;
};
/* For Produce v8's record_errors and error_message. All records at fault are named by a batch_faults walk, as long as the batch's
 * bytes are there (a refused append is not copied: until its done): so a refusal costs no memory of its own. Those of a batch that
 * had to be unpacked for it are listed. */
struct batch_fault {
    int32_t record;             /* index in the batch of the first one at fault, -1: the batch as a whole */
    const char *message;        /* of that one; static */
    struct batch_limits limits; /* that it was judged by */
    const struct batch_record_fault *listed; /* in order; NULL: there is no list. Who made it says how long it stays */
    uint32_t listed_count;                   /* BATCH_FAULTS_MAX at most */
};
/* Must the records of this batch be seen before it is taken? `codecs`: bit n means that those of codec n must (topic_config.h).
 * Whatever is set, a compressed batch whose header announces more records than its bytes hold if a record takes one of them: nearly
 * always a lie, that would move the log by up to 2^31 offsets. */
static inline bool batch_needs_records(const struct batch *b, uint32_t codecs)
{
    uint32_t codec = b->attributes & BATCH_CODEC_MASK;
    return (codecs >> codec & 1) | ((codec != CODEC_NONE) & ((uint32_t)b->count > b->bytes - BATCH_HEADER_BYTES));
}

/* KERR_NONE, or what the partition answers. The records of an uncompressed batch are walked; compressed ones are taken by
 * header and CRC (a deliberate difference to Kafka), unless batch_needs_records. Fills *out_batch when the header could be
 * read; its max_timestamp is the walked records', and where that differs from the header's, the caller mends that, as Kafka does. */
enum kerr batch_check(const uint8_t *at, uint32_t bytes, const struct batch_limits *limits, struct batch *out_batch,
                      struct batch_fault *out_fault) must_use;

/* One record of an uncompressed batch (or of decompressed records), checked to its last header. False: the bytes end or make
 * no sense. */
struct batch_record {
    int64_t timestamp_delta;
    int32_t offset_delta, key_bytes, value_bytes; /* -1: null */
    const uint8_t *key, *value, *headers;         /* headers: the raw rest, count first */
    int32_t headers_bytes;
};
struct batch_cursor {
    const uint8_t *at, *end;
};
/* Sums of timestamps from the wire wrap, as Java's do. */
static inline int64_t batch_record_timestamp(const struct batch *b, const struct batch_record *r)
{
    return (int64_t)((uint64_t)b->base_timestamp + (uint64_t)r->timestamp_delta);
}
/* The records at fault, in order, BATCH_FAULTS_MAX at most; none if the batch as a whole is. */
enum { BATCH_FAULTS_MAX = 10000 };
struct batch_faults {
    const struct batch_fault *fault; /* lent, as the bytes are */
    struct batch batch;
    struct batch_cursor records;
    int32_t next;
    uint32_t named;
};
void batch_faults_init(struct batch_faults *w, const struct batch_fault *fault, const uint8_t *at, uint32_t bytes);
/* The same of records that were unpacked. */
void batch_faults_unpacked(struct batch_faults *w, const struct batch_fault *fault, const struct batch *b,
                           struct batch_cursor records);
bool batch_faults_next(struct batch_faults *w, int32_t *out_record, const char **out_message) must_use;
bool batch_next(struct batch_cursor *c, struct batch_record *out_record) must_use;
/* Judges the records, wherever they are; sets the batch's max_timestamp to theirs, and its append_time. */
enum kerr batch_check_records(struct batch_cursor records, const struct batch_limits *limits, struct batch *batch,
                              struct batch_fault *out_fault) must_use;

static inline int64_t batch_header_max_timestamp(const uint8_t *at)
{
    return (int64_t)be64_get(at + 35);
}

/* --- markers: the one record of a control batch that ends a transaction ---
 * key: i16 version (0), i16 type (0 abort, 1 commit); value: i16 version (0), i32 coordinator epoch. */
enum { BATCH_MARKER_BYTES = BATCH_HEADER_BYTES + 17 };
struct batch_marker {
    int32_t coordinator_epoch;
    bool commit;
};
/* As partition_end_txn appends it: offsets, leader epoch and CRC as of a batch that a client sent. */
void batch_write_marker(uint8_t out[BATCH_MARKER_BYTES], int64_t producer_id, int16_t producer_epoch, int64_t now_ms,
                        const struct batch_marker *marker);
/* Of a control batch (whole, CRC checked). False: it ends no transaction (a record of another kind, or none: a cleaning emptied it). */
bool batch_read_marker(const struct batch *b, const uint8_t *at, struct batch_marker *out) must_use;
