/* A quiet client's view of a broker: one connection asks ApiVersions at a fixed pace, and how long each answer took is shown
 * as JSON when stdin ends. Each time is counted from when the request was due, so that a stall is not hidden by the
 * requests that it kept from being sent. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/load/cpu.h"
#include "bench/load/hist.h"
#include "bench/load/sock.h"
#include "bench/load/wire.h"

enum { API_VERSIONS = 18, REQUEST_BYTES = 64, ANSWER_BYTES = 64 << 10 };

static bool stdin_ended(void)
{
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&p, 1, 0) != 0;
}

static void sleep_until(uint64_t due_ns)
{
    struct timespec at = {.tv_sec = (time_t)(due_ns / 1000000000), .tv_nsec = (long)(due_ns % 1000000000)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        ;
}

static size_t request_put(uint8_t *out, uint32_t correlation)
{
    struct put p = {out + 4, out + REQUEST_BYTES};
    put_u16(&p, API_VERSIONS);
    put_u16(&p, 0);
    put_u32(&p, correlation);
    put_u16(&p, 4);
    put_bytes(&p, "ping", 4);
    size_t bytes = (size_t)(p.at - out);
    struct put head = {out, out + 4};
    put_u32(&head, (uint32_t)(bytes - 4));
    return bytes;
}

/* False: the broker is gone, or answers something else. */
static bool ping(int fd, uint32_t correlation)
{
    static uint8_t request[REQUEST_BYTES], answer[ANSWER_BYTES];
    size_t bytes;
    if (!sock_send(fd, request, request_put(request, correlation)) ||
        !sock_recv_frame(fd, answer, sizeof answer, &bytes))
        return false;
    struct get g = {answer, answer + bytes, false};
    uint32_t echoed = get_u32(&g);
    uint16_t error = get_u16(&g);
    return !g.bad && echoed == correlation && error == 0;
}

int main(int argc, char **argv)
{
    static struct hist hist;
    uint64_t interval_ns = argc > 2 ? strtoull(argv[2], NULL, 10) * 1000 : 0;
    if (interval_ns == 0 || (argc > 3 && !cpu_pin(atoi(argv[3])))) {
        fputs("usage: ping HOST:PORT INTERVAL_US [CPU]\n", stderr);
        return 2;
    }
    cpu_wake_on_time();
    int fd = sock_connect(argv[1], false);
    uint64_t due_ns = cpu_now_ns();
    uint32_t count = 0;
    bool good = fd >= 0;
    while (good && !stdin_ended()) {
        sleep_until(due_ns);
        good = ping(fd, ++count);
        if (good)
            hist_add(&hist, cpu_now_ns() - due_ns);
        due_ns += interval_ns;
    }
    printf("{\"ok\": %s, \"count\": %llu, \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f}\n",
           good ? "true" : "false", (unsigned long long)hist.total, (double)hist_quantile(&hist, 0.5) / 1e3,
           (double)hist_quantile(&hist, 0.99) / 1e3, (double)hist_quantile(&hist, 0.999) / 1e3,
           (double)hist.max_ns / 1e3);
    return good ? 0 : 1;
}
