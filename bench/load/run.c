/* Runs: see run.h. */
#include "bench/load/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "bench/load/cpu.h"
#include "bench/load/durable.h"
#include "bench/load/kafka.h"
#include "bench/load/sink.h"
#include "bench/load/sock.h"
#include "bench/load/source.h"

enum {
    LEADERS_TRIES = 100,
    LEADERS_WAIT_US = 100000,
    DRAIN_S = 30,
    SWAP_WAIT_US = 200,
    LOOK_US = 500, /* how often it looks whether a run has done enough */
    TICK_US = 5000,
    HALVINGS = 4
};

struct run {
    const struct plan *plan;
    struct plan own; /* the plan with this run's topic */
    char topic[128];
    struct kafka_leaders leaders;
    struct driver *drivers;
    uint32_t threads;
    _Atomic enum phase phase;
    _Atomic uint64_t measure_from_ns, measure_to_ns;
    uint64_t second; /* its number */
    char *why;
};

static bool run_fails(struct run *r, const char *what, const char *detail)
{
    snprintf(r->why, RUN_TEXT, "%s%s%s", what, *detail ? ": " : "", detail);
    return false;
}

/* --- the topic --- */

static bool make_topic(struct run *r, int fd)
{
    struct kafka_topic topic = {.name = r->topic, .partitions = r->plan->partitions, .configs = r->plan->configs};
    int16_t error = 0;
    if (!kafka_create_topic(fd, &topic, &error))
        return run_fails(r, "the broker does not answer CreateTopics", r->plan->address);
    char code[64];
    snprintf(code, sizeof code, "error code %d", error);
    return error == KAFKA_NONE || run_fails(r, "the topic could not be made", code);
}

static bool all_led(const struct run *r)
{
    bool all = r->leaders.error == 0 && r->leaders.partitions == r->plan->partitions;
    for (uint32_t i = 0; i < r->plan->partitions && all; i++)
        all = r->leaders.address_of[i] < r->leaders.brokers;
    return all;
}

static bool find_leaders(struct run *r, int fd)
{
    for (int i = 0; i < LEADERS_TRIES; i++) {
        r->leaders.partitions = r->plan->partitions;
        if (!kafka_leaders(fd, r->topic, &r->leaders))
            return run_fails(r, "the broker does not answer Metadata", r->plan->address);
        if (all_led(r))
            return true;
        usleep(LEADERS_WAIT_US);
    }
    return run_fails(r, "the topic has no leader for each partition after 10 s", r->topic);
}

static const char *leader_of(struct run *r, uint32_t partition)
{
    return r->leaders.address[r->leaders.address_of[partition]];
}

/* A leader that is known may not serve its partition yet. */
static bool await_served(struct run *r, uint32_t partition)
{
    static uint8_t answer[1 << 16];
    struct kafka_fetch fetch = {.topic = r->topic, .partition = partition, .bytes_max = 1};
    struct kafka_fetched f = {.error = -1};
    int fd = sock_connect(leader_of(r, partition), false);
    bool fine = fd >= 0;
    for (int i = 0; i < LEADERS_TRIES && fine && f.error; i++) {
        if (i > 0)
            usleep(LEADERS_WAIT_US);
        fine = kafka_fetch(fd, &fetch, answer, sizeof answer, &f);
    }
    sock_close(fd);
    return (fine && !f.error) || run_fails(r, "a partition is not served after 10 s", leader_of(r, partition));
}

static bool set_topic_up(struct run *r)
{
    static unsigned number;
    if (r->plan->topic)
        snprintf(r->topic, sizeof r->topic, "%s%s%.0u", r->plan->topic, number ? "-" : "", number);
    else
        snprintf(r->topic, sizeof r->topic, "bench-%lx-%u", (unsigned long)cpu_wall_ms(), number);
    number++;
    r->own = *r->plan;
    r->own.topic = r->topic;
    r->leaders.address_of = calloc(r->plan->partitions, 1);
    int fd = sock_connect(r->plan->address, false);
    bool fine = fd >= 0 ? r->leaders.address_of && make_topic(r, fd) && find_leaders(r, fd)
                        : run_fails(r, "no connection", r->plan->address);
    sock_close(fd);
    for (uint32_t i = 0; i < r->plan->partitions && fine; i++)
        fine = await_served(r, i);
    return fine;
}

