/* Which request of a connection may start while others are in flight. Pure.
 * Produce overlaps with Produce; everything else runs alone; and nothing overtakes: while one that was started is held, because it has
 * not handed on what it asks for, nothing starts. */
#pragma once
#include "net/limits.h"

struct in_flight {
    uint32_t count;
    uint64_t bytes;
    bool exclusive; /* the one in flight does not overlap */
    bool held;      /* the youngest in flight has not handed on all that it asks for */
};
bool order_may_start(const struct in_flight *now, bool overlaps);
/* A request that may start has started: nothing about it can fail any more. */
void order_started(struct in_flight *now, bool overlaps, uint32_t bytes);
void order_hold(struct in_flight *now, bool held);
void order_ended(struct in_flight *now, uint32_t bytes);
