/* What a simulated member is made of: its course (member.c), its offsets (member_offsets.c), and the groups of all (members.c). */
#pragma once
#include "tests/sim/clerk.h"
#include "tests/sim/group_oracle.h"
#include "tests/sim/peer.h"

enum step { STEP_OUT, STEP_FINDING, STEP_JOINING, STEP_SYNCING, STEP_FETCHING, STEP_STABLE, STEP_LEAVING };

/* A partition that a member owns. */
struct holding {
    struct group_part *part;
    int64_t position;
};
struct sim_group {
    struct group_oracle oracle;
    struct clerk clerk;
    int32_t session_ms, rebalance_ms;
    int64_t target[GROUP_PARTS_MAX]; /* where the numbers end: nowhere until the trouble is over */
    int32_t calm_generation;
};
struct member {
    struct peer peer;   /* with the coordinator */
    struct client side; /* some commit over a second connection */
    struct sim_group *group;
    char instance[24]; /* "": dynamic */
    char id[MEMBER_NAME_BYTES];
    int16_t join_version;
    enum step step;
    int32_t generation; /* of the holdings; -1: none */
    bool has_side, committing, asking, quitting;
    bool proved;       /* the coordinator has loaded: before, it answers heartbeats without a look */
    uint64_t back_ns;  /* paused, or away, until then */
    uint64_t alive_ns; /* when the youngest heartbeat was sent that was answered with NONE; 0: none */
    uint32_t life;     /* counts restarts: what an earlier life asked is not answered to this one */
    struct holding held[GROUP_PARTS_MAX];
    int32_t held_count;
};
/* A request under way. */
struct asked {
    struct member *member;
    uint32_t life;
    uint64_t sent_ns;
    int32_t generation, newest;
    int32_t count;
    struct group_part *parts[GROUP_PARTS_MAX];
    int64_t offsets[GROUP_PARTS_MAX];
    char id[MEMBER_NAME_BYTES];                    /* the member's, when it committed */
    struct group_commit *commits[GROUP_PARTS_MAX]; /* OffsetCommit: these; OffsetFetch: what was acknowledged */
};

/* Member `i` of group number `group` comes to life. */
void member_init(struct member *m, struct sim_group *g, uint32_t group, uint32_t i);

/* What a question and its answer need. The caller frees what was asked. */
struct asked *member_ask(struct member *m);
/* Is this an answer for the member as it is now? Its absence is not. */
bool member_answered(const struct reply *r, struct member **out_member);
/* The coordinator said no: so it goes on elsewhere. An expulsion is held against the signs of life. */
void member_told(struct member *m, int16_t error, const char *what);
struct kview member_instance(const struct member *m);
uint64_t member_session_ns(const struct member *m);

/* member_offsets.c */
void member_fetch_offsets(struct member *m);
void member_commit(struct member *m);
/* Some time later, of a thread that goes its own way: the generation may be over by then. */
void member_commit_late(struct member *m);
