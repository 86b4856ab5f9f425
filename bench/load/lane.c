/* One connection of the load: see lane.h. */
#include "bench/load/lane.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench/load/batch.h"
#include "bench/load/cpu.h"
#include "bench/load/kafka.h"
#include "bench/load/sock.h"
#include "bench/load/wire.h"

enum { POOL_MIN = 16, SEND_PARTS = 64, PRIME_TRIES = 200 };

static uint8_t *request_at(const struct lane *l, uint64_t number)
{
    return l->requests + (number & (l->pool - 1)) * l->stride;
}

static size_t request_bytes(const struct lane *l)
{
    return l->head_bytes + l->batch_bytes + l->load->proto->tail_bytes;
}

/* A pool's requests have one size: batch_make gives equal sizes for equal wishes. */
static void make_request(struct lane *l, uint32_t number, const struct produce_to *to)
{
    uint8_t *at = request_at(l, number);
    uint8_t *batch = malloc(l->load->batch_bytes);

    assert(batch);
    struct batch made = batch_make(((uint64_t)l->index << 32) + number, cpu_wall_ms(), l->load->batch_bytes,
                                   l->load->record_bytes, batch);

    l->head_bytes = l->load->proto->head_put(to, made.bytes, at);
    memcpy(at + l->head_bytes, batch, made.bytes);
    memset(at + l->head_bytes + made.bytes, 0, PROTO_TAIL_MAX);
    assert(number == 0 || l->batch_bytes == made.bytes);
    l->batch_bytes = made.bytes;
    l->batch_records = made.records;
    free(batch);
}

static void make_pool(struct lane *l)
{
    struct produce_to to = {.topic = l->load->topic, .partition = l->partition, .acks = l->load->acks};

    l->pool = POOL_MIN;
    while (l->pool < l->load->window)
        l->pool *= 2;
    l->stride = (PROTO_HEAD_MAX + l->load->batch_bytes + PROTO_TAIL_MAX + 63) & ~(size_t)63;
    l->requests = calloc(l->pool, l->stride);
    assert(l->requests);
    for (uint32_t i = 0; i < l->pool; i++)
        make_request(l, i, &to);
}

/* One request and its answer, before the clock runs. */
static bool prime_once(struct lane *l, struct produce_reply *out)
{
    uint8_t frame[4096];
    size_t len;

    return sock_send(l->fd, l->requests, request_bytes(l)) && sock_recv_frame(l->fd, frame, sizeof frame, &len) &&
           l->load->proto->reply_get(frame, len, out);
}

static bool prime(struct lane *l)
{
    struct produce_reply reply;
    struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};

    for (unsigned i = 0; i < PRIME_TRIES; i++) {
        if (!prime_once(l, &reply))
            break;
        if (reply.error == KAFKA_NONE) {
            l->next_place = reply.place + (l->load->proto == &proto_bare ? l->batch_bytes : l->batch_records);
            return true;
        }
        if (reply.error != KAFKA_UNKNOWN_TOPIC && reply.error != KAFKA_LEADER_NOT_AVAILABLE &&
            reply.error != KAFKA_NOT_LEADER) {
            fprintf(stderr, "first produce: error %d\n", reply.error);
            break;
        }
        nanosleep(&pause, NULL);
    }
    return false;
}

bool lane_open(struct lane *l, const struct load *load, struct totals *totals, uint32_t index)
{
    assert(load->window > 0 && load->window <= LANE_WINDOW_MAX);
    l->load = load;
    l->totals = totals;
    l->index = index;
    l->partition = index % load->partitions;
    l->to_send = load->requests / load->lanes + (index < load->requests % load->lanes);
    l->fd = sock_connect(load->address, false);
    if (l->fd < 0)
        return false;
    make_pool(l);
    return prime(l);
}

void lane_close(struct lane *l)
{
    if (l->fd >= 0)
        close(l->fd);
    free(l->requests);
}

static uint64_t intended_ns(const struct lane *l, uint64_t number)
{
    return l->due_from_ns + (uint64_t)((double)number * l->due_step_ns);
}

uint64_t lane_due_ns(const struct lane *l)
{
    bool may = l->sent < l->to_send && l->sent < l->acked + l->load->window;
    return may ? intended_ns(l, l->sent) : UINT64_MAX;
}

static uint64_t due_count(const struct lane *l, uint64_t now_ns)
{
    if (l->load->rate <= 0)
        return l->to_send;
    if (now_ns < l->due_from_ns)
        return 0;
    uint64_t due = (uint64_t)((double)(now_ns - l->due_from_ns) / l->due_step_ns) + 1;

    return due < l->to_send ? due : l->to_send;
}

