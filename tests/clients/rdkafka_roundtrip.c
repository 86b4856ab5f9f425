/*
 * A librdkafka client that writes records, reads them back and compares them byte for byte.
 *
 *     rdkafka_roundtrip BROKER TOPIC CODEC COUNT IDEMPOTENT
 *
 * It creates TOPIC with PARTITIONS partitions, produces COUNT records, record i to partition i % PARTITIONS, waits
 * for every delivery report and checks its offset (i / PARTITIONS), then assigns itself all partitions and reads to
 * their ends. Key, value, headers and timestamp of record i are a function of i (make_record), with nulls, empties,
 * zero bytes and a large one now and then; values repeat themselves, so that every batch shrinks when compressed.
 *
 * Prints `compared N` and exits 0 when all was as it should be; else one line on stderr and 1.
 */
#include <librdkafka/rdkafka.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PARTITIONS = 4, HEADERS_MAX = 2, VALUE_BYTES_MAX = 40000, WAIT_S = 90 };

struct record {
    const char *key; /* NULL for a null key, as in value */
    size_t key_bytes;
    const char *value;
    size_t value_bytes;
    int64_t timestamp;
    int header_count;
    char key_room[32];
    char value_room[VALUE_BYTES_MAX];
};

struct delivery {
    int64_t count;
    int64_t wrong;
};

static int64_t first_timestamp;

[[gnu::format(printf, 1, 2), gnu::noreturn]] static void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

static void check(rd_kafka_resp_err_t err, const char *what)
{
    if (err)
        die("%s: %s", what, rd_kafka_err2str(err));
}

static void make_key(int64_t i, struct record *out_record)
{
    size_t bytes = (size_t)snprintf(out_record->key_room, sizeof(out_record->key_room), "key-%" PRId64, i);
    out_record->key_room[bytes] = '\0';
    out_record->key = i % 10 == 3 ? NULL : out_record->key_room;
    out_record->key_bytes = i % 10 == 3 || i % 10 == 4 ? 0 : bytes + 1; /* the zero byte is part of the key */
}

static void make_value(int64_t i, struct record *out_record)
{
    char line[64];
    size_t line_bytes = (size_t)snprintf(line, sizeof(line), "%" PRId64 " \r\n\xff\x01 record", i) + 1;
    size_t bytes = i % 5000 == 77 ? VALUE_BYTES_MAX : 100 + (size_t)(i * 37 % 200);
    if (i % 1000 == 8)
        bytes = 0;
    for (size_t at = 0; at < bytes; at++)
        out_record->value_room[at] = line[at % line_bytes];
    out_record->value = i % 1000 == 7 ? NULL : out_record->value_room;
    out_record->value_bytes = i % 1000 == 7 ? 0 : bytes;
}

static void make_record(int64_t i, struct record *out_record)
{
    make_key(i, out_record);
    make_value(i, out_record);
    out_record->header_count = (int)(i % (HEADERS_MAX + 1));
    out_record->timestamp = first_timestamp + i * 7919 % 100000; /* neither sorted nor unique */
}

/* Header n of record i: its name, and its value, which is NULL for the second header. */
static const char *header_of(int64_t i, int n, char name[32], size_t *out_bytes)
{
    static const char value[] = "header\0value";
    snprintf(name, 32, "h%d-%" PRId64, n, i % 7);
    *out_bytes = n == 0 ? sizeof(value) : 0;
    return n == 0 ? value : NULL;
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char why[256];
    if (rd_kafka_conf_set(conf, name, value, why, sizeof(why)) != RD_KAFKA_CONF_OK)
        die("%s=%s: %s", name, value, why);
}

static rd_kafka_t *open_client(rd_kafka_type_t type, rd_kafka_conf_t *conf)
{
    char why[256];
    rd_kafka_t *client = rd_kafka_new(type, conf, why, sizeof(why));
    if (!client)
        die("rd_kafka_new: %s", why);
    return client;
}

