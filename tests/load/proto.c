/* Kafka messages of the load program; see proto.h. */
#include "tests/load/proto.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { PRODUCE = 0, FETCH = 1, LIST_OFFSETS = 2, METADATA = 3, VERSIONS = 18, CREATE_TOPICS = 19, INIT_PID = 22 };

static const struct {
    int16_t key, version;
} spoken[] = {
    {PRODUCE, 9}, {FETCH, 11}, {LIST_OFFSETS, 5}, {METADATA, 7}, {VERSIONS, 0}, {CREATE_TOPICS, 4}, {INIT_PID, 1},
};
enum { SPOKEN = sizeof spoken / sizeof *spoken };

static int16_t version_of(int16_t key)
{
    for (size_t i = 0; i < SPOKEN; i++)
        if (spoken[i].key == key)
            return spoken[i].version;
    abort();
}

/* A frame opens with its length (set by finish), then the request header v1. */
static void start(struct wbuf *b, int16_t key, int32_t corr)
{
    b->len = 0;
    wbuf_int(b, 0, 4);
    wbuf_int(b, (uint64_t)key, 2);
    wbuf_int(b, (uint64_t)version_of(key), 2);
    wbuf_int(b, (uint64_t)corr, 4);
    wbuf_str(b, "odradek-load");
}

static void finish(struct wbuf *b)
{
    wbuf_set(b, 0, b->len - 4, 4);
}

void proto_put_versions(struct wbuf *b, int32_t corr)
{
    start(b, VERSIONS, corr);
    finish(b);
}

bool proto_take_versions(struct rcur *c)
{
    int found = 0;
    if (rcur_int(c, 2))
        return false;
    for (int64_t n = rcur_int(c, 4); n > 0 && !c->bad; n--) {
        int64_t key = rcur_int(c, 2), min = rcur_int(c, 2), max = rcur_int(c, 2);
        for (size_t i = 0; i < SPOKEN; i++)
            found += spoken[i].key == key && min <= spoken[i].version && spoken[i].version <= max;
    }
    return !c->bad && found == SPOKEN;
}

static void put_config(struct wbuf *b, const char *pair)
{
    const char *equals = strchr(pair, '=');
    char *key = strndup(pair, (size_t)(equals ? equals - pair : 0));
    assert(equals && key);
    wbuf_str(b, key);
    wbuf_str(b, equals + 1);
    free(key);
}

void proto_put_create(struct wbuf *b, int32_t corr, const char *topic, uint32_t partitions, char **configs, int count)
{
    start(b, CREATE_TOPICS, corr);
    wbuf_int(b, 1, 4);
    wbuf_str(b, topic);
    wbuf_int(b, partitions, 4);
    wbuf_int(b, 1, 2); /* replication factor */
    wbuf_int(b, 0, 4); /* no assignments */
    wbuf_int(b, (uint64_t)count, 4);
    for (int i = 0; i < count; i++)
        put_config(b, configs[i]);
    wbuf_int(b, 30000, 4);
    wbuf_int(b, 0, 1); /* not only a validation */
    finish(b);
}

int16_t proto_take_create(struct rcur *c)
{
    rcur_skip(c, 4); /* throttle time */
    if (rcur_int(c, 4) != 1)
        return -1;
    rcur_str(c);
    int16_t error = (int16_t)rcur_int(c, 2);
    rcur_str(c);
    return c->bad ? -1 : error;
}

void proto_put_metadata(struct wbuf *b, int32_t corr, const char *topic)
{
    start(b, METADATA, corr);
    wbuf_int(b, 1, 4);
    wbuf_str(b, topic);
    wbuf_int(b, 0, 1); /* no auto-creation */
    finish(b);
}

static void skip_int_array(struct rcur *c)
{
    int64_t n = rcur_int(c, 4);
    rcur_skip(c, n > 0 ? 4 * (uint64_t)n : 0);
}

