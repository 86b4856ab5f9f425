/* The network side of one shard: its listeners, connections, fetch sessions and counters. Hangs from shard->net.
 *
 *   server_start --> server_listen (each listening socket) --> accepts, serves
 *   server_stop  --> no new connections or requests; those in flight finish (at most CONN_STOP_S); connections close
 *                --> `stopped` --> server_close
 *
 * main.c and the simulator build a broker from the same calls: store_open, server_start, server_listen per shard, and
 * net/shutdown.h to end it. */
#pragma once
#include "net/conn/request.h"
#include "net/producer_ids.h"
#include "net/steps.h"
#include "net/api/fetch_session.h"
#include "storage/store.h"

struct coordinator_shard;
struct server;
struct shutdown_part;
struct topology;
struct txn_shard;

struct server_counters {
    uint64_t produced_batches, produced_bytes, fetched_bytes, fetches_parked;
};

struct server {
    struct shard *shard;
    struct root *root;
    const struct topology *topology; /* net/api/topology.h: whom clients are told of */
    struct conns conns;
    struct conn_handler handler;
    struct requests requests;
    struct timer stop_timer;
    struct steps_line steps; /* long requests, by turns */
    struct sessions sessions;
    struct steps session_steps; /* free what closed ones had */
    struct heap *session_heap;  /* a part of the shard's: refuses, and then there is no session */
    struct heap_meter *session_meter;
    struct producer_ids producer_ids;
    uint32_t kept_told;                    /* of api/kept.h: the kinds that the log was told of */
    struct coordinator_shard *coordinator; /* net/group/coordinator.h */
    struct txn_shard *txns;                /* net/txn/txn_coordinator.h */
    struct server_counters counters;
    bool stopping, stop_cut, stop_over;
    void (*stopped)(struct server *sv);
    struct shard_defer stop_check;
    struct shutdown_part *shutdown; /* net/shutdown.h's */
};

/* After store_open, on the shard's thread. */
enum err server_start(struct shard *s, struct root *root, const struct topology *topology,
                      const struct dispatcher *dispatcher) must_use;
/* Takes over a listening socket (io_listen) and begins to accept. `listener` lives as long as the configuration. */
enum err server_listen(struct server *sv, int fd, const struct listener *listener) must_use;
void server_stop(struct server *sv, void (*stopped)(struct server *sv));
/* After `stopped`, or after the loop ended for another reason: frees what is left. */
void server_close(struct server *sv);

/* Sessions may have been closed: their memory is freed in steps. */
void server_free_sessions(struct server *sv);

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
