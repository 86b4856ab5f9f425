/* A producer: see source.h. */
#include "bench/load/source.h"

#include <assert.h>
#include <string.h>
#include <sys/epoll.h>

#include "bench/load/cpu.h"
#include "bench/load/kafka.h"
#include "bench/load/proto.h"
#include "bench/load/sock.h"
#include "bench/load/wire.h"

static bool ask_producer_id(struct source *s, const char *address)
{
    int16_t error = 0;
    int fd = sock_connect(address, false);
    bool fine = fd >= 0 && kafka_init_producer(fd, &s->producer_id, &s->epoch, &error) && error == 0;
    sock_close(fd);
    return fine;
}

bool source_open(struct source *s, struct driver *d, const char *address, uint32_t partition)
{
    *s = (struct source){.party = PARTY_SOURCE,
                         .driver = d,
                         .partition = partition,
                         .producer_id = -1,
                         .epoch = -1,
                         .sequence = -1,
                         .flow.fd = -1};
    if (d->plan->idempotent && !ask_producer_id(s, address))
        return false;
    if (s->producer_id >= 0)
        s->sequence = 0;
    return flow_open(&s->flow, address);
}

void source_close(struct source *s)
{
    flow_close(&s->flow);
}

static bool is_open_loop(const struct source *s)
{
    return s->step_ns > 0;
}

static double due_of(const struct source *s, uint64_t record)
{
    return s->start_ns + (double)record * s->step_ns;
}

/* When the next batch may go, if the window has room. */
static uint64_t goes_at(const struct source *s)
{
    if (!is_open_loop(s))
        return s->driver->now_ns;
    double full = due_of(s, s->due_count + s->driver->records.max - 1),
           lingered = due_of(s, s->due_count) + (double)s->driver->plan->linger_ns;
    return (uint64_t)(full < lingered ? full : lingered);
}

static bool has_window(const struct source *s)
{
    return s->sent_count < s->driver->plan->in_flight && !s->waits_for_room;
}

static void await_turn(struct source *s)
{
    if (s->left == 0 || *s->driver->phase >= PHASE_DRAIN)
        return;
    if (has_window(s))
        driver_due(s->driver, s, goes_at(s));
    else
        s->was_full = true;
}

void source_begin(struct source *s, uint64_t start_ns, double step_ns, uint64_t records)
{
    s->start_ns = (double)start_ns;
    s->step_ns = step_ns;
    s->due_count = 0;
    s->left = records;
    s->was_full = false;
    await_turn(s);
}

static uint32_t arrived(const struct source *s)
{
    uint64_t n = s->driver->records.max;
    if (is_open_loop(s)) {
        double waiting = ((double)s->driver->now_ns - due_of(s, s->due_count)) / s->step_ns;
        n = waiting < 0 ? 1 : (uint64_t)waiting + 1;
    }
    if (n > s->driver->records.max)
        n = s->driver->records.max;
    return (uint32_t)(n < s->left ? n : s->left);
}

static size_t put_head(struct source *s, size_t batch_bytes)
{
    struct produce_to to = {.topic = s->driver->plan->topic, .partition = s->partition, .acks = s->driver->plan->acks};
    size_t bytes = proto_kafka.head_put(&to, (uint32_t)batch_bytes, s->head);
    struct put correlation = {s->head + proto_kafka.correlation_at, s->head + proto_kafka.correlation_at + 4};
    put_u32(&correlation, s->next_correlation++);
    return bytes;
}

static void measure_lateness(struct source *s)
{
    struct driver *d = s->driver;
    if (is_open_loop(s) && !s->was_full && driver_counts(d, d->now_ns)) {
        uint64_t wanted = goes_at(s);
        hist_add(&d->tally.late, d->now_ns > wanted ? d->now_ns - wanted : 0);
    }
    s->was_full =
        is_open_loop(s) && due_of(s, s->due_count + d->records.max) < (double)d->now_ns; /* it still has to catch up */
}