static void delivered(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
    struct delivery *delivery = opaque;
    int64_t i = (int64_t)(intptr_t)message->_private;
    (void)client;
    delivery->count++;
    if (!message->err && message->offset == i / PARTITIONS && message->partition == i % PARTITIONS)
        return;
    if (delivery->wrong++ == 0)
        fprintf(stderr, "record %" PRId64 " was acked at %" PRId32 "/%" PRId64 ": %s\n", i, message->partition,
                message->offset, rd_kafka_err2str(message->err));
}

static rd_kafka_t *open_producer(const char *broker, const char *codec, const char *idempotent, struct delivery *to)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", broker);
    set(conf, "compression.codec", codec);
    set(conf, "enable.idempotence", idempotent);
    set(conf, "linger.ms", "5");
    set(conf, "message.timeout.ms", "60000");
    rd_kafka_conf_set_opaque(conf, to);
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    return open_client(RD_KAFKA_PRODUCER, conf);
}

static void check_created(rd_kafka_event_t *event)
{
    size_t count = 0;
    if (!event)
        die("CreateTopics: no answer");
    check(rd_kafka_event_error(event), "CreateTopics");
    const rd_kafka_CreateTopics_result_t *result = rd_kafka_event_CreateTopics_result(event);
    const rd_kafka_topic_result_t **topics = rd_kafka_CreateTopics_result_topics(result, &count);
    if (count != 1)
        die("CreateTopics answered for %zu topics", count);
    check(rd_kafka_topic_result_error(topics[0]), "CreateTopics");
}

static void create_topic(rd_kafka_t *client, const char *name)
{
    char why[256];
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(name, PARTITIONS, 1, why, sizeof(why));
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    if (!topic)
        die("new topic: %s", why);
    rd_kafka_CreateTopics(client, &topic, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 30000);
    check_created(event);
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewTopic_destroy(topic);
}

static rd_kafka_headers_t *make_headers(int64_t i, int count)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new((size_t)count);
    for (int n = 0; n < count; n++) {
        char name[32];
        size_t bytes;
        const char *value = header_of(i, n, name, &bytes);
        check(rd_kafka_header_add(headers, name, -1, value, (ssize_t)bytes), "header");
    }
    return headers;
}

static rd_kafka_resp_err_t produce_one(rd_kafka_t *client, const char *topic, int64_t i, const struct record *record)
{
    rd_kafka_headers_t *headers = make_headers(i, record->header_count);
    rd_kafka_resp_err_t err = rd_kafka_producev(
        client, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION((int32_t)(i % PARTITIONS)),
        RD_KAFKA_V_KEY((void *)record->key, record->key_bytes),
        RD_KAFKA_V_VALUE((void *)record->value, record->value_bytes), RD_KAFKA_V_TIMESTAMP(record->timestamp),
        RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE((void *)(intptr_t)i), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_END);
    if (err)
        rd_kafka_headers_destroy(headers);
    return err;
}

static void produce(const char *broker, const char *topic, const char *codec, int64_t count, const char *idempotent)
{
    static struct record record;
    struct delivery delivery = {0};
    rd_kafka_t *client = open_producer(broker, codec, idempotent, &delivery);
    create_topic(client, topic);
    for (int64_t i = 0; i < count; i++) {
        make_record(i, &record);
        rd_kafka_resp_err_t err;
        while ((err = produce_one(client, topic, i, &record)) == RD_KAFKA_RESP_ERR__QUEUE_FULL)
            rd_kafka_poll(client, 10);
        check(err, "produce");
        rd_kafka_poll(client, 0);
    }
    check(rd_kafka_flush(client, WAIT_S * 1000), "flush");
    rd_kafka_destroy(client);
    if (delivery.count != count || delivery.wrong != 0)
        die("%" PRId64 " of %" PRId64 " records acked, %" PRId64 " of them wrongly", delivery.count, count,
            delivery.wrong);
}

static bool same_bytes(const void *have, size_t have_bytes, const char *want, size_t want_bytes)
{
    if ((have == NULL) != (want == NULL) || have_bytes != want_bytes)
        return false;
    return want_bytes == 0 || memcmp(have, want, want_bytes) == 0;
}