static void skip_brokers(struct rcur *c)
{
    for (int64_t n = rcur_int(c, 4); n > 0 && !c->bad; n--) {
        rcur_skip(c, 4);
        rcur_str(c);
        rcur_skip(c, 4);
        rcur_str(c);
    }
    rcur_str(c);     /* cluster id */
    rcur_skip(c, 4); /* controller */
}

int16_t proto_take_metadata(struct rcur *c, uint32_t *out_partitions, int32_t *out_epoch)
{
    rcur_skip(c, 4); /* throttle time */
    skip_brokers(c);
    if (rcur_int(c, 4) != 1)
        return -1;
    int16_t error = (int16_t)rcur_int(c, 2);
    rcur_str(c);
    rcur_skip(c, 1);
    int64_t n = rcur_int(c, 4);
    *out_partitions = n > 0 ? (uint32_t)n : 0;
    *out_epoch = -1;
    for (; n > 0 && !c->bad; n--) {
        int16_t partition_error = (int16_t)rcur_int(c, 2);
        error = error ? error : partition_error;
        rcur_skip(c, 8); /* partition and leader */
        int32_t epoch = (int32_t)rcur_int(c, 4);
        *out_epoch = epoch > *out_epoch ? epoch : *out_epoch;
        skip_int_array(c);
        skip_int_array(c);
        skip_int_array(c);
    }
    return c->bad ? -1 : error;
}

void proto_put_init_pid(struct wbuf *b, int32_t corr)
{
    start(b, INIT_PID, corr);
    wbuf_str(b, NULL); /* no transactional id */
    wbuf_int(b, 60000, 4);
    finish(b);
}

int16_t proto_take_init_pid(struct rcur *c, struct proto_pid *out)
{
    rcur_skip(c, 4); /* throttle time */
    int16_t error = (int16_t)rcur_int(c, 2);
    out->id = rcur_int(c, 8);
    out->epoch = (int16_t)rcur_int(c, 2);
    return c->bad ? -1 : error;
}

void proto_put_list(struct wbuf *b, int32_t corr, const char *topic, uint32_t partition, int64_t timestamp)
{
    start(b, LIST_OFFSETS, corr);
    wbuf_int(b, UINT64_MAX, 4); /* replica id: a consumer */
    wbuf_int(b, 0, 1);          /* isolation level */
    wbuf_int(b, 1, 4);
    wbuf_str(b, topic);
    wbuf_int(b, 1, 4);
    wbuf_int(b, partition, 4);
    wbuf_int(b, UINT64_MAX, 4); /* current leader epoch: unknown */
    wbuf_int(b, (uint64_t)timestamp, 8);
    finish(b);
}

int16_t proto_take_list(struct rcur *c, int64_t *out_offset)
{
    rcur_skip(c, 4); /* throttle time */
    if (rcur_int(c, 4) != 1)
        return -1;
    rcur_str(c);
    if (rcur_int(c, 4) != 1)
        return -1;
    rcur_skip(c, 4);
    int16_t error = (int16_t)rcur_int(c, 2);
    rcur_skip(c, 8);
    *out_offset = rcur_int(c, 8);
    return c->bad ? -1 : error;
}

void proto_open_produce(struct wbuf *b, int32_t corr, const char *topic, uint32_t partitions, int16_t acks)
{
    start(b, PRODUCE, corr);
    wbuf_uvarint(b, 0); /* the header's tags */
    wbuf_compact(b, NULL);
    wbuf_int(b, (uint64_t)acks, 2);
    wbuf_int(b, 30000, 4);
    wbuf_uvarint(b, 2); /* one topic */
    wbuf_compact(b, topic);
    wbuf_uvarint(b, partitions + 1);
}

void proto_put_produce(struct wbuf *b, uint32_t partition, const struct wbuf *records)
{
    wbuf_int(b, partition, 4);
    wbuf_uvarint(b, records->len + 1);
    wbuf_put(b, records->at, records->len);
    wbuf_uvarint(b, 0);
}

void proto_close_produce(struct wbuf *b)
{
    wbuf_uvarint(b, 0); /* the topic's tags */
    wbuf_uvarint(b, 0); /* the request's tags */
    finish(b);
}

