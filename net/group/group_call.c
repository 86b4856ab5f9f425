/* A question about one group, answered on the shard that coordinates it. */
#include "net/group/group_call.h"
#include "net/limits.h"
#include "net/server.h"

/* --- on the owner --- */

static size_t group_call_memory_max(const struct group_call *c)
{
    size_t left = c->spent_bytes < GROUP_ANSWERS_BYTES_MAX ? GROUP_ANSWERS_BYTES_MAX - c->spent_bytes : 0;
    return left < GROUP_ANSWER_BYTES_MAX ? left : GROUP_ANSWER_BYTES_MAX;
}

static void ask_group_call(struct shard *owner, struct group_call *c)
{
    struct coordinator_shard *co = server_of(owner)->coordinator;
    c->coordinator = co;
    c->log = c->partition >= 0 ? coordinator_log(co, c->partition, &c->error) : NULL;
    arena_init(&c->memory, owner->heap, group_call_memory_max(c));
    c->ask(c);
}

static void ask_group_call_there(struct shard *at, struct shard_msg *msg)
{
    ask_group_call(at, container_of(msg, struct group_call, msg));
}

/* Its connection is gone. What waits for the disk and not for a group is answered soon anyway. */
static void forget_group_waiter(struct group_call *c)
{
    struct group_entry *e = c->waiter.entry;
    if (!e)
        return;
    struct coordinator_shard *co = c->coordinator;
    group_forget(e->group, &c->waiter, group_log_now(), coordinator_emit(co));
    coordinator_settle(e); /* nothing of `c` any more: it may have ended the request */
}

void *group_call_alloc(struct group_call *c, size_t bytes)
{
    void *p = arena_alloc(&c->memory, bytes);
    c->starved = c->starved || !p;
    return p;
}

struct kview group_call_text(struct group_call *c, struct kview v)
{
    static const uint8_t nothing[1];
    void *p = v.n > 0 ? group_call_alloc(c, (size_t)v.n) : NULL;
    if (!p)
        return (struct kview){nothing, v.n < 0 ? -1 : 0};
    return (struct kview){memcpy(p, v.at, (size_t)v.n), v.n};
}

/* --- the way home --- */

static void group_call_message_home(struct group_call *c)
{
    assert(c->away > 0);
    if (--c->away == 0)
        c->answered(c);
}

static void group_call_home(struct shard *at, struct shard_msg *msg)
{
    struct group_call *c = container_of(msg, struct group_call, msg);
    assert(c->home == at);
    group_call_message_home(c);
}

void group_call_done(struct group_call *c)
{
    assert(!c->done);
    assert(!c->waiter.entry);
    c->done = true;
    if (c->owner_id == c->home->id) {
        group_call_message_home(c);
        return;
    }
    shard_msg_init(&c->msg, group_call_home);
    shard_send(shard_at(c->home->group, c->owner_id), c->home->id, &c->msg);
}

/* --- at home --- */

static void start_group_call(struct shard *home, struct group_call *c, uint16_t owner_id, int32_t partition)
{
    assert(c->ask);
    assert(c->answered);
    c->home = home;
    c->owner_id = owner_id;
    c->partition = partition;
    c->error = KERR_NONE;
    c->done = c->starved = false;
    c->waiter.entry = NULL;
    c->away = 1;
    if (owner_id == home->id) {
        ask_group_call(home, c);
        return;
    }
    shard_msg_init(&c->msg, ask_group_call_there);
    shard_send(home, owner_id, &c->msg);
}

void group_call_start_at(struct shard *home, uint16_t owner_id, struct group_call *c)
{
    start_group_call(home, c, owner_id, -1);
}

/* Without __consumer_offsets any shard says that it is not the coordinator: home does. */
void group_call_start(struct shard *home, struct group_call *c)
{
    const struct topic *t = coordinator_topic(store_of(home));
    int32_t partition = t ? coordinator_partition(c->group_id, t->partitions) : 0;
    start_group_call(home, c, t ? topic_shard(t->id, partition, home->count) : home->id, partition);
}

static void group_call_cancel_home(struct shard *at, struct shard_msg *msg)
{
    struct group_call *c = container_of(msg, struct group_call, cancel_msg);
    assert(c->home == at);
    group_call_message_home(c);
}

static void cancel_group_call_there(struct shard *at, struct shard_msg *msg)
{
    struct group_call *c = container_of(msg, struct group_call, cancel_msg);
    uint16_t home = c->home->id;
    forget_group_waiter(c); /* home still waits for this message: the call stays */
    shard_msg_init(msg, group_call_cancel_home);
    shard_send(at, home, msg);
}

void group_call_cancel(struct group_call *c)
{
    assert(c->away == 1);
    if (c->owner_id == c->home->id) {
        forget_group_waiter(c);
        return;
    }
    c->away++;
    shard_msg_init(&c->cancel_msg, cancel_group_call_there);
    shard_send(c->home, c->owner_id, &c->cancel_msg);
}

/* --- the owner's memory --- */

size_t group_call_bytes(const struct group_call *c)
{
    assert(c->away == 0);
    assert(c->done);
    return c->memory.used_bytes;
}

bool group_call_holds(const struct group_call *c)
{
    return group_call_bytes(c) > 0;
}

static void group_call_memory_home(struct shard *at, struct shard_msg *msg)
{
    struct group_call *c = container_of(msg, struct group_call, msg);
    assert(c->home == at);
    c->back(c);
}

static void free_group_call_memory(struct shard *at, struct shard_msg *msg)
{
    struct group_call *c = container_of(msg, struct group_call, msg);
    arena_reset(&c->memory);
    shard_msg_init(msg, group_call_memory_home);
    shard_send(at, c->home->id, msg);
}

void group_call_give_back(struct group_call *c, void (*back)(struct group_call *c))
{
    assert(group_call_holds(c));
    c->back = back;
    if (c->owner_id == c->home->id) {
        arena_reset(&c->memory);
        back(c);
        return;
    }
    shard_msg_init(&c->msg, free_group_call_memory);
    shard_send(c->home, c->owner_id, &c->msg);
}
