/* The requests that the micro benches decode, from the load generator's encoder, not the broker's: see subject.h. */
#include <assert.h>
#include <string.h>

#include "bench/load/batch.h"
#include "bench/load/cpu.h"
#include "bench/load/kafka.h"
#include "bench/load/proto.h"
#include "bench/micro/subject.h"

static struct batch make(uint8_t *out, uint32_t batch_bytes, uint32_t record_bytes)
{
    return batch_make(1, cpu_wall_ms(), batch_bytes, record_bytes, out);
}

uint32_t subject_make_batch(uint8_t *out, uint32_t batch_bytes, uint32_t record_bytes)
{
    struct batch b = make(out, batch_bytes, record_bytes);

    assert(b.bytes == batch_bytes);
    return b.records;
}

/* The head's length depends on the batch's, so the batch is made behind the largest head and then moved up to it. */
size_t subject_make_produce(uint8_t *out, size_t out_bytes, uint32_t batch_bytes, uint32_t record_bytes)
{
    struct produce_to to = {.topic = "bench", .acks = -1};
    uint8_t head[PROTO_HEAD_MAX];

    assert(out_bytes >= (size_t)PROTO_HEAD_MAX + batch_bytes + PROTO_TAIL_MAX);
    struct batch b = make(out + PROTO_HEAD_MAX, batch_bytes, record_bytes);
    size_t head_bytes = proto_kafka.head_put(&to, b.bytes, head) - 4;

    memcpy(out, head + 4, head_bytes);
    memmove(out + head_bytes, out + PROTO_HEAD_MAX, b.bytes);
    memset(out + head_bytes + b.bytes, 0, PROTO_TAIL_MAX);
    return head_bytes + b.bytes + PROTO_TAIL_MAX;
}

size_t subject_make_fetch(uint8_t *out, size_t out_bytes)
{
    struct kafka_fetch fetch = {.topic = "bench", .bytes_max = 1 << 20, .wait_ms = 500};
    uint8_t request[KAFKA_REQUEST_MAX];
    size_t bytes = kafka_fetch_put(&fetch, request);

    assert(out_bytes >= bytes);
    memcpy(out, request + 4, bytes - 4);
    return bytes - 4;
}
