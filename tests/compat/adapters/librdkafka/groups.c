/* Groups and their offsets, as an admin sees them. */
#include "adapter.h"

static json_t *of_error(const rd_kafka_error_t *error)
{
    return error ? failed("%s", rd_kafka_error_string(error)) : NULL;
}

static json_t *offsets_of(const rd_kafka_topic_partition_list_t *list)
{
    json_t *offsets = json_array(), *metadata = json_array();
    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *one = &list->elems[i];
        if (one->err)
            return failed("%s", rd_kafka_err2str(one->err));
        json_array_append_new(offsets, json_integer(one->offset < 0 ? -1 : one->offset));
        json_array_append_new(metadata, json_stringn(one->metadata ? one->metadata : "", one->metadata_size));
    }
    return json_pack("{s:o, s:o}", "offsets", offsets, "metadata", metadata);
}

json_t *do_committed(struct adapter *adapter, json_t *request)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    json_t *one, *answer;
    size_t i;
    json_array_foreach(json_object_get(request, "partitions"), i, one) rd_kafka_topic_partition_list_add(
        list, json_string_value(json_array_get(one, 0)), (int32_t)json_integer_value(json_array_get(one, 1)));
    rd_kafka_ListConsumerGroupOffsets_t *group = rd_kafka_ListConsumerGroupOffsets_new(text_of(request, "group"), list);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin_of(adapter));
    rd_kafka_ListConsumerGroupOffsets(admin_of(adapter), &group, 1, NULL, queue);
    rd_kafka_ListConsumerGroupOffsets_destroy(group);
    rd_kafka_event_t *event = admin_result(queue, &answer);
    if (event) {
        size_t count;
        const rd_kafka_group_result_t **groups = rd_kafka_ListConsumerGroupOffsets_result_groups(
            rd_kafka_event_ListConsumerGroupOffsets_result(event), &count);
        answer = of_error(rd_kafka_group_result_error(groups[0]));
        answer = answer ? answer : offsets_of(rd_kafka_group_result_partitions(groups[0]));
    }
    finish(queue, event);
    return answer;
}

static json_t *listed(const rd_kafka_ListConsumerGroups_result_t *result)
{
    size_t count;
    const rd_kafka_error_t **errors = rd_kafka_ListConsumerGroups_result_errors(result, &count);
    if (count > 0)
        return of_error(errors[0]);
    const rd_kafka_ConsumerGroupListing_t **groups = rd_kafka_ListConsumerGroups_result_valid(result, &count);
    json_t *names = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(names, json_string(rd_kafka_ConsumerGroupListing_group_id(groups[i])));
    return json_pack("{s:o}", "groups", names);
}

json_t *do_list_groups(struct adapter *adapter, json_t *request)
{
    (void)request;
    json_t *answer;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin_of(adapter));
    rd_kafka_ListConsumerGroups(admin_of(adapter), NULL, queue);
    rd_kafka_event_t *event = admin_result(queue, &answer);
    if (event)
        answer = listed(rd_kafka_event_ListConsumerGroups_result(event));
    finish(queue, event);
    return answer;
}

static json_t *described(const rd_kafka_ConsumerGroupDescription_t *group)
{
    const char *state = rd_kafka_consumer_group_state_name(rd_kafka_ConsumerGroupDescription_state(group));
    json_t *why = of_error(rd_kafka_ConsumerGroupDescription_error(group));
    return why ? why
               : json_pack("{s:s, s:i, s:n}", "state", state, "members",
                           (int)rd_kafka_ConsumerGroupDescription_member_count(group), "protocol_type");
}

json_t *do_describe_group(struct adapter *adapter, json_t *request)
{
    json_t *answer;
    const char *name = text_of(request, "group");
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin_of(adapter));
    rd_kafka_DescribeConsumerGroups(admin_of(adapter), &name, 1, NULL, queue);
    rd_kafka_event_t *event = admin_result(queue, &answer);
    if (event) {
        size_t count;
        answer = described(rd_kafka_DescribeConsumerGroups_result_groups(
            rd_kafka_event_DescribeConsumerGroups_result(event), &count)[0]);
    }
    finish(queue, event);
    return answer;
}

json_t *do_delete_group(struct adapter *adapter, json_t *request)
{
    json_t *answer;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin_of(adapter));
    rd_kafka_DeleteGroup_t *group = rd_kafka_DeleteGroup_new(text_of(request, "group"));
    rd_kafka_DeleteGroups(admin_of(adapter), &group, 1, NULL, queue);
    rd_kafka_DeleteGroup_destroy(group);
    rd_kafka_event_t *event = admin_result(queue, &answer);
    if (event) {
        size_t count;
        const rd_kafka_group_result_t **groups =
            rd_kafka_DeleteGroups_result_groups(rd_kafka_event_DeleteGroups_result(event), &count);
        answer = of_error(rd_kafka_group_result_error(groups[0]));
        answer = answer ? answer : nothing();
    }
    finish(queue, event);
    return answer;
}

/* The error of the group or of its one partition, or nothing. */
static json_t *deleted(const rd_kafka_group_result_t *group)
{
    json_t *why = of_error(rd_kafka_group_result_error(group));
    if (why)
        return why;
    const rd_kafka_topic_partition_list_t *list = rd_kafka_group_result_partitions(group);
    return list->elems[0].err ? failed("%s", rd_kafka_err2str(list->elems[0].err)) : nothing();
}

json_t *do_delete_group_offsets(struct adapter *adapter, json_t *request)
{
    json_t *answer;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin_of(adapter));
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, text_of(request, "topic"), (int32_t)number_of(request, "partition"));
    rd_kafka_DeleteConsumerGroupOffsets_t *group =
        rd_kafka_DeleteConsumerGroupOffsets_new(text_of(request, "group"), list);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_DeleteConsumerGroupOffsets(admin_of(adapter), &group, 1, NULL, queue);
    rd_kafka_DeleteConsumerGroupOffsets_destroy(group);
    rd_kafka_event_t *event = admin_result(queue, &answer);
    if (event) {
        size_t count;
        const rd_kafka_group_result_t **groups = rd_kafka_DeleteConsumerGroupOffsets_result_groups(
            rd_kafka_event_DeleteConsumerGroupOffsets_result(event), &count);
        answer = deleted(groups[0]);
    }
    finish(queue, event);
    return answer;
}
