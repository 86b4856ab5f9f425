/* The broker's side of the micro benches: see subject.h. */
#include "bench/micro/subject.h"

#include <string.h>

#include "core/crc.h"
#include "net/wire/kmsg.h"
#include "storage/log/batch.h"

enum { CRC_AT = 17, ARENA_BYTES = 16 << 10 };

static uint32_t crc_of_header(const uint8_t *batch)
{
    return be32_get(batch + CRC_AT);
}

bool subject_crc(const uint8_t *batch, uint32_t bytes)
{
    return crc32c(0, batch + BATCH_CRC_FROM, bytes - BATCH_CRC_FROM) == crc_of_header(batch);
}

bool subject_crc_copy(uint8_t *to, const uint8_t *batch, uint32_t bytes)
{
    memcpy(to, batch, BATCH_CRC_FROM);
    return crc32c_copy(0, to + BATCH_CRC_FROM, batch + BATCH_CRC_FROM, bytes - BATCH_CRC_FROM) == crc_of_header(batch);
}

static bool open_frame(const uint8_t *frame, size_t bytes, struct arena *arena, struct request_header *out_header,
                       struct kview *out_body)
{
    const struct kapi *api;
    struct kview whole = {frame, (int32_t)bytes};

    return kmsg_open(whole, arena, out_header, &api, out_body) == KOPEN_OK;
}

bool subject_decode_produce(const uint8_t *frame, size_t bytes)
{
    _Alignas(8) uint8_t room[ARENA_BYTES];
    struct arena arena = arena_of(room, sizeof room);
    struct request_header header;
    struct produce_request m;
    struct kview body;

    return open_frame(frame, bytes, &arena, &header, &body) &&
           produce_request_decode(&m, body, header.request_api_version, &arena) && m.topic_data.n == 1 &&
           m.topic_data.v[0].partition_data.n == 1 && m.topic_data.v[0].partition_data.v[0].records.n > 0;
}

bool subject_decode_fetch(const uint8_t *frame, size_t bytes)
{
    _Alignas(8) uint8_t room[ARENA_BYTES];
    struct arena arena = arena_of(room, sizeof room);
    struct request_header header;
    struct fetch_request m;
    struct kview body;

    return open_frame(frame, bytes, &arena, &header, &body) &&
           fetch_request_decode(&m, body, header.request_api_version, &arena) && m.topics.n == 1 &&
           m.topics.v[0].partitions.n == 1;
}

bool subject_check_batch(const uint8_t *batch, uint32_t bytes, uint32_t records)
{
    struct batch_limits limits = {.max_message_bytes = 1 << 21,
                                  .segment_bytes = 1 << 30,
                                  .timestamp_before_max_ms = INT64_MAX,
                                  .timestamp_after_max_ms = INT64_MAX,
                                  .produce_version = 9};
    struct batch_fault fault;
    struct batch out;

    return batch_check(batch, bytes, &limits, &out, &fault) == KERR_NONE && out.count == (int32_t)records;
}

size_t subject_encode_produce_response(uint8_t *out, size_t out_bytes)
{
    static const uint8_t topic[] = "bench";
    struct partition_produce_response partition;
    struct topic_produce_response response;
    struct produce_response m;
    struct kwriter w = kwriter_of(out, out_bytes);

    partition_produce_response_init(&partition);
    topic_produce_response_init(&response);
    produce_response_init(&m);
    partition.base_offset = 42;
    response.name = (struct kview){topic, sizeof topic - 1};
    response.partition_responses.v = &partition;
    response.partition_responses.n = 1;
    m.responses.v = &response;
    m.responses.n = 1;
    return produce_response_encode(&m, &w, 9) ? kwriter_bytes(&w) : 0;
}
