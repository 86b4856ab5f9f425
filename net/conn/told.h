/* What a connection tells shard 0 about its client, so that clients who never come to the address they were told are found
 * (net/conn/homecoming.h). Connections of one client land on different shards, so one shard counts them: the first.
 *
 *   home: told_note, told_came, told_leave --msg--> shard 0: homecoming --msg--> home: `back`
 *
 * One message per connection is out at a time; what happens meanwhile is sent when it is back. Embedded in the connection,
 * which lives until told_leave says that shard 0 has nothing of it any more. */
#pragma once
#include "net/server.h"

/* What a client asks before it knows where to go. */
enum told_way {
    TOLD_TO_GO,     /* for topics or a coordinator: it is sent there */
    TOLD_OPENING,   /* for no topic at all, with which clients that opens_anew begin */
    TOLD_OF_ALL,    /* for all topics, or for the cluster: it looks around */
    TOLD_A_PRODUCER /* for a producer id, which clients ask of whomever they reach first */
};
struct told {
    struct shard *home;
    const char *peer; /* the connection's: its address without the port */
    struct homecoming_name name;
    void (*back)(struct told *t); /* told_leave has to be asked again */
    struct shard_msg msg;
    bool out;
    bool only_opened; /* told for its opening, and for nothing since */
    bool producer;
    uint64_t asked_ns; /* it was told an address last */
    uint8_t retries;
    uint8_t happened, next, carried; /* events of told.c: ever; for the next message; by the message that is out */
    uint8_t counted;                 /* GUEST_*: by shard 0, until the connection leaves */
};

void told_init(struct told *t, struct shard *home, const char *peer, void (*back)(struct told *t));
/* It asks its way: `name` says who it is, and what it is told. A Java producer without records needs no more than its opening and a
 * producer id, and is not waited for. */
void told_note(struct told *t, enum told_way way, const struct homecoming_name *name);
/* It asked for something that needs no telling. */
void told_came(struct told *t);
/* The connection closes. True: nothing is out, and it may be freed. False: `back` will be called. */
bool told_leave(struct told *t) must_use;

/* Shard 0's timer: names who is missing. */
void told_judge(struct timer *t);
