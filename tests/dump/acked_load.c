/*
 * An idempotent librdkafka producer that writes down what was acked.
 *
 *     acked_load BROKER TOPIC CODEC COUNT RATE FIRST_TIMESTAMP ACKS
 *
 * It creates TOPIC with PARTITIONS partitions and segments of 1 MiB, and sends COUNT records, RATE a second, record i
 * to partition i % PARTITIONS with timestamp FIRST_TIMESTAMP + i, so that a test that finds a record at an offset knows
 * which it is. Each ack becomes a line `partition offset i` in the file ACKS. The broker may be killed and restarted
 * meanwhile: the producer goes on, and its short queue keeps it from rushing afterwards. Exits 0 once every record is
 * acked, else says why and exits 1.
 */
#include <librdkafka/rdkafka.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PARTITIONS = 2, VALUE_BYTES_MAX = 400, SLICE_RECORDS = 50, WAIT_MS = 60000 };

struct acks {
    FILE *file;
    int64_t count;
    int64_t failed;
};

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

static void delivered(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
    struct acks *acks = opaque;
    int64_t i = (int64_t)(intptr_t)message->_private;
    (void)client;
    if (message->err) {
        if (acks->failed++ == 0)
            fprintf(stderr, "record %" PRId64 ": %s\n", i, rd_kafka_err2str(message->err));
        return;
    }
    acks->count++;
    fprintf(acks->file, "%" PRId32 " %" PRId64 " %" PRId64 "\n", message->partition, message->offset, i);
}

static rd_kafka_t *open_producer(const char *broker, const char *codec, struct acks *acks)
{
    const char *settings[][2] = {
        {"bootstrap.servers", broker},     {"compression.codec", codec},
        {"enable.idempotence", "true"},    {"linger.ms", "5"},
        {"batch.num.messages", "200"},     {"message.timeout.ms", "120000"},
        {"reconnect.backoff.ms", "50"},    {"reconnect.backoff.max.ms", "200"},
        {"log.connection.close", "false"},
    };
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
        if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], why, sizeof(why)) != RD_KAFKA_CONF_OK)
            die("%s: %s", settings[i][0], why);
    rd_kafka_conf_set_opaque(conf, acks);
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
    if (!client)
        die("rd_kafka_new: %s", why);
    return client;
}

static void create_topic(rd_kafka_t *client, const char *name)
{
    char why[256];
    size_t count = 0;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(name, PARTITIONS, 1, why, sizeof(why));
    if (!topic)
        die("new topic: %s", why);
    check(rd_kafka_NewTopic_set_config(topic, "segment.bytes", "1048576"), "segment.bytes");
    rd_kafka_CreateTopics(client, &topic, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, WAIT_MS);
    if (!event)
        die("CreateTopics: no answer");
    check(rd_kafka_event_error(event), "CreateTopics");
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    if (count != 1)
        die("CreateTopics answered for %zu topics", count);
    check(rd_kafka_topic_result_error(results[0]), "CreateTopics");
    rd_kafka_event_destroy(event);
    rd_kafka_NewTopic_destroy(topic);
    rd_kafka_queue_destroy(queue);
}

/* The value of record i: half of it random letters, half repeated, so that codecs shrink it, but not to nothing. */
static size_t make_value(int64_t i, char value[VALUE_BYTES_MAX])
{
    uint64_t random = (uint64_t)i * 0x9e3779b97f4a7c15u + 1;
    size_t bytes = VALUE_BYTES_MAX / 2 + (size_t)(i % (VALUE_BYTES_MAX / 2));
    for (size_t at = 0; at < bytes; at++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        value[at] = (char)(at % 16 < 8 ? random % 256 : 'x');
    }
    return bytes;
}

static void send_record(rd_kafka_t *client, const char *topic, int64_t i, int64_t timestamp)
{
    char key[32], value[VALUE_BYTES_MAX];
    size_t bytes = make_value(i, value);
    size_t key_bytes = (size_t)snprintf(key, sizeof(key), "%" PRId64, i);
    rd_kafka_resp_err_t err;
    while ((err = rd_kafka_producev(client, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION((int32_t)(i % PARTITIONS)),
                                    RD_KAFKA_V_KEY(key, key_bytes), RD_KAFKA_V_VALUE(value, bytes),
                                    RD_KAFKA_V_TIMESTAMP(timestamp), RD_KAFKA_V_OPAQUE((void *)(intptr_t)i),
                                    RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END)) ==
           RD_KAFKA_RESP_ERR__QUEUE_FULL)
        rd_kafka_poll(client, 10);
    check(err, "produce");
}

static void send_all(rd_kafka_t *client, const char *topic, int64_t count, int64_t rate, int64_t first, FILE *file)
{
    struct timespec slice = {.tv_nsec = SLICE_RECORDS * 1000000000LL / rate};
    for (int64_t i = 0; i < count; i++) {
        send_record(client, topic, i, first + i);
        if (i % SLICE_RECORDS != 0)
            continue;
        rd_kafka_poll(client, 0);
        fflush(file);
        nanosleep(&slice, NULL);
    }
}

int main(int argc, char **argv)
{
    if (argc != 8)
        die("usage: acked_load BROKER TOPIC CODEC COUNT RATE FIRST_TIMESTAMP ACKS");
    int64_t count = strtoll(argv[4], NULL, 10);
    struct acks acks = {.file = fopen(argv[7], "w")};
    if (!acks.file)
        die("%s: cannot be written", argv[7]);
    rd_kafka_t *client = open_producer(argv[1], argv[3], &acks);
    create_topic(client, argv[2]);
    send_all(client, argv[2], count, strtoll(argv[5], NULL, 10), strtoll(argv[6], NULL, 10), acks.file);
    check(rd_kafka_flush(client, WAIT_MS), "flush");
    rd_kafka_destroy(client);
    fclose(acks.file);
    if (acks.failed != 0 || acks.count != count)
        die("%" PRId64 " of %" PRId64 " records acked, %" PRId64 " failed", acks.count, count, acks.failed);
    return 0;
}
