/* The group member: a thread of its own polls, the reader of requests commits. */
#include "adapter.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct member {
    rd_kafka_t *consumer;
    pthread_t thread;
    atomic_bool over;
    pthread_mutex_t lock;                   /* guards what follows */
    rd_kafka_topic_partition_list_t *owned; /* offset: behind what was delivered, or OFFSET_INVALID */
};

static void tell(const char *event, const rd_kafka_topic_partition_list_t *list)
{
    json_t *partitions = json_array();
    for (int i = 0; i < list->cnt; i++)
        json_array_append_new(partitions, json_pack("[s, i]", list->elems[i].topic, list->elems[i].partition));
    emit(json_pack("{s:s, s:o, s:n}", "event", event, "partitions", partitions, "generation"));
}

static void change(struct member *member, const rd_kafka_topic_partition_list_t *list, bool gained)
{
    pthread_mutex_lock(&member->lock);
    for (int i = 0; i < list->cnt; i++) {
        rd_kafka_topic_partition_list_del(member->owned, list->elems[i].topic, list->elems[i].partition);
        if (gained)
            rd_kafka_topic_partition_list_add(member->owned, list->elems[i].topic, list->elems[i].partition);
    }
    pthread_mutex_unlock(&member->lock);
}

static void rebalanced(rd_kafka_t *consumer, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *list,
                       void *opaque)
{
    struct member *member = opaque;
    bool cooperative = strcmp(rd_kafka_rebalance_protocol(consumer), "COOPERATIVE") == 0;
    bool gained = err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
    change(member, list, gained);
    if (gained)
        tell("assigned", member->owned);
    else if (list->cnt > 0)
        tell("revoked", list);
    if (!cooperative)
        rd_kafka_assign(consumer, gained ? list : NULL);
    else if (gained)
        rd_kafka_error_destroy(rd_kafka_incremental_assign(consumer, list));
    else
        rd_kafka_error_destroy(rd_kafka_incremental_unassign(consumer, list));
}

static void took(struct member *member, const rd_kafka_message_t *message)
{
    const char *topic = rd_kafka_topic_name(message->rkt);
    pthread_mutex_lock(&member->lock); /* counted before it is told: a commit of one who was told has it */
    rd_kafka_topic_partition_t *mine = rd_kafka_topic_partition_list_find(member->owned, topic, message->partition);
    if (mine)
        mine->offset = message->offset + 1;
    pthread_mutex_unlock(&member->lock);
    emit(json_pack("{s:s, s:s, s:i, s:I, s:o}", "event", "record", "topic", topic, "partition", message->partition,
                   "offset", (json_int_t)message->offset, "value", encoded(message->payload, message->len)));
}

static void *poll_on(void *argument)
{
    struct member *member = argument;
    while (!atomic_load(&member->over)) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(member->consumer, 50);
        if (!message)
            continue;
        if (message->err)
            emit(json_pack("{s:s, s:s}", "event", "error", "error", rd_kafka_message_errstr(message)));
        else
            took(member, message);
        rd_kafka_message_destroy(message);
    }
    rd_kafka_consumer_close(member->consumer);
    return NULL;
}

static void set_number(rd_kafka_conf_t *conf, const char *name, int64_t number)
{
    char text[32], why[WHY_BYTES];
    snprintf(text, sizeof(text), "%lld", (long long)number);
    rd_kafka_conf_set(conf, name, text, why, sizeof(why));
}

rd_kafka_conf_t *member_conf(struct adapter *adapter, json_t *request)
{
    bool cooperative = strcmp(text_of(request, "strategy"), "cooperative") == 0;
    int64_t session_ms = number_of(request, "session_ms"), rebalance_ms = number_of(request, "rebalance_ms");
    rd_kafka_conf_t *conf = conf_of(adapter, "group.id", text_of(request, "group"), "enable.auto.commit", "false",
                                    "auto.offset.reset", "earliest", "partition.assignment.strategy",
                                    cooperative ? "cooperative-sticky" : "range,roundrobin", NULL);
    set_number(conf, "session.timeout.ms", session_ms);
    set_number(conf, "heartbeat.interval.ms", number_of(request, "heartbeat_ms"));
    set_number(conf, "max.poll.interval.ms", rebalance_ms > session_ms ? rebalance_ms : session_ms);
    if (text_of(request, "instance"))
        rd_kafka_conf_set(conf, "group.instance.id", text_of(request, "instance"), NULL, 0);
    return conf;
}

json_t *do_join(struct adapter *adapter, json_t *request)
{
    struct member *member = calloc(1, sizeof(*member));
    rd_kafka_conf_t *conf = member_conf(adapter, request);
    rd_kafka_conf_set_rebalance_cb(conf, rebalanced);
    rd_kafka_conf_set_opaque(conf, member);

    pthread_mutex_init(&member->lock, NULL);
    member->owned = rd_kafka_topic_partition_list_new(8);
    member->consumer = open_client(RD_KAFKA_CONSUMER, conf);
    rd_kafka_poll_set_consumer(member->consumer);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    json_t *topic;
    size_t i;
    json_array_foreach(json_object_get(request, "topics"), i, topic)
        rd_kafka_topic_partition_list_add(topics, json_string_value(topic), RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t err = rd_kafka_subscribe(member->consumer, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    if (err)
        return failed("subscribe: %s", rd_kafka_err2str(err));
    adapter->member = member;
    pthread_create(&member->thread, NULL, poll_on, member);
    return nothing();
}

static rd_kafka_topic_partition_list_t *delivered(struct member *member)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    pthread_mutex_lock(&member->lock);
    for (int i = 0; i < member->owned->cnt; i++) {
        const rd_kafka_topic_partition_t *mine = &member->owned->elems[i];
        if (mine->offset >= 0)
            rd_kafka_topic_partition_list_add(list, mine->topic, mine->partition)->offset = mine->offset;
    }
    pthread_mutex_unlock(&member->lock);
    return list;
}

static rd_kafka_topic_partition_list_t *named(json_t *offsets)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    json_t *one;
    size_t i;
    json_array_foreach(offsets, i, one)
    {
        rd_kafka_topic_partition_t *mine = rd_kafka_topic_partition_list_add(
            list, json_string_value(json_array_get(one, 0)), (int32_t)json_integer_value(json_array_get(one, 1)));
        mine->offset = json_integer_value(json_array_get(one, 2));
        mine->metadata_size = json_string_length(json_array_get(one, 3));
        mine->metadata = malloc(mine->metadata_size + 1); /* the list frees it */
        memcpy(mine->metadata, json_string_value(json_array_get(one, 3)), mine->metadata_size);
    }
    return list;
}

json_t *do_commit(struct adapter *adapter, json_t *request)
{
    json_t *offsets = json_object_get(request, "offsets");
    rd_kafka_topic_partition_list_t *list = json_is_null(offsets) ? delivered(adapter->member) : named(offsets);
    rd_kafka_resp_err_t err = rd_kafka_commit(adapter->member->consumer, list, 0);
    for (int i = 0; i < list->cnt && !err; i++)
        err = list->elems[i].err;
    rd_kafka_topic_partition_list_destroy(list);
    return err ? failed("%s", rd_kafka_err2str(err)) : nothing();
}

json_t *do_leave(struct adapter *adapter, json_t *request)
{
    (void)request;
    struct member *member = adapter->member;
    atomic_store(&member->over, true);
    pthread_join(member->thread, NULL);
    rd_kafka_destroy(member->consumer);
    rd_kafka_topic_partition_list_destroy(member->owned);
    free(member);
    adapter->member = NULL;
    return nothing();
}