static struct iovec next_request(struct lane *l, uint64_t now_ns)
{
    uint8_t *request = request_at(l, l->sent);
    uint8_t *correlation = request + l->load->proto->correlation_at;
    struct put p = {correlation, correlation + 4};

    put_u32(&p, (uint32_t)l->sent);
    l->sent_ns[l->sent % LANE_WINDOW_MAX] = now_ns;
    l->sent++;
    l->totals->sent++;
    return (struct iovec){.iov_base = request, .iov_len = request_bytes(l)};
}

bool lane_fill(struct lane *l, uint64_t now_ns)
{
    int parts_max = l->load->coalesce ? SEND_PARTS : 1;
    uint64_t limit = due_count(l, now_ns);

    limit = limit < l->acked + l->load->window ? limit : l->acked + l->load->window;
    while (l->sent < limit) {
        struct iovec parts[SEND_PARTS];
        int count = 0;

        while (l->sent < limit && count < parts_max)
            parts[count++] = next_request(l, now_ns);
        if (!sock_send_parts(l->fd, parts, count))
            return false;
        now_ns = cpu_now_ns();
    }
    return true;
}

/* Reservoir sampling: every answered request has the same chance to be read back. */
static void keep_sample(struct lane *l, uint64_t place)
{
    struct totals *t = l->totals;
    uint64_t at = t->seen++;

    if (at >= SAMPLES) {
        t->rng = t->rng * 6364136223846793005u + 1442695040888963407u;
        at = (t->rng >> 33) % t->seen;
    }
    if (at >= SAMPLES)
        return;
    if (t->samples < SAMPLES)
        t->samples++;
    t->sample[at] = (struct sample){.partition = l->partition,
                                    .place = place,
                                    .batch = request_at(l, l->acked) + l->head_bytes,
                                    .bytes = l->batch_bytes};
}

static void count_ack(struct lane *l, uint64_t now_ns)
{
    struct totals *t = l->totals;

    t->acked++;
    if (t->acked == l->load->warmup || (l->load->warmup == 0 && t->started_ns == 0)) {
        t->started_ns = now_ns;
        t->cpu_from_ns = cpu_used_ns(l->load->pid);
    }
    if (t->acked <= l->load->warmup)
        return;
    t->bytes += l->batch_bytes;
    hist_add(&t->from_send, now_ns - l->sent_ns[l->acked % LANE_WINDOW_MAX]);
    if (l->load->rate > 0)
        hist_add(&t->from_intended, now_ns - intended_ns(l, l->acked));
    t->ended_ns = now_ns;
}

static bool refuse(struct lane *l, const char *why)
{
    l->totals->wrong = why;
    return false;
}

static bool take_answer(struct lane *l, const uint8_t *frame, size_t len, uint64_t now_ns)
{
    bool bare = l->load->proto == &proto_bare;
    struct produce_reply reply;

    if (!l->load->proto->reply_get(frame, len, &reply))
        return refuse(l, "malformed answer");
    if (reply.correlation != (uint32_t)l->acked || l->acked == l->sent)
        return refuse(l, "answer to another request");
    if (reply.error != KAFKA_NONE) {
        fprintf(stderr, "error code %d\n", reply.error);
        return refuse(l, "error code in an answer");
    }
    if (reply.place != l->next_place && (bare ? l->load->lanes == 1 : l->load->lanes <= l->load->partitions))
        return refuse(l, "answer with an unexpected offset");
    l->next_place = reply.place + (bare ? l->batch_bytes : l->batch_records);
    keep_sample(l, reply.place);
    count_ack(l, now_ns);
    l->acked++;
    return true;
}

bool lane_drain(struct lane *l, bool wait)
{
    ssize_t got = recv(l->fd, l->in + l->in_len, sizeof l->in - l->in_len, wait ? 0 : MSG_DONTWAIT);
    size_t at = 0;

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (got <= 0)
        return refuse(l, "connection lost");
    l->in_len += (size_t)got;
    uint64_t now_ns = cpu_now_ns();

    while (l->in_len - at >= 4) {
        struct get g = {l->in + at, l->in + at + 4, false};
        size_t len = get_u32(&g);
        if (len > sizeof l->in - 4)
            return refuse(l, "answer too large");
        if (l->in_len - at < 4 + len)
            break;
        if (!take_answer(l, l->in + at + 4, len, now_ns))
            return false;
        at += 4 + len;
    }
    memmove(l->in, l->in + at, l->in_len - at);
    l->in_len -= at;
    return true;
}
