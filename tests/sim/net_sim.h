/* Simulated sockets: byte streams between the broker's engines and the simulated clients, cut into random pieces, delayed,
 * and sometimes broken. The broker's end speaks through core/io.h (door_io.c), the client's end through this header.
 *
 *   client --net_send--> pipe --pieces arrive--> io_recv / io_recv_pooled
 *   io_send --> pipe --pieces arrive--> link->arrived(bytes)                  link->closed: the peer is gone */
#pragma once
#include "tests/sim/door_io.h"

enum { BROKER_PORT = 9092 }; /* of the first node */

/* The client's end; embedded by the client, which outlives the connection's events. */
struct net_link {
    struct net_conn *conn; /* NULL: not connected */
    void (*arrived)(struct net_link *l, const uint8_t *at, size_t bytes);
    void (*closed)(struct net_link *l); /* by the other side or by a cut; conn is NULL already */
};
void net_begin(void);
/* False: nobody listens. */
bool net_connect(struct net_link *l, uint16_t port);
void net_send(struct net_link *l, const void *at, size_t bytes);
/* The client goes away; what it has sent still arrives. */
void net_close(struct net_link *l);
/* The broker's process is gone: what it has sent may still arrive, then its clients see the end. */
void net_broker_died(void);

/* --- the broker's end, for door_io.c --- */
bool net_is_socket(int fd);
/* Takes the op; it will be given to io_finish_later when something happened. */
void net_start(struct io *io, struct io_op *op);
/* The op was finished by io: takes bytes or gives them. Returns its res. */
void net_recv_room(struct io *io); /* a receive buffer came back */
void net_shut(int fd);
void net_broker_close(int fd);
