/* See notice.h. */
#include "net/conn/notice.h"
#include "core/clock.h"
#include "core/log.h"

#define MINUTE_NS (60 * NS_PER_S)

bool notice_may_log(struct notices *n, uint64_t now_ns)
{
    assert(n->lines <= NOTICES_PER_MIN);
    if (now_ns - n->since_ns >= MINUTE_NS || n->since_ns == 0) {
        if (n->hidden > 0)
            log_warn("log lines left out", "count=%llu because of too many refused or closed connections in a minute",
                     (unsigned long long)n->hidden);
        *n = (struct notices){.since_ns = now_ns, .hidden_ever = n->hidden_ever};
    }
    if (n->lines < NOTICES_PER_MIN) {
        n->lines++;
        return true;
    }
    n->hidden++;
    n->hidden_ever++;
    return false;
}

bool notice_once_a_minute(struct notice *n, uint64_t now_ns, uint64_t *out_times)
{
    n->times++;
    if (n->logged_ns != 0 && now_ns - n->logged_ns < MINUTE_NS)
        return false;
    *out_times = n->times;
    *n = (struct notice){.logged_ns = u64_max(now_ns, 1)};
    return true;
}