static void remember(struct source *s, const struct records_of *of, size_t bytes)
{
    struct driver *d = s->driver;
    if (driver_counts(d, (uint64_t)of->due_ns)) {
        d->tally.sent_records += of->count;
        d->tally.requests++;
    }
    s->due_count += of->count;
    s->left -= s->left == UINT64_MAX ? 0 : of->count;
    if (s->producer_id >= 0)
        s->sequence += (int32_t)of->count;
    if (d->plan->acks == 0) {
        d->all_acked += of->count;
        return;
    }
    s->sent[(s->sent_from + s->sent_count++) % PLAN_IN_FLIGHT_MAX] = (struct sent_batch){
        .first_due_ns = of->due_ns, .sent_ns = cpu_now_ns(), .records = of->count, .bytes = (uint32_t)bytes};
    d->in_flight++;
}

static bool send_batch(struct source *s)
{
    struct driver *d = s->driver;
    struct records_of of = {.count = arrived(s),
                            .due_ns = is_open_loop(s) ? due_of(s, s->due_count) : (double)d->now_ns,
                            .step_ns = s->step_ns,
                            .producer_id = s->producer_id,
                            .epoch = s->epoch,
                            .sequence = s->sequence};
    size_t bytes;
    const uint8_t *batch = records_make(&d->records, &of, &bytes);
    if (!batch)
        return false;
    static const uint8_t tail[PROTO_TAIL_MAX];
    size_t head = put_head(s, bytes);
    struct iovec parts[] = {
        {s->head, head}, {(void *)(uintptr_t)batch, bytes}, {(void *)(uintptr_t)tail, proto_kafka.tail_bytes}};
    remember(s, &of, bytes);
    return flow_send(&s->flow, parts, 3);
}

void source_go(struct source *s)
{
    struct driver *d = s->driver;
    if (!has_window(s) || s->left == 0)
        return;
    measure_lateness(s);
    if (!send_batch(s)) {
        driver_fail(d, "a batch could not be sent: the broker closed the connection", 0);
        return;
    }
    s->waits_for_room = flow_waits(&s->flow);
    if (s->waits_for_room)
        driver_await_room(d, s->flow.fd, s, true);
    await_turn(s);
}

static void take_ack(struct source *s, const struct sent_batch *b)
{
    struct driver *d = s->driver;
    uint64_t now = cpu_now_ns();
    struct second *sec = driver_second(d);
    sec->acked_records += b->records;
    d->all_acked += b->records;
    if (driver_counts(d, (uint64_t)b->first_due_ns)) {
        d->tally.acked_records += b->records;
        d->tally.acked_bytes += b->bytes;
        hist_add(&d->tally.from_send, now - b->sent_ns);
    }
    for (uint32_t i = 0; i < b->records; i++) {
        uint64_t due = (uint64_t)(b->first_due_ns + i * s->step_ns), took = now > due ? now - due : 0;
        hist_add(&sec->from_due, took);
        if (driver_counts(d, (uint64_t)b->first_due_ns))
            hist_add(&d->tally.from_due, took);
    }
}

static bool take_answer(void *arg, const uint8_t *at, size_t bytes)
{
    struct source *s = arg;
    struct produce_reply r;
    uint32_t expected = s->next_correlation - s->sent_count;
    if (!proto_kafka.reply_get(at, bytes, &r) || s->sent_count == 0 || r.correlation != expected) {
        driver_fail(s->driver, "an answer to Produce makes no sense", 0);
        return false;
    }
    if (r.error) {
        driver_fail(s->driver, "Produce was refused", r.error);
        return false;
    }
    struct sent_batch b = s->sent[s->sent_from];
    s->sent_from = (s->sent_from + 1) % PLAN_IN_FLIGHT_MAX;
    s->sent_count--;
    s->driver->in_flight--;
    take_ack(s, &b);
    return true;
}

void source_ready(struct source *s, uint32_t events)
{
    struct driver *d = s->driver;
    if ((events & EPOLLOUT) && s->waits_for_room) {
        if (!flow_flush(&s->flow)) {
            driver_fail(d, "a producer's connection broke", 0);
            return;
        }
        s->waits_for_room = flow_waits(&s->flow);
        if (!s->waits_for_room)
            driver_await_room(d, s->flow.fd, s, false);
    }
    if ((events & ~(uint32_t)EPOLLOUT) && !flow_receive(&s->flow, d->scratch, DRIVER_SCRATCH_BYTES, take_answer, s)) {
        driver_fail(d, "the broker closed a producer's connection", 0);
        return;
    }
    if (!s->in_heap)
        await_turn(s);
}
