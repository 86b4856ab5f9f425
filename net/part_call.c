/* A question to one partition, answered on its owner. */
#include "net/part_call.h"

static void part_call_come_home(struct shard *at, struct shard_msg *msg)
{
    struct part_call *c = container_of(msg, struct part_call, msg);
    assert(c->home == at);
    c->answered(c);
}

static void ask_found_partition(struct part_call *c)
{
    c->ask(c, store_partition(store_of(c->owner), c->topic_id, c->partition));
}

static void partition_recovery_over(struct recovery_wait *w)
{
    ask_found_partition(container_of(w, struct part_call, wait));
}

static void ask_partition(struct shard *owner, struct part_call *c)
{
    c->owner = owner;
    c->wait.over = partition_recovery_over;
    struct partition *p = store_partition(store_of(owner), c->topic_id, c->partition);
    bool waits = p && partition_facts(p).recovering && (!c->hold || c->hold(c)) &&
                 recoverer_wait(p, &c->wait, RECOVERY_REQUEST, recoverer_deadline(&store_of(owner)->log));
    if (!waits)
        ask_found_partition(c);
}

static void part_call_arrive(struct shard *at, struct shard_msg *msg)
{
    ask_partition(at, container_of(msg, struct part_call, msg));
}

bool part_call_start(struct shard *home, struct part_call *c)
{
    assert(c->ask);
    assert(c->answered);
    c->home = home;
    uint16_t owner = topic_shard(c->topic_id, c->partition, home->count);
    if (owner == home->id) {
        ask_partition(home, c);
        return true;
    }
    shard_msg_init(&c->msg, part_call_arrive);
    shard_send(home, owner, &c->msg);
    return false;
}

void part_call_done(struct part_call *c)
{
    if (c->owner == c->home) {
        c->answered(c);
        return;
    }
    shard_msg_init(&c->msg, part_call_come_home);
    shard_send(c->owner, c->home->id, &c->msg);
}
