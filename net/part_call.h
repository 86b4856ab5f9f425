/* A question to one partition, answered on whichever shard owns it. Home is the shard that asks.
 *
 *   home: part_call_start --msg--> owner: ask(call, partition) ... part_call_done --msg--> home: answered(call)
 *
 * When home owns the partition itself there is no message: `ask` runs inside part_call_start, and `answered` inside
 * part_call_done. A caller that starts several calls therefore counts them, plus one for itself while it starts them.
 *
 * Where the partition is not recovered yet, its recovery is asked for and `ask` runs when it is, or after a time (RECOVERY_WAIT_MS),
 * and then finds it as it is. Calls to one partition keep their order.
 *
 * The call is embedded in what it is about, in memory of home (usually the request's: request_alloc). While the call is away
 * the owner may read and write that memory, but nobody may free it and the owner may not allocate from it. */
#pragma once
#include "storage/recovery/recoverer.h"
#include "storage/store.h"

struct part_call {
    uint8_t topic_id[16];
    int32_t partition;
    /* On the owner. `p` is NULL when there is no such partition (any more). Ends with part_call_done, now or later. */
    void (*ask)(struct part_call *c, struct partition *p);
    void (*answered)(struct part_call *c); /* at home */
    /* On the owner, before it waits for a recovery: copies what it needs of a receive buffer. False: it does not wait. NULL: it
     * needs nothing of one. */
    bool (*hold)(struct part_call *c);
    struct shard *home, *owner; /* `owner` is valid inside `ask` and after it */
    struct shard_msg msg;
    struct recovery_wait wait;
};

/* True: home owns the partition, and `ask` has run. False: the call is away and must not be looked at until it is answered. */
bool part_call_start(struct shard *home, struct part_call *c);
void part_call_done(struct part_call *c);