/* --- threads --- */

/* Sources go to all threads but the last, sinks to the last one, where there are several. */
static uint32_t source_threads(const struct run *r)
{
    return r->threads > 1 && r->plan->fan_out ? r->threads - 1 : r->threads;
}

static bool open_driver(struct run *r, struct driver *d, uint32_t number)
{
    d->plan = &r->own;
    d->phase = &r->phase;
    d->measure_from_ns = &r->measure_from_ns;
    d->measure_to_ns = &r->measure_to_ns;
    d->cpu = r->plan->cpu < 0 ? -1 : r->plan->cpu + (int)number;
    d->epoll = epoll_create1(EPOLL_CLOEXEC);
    d->sources = calloc(r->plan->connections, sizeof *d->sources);
    d->heap = calloc(r->plan->connections, sizeof *d->heap);
    d->sinks = calloc((size_t)r->plan->partitions * r->plan->fan_out + 1, sizeof *d->sinks);
    d->scratch = malloc(DRIVER_SCRATCH_BYTES);
    if (d->epoll < 0 || !d->sources || !d->heap || !d->sinks || !d->scratch || !records_open(&d->records, &r->own))
        return run_fails(r, "out of memory", "");
    return true;
}

static bool open_sources(struct run *r)
{
    for (uint32_t i = 0; i < r->plan->connections; i++) {
        struct driver *d = &r->drivers[i % source_threads(r)];
        uint32_t partition = i % r->plan->partitions;
        if (!source_open(&d->sources[d->source_count++], d, leader_of(r, partition), partition))
            return run_fails(r, "a producer could not connect", leader_of(r, partition));
    }
    return true;
}

static bool open_sinks(struct run *r)
{
    struct driver *d = &r->drivers[r->threads - 1];
    for (uint32_t i = 0; i < r->plan->partitions * r->plan->fan_out; i++) {
        uint32_t partition = i % r->plan->partitions;
        if (!sink_open(&d->sinks[d->sink_count++], d, leader_of(r, partition), partition))
            return run_fails(r, "a consumer could not connect", leader_of(r, partition));
    }
    return true;
}

static bool open_threads(struct run *r)
{
    r->drivers = calloc(r->plan->threads, sizeof *r->drivers);
    if (!r->drivers)
        return run_fails(r, "out of memory", "");
    r->threads = r->plan->threads;
    for (uint32_t i = 0; i < r->threads; i++) {
        if (!open_driver(r, &r->drivers[i], i))
            return false;
    }
    return true;
}

static void close_threads(struct run *r)
{
    for (uint32_t i = 0; r->drivers && i < r->threads; i++) {
        struct driver *d = &r->drivers[i];
        for (uint32_t k = 0; k < d->source_count; k++)
            source_close(&d->sources[k]);
        for (uint32_t k = 0; k < d->sink_count; k++)
            sink_close(&d->sinks[k]);
        if (d->epoll > 0)
            close(d->epoll);
        records_close(&d->records);
        free(d->sources);
        free(d->heap);
        free(d->sinks);
        free(d->scratch);
    }
    free(r->drivers);
    free(r->leaders.address_of);
}

/* Connections begin evenly spread over one step, so that they do not all send at once. */
static void begin_sources(struct run *r, double rate, uint64_t records_each)
{
    double step = rate > 0 ? 1e9 * r->plan->connections / rate : 0;
    uint64_t now = cpu_now_ns() + 1000000;
    uint32_t k = 0;
    for (uint32_t i = 0; i < r->threads; i++) {
        for (uint32_t n = 0; n < r->drivers[i].source_count; n++, k++) {
            r->drivers[i].now_ns = now;
            source_begin(&r->drivers[i].sources[n], now + (uint64_t)(step * k / r->plan->connections), step,
                         records_each);
        }
    }
}

