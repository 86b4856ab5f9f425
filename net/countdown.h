/* What is out is counted, and the last one that comes back ends it: a request whose parts are under way on several shards.
 *
 *     countdown_begin(&run->parts, all_answered);      // counts one for the starter itself
 *     for each part: countdown_add(&run->parts), start it (its answer may come inside: countdown_done)
 *     countdown_done(&run->parts);                     // the starter's own: `run` may be gone after this */
#pragma once
#include "core/base.h"

struct countdown {
    uint32_t left;
    void (*over)(struct countdown *c); /* inside the last countdown_done */
};

static inline void countdown_begin(struct countdown *c, void (*over)(struct countdown *c))
{
    assert(over);
    *c = (struct countdown){.left = 1, .over = over};
}
static inline void countdown_add(struct countdown *c)
{
    assert(c->left > 0);
    assert(c->left < UINT32_MAX);
    c->left++;
}
static inline void countdown_done(struct countdown *c)
{
    assert(c->left > 0);
    if (--c->left == 0)
        c->over(c);
}
