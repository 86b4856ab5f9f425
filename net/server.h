/* The network side of one shard: its listeners, connections, fetch sessions and counters. Hangs from shard->net.
 *
 *   server_start --> server_listen (each listening socket) --> accepts, serves
 *   server_stop  --> no new connections or requests; those in flight finish (at most CONN_STOP_S); connections close
 *                --> `stopped` --> server_close
 *
 * main.c and the simulator build a broker from the same calls: store_open, server_start, server_listen per shard, and
 * net/shutdown.h to end it. */
#pragma once
#include "net/conn/block.h"
#include "net/conn/homecoming.h"
#include "net/steps.h"
#include "net/api/fetch_session.h"
#include "storage/store.h"

struct conn;
struct coordinator_shard;
struct server;
struct shutdown_part;

struct server_counters {
    uint64_t accepted, refused, closed, failed; /* connections: failed means that we closed it for what it sent */
    uint64_t requests, replies, received_bytes, sent_bytes;
    uint64_t produced_batches, produced_bytes, fetched_bytes, fetches_parked;
    uint64_t starved, frames_copied, notices_hidden;
};

/* Ids for InitProducerId: a block of CATALOG_PRODUCER_BLOCK at a time, reserved durably before its first use. */
struct producer_ids {
    int64_t next;
    uint32_t left;
    bool asking;         /* `change` is under way */
    struct list waiting; /* of the handler: those that wait for the next block */
    struct catalog_change change;
};

/* A listening socket of this shard, with its accepts in flight. */
struct acceptor {
    struct server *server;
    struct io_file file;
    const struct listener *listener; /* of the configuration: its name decides what is advertised */
    struct io_op ops[ACCEPTS_AHEAD];
    bool idle[ACCEPTS_AHEAD]; /* ops that are not in flight */
    uint32_t pending;
    bool closing;
    struct timer retry;
    struct list link;
};

/* One line at a time is free, a flood is counted: peers must not be able to fill the disk with our log. */
struct notices {
    uint64_t window_ns;
    uint32_t in_window;
};

struct server {
    struct shard *shard;
    struct root *root;
    struct list acceptors, conns;
    uint32_t conn_count;
    _Atomic uint32_t all_conns; /* of all shards, counted at shard 0's server: the one number that shards share */
    struct map peers;           /* address text -> struct peer: counted for max.connections.per.ip */
    struct blocks blocks;
    struct list free_requests; /* at most REQUESTS_FREE_MAX */
    uint32_t free_request_count;
    uint32_t request_count; /* out: running, waiting to be sent, or waiting for their bufs to come home */
    size_t request_bytes, request_bytes_max; /* of their arenas */
    struct list starved;                     /* connections that wait for memory */
    struct timer starved_timer, stop_timer;
    struct steps_line steps; /* long requests, by turns */
    struct sessions sessions;
    struct producer_ids producer_ids;
    struct coordinator_shard *coordinator; /* net/group/coordinator.h */
    struct notices notices;
    struct homecoming homecoming; /* shard 0's: net/conn/told.h */
    struct timer homecoming_timer;
    struct server_counters counters;
    bool stopping, stop_cut, stop_over;
    void (*stopped)(struct server *sv);
    struct shard_defer stop_check;
    struct shutdown_part *shutdown; /* net/shutdown.h's */
};

/* After store_open, on the shard's thread. */
enum err server_start(struct shard *s, struct root *root) must_use;
/* Takes over a listening socket (io_listen) and begins to accept. `listener` lives as long as the configuration. */
enum err server_listen(struct server *sv, int fd, const struct listener *listener) must_use;
/* Closes the listening sockets; server->acceptors is empty when they are gone (server_stop calls it). */
void acceptors_stop(struct server *sv);
void server_stop(struct server *sv, void (*stopped)(struct server *sv));
/* After `stopped`, or after the loop ended for another reason: frees what is left. */
void server_close(struct server *sv);
/* Counts a connection in, or refuses it (max.connections, max.connections.per.ip, stopping), with a log line. */
bool server_admit(struct server *sv, struct conn *c) must_use;
void server_forget(struct server *sv, struct conn *c);
/* May a line that a peer provoked be logged now? */
bool server_notice(struct server *sv);

static inline struct server *server_of(const struct shard *s)
{
    return s->net;
}
static inline struct catalog *server_catalog(const struct server *sv)
{
    return &store_of(sv->shard)->catalog;
}
/* The present version (storage/store.h): not kept across a turn. */
static inline const struct broker_config *server_config(const struct server *sv)
{
    return store_of(sv->shard)->config;
}
