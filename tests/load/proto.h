/* The few Kafka messages that the load program speaks, each in one fixed version:
 *   Metadata v7, CreateTopics v4, InitProducerId v1, ListOffsets v5, Produce v9 (flexible), Fetch v11, ApiVersions v0.
 *
 * put_* appends a whole frame; take_* reads a reply whose frame and correlation id are already off the cursor's front.
 * */
#pragma once
#include "tests/load/wire.h"

enum { PROTO_PARTS_MAX = 64 };

struct proto_pid {
    int64_t id;
    int16_t epoch;
};

struct proto_fetch_part {
    uint32_t partition;
    int64_t offset;
};

/* One partition of a produce reply. */
struct proto_ack {
    uint32_t partition;
    int16_t error;
    int64_t base;
};

/* One partition of a fetch reply; the records lie in the reply's frame. */
struct proto_fetched {
    uint32_t partition;
    int16_t error;
    int64_t high_watermark;
    const uint8_t *records;
    uint32_t bytes;
};

void proto_put_versions(struct wbuf *b, int32_t corr);
bool proto_take_versions(struct rcur *c); /* false: a version that is spoken here is not offered */

void proto_put_create(struct wbuf *b, int32_t corr, const char *topic, uint32_t partitions, char **configs, int count);
int16_t proto_take_create(struct rcur *c);

void proto_put_metadata(struct wbuf *b, int32_t corr, const char *topic);
int16_t proto_take_metadata(struct rcur *c, uint32_t *out_partitions,
                            int32_t *out_epoch); /* the highest leader epoch */

void proto_put_init_pid(struct wbuf *b, int32_t corr);
int16_t proto_take_init_pid(struct rcur *c, struct proto_pid *out);

void proto_put_list(struct wbuf *b, int32_t corr, const char *topic, uint32_t partition, int64_t timestamp);
int16_t proto_take_list(struct rcur *c, int64_t *out_offset);

/* Produce: open, then for each partition its records with begin and end around them, then close. */
void proto_open_produce(struct wbuf *b, int32_t corr, const char *topic, uint32_t partitions, int16_t acks);
void proto_put_produce(struct wbuf *b, uint32_t partition, const struct wbuf *records);
void proto_close_produce(struct wbuf *b);
bool proto_take_produce(struct rcur *c, struct proto_ack *out, uint32_t *out_count);

void proto_put_fetch(struct wbuf *b, int32_t corr, const char *topic, const struct proto_fetch_part *parts,
                     uint32_t count, int32_t wait_ms, int32_t bytes);
bool proto_take_fetch(struct rcur *c, struct proto_fetched *out, uint32_t *out_count);