static void take_ack(struct rcur *c, struct proto_ack *out)
{
    out->partition = (uint32_t)rcur_uint(c, 4);
    out->error = (int16_t)rcur_int(c, 2);
    out->base = rcur_int(c, 8);
    rcur_skip(c, 16); /* log append time, log start */
    uint64_t errors = rcur_uvarint(c);
    for (uint64_t i = 1; i < errors && !c->bad; i++) {
        rcur_skip(c, 4);
        rcur_compact(c);
        rcur_tags(c);
    }
    rcur_compact(c);
    rcur_tags(c);
}

bool proto_take_produce(struct rcur *c, struct proto_ack *out, uint32_t *out_count)
{
    rcur_tags(c); /* of the header */
    if (rcur_uvarint(c) != 2)
        return false;
    rcur_compact(c);
    uint64_t n = rcur_uvarint(c);
    if (!n || n - 1 > PROTO_PARTS_MAX)
        return false;
    for (uint64_t i = 0; i < n - 1; i++)
        take_ack(c, &out[i]);
    *out_count = (uint32_t)n - 1;
    return !c->bad;
}

void proto_put_fetch(struct wbuf *b, int32_t corr, const char *topic, const struct proto_fetch_part *parts,
                     uint32_t count, int32_t wait_ms, int32_t bytes)
{
    start(b, FETCH, corr);
    wbuf_int(b, UINT64_MAX, 4); /* replica id: a consumer */
    wbuf_int(b, (uint64_t)wait_ms, 4);
    wbuf_int(b, 1, 4);
    wbuf_int(b, (uint64_t)bytes, 4);
    wbuf_int(b, 0, 1);          /* isolation level */
    wbuf_int(b, 0, 4);          /* no session */
    wbuf_int(b, UINT64_MAX, 4); /* session epoch */
    wbuf_int(b, 1, 4);
    wbuf_str(b, topic);
    wbuf_int(b, count, 4);
    for (uint32_t i = 0; i < count; i++) {
        wbuf_int(b, parts[i].partition, 4);
        wbuf_int(b, UINT64_MAX, 4); /* current leader epoch: unknown */
        wbuf_int(b, (uint64_t)parts[i].offset, 8);
        wbuf_int(b, UINT64_MAX, 8); /* log start: a consumer has none */
        wbuf_int(b, (uint64_t)bytes, 4);
    }
    wbuf_int(b, 0, 4); /* nothing forgotten */
    wbuf_str(b, "");
    finish(b);
}

static void take_fetched(struct rcur *c, struct proto_fetched *out)
{
    out->partition = (uint32_t)rcur_uint(c, 4);
    out->error = (int16_t)rcur_int(c, 2);
    out->high_watermark = rcur_int(c, 8);
    rcur_skip(c, 16); /* last stable offset, log start */
    int64_t aborted = rcur_int(c, 4);
    rcur_skip(c, aborted > 0 ? 16 * (uint64_t)aborted : 0);
    rcur_skip(c, 4); /* preferred replica */
    int64_t n = rcur_int(c, 4);
    out->bytes = n > 0 ? (uint32_t)n : 0;
    out->records = c->at;
    rcur_skip(c, out->bytes);
}

bool proto_take_fetch(struct rcur *c, struct proto_fetched *out, uint32_t *out_count)
{
    rcur_skip(c, 4); /* throttle time */
    if (rcur_int(c, 2) != 0)
        return false;
    rcur_skip(c, 4); /* session id */
    int64_t topics = rcur_int(c, 4), n = 0;
    if (topics == 1) {
        rcur_str(c);
        n = rcur_int(c, 4);
    }
    if (c->bad || topics < 0 || topics > 1 || n < 0 || n > PROTO_PARTS_MAX)
        return false;
    for (int64_t i = 0; i < n; i++)
        take_fetched(c, &out[i]);
    *out_count = (uint32_t)n;
    return !c->bad;
}
