/* For LD_PRELOAD: the clocks of one process are ahead by what stands in the file $CLOCK_SHIFT, three int64_t in nanoseconds: wall, monotonic,
 * since boot. Whoever writes there moves them while it runs (world.py). Waits of the kernel last as long as ever. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000ll

static const volatile int64_t *shifts;

__attribute__((constructor)) static void map_shifts(void)
{
    const char *path = getenv("CLOCK_SHIFT");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        abort();
    void *at = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        abort();
    shifts = at;
    close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    long failed = syscall(SYS_clock_gettime, clock, out);
    int which = clock == CLOCK_REALTIME ? 0 : clock == CLOCK_MONOTONIC ? 1 : clock == CLOCK_BOOTTIME ? 2 : -1;
    if (failed || which < 0 || !shifts)
        return (int)failed;
    int64_t ns = (int64_t)out->tv_sec * NS_PER_S + out->tv_nsec + shifts[which];
    out->tv_sec = ns / NS_PER_S;
    out->tv_nsec = ns % NS_PER_S;
    return 0;
}
