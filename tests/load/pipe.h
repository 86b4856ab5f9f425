/* One producing connection: the only writer of its partitions, with a window of requests in flight, oldest first. */
#pragma once
#include "tests/load/history.h"
#include "tests/load/link.h"
#include "tests/load/produce.h"

enum { PIPE_WINDOW_MAX = 64 };

struct pipe_part {
    uint32_t partition;
    uint64_t seq;
};

/* A request in flight, kept whole until it is answered: a retry sends the same bytes. */
struct pipe_slot {
    struct wbuf frame;
    int32_t corr;
    uint32_t count;
    struct pipe_part part[PROTO_PARTS_MAX];
};

struct pipe {
    const struct produce_plan *plan; /* lent */
    struct history *history;         /* lent */
    struct link link;
    struct proto_pid pid;
    struct pipe_part mine[PROTO_PARTS_MAX]; /* the next sequence of each partition */
    uint32_t mine_count;
    struct pipe_slot slot[PIPE_WINDOW_MAX];
    uint32_t first, used; /* slots in flight, a ring of plan->window */
    int32_t corr;
    uint64_t rng;
    bool again;      /* not ready yet, says the broker: connect again and send all that is in flight again */
    bool anew, back; /* connected again after a loss; and answered since */
    bool last;       /* the disk is cut: whatever fails from here on ends the pipe */
    bool over;       /* ended by a loss or an error that its plan accepts */
    char fault[160];
};

bool pipe_open(struct pipe *p, uint32_t index,
               uint32_t partitions); /* connects; asks for a producer id if it needs one */
size_t pipe_send(struct pipe *p);    /* queues one more request, if the window has room; returns its bytes */
void pipe_resend(struct pipe *p);    /* after a reconnection: everything in flight, oldest first */
void pipe_take(struct pipe *p);      /* handles the replies that have arrived */
void pipe_close(struct pipe *p);
