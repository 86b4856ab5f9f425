/* What the load says to its peer, in two dialects behind one table: Kafka's protocol to a broker, and frames without Kafka
 * to the bare loop. A produce request is head + batch + tail in both, its correlation id at a fixed place, so that the
 * sending loop is the same code for both and only patches four bytes per request.
 *
 *   Kafka:  size | Produce v9 header and body up to the batch | batch | three zero bytes (tags)
 *   bare:   size | correlation id | batch
 * and the answers are a Produce v9 response, or 64 bytes: size 60 | correlation id | file position | zeros. */
#ifndef BENCH_LOAD_PROTO_H
#define BENCH_LOAD_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PROTO_HEAD_MAX = 512,
    PROTO_TAIL_MAX = 3,
    BARE_ACK_BYTES = 64,
};

struct produce_to {
    const char *topic;
    uint32_t partition;
    int16_t acks;
};

struct produce_reply {
    uint32_t correlation;
    /* Kafka's error code, 0 when stored. */
    int16_t error;
    /* Base offset from a broker, file position from the bare loop. */
    uint64_t place;
};

struct proto {
    size_t correlation_at;
    size_t tail_bytes;
    /* Writes what goes before the batch (its size included) and returns its length. */
    size_t (*head_put)(const struct produce_to *to, uint32_t batch_bytes, uint8_t *out);
    /* Reads one whole answer, without its leading size; false when it makes no sense. */
    bool (*reply_get)(const uint8_t *frame, size_t len, struct produce_reply *out_reply);
};

extern const struct proto proto_kafka;
extern const struct proto proto_bare;

#endif
