/* The door to time. Implemented by core/clock_os.c and by the simulator. No other file asks the kernel for time. */
#pragma once
#include <stdint.h>

#define NS_PER_MS 1000000ull
#define NS_PER_S 1000000000ull

/* Monotonic, nanoseconds since some fixed moment. */
uint64_t clock_now_ns(void);
/* The same, with the time that the machine slept. */
uint64_t clock_since_boot_ns(void);
/* Wall clock, milliseconds since 1970: record timestamps and logs only. It may step backwards. */
int64_t clock_wall_ms(void);
/* What the calling thread has used of its processor since it began. Costs a system call, about 1 us. */
uint64_t clock_thread_cpu_ns(void);
/* Blocks the calling thread: only before the shards run. */
void clock_sleep_ms(uint32_t ms);
