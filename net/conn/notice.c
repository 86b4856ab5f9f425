/* See notice.h. */
#include "net/conn/notice.h"
#include "core/clock.h"
#include "core/log.h"

#define MINUTE_NS (60 * NS_PER_S)

static void refill_notices(struct notices *n, uint64_t now_ns)
{
    uint64_t lines = n->refilled_ns ? (now_ns - n->refilled_ns) / (NS_PER_S / NOTICES_PER_S) : NOTICES_BURST;
    if (lines == 0)
        return;
    n->left = (uint32_t)u64_min(n->left + lines, NOTICES_BURST);
    n->refilled_ns = u64_max(now_ns, 1);
}

static void tell_hidden_notices(struct notices *n, uint64_t now_ns)
{
    if (n->hidden == 0 || now_ns - n->told_ns < MINUTE_NS)
        return;
    log_warn("log lines left out", "count=%llu why=\"too many connections were refused or closed\"",
             (unsigned long long)n->hidden);
    n->hidden = 0;
    n->told_ns = now_ns;
}

bool notice_may_log(struct notices *n, uint64_t now_ns)
{
    refill_notices(n, now_ns);
    if (n->left == 0) {
        n->hidden++;
        return false;
    }
    tell_hidden_notices(n, now_ns);
    n->left--;
    return true;
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
