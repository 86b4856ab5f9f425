/* What a processor of this machine adds by itself to the CPU time of a thread: pieces of the same work, some 100 us each, one after the other, and
 * after naps, as a shard has them. A piece is charged from the end of the one before, as a shard's turn is (core/shard_group.h). What the longest
 * one took beyond the others was taken by a hypervisor, or by interrupts, and charged to the thread; bench/stall shows it beside its turns. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench/load/cpu.h"

enum { ROUNDS_OF_WORK = 50 * 1000, NAP_NS = 100 * 1000, IN_A_ROW = 16 };

static uint64_t charged_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t work_once(uint64_t x)
{
    for (int i = 0; i < ROUNDS_OF_WORK; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    return x;
}

static void take_nap(void)
{
    struct timespec t = {.tv_nsec = NAP_NS};
    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

int main(int argc, char **argv)
{
    double seconds = argc == 3 ? strtod(argv[2], NULL) : 0;
    if (seconds <= 0 || !cpu_pin(atoi(argv[1]))) {
        fputs("usage: slices CPU SECONDS\n", stderr);
        return 2;
    }
    uint64_t x = 88172645463325252, pieces = 0, fastest_ns = UINT64_MAX, longest_ns = 0;
    uint64_t end_ns = cpu_now_ns() + (uint64_t)(seconds * 1e9), last_ns = charged_ns();
    while (pieces == 0 || cpu_now_ns() < end_ns) {
        if (pieces / IN_A_ROW % 2)
            take_nap();
        x = work_once(x);
        uint64_t now_ns = charged_ns(), took_ns = now_ns - last_ns;
        last_ns = now_ns;
        fastest_ns = took_ns < fastest_ns ? took_ns : fastest_ns;
        longest_ns = took_ns > longest_ns ? took_ns : longest_ns;
        pieces++;
    }
    printf("{\"ok\": %s, \"pieces\": %llu, \"fastest_us\": %.1f, \"longest_us\": %.1f}\n", x ? "true" : "false",
           (unsigned long long)pieces, (double)fastest_ns / 1e3, (double)longest_ns / 1e3);
    return 0;
}
