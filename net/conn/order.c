/* The order of a connection's requests. */
#include "net/conn/order.h"

bool order_may_start(const struct in_flight *now, bool overlaps)
{
    assert(!now->exclusive || now->count == 1);
    if (now->count == 0)
        return true;
    return overlaps && !now->exclusive && now->count < CONN_REQUESTS_MAX && now->bytes < CONN_REQUEST_BYTES;
}
