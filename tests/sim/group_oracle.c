#include "tests/sim/group_oracle.h"
#include "tests/sim/oracle.h"
#include "tests/sim/peer.h"
#include <stdio.h>
#include <string.h>

void group_oracle_begin(struct group_oracle *g, const char *name)
{
    memset(g, 0, sizeof *g);
    snprintf(g->name, sizeof g->name, "%s", name);
    for (uint32_t i = 0; i < topics_count(); i++)
        for (int32_t k = 0; k < topics_at(i)->partitions; k++) {
            assert(g->part_count < GROUP_PARTS_MAX);
            struct group_part *p = &g->parts[g->part_count++];
            p->topic = topics_at(i)->name;
            p->partition = k;
        }
}

void group_oracle_synced(struct group_oracle *g, const char *member, int32_t generation, int32_t newest_when_sent)
{
    sim.totals.assignments++;
    world_check(generation >= newest_when_sent, "%s of %s was let into generation %d although %d had been seen", member,
                g->name, generation, newest_when_sent);
    if (generation > g->newest)
        g->newest = generation;
}

void group_oracle_owns(struct group_part *p, const char *member, int32_t generation)
{
    for (const struct group_owner *o = p->owners; o; o = o->next)
        if (o->generation == generation) {
            world_check(strcmp(o->member, member) == 0, "%s-%d has two owners in generation %d: %s and %s", p->topic,
                        p->partition, generation, o->member, member);
            return;
        }
    struct group_owner *o = world_alloc(sizeof *o);
    o->next = p->owners;
    o->generation = generation;
    snprintf(o->member, sizeof o->member, "%s", member);
    p->owners = o;
}

struct group_commit *group_oracle_commit(struct group_oracle *g, struct group_part *p, int64_t offset,
                                         int32_t generation)
{
    static uint64_t order;
    struct group_commit *c = world_alloc(sizeof *c);
    *c = (struct group_commit){.next = p->commits,
                               .offset = offset,
                               .generation = generation,
                               .newest_when_sent = g->newest,
                               .order = ++order};
    p->commits = c;
    return c;
}

void group_oracle_committed(struct group_part *p, struct group_commit *c)
{
    world_check(c->generation >= c->newest_when_sent,
                "a commit of %s-%d for generation %d was taken although generation %d had been seen when it was sent",
                p->topic, p->partition, c->generation, c->newest_when_sent);
    c->acked = true;
    if (!p->acked || c->order > p->acked->order)
        p->acked = c;
    sim.totals.commits++;
}

/* One that was sent but never answered may land at any time until its generation is over. */
static bool may_stand(const struct group_commit *c, const struct group_commit *acked)
{
    if (c->refused)
        return false;
    return !acked || c == acked || c->order > acked->order || (!c->acked && c->generation >= acked->generation);
}

void group_oracle_fetched(const struct group_part *p, const struct group_commit *acked_when_sent, int64_t offset)
{
    bool found = offset == -1 && !acked_when_sent;
    for (const struct group_commit *c = p->commits; c && !found; c = c->next)
        found = c->offset == offset && may_stand(c, acked_when_sent);
    world_check(found, "the committed offset of %s-%d is %lld; acknowledged was %lld", p->topic, p->partition,
                (long long)offset, acked_when_sent ? (long long)acked_when_sent->offset : -1);
    world_check(offset <= p->consumed_end, "%s-%d goes on at %lld although only what is before %lld was consumed",
                p->topic, p->partition, (long long)offset, (long long)p->consumed_end);
    sim.totals.fetched_commits++;
}
