/* One member of a group in the group load: a connection with one request in flight. It joins until its group is complete, then
 * heartbeats and commits one offset more each time, and at the end reads back what it committed last.
 *
 *   FINDING -> JOINING -> SYNCING -> IN  (a rebalance: JOINING again, only before the measuring) -> READING -> LEAVING -> OVER */
#ifndef BENCH_GROUP_MEMBER_H
#define BENCH_GROUP_MEMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/group/talk.h"
#include "bench/load/hist.h"

enum { MEMBER_IN_BYTES = 4096, GROUP_NAME_BYTES = 32 };

struct crowd {
    const char *topic;
    uint32_t members; /* of each group */
    uint32_t session_ms, heartbeat_ms, commit_ms;
    bool measuring; /* everybody is in: a rebalance is now an error */
    uint64_t commits, heartbeats, rebalances, read_back;
    const char *wrong;
    struct hist commit_latency;
};

enum member_step {
    MEMBER_FINDING,
    MEMBER_JOINING,
    MEMBER_SYNCING,
    MEMBER_IN,
    MEMBER_READING,
    MEMBER_LEAVING,
    MEMBER_OVER
};

struct member {
    struct crowd *crowd;
    int fd;
    char group[GROUP_NAME_BYTES];
    char id[TALK_ID_BYTES];
    enum member_step step;
    uint16_t asked; /* the key of the request in flight, UINT16_MAX: none */
    uint32_t correlation;
    int32_t generation;
    uint32_t group_size; /* as the leader of this generation saw it; 0: not the leader */
    uint32_t partition;
    uint64_t sent_ns, commit_due_ns, heartbeat_due_ns, retry_ns;
    uint64_t next_offset, acked_offset;
    size_t in_len;
    uint8_t in[MEMBER_IN_BYTES];
};

bool member_open(struct member *m, struct crowd *crowd, const char *address, uint32_t group);
/* Sends what is due, if nothing is in flight. False: the connection is lost. */
bool member_go(struct member *m, uint64_t now_ns);
/* The socket can be read. False, with crowd->wrong set, when the connection is lost or an answer is wrong. */
bool member_read(struct member *m, uint64_t now_ns);
/* The commits begin, spread over the interval by `share` (0 to 1). */
void member_begin(struct member *m, uint64_t now_ns, double share);

#endif
