/* Time and entropy from the kernel. */
#include "core/clock.h"
#include "core/rng.h"
#include <assert.h>
#include <errno.h>
#include <sys/random.h>
#include <time.h>

static uint64_t read_clock_ns(clockid_t clock)
{
    struct timespec t;
    int failed = clock_gettime(clock, &t);
    assert(!failed);
    assert(t.tv_nsec >= 0 && t.tv_nsec < (long)NS_PER_S);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t clock_now_ns(void)
{
    return read_clock_ns(CLOCK_MONOTONIC);
}

uint64_t clock_since_boot_ns(void)
{
    return read_clock_ns(CLOCK_BOOTTIME);
}

int64_t clock_wall_ms(void)
{
    return (int64_t)(read_clock_ns(CLOCK_REALTIME) / NS_PER_MS);
}

uint64_t clock_thread_cpu_ns(void)
{
    return read_clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

void clock_sleep_ms(uint32_t ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000 * NS_PER_MS)};
    while (nanosleep(&left, &left) != 0)
        assert(errno == EINTR);
}

uint64_t rng_seed_os(void)
{
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) == (ssize_t)sizeof seed)
        return seed;
    /* Early in a boot there is no entropy yet; the clocks still tell two starts apart. */
    struct rng mix = {.state = read_clock_ns(CLOCK_REALTIME) ^ read_clock_ns(CLOCK_MONOTONIC) << 20};
    return rng_next(&mix);
}
