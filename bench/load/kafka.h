/* The few Kafka messages that the load needs besides Produce, over one blocking connection: CreateTopics v5, Fetch v12, Metadata v9,
 * InitProducerId v2.
 * Written by hand on purpose: see wire.h. */
#ifndef BENCH_LOAD_KAFKA_H
#define BENCH_LOAD_KAFKA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    KAFKA_NONE = 0,
    KAFKA_UNKNOWN_TOPIC = 3,
    KAFKA_LEADER_NOT_AVAILABLE = 5,
    KAFKA_NOT_LEADER = 6,
    KAFKA_TOPIC_EXISTS = 36,
    KAFKA_REQUEST_MAX = 4096,
};

struct kafka_topic {
    const char *name;
    uint32_t partitions;
    /* NULL-terminated list of "key=value", or NULL. */
    const char *const *configs;
};

struct kafka_fetch {
    const char *topic;
    uint32_t partition;
    uint64_t offset;
    uint32_t bytes_max;
    uint32_t wait_ms;
};

struct kafka_fetched {
    int16_t error;
    uint64_t high_watermark;
    /* The records field, inside the caller's buffer. */
    const uint8_t *records;
    size_t records_bytes;
};

/* The Fetch request itself, into KAFKA_REQUEST_MAX bytes; its length. */
size_t kafka_fetch_put(const struct kafka_fetch *fetch, uint8_t *out);

/* Both return false when the connection or the answer is broken. */
bool kafka_create_topic(int fd, const struct kafka_topic *topic, int16_t *out_error);
/* `buf` receives the answer and must hold bytes_max and 1 MiB + 4 KiB more (a broker may send one larger batch). */
/* Reads one whole answer to a Fetch, without its leading size. */
bool kafka_fetch_get(const uint8_t *frame, size_t len, struct kafka_fetched *out);
bool kafka_fetch(int fd, const struct kafka_fetch *fetch, uint8_t *buf, size_t buf_bytes, struct kafka_fetched *out);

/* Where each partition of a topic is led. */
enum { KAFKA_ADDRESS_MAX = 280, KAFKA_BROKERS_MAX = 64 };
struct kafka_leaders {
    uint32_t partitions; /* that `address_of` has room for, then how many there are */
    uint8_t *address_of; /* index into `address`; KAFKA_BROKERS_MAX: no leader */
    uint32_t brokers;
    char address[KAFKA_BROKERS_MAX][KAFKA_ADDRESS_MAX];
    int16_t error; /* the topic's */
};
bool kafka_leaders(int fd, const char *topic, struct kafka_leaders *out);
bool kafka_init_producer(int fd, int64_t *out_id, int16_t *out_epoch, int16_t *out_error);

#endif
