/* Builds and checks the load program's record batches (Kafka's format v2); see batch.h. */
#include "tests/load/batch.h"
#include <assert.h>
#include <isa-l/crc.h>
#include <string.h>
#include <time.h>

enum { MAGIC = 0x4f44524b, VALUE_HEAD = 20, RECORD_OVERHEAD = 9 };

uint32_t batch_crc(const void *at, size_t n)
{
    return ~crc32_iscsi((unsigned char *)at, (int)n, ~0u);
}

static int64_t wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void fill(struct wbuf *b, size_t n, uint64_t seed)
{
    wbuf_room(b, n + 8);
    for (size_t i = 0; i < n; i += 8) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        memcpy(b->at + b->len + i, &seed, 8);
    }
    b->len += n;
}

static void put_value(struct wbuf *b, const struct batch_want *want, uint64_t seq, uint32_t bytes)
{
    size_t start = b->len;
    wbuf_int(b, MAGIC, 4);
    wbuf_int(b, want->writer, 4);
    wbuf_int(b, want->partition, 4);
    wbuf_int(b, seq, 8);
    fill(b, bytes - VALUE_HEAD - 4, seq << 16 ^ want->writer);
    wbuf_int(b, batch_crc(b->at + start, b->len - start), 4);
    assert(b->len - start == bytes);
}

static void put_record(struct wbuf *b, const struct batch_want *want, uint32_t i, uint32_t value_bytes)
{
    wbuf_varint(b, value_bytes + RECORD_OVERHEAD - 2); /* length varints take two bytes: values are 64..8191 long */
    wbuf_int(b, 0, 1);                                 /* attributes */
    wbuf_varint(b, 0);                                 /* timestamp delta */
    wbuf_varint(b, i);
    wbuf_varint(b, -1); /* no key */
    wbuf_varint(b, value_bytes);
    put_value(b, want, want->seq + i, value_bytes);
    wbuf_varint(b, 0); /* headers */
}

static void put_head(struct wbuf *b, const struct batch_want *want)
{
    bool idem = want->pid >= 0;
    int64_t now = wall_ms();
    wbuf_int(b, 0, 8);
    wbuf_int(b, 0, 4); /* length, set below */
    wbuf_int(b, UINT64_MAX, 4);
    wbuf_int(b, 2, 1);
    wbuf_int(b, 0, 4); /* CRC, set below */
    wbuf_int(b, 0, 2);
    wbuf_int(b, want->count - 1, 4);
    wbuf_int(b, (uint64_t)now, 8);
    wbuf_int(b, (uint64_t)now, 8);
    wbuf_int(b, (uint64_t)want->pid, 8);
    wbuf_int(b, idem ? (uint64_t)want->pid_epoch : UINT64_MAX, 2);
    wbuf_int(b, idem ? want->seq : UINT64_MAX, 4);
    wbuf_int(b, want->count, 4);
}

void batch_put(struct wbuf *b, const struct batch_want *want)
{
    size_t start = b->len;
    uint32_t value_bytes = (want->bytes - BATCH_HEAD) / want->count - RECORD_OVERHEAD;
    assert(want->count <= BATCH_RECORDS_MAX && value_bytes >= 64 && value_bytes < 8000);
    put_head(b, want);
    for (uint32_t i = 0; i < want->count; i++)
        put_record(b, want, i, value_bytes);
    wbuf_set(b, start + 8, b->len - start - 12, 4);
    wbuf_set(b, start + 17, batch_crc(b->at + start + 21, b->len - start - 21), 4);
}

static const char *read_value(const uint8_t *at, uint64_t n, uint32_t i, struct batch_view *out)
{
    struct rcur c = {at, at + n, false};
    if (n < VALUE_HEAD + 4 || rcur_uint(&c, 4) != MAGIC)
        return "a value is not ours";
    uint32_t writer = (uint32_t)rcur_uint(&c, 4), partition = (uint32_t)rcur_uint(&c, 4);
    uint64_t seq = rcur_uint(&c, 8);
    c.at = at + n - 4;
    if (rcur_uint(&c, 4) != batch_crc(at, n - 4))
        return "a value's checksum is wrong";
    if (i == 0)
        out->writer = writer, out->partition = partition, out->seq = seq;
    else if (writer != out->writer || partition != out->partition || seq != out->seq + i)
        return "values of one batch do not follow each other";
    return NULL;
}

static const char *read_record(struct rcur *c, uint32_t i, struct batch_view *out)
{
    int64_t bytes = rcur_varint(c);
    const uint8_t *start = c->at;
    rcur_skip(c, 1);
    (void)rcur_varint(c); /* the timestamp carries nothing to check */
    if (rcur_varint(c) != i || rcur_varint(c) != -1)
        return "a record's offset or key is wrong";
    int64_t n = rcur_varint(c);
    const uint8_t *value = c->at;
    rcur_skip(c, n < 0 ? UINT64_MAX : (uint64_t)n);
    if (rcur_varint(c) != 0 || c->bad || c->at - start != bytes)
        return "a record's lengths do not fit";
    return read_value(value, (uint64_t)n, i, out);
}

static const char *read_records(struct rcur *c, struct batch_view *out)
{
    const char *why = NULL;
    for (uint32_t i = 0; i < out->count && !why; i++)
        why = read_record(c, i, out);
    if (!why && c->at != c->end)
        why = "bytes are left behind the last record";
    return why;
}

static const char *read_head(struct rcur *c, struct batch_view *out)
{
    const uint8_t *start = c->at;
    out->base = rcur_int(c, 8);
    out->bytes = (uint32_t)rcur_uint(c, 4) + 12;
    out->epoch = (int32_t)rcur_int(c, 4);
    if (rcur_uint(c, 1) != 2)
        return "magic is not 2";
    out->crc = (uint32_t)rcur_uint(c, 4);
    if (out->crc != batch_crc(start + 21, out->bytes - 21))
        return "the batch's CRC is wrong";
    rcur_skip(c, 2);
    uint32_t last = (uint32_t)rcur_uint(c, 4);
    rcur_skip(c, 8 + 8 + 8 + 2 + 4);
    out->count = (uint32_t)rcur_uint(c, 4);
    return out->count == last + 1 && last < BATCH_RECORDS_MAX ? NULL : "the batch's count is wrong";
}

enum batch_state batch_read(const uint8_t *at, size_t left, struct batch_view *out, const char **out_why)
{
    struct rcur peek = {at + 8, at + 12, false};
    if (left < BATCH_HEAD)
        return BATCH_PARTIAL;
    uint64_t bytes = rcur_uint(&peek, 4) + 12;
    if (bytes < BATCH_HEAD || bytes > 1u << 20)
        return *out_why = "the batch's length is out of range", BATCH_BAD;
    if (bytes > left)
        return BATCH_PARTIAL;
    struct rcur c = {at, at + bytes, false};
    const char *why = read_head(&c, out);
    if (!why)
        why = read_records(&c, out);
    *out_why = why;
    return why ? BATCH_BAD : BATCH_OK;
}