static bool start_threads(struct run *r)
{
    for (uint32_t i = 0; i < r->threads; i++) {
        if (!driver_start(&r->drivers[i]))
            return run_fails(r, "a thread could not be started", "");
    }
    return true;
}

static void join_threads(struct run *r)
{
    r->phase = PHASE_END;
    for (uint32_t i = 0; i < r->threads; i++) {
        if (r->drivers[i].thread)
            pthread_join(r->drivers[i].thread, NULL);
        r->drivers[i].thread = 0;
    }
}

static bool any_failed(struct run *r)
{
    for (uint32_t i = 0; i < r->threads; i++) {
        if (r->drivers[i].failed)
            return !run_fails(r, r->drivers[i].why, "");
    }
    return false;
}

/* --- while it runs --- */

static void sum(struct run *r, uint64_t *acked, uint64_t *read, uint64_t *in_flight)
{
    *acked = *read = *in_flight = 0;
    for (uint32_t i = 0; i < r->threads; i++) {
        *acked += r->drivers[i].all_acked;
        *read += r->drivers[i].all_read;
        *in_flight += r->drivers[i].in_flight;
    }
}

/* Ends each thread's second and adds them up. */
static void end_second(struct run *r, struct outcome *o, bool counts)
{
    struct second *merged = calloc(1, sizeof *merged);
    r->second++;
    for (uint32_t i = 0; i < r->threads && merged; i++) {
        struct driver *d = &r->drivers[i];
        d->second_wanted = r->second;
        while (d->second_filled != r->second && !d->failed)
            usleep(SWAP_WAIT_US);
        const struct second *s = &d->seconds[(r->second - 1) & 1];
        merged->acked_records += s->acked_records;
        merged->read_records += s->read_records;
        merged->read_bytes += s->read_bytes;
        hist_merge(&merged->from_due, &s->from_due);
        hist_merge(&merged->end_to_end, &s->end_to_end);
    }
    if (merged && counts)
        outcome_add_second(o, merged);
    if (merged && isatty(STDERR_FILENO))
        fprintf(stderr, "\r%6lu s  %10lu records/s acknowledged  %10lu read  p99 %9.1f us  max %9.1f us  ", r->second,
                merged->acked_records, merged->read_records, (double)hist_quantile(&merged->from_due, 0.99) / 1e3,
                (double)merged->from_due.max_ns / 1e3);
    free(merged);
}

/* True after so many seconds, or when `enough` says so. */
static bool pass_seconds(struct run *r, struct outcome *o, double seconds, bool counts, bool (*enough)(struct run *r))
{
    uint64_t from = cpu_now_ns(), next = from + 1000000000u;
    while (!any_failed(r)) {
        uint64_t now = cpu_now_ns();
        if ((enough && enough(r)) || (!enough && (double)(now - from) >= seconds * 1e9))
            return true;
        if (now >= next) {
            end_second(r, o, counts);
            next += 1000000000u;
        }
        usleep(enough ? LOOK_US : TICK_US); /* seldom: it takes a processor from somebody */
    }
    return false;
}

static bool all_is_there(struct run *r)
{
    uint64_t acked, read, in_flight;
    sum(r, &acked, &read, &in_flight);
    return in_flight == 0 && read >= acked * r->plan->fan_out;
}

static bool all_is_acked(struct run *r)
{
    uint64_t acked, read, in_flight, wanted = 0;
    sum(r, &acked, &read, &in_flight);
    for (uint32_t i = 0; i < r->threads; i++) {
        for (uint32_t k = 0; k < r->drivers[i].source_count; k++)
            wanted += r->drivers[i].sources[k].left;
    }
    return in_flight == 0 && wanted == 0;
}

