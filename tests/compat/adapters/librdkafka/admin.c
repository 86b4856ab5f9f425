/* Topics, configurations, DeleteRecords. */
#include "adapter.h"

#include <string.h>

rd_kafka_event_t *admin_result(rd_kafka_queue_t *queue, json_t **out_why)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, WAIT_MS);
    if (!event) {
        *out_why = failed("no answer");
    } else if (rd_kafka_event_error(event)) {
        *out_why = failed("%s", rd_kafka_event_error_string(event));
        rd_kafka_event_destroy(event);
        event = NULL;
    }
    return event;
}

void finish(rd_kafka_queue_t *queue, rd_kafka_event_t *event)
{
    if (event)
        rd_kafka_event_destroy(event);
    if (queue)
        rd_kafka_queue_destroy(queue);
}

/* The answer to a call about one topic. */
static json_t *of_topics(const rd_kafka_topic_result_t **topics, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (rd_kafka_topic_result_error(topics[i]))
            return failed("%s: %s", rd_kafka_err2name(rd_kafka_topic_result_error(topics[i])),
                          rd_kafka_topic_result_error_string(topics[i]));
    return count == 1 ? nothing() : failed("%zu topics in the answer", count);
}

json_t *do_create_topic(struct adapter *adapter, json_t *request)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin_of(adapter));
    rd_kafka_NewTopic_t *topic =
        rd_kafka_NewTopic_new(text_of(request, "topic"), (int)number_of(request, "partitions"), 1, NULL, 0);
    const char *name;
    json_t *value, *answer;
    json_object_foreach(json_object_get(request, "configs"), name, value)
        rd_kafka_NewTopic_set_config(topic, name, json_string_value(value));
    rd_kafka_CreateTopics(admin_of(adapter), &topic, 1, NULL, queue);
    rd_kafka_NewTopic_destroy(topic);
    rd_kafka_event_t *event = admin_result(queue, &answer);
    if (event) {
        size_t count;
        const rd_kafka_topic_result_t **topics =
            rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
        answer = of_topics(topics, count);
    }
    finish(queue, event);
    return answer;
}

json_t *do_create_partitions(struct adapter *adapter, json_t *request)
{
    char why[WHY_BYTES];
    json_t *answer;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin_of(adapter));
    rd_kafka_NewPartitions_t *more =
        rd_kafka_NewPartitions_new(text_of(request, "topic"), (size_t)number_of(request, "total"), why, sizeof(why));
    rd_kafka_CreatePartitions(admin_of(adapter), &more, 1, NULL, queue);
    rd_kafka_NewPartitions_destroy(more);
    rd_kafka_event_t *event = admin_result(queue, &answer);
    if (event) {
        size_t count;
        const rd_kafka_topic_result_t **topics =
            rd_kafka_CreatePartitions_result_topics(rd_kafka_event_CreatePartitions_result(event), &count);
        answer = of_topics(topics, count);
    }
    finish(queue, event);
    return answer;
}

json_t *do_delete_topic(struct adapter *adapter, json_t *request)
{
    json_t *answer;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin_of(adapter));
    rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(text_of(request, "topic"));
    rd_kafka_DeleteTopics(admin_of(adapter), &topic, 1, NULL, queue);
    rd_kafka_DeleteTopic_destroy(topic);
    rd_kafka_event_t *event = admin_result(queue, &answer);
    if (event) {
        size_t count;
        const rd_kafka_topic_result_t **topics =
            rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &count);
        answer = of_topics(topics, count);
    }
    finish(queue, event);
    return answer;
}

json_t *do_describe_topic(struct adapter *adapter, json_t *request)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(admin_of(adapter), text_of(request, "topic"), NULL);
    rd_kafka_resp_err_t err = rd_kafka_metadata(admin_of(adapter), 0, topic, &metadata, WAIT_MS);
    rd_kafka_topic_destroy(topic);
    if (err)
        return failed("%s", rd_kafka_err2str(err));
    err = metadata->topics[0].err;
    json_t *answer =
        err ? failed("%s", rd_kafka_err2str(err)) : json_pack("{s:i}", "partitions", metadata->topics[0].partition_cnt);
    rd_kafka_metadata_destroy(metadata);
    return answer;
}

