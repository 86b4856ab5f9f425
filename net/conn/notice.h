/* Log lines that can be provoked again and again, by peers or by a machine at its limits: they have a bound, and what is left out is
 * counted. */
#pragma once
#include "net/limits.h"

/* Lines of all kinds: a burst of NOTICES_BURST is free, then NOTICES_PER_S. */
struct notices {
    uint64_t refilled_ns; /* 0: never, and all of the burst is left */
    uint32_t left;
    uint64_t hidden; /* since that was told */
    uint64_t told_ns;
};
/* May a line be logged now? At most once a minute it is preceded by one that counts those left out. */
bool notice_may_log(struct notices *n, uint64_t now_ns) must_use;

/* One kind of line, that comes once a minute however often it happens. */
struct notice {
    uint64_t logged_ns; /* 0: never */
    uint64_t times;     /* since then */
};
/* It happened. True: log it, *out_times is how often it happened since the last line. */
bool notice_once_a_minute(struct notice *n, uint64_t now_ns, uint64_t *out_times) must_use;
