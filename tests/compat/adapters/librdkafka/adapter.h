/*
 * The adapter of librdkafka: the words of ../../PROTOCOL.md, one function each.
 *
 * A word gets the request and answers an object with the fields of the answer, or what failed() or unsupported() give.
 * Everything lives until the process ends, except what a request brings.
 */
#pragma once

#include <jansson.h>
#include <librdkafka/rdkafka.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WAIT_MS = 50000, CODECS = 5, TRANSACTIONAL = 32, WHY_BYTES = 512 };

struct member;
struct chain;

struct adapter {
    const char *address;
    rd_kafka_t *producers[CODECS][2];         /* by codec and whether idempotent; NULL until it is needed */
    rd_kafka_t *admin;                        /* NULL until it is needed */
    struct member *member;                    /* NULL outside of join and leave */
    rd_kafka_t *transactional[TRANSACTIONAL]; /* by the first letter of their names */
    struct chain *chain;                      /* NULL before transform */
};

/* Bytes of a request; `bytes` is NULL for null, and has room for one more than `size`. */
struct blob {
    char *bytes;
    size_t size;
};

/* adapter.c: lines, texts, bytes */
json_t *failed(const char *format, ...) __attribute__((format(printf, 1, 2)));
json_t *unsupported(const char *why);
json_t *nothing(void);
void emit(json_t *line); /* takes it */
const char *text_of(json_t *request, const char *name);
int64_t number_of(json_t *request, const char *name);
struct blob blob_of(json_t *text); /* the caller frees the bytes */
json_t *encoded(const void *bytes, size_t size);

/* A configuration with bootstrap.servers and then pairs of name and value up to NULL; it cannot fail but by our mistake. */
rd_kafka_conf_t *conf_of(struct adapter *adapter, ...);
rd_kafka_t *open_client(rd_kafka_type_t type, rd_kafka_conf_t *conf);
rd_kafka_t *admin_of(struct adapter *adapter);

/* records.c */
json_t *do_produce(struct adapter *adapter, json_t *request);
json_t *do_read(struct adapter *adapter, json_t *request);
json_t *do_offset(struct adapter *adapter, json_t *request);
/* A producer whose deliveries send_all waits for; takes the configuration. */
rd_kafka_t *open_producing(rd_kafka_conf_t *conf);
/* Sends the records of a request and waits for them. */
json_t *send_all(rd_kafka_t *producer, json_t *request);

/* member.c */
json_t *do_join(struct adapter *adapter, json_t *request);
json_t *do_commit(struct adapter *adapter, json_t *request);
json_t *do_leave(struct adapter *adapter, json_t *request);
/* What a request to join, or to begin a chain, says. */
rd_kafka_conf_t *member_conf(struct adapter *adapter, json_t *request);

/* transactions.c */
json_t *do_txn_open(struct adapter *adapter, json_t *request);
json_t *do_txn_begin(struct adapter *adapter, json_t *request);
json_t *do_txn_send(struct adapter *adapter, json_t *request);
json_t *do_txn_end(struct adapter *adapter, json_t *request);
json_t *do_transform(struct adapter *adapter, json_t *request);
/* Waits for its thread. */
void end_chain(struct chain *chain);

/* admin.c */
json_t *do_create_topic(struct adapter *adapter, json_t *request);
json_t *do_describe_topic(struct adapter *adapter, json_t *request);
json_t *do_list_topics(struct adapter *adapter, json_t *request);
json_t *do_create_partitions(struct adapter *adapter, json_t *request);
json_t *do_alter_config(struct adapter *adapter, json_t *request);
json_t *do_describe_config(struct adapter *adapter, json_t *request);
json_t *do_delete_records(struct adapter *adapter, json_t *request);
json_t *do_delete_topic(struct adapter *adapter, json_t *request);

/* groups.c */
json_t *do_committed(struct adapter *adapter, json_t *request);
json_t *do_list_groups(struct adapter *adapter, json_t *request);
json_t *do_describe_group(struct adapter *adapter, json_t *request);
json_t *do_delete_group(struct adapter *adapter, json_t *request);
json_t *do_delete_group_offsets(struct adapter *adapter, json_t *request);

/* admin.c, for groups.c: waits for the answer of an admin call. NULL with *out_why when there is none; see finish(). */
rd_kafka_event_t *admin_result(rd_kafka_queue_t *queue, json_t **out_why);
/* Gives back both; either may be NULL. */
void finish(rd_kafka_queue_t *queue, rd_kafka_event_t *event);
