/* The lines of the protocol, and what all words need. */
#include "adapter.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t out_lock = PTHREAD_MUTEX_INITIALIZER;
static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

json_t *failed(const char *format, ...)
{
    char why[WHY_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    return json_pack("{s:s}", "error", why);
}

json_t *unsupported(const char *why)
{
    return json_pack("{s:s}", "unsupported", why);
}

json_t *nothing(void)
{
    return json_object();
}

void emit(json_t *line)
{
    pthread_mutex_lock(&out_lock);
    json_dumpf(line, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    pthread_mutex_unlock(&out_lock);
    json_decref(line);
}

const char *text_of(json_t *request, const char *name)
{
    return json_string_value(json_object_get(request, name));
}

int64_t number_of(json_t *request, const char *name)
{
    return json_integer_value(json_object_get(request, name));
}

struct blob blob_of(json_t *text)
{
    struct blob blob = {NULL, 0};
    if (!json_is_string(text))
        return blob;
    blob.bytes = calloc(json_string_length(text) + 1, 1);
    uint32_t bits = 0;
    int count = 0;
    for (const char *at = json_string_value(text); *at && *at != '='; at++) {
        bits = bits << 6 | (uint32_t)(strchr(digits, *at) - digits);
        count += 6;
        if (count >= 8) {
            count -= 8;
            blob.bytes[blob.size++] = (char)(bits >> count & 0xff);
        }
    }
    return blob;
}

json_t *encoded(const void *bytes, size_t size)
{
    if (!bytes)
        return json_null();
    const unsigned char *from = bytes;
    char *text = malloc(size / 3 * 4 + 8);
    size_t at = 0;
    for (size_t i = 0; i < size; i += 3) {
        uint32_t bits = (uint32_t)from[i] << 16;
        bits |= i + 1 < size ? (uint32_t)from[i + 1] << 8 : 0;
        bits |= i + 2 < size ? (uint32_t)from[i + 2] : 0;
        text[at++] = digits[bits >> 18 & 63];
        text[at++] = digits[bits >> 12 & 63];
        text[at++] = i + 1 < size ? digits[bits >> 6 & 63] : '=';
        text[at++] = i + 2 < size ? digits[bits & 63] : '=';
    }
    json_t *encoding = json_stringn(text, at);
    free(text);
    return encoding;
}

rd_kafka_conf_t *conf_of(struct adapter *adapter, ...)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    const char *name = "bootstrap.servers", *value = adapter->address;
    va_list args;
    va_start(args, adapter);
    while (name) {
        char why[WHY_BYTES];
        if (rd_kafka_conf_set(conf, name, value, why, sizeof(why)) != RD_KAFKA_CONF_OK) {
            fprintf(stderr, "%s=%s: %s\n", name, value, why);
            exit(1);
        }
        name = va_arg(args, const char *);
        value = name ? va_arg(args, const char *) : NULL;
    }
    va_end(args);
    return conf;
}

rd_kafka_t *open_client(rd_kafka_type_t type, rd_kafka_conf_t *conf)
{
    char why[WHY_BYTES];
    rd_kafka_t *client = rd_kafka_new(type, conf, why, sizeof(why));
    if (!client) {
        fprintf(stderr, "rd_kafka_new: %s\n", why);
        exit(1);
    }
    return client;
}

rd_kafka_t *admin_of(struct adapter *adapter)
{
    if (!adapter->admin)
        adapter->admin = open_client(RD_KAFKA_PRODUCER, conf_of(adapter, NULL));
    return adapter->admin;
}

static json_t *do_hello(struct adapter *adapter, json_t *request)
{
    (void)adapter, (void)request;
    return json_pack("{s:s, s:s}", "client", "librdkafka", "version", rd_kafka_version_str());
}

static json_t *do_quit(struct adapter *adapter, json_t *request)
{
    if (adapter->member)
        json_decref(do_leave(adapter, request));
    if (adapter->chain)
        end_chain(adapter->chain);
    for (int codec = 0; codec < CODECS; codec++)
        for (int idempotent = 0; idempotent < 2; idempotent++)
            if (adapter->producers[codec][idempotent])
                rd_kafka_destroy(adapter->producers[codec][idempotent]);
    if (adapter->admin)
        rd_kafka_destroy(adapter->admin);
    return nothing();
}

static const struct {
    const char *name;
    json_t *(*run)(struct adapter *adapter, json_t *request);
} words[] = {
    {"hello", do_hello},
    {"produce", do_produce},
    {"read", do_read},
    {"offset", do_offset},
    {"join", do_join},
    {"commit", do_commit},
    {"committed", do_committed},
    {"leave", do_leave},
    {"create_topic", do_create_topic},
    {"describe_topic", do_describe_topic},
    {"list_topics", do_list_topics},
    {"create_partitions", do_create_partitions},
    {"alter_config", do_alter_config},
    {"describe_config", do_describe_config},
    {"delete_records", do_delete_records},
    {"delete_topic", do_delete_topic},
    {"list_groups", do_list_groups},
    {"describe_group", do_describe_group},
    {"delete_group", do_delete_group},
    {"delete_group_offsets", do_delete_group_offsets},
    {"txn_open", do_txn_open},
    {"txn_begin", do_txn_begin},
    {"txn_send", do_txn_send},
    {"txn_end", do_txn_end},
    {"transform", do_transform},
    {"quit", do_quit},
};

static json_t *answer_of(struct adapter *adapter, json_t *request)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(words[i].name, text_of(request, "do")) == 0)
            return words[i].run(adapter, request);
    return unsupported("the client has no such thing");
}

int main(int argc, char **argv)
{
    struct adapter adapter = {.address = argc == 2 ? argv[1] : ""};
    char *line = NULL;
    size_t room = 0;
    bool quit = false;
    while (!quit && getline(&line, &room, stdin) > 0) {
        json_t *request = json_loads(line, 0, NULL);
        json_t *answer = answer_of(&adapter, request);
        if (!json_object_get(answer, "error") && !json_object_get(answer, "unsupported"))
            json_object_set_new(answer, "ok", json_true());
        json_object_set(answer, "id", json_object_get(request, "id"));
        quit = strcmp(text_of(request, "do"), "quit") == 0;
        emit(answer);
        json_decref(request);
    }
    free(line);
    _Exit(quit ? 0 : 1);
}
