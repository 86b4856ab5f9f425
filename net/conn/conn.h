/* A connection: cuts frames from what is received, has their requests handled, and sends replies in request order.
 *
 *   reading.c                          handler (net/conn/request.h)                     sending.c
 *   receive --> block --> frame --> exchange RUNNING ... READY --> gathered, sent --> SENT
 *
 * Reading. Bytes come into a pooled receive buffer and whole frames are parsed there, in place. A frame that is not whole is
 * copied into a buf which grows as its bytes really come (FRAME_AHEAD), and the rest is received straight into it.
 * Reading stops: while a request that does not overlap is running, while too many requests or bytes are in flight, while
 * there is no memory (conns->starved), while replies are not taken by the peer (they keep their requests in flight).
 *
 * Order. Produce requests overlap with each other. Any other request waits until all before it are answered and sent, and
 * everything behind it waits for it. Replies leave in request order.
 *
 * Ending (life.c). conn_fail and conn_close shut the socket down, cancel what waits, and free the connection when the last operation
 * and the last request have come back. Handlers never look at it after that, they look at request->exchange.conn->closing if at all.
 *
 * Who the peer is: peer.c. At which address it can reach us: net/api/topology.h. */
#pragma once
#include "net/conn/conns.h"
#include "net/conn/order.h"
#include "net/conn/stream.h"
#include "net/limits.h"
#include "net/wire/wire.h"

enum { CONN_PEER_MAX = IO_NAME_MAX + 8 };

struct conn {
    struct conns *conns;
    const struct listener *listener;
    struct stream stream;
    bool closing;
    bool blocked;                /* a whole frame waits for its turn */
    bool starving;               /* it found no memory, and has found none since */
    struct list link;            /* conns->all */
    struct list starved_link;    /* conns->starved */
    struct list unfinished_link; /* conns->unfinished, while frame_since_ns is set */
    struct shard_defer turn_end; /* sends what is ready, parses on, frees */
    struct timer timer;          /* the nearest deadline, moved lazily */
    /* in: the bytes not yet parsed are in->at[in_at .. in_end) */
    struct block *in;
    uint32_t in_at, in_end;
    struct block
        *growing; /* takes the place of `in` when `grown` bytes are all of them: long copies take several turns */
    uint32_t grown;
    uint64_t frame_since_ns; /* an unfinished frame began then; 0: none */
    uint64_t active_ns;      /* bytes moved last */
    uint64_t stood_ns;       /* of its shard, when its time was counted last */
    /* in order of arrival; those at the front may be ready to send */
    struct list exchanges;
    struct in_flight in_flight;
    struct iovec iov[CONN_IOV];
    struct io_names names;
    char peer[CONN_PEER_MAX];         /* "127.0.0.1:50000", "[::1]:50000" */
    char software[SOFTWARE_NAME_MAX]; /* "librdkafka 2.0.2", "" until ApiVersions tells */
};

/* Takes over an accepted socket. */
void conn_open(struct conns *cs, int fd, const struct listener *listener);
/* The peer is gone, or it is our turn to go. */
void conn_close(struct conn *c);
/* The peer broke the protocol: one log line that names it, then the end. */
void conn_fail(struct conn *c, const char *why);
/* A reply is ready, or a request is over: look at the connection at the end of this turn. */
void conn_kick(struct conn *c);
/* There may be memory again. */
void conn_resume(struct conn *c);
/* Tells every request that waits to end soon. */
void conn_cancel(struct conn *c);
/* From the handler's `start`: the request of this frame has its place in the order; nothing about its start can fail any more. */
void conn_started(struct conn *c, struct exchange *e, bool overlaps, uint32_t frame_bytes);

/* --- between the files of this folder --- */
static inline struct shard *conn_shard(const struct conn *c)
{
    return c->conns->shard;
}
void conn_name_peer(struct conn *c);
/* Receives more, unless something stands against it. */
void conn_receive(struct conn *c);
/* Goes through what was received. */
void conn_parse(struct conn *c);
void conn_drop_input(struct conn *c);
/* Sends what is ready, if no send is pending. */
void conn_send(struct conn *c);
/* READY exchanges go without being sent. */
void conn_drop_replies(struct conn *c);
void conn_watch_deadline(struct conn *c);
void acceptors_stop(struct conns *cs);
