/* Kafka's messages, as far as the load needs them: see kafka.h and proto.h. All are flexible versions (compact strings, tags). */
#include "bench/load/kafka.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/load/proto.h"
#include "bench/load/sock.h"
#include "bench/load/wire.h"

enum { PRODUCE = 0, FETCH = 1, METADATA = 3, CREATE_TOPICS = 19, INIT_PRODUCER_ID = 22, ANSWER_MAX = 4 << 20 };

static void put_header(struct put *p, uint16_t key, uint16_t version)
{
    put_begin(p, key, version, 0);
    put_u8(p, 0); /* no tagged fields */
}

/* Asks what was put into `buf`, and takes the answer there, up to what follows the throttle time. False: no answer came. */
static bool ask(int fd, const struct put *p, uint8_t *buf, size_t room, struct get *out)
{
    size_t len;

    if (!sock_send(fd, buf, put_end(p, buf, 0)) || !sock_recv_frame(fd, buf, room, &len))
        return false;
    *out = (struct get){buf, buf + len, false};
    get_u32(out); /* correlation id */
    get_skip_tags(out);
    get_u32(out);
    return true;
}

static size_t produce_put(const struct produce_to *to, uint32_t batch_bytes, uint8_t *out)
{
    struct put p = {out, out + PROTO_HEAD_MAX};

    put_header(&p, PRODUCE, 9);
    put_uvarint(&p, 0); /* no transactional id */
    put_u16(&p, (uint16_t)to->acks);
    put_u32(&p, 30000);
    put_uvarint(&p, 2);
    put_compact(&p, to->topic);
    put_uvarint(&p, 2);
    put_u32(&p, to->partition);
    put_uvarint(&p, (uint64_t)batch_bytes + 1);
    return put_end(&p, out, batch_bytes + PROTO_TAIL_MAX);
}

static bool produce_get(const uint8_t *frame, size_t len, struct produce_reply *out_reply)
{
    struct get g = {frame, frame + len, false};

    out_reply->correlation = get_u32(&g);
    get_skip_tags(&g);
    bool one_topic = get_uvarint(&g) == 2;
    get_skip_compact(&g);
    bool one_partition = get_uvarint(&g) == 2;
    get_u32(&g);
    out_reply->error = (int16_t)get_u16(&g);
    out_reply->place = get_u64(&g);
    return one_topic && one_partition && !g.bad;
}

const struct proto proto_kafka = {
    .correlation_at = 8, .tail_bytes = PROTO_TAIL_MAX, .head_put = produce_put, .reply_get = produce_get};

static void put_configs(struct put *p, const char *const *configs)
{
    size_t count = 0;

    while (configs && configs[count])
        count++;
    put_uvarint(p, count + 1);
    for (size_t i = 0; i < count; i++) {
        const char *equals = strchr(configs[i], '=');
        assert(equals);
        put_uvarint(p, (uint64_t)(equals - configs[i]) + 1);
        put_bytes(p, configs[i], (size_t)(equals - configs[i]));
        put_compact(p, equals + 1);
        put_u8(p, 0);
    }
}

bool kafka_create_topic(int fd, const struct kafka_topic *topic, int16_t *out_error)
{
    uint8_t buf[KAFKA_REQUEST_MAX];
    struct put p = {buf, buf + sizeof buf};

    put_header(&p, CREATE_TOPICS, 5);
    put_uvarint(&p, 2);
    put_compact(&p, topic->name);
    put_u32(&p, topic->partitions);
    put_u16(&p, 1);
    put_uvarint(&p, 1); /* no assignments */
    put_configs(&p, topic->configs);
    put_u8(&p, 0);
    put_u32(&p, 30000);
    put_u8(&p, 0); /* not only a check */
    put_u8(&p, 0);
    struct get g;
    if (!ask(fd, &p, buf, sizeof buf, &g))
        return false;
    bool one = get_uvarint(&g) == 2;
    get_skip_compact(&g);
    *out_error = (int16_t)get_u16(&g);
    return one && !g.bad;
}

size_t kafka_fetch_put(const struct kafka_fetch *fetch, uint8_t *out)
{
    struct put p = {out, out + KAFKA_REQUEST_MAX};

    put_header(&p, FETCH, 12);
    put_u32(&p, (uint32_t)-1); /* replica id: a consumer */
    put_u32(&p, fetch->wait_ms);
    put_u32(&p, 1);
    put_u32(&p, fetch->bytes_max);
    put_u8(&p, 0);
    put_u32(&p, 0); /* session id and epoch: no session */
    put_u32(&p, (uint32_t)-1);
    put_uvarint(&p, 2);
    put_compact(&p, fetch->topic);
    put_uvarint(&p, 2);
    put_u32(&p, fetch->partition);
    put_u32(&p, (uint32_t)-1);
    put_u64(&p, fetch->offset);
    put_u32(&p, (uint32_t)-1);
    put_u64(&p, (uint64_t)-1);
    put_u32(&p, fetch->bytes_max);
    put_u8(&p, 0);
    put_u8(&p, 0);
    put_uvarint(&p, 1); /* no forgotten topics */
    put_compact(&p, "");
    put_u8(&p, 0);
    return put_end(&p, out, 0);
}

