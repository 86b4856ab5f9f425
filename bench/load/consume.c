/* The fetch load: see consume.h. */
#include "bench/load/consume.h"

#include <isa-l.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/load/batch.h"
#include "bench/load/cpu.h"
#include "bench/load/kafka.h"
#include "bench/load/sock.h"
#include "bench/load/wire.h"

enum { ROOM_MORE = 2 << 20, LENGTH_BEHIND = 12 };

static bool crc_good(const uint8_t *batch, uint64_t bytes)
{
    struct get g = {batch + BATCH_CRC_AT, batch + BATCH_CRC_FROM, false};
    uint32_t want = get_u32(&g);
    unsigned char *from = (unsigned char *)(uintptr_t)(batch + BATCH_CRC_FROM);

    return want == ~crc32_iscsi(from, (int)(bytes - BATCH_CRC_FROM), 0xffffffff);
}

/* Takes one batch; false when the rest is not a whole one (brokers may cut the last) or it is wrong (out->wrong). */
static bool take_batch(const struct consume *how, struct get *g, struct consumed *out)
{
    const uint8_t *at = g->at;
    uint64_t base = get_u64(g);
    uint32_t len = get_u32(g);

    if (g->bad || len < BATCH_HEADER_BYTES - LENGTH_BEHIND || !get_bytes(g, len))
        return false;
    struct get delta = {at + 23, at + 27, false};
    uint64_t last = base + get_u32(&delta);

    if (base > out->next_offset || last < out->next_offset)
        out->wrong = "offsets do not follow each other";
    else if (how->check_crc && !crc_good(at, (uint64_t)len + LENGTH_BEHIND))
        out->wrong = "bad CRC";
    out->records += last + 1 - out->next_offset;
    out->next_offset = last + 1;
    return !out->wrong;
}

static bool fetch_once(const struct consume *how, int fd, uint8_t *buf, struct consumed *out)
{
    struct kafka_fetch fetch = {.topic = how->topic,
                                .partition = how->partition,
                                .offset = out->next_offset,
                                .bytes_max = how->fetch_bytes,
                                .wait_ms = 5000};
    struct kafka_fetched got;
    uint64_t from_ns = cpu_now_ns();
    uint64_t before = out->next_offset;

    if (!kafka_fetch(fd, &fetch, buf, how->fetch_bytes + (size_t)ROOM_MORE, &got)) {
        out->wrong = "connection lost or malformed answer";
        return false;
    }
    hist_add(&out->latency, cpu_now_ns() - from_ns);
    if (got.error != KAFKA_NONE) {
        fprintf(stderr, "fetch: error code %d\n", got.error);
        out->wrong = "error code in an answer";
        return false;
    }
    struct get g = {got.records, got.records + got.records_bytes, false};

    while (take_batch(how, &g, out))
        ;
    out->requests++;
    out->bytes += got.records_bytes;
    if (out->next_offset == before && !out->wrong)
        out->wrong = "no record came";
    if (out->next_offset >= got.high_watermark)
        out->next_offset = how->offset;
    return !out->wrong;
}

bool consume_run(const struct consume *how, struct consumed *out)
{
    int fd = sock_connect(how->address, false);
    uint8_t *buf = malloc(how->fetch_bytes + (size_t)ROOM_MORE);
    uint64_t from_ns = cpu_now_ns();
    uint64_t cpu_ns = cpu_used_ns(how->pid);

    out->next_offset = how->offset;
    out->wrong = fd < 0 || !buf ? "no connection" : NULL;
    while (!out->wrong && out->bytes < how->bytes)
        fetch_once(how, fd, buf, out);
    out->ns = cpu_now_ns() - from_ns;
    out->cpu_ns = cpu_used_ns(how->pid) - cpu_ns;
    free(buf);
    if (fd >= 0)
        close(fd);
    return !out->wrong;
}
