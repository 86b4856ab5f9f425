/* The produce load: opens the lanes, keeps them full (closed loop) or on schedule (open loop), and reads a sample back. */
#include "bench/load/produce.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/load/batch.h"
#include "bench/load/cpu.h"
#include "bench/load/kafka.h"
#include "bench/load/sock.h"

enum { ALIGN = 4096, FETCH_ROOM = 4 << 20, SPIN_NS = 50000, SLEEP_NS_MAX = 100000000 };

static bool run_one(struct lane *l)
{
    while (l->acked < l->to_send) {
        if (!lane_fill(l, cpu_now_ns()) || !lane_drain(l, true))
            return false;
    }
    return true;
}

static bool run_ready(struct lane *l)
{
    return lane_drain(l, false) && lane_fill(l, cpu_now_ns());
}

static bool run_many(struct lane *lanes, const struct load *load, const struct totals *t)
{
    struct epoll_event events[64];
    int poll_fd = epoll_create1(EPOLL_CLOEXEC);
    bool good = poll_fd >= 0;

    for (uint32_t i = 0; i < load->lanes && good; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        good = epoll_ctl(poll_fd, EPOLL_CTL_ADD, lanes[i].fd, &event) == 0 && lane_fill(&lanes[i], cpu_now_ns());
    }
    while (good && t->acked < load->requests) {
        int count = epoll_wait(poll_fd, events, 64, 30000);
        good = count > 0 || (count < 0 && errno == EINTR);
        for (int i = 0; i < count && good; i++)
            good = run_ready(&lanes[events[i].data.u32]);
    }
    close(poll_fd);
    return good;
}

/* Until an answer comes or a request is nearly due. */
static void sleep_between(const struct lane *l)
{
    uint64_t now = cpu_now_ns(), due = lane_due_ns(l), left = due > now ? due - now : 0;
    struct pollfd p = {.fd = l->fd, .events = POLLIN};

    if (left <= SPIN_NS)
        return;
    left = left - SPIN_NS < SLEEP_NS_MAX ? left - SPIN_NS : SLEEP_NS_MAX;
    struct timespec t = {.tv_nsec = (long)left};
    ppoll(&p, 1, &t, NULL);
}

/* Spins instead of sleeping, unless told to: the load's core is its own, and a late wake-up must not look like a late answer. */
static bool run_schedule(struct lane *lanes, const struct load *load, const struct totals *t)
{
    uint64_t from_ns = cpu_now_ns() + 1000000;
    double step_ns = 1e9 / load->rate;

    for (uint32_t i = 0; i < load->lanes; i++) {
        lanes[i].due_from_ns = from_ns + (uint64_t)(step_ns * i);
        lanes[i].due_step_ns = step_ns * load->lanes;
    }
    if (load->sleep)
        cpu_wake_on_time();
    while (t->acked < load->requests) {
        if (load->sleep)
            sleep_between(&lanes[0]);
        for (uint32_t i = 0; i < load->lanes; i++) {
            if (!lane_fill(&lanes[i], cpu_now_ns()) || !lane_drain(&lanes[i], false))
                return false;
        }
    }
    return true;
}

bool produce_run(struct lane *lanes, const struct load *load, struct totals *t)
{
    bool good;

    if (load->rate > 0)
        good = run_schedule(lanes, load, t);
    else if (load->lanes == 1)
        good = run_one(&lanes[0]);
    else
        good = run_many(lanes, load, t);
    t->cpu_to_ns = cpu_used_ns(load->pid);
    if (!good && !t->wrong)
        t->wrong = "connection lost or no answer within 30 s";
    return good;
}

/* Only the base offset and the leader epoch may differ from what was sent. */
static bool same_batch(const struct sample *s, const uint8_t *stored)
{
    return memcmp(stored + 8, s->batch + 8, 4) == 0 &&
           memcmp(stored + BATCH_STABLE_FROM, s->batch + BATCH_STABLE_FROM, s->bytes - BATCH_STABLE_FROM) == 0;
}

static bool check_fetched(const struct sample *s, const struct kafka_fetched *got)
{
    uint64_t base;

    if (got->error != KAFKA_NONE || got->records_bytes < s->bytes)
        return false;
    memcpy(&base, got->records, sizeof base);
    return __builtin_bswap64(base) == s->place && same_batch(s, got->records);
}

static unsigned verify_broker(const struct load *load, const struct totals *t)
{
    int fd = sock_connect(load->address, false);
    uint8_t *buf = malloc(FETCH_ROOM);
    unsigned right = 0;

    for (unsigned i = 0; i < t->samples && fd >= 0 && buf; i++) {
        const struct sample *s = &t->sample[i];
        struct kafka_fetch fetch = {.topic = load->topic,
                                    .partition = s->partition,
                                    .offset = s->place,
                                    .bytes_max = s->bytes,
                                    .wait_ms = 5000};
        struct kafka_fetched got;
        if (!kafka_fetch(fd, &fetch, buf, FETCH_ROOM, &got))
            break;
        right += check_fetched(s, &got);
    }
    free(buf);
    if (fd >= 0)
        close(fd);
    return right;
}

/* The file is written round and round: a place is still there if less than a whole file was written behind it. */
static bool check_file(int fd, uint64_t file_bytes, const struct sample *s, uint8_t *buf)
{
    uint64_t at = s->place % file_bytes;
    uint64_t from = at / ALIGN * ALIGN;
    uint64_t to = (at + s->bytes + ALIGN - 1) / ALIGN * ALIGN;

    if (to > file_bytes) /* wraps: the part before the edge tells enough */
        to = file_bytes;
    if (pread(fd, buf, to - from, (off_t)from) != (ssize_t)(to - from))
        return false;
    uint64_t len = to - at < s->bytes ? to - at : s->bytes;

    return memcmp(buf + (at - from), s->batch, len) == 0;
}

static unsigned verify_file(const struct load *load, const struct totals *t, uint64_t end, unsigned *out_gone)
{
    int fd = open(load->file, O_RDONLY | O_DIRECT | O_CLOEXEC);
    uint8_t *buf = aligned_alloc(ALIGN, BATCH_BYTES_MAX + 2 * ALIGN);
    unsigned right = 0;
    struct stat st;

    if (fd < 0 || !buf || fstat(fd, &st) != 0)
        return 0;
    for (unsigned i = 0; i < t->samples; i++) {
        const struct sample *s = &t->sample[i];
        if (end - s->place + ALIGN > (uint64_t)st.st_size)
            ++*out_gone;
        else
            right += check_file(fd, (uint64_t)st.st_size, s, buf);
    }
    close(fd);
    free(buf);
    return right;
}

bool produce_verify(const struct lane *lanes, const struct load *load, const struct totals *t, unsigned *out_right)
{
    unsigned gone = 0;

    if (load->proto == &proto_kafka)
        *out_right = verify_broker(load, t);
    else
        *out_right = verify_file(load, t, lanes[0].next_place, &gone);
    return *out_right + gone == t->samples && *out_right > 0;
}
