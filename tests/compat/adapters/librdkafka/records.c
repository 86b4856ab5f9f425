/* Produce, read, offsets. */
#include "adapter.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What becomes of one record; librdkafka gets its address with the message. */
struct delivery {
    bool done;
    rd_kafka_resp_err_t err;
    int64_t offset;
};

static void delivered(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
    (void)client, (void)opaque;
    struct delivery *delivery = message->_private;
    if (delivery) /* a chain waits for its commit instead */
        *delivery = (struct delivery){.done = true, .err = message->err, .offset = message->offset};
}

rd_kafka_t *open_producing(rd_kafka_conf_t *conf)
{
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    return open_client(RD_KAFKA_PRODUCER, conf);
}

static rd_kafka_t *producer_of(struct adapter *adapter, const char *codec, bool idempotent)
{
    static const char *const codecs[CODECS] = {"none", "gzip", "snappy", "lz4", "zstd"};
    int n = 0;
    while (strcmp(codecs[n], codec) != 0)
        n++;
    rd_kafka_t **producer = &adapter->producers[n][idempotent];
    if (!*producer) {
        rd_kafka_conf_t *conf = conf_of(adapter, "acks", "all", "linger.ms", "5", "compression.codec", codec,
                                        "enable.idempotence", idempotent ? "true" : "false", NULL);
        *producer = open_producing(conf);
    }
    return *producer;
}

static rd_kafka_headers_t *headers_of(json_t *record)
{
    json_t *pair;
    size_t i;
    rd_kafka_headers_t *headers = rd_kafka_headers_new(4);
    json_array_foreach(json_object_get(record, "headers"), i, pair)
    {
        struct blob value = blob_of(json_array_get(pair, 1));
        rd_kafka_header_add(headers, json_string_value(json_array_get(pair, 0)), -1, value.bytes, (ssize_t)value.size);
        free(value.bytes);
    }
    return headers;
}

static rd_kafka_resp_err_t send_one(rd_kafka_t *producer, const char *topic, json_t *record, struct delivery *delivery)
{
    struct blob key = blob_of(json_object_get(record, "key")), value = blob_of(json_object_get(record, "value"));
    rd_kafka_headers_t *headers = headers_of(record);
    rd_kafka_resp_err_t err = rd_kafka_producev(
        producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION((int32_t)number_of(record, "partition")),
        RD_KAFKA_V_KEY(key.bytes, key.size), RD_KAFKA_V_VALUE(value.bytes, value.size),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_HEADERS(headers),
        RD_KAFKA_V_TIMESTAMP(number_of(record, "timestamp")), RD_KAFKA_V_OPAQUE(delivery), RD_KAFKA_V_END);
    if (err)
        rd_kafka_headers_destroy(headers);
    free(key.bytes);
    free(value.bytes);
    return err;
}

json_t *do_produce(struct adapter *adapter, json_t *request)
{
    bool idempotent = json_is_true(json_object_get(request, "idempotent"));
    return send_all(producer_of(adapter, text_of(request, "codec"), idempotent), request);
}

json_t *send_all(rd_kafka_t *producer, json_t *request)
{
    json_t *records = json_object_get(request, "records"), *offsets = json_array(), *why = NULL, *record;
    struct delivery *deliveries = calloc(json_array_size(records) + 1, sizeof(*deliveries));
    size_t i;
    json_array_foreach(records, i, record)
    {
        deliveries[i].err = send_one(producer, text_of(request, "topic"), record, &deliveries[i]);
        deliveries[i].done = deliveries[i].err != 0;
    }
    rd_kafka_flush(producer, WAIT_MS);
    for (i = 0; i < json_array_size(records) && !why; i++) {
        if (!deliveries[i].done)
            return failed("record %zu is not acknowledged", i); /* librdkafka may still write to deliveries */
        if (deliveries[i].err)
            why = failed("%s", rd_kafka_err2str(deliveries[i].err));
        json_array_append_new(offsets, json_integer(deliveries[i].offset));
    }
    free(deliveries);
    return why ? why : json_pack("{s:o}", "offsets", offsets);
}

static json_t *headers_as_read(const rd_kafka_message_t *message)
{
    json_t *found = json_array();
    rd_kafka_headers_t *headers;
    if (rd_kafka_message_headers(message, &headers))
        return found;
    const char *name;
    const void *value;
    size_t size;
    for (size_t i = 0; !rd_kafka_header_get_all(headers, i, &name, &value, &size); i++)
        json_array_append_new(found, json_pack("[s, o]", name, encoded(value, size)));
    return found;
}

static json_t *record_as_read(const rd_kafka_message_t *message)
{
    return json_pack("{s:I, s:o, s:o, s:o, s:I}", "offset", (json_int_t)message->offset, "key",
                     encoded(message->key, message->key_len), "value", encoded(message->payload, message->len),
                     "headers", headers_as_read(message), "timestamp",
                     (json_int_t)rd_kafka_message_timestamp(message, NULL));
}

static rd_kafka_topic_partition_list_t *one_partition(json_t *request, int64_t offset)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, text_of(request, "topic"), (int32_t)number_of(request, "partition"))
        ->offset = offset;
    return list;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

json_t *do_read(struct adapter *adapter, json_t *request)
{
    bool committed = json_is_true(json_object_get(request, "committed"));
    rd_kafka_t *consumer =
        open_client(RD_KAFKA_CONSUMER, conf_of(adapter, "group.id", "assigned", "enable.auto.commit", "false",
                                               "auto.offset.reset", "earliest", "check.crcs", "true", "isolation.level",
                                               committed ? "read_committed" : "read_uncommitted", NULL));
    rd_kafka_poll_set_consumer(consumer);
    rd_kafka_topic_partition_list_t *list = one_partition(request, number_of(request, "offset"));
    rd_kafka_assign(consumer, list);
    rd_kafka_topic_partition_list_destroy(list);
    json_t *found = json_array(), *why = NULL;
    int64_t end = now_ms() + number_of(request, "timeout_ms");
    while ((int64_t)json_array_size(found) < number_of(request, "count") && !why && now_ms() < end) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 100);
        if (!message)
            continue;
        if (message->err)
            why = failed("%s", rd_kafka_message_errstr(message));
        else
            json_array_append_new(found, record_as_read(message));
        rd_kafka_message_destroy(message);
    }
    rd_kafka_destroy(consumer);
    return why ? why : json_pack("{s:o}", "records", found);
}

static json_t *offset_at(struct adapter *adapter, json_t *request)
{
    rd_kafka_topic_partition_list_t *list = one_partition(request, number_of(request, "at"));
    rd_kafka_resp_err_t err = rd_kafka_offsets_for_times(admin_of(adapter), list, WAIT_MS);
    err = err ? err : list->elems[0].err;
    json_t *answer =
        err ? failed("%s", rd_kafka_err2str(err)) : json_pack("{s:I}", "offset", (json_int_t)list->elems[0].offset);
    rd_kafka_topic_partition_list_destroy(list);
    return answer;
}

json_t *do_offset(struct adapter *adapter, json_t *request)
{
    int64_t at = number_of(request, "at"), low, high;
    if (at >= 0)
        return offset_at(adapter, request);
    rd_kafka_resp_err_t err = rd_kafka_query_watermark_offsets(
        admin_of(adapter), text_of(request, "topic"), (int32_t)number_of(request, "partition"), &low, &high, WAIT_MS);
    return err ? failed("%s", rd_kafka_err2str(err))
               : json_pack("{s:I}", "offset", (json_int_t)(at == -2 ? low : high));
}
