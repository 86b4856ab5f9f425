#include "net/coord/coord_call.h"
#include "net/limits.h"

/* --- on the owner --- */

static size_t coord_call_memory_max(const struct coord_call *c)
{
    size_t left = c->spent_bytes < COORD_ANSWERS_BYTES_MAX ? COORD_ANSWERS_BYTES_MAX - c->spent_bytes : 0;
    return left < COORD_ANSWER_BYTES_MAX ? left : COORD_ANSWER_BYTES_MAX;
}

void coord_call_look_again(struct coord_call *c)
{
    c->log = c->partition >= 0 ? coord_shard_log(c->coordinator, c->partition, &c->error) : NULL;
}

static void ask_coord_call(struct shard *owner, struct coord_call *c)
{
    c->coordinator = c->topic->on(owner);
    coord_call_look_again(c);
    arena_init(&c->memory, owner->heap, coord_call_memory_max(c));
    c->ask(c);
}

static void ask_coord_call_there(struct shard *at, struct shard_msg *msg)
{
    ask_coord_call(at, container_of(msg, struct coord_call, msg));
}

static void forget_coord_call(struct coord_call *c)
{
    if (!c->done && c->forget)
        c->forget(c);
}

void *coord_call_alloc(struct coord_call *c, size_t bytes)
{
    void *p = arena_alloc(&c->memory, bytes);
    c->starved = c->starved || !p;
    return p;
}

struct kview coord_call_text(struct coord_call *c, struct kview v)
{
    static const uint8_t nothing[1];
    void *p = v.n > 0 ? coord_call_alloc(c, (size_t)v.n) : NULL;
    if (!p)
        return (struct kview){nothing, v.n < 0 ? -1 : 0};
    return (struct kview){memcpy(p, v.at, (size_t)v.n), v.n};
}

/* --- the way home --- */

static void coord_call_message_home(struct coord_call *c)
{
    assert(c->away > 0);
    if (--c->away == 0)
        c->answered(c);
}

static void coord_call_home(struct shard *at, struct shard_msg *msg)
{
    struct coord_call *c = container_of(msg, struct coord_call, msg);
    assert(c->home == at);
    coord_call_message_home(c);
}

void coord_call_done(struct coord_call *c)
{
    assert(!c->done);
    c->done = true;
    if (c->asking) /* coord_call_start goes on with it */
        return;
    shard_msg_init(&c->msg, coord_call_home);
    shard_send(shard_at(c->home->group, c->owner_id), c->home->id, &c->msg);
}

/* --- at home --- */

static void ask_coord_call_at_home(struct shard *home, struct coord_call *c)
{
    ask_coord_call(home, c);
    c->asking = false;
    if (c->done)
        coord_call_message_home(c);
}

static void start_coord_call(struct shard *home, struct coord_call *c, uint16_t owner_id, int32_t partition)
{
    assert(c->ask);
    assert(c->answered);
    c->home = home;
    c->owner_id = owner_id;
    c->partition = partition;
    c->error = KERR_NONE;
    c->done = c->starved = false;
    c->away = 1;
    c->asking = owner_id == home->id;
    if (c->asking) {
        ask_coord_call_at_home(home, c);
        return;
    }
    shard_msg_init(&c->msg, ask_coord_call_there);
    shard_send(home, owner_id, &c->msg);
}

void coord_call_start_at(struct shard *home, uint16_t owner_id, struct coord_call *c)
{
    start_coord_call(home, c, owner_id, -1);
}

/* Without the topic any shard says that it is not the coordinator: home does. */
void coord_call_start(struct shard *home, struct coord_call *c)
{
    const struct topic *t = coord_topic_find(c->topic, store_of(home));
    int32_t partition = t ? coord_partition(c->key, t->partitions) : 0;
    start_coord_call(home, c, t ? topic_shard(t->id, partition, home->count) : home->id, partition);
}

static void coord_call_cancel_home(struct shard *at, struct shard_msg *msg)
{
    struct coord_call *c = container_of(msg, struct coord_call, cancel_msg);
    assert(c->home == at);
    coord_call_message_home(c);
}

static void cancel_coord_call_there(struct shard *at, struct shard_msg *msg)
{
    struct coord_call *c = container_of(msg, struct coord_call, cancel_msg);
    uint16_t home = c->home->id;
    forget_coord_call(c); /* home still waits for this message: the call stays */
    shard_msg_init(msg, coord_call_cancel_home);
    shard_send(at, home, msg);
}

void coord_call_cancel(struct coord_call *c)
{
    assert(c->away == 1);
    if (c->owner_id == c->home->id) {
        forget_coord_call(c);
        return;
    }
    c->away++;
    shard_msg_init(&c->cancel_msg, cancel_coord_call_there);
    shard_send(c->home, c->owner_id, &c->cancel_msg);
}

/* --- the owner's memory --- */

size_t coord_call_bytes(const struct coord_call *c)
{
    assert(c->away == 0);
    assert(c->done);
    return c->memory.used_bytes;
}

bool coord_call_holds(const struct coord_call *c)
{
    return coord_call_bytes(c) > 0;
}

static void coord_call_memory_home(struct shard *at, struct shard_msg *msg)
{
    struct coord_call *c = container_of(msg, struct coord_call, msg);
    assert(c->home == at);
    c->back(c);
}

static void free_coord_call_memory(struct shard *at, struct shard_msg *msg)
{
    struct coord_call *c = container_of(msg, struct coord_call, msg);
    if (arena_reset_some(&c->memory)) { /* a little each turn */
        shard_send(at, at->id, msg);
        return;
    }
    shard_msg_init(msg, coord_call_memory_home);
    shard_send(at, c->home->id, msg);
}

static int32_t run_coord_call_emptying(void *arg)
{
    struct coord_call *c = arg;
    arena_discard(&c->memory);
    return 0;
}

static void coord_call_emptied(struct io_op *op, int32_t res)
{
    struct coord_call *c = container_of(op, struct coord_call, emptied);
    (void)res;
    shard_msg_init(&c->msg, free_coord_call_memory);
    free_coord_call_memory(c->coordinator->shard, &c->msg);
}

static void give_coord_call_memory_back(struct shard *at, struct shard_msg *msg)
{
    struct coord_call *c = container_of(msg, struct coord_call, msg);
    assert(at == c->coordinator->shard);
    if (c->memory.used_bytes < ARENA_LARGE_BYTES) {
        shard_msg_init(msg, free_coord_call_memory);
        free_coord_call_memory(at, msg);
        return;
    }
    io_job(at->io, &c->emptied, IO_URGENT, run_coord_call_emptying, c, coord_call_emptied);
}

void coord_call_give_back(struct coord_call *c, void (*back)(struct coord_call *c))
{
    assert(coord_call_holds(c));
    c->back = back;
    if (c->owner_id == c->home->id && c->memory.used_bytes < ARENA_LARGE_BYTES) {
        arena_reset(&c->memory);
        back(c);
        return;
    }
    shard_msg_init(&c->msg, give_coord_call_memory_back);
    shard_send(c->home, c->owner_id, &c->msg);
}
