/* What must be true of consumer groups, from what their members saw alone:
 *
 *   - no partition is owned twice in one generation (an assignment counts when SyncGroup was answered with it)
 *   - nothing committed is lost: OffsetFetch answers the last acknowledged commit, or one that was sent and may still land
 *   - no record is skipped: nobody is told to go on behind what the group has consumed
 *   - a commit of a generation that was over when it was sent is refused
 *   - a member whose sign of life was answered less than a session time-out ago is a member
 *
 * Members consume numbers, not records: what a partition holds is the other oracle's business. */
#pragma once
#include "tests/sim/world.h"

enum { GROUP_PARTS_MAX = 16, MEMBER_NAME_BYTES = 64 };

struct group_commit {
    struct group_commit *next;
    int64_t offset;
    int32_t generation, newest_when_sent;
    uint64_t order;
    bool acked, refused;
};
struct group_owner {
    struct group_owner *next;
    int32_t generation;
    char member[MEMBER_NAME_BYTES];
};
struct group_part {
    const char *topic;
    int32_t partition;
    int64_t consumed_end;                 /* nobody in the group has consumed beyond it */
    struct group_commit *commits, *acked; /* newest first; acked: the last acknowledged one */
    struct group_owner *owners;
};
struct group_oracle {
    char name[32];
    int32_t newest; /* generation of which an assignment was seen */
    struct group_part parts[GROUP_PARTS_MAX];
    int32_t part_count;
};

void group_oracle_begin(struct group_oracle *g, const char *name);
/* An assignment came; `newest_when_sent` is g->newest of when SyncGroup was sent. `member`: its instance, or its id. */
void group_oracle_synced(struct group_oracle *g, const char *member, int32_t generation, int32_t newest_when_sent);
void group_oracle_owns(struct group_part *p, const char *member, int32_t generation);
/* A commit is sent, and how it ended. Not told at all: its answer was lost. */
struct group_commit *group_oracle_commit(struct group_oracle *g, struct group_part *p, int64_t offset,
                                         int32_t generation);
void group_oracle_committed(struct group_part *p, struct group_commit *c);
/* OffsetFetch: what was acknowledged when it was sent, and what came (-1: none). */
void group_oracle_fetched(const struct group_part *p, const struct group_commit *acked_when_sent, int64_t offset);
