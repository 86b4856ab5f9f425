/* One partition as the broker serves it: every batch from offset 0 to the high watermark, checked one after the other.
 * */
#pragma once
#include "tests/load/history.h"
#include "tests/load/link.h"
#include "tests/load/proto.h"

struct scan {
    const char *topic; /* lent */
    uint32_t partition;
    const struct history_all *history; /* lent */
    struct batch_view *batches;        /* owned, in offset order */
    size_t count;
    int64_t end;     /* the high watermark that ListOffsets gave; everything below it is read */
    char fault[200]; /* the first finding; "": none */
};

bool scan_run(struct scan *s, struct link *l); /* false: `fault` says why */
const struct batch_view *scan_find(const struct scan *s, int64_t base);
