/* The connections of one shard: who may come, what they share (memory for frames, log lines, counters), and how they end.
 *
 *   conns_init --> conns_listen (each listening socket) --> accepts
 *   conns_stop --> no new connections or requests; those in flight finish; connections close; `quiet` is deferred whenever
 *                  something went --> conns_are_gone --> conns_deinit
 *
 * What a frame means is not known here: a connection hands each to the handler, and gets its exchange back when it is READY. */
#pragma once
#include "core/map.h"
#include "net/conn/block.h"
#include "net/conn/exchange.h"
#include "net/conn/notice.h"
#include "storage/store.h"

struct conn;
struct conns;

struct conn_handler {
    /* May requests of this API key run beside others that may, on one connection? */
    bool (*overlaps)(int16_t key);
    /* A whole frame, without its size. Takes a reference to the block, and calls conn_started unless it fails the connection. */
    void (*start)(struct conn *c, struct block *b, const uint8_t *frame, uint32_t bytes);
    /* Nobody waits for the reply any more, or the broker stops: once, while it is RUNNING. */
    void (*cancel)(struct exchange *e);
    /* It is SENT: the reply is gone, or dropped. */
    void (*over)(struct exchange *e);
    /* The connections of shard 0, where those of all shards are counted. All shards have them while any loop runs. */
    struct conns *(*first)(const struct conns *cs);
};

struct conn_counters {
    uint64_t accepted, refused, closed, failed; /* failed: closed for what it sent */
    uint64_t evicted;                           /* closed because others need the memory of its frame */
    uint64_t replies, received_bytes, sent_bytes;
    uint64_t starved, frames_copied;
};

/* A listening socket of this shard, with its accepts in flight. */
struct acceptor {
    struct conns *conns;
    struct io_file file;
    const struct listener *listener; /* of the configuration: its name decides what is advertised */
    struct io_op ops[ACCEPTS_AHEAD];
    bool idle[ACCEPTS_AHEAD]; /* ops that are not in flight */
    uint32_t pending;
    bool closing;
    struct timer retry;
    struct list link;
};

struct conns {
    struct shard *shard;
    struct heap *heap; /* a part of the shard's, for connections and peers: what bufs hold cannot refuse it */
    struct heap_meter *meter;
    const struct conn_handler *handler;
    struct list acceptors, all;
    uint32_t count;
    _Atomic uint32_t everywhere; /* of all shards, counted at shard 0's: the one number that shards share */
    struct map peers;            /* address text -> how many: for max.connections.per.ip */
    struct blocks blocks;
    struct list starved;    /* connections that wait for memory */
    struct list unfinished; /* connections that have received part of a frame */
    struct timer starved_timer;
    size_t sent_bytes;             /* in large sends, in this turn */
    struct shard_defer sends_over; /* a turn later they are none */
    struct notices notices;
    struct notice cannot_accept;
    struct conn_counters counters;
    bool stopping;
    struct shard_defer *quiet;
};

/* `quiet` is deferred while stopping, whenever a connection or a listening socket has gone. */
enum err conns_init(struct conns *cs, struct shard *s, const struct conn_handler *handler,
                    struct shard_defer *quiet) must_use;
void conns_deinit(struct conns *cs);
/* Takes over a listening socket (io_listen) and begins to accept. `listener` lives as long as the configuration. */
enum err conns_listen(struct conns *cs, int fd, const struct listener *listener) must_use;
void conns_stop(struct conns *cs);
/* Closes what is still open, whatever it waits for. */
void conns_cut(struct conns *cs);
static inline bool conns_are_gone(const struct conns *cs)
{
    return cs->count == 0 && list_empty(&cs->acceptors);
}
/* May a line that a peer provoked be logged now? */
static inline bool conns_notice(struct conns *cs)
{
    return notice_may_log(&cs->notices, cs->shard->now_ns);
}
/* The present version (storage/store.h): not kept across a turn. */
static inline const struct broker_config *conns_config(const struct conns *cs)
{
    return store_of(cs->shard)->config;
}

/* --- what connections call --- */
/* Counts one more from this address, or says why not. */
const char *conns_count_in(struct conns *cs, const char *address);
void conns_count_out(struct conns *cs, const char *address);
/* May a send of so many bytes begin in this turn? Small ones always: they never wait behind a crowd that asked for megabytes. No: it
 * is asked again in the next. */
bool conns_may_send(struct conns *cs, size_t bytes);
/* It waits for memory: conn_resume is called before long. */
void conns_starve(struct conns *cs, struct list *link);
