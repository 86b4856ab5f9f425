/* Clocks and processors: pinning, time, and the CPU time that another process has used (all its threads, ended ones and
 * the ring's workers included, to the nanosecond: its process clock, not the ticks of /proc/<pid>/stat). */
#ifndef BENCH_LOAD_CPU_H
#define BENCH_LOAD_CPU_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

bool cpu_pin(int cpu);
/* The calling thread's sleeps end when they are due, not up to the kernel's usual 50 us later. */
void cpu_wake_on_time(void);
uint64_t cpu_now_ns(void);
int64_t cpu_wall_ms(void);
/* 0 when there is no such process, or none is meant (0). */
uint64_t cpu_used_ns(pid_t pid);

#endif
