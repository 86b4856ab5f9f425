/* The order of a connection's requests. */
#include "net/conn/order.h"

static bool in_flight_agrees(const struct in_flight *now)
{
    if (now->held && now->count == 0)
        return false;
    return now->exclusive ? now->count == 1 : now->count > 0 || now->bytes == 0;
}

bool order_may_start(const struct in_flight *now, bool overlaps)
{
    assert(in_flight_agrees(now));
    if (now->count == 0)
        return true;
    return overlaps && !now->exclusive && !now->held && now->count < CONN_REQUESTS_MAX &&
           now->bytes < CONN_REQUEST_BYTES;
}

void order_started(struct in_flight *now, bool overlaps, uint32_t bytes)
{
    assert(order_may_start(now, overlaps));
    now->count++;
    now->bytes += bytes;
    now->exclusive = !overlaps;
}

void order_hold(struct in_flight *now, bool held)
{
    assert(now->count > 0);
    now->held = held;
}

void order_ended(struct in_flight *now, uint32_t bytes)
{
    assert(now->count > 0);
    assert(now->bytes >= bytes);
    now->count--;
    now->bytes -= bytes;
    now->exclusive = false;
    assert(in_flight_agrees(now));
}
