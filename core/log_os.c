/* The log door: standard error, or who takes the lines there. */
#include "core/log.h"
#include <stdatomic.h>
#include <unistd.h>

static void (*_Atomic sink)(const char *line, size_t bytes);

void log_sink(void (*put)(const char *line, size_t bytes))
{
    atomic_store_explicit(&sink, put, memory_order_release);
}

void log_write_line(const char *line, size_t bytes)
{
    assert(line && bytes > 0);
    void (*put)(const char *, size_t) = atomic_load_explicit(&sink, memory_order_acquire);
    if (put)
        put(line, bytes);
    else
        (void)!write(STDERR_FILENO, line, bytes); /* there is nobody left to tell */
}
