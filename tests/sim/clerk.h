/* What one client does alone for a group of the simulator: at the start it commits 0 everywhere without being a member (a group
 * with offsets is never forgotten, so its generations only rise), and at the end it asks for everything once more. */
#pragma once
#include "tests/sim/group_oracle.h"
#include "tests/sim/peer.h"

struct clerk {
    struct peer peer;
    struct group_oracle *group;
    bool founded, judges, judged, waiting;
};
void clerk_found(struct clerk *c, struct group_oracle *g);
void clerk_judge(struct clerk *c, struct group_oracle *g);
void clerk_quit(struct clerk *c);

/* An OffsetFetch of one group, and what it points to. */
struct clerk_fetch {
    struct offset_fetch_request request;
    struct offset_fetch_request_group group;
    struct offset_fetch_request_topics topics[GROUP_PARTS_MAX];
};
void clerk_fill_fetch(struct clerk_fetch *out, struct group_part *const *parts, int32_t count, const char *name);

/* An OffsetCommit of one group, by nobody yet, and what it points to. */
struct clerk_commit {
    struct offset_commit_request request;
    struct offset_commit_request_topic topics[GROUP_PARTS_MAX];
    struct offset_commit_request_partition parts[GROUP_PARTS_MAX];
};
void clerk_fill_commit(struct clerk_commit *out, struct group_part *const *parts, const int64_t *offsets, int32_t count,
                       const char *name);