static bool drain(struct run *r)
{
    r->phase = PHASE_DRAIN;
    for (int i = 0; i < DRAIN_S * 1000; i++) {
        if (any_failed(r))
            return false;
        if (all_is_there(r))
            return true;
        usleep(1000);
    }
    uint64_t acked, read, in_flight;
    char text[160];
    sum(r, &acked, &read, &in_flight);
    snprintf(text, sizeof text, "%lu records acknowledged, %lu read by %u readers, %lu batches unanswered", acked, read,
             r->plan->fan_out, in_flight);
    return run_fails(r, "not all is there after 30 s", text);
}

/* --- the broker's process --- */

static uint64_t number_in(const char *path, const char *name)
{
    char line[256];
    unsigned long long value = 0;
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, name, strlen(name)) == 0)
            sscanf(line + strlen(name), " %llu", &value);
    }
    if (file)
        fclose(file);
    return value;
}

static uint64_t process_number(pid_t pid, const char *file, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    return pid ? number_in(path, name) : 0;
}

/* --- a run --- */

static void merge(struct run *r, struct outcome *o)
{
    for (uint32_t i = 0; i < r->threads; i++) {
        const struct tally *t = &r->drivers[i].tally;
        o->all.sent_records += t->sent_records;
        o->all.acked_records += t->acked_records;
        o->all.acked_bytes += t->acked_bytes;
        o->all.requests += t->requests;
        o->all.read_records += t->read_records;
        o->all.read_bytes += t->read_bytes;
        hist_merge(&o->all.from_due, &t->from_due);
        hist_merge(&o->all.from_send, &t->from_send);
        hist_merge(&o->all.end_to_end, &t->end_to_end);
        hist_merge(&o->all.late, &t->late);
        hist_merge(&o->all.turns, &t->turns);
        double busy = (double)r->drivers[i].cpu_ns / 1e9 / o->seconds;
        o->load_busy = busy > o->load_busy ? busy : o->load_busy;
    }
    uint64_t in_flight;
    sum(r, &o->total_acked, &o->total_read, &in_flight);
}

static bool measure(struct run *r, struct outcome *o, double seconds, bool (*enough)(struct run *r))
{
    pid_t pid = r->plan->pid;
    end_second(r, o, false); /* what came before is no part of the first one */
    uint64_t cpu = cpu_used_ns(pid), written = process_number(pid, "io", "write_bytes:"), from = cpu_now_ns();
    r->measure_to_ns = UINT64_MAX;
    r->measure_from_ns = from;
    r->phase = PHASE_MEASURE;
    bool fine = pass_seconds(r, o, seconds, true, enough);
    uint64_t to = cpu_now_ns();
    r->measure_to_ns = to;
    o->seconds = (double)(to - from) / 1e9;
    o->broker_cpu_s = (double)(cpu_used_ns(pid) - cpu) / 1e9;
    o->broker_written_bytes = process_number(pid, "io", "write_bytes:") - written;
    o->broker_rss_bytes = process_number(pid, "status", "VmRSS:") * 1024;
    return fine;
}

/* Records that each producer writes for it. */
static uint64_t backlog_each(const struct plan *plan)
{
    return plan->backlog_bytes / plan->record_bytes / plan->connections + 1;
}

/* All of it acknowledged, by threads of its own that end then. */
static bool write_backlog(struct run *r)
{
    struct outcome unused = {0};
    bool fine = open_threads(r) && open_sources(r);
    if (fine)
        begin_sources(r, 0, backlog_each(r->plan));
    fine = fine && start_threads(r) && pass_seconds(r, &unused, 0, false, all_is_acked);
    join_threads(r);
    return fine;
}

static bool backlog_is_read(struct run *r)
{
    uint64_t acked, read, in_flight;
    sum(r, &acked, &read, &in_flight);
    return read >= backlog_each(r->plan) * r->plan->connections * r->plan->fan_out;
}

