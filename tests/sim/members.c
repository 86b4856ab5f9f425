/* The groups of a seed: their beginning, and what must have become of them at the end. */
#include "tests/sim/members.h"
#include "net/limits.h"
#include "tests/sim/member.h"
#include <stdio.h>
#include <string.h>

enum {
    GROUPS_SIMULATED_MAX = 2,
    MEMBERS_MAX = 5,
    MORE_AT_THE_END = 20, /* numbers that each partition holds beyond what was consumed in the trouble */
    SESSION_MS_MIN = 150,
    SESSION_MS_MAX = 600,
};

static struct sim_group groups[GROUPS_SIMULATED_MAX];
static struct member members[GROUPS_SIMULATED_MAX * MEMBERS_MAX];
static uint32_t group_count, member_count;
static bool finishing, finished;
static uint64_t stable_by_ns;

void members_begin(void)
{
    group_count = sim.knobs.groups;
    member_count = 0;
    finishing = finished = false;
    assert(group_count <= GROUPS_SIMULATED_MAX && sim.knobs.members <= MEMBERS_MAX);
    for (uint32_t i = 0; i < group_count; i++) {
        struct sim_group *g = &groups[i];
        char name[32];
        memset(g, 0, sizeof *g);
        snprintf(name, sizeof name, "group-%u", i);
        group_oracle_begin(&g->oracle, name);
        clerk_found(&g->clerk, &g->oracle);
        for (int32_t p = 0; p < GROUP_PARTS_MAX; p++)
            g->target[p] = INT64_MAX;
        g->session_ms = (int32_t)dice_between(SESSION_MS_MIN, SESSION_MS_MAX);
        g->rebalance_ms = g->session_ms + (int32_t)dice((uint64_t)g->session_ms);
        for (uint32_t k = 0; k < sim.knobs.members; k++)
            member_init(&members[member_count++], g, i, k);
    }
}

void members_finish(void)
{
    uint64_t longest_ms = 0;
    finishing = true;
    for (uint32_t i = 0; i < group_count; i++) {
        struct sim_group *g = &groups[i];
        longest_ms = u64_max(longest_ms, (uint64_t)(g->session_ms + g->rebalance_ms));
        for (int32_t k = 0; k < g->oracle.part_count; k++)
            g->target[k] = g->oracle.parts[k].consumed_end + MORE_AT_THE_END;
    }
    for (uint32_t i = 0; i < member_count; i++)
        members[i].back_ns = 0;
    /* A coordinator that found no memory just before the trouble's end reads its log again after a while. */
    uint64_t reopen_ns = world_runs_short() ? COORD_REOPEN_MS * NS_PER_MS : 0;
    stable_by_ns = sim.now_ns + 2 * longest_ms * NS_PER_MS + 3 * NS_PER_S + reopen_ns;
}

/* Who of the group is not where it should be? NULL: nobody. */
static const char *unstable(const struct sim_group *g)
{
    int32_t held = 0;
    for (uint32_t i = 0; i < member_count; i++) {
        const struct member *m = &members[i];
        if (m->group != g)
            continue;
        if (m->step != STEP_STABLE || m->generation != g->oracle.newest)
            return m->peer.client.name;
        held += m->held_count;
    }
    return held == g->oracle.part_count ? NULL : "somebody";
}

static bool all_committed(const struct sim_group *g)
{
    bool all = true;
    for (int32_t i = 0; i < g->oracle.part_count; i++) {
        const struct group_commit *acked = g->oracle.parts[i].acked;
        all = all && acked && acked->offset == g->target[i];
    }
    return all;
}

bool members_done(void)
{
    if (group_count == 0 || finished)
        return true;
    if (!finishing || sim.now_ns < stable_by_ns)
        return false;
    bool done = sim.now_ns > stable_by_ns + NS_PER_S;
    for (uint32_t i = 0; i < group_count; i++) {
        struct sim_group *g = &groups[i];
        if (!g->calm_generation) {
            const char *who = unstable(g);
            world_check(!who, "%s is not stable although its time-outs are over: %s", g->oracle.name, who);
            g->calm_generation = g->oracle.newest;
        }
        world_check(g->calm_generation == g->oracle.newest,
                    "%s went from generation %d to %d although nothing happened", g->oracle.name, g->calm_generation,
                    g->oracle.newest);
        done = done && all_committed(g);
    }
    finished = done;
    return done;
}

void members_tell(char *out, size_t bytes)
{
    for (uint32_t i = 0; i < group_count && !finished; i++)
        if (!all_committed(&groups[i]))
            snprintf(out, bytes, " %s has not committed everything", groups[i].oracle.name);
}

void members_quit(void)
{
    for (uint32_t i = 0; i < member_count; i++) {
        members[i].quitting = true;
        peer_quit(&members[i].peer);
        client_quit(&members[i].side);
    }
    for (uint32_t i = 0; i < group_count; i++)
        clerk_quit(&groups[i].clerk);
}

void members_judge_begin(void)
{
    for (uint32_t i = 0; i < group_count; i++)
        clerk_judge(&groups[i].clerk, &groups[i].oracle);
}

bool members_judged(void)
{
    bool all = true;
    for (uint32_t i = 0; i < group_count; i++)
        all = all && groups[i].clerk.judged;
    return all;
}

void members_judge_quit(void)
{
    for (uint32_t i = 0; i < group_count; i++)
        clerk_quit(&groups[i].clerk);
}
