/* A question about one key of an internal topic (a group), answered on the shard that coordinates it. Home is the shard that asks.
 *
 *   home: coord_call_start --msg--> owner: ask ........ coord_call_done --msg--> home: answered
 *   the connection closed, or the broker stops, while it is away:
 *   home: coord_call_cancel --cancel--> owner: does it wait for long? forget, and so done --cancel--> home
 *   when the reply was sent:
 *   home: coord_call_give_back --msg--> owner: empties `memory` by a job, frees it over several turns --msg--> home: back
 *
 * The answer and the cancel may cross. `away` counts what home has sent and does not have back; `answered` runs when the last of
 * it is home, so the owner never meets a call that is gone. The cancel travels behind the question on the same ring: it finds
 * the call asked. Only the owner knows whether it is done, only home knows what is away; neither reads the other's field.
 *
 * The call is embedded in what it is about, in memory of home. While it is away the owner may read and write that memory, but
 * nobody may free it, and the owner may not allocate from it. What the owner has to add (texts of an entry change when the
 * question is over) is copied into `memory`, which is of the owner's heap: home reads it until it gives it back.
 *
 * When home is the owner, `ask` runs inside coord_call_start, and so does `answered` if `ask` ends with coord_call_done. (A caller that starts
 * several calls therefore counts them, plus one for itself while it starts them.) A later answer is a message in any case: when ten
 * thousand members are answered at once, a turn replies to as many as it takes messages. */
#pragma once
#include "net/coord/coord_shard.h"

struct coord_call {
    const struct coord_topic *topic;
    struct kview key;   /* readable until it is answered */
    size_t spent_bytes; /* of COORD_ANSWERS_BYTES_MAX: what earlier answers of the same request hold */
    /* On the owner. Ends with coord_call_done, now or later. */
    void (*ask)(struct coord_call *c);
    void (*answered)(struct coord_call *c); /* at home */
    /* On the owner, once at most: nobody reads the answer any more. What waits for the disk is answered soon anyway. NULL: it does. */
    void (*forget)(struct coord_call *c);
    /* the owner's, from `ask` on */
    struct coord_shard *coordinator;
    struct coord_log *log; /* inside `ask` only; NULL with an error, or when a shard was asked */
    enum kerr error;       /* with it `ask` has nothing to look at and tells it to the client */
    struct arena memory;
    bool starved;      /* `memory` is at its end, or the heap is: what was copied is not whole */
    bool done, asking; /* asking: inside `ask`, on home */
    /* home's */
    struct shard *home;
    uint16_t owner_id;
    int32_t partition; /* -1: a shard was asked */
    uint8_t away;
    struct shard_msg msg, cancel_msg;
    struct io_op emptied;
    void (*back)(struct coord_call *c);
};

/* --- at home --- */
void coord_call_start(struct shard *home, struct coord_call *c);
/* About all keys of one shard. */
void coord_call_start_at(struct shard *home, uint16_t owner_id, struct coord_call *c);
/* Once, and only while it is away. `answered` comes soon, perhaps inside. */
void coord_call_cancel(struct coord_call *c);
/* After `answered`: must the owner get memory back? */
bool coord_call_holds(const struct coord_call *c);
void coord_call_give_back(struct coord_call *c, void (*back)(struct coord_call *c));
/* After `answered`: what it holds. */
size_t coord_call_bytes(const struct coord_call *c);

/* --- on the owner --- */
void coord_call_done(struct coord_call *c);
/* Of `memory`. NULL: `starved`. */
void *coord_call_alloc(struct coord_call *c, size_t bytes) must_use;
/* In a later turn than `ask`: `log` and `error` as they are now. The log may have gone, and entries with it. */
void coord_call_look_again(struct coord_call *c);
/* Copies; null stays null. Empty when `starved`. */
struct kview coord_call_text(struct coord_call *c, struct kview v);
