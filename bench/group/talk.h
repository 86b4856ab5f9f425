/* The messages of the classic group protocol, as far as the group load needs them: JoinGroup v5, SyncGroup v3, Heartbeat v3, LeaveGroup v2,
 * OffsetCommit v7, OffsetFetch v5, FindCoordinator v2. Written by hand on purpose: see bench/load/wire.h. */
#ifndef BENCH_GROUP_TALK_H
#define BENCH_GROUP_TALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TALK_OFFSET_COMMIT = 8,
    TALK_OFFSET_FETCH = 9,
    TALK_FIND_COORDINATOR = 10,
    TALK_JOIN_GROUP = 11,
    TALK_HEARTBEAT = 12,
    TALK_LEAVE_GROUP = 13,
    TALK_SYNC_GROUP = 14,
    TALK_REQUEST_MAX = 4096, /* a leader's SyncGroup of GROUP_MEMBERS_MAX members is the largest */
    TALK_ID_BYTES = 96,
    GROUP_MEMBERS_MAX = 16,
};
enum {
    TALK_NONE = 0,
    TALK_LOADING = 14,
    TALK_NOT_AVAILABLE = 15,
    TALK_NOT_COORDINATOR = 16,
    TALK_REBALANCE = 27,
    TALK_ID_REQUIRED = 79,
};

struct talk_who {
    const char *group;
    const char *member;
    int32_t generation;
};
struct talk_joined {
    int16_t error;
    int32_t generation;
    char member[TALK_ID_BYTES];
    /* The leader gets all of them, others none. */
    uint32_t count;
    char members[GROUP_MEMBERS_MAX][TALK_ID_BYTES];
};
struct talk_assigned {
    int16_t error;
    bool has_partition;
    uint32_t partition;
};

/* Each writes a whole request into TALK_REQUEST_MAX bytes and returns its length. */
size_t talk_find(uint8_t *out, uint32_t correlation, const char *group);
size_t talk_join(uint8_t *out, uint32_t correlation, const struct talk_who *who, uint32_t session_ms,
                 const char *topic);
/* `joined` is the leader's answer: member i gets partition i. NULL: not the leader. */
size_t talk_sync(uint8_t *out, uint32_t correlation, const struct talk_who *who, const struct talk_joined *joined,
                 const char *topic);
size_t talk_heartbeat(uint8_t *out, uint32_t correlation, const struct talk_who *who);
size_t talk_leave(uint8_t *out, uint32_t correlation, const struct talk_who *who);
size_t talk_commit(uint8_t *out, uint32_t correlation, const struct talk_who *who, const char *topic,
                   uint32_t partition, uint64_t offset);
size_t talk_fetch(uint8_t *out, uint32_t correlation, const struct talk_who *who, const char *topic,
                  uint32_t partition);

/* Each reads an answer behind its correlation id. False: it makes no sense. */
bool talk_found(const uint8_t *at, size_t len, int16_t *out_error);
bool talk_joined(const uint8_t *at, size_t len, struct talk_joined *out);
bool talk_synced(const uint8_t *at, size_t len, struct talk_assigned *out);
bool talk_beaten(const uint8_t *at, size_t len, int16_t *out_error); /* and LeaveGroup's */
bool talk_committed(const uint8_t *at, size_t len, int16_t *out_error);
bool talk_fetched(const uint8_t *at, size_t len, int16_t *out_error, uint64_t *out_offset);

#endif
