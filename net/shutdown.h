/* A clean stop of the whole broker, led by shard 0:
 *
 *   each shard: server_stop (requests finish, connections close)   -- all done -->
 *   each shard: txn_shard_stop (what transactions write has ended)  -- all done -->
 *   each shard: coordinator_stop (what groups write has ended)      -- all done -->
 *   each shard: store_stop (flush, trim, save)                     -- all done -->
 *   each shard: its loop ends
 *
 * in steps that every shard finishes before the next begins, because requests and catalog changes cross shards. The data
 * folder's clean mark is the caller's, after the loops ended. */
#pragma once
#include "net/countdown.h"
#include "net/server.h"

struct shutdown;
struct shutdown_part {
    struct shutdown *all;
    struct shard *shard;
    struct shard_msg msg;
};
enum shutdown_step { SHUTDOWN_NOT, SHUTDOWN_SERVERS, SHUTDOWN_TXNS, SHUTDOWN_GROUPS, SHUTDOWN_STORES, SHUTDOWN_LOOPS };
struct shutdown {
    struct shard *first;
    enum shutdown_step step;
    struct countdown out; /* shards that are at this step */
    struct shutdown_part parts[SHARDS_MAX];
};

/* On shard 0. A second call does nothing. `sd` is zeroed, and lives until the loops have ended. */
void shutdown_start(struct shutdown *sd, struct shard *first);
