/* A connection: cuts frames from what is received, starts their requests, and sends replies in request order.
 *
 *   receive --> block --> frame --> request --> handler ... reply ready --> gathered, sent --> request done
 *
 * Reading. Bytes come into a pooled receive buffer and whole frames are parsed there, in place. A frame that is not whole is
 * copied into a buf which grows as its bytes really come (FRAME_AHEAD), and the rest is received straight into it.
 * Reading stops: while a request that does not overlap is running, while too many requests or bytes are in flight, while
 * there is no memory (server->starved), while replies are not taken by the peer (they keep their requests in flight).
 *
 * Order. Produce requests overlap with each other. Any other request waits until all before it are answered and sent, and
 * everything behind it waits for it. Replies leave in request order.
 *
 * Ending. conn_fail and conn_close shut the socket down, cancel what waits, and free the connection when the last operation
 * and the last request have come back. Handlers never look at it after that, they look at request->conn->closing if at all. */
#pragma once
#include "net/conn/block.h"
#include "net/conn/order.h"
#include "net/conn/told.h"
#include "net/wire/wire.h"

struct request;

enum { CONN_PEER_MAX = IO_NAME_MAX + 8 };

struct conn {
    struct server *server;
    const struct listener *listener;
    struct io_file file;
    struct io_op recv, send;
    bool recv_pending, send_pending, closing;
    bool blocked;                /* a whole frame waits for its turn */
    struct list link;            /* server->conns */
    struct list starved_link;    /* server->starved */
    struct shard_defer turn_end; /* sends what is ready, parses on, frees */
    struct timer timer;          /* the nearest deadline, moved lazily */
    /* in: the bytes not yet parsed are in->at[in_at .. in_end) */
    struct block *in;
    uint32_t in_at, in_end;
    uint64_t frame_since_ns; /* an unfinished frame began then; 0: none */
    uint64_t active_ns;      /* bytes moved last */
    /* requests in order of arrival; those at the front may be ready to send */
    struct list requests;
    struct in_flight in_flight;
    struct iovec iov[CONN_IOV];
    struct io_names names;
    char peer[CONN_PEER_MAX];         /* "127.0.0.1:50000", "[::1]:50000" */
    char software[SOFTWARE_NAME_MAX]; /* "librdkafka 2.0.2", "" until ApiVersions tells */
    struct told told;                 /* for clients that are told where to go and never come */
};

/* Takes over an accepted socket. */
void conn_open(struct server *sv, int fd, const struct listener *listener);
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
/* The address that this client can reach us by: advertised.listeners of its listener, else the local end of its connection. */
void conn_address(const struct conn *c, struct kview *out_host, int32_t *out_port);
/* For net/conn/homecoming.h: the client asks where to go, or for something that needs no telling. */
void conn_asks_way(struct conn *c, enum told_way way, struct kview client_id);
void conn_came(struct conn *c);