bool kafka_fetch_get(const uint8_t *frame, size_t len, struct kafka_fetched *out)
{
    struct get g = {frame, frame + len, false};

    get_u32(&g);
    get_skip_tags(&g);
    get_u32(&g); /* throttle time */
    int16_t error = (int16_t)get_u16(&g);
    get_u32(&g); /* session */
    if (error != KAFKA_NONE) {
        *out = (struct kafka_fetched){.error = error};
        return !g.bad;
    }
    bool one = get_uvarint(&g) == 2;
    get_skip_compact(&g);
    one = get_uvarint(&g) == 2 && one;
    get_u32(&g);
    out->error = (int16_t)get_u16(&g);
    out->high_watermark = get_u64(&g);
    get_u64(&g); /* last stable offset */
    get_u64(&g); /* log start offset */
    bool aborted = get_uvarint(&g) > 1;
    get_u32(&g); /* preferred replica */
    uint64_t records = get_uvarint(&g);
    out->records_bytes = records > 0 ? records - 1 : 0;
    out->records = get_bytes(&g, out->records_bytes);
    return one && !aborted && !g.bad;
}

bool kafka_fetch(int fd, const struct kafka_fetch *fetch, uint8_t *buf, size_t buf_bytes, struct kafka_fetched *out)
{
    uint8_t request[KAFKA_REQUEST_MAX];
    size_t len;

    if (!sock_send(fd, request, kafka_fetch_put(fetch, request)) || !sock_recv_frame(fd, buf, buf_bytes, &len))
        return false;
    return kafka_fetch_get(buf, len, out);
}

static void get_brokers(struct get *g, struct kafka_leaders *out, uint32_t *nodes)
{
    uint64_t count = get_uvarint(g);
    for (uint64_t i = 1; i < count && !g->bad; i++) {
        uint32_t node = get_u32(g);
        uint64_t len = get_uvarint(g);
        const uint8_t *host = get_bytes(g, len > 0 ? len - 1 : 0);
        uint32_t port = get_u32(g);
        get_skip_compact(g);
        get_skip_tags(g);
        if (!host || out->brokers == KAFKA_BROKERS_MAX)
            continue;
        nodes[out->brokers] = node;
        snprintf(out->address[out->brokers++], KAFKA_ADDRESS_MAX, "%.*s:%u", (int)(len - 1), (const char *)host, port);
    }
}

static void get_skip_ids(struct get *g)
{
    uint64_t count = get_uvarint(g);
    for (uint64_t i = 1; i < count && !g->bad; i++)
        get_u32(g);
}

static void get_leaders(struct get *g, struct kafka_leaders *out, const uint32_t *nodes)
{
    uint64_t count = get_uvarint(g);
    uint32_t room = out->partitions;
    out->partitions = 0;
    for (uint64_t i = 1; i < count && !g->bad; i++) {
        get_u16(g);
        uint32_t index = get_u32(g), leader = get_u32(g);
        get_u32(g);
        get_skip_ids(g);
        get_skip_ids(g);
        get_skip_ids(g);
        get_skip_tags(g);
        if (index >= room)
            continue;
        out->address_of[index] = KAFKA_BROKERS_MAX;
        for (uint32_t b = 0; b < out->brokers; b++) {
            if (nodes[b] == leader)
                out->address_of[index] = (uint8_t)b;
        }
        out->partitions++;
    }
}

static bool leaders_get(struct get *g, struct kafka_leaders *out)
{
    uint32_t nodes[KAFKA_BROKERS_MAX];
    out->brokers = 0;
    get_brokers(g, out, nodes);
    get_skip_compact(g); /* cluster */
    get_u32(g);          /* controller */
    bool one = get_uvarint(g) == 2;
    out->error = (int16_t)get_u16(g);
    get_skip_compact(g);
    get_u8(g);
    get_leaders(g, out, nodes);
    return one && !g->bad;
}

bool kafka_leaders(int fd, const char *topic, struct kafka_leaders *out)
{
    uint8_t *buf = malloc(ANSWER_MAX);
    if (!buf)
        return false;
    struct put p = {buf, buf + KAFKA_REQUEST_MAX};
    put_header(&p, METADATA, 9);
    put_uvarint(&p, 2);
    put_compact(&p, topic);
    put_u8(&p, 0);
    put_u8(&p, 0); /* no topic is made, no operations are asked for */
    put_u8(&p, 0);
    put_u8(&p, 0);
    put_u8(&p, 0);
    struct get g;
    bool fine = ask(fd, &p, buf, ANSWER_MAX, &g) && leaders_get(&g, out);
    free(buf);
    return fine;
}

bool kafka_init_producer(int fd, int64_t *out_id, int16_t *out_epoch, int16_t *out_error)
{
    uint8_t buf[KAFKA_REQUEST_MAX];
    struct put p = {buf, buf + sizeof buf};
    put_header(&p, INIT_PRODUCER_ID, 2);
    put_uvarint(&p, 0); /* no transactional id */
    put_u32(&p, 60000);
    put_u8(&p, 0);
    struct get g;
    if (!ask(fd, &p, buf, sizeof buf, &g))
        return false;
    *out_error = (int16_t)get_u16(&g);
    *out_id = (int64_t)get_u64(&g);
    *out_epoch = (int16_t)get_u16(&g);
    return !g.bad;
}