static bool read_backlog(struct run *r, double rate, struct outcome *o)
{
    bool fine = write_backlog(r);
    for (uint32_t i = 0; i < r->threads; i++) { /* the writers' connections end with their threads */
        struct driver *d = &r->drivers[i];
        for (uint32_t k = 0; k < d->source_count; k++)
            source_close(&d->sources[k]);
        d->source_count = 0;
        d->heap_count = 0;
        close(d->epoll);
        d->epoll = epoll_create1(EPOLL_CLOEXEC);
        d->all_acked = d->all_read = 0;
        d->tally = (struct tally){0};
    }
    r->phase = PHASE_WARMUP;
    fine = fine && (rate <= 0 || open_sources(r)) && open_sinks(r);
    if (fine && rate > 0)
        begin_sources(r, rate, UINT64_MAX);
    fine = fine && start_threads(r) && measure(r, o, 0, backlog_is_read);
    o->backlog_s = o->seconds;
    r->phase = PHASE_DRAIN;
    join_threads(r);
    merge(r, o);
    return fine;
}

static bool load_and_read(struct run *r, double rate, struct outcome *o)
{
    bool fine = open_threads(r) && open_sources(r) && open_sinks(r);
    if (fine)
        begin_sources(r, rate, UINT64_MAX);
    fine = fine && start_threads(r) && pass_seconds(r, o, r->plan->warmup_s, false, NULL) &&
           measure(r, o, r->plan->duration_s, NULL) && drain(r);
    join_threads(r);
    merge(r, o);
    if (fine && o->all.acked_records == 0 && r->plan->acks != 0)
        return run_fails(r, "nothing was acknowledged while it was measured", "");
    return fine;
}

bool run_once(const struct plan *plan, double rate, struct outcome *out, char *why)
{
    struct run r = {.plan = plan, .why = why};
    *why = 0;
    out->rate = rate;
    if (plan->cpu >= 0)
        cpu_pin(plan->cpu); /* this thread too: it would wake on the broker's */
    bool fine = set_topic_up(&r);
    if (fine && plan->data)
        durable_look(&r.own, leader_of(&r, 0), out->ack_meaning, sizeof out->ack_meaning);
    if (fine && plan->data) { /* its batches are no part of what is measured */
        free(r.leaders.address_of);
        fine = set_topic_up(&r);
    }
    fine = fine && (plan->backlog_bytes ? read_backlog(&r, rate, out) : load_and_read(&r, rate, out));
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%*s\r", 100, "");
    close_threads(&r);
    return fine;
}

/* --- the highest rate --- */

static bool is_sustained(const struct plan *plan, const struct outcome *o)
{
    uint64_t p99 = hist_quantile(&o->all.from_due, 0.99);
    return outcome_rate(o) >= 0.98 * o->rate && (double)p99 <= plan->ramp_p99_ms * 1e6;
}

/* Keeps the outcome in *best if the rate was sustained. */
static bool try_rate(const struct plan *plan, double rate, struct outcome *best, bool *out_sustained, char *why)
{
    struct outcome o;
    if (!outcome_open(&o) || !run_once(plan, rate, &o, why)) {
        outcome_close(&o);
        return false;
    }
    *out_sustained = is_sustained(plan, &o);
    fprintf(stderr, "%12.0f records/s: %s (%.0f acknowledged, p99 %.1f ms)\n", rate,
            *out_sustained ? "sustained" : "too much", outcome_rate(&o),
            (double)hist_quantile(&o.all.from_due, 0.99) / 1e6);
    if (*out_sustained) {
        outcome_close(best);
        *best = o;
    } else {
        outcome_close(&o);
    }
    return true;
}

bool run_ramp(const struct plan *plan, struct outcome *out, char *why)
{
    double low = 0, high = 0, rate = plan->rate > 0 ? plan->rate : 1000;
    bool sustained = true;
    for (; high == 0; rate *= 2) {
        if (!try_rate(plan, rate, out, &sustained, why))
            return false;
        *(sustained ? &low : &high) = rate;
    }
    for (int i = 0; i < HALVINGS && low > 0; i++) {
        if (!try_rate(plan, rate = (low + high) / 2, out, &sustained, why))
            return false;
        *(sustained ? &low : &high) = rate;
    }
    if (low > 0)
        return true;
    snprintf(why, RUN_TEXT, "not even %.0f records/s are sustained: begin lower with --rate", high);
    return false;
}