json_t *do_list_topics(struct adapter *adapter, json_t *request)
{
    (void)request;
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t err = rd_kafka_metadata(admin_of(adapter), 1, NULL, &metadata, WAIT_MS);
    if (err)
        return failed("%s", rd_kafka_err2str(err));
    json_t *topics = json_array();
    for (int i = 0; i < metadata->topic_cnt; i++)
        json_array_append_new(topics, json_string(metadata->topics[i].topic));
    rd_kafka_metadata_destroy(metadata);
    return json_pack("{s:o}", "topics", topics);
}

/* The error of a resource as an answer, or NULL. */
static json_t *of_resource(const rd_kafka_ConfigResource_t **resources, size_t count)
{
    if (count != 1)
        return failed("%zu resources in the answer", count);
    return rd_kafka_ConfigResource_error(resources[0])
               ? failed("%s", rd_kafka_ConfigResource_error_string(resources[0]))
               : NULL;
}

/* librdkafka has the incremental call only from 2.2 on: this resets what it does not name. */
json_t *do_alter_config(struct adapter *adapter, json_t *request)
{
    const char *name;
    json_t *value, *answer;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin_of(adapter));
    rd_kafka_ConfigResource_t *resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, text_of(request, "topic"));
    json_object_foreach(json_object_get(request, "set"), name, value)
        rd_kafka_ConfigResource_set_config(resource, name, json_string_value(value));
    rd_kafka_AlterConfigs(admin_of(adapter), &resource, 1, NULL, queue);
    rd_kafka_ConfigResource_destroy(resource);
    rd_kafka_event_t *event = admin_result(queue, &answer);
    if (event) {
        size_t count;
        const rd_kafka_ConfigResource_t **resources =
            rd_kafka_AlterConfigs_result_resources(rd_kafka_event_AlterConfigs_result(event), &count);
        answer = of_resource(resources, count);
        answer = answer ? answer : json_pack("{s:b}", "incremental", 0);
    }
    finish(queue, event);
    return answer;
}

static json_t *configs_of(const rd_kafka_ConfigResource_t *resource)
{
    size_t count;
    json_t *configs = json_object();
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resource, &count);
    for (size_t i = 0; i < count; i++) {
        const char *value = rd_kafka_ConfigEntry_value(entries[i]);
        json_object_set_new(configs, rd_kafka_ConfigEntry_name(entries[i]), value ? json_string(value) : json_null());
    }
    return json_pack("{s:o}", "configs", configs);
}

json_t *do_describe_config(struct adapter *adapter, json_t *request)
{
    const char *broker = text_of(request, "broker");
    json_t *answer;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin_of(adapter));
    rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(
        broker ? RD_KAFKA_RESOURCE_BROKER : RD_KAFKA_RESOURCE_TOPIC, broker ? broker : text_of(request, "topic"));
    rd_kafka_DescribeConfigs(admin_of(adapter), &resource, 1, NULL, queue);
    rd_kafka_ConfigResource_destroy(resource);
    rd_kafka_event_t *event = admin_result(queue, &answer);
    if (event) {
        size_t count;
        const rd_kafka_ConfigResource_t **resources =
            rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event), &count);
        answer = of_resource(resources, count);
        answer = answer ? answer : configs_of(resources[0]);
    }
    finish(queue, event);
    return answer;
}

json_t *do_delete_records(struct adapter *adapter, json_t *request)
{
    json_t *answer;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin_of(adapter));
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, text_of(request, "topic"), (int32_t)number_of(request, "partition"))
        ->offset = number_of(request, "before");
    rd_kafka_DeleteRecords_t *before = rd_kafka_DeleteRecords_new(list);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_DeleteRecords(admin_of(adapter), &before, 1, NULL, queue);
    rd_kafka_DeleteRecords_destroy(before);
    rd_kafka_event_t *event = admin_result(queue, &answer);
    if (event) {
        const rd_kafka_topic_partition_t *mine =
            rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event))->elems;
        answer = mine->err ? failed("%s", rd_kafka_err2str(mine->err))
                           : json_pack("{s:I}", "low_watermark", (json_int_t)mine->offset);
    }
    finish(queue, event);
    return answer;
}
