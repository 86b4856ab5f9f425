/* Prints how far two processors are apart: the round trip of a cache line between two pinned threads, in nanoseconds (median
 * of many short series). A host may move our virtual processors between neighbouring cores (about 100 ns) and distant ones (about
 * 500 ns) every few seconds, and everything that crosses processors then costs another price. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/load/cpu.h"

enum { TRIPS = 2000, SERIES = 21 };

static _Alignas(128) atomic_uint ping;
static _Alignas(128) atomic_uint pong;
static int other_cpu;

static void *answer(void *arg)
{
    (void)arg;
    if (!cpu_pin(other_cpu)) {
        perror("pin");
        exit(1);
    }
    for (unsigned i = 1; i <= TRIPS * SERIES; i++) {
        while (atomic_load_explicit(&ping, memory_order_acquire) != i)
            ;
        atomic_store_explicit(&pong, i, memory_order_release);
    }
    return NULL;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    uint64_t series_ns[SERIES];
    pthread_t thread;

    if (argc != 3) {
        fprintf(stderr, "near_far CPU CPU\n");
        return 2;
    }
    other_cpu = atoi(argv[2]);
    if (atoi(argv[1]) == other_cpu || !cpu_pin(atoi(argv[1])) || pthread_create(&thread, NULL, answer, NULL) != 0) {
        fprintf(stderr, "needs two processors\n");
        return 1;
    }
    for (unsigned s = 0, i = 1; s < SERIES; s++) {
        uint64_t from_ns = cpu_now_ns();
        for (unsigned end = i + TRIPS; i < end; i++) {
            atomic_store_explicit(&ping, i, memory_order_release);
            while (atomic_load_explicit(&pong, memory_order_acquire) != i)
                ;
        }
        series_ns[s] = (cpu_now_ns() - from_ns) / TRIPS;
    }
    pthread_join(thread, NULL);
    qsort(series_ns, SERIES, sizeof series_ns[0], compare);
    printf("%llu\n", (unsigned long long)series_ns[SERIES / 2]);
    return 0;
}
