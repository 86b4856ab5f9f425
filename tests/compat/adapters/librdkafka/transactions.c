/* Transactional producers by their names, and the chain: a thread that reads as a member and writes in transactions with its offsets. */
#include "adapter.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { TURN_RECORDS = 100, TURN_MS = 50 };

static const char did[] = "did ";

struct chain {
    rd_kafka_t *producer, *consumer;
    char *to;
    pthread_t thread;
    atomic_bool over;
};

/* NULL, or what failed() says; gives the error back. */
static json_t *outcome(rd_kafka_error_t *error)
{
    if (!error)
        return NULL;
    json_t *why = failed("%s: %s", rd_kafka_error_name(error), rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    return why;
}

static json_t *or_nothing(json_t *why)
{
    return why ? why : nothing();
}

static rd_kafka_t *named_producer(struct adapter *adapter, json_t *request)
{
    return adapter->transactional[(unsigned char)text_of(request, "as")[0] % TRANSACTIONAL];
}

static json_t *open_producer(struct adapter *adapter, json_t *request, rd_kafka_t **out)
{
    char timeout_ms[32];
    snprintf(timeout_ms, sizeof(timeout_ms), "%lld", (long long)number_of(request, "timeout_ms"));
    rd_kafka_conf_t *conf = conf_of(adapter, "transactional.id", text_of(request, "txn"), "transaction.timeout.ms",
                                    timeout_ms, "linger.ms", "5", NULL);
    *out = open_producing(conf);
    return outcome(rd_kafka_init_transactions(*out, WAIT_MS));
}

json_t *do_txn_open(struct adapter *adapter, json_t *request)
{
    rd_kafka_t *producer;
    json_t *why = open_producer(adapter, request, &producer);
    adapter->transactional[(unsigned char)text_of(request, "as")[0] % TRANSACTIONAL] = producer;
    return or_nothing(why);
}

json_t *do_txn_begin(struct adapter *adapter, json_t *request)
{
    return or_nothing(outcome(rd_kafka_begin_transaction(named_producer(adapter, request))));
}

json_t *do_txn_send(struct adapter *adapter, json_t *request)
{
    return send_all(named_producer(adapter, request), request);
}

json_t *do_txn_end(struct adapter *adapter, json_t *request)
{
    rd_kafka_t *producer = named_producer(adapter, request);
    bool commit = json_is_true(json_object_get(request, "commit"));
    return or_nothing(outcome(commit ? rd_kafka_commit_transaction(producer, WAIT_MS)
                                     : rd_kafka_abort_transaction(producer, WAIT_MS)));
}

static void forward(struct chain *chain, const rd_kafka_message_t *message, rd_kafka_topic_partition_list_t *ends)
{
    char *value = malloc(sizeof(did) + message->len);
    memcpy(value, did, sizeof(did) - 1);
    memcpy(value + sizeof(did) - 1, message->payload, message->len);
    rd_kafka_producev(chain->producer, RD_KAFKA_V_TOPIC(chain->to), RD_KAFKA_V_PARTITION(message->partition),
                      RD_KAFKA_V_VALUE(value, sizeof(did) - 1 + message->len), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                      RD_KAFKA_V_END);
    free(value);
    const char *topic = rd_kafka_topic_name(message->rkt);
    rd_kafka_topic_partition_t *end = rd_kafka_topic_partition_list_find(ends, topic, message->partition);
    if (!end)
        end = rd_kafka_topic_partition_list_add(ends, topic, message->partition);
    end->offset = message->offset + 1;
}

/* The transaction of a first message and those that follow it at once; *out_count: of how many. NULL, or why it failed. */
static json_t *transact(struct chain *chain, rd_kafka_message_t *message, int *out_count)
{
    rd_kafka_topic_partition_list_t *ends = rd_kafka_topic_partition_list_new(8);
    json_t *why = outcome(rd_kafka_begin_transaction(chain->producer));
    for (*out_count = 0; message;
         message = *out_count < TURN_RECORDS ? rd_kafka_consumer_poll(chain->consumer, 0) : NULL) {
        if (message->err && !why)
            why = failed("%s", rd_kafka_message_errstr(message));
        if (!why)
            forward(chain, message, ends);
        *out_count += 1;
        rd_kafka_message_destroy(message);
    }
    rd_kafka_consumer_group_metadata_t *member = rd_kafka_consumer_group_metadata(chain->consumer);
    if (!why)
        why = outcome(rd_kafka_send_offsets_to_transaction(chain->producer, ends, member, WAIT_MS));
    if (!why)
        why = outcome(rd_kafka_commit_transaction(chain->producer, WAIT_MS));
    rd_kafka_consumer_group_metadata_destroy(member);
    rd_kafka_topic_partition_list_destroy(ends);
    return why;
}

static void *run_chain(void *argument)
{
    struct chain *chain = argument;
    json_t *why = NULL;
    while (!atomic_load(&chain->over) && !why) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(chain->consumer, TURN_MS);
        int count;
        if (!message)
            continue;
        why = transact(chain, message, &count);
        if (!why)
            emit(json_pack("{s:s, s:i}", "event", "transformed", "count", count));
    }
    if (why) {
        json_object_set_new(why, "event", json_string("error"));
        emit(why);
    }
    rd_kafka_consumer_close(chain->consumer);
    return NULL;
}

json_t *do_transform(struct adapter *adapter, json_t *request)
{
    struct chain *chain = calloc(1, sizeof(*chain));
    json_t *why = open_producer(adapter, request, &chain->producer);
    if (why)
        return why;
    rd_kafka_conf_t *conf = member_conf(adapter, request);
    rd_kafka_conf_set(conf, "isolation.level", "read_committed", NULL, 0);
    chain->consumer = open_client(RD_KAFKA_CONSUMER, conf);
    chain->to = strdup(text_of(request, "to"));
    rd_kafka_poll_set_consumer(chain->consumer);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, text_of(request, "topic"), RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t err = rd_kafka_subscribe(chain->consumer, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    if (err)
        return failed("subscribe: %s", rd_kafka_err2str(err));
    adapter->chain = chain;
    pthread_create(&chain->thread, NULL, run_chain, chain);
    return nothing();
}

void end_chain(struct chain *chain)
{
    atomic_store(&chain->over, true);
    pthread_join(chain->thread, NULL);
}
