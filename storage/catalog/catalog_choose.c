/* Which of the catalog's two copies counts (catalog.h).
 *
 * A wave is written to the first copy, durable, then to the second, durable, then answered. So with one crash at any place the first may
 * be torn at the second's end, or be one wave ahead, or the second may be torn one wave behind; and a copy that ends with a whole wave
 * holds everything that was answered, unless it lost its end. That is told by the other copy, when it has records of later waves, and by
 * catalog.end, which knows a number that was answered. What cannot be proved is not guessed. */
#include "storage/catalog/catalog_file.h"
#include <stdio.h>

static bool is_proved_by_itself(const struct catalog_view *v, const struct catalog_past *past)
{
    return v->state == CATALOG_WHOLE && v->wave >= past->wave;
}

/* Does copy `i`, whole, reach as far as the other one shows that answers went? The first is written first: what it has more than the second
 * may have had no answer, if it is one wave. */
static bool reaches_the_other(const struct catalog_view v[CATALOG_COPIES], int i)
{
    assert(i == 0 || i == 1);
    assert(v[i].state == CATALOG_WHOLE);
    const struct catalog_view *other = &v[1 - i];
    uint32_t ahead = i == 1 && other->seen > 0 ? 1 : 0;
    return v[i].wave >= other->seen - ahead;
}

/* A folder of the releases with one copy: a torn end there was never answered if the stop was unclean. */
static bool is_old_and_torn(const struct catalog_view v[CATALOG_COPIES], const struct catalog_past *past)
{
    return v[0].format == 1 && v[0].state == CATALOG_TORN && v[1].state == CATALOG_NEW && !past->clean &&
           v[0].wave >= past->wave;
}

static bool is_nothing_lost(const struct catalog_view v[CATALOG_COPIES], const struct catalog_past *past)
{
    assert(v[0].wave == 0 || v[1].wave == 0);
    bool both_empty = v[0].format == CATALOG_FORMAT && v[0].state == CATALOG_WHOLE && v[1].format == CATALOG_FORMAT &&
                      v[1].state == CATALOG_WHOLE;
    return past->wave == 0 && !past->clean && (!past->used || both_empty);
}

static int choose_by_waves(const struct catalog_view v[CATALOG_COPIES], const struct catalog_past *past)
{
    bool first = is_proved_by_itself(&v[0], past), second = is_proved_by_itself(&v[1], past);
    if (first && second)
        return v[1].wave > v[0].wave;
    if (first)
        return reaches_the_other(v, 0) ? 0 : -1;
    if (second)
        return reaches_the_other(v, 1) ? 1 : -1;
    if (is_old_and_torn(v, past))
        return 0;
    return v[0].state == CATALOG_NEW && v[1].state == CATALOG_NEW ? 0 : -1;
}

int catalog_choose(const struct catalog_view v[CATALOG_COPIES], const struct catalog_past *past)
{
    assert(v[0].wave <= v[0].seen);
    assert(v[1].wave <= v[1].seen);
    int chosen = choose_by_waves(v, past);
    if (chosen < 0 || v[chosen].wave > 0)
        return chosen;
    return is_nothing_lost(v, past) ? chosen : -1; /* empty: is it new, or is everything gone? */
}

void catalog_view_text(const struct catalog_view *v, char out[64])
{
    unsigned long long at = v->bytes;
    switch (v->state) {
    case CATALOG_NEW: snprintf(out, 64, v->there ? "empty" : "missing"); return;
    case CATALOG_WHOLE:
        snprintf(out, 64, v->wave ? "whole up to record group %u" : "without a record", v->wave);
        return;
    case CATALOG_TORN: snprintf(out, 64, "damaged behind byte %llu", at); return;
    case CATALOG_DAMAGED:
        snprintf(out, 64, v->format ? "damaged at byte %llu" : "no catalog of this release", at);
        return;
    }
}
