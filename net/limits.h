/* Every bound of net, with its reason. What one connection may cost at most is the sum of
 *   struct conn, CONN_REQUESTS_MAX requests, CONN_REQUEST_BYTES of frames in flight plus one frame being received,
 *   and the replies of those requests: nothing more is read while they wait to be sent. */
#pragma once
#include "core/limits.h"

enum {
    CONN_REQUESTS_MAX = 64,                /* Produce requests that overlap on one connection */
    CONN_REQUEST_BYTES = 16 * 1024 * 1024, /* of their frames; one more frame may start below this */
    CONN_IOV = 32,                         /* pieces of one send; a longer reply takes several */
    CONN_FRAME_S = 60,                     /* a frame that began must be complete after this: slow loris */
    CONN_STOP_S = 5,                       /* in-flight requests get this long when the broker stops */
    FRAME_FIRST_BYTES = 16 * 1024,         /* memory for a frame before its bytes came ... */
    FRAME_AHEAD = 16,                      /* ... and then this many times what has come */
    FRAME_HEADER_MIN = 8,                  /* key, version, correlation id: less is no request */
    POOLED_HELD_MAX = IO_RECV_COUNT / 2,   /* receive buffers that requests hold; beyond, frames are copied out */
    STARVED_RETRY_MS = 10,                 /* connections that found no memory try again this often */
    REQUEST_ROOM_BYTES = 3072,             /* in each request: decodes a Produce of a dozen partitions without a heap */
    REQUEST_OUT_BYTES = 512,               /* in each request: holds the reply of most of them */
    REQUEST_ARENA_MAX = 64 * 1024 * 1024,  /* a Fetch of 100,000 partitions takes half of it */
    REQUESTS_MEMORY_MIN = 64 * 1024 * 1024, /* of all requests of a shard, however small its budget */
    REQUESTS_FREE_MAX = 256,                /* kept for the next ones: 1 MiB */
    BLOCKS_FREE_MAX = 256,
    SOFTWARE_NAME_MAX = 64,         /* of a client's name and version, for log lines: longer ones are cut */
    SESSION_PARTS_MAX = 200 * 1000, /* partitions in all fetch sessions of a shard: 40 MB */
    SESSION_EVICT_S = 120,          /* a session idle for longer may be evicted, as in Kafka */
    NOTICE_PER_S = 10,              /* log lines that peers can provoke; the rest is counted */
    ACCEPT_RETRY_MS = 100,          /* out of descriptors: accept again after this */
    ACCEPTS_AHEAD = 1,              /* accepts in flight per listener: one operation a side, as io.h has it */
};
static_assert(POOLED_HELD_MAX >= 1, "at least one request can be parsed in place");
