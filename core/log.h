/* The log that people read: one line per event on stderr, as text or as JSON, from any thread. A line is one write(2), by a thread
 * of its own once core/log_ring.h has begun.
 *
 *   2026-11-21T07:00:00.123Z INFO  started: address=localhost:9092 engine=io_uring
 *   {"time":"2026-11-21T07:00:00.123Z","level":"INFO","event":"started","address":"localhost:9092","engine":"io_uring"}
 *
 * An event is a short name or sentence; its facts are key=value pairs in `fmt` (printf), separated by blanks; a value with
 * blanks is quoted by the caller with \"...\". The JSON form is made from the same pairs; what is no pair becomes "text". */
#pragma once
#include "core/base.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log_options {
    enum log_level level;
    bool json;
};

/* Once, before other threads exist. */
void log_init(struct log_options options);
void log_event(enum log_level level, const char *event, const char *fmt, ...) printf_like(3, 4);
#define log_debug(event, ...) log_event(LOG_DEBUG, event, __VA_ARGS__)
#define log_info(event, ...) log_event(LOG_INFO, event, __VA_ARGS__)
#define log_warn(event, ...) log_event(LOG_WARN, event, __VA_ARGS__)
#define log_error(event, ...) log_event(LOG_ERROR, event, __VA_ARGS__)
/* The door: writes one finished line (core/log_os.c: stderr or the sink; the simulator: its trace). */
void log_write_line(const char *line, size_t bytes);
/* Where finished lines go from now on; NULL: written at once. While no other thread logs. */
void log_sink(void (*put)(const char *line, size_t bytes));