static bool same_headers(const rd_kafka_message_t *message, int64_t i, int count)
{
    rd_kafka_headers_t *headers = NULL;
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return count == 0;
    if (rd_kafka_header_cnt(headers) != (size_t)count)
        return false;
    for (int n = 0; n < count; n++) {
        char want_name[32];
        const char *name;
        const void *value;
        size_t bytes, want_bytes;
        const char *want = header_of(i, n, want_name, &want_bytes);
        check(rd_kafka_header_get_all(headers, (size_t)n, &name, &value, &bytes), "header");
        if (strcmp(name, want_name) != 0 || !same_bytes(value, bytes, want, want_bytes))
            return false;
    }
    return true;
}

/* Does the message equal record i, and is i the next of its partition? */
static void compare(const rd_kafka_message_t *message, int64_t next[PARTITIONS])
{
    static struct record want;
    int64_t i = message->offset * PARTITIONS + message->partition;
    rd_kafka_timestamp_type_t type;
    int64_t timestamp = rd_kafka_message_timestamp(message, &type);
    if (message->partition < 0 || message->partition >= PARTITIONS || message->offset != next[message->partition]++)
        die("read offset %" PRId64 " of partition %" PRId32 " out of order", message->offset, message->partition);
    make_record(i, &want);
    if (!same_bytes(message->key, message->key_len, want.key, want.key_bytes))
        die("record %" PRId64 ": the key differs", i);
    if (!same_bytes(message->payload, message->len, want.value, want.value_bytes))
        die("record %" PRId64 ": the value differs", i);
    if (type != RD_KAFKA_TIMESTAMP_CREATE_TIME || timestamp != want.timestamp)
        die("record %" PRId64 ": timestamp %" PRId64 " instead of %" PRId64, i, timestamp, want.timestamp);
    if (!same_headers(message, i, want.header_count))
        die("record %" PRId64 ": the headers differ", i);
}

static rd_kafka_t *open_consumer(const char *broker, const char *topic)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", broker);
    set(conf, "group.id", "unused");
    set(conf, "enable.auto.commit", "false");
    set(conf, "enable.partition.eof", "true");
    set(conf, "check.crcs", "true");
    rd_kafka_t *client = open_client(RD_KAFKA_CONSUMER, conf);
    check(rd_kafka_poll_set_consumer(client), "consumer queue");
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(PARTITIONS);
    for (int32_t p = 0; p < PARTITIONS; p++)
        rd_kafka_topic_partition_list_add(list, topic, p)->offset = RD_KAFKA_OFFSET_BEGINNING;
    check(rd_kafka_assign(client, list), "assign");
    rd_kafka_topic_partition_list_destroy(list);
    return client;
}

/* Reads until each partition has ended at or past its share of `count`; answers how many records came. */
static int64_t consume(const char *broker, const char *topic, int64_t count)
{
    int64_t next[PARTITIONS] = {0};
    int64_t compared = 0;
    int ended = 0;
    time_t end = time(NULL) + WAIT_S;
    rd_kafka_t *client = open_consumer(broker, topic);
    while (compared < count || ended < PARTITIONS) {
        if (time(NULL) > end)
            die("only %" PRId64 " of %" PRId64 " records came, %d partitions ended", compared, count, ended);
        rd_kafka_message_t *message = rd_kafka_consumer_poll(client, 500);
        if (!message)
            continue;
        if (!message->err) {
            compare(message, next);
            compared++;
        } else if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            ended += next[message->partition] == (count + PARTITIONS - 1 - message->partition) / PARTITIONS;
        } else {
            die("consume: %s", rd_kafka_message_errstr(message));
        }
        rd_kafka_message_destroy(message);
    }
    rd_kafka_destroy(client);
    return compared;
}

int main(int argc, char **argv)
{
    if (argc != 6)
        die("usage: rdkafka_roundtrip BROKER TOPIC CODEC COUNT IDEMPOTENT");
    int64_t count = strtoll(argv[4], NULL, 10);
    first_timestamp = (int64_t)time(NULL) * 1000 - 3600000;
    produce(argv[1], argv[2], argv[3], count, argv[5]);
    printf("compared %" PRId64 "\n", consume(argv[1], argv[2], count));
    return 0;
}
