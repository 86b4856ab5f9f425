/* A consumer: see sink.h. */
#include "bench/load/sink.h"

#include <sys/epoll.h>

#include "bench/load/cpu.h"
#include "bench/load/kafka.h"

bool sink_open(struct sink *s, struct driver *d, const char *address, uint32_t partition)
{
    *s = (struct sink){
        .party = PARTY_SINK, .driver = d, .partition = partition, .fetch_bytes = d->plan->fetch_bytes, .flow.fd = -1};
    return flow_open(&s->flow, address);
}

void sink_close(struct sink *s)
{
    flow_close(&s->flow);
}

bool sink_ask(struct sink *s)
{
    uint8_t request[KAFKA_REQUEST_MAX];
    struct kafka_fetch fetch = {.topic = s->driver->plan->topic,
                                .partition = s->partition,
                                .offset = s->offset,
                                .bytes_max = s->fetch_bytes,
                                .wait_ms = s->driver->plan->fetch_wait_ms};
    struct iovec part = {request, kafka_fetch_put(&fetch, request)};
    return flow_send(&s->flow, &part, 1);
}

struct seeing {
    struct driver *driver;
    struct second *second;
    uint64_t now_ns, records, bytes;
};

static void see(void *arg, uint64_t stamp_ns, size_t value_bytes)
{
    struct seeing *now = arg;
    uint64_t took = now->now_ns > stamp_ns ? now->now_ns - stamp_ns : 0;
    now->records++;
    now->bytes += value_bytes;
    hist_add(&now->second->end_to_end, took);
    if (!driver_counts(now->driver, stamp_ns))
        return;
    hist_add(&now->driver->tally.end_to_end, took);
    now->driver->tally.read_records++;
}

static bool take_batches(struct sink *s, const uint8_t *at, size_t bytes)
{
    struct driver *d = s->driver;
    struct seeing now = {.driver = d, .second = driver_second(d), .now_ns = cpu_now_ns()};
    size_t one;
    while ((one = records_batch_bytes(at, bytes)) > 0) {
        struct records_read r = records_walk(&d->records, at, one, s->offset, see, &now);
        if (r.wrong || r.base > s->offset || r.next <= s->offset) {
            driver_fail(d, r.wrong ? "a batch that was read makes no sense" : "an offset is missing", 0);
            return false;
        }
        s->offset = r.next;
        at += one;
        bytes -= one;
    }
    now.second->read_records += now.records;
    now.second->read_bytes += now.bytes;
    if (*d->phase == PHASE_MEASURE)
        d->tally.read_bytes += now.bytes;
    d->all_read += now.records;
    return true;
}

static bool take_fetched(void *arg, const uint8_t *at, size_t bytes)
{
    struct sink *s = arg;
    struct kafka_fetched f;
    if (!kafka_fetch_get(at, bytes, &f)) {
        driver_fail(s->driver, "an answer to Fetch makes no sense", 0);
        return false;
    }
    if (f.error) {
        driver_fail(s->driver, "Fetch was refused", f.error);
        return false;
    }
    return take_batches(s, f.records, f.records_bytes) && sink_ask(s);
}

void sink_ready(struct sink *s, uint32_t events)
{
    (void)events; /* a request is far smaller than a socket's buffer: it is never waited for */
    if (!flow_receive(&s->flow, s->driver->scratch, DRIVER_SCRATCH_BYTES, take_fetched, s))
        driver_fail(s->driver, "the broker closed a consumer's connection", 0);
}
