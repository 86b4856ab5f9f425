/* Clocks and processors: see cpu.h. */
#include "bench/load/cpu.h"

#include <sched.h>
#include <sys/prctl.h>
#include <time.h>

static uint64_t read_ns(clockid_t clock)
{
    struct timespec t;

    if (clock_gettime(clock, &t) != 0)
        return 0;
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

bool cpu_pin(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    return sched_setaffinity(0, sizeof set, &set) == 0;
}

void cpu_wake_on_time(void)
{
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL,
                0UL); /* a kernel that refuses only makes the load later, which it measures */
}

uint64_t cpu_now_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

int64_t cpu_wall_ms(void)
{
    return (int64_t)(read_ns(CLOCK_REALTIME) / 1000000u);
}

uint64_t cpu_used_ns(pid_t pid)
{
    clockid_t clock;

    if (pid <= 0 || clock_getcpuclockid(pid, &clock) != 0)
        return 0;
    return read_ns(clock);
}
