/* Every bound of net, with its reason. What one connection may cost at most is the sum of
 *   struct conn, CONN_REQUESTS_MAX requests, CONN_REQUEST_BYTES of frames in flight plus one frame being received,
 *   and the replies of those requests: nothing more is read while they wait to be sent. */
#pragma once
#include "core/limits.h"

enum {
    CONN_REQUESTS_MAX = 512,               /* Produce requests that overlap: 10,000 a second while a disk takes 50 ms */
    CONN_REQUEST_BYTES = 16 * 1024 * 1024, /* of their frames; one more frame may start below this */
    CONN_IOV = 32,                         /* pieces of one send; a longer reply takes several */
    SEND_SMALL_BYTES =
        16 * 1024, /* replies that go in the turn in which they are ready, whichever connections send, too */
    SEND_BYTES_MAX =
        1088 * 1024, /* of one send, which the kernel copies in one go: some 0.9 ms; an answer of 1 MiB is one */
    RECEIVE_BYTES_MAX = 512 * 1024,        /* of a frame's own memory, which is faulted in meanwhile: some 0.4 ms */
    SENDS_BYTES_PER_TURN = SEND_BYTES_MAX, /* of those that are not small, all together */
    ACCEPT_SPENDS_BYTES = 64 * 1024, /* a new connection takes as long as receiving so many bytes (io_spend) ... */
    CLOSE_SPENDS_BYTES = 64 * 1024,  /* ... and so does one that ends */
    CONN_FRAME_S = 60,               /* a frame that began must be complete after this: slow loris */
    CONN_STOP_S = 5,                 /* in-flight requests get this long when the broker stops */
    FRAME_FIRST_BYTES = 16 * 1024,   /* memory for a frame before its bytes came ... */
    FRAME_AHEAD = 16,                /* ... and then this many times what has come */
    FRAME_AHEAD_SHORT = 2,           /* ... or this, once half of the memory for such frames is taken */
    FRAME_MIDDLE_BYTES = 64 * 1024,  /* what a frame of 64 KiB has until three quarters of it have come */
    FRAME_STILL_MS = 2000,      /* memory is short: closed first is who has sent nothing for so long in a frame ... */
    FRAME_JUDGED_MS = 5000,     /* ... then who, after this, */
    FRAME_RATE_MIN = 16 * 1024, /* has sent less of it a second: a device on a line of 20 kB/s lives */
    FRAMES_RESERVE_PART = 8,    /* of the memory for frames, this part is for those that came whole */
    COPY_BYTES_PER_TURN = 256 * 1024,     /* of a growing frame: some 30 us */
    FRAME_HEADER_MIN = 8,                 /* key, version, correlation id: less is no request */
    POOLED_HELD_MAX = IO_RECV_COUNT / 2,  /* receive buffers that requests hold; beyond, frames are copied out */
    STARVED_RETRY_MS = 10,                /* connections that found no memory try again this often */
    REQUEST_ROOM_BYTES = 3072,            /* in each request: decodes a Produce of a dozen partitions without a heap */
    REQUEST_OUT_BYTES = 512,              /* in each request: holds the reply of most of them */
    DECODE_NOW_BYTES = 64 * 1024,         /* of decoded arrays: about 100 us; what is larger, a job decodes */
    DECODE_NOW_TAGS = 10 * 1000,          /* that nobody knows: some 50 us to skip */
    ENCODE_NOW_BYTES = 64 * 1024,         /* the same of replies */
    REQUEST_ARENA_MAX = 64 * 1024 * 1024, /* a Fetch of 100,000 partitions takes 56 MB of it */
    REQUESTS_MEMORY_MIN = 64 * 1024 * 1024, /* of all requests of a shard, however small its budget */
    REQUESTS_FREE_MAX = 256,                /* kept for the next ones: 1 MiB */
    BLOCKS_FREE_MAX = 256,
    SOFTWARE_NAME_MAX = 64,               /* of a client's name and version, for log lines: longer ones are cut */
    SESSION_PARTS_MAX = 200 * 1000,       /* partitions in all fetch sessions of a shard: 40 MB */
    SESSIONS_SHARE = 8,                   /* and this part of --memory at most */
    CONNS_SHARE = 8,                      /* all connections, without what they send */
    GROUPS_SHARE = 4,                     /* all groups; beyond half of that no new ones, and no new members */
    SESSION_EVICT_S = 120,                /* a session idle for longer may be evicted, as in Kafka */
    NOTICES_BURST = 200,                  /* log lines that peers can provoke at once ... */
    NOTICES_PER_S = 1,                    /* ... and then; the rest is counted */
    ACCEPT_RETRY_MS = 100,                /* out of descriptors: accept again after this */
    ACCEPTS_AHEAD = 1,                    /* accepts in flight per listener: one operation a side, as io.h has it */
    GROUP_NEW_MEMBER_MS = 5 * 60 * 1000,  /* a first JoinGroup waits no longer, as in Kafka */
    GROUP_POSTPONE_MS_MIN = 1000,         /* a rebalance that nobody joined is looked at again this often at most */
    GROUP_MEMBERS_MAX = 10 * 1000,        /* whatever group.max.size says: joins look at every member */
    GROUP_PENDING_MAX = 10 * 1000,        /* ids that were given out and have not come back: as many */
    GROUP_PROTOCOLS_MAX = 64,             /* of one member: Kafka's clients bring up to four */
    GROUP_MEMBER_BYTES_MAX = 1024 * 1024, /* of one member: 10,000 topics are half of it */
    GROUP_METADATA_BYTES_MAX = 64 * 1024 * 1024,   /* of all members: a record of the group could not hold more */
    GROUP_ASSIGNMENT_BYTES_MAX = 64 * 1024 * 1024, /* of all members, likewise */
    GROUPS_MAX = 100 * 1000,       /* group ids in one partition of __consumer_offsets: beyond, new ones are refused */
    TXN_IDS_MAX = 1000 * 1000,     /* in one partition of __transaction_state: beyond, new ones are refused */
    TXN_RETRY_MS = 200,            /* markers that could not be put are put again after this */
    TXNS_SHARE = 8,                /* of --memory: transactional ids, and the partitions of their transactions */
    COORD_READ_BYTES = 256 * 1024, /* one read while loading */
    COORD_READ_TRIES = 50,         /* a read that finds no memory is tried again so often ... */
    COORD_READ_MS = 100,           /* ... after this; then the log is FAILED */
    COORD_REOPEN_MS = 5000,        /* one that failed for want of memory is read again after this */
    COORD_BATCH_BYTES = 64 * 1024, /* of records appended at once, unless the first is larger */
    COORD_BATCH_RECORDS = 1024,
    COORD_SCAN_MAX = 4096,   /* things that one step of a write looks at without writing any */
    COORD_SWEEP_WRITES = 64, /* entries rewritten or swept at once: one wave of the disk carries them all */
    COORDINATOR_MEMBERS_MAX = 100 * 1000, /* in all groups of a shard, pending ids too: 100 MB of modest consumers */
    COORD_ANSWER_BYTES_MAX = REQUEST_ARENA_MAX,      /* what one answer copies of a group: home could not send more */
    COORD_ANSWERS_BYTES_MAX = 4 * REQUEST_ARENA_MAX, /* of many groups, for one request: encoded, offsets are a third */
    PACE_UNITS = 4096, /* of background work in one turn, each about 100 ns: below 1 ms with what a step goes over */
    PACE_RECORD = 8,   /* what a record costs that is loaded or written ... */
    PACE_BYTES = 256,  /* ... and one more for so many bytes of it */
};
static_assert(POOLED_HELD_MAX >= 1, "at least one request can be parsed in place");
